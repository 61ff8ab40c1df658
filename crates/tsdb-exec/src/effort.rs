//! What a statement has read, for who wants to know why it took long.

use tsdb_core::counters::Counter;

/// What the statements of a [`QueryContext`](crate::QueryContext) have read so far, those that failed, too. The rows of
/// a subquery count again where the query around it reads them.
#[derive(Debug, Default)]
pub struct Effort {
    /// Series that matched.
    pub series: Counter,
    /// Rows that were decoded; those that summaries answered for are not.
    pub rows: Counter,
    /// Values in these rows.
    pub values: Counter,
}
