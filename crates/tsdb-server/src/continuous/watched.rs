//! What the server knows of each continuous query: when it ran last, how often, and what became of it. Nothing of that
//! outlives the process.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tsdb_core::EntryKey;
use tsdb_core::catalogue::Entries;
use tsdb_exec::continuous::{CONTINUOUS_QUERY, continuous_query, due};
use tsdb_ql::{ContinuousQuery, Statement};

use crate::telemetry::clean;

/// A query that goes on failing is logged again after so long, in ns.
const LOG_EVERY_NS: i64 = 60_000_000_000;

/// All queries that were there at the last look.
#[derive(Debug, Default)]
pub struct ContinuousQueries(Mutex<BTreeMap<EntryKey, Watched>>);

/// One of them.
#[derive(Debug, Default)]
struct Watched {
    text: Arc<str>,
    /// `None` for a text that this version does not understand.
    query: Option<ContinuousQuery>,
    /// For which time its last run was due.
    mark_ns: Option<i64>,
    account: Account,
    /// When a failure of it was logged last.
    logged_ns: Option<i64>,
}

/// What became of the runs of a query.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Account {
    /// Runs, failed ones among them.
    pub runs: u64,
    /// Runs that failed.
    pub failures: u64,
    /// Rows that they wrote.
    pub rows: u64,
    /// When the last one ended, in ns since 1970.
    pub last_ns: Option<i64>,
    /// How long it took, in ns.
    pub duration_ns: u64,
    /// Why it failed; empty if it did not.
    pub error: String,
}

/// A run that is due.
#[derive(Debug, Clone, PartialEq)]
pub struct DueRun {
    /// Which query.
    pub key: EntryKey,
    /// The statement that created it.
    pub text: Arc<str>,
    /// What is to be run.
    pub statement: Statement,
}

impl ContinuousQueries {
    /// The runs of `entries` that are due at `now_ns`, each of which is handed out once.
    pub fn due(&self, entries: &Entries, now_ns: i64) -> Vec<DueRun> {
        let mut table = self.0.lock();
        table.retain(|key, watched| entries.get(key) == Some(&watched.text));
        let mut runs = Vec::new();
        for (key, text) in entries.of_kind(CONTINUOUS_QUERY) {
            let watched = table.entry(key.clone()).or_insert_with(|| Watched::new(key, text));
            let Some(query) = &watched.query else { continue };
            let Some(run) = due(query, watched.mark_ns, now_ns) else { continue };
            watched.mark_ns = Some(run.mark_ns);
            if let Some(statement) = run.statement(query) {
                runs.push(DueRun { key: key.clone(), text: Arc::clone(text), statement });
            }
        }
        runs
    }

    /// Takes note of a run: the rows that it wrote, or why it failed.
    pub fn ran(&self, run: &DueRun, outcome: Result<u64, String>, now_ns: i64, duration_ns: u64) {
        let mut table = self.0.lock();
        // One that was dropped meanwhile has no account.
        let Some(watched) = table.get_mut(&run.key) else { return };
        let account = &mut watched.account;
        account.runs += 1;
        account.last_ns = Some(now_ns);
        account.duration_ns = duration_ns;
        match outcome {
            Ok(rows) => {
                account.rows += rows;
                account.error.clear();
            }
            Err(error) => {
                account.failures += 1;
                let is_due = watched.logged_ns.is_none_or(|at| now_ns - at >= LOG_EVERY_NS);
                // The same failure every second must not fill the log, nor must one with a number in it.
                if is_due {
                    watched.logged_ns = Some(now_ns);
                    let (name, database) = names(&run.key);
                    let failures = account.failures;
                    let cause = clean(&error);
                    tracing::warn!(name, database, failures, cause, "a continuous query failed");
                }
                account.error = error;
            }
        }
    }

    /// The account of each query, in order of databases and names.
    pub fn accounts(&self) -> Vec<(EntryKey, Account)> {
        let table = self.0.lock();
        table.iter().map(|(key, watched)| (key.clone(), watched.account.clone())).collect()
    }
}

impl Watched {
    fn new(key: &EntryKey, text: &Arc<str>) -> Watched {
        let query = continuous_query(text);
        let mut account = Account::default();
        if query.is_none() {
            let (name, database) = names(key);
            tracing::warn!(name, database, "a continuous query is not understood and never runs");
            account.error = "not understood: drop it and create it again".to_owned();
        }
        Watched { text: Arc::clone(text), query, account, ..Watched::default() }
    }
}

/// Name and database, as they may stand in the log.
fn names(key: &EntryKey) -> (String, String) {
    (clean(&key.name), clean(key.database.as_deref().unwrap_or_default()))
}
