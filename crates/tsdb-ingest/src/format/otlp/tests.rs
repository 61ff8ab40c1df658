//! Metrics of OpenTelemetry: each kind of point, what is refused, and against `prost` as the oracle.

mod documents;
mod generate;
mod hostile;
mod oracle;

use std::sync::Arc;

use prost::Message;
use tsdb_core::{MemoryBudget, NamespaceId};

use super::messages::{
    AnyValue, Buckets, Data, Exemplar, Exponential, ExponentialPoint, Gauge, Histogram,
    HistogramPoint, KeyValue, Metric, NumberPoint, Quantile, Request, Resource, ResourceMetrics,
    Scope, ScopeMetrics, Sum, Summary, SummaryPoint, any, number,
};
use super::*;
use crate::metadata::MetricType;
use crate::testing::Recorder;
use crate::{Pipeline, PipelineOptions, Reason, Validation, WriteReport, WriteRequest};

/// When requests come in.
const NOW: i64 = 99;

/// A pipeline into a store that remembers rows as text.
struct Fixture {
    store: Arc<Recorder>,
    budget: MemoryBudget,
    pipeline: Pipeline,
    metadata: Arc<MetadataStore>,
}

impl Fixture {
    fn new() -> Fixture {
        let (store, budget) = (Arc::new(Recorder::default()), MemoryBudget::default());
        // One parser, so that its caches meet every request.
        let options = PipelineOptions { parsers_kept: 1, ..PipelineOptions::default() };
        let pipeline = Pipeline::new(store.clone(), budget.clone(), options);
        Fixture { store, budget, pipeline, metadata: Arc::new(MetadataStore::new(1)) }
    }

    fn send(
        &self,
        encoding: OtlpEncoding,
        body: &[u8],
        parameters: &[(&str, &str)],
    ) -> Result<WriteReport> {
        let format = Otlp::new(encoding, Some(Arc::clone(&self.metadata)));
        let options = ParseOptions { parameters, ..ParseOptions::new(Precision::Nanoseconds, NOW) };
        let request = WriteRequest { database: "d", policy: None, body, options };
        self.pipeline.write(&format, &request)
    }

    fn write(&self, request: &Request) -> WriteReport {
        self.send(OtlpEncoding::Protobuf, &request.encode_to_vec(), &[]).unwrap()
    }

    /// Rows of a request of which nothing is refused.
    #[track_caller]
    fn rows(&self, request: &Request) -> Vec<String> {
        let report = self.write(request);
        assert_eq!((report.errors_total, report.refused_records), (0, 0), "{:?}", report.errors);
        self.store.take_rows()
    }
}

fn text(key: &str, value: &str) -> KeyValue {
    let value = Some(any::Value::String(value.to_owned()));
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value }) }
}

fn texts(pairs: &[(&str, &str)]) -> Vec<KeyValue> {
    pairs.iter().map(|(key, value)| text(key, value)).collect()
}

fn double(attributes: &[(&str, &str)], time: u64, value: f64) -> NumberPoint {
    NumberPoint {
        attributes: texts(attributes),
        time_unix_nano: time,
        value: Some(number::Value::Double(value)),
        ..NumberPoint::default()
    }
}

fn metric(name: &str, unit: &str, data: Data) -> Metric {
    Metric { name: name.to_owned(), unit: unit.to_owned(), data: Some(data), ..Metric::default() }
}

fn gauge(name: &str, data_points: Vec<NumberPoint>) -> Metric {
    metric(name, "", Data::Gauge(Gauge { data_points }))
}

fn sum(name: &str, temporality: i32, is_monotonic: bool, data_points: Vec<NumberPoint>) -> Metric {
    let sum = Sum { data_points, aggregation_temporality: temporality, is_monotonic };
    metric(name, "", Data::Sum(sum))
}

/// Metrics of a resource with a scope.
fn of(resource: &[(&str, &str)], scope: Option<Scope>, metrics: Vec<Metric>) -> Request {
    let scope_metrics = vec![ScopeMetrics { scope, metrics, schema_url: String::new() }];
    let resource = Some(Resource { attributes: texts(resource) });
    let resource_metrics =
        vec![ResourceMetrics { resource, scope_metrics, schema_url: "passed over".to_owned() }];
    Request { resource_metrics }
}

/// Metrics of a resource that has a name and nothing else.
fn plain(metrics: Vec<Metric>) -> Request {
    of(&[("service.name", "s")], None, metrics)
}

#[test]
fn numbers_become_rows_of_the_field_value() {
    let fixture = Fixture::new();
    let integer = NumberPoint {
        value: Some(number::Value::Int(-3)),
        time_unix_nano: 5,
        start_time_unix_nano: 1,
        ..NumberPoint::default()
    };
    let request = plain(vec![
        gauge("cpu.load", vec![double(&[("host.name", "a")], 7, 0.5), double(&[], 0, 1.0)]),
        sum("requests", 2, true, vec![double(&[("b", "2"), ("a", "1")], 8, 9.0)]),
        sum("queue", 2, false, vec![integer]),
        sum("sent", 1, true, vec![double(&[], 8, 4.0)]),
    ]);
    let expected = [
        "cpu_load,host_name=a,job=s value=0.5 7",
        "cpu_load,job=s value=1.0 99",
        "requests_total,a=1,b=2,job=s value=9.0 8",
        "queue,job=s value=-3.0 5",
        "sent_total,__temporality__=delta,job=s value=4.0 8",
    ];
    for _ in 0..3 {
        assert_eq!(fixture.rows(&request), expected);
    }
    assert_eq!(fixture.store.state().resolve_calls, 1, "all of it is known");
}

#[test]
fn histograms_become_counts_below_bounds() {
    let fixture = Fixture::new();
    let point = HistogramPoint {
        attributes: texts(&[("le", "mine"), ("route", "/")]),
        time_unix_nano: 7,
        count: 6,
        sum: Some(2.5),
        bucket_counts: vec![1, 2, 3],
        explicit_bounds: vec![0.005, 10.0],
        min: Some(0.0),
        max: Some(99.0),
        ..HistogramPoint::default()
    };
    let data = |aggregation_temporality| {
        let histogram = Histogram { data_points: vec![point.clone()], aggregation_temporality };
        plain(vec![metric("http.time", "s", Data::Histogram(histogram))])
    };
    let row = |suffix: &str, delta: &str, le: &str, value: &str| {
        let labels = format!("{delta}exported_le=mine,job=s{le},route=/");
        format!("http_time_seconds_{suffix},{labels} value={value} 7")
    };
    for (temporality, delta) in [(2, ""), (1, "__temporality__=delta,")] {
        let expected = [
            row("bucket", delta, ",le=0.005", "1.0"),
            row("bucket", delta, ",le=10", "3.0"),
            row("bucket", delta, ",le=+Inf", "6.0"),
            row("sum", delta, "", "2.5"),
            row("count", delta, "", "6.0"),
        ];
        assert_eq!(fixture.rows(&data(temporality)), expected);
    }
    let bare = HistogramPoint { count: 6, time_unix_nano: 7, ..HistogramPoint::default() };
    let histogram = Histogram { data_points: vec![bare], aggregation_temporality: 2 };
    let expected = ["m_bucket,job=s,le=+Inf value=6.0 7", "m_count,job=s value=6.0 7"];
    assert_eq!(fixture.rows(&plain(vec![metric("m", "", Data::Histogram(histogram))])), expected);
}

#[test]
fn exponential_histograms_become_counts_below_powers() {
    let fixture = Fixture::new();
    let point = ExponentialPoint {
        time_unix_nano: 7,
        count: 11,
        sum: Some(-0.5),
        scale: 1,
        zero_count: 1,
        positive: Some(Buckets { offset: -1, bucket_counts: vec![2, 0, 3] }),
        negative: Some(Buckets { offset: 0, bucket_counts: vec![5] }),
        ..ExponentialPoint::default()
    };
    let data = Exponential { data_points: vec![point], aggregation_temporality: 2 };
    let below = |le: &str, count: &str| format!("m_bucket,job=s,le={le} value={count} 7");
    let expected = [
        below("-1.4142135623730951", "0.0"),
        below("-1", "5.0"),
        below("0", "6.0"),
        below("0.7071067811865476", "6.0"),
        below("1", "8.0"),
        below("1.4142135623730951", "8.0"),
        below("2", "11.0"),
        below("+Inf", "11.0"),
        "m_sum,job=s value=-0.5 7".to_owned(),
        "m_count,job=s value=11.0 7".to_owned(),
    ];
    assert_eq!(fixture.rows(&plain(vec![metric("m", "", Data::Exponential(data))])), expected);
}

#[test]
fn summaries_become_quantiles() {
    let fixture = Fixture::new();
    let quantile = |quantile, value| Quantile { quantile, value };
    let point = SummaryPoint {
        attributes: texts(&[("quantile", "x")]),
        time_unix_nano: 7,
        count: 4,
        sum: 2.0,
        quantile_values: vec![quantile(0.0, 0.1), quantile(0.99, 0.7)],
        ..SummaryPoint::default()
    };
    let data = Data::Summary(Summary { data_points: vec![point] });
    let expected = [
        "m,exported_quantile=x,job=s,quantile=0 value=0.1 7",
        "m,exported_quantile=x,job=s,quantile=0.99 value=0.7 7",
        "m_sum,exported_quantile=x,job=s value=2.0 7",
        "m_count,exported_quantile=x,job=s value=4.0 7",
    ];
    assert_eq!(fixture.rows(&plain(vec![metric("m", "", data)])), expected);
}

#[test]
fn resources_and_scopes_become_labels() {
    let fixture = Fixture::new();
    let service = [
        ("service.name", "shop"),
        ("service.namespace", "eu"),
        ("service.instance.id", "i-1"),
        ("host.name", "h"),
        ("job", "other"),
        ("empty", ""),
    ];
    let scope = Scope {
        name: "lib".to_owned(),
        version: "1.2".to_owned(),
        attributes: texts(&[("short.name", "l"), ("name", "second")]),
    };
    let point = double(&[("job", "mine"), ("otel_scope_name", "mine")], 3, 1.0);
    let points = vec![point, double(&[], 5, 2.0), double(&[], 4, 3.0)];
    let mut request = of(&service, Some(scope), vec![gauge("up", points)]);
    request.resource_metrics[0].scope_metrics[0].schema_url = "u".to_owned();
    let scope = "otel_scope_exported_name=second,otel_scope_name=lib,otel_scope_schema_url=u,\
                 otel_scope_short_name=l,otel_scope_version=1.2";
    let whole = format!("instance=i-1,job=eu/shop,{scope}");
    let first = format!("exported_job=mine,exported_otel_scope_name=mine,{whole}");
    let expected = [
        format!("up,{first} value=1.0 3"),
        format!("up,{whole} value=2.0 5"),
        format!("up,{whole} value=3.0 4"),
        "target_info,exported_job=other,host_name=h,instance=i-1,job=eu/shop value=1.0 5"
            .to_owned(),
    ];
    for _ in 0..2 {
        assert_eq!(fixture.rows(&request), expected);
    }
    let body = request.encode_to_vec();
    for (promoted, labels) in
        [("host.name, none", "host_name=h"), ("*", "exported_job=other,host_name=h")]
    {
        let parameters = [(PROMOTE_RESOURCE_ATTRIBUTES, promoted)];
        fixture.send(OtlpEncoding::Protobuf, &body, &parameters).unwrap();
        let rows = fixture.store.take_rows();
        assert!(rows[1].starts_with(&format!("up,{labels},instance=i-1")), "{promoted}: {rows:?}");
        assert_eq!(rows.last(), expected.last());
    }
    // Who has no name is told by all there is.
    let nameless = of(
        &[("host.name", "h"), ("time", "x")],
        None,
        vec![gauge("up", vec![double(&[], 1, 1.0)])],
    );
    assert_eq!(fixture.rows(&nameless), ["up,host_name=h,key_time=x value=1.0 1"]);
    assert_eq!(fixture.rows(&of(&[("service.name", "s"), ("a", "b")], None, vec![])), [""; 0]);
}

#[test]
fn values_that_are_no_more_become_stale_markers() {
    let store = Arc::new(Recorder::default());
    let overdraft = crate::rows::Overdraft::new(0);
    let mut rows = Rows::new(Some(store), &MemoryBudget::default(), overdraft, 1 << 20, 1);
    let bits = [0x7ff8_0000_0000_0001, f64::INFINITY.to_bits(), (-0.0_f64).to_bits(), 1];
    let mut points: Vec<_> =
        bits.iter().map(|bits| double(&[], 1, f64::from_bits(*bits))).collect();
    points.push(NumberPoint { flags: 1, ..double(&[], 1, 7.0) });
    points.push(NumberPoint { flags: 3, value: None, ..double(&[], 1, 7.0) });
    let histogram = HistogramPoint {
        flags: 1,
        bucket_counts: vec![0, 0],
        explicit_bounds: vec![1.0],
        ..Default::default()
    };
    let histogram = Histogram { data_points: vec![histogram], aggregation_temporality: 2 };
    let exponential = ExponentialPoint { flags: 1, ..Default::default() };
    let exponential = Exponential { data_points: vec![exponential], aggregation_temporality: 2 };
    let quantile = Quantile { quantile: 0.5, value: 3.0 };
    let summary = SummaryPoint { flags: 1, quantile_values: vec![quantile], ..Default::default() };
    let summary = Summary { data_points: vec![summary] };
    let body = plain(vec![
        gauge("g", points),
        metric("h", "", Data::Histogram(histogram)),
        metric("e", "", Data::Exponential(exponential)),
        metric("s", "", Data::Summary(summary)),
    ])
    .encode_to_vec();
    rows.begin(NamespaceId(0), Validation::default());
    let options = ParseOptions::new(Precision::Nanoseconds, NOW);
    Otlp::new(OtlpEncoding::Protobuf, None).parse_rows(&body, &options, &mut rows).unwrap();
    rows.resolve(&body).unwrap();
    let stored: Vec<u64> =
        rows.batch().rows().flat_map(|row| row.values.iter().map(|v| v.to_bits())).collect();
    let stale = 0x7ff0_0000_0000_0002;
    // Of the histograms the buckets that there are, sum and count.
    let mut expected = bits.to_vec();
    expected.extend([stale; 2 + 4 + 4 + 3]);
    assert_eq!(stored, expected);
}

#[test]
fn what_is_said_of_metrics_is_kept() {
    let fixture = Fixture::new();
    let described = |mut metric: Metric, unit: &str| {
        metric.description = "what it means".to_owned();
        metric.unit = unit.to_owned();
        metric
    };
    let histogram = Histogram { data_points: Vec::new(), aggregation_temporality: 2 };
    fixture.write(&plain(vec![
        described(gauge("load", vec![]), "1"),
        described(sum("sent", 2, true, vec![]), "By"),
        described(sum("got", 1, true, vec![]), "m/s"),
        described(sum("queue", 2, false, vec![]), "{item}"),
        described(metric("time", "", Data::Histogram(histogram)), "s"),
        described(metric("old", "", Data::Summary(Summary::default())), "s"),
        described(sum("none", 0, false, vec![]), ""),
    ]));
    let namespace = fixture.store.state().catalogue.namespace("d", None).unwrap().id;
    let known = fixture.metadata.list(namespace, None);
    let found: Vec<_> = known.iter().map(|m| (&*m.metric, m.kind, &*m.unit)).collect();
    assert_eq!(
        found,
        [
            ("got_meters_per_second_total", MetricType::Unknown, "meters_per_second"),
            ("load_ratio", MetricType::Gauge, ""),
            ("old_seconds", MetricType::Summary, "seconds"),
            ("queue", MetricType::Gauge, ""),
            ("sent_bytes_total", MetricType::Counter, "bytes"),
            ("time_seconds", MetricType::Histogram, "seconds"),
        ]
    );
    assert!(known.iter().all(|metric| &*metric.help == "what it means"));
}

#[test]
fn data_points_that_cannot_be_stored_cost_nothing_else() {
    let fixture = Fixture::new();
    let none = NumberPoint { value: None, ..double(&[("a", "b")], 1, 0.0) };
    let bad = HistogramPoint { bucket_counts: vec![1, 2], ..HistogramPoint::default() };
    let bad = Histogram { data_points: vec![bad], aggregation_temporality: 2 };
    let nameless_key = double(&[("", "x")], 1, 1.0);
    let exemplar = Exemplar::default();
    let good = NumberPoint { exemplars: vec![exemplar; 2], ..double(&[], 1, 1.0) };
    let request = plain(vec![
        gauge("m", vec![none, good, double(&[], u64::MAX, 1.0), nameless_key]),
        metric("h", "", Data::Histogram(bad)),
        sum("t", 0, true, vec![double(&[], 1, 1.0), double(&[], 2, 1.0)]),
        sum("t", 7, true, vec![double(&[], 1, 1.0)]),
        gauge("...", vec![double(&[], 1, 1.0)]),
        gauge("n", vec![double(&[], 3, 1.0)]),
    ]);
    let report = fixture.write(&request);
    assert_eq!(fixture.store.take_rows(), ["m,job=s value=1.0 1", "n,job=s value=1.0 3"]);
    assert_eq!((report.brought.points, report.brought.exemplars), (10, 2));
    assert_eq!((report.errors_total, report.refused_records), (8, 8));
    let refused: Vec<_> = report
        .errors
        .iter()
        .map(|error| (error.line, error.text.as_str(), error.reason.explained()))
        .collect();
    for ((line, text, reason), (expected_line, expected_text, part)) in refused.iter().zip([
        (1, "m{a=\"b\",job=\"s\"}", "no value: set asDouble"),
        (3, "m{job=\"s\"}", "time outside range"),
        (4, "m{}", "a label has no name"),
        (5, "h{job=\"s\"}", "2 bucket counts for 0 explicit bounds"),
        (6, "t_total{job=\"s\"}", "no aggregation temporality"),
        (7, "t_total{job=\"s\"}", "no aggregation temporality"),
        (8, "t_total{job=\"s\"}", "no aggregation temporality"),
        (9, "...{job=\"s\"}", "has no name"),
    ]) {
        assert_eq!((*line, *text), (expected_line, expected_text));
        assert!(reason.contains(part), "{reason}");
    }
}

/// A point is refused once, however many of its series the store does not take, and what is told of the resource
/// is no point.
#[test]
fn refused_points_are_counted_once() {
    let fixture = Fixture::new();
    fixture.store.state().refused_measurement = Some("h_bucket");
    let point = |time_unix_nano| HistogramPoint {
        bucket_counts: vec![1, 2, 3],
        explicit_bounds: vec![1.0, 2.0],
        time_unix_nano,
        ..HistogramPoint::default()
    };
    let histogram = Histogram { data_points: vec![point(1), point(2)], aggregation_temporality: 2 };
    let metrics =
        vec![metric("h", "", Data::Histogram(histogram)), gauge("g", vec![double(&[], 1, 1.0)])];
    let long = "x".repeat(5000);
    let report = fixture.write(&of(&[("service.name", "s"), ("a", &long)], None, metrics));
    assert_eq!(report.brought.points, 3);
    assert_eq!((report.errors_total, report.refused_records), (7, 2), "{:?}", report.errors);
    let first = &report.errors[0];
    assert_eq!(first.line, 0, "target_info");
    assert!(first.text.starts_with("target_info{job=\"s\",a=\"xxx"), "{}", first.text);
    assert_eq!(fixture.store.take_rows().len(), 3, "both counts and the gauge");
}

#[test]
fn attributes_that_are_no_labels_are_not_left_out_in_silence() {
    let fixture = Fixture::new();
    let up = || vec![gauge("up", vec![double(&[], 1, 1.0)])];
    let scope = Scope { attributes: texts(&[("", "x")]), ..Scope::default() };
    for (request, points) in [
        (of(&[("", "x")], None, up()), 1),
        (of(&[("service.name", "s")], Some(scope), up()), 1),
        // The labels of the series are right, and `target_info` says what is wrong.
        (of(&[("service.name", "s"), ("", "x")], None, up()), 0),
    ] {
        let report = fixture.write(&request);
        assert_eq!((report.errors_total, report.refused_records), (1, points));
        assert_eq!(report.errors[0].reason, Reason::EmptyLabelName);
        assert_eq!(fixture.store.take_rows().len() as u64, 1 - points);
    }
}

#[test]
fn parameters_say_how_names_are_translated() {
    let fixture = Fixture::new();
    let body = plain(vec![metric(
        "a.b",
        "s",
        Data::Gauge(Gauge { data_points: vec![double(&[("c.d", "x")], 1, 1.0)] }),
    )])
    .encode_to_vec();
    // The same bytes mean other series each time.
    for (name, expected) in [
        ("UnderscoreEscapingWithSuffixes", "a_b_seconds,c_d=x,job=s value=1.0 1"),
        ("UnderscoreEscapingWithoutSuffixes", "a_b,c_d=x,job=s value=1.0 1"),
        ("NoUTF8EscapingWithSuffixes", "a.b_seconds,c.d=x,job=s value=1.0 1"),
        ("NoTranslation", "a.b,c.d=x,job=s value=1.0 1"),
    ] {
        let parameters = [(TRANSLATION_STRATEGY, name)];
        fixture.send(OtlpEncoding::Protobuf, &body, &parameters).unwrap();
        assert_eq!(fixture.store.take_rows(), [expected]);
    }
    let parameters = [(TRANSLATION_STRATEGY, "Other")];
    let error = fixture.send(OtlpEncoding::Protobuf, &body, &parameters).unwrap_err();
    assert!(
        error.to_string().contains("translation_strategy=\"Other\": use Underscore"),
        "{error}"
    );
}

/// The fields of a message come in any order, and of data of several kinds the last one counts.
#[test]
fn order_on_the_wire_does_not_matter() {
    let fixture = Fixture::new();
    let block = |number: u8, bytes: &[u8]| {
        let mut out = vec![number << 3 | 2];
        prost::encoding::encode_varint(bytes.len() as u64, &mut out);
        out.extend_from_slice(bytes);
        out
    };
    let points = |value| {
        let gauge = Gauge { data_points: vec![double(&[], 1, value)] };
        gauge.encode_to_vec()
    };
    let sum = [b"\x18\x01\x10\x02".to_vec(), points(2.0)].concat();
    let metric = [block(5, &points(1.0)), block(7, &sum), block(1, b"m")].concat();
    let scope = Scope { name: "lib".to_owned(), ..Scope::default() }.encode_to_vec();
    let scope = [block(2, &metric), block(1, &scope)].concat();
    let resource = Resource { attributes: texts(&[("service.name", "s")]) }.encode_to_vec();
    let body = block(1, &[block(2, &scope), block(1, &resource)].concat());
    assert!(Request::decode(&*body).is_ok());
    fixture.send(OtlpEncoding::Protobuf, &body, &[]).unwrap();
    assert_eq!(fixture.store.take_rows(), ["m_total,job=s,otel_scope_name=lib value=2.0 1"]);
    // The gauge that means nothing has to be sound all the same.
    let broken = [block(5, b"\x08"), block(7, &sum), block(1, b"m")].concat();
    let body = block(1, &block(2, &block(2, &broken)));
    assert!(Request::decode(&*body).is_err());
    fixture.send(OtlpEncoding::Protobuf, &body, &[]).unwrap_err();
}
