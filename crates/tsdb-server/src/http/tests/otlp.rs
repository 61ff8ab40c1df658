//! OTLP in this process, over HTTP and over gRPC: both encodings, statuses, what is not stored, and a port of its
//! own.

use std::io::Write as _;

use axum::Router;
use axum::http::HeaderMap;
use prost::Message;
use tsdb_ingest::otlp_messages::{
    AnyValue, Data, Exemplar, Gauge, KeyValue, Metric, NumberPoint, Request as Export, Resource,
    ResourceMetrics, ScopeMetrics, any, number,
};

use super::*;
use crate::grpc::otlp::EXPORT;
use crate::http::{otlp::PATHS, otlp_router};
use crate::otlp::{ExportResponse, RetryInfo, RpcStatus};

const PROTOBUF: (&str, &str) = ("content-type", "application/x-protobuf");
const JSON: (&str, &str) = ("content-type", "application/json");
const GZIP: (&str, &str) = ("content-encoding", "gzip");

fn gauge(name: &str, times: &[u64]) -> Export {
    let value = Some(AnyValue { value: Some(any::Value::String("x".to_owned())) });
    let resource =
        Resource { attributes: vec![KeyValue { key: "service.name".to_owned(), value }] };
    let point = |time: &u64| NumberPoint {
        time_unix_nano: *time,
        value: Some(number::Value::Double(1.5)),
        ..NumberPoint::default()
    };
    let data_points = times.iter().map(point).collect();
    let metric = Metric {
        name: name.to_owned(),
        data: Some(Data::Gauge(Gauge { data_points })),
        ..Metric::default()
    };
    let scope_metrics = vec![ScopeMetrics { metrics: vec![metric], ..ScopeMetrics::default() }];
    let resource = Some(resource);
    Export {
        resource_metrics: vec![ResourceMetrics { resource, scope_metrics, ..Default::default() }],
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packer.write_all(bytes).unwrap();
    packer.finish().unwrap()
}

/// What was answered.
struct Answer {
    status: u16,
    headers: HeaderMap,
    body: Vec<u8>,
    trailers: HeaderMap,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        reply::header(&self.headers, name)
    }

    /// Status and message of a call of gRPC, with what it brought beside.
    fn of_call(&self) -> (i32, String) {
        assert_eq!(self.status, 200);
        assert_eq!(self.header("content-type"), Some("application/grpc"));
        let ends = if self.trailers.is_empty() { &self.headers } else { &self.trailers };
        let status = tonic::Status::from_header_map(ends).unwrap();
        (status.code().into(), status.message().to_owned())
    }
}

async fn post(router: Router, target: &str, headers: &[(&str, &str)], body: Vec<u8>) -> Answer {
    let mut request =
        Request::builder().method(Method::POST).uri(target).header("host", "localhost:8086");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = router.oneshot(request.body(Body::from(body)).unwrap()).await.unwrap();
    let (parts, body) = response.into_parts();
    let whole = body.collect().await.unwrap();
    let trailers = whole.trailers().cloned().unwrap_or_default();
    let body = whole.to_bytes().to_vec();
    Answer { status: parts.status.as_u16(), headers: parts.headers, body, trailers }
}

/// A message behind its length.
fn framed(flag: u8, message: &[u8]) -> Vec<u8> {
    let mut out = vec![flag];
    out.extend(u32::try_from(message.len()).unwrap().to_be_bytes());
    out.extend(message);
    out
}

impl Fixture {
    async fn otlp(&self, target: &str, headers: &[(&str, &str)], body: Vec<u8>) -> Answer {
        post(router(Arc::clone(&self.app)), target, headers, body).await
    }

    async fn call(&self, headers: &[(&str, &str)], body: Vec<u8>) -> Answer {
        let typed = [&[("content-type", "application/grpc")], headers].concat();
        self.otlp(EXPORT, &typed, body).await
    }

    /// Times of the rows of a measurement.
    async fn times(&self, database: &str, measurement: &str) -> Vec<i64> {
        let target = format!(
            "/query?db={database}&epoch=ns&q=SELECT+value+FROM+%22{measurement}%22+WHERE+job=%27x%27"
        );
        let (_, body) = self.send("POST", &target, "").await;
        let answer: Value = serde_json::from_str(&body).unwrap();
        let rows = answer["results"][0]["series"][0]["values"].as_array().cloned();
        rows.unwrap_or_default().iter().map(|row| row[0].as_i64().unwrap()).collect()
    }
}

const DOCUMENT: &str = r#"{"resourceMetrics":[{"resource":{"attributes":[{"key":"service.name",
    "value":{"stringValue":"x"}}]},"scopeMetrics":[{"metrics":[{"name":"up","gauge":{"dataPoints":
    [{"asDouble":1.5,"timeUnixNano":"7"}]}}]}]}]}"#;

#[tokio::test]
async fn both_encodings_are_taken_at_every_path() {
    let message = gauge("up", &[7]).encode_to_vec();
    for path in PATHS {
        for (headers, body, empty) in [
            (&[PROTOBUF][..], message.clone(), ""),
            (&[PROTOBUF, GZIP], gzip(&message), ""),
            (&[], message.clone(), ""),
            (&[JSON], DOCUMENT.as_bytes().to_vec(), "{}"),
            (&[JSON, GZIP], gzip(DOCUMENT.as_bytes()), "{}"),
        ] {
            let fixture = Fixture::new();
            let answer = fixture.otlp(path, headers, body).await;
            assert_eq!(
                (answer.status, answer.body),
                (200, empty.as_bytes().to_vec()),
                "{headers:?}"
            );
            let content_type = reply::header(&answer.headers, "content-type");
            let sent = headers.first().unwrap_or(&PROTOBUF).1;
            assert_eq!(content_type, Some(sent), "the same encoding back");
            assert_eq!(fixture.times("prometheus", "up").await, [7]);
        }
    }
    assert_eq!(ROUTES.iter().filter(|route| PATHS.contains(&route.path)).count(), PATHS.len());
    let fixture = Fixture::new();
    assert_eq!(fixture.otlp(PATHS[0], &[PROTOBUF], Vec::new()).await.status, 200, "nothing at all");
}

#[tokio::test]
async fn parameters_stand_in_the_url_or_in_headers() {
    let fixture = Fixture::new();
    let message = gauge("a.b", &[7]).encode_to_vec();
    let strategy = ("x-tsdb-translation-strategy", "NoTranslation");
    let database = ("x-tsdb-db", "h");
    let query = format!("{}?db=u&translation_strategy=NoTranslation", PATHS[0]);
    assert_eq!(fixture.otlp(&query, &[PROTOBUF], message.clone()).await.status, 200);
    assert_eq!(fixture.times("u", "a.b").await, [7]);
    fixture.otlp(PATHS[0], &[PROTOBUF, strategy, database], message.clone()).await;
    assert_eq!(fixture.times("h", "a.b").await, [7]);
    let database = ("x-tsdb-db", "g");
    let answer = fixture.call(&[strategy, database], framed(0, &message)).await;
    assert_eq!(answer.of_call(), (0, String::new()));
    assert_eq!(fixture.times("g", "a.b").await, [7]);
    for parameter in ["translation_strategy=x", "rp=none"] {
        let answer =
            fixture.otlp(&format!("{}?{parameter}", PATHS[0]), &[JSON], DOCUMENT.into()).await;
        assert!(matches!(answer.status, 400 | 404), "{parameter}: {}", answer.status);
    }
}

#[tokio::test]
async fn what_is_rejected_is_told_and_the_rest_stored() {
    let mut export = gauge("up", &[7, u64::MAX, 9]);
    let metric = &mut export.resource_metrics[0].scope_metrics[0].metrics[0];
    if let Some(Data::Gauge(gauge)) = &mut metric.data {
        gauge.data_points[0].exemplars = vec![Exemplar::default(); 4];
    }
    let message = export.encode_to_vec();
    let fixture = Fixture::new();
    let answer = fixture.otlp(PATHS[0], &[PROTOBUF], message.clone()).await;
    assert_eq!(answer.status, 200);
    let told = ExportResponse::decode(&*answer.body).unwrap().partial_success.unwrap();
    assert_eq!(told.rejected_data_points, 1);
    let part = "1 of 3 data points rejected; data point 2 up{job=\"x\"}: time outside range";
    assert!(told.error_message.starts_with(part), "{}", told.error_message);
    assert_eq!(fixture.times("prometheus", "up").await, [7, 9]);
    let document = DOCUMENT.replace("[{\"asDouble\"", "[{},{\"asDouble\"");
    let answer = fixture.otlp(PATHS[0], &[JSON], document.into()).await;
    let told: Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(told["partialSuccess"]["rejectedDataPoints"], "1");
    assert!(told["partialSuccess"]["errorMessage"].as_str().unwrap().contains("no value"));
    let answer = fixture.call(&[], framed(0, &message)).await;
    assert_eq!(answer.of_call().0, 0);
    let told = ExportResponse::decode(&answer.body[5..]).unwrap().partial_success.unwrap();
    assert_eq!(told.rejected_data_points, 1);
    let (_, metrics) = fixture.send("GET", "/metrics", "").await;
    for line in [
        "tsdb_otlp_points_total 8",
        "tsdb_otlp_points_rejected_total 3",
        "tsdb_otlp_exemplars_not_stored_total 8",
    ] {
        assert!(metrics.lines().any(|found| found == line), "{line}");
    }
    // Of which nothing is left is no success.
    let message = gauge("up", &[u64::MAX]).encode_to_vec();
    let answer = fixture.otlp(PATHS[0], &[PROTOBUF], message.clone()).await;
    let told = RpcStatus::decode(&*answer.body).unwrap();
    assert_eq!((answer.status, told.code, told.details.len()), (400, 3, 0));
    assert!(told.message.starts_with("1 of 1 data points rejected"), "{}", told.message);
    assert_eq!(fixture.call(&[], framed(0, &message)).await.of_call().0, 3);
}

#[tokio::test]
async fn refusals_are_statuses_in_the_same_encoding() {
    let fixture = Fixture::new();
    let text = ("content-type", "text/plain");
    let brotli = ("content-encoding", "br");
    for (headers, body, status, code, part) in [
        (&[PROTOBUF][..], &b"\x0a\x05x"[..], 400, 3, "a length beyond the end at byte 1"),
        (&[JSON], b"{\"resourceMetrics\":[1]}", 400, 3, "an object should stand here at byte 20"),
        (&[JSON], b"", 400, 3, "it ends too early"),
        (&[PROTOBUF, GZIP], b"\x0a\x05x", 400, 3, "not valid gzip"),
        (&[JSON, brotli], b"{}", 415, 3, "unsupported content encoding"),
        (&[text], b"{}", 415, 3, "send application/x-protobuf or application/json"),
    ] {
        let answer = fixture.otlp(PATHS[0], headers, body.to_vec()).await;
        assert_eq!(answer.status, status, "{part}");
        assert_eq!(answer.header("retry-after"), None);
        let told = match answer.header("content-type") {
            Some("application/x-protobuf") => {
                let told = RpcStatus::decode(&*answer.body).unwrap();
                json!({"code": told.code, "message": told.message})
            }
            _ => serde_json::from_slice(&answer.body).unwrap(),
        };
        assert_eq!(answer.header("content-type") == Some(PROTOBUF.1), headers[0] == PROTOBUF);
        assert_eq!(told["code"], code);
        assert!(told["message"].as_str().unwrap().contains(part), "{told}");
    }
    let bomb = gzip(&vec![0; 80 << 20]);
    let answer = fixture.otlp(PATHS[0], &[PROTOBUF, GZIP], bomb.clone()).await;
    assert_eq!((answer.status, RpcStatus::decode(&*answer.body).unwrap().code), (413, 8));
    let answer = fixture.call(&[("grpc-encoding", "gzip")], framed(1, &bomb)).await;
    assert_eq!(answer.of_call().0, 8);
    assert_eq!(fixture.budget.used(Pool::Bodies), 0);
}

#[tokio::test]
async fn what_may_be_sent_again_says_when() {
    let fixture = Fixture::new();
    let message = gauge("up", &[7]).encode_to_vec();
    for mode in [FULL, SYNC_FAILS] {
        fixture.store.mode.store(mode, Ordering::Relaxed);
        let answer = fixture.otlp(PATHS[0], &[PROTOBUF], message.clone()).await;
        assert_eq!((answer.status, answer.header("retry-after")), (503, Some("1")));
        let told = RpcStatus::decode(&*answer.body).unwrap();
        assert_eq!(told.details[0].type_url, "type.googleapis.com/google.rpc.RetryInfo");
        let answer = fixture.call(&[], framed(0, &message)).await;
        assert_eq!(answer.of_call().0, 14, "UNAVAILABLE");
        let status = tonic::Status::from_header_map(&answer.headers).unwrap();
        let told = RpcStatus::decode(status.details()).unwrap();
        let info = RetryInfo::decode(&*told.details[0].value).unwrap();
        assert_eq!(info.retry_delay.unwrap().seconds, 1);
    }
}

#[tokio::test]
async fn calls_are_taken_packed_or_not_and_refused_with_a_reason() {
    let message = gauge("up", &[7]).encode_to_vec();
    let packed = gzip(&message);
    let gzip = ("grpc-encoding", "gzip");
    for (headers, body) in [
        (&[][..], framed(0, &message)),
        (&[gzip], framed(0, &message)),
        (&[gzip], framed(1, &packed)),
    ] {
        let fixture = Fixture::new();
        let answer = fixture.call(headers, body).await;
        assert_eq!(answer.of_call(), (0, String::new()));
        assert_eq!(answer.body, framed(0, b""));
        assert_eq!(answer.header("grpc-accept-encoding"), Some("identity,gzip"));
        assert_eq!(fixture.times("prometheus", "up").await, [7]);
    }
    let fixture = Fixture::new();
    let two = [framed(0, &message), framed(0, &message)].concat();
    for (headers, body, code, part) in [
        (&[][..], Vec::new(), 3, "brought no message"),
        (&[], b"\0\0".to_vec(), 3, "brought no message"),
        (&[], framed(0, &message)[..9].to_vec(), 3, "not as long as it says"),
        (&[], two, 3, "not as long as it says"),
        (&[], framed(1, &packed), 3, "not how"),
        (&[gzip], framed(2, &packed), 3, "neither 0 nor 1"),
        (&[gzip], framed(1, &message), 3, "not valid gzip"),
        (&[("grpc-encoding", "zstd")], framed(1, &packed), 12, "use gzip or none"),
        (&[], framed(0, b"\x0a\x05x"), 3, "a length beyond the end"),
    ] {
        let (found, text) = fixture.call(headers, body).await.of_call();
        assert!(found == code && text.contains(part), "{found} {text}: {part}");
    }
    let answer = fixture.otlp(EXPORT, &[JSON], DOCUMENT.into()).await;
    assert_eq!(answer.status, 415, "no gRPC");
    assert_eq!(fixture.times("prometheus", "up").await, [0; 0]);
}

#[tokio::test]
async fn a_port_of_its_own_takes_otlp_and_nothing_else() {
    let fixture = Fixture::new();
    let own = |is_on_loopback| otlp_router(Arc::clone(&fixture.app), is_on_loopback);
    let message = gauge("up", &[7]).encode_to_vec();
    assert_eq!(post(own(true), PATHS[0], &[PROTOBUF], message.clone()).await.status, 200);
    let grpc = ("content-type", "application/grpc");
    let answer = post(own(true), EXPORT, &[grpc], framed(0, &message)).await;
    assert_eq!(answer.of_call().0, 0);
    for path in ["/query?q=SHOW+DATABASES", "/write?db=d", "/", "/tsdb.v1.QueryService/Query"] {
        let answer = post(own(true), path, &[grpc], Vec::new()).await;
        assert_eq!(answer.status, 404, "{path}");
        let text = String::from_utf8(answer.body).unwrap();
        assert!(text.contains("/opentelemetry/v1/metrics") && !text.contains("/query,"), "{text}");
    }
    // Where other machines can reach it, names of hosts are theirs.
    for (is_on_loopback, status) in [(true, 403), (false, 200)] {
        let mut request = Request::builder().method(Method::POST).uri(PATHS[0]);
        for (name, value) in [PROTOBUF, ("host", "collector.example")] {
            request = request.header(name, value);
        }
        let request = request.body(Body::from(message.clone())).unwrap();
        let response = own(is_on_loopback).oneshot(request).await.unwrap();
        assert_eq!(response.status().as_u16(), status);
    }
}
