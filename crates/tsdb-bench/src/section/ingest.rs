//! Loading: CPU until the last acknowledgement and until all background work is done, memory, disk.

use std::fs::File;
use std::time::Instant;

use serde_json::json;

use super::{Setup, row_or_error};
use crate::dataset::options::{Case, DataOptions};
use crate::dataset::write_all;
use crate::encode::{Body, Format, build, rows_of, samples_of};
use crate::load::{Sent, send};
use crate::peer::Kind;
use crate::process::Usage;
use crate::results::Row;
use crate::server::Server;

/// Rows in a request: as many samples as TSBS sends, whatever the width of a row.
pub const SAMPLES_PER_REQUEST: usize = 50_000;
/// Samples in a request of remote write, and of OTLP.
const SAMPLES_PER_REMOTE_WRITE: usize = 10_000;

/// Data, ready to be sent to servers that listen on a port.
pub struct Batches {
    data: DataOptions,
    format: Format,
    /// The requests, in order.
    pub bodies: Vec<Body>,
}

impl Batches {
    /// Builds requests in `format`.
    ///
    /// # Errors
    /// Options that make no data.
    pub fn build(data: &DataOptions, format: Format) -> Result<Batches, String> {
        let samples = match format {
            Format::RemoteWrite | Format::Otlp => SAMPLES_PER_REMOTE_WRITE,
            Format::Line | Format::Csv | Format::Json => SAMPLES_PER_REQUEST,
        };
        let rows_max = samples / mean_row_width(data.case);
        let bodies = build(&mut data.source()?, format, rows_max);
        Ok(Batches { data: data.clone(), format, bodies })
    }

    /// Millions of values.
    pub fn millions(&self) -> f64 {
        samples_of(&self.bodies) as f64 / 1e6
    }

    /// Rows.
    pub fn rows(&self) -> u64 {
        rows_of(&self.bodies)
    }

    /// Loads a server that has no data, and has it settle.
    ///
    /// # Errors
    /// A refused request, a server that ends.
    pub fn load(&self, server: &mut Server) -> Result<Loaded, String> {
        if server.kind().is_embedded() {
            return self.load_file(server);
        }
        let before = server.usage()?;
        let sent = send(&self.bodies, &server.destination(self.format))?;
        let acknowledged = server.usage()?;
        server.settle()?;
        let settled = server.usage()?;
        let seconds = sent.elapsed.as_secs_f64();
        Ok(Loaded { before, acknowledged, settled, seconds, sent: Some(sent) })
    }

    /// In-process databases read a file, which is made while nothing is measured.
    fn load_file(&self, server: &mut Server) -> Result<Loaded, String> {
        let file = server.exchange_file();
        let mut source = self.data.source()?;
        File::create(&file)
            .and_then(|mut out| write_all(&mut source, Format::Csv, &mut out))
            .map_err(|error| format!("cannot write {}: {error}", file.display()))?;
        let before = server.usage()?;
        let begin = Instant::now();
        server.tell(&json!({"do": "load", "path": file}))?;
        let seconds = begin.elapsed().as_secs_f64();
        let acknowledged = server.usage()?;
        server.settle()?;
        let settled = server.usage()?;
        // The file is large and the table is made.
        let _ = std::fs::remove_file(file);
        Ok(Loaded { before, acknowledged, settled, seconds, sent: None })
    }
}

/// What loading took.
pub struct Loaded {
    before: Usage,
    acknowledged: Usage,
    settled: Usage,
    seconds: f64,
    sent: Option<Sent>,
}

impl Loaded {
    /// The figures as a row.
    ///
    /// # Errors
    /// A size that cannot be found out.
    pub fn row(&self, label: &str, batches: &Batches, server: &Server) -> Result<Row, String> {
        let millions = batches.millions();
        let cpu = |usage: &Usage| (usage.cpu_s - self.before.cpu_s) / millions;
        let bytes = server.disk_bytes()? as f64;
        let mut row = Row::new(label, server.kind().name())
            .with("cpu_s_per_m_acknowledged", cpu(&self.acknowledged))
            .with("cpu_s_per_m", cpu(&self.settled))
            .with("m_samples_per_s", millions / self.seconds)
            .with("rss_peak_mib", self.settled.rss_peak_bytes as f64 / f64::from(1 << 20))
            .with("bytes_per_sample", bytes / (millions * 1e6));
        if let Some(sent) = &self.sent {
            row = row.with("client_cpu_s_per_m", sent.client_cpu_s / millions);
            row = row.with("retries", sent.retries as f64);
        }
        if let Some(amplification) = write_amplification(server)? {
            row = row.with("write_amplification", amplification);
        }
        Ok(row)
    }
}

/// Bytes that went to run files by the bytes of those that are left, where the server counts them.
fn write_amplification(server: &Server) -> Result<Option<f64>, String> {
    if server.kind() != Kind::Tsdb {
        return Ok(None);
    }
    let metric = |name: &str| server_metric(server, name);
    let written =
        metric("tsdb_storage_flush_bytes_total")? + metric("tsdb_storage_compaction_bytes_total")?;
    let left = metric("tsdb_storage_run_bytes")?;
    Ok((left > 0.0).then(|| written / left))
}

/// A metric without labels of our server.
///
/// # Errors
/// There is none of that name.
pub fn server_metric(server: &Server, name: &str) -> Result<f64, String> {
    let text = server.connect()?.get("/metrics")?.expect_success()?;
    let text = String::from_utf8_lossy(&text);
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
    value.ok_or_else(|| format!("{} has no metric {name}", server.kind().name()))
}

/// Values in a row, on average.
fn mean_row_width(case: Case) -> usize {
    match case {
        Case::CpuOnly => 10,
        Case::Devops => 11,
        Case::Exporter | Case::Scrapes => 1,
    }
}

/// Loads every server `repeats` times, each time one after the other.
///
/// # Errors
/// Options that make no data.
pub fn run(setup: &Setup, data: &DataOptions, format: Format) -> Result<Vec<Row>, String> {
    let batches = Batches::build(data, format)?;
    let mut rows = Vec::new();
    for _ in 0..setup.repeats.max(1) {
        for kind in setup.kinds.iter().copied().filter(|kind| takes_part(*kind, data, format)) {
            eprintln!("loading {}", kind.name());
            let outcome = Server::start(kind).and_then(|mut server| {
                let loaded = batches.load(&mut server)?;
                loaded.row("", &batches, &server)
            });
            rows.push(row_or_error("", kind, outcome));
        }
    }
    Ok(rows)
}

/// What has to be said of a load in this format.
pub fn notes(format: Format) -> Vec<String> {
    let peers = Kind::ALL.iter().filter(|kind| **kind != Kind::Tsdb);
    let is_alone = !peers.flat_map(|kind| kind.formats()).any(|taken| *taken == format);
    let note = "The peers, in the versions of their packages, do not take this format: no figure stands beside ours.";
    is_alone.then(|| note.to_owned()).into_iter().collect()
}

/// Whether a server can be loaded with this data in this format; in-process databases take the file of
/// one table in its place.
pub fn takes_part(kind: Kind, data: &DataOptions, format: Format) -> bool {
    let is_plain = data.case == Case::CpuOnly && data.late == 0.0 && data.repeat == 0.0;
    kind.formats().contains(&format)
        || (kind.is_embedded() && format == Format::Line && is_plain && data.life.is_none())
}
