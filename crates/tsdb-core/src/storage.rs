//! The storage seam: what an engine offers to the layers above, in few and coarse calls.
//!
//! An engine implements [`Append`], [`Select`] and [`Maintain`]; ingestion writes to `&dyn Append`,
//! execution reads `&dyn Snapshot`, the server owns an `Arc<dyn Storage>`. Nothing above names an
//! engine, so a fork swaps it by one line of wiring. `storage::conformance` (feature `test-util`) is the
//! suite that every implementation passes.
//!
//! Two rules of order bind every implementation:
//!
//! - each batch, delete and catalogue change has one sequence number, and the higher number wins for one
//!   (series, timestamp, field); inside a batch the later row wins;
//! - what a snapshot shows is whole batches: all those whose tickets were complete when it was taken, and
//!   perhaps further ones, but never a part of one.

mod block;
mod cardinality;
#[cfg(any(test, feature = "test-util"))]
pub mod conformance;
mod group;
mod points;
mod scan;

use std::sync::Arc;

use crate::matcher::TagFilter;
use crate::{
    Catalogue, CatalogueChange, Epoch, FieldSet, FieldSetRef, NamespaceId, Result, SeriesKey,
    SeriesRef, Ticket, TimeRange, WriteBatch,
};

pub use block::{Block, Column, Presence, Summary, TimeColumn};
pub use cardinality::{
    Cardinality, CardinalityCounter, CardinalityRequest, Ranked, TagCount, TagCountRequest,
};
pub use group::{Groups, group_series};
pub use points::append_points;
pub use scan::{
    Cursor, Estimate, FieldPredicate, FieldSelection, GroupBy, Order, PredicateOp, ScanCounters,
    ScanCounts, ScanRequest, SelectedSeries, Selection, SeriesRequest, Statistics, Want, Windows,
};

/// What [`Append::resolve`] gives for the keys it was asked for.
#[derive(Debug)]
pub struct Resolution {
    /// Epoch in which the references hold.
    pub epoch: Epoch,
    /// Per key, in order: its reference, or why it gets none.
    pub series: Vec<Result<SeriesRef>>,
    /// Per field set, in order: its reference, or why it gets none. A set that is refused as one too
    /// many can be written as several rows of one field each.
    pub field_sets: Vec<Result<FieldSetRef>>,
}

/// Rows to be hidden. Rows written later, with higher sequence numbers, are not touched.
#[derive(Debug, Clone, PartialEq)]
pub struct DeleteRequest {
    /// Where.
    pub namespace: NamespaceId,
    /// Measurements; `None` is all of them.
    pub measurements: Option<Vec<Arc<str>>>,
    /// Series, by their tags.
    pub filter: TagFilter,
    /// Rows, by their time.
    pub time: TimeRange,
}

/// The write side of an engine. All calls may come from any number of threads.
pub trait Append: Send + Sync {
    /// Gives dense references for keys and field sets, registering new ones. Nothing becomes visible
    /// by that: a series shows up with its first row.
    ///
    /// # Errors
    /// The namespace does not exist. Refusals of single keys stand in the result.
    fn resolve(
        &self,
        namespace: NamespaceId,
        series: &[SeriesKey],
        field_sets: &[FieldSet],
    ) -> Result<Resolution>;

    /// Takes a batch whole or not at all. All that can fail is checked before it gets its number. It does
    /// not wait for the disk: the ticket completes when the batch is visible.
    ///
    /// # Errors
    /// Stale references, no memory for the rows, a poisoned or closed store; nothing is stored then.
    fn append(&self, batch: &WriteBatch) -> Result<Ticket>;

    /// Hides all matching rows with smaller sequence numbers.
    ///
    /// # Errors
    /// A namespace that does not exist, a filter that does not compile, too many live deletes, a poisoned
    /// or closed store.
    fn delete(&self, request: &DeleteRequest) -> Result<Ticket>;

    /// Changes the catalogue.
    ///
    /// # Errors
    /// What [`Catalogue::apply`] refuses, a poisoned or closed store.
    fn change_catalogue(&self, change: &CatalogueChange) -> Result<Ticket>;

    /// The catalogue as of now. O(1).
    fn catalogue(&self) -> Arc<Catalogue>;
}

/// The read side of an engine.
pub trait Select: Send + Sync {
    /// A view of everything that is visible now; later writes do not change it. Cheap: take one per
    /// statement, drop it soon, since it keeps files and memory alive.
    ///
    /// # Errors
    /// A closed store.
    fn snapshot(&self) -> Result<Arc<dyn Snapshot>>;
}

/// One consistent view of a store.
pub trait Snapshot: Send + Sync {
    /// Starts a scan. The strings of the answer (series, groups) are known at once; rows come from the
    /// cursors.
    ///
    /// # Errors
    /// A namespace that does not exist, a filter that does not compile, a budget that is used up, a
    /// cancelled token, a damaged file.
    fn select(&self, request: &ScanRequest) -> Result<Selection>;

    /// What a scan would cost, from indexes alone: no data page is read. Upper bounds.
    ///
    /// # Errors
    /// As [`Snapshot::select`].
    fn estimate(&self, request: &ScanRequest) -> Result<Estimate>;

    /// Series that have a visible row inside the request's time range, in key order. Never lists one
    /// whose rows are all deleted or expired, or that was resolved and never written.
    ///
    /// # Errors
    /// As [`Snapshot::select`].
    fn series(&self, request: &SeriesRequest) -> Result<Vec<SeriesKey>>;

    /// Names of the fields that the visible rows of the request's series inside its time range have,
    /// sorted. The request's limit does not matter.
    ///
    /// # Errors
    /// As [`Snapshot::select`].
    fn fields(&self, request: &SeriesRequest) -> Result<Vec<Arc<str>>>;

    /// What the series of a namespace are made of. An engine may count from its indexes alone, and then counts series
    /// whose rows are all deleted until a merge leaves them out, and those that were resolved and never written. O(series
    /// of all sources), in memory that does not depend on their number.
    ///
    /// # Errors
    /// As [`Snapshot::select`].
    fn cardinality(&self, request: &CardinalityRequest) -> Result<Cardinality> {
        let all = SeriesRequest {
            budget: request.budget.clone(),
            cancel: request.cancel.clone(),
            ..SeriesRequest::all(request.namespace)
        };
        let mut counter = CardinalityCounter::new(request)?;
        self.series(&all)?.iter().try_for_each(|key| counter.add(key))?;
        Ok(counter.finish(1, None))
    }

    /// Tag keys and values by measurement, in order of names and without measurements that have none, if the request's
    /// series are so many that an engine knows them without looking at one; it then counts what [`Snapshot::cardinality`]
    /// counts. `None`: the caller counts, from [`Snapshot::series`]. O(measurements and tag keys of all sources).
    ///
    /// # Errors
    /// As [`Snapshot::select`].
    fn estimate_tags(&self, _request: &TagCountRequest<'_>) -> Result<Option<Vec<TagCount>>> {
        Ok(None)
    }

    /// Sizes of the store as of this snapshot.
    fn statistics(&self) -> Statistics;
}

/// What an operator may ask of an engine. Each call returns when the work is done.
pub trait Maintain: Send + Sync {
    /// Moves every row that was acknowledged before the call out of the write-ahead log.
    ///
    /// # Errors
    /// A failing disk; the rows stay where they were.
    fn flush(&self) -> Result<()>;

    /// Merges each (namespace, partition), as of the call, into one run, and removes what was replaced.
    ///
    /// # Errors
    /// A failing disk; the inputs stay as they were.
    fn compact(&self) -> Result<()>;

    /// Removes rows older than their policy's retention as of `now_ns` (Unix time in ns). Returns the
    /// number of namespaces whose cutoff moved.
    ///
    /// # Errors
    /// A failing disk.
    fn retain(&self, now_ns: i64) -> Result<usize>;

    /// Flushes and releases the directory; every later call fails. A second call does nothing.
    ///
    /// # Errors
    /// A failing disk; what was acknowledged is still in the write-ahead log.
    fn close(&self) -> Result<()>;
}

/// All sides of an engine.
pub trait Storage: Append + Select + Maintain {}

impl<T: Append + Select + Maintain> Storage for T {}
