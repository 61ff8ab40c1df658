//! Responses of one document. A short one is sent when it is complete, with the status that its statements deserve;
//! a long one while it is made, since all of it might not fit into memory. What fails then is said behind the
//! rows that were sent.

use axum::body::Bytes;
use axum::http::StatusCode;
use axum::response::Response;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tsdb_core::ErrorKind;
use tsdb_exec::{Error, Result, Slice};

use super::pieces::{Coming, Pieces, body};
use super::{Form, Told, laid_out};
use crate::app::blocking;
use crate::encode::document::Document;
use crate::encode::output::Output;
use crate::encode::results::Answer;
use crate::http::reply::{ApiError, json_response, mark_refused};
use crate::query::{Canceller, Listener, Run, Watch};

/// A document of so many bytes is sent as it is made.
const PIECE_BYTES: usize = 256 << 10;

/// Pieces that wait for the client: with 4 MiB most documents are made without waiting for anybody.
const PIECES_AHEAD: usize = 16;

/// Runs the statements and answers with what they give.
///
/// # Errors
/// The server stops.
pub(super) async fn respond(run: Run, form: Form, watch: Watch) -> Result<Response, ApiError> {
    let (begun, beginning) = oneshot::channel();
    let runtime = Handle::current();
    let made = blocking(move || {
        let finished = {
            let document = Document::new(new_output(&run), form.epoch);
            let outcome = Told::default();
            let begun = Some(begun);
            let mut whole =
                Whole { run: &run, form, document, outcome, runtime, begun, pieces: None };
            run.each_in_slices(&mut whole);
            whole.finish()
        };
        let canceller = run.canceller().clone();
        // Whoever has the end of an answer may ask again, and must not find the memory and the turn taken.
        drop(run);
        match finished {
            Finished::Whole(response) => Some(response),
            Finished::InPieces(mut pieces, rest) => {
                end(&mut pieces, rest, &canceller);
                None
            }
        }
    });
    Ok(match begins(made, beginning).await? {
        Beginning::Whole(response) => {
            drop(watch);
            response
        }
        Beginning::Pieces(coming) => json_response(StatusCode::OK, body(coming, watch)),
    })
}

/// How a response begins.
enum Beginning {
    Whole(Response),
    Pieces(Coming),
}

/// Waits for the response that `made` gives, or for the way of its pieces, which comes when there is a first one;
/// `made` ends without a response then.
async fn begins(
    made: impl Future<Output = Result<Option<Response>, ApiError>>,
    mut beginning: oneshot::Receiver<Coming>,
) -> Result<Beginning, ApiError> {
    tokio::pin!(made);
    let made = tokio::select! {
        biased;
        Ok(coming) = &mut beginning => return Ok(Beginning::Pieces(coming)),
        made = made => made?,
    };
    match made {
        Some(response) => Ok(Beginning::Whole(response)),
        // The first piece and the end came between two looks.
        None => match beginning.await {
            Ok(coming) => Ok(Beginning::Pieces(coming)),
            Err(_) => Err(ApiError::overloaded("the answer got lost: repeat the query")),
        },
    }
}

/// A document that is there already.
pub(super) fn of_answer(run: &Run, form: Form, answer: &Answer) -> Response {
    let mut document = Document::new(new_output(run), form.epoch);
    let mut outcome = Told::default();
    note(&mut outcome, document.end(answer), answer, None);
    complete(run, form, document, outcome)
}

fn new_output(run: &Run) -> Output {
    Output::new(run.memory(), run.canceller().token())
}

/// What the head says of an answer that was written, or of the error that took its place.
fn note(outcome: &mut Told, written: Result<()>, answer: &Answer, kind: Option<ErrorKind>) {
    match written {
        Ok(()) => {
            if let (Some(kind), Err(error)) = (kind, &answer.outcome) {
                outcome.note(kind, error);
            }
        }
        Err(error) => outcome.note(error.kind(), &error.to_string()),
    }
}

fn complete(run: &Run, form: Form, document: Document, mut outcome: Told) -> Response {
    let out = document.finish();
    let out = if form.pretty { laid_out(run, out, &mut outcome) } else { out };
    let mut response = json_response(outcome.status, Bytes::from_owner(out));
    if outcome.status != StatusCode::OK {
        mark_refused(&mut response, &outcome.refusal);
    }
    response
}

/// The document of a request in the making.
struct Whole<'r> {
    run: &'r Run,
    form: Form,
    document: Document,
    outcome: Told,
    runtime: Handle,
    /// To be told where the pieces come from, when there is the first.
    begun: Option<oneshot::Sender<Coming>>,
    pieces: Option<Pieces>,
}

impl Whole<'_> {
    /// Sends what there is if it is enough for a piece. Whoever lays the document out needs all of it.
    fn send_on(&mut self) -> Result<()> {
        if self.document.pending_bytes() < PIECE_BYTES || self.form.pretty {
            return Ok(());
        }
        let piece = self.document.take(new_output(self.run));
        self.send(piece)
    }

    fn send(&mut self, piece: Output) -> Result<()> {
        if let Some(begun) = self.begun.take() {
            let (pieces, coming) = Pieces::new(PIECES_AHEAD, self.runtime.clone());
            self.pieces = Some(pieces);
            if begun.send(coming).is_err() {
                return Err(Error::Storage(tsdb_core::Error::Cancelled));
            }
        }
        let Some(pieces) = &mut self.pieces else { return Ok(()) };
        if pieces.send(Bytes::from_owner(piece), self.run.canceller())? {
            return Ok(());
        }
        Err(Error::Storage(tsdb_core::Error::Cancelled))
    }

    /// The response, if no piece of it was sent; otherwise the rest, which is to go the way of the pieces.
    fn finish(self) -> Finished {
        match self.pieces {
            None => Finished::Whole(complete(self.run, self.form, self.document, self.outcome)),
            Some(pieces) => {
                let mut rest = self.document.finish();
                Finished::InPieces(pieces, std::mem::take(&mut rest.bytes))
            }
        }
    }
}

/// What is left to be done when the statements have ended.
enum Finished {
    Whole(Response),
    InPieces(Pieces, Vec<u8>),
}

/// Sends the rest of a response in pieces. What ended the statements before their time is the last word.
fn end(pieces: &mut Pieces, rest: Vec<u8>, canceller: &Canceller) {
    match canceller.token().check() {
        Err(reason) => pieces.end(rest, reason.into()),
        Ok(()) => {
            if let Err(reason) = pieces.send(rest.into(), canceller) {
                pieces.abort(reason);
            }
        }
    }
}

impl Listener for Whole<'_> {
    fn slice(&mut self, statement: usize, slice: Slice<'_>) -> Result<()> {
        self.document.slice(statement, slice)?;
        self.send_on()
    }

    fn end(&mut self, answer: &Answer, kind: Option<ErrorKind>) -> bool {
        let written = self.document.end(answer);
        note(&mut self.outcome, written, answer, kind);
        // If it was ended meanwhile, the statements behind it say so.
        let _ = self.send_on();
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A response was empty once, with 200, when the answer began and ended while it was looked at.
    #[tokio::test]
    async fn an_answer_that_begins_and_ends_at_once_is_not_lost() {
        let (begun, beginning) = oneshot::channel();
        let made = async {
            let (_, coming) = Pieces::new(1, Handle::current());
            assert!(begun.send(coming).is_ok());
            Ok(None)
        };
        assert!(matches!(begins(made, beginning).await, Ok(Beginning::Pieces(_))));

        let (begun, beginning) = oneshot::channel();
        let made = async {
            drop(begun);
            Ok(Some(Response::default()))
        };
        assert!(matches!(begins(made, beginning).await, Ok(Beginning::Whole(_))));
    }
}
