//! Reads what a selection gives, and checks on the way everything about its form: blocks, columns,
//! presence, order, parts, groups. Whether the values are right is the business of `compare`.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Verdict, Violation, ensure};
use crate::SeriesKey;
use crate::limits::BLOCK_ROWS_MAX;
use crate::storage::{
    Block, Column, Cursor, FieldSelection, GroupBy, Order, Presence, ScanRequest, SelectedSeries,
    Selection, Snapshot, Summary, TimeColumn, Want,
};
use crate::{Pool, TimeRange, time};

/// A row as the cursor gave it: its time, and per column the bits of its value.
pub(super) type AnswerRow = (i64, Vec<Option<u64>>);

/// All rows and summaries of one scan.
#[derive(Debug, Default)]
pub(super) struct Answer {
    pub(super) columns: Vec<Arc<str>>,
    pub(super) rows: BTreeMap<SeriesKey, Vec<AnswerRow>>,
    /// Series, place of the column, what the store says about a stretch of it.
    pub(super) summaries: Vec<(SeriesKey, usize, Summary)>,
    /// Every series that matched, also those without rows.
    pub(super) series: Vec<SeriesKey>,
}

/// Scans to the end.
///
/// # Errors
/// An error of the store, and whatever breaks a rule of form.
pub(super) fn read(snapshot: &dyn Snapshot, request: &ScanRequest) -> Result<Answer, Violation> {
    let selection = snapshot.select(request)?;
    check_selection(&selection, request)?;
    let Selection { columns, series, cursors, counters, held, .. } = selection;
    let answer = Answer { columns: columns.to_vec(), ..Answer::default() };
    let mut reader = Reader { request, series: &series, last: None, rows: 0, answer };
    // What is left in a block from before must not shine through.
    let mut block = Block::new();
    let left = Column { presence: Presence::All, values: vec![f64::MAX; 5], summary: None };
    block.columns.resize(3, left);
    block.times.stamps_mut().extend([7; 5]);
    for cursor in cursors {
        reader.read_part(cursor, &mut block)?;
    }
    let counts = counters.read();
    let counted = (counts.series_matched, counts.rows_scanned);
    ensure(counted.0 == series.len() as u64 && counted.1 >= reader.rows, || {
        format!("{} series and {} rows are counted as {counts:?}", series.len(), reader.rows)
    })?;
    let mut answer = reader.answer;
    answer.series = series.iter().map(|selected| selected.key.clone()).collect();
    drop(held);
    let left = request.budget.used(Pool::Queries);
    ensure(left == 0, || format!("{left} bytes of the budget are taken after the scan"))?;
    Ok(answer)
}

fn check_selection(selection: &Selection, request: &ScanRequest) -> Verdict {
    let in_order = selection.series.iter().zip(selection.series.iter().skip(1));
    for (left, right) in in_order {
        ensure(left.key < right.key, || format!("{} stands before {}", left.key, right.key))?;
    }
    match &request.fields {
        FieldSelection::Named(names) => ensure(**names == *selection.columns, || {
            format!("columns {:?} for {names:?}", selection.columns)
        })?,
        FieldSelection::All => {
            let sorted = selection.columns.is_sorted_by(|left, right| left < right);
            ensure(sorted, || format!("columns are not in order: {:?}", selection.columns))?;
        }
    }
    ensure(selection.cursors.len() <= request.parts, || {
        format!("{} cursors for {} parts", selection.cursors.len(), request.parts)
    })?;
    check_groups(selection, &request.group_by)
}

/// Groups are dense, in order of their values, and each series is in the one of its own values.
fn check_groups(selection: &Selection, by: &GroupBy) -> Verdict {
    let mut used = vec![false; selection.groups.len()];
    for (number, series) in selection.series.iter().enumerate() {
        let group = series.group as usize;
        let place = used.get_mut(group);
        *place.ok_or_else(|| Violation::new(format!("{} is in group {group}", series.key)))? = true;
        let (place, values): (usize, Vec<&str>) = match by {
            GroupBy::Nothing => (0, Vec::new()),
            GroupBy::Series => (number, Vec::new()),
            GroupBy::Tags(tags) => {
                (group, tags.iter().map(|tag| series.key.tag(tag).unwrap_or("")).collect())
            }
        };
        let found = selection.groups.get(group).into_iter().flatten().map(|v| &**v);
        ensure(place == group && found.eq(values.iter().copied()), || {
            format!("{} is in group {group}, its values are {values:?}", series.key)
        })?;
    }
    ensure(used.iter().all(|used| *used), || format!("groups without series: {used:?}"))?;
    let sorted = !matches!(by, GroupBy::Tags(_)) || selection.groups.is_sorted_by(|a, b| a < b);
    ensure(sorted, || format!("groups are not in order: {:?}", selection.groups))
}

struct Reader<'a> {
    request: &'a ScanRequest,
    series: &'a [SelectedSeries],
    /// Series and time of the row that came last, over all cursors.
    last: Option<(u32, i64)>,
    /// Rows of all blocks that are not spans.
    rows: u64,
    answer: Answer,
}

impl Reader<'_> {
    fn read_part(&mut self, mut cursor: Box<dyn Cursor>, block: &mut Block) -> Verdict {
        let mut part_before = self.last.map(|(series, _)| series);
        while cursor.next(block)? {
            ensure(part_before.is_none_or(|last| last < block.series), || {
                format!("series {} is in two parts or they are out of order", block.series)
            })?;
            part_before = None;
            self.take(block)?;
        }
        ensure(block.is_empty(), || "the block is not empty at the end".to_owned())
    }

    fn take(&mut self, block: &Block) -> Verdict {
        let count = block.len();
        let key = self.series.get(block.series as usize).map(|selected| selected.key.clone());
        let key = key.ok_or_else(|| Violation::new(format!("no series {}", block.series)))?;
        let context = |violation: Violation| violation.within(format!("block of {key}"));
        ensure(count > 0, || "has no rows".to_owned()).map_err(context)?;
        ensure(count <= BLOCK_ROWS_MAX, || format!("has {count} rows")).map_err(context)?;
        let columns = block.columns.len();
        ensure(columns == self.answer.columns.len(), || format!("has {columns} columns"))
            .map_err(context)?;
        for (place, column) in block.columns.iter().enumerate() {
            self.check_column(column, count)
                .map_err(|violation| context(violation.within(format!("column {place}"))))?;
            if let Some(summary) = column.summary {
                self.answer.summaries.push((key.clone(), place, summary));
            }
        }
        self.check_times(block).map_err(context)?;
        if !matches!(block.times, TimeColumn::Span { .. }) {
            self.rows += count as u64;
        }
        let rows = self.answer.rows.entry(key.clone()).or_default();
        for (index, time) in block.times.iter().enumerate() {
            let values = block.columns.iter().map(|column| column.get(index).map(f64::to_bits));
            let values: Vec<Option<u64>> = values.collect();
            let summarised = block.columns.iter().any(|column| column.summary.is_some());
            ensure(summarised || values.iter().any(Option::is_some), || {
                format!("block of {key}: the row at {time} has no value")
            })?;
            if values.iter().any(Option::is_some) {
                rows.push((time, values));
            }
        }
        Ok(())
    }

    fn check_column(&self, column: &Column, count: usize) -> Verdict {
        if let Some(summary) = column.summary {
            ensure(self.request.want == Want::Summaries, || "an unwanted summary".to_owned())?;
            let alone = column.presence == Presence::All && column.values.is_empty();
            ensure(alone, || "a summary beside values".to_owned())?;
            ensure(summary.count == count as u64, || format!("{summary:?} of {count} rows"))?;
            return check_summary(&summary, self.request);
        }
        let values = column.values.len();
        match &column.presence {
            Presence::None => Ok(()),
            Presence::All => ensure(values == count, || format!("{values} values, {count} rows")),
            Presence::Some(bits) => {
                ensure(values == count, || format!("{values} values, {count} rows"))?;
                ensure(bits.len() == count.div_ceil(64), || format!("{} words", bits.len()))?;
                let present: u32 = bits.iter().map(|word| word.count_ones()).sum();
                let inside = (0..count).filter(|index| column.is_present(*index)).count();
                ensure(present as usize == inside, || "bits behind the rows".to_owned())?;
                ensure(0 < inside && inside < count, || format!("{inside} of {count} present"))
            }
        }
    }

    /// Times go on strictly in the requested order, inside the requested range.
    fn check_times(&mut self, block: &Block) -> Verdict {
        let last_series = self.last.map_or(0, |(series, _)| series);
        ensure(last_series <= block.series, || format!("after series {last_series}"))?;
        for time in block.times.iter() {
            let inside = self.request.time.contains(time) && time::check_time(time).is_ok();
            ensure(inside, || format!("{time} is outside of {}", self.request.time))?;
            if let Some((series, before)) = self.last
                && series == block.series
            {
                let onward = match self.request.order {
                    Order::Ascending => before < time,
                    Order::Descending => before > time,
                };
                ensure(onward, || format!("{time} comes after {before}"))?;
            }
            self.last = Some((block.series, time));
        }
        Ok(())
    }
}

/// What a summary says must be possible, and lie inside the range and one window.
fn check_summary(summary: &Summary, request: &ScanRequest) -> Verdict {
    let Summary { count, sum, min, max, first, last, t_first, t_last } = *summary;
    let what = || format!("impossible: {summary:?}");
    ensure(count > 0 && t_first <= t_last, what)?;
    ensure(!(min.is_nan() || max.is_nan() || first.is_nan() || last.is_nan()), what)?;
    ensure(min <= first && first <= max && min <= last && last <= max, what)?;
    ensure(count > 1 || (t_first == t_last && first.to_bits() == last.to_bits()), what)?;
    ensure(!sum.is_nan() || max == f64::INFINITY || min == f64::NEG_INFINITY, what)?;
    let stretch = TimeRange::from_inclusive(t_first, t_last);
    ensure(request.time.covers(&stretch), || format!("{stretch} is outside of {}", request.time))?;
    if let Some(windows) = request.windows {
        let window = time::window_range(t_first, windows.every, windows.offset);
        ensure(window.covers(&stretch), || format!("{stretch} spans windows of {windows:?}"))?;
    }
    Ok(())
}
