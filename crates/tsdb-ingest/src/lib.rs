//! Formats in, rows out: what stands between the bytes of a request and a store.
//!
//! A [`Format`] turns bytes into [`Rows`], columns in the form of a [`tsdb_core::WriteBatch`]; the
//! checks of [`Validation`] lie between the two, the same for all formats; the [`Pipeline`] takes a
//! request through all of it into any `dyn Append` and reports what was stored and what was refused,
//! line by line. Which format a request is in says a [`FormatRegistry`], where formats of your own stand
//! beside [`LineProtocol`], [`Json`], [`Csv`], [`PrometheusText`], [`RemoteWrite`] and [`Otlp`].
//!
//! What is not here: sockets, HTTP, compression of bodies, and everything behind the storage seam. This
//! crate sees `tsdb-core` and no engine.
//!
//! Two properties hold for every format:
//!
//! - one bad line never costs a good one: refused lines are reported, the others are stored;
//! - work and memory are linear in the length of the input, whatever it holds.

mod error;
mod format;
pub mod limits;
pub mod metadata;
mod pipeline;
mod precision;
mod registry;
mod report;
mod rows;
#[cfg(test)]
mod testing;
mod validate;

pub use error::{Error, Result};
pub use format::csv::Csv;
pub use format::exposition::PrometheusText;
pub use format::json::Json;
pub use format::line::LineProtocol;
pub use format::otlp::{Otlp, OtlpEncoding, PROMOTE_RESOURCE_ATTRIBUTES, TRANSLATION_STRATEGY};
#[cfg(any(test, feature = "test-util"))]
pub use format::otlp::{messages as otlp_messages, otlp_fields};
pub use format::pieces::Pieces;
#[cfg(any(test, feature = "test-util"))]
pub use format::remote_write::messages as remote_write_messages;
pub use format::remote_write::{RemoteWrite, RemoteWriteVersion};
pub use format::{Format, Ingestion, Likelihood, ParseOptions};
pub use pipeline::{Pipeline, PipelineOptions, WriteRequest};
pub use precision::Precision;
pub use registry::{Choice, FormatRegistry};
pub use report::{
    Brought, HeaderFault, LineError, Origin, Reason, RejectCounts, RejectKind, WriteReport,
};
pub use rows::Rows;
pub use rows::draft::RowBuilder;
pub use validate::Validation;
