//! A run of the engine on a simulated disk: which writes there were, in which order, when each was begun
//! and when it was acknowledged.

use std::path::Path;
use std::sync::{Arc, Mutex};

use tsdb_core::env::{Clock, Env, SimClock, SimVfs};
use tsdb_core::storage::Storage;
use tsdb_core::storage::conformance::{
    Model, Op, RowSpec, Target, Violation, Writer, compare_everything, dump, ensure, fingerprint,
};
use tsdb_core::{Catalogue, CatalogueChange, DeleteRequest, NamespaceId, Ticket};
use tsdb_lsm::{Engine, EngineOptions};

/// Directory of the database on the simulated disk.
pub(super) const DIRECTORY: &str = "/data/db";

/// What a run is made of; the planted errors replace parts of it.
#[derive(Clone, Copy)]
pub struct Setup {
    /// The world as the engine sees it.
    pub env: fn(&SimVfs) -> Env,
    /// The store as its clients see it.
    pub front: fn(Arc<Engine>) -> Arc<dyn Storage>,
    /// Size at which replay flushes.
    pub generation_bytes: usize,
    /// Size at which log segments rotate.
    pub wal_segment_bytes: u64,
}

impl Setup {
    /// The engine as it is, with sizes so small that everything happens in a short script.
    pub const HONEST: Setup = Setup {
        env: SimVfs::env,
        front: |engine| engine,
        generation_bytes: 16 << 10,
        wal_segment_bytes: 4 << 10,
    };

    /// Opens the engine on a disk.
    ///
    /// # Errors
    /// What the engine says; on a disk without faults that is a violation.
    pub fn open(&self, disk: &SimVfs) -> tsdb_lsm::Result<Arc<Engine>> {
        self.open_at(disk, None)
    }

    /// The same by a clock of the caller's.
    ///
    /// # Errors
    /// As [`Setup::open`].
    pub fn open_at(
        &self,
        disk: &SimVfs,
        clock: Option<&Arc<SimClock>>,
    ) -> tsdb_lsm::Result<Arc<Engine>> {
        let mut options = EngineOptions::new(Path::new(DIRECTORY));
        options.env = (self.env)(disk);
        if let Some(clock) = clock {
            options.env.clock = Arc::clone(clock) as Arc<dyn Clock>;
        }
        options.background = false;
        options.generation_bytes = self.generation_bytes;
        options.wal_segment_bytes = self.wal_segment_bytes;
        // Series leave memory as soon as they may.
        options.idle_generations = 1;
        options.idle_time = std::time::Duration::ZERO;
        options.evict_min = 1;
        Engine::open(options)
    }
}

/// A change that has its place in the order of all changes.
#[derive(Debug, Clone)]
enum Change {
    Write(u64, NamespaceId, Vec<RowSpec>),
    Delete(u64, DeleteRequest),
    Catalogue(CatalogueChange),
    Retain(i64),
}

/// What became of a ticket, and at which operation of the disk.
type Outcome = Arc<Mutex<Option<(tsdb_core::Result<u64>, u64)>>>;

/// A change and its times, counted in operations of the disk.
#[derive(Debug, Clone)]
pub struct Event {
    change: Change,
    begun_at: u64,
    outcome: Outcome,
}

impl Event {
    fn apply_to(&self, model: &mut Model) -> Result<(), Violation> {
        match &self.change {
            Change::Write(seq, namespace, rows) => model.write(*seq, *namespace, rows),
            Change::Delete(seq, request) => model.delete(*seq, request),
            Change::Catalogue(change) => model.change(change)?,
            Change::Retain(now_ns) => {
                model.retain(*now_ns);
            }
        }
        Ok(())
    }

    /// The operation of the disk behind which it was acknowledged.
    pub fn acknowledged_at(&self) -> Option<u64> {
        let outcome = self.outcome.lock().unwrap();
        outcome.as_ref().filter(|(result, _)| result.is_ok()).map(|(_, at)| *at)
    }

    /// The same event, acknowledged before all that comes.
    fn settled(&self) -> Event {
        let outcome = Arc::new(Mutex::new(Some((Ok(0), 0))));
        Event { change: self.change.clone(), begun_at: 0, outcome }
    }
}

/// The engine while a script plays.
pub struct Run {
    disk: SimVfs,
    engine: Arc<Engine>,
    store: Arc<dyn Storage>,
    writer: Writer,
    events: Vec<Event>,
    last_seq: u64,
}

impl Run {
    /// Opens the engine on a disk that holds exactly what `base` did, and records from here on.
    ///
    /// # Errors
    /// What [`Setup::open`] says.
    pub fn open(setup: &Setup, disk: &SimVfs, base: &[Event]) -> tsdb_lsm::Result<Run> {
        Run::open_at(setup, disk, base, None)
    }

    /// The same by a clock of the caller's.
    ///
    /// # Errors
    /// As [`Run::open`].
    pub fn open_at(
        setup: &Setup,
        disk: &SimVfs,
        base: &[Event],
        clock: Option<&Arc<SimClock>>,
    ) -> tsdb_lsm::Result<Run> {
        disk.record();
        let engine = setup.open_at(disk, clock)?;
        let store = (setup.front)(Arc::clone(&engine));
        let last_seq = base.iter().filter_map(|event| match &event.change {
            Change::Write(seq, ..) | Change::Delete(seq, _) => Some(*seq),
            Change::Catalogue(_) | Change::Retain(_) => None,
        });
        let last_seq = last_seq.max().unwrap_or(0);
        let events = base.iter().map(Event::settled).collect();
        Ok(Run { disk: disk.clone(), engine, store, writer: Writer::new(), events, last_seq })
    }

    /// The engine.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// The disk.
    pub fn disk(&self) -> &SimVfs {
        &self.disk
    }

    /// The store as its clients see it.
    pub fn store(&self) -> &dyn Storage {
        &*self.store
    }

    /// Carries out one operation. Changes of the catalogue that would change nothing are left out. Writes do not wait for their acknowledgement, and everything in a script
    /// that has no meaning here is a sync. The inner error is a refusal or a failed step.
    ///
    /// # Errors
    /// A store that breaks its word.
    pub fn play(&mut self, op: &Op) -> Result<tsdb_core::Result<()>, Violation> {
        match op {
            Op::Write(target, rows) => return self.write(target, rows),
            Op::Delete { target, measurements, filter, time } => {
                let Some(namespace) = self.namespace(target) else { return Ok(Ok(())) };
                let (measurements, filter) = (measurements.clone(), filter.clone());
                let request = DeleteRequest { namespace, measurements, filter, time: *time };
                let begun_at = self.disk.op_count();
                match self.store.delete(&request) {
                    Ok(ticket) => {
                        let change = Change::Delete(ticket.seq(), request);
                        self.note(change, begun_at, ticket)?;
                    }
                    Err(error) => return Ok(Err(error)),
                }
            }
            Op::Change(change) => {
                let mut trial = Catalogue::clone(&self.store.catalogue());
                if !trial.apply(change).is_ok_and(|applied| applied.changed) {
                    return Ok(Ok(()));
                }
                let begun_at = self.disk.op_count();
                match self.store.change_catalogue(change) {
                    Ok(ticket) => self.note(Change::Catalogue(change.clone()), begun_at, ticket)?,
                    Err(error) => return Ok(Err(error)),
                }
            }
            Op::Retain(now_ns) => return self.retain(*now_ns),
            other => return Ok(self.step(other)),
        }
        Ok(Ok(()))
    }

    fn step(&self, op: &Op) -> tsdb_core::Result<()> {
        let engine = &self.engine;
        match op {
            Op::Flush => self.store.flush()?,
            Op::Compact => self.store.compact()?,
            Op::Seal => drop(engine.seal()?),
            Op::Step(choice) => match choice % 8 {
                0..2 => engine.sync()?,
                2 => drop(engine.seal()?),
                3..7 => drop(engine.flush_one()?),
                _ => drop(engine.compact_one()?),
            },
            _ => engine.sync()?,
        }
        Ok(())
    }

    fn namespace(&self, target: &Target) -> Option<NamespaceId> {
        let catalogue = self.store.catalogue();
        let found = catalogue.namespace(&target.database, target.policy.as_deref());
        found.ok().map(|namespace| namespace.id)
    }

    fn write(
        &mut self,
        target: &Target,
        rows: &[RowSpec],
    ) -> Result<tsdb_core::Result<()>, Violation> {
        let Some(namespace) = self.namespace(target) else { return Ok(Ok(())) };
        let begun_at = self.disk.op_count();
        match self.writer.append(&*self.store, namespace, rows)? {
            Ok(ticket) => {
                let change = Change::Write(ticket.seq(), namespace, rows.to_vec());
                self.note(change, begun_at, ticket).map(Ok)
            }
            Err(error) => Ok(Err(error)),
        }
    }

    /// Retention has no number: it stands in the order by what was durable before it.
    fn retain(&mut self, now_ns: i64) -> Result<tsdb_core::Result<()>, Violation> {
        if let Err(error) = self.engine.sync() {
            return Ok(Err(error.into()));
        }
        let begun_at = self.disk.op_count();
        let outcome = self.store.retain(now_ns);
        // One that failed has happened, or will after a restart, only if nothing else can happen here.
        if outcome.is_ok() || self.engine.failure().is_some() {
            let done = outcome.clone().map(|_| 0);
            let outcome = Arc::new(Mutex::new(Some((done, self.disk.op_count()))));
            self.events.push(Event { change: Change::Retain(now_ns), begun_at, outcome });
        }
        Ok(outcome.map(|_| ()))
    }

    fn note(&mut self, change: Change, begun_at: u64, ticket: Ticket) -> Result<(), Violation> {
        if let Change::Write(seq, ..) | Change::Delete(seq, _) = &change {
            let last = std::mem::replace(&mut self.last_seq, *seq);
            ensure(*seq > last, || format!("number {seq} was given after {last}"))?;
        }
        let outcome = Outcome::default();
        let event = Event { change, begun_at, outcome: Arc::clone(&outcome) };
        let disk = self.disk.clone();
        ticket.on_done(move |result| *outcome.lock().unwrap() = Some((result, disk.op_count())));
        self.events.push(event);
        Ok(())
    }

    /// Number of changes that were acknowledged; on a disk without faults they are the first ones.
    pub fn acknowledged_count(&self) -> usize {
        self.events.iter().filter(|event| event.acknowledged_at().is_some()).count()
    }

    /// Compares everything with what was acknowledged, with random scans by `seed`; nothing while a change is on
    /// its way.
    ///
    /// # Errors
    /// The first difference.
    pub fn check_everything(&self, seed: u64) -> Result<(), Violation> {
        let (done, waiting) = self.events.split_at(self.acknowledged_count());
        if !waiting.is_empty() {
            return Ok(());
        }
        let mut model = Model::new();
        done.iter().try_for_each(|event| event.apply_to(&mut model))?;
        compare_everything(&*self.store, &model, seed)
    }

    /// Whether what readers see is what was acknowledged, and nothing else. Changes of the catalogue take
    /// effect for readers when they are made, so with one on its way nothing is said.
    ///
    /// # Errors
    /// The difference.
    pub fn check_visible(&self) -> Result<(), Violation> {
        let (done, waiting) = self.events.split_at(self.acknowledged_count());
        if waiting.iter().any(|event| matches!(event.change, Change::Catalogue(_))) {
            return Ok(());
        }
        let mut model = Model::new();
        done.iter().try_for_each(|event| event.apply_to(&mut model))?;
        let found = dump(&*self.store.snapshot()?, &self.store.catalogue())?;
        ensure(found == model.dump()?, || {
            let differences = differences(&found, &model.dump().unwrap_or_default());
            format!("readers see something else than was acknowledged: {differences}")
        })
    }

    /// Ends the run without closing the engine, as a crash does.
    pub fn end(self) -> History {
        History { disk: self.disk, events: self.events }
    }
}

/// A run that has ended.
pub struct History {
    /// Its disk, with the recording.
    pub disk: SimVfs,
    /// All its changes, in order.
    pub events: Vec<Event>,
}

impl History {
    /// The number of the model's contents after each prefix of the changes: first that of nothing.
    ///
    /// # Errors
    /// A change that the model refuses.
    pub fn fingerprints(&self) -> Result<Vec<u128>, Violation> {
        let mut model = Model::new();
        let mut fingerprints = vec![model.fingerprint()?];
        for event in &self.events {
            event.apply_to(&mut model)?;
            fingerprints.push(model.fingerprint()?);
        }
        Ok(fingerprints)
    }

    /// How many changes must, and how many can, have survived a crash behind operation `at` of the disk.
    pub fn bounds_at(&self, at: u64) -> (usize, usize) {
        let acknowledged =
            |event: &Event| event.acknowledged_at().is_some_and(|acknowledged| acknowledged <= at);
        let must = self.events.iter().rposition(acknowledged).map_or(0, |place| place + 1);
        let can = self.events.iter().filter(|event| event.begun_at < at).count();
        (must, can.max(must))
    }

    /// As [`History::prefix_shown`], without the fingerprints of all prefixes: those of the allowed ones are made.
    ///
    /// # Errors
    /// When it shows none of them.
    pub fn find_prefix(
        &self,
        store: &dyn Storage,
        (must, can): (usize, usize),
    ) -> Result<usize, Violation> {
        let found = fingerprint(store)?;
        let mut model = Model::new();
        for (length, event) in self.events.iter().map(Some).chain([None]).enumerate() {
            if length >= must && length <= can && model.fingerprint()? == found {
                return Ok(length);
            }
            event.map_or(Ok(()), |event| event.apply_to(&mut model))?;
        }
        // For the message.
        self.prefix_shown(store, &self.fingerprints()?, (must, can))
    }

    /// Which prefix of the changes a store shows, between `must` and `can`.
    ///
    /// # Errors
    /// When it shows none of them.
    pub fn prefix_shown(
        &self,
        store: &dyn Storage,
        fingerprints: &[u128],
        (must, can): (usize, usize),
    ) -> Result<usize, Violation> {
        let found = fingerprint(store)?;
        let shown = |length: &usize| fingerprints.get(*length) == Some(&found);
        // The shortest: a change whose effect cannot be seen may be lost, and its number given again.
        if let Some(length) = (must..=can).find(shown) {
            return Ok(length);
        }
        let elsewhere = (0..fingerprints.len()).rev().find(shown);
        let mut model = Model::new();
        for event in self.events.iter().take(must) {
            event.apply_to(&mut model)?;
        }
        let found = dump(&*store.snapshot()?, &store.catalogue())?;
        Err(Violation::new(format!(
            "the first {must} to {can} of {} changes must be there; {}; against the first {must}: {}",
            self.events.len(),
            elsewhere.map_or_else(
                || "what is there is no prefix".to_owned(),
                |length| format!("the first {length} are")
            ),
            differences(&found, &model.dump()?)
        )))
    }
}

/// A few lines that only one of two dumps has.
fn differences(found: &str, due: &str) -> String {
    let only = |one: &str, other: &str| -> Vec<String> {
        let other: std::collections::BTreeSet<&str> = other.lines().collect();
        let lines = one.lines().filter(|line| !other.contains(line));
        lines.take(6).map(ToOwned::to_owned).collect()
    };
    format!("too many: {:#?}, missing: {:#?}", only(found, due), only(due, found))
}
