//! What a reader asks for, and what it gets: requests, selections, cursors, estimates.

use std::sync::Arc;

use super::block::Block;
use crate::counters::Counter;
use crate::matcher::TagFilter;
use crate::{CancelToken, MemoryBudget, NamespaceId, Reservation, Result, SeriesKey, TimeRange};

/// A scan over the series of one namespace.
#[derive(Debug, Clone)]
pub struct ScanRequest {
    /// Where.
    pub namespace: NamespaceId,
    /// Measurements by exact name.
    pub measurements: Vec<Arc<str>>,
    /// Rows, by their time.
    pub time: TimeRange,
    /// Series, by their tags.
    pub filter: TagFilter,
    /// Which fields become columns. A row without any of them is left out.
    pub fields: FieldSelection,
    /// All of these hold for the rows that the reader will use. Engines may use them to skip chunks and
    /// must not rely on the reader to apply them; the reader applies them itself.
    pub predicates: Vec<FieldPredicate>,
    /// Tag keys that tell groups apart.
    pub group_by: GroupBy,
    /// Windows that the reader will aggregate by, if any; a summary never spans two of them.
    pub windows: Option<Windows>,
    /// What blocks may hold.
    pub want: Want,
    /// Order of rows inside each series.
    pub order: Order,
    /// Most rows of each series, counted in `order`; `None` is all.
    pub limit_per_series: Option<u64>,
    /// Most cursors wanted, at least 1; each holds a contiguous part of the series.
    pub parts: usize,
    /// Budget that buffers of the scan are charged to.
    pub budget: MemoryBudget,
    /// Looked at once per block.
    pub cancel: CancelToken,
}

impl ScanRequest {
    /// All rows and fields of `measurement`, as one cursor, in ascending order, without limits.
    pub fn all(namespace: NamespaceId, measurement: impl Into<Arc<str>>) -> ScanRequest {
        ScanRequest {
            namespace,
            measurements: vec![measurement.into()],
            time: TimeRange::all(),
            filter: TagFilter::True,
            fields: FieldSelection::All,
            predicates: Vec::new(),
            group_by: GroupBy::Nothing,
            windows: None,
            want: Want::Rows,
            order: Order::Ascending,
            limit_per_series: None,
            parts: 1,
            budget: MemoryBudget::default(),
            cancel: CancelToken::new(),
        }
    }
}

/// Which fields a scan yields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FieldSelection {
    /// All that rows of the measurements have, sorted by name.
    All,
    /// These, in this order. A name that no row has gives an absent column.
    Named(Vec<Arc<str>>),
}

/// How series fall into groups.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GroupBy {
    /// One group.
    Nothing,
    /// By the values of these tags; a missing tag counts as the empty string.
    Tags(Vec<Arc<str>>),
    /// Every series is its own group.
    Series,
}

/// A comparison of a field's value with a number.
#[derive(Debug, Clone, PartialEq)]
pub struct FieldPredicate {
    /// The field.
    pub field: Arc<str>,
    /// The comparison, field on the left.
    pub op: PredicateOp,
    /// The number.
    pub value: f64,
}

/// Comparisons that a chunk's smallest and largest value can decide.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PredicateOp {
    /// `=`
    Eq,
    /// `<`
    Lt,
    /// `<=`
    Le,
    /// `>`
    Gt,
    /// `>=`
    Ge,
}

impl FieldPredicate {
    /// Whether some value between `min` and `max` (neither NaN) can fulfil the predicate.
    pub fn may_match(&self, min: f64, max: f64) -> bool {
        match self.op {
            PredicateOp::Eq => min <= self.value && self.value <= max,
            PredicateOp::Lt => min < self.value,
            PredicateOp::Le => min <= self.value,
            PredicateOp::Gt => max > self.value,
            PredicateOp::Ge => max >= self.value,
        }
    }
}

/// Windows of equal width: `[offset + k * every, offset + (k + 1) * every)` for all integers k.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Windows {
    /// Width in ns, at least 1.
    pub every: i64,
    /// Shift in ns.
    pub offset: i64,
}

/// What the blocks of a scan may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Want {
    /// Rows only.
    Rows,
    /// Rows, or summaries in their stead where an engine has them at less cost.
    Summaries,
}

/// Order of rows inside a series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Oldest first.
    Ascending,
    /// Newest first.
    Descending,
}

/// A started scan.
pub struct Selection {
    /// Names of the columns of each block.
    pub columns: Arc<[Arc<str>]>,
    /// Series that matched, in key order; a block names one by its place here. Some may turn out to
    /// have no rows.
    pub series: Arc<[SelectedSeries]>,
    /// Groups in order of their tag values; per group one value per key of the request's `group_by`
    /// (for [`GroupBy::Series`] and [`GroupBy::Nothing`] none).
    pub groups: Arc<[Vec<Arc<str>>]>,
    /// Readers of contiguous parts of the series, to be used by one thread each.
    pub cursors: Vec<Box<dyn Cursor>>,
    /// What the cursors have done.
    pub counters: Arc<ScanCounters>,
    /// What pays for the series and the groups, for as long as the selection lives.
    pub held: Vec<Arc<Reservation>>,
}

/// What the cursors of one selection have done so far, whatever threads they are on. Complete when all cursors
/// are at their end. How a store works shows in these numbers, so only what is said of each is promised.
#[derive(Debug, Default)]
pub struct ScanCounters {
    /// Series that matched; counted when the scan starts.
    pub series_matched: Counter,
    /// Chunks of runs of which at least one page was read.
    pub chunks_read: Counter,
    /// Chunks inside the time range that were passed by unread, since no row of them can fulfil a predicate.
    pub chunks_skipped: Counter,
    /// Chunks that were answered for by their summaries, unread.
    pub chunks_summarised: Counter,
    /// Rows that were taken from chunks or from memory. At least those that the blocks hold (spans aside),
    /// and all of a chunk that is read, whether a row lies inside the time range, is overwritten or deleted.
    pub rows_scanned: Counter,
    /// Bytes of the pages that were read, from run files (checksums included, whether the kernel had them in
    /// memory or not) or from a cache.
    pub bytes_read: Counter,
    /// Those of them that came from a cache of the store.
    pub bytes_cached: Counter,
}

/// The values of [`ScanCounters`] at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(missing_docs, reason = "each field is the counter of its name")]
pub struct ScanCounts {
    pub series_matched: u64,
    pub chunks_read: u64,
    pub chunks_skipped: u64,
    pub chunks_summarised: u64,
    pub rows_scanned: u64,
    pub bytes_read: u64,
    pub bytes_cached: u64,
}

impl ScanCounters {
    /// The values as of now.
    pub fn read(&self) -> ScanCounts {
        ScanCounts {
            series_matched: self.series_matched.get(),
            chunks_read: self.chunks_read.get(),
            chunks_skipped: self.chunks_skipped.get(),
            chunks_summarised: self.chunks_summarised.get(),
            rows_scanned: self.rows_scanned.get(),
            bytes_read: self.bytes_read.get(),
            bytes_cached: self.bytes_cached.get(),
        }
    }
}

impl std::ops::AddAssign for ScanCounts {
    fn add_assign(&mut self, more: ScanCounts) {
        self.series_matched += more.series_matched;
        self.chunks_read += more.chunks_read;
        self.chunks_skipped += more.chunks_skipped;
        self.chunks_summarised += more.chunks_summarised;
        self.rows_scanned += more.rows_scanned;
        self.bytes_read += more.bytes_read;
        self.bytes_cached += more.bytes_cached;
    }
}

/// A series of a [`Selection`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SelectedSeries {
    /// Its key.
    pub key: SeriesKey,
    /// Place of its group in [`Selection::groups`].
    pub group: u32,
}

/// A reader of blocks: series in key order, each in the requested order of time.
pub trait Cursor: Send {
    /// Fills `block` with the next rows, at least one. False at the end; the block is empty then.
    ///
    /// # Errors
    /// A cancelled token, a budget that is used up, a damaged page. The cursor is of no use afterwards.
    fn next(&mut self, block: &mut Block) -> Result<bool>;
}

/// A question for names of series.
#[derive(Debug, Clone)]
pub struct SeriesRequest {
    /// Where.
    pub namespace: NamespaceId,
    /// Measurements by exact name; `None` is all of them.
    pub measurements: Option<Vec<Arc<str>>>,
    /// Series, by their tags.
    pub filter: TagFilter,
    /// Series with a row in this range.
    pub time: TimeRange,
    /// Stop after so many.
    pub limit: Option<usize>,
    /// Budget that the search is charged to; the answer is the caller's to charge.
    pub budget: MemoryBudget,
    /// Looked at now and then.
    pub cancel: CancelToken,
}

impl SeriesRequest {
    /// All series of a namespace.
    pub fn all(namespace: NamespaceId) -> SeriesRequest {
        SeriesRequest {
            namespace,
            measurements: None,
            filter: TagFilter::True,
            time: TimeRange::all(),
            limit: None,
            budget: MemoryBudget::default(),
            cancel: CancelToken::new(),
        }
    }

    /// All series of a measurement.
    pub fn measurement(namespace: NamespaceId, name: impl Into<Arc<str>>) -> SeriesRequest {
        SeriesRequest { measurements: Some(vec![name.into()]), ..SeriesRequest::all(namespace) }
    }
}

/// Upper bounds of what a scan would touch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Estimate {
    /// Runs, sealed generations and open buffers with rows in the time range.
    pub runs: u64,
    /// Matching series.
    pub series: u64,
    /// Chunks of runs that may have to be read.
    pub chunks: u64,
    /// Rows.
    pub rows: u64,
    /// No row before this timestamp in ns; [`crate::time::MAX_TIME`] when there are no rows.
    pub t_min: i64,
    /// No row after this timestamp in ns; [`crate::time::MIN_TIME`] when there are no rows.
    pub t_max: i64,
}

/// Sizes of a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Statistics {
    /// Series that are registered in memory.
    pub series: u64,
    /// Rows in memory, overwritten ones included.
    pub memory_rows: u64,
    /// Run files.
    pub runs: u64,
    /// Bytes of all run files.
    pub run_bytes: u64,
    /// Rows in run files.
    pub run_rows: u64,
    /// Bytes of the write-ahead log.
    pub wal_bytes: u64,
    /// Deletes that still hide rows of older runs.
    pub live_deletes: u64,
    /// Highest sequence number that is visible.
    pub visible: u64,
    /// Bytes that the file system has left, as of the last look; 0 for a store without one.
    pub disk_free_bytes: u64,
    /// Bytes of the file system that are kept free.
    pub disk_reserve_bytes: u64,
    /// Whether rows are refused because the disk is short of room.
    pub is_read_only: bool,
}
