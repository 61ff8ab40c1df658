//! One JSON document of the answers of a request, written table by table as they come, so that a part of it can be
//! taken away and sent before the rest is there.
//!
//! Not here: how an answer looks (`results`), and where the parts go.

use tsdb_exec::{Result, Slice};

use super::output::Output;
use super::results::{self, Answer, Clock, Epoch};

/// A document in the making. Each statement has any number of slices, then its end.
#[derive(Debug)]
pub struct Document {
    out: Output,
    epoch: Epoch,
    open: Option<Open>,
}

/// The answer of a statement of which there are slices.
#[derive(Debug)]
struct Open {
    /// Where it begins, while all of it is here.
    begin: Option<usize>,
    clock: Clock,
    /// Whether a table is open, and rows in it.
    table: Option<usize>,
}

impl Document {
    /// A document without answers.
    pub fn new(mut out: Output, epoch: Epoch) -> Document {
        results::begin_document(&mut out.bytes);
        Document { out, epoch, open: None }
    }

    /// Bytes that are here, of those that are not taken away.
    pub fn pending_bytes(&self) -> usize {
        self.out.bytes.len()
    }

    /// Appends a slice of the answer of a statement.
    ///
    /// # Errors
    /// See [`Output::room`]: the statement has to end then.
    pub fn slice(&mut self, statement: usize, slice: Slice<'_>) -> Result<()> {
        let begin = self.out.bytes.len();
        let open = match &mut self.open {
            Some(open) => open,
            None => {
                begin_answer(&mut self.out, statement);
                self.out.bytes.extend_from_slice(b",\"series\":[");
                self.open.insert(Open {
                    begin: Some(begin),
                    clock: Clock::new(self.epoch, slice.time_zone),
                    table: None,
                })
            }
        };
        self.out.room()?;
        let rows_before = match open.table.filter(|_| slice.continues) {
            Some(rows) => rows,
            None => {
                if let Some(rows) = open.table.take() {
                    results::end_table(&mut self.out.bytes, rows);
                    self.out.bytes.push(b',');
                }
                results::push_head(&mut self.out.bytes, slice.table);
                0
            }
        };
        let rows = slice.table.rows();
        open.table = Some(rows_before);
        for row in 0..rows {
            self.out.room()?;
            results::push_row(
                &mut self.out.bytes,
                slice.table,
                row,
                rows_before + row,
                &open.clock,
            );
            open.table = Some(rows_before + row + 1);
        }
        Ok(())
    }

    /// Ends the answer of a statement, of which there may be slices.
    ///
    /// # Errors
    /// There was no room for the answer, or nobody wants it any more: the error stands in its place.
    pub fn end(&mut self, answer: &Answer) -> Result<()> {
        if self.open.is_some()
            && let Ok(result) = &answer.outcome
        {
            let time_zone = result.time_zone.as_deref();
            let rest = result.series.iter().try_for_each(|table| {
                self.slice(answer.statement, Slice { table, continues: false, time_zone })
            });
            if let Err(error) = rest {
                self.close(&failed(answer, &error));
                return Err(error);
            }
        }
        if self.open.is_some() {
            self.close(answer);
            return Ok(());
        }
        let begin = self.out.bytes.len();
        separate(&mut self.out, answer.statement);
        let written = results::push_answer(&mut self.out, answer, self.epoch);
        if let Err(error) = &written {
            self.out.roll_back(begin);
            separate(&mut self.out, answer.statement);
            results::push_failure(&mut self.out.bytes, &failed(answer, error));
        }
        written
    }

    /// Ends the answer of which there are slices. An error stands alone if all of the answer is still here, else
    /// behind the rows that were sent.
    fn close(&mut self, answer: &Answer) {
        let Some(open) = self.open.take() else { return };
        if let (Err(_), Some(begin)) = (&answer.outcome, open.begin) {
            self.out.roll_back(begin);
            separate(&mut self.out, answer.statement);
            return results::push_failure(&mut self.out.bytes, answer);
        }
        if let Some(rows) = open.table {
            results::end_table(&mut self.out.bytes, rows);
        }
        self.out.bytes.push(b']');
        results::end_answer(&mut self.out.bytes, answer, false);
    }

    /// Takes away what there is, and goes on in `next`.
    pub fn take(&mut self, next: Output) -> Output {
        if let Some(open) = &mut self.open {
            open.begin = None;
        }
        std::mem::replace(&mut self.out, next)
    }

    /// The rest of the document, with its end.
    pub fn finish(mut self) -> Output {
        results::end_document(&mut self.out.bytes);
        self.out
    }
}

fn begin_answer(out: &mut Output, statement: usize) {
    separate(out, statement);
    results::begin_answer(&mut out.bytes, statement);
}

/// A comma behind the answer before.
fn separate(out: &mut Output, statement: usize) {
    if statement > 0 {
        out.bytes.push(b',');
    }
}

fn failed(answer: &Answer, error: &tsdb_exec::Error) -> Answer {
    let outcome = Err(error.to_string());
    Answer { statement: answer.statement, outcome, messages: Vec::new() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encode::output::testing::written;
    use proptest::prelude::*;
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

    proptest! {
        /// However it is cut into slices and parts, the document is that of whole answers.
        #[test]
        fn slices_and_parts_make_the_same_document(
            statements in prop::collection::vec(prop::collection::vec(1i64..9, 0..4), 1..4),
            rows_max in 1usize..5,
            takes in prop::collection::vec(any::<bool>(), 1..9),
        ) {
            let names = ["a", "b", "c", "d"];
            let whole = written(|out| {
                results::begin_document(&mut out.bytes);
                for (at, tables) in statements.iter().enumerate() {
                    separate(out, at);
                    let all = tables.iter().zip(names).map(|(rows, name)| table(name, 0..*rows));
                    results::push_answer(out, &answer(at, all.collect()), Epoch::Rfc3339)?;
                }
                results::end_document(&mut out.bytes);
                Ok(())
            });
            let (mut document, mut got) = (Document::new(output(), Epoch::Rfc3339), Vec::new());
            let mut takes = takes.into_iter().cycle();
            let mut take = |document: &mut Document, got: &mut Vec<u8>| {
                if takes.next().unwrap() {
                    got.extend_from_slice(&document.take(output()).bytes);
                }
            };
            for (at, tables) in statements.iter().enumerate() {
                for (rows, name) in tables.iter().zip(names) {
                    for start in (0..*rows).step_by(rows_max) {
                        let end = (*rows).min(start + i64::try_from(rows_max).unwrap());
                        let slice = Slice {
                            table: &table(name, start..end),
                            continues: start > 0,
                            time_zone: None,
                        };
                        document.slice(at, slice).unwrap();
                        take(&mut document, &mut got);
                    }
                }
                document.end(&answer(at, Vec::new())).unwrap();
                take(&mut document, &mut got);
            }
            got.extend_from_slice(&document.finish().bytes);
            prop_assert_eq!(String::from_utf8(got).unwrap(), String::from_utf8(whole).unwrap());
        }
    }

    fn text(bytes: &[u8]) -> &str {
        std::str::from_utf8(bytes).unwrap()
    }

    #[test]
    fn an_error_stands_alone_while_nothing_was_sent_and_behind_the_rows_else() {
        let one = table("m", 1..2);
        let slice = Slice { table: &one, continues: false, time_zone: None };
        let mut document = Document::new(output(), Epoch::Every(1));
        document.end(&answer(0, Vec::new())).unwrap();
        document.slice(1, slice).unwrap();
        document.end(&failure(1)).unwrap();
        let alone = document.finish().bytes;
        assert_eq!(
            text(&alone),
            "{\"results\":[{\"statement_id\":0,\"messages\":[{\"level\":\"warning\",\"text\":\"old\"}]},\
             {\"statement_id\":1,\"error\":\"ended\"}]}\n"
        );

        let mut document = Document::new(output(), Epoch::Every(1));
        document.slice(0, slice).unwrap();
        let mut sent = document.take(output()).bytes;
        document.end(&failure(0)).unwrap();
        document.end(&failure(1)).unwrap();
        sent.extend_from_slice(&document.finish().bytes);
        assert_eq!(
            text(&sent),
            "{\"results\":[{\"statement_id\":0,\"series\":[{\"name\":\"m\",\"columns\":[\"time\",\"t\"],\
             \"values\":[[1,\"1\"]]}],\"error\":\"ended\"},{\"statement_id\":1,\"error\":\"ended\"}]}\n"
        );
    }

    #[test]
    fn an_answer_without_room_is_an_error_in_its_place() {
        let budget = MemoryBudget::with_limits([0, 0, 0, 40_000, 0]);
        let cancel = CancelToken::new();
        let out = || Output::new(&QueryMemory::new(&budget, None), &cancel);
        let long = table("m", 0..10_000);
        let slice = Slice { table: &long, continues: false, time_zone: None };
        for in_slices in [true, false] {
            let mut document = Document::new(out(), Epoch::Every(1));
            let error = if in_slices {
                let error = document.slice(0, slice).unwrap_err();
                document.end(&failure(0)).unwrap();
                error
            } else {
                document.end(&answer(0, vec![long.clone()])).unwrap_err()
            };
            assert_eq!(error.kind(), tsdb_core::ErrorKind::LimitExceeded);
            let made = document.finish().bytes;
            assert!(text(&made).starts_with("{\"results\":[{\"statement_id\":0,\"error\":\""));
        }
    }
}
