//! Configuration: what the user typed ([`Settings`]) and what the program uses ([`Config`], validated).
//!
//! A setting is one field of [`Settings`], which is at once a flag, an environment variable (`TSDB_` and
//! the flag in capitals) and a key of the TOML file, so that the three cannot drift apart. A flag wins
//! over the environment, that over the file, that over the default. `docs/settings.md` has the table.
//!
//! Not here: the settings themselves (`config/settings.rs`), what the values look like (`config/value.rs`), how they
//! are shown (`config/reference.rs`), how much memory a machine has (`config/memory.rs`), how many files
//! may be open (`config/files.rs`).

mod files;
mod memory;
mod reference;
mod settings;
mod value;

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Parser;
use tsdb_core::TagCharset;
use tsdb_exec::QueryLimits;
use tsdb_ql::Secret;

use crate::Error;
pub(crate) use files::{open_files_max, raise_open_files};
pub use memory::SystemLimits;
pub(crate) use memory::kibibytes_of;
pub(crate) use reference::{print, reference};
pub use settings::Settings;
pub use value::{ByteSize, CharsetChoice, Durability, ListenAddress, TimeSpan, ValueError};

/// Where the server listens by default: this machine alone.
const LISTEN_DEFAULT: &str = "127.0.0.1:8086";
/// Where the data lies by default, relative to the working directory.
const DATA_DIR_DEFAULT: &str = "./tsdb-data";
/// InfluxDB's own default, which its clients stay below.
const BODY_LIMIT_DEFAULT: ByteSize = ByteSize(25_000_000);
/// Long enough for any dashboard, short enough to free a stuck worker.
const QUERY_TIMEOUT_DEFAULT: Duration = Duration::from_secs(30);
/// Queries that run at once; further ones wait.
const QUERY_CONCURRENCY_DEFAULT: usize = 16;
/// What takes longer makes somebody wait.
const SLOW_QUERY_TIME_DEFAULT: Duration = Duration::from_secs(10);
/// How often continuous queries are looked at; InfluxDB's own default.
const CONTINUOUS_QUERY_INTERVAL_DEFAULT: Duration = Duration::from_secs(1);
/// Looking costs next to nothing; more often, and it would be something.
const CONTINUOUS_QUERY_INTERVAL_MIN: Duration = Duration::from_millis(10);
/// Connections at once; further ones wait in the kernel. More than a few thousand that are slow on purpose: else these
/// would keep all others waiting until their time is up.
const CONNECTIONS_DEFAULT: usize = 4096;
/// Below this not even the shortest answer could be given.
const QUERY_MEMORY_MIN: u64 = 1 << 20;
/// Shorter, and series would leave memory between two rows of an agent that writes now and then.
const SERIES_IDLE_TIME_MIN: Duration = Duration::from_secs(1);
/// The engine remembers each generation of rows that was closed so long ago.
const SERIES_IDLE_TIME_MAX: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// Length of the token of `--admin-token-file`.
const ADMIN_TOKEN_CHARACTERS: RangeInclusive<usize> = 32..=256;
/// Below this neither a memtable nor a request body has room to work.
const MEMORY_LIMIT_MIN: u64 = 32 << 20;

/// The command line.
#[derive(Debug, Clone, Default, Parser)]
#[command(
    name = "tsdb-server",
    version,
    about = "A time series database: InfluxDB line protocol in, InfluxQL out.",
    after_help = "Each option can also be given as an environment variable (--data-dir as TSDB_DATA_DIR) \
                  or in the TOML file (data-dir = \"…\"). A flag wins over the environment, the \
                  environment over the file."
)]
pub struct Args {
    /// Read settings from this TOML file.
    #[arg(long, env = "TSDB_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The settings themselves.
    #[command(flatten)]
    pub settings: Settings,
}

/// What the program uses: complete and checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Where to listen.
    pub listen: SocketAddr,
    /// Where to listen for OTLP alone, beside that.
    pub otlp_listen: Option<SocketAddr>,
    /// Directory of the data, absolute.
    pub data_dir: PathBuf,
    /// When an acknowledged write is safe.
    pub durability: Durability,
    /// Managed memory in bytes, all pools together.
    pub memory_bytes: usize,
    /// Largest request body in bytes, as sent.
    pub body_bytes_max: usize,
    /// Longest time a query may run.
    pub query_timeout: Duration,
    /// Queries that run at once, at least 1.
    pub query_concurrency: usize,
    /// What one statement may cost.
    pub query_limits: QueryLimits,
    /// Most memory of one query in bytes; `None` is what the memory for queries leaves it.
    pub query_memory_max: Option<usize>,
    /// Statements that take longer stand in the log.
    pub slow_query_time: Duration,
    /// Whether continuous queries are run.
    pub continuous_queries: bool,
    /// How often it is looked whether one is due.
    pub continuous_query_interval: Duration,
    /// Connections at once, at least 1.
    pub connections_max: usize,
    /// Free space in bytes below which writes are refused; `None` is what the engine takes for right.
    pub disk_reserve: Option<u64>,
    /// Bytes a second that merges write while few are due; `None` for as many as they can.
    pub merge_rate: Option<u64>,
    /// Whether retention believes the wall clock at the start, whatever it shows.
    pub retention_force: bool,
    /// Most series in memory, at least 1.
    pub series_max: usize,
    /// Most series in memory of one database, at least 1; `None` for no limit but the common one.
    pub database_series_max: Option<usize>,
    /// How long a series is without rows before it may leave memory.
    pub series_idle_time: Duration,
    /// What names and tags may be made of in all formats; `None` is what each format says.
    pub tag_charset: Option<TagCharset>,
    /// Whether to sample this machine.
    pub demo: bool,
    /// Whether everybody is asked who they are.
    pub auth: bool,
    /// A token that opens everything; [`Config::load`] reads it from its file.
    pub admin_token: Option<Secret>,
    /// Files of the certificate chain and of its key, where connections are encrypted.
    pub tls: Option<(PathBuf, PathBuf)>,
    /// Directives for the log.
    pub log: String,
}

impl Config {
    /// The configuration of `args`, of the file it names, and of the defaults.
    ///
    /// # Errors
    /// [`Error::Config`] for a file that cannot be read or does not parse, or a setting that is out of
    /// range; its text names the setting and the remedy.
    pub fn load(args: Args) -> Result<Config, Error> {
        let file = match &args.config {
            Some(path) => read_file(path)?,
            None => Settings::default(),
        };
        let settings = args.settings.or(file);
        let token_file = settings.admin_token_file.clone();
        let config = Config::from_settings(settings)?;
        let admin_token = token_file.map(|path| read_admin_token(&path)).transpose()?;
        Ok(Config { admin_token, ..config })
    }

    /// These settings with what of `new` can change while a server runs, and the names of those that are others in
    /// `new` and cannot.
    pub(crate) fn changed_to(&self, new: &Config) -> (Config, Vec<&'static str>) {
        let taken = Config {
            query_timeout: new.query_timeout,
            query_limits: new.query_limits,
            query_memory_max: new.query_memory_max,
            slow_query_time: new.slow_query_time,
            admin_token: new.admin_token.clone(),
            log: new.log.clone(),
            ..self.clone()
        };
        let shown = |config| reference::in_effect(config, &Settings::default());
        let pairs = shown(&taken).into_iter().zip(shown(new));
        let left = pairs.filter(|(taken, new)| taken != new).map(|((name, _), _)| name).collect();
        (taken, left)
    }

    /// Fills in the defaults and checks everything.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn from_settings(typed: Settings) -> Result<Config, Error> {
        let auth = typed.auth.unwrap_or(false);
        let is_allowed = auth || typed.allow_insecure.unwrap_or(false);
        if typed.admin_token_file.is_some() && !auth {
            let what =
                "admin-token-file has no meaning without --auth: add it, or leave the file out";
            return Err(config_error(what.to_owned()));
        }
        let listen = listen_address(typed.listen, is_allowed)?;
        let otlp_listen = typed.otlp_listen.map(|typed| typed.0);
        let otlp_listen =
            otlp_listen.map(|address| reachable("otlp-listen", address, is_allowed)).transpose()?;
        let query_limits = query_limits(&typed)?;
        let data_dir = typed.data_dir.unwrap_or_else(|| PathBuf::from(DATA_DIR_DEFAULT));
        let data_dir = std::path::absolute(&data_dir)
            .map_err(|cause| config_error(format!("data-dir {}: {cause}", data_dir.display())))?;
        let memory = typed.memory_limit.unwrap_or_else(memory::default_limit);
        if memory.0 < MEMORY_LIMIT_MIN {
            let least = ByteSize(MEMORY_LIMIT_MIN);
            return Err(config_error(format!(
                "memory-limit {memory} is too small: give at least {least}"
            )));
        }
        let body = typed.body_limit.unwrap_or(BODY_LIMIT_DEFAULT);
        Ok(Config {
            listen,
            otlp_listen,
            data_dir: lexically_normal(&data_dir),
            durability: typed.durability.unwrap_or(Durability::Sync),
            memory_bytes: to_usize("memory-limit", memory)?,
            body_bytes_max: to_usize("body-limit", body)?,
            query_timeout: typed.query_timeout.map_or(QUERY_TIMEOUT_DEFAULT, |span| span.0),
            query_concurrency: at_least_one(
                "query-concurrency",
                typed.query_concurrency,
                QUERY_CONCURRENCY_DEFAULT,
            )?,
            query_limits,
            query_memory_max: typed.query_memory.map(query_memory).transpose()?,
            slow_query_time: typed.slow_query_time.map_or(SLOW_QUERY_TIME_DEFAULT, |span| span.0),
            continuous_queries: typed.continuous_queries.unwrap_or(true),
            continuous_query_interval: typed
                .continuous_query_interval
                .map_or(Ok(CONTINUOUS_QUERY_INTERVAL_DEFAULT), continuous_query_interval)?,
            connections_max: at_least_one("connections", typed.connections, CONNECTIONS_DEFAULT)?,
            disk_reserve: typed.disk_reserve.map(|size| size.0),
            merge_rate: merge_rate(typed.merge_rate),
            retention_force: typed.retention_force.unwrap_or(false),
            series_max: at_least_one(
                "series-max",
                typed.series_max,
                memory::default_series_max(memory),
            )?,
            database_series_max: match typed.database_series_max {
                None => None,
                count => Some(at_least_one("database-series-max", count, 1)?),
            },
            series_idle_time: typed
                .series_idle_time
                .map_or(Ok(tsdb_lsm::IDLE_TIME_DEFAULT), series_idle_time)?,
            tag_charset: typed.tag_charset.map(tag_charset),
            demo: typed.demo.unwrap_or(false),
            auth,
            admin_token: None,
            tls: tls(typed.tls_cert, typed.tls_key)?,
            log: typed.log.unwrap_or_else(|| "info".to_owned()),
        })
    }
}

/// Bytes a second for merges; 0 is as many as they can.
fn merge_rate(typed: Option<ByteSize>) -> Option<u64> {
    let rate = typed.map_or(tsdb_lsm::MERGE_RATE_DEFAULT, |rate| rate.0);
    Some(rate).filter(|rate| *rate > 0)
}

fn tag_charset(typed: CharsetChoice) -> TagCharset {
    match typed {
        CharsetChoice::Ascii => TagCharset::Ascii,
        CharsetChoice::Utf8 => TagCharset::Utf8,
    }
}

/// The settings of a file. Not read through the `Vfs`, which refuses symbolic links: configuration is
/// often mounted as one.
fn read_file(path: &Path) -> Result<Settings, Error> {
    let name = path.display();
    let text = std::fs::read_to_string(path).map_err(|cause| {
        config_error(format!("{name}: {cause}: create the file or correct --config"))
    })?;
    Settings::from_toml(&text).map_err(|cause| config_error(format!("{name}: {cause}")))
}

/// The token of a file, without white space around it. A short one could be guessed.
fn read_admin_token(path: &Path) -> Result<Secret, Error> {
    let wrong = |what: String| config_error(format!("admin-token-file {}: {what}", path.display()));
    let text = std::fs::read_to_string(path)
        .map_err(|cause| wrong(format!("{cause}: create the file or correct the path")))?;
    let token = text.trim();
    let is_good = ADMIN_TOKEN_CHARACTERS.contains(&token.len())
        && token.bytes().all(|byte| byte.is_ascii_graphic() && byte != b':');
    if !is_good {
        return Err(wrong(
            "give one token of 32 to 256 letters, digits and signs without colon, for instance by openssl rand -hex 32"
                .to_owned(),
        ));
    }
    Ok(Secret::new(token.to_owned()))
}

/// Security checklist 7: who can reach the port can read and delete everything.
fn listen_address(typed: Option<ListenAddress>, allow: bool) -> Result<SocketAddr, Error> {
    let address = match typed {
        Some(address) => address.0,
        None => {
            LISTEN_DEFAULT
                .parse::<ListenAddress>()
                .map_err(|cause| config_error(format!("listen: {cause}")))?
                .0
        }
    };
    reachable("listen", address, allow)
}

/// An address that may be reached from other machines only where that is allowed.
fn reachable(setting: &str, address: SocketAddr, allow: bool) -> Result<SocketAddr, Error> {
    if address.ip().to_canonical().is_loopback() || allow {
        return Ok(address);
    }
    Err(config_error(format!(
        "{setting} {address} can be reached from other machines, and nobody is asked who they are: add --auth, \
         listen on 127.0.0.1, or add --allow-insecure where the network is trusted"
    )))
}

/// The files of TLS, of which one is nothing without the other.
fn tls(cert: Option<PathBuf>, key: Option<PathBuf>) -> Result<Option<(PathBuf, PathBuf)>, Error> {
    let lonely = |given: &str, missing: &str| {
        Err(config_error(format!(
            "{given} has no meaning without {missing}: give both, or neither"
        )))
    };
    match (cert, key) {
        (Some(cert), Some(key)) => Ok(Some((cert, key))),
        (Some(_), None) => lonely("tls-cert", "tls-key"),
        (None, Some(_)) => lonely("tls-key", "tls-cert"),
        (None, None) => Ok(None),
    }
}

fn to_usize(setting: &str, size: ByteSize) -> Result<usize, Error> {
    usize::try_from(size.0).map_err(|_| {
        config_error(format!("{setting} {size} is more than this machine can address"))
    })
}

fn at_least_one<T: Eq + From<u8>>(setting: &str, typed: Option<T>, default: T) -> Result<T, Error> {
    match typed.unwrap_or(default) {
        none if none == T::from(0) => Err(config_error(format!("{setting} must be at least 1"))),
        count => Ok(count),
    }
}

fn query_limits(typed: &Settings) -> Result<QueryLimits, Error> {
    let default = QueryLimits::default();
    Ok(QueryLimits {
        series_max: at_least_one("query-series", typed.query_series, default.series_max)?,
        samples_max: at_least_one("query-samples", typed.query_samples, default.samples_max)?,
        rows_max: at_least_one("query-rows", typed.query_rows, default.rows_max)?,
        buckets_max: at_least_one("query-buckets", typed.query_buckets, default.buckets_max)?,
        ..default
    })
}

fn query_memory(size: ByteSize) -> Result<usize, Error> {
    if size.0 < QUERY_MEMORY_MIN {
        let least = ByteSize(QUERY_MEMORY_MIN);
        return Err(config_error(format!(
            "query-memory {size} is too small: give at least {least}"
        )));
    }
    to_usize("query-memory", size)
}

fn continuous_query_interval(span: TimeSpan) -> Result<Duration, Error> {
    if span.0 >= CONTINUOUS_QUERY_INTERVAL_MIN {
        return Ok(span.0);
    }
    let least = CONTINUOUS_QUERY_INTERVAL_MIN;
    Err(config_error(format!(
        "continuous-query-interval {:?} is too short: give at least {least:?}",
        span.0
    )))
}

fn series_idle_time(span: TimeSpan) -> Result<Duration, Error> {
    if (SERIES_IDLE_TIME_MIN..=SERIES_IDLE_TIME_MAX).contains(&span.0) {
        return Ok(span.0);
    }
    Err(config_error(format!("series-idle-time {:?} is out of range: give 1s to 7d", span.0)))
}

/// `path` without its `.` components, for people to read.
fn lexically_normal(path: &Path) -> PathBuf {
    path.components().collect()
}

fn config_error(message: String) -> Error {
    Error::Config { message }
}

#[cfg(test)]
mod tests;
