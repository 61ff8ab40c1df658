//! What is generated, before it takes any wire format: series with their fields, and rows of values.
//!
//! A [`Source`] gives rows in the order in which agents would send them. How rows become bytes is the
//! business of `encode`, which data there is to choose from that of [`options`].

mod devops;
mod disorder;
mod exporter;
mod fleet;
pub mod options;
mod scrapes;
mod walk;

use std::io::{self, Write};
use std::sync::Arc;

pub use scrapes::record;

use crate::encode::Format;

/// 2016-01-01T00:00:00Z, where TSBS data begins, in seconds since 1970.
pub const START_S: i64 = 1_451_606_400;

/// Nanoseconds in a second.
pub const SECOND_NS: i64 = 1_000_000_000;

/// How the values of a field are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FieldKind {
    /// Whole numbers: `7i` in line protocol.
    Int,
    /// Floating point numbers, shortest decimal form that reads back the same.
    Float,
}

/// A measurement with its fields; many series share one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schema {
    /// Name of the measurement.
    pub measurement: String,
    /// Names and kinds of the fields, in the order of a row's values.
    pub fields: Vec<(String, FieldKind)>,
}

/// A series: a measurement and its tags, in the order in which they are written.
#[derive(Debug, Clone)]
pub struct Series {
    /// Measurement and fields.
    pub schema: Arc<Schema>,
    /// Keys and values.
    pub tags: Vec<(String, String)>,
}

/// The values of one series at one time.
#[derive(Debug, Clone, Default)]
pub struct Row {
    /// Index into [`Source::series`].
    pub series: usize,
    /// Nanoseconds since 1970.
    pub time_ns: i64,
    /// One value for each field of the series.
    pub values: Vec<f64>,
}

/// Rows in the order in which they are sent.
pub trait Source {
    /// All series that rows have named so far; grows while rows are drawn, never changes what was there.
    fn series(&self) -> &[Series];

    /// Puts the next row into `row`; false at the end, and from then on.
    fn next_row(&mut self, row: &mut Row) -> bool;
}

impl<S: Source + ?Sized> Source for Box<S> {
    fn series(&self) -> &[Series] {
        (**self).series()
    }

    fn next_row(&mut self, row: &mut Row) -> bool {
        (**self).next_row(row)
    }
}

/// Rows that are encoded before they are written.
const ROWS_PER_WRITE: u64 = 10_000;

/// Writes all rows of a source in one stream.
///
/// # Errors
/// An output that is closed or full.
pub fn write_all(source: &mut dyn Source, format: Format, out: &mut dyn Write) -> io::Result<()> {
    let mut encoder = format.encoder();
    let mut row = Row::default();
    let mut count = 0;
    while source.next_row(&mut row) {
        encoder.push(source.series(), &row);
        count += 1;
        if count % ROWS_PER_WRITE == 0 {
            out.write_all(&encoder.take())?;
        }
    }
    out.write_all(&encoder.take())?;
    out.flush()
}
