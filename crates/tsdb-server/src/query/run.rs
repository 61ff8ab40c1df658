//! Running the statements of one request, in order, until one fails.

use std::sync::Arc;

use tsdb_core::{CancelToken, ErrorKind, MemoryBudget};
use tsdb_exec::{Message, QueryContext};
use tsdb_ql::Statement;

use super::Query;
use super::running::Listed;
use crate::app::App;
use crate::encode::results::Answer;

/// The statements of one request and what they need. Its methods block.
pub struct Run {
    app: Arc<App>,
    query: Query,
    statements: Vec<Statement>,
    warn_of_changes: bool,
    token: CancelToken,
    /// Shows the request in SHOW QUERIES while it lives.
    _listed: Listed,
}

impl Run {
    /// Prepares to run `statements`, which are those of `query`, until `token` ends them.
    pub fn new(app: Arc<App>, query: Query, statements: Vec<Statement>, token: CancelToken) -> Run {
        let database = query.database.as_deref().unwrap_or_default();
        let listed = app.running().enter(&query.text, database, app.env().clock.mono_ns());
        Run { app, query, statements, warn_of_changes: false, token, _listed: listed }
    }

    /// The same with a remark on each statement that changes something: it came by GET, which InfluxDB
    /// still allows and discourages.
    #[must_use]
    pub fn with_warnings(self) -> Run {
        Run { warn_of_changes: true, ..self }
    }

    /// The budget that pays for answers.
    pub fn budget(&self) -> &MemoryBudget {
        self.app.budget()
    }

    /// Runs the statements and forgets the answers.
    pub fn to_end(&self) {
        self.each(|answer, _| {
            if let Err(error) = &answer.outcome {
                tracing::info!(
                    statement = answer.statement,
                    error,
                    "asynchronous statement failed"
                );
            }
            true
        });
    }

    /// Runs one statement after the other and hands each answer, and the kind of its error if it failed,
    /// to `f`, which says whether to go on. After a failure the rest is answered as not executed.
    pub fn each(&self, mut f: impl FnMut(&Answer, Option<ErrorKind>) -> bool) {
        let mut has_failed = false;
        for (at, statement) in self.statements.iter().enumerate() {
            let (answer, kind) = if has_failed {
                (failed(at, "not executed".to_owned()), None)
            } else {
                self.one(at, statement)
            };
            has_failed |= answer.outcome.is_err();
            if !f(&answer, kind) {
                return;
            }
        }
    }

    fn one(&self, at: usize, statement: &Statement) -> (Answer, Option<ErrorKind>) {
        let context = QueryContext {
            database: self.query.database.as_deref(),
            policy: self.query.policy.as_deref(),
            now_ns: self.app.env().clock.wall_ns(),
            budget: self.app.budget().clone(),
            cancel: self.token.clone(),
        };
        let outcome = match statement {
            Statement::ShowQueries => Ok(self.app.running().show(self.app.env().clock.mono_ns())),
            _ => self.app.executor().execute(statement, &context),
        };
        self.app.exposition().statement(outcome.is_err());
        let kind = outcome.as_ref().err().map(|error| error.kind());
        if let Err(tsdb_exec::Error::Storage(error)) = &outcome {
            self.app.note(error);
        }
        let messages = self.warning(statement).into_iter().collect();
        let outcome = outcome.map_err(|error| self.described(&error));
        (Answer { statement: at, outcome, messages }, kind)
    }

    /// The words of an error; one that has a place in the query shows it, with the remedy below.
    fn described(&self, error: &tsdb_exec::Error) -> String {
        match error {
            tsdb_exec::Error::Check(errors) => errors.render(&self.query.text),
            other => other.to_string(),
        }
    }

    /// What InfluxDB says to changes by GET.
    fn warning(&self, statement: &Statement) -> Option<Message> {
        let deserved = self.warn_of_changes && !statement.is_read_only();
        deserved.then(|| Message {
            level: "warning",
            text: format!(
                "deprecated use of '{statement}' in a read only context, please use a POST request instead"
            ),
        })
    }
}

/// The answer of a statement that did not run or did not end.
pub fn failed(statement: usize, error: String) -> Answer {
    Answer { statement, outcome: Err(error), messages: Vec::new() }
}
