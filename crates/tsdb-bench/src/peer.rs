//! What is measured: the kinds of servers and databases, how each is started, and where it differs.
//!
//! The settings of the peers are the defaults of their packages except where a default would end the
//! measurement (retention, limits of series) or add work that ours does not do (logs of requests).

use std::path::{Path, PathBuf};
use std::process::Command;

use clap::ValueEnum;

use crate::encode::Format;

/// A kind of server or database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, ValueEnum)]
pub enum Kind {
    /// ours
    Tsdb,
    /// VictoriaMetrics, Debian package `victoria-metrics`
    VictoriaMetrics,
    /// InfluxDB 1.6, Debian package `influxdb`
    Influxdb,
    /// Prometheus, Debian package `prometheus`
    Prometheus,
    /// ClickHouse in process, PyPI package `chdb`
    Chdb,
    /// DuckDB in process, PyPI package `duckdb`
    Duckdb,
}

/// A query language.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// InfluxQL, and TQL where both mean the same.
    InfluxQl,
    /// PromQL as VictoriaMetrics extends it.
    MetricsQl,
    /// Plain PromQL.
    PromQl,
    /// SQL of ClickHouse.
    ClickHouse,
    /// SQL of DuckDB.
    DuckDb,
}

/// Database that all data goes to, where a server has databases.
pub const DATABASE: &str = "benchmark";

impl Kind {
    /// All kinds, ours first.
    pub const ALL: [Kind; 6] = [
        Kind::Tsdb,
        Kind::VictoriaMetrics,
        Kind::Influxdb,
        Kind::Prometheus,
        Kind::Chdb,
        Kind::Duckdb,
    ];

    /// Its name in tables and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Tsdb => "tsdb",
            Kind::VictoriaMetrics => "victoria-metrics",
            Kind::Influxdb => "influxdb",
            Kind::Prometheus => "prometheus",
            Kind::Chdb => "chdb",
            Kind::Duckdb => "duckdb",
        }
    }

    /// The language in which it is asked.
    pub fn dialect(self) -> Dialect {
        match self {
            Kind::Tsdb | Kind::Influxdb => Dialect::InfluxQl,
            Kind::VictoriaMetrics => Dialect::MetricsQl,
            Kind::Prometheus => Dialect::PromQl,
            Kind::Chdb => Dialect::ClickHouse,
            Kind::Duckdb => Dialect::DuckDb,
        }
    }

    /// Whether it runs inside a Python process instead of listening on a port.
    pub fn is_embedded(self) -> bool {
        matches!(self, Kind::Chdb | Kind::Duckdb)
    }

    /// The wire formats that it can be loaded with.
    pub fn formats(self) -> &'static [Format] {
        match self {
            Kind::Tsdb => &[Format::Line, Format::RemoteWrite, Format::Json, Format::Otlp],
            Kind::VictoriaMetrics => &[Format::Line, Format::RemoteWrite],
            Kind::Influxdb => &[Format::Line],
            Kind::Prometheus => &[Format::RemoteWrite],
            Kind::Chdb | Kind::Duckdb => &[Format::Csv],
        }
    }

    /// Path, with its query, that takes bodies of `format`.
    pub fn write_path(self, format: Format) -> String {
        match format {
            Format::RemoteWrite if self == Kind::Tsdb => format!("/api/v1/write?db={DATABASE}"),
            Format::Json => format!("/api/v1/write?db={DATABASE}"),
            Format::Otlp => format!("/v1/metrics?db={DATABASE}"),
            Format::RemoteWrite => "/api/v1/write".to_owned(),
            Format::Line | Format::Csv => format!("/write?db={DATABASE}"),
        }
    }

    /// Path that answers 2xx once the server is ready.
    pub fn ready_path(self) -> &'static str {
        match self {
            Kind::Tsdb | Kind::Influxdb => "/ping",
            Kind::Prometheus => "/-/ready",
            Kind::VictoriaMetrics | Kind::Chdb | Kind::Duckdb => "/health",
        }
    }

    /// Paths that are POSTed to, one after the other, to have everything flushed and merged.
    pub fn settle_paths(self) -> &'static [&'static str] {
        match self {
            Kind::Tsdb => &["/api/v1/admin/flush", "/api/v1/admin/compact"],
            Kind::VictoriaMetrics => &["/internal/force_flush", "/internal/force_merge"],
            Kind::Influxdb | Kind::Prometheus | Kind::Chdb | Kind::Duckdb => &[],
        }
    }

    /// Connections that send at once. Prometheus refuses what is older than its newest block, so its
    /// connections would have to advance in step.
    pub fn connections(self) -> usize {
        if self == Kind::Prometheus { 1 } else { 2 }
    }

    /// What to install where it is missing.
    pub fn how_to_get(self) -> &'static str {
        match self {
            Kind::Tsdb => "cargo build --release -p tsdb-server",
            Kind::VictoriaMetrics => "apt-get install victoria-metrics",
            Kind::Influxdb => "apt-get install influxdb",
            Kind::Prometheus => "apt-get install prometheus",
            Kind::Chdb => "pip install chdb",
            Kind::Duckdb => "pip install duckdb",
        }
    }

    /// Whether it is installed.
    ///
    /// # Errors
    /// It is not; the message says how to get it.
    pub fn check(self) -> Result<(), String> {
        let there = if self.is_embedded() {
            let import = format!("import {}", self.name());
            Command::new("python3").args(["-c", &import]).output().is_ok_and(|o| o.status.success())
        } else {
            self.program().is_ok()
        };
        let missing = || format!("{} is not installed ({})", self.name(), self.how_to_get());
        if there { Ok(()) } else { Err(missing()) }
    }

    /// The installed version; that of the package where the program does not tell.
    pub fn version(self) -> Option<String> {
        let mut command = match self {
            Kind::Tsdb => {
                let mut command = Command::new(self.program().ok()?);
                command.arg("--version");
                command
            }
            Kind::Chdb | Kind::Duckdb => {
                let mut command = Command::new("python3");
                let name = self.name();
                command.args(["-c", &format!("import {name}; print({name}.__version__)")]);
                command
            }
            Kind::VictoriaMetrics | Kind::Influxdb | Kind::Prometheus => {
                let mut command = Command::new("dpkg-query");
                command.args(["--show", "--showformat=${Version}", self.name()]);
                command
            }
        };
        let output = command.output().ok().filter(|output| output.status.success())?;
        let text = String::from_utf8(output.stdout).ok()?;
        Some(text.trim().trim_start_matches("tsdb-server ").to_owned())
    }

    fn program(self) -> Result<PathBuf, String> {
        let name = match self {
            Kind::Tsdb => return own_program(),
            Kind::Influxdb => "influxd",
            Kind::Chdb | Kind::Duckdb => "python3",
            Kind::VictoriaMetrics | Kind::Prometheus => self.name(),
        };
        let path = std::env::var_os("PATH").unwrap_or_default();
        let found =
            std::env::split_paths(&path).map(|dir| dir.join(name)).find(|file| file.is_file());
        found.ok_or_else(|| format!("{name} is not on the PATH ({})", self.how_to_get()))
    }

    /// The command that starts it with its data below `dir` and its API on `port` of the loopback
    /// interface; `other_port` is free for what it may listen on besides.
    ///
    /// # Errors
    /// It is not installed.
    pub fn command(self, dir: &Path, port: u16, other_port: u16) -> Result<Command, String> {
        let mut command = Command::new(self.program()?);
        let address = format!("127.0.0.1:{port}");
        let data = dir.join("data");
        match self {
            Kind::Tsdb => {
                command.arg("--listen").arg(&address).arg("--data-dir").arg(&data);
            }
            Kind::VictoriaMetrics => {
                command.arg(format!("-storageDataPath={}", data.display()));
                command.arg(format!("-httpListenAddr={address}"));
                command.arg("-retentionPeriod=100y");
            }
            Kind::Prometheus => {
                let config = dir.join("prometheus.yml");
                std::fs::write(&config, "global: {}\n")
                    .map_err(|error| format!("cannot write {}: {error}", config.display()))?;
                command.arg(format!("--config.file={}", config.display()));
                command.arg(format!("--storage.tsdb.path={}", data.display()));
                command.arg(format!("--web.listen-address={address}"));
                command.args(["--web.enable-remote-write-receiver", "--web.enable-admin-api"]);
                command.args(["--storage.tsdb.retention.time=100y"]);
                command.args(["--query.max-samples=2000000000", "--query.timeout=10m"]);
            }
            Kind::Influxdb => influxdb(&mut command, &data, &address, other_port),
            Kind::Chdb | Kind::Duckdb => {
                std::fs::create_dir_all(&data)
                    .map_err(|error| format!("cannot create {}: {error}", data.display()))?;
                command.args(["-u", "-c", include_str!("embedded.py"), self.name()]).arg(&data);
            }
        }
        Ok(command)
    }
}

/// The server that was built beside this program, or the one that `TSDB_SERVER_BIN` names.
fn own_program() -> Result<PathBuf, String> {
    let beside = std::env::current_exe().map(|path| path.with_file_name("tsdb-server"));
    let named = std::env::var_os("TSDB_SERVER_BIN").map(PathBuf::from);
    let file = named.or(beside.ok()).filter(|file| file.is_file());
    file.ok_or_else(|| {
        "tsdb-server is not beside tsdb-bench, and TSDB_SERVER_BIN does not name it (cargo build --release -p tsdb-server)".to_owned()
    })
}

fn influxdb(command: &mut Command, data: &Path, address: &str, other_port: u16) {
    let settings = [
        ("REPORTING_DISABLED", "true"),
        ("HTTP_LOG_ENABLED", "false"),
        ("MONITOR_STORE_ENABLED", "false"),
        ("DATA_QUERY_LOG_ENABLED", "false"),
        ("DATA_MAX_SERIES_PER_DATABASE", "0"),
        ("DATA_MAX_VALUES_PER_TAG", "0"),
        ("HTTP_BIND_ADDRESS", address),
        // The default waits four hours before it merges a shard that is not written to any more; sizes
        // are of fully merged data.
        ("DATA_COMPACT_FULL_WRITE_COLD_DURATION", "10s"),
        ("DATA_CACHE_SNAPSHOT_WRITE_COLD_DURATION", "10s"),
    ];
    for (name, value) in settings {
        command.env(format!("INFLUXDB_{name}"), value);
    }
    command.env("INFLUXDB_BIND_ADDRESS", format!("127.0.0.1:{other_port}"));
    for (name, sub) in [("META_DIR", "meta"), ("DATA_DIR", "data"), ("DATA_WAL_DIR", "wal")] {
        command.env(format!("INFLUXDB_{name}"), data.join(sub));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_command_line() {
        for kind in Kind::ALL {
            let value = kind.to_possible_value().unwrap();
            assert_eq!(value.get_name(), kind.name());
        }
    }
}
