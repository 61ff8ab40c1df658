//! Remote write in this process: both messages, their answers, what is not stored, and metadata.

use tsdb_ingest::remote_write_messages::{
    Exemplar, Histogram, Label, MetricMetadata, Sample, TimeSeries, WriteRequest, v2,
};

use super::*;

const TYPE: (&str, &str) = ("content-type", "application/x-protobuf");
const TYPE_2: (&str, &str) =
    ("content-type", "application/x-protobuf;proto=io.prometheus.write.v2.Request");
const SNAPPY: (&str, &str) = ("content-encoding", "snappy");

/// The headers that count what was written.
const WRITTEN: [&str; 3] = [
    "x-prometheus-remote-write-samples-written",
    "x-prometheus-remote-write-histograms-written",
    "x-prometheus-remote-write-exemplars-written",
];

fn pack(message: &impl prost::Message) -> Vec<u8> {
    snap::raw::Encoder::new().compress_vec(&message.encode_to_vec()).unwrap()
}

fn series(labels: &[(&str, &str)], samples: &[(f64, i64)]) -> TimeSeries {
    let label = |(name, value): &(&str, &str)| Label {
        name: (*name).to_owned(),
        value: (*value).to_owned(),
    };
    TimeSeries {
        labels: labels.iter().map(label).collect(),
        samples: samples.iter().map(|(v, t)| Sample { value: *v, timestamp: *t }).collect(),
        ..TimeSeries::default()
    }
}

fn one() -> WriteRequest {
    let timeseries = vec![series(&[("__name__", "up"), ("job", "x")], &[(1.5, 7)])];
    WriteRequest { timeseries, metadata: Vec::new() }
}

fn two() -> v2::Request {
    let symbols = ["", "__name__", "up", "job", "x"].map(str::to_owned).to_vec();
    let sample = v2::Sample { value: 1.5, timestamp: 7, start_timestamp: 3 };
    let series = v2::TimeSeries {
        labels_refs: vec![1, 2, 3, 4],
        samples: vec![sample],
        ..Default::default()
    };
    v2::Request { symbols, timeseries: vec![series] }
}

impl Fixture {
    async fn remote_write(
        &self,
        query: &str,
        headers: &[(&str, &str)],
        body: Vec<u8>,
    ) -> (Response<()>, String) {
        let mut request = Request::builder()
            .method(Method::POST)
            .uri(format!("/api/v1/write?{query}"))
            .header("host", "localhost:8086");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Body::from(body)).unwrap();
        let response = router(Arc::clone(&self.app)).oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        (Response::from_parts(parts, ()), String::from_utf8(bytes.to_vec()).unwrap())
    }

    async fn values(&self, database: &str) -> Value {
        let target = format!("/query?db={database}&epoch=ms&q=SELECT+value+FROM+up+GROUP+BY+job");
        let (_, body) = self.send("POST", &target, "").await;
        let answer: Value = serde_json::from_str(&body).unwrap();
        answer["results"][0]["series"].clone()
    }
}

/// Counts of the three headers; none where they are missing.
fn written(response: &Response<()>) -> Option<[u64; 3]> {
    let count = |name: &str| reply::header(response.headers(), name)?.parse().ok();
    let [samples, histograms, exemplars] = WRITTEN.map(count);
    Some([samples?, histograms?, exemplars?])
}

#[tokio::test]
async fn both_messages_are_taken_by_every_way_of_saying_so() {
    let stored = json!([{"name": "up", "tags": {"job": "x"}, "columns": ["time", "value"], "values": [[7, 1.5]]}]);
    let typed_1 = ("content-type", "application/x-protobuf;proto=prometheus.WriteRequest");
    for headers in [&[TYPE, SNAPPY][..], &[typed_1, SNAPPY], &[SNAPPY], &[TYPE]] {
        let fixture = Fixture::new();
        let (response, text) = fixture.remote_write("", headers, pack(&one())).await;
        assert_eq!((response.status().as_u16(), text.as_str()), (204, ""), "{headers:?}");
        assert_eq!(written(&response), None, "1.0 knows no such headers");
        assert_eq!(fixture.values("prometheus").await, stored);
    }
    let fixture = Fixture::new();
    let (response, text) = fixture.remote_write("db=d", &[TYPE_2, SNAPPY], pack(&two())).await;
    assert_eq!((response.status().as_u16(), text.as_str()), (204, ""));
    assert_eq!(written(&response), Some([1, 0, 0]));
    assert_eq!(fixture.values("d").await, stored);
    let (response, _) = fixture.remote_write("", &[TYPE_2, SNAPPY], Vec::new()).await;
    assert_eq!((response.status().as_u16(), written(&response)), (204, Some([0; 3])));
}

#[tokio::test]
async fn what_cannot_be_stored_is_told_and_counted_and_the_rest_stored() {
    let fixture = Fixture::new();
    let mut request = one();
    let mut others = series(&[("__name__", "h")], &[]);
    others.histograms = vec![Histogram::default(); 3];
    others.exemplars = vec![Exemplar::default(); 2];
    request.timeseries.push(others);
    request.timeseries.push(series(&[("job", "x")], &[(1.0, 1), (2.0, 2)]));
    let (response, text) = fixture.remote_write("", &[TYPE, SNAPPY], pack(&request)).await;
    assert_eq!(response.status(), 400);
    let plain = reply::header(response.headers(), "content-type").unwrap();
    assert!(plain.starts_with("text/plain"), "{plain}");
    assert_eq!(
        text.lines().collect::<Vec<_>>(),
        [
            "1 samples stored; not stored: 2 samples, 3 native histograms, 2 exemplars; the first: time \
             series 2 h{}: 3 native histograms cannot be stored: scrape classic histograms, and set \
             send_native_histograms: false",
            "time series 3 {job=\"x\"}: no label __name__: give every series the name of its metric",
        ]
    );
    assert_eq!(fixture.values("prometheus").await[0]["values"], json!([[7, 1.5]]));
    let mut request = two();
    for series in &mut request.timeseries {
        series.exemplars = vec![v2::Exemplar::default()];
    }
    let (response, text) = fixture.remote_write("", &[TYPE_2, SNAPPY], pack(&request)).await;
    assert_eq!((response.status().as_u16(), written(&response)), (400, Some([1, 0, 0])));
    assert!(text.contains("set send_exemplars: false"), "{text}");
    let (_, metrics) = fixture.send("GET", "/metrics", "").await;
    for line in [
        "tsdb_remote_write_not_stored_total{reason=\"refused_sample\"} 2",
        "tsdb_remote_write_not_stored_total{reason=\"native_histogram\"} 3",
        "tsdb_remote_write_not_stored_total{reason=\"exemplar\"} 3",
        "tsdb_write_rows_total 2",
    ] {
        assert!(metrics.lines().any(|known| known == line), "{line} is missing in\n{metrics}");
    }
}

#[tokio::test]
async fn exemplars_of_1_are_counted_and_no_reason_to_refuse() {
    let fixture = Fixture::new();
    let mut request = one();
    for series in &mut request.timeseries {
        series.exemplars = vec![Exemplar::default()];
    }
    let (response, _) = fixture.remote_write("", &[TYPE, SNAPPY], pack(&request)).await;
    assert_eq!(response.status(), 204);
    let (_, metrics) = fixture.send("GET", "/metrics", "").await;
    let line = "tsdb_remote_write_not_stored_total{reason=\"exemplar\"} 1";
    assert!(metrics.lines().any(|known| known == line), "{metrics}");
}

#[tokio::test]
async fn refusals_are_text_with_the_status_of_the_protocol() {
    let fixture = Fixture::new();
    let message_3 = ("content-type", "application/x-protobuf;proto=io.prometheus.write.v3.Request");
    let gzip = ("content-encoding", "gzip");
    let damaged = snap::raw::Encoder::new().compress_vec(b"\x0a\x05").unwrap();
    let liar = [&[0x97, 0xea, 0xb4, 0x89, 0x0a][..], &[0xfe; 42]].concat();
    for (query, headers, body, status, part) in [
        ("", [message_3, SNAPPY], pack(&one()), 415, "io.prometheus.write.v2.Request"),
        ("", [TYPE_2, gzip], pack(&two()), 415, "use snappy, in its block format"),
        ("", [TYPE_2, SNAPPY], b"\x05abc".to_vec(), 400, "not valid snappy"),
        ("", [TYPE_2, SNAPPY], damaged, 400, "at byte 1 of what it unpacks to"),
        ("", [TYPE_2, SNAPPY], liar, 413, "unpacks to more than"),
        ("", [TYPE_2, SNAPPY], vec![0; 25_000_001], 413, "send smaller ones"),
        ("db=a/b", [TYPE_2, SNAPPY], pack(&two()), 400, "database name \"a/b\" is not valid"),
        ("rp=week", [TYPE_2, SNAPPY], pack(&two()), 404, "retention policy not found"),
    ] {
        let (response, text) = fixture.remote_write(query, &headers, body).await;
        assert_eq!(response.status(), status, "{part}: {text}");
        assert!(text.contains(part) && text.ends_with('\n'), "{part}: {text}");
        let plain = reply::header(response.headers(), "content-type").unwrap();
        assert!(plain.starts_with("text/plain"), "{plain}");
        let counts = (headers[0] == TYPE_2).then_some([0; 3]);
        assert_eq!(written(&response), counts, "{text}");
    }
    for mode in [FULL, SYNC_FAILS] {
        fixture.store.mode.store(mode, Ordering::Relaxed);
        let (response, _) = fixture.remote_write("", &[TYPE_2, SNAPPY], pack(&two())).await;
        assert_eq!((response.status().as_u16(), written(&response)), (503, Some([0; 3])));
        assert_eq!(reply::header(response.headers(), "retry-after"), Some("1"));
    }
}

#[tokio::test]
async fn metadata_is_listed_as_prometheus_does_it() {
    let fixture = Fixture::new();
    let list = async |query: &str| {
        let (response, body) = fixture.send("GET", &format!("/api/v1/metadata?{query}"), "").await;
        let answer: Value = serde_json::from_str(&body).unwrap();
        (response.status().as_u16(), answer)
    };
    let success = |data: Value| (200, json!({"status": "success", "data": data}));
    assert_eq!(list("").await, success(json!({})), "before the first write");
    let about = |name: &str, kind| MetricMetadata {
        r#type: kind,
        metric_family_name: name.to_owned(),
        help: format!("what {name} means"),
        unit: "s".to_owned(),
    };
    let metadata = vec![about("up", 2), about("down", 1)];
    let request = WriteRequest { metadata, timeseries: Vec::new() };
    let (response, _) = fixture.remote_write("", &[TYPE, SNAPPY], pack(&request)).await;
    assert_eq!(response.status(), 204);
    let up = json!([{"type": "gauge", "help": "what up means", "unit": "s"}]);
    let down = json!([{"type": "counter", "help": "what down means", "unit": "s"}]);
    assert_eq!(list("").await, success(json!({"up": up, "down": down})));
    assert_eq!(list("limit=-1").await, success(json!({"up": up, "down": down})));
    assert_eq!(list("metric=up&db=prometheus").await, success(json!({"up": up})));
    assert_eq!(list("limit=1").await, success(json!({"down": down})));
    assert_eq!(list("limit_per_metric=0&metric=up").await, success(json!({"up": []})));
    assert_eq!(list("metric=none").await, success(json!({})));
    assert_eq!(list("db=none").await.0, 404);
    assert_eq!(list("limit=x").await.0, 400);
}
