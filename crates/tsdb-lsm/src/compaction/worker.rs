//! Carries out merges: reads their input slices series by series and writes one run, with a slice for each.

use std::collections::BTreeSet;
use std::sync::Arc;

use tsdb_core::limits::BLOCK_ROWS_MAX;
use tsdb_core::{Block, Reservation, SeriesKey, TimeRange};

use super::Choice;
use super::joiner::Joiner;
use crate::delete::{LiveDelete, SeriesDeletes};
use crate::error::{Error, Result};
use crate::flush::{NewRun, RunContext};
use crate::manifest::{run_path, runs_directory};
use crate::scan::{MergeOptions, Piece, RowsWanted, RunSource, SeriesMerge, Source, field_places};
use crate::sst::{ReadBuffers, RunWriter, SliceSeries, Through};
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
    /// Whether no later merge is expected: short chunks are joined.
    pub is_last: bool,
}

/// Writes the run of some merges, synced, file and directory; `None` if no row is left. On an error the inputs
/// are as they were and nothing stays behind.
pub(crate) fn merge(
    context: &RunContext<'_>,
    file: u64,
    inputs: &[MergeInput<'_>],
    mut memory: Reservation,
) -> Result<Option<NewRun>> {
    let path = run_path(context.directory, file);
    let mut writer = RunWriter::create(context.env, &path, context.options)?;
    writer.write_as(context.writing.clone());
    let buffers = memory.bytes();
    let written = inputs
        .iter()
        .try_for_each(|input| write(context, input, &mut writer, buffers, &mut memory));
    if let Err(error) = written {
        writer.abandon();
        return Err(error);
    }
    let Some(meta) = writer.finish()? else { return Ok(None) };
    let directory = runs_directory(context.directory);
    context.env.vfs.sync_dir(&directory).map_err(Error::io("sync", &directory))?;
    context.counters.compaction_bytes.add(meta.bytes);
    Ok(Some(NewRun { file, meta }))
}

/// The directory of the output is charged in steps of this many bytes.
const CHARGE_STEP: usize = 256 << 10;

/// Memory of the buffers of a merge: a decoded chunk of each input, one that is merged and one that waits to
/// be full, with the columns of the widest measurement.
pub(crate) fn buffer_bytes(slices: &[SliceRef]) -> usize {
    let columns = slices.iter().map(|slice| slice.get().widest_measurement()).max().unwrap_or(0);
    let block = BLOCK_ROWS_MAX * size_of::<f64>() * (columns + 1);
    (slices.len() + 2) * block
}

/// Writes all series.
fn write(
    context: &RunContext<'_>,
    input: &MergeInput<'_>,
    writer: &mut RunWriter,
    buffers: usize,
    memory: &mut Reservation,
) -> Result<()> {
    let seq_min = input.slices.iter().map(|slice| slice.get().meta().seq_min).min().unwrap_or(0);
    let choice = input.choice;
    writer.begin_slice(choice.namespace, choice.partition_start, seq_min, input.seq_max)?;
    let mut columns = MeasurementColumns::default();
    let heads = input.slices.iter().map(Head::new);
    let mut heads: Vec<Head<'_>> = heads.collect::<Result<_>>()?;
    let (mut block, mut reader) = (Block::new(), ReadBuffers::default());
    while let Some(key) = heads.iter().filter_map(|head| head.key.as_ref()).min().cloned() {
        columns.prepare(&input.slices, key.measurement());
        let deletes = SeriesDeletes::of(&key, &input.deletes);
        let (mut sources, mut hash) = (Vec::new(), 0);
        for (head, fields) in heads.iter_mut().zip(&columns.places) {
            if head.key.as_ref() != Some(&key) {
                continue;
            }
            let (slice, ordinal) = (head.slice, head.ordinal);
            hash = head.hash;
            let wanted = RowsWanted {
                fields: Arc::clone(fields),
                time: TimeRange::new(input.cutoff, i64::MAX),
                hidden: deletes.for_slice(slice.get().meta()),
                order: tsdb_core::storage::Order::Ascending,
                through: Through::File,
            };
            let source = RunSource::open(slice.clone(), ordinal, wanted, &mut reader)?;
            sources.push(Source::Run(source));
            head.advance()?;
        }
        let mut merge = SeriesMerge::new(sources, MergeOptions::copying());
        let width = columns.names.len();
        let mut next = merge.next_piece(0, width, &mut block, &mut reader)?;
        if next.is_some() {
            writer.begin_series(&key, hash)?;
        }
        let mut joiner = Joiner::new(writer, &columns.names, input.is_last);
        while let Some(piece) = next {
            match piece {
                Piece::Raw(chunk) => joiner.push_chunk(chunk)?,
                Piece::Block => joiner.push_rows(&mut block, merge.counts.encodings)?,
            }
            next = merge.next_piece(0, width, &mut block, &mut reader)?;
        }
        let counts = joiner.finish()?;
        context.counters.values_encoded.add(counts.encoded);
        context.counters.values_encoded_again.add(counts.encoded_again);
        context.counters.values_copied.add(counts.copied);
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
    series: SliceSeries<'a>,
    ordinal: u32,
    key: Option<SeriesKey>,
    hash: u128,
}

impl<'a> Head<'a> {
    fn new(slice: &'a SliceRef) -> Result<Head<'a>> {
        let series = slice.get().series(Through::File);
        let mut head = Head { slice, series, ordinal: 0, key: None, hash: 0 };
        head.look()?;
        Ok(head)
    }

    fn advance(&mut self) -> Result<()> {
        self.ordinal += 1;
        self.look()
    }

    fn look(&mut self) -> Result<()> {
        self.key = None;
        if self.ordinal < self.slice.get().index().len() {
            self.key = Some(self.series.key(self.ordinal)?);
            self.hash = self.series.hash(self.ordinal)?;
        }
        Ok(())
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
            if let Some(series) = slice.index().measurement(measurement).next() {
                names.extend(slice.fields_of_measurement(series).cloned());
            }
        }
        self.names = names.into_iter().collect();
        self.places = slices.iter().map(|slice| field_places(slice, &self.names)).collect();
    }
}
