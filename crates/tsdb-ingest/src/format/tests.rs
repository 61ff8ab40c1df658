//! The formats against each other: the same points, written in each of them, give the same rows.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use proptest::prelude::*;
use tsdb_core::{MemoryBudget, TagCharset};

use super::csv::Csv;
use super::json::Json;
use super::line::LineProtocol;
use super::{Format, ParseOptions};
use crate::testing::Recorder;
use crate::{Pipeline, PipelineOptions, Precision, WriteRequest};

const NOW: i64 = 1_700_000_000_123_456_789;

/// A row as data, to be written in any format.
#[derive(Debug, Clone)]
struct Point {
    measurement: String,
    tags: BTreeMap<String, String>,
    fields: BTreeMap<String, f64>,
    time: Option<i64>,
}

fn any_name() -> impl Strategy<Value = String> {
    // No backslash, which line protocol cannot write everywhere; no '#', which begins its comments; no
    // blank at an end, which CSV cuts off.
    prop_oneof!["[a-c]{1,2}", "[a-z\"{}\\[\\]_;=,:|]([a-z =,\"'{}:;]{0,4}[a-z\"=,:])?"]
}

fn any_value() -> impl Strategy<Value = f64> {
    prop_oneof![
        any::<f64>().prop_filter("is a number", |value| value.is_finite()),
        (-100_000i32..100_000, 0i32..4).prop_map(|(n, scale)| f64::from(n) / 10f64.powi(scale)),
        any::<i32>().prop_map(f64::from),
    ]
}

fn any_point() -> impl Strategy<Value = Point> {
    (
        any_name(),
        prop::collection::btree_map(any_name(), any_name(), 0..4),
        prop::collection::btree_map(any_name(), any_value(), 1..5),
        prop::option::of(-1_000_000i64..2_000_000_000_000_000_000),
    )
        .prop_map(|(measurement, tags, fields, time)| Point {
            measurement,
            // Columns of a table have different names.
            tags: tags.into_iter().map(|(key, value)| (format!("t{key}"), value)).collect(),
            fields: fields.into_iter().map(|(name, value)| (format!("f{name}"), value)).collect(),
            time,
        })
}

fn line_text(points: &[&Point]) -> String {
    let escaped = |text: &str, special: &[char]| -> String {
        let escape = |c| if special.contains(&c) { format!("\\{c}") } else { c.to_string() };
        text.chars().map(escape).collect()
    };
    let mut text = String::new();
    for point in points {
        text += &escaped(&point.measurement, &[',', ' ', '"', '=']);
        for (key, value) in &point.tags {
            let special = [',', ' ', '='];
            write!(text, ",{}={}", escaped(key, &special), escaped(value, &special)).unwrap();
        }
        for (place, (name, value)) in point.fields.iter().enumerate() {
            let separator = if place == 0 { ' ' } else { ',' };
            let name = escaped(name, &[',', ' ', '"', '=']);
            write!(text, "{separator}{name}={value:?}").unwrap();
        }
        if let Some(time) = point.time {
            write!(text, " {time}").unwrap();
        }
        text.push('\n');
    }
    text
}

fn json_string(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

fn json_object(members: impl Iterator<Item = (String, String)>) -> String {
    let members: Vec<String> =
        members.map(|(name, value)| format!("{}:{value}", json_string(&name))).collect();
    format!("{{{}}}", members.join(","))
}

fn json_record(point: &Point) -> String {
    let tags = point.tags.iter().map(|(key, value)| (key.clone(), json_string(value)));
    let fields = point.fields.iter().map(|(name, value)| (name.clone(), format!("{value:?}")));
    let mut members = vec![
        ("measurement".to_owned(), json_string(&point.measurement)),
        ("tags".to_owned(), json_object(tags)),
        ("fields".to_owned(), json_object(fields)),
    ];
    members.extend(point.time.map(|time| ("time".to_owned(), time.to_string())));
    json_object(members.into_iter())
}

/// One columnar record for each series, in which the rows of the others are missing.
fn json_columns(points: &[&Point]) -> Vec<String> {
    let mut series: BTreeMap<(&str, &BTreeMap<String, String>), Vec<&Point>> = BTreeMap::new();
    for point in points {
        series.entry((&point.measurement, &point.tags)).or_default().push(point);
    }
    let array = |values: Vec<String>| format!("[{}]", values.join(","));
    let record =
        |((measurement, tags), points): ((&str, &BTreeMap<String, String>), Vec<&Point>)| {
            let names: BTreeMap<&String, ()> = points
                .iter()
                .flat_map(|point| point.fields.keys())
                .map(|name| (name, ()))
                .collect();
            let null = || "null".to_owned();
            let columns = names.into_keys().map(|name| {
                let value =
                    |point: &&Point| point.fields.get(name).map_or_else(null, |v| format!("{v:?}"));
                (name.clone(), array(points.iter().map(value).collect()))
            });
            let time = |point: &&Point| point.time.map_or_else(null, |time| time.to_string());
            let tags = tags.iter().map(|(key, value)| (key.clone(), json_string(value)));
            let members = [
                ("measurement".to_owned(), json_string(measurement)),
                ("tags".to_owned(), json_object(tags)),
                ("time".to_owned(), array(points.iter().map(time).collect())),
                ("fields".to_owned(), json_object(columns)),
            ];
            json_object(members.into_iter())
        };
    series.into_iter().map(record).collect()
}

/// One table with a column for each tag and field of any point.
fn csv_text(points: &[&Point], line_end: &str) -> String {
    let quoted = |text: &str| format!("\"{}\"", text.replace('"', "\"\""));
    let names = |of: fn(&Point) -> Vec<&String>| -> Vec<&String> {
        let mut names: Vec<&String> = points.iter().flat_map(|point| of(point)).collect();
        names.sort_unstable();
        names.dedup();
        names
    };
    let tags = names(|point| point.tags.keys().collect());
    let fields = names(|point| point.fields.keys().collect());
    let mut header = vec!["m:measurement".to_owned(), "t:time".to_owned()];
    header.extend(tags.iter().map(|name| quoted(&format!("{name}:tag"))));
    header.extend(fields.iter().map(|name| quoted(&format!("{name}:field"))));
    let mut lines = vec![header.join(",")];
    for point in points {
        let mut cells = vec![quoted(&point.measurement)];
        cells.push(point.time.map_or_else(String::new, |time| time.to_string()));
        cells.extend(
            tags.iter().map(|name| point.tags.get(*name).map_or_else(String::new, |v| quoted(v))),
        );
        cells.extend(
            fields
                .iter()
                .map(|name| point.fields.get(*name).map_or_else(String::new, |v| format!("{v:?}"))),
        );
        lines.push(cells.join(","));
    }
    lines.join(line_end)
}

/// The rows of `body`, read twice: for new series and for known ones.
fn rows(format: &dyn Format, body: &str) -> Vec<String> {
    let store = Arc::new(Recorder::default());
    let options =
        PipelineOptions { charset: Some(TagCharset::Ascii), ..PipelineOptions::default() };
    let pipeline = Pipeline::new(store.clone(), MemoryBudget::default(), options);
    let options = ParseOptions::new(Precision::Nanoseconds, NOW);
    let request = WriteRequest { database: "d", policy: None, body: body.as_bytes(), options };
    let read = || {
        let report = pipeline.write(format, &request).unwrap();
        assert_eq!(report.errors, [], "{body}");
        store.take_rows()
    };
    let first = read();
    assert_eq!(read(), first);
    first
}

proptest! {
    /// Line protocol is the oracle: it has one of its own.
    #[test]
    fn all_formats_give_the_same_rows(
        points in prop::collection::vec(any_point(), 1..6),
        order in prop::collection::vec(any::<prop::sample::Index>(), 1..20),
        line_end in prop::sample::select(vec!["\n", "\r\n", "\n\n"]),
    ) {
        let points: Vec<&Point> = order.iter().map(|index| index.get(&points)).collect();
        let expected = rows(&LineProtocol::default(), &line_text(&points));
        let records: Vec<String> = points.iter().map(|point| json_record(point)).collect();
        let json = Json::default();
        prop_assert_eq!(&rows(&json, &records.join(line_end)), &expected);
        prop_assert_eq!(&rows(&json, &format!("[{}]", records.join(","))), &expected);
        prop_assert_eq!(&rows(&Csv::default(), &csv_text(&points, line_end)), &expected);
        let mut columns = rows(&json, &json_columns(&points).join("\n"));
        let mut expected = expected;
        columns.sort_unstable();
        expected.sort_unstable();
        prop_assert_eq!(columns, expected);
    }

    /// Points of the library are the same from all formats.
    #[test]
    fn all_formats_give_the_same_points(points in prop::collection::vec(any_point(), 1..6)) {
        let points: Vec<&Point> = points.iter().collect();
        let options = ParseOptions::new(Precision::Nanoseconds, NOW);
        let expected =
            crate::Ingestion::parse(&LineProtocol::new(options, TagCharset::Ascii), line_text(&points).as_bytes());
        let records: Vec<String> = points.iter().map(|point| json_record(point)).collect();
        let json = Json::new(options, TagCharset::Ascii);
        prop_assert_eq!(crate::Ingestion::parse(&json, records.join("\n").as_bytes()), expected);
    }
}
