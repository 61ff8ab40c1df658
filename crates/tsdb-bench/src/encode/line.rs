//! InfluxDB line protocol.

use std::io::Write;

use super::Encoder;
use crate::dataset::{FieldKind, Row, Series};

/// Writes lines; what does not change of a series' lines is made once.
#[derive(Default)]
pub struct LineEncoder {
    /// For each series its measurement and tags, escaped.
    heads: Vec<String>,
    body: Vec<u8>,
}

impl Encoder for LineEncoder {
    fn push(&mut self, series: &[Series], row: &Row) {
        let new = series.get(self.heads.len()..).unwrap_or(&[]);
        self.heads.extend(new.iter().map(head));
        let (Some(head), Some(series)) = (self.heads.get(row.series), series.get(row.series))
        else {
            return;
        };
        self.body.extend_from_slice(head.as_bytes());
        let mut separator = b' ';
        for ((name, kind), value) in series.schema.fields.iter().zip(&row.values) {
            self.body.push(separator);
            separator = b',';
            self.body.extend_from_slice(name.as_bytes());
            let suffix = if *kind == FieldKind::Int { "i" } else { "" };
            // Writing to memory cannot fail.
            let _ = write!(self.body, "={value}{suffix}");
        }
        let _ = writeln!(self.body, " {}", row.time_ns);
    }

    fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.body)
    }
}

fn head(series: &Series) -> String {
    let mut head = escape(&series.schema.measurement);
    for (key, value) in &series.tags {
        head.push_str(&format!(",{}={}", escape(key), escape(value)));
    }
    head
}

/// Escapes what would end a name; the names that are generated have no newline and no backslash at the end.
fn escape(name: &str) -> String {
    name.replace(',', "\\,").replace('=', "\\=").replace(' ', "\\ ").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::Schema;
    use std::sync::Arc;

    #[test]
    fn lines_have_kinds_and_escapes() {
        let fields = vec![("i".to_owned(), FieldKind::Int), ("f".to_owned(), FieldKind::Float)];
        let schema = Arc::new(Schema { measurement: "a b".to_owned(), fields });
        let tags = vec![("k".to_owned(), "x,y=z".to_owned())];
        let series = [Series { schema, tags }];
        let mut encoder = LineEncoder::default();
        let row = Row { series: 0, time_ns: 7, values: vec![3.0, 0.25] };
        encoder.push(&series, &row);
        encoder.push(&series, &Row { values: vec![-1.0, 1e21], ..row });
        let text = String::from_utf8(encoder.take()).unwrap();
        let expected =
            "a\\ b,k=x\\,y\\=z i=3i,f=0.25 7\na\\ b,k=x\\,y\\=z i=-1i,f=1000000000000000000000 7\n";
        assert_eq!(text, expected);
    }
}
