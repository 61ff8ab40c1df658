//! Random lines against a model that wrote them, and random bytes against common sense.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use proptest::prelude::*;
use tsdb_core::{SeriesKey, TagCharset};

use super::{Fixture, NOW};
use crate::{Precision, limits};

/// A line as data, to be written and read again.
#[derive(Debug, Clone)]
struct Line {
    measurement: String,
    tags: BTreeMap<String, String>,
    fields: Vec<(String, Value)>,
    time: Option<i64>,
}

#[derive(Debug, Clone)]
enum Value {
    Float(f64),
    Integer(i64),
    Unsigned(u64),
    Boolean(bool),
    Text(String),
}

fn any_name() -> impl Strategy<Value = String> {
    // A backslash before a special character, or at the end, cannot be written; '#' begins a comment.
    prop_oneof!["[a-c]{1,2}", "[a-z=\",ä](\\\\[a-z]|[a-zä=\", #]){0,5}"]
}

fn any_value() -> impl Strategy<Value = Value> {
    prop_oneof![
        any::<f64>().prop_filter("is a number", |v| v.is_finite()).prop_map(Value::Float),
        (-1000i32..1000, 1u32..4)
            .prop_map(|(n, scale)| Value::Float(f64::from(n) / 10f64.powi(scale as i32))),
        any::<i64>().prop_map(Value::Integer),
        any::<u64>().prop_map(Value::Unsigned),
        any::<bool>().prop_map(Value::Boolean),
        "[a-c =,\"\\\\\n\r]{0,8}".prop_map(Value::Text),
    ]
}

fn any_line() -> impl Strategy<Value = Line> {
    (
        any_name(),
        prop::collection::btree_map(any_name(), any_name(), 0..4),
        prop::collection::vec((any_name(), any_value()), 1..5),
        prop::option::of(-1_000_000i64..2_000_000_000_000_000_000),
    )
        .prop_map(|(measurement, tags, fields, time)| Line { measurement, tags, fields, time })
}

fn escaped(text: &str, special: &[char]) -> String {
    let escape = |c: char| if special.contains(&c) { format!("\\{c}") } else { c.to_string() };
    text.chars().map(escape).collect()
}

impl Line {
    fn text(&self) -> String {
        let mut text = escaped(&self.measurement, &[',', ' ', '"', '=']);
        for (key, value) in &self.tags {
            let special = [',', ' ', '='];
            let _ = write!(text, ",{}={}", escaped(key, &special), escaped(value, &special));
        }
        for (place, (name, value)) in self.fields.iter().enumerate() {
            let name = escaped(name, &[',', ' ', '"', '=']);
            let _ = write!(text, "{}{name}=", if place == 0 { ' ' } else { ',' });
            let _ = match value {
                Value::Float(v) => write!(text, "{v:?}"),
                Value::Integer(v) => write!(text, "{v}i"),
                Value::Unsigned(v) => write!(text, "{v}u"),
                Value::Boolean(v) => write!(text, "{v}"),
                Value::Text(v) => write!(text, "\"{}\"", escaped(v, &['"', '\\'])),
            };
        }
        if let Some(time) = self.time {
            let _ = write!(text, " {time}");
        }
        text
    }

    /// The row as the recorder shows it, if there is one.
    fn row(&self) -> Option<String> {
        let mut stored: BTreeMap<&str, f64> = BTreeMap::new();
        for (name, value) in &self.fields {
            let number = match value {
                Value::Float(v) => *v,
                Value::Integer(v) => *v as f64,
                Value::Unsigned(v) => *v as f64,
                Value::Boolean(v) => f64::from(*v),
                Value::Text(_) => continue,
            };
            stored.insert(name, number);
        }
        let fields: Vec<String> = stored.iter().map(|(n, v)| format!("{n}={v:?}")).collect();
        let mut tags: Vec<(&str, &str)> = self.tags.iter().map(|(k, v)| (&**k, &**v)).collect();
        let key = SeriesKey::new(&self.measurement, &mut tags, TagCharset::Utf8).unwrap();
        let time = self.time.unwrap_or(NOW);
        (!fields.is_empty()).then(|| format!("{key} {} {time}", fields.join(",")))
    }
}

proptest! {
    /// What a model wrote is read as it was meant, whatever lines come before and between.
    #[test]
    fn lines_are_read_as_they_were_written(
        lines in prop::collection::vec(any_line(), 1..12),
        order in prop::collection::vec(any::<prop::sample::Index>(), 1..30),
        newline in prop::sample::select(vec!["\n", "\r\n", "\n\n", "\n# c\n", "\n \t"]),
    ) {
        let fixture = Fixture::new();
        let lines: Vec<&Line> = order.iter().map(|i| i.get(&lines)).collect();
        let body: Vec<String> = lines.iter().map(|line| line.text()).collect();
        let expected: Vec<String> = lines.iter().filter_map(|line| line.row()).collect();
        for _ in 0..2 {
            let written = fixture.write(body.join(newline).as_bytes(), Precision::Nanoseconds);
            let rows: Vec<&str> = written.split('\n').filter(|row| !row.starts_with('~')).collect();
            prop_assert_eq!(rows.join("\n"), expected.join("\n"));
        }
    }

    /// Of random bytes, every line is stored, ignored or refused, and a second pass over known series
    /// comes to the same result.
    #[test]
    fn random_bytes_are_read_or_refused(
        body in prop::collection::vec(prop::sample::select(b"mf,=1i5. \\\"\n\r\t#\0-e\xc3\xa4".to_vec()), 0..200),
    ) {
        let fixture = Fixture::new();
        let first = fixture.write(&body, Precision::Nanoseconds);
        prop_assert_eq!(fixture.write(&body, Precision::Nanoseconds), first);
    }

    #[test]
    fn any_bytes_are_read_or_refused(body in prop::collection::vec(any::<u8>(), 0..300)) {
        let fixture = Fixture::new();
        let first = fixture.write(&body, Precision::Nanoseconds);
        prop_assert_eq!(fixture.write(&body, Precision::Nanoseconds), first);
    }

    /// Each line is judged as if it were alone: what stands around it changes nothing.
    #[test]
    fn lines_do_not_depend_on_each_other(
        lines in prop::collection::vec("[mf,=1i5. \\\\-]{0,12}|m,a=b f=[0-9.ie-]{1,6} [0-9x ]{0,3}", 1..15),
    ) {
        let together = Fixture::new().write(lines.join("\n").as_bytes(), Precision::Nanoseconds);
        let mut rows = Vec::new();
        let mut refused = Vec::new();
        for (place, line) in lines.iter().enumerate() {
            let alone = Fixture::new().write(line.as_bytes(), Precision::Nanoseconds);
            for shown in alone.split('\n').filter(|shown| !shown.is_empty()) {
                match shown.strip_prefix("!1:") {
                    Some(rest) => refused.push(format!("!{}:{rest}", place + 1)),
                    None => rows.push(shown.to_owned()),
                }
            }
        }
        refused.truncate(limits::ERRORS_MAX);
        rows.extend(refused);
        prop_assert_eq!(together, rows.join("\n"));
    }
}
