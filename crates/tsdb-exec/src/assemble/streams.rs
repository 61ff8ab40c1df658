//! Tables of streams of points. As in InfluxDB each stream goes by itself, with `LIMIT` and `OFFSET` of its own, and
//! a row takes the next point of every stream that has one at its time. Where a stream has none, there is what
//! `fill()` says: nothing, a number, or what the row before had.

use tsdb_agg::{Fill, Integral, Transformation, WindowGrid};
use tsdb_core::storage::Order;
use tsdb_core::{Column, TimeRange};

use super::{Assembler, absent, evaluated, whole};
use crate::Result;
use crate::memory::Charge;
use crate::op::expr::ValueExpr;
use crate::op::fold::{CallPlan, Fold};
use crate::op::rows::GroupRows;
use crate::op::streams::{Source, Step, StreamPlan, Streams, StreamsPlan, Take, chance};
use crate::pace::Pace;
use crate::result::{Series, Values};

/// What a stream has at a time.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Cell {
    /// A window without values.
    Gap,
    /// Values that are too few for an answer, which `fill()` leaves alone.
    Null,
    /// A value.
    Value(f64),
}

/// A point of a stream, with its time in ns.
type Point = (i64, Cell);

/// What one group has for its streams.
struct Group<'g> {
    /// In the order of the answer.
    rows: &'g GroupRows,
    /// The answers of the calls, by window.
    columns: &'g [Vec<Option<f64>>],
    /// The first slot of the calls' states.
    base: usize,
}

impl Assembler<'_> {
    /// Tables of streams, one per group that has a point in one of them.
    pub(crate) fn streams(
        &mut self,
        streams: Streams<'_>,
        plan: &StreamsPlan,
    ) -> Result<Vec<Series>> {
        let cancel = self.progress.cancel();
        let Streams { rows, mut fold } = streams;
        let (mut kept, _paid) = rows.into_groups(cancel)?;
        let mut kept = kept.iter_mut().peekable();
        let windows = self.grid.map_or(1, |grid| grid.count());
        let _answers = self.scratch(windows, plan.calls.len())?;
        let mut columns: Vec<Vec<Option<f64>>> = vec![Vec::new(); plan.calls.len()];
        let _listed = self.scratch(fold.groups_count(), 1)?;
        let groups = fold.groups();
        let mut tables = self.tables(groups.len())?;
        for (group, base) in groups {
            cancel.check()?;
            let of_group = kept.next_if(|(kept, _)| *kept == group);
            let rows = of_group.map(|(_, rows)| std::mem::take(rows)).unwrap_or_default();
            let mut scratch = self.memory.charge();
            let rows = rows.arrange(self.frame.order, 0..usize::MAX, &mut scratch, cancel)?;
            for (number, column) in columns.iter_mut().enumerate() {
                fold.finalize(number, base, cancel, column)?;
            }
            let of_group = Group { rows: &rows, columns: &columns, base };
            let mut found = Vec::with_capacity(plan.streams.len());
            for stream in &plan.streams {
                let points = self.stream(stream, plan, &of_group, &fold, &mut scratch)?;
                found.push(self.page_of(points));
            }
            tables.extend(self.merged(group, &found, plan)?);
        }
        Ok(tables.into_vec())
    }

    /// The points of a stream that are on the page.
    fn page_of(&self, mut points: Vec<Point>) -> Vec<Point> {
        let (offset, limit) = self.page();
        points.drain(..offset.min(points.len()));
        points.truncate(limit);
        points
    }

    /// The table in which the points of all streams of a group stand side by side; none without a point.
    fn merged(
        &mut self,
        group: u32,
        streams: &[Vec<Point>],
        plan: &StreamsPlan,
    ) -> Result<Option<Series>> {
        let cancel = self.progress.cancel();
        let rows: usize = streams.iter().map(Vec::len).sum();
        if rows == 0 {
            return Ok(None);
        }
        let _scratch = self.scratch(rows, streams.len().saturating_mul(2).saturating_add(1))?;
        let is_whole: Vec<bool> = plan.streams.iter().map(|s| s.is_whole(&plan.calls)).collect();
        let mut times = Vec::new();
        let mut inputs: Vec<Vec<Option<f64>>> = vec![Vec::new(); streams.len()];
        let mut heads = vec![0; streams.len()];
        let mut pace = Pace::new(cancel);
        loop {
            pace.step()?;
            let next = heads.iter().zip(streams).filter_map(|(head, points)| points.get(*head));
            let next = next.map(|(time, _)| *time);
            let next = match self.frame.order {
                Order::Ascending => next.min(),
                Order::Descending => next.max(),
            };
            let Some(time) = next else { break };
            times.push(time);
            let places = heads.iter_mut().zip(streams).zip(&mut inputs).zip(&is_whole);
            for (((head, points), input), is_whole) in places {
                let point = points.get(*head).filter(|point| point.0 == time);
                *head += usize::from(point.is_some());
                let before = input.last().copied().flatten();
                input.push(match point.map_or(Cell::Gap, |point| point.1) {
                    Cell::Value(value) => Some(value),
                    Cell::Null => None,
                    Cell::Gap => self.filler(before, *is_whole),
                });
            }
        }
        let inputs: Vec<Column> = inputs.into_iter().map(column).collect();
        self.charge_rows(times.len(), plan.outputs.len())?;
        let values = plan.outputs.iter().map(|output| match output {
            ValueExpr::Input(stream) if is_whole.get(*stream).copied().unwrap_or(false) => {
                cancel.check()?;
                Ok(inputs
                    .get(*stream)
                    .map_or_else(|| absent(times.len()), |column| whole(column, times.len())))
            }
            output => evaluated(output, &inputs, times.len(), cancel),
        });
        let values = values.collect::<Result<Vec<Values>>>()?;
        // What fill() is about has been filled.
        Ok(Some(self.table(group, times, values, |_, _| true)?))
    }

    /// What stands where a stream has no point, in a row behind one with `before`.
    fn filler(&self, before: Option<f64>, is_whole: bool) -> Option<f64> {
        match self.frame.fill {
            Fill::Number(number) => Some(if is_whole { number.trunc() } else { number }),
            Fill::Previous => before,
            Fill::Null | Fill::None | Fill::Linear => None,
        }
    }

    /// The points of a stream, in the order of the answer.
    fn stream(
        &self,
        stream: &StreamPlan,
        plan: &StreamsPlan,
        group: &Group<'_>,
        fold: &Fold,
        scratch: &mut Charge,
    ) -> Result<Vec<Point>> {
        let has_steps = !stream.steps.is_empty();
        let mut points = match stream.source {
            Source::Points(column, take) => {
                self.points(column, take, self.frame.range(stream.lead()), group.rows, scratch)?
            }
            Source::Distinct(call) => self.distinct(call, stream.lead(), group, fold, scratch)?,
            Source::Call(call) => match plan.calls.get(call) {
                Some(plan) => self.answers(call, plan, has_steps, group, fold, scratch)?,
                None => Vec::new(),
            },
        };
        for step in &stream.steps {
            match step {
                Step::Transformation(transformation) => {
                    self.transform(*transformation, &mut points)?;
                }
                Step::Forecast(forecast) => points = self.forecast(*forecast, points, scratch)?,
            }
        }
        Ok(points)
    }

    fn transform(&self, transformation: Transformation, points: &mut Vec<Point>) -> Result<()> {
        let mut transformer = transformation.transformer();
        let mut pace = Pace::new(self.progress.cancel());
        let mut ended = Ok(());
        points.retain_mut(|(time, cell)| {
            if ended.is_ok() {
                ended = pace.step();
            }
            let Cell::Value(value) = *cell else { return false };
            let made = transformer.step(*time, value);
            made.is_some_and(|made| {
                *cell = Cell::Value(made);
                true
            })
        });
        ended
    }

    fn forecast(
        &self,
        forecast: tsdb_agg::Forecast,
        points: Vec<Point>,
        scratch: &mut Charge,
    ) -> Result<Vec<Point>> {
        let Some(windows) = self.frame.windows else { return Ok(Vec::new()) };
        let cancel = self.progress.cancel();
        let values = points.into_iter().filter_map(|(time, cell)| match cell {
            Cell::Value(value) => Some((time, value)),
            Cell::Gap | Cell::Null => None,
        });
        let mut values: Vec<(i64, f64)> = values.collect();
        if self.frame.order == Order::Descending {
            values.reverse();
        }
        let span = values.first().zip(values.last()).map_or(0, |(a, b)| b.0.abs_diff(a.0));
        let steps = span / windows.every.unsigned_abs().max(1);
        scratch.grow(forecast.bytes(usize::try_from(steps).unwrap_or(usize::MAX)))?;
        let found = forecast.of(&values, windows.every, &|| cancel.is_ended());
        // What was given up is no answer.
        cancel.check()?;
        let mut found: Vec<Point> =
            found.into_iter().map(|(time, value)| (time, Cell::Value(value))).collect();
        if self.frame.order == Order::Descending {
            found.reverse();
        }
        Ok(found)
    }

    /// What `take` says of the points of a kept column inside `range`.
    fn points(
        &self,
        column: usize,
        take: Take,
        range: TimeRange,
        rows: &GroupRows,
        scratch: &mut Charge,
    ) -> Result<Vec<Point>> {
        let Some(Values::Floats(values, validity)) = rows.columns.get(column) else {
            return Ok(Vec::new());
        };
        scratch.grow(rows.times.len().saturating_mul(2 * size_of::<Point>()))?;
        let mut pace = Pace::new(self.progress.cancel());
        let mut points: Vec<(i64, f64)> = Vec::new();
        for (row, (time, value)) in rows.times.iter().zip(values).enumerate() {
            pace.step()?;
            if validity.get(row) && range.contains(*time) {
                points.push((*time, *value));
            }
        }
        let points = match take {
            Take::All => points,
            Take::Integral { unit_ns } => self.areas(points, unit_ns),
            Take::Sample { count, seed } => self.sample(points, count, seed),
        };
        Ok(points.into_iter().map(|(time, value)| (time, Cell::Value(value))).collect())
    }

    fn areas(&self, mut points: Vec<(i64, f64)>, unit_ns: i64) -> Vec<(i64, f64)> {
        // Time has no other sign in an answer that is read backwards.
        let is_backwards = self.frame.order == Order::Descending;
        if is_backwards {
            points.reverse();
        }
        let bounds = |grid: &WindowGrid, time: i64| {
            let index = grid.index_of(time)?;
            Some((grid.start(index), grid.start(index + 1)))
        };
        let mut integral = Integral::new(unit_ns);
        let mut areas: Vec<(i64, f64)> = Vec::new();
        for (time, value) in points {
            let window = self.grid.as_ref().and_then(|grid| bounds(grid, time));
            areas.extend(integral.step(time, value, window));
        }
        areas.extend(integral.finish());
        if is_backwards {
            areas.reverse();
        }
        areas
    }

    /// Of each window `count` points by chance.
    fn sample(&self, points: Vec<(i64, f64)>, count: usize, seed: u64) -> Vec<(i64, f64)> {
        let window = |time: i64| self.grid.as_ref().and_then(|grid| grid.index_of(time));
        let mut chosen = Vec::new();
        let mut place = 0;
        for of_window in points.chunk_by(|a, b| window(a.0) == window(b.0)) {
            let mut ranked: Vec<(u64, usize)> =
                (0..of_window.len()).map(|at| (chance(seed, (place + at) as u64), at)).collect();
            if count < ranked.len() {
                ranked.select_nth_unstable(count);
                ranked.truncate(count);
            }
            ranked.sort_unstable_by_key(|(_, at)| *at);
            chosen.extend(ranked.iter().filter_map(|(_, at)| of_window.get(*at).copied()));
            place += of_window.len();
        }
        chosen
    }

    /// The different values that a call has seen, window by window.
    fn distinct(
        &self,
        call: usize,
        lead: usize,
        group: &Group<'_>,
        fold: &Fold,
        scratch: &mut Charge,
    ) -> Result<Vec<Point>> {
        let is_backwards = self.frame.order == Order::Descending;
        let mut windows: Vec<usize> = self.windows_of(lead).collect();
        if is_backwards {
            windows.reverse();
        }
        let counts = group.columns.get(call);
        let mut points = Vec::new();
        for window in windows {
            self.progress.check()?;
            let count = counts.and_then(|counts| counts.get(window).copied().flatten());
            let Some(count) = count else { continue };
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count")]
            scratch.grow((count as usize).saturating_mul(2 * size_of::<Point>()))?;
            let time = self.time_of(window, || None);
            let values = fold.distinct(call, group.base + window, is_backwards);
            points.extend(values.into_iter().map(|value| (time, Cell::Value(value))));
        }
        Ok(points)
    }

    /// The answers of a call in its windows, with those that `fill()` is about. For steps, values that are too few are
    /// as good as none.
    fn answers(
        &self,
        number: usize,
        call: &CallPlan,
        has_steps: bool,
        group: &Group<'_>,
        fold: &Fold,
        scratch: &mut Charge,
    ) -> Result<Vec<Point>> {
        let windows = self.windows_of(call.lead);
        let Some(column) = group.columns.get(number) else { return Ok(Vec::new()) };
        scratch.grow(column.len().saturating_mul(size_of::<Point>() + size_of::<Option<f64>>()))?;
        let mut column = column.clone();
        let is_null = |window: usize| fold.is_null(number, group.base + window);
        let has_point = |window: &usize| {
            column.get(*window).is_some_and(Option::is_some) || (!has_steps && is_null(*window))
        };
        let Some(first) = windows.clone().find(has_point) else { return Ok(Vec::new()) };
        let begin = if self.frame.has_start { windows.start } else { first };
        self.progress.check()?;
        self.fill_windows(&mut column, call, begin);
        let mut pace = Pace::new(self.progress.cancel());
        let mut points = Vec::new();
        for window in begin..windows.end {
            pace.step()?;
            let cell = match column.get(window).copied().flatten() {
                _ if !has_steps && is_null(window) => Cell::Null,
                Some(value) => Cell::Value(value),
                None if self.frame.fill == Fill::None || self.grid.is_none() => continue,
                None => Cell::Gap,
            };
            points.push((self.time_of(window, || None), cell));
        }
        if self.frame.order == Order::Descending {
            points.reverse();
        }
        Ok(points)
    }
}

/// A column of values.
fn column(values: Vec<Option<f64>>) -> Column {
    let mut column = Column::default();
    column.fill(values.into_iter());
    column
}
