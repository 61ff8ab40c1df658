//! What a request says beside the query text.

use std::sync::Arc;

use tsdb_core::env::Clock;
use tsdb_core::{CancelToken, MemoryBudget};

use crate::{Effort, QueryMemory};

/// What a request says beside the query text.
#[derive(Debug, Clone)]
pub struct QueryContext<'r> {
    /// Database that is meant where a statement names none.
    pub database: Option<&'r str>,
    /// Retention policy that is meant where neither a database nor a policy is named; absent means the
    /// database's default.
    pub policy: Option<&'r str>,
    /// The value of `now()`, in ns since 1970.
    pub now_ns: i64,
    /// Pays for the work and the answer.
    pub memory: QueryMemory,
    /// Looked at once per block, and now and then in everything else that takes long.
    pub cancel: CancelToken,
    /// What EXPLAIN ANALYZE takes the time with; without it, it tells no times. Other statements do not look at it.
    pub clock: Option<Arc<dyn Clock>>,
    /// Where SELECT and EXPLAIN ANALYZE count what they read, once each has ended.
    pub effort: Option<&'r Effort>,
}

impl QueryContext<'_> {
    /// A context without a database, with a default budget of its own.
    #[must_use]
    pub fn new(now_ns: i64) -> Self {
        QueryContext {
            database: None,
            policy: None,
            now_ns,
            memory: QueryMemory::new(&MemoryBudget::default(), None),
            cancel: CancelToken::new(),
            clock: None,
            effort: None,
        }
    }
}
