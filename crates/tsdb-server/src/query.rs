//! Queries, however they come: what is asked, its statements run in order, and their early end when the
//! client goes away, when time is up, or when somebody kills them.
//!
//! Not here: parameters and documents of HTTP (`http/query.rs`, `http/native.rs`), messages of gRPC
//! (`grpc/query.rs`), and what statements do ([`tsdb_exec`]).

mod run;
mod running;
mod slow;
mod tables;
mod watch;

use tsdb_ql::{Parameters, ParseErrors, Statement};

pub use run::{Listener, Run, SLICE_ROWS, failed};
pub use running::{Listed, NoSuchQuery, Request, Running};
pub use watch::{Canceller, Watch};

/// What is asked.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Query {
    /// The statements.
    pub text: String,
    /// Database for statements that name none.
    pub database: Option<String>,
    /// Retention policy for statements that name none.
    pub policy: Option<String>,
    /// Values of `$name` in the text.
    pub bindings: Parameters,
}

impl Query {
    /// The statements of the text.
    ///
    /// # Errors
    /// What is wrong with it, with the place.
    pub fn parse(&self) -> Result<Vec<Statement>, ParseErrors> {
        tsdb_ql::parse_with(&self.text, &self.bindings)
    }
}
