//! `QueryService`: statements in, a stream of parts out.
//!
//! The thread that runs the statements waits when the client does not take what it has, so a call never
//! takes more memory than its tables and a few parts. Whoever stops reading ends the statements.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::sync::mpsc;
use tonic::codegen::tokio_stream::Stream;
use tonic::{Request, Response, Status};

use super::{proto, query_of_message, refused, timeout};
use crate::app::App;
use crate::encode::protobuf;
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
        let statements =
            query.parse().map_err(|errors| Status::invalid_argument(errors.to_string()))?;
        let turn = self.0.query_turn().await.map_err(|error| refused(&error))?;
        let watch = Watch::new(time_max);
        let run = Run::new(Arc::clone(&self.0), query, statements, watch.token().clone());
        let (sender, parts) = mpsc::channel(PARTS_AHEAD);
        tokio::task::spawn_blocking(move || {
            let _turn = turn;
            answer(&run, &sender);
        });
        Ok(Response::new(Parts { parts, _watch: watch }))
    }
}

/// Runs the statements and sends what they give, until one fails or the client is gone. Blocks.
fn answer(run: &Run, sender: &mpsc::Sender<Part>) {
    run.each(|answer, kind| {
        let mut parts = protobuf::responses(answer, PART_ROWS);
        if !parts.all(|part| sender.blocking_send(Ok(part)).is_ok()) {
            return false;
        }
        let Err(error) = &answer.outcome else { return true };
        let code = kind.map_or(tonic::Code::Internal, |kind| status::of(kind).grpc);
        // Nobody reads it when the client is gone.
        let _ = sender.blocking_send(Err(Status::new(code, error.clone())));
        false
    });
}

/// The parts of an answer. Dropped, it ends the statements.
pub struct Parts {
    parts: mpsc::Receiver<Part>,
    _watch: Watch,
}

impl Stream for Parts {
    type Item = Part;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Part>> {
        self.parts.poll_recv(context)
    }
}
