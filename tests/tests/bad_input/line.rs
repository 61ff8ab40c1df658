//! Lines of line protocol that are refused, each between two good ones: `/write` says so in InfluxDB's words,
//! `/api/v1/write` with line, column and what to do. `docs/line-protocol.md` is where the expectations come
//! from.

use super::{Bench, Case, name};

/// A line; the column of the mistake, from 1; InfluxDB's words; what to do, in part.
type Row = (&'static [u8], usize, &'static str, &'static str);

const FORMAT: &str = "write fields as name=value";
const FIELDS: &str = "give it at least one field with a value";
const MEASUREMENT: &str = "give it the name of a measurement";
const UTF8: &str = "send UTF-8";
const NUMBER: &str = "write numbers as 1, -1.5, 1e5, 1i or 1u";
const BOOLEAN: &str = "put text in double quotes";
const STAMP: &str = "write an integer in the unit of precision";
const RANGE: &str = "time outside range -9223372036854775806 - 9223372036854775806";
const UNIT: &str = "check the time and its unit";

/// Lines whose end is found: the lines behind them are stored.
#[rustfmt::skip]
const REFUSED: &[Row] = &[
    // Structure.
    (b"m", 2, "missing fields", FIELDS),
    (b"m,a=b", 6, "missing fields", FIELDS),
    (b"m ", 3, "invalid field format", FORMAT),
    (b"m f", 4, "invalid field format", FORMAT),
    (b"m f 5", 4, "invalid field format", FORMAT),
    (b"m f,g=1", 4, "invalid field format", FORMAT),
    (b"m f=1,", 7, "invalid field format", FORMAT),
    (b"m f=1,,g=2", 7, "invalid field format", FORMAT),
    (b"m f=1, g=2", 7, "invalid field format", FORMAT),
    (b"m ,f=1", 3, "invalid field format", FORMAT),
    (b"m\tf=1 5", 8, "invalid field format", FORMAT),
    (b",a=b f=1", 1, "missing measurement", MEASUREMENT),
    (b", f=1", 1, "missing measurement", MEASUREMENT),
    (b"m, f=1", 3, "missing tag key", "key=value"),
    (b"m,=b f=1", 3, "missing tag key", "key=value"),
    (b"m,,a=b f=1", 3, "missing tag key", "key=value"),
    (b"m,a=b, f=1", 7, "missing tag key", "key=value"),
    (b"m,a f=1", 4, "missing tag value", "leave the tag out"),
    (b"m,a= f=1", 5, "missing tag value", "leave the tag out"),
    (b"m,a=,b=c f=1", 5, "missing tag value", "leave the tag out"),
    (b"m,a=b=c f=1", 6, "invalid tag format", "\\="),
    (b"m,a=1,a=2 f=1", 1, "duplicate tags", "\"a\""),
    (b"m,a=1,b=2,a=1 f=1", 1, "duplicate tags", "keep one of them"),
    (b"m,__name__=x f=1", 1, "tag key \"__name__\" is reserved", "rename the tag"),
    (b"m,__field__=x f=1", 1, "tag key \"__field__\" is reserved", "rename the tag"),
    (b"m =1", 3, "missing field key", "before the equals sign"),
    (b"m f=1,=2", 7, "missing field key", "before the equals sign"),
    (b"m f=", 5, "missing field value", "leave the field out"),
    (b"m f= 5", 5, "missing field value", "leave the field out"),
    (b"m f=,g=1", 5, "missing field value", "leave the field out"),
    // Escapes and quotes. A backslash makes the space part of the name, so nothing is left for fields.
    (b"m\\ f=1 5", 9, "invalid field format", FORMAT),
    (b"m,a=\\ f=1 5", 8, "invalid tag format", "\\="),
    (b"m f\\=1 5", 7, "invalid field format", FORMAT),
    (b"m a\\\\=1", 6, "invalid field format", FORMAT),
    (b"m f=\"x\"=1", 8, "invalid field format", FORMAT),
    (b"m f='x' 5", 5, "invalid boolean", BOOLEAN),
    (b"m f=x\" 5", 5, "invalid boolean", BOOLEAN),
    // Numbers.
    (b"m f=- 5", 5, "invalid number", NUMBER),
    (b"m f=. 5", 5, "invalid number", NUMBER),
    (b"m f=--1 5", 5, "invalid number", NUMBER),
    (b"m f=1.2.3 5", 5, "invalid number", NUMBER),
    (b"m f=1x 5", 5, "invalid number", NUMBER),
    (b"m f=1i2 5", 5, "invalid number", NUMBER),
    (b"m f=1.0i 5", 5, "invalid number", NUMBER),
    (b"m f=-1u 5", 5, "invalid number", NUMBER),
    (b"m f=0x10 5", 5, "invalid number", NUMBER),
    (b"m f=1_000 5", 5, "invalid number", NUMBER),
    (b"m f=NaN 5", 5, "invalid number", NUMBER),
    (b"m f=-inf 5", 5, "invalid number", NUMBER),
    (b"m f=1\r5", 5, "invalid number", NUMBER),
    (b"m f=1e 5", 5, "invalid float", "1.7976931348623157e308"),
    (b"m f=1e400 5", 5, "invalid float", "1.7976931348623157e308"),
    (b"m f=1,g=-1e999 5", 9, "invalid float", "1.7976931348623157e308"),
    (b"m f=+1 5", 5, "invalid boolean", BOOLEAN),
    (b"m f=Inf 5", 5, "invalid boolean", BOOLEAN),
    (b"m f=abc 5", 5, "invalid boolean", BOOLEAN),
    (b"m f=tRUE 5", 5, "invalid boolean", BOOLEAN),
    (b"m f==1 5", 5, "invalid boolean", BOOLEAN),
    (b"m f=9223372036854775808i 5", 5, "unable to parse integer 9223372036854775808: value out of range", "without the suffix"),
    (b"m f=-9223372036854775809i 5", 5, "unable to parse integer -9223372036854775809: value out of range", "without the suffix"),
    (b"m f=18446744073709551616u 5", 5, "unable to parse integer 18446744073709551616: value out of range", "without the suffix"),
    // Timestamps.
    (b"m f=1 x", 7, "bad timestamp", STAMP),
    (b"m f=1 -", 8, "bad timestamp", STAMP),
    (b"m f=1 --5", 8, "bad timestamp", STAMP),
    (b"m f=1 5x", 8, "bad timestamp", STAMP),
    (b"m f=1 1.5", 8, "bad timestamp", STAMP),
    (b"m f=1 1e9", 8, "bad timestamp", STAMP),
    (b"m f=1 +5", 7, "bad timestamp", STAMP),
    (b"m f=1 \"5\"", 7, "bad timestamp", STAMP),
    (b"m f=1 2023-11-14T22:13:20Z", 11, "bad timestamp", STAMP),
    (b"m f=1 5 6", 9, "point is invalid", "end the line behind the timestamp"),
    (b"m f=1 9223372036854775807", 7, RANGE, UNIT),
    (b"m f=1 -9223372036854775807", 7, RANGE, UNIT),
    (b"m f=1 99999999999999999999", 7, RANGE, UNIT),
    // Bytes that are no text.
    (b"m,a=b\0c f=1", 1, "tag value \"b\\0c\" holds a NUL byte", "remove it"),
    (b"\0m f=1", 1, "measurement \"\\0m\" holds a NUL byte", "remove it"),
    (b"m f\0=1 5", 7, "field name \"f\\0\" holds a NUL byte", "remove it"),
    (b"m f=1\0 5", 5, "invalid number", NUMBER),
    (b"m,a=\xff f=1", 5, "invalid UTF-8 at byte 4 of the line", UTF8),
    (b"m\xc3 f=1", 2, "invalid UTF-8 at byte 1 of the line", UTF8),
    (b"m,a=\xed\xa0\x80 f=1", 5, "invalid UTF-8 at byte 4 of the line", UTF8),
    (b"m f\xff=1", 4, "invalid UTF-8 at byte 3 of the line", UTF8),
    (b"\xff\xfem\x00 \x00f\x00=\x001\x00", 1, "invalid UTF-8 at byte 0 of the line", UTF8),
];

/// Lines that were understood and are not stored all the same: InfluxDB counts them as dropped.
#[rustfmt::skip]
const DROPPED: &[Row] = &[
    (b"m,time=1 f=1", 1, "invalid tag key: input tag \"time\" on measurement \"m\" is invalid", "rename the tag"),
    (b"m time=1 5", 9, "invalid field name: input field \"time\" on measurement \"m\" is invalid", "rename the field"),
];

/// A quote that is never closed: what is behind it was meant as text, and is never taken for data.
#[rustfmt::skip]
const OPEN: &[Row] = &[
    (b"m f=\"x", 5, "unbalanced quotes", "close the text"),
    (b"m f=\"x 5", 5, "unbalanced quotes", "close the text"),
    (b"m f=\"x\\\" 5", 5, "unbalanced quotes", "close the text"),
    (b"m f=1,g=\"x\\\\\\\"", 9, "unbalanced quotes", "close the text"),
];

/// Unit, timestamp.
const OUT_OF_RANGE: &[(&str, &str)] = &[
    ("u", "9223372036854776"),
    ("us", "-9223372036854776"),
    ("ms", "9223372036855"),
    ("ms", "1700000000000000000"),
    ("s", "9223372037"),
    ("s", "-9223372037"),
    ("s", "1700000000000000000"),
    ("m", "153722868"),
    ("h", "2562048"),
    ("h", "9223372036854775807"),
];

/// Lines that are too long to write down: what they are, how they are made, what is said of them.
type Made = (&'static str, fn() -> Vec<u8>, &'static str, &'static str);

#[rustfmt::skip]
const MADE: &[Made] = &[
    ("a text too long", || text("m f=\"", 262_144, "\",g=1"), "line is longer than 262144 bytes", "split it into several"),
    ("a number without end", || text("m f=1", 262_144, "=1"), "invalid number", NUMBER),
    ("a long measurement", || text("", 257, " f=1"), "measurement has 257 bytes", "the limit is 256: shorten it"),
    ("a long tag key", || text("m,", 257, "=a f=1"), "tag key has 257 bytes", "the limit is 256: shorten it"),
    ("a long tag value", || text("m,a=", 4097, " f=1"), "tag value has 4097 bytes", "the limit is 4096: shorten it"),
    ("a long field name", || text("m ", 257, "=1"), "field name has 257 bytes", "the limit is 256: shorten it"),
    ("65 tags", || list("m", 65, "=x", " f=1"), "65 tags", "the limit is 64: drop tags that no query needs"),
    ("1001 fields", || list("m f=1", 1000, "=1", ""), "1001 fields in one row", "the limit is 1000: split the row"),
    ("100000 fields", || list("m f=1", 100_000, "=1", ""), "line is longer than 262144 bytes", "split it into several"),
    ("a tag without end", || text("m,a=", 300_000, ""), "tag value has 300000 bytes", "shorten it"),
    ("a field name without end", || text("m ", 300_000, ""), "invalid field format", FORMAT),
    ("backslashes", || [b"m".as_slice(), &b"\\".repeat(100_000)].concat(), "measurement has 100001 bytes", "the limit is 256: shorten it"),
    ("commas", || [b"m".as_slice(), &b",".repeat(200_000)].concat(), "missing tag key", "key=value"),
    ("spaces", || [b"m".as_slice(), &b" ".repeat(250_000)].concat(), "invalid field format", FORMAT),
];

/// `front`, `count` times x, `back`.
fn text(front: &str, count: usize, back: &str) -> Vec<u8> {
    [front.as_bytes(), &b"x".repeat(count), back.as_bytes()].concat()
}

/// `front`, `count` names with `each` behind them, `back`.
fn list(front: &str, count: usize, each: &str, back: &str) -> Vec<u8> {
    let names: String = (0..count).map(|place| format!(",n{place}{each}")).collect();
    format!("{front}{names}{back}").into_bytes()
}

/// How many bad inputs the tables hold.
pub fn count() -> usize {
    REFUSED.len() + DROPPED.len() + OPEN.len() + OUT_OF_RANGE.len() + MADE.len()
}

/// Sends them all.
pub fn run(bench: &mut Bench) {
    for (line, column, words, remedy) in REFUSED {
        let wanted = Wanted { column: Some(*column), words, remedy, ..Wanted::default() };
        bench.case(&name(line), |case| check(case, line, &wanted));
    }
    for (line, column, words, remedy) in DROPPED {
        let wanted =
            Wanted { column: Some(*column), words, remedy, dropped: 1, ..Wanted::default() };
        bench.case(&name(line), |case| check(case, line, &wanted));
    }
    for (line, column, words, remedy) in OPEN {
        let wanted =
            Wanted { column: Some(*column), words, remedy, takes_rest: true, ..Wanted::default() };
        bench.case(&name(line), |case| check(case, line, &wanted));
    }
    for (precision, stamp) in OUT_OF_RANGE {
        let line = format!("m f=1 {stamp}");
        let wanted =
            Wanted { precision, column: Some(7), words: RANGE, remedy: UNIT, ..Wanted::default() };
        bench.case(&format!("{precision} {stamp}"), |case| check(case, line.as_bytes(), &wanted));
    }
    for (name, make, words, remedy) in MADE {
        let wanted = Wanted { words, remedy, ..Wanted::default() };
        bench.case(name, |case| check(case, &make(), &wanted));
    }
}

/// What is said of a line.
#[derive(Default)]
struct Wanted<'a> {
    precision: &'a str,
    column: Option<usize>,
    words: &'a str,
    remedy: &'a str,
    /// Rows that InfluxDB counts as dropped.
    dropped: usize,
    /// Whether what is behind the line goes with it.
    takes_rest: bool,
}

/// Sends the line between two good ones to both endpoints.
fn check(case: &mut Case, line: &[u8], wanted: &Wanted<'_>) {
    let body = |first: u32| {
        let (front, back) = (format!("good v=1 {first}\n"), format!("\ngood v=1 {}\n", first + 1));
        [front.as_bytes(), line, back.as_bytes()].concat()
    };
    let stored = if wanted.takes_rest { 1 } else { 2 };
    let precision = wanted.precision;

    let target = format!("/write?db=$DB&precision={precision}");
    let response = case.send("POST", &target, &[], &body(1));
    let shown = match wanted.dropped {
        0 if line.iter().all(u8::is_ascii_graphic) && line.len() < 200 => {
            format!("unable to parse '{}': {}", String::from_utf8_lossy(line), wanted.words)
        }
        0 => format!("': {}", wanted.words),
        _ => wanted.words.to_owned(),
    };
    let dropped = format!(" dropped={}", wanted.dropped);
    case.refused(&response, 400, &["partial write: ", &shown, &dropped]);
    case.stored(stored);

    let target = format!("/api/v1/write?db=$DB&precision={precision}");
    let response = case.send("POST", &target, &[("Content-Type", "text/plain")], &body(3));
    let counts = format!("1 refused, {stored} stored; the first: line 2, column ");
    case.refused(&response, 400, &[&counts, wanted.words, wanted.remedy]);
    case.listed(&response, stored, &[(2, wanted.column, wanted.words)]);
    case.stored(2 * stored);
}
