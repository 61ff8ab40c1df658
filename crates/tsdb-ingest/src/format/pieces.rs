//! Where a request that is too long for one batch can be cut, so that each piece is a request of its own.
//!
//! Not here: who reads and stores the pieces.

use super::{csv, line};

/// How the records of a request stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Pieces {
    /// Every newline ends a record.
    Lines,
    /// A newline ends a line of line protocol, unless it stands in a text.
    LineProtocol,
    /// A newline ends a row of CSV, unless it stands in quotes, and every piece needs the header.
    Csv {
        /// What separates cells.
        delimiter: u8,
    },
}

impl Pieces {
    /// Length of what every piece of a request begins with, for instance a header, where `input` is the first piece.
    /// All of `input` if that does not end there.
    pub fn header_bytes(self, input: &[u8]) -> usize {
        match self {
            Pieces::Lines | Pieces::LineProtocol => 0,
            Pieces::Csv { delimiter } => csv::header_end(input, delimiter),
        }
    }

    /// Behind the last record that ends in `input`, which begins with a record (behind the header); 0 if none does. O(length).
    pub fn last_end(self, input: &[u8]) -> usize {
        match self {
            Pieces::Lines => memchr::memrchr(b'\n', input).map_or(0, |at| at + 1),
            Pieces::LineProtocol => line::last_end(input),
            Pieces::Csv { delimiter } => csv::last_end(input, delimiter),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{
        Csv, Format, Json, LineProtocol, ParseOptions, Pipeline, PipelineOptions, Precision,
        WriteRequest,
    };
    use proptest::prelude::*;
    use tsdb_core::{MemoryBudget, MemoryStore};

    const OPTIONS: ParseOptions<'static> = ParseOptions::new(Precision::Nanoseconds, 7);

    /// Writes a body in pieces of at most `bytes` bytes as far as there are ends of records, and says what became of it:
    /// rows, values that are text, and the numbers of refused lines.
    fn write(format: &dyn Format, body: &[u8], bytes: usize) -> (u64, u64, Vec<u64>) {
        let store = Arc::new(MemoryStore::new());
        let pipeline = Pipeline::new(store, MemoryBudget::default(), PipelineOptions::default());
        let pieces = format.pieces(body, &OPTIONS).unwrap().unwrap();
        let header = pieces.header_bytes(body);
        let (mut at, mut lines, mut report) = (header, 0, (0, 0, Vec::new()));
        loop {
            let rest = &body[at..];
            let (mut taken, mut reach) = (rest.len(), bytes);
            while reach < rest.len() {
                // A record that is longer than a piece needs more of the body.
                let end = pieces.last_end(&rest[..reach]);
                if end > 0 {
                    taken = end;
                    break;
                }
                reach += bytes;
            }
            let piece = [&body[..header], &rest[..taken]].concat();
            let request =
                WriteRequest { database: "d", policy: None, body: &piece, options: OPTIONS };
            let written = pipeline.write(format, &request).unwrap();
            report.0 += written.rows;
            report.1 += written.ignored_total;
            let numbers = written.errors.iter().map(|error| lines + error.line);
            report.2.extend(numbers);
            lines += rest[..taken].iter().filter(|byte| **byte == b'\n').count() as u64;
            at += taken;
            if at >= body.len() {
                break;
            }
        }
        report
    }

    /// In pieces of any size the same becomes of a body as in one.
    fn check(format: &dyn Format, body: &[u8]) {
        let whole = write(format, body, usize::MAX / 2);
        for bytes in [1, 2, 3, 7, 40, 1000] {
            assert_eq!(write(format, body, bytes), whole, "{} in {bytes}", body.escape_ascii());
        }
    }

    #[test]
    fn line_protocol_is_cut_at_ends_of_lines_outside_of_texts() {
        for body in [
            "m v=1 1\nm v=2 2\n",
            "m v=1 1\nm v=2 2",
            "m v=1,s=\"a\nb=\\\"c\n\" 1\n# \" a comment\n\nm v=2 2\n",
            "a\"b v=1 1\nc\"d v=2 2\n",
            "m v=x\"y\nm v=2 2\nm,\"=a\nm v=3 3\n",
            "m s=\"x\ny\",v= 1\nm s=\"x\"z\"\ny\",v=4 1\nm v=1 5",
            // Found by the property below: a bad value ends a line where the parser says.
            "v=1 xx=m=s=\"\r\nx",
        ] {
            check(&LineProtocol::default(), body.as_bytes());
        }
        assert_eq!(Pieces::LineProtocol.last_end(b"m s=\"a\nb"), 0);
        assert_eq!(Pieces::LineProtocol.last_end(b"m v=1\nm s=\"a\nb"), 6);
    }

    #[test]
    fn tables_keep_their_header() {
        for body in [
            "measurement,v\nm,1\nm,2\n",
            "\n\r\nmeasurement,v,\"h\nx:tag\"\r\nm,1,a\r\n\"m\",2,\"a\n\"\"b\"\r\n",
            "measurement,v\nm\"x,1\nm\"y,2\n\nm,z\nm,3",
            "measurement,v",
        ] {
            check(&Csv::default(), body.as_bytes());
        }
        let table = b"\xef\xbb\xbfmeasurement,v\nm,1\nm,2";
        let pieces = Pieces::Csv { delimiter: b',' };
        assert_eq!(pieces.header_bytes(table), 17);
        assert_eq!(pieces.last_end(&table[17..]), 4);
    }

    #[test]
    fn json_is_cut_where_each_record_has_its_line() {
        let lines = "{\"measurement\":\"m\",\"value\":1}\n{\"measurement\":\"m}\"}\n{}\n";
        check(&Json::default(), lines.as_bytes());
        for (head, are_lines) in [
            (lines, true),
            ("{\"measurement\":\"m\"", true),
            ("\n  {\"a\": \"{\"}", true),
            ("", true),
            ("[{\"measurement\":\"m\"}]", false),
            ("{\n\"measurement\":\"m\"}", false),
            ("x", false),
        ] {
            let pieces = Json::default().pieces(head.as_bytes(), &OPTIONS).unwrap();
            assert_eq!(pieces.is_some(), are_lines, "{head}");
        }
    }

    proptest! {
        #[test]
        fn any_lines_in_pieces_are_what_they_are_whole(
            parts in prop::collection::vec(
                prop::sample::select(vec![
                    "m", ",h=a", " ", "v=1", ",", "s=\"", "\"", "\n", "x", "\\", "#", "=", " 5", "\r\n", "m v=1 1\n",
                ]),
                0..40,
            ),
        ) {
            check(&LineProtocol::default(), parts.concat().as_bytes());
        }

        #[test]
        fn any_rows_in_pieces_are_what_they_are_whole(
            parts in prop::collection::vec(
                prop::sample::select(vec!["m", ",", "1", "\"", "\"\"", "\n", "\r\n", " ", "m,1\n", "\"m\",2\n"]),
                0..40,
            ),
        ) {
            let body = format!("measurement,v\n{}", parts.concat());
            check(&Csv::default(), body.as_bytes());
        }
    }
}
