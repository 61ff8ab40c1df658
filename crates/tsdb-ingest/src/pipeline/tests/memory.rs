//! What requests take of the memory budget: never more than they may, and never so much that a body of
//! the size that is allowed is refused.

use super::*;
use crate::testing::{Counter, Counts};

/// The budget and the largest body of the server, both by default, and both divided by this: the
/// proportions count, and code without optimisation is slow.
const SCALE: usize = if cfg!(debug_assertions) { 16 } else { 1 };

/// Largest body in bytes.
const BODY_BYTES: usize = 25_000_000 / SCALE;

/// Most rows of a batch, to scale.
const ROWS_MAX: usize = tsdb_core::limits::BATCH_ROWS_MAX / SCALE;

fn budget() -> MemoryBudget {
    MemoryBudget::with_total(tsdb_core::budget::DEFAULT_TOTAL_BYTES / SCALE)
}

/// Lines as `line` makes them, as many as a body and a batch can have.
fn body(line: impl Fn(usize) -> String) -> (String, usize) {
    let mut text = String::with_capacity(BODY_BYTES);
    for count in 0..ROWS_MAX {
        let next = line(count);
        if text.len() + next.len() > BODY_BYTES {
            return (text, count);
        }
        text.push_str(&next);
    }
    (text, ROWS_MAX)
}

/// Writes the body of `line` beside a quarter of the pool, which the server holds for a large body.
fn write_large(overdraft_factor: usize, line: impl Fn(usize) -> String) -> Result<Counts> {
    let budget = budget();
    let pool = budget.limit(Pool::Bodies);
    let body_held = budget.reserve(Pool::Bodies, pool / 4).unwrap();
    let store = Arc::new(Counter::new(&budget));
    let mut pipeline = Pipeline::new(store.clone(), budget.clone(), PipelineOptions::default());
    pipeline.overdraft = Overdraft::new(pool * overdraft_factor);
    let (text, count) = body(line);
    let outcome = pipeline.write(&LineProtocol::default(), &request("d", &text));
    drop(body_held);
    assert_eq!(budget.used(Pool::Bodies), 0, "everything is given back");
    let report = outcome?;
    assert_eq!((report.rows, report.errors_total), (count as u64, 0));
    let counts = store.counts();
    assert_eq!(counts.rows, count);
    assert!(counts.used_bytes <= pool);
    Ok(counts)
}

/// A new series in every line: the shortest lines of so many series, a million of them.
#[test]
fn a_large_body_of_new_series_fits_into_the_pool() {
    let counts = write_large(0, |i| format!("m,t={} v=1i {}\n", 1_000_000 + i, 1_000_000 + i));
    let counts = counts.unwrap();
    assert_eq!((counts.series, counts.rows), (BODY_BYTES / 25, BODY_BYTES / 25));
    assert!(counts.keys_max < 8192, "{} keys at once", counts.keys_max);
    let beside = counts.used_bytes - budget().limit(Pool::Bodies) / 4;
    assert!(beside >= counts.batch_bytes, "the batch is charged whole");
    let portions = budget().limit(Pool::Bodies) / limits::PORTION_PARTS * 2;
    assert!(beside <= counts.batch_bytes + portions, "{beside} for {}", counts.batch_bytes);
}

/// The worst bodies, whose columns are two or three times as large as their text.
#[test]
fn every_large_body_fits_into_pool_and_overdraft() {
    let names =
        b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSUVWXYZ0123456789!$%&'()*+-./:;<>?@[]^_`{|}~";
    let fields = |count: usize| -> String {
        let fields: Vec<String> =
            names[..count].iter().map(|n| format!("{}=1", *n as char)).collect();
        fields.join(",")
    };
    let factor = limits::OVERDRAFT_FACTOR;
    for count in [1, 2, 5, 20, names.len()] {
        let fields = fields(count);
        let counts = write_large(factor, |_| format!("m {fields}\n"));
        assert!(counts.is_ok(), "{count} fields: {counts:?}");
        let counts = write_large(factor, |i| format!("m,t={i} {fields}\n"));
        assert!(counts.is_ok(), "{count} fields of new series: {counts:?}");
    }
    // Each row begins a segment.
    let turns = write_large(factor, |i| format!("m {}=1,z=1\n", ["a", "b"][i % 2]));
    assert!(turns.is_ok(), "{turns:?}");
    let widest = fields(names.len());
    assert!(write_large(0, |_| format!("m {widest}\n")).is_err(), "not without the overdraft");
}

#[test]
fn memory_is_reserved_while_a_request_is_parsed_and_given_back() {
    let fixture = Fixture::new();
    fixture.write(&(0..5000).map(|i| format!("m,h={i} f=1,g=2 1\n")).collect::<String>());
    fixture.try_write("bad").unwrap();
    assert_eq!(fixture.budget.used(Pool::Bodies), 0);

    let budget = MemoryBudget::with_limits([1 << 20; 5]);
    let store = Arc::new(Recorder::default());
    let pipeline = Pipeline::new(store.clone(), budget.clone(), PipelineOptions::default());
    for body in [
        "m f=1,g=2,h=3,i=4 1\n".repeat(150_000),
        (0..150_000).map(|i| format!("m,h={} f=1,g=2,h=3,i=4 1\n", i % 100)).collect(),
    ] {
        let error = pipeline.write(&LineProtocol::default(), &request("d", &body)).unwrap_err();
        assert!(matches!(error, Error::Store(CoreError::OverBudget { pool: Pool::Bodies, .. })));
        assert_eq!(error.kind(), ErrorKind::Overloaded);
        assert_eq!(budget.used(Pool::Bodies), 0);
        assert_eq!(store.take_rows(), [""; 0], "nothing of the request is stored");
        let small = request("d", "m f=1 1\nm,h=5 f=1 1");
        assert_eq!(pipeline.write(&LineProtocol::default(), &small).unwrap().rows, 2);
        store.take_rows();
    }
}

/// One series that is new and many rows of it: what waits is bounded by its rows too.
#[test]
fn rows_that_wait_are_resolved_before_they_pile_up() {
    let counts = write_large(0, |i| format!("m v={} {}\n", i % 10, 1_000_000 + i)).unwrap();
    assert!(counts.resolve_calls <= 2, "{counts:?}");
    let beside = counts.used_bytes - budget().limit(Pool::Bodies) / 4;
    let portions = budget().limit(Pool::Bodies) / limits::PORTION_PARTS * 2;
    assert!(beside <= counts.batch_bytes + portions, "{counts:?}");
}
