//! Formats: what turns the bytes of a request into rows or points, and what a format is asked for.
//!
//! Not here: which format a request is in, see `registry`.

pub(crate) mod csv;
pub(crate) mod exposition;
pub(crate) mod json;
pub(crate) mod line;
pub(crate) mod otlp;
pub(crate) mod pieces;
pub(crate) mod remote_write;
mod stamp;
mod wire;

#[cfg(test)]
mod tests;

use tsdb_core::{DataPoint, MemoryBudget, NamespaceId, TagCharset};

use self::pieces::Pieces;
use crate::rows::Overdraft;
use crate::{Error, Precision, Result, Rows, Validation};

/// What a request says about how to read it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ParseOptions<'a> {
    /// Unit of the timestamps.
    pub precision: Precision,
    /// Time of rows that bring none, in ns; cut to the precision.
    pub now_ns: i64,
    /// What else the client said, as names and values. Each format has its own names and passes over the
    /// others.
    pub parameters: &'a [(&'a str, &'a str)],
}

impl ParseOptions<'static> {
    /// Without further parameters.
    pub const fn new(precision: Precision, now_ns: i64) -> ParseOptions<'static> {
        ParseOptions { precision, now_ns, parameters: &[] }
    }
}

impl<'a> ParseOptions<'a> {
    /// The first value of a parameter that is not empty.
    pub fn parameter(&self, name: &str) -> Option<&'a str> {
        let found =
            self.parameters.iter().find(|(known, value)| *known == name && !value.is_empty());
        found.map(|(_, value)| *value)
    }

    /// Time of rows that bring none: now, cut to the precision.
    pub fn now(&self) -> i64 {
        self.precision.truncate(self.now_ns)
    }
}

/// How much the first bytes of a request look like a format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Likelihood {
    /// They cannot be of this format, which is not tried.
    No,
    /// Nothing speaks against it; tried when all that are likely have refused everything.
    Possible,
    /// They have the marks of the format.
    Likely,
}

/// Reads single points: the view of a format that library users have.
pub trait Ingestion {
    /// All points of `input`, in order. The tags carry measurement and field under
    /// [`tsdb_core::NAME_TAG`] and [`tsdb_core::FIELD_TAG`], where a field called `value` is not named.
    ///
    /// # Errors
    /// The first record that is refused; a [`crate::Pipeline`] stores the others instead.
    fn parse(&self, input: &[u8]) -> Result<Vec<DataPoint>>;

    /// Names of what [`Ingestion::parse`] reads: media types, which have a slash, and short names; of
    /// both kinds the preferred one first.
    fn supported_formats(&self) -> Vec<&'static str>;
}

/// Reads rows: the view of a format that a [`crate::Pipeline`] and a [`crate::FormatRegistry`] have. One
/// call per request.
///
/// A format of your own needs [`Ingestion`] and an empty `impl Format`, and works in a pipeline then: its
/// points are stored as rows of one field, and its first bad record refuses the request, since
/// [`Ingestion::parse`] does. To keep the fields of a row together, to refuse single records, and to hear
/// what the request says ([`ParseOptions`]), implement [`Format::parse_rows`] as well.
pub trait Format: Ingestion + Send + Sync {
    /// Characters that names may hold by the format's own specification.
    fn charset(&self) -> TagCharset {
        TagCharset::Ascii
    }

    /// How much `head`, the first bytes of a request, looks like this format. At most
    /// [`crate::limits::HEAD_BYTES_MAX`] bytes, which may end anywhere.
    fn looks_like(&self, head: &[u8]) -> Likelihood {
        let _ = head;
        Likelihood::No
    }

    /// How a request that is too long for one batch is cut into pieces, each of which is a request of this format;
    /// `head` is its beginning. `None` for what is only read whole.
    ///
    /// # Errors
    /// [`Error::InvalidParameter`].
    fn pieces(&self, head: &[u8], options: &ParseOptions<'_>) -> Result<Option<Pieces>> {
        let _ = (head, options);
        Ok(None)
    }

    /// Appends the rows of `input` to `rows` ([`Rows::row`]) and notes refused records there
    /// ([`Rows::refuse`]).
    ///
    /// # Errors
    /// Only what ends the whole request: no memory for it, what the store says about it, or
    /// [`tsdb_core::Error::StaleEpoch`], after which the pipeline asks again.
    fn parse_rows(&self, input: &[u8], options: &ParseOptions<'_>, rows: &mut Rows) -> Result<()> {
        // Points bring their times with them.
        let _ = options;
        match self.parse(input) {
            Ok(points) => rows.add_points(input, &points),
            Err(Error::Line { error }) => {
                rows.refuse_described(error);
                Ok(())
            }
            Err(error) => Err(error),
        }
    }
}

/// The points of `input`, for formats whose rows come first.
///
/// # Errors
/// As [`Ingestion::parse`].
pub(crate) fn points_of(
    format: &dyn Format,
    input: &[u8],
    options: &ParseOptions<'_>,
    charset: TagCharset,
) -> Result<Vec<DataPoint>> {
    // The caller has the input in memory already and bounds it.
    let budget = MemoryBudget::with_limits([usize::MAX; 5]);
    let cache_bytes = input.len().saturating_mul(2);
    let mut rows = Rows::new(None, &budget, Overdraft::new(0), cache_bytes, 0);
    rows.begin(NamespaceId(0), Validation { charset, ..Validation::default() });
    format.parse_rows(input, options, &mut rows)?;
    let report = rows.report();
    if let Some(error) = report.errors.into_iter().next() {
        return Err(Error::Line { error });
    }
    Ok(rows.points()?)
}

/// Length of the mark (EF BB BF) that some programs put before UTF-8.
fn after_byte_order_mark(input: &[u8]) -> usize {
    if input.starts_with(b"\xef\xbb\xbf") { 3 } else { 0 }
}

/// Whether `head` is text as far as it goes: UTF-8 but for a character that its end cuts, and no control
/// characters but those that lay text out.
fn is_text(head: &[u8]) -> bool {
    let is_utf8 = match std::str::from_utf8(head) {
        Ok(_) => true,
        Err(error) => error.error_len().is_none(),
    };
    is_utf8 && !head.iter().any(|byte| matches!(byte, 0..=8 | 14..=31 | 127))
}
