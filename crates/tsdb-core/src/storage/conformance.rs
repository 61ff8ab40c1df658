//! The suite that every implementation of the storage seam passes: what is asserted, who is asked, and
//! in which order. It knows no engine and compares with a [`Model`] of its own, never with another store.
//!
//! Three parts, which [`run`] carries out one after the other:
//!
//! - the contract: deterministic cases, one rule of the seam each (`contract`);
//! - scripts: seeded random sequences of writes, deletes, catalogue changes, maintenance, restarts and
//!   crashes, with everything compared at random moments (`script`, `history`). A script that fails is cut
//!   down to the operations that matter before it is shown with its seed;
//! - threads: writers with equal keys, deleters, readers and maintenance at the same time (`threads`).
//!
//! Crash suites use the same building blocks with a disk of their own: a script from [`script`], a
//! [`Writer`] that plays ingestion's part, a [`Model`] and [`compare`].

mod answer;
mod compare;
mod contract;
mod dump;
mod history;
mod model;
mod query;
mod script;
mod summaries;
#[cfg(test)]
mod tests;
mod threads;
mod writer;

use std::fmt;
use std::sync::Arc;

use super::Storage;

pub use compare::{compare, compare_everything};
pub use dump::{dump, fingerprint};
pub use history::Runner;
pub use model::{Model, NamespaceView};
pub use query::random_request;
pub use script::{Op, RowSpec, Target, Universe, script};
pub use writer::Writer;

/// A store under test, with what the suite may do to it beyond the seam. Each test gets a new one.
pub trait Subject: Send + Sync {
    /// The store as it is now. After [`Subject::reopen`] and [`Subject::crash`] it is another one.
    fn store(&self) -> Arc<dyn Storage>;

    /// Does what waiting tickets need to complete. A store whose tickets complete by themselves has
    /// nothing to do.
    fn settle(&self) {}

    /// Begins a new generation of the memtable, if there is such a thing.
    fn seal(&self) {}

    /// Carries out one step of background work, which `choice` selects, if there is such a thing.
    fn step(&self, choice: u64) {
        let _ = choice;
    }

    /// Closes the store and opens it again. False when it keeps nothing.
    fn reopen(&mut self) -> bool {
        false
    }

    /// Loses everything that is not durable and opens the store again. False when it keeps nothing.
    fn crash(&mut self) -> bool {
        false
    }
}

/// A difference between a store and what the seam promises.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// What was expected and what was found.
    pub what: String,
}

impl Violation {
    /// A violation, described.
    pub fn new(what: impl Into<String>) -> Violation {
        Violation { what: what.into() }
    }

    /// The same, with `context` before it.
    #[must_use]
    pub fn within(self, context: impl fmt::Display) -> Violation {
        Violation { what: format!("{context}: {}", self.what) }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

/// An error of a store where none was due is a violation.
impl From<crate::Error> for Violation {
    fn from(error: crate::Error) -> Violation {
        Violation { what: format!("unexpected error: {error} ({error:?})") }
    }
}

/// What a check finds: nothing, or the first violation.
pub type Verdict = Result<(), Violation>;

/// A violation with the words of `what`, unless `holds`.
pub fn ensure(holds: bool, what: impl FnOnce() -> String) -> Verdict {
    if holds { Ok(()) } else { Err(Violation { what: what() }) }
}

/// How much the suite tries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Effort {
    /// Seed of the first script; the next ones follow.
    pub seed: u64,
    /// Number of random scripts.
    pub scripts: u64,
    /// Operations in each.
    pub ops: usize,
    /// Batches that each writer thread of the last part sends.
    pub batches_per_thread: u64,
}

impl Default for Effort {
    /// A few seconds for a store in memory in an unoptimised build.
    fn default() -> Effort {
        Effort { seed: 1, scripts: 24, ops: 60, batches_per_thread: 150 }
    }
}

/// Runs the whole suite with the default [`Effort`] over stores made by `make`.
///
/// # Panics
/// On the first violation, with what is needed to see it again: the case, or the seed and the shortest
/// script found that shows it.
pub fn run(make: &dyn Fn() -> Box<dyn Subject>) {
    if let Err(violation) = check(make, Effort::default()) {
        panic!("conformance: {violation}");
    }
}

/// The whole suite as a function, for those who expect a violation.
///
/// # Errors
/// What the cases of the contract, the scripts and the threads found; each part ends with its first
/// violation, the first with all that fail.
pub fn check(make: &dyn Fn() -> Box<dyn Subject>, effort: Effort) -> Verdict {
    let mut seeds = effort.seed..effort.seed.saturating_add(effort.scripts);
    let parts = [
        contract::check(make),
        seeds.try_for_each(|seed| history::check_script(make, seed, effort.ops)),
        threads::check(make, effort.seed, effort.batches_per_thread),
    ];
    let found: Vec<String> = parts.into_iter().filter_map(|part| Some(part.err()?.what)).collect();
    ensure(found.is_empty(), || found.join("\n"))
}
