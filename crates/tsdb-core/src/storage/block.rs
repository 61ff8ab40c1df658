//! [`Block`]: what a cursor yields, up to [`crate::limits::BLOCK_ROWS_MAX`] rows of one series as columns.
//!
//! The caller owns the block and passes it again and again, so that its buffers are reused.

use std::ops::Range;

use crate::TimeRange;

/// Timestamps of a block, in the order of its rows.
#[derive(Debug, Clone, PartialEq)]
pub enum TimeColumn {
    /// `first + i * step` for `i` below `count`; `step` is negative in descending order.
    Regular {
        /// Timestamp of the first row in ns.
        first: i64,
        /// Distance between rows in ns.
        step: i64,
        /// Number of rows.
        count: usize,
    },
    /// One timestamp in ns per row.
    Stamps(Vec<i64>),
    /// The first and the last of `count` timestamps, for a block none of whose columns has values: each is
    /// summarised or absent. What lies between is not known.
    Span {
        /// Timestamp of the first row in ns, in the order of the scan.
        first: i64,
        /// Timestamp of the last row in ns.
        last: i64,
        /// Number of rows.
        count: usize,
    },
}

impl Default for TimeColumn {
    fn default() -> Self {
        TimeColumn::Stamps(Vec::new())
    }
}

impl TimeColumn {
    /// Number of rows.
    pub fn len(&self) -> usize {
        match self {
            TimeColumn::Regular { count, .. } | TimeColumn::Span { count, .. } => *count,
            TimeColumn::Stamps(stamps) => stamps.len(),
        }
    }

    /// True without rows.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Timestamp of row `index`; `None` from [`TimeColumn::len`] on, and inside a span.
    pub fn get(&self, index: usize) -> Option<i64> {
        match self {
            TimeColumn::Regular { first, step, count } => (index < *count).then(|| {
                // The last row's timestamp is an i64, so no row before it can wrap.
                first.wrapping_add(step.wrapping_mul(i64::try_from(index).unwrap_or(i64::MAX)))
            }),
            TimeColumn::Stamps(stamps) => stamps.get(index).copied(),
            TimeColumn::Span { first, .. } if index == 0 => Some(*first),
            TimeColumn::Span { last, count, .. } => (index + 1 == *count).then_some(*last),
        }
    }

    /// All timestamps that are known, in order.
    pub fn iter(&self) -> impl Iterator<Item = i64> {
        (0..self.len()).filter_map(|i| self.get(i))
    }

    /// Rows whose timestamps lie in `time`, for timestamps that ascend and are all known. O(log n).
    pub fn rows_in(&self, time: TimeRange) -> Range<usize> {
        let first_from = |bound: i64| match self {
            TimeColumn::Stamps(stamps) => stamps.partition_point(|stamp| *stamp < bound),
            _ => {
                let (mut from, mut to) = (0, self.len());
                while from < to {
                    let middle = from + (to - from) / 2;
                    if self.get(middle).is_some_and(|stamp| stamp < bound) {
                        from = middle + 1;
                    } else {
                        to = middle;
                    }
                }
                from
            }
        };
        let start = first_from(time.start);
        start..first_from(time.end).max(start)
    }

    /// Keeps the rows in `rows`, which are all known and lie below [`TimeColumn::len`].
    fn keep(&mut self, rows: Range<usize>) {
        match self {
            TimeColumn::Regular { first, step, count } => {
                *first = first
                    .wrapping_add(step.wrapping_mul(i64::try_from(rows.start).unwrap_or(i64::MAX)));
                *count = rows.len();
            }
            TimeColumn::Stamps(stamps) => keep(stamps, rows),
            TimeColumn::Span { .. } => debug_assert!(rows.len() == self.len(), "rows of a span"),
        }
    }

    /// Makes it an empty list of stamps, keeping the buffer if there is one, and lends it for filling.
    pub fn stamps_mut(&mut self) -> &mut Vec<i64> {
        if !matches!(self, TimeColumn::Stamps(_)) {
            *self = TimeColumn::Stamps(Vec::new());
        }
        match self {
            TimeColumn::Stamps(stamps) => {
                stamps.clear();
                stamps
            }
            _ => unreachable!("replaced above"),
        }
    }
}

/// Which rows of a column have a value.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Presence {
    /// None: the field is absent from the whole block.
    #[default]
    None,
    /// Every row.
    All,
    /// Those whose bit is set, lowest bit of the first word first; at least one and not all.
    Some(Vec<u64>),
}

/// Values of one field in a block.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Column {
    /// Which rows have a value.
    pub presence: Presence,
    /// One entry per row unless `presence` is [`Presence::None`]; without meaning where a row has no
    /// value.
    pub values: Vec<f64>,
    /// Instead of values: what an engine knows about the whole block without decoding it. Only where the
    /// request wants summaries, and then `presence` is [`Presence::All`] and `values` is empty.
    pub summary: Option<Summary>,
}

/// Aggregates of one column over a whole block that lies inside one window and holds no NaN.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Summary {
    /// Number of values, at least 1.
    pub count: u64,
    /// Their sum, rounded once.
    pub sum: f64,
    /// The smallest.
    pub min: f64,
    /// The largest.
    pub max: f64,
    /// The value at the smallest timestamp.
    pub first: f64,
    /// The value at the largest timestamp.
    pub last: f64,
    /// The smallest timestamp in ns.
    pub t_first: i64,
    /// The largest timestamp in ns.
    pub t_last: i64,
}

impl Column {
    /// Makes the column absent and keeps its buffers.
    pub fn clear(&mut self) {
        self.presence = Presence::None;
        self.values.clear();
        self.summary = None;
    }

    /// Whether row `index` has a value.
    #[inline]
    pub fn is_present(&self, index: usize) -> bool {
        match &self.presence {
            Presence::None => false,
            Presence::All => index < self.values.len(),
            Presence::Some(bits) => {
                bits.get(index / 64).is_some_and(|word| word >> (index % 64) & 1 == 1)
            }
        }
    }

    /// Value of row `index`, if it has one.
    #[inline]
    pub fn get(&self, index: usize) -> Option<f64> {
        if self.is_present(index) { self.values.get(index).copied() } else { None }
    }

    /// Keeps the rows in `rows`, which lie below the column's, and gives `presence` its canonical form.
    fn keep(&mut self, rows: Range<usize>) {
        if rows.is_empty() {
            return self.clear();
        }
        if let Presence::Some(bits) = &mut self.presence {
            let word = |place: usize| bits.get(place).copied().unwrap_or(0);
            let (skip, shift) = (rows.start / 64, rows.start % 64);
            let mut kept: Vec<u64> = (skip..skip + rows.len().div_ceil(64))
                .map(|place| word(place) >> shift | (word(place + 1) << 1) << (63 - shift))
                .collect();
            if let Some(last) = kept.last_mut() {
                *last &= u64::MAX >> ((64 - rows.len() % 64) % 64);
            }
            let present: usize = kept.iter().map(|word| word.count_ones() as usize).sum();
            self.presence = match present {
                0 => return self.clear(),
                n if n == rows.len() => Presence::All,
                _ => Presence::Some(kept),
            };
        }
        if self.presence != Presence::None {
            keep(&mut self.values, rows);
        }
    }

    /// Fills the column from one `Option` per row and gives `presence` its canonical form.
    pub fn fill(&mut self, rows: impl Iterator<Item = Option<f64>>) {
        self.clear();
        let mut bits: Vec<u64> = Vec::new();
        let mut present = 0usize;
        for (index, value) in rows.enumerate() {
            if index % 64 == 0 {
                bits.push(0);
            }
            if value.is_some() {
                present += 1;
                if let Some(word) = bits.last_mut() {
                    *word |= 1 << (index % 64);
                }
            }
            self.values.push(value.unwrap_or(0.0));
        }
        self.presence = match present {
            0 => {
                self.values.clear();
                Presence::None
            }
            n if n == self.values.len() => Presence::All,
            _ => Presence::Some(bits),
        };
    }
}

/// Rows of one series. Blocks of a series follow each other in the requested order of time.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Block {
    /// Number of the series in its selection.
    pub series: u32,
    /// Timestamps; strictly monotonic across the blocks of a series.
    pub times: TimeColumn,
    /// One column per field of the selection, in its order.
    pub columns: Vec<Column>,
}

impl Block {
    /// An empty block to start with.
    pub fn new() -> Block {
        Block::default()
    }

    /// Empties the block for `columns` columns and keeps its buffers.
    pub fn reset(&mut self, series: u32, columns: usize) {
        self.series = series;
        if let TimeColumn::Stamps(stamps) = &mut self.times {
            stamps.clear();
        } else {
            self.times = TimeColumn::default();
        }
        self.columns.resize_with(columns, Column::default);
        for column in &mut self.columns {
            column.clear();
        }
    }

    /// Keeps the rows in `rows`, which lie below [`Block::len`], in a block without summaries. O(rows that stay).
    pub fn keep_rows(&mut self, rows: Range<usize>) {
        debug_assert!(rows.end <= self.len(), "rows that the block does not have");
        for column in &mut self.columns {
            column.keep(rows.clone());
        }
        self.times.keep(rows);
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.times.len()
    }

    /// True without rows.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Keeps the items in `range`.
fn keep<T: Copy>(items: &mut Vec<T>, range: Range<usize>) {
    items.truncate(range.end);
    items.drain(..range.start.min(items.len()));
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What a block holds, row by row.
    fn rows(block: &Block) -> Vec<(i64, Vec<Option<f64>>)> {
        let values = |row| block.columns.iter().map(|column| column.get(row)).collect();
        block.times.iter().enumerate().map(|(row, time)| (time, values(row))).collect()
    }

    proptest! {
        #[test]
        fn a_range_of_rows_is_kept_as_the_row_by_row_choice_keeps_it(
            is_regular: bool,
            gaps in prop::collection::vec((1i64..5, prop::option::weighted(0.7, 0i32..9)), 1..200),
            bounds in (-10i64..700, -10i64..700),
            sparse: bool,
        ) {
            let mut block = Block::new();
            block.reset(3, 3);
            let mut time = 0;
            let stamps = gaps.iter().map(|(gap, _)| {
                time += gap;
                time
            });
            block.times = TimeColumn::Stamps(stamps.collect());
            if is_regular {
                block.times = TimeColumn::Regular { first: 1, step: 3, count: gaps.len() };
            }
            let value = |(_, value): &(i64, Option<i32>)| value.map(f64::from);
            block.columns[0].fill(gaps.iter().map(value));
            block.columns[1].fill((0..gaps.len()).map(|row| (!sparse || row < 5).then_some(row as f64)));
            let time = TimeRange::new(bounds.0.min(bounds.1), bounds.0.max(bounds.1));
            let mut expected = rows(&block);
            expected.retain(|(stamp, _)| time.contains(*stamp));
            let kept = block.times.rows_in(time);
            block.keep_rows(kept.clone());
            prop_assert_eq!(block.len(), kept.len());
            prop_assert_eq!(rows(&block), expected.clone());
            // The form is that of a column which was filled with these rows.
            for (place, column) in block.columns.iter().enumerate() {
                let mut filled = Column::default();
                filled.fill(expected.iter().map(|(_, values)| values[place]));
                prop_assert_eq!(&column.presence, &filled.presence);
            }
        }
    }

    #[test]
    fn presence_is_canonical() {
        let mut column = Column::default();
        column.fill([None, None].into_iter());
        assert_eq!(column.presence, Presence::None);
        assert_eq!(column.get(0), None);
        column.fill([Some(1.0), Some(f64::NAN)].into_iter());
        assert_eq!(column.presence, Presence::All);
        assert!(column.get(1).unwrap().is_nan());
        assert_eq!(column.get(2), None);
        column.fill((0..130).map(|i| (i % 2 == 0).then_some(f64::from(i))));
        assert!(matches!(&column.presence, Presence::Some(bits) if bits.len() == 3));
        assert_eq!((column.get(128), column.get(129)), (Some(128.0), None));
    }

    #[test]
    fn regular_times_count_in_both_directions() {
        let up = TimeColumn::Regular { first: 5, step: 10, count: 3 };
        assert_eq!(up.iter().collect::<Vec<_>>(), [5, 15, 25]);
        let down = TimeColumn::Regular { first: 25, step: -10, count: 3 };
        assert_eq!(down.iter().collect::<Vec<_>>(), [25, 15, 5]);
        assert_eq!(down.get(3), None);
    }
}
