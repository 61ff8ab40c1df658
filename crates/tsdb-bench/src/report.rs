//! Results as text: tables with ratios, and the report that stands in docs/benchmarks.md.

mod columns;
mod goals;
mod queries;

use columns::{COLUMNS, Column};

use crate::peer::Kind;
use crate::results::{Results, Section};
use crate::section::SPECS;

/// The whole report in Markdown.
pub fn report(results: &Results) -> String {
    let mut text = String::from(HEAD);
    text.push_str(&setting(results));
    text.push_str("\n## Goals\n\n");
    text.push_str(&goals::table(results));
    for spec in SPECS {
        let Some(section) = results.sections.get(spec.name) else { continue };
        text.push_str(&format!("\n## {}\n\n", spec.title));
        text.push_str(&format!("{}. Data: {}.\n\n", section.date, section.data));
        text.push_str(&format!("```console\n{}\n```\n\n", section.command));
        text.push_str(&tables(section));
    }
    text
}

const HEAD: &str = "\
# Measurements

Written by `cargo xtask bench report` from [benchmarks.json](benchmarks.json); do not edit. Release binaries, ours and
the peers in one run on one machine, taking turns. Absolute figures drift with the machine, ratios count. Where the time
of the slowest rows goes stands in [profiles.md](profiles.md).

- CPU is the server's: all threads, from `/proc/PID/task/*/schedstat`. \"Settled\" includes flush and merges: the servers
  that can are asked to, then all are waited for until they are quiet.
- Memory is the highest resident memory of the process (`VmHWM`); disk is the length of all files after settling.
- Every peer answers with its defaults, except: VictoriaMetrics and Prometheus keep data of any age; InfluxDB has no
  limit of series, writes no request log, and merges ten seconds after the last write instead of four hours;
  Prometheus is sent one request at a time, since it refuses what is older than its newest block, and its size is that
  of the blocks of a snapshot. Cached answers of VictoriaMetrics are switched off (`nocache=1`).
- VictoriaMetrics and Prometheus acknowledge before the data is safe, InfluxDB and ours after a sync. chdb and DuckDB run
  inside a Python process; their load is a file of comma separated values, without a log, and their answers are handed
  over in memory.
- Queries: each kind is asked until every server has used two seconds of CPU and answered fifty instances. Before that,
  answers of the servers whose languages mean the same are compared value by value; where they differ there is no time.
- One thing differs from TSBS: `groupby-orderby-limit` asks SQL databases for the first five windows, as InfluxQL does,
  and not the last five. VictoriaMetrics and Prometheus are asked for the last five.
";

fn setting(results: &Results) -> String {
    let mut machines: Vec<&str> = results.sections.values().map(|s| s.machine.as_str()).collect();
    machines.sort_unstable();
    machines.dedup();
    let mut versions: Vec<String> = results
        .sections
        .values()
        .flat_map(|section| {
            section.versions.iter().map(|(name, version)| format!("{name} {version}"))
        })
        .collect();
    versions.sort();
    versions.dedup();
    format!("\nMachine: {}.\nVersions: {}.\n", machines.join("; "), versions.join(", "))
}

/// The tables of one section.
pub fn tables(section: &Section) -> String {
    let mut text = queries::tables(section);
    for label in section.labels() {
        if !queries::is_query(label) {
            text.push_str(&plain(section, label));
        }
    }
    for row in &section.rows {
        if let Some(error) = &row.error {
            let label = if row.label.is_empty() { "" } else { &format!(" {}", row.label) };
            text.push_str(&format!("- {}{label}: no figure. {}\n", row.server, error.trim()));
        }
    }
    for note in &section.notes {
        text.push_str(&format!("- {note}\n"));
    }
    text
}

/// One row a server, one column a figure, and how the main figure compares with ours.
fn plain(section: &Section, label: &str) -> String {
    let has = |column: &&Column| {
        let with = |row: &&crate::results::Row| {
            row.label == label && row.figures.contains_key(column.name)
        };
        section.rows.iter().any(|row| with(&row))
    };
    let columns: Vec<&Column> = COLUMNS.iter().filter(has).collect();
    let Some(main) = columns.iter().find(|column| column.is_main).or(columns.first()).copied()
    else {
        return String::new();
    };
    let mut head: Vec<String> = vec![if label.is_empty() { "server" } else { label }.to_owned()];
    head.extend(columns.iter().map(|column| column.title.to_owned()));
    head.push(format!("{} against ours", main.short));
    let ours = section.figure(label, Kind::Tsdb.name(), main.name);
    let mut rows = Vec::new();
    for server in section.servers() {
        let mut row = vec![server.to_owned()];
        for column in &columns {
            row.push(cell(section, label, server, column));
        }
        let theirs = section.figure(label, server, main.name);
        row.push(match theirs.zip(ours) {
            Some((theirs, ours)) if ours > 0.0 => format!("{:.2} x", theirs / ours),
            _ => "-".to_owned(),
        });
        // A server that did not take part in this has nothing to say.
        if columns.iter().any(|column| section.figure(label, server, column.name).is_some()) {
            rows.push(row);
        }
    }
    table(&head, &rows)
}

/// The median, and for the main column the range where it was measured several times.
fn cell(section: &Section, label: &str, server: &str, column: &Column) -> String {
    let Some(middle) = section.figure(label, server, column.name) else { return "-".to_owned() };
    let all: Vec<f64> = section
        .rows
        .iter()
        .filter(|row| row.label == label && row.server == server)
        .filter_map(|row| row.figures.get(column.name).copied())
        .collect();
    let text = number(middle, column.decimals);
    if !column.is_main || all.len() < 2 {
        return text;
    }
    let (low, high) = all.iter().fold((f64::MAX, f64::MIN), |(l, h), f| (l.min(*f), h.max(*f)));
    format!("{text} ({} to {})", number(low, column.decimals), number(high, column.decimals))
}

fn number(figure: f64, decimals: usize) -> String {
    format!("{figure:.decimals$}")
}

/// A Markdown table.
fn table(head: &[String], rows: &[Vec<String>]) -> String {
    let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
    let rule = format!("|{}\n", "---|".repeat(head.len()));
    let body: String = rows.iter().map(|row| line(row)).collect();
    format!("{}{rule}{body}\n", line(head))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::Row;
    use std::collections::BTreeMap;

    pub fn section(rows: Vec<Row>) -> Section {
        Section {
            date: "2026-01-02".to_owned(),
            machine: "a machine".to_owned(),
            versions: BTreeMap::from([("tsdb".to_owned(), "1".to_owned())]),
            data: "--case x".to_owned(),
            command: "cargo xtask bench --section ingest-cpu".to_owned(),
            rows,
            notes: vec!["A note.".to_owned()],
        }
    }

    fn ingest(server: &str, cpu: f64) -> Row {
        Row::new("", server).with("cpu_s_per_m", cpu).with("rss_peak_mib", 100.4)
    }

    #[test]
    fn loads_are_medians_with_ranges_and_ratios() {
        let rows = vec![
            ingest("tsdb", 0.1),
            ingest("influxdb", 1.0),
            ingest("tsdb", 0.2),
            ingest("influxdb", 2.0),
            Row::new("", "prometheus").failed("status 404: not found"),
        ];
        let expected = "\
| server | CPU-s per M samples, settled | peak memory MiB | CPU against ours |
|---|---|---|---|
| tsdb | 0.150 (0.100 to 0.200) | 100 | 1.00 x |
| influxdb | 1.500 (1.000 to 2.000) | 100 | 10.00 x |

- prometheus: no figure. status 404: not found
- A note.
";
        assert_eq!(tables(&section(rows)), expected);
    }

    #[test]
    fn the_report_names_machine_versions_data_and_commands() {
        let mut results = Results::default();
        let rows = vec![ingest("tsdb", 0.1), ingest("influxdb", 1.0)];
        results.sections.insert("ingest-cpu".to_owned(), section(rows));
        let text = report(&results);
        for part in
            ["Machine: a machine.", "Versions: tsdb 1.", "--case x", "cargo xtask bench --section"]
        {
            assert!(text.contains(part), "{part} is not in {text}");
        }
        assert!(text.contains("| 10.00 x |") && text.contains("## Goals"));
    }
}
