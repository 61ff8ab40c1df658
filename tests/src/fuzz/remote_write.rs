//! Prometheus remote write: any bytes as one of the two messages, unpacked.

use prost::Message;
use tsdb_ingest::remote_write_messages::{
    Exemplar, Histogram, Label, MetricMetadata, Sample, TimeSeries, WriteRequest, v2,
};
use tsdb_ingest::{Error, Ingestion, RemoteWrite, RemoteWriteVersion};

use super::ingest::check;

/// `prometheus.WriteRequest`.
///
/// # Panics
/// If the body is handled wrongly, or accepted where `prost` refuses it, or the other way round.
pub fn remote_write_v1(data: &[u8]) {
    judge(RemoteWriteVersion::V1, data, WriteRequest::decode(data).is_ok());
}

/// `io.prometheus.write.v2.Request`.
///
/// # Panics
/// As [`remote_write_v1`].
pub fn remote_write_v2(data: &[u8]) {
    let is_sound = v2::Request::decode(data)
        // No schema says that the first symbol is empty.
        .is_ok_and(|request| request.symbols.first().is_none_or(String::is_empty));
    judge(RemoteWriteVersion::V2, data, is_sound);
}

fn judge(version: RemoteWriteVersion, data: &[u8], is_sound: bool) {
    let format = RemoteWrite::new(version, None);
    let is_damaged = matches!(format.parse(data), Err(Error::Damaged { .. }));
    assert_eq!(is_damaged, !is_sound, "damaged by one reader alone");
    check(&format, data, &[]);
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

/// First inputs of [`remote_write_v1`].
pub(super) fn seeds_v1() -> Vec<Vec<u8>> {
    let up = [("__name__", "up"), ("instance", "localhost:9090"), ("job", "prometheus")];
    let stale = f64::from_bits(0x7ff0_0000_0000_0002);
    let mut others = series(&[("__name__", "h"), ("le", "+Inf"), ("e", "")], &[(-0.5, i64::MAX)]);
    others.exemplars = vec![Exemplar {
        labels: vec![Label { name: "trace_id".to_owned(), value: "ä".to_owned() }],
        value: 1.0,
        timestamp: 1,
    }];
    others.histograms = vec![Histogram {
        positive_deltas: vec![1, -2],
        positive_counts: vec![1.5],
        sum: 3.0,
        ..Histogram::default()
    }];
    let metadata = vec![MetricMetadata {
        r#type: 1,
        metric_family_name: "up".to_owned(),
        help: "what it means".to_owned(),
        unit: "seconds".to_owned(),
    }];
    let twice = series(&[("a", "1"), ("__name__", "m"), ("a", "2")], &[(1.0, 1)]);
    let requests = [
        vec![series(&up, &[(1.0, 1_700_000_000_000)]), series(&up, &[(stale, 1_700_000_015_000)])],
        vec![series(&up, &[(0.0, 0), (1e300, -1), (f64::INFINITY, 2)]), others],
        vec![series(&[("job", "x")], &[(1.0, 1)]), twice],
    ];
    let all = requests.map(|timeseries| WriteRequest { timeseries, metadata: metadata.clone() });
    all.iter().map(Message::encode_to_vec).collect()
}

/// First inputs of [`remote_write_v2`].
pub(super) fn seeds_v2() -> Vec<Vec<u8>> {
    let texts = ["", "__name__", "up", "job", "x", "what it means", "seconds", "ä"];
    let symbols = texts.map(str::to_owned).to_vec();
    let of = |labels_refs: &[u32], samples: &[(f64, i64)]| v2::TimeSeries {
        labels_refs: labels_refs.to_vec(),
        samples: samples
            .iter()
            .map(|(value, timestamp)| v2::Sample {
                value: *value,
                timestamp: *timestamp,
                start_timestamp: 1,
            })
            .collect(),
        metadata: Some(v2::Metadata { r#type: 2, help_ref: 5, unit_ref: 6 }),
        ..v2::TimeSeries::default()
    };
    let mut others = of(&[1, 2, 7, 4], &[]);
    others.histograms = vec![v2::Histogram { custom_values: vec![1.0], ..Default::default() }];
    others.exemplars =
        vec![v2::Exemplar { labels_refs: vec![3, 4], value: 1.0, timestamp: i64::MIN }];
    let requests = [
        vec![of(&[1, 2, 3, 4], &[(1.0, 1_700_000_000_000)]), of(&[3, 4, 1, 2], &[(2.0, 5)])],
        vec![of(&[1, 2], &[(0.5, -1), (f64::NAN, 0)]), others],
        vec![of(&[1], &[(1.0, 1)]), of(&[1, 99], &[(1.0, 1)]), of(&[1, 2, 3, 0], &[(1.0, 1)])],
    ];
    let all = requests.map(|timeseries| v2::Request { symbols: symbols.clone(), timeseries });
    all.iter().map(Message::encode_to_vec).collect()
}
