//! Running the statements of one request, in order, until one fails.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tokio::sync::OwnedSemaphorePermit;
use tsdb_core::{CancelToken, ErrorKind, MemoryBudget, Pool, Reservation};
use tsdb_exec::{Effort, Message, QueryContext, QueryMemory, Slice, StatementResult};
use tsdb_ql::{Statement, redacted};

use super::Query;
use super::running::{Listed, Request};
use super::slow;
use super::tables;
use super::watch::{Canceller, Watch};
use crate::app::{App, blocking};
use crate::auth::statements::Need;
use crate::auth::{AccountError, Who, statements};
use crate::encode::results::Answer;
use crate::http::reply::ApiError;

/// Memory of a request that waits, beside its text: its place in the table, in the queue, its connection's
/// state.
const WAITING_BYTES: usize = 2048;

/// What finding out whether a query is small may take. One that takes more is not.
const LOOK_TIME_MAX: Duration = Duration::from_millis(100);
const LOOK_BYTES_MAX: usize = 4 << 20;

/// Rows of a slice of an answer: about a megabyte.
pub const SLICE_ROWS: usize = 8192;

/// Memory of a query that runs on a thread of the runtime. One that takes more is not quick.
const QUICK_BYTES_MAX: usize = 1 << 20;

/// The statements of one request and what they need. Its methods block.
pub struct Run {
    app: Arc<App>,
    who: Who,
    query: Query,
    statements: Vec<Statement>,
    warn_of_changes: bool,
    canceller: Canceller,
    memory: QueryMemory,
    /// Shows the request in SHOW QUERIES while it lives.
    _listed: Listed,
    _turn: Option<OwnedSemaphorePermit>,
    /// Pays for the text.
    _text: Reservation,
}

impl Run {
    /// Waits for the turn of `statements`, which are those of `query` and which `who` must be allowed to run. From then on they may run for
    /// `time_max`, and until the watch is dropped. Those that need no turn do not wait, nor do those that were
    /// killed meanwhile: they end without having run.
    ///
    /// # Errors
    /// 401 and 403 when they are not; 503 when too many wait already, or no turn comes free in time.
    pub async fn begin(
        app: Arc<App>,
        who: Who,
        query: Query,
        statements: Vec<Statement>,
        time_max: Duration,
    ) -> Result<(Run, Watch), ApiError> {
        let database = query.database.as_deref();
        let needs = statements::authorize(app.auth(), &who, &statements, database)?;
        let needs_turn = !statements.iter().all(needs_no_store);
        // What is used to find out what takes all the memory, and to end it, must not need any of it.
        let own_budget = MemoryBudget::default();
        let budget = if needs_turn { app.budget() } else { &own_budget };
        let memory = QueryMemory::new(budget, app.config().query_memory_max);
        let text = pay_for_text(&memory, &query)?;
        let canceller = Canceller::default();
        let database = query.database.as_deref().unwrap_or_default();
        let now_ns = app.env().clock.mono_ns();
        let text_shown = redacted(&query.text);
        let request = Request { text: &text_shown, database, needs };
        let listed = app.running().enter(request, canceller.clone(), now_ns);
        let (turn, statements) = if needs_turn {
            turn(&app, &query, statements, &canceller).await?
        } else {
            (None, statements)
        };
        listed.begin();
        let watch = Watch::new(canceller.clone(), time_max);
        let run = Run {
            app,
            who,
            query,
            statements,
            warn_of_changes: false,
            canceller,
            memory,
            _listed: listed,
            _turn: turn,
            _text: text,
        };
        Ok((run, watch))
    }

    /// A statement of the server's own, `query` being how it is shown: it waits for no turn and takes none, and of the
    /// memory for queries `memory_max` bytes at most.
    ///
    /// # Errors
    /// 503 when not even its text has room.
    pub fn begin_apart(
        app: Arc<App>,
        query: Query,
        statement: Statement,
        memory_max: usize,
        time_max: Duration,
    ) -> Result<(Run, Watch), ApiError> {
        let memory = QueryMemory::new(app.budget(), Some(memory_max));
        let text = pay_for_text(&memory, &query)?;
        let canceller = Canceller::default();
        let database = query.database.as_deref().unwrap_or_default();
        let now_ns = app.env().clock.mono_ns();
        let request = Request { text: &query.text, database, needs: vec![Need::Admin] };
        let listed = app.running().enter(request, canceller.clone(), now_ns);
        listed.begin();
        let watch = Watch::new(canceller.clone(), time_max);
        let run = Run {
            app,
            who: Who::Everyone,
            query,
            statements: vec![statement],
            warn_of_changes: false,
            canceller,
            memory,
            _listed: listed,
            _turn: None,
            _text: text,
        };
        Ok((run, watch))
    }

    /// The same with a remark on each statement that changes something: it came by GET, which InfluxDB
    /// still allows and discourages.
    #[must_use]
    pub fn with_warnings(self) -> Run {
        Run { warn_of_changes: true, ..self }
    }

    /// The memory that pays for answers.
    pub fn memory(&self) -> &QueryMemory {
        &self.memory
    }

    /// What ends the statements, and what is made of their answers.
    pub fn canceller(&self) -> &Canceller {
        &self.canceller
    }

    /// Runs the statements and forgets the answers.
    pub fn to_end(&self) {
        self.each_in_slices(&mut Forgetful);
    }

    /// Runs one statement after the other and hands their answers to `listener` in slices as they come. After a
    /// failure the rest is answered as not executed.
    pub fn each_in_slices(&self, listener: &mut dyn Listener) {
        let mut has_failed = false;
        for (at, statement) in self.statements.iter().enumerate() {
            let (answer, kind) = if has_failed {
                (failed(at, "not executed".to_owned()), None)
            } else {
                self.one(at, statement, listener)
            };
            has_failed |= answer.outcome.is_err();
            let goes_on = listener.end(&answer, kind);
            if let Ok(result) = answer.outcome {
                result.let_go();
            }
            if !goes_on {
                return;
            }
        }
    }

    /// The answer, if there is one statement and it is so quick that handing it to another thread would take
    /// longer than running it. Blocks for about a millisecond, or while pages are read.
    pub fn quick(&self) -> Option<Answer> {
        let [statement] = &*self.statements else { return None };
        let _turn = self.app.quick_turn()?;
        let memory = QueryMemory::new(self.app.budget(), Some(QUICK_BYTES_MAX));
        let begin_ns = self.app.env().clock.mono_ns();
        let effort = Effort::default();
        let context = self.context(memory, &effort);
        let result = self.app.executor().execute_quick(statement, &context)?;
        self.note_if_slow(statement, begin_ns, &effort, &context.memory);
        self.app.exposition().statement(false);
        Some(Answer { statement: 0, outcome: Ok(result), messages: Vec::new() })
    }

    fn context<'r>(&'r self, memory: QueryMemory, effort: &'r Effort) -> QueryContext<'r> {
        QueryContext {
            database: self.query.database.as_deref(),
            policy: self.query.policy.as_deref(),
            now_ns: self.app.env().clock.wall_ns(),
            memory,
            cancel: self.canceller.token().clone(),
            clock: Some(Arc::clone(&self.app.env().clock)),
            effort: Some(effort),
        }
    }

    fn one(
        &self,
        at: usize,
        statement: &Statement,
        listener: &mut dyn Listener,
    ) -> (Answer, Option<ErrorKind>) {
        let begin_ns = self.app.env().clock.mono_ns();
        let effort = Effort::default();
        let context = self.context(self.memory.clone(), &effort);
        let outcome = self.outcome(at, statement, &context, listener);
        self.note_if_slow(statement, begin_ns, &effort, &self.memory);
        self.app.exposition().statement(outcome.is_err());
        let kind = outcome.as_ref().err().map(|failure| failure.kind);
        let messages = self.warning(statement).into_iter().collect();
        let outcome = outcome.map_err(|failure| failure.message);
        (Answer { statement: at, outcome, messages }, kind)
    }

    /// Puts a statement that took long since `begin_ns` into the log.
    fn note_if_slow(
        &self,
        statement: &Statement,
        begin_ns: u64,
        effort: &Effort,
        memory: &QueryMemory,
    ) {
        let elapsed_ns = self.app.env().clock.mono_ns().saturating_sub(begin_ns);
        let elapsed = Duration::from_nanos(elapsed_ns);
        if elapsed > self.app.config().slow_query_time {
            self.app.exposition().slow_statement();
            slow::log(statement, self.query.database.as_deref(), elapsed, effort, memory);
        }
    }

    fn outcome(
        &self,
        at: usize,
        statement: &Statement,
        context: &QueryContext<'_>,
        listener: &mut dyn Listener,
    ) -> Result<StatementResult, Failure> {
        match statement {
            Statement::ShowQueries => {
                context.cancel.check().map_err(|error| self.failure(&error.into()))?;
                Ok(self.app.running().show(self.app.env().clock.mono_ns(), &self.who))
            }
            Statement::KillQuery { id, .. } => {
                context.cancel.check().map_err(|error| self.failure(&error.into()))?;
                self.app.running().kill(*id).map_err(|unknown| Failure {
                    kind: ErrorKind::NotFound,
                    message: unknown.to_string(),
                })?;
                Ok(StatementResult::default())
            }
            Statement::ShowRejects { database, limit } => {
                let database = database.as_deref().or(self.query.database.as_deref());
                let limit = limit.map_or(usize::MAX, |n| usize::try_from(n).unwrap_or(usize::MAX));
                let shown = self.app.rejects().show(database, limit, &self.who, &context.memory);
                shown.map_err(|error| self.failure(&error.into()))
            }
            Statement::ShowStats { module } => {
                let module = module.as_deref();
                let stats = tables::stats(&self.app, module, &context.memory, &context.cancel);
                stats.map_err(|error| self.failure(&error.into()))
            }
            Statement::ShowDiagnostics { module } => {
                Ok(tables::diagnostics(&self.app, module.as_deref()))
            }
            Statement::ShowDatabases if !self.who.is_admin() => {
                Ok(tables::databases_seen(&self.app, &self.who))
            }
            Statement::ShowContinuousQueries if !self.who.is_admin() => {
                let shown = self.app.executor().execute(statement, context);
                let mut shown = shown.map_err(|error| self.failure(&error))?;
                let sees = |name: &Arc<str>| self.who.sees(name);
                shown.series.retain(|table| table.name.as_ref().is_some_and(sees));
                Ok(shown)
            }
            Statement::Account(statement) => {
                let done = self.app.auth().carry_out(statement, &self.who);
                done.map_err(|error| self.account_failure(&error))
            }
            _ => {
                let (executor, rows) = (self.app.executor(), listener.slice_rows());
                let mut take = |slice: Slice<'_>| listener.slice(at, slice);
                let executed = executor.execute_in_slices(statement, context, rows, &mut take);
                executed.map_err(|error| self.failure(&error))
            }
        }
    }

    /// The words of an error; one that has a place in the query shows it, with the remedy below.
    fn failure(&self, error: &tsdb_exec::Error) -> Failure {
        if let Some(error) = error.storage() {
            self.app.note(error);
        }
        let message = match error {
            tsdb_exec::Error::Check(errors) => errors.render(&self.query.text),
            other => other.to_string(),
        };
        Failure { kind: error.kind(), message }
    }

    fn account_failure(&self, error: &AccountError) -> Failure {
        if let AccountError::Store(error) = error {
            self.app.note(error);
        }
        Failure { kind: error.kind(), message: error.to_string() }
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

/// Memory for the text of a query, which stands in the request and in the table.
fn pay_for_text(memory: &QueryMemory, query: &Query) -> Result<Reservation, ApiError> {
    let text = memory.budget().reserve(Pool::Queries, 2 * query.text.len() + WAITING_BYTES);
    text.map_err(|_| {
        ApiError::overloaded(
            "the memory for queries is used up: retry later or raise --memory-limit",
        )
    })
}

/// Who takes the answers of a request.
pub trait Listener {
    /// Rows of the slices that answers come in, where they can.
    fn slice_rows(&self) -> usize {
        SLICE_ROWS
    }

    /// A part of the answer of the statement at a place in the query; behind the last comes the end.
    ///
    /// # Errors
    /// There is no room for it, or nobody wants it any more: the statement ends with that.
    fn slice(&mut self, statement: usize, slice: Slice<'_>) -> tsdb_exec::Result<()>;

    /// The end of an answer: what was in no slice, or the error, and its kind. Says whether to go on.
    fn end(&mut self, answer: &Answer, kind: Option<ErrorKind>) -> bool;
}

/// Takes answers and forgets them.
struct Forgetful;

impl Listener for Forgetful {
    fn slice(&mut self, _: usize, _: Slice<'_>) -> tsdb_exec::Result<()> {
        Ok(())
    }

    fn end(&mut self, answer: &Answer, _: Option<ErrorKind>) -> bool {
        if let Err(error) = &answer.outcome {
            tracing::info!(statement = answer.statement, error, "asynchronous statement failed");
        }
        true
    }
}

/// Why a statement has no answer.
struct Failure {
    kind: ErrorKind,
    message: String,
}

/// Whether a statement is about queries and not about data. Such a one runs always: else nobody could end
/// what takes all the turns.
fn needs_no_store(statement: &Statement) -> bool {
    matches!(statement, Statement::ShowQueries | Statement::KillQuery { .. })
}

/// A turn, and the statements. While they wait there is only their text: a tree takes many times as much.
/// Without a turn they have been ended.
async fn turn(
    app: &Arc<App>,
    query: &Query,
    statements: Vec<Statement>,
    canceller: &Canceller,
) -> Result<(Option<OwnedSemaphorePermit>, Vec<Statement>), ApiError> {
    let mut acquired = pin!(app.query_turn());
    if let Poll::Ready(turn) = poll_fn(|cx| Poll::Ready(acquired.as_mut().poll(cx))).await {
        return Ok((Some(turn?), statements));
    }
    let (turn, statements) = small_turn(app, query, statements).await?;
    if turn.is_some() {
        return Ok((turn, statements));
    }
    drop(statements);
    let turn = tokio::select! {
        biased;
        _ = canceller.cancelled() => None,
        turn = acquired => Some(turn?),
    };
    let statements = query.parse().map_err(|errors| ApiError::bad_request(errors.to_string()))?;
    Ok((turn, statements))
}

/// A turn beside the others, if all statements are small.
async fn small_turn(
    app: &Arc<App>,
    query: &Query,
    statements: Vec<Statement>,
) -> Result<(Option<OwnedSemaphorePermit>, Vec<Statement>), ApiError> {
    let Some(turn) = app.small_query_turn() else { return Ok((None, statements)) };
    let cancel = CancelToken::new();
    let late = cancel.clone();
    let alarm = tokio::spawn(async move {
        tokio::time::sleep(LOOK_TIME_MAX).await;
        late.expire();
    });
    let (app, database, policy) = (Arc::clone(app), query.database.clone(), query.policy.clone());
    let looked = blocking(move || {
        let context = QueryContext {
            database: database.as_deref(),
            policy: policy.as_deref(),
            now_ns: app.env().clock.wall_ns(),
            memory: QueryMemory::new(app.budget(), Some(LOOK_BYTES_MAX)),
            cancel,
            clock: None,
            effort: None,
        };
        let mut all = statements.iter();
        (all.all(|statement| app.executor().is_small(statement, &context)), statements)
    });
    let looked = looked.await;
    alarm.abort();
    let (is_small, statements) = looked?;
    Ok((Some(turn).filter(|_| is_small), statements))
}

/// The answer of a statement that did not run or did not end.
pub fn failed(statement: usize, error: String) -> Answer {
    Answer { statement, outcome: Err(error), messages: Vec::new() }
}
