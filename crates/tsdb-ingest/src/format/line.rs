//! InfluxDB line protocol, as InfluxDB 1.8 reads it: `docs/line-protocol.md` describes the format and
//! the few places where this parser differs.
//!
//! One pass, straight to columns. Lines of a known series with the fields of the last time cost three
//! things: one comparison of the bytes up to the first space, one per field name, and reading the
//! numbers. Everything else (a new series, another order of fields, text, escapes, a mistake) takes the
//! general path, which begins again at the key or at the fields.

mod escape;
pub(super) mod number;
mod tokens;

#[cfg(test)]
mod tests;

use std::ops::Range;

use tsdb_core::{DataPoint, SeriesKey, TagCharset};

use self::escape::unescape;
use self::tokens::Fault;
use super::pieces::Pieces;
use super::{Format, Ingestion, Likelihood, ParseOptions, is_text, points_of};
use crate::report::Origin;
use crate::rows::Refusal;
use crate::rows::series_cache::{Cached, SeriesHandle};
use crate::rows::shapes::{Field, FieldKind, ShapeId};
use crate::{Precision, Reason, Result, Rows, Validation, limits};

/// Marks a number in the signature of a shape.
const NUMBER_MARK: u8 = b'n';
/// Marks a text in the signature of a shape.
const TEXT_MARK: u8 = b't';

/// The handler of line protocol. It has no state: caches belong to [`Rows`].
#[derive(Debug, Clone, Copy)]
pub struct LineProtocol {
    options: ParseOptions<'static>,
    charset: TagCharset,
}

impl LineProtocol {
    /// A handler whose [`Ingestion::parse`] reads with `options` and accepts `charset` in names. A
    /// pipeline brings its own options with each request.
    pub fn new(options: ParseOptions<'static>, charset: TagCharset) -> LineProtocol {
        LineProtocol { options, charset }
    }
}

impl Default for LineProtocol {
    /// Nanoseconds and UTF-8; lines without a timestamp are of 1970.
    fn default() -> Self {
        LineProtocol::new(ParseOptions::new(Precision::Nanoseconds, 0), TagCharset::Utf8)
    }
}

impl Ingestion for LineProtocol {
    fn parse(&self, input: &[u8]) -> Result<Vec<DataPoint>> {
        points_of(self, input, &self.options, self.charset)
    }

    fn supported_formats(&self) -> Vec<&'static str> {
        vec!["text/plain", "line-protocol", "influx"]
    }
}

impl Format for LineProtocol {
    fn charset(&self) -> TagCharset {
        TagCharset::Utf8
    }

    /// A line has a space, and behind it a field with its equals sign.
    fn looks_like(&self, head: &[u8]) -> Likelihood {
        if !is_text(head) {
            return Likelihood::No;
        }
        let lines = head.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
        let mut lines = lines.filter(|line| !line.is_empty() && !line.starts_with(b"#"));
        let Some(line) = lines.next() else { return Likelihood::Possible };
        let fields = line.get(tokens::key_end(line, 0)..).unwrap_or_default().trim_ascii_start();
        let name = fields.split(|byte| matches!(byte, b',' | b' ')).next().unwrap_or_default();
        let is_line = name.contains(&b'=') && !line.starts_with(b"{") && !line.starts_with(b"[");
        if is_line { Likelihood::Likely } else { Likelihood::Possible }
    }

    fn pieces(&self, _: &[u8], _: &ParseOptions<'_>) -> Result<Option<Pieces>> {
        Ok(Some(Pieces::LineProtocol))
    }

    fn parse_rows(&self, input: &[u8], options: &ParseOptions<'_>, rows: &mut Rows) -> Result<()> {
        let mut parser = Parser {
            input,
            options,
            rows,
            at: 0,
            line: 1,
            text_newlines: 0,
            values: Vec::new(),
            signature: Vec::new(),
        };
        parser.run()
    }
}

/// Behind the last line that ends in `input`, which begins with a line; 0 if none does. A newline inside of a text ends
/// no line.
pub(super) fn last_end(input: &[u8]) -> usize {
    if memchr::memchr(b'"', input).is_none() {
        return memchr::memrchr(b'\n', input).map_or(0, |at| at + 1);
    }
    let (mut at, mut last) = (0, 0);
    while at < input.len() {
        let end = line_end(input, tokens::skip_blanks(input, at));
        at = end + 1;
        if end < input.len() {
            last = at;
        }
    }
    last
}

/// The newline of the line at `at`, or the end of the input, where the parser sees it.
fn line_end(input: &[u8], mut at: usize) -> usize {
    if input.get(at) == Some(&b'#') {
        return tokens::newline(input, at);
    }
    let key_end = tokens::key_end(input, at);
    let raw = input.get(at..key_end).unwrap_or_default();
    let is_bad = tokens::series_key(raw, &Validation::default()).is_err();
    if is_bad || input.get(key_end) != Some(&b' ') {
        return tokens::next_line(input, key_end);
    }
    at = tokens::skip_blanks(input, key_end);
    loop {
        let value = match tokens::field_name_end(input, at) {
            Ok(equals) => equals + 1,
            Err(fault) => return tokens::next_line(input, fault.at),
        };
        at = match input.get(value) {
            Some(b'"') => match tokens::text_end(input, value) {
                Ok(end) => end,
                Err(Fault { reason: Reason::UnbalancedQuotes, .. }) => return input.len(),
                Err(fault) => return tokens::next_line(input, fault.at),
            },
            _ => match number::common_number(input, value) {
                Some((_, end)) => end,
                None => match other_number(input, value) {
                    Ok((_, end)) => end,
                    Err(fault) => return tokens::next_line(input, fault.at),
                },
            },
        };
        if input.get(at) != Some(&b',') {
            return tokens::newline(input, at);
        }
        at += 1;
    }
}

/// Series of a line, before the rest of the line has been read.
enum Key {
    Cached(Cached),
    /// Not known; taken up only when the whole line is right.
    New(SeriesKey),
}

/// What ends a line early.
enum Stop {
    /// A mistake, and where the line ends all the same.
    Line { fault: Fault, end: usize },
    /// No memory for the request.
    Request(tsdb_core::Error),
}

/// The state of one request.
struct Parser<'a> {
    input: &'a [u8],
    options: &'a ParseOptions<'a>,
    rows: &'a mut Rows,
    /// Where in the input the next token begins.
    at: usize,
    /// Number of the current line, from 1.
    line: u64,
    /// Newlines inside of the current line's texts.
    text_newlines: u64,
    /// Numbers of the current line, in its order.
    values: Vec<f64>,
    /// Raw names of the current line with marks of their kinds.
    signature: Vec<u8>,
}

impl Parser<'_> {
    fn run(&mut self) -> Result<()> {
        while self.at < self.input.len() {
            self.rows.settle_portion(self.input)?;
            self.at = tokens::skip_blanks(self.input, self.at);
            if tokens::is_line_end(self.input, self.at) || self.input.get(self.at) == Some(&b'#') {
                self.at = tokens::newline(self.input, self.at);
            } else {
                self.line_or_refusal()?;
            }
            debug_assert!(
                matches!(self.input.get(self.at), None | Some(b'\n')),
                "a line ends here"
            );
            self.at += 1;
            self.line += 1;
        }
        Ok(())
    }

    /// Reads one line, or notes why not; ends at its newline.
    fn line_or_refusal(&mut self) -> Result<()> {
        let start = self.at;
        self.text_newlines = 0;
        match self.read_line(start) {
            Ok(()) => {
                if self.input.get(self.at) == Some(&b'\r') {
                    self.at += 1;
                }
                self.line += self.text_newlines;
                Ok(())
            }
            Err(Stop::Request(error)) => Err(error.into()),
            Err(Stop::Line { fault, end }) => {
                let has_return = end > start && self.input.get(end - 1) == Some(&b'\r');
                let origin = Origin { line: self.line, start, end: end - usize::from(has_return) };
                self.rows.refuse(self.input, origin, fault.at, fault.reason);
                self.line += tokens::newlines(self.input, start..end);
                self.at = end;
                Ok(())
            }
        }
    }

    fn read_line(&mut self, start: usize) -> std::result::Result<(), Stop> {
        let key = self.key(start).map_err(|fault| self.stop_at_key(start, fault))?;
        let key_end = self.at;
        self.at = tokens::skip_blanks(self.input, self.at);
        let expected = match &key {
            Key::Cached(cached) => self.expected_fields(cached.shape),
            Key::New(_) => None,
        };
        let shape = match expected {
            Some(shape) => shape,
            None => self.any_fields(start).map_err(|fault| self.stop_at_fields(fault))?,
        };
        let time = self.time().map_err(|fault| self.stop_behind_fields(fault))?;
        if self.at - start > limits::LINE_BYTES_MAX {
            return Err(self.stop_behind_fields(Fault::new(start, Reason::LineTooLong)));
        }
        let series = self.series(key, start..key_end, shape).map_err(Stop::Request)?;
        let origin = Origin { line: self.line, start, end: self.at };
        self.rows.push(series, shape, time, &self.values, origin).map_err(|refusal| match refusal {
            Refusal::Row(reason) => self.stop_behind_fields(Fault::new(start, reason)),
            Refusal::Request(error) => Stop::Request(error),
        })
    }

    fn stop_at_key(&self, start: usize, fault: Fault) -> Stop {
        let end = tokens::next_line(self.input, tokens::key_end(self.input, start));
        Stop::Line { fault, end }
    }

    fn stop_at_fields(&self, fault: Fault) -> Stop {
        let end = match fault.reason {
            // What the client meant as text is never read as lines.
            Reason::UnbalancedQuotes => self.input.len(),
            _ => tokens::next_line(self.input, fault.at),
        };
        Stop::Line { fault, end }
    }

    fn stop_behind_fields(&self, fault: Fault) -> Stop {
        Stop::Line { fault, end: tokens::newline(self.input, self.at) }
    }

    /// The series at `start`; ends behind it.
    #[inline]
    fn key(&mut self, start: usize) -> std::result::Result<Key, Fault> {
        let rest = self.input.get(start..).unwrap_or_default();
        if let Some((cached, bytes)) = self.rows.series.predict(rest) {
            self.at = start + bytes;
            return Ok(Key::Cached(cached));
        }
        self.other_key(start)
    }

    fn other_key(&mut self, start: usize) -> std::result::Result<Key, Fault> {
        let end = tokens::key_end(self.input, start);
        let raw = self.input.get(start..end).unwrap_or_default();
        let has_fields = self.input.get(end) == Some(&b' ');
        self.at = end;
        if has_fields && let Some(cached) = self.rows.series.find(raw) {
            return Ok(Key::Cached(cached));
        }
        let key = tokens::series_key(raw, self.rows.validation())
            .map_err(|fault| Fault::new(start + fault.at, fault.reason))?;
        if has_fields { Ok(Key::New(key)) } else { Err(Fault::new(end, Reason::MissingFields)) }
    }

    /// The handle of a line's series, now that the whole line has been read.
    #[inline]
    fn series(
        &mut self,
        key: Key,
        raw: Range<usize>,
        shape: ShapeId,
    ) -> tsdb_core::Result<SeriesHandle> {
        match key {
            Key::Cached(cached) => {
                if cached.shape != shape {
                    self.rows.series.set_shape(cached.entry, shape);
                }
                Ok(cached.series)
            }
            Key::New(key) => {
                let raw = self.input.get(raw).unwrap_or_default();
                let (series, entry) = self.rows.define_series(raw, key)?;
                if let Some(entry) = entry {
                    self.rows.series.set_shape(entry, shape);
                }
                Ok(series)
            }
        }
    }

    /// The fields of `expected` with other values; `None` if there is anything else.
    #[inline]
    fn expected_fields(&mut self, expected: ShapeId) -> Option<ShapeId> {
        let shape = self.rows.shapes.get(expected)?;
        let input = self.input;
        let mut at = self.at;
        self.values.clear();
        for (place, token) in shape.tokens().iter().enumerate() {
            if place > 0 {
                if input.get(at) != Some(&b',') {
                    return None;
                }
                at += 1;
            }
            let name = shape.raw_name(token);
            if !input.get(at..)?.starts_with(name) {
                return None;
            }
            at += name.len();
            if token.kind == FieldKind::Text {
                let end = Some(at).filter(|at| input.get(*at) == Some(&b'"'))?;
                let end = tokens::text_end(input, end).ok()?;
                self.text_newlines += tokens::newlines(input, at..end);
                at = end;
            } else {
                let (value, end) = match number::common_number(input, at) {
                    Some(common) => common,
                    None => other_number(input, at).ok()?,
                };
                self.values.push(value);
                at = end;
            }
        }
        if input.get(at) == Some(&b',') {
            return None;
        }
        self.at = at;
        Some(expected)
    }

    /// Any fields; ends behind them.
    fn any_fields(&mut self, line_start: usize) -> std::result::Result<ShapeId, Fault> {
        let fields_start = self.at;
        self.values.clear();
        self.signature.clear();
        self.text_newlines = 0;
        loop {
            let equals = tokens::field_name_end(self.input, self.at)?;
            let name = self.input.get(self.at..=equals).unwrap_or_default();
            self.signature.extend_from_slice(name);
            let start = equals + 1;
            if self.input.get(start) == Some(&b'"') {
                let end = tokens::text_end(self.input, start)?;
                self.text_newlines += tokens::newlines(self.input, start..end);
                self.signature.push(TEXT_MARK);
                self.at = end;
            } else {
                let (value, end) = match number::common_number(self.input, start) {
                    Some(common) => common,
                    None => other_number(self.input, start)?,
                };
                self.values.push(value);
                self.signature.push(NUMBER_MARK);
                self.at = end;
            }
            // Before anything that grows with the line does so without bound.
            if self.at - line_start > limits::LINE_BYTES_MAX {
                return Err(Fault::new(self.at, Reason::LineTooLong));
            }
            if self.input.get(self.at) != Some(&b',') {
                break;
            }
            self.at += 1;
        }
        if let Some(known) = self.rows.shapes.find(&self.signature) {
            return Ok(known);
        }
        self.new_shape(line_start, fields_start)
    }

    /// Takes up the shape that the signature describes.
    #[cold]
    fn new_shape(
        &mut self,
        line_start: usize,
        fields_start: usize,
    ) -> std::result::Result<ShapeId, Fault> {
        let mut fields = Vec::new();
        let mut at = 0;
        while at < self.signature.len() {
            let equals = tokens::field_name_end(&self.signature, at)?;
            let raw = self.signature.get(at..equals).unwrap_or_default();
            let raw = std::str::from_utf8(raw).map_err(|error| {
                // Names stand in the line as in the signature, values between them.
                let place = find(self.input, fields_start, raw) + error.valid_up_to();
                Fault::new(place, Reason::InvalidUtf8 { at: place - line_start })
            })?;
            let mark = self.signature.get(equals + 1);
            let kind = if mark == Some(&TEXT_MARK) { FieldKind::Text } else { FieldKind::Number };
            let name = unescape(raw, escape::NAME).into_owned();
            fields.push(Field { raw: at..equals + 1, name, kind });
            at = equals + 2;
        }
        let line = self.input.get(line_start..fields_start).unwrap_or_default();
        let measurement = || tokens::measurement(line);
        // What is wrong with the shape is outside of texts, behind all of them.
        self.rows
            .define_shape(&self.signature, fields, measurement)
            .map_err(|reason| Fault::new(self.at, reason))
    }

    /// The timestamp, and what follows it to the end of the line.
    #[inline]
    fn time(&mut self) -> std::result::Result<i64, Fault> {
        let input = self.input;
        let start = tokens::skip_blanks(input, self.at);
        self.at = start;
        let validation = *self.rows.validation();
        let out_of_range = |reason| Fault::new(start, reason);
        if tokens::is_line_end(input, start) {
            let now = self.options.precision.truncate(self.options.now_ns);
            return validation.time(now, Precision::Nanoseconds).map_err(out_of_range);
        }
        let is_negative = input.get(start) == Some(&b'-');
        let first = start + usize::from(is_negative);
        let (stamp, end) = match number::digits(input, first) {
            Some((_, 0)) => return Err(Fault::new(first, Reason::BadTimestamp)),
            Some((magnitude, count)) => (i64::try_from(magnitude).ok(), first + count),
            None => long_stamp(input, first),
        };
        self.at = end;
        if input.get(end) != Some(&b'\n') {
            self.nothing_but_spaces()?;
        }
        let stamp = stamp.ok_or_else(|| out_of_range(Reason::TimeOutsideRange))?;
        let stamp = if is_negative { -stamp } else { stamp };
        validation.time(stamp, self.options.precision).map_err(out_of_range)
    }

    /// Ends at the end of the line, if only spaces come before it.
    fn nothing_but_spaces(&mut self) -> std::result::Result<(), Fault> {
        let mut at = self.at;
        while self.input.get(at) == Some(&b' ') {
            at += 1;
        }
        if !tokens::is_line_end(self.input, at) {
            let is_stamp = at == self.at;
            let reason = if is_stamp { Reason::BadTimestamp } else { Reason::TrailingText };
            return Err(Fault::new(at, reason));
        }
        self.at = at;
        Ok(())
    }
}

/// A timestamp of more digits than fit: leading zeros, or out of range.
#[cold]
fn long_stamp(input: &[u8], start: usize) -> (Option<i64>, usize) {
    let rest = input.get(start..).unwrap_or_default();
    let count = rest.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(rest.len());
    let text = std::str::from_utf8(rest.get(..count).unwrap_or_default());
    (text.ok().and_then(|text| text.parse().ok()), start + count)
}

/// A number of an uncommon form, or a boolean, and where it ends.
fn other_number(input: &[u8], start: usize) -> std::result::Result<(f64, usize), Fault> {
    let end = tokens::value_end(input, start);
    let text = input.get(start..end).unwrap_or_default();
    let value = match text.first() {
        None => Err(Reason::MissingFieldValue),
        Some(b'0'..=b'9' | b'.' | b'-' | b'N' | b'n') => number::number(text),
        Some(_) => number::boolean(text),
    };
    value.map(|value| (value, end)).map_err(|reason| Fault::new(start, reason))
}

/// Where `part` stands in `input`, at or behind `from`.
fn find(input: &[u8], from: usize, part: &[u8]) -> usize {
    let rest = input.get(from..).unwrap_or_default();
    from + memchr::memmem::find(rest, part).unwrap_or(0)
}
