//! JSON: objects, arrays of them, one on each line (NDJSON), and columns. `docs/formats.md` describes
//! the records.
//!
//! A document is cut into records first (`split`), and each is parsed by itself onto a tape of simd-json
//! (`record`). So one bad record costs no other, every mistake has its place (`fault`), and the memory is
//! that of the longest record, not that of the document: a tape is several times as large as its text.

pub(in crate::format) mod fault;
mod import;
mod record;
mod split;

#[cfg(test)]
mod tests;

use std::ops::Range;

use simd_json::{Buffers, INPUT_PADDING, Node, Tape};
use tsdb_core::{DataPoint, TagCharset};

use self::record::{Record, Stop};
use self::split::{Piece, Splitter};
use super::pieces::Pieces;
use super::{Format, Ingestion, Likelihood, ParseOptions, after_byte_order_mark, points_of};
use crate::report::Origin;
use crate::{Precision, Reason, Result, Rows, limits};

/// The handler of JSON. It has no state.
#[derive(Debug, Clone, Copy)]
pub struct Json {
    options: ParseOptions<'static>,
    charset: TagCharset,
}

impl Json {
    /// A handler whose [`Ingestion::parse`] reads with `options` and accepts `charset` in names. A
    /// pipeline brings its own options with each request.
    pub fn new(options: ParseOptions<'static>, charset: TagCharset) -> Json {
        Json { options, charset }
    }
}

impl Default for Json {
    /// Nanoseconds and ASCII; records without a time are of 1970.
    fn default() -> Self {
        Json::new(ParseOptions::new(Precision::Nanoseconds, 0), TagCharset::Ascii)
    }
}

impl Ingestion for Json {
    fn parse(&self, input: &[u8]) -> Result<Vec<DataPoint>> {
        points_of(self, input, &self.options, self.charset)
    }

    fn supported_formats(&self) -> Vec<&'static str> {
        vec![
            "application/json",
            "application/x-ndjson",
            "application/ndjson",
            "application/jsonl",
            "application/x-jsonlines",
            "json",
            "ndjson",
            "jsonl",
        ]
    }
}

impl Format for Json {
    /// A document begins with an object whose first name is in quotes, or with an array of objects.
    fn looks_like(&self, head: &[u8]) -> Likelihood {
        let text = head.get(after_byte_order_mark(head)..).unwrap_or_default().trim_ascii_start();
        let Some((first, behind)) = text.split_first() else { return Likelihood::No };
        match (first, behind.trim_ascii_start().first()) {
            (b'{', None | Some(b'"' | b'}')) => Likelihood::Likely,
            (b'[', None | Some(b'{' | b']')) => Likelihood::Likely,
            (b'{' | b'[', _) => Likelihood::Possible,
            _ => Likelihood::No,
        }
    }

    fn pieces(&self, head: &[u8], _: &ParseOptions<'_>) -> Result<Option<Pieces>> {
        let are_lines = split::may_be_lines(head, after_byte_order_mark(head));
        Ok(are_lines.then_some(Pieces::Lines))
    }

    fn parse_rows(&self, input: &[u8], options: &ParseOptions<'_>, rows: &mut Rows) -> Result<()> {
        let parser = Parser {
            input,
            options,
            rows,
            text: Vec::new(),
            buffers: empty_buffers(),
            tape: Tape(Vec::new()),
            charged_bytes: 0,
        };
        parser.run()
    }
}

/// The state of one request.
struct Parser<'a> {
    input: &'a [u8],
    options: &'a ParseOptions<'a>,
    rows: &'a mut Rows,
    /// A copy of the current record, and the padding that simd-json reads beyond it: texts are unescaped
    /// where they stand.
    text: Vec<u8>,
    buffers: Buffers,
    /// Empty between two records.
    tape: Tape<'static>,
    /// What is charged for these three.
    charged_bytes: usize,
}

impl Parser<'_> {
    fn run(mut self) -> Result<()> {
        let mut pieces = Splitter::new(self.input, after_byte_order_mark(self.input));
        while let Some((line, piece)) = pieces.next() {
            self.rows.settle_portion(self.input)?;
            match piece {
                Piece::Record(place) => self.record_or_refusal(line, place)?,
                Piece::Rest { at, what } => {
                    let origin = Origin { line, start: at, end: self.input.len() };
                    self.rows.refuse(self.input, origin, at, Reason::InvalidJson { at, what });
                }
            }
        }
        Ok(())
    }

    /// Reads one record, or notes why not.
    fn record_or_refusal(&mut self, line: u64, place: Range<usize>) -> Result<()> {
        let origin = Origin { line, start: place.start, end: place.end };
        if place.len() > limits::JSON_RECORD_BYTES_MAX {
            self.rows.refuse(self.input, origin, place.start, Reason::RecordTooLong);
            return Ok(());
        }
        let raw = self.input.get(place).unwrap_or_default();
        match self.read(raw, origin) {
            Ok(()) => {}
            Err(Stop::Request(error)) => return Err(error.into()),
            Err(Stop::Record(fault)) => self.refuse(raw, origin, fault),
        }
        if raw.len() > limits::JSON_KEPT_BYTES_MAX {
            self.text = Vec::new();
            self.buffers = empty_buffers();
            self.tape = Tape(Vec::new());
            self.rows.uncharge(std::mem::take(&mut self.charged_bytes));
        }
        Ok(())
    }

    fn read(&mut self, raw: &[u8], origin: Origin) -> std::result::Result<(), Stop> {
        let bytes = memory_bytes(raw);
        if bytes > self.charged_bytes {
            let more = bytes - self.charged_bytes;
            self.rows.charge(more).map_err(Stop::Request)?;
            self.charged_bytes = bytes;
        }
        self.text.clear();
        self.text.extend_from_slice(raw);
        self.text.extend_from_slice(&[0; INPUT_PADDING]);
        let base = self.text.as_ptr().addr();
        let mut tape = std::mem::replace(&mut self.tape, Tape(Vec::new())).reset();
        let (text, buffers) = (&mut self.text, &mut self.buffers);
        let outcome = match simd_json::fill_tape_padded(text, raw.len(), buffers, &mut tape) {
            Ok(()) => {
                let (input, options) = (self.input, self.options);
                Record { input, origin, nodes: &tape.0, base, options }.read(self.rows)
            }
            Err(error) => Err(Stop::Record(json_fault(raw, origin, error.index()))),
        };
        self.tape = tape.reset();
        outcome
    }

    /// Takes note of a refused record. That it is nested too deep is said before anything else.
    #[cold]
    fn refuse(&mut self, raw: &[u8], origin: Origin, fault: record::Fault) {
        let is_too_deep = split::extent(raw, 0).depth > limits::JSON_DEPTH_MAX;
        let reason = if is_too_deep { Reason::NestedTooDeep } else { fault.reason };
        self.rows.refuse(self.input, origin, origin.start + fault.at, reason);
    }
}

/// Buffers for records that are nested no deeper than they may be.
fn empty_buffers() -> Buffers {
    Buffers::with_max_depth(0, limits::JSON_DEPTH_MAX)
}

/// Why simd-json did not take a record; `index` is where it says that the trouble is.
#[cold]
fn json_fault(raw: &[u8], origin: Origin, index: usize) -> record::Fault {
    let known = fault::first(raw);
    let at = known.as_ref().map_or(index.min(raw.len()), |fault| fault.at);
    let what = known.map_or("this cannot be read", |fault| fault.what);
    record::Fault { at, reason: Reason::InvalidJson { at: origin.start + at, what } }
}

/// Memory that a record takes while it is read, in bytes: two copies of its text, and for each thing of
/// its structure (a bracket, comma, colon or value) a node and an offset. Vectors grow by doubling from
/// one record to the next, so it is as much for all short records up to the next power of two, whatever
/// they hold.
fn memory_bytes(raw: &[u8]) -> usize {
    const COPIES: usize = 2;
    const PADDING: usize = 4 * INPUT_PADDING;
    const STRUCTURAL_BYTES: usize = size_of::<Node<'static>>() + 2 * size_of::<u32>();
    if raw.len() <= limits::JSON_KEPT_BYTES_MAX {
        let bytes = raw.len().next_power_of_two();
        return 2 * (PADDING + bytes * (COPIES + STRUCTURAL_BYTES));
    }
    let weight = |byte: &u8| match byte {
        // With the value that may follow.
        b',' | b':' | b'[' | b']' | b'{' | b'}' => 2,
        b'"' | b' ' | b'\t' | b'\n' | b'\r' => 1,
        _ => 0,
    };
    let structurals: usize = raw.iter().map(weight).sum();
    PADDING + raw.len() * COPIES + structurals.saturating_add(1).saturating_mul(STRUCTURAL_BYTES)
}
