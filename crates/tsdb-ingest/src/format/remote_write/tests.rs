//! Remote write against `prost` as the oracle, and what the oracle cannot say: bits of values, work and memory.

mod hostile;
mod oracle;

use std::sync::Arc;

use prost::Message;
use tsdb_core::{MemoryBudget, NamespaceId};

use super::messages::{
    Exemplar, Histogram, Label, MetricMetadata, Sample, TimeSeries, WriteRequest as Request1, v2,
};
use super::*;
use crate::testing::Recorder;
use crate::{Brought, Pipeline, PipelineOptions, Reason, Validation, WriteReport, WriteRequest};

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

    fn write(&self, version: RemoteWriteVersion, body: &[u8]) -> Result<WriteReport> {
        let format = RemoteWrite::new(version, Some(Arc::clone(&self.metadata)));
        let options = ParseOptions::new(Precision::Milliseconds, 0);
        let request = WriteRequest { database: "d", policy: None, body, options };
        self.pipeline.write(&format, &request)
    }

    fn write_1(&self, request: &Request1) -> WriteReport {
        self.write(RemoteWriteVersion::V1, &request.encode_to_vec()).unwrap()
    }

    fn write_2(&self, request: &v2::Request) -> WriteReport {
        self.write(RemoteWriteVersion::V2, &request.encode_to_vec()).unwrap()
    }
}

fn label(name: &str, value: &str) -> Label {
    Label { name: name.to_owned(), value: value.to_owned() }
}

fn series(labels: &[(&str, &str)], samples: &[(f64, i64)]) -> TimeSeries {
    TimeSeries {
        labels: labels.iter().map(|(name, value)| label(name, value)).collect(),
        samples: samples.iter().map(|(v, t)| Sample { value: *v, timestamp: *t }).collect(),
        ..TimeSeries::default()
    }
}

fn request(timeseries: Vec<TimeSeries>) -> Request1 {
    Request1 { timeseries, metadata: Vec::new() }
}

fn sample_2(value: f64, timestamp: i64) -> v2::Sample {
    v2::Sample { value, timestamp, start_timestamp: 0 }
}

/// Texts of a request of 2.0.
fn symbols(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

const UP: &[(&str, &str)] = &[("__name__", "up"), ("job", "x")];

#[test]
fn samples_become_rows_of_the_field_value() {
    let fixture = Fixture::new();
    let first = request(vec![
        series(UP, &[(1.0, 1), (0.5, 2)]),
        series(&[("__name__", "down"), ("e", ""), ("z", "1"), ("a", "ä")], &[(-0.5, -3)]),
        series(&[("job", "x"), ("__name__", "up")], &[(2.0, 3)]),
    ]);
    let expected = [
        "up,job=x value=1.0 1000000",
        "up,job=x value=0.5 2000000",
        "down,a=ä,z=1 value=-0.5 -3000000",
        "up,job=x value=2.0 3000000",
    ];
    for _ in 0..3 {
        let report = fixture.write_1(&first);
        assert_eq!((report.errors_total, report.samples), (0, 4));
        assert_eq!(fixture.store.take_rows(), expected);
    }
    assert_eq!(fixture.store.state().resolve_calls, 1, "all of it is known");
    let second = v2::Request {
        symbols: symbols(&["", "__name__", "up", "job", "x"]),
        timeseries: vec![v2::TimeSeries {
            labels_refs: vec![1, 2, 3, 4],
            samples: vec![sample_2(7.0, 5)],
            ..Default::default()
        }],
    };
    for _ in 0..2 {
        assert_eq!(fixture.write_2(&second).samples, 1);
        assert_eq!(fixture.store.take_rows(), ["up,job=x value=7.0 5000000"]);
    }
    assert_eq!(fixture.store.state().resolve_calls, 2, "by its texts it is known afterwards");
}

#[test]
fn every_bit_of_a_value_is_kept() {
    const STALE: u64 = 0x7ff0_0000_0000_0002;
    let bits = [STALE, 0x7ff8_0000_0000_0001, f64::INFINITY.to_bits(), (-0.0_f64).to_bits(), 1];
    let store = Arc::new(Recorder::default());
    let overdraft = crate::rows::Overdraft::new(0);
    let mut rows = Rows::new(Some(store), &MemoryBudget::default(), overdraft, 1 << 20, 1);
    for version in [RemoteWriteVersion::V1, RemoteWriteVersion::V2] {
        let mut body = Vec::new();
        for bits in bits {
            // Written by hand: `prost` leaves out a value that equals 0.
            let mut inner = vec![0x12, 11, 0x09];
            inner.extend(bits.to_le_bytes());
            inner.extend([0x10, 1]);
            let (symbols, labels, key) = match version {
                RemoteWriteVersion::V1 => {
                    (&b""[..], &b"\x0a\x0d\x0a\x08__name__\x12\x01m"[..], 0x0a)
                }
                RemoteWriteVersion::V2 => {
                    (&b"\x22\x00\x22\x08__name__\x22\x01m"[..], &b"\x0a\x02\x01\x02"[..], 0x2a)
                }
            };
            if body.is_empty() {
                body.extend_from_slice(symbols);
            }
            body.extend([key, u8::try_from(labels.len() + inner.len()).unwrap()]);
            body.extend_from_slice(labels);
            body.extend(inner);
        }
        rows.begin(NamespaceId(0), Validation::default());
        let options = ParseOptions::new(Precision::Milliseconds, 0);
        RemoteWrite::new(version, None).parse_rows(&body, &options, &mut rows).unwrap();
        rows.resolve(&body).unwrap();
        let stored: Vec<u64> =
            rows.batch().rows().flat_map(|row| row.values.iter().map(|v| v.to_bits())).collect();
        assert_eq!(stored, bits, "{version:?}");
        rows.end();
    }
}

#[test]
fn what_cannot_be_stored_is_refused_and_costs_nothing_else() {
    let fixture = Fixture::new();
    let mut both = series(UP, &[(1.0, 1), (2.0, i64::MAX), (3.0, 3)]);
    both.histograms = vec![Histogram::default(); 2];
    both.exemplars = vec![Exemplar::default()];
    let body = request(vec![
        series(&[("job", "x")], &[(1.0, 1), (2.0, 2)]),
        both,
        series(&[("__name__", "up"), ("job", "y"), ("job", "z")], &[(1.0, 1)]),
        series(&[("__name__", "up"), ("", "y")], &[(1.0, 1)]),
    ]);
    let report = fixture.write_1(&body);
    assert_eq!(
        fixture.store.take_rows(),
        ["up,job=x value=1.0 1000000", "up,job=x value=3.0 3000000"]
    );
    assert_eq!(report.brought, Brought { samples: 7, histograms: 2, exemplars: 1, points: 0 });
    assert_eq!(report.samples, 2);
    let refused: Vec<_> =
        report.errors.iter().map(|e| (e.line, e.text.as_str(), e.reason.clone())).collect();
    let at_end = format!("up{{job=\"x\"}} {}", i64::MAX);
    assert_eq!(
        refused,
        [
            (1, "{job=\"x\"}", Reason::MissingMetricName),
            (2, at_end.as_str(), Reason::TimeOutsideRange),
            (2, "up{job=\"x\"}", Reason::NativeHistograms { count: 2 }),
            (3, "up{job=\"y\",job=\"z\"}", Reason::DuplicateTags { key: "job".to_owned() }),
            (4, "up{=\"y\"}", Reason::EmptyLabelName),
        ]
    );
}

#[test]
fn references_that_are_no_labels_are_refused() {
    let fixture = Fixture::new();
    let of = |labels_refs: &[u32]| v2::TimeSeries {
        labels_refs: labels_refs.to_vec(),
        samples: vec![sample_2(1.0, 1)],
        exemplars: vec![v2::Exemplar::default()],
        ..Default::default()
    };
    let long = "x".repeat(5000);
    let body = v2::Request {
        symbols: symbols(&["", "__name__", "up", &long]),
        timeseries: vec![
            of(&[1, 2]),
            of(&[1]),
            of(&[1, 4]),
            of(&[1, u32::MAX]),
            of(&[]),
            of(&[1, 2, 2, 3]),
            of(&[1; 300]),
        ],
    };
    let report = fixture.write_2(&body);
    assert_eq!(fixture.store.take_rows(), ["up value=1.0 1000000"]);
    let reasons: Vec<_> = report.errors.iter().map(|e| (e.line, e.reason.clone())).collect();
    let outside = |number| Reason::NoSuchSymbol { number, symbols: 4 };
    assert_eq!(
        reasons,
        [
            (1, Reason::Exemplars { count: 1 }),
            (2, Reason::OddReferences { count: 1 }),
            (3, outside(4)),
            (4, outside(u32::MAX)),
            (5, Reason::MissingMetricName),
            (6, Reason::LongLabel { bytes: 5000 }),
            (7, labels::too_many(150)),
        ]
    );
    for error in &report.errors {
        assert!(!error.explained().is_empty());
    }
    let body = v2::Request { symbols: symbols(&["up"]), timeseries: Vec::new() };
    let error = fixture.write(RemoteWriteVersion::V2, &body.encode_to_vec()).unwrap_err();
    assert!(error.to_string().contains("a first symbol that is not empty"), "{error}");
}

#[test]
fn a_store_that_refuses_a_series_is_named_by_its_number() {
    let fixture = Fixture::new();
    fixture.store.state().refused_measurement = Some("no");
    let report = fixture.write_1(&request(vec![
        series(UP, &[(1.0, 1)]),
        series(&[("__name__", "no")], &[(1.0, 1), (2.0, 2)]),
        series(UP, &[(3.0, 3)]),
    ]));
    assert_eq!((report.samples, report.errors_total), (2, 2));
    let lines: Vec<_> = report.errors.iter().map(|e| (e.line, e.text.as_str())).collect();
    assert_eq!(lines, [(2, ""), (2, "")], "no bytes of the message are shown");
}

#[test]
fn what_is_said_about_metrics_is_kept() {
    let fixture = Fixture::new();
    let about = |name: &str, kind: i32, help: &str| MetricMetadata {
        r#type: kind,
        metric_family_name: name.to_owned(),
        help: help.to_owned(),
        unit: String::new(),
    };
    let metadata = vec![about("b", 1, "old"), about("a", 2, "h"), about("b", 3, "new")];
    let report = fixture.write_1(&Request1 { metadata, timeseries: Vec::new() });
    assert!(report.ticket.is_none());
    let of = |metric: u32, kind: i32| v2::TimeSeries {
        labels_refs: vec![1, metric],
        samples: vec![sample_2(1.0, 1)],
        metadata: Some(v2::Metadata { r#type: kind, help_ref: 4, unit_ref: 9 }),
        ..Default::default()
    };
    let texts = symbols(&["", "__name__", "h_bucket", "c", "help"]);
    fixture.write_2(&v2::Request { symbols: texts, timeseries: vec![of(2, 3), of(3, 99)] });
    let namespace = fixture.store.state().catalogue.namespace("d", None).unwrap().id;
    let known: Vec<String> = fixture
        .metadata
        .list(namespace, None)
        .into_iter()
        .map(|m| format!("{} {} {:?} {:?}", m.metric, m.kind.name(), m.help, m.unit))
        .collect();
    let expected = [
        "a gauge \"h\" \"\"",
        "b histogram \"new\" \"\"",
        "c unknown \"help\" \"\"",
        "h histogram \"help\" \"\"",
    ];
    assert_eq!(known, expected);
}

#[test]
fn points_are_those_of_the_rows() {
    let format = RemoteWrite::new(RemoteWriteVersion::V1, None);
    let body = request(vec![series(UP, &[(1.0, 1), (2.0, 2)])]).encode_to_vec();
    let points = format.parse(&body).unwrap();
    let shown: Vec<_> = points.iter().map(|p| (p.measurement(), p.field(), p.value)).collect();
    assert_eq!(shown, [(Some("up"), "value", 1.0), (Some("up"), "value", 2.0)]);
    let error = format.parse(b"\x0a\x05").unwrap_err();
    assert_eq!(
        error.to_string(),
        "the body is no prometheus.WriteRequest: a length beyond the end at byte 1 of what it unpacks to; \
         send it anew"
    );
}
