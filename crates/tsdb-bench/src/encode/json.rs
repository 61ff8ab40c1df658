//! Our JSON, a record on each line.

use std::io::Write;

use serde_json::json;

use super::Encoder;
use crate::dataset::{Row, Series};

/// Writes records; what does not change of a series' records is made once.
#[derive(Default)]
pub struct JsonEncoder {
    /// For each series its record up to the fields.
    heads: Vec<String>,
    body: Vec<u8>,
}

impl Encoder for JsonEncoder {
    fn push(&mut self, series: &[Series], row: &Row) {
        let new = series.get(self.heads.len()..).unwrap_or(&[]);
        self.heads.extend(new.iter().map(head));
        let (Some(head), Some(series)) = (self.heads.get(row.series), series.get(row.series))
        else {
            return;
        };
        self.body.extend_from_slice(head.as_bytes());
        for (place, ((name, _), value)) in series.schema.fields.iter().zip(&row.values).enumerate()
        {
            let separator = if place == 0 { "" } else { "," };
            // Writing to memory cannot fail.
            let _ = write!(self.body, "{separator}{}:{value}", json!(name));
        }
        let _ = writeln!(self.body, "}},\"time\":{}}}", row.time_ns);
    }

    fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.body)
    }
}

fn head(series: &Series) -> String {
    let tags: serde_json::Map<String, serde_json::Value> =
        series.tags.iter().map(|(key, value)| (key.clone(), json!(value))).collect();
    let (name, tags) = (json!(series.schema.measurement), json!(tags));
    format!("{{\"measurement\":{name},\"tags\":{tags},\"fields\":{{")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::{FieldKind, Schema};
    use std::sync::Arc;

    #[test]
    fn records_are_json() {
        let fields = vec![("i".to_owned(), FieldKind::Int), ("f".to_owned(), FieldKind::Float)];
        let schema = Arc::new(Schema { measurement: "a \"b\"".to_owned(), fields });
        let series = [Series { schema, tags: vec![("k".to_owned(), "x\\y".to_owned())] }];
        let mut encoder = JsonEncoder::default();
        let row = Row { series: 0, time_ns: 7, values: vec![3.0, 0.25] };
        encoder.push(&series, &row);
        encoder.push(&series, &Row { time_ns: 8, ..row });
        let text = String::from_utf8(encoder.take()).unwrap();
        let records: Vec<serde_json::Value> =
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let record = |time: i64| json!({"measurement": "a \"b\"", "tags": {"k": "x\\y"}, "fields": {"i": 3, "f": 0.25}, "time": time});
        assert_eq!(records, [record(7), record(8)]);
    }
}
