//! Finding: which series match, and in which sources of a snapshot their rows are.

use std::sync::Arc;

use tsdb_core::matcher::TagFilter;
use tsdb_core::storage::Order;
use tsdb_core::{NamespaceId, Reservation, Result, SeriesKey, SeriesRef, TimeRange};
use tsdb_index::FieldSets;

use super::source::{MemorySource, RowsWanted, RunSource, Source};
use super::{ColumnPlaces, EngineSnapshot};
use crate::delete::{LiveDelete, SeriesDeletes};
use crate::memtable::{Generation, RowIndex, Wanted};
use crate::sst::{ReadBuffers, Through};
use crate::view::SliceRef;
use crate::work::Work;

/// Which series are looked for.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Question {
    pub namespace: NamespaceId,
    /// Exact names; `None` is all.
    pub measurements: Option<Vec<Arc<str>>>,
    pub filter: TagFilter,
    pub time: TimeRange,
}

/// Sources of a read that are the same for all its series.
pub(super) struct Sources {
    /// Newest first.
    pub indexes: Vec<(Arc<Generation>, Arc<RowIndex>)>,
    /// Newest first, all older than the generations.
    pub slices: Vec<SliceRef>,
    pub deletes: Vec<Arc<LiveDelete>>,
    /// Times that were asked for and have not expired.
    pub time: TimeRange,
}

/// A series that matches.
pub(super) struct Matched {
    pub key: SeriesKey,
    /// Its part of [`Found::rows`].
    first: u32,
    count: u32,
}

/// Where a series has rows.
#[derive(Debug, Clone, Copy)]
pub(super) enum RowsOf {
    /// Place among [`Sources::indexes`], and the series there.
    Memory(usize, SeriesRef),
    /// Place among [`Sources::slices`], and the series' ordinal there.
    Run(usize, u32),
}

/// The answer to a [`Question`].
pub(super) struct Found {
    pub sources: Sources,
    /// In order of keys.
    pub series: Vec<Matched>,
    rows: RowLists,
    /// Pays for the indexes, the keys and the lists.
    pub held: Option<Arc<Reservation>>,
}

/// Of each series newest first: a source (generations before slices), and the series' number in it.
type RowLists = Vec<(u32, u32)>;

/// A series in a source, before it is known which series of other sources it is the same as.
struct Sighting {
    hash: u128,
    source: u32,
    number: u32,
}

/// Memory of a matched series: its sighting, key and places, without the text of the key.
const MATCHED_BYTES: usize = size_of::<Sighting>() + size_of::<Matched>() + 8;

/// Memory of an `Arc<str>` beside its text.
const ARC_BYTES: usize = 2 * size_of::<usize>();

impl Found {
    /// The sources of a series, newest first.
    pub(super) fn rows_of(&self, series: &Matched) -> impl Iterator<Item = RowsOf> {
        let start = series.first as usize;
        let rows = self.rows.get(start..start + series.count as usize).unwrap_or(&[]);
        let generations = self.sources.indexes.len();
        rows.iter().map(move |(source, number)| {
            let source = *source as usize;
            match source.checked_sub(generations) {
                None => RowsOf::Memory(source, SeriesRef(*number)),
                Some(slice) => RowsOf::Run(slice, *number),
            }
        })
    }

    /// Opens the sources of a series, newest first.
    pub(super) fn open(
        &self,
        series: &Matched,
        places: &ColumnPlaces,
        order: Order,
        buffers: &mut ReadBuffers,
    ) -> Result<Vec<Source>> {
        let sources = &self.sources;
        let deletes = SeriesDeletes::of(&series.key, &sources.deletes);
        let mut opened = Vec::with_capacity(series.count as usize);
        for rows in self.rows_of(series) {
            match rows {
                RowsOf::Memory(place, number) => {
                    let Some((generation, index)) = sources.indexes.get(place) else { continue };
                    let found: Arc<[_]> = index.places(number).into();
                    opened.push(Source::Memory(MemorySource {
                        index: Arc::clone(index),
                        rest: 0..found.len(),
                        places: found,
                        map: Arc::clone(&places.memory),
                        deletes: deletes.for_generation(generation),
                        order,
                        times_max: MemorySource::first_times(order),
                    }));
                }
                RowsOf::Run(place, ordinal) => {
                    let found = sources.slices.get(place).zip(places.slices.get(place));
                    let Some((slice, fields)) = found else { continue };
                    let wanted = RowsWanted {
                        fields: Arc::clone(fields),
                        time: sources.time,
                        hidden: deletes.for_slice(slice.get().meta()),
                        order,
                        through: Through::Cache,
                    };
                    let source = RunSource::open(slice.clone(), ordinal, wanted, buffers)?;
                    opened.push(Source::Run(source));
                }
            }
        }
        Ok(opened)
    }

    /// Whether `series` surely has a visible row, without reading one.
    pub(super) fn is_surely_alive(
        &self,
        series: &Matched,
        buffers: &mut ReadBuffers,
    ) -> Result<bool> {
        let sources = &self.sources;
        let deletes = SeriesDeletes::of(&series.key, &sources.deletes);
        for rows in self.rows_of(series) {
            let is_sure = match rows {
                RowsOf::Memory(..) => deletes.is_empty(),
                RowsOf::Run(place, ordinal) => {
                    let slice = sources.slices.get(place).map(SliceRef::get);
                    let Some(slice) = slice else { continue };
                    if !deletes.for_slice(slice.meta()).is_empty() {
                        continue;
                    }
                    let time = sources.time;
                    let whole = slice.meta().t_min >= time.start && slice.meta().t_max < time.end;
                    // A slice lists no series without a row. A chunk's first and last row exist, so one of them
                    // inside is enough; of a shared entry one of the two may be another series'.
                    whole
                        || slice.chunks(ordinal, time, Through::Cache, buffers)?.iter().any(
                            |chunk| {
                                let (first, last) =
                                    (time.contains(chunk.t_min), time.contains(chunk.t_max));
                                if chunk.is_exact() { first || last } else { first && last }
                            },
                        )
                }
            };
            if is_sure {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

impl EngineSnapshot {
    /// Answers `question`. O(series of all sources), and the sorting of their rows in memory.
    ///
    /// # Errors
    /// A namespace that does not exist, a filter that does not compile, and what ends `work`.
    pub(super) fn find(&self, question: &Question, mut work: Work) -> Result<Found> {
        let time = self.alive(question.namespace, question.time)?;
        let mut sources = Sources {
            indexes: self.indexes(question, time, &mut work)?,
            slices: self.view.version.slices(question.namespace, time),
            deletes: self.deletes(question.namespace),
            time,
        };
        let mut seen = Vec::new();
        let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        for (source, (_, index)) in (0u32..).zip(&sources.indexes) {
            work.hold(index.series().len() * MATCHED_BYTES)?;
            seen.extend(index.series().map(|series| {
                let hash = self.view.series.hash(series);
                Sighting { hash, source, number: series.0 }
            }));
        }
        let measurements = question.measurements.as_deref();
        let is_alone = sources.indexes.len() + sources.slices.len() == 1;
        for (source, slice) in (number(sources.indexes.len())..).zip(&sources.slices) {
            work.check()?;
            let slice = slice.get();
            let matching = slice.matching(measurements, &question.filter, work.cancel())?;
            work.hold(matching.len() * MATCHED_BYTES)?;
            let mut series = slice.series(Through::Cache);
            for ordinal in matching {
                // Without another source there is nothing to tell series apart from.
                let hash = if is_alone { u128::from(ordinal) } else { series.hash(ordinal)? };
                seen.push(Sighting { hash, source, number: ordinal });
            }
        }
        let (series, rows) = self.join(&sources, seen, &mut work)?;
        sources.indexes.shrink_to_fit();
        Ok(Found { sources, series, rows, held: work.finish().map(Arc::new) })
    }

    /// The rows of the wanted series in memory, by generation and age, newest first.
    pub(super) fn indexes(
        &self,
        question: &Question,
        time: TimeRange,
        work: &mut Work,
    ) -> Result<Vec<(Arc<Generation>, Arc<RowIndex>)>> {
        let mut indexes = Vec::new();
        let Some(head) = self.view.heads.get(&question.namespace) else { return Ok(indexes) };
        if time.is_empty() {
            return Ok(indexes);
        }
        let measurements = question.measurements.as_deref();
        let wanted = head.matching(measurements, &question.filter, work.cancel())?;
        work.hold(wanted.len() * size_of::<SeriesRef>())?;
        for generation in self.view.generations().filter(|g| g.may_overlap(time)) {
            let found = generation.indexes(&Wanted::These(&wanted), self.bound, time, work)?;
            let found = found.into_iter().filter(|index| index.rows() > 0);
            indexes.extend(found.map(|index| (Arc::clone(generation), Arc::new(index))));
        }
        work.release(wanted.len() * size_of::<SeriesRef>());
        Ok(indexes)
    }

    /// Tells by their hashes which sightings are of the same series, and puts the series in order.
    fn join(
        &self,
        sources: &Sources,
        mut seen: Vec<Sighting>,
        work: &mut Work,
    ) -> Result<(Vec<Matched>, RowLists)> {
        let generations = sources.indexes.len();
        // The series of a single source are different ones, and in a run they are in order already.
        if generations + sources.slices.len() > 1 {
            seen.sort_unstable_by_key(|sighting| (sighting.hash, sighting.source));
        }
        let mut series = Vec::new();
        let mut rows = Vec::with_capacity(seen.len());
        // Where the key of each series is: in the registry, or in a slice, where it is read in order.
        let mut in_slices: Vec<(u32, u32, usize)> = Vec::new();
        for same in seen.chunk_by(|a, b| a.hash == b.hash) {
            work.step()?;
            let Some(newest) = same.first() else { continue };
            let key = match (newest.source as usize).checked_sub(generations) {
                // A key of the registry is shared with it.
                None => match self.view.series.key(SeriesRef(newest.number)) {
                    Some((_, key)) => Some(key),
                    None => continue,
                },
                Some(_) => {
                    in_slices.push((newest.source, newest.number, series.len()));
                    None
                }
            };
            let first = u32::try_from(rows.len()).unwrap_or(u32::MAX);
            rows.extend(same.iter().map(|sighting| (sighting.source, sighting.number)));
            series.push((key, first, u32::try_from(same.len()).unwrap_or(0)));
        }
        in_slices.sort_unstable();
        for same in in_slices.chunk_by(|a, b| a.0 == b.0) {
            let source = same.first().map_or(0, |(source, ..)| *source as usize);
            let slice = source.checked_sub(generations).and_then(|at| sources.slices.get(at));
            let Some(slice) = slice else { continue };
            let mut reader = slice.get().series(Through::Cache);
            for (_, ordinal, place) in same {
                work.step()?;
                let key = reader.key(*ordinal)?;
                work.hold(key.as_str().len() + ARC_BYTES)?;
                if let Some((to, ..)) = series.get_mut(*place) {
                    *to = Some(key);
                }
            }
        }
        let mut series: Vec<Matched> = series
            .into_iter()
            .filter_map(|(key, first, count)| Some(Matched { key: key?, first, count }))
            .collect();
        work.check()?;
        series.sort_unstable_by(|a, b| a.key.cmp(&b.key));
        Ok((series, rows))
    }
}

impl ColumnPlaces {
    /// Works out where `columns` stand in each source.
    ///
    /// # Errors
    /// What ends `work`.
    pub(super) fn new(
        columns: &Arc<[Arc<str>]>,
        sources: &Sources,
        known: &FieldSets,
        work: &mut Work,
    ) -> Result<ColumnPlaces> {
        let mut memory = crate::memtable::ColumnMap::new(Arc::clone(columns));
        for (_, index) in &sources.indexes {
            for set in index.field_sets() {
                work.step()?;
                memory.learn(set, known);
            }
        }
        let slices = sources.slices.iter().map(|slice| super::field_places(slice, columns));
        Ok(ColumnPlaces { memory: Arc::new(memory), slices: slices.collect() })
    }
}
