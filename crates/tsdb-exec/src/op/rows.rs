//! Plain rows: evaluates the output columns block by block, then puts the series of each group together in
//! order of time.

mod kept;

use std::sync::Arc;

use tsdb_agg::capacity_for;
use tsdb_core::storage::{Presence, SelectedSeries};
use tsdb_core::{Block, CancelToken, Column};

use super::bits;
use super::expr::{Operand, ValueExpr};
use super::fold::Places;
use super::scan::Sink;
use crate::Result;
use crate::letgo::Long;
use crate::memory::Charge;
use crate::pace::Pace;
use crate::result::{Validity, Values};

use kept::KeptColumn;
pub(crate) use kept::{GroupRows, KeptRows};

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

/// The rows of one part of a scan.
#[derive(Debug)]
pub(crate) struct Rows<'p> {
    plan: &'p RowsPlan,
    places: Places,
    groups: Long<KeptRows>,
    current: usize,
    /// Tags of the current series, one per output that is a tag.
    tags: Vec<Option<Arc<str>>>,
    /// The current series has a number in its group.
    has_number: bool,
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
            has_number: false,
            left: 0,
            charge,
        }
    }

    fn enter(&mut self, group: u32) -> Result<usize> {
        let (place, is_new) = self.places.enter(group, &mut self.charge)?;
        if is_new {
            let columns = self.plan.outputs.len().saturating_mul(size_of::<KeptColumn>());
            let list = capacity_for(self.groups.capacity(), place + 1) - self.groups.capacity();
            self.charge.grow(list.saturating_mul(size_of::<KeptRows>()).saturating_add(columns))?;
            self.groups.reserve_exact(list);
            let columns = self.plan.outputs.iter().map(Output::empty).collect();
            self.groups.push(KeptRows { columns, ..KeptRows::default() });
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

    /// Rows of all groups that LIMIT and OFFSET leave of them.
    pub(crate) fn shown(&self, offset: Option<u64>, limit: Option<u64>) -> usize {
        let count = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
        let (offset, limit) = (offset.map_or(0, count), limit.map_or(usize::MAX, count));
        self.groups.iter().map(|rows| rows.len().saturating_sub(offset).min(limit)).sum()
    }

    /// Groups with rows, in order of groups, and what keeps their memory charged.
    ///
    /// # Errors
    /// A token that was used, memory that is used up.
    pub(crate) fn into_groups(
        self,
        cancel: &CancelToken,
    ) -> Result<(Long<(u32, KeptRows)>, Charge)> {
        let Rows { places, mut groups, mut charge, .. } = self;
        charge.grow(groups.len().saturating_mul(size_of::<(u32, KeptRows)>()))?;
        let mut taken = Long::from(Vec::with_capacity(groups.len()));
        let mut pace = Pace::new(cancel);
        for (group, place) in places.iter() {
            pace.step()?;
            let rows = groups.get_mut(place).map(std::mem::take).unwrap_or_default();
            if !rows.times.is_empty() {
                taken.push((group, rows));
            }
        }
        charge.give_back(groups.capacity().saturating_mul(size_of::<KeptRows>()));
        Ok((taken, charge))
    }
}

impl Output {
    fn empty(&self) -> KeptColumn {
        match self {
            Output::Value(_) => {
                KeptColumn::Numbers(Values::Floats(Vec::new(), Validity::default()))
            }
            Output::Tag(_) => KeptColumn::Texts(Arc::default()),
        }
    }
}

impl Sink for Rows<'_> {
    fn series(&mut self, _: u32, series: &SelectedSeries) -> Result<()> {
        self.current = self.enter(series.group)?;
        self.left = self.plan.per_series.unwrap_or(u64::MAX);
        self.tags.clear();
        self.has_number = false;
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
        if !std::mem::replace(&mut self.has_number, true) {
            group.enter(&self.tags);
        }
        group.make_room(count);
        rows.each(block.len(), |row| group.times.extend(block.times.get(row)));
        if group.has_texts() {
            // The current series came last.
            group.series.resize(group.times.len(), group.series_count.saturating_sub(1));
        }
        for (column, output) in group.columns.iter_mut().zip(&self.plan.outputs) {
            if let (KeptColumn::Numbers(Values::Floats(values, validity)), Output::Value(expr)) =
                (column, output)
            {
                let operand = expr.evaluate(&block.columns, block.len());
                append_numbers(values, validity, &operand, &rows, block.len());
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
