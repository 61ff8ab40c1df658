//! The formats of writes: any bytes as the body of a request.

use std::sync::Arc;

use tsdb_core::catalogue::PolicySpec;
use tsdb_core::storage::{append_points, conformance::dump};
use tsdb_core::{Append, CatalogueChange, ErrorKind, MemoryBudget, MemoryStore, Pool, Select};
use tsdb_ingest::{
    Csv, Error, Format, Json, LineProtocol, ParseOptions, Pipeline, PipelineOptions, Precision,
    PrometheusText, WriteReport, WriteRequest, limits,
};

/// Line protocol.
///
/// # Panics
/// If the body is handled wrongly.
pub fn line_protocol(data: &[u8]) {
    check(&LineProtocol::default(), data, &[]);
}

/// JSON: an array, lines, or columns.
///
/// # Panics
/// If the body is handled wrongly.
pub fn json_write(data: &[u8]) {
    check(&Json::default(), data, &[]);
}

/// CSV, by its header alone, and by what a request says of it.
///
/// # Panics
/// If the body is handled wrongly.
pub fn csv_write(data: &[u8]) {
    check(&Csv::default(), data, &[]);
    let parameters = [("delimiter", "tab"), ("measurement", "m"), ("tags", "host,dc")];
    check(&Csv::default(), data, &parameters);
}

/// The text format of Prometheus.
///
/// # Panics
/// If the body is handled wrongly.
pub fn prometheus_text(data: &[u8]) {
    check(&PrometheusText::default(), data, &[]);
}

/// Sends a body to an empty store. What the pipeline stores and what library users get from
/// [`tsdb_ingest::Ingestion::parse`] must be the same.
///
/// # Panics
/// If memory is kept, a refusal names no place in the body, what was accepted cannot be read, or is not what
/// was parsed.
pub(super) fn check(format: &dyn Format, body: &[u8], parameters: &[(&str, &str)]) {
    let (store, budget) = (Arc::new(MemoryStore::new()), MemoryBudget::default());
    let options = PipelineOptions { cache_bytes: 1 << 20, ..PipelineOptions::default() };
    let pipeline = Pipeline::new(Arc::clone(&store) as Arc<dyn Append>, budget.clone(), options);
    let options = ParseOptions { parameters, ..ParseOptions::new(Precision::Nanoseconds, 0) };
    let request = WriteRequest { database: "d", policy: None, body, options };
    let outcome = pipeline.write(format, &request);
    assert_eq!(budget.used(Pool::Bodies), 0, "memory is kept");
    let mut report = match outcome {
        Ok(report) => report,
        Err(error) => {
            assert_eq!(
                error.kind(),
                ErrorKind::Invalid,
                "the body is not said to be the cause: {error}"
            );
            return;
        }
    };
    if let Some(ticket) = report.ticket.take() {
        ticket.wait().expect("what was accepted is stored");
    }
    check_refusals(&report, body);
    let stored = shown(&store);
    let other = empty_store();
    assert_eq!(stored != shown(&other), report.samples > 0, "rows that cannot be read");
    if !parameters.is_empty() {
        return;
    }
    match format.parse(body) {
        Ok(points) => {
            assert_eq!(report.errors_total, 0, "refused by the pipeline alone");
            assert_eq!(points.len() as u64, report.samples, "another number of values");
            let namespace = other.catalogue().namespace("d", None).expect("it was created").id;
            append_points(&other, namespace, None, &points)
                .and_then(|ticket| ticket.wait())
                .expect("what was parsed is stored");
            assert_eq!(shown(&other), stored, "points and rows are not the same");
        }
        Err(error) => {
            assert!(report.errors_total > 0, "refused as points alone: {error}");
            assert!(matches!(error, Error::Line { .. }), "no line is named: {error}");
        }
    }
}

/// Each refusal names a place inside of the request and says something.
fn check_refusals(report: &WriteReport, body: &[u8]) {
    let total = usize::try_from(report.errors_total).expect("as many as lines");
    assert_eq!(report.errors.len(), total.min(limits::ERRORS_MAX));
    assert!(report.errors.is_sorted_by_key(|error| error.line), "refusals out of order");
    for error in &report.errors {
        assert!(error.line >= 1 && error.line <= body.len() as u64 + 1, "{error:?}");
        assert!(error.column >= 1 && error.column <= body.len() + 1, "{error:?}");
        // Bytes that are no text are shown as four characters each, and dots say that there was more.
        assert!(error.text.len() <= 4 * limits::ERROR_TEXT_BYTES_MAX + 3, "{error:?}");
        assert!(!error.explained().is_empty() && !error.text.contains('\n'), "{error:?}");
    }
}

/// A store with a database and nothing in it.
fn empty_store() -> MemoryStore {
    let store = MemoryStore::new();
    let change =
        CatalogueChange::CreateDatabase { name: "d".into(), policy: PolicySpec::default() };
    store.change_catalogue(&change).and_then(|ticket| ticket.wait()).expect("a new name");
    store
}

/// All that a store shows, as text.
fn shown(store: &MemoryStore) -> String {
    let snapshot = store.snapshot().expect("an open store has snapshots");
    match dump(&*snapshot, &store.catalogue()) {
        Ok(text) => text,
        Err(violation) => panic!("what was stored cannot be read: {violation}"),
    }
}
