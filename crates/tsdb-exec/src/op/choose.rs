//! A selector with other columns beside it, as in `SELECT max(usage), host FROM cpu`: keeps the whole chosen
//! row of each group and window.

use tsdb_agg::{
    Function, Run, Segment, WindowGrid, ascending, capacity_for, nearest_rank, select_nth,
};
use tsdb_core::storage::SelectedSeries;
use tsdb_core::{Block, CancelToken, Column};

use super::fold::{CallPlan, Places, cut, grown, split};
use super::scan::Sink;
use crate::Result;
use crate::letgo::Long;
use crate::memory::Charge;
use crate::pace::Pace;

/// A chosen row.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Chosen {
    /// The value that the selector chose it for.
    pub(crate) value: f64,
    /// Its timestamp in ns.
    pub(crate) time: i64,
    /// Number of its series in the selection.
    pub(crate) series: u32,
    /// Its values in all columns of the scan.
    pub(crate) row: Box<[Option<f64>]>,
}

/// The chosen rows of one part of a scan.
#[derive(Debug)]
pub(crate) struct Choose {
    call: CallPlan,
    grid: Option<WindowGrid>,
    windows: usize,
    places: Places,
    rows: Long<Option<Chosen>>,
    /// All rows of each slot, for a percentile, which must see them all before it can choose.
    candidates: Long<Vec<Chosen>>,
    base: usize,
    series: u32,
    segments: Vec<Segment>,
    charge: Charge,
}

impl Choose {
    /// Nothing chosen yet.
    pub(crate) fn new(call: CallPlan, grid: Option<WindowGrid>, charge: Charge) -> Choose {
        Choose {
            call,
            grid,
            windows: grid.map_or(1, |grid| grid.count()),
            places: Places::default(),
            rows: Long::new(),
            candidates: Long::new(),
            base: 0,
            series: 0,
            segments: Vec::new(),
            charge,
        }
    }

    fn enter(&mut self, group: u32) -> Result<usize> {
        let (place, is_new) = self.places.enter(group, &mut self.charge)?;
        let base = place * self.windows;
        if is_new {
            let bytes = size_of::<Option<Chosen>>() + size_of::<Vec<Chosen>>();
            let room = grown(self.rows.capacity(), base + self.windows) - self.rows.capacity();
            self.charge.grow(room.saturating_mul(bytes))?;
            self.rows.resize(base + self.windows, None);
            self.candidates.resize(base + self.windows, Vec::new());
        }
        Ok(base)
    }

    /// Takes all rows of a run as candidates of a slot.
    fn keep(
        &mut self,
        slot: usize,
        block: &Block,
        column: &Column,
        segment: &Segment,
    ) -> Result<()> {
        let Some(candidates) = self.candidates.get_mut(slot) else { return Ok(()) };
        let rows = segment.start..segment.end;
        let count = rows.clone().filter(|row| column.is_present(*row)).count();
        let capacity = capacity_for(candidates.capacity(), candidates.len() + count);
        let room = (capacity - candidates.capacity()).saturating_mul(size_of::<Chosen>());
        let values = count * block.columns.len() * size_of::<Option<f64>>();
        self.charge.grow(room.saturating_add(values))?;
        candidates.reserve_exact(capacity - candidates.len());
        for row in rows {
            let (Some(value), Some(time)) = (column.get(row), block.times.get(row)) else {
                continue;
            };
            let row = block.columns.iter().map(|column| column.get(row)).collect();
            candidates.push(Chosen { value, time, series: self.series, row });
        }
        Ok(())
    }

    /// Chooses for a percentile, once all rows have come in. Numbers only, unless there are none.
    ///
    /// # Errors
    /// A token that was used.
    pub(crate) fn settle(&mut self, cancel: &CancelToken) -> Result<()> {
        let Function::Percentile(percent) = self.call.function else { return Ok(()) };
        let mut pace = Pace::new(cancel);
        for (candidates, chosen) in self.candidates.iter_mut().zip(self.rows.iter_mut()) {
            pace.step()?;
            let mut numbers = 0;
            for row in candidates.iter() {
                pace.step()?;
                numbers += usize::from(!row.value.is_nan());
            }
            let count = if numbers == 0 { candidates.len() } else { numbers };
            let Some(place) = nearest_rank(count, percent) else { continue };
            let in_order = |a: &Chosen, b: &Chosen| {
                let by_time = || a.time.cmp(&b.time).then(a.series.cmp(&b.series));
                ascending(a.value, b.value).then_with(by_time)
            };
            if !select_nth(candidates, place, in_order, &|| cancel.is_ended()) {
                cancel.check()?;
            }
            *chosen = Some(candidates.swap_remove(place));
            while candidates.pop().is_some() {
                pace.step()?;
            }
        }
        Ok(())
    }

    /// Takes in the rows of a part with later series.
    ///
    /// # Errors
    /// A token that was used, memory that is used up.
    pub(crate) fn merge(mut self, later: Choose, cancel: &CancelToken) -> Result<Choose> {
        let Choose { places, mut rows, mut candidates, charge, .. } = later;
        self.charge.merge(charge);
        let mut pace = Pace::new(cancel);
        for (group, place) in places.iter() {
            let (base, from) = (self.enter(group)?, place * self.windows);
            for window in 0..self.windows {
                pace.step()?;
                let new = rows.get_mut(from + window).and_then(Option::take);
                if let (Some(new), Some(old)) = (new, self.rows.get_mut(base + window))
                    && beats(self.call.function, (new.value, new.time), old.as_ref())
                {
                    *old = Some(new);
                }
                let new = candidates.get_mut(from + window).filter(|new| !new.is_empty());
                if let (Some(new), Some(old)) = (new, self.candidates.get_mut(base + window)) {
                    cancel.check()?;
                    let capacity = capacity_for(old.capacity(), old.len() + new.len());
                    let room = (capacity - old.capacity()).saturating_mul(size_of::<Chosen>());
                    self.charge.grow(room)?;
                    old.reserve_exact(capacity - old.len());
                    old.append(new);
                    self.charge.give_back(new.capacity().saturating_mul(size_of::<Chosen>()));
                    *new = Vec::new();
                }
            }
        }
        Ok(self)
    }

    /// Number of groups that turned up.
    pub(crate) fn groups_count(&self) -> usize {
        self.places.count()
    }

    /// Groups that turned up, in order, with the chosen row of each window.
    pub(crate) fn groups(&self) -> impl Iterator<Item = (u32, &[Option<Chosen>])> {
        self.places.iter().filter_map(|(group, place)| {
            let base = place * self.windows;
            Some((group, self.rows.get(base..base + self.windows)?))
        })
    }
}

fn beats(function: Function, new: (f64, i64), old: Option<&Chosen>) -> bool {
    old.is_none_or(|old| function.prefers(new, (old.value, old.time)))
}

impl Sink for Choose {
    fn series(&mut self, number: u32, series: &SelectedSeries) -> Result<()> {
        self.base = self.enter(series.group)?;
        self.series = number;
        Ok(())
    }

    fn block(&mut self, block: &Block) -> Result<()> {
        let Some(column) = block.columns.get(self.call.column) else { return Ok(()) };
        let mut whole = Column::default();
        let column = if self.call.cut { cut(column, &mut whole) } else { column };
        split(self.grid.as_ref(), block, &mut self.segments);
        if let Function::Percentile(_) = self.call.function {
            let segments = std::mem::take(&mut self.segments);
            let mut each = segments.iter();
            each.try_for_each(|s| self.keep(self.base + s.window, block, column, s))?;
            self.segments = segments;
            return Ok(());
        }
        for segment in &self.segments {
            let Some(run) = Run::of_column(&block.times, column, segment.start..segment.end) else {
                continue;
            };
            let Some(row) = self.call.function.choose(&run).map(|row| segment.start + row) else {
                continue;
            };
            let (Some(value), Some(time)) = (column.get(row), block.times.get(row)) else {
                continue;
            };
            let Some(slot) = self.rows.get_mut(self.base + segment.window) else { continue };
            if beats(self.call.function, (value, time), slot.as_ref()) {
                if slot.is_none() {
                    self.charge.grow(block.columns.len() * size_of::<Option<f64>>())?;
                }
                let row = block.columns.iter().map(|column| column.get(row)).collect();
                *slot = Some(Chosen { value, time, series: self.series, row });
            }
        }
        Ok(())
    }
}
