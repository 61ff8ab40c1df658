//! Continuous queries: those of the catalogue are run when they are due, one after the other, by a task of the server.
//!
//! They take no turn of those who ask, and a quarter of the memory for queries at most, so a dashboard never waits for
//! them; one that takes too long ends as any query does, and the next run makes up for the time that passed. Which run
//! is due is decided in [`tsdb_exec::continuous`]; what became of each is kept in `watched`.

mod watched;

use std::sync::Arc;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};
use tsdb_core::{ErrorKind, Pool};
use tsdb_exec::{Slice, Values};
use tsdb_ql::Statement;

use crate::app::{App, blocking};
use crate::encode::results::Answer;
use crate::exposition::ContinuousRecord;
use crate::query::{Listener, Query, Run};
use watched::DueRun;

pub use watched::{Account, ContinuousQueries};

/// The part of the memory for queries that a run may take.
const MEMORY_PART: usize = 4;

/// The task that runs what is due, until it is stopped.
#[derive(Debug)]
pub struct Scheduler {
    open: watch::Sender<()>,
    task: JoinHandle<()>,
}

impl Scheduler {
    /// Starts it.
    pub fn start(app: &Arc<App>) -> Scheduler {
        let (open, mut end) = watch::channel(());
        let app = Arc::clone(app);
        let task = tokio::spawn(async move {
            let mut ticks = interval(app.config().continuous_query_interval);
            // A look that comes late sees all that is due.
            ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
            loop {
                tokio::select! {
                    _ = end.changed() => return,
                    _ = ticks.tick() => run_due(&app, &mut end).await,
                }
            }
        });
        Scheduler { open, task }
    }

    /// Ends the query that runs, and waits until it has ended.
    pub async fn stop(self) {
        drop(self.open);
        // Its panic has been printed, and there is nothing else to do about it now.
        let _ = self.task.await;
    }
}

/// Runs everything that is due now, until the sender of `end` is gone.
pub(crate) async fn run_due(app: &Arc<App>, end: &mut watch::Receiver<()>) {
    let catalogue = app.storage().catalogue();
    for due in app.continuous().due(&catalogue.entries, app.env().clock.wall_ns()) {
        if end.has_changed().is_err() {
            return;
        }
        let begun_ns = app.env().clock.mono_ns();
        let outcome = run(app, &due, end).await;
        let clock = &app.env().clock;
        let duration_ns = clock.mono_ns().saturating_sub(begun_ns);
        let (now_ns, rows) = (clock.wall_ns(), outcome.as_ref().map_or(0, |rows| *rows));
        let failed = outcome.is_err();
        app.exposition().continuous(ContinuousRecord { failed, rows, duration_ns, now_ns });
        app.continuous().ran(&due, outcome, now_ns, duration_ns);
    }
}

/// Runs one query and says how many rows it wrote, or why it failed.
async fn run(app: &Arc<App>, due: &DueRun, end: &mut watch::Receiver<()>) -> Result<u64, String> {
    let query = Query {
        text: due.text.to_string(),
        database: due.key.database.as_ref().map(ToString::to_string),
        ..Query::default()
    };
    let share = app.budget().limit(Pool::Queries) / MEMORY_PART;
    let memory_max = app.config().query_memory_max.map_or(share, |max| max.min(share));
    let (run, watch) = begin(app, query, due.statement.clone(), memory_max)?;
    let work = blocking(move || {
        let mut outcome = Outcome(Err("it was not executed".to_owned()));
        run.each_in_slices(&mut outcome);
        outcome.0
    });
    tokio::pin!(work);
    let done = tokio::select! {
        done = &mut work => done,
        _ = end.changed() => {
            drop(watch);
            work.await
        }
    };
    done.unwrap_or_else(|refused| Err(refused.message().to_owned()))
}

fn begin(
    app: &Arc<App>,
    query: Query,
    statement: Statement,
    memory_max: usize,
) -> Result<(Run, crate::query::Watch), String> {
    let time_max = app.config().query_timeout;
    Run::begin_apart(Arc::clone(app), query, statement, memory_max, time_max)
        .map_err(|refused| refused.message().to_owned())
}

/// How many rows the one statement of a run wrote, or why it failed.
struct Outcome(Result<u64, String>);

impl Listener for Outcome {
    /// What was written comes as a whole, at the end.
    fn slice(&mut self, _: usize, _: Slice<'_>) -> tsdb_exec::Result<()> {
        Ok(())
    }

    fn end(&mut self, answer: &Answer, _: Option<ErrorKind>) -> bool {
        self.0 = written(answer);
        true
    }
}

/// Rows that an answer to SELECT … INTO says were written.
fn written(answer: &Answer) -> Result<u64, String> {
    let result = answer.outcome.as_ref().map_err(Clone::clone)?;
    let column = result.series.first().and_then(|table| table.columns.first());
    let count = match column.map(|column| &column.values) {
        Some(Values::Integers(counts, _)) => counts.first().copied(),
        _ => None,
    };
    Ok(count.and_then(|count| u64::try_from(count).ok()).unwrap_or(0))
}

#[cfg(test)]
mod tests;
