//! What the user typed, as flags, environment variables and keys of a TOML file.
//!
//! A setting is one field of [`Settings`]; its comment is what `--help` and the reference say of it, with the default
//! at its end.

use std::path::PathBuf;

use serde::Deserialize;

use super::config_error;
use super::value::{ByteSize, CharsetChoice, Durability, ListenAddress, TimeSpan};
use crate::Error;

/// What the user typed; nothing is filled in yet.
#[derive(Debug, Clone, Default, PartialEq, clap::Args, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Settings {
    /// Where to listen; port 0 takes a free one and prints it [default: 127.0.0.1:8086].
    #[arg(long, env = "TSDB_LISTEN", value_name = "ADDRESS:PORT")]
    pub listen: Option<ListenAddress>,
    /// A second port for OTLP alone, over HTTP and gRPC, such as `127.0.0.1:4317`; `--listen` takes OTLP, too
    /// [default: none].
    #[arg(long, env = "TSDB_OTLP_LISTEN", value_name = "ADDRESS:PORT")]
    pub otlp_listen: Option<ListenAddress>,
    /// Where the data lies; created if missing [default: ./tsdb-data].
    #[arg(long, env = "TSDB_DATA_DIR", value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// When an acknowledged write is on disk: `sync`, `interval:MS` or `off` [default: sync].
    #[arg(long, env = "TSDB_DURABILITY", value_name = "MODE")]
    pub durability: Option<Durability>,
    /// Managed memory; where the machine, the cgroup or an rlimit (`ulimit -d`, `-v`) leaves less than 864 MiB, a
    /// third of that; at least 32 MiB [default: 288MiB].
    #[arg(long, env = "TSDB_MEMORY_LIMIT", value_name = "SIZE")]
    pub memory_limit: Option<ByteSize>,
    /// Largest request body as sent; unpacked it may have 64 MiB, and at most a quarter of the memory limit
    /// [default: 25MB].
    #[arg(long, env = "TSDB_BODY_LIMIT", value_name = "SIZE")]
    pub body_limit: Option<ByteSize>,
    /// Longest time the statements of one request may run [default: 30s].
    #[arg(long, env = "TSDB_QUERY_TIMEOUT", value_name = "DURATION")]
    pub query_timeout: Option<TimeSpan>,
    /// Queries at once; further ones wait up to 10 s, then get 503 [default: 16].
    #[arg(long, env = "TSDB_QUERY_CONCURRENCY", value_name = "COUNT")]
    pub query_concurrency: Option<usize>,
    /// Most series that one SELECT may touch [default: 1000000].
    #[arg(long, env = "TSDB_QUERY_SERIES", value_name = "COUNT")]
    pub query_series: Option<u64>,
    /// Most values that one SELECT may read; those that summaries answer for are free [default: 10000000000].
    #[arg(long, env = "TSDB_QUERY_SAMPLES", value_name = "COUNT")]
    pub query_samples: Option<u64>,
    /// Most rows in the answer to one statement [default: 10000000].
    #[arg(long, env = "TSDB_QUERY_ROWS", value_name = "COUNT")]
    pub query_rows: Option<u64>,
    /// Most windows of one `GROUP BY time()` [default: 1000000].
    #[arg(long, env = "TSDB_QUERY_BUCKETS", value_name = "COUNT")]
    pub query_buckets: Option<u64>,
    /// Most memory that one query may take; without it half of the memory for queries while others run, else all
    /// of it [default: none].
    #[arg(long, env = "TSDB_QUERY_MEMORY", value_name = "SIZE")]
    pub query_memory: Option<ByteSize>,
    /// Statements that take longer stand in the log, as a warning; `1ns` for all [default: 10s].
    #[arg(long, env = "TSDB_SLOW_QUERY_TIME", value_name = "DURATION")]
    pub slow_query_time: Option<TimeSpan>,
    /// Run the continuous queries; `--continuous-queries=false` leaves them where they are and runs none
    /// [default: true].
    #[arg(long, env = "TSDB_CONTINUOUS_QUERIES", value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub continuous_queries: Option<bool>,
    /// How often it is looked whether a continuous query is due, at least `10ms` [default: 1s].
    #[arg(long, env = "TSDB_CONTINUOUS_QUERY_INTERVAL", value_name = "DURATION")]
    pub continuous_query_interval: Option<TimeSpan>,
    /// Connections at once; further ones wait; fewer where the limit of open files (`ulimit -n`) leaves less than
    /// 64 for the storage [default: 4096].
    #[arg(long, env = "TSDB_CONNECTIONS", value_name = "COUNT")]
    pub connections: Option<usize>,
    /// Free space below which writes are refused; by default the larger of 256 MiB and twice the memtable's
    /// memory, at most 5 % of the file system; `0` for none [default: by disk].
    #[arg(long, env = "TSDB_DISK_RESERVE", value_name = "SIZE")]
    pub disk_reserve: Option<ByteSize>,
    /// Bytes a second that merges in the background write while few are due; `0` for no limit [default: 64MiB].
    #[arg(long, env = "TSDB_MERGE_RATE", value_name = "SIZE")]
    pub merge_rate: Option<ByteSize>,
    /// Believe the wall clock for retention when the server starts [default: false].
    #[arg(long, env = "TSDB_RETENTION_FORCE", value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub retention_force: Option<bool>,
    /// Most series in memory (idle ones leave it); further ones are refused by name, known ones go on; on small
    /// machines what half of the memory beside the managed one holds, at 1000 bytes each [default: 5000000].
    #[arg(long, env = "TSDB_SERIES_MAX", value_name = "COUNT")]
    pub series_max: Option<usize>,
    /// Most series in memory of one database, all its policies together; further ones are refused, known ones go
    /// on, other databases do not notice [default: none].
    #[arg(long, env = "TSDB_DATABASE_SERIES_MAX", value_name = "COUNT")]
    pub database_series_max: Option<usize>,
    /// How long a series must be without rows before it may leave memory, from `1s` to `7d`; where half of
    /// `--series-max` are in memory it may leave earlier. It comes back with its next row: give more where agents
    /// write seldom, less where series come and go [default: 15m].
    #[arg(long, env = "TSDB_SERIES_IDLE_TIME", value_name = "DURATION")]
    pub series_idle_time: Option<TimeSpan>,
    /// Characters that names and tags may have, in all formats; without it `utf8` in line protocol, `ascii` in
    /// JSON and CSV [default: by format].
    #[arg(long, env = "TSDB_TAG_CHARSET", value_name = "CHARSET")]
    pub tag_charset: Option<CharsetChoice>,
    /// Sample this machine every second into the database `demo` [default: false].
    #[arg(long, env = "TSDB_DEMO", value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub demo: Option<bool>,
    /// Listen on other than loopback addresses without `--auth` [default: false].
    #[arg(long, env = "TSDB_ALLOW_INSECURE", value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub allow_insecure: Option<bool>,
    /// Ask everybody for a user with password, or a token [default: false].
    #[arg(long, env = "TSDB_AUTH", value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub auth: Option<bool>,
    /// A file with a token of 32 to 256 characters that opens everything; needs `--auth` [default: none].
    #[arg(long, env = "TSDB_ADMIN_TOKEN_FILE", value_name = "FILE")]
    pub admin_token_file: Option<PathBuf>,
    /// File of the certificate chain in PEM, the server's own first; needs `--tls-key` [default: none].
    #[arg(long, env = "TSDB_TLS_CERT", value_name = "FILE")]
    pub tls_cert: Option<PathBuf>,
    /// File of the certificate's key in PEM; needs `--tls-cert` [default: none].
    #[arg(long, env = "TSDB_TLS_KEY", value_name = "FILE")]
    pub tls_key: Option<PathBuf>,
    /// `error`, `warn`, `info`, `debug`, `trace`, or directives such as `info,tsdb_server=debug` [default: info].
    #[arg(long, env = "TSDB_LOG", value_name = "LEVEL")]
    pub log: Option<String>,
}

impl Settings {
    /// The settings in the text of a TOML file.
    ///
    /// # Errors
    /// [`Error::Config`] with line and column for what does not parse, an unknown key, or a value of the wrong form.
    pub fn from_toml(text: &str) -> Result<Settings, Error> {
        toml::from_str(text).map_err(|cause| config_error(cause.to_string()))
    }

    /// These settings, and those of `fallback` where nothing was typed.
    #[must_use]
    pub fn or(self, fallback: Settings) -> Settings {
        Settings {
            listen: self.listen.or(fallback.listen),
            otlp_listen: self.otlp_listen.or(fallback.otlp_listen),
            data_dir: self.data_dir.or(fallback.data_dir),
            durability: self.durability.or(fallback.durability),
            memory_limit: self.memory_limit.or(fallback.memory_limit),
            body_limit: self.body_limit.or(fallback.body_limit),
            query_timeout: self.query_timeout.or(fallback.query_timeout),
            query_concurrency: self.query_concurrency.or(fallback.query_concurrency),
            query_series: self.query_series.or(fallback.query_series),
            query_samples: self.query_samples.or(fallback.query_samples),
            query_rows: self.query_rows.or(fallback.query_rows),
            query_buckets: self.query_buckets.or(fallback.query_buckets),
            query_memory: self.query_memory.or(fallback.query_memory),
            slow_query_time: self.slow_query_time.or(fallback.slow_query_time),
            continuous_queries: self.continuous_queries.or(fallback.continuous_queries),
            continuous_query_interval: self
                .continuous_query_interval
                .or(fallback.continuous_query_interval),
            connections: self.connections.or(fallback.connections),
            disk_reserve: self.disk_reserve.or(fallback.disk_reserve),
            merge_rate: self.merge_rate.or(fallback.merge_rate),
            retention_force: self.retention_force.or(fallback.retention_force),
            series_max: self.series_max.or(fallback.series_max),
            database_series_max: self.database_series_max.or(fallback.database_series_max),
            series_idle_time: self.series_idle_time.or(fallback.series_idle_time),
            tag_charset: self.tag_charset.or(fallback.tag_charset),
            demo: self.demo.or(fallback.demo),
            allow_insecure: self.allow_insecure.or(fallback.allow_insecure),
            auth: self.auth.or(fallback.auth),
            admin_token_file: self.admin_token_file.or(fallback.admin_token_file),
            tls_cert: self.tls_cert.or(fallback.tls_cert),
            tls_key: self.tls_key.or(fallback.tls_key),
            log: self.log.or(fallback.log),
        }
    }

    /// Names of the settings that were typed.
    pub(super) fn given(&self) -> Vec<&'static str> {
        let all = [
            ("listen", self.listen.is_some()),
            ("otlp-listen", self.otlp_listen.is_some()),
            ("data-dir", self.data_dir.is_some()),
            ("durability", self.durability.is_some()),
            ("memory-limit", self.memory_limit.is_some()),
            ("body-limit", self.body_limit.is_some()),
            ("query-timeout", self.query_timeout.is_some()),
            ("query-concurrency", self.query_concurrency.is_some()),
            ("query-series", self.query_series.is_some()),
            ("query-samples", self.query_samples.is_some()),
            ("query-rows", self.query_rows.is_some()),
            ("query-buckets", self.query_buckets.is_some()),
            ("query-memory", self.query_memory.is_some()),
            ("slow-query-time", self.slow_query_time.is_some()),
            ("continuous-queries", self.continuous_queries.is_some()),
            ("continuous-query-interval", self.continuous_query_interval.is_some()),
            ("connections", self.connections.is_some()),
            ("disk-reserve", self.disk_reserve.is_some()),
            ("merge-rate", self.merge_rate.is_some()),
            ("retention-force", self.retention_force.is_some()),
            ("series-max", self.series_max.is_some()),
            ("database-series-max", self.database_series_max.is_some()),
            ("series-idle-time", self.series_idle_time.is_some()),
            ("tag-charset", self.tag_charset.is_some()),
            ("demo", self.demo.is_some()),
            ("allow-insecure", self.allow_insecure.is_some()),
            ("auth", self.auth.is_some()),
            ("admin-token-file", self.admin_token_file.is_some()),
            ("tls-cert", self.tls_cert.is_some()),
            ("tls-key", self.tls_key.is_some()),
            ("log", self.log.is_some()),
        ];
        all.into_iter().filter(|(_, is_typed)| *is_typed).map(|(name, _)| name).collect()
    }
}
