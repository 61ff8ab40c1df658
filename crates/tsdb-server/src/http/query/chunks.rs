//! Chunked responses: one JSON document per line, each with at most so many rows of one table.
//!
//! The thread that runs the statements waits when the client does not take what it has, so a response
//! never takes more memory than its tables and a few pieces. A client that goes away ends the statements.

use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes};
use axum::http::StatusCode;
use axum::response::Response;
use http_body_util::channel::{Channel, Sender};
use hyper::body::{Body as HttpBody, Frame};
use tokio::runtime::Handle;
use tokio::sync::OwnedSemaphorePermit;

use super::Form;
use crate::encode::json;
use crate::encode::results::{self, Answer};
use crate::http::reply::json_response;
use crate::query::{Run, Watch};

/// Pieces that wait for the client.
const PIECES_AHEAD: usize = 2;

/// Starts the statements and answers with what they will give.
pub(super) fn respond(
    run: Run,
    form: Form,
    rows_max: usize,
    turn: OwnedSemaphorePermit,
    watch: Watch,
) -> Response {
    let (sender, pieces) = Channel::<Bytes>::new(PIECES_AHEAD);
    let runtime = Handle::current();
    tokio::task::spawn_blocking(move || {
        let _turn = turn;
        let mut line = Line { sender, runtime };
        run.each(|answer, _| send(form, &mut line, answer, rows_max));
    });
    json_response(StatusCode::OK, Body::new(Watched { pieces, _watch: watch }))
}

/// The body of a chunked response. It is dropped when it has been sent, or when the client went away: the
/// watch ends statements that still run then.
struct Watched {
    pieces: Channel<Bytes>,
    _watch: Watch,
}

impl HttpBody for Watched {
    type Data = Bytes;
    type Error = <Channel<Bytes> as HttpBody>::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        Pin::new(&mut self.pieces).poll_frame(context)
    }
}

/// Sends an answer in its pieces. False when the client is gone.
fn send(form: Form, line: &mut Line, answer: &Answer, rows_max: usize) -> bool {
    let pieces = results::pieces(answer, rows_max);
    let epoch = form.epoch;
    let document = |push: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = Vec::new();
        results::begin_document(&mut bytes);
        push(&mut bytes);
        results::end_document(&mut bytes);
        if form.pretty { json::indent(&bytes) } else { bytes }
    };
    if pieces.is_empty() {
        return line.send(document(&|bytes| results::push_answer(bytes, answer, epoch)));
    }
    pieces
        .iter()
        .all(|piece| line.send(document(&|bytes| results::push_piece(bytes, answer, piece, epoch))))
}

/// The way to the client.
struct Line {
    sender: Sender<Bytes>,
    runtime: Handle,
}

impl Line {
    /// Waits until there is room and sends. False when the client is gone.
    fn send(&mut self, bytes: Vec<u8>) -> bool {
        self.runtime.block_on(self.sender.send_data(Bytes::from(bytes))).is_ok()
    }
}
