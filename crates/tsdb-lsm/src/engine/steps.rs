//! The steps of maintenance: seal, flush, expire, and the edit of the manifest that commits each. Merges are in `merges`.

use std::sync::Arc;
use tsdb_core::sync::atomic::Ordering;

use tsdb_core::planted::{Planted, is_planted};
use tsdb_core::{Catalogue, NamespaceId, Pool};
use tsdb_index::IdleRule;

use super::Shared;
use super::closings::Closings;
use crate::compaction::due_bytes;
use crate::delete::LiveDelete;
use crate::error::{Error, Result};
use crate::flush::{FlushInput, NewRun, RUNS_MAX, RunContext, abandon, write_generation};
use crate::manifest::{self, DeleteEntry, FileEntry, Manifest, SliceId, run_path};
use crate::memtable::{Generation, Seal};
use crate::pace::Writing;
use crate::retention::{ClockTrust, Reading};
use crate::sst::Run;
use crate::view::{Version, View};

impl Shared {
    pub(crate) fn seal(&self) -> Result<bool> {
        if self.wal.last_seq() == self.view.load().open.base_seq() {
            return Ok(false);
        }
        let mut closings = self.seal_lock.lock();
        let now_ns = self.options.env.clock.mono_ns();
        let open = self.view.load().open.id();
        let eviction = self.registry.prepare_eviction(self.idle_rule(&mut closings, now_ns));
        closings.note(open, now_ns);
        // Outlives the append lock: to free what left takes long enough for writers to notice.
        let mut retired = None;
        self.wal
            .begin_generation(|sealed| {
                let next =
                    Generation::new(sealed.opened, sealed.last_seq, self.options.budget.clone());
                let mut closed_something = false;
                self.update_view(|view| {
                    let old = std::mem::replace(&mut view.open, Arc::new(next));
                    // Two sealers may have raced to here; the second closes a generation without numbers.
                    if old.base_seq() < sealed.last_seq {
                        let catalogue = Arc::clone(&view.catalogue);
                        old.seal(Seal { last_seq: sealed.last_seq, catalogue });
                        view.sealed.push(old);
                        closed_something = true;
                    }
                    self.registry.begin_generation(sealed.opened);
                    if let Some(eviction) = eviction {
                        // Under the append lock: no batch with references of the old epoch comes after it.
                        let end_epoch = || _ = self.epoch.fetch_add(1, Ordering::Release);
                        let evicted = eviction.finish(&self.registry, end_epoch);
                        view.set_series(evicted.series);
                        self.counters.evictions.add(1);
                        self.counters.series_evicted.add(evicted.left as u64);
                        retired = Some(evicted.retired);
                    }
                });
                closed_something
            })
            .inspect(|_| self.counters.seals.add(1))
            .map_err(Error::from)
    }

    /// Which series may leave memory at a seal now: those without rows in the last generations and for a while, and in
    /// any generation that is not in runs yet. From half of the most series in memory on the while does not count.
    fn idle_rule(&self, closings: &mut Closings, now_ns: u64) -> IdleRule {
        let view = self.view.load();
        let open = view.open.id();
        let oldest = view.sealed.first().unwrap_or(&view.open).id();
        let written = u64::from(self.options.idle_generations.max(1));
        let mut recent = (open + 1).saturating_sub(written);
        if self.registry.len() <= self.options.series_max / 2 {
            let idle_ns = u64::try_from(self.options.idle_time.as_nanos()).unwrap_or(u64::MAX);
            recent = recent.min(closings.first_recent(open, now_ns, idle_ns));
        }
        let oldest = if is_planted(Planted::EvictsSeriesWithRows) { recent } else { oldest };
        IdleRule { generations_from: recent.min(oldest), idle_min: self.options.evict_min }
    }

    pub(crate) fn flush_one(&self) -> Result<bool> {
        let _guard = self.flush_lock.lock();
        let view = self.view.load_full();
        let Some(generation) = view.sealed.first() else { return Ok(false) };
        let Some(seal) = generation.sealed() else { return Ok(false) };
        if !is_planted(Planted::FlushWaitsForNobody) {
            self.commit.wait_applied(seal.last_seq);
        }
        if self.wal.synced_seq() < seal.last_seq {
            self.sync()?;
        }
        // invariant: I3: nothing is flushed that the log does not hold durably.
        assert!(self.wal.synced_seq() >= seal.last_seq, "I3: a flush ran ahead of the log");
        let deletes: Vec<Arc<LiveDelete>> = view
            .deletes
            .iter()
            .filter(|d| d.seq > generation.base_seq() && d.seq <= seal.last_seq)
            .cloned()
            .collect();
        if is_planted(Planted::LogGoesBeforeManifest) {
            self.wal.remove_through(generation.id())?;
        }
        let result = self.flush_generation(generation, seal, &deletes);
        if result.is_err() {
            self.counters.flush_errors.add(1);
        }
        result?;
        self.counters.flushes.add(1);
        // invariant: I1: the log lets go of rows only once the manifest names the runs that hold them.
        let flushed_through = self.view.load().version.manifest.flushed_through;
        assert!(flushed_through >= seal.last_seq, "I1: the log would lose rows that are in no run");
        // Readers may keep the generation for a while yet; who waits looks again by himself then.
        self.throttle.memory_was_freed();
        // A failure costs space until the next flush, which removes this generation's files too.
        self.wal.remove_through(generation.id()).or_else(ignore_retryable)?;
        self.signals.wake_compaction();
        Ok(true)
    }

    fn flush_generation(
        &self,
        generation: &Arc<Generation>,
        seal: &Seal,
        deletes: &[Arc<LiveDelete>],
    ) -> Result<()> {
        let mut context = self.context();
        context.writing = Writing::Flush(Arc::clone(&self.pace));
        // Numbers that are not used stay unused.
        let first_file = self.next_file.fetch_add(RUNS_MAX, Ordering::Relaxed);
        let sorted = generation.sorted().bytes();
        let _memory = self.options.budget.reserve_anyway(Pool::Compaction, sorted);
        let input = FlushInput {
            generation,
            last_seq: seal.last_seq,
            catalogue: &seal.catalogue,
            deletes,
            series: &self.registry.table(),
            field_sets: &self.field_sets,
            first_file,
        };
        let runs = write_generation(&context, &input)?;
        let opened = self.open_runs(&context, runs)?;
        self.edit(
            opened,
            |manifest, view| {
                let mut catalogue = Catalogue::clone(&seal.catalogue);
                // Retention went on since the seal; a namespace that was dropped meanwhile stands in the
                // manifest only.
                for namespace in catalogue.namespaces_mut() {
                    for later in [&*view.catalogue, &manifest.catalogue] {
                        let cutoff = later.by_id(namespace.id).map_or(i64::MIN, |n| n.cutoff);
                        namespace.cutoff = namespace.cutoff.max(cutoff);
                    }
                }
                manifest.catalogue = catalogue;
                manifest.flushed_through = seal.last_seq;
                manifest.oldest_generation = generation.id() + 1;
                let entries =
                    deletes.iter().map(|d| DeleteEntry { seq: d.seq, request: d.request.clone() });
                manifest.deletes.extend(entries);
                true
            },
            |view| view.sealed.retain(|sealed| sealed.id() != generation.id()),
        )
        .map(|_| ())
    }

    /// Opens freshly written runs for reading; removes them again if that fails.
    pub(super) fn open_runs(
        &self,
        context: &RunContext<'_>,
        runs: Vec<NewRun>,
    ) -> Result<Vec<(NewRun, Arc<Run>)>> {
        let mut opened = Vec::with_capacity(runs.len());
        for run in &runs {
            let path = run_path(context.directory, run.file);
            match Run::open(context.env, &path, &run.meta, context.options.database_id, &self.cache)
            {
                Ok(reader) => opened.push(Arc::new(reader)),
                Err(error) => {
                    abandon(context, &runs);
                    return Err(error);
                }
            }
        }
        Ok(runs.into_iter().zip(opened).collect())
    }

    /// The only way to change the manifest. Adds `runs`, lets `change` do the rest (false: nothing is to
    /// be done any more), commits, and swaps the view in one step with `swap`. Returns whether it was
    /// done; where it was not, `runs` are removed.
    pub(super) fn edit(
        &self,
        runs: Vec<(NewRun, Arc<Run>)>,
        change: impl FnOnce(&mut Manifest, &View) -> bool,
        swap: impl FnOnce(&mut View),
    ) -> Result<bool> {
        let _guard = self.manifest_lock.lock();
        self.check_healthy()?;
        let view = self.view.load_full();
        let old = &view.version;
        let mut manifest = old.manifest.clone();
        let mut readers = old.runs().clone();
        let mut new_runs = Vec::with_capacity(runs.len());
        for (run, reader) in runs {
            let entry = FileEntry { meta: run.meta.clone(), dead: Default::default() };
            manifest.files.insert(run.file, entry);
            readers.insert(run.file, reader);
            new_runs.push(run);
        }
        manifest.next_file = self.next_file.load(Ordering::Relaxed);
        manifest.synced_upto = manifest.synced_upto.max(self.wal.synced_seq());
        if !change(&mut manifest, &view) {
            abandon(&self.context(), &new_runs);
            return Ok(false);
        }
        manifest.tidy();
        let written =
            manifest::write(&self.options.env, self.directory(), Some(&old.manifest), &manifest);
        if let Err(failure) = written {
            if failure.in_doubt {
                *self.failed.lock() = Some(failure.error.to_string().into());
                let cause = failure.error.to_string().into();
                self.commit.fail(&tsdb_core::Error::Poisoned { cause });
            } else {
                abandon(&self.context(), &new_runs);
            }
            return Err(failure.error);
        }
        self.pace.set_due(due_bytes(&manifest));
        let removed: Vec<u64> =
            readers.keys().filter(|file| !manifest.files.contains_key(file)).copied().collect();
        let version = Arc::new(Version::new(manifest, readers));
        self.update_view(|view| {
            view.version = Arc::clone(&version);
            let kept = |delete: &Arc<LiveDelete>| {
                delete.seq > version.manifest.flushed_through
                    || version.manifest.deletes.iter().any(|entry| entry.seq == delete.seq)
            };
            view.deletes.retain(kept);
            swap(view);
        });
        for file in removed {
            if is_planted(Planted::RemovedRunsAreEmptied) {
                self.empty_run(file);
            }
            // Readers keep it open as long as they need it; a start removes what could not be.
            if self.options.env.vfs.unlink(&run_path(self.directory(), file)).is_ok() {
                self.counters.runs_removed.add(1);
            }
        }
        Ok(true)
    }

    /// What must not be done to a file that is still open somewhere; only planted mistakes come here.
    fn empty_run(&self, file: u64) {
        if let Ok(file) = self.options.env.vfs.open_rw(&run_path(self.directory(), file)) {
            let _ = file.set_len(0);
        }
    }

    /// Looks how much room the disk has.
    pub(crate) fn check_disk(&self) {
        let was_short = self.disk.is_short();
        self.disk.look(&self.options.env, self.directory());
        if self.disk.is_short() && !was_short {
            self.counters.disk_shortages.add(1);
        }
    }

    /// Seals and flushes until no row that was numbered before the call is in memory only.
    pub(crate) fn flush_all(&self) -> Result<()> {
        self.seal()?;
        while self.flush_one()? {}
        Ok(())
    }

    pub(crate) fn retain(&self, now_ns: i64) -> Result<usize> {
        let expiring = |catalogue: &Catalogue| -> Vec<(NamespaceId, i64)> {
            let moved = catalogue.namespaces().filter_map(|namespace| {
                let cutoff = now_ns.saturating_sub(namespace.retention_ns?);
                (cutoff > namespace.cutoff).then_some((namespace.id, cutoff))
            });
            moved.collect()
        };
        let view = self.view.load_full();
        let moved = expiring(&view.catalogue);
        if moved.is_empty() {
            return Ok(0);
        }
        // A cutoff stands in the manifest, so its namespace must stand there first.
        if moved.iter().any(|(id, _)| view.version.manifest.catalogue.by_id(*id).is_none()) {
            self.flush_all()?;
        }
        let advance = |catalogue: &mut Catalogue| {
            for namespace in catalogue.namespaces_mut() {
                if let Some((_, cutoff)) = moved.iter().find(|(id, _)| *id == namespace.id) {
                    namespace.cutoff = namespace.cutoff.max(*cutoff);
                }
            }
        };
        self.edit(
            Vec::new(),
            |manifest, _| {
                advance(&mut manifest.catalogue);
                let expired: Vec<SliceId> = manifest
                    .slices()
                    .filter(|(_, meta)| {
                        let found = moved.iter().find(|(id, _)| *id == meta.namespace);
                        found.is_some_and(|(_, cutoff)| meta.t_max < *cutoff)
                    })
                    .map(|(id, _)| id)
                    .collect();
                self.counters.slices_expired.add(expired.len() as u64);
                expired.into_iter().for_each(|id| manifest.kill(id));
                true
            },
            |view| {
                let mut catalogue = Catalogue::clone(&view.catalogue);
                advance(&mut catalogue);
                view.set_catalogue(catalogue);
            },
        )?;
        Ok(moved.len())
    }
}

impl Shared {
    /// The time by which rows expire now: the wall clock, as far as it can be believed.
    pub(crate) fn retention_time(&self) -> (i64, ClockTrust) {
        let clock = &self.options.env.clock;
        let now = Reading { wall: clock.wall_ns(), mono: clock.mono_ns() };
        if is_planted(Planted::RetentionByWallClock) {
            return (now.wall, ClockTrust::Believed);
        }
        let mut retention = self.retention.lock();
        let (now_ns, trust) = retention.0.look(now, |time| self.would_expire_everything(time));
        retention.1 = trust;
        if trust == ClockTrust::Suspended {
            self.counters.retention_suspended.add(1);
        }
        (now_ns, trust)
    }

    /// Believes the wall clock for retention from now on.
    pub(crate) fn trust_clock(&self) {
        let clock = &self.options.env.clock;
        let now = Reading { wall: clock.wall_ns(), mono: clock.mono_ns() };
        self.retention.lock().0.confirm(now);
    }

    /// Whether no row of all namespaces with a retention, of which there are some, would be left at a time.
    fn would_expire_everything(&self, now_ns: i64) -> bool {
        let view = self.view.load();
        let catalogue = &view.catalogue;
        let mut expiring = view.version.manifest.slices().filter_map(|(_, meta)| {
            let retention_ns = catalogue.by_id(meta.namespace)?.retention_ns?;
            Some(meta.t_max < now_ns.saturating_sub(retention_ns))
        });
        let in_memory = !view.open.is_empty() || !view.sealed.is_empty();
        !in_memory && expiring.next() == Some(true) && expiring.all(|expires| expires)
    }
}

/// A removal that can be repeated later is not worth failing for.
fn ignore_retryable(error: tsdb_wal::Error) -> Result<(), tsdb_wal::Error> {
    match error.kind() {
        tsdb_wal::ErrorKind::Retry => Ok(()),
        _ => Err(error),
    }
}
