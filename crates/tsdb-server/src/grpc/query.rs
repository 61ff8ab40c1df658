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
use tsdb_exec::Charge;

use super::{proto, query_of_message, refused, timeout};
use crate::app::App;
use crate::encode::protobuf;
use crate::encode::results::Answer;
use crate::query::{Run, Watch};
use crate::status;

/// Rows of one part.
const PART_ROWS: usize = 10_000;
/// Parts that wait for the client.
const PARTS_AHEAD: usize = 2;

/// The service.
pub struct Queries(Arc<App>);

impl Queries {
    pub(super) fn new(app: &Arc<App>) -> Queries {
        Queries(Arc::clone(app))
    }
}

type Part = Result<proto::QueryResponse, Status>;

#[tonic::async_trait]
impl proto::query_service_server::QueryService for Queries {
    type QueryStream = Parts;

    async fn query(
        &self,
        request: Request<proto::QueryRequest>,
    ) -> Result<Response<Parts>, Status> {
        let time_max = timeout(request.metadata(), self.0.config().query_timeout)?;
        let query = query_of_message(request.into_inner());
        if query.text.trim().is_empty() {
            return Err(Status::invalid_argument(
                "missing required field \"query\": give a statement",
            ));
        }
        let statements =
            query.parse().map_err(|errors| Status::invalid_argument(errors.to_string()))?;
        let begun = Run::begin(Arc::clone(&self.0), query, statements, time_max).await;
        let (run, watch) = begun.map_err(|error| refused(&error))?;
        // One place more, kept for how the call ends: that finds its way whatever the client has not read.
        let (sender, parts) = mpsc::channel(PARTS_AHEAD + 1);
        let end = sender.clone().reserve_owned().await;
        let end = end.map_err(|_| Status::internal("the way to the client is closed"))?;
        let runtime = Handle::current();
        tokio::task::spawn_blocking(move || {
            let mut line = Line { sender, end: Some(end), runtime, run: &run };
            run.each(|answer, kind| line.answer(answer, kind));
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
    /// Sends what a statement gave; false when nothing more is to be sent, since it failed or the client is
    /// gone. Blocks.
    fn answer(&mut self, answer: &Answer, kind: Option<tsdb_core::ErrorKind>) -> bool {
        for response in protobuf::responses(answer, PART_ROWS) {
            match self.send(&response) {
                Ok(true) => {}
                Ok(false) => return false,
                Err(error) => {
                    self.end(status::of(error.kind()).grpc, error.to_string());
                    return false;
                }
            }
        }
        let Err(error) = &answer.outcome else { return true };
        let code = kind.map_or(tonic::Code::Internal, |kind| status::of(kind).grpc);
        self.end(code, error.clone());
        false
    }

    /// Makes a part and waits until there is room for it; false when the client is gone.
    fn send(&self, response: &protobuf::Response<'_>) -> tsdb_exec::Result<bool> {
        let canceller = self.run.canceller();
        let mut charge = None;
        // How a statement ended is short, and must be told also where there is no memory.
        if !response.is_end() {
            canceller.token().check()?;
            // Twice: for the message, and for its bytes.
            charge.insert(self.run.memory().charge()).grow(2 * response.bytes())?;
        }
        let part = (Ok(response.make()), charge);
        self.runtime.block_on(async {
            tokio::select! {
                biased;
                sent = self.sender.send(part) => Ok(sent.is_ok()),
                reason = canceller.cancelled() => Err(reason.into()),
            }
        })
    }

    fn end(&mut self, code: tonic::Code, message: String) {
        if let Some(end) = self.end.take() {
            end.send((Err(Status::new(code, message)), None));
        }
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
