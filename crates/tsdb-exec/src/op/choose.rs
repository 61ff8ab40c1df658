//! A selector with other columns beside it, as in `SELECT max(usage), host FROM cpu`: keeps the whole chosen
//! row of each group and window.

use tsdb_agg::{Function, Run, Segment, WindowGrid};
use tsdb_core::Block;
use tsdb_core::storage::SelectedSeries;

use super::fold::{CallPlan, Places, split};
use super::scan::Sink;
use crate::Result;
use crate::context::Charge;

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
    rows: Vec<Option<Chosen>>,
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
            rows: Vec::new(),
            base: 0,
            series: 0,
            segments: Vec::new(),
            charge,
        }
    }

    fn enter(&mut self, group: u32) -> Result<usize> {
        let (place, is_new) = self.places.enter(group);
        let base = place * self.windows;
        if is_new {
            self.charge.grow(self.windows.saturating_mul(size_of::<Option<Chosen>>()))?;
            self.rows.resize(base + self.windows, None);
        }
        Ok(base)
    }

    /// Takes in the rows of a part with later series.
    pub(crate) fn merge(mut self, later: &Choose) -> Result<Choose> {
        for (group, place) in later.places.iter() {
            let base = self.enter(group)?;
            for window in 0..self.windows {
                let new = later.rows.get(place * self.windows + window);
                let (Some(Some(new)), Some(old)) = (new, self.rows.get_mut(base + window)) else {
                    continue;
                };
                if beats(self.call.function, (new.value, new.time), old.as_ref()) {
                    *old = Some(new.clone());
                }
            }
        }
        Ok(self)
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
        split(self.grid.as_ref(), block, &mut self.segments);
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
