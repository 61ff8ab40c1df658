//! Fuzz targets: one function over any bytes for each reader of untrusted bytes, in a table. The programs in
//! `fuzz` run them under libFuzzer, and the suite `fuzz_corpus` replays `fuzz/corpus` through them.
//!
//! A target says what must hold beyond the absence of panics: what is accepted can be stored and read and
//! is equal, what is refused names its place, what is written anew is the same. [`corpus`] makes the first
//! inputs by a seed, [`mutate`] makes more of those that there are.
//!
//! Checksums keep a mutation from coming far, so the readers of files run twice: as they are, and with
//! [`tsdb_core::planted::Planted::ChecksumsIgnored`], which stands for a hostile file whose checksums are right.

#[cfg(feature = "server")]
mod body;
mod codecs;
#[cfg(feature = "server")]
mod config;
pub mod corpus;
mod exec;
mod index;
mod ingest;
mod language;
mod manifest;
mod matcher;
pub mod mutate;
mod otlp;
mod records;
mod remote_write;
mod sst;
mod take;
mod wal;

#[cfg(feature = "server")]
pub use body::content_decoder;
pub use codecs::codecs;
#[cfg(feature = "server")]
pub use config::config;
pub use exec::query_exec;
pub use index::index_reader;
pub use ingest::{csv_write, json_write, line_protocol, prometheus_text};
pub use language::tql_parse;
pub use manifest::manifest_reader;
pub use matcher::tag_matcher;
pub use otlp::{otlp_json, otlp_metrics};
pub use records::wal_records;
pub use remote_write::{remote_write_v1, remote_write_v2};
pub use sst::sst_reader;
pub use wal::{wal_reader, wal_structured};

/// The most memory that one input may take at once, in bytes, beyond what it is itself: what
/// `-malloc_limit_mb` says of single blocks, and the suite `fuzz_corpus` of all together.
pub const MEMORY_BYTES_MAX: usize = 64 << 20;

/// One target.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// Its name: that of its program and of its directory in `fuzz/corpus`.
    pub name: &'static str,
    /// Judges one input; panics where something does not hold.
    pub run: fn(&[u8]),
    /// Longest input in bytes that is worth trying.
    pub bytes_max: usize,
}

/// All targets.
pub const TARGETS: &[Target] = &[
    Target { name: "wal_reader", run: wal_reader, bytes_max: 6144 },
    Target { name: "wal_structured", run: wal_structured, bytes_max: 512 },
    Target { name: "wal_records", run: wal_records, bytes_max: 6144 },
    Target { name: "sst_reader", run: sst_reader, bytes_max: 8192 },
    Target { name: "index_reader", run: index_reader, bytes_max: 4096 },
    Target { name: "manifest_reader", run: manifest_reader, bytes_max: 4096 },
    Target { name: "codecs", run: codecs, bytes_max: 4096 },
    Target { name: "line_protocol", run: line_protocol, bytes_max: 4096 },
    Target { name: "json_write", run: json_write, bytes_max: 4096 },
    Target { name: "csv_write", run: csv_write, bytes_max: 4096 },
    Target { name: "prometheus_text", run: prometheus_text, bytes_max: 4096 },
    Target { name: "remote_write_v1", run: remote_write_v1, bytes_max: 2048 },
    Target { name: "remote_write_v2", run: remote_write_v2, bytes_max: 2048 },
    Target { name: "otlp_metrics", run: otlp_metrics, bytes_max: 2048 },
    Target { name: "otlp_json", run: otlp_json, bytes_max: 4096 },
    Target { name: "tql_parse", run: tql_parse, bytes_max: 4096 },
    Target { name: "query_exec", run: query_exec, bytes_max: 1024 },
    Target { name: "tag_matcher", run: tag_matcher, bytes_max: 1024 },
    #[cfg(feature = "server")]
    Target { name: "content_decoder", run: content_decoder, bytes_max: 8192 },
    #[cfg(feature = "server")]
    Target { name: "config", run: config, bytes_max: 2048 },
];
