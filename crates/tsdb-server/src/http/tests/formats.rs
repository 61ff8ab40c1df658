//! `/api/v1/write` in this process: every format by every way of saying which it is, and what a client is
//! told when something is refused.

use flate2::{Compression, write::GzEncoder};
use std::io::Write as _;

use super::*;

const JSON: &str = r#"[{"measurement":"m","tags":{"h":"a"},"fields":{"v":1.5},"time":7},{"measurement":"m","value":2,"time":8}]"#;
const CSV: &str = "measurement,h:tag,v,value,time\nm,a,1.5,,7\nm,,,2,8\n";
const LINE: &str = "m,h=a v=1.5 7\nm value=2 8\n";

/// Parameters, headers and body of a request, and the status and a part of the text that answer it.
type Case<'a> = (&'a str, &'a [(&'a str, &'a str)], &'a [u8], u16, &'a str);

impl Fixture {
    pub(super) async fn write(
        &self,
        query: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> (Response<()>, Value) {
        let mut request = Request::builder()
            .method(Method::POST)
            .uri(format!("/api/v1/write?{query}"))
            .header("host", "localhost:8086");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Body::from(body.to_vec())).unwrap();
        let response = router(Arc::clone(&self.app)).oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        let value =
            if bytes.is_empty() { Value::Null } else { serde_json::from_slice(&bytes).unwrap() };
        (Response::from_parts(parts, ()), value)
    }

    /// Writes, and checks that what [`JSON`] holds is there.
    async fn stores(&self, query: &str, headers: &[(&str, &str)], body: &[u8]) {
        let (response, answer) = self.write(query, headers, body).await;
        assert_eq!(
            (response.status().as_u16(), &answer),
            (204, &Value::Null),
            "{query} {headers:?}"
        );
        let (_, answer) = self.query("SELECT v, value FROM m GROUP BY h").await;
        let series = json!([
            {"name": "m", "tags": {"h": ""}, "columns": ["time", "v", "value"], "values": [[8, null, 2]]},
            {"name": "m", "tags": {"h": "a"}, "columns": ["time", "v", "value"], "values": [[7, 1.5, null]]},
        ]);
        assert_eq!(
            answer,
            json!({"results": [{"statement_id": 0, "series": series}]}),
            "{query} {headers:?}"
        );
    }
}

#[tokio::test]
async fn every_format_is_taken_by_every_name() {
    let lines = JSON[1..JSON.len() - 1].replace("},{", "}\n{");
    let cases: &[(&str, &str, &str)] = &[
        ("application/json", "json", JSON),
        ("application/x-ndjson", "ndjson", &lines),
        ("text/csv; charset=utf-8", "csv", CSV),
        ("text/plain", "influx", LINE),
    ];
    for (content_type, name, body) in cases {
        let body = body.as_bytes();
        Fixture::new().stores("db=d", &[("content-type", content_type)], body).await;
        Fixture::new().stores(&format!("db=d&format={name}"), &[], body).await;
        let other = [("content-type", "application/x-protobuf")];
        Fixture::new().stores(&format!("db=d&format={name}"), &other, body).await;
        // What nobody says is told by the first bytes.
        Fixture::new().stores("db=d", &[], body).await;
        for vague in ["application/x-www-form-urlencoded", "application/octet-stream", "image/png"]
        {
            Fixture::new().stores("db=d", &[("content-type", vague)], body).await;
        }
        let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
        packed.write_all(body).unwrap();
        let headers = [("content-type", *content_type), ("content-encoding", "gzip")];
        Fixture::new().stores("db=d", &headers, &packed.finish().unwrap()).await;
    }
}

#[tokio::test]
async fn parameters_reach_the_formats() {
    let fixture = Fixture::new();
    let table = "host;load;when\na;0.5;1000\n";
    let query =
        "db=d&precision=ms&delimiter=%3B&tags=host&time=when&measurement=sys&consistency=all";
    let (response, answer) =
        fixture.write(query, &[("content-type", "text/csv")], table.as_bytes()).await;
    assert_eq!((response.status().as_u16(), answer), (204, Value::Null));
    let (_, answer) = fixture.query("SELECT load FROM sys GROUP BY host").await;
    let series = json!([{"name": "sys", "tags": {"host": "a"}, "columns": ["time", "load"], "values": [[1_000_000_000, 0.5]]}]);
    assert_eq!(answer, json!({"results": [{"statement_id": 0, "series": series}]}));
    let (response, _) = fixture.write("db=d", &[], b"").await;
    assert_eq!(response.status(), 204, "nothing is nothing");
}

#[tokio::test]
async fn refused_records_are_listed_and_the_others_stored() {
    let fixture = Fixture::new();
    let body = br#"[{"measurement":"m","value":1,"time":1},{"measurement":"m","vaule":1},{"measurement":"m","value":2,"fields":{"note":"x"},"time":2}]"#;
    let (response, answer) =
        fixture.write("db=d", &[("content-type", "application/json")], body).await;
    assert_eq!(response.status(), 400);
    let reason = "unknown key \"vaule\": use measurement, tags, fields, value and time";
    assert_eq!(
        answer,
        json!({
            "error": format!("1 refused, 2 stored; the first: line 2, column 20: {reason}"),
            "stored": 2,
            "refused": 1,
            "errors": [{
                "line": 2, "column": 20, "text": "{\"measurement\":\"m\",\"vaule\":1}", "reason": reason,
            }],
        })
    );
    assert_eq!(reply::header(response.headers(), "x-tsdb-ignored-fields"), Some("note"));
    assert!(
        reply::header(response.headers(), "x-influxdb-error").unwrap().starts_with("1 refused")
    );
    let (_, answer) = fixture.query("SELECT count(value) FROM m").await;
    assert_eq!(answer["results"][0]["series"][0]["values"][0][1], 2);
    let (_, metrics) = fixture.send("GET", "/metrics", "").await;
    for line in [
        "tsdb_write_rows_total 2",
        "tsdb_write_lines_refused_total 1",
        "tsdb_write_fields_ignored_total 1",
        "tsdb_http_requests_total{method=\"POST\",path=\"/api/v1/write\",status=\"400\"} 1",
    ] {
        assert!(metrics.lines().any(|known| known == line), "{line} is missing in\n{metrics}");
    }
    let (response, answer) = fixture.write("db=d&format=csv", &[], b"a,b\n1,2\n").await;
    assert_eq!(response.status(), 400);
    assert_eq!((&answer["stored"], &answer["refused"]), (&json!(0), &json!(1)));
    assert!(answer["error"].as_str().unwrap().contains("no measurement"), "{answer}");
}

#[tokio::test]
async fn requests_that_make_no_sense_are_refused_as_a_whole() {
    let fixture = Fixture::new();
    let protobuf = [("content-type", "application/protobuf"), ("content-encoding", "snappy")];
    let snappy = [("content-type", "text/plain"), ("content-encoding", "snappy")];
    let cases: &[Case<'_>] = &[
        ("", &[], b"m v=1", 400, "database is required"),
        ("db=d&precision=x", &[], b"m v=1", 400, "invalid precision"),
        (
            "db=d&format=xml",
            &[],
            b"m v=1",
            400,
            "unknown format \"xml\": use json, line-protocol, csv, prometheus",
        ),
        (
            "db=d&format=csv&delimiter=%3B%3B",
            &[],
            b"a;b",
            400,
            "invalid parameter delimiter=\";;\"",
        ),
        ("db=d&rp=week", &[], b"m v=1", 404, "retention policy not found"),
        (
            "db=d",
            &protobuf,
            b"\x10\x3c\x0a",
            415,
            "unsupported content type \"application/protobuf\": use application/json, text/plain, text/csv",
        ),
        ("db=d", &snappy, b"\x10", 400, "not valid snappy in its block format"),
        ("db=d", &[], b"\x00\x01\x02", 415, "the body looks like none of the known formats"),
        ("db=d", &[("content-encoding", "gzip")], b"\x00", 400, "not valid gzip"),
    ];
    for (query, headers, body, status, part) in cases {
        let (response, answer) = fixture.write(query, headers, body).await;
        let text = answer["error"].as_str().unwrap();
        assert_eq!(
            (response.status().as_u16(), text.contains(part)),
            (*status, true),
            "{query}: {text}"
        );
        assert!(reply::header(response.headers(), "x-influxdb-error").is_some());
    }
    fixture.store.mode.store(FULL, Ordering::Relaxed);
    let (response, _) = fixture.write("db=d", &[], JSON.as_bytes()).await;
    assert_eq!(response.status(), 503);
    assert_eq!(reply::header(response.headers(), "retry-after"), Some("1"));
    let large = vec![b' '; 25_000_001];
    assert_eq!(fixture.write("db=d", &[], &large).await.0.status(), 413);
}

/// The two paths stay apart: line protocol alone goes to `/write`, with InfluxDB's answers.
#[tokio::test]
async fn the_path_of_line_protocol_takes_no_other_format() {
    let fixture = Fixture::new();
    let (response, body) = fixture.send("POST", "/write?db=d&format=json", JSON).await;
    assert_eq!(response.status(), 400);
    assert!(body.contains("unable to parse"), "{body}");
    assert_eq!(fixture.status("POST", "/write?db=d", LINE).await, 204);
}

#[tokio::test]
async fn names_are_ascii_where_the_format_is_ours() {
    let fixture = Fixture::new();
    let json = r#"{"measurement":"m","tags":{"ort":"Köln"},"value":1}"#;
    let (response, answer) = fixture.write("db=d", &[], json.as_bytes()).await;
    assert_eq!(response.status(), 400);
    assert!(answer["error"].as_str().unwrap().contains("is not ASCII"), "{answer}");
    assert_eq!(fixture.write("db=d", &[], "m,ort=Köln value=1".as_bytes()).await.0.status(), 204);
}
