//! Answers of statements as InfluxDB's JSON: one document for all of them, or pieces of so many rows.
//!
//! Not here: pretty layout (`json::indent`), sending, and what a statement does.

use jiff::tz::{Offset, TimeZone};
use tsdb_exec::{Message, Result, Series, StatementResult, Validity, Values};

use super::json::{push_list, push_string};
use super::number::{push_f64, push_i64, push_rfc3339};
use super::output::Output;
use super::parts::Part;

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

/// Begins a document; answers follow with commas between them, then [`end_document`].
pub fn begin_document(out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"results\":[");
}

/// Ends a document.
pub fn end_document(out: &mut Vec<u8>) {
    out.extend_from_slice(b"]}\n");
}

/// Appends an answer without tables: what failed, or had nothing to answer. It is short, and there is always room for
/// it.
pub fn push_bare(out: &mut Vec<u8>, answer: &Answer) {
    begin_answer(out, answer.statement);
    end_answer(out, answer, false);
}

/// Writes the tables of one answer after the other.
#[derive(Debug)]
pub(super) struct Tables {
    epoch: Epoch,
    /// Writes the times of the answer that is open, once it has a table.
    clock: Option<Clock>,
    /// Rows of the table that is open.
    rows: usize,
}

impl Tables {
    pub(super) fn new(epoch: Epoch) -> Tables {
        Tables { epoch, clock: None, rows: 0 }
    }

    /// Begins an answer.
    pub(super) fn begin(&mut self, out: &mut Vec<u8>, statement: usize) {
        self.clock = None;
        begin_answer(out, statement);
    }

    /// Appends a part of the answer.
    ///
    /// # Errors
    /// See [`Output::room`]; some rows of the part stand there then.
    pub(super) fn push(&mut self, out: &mut Output, part: &Part<'_>) -> Result<()> {
        let is_first = self.clock.is_none();
        let clock = self.clock.get_or_insert_with(|| Clock::new(self.epoch, part.time_zone));
        if is_first {
            out.bytes.extend_from_slice(b",\"series\":[");
        }
        if is_first || !part.continues {
            if !is_first {
                end_table(&mut out.bytes, self.rows);
                out.bytes.push(b',');
            }
            push_head(&mut out.bytes, part.table);
            self.rows = 0;
        }
        push_rows(out, part, clock, &mut self.rows)
    }

    /// Ends an answer.
    pub(super) fn end(&mut self, out: &mut Vec<u8>, answer: &Answer) {
        if self.clock.take().is_some() {
            end_table(out, self.rows);
            out.push(b']');
        }
        end_answer(out, answer, false);
    }
}

/// Appends a part of a table as an answer of its own, as far as it can be written before it is known what follows:
/// [`end_piece`] ends it.
///
/// # Errors
/// See [`Output::room`]; some rows of the part stand there then.
pub(crate) fn begin_piece(
    out: &mut Output,
    statement: usize,
    part: &Part<'_>,
    clock: &Clock,
) -> Result<()> {
    begin_answer(&mut out.bytes, statement);
    out.bytes.extend_from_slice(b",\"series\":[");
    out.room()?;
    push_head(&mut out.bytes, part.table);
    push_rows(out, part, clock, &mut 0)
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

fn begin_answer(out: &mut Vec<u8>, statement: usize) {
    out.extend_from_slice(b"{\"statement_id\":");
    push_count(out, statement);
}

fn end_answer(out: &mut Vec<u8>, answer: &Answer, partial: bool) {
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

/// Appends the rows of a part behind `rows` others of its table, which are counted on.
fn push_rows(out: &mut Output, part: &Part<'_>, clock: &Clock, rows: &mut usize) -> Result<()> {
    let (begin, count) = (out.bytes.len(), part.rows.len());
    for (number, row) in part.rows.clone().enumerate() {
        if number == ROWS_MEASURED {
            // Those that come are about as long as those that came.
            let bytes = (out.bytes.len() - begin) / ROWS_MEASURED;
            out.expect((count - number).saturating_mul(bytes + bytes / 32 + 1));
        }
        out.room()?;
        push_row(&mut out.bytes, part.table, row, *rows, clock);
        *rows += 1;
    }
    Ok(())
}

/// Ends a table with so many rows.
fn end_table(out: &mut Vec<u8>, rows: usize) {
    end_rows(out, rows);
    out.push(b'}');
}

fn end_rows(out: &mut Vec<u8>, rows: usize) {
    if rows > 0 {
        out.push(b']');
    }
}

/// Begins the object of a table: all but its rows.
fn push_head(out: &mut Vec<u8>, series: &Series) {
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
fn push_row(out: &mut Vec<u8>, series: &Series, row: usize, before: usize, clock: &Clock) {
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
    use crate::encode::parts::parts;
    use tsdb_exec::{ResultColumn, Slice};

    fn push_answer(out: &mut Output, answer: &Answer, epoch: Epoch) -> Result<()> {
        let mut tables = Tables::new(epoch);
        tables.begin(&mut out.bytes, answer.statement);
        for slice in answer.outcome.iter().flat_map(StatementResult::slices) {
            parts(slice, 2).try_for_each(|part| tables.push(out, &part))?;
        }
        tables.end(&mut out.bytes, answer);
        Ok(())
    }

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
    fn pieces_say_what_follows_them() {
        let (table, answer) = (three_rows(), answer(0, Vec::new()));
        let clock = Clock::new(Epoch::Every(1), None);
        for rows_max in 1..5 {
            let parts: Vec<Part<'_>> = parts(Slice::whole(&table, None), rows_max).collect();
            for (at, part) in parts.iter().enumerate() {
                let last_of = (at + 1 == parts.len()).then_some(&answer);
                let got = text(|out| {
                    begin_piece(out, 0, part, &clock)?;
                    end_piece(&mut out.bytes, 0, part.rows.len(), part.goes_on, last_of);
                    Ok(())
                });
                assert_eq!(got.contains("]],\"partial\":true}]"), part.rows.end < 3, "{got}");
                assert_eq!(got.ends_with("}],\"partial\":true}"), last_of.is_none(), "{got}");
                let first = [0, 1_500_000_000, -1][part.rows.start];
                assert!(got.contains(&format!("\"values\":[[{first},")), "{got}");
            }
        }
    }
}
