//! Requests that ask for much with few bytes: work and memory stay linear in what was sent.

use super::*;
use crate::limits;

fn refusals(report: &WriteReport) -> String {
    report.errors.iter().map(|error| error.reason.to_string()).collect::<Vec<_>>().join("; ")
}

/// A bucket of one byte is a series with all labels of its point.
#[test]
fn labels_are_not_repeated_without_end() {
    let fixture = Fixture::new();
    let long = "x".repeat(4000);
    let points = (1..=20).map(|time_unix_nano| HistogramPoint {
        attributes: texts(&[("a", &long), ("b", &long)]),
        bucket_counts: vec![1; 501],
        explicit_bounds: (0..500).map(f64::from).collect(),
        time_unix_nano,
        ..HistogramPoint::default()
    });
    let data_points: Vec<_> = points.collect();
    let histogram = Histogram { data_points, aggregation_temporality: 2 };
    let report = fixture.write(&plain(vec![metric("m", "", Data::Histogram(histogram))]));
    assert!(refusals(&report).contains("send fewer attributes"), "{}", refusals(&report));
    assert!(report.refused_records > 0 && report.refused_records < 20);
    let bytes: usize = fixture.store.take_rows().iter().map(String::len).sum();
    // A request of 330 KB.
    assert!(bytes < 48 << 20, "{bytes}");
}

#[test]
fn histograms_have_as_many_buckets_as_they_may() {
    let fixture = Fixture::new();
    let count = limits::BUCKETS_MAX;
    let explicit = |count: usize| {
        let bounds = (0..count - 1).map(|n| f64::from(u32::try_from(n).unwrap())).collect();
        let point = HistogramPoint {
            bucket_counts: vec![1; count],
            explicit_bounds: bounds,
            ..HistogramPoint::default()
        };
        let histogram = Histogram { data_points: vec![point], aggregation_temporality: 2 };
        plain(vec![metric("m", "", Data::Histogram(histogram))])
    };
    let report = fixture.write(&explicit(count));
    assert_eq!((report.errors_total, report.rows), (0, count as u64 + 1));
    let too_many = limits::BUCKETS_MAX + 1;
    let buckets = Some(Buckets { offset: i32::MAX, bucket_counts: vec![1; too_many] });
    let exponential = |positive: &Option<Buckets>, negative: &Option<Buckets>| {
        let point = ExponentialPoint {
            positive: positive.clone(),
            negative: negative.clone(),
            ..ExponentialPoint::default()
        };
        let exponential = Exponential { data_points: vec![point], aggregation_temporality: 2 };
        plain(vec![metric("m", "", Data::Exponential(exponential))])
    };
    let quantile_values = vec![Quantile::default(); too_many];
    let summary = SummaryPoint { quantile_values, ..SummaryPoint::default() };
    let summary = Data::Summary(Summary { data_points: vec![summary] });
    for request in [
        explicit(too_many),
        exponential(&buckets, &None),
        exponential(&None, &buckets),
        plain(vec![metric("m", "", summary)]),
    ] {
        let report = fixture.write(&request);
        assert_eq!((report.rows, report.refused_records), (0, 1));
        assert!(refusals(&report).contains("buckets of a data point"), "{}", refusals(&report));
    }
}

/// However far from zero buckets are, there are no more bounds than doubles have quarters of exponents.
#[test]
fn buckets_beyond_all_numbers_are_few_rows() {
    let fixture = Fixture::new();
    for (scale, offset) in [(0, i32::MAX), (20, i32::MIN), (-20, -5000), (64, 0), (2, 1 << 20)] {
        let bucket_counts = vec![1; 10_000];
        let point = ExponentialPoint {
            scale,
            positive: Some(Buckets { offset, bucket_counts }),
            ..ExponentialPoint::default()
        };
        let exponential = Exponential { data_points: vec![point], aggregation_temporality: 2 };
        let report = fixture.write(&plain(vec![metric("m", "", Data::Exponential(exponential))]));
        assert_eq!(report.errors_total, 0);
        assert!(report.rows < 60, "{scale} {offset}: {}", report.rows);
    }
}

#[test]
fn attributes_without_end_are_refused_and_not_collected() {
    let fixture = Fixture::new();
    let many = vec![KeyValue::default(); 1 << 16];
    let point = NumberPoint { attributes: many.clone(), ..double(&[], 1, 1.0) };
    let report = fixture.write(&plain(vec![gauge("m", vec![point])]));
    assert_eq!((report.rows, report.refused_records), (0, 1));
    assert!(refusals(&report).contains("65536"), "{}", refusals(&report));
    let mut request = plain(vec![gauge("m", vec![double(&[], 1, 1.0)])]);
    request.resource_metrics[0].resource = Some(Resource { attributes: many });
    let report = fixture.write(&request);
    assert_eq!((report.rows, report.refused_records), (0, 1));
}

/// Fields that say another kind of data over and over are gone over once.
#[test]
fn data_of_changing_kinds_cost_no_more_than_others() {
    let fixture = Fixture::new();
    // A metric of 40 000 pairs of an empty gauge and an empty sum.
    let metric = b"\x2a\x00\x3a\x00".repeat(40_000);
    let wrap = |inner: &[u8]| {
        let mut out = vec![0x12];
        prost::encoding::encode_varint(inner.len() as u64, &mut out);
        out.extend_from_slice(inner);
        out
    };
    let mut body = wrap(&wrap(&metric));
    let begin = std::time::Instant::now();
    body = wrap(&body);
    body[0] = 0x0a;
    fixture.send(OtlpEncoding::Protobuf, &body, &[]).unwrap();
    assert!(begin.elapsed().as_secs() < 10, "{:?}", begin.elapsed());
}

#[test]
fn values_are_nested_as_deep_as_prost_lets_them_be() {
    let fixture = Fixture::new();
    for depth in 85..105_usize {
        let mut value = Vec::new();
        // An AnyValue with an ArrayValue with an AnyValue, and so on: two levels each.
        for level in 0..depth {
            let mut outer = vec![if level % 2 == 0 { 0x0a } else { 0x2a }];
            prost::encoding::encode_varint(value.len() as u64, &mut outer);
            outer.extend(value);
            value = outer;
        }
        let mut body = if depth % 2 == 0 { value } else { continue };
        for key in [0x12, 0x3a, 0x0a, 0x2a, 0x12, 0x12, 0x0a] {
            let mut outer = vec![key];
            prost::encoding::encode_varint(body.len() as u64, &mut outer);
            outer.extend(body);
            body = outer;
        }
        let ours = fixture.send(OtlpEncoding::Protobuf, &body, &[]).is_ok();
        assert_eq!(ours, Request::decode(&*body).is_ok(), "{depth}");
    }
}

#[test]
fn what_is_made_of_json_is_charged_before_it_is_made() {
    let budget = MemoryBudget::with_limits([1 << 20; 5]);
    let store = Arc::new(Recorder::default());
    let pipeline = Pipeline::new(store.clone(), budget.clone(), PipelineOptions::default());
    let counts = vec!["1"; 3 << 20].join(",");
    let body = format!(
        "{{\"resourceMetrics\":[{{\"scopeMetrics\":[{{\"metrics\":[{{\"name\":\"m\",\"histogram\":\
         {{\"dataPoints\":[{{\"bucketCounts\":[{counts}]}}]}}}}]}}]}}]}}"
    );
    let options = ParseOptions::new(Precision::Nanoseconds, 0);
    let request = WriteRequest { database: "d", policy: None, body: body.as_bytes(), options };
    let error = pipeline.write(&Otlp::new(OtlpEncoding::Json, None), &request).unwrap_err();
    assert_eq!(error.kind(), tsdb_core::ErrorKind::Overloaded, "{error}");
    assert_eq!(budget.used(tsdb_core::Pool::Bodies), 0, "everything is given back");
}
