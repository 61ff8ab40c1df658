//! Plain rows: evaluates the output columns block by block, then puts the series of each group together in
//! order of time.

use std::sync::Arc;

use tsdb_core::storage::{Order, Presence, SelectedSeries};
use tsdb_core::{Block, Column};

use super::bits;
use super::expr::{Operand, ValueExpr};
use super::fold::Places;
use super::scan::Sink;
use crate::Result;
use crate::context::Charge;
use crate::result::{Validity, Values};

/// A column of an answer.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Output {
    /// Numbers.
    Value(ValueExpr),
    /// The value of a tag.
    Tag(Arc<str>),
}

/// What is kept of the rows that a scan yields.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct RowsPlan {
    /// The columns.
    pub(crate) outputs: Vec<Output>,
    /// A row counts if one of the first so many columns of the scan has a value; those behind are there for
    /// the filter alone.
    pub(crate) selected: usize,
    /// Most rows of a series that can be in the answer.
    pub(crate) per_series: Option<u64>,
}

/// Rows of one group, series after series.
#[derive(Debug)]
pub(crate) struct GroupRows {
    pub(crate) times: Vec<i64>,
    pub(crate) columns: Vec<Values>,
}

/// The rows of one part of a scan.
#[derive(Debug)]
pub(crate) struct Rows<'p> {
    plan: &'p RowsPlan,
    places: Places,
    groups: Vec<GroupRows>,
    current: usize,
    /// Tags of the current series, one per output that is a tag.
    tags: Vec<Option<Arc<str>>>,
    left: u64,
    charge: Charge,
}

impl<'p> Rows<'p> {
    /// No rows yet.
    pub(crate) fn new(plan: &'p RowsPlan, charge: Charge) -> Rows<'p> {
        Rows {
            plan,
            places: Places::default(),
            groups: Vec::new(),
            current: 0,
            tags: Vec::new(),
            left: 0,
            charge,
        }
    }

    fn enter(&mut self, group: u32) -> usize {
        let (place, is_new) = self.places.enter(group);
        if is_new {
            let columns = self.plan.outputs.iter().map(Output::empty).collect();
            self.groups.push(GroupRows { times: Vec::new(), columns });
        }
        place
    }

    /// Appends the rows of a part with later series.
    pub(crate) fn merge(mut self, later: Rows<'p>) -> Rows<'p> {
        let order: Vec<(u32, usize)> = later.places.iter().collect();
        let mut from: Vec<Option<GroupRows>> = later.groups.into_iter().map(Some).collect();
        for (group, place) in order {
            let into = self.enter(group);
            let Some(more) = from.get_mut(place).and_then(Option::take) else { continue };
            if let Some(rows) = self.groups.get_mut(into) {
                rows.append(more);
            }
        }
        self
    }

    /// Groups with rows, in order of groups, and what keeps their memory charged.
    pub(crate) fn into_groups(self) -> (Vec<(u32, GroupRows)>, Charge) {
        let order: Vec<(u32, usize)> = self.places.iter().collect();
        let mut rows: Vec<Option<GroupRows>> = self.groups.into_iter().map(Some).collect();
        let taken = order.into_iter().filter_map(|(group, place)| {
            let rows = rows.get_mut(place).and_then(Option::take)?;
            (!rows.times.is_empty()).then_some((group, rows))
        });
        (taken.collect(), self.charge)
    }
}

impl Output {
    fn empty(&self) -> Values {
        match self {
            Output::Value(_) => Values::Floats(Vec::new(), Validity::default()),
            Output::Tag(_) => Values::Strings(Vec::new()),
        }
    }

    /// Bytes that a row takes in the answer.
    fn row_bytes(&self) -> usize {
        match self {
            Output::Value(_) => size_of::<f64>() + 1,
            Output::Tag(_) => size_of::<Option<Arc<str>>>(),
        }
    }
}

impl Sink for Rows<'_> {
    fn series(&mut self, _: u32, series: &SelectedSeries) -> Result<()> {
        self.current = self.enter(series.group);
        self.left = self.plan.per_series.unwrap_or(u64::MAX);
        self.tags.clear();
        self.tags.extend(self.plan.outputs.iter().map(|output| match output {
            Output::Tag(key) => series.key.tag(key).map(Arc::from),
            Output::Value(_) => None,
        }));
        Ok(())
    }

    fn block(&mut self, block: &Block) -> Result<()> {
        let wanted = usize::try_from(self.left).unwrap_or(usize::MAX);
        let rows = chosen_rows(block, self.plan.selected, wanted);
        let count = rows.count(block.len());
        if count == 0 {
            return Ok(());
        }
        self.left -= count as u64;
        let bytes: usize = self.plan.outputs.iter().map(Output::row_bytes).sum();
        self.charge.grow(count * (bytes + size_of::<i64>()))?;
        let Some(group) = self.groups.get_mut(self.current) else { return Ok(()) };
        rows.each(block.len(), |row| group.times.extend(block.times.get(row)));
        let columns = group.columns.iter_mut().zip(&self.plan.outputs).zip(&self.tags);
        for ((column, output), tag) in columns {
            match (column, output) {
                (Values::Floats(values, validity), Output::Value(expr)) => {
                    let operand = expr.evaluate(&block.columns, block.len());
                    append_numbers(values, validity, &operand, &rows, block.len());
                }
                (Values::Strings(values), _) => {
                    values.resize(values.len() + count, tag.clone());
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// Which rows of a block go on.
enum ChosenRows {
    All,
    Some(Vec<u64>),
}

impl ChosenRows {
    fn count(&self, rows: usize) -> usize {
        match self {
            ChosenRows::All => rows,
            ChosenRows::Some(words) => bits::count(words),
        }
    }

    fn each(&self, rows: usize, mut f: impl FnMut(usize)) {
        match self {
            ChosenRows::All => (0..rows).for_each(f),
            ChosenRows::Some(words) => bits::iter(words).for_each(&mut f),
        }
    }
}

/// At most `wanted` rows that have a value in one of the first `selected` columns.
fn chosen_rows(block: &Block, selected: usize, wanted: usize) -> ChosenRows {
    let rows = block.len();
    let columns = block.columns.iter().take(selected);
    if wanted >= rows && columns.clone().any(|column| column.presence == Presence::All) {
        return ChosenRows::All;
    }
    let mut words = vec![0; rows.div_ceil(64)];
    columns.for_each(|c| bits::unite(&mut words, &bits::presence_words(&c.presence, rows)));
    if bits::count(&words) > wanted {
        let mut kept = 0;
        let first: Vec<usize> = bits::iter(&words).take(wanted).collect();
        words = bits::collect(rows, |row| {
            let keep = first.get(kept) == Some(&row);
            kept += usize::from(keep);
            keep
        });
    }
    ChosenRows::Some(words)
}

fn append_numbers(
    values: &mut Vec<f64>,
    validity: &mut Validity,
    operand: &Operand<'_>,
    rows: &ChosenRows,
    count: usize,
) {
    match (operand, rows) {
        (Operand::Constant(value), _) => rows.each(count, |_| {
            values.push(value.unwrap_or(0.0));
            validity.push(value.is_some());
        }),
        (Operand::Column(column), ChosenRows::All) if column.presence == Presence::All => {
            values.extend_from_slice(&column.values);
            validity.extend_present(count);
        }
        (Operand::Column(column), _) => rows.each(count, |row| {
            let value = Column::get(column, row);
            values.push(value.unwrap_or(0.0));
            validity.push(value.is_some());
        }),
    }
}

impl GroupRows {
    fn append(&mut self, mut later: GroupRows) {
        self.times.append(&mut later.times);
        for (column, more) in self.columns.iter_mut().zip(later.columns) {
            column.append(more);
        }
    }

    /// Puts the rows in order of time and keeps those of the page: `limit` rows behind the first `offset`.
    /// Of rows with equal times, those of the earlier series come first; last in descending order, which
    /// is the whole table read backwards.
    pub(crate) fn arrange(self, order: Order, offset: usize, limit: usize) -> GroupRows {
        let count = self.times.len();
        let end = offset.saturating_add(limit).min(count);
        let (times, columns) = (&self.times, &self.columns);
        let in_order = match order {
            Order::Ascending => times.is_sorted(),
            Order::Descending => times.is_sorted_by(|a, b| a > b),
        };
        if in_order && offset == 0 && end == count {
            return self;
        }
        let mut rows: Vec<usize> = (0..count).collect();
        if !in_order {
            let time = |row: &usize| times.get(*row).copied();
            // The runs of the series are sorted already, which a merge sort turns to account.
            match order {
                Order::Ascending => rows.sort_by_key(time),
                Order::Descending => {
                    rows.sort_by(|a, b| time(b).cmp(&time(a)).then_with(|| b.cmp(a)));
                }
            }
        }
        let page = rows.get(offset.min(end)..end).unwrap_or_default();
        GroupRows {
            times: page.iter().filter_map(|row| times.get(*row).copied()).collect(),
            columns: columns.iter().map(|column| column.pick(page)).collect(),
        }
    }
}
