//! Answers of statements as MessagePack, as InfluxDB gives them: the tree of its JSON, with times that have no unit as
//! the extension 5 of its libraries (seconds and ns since 1970, 8 and 4 bytes, the greatest first).
//!
//! An array says in front how long it is. Room for that is left and filled in as rows come, so nothing of a document may
//! be taken away before its end.
//!
//! The format: <https://github.com/msgpack/msgpack/blob/master/spec.md>.

use tsdb_exec::{Message, Result, Series, Values};

use super::output::Output;
use super::parts::Part;
use super::results::{Answer, Epoch};

const NANOS_PER_SECOND: i64 = 1_000_000_000;

/// An array that is being filled: where its length stands, and how long it is.
#[derive(Debug, Clone, Copy, Default)]
struct Array {
    at: usize,
    length: u32,
}

impl Array {
    fn begin(out: &mut Vec<u8>) -> Array {
        out.push(0xdd);
        let at = out.len();
        out.extend_from_slice(&[0; 4]);
        Array { at, length: 0 }
    }

    /// Says that one more element stands there, or will.
    fn grow(&mut self, out: &mut [u8]) {
        self.set(out, self.length.saturating_add(1));
    }

    fn set(&mut self, out: &mut [u8], length: u32) {
        self.length = length;
        if let Some(place) = out.get_mut(self.at..self.at + 4) {
            place.copy_from_slice(&length.to_be_bytes());
        }
    }
}

/// Writes the answers of a document one after the other.
#[derive(Debug)]
pub(super) struct Tables {
    epoch: Epoch,
    results: Array,
    /// Where the answer begins that is open.
    answer: usize,
    series: Array,
    rows: Array,
}

impl Tables {
    /// Begins a document.
    pub(super) fn new(out: &mut Vec<u8>, epoch: Epoch) -> Tables {
        push_map(out, 1);
        push_text(out, "results");
        let results = Array::begin(out);
        let (series, rows) = (Array::default(), Array::default());
        Tables { epoch, results, answer: 0, series, rows }
    }

    /// Begins the answer of a statement, all before it being there.
    pub(super) fn begin(&mut self, out: &mut Vec<u8>, statement: usize) {
        self.results.set(out, u32::try_from(statement).unwrap_or(u32::MAX).saturating_add(1));
        self.answer = out.len();
        push_map(out, 2);
        push_text(out, "statement_id");
        push_integer(out, i64::try_from(statement).unwrap_or(i64::MAX));
        push_text(out, "series");
        self.series = Array::begin(out);
    }

    /// Appends a part of the answer.
    ///
    /// # Errors
    /// See [`Output::room`]; some rows of the part stand there then.
    pub(super) fn push(&mut self, out: &mut Output, part: &Part<'_>) -> Result<()> {
        if !part.continues {
            self.series.grow(&mut out.bytes);
            push_head(&mut out.bytes, part.table);
            self.rows = Array::begin(&mut out.bytes);
        }
        for row in part.rows.clone() {
            out.room()?;
            self.rows.grow(&mut out.bytes);
            push_row(&mut out.bytes, part.table, row, self.epoch);
        }
        Ok(())
    }

    /// Ends an answer. An error stands alone.
    pub(super) fn end(&mut self, out: &mut Vec<u8>, answer: &Answer) {
        let result = match &answer.outcome {
            Ok(result) => result,
            Err(error) => {
                out.truncate(self.answer);
                push_map(out, 2);
                push_text(out, "statement_id");
                push_integer(out, i64::try_from(answer.statement).unwrap_or(i64::MAX));
                push_text(out, "error");
                push_text(out, error);
                return;
            }
        };
        let messages: Vec<&Message> = answer.messages.iter().chain(&result.messages).collect();
        if messages.is_empty() {
            return;
        }
        if let Some(map) = out.get_mut(self.answer) {
            *map += 1;
        }
        push_text(out, "messages");
        push_array(out, messages.len());
        for message in messages {
            push_map(out, 2);
            push_text(out, "level");
            push_text(out, message.level);
            push_text(out, "text");
            push_text(out, &message.text);
        }
    }
}

/// A table up to its rows.
fn push_head(out: &mut Vec<u8>, table: &Series) {
    push_map(out, 2 + u8::from(table.name.is_some()) + u8::from(!table.tags.is_empty()));
    if let Some(name) = &table.name {
        push_text(out, "name");
        push_text(out, name);
    }
    if !table.tags.is_empty() {
        push_text(out, "tags");
        push_length(out, table.tags.len(), 0x80, 0xde);
        for (key, value) in &table.tags {
            push_text(out, key);
            push_text(out, value);
        }
    }
    push_text(out, "columns");
    push_array(out, width(table));
    if table.times.is_some() {
        push_text(out, "time");
    }
    table.columns.iter().for_each(|column| push_text(out, &column.name));
    push_text(out, "values");
}

fn width(table: &Series) -> usize {
    table.columns.len() + usize::from(table.times.is_some())
}

fn push_row(out: &mut Vec<u8>, table: &Series, row: usize, epoch: Epoch) {
    push_array(out, width(table));
    if let Some(time) = table.times.as_ref().and_then(|times| times.get(row)) {
        match epoch {
            Epoch::Every(unit_ns) => push_integer(out, time.div_euclid(unit_ns.max(1))),
            Epoch::Rfc3339 => push_time(out, *time),
        }
    }
    for column in &table.columns {
        push_value(out, &column.values, row);
    }
}

fn push_value(out: &mut Vec<u8>, values: &Values, row: usize) {
    match values {
        Values::Floats(values, valid) => match values.get(row).filter(|_| valid.get(row)) {
            Some(value) => {
                out.push(0xcb);
                out.extend_from_slice(&value.to_be_bytes());
            }
            None => out.push(0xc0),
        },
        Values::Integers(values, valid) => match values.get(row).filter(|_| valid.get(row)) {
            Some(value) => push_integer(out, *value),
            None => out.push(0xc0),
        },
        Values::Booleans(values) => out.push(match values.get(row) {
            Some(true) => 0xc3,
            Some(false) => 0xc2,
            None => 0xc0,
        }),
        Values::Strings(values) => match values.get(row) {
            Some(text) => push_text(out, text),
            None => out.push(0xc0),
        },
    }
}

/// A time as extension 5 of 12 bytes.
fn push_time(out: &mut Vec<u8>, ns: i64) {
    out.extend_from_slice(&[0xc7, 12, 5]);
    out.extend_from_slice(&ns.div_euclid(NANOS_PER_SECOND).to_be_bytes());
    let rest = u32::try_from(ns.rem_euclid(NANOS_PER_SECOND)).unwrap_or(0);
    out.extend_from_slice(&rest.to_be_bytes());
}

/// An integer in the fewest bytes that hold it with its sign.
fn push_integer(out: &mut Vec<u8>, value: i64) {
    if let Ok(small) = i8::try_from(value) {
        if small < -32 {
            out.push(0xd0);
        }
        out.extend_from_slice(&small.to_be_bytes());
    } else if let Ok(short) = i16::try_from(value) {
        out.push(0xd1);
        out.extend_from_slice(&short.to_be_bytes());
    } else if let Ok(middle) = i32::try_from(value) {
        out.push(0xd2);
        out.extend_from_slice(&middle.to_be_bytes());
    } else {
        out.push(0xd3);
        out.extend_from_slice(&value.to_be_bytes());
    }
}

fn push_text(out: &mut Vec<u8>, text: &str) {
    match (u8::try_from(text.len()), u16::try_from(text.len())) {
        (Ok(short @ 0..32), _) => out.push(0xa0 | short),
        (Ok(length), _) => out.extend_from_slice(&[0xd9, length]),
        (_, Ok(length)) => {
            out.push(0xda);
            out.extend_from_slice(&length.to_be_bytes());
        }
        _ => {
            out.push(0xdb);
            out.extend_from_slice(&u32::try_from(text.len()).unwrap_or(u32::MAX).to_be_bytes());
        }
    }
    out.extend_from_slice(text.as_bytes());
}

/// The head of a map of less than 16 pairs.
fn push_map(out: &mut Vec<u8>, pairs: u8) {
    out.push(0x80 | pairs & 15);
}

fn push_array(out: &mut Vec<u8>, length: usize) {
    push_length(out, length, 0x90, 0xdc);
}

/// The head of an array or a map: `small` with the length in its last four bits, or `large` and 16 bits, or the byte
/// behind `large` and 32.
fn push_length(out: &mut Vec<u8>, length: usize, small: u8, large: u8) {
    match (u8::try_from(length), u16::try_from(length)) {
        (Ok(short @ 0..16), _) => out.push(small | short),
        (_, Ok(length)) => {
            out.push(large);
            out.extend_from_slice(&length.to_be_bytes());
        }
        _ => {
            out.push(large + 1);
            out.extend_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encode::document::{Document, Form};
    use crate::encode::output::Output;
    use crate::encode::parts::parts;
    use rmpv::Value;
    use tsdb_core::{CancelToken, MemoryBudget};
    use tsdb_exec::{QueryMemory, ResultColumn, Slice, StatementResult, Validity};

    fn document(epoch: Epoch) -> Document {
        let memory = QueryMemory::new(&MemoryBudget::default(), None);
        Document::new(Output::new(&memory, &CancelToken::new()), Form::MessagePack(epoch))
    }

    fn read(document: Document) -> Value {
        let bytes = document.finish().bytes.clone();
        let mut rest = &bytes[..];
        let value = rmpv::decode::read_value(&mut rest).unwrap();
        assert!(rest.is_empty(), "{} bytes behind the end", rest.len());
        value
    }

    fn table(rows: i64) -> Series {
        let present = |row: i64| row % 3 > 0;
        let mut valid = Validity::default();
        (0..rows).for_each(|row| valid.push(present(row)));
        let column = |name: &str, values| ResultColumn { name: name.into(), values };
        let floats = (0..rows).map(|row| row as f64 / 4.0).collect();
        let integers = (0..rows).map(|row| (row - 9) * 1_000_003 * (row - 9)).collect();
        let texts: Vec<_> = (0..rows)
            .map(|row| present(row).then(|| "é".repeat(usize::try_from(row).unwrap()).into()))
            .collect();
        Series {
            name: Some("cpu".into()),
            tags: vec![("host".into(), "a".repeat(300).into())],
            times: Some((0..rows).map(|row| (row - 2) * 1_500_000_001).collect()),
            columns: vec![
                column("f", Values::Floats(floats, valid.clone())),
                column("i", Values::Integers(integers, valid)),
                column("b", Values::Booleans((0..rows).map(present).collect())),
                column("s", Values::Strings(texts.into())),
            ],
        }
    }

    /// The cells of a table as a reader of the format should see them.
    fn expected(table: &Series, row: usize, time: Value) -> Value {
        let cells = table.columns.iter().map(|column| match &column.values {
            Values::Floats(values, valid) if valid.get(row) => values[row].into(),
            Values::Integers(values, valid) if valid.get(row) => values[row].into(),
            Values::Booleans(values) => values[row].into(),
            Values::Strings(values) => {
                values.get(row).map_or(Value::Nil, |text| Value::from(&**text))
            }
            _ => Value::Nil,
        });
        Value::Array(std::iter::once(time).chain(cells).collect())
    }

    #[test]
    fn a_reader_of_the_format_finds_what_was_written_however_it_was_cut() {
        for rows in [0, 1, 15, 16, 200] {
            for rows_max in [1, 7, 1000] {
                let table = table(rows);
                let mut document = document(Epoch::Rfc3339);
                for statement in 0..2 {
                    for part in parts(Slice::whole(&table, None), rows_max) {
                        document.part(statement, &part).unwrap();
                    }
                    let outcome = Ok(StatementResult::default());
                    document.end(&Answer { statement, outcome, messages: Vec::new() }).unwrap();
                }
                let read = read(document);
                let results = read["results"].as_array().unwrap();
                assert_eq!(results.len(), 2);
                assert_eq!(results[1]["statement_id"], 1.into());
                let series = results[1]["series"].as_array().unwrap();
                assert_eq!(series.len(), 1);
                assert_eq!(series[0]["name"], "cpu".into());
                assert_eq!(series[0]["tags"]["host"], "a".repeat(300).into());
                let columns = ["time", "f", "i", "b", "s"].map(Value::from).to_vec();
                assert_eq!(series[0]["columns"], Value::Array(columns));
                let values = series[0]["values"].as_array().unwrap();
                assert_eq!(values.len() as i64, rows);
                for (row, value) in values.iter().enumerate() {
                    let ns = table.times.as_ref().unwrap()[row];
                    let mut time = ns.div_euclid(1_000_000_000).to_be_bytes().to_vec();
                    time.extend_from_slice(
                        &u32::try_from(ns.rem_euclid(1_000_000_000)).unwrap().to_be_bytes(),
                    );
                    assert_eq!(*value, expected(&table, row, Value::Ext(5, time)), "{row}");
                }
            }
        }
    }

    #[test]
    fn times_have_units_and_errors_and_remarks_their_places() {
        let table = table(3);
        let mut document = document(Epoch::Every(1_000_000_000));
        let message = Message { level: "warning", text: "old".to_owned() };
        let mut result = StatementResult::default();
        result.series = vec![table.clone(), table.clone()];
        let messages = vec![message];
        document.end(&Answer { statement: 0, outcome: Ok(result), messages }).unwrap();
        // An error takes the place of what was there of its answer.
        document.part(1, &parts(Slice::whole(&table, None), 9).next().unwrap()).unwrap();
        let failed = |statement| Answer {
            statement,
            outcome: Err("ended".to_owned()),
            messages: Vec::new(),
        };
        document.end(&failed(1)).unwrap();
        document.end(&failed(2)).unwrap();
        let read = read(document);
        let results = read["results"].as_array().unwrap();
        assert_eq!(results.len(), 3);
        assert_eq!(results[0]["messages"][0]["text"], "old".into());
        assert_eq!(results[0]["series"].as_array().unwrap().len(), 2);
        let second = &results[0]["series"][1]["values"];
        assert_eq!((&second[0][0], &second[1][0]), (&Value::from(-4), &Value::from(-2)));
        for (at, result) in results.iter().enumerate().skip(1) {
            assert_eq!(result["error"], "ended".into());
            assert_eq!(result["statement_id"], at.into());
            assert_eq!(result.as_map().unwrap().len(), 2);
        }
    }

    #[test]
    fn integers_and_texts_take_the_fewest_bytes() {
        let edges = [0, 127, 128, 32_767, 32_768, 2_147_483_647, 2_147_483_648, i64::MAX];
        let below = [-1, -32, -33, -128, -129, -32_768, -32_769, -2_147_483_649, i64::MIN];
        for (value, bytes) in edges.iter().zip([1, 1, 3, 3, 5, 5, 9, 9]) {
            let mut out = Vec::new();
            push_integer(&mut out, *value);
            assert_eq!(out.len(), bytes, "{value}");
            assert_eq!(rmpv::decode::read_value(&mut &out[..]).unwrap().as_i64(), Some(*value));
        }
        for (value, bytes) in below.iter().zip([1, 1, 2, 2, 3, 3, 5, 9, 9]) {
            let mut out = Vec::new();
            push_integer(&mut out, *value);
            assert_eq!(out.len(), bytes, "{value}");
            assert_eq!(rmpv::decode::read_value(&mut &out[..]).unwrap().as_i64(), Some(*value));
        }
        for (length, head) in
            [(0, 1), (31, 1), (32, 2), (255, 2), (256, 3), (65_535, 3), (65_536, 5)]
        {
            let (mut out, text) = (Vec::new(), "x".repeat(length));
            push_text(&mut out, &text);
            assert_eq!(out.len(), head + length);
            assert_eq!(rmpv::decode::read_value(&mut &out[..]).unwrap().as_str(), Some(&*text));
        }
    }
}
