//! CSV that is refused: rows, each between two good ones, and headers, which refuse the whole table.
//! `docs/formats.md` is where the expectations come from.

use super::{Bench, name};

/// A row; the reason; what to do, in part.
type Row = (&'static [u8], &'static str, &'static str);

const HEADER: &[u8] = b"measurement,time,host:tag,usage,idle\n";
const NUMBER: &str = "make it a tag (with the header usage:tag, or the parameter tags=usage)";
const RFC3339: &str = "neither an integer nor RFC 3339 (2006-01-02T15:04:05Z)";
const RANGE: &str = "time outside range -9223372036854775806 - 9223372036854775806";
const CELLS: &str = "give each row one cell for each column, an empty one where there is no value";

#[rustfmt::skip]
const ROWS: &[Row] = &[
    // Ragged.
    (b"cpu", "1 cells where the header has 5", CELLS),
    (b"cpu,1,a,1", "4 cells where the header has 5", CELLS),
    (b"cpu,1,a,1,2,3", "6 cells where the header has 5", CELLS),
    (b"cpu,1,a,1,2,", "6 cells where the header has 5", CELLS),
    (b"cpu;1;a;1;2", "1 cells where the header has 5", CELLS),
    (b"cpu\t1\ta\t1\t2", "1 cells where the header has 5", CELLS),
    (b",,,,,,,,", "9 cells where the header has 5", CELLS),
    // Numbers.
    (b"cpu,1,a,x,2", "column \"usage\" holds \"x\", which is no number", NUMBER),
    (b"cpu,1,a,1i,2", "column \"usage\" holds \"1i\", which is no number", NUMBER),
    (b"cpu,1,a,1u,2", "column \"usage\" holds \"1u\", which is no number", NUMBER),
    (b"cpu,1,a,NaN,2", "column \"usage\" holds \"NaN\", which is no number", NUMBER),
    (b"cpu,1,a,inf,2", "column \"usage\" holds \"inf\", which is no number", NUMBER),
    (b"cpu,1,a,-Infinity,2", "column \"usage\" holds \"-Infinity\", which is no number", NUMBER),
    (b"cpu,1,a,1e400,2", "column \"usage\" holds \"1e400\", which is no number", NUMBER),
    (b"cpu,1,a,+1,2", "column \"usage\" holds \"+1\", which is no number", NUMBER),
    (b"cpu,1,a,0x1,2", "column \"usage\" holds \"0x1\", which is no number", NUMBER),
    (b"cpu,1,a,1 2,2", "column \"usage\" holds \"1 2\", which is no number", NUMBER),
    (b"cpu,1,a,\"1,5\",2", "column \"usage\" holds \"1,5\", which is no number", NUMBER),
    (b"cpu,1,a,1_0,2", "column \"usage\" holds \"1_0\", which is no number", NUMBER),
    (b"cpu,1,a,t,2", "column \"usage\" holds \"t\", which is no number", NUMBER),
    (b"cpu,1,a,null,2", "column \"usage\" holds \"null\", which is no number", NUMBER),
    (b"cpu,1,a,1,yes", "column \"idle\" holds \"yes\", which is no number", "idle:tag"),
    (b"cpu,1,a,\"\"\"1\"\"\",2", "column \"usage\" holds \"\\\"1\\\"\", which is no number", NUMBER),
    // Times.
    (b"cpu,x,a,1,2", "time \"x\" is", RFC3339),
    (b"cpu,1.5,a,1,2", "time \"1.5\" is", RFC3339),
    (b"cpu,1e9,a,1,2", "time \"1e9\" is", RFC3339),
    (b"cpu,+1,a,1,2", "time \"+1\" is", RFC3339),
    (b"cpu,2023-11-14,a,1,2", "time \"2023-11-14\" is", RFC3339),
    (b"cpu,2023-11-14T25:00:00Z,a,1,2", "time \"2023-11-14T25:00:00Z\" is", RFC3339),
    (b"cpu,9223372036854775807,a,1,2", RANGE, "check the time and its unit"),
    (b"cpu,-9223372036854775807,a,1,2", RANGE, "check the time and its unit"),
    (b"cpu,99999999999999999999,a,1,2", RANGE, "check the time and its unit"),
    (b"cpu,9999-01-01T00:00:00Z,a,1,2", RANGE, "check the time and its unit"),
    // Names.
    (b",1,a,1,2", "missing measurement", "name of a measurement"),
    (b"cpu,1,\xc3\xa4,1,2", "tag value \"\u{e4}\" is not ASCII", "use ASCII letters"),
    (b"c\xc3\xa4pu,1,a,1,2", "measurement \"c\u{e4}pu\" is not ASCII", "use ASCII letters"),
    (b"cpu,1,a\0b,1,2", "tag value \"a\\0b\" holds a NUL byte", "remove it"),
    (b"cpu,1,a,1\0,2", "column \"usage\" holds \"1\\0\", which is no number", NUMBER),
    (b"cpu,1,\xff,1,2", "column \"host\" holds bytes that are not UTF-8", "send UTF-8"),
    (b"\xff,1,a,1,2", "column \"measurement\" holds bytes that are not UTF-8", "send UTF-8"),
    (b"cpu,\xff,a,1,2", "column \"time\" holds bytes that are not UTF-8", "send UTF-8"),
];

/// A header with a row behind it, further parameters, and what is said.
type Header = (&'static [u8], &'static str, &'static [&'static str]);

#[rustfmt::skip]
const HEADERS: &[Header] = &[
    (b"f,f\n1,2\n", "&measurement=m", &["column \"f\" stands there twice", "rename one of them"]),
    (b"f:field,f:tag\n1,2\n", "&measurement=m", &["column \"f\" stands there twice", "rename one of them"]),
    (b"f,\n1,2\n", "&measurement=m", &["column 2 has no name", "cut the column off"]),
    (b":tag,f\n1,2\n", "&measurement=m", &["column 1 has no name", "give it one"]),
    (b"f:tga,g\n1,2\n", "&measurement=m", &["column \"f\" has the unknown role \"tga\"", "use tag, field, time, measurement, ignore"]),
    (b"f:TAG,g\n1,2\n", "&measurement=m", &["column \"f\" has the unknown role \"TAG\"", "use tag, field, time, measurement, ignore"]),
    (b"f:,g\n1,2\n", "&measurement=m", &["column \"f\" has the unknown role \"\"", "use tag, field, time, measurement, ignore"]),
    (b"t:days,g\n1,2\n", "&measurement=m", &["column \"t\" has the unknown role \"days\"", "rfc3339"]),
    (b"a:time,b:time,f\n1,2,3\n", "&measurement=m", &["column \"b\" is a second one of role time", "only one can be"]),
    (b"a:ms,b:s,f\n1,2,3\n", "&measurement=m", &["column \"b\" is a second one of role time", "only one can be"]),
    (b"a:measurement,b:measurement,f\n1,2,3\n", "", &["column \"b\" is a second one of role measurement", "only one can be"]),
    (b"host:tag,time\na,1\n", "&measurement=m", &["no column holds a field", "name one NAME:field, or in the parameter fields=NAME"]),
    (b"time\n1\n", "&measurement=m", &["no column holds a field", "name one NAME:field"]),
    (b"f\n1\n", "", &["no measurement", "add a column called measurement, or the parameter measurement=NAME"]),
    (b"f\n1\n", "&measurement=", &["no measurement", "add a column called measurement"]),
    (b"f\n1\n", "&measurement=m&tags=h", &["parameter tags=h: there is no such column", "name one of the header"]),
    (b"f\n1\n", "&measurement=m&fields=f,g", &["parameter fields=g: there is no such column", "name one of the header"]),
    (b"f\n1\n", "&measurement=m&time=t", &["parameter time=t: there is no such column", "name one of the header"]),
    (b"f;g\n1;2\n", "&measurement=m&tags=g", &["parameter tags=g: there is no such column", "name one of the header"]),
    (b"\"f\n1\n", "&measurement=m", &["unbalanced quotes", "close the text"]),
    (b"f,\xff\n1,2\n", "&measurement=m", &["column 2 holds bytes that are not UTF-8", "send UTF-8"]),
    (b"\xff\xfef\0,\0g\0\n\0", "&measurement=m", &["column 1 holds bytes that are not UTF-8", "send UTF-8"]),
    (b"f\n1\n", "&measurement=m&delimiter=%3B%3B", &["invalid parameter delimiter=\";;\"", "use one ASCII character"]),
    (b"f\n1\n", "&measurement=m&delimiter=%22", &["invalid parameter delimiter", "use one ASCII character"]),
    (b"f\n1\n", "&measurement=m&delimiter=%0A", &["invalid parameter delimiter", "use one ASCII character"]),
    (b"f\n1\n", "&measurement=m&delimiter=%C3%A4", &["invalid parameter delimiter", "use one ASCII character"]),
];

/// Tables that cannot be read to their end, or that are too large to write down: what they are, how they are
/// made, what is said, rows that are stored.
type Made = (&'static str, fn() -> Vec<u8>, &'static [&'static str], usize);

#[rustfmt::skip]
const MADE: &[Made] = &[
    ("a quote that is never closed", || table(b"cpu,3,\"a,1,2\ncpu,4,a,1,2\n"), &["2 stored", "line 4, column 1: unbalanced quotes", "close the text"], 2),
    ("a quote that is closed twice", || table(b"cpu,3,\"a\"\"\n"), &["2 stored", "line 4, column 1: unbalanced quotes"], 2),
    ("a row too long", || table(&[b"cpu,3,", &b"x".repeat(262_144)[..], b",1,2\ncpu,4,a,1,2\n"].concat()), &["line 4, column 1: line is longer than 262144 bytes: split it into several"], 3),
    ("a tag too long", || table(&[b"cpu,3,", &b"x".repeat(4097)[..], b",1,2\n"].concat()), &["line 4", "tag value has 4097 bytes, the limit is 4096: shorten it"], 2),
    ("a million cells", || table(&b",".repeat(1_000_000)), &["line 4"], 2),
    ("4097 columns", || [b"measurement", &b",c".repeat(4096)[..], b"\n"].concat(), &["line 1, column 1: header: more than 4096 columns: split the table"], 0),
    ("a long name", || [b"measurement,", &b"n".repeat(257)[..], b"\nm,1\n"].concat(), &["header", "has 257 bytes, the limit for names is 256: shorten it"], 0),
    ("a header too long", || [b"measurement,", &b"n".repeat(300_000)[..], b"\nm,1\n"].concat(), &["line 1, column 1", "262144"], 0),
    ("a long measurement", || table(&[&b"m".repeat(257)[..], b",3,a,1,2\n"].concat()), &["line 4", "measurement has 257 bytes, the limit is 256: shorten it"], 2),
    ("1001 fields", || fields(1001), &["line 2", "1001 fields in one row, the limit is 1000: split the row"], 0),
    ("65 tags", || tags(65), &["line 2", "65 tags, the limit is 64: drop tags that no query needs"], 0),
    ("rows of another table behind", || table(b"time,usage\n1,2\n"), &["2 refused, 2 stored", "line 4", "2 cells where the header has 5"], 2),
    ("a hundred thousand bad rows", || table(&b"cpu,3,a,x,y\n".repeat(100_000)), &["100000 refused, 2 stored", "line 4"], 2),
    ("quotes", || [b"measurement,f\n\"", &b"\"\"".repeat(500_000)[..]].concat(), &["line 2, column 1: unbalanced quotes"], 0),
];

/// Two good rows, and what is behind them.
fn table(behind: &[u8]) -> Vec<u8> {
    [HEADER, b"cpu,1,a,1,2\ncpu,2,a,1,2\n", behind].concat()
}

fn fields(count: usize) -> Vec<u8> {
    let names: String = (0..count).map(|place| format!(",f{place}")).collect();
    format!("measurement{names}\nm{}\n", ",1".repeat(count)).into_bytes()
}

fn tags(count: usize) -> Vec<u8> {
    let names: String = (0..count).map(|place| format!(",t{place}:tag")).collect();
    format!("measurement,f{names}\nm,1{}\n", ",x".repeat(count)).into_bytes()
}

/// How many bad inputs the tables hold.
pub fn count() -> usize {
    ROWS.len() + HEADERS.len() + MADE.len()
}

/// Sends them all.
pub fn run(bench: &mut Bench) {
    let csv = &[("Content-Type", "text/csv")];
    for (row, reason, remedy) in ROWS {
        bench.case(&name(row), |case| {
            let body = [HEADER, b"cpu,1,a,1,2\n", row, b"\ncpu,2,a,1,2\n"].concat();
            let response = case.send("POST", "/api/v1/write?db=$DB", csv, &body);
            let first = "1 refused, 2 stored; the first: line 3, column 1: ";
            case.refused(&response, 400, &[first, reason, remedy]);
            case.listed(&response, 2, &[(3, Some(1), reason)]);
            case.stored(2);
        });
    }
    for (body, parameters, says) in HEADERS {
        bench.case(&format!("{} {parameters}", name(body)), |case| {
            let target = format!("/api/v1/write?db=$DB{parameters}");
            let response = case.send("POST", &target, csv, body);
            case.refused(&response, 400, says);
            case.stored(0);
        });
    }
    for (what, make, says, stored) in MADE {
        bench.case(what, |case| {
            let response = case.send("POST", "/api/v1/write?db=$DB", csv, &make());
            case.refused(&response, 400, says);
            case.stored(*stored);
        });
    }
}
