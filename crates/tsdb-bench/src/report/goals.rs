//! The goals that the project has set itself, with what was measured.

use super::queries::{best_peer, geometric_mean, ratios};
use crate::peer::Kind;
use crate::results::{Results, Section};

/// Which way is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Better {
    Less,
    More,
}

struct Goal {
    what: &'static str,
    section: &'static str,
    figure: Figure,
    better: Better,
    goal: f64,
    decimals: usize,
}

/// What is compared with the goal.
#[derive(Debug, Clone, Copy)]
enum Figure {
    /// A column of the rows with a label.
    Column(&'static str, &'static str),
    /// Ours against the best peer by kind of query: the geometric mean.
    MeanRatio,
    /// Ours against the best peer by kind of query: the worst kind.
    WorstRatio,
    /// Seconds after kill -9 for ten million samples in the log.
    Replay,
}

const fn less(
    what: &'static str,
    section: &'static str,
    column: &'static str,
    goal: f64,
    decimals: usize,
) -> Goal {
    let figure = Figure::Column("", column);
    Goal { what, section, figure, better: Better::Less, goal, decimals }
}

const fn scan(what: &'static str, label: &'static str, goal: f64) -> Goal {
    let figure = Figure::Column(label, "m_samples_per_cpu_s");
    Goal { what, section: "queries-1000", figure, better: Better::More, goal, decimals: 0 }
}

const GOALS: &[Goal] = &[
    less("ingest TSBS cpu-only, CPU-s per M samples", "ingest-cpu", "cpu_s_per_m", 0.10, 3),
    less(
        "ingest 100 k hosts x 10 fields x 5 rows, CPU-s per M samples",
        "ingest-hosts",
        "cpu_s_per_m",
        0.4,
        3,
    ),
    less("ingest one value a line, CPU-s per M samples", "ingest-single", "cpu_s_per_m", 0.25, 3),
    less("ingest remote write, CPU-s per M samples", "ingest-remote-write", "cpu_s_per_m", 0.30, 3),
    less(
        "p99 of acknowledged single lines, 64 clients, by the p99 of an fdatasync",
        "ingest-acks",
        "p99_in_syncs",
        4.0,
        2,
    ),
    less("disk TSBS cpu-only, bytes a sample", "ingest-cpu", "bytes_per_sample", 0.30, 3),
    less("disk TSBS devops, bytes a sample", "ingest-devops", "bytes_per_sample", 0.65, 3),
    less(
        "disk real node_exporter scrapes, bytes a sample",
        "ingest-scrapes",
        "bytes_per_sample",
        0.60,
        3,
    ),
    less(
        "disk 100 k hosts x 10 fields x 5 rows, bytes a sample",
        "ingest-hosts",
        "bytes_per_sample",
        2.0,
        3,
    ),
    less(
        "bytes written to runs / bytes of the final runs",
        "ingest-cpu",
        "write_amplification",
        4.0,
        2,
    ),
    Goal {
        what: "TSBS queries, 1000 hosts: CPU against the best peer, worst kind",
        section: "queries-1000",
        figure: Figure::WorstRatio,
        better: Better::Less,
        goal: 0.5,
        decimals: 2,
    },
    Goal {
        what: "the same, geometric mean over the kinds",
        section: "queries-1000",
        figure: Figure::MeanRatio,
        better: Better::Less,
        goal: 0.2,
        decimals: 2,
    },
    scan("scan that must decode, `stddev(f)`: M samples per CPU-s", "scan-stddev-1-total", 1000.0),
    scan(
        "scan that must decode, `sum(f) WHERE f > 50`: M samples per CPU-s",
        "scan-sum-1-above-50",
        1000.0,
    ),
    scan("mean by hour and host, 10 fields: M samples per CPU-s", "scan-mean-all-1h-host", 800.0),
    less(
        "p99 of single-groupby-1-1-1 while ingesting at half capacity, ms",
        "mixed",
        "p99_ms",
        5.0,
        2,
    ),
    Goal {
        figure: Figure::Column("load", "rss_peak_mib"),
        ..less("peak memory, TSBS 1000 hosts, MiB", "queries-1000", "rss_peak_mib", 350.0, 0)
    },
    less("peak memory, 100 k hosts x 10 fields, MiB", "ingest-hosts", "rss_peak_mib", 400.0, 0),
    less(
        "peak memory, a million series by remote write, MiB",
        "ingest-million",
        "rss_peak_mib",
        700.0,
        0,
    ),
    less(
        "peak memory, a million series by line protocol, MiB",
        "ingest-million-lines",
        "rss_peak_mib",
        700.0,
        0,
    ),
    less("rows lost by kill -9", "restart", "lost_rows", 0.0, 0),
    Goal {
        what: "restart after kill -9, s per 10 M samples in the log",
        section: "restart",
        figure: Figure::Replay,
        better: Better::Less,
        goal: 1.0,
        decimals: 2,
    },
    less("restart after a clean stop, s", "restart", "after_stop_s", 0.3, 3),
    less("2000 databases: start, s", "databases", "open_s", 1.0, 3),
    less("2000 databases: open files", "databases", "open_files", 63.0, 0),
    less("2000 databases: flush, s", "databases", "flush_s", 1.0, 3),
];

/// One row a goal: what was reached, and what the best peer reached in the same run.
pub fn table_of(results: &Results) -> Vec<Vec<String>> {
    GOALS.iter().map(|goal| row(goal, results.sections.get(goal.section))).collect()
}

/// The goals as a Markdown table.
pub fn table(results: &Results) -> String {
    let head = ["what", "best peer in this run", "goal", "ours", ""].map(str::to_owned);
    super::table(&head, &table_of(results))
}

fn row(goal: &Goal, section: Option<&Section>) -> Vec<String> {
    let number = |figure: f64| super::number(figure, goal.decimals);
    let ours = section.and_then(|section| ours(goal, section));
    let peer = section.and_then(|section| peer(goal, section));
    let (sign, reached) = match goal.better {
        Better::Less => ("at most", ours.map(|ours| ours <= goal.goal)),
        Better::More => ("at least", ours.map(|ours| ours >= goal.goal)),
    };
    vec![
        goal.what.to_owned(),
        peer.map_or("-".to_owned(), |(name, figure)| format!("{} ({name})", number(figure))),
        format!("{sign} {}", number(goal.goal)),
        ours.map_or("-".to_owned(), number),
        match reached {
            Some(true) => "reached",
            Some(false) => "missed",
            None => "not measured",
        }
        .to_owned(),
    ]
}

fn ours(goal: &Goal, section: &Section) -> Option<f64> {
    let own = |label: &str, column: &str| section.figure(label, Kind::Tsdb.name(), column);
    match goal.figure {
        Figure::Column(label, column) => own(label, column),
        Figure::MeanRatio => geometric_mean(&ratios(section)),
        Figure::WorstRatio => ratios(section).into_iter().map(|(_, ratio)| ratio).reduce(f64::max),
        Figure::Replay => {
            let millions = own("", "m_samples_in_log").filter(|millions| *millions > 0.0)?;
            Some(own("", "after_kill_s")? * 10.0 / millions)
        }
    }
}

fn peer<'a>(goal: &Goal, section: &'a Section) -> Option<(&'a str, f64)> {
    let Figure::Column(label, column) = goal.figure else { return None };
    match goal.better {
        Better::Less => best_peer(section, label, column),
        Better::More => {
            let peers = section.servers().into_iter().filter(|server| *server != Kind::Tsdb.name());
            let figures =
                peers.filter_map(|peer| Some((peer, section.figure(label, peer, column)?)));
            figures.max_by(|a, b| a.1.total_cmp(&b.1))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::section;
    use super::*;
    use crate::results::Row;
    use crate::section::Spec;

    #[test]
    fn goals_name_sections_that_exist() {
        for goal in GOALS {
            assert!(Spec::of_name(goal.section).is_some(), "{}", goal.section);
        }
    }

    #[test]
    fn goals_are_reached_missed_or_not_measured() {
        let mut results = Results::default();
        let load = |server: &str, cpu, bytes| {
            Row::new("", server).with("cpu_s_per_m", cpu).with("bytes_per_sample", bytes)
        };
        let rows =
            vec![load("tsdb", 0.09, 0.4), load("influxdb", 1.0, 0.5), load("duckdb", 0.2, 1.0)];
        results.sections.insert("ingest-cpu".to_owned(), section(rows));
        let table = table_of(&results);
        let find = |what: &str| table.iter().find(|row| row[0].starts_with(what)).unwrap();
        let reached = find("ingest TSBS cpu-only");
        assert_eq!(reached[1..], ["0.200 (duckdb)", "at most 0.100", "0.090", "reached"]);
        assert_eq!(find("disk TSBS cpu-only")[4], "missed");
        assert_eq!(find("restart after a clean stop")[3..], ["-", "not measured"]);
    }

    #[test]
    fn scans_are_better_the_more_they_read() {
        let scan = |server: &str, figure| {
            Row::new("scan-stddev-1-total", server).with("m_samples_per_cpu_s", figure)
        };
        let mut results = Results::default();
        let rows = vec![scan("tsdb", 1100.0), scan("duckdb", 700.0), scan("chdb", 90.0)];
        results.sections.insert("queries-1000".to_owned(), section(rows));
        let table = table_of(&results);
        let row = table.iter().find(|row| row[0].contains("`stddev(f)`")).unwrap();
        assert_eq!(row[1..], ["700 (duckdb)", "at least 1000", "1100", "reached"]);
    }
}
