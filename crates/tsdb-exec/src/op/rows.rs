//! Plain rows: evaluates the output columns block by block, then puts the series of each group together in
//! order of time.

use std::ops::Range;
use std::sync::Arc;

use tsdb_agg::capacity_for;
use tsdb_core::storage::{Order, Presence, SelectedSeries};
use tsdb_core::{Block, CancelToken, Column};

use super::bits;
use super::expr::{Operand, ValueExpr};
use super::fold::Places;
use super::scan::Sink;
use crate::Result;
use crate::letgo::{Long, let_go};
use crate::memory::Charge;
use crate::pace::Pace;
use crate::result::{Validity, Values};
use crate::sort::sort_by;
use crate::texts::TextColumn;

/// Memory of an `Arc<str>` beside its text.
pub(crate) const ARC_BYTES: usize = 2 * size_of::<usize>();

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
#[derive(Debug, Default)]
pub(crate) struct GroupRows {
    pub(crate) times: Vec<i64>,
    pub(crate) columns: Vec<Values>,
}

/// The rows of one part of a scan.
#[derive(Debug)]
pub(crate) struct Rows<'p> {
    plan: &'p RowsPlan,
    places: Places,
    groups: Long<GroupRows>,
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
            groups: Long::new(),
            current: 0,
            tags: Vec::new(),
            left: 0,
            charge,
        }
    }

    fn enter(&mut self, group: u32) -> Result<usize> {
        let (place, is_new) = self.places.enter(group, &mut self.charge)?;
        if is_new {
            let columns = self.plan.outputs.len().saturating_mul(size_of::<Values>());
            let list = capacity_for(self.groups.capacity(), place + 1) - self.groups.capacity();
            self.charge
                .grow(list.saturating_mul(size_of::<GroupRows>()).saturating_add(columns))?;
            self.groups.reserve_exact(list);
            let columns = self.plan.outputs.iter().map(Output::empty).collect();
            self.groups.push(GroupRows { times: Vec::new(), columns });
        }
        Ok(place)
    }

    /// Appends the rows of a part with later series.
    ///
    /// # Errors
    /// A token that was used, memory that is used up.
    pub(crate) fn merge(mut self, later: Rows<'p>, cancel: &CancelToken) -> Result<Rows<'p>> {
        let Rows { places, mut groups, charge, .. } = later;
        self.charge.merge(charge);
        let mut pace = Pace::new(cancel);
        for (group, place) in places.iter() {
            pace.step()?;
            let into = self.enter(group)?;
            let (Some(more), Some(rows)) = (groups.get_mut(place), self.groups.get_mut(into))
            else {
                continue;
            };
            let more = std::mem::take(more);
            // A group of which all series are in one part is not copied.
            if rows.times.is_empty() {
                *rows = more;
            } else {
                cancel.check()?;
                self.charge.grow(rows.growth(more.times.len()))?;
                let copied = more.bytes();
                rows.append(more);
                self.charge.give_back(copied);
            }
        }
        Ok(self)
    }

    /// Groups with rows, in order of groups, and what keeps their memory charged.
    ///
    /// # Errors
    /// A token that was used, memory that is used up.
    pub(crate) fn into_groups(
        self,
        cancel: &CancelToken,
    ) -> Result<(Long<(u32, GroupRows)>, Charge)> {
        let Rows { places, mut groups, mut charge, .. } = self;
        charge.grow(groups.len().saturating_mul(size_of::<(u32, GroupRows)>()))?;
        let mut taken = Long::from(Vec::with_capacity(groups.len()));
        let mut pace = Pace::new(cancel);
        for (group, place) in places.iter() {
            pace.step()?;
            let rows = groups.get_mut(place).map(std::mem::take).unwrap_or_default();
            if !rows.times.is_empty() {
                taken.push((group, rows));
            }
        }
        charge.give_back(groups.capacity().saturating_mul(size_of::<GroupRows>()));
        Ok((taken, charge))
    }
}

impl Output {
    fn empty(&self) -> Values {
        match self {
            Output::Value(_) => Values::Floats(Vec::new(), Validity::default()),
            Output::Tag(_) => Values::Strings(TextColumn::default()),
        }
    }
}

impl Sink for Rows<'_> {
    fn series(&mut self, _: u32, series: &SelectedSeries) -> Result<()> {
        self.current = self.enter(series.group)?;
        self.left = self.plan.per_series.unwrap_or(u64::MAX);
        self.tags.clear();
        for output in &self.plan.outputs {
            let tag = match output {
                Output::Tag(key) => series.key.tag(key),
                Output::Value(_) => None,
            };
            // The rows of the series share one text.
            let text = size_of::<Option<Arc<str>>>() + tag.map_or(0, |tag| tag.len() + ARC_BYTES);
            self.charge.grow(text)?;
            self.tags.push(tag.map(Arc::from));
        }
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
        let Some(group) = self.groups.get_mut(self.current) else { return Ok(()) };
        self.charge.grow(group.growth(count))?;
        group.make_room(count);
        rows.each(block.len(), |row| group.times.extend(block.times.get(row)));
        let columns = group.columns.iter_mut().zip(&self.plan.outputs).zip(&self.tags);
        for ((column, output), tag) in columns {
            match (column, output) {
                (Values::Floats(values, validity), Output::Value(expr)) => {
                    let operand = expr.evaluate(&block.columns, block.len());
                    append_numbers(values, validity, &operand, &rows, block.len());
                }
                (Values::Strings(values), _) => {
                    values.extend(count, tag.as_ref());
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
    /// Rows that there is room for once `more` have been added, and those that there is room for now.
    fn capacities(&self, more: usize) -> (usize, usize) {
        let now = self.times.capacity();
        (capacity_for(now, self.times.len().saturating_add(more)), now)
    }

    /// Bytes of a row.
    fn row_bytes(&self) -> usize {
        size_of::<i64>() + self.columns.iter().map(Values::row_bytes).sum::<usize>()
    }

    /// Bytes of the rows that there is room for.
    fn bytes(&self) -> usize {
        self.times.capacity().saturating_mul(self.row_bytes())
    }

    /// Bytes that making room for `more` rows takes.
    fn growth(&self, more: usize) -> usize {
        let (wanted, now) = self.capacities(more);
        (wanted - now).saturating_mul(self.row_bytes())
    }

    fn make_room(&mut self, more: usize) {
        let (wanted, now) = self.capacities(more);
        if wanted > now {
            self.times.reserve_exact(wanted - self.times.len());
            self.columns.iter_mut().for_each(|column| column.make_room(wanted));
        }
    }

    fn append(&mut self, mut later: GroupRows) {
        self.make_room(later.times.len());
        self.times.append(&mut later.times);
        for (column, more) in self.columns.iter_mut().zip(later.columns) {
            column.append(more);
        }
    }

    /// Puts the rows in order of time and keeps those of the page: `limit` rows behind the first `offset`.
    /// Of rows with equal times, those of the earlier series come first; last in descending order, which
    /// is the whole table read backwards. `scratch` pays for what it takes to sort, and for the rows that are
    /// kept while those that they are taken from are still there.
    ///
    /// # Errors
    /// A token that was used, memory that is used up.
    pub(crate) fn arrange(
        self,
        order: Order,
        offset: usize,
        limit: usize,
        scratch: &mut Charge,
        cancel: &CancelToken,
    ) -> Result<GroupRows> {
        let count = self.times.len();
        let end = offset.saturating_add(limit).min(count);
        let times = &self.times;
        let in_order = match order {
            Order::Ascending => times.is_sorted(),
            Order::Descending => times.is_sorted_by(|a, b| a > b),
        };
        if in_order && offset == 0 && end == count {
            return Ok(self);
        }
        let arranged = self.sorted(order, in_order, offset..end, scratch, cancel);
        // The counters of millions of texts take their time.
        let_go(self, count);
        arranged
    }

    /// The rows at the places `page`, once they are in order.
    fn sorted(
        &self,
        order: Order,
        in_order: bool,
        page: Range<usize>,
        scratch: &mut Charge,
        cancel: &CancelToken,
    ) -> Result<GroupRows> {
        let (times, columns, count) = (&self.times, &self.columns, self.times.len());
        let (offset, end) = (page.start, page.end);
        let kept = end.saturating_sub(offset).saturating_mul(self.row_bytes());
        scratch.grow(count.saturating_mul(2 * size_of::<usize>()).saturating_add(kept))?;
        let mut rows: Vec<usize> = (0..count).collect();
        if !in_order {
            let time = |row: &usize| times.get(*row).copied();
            // The runs of the series are sorted already, which a merge sort turns to account.
            rows = match order {
                Order::Ascending => sort_by(rows, cancel, |a, b| time(a).cmp(&time(b))),
                Order::Descending => {
                    sort_by(rows, cancel, |a, b| time(b).cmp(&time(a)).then_with(|| b.cmp(a)))
                }
            }?;
        }
        let page = rows.get(offset.min(end)..end).unwrap_or_default();
        let columns = columns.iter().map(|column| column.pick(page, cancel)).collect::<Result<_>>();
        Ok(GroupRows {
            times: page.iter().filter_map(|row| times.get(*row).copied()).collect(),
            columns: columns?,
        })
    }
}
