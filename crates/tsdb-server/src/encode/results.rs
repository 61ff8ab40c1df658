//! Answers of statements as InfluxDB's JSON: one document for all of them, or pieces of so many rows.
//!
//! Not here: pretty layout (`json::indent`), sending, and what a statement does.

use std::ops::Range;

use jiff::tz::{Offset, TimeZone};
use tsdb_exec::{Message, Result, Series, StatementResult, Validity, Values};

use super::json::{push_list, push_string};
use super::number::{push_f64, push_i64, push_rfc3339};
use super::output::Output;

/// How times are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Epoch {
    /// As text like `2026-11-23T03:16:22.5Z`, in the zone of the statement.
    Rfc3339,
    /// As whole numbers of so many ns since 1970, rounded down.
    Every(i64),
}

/// What became of one statement.
#[derive(Debug)]
pub struct Answer {
    /// Place of the statement in the query, from 0.
    pub statement: usize,
    /// Its tables, or why there are none.
    pub outcome: std::result::Result<StatementResult, String>,
    /// Remarks beside those of the result.
    pub messages: Vec<Message>,
}

/// A piece of the tables of an answer: a part of the rows of one of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    series: usize,
    rows: Range<usize>,
    more_rows: bool,
}

impl Piece {
    /// Place of its table in the answer.
    pub fn series(&self) -> usize {
        self.series
    }

    /// Its rows of that table.
    pub fn rows(&self) -> Range<usize> {
        self.rows.clone()
    }

    /// Whether rows of that table follow behind it.
    pub fn has_more_rows(&self) -> bool {
        self.more_rows
    }
}

/// Begins a document; answers follow with commas between them, then [`end_document`].
pub fn begin_document(out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"results\":[");
}

/// Ends a document.
pub fn end_document(out: &mut Vec<u8>) {
    out.extend_from_slice(b"]}\n");
}

/// Appends a whole answer.
///
/// # Errors
/// See [`Output::room`]; a part of the answer stands there then.
pub fn push_answer(out: &mut Output, answer: &Answer, epoch: Epoch) -> Result<()> {
    begin_answer(&mut out.bytes, answer.statement);
    if let Ok(result) = &answer.outcome
        && !result.series.is_empty()
    {
        let clock = Clock::new(epoch, result.time_zone.as_deref());
        out.bytes.extend_from_slice(b",\"series\":[");
        for (at, series) in result.series.iter().enumerate() {
            separate(&mut out.bytes, at);
            push_series(out, series, &clock)?;
        }
        out.bytes.push(b']');
    }
    end_answer(&mut out.bytes, answer, false);
    Ok(())
}

/// Appends the answer of a statement that failed. It is short, and there is always room for it.
pub fn push_failure(out: &mut Vec<u8>, answer: &Answer) {
    begin_answer(out, answer.statement);
    end_answer(out, answer, false);
}

/// The pieces of an answer of at most `rows_max` rows each (at least 1). An answer without tables has none.
pub fn pieces(answer: &Answer, rows_max: usize) -> impl Iterator<Item = Piece> {
    let tables = answer.outcome.as_ref().map_or(&[][..], |result| &result.series);
    tables.iter().enumerate().flat_map(move |(series, table)| {
        let (count, step) = (table.rows(), rows_max.max(1));
        let starts = (0..count.max(1)).step_by(step);
        starts.map(move |start| {
            let end = count.min(start.saturating_add(step));
            Piece { series, rows: start..end, more_rows: end < count }
        })
    })
}

/// Appends rows of a table as an answer of its own, as far as it can be written before it is known what follows:
/// [`end_piece`] ends it.
///
/// # Errors
/// As [`push_answer`].
pub(crate) fn begin_piece(
    out: &mut Output,
    statement: usize,
    table: &Series,
    rows: Range<usize>,
    clock: &Clock,
) -> Result<()> {
    begin_answer(&mut out.bytes, statement);
    out.bytes.extend_from_slice(b",\"series\":[");
    out.room()?;
    push_head(&mut out.bytes, table);
    for (before, row) in rows.enumerate() {
        out.room()?;
        push_row(&mut out.bytes, table, row, before, clock);
    }
    Ok(())
}

/// Ends a piece with so many rows, which is the last of the answer if there is one to take its remarks from.
pub(crate) fn end_piece(
    out: &mut Vec<u8>,
    statement: usize,
    rows: usize,
    more_rows: bool,
    last_of: Option<&Answer>,
) {
    end_rows(out, rows);
    out.extend_from_slice(if more_rows { b",\"partial\":true}]" } else { b"}]" });
    match last_of {
        Some(answer) => end_answer(out, answer, false),
        None => {
            let outcome = Ok(StatementResult::default());
            end_answer(out, &Answer { statement, outcome, messages: Vec::new() }, true);
        }
    }
}

/// A comma, unless it is the first of a list.
fn separate(out: &mut Vec<u8>, at: usize) {
    if at > 0 {
        out.push(b',');
    }
}

pub(super) fn begin_answer(out: &mut Vec<u8>, statement: usize) {
    out.extend_from_slice(b"{\"statement_id\":");
    push_count(out, statement);
}

pub(super) fn end_answer(out: &mut Vec<u8>, answer: &Answer, partial: bool) {
    let of_result = answer.outcome.iter().flat_map(|result| &result.messages);
    let mut messages = of_result.chain(&answer.messages).peekable();
    if messages.peek().is_some() {
        out.extend_from_slice(b",\"messages\":");
        push_list(out, messages, |out, message| {
            out.extend_from_slice(b"{\"level\":");
            push_string(out, message.level);
            out.extend_from_slice(b",\"text\":");
            push_string(out, &message.text);
            out.push(b'}');
        });
    }
    if partial {
        out.extend_from_slice(b",\"partial\":true");
    }
    if let Err(error) = &answer.outcome {
        out.extend_from_slice(b",\"error\":");
        push_string(out, error);
    }
    out.push(b'}');
}

/// Rows after which the length of the rest can be told.
const ROWS_MEASURED: usize = 256;

fn push_series(out: &mut Output, series: &Series, clock: &Clock) -> Result<()> {
    out.room()?;
    push_head(&mut out.bytes, series);
    let (begin, count) = (out.bytes.len(), series.rows());
    for row in 0..count {
        if row == ROWS_MEASURED {
            // Those that come are about as long as those that came.
            let bytes = (out.bytes.len() - begin) / ROWS_MEASURED;
            out.expect((count - row).saturating_mul(bytes + bytes / 32 + 1));
        }
        out.room()?;
        push_row(&mut out.bytes, series, row, row, clock);
    }
    end_table(&mut out.bytes, count);
    Ok(())
}

/// Ends a table with so many rows.
pub(super) fn end_table(out: &mut Vec<u8>, rows: usize) {
    end_rows(out, rows);
    out.push(b'}');
}

fn end_rows(out: &mut Vec<u8>, rows: usize) {
    if rows > 0 {
        out.push(b']');
    }
}

/// Begins the object of a table: all but its rows.
pub(super) fn push_head(out: &mut Vec<u8>, series: &Series) {
    out.push(b'{');
    if let Some(name) = &series.name {
        out.extend_from_slice(b"\"name\":");
        push_string(out, name);
        out.push(b',');
    }
    if !series.tags.is_empty() {
        out.extend_from_slice(b"\"tags\":{");
        for (at, (key, value)) in series.tags.iter().enumerate() {
            separate(out, at);
            push_string(out, key);
            out.push(b':');
            push_string(out, value);
        }
        out.extend_from_slice(b"},");
    }
    out.extend_from_slice(b"\"columns\":");
    let time = series.times.is_some().then_some("time");
    let names = time.into_iter().chain(series.columns.iter().map(|column| &*column.name));
    push_list(out, names, push_string);
}

/// Appends a row behind `before` others of its table.
pub(super) fn push_row(
    out: &mut Vec<u8>,
    series: &Series,
    row: usize,
    before: usize,
    clock: &Clock,
) {
    out.extend_from_slice(if before == 0 { b",\"values\":[[" } else { b",[" });
    let time = series.times.as_ref().and_then(|times| times.get(row));
    if let Some(time) = time {
        clock.push(out, *time);
    }
    for (at, column) in series.columns.iter().enumerate() {
        if at > 0 || time.is_some() {
            out.push(b',');
        }
        push_value(out, &column.values, row);
    }
    out.push(b']');
}

fn push_value(out: &mut Vec<u8>, values: &Values, row: usize) {
    let written = match values {
        Values::Floats(values, valid) => {
            present(values, valid, row).map(|value| push_f64(out, *value))
        }
        Values::Integers(values, valid) => {
            present(values, valid, row).map(|value| push_i64(out, *value))
        }
        Values::Booleans(values) => values
            .get(row)
            .map(|value| out.extend_from_slice(if *value { b"true" } else { b"false" })),
        Values::Strings(values) => values.get(row).map(|text| push_string(out, text)),
    };
    if written.is_none() {
        out.extend_from_slice(b"null");
    }
}

fn present<'v, T>(values: &'v [T], valid: &Validity, row: usize) -> Option<&'v T> {
    values.get(row).filter(|_| valid.get(row))
}

fn push_count(out: &mut Vec<u8>, count: usize) {
    push_i64(out, i64::try_from(count).unwrap_or(i64::MAX));
}

/// Writes the times of one answer.
#[derive(Debug)]
pub(crate) struct Clock {
    epoch: Epoch,
    /// Other than UTC.
    zone: Option<TimeZone>,
}

impl Clock {
    pub(crate) fn new(epoch: Epoch, time_zone: Option<&str>) -> Clock {
        let named = time_zone.filter(|name| *name != "UTC");
        Clock { epoch, zone: named.and_then(|name| TimeZone::get(name).ok()) }
    }

    fn push(&self, out: &mut Vec<u8>, ns: i64) {
        match (self.epoch, &self.zone) {
            (Epoch::Every(unit), _) => push_i64(out, ns.div_euclid(unit)),
            (Epoch::Rfc3339, None) => {
                out.push(b'"');
                push_rfc3339(out, ns, 0);
                out.push(b'"');
            }
            (Epoch::Rfc3339, Some(zone)) => {
                let offset = jiff::Timestamp::from_nanosecond(i128::from(ns))
                    .map_or(Offset::UTC, |moment| zone.to_offset(moment));
                out.push(b'"');
                push_rfc3339(out, ns, offset.seconds());
                out.push(b'"');
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encode::output::testing::written;
    use tsdb_exec::ResultColumn;

    fn column(name: &str, values: Values) -> ResultColumn {
        ResultColumn { name: name.into(), values }
    }

    fn validity(rows: &[bool]) -> Validity {
        let mut validity = Validity::default();
        rows.iter().for_each(|present| validity.push(*present));
        validity
    }

    fn answer(statement: usize, series: Vec<Series>) -> Answer {
        let mut result = StatementResult::default();
        result.series = series;
        Answer { statement, outcome: Ok(result), messages: Vec::new() }
    }

    fn three_rows() -> Series {
        Series {
            name: Some("cpu".into()),
            tags: vec![("host".into(), "a\"b".into()), ("rack".into(), "".into())],
            times: Some(vec![0, 1_500_000_000, -1]),
            columns: vec![
                column(
                    "mean",
                    Values::Floats(vec![0.5, f64::NAN, 3.0], validity(&[true, true, false])),
                ),
                column(
                    "count",
                    Values::Integers(vec![i64::MAX, 0, 1], validity(&[true, false, true])),
                ),
                column(
                    "region",
                    Values::Strings(vec![Some("eu".into()), None, Some("".into())].into()),
                ),
                column("ok", Values::Booleans(vec![true, false, true])),
            ],
        }
    }

    fn text(push: impl FnOnce(&mut Output) -> Result<()>) -> String {
        let text = String::from_utf8(written(push)).unwrap();
        serde_json::from_str::<serde_json::Value>(&text).expect("valid JSON");
        text
    }

    #[test]
    fn an_answer_has_the_shape_that_clients_know() {
        let got =
            text(|out| push_answer(out, &answer(0, vec![three_rows()]), Epoch::Every(1_000_000)));
        assert_eq!(
            got,
            "{\"statement_id\":0,\"series\":[{\"name\":\"cpu\",\"tags\":{\"host\":\"a\\\"b\",\"rack\":\"\"},\
             \"columns\":[\"time\",\"mean\",\"count\",\"region\",\"ok\"],\"values\":[\
             [0,0.5,9223372036854775807,\"eu\",true],[1500,null,null,null,false],[-1,null,1,\"\",true]]}]}"
        );
    }

    #[test]
    fn times_as_text_follow_the_zone() {
        let mut answer = answer(0, vec![three_rows()]);
        let got = text(|out| push_answer(out, &answer, Epoch::Rfc3339));
        for time in
            ["1970-01-01T00:00:00Z", "1970-01-01T00:00:01.5Z", "1969-12-31T23:59:59.999999999Z"]
        {
            assert!(got.contains(&format!("[\"{time}\",")), "{got}");
        }
        if let Ok(result) = &mut answer.outcome {
            result.time_zone = Some("Europe/Berlin".to_owned());
        }
        let got = text(|out| push_answer(out, &answer, Epoch::Rfc3339));
        assert!(got.contains("[\"1970-01-01T01:00:01.5+01:00\","), "{got}");
    }

    #[test]
    fn nothing_an_error_and_a_remark() {
        assert_eq!(
            text(|out| push_answer(out, &answer(3, Vec::new()), Epoch::Rfc3339)),
            "{\"statement_id\":3}"
        );
        let failed = Answer { statement: 1, outcome: Err("no".to_owned()), messages: Vec::new() };
        assert_eq!(
            text(|out| push_answer(out, &failed, Epoch::Rfc3339)),
            "{\"statement_id\":1,\"error\":\"no\"}"
        );
        let remark = Message { level: "warning", text: "old".to_owned() };
        let remarked = Answer { messages: vec![remark], ..answer(0, Vec::new()) };
        assert_eq!(
            text(|out| push_answer(out, &remarked, Epoch::Rfc3339)),
            "{\"statement_id\":0,\"messages\":[{\"level\":\"warning\",\"text\":\"old\"}]}"
        );
        let table = Series {
            name: None,
            columns: vec![column("name", Values::Strings(vec![].into()))],
            ..Series::default()
        };
        assert_eq!(
            text(|out| push_answer(out, &answer(0, vec![table]), Epoch::Rfc3339)),
            "{\"statement_id\":0,\"series\":[{\"columns\":[\"name\"]}]}"
        );
    }

    #[test]
    fn pieces_cover_all_rows_once_and_say_what_follows() {
        for rows_max in 1..5 {
            let answer = answer(0, vec![three_rows(), three_rows()]);
            let pieces: Vec<Piece> = pieces(&answer, rows_max).collect();
            let mut seen = vec![0; 2];
            for (at, piece) in pieces.iter().enumerate() {
                assert_eq!(piece.rows.start, seen[piece.series], "in order and without gaps");
                assert!(piece.rows.len() <= rows_max);
                seen[piece.series] = piece.rows.end;
                let last_of = (at + 1 == pieces.len()).then_some(&answer);
                let (table, clock) = (three_rows(), Clock::new(Epoch::Every(1), None));
                let got = text(|out| {
                    let (rows, more) = (piece.rows.clone(), piece.more_rows);
                    let count = rows.len();
                    begin_piece(out, 0, &table, rows, &clock)?;
                    end_piece(&mut out.bytes, 0, count, more, last_of);
                    Ok(())
                });
                assert_eq!(got.contains("]],\"partial\":true}]"), piece.rows.end < 3, "{got}");
                assert_eq!(got.ends_with("}],\"partial\":true}"), last_of.is_none(), "{got}");
            }
            assert_eq!(seen, [3, 3]);
        }
        assert_eq!(pieces(&answer(0, Vec::new()), 10).count(), 0);
        let empty = Series {
            columns: vec![column("name", Values::Strings(vec![].into()))],
            ..Series::default()
        };
        assert_eq!(pieces(&answer(0, vec![empty.clone(), empty]), 10).count(), 2);
    }
}
