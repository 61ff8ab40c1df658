//! The rows of a group as they come, series after series, and what becomes of them: rows in order of time, all at once
//! or slice by slice.

use std::ops::Range;
use std::sync::Arc;

use tsdb_core::CancelToken;
use tsdb_core::storage::Order;

use crate::Result;
use crate::letgo::let_go;
use crate::memory::Charge;
use crate::result::Values;
use crate::sort::sort_by;
use crate::texts::TextColumn;

/// Rows of one group as they come, series after series.
#[derive(Debug, Default)]
pub(crate) struct KeptRows {
    pub(super) times: Vec<i64>,
    /// Per row the number of its series, of those of the group that have rows. Empty without columns of tags.
    pub(super) series: Vec<u32>,
    pub(super) series_count: u32,
    pub(super) columns: Vec<KeptColumn>,
}

/// A column of rows as they come.
#[derive(Debug)]
pub(super) enum KeptColumn {
    Numbers(Values),
    /// A tag, per series.
    Texts(Arc<Vec<Option<Arc<str>>>>),
}

/// Rows of one group in their order.
#[derive(Debug, Default)]
pub(crate) struct GroupRows {
    pub(crate) times: Vec<i64>,
    pub(crate) columns: Vec<Values>,
}

impl KeptRows {
    /// Number of rows.
    pub(crate) fn len(&self) -> usize {
        self.times.len()
    }

    pub(super) fn has_texts(&self) -> bool {
        self.columns.iter().any(|column| matches!(column, KeptColumn::Texts(_)))
    }

    /// Gives a number to a series with these tags, one per column.
    pub(super) fn enter(&mut self, tags: &[Option<Arc<str>>]) {
        self.series_count = self.series_count.saturating_add(1);
        for (column, tag) in self.columns.iter_mut().zip(tags) {
            if let KeptColumn::Texts(texts) = column {
                Arc::make_mut(texts).push(tag.clone());
            }
        }
    }

    /// Rows that there is room for once `more` have been added, and those that there is room for now. It grows by a
    /// quarter and not by half as elsewhere: these are the rows of an answer, all of them.
    fn capacities(&self, more: usize) -> (usize, usize) {
        let (now, wanted) = (self.times.capacity(), self.times.len().saturating_add(more));
        (if wanted <= now { now } else { wanted.max(now + now / 4) }, now)
    }

    /// Bytes of a row.
    pub(super) fn row_bytes(&self) -> usize {
        let number = if self.has_texts() { size_of::<u32>() } else { 0 };
        size_of::<i64>() + number + self.columns.iter().map(KeptColumn::row_bytes).sum::<usize>()
    }

    /// Bytes of a row in order, beyond those of one as it comes.
    pub(crate) fn more_bytes_in_order(&self) -> usize {
        let texts = |column: &&KeptColumn| matches!(column, KeptColumn::Texts(_));
        self.columns.iter().filter(texts).count() * TextColumn::ROW_BYTES
    }

    /// Bytes of the rows that there is room for.
    pub(crate) fn bytes(&self) -> usize {
        self.times.capacity().saturating_mul(self.row_bytes())
    }

    /// Bytes that making room for `more` rows takes.
    pub(super) fn growth(&self, more: usize) -> usize {
        let (wanted, now) = self.capacities(more);
        (wanted - now).saturating_mul(self.row_bytes())
    }

    pub(super) fn make_room(&mut self, more: usize) {
        let (wanted, now) = self.capacities(more);
        if wanted > now {
            self.times.reserve_exact(wanted - self.times.len());
            if self.has_texts() {
                self.series.reserve_exact(wanted - self.series.len());
            }
            for column in &mut self.columns {
                if let KeptColumn::Numbers(values) = column {
                    values.make_room(wanted);
                }
            }
        }
    }

    pub(super) fn append(&mut self, mut later: KeptRows) {
        self.make_room(later.times.len());
        self.times.append(&mut later.times);
        let before = self.series_count;
        self.series.extend(later.series.iter().map(|number| before.saturating_add(*number)));
        self.series_count = before.saturating_add(later.series_count);
        for (column, more) in self.columns.iter_mut().zip(later.columns) {
            match (column, more) {
                (KeptColumn::Numbers(values), KeptColumn::Numbers(more)) => values.append(more),
                (KeptColumn::Texts(texts), KeptColumn::Texts(more)) => {
                    Arc::make_mut(texts).extend(more.iter().cloned());
                }
                _ => debug_assert!(false, "columns of different types"),
            }
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
        page: Range<usize>,
        scratch: &mut Charge,
        cancel: &CancelToken,
    ) -> Result<GroupRows> {
        let count = self.times.len();
        let page = page.start.min(count)..page.end.min(count);
        if self.is_in_order(order) && page == (0..count) {
            return Ok(self.into_ordered());
        }
        let kept = self.row_bytes() + self.more_bytes_in_order();
        scratch.grow(page.len().saturating_mul(kept))?;
        let rows = self.order(order, scratch, cancel)?;
        let arranged = self.pick(rows.get(page).unwrap_or_default(), cancel);
        // The counters of millions of texts take their time.
        let_go(self, count);
        arranged
    }

    /// As [`arrange`](Self::arrange), and hands the rows of the page out in slices of at most `rows_max`: beside the
    /// rows as they came, one slice is there at a time. `take` learns whether another follows.
    ///
    /// # Errors
    /// As [`arrange`](Self::arrange), and what `take` says.
    pub(crate) fn slices(
        self,
        order: Order,
        page: Range<usize>,
        rows_max: usize,
        scratch: &mut Charge,
        cancel: &CancelToken,
        mut take: impl FnMut(GroupRows, bool) -> Result<()>,
    ) -> Result<()> {
        let count = self.times.len();
        let page = page.start.min(count)..page.end.min(count);
        if page == (0..count) && count <= rows_max.saturating_mul(8) && self.is_in_order(order) {
            // Few enough to be handed out as they are.
            scratch.grow(count.saturating_mul(self.more_bytes_in_order()))?;
            return if count == 0 { Ok(()) } else { take(self.into_ordered(), false) };
        }
        let kept = self.row_bytes() + self.more_bytes_in_order();
        scratch.grow(count.min(rows_max).saturating_mul(kept))?;
        let rows = self.order(order, scratch, cancel)?;
        let mut slices = rows.get(page).unwrap_or_default().chunks(rows_max.max(1)).peekable();
        while let Some(slice) = slices.next() {
            take(self.pick(slice, cancel)?, slices.peek().is_some())?;
        }
        let_go(self, count);
        Ok(())
    }

    /// Gives back room that no row takes. Returns its bytes.
    pub(crate) fn shrink(&mut self) -> usize {
        let before = self.bytes();
        self.times.shrink_to_fit();
        self.series.shrink_to_fit();
        for column in &mut self.columns {
            if let KeptColumn::Numbers(values) = column {
                values.shrink();
            }
        }
        before.saturating_sub(self.bytes())
    }

    fn is_in_order(&self, order: Order) -> bool {
        match order {
            Order::Ascending => self.times.is_sorted(),
            Order::Descending => self.times.is_sorted_by(|a, b| a > b),
        }
    }

    /// The places of the rows in their order.
    fn order(
        &self,
        order: Order,
        scratch: &mut Charge,
        cancel: &CancelToken,
    ) -> Result<Vec<usize>> {
        let count = self.times.len();
        scratch.grow(count.saturating_mul(2 * size_of::<usize>()))?;
        let rows: Vec<usize> = (0..count).collect();
        if self.is_in_order(order) {
            return Ok(rows);
        }
        let time = |row: &usize| self.times.get(*row).copied();
        // The runs of the series are sorted already, which a merge sort turns to account.
        match order {
            Order::Ascending => sort_by(rows, cancel, |a, b| time(a).cmp(&time(b))),
            Order::Descending => {
                sort_by(rows, cancel, |a, b| time(b).cmp(&time(a)).then_with(|| b.cmp(a)))
            }
        }
    }

    /// The rows at the places `rows`.
    fn pick(&self, rows: &[usize], cancel: &CancelToken) -> Result<GroupRows> {
        let numbers: Vec<u32> =
            rows.iter().filter_map(|row| self.series.get(*row).copied()).collect();
        let columns = self.columns.iter().map(|column| match column {
            KeptColumn::Numbers(values) => values.pick(rows, cancel),
            KeptColumn::Texts(texts) => {
                cancel.check()?;
                Ok(Values::Strings(TextColumn::of(numbers.clone(), Arc::clone(texts))))
            }
        });
        let columns = columns.collect::<Result<_>>()?;
        let times = rows.iter().filter_map(|row| self.times.get(*row).copied()).collect();
        Ok(GroupRows { times, columns })
    }

    /// All rows as they came.
    fn into_ordered(self) -> GroupRows {
        let KeptRows { times, series, columns, .. } = self;
        let columns = columns.into_iter().map(|column| match column {
            KeptColumn::Numbers(values) => values,
            KeptColumn::Texts(texts) => Values::Strings(TextColumn::of(series.clone(), texts)),
        });
        GroupRows { times, columns: columns.collect() }
    }
}

impl KeptColumn {
    fn row_bytes(&self) -> usize {
        match self {
            KeptColumn::Numbers(values) => values.row_bytes(),
            // The number of the series is counted once.
            KeptColumn::Texts(_) => 0,
        }
    }
}
