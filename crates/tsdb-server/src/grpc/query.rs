//! `QueryService`: statements in, a stream of parts out.
//!
//! The thread that runs the statements waits when the client does not take what it has, so a call never
//! takes more memory than its tables and a few parts. Whoever stops reading ends the statements; whoever reads
//! slowly has as much time as statements have.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::runtime::Handle;
use tokio::sync::mpsc::{self, OwnedPermit};
use tonic::codegen::tokio_stream::Stream;
use tonic::{Request, Response, Status};
use tsdb_core::ErrorKind;
use tsdb_exec::{Charge, Error, Result, Slice, StatementResult};

use super::{caller, proto, query_of_message, refused, timeout};
use crate::app::App;
use crate::encode::parts::{Part as Rows, parts};
use crate::encode::protobuf;
use crate::encode::results::Answer;
use crate::query::{Listener, Run, Watch};
use crate::status;

/// Parts that wait for the client.
const PARTS_AHEAD: usize = 2;

/// The service.
pub struct Queries(Arc<App>);

impl Queries {
    pub(super) fn new(app: &Arc<App>) -> Queries {
        Queries(Arc::clone(app))
    }
}

type Part = std::result::Result<proto::QueryResponse, Status>;

#[tonic::async_trait]
impl proto::query_service_server::QueryService for Queries {
    type QueryStream = Parts;

    async fn query(
        &self,
        request: Request<proto::QueryRequest>,
    ) -> std::result::Result<Response<Parts>, Status> {
        let time_max = timeout(request.metadata(), self.0.config().query_timeout)?;
        let who = caller(&request);
        let query = query_of_message(request.into_inner());
        if query.text.trim().is_empty() {
            return Err(Status::invalid_argument(
                "missing required field \"query\": give a statement",
            ));
        }
        let statements =
            query.parse().map_err(|errors| Status::invalid_argument(errors.to_string()))?;
        let begun = Run::begin(Arc::clone(&self.0), who, query, statements, time_max).await;
        let (run, watch) = begun.map_err(|error| refused(&error))?;
        // One place more, kept for how the call ends: that finds its way whatever the client has not read.
        let (sender, parts) = mpsc::channel(PARTS_AHEAD + 1);
        let end = sender.clone().reserve_owned().await;
        let end = end.map_err(|_| Status::internal("the way to the client is closed"))?;
        let runtime = Handle::current();
        tokio::task::spawn_blocking(move || {
            let mut line = Line { sender, end: Some(end), runtime, run: &run };
            run.each_in_slices(&mut line);
        });
        Ok(Response::new(Parts { parts, being_sent: None, _watch: watch }))
    }
}

/// A part, and what pays for it.
type Sent = (Part, Option<Charge>);

/// The way to the client.
struct Line<'r> {
    sender: mpsc::Sender<Sent>,
    /// `None` once the call has been ended.
    end: Option<OwnedPermit<Sent>>,
    runtime: Handle,
    run: &'r Run,
}

impl Line<'_> {
    /// Makes the message of some rows and sends it.
    fn send_rows(&self, statement: usize, rows: &Rows<'_>) -> Result<()> {
        self.run.canceller().token().check()?;
        let mut charge = self.run.memory().charge();
        // Twice: for the message, and for its bytes.
        charge.grow(2 * protobuf::part_bytes(rows))?;
        self.send(protobuf::part(statement, rows), Some(charge))
    }

    /// Waits until there is room for a message and sends it.
    fn send(&self, message: proto::QueryResponse, charge: Option<Charge>) -> Result<()> {
        let canceller = self.run.canceller();
        self.runtime.block_on(async {
            tokio::select! {
                biased;
                sent = self.sender.send((Ok(message), charge)) => {
                    // The client is gone.
                    sent.map_err(|_| Error::Storage(tsdb_core::Error::Cancelled))
                }
                reason = canceller.cancelled() => Err(reason.into()),
            }
        })
    }

    /// Sends what was in no slice, and how the statement ended.
    fn rest(&mut self, answer: &Answer) -> Result<()> {
        let mut tables = answer.outcome.iter().flat_map(StatementResult::slices);
        tables.try_for_each(|table| self.slice(answer.statement, table))?;
        // How a statement ended is short, and must be told also where there is no memory.
        self.send(protobuf::end(answer), None)
    }

    /// Ends the call.
    fn hang_up(&mut self, code: tonic::Code, message: String) {
        if let Some(end) = self.end.take() {
            end.send((Err(Status::new(code, message)), None));
        }
    }
}

impl Listener for Line<'_> {
    fn slice(&mut self, statement: usize, slice: Slice<'_>) -> Result<()> {
        parts(slice, protobuf::ROWS_MAX).try_for_each(|rows| self.send_rows(statement, &rows))
    }

    fn end(&mut self, answer: &Answer, kind: Option<ErrorKind>) -> bool {
        let rest = self.rest(answer);
        match (rest, &answer.outcome) {
            (_, Err(error)) => {
                let code = kind.map_or(tonic::Code::Internal, |kind| status::of(kind).grpc);
                self.hang_up(code, error.clone());
            }
            (Err(error), Ok(_)) => self.hang_up(status::of(error.kind()).grpc, error.to_string()),
            (Ok(()), Ok(_)) => return true,
        }
        false
    }
}

/// The parts of an answer. Dropped, it ends the statements.
pub struct Parts {
    parts: mpsc::Receiver<Sent>,
    /// Pays for the part that was taken last, whose bytes are made once it has been taken.
    being_sent: Option<Charge>,
    _watch: Watch,
}

impl Stream for Parts {
    type Item = Part;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Part>> {
        self.being_sent = None;
        self.parts.poll_recv(context).map(|sent| {
            let (part, charge) = sent?;
            self.being_sent = charge;
            Some(part)
        })
    }
}
