//! The text format through a pipeline: rows as a store gets them, and refusals with their places.

use std::sync::Arc;

use super::*;
use crate::testing::Recorder;
use crate::{Pipeline, PipelineOptions, WriteRequest};
use proptest::prelude::*;
use tsdb_core::{MemoryBudget, SeriesKey};

/// 2 ms after 1970.
const NOW: i64 = 2_000_000;

/// Rows and refusals of a body, one per line.
fn write(body: &[u8], precision: Precision) -> String {
    let store = Arc::new(Recorder::default());
    let pipeline =
        Pipeline::new(store.clone(), MemoryBudget::default(), PipelineOptions::default());
    let options = ParseOptions::new(precision, NOW);
    let request = WriteRequest { database: "d", policy: None, body, options };
    let report = pipeline.write(&PrometheusText::default(), &request).unwrap();
    let mut lines = store.take_rows();
    for error in &report.errors {
        lines.push(format!("!{}:{} {}", error.line, error.column, error.reason));
    }
    lines.join("\n")
}

fn check(body: &str, expected: &str) {
    assert_eq!(write(body.as_bytes(), Precision::Nanoseconds), expected, "{body}");
}

#[test]
fn what_programs_answer_is_read() {
    let body = "# HELP http_requests_total The total number of HTTP requests.\n\
                # TYPE http_requests_total counter\n\
                http_requests_total{method=\"post\",code=\"200\"} 1027 1395066363000\r\n\
                \n  \t msdos_file_access_time_seconds{path=\"C:\\\\DIR\\\\FILE\",error=\"a \\\"b\\\"\"} 1.458255915e9\n\
                metric_without_timestamp_and_labels 12.47\n\
                something_weird{problem=\"division by zero\" , empty=\"\", } +Inf -3982045\n\
                up{} NaN 1\nlow -Inf 1\nplus +1.5e3 1\n# EOF\n";
    check(
        body,
        "http_requests_total,code=200,method=post value=1027.0 1395066363000000000\n\
         msdos_file_access_time_seconds,error=a\\ \"b\",path=C:\\DIR\\FILE value=1458255915.0 2000000\n\
         metric_without_timestamp_and_labels value=12.47 2000000\n\
         something_weird,problem=division\\ by\\ zero value=inf -3982045000000\n\
         up value=NaN 1000000\nlow value=-inf 1000000\nplus value=1500.0 1000000",
    );
    assert_eq!(write(b"a 1 7", Precision::Seconds), "a value=1.0 7000000000");
    check("", "");
    check("m{a=\"x\\\\y\\qz\\n\"} 1 1\n", "m,a=x\\y\\qz\n value=1.0 1000000");
}

#[test]
fn bad_lines_name_their_place_and_cost_no_other() {
    for (line, expected) in [
        ("{a=\"b\"} 1", "1 no label __name__"),
        ("m", "2 missing field value"),
        ("m{a=\"b\"}", "9 missing field value"),
        ("m{a=\"b\" 1", "9 invalid tag format"),
        ("m{a=\"b} 1", "5 unbalanced quotes"),
        ("m{a=b} 1", "3 invalid tag format"),
        ("m{a} 1", "3 invalid tag format"),
        ("m{=\"b\"} 1", "3 a label has no name"),
        ("m{a=\"b\",a=\"c\"} 1", "1 duplicate tags"),
        ("m{", "3 a label has no name"),
        ("m x", "3 invalid number"),
        ("m 1e999", "3 invalid number"),
        ("m 0x1p3", "3 invalid number"),
        ("m 1 1.5", "5 bad timestamp"),
        ("m 1 99999999999999999", "5 time outside range"),
        ("m 1 1 # {trace_id=\"x\"} 1", "7 point is invalid"),
        ("m{__name__=\"x\"} 1", "1 "),
    ] {
        let answer = write(format!("ok 1 1\n{line}\nok 2 2\n").as_bytes(), Precision::Nanoseconds);
        let (rows, refusals) = answer.split_once("\n!").unwrap_or((&answer, ""));
        assert_eq!(rows, "ok value=1.0 1000000\nok value=2.0 2000000", "{line}: {answer}");
        assert!(refusals.starts_with(&format!("2:{expected}")), "{line}: {refusals}");
    }
    let utf8 = write(b"m{a=\"\xff\"} 1", Precision::Nanoseconds);
    assert_eq!(utf8, "!1:6 invalid UTF-8 at byte 5 of the line");
}

#[test]
fn it_is_told_by_its_comments() {
    let registry = crate::FormatRegistry::default();
    for (body, name) in [
        ("# HELP up 1 if it is up\n# TYPE up gauge\nup 1\n", "prometheus"),
        ("\n# TYPE up gauge\nup{job=\"x\"} 1\n", "prometheus"),
        ("# a comment\nm v=1 1\n", "line-protocol"),
    ] {
        let choice = registry.choose(None, Some("text/x-unknown")).unwrap();
        let formats = registry.candidates(&choice, body.as_bytes()).unwrap();
        assert!(formats[0].supported_formats().contains(&name), "{body}");
    }
}

proptest! {
    /// What is written as the format has it comes back.
    #[test]
    fn samples_come_back(
        samples in prop::collection::vec(
            ("[a-z_:][a-z0-9_:]{0,8}", "[a-zé\\\\\"\n ,{}=#]{1,12}", any::<f64>(), any::<i32>()),
            0..20,
        ),
    ) {
        let mut body = String::from("# TYPE x gauge\n");
        let mut expected = Vec::new();
        for (name, label, value, time) in samples {
            let escaped = label.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            let number = match value {
                value if value.is_nan() => "NaN".to_owned(),
                value if value.is_infinite() => format!("{}Inf", if value > 0.0 { '+' } else { '-' }),
                value => format!("{value:?}"),
            };
            body.push_str(&format!("{name}{{l=\"{escaped}\"}} {number} {time}\n"));
            let key = SeriesKey::new(&name, &mut [("l", &label)], TagCharset::Utf8).unwrap();
            expected.push(format!("{key} value={value:?} {}", i64::from(time) * 1_000_000));
        }
        prop_assert_eq!(write(body.as_bytes(), Precision::Nanoseconds), expected.join("\n"));
    }
}
