//! Responses of one body. A short one is sent when it is complete, with the status that its statements deserve; a
//! long one while it is made, since all of it might not fit into memory. What fails then is said behind the rows that
//! were sent.
//!
//! Not here: what is asked (`http/query.rs`, `http/native.rs`), the forms (`encode`), and the way of the pieces to the
//! client (`answer/pieces.rs`).

pub(super) mod pieces;

use axum::body::Bytes;
use axum::http::StatusCode;
use axum::response::Response;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tsdb_core::ErrorKind;
use tsdb_exec::{Error, Result, Slice};

use super::reply::{ApiError, mark_refused, typed_response};
use crate::app::blocking;
use crate::encode::document::{Document, Form};
use crate::encode::json;
use crate::encode::output::Output;
use crate::encode::parts::parts;
use crate::encode::results::{self, Answer};
use crate::query::{Canceller, Listener, Run, Watch, failed};
use pieces::{Coming, Pieces, body};

/// A body of so many bytes is sent as it is made.
const PIECE_BYTES: usize = 256 << 10;

/// Rows that are written before it is seen whether there is enough for a piece, so that none is much longer.
const PART_ROWS: usize = 1024;

/// Pieces that wait for the client: with 4 MiB most bodies are made without waiting for anybody.
const PIECES_AHEAD: usize = 16;

/// How statements are answered.
#[derive(Debug, Clone, Copy)]
pub(super) struct Manner {
    pub(super) form: Form,
    /// Laid out for people, which JSON alone can be.
    pub(super) pretty: bool,
    pub(super) content_type: &'static str,
    /// The status that a kind of error deserves.
    pub(super) status: fn(ErrorKind) -> StatusCode,
}

impl Manner {
    /// Whether a body is made as a whole before any of it is sent.
    fn needs_all(&self) -> bool {
        self.pretty || matches!(self.form, Form::MessagePack(_))
    }
}

/// Runs the statements and answers with what they give.
///
/// # Errors
/// The server stops.
pub(super) async fn respond(run: Run, manner: Manner, watch: Watch) -> Result<Response, ApiError> {
    if let Some(answer) = run.quick() {
        let mut made = Made::new(&run, manner);
        made.end(&answer, None);
        return Ok(made.complete(&run));
    }
    let (begun, beginning) = oneshot::channel();
    let runtime = Handle::current();
    let made = blocking(move || {
        let finished = {
            let made = Made::new(&run, manner);
            let mut line = Line { run: &run, made, runtime, begun: Some(begun), pieces: None };
            run.each_in_slices(&mut line);
            line.finish()
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
        Beginning::Pieces(coming) => {
            typed_response(StatusCode::OK, body(coming, watch), manner.content_type)
        }
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

fn new_output(run: &Run) -> Output {
    Output::new(run.memory(), run.canceller().token())
}

/// A response in the making.
struct Made {
    manner: Manner,
    document: Document,
    told: Told,
}

/// What the head of a response says of its statements.
struct Told {
    status: StatusCode,
    refusal: String,
}

impl Made {
    fn new(run: &Run, manner: Manner) -> Made {
        let told = Told { status: StatusCode::OK, refusal: String::new() };
        Made { manner, document: Document::new(new_output(run), manner.form), told }
    }

    /// Ends the answer of a statement, which failed if there is a kind of error.
    fn end(&mut self, answer: &Answer, kind: Option<ErrorKind>) {
        match self.document.end(answer) {
            Ok(()) => {
                if let (Some(kind), Err(error)) = (kind, &answer.outcome) {
                    self.told.note((self.manner.status)(kind), error);
                }
            }
            Err(error) => {
                self.told.note((self.manner.status)(error.kind()), &error.to_string());
            }
        }
    }

    /// The response, of which nothing was sent.
    fn complete(self, run: &Run) -> Response {
        let Made { manner, document, mut told } = self;
        let mut out = document.finish();
        if manner.pretty {
            out = laid_out(&out, new_output(run)).unwrap_or_else(|error| {
                told.note((manner.status)(error.kind()), &error.to_string());
                of_failure(new_output(run), error.to_string())
            });
        }
        let body = Bytes::from_owner(out);
        let mut response = typed_response(told.status, body.into(), manner.content_type);
        if told.status != StatusCode::OK {
            mark_refused(&mut response, &told.refusal);
        }
        response
    }
}

impl Told {
    fn note(&mut self, status: StatusCode, error: &str) {
        self.status = status;
        error.clone_into(&mut self.refusal);
    }
}

/// A document laid out for people.
///
/// # Errors
/// There is no memory or no time for that.
fn laid_out(compact: &Output, mut pretty: Output) -> Result<Output> {
    json::indent(&compact.bytes, &mut pretty)?;
    Ok(pretty)
}

/// The document of an error alone.
fn of_failure(mut out: Output, error: String) -> Output {
    results::begin_document(&mut out.bytes);
    results::push_bare(&mut out.bytes, &failed(0, error));
    results::end_document(&mut out.bytes);
    out
}

/// A response in the making that is sent once it is long.
struct Line<'r> {
    run: &'r Run,
    made: Made,
    runtime: Handle,
    /// To be told where the pieces come from, when there is the first.
    begun: Option<oneshot::Sender<Coming>>,
    pieces: Option<Pieces>,
}

impl Line<'_> {
    /// Sends what there is if it is enough for a piece.
    fn send_on(&mut self) -> Result<()> {
        if self.made.document.pending_bytes() < PIECE_BYTES || self.made.manner.needs_all() {
            return Ok(());
        }
        let piece = self.made.document.take(new_output(self.run));
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
            None => Finished::Whole(self.made.complete(self.run)),
            Some(pieces) => {
                let mut rest = self.made.document.finish();
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

impl Listener for Line<'_> {
    fn slice(&mut self, statement: usize, slice: Slice<'_>) -> Result<()> {
        parts(slice, PART_ROWS).try_for_each(|part| {
            self.made.document.part(statement, &part)?;
            self.send_on()
        })
    }

    fn end(&mut self, answer: &Answer, kind: Option<ErrorKind>) -> bool {
        self.made.end(answer, kind);
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
