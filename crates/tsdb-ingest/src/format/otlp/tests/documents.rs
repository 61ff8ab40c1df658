//! OTLP in JSON: what a document stands for, and what is wrong with one.

use super::*;

fn document(points: &str) -> String {
    format!(
        r#"{{"resourceMetrics":[{{"resource":{{"attributes":[{{"key":"service.name",
        "value":{{"stringValue":"s"}}}}]}},"scopeMetrics":[{{"metrics":[{points}]}}]}}]}}"#
    )
}

#[test]
fn documents_are_read_as_the_specification_writes_them() {
    let fixture = Fixture::new();
    for (metric, expected) in [
        (
            r#"{"name":"a","gauge":{"dataPoints":[{"asDouble":0.5,"timeUnixNano":"7","attributes":
            [{"key":"x","value":{"intValue":"-3"}},{"key":"y","value":{"boolValue":true}}]}]}}"#,
            "a,job=s,x=-3,y=true value=0.5 7",
        ),
        (
            r#"{ "unknown" : [{"a":[1,{}]}, "]"] , "name":"\u0061\n", "gauge" : null,
            "sum":{"isMonotonic":true,"aggregationTemporality":2,"dataPoints":[{"asInt":"12",
            "timeUnixNano":7,"startTimeUnixNano":1.0e1,"flags":0,"exemplars":[{"traceId":
            "5b8efff798038103d269b633813fc60c","spanId":"eee19b7ec3c1b174","asDouble":"NaN"}]}]}}"#,
            "a_total,job=s value=12.0 7",
        ),
        (
            r#"{"name":"b","sum":{"aggregationTemporality":"AGGREGATION_TEMPORALITY_DELTA",
            "dataPoints":[{"asDouble":"-Infinity","timeUnixNano":1e1}]}}"#,
            "b,__temporality__=delta,job=s value=-inf 10",
        ),
        (
            r#"{"name":"c","gauge":{"dataPoints":[{"asInt":4,"timeUnixNano":1,"attributes":[
            {"key":"l","value":{"arrayValue":{"values":[{"stringValue":"\ud83d\ude00"},{"bytesValue":"_-8"}]}}},
            {"key":"m","value":{"kvlistValue":{"values":[{"key":"k","value":{"doubleValue":"1.5"}}]}}}]}]}}"#,
            "c,job=s,l=[\"😀\"\\,\"/+8\\=\"],m={\"k\":1.5} value=4.0 1",
        ),
    ] {
        let report = fixture.send(OtlpEncoding::Json, document(metric).as_bytes(), &[]).unwrap();
        assert_eq!(report.errors_total, 0, "{:?}", report.errors);
        assert_eq!(fixture.store.take_rows(), [expected]);
    }
    for empty in
        ["{}", " {} ", "\u{feff}{}", r#"{"resourceMetrics":[]}"#, r#"{"resourceMetrics":null}"#]
    {
        let report = fixture.send(OtlpEncoding::Json, empty.as_bytes(), &[]).unwrap();
        assert_eq!((report.rows, report.errors_total), (0, 0), "{empty}");
    }
}

#[test]
fn mistakes_are_named_with_their_place() {
    let fixture = Fixture::new();
    for (text, part) in [
        ("", "it ends too early at byte 0"),
        ("{", "it ends too early at byte 1"),
        ("[]", "an object should stand here at byte 0"),
        ("null", "an object should stand here at byte 0"),
        (r#"{"resourceMetrics":{}}"#, "an array should stand here at byte 19"),
        (r#"{"resourceMetrics":[1]}"#, "an object should stand here at byte 20"),
        (r#"{"resourceMetrics":[{"schemaUrl":1}]}"#, "a text should stand here at byte 33"),
        (r#"{"resourceMetrics":[]} x"#, "it should end here"),
        ("{\"a\":\"\u{1}\"}", "a control character"),
        (&format!("{}{}", "[".repeat(40), "]".repeat(40)), "nested too deep"),
        (r#"{"a":"\ud800"}"#, "half of a pair of surrogates"),
    ] {
        let error = fixture.send(OtlpEncoding::Json, text.as_bytes(), &[]).unwrap_err();
        assert!(error.to_string().contains(part), "{text}: {error}");
        assert_eq!(error.kind(), tsdb_core::ErrorKind::Invalid);
    }
    let integer = "an integer of 64 bits should stand here";
    for (point, part) in [
        (r#"{"timeUnixNano":"x"}"#, integer),
        (r#"{"timeUnixNano":1.5}"#, integer),
        (r#"{"timeUnixNano":18446744073709551616}"#, integer),
        (r#"{"timeUnixNano":1e30}"#, integer),
        (r#"{"timeUnixNano":true}"#, "a number should stand here"),
        (r#"{"asDouble":"one"}"#, "a number, \"NaN\""),
        (r#"{"asDouble":[]}"#, "a number should stand here"),
        (r#"{"attributes":[{"value":{"boolValue":"yes"}}]}"#, "true or false should stand here"),
        (r#"{"attributes":[{"value":{"bytesValue":"="}}]}"#, ""),
        (r#"{"attributes":[{"value":{"bytesValue":"a"}}]}"#, "no base64"),
        (r#"{"attributes":[{"value":{"bytesValue":"a$bb"}}]}"#, "no base64"),
        (r#"{"exemplars":[{"traceId":"5b8"}]}"#, "no hexadecimal"),
        (r#"{"exemplars":[{"traceId":"zz"}]}"#, "no hexadecimal"),
    ] {
        let text = document(&format!(r#"{{"name":"m","gauge":{{"dataPoints":[{point}]}}}}"#));
        let outcome = fixture.send(OtlpEncoding::Json, text.as_bytes(), &[]);
        match outcome {
            Ok(_) => assert_eq!(part, "", "{point}"),
            Err(error) => assert!(error.to_string().contains(part), "{point}: {error}"),
        }
    }
    let text = document(r#"{"name":"m","sum":{"aggregationTemporality":"DELTA"}}"#);
    let error = fixture.send(OtlpEncoding::Json, text.as_bytes(), &[]).unwrap_err();
    assert!(error.to_string().contains(integer), "{error}");
}
