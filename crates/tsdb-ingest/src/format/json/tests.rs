//! What is accepted and what is refused, how refusals are shown, what hostile input costs.

use std::sync::Arc;

use proptest::prelude::*;
use tsdb_core::{FIELD_TAG, MemoryBudget, NAME_TAG, Pool};

use super::*;
use crate::rows::draft;
use crate::testing::{Counter, Recorder};
use crate::{Error, Pipeline, PipelineOptions, WriteReport, WriteRequest};

const NOW: i64 = 1_700_000_000_123_456_789;

struct Fixture {
    store: Arc<Recorder>,
    budget: MemoryBudget,
    pipeline: Pipeline,
}

impl Fixture {
    fn new() -> Fixture {
        Fixture::with(MemoryBudget::default())
    }

    fn with(budget: MemoryBudget) -> Fixture {
        let store = Arc::new(Recorder::default());
        let pipeline = Pipeline::new(store.clone(), budget.clone(), PipelineOptions::default());
        Fixture { store, budget, pipeline }
    }

    fn report(&self, body: &[u8], precision: Precision) -> crate::Result<WriteReport> {
        let options = ParseOptions::new(precision, NOW);
        let request = WriteRequest { database: "d", policy: None, body, options };
        let report = self.pipeline.write(&Json::default(), &request);
        assert_eq!(self.budget.used(Pool::Bodies), 0, "everything is given back");
        report
    }

    /// Rows, names of what was left out and refusals of `body`, one per line.
    fn write(&self, body: &[u8], precision: Precision) -> String {
        let report = self.report(body, precision).unwrap();
        let mut lines = self.store.take_rows();
        assert_eq!(report.rows, lines.len() as u64);
        for name in &report.ignored_fields {
            lines.push(format!("~{name}"));
        }
        for error in &report.errors {
            lines.push(format!("!{}:{} {}", error.line, error.column, error.reason));
        }
        lines.join("\n")
    }
}

/// Writes `body` three times through one pipeline: for new series, known ones and expected ones.
fn check_with(body: &[u8], precision: Precision, expected: &str) {
    let fixture = Fixture::new();
    for pass in 0..3 {
        let shown = String::from_utf8_lossy(body);
        assert_eq!(fixture.write(body, precision), expected, "pass {pass} of {shown}");
    }
}

fn check(body: &str, expected: &str) {
    check_with(body.as_bytes(), Precision::Nanoseconds, expected);
}

/// The blueprint's "valid JSON parsing": every form of a record and of a document.
#[test]
fn valid_json_parsing() {
    // One object.
    check(
        r#"{"measurement":"cpu","tags":{"host":"a","dc":"x"},"fields":{"usage":0.5,"idle":99},"time":5}"#,
        "cpu,dc=x,host=a idle=99.0,usage=0.5 5",
    );
    check(r#"{"measurement":"m","value":1.5,"time":5}"#, "m value=1.5 5");
    check(r#"{"value":1.5,"time":5,"measurement":"m"}"#, "m value=1.5 5");
    check(r#"{"measurement":"m","value":1,"fields":{"a":2},"time":5}"#, "m a=2.0,value=1.0 5");
    check("{\n  \"measurement\": \"m\",\n  \"value\": 1,\n  \"time\": 5\n}\n", "m value=1.0 5");
    check("\u{feff}{\"measurement\":\"m\",\"value\":1,\"time\":5}", "m value=1.0 5");
    // An array.
    check("[]", "");
    check(
        r#"[{"measurement":"a","value":1,"time":1}, {"measurement":"b","value":2,"time":2}]"#,
        "a value=1.0 1\nb value=2.0 2",
    );
    // Lines.
    check(
        "{\"measurement\":\"a\",\"value\":1,\"time\":1}\n\n{\"measurement\":\"b\",\"value\":2,\"time\":2}\r\n",
        "a value=1.0 1\nb value=2.0 2",
    );
    check(
        r#"{"measurement":"a","value":1,"time":1}{"measurement":"b","value":2,"time":2}"#,
        "a value=1.0 1\nb value=2.0 2",
    );
    // Columns.
    check(
        r#"{"measurement":"m","tags":{"h":"a"},"time":[1,2,3],"fields":{"f":[0.5,null,2],"g":[1,2,null]}}"#,
        "m,h=a f=0.5,g=1.0 1\nm,h=a g=2.0 2\nm,h=a f=2.0 3",
    );
    check(r#"{"measurement":"m","time":[1,2],"value":[5,true]}"#, "m value=5.0 1\nm value=1.0 2");
    check(r#"{"measurement":"m","time":[],"fields":{"f":[]}}"#, "");
    check(r#"{"measurement":"m","time":[1,2],"fields":{"f":[null,1]}}"#, "m f=1.0 2");
    check(
        r#"{"measurement":"m","time":[1,null],"fields":{"f":["x",1],"g":[1,2],"h":null}}"#,
        &format!("m g=1.0 1\nm f=1.0,g=2.0 {NOW}\n~f"),
    );
    // Nothing.
    check("", "");
    check(" \r\n\t", "");
    check("\u{feff}", "");
}

#[test]
fn values_and_times() {
    let value = |value: &str, expected: &str| {
        let body = format!("{{\"measurement\":\"m\",\"fields\":{{\"f\":{value}}},\"time\":5}}");
        check(&body, expected);
    };
    value("1", "m f=1.0 5");
    value("-1", "m f=-1.0 5");
    value("0.1", "m f=0.1 5");
    value("1.5e3", "m f=1500.0 5");
    value("-0.0", "m f=-0.0 5");
    value("98.27364532019703", "m f=98.27364532019703 5");
    value("5e-324", "m f=5e-324 5");
    value("1.7976931348623157e308", "m f=1.7976931348623157e308 5");
    value("9007199254740993", "m f=9007199254740992.0 5");
    value("18446744073709551615", "m f=1.8446744073709552e19 5");
    value("12345678901234567890123", "m f=1.2345678901234568e22 5");
    value("true", "m f=1.0 5");
    value("false", "m f=0.0 5");
    value("\"text\"", "~f");
    value("null", "!1:1 missing fields");
    value("1,\"g\":null,\"s\":\"x\"", "m f=1.0 5\n~s");
    value("1,\"f\":2", "m f=2.0 5");

    let time = |time: &str, precision: Precision, expected: &str| {
        let body = format!("{{\"measurement\":\"m\",\"value\":1{time}}}");
        check_with(body.as_bytes(), precision, expected);
    };
    time(",\"time\":-5", Precision::Nanoseconds, "m value=1.0 -5");
    time(",\"timestamp\":5", Precision::Milliseconds, "m value=1.0 5000000");
    time(",\"time\":5", Precision::Hours, "m value=1.0 18000000000000");
    time("", Precision::Nanoseconds, &format!("m value=1.0 {NOW}"));
    time(",\"time\":null", Precision::Seconds, "m value=1.0 1700000000000000000");
    let date = ",\"time\":\"1970-01-01T00:00:01.5+00:00\"";
    for precision in [Precision::Nanoseconds, Precision::Hours] {
        time(date, precision, "m value=1.0 1500000000");
    }
    let range = "!1:1 time outside range -9223372036854775806 - 9223372036854775806";
    time(",\"time\":9223372036854775807", Precision::Nanoseconds, range);
    time(",\"time\":18446744073709551615", Precision::Nanoseconds, range);
    time(",\"time\":10000000000", Precision::Seconds, range);
    time(",\"time\":\"9999-01-01T00:00:00Z\"", Precision::Nanoseconds, range);
    for (text, shown) in [
        ("1.5", "1.5"),
        ("1e9", "1000000000"),
        ("true", "a boolean"),
        ("{}", "an object"),
        ("\"5\"", "5"),
        ("\"yesterday\"", "yesterday"),
    ] {
        let expected = format!(
            "!1:1 time {shown:?} is neither an integer nor RFC 3339 (2006-01-02T15:04:05Z)"
        );
        time(&format!(",\"time\":{text}"), Precision::Nanoseconds, &expected);
    }
}

#[test]
fn texts_are_unescaped() {
    check(
        r#"{"measurement":"m\u0041","tags":{"a\"b":"c\\d\/e"},"fields":{"f\tg":1},"time":5}"#,
        "mA,a\"b=c\\d/e f\tg=1.0 5",
    );
    // Escapes do not move what stands behind them.
    check(
        r#"[{"measurement":"\u0041\u0042\u0043","tags":{"a":"\u0041","b":1},"value":1}]"#,
        "!1:58 tags.b is a number: give a text",
    );
}

/// Records that are refused, and the column and the words with which they are.
const REFUSED: &[(&str, &str)] = &[
    // No record.
    ("1", "1 the record is a number: give an object"),
    ("null", "1 the record is null: give an object"),
    ("\"m\"", "1 the record is a text: give an object"),
    ("[1]", "1 the record is an array: give an object"),
    ("{}", "1 missing measurement"),
    // Keys.
    (
        "{\"measurement\":\"m\",\"vaule\":1}",
        "20 unknown key \"vaule\": use measurement, tags, fields, value and time",
    ),
    (
        "{\"measurement\":\"m\",\"measurement\":\"n\"}",
        "20 duplicate key \"measurement\": keep one of them",
    ),
    ("{\"time\":1,\"timestamp\":2}", "11 duplicate key \"timestamp\": keep one of them"),
    // Measurement and tags.
    ("{\"value\":1}", "1 missing measurement"),
    ("{\"measurement\":null,\"value\":1}", "1 missing measurement"),
    ("{\"measurement\":\"\",\"value\":1}", "1 missing measurement"),
    ("{\"measurement\":5,\"value\":1}", "1 measurement is a number: give a text"),
    ("{\"measurement\":\"m\",\"tags\":[],\"value\":1}", "1 tags is an array: give an object"),
    ("{\"measurement\":\"m\",\"tags\":\"a=b\",\"value\":1}", "27 tags is a text: give an object"),
    (
        "{\"measurement\":\"m\",\"tags\":{\"a\":5},\"value\":1}",
        "28 tags.a is a number: give a text",
    ),
    (
        "{\"measurement\":\"m\",\"tags\":{\"a\":{}},\"value\":1}",
        "28 tags.a is an object: give a text",
    ),
    (
        "{\"measurement\":\"m\",\"tags\":{\"a\":\"\"},\"value\":1}",
        "1 tag value is empty: give it a name or leave the pair out",
    ),
    ("{\"measurement\":\"m\",\"tags\":{\"a\":\"1\",\"a\":\"2\"},\"value\":1}", "1 duplicate tags"),
    (
        "{\"measurement\":\"m\",\"tags\":{\"ä\":\"1\"},\"value\":1}",
        "1 tag key \"ä\" is not ASCII: use ASCII letters, or write it escaped",
    ),
    (
        "{\"measurement\":\"m\",\"tags\":{\"__name__\":\"1\"},\"value\":1}",
        "1 tag key \"__name__\" is reserved: rename the tag",
    ),
    (
        "{\"measurement\":\"m\",\"tags\":{\"a\":\"\\u0000\"},\"value\":1}",
        "1 tag value \"\\0\" holds a NUL byte: remove it",
    ),
    // Fields.
    ("{\"measurement\":\"m\"}", "1 missing fields"),
    ("{\"measurement\":\"m\",\"fields\":{}}", "1 missing fields"),
    ("{\"measurement\":\"m\",\"fields\":5}", "1 fields is a number: give an object"),
    (
        "{\"measurement\":\"m\",\"fields\":{\"f\":[1]}}",
        "30 fields.f is an array: give a number, or an array of times beside it",
    ),
    (
        "{\"measurement\":\"m\",\"fields\":{\"\":1}}",
        "1 field name is empty: give it a name or leave the pair out",
    ),
    (
        "{\"measurement\":\"m\",\"fields\":{\"time\":1}}",
        "1 invalid field name: input field \"time\" on measurement \"m\" is invalid",
    ),
    // Columns.
    (
        "{\"measurement\":\"m\",\"time\":[1,2],\"fields\":{\"f\":[1]}}",
        "43 fields.f has 1 values for 2 times: give one for each, null where there is none",
    ),
    (
        "{\"measurement\":\"m\",\"time\":[1],\"value\":5}",
        "1 value is a number: give an array with a value for each time",
    ),
    (
        "{\"measurement\":\"m\",\"time\":[1],\"fields\":{\"f\":[[]]}}",
        "41 fields.f is an array: give single values in an array",
    ),
    (
        "{\"measurement\":\"m\",\"time\":[[1]],\"value\":[1]}",
        "1 time is an array: give single values in an array",
    ),
    ("{\"measurement\":\"m\",\"time\":[1]}", "1 missing fields"),
];

/// Whatever is wrong with one record, the others are stored, and the report says which it was.
#[test]
fn invalid_data_handling() {
    let good = |time: u32| format!("{{\"measurement\":\"m\",\"value\":1,\"time\":{time}}}");
    for (record, expected) in REFUSED {
        let body = format!("[{},{record},{}]", good(1), good(2));
        check(&body, &format!("m value=1.0 1\nm value=1.0 2\n!2:{expected}"));
        let body = format!("{}\n{record}\n{}\n", good(1), good(2));
        check(&body, &format!("m value=1.0 1\nm value=1.0 2\n!2:{expected}"));
    }
    // Rows of one columnar record are refused one by one.
    check(
        r#"{"measurement":"m","time":[1,"x",3,9223372036854775807],"fields":{"f":[1,2,3,4]}}"#,
        "m f=1.0 1\nm f=3.0 3\n\
         !1:1 time \"x\" is neither an integer nor RFC 3339 (2006-01-02T15:04:05Z)\n\
         !1:1 time outside range -9223372036854775806 - 9223372036854775806",
    );
}

#[test]
fn text_that_is_no_json_is_refused_with_its_place() {
    let good = "{\"measurement\":\"m\",\"value\":1,\"time\":1}";
    assert_eq!(good.len(), 38);
    let stored = "m value=1.0 1\n";
    for (body, expected) in [
        (
            "cpu,host=a usage=1".to_owned(),
            "!1:1 invalid JSON at byte 0: neither an object nor an array begins here",
        ),
        (
            "  5".to_owned(),
            "!1:1 invalid JSON at byte 2: neither an object nor an array begins here",
        ),
        ("{".to_owned(), "!1:2 invalid JSON at byte 1: it ends too early"),
        ("[".to_owned(), "!1:1 invalid JSON at byte 1: the array is not closed"),
        (
            "{\"measurement\":NaN}".to_owned(),
            "!1:16 invalid JSON at byte 15: a value should stand here",
        ),
        (
            "{\"measurement\":\"m\",\"value\":1e400}".to_owned(),
            "!1:28 invalid JSON at byte 27: this number is too large: numbers go up to \
             1.7976931348623157e308",
        ),
        (
            format!("[{good},{{\"a\":}}]"),
            "m value=1.0 1\n!2:6 invalid JSON at byte 45: a value should stand here",
        ),
        (
            format!("{good}\n{{\"a\":\"\\x\"}}"),
            "m value=1.0 1\n!2:7 invalid JSON at byte 45: this escape does not exist",
        ),
        (
            format!("[{good}"),
            "m value=1.0 1\n!2:1 invalid JSON at byte 39: the array is not closed",
        ),
        (
            format!("[{good},{{\"a"),
            "m value=1.0 1\n!2:2 invalid JSON at byte 41: this text is not closed",
        ),
        (
            format!("[{good}] x"),
            "m value=1.0 1\n!2:1 invalid JSON at byte 41: the array has ended before",
        ),
        (
            format!("{good}\n{{\"a\":\"b"),
            "m value=1.0 1\n!2:6 invalid JSON at byte 44: this text is not closed",
        ),
    ] {
        check(&body, expected);
        assert_eq!(body.contains(good), expected.starts_with(stored), "{body}");
    }
    check_with(
        b"{\"measurement\":\"\xff\"}",
        Precision::Nanoseconds,
        "!1:17 invalid JSON at byte 16: invalid UTF-8",
    );
    let error =
        Fixture::new().report(b"{\"a\":tru}", Precision::Nanoseconds).unwrap().errors.remove(0);
    assert_eq!((error.text.as_str(), error.column), ("{\"a\":tru}", 6));
}

#[test]
fn nesting_and_records_have_their_limits() {
    let good = "{\"measurement\":\"m\",\"value\":1,\"time\":1}";
    let deep = |levels: usize| "{\"tags\":".repeat(levels) + "1" + &"}".repeat(levels);
    let nested = "nested more than 32 levels deep: a record has three";
    for (levels, part) in
        [(2, "tags is an object"), (32, "tags"), (33, nested), (100, nested), (100_000, nested)]
    {
        let shown = Fixture::new()
            .write(format!("[{},{good}]", deep(levels)).as_bytes(), Precision::Seconds);
        let refused = shown
            .strip_prefix("m value=1.0 1000000000\n!1:")
            .unwrap_or_else(|| panic!("{levels}: {}", &shown[..shown.len().min(200)]));
        assert!(
            refused.contains(part) || (levels <= 32 && refused.contains("missing")),
            "{refused}"
        );
    }
    let open = "[".repeat(1_000_000);
    let shown = Fixture::new().write(open.as_bytes(), Precision::Seconds);
    assert!(shown.contains(nested), "{shown}");

    let record = |bytes: usize| {
        let front = "{\"measurement\":\"m\",\"value\":1,\"time\":1,\"fields\":{\"s\":\"";
        format!("{front}{}\"}}}}", "x".repeat(bytes - front.len() - 3))
    };
    let longest = record(limits::JSON_RECORD_BYTES_MAX);
    assert_eq!(longest.len(), limits::JSON_RECORD_BYTES_MAX);
    let body = format!("[{longest},{},{good}]", record(limits::JSON_RECORD_BYTES_MAX + 1));
    assert_eq!(
        Fixture::new().write(body.as_bytes(), Precision::Nanoseconds),
        "m value=1.0 1\nm value=1.0 1\n~s\n\
         !2:1 record is longer than 4194304 bytes: split it into several"
    );
    let many: Vec<String> = (0..1001).map(|i| format!("\"f{i}\":1")).collect();
    let body = format!("{{\"measurement\":\"m\",\"fields\":{{{}}}}}", many.join(","));
    check(
        &body,
        "!1:1 1001 fields in one row, the limit is 1000: split the row into several measurements",
    );
    let many: Vec<String> = (0..4097).map(|i| format!("\"f{i}\":[]")).collect();
    let body = format!("{{\"measurement\":\"m\",\"time\":[],\"fields\":{{{}}}}}", many.join(","));
    check(
        &body,
        "!1:1 4097 columns in one record, the limit is 4096: split it into several records",
    );
    let many: Vec<String> = (0..65).map(|i| format!("\"t{i}\":\"v\"")).collect();
    let body = format!("{{\"measurement\":\"m\",\"value\":1,\"tags\":{{{}}}}}", many.join(","));
    check(&body, "!1:1 65 tags, the limit is 64: drop tags that no query needs");
    let many: Vec<String> = (0..60_000).map(|i| format!("\"f{i}\":1")).collect();
    let body = format!("{{\"measurement\":\"m\",\"fields\":{{{}}}}}", many.join(","));
    check(&body, "!1:1 line is longer than 262144 bytes: split it into several");
}

/// Rows of a columnar record that the store refuses are counted one by one.
#[test]
fn rows_of_one_record_are_refused_one_by_one() {
    let fixture = Fixture::new();
    fixture.store.state().refused_measurement = Some("full");
    let body = br#"[{"measurement":"full","time":[1,2,3],"value":[1,2,3]},{"measurement":"m","value":1,"time":1}]"#;
    for _ in 0..2 {
        let report = fixture.report(body, Precision::Nanoseconds).unwrap();
        assert_eq!(fixture.store.take_rows(), ["m value=1.0 1"]);
        assert_eq!((report.rows, report.errors_total, report.dropped_total), (1, 3, 3));
        assert!(report.errors.iter().all(|error| error.line == 1));
    }
}

#[test]
fn memory_is_charged_by_the_record() {
    // A record of 2 MiB of short numbers takes some 70 MB while it is read.
    let columns = |count: usize| {
        let (times, values) = ("1,".repeat(count), "5,".repeat(count));
        format!("{{\"measurement\":\"m\",\"time\":[{times}1],\"value\":[{values}5]}}")
    };
    let body = columns(1 << 19);
    let small = Fixture::with(MemoryBudget::with_limits([8 << 20; 5]));
    let error = small.report(body.as_bytes(), Precision::Nanoseconds).unwrap_err();
    assert!(matches!(error, Error::Store(tsdb_core::Error::OverBudget { pool: Pool::Bodies, .. })));
    assert_eq!(small.store.take_rows(), [""; 0]);
    // What one took is there for the next: six of 5 MB, and 8 MB with the overdraft of three times that.
    let body = format!("[{}]", vec![columns(40_000); 6].join(","));
    assert_eq!(small.report(body.as_bytes(), Precision::Nanoseconds).unwrap().rows, 6 * 40_001);
    small.store.take_rows();
    // Nor do many short ones add up.
    let record = columns(20);
    let body = format!("[{}{record}]", format!("{record},").repeat(4000));
    assert_eq!(small.report(body.as_bytes(), Precision::Nanoseconds).unwrap().rows, 4001 * 21);
}

#[test]
fn points_carry_measurement_and_field_in_their_tags() {
    let json = Json::new(ParseOptions::new(Precision::Seconds, NOW), TagCharset::Utf8);
    let body = "{\"measurement\":\"cpu\",\"tags\":{\"host\":\"ä\"},\"fields\":{\"u\":1},\"value\":2,\"time\":3}";
    let points = json.parse(body.as_bytes()).unwrap();
    let shown: Vec<_> = points.iter().map(|p| (p.field(), p.timestamp, p.value)).collect();
    assert_eq!(shown, [("u", 3_000_000_000, 1.0), ("value", 3_000_000_000, 2.0)]);
    assert_eq!(points[0].tags.get(NAME_TAG), Some("cpu"));
    assert_eq!(points[0].tags.get("host"), Some("ä"));
    assert_eq!(points[1].tags.get(FIELD_TAG), None);
    assert!(Json::default().parse(body.as_bytes()).is_err(), "ASCII by default");
    let error = json.parse(b"[{\"measurement\":\"m\",\"value\":1}, 5]").unwrap_err();
    assert_eq!(
        error.to_string(),
        "line 2, column 1: unable to parse '5': the record is a number: give an object"
    );
    for name in ["application/json", "application/x-ndjson", "json", "ndjson"] {
        assert!(json.supported_formats().contains(&name));
    }
}

/// What many rows have in common is read once, and what each repeats has its limit.
#[test]
fn long_names_do_not_multiply_with_the_rows() {
    let times = |count: usize| vec!["1"; count].join(",");
    let long = |bytes: usize| "x".repeat(bytes);
    let many = times(20_000);
    let tags: Vec<String> = (0..60).map(|i| format!("\"t{i}\":\"{}\"", long(4000))).collect();
    let tags = tags.join(",");
    let name = long(250_000);
    for (body, rows, refused) in [
        // Tags of 240 kB, and 20 000 rows of them.
        (
            format!(
                "{{\"measurement\":\"m\",\"tags\":{{{tags}}},\"time\":[{many}],\"value\":[{many}]}}"
            ),
            20_000,
            0,
        ),
        // Such that are refused, or too long: once for all rows.
        (
            format!(
                "{{\"measurement\":\"m\",\"tags\":{{\"a\":\"ä{name}\"}},\"time\":[{many}],\"value\":[{many}]}}"
            ),
            0,
            1,
        ),
        (
            format!("{{\"measurement\":\"m{name}{name}\",\"time\":[{many}],\"value\":[{many}]}}"),
            0,
            1,
        ),
        (
            format!(
                "{{\"measurement\":\"m\",\"time\":[{many}],\"fields\":{{\"{name}\":[{many}]}}}}"
            ),
            0,
            1,
        ),
    ] {
        draft::take_written();
        let budget = MemoryBudget::default();
        // Rows of this store are no texts.
        let store = Arc::new(Counter::new(&budget));
        let pipeline = Pipeline::new(store, budget, PipelineOptions::default());
        let options = ParseOptions::new(Precision::Nanoseconds, NOW);
        let body = body.as_bytes();
        let request = WriteRequest { database: "d", policy: None, body, options };
        let report = pipeline.write(&Json::default(), &request).unwrap();
        assert_eq!((report.rows, report.errors_total), (rows, refused));
        assert!(draft::take_written() < 4 * body.len());
    }
}

/// Twice the input, at most about twice the bytes looked at: nothing is cut again and again.
#[test]
fn work_is_linear_in_the_input() {
    for (front, unit) in [
        ("", "{\"measurement\":\"m\",\"value\":1}\n"),
        ("[", "{\"measurement\":\"m\",\"value\":1},"),
        ("[", "{},"),
        ("[", "1,"),
        ("[", "[],"),
        ("[", "[,"),
        ("", "["),
        ("", "{\"a\":"),
        ("", "{\"a\":\n"),
        ("", "{\n"),
        ("", "{}"),
        ("", "{}\n"),
        ("", "{\"\n"),
        ("", "x\n{\n"),
        ("[", "\"a\","),
        ("[\"", "\\\""),
        ("", " "),
        ("[", " "),
        ("[", "{]"),
        ("[{", "]"),
        ("[", "{[}]"),
        ("", "\n"),
    ] {
        let work = |bytes: usize| {
            let body = format!("{front}{}", unit.repeat(bytes / unit.len()));
            let fixture = Fixture::new();
            fixture.write(body.as_bytes(), Precision::Nanoseconds);
            split::take_looked_at()
        };
        split::take_looked_at();
        let (once, twice) = (work(20_000), work(40_000));
        assert!(once > 0, "{unit:?} is counted");
        assert!(twice < once * 5 / 2, "{unit:?}: {once} bytes looked at, twice as long {twice}");
        assert!(twice < 6 * 40_000, "{unit:?}: {twice} bytes looked at for 40 000");
    }
}

proptest! {
    /// Of random bytes, every record is stored, ignored or refused, and a second pass comes to the same.
    #[test]
    fn random_bytes_are_read_or_refused(
        front in prop::sample::select(vec!["", "[", "{", "{\"measurement\":\"m\",", "[{\"measurement\":\"m\",\"value\":"]),
        bytes in prop::collection::vec(
            prop::sample::select(b"{}[],:\"\"\\mtv 019.-en\n\r\xc3\xa4\0".to_vec()), 0..200),
    ) {
        let body = [front.as_bytes(), &bytes].concat();
        let fixture = Fixture::new();
        let first = fixture.write(&body, Precision::Nanoseconds);
        prop_assert_eq!(fixture.write(&body, Precision::Nanoseconds), first);
    }

    #[test]
    fn any_bytes_are_read_or_refused(body in prop::collection::vec(any::<u8>(), 0..300)) {
        let fixture = Fixture::new();
        let first = fixture.write(&body, Precision::Nanoseconds);
        prop_assert_eq!(fixture.write(&body, Precision::Nanoseconds), first);
    }

    /// Where simd-json refuses a text, the walk that explains it finds a fault, and the other way round.
    #[test]
    fn both_readers_of_json_agree(
        bytes in prop::collection::vec(
            prop::sample::select(b"{}[],:\"\"\\ua1 019.-eE+truefalsn\n\t".to_vec()), 1..40),
    ) {
        let known = fault::first(&bytes).is_none();
        let mut copy = bytes.clone();
        prop_assert_eq!(simd_json::to_tape(&mut copy).is_ok(), known);
    }

    /// Each record is judged as if it were alone: what stands around it changes nothing.
    #[test]
    fn records_do_not_depend_on_each_other(
        records in prop::collection::vec(
            "\\{\"measurement\":\"[ab]?\",\"(value|valu)\":[0-9n\"]{0,2},\"time\":[0-9]\\}|[0-9]|\\{\\}", 1..12),
    ) {
        // Lines are known by the first of them.
        let first = "{\"measurement\":\"a\",\"value\":1,\"time\":1}".to_owned();
        let records: Vec<String> = std::iter::once(first).chain(records).collect();
        let alone: Vec<String> = records
            .iter()
            .map(|record| Fixture::new().write(format!("[{record}]").as_bytes(), Precision::Seconds))
            .collect();
        let (mut rows, mut refused) = (Vec::new(), Vec::new());
        for (place, shown) in alone.iter().enumerate() {
            // Names of what is left out stand there once, however often it was.
            for line in shown.split('\n').filter(|line| !line.is_empty() && !line.starts_with('~')) {
                match line.strip_prefix("!1:") {
                    // Offsets are those in the request.
                    Some(rest) => refused.push((place + 1, rest.split(" at byte").next().unwrap())),
                    None => rows.push(line),
                }
            }
        }
        for body in [format!("[{}]", records.join(",")), records.join("\n")] {
            // A quote that is never closed takes the rest along.
            prop_assume!(records.iter().all(|record| record.matches('"').count() % 2 == 0));
            let together = Fixture::new().write(body.as_bytes(), Precision::Seconds);
            let lines = together.split('\n');
            let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('~'));
            let (bad, good): (Vec<&str>, Vec<&str>) =
                lines.partition(|line| line.starts_with('!'));
            prop_assert_eq!(good, rows.clone());
            let bad: Vec<(usize, &str)> = bad
                .iter()
                .map(|line| {
                    let (number, rest) = line[1..].split_once(':').unwrap();
                    (number.parse().unwrap(), rest.split(" at byte").next().unwrap())
                })
                .collect();
            prop_assert_eq!(bad, refused.clone());
        }
    }
}

#[test]
fn records_of_other_databases_are_taken_as_they_are() {
    let ns = Precision::Nanoseconds;
    for (body, precision, expected) in [
        // OpenTSDB.
        (
            r#"[{"metric":"sys.cpu","timestamp":1346846400,"value":18,"tags":{"host":"a"}},
                {"timestamp":1346846400123,"tags":{"host":"b"},"value":"1.5","metric":"sys.cpu"}]"#,
            ns,
            "sys.cpu,host=a value=18.0 1346846400000000000\nsys.cpu,host=b value=1.5 1346846400123000000",
        ),
        (r#"{"metric":"m","timestamp":7,"value":1}"#, Precision::Microseconds, "m value=1.0 7000"),
        (r#"{"metric":"m","timestamp":7,"value":"x"}"#, ns, "~value"),
        // VictoriaMetrics.
        (
            r#"{"metric":{"__name__":"up","job":"x"},"values":[1,null,0],"timestamps":[1000,2000,3000]}"#,
            ns,
            "up,job=x value=1.0 1000000000\nup,job=x value=0.0 3000000000",
        ),
        (
            r#"{"timestamps":[1],"values":["-Infinity"],"metric":{"job":"x","__name__":"up"}}"#,
            Precision::Seconds,
            "up,job=x value=-inf 1000000000",
        ),
        // What is wrong with them.
        (
            r#"{"metric":"m","timestamp":7,"value":1,"fields":{}}"#,
            ns,
            "!1:39 unknown key \"fields\": records with a metric have metric, timestamp, value and tags",
        ),
        (
            r#"{"metric":{"__name__":"m"},"values":[1],"timestamps":[1],"tags":{}}"#,
            ns,
            "!1:58 unknown key \"tags\": records with a metric have metric, values and timestamps",
        ),
        (
            r#"{"values":[1],"timestamps":[1]}"#,
            ns,
            "!1:2 unknown key \"values\": use measurement, tags, fields, value and time",
        ),
        (
            r#"{"metric":"m","metric":"m","timestamp":1,"value":1}"#,
            ns,
            "!1:15 duplicate key \"metric\": keep one of them",
        ),
        (r#"{"metric":1,"value":1}"#, ns, "!1:1 metric is a number: give a text or an object"),
        (
            r#"{"metric":{"job":"x"},"values":[1],"timestamps":[1]}"#,
            ns,
            "!1:1 no label __name__: give every series the name of its metric",
        ),
        (
            r#"{"metric":{"__name__":"m"},"values":[1],"timestamps":1}"#,
            ns,
            "!1:1 timestamps is a number: give an array of times",
        ),
        (
            r#"{"metric":{"__name__":"m"},"values":[1]}"#,
            ns,
            "!1:1 timestamps is null: give an array of times",
        ),
        (
            r#"{"metric":{"__name__":"m"},"values":[1,2],"timestamps":[1]}"#,
            ns,
            "!1:1 values has 2 values for 1 times: give one for each, null where there is none",
        ),
        (
            r#"{"metric":{"__name__":7},"values":[1],"timestamps":[1]}"#,
            ns,
            "!1:1 measurement is a number: give a text",
        ),
    ] {
        check_with(body.as_bytes(), precision, expected);
    }
}
