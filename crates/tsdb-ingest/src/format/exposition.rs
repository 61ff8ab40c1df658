//! The text format of Prometheus, version 0.0.4: what `/metrics` of a program answers, sent as a body.
//!
//! Each sample is one row with the field `value`; its labels are tags. What comments say (`# HELP`, `# TYPE`) is passed
//! over. Not here: the format's binary and OpenMetrics relatives.

#[cfg(test)]
mod tests;

use std::borrow::Cow;

use memchr::{memchr, memchr2};
use tsdb_core::{DataPoint, TagCharset};

use super::line::number::plain_number;
use super::pieces::Pieces;
use super::{Format, Ingestion, Likelihood, ParseOptions, is_text, points_of};
use crate::report::Origin;
use crate::rows::Refusal;
use crate::{Precision, Reason, Result, RowBuilder, Rows, limits};

/// The name of the field of every row.
const VALUE: &str = "value";

/// The handler of the text format. It has no state.
#[derive(Debug, Clone, Copy)]
pub struct PrometheusText {
    options: ParseOptions<'static>,
}

impl PrometheusText {
    /// A handler whose [`Ingestion::parse`] reads with `options`. A pipeline brings its own with each request.
    pub fn new(options: ParseOptions<'static>) -> PrometheusText {
        PrometheusText { options }
    }
}

impl Default for PrometheusText {
    /// Milliseconds; samples without a timestamp are of 1970.
    fn default() -> Self {
        PrometheusText::new(ParseOptions::new(Precision::Nanoseconds, 0))
    }
}

impl Ingestion for PrometheusText {
    fn parse(&self, input: &[u8]) -> Result<Vec<DataPoint>> {
        points_of(self, input, &self.options, TagCharset::Utf8)
    }

    /// Its media type, `text/plain` with a version, is that of line protocol, so it goes by its name.
    fn supported_formats(&self) -> Vec<&'static str> {
        vec!["prometheus"]
    }
}

impl Format for PrometheusText {
    fn charset(&self) -> TagCharset {
        TagCharset::Utf8
    }

    /// What programs answer begins with comments of two kinds.
    fn looks_like(&self, head: &[u8]) -> Likelihood {
        let head = head.trim_ascii_start();
        let begins = head.starts_with(b"# HELP ") || head.starts_with(b"# TYPE ");
        if begins && is_text(head) { Likelihood::Likely } else { Likelihood::No }
    }

    fn pieces(&self, _: &[u8], _: &ParseOptions<'_>) -> Result<Option<Pieces>> {
        Ok(Some(Pieces::Lines))
    }

    fn parse_rows(&self, input: &[u8], options: &ParseOptions<'_>, rows: &mut Rows) -> Result<()> {
        // The format counts milliseconds; ns is what a request has that says nothing.
        let unit = match options.precision {
            Precision::Nanoseconds => Precision::Milliseconds,
            given => given,
        };
        let (mut at, mut line) = (0, 0);
        while at < input.len() {
            rows.settle_portion(input)?;
            line += 1;
            let rest = input.get(at..).unwrap_or_default();
            let length = memchr(b'\n', rest).unwrap_or(rest.len());
            let raw = rest.get(..length).unwrap_or_default();
            let start = at + (length - raw.trim_ascii_start().len());
            let raw = raw.trim_ascii();
            at += length + 1;
            if raw.is_empty() || raw.starts_with(b"#") {
                continue;
            }
            let origin = Origin { line, start, end: start + raw.len() };
            match sample(raw, origin, options, unit, rows) {
                Ok(()) => {}
                Err(Stop { refusal: Refusal::Request(error), .. }) => return Err(error.into()),
                Err(Stop { at, refusal: Refusal::Row(reason) }) => {
                    rows.refuse(input, origin, start + at, reason);
                }
            }
        }
        Ok(())
    }
}

/// Why a line is not stored, and where in it the trouble begins.
struct Stop {
    at: usize,
    refusal: Refusal,
}

impl Stop {
    fn new(at: usize, reason: Reason) -> Stop {
        Stop { at, refusal: Refusal::Row(reason) }
    }
}

/// Stores `name{label="value",…} value [timestamp]`, a line without blanks around it.
fn sample(
    raw: &[u8],
    origin: Origin,
    options: &ParseOptions<'_>,
    unit: Precision,
    rows: &mut Rows,
) -> std::result::Result<(), Stop> {
    if raw.len() > limits::LINE_BYTES_MAX {
        return Err(Stop::new(0, Reason::LineTooLong));
    }
    let validation = *rows.validation();
    let ends_name = |byte: &u8| matches!(byte, b'{' | b' ' | b'\t');
    let name_end = raw.iter().position(ends_name).unwrap_or(raw.len());
    let name = text(raw, 0, name_end)?;
    if name.is_empty() {
        return Err(Stop::new(0, Reason::MissingMetricName));
    }
    let mut row = rows.row(name);
    let mut at = skip_blanks(raw, name_end);
    if raw.get(at) == Some(&b'{') {
        at = labels(raw, at + 1, &mut row)?;
    }
    let (value_at, value, behind) = word(raw, at);
    if value.is_empty() {
        return Err(Stop::new(value_at, Reason::MissingFieldValue));
    }
    let value = number(value).ok_or_else(|| Stop::new(value_at, Reason::InvalidNumber))?;
    let (time_at, stamp, behind) = word(raw, behind);
    let time = match stamp {
        b"" => options.now(),
        stamp => integer(stamp)
            .ok_or(Reason::BadTimestamp)
            .and_then(|stamp| validation.time(stamp, unit))
            .map_err(|reason| Stop::new(time_at, reason))?,
    };
    let (more_at, more, _) = word(raw, behind);
    if !more.is_empty() {
        return Err(Stop::new(more_at, Reason::TrailingText));
    }
    row.field(VALUE, value);
    row.try_push(origin, time).map_err(|refusal| Stop { at: 0, refusal })
}

/// Reads labels up to the closing bracket, and ends behind it. An empty label is none.
fn labels(raw: &[u8], mut at: usize, row: &mut RowBuilder<'_>) -> std::result::Result<usize, Stop> {
    loop {
        at = skip_blanks(raw, at);
        if raw.get(at) == Some(&b'}') {
            return Ok(at + 1);
        }
        let length = memchr2(b'=', b'}', raw.get(at..).unwrap_or_default());
        let equals = at + length.unwrap_or(raw.len() - at.min(raw.len()));
        let name_end = at + raw.get(at..equals).unwrap_or_default().trim_ascii_end().len();
        let name = text(raw, at, name_end)?;
        if name.is_empty() {
            return Err(Stop::new(at, Reason::EmptyLabelName));
        }
        let quote = skip_blanks(raw, equals + 1);
        if raw.get(equals) != Some(&b'=') || raw.get(quote) != Some(&b'"') {
            return Err(Stop::new(at, Reason::InvalidTagFormat));
        }
        let end = closing_quote(raw, quote + 1)
            .ok_or_else(|| Stop::new(quote, Reason::UnbalancedQuotes))?;
        let value = unescaped(text(raw, quote + 1, end)?);
        if !value.is_empty() {
            row.tag(name, &value);
        }
        at = skip_blanks(raw, end + 1);
        match raw.get(at) {
            Some(b',') => at += 1,
            Some(b'}') => {}
            _ => return Err(Stop::new(at, Reason::InvalidTagFormat)),
        }
    }
}

/// The closing quote of a text that begins at `at`.
fn closing_quote(raw: &[u8], mut at: usize) -> Option<usize> {
    loop {
        at += memchr2(b'"', b'\\', raw.get(at..)?)?;
        if raw.get(at) == Some(&b'"') {
            return Some(at);
        }
        at += 2;
    }
}

/// `\\`, `\"` and `\n` stand for a backslash, a quote and a line feed; a backslash before anything else for itself.
fn unescaped(text: &str) -> Cow<'_, str> {
    if !text.contains('\\') {
        return text.into();
    }
    let mut plain = String::with_capacity(text.len());
    let mut characters = text.chars();
    while let Some(c) = characters.next() {
        if c != '\\' {
            plain.push(c);
            continue;
        }
        match characters.next() {
            Some('n') => plain.push('\n'),
            Some(escaped @ ('\\' | '"')) => plain.push(escaped),
            Some(other) => plain.extend(['\\', other]),
            None => plain.push('\\'),
        }
    }
    plain.into()
}

fn skip_blanks(raw: &[u8], mut at: usize) -> usize {
    while matches!(raw.get(at), Some(b' ' | b'\t')) {
        at += 1;
    }
    at
}

/// The next word at or behind `at`: where it begins, itself, and where it ends.
fn word(raw: &[u8], at: usize) -> (usize, &[u8], usize) {
    let start = skip_blanks(raw, at);
    let rest = raw.get(start..).unwrap_or_default();
    let length = memchr2(b' ', b'\t', rest).unwrap_or(rest.len());
    (start, rest.get(..length).unwrap_or_default(), start + length)
}

/// A part of the line as text.
fn text(raw: &[u8], start: usize, end: usize) -> std::result::Result<&str, Stop> {
    std::str::from_utf8(raw.get(start..end).unwrap_or_default()).map_err(|error| {
        let at = start + error.valid_up_to();
        Stop::new(at, Reason::InvalidUtf8 { at })
    })
}

/// A float as Go prints it, infinities and NaN among them.
fn number(text: &[u8]) -> Option<f64> {
    if let Some(number) = plain_number(text) {
        return Some(number);
    }
    let text = std::str::from_utf8(text).ok()?;
    let is_word = text.trim_start_matches(['+', '-']).starts_with(['i', 'I', 'n', 'N']);
    let number: f64 = text.parse().ok()?;
    // The rest are floats with a plus sign; digits beyond the largest float are none.
    (is_word || number.is_finite()).then_some(number)
}

fn integer(text: &[u8]) -> Option<i64> {
    std::str::from_utf8(text).ok()?.parse().ok()
}
