//! Answers of statements as one JSON object a row, a line each (NDJSON): for scripts and for loading into
//! other systems.

use tsdb_exec::{Result, Values};

use super::json::push_string;
use super::number::{push_f64, push_i64};
use super::output::Output;
use super::parts::Part;

/// Appends the rows of a part. An object has `name` and `tags` where the table has them, `time` as a
/// number of `unit_ns` ns, and the columns that have a value. NaN and infinities, which JSON has no form
/// for, are left out.
///
/// # Errors
/// See [`Output::room`]; some of the rows stand there then.
pub(super) fn push_part(to: &mut Output, part: &Part<'_>, unit_ns: i64) -> Result<()> {
    let series = part.table;
    let mut head = vec![b'{'];
    if let Some(name) = &series.name {
        head.extend_from_slice(b"\"name\":");
        push_string(&mut head, name);
    }
    if !series.tags.is_empty() {
        separate(&mut head);
        head.extend_from_slice(b"\"tags\":{");
        for (key, value) in &series.tags {
            separate(&mut head);
            push_string(&mut head, key);
            head.push(b':');
            push_string(&mut head, value);
        }
        head.push(b'}');
    }
    for row in part.rows.clone() {
        to.room()?;
        let out = &mut to.bytes;
        out.extend_from_slice(&head);
        if let Some(time) = series.times.as_ref().and_then(|times| times.get(row)) {
            separate(out);
            out.extend_from_slice(b"\"time\":");
            push_i64(out, time.div_euclid(unit_ns.max(1)));
        }
        for column in &series.columns {
            push_member(out, &column.name, &column.values, row);
        }
        out.extend_from_slice(b"}\n");
    }
    Ok(())
}

/// Appends the line of a failed statement.
pub(super) fn push_error(out: &mut Vec<u8>, error: &str) {
    out.extend_from_slice(b"{\"error\":");
    push_string(out, error);
    out.extend_from_slice(b"}\n");
}

/// A comma, unless an object has just begun.
fn separate(out: &mut Vec<u8>) {
    if out.last() != Some(&b'{') {
        out.push(b',');
    }
}

fn push_member(out: &mut Vec<u8>, name: &str, values: &Values, row: usize) {
    let begin = out.len();
    separate(out);
    push_string(out, name);
    out.push(b':');
    let value = out.len();
    match values {
        Values::Floats(values, valid) => {
            if let Some(number) = values.get(row).filter(|v| valid.get(row) && v.is_finite()) {
                push_f64(out, *number);
            }
        }
        Values::Integers(values, valid) => {
            if let Some(number) = values.get(row).filter(|_| valid.get(row)) {
                push_i64(out, *number);
            }
        }
        Values::Booleans(values) => {
            if let Some(is_true) = values.get(row) {
                out.extend_from_slice(if *is_true { b"true" } else { b"false" });
            }
        }
        Values::Strings(values) => {
            if let Some(text) = values.get(row) {
                push_string(out, text);
            }
        }
    }
    // Without a value the member is not there.
    if out.len() == value {
        out.truncate(begin);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encode::output::testing::written;
    use crate::encode::parts::parts;
    use tsdb_exec::{ResultColumn, Series, Slice, Validity};

    #[test]
    fn every_row_is_an_object_of_its_own() {
        let mut valid = Validity::default();
        [true, false].into_iter().for_each(|present| valid.push(present));
        let column = |name: &str, values| ResultColumn { name: name.into(), values };
        let with_times = Series {
            name: Some("cpu".into()),
            tags: vec![("host".into(), "a\"".into())],
            times: Some(vec![5_000_000, 7_999_999]),
            columns: vec![
                column("mean", Values::Floats(vec![0.5, 0.0], valid)),
                column("odd", Values::Floats(vec![f64::NAN, 2.0], Validity::all(2))),
                column("ok", Values::Booleans(vec![true, false])),
            ],
        };
        let bare = Series {
            columns: vec![column("name", Values::Strings(vec![Some("x".into()), None].into()))],
            ..Series::default()
        };
        let mut out = written(|out| {
            let tables = [&with_times, &bare].map(|table| Slice::whole(table, None));
            let mut parts = tables.into_iter().flat_map(|slice| parts(slice, 1));
            parts.try_for_each(|part| push_part(out, &part, 1_000_000))
        });
        push_error(&mut out, "no");
        let text = String::from_utf8(out).unwrap();
        let expected = "{\"name\":\"cpu\",\"tags\":{\"host\":\"a\\\"\"},\"time\":5,\"mean\":0.5,\"ok\":true}\n\
                        {\"name\":\"cpu\",\"tags\":{\"host\":\"a\\\"\"},\"time\":7,\"odd\":2,\"ok\":false}\n\
                        {\"name\":\"x\"}\n{}\n{\"error\":\"no\"}\n";
        assert_eq!(text, expected);
        for line in text.lines() {
            serde_json::from_str::<serde_json::Value>(line).unwrap();
        }
    }
}
