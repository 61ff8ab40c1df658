//! Chunked responses: one JSON document per line, each with at most so many rows of one table.
//!
//! The thread that runs the statements waits when the client does not take what it has, so a response
//! never takes more memory than its tables and a few pieces.

use axum::body::{Body, Bytes};
use axum::http::StatusCode;
use axum::response::Response;
use http_body_util::channel::{Channel, Sender};
use tokio::runtime::Handle;
use tokio::sync::OwnedSemaphorePermit;

use super::Watch;
use super::run::Run;
use crate::encode::json;
use crate::encode::results::{self, Answer};
use crate::http::reply::json_response;

/// Pieces that wait for the client.
const PIECES_AHEAD: usize = 2;

/// Starts the statements and answers with what they will give.
pub(super) fn respond(
    run: Run,
    rows_max: usize,
    turn: OwnedSemaphorePermit,
    watch: Watch,
) -> Response {
    let (sender, body) = Channel::<Bytes>::new(PIECES_AHEAD);
    let runtime = Handle::current();
    tokio::task::spawn_blocking(move || {
        let _held = (turn, watch);
        let mut line = Line { sender, runtime };
        run.each(|answer, _| send(&run, &mut line, answer, rows_max));
    });
    json_response(StatusCode::OK, Body::new(body))
}

/// Sends an answer in its pieces. False when the client is gone.
fn send(run: &Run, line: &mut Line, answer: &Answer, rows_max: usize) -> bool {
    let pieces = results::pieces(answer, rows_max);
    let epoch = run.request().epoch;
    let document = |push: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = Vec::new();
        results::begin_document(&mut bytes);
        push(&mut bytes);
        results::end_document(&mut bytes);
        if run.request().pretty { json::indent(&bytes) } else { bytes }
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
