//! Which series match, and where their rows may lie.
//!
//! Two questions stand before every read: which sources (runs, sealed generations, open buffers) can
//! hold a row of a time range, and which series of a source fulfil a condition on tags. This crate
//! answers both:
//!
//! - [`TimeIndex`] and [`ActiveRange`]: time ranges to sources, finished ones and growing ones;
//! - [`Registry`], its [`SeriesTable`], and [`FieldSets`]: names of series and of field sets to dense numbers, and the
//!   inverted index over the registered series; [`Eviction`] for series that are idle;
//! - [`SeriesIndex`]: the immutable index inside a run, in pages, each of them a [`Section`] of some hundred series
//!   with their hashes, tags and postings;
//! - [`SourceCardinality`]: what the series of a run, or of the registry, are made of, counted and sketched, so that
//!   nobody needs to read them for that;
//! - [`filter`] and [`postings`]: conditions on tags to lists of series, over either index.
//!
//! It knows nothing of values, timestamps of rows, files, or what a run holds beside its section.
//!
//! Rules that callers rely on: numbers are dense and never change their meaning in a table of series (I5); every list of
//! series comes sorted; what [`filter`] selects is exactly what [`tsdb_core::matcher::CompiledFilter`]
//! accepts.

mod cardinality;
mod error;
mod evict;
mod field_sets;
pub mod filter;
mod head;
mod namespace_head;
mod posting_list;
pub mod postings;
mod registry;
mod section;
mod series_index;
mod series_slots;
mod slots;
mod table;
mod time_index;

pub use cardinality::{
    MeasurementCardinality, PAIRS_LISTED_MAX, PairCount, SourceCardinality, TagCardinality,
};
pub use error::{Error, Result};
pub use evict::{Evicted, Eviction, IdleRule};
pub use field_sets::FieldSets;
pub use filter::{Plan, TagSource};
pub use namespace_head::NamespaceHead;
pub use registry::{DatabaseQuota, Registry};
pub use section::{Section, SectionWriter};
pub use series_index::{
    IndexPage, IndexSections, IndexWriter, PageSource, SeriesIndex, SeriesReader,
};
pub use table::SeriesTable;
pub use time_index::{ActiveRange, TimeIndex};
