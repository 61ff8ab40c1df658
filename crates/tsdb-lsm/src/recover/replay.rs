//! Applies the frames of a log to rows in memory, and hands these on to be written whenever a piece is full, so that a
//! long log needs no more memory than the running engine.

use std::sync::Arc;

use hashbrown::HashMap;
use tsdb_core::{Catalogue, Epoch, FieldSetRef, SeriesRef, WriteBatch};
use tsdb_index::{FieldSets, Registry};
use tsdb_wal::{Recovery, ReplayedFrame};

use super::pieces::{Piece, PieceEnd, Pieces};
use crate::bytes::Malformed;
use crate::delete::LiveDelete;
use crate::error::{Error, Result};
use crate::memtable::{Generation, Seal};
use crate::options::EngineOptions;
use crate::record::{Definitions, Record, decode};

/// What the references of one log generation mean now.
#[derive(Default)]
struct Meanings {
    generation: u64,
    series: HashMap<SeriesRef, SeriesRef, foldhash::fast::RandomState>,
    field_sets: HashMap<FieldSetRef, FieldSetRef, foldhash::fast::RandomState>,
}

/// A replay: what the log said up to its last frame.
pub(super) struct Replay<'scope, 'env> {
    options: &'env EngineOptions,
    registry: &'env Registry,
    field_sets: &'env FieldSets,
    pub pieces: Pieces<'scope, 'env>,
    /// Bytes from which a piece is full.
    piece_bytes: usize,
    /// Numbers up to here were in runs before.
    flushed_through: u64,
    /// The catalogue and the deletes as of the last frame.
    catalogue: Catalogue,
    deletes: Vec<Arc<LiveDelete>>,
    meanings: Meanings,
    generation: Generation,
    last_seq: u64,
    pub rows: u64,
}

impl<'scope, 'env> Replay<'scope, 'env> {
    pub(super) fn new(
        options: &'env EngineOptions,
        registry: &'env Registry,
        field_sets: &'env FieldSets,
        pieces: Pieces<'scope, 'env>,
        piece_bytes: usize,
    ) -> Replay<'scope, 'env> {
        let last_seq = pieces.manifest.flushed_through;
        Replay {
            options,
            registry,
            field_sets,
            catalogue: pieces.manifest.catalogue.clone(),
            pieces,
            piece_bytes,
            flushed_through: last_seq,
            deletes: Vec::new(),
            meanings: Meanings::default(),
            generation: Generation::new(0, last_seq, options.budget.clone()),
            last_seq,
            rows: 0,
        }
    }

    pub(super) fn frame(&mut self, frame: &ReplayedFrame<'_>) -> Result<()> {
        let seq = frame.seq;
        if frame.generation != self.meanings.generation {
            self.meanings = Meanings { generation: frame.generation, ..Meanings::default() };
            self.registry.begin_generation(frame.generation);
        }
        // invariant: I7: what a run holds already is not applied again, only its definitions are read.
        let is_new = seq > self.flushed_through;
        assert!(!is_new || seq > self.last_seq, "I7: the log shows its frames in order, each once");
        match decode(frame.payload).map_err(|malformed| self.foreign(seq, &malformed))? {
            Record::Batch(definitions, rows) => {
                self.define(definitions)?;
                if is_new {
                    self.batch(seq, rows)?;
                }
            }
            Record::Delete(request) if is_new => {
                self.deletes.push(Arc::new(LiveDelete::new(seq, request)?));
                self.generation.note_change();
            }
            Record::Catalogue(change) if is_new => {
                self.catalogue.apply(&change)?;
                self.generation.note_change();
            }
            Record::Delete(_) | Record::Catalogue(_) => {}
        }
        if is_new {
            self.last_seq = seq;
        }
        if self.generation.is_full(self.piece_bytes) {
            self.hand_on(self.last_seq, self.pieces.manifest.oldest_generation)?;
        }
        Ok(())
    }

    fn foreign(&self, seq: u64, malformed: &Malformed) -> Error {
        Error::Corrupt {
            path: self.options.directory.join("wal"),
            offset: malformed.at as u64,
            what: format!("record {seq} cannot be read: {}", malformed.what),
        }
    }

    fn define(&mut self, definitions: Definitions) -> Result<()> {
        for (number, namespace, key) in definitions.series {
            let now = self.registry.restore(namespace, &key);
            self.meanings.series.insert(number, now?);
        }
        for (number, set) in definitions.field_sets {
            let now = self.field_sets.restore(&set);
            self.meanings.field_sets.insert(number, now?);
        }
        Ok(())
    }

    fn batch(&mut self, seq: u64, rows: &[u8]) -> Result<()> {
        let undefined = Malformed { at: 0, what: "it uses a reference that was not defined" };
        let mut batch = WriteBatch::decode(rows, Epoch(0))
            .map_err(|error| Error::Core(tsdb_core::Error::Invalid { what: error.to_string() }))?;
        let (series, sets) = (&self.meanings.series, &self.meanings.field_sets);
        let known = batch
            .translate(|number| series.get(&number).copied(), |number| sets.get(&number).copied());
        let shaped = batch.segments().iter().all(|segment| {
            let set = self.field_sets.get(segment.field_set);
            set.is_some_and(|set| set.len() == segment.columns as usize)
        });
        if !known || !shaped {
            return Err(self.foreign(seq, &undefined));
        }
        self.rows += batch.len() as u64;
        self.generation.apply(seq, &batch);
        Ok(())
    }

    /// Has what was replayed so far written to runs, and begins anew behind `last_seq`.
    fn hand_on(&mut self, last_seq: u64, oldest_generation: u64) -> Result<()> {
        let next = Generation::new(0, last_seq, self.options.budget.clone());
        let generation = std::mem::replace(&mut self.generation, next);
        let catalogue = Arc::new(self.catalogue.clone());
        generation.seal(Seal { last_seq, catalogue: Arc::clone(&catalogue) });
        self.last_seq = last_seq;
        let deletes = std::mem::take(&mut self.deletes);
        let end = PieceEnd { last_seq, catalogue, deletes, oldest_generation };
        self.pieces.push(Piece { generation, series: self.registry.table(), end })
    }

    /// Has the rest written, and waits for all of it.
    pub(super) fn finish(&mut self, recovery: &Recovery) -> Result<()> {
        // Numbers that a torn tail took with it were given too: no later log may ask for them.
        let given = recovery.next_seq - 1;
        if !self.generation.is_empty() || given > self.generation.base_seq() {
            self.hand_on(given, recovery.next_generation)?;
        }
        self.pieces.finish()
    }
}
