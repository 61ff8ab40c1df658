//! Answers of statements as messages of the published contract (`proto/tsdb/v1`).
//!
//! Not here: how messages travel (`grpc/query.rs`, `http/native.rs`).

use std::collections::BTreeMap;
use std::ops::Range;

use prost::Message;
use tsdb_exec::{Result, ResultColumn, Series, Values};

use super::output::Output;
use super::parts::Part;
use super::results::Answer;
use crate::grpc::proto;
use proto::query_response::Outcome;
use proto::result_column::Values as Wire;

/// Rows of a message, at most.
pub const ROWS_MAX: usize = 10_000;

/// Bytes that the message of a part will take, about.
pub fn part_bytes(part: &Part<'_>) -> usize {
    let (series, rows) = (part.table, &part.rows);
    let of_text = |text: &str| text.len() + TEXT_BYTES;
    let tags: usize = series.tags.iter().map(|(k, v)| of_text(k) + of_text(v)).sum();
    let times = series.times.as_ref().map_or(0, |_| rows.len() * size_of::<i64>());
    let column = |column: &ResultColumn| {
        let values: usize = match &column.values {
            Values::Floats(..) | Values::Integers(..) => rows.len() * size_of::<f64>(),
            Values::Booleans(_) => rows.len(),
            Values::Strings(texts) => {
                rows.clone().map(|row| of_text(texts.get(row).map_or("", |text| text))).sum()
            }
        };
        values + rows.len() / 8 + size_of::<proto::ResultColumn>() + of_text(&column.name)
    };
    let columns: usize = series.columns.iter().map(column).sum();
    MESSAGE_BYTES + tags + times + columns
}

/// The message of a part of an answer, which has at most [`ROWS_MAX`] rows.
pub fn part(statement: usize, part: &Part<'_>) -> proto::QueryResponse {
    message(statement, Outcome::Series(series_part(part)))
}

/// The message behind the parts of an answer, which says how it ended.
pub fn end(answer: &Answer) -> proto::QueryResponse {
    let outcome = match &answer.outcome {
        Err(error) => Outcome::Error(error.clone()),
        Ok(result) => {
            let remarks = result.messages.iter().chain(&answer.messages);
            let remarks = remarks.map(|message| proto::Remark {
                level: message.level.to_owned(),
                text: message.text.clone(),
            });
            Outcome::End(proto::StatementEnd { remarks: remarks.collect() })
        }
    };
    message(answer.statement, outcome)
}

/// Appends the message of a part behind its length.
///
/// # Errors
/// See [`Output::make_room`]; nothing was appended then.
pub(super) fn push_part(out: &mut Output, statement: usize, part: &Part<'_>) -> Result<()> {
    // The bytes that are sent are fewer than those of the message, and stay longer.
    out.beside(part_bytes(part), |out| {
        let message = self::part(statement, part);
        out.make_room(message.encoded_len() + LENGTH_BYTES)?;
        // A Vec has room for anything.
        let _ = message.encode_length_delimited(&mut out.bytes);
        Ok(())
    })
}

/// Appends the message of the end of an answer behind its length.
pub(super) fn push_end(out: &mut Vec<u8>, answer: &Answer) {
    let _ = end(answer).encode_length_delimited(out);
}

fn message(statement: usize, outcome: Outcome) -> proto::QueryResponse {
    let statement = u32::try_from(statement).unwrap_or(u32::MAX);
    proto::QueryResponse { statement, outcome: Some(outcome) }
}

/// Bytes of a text beside its letters: where it stands, and its place in a map of tags.
const TEXT_BYTES: usize = 2 * size_of::<String>();

/// Most bytes of the length in front of a message.
const LENGTH_BYTES: usize = 10;

/// Bytes of a message beside what is in its columns.
const MESSAGE_BYTES: usize = 512;

fn series_part(part: &Part<'_>) -> proto::SeriesPart {
    let (series, rows) = (part.table, part.rows.clone());
    let times = series.times.as_ref().map(|times| proto::ResultColumn {
        name: "time".to_owned(),
        values: Some(Wire::Times(proto::Times {
            values: times.get(rows.clone()).unwrap_or_default().to_vec(),
        })),
    });
    let columns = series.columns.iter().map(|column| encode_column(column, &rows));
    proto::SeriesPart {
        name: series.name.as_deref().unwrap_or_default().to_owned(),
        tags: tags(series),
        columns: times.into_iter().chain(columns).collect(),
        more_rows: part.goes_on,
    }
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
            let text = |row| values.get(row).map_or_else(String::new, |text| text.to_string());
            proto_texts(rows.clone().map(text).collect(), rows, |row| values.get(row).is_some())
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
    use crate::encode::parts::parts;
    use tsdb_exec::{Slice, StatementResult, Validity};

    /// The parts of an answer of at most so many rows.
    fn parts_of(answer: &Answer, rows_max: usize) -> impl Iterator<Item = Part<'_>> {
        let slices = answer.outcome.iter().flat_map(StatementResult::slices);
        slices.flat_map(move |slice| parts(slice, rows_max))
    }

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
                column(
                    "region",
                    Values::Strings(vec![Some("eu".into()), None, Some("".into())].into()),
                ),
                column("ok", Values::Booleans(vec![true, false, true])),
            ],
        };
        let mut result = StatementResult::default();
        result.series.push(series);
        let messages = vec![tsdb_exec::Message { level: "warning", text: "old".to_owned() }];
        Answer { statement: 2, outcome: Ok(result), messages }
    }

    #[test]
    fn parts_and_the_end_carry_everything() {
        let answer = answer();
        let mut messages: Vec<_> = parts_of(&answer, 2).map(|rows| part(2, &rows)).collect();
        messages.push(end(&answer));
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
    fn what_a_message_takes_is_known_before() {
        let answer = answer();
        for rows in parts_of(&answer, 2) {
            let (known, encoded) = (part_bytes(&rows), part(0, &rows).encoded_len());
            assert!(known >= encoded && known < encoded + 2000, "{known} for {encoded}");
        }
        let texts: Vec<_> = (0..10_000).map(|row| Some(format!("text {row}").into())).collect();
        let series = Series {
            columns: vec![ResultColumn {
                name: "host".into(),
                values: Values::Strings(texts.into()),
            }],
            ..Series::default()
        };
        let rows = parts(Slice::whole(&series, None), ROWS_MAX).next().unwrap();
        let encoded = part(0, &rows).encoded_len();
        assert!(part_bytes(&rows) >= encoded + 10_000 * size_of::<String>());
    }

    #[test]
    fn a_failure_is_all_there_is() {
        let failed = Answer { statement: 0, outcome: Err("no".to_owned()), messages: Vec::new() };
        assert_eq!(parts_of(&failed, 10).count(), 0);
        assert_eq!(end(&failed).outcome, Some(Outcome::Error("no".to_owned())));
    }
}
