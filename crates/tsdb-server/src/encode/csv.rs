//! Answers of statements as comma separated values (RFC 4180), in the form that InfluxDB gives: a header
//! `name,tags,time,…` for each run of tables with the same columns, an empty line between two such runs.

use tsdb_exec::{Result, Series, Values};

use super::number::{push_f64, push_i64};
use super::output::Output;
use super::parts::Part;
use super::results::Answer;

/// Writes the tables of one answer after the other. Times are numbers of `unit_ns` ns. NaN and infinities stand as
/// `NaN`, `+Inf` and `-Inf`, missing values as nothing.
#[derive(Debug)]
pub(super) struct Tables {
    unit_ns: i64,
    /// The header that the last table of the answer stands below.
    header: Vec<u8>,
}

impl Tables {
    pub(super) fn new(unit_ns: i64) -> Tables {
        Tables { unit_ns, header: Vec::new() }
    }

    /// Begins an answer.
    pub(super) fn begin(&mut self) {
        self.header.clear();
    }

    /// Appends a part of the answer.
    ///
    /// # Errors
    /// See [`Output::room`]; some rows of the part stand there then.
    pub(super) fn push(&mut self, out: &mut Output, part: &Part<'_>) -> Result<()> {
        if !part.continues {
            let mut own = Vec::new();
            push_header(&mut own, part.table);
            if own != self.header {
                if !self.header.is_empty() {
                    out.bytes.push(b'\n');
                }
                out.bytes.extend_from_slice(&own);
                self.header = own;
            }
        }
        push_rows(out, part, self.unit_ns)
    }

    /// Ends an answer: appends its error, if it has one, as a table of one cell.
    pub(super) fn end(&mut self, out: &mut Vec<u8>, answer: &Answer) {
        let Err(error) = &answer.outcome else { return };
        if !self.header.is_empty() {
            out.push(b'\n');
        }
        out.extend_from_slice(b"error\n");
        push_cell(out, error);
        out.push(b'\n');
    }
}

fn push_header(out: &mut Vec<u8>, series: &Series) {
    out.extend_from_slice(b"name,tags");
    if series.times.is_some() {
        out.extend_from_slice(b",time");
    }
    for column in &series.columns {
        out.push(b',');
        push_cell(out, &column.name);
    }
    out.push(b'\n');
}

fn push_rows(to: &mut Output, part: &Part<'_>, unit_ns: i64) -> Result<()> {
    let series = part.table;
    let mut head = Vec::new();
    push_cell(&mut head, series.name.as_deref().unwrap_or_default());
    head.push(b',');
    let pairs: Vec<String> =
        series.tags.iter().map(|(key, value)| format!("{key}={value}")).collect();
    push_cell(&mut head, &pairs.join(","));
    for row in part.rows.clone() {
        to.room()?;
        let out = &mut to.bytes;
        out.extend_from_slice(&head);
        if let Some(time) = series.times.as_ref().and_then(|times| times.get(row)) {
            out.push(b',');
            push_i64(out, time.div_euclid(unit_ns.max(1)));
        }
        for column in &series.columns {
            out.push(b',');
            push_value(out, &column.values, row);
        }
        out.push(b'\n');
    }
    Ok(())
}

fn push_value(out: &mut Vec<u8>, values: &Values, row: usize) {
    match values {
        Values::Floats(values, valid) => {
            match values.get(row).filter(|_| valid.get(row)) {
                Some(value) if value.is_finite() => push_f64(out, *value),
                Some(value) if value.is_nan() => out.extend_from_slice(b"NaN"),
                Some(value) if *value > 0.0 => out.extend_from_slice(b"+Inf"),
                Some(_) => out.extend_from_slice(b"-Inf"),
                None => {}
            };
        }
        Values::Integers(values, valid) => {
            if let Some(value) = values.get(row).filter(|_| valid.get(row)) {
                push_i64(out, *value);
            }
        }
        Values::Booleans(values) => {
            let text: &[u8] = match values.get(row) {
                Some(true) => b"true",
                Some(false) => b"false",
                None => b"",
            };
            out.extend_from_slice(text);
        }
        Values::Strings(values) => {
            push_cell(out, values.get(row).map_or("", |text| text));
        }
    }
}

/// A text, in quotes where it holds what would end the cell.
fn push_cell(out: &mut Vec<u8>, text: &str) {
    if !text.contains([',', '"', '\n', '\r']) {
        out.extend_from_slice(text.as_bytes());
        return;
    }
    out.push(b'"');
    for byte in text.bytes() {
        if byte == b'"' {
            out.push(b'"');
        }
        out.push(byte);
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encode::output::testing::written;
    use crate::encode::parts::parts;
    use tsdb_exec::{ResultColumn, Slice, StatementResult, Validity};

    fn series(host: &str, column: &str, values: Vec<f64>) -> Series {
        let count = values.len();
        Series {
            name: Some("cpu".into()),
            tags: vec![("host".into(), host.into()), ("region".into(), "eu".into())],
            times: Some((0..count as i64).map(|row| row * 1_000_000).collect()),
            columns: vec![ResultColumn {
                name: column.into(),
                values: Values::Floats(values, Validity::all(count)),
            }],
        }
    }

    /// An answer of tables, with an error behind them if there is one.
    fn text_with(series: &[Series], error: Option<&str>) -> String {
        let outcome = error.map_or(Ok(StatementResult::default()), |error| Err(error.to_owned()));
        let answer = Answer { statement: 0, outcome, messages: Vec::new() };
        let written = written(|out| {
            let mut tables = Tables::new(1_000_000);
            tables.begin();
            for series in series {
                for part in parts(Slice::whole(series, None), 1) {
                    tables.push(out, &part)?;
                }
            }
            tables.end(&mut out.bytes, &answer);
            Ok(())
        });
        String::from_utf8(written).unwrap()
    }

    fn text(series: Vec<Series>) -> String {
        text_with(&series, None)
    }

    #[test]
    fn tables_of_one_shape_share_a_header() {
        let all = text(vec![
            series("a", "mean", vec![1.5, f64::NAN]),
            series("b", "mean", vec![f64::INFINITY, f64::NEG_INFINITY]),
            series("b", "max", vec![-2.0]),
        ]);
        let expected = "name,tags,time,mean\n\
                        cpu,\"host=a,region=eu\",0,1.5\ncpu,\"host=a,region=eu\",1,NaN\n\
                        cpu,\"host=b,region=eu\",0,+Inf\ncpu,\"host=b,region=eu\",1,-Inf\n\
                        \nname,tags,time,max\ncpu,\"host=b,region=eu\",0,-2\n";
        assert_eq!(all, expected);
        assert_eq!(text(Vec::new()), "");
    }

    #[test]
    fn quotes_are_doubled_and_missing_values_are_empty() {
        let mut valid = Validity::default();
        valid.push(false);
        let table = Series {
            name: None,
            tags: Vec::new(),
            times: None,
            columns: vec![
                ResultColumn {
                    name: "a\"b".into(),
                    values: Values::Strings(vec![Some("x\ny".into())].into()),
                },
                ResultColumn { name: "n".into(), values: Values::Integers(vec![1], valid) },
                ResultColumn { name: "t".into(), values: Values::Booleans(vec![true]) },
            ],
        };
        assert_eq!(text(vec![table]), "name,tags,\"a\"\"b\",n,t\n,,\"x\ny\",,true\n");
        let error = "error\n\"no, \"\"never\"\"\"\n";
        assert_eq!(text_with(&[], Some("no, \"never\"")), error);
        let behind = text_with(&[series("a", "mean", vec![1.0])], Some("no, \"never\""));
        assert!(behind.ends_with(&format!(",0,1\n\n{error}")), "{behind}");
    }
}
