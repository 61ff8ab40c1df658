//! `top`, `bottom` and `sample`: the best rows of each group and window, by their values or by chance.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::sync::Arc;

use tsdb_agg::{Segment, WindowGrid, ascending, capacity_for, select_nth};
use tsdb_core::storage::SelectedSeries;
use tsdb_core::{Block, CancelToken, Column};

use super::choose::Chosen;
use super::fold::{Places, cut, grown, split};
use super::scan::Sink;
use super::streams::chance;
use crate::Result;
use crate::letgo::Long;
use crate::memory::Charge;
use crate::pace::Pace;
use crate::sort::sort_by;

/// Which rows are wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ManyPlan {
    pub(crate) rank: Rank,
    /// Number of the column in the scan.
    pub(crate) column: usize,
    /// Whether values are taken without what is behind their decimal points.
    pub(crate) cut: bool,
    /// How many of each group and window.
    pub(crate) count: usize,
    /// Tags of which every combination of values has one row at most.
    pub(crate) tags: Vec<Arc<str>>,
}

/// What makes a row better than another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rank {
    /// A greater value.
    Top,
    /// A smaller value.
    Bottom,
    /// Chance, which begins with the seed.
    Sample(u64),
}

impl ManyPlan {
    /// As in query text.
    pub(crate) fn name(&self) -> &'static str {
        match self.rank {
            Rank::Top => "top",
            Rank::Bottom => "bottom",
            Rank::Sample(_) => "sample",
        }
    }

    /// The better row first: of equal values the earlier, then that of the earlier series. Numbers come before
    /// NaN.
    fn compare(&self, a: &Chosen, b: &Chosen) -> Ordering {
        let by_place = || a.time.cmp(&b.time).then(a.series.cmp(&b.series));
        let by_value = match self.rank {
            Rank::Top => a.value.is_nan().cmp(&b.value.is_nan()).then(ascending(b.value, a.value)),
            Rank::Bottom => ascending(a.value, b.value),
            Rank::Sample(seed) => {
                let of = |row: &Chosen| {
                    chance(chance(seed, u64::from(row.series)), row.time.cast_unsigned())
                };
                of(a).cmp(&of(b))
            }
        };
        by_value.then_with(by_place)
    }
}

/// The candidates of one part of a scan.
#[derive(Debug)]
pub(crate) struct ChooseMany<'p> {
    plan: &'p ManyPlan,
    grid: Option<WindowGrid>,
    windows: usize,
    places: Places,
    slots: Long<Vec<Chosen>>,
    base: usize,
    series: u32,
    segments: Vec<Segment>,
    charge: Charge,
}

impl<'p> ChooseMany<'p> {
    /// No candidates yet.
    pub(crate) fn new(
        plan: &'p ManyPlan,
        grid: Option<WindowGrid>,
        charge: Charge,
    ) -> ChooseMany<'p> {
        ChooseMany {
            plan,
            grid,
            windows: grid.map_or(1, |grid| grid.count()),
            places: Places::default(),
            slots: Long::new(),
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
            let room = grown(self.slots.capacity(), base + self.windows) - self.slots.capacity();
            self.charge.grow(room.saturating_mul(size_of::<Vec<Chosen>>()))?;
            self.slots.resize(base + self.windows, Vec::new());
        }
        Ok(base)
    }

    /// Takes the rows of a segment as candidates.
    fn take(&mut self, block: &Block, column: &Column, segment: &Segment) -> Result<()> {
        let (plan, series) = (self.plan, self.series);
        let Some(slot) = self.slots.get_mut(self.base + segment.window) else { return Ok(()) };
        for place in segment.start..segment.end {
            let (Some(value), Some(time)) = (column.get(place), block.times.get(place)) else {
                continue;
            };
            let mut row = Chosen { value, time, series, row: Box::default() };
            // Of each series one row is enough where tags have one each.
            let known =
                slot.last_mut().filter(|last| !plan.tags.is_empty() && last.series == series);
            if let Some(known) = known {
                if plan.compare(&row, known).is_lt() {
                    row.row = values(block, place);
                    *known = row;
                }
                continue;
            }
            // The worst of as many as count stands last.
            let is_full = plan.tags.is_empty() && slot.len() == plan.count;
            if is_full && slot.last().is_some_and(|worst| plan.compare(&row, worst).is_gt()) {
                continue;
            }
            let capacity = capacity_for(slot.capacity(), slot.len() + 1);
            let room = (capacity - slot.capacity()).saturating_mul(size_of::<Chosen>());
            self.charge.grow(room.saturating_add(row_bytes(block.columns.len())))?;
            slot.reserve_exact(capacity - slot.len());
            row.row = values(block, place);
            slot.push(row);
            let is_long = slot.len() == plan.count || slot.len() / 2 >= plan.count;
            if plan.tags.is_empty() && is_long {
                shorten(plan, slot, &mut self.charge, block.columns.len());
            }
        }
        Ok(())
    }

    /// Takes in the candidates of a part with later series.
    ///
    /// # Errors
    /// A token that was used, memory that is used up.
    pub(crate) fn merge(
        mut self,
        later: ChooseMany<'p>,
        cancel: &CancelToken,
    ) -> Result<ChooseMany<'p>> {
        let ChooseMany { places, mut slots, charge, .. } = later;
        self.charge.merge(charge);
        let mut pace = Pace::new(cancel);
        for (group, place) in places.iter() {
            let (base, from) = (self.enter(group)?, place * self.windows);
            for window in 0..self.windows {
                pace.step()?;
                let more = slots.get_mut(from + window).map(std::mem::take).unwrap_or_default();
                let Some(slot) = self.slots.get_mut(base + window) else { continue };
                if more.is_empty() {
                    continue;
                }
                cancel.check()?;
                let capacity = capacity_for(slot.capacity(), slot.len() + more.len());
                let room = (capacity - slot.capacity()).saturating_mul(size_of::<Chosen>());
                self.charge.grow(room)?;
                slot.reserve_exact(capacity - slot.len());
                self.charge.give_back(more.capacity().saturating_mul(size_of::<Chosen>()));
                slot.extend(more);
            }
        }
        Ok(self)
    }

    /// Chooses once all candidates have come in, and puts them in order of time, the better first of equal times.
    /// `all` are the series of the selection.
    ///
    /// # Errors
    /// A token that was used, memory that is used up.
    pub(crate) fn settle(&mut self, all: &[SelectedSeries], cancel: &CancelToken) -> Result<()> {
        let plan = self.plan;
        for slot in self.slots.iter_mut().filter(|slot| !slot.is_empty()) {
            cancel.check()?;
            let mut rows = std::mem::take(slot);
            if !plan.tags.is_empty() {
                self.charge.grow(rows.len().saturating_mul(size_of::<(usize, usize)>() * 2))?;
                rows = best_of_tags(plan, rows, all, cancel)?;
            }
            if rows.len() > plan.count {
                let compare = |a: &Chosen, b: &Chosen| plan.compare(a, b);
                if !select_nth(&mut rows, plan.count, compare, &|| cancel.is_ended()) {
                    cancel.check()?;
                }
                rows.truncate(plan.count);
            }
            *slot = in_order(plan, rows, cancel)?;
        }
        Ok(())
    }

    /// Number of groups that turned up.
    pub(crate) fn groups_count(&self) -> usize {
        self.places.count()
    }

    /// Groups that turned up, in order, with the chosen rows of each window.
    pub(crate) fn groups(&self) -> impl Iterator<Item = (u32, &[Vec<Chosen>])> {
        self.places.iter().filter_map(|(group, place)| {
            let base = place * self.windows;
            Some((group, self.slots.get(base..base + self.windows)?))
        })
    }
}

fn row_bytes(columns: usize) -> usize {
    columns.saturating_mul(size_of::<Option<f64>>())
}

fn values(block: &Block, place: usize) -> Box<[Option<f64>]> {
    block.columns.iter().map(|column| column.get(place)).collect()
}

/// Keeps the best rows of `slot`, the worst of them last.
fn shorten(plan: &ManyPlan, slot: &mut Vec<Chosen>, charge: &mut Charge, columns: usize) {
    let Some(last) = plan.count.checked_sub(1).filter(|last| *last < slot.len()) else { return };
    slot.select_nth_unstable_by(last, |a, b| plan.compare(a, b));
    charge.give_back((slot.len() - plan.count).saturating_mul(row_bytes(columns)));
    slot.truncate(plan.count);
}

/// The best row of each combination of tag values.
fn best_of_tags(
    plan: &ManyPlan,
    rows: Vec<Chosen>,
    all: &[SelectedSeries],
    cancel: &CancelToken,
) -> Result<Vec<Chosen>> {
    let mut pace = Pace::new(cancel);
    let mut best: Vec<Chosen> = Vec::new();
    let mut places: HashMap<Vec<&str>, usize> = HashMap::new();
    for row in rows {
        pace.step()?;
        let key = all.get(row.series as usize).map(|series| &series.key);
        let value = |tag: &Arc<str>| key.and_then(|key| key.tag(tag)).unwrap_or("");
        let place = *places.entry(plan.tags.iter().map(value).collect()).or_insert(best.len());
        match best.get_mut(place) {
            Some(known) if plan.compare(&row, known).is_lt() => *known = row,
            Some(_) => {}
            None => best.push(row),
        }
    }
    Ok(best)
}

/// The rows in order of time, the better first of equal times.
fn in_order(plan: &ManyPlan, rows: Vec<Chosen>, cancel: &CancelToken) -> Result<Vec<Chosen>> {
    let compare = |a: &usize, b: &usize| match (rows.get(*a), rows.get(*b)) {
        (Some(a), Some(b)) => a.time.cmp(&b.time).then_with(|| plan.compare(a, b)),
        _ => Ordering::Equal,
    };
    let places = sort_by((0..rows.len()).collect(), cancel, compare)?;
    let mut rows: Vec<Option<Chosen>> = rows.into_iter().map(Some).collect();
    Ok(places.into_iter().filter_map(|place| rows.get_mut(place)?.take()).collect())
}

impl Sink for ChooseMany<'_> {
    fn series(&mut self, number: u32, series: &SelectedSeries) -> Result<()> {
        self.base = self.enter(series.group)?;
        self.series = number;
        Ok(())
    }

    fn block(&mut self, block: &Block) -> Result<()> {
        let Some(column) = block.columns.get(self.plan.column) else { return Ok(()) };
        let mut whole = Column::default();
        let column = if self.plan.cut { cut(column, &mut whole) } else { column };
        let mut segments = std::mem::take(&mut self.segments);
        split(self.grid.as_ref(), block, &mut segments);
        let mut each = segments.iter();
        each.try_for_each(|segment| self.take(block, column, segment))?;
        self.segments = segments;
        Ok(())
    }
}
