//! Results as data: what was measured, in which sections, with what. Tables and the report are made from
//! this alone, so that they can be made again without measuring again.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

/// Everything that was measured, section by section; a section that is measured again replaces itself.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Results {
    /// The sections, by name.
    pub sections: BTreeMap<String, Section>,
}

/// Figures that were made in one run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Section {
    /// Day of the run.
    pub date: String,
    /// Processor, cores, memory, kernel.
    pub machine: String,
    /// Versions of what took part, by name.
    pub versions: BTreeMap<String, String>,
    /// The flags that make the data again.
    pub data: String,
    /// The command that makes the figures again.
    pub command: String,
    /// One for each server and whatever else is told apart.
    pub rows: Vec<Row>,
    /// Sentences that belong under the table.
    pub notes: Vec<String>,
}

/// The figures of one server.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq)]
pub struct Row {
    /// What was measured: a kind of query, say. Empty where the section measures one thing.
    pub label: String,
    /// Name of the server.
    pub server: String,
    /// Figures by the names of their columns.
    pub figures: BTreeMap<String, f64>,
    /// Why there are none.
    pub error: Option<String>,
}

impl Row {
    /// A row without figures.
    pub fn new(label: &str, server: &str) -> Row {
        let (label, server) = (label.to_owned(), server.to_owned());
        Row { label, server, figures: BTreeMap::new(), error: None }
    }

    /// Adds a figure.
    pub fn with(mut self, column: &str, figure: f64) -> Row {
        self.figures.insert(column.to_owned(), figure);
        self
    }

    /// Says why there are no figures.
    pub fn failed(mut self, error: impl Into<String>) -> Row {
        self.error = Some(error.into());
        self
    }
}

impl Section {
    /// The figure of a server, the median where it was measured several times.
    pub fn figure(&self, label: &str, server: &str, column: &str) -> Option<f64> {
        let rows = self.rows.iter().filter(|row| row.label == label && row.server == server);
        median(rows.filter_map(|row| row.figures.get(column).copied()).collect())
    }

    /// The names of the servers, in the order in which they were measured.
    pub fn servers(&self) -> Vec<&str> {
        distinct(self.rows.iter().map(|row| row.server.as_str()))
    }

    /// The labels, in the order in which they were measured.
    pub fn labels(&self) -> Vec<&str> {
        distinct(self.rows.iter().map(|row| row.label.as_str()))
    }
}

fn distinct<'a>(all: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut seen = Vec::new();
    all.for_each(|name| {
        if !seen.contains(&name) {
            seen.push(name);
        }
    });
    seen
}

/// The middle of some figures, the mean of the two in the middle of an even number; None without figures.
pub fn median(mut figures: Vec<f64>) -> Option<f64> {
    figures.sort_by(f64::total_cmp);
    let upper = *figures.get(figures.len() / 2)?;
    let lower = *figures.get((figures.len() - 1) / 2)?;
    Some((lower + upper) / 2.0)
}

impl Results {
    /// Reads results; a file that is not there holds none.
    ///
    /// # Errors
    /// A file that is no result file.
    pub fn read(file: &Path) -> Result<Results, String> {
        match std::fs::read(file) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Results::default()),
            Err(error) => Err(format!("cannot read {}: {error}", file.display())),
            Ok(bytes) => serde_json::from_slice(&bytes)
                .map_err(|error| format!("{} holds no results: {error}", file.display())),
        }
    }

    /// Writes the results.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn write(&self, file: &Path) -> Result<(), String> {
        let failed = |error: String| format!("cannot write {}: {error}", file.display());
        let mut text =
            serde_json::to_string_pretty(self).map_err(|error| failed(error.to_string()))?;
        text.push('\n');
        std::fs::write(file, text).map_err(|error| failed(error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_of_repeated_rows_are_medians() {
        assert_eq!(median(vec![]), None);
        assert_eq!(median(vec![3.0, 1.0]), Some(2.0));
        assert_eq!(median(vec![9.0, 1.0, 2.0]), Some(2.0));
        let row = |figure| Row::new("a", "x").with("cpu", figure);
        let section = Section {
            date: String::new(),
            machine: String::new(),
            versions: BTreeMap::new(),
            data: String::new(),
            command: String::new(),
            rows: vec![row(1.0), Row::new("a", "y"), row(3.0), Row::new("b", "x").failed("no")],
            notes: Vec::new(),
        };
        assert_eq!(section.figure("a", "x", "cpu"), Some(2.0));
        assert_eq!(section.figure("b", "x", "cpu"), None);
        assert_eq!((section.servers(), section.labels()), (vec!["x", "y"], vec!["a", "b"]));
    }

    #[test]
    fn results_survive_a_file() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("results.json");
        assert!(Results::read(&file).unwrap().sections.is_empty());
        std::fs::write(&file, "[]").unwrap();
        assert!(Results::read(&file).unwrap_err().contains("holds no results"));
        Results::default().write(&file).unwrap();
        assert!(Results::read(&file).unwrap().sections.is_empty());
    }
}
