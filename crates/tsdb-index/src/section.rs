//! A page of the index inside a run: some hundred series, and which of them match. [`crate::SeriesIndex`] puts pages
//! together.
//!
//! Series stand in key order; an ordinal is a series' place. Tags are dictionary-encoded column by
//! column: per measurement, shape (set of tag keys) and key one column of value numbers, so that a
//! section grows with the tags that there are and not with series times keys. The inverted index is
//! counted from those columns when a section is opened, which takes about as long as reading it would.

pub(crate) mod format;
mod reader;
mod writer;

pub use reader::Section;
pub use writer::SectionWriter;

#[cfg(test)]
mod tests;
