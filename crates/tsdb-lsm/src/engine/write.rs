//! The way of a write: checked, numbered under the append lock, applied to memory, made durable, visible.

use std::sync::Arc;
use tsdb_core::sync::atomic::Ordering;

use tsdb_core::budget::Pressure;
use tsdb_core::planted::{Planted, is_planted};
use tsdb_core::time::check_time;
use tsdb_core::{
    Catalogue, CatalogueChange, DeleteRequest, Epoch, NamespaceId, NamespaceInfo, Reservation,
    SeriesKey, SeriesRef, Ticket, WriteBatch,
};
use tsdb_index::DatabaseQuota;
use tsdb_wal::AppendError;

use super::Shared;
use crate::delete::{LIVE_DELETES_MAX, LiveDelete};
use crate::error::{Error, Result};
use crate::memtable::bytes_of;
use crate::options::Durability;
use crate::record::{BatchWriter, put_catalogue_change, put_delete};
use crate::view::View;

/// Most bytes of a record: a request of 25 MB of text makes less than half of it.
const PAYLOAD_BYTES_MAX: usize = 63 << 20;

/// Aborts the process if a panic unwinds through it: between a number and its application nothing may
/// fail, or visibility would stand still for ever.
struct AbortOnPanic;

impl Drop for AbortOnPanic {
    fn drop(&mut self) {
        if tsdb_core::sync::thread::panicking() {
            std::process::abort();
        }
    }
}

impl Shared {
    pub(super) fn append(&self, batch: &WriteBatch) -> tsdb_core::Result<Ticket> {
        // Before the store is kept open for this write: who waits for memory must not hold up a close.
        let bytes = bytes_of(batch);
        if self.disk.note(bytes) {
            self.check_disk();
        }
        self.disk.check()?;
        let gate = self.admit(bytes)?;
        let _open = self.begin_write()?;
        self.check_batch(batch)?;
        let early =
            is_planted(Planted::GenerationBeforeNumber).then(|| Arc::clone(&self.view.load().open));
        let mut open = None;
        let seq = self
            .wal
            .append_with(|position, out| {
                self.write_batch(position.generation, batch, out)?;
                open = Some(Arc::clone(&self.view.load().open));
                Ok(())
            })
            .map_err(append_error)?;
        let guard = AbortOnPanic;
        let Some(generation) = early.or(open) else { unreachable!("the closure ran") };
        generation.apply(seq, batch);
        drop(gate);
        let ticket = self.commit.apply(seq);
        drop(guard);
        self.counters.batches_appended.add(1);
        self.counters.rows_appended.add(batch.len() as u64);
        self.counters.samples_appended.add(batch.samples() as u64);
        self.after_append();
        if generation.is_full(self.options.generation_bytes) {
            self.signals.wake_flush();
        }
        Ok(ticket)
    }

    /// Numbers of series. New ones stay in memory until they are idle, so while the process is short of
    /// memory they have to wait, and batches of known series go on.
    pub(super) fn resolve_series(
        &self,
        namespace: NamespaceId,
        keys: &[SeriesKey],
    ) -> tsdb_core::Result<Vec<tsdb_core::Result<SeriesRef>>> {
        if self.options.budget.process_pressure() < Pressure::High {
            let quota = self.quota(namespace);
            return Ok(self.registry.resolve_within(namespace, keys, quota.as_ref()));
        }
        match self.registry.known(namespace, keys) {
            Some(known) => Ok(known.into_iter().map(Ok).collect()),
            None => {
                self.counters.writes_refused.add(1);
                let reason = "the process is short of memory, so new series have to wait";
                Err(tsdb_core::Error::Overloaded { reason })
            }
        }
    }

    /// The room that the database of a namespace has for series.
    fn quota(&self, namespace: NamespaceId) -> Option<DatabaseQuota> {
        let series_max = self.options.database_series_max?;
        let view = self.view.load();
        let mut databases = view.catalogue.databases.values();
        let is_here = |policy: &NamespaceInfo| policy.id == namespace;
        let database = databases.find(|database| database.policies.values().any(is_here))?;
        let namespaces = database.policies.values().map(|policy| policy.id).collect();
        Some(DatabaseQuota { series_max, namespaces })
    }

    /// Memory for the rows of a batch, waited for if need be. Without threads nobody would free any while
    /// this waits, so then it does not.
    fn admit(&self, bytes: usize) -> tsdb_core::Result<Reservation> {
        let is_wanted =
            || self.options.background && self.check_open().is_ok() && self.check_healthy().is_ok();
        let flush = || self.signals.wake_flush();
        let admitted = self.throttle.admit(&self.options.budget, bytes, flush, is_wanted);
        let admitted = admitted.inspect_err(|_| self.counters.writes_refused.add(1))?;
        if !admitted.waited.is_zero() {
            self.counters.writes_throttled.add(1);
            let waited = u64::try_from(admitted.waited.as_micros()).unwrap_or(u64::MAX);
            self.counters.throttled_microseconds.add(waited);
        }
        Ok(admitted.memory)
    }

    /// Everything about a batch that can be wrong and does not change while it waits for its number.
    fn check_batch(&self, batch: &WriteBatch) -> tsdb_core::Result<()> {
        let invalid = |what: &str| tsdb_core::Error::Invalid { what: what.to_owned() };
        for segment in batch.segments() {
            let fields = self.field_sets.get(segment.field_set);
            if fields.is_none_or(|set| set.len() != segment.columns as usize) {
                return Err(invalid("a row's values do not fit its fields: resolve the field set"));
            }
        }
        // First, since a batch of an epoch that ended may name a namespace that is gone.
        self.check_epoch(batch)?;
        self.check_namespace(batch.namespace())?;
        let here = Some(batch.namespace());
        let table = self.registry.table();
        if batch.series().iter().any(|series| table.namespace(*series) != here) {
            // They may have been evicted since the look at the epoch.
            self.check_epoch(batch)?;
            return Err(invalid("a row's series was not resolved in the batch's namespace"));
        }
        for time in batch.times() {
            check_time(*time).map_err(|_| tsdb_core::Error::TimestampOutOfRange { got: *time })?;
        }
        Ok(())
    }

    /// Whether the batch's references still mean what they meant when they were given.
    fn check_epoch(&self, batch: &WriteBatch) -> tsdb_core::Result<()> {
        let current = self.epoch.load(Ordering::Acquire);
        if batch.epoch() != Epoch(current) {
            return Err(tsdb_core::Error::StaleEpoch { batch: batch.epoch().0, current });
        }
        Ok(())
    }

    /// Writes the batch's record; under the append lock. Definitions come before their first use in a
    /// generation, and count as logged only if the frame fits.
    fn write_batch(
        &self,
        generation: u64,
        batch: &WriteBatch,
        out: &mut Vec<u8>,
    ) -> tsdb_core::Result<()> {
        self.check_epoch(batch)?;
        // It stays the current one: only a seal changes it, under the append lock.
        let table = self.registry.table();
        let start = out.len();
        let mut writer = BatchWriter::new(out);
        let (mut series_marked, mut sets_marked) = (Vec::new(), Vec::new());
        for series in batch.series() {
            if table.mark_logged(*series, generation) {
                series_marked.push(*series);
                if let Some((namespace, key)) = table.key(*series) {
                    writer.series(*series, namespace, &key);
                }
            }
        }
        for segment in batch.segments() {
            if self.field_sets.mark_logged(segment.field_set, generation) {
                sets_marked.push(segment.field_set);
                if let Some(set) = self.field_sets.get(segment.field_set) {
                    writer.field_set(segment.field_set, &set);
                }
            }
        }
        writer.rows(batch);
        let bytes = out.len() - start;
        if bytes > PAYLOAD_BYTES_MAX {
            series_marked.iter().for_each(|series| table.unmark_logged(*series));
            sets_marked.iter().for_each(|set| self.field_sets.unmark_logged(*set));
            return Err(tsdb_core::Error::TooMany {
                what: "bytes in one batch",
                count: bytes as u64,
                count_max: PAYLOAD_BYTES_MAX as u64,
                remedy: "send smaller batches",
            });
        }
        Ok(())
    }

    pub(super) fn delete(&self, request: &DeleteRequest) -> tsdb_core::Result<Ticket> {
        let _open = self.begin_write()?;
        self.check_namespace(request.namespace)?;
        // Compiled here, so that nothing can fail once the number is given.
        LiveDelete::new(0, request.clone())?;
        let ticket = self.append_change(
            |out| put_delete(out, request),
            |seq, view| {
                let of_namespace =
                    view.deletes.iter().filter(|d| d.request.namespace == request.namespace);
                if of_namespace.count() >= LIVE_DELETES_MAX {
                    return Err(tsdb_core::Error::Overloaded {
                        reason: "too many deletes wait for compaction in this database",
                    });
                }
                view.deletes.push(Arc::new(LiveDelete::new(seq, request.clone())?));
                Ok(())
            },
        )?;
        self.counters.deletes.add(1);
        Ok(ticket)
    }

    pub(super) fn change_catalogue(&self, change: &CatalogueChange) -> tsdb_core::Result<Ticket> {
        let _open = self.begin_write()?;
        let _guard = self.catalogue_lock.lock();
        let mut trial = Catalogue::clone(&self.view.load().catalogue);
        if !trial.apply(change)?.changed {
            return Ok(Ticket::completed(self.commit.visible()));
        }
        let mut dropped = Vec::new();
        let ticket = self.append_change(
            |out| put_catalogue_change(out, change),
            |_, view| {
                let mut catalogue = Catalogue::clone(&view.catalogue);
                dropped = catalogue.apply(change)?.dropped;
                view.set_catalogue(catalogue);
                if !dropped.is_empty() {
                    // Under the append lock: no batch with references of the old epoch comes after it.
                    self.epoch.fetch_add(1, Ordering::Relaxed);
                }
                Ok(())
            },
        )?;
        dropped.iter().for_each(|namespace| self.registry.drop_namespace(*namespace));
        Ok(ticket)
    }

    /// Logs a record that is not a batch; `apply` runs under the append lock with its number.
    fn append_change(
        &self,
        write: impl FnOnce(&mut Vec<u8>),
        apply: impl FnOnce(u64, &mut View) -> tsdb_core::Result<()>,
    ) -> tsdb_core::Result<Ticket> {
        let seq = self
            .wal
            .append_with(|position, out| {
                write(out);
                let mut result = Ok(());
                self.update_view(|view| {
                    let mut changed = view.clone();
                    result = apply(position.seq, &mut changed);
                    if result.is_ok() {
                        changed.open.note_change();
                        *view = changed;
                    }
                });
                result
            })
            .map_err(append_error)?;
        let ticket = self.commit.apply(seq);
        self.after_append();
        Ok(ticket)
    }

    /// Gets the write on its way to the disk, as far as its durability asks for.
    fn after_append(&self) {
        match self.options.durability {
            Durability::Sync => self.signals.wake_sync(),
            Durability::Interval(_) | Durability::Off => match self.wal.write_out() {
                Ok(seq) => self.commit.set_durable(seq),
                Err(error) => self.fail_waiting(&error),
            },
        }
    }

    pub(crate) fn sync(&self) -> Result<()> {
        let result = self.wal.sync();
        self.counters.wal_syncs.add(1);
        match result {
            Ok(seq) => {
                self.commit.set_durable(seq);
                Ok(())
            }
            Err(error) => {
                // invariant: I10: tickets are completed only up to what was synced before the failure.
                let synced = self.wal.synced_seq();
                assert!(synced <= self.wal.last_seq(), "I10: more synced than given");
                if self.options.durability == Durability::Sync {
                    self.commit.set_durable(synced);
                }
                self.fail_waiting(&error);
                Err(error.into())
            }
        }
    }

    fn fail_waiting(&self, error: &tsdb_wal::Error) {
        let error = match error {
            tsdb_wal::Error::NoSpace { .. } => {
                tsdb_core::Error::Overloaded { reason: "the disk is full" }
            }
            other => tsdb_core::Error::Poisoned { cause: other.to_string().into() },
        };
        self.commit.fail(&error);
    }
}

fn append_error(error: AppendError<tsdb_core::Error>) -> tsdb_core::Error {
    match error {
        AppendError::Write(error) => error,
        AppendError::Wal(tsdb_wal::Error::Backlog { .. }) => {
            tsdb_core::Error::Overloaded { reason: "the write-ahead log is behind" }
        }
        AppendError::Wal(error) => Error::from(error).into(),
    }
}
