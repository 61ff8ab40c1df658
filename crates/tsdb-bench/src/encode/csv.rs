//! Comma separated values for databases that are loaded from files: time, tags, fields; one measurement.

use std::io::Write;

use super::Encoder;
use crate::clock::sql_time;
use crate::dataset::{Row, Series};

/// Writes a table with one column for the time (UTC, whole seconds), each tag and each field. All rows have
/// the tags and fields of the first.
#[derive(Default)]
pub struct CsvEncoder {
    heads: Vec<String>,
    last_time: Option<(i64, String)>,
    begun: bool,
    body: Vec<u8>,
}

impl Encoder for CsvEncoder {
    fn push(&mut self, series: &[Series], row: &Row) {
        let new = series.get(self.heads.len()..).unwrap_or(&[]);
        self.heads.extend(new.iter().map(|series| {
            series.tags.iter().map(|(_, value)| format!(",{value}")).collect::<String>()
        }));
        let (Some(head), Some(series)) = (self.heads.get(row.series), series.get(row.series))
        else {
            return;
        };
        if !self.begun {
            self.begun = true;
            let tags = series.tags.iter().map(|(key, _)| key.as_str());
            let fields = series.schema.fields.iter().map(|(name, _)| name.as_str());
            let names: Vec<&str> = ["time"].into_iter().chain(tags).chain(fields).collect();
            // Writing to memory cannot fail.
            let _ = writeln!(self.body, "{}", names.join(","));
        }
        if self.last_time.as_ref().is_none_or(|(time, _)| *time != row.time_ns) {
            self.last_time = Some((row.time_ns, sql_time(row.time_ns)));
        }
        if let Some((_, text)) = &self.last_time {
            self.body.extend_from_slice(text.as_bytes());
        }
        self.body.extend_from_slice(head.as_bytes());
        for value in &row.values {
            let _ = write!(self.body, ",{value}");
        }
        self.body.push(b'\n');
    }

    fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.body)
    }
}

#[cfg(test)]
mod tests {
    use crate::dataset::options::{Case, DataOptions};
    use crate::encode::{Format, build};

    #[test]
    fn the_header_stands_once() {
        let mut source = DataOptions::plain(Case::CpuOnly, 2, 20, 10).source().unwrap();
        let built = build(&mut source, Format::Csv, 3);
        let text =
            built.iter().map(|body| str::from_utf8(&body.bytes).unwrap()).collect::<String>();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 5);
        assert!(lines[0].starts_with("time,hostname,region,"), "{}", lines[0]);
        assert!(lines[4].starts_with("2016-01-01 00:00:10,host_1,"), "{}", lines[4]);
        assert!(lines.iter().all(|line| line.matches(',').count() == 20));
    }
}
