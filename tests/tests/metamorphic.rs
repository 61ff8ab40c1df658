//! The same question in other circumstances has the same answer: whatever the engine did with the rows meanwhile,
//! however many threads work, and whether a range is asked for at once or in parts.
//!
//! Questions are the random ones that are also put to InfluxDB (`e2e_influxql`); values are quarters, so that sums are
//! exact in any order. Each failure prints the seed, which `TSDB_TEST_SEED` repeats.

#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "helpers of tests report by panicking"
)]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use tsdb_core::catalogue::PolicySpec;
use tsdb_core::env::{Env, SimClock, SimVfs};
use tsdb_core::{Append, CatalogueChange, Maintain as _, MemoryBudget, MemoryStore, Storage};
use tsdb_exec::{Executor, QueryContext, QueryLimits, Series, StatementResult, Values};
use tsdb_ingest::{LineProtocol, ParseOptions, Pipeline, PipelineOptions, Precision, WriteRequest};
use tsdb_lsm::{Engine, EngineOptions};
use tsdb_tests::answers::assert_near;
use tsdb_tests::influxql::{KINDS, TIMES, lines, question};
use tsdb_tests::seed::Seed;

/// Data sets, each with questions of its own.
const ROUNDS: u64 = 4;
/// Questions of each kind for a data set.
const QUESTIONS: usize = 3;
/// Those of statements that write, and those with values beside the text.
const NOT_ASKED: [&str; 2] = ["into", "parameters"];
/// Of so many rows one is written again with another value.
const REWRITTEN_EVERY: usize = 100;

/// The engine on a simulated disk, and the store in memory that knows nothing of files.
struct Stores {
    env: Env,
    engine: Arc<Engine>,
    memory: Arc<MemoryStore>,
}

impl Stores {
    fn new(seed: u64) -> Stores {
        let env = Env { clock: Arc::new(SimClock::new(i64::MIN)), ..SimVfs::new(seed).env() };
        let (engine, memory) = (open(&env), Arc::new(MemoryStore::new()));
        let stores = Stores { env, engine, memory };
        for store in stores.writers() {
            let policy = PolicySpec::default();
            let change = CatalogueChange::CreateDatabase { name: "d".into(), policy };
            let ticket = store.change_catalogue(&change).unwrap();
            stores.engine.sync().unwrap();
            ticket.wait().unwrap();
        }
        stores
    }

    fn writers(&self) -> [Arc<dyn Append>; 2] {
        [Arc::clone(&self.engine) as _, Arc::clone(&self.memory) as _]
    }

    /// Writes lines to both.
    fn write(&self, lines: &[&str]) {
        let body = lines.join("\n");
        for store in self.writers() {
            let pipeline =
                Pipeline::new(store, MemoryBudget::default(), PipelineOptions::default());
            let options = ParseOptions::new(Precision::Nanoseconds, 0);
            let request =
                WriteRequest { database: "d", policy: None, body: body.as_bytes(), options };
            let report = pipeline.write(&LineProtocol::default(), &request).unwrap();
            assert_eq!(report.rows, lines.len() as u64, "{report:?}\n{body}");
            self.engine.sync().unwrap();
            report.ticket.unwrap().wait().unwrap();
        }
    }

    /// Closes the engine and opens it again on what its disk has.
    fn reopen(&mut self) {
        self.engine.close().unwrap();
        self.engine = open(&self.env);
    }

    /// That the engine answers all questions as the store in memory does.
    fn check(&self, questions: &[String], state: &str) {
        for text in questions {
            let expected = outcomes(Arc::clone(&self.memory) as _, text, QueryLimits::default());
            let engine = outcomes(Arc::clone(&self.engine) as _, text, QueryLimits::default());
            assert_alike(&engine, &expected, &format!("{state}: {text}"));
        }
    }
}

fn open(env: &Env) -> Arc<Engine> {
    let mut options = EngineOptions::new("/db");
    options.env = env.clone();
    options.background = false;
    Engine::open(options).unwrap()
}

type Outcome = Result<StatementResult, String>;

/// The answers to all statements of `text`.
fn outcomes(store: Arc<dyn Storage>, text: &str, limits: QueryLimits) -> Vec<Outcome> {
    let executor = Executor::new(store, limits);
    let now_ns = i64::try_from(TIMES.end).unwrap() + 50;
    let context = QueryContext { database: Some("d"), ..QueryContext::new(now_ns) };
    let statements = tsdb_ql::parse(text).unwrap_or_else(|error| panic!("{text}\n{error}"));
    let answers = statements.iter().map(|statement| executor.execute(statement, &context));
    answers.map(|answer| answer.map_err(|error| error.to_string())).collect()
}

/// Equal, but for the last digits of numbers that more than additions make.
fn assert_alike(left: &[Outcome], right: &[Outcome], what: &str) {
    assert_eq!(left.len(), right.len(), "{what}");
    for (left, right) in left.iter().zip(right) {
        match (left, right) {
            (Ok(left), Ok(right)) => {
                assert_eq!(left.series.len(), right.series.len(), "{what}");
                left.series.iter().zip(&right.series).for_each(|(a, b)| assert_near(a, b, what));
            }
            _ => assert_eq!(left.as_ref().err(), right.as_ref().err(), "{what}"),
        }
    }
}

/// Some questions of each kind.
fn questions(seed: &mut Seed) -> Vec<String> {
    let kinds = (0..KINDS.len()).filter(|kind| !NOT_ASKED.contains(&KINDS[*kind]));
    let all = kinds.flat_map(|kind| std::iter::repeat_n(kind, QUESTIONS));
    all.map(|kind| question(kind, seed).text).collect()
}

/// The line with other values at the same place.
fn rewritten(line: &str, seed: &mut Seed) -> String {
    // Spaces in tags are escaped; there is none in what follows.
    let mut words = line.rsplitn(3, ' ');
    let (time, fields, key) = (words.next().unwrap(), words.next().unwrap(), words.next().unwrap());
    let fields: Vec<String> = fields
        .split(',')
        .map(|field| {
            let name = field.split('=').next().unwrap();
            format!("{name}={}", seed.within(0..400) as f64 / 4.0)
        })
        .collect();
    format!("{key} {} {time}", fields.join(","))
}

/// The engine and the memory with the same rows, in three runs of which later ones reach into the time of earlier ones.
fn written(seed: &mut Seed) -> (Stores, Vec<String>) {
    let stores = Stores::new(seed.bits());
    let text = lines(seed);
    let all: Vec<String> = text.lines().map(str::to_owned).collect();
    let mut portions = BTreeMap::<u64, Vec<&str>>::new();
    for line in &all {
        portions.entry(seed.within(0..3)).or_default().push(line);
    }
    for (at, portion) in portions.values().enumerate() {
        if at > 0 {
            stores.engine.flush().unwrap();
        }
        stores.write(portion);
    }
    (stores, all)
}

/// Writes one of a hundred rows again.
fn rewrite(stores: &Stores, all: &[String], seed: &mut Seed) {
    let again: Vec<String> =
        all.iter().step_by(REWRITTEN_EVERY).map(|line| rewritten(line, seed)).collect();
    let again: Vec<&str> = again.iter().map(String::as_str).collect();
    stores.write(&again);
}

#[test]
fn answers_are_the_same_whatever_the_engine_did_with_the_rows() {
    let mut seed = Seed::from_environment();
    for _ in 0..ROUNDS {
        let (mut stores, all) = written(&mut seed);
        let questions = questions(&mut seed);
        stores.check(&questions, "partly in memory");
        stores.engine.flush().unwrap();
        stores.check(&questions, "flushed");
        stores.reopen();
        stores.check(&questions, "opened again");
        rewrite(&stores, &all, &mut seed);
        stores.check(&questions, "rewritten in memory");
        stores.reopen();
        stores.check(&questions, "rewritten and replayed");
        stores.engine.flush().unwrap();
        stores.check(&questions, "rewritten and flushed");
        stores.engine.compact().unwrap();
        stores.check(&questions, "merged");
        stores.reopen();
        stores.check(&questions, "merged and opened again");
    }
}

#[test]
fn answers_do_not_depend_on_threads() {
    let mut seed = Seed::from_environment();
    let pool = |threads| rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
    let (one, four) = (pool(1), pool(4));
    let in_parts = QueryLimits { parallel_samples_min: 8, ..QueryLimits::default() };
    for _ in 0..ROUNDS {
        let (stores, all) = written(&mut seed);
        rewrite(&stores, &all, &mut seed);
        for text in questions(&mut seed) {
            let ask =
                |limits: &QueryLimits| outcomes(Arc::clone(&stores.engine) as _, &text, *limits);
            let (few, many) = (one.install(|| ask(&in_parts)), four.install(|| ask(&in_parts)));
            assert_eq!(format!("{few:?}"), format!("{many:?}"), "{text}: to the last bit");
            assert_alike(&few, &ask(&QueryLimits::default()), &format!("in one part: {text}"));
        }
    }
}

/// count, sum, min and max of `f` in `m` and a stretch of time, by host: what has no rows is not there.
fn stretch(stores: &Stores, start: u64, end: u64) -> BTreeMap<String, [f64; 4]> {
    let mut text = "SELECT count(f), sum(f), min(f), max(f) FROM m".to_owned();
    write!(text, " WHERE time >= {start} AND time < {end} GROUP BY host").unwrap();
    let outcomes = outcomes(Arc::clone(&stores.engine) as _, &text, QueryLimits::default());
    let answer = outcomes[0].as_ref().unwrap();
    let of_table = |table: &Series| {
        let value = |column: usize| match &table.columns[column].values {
            Values::Floats(values, _) => values[0],
            Values::Integers(values, _) => values[0] as f64,
            other => panic!("{other:?}"),
        };
        (format!("{:?}", table.tags), [value(0), value(1), value(2), value(3)])
    };
    answer.series.iter().map(of_table).collect()
}

#[test]
fn a_range_is_the_sum_of_its_parts() {
    let mut seed = Seed::from_environment();
    for round in 0..ROUNDS {
        let (stores, all) = written(&mut seed);
        rewrite(&stores, &all, &mut seed);
        if round % 2 == 0 {
            stores.engine.flush().unwrap();
        }
        for _ in 0..40 {
            let mut cuts: Vec<u64> = (0..seed.within(2..7))
                .map(|_| seed.within(TIMES.start - 20..TIMES.end + 20))
                .collect();
            cuts.sort_unstable();
            let mut joined = BTreeMap::<String, [f64; 4]>::new();
            for pair in cuts.windows(2) {
                for (host, [count, sum, min, max]) in stretch(&stores, pair[0], pair[1]) {
                    let total =
                        joined.entry(host).or_insert([0.0, 0.0, f64::INFINITY, f64::NEG_INFINITY]);
                    *total =
                        [total[0] + count, total[1] + sum, total[2].min(min), total[3].max(max)];
                }
            }
            let whole = stretch(&stores, cuts[0], *cuts.last().unwrap());
            assert_eq!(whole, joined, "{cuts:?}");
        }
    }
}
