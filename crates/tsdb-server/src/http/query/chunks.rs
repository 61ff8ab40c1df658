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
use tsdb_exec::{Error, Result, Slice, StatementResult};

use super::Form;
use crate::encode::json;
use crate::encode::output::Output;
use crate::encode::parts::parts;
use crate::encode::results::{self, Answer, Clock};
use crate::http::answer::pieces::{Pieces, body};
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
            results::push_bare(&mut last, &failed);
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
        let mut tables = answer.outcome.iter().flat_map(StatementResult::slices);
        tables.try_for_each(|table| self.slice(answer.statement, table))?;
        let is_error = answer.outcome.is_err();
        let has_pieces = self.held.is_some();
        self.send_held(is_error, (!is_error).then_some(answer))?;
        if has_pieces && !is_error {
            return Ok(true);
        }
        let mut bare = new_output(self.run);
        results::begin_document(&mut bare.bytes);
        results::push_bare(&mut bare.bytes, answer);
        self.send(bare)
    }
}

impl Listener for Line<'_> {
    /// As many whole pieces as fit into a slice of the usual size, so that only the last of a table is shorter.
    fn slice_rows(&self) -> usize {
        let whole = SLICE_ROWS / self.rows_max * self.rows_max;
        if whole > 0 { whole } else { self.rows_max.min(8 * SLICE_ROWS) }
    }

    fn slice(&mut self, statement: usize, slice: Slice<'_>) -> Result<()> {
        let clock = Clock::new(self.form.epoch, slice.time_zone);
        parts(slice, self.rows_max).try_for_each(|part| {
            self.send_held(part.continues, None)?;
            let mut out = new_output(self.run);
            results::begin_document(&mut out.bytes);
            results::begin_piece(&mut out, statement, &part, &clock)?;
            self.held = Some(Held { statement, out, rows: part.rows.len() });
            Ok(())
        })
    }

    fn end(&mut self, answer: &Answer, _: Option<ErrorKind>) -> bool {
        let sent = self.finish(answer);
        self.goes_on(answer.statement, sent)
    }
}

fn new_output(run: &Run) -> Output {
    Output::new(run.memory(), run.canceller().token())
}
