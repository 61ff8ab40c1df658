//! Answers as tables, and the first difference between two.

use std::collections::BTreeMap;

use serde_json::Value;

/// A table: the rows of a series of an answer.
pub type Tables = BTreeMap<String, Vec<Value>>;

/// The tables of the one result of an answer by name, tags and columns. InfluxDB may give a group in several pieces,
/// which are put together in order of time then. An error is a table of its own.
pub fn tables(result: &Value) -> Tables {
    let mut tables = Tables::new();
    if let Some(error) = result.get("error") {
        tables.insert(format!("error: {error}"), Vec::new());
    }
    for series in result.get("series").and_then(Value::as_array).into_iter().flatten() {
        let part = |name: &str| series.get(name).map(Value::to_string).unwrap_or_default();
        let key = format!("{} {} {}", part("name"), part("tags"), part("columns"));
        let rows = series.get("values").and_then(Value::as_array).cloned().unwrap_or_default();
        let is_torn = tables.contains_key(&key);
        let all = tables.entry(key).or_default();
        all.extend(rows);
        if is_torn {
            all.sort_by_key(|row| row.get(0).and_then(Value::as_i64));
        }
    }
    tables
}

/// The first difference between two answers, if there is one. Numbers may differ by the part `tolerance` of the
/// greater one, or of 1.
pub fn difference(ours: &Tables, theirs: &Tables, tolerance: f64) -> Option<String> {
    if ours.keys().ne(theirs.keys()) {
        let names = |tables: &Tables| tables.keys().cloned().collect::<Vec<_>>().join("; ");
        return Some(format!("tables {}, theirs {}", names(ours), names(theirs)));
    }
    for ((name, ours), theirs) in ours.iter().zip(theirs.values()) {
        if ours.len() != theirs.len() {
            return Some(format!("{name}: {} rows, theirs {}", ours.len(), theirs.len()));
        }
        let differs = |(ours, theirs): &(&Value, &Value)| !same(ours, theirs, tolerance);
        if let Some((ours, theirs)) = ours.iter().zip(theirs).find(differs) {
            return Some(format!("{name}: {ours}, theirs {theirs}"));
        }
    }
    None
}

fn same(ours: &Value, theirs: &Value, tolerance: f64) -> bool {
    match (ours, theirs) {
        (Value::Array(ours), Value::Array(theirs)) => {
            let all = ours.iter().zip(theirs);
            ours.len() == theirs.len() && all.into_iter().all(|(a, b)| same(a, b, tolerance))
        }
        (Value::Number(ours), Value::Number(theirs)) => match (ours.as_f64(), theirs.as_f64()) {
            (Some(a), Some(b)) => (a - b).abs() <= tolerance * a.abs().max(b.abs()).max(1.0),
            _ => false,
        },
        _ => ours == theirs,
    }
}
