//! The sections of the programme: what is measured together in one run, side by side.

mod acks;
mod databases;
mod ingest;
mod mixed;
mod queries;
mod restart;

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::clock::today;
use crate::dataset::options::{Case, DataOptions};
use crate::encode::Format;
use crate::measure::Effort;
use crate::peer::Kind;
use crate::results::{Row, Section};

/// Choices that hold for every section.
#[derive(Debug, Clone)]
pub struct Setup {
    /// What is measured, ours among them or not.
    pub kinds: Vec<Kind>,
    /// How often each load is repeated; servers take turns.
    pub repeats: usize,
    /// How often each kind of query is asked.
    pub effort: Effort,
    /// Seed of the instances of queries.
    pub seed: u64,
    /// Recording of a real exporter.
    pub scrapes: Option<PathBuf>,
    /// Divides the number of hosts and instances, to try a section out.
    pub shrink: u32,
}

/// Something that is measured.
#[derive(Debug, Clone, Copy)]
pub struct Spec {
    /// Its name on the command line.
    pub name: &'static str,
    /// What it is about, as a heading.
    pub title: &'static str,
    what: What,
}

#[derive(Debug, Clone, Copy)]
enum What {
    Ingest(Load, Format),
    Acks(Load),
    Queries(Load),
    Mixed(Load),
    Restart(Load),
    Databases(u32),
}

/// Data of a section.
#[derive(Debug, Clone, Copy)]
struct Load {
    case: Case,
    scale: u32,
    duration_s: u32,
    interval_s: u32,
    change: fn(DataOptions) -> DataOptions,
}

impl Load {
    const fn plain(case: Case, scale: u32, duration_s: u32, interval_s: u32) -> Load {
        Load { case, scale, duration_s, interval_s, change: |data| data }
    }

    fn options(&self, setup: &Setup) -> DataOptions {
        let scale = (self.scale / setup.shrink.max(1)).max(1);
        let plain = DataOptions::plain(self.case, scale, self.duration_s, self.interval_s);
        (self.change)(DataOptions { scrapes: setup.scrapes.clone(), ..plain })
    }
}

const DAY_S: u32 = 86_400;
const CPU: Load = Load::plain(Case::CpuOnly, 100, DAY_S, 10);
const CPU_LARGE: Load = Load::plain(Case::CpuOnly, 1000, DAY_S, 10);
const MILLION: Load = Load::plain(Case::Exporter, 2100, 30, 15);

/// All sections, in the order in which they are run and reported.
pub const SPECS: &[Spec] = &[
    ingest("ingest-cpu", "Ingest, TSBS cpu-only", CPU, Format::Line),
    ingest(
        "ingest-remote-write",
        "Ingest, TSBS cpu-only by remote write",
        CPU,
        Format::RemoteWrite,
    ),
    ingest("ingest-json", "Ingest, TSBS cpu-only by JSON", CPU, Format::Json),
    ingest("ingest-otlp", "Ingest, TSBS cpu-only by OTLP", CPU, Format::Otlp),
    ingest(
        "ingest-hosts",
        "Ingest, 100 000 hosts of 10 fields and 5 rows",
        Load::plain(Case::CpuOnly, 100_000, 50, 10),
        Format::Line,
    ),
    ingest(
        "ingest-devops",
        "Ingest, TSBS devops",
        Load::plain(Case::Devops, 10, DAY_S, 10),
        Format::Line,
    ),
    ingest(
        "ingest-single",
        "Ingest, one value a row in the shape of node_exporter",
        Load::plain(Case::Exporter, 20, 3 * 3600, 15),
        Format::Line,
    ),
    ingest(
        "ingest-scrapes",
        "Ingest, scrapes of a real node_exporter",
        Load::plain(Case::Scrapes, 20, DAY_S, 15),
        Format::Line,
    ),
    ingest(
        "ingest-million",
        "Ingest, a million series by remote write",
        MILLION,
        Format::RemoteWrite,
    ),
    ingest(
        "ingest-million-lines",
        "Ingest, a million series by line protocol",
        MILLION,
        Format::Line,
    ),
    ingest(
        "ingest-churn",
        "Ingest, hosts replaced every ten minutes",
        Load {
            change: |data| DataOptions { life: Some(600), ..data },
            ..Load::plain(Case::CpuOnly, 500, 4 * 3600, 10)
        },
        Format::Line,
    ),
    ingest(
        "ingest-late",
        "Ingest, five percent of the rows late",
        Load { change: |data| DataOptions { late: 0.05, ..data }, ..CPU },
        Format::Line,
    ),
    ingest(
        "ingest-repeat",
        "Ingest, five percent of the rows written again with other values",
        Load { change: |data| DataOptions { repeat: 0.05, repeat_changed: true, ..data }, ..CPU },
        Format::Line,
    ),
    Spec {
        name: "ingest-acks",
        title: "Acknowledgement of single lines, 64 clients at once",
        what: What::Acks(Load::plain(Case::CpuOnly, 64, 3600, 10)),
    },
    Spec { name: "queries-100", title: "Queries, 100 hosts", what: What::Queries(CPU) },
    Spec { name: "queries-1000", title: "Queries, 1000 hosts", what: What::Queries(CPU_LARGE) },
    Spec {
        name: "mixed",
        title: "Small queries while ingesting at half capacity",
        what: What::Mixed(Load { scale: 500, ..CPU }),
    },
    Spec { name: "restart", title: "Restart", what: What::Restart(CPU) },
    Spec { name: "databases", title: "Two thousand databases", what: What::Databases(2000) },
];

const fn ingest(name: &'static str, title: &'static str, load: Load, format: Format) -> Spec {
    Spec { name, title, what: What::Ingest(load, format) }
}

impl Spec {
    /// The section of this name.
    pub fn of_name(name: &str) -> Option<&'static Spec> {
        SPECS.iter().find(|spec| spec.name == name)
    }

    /// Measures it.
    ///
    /// # Errors
    /// Data that cannot be made. What goes wrong with one server stands in its row instead.
    pub fn run(&self, setup: &Setup) -> Result<Section, String> {
        let mut setup = setup.clone();
        if matches!(self.what, What::Queries(load) if load.scale > CPU.scale) {
            // Loading it alone takes ten minutes, and its answers as long.
            setup.kinds.retain(|kind| *kind != Kind::Prometheus);
        }
        let setup = &setup;
        let (data, rows, notes) = match self.what {
            What::Ingest(load, format) => {
                let data = load.options(setup);
                (data.flags(), ingest::run(setup, &data, format)?, ingest::notes(format))
            }
            What::Acks(load) => {
                let data = load.options(setup);
                let note = "One line a request. Without a label each client sends the next line when the last is \
                            answered, so that server and clients take all processor time. A sync is fdatasync behind \
                            4 KiB of a file of known length, on the same disk, before and after the load; \
                            VictoriaMetrics does not wait for any.";
                (data.flags(), acks::run(setup, &data)?, vec![note.to_owned()])
            }
            What::Queries(load) => {
                let data = load.options(setup);
                let (rows, notes) = queries::run(setup, &data)?;
                (data.flags(), rows, notes)
            }
            What::Mixed(load) => {
                let data = load.options(setup);
                (data.flags(), mixed::run(setup, &data)?, Vec::new())
            }
            What::Restart(load) => {
                let data = load.options(setup);
                (data.flags(), restart::run(setup, &data)?, Vec::new())
            }
            What::Databases(count) => {
                let count = (count / setup.shrink.max(1)).max(1);
                let data = format!("one series of one row in each of {count} databases");
                (data, databases::run(setup, count), Vec::new())
            }
        };
        Ok(self.section(setup, data, rows, notes))
    }

    fn section(
        &self,
        setup: &Setup,
        data: String,
        rows: Vec<Row>,
        mut notes: Vec<String>,
    ) -> Section {
        let measured = |kind: &&Kind| rows.iter().any(|row| row.server == kind.name());
        let versions = setup.kinds.iter().filter(measured);
        let versions: BTreeMap<String, String> = versions
            .map(|kind| (kind.name().to_owned(), kind.version().unwrap_or_else(|| "?".to_owned())))
            .collect();
        if setup.shrink > 1 {
            notes.push(format!(
                "Tried out with a {}th of the hosts: no figure of this counts.",
                setup.shrink
            ));
        }
        let peers = setup.kinds.iter().filter(|kind| **kind != Kind::Tsdb);
        let peers: String = peers.map(|kind| format!(" --peer {}", kind.name())).collect();
        Section {
            date: today(),
            machine: machine(),
            versions,
            data,
            command: format!("cargo xtask bench --section {}{peers}", self.name),
            rows,
            notes,
        }
    }
}

/// Processor, cores, memory and kernel of this machine.
fn machine() -> String {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let value = |text: &str, name: &str| {
        let line = text.lines().find(|line| line.starts_with(name)).unwrap_or("");
        line.split_once(':').map_or(String::new(), |(_, value)| value.trim().to_owned())
    };
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let memory = value(&read("/proc/meminfo"), "MemTotal");
    let memory: u64 = memory.trim_end_matches(" kB").parse().unwrap_or(0);
    // Behind the numbers stands whoever built it.
    let kernel = read("/proc/sys/kernel/osrelease");
    let kernel = kernel.split(|c: char| c != '.' && !c.is_ascii_digit()).next().unwrap_or("");
    format!(
        "{} ({cores} cores, {} GiB), Linux {}",
        value(&read("/proc/cpuinfo"), "model name"),
        memory.div_ceil(1 << 20),
        kernel
    )
}

/// The row of what went wrong, or the row.
fn row_or_error(label: &str, kind: Kind, outcome: Result<Row, String>) -> Row {
    outcome.unwrap_or_else(|error| {
        eprintln!("{} {label}: {error}", kind.name());
        Row::new(label, kind.name()).failed(error)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_have_names_of_their_own() {
        for spec in SPECS {
            assert_eq!(Spec::of_name(spec.name).unwrap().title, spec.title);
        }
        assert!(Spec::of_name("nonsense").is_none());
    }

    #[test]
    fn machine_is_described() {
        let text = machine();
        assert!(text.contains("cores") && text.contains("Linux "), "{text}");
    }
}
