//! Carries out a merge: reads its input slices series by series and writes one run.

use std::collections::BTreeSet;
use std::sync::Arc;

use tsdb_core::limits::BLOCK_ROWS_MAX;
use tsdb_core::{Block, Presence, Reservation, SeriesKey, TimeColumn, TimeRange};

use super::Choice;
use crate::delete::{LiveDelete, SeriesDeletes};
use crate::error::{Error, Result};
use crate::flush::{NewRun, RunContext, push_block};
use crate::manifest::{run_path, runs_directory};
use crate::scan::{MergeOptions, RunSource, SeriesMerge, Source, field_places};
use crate::sst::{RunWriter, Through};
use crate::view::SliceRef;

/// What a merge reads.
pub(crate) struct MergeInput<'a> {
    pub choice: &'a Choice,
    /// Newest first.
    pub slices: Vec<SliceRef>,
    /// Deletes of the namespace that are in the manifest.
    pub deletes: Vec<Arc<LiveDelete>>,
    /// Rows before it have expired.
    pub cutoff: i64,
    /// Highest number that the merged slice stands for: that of its inputs, or of a delete that the merge
    /// applies, if no other slice of the partition lies between.
    pub seq_max: u64,
    pub file: u64,
}

/// Writes the merged run, synced, file and directory; `None` if no row is left. On an error the inputs
/// are as they were and nothing stays behind.
pub(crate) fn merge(
    context: &RunContext<'_>,
    input: &MergeInput<'_>,
    memory: Reservation,
) -> Result<Option<NewRun>> {
    let path = run_path(context.directory, input.file);
    let mut writer = RunWriter::create(context.env, &path, context.options)?;
    if let Err(error) = write(context, input, &mut writer, memory) {
        writer.abandon();
        return Err(error);
    }
    let Some(meta) = writer.finish()? else { return Ok(None) };
    let directory = runs_directory(context.directory);
    context.env.vfs.sync_dir(&directory).map_err(Error::io("sync", &directory))?;
    context.counters.compaction_bytes.add(meta.bytes);
    Ok(Some(NewRun { file: input.file, meta }))
}

/// The directory of the output is charged in steps of this many bytes.
const CHARGE_STEP: usize = 256 << 10;

/// Memory of the buffers of a merge: a decoded chunk of each input, one that is merged and one that waits to
/// be full, with the columns of the widest measurement.
pub(crate) fn buffer_bytes(slices: &[SliceRef]) -> usize {
    let columns = slices.iter().map(|slice| slice.get().widest_chunk()).max().unwrap_or(0);
    let block = BLOCK_ROWS_MAX * size_of::<f64>() * (columns + 1);
    (slices.len() + 2) * block
}

/// Writes all series.
fn write(
    context: &RunContext<'_>,
    input: &MergeInput<'_>,
    writer: &mut RunWriter,
    mut memory: Reservation,
) -> Result<()> {
    let buffers = memory.bytes();
    let seq_min = input.slices.iter().map(|slice| slice.get().meta().seq_min).min().unwrap_or(0);
    let choice = input.choice;
    writer.begin_slice(choice.namespace, choice.partition_start, seq_min, input.seq_max)?;
    let mut columns = MeasurementColumns::default();
    let mut heads: Vec<Head<'_>> = input.slices.iter().map(Head::new).collect();
    let (mut block, mut scratch) = (Block::new(), Vec::new());
    while let Some(key) = heads.iter().filter_map(|head| head.key.clone()).min() {
        columns.prepare(&input.slices, key.measurement());
        let deletes = SeriesDeletes::of(&key, &input.deletes);
        let (mut sources, mut hash) = (Vec::new(), 0);
        for (head, fields) in heads.iter_mut().zip(&columns.places) {
            if head.key.as_ref() != Some(&key) {
                continue;
            }
            let (slice, ordinal) = (head.slice, head.ordinal);
            hash = slice.get().index().hash(ordinal);
            let mut source = RunSource {
                slice: slice.clone(),
                series: ordinal,
                fields: Arc::clone(fields),
                time: TimeRange::new(input.cutoff, i64::MAX),
                hidden: deletes.for_slice(slice.get().meta()),
                order: tsdb_core::storage::Order::Ascending,
                through: Through::File,
                rest: 0..0,
            };
            source.seek();
            sources.push(Source::Run(source));
            head.advance();
        }
        let mut merge = SeriesMerge::new(sources, MergeOptions::rows());
        let mut pending = Pending::new(columns.names.len());
        let mut begun = false;
        while merge.next(0, columns.names.len(), &mut block, &mut scratch)? {
            if !begun {
                writer.begin_series(&key, hash)?;
                begun = true;
            }
            for full in pending.push(&mut block) {
                context.counters.values_encoded.add(push_block(writer, &columns.names, &full)?);
            }
        }
        if let Some(last) = pending.finish() {
            context.counters.values_encoded.add(push_block(writer, &columns.names, &last)?);
        }
        context.counters.pages_read.add(merge.counts.pages.pages);
        let needed = buffers + writer.directory_bytes();
        if needed > memory.bytes() + CHARGE_STEP {
            // Half way, giving up would waste what was done, so this may go beyond the limit; then the
            // next merge waits.
            memory.cover_anyway(needed);
        }
    }
    Ok(())
}

/// The next series of a slice.
struct Head<'a> {
    slice: &'a SliceRef,
    ordinal: u32,
    key: Option<SeriesKey>,
}

impl<'a> Head<'a> {
    fn new(slice: &'a SliceRef) -> Head<'a> {
        Head { slice, ordinal: 0, key: Some(slice.get().index().key(0)) }
    }

    fn advance(&mut self) {
        self.ordinal += 1;
        let index = self.slice.get().index();
        self.key = (self.ordinal < index.len()).then(|| index.key(self.ordinal));
    }
}

/// The fields of the measurement that is being merged, and where they stand in each slice.
#[derive(Default)]
struct MeasurementColumns {
    measurement: Option<String>,
    names: Arc<[Arc<str>]>,
    places: Vec<Arc<[Option<usize>]>>,
}

impl MeasurementColumns {
    fn prepare(&mut self, slices: &[SliceRef], measurement: &str) {
        if self.measurement.as_deref() == Some(measurement) {
            return;
        }
        self.measurement = Some(measurement.to_owned());
        let mut names: BTreeSet<Arc<str>> = BTreeSet::new();
        for slice in slices {
            let slice = slice.get();
            let chunks = slice.index().measurement(measurement).flat_map(|s| slice.chunks(s));
            let fields: BTreeSet<usize> = chunks.flat_map(|c| slice.chunk_fields(c)).collect();
            names.extend(fields.into_iter().filter_map(|f| slice.fields().get(f)).cloned());
        }
        self.names = names.into_iter().collect();
        self.places = slices.iter().map(|slice| field_places(slice, &self.names)).collect();
    }
}

/// Collects rows until a chunk is full, since what a merge yields is cut where sources overlap.
struct Pending {
    block: Block,
}

impl Pending {
    fn new(columns: usize) -> Pending {
        let mut block = Block::new();
        block.reset(0, columns);
        Pending { block }
    }

    /// Adds the rows of `more`; returns the chunks that are full now.
    fn push(&mut self, more: &mut Block) -> Vec<Block> {
        if self.block.is_empty() && more.len() == BLOCK_ROWS_MAX {
            return vec![std::mem::take(more)];
        }
        let (old, new) = (self.block.len(), more.len());
        let mut full = Vec::new();
        if old + new >= BLOCK_ROWS_MAX {
            let cut = BLOCK_ROWS_MAX - old;
            append(&mut self.block, more, 0..cut);
            let columns = self.block.columns.len();
            full.push(std::mem::take(&mut self.block));
            self.block.reset(0, columns);
            append(&mut self.block, more, cut..new);
        } else {
            append(&mut self.block, more, 0..new);
        }
        full
    }

    fn finish(self) -> Option<Block> {
        (!self.block.is_empty()).then_some(self.block)
    }
}

/// Appends the rows `rows` of `from` to `to`.
fn append(to: &mut Block, from: &Block, rows: std::ops::Range<usize>) {
    if rows.is_empty() {
        return;
    }
    let old = to.len();
    for (target, source) in to.columns.iter_mut().zip(&from.columns) {
        let absent = |column: &tsdb_core::Column| column.presence == Presence::None;
        if absent(target) && absent(source) {
            continue;
        }
        let all = |column: &tsdb_core::Column| column.presence == Presence::All;
        if (old == 0 || all(target)) && all(source) {
            target.presence = Presence::All;
            target.values.extend_from_slice(source.values.get(rows.clone()).unwrap_or(&[]));
            continue;
        }
        let before = std::mem::take(target);
        let old_rows = (0..old).map(|row| before.get(row));
        target.fill(old_rows.chain(rows.clone().map(|row| source.get(row))));
    }
    let mut stamps: Vec<i64> = to.times.iter().collect();
    stamps.extend(rows.filter_map(|row| from.times.get(row)));
    to.times = TimeColumn::Stamps(stamps);
}
