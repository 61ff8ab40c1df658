//! Flush: writes one sealed generation to runs.
//!
//! The eight largest (namespace, partition) pairs get a run each; all others share one mixed run, so that
//! a backfill over ten years, or two thousand databases, makes at most nine files.

pub(crate) mod policy;
mod text_sort;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use hashbrown::HashMap;
use tsdb_core::counters::StorageCounters;
use tsdb_core::env::Env;
use tsdb_core::limits::BLOCK_ROWS_MAX;
use tsdb_core::{Block, Catalogue, FieldSetRef, NamespaceId, Presence, SeriesKey};
use tsdb_index::{FieldSets, SeriesTable};

use crate::delete::{LiveDelete, SeriesDeletes};
use crate::error::{Error, Result};
use crate::manifest::{run_path, runs_directory};
use crate::memtable::Generation;
use crate::memtable::{ColumnMap, Place, RowIndex, fill, front_part};
use crate::pace::Writing;
use crate::sst::{RunMeta, RunOptions, RunWriter};
use text_sort::sort_by_text;

/// (Namespace, partition) pairs that get a run of their own.
const OWN_RUNS_MAX: usize = 8;

/// Runs of a flush, and numbers of files that are kept free for them, at most.
pub(crate) const RUNS_MAX: u64 = OWN_RUNS_MAX as u64 + 1;

/// What writing runs needs of an engine.
pub(crate) struct RunContext<'a> {
    pub env: &'a Env,
    pub directory: &'a PathBuf,
    pub options: RunOptions,
    pub counters: &'a StorageCounters,
    pub writing: Writing,
}

/// A run that is written and synced, and not yet in the manifest.
#[derive(Debug)]
pub(crate) struct NewRun {
    pub file: u64,
    pub meta: RunMeta,
}

/// What a flush writes.
pub(crate) struct FlushInput<'a> {
    pub generation: &'a Generation,
    pub last_seq: u64,
    pub catalogue: &'a Catalogue,
    pub deletes: &'a [Arc<LiveDelete>],
    /// Has all series of the generation.
    pub series: &'a SeriesTable,
    pub field_sets: &'a FieldSets,
    pub first_file: u64,
}

/// Rows of one series in one partition.
struct Part<'a> {
    key: SeriesKey,
    hash: u128,
    places: &'a [Place],
}

type Partitions<'a> = BTreeMap<(NamespaceId, i64), Vec<Part<'a>>>;

/// Writes the runs of a generation, synced, files and directory. On an error it removes what it wrote.
pub(crate) fn write_generation(
    context: &RunContext<'_>,
    input: &FlushInput<'_>,
) -> Result<Vec<NewRun>> {
    let index = input.generation.sorted();
    let mut partitions = split(index, input);
    let mut runs: Vec<NewRun> = Vec::new();
    let result = write_all(context, input, index, &mut partitions, &mut runs);
    if let Err(error) = result {
        abandon(context, &runs);
        return Err(error);
    }
    Ok(runs)
}

/// Removes runs that will not enter the manifest; what cannot be removed is removed at the next start.
pub(crate) fn abandon(context: &RunContext<'_>, runs: &[NewRun]) {
    for run in runs {
        let _ = context.env.vfs.unlink(&run_path(context.directory, run.file));
    }
}

fn write_all(
    context: &RunContext<'_>,
    input: &FlushInput<'_>,
    index: &RowIndex,
    partitions: &mut Partitions<'_>,
    runs: &mut Vec<NewRun>,
) -> Result<()> {
    let rows = |parts: &Vec<Part<'_>>| parts.iter().map(|part| part.places.len()).sum::<usize>();
    let mut sizes: Vec<(usize, (NamespaceId, i64))> =
        partitions.iter().map(|(id, parts)| (rows(parts), *id)).collect();
    sizes.sort_unstable_by(|a, b| b.cmp(a));
    let own = sizes.len().min(OWN_RUNS_MAX);
    let mut groups: Vec<Vec<(NamespaceId, i64)>> =
        sizes.iter().take(own).map(|(_, id)| vec![*id]).collect();
    let mut rest: Vec<_> = sizes.iter().skip(own).map(|(_, id)| *id).collect();
    rest.sort_unstable();
    if !rest.is_empty() {
        groups.push(rest);
    }
    let mut maps = Maps::default();
    for (file, group) in (input.first_file..).zip(groups) {
        let path = run_path(context.directory, file);
        let mut writer = RunWriter::create(context.env, &path, context.options)?;
        writer.write_as(context.writing.clone());
        let written = group.iter().try_for_each(|id| {
            let parts = partitions.remove(id).unwrap_or_default();
            write_slice(context, &mut writer, input, index, *id, parts, &mut maps)
        });
        if let Err(error) = written {
            writer.abandon();
            return Err(error);
        }
        if let Some(meta) = writer.finish()? {
            context.counters.flush_bytes.add(meta.bytes);
            runs.push(NewRun { file, meta });
        }
    }
    if !runs.is_empty() {
        let directory = runs_directory(context.directory);
        context.env.vfs.sync_dir(&directory).map_err(Error::io("sync", &directory))?;
    }
    Ok(())
}

/// Rows by (namespace, partition), series in key order in each. Rows of namespaces that are gone, and
/// expired ones, are left out.
fn split<'a>(index: &'a RowIndex, input: &FlushInput<'_>) -> Partitions<'a> {
    let mut partitions = Partitions::new();
    for series in index.series() {
        let Some((namespace, key)) = input.series.key(series) else { continue };
        let hash = input.series.hash(series);
        let Some(info) = input.catalogue.by_id(namespace) else { continue };
        let mut rest = index.places(series);
        let expired = rest.partition_point(|place| place.time < info.cutoff);
        rest = rest.get(expired..).unwrap_or(&[]);
        while let Some(first) = rest.first() {
            let start = info.partition_start(first.time);
            let end = start.saturating_add(info.partition_ns);
            let count = rest.partition_point(|place| place.time < end).max(1);
            let (places, later) = rest.split_at(count);
            let part = Part { key: key.clone(), hash, places };
            partitions.entry((namespace, start)).or_default().push(part);
            rest = later;
        }
    }
    for parts in partitions.values_mut() {
        sort_by_text(parts, |part| part.key.as_str().as_bytes());
    }
    partitions
}

/// Column maps by the field sets that the rows of a series have.
#[derive(Default)]
struct Maps(HashMap<Vec<FieldSetRef>, Arc<ColumnMap>, foldhash::fast::RandomState>);

impl Maps {
    fn of(&mut self, index: &RowIndex, places: &[Place], known: &FieldSets) -> Arc<ColumnMap> {
        let mut sets: Vec<FieldSetRef> = Vec::new();
        for place in places {
            if let Some(set) = index.row(*place).map(|(block, row)| block.field_set(row))
                && !sets.contains(&set)
            {
                sets.push(set);
            }
        }
        sets.sort_unstable();
        if let Some(map) = self.0.get(&sets) {
            return Arc::clone(map);
        }
        let found: Vec<_> = sets.iter().filter_map(|set| known.get(*set)).collect();
        let mut names: Vec<Arc<str>> =
            found.iter().flat_map(|set| set.names().iter().cloned()).collect();
        names.sort_unstable();
        names.dedup();
        let mut map = ColumnMap::new(names.into());
        sets.iter().for_each(|set| map.learn(*set, known));
        let map = Arc::new(map);
        self.0.insert(sets, Arc::clone(&map));
        map
    }
}

fn write_slice(
    context: &RunContext<'_>,
    writer: &mut RunWriter,
    input: &FlushInput<'_>,
    index: &RowIndex,
    (namespace, partition_start): (NamespaceId, i64),
    parts: Vec<Part<'_>>,
    maps: &mut Maps,
) -> Result<()> {
    let first_seq = input.generation.base_seq() + 1;
    writer.begin_slice(namespace, partition_start, first_seq, input.last_seq)?;
    let deletes: Vec<Arc<LiveDelete>> =
        input.deletes.iter().filter(|d| d.request.namespace == namespace).cloned().collect();
    let mut block = Block::new();
    for part in parts {
        let hidden = SeriesDeletes::of(&part.key, &deletes).for_generation(input.generation);
        let map = maps.of(index, part.places, input.field_sets);
        let mut begun = false;
        let mut rest = part.places;
        while !rest.is_empty() {
            let (now, later) = rest.split_at(front_part(rest, BLOCK_ROWS_MAX));
            rest = later;
            block.reset(0, map.columns().len());
            fill(index, now, &map, &hidden, &mut block);
            if block.is_empty() {
                continue;
            }
            if !begun {
                writer.begin_series(&part.key, part.hash)?;
                begun = true;
            }
            let values = push_block(writer, map.columns(), &block, 1)?;
            context.counters.values_encoded.add(values);
        }
    }
    Ok(())
}

/// Writes a block as one chunk, whose values are encoded the `encodings`th time; returns their number.
pub(crate) fn push_block(
    writer: &mut RunWriter,
    names: &Arc<[Arc<str>]>,
    block: &Block,
    encodings: u32,
) -> Result<u64> {
    let times: Vec<i64> = block.times.iter().collect();
    let columns: Vec<(Arc<str>, &tsdb_core::Column)> = names
        .iter()
        .zip(&block.columns)
        .filter(|(_, column)| column.presence != Presence::None)
        .map(|(name, column)| (Arc::clone(name), column))
        .collect();
    let values: usize = columns.iter().map(|(_, column)| column.values.len()).sum();
    writer.push_chunk(&times, &columns, encodings)?;
    Ok(values as u64)
}
