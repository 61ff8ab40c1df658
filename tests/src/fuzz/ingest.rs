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
    check_pieces(&LineProtocol::default(), data);
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
    check_pieces(&Csv::default(), data);
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

/// Sends a body whole and in pieces, as a stream of it is stored. The same must become of it.
///
/// # Panics
/// If something else does.
fn check_pieces(format: &dyn Format, body: &[u8]) {
    let options = ParseOptions::new(Precision::Nanoseconds, 0);
    // Where a name that is not UTF-8 stands before a text, the parser and the cuts may see other ends of its line.
    let pieces = format.pieces(body, &options).expect("no parameter is wrong");
    let Some(pieces) = pieces.filter(|_| std::str::from_utf8(body).is_ok()) else { return };
    let header_bytes = pieces.header_bytes(body);
    let header = body.get(..header_bytes).unwrap_or_default();
    let whole = write_all(format, &[body.to_vec()]);
    // A header that cannot be used ends a stream; each piece would say so again.
    let header_lines = header.iter().filter(|byte| **byte == b'\n').count() as u64;
    if whole.first_refused <= header_lines {
        return;
    }
    for parts in [2, 5] {
        let step = body.len() / parts + 1;
        let (mut at, mut reach, mut cut) = (header_bytes, step, Vec::new());
        while at < body.len() {
            let rest = body.get(at..).unwrap_or_default();
            let end = match rest.get(..reach) {
                Some(begin) => pieces.last_end(begin),
                None => rest.len(),
            };
            if end == 0 {
                // A record that is longer than a piece needs more of the body.
                reach += step;
                continue;
            }
            cut.push([header, rest.get(..end).unwrap_or_default()].concat());
            (at, reach) = (at + end, step);
        }
        if cut.is_empty() {
            cut.push(header.to_vec());
        }
        let parts = write_all(format, &cut);
        assert!(parts.shown == whole.shown, "other rows in {} pieces", cut.len());
        assert_eq!(parts.refused, whole.refused, "other refusals in {} pieces", cut.len());
    }
}

/// What became of some bodies.
struct Written {
    /// What a store shows.
    shown: String,
    /// How many lines were refused, and the number of the first in its body.
    refused: u64,
    first_refused: u64,
}

fn write_all(format: &dyn Format, bodies: &[Vec<u8>]) -> Written {
    let store = Arc::new(empty_store());
    let options = PipelineOptions { cache_bytes: 1 << 20, ..PipelineOptions::default() };
    let budget = MemoryBudget::default();
    let pipeline = Pipeline::new(Arc::clone(&store) as Arc<dyn Append>, budget, options);
    let (mut refused, mut first_refused) = (0, u64::MAX);
    for body in bodies {
        let options = ParseOptions::new(Precision::Nanoseconds, 0);
        let request = WriteRequest { database: "d", policy: None, body, options };
        let report = pipeline.write(format, &request).expect("such a body is taken");
        refused += report.errors_total;
        let first = report.errors.first().map_or(u64::MAX, |error| error.line);
        first_refused = first_refused.min(first);
        if let Some(ticket) = report.ticket {
            ticket.wait().expect("what was accepted is stored");
        }
    }
    Written { shown: shown(&store), refused, first_refused }
}

/// Each refusal names a place inside of the request and says something.
fn check_refusals(report: &WriteReport, body: &[u8]) {
    let total = usize::try_from(report.errors_total).expect("as many as lines");
    assert_eq!(report.errors.len(), total.min(limits::ERRORS_MAX));
    assert!(report.errors.is_sorted_by_key(|error| error.line), "refusals out of order");
    for error in &report.errors {
        // What OTLP tells of a resource belongs to no data point.
        let is_numbered = error.line >= 1 || error.text.starts_with("target_info{");
        assert!(is_numbered && error.line <= body.len() as u64 + 1, "{error:?}");
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
