//! The public interface is enough for a format of somebody else: the whole of it by names, and the least
//! of it by points alone.

#![expect(clippy::unwrap_used, reason = "a test reports by panicking, its helpers too")]

use std::sync::Arc;

use tsdb_core::storage::SeriesRequest;
use tsdb_core::{Append, DataPoint, MemoryBudget, MemoryStore, NAME_TAG, Select, Tags};
use tsdb_ingest::{
    Choice, Error, Format, FormatRegistry, Ingestion, Likelihood, LineError, Origin, ParseOptions,
    Pipeline, PipelineOptions, Precision, Reason, Result, Rows, WriteReport, WriteRequest,
};

/// `name=value` on each line; the parameter `factor` multiplies values.
struct Pairs;

impl Ingestion for Pairs {
    fn parse(&self, input: &[u8]) -> Result<Vec<DataPoint>> {
        let mut points = Vec::new();
        for (line, text) in (1..).zip(String::from_utf8_lossy(input).lines()) {
            let value = text.split_once('=').and_then(|(_, value)| value.parse().ok());
            let (Some((name, _)), Some(value)) = (text.split_once('='), value) else {
                let reason = Reason::Other { text: "no pair".to_owned() };
                let error = LineError { line, column: 1, text: text.to_owned(), reason };
                return Err(Error::Line { error });
            };
            points.push(DataPoint::new(1, value, Tags::new([(NAME_TAG, name)])?)?);
        }
        Ok(points)
    }

    fn supported_formats(&self) -> Vec<&'static str> {
        vec!["text/x-pairs", "pairs"]
    }
}

impl Format for Pairs {
    fn looks_like(&self, head: &[u8]) -> Likelihood {
        if head.starts_with(b"!pairs") { Likelihood::Likely } else { Likelihood::No }
    }

    fn parse_rows(&self, input: &[u8], options: &ParseOptions<'_>, rows: &mut Rows) -> Result<()> {
        let factor: f64 = options.parameter("factor").map_or(Ok(1.0), str::parse).unwrap_or(1.0);
        rows.charge(input.len())?;
        let mut start = 0;
        for (line, raw) in (1..).zip(input.split(|byte| *byte == b'\n')) {
            let origin = Origin { line, start, end: start + raw.len() };
            start += raw.len() + 1;
            if raw.is_empty() || raw == b"!pairs" {
                continue;
            }
            match self.parse(raw) {
                Ok(points) => {
                    for point in points {
                        let mut row = rows.row(point.measurement().unwrap_or_default());
                        row.tag("from", "pairs");
                        row.field("value", point.value * factor);
                        row.text("note");
                        row.push(input, origin, options.now())?;
                    }
                }
                Err(_) => {
                    let reason = Reason::Other { text: "no pair".to_owned() };
                    rows.refuse(input, origin, origin.start, reason);
                }
            }
        }
        rows.uncharge(input.len());
        Ok(())
    }
}

/// The same by points alone.
struct Points;

impl Ingestion for Points {
    fn parse(&self, input: &[u8]) -> Result<Vec<DataPoint>> {
        Pairs.parse(input)
    }

    fn supported_formats(&self) -> Vec<&'static str> {
        vec!["points"]
    }
}

impl Format for Points {}

fn write(store: &Arc<MemoryStore>, format: Arc<dyn Format>, body: &str) -> WriteReport {
    let pipeline =
        Pipeline::new(store.clone(), MemoryBudget::default(), PipelineOptions::default());
    let parameters = [("factor", "10")];
    let options = ParseOptions {
        parameters: &parameters,
        ..ParseOptions::new(Precision::Seconds, 1_500_000_000)
    };
    let request = WriteRequest { database: "d", policy: None, body: body.as_bytes(), options };
    pipeline.write_first(&[format], &request).unwrap()
}

fn series(store: &MemoryStore) -> Vec<String> {
    let namespace = store.catalogue().namespace("d", None).unwrap().id;
    let series = store.snapshot().unwrap().series(&SeriesRequest::all(namespace)).unwrap();
    series.iter().map(ToString::to_string).collect()
}

#[test]
fn a_format_by_names_refuses_single_lines() {
    let mut registry = FormatRegistry::default();
    registry.register(Arc::new(Pairs)).unwrap();
    let body = "!pairs\na=1\nb\nb=2\n";
    let formats = registry.candidates(&Choice::Detect, body.as_bytes()).unwrap();
    let store = Arc::new(MemoryStore::new());
    let report = write(&store, Arc::clone(&formats[0]), body);
    assert_eq!((report.rows, report.errors_total, report.ignored_total), (2, 1, 2));
    assert_eq!((report.errors[0].line, report.errors[0].text.as_str()), (3, "b"));
    report.ticket.unwrap().wait().unwrap();
    assert_eq!(series(&store), ["a,from=pairs", "b,from=pairs"]);
}

#[test]
fn a_format_by_points_alone_works_too() {
    let store = Arc::new(MemoryStore::new());
    let report = write(&store, Arc::new(Points), "a=1\nb=2");
    assert_eq!((report.rows, report.errors_total), (2, 0));
    report.ticket.unwrap().wait().unwrap();
    assert_eq!(series(&store), ["a", "b"]);
    let report = write(&store, Arc::new(Points), "c=1\nb");
    assert_eq!((report.rows, report.errors_total), (0, 1));
    assert_eq!(series(&store), ["a", "b"], "nothing of it");
}
