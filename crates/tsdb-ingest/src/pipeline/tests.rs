//! The pipeline against a store that refuses, forgets and creates; and into the memory store.

use tsdb_core::catalogue::AUTOGEN;
use tsdb_core::storage::SeriesRequest;
use tsdb_core::{Error as CoreError, ErrorKind, MemoryStore, Pool, Select};

mod memory;

use super::*;
use crate::testing::Recorder;
use crate::{Error, LineProtocol, Precision};

struct Fixture {
    store: Arc<Recorder>,
    budget: MemoryBudget,
    pipeline: Pipeline,
}

impl Fixture {
    fn with(options: PipelineOptions) -> Fixture {
        let store = Arc::new(Recorder::default());
        let budget = MemoryBudget::default();
        let pipeline = Pipeline::new(store.clone(), budget.clone(), options);
        Fixture { store, budget, pipeline }
    }

    fn new() -> Fixture {
        Fixture::with(PipelineOptions::default())
    }

    fn try_write(&self, body: &str) -> Result<WriteReport> {
        self.pipeline.write(&LineProtocol::default(), &request("d", body))
    }

    /// Writes, and returns the rows that the store got.
    fn write(&self, body: &str) -> Vec<String> {
        let report = self.try_write(body).unwrap();
        assert_eq!(report.error_text(), None, "{body}");
        self.store.take_rows()
    }
}

fn request<'a>(database: &'a str, body: &'a str) -> WriteRequest<'a> {
    let options = ParseOptions::new(Precision::Nanoseconds, 0);
    WriteRequest { database, policy: None, body: body.as_bytes(), options }
}

#[test]
fn a_request_is_one_batch_and_one_resolution() {
    let fixture = Fixture::new();
    let rows = fixture.write("m,h=a f=1 1\nm,h=b f=2 1\nm,h=a f=3,g=4 2\n");
    assert_eq!(rows, ["m,h=a f=1.0 1", "m,h=b f=2.0 1", "m,h=a f=3.0,g=4.0 2"]);
    {
        let state = fixture.store.state();
        assert_eq!((state.batches, state.resolve_calls, state.resolved_keys), (1, 1, 2));
    }
    fixture.write("m,h=b f=5 3\nm,h=a f=6 3\n");
    assert_eq!(fixture.store.state().resolve_calls, 1, "all of it is known");
    fixture.write("m,h=c f=5 3\nm,h=a f=6 3\nm,h=c f=7 4\n");
    let state = fixture.store.state();
    assert_eq!((state.resolve_calls, state.resolved_keys), (2, 3), "only what is new");
}

#[test]
fn the_report_counts_what_was_stored() {
    let fixture = Fixture::new();
    let report = fixture.try_write("m f=1,g=2 1\nm f=x\nm s=\"t\",f=1 2\nm s=\"t\" 3\n").unwrap();
    assert_eq!((report.rows, report.samples, report.errors_total), (2, 3, 1));
    assert_eq!(report.ignored_fields.iter().map(|n| &**n).collect::<Vec<_>>(), ["s"]);
    assert_eq!(report.ignored_total, 2);
    assert_eq!(report.ticket.unwrap().wait(), Ok(1));
}

#[test]
fn nothing_to_store_takes_no_ticket() {
    let fixture = Fixture::new();
    for body in ["", "\n# c\n", "m s=\"only text\"", "bad"] {
        let report = fixture.try_write(body).unwrap();
        assert!(report.ticket.is_none(), "{body}");
        assert_eq!((report.rows, report.samples), (0, 0));
    }
    assert_eq!(fixture.store.state().batches, 0);
}

#[test]
fn described_errors_and_names_are_bounded_and_all_are_counted() {
    let fixture = Fixture::new();
    let report = fixture.try_write(&"bad\n".repeat(1000)).unwrap();
    assert_eq!((report.errors.len(), report.errors_total), (limits::ERRORS_MAX, 1000));
    let texts: String = (0..500).map(|i| format!("m s{i}=\"t\"\n")).collect();
    let report = fixture.try_write(&texts).unwrap();
    assert_eq!(report.ignored_fields.len(), limits::IGNORED_NAMES_MAX);
    assert_eq!(report.ignored_total, 500);
}

#[test]
fn databases_are_created_on_the_first_write_if_asked_for() {
    let fixture = Fixture::new();
    fixture.write("m f=1 1");
    assert!(fixture.store.state().catalogue.namespace("d", Some(AUTOGEN)).is_ok());
    let strict =
        Fixture::with(PipelineOptions { creates_databases: false, ..PipelineOptions::default() });
    let error = strict.try_write("m f=1 1").unwrap_err();
    assert_eq!(error.to_string(), "database not found: \"d\"");
    assert_eq!(error.kind(), ErrorKind::NotFound);
    let other = WriteRequest { policy: Some("week"), ..request("d", "m f=1 1") };
    let error = fixture.pipeline.write(&LineProtocol::default(), &other).unwrap_err();
    assert_eq!(error, Error::Store(CoreError::PolicyNotFound { name: "week".to_owned() }));
    let bad = fixture.pipeline.write(&LineProtocol::default(), &request("a/b", "m f=1 1"));
    assert_eq!(bad.unwrap_err().kind(), ErrorKind::Invalid);
}

#[test]
fn rows_beyond_retention_are_dropped_and_the_others_stored() {
    let fixture = Fixture::new();
    fixture.write("m f=0 5000");
    {
        let mut state = fixture.store.state();
        let mut catalogue = (*state.catalogue).clone();
        catalogue.namespaces_mut().for_each(|namespace| namespace.cutoff = 1000);
        state.catalogue = Arc::new(catalogue);
    }
    let report = fixture.try_write("m f=1 999\nm f=2 1000\nnew f=3 5").unwrap();
    assert_eq!(fixture.store.take_rows(), ["m f=2.0 1000"]);
    assert_eq!((report.errors_total, report.dropped_total), (2, 2));
    assert_eq!(
        report.error_text().unwrap(),
        "partial write: points beyond retention policy dropped=2"
    );
}

#[test]
fn an_epoch_that_ends_is_resolved_again() {
    let fixture = Fixture::new();
    let body = "m,h=a f=1 1\nm,h=b g=2 1\nbad\nm,h=a f=3 2\n";
    let rows = ["m,h=a f=1.0 1", "m,h=b g=2.0 1", "m,h=a f=3.0 2"];
    for ends in [0, 1, 3] {
        fixture.store.state().epochs_to_end = ends;
        let report = fixture.try_write(body).unwrap();
        assert_eq!(fixture.store.take_rows(), rows, "after {ends}");
        assert_eq!(report.errors_total, 1, "attempts do not add up");
    }
    // It can also come to light when something new is resolved beside what is cached.
    fixture.store.state().end_epoch();
    assert_eq!(fixture.write("m,h=a f=1 1\nm,h=c f=1 1"), ["m,h=a f=1.0 1", "m,h=c f=1.0 1"]);
    fixture.store.state().epochs_to_end = usize::MAX;
    let error = fixture.try_write(body).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Overloaded, "it does not go on for ever");
    assert_eq!(fixture.store.take_rows(), [""; 0]);
}

/// A pool of 256 KiB, so that a portion is 8 KiB: some 40 rows of new series.
fn with_small_portions() -> Fixture {
    let store = Arc::new(Recorder::default());
    let budget = MemoryBudget::with_limits([256 << 10; 5]);
    let pipeline = Pipeline::new(store.clone(), budget.clone(), PipelineOptions::default());
    Fixture { store, budget, pipeline }
}

#[test]
fn an_epoch_that_ends_between_two_portions_is_resolved_again() {
    let body: String = (0..300).map(|i| format!("m,h={i} f={i} 1\nbad\n")).collect();
    let rows: Vec<String> = (0..300).map(|i| format!("m,h={i} f={i}.0 1")).collect();
    let calls = {
        let fixture = with_small_portions();
        fixture.try_write(&body).unwrap();
        assert_eq!(fixture.store.take_rows(), rows);
        fixture.store.state().resolve_calls
    };
    assert!(calls > 4, "{calls} portions");
    for end in 1..=calls {
        let fixture = with_small_portions();
        fixture.store.state().epoch_ends_at_resolve = Some(end);
        let report = fixture.try_write(&body).unwrap();
        assert_eq!(fixture.store.take_rows(), rows, "at {end}");
        assert_eq!((report.rows, report.errors_total), (300, 300), "attempts do not add up");
        let state = fixture.store.state();
        let calls_again = if end == 1 { 0 } else { end };
        assert_eq!((state.batches, state.resolve_calls), (1, calls + calls_again));
    }
}

#[test]
fn what_is_refused_in_one_portion_is_reported_by_line() {
    let fixture = with_small_portions();
    fixture.store.state().refused_measurement = Some("full");
    fixture.store.state().refused_field = Some("x");
    let line = |i: usize| match i % 10 {
        3 => format!("full,h={i} f=1 {i}\n"),
        5 => format!("m,h={i} x=1 {i}\n"),
        7 => "m,h f=1\n".to_owned(),
        8 => format!("m f={i} {i}\n"),
        _ => format!("m,h={i} f={i} {i}\n"),
    };
    let body: String = (0..500).map(line).collect();
    let is_stored = |i: &usize| ![3, 5, 7].contains(&(i % 10));
    let row = |i: usize| match i % 10 {
        8 => format!("m f={i}.0 {i}"),
        _ => format!("m,h={i} f={i}.0 {i}"),
    };
    let rows: Vec<String> = (0..500).filter(is_stored).map(row).collect();
    let refused: Vec<u64> = (0..500).filter(|i| !is_stored(i)).map(|i| i as u64 + 1).collect();
    for _ in 0..2 {
        let report = fixture.try_write(&body).unwrap();
        assert_eq!(fixture.store.take_rows(), rows);
        assert_eq!((report.rows, report.samples), (350, 350));
        assert_eq!((report.errors_total, report.dropped_total), (150, 100));
        let mut lines: Vec<u64> = report.errors.iter().map(|error| error.line).collect();
        lines.sort_unstable();
        assert!(lines.iter().all(|line| refused.contains(line)), "{lines:?}");
    }
    assert!(fixture.store.state().resolve_calls > 8);
    fixture.store.state().refused_measurement = None;
    fixture.store.state().refused_field = None;
    assert_eq!(fixture.try_write(&body).unwrap().rows, 450, "it is asked again");
}

#[test]
fn a_set_of_fields_that_is_one_too_many_is_split() {
    let fixture = Fixture::new();
    assert_eq!(fixture.write("m a=1,b=2 1"), ["m a=1.0,b=2.0 1"]);
    fixture.store.state().refuses_wide_sets = true;
    let body = "m a=1,b=2 2\nm c=3,b=2,a=1 3\nm a=5 4\nn c=3,b=2,a=1 5";
    for _ in 0..2 {
        let rows = fixture.write(body);
        assert_eq!(
            rows,
            [
                "m a=1.0,b=2.0 2",
                "m a=1.0 3",
                "m b=2.0 3",
                "m c=3.0 3",
                "m a=5.0 4",
                "n a=1.0 5",
                "n b=2.0 5",
                "n c=3.0 5"
            ]
        );
    }
    let report = fixture.try_write(body).unwrap();
    assert_eq!((report.rows, report.samples), (4, 9), "a split row is one row");
    fixture.store.take_rows();
    fixture.store.state().refused_measurement = Some("full");
    let report = fixture.try_write("full c=3,b=2,a=1 1\nm a=1,b=2 1").unwrap();
    assert_eq!((report.rows, report.errors_total), (1, 1), "and is refused once");
}

#[test]
fn what_the_store_refuses_is_reported_by_line() {
    let fixture = Fixture::new();
    fixture.store.state().refused_measurement = Some("full");
    let body = "m f=1 1\nfull f=1 1\nbad\nm f=2 2\nfull f=1,g=2 2\n";
    for _ in 0..2 {
        let report = fixture.try_write(body).unwrap();
        assert_eq!(fixture.store.take_rows(), ["m f=1.0 1", "m f=2.0 2"]);
        let lines: Vec<u64> = report.errors.iter().map(|error| error.line).collect();
        assert_eq!((lines, report.dropped_total, report.rows), (vec![2, 3, 5], 2, 2));
    }
    fixture.store.state().refused_measurement = None;
    assert_eq!(fixture.try_write(body).unwrap().rows, 4, "it is asked again");
    fixture.store.take_rows();

    fixture.store.state().refused_field = Some("x");
    let body = "m f=1 1\nm x=1 2\nm f=1,x=2 3\n";
    for _ in 0..2 {
        let report = fixture.try_write(body).unwrap();
        assert_eq!(fixture.store.take_rows(), ["m f=1.0 1"]);
        assert_eq!((report.rows, report.dropped_total), (1, 2));
    }
    fixture.store.state().refused_field = None;
    assert_eq!(fixture.try_write(body).unwrap().rows, 3);
}

#[test]
fn a_cache_that_is_too_small_costs_time_and_no_rows() {
    let fixture = Fixture::with(PipelineOptions { cache_bytes: 600, ..PipelineOptions::default() });
    let body: String = (0..50).map(|i| format!("m,h={} f={i} {i}\n", i % 25)).collect();
    let expected: Vec<String> = (0..50).map(|i| format!("m,h={} f={i}.0 {i}", i % 25)).collect();
    for _ in 0..10 {
        assert_eq!(fixture.write(&body), expected);
    }
}

#[test]
fn one_cache_serves_several_namespaces() {
    let fixture = Fixture::new();
    let store = Arc::new(MemoryStore::new());
    let pipeline = Pipeline::new(store.clone(), fixture.budget, PipelineOptions::default());
    for round in 0..3 {
        for database in ["a", "b"] {
            let body = format!("m,h={database} f=1 {round}\nm,h=x f=2 {round}");
            pipeline.write(&LineProtocol::default(), &request(database, &body)).unwrap();
        }
    }
    let snapshot = store.snapshot().unwrap();
    for database in ["a", "b"] {
        let namespace = store.catalogue().namespace(database, None).unwrap().id;
        let series = snapshot.series(&SeriesRequest::all(namespace)).unwrap();
        let names: Vec<String> = series.iter().map(ToString::to_string).collect();
        assert_eq!(names, [format!("m,h={database}"), "m,h=x".to_owned()]);
    }
}

#[test]
fn threads_share_a_pipeline() {
    let fixture = Fixture::new();
    std::thread::scope(|scope| {
        for writer in 0..4 {
            let fixture = &fixture;
            scope.spawn(move || {
                for i in 0..50 {
                    let body = format!("m,w={writer} f={i} {i}\nm,w=all f={i} {i}");
                    assert_eq!(fixture.try_write(&body).unwrap().rows, 2);
                }
            });
        }
    });
    let rows = fixture.store.take_rows();
    assert_eq!(rows.len(), 400);
    for writer in 0..4 {
        let own: Vec<&String> =
            rows.iter().filter(|row| row.starts_with(&format!("m,w={writer} "))).collect();
        let expected: Vec<String> = (0..50).map(|i| format!("m,w={writer} f={i}.0 {i}")).collect();
        assert_eq!(own, expected.iter().collect::<Vec<_>>());
    }
}

#[test]
fn batches_have_at_most_the_rows_that_a_store_takes() {
    let rows_max = tsdb_core::limits::BATCH_ROWS_MAX;
    let store = Arc::new(MemoryStore::new());
    let budget = MemoryBudget::with_limits([usize::MAX; 5]);
    let pipeline = Pipeline::new(store, budget, PipelineOptions::default());
    let body = "m f=1 1\n".repeat(rows_max + 2);
    let report = pipeline.write(&LineProtocol::default(), &request("d", &body)).unwrap();
    assert_eq!((report.rows, report.errors_total), (rows_max as u64, 2));
    assert_eq!(report.errors[0].line, rows_max as u64 + 1);
}
