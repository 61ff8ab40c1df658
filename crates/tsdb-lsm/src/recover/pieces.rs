//! Writes the rows of a replayed log to runs, on several threads, and commits them in the order of the log.
//!
//! The log is cut into pieces by its bytes, never by how fast something goes. Whoever writes them, the pieces are the
//! same, each becomes the same runs under the same file numbers, and the manifest takes one after the other: what many
//! threads leave behind is, byte for byte, what one does, and so it is after an error in between.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use tsdb_core::counters::StorageCounters;
use tsdb_core::sync::thread::{Scope, ScopedJoinHandle};
use tsdb_core::{Catalogue, Pool};
use tsdb_index::{FieldSets, SeriesTable};

use crate::cache::PageCache;
use crate::delete::LiveDelete;
use crate::error::Result;
use crate::flush::{FlushInput, NewRun, RUNS_MAX, RunContext, abandon, write_generation};
use crate::manifest::{self, DeleteEntry, FileEntry, Manifest, run_path};
use crate::memtable::Generation;
use crate::options::EngineOptions;
use crate::pace::Writing;
use crate::sst::{Run, RunOptions};

/// Pieces that are written at the same time, at most. Together with the one that is being filled they have at most as
/// many rows in memory as the running engine.
pub(super) const AT_ONCE_MAX: usize = 4;

/// Bytes of the rows from which a piece is full, in a log of `log_bytes` whose generations have `generation_bytes`: a
/// quarter of the log, so that there is work for several threads, but neither so little that a short log becomes many
/// small runs, nor more than memory holds several times.
pub(super) fn piece_bytes(log_bytes: u64, generation_bytes: usize) -> usize {
    let quarter = usize::try_from(log_bytes / 4).unwrap_or(usize::MAX);
    quarter.clamp(generation_bytes / 8, generation_bytes / 2)
}

/// What the writing of pieces needs of the store that is being opened.
#[derive(Clone, Copy)]
pub(super) struct Store<'env> {
    pub options: &'env EngineOptions,
    pub counters: &'env StorageCounters,
    pub cache: &'env Arc<PageCache>,
    pub field_sets: &'env FieldSets,
    pub run_options: RunOptions,
}

/// A part of the log.
pub(super) struct Piece {
    /// Its rows, sealed.
    pub generation: Generation,
    pub series: Arc<SeriesTable>,
    pub end: PieceEnd,
}

/// What the log says as of the last number of a piece.
pub(super) struct PieceEnd {
    pub last_seq: u64,
    pub catalogue: Arc<Catalogue>,
    /// Those with numbers of the piece.
    pub deletes: Vec<Arc<LiveDelete>>,
    /// The oldest generation of the log that is needed once the piece is in runs.
    pub oldest_generation: u64,
}

/// A piece whose rows are in runs instead of memory, if that went well.
struct Written {
    end: PieceEnd,
    runs: Result<Vec<NewRun>>,
}

/// The pieces under way, and the manifest as of the last one that is committed.
pub(super) struct Pieces<'scope, 'env> {
    store: Store<'env>,
    scope: &'scope Scope<'scope, 'env>,
    /// With one, the thread of the caller writes.
    threads: usize,
    under_way: VecDeque<ScopedJoinHandle<'scope, Written>>,
    next_file: u64,
    pub manifest: Manifest,
    pub runs: BTreeMap<u64, Arc<Run>>,
}

impl<'scope, 'env> Pieces<'scope, 'env> {
    /// On top of a manifest and its runs. At most `threads` of the scope are taken, and [`AT_ONCE_MAX`].
    pub(super) fn new(
        store: Store<'env>,
        scope: &'scope Scope<'scope, 'env>,
        threads: usize,
        manifest: Manifest,
        runs: BTreeMap<u64, Arc<Run>>,
    ) -> Pieces<'scope, 'env> {
        let threads = threads.clamp(1, AT_ONCE_MAX);
        let next_file = manifest.next_file;
        Pieces { store, scope, threads, under_way: VecDeque::new(), next_file, manifest, runs }
    }

    /// Writes a piece, or has it written, once one of the threads is free.
    ///
    /// # Errors
    /// That of the first piece that could not be written or committed; nothing behind it is left.
    pub(super) fn push(&mut self, piece: Piece) -> Result<()> {
        let (store, first_file) = (self.store, self.next_file);
        self.next_file += RUNS_MAX;
        if self.threads == 1 {
            let written = store.write(piece, first_file);
            return self.commit(written);
        }
        while self.under_way.len() >= self.threads {
            self.commit_oldest()?;
        }
        self.under_way.push_back(self.scope.spawn(move || store.write(piece, first_file)));
        Ok(())
    }

    /// Commits all pieces.
    ///
    /// # Errors
    /// As [`Pieces::push`].
    pub(super) fn finish(&mut self) -> Result<()> {
        while !self.under_way.is_empty() {
            self.commit_oldest()?;
        }
        Ok(())
    }

    fn commit_oldest(&mut self) -> Result<()> {
        let Some(thread) = self.under_way.pop_front() else { return Ok(()) };
        let result = self.commit(joined(thread));
        if result.is_err() {
            for thread in std::mem::take(&mut self.under_way) {
                let runs = joined(thread).runs.unwrap_or_default();
                abandon(&self.store.context(), &runs);
            }
        }
        result
    }

    /// Makes the runs of a piece live.
    fn commit(&mut self, written: Written) -> Result<()> {
        let Written { end, runs } = written;
        let Store { options, counters, cache, .. } = self.store;
        let mut new = self.manifest.clone();
        for run in runs? {
            let path = run_path(&options.directory, run.file);
            let database_id = self.manifest.database_id;
            let reader = Run::open(&options.env, &path, &run.meta, database_id, cache)?;
            self.runs.insert(run.file, Arc::new(reader));
            new.next_file = new.next_file.max(run.file + 1);
            new.files.insert(run.file, FileEntry { meta: run.meta, dead: Default::default() });
        }
        new.catalogue = Arc::unwrap_or_clone(end.catalogue);
        new.flushed_through = end.last_seq;
        new.synced_upto = new.synced_upto.max(end.last_seq);
        new.oldest_generation = end.oldest_generation;
        let entry = |d: &Arc<LiveDelete>| DeleteEntry { seq: d.seq, request: d.request.clone() };
        new.deletes.extend(end.deletes.iter().map(entry));
        new.tidy();
        manifest::write(&options.env, &options.directory, Some(&self.manifest), &new)
            .map_err(|failure| failure.error)?;
        self.runs.retain(|file, _| new.files.contains_key(file));
        self.manifest = new;
        counters.flushes.add(1);
        Ok(())
    }
}

/// What a thread wrote; its panic goes on in the caller.
fn joined(thread: ScopedJoinHandle<'_, Written>) -> Written {
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

impl<'env> Store<'env> {
    fn context(&self) -> RunContext<'env> {
        RunContext {
            env: &self.options.env,
            directory: &self.options.directory,
            options: self.run_options,
            counters: self.counters,
            writing: Writing::Freely,
        }
    }

    fn write(&self, piece: Piece, first_file: u64) -> Written {
        let sorted = piece.generation.sorted().bytes();
        let _memory = self.options.budget.reserve_anyway(Pool::Compaction, sorted);
        let input = FlushInput {
            generation: &piece.generation,
            last_seq: piece.end.last_seq,
            catalogue: &piece.end.catalogue,
            deletes: &piece.end.deletes,
            series: &piece.series,
            field_sets: self.field_sets,
            first_file,
        };
        let runs = write_generation(&self.context(), &input);
        Written { end: piece.end, runs }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_of_short_and_long_logs() {
        assert_eq!(piece_bytes(0, 800), 100, "a log that is nearly empty is one piece");
        assert_eq!(piece_bytes(800, 800), 200, "a log of one generation is four");
        assert_eq!(piece_bytes(u64::MAX, 800), 400, "five of the largest are in memory");
    }
}
