//! Metrics of OpenTelemetry that are refused: bodies as a whole, and data points of good ones. `docs/formats.md` is
//! where the expectations come from.

use std::io::Write as _;

use prost::Message;
use tsdb_ingest::otlp_messages::{
    Data, Gauge, Histogram, HistogramPoint, KeyValue, Metric, NumberPoint, Request, Resource,
    ResourceMetrics, ScopeMetrics, number,
};
use tsdb_tests::http::Response;

use super::{Bench, Case};

/// What it is, the message, and what is said; 400, and nothing is stored.
type Damaged = (&'static str, &'static [u8], &'static str);

#[rustfmt::skip]
const DAMAGED: &[Damaged] = &[
    ("text", b"up 1", "a number that is cut off"),
    ("a cut length", b"\x0a", "an integer that does not end at byte 1"),
    ("a length beyond the end", b"\x0a\x05abcd", "a length beyond the end at byte 1"),
    ("the largest length", b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", "a length beyond the end"),
    ("the field 0", b"\x02\x00", "a field with the number 0"),
    ("no wire type", b"\x0f", "a field of no known wire type"),
    ("resources as a number", b"\x08\x01", "a field of the wrong wire type"),
    ("a resource as a number", b"\x0a\x02\x08\x01", "a field of the wrong wire type"),
    ("an attribute as a number", b"\x0a\x04\x0a\x02\x08\x01", "a field of the wrong wire type"),
    ("a metric as a number", b"\x0a\x04\x12\x02\x10\x01", "a field of the wrong wire type"),
    ("a name as a number", b"\x0a\x06\x12\x04\x12\x02\x08\x01", "a field of the wrong wire type"),
    ("a name that is not UTF-8", b"\x0a\x07\x12\x05\x12\x03\x0a\x01\xff", "text that is not UTF-8 at byte 8"),
    ("a url that is not UTF-8", b"\x0a\x03\x1a\x01\xff", "text that is not UTF-8"),
    ("a gauge as a number", b"\x0a\x06\x12\x04\x12\x02\x28\x01", "a field of the wrong wire type"),
    ("a point as a number", b"\x0a\x08\x12\x06\x12\x04\x2a\x02\x08\x01", "a field of the wrong wire type"),
    ("a cut value", b"\x0a\x0b\x12\x09\x12\x07\x2a\x05\x0a\x03\x21\x00\x00", "a number that is cut off"),
    ("a time as an integer", b"\x0a\x0a\x12\x08\x12\x06\x2a\x04\x0a\x02\x18\x01", "a field of the wrong wire type"),
    ("an exemplar that is cut", b"\x0a\x0b\x12\x09\x12\x07\x2a\x05\x0a\x03\x2a\x01\x11", "a number that is cut off"),
    ("a group without end", b"\x3b", "an integer that does not end"),
    ("an end without group", b"\x3c", "the end of a group that never began"),
];

/// A document and what is said; 400, and nothing is stored.
#[rustfmt::skip]
const DOCUMENTS: &[(&str, &str)] = &[
    ("", "it ends too early"),
    ("{", "it ends too early"),
    ("up 1", "a value should stand here at byte 0"),
    ("[]", "an object should stand here at byte 0"),
    ("{\"resourceMetrics\":{}}", "an array should stand here at byte 19"),
    ("{\"resourceMetrics\":[[]]}", "an object should stand here at byte 20"),
    ("{\"resourceMetrics\":[{\"schemaUrl\":5}]}", "a text should stand here at byte 33"),
    ("{\"resourceMetrics\":[]}}", "it should end here at byte 22"),
    ("{\"a\":1e999}", "this number is too large"),
    ("{\"a\":\"\\ud800\"}", "half of a pair of surrogates"),
    ("{\"a\":\"\\x\"}", "this escape does not exist"),
    ("{\"a\":[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]}", "nested too deep"),
];

/// A data point as JSON beside a good one, and what is said of it; the good one is stored.
#[rustfmt::skip]
const POINTS: &[(&str, &str)] = &[
    ("{}", "the data point has no value: set asDouble or asInt"),
    ("{\"asInt\":1,\"timeUnixNano\":\"18446744073709551615\"}", "time outside range"),
    ("{\"asInt\":1,\"attributes\":[{}]}", "a label has no name: name it, or leave it out"),
    ("{\"asInt\":1,\"attributes\":[{\"key\":\"a\",\"value\":{\"stringValue\":\"\\u0000\"}}]}", "NUL"),
];

/// Metrics as JSON beside a good one, and what is said.
#[rustfmt::skip]
const METRICS: &[(&str, &str)] = &[
    ("{\"name\":\"\",\"gauge\":{\"dataPoints\":[{\"asInt\":1}]}}", "the metric has no name"),
    ("{\"name\":\"...\",\"gauge\":{\"dataPoints\":[{\"asInt\":1}]}}", "the metric has no name"),
    ("{\"name\":\"m\",\"sum\":{\"dataPoints\":[{\"asInt\":1}]}}", "no aggregation temporality: set 1 (delta) or 2"),
    ("{\"name\":\"m\",\"sum\":{\"aggregationTemporality\":3,\"dataPoints\":[{\"asInt\":1}]}}", "no aggregation temporality"),
    ("{\"name\":\"m\",\"histogram\":{\"aggregationTemporality\":2,\"dataPoints\":[{\"bucketCounts\":[1,2]}]}}", "2 bucket counts for 0 explicit bounds"),
    ("{\"name\":\"m\",\"histogram\":{\"aggregationTemporality\":2,\"dataPoints\":[{\"bucketCounts\":[1,2,3],\"explicitBounds\":[2,1]}]}}", "not finite and ascending"),
    ("{\"name\":\"m\",\"exponentialHistogram\":{\"aggregationTemporality\":2,\"dataPoints\":[{\"scale\":99}]}}", "scale 99 is out of range"),
    ("{\"name\":\"m\",\"exponentialHistogram\":{\"aggregationTemporality\":2,\"dataPoints\":[{\"zeroThreshold\":-1}]}}", "zero threshold -1 is no width"),
];

/// Cases with large bodies.
const LARGE: usize = 4;

/// How many bad inputs the tables hold.
pub fn count() -> usize {
    DAMAGED.len() + DOCUMENTS.len() + POINTS.len() + METRICS.len() + LARGE
}

fn document(metric: &str, points: &str) -> String {
    format!(
        "{{\"resourceMetrics\":[{{\"scopeMetrics\":[{{\"metrics\":[{metric}{{\"name\":\"good\",\"gauge\":\
         {{\"dataPoints\":[{points}{{\"asDouble\":1.5,\"timeUnixNano\":\"7\"}}]}}}}]}}]}}]}}"
    )
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packer.write_all(bytes).unwrap();
    packer.finish().unwrap()
}

impl Case {
    fn otlp(&mut self, content_type: &str, encoding: &str, body: &[u8]) -> Response {
        let headers = [("Content-Type", content_type), ("Content-Encoding", encoding)];
        self.send("POST", "/v1/metrics?db=$DB", &headers, body)
    }

    /// Checks an answer whose texts are in a message.
    fn told_in(&mut self, response: &Response, status: u16, says: &str) {
        let text = response.text();
        let shown = || text.chars().take(400).collect::<String>();
        let found = response.status;
        self.expect(found == status, || format!("{found}, not {status}: {}", shown()));
        let plain = text.replace("\\\"", "\"");
        self.expect(plain.contains(says), || format!("{says:?} is not in {}", shown()));
        self.expect(text.len() < 128 << 10, || "a very long answer".to_owned());
    }
}

/// Sends them all.
pub fn run(bench: &mut Bench) {
    const PROTOBUF: &str = "application/x-protobuf";
    const JSON: &str = "application/json";
    for (what, message, says) in DAMAGED {
        bench.case(&format!("otlp: {what}"), |case| {
            let response = case.otlp(PROTOBUF, "identity", message);
            case.told_in(&response, 400, says);
            case.stored(0);
        });
    }
    for (text, says) in DOCUMENTS {
        bench.case(&format!("otlp: {text}"), |case| {
            let response = case.otlp(JSON, "identity", text.as_bytes());
            case.told_in(&response, 400, says);
            case.told_in(&response, 400, "{\"code\":3,\"message\":\"");
            case.stored(0);
        });
    }
    let points = POINTS.iter().map(|(point, says)| (document("", &format!("{point},")), *says));
    let metrics = METRICS.iter().map(|(metric, says)| (document(&format!("{metric},"), ""), *says));
    for (text, says) in points.chain(metrics) {
        bench.case(&format!("otlp: {says}"), |case| {
            let response = case.otlp(JSON, "identity", text.as_bytes());
            case.told_in(&response, 200, says);
            case.told_in(&response, 200, "{\"partialSuccess\":{\"rejectedDataPoints\":\"1\"");
            case.stored(1);
        });
    }
    large(bench);
}

fn request(metric: Metric) -> Request {
    let scope_metrics = vec![ScopeMetrics { metrics: vec![metric], ..ScopeMetrics::default() }];
    Request {
        resource_metrics: vec![ResourceMetrics { scope_metrics, ..ResourceMetrics::default() }],
    }
}

fn metric(data: Data) -> Metric {
    Metric { name: "m".to_owned(), data: Some(data), ..Metric::default() }
}

/// Bodies that are short when they are packed, and unpack to tens of megabytes of one thing.
fn large(bench: &mut Bench) {
    const PROTOBUF: &str = "application/x-protobuf";
    let growth_max = super::LARGE_GROWTH_BYTES_MAX;
    let pack = |request: &Request| {
        let bytes = request.encode_to_vec();
        // Within what gzip may gain.
        let mut noise = 1_u32;
        let noise: Vec<u8> = (0..bytes.len() / 150)
            .map(|_| {
                noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                noise.to_be_bytes()[0]
            })
            .collect();
        let mut whole = vec![0x7a];
        prost::encoding::encode_varint(noise.len() as u64, &mut whole);
        gzip(&[whole, noise, bytes].concat())
    };
    let data_points = vec![NumberPoint::default(); 2 << 20];
    let empty_points = pack(&request(metric(Data::Gauge(Gauge { data_points }))));
    bench.case_within(growth_max, "otlp: two million empty points", |case| {
        let response = case.otlp(PROTOBUF, "gzip", &empty_points);
        case.told_in(&response, 400, "2097152 of 2097152 data points rejected");
        case.stored(0);
    });
    let value = Some(number::Value::Double(1.0));
    let attributes = vec![KeyValue::default(); 2 << 20];
    let point = NumberPoint {
        attributes: attributes.clone(),
        value: value.clone(),
        ..NumberPoint::default()
    };
    let attributes_of_point =
        pack(&request(metric(Data::Gauge(Gauge { data_points: vec![point] }))));
    bench.case_within(growth_max, "otlp: two million attributes", |case| {
        let response = case.otlp(PROTOBUF, "gzip", &attributes_of_point);
        case.told_in(&response, 400, "2097152 labels");
        case.stored(0);
    });
    let data_points = vec![NumberPoint { value, ..NumberPoint::default() }];
    let mut whole = request(metric(Data::Gauge(Gauge { data_points })));
    whole.resource_metrics[0].resource = Some(Resource { attributes });
    let attributes_of_resource = pack(&whole);
    bench.case_within(growth_max, "otlp: a resource of two million attributes", |case| {
        let response = case.otlp(PROTOBUF, "gzip", &attributes_of_resource);
        case.told_in(&response, 400, "2097152 labels");
        case.stored(0);
    });
    let point = HistogramPoint {
        bucket_counts: vec![0; 4 << 20],
        explicit_bounds: Vec::new(),
        ..HistogramPoint::default()
    };
    let histogram = Histogram { data_points: vec![point], aggregation_temporality: 2 };
    let buckets = pack(&request(metric(Data::Histogram(histogram))));
    bench.case_within(growth_max, "otlp: four million buckets", |case| {
        let response = case.otlp(PROTOBUF, "gzip", &buckets);
        case.told_in(&response, 400, "buckets of a data point");
        case.stored(0);
    });
}
