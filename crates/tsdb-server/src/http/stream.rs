//! `/api/v1/write?stream=true`: a body without an end in sight, taken in and stored in pieces while it arrives.
//!
//! A piece ends where a line or another record ends and is one batch, so it is stored whole or not at all, and the
//! next one is begun when it is visible (and, in durability `sync`, on disk). Memory is bounded by the piece and what
//! becomes of it. The answer comes at the end and says what was stored and refused; where something fails in between
//! it says up to which line and byte the body is stored, and the client can go on from there.
//!
//! The request is received on the runtime and handed frame by frame to a thread that may block, which unpacks, cuts
//! and stores. Not here: where pieces can be cut, see [`tsdb_ingest::Pieces`].

mod frames;
mod totals;

use std::io::Read;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use tokio::runtime::Handle;
use tokio::sync::OwnedSemaphorePermit;
use tsdb_core::{ErrorKind, Pool, Reservation};
use tsdb_ingest::{Choice, Format, ParseOptions, Pieces, Reason, WriteReport, WriteRequest};

use self::frames::{Frames, Sender};
use self::totals::Totals;
use super::body::{self, Encoding};
use super::params::Params;
use super::reply::{ApiError, header};
use super::write::{Permitted, Target, refuse};
use crate::app::{App, blocking};
use crate::auth::{Right, Who};

/// Largest piece. With less memory for bodies it is one of [`PIECE_PARTS`] of it.
const PIECE_BYTES_MAX: usize = 8 << 20;
/// Streams have room for their pieces and half of the memory for bodies stays with others: see
/// [`crate::app::STREAMS_MAX`].
const PIECE_PARTS: usize = 8;

/// Bytes that are unpacked at once.
const READ_BYTES: usize = 64 << 10;

/// How long a piece waits for memory that others hold, or for the log to keep up, before the stream ends.
const WAIT_MAX: Duration = Duration::from_secs(10);
/// And how often it asks.
const WAIT_STEP: Duration = Duration::from_millis(100);

/// Whether the request is a stream.
///
/// # Errors
/// 400 for a value that is neither yes nor no: a body must not be taken for another kind because of a typing error.
pub(super) fn is_meant(params: &Params) -> Result<bool, ApiError> {
    match params.get("stream") {
        None | Some("false" | "0") => Ok(false),
        Some(_) if params.flag("stream") => Ok(true),
        Some(other) => {
            let shown: String = other.chars().take(64).collect();
            Err(ApiError::bad_request(format!("invalid stream {shown:?} (use true or false)")))
        }
    }
}

/// Stores a stream.
///
/// # Errors
/// The refusal of a request of which nothing was looked at.
pub(super) async fn write(
    app: &Arc<App>,
    who: &Who,
    params: Params,
    headers: &HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let target = Target::new(&params)?.permitted(who)?;
    let choice = app
        .formats()
        .choose(params.filled("format"), header(headers, CONTENT_TYPE))
        .map_err(|error| refuse(app, error))?;
    let encoding = body::encoding(headers)?;
    if encoding == Encoding::SnappyBlock {
        let message = "a block of snappy can only be unpacked whole: pack a stream with gzip, deflate or zstd";
        return Err(ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, message));
    }
    let turn = app.stream_turn()?;
    let worker = Worker::new(app, turn, target, choice, params)?;
    let (sender, frames) = frames::channel();
    let working = tokio::spawn(blocking(move || worker.run(frames, encoding)));
    let is_whole = receive(sender, body).await;
    let answer = working.await.map_err(|_| ApiError::overloaded("the server is stopping"))??;
    Ok(if is_whole { answer } else { totals::closing(answer) })
}

/// Hands the body on. False if it was not read to its end.
async fn receive(sender: Sender, mut body: Body) -> bool {
    loop {
        match body::frame(&mut body).await {
            Ok(Some(data)) => {
                if sender.data(data).await.is_err() {
                    // The answer is there already; a client that is still sending has to be listened to.
                    body::discard_some(&mut body).await;
                    return false;
                }
            }
            Ok(None) => {
                sender.end().await;
                return true;
            }
            Err(refusal) => {
                sender.failed(refusal).await;
                return false;
            }
        }
    }
}

/// How the bytes of the body are read: known when the first piece is there.
struct Reading {
    format: Arc<dyn Format>,
    pieces: Pieces,
    /// What each piece begins with, in bytes at the beginning of the buffer.
    header_bytes: usize,
}

/// Stores one stream. Its methods block.
struct Worker {
    app: Arc<App>,
    _turn: OwnedSemaphorePermit,
    /// Pays for the buffer.
    _held: Reservation,
    target: Target,
    who: Who,
    choice: Choice,
    parameters: Params,
    piece_bytes_max: usize,
    /// The header, if there is one, and what is not stored yet.
    buffer: Vec<u8>,
    /// Bytes as sent that metrics know of.
    packed_bytes_counted: u64,
    totals: Totals,
}

impl Worker {
    fn new(
        app: &Arc<App>,
        turn: OwnedSemaphorePermit,
        target: Permitted,
        choice: Choice,
        parameters: Params,
    ) -> Result<Worker, ApiError> {
        let piece_bytes_max = (app.budget().limit(Pool::Bodies) / PIECE_PARTS).min(PIECE_BYTES_MAX);
        // Taken at once, so that no stream ends in its middle for want of it.
        let held = app.budget().reserve(Pool::Bodies, piece_bytes_max)?;
        let (target, who) = target.into_parts();
        Ok(Worker {
            app: Arc::clone(app),
            _turn: turn,
            _held: held,
            target,
            who,
            choice,
            parameters,
            piece_bytes_max,
            buffer: Vec::new(),
            packed_bytes_counted: 0,
            totals: Totals::default(),
        })
    }

    /// Stores all that comes, and answers.
    fn run(mut self, frames: Frames, encoding: Encoding) -> Response {
        let outcome = self.store_all(frames, encoding);
        self.totals.respond(outcome)
    }

    fn store_all(&mut self, frames: Frames, encoding: Encoding) -> Result<(), ApiError> {
        let watch = frames.watch();
        let budget = self.app.budget().clone();
        let reader = body::reader(encoding, frames, &budget)?;
        let mut reader = reader.ok_or_else(|| ApiError::bad_request("not a stream"))?;
        let mut reading: Option<Reading> = None;
        loop {
            let is_end = self.fill(&mut *reader).map_err(|cause| {
                watch.failure().unwrap_or_else(|| body::broken(encoding, &cause))
            })?;
            let read_bytes = self.totals.bytes + self.buffer.len() as u64;
            body::check_ratio(watch.bytes(), read_bytes)?;
            if reading.is_none() {
                if self.buffer.is_empty() {
                    return Ok(());
                }
                reading = Some(self.reading(is_end)?);
            }
            let Some(reading) = &reading else { return Ok(()) };
            self.piece(reading, is_end, watch.bytes())?;
            if is_end {
                return Ok(());
            }
            if let Some(reason) = self.app.failure() {
                return Err(ApiError::overloaded(reason));
            }
        }
    }

    /// Reads until the buffer holds a piece; true at the end of the body.
    fn fill(&mut self, reader: &mut dyn Read) -> std::io::Result<bool> {
        while self.buffer.len() < self.piece_bytes_max {
            let begin = self.buffer.len();
            let end = (begin + READ_BYTES).min(self.piece_bytes_max);
            self.buffer.resize(end, 0);
            let read = reader.read(self.buffer.get_mut(begin..).unwrap_or_default());
            self.buffer.truncate(begin + read.as_ref().map_or(0, |count| *count));
            if read? == 0 {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Finds out how the body is to be read, from its first piece.
    fn reading(&self, is_end: bool) -> Result<Reading, ApiError> {
        let candidates = self.app.formats().candidates(&self.choice, &self.buffer);
        let candidates = candidates.map_err(|error| refuse(&self.app, error))?;
        let parameters: Vec<(&str, &str)> = self.parameters.pairs().collect();
        let options = self.options(&parameters);
        // Another one is not tried: pieces may be stored by the time that the likeliest turns out to be wrong.
        let format = candidates.into_iter().next();
        let format = format.ok_or_else(|| ApiError::bad_request("there is no format"))?;
        let pieces = format.pieces(&self.buffer, &options);
        let Some(pieces) = pieces.map_err(|error| refuse(&self.app, error))? else {
            let names = format.supported_formats();
            let name = names.iter().find(|name| !name.contains('/')).unwrap_or(&"?");
            return Err(ApiError::bad_request(format!(
                "this body of format {name} cannot be taken in pieces: send line protocol, CSV, or JSON with \
                 each record on a line of its own (NDJSON), or leave out stream=true"
            )));
        };
        let header_bytes = pieces.header_bytes(&self.buffer);
        if header_bytes == self.buffer.len() && !is_end {
            return Err(self.no_end("header"));
        }
        Ok(Reading { format, pieces, header_bytes })
    }

    fn options<'p>(&self, parameters: &'p [(&'p str, &'p str)]) -> ParseOptions<'p> {
        let now_ns = self.app.env().clock.wall_ns();
        ParseOptions { precision: self.target.precision, now_ns, parameters }
    }

    fn no_end(&self, what: &str) -> ApiError {
        ApiError::bad_request(format!(
            "line {} and {} bytes behind its beginning are without the end of a {what}: close its quotes, or \
             split it",
            self.totals.lines + 1,
            self.buffer.len()
        ))
    }

    /// Stores the buffer up to its last record, all of it at the end of the body.
    fn piece(
        &mut self,
        reading: &Reading,
        is_end: bool,
        packed_bytes: u64,
    ) -> Result<(), ApiError> {
        let header_bytes = reading.header_bytes;
        let records = self.buffer.get(header_bytes..).unwrap_or_default();
        let bytes = if is_end { records.len() } else { reading.pieces.last_end(records) };
        if bytes == 0 && !is_end {
            return Err(self.no_end("record"));
        }
        let is_first = self.totals.batches == 0;
        if bytes > 0 || is_first {
            let mut report = self.store(&*reading.format, header_bytes + bytes)?;
            if let Some(ticket) = report.ticket.take() {
                ticket.wait().map_err(|error| self.app.refuse(error))?;
            }
            for error in &mut report.errors {
                error.line += self.totals.lines_before;
            }
            let sent = packed_bytes.saturating_sub(self.packed_bytes_counted);
            self.app.written(&self.target.database, sent, &report);
            self.packed_bytes_counted = packed_bytes;
            let is_unusable = matches!(
                report.errors.first(),
                Some(error) if matches!(error.reason, Reason::Header(_))
            );
            let header = self.buffer.get(..header_bytes).unwrap_or_default();
            let header_lines = memchr::memchr_iter(b'\n', header).count() as u64;
            let begin = if is_first { 0 } else { header_bytes };
            let text = self.buffer.get(begin..header_bytes + bytes);
            self.totals.add(report, text, header_lines);
            if is_unusable {
                return Err(ApiError::bad_request("the header cannot be used"));
            }
        }
        self.buffer.drain(header_bytes..header_bytes + bytes);
        Ok(())
    }

    /// Parses and appends the beginning of the buffer. Where memory is short, or the log is behind, it waits:
    /// nothing is read from the client meanwhile.
    fn store(&self, format: &dyn Format, bytes: usize) -> Result<WriteReport, ApiError> {
        // A stream may last for hours, and the right may be revoked meanwhile.
        self.who.demand(Right::Write, &self.target.database)?;
        let runtime = Handle::current();
        let parameters: Vec<(&str, &str)> = self.parameters.pairs().collect();
        let begin_ns = self.app.env().clock.mono_ns();
        loop {
            let turn = runtime.block_on(self.app.write_turn(&self.target.database))?;
            let request = WriteRequest {
                database: &self.target.database,
                policy: self.target.policy.as_deref(),
                body: self.buffer.get(..bytes).unwrap_or_default(),
                options: self.options(&parameters),
            };
            let outcome = self.app.pipeline().write(format, &request);
            drop(turn);
            let waited_ns = self.app.env().clock.mono_ns().saturating_sub(begin_ns);
            match outcome {
                Err(error)
                    if error.kind() == ErrorKind::Overloaded
                        && u128::from(waited_ns) < WAIT_MAX.as_nanos() =>
                {
                    runtime.block_on(tokio::time::sleep(WAIT_STEP));
                }
                outcome => return outcome.map_err(|error| refuse(&self.app, error)),
            }
        }
    }
}
