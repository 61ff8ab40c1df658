//! The server: HTTP API, configuration, resource management, telemetry; the only crate with an async
//! runtime.
//!
//! It wires the layers together ([`wiring`]) and owns what is about processes and networks. It knows
//! nothing of how data is stored, how queries are run, or how formats are parsed.
//!
//! A request travels: connection ([`listen`]) → [`http::observe`] (id, panic net, metrics) → [`auth`] → its handler
//! (`http/*.rs`) → [`tsdb_ingest`] or [`tsdb_ql`] and [`tsdb_exec`] → the store behind the seam.

pub mod app;
pub mod auth;
pub mod config;
pub mod continuous;
pub mod demo;
pub mod encode;
mod error;
pub mod exposition;
pub mod grpc;
pub mod http;
pub mod listen;
mod memory_watch;
pub mod otlp;
pub mod query;
pub mod rejects;
mod reload;
mod run;
pub mod shutdown;
pub mod status;
pub mod telemetry;
pub mod tls;
mod tools;
pub mod turns;
pub mod wiring;

pub use error::{Error, Exit};
pub use run::main;
