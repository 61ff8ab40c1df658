//! The answer of a subquery as something that can be scanned: its tables are series, whose tags are those that it groups
//! by and its columns of texts, and its other columns are fields.
//!
//! Unlike those of an engine a series may have several rows of one time, in the order of the answer.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::sync::Arc;

use tsdb_core::limits::BLOCK_ROWS_MAX;
use tsdb_core::matcher::{CompiledFilter, TagFilter};
use tsdb_core::storage::{
    Estimate, FieldSelection, Order, ScanCounters, ScanRequest, Selection, SeriesRequest, Snapshot,
    Statistics, Windows, group_series,
};
use tsdb_core::time::{MAX_TIME, MIN_TIME, window_start};
use tsdb_core::{
    Block, CancelToken, Column, Cursor, Error as CoreError, Pool, Result as CoreResult, SeriesKey,
    TimeRange,
};

use crate::Result;
use crate::memory::Charge;
use crate::pace::Pace;
use crate::plan::Frame;
use crate::result::{Series, Values};
use crate::scope::{NAME_BYTES, View};

/// Bytes of a value and of whether it is there.
const CELL_BYTES: usize = size_of::<f64>() + 1;

/// The rows of one or several subqueries.
#[derive(Debug)]
pub(crate) struct Derived {
    measurements: BTreeMap<Arc<str>, DerivedMeasurement>,
    /// The windows whose beginnings its rows bear as times.
    windows: Vec<Windows>,
    /// Pays for all of it.
    charge: Charge,
}

/// What the subqueries gave of one measurement.
#[derive(Debug, Default)]
pub(crate) struct DerivedMeasurement {
    /// Names of the columns of numbers, sorted.
    pub(crate) fields: Vec<Arc<str>>,
    /// Names of the tags that are grouped by, sorted.
    pub(crate) tags: Vec<Arc<str>>,
    /// Names of the columns of texts, sorted.
    pub(crate) texts: Vec<Arc<str>>,
    /// In the order of the answer: so rows of one time are in the order of its tables.
    series: Vec<Arc<DerivedSeries>>,
}

/// Rows with the same tags, in order of time.
#[derive(Debug)]
struct DerivedSeries {
    key: SeriesKey,
    times: Vec<i64>,
    columns: Vec<(Arc<str>, Column)>,
}

impl Derived {
    /// Nothing yet.
    pub(crate) fn new(view: &View<'_>) -> Derived {
        Derived {
            measurements: BTreeMap::new(),
            windows: Vec::new(),
            charge: view.context.memory.charge(),
        }
    }

    /// Adds the tables of a subquery that was answered in that frame.
    ///
    /// # Errors
    /// A token that was used, memory that is used up.
    pub(crate) fn add(
        &mut self,
        tables: &[Series],
        frame: &Frame,
        cancel: &CancelToken,
    ) -> Result<()> {
        self.windows.extend(frame.windows);
        for table in tables {
            cancel.check()?;
            self.table(table, frame.order, cancel)?;
        }
        for measurement in self.measurements.values_mut() {
            for names in [&mut measurement.fields, &mut measurement.tags, &mut measurement.texts] {
                names.sort_unstable();
                names.dedup();
            }
        }
        Ok(())
    }

    /// The measurements, in order of names.
    pub(crate) fn measurements(&self) -> impl Iterator<Item = (&Arc<str>, &DerivedMeasurement)> {
        self.measurements.iter()
    }

    /// The stretch of time that the rows of a measurement lie in.
    pub(crate) fn stretch(&self, measurement: &str) -> TimeRange {
        let series = self.measurements.get(measurement).into_iter().flat_map(|all| &all.series);
        let first = series.clone().filter_map(|series| series.times.first()).min();
        let last = series.filter_map(|series| series.times.last()).max();
        first
            .zip(last)
            .map_or(TimeRange::EMPTY, |(first, last)| TimeRange::from_inclusive(*first, *last))
    }

    /// The first time that a row can bear that is about rows at `start` and behind it.
    pub(crate) fn first_time(&self, start: i64) -> i64 {
        let begin = |windows: &Windows| window_start(start, windows.every, windows.offset);
        self.windows.iter().map(begin).min().unwrap_or(start)
    }

    fn table(&mut self, table: &Series, order: Order, cancel: &CancelToken) -> Result<()> {
        let name = table.name.clone().unwrap_or_else(|| Arc::from(""));
        let (mut texts, mut numbers) = (Vec::new(), Vec::new());
        for column in &table.columns {
            match &column.values {
                Values::Strings(values) => texts.push((&column.name, values)),
                other => numbers.push((&column.name, other)),
            }
        }
        let times = table.times.as_deref().unwrap_or_default();
        let cells = times.len().saturating_mul(numbers.len().saturating_mul(CELL_BYTES));
        // The places of the rows, by which they are told apart, take as much as their times.
        self.charge.grow(cells.saturating_add(2 * size_of_val(times)))?;
        // Rows with the same texts, each list in the order of the answer.
        let mut parts: BTreeMap<Vec<Option<&str>>, Vec<usize>> = BTreeMap::new();
        let mut pace = Pace::new(cancel);
        for row in 0..times.len() {
            pace.step()?;
            let row = if order == Order::Descending { times.len() - 1 - row } else { row };
            let tags =
                texts.iter().map(|(_, values)| values.get(row).map(|text| &**text)).collect();
            let rows = parts.entry(tags).or_default();
            rows.push(row);
        }
        let measurement = self.measurements.entry(Arc::clone(&name)).or_default();
        measurement.fields.extend(numbers.iter().map(|(name, _)| Arc::clone(name)));
        measurement.texts.extend(texts.iter().map(|(name, _)| Arc::clone(name)));
        measurement.tags.extend(table.tags.iter().map(|(key, _)| Arc::clone(key)));
        for (values, rows) in parts {
            cancel.check()?;
            let texts = texts.iter().map(|(name, _)| &***name).zip(values);
            let texts = texts.filter_map(|(name, value)| Some((name, value?)));
            let key = key(&name, &table.tags, texts)?;
            self.charge.grow(key.as_str().len() + (numbers.len() + 1) * NAME_BYTES)?;
            let columns = numbers.iter().map(|(name, values)| {
                let mut column = Column::default();
                column.fill(rows.iter().map(|row| values.number(*row)));
                (Arc::clone(name), column)
            });
            let columns = columns.collect();
            let times = rows.iter().filter_map(|row| times.get(*row).copied()).collect();
            measurement.series.push(Arc::new(DerivedSeries { key, times, columns }));
        }
        Ok(())
    }

    /// The series of the measurements that `filter` holds for.
    fn matching(
        &self,
        measurements: Option<&[Arc<str>]>,
        filter: &TagFilter,
    ) -> CoreResult<Vec<&Arc<DerivedSeries>>> {
        let filter = CompiledFilter::new(filter)
            .map_err(|error| CoreError::Invalid { what: error.to_string() })?;
        let is_meant = |name: &Arc<str>| measurements.is_none_or(|names| names.contains(name));
        let meant = self.measurements.iter().filter(|(name, _)| is_meant(name));
        let series = meant.flat_map(|(_, measurement)| &measurement.series);
        Ok(series.filter(|s| filter.matches(|tag| s.key.tag(tag).unwrap_or(""))).collect())
    }
}

/// The key of rows with these tags; a text that is called as a tag is the tag.
fn key<'t>(
    measurement: &str,
    tags: &'t [(Arc<str>, Arc<str>)],
    texts: impl Iterator<Item = (&'t str, &'t str)>,
) -> CoreResult<SeriesKey> {
    let mut all: BTreeMap<&str, &str> = texts.collect();
    all.extend(tags.iter().map(|(key, value)| (&**key, &**value)));
    SeriesKey::from_parts(measurement, all.into_iter().filter(|(_, value)| !value.is_empty()))
}

impl DerivedSeries {
    /// Places of the rows inside `time`.
    fn rows(&self, time: TimeRange) -> Range<usize> {
        let start = self.times.partition_point(|at| *at < time.start);
        let end = self.times.partition_point(|at| *at < time.end);
        start..end.max(start)
    }

    fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|(known, _)| **known == *name).map(|(_, column)| column)
    }
}

impl Snapshot for Derived {
    fn select(&self, request: &ScanRequest) -> CoreResult<Selection> {
        request.cancel.check()?;
        let matching = self.matching(Some(&request.measurements), &request.filter)?;
        let columns: Arc<[Arc<str>]> = match &request.fields {
            FieldSelection::Named(names) => names.as_slice().into(),
            FieldSelection::All => {
                let all = SeriesRequest::all(request.namespace);
                let measurements = Some(request.measurements.clone());
                self.fields(&SeriesRequest { measurements, ..all })?.into()
            }
        };
        let mut held = request.budget.reserve(Pool::Queries, 0)?;
        let keys = matching.iter().map(|series| series.key.clone()).collect();
        let (series, groups) =
            group_series(keys, &request.group_by, &mut |bytes| held.grow(bytes))?;
        let counters = Arc::new(ScanCounters::default());
        counters.series_matched.add(series.len() as u64);
        let waiting = (0..).zip(matching);
        let cursor = DerivedCursor {
            waiting: waiting.map(|(n, s)| (n, s.rows(request.time), Arc::clone(s))).collect(),
            columns: Arc::clone(&columns),
            order: request.order,
            limit: request
                .limit_per_series
                .map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX)),
            given: 0,
            cancel: request.cancel.clone(),
            counters: Arc::clone(&counters),
        };
        let cursors: Vec<Box<dyn Cursor>> = vec![Box::new(cursor)];
        Ok(Selection { columns, series, groups, cursors, counters, held: vec![Arc::new(held)] })
    }

    fn estimate(&self, request: &ScanRequest) -> CoreResult<Estimate> {
        let mut estimate = Estimate { t_min: MAX_TIME, t_max: MIN_TIME, ..Estimate::default() };
        for series in self.matching(Some(&request.measurements), &request.filter)? {
            let times = series.times.get(series.rows(request.time)).unwrap_or_default();
            let (Some(first), Some(last)) = (times.first(), times.last()) else { continue };
            estimate.series += 1;
            estimate.rows += times.len() as u64;
            estimate.t_min = estimate.t_min.min(*first);
            estimate.t_max = estimate.t_max.max(*last);
        }
        Ok(estimate)
    }

    fn series(&self, request: &SeriesRequest) -> CoreResult<Vec<SeriesKey>> {
        let matching = self.matching(request.measurements.as_deref(), &request.filter)?;
        let alive = matching.into_iter().filter(|series| !series.rows(request.time).is_empty());
        let limit = request.limit.unwrap_or(usize::MAX);
        Ok(alive.take(limit).map(|series| series.key.clone()).collect())
    }

    fn fields(&self, request: &SeriesRequest) -> CoreResult<Vec<Arc<str>>> {
        let matching = self.matching(request.measurements.as_deref(), &request.filter)?;
        let columns = matching.iter().flat_map(|series| &series.columns);
        let mut names: Vec<Arc<str>> = columns.map(|(name, _)| Arc::clone(name)).collect();
        names.sort_unstable();
        names.dedup();
        Ok(names)
    }

    fn statistics(&self) -> Statistics {
        Statistics::default()
    }
}

/// Reads the series one after the other.
struct DerivedCursor {
    /// Number, rows that are still to be read, series.
    waiting: VecDeque<(u32, Range<usize>, Arc<DerivedSeries>)>,
    columns: Arc<[Arc<str>]>,
    order: Order,
    /// Most rows of a series.
    limit: usize,
    /// Rows that the first series has given.
    given: usize,
    cancel: CancelToken,
    counters: Arc<ScanCounters>,
}

impl Cursor for DerivedCursor {
    fn next(&mut self, block: &mut Block) -> CoreResult<bool> {
        block.reset(0, self.columns.len());
        while let Some((number, left, series)) = self.waiting.front_mut() {
            self.cancel.check()?;
            if Range::is_empty(left) || self.given >= self.limit {
                self.waiting.pop_front();
                self.given = 0;
                continue;
            }
            let count = left.len().min(BLOCK_ROWS_MAX);
            let mut taken: Vec<usize> = match self.order {
                Order::Ascending => left.by_ref().take(count).collect(),
                Order::Descending => left.by_ref().rev().take(count).collect(),
            };
            let columns: Vec<Option<&Column>> =
                self.columns.iter().map(|name| series.column(name)).collect();
            taken.retain(|row| columns.iter().flatten().any(|column| column.is_present(*row)));
            taken.truncate(self.limit - self.given);
            if taken.is_empty() {
                continue;
            }
            self.given += taken.len();
            block.series = *number;
            let times = taken.iter().filter_map(|row| series.times.get(*row).copied());
            block.times.stamps_mut().extend(times);
            for (filled, column) in block.columns.iter_mut().zip(columns) {
                filled.fill(taken.iter().map(|row| column.and_then(|column| column.get(*row))));
            }
            self.counters.rows_scanned.add(taken.len() as u64);
            return Ok(true);
        }
        Ok(false)
    }
}
