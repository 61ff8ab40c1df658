//! The cursor: reads a contiguous part of the series of a scan, one after the other.

use std::ops::Range;
use std::sync::Arc;

use tsdb_core::counters::StorageCounters;
use tsdb_core::storage::ScanCounters;
use tsdb_core::{Block, CancelToken, Cursor, Error, Result};

use super::ColumnPlaces;
use super::find::Found;
use super::merge::{MergeCounts, MergeOptions, SeriesMerge};
use crate::sst::ReadBuffers;

/// What the cursors of one scan share.
pub(super) struct Scan {
    pub found: Arc<Found>,
    pub places: ColumnPlaces,
    pub options: MergeOptions,
    pub columns: usize,
    pub limit: u64,
    pub cancel: CancelToken,
    /// Those of the engine, and those of this scan.
    pub counters: Arc<StorageCounters>,
    pub scan_counters: Arc<ScanCounters>,
}

impl Scan {
    /// Adds what reading one series took.
    fn count(&self, counts: MergeCounts) {
        self.counters.chunks_from_summary.add(counts.summarised);
        self.counters.chunks_decoded.add(counts.decoded);
        self.counters.chunks_pruned.add(counts.pruned);
        self.counters.pages_read.add(counts.pages.pages);
        self.scan_counters.chunks_summarised.add(counts.summarised);
        self.scan_counters.chunks_read.add(counts.decoded);
        self.scan_counters.chunks_skipped.add(counts.pruned);
        self.scan_counters.rows_scanned.add(counts.rows);
        self.scan_counters.bytes_read.add(counts.pages.bytes);
        self.scan_counters.bytes_cached.add(counts.pages.cached);
    }
}

/// Reads some of the series of a scan.
pub(super) struct EngineCursor {
    scan: Arc<Scan>,
    /// Places among the found series.
    rest: Range<usize>,
    current: Option<Current>,
    buffers: ReadBuffers,
}

struct Current {
    number: u32,
    merge: SeriesMerge,
    left: u64,
}

impl EngineCursor {
    /// A cursor over the series at `part`.
    pub(super) fn new(scan: &Arc<Scan>, part: Range<usize>) -> EngineCursor {
        EngineCursor {
            scan: Arc::clone(scan),
            rest: part,
            current: None,
            buffers: ReadBuffers::default(),
        }
    }
}

impl Cursor for EngineCursor {
    fn next(&mut self, block: &mut Block) -> Result<bool> {
        loop {
            self.scan.cancel.check()?;
            let Some(current) = &mut self.current else {
                let place = self.rest.next();
                let series = place.and_then(|place| self.scan.found.series.get(place));
                let Some((place, series)) = place.zip(series) else {
                    block.reset(0, self.scan.columns);
                    return Ok(false);
                };
                let options = self.scan.options.clone();
                let sources = self.scan.found.open(
                    series,
                    &self.scan.places,
                    options.order,
                    &mut self.buffers,
                )?;
                let merge = SeriesMerge::new(sources, options);
                let number = u32::try_from(place).unwrap_or(u32::MAX);
                self.current = Some(Current { number, merge, left: self.scan.limit });
                continue;
            };
            let (number, columns) = (current.number, self.scan.columns);
            let more = current.left > 0
                && current
                    .merge
                    .next(number, columns, block, &mut self.buffers)
                    .map_err(Error::from)?;
            if !more {
                self.scan.count(current.merge.counts);
                self.current = None;
                continue;
            }
            if block.len() as u64 > current.left {
                truncate(block, usize::try_from(current.left).unwrap_or(usize::MAX));
            }
            current.left -= block.len() as u64;
            return Ok(true);
        }
    }
}

/// Keeps the first `rows` rows.
fn truncate(block: &mut Block, rows: usize) {
    let times: Vec<i64> = block.times.iter().take(rows).collect();
    for column in &mut block.columns {
        let old = std::mem::take(column);
        column.fill((0..rows).map(|row| old.get(row)));
    }
    block.times = tsdb_core::TimeColumn::Stamps(times);
}
