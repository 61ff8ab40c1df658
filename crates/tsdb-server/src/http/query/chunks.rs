//! Chunked responses: one JSON document per line, each with at most so many rows of one table.
//!
//! The thread that runs the statements waits when the client does not take what it has, so a response
//! never takes more memory than its tables and a few pieces. A client that goes away ends the statements; one
//! that is slow has as much time as statements have, since it holds their turn.

use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes};
use axum::http::StatusCode;
use axum::response::Response;
use http_body_util::channel::{Channel, Sender};
use hyper::body::{Body as HttpBody, Frame};
use tokio::runtime::Handle;
use tsdb_exec::Result;

use super::Form;
use crate::encode::json;
use crate::encode::output::Output;
use crate::encode::results::{self, Answer};
use crate::http::reply::json_response;
use crate::query::{Run, Watch, failed};

/// Pieces that wait for the client.
const PIECES_AHEAD: usize = 2;

/// Starts the statements and answers with what they will give.
pub(super) fn respond(run: Run, form: Form, rows_max: usize, watch: Watch) -> Response {
    let (sender, pieces) = Channel::new(PIECES_AHEAD);
    let runtime = Handle::current();
    tokio::task::spawn_blocking(move || {
        let mut line = Line { sender: Some(sender), runtime, form, run: &run };
        run.each(|answer, _| line.answer(answer, rows_max));
    });
    json_response(StatusCode::OK, Body::new(Watched { pieces, _watch: watch }))
}

/// The body of a chunked response. It is dropped when it has been sent, or when the client went away: the
/// watch ends statements that still run then.
struct Watched {
    pieces: Channel<Bytes, tsdb_exec::Error>,
    _watch: Watch,
}

impl HttpBody for Watched {
    type Data = Bytes;
    type Error = tsdb_exec::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<std::result::Result<Frame<Bytes>, Self::Error>>> {
        Pin::new(&mut self.pieces).poll_frame(context)
    }
}

/// The way to the client.
struct Line<'r> {
    /// `None` once the response is over.
    sender: Option<Sender<Bytes, tsdb_exec::Error>>,
    runtime: Handle,
    form: Form,
    run: &'r Run,
}

impl Line<'_> {
    /// Sends an answer in its pieces. False when nothing more is to be sent.
    fn answer(&mut self, answer: &Answer, rows_max: usize) -> bool {
        let epoch = self.form.epoch;
        let mut pieces = results::pieces(answer, rows_max).peekable();
        if pieces.peek().is_none() {
            return self.piece(answer, |out| results::push_answer(out, answer, epoch));
        }
        pieces
            .all(|piece| self.piece(answer, |out| results::push_piece(out, answer, &piece, epoch)))
    }

    /// Waits until there is room and sends one piece. False when nothing more is to be sent.
    fn piece(&mut self, answer: &Answer, push: impl FnOnce(&mut Output) -> Result<()>) -> bool {
        let Some(sender) = &mut self.sender else { return false };
        let canceller = self.run.canceller();
        let ended = match document(self.run, self.form, push) {
            Ok(piece) => {
                let sent = async {
                    tokio::select! {
                        biased;
                        sent = sender.send_data(Bytes::from_owner(piece)) => Ok(sent.is_ok()),
                        reason = canceller.cancelled() => Err(reason.into()),
                    }
                };
                match self.runtime.block_on(sent) {
                    Ok(is_there) => return is_there,
                    Err(reason) => reason,
                }
            }
            Err(error) => error,
        };
        self.end(answer, ended);
        false
    }

    /// Ends the response with an error in the place of the rest; if the client has no room for that, in a way
    /// that looks like no end.
    fn end(&mut self, answer: &Answer, error: tsdb_exec::Error) {
        let Some(mut sender) = self.sender.take() else { return };
        let failed = failed(answer.statement, error.to_string());
        let mut last = Vec::new();
        results::begin_document(&mut last);
        results::push_failure(&mut last, &failed);
        results::end_document(&mut last);
        if sender.try_send(Frame::data(Bytes::from(last))).is_err() {
            sender.abort(error);
        }
    }
}

/// A document of one piece.
fn document(run: &Run, form: Form, push: impl FnOnce(&mut Output) -> Result<()>) -> Result<Output> {
    let new = || Output::new(run.memory(), run.canceller().token());
    let mut out = new();
    results::begin_document(&mut out.bytes);
    push(&mut out)?;
    results::end_document(&mut out.bytes);
    if !form.pretty {
        return Ok(out);
    }
    let mut pretty = new();
    json::indent(&out.bytes, &mut pretty)?;
    Ok(pretty)
}
