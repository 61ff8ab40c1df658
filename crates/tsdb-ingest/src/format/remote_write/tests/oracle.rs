//! Any message that `prost` writes is read as `prost` reads it, and any bytes are accepted or refused as by
//! `prost`, with one difference: 2.0 wants the first symbol to be empty, which no schema says.

use proptest::prelude::*;
use tsdb_core::{SeriesKey, TagCharset, time};

use super::super::messages::{BucketSpan, Count, ZeroCount};
use super::*;

/// What a request has to become.
#[derive(Debug, Default, PartialEq)]
struct Expected {
    rows: Vec<String>,
    refused: u64,
    brought: Brought,
    /// What is said about metrics, the last word for each.
    said: std::collections::BTreeMap<String, (MetricType, String, String)>,
}

impl Expected {
    fn add(
        &mut self,
        labels: &[(&str, &str)],
        are_broken: bool,
        samples: impl Iterator<Item = (f64, i64)>,
        [histograms, exemplars, refused_exemplars]: [usize; 3],
    ) -> bool {
        let samples: Vec<_> = samples.collect();
        self.brought.samples += samples.len() as u64;
        self.brought.histograms += histograms as u64;
        self.brought.exemplars += exemplars as u64;
        let Some(key) = (!are_broken).then(|| key(labels)).flatten() else {
            self.refused += 1;
            return false;
        };
        for (value, time_ms) in samples {
            let ns = time_ms.checked_mul(1_000_000).filter(|ns| time::check_time(*ns).is_ok());
            match ns {
                Some(ns) => self.rows.push(format!("{key} value={value:?} {ns}")),
                None => self.refused += 1,
            }
        }
        self.refused += u64::from(histograms > 0) + u64::from(refused_exemplars > 0);
        true
    }

    fn say(&mut self, metric: &str, kind: i32, help: &str, unit: &str) {
        if (1..=tsdb_core::limits::NAME_BYTES_MAX).contains(&metric.len()) {
            let kind = MetricType::of_number(u64::try_from(kind).unwrap_or(0));
            self.said.insert(metric.to_owned(), (kind, help.to_owned(), unit.to_owned()));
        }
    }
}

fn key(labels: &[(&str, &str)]) -> Option<SeriesKey> {
    let names: std::collections::BTreeSet<_> = labels.iter().map(|(name, _)| *name).collect();
    let is_bad = |name: &str| matches!(name, "" | "time" | "__field__");
    let kept: Vec<_> = labels.iter().filter(|(_, value)| !value.is_empty()).copied().collect();
    if names.len() < labels.len()
        || labels.len() > crate::limits::LABELS_MAX
        || names.contains("")
        || kept.iter().any(|(name, _)| is_bad(name))
    {
        return None;
    }
    let metric = kept.iter().find(|(name, _)| *name == "__name__")?.1;
    let mut tags: Vec<_> = kept.into_iter().filter(|(name, _)| *name != "__name__").collect();
    SeriesKey::new(metric, &mut tags, TagCharset::Utf8).ok()
}

fn expected_1(request: &Request1) -> Expected {
    let mut expected = Expected::default();
    for series in &request.timeseries {
        let labels: Vec<_> =
            series.labels.iter().map(|l| (l.name.as_str(), l.value.as_str())).collect();
        let samples = series.samples.iter().map(|s| (s.value, s.timestamp));
        let others = [series.histograms.len(), series.exemplars.len(), 0];
        expected.add(&labels, false, samples, others);
    }
    for m in &request.metadata {
        expected.say(&m.metric_family_name, m.r#type, &m.help, &m.unit);
    }
    expected
}

/// `None` where a request is refused that `prost` reads.
fn expected_2(request: &v2::Request) -> Option<Expected> {
    if request.symbols.first().is_some_and(|first| !first.is_empty()) {
        return None;
    }
    let text = |number: u32| request.symbols.get(number as usize).map(String::as_str);
    let mut expected = Expected::default();
    for series in &request.timeseries {
        let labels: Option<Vec<_>> = series
            .labels_refs
            .chunks(2)
            .map(|pair| Some((text(pair[0])?, text(*pair.get(1)?)?)))
            .collect();
        let samples = series.samples.iter().map(|s| (s.value, s.timestamp));
        let exemplars = series.exemplars.len();
        let others = [series.histograms.len(), exemplars, exemplars];
        let labels_are_broken = labels.is_none();
        let labels = labels.unwrap_or_default();
        let is_taken = expected.add(&labels, labels_are_broken, samples, others);
        let metric = labels.iter().find(|(name, _)| *name == "__name__").map(|(_, value)| *value);
        if let (true, Some(metric), Some(m)) = (is_taken, metric, &series.metadata) {
            let kind = MetricType::of_number(u64::try_from(m.r#type).unwrap_or(0));
            let of = |number| text(number).unwrap_or_default();
            expected.say(kind.family(metric), m.r#type, of(m.help_ref), of(m.unit_ref));
        }
    }
    Some(expected)
}

/// Sends `body`, and compares with the oracle.
fn check(fixture: &Fixture, version: RemoteWriteVersion, body: &[u8]) {
    let expected = match version {
        RemoteWriteVersion::V1 => Request1::decode(body).ok().map(|m| expected_1(&m)),
        RemoteWriteVersion::V2 => v2::Request::decode(body).ok().and_then(|m| expected_2(&m)),
    };
    let outcome = fixture.write(version, body);
    assert_eq!(fixture.budget.used(tsdb_core::Pool::Bodies), 0, "memory is kept");
    let Some(expected) = expected else {
        assert!(matches!(outcome, Err(Error::Damaged { .. })), "accepted: {outcome:?}");
        return;
    };
    let report = outcome.unwrap();
    let rows = fixture.store.take_rows();
    assert_eq!(report.samples, rows.len() as u64);
    let got = Expected {
        rows,
        refused: report.errors_total,
        brought: report.brought,
        said: expected.said.clone(),
    };
    assert_eq!(got, expected);
    let state = fixture.store.state();
    let namespace = state.catalogue.namespace("d", None).unwrap().id;
    for (metric, (kind, help, unit)) in &expected.said {
        let known = fixture.metadata.list(namespace, Some(metric));
        let found: Vec<_> = known.iter().map(|m| (m.kind, &*m.help, &*m.unit)).collect();
        assert_eq!(found, [(*kind, help.as_str(), unit.as_str())], "{metric}");
    }
}

fn text() -> impl Strategy<Value = String> {
    proptest::sample::select(vec!["", "a", "b", "__name__", "up", "time", "__field__", "ä", "x\0"])
        .prop_map(str::to_owned)
}

fn time_ms() -> impl Strategy<Value = i64> {
    prop_oneof![8 => -10..10_i64, 2 => 1_700_000_000_000..1_700_000_100_000_i64, 1 => any::<i64>()]
}

fn value() -> impl Strategy<Value = f64> {
    prop_oneof![4 => any::<f64>(), 1 => Just(f64::from_bits(0x7ff0_0000_0000_0002)), 1 => Just(0.0)]
}

fn labels() -> impl Strategy<Value = Vec<Label>> {
    let label = (text(), text()).prop_map(|(name, value)| Label { name, value });
    (proptest::collection::vec(label, 0..4), 0..4).prop_map(|(mut labels, named)| {
        if named > 0 {
            labels.insert(0, super::label("__name__", "up"));
        }
        labels
    })
}

fn list<T: std::fmt::Debug>(item: impl Strategy<Value = T>) -> impl Strategy<Value = Vec<T>> {
    proptest::collection::vec(item, 0..3)
}

fn histogram() -> impl Strategy<Value = Histogram> {
    let count = prop_oneof![any::<u64>().prop_map(Count::Int), any::<f64>().prop_map(Count::Float)];
    let zero =
        prop_oneof![any::<u64>().prop_map(ZeroCount::Int), any::<f64>().prop_map(ZeroCount::Float)];
    let span = || (any::<i32>(), any::<u32>());
    let span = || list(span().prop_map(|(offset, length)| BucketSpan { offset, length }));
    (
        proptest::option::of(count),
        proptest::option::of(zero),
        (any::<f64>(), any::<i32>(), any::<f64>(), any::<i64>()),
        (span(), list(any::<i64>()), list(any::<f64>())),
        (span(), list(any::<i64>()), list(any::<f64>())),
    )
        .prop_map(|(count, zero_count, numbers, negative, positive)| Histogram {
            count,
            sum: numbers.0,
            schema: numbers.1,
            zero_threshold: numbers.2,
            zero_count,
            negative_spans: negative.0,
            negative_deltas: negative.1,
            negative_counts: negative.2.clone(),
            positive_spans: positive.0,
            positive_deltas: positive.1,
            positive_counts: positive.2,
            reset_hint: numbers.1,
            timestamp: numbers.3,
            custom_values: negative.2,
        })
}

fn request_1() -> impl Strategy<Value = Request1> {
    let sample = (value(), time_ms()).prop_map(|(value, timestamp)| Sample { value, timestamp });
    let exemplar = (labels(), value(), time_ms()).prop_map(|(labels, value, timestamp)| Exemplar {
        labels,
        value,
        timestamp,
    });
    let series = (labels(), list(sample), list(exemplar), list(histogram())).prop_map(
        |(labels, samples, exemplars, histograms)| TimeSeries {
            labels,
            samples,
            exemplars,
            histograms,
        },
    );
    let metadata = (-1..9, text(), text(), text()).prop_map(|(kind, name, help, unit)| {
        MetricMetadata { r#type: kind, metric_family_name: name, help, unit }
    });
    (proptest::collection::vec(series, 0..6), list(metadata))
        .prop_map(|(timeseries, metadata)| Request1 { timeseries, metadata })
}

fn request_2() -> impl Strategy<Value = v2::Request> {
    let sample = (value(), time_ms(), any::<i64>()).prop_map(|(value, timestamp, start)| {
        v2::Sample { value, timestamp, start_timestamp: start }
    });
    let refs = || proptest::collection::vec(0..12_u32, 0..8);
    let exemplar = (refs(), value(), time_ms())
        .prop_map(|(labels_refs, value, timestamp)| v2::Exemplar { labels_refs, value, timestamp });
    let metadata = (-1..9, 0..12_u32, 0..12_u32)
        .prop_map(|(kind, help_ref, unit_ref)| v2::Metadata { r#type: kind, help_ref, unit_ref });
    let histogram = histogram().prop_map(|h| v2::Histogram {
        count: h.count,
        sum: h.sum,
        negative_spans: h.negative_spans,
        positive_deltas: h.positive_deltas,
        custom_values: h.custom_values,
        start_timestamp: h.timestamp,
        ..Default::default()
    });
    let series = (
        refs(),
        0..4,
        list(sample),
        list(exemplar),
        list(histogram),
        proptest::option::of(metadata),
    )
        .prop_map(|(mut labels_refs, named, samples, exemplars, histograms, metadata)| {
            if named > 0 {
                labels_refs.splice(0..0, [1, 2]);
            }
            v2::TimeSeries { labels_refs, samples, histograms, exemplars, metadata }
        });
    let symbols = proptest::collection::vec(text(), 0..8);
    (symbols, proptest::collection::vec(series, 0..6)).prop_map(|(mut symbols, timeseries)| {
        symbols.splice(0..0, ["", "__name__", "up"].map(str::to_owned));
        v2::Request { symbols, timeseries }
    })
}

/// A change of bytes: at a place, so many are replaced by these.
fn changes() -> impl Strategy<Value = Vec<(prop::sample::Index, usize, Vec<u8>)>> {
    let byte = prop_oneof![
        2 => any::<u8>(),
        1 => proptest::sample::select(vec![0, 1, 0x0a, 0x0b, 0x0c, 0x12, 0x22, 0x80, 0xff, 0x7f]),
    ];
    let bytes = proptest::collection::vec(byte, 0..3);
    proptest::collection::vec((any::<prop::sample::Index>(), 0..3_usize, bytes), 0..4)
}

fn changed(mut body: Vec<u8>, changes: &[(prop::sample::Index, usize, Vec<u8>)]) -> Vec<u8> {
    for (place, count, bytes) in changes {
        let at = place.index(body.len() + 1);
        let end = (at + count).min(body.len());
        body.splice(at..end, bytes.iter().copied());
    }
    body
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn messages_of_1_are_read_as_by_prost(
        requests in proptest::collection::vec((request_1(), changes()), 1..4),
    ) {
        let fixture = Fixture::new();
        for (request, changes) in requests {
            let body = request.encode_to_vec();
            // Twice, so that the second time labels are recognised by their bytes.
            check(&fixture, RemoteWriteVersion::V1, &body);
            check(&fixture, RemoteWriteVersion::V1, &body);
            check(&fixture, RemoteWriteVersion::V1, &changed(body, &changes));
        }
    }

    #[test]
    fn messages_of_2_are_read_as_by_prost(
        requests in proptest::collection::vec((request_2(), changes()), 1..4),
    ) {
        let fixture = Fixture::new();
        for (request, changes) in requests {
            let body = request.encode_to_vec();
            check(&fixture, RemoteWriteVersion::V2, &body);
            check(&fixture, RemoteWriteVersion::V2, &body);
            check(&fixture, RemoteWriteVersion::V2, &changed(body, &changes));
        }
    }

    #[test]
    fn any_bytes_are_judged_as_by_prost(body in proptest::collection::vec(any::<u8>(), 0..40)) {
        let fixture = Fixture::new();
        for version in [RemoteWriteVersion::V1, RemoteWriteVersion::V2] {
            check(&fixture, version, &body);
        }
    }
}
