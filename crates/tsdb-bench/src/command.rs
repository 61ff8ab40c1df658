//! The command line: what can be asked of the program, and what is called for it.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use crate::dataset::options::{DataOptions, seconds};
use crate::dataset::{self};
use crate::encode::{Format, build};
use crate::http::Connection;
use crate::load::{Destination, headers, send};
use crate::measure::Effort;
use crate::peer::{DATABASE, Dialect, Kind};
use crate::process::usage;
use crate::question::{Extent, KINDS};
use crate::report;
use crate::results::Results;
use crate::section::{SPECS, Setup, Spec};

/// Generates data, loads and queries time series databases side by side, and reads what they cost.
#[derive(Debug, Parser)]
#[command(name = "tsdb-bench", version)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Writes generated data to standard output or to a file; bodies of remote write and OTLP to one file each
    Generate(Generate),
    /// Sends generated data to a running server and prints what it cost
    Load(Load),
    /// Prints instances of the query kinds
    Questions(Questions),
    /// Records scrapes of a running exporter for `--case scrapes`
    Record(Record),
    /// Starts ours and its peers, measures sections, prints tables with ratios, keeps results as JSON
    Run(Run),
    /// Writes the report from results
    Report(Report),
}

#[derive(Debug, Args)]
struct Generate {
    #[command(flatten)]
    data: DataOptions,
    /// Wire format
    #[arg(long, value_enum, default_value_t = Format::Line)]
    format: Format,
    /// Rows in a body of remote write or OTLP
    #[arg(long, default_value_t = 1000)]
    batch: usize,
    /// File, or directory for bodies of remote write and OTLP; standard output without
    #[arg(long)]
    out: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct Load {
    #[command(flatten)]
    data: DataOptions,
    /// Wire format
    #[arg(long, value_enum, default_value_t = Format::Line)]
    format: Format,
    /// Server, as host:port
    #[arg(long, default_value = "127.0.0.1:8086")]
    server: String,
    /// Database to write to
    #[arg(long, default_value = DATABASE)]
    database: String,
    /// Do not create the database first, for servers without databases
    #[arg(long)]
    no_create: bool,
    /// Rows in a request
    #[arg(long, default_value_t = 5000)]
    batch: usize,
    /// Connections, each with a thread of its own
    #[arg(long, default_value_t = 2)]
    connections: usize,
    /// Samples per second; as fast as possible without
    #[arg(long)]
    pace: Option<f64>,
    /// Process id of the server, to measure its CPU and memory
    #[arg(long)]
    pid: Option<u32>,
    /// Path that is POSTed to at the end, to flush and merge; its CPU counts. Can be repeated
    #[arg(long = "finish")]
    finish_paths: Vec<String>,
}

#[derive(Debug, Args)]
struct Questions {
    #[command(flatten)]
    data: DataOptions,
    /// Kinds; all without
    #[arg(long = "kind")]
    kinds: Vec<String>,
    /// Language, by a server that speaks it
    #[arg(long, value_enum, default_value_t = Kind::Tsdb)]
    of: Kind,
    /// Instances of each kind
    #[arg(long, default_value_t = 1)]
    count: usize,
}

#[derive(Debug, Args)]
struct Record {
    /// Exporter, as host:port
    #[arg(long, default_value = "127.0.0.1:9100")]
    server: String,
    /// Path of its metrics
    #[arg(long, default_value = "/metrics")]
    path: String,
    /// Time between two scrapes
    #[arg(long, default_value = "1s", value_parser = seconds)]
    every: u32,
    /// Scrapes
    #[arg(long, default_value_t = 6000)]
    count: u32,
    /// Directory for the recording
    #[arg(long)]
    out: PathBuf,
}

#[derive(Debug, Args)]
struct Run {
    /// Sections; all without. Can be repeated
    #[arg(long = "section")]
    sections: Vec<String>,
    /// Peers beside ours; all that are installed without. Can be repeated
    #[arg(long = "peer", value_enum)]
    peers: Vec<Kind>,
    /// No peers at all
    #[arg(long, conflicts_with = "peers")]
    alone: bool,
    /// How often each load is repeated
    #[arg(long, default_value_t = 2)]
    repeats: usize,
    /// CPU time in seconds that each server spends on each kind of query at least
    #[arg(long, default_value_t = 2.0)]
    query_cpu: f64,
    /// Instances of each kind of query that each server answers at least
    #[arg(long, default_value_t = 50)]
    query_instances: u64,
    /// Seed of the instances of queries
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Recording for the section ingest-scrapes
    #[arg(long)]
    scrapes: Option<PathBuf>,
    /// Divide all numbers of hosts by this, to try a section out
    #[arg(long, default_value_t = 1)]
    shrink: u32,
    /// Results, to which those of the sections are added
    #[arg(long, default_value = "benchmarks.json")]
    results: PathBuf,
}

#[derive(Debug, Args)]
struct Report {
    /// Results
    #[arg(long, default_value = "benchmarks.json")]
    results: PathBuf,
    /// File for the report; standard output without
    #[arg(long)]
    out: Option<PathBuf>,
}

impl Arguments {
    /// Does what was asked.
    ///
    /// # Errors
    /// What went wrong, as a sentence.
    pub fn run(self) -> Result<(), String> {
        match self.command {
            Command::Generate(generate) => generate.run(),
            Command::Load(load) => load.run(),
            Command::Questions(questions) => questions.run(),
            Command::Record(record) => {
                let every = Duration::from_secs(record.every.into());
                dataset::record(&record.server, &record.path, every, record.count, &record.out)
            }
            Command::Run(run) => run.run(),
            Command::Report(report) => report.run(),
        }
    }
}

impl Generate {
    fn run(&self) -> Result<(), String> {
        let mut source = self.data.source()?;
        let failed = |error: std::io::Error| format!("cannot write: {error}");
        let suffix = match self.format {
            Format::RemoteWrite => Some("snappy"),
            Format::Otlp => Some("pb"),
            Format::Line | Format::Csv | Format::Json => None,
        };
        if let Some(suffix) = suffix {
            let hint =
                "bodies of protocol buffers go to files of their own: give a directory with --out";
            let dir = self.out.as_deref().ok_or(hint)?;
            std::fs::create_dir_all(dir).map_err(failed)?;
            for (number, body) in build(&mut source, self.format, self.batch).iter().enumerate() {
                std::fs::write(dir.join(format!("{number:06}.{suffix}")), &body.bytes)
                    .map_err(failed)?;
            }
            return Ok(());
        }
        let mut out: Box<dyn Write> = match &self.out {
            Some(file) => Box::new(std::fs::File::create(file).map_err(failed)?),
            None => Box::new(std::io::stdout().lock()),
        };
        dataset::write_all(&mut source, self.format, &mut out).map_err(failed)
    }
}

impl Load {
    fn run(&self) -> Result<(), String> {
        let bodies = build(&mut self.data.source()?, self.format, self.batch);
        let mut control = Connection::open(&self.server)?;
        if !self.no_create {
            let path = format!("/query?q=CREATE%20DATABASE%20{}", self.database);
            control.post(&path, &[])?.expect_success()?;
        }
        let path = match self.format {
            Format::RemoteWrite | Format::Json => format!("/api/v1/write?db={}", self.database),
            Format::Otlp => format!("/v1/metrics?db={}", self.database),
            Format::Line | Format::Csv => format!("/write?db={}", self.database),
        };
        let destination = Destination {
            server: self.server.clone(),
            path,
            headers: headers(self.format),
            connections: self.connections,
            pace: self.pace,
        };
        let server_usage = || self.pid.map(usage).transpose();
        let before = server_usage()?;
        let sent = send(&bodies, &destination)?;
        let acknowledged = server_usage()?;
        for path in &self.finish_paths {
            control.post(path, &[])?.expect_success()?;
        }
        println!("{sent}");
        if let (Some(before), Some(acknowledged), Some(end)) =
            (before, acknowledged, server_usage()?)
        {
            let cpu = |cpu_s: f64| (cpu_s - before.cpu_s) / sent.millions();
            println!(
                "server CPU per M samples {:.4} s until acknowledged, {:.4} s until finished; peak RSS {} MiB",
                cpu(acknowledged.cpu_s),
                cpu(end.cpu_s),
                end.rss_peak_bytes >> 20
            );
        }
        Ok(())
    }
}

impl Questions {
    fn run(&self) -> Result<(), String> {
        let wanted =
            |name: &str| self.kinds.is_empty() || self.kinds.iter().any(|kind| kind == name);
        let extent = Extent::of(&self.data);
        for kind in KINDS.iter().filter(|kind| wanted(kind.name)) {
            for question in kind.instances(extent, self.data.seed).take(self.count) {
                let text = match self.of.dialect() {
                    dialect @ (Dialect::MetricsQl | Dialect::PromQl) => {
                        question.range(dialect).to_string()
                    }
                    dialect => question.text(dialect),
                };
                println!("{}\t{text}", kind.name);
            }
        }
        Ok(())
    }
}

impl Run {
    fn run(&self) -> Result<(), String> {
        let mut results = Results::read(&self.results)?;
        let setup = Setup {
            kinds: self.kinds()?,
            repeats: self.repeats,
            effort: Effort { cpu_s: self.query_cpu, instances: self.query_instances },
            seed: self.seed,
            scrapes: self.scrapes.clone(),
            shrink: self.shrink,
        };
        for spec in self.specs()? {
            if spec.name == "ingest-scrapes" && setup.scrapes.is_none() {
                println!(
                    "SKIPPED: {}: no recording (--scrapes DIR, made by `tsdb-bench record`)",
                    spec.name
                );
                continue;
            }
            eprintln!("=== {}", spec.title);
            let section = spec.run(&setup)?;
            println!("\n## {}\n\n{}", spec.title, report::tables(&section));
            results.sections.insert(spec.name.to_owned(), section);
            results.write(&self.results)?;
        }
        Ok(())
    }

    /// Ours and the peers; peers that were asked for by name must be there, others are left out loudly.
    fn kinds(&self) -> Result<Vec<Kind>, String> {
        Kind::Tsdb.check()?;
        let mut kinds = vec![Kind::Tsdb];
        if self.alone {
            return Ok(kinds);
        }
        for kind in Kind::ALL.into_iter().skip(1) {
            match kind.check() {
                Ok(()) if self.peers.is_empty() || self.peers.contains(&kind) => kinds.push(kind),
                Ok(()) => {}
                Err(missing) if self.peers.contains(&kind) => return Err(missing),
                Err(missing) if self.peers.is_empty() => println!("SKIPPED: {missing}"),
                Err(_) => {}
            }
        }
        Ok(kinds)
    }

    fn specs(&self) -> Result<Vec<&'static Spec>, String> {
        if self.sections.is_empty() {
            return Ok(SPECS.iter().collect());
        }
        let find = |name: &String| {
            let names: Vec<&str> = SPECS.iter().map(|spec| spec.name).collect();
            Spec::of_name(name).ok_or_else(|| {
                format!("there is no section {name}; choose from {}", names.join(", "))
            })
        };
        self.sections.iter().map(find).collect()
    }
}

impl Report {
    fn run(&self) -> Result<(), String> {
        let text = report::report(&Results::read(&self.results)?);
        match &self.out {
            Some(file) => write_file(file, &text),
            None => {
                print!("{text}");
                Ok(())
            }
        }
    }
}

fn write_file(file: &Path, text: &str) -> Result<(), String> {
    std::fs::write(file, text).map_err(|error| format!("cannot write {}: {error}", file.display()))
}
