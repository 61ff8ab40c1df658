//! Tables of queries: a row a kind, a column a server, and ours against the best peer.

use super::table;
use crate::peer::Kind;
use crate::question::KINDS;
use crate::results::Section;

/// Whether a label is the name of a kind of query.
pub fn is_query(label: &str) -> bool {
    KINDS.iter().any(|kind| kind.name == label)
}

/// How the CPU time of ours compares with the least of the peers, by kind of query; 1 is as much.
pub fn ratios(section: &Section) -> Vec<(&'static str, f64)> {
    let ratio = |kind: &'static str| {
        let ours = section.figure(kind, Kind::Tsdb.name(), "cpu_ms")?;
        let best = best_peer(section, kind, "cpu_ms")?;
        Some((kind, ours / best.1))
    };
    let tsbs = KINDS.iter().filter(|kind| kind.is_tsbs);
    tsbs.filter_map(|kind| ratio(kind.name)).collect()
}

/// The geometric mean of some ratios; None without any.
pub fn geometric_mean(ratios: &[(&'static str, f64)]) -> Option<f64> {
    let logarithms: f64 = ratios.iter().map(|(_, ratio)| ratio.ln()).sum();
    (!ratios.is_empty()).then(|| (logarithms / ratios.len() as f64).exp())
}

/// The peer with the least of a figure.
pub fn best_peer<'a>(section: &'a Section, label: &str, column: &str) -> Option<(&'a str, f64)> {
    let peers = section.servers().into_iter().filter(|server| *server != Kind::Tsdb.name());
    let figures = peers.filter_map(|peer| Some((peer, section.figure(label, peer, column)?)));
    figures.min_by(|a, b| a.1.total_cmp(&b.1))
}

/// The tables of a section of queries; nothing for others.
pub fn tables(section: &Section) -> String {
    let labels: Vec<&str> = section.labels().into_iter().filter(|label| is_query(label)).collect();
    if labels.is_empty() {
        return String::new();
    }
    let servers = section.servers();
    let mut head = vec!["CPU-ms a query (median latency, ms)".to_owned()];
    head.extend(servers.iter().map(|server| (*server).to_owned()));
    head.push("CPU, ours / best peer".to_owned());
    head.push("median, ours / best peer".to_owned());
    let rows: Vec<Vec<String>> =
        labels.iter().map(|label| query_row(section, &servers, label)).collect();
    let mut text = table(&head, &rows);
    if let Some(mean) = geometric_mean(&ratios(section)) {
        let count = ratios(section).len();
        text.push_str(&format!(
            "Ours against the best peer of each kind, geometric mean over {count} kinds of TSBS: {mean:.2}.\n\n"
        ));
    }
    text.push_str(&detail(section, &labels));
    text.push_str(&scans(section, &servers, &labels));
    text
}

fn query_row(section: &Section, servers: &[&str], label: &str) -> Vec<String> {
    let mut row = vec![label.to_owned()];
    for server in servers {
        let cpu = section.figure(label, server, "cpu_ms");
        let median = section.figure(label, server, "median_ms");
        row.push(cpu.zip(median).map_or("-".to_owned(), |(cpu, median)| {
            format!("{} ({})", significant(cpu), significant(median))
        }));
    }
    for column in ["cpu_ms", "median_ms"] {
        let ours = section.figure(label, Kind::Tsdb.name(), column);
        let best = best_peer(section, label, column);
        row.push(
            ours.zip(best).map_or("-".to_owned(), |(ours, (peer, best))| {
                format!("{:.2} ({peer})", ours / best)
            }),
        );
    }
    row
}

/// Our own latencies in full.
fn detail(section: &Section, labels: &[&str]) -> String {
    let columns = [
        ("count", "instances"),
        ("min_ms", "min, ms"),
        ("median_ms", "median, ms"),
        ("p95_ms", "p95, ms"),
        ("p99_ms", "p99, ms"),
        ("answer_bytes", "bytes an answer"),
    ];
    let mut head = vec!["ours".to_owned()];
    head.extend(columns.iter().map(|(_, title)| (*title).to_owned()));
    let ours = Kind::Tsdb.name();
    let rows: Vec<Vec<String>> = labels
        .iter()
        .filter(|label| section.figure(label, ours, "count").is_some())
        .map(|label| {
            let figure = |(name, _): &(&str, &str)| match section.figure(label, ours, name) {
                Some(figure) if name.ends_with("ms") => significant(figure),
                Some(figure) => format!("{figure:.0}"),
                None => "-".to_owned(),
            };
            [(*label).to_owned()].into_iter().chain(columns.iter().map(figure)).collect()
        })
        .collect();
    table(&head, &rows)
}

/// How much is scanned in a second of CPU.
fn scans(section: &Section, servers: &[&str], labels: &[&str]) -> String {
    let column = "m_samples_per_cpu_s";
    let has = |label: &&&str| {
        servers.iter().any(|server| section.figure(label, server, column).is_some())
    };
    let labels: Vec<&&str> = labels.iter().filter(has).collect();
    if labels.is_empty() {
        return String::new();
    }
    let mut head = vec!["M samples per CPU-s".to_owned()];
    head.extend(servers.iter().map(|server| (*server).to_owned()));
    let figure = |label: &str, server: &str| {
        section
            .figure(label, server, column)
            .map_or("-".to_owned(), |figure| format!("{figure:.0}"))
    };
    let row = |label: &&&str| {
        let figures = servers.iter().map(|server| figure(label, server));
        [(**label).to_owned()].into_iter().chain(figures).collect()
    };
    table(&head, &labels.iter().map(row).collect::<Vec<_>>())
}

/// Three digits that mean something.
fn significant(figure: f64) -> String {
    match figure {
        f if f >= 100.0 => format!("{f:.0}"),
        f if f >= 10.0 => format!("{f:.1}"),
        f if f >= 1.0 => format!("{f:.2}"),
        f => format!("{f:.3}"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::section;
    use super::*;
    use crate::results::Row;

    fn row(kind: &str, server: &str, cpu: f64, median: f64) -> Row {
        Row::new(kind, server).with("cpu_ms", cpu).with("median_ms", median)
    }

    #[test]
    fn ratios_are_against_the_best_peer_of_each_kind() {
        let section = section(vec![
            row("lastpoint", "tsdb", 2.0, 1.0),
            row("lastpoint", "influxdb", 20.0, 0.5),
            row("lastpoint", "duckdb", 4.0, 3.0),
            row("high-cpu-1", "tsdb", 8.0, 8.0),
            row("high-cpu-1", "influxdb", 1.0, 4.0),
            Row::new("high-cpu-1", "duckdb").failed("no"),
            row("scan-mean-1-total", "tsdb", 9.0, 9.0).with("m_samples_per_cpu_s", 960.4),
        ]);
        assert_eq!(ratios(&section), [("high-cpu-1", 8.0), ("lastpoint", 0.5)]);
        assert!((geometric_mean(&ratios(&section)).unwrap() - 2.0).abs() < 1e-9);
        let text = tables(&section);
        assert!(text.contains("| lastpoint | 2.00 (1.00) | 20.0 (0.500) | 4.00 (3.00) | 0.50 (duckdb) | 2.00 (influxdb) |"), "{text}");
        assert!(text.contains("| high-cpu-1 | 8.00 (8.00) | 1.00 (4.00) | - |"), "{text}");
        assert!(text.contains("geometric mean over 2 kinds of TSBS: 2.00."), "{text}");
        assert!(text.contains("| scan-mean-1-total | 960 | - | - |"), "{text}");
    }
}
