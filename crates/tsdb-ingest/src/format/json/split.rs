//! Cuts a JSON document into records: elements of an array, lines, or values one behind the other. Only
//! brackets and quotes are looked at; whether a record is JSON is found out when it is parsed.
//!
//! After a mistake the next record is looked for where it should be: a closing bracket also closes what
//! was left open inside of it. A quote that is left open takes everything behind it along, since text
//! must never be taken for data.

use std::ops::Range;

use memchr::{memchr, memchr2, memmem};

#[cfg(test)]
thread_local! {
    static LOOKED_AT_BYTES: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

/// Counts the bytes that were looked at, in tests: cutting has to be linear.
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

/// A piece of a document.
#[derive(Debug, PartialEq)]
pub(super) enum Piece {
    /// What should be a record.
    Record(Range<usize>),
    /// All the rest, which cannot be cut; what is wrong with it, and where it begins.
    Rest { at: usize, what: &'static str },
}

/// How the records of a document stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// Each on a line of its own.
    Lines,
    /// One behind the other, with nothing or blanks between them.
    Values,
    /// In an array, before whose first element the cutter is.
    ArrayStart,
    /// In an array, behind a comma.
    Element,
    /// In an array, behind an element.
    Separator,
    /// Behind the array.
    ArrayEnd,
    /// There is no record.
    NoJson,
    /// All has been given out.
    Done,
}

/// Gives the pieces of a document in order.
#[derive(Debug)]
pub(super) struct Splitter<'a> {
    input: &'a [u8],
    form: Form,
    at: usize,
    /// Number of the last line or record.
    number: u64,
}

impl<'a> Splitter<'a> {
    /// Cuts `input` from `at` on.
    pub(super) fn new(input: &'a [u8], at: usize) -> Splitter<'a> {
        let start = skip_blanks(input, at);
        let form = match input.get(start) {
            None => Form::Done,
            Some(b'[') => Form::ArrayStart,
            Some(b'{') if are_lines(input, start) => Form::Lines,
            Some(b'{') => Form::Values,
            Some(_) if memmem::find(input, b"\n{").is_some() => Form::Lines,
            Some(_) => Form::NoJson,
        };
        // Lines are counted from the first byte on, blank ones too.
        let at = match form {
            Form::Lines => at,
            Form::ArrayStart => start + 1,
            _ => start,
        };
        Splitter { input, form, at, number: 0 }
    }

    /// The next piece with the number of its line or record, from 1.
    pub(super) fn next(&mut self) -> Option<(u64, Piece)> {
        let piece = match self.form {
            Form::Lines => self.next_line()?,
            Form::Values => self.next_value()?,
            Form::NoJson => self.rest("neither an object nor an array begins here"),
            Form::Done => return None,
            Form::ArrayStart | Form::Element | Form::Separator | Form::ArrayEnd => {
                self.next_element()?
            }
        };
        if self.form != Form::Lines {
            self.number += 1;
        }
        Some((self.number, piece))
    }

    fn next_line(&mut self) -> Option<Piece> {
        loop {
            let rest = self.input.get(self.at..).filter(|rest| !rest.is_empty())?;
            let length = memchr(b'\n', rest).unwrap_or(rest.len());
            looked_at(length + 1);
            let line = rest.get(..length).unwrap_or_default();
            let start = self.at + (length - line.trim_ascii_start().len());
            let end = start + line.trim_ascii().len();
            self.at += length + 1;
            self.number += 1;
            if start < end {
                return Some(Piece::Record(start..end));
            }
        }
    }

    fn next_value(&mut self) -> Option<Piece> {
        self.at = skip_blanks(self.input, self.at);
        match self.input.get(self.at) {
            None => None,
            Some(b'{') => Some(self.record()),
            Some(_) => Some(self.rest("an object should begin here, or the document end")),
        }
    }

    fn next_element(&mut self) -> Option<Piece> {
        loop {
            self.at = skip_blanks(self.input, self.at);
            match (self.form, self.input.get(self.at)) {
                (Form::ArrayEnd, None) => return None,
                (Form::ArrayEnd, Some(_)) => return Some(self.rest("the array has ended before")),
                (_, None) => return Some(self.rest("the array is not closed")),
                (Form::Separator, Some(b',')) => self.form = Form::Element,
                (Form::Separator | Form::ArrayStart, Some(b']')) => self.form = Form::ArrayEnd,
                (Form::Separator, Some(_)) => {
                    return Some(self.rest("a comma or a closing bracket should stand here"));
                }
                (_, Some(b',' | b':' | b']' | b'}')) => {
                    return Some(self.rest("a record should begin here"));
                }
                (_, Some(_)) => {
                    self.form = Form::Separator;
                    return Some(self.record());
                }
            }
            self.at += 1;
        }
    }

    /// The value that begins here; the last one if it is never closed.
    fn record(&mut self) -> Piece {
        let start = self.at;
        let extent = extent(self.input, start);
        self.at = extent.end;
        if !extent.is_closed {
            self.form = Form::Done;
        }
        Piece::Record(start..extent.end)
    }

    fn rest(&mut self, what: &'static str) -> Piece {
        self.form = Form::Done;
        Piece::Rest { at: self.at, what }
    }
}

/// Whether a document that begins with an object at `start` has a record on each line: the first line is
/// an object, or nothing can be made of the document as a whole. Otherwise it is an object that was laid
/// out over several lines.
fn are_lines(input: &[u8], start: usize) -> bool {
    let whole = extent(input, start);
    let Some(length) = memchr(b'\n', input.get(start..).unwrap_or_default()) else { return false };
    let line_end = start + length;
    let behind = input.get(whole.end..line_end).unwrap_or_default();
    let fills_line = whole.is_closed && whole.end <= line_end && behind.trim_ascii().is_empty();
    fills_line || !whole.is_closed
}

/// Whether the document that begins with `head` may have each record on a line of its own: its first one is an object
/// and ends on its line, as far as can be seen.
pub(super) fn may_be_lines(head: &[u8], at: usize) -> bool {
    let start = skip_blanks(head, at);
    match head.get(start) {
        None => true,
        Some(b'{') => {
            let rest = head.get(start..).unwrap_or_default();
            let line_end = memchr(b'\n', rest).map_or(head.len(), |length| start + length);
            extent(head, start).end <= line_end
        }
        Some(_) => false,
    }
}

/// How far a value reaches.
#[derive(Debug, PartialEq)]
pub(super) struct Extent {
    /// First byte behind it.
    pub(super) end: usize,
    /// Whether it ends there, or with the input.
    pub(super) is_closed: bool,
    /// Most brackets that are open at once.
    pub(super) depth: usize,
}

/// Levels whose kinds of brackets are remembered.
const LEVELS_MAX: usize = 64;

/// How far the value that begins at `start` reaches. O(its length), and no more than the rest of the
/// input.
pub(super) fn extent(input: &[u8], start: usize) -> Extent {
    match input.get(start) {
        Some(b'{' | b'[') => bracket_extent(input, start),
        Some(b'"') => {
            let closed = string_end(input, start);
            let end = closed.unwrap_or(input.len());
            looked_at(end - start);
            Extent { end, is_closed: closed.is_some(), depth: 0 }
        }
        _ => {
            let ends = |byte: &u8| matches!(byte, b',' | b']' | b'}') || is_blank(*byte);
            let rest = input.get(start..).unwrap_or_default();
            let length = rest.iter().position(ends).unwrap_or(rest.len());
            looked_at(length);
            Extent { end: start + length, is_closed: true, depth: 0 }
        }
    }
}

fn bracket_extent(input: &[u8], start: usize) -> Extent {
    // One bit per open bracket, the innermost lowest: set for an object.
    let mut kinds = 0u64;
    let (mut depth, mut depth_max, mut at) = (0usize, 0usize, start);
    while let Some(byte) = input.get(at) {
        match byte {
            b'{' | b'[' => {
                kinds = kinds << 1 | u64::from(*byte == b'{');
                depth += 1;
                depth_max = depth_max.max(depth);
            }
            b'}' | b']' if depth_max > LEVELS_MAX => depth -= 1,
            b'}' | b']' => {
                let kind = u64::from(*byte == b'}');
                // Brackets inside of this one's that were left open.
                while depth > 0 && kinds & 1 != kind {
                    kinds >>= 1;
                    depth -= 1;
                }
                if depth == 0 {
                    // It closes what is around the value.
                    looked_at(at - start);
                    return Extent { end: at, is_closed: true, depth: depth_max };
                }
                kinds >>= 1;
                depth -= 1;
            }
            b'"' => match string_end(input, at) {
                Some(end) => {
                    at = end;
                    continue;
                }
                None => break,
            },
            _ => {}
        }
        at += 1;
        if depth == 0 {
            looked_at(at - start);
            return Extent { end: at, is_closed: true, depth: depth_max };
        }
    }
    looked_at(input.len() - start);
    Extent { end: input.len(), is_closed: false, depth: depth_max }
}

/// Behind the closing quote of the string that begins at `start`, if it has one.
fn string_end(input: &[u8], start: usize) -> Option<usize> {
    let mut at = start + 1;
    loop {
        let rest = input.get(at..)?;
        at += memchr2(b'"', b'\\', rest)?;
        if input.get(at) == Some(&b'"') {
            return Some(at + 1);
        }
        at += 2;
    }
}

/// What JSON counts as blank.
fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

fn skip_blanks(input: &[u8], start: usize) -> usize {
    let rest = input.get(start..).unwrap_or_default();
    let count = rest.iter().position(|byte| !is_blank(*byte)).unwrap_or(rest.len());
    looked_at(count);
    start + count
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The pieces of a document: records as they stand, the rest with an exclamation mark.
    fn pieces(text: &str) -> Vec<(u64, String)> {
        let mut splitter = Splitter::new(text.as_bytes(), 0);
        let mut pieces = Vec::new();
        while let Some((number, piece)) = splitter.next() {
            pieces.push(match piece {
                Piece::Record(range) => (number, text[range].to_owned()),
                Piece::Rest { at, what } => (number, format!("!{at} {what}")),
            });
            assert!(pieces.len() <= text.len(), "it ends");
        }
        pieces
    }

    fn check(text: &str, expected: &[(u64, &str)]) {
        let expected: Vec<(u64, String)> =
            expected.iter().map(|(number, piece)| (*number, (*piece).to_owned())).collect();
        assert_eq!(pieces(text), expected, "{text:?}");
    }

    #[test]
    fn documents_are_cut_into_records() {
        check("", &[]);
        check(" \r\n\t", &[]);
        check("[]", &[]);
        check(" [ ] \n", &[]);
        check("{}", &[(1, "{}")]);
        check("{\"a\":1}\n", &[(1, "{\"a\":1}")]);
        check("[{\"a\":1} ,\n{\"b\":[{}]}]", &[(1, "{\"a\":1}"), (2, "{\"b\":[{}]}")]);
        check("[1,\"a,]\",null,[2]]", &[(1, "1"), (2, "\"a,]\""), (3, "null"), (4, "[2]")]);
        check("[{\"a\":\"}\\\"]\"},{}]", &[(1, "{\"a\":\"}\\\"]\"}"), (2, "{}")]);
        // Lines, with blank ones between them and blanks around them.
        check("{\"a\":1}\n{\"b\":2}", &[(1, "{\"a\":1}"), (2, "{\"b\":2}")]);
        check("\n {\"a\":1} \r\n\r\n{\"b\":2}\n\n", &[(2, "{\"a\":1}"), (4, "{\"b\":2}")]);
        check("x\n{\"b\":2}", &[(1, "x"), (2, "{\"b\":2}")]);
        // Objects that are laid out, or stand one behind the other.
        check("{\n \"a\": 1\n}\n", &[(1, "{\n \"a\": 1\n}")]);
        check("{\n}\n{\n}", &[(1, "{\n}"), (2, "{\n}")]);
        check("{}{} {}", &[(1, "{}"), (2, "{}"), (3, "{}")]);
    }

    #[test]
    fn mistakes_cost_as_few_records_as_can_be() {
        // Inside of one element.
        check("[{},{\"a\":},{}]", &[(1, "{}"), (2, "{\"a\":}"), (3, "{}")]);
        check("[{\"a\":[1},{}]", &[(1, "{\"a\":[1}"), (2, "{}")]);
        check("[{\"a\":[{1]},{}]", &[(1, "{\"a\":[{1]}"), (2, "{}")]);
        check("[{},{\"a\":1]", &[(1, "{}"), (2, "{\"a\":1")]);
        check(
            "[{},{\"a\":1}}]",
            &[
                (1, "{}"),
                (2, "{\"a\":1}"),
                (3, "!11 a comma or a closing bracket should stand here"),
            ],
        );
        // Of one line, the first one too.
        check("{\"a\":\n{}\n{}", &[(1, "{\"a\":"), (2, "{}"), (3, "{}")]);
        check("{}\n{\"a\n{}", &[(1, "{}"), (2, "{\"a"), (3, "{}")]);
        // Between the elements.
        check("[{} {}]", &[(1, "{}"), (2, "!4 a comma or a closing bracket should stand here")]);
        check("[{},]", &[(1, "{}"), (2, "!4 a record should begin here")]);
        check("[,{}]", &[(1, "!1 a record should begin here")]);
        check("[{}", &[(1, "{}"), (2, "!3 the array is not closed")]);
        check("[{},", &[(1, "{}"), (2, "!4 the array is not closed")]);
        check("[", &[(1, "!1 the array is not closed")]);
        check("[{}] x", &[(1, "{}"), (2, "!5 the array has ended before")]);
        check("{} x {}", &[(1, "{}"), (2, "!3 an object should begin here, or the document end")]);
        // Text that never ends.
        check("[{},{\"a},{}]", &[(1, "{}"), (2, "{\"a},{}]")]);
        check("[{},\"a},{}]", &[(1, "{}"), (2, "\"a},{}]")]);
        check("{\"a", &[(1, "{\"a")]);
        // No JSON at all.
        check(" cpu f=1", &[(1, "!1 neither an object nor an array begins here")]);
        check("\"a\"", &[(1, "!0 neither an object nor an array begins here")]);
    }

    #[test]
    fn extents_know_their_depth() {
        let depth = |text: &str| extent(text.as_bytes(), 0).depth;
        assert_eq!(depth("1"), 0);
        assert_eq!(depth("{\"[[[\":[]}"), 2);
        let deep = |levels: usize| "[".repeat(levels) + &"]".repeat(levels);
        for levels in [1, 63, 64, 65, 100, 10_000] {
            let text = deep(levels) + ",x";
            let extent = extent(text.as_bytes(), 0);
            assert_eq!(extent, Extent { end: 2 * levels, is_closed: true, depth: levels });
        }
        check(
            &format!("[{},{{}}]", "{\"a\":".repeat(70) + "1" + &"}".repeat(70)),
            &[(1, &("{\"a\":".repeat(70) + "1" + &"}".repeat(70))), (2, "{}")],
        );
    }
}
