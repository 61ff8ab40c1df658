//! One body of the answers of a request, written table by table as they come, so that a part of it can be taken away
//! and sent before the rest is there.
//!
//! Not here: how an answer looks (`results`, `csv`, `lines`, `protobuf`), and where the parts go.

use tsdb_exec::{Result, Slice};

use super::output::Output;
use super::parts::{Part, parts};
use super::results::{self, Answer, Epoch};
use super::{csv, lines, msgpack, protobuf};

/// How answers are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// One document of JSON, as InfluxDB gives it.
    Json(Epoch),
    /// The same tree as MessagePack, of which nothing can be taken away before its end.
    MessagePack(Epoch),
    /// A table for each run of series with the same columns; times are numbers of so many ns.
    Csv(i64),
    /// A JSON object a row; times are numbers of so many ns.
    Lines(i64),
    /// Messages `QueryResponse`, each behind its length as a varint.
    Protobuf,
}

/// A body in the making. Each statement has any number of slices, then its end.
#[derive(Debug)]
pub struct Document {
    out: Output,
    writer: Writer,
    /// Whether something of it was taken away.
    was_taken: bool,
    open: Option<Open>,
}

/// The answer of a statement of which there are slices.
#[derive(Debug)]
struct Open {
    /// Where it begins, while all of it is here.
    begin: Option<usize>,
}

/// A form, and what it knows of the answer that is open.
#[derive(Debug)]
enum Writer {
    Json(results::Tables),
    MessagePack(msgpack::Tables),
    Csv(csv::Tables),
    Lines(i64),
    Protobuf,
}

impl Document {
    /// A body without answers.
    pub fn new(mut out: Output, form: Form) -> Document {
        let writer = match form {
            Form::Json(epoch) => {
                results::begin_document(&mut out.bytes);
                Writer::Json(results::Tables::new(epoch))
            }
            Form::MessagePack(epoch) => {
                Writer::MessagePack(msgpack::Tables::new(&mut out.bytes, epoch))
            }
            Form::Csv(unit_ns) => Writer::Csv(csv::Tables::new(unit_ns)),
            Form::Lines(unit_ns) => Writer::Lines(unit_ns),
            Form::Protobuf => Writer::Protobuf,
        };
        Document { out, writer, was_taken: false, open: None }
    }

    /// Bytes that are here, of those that are not taken away.
    pub fn pending_bytes(&self) -> usize {
        self.out.bytes.len()
    }

    /// Appends a part of the answer of a statement.
    ///
    /// # Errors
    /// See [`Output::room`]: the statement has to end then.
    pub fn part(&mut self, statement: usize, part: &Part<'_>) -> Result<()> {
        if self.open.is_none() {
            self.open = Some(Open { begin: Some(self.out.bytes.len()) });
            self.begin_answer(statement);
        }
        let out = &mut self.out;
        out.room()?;
        match &mut self.writer {
            Writer::Json(tables) => tables.push(out, part),
            Writer::MessagePack(tables) => tables.push(out, part),
            Writer::Csv(tables) => tables.push(out, part),
            Writer::Lines(unit_ns) => lines::push_part(out, part, *unit_ns),
            Writer::Protobuf => protobuf::push_part(out, statement, part),
        }
    }

    /// Appends the tables of an answer, of which there may be slices, and ends it.
    ///
    /// # Errors
    /// There was no room for them, or nobody wants them any more: the error stands in their place.
    pub fn end(&mut self, answer: &Answer) -> Result<()> {
        let tables = answer.outcome.iter().flat_map(|result| result.slices());
        let written =
            tables.flat_map(whole_parts).try_for_each(|part| self.part(answer.statement, &part));
        match &written {
            Ok(()) => self.close(answer),
            Err(error) => self.close(&failed(answer, error)),
        }
        written
    }

    /// Ends an answer. An error stands alone if all of the answer is still here, else behind the rows that were sent.
    /// It is short, and there is always room for it.
    fn close(&mut self, answer: &Answer) {
        let open = self.open.take();
        let is_open = open.is_some();
        let begin = open.and_then(|open| open.begin).filter(|_| answer.outcome.is_err());
        if let Some(begin) = begin {
            self.out.roll_back(begin);
        }
        if begin.is_some() || !is_open {
            self.begin_answer(answer.statement);
        }
        let out = &mut self.out.bytes;
        match &mut self.writer {
            Writer::Json(tables) => tables.end(out, answer),
            Writer::MessagePack(tables) => tables.end(out, answer),
            Writer::Csv(tables) => tables.end(out, answer),
            Writer::Lines(_) => {
                if let Err(error) = &answer.outcome {
                    lines::push_error(out, error);
                }
            }
            Writer::Protobuf => protobuf::push_end(out, answer),
        }
    }

    /// Writes what stands in front of an answer.
    fn begin_answer(&mut self, statement: usize) {
        let out = &mut self.out.bytes;
        match &mut self.writer {
            Writer::Json(tables) => {
                if statement > 0 {
                    out.push(b',');
                }
                tables.begin(out, statement);
            }
            Writer::MessagePack(tables) => tables.begin(out, statement),
            Writer::Csv(tables) => {
                // An empty line tells the tables of two statements apart.
                if self.was_taken || !out.is_empty() {
                    out.push(b'\n');
                }
                tables.begin();
            }
            Writer::Lines(_) | Writer::Protobuf => {}
        }
    }

    /// Takes away what there is, and goes on in `next`.
    pub fn take(&mut self, next: Output) -> Output {
        if let Some(open) = &mut self.open {
            open.begin = None;
        }
        self.was_taken |= !self.out.bytes.is_empty();
        std::mem::replace(&mut self.out, next)
    }

    /// The rest of the body, with its end.
    pub fn finish(mut self) -> Output {
        if matches!(self.writer, Writer::Json(_)) {
            results::end_document(&mut self.out.bytes);
        }
        self.out
    }
}

/// The parts of a table that is written at once.
fn whole_parts(slice: Slice<'_>) -> impl Iterator<Item = Part<'_>> {
    parts(slice, protobuf::ROWS_MAX)
}

fn failed(answer: &Answer, error: &tsdb_exec::Error) -> Answer {
    let outcome = Err(error.to_string());
    Answer { statement: answer.statement, outcome, messages: Vec::new() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grpc::proto::QueryResponse;
    use crate::grpc::proto::query_response::Outcome;
    use crate::grpc::proto::result_column::Values as Wire;
    use proptest::prelude::*;
    use prost::Message as _;
    use tsdb_core::{CancelToken, MemoryBudget};
    use tsdb_exec::{Message, QueryMemory, ResultColumn, Series, StatementResult, Values};

    fn output() -> Output {
        let memory = QueryMemory::new(&MemoryBudget::default(), None);
        Output::new(&memory, &CancelToken::new())
    }

    fn table(name: &str, rows: std::ops::Range<i64>) -> Series {
        let texts: Vec<_> =
            rows.clone().map(|n| (n % 3 > 0).then(|| n.to_string().into())).collect();
        let column = ResultColumn { name: "t".into(), values: Values::Strings(texts.into()) };
        Series {
            name: Some(name.into()),
            times: Some(rows.collect()),
            columns: vec![column],
            ..Series::default()
        }
    }

    fn answer(statement: usize, series: Vec<Series>) -> Answer {
        let mut result = StatementResult::default();
        result.series = series;
        result.messages.push(Message { level: "warning", text: "old".to_owned() });
        Answer { statement, outcome: Ok(result), messages: Vec::new() }
    }

    fn failure(statement: usize) -> Answer {
        Answer { statement, outcome: Err("ended".to_owned()), messages: Vec::new() }
    }

    const FORMS: [Form; 5] = [
        Form::Json(Epoch::Rfc3339),
        Form::Json(Epoch::Every(1)),
        Form::Csv(1),
        Form::Lines(1),
        Form::Protobuf,
    ];

    /// The messages of a body without what says where they were cut: each row by itself, and each end.
    fn rows_of_messages(mut bytes: &[u8]) -> Vec<String> {
        let mut rows = Vec::new();
        let mut open = 0;
        while !bytes.is_empty() {
            let message = QueryResponse::decode_length_delimited(&mut bytes).unwrap();
            let Some(Outcome::Series(part)) = message.outcome else {
                rows.push(format!("{message:?}"));
                continue;
            };
            let Some(Wire::Times(times)) = &part.columns[0].values else { panic!("{part:?}") };
            let Some(Wire::Texts(texts)) = &part.columns[1].values else { panic!("{part:?}") };
            let (values, name) = (times.values.iter().zip(&texts.values), &part.name);
            rows.extend(values.map(|(time, text)| format!("{name} {open} {time} {text}")));
            open += usize::from(!part.more_rows);
        }
        rows
    }

    proptest! {
        /// However it is cut into slices and parts, the body is that of whole answers.
        #[test]
        fn slices_and_parts_make_the_same_body(
            statements in prop::collection::vec(prop::collection::vec(1i64..9, 0..4), 1..4),
            rows_max in 1usize..5,
            takes in prop::collection::vec(any::<bool>(), 1..9),
            form in prop::sample::select(&FORMS),
        ) {
            let names = ["a", "b", "c", "d"];
            let mut whole = Document::new(output(), form);
            for (at, tables) in statements.iter().enumerate() {
                let all = tables.iter().zip(names).map(|(rows, name)| table(name, 0..*rows));
                whole.end(&answer(at, all.collect())).unwrap();
            }
            let whole = whole.finish().bytes;
            let (mut document, mut got) = (Document::new(output(), form), Vec::new());
            let mut takes = takes.into_iter().cycle();
            let mut take = |document: &mut Document, got: &mut Vec<u8>| {
                if takes.next().unwrap() {
                    got.extend_from_slice(&document.take(output()).bytes);
                }
            };
            for (at, tables) in statements.iter().enumerate() {
                for (rows, name) in tables.iter().zip(names) {
                    let table = table(name, 0..*rows);
                    for part in parts(Slice::whole(&table, None), rows_max) {
                        document.part(at, &part).unwrap();
                        take(&mut document, &mut got);
                    }
                }
                document.end(&answer(at, Vec::new())).unwrap();
                take(&mut document, &mut got);
            }
            got.extend_from_slice(&document.finish().bytes);
            if form == Form::Protobuf {
                prop_assert_eq!(rows_of_messages(&got), rows_of_messages(&whole));
            } else {
                prop_assert_eq!(String::from_utf8(got).unwrap(), String::from_utf8(whole).unwrap());
            }
        }
    }

    fn text(bytes: &[u8]) -> &str {
        std::str::from_utf8(bytes).unwrap()
    }

    /// A row and an error, with whether the row was taken away before, and another error behind.
    fn failing(form: Form, is_taken: bool) -> Vec<u8> {
        let one = table("m", 1..2);
        let mut document = Document::new(output(), form);
        let mut got = Vec::new();
        let rows = parts(Slice::whole(&one, None), 9).next().unwrap();
        document.part(0, &rows).unwrap();
        if is_taken {
            got = document.take(output()).bytes.clone();
        }
        document.end(&failure(0)).unwrap();
        document.end(&failure(1)).unwrap();
        got.extend_from_slice(&document.finish().bytes);
        got
    }

    #[test]
    fn an_error_stands_alone_while_nothing_was_sent_and_behind_the_rows_else() {
        for (form, alone, behind) in [
            (
                Form::Json(Epoch::Every(1)),
                "{\"results\":[{\"statement_id\":0,\"error\":\"ended\"},\
                 {\"statement_id\":1,\"error\":\"ended\"}]}\n",
                "{\"results\":[{\"statement_id\":0,\"series\":[{\"name\":\"m\",\"columns\":[\"time\",\"t\"],\
                 \"values\":[[1,\"1\"]]}],\"error\":\"ended\"},{\"statement_id\":1,\"error\":\"ended\"}]}\n",
            ),
            (
                Form::Csv(1),
                "error\nended\n\nerror\nended\n",
                "name,tags,time,t\nm,,1,1\n\nerror\nended\n\nerror\nended\n",
            ),
            (
                Form::Lines(1),
                "{\"error\":\"ended\"}\n{\"error\":\"ended\"}\n",
                "{\"name\":\"m\",\"time\":1,\"t\":\"1\"}\n{\"error\":\"ended\"}\n{\"error\":\"ended\"}\n",
            ),
        ] {
            assert_eq!(text(&failing(form, false)), alone);
            assert_eq!(text(&failing(form, true)), behind);
        }
        let ends = |is_taken| rows_of_messages(&failing(Form::Protobuf, is_taken));
        assert_eq!((ends(false).len(), ends(true).len()), (2, 3));
        assert_eq!(ends(true)[0], "m 0 1 1");
    }

    #[test]
    fn an_answer_without_room_is_an_error_in_its_place() {
        let budget = MemoryBudget::with_limits([0, 0, 0, 40_000, 0]);
        let cancel = CancelToken::new();
        let out = || Output::new(&QueryMemory::new(&budget, None), &cancel);
        let long = table("m", 0..10_000);
        let forms = FORMS.iter().chain(&[Form::MessagePack(Epoch::Every(1))]);
        for (form, is_in_slices) in forms.flat_map(|form| [(*form, true), (*form, false)]) {
            let mut document = Document::new(out(), form);
            let error = if is_in_slices {
                let all = parts(Slice::whole(&long, None), 10_000).next().unwrap();
                let error = document.part(0, &all).unwrap_err();
                document.end(&failure(0)).unwrap();
                error
            } else {
                document.end(&answer(0, vec![long.clone()])).unwrap_err()
            };
            assert_eq!(error.kind(), tsdb_core::ErrorKind::LimitExceeded);
            let made = document.finish().bytes;
            let is_error = match form {
                Form::Json(_) => {
                    made.starts_with(b"{\"results\":[{\"statement_id\":0,\"error\":\"")
                }
                Form::MessagePack(_) => made.windows(6).any(|part| part == b"\xa5error"),
                Form::Csv(_) => made.starts_with(b"error\n"),
                Form::Lines(_) => made.starts_with(b"{\"error\":\""),
                Form::Protobuf => rows_of_messages(&made).len() == 1,
            };
            assert!(is_error, "{form:?}: {}", String::from_utf8_lossy(&made));
        }
    }
}
