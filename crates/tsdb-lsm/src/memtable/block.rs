//! A block of rows in memory: appended to by one writer at a time, read by anyone, never moved.
//!
//! A row is a run of 64-bit words: series and field set, timestamp, version, then one word per value. The
//! words are relaxed atomics, which cost plain moves, so that a reader beside the writer needs no lock
//! and no unsafe code: the length, published with Release, says which rows are whole.

use tsdb_core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use tsdb_core::{FieldSetRef, SeriesRef, TimeRange};
use tsdb_index::ActiveRange;

/// Words of a row before its values.
const HEADER_WORDS: usize = 3;

/// Bytes of the first block of a buffer, so that a few rows in many shards stay small.
const FIRST_BLOCK_BYTES: usize = 4 << 10;

/// Bytes of the largest block: about two thousand rows of ten fields, few enough to skip as one.
const LAST_BLOCK_BYTES: usize = 256 << 10;

/// Position of a row in the order of writes: sequence number within the generation, then place in the
/// batch. The higher one wins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct RowVersion(u64);

impl RowVersion {
    /// `seq` counts from the generation's base.
    pub(crate) fn new(seq: u32, ordinal: u32) -> RowVersion {
        RowVersion(u64::from(seq) << 32 | u64::from(ordinal))
    }

    /// Sequence number, counted from the generation's base.
    pub(crate) fn seq(self) -> u64 {
        self.0 >> 32
    }
}

/// Rows with the same number of values.
#[derive(Debug)]
pub(crate) struct RowBlock {
    words: Box<[AtomicU64]>,
    stride: usize,
    rows: AtomicUsize,
    times: ActiveRange,
    series_mask: AtomicU64,
    /// Rows that [`super::seen`] learned from.
    learned: AtomicUsize,
    /// Rows that [`super::kept`] has in order.
    indexed: AtomicUsize,
}

/// What all rows of one append have in common.
pub(crate) struct NewRow<'a> {
    pub series: SeriesRef,
    pub field_set: FieldSetRef,
    pub time: i64,
    pub version: RowVersion,
    pub values: &'a [f64],
}

/// Bit of a series in a block's mask. The low four bits pick the shard, so they tell nothing here.
pub(crate) fn mask_bit(series: SeriesRef) -> u64 {
    1 << (series.0 >> 4 & 63)
}

impl RowBlock {
    /// The block that follows one of `previous_bytes` (0: the first one) for rows of `columns` values.
    pub(crate) fn following(previous_bytes: usize, columns: usize) -> RowBlock {
        let stride = HEADER_WORDS + columns;
        let bytes = (previous_bytes * 2).clamp(FIRST_BLOCK_BYTES, LAST_BLOCK_BYTES);
        let rows = (bytes / 8 / stride).max(1);
        RowBlock {
            words: (0..rows * stride).map(|_| AtomicU64::new(0)).collect(),
            stride,
            rows: AtomicUsize::new(0),
            times: ActiveRange::default(),
            series_mask: AtomicU64::new(0),
            learned: AtomicUsize::new(0),
            indexed: AtomicUsize::new(0),
        }
    }

    /// Memory of the block in bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.words.len() * 8
    }

    /// Rows that are whole. Everything the block says about its rows covers at least these.
    pub(crate) fn len(&self) -> usize {
        self.rows.load(Ordering::Acquire)
    }

    /// Rows that still fit. Only meaningful for the one writer.
    pub(crate) fn room(&self) -> usize {
        self.words.len() / self.stride - self.rows.load(Ordering::Relaxed)
    }

    /// Appends rows, at most [`RowBlock::room`] of them, and publishes them together. Only one thread may
    /// be here at a time; the shard's lock sees to that.
    pub(crate) fn append<'a>(&self, new: impl Iterator<Item = NewRow<'a>>) {
        let before = self.rows.load(Ordering::Relaxed);
        let mut free = self.words.chunks_exact(self.stride).skip(before);
        let (mut t_min, mut t_max, mut mask, mut count) = (i64::MAX, i64::MIN, 0, 0);
        for row in new {
            let Some([head, time, version, values @ ..]) = free.next() else {
                unreachable!("the caller appends no more rows than there is room for");
            };
            let names = u64::from(row.series.0) << 32 | u64::from(row.field_set.0);
            head.store(names, Ordering::Relaxed);
            time.store(row.time.cast_unsigned(), Ordering::Relaxed);
            version.store(row.version.0, Ordering::Relaxed);
            for (word, value) in values.iter().zip(row.values) {
                word.store(value.to_bits(), Ordering::Relaxed);
            }
            t_min = t_min.min(row.time);
            t_max = t_max.max(row.time);
            mask |= mask_bit(row.series);
            count += 1;
        }
        // Before the length, so that whoever sees a row sees a range and a mask that cover it.
        self.times.extend(t_min, t_max);
        self.series_mask.fetch_or(mask, Ordering::Relaxed);
        self.rows.store(before + count, Ordering::Release);
    }

    /// Whether some row may lie in `time`. Call after [`RowBlock::len`].
    pub(crate) fn may_overlap(&self, time: TimeRange) -> bool {
        self.times.may_overlap(time)
    }

    /// Whether some row may belong to a series whose [`mask_bit`]s are `mask`.
    pub(crate) fn may_hold(&self, mask: u64) -> bool {
        self.series_mask.load(Ordering::Relaxed) & mask != 0
    }

    #[inline]
    fn word(&self, row: usize, word: usize) -> u64 {
        self.words.get(row * self.stride + word).map_or(0, |w| w.load(Ordering::Relaxed))
    }

    /// Rows that were learned from.
    pub(crate) fn learned(&self) -> usize {
        self.learned.load(Ordering::Relaxed)
    }

    /// Notes that the first `rows` rows were learned from. One thread at a time.
    pub(crate) fn set_learned(&self, rows: usize) {
        self.learned.store(rows, Ordering::Relaxed);
    }

    /// Rows at the front that are in the kept index.
    pub(crate) fn indexed(&self) -> usize {
        self.indexed.load(Ordering::Relaxed)
    }

    /// Notes that the first `rows` rows are in the kept index. One thread at a time.
    pub(crate) fn set_indexed(&self, rows: usize) {
        self.indexed.store(rows, Ordering::Relaxed);
    }

    /// Rows at the front whose numbers are at most `seq`, which those of the indexed ones are. O(other rows).
    pub(crate) fn rows_through(&self, seq: u64) -> usize {
        let rows = self.len();
        (self.indexed()..rows).find(|row| self.version(*row).seq() > seq).unwrap_or(rows)
    }

    /// Series and field set of row `row` in one word.
    #[inline]
    pub(crate) fn names(&self, row: usize) -> u64 {
        self.word(row, 0)
    }

    /// Series of row `row`, which is below [`RowBlock::len`]; as all below.
    #[inline]
    pub(crate) fn series(&self, row: usize) -> SeriesRef {
        SeriesRef((self.word(row, 0) >> 32) as u32)
    }

    #[inline]
    pub(crate) fn field_set(&self, row: usize) -> FieldSetRef {
        #[expect(clippy::cast_possible_truncation, reason = "the lower half of the word")]
        FieldSetRef(self.word(row, 0) as u32)
    }

    #[inline]
    pub(crate) fn time(&self, row: usize) -> i64 {
        self.word(row, 1).cast_signed()
    }

    #[inline]
    pub(crate) fn version(&self, row: usize) -> RowVersion {
        RowVersion(self.word(row, 2))
    }

    /// Bits of the values of a row, in order of its field set.
    #[inline]
    pub(crate) fn values(&self, row: usize) -> &[AtomicU64] {
        let start = row * self.stride;
        self.words.get(start + HEADER_WORDS..start + self.stride).unwrap_or(&[])
    }

    /// Value of the field that stands at `place` in the row's field set.
    #[inline]
    pub(crate) fn value(&self, row: usize, place: usize) -> f64 {
        f64::from_bits(self.word(row, HEADER_WORDS + place))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_beside_the_writer_sees_whole_rows_inside_the_range() {
        let block = RowBlock::following(LAST_BLOCK_BYTES, 2);
        let rows = block.room();
        tsdb_core::sync::thread::scope(|scope| {
            scope.spawn(|| {
                for i in 0..rows {
                    let n = u32::try_from(i).unwrap();
                    let value = f64::from(n);
                    block.append(std::iter::once(NewRow {
                        series: SeriesRef(n * 16),
                        field_set: FieldSetRef(7),
                        time: i64::from(n),
                        version: RowVersion::new(n, 3),
                        values: &[value, -value],
                    }));
                }
            });
            let mut seen = 0;
            while seen < rows {
                seen = block.len();
                for row in seen.saturating_sub(3)..seen {
                    let n = u32::try_from(row).unwrap();
                    assert_eq!(block.series(row), SeriesRef(n * 16));
                    assert_eq!(block.field_set(row), FieldSetRef(7));
                    assert_eq!(block.time(row), i64::from(n));
                    assert_eq!(block.version(row), RowVersion::new(n, 3));
                    assert_eq!(block.value(row, 1), -f64::from(n));
                    assert!(block.may_overlap(TimeRange::new(i64::from(n), i64::from(n) + 1)));
                    assert!(block.may_hold(mask_bit(SeriesRef(n * 16))));
                }
            }
        });
        assert_eq!(block.room(), 0);
    }

    #[test]
    fn blocks_grow_to_their_limit_and_hold_at_least_one_row() {
        let mut bytes = 0;
        let mut sizes = Vec::new();
        for _ in 0..9 {
            let block = RowBlock::following(bytes, 1);
            bytes = block.bytes();
            sizes.push(bytes);
        }
        assert_eq!(sizes.first(), Some(&FIRST_BLOCK_BYTES));
        assert_eq!(sizes.last(), Some(&LAST_BLOCK_BYTES));
        assert_eq!(RowBlock::following(0, 100_000).room(), 1);
    }
}
