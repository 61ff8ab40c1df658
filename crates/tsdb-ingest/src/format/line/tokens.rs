//! Where things begin and end in a line: keys, names, texts, and the next line after a mistake.
//!
//! A comma, space or equals sign directly behind a backslash is part of the name; that is InfluxDB's
//! rule, and it makes a name that ends in a backslash impossible. A newline always ends a line, except
//! inside a text.

use std::borrow::Cow;
use std::ops::Range;

use memchr::{memchr, memchr2, memchr3};
use tsdb_core::{SeriesKey, limits as core_limits};

use super::escape::{self, unescape};
use crate::{Reason, Validation};

/// A mistake and where it is: an offset in whatever was looked at.
#[derive(Debug, PartialEq)]
pub(super) struct Fault {
    pub(super) at: usize,
    pub(super) reason: Reason,
}

impl Fault {
    pub(super) fn new(at: usize, reason: Reason) -> Fault {
        Fault { at, reason }
    }
}

#[cfg(test)]
thread_local! {
    static LOOKED_AT_BYTES: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

/// Counts the bytes that were looked at, in tests: the parser has to be linear.
#[inline(always)]
fn looked_at(bytes: usize) {
    #[cfg(test)]
    LOOKED_AT_BYTES.with(|count| count.set(count.get() + bytes));
    #[cfg(not(test))]
    let _ = bytes;
}

/// Bytes looked at on this thread since the last call.
#[cfg(test)]
pub(super) fn take_looked_at() -> usize {
    LOOKED_AT_BYTES.with(|count| count.replace(0))
}

/// Whether a line ends at `at`, with or without a carriage return.
#[inline]
pub(super) fn is_line_end(input: &[u8], at: usize) -> bool {
    match input.get(at) {
        None | Some(b'\n') => true,
        Some(b'\r') => matches!(input.get(at + 1), None | Some(b'\n')),
        Some(_) => false,
    }
}

/// The first byte at or behind `at` that is neither space nor tab.
#[inline]
pub(super) fn skip_blanks(input: &[u8], mut at: usize) -> usize {
    while matches!(input.get(at), Some(b' ' | b'\t')) {
        at += 1;
        looked_at(1);
    }
    at
}

/// End of the raw `measurement,tags` that begins at `start`: a space, or the end of the line.
pub(super) fn key_end(input: &[u8], start: usize) -> usize {
    let mut at = start;
    while let Some(found) = memchr2(b' ', b'\n', input.get(at..).unwrap_or_default()) {
        at += found;
        looked_at(found + 1);
        let is_escaped = at > start && input.get(at - 1) == Some(&b'\\');
        if input.get(at) == Some(&b'\n') || !is_escaped {
            return at;
        }
        at += 1;
    }
    looked_at(input.len().saturating_sub(at));
    input.len()
}

/// The series that `raw`, `measurement[,tag=value...]`, names.
///
/// # Errors
/// A fault in the form, or what [`Validation::series_key`] refuses; offsets are those in `raw`.
pub(super) fn series_key(raw: &[u8], validation: &Validation) -> Result<SeriesKey, Fault> {
    let raw = std::str::from_utf8(raw).map_err(|error| {
        let at = error.valid_up_to();
        Fault::new(at, Reason::InvalidUtf8 { at })
    })?;
    if raw.is_empty() || raw.starts_with(',') {
        return Err(Fault::new(0, Reason::MissingMeasurement));
    }
    let mut at = find_unescaped(raw, 1, b",");
    let measurement = unescape(raw.get(..at).unwrap_or_default(), escape::NAME);
    let mut pairs: Vec<(Cow<'_, str>, Cow<'_, str>)> = Vec::new();
    while at < raw.len() {
        let (key, value) = tag(raw, at + 1)?;
        if pairs.len() >= core_limits::TAGS_MAX {
            return Err(Fault::new(at, too_many_tags(pairs.len() + 1)));
        }
        at = value.end;
        let part = |range| unescape(raw.get(range).unwrap_or_default(), escape::TAG);
        pairs.push((part(key), part(value)));
    }
    let mut tags: Vec<(&str, &str)> = pairs.iter().map(|(k, v)| (&**k, &**v)).collect();
    validation.series_key(&measurement, &mut tags).map_err(|reason| Fault::new(0, reason))
}

/// Measurement of the line that begins with `raw`, for messages.
pub(super) fn measurement(raw: &[u8]) -> String {
    let raw = String::from_utf8_lossy(raw);
    let end = find_unescaped(&raw, 1, b", ");
    unescape(raw.get(..end).unwrap_or_default(), escape::NAME).into_owned()
}

/// Where the raw key and value of the tag at `start` stand; the value ends at a comma or behind `raw`.
fn tag(raw: &str, start: usize) -> Result<(Range<usize>, Range<usize>), Fault> {
    let byte = |at: usize| raw.as_bytes().get(at);
    if matches!(byte(start), None | Some(b',' | b'=')) {
        return Err(Fault::new(start, Reason::MissingTagKey));
    }
    let equals = find_unescaped(raw, start + 1, b",=");
    if byte(equals) != Some(&b'=') {
        return Err(Fault::new(equals, Reason::MissingTagValue));
    }
    let value = equals + 1;
    if matches!(byte(value), None | Some(b',')) {
        return Err(Fault::new(value, Reason::MissingTagValue));
    }
    // InfluxDB looks at the first byte of a value for a comma only: an equals sign there is text.
    let end = find_unescaped(raw, value + 1, b",=");
    if byte(end) == Some(&b'=') {
        return Err(Fault::new(end, Reason::InvalidTagFormat));
    }
    Ok((start..equals, value..end))
}

/// The first of `stops` at or behind `from`, which is at least 1, without a backslash before it; else
/// the end.
fn find_unescaped(raw: &str, from: usize, stops: &[u8]) -> usize {
    let mut previous = raw.as_bytes().get(from.wrapping_sub(1)).copied();
    for (at, byte) in raw.bytes().enumerate().skip(from) {
        looked_at(1);
        if stops.contains(&byte) && previous != Some(b'\\') {
            return at;
        }
        previous = Some(byte);
    }
    raw.len()
}

fn too_many_tags(count: usize) -> Reason {
    Reason::Limit(tsdb_core::Error::TooMany {
        what: "tags",
        count: count as u64,
        count_max: core_limits::TAGS_MAX as u64,
        remedy: "drop tags that no query needs",
    })
}

/// The equals sign behind the field name at `start`.
///
/// # Errors
/// [`Reason::MissingFieldKey`], [`Reason::InvalidFieldFormat`].
pub(super) fn field_name_end(input: &[u8], start: usize) -> Result<usize, Fault> {
    let mut at = start;
    loop {
        looked_at(1);
        match input.get(at) {
            Some(b'=') if at == start => return Err(Fault::new(at, Reason::MissingFieldKey)),
            // InfluxDB's two passes over the fields disagree about an equals sign behind an even number
            // of backslashes, and it refuses the line.
            Some(b'=') if input.get(at - 1) == Some(&b'\\') => {
                return Err(Fault::new(at, Reason::InvalidFieldFormat));
            }
            Some(b'=') => return Ok(at),
            None | Some(b',' | b' ' | b'\n') => {
                return Err(Fault::new(at, Reason::InvalidFieldFormat));
            }
            Some(b'\\') if !is_line_end(input, at + 1) => at += 2,
            Some(_) => at += 1,
        }
    }
}

/// End of the number or boolean at `start`.
pub(super) fn value_end(input: &[u8], start: usize) -> usize {
    let rest = input.get(start..).unwrap_or_default();
    let end = memchr3(b',', b' ', b'\n', rest).map_or(input.len(), |found| start + found);
    looked_at(end - start);
    let has_return = end > start && input.get(end - 1) == Some(&b'\r');
    if has_return && is_line_end(input, end - 1) { end - 1 } else { end }
}

/// End of the text whose opening quote is at `start`: a comma, a space or the end of the line. What
/// stands between the closing quote and there belongs to the text, as in InfluxDB.
///
/// # Errors
/// [`Reason::UnbalancedQuotes`]; [`Reason::InvalidFieldFormat`] for an equals sign outside of quotes.
pub(super) fn text_end(input: &[u8], start: usize) -> Result<usize, Fault> {
    let mut at = start;
    loop {
        // Inside of the quotes.
        at = closing_quote(input, at + 1)
            .ok_or_else(|| Fault::new(start, Reason::UnbalancedQuotes))?
            + 1;
        loop {
            looked_at(1);
            match input.get(at) {
                Some(b'"') => break,
                Some(b',' | b' ') => return Ok(at),
                Some(b'=') => return Err(Fault::new(at, Reason::InvalidFieldFormat)),
                _ if is_line_end(input, at) => return Ok(at),
                Some(b'\\') if !is_line_end(input, at + 1) => at += 2,
                _ => at += 1,
            }
        }
    }
}

/// The next quote without a backslash before it, where a pair of backslashes is none.
fn closing_quote(input: &[u8], start: usize) -> Option<usize> {
    let mut at = start;
    loop {
        let rest = input.get(at..)?;
        let found = memchr2(b'"', b'\\', rest);
        looked_at(found.unwrap_or(rest.len()) + 1);
        at += found?;
        if input.get(at) == Some(&b'"') {
            return Some(at);
        }
        at += 2;
    }
}

/// End of the line after a mistake at `at`, outside of a text. A text that begins behind the mistake is
/// skipped whole, so that lines inside of it are not taken for lines.
pub(super) fn next_line(input: &[u8], at: usize) -> usize {
    let mut at = at;
    while let Some(found) = memchr2(b'\n', b'"', input.get(at..).unwrap_or_default()) {
        at += found;
        looked_at(found + 1);
        if input.get(at) == Some(&b'\n') {
            return at;
        }
        let opens = at > 0 && input.get(at - 1) == Some(&b'=');
        at = if opens { closing_quote(input, at + 1).unwrap_or(input.len()) + 1 } else { at + 1 };
    }
    looked_at(input.len().saturating_sub(at));
    input.len()
}

/// The first newline at or behind `at`, else the end.
pub(super) fn newline(input: &[u8], at: usize) -> usize {
    let end = memchr(b'\n', input.get(at..).unwrap_or_default()).map_or(input.len(), |n| at + n);
    looked_at(end.saturating_sub(at) + 1);
    end
}

/// How many newlines there are in a part of the input.
pub(super) fn newlines(input: &[u8], range: Range<usize>) -> u64 {
    looked_at(range.len());
    memchr::memchr_iter(b'\n', input.get(range).unwrap_or_default()).count() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(raw: &str) -> Result<String, Fault> {
        series_key(raw.as_bytes(), &Validation::default())
            .map(|key| key.as_str().replace('\0', "|"))
    }

    #[test]
    fn keys_are_read_and_sorted() {
        for (raw, expected) in [
            ("m", "m|"),
            ("m,b=1,a=2", "m|a|2|b|1|"),
            ("m\\,x\\ y\\=z,a\\ b=c\\,d", "m,x y=z|a b|c,d|"),
            ("m=x,t==", "m=x|t|=|"),
            ("m\\\"q,t\\\"=v\\\"", "m\"q|t\\\"|v\\\"|"),
            ("\\,m", ",m|"),
            ("mä,t=ö", "mä|t|ö|"),
        ] {
            assert_eq!(key(raw).as_deref(), Ok(expected), "{raw}");
        }
    }

    #[test]
    fn faults_of_keys_name_their_place() {
        for (raw, at, reason) in [
            ("", 0, Reason::MissingMeasurement),
            (",a=1", 0, Reason::MissingMeasurement),
            ("m,", 2, Reason::MissingTagKey),
            ("m,=1", 2, Reason::MissingTagKey),
            ("m,,a=1", 2, Reason::MissingTagKey),
            ("m,a", 3, Reason::MissingTagValue),
            ("m,a,b=1", 3, Reason::MissingTagValue),
            ("m,a=", 4, Reason::MissingTagValue),
            ("m,a=,b=1", 4, Reason::MissingTagValue),
            ("m,a=1=2", 5, Reason::InvalidTagFormat),
            ("m,a=1,a=2", 0, Reason::DuplicateTags { key: "a".to_owned() }),
            ("m,time=1", 0, Reason::TimeTag { measurement: "m".to_owned() }),
        ] {
            assert_eq!(key(raw), Err(Fault::new(at, reason)), "{raw}");
        }
        let utf8 = series_key(b"m,a=\xff", &Validation::default());
        assert_eq!(utf8, Err(Fault::new(4, Reason::InvalidUtf8 { at: 4 })));
    }

    #[test]
    fn keys_end_at_a_space_or_with_the_line() {
        for (text, end) in [
            ("m v", 1),
            ("m\\ n v", 4),
            ("m\nn v", 1),
            ("m", 1),
            ("m\\\nx y", 2),
            ("m\\", 2),
            ("", 0),
        ] {
            assert_eq!(key_end(text.as_bytes(), 0), end, "{text:?}");
        }
    }

    #[test]
    fn texts_end_outside_of_quotes() {
        for (text, end) in [
            (r#""" x"#, 2),
            (r#""a b,c=d" x"#, 9),
            (r#""a\"b" x"#, 6),
            (r#""a\\" x"#, 5),
            (r#""a"b x"#, 4),
            (r#""a""b c" x"#, 8),
            ("\"a\nb\"\nx", 5),
            ("\"a\"\r\nx", 3),
            ("\"a\"", 3),
        ] {
            assert_eq!(text_end(text.as_bytes(), 0), Ok(end), "{text:?}");
        }
        for text in ["\"", "\"a", "\"a\\\"", "\"a\" \"", "\"a\"\"b"] {
            let expected = if text == "\"a\" \"" {
                Ok(3)
            } else {
                Err(Fault::new(0, Reason::UnbalancedQuotes))
            };
            assert_eq!(text_end(text.as_bytes(), 0), expected, "{text:?}");
        }
        assert_eq!(text_end(b"\"a\"=1", 0), Err(Fault::new(3, Reason::InvalidFieldFormat)));
    }

    #[test]
    fn the_next_line_is_not_looked_for_inside_of_texts() {
        for (text, at, end) in [
            ("bad\nm v=1", 0, 3),
            ("bad,f=\"x\ny\" 1\nm", 0, 13),
            ("bad\" 1\nm", 0, 6),
            ("bad,f=\"x\ny", 0, 10),
            ("bad", 0, 3),
            ("bad", 9, 3),
        ] {
            assert_eq!(next_line(text.as_bytes(), at), end, "{text:?}");
        }
    }
}
