//! Answers of different servers to the same question, made comparable and compared value by value.
//!
//! A time that was measured counts only if the answer was right, so this comes before `measure`.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::Value;

use crate::dataset::options::CPU_FIELDS;
use crate::question::{Question, Wanted};

/// Host (empty without) and time in ns (0 without) of a row.
type Key = (String, i64);

/// One value of an answer.
#[derive(Debug, Clone, PartialEq)]
enum Cell {
    Number(f64),
    Text(String),
    Missing,
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cell::Number(number) => write!(f, "{number}"),
            Cell::Text(text) => write!(f, "'{text}'"),
            Cell::Missing => write!(f, "nothing"),
        }
    }
}

/// An answer: columns by name (fields of the question in its order, or whatever whole rows have), rows by
/// host and time. Rows without any value are left out: whether empty windows are named is not compared.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Table {
    rows: BTreeMap<Key, BTreeMap<String, Cell>>,
    cells: usize,
}

/// How two answers that agree do so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Agreement {
    /// Values that were compared.
    pub cells: usize,
    /// Of these, how many are not bit for bit equal and differ by less than 1e-11 of their size: the sum of ten million values is rounded as often.
    pub rounded: usize,
}

impl Table {
    /// Rows of the answer.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    fn add(&mut self, key: Key, row: BTreeMap<String, Cell>) -> Result<(), String> {
        if row.values().all(|cell| *cell == Cell::Missing) {
            return Ok(());
        }
        self.cells += row.len();
        let message = format!("two rows for host `{}` at {}", key.0, key.1);
        self.rows.insert(key, row).map_or(Ok(()), |_| Err(message))
    }

    /// Reads the JSON of InfluxDB's query API with times in ns.
    ///
    /// # Errors
    /// Something else, an error that the server tells, or two rows of the same host and time.
    pub fn from_influx(question: &Question, body: &[u8]) -> Result<Table, String> {
        let answer: Value = serde_json::from_slice(body).map_err(|error| error.to_string())?;
        let error = answer.get("error").or(answer.pointer("/results/0/error"));
        if let Some(error) = error {
            return Err(error.to_string());
        }
        let mut table = Table::default();
        let series = answer.pointer("/results/0/series").and_then(Value::as_array);
        for series in series.into_iter().flatten() {
            let columns = strings(series.get("columns"));
            let host = series.pointer("/tags/hostname").and_then(Value::as_str);
            let values = series.get("values").and_then(Value::as_array);
            for row in values.into_iter().flatten() {
                table.add_row(question, &columns, host, row)?;
            }
        }
        Ok(table)
    }

    /// Takes the columns and rows of a SQL database; times are numbers of ns.
    ///
    /// # Errors
    /// Two rows of the same host and time.
    pub fn from_sql(question: &Question, answer: &Value) -> Result<Table, String> {
        let columns = strings(answer.get("columns"));
        let rows = answer.get("rows").and_then(Value::as_array);
        let mut table = Table::default();
        for row in rows.into_iter().flatten() {
            table.add_row(question, &columns, None, row)?;
        }
        Ok(table)
    }

    fn add_row(
        &mut self,
        question: &Question,
        columns: &[String],
        host: Option<&str>,
        row: &Value,
    ) -> Result<(), String> {
        let cells = row.as_array().map(Vec::as_slice).unwrap_or_default();
        let mut key = (host.unwrap_or("").to_owned(), 0);
        let mut values = BTreeMap::new();
        let mut fields = CPU_FIELDS.iter();
        for (name, cell) in columns.iter().zip(cells) {
            match (name.as_str(), cell) {
                // The time of one window over everything is a matter of taste.
                ("time" | "t", _) if is_single_window(question) => {}
                ("time" | "t", _) => key.1 = cell.as_i64().unwrap_or(0),
                ("hostname", Value::String(host)) => host.clone_into(&mut key.0),
                _ if matches!(question.wanted, Wanted::Aggregates(..)) => {
                    // Aggregates are named differently everywhere and stand in the order of the question.
                    let field = fields.next().copied().unwrap_or("one too many");
                    values.insert(field.to_owned(), cell_of(cell));
                }
                (name, _) => drop(values.insert(name.to_owned(), cell_of(cell))),
            }
        }
        self.add(key, values)
    }

    /// Compares with the answer of another server: the same rows, and the same values in all columns that
    /// both have, all fields among them.
    ///
    /// # Errors
    /// The first difference, as a sentence.
    pub fn agree(&self, other: &Table) -> Result<Agreement, String> {
        if let Some(((host, time), _)) =
            self.rows.iter().find(|(key, _)| !other.rows.contains_key(key))
        {
            let (ours, theirs) = (self.len(), other.len());
            return Err(format!(
                "row of `{host}` at {time} in one answer only ({ours} and {theirs} rows)"
            ));
        }
        if let Some(((host, time), _)) =
            other.rows.iter().find(|(key, _)| !self.rows.contains_key(key))
        {
            let (ours, theirs) = (self.len(), other.len());
            return Err(format!(
                "row of `{host}` at {time} in the other answer only ({ours} and {theirs} rows)"
            ));
        }
        let mut agreement = Agreement::default();
        for ((key, own), theirs) in self.rows.iter().zip(other.rows.values()) {
            for (name, cell) in own {
                let Some(their) = theirs.get(name) else { continue };
                agreement.cells += 1;
                match (cell, their) {
                    (a, b) if a == b => {}
                    (Cell::Number(a), Cell::Number(b)) if (a - b).abs() <= 1e-11 * a.abs() => {
                        agreement.rounded += 1;
                    }
                    _ => {
                        let (host, time) = key;
                        return Err(format!("{name} of `{host}` at {time}: {cell} and {their}"));
                    }
                }
            }
            let fields = |row: &BTreeMap<String, Cell>| {
                row.keys().filter(|name| CPU_FIELDS.contains(&name.as_str())).count()
            };
            if fields(own) != fields(theirs) {
                return Err(format!(
                    "{} and {} fields of `{}`",
                    fields(own),
                    fields(theirs),
                    key.0
                ));
            }
        }
        Ok(agreement)
    }
}

fn is_single_window(question: &Question) -> bool {
    matches!(question.wanted, Wanted::Aggregates(..)) && question.window_s.is_none()
}

fn strings(list: Option<&Value>) -> Vec<String> {
    let list = list.and_then(Value::as_array).into_iter().flatten();
    list.map(|item| item.as_str().unwrap_or("").to_owned()).collect()
}

fn cell_of(value: &Value) -> Cell {
    match value {
        Value::Null => Cell::Missing,
        Value::Number(number) => number.as_f64().map_or(Cell::Missing, Cell::Number),
        Value::String(text) => Cell::Text(text.clone()),
        other => Cell::Text(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::START_S;
    use crate::question::{Extent, KINDS};
    use serde_json::json;

    fn question(name: &str) -> Question {
        let extent = Extent { hosts: 10, start_s: START_S, end_s: START_S + 86_400 };
        let kind = KINDS.iter().find(|kind| kind.name == name).unwrap();
        kind.instances(extent, 1).next().unwrap()
    }

    fn influx(name: &str, body: &Value) -> Table {
        Table::from_influx(&question(name), body.to_string().as_bytes()).unwrap()
    }

    fn sql(name: &str, body: &Value) -> Table {
        Table::from_sql(&question(name), body).unwrap()
    }

    #[test]
    fn windows_by_host_agree_across_shapes() {
        let series = |host: &str, values: Value| json!({"name": "cpu", "tags": {"hostname": host}, "columns": ["time", "mean"], "values": values});
        let a = series("host_1", json!([[0, null], [3600, 0.1], [7200, 3]]));
        let b = series("host_2", json!([[3600, 5.0]]));
        let first = influx("double-groupby-1", &json!({"results": [{"series": [a, b]}]}));
        let rows = |mean: f64| {
            json!({"columns": ["t", "hostname", "avg(usage_user)"],
                "rows": [[3600, "host_1", mean], [7200, "host_1", 3.0], [3600, "host_2", 5]]})
        };
        let equal = sql("double-groupby-1", &rows(0.1));
        assert_eq!(first.agree(&equal), Ok(Agreement { cells: 3, rounded: 0 }));
        let close = sql("double-groupby-1", &rows(0.1 + 1e-17 + 2e-14 * 0.1));
        assert_eq!(first.agree(&close), Ok(Agreement { cells: 3, rounded: 1 }));
        let wrong = first.agree(&sql("double-groupby-1", &rows(0.100001))).unwrap_err();
        assert_eq!(wrong, "usage_user of `host_1` at 3600: 0.1 and 0.100001");
    }

    #[test]
    fn missing_and_extra_rows_are_differences() {
        let body = |values: Value| json!({"results": [{"series": [{"columns": ["time", "max"], "values": values}]}]});
        let two = influx("single-groupby-1-1-1", &body(json!([[60, 1], [120, 2]])));
        let one = influx("single-groupby-1-1-1", &body(json!([[60, 1]])));
        assert!(two.agree(&one).unwrap_err().contains("at 120 in one answer only (2 and 1 rows)"));
        assert!(one.agree(&two).unwrap_err().contains("at 120 in the other answer only"));
    }

    #[test]
    fn whole_rows_compare_the_columns_that_both_have() {
        let columns = ["time", "hostname", "region", "usage_idle", "usage_user"];
        let body = json!({"results": [{"series": [
            {"columns": columns, "values": [[5, "host_1", "eu", 7, 95]]}]}]});
        let first = influx("high-cpu-all", &body);
        let table = |region: &str| {
            json!({"columns": ["time", "hostname", "region", "usage_user", "usage_idle"],
                "rows": [[5, "host_1", region, 95.0, 7.0]]})
        };
        assert_eq!(first.agree(&sql("high-cpu-all", &table("eu"))).unwrap().cells, 3);
        let wrong = first.agree(&sql("high-cpu-all", &table("us"))).unwrap_err();
        assert_eq!(wrong, "region of `host_1` at 5: 'eu' and 'us'");
        let fewer =
            json!({"columns": ["time", "hostname", "usage_user"], "rows": [[5, "host_1", 95]]});
        assert!(first.agree(&sql("high-cpu-all", &fewer)).is_err(), "a field is missing");
    }

    #[test]
    fn totals_have_no_time_and_errors_are_told() {
        let body =
            json!({"results": [{"series": [{"columns": ["time", "mean"], "values": [[7, 2.5]]}]}]});
        let total = sql("scan-mean-1-total", &json!({"columns": ["avg"], "rows": [[2.5]]}));
        assert_eq!(influx("scan-mean-1-total", &body).agree(&total).unwrap().cells, 1);
        let failed = json!({"results": [{"error": "no such function"}]}).to_string();
        let failed = Table::from_influx(&question("lastpoint"), failed.as_bytes());
        assert!(failed.unwrap_err().contains("no such function"));
    }
}
