//! Answers of statements as messages of the published contract (`proto/tsdb/v1`).
//!
//! Not here: how messages travel (`grpc/query.rs`, `http/native.rs`).

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use tsdb_exec::{ResultColumn, Series, Values};

use super::results::{Answer, Piece, pieces};
use crate::grpc::proto;
use proto::query_response::Outcome;
use proto::result_column::Values as Wire;

/// The messages that an answer consists of: its series in parts of at most `rows_max` rows, then how it
/// ended. Made one after the other, so that only one is in memory at a time.
pub fn responses(answer: &Answer, rows_max: usize) -> impl Iterator<Item = proto::QueryResponse> {
    let statement = u32::try_from(answer.statement).unwrap_or(u32::MAX);
    let parts = pieces(answer, rows_max).into_iter();
    let parts = parts.filter_map(|piece| Some(Outcome::Series(part(answer, &piece)?)));
    let end = std::iter::once_with(|| end(answer));
    parts.chain(end).map(move |outcome| proto::QueryResponse { statement, outcome: Some(outcome) })
}

fn end(answer: &Answer) -> Outcome {
    let result = match &answer.outcome {
        Ok(result) => result,
        Err(error) => return Outcome::Error(error.clone()),
    };
    let remarks = result.messages.iter().chain(&answer.messages);
    let remarks = remarks.map(|message| proto::Remark {
        level: message.level.to_owned(),
        text: message.text.clone(),
    });
    Outcome::End(proto::StatementEnd { remarks: remarks.collect() })
}

fn part(answer: &Answer, piece: &Piece) -> Option<proto::SeriesPart> {
    let series = answer.outcome.as_ref().ok()?.series.get(piece.series())?;
    let rows = piece.rows();
    let times = series.times.as_ref().map(|times| proto::ResultColumn {
        name: "time".to_owned(),
        values: Some(Wire::Times(proto::Times {
            values: times.get(rows.clone()).unwrap_or_default().to_vec(),
        })),
    });
    let columns = series.columns.iter().map(|column| encode_column(column, &rows));
    Some(proto::SeriesPart {
        name: series.name.as_deref().unwrap_or_default().to_owned(),
        tags: tags(series),
        columns: times.into_iter().chain(columns).collect(),
        more_rows: piece.has_more_rows(),
    })
}

fn tags(series: &Series) -> BTreeMap<String, String> {
    series.tags.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect()
}

fn encode_column(column: &ResultColumn, rows: &Range<usize>) -> proto::ResultColumn {
    let values = match &column.values {
        Values::Floats(values, valid) => Wire::Numbers(proto::Column {
            values: values.get(rows.clone()).unwrap_or_default().to_vec(),
            presence: presence(rows, |row| valid.get(row)),
        }),
        Values::Integers(values, valid) => Wire::Integers(proto::Integers {
            values: values.get(rows.clone()).unwrap_or_default().to_vec(),
            presence: presence(rows, |row| valid.get(row)),
        }),
        Values::Booleans(values) => Wire::Flags(proto::Flags {
            values: values.get(rows.clone()).unwrap_or_default().to_vec(),
        }),
        Values::Strings(values) => {
            let texts = values.get(rows.clone()).unwrap_or_default();
            let text = |text: &Option<Arc<str>>| text.as_deref().unwrap_or_default().to_owned();
            proto_texts(texts.iter().map(text).collect(), rows, |row| {
                values.get(row).is_some_and(Option::is_some)
            })
        }
    };
    proto::ResultColumn { name: column.name.to_string(), values: Some(values) }
}

fn proto_texts(
    values: Vec<String>,
    rows: &Range<usize>,
    is_present: impl Fn(usize) -> bool,
) -> Wire {
    Wire::Texts(proto::Texts { values, presence: presence(rows, is_present) })
}

/// Bits of the rows that have a value, the lowest of the first byte first; empty where all have.
fn presence(rows: &Range<usize>, is_present: impl Fn(usize) -> bool) -> Vec<u8> {
    if rows.clone().all(&is_present) {
        return Vec::new();
    }
    let mut bits = vec![0_u8; rows.len().div_ceil(8)];
    for (at, row) in rows.clone().enumerate() {
        if is_present(row)
            && let Some(byte) = bits.get_mut(at / 8)
        {
            *byte |= 1 << (at % 8);
        }
    }
    bits
}

#[cfg(test)]
mod tests {
    use super::*;
    use tsdb_exec::{Message, StatementResult, Validity};

    fn answer() -> Answer {
        let mut valid = Validity::default();
        [true, false, true].into_iter().for_each(|present| valid.push(present));
        let column = |name: &str, values| ResultColumn { name: name.into(), values };
        let series = Series {
            name: Some("cpu".into()),
            tags: vec![("host".into(), "a".into())],
            times: Some(vec![1, 2, 3]),
            columns: vec![
                column("mean", Values::Floats(vec![0.5, 0.0, f64::NAN], valid.clone())),
                column("count", Values::Integers(vec![7, 8, 9], Validity::all(3))),
                column("region", Values::Strings(vec![Some("eu".into()), None, Some("".into())])),
                column("ok", Values::Booleans(vec![true, false, true])),
            ],
        };
        let mut result = StatementResult::default();
        result.series.push(series);
        let messages = vec![Message { level: "warning", text: "old".to_owned() }];
        Answer { statement: 2, outcome: Ok(result), messages }
    }

    #[test]
    fn parts_and_the_end_carry_everything() {
        let answer = answer();
        let messages: Vec<_> = responses(&answer, 2).collect();
        assert_eq!(messages.len(), 3);
        assert!(messages.iter().all(|message| message.statement == 2));
        let Some(Outcome::Series(first)) = &messages[0].outcome else { panic!("{messages:?}") };
        assert!(first.more_rows);
        assert_eq!(first.tags["host"], "a");
        let names: Vec<&str> = first.columns.iter().map(|column| column.name.as_str()).collect();
        assert_eq!(names, ["time", "mean", "count", "region", "ok"]);
        let Some(Wire::Numbers(mean)) = &first.columns[1].values else { panic!("{first:?}") };
        assert_eq!((mean.values[0], mean.presence.as_slice()), (0.5, &[1_u8][..]));
        let Some(Outcome::Series(last)) = &messages[1].outcome else { panic!("{messages:?}") };
        assert!(!last.more_rows);
        let Some(Wire::Times(times)) = &last.columns[0].values else { panic!("{last:?}") };
        assert_eq!(times.values, [3]);
        let Some(Wire::Numbers(mean)) = &last.columns[1].values else { panic!("{last:?}") };
        assert!(mean.values[0].is_nan() && mean.presence.is_empty(), "NaN is a value");
        let Some(Outcome::End(end)) = &messages[2].outcome else { panic!("{messages:?}") };
        assert_eq!(end.remarks[0].text, "old");
    }

    #[test]
    fn a_failure_is_all_there_is() {
        let failed = Answer { statement: 0, outcome: Err("no".to_owned()), messages: Vec::new() };
        let messages: Vec<_> = responses(&failed, 10).collect();
        assert_eq!(messages.len(), 1);
        assert_eq!(messages[0].outcome, Some(Outcome::Error("no".to_owned())));
    }
}
