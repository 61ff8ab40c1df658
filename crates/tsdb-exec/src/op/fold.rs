//! Aggregation: folds blocks into states, one slot per call, group and window.

use tsdb_agg::{Function, Segment, States, WindowGrid};
use tsdb_core::Block;
use tsdb_core::storage::SelectedSeries;

use super::scan::Sink;
use crate::Result;
use crate::context::Charge;

/// One aggregation of one column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CallPlan {
    pub(crate) function: Function,
    /// Number of the column in the scan.
    pub(crate) column: usize,
}

/// The partial states of one part of a scan. Groups have slots in the order in which they turn up.
#[derive(Debug)]
pub(crate) struct Fold {
    grid: Option<WindowGrid>,
    windows: usize,
    columns: Vec<usize>,
    states: Vec<States>,
    places: Places,
    base: usize,
    segments: Vec<Segment>,
    charge: Charge,
}

/// Which place each group has in a part: groups that the part has no series of take none.
#[derive(Debug, Default)]
pub(crate) struct Places {
    place_of: Vec<u32>,
    count: usize,
}

impl Places {
    /// The place of `group`, and whether it is new.
    pub(crate) fn enter(&mut self, group: u32) -> (usize, bool) {
        let index = group as usize;
        if index >= self.place_of.len() {
            self.place_of.resize(index + 1, u32::MAX);
        }
        match self.place_of.get_mut(index) {
            Some(place) if *place == u32::MAX => {
                *place = u32::try_from(self.count).unwrap_or(u32::MAX);
                self.count += 1;
                (self.count - 1, true)
            }
            Some(place) => (*place as usize, false),
            None => (0, false),
        }
    }

    /// Groups and their places, in order of groups.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, usize)> {
        let groups = (0u32..).zip(&self.place_of);
        groups
            .filter(|(_, place)| **place != u32::MAX)
            .map(|(group, place)| (group, *place as usize))
    }
}

impl Fold {
    /// Empty states for `calls`, in the windows of `grid` if there is one.
    pub(crate) fn new(calls: &[CallPlan], grid: Option<WindowGrid>, charge: Charge) -> Fold {
        // Only a selector that stands alone shows the time of its point.
        let shows_times = grid.is_none() && calls.len() == 1;
        let new = if shows_times { States::new } else { States::untimed };
        Fold {
            grid,
            windows: grid.map_or(1, |grid| grid.count()),
            columns: calls.iter().map(|call| call.column).collect(),
            states: calls.iter().map(|call| new(call.function, 0)).collect(),
            places: Places::default(),
            base: 0,
            segments: Vec::new(),
            charge,
        }
    }

    /// First slot of `group`, which gets its slots now if it has none.
    fn enter(&mut self, group: u32) -> Result<usize> {
        let (place, is_new) = self.places.enter(group);
        let base = place * self.windows;
        if is_new {
            let bytes: usize = self.states.iter().map(|s| s.function().slot_bytes()).sum();
            self.charge.grow(self.windows.saturating_mul(bytes))?;
            for states in &mut self.states {
                states.resize(base + self.windows);
            }
        }
        Ok(base)
    }

    /// Takes in the states of a part with later series.
    pub(crate) fn merge(mut self, later: &Fold) -> Result<Fold> {
        for (group, place) in later.places.iter() {
            let base = self.enter(group)?;
            for (states, from) in self.states.iter_mut().zip(&later.states) {
                states.merge(base, from, place * self.windows, self.windows);
            }
        }
        Ok(self)
    }

    /// Groups that turned up, in order, with their first slots.
    pub(crate) fn groups(&self) -> impl Iterator<Item = (u32, usize)> {
        self.places.iter().map(|(group, place)| (group, place * self.windows))
    }

    /// The answers of one call for the windows of the group whose slots begin at `base`.
    pub(crate) fn finalize(&self, call: usize, base: usize, out: &mut Vec<Option<f64>>) {
        out.clear();
        if let Some(states) = self.states.get(call) {
            states.finalize(base, self.windows, out);
        }
    }

    /// Timestamp of the point that a selector chose.
    pub(crate) fn time(&self, call: usize, slot: usize) -> Option<i64> {
        self.states.get(call).and_then(|states| states.time(slot))
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

impl Sink for Fold {
    fn series(&mut self, _: u32, series: &SelectedSeries) -> Result<()> {
        self.base = self.enter(series.group)?;
        Ok(())
    }

    fn block(&mut self, block: &Block) -> Result<()> {
        let is_summary = |column: &usize| {
            block.columns.get(*column).is_none_or(|column| column.summary.is_some())
        };
        if !self.columns.iter().all(is_summary) {
            split(self.grid.as_ref(), block, &mut self.segments);
        }
        for (states, column) in self.states.iter_mut().zip(&self.columns) {
            let Some(column) = block.columns.get(*column) else { continue };
            let Some(summary) = &column.summary else {
                states.accumulate(self.base, &self.segments, &block.times, column);
                continue;
            };
            let window = match &self.grid {
                Some(grid) => grid.index_of(summary.t_first),
                None => Some(0),
            };
            if let Some(window) = window {
                states.accumulate_summary(self.base + window, summary);
            }
        }
        Ok(())
    }
}
