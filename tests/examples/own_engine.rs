//! An engine of one's own behind the storage seam, in a hundred lines: it keeps a journal of everything
//! that was asked of it, and can be built anew from the journal. It passes the conformance suite, takes
//! line protocol and answers queries, and neither ingestion nor execution notices the difference.
//!
//! A fork that swaps the engine does the same: it implements the three traits, runs the suite, and
//! changes `open` in `crates/tsdb-server/src/wiring.rs`.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tsdb_core::storage::conformance::{self, Subject};
use tsdb_core::storage::{Append, DeleteRequest, Maintain, Resolution, Select, Snapshot, Storage};
use tsdb_core::{
    Catalogue, CatalogueChange, FieldSet, FieldSetRef, MemoryBudget, MemoryStore, NamespaceId,
    Result, SeriesKey, SeriesRef, Ticket, WriteBatch,
};
use tsdb_exec::{Executor, QueryContext, QueryLimits};
use tsdb_ingest::{LineProtocol, ParseOptions, Pipeline, PipelineOptions, Precision, WriteRequest};

/// What was done, in names instead of numbers, so that it means the same in another store.
#[derive(Clone)]
enum Event {
    Rows(NamespaceId, Vec<(SeriesKey, i64, FieldSet, Vec<f64>)>),
    Delete(DeleteRequest),
    Change(CatalogueChange),
    Retain(i64),
}

#[derive(Default)]
struct Journal {
    events: Vec<Event>,
    /// What the numbers of this run stand for.
    series: HashMap<SeriesRef, SeriesKey>,
    field_sets: HashMap<FieldSetRef, FieldSet>,
}

/// The engine: a store in memory, and the journal beside it. One lock keeps both in the same order.
#[derive(Default)]
struct JournalEngine {
    store: MemoryStore,
    journal: Mutex<Journal>,
}

impl JournalEngine {
    /// Builds the store that `events` lead to.
    fn replay(events: Vec<Event>) -> Result<JournalEngine> {
        let engine = JournalEngine::default();
        for event in events {
            match event {
                Event::Rows(namespace, rows) => engine.append_named(namespace, &rows)?,
                Event::Delete(request) => drop(engine.delete(&request)?),
                Event::Change(change) => drop(engine.change_catalogue(&change)?),
                Event::Retain(now_ns) => drop(engine.retain(now_ns)?),
            }
        }
        Ok(engine)
    }

    fn append_named(
        &self,
        namespace: NamespaceId,
        rows: &[(SeriesKey, i64, FieldSet, Vec<f64>)],
    ) -> Result<()> {
        let keys: Vec<SeriesKey> = rows.iter().map(|(key, ..)| key.clone()).collect();
        let sets: Vec<FieldSet> = rows.iter().map(|(_, _, set, _)| set.clone()).collect();
        let resolution = self.resolve(namespace, &keys, &sets)?;
        let mut batch = WriteBatch::new(namespace, resolution.epoch);
        let numbers = resolution.series.into_iter().zip(resolution.field_sets);
        for ((_, time, _, values), (series, field_set)) in rows.iter().zip(numbers) {
            batch.push(series?, *time, field_set?, values)?;
        }
        self.append(&batch).map(drop)
    }

    fn journal(&self) -> MutexGuard<'_, Journal> {
        self.journal.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Append for JournalEngine {
    fn resolve(
        &self,
        namespace: NamespaceId,
        series: &[SeriesKey],
        field_sets: &[FieldSet],
    ) -> Result<Resolution> {
        let mut journal = self.journal();
        let resolution = self.store.resolve(namespace, series, field_sets)?;
        for (key, number) in series.iter().zip(&resolution.series) {
            journal.series.extend(number.as_ref().ok().map(|number| (*number, key.clone())));
        }
        for (set, number) in field_sets.iter().zip(&resolution.field_sets) {
            journal.field_sets.extend(number.as_ref().ok().map(|number| (*number, set.clone())));
        }
        Ok(resolution)
    }

    fn append(&self, batch: &WriteBatch) -> Result<Ticket> {
        let mut journal = self.journal();
        let ticket = self.store.append(batch)?;
        // The store took the batch, so all its numbers have been resolved.
        let named = |row: tsdb_core::batch::Row<'_>| {
            let key = journal.series.get(&row.series)?.clone();
            let set = journal.field_sets.get(&row.field_set)?.clone();
            Some((key, row.time, set, row.values.to_vec()))
        };
        let rows = batch.rows().filter_map(named).collect();
        journal.events.push(Event::Rows(batch.namespace(), rows));
        Ok(ticket)
    }

    fn delete(&self, request: &DeleteRequest) -> Result<Ticket> {
        let mut journal = self.journal();
        let ticket = self.store.delete(request)?;
        journal.events.push(Event::Delete(request.clone()));
        Ok(ticket)
    }

    fn change_catalogue(&self, change: &CatalogueChange) -> Result<Ticket> {
        let mut journal = self.journal();
        let ticket = self.store.change_catalogue(change)?;
        journal.events.push(Event::Change(change.clone()));
        Ok(ticket)
    }

    fn catalogue(&self) -> Arc<Catalogue> {
        self.store.catalogue()
    }
}

impl Select for JournalEngine {
    fn snapshot(&self) -> Result<Arc<dyn Snapshot>> {
        self.store.snapshot()
    }
}

impl Maintain for JournalEngine {
    fn flush(&self) -> Result<()> {
        self.store.flush()
    }

    fn compact(&self) -> Result<()> {
        self.store.compact()
    }

    fn retain(&self, now_ns: i64) -> Result<usize> {
        let mut journal = self.journal();
        let moved = self.store.retain(now_ns)?;
        journal.events.push(Event::Retain(now_ns));
        Ok(moved)
    }

    fn close(&self) -> Result<()> {
        self.store.close()
    }
}

/// The engine as the conformance suite handles it.
#[derive(Default)]
struct Tried(Arc<JournalEngine>);

impl Subject for Tried {
    fn store(&self) -> Arc<dyn Storage> {
        Arc::clone(&self.0) as Arc<dyn Storage>
    }

    fn reopen(&mut self) -> bool {
        let events = self.0.journal().events.clone();
        JournalEngine::replay(events).map(|engine| self.0 = Arc::new(engine)).is_ok()
    }
}

fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    conformance::run(&|| Box::<Tried>::default());
    println!("the engine conforms");

    let engine = Arc::new(JournalEngine::default());
    let writer: Arc<dyn Append> = engine.clone();
    let pipeline = Pipeline::new(writer, MemoryBudget::default(), PipelineOptions::default());
    let report = pipeline.write(
        &LineProtocol::default(),
        &WriteRequest {
            database: "home",
            policy: None,
            body: b"temperature,room=kitchen value=21.5 10\ntemperature,room=cellar value=12 10\n",
            options: ParseOptions::new(Precision::Seconds, 0),
        },
    )?;
    if let Some(ticket) = report.ticket {
        ticket.wait()?;
    }
    let executor = Executor::new(engine, QueryLimits::default());
    let context = QueryContext { database: Some("home"), ..QueryContext::new(0) };
    for statement in tsdb_ql::parse("SELECT max(value) FROM temperature GROUP BY room")? {
        let answer = executor.execute(&statement, &context)?;
        println!("{:?}", answer.series);
        assert_eq!(answer.series.len(), 2);
    }
    Ok(())
}
