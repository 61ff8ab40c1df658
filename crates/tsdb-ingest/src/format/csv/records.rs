//! The records of CSV: cells as csv-core reads them, with the lines that they stand on.
//!
//! csv-core makes something of any text. What no table means is found out here: a record that is too
//! long, and a quote that is never closed.

use csv_core::{ReadRecordResult, Reader, ReaderBuilder};

use crate::report::Origin;
use crate::{Reason, limits};

/// Smallest buffer for the cells of a record.
const CELLS_BYTES_MIN: usize = 1024;

/// The quote of CSV.
const QUOTE: u8 = b'"';

/// Reads records one after the other.
pub(super) struct Records<'a> {
    input: &'a [u8],
    delimiter: u8,
    reader: Reader,
    at: usize,
    /// Number of the line at `at`, from 1.
    line: u64,
    /// Cells of the current record, one behind the other, and where each ends.
    cells: Vec<u8>,
    ends: Vec<usize>,
    cell_count: usize,
}

/// Where a record stands, and why it cannot be used, if it cannot.
#[derive(Debug, PartialEq)]
pub(super) struct Found {
    pub(super) origin: Origin,
    pub(super) fault: Option<Reason>,
}

impl<'a> Records<'a> {
    /// The records of `input` from `at` on.
    pub(super) fn new(input: &'a [u8], at: usize, delimiter: u8) -> Records<'a> {
        Records {
            input,
            delimiter,
            reader: ReaderBuilder::new().delimiter(delimiter).build(),
            at,
            line: 1,
            cells: vec![0; CELLS_BYTES_MIN],
            ends: vec![0; limits::COLUMNS_MAX + 1],
            cell_count: 0,
        }
    }

    /// Most memory that the records of `input` can take, in bytes.
    pub(super) fn memory_bytes(input: &[u8]) -> usize {
        let cells = input.len().clamp(CELLS_BYTES_MIN, 2 * limits::LINE_BYTES_MAX);
        cells.next_power_of_two() + (limits::COLUMNS_MAX + 1) * size_of::<usize>()
    }

    /// Reads the next record, whose cells can be looked at then; `None` behind the last one.
    pub(super) fn next(&mut self) -> Option<Found> {
        self.skip_line_ends();
        let start = self.at;
        let (mut cells_used, mut ends_used) = (0, 0);
        let (mut is_too_long, mut ends_with_input) = (false, false);
        self.cell_count = 0;
        loop {
            let input = self.input.get(self.at..).unwrap_or_default();
            let cells = self.cells.get_mut(cells_used..).unwrap_or_default();
            let ends = self.ends.get_mut(ends_used..).unwrap_or_default();
            let (result, read, written, ended) = self.reader.read_record(input, cells, ends);
            self.at += read;
            cells_used += written;
            ends_used += ended;
            self.cell_count += ended;
            match result {
                ReadRecordResult::InputEmpty => ends_with_input = true,
                ReadRecordResult::OutputFull if self.cells.len() <= limits::LINE_BYTES_MAX => {
                    self.cells.resize(self.cells.len() * 2, 0);
                }
                // The rest of the record is read and thrown away.
                ReadRecordResult::OutputFull => (is_too_long, cells_used) = (true, 0),
                ReadRecordResult::OutputEndsFull => ends_used = 0,
                ReadRecordResult::Record => break,
                ReadRecordResult::End => return None,
            }
        }
        let raw = self.input.get(start..self.at).unwrap_or_default();
        let end = start + raw.trim_ascii_end().len();
        let origin = Origin { line: self.line, start, end };
        self.line += newlines(raw);
        let fault = if ends_with_input && is_open(raw, self.delimiter) {
            Some(Reason::UnbalancedQuotes)
        } else if is_too_long || end - start > limits::LINE_BYTES_MAX {
            Some(Reason::LineTooLong)
        } else {
            None
        };
        Some(Found { origin, fault })
    }

    /// How many cells the current record has.
    pub(super) fn cell_count(&self) -> usize {
        self.cell_count
    }

    /// A cell of the current record, without blanks around it.
    #[inline]
    pub(super) fn cell(&self, place: usize) -> &[u8] {
        let start = match place.checked_sub(1) {
            Some(before) => self.ends.get(before).copied().unwrap_or_default(),
            None => 0,
        };
        let end = self.ends.get(place).copied().unwrap_or_default();
        self.cells.get(start..end).unwrap_or_default().trim_ascii()
    }

    fn skip_line_ends(&mut self) {
        while let Some(byte @ (b'\r' | b'\n')) = self.input.get(self.at) {
            self.line += u64::from(*byte == b'\n');
            self.at += 1;
        }
    }
}

fn newlines(raw: &[u8]) -> u64 {
    memchr::memchr_iter(b'\n', raw).count() as u64
}

/// Where records end in `input`, which begins with one: behind each newline outside of quotes.
pub(super) fn ends(input: &[u8], delimiter: u8) -> impl Iterator<Item = usize> {
    let (mut is_quoted, mut begins_cell) = (false, true);
    input.iter().enumerate().filter_map(move |(at, byte)| {
        // Two quotes in a quoted cell close it and open it again.
        if *byte == QUOTE && (is_quoted || begins_cell) {
            is_quoted = !is_quoted;
            begins_cell = !is_quoted;
            return None;
        }
        begins_cell = !is_quoted && (*byte == delimiter || *byte == b'\n');
        (!is_quoted && *byte == b'\n').then_some(at + 1)
    })
}

/// Whether a cell of this record is quoted and never closed. Only the last record of a request can be.
#[cold]
fn is_open(raw: &[u8], delimiter: u8) -> bool {
    let (mut is_quoted, mut begins_cell) = (false, true);
    let mut bytes = raw.iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        if is_quoted {
            // Two quotes in a quoted cell are one that belongs to it.
            is_quoted = byte != QUOTE || bytes.next_if_eq(&QUOTE).is_some();
        } else if begins_cell && byte == QUOTE {
            is_quoted = true;
        }
        begins_cell = !is_quoted && byte == delimiter;
    }
    is_quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The records of a text: line, cells with bars between them, and the fault.
    fn records(text: &str) -> Vec<String> {
        let mut records = Records::new(text.as_bytes(), 0, b',');
        let mut shown = Vec::new();
        while let Some(found) = records.next() {
            let count = records.cell_count();
            let cells: Vec<_> =
                (0..count).map(|at| String::from_utf8_lossy(records.cell(at))).collect();
            let fault = found.fault.map(|reason| format!(" !{reason}")).unwrap_or_default();
            let line = found.origin.line;
            shown.push(format!("{line} {}{fault}", cells.join("|")));
        }
        shown
    }

    #[test]
    fn records_have_cells_and_lines() {
        let cases: &[(&str, &[&str])] = &[
            ("", &[]),
            ("\n\r\n\n", &[]),
            ("a,b", &["1 a|b"]),
            ("a,b\n1,2\n", &["1 a|b", "2 1|2"]),
            ("a,b\r\n1,2\r\n", &["1 a|b", "2 1|2"]),
            ("\n\na\n\n\r\nb", &["3 a", "6 b"]),
            (" a , b\t\n", &["1 a|b"]),
            (",\n,,", &["1 |", "2 ||"]),
            ("\"a,b\",\"c\"\"d\"\n\"x\ny\",z\nw", &["1 a,b|c\"d", "2 x\ny|z", "4 w"]),
            ("\"\"\n", &["1 "]),
            ("a\"b,c\n", &["1 a\"b|c"]),
            ("a,\"b", &["1 a|b !unbalanced quotes"]),
            ("a\n\"b\nc,d\n", &["1 a", "2 b\nc,d !unbalanced quotes"]),
            ("a,\"b\"", &["1 a|b"]),
            ("a,\"b\"\"", &["1 a|b\" !unbalanced quotes"]),
            ("a,5\"", &["1 a|5\""]),
        ];
        for (text, expected) in cases {
            assert_eq!(records(text), *expected, "{text:?}");
        }
    }

    #[test]
    fn records_have_at_most_256_kib() {
        let long = "x".repeat(limits::LINE_BYTES_MAX);
        let text = format!("{long}\n{long}y\nz\n{}\nw", "v,".repeat(limits::LINE_BYTES_MAX));
        let shown = records(&text);
        assert_eq!(shown.len(), 5);
        assert_eq!(shown[0], format!("1 {long}"));
        assert!(shown[1].ends_with("line is longer than 262144 bytes: split it into several"));
        assert_eq!(shown[2], "3 z");
        assert!(shown[3].ends_with("split it into several"));
        assert_eq!(shown[4], "5 w");
        let open = format!("a\n\"{long}{long}\n1\n");
        assert!(records(&open)[1].ends_with("!unbalanced quotes"));
    }

    #[test]
    fn all_cells_of_a_row_are_counted() {
        let text = "1,".repeat(3 * limits::COLUMNS_MAX);
        let mut records = Records::new(text.as_bytes(), 0, b',');
        assert_eq!(records.next().unwrap().fault, None);
        assert_eq!(records.cell_count(), 3 * limits::COLUMNS_MAX + 1);
    }
}
