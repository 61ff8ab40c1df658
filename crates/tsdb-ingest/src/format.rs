//! Formats: what turns the bytes of a request into rows or points, and what a format is asked for.

pub(crate) mod line;

use tsdb_core::{DataPoint, TagCharset};

use crate::{Precision, Result, Rows};

/// What a request says about how to read it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ParseOptions {
    /// Unit of the timestamps.
    pub precision: Precision,
    /// Time of rows that bring none, in ns; cut to the precision.
    pub now_ns: i64,
}

/// Reads single points: the view of a format that library users have.
pub trait Ingestion {
    /// All points of `input`, in order. The tags carry measurement and field under
    /// [`tsdb_core::NAME_TAG`] and [`tsdb_core::FIELD_TAG`], where a field called `value` is not named.
    ///
    /// # Errors
    /// The first record that is refused; a [`crate::Pipeline`] stores the others instead.
    fn parse(&self, input: &[u8]) -> Result<Vec<DataPoint>>;

    /// Names of what [`Ingestion::parse`] reads: media types and common names, the preferred one first.
    fn supported_formats(&self) -> Vec<&'static str>;
}

/// Reads rows: the view of a format that a [`crate::Pipeline`] has. One call per request. The formats of
/// this crate implement it.
pub trait Format: Ingestion + Send + Sync {
    /// Characters that names may hold by the format's own specification.
    fn charset(&self) -> TagCharset;

    /// Appends the rows of `input` to `rows` and notes refused records there. Between two records it lets
    /// `rows` settle what waits for the store.
    ///
    /// # Errors
    /// Only what ends the whole request: no memory for it, what the store says about it, or
    /// [`tsdb_core::Error::StaleEpoch`], after which the pipeline asks again.
    fn parse_rows(&self, input: &[u8], options: &ParseOptions, rows: &mut Rows) -> Result<()>;
}
