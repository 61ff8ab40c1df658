//! Chunked responses: one JSON document per line, each with at most so many rows of one table.
//!
//! The thread that runs the statements waits when the client does not take what it has, so a response
//! never takes more memory than its tables and a few pieces. A client that goes away ends the statements; one
//! that is slow has as much time as statements have, since it holds their turn.

use axum::body::Bytes;
use axum::http::StatusCode;
use axum::response::Response;
use tokio::runtime::Handle;
use tsdb_core::ErrorKind;
use tsdb_exec::{Error, Result, Slice};

use super::Form;
use super::pieces::{Pieces, body};
use crate::encode::json;
use crate::encode::output::Output;
use crate::encode::results::{self, Answer, Clock};
use crate::http::reply::json_response;
use crate::query::{Listener, Run, SLICE_ROWS, Watch, failed};

/// Pieces that wait for the client.
const PIECES_AHEAD: usize = 2;

/// Starts the statements and answers with what they will give.
pub(super) fn respond(run: Run, form: Form, rows_max: usize, watch: Watch) -> Response {
    let (pieces, coming) = Pieces::new(PIECES_AHEAD, Handle::current());
    tokio::task::spawn_blocking(move || {
        let rows_max = rows_max.max(1);
        run.each_in_slices(&mut Line { pieces, form, rows_max, run: &run, held: None });
    });
    json_response(StatusCode::OK, body(coming, watch))
}

/// The way to the client.
struct Line<'r> {
    pieces: Pieces,
    form: Form,
    rows_max: usize,
    run: &'r Run,
    /// A piece that waits for what follows: it says whether something does.
    held: Option<Held>,
}

/// A piece without its end.
struct Held {
    statement: usize,
    out: Output,
    rows: usize,
}

impl Line<'_> {
    /// Ends the document of a piece and sends it. False when the client is gone.
    fn send(&mut self, mut piece: Output) -> Result<bool> {
        results::end_document(&mut piece.bytes);
        if self.form.pretty {
            let compact = piece;
            piece = new_output(self.run);
            json::indent(&compact.bytes, &mut piece)?;
        }
        self.pieces.send(Bytes::from_owner(piece), self.run.canceller())
    }

    /// Whether to go on behind a piece. What kept it from being sent is the last word.
    fn goes_on(&mut self, statement: usize, sent: Result<bool>) -> bool {
        sent.unwrap_or_else(|error| {
            let failed = failed(statement, error.to_string());
            let mut last = Vec::new();
            results::begin_document(&mut last);
            results::push_failure(&mut last, &failed);
            results::end_document(&mut last);
            self.pieces.end(last, error);
            false
        })
    }

    /// Ends the piece that waits, and sends it.
    fn send_held(&mut self, more_rows: bool, last_of: Option<&Answer>) -> Result<()> {
        let Some(Held { statement, mut out, rows }) = self.held.take() else { return Ok(()) };
        results::end_piece(&mut out.bytes, statement, rows, more_rows, last_of);
        if self.send(out)? { Ok(()) } else { Err(Error::Storage(tsdb_core::Error::Cancelled)) }
    }

    /// Sends what no slice brought: tables, or an answer without any. False when the client is gone.
    fn finish(&mut self, answer: &Answer) -> Result<bool> {
        if let Ok(result) = &answer.outcome {
            for table in &result.series {
                let time_zone = result.time_zone.as_deref();
                self.slice(answer.statement, Slice { table, continues: false, time_zone })?;
            }
        }
        let is_error = answer.outcome.is_err();
        let has_pieces = self.held.is_some();
        self.send_held(is_error, (!is_error).then_some(answer))?;
        if has_pieces && !is_error {
            return Ok(true);
        }
        let epoch = self.form.epoch;
        self.send(document(self.run, |out| results::push_answer(out, answer, epoch))?)
    }
}

impl Listener for Line<'_> {
    /// As many whole pieces as fit into a slice of the usual size, so that only the last of a table is shorter.
    fn slice_rows(&self) -> Option<usize> {
        let whole = SLICE_ROWS / self.rows_max * self.rows_max;
        Some(if whole > 0 { whole } else { self.rows_max.min(8 * SLICE_ROWS) })
    }

    fn slice(&mut self, statement: usize, slice: Slice<'_>) -> Result<()> {
        let mut more_rows = slice.continues;
        let clock = Clock::new(self.form.epoch, slice.time_zone);
        let count = slice.table.rows();
        // A table without rows is a piece too.
        for start in (0..count.max(1)).step_by(self.rows_max) {
            self.send_held(more_rows, None)?;
            more_rows = true;
            let rows = start..count.min(start.saturating_add(self.rows_max));
            let held = rows.len();
            let out = document(self.run, |out| {
                results::begin_piece(out, statement, slice.table, rows, &clock)
            })?;
            self.held = Some(Held { statement, out, rows: held });
        }
        Ok(())
    }

    fn end(&mut self, answer: &Answer, _: Option<ErrorKind>) -> bool {
        let sent = self.finish(answer);
        self.goes_on(answer.statement, sent)
    }
}

fn new_output(run: &Run) -> Output {
    Output::new(run.memory(), run.canceller().token())
}

/// A document of one piece, without its end.
fn document(run: &Run, push: impl FnOnce(&mut Output) -> Result<()>) -> Result<Output> {
    let mut out = new_output(run);
    results::begin_document(&mut out.bytes);
    push(&mut out)?;
    Ok(out)
}
