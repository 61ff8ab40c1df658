//! CSV: a table with a header, by way of csv-core. `docs/formats.md` describes what a header may say.
//!
//! Each row is one row of one series. A cell that is empty is absent.

mod header;
mod records;

#[cfg(test)]
mod tests;

use tsdb_core::{DataPoint, TagCharset};

use self::header::{Column, Header, Role, TimeForm};
use self::records::{Found, Records};
use super::line::number::plain_number;
use super::pieces::Pieces;
use super::{
    Format, Ingestion, Likelihood, ParseOptions, after_byte_order_mark, is_text, points_of, stamp,
};
use crate::report::{HeaderFault, Origin, shown};
use crate::rows::Refusal;
use crate::{Error, Precision, Reason, Result, Rows, Validation};

/// What separates cells unless the parameter `delimiter` says otherwise.
const DELIMITER_DEFAULT: u8 = b',';

/// The handler of CSV. It has no state.
///
/// Beside precision and time it hears the parameters `delimiter`, `measurement`, `tags`, `fields` and
/// `time` of [`ParseOptions::parameters`].
#[derive(Debug, Clone, Copy)]
pub struct Csv {
    options: ParseOptions<'static>,
    charset: TagCharset,
}

impl Csv {
    /// A handler whose [`Ingestion::parse`] reads with `options` and accepts `charset` in names. A
    /// pipeline brings its own options with each request.
    pub fn new(options: ParseOptions<'static>, charset: TagCharset) -> Csv {
        Csv { options, charset }
    }
}

impl Default for Csv {
    /// Nanoseconds and ASCII; rows without a time are of 1970.
    fn default() -> Self {
        Csv::new(ParseOptions::new(Precision::Nanoseconds, 0), TagCharset::Ascii)
    }
}

impl Ingestion for Csv {
    fn parse(&self, input: &[u8]) -> Result<Vec<DataPoint>> {
        points_of(self, input, &self.options, self.charset)
    }

    fn supported_formats(&self) -> Vec<&'static str> {
        vec!["text/csv", "application/csv", "csv"]
    }
}

impl Format for Csv {
    /// A header has commas, and neither the brackets of JSON nor the equals signs of line protocol.
    fn looks_like(&self, head: &[u8]) -> Likelihood {
        let text = head.get(after_byte_order_mark(head)..).unwrap_or_default().trim_ascii_start();
        let line = text.split(|byte| *byte == b'\n').next().unwrap_or_default();
        let is_json = line.starts_with(b"{") || line.starts_with(b"[");
        if !is_text(head) || is_json || !line.contains(&DELIMITER_DEFAULT) {
            return Likelihood::No;
        }
        if line.contains(&b'=') { Likelihood::Possible } else { Likelihood::Likely }
    }

    fn pieces(&self, _: &[u8], options: &ParseOptions<'_>) -> Result<Option<Pieces>> {
        let delimiter = delimiter(options.parameter("delimiter"))?;
        Ok(Some(Pieces::Csv { delimiter }))
    }

    fn parse_rows(&self, input: &[u8], options: &ParseOptions<'_>, rows: &mut Rows) -> Result<()> {
        let delimiter = delimiter(options.parameter("delimiter"))?;
        rows.charge(Records::memory_bytes(input))?;
        let mut records = Records::new(input, after_byte_order_mark(input), delimiter);
        let Some(found) = records.next() else { return Ok(()) };
        match read_header(&records, found.fault, options) {
            Ok(header) => Table { input, options, header, records }.read(rows),
            Err(reason) => {
                rows.refuse(input, found.origin, found.origin.start, reason);
                Ok(())
            }
        }
    }
}

/// Behind the header of a table; the length of `input` if it does not end there.
pub(super) fn header_end(input: &[u8], delimiter: u8) -> usize {
    let start = after_byte_order_mark(input);
    let blank = |byte: &u8| !matches!(byte, b'\r' | b'\n');
    let rest = input.get(start..).unwrap_or_default();
    let start = start + rest.iter().position(blank).unwrap_or(rest.len());
    match records::ends(input.get(start..).unwrap_or_default(), delimiter).next() {
        Some(end) => start + end,
        None => input.len(),
    }
}

/// Behind the last row that ends in `input`, which begins with a row; 0 if none does. A newline inside of quotes ends
/// none.
pub(super) fn last_end(input: &[u8], delimiter: u8) -> usize {
    if memchr::memchr(b'"', input).is_none() {
        return memchr::memrchr(b'\n', input).map_or(0, |at| at + 1);
    }
    records::ends(input, delimiter).last().unwrap_or(0)
}

/// The character that the parameter `delimiter` names.
fn delimiter(text: Option<&str>) -> Result<u8> {
    match text.map(str::as_bytes) {
        None => Ok(DELIMITER_DEFAULT),
        Some(b"tab" | b"\\t") => Ok(b'\t'),
        Some([byte]) if byte.is_ascii() && !matches!(byte, b'"' | b'\r' | b'\n' | 0) => Ok(*byte),
        Some(_) => Err(Error::InvalidParameter {
            name: "delimiter",
            value: shown(text.unwrap_or_default()),
            remedy: "use one ASCII character, but neither a quote nor a line break, or the word tab",
        }),
    }
}

fn read_header<'a>(
    records: &Records<'_>,
    fault: Option<Reason>,
    options: &ParseOptions<'a>,
) -> Result<Header<'a>, Reason> {
    if let Some(reason) = fault {
        return Err(reason);
    }
    let mut cells = Vec::with_capacity(records.cell_count());
    for place in 0..records.cell_count() {
        let name = std::str::from_utf8(records.cell(place));
        let not_utf8 = |_| Reason::Header(HeaderFault::NotUtf8 { column: place + 1 });
        cells.push(name.map_err(not_utf8)?);
    }
    Header::new(&cells, options).map_err(Reason::Header)
}

/// A cell as text.
fn text_of<'c>(column: &Column, cell: &'c [u8]) -> Result<&'c str, Reason> {
    // Where in the line the byte stands is not known any more: quotes are gone.
    std::str::from_utf8(cell).map_err(|_| Reason::CellNotUtf8 { column: shown(&column.name) })
}

/// The rows behind a header.
struct Table<'a> {
    input: &'a [u8],
    options: &'a ParseOptions<'a>,
    header: Header<'a>,
    records: Records<'a>,
}

impl Table<'_> {
    fn read(mut self, rows: &mut Rows) -> Result<()> {
        while let Some(Found { origin, fault }) = self.records.next() {
            rows.settle_portion(self.input)?;
            let outcome = match fault {
                Some(reason) => Err(Refusal::Row(reason)),
                None if self.is_blank() => Ok(()),
                None => self.row(rows, origin),
            };
            match outcome {
                Ok(()) => {}
                Err(Refusal::Request(error)) => return Err(error.into()),
                Err(Refusal::Row(reason)) => rows.refuse(self.input, origin, origin.start, reason),
            }
        }
        Ok(())
    }

    /// A line of nothing but blanks, which csv-core takes for an empty cell.
    fn is_blank(&self) -> bool {
        self.records.cell_count() == 1 && self.records.cell(0).is_empty()
    }

    fn row(&self, rows: &mut Rows, origin: Origin) -> Result<(), Refusal> {
        let (count, columns) = (self.records.cell_count(), self.header.columns.len());
        if count != columns {
            return Err(Reason::CellCount { count, columns }.into());
        }
        let measurement = match self.header.measurement_column() {
            Some((place, column)) => text_of(column, self.records.cell(place))?,
            None => "",
        };
        let measurement =
            if measurement.is_empty() { self.header.measurement } else { measurement };
        let validation = *rows.validation();
        let (mut time, mut has_field) = (None, false);
        let mut row = rows.row(measurement);
        for (place, column) in self.header.columns.iter().enumerate() {
            let cell = self.records.cell(place);
            if cell.is_empty() {
                continue;
            }
            match column.role {
                Role::Ignore | Role::Measurement => {}
                Role::Tag => row.tag(&column.name, text_of(column, cell)?),
                Role::Field => {
                    row.field(&column.name, number(column, cell)?);
                    has_field = true;
                }
                Role::Time(form) => {
                    time = Some(self.time(&validation, form, text_of(column, cell)?)?);
                }
            }
        }
        // Tables have rows without any value; they say nothing.
        if !has_field {
            return Ok(());
        }
        row.try_push(origin, time.unwrap_or_else(|| self.options.now()))
    }

    fn time(&self, validation: &Validation, form: TimeForm, text: &str) -> Result<i64, Reason> {
        let unit = match form {
            TimeForm::Unit(unit) => Some(unit),
            TimeForm::Any => Some(self.options.precision),
            TimeForm::Date => None,
        };
        match (unit, stamp::integer(text)) {
            (Some(unit), Some(stamp)) => validation.time(stamp?, unit),
            (Some(_), None) if form != TimeForm::Any => {
                Err(Reason::InvalidTime { text: shown(text) })
            }
            _ => stamp::date(text),
        }
    }
}

/// The value of a cell in a column of fields: a number, or a boolean as 0 or 1.
#[inline]
fn number(column: &Column, cell: &[u8]) -> Result<f64, Reason> {
    match plain_number(cell) {
        Some(value) => Ok(value),
        None => boolean(column, cell),
    }
}

#[cold]
fn boolean(column: &Column, cell: &[u8]) -> Result<f64, Reason> {
    match cell {
        b"true" | b"True" | b"TRUE" => Ok(1.0),
        b"false" | b"False" | b"FALSE" => Ok(0.0),
        _ => Err(Reason::InvalidCell {
            column: shown(&column.name),
            text: shown(&String::from_utf8_lossy(cell)),
        }),
    }
}
