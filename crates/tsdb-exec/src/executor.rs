//! [`Executor`]: one statement in, one answer out.

use std::fmt;
use std::sync::Arc;

use tsdb_core::Storage;
use tsdb_ql::Statement;

use crate::context::QueryContext;
use crate::limits::QueryLimits;
use crate::plan::plan;
use crate::result::{Slice, StatementResult};
use crate::run::{Runner, check_rows};
use crate::scope::View;
use crate::{Error, Result, continuous, explain, into, manage, show, small};

/// Executes statements over a store. Cheap to clone; all calls may come from any number of threads.
#[derive(Clone)]
pub struct Executor {
    store: Arc<dyn Storage>,
    limits: QueryLimits,
}

impl fmt::Debug for Executor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Executor").field("limits", &self.limits).finish_non_exhaustive()
    }
}

impl Executor {
    /// An executor over `store` that holds each statement to `limits`.
    #[must_use]
    pub fn new(store: Arc<dyn Storage>, limits: QueryLimits) -> Executor {
        Executor { store, limits }
    }

    /// What one statement may cost.
    #[must_use]
    pub fn limits(&self) -> &QueryLimits {
        &self.limits
    }

    /// Executes one statement and waits for its answer: call it from a thread that may block. Statements
    /// that read see one snapshot; those that change something return when the change is visible.
    ///
    /// # Errors
    /// See [`Error`]. An error concerns this statement alone; nothing of its answer is given.
    pub fn execute(
        &self,
        statement: &Statement,
        context: &QueryContext<'_>,
    ) -> Result<StatementResult> {
        self.over_snapshot(statement, context, |view| self.answer(statement, view))
    }

    /// As [`Executor::execute`], and hands tables to `take` as they are there, a long one in slices of `slice_rows`
    /// rows, or of a few times as many where that is cheaper: an answer of rows takes half the memory, and begins
    /// before it ends. The tables of the result that is returned come behind them.
    ///
    /// # Errors
    /// As [`Executor::execute`], and what `take` says. Slices may have been handed out before.
    pub fn execute_in_slices(
        &self,
        statement: &Statement,
        context: &QueryContext<'_>,
        slice_rows: usize,
        take: &mut dyn FnMut(Slice<'_>) -> Result<()>,
    ) -> Result<StatementResult> {
        self.over_snapshot(statement, context, |view| match statement {
            Statement::Select(select) if select.target.is_none() => {
                let runner = Runner::new(view, &self.limits);
                let plan = plan(select, &runner)?;
                runner.run_in_slices(&plan, slice_rows, take)
            }
            _ => self.answer(statement, view),
        })
    }

    /// Executes a statement if it is a SELECT that takes a millisecond at most where its pages are in memory:
    /// for threads that should not block for long. `None` if it is another one, or takes more, or fails; then
    /// [`Executor::execute`] has its answer or its error. The context's memory bounds what finding out takes.
    #[must_use]
    pub fn execute_quick(
        &self,
        statement: &Statement,
        context: &QueryContext<'_>,
    ) -> Option<StatementResult> {
        let Statement::Select(select) = statement else { return None };
        let quick = |view: &View<'_>| small::quick(select, view, &self.limits);
        // What is wrong with it is told when it runs.
        self.over_snapshot(statement, context, quick).unwrap_or(None)
    }

    /// Whether a statement is a SELECT that surely takes some milliseconds at most, by the engine's estimates
    /// of what it reads. False also where that cannot be told within the context's memory and time. Blocks
    /// for as long as planning takes.
    #[must_use]
    pub fn is_small(&self, statement: &Statement, context: &QueryContext<'_>) -> bool {
        let Statement::Select(select) = statement else { return false };
        if select.target.is_some() {
            return false;
        }
        let look = |view: &View<'_>| small::is_small(select, view, &self.limits);
        // What is wrong with it is told when it runs.
        self.over_snapshot(statement, context, look).unwrap_or(false)
    }

    /// Checks the statement and hands `work` what it sees of the store: one snapshot.
    fn over_snapshot<T>(
        &self,
        statement: &Statement,
        context: &QueryContext<'_>,
        work: impl FnOnce(&View<'_>) -> Result<T>,
    ) -> Result<T> {
        context.cancel.check()?;
        tsdb_ql::check(statement)?;
        // The catalogue first: a namespace that is dropped between the two is an error, not an answer from
        // rows that nobody can name any more.
        let catalogue = self.store.catalogue();
        let snapshot = self.store.snapshot()?;
        work(&View { catalogue: &catalogue, snapshot: &*snapshot, context })
    }

    fn answer(&self, statement: &Statement, view: &View<'_>) -> Result<StatementResult> {
        let store = &*self.store;
        let answer = match statement {
            Statement::Select(select) => {
                let runner = Runner::new(view, &self.limits);
                let plan = plan(select, &runner)?;
                match &select.target {
                    Some(target) => into::select_into(&runner, &plan, target, store),
                    None => runner.run(&plan),
                }
            }
            Statement::Explain { analyze, select } => {
                let runner = Runner::new(view, &self.limits);
                let runner = if *analyze { runner.with_times() } else { runner };
                explain::explain(&runner, select, *analyze)
            }
            Statement::ShowDatabases => Ok(show::databases(view)),
            Statement::ShowRetentionPolicies { database } => {
                show::policies(view, database.as_deref())
            }
            Statement::ShowMeasurements(scope) => show::measurements(view, scope),
            Statement::ShowTagKeys(scope) => show::all_tag_keys(view, scope),
            Statement::ShowTagValues { scope, keys } => show::tag_values(view, scope, keys),
            Statement::ShowFieldKeys(scope) => show::field_keys(view, scope),
            Statement::ShowSeries(scope) => show::all_series(view, scope),
            Statement::ShowCardinality(statement) => show::cardinality(view, statement),
            Statement::ShowQueries => Err(Error::Unsupported {
                what: "SHOW QUERIES outside of the server",
                remedy: "ask the server, which knows what runs",
            }),
            Statement::ShowRejects { .. } => Err(Error::Unsupported {
                what: "SHOW REJECTS outside of the server",
                remedy: "ask the server, which takes rows in",
            }),
            Statement::KillQuery { .. } => Err(Error::Unsupported {
                what: "KILL QUERY outside of the server",
                remedy: "ask the server, which knows what runs",
            }),
            Statement::Account(_) => Err(Error::Unsupported {
                what: "a statement about users and tokens outside of the server",
                remedy: "ask the server, which knows who asks",
            }),
            Statement::ShowStats { .. } => Err(Error::Unsupported {
                what: "SHOW STATS outside of the server",
                remedy: "ask the server, which counts what it does",
            }),
            Statement::ShowDiagnostics { .. } => Err(Error::Unsupported {
                what: "SHOW DIAGNOSTICS outside of the server",
                remedy: "ask the server, which knows how it was started",
            }),
            Statement::ShowContinuousQueries => Ok(continuous::show(view.catalogue)),
            Statement::ShowShards => show::shards(view),
            Statement::ShowShardGroups => show::shard_groups(view),
            change => manage::execute(change, store, view).map(|()| StatementResult::default()),
        }?;
        check_rows(answer.rows(), &self.limits)?;
        Ok(answer)
    }
}
