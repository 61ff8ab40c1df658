//! Requests that ask for much with few bytes: work and memory stay linear in what was sent.

use super::*;
use crate::limits;

/// A series of one sample with the labels `references`.
fn of(references: &[u32]) -> v2::TimeSeries {
    v2::TimeSeries {
        labels_refs: references.to_vec(),
        samples: vec![sample_2(1.0, 1)],
        ..Default::default()
    }
}

#[test]
fn a_long_text_is_not_named_over_and_over() {
    let fixture = Fixture::new();
    let long = "x".repeat(limits::LABEL_BYTES_MAX);
    let mut texts = symbols(&["", "__name__", "up", &long]);
    texts.extend((0..60).map(|n| format!("l{n}")));
    let mut references = vec![1, 2];
    references.extend((0..60).flat_map(|n| [4 + n, 3]));
    // Each series has 240 KiB of labels behind 130 bytes.
    let timeseries = vec![of(&references); 1000];
    let body = v2::Request { symbols: texts.clone(), timeseries }.encode_to_vec();
    let error = fixture.write(RemoteWriteVersion::V2, &body).unwrap_err();
    assert_eq!(error.kind(), tsdb_core::ErrorKind::Invalid);
    assert!(error.to_string().contains("shorten the labels"), "{error}");
    assert!(fixture.store.take_rows().is_empty(), "nothing of it is stored");
    let few = v2::Request { symbols: texts, timeseries: vec![of(&references); 4] };
    assert_eq!(fixture.write_2(&few).samples, 4);
}

#[test]
fn tables_and_rows_are_charged_before_they_are_made() {
    // The bodies are of the size that a server takes; the pool is small beside them.
    let budget = MemoryBudget::with_limits([1 << 20; 5]);
    let store = Arc::new(Recorder::default());
    let pipeline = Pipeline::new(store.clone(), budget.clone(), PipelineOptions::default());
    let empty_symbols = b"\x22\x00".repeat(4 << 20);
    let empty_samples =
        request(vec![TimeSeries { samples: vec![Sample::default(); 1 << 20], ..series(UP, &[]) }])
            .encode_to_vec();
    for (version, body) in
        [(RemoteWriteVersion::V2, empty_symbols), (RemoteWriteVersion::V1, empty_samples)]
    {
        let format = RemoteWrite::new(version, None);
        let options = ParseOptions::new(Precision::Milliseconds, 0);
        let request = WriteRequest { database: "d", policy: None, body: &body, options };
        let error = pipeline.write(&format, &request).unwrap_err();
        assert_eq!(error.kind(), tsdb_core::ErrorKind::Overloaded, "{error}");
        assert_eq!(budget.used(tsdb_core::Pool::Bodies), 0, "everything is given back");
        assert!(store.take_rows().is_empty());
    }
}

#[test]
fn many_samples_of_a_new_series_are_resolved_in_portions() {
    let fixture = Fixture::new();
    let samples: Vec<_> = (0..50_000).map(|n| (1.0, n)).collect();
    let body = request(vec![series(UP, &samples), series(&[("__name__", "m")], &samples)]);
    let report = fixture.write_1(&body);
    assert_eq!((report.samples, report.errors_total), (100_000, 0));
    let rows = fixture.store.take_rows();
    assert_eq!(rows.len(), 100_000);
    assert_eq!(rows.first().unwrap(), "up,job=x value=1.0 0");
    assert_eq!(rows.get(49_999).unwrap(), "up,job=x value=1.0 49999000000");
    assert_eq!(rows.last().unwrap(), "m value=1.0 49999000000");
    assert!(fixture.store.state().resolve_calls > 1, "not all at once");
}

#[test]
fn labels_without_end_are_refused_and_not_collected() {
    let fixture = Fixture::new();
    let many = TimeSeries { labels: vec![Label::default(); 1 << 18], ..series(&[], &[(1.0, 1)]) };
    let mut apart = series(UP, &[(1.0, 1)]).encode_to_vec();
    apart.extend(many.encode_to_vec());
    let report = fixture.write_1(&request(vec![many]));
    let reasons: Vec<_> = report.errors.iter().map(|e| e.reason.clone()).collect();
    assert_eq!(reasons, [labels::too_many(1 << 18)]);
    let mut body = vec![0x0a];
    prost::encoding::encode_varint(apart.len() as u64, &mut body);
    body.extend(apart);
    let report = fixture.write(RemoteWriteVersion::V1, &body).unwrap();
    let reasons: Vec<_> = report.errors.iter().map(|e| e.reason.clone()).collect();
    assert_eq!(reasons, [labels::too_many((1 << 18) + 2)]);
    assert_eq!(report.samples, 0);
}

#[test]
fn groups_are_as_deep_as_prost_lets_them_be() {
    for depth in 90..110 {
        let mut body = vec![0x3b; depth];
        body.extend(vec![0x3c; depth]);
        let ours = Fixture::new().write(RemoteWriteVersion::V1, &body).is_ok();
        assert_eq!(ours, Request1::decode(body.as_slice()).is_ok(), "{depth}");
    }
}
