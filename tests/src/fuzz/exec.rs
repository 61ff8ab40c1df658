//! The execution of TQL: any text as statements over a small database.

use std::path::Path;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tsdb_core::env::SimVfs;
use tsdb_core::matcher::{MatchOp, TagFilter};
use tsdb_core::{
    Append, CancelToken, DeleteRequest, ErrorKind, MemoryBudget, MemoryStore, Pool, Storage,
    Ticket, TimeRange,
};
use tsdb_exec::{Executor, QueryContext, QueryLimits, QueryMemory, StatementResult};
use tsdb_ingest::{LineProtocol, ParseOptions, Pipeline, PipelineOptions, Precision, WriteRequest};
use tsdb_ql::Statement;

use super::corpus::write;
use super::records::open_engine;

/// Statements of an input that are executed; each is bounded by itself.
const STATEMENTS_MAX: usize = 8;

/// Most memory of one statement in bytes.
const QUERY_BYTES_MAX: usize = 8 << 20;

/// Longest time of all statements of an input; one that goes on much longer does not look at its token.
const TIME_MAX: Duration = Duration::from_secs(1);

/// What `now()` is: behind all rows.
const NOW_NS: i64 = 3_600_000_000_000;

/// What one statement may do.
const LIMITS: QueryLimits = QueryLimits {
    series_max: 20,
    samples_max: 20_000,
    buckets_max: 2000,
    rows_max: 5000,
    estimate_max: u64::MAX,
    parallel_samples_min: 100,
};

/// Any text as statements: those that read over the engine, with rows in a run and in memory, and over the store in memory;
/// those that change something over the latter alone.
///
/// # Panics
/// If memory is kept, an answer is longer than its limit or has columns of different lengths, an error says nothing or
/// blames the storage, or one store answers what the other one refuses.
pub fn query_exec(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(statements) = tsdb_ql::parse(text) else { return };
    static STORES: OnceLock<[Arc<dyn Storage>; 2]> = OnceLock::new();
    let token = CancelToken::new();
    let _timer = expire_later(&token);
    let [engine, memory] = STORES.get_or_init(|| [filled_engine(), filled_memory()]);
    let (mut memory, mut is_changed) = (Arc::clone(memory), false);
    for statement in statements.iter().take(STATEMENTS_MAX) {
        if !statement.is_read_only() && !is_changed {
            memory = filled_memory();
            is_changed = true;
        }
        let found = execute(&memory, statement, &token);
        if !is_changed {
            compare(&execute(engine, statement, &token), &found, statement);
        }
    }
}

/// Executes a statement and judges its answer or its error, whose kind is returned.
fn execute(
    store: &Arc<dyn Storage>,
    statement: &Statement,
    token: &CancelToken,
) -> Result<(), ErrorKind> {
    let budget = MemoryBudget::with_limits([QUERY_BYTES_MAX; 5]);
    let context = QueryContext {
        database: Some("d"),
        memory: QueryMemory::new(&budget, None),
        cancel: token.clone(),
        ..QueryContext::new(NOW_NS)
    };
    let executor = Executor::new(Arc::clone(store), LIMITS);
    let _ = executor.is_small(statement, &context);
    let judged = match executor.execute(statement, &context) {
        Ok(answer) => {
            check_answer(&answer, statement);
            Ok(())
        }
        Err(error) => {
            assert!(!error.to_string().is_empty(), "an error that is silent: {statement}");
            Err(error.kind())
        }
    };
    assert_eq!(budget.used(Pool::Queries), 0, "memory is kept: {statement}");
    judged
}

fn check_answer(answer: &StatementResult, statement: &Statement) {
    let fits = u64::try_from(answer.rows()).is_ok_and(|rows| rows <= LIMITS.rows_max);
    assert!(fits, "{} rows: {statement}", answer.rows());
    for table in &answer.series {
        let rows = table.rows();
        let is_even = table.columns.iter().all(|column| column.values.len() == rows);
        assert!(is_even, "columns of different lengths: {statement}");
    }
}

/// Ends the statements after their time, as the server does, unless what it returns is dropped before.
fn expire_later(token: &CancelToken) -> Sender<()> {
    let (sender, receiver) = channel();
    let token = token.clone();
    std::thread::spawn(move || {
        if receiver.recv_timeout(TIME_MAX) == Err(RecvTimeoutError::Timeout) {
            token.expire();
        }
    });
    sender
}

/// Where one store answers, so does the other one, unless a limit ends it: what is counted depends on the store.
fn compare(engine: &Result<(), ErrorKind>, memory: &Result<(), ErrorKind>, statement: &Statement) {
    let ends = |outcome: &Result<(), ErrorKind>| {
        use ErrorKind::{Deadline, LimitExceeded, Overloaded};
        matches!(outcome, Err(LimitExceeded | Overloaded | Deadline))
    };
    if !ends(engine) && !ends(memory) {
        assert_eq!(engine, memory, "the engine, and the store in memory: {statement}");
    }
    let is_fault = |kind: &ErrorKind| {
        matches!(kind, ErrorKind::StorageFailed | ErrorKind::Corrupt | ErrorKind::Stale)
    };
    for outcome in [engine, memory] {
        assert!(!outcome.as_ref().is_err_and(is_fault), "{outcome:?}: {statement}");
    }
}

/// Rows of two measurements; the second half writes the end of the first one anew.
fn lines(half: u32) -> String {
    let row = |n: u32| {
        let host = ["a", "b", "c"].into_iter().cycle().nth(n as usize % 3).unwrap_or_default();
        let (dc, time, usage, idle) = (n % 2, n * 10, (n + half) % 7, 100 - n);
        format!(
            "cpu,host={host},dc=d{dc} usage={usage},idle={idle}.25 {time}000000000\n\
             mem,host={host} free={} {time}000000007\n",
            n * n
        )
    };
    (half * 30..half * 30 + 40).map(row).collect()
}

/// Hides some rows of both halves.
fn delete(store: &dyn Append) -> Ticket {
    let namespace = store.catalogue().namespace("d", None).expect("it was written to").id;
    let request = DeleteRequest {
        namespace,
        measurements: Some(vec!["cpu".into()]),
        filter: TagFilter::tag("host", MatchOp::Eq, "b"),
        time: TimeRange { start: 100_000_000_000, end: 400_000_000_000 },
    };
    store.delete(&request).expect("a filter that compiles")
}

/// The store in memory with all rows.
fn filled_memory() -> Arc<dyn Storage> {
    let store = Arc::new(MemoryStore::new());
    let append = Arc::clone(&store) as Arc<dyn Append>;
    let pipeline = Pipeline::new(append, MemoryBudget::default(), PipelineOptions::default());
    for half in [0, 1] {
        let options = ParseOptions::new(Precision::Nanoseconds, 0);
        let body = lines(half);
        let request = WriteRequest { database: "d", policy: None, body: body.as_bytes(), options };
        pipeline.write(&LineProtocol::default(), &request).expect("sound lines");
    }
    delete(&*store).wait().expect("a store in memory does not fail");
    store
}

/// The engine with all rows: the first half in a run, the second one and the delete in memory.
fn filled_engine() -> Arc<dyn Storage> {
    let disk = SimVfs::new(13);
    let engine = open_engine(&disk, Path::new("/db")).expect("the disk has no faults");
    write(&engine, &lines(0));
    engine.seal().and_then(|_| engine.flush_one()).expect("the disk has no faults");
    write(&engine, &lines(1));
    let ticket = delete(&*engine);
    engine.sync().expect("the disk has no faults");
    ticket.wait().expect("synced");
    engine
}
