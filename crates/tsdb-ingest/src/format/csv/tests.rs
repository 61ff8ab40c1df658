//! What is accepted and what is refused, how refusals are shown, what hostile input costs. Headers by
//! themselves are tested in `header`, cells and lines in `records`.

use std::sync::Arc;

use proptest::prelude::*;
use tsdb_core::{MemoryBudget, NAME_TAG, Pool};

use super::*;
use crate::testing::Recorder;
use crate::{Pipeline, PipelineOptions, WriteReport, WriteRequest, limits};

const NOW: i64 = 1_700_000_000_123_456_789;

struct Fixture {
    store: Arc<Recorder>,
    budget: MemoryBudget,
    pipeline: Pipeline,
}

impl Fixture {
    fn new() -> Fixture {
        let store = Arc::new(Recorder::default());
        let budget = MemoryBudget::default();
        let pipeline = Pipeline::new(store.clone(), budget.clone(), PipelineOptions::default());
        Fixture { store, budget, pipeline }
    }

    fn report(&self, body: &[u8], options: ParseOptions<'_>) -> Result<WriteReport> {
        let request = WriteRequest { database: "d", policy: None, body, options };
        let report = self.pipeline.write(&Csv::default(), &request);
        assert_eq!(self.budget.used(Pool::Bodies), 0, "everything is given back");
        report
    }

    /// Rows and refusals of `body`, one per line.
    fn write(&self, body: &[u8], options: ParseOptions<'_>) -> String {
        let report = self.report(body, options).unwrap();
        let mut lines = self.store.take_rows();
        assert_eq!(report.rows, lines.len() as u64);
        for error in &report.errors {
            lines.push(format!("!{}:{} {}", error.line, error.column, error.reason));
        }
        lines.join("\n")
    }
}

fn options<'a>(parameters: &'a [(&'a str, &'a str)]) -> ParseOptions<'a> {
    ParseOptions { parameters, ..ParseOptions::new(Precision::Nanoseconds, NOW) }
}

/// Writes `body` three times through one pipeline: for new series, known ones and expected ones.
fn check_with(body: &[u8], options: ParseOptions<'_>, expected: &str) {
    let fixture = Fixture::new();
    for pass in 0..3 {
        let shown = String::from_utf8_lossy(body);
        assert_eq!(fixture.write(body, options), expected, "pass {pass} of {shown}");
    }
}

fn check(body: &str, parameters: &[(&str, &str)], expected: &str) {
    check_with(body.as_bytes(), options(parameters), expected);
}

#[test]
fn tables_are_read_by_their_header() {
    let m = ("measurement", "m");
    check(
        "measurement,time,host:tag,usage,idle\ncpu,5,a,0.5,99\ncpu,6,b,1,\nmem,7,,2,3\n",
        &[],
        "cpu,host=a idle=99.0,usage=0.5 5\ncpu,host=b usage=1.0 6\nmem idle=3.0,usage=2.0 7",
    );
    check(
        "ts,host,usage,note\n5,a,0.5,hello\n",
        &[m, ("tags", "host"), ("fields", "usage"), ("time", "ts")],
        "m,host=a usage=0.5 5",
    );
    check("f\n1\n2\n", &[m], &format!("m f=1.0 {NOW}\nm f=2.0 {NOW}"));
    check("measurement,f,time\n,1,5\nn,2,5\n", &[m], "m f=1.0 5\nn f=2.0 5");
    check("f,note:ignore,time\n1,a;b,5\n", &[m], "m f=1.0 5");
    // Quotes, blanks, line ends, the mark of the byte order.
    check(
        "f,h:tag,time\r\n1,\"a,b\",5\r\n2,\"c\"\"d\ne\",6\r\n",
        &[m],
        "m,h=a,b f=1.0 5\nm,h=c\"d\ne f=2.0 6".replace("h=a,b", "h=a\\,b").as_str(),
    );
    check(" f , h:tag ,time\n 1 ,\ta , 5\n", &[m], "m,h=a f=1.0 5");
    check("\u{feff}f,time\n1,5", &[m], "m f=1.0 5");
    check("\n\nf,time\n\n1,5\n\r\n  \n2,6\n", &[m], "m f=1.0 5\nm f=2.0 6");
    // Other delimiters.
    check(
        "f;h:tag;time\n1,5;a;5\n",
        &[m, ("delimiter", ";")],
        "!2:1 column \"f\" holds \"1,5\", which is no number: make it a tag (with the header f:tag, or the parameter tags=f), or leave it out (f:ignore)",
    );
    check("f;h:tag;time\n1;a,b;5\n", &[m, ("delimiter", ";")], "m,h=a\\,b f=1.0 5");
    for tab in ["tab", "\t", "\\t"] {
        check("f\th:tag\ttime\n1\ta\t5\n", &[m, ("delimiter", tab)], "m,h=a f=1.0 5");
    }
    // Nothing.
    check("", &[], "");
    check("\n\r\n", &[], "");
    check("f,time\n", &[m], "");
    check("f,time", &[m], "");
    check("f,g,time\n,,5\n,,\n", &[m], "");
}

#[test]
fn cells_are_numbers_or_booleans() {
    for (cell, value) in [
        ("1", "1.0"),
        ("-1.5", "-1.5"),
        (".5", "0.5"),
        ("5.", "5.0"),
        ("1e3", "1000.0"),
        ("1E-3", "0.001"),
        ("-0", "-0.0"),
        ("98.27364532019703", "98.27364532019703"),
        ("12345678901234567890123", "1.2345678901234568e22"),
        ("true", "1.0"),
        ("TRUE", "1.0"),
        ("False", "0.0"),
        ("\"7\"", "7.0"),
    ] {
        let body = format!("f,time\n{cell},5\n");
        check(&body, &[("measurement", "m")], &format!("m f={value} 5"));
    }
    for cell in [
        "x",
        "1i",
        "1u",
        "NaN",
        "inf",
        "-Infinity",
        "1e400",
        "+1",
        "0x1",
        "1 2",
        "t",
        "-",
        "1_0",
        "\u{e4}",
    ] {
        let expected = format!(
            "m f=1.0 5\n!2:1 column \"f\" holds {cell:?}, which is no number: make it a tag (with the header \
             f:tag, or the parameter tags=f), or leave it out (f:ignore)"
        );
        check(&format!("f,time\n{cell},5\n1,5\n"), &[("measurement", "m")], &expected);
    }
}

#[test]
fn times_have_the_unit_of_the_request_or_their_own() {
    let m = ("measurement", "m");
    for (header, cell, time) in [
        ("time", "5", "5"),
        ("time", "-5", "-5"),
        ("time", "1970-01-01T00:00:01Z", "1000000000"),
        ("t:time", "5", "5"),
        ("time:us", "5", "5000"),
        ("time:ms", "5", "5000000"),
        ("time:s", "5", "5000000000"),
        ("x:rfc3339", "1970-01-01T00:00:01.5Z", "1500000000"),
    ] {
        check(&format!("f,{header}\n1,{cell}\n"), &[m], &format!("m f=1.0 {time}"));
    }
    let seconds =
        ParseOptions { precision: Precision::Seconds, ..options(&[("measurement", "m")]) };
    check_with(b"f,time\n1,5\n2,\n", seconds, "m f=1.0 5000000000\nm f=2.0 1700000000000000000");
    check_with(b"f,time:ms\n1,5\n", seconds, "m f=1.0 5000000");
    let range = "!2:1 time outside range -9223372036854775806 - 9223372036854775806";
    check("f,time\n1,9223372036854775807\n", &[m], range);
    check("f,time\n1,99999999999999999999\n", &[m], range);
    check("f,time:s\n1,10000000000\n", &[m], range);
    for (header, cell) in [
        ("time", "1.5"),
        ("time", "now"),
        ("time:ms", "1970-01-01T00:00:01Z"),
        ("time:rfc3339", "5"),
    ] {
        let expected =
            format!("!2:1 time {cell:?} is neither an integer nor RFC 3339 (2006-01-02T15:04:05Z)");
        check(&format!("f,{header}\n1,{cell}\n"), &[m], &expected);
    }
}

/// Whatever is wrong with one row, the others are stored, and the report says which line it was.
#[test]
fn invalid_data_handling() {
    let m = ("measurement", "m");
    let cells = "give each row one cell for each column, an empty one where there is no value";
    for (row, count) in [("1", 1), ("1,a", 2), ("1,a,5,6", 4), ("1,a,5,", 4), (",,,,,,,,,", 10)] {
        check(
            &format!("f,h:tag,time\n1,a,1\n{row}\n2,a,2\n"),
            &[m],
            &format!(
                "m,h=a f=1.0 1\nm,h=a f=2.0 2\n!3:1 {count} cells where the header has 3: {cells}"
            ),
        );
    }
    for (row, expected) in [
        ("1,\u{e4},5", "tag value \"\u{e4}\" is not ASCII: use ASCII letters, or write it escaped"),
        ("1,a\0b,5", "tag value \"a\\0b\" holds a NUL byte: remove it"),
    ] {
        check(
            &format!("f,h:tag,time\n1,a,1\n{row}\n2,a,2\n"),
            &[m],
            &format!("m,h=a f=1.0 1\nm,h=a f=2.0 2\n!3:1 {expected}"),
        );
    }
    check_with(
        b"f,h:tag,time\n1,\xff,5\n2,a,5\n",
        options(&[("measurement", "m")]),
        "m,h=a f=2.0 5\n!2:1 column \"h\" holds bytes that are not UTF-8: send UTF-8",
    );
    // Lines are counted through quoted line ends.
    check(
        "f,h:tag,time\n1,\"a\nb\",1\nx,c,2\n",
        &[m],
        "m,h=a\nb f=1.0 1\n!4:1 column \"f\" holds \"x\", which is no number: make it a tag (with the header f:tag, or the parameter tags=f), or leave it out (f:ignore)",
    );
    // A quote that is never closed takes the rest along.
    check("f,h:tag,time\n1,a,1\n2,\"b,2\n3,c,3\n", &[m], "m,h=a f=1.0 1\n!3:1 unbalanced quotes");
    check("measurement,f\n,1\n", &[], "!2:1 missing measurement");
    check(
        "f,time:tag\n1,a\n",
        &[m],
        "!2:1 invalid tag key: input tag \"time\" on measurement \"m\" is invalid",
    );
    check("f,h:tag\n1,a\n", &[m, ("time", "")], &format!("m,h=a f=1.0 {NOW}"));
}

#[test]
fn headers_that_cannot_be_used_refuse_the_table_once() {
    let m = ("measurement", "m");
    for (body, parameters, expected) in [
        ("f,f\n1,2\n", vec![m], "!1:1 header: column \"f\" stands there twice: rename one of them"),
        (
            "\nf,\n1,2\n",
            vec![m],
            "!2:1 header: column 2 has no name: give it one, or cut the column off",
        ),
        (
            "f\n1\n",
            vec![],
            "!1:1 header: no measurement: add a column called measurement, or the parameter measurement=NAME",
        ),
        (
            "time\n1\n",
            vec![m],
            "!1:1 header: no column holds a field: name one NAME:field, or in the parameter fields=NAME",
        ),
        (
            "f\n1\n",
            vec![m, ("tags", "h")],
            "!1:1 header: parameter tags=h: there is no such column: name one of the header",
        ),
        ("\"f\n1\n", vec![m], "!1:1 unbalanced quotes"),
    ] {
        check(body, &parameters, expected);
    }
    check_with(
        b"f,\xff\n1,2\n",
        options(&[]),
        "!1:1 header: column 2 holds bytes that are not UTF-8: send UTF-8",
    );
    let wide = "c,".repeat(limits::COLUMNS_MAX) + "d\n";
    check(&wide, &[m], "!1:1 header: more than 4096 columns: split the table");
}

#[test]
fn delimiters_are_single_characters() {
    let fixture = Fixture::new();
    for text in [";;", "\"", "\n", "\r", "\u{e4}", "semicolon"] {
        let parameters = [("measurement", "m"), ("delimiter", text)];
        let error = fixture.report(b"f\n1\n", options(&parameters)).unwrap_err();
        let shown = error.to_string();
        assert!(shown.starts_with("invalid parameter delimiter="), "{shown}");
        assert_eq!(error.kind(), tsdb_core::ErrorKind::Invalid);
    }
}

#[test]
fn wide_tables_and_long_rows_have_their_limits() {
    let m = ("measurement", "m");
    let names: Vec<String> = (0..1001).map(|i| format!("f{i}")).collect();
    let row = |count: usize| vec!["1"; count].join(",");
    let body = format!("{}\n{}\n", names[..1000].join(","), row(1000));
    assert_eq!(Fixture::new().report(body.as_bytes(), options(&[m])).unwrap().samples, 1000);
    let body = format!("{}\n{}\n", names.join(","), row(1001));
    check(
        &body,
        &[m],
        "!2:1 1001 fields in one row, the limit is 1000: split the row into several measurements",
    );
    // Cells that are empty are no fields.
    let body = format!("{}\n{},\n", names.join(","), row(1000));
    assert_eq!(Fixture::new().report(body.as_bytes(), options(&[m])).unwrap().samples, 1000);
    let long = "x".repeat(limits::LINE_BYTES_MAX);
    let body = format!("f,note:ignore,time\n1,{long},5\n2,y,6\n");
    check(&body, &[m], "m f=2.0 6\n!2:1 line is longer than 262144 bytes: split it into several");
}

#[test]
fn points_carry_measurement_and_field_in_their_tags() {
    let csv = Csv::new(
        ParseOptions {
            parameters: &[("tags", "host"), ("measurement", "cpu")],
            ..ParseOptions::new(Precision::Seconds, NOW)
        },
        TagCharset::Ascii,
    );
    let points = csv.parse(b"host,user,value,time\na,1,2,3\nb,,4,\n").unwrap();
    let shown: Vec<_> = points
        .iter()
        .map(|p| (p.tags.get("host").unwrap(), p.field(), p.timestamp, p.value))
        .collect();
    assert_eq!(
        shown,
        [
            ("a", "user", 3_000_000_000, 1.0),
            ("a", "value", 3_000_000_000, 2.0),
            ("b", "value", 1_700_000_000_000_000_000, 4.0),
        ]
    );
    assert_eq!(points[0].tags.get(NAME_TAG), Some("cpu"));
    let error = csv.parse(b"host,user\na,1\nb,x\n").unwrap_err().to_string();
    assert!(
        error.starts_with("line 3, column 1: unable to parse 'b,x': column \"user\""),
        "{error}"
    );
    assert!(csv.supported_formats().contains(&"text/csv"));
}

/// Twice the input, and each line is looked at once: the lines of the report say where the reader was.
#[test]
fn every_line_is_read_once() {
    for (front, unit) in [
        ("f\n", "x\n"),
        ("f\n", "\"\"\n"),
        ("f,g\n", "\n1\n"),
        ("f\n\"", "\"\"\n"),
        ("f\n\"", "x\n"),
    ] {
        let lines = |count: usize| {
            let body = format!("{front}{}", unit.repeat(count));
            let mut records = Records::new(body.as_bytes(), 0, b',');
            let (mut count, mut end) = (0usize, 0);
            while let Some(found) = records.next() {
                assert!(found.origin.start >= end, "never back");
                end = found.origin.end;
                count += 1;
            }
            count
        };
        assert!(lines(2000) <= 2 * lines(1000), "{unit:?}");
    }
}

proptest! {
    /// Of random bytes, every row is stored or refused, and a second pass comes to the same.
    #[test]
    fn random_bytes_are_read_or_refused(
        front in prop::sample::select(vec!["", "f\n", "f,time\n", "measurement,h:tag,f\n"]),
        bytes in prop::collection::vec(
            prop::sample::select(b",\"\n\r mfh:;1.5-x\xc3\xa4\0\xef\xbb\xbf".to_vec()), 0..200),
    ) {
        let body = [front.as_bytes(), &bytes].concat();
        let fixture = Fixture::new();
        let parameters = [("measurement", "m")];
        let first = fixture.write(&body, options(&parameters));
        prop_assert_eq!(fixture.write(&body, options(&parameters)), first);
    }

    #[test]
    fn any_bytes_are_read_or_refused(body in prop::collection::vec(any::<u8>(), 0..300)) {
        let fixture = Fixture::new();
        let parameters = [("measurement", "m")];
        let first = fixture.write(&body, options(&parameters));
        prop_assert_eq!(fixture.write(&body, options(&parameters)), first);
    }

    /// Each row is judged as if it were alone: what stands around it changes nothing.
    #[test]
    fn rows_do_not_depend_on_each_other(
        rows in prop::collection::vec("[0-9x]{0,2},[ab]?,[0-9]|[0-9],[ab]|\"[a,\n]\",b,[0-9]", 1..12),
    ) {
        let header = "f,h:tag,time\n";
        let parameters = [("measurement", "m")];
        let (mut good, mut bad, mut line) = (Vec::new(), Vec::new(), 2);
        for row in &rows {
            let shown = Fixture::new().write(format!("{header}{row}\n").as_bytes(), options(&parameters));
            for shown in shown.split('\n').filter(|shown| !shown.is_empty()) {
                match shown.strip_prefix("!2:") {
                    Some(rest) => bad.push(format!("!{line}:{rest}")),
                    None => good.push(shown.to_owned()),
                }
            }
            line += 1 + row.matches('\n').count();
        }
        for line_end in ["\n", "\r\n", "\n\n"] {
            let text = format!("{header}{}", rows.join(line_end));
            let together = Fixture::new().write(text.as_bytes(), options(&parameters));
            let lines: Vec<&str> = together.split('\n').filter(|line| !line.is_empty()).collect();
            let (refused, stored): (Vec<&str>, Vec<&str>) =
                lines.iter().partition(|line| line.starts_with('!'));
            prop_assert_eq!(&stored, &good);
            if line_end == "\n\n" {
                prop_assert_eq!(refused.len(), bad.len());
            } else {
                prop_assert_eq!(&refused, &bad);
            }
        }
    }
}
