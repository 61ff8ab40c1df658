//! Metrics of OpenTelemetry: any bytes as a request, unpacked, and any text as its form in JSON.

use prost::Message;
use tsdb_ingest::otlp_messages::{
    AnyValue, ArrayValue, Buckets, Data, Exemplar, Exponential, ExponentialPoint, Gauge, Histogram,
    HistogramPoint, KeyValue, Metric, NumberPoint, Quantile, Request, Resource, ResourceMetrics,
    Scope, ScopeMetrics, Sum, Summary, SummaryPoint, any, exemplar, number,
};
use tsdb_ingest::{Error, Ingestion, Otlp, OtlpEncoding};

use super::ingest::check;

/// `opentelemetry.proto.collector.metrics.v1.ExportMetricsServiceRequest`.
///
/// # Panics
/// If the body is handled wrongly, or accepted where `prost` refuses it, or the other way round.
pub fn otlp_metrics(data: &[u8]) {
    let format = Otlp::new(OtlpEncoding::Protobuf, None);
    let is_damaged = matches!(format.parse(data), Err(Error::Damaged { .. }));
    assert_eq!(is_damaged, Request::decode(data).is_err(), "damaged by one reader alone");
    check(&format, data, &[]);
}

/// The same in JSON.
///
/// # Panics
/// If the body is handled wrongly, or accepted though it is no JSON.
pub fn otlp_json(data: &[u8]) {
    let format = Otlp::new(OtlpEncoding::Json, None);
    let is_damaged = matches!(format.parse(data), Err(Error::Damaged { .. }));
    let text = data.strip_prefix(b"\xef\xbb\xbf").unwrap_or(data);
    let is_json = serde_json::from_slice::<serde_json::Value>(text).is_ok();
    assert!(is_damaged || is_json, "accepted though it is no JSON");
    check(&format, data, &[]);
}

fn texts(pairs: &[(&str, &str)]) -> Vec<KeyValue> {
    let text = |value: &str| AnyValue { value: Some(any::Value::String(value.to_owned())) };
    let pair =
        |(key, value): &(&str, &str)| KeyValue { key: (*key).to_owned(), value: Some(text(value)) };
    pairs.iter().map(pair).collect()
}

fn metric(name: &str, unit: &str, data: Data) -> Metric {
    let (name, unit) = (name.to_owned(), unit.to_owned());
    Metric { name, unit, description: "what it means".to_owned(), data: Some(data) }
}

fn numbers() -> Vec<Metric> {
    let value = |value| NumberPoint {
        attributes: texts(&[("http.route", "/"), ("job", "x")]),
        start_time_unix_nano: 1,
        time_unix_nano: 1_700_000_000_000_000_000,
        value: Some(value),
        exemplars: vec![Exemplar {
            filtered_attributes: texts(&[("a", "b")]),
            value: Some(exemplar::Value::Double(0.5)),
            span_id: vec![1; 8],
            ..Exemplar::default()
        }],
        ..NumberPoint::default()
    };
    let stale = NumberPoint { flags: 1, value: None, ..value(number::Value::Int(0)) };
    let gauge = Gauge { data_points: vec![value(number::Value::Double(-0.5)), stale] };
    let sum = |aggregation_temporality| Sum {
        data_points: vec![value(number::Value::Int(7))],
        aggregation_temporality,
        is_monotonic: true,
    };
    vec![
        metric("load", "1", Data::Gauge(gauge)),
        metric("sent", "By", Data::Sum(sum(2))),
        metric("sent", "By/s", Data::Sum(sum(1))),
        metric("sent", "{x}", Data::Sum(sum(0))),
    ]
}

fn histograms() -> Vec<Metric> {
    let point = HistogramPoint {
        attributes: texts(&[("le", "x")]),
        time_unix_nano: 5,
        count: 6,
        sum: Some(1.5),
        bucket_counts: vec![1, 2, 3],
        explicit_bounds: vec![0.1, 1.0],
        min: Some(0.0),
        ..HistogramPoint::default()
    };
    let histogram = Histogram { data_points: vec![point], aggregation_temporality: 2 };
    let side = |offset| Some(Buckets { offset, bucket_counts: vec![1, 0, 300] });
    let point = ExponentialPoint {
        time_unix_nano: 5,
        count: 602,
        scale: 3,
        zero_count: 1,
        zero_threshold: 1e-9,
        positive: side(-1),
        negative: side(4),
        ..ExponentialPoint::default()
    };
    let exponential = Exponential { data_points: vec![point], aggregation_temporality: 1 };
    let quantile_values = vec![Quantile { quantile: 0.5, value: 2.0 }];
    let point = SummaryPoint { count: 1, sum: 2.0, quantile_values, ..SummaryPoint::default() };
    let summary = Summary { data_points: vec![point] };
    vec![
        metric("time", "s", Data::Histogram(histogram)),
        metric("size", "By", Data::Exponential(exponential)),
        metric("old", "", Data::Summary(summary)),
    ]
}

/// First inputs of [`otlp_metrics`].
pub(super) fn seeds() -> Vec<Vec<u8>> {
    let scope =
        Scope { name: "lib".to_owned(), attributes: texts(&[("a", "b")]), ..Scope::default() };
    let nested = AnyValue {
        value: Some(any::Value::Array(ArrayValue { values: vec![AnyValue::default()] })),
    };
    let mut attributes = texts(&[("service.name", "shop"), ("host.name", "h")]);
    attributes.push(KeyValue { key: "list".to_owned(), value: Some(nested) });
    let of = |attributes: Vec<KeyValue>, metrics: Vec<Metric>| ResourceMetrics {
        resource: Some(Resource { attributes }),
        scope_metrics: vec![ScopeMetrics {
            scope: Some(scope.clone()),
            metrics,
            schema_url: "u".to_owned(),
        }],
        schema_url: String::new(),
    };
    let requests = [
        vec![of(attributes.clone(), numbers())],
        vec![of(texts(&[("host.name", "h")]), histograms())],
        vec![of(attributes, Vec::new()), ResourceMetrics::default()],
    ];
    requests.map(|resource_metrics| Request { resource_metrics }.encode_to_vec()).to_vec()
}
