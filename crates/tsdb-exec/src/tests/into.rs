//! SELECT … INTO where the store does not take everything, and where there is much to write.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::support::{DATABASE, Row, answer_with, context, empty_store, load, row};
use crate::{QueryContext, QueryLimits, QueryMemory};
use tsdb_core::storage::{DeleteRequest, Resolution, Snapshot};
use tsdb_core::time::HOUR;
use tsdb_core::{
    Append, Catalogue, CatalogueChange, Error as CoreError, FieldSet, Maintain, MemoryBudget,
    MemoryStore, NamespaceId, Pool, Result, Select, SeriesKey, Ticket, WriteBatch,
};

/// What a store does not take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Refusal {
    Nothing,
    /// Any batch behind so many.
    BatchesFrom(usize),
    /// The series of that host.
    Host(&'static str),
    /// Sets of several fields.
    FieldSets,
    /// The references of the first batches are stale.
    Stale(usize),
}

/// A store that refuses something.
struct Choosy {
    inner: Arc<MemoryStore>,
    refusal: Refusal,
    batches: AtomicUsize,
    rows_max: AtomicUsize,
}

impl Choosy {
    fn new(inner: &Arc<MemoryStore>, refusal: Refusal) -> Arc<Choosy> {
        let (batches, rows_max) = (AtomicUsize::new(0), AtomicUsize::new(0));
        Arc::new(Choosy { inner: Arc::clone(inner), refusal, batches, rows_max })
    }
}

impl Append for Choosy {
    fn resolve(&self, n: NamespaceId, keys: &[SeriesKey], sets: &[FieldSet]) -> Result<Resolution> {
        let mut found = self.inner.resolve(n, keys, sets)?;
        let full = || CoreError::Overloaded { reason: "too many" };
        if let Refusal::Host(host) = self.refusal {
            let refused = keys.iter().zip(&mut found.series);
            refused.filter(|(key, _)| key.tag("host") == Some(host)).for_each(|(_, found)| {
                *found = Err(full());
            });
        }
        if self.refusal == Refusal::FieldSets {
            let refused = sets.iter().zip(&mut found.field_sets);
            refused.filter(|(set, _)| set.len() > 1).for_each(|(_, found)| *found = Err(full()));
        }
        Ok(found)
    }
    fn append(&self, batch: &WriteBatch) -> Result<Ticket> {
        let place = self.batches.fetch_add(1, Ordering::Relaxed);
        self.rows_max.fetch_max(batch.len(), Ordering::Relaxed);
        match self.refusal {
            Refusal::BatchesFrom(first) if place >= first => Err(CoreError::Closed),
            Refusal::Stale(count) if place < count => {
                Err(CoreError::StaleEpoch { batch: 0, current: 1 })
            }
            _ => self.inner.append(batch),
        }
    }
    fn delete(&self, request: &DeleteRequest) -> Result<Ticket> {
        self.inner.delete(request)
    }
    fn change_catalogue(&self, change: &CatalogueChange) -> Result<Ticket> {
        self.inner.change_catalogue(change)
    }
    fn catalogue(&self) -> Arc<Catalogue> {
        self.inner.catalogue()
    }
}

impl Select for Choosy {
    fn snapshot(&self) -> Result<Arc<dyn Snapshot>> {
        self.inner.snapshot()
    }
}

impl Maintain for Choosy {
    fn flush(&self) -> Result<()> {
        self.inner.flush()
    }
    fn compact(&self) -> Result<()> {
        self.inner.compact()
    }
    fn retain(&self, now_ns: i64) -> Result<usize> {
        self.inner.retain(now_ns)
    }
    fn close(&self) -> Result<()> {
        self.inner.close()
    }
}

/// A store with `count` rows of the hosts `h0` to `h3`, some with one field and some with two.
fn store(count: usize) -> Arc<MemoryStore> {
    let store = empty_store();
    let line = |n: usize| {
        let g = if n.is_multiple_of(3) { format!(",g={n}") } else { String::new() };
        row(&format!("m,host=h{} f={n}{g} {n}", n % 4))
    };
    load(&*store, DATABASE, None, &(0..count).map(line).collect::<Vec<Row>>());
    store
}

fn ask(store: &Arc<Choosy>, query: &str) -> String {
    answer_with(Arc::clone(store) as _, query, &context(), QueryLimits::default())
}

#[test]
fn batches_before_the_one_that_fails_stay_and_are_counted() {
    let store = Choosy::new(&store(35_000), Refusal::BatchesFrom(2));
    let answer = ask(&store, "SELECT * INTO copy FROM m GROUP BY *");
    assert!(answer.starts_with("error: ") && answer.contains("20000 points were written before"));
    let count = ask(&store, "SELECT count(f) FROM copy");
    assert!(count.ends_with("\n0 20000\n"), "{count}");
    assert_eq!(store.rows_max.load(Ordering::Relaxed), 10_000);
    let store = Choosy::new(&store.inner, Refusal::BatchesFrom(0));
    let answer = ask(&store, "SELECT * INTO copy FROM m");
    assert!(!answer.contains("were written"), "{answer}");
}

#[test]
fn what_the_store_refuses_is_counted_and_the_rest_is_written() {
    let store = Choosy::new(&store(20), Refusal::Host("h1"));
    let answer = ask(&store, "SELECT * INTO copy FROM m GROUP BY *");
    assert!(answer.contains("partial write: ") && answer.contains("too many"), "{answer}");
    assert!(answer.contains(" dropped=5; 15 points were written"), "{answer}");
    let count = ask(&store, "SELECT count(f) FROM copy GROUP BY host");
    assert!(count.contains("host=h0") && !count.contains("host=h1"), "{count}");
}

#[test]
fn rows_of_refused_field_sets_are_written_field_by_field() {
    let store = Choosy::new(&store(40), Refusal::FieldSets);
    let answer = ask(&store, "SELECT * INTO copy FROM m GROUP BY *");
    assert_eq!(answer, "# result\ntime written\n0 40\n");
    let [source, copy] = ["m", "copy"].map(|name| ask(&store, &format!("SELECT * FROM {name}")));
    assert_eq!(source.replace("# m", "# copy"), copy);
}

#[test]
fn stale_references_are_resolved_again() {
    let fresh = store(40);
    let store = Choosy::new(&fresh, Refusal::Stale(3));
    assert_eq!(ask(&store, "SELECT f INTO a FROM m"), "# result\ntime written\n0 40\n");
    let store = Choosy::new(&fresh, Refusal::Stale(usize::MAX));
    assert!(ask(&store, "SELECT f INTO b FROM m").starts_with("error: "));
}

#[test]
fn rows_that_have_expired_are_counted_and_not_written() {
    let store = Choosy::new(&store(20), Refusal::Nothing);
    let policy = "CREATE RETENTION POLICY short ON d DURATION 1h REPLICATION 1";
    assert_eq!(ask(&store, policy), "");
    // The oldest row that is kept is the one at 15 ns.
    let context = QueryContext { now_ns: HOUR + 15, ..context() };
    let query = "SELECT f INTO short.copy FROM m";
    let answer = answer_with(Arc::clone(&store) as _, query, &context, QueryLimits::default());
    let expected =
        "error: partial write: points beyond retention policy dropped=15; 5 points were written\n";
    assert_eq!(answer, expected);
    let count = ask(&store, "SELECT count(f) FROM short.copy");
    assert!(count.ends_with("\n0 5\n"), "{count}");
}

/// A copy of many rows takes the memory of some, and is whole.
#[test]
fn any_number_of_rows_is_written_in_little_memory() {
    let store = Choosy::new(&store(250_000), Refusal::Nothing);
    let budget = MemoryBudget::default();
    let memory = |bytes_max| QueryContext {
        memory: QueryMemory::new(&budget, Some(bytes_max)),
        ..context()
    };
    let ask = |query: &str| {
        answer_with(Arc::clone(&store) as _, query, &memory(10 << 20), QueryLimits::default())
    };
    let refused = ask("SELECT * FROM m");
    assert!(refused.contains("query-memory exceeded"), "{refused}");
    let answer = ask("SELECT * INTO copy FROM m GROUP BY *");
    assert_eq!(answer, "# result\ntime written\n0 250000\n");
    assert_eq!(budget.used(Pool::Queries), 0);
    let [source, copy] =
        ["m", "copy"].map(|name| ask(&format!("SELECT sum(f), sum(g), count(g) FROM {name}")));
    assert_eq!(source.replace("# m", "# copy"), copy);
}
