//! Scrapes of a real exporter: recorded as files of Prometheus' text format, and given back as rows.
//!
//! A recording of one exporter stands for many instances: consecutive stretches of it become instances
//! that are scraped at the same times.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::fleet::Ticks;
use super::{FieldKind, Row, Schema, Series, Source};
use crate::http::Connection;

/// The rows of a recording, tick by tick.
pub struct Scrapes {
    ticks: Ticks,
    series: Vec<Series>,
    /// For each tick, the series that were scraped and their values.
    rows: Vec<Vec<(usize, f64)>>,
    tick: usize,
    place: usize,
}

impl Scrapes {
    /// Reads all files of `dir` in the order of their names and deals them to `instance_count` instances;
    /// `ticks` limits how many scrapes an instance has. Values that are not numbers are left out, since
    /// line protocol cannot carry them.
    ///
    /// # Errors
    /// No recording in `dir`, or a file that is not in the text format.
    pub fn read(dir: &Path, instance_count: u32, ticks: Ticks) -> Result<Scrapes, String> {
        let files = list(dir)?;
        let per_instance = files.len() / (instance_count.max(1) as usize);
        if per_instance == 0 {
            return Err(format!(
                "{} holds {} scrapes, too few for {instance_count} instances: record more with `tsdb-bench record`",
                dir.display(),
                files.len()
            ));
        }
        let tick_count = per_instance.min(ticks.count as usize);
        let mut scrapes = Scrapes {
            ticks,
            series: Vec::new(),
            rows: vec![Vec::new(); tick_count],
            tick: 0,
            place: 0,
        };
        for (instance, files) in files.chunks_exact(per_instance).enumerate() {
            let mut known = HashMap::new();
            for (tick, file) in files.iter().take(tick_count).enumerate() {
                let text = fs::read_to_string(file)
                    .map_err(|error| format!("cannot read {}: {error}", file.display()))?;
                scrapes
                    .add(&text, instance, tick, &mut known)
                    .map_err(|error| format!("{}: {error}", file.display()))?;
            }
        }
        Ok(scrapes)
    }

    fn add(
        &mut self,
        text: &str,
        instance: usize,
        tick: usize,
        known: &mut HashMap<String, usize>,
    ) -> Result<(), String> {
        for (number, line) in text.lines().enumerate() {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let wrong = || format!("line {}: not in the text format: {line}", number + 1);
            // The value is the last word unless a time follows, which node_exporter never sends.
            let (key, value) = line.rsplit_once(' ').ok_or_else(wrong)?;
            let value: f64 = value.parse().map_err(|_| wrong())?;
            if !value.is_finite() {
                continue;
            }
            let series = match known.get(key) {
                Some(series) => *series,
                None => {
                    let parsed = parse_key(key, instance).ok_or_else(wrong)?;
                    self.series.push(parsed);
                    known.insert(key.to_owned(), self.series.len() - 1);
                    self.series.len() - 1
                }
            };
            if let Some(rows) = self.rows.get_mut(tick) {
                rows.push((series, value));
            }
        }
        Ok(())
    }
}

impl Source for Scrapes {
    fn series(&self) -> &[Series] {
        &self.series
    }

    fn next_row(&mut self, row: &mut Row) -> bool {
        loop {
            let Some(rows) = self.rows.get(self.tick) else { return false };
            if let Some((series, value)) = rows.get(self.place) {
                self.place += 1;
                row.series = *series;
                // Fits: there are fewer ticks than `ticks.count`.
                row.time_ns = self.ticks.time_ns(u32::try_from(self.tick).unwrap_or(u32::MAX));
                row.values.clear();
                row.values.push(*value);
                return true;
            }
            self.tick += 1;
            self.place = 0;
        }
    }
}

/// `name{label="value",…}` as a series of one instance.
fn parse_key(key: &str, instance: usize) -> Option<Series> {
    let (name, labels) = match key.split_once('{') {
        Some((name, rest)) => (name, rest.strip_suffix('}')?),
        None => (key, ""),
    };
    let mut tags = parse_labels(labels)?;
    tags.push(("instance".to_owned(), format!("node{instance}.example.net:9100")));
    tags.push(("job".to_owned(), "node".to_owned()));
    tags.sort();
    let fields = vec![("value".to_owned(), FieldKind::Float)];
    let schema = Arc::new(Schema { measurement: name.trim().to_owned(), fields });
    Some(Series { schema, tags })
}

/// `a="b",c="d"`, with the escapes of the text format. Labels without a value say nothing and are dropped.
fn parse_labels(text: &str) -> Option<Vec<(String, String)>> {
    let mut tags = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let (name, behind) = rest.split_once("=\"")?;
        let mut value = String::new();
        let mut characters = behind.char_indices();
        let end = loop {
            match characters.next()? {
                (at, '"') => break at,
                (_, '\\') => match characters.next()?.1 {
                    'n' => value.push('\n'),
                    other => value.push(other),
                },
                (_, character) => value.push(character),
            }
        };
        if !value.is_empty() {
            tags.push((name.trim_start_matches(',').trim().to_owned(), value));
        }
        rest = behind.get(end + 1..)?;
    }
    Some(tags)
}

fn list(dir: &Path) -> Result<Vec<PathBuf>, String> {
    let entries =
        fs::read_dir(dir).map_err(|error| format!("cannot list {}: {error}", dir.display()))?;
    let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    files.sort();
    Ok(files)
}

/// Scrapes `server` (host:port) at `path` and writes each answer to a file of its own in `dir`.
///
/// # Errors
/// A server that does not answer 200, a directory that cannot be written to.
pub fn record(
    server: &str,
    path: &str,
    every: Duration,
    count: u32,
    dir: &Path,
) -> Result<(), String> {
    fs::create_dir_all(dir).map_err(|error| format!("cannot create {}: {error}", dir.display()))?;
    let mut connection = Connection::open(server)?;
    for number in 0..count {
        let answer = connection.get(path)?.expect_success()?;
        let file = dir.join(format!("{number:06}.txt"));
        fs::write(&file, answer)
            .map_err(|error| format!("cannot write {}: {error}", file.display()))?;
        std::thread::sleep(every);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::START_S;
    use super::*;

    #[test]
    fn stretches_of_a_recording_become_instances() {
        let dir = tempfile::tempdir().unwrap();
        for number in 0..5 {
            let text = format!(
                "# HELP a b\n# TYPE a counter\na{{x=\"p \\\"q\\\" \\\\\",y=\"\"}} {number}.5\nb NaN\nc 1e+06\n"
            );
            fs::write(dir.path().join(format!("{number}.txt")), text).unwrap();
        }
        let ticks = Ticks { start_s: START_S, interval_s: 15, count: 100 };
        let mut scrapes = Scrapes::read(dir.path(), 2, ticks).unwrap();
        let (mut rows, mut row) = (Vec::new(), Row::default());
        while scrapes.next_row(&mut row) {
            rows.push((row.time_ns / 1_000_000_000 - START_S, row.series, row.values[0]));
        }
        // Two instances of two scrapes each; the fifth file is left over.
        let expected = [
            (0, 0, 0.5),
            (0, 1, 1e6),
            (0, 2, 2.5),
            (0, 3, 1e6),
            (15, 0, 1.5),
            (15, 1, 1e6),
            (15, 2, 3.5),
            (15, 3, 1e6),
        ];
        assert_eq!(rows, expected);
        let series = &scrapes.series[2];
        assert_eq!(series.schema.measurement, "a");
        let tags: Vec<_> = series.tags.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        let instance = ("instance", "node1.example.net:9100");
        assert_eq!(tags, [instance, ("job", "node"), ("x", "p \"q\" \\")]);
    }

    #[test]
    fn what_is_no_recording_is_named() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("1.txt"), "a{b=1} 2\n").unwrap();
        let ticks = Ticks { start_s: START_S, interval_s: 15, count: 100 };
        let message = Scrapes::read(dir.path(), 1, ticks).err().unwrap();
        assert!(message.contains("line 1: not in the text format: a{b=1} 2"), "{message}");
        let message = Scrapes::read(dir.path(), 9, ticks).err().unwrap();
        assert!(message.contains("too few for 9 instances"), "{message}");
    }
}
