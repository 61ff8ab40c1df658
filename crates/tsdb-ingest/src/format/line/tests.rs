//! What is accepted and what is refused, how refusals are shown, what hostile input costs.

mod model;
mod table;

use std::sync::Arc;

use tsdb_core::{FIELD_TAG, MemoryBudget, NAME_TAG};

use super::*;
use crate::testing::Recorder;
use crate::{Pipeline, PipelineOptions, WriteRequest};

const NOW: i64 = 1_700_000_000_123_456_789;

struct Fixture {
    store: Arc<Recorder>,
    pipeline: Pipeline,
}

impl Fixture {
    fn new() -> Fixture {
        let store = Arc::new(Recorder::default());
        let pipeline =
            Pipeline::new(store.clone(), MemoryBudget::default(), PipelineOptions::default());
        Fixture { store, pipeline }
    }

    /// Rows and refusals of `body` as text, one per line.
    fn write(&self, body: &[u8], precision: Precision) -> String {
        let options = ParseOptions::new(precision, NOW);
        let request = WriteRequest { database: "d", policy: None, body, options };
        let report = self.pipeline.write(&LineProtocol::default(), &request).unwrap();
        let mut lines = self.store.take_rows();
        for name in &report.ignored_fields {
            lines.push(format!("~{name}"));
        }
        for error in &report.errors {
            lines.push(format!("!{}:{} {}", error.line, error.column, error.reason));
        }
        lines.join("\n")
    }
}

/// Writes `body` three times through one pipeline, so that the general path, the cached series and the
/// expected series and fields all give the same.
fn check_with(body: &[u8], precision: Precision, expected: &str) {
    let fixture = Fixture::new();
    for pass in 0..3 {
        let shown = String::from_utf8_lossy(body);
        assert_eq!(fixture.write(body, precision), expected, "pass {pass} of {shown:?}");
    }
}

fn check(body: &str, expected: &str) {
    check_with(body.as_bytes(), Precision::Nanoseconds, expected);
}

#[test]
fn accepted_lines() {
    for (body, expected) in table::ACCEPTED {
        check(body, expected);
    }
}

#[test]
fn refused_lines() {
    for (body, expected) in table::REFUSED {
        check(body, expected);
    }
}

#[test]
fn names_and_counts_are_limited() {
    let longest_name = "n".repeat(256);
    let longest_value = "v".repeat(4096);
    let accepted: &[(&str, &str)] = &[
        (&format!("{longest_name} f=1 5"), &format!("{longest_name} f=1.0 5")),
        (&format!("m,a={longest_value} f=1 5"), &format!("m,a={longest_value} f=1.0 5")),
        (&format!("m {longest_name}=1 5"), &format!("m {longest_name}=1.0 5")),
    ];
    let many_tags: String = (0..65).map(|i| format!(",t{i}=v")).collect();
    let many_fields: Vec<String> = (0..1001).map(|i| format!("f{i}=1")).collect();
    let long_name = "n".repeat(257);
    let refused: &[(&str, &str)] = &[
        (
            &format!("{long_name} f=1"),
            "!1:1 measurement has 257 bytes, the limit is 256: shorten it",
        ),
        (
            &format!("m,{long_name}=v f=1"),
            "!1:1 tag key has 257 bytes, the limit is 256: shorten it",
        ),
        (
            &format!("m,k={} f=1", "v".repeat(4097)),
            "!1:1 tag value has 4097 bytes, the limit is 4096: shorten it",
        ),
        (
            &format!("m {long_name}=1 5"),
            "!1:262 field name has 257 bytes, the limit is 256: shorten it",
        ),
        (
            &format!("m{many_tags} f=1"),
            "!1:376 65 tags, the limit is 64: drop tags that no query needs",
        ),
        (
            &format!("m {}", many_fields.join(",")),
            "!1:6900 1001 fields in one row, the limit is 1000: split the row into several measurements",
        ),
    ];
    for (body, expected) in accepted.iter().chain(refused) {
        check(body, expected);
    }
}

/// The blueprint's "invalid data handling": whatever is wrong with one line, the others are stored, and
/// the report says which line it was.
#[test]
fn invalid_data_handling() {
    let cases: &[(&str, &str)] = &[
        ("m f=1 1\nbad\nm f=2 2", "m f=1.0 1\nm f=2.0 2\n!2:4 missing fields"),
        ("\n#c\n\nm f=x 1\nm f=2 2", "m f=2.0 2\n!4:5 invalid boolean"),
        ("m f=1 1\r\n m f=x 1\r\nm f=2 2\r\n", "m f=1.0 1\nm f=2.0 2\n!2:5 invalid boolean"),
        // A text of several lines counts as such.
        ("m s=\"a\nb\n\",f=1 1\nm f=x 1", "m f=1.0 1\n~s\n!4:5 invalid boolean"),
        // A text behind the mistake is not read as lines.
        ("m f=x,s=\"a\nm f=9 9\nb\" 1\nm f=2 2", "m f=2.0 2\n!1:5 invalid boolean"),
        // A stray quote costs its own line only.
        ("m f=x\" 1\nm f=2 2\nm f=3\" 3", "m f=2.0 2\n!1:5 invalid boolean\n!3:5 invalid number"),
        ("m,a=\"x,a=1 f=1\nm g=\"s\",f=2 2", "m f=2.0 2\n~g\n!1:1 duplicate tags"),
        ("m f=1 x=\"\nm f=2 2", "m f=2.0 2\n!1:7 bad timestamp"),
        // A refused line does not define its series or fields.
        ("new,a=b f=1 x\nm f=2 2", "m f=2.0 2\n!1:13 bad timestamp"),
    ];
    for (body, expected) in cases {
        check(body, expected);
    }
}

#[test]
fn refused_lines_are_shown_as_they_came() {
    let fixture = Fixture::new();
    let options = ParseOptions::new(Precision::Nanoseconds, NOW);
    let body = b"ok f=1 1\n  m,t=\xff f=1\r\nm f=\"a\nb\",g=x 1\nx" as &[u8];
    let request = WriteRequest { database: "d", policy: None, body, options };
    let report = fixture.pipeline.write(&LineProtocol::default(), &request).unwrap();
    let shown: Vec<(u64, &str)> = report.errors.iter().map(|e| (e.line, e.text.as_str())).collect();
    assert_eq!(shown, [(2, "m,t=\\xff f=1"), (3, "m f=\"a\\nb\",g=x 1"), (5, "x")]);
    assert_eq!(
        report.error_text().unwrap(),
        "partial write: unable to parse 'm,t=\\xff f=1': invalid UTF-8 at byte 4 of the line\n\
         unable to parse 'm f=\"a\\nb\",g=x 1': invalid boolean\n\
         unable to parse 'x': missing fields dropped=0"
    );
}

#[test]
fn bytes_that_are_not_utf8_are_refused_with_their_place() {
    let cases: &[(&[u8], &str)] = &[
        (b"m\xff f=1", "!1:2 invalid UTF-8 at byte 1 of the line"),
        (b"m,a=b\xc3 f=1", "!1:6 invalid UTF-8 at byte 5 of the line"),
        (b"  m,a=\xff f=1", "!1:5 invalid UTF-8 at byte 4 of the line"),
        (b"m f=1,g\xff=1 5", "!1:8 invalid UTF-8 at byte 7 of the line"),
        (b"m f=1\xff 5", "!1:5 invalid number"),
        // What is not stored is not looked at.
        (b"m f=\"\xff\",g=1 5\n#\xff", "m g=1.0 5\n~f"),
    ];
    for (body, expected) in cases {
        check_with(body, Precision::Nanoseconds, expected);
    }
}

#[test]
fn timestamps_have_the_unit_of_the_request() {
    let range = "time outside range -9223372036854775806 - 9223372036854775806";
    for (precision, expected) in [
        (Precision::Nanoseconds, "m f=1.0 2"),
        (Precision::Microseconds, "m f=1.0 2000"),
        (Precision::Milliseconds, "m f=1.0 2000000"),
        (Precision::Seconds, "m f=1.0 2000000000"),
        (Precision::Minutes, "m f=1.0 120000000000"),
        (Precision::Hours, "m f=1.0 7200000000000"),
    ] {
        check_with(b"m f=1 2", precision, expected);
        let now = NOW / precision.ns() * precision.ns();
        check_with(b"m f=1", precision, &format!("m f=1.0 {now}"));
        let last = i64::MAX / precision.ns();
        if precision != Precision::Nanoseconds {
            let body = format!("m f=1 {last}");
            check_with(body.as_bytes(), precision, &format!("m f=1.0 {}", last * precision.ns()));
            let body = format!("m f=1 {}", last + 1);
            check_with(body.as_bytes(), precision, &format!("!1:7 {range}"));
            let body = format!("m f=1 -{}", last + 1);
            check_with(body.as_bytes(), precision, &format!("!1:7 {range}"));
        }
    }
}

#[test]
fn a_line_has_at_most_256_kib() {
    let fixture = Fixture::new();
    let text = |bytes: usize| format!("m s=\"{}\",f=1 5", "x".repeat(bytes - 12));
    let longest = text(limits::LINE_BYTES_MAX);
    assert_eq!(longest.len(), limits::LINE_BYTES_MAX);
    assert_eq!(fixture.write(longest.as_bytes(), Precision::Nanoseconds), "m f=1.0 5\n~s");
    let body = format!("{}\nm f=2 6", text(limits::LINE_BYTES_MAX + 1));
    let expected = "m f=2.0 6\n!1:1 line is longer than 262144 bytes: split it into several";
    for _ in 0..2 {
        assert_eq!(fixture.write(body.as_bytes(), Precision::Nanoseconds), expected);
    }
    let many: Vec<String> = (0..60_000).map(|i| format!("f{i}=1")).collect();
    let body = format!("m {}\nm f=2 6", many.join(","));
    let shown = fixture.write(body.as_bytes(), Precision::Nanoseconds);
    assert!(shown.starts_with("m f=2.0 6\n!1:") && shown.contains("is longer than"), "{shown}");
}

#[test]
fn points_carry_measurement_and_field_in_their_tags() {
    let options = ParseOptions::new(Precision::Seconds, NOW);
    let handler = LineProtocol::new(options, TagCharset::Utf8);
    let points = handler.parse(b"cpu,host=a user=1,value=2 3\ncpu,host=a value=4\n").unwrap();
    let shown: Vec<_> = points
        .iter()
        .map(|p| (p.measurement().unwrap(), p.field(), p.timestamp, p.value))
        .collect();
    assert_eq!(
        shown,
        [
            ("cpu", "user", 3_000_000_000, 1.0),
            ("cpu", "value", 3_000_000_000, 2.0),
            ("cpu", "value", NOW / 1_000_000_000 * 1_000_000_000, 4.0),
        ]
    );
    assert_eq!(points[0].tags.get("host"), Some("a"));
    assert_eq!(points[0].tags.get(NAME_TAG), Some("cpu"));
    assert_eq!(points[1].tags.get(FIELD_TAG), None, "the default field is not named");
    assert!(handler.supported_formats().contains(&"line-protocol"));
}

#[test]
fn the_first_bad_line_is_an_error_for_library_users() {
    let error = LineProtocol::default().parse(b"m f=1 1\nm f=x 2\nbad").unwrap_err();
    assert_eq!(
        error.to_string(),
        "line 2, column 5: unable to parse 'm f=x 2': invalid boolean: write a number, t, f, true or \
         false, and put text in double quotes"
    );
    let ascii = LineProtocol::new(ParseOptions::new(Precision::Nanoseconds, 0), TagCharset::Ascii);
    assert!(ascii.parse("m,t=ä f=1 1".as_bytes()).is_err());
    assert_eq!(LineProtocol::default().parse("m,t=ä f=1 1".as_bytes()).unwrap().len(), 1);
}

/// InfluxDB's words do not say what to do; the reason does when it is asked to.
#[test]
fn every_refusal_can_say_what_to_do() {
    let fixture = Fixture::new();
    let options = ParseOptions::new(Precision::Nanoseconds, NOW);
    for (body, expected) in table::REFUSED {
        let request = WriteRequest { database: "d", policy: None, body: body.as_bytes(), options };
        let report = fixture.pipeline.write(&LineProtocol::default(), &request).unwrap();
        let reason = &report.errors[0].reason;
        let (words, explained) = (reason.to_string(), reason.explained());
        assert!(expected.ends_with(&words) && explained.starts_with(&words), "{body:?}");
        // The limits of the data model have their remedy in their words.
        let has_remedy = explained.len() > words.len() || matches!(reason, Reason::Limit(_));
        assert!(has_remedy, "{body:?}: {explained}");
    }
    let twice = Reason::DuplicateTags { key: "host".to_owned() };
    assert_eq!(twice.explained(), "duplicate tags: \"host\" is given twice, keep one of them");
}

/// Twice the input, at most about twice the bytes looked at: nothing is scanned again and again.
#[test]
fn work_is_linear_in_the_input() {
    let shapes: &[(&str, &str)] = &[
        ("", "m f=1 1\n"),
        ("", "m,a=b f=1,g=2 1\n"),
        ("", "m\n"),
        ("", "m f=x\n"),
        ("", "m f=\"x\n"),
        ("", "m f=\"x\",g\n"),
        ("", "m f=x,g=\"\n"),
        ("", "m f=\\\"\n"),
        ("", "m f=x\\=\"\n"),
        ("m ", "f=1,"),
        ("m,", "a=b,"),
        ("m", "\\ "),
        ("m", "\\"),
        ("m f=\"", "\\\""),
        ("m f=\"", "x\n"),
        ("m f=\"\"", "\"\""),
        ("", "# c\n"),
        ("", " "),
        ("", "\r"),
        ("m f=", "1"),
        ("m f=1 ", "1"),
        ("m f=1 1", " "),
        ("m,a=", "\\=\\,"),
        ("m f", "\\\\"),
        ("", "m f=1 9x=\"\n"),
    ];
    for (front, unit) in shapes {
        let work = |bytes: usize| {
            let body = format!("{front}{}", unit.repeat(bytes / unit.len()));
            let fixture = Fixture::new();
            // The second pass goes by what is cached.
            fixture.write(body.as_bytes(), Precision::Nanoseconds);
            fixture.write(body.as_bytes(), Precision::Nanoseconds);
            tokens::take_looked_at()
        };
        tokens::take_looked_at();
        let (once, twice) = (work(20_000), work(40_000));
        assert!(once > 0, "{unit:?} is counted");
        assert!(twice < once * 5 / 2, "{unit:?}: {once} bytes looked at, twice as long {twice}");
        assert!(twice < 12 * 2 * 40_000, "{unit:?}: {twice} bytes looked at for 80 000");
    }
}
