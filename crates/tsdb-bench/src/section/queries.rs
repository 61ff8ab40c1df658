//! Queries: answers first, times after.

use std::collections::BTreeMap;

use super::ingest::{Batches, takes_part};
use super::{Setup, row_or_error};
use crate::answer::Agreement;
use crate::ask::Asker;
use crate::dataset::options::DataOptions;
use crate::encode::Format;
use crate::measure::{Measured, measure};
use crate::peer::Kind;
use crate::process::reset_peak;
use crate::question::{Extent, KINDS, QueryKind};
use crate::results::Row;
use crate::server::Server;

/// Instances of each kind whose answers are compared before it is measured.
const COMPARED: usize = 5;

/// Label of the rows about loading.
pub const LOAD: &str = "load";
/// Label of the rows about the memory of all queries together.
pub const MEMORY: &str = "memory";

/// Starts and loads all servers, then takes kind by kind: compares answers, measures.
///
/// # Errors
/// Options that make no data.
pub fn run(setup: &Setup, data: &DataOptions) -> Result<(Vec<Row>, Vec<String>), String> {
    let mut rows = Vec::new();
    let mut servers = load_all(setup, data, &mut rows)?;
    let extent = Extent::of(data);
    let mut compared = BTreeMap::new();
    for server in &servers {
        if let Err(error) = reset_peak(server.pid()) {
            eprintln!("{error}");
        }
    }
    for kind in KINDS {
        eprintln!("asking {}", kind.name);
        let wrong = compare(&mut servers, kind, extent, setup.seed, &mut compared);
        let outcomes = measure(&mut servers, kind, extent, setup.seed, setup.effort);
        for (server, outcome) in servers.iter().zip(outcomes) {
            let wrong = wrong.get(&server.kind()).cloned();
            // No time of an answer that is wrong.
            let outcome = wrong.map_or(outcome, Err).map(|m| row(kind, server.kind(), &m, data));
            rows.push(row_or_error(kind.name, server.kind(), outcome));
        }
    }
    for server in &servers {
        let peak = server.usage().map(|usage| usage.rss_peak_bytes as f64 / f64::from(1 << 20));
        let outcome =
            peak.map(|mib| Row::new(MEMORY, server.kind().name()).with("rss_peak_mib", mib));
        rows.push(row_or_error(MEMORY, server.kind(), outcome));
    }
    Ok((rows, notes(&compared)))
}

fn load_all(setup: &Setup, data: &DataOptions, rows: &mut Vec<Row>) -> Result<Vec<Server>, String> {
    let mut servers = Vec::new();
    for format in [Format::Line, Format::RemoteWrite] {
        // Prometheus takes remote write alone; all others have had the data by then.
        let wanted = |kind: &&Kind| match format {
            Format::RemoteWrite => **kind == Kind::Prometheus,
            _ => takes_part(**kind, data, format),
        };
        let kinds: Vec<Kind> = setup.kinds.iter().filter(wanted).copied().collect();
        if kinds.is_empty() {
            continue;
        }
        let batches = Batches::build(data, format)?;
        for kind in kinds {
            eprintln!("loading {}", kind.name());
            let outcome = Server::start(kind).and_then(|mut server| {
                let loaded = batches.load(&mut server)?;
                let row = loaded.row(LOAD, &batches, &server)?;
                servers.push(server);
                Ok(row)
            });
            rows.push(row_or_error(LOAD, kind, outcome));
        }
    }
    Ok(servers)
}

fn row(kind: &QueryKind, server: Kind, measured: &Measured, data: &DataOptions) -> Row {
    let latency = &measured.latency;
    let row = Row::new(kind.name, server.name())
        .with("count", measured.count as f64)
        .with("cpu_ms", measured.cpu_ms)
        .with("min_ms", latency.quantile_ms(0.0))
        .with("median_ms", latency.quantile_ms(0.5))
        .with("p95_ms", latency.quantile_ms(0.95))
        .with("p99_ms", latency.quantile_ms(0.99))
        .with("answer_bytes", measured.bytes);
    if kind.is_tsbs || measured.cpu_ms == 0.0 {
        return row;
    }
    // Scans go over all rows, of as many fields as they aggregate.
    let question = kind.instances(Extent::of(data), 0).next();
    let fields = question.map_or(0, |question| question.fields().len());
    let rows = f64::from(data.scale) * f64::from(data.duration.div_ceil(data.interval));
    row.with("m_samples_per_cpu_s", rows * fields as f64 / 1e3 / measured.cpu_ms)
}

/// Compares the answers of all servers with those of the first that gives any, ours when it takes part.
/// Gives back who disagrees, with the first difference; then ours is said to be wrong too, since nobody
/// knows who is right.
fn compare(
    servers: &mut [Server],
    kind: &QueryKind,
    extent: Extent,
    seed: u64,
    compared: &mut BTreeMap<(String, String), Agreement>,
) -> BTreeMap<Kind, String> {
    let mut wrong = BTreeMap::new();
    for question in kind.instances(extent, seed).take(COMPARED) {
        let mut first = None;
        for server in servers.iter_mut() {
            let name = server.kind();
            let asked = Asker::new(server).and_then(|mut asker| asker.table(server, &question));
            let table = match asked {
                Ok(Some(table)) => table,
                Ok(None) => continue,
                Err(error) => {
                    wrong.insert(name, error);
                    continue;
                }
            };
            let Some((reference, expected)) = &first else {
                first = Some((name, table));
                continue;
            };
            match table.agree(expected) {
                Ok(agreement) => {
                    let pair = (reference.name().to_owned(), name.name().to_owned());
                    let sum = compared.entry(pair).or_default();
                    sum.cells += agreement.cells;
                    sum.rounded += agreement.rounded;
                }
                Err(difference) => {
                    let text = question.text(name.dialect());
                    let message = format!("answers differ: {difference}; {text}");
                    wrong.insert(name, message.clone());
                    wrong.insert(*reference, message);
                }
            }
        }
    }
    wrong
}

fn notes(compared: &BTreeMap<(String, String), Agreement>) -> Vec<String> {
    let note = |((one, other), agreement): (&(String, String), &Agreement)| {
        format!(
            "Answers of {one} and {other} compared before any time was taken: {} values, {} of them equal but for rounding (relative 1e-11), the others to the bit.",
            agreement.cells, agreement.rounded
        )
    };
    compared.iter().map(note).collect()
}
