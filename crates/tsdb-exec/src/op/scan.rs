//! Data collection: drives the cursors of a selection, one thread each for big scans, filters their blocks
//! and hands them to a sink.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use rayon::prelude::*;
use tsdb_core::storage::{ScanCounts, SelectedSeries, Selection};
use tsdb_core::{Block, CancelToken, Column, Cursor};

use super::bits;
use super::filter::RowFilter;
use crate::Result;
use crate::limits::Limit;
use crate::times::{Stage, Times};

/// What takes in the blocks of one part of a scan. Series come in key order.
pub(crate) trait Sink: Send {
    /// The blocks that follow are of this series.
    fn series(&mut self, number: u32, series: &SelectedSeries) -> Result<()>;

    /// Takes in a block. Rows that the filter refused have no values; so may rows that it did not.
    fn block(&mut self, block: &Block) -> Result<()>;
}

/// What a statement has read so far, and when it must stop. Shared by its threads.
#[derive(Debug)]
pub(crate) struct Progress {
    samples: AtomicU64,
    rows: AtomicU64,
    blocks: AtomicU64,
    /// What the engine counted, over all scans.
    scans: Mutex<ScanCounts>,
    samples_max: u64,
    cancel: CancelToken,
    /// Another part has failed.
    stopped: AtomicBool,
    times: Times,
}

impl Progress {
    pub(crate) fn new(samples_max: u64, cancel: CancelToken) -> Progress {
        Progress {
            samples: AtomicU64::new(0),
            rows: AtomicU64::new(0),
            blocks: AtomicU64::new(0),
            scans: Mutex::default(),
            samples_max,
            cancel,
            stopped: AtomicBool::new(false),
            times: Times::default(),
        }
    }

    /// Takes the times of its stages from now on.
    pub(crate) fn set_times(&mut self, times: Times) {
        self.times = times;
    }

    /// The times of the stages.
    pub(crate) fn times(&self) -> &Times {
        &self.times
    }

    /// Looks at the token.
    pub(crate) fn check(&self) -> Result<()> {
        Ok(self.cancel.check()?)
    }

    /// The token, for what looks at it by itself.
    pub(crate) fn cancel(&self) -> &CancelToken {
        &self.cancel
    }

    /// Values, rows and blocks read.
    pub(crate) fn read(&self) -> (u64, u64, u64) {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        (get(&self.samples), get(&self.rows), get(&self.blocks))
    }

    /// Adds what the engine counted in a scan that is over.
    pub(crate) fn count_scan(&self, counts: &ScanCounts) {
        // Nothing panics while it holds the lock; if something did, the numbers would still be numbers.
        let mut scans = self.scans.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        *scans += *counts;
    }

    /// What the engine counted so far.
    pub(crate) fn scans(&self) -> ScanCounts {
        *self.scans.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn count(&self, block: &Block) -> Result<()> {
        let values =
            |column: &Column| if column.summary.is_some() { 0 } else { column.values.len() };
        let samples: usize = block.columns.iter().map(values).sum();
        self.rows.fetch_add(block.len() as u64, Ordering::Relaxed);
        self.blocks.fetch_add(1, Ordering::Relaxed);
        let total = self.samples.fetch_add(samples as u64, Ordering::Relaxed) + samples as u64;
        if total <= self.samples_max {
            return Ok(());
        }
        Err(Limit::Samples.exceeded(total, self.samples_max))
    }
}

/// Reads all of `selection` into sinks that `new` makes, one per cursor. The sinks come back in the order
/// of the cursors, which is that of the series, however many threads there were.
pub(crate) fn collect<S: Sink>(
    selection: &mut Selection,
    filter: Option<&RowFilter>,
    progress: &Progress,
    new: impl Fn() -> S + Sync,
) -> Result<Vec<S>> {
    let series = &selection.series;
    let part = |mut cursor: Box<dyn Cursor>| -> Result<Option<S>> {
        let sink = read_part(&mut *cursor, series, filter, progress, &new);
        if sink.is_err() {
            progress.stopped.store(true, Ordering::Relaxed);
        }
        sink
    };
    let cursors = std::mem::take(&mut selection.cursors);
    let sinks: Vec<Result<Option<S>>> = if cursors.len() <= 1 {
        cursors.into_iter().map(part).collect()
    } else {
        cursors.into_par_iter().map(part).collect()
    };
    // A part that only stopped since another failed has no error of its own.
    sinks.into_iter().filter_map(Result::transpose).collect()
}

/// One part; `None` if another part failed meanwhile.
fn read_part<S: Sink>(
    cursor: &mut dyn Cursor,
    series: &[SelectedSeries],
    filter: Option<&RowFilter>,
    progress: &Progress,
    new: &(impl Fn() -> S + Sync),
) -> Result<Option<S>> {
    let mut sink = new();
    let mut block = Block::new();
    let mut bound = Vec::new();
    let mut current = None;
    let times = &progress.times;
    while times.measure(Stage::Scan, || cursor.next(&mut block))? {
        progress.check()?;
        if progress.stopped.load(Ordering::Relaxed) {
            return Ok(None);
        }
        progress.count(&block)?;
        if current != Some(block.series) {
            current = Some(block.series);
            let Some(selected) = series.get(block.series as usize) else { continue };
            if let Some(filter) = filter {
                filter.bind(&selected.key, &mut bound);
            }
            times.measure(Stage::Fold, || sink.series(block.series, selected))?;
        }
        if let Some(filter) = filter
            && times.measure(Stage::Filter, || !leave_matches(filter, &bound, &mut block))
        {
            continue;
        }
        times.measure(Stage::Fold, || sink.block(&block))?;
    }
    Ok(Some(sink))
}

/// Takes the values from rows of `block` that do not fulfil the condition, and says whether others are left.
fn leave_matches(filter: &RowFilter, bound: &[bool], block: &mut Block) -> bool {
    let Some(mask) = filter.rows(block, bound) else { return true };
    let rows = block.len();
    let is_any = bits::count(&mask) > 0;
    if is_any {
        block.columns.iter_mut().for_each(|column| bits::restrict(column, &mask, rows));
    }
    is_any
}
