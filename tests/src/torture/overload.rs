//! More writes than the server can store, from four times as many writers as it takes to load it fully, and queries that
//! ask for too much: nothing but 204 and 503 is answered, small queries go on, writes are taken again soon after, and
//! what was acknowledged is there.

use std::thread;
use std::time::{Duration, Instant};

use super::Outcome;
use crate::beside::{Stop, small_queries, time_until, write_small};
use crate::hostile;
use crate::limits::Footprint;
use crate::load::{Ledger, Outcomes, Pace, Shape};
use crate::seed::Seed;
use crate::server::Server;

/// Writers that load two cores fully.
const WRITERS: usize = 4;
/// How much more there are in the flood.
const TIMES: usize = 4;
/// What the server may have in memory, in a limit that a cgroup of 512 MiB would set.
const FLAGS: [&str; 6] =
    ["--memory-limit", "170MiB", "--series-max", "170000", "--query-timeout", "5s"];
const RESIDENT_MAX: u64 = 512 << 20;
/// Writes must be taken again within this time after the flood.
const RECOVERY_MAX: Duration = Duration::from_secs(5);
/// 99 of 100 small queries take less than this beside it all.
const SMALL_QUERY_P99_MAX: Duration = Duration::from_secs(1);
/// Hostile queries, so many at once.
const WAVES: [usize; 3] = [20, 20, 10];

/// Rows that are acknowledged within `time`, a second, by so many writers.
fn flood(
    server: &Server,
    database: &str,
    writers: usize,
    time: Duration,
) -> (Ledger, Outcomes, f64) {
    server.client().query("", &format!("CREATE DATABASE {database}"));
    let shape = Shape { writers, batches: 4, batch_series: 1000, series_rows: 2 };
    let (mut ledger, stop, address) =
        (Ledger::new(database, shape), Stop::default(), server.address());
    // They do not care when they are asked to come again.
    let pause = Duration::from_millis(10);
    let pace = Pace { stop: &stop, rounds_max: u64::MAX, pause, ends_when_broken: true };
    let begin = Instant::now();
    let outcomes = thread::scope(|scope| {
        let ends = stop.guard();
        let flood = scope.spawn(|| ledger.flood(address, pace));
        thread::sleep(time);
        drop(ends);
        flood.join().unwrap()
    });
    let rate = ledger.rows_acknowledged() as f64 / begin.elapsed().as_secs_f64();
    (ledger, outcomes, rate)
}

/// See the module; the flood takes `time`.
pub fn run(time: Duration, _seed: &mut Seed) -> Outcome {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), &FLAGS);
    write_small(&mut server.client());
    let (few, capacity, asked) = besieged(&server, time / 4);
    let (many, outcomes, rate) = flood(&server, "load", WRITERS * TIMES, time);
    let again = time_until("writes are taken again after the load", RECOVERY_MAX, || {
        server.client().post("/write?db=load", b"after v=1 1").unwrap().status == 204
    });
    outcomes.assert_orderly();
    assert!(outcomes.broken.is_empty(), "{:?}", outcomes.broken);
    let footprint = Footprint::of(server.id()).unwrap();
    assert!(footprint.resident_peak < RESIDENT_MAX, "{footprint}");
    server.kill();
    let server = Server::start(dir.path(), &[]);
    few.check(&mut server.client());
    many.check(&mut server.client());
    Ok(format!(
        "{asked}; then {} rows acknowledged ({rate:.0} a second, {capacity:.0} from a quarter of the writers), {:.1} % \
         of the writes got 503, writes again after {again:.1?}; {footprint}",
        many.rows_acknowledged(),
        outcomes.held_back_percent(),
    ))
}

/// Hostile queries beside writers that load the server fully, and what small queries take meanwhile; with the rows a
/// second that these writers get acknowledged.
fn besieged(server: &Server, time: Duration) -> (Ledger, f64, String) {
    let (address, stop) = (server.address(), Stop::default());
    let (few, outcomes, capacity) = flood(server, "few", WRITERS, Duration::from_secs(3));
    outcomes.assert_orderly();
    let (asked, small) = thread::scope(|scope| {
        let ends = stop.guard();
        let small = scope.spawn(|| small_queries(address, &stop));
        let attack = scope.spawn(|| {
            // Queries of nothing would be harmless.
            thread::sleep(Duration::from_secs(1));
            hostile::attack(address, &WAVES)
        });
        let (_, outcomes, _) = flood(server, "load", WRITERS, time);
        outcomes.assert_orderly();
        let asked = attack.join().unwrap();
        drop(ends);
        (asked, small.join().unwrap().unwrap())
    });
    server.client().query("", "DROP DATABASE load");
    for one in &asked {
        assert!(one.end.is_clear(), "{one}");
    }
    let p99 = small.percentile(99);
    assert!(p99 < SMALL_QUERY_P99_MAX, "small queries: {small}");
    let text = format!("{} hostile queries, small queries beside them p99 {p99:.1?}", asked.len());
    (few, capacity, text)
}
