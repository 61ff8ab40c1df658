//! Aggregation: folds blocks into states, one slot per call, group and window.

use tsdb_agg::{Function, Segment, States, WindowGrid, clip};
use tsdb_core::storage::SelectedSeries;
use tsdb_core::{Block, CancelToken, Column, TimeRange};

use super::expr::truncate;
use super::scan::Sink;
use crate::Result;
use crate::letgo::let_go;
use crate::memory::Charge;
use crate::pace::Pace;

/// Windows of a group that are merged between two looks at the token.
const WINDOWS_PER_LOOK: usize = 256;

/// One aggregation of one column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CallPlan {
    pub(crate) function: Function,
    /// Number of the column in the scan.
    pub(crate) column: usize,
    /// Whether it is of the column's values without what is behind their decimal points.
    pub(crate) cut: bool,
    /// Windows that it takes in beyond those that are shown, for what is made of its results.
    pub(crate) lead: usize,
}

impl CallPlan {
    /// Whether its answer may be made of summaries; with `times`, the times of chosen points are asked for too.
    pub(crate) fn takes_summaries(&self, times: bool) -> bool {
        self.function.takes_summaries(times) && !self.cut
    }

    /// Whether the results are whole numbers.
    pub(crate) fn is_whole(&self) -> bool {
        self.function.is_whole()
    }
}

/// The partial states of one part of a scan. Groups have slots in the order in which they turn up.
#[derive(Debug)]
pub(crate) struct Fold {
    grid: Option<WindowGrid>,
    windows: usize,
    calls: Vec<Call>,
    places: Places,
    /// Slots that the states have room for.
    room: usize,
    base: usize,
    segments: Vec<Segment>,
    clipped: Vec<Segment>,
    /// Values of a block that were cut to whole numbers.
    whole: Column,
    charge: Charge,
}

/// The states of one call.
#[derive(Debug)]
struct Call {
    column: usize,
    cut: bool,
    /// Whether slots can have values that are too few for an answer.
    may_be_null: bool,
    /// Rows outside are of windows that other calls take in.
    range: TimeRange,
    states: States,
}

/// Which place each group has in a part: groups that the part has no series of take none.
#[derive(Debug, Default)]
pub(crate) struct Places {
    place_of: Vec<u32>,
    count: usize,
}

impl Places {
    /// Number of groups.
    pub(crate) fn count(&self) -> usize {
        self.count
    }

    /// The place of `group`, and whether it is new. What it takes is charged.
    pub(crate) fn enter(&mut self, group: u32, charge: &mut Charge) -> Result<(usize, bool)> {
        let (index, capacity) = (group as usize, self.place_of.capacity());
        let growth = grown(capacity, index + 1).saturating_sub(capacity);
        charge.grow(growth * size_of::<u32>())?;
        if index >= self.place_of.len() {
            self.place_of.resize(index + 1, u32::MAX);
        }
        Ok(match self.place_of.get_mut(index) {
            Some(place) if *place == u32::MAX => {
                *place = u32::try_from(self.count).unwrap_or(u32::MAX);
                self.count += 1;
                (self.count - 1, true)
            }
            Some(place) => (*place as usize, false),
            None => (0, false),
        })
    }

    /// Groups and their places, in order of groups.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, usize)> {
        let groups = (0u32..).zip(&self.place_of);
        groups
            .filter(|(_, place)| **place != u32::MAX)
            .map(|(group, place)| (group, *place as usize))
    }
}

/// The capacity that a vector of `capacity` items gets by itself when it must hold `wanted`.
pub(crate) fn grown(capacity: usize, wanted: usize) -> usize {
    if wanted <= capacity { capacity } else { wanted.max(capacity.saturating_mul(2)) }
}

impl Fold {
    /// Empty states for `calls`, in the windows of `grid` if there is one. `ranges` says for each call in which
    /// time rows are its own.
    pub(crate) fn new(
        calls: &[CallPlan],
        ranges: &[TimeRange],
        grid: Option<WindowGrid>,
        charge: Charge,
    ) -> Fold {
        // Only a selector that stands alone shows the time of its point.
        let shows_times = grid.is_none() && calls.len() == 1;
        let new = if shows_times { States::new } else { States::untimed };
        let call = |(call, range): (&CallPlan, &TimeRange)| Call {
            column: call.column,
            cut: call.cut,
            may_be_null: call.function.may_be_null(),
            range: *range,
            states: new(call.function, 0),
        };
        Fold {
            grid,
            windows: grid.map_or(1, |grid| grid.count()),
            calls: calls.iter().zip(ranges).map(call).collect(),
            places: Places::default(),
            room: 0,
            base: 0,
            segments: Vec::new(),
            clipped: Vec::new(),
            whole: Column::default(),
            charge,
        }
    }

    /// First slot of `group`, which gets its slots now if it has none.
    fn enter(&mut self, group: u32) -> Result<usize> {
        let (place, is_new) = self.places.enter(group, &mut self.charge)?;
        let base = place * self.windows;
        if is_new {
            let functions = self.calls.iter().map(|call| call.states.function());
            let bytes: usize = functions.map(Function::slot_bytes).sum();
            let room = grown(self.room, base + self.windows);
            self.charge.grow((room - self.room).saturating_mul(bytes))?;
            self.room = room;
            for call in &mut self.calls {
                call.states.resize(base + self.windows);
            }
        }
        Ok(base)
    }

    /// Takes in the states of a part with later series.
    ///
    /// # Errors
    /// A token that was used, memory that is used up.
    pub(crate) fn merge(mut self, later: &Fold, cancel: &CancelToken) -> Result<Fold> {
        let mut pace = Pace::new(cancel);
        for (group, place) in later.places.iter() {
            pace.step()?;
            let (base, windows) = (self.enter(group)?, self.windows);
            for (call, from) in self.calls.iter_mut().zip(&later.calls) {
                let (states, from) = (&mut call.states, &from.states);
                let mut window = 0;
                while window < windows {
                    // One window alone may hold a million values.
                    cancel.check()?;
                    let (to, from_base) = (base + window, place * windows + window);
                    let some = (windows - window).min(WINDOWS_PER_LOOK);
                    let bytes = states.merge_growth(to, from, from_base, some);
                    self.charge.grow(bytes)?;
                    let before = states.heap_bytes();
                    states.merge(to, from, from_base, some);
                    give_back(&mut self.charge, bytes, before, states.heap_bytes());
                    window += some;
                }
            }
        }
        Ok(self)
    }

    /// Number of groups that turned up.
    pub(crate) fn groups_count(&self) -> usize {
        self.places.count()
    }

    /// Groups that turned up, in order, with their first slots.
    pub(crate) fn groups(&self) -> Vec<(u32, usize)> {
        self.places.iter().map(|(group, place)| (group, place * self.windows)).collect()
    }

    /// The answers of one call for the windows of the group whose slots begin at `base`.
    ///
    /// # Errors
    /// A token that was used.
    pub(crate) fn finalize(
        &mut self,
        call: usize,
        base: usize,
        cancel: &CancelToken,
        out: &mut Vec<Option<f64>>,
    ) -> Result<()> {
        out.clear();
        if let Some(call) = self.calls.get_mut(call) {
            call.states.finalize_until(base, self.windows, &|| cancel.is_ended(), out);
        }
        // What was given up is no answer.
        Ok(cancel.check()?)
    }

    /// The different values of a slot, in the order of a group's points or newest first, for a call that knows them.
    pub(crate) fn distinct(&self, call: usize, slot: usize, newest_first: bool) -> Vec<f64> {
        self.calls
            .get(call)
            .map(|call| call.states.distinct(slot, newest_first))
            .unwrap_or_default()
    }

    /// Whether values came into a slot that are too few for an answer.
    pub(crate) fn is_null(&self, call: usize, slot: usize) -> bool {
        let call = self.calls.get(call).filter(|call| call.may_be_null);
        call.is_some_and(|call| call.states.is_null(slot))
    }

    /// Timestamp of the point that a selector chose.
    pub(crate) fn time(&mut self, call: usize, slot: usize) -> Option<i64> {
        self.calls.get_mut(call).and_then(|call| call.states.time(slot))
    }
}

impl Drop for Fold {
    fn drop(&mut self) {
        // The states of some calls have an allocation for each slot.
        let_go(std::mem::take(&mut self.calls), self.room);
    }
}

/// Cuts a block where windows begin; without windows it is one piece.
pub(crate) fn split(grid: Option<&WindowGrid>, block: &Block, segments: &mut Vec<Segment>) {
    segments.clear();
    match grid {
        Some(grid) => grid.split(&block.times, segments),
        None => segments.push(Segment { window: 0, start: 0, end: block.len() }),
    }
}

/// Gives back what of `charged` bytes states did not take that had `before` and have `after`.
fn give_back(charge: &mut Charge, charged: usize, before: Option<usize>, after: Option<usize>) {
    if let (Some(before), Some(after)) = (before, after) {
        charge.give_back(charged.saturating_sub(after.saturating_sub(before)));
    }
}

/// `column` without what is behind the decimal points, in the place of `whole`.
pub(crate) fn cut<'w>(column: &Column, whole: &'w mut Column) -> &'w Column {
    whole.clone_from(column);
    truncate(&mut whole.values);
    whole
}

impl Sink for Fold {
    fn series(&mut self, _: u32, series: &SelectedSeries) -> Result<()> {
        self.calls.iter_mut().for_each(|call| call.states.end_series());
        self.base = self.enter(series.group)?;
        Ok(())
    }

    fn block(&mut self, block: &Block) -> Result<()> {
        let is_summary = |call: &Call| {
            block.columns.get(call.column).is_none_or(|column| column.summary.is_some())
        };
        if !self.calls.iter().all(is_summary) {
            split(self.grid.as_ref(), block, &mut self.segments);
        }
        let first_time = block.times.get(0).unwrap_or(i64::MAX);
        let last_time = block.len().checked_sub(1).and_then(|last| block.times.get(last));
        let last_time = last_time.unwrap_or(i64::MIN);
        for call in &mut self.calls {
            let Some(column) = block.columns.get(call.column) else { continue };
            let Some(summary) = &column.summary else {
                let mut segments = &self.segments;
                if first_time < call.range.start || last_time >= call.range.end {
                    self.clipped.clear();
                    clip(segments, &block.times, call.range, &mut self.clipped);
                    segments = &self.clipped;
                }
                let column = if call.cut { cut(column, &mut self.whole) } else { column };
                let bytes = call.states.growth(self.base, segments, &block.times, column);
                self.charge.grow(bytes)?;
                let before = call.states.heap_bytes();
                call.states.accumulate(self.base, segments, &block.times, column);
                give_back(&mut self.charge, bytes, before, call.states.heap_bytes());
                continue;
            };
            let window = match &self.grid {
                Some(grid) => grid.index_of(summary.t_first),
                None => Some(0),
            };
            // A summary is of one window, and is asked for only where no call begins or ends inside of one.
            if let Some(window) = window.filter(|_| call.range.contains(summary.t_first)) {
                call.states.accumulate_summary(self.base + window, summary);
            }
        }
        Ok(())
    }
}
