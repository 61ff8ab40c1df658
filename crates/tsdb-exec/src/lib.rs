//! Plans and runs queries over any store behind the storage seam.
//!
//! ```
//! use std::sync::Arc;
//! use tsdb_core::MemoryStore;
//! use tsdb_exec::{Executor, QueryContext, QueryLimits};
//!
//! let executor = Executor::new(Arc::new(MemoryStore::new()), QueryLimits::default());
//! for statement in tsdb_ql::parse("CREATE DATABASE home; SHOW DATABASES")? {
//!     let answer = executor.execute(&statement, &QueryContext::new(0))?;
//!     println!("{answer:?}");
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The way of a SELECT: `plan` turns the syntax tree into data (which fields, which tags, which windows)
//! and pushes down what the engine can use; `run` asks for an estimate, cuts big scans into parts and drives
//! the pipeline of `op`, data collection → filtering → aggregation, block by block; `assemble` makes the
//! tables. InfluxDB's answers decide how corners look: names of columns, times of aggregates, fill.
//!
//! What holds everywhere: the answer does not depend on the number of threads (parts depend on the data
//! alone and are merged in the order of series); operators work on whole blocks, charge the memory budget's
//! pool of queries and look at the cancellation token once per block, and every other loop over what can be
//! many looks at it every some thousand steps, so that a statement ends within a tenth of a second of being
//! told to; a statement over a limit ends with an error that names the limit, never with half an answer.
//!
//! The crate knows nothing of engines, files, networks and formats of answers, and has no clock: `now()` and the
//! clock of EXPLAIN ANALYZE come with the [`QueryContext`].

mod assemble;
mod context;
pub mod continuous;
mod derived;
mod effort;
mod error;
mod executor;
mod explain;
mod into;
mod letgo;
mod limits;
mod manage;
mod memory;
mod op;
mod pace;
mod plan;
mod result;
mod run;
mod scope;
mod show;
mod small;
mod sort;
#[cfg(test)]
mod tests;
mod texts;
mod times;

pub use context::QueryContext;
pub use effort::Effort;
pub use error::{Error, Result};
pub use executor::Executor;
pub use limits::QueryLimits;
pub use memory::{Charge, QueryMemory};
pub use result::{Message, ResultColumn, Series, Slice, StatementResult, Validity, Values};
pub use texts::TextColumn;
