//! From what the operators kept to the tables of an answer: windows get their times, gaps are filled, the
//! order and the page are applied, expressions over aggregates are evaluated.
//!
//! InfluxQL fills twice: first each aggregate over its windows, before expressions are evaluated, then
//! whatever is still missing in a row of the answer (`fill_gaps`). Both are about windows without values: where
//! values came in that are too few for an answer, null stays null.

mod many;
mod streams;

use std::ops::Range;
use std::sync::Arc;

use tsdb_agg::{Fill, WindowGrid};
use tsdb_core::storage::{Order, Selection};
use tsdb_core::{CancelToken, Column, time};

use crate::Result;
use crate::letgo::Long;
use crate::memory::{Charge, QueryMemory};
use crate::op::choose::{Choose, Chosen};
use crate::op::expr::{Operand, ValueExpr};
use crate::op::fold::{CallPlan, Fold};
use crate::op::rows::{ARC_BYTES, GroupRows, Output, Rows};
use crate::op::scan::Progress;
use crate::pace::Pace;
use crate::plan::{Frame, SelectPlan};
use crate::result::{ResultColumn, Series, Slice, Validity, Values};
use crate::scope::Place;
use crate::texts::TextColumn;

/// Makes the tables of one scan.
pub(crate) struct Assembler<'a> {
    pub(crate) plan: &'a SelectPlan,
    /// That of the plan, or a part of it.
    pub(crate) frame: &'a Frame,
    pub(crate) place: &'a Place,
    pub(crate) selection: &'a Selection,
    pub(crate) grid: Option<WindowGrid>,
    pub(crate) memory: &'a QueryMemory,
    pub(crate) progress: &'a Progress,
    /// Pays for the answer.
    pub(crate) charge: Charge,
}

impl Assembler<'_> {
    /// Tables of plain rows, one per group.
    pub(crate) fn rows(&mut self, rows: Rows<'_>) -> Result<Vec<Series>> {
        let cancel = self.progress.cancel();
        let (mut groups, charge) = rows.into_groups(cancel)?;
        // What paid for the rows pays for the answer, which is made of them.
        self.charge = charge;
        let (offset, limit) = self.page();
        let page = offset..offset.saturating_add(limit);
        let mut tables = self.tables(groups.len())?;
        for (group, rows) in groups.iter_mut() {
            cancel.check()?;
            let (group, rows) = (*group, std::mem::take(rows));
            self.charge.grow(rows.len().min(limit).saturating_mul(rows.more_bytes_in_order()))?;
            let mut scratch = self.memory.charge();
            let order = self.frame.order;
            let GroupRows { times, columns } =
                rows.arrange(order, page.clone(), &mut scratch, cancel)?;
            if !times.is_empty() {
                tables.push(self.table(group, times, columns, |_, _| false)?);
            }
        }
        Ok(tables.into_vec())
    }

    /// The tables of [`rows`](Self::rows) in the order of the answer, each in slices of at most `rows_max` rows. The
    /// rows of a group are gone when they have been handed out.
    pub(crate) fn row_slices(
        &mut self,
        rows: Rows<'_>,
        rows_max: usize,
        mut take: impl FnMut(Slice<'_>) -> Result<()>,
    ) -> Result<()> {
        let cancel = self.progress.cancel();
        let (mut groups, charge) = rows.into_groups(cancel)?;
        self.charge = charge;
        let order = self.frame.order;
        if order == Order::Descending {
            groups.reverse();
        }
        let (offset, limit) = self.page();
        let page = offset..offset.saturating_add(limit);
        for (group, rows) in groups.iter_mut() {
            let (group, mut rows) = (*group, std::mem::take(rows));
            if rows.len() > rows_max {
                // Up to half as much as the rows take, which what is made of them needs.
                self.charge.give_back(rows.shrink());
            }
            let bytes = rows.bytes();
            let mut scratch = self.memory.charge();
            let mut continues = false;
            rows.slices(order, page.clone(), rows_max, &mut scratch, cancel, |slice, goes_on| {
                let GroupRows { times, columns } = slice;
                let table = &self.table(group, times, columns, |_, _| false)?;
                let time_zone = self.plan.time_zone.as_deref();
                take(Slice { table, continues, goes_on, time_zone })?;
                continues = true;
                Ok(())
            })?;
            self.charge.give_back(bytes);
        }
        Ok(())
    }

    /// Tables of aggregates, one per group that has a value in one of them.
    pub(crate) fn aggregates(
        &mut self,
        fold: &mut Fold,
        calls: &[CallPlan],
        outputs: &[ValueExpr],
    ) -> Result<Vec<Series>> {
        let cancel = self.progress.cancel();
        let windows = self.grid.map_or(1, |grid| grid.count());
        let width = calls.len().saturating_mul(2).saturating_add(outputs.len());
        let _scratch = self.scratch(windows, width)?;
        let mut columns: Vec<Vec<Option<f64>>> = vec![Vec::new(); calls.len()];
        let _listed = self.scratch(fold.groups_count(), 1)?;
        let groups = fold.groups();
        let mut tables = self.tables(groups.len())?;
        for (group, base) in groups {
            for (number, column) in columns.iter_mut().enumerate() {
                fold.finalize(number, base, cancel, column)?;
            }
            let is_null = |call: usize, window: usize| fold.is_null(call, base + window);
            let (begin, shown) = self.shown(calls, &columns, is_null)?;
            let page = self.paged(shown);
            if page.is_empty() {
                continue;
            }
            for (number, (column, call)) in columns.iter_mut().zip(calls).enumerate() {
                cancel.check()?;
                self.fill_windows(column, call, begin);
                empty_nulls(column, |window| fold.is_null(number, base + window));
            }
            let is_windowed = self.grid.is_some();
            let point_time = if is_windowed { None } else { single_time(fold, calls, base) };
            let times: Vec<i64> = page.iter().map(|w| self.time_of(*w, || point_time)).collect();
            let inputs = picked(&columns, &page, cancel)?;
            self.charge_rows(times.len(), outputs.len())?;
            let values = outputs.iter().map(|output| match output {
                ValueExpr::Input(call) if calls.get(*call).is_some_and(CallPlan::is_whole) => {
                    cancel.check()?;
                    let column = inputs.get(*call);
                    Ok(column.map_or_else(|| absent(times.len()), |c| whole(c, times.len())))
                }
                output => evaluated(output, &inputs, times.len(), cancel),
            });
            let values = values.collect::<Result<_>>()?;
            let is_null = |column: usize, row: usize| {
                let slot = page.get(row).map_or(usize::MAX, |window| base + window);
                let of_call = |call: usize| fold.is_null(call, slot);
                outputs.get(column).is_some_and(|output| output.has_input(&of_call))
            };
            tables.push(self.table(group, times, values, is_null)?);
        }
        Ok(tables.into_vec())
    }

    /// The window in which the answer for a group begins, and the windows of its rows: each that has a value,
    /// and those that fill() is about. A window without an answer has a row all the same if `is_null` says for
    /// a call that values came in.
    fn shown(
        &self,
        calls: &[CallPlan],
        columns: &[Vec<Option<f64>>],
        is_null: impl Fn(usize, usize) -> bool,
    ) -> Result<(usize, Vec<usize>)> {
        let windows = self.grid.map_or(1, |grid| grid.count());
        let earliest = self.windows_of(0).start;
        let has_row = |number: usize, window: usize| {
            let value = columns.get(number).and_then(|column| column.get(window));
            value.is_some_and(Option::is_some) || is_null(number, window)
        };
        let any_row = |window: &usize| (0..calls.len()).any(|number| has_row(number, *window));
        let Some(first) = (earliest..windows).find(any_row) else {
            return Ok((earliest, Vec::new()));
        };
        self.progress.check()?;
        // Without a lower bound the answer begins where the group does.
        let begin = if self.frame.has_start { earliest } else { first };
        let is_filled = self.frame.fill != Fill::None;
        self.progress.check()?;
        let shown = (begin..windows).filter(|window| is_filled || any_row(window));
        Ok((begin, shown.collect()))
    }

    /// The windows of which rows count for a call that needs `lead` more than are shown.
    fn windows_of(&self, lead: usize) -> Range<usize> {
        let Some(grid) = &self.grid else { return 0..1 };
        let range = self.frame.range(lead);
        let first = if self.frame.has_start { grid.index_of(range.start) } else { None };
        let last = range.last().and_then(|last| grid.index_of(last));
        first.unwrap_or(0)..last.map_or(grid.count(), |last| last + 1)
    }

    /// Tables of chosen rows, one per group that has one.
    pub(crate) fn chosen(&mut self, choose: &Choose, outputs: &[Output]) -> Result<Vec<Series>> {
        let cancel = self.progress.cancel();
        let mut tables = self.tables(choose.groups_count())?;
        for (group, windows) in choose.groups() {
            cancel.check()?;
            let Some(first) = windows.iter().position(Option::is_some) else { continue };
            let begin = if self.frame.has_start { 0 } else { first };
            let kept = (begin..windows.len()).filter(|window| {
                self.frame.fill != Fill::None || windows.get(*window).is_some_and(Option::is_some)
            });
            let page = self.paged(kept.collect());
            if page.is_empty() {
                continue;
            }
            let rows: Vec<Option<&Chosen>> =
                page.iter().map(|window| windows.get(*window).and_then(Option::as_ref)).collect();
            let point_time = || rows.iter().flatten().map(|row| row.time).next();
            let times: Vec<i64> = page.iter().map(|w| self.time_of(*w, point_time)).collect();
            self.charge_rows(times.len(), outputs.len())?;
            let _scratch = self.scratch(windows.len(), outputs.len().saturating_add(2))?;
            let inputs = self.chosen_inputs(windows, &rows, &page)?;
            let values = self.outputs(outputs, &inputs, &rows)?;
            tables.push(self.table(group, times, values, |_, _| false)?);
        }
        Ok(tables.into_vec())
    }

    /// The selector's values, and behind them the columns of the chosen rows.
    fn chosen_inputs(
        &self,
        windows: &[Option<Chosen>],
        rows: &[Option<&Chosen>],
        page: &[usize],
    ) -> Result<Vec<Column>> {
        let mut values: Vec<Option<f64>> =
            windows.iter().map(|row| row.as_ref().map(|row| row.value)).collect();
        if let (Some(grid), Fill::Linear) = (&self.grid, self.frame.fill) {
            Fill::Linear.apply(&mut values, grid, false);
        }
        let mut inputs = self.columns_of(rows)?;
        if let Some(first) = inputs.first_mut() {
            *first = pick(&values, page);
        }
        Ok(inputs)
    }

    /// The values that rows were chosen for, and behind them their columns.
    fn columns_of(&self, rows: &[Option<&Chosen>]) -> Result<Vec<Column>> {
        let mut values = Column::default();
        values.fill(rows.iter().map(|row| row.map(|row| row.value)));
        let mut inputs = vec![values];
        let width = rows.iter().flatten().map(|row| row.row.len()).max().unwrap_or(0);
        for field in 0..width {
            self.progress.check()?;
            let mut column = Column::default();
            column.fill(rows.iter().map(|row| row.and_then(|row| row.row.get(field).copied()?)));
            inputs.push(column);
        }
        Ok(inputs)
    }

    /// The values of a tag of the series that `rows` are of.
    /// The columns of the answer, from those of the chosen rows.
    fn outputs(
        &mut self,
        outputs: &[Output],
        inputs: &[Column],
        rows: &[Option<&Chosen>],
    ) -> Result<Vec<Values>> {
        let cancel = self.progress.cancel();
        let mut values = Vec::with_capacity(outputs.len());
        for output in outputs {
            values.push(match output {
                Output::Value(expr) => evaluated(expr, inputs, rows.len(), cancel)?,
                Output::Tag(key) => self.tags(rows, key)?,
            });
        }
        Ok(values)
    }

    fn tags(&mut self, rows: &[Option<&Chosen>], key: &str) -> Result<Values> {
        let mut pace = Pace::new(self.progress.cancel());
        let mut texts = Vec::with_capacity(rows.len());
        self.charge.grow(rows.len().saturating_mul(TEXT_BYTES))?;
        for row in rows {
            pace.step()?;
            let series = row.and_then(|row| self.selection.series.get(row.series as usize));
            let text = series.and_then(|series| series.key.tag(key));
            self.charge.grow(text.map_or(0, |text| text.len() + ARC_BYTES))?;
            texts.push(text.map(Arc::from));
        }
        Ok(Values::Strings(texts.into()))
    }

    /// Fills one aggregate of a group over its windows, of which those from `begin` on are used, in the order of the
    /// answer.
    fn fill_windows(&self, column: &mut [Option<f64>], call: &CallPlan, begin: usize) {
        let Some(first) = column.iter().position(Option::is_some) else { return };
        let (Some(grid), whole) = (&self.grid, call.function.is_whole()) else { return };
        // Nothing was counted: that is a number, unlike the mean of nothing. Where the query does not say when
        // time begins, counting begins with the first value.
        if self.frame.fill == Fill::Null && whole {
            let from = if self.frame.has_start { begin } else { first };
            let counted = column.get_mut(from..).unwrap_or_default();
            return Fill::Number(0.0).apply(counted, grid, whole);
        }
        let Some(column) = column.get_mut(begin..) else { return };
        match self.frame.fill {
            // Before means earlier in the answer.
            Fill::Previous if self.frame.order == Order::Descending => {
                column.reverse();
                Fill::Previous.apply(column, grid, whole);
                column.reverse();
            }
            Fill::Number(number) if whole => {
                Fill::Number(number.trunc()).apply(column, grid, whole);
            }
            // Straight lines do not care where the first window stands.
            fill => fill.apply(column, grid, whole),
        }
    }

    /// Offset and limit in rows.
    fn page(&self) -> (usize, usize) {
        let count = |n: Option<u64>, default| {
            n.map_or(default, |n| usize::try_from(n).unwrap_or(usize::MAX))
        };
        (count(self.frame.page.offset, 0), count(self.frame.page.limit, usize::MAX))
    }

    /// The windows to be shown, in the order of the answer.
    fn paged(&self, mut windows: Vec<usize>) -> Vec<usize> {
        if self.frame.order == Order::Descending {
            windows.reverse();
        }
        let (offset, limit) = self.page();
        windows.into_iter().skip(offset).take(limit).collect()
    }

    /// Timestamp of the row of a window; without windows that of the one chosen point, else the start of the
    /// range.
    fn time_of(&self, window: usize, point: impl Fn() -> Option<i64>) -> i64 {
        match &self.grid {
            Some(grid) => grid.start(window),
            None => point().unwrap_or(self.frame.time_of_all),
        }
    }

    /// Charges what putting a table together takes beside the table: numbers of rows, and columns of values
    /// that may be missing.
    fn scratch(&self, rows: usize, columns: usize) -> Result<Charge> {
        let mut charge = self.memory.charge();
        charge
            .grow(rows.saturating_mul(size_of::<usize>() + columns * size_of::<Option<f64>>()))?;
        Ok(charge)
    }

    /// An empty list for at most `count` tables.
    fn tables(&mut self, count: usize) -> Result<Long<Series>> {
        let tags = self.plan.group_keys.len().saturating_mul(size_of::<(Arc<str>, Arc<str>)>());
        let columns = self.plan.columns.len().saturating_mul(size_of::<ResultColumn>());
        let table = size_of::<Series>().saturating_add(tags).saturating_add(columns);
        self.charge.grow(count.saturating_mul(table))?;
        Ok(Vec::with_capacity(count).into())
    }

    fn charge_rows(&mut self, rows: usize, columns: usize) -> Result<()> {
        self.charge.grow(rows.saturating_mul(size_of::<i64>() + columns * (size_of::<f64>() + 1)))
    }

    /// `is_null` says of columns and rows where fill() has nothing to fill.
    fn table(
        &self,
        group: u32,
        times: Vec<i64>,
        values: Vec<Values>,
        is_null: impl Fn(usize, usize) -> bool,
    ) -> Result<Series> {
        let group = self.selection.groups.get(group as usize);
        let tag_values = group.into_iter().flatten().cloned();
        let mut tags = Vec::with_capacity(self.plan.group_keys.len());
        tags.extend(self.plan.group_keys.iter().cloned().zip(tag_values));
        let mut columns = Vec::with_capacity(self.plan.columns.len());
        let named = self.plan.columns.iter().cloned().zip(values).enumerate();
        for (column, (name, mut values)) in named {
            self.progress.check()?;
            fill_gaps(&mut values, self.frame.fill, &|row| is_null(column, row));
            columns.push(ResultColumn { name, values });
        }
        Ok(Series {
            name: Some(Arc::clone(&self.place.measurement)),
            tags,
            times: Some(times),
            columns,
        })
    }
}

/// Timestamp of the chosen point where a selector stands alone, without windows.
fn single_time(fold: &mut Fold, calls: &[CallPlan], base: usize) -> Option<i64> {
    match calls {
        [call] if call.function.is_selector() => fold.time(0, base),
        _ => None,
    }
}

/// Takes what was filled in from windows that `is_null` holds for.
fn empty_nulls(column: &mut [Option<f64>], is_null: impl Fn(usize) -> bool) {
    for (window, value) in column.iter_mut().enumerate() {
        if value.is_some() && is_null(window) {
            *value = None;
        }
    }
}

/// The rows `rows` of columns.
fn picked(
    columns: &[Vec<Option<f64>>],
    rows: &[usize],
    cancel: &CancelToken,
) -> Result<Vec<Column>> {
    let pick = |column: &Vec<Option<f64>>| {
        cancel.check()?;
        Ok(pick(column, rows))
    };
    columns.iter().map(pick).collect()
}

/// The values of an expression.
fn evaluated(
    output: &ValueExpr,
    inputs: &[Column],
    rows: usize,
    cancel: &CancelToken,
) -> Result<Values> {
    cancel.check()?;
    let operand = output.evaluate(inputs, rows);
    cancel.check()?;
    Ok(floats(&operand, rows))
}

fn pick(column: &[Option<f64>], rows: &[usize]) -> Column {
    let mut picked = Column::default();
    picked.fill(rows.iter().map(|row| column.get(*row).copied().flatten()));
    picked
}

fn absent(rows: usize) -> Values {
    let mut validity = Validity::default();
    (0..rows).for_each(|_| validity.push(false));
    Values::Floats(vec![0.0; rows], validity)
}

#[expect(clippy::cast_possible_truncation, reason = "counts are whole and far below 2^63")]
fn whole(column: &Column, rows: usize) -> Values {
    let mut validity = Validity::default();
    let values = (0..rows).map(|row| {
        let value = column.get(row);
        validity.push(value.is_some());
        value.unwrap_or(0.0) as i64
    });
    let values = values.collect();
    Values::Integers(values, validity)
}

fn floats(operand: &Operand<'_>, rows: usize) -> Values {
    let mut validity = Validity::default();
    let values = (0..rows).map(|row| {
        let value = match operand {
            Operand::Constant(value) => *value,
            Operand::Column(column) => column.get(row),
        };
        validity.push(value.is_some());
        value.unwrap_or(0.0)
    });
    let values = values.collect();
    Values::Floats(values, validity)
}

/// Puts a number, or the value of the row before, where a row of the answer has none.
#[expect(clippy::cast_possible_truncation, reason = "fill() of a count is cut to a whole number")]
fn fill_gaps(values: &mut Values, fill: Fill, is_null: &dyn Fn(usize) -> bool) {
    fn fill_each<T: Copy>(
        values: &mut [T],
        validity: &mut Validity,
        number: Option<T>,
        is_null: &dyn Fn(usize) -> bool,
    ) {
        let mut filled = Validity::default();
        let mut previous = None;
        for (row, value) in values.iter_mut().enumerate() {
            let filler = number.or(previous).filter(|_| !validity.get(row) && !is_null(row));
            if validity.get(row) {
                previous = Some(*value);
            } else if let Some(filler) = filler {
                *value = filler;
            }
            filled.push(validity.get(row) || filler.is_some());
        }
        *validity = filled;
    }
    let number = match fill {
        Fill::Number(number) => Some(number),
        Fill::Previous => None,
        Fill::Null | Fill::None | Fill::Linear => return,
    };
    match values {
        Values::Floats(values, validity) => fill_each(values, validity, number, is_null),
        Values::Integers(values, validity) => {
            fill_each(values, validity, number.map(|number| number as i64), is_null);
        }
        // A number is no tag.
        Values::Strings(values) if number.is_none() => {
            values.fill_previous();
        }
        Values::Strings(_) | Values::Booleans(_) => {}
    }
}

/// Memory of a text of a column beside its bytes and what `Arc` adds: a row, and the pointer.
const TEXT_BYTES: usize = TextColumn::ROW_BYTES + size_of::<Option<Arc<str>>>();

const _: () = assert!(time::MIN_TIME < 0, "time 0 is a valid time for rows without one");
