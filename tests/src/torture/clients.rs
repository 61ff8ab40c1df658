//! Clients that behave badly: thousands of slow connections beside a normal client, and stops under load.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use super::Outcome;
use crate::beside::{Stop, small_queries, write_small};
use crate::load::{Ledger, Pace, Shape};
use crate::meter::{Metrics, Times};
use crate::seed::Seed;
use crate::server::Server;

/// Slow connections at once.
const SLOW: usize = 2000;
/// Threads that hold them.
const HOLDERS: usize = 20;
/// What a normal client's small queries may take beside them, 99 of 100.
const SMALL_QUERY_P99_MAX: Duration = Duration::from_millis(500);
/// Stops under load, at least.
const STOPS: usize = 50;
/// What a stop may take.
const STOP_TIME_MAX: Duration = Duration::from_secs(10);

/// See the module; the slow connections take half of `time`, the stops as long as they take.
pub fn run(time: Duration, seed: &mut Seed) -> Outcome {
    let slow = beside_slow_connections(time / 2, seed);
    let stops = stops_under_load(seed);
    Ok(format!("{slow}; {stops}"))
}

/// What a slow client does.
#[derive(Debug, Clone, Copy)]
enum Way {
    /// It says nothing.
    Silent,
    /// Its head comes byte by byte.
    Head,
    /// Its body stops half way.
    Body,
    /// It reads none of its answer.
    Unread,
}

const WAYS: [Way; 4] = [Way::Silent, Way::Head, Way::Body, Way::Unread];

fn connect(address: SocketAddr, way: Way) -> std::io::Result<TcpStream> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_nonblocking(false)?;
    let sent: &[u8] = match way {
        Way::Silent => b"",
        Way::Head => b"POST /write?db=small HTTP/1.1\r\nhost: localhost\r\nx-slow: ",
        Way::Body => {
            b"POST /write?db=small HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1000\r\n\r\ncpu,host=slow v=1"
        }
        Way::Unread => {
            b"GET /query?db=small&q=SELECT+v+FROM+cpu HTTP/1.1\r\nhost: localhost\r\n\r\n"
        }
    };
    stream.write_all(sent)?;
    Ok(stream)
}

/// Holds connections open, and opens those again that the server gave up, until the stop. Returns how many were
/// opened.
fn hold(address: SocketAddr, count: usize, stop: &Stop) -> usize {
    let way = |at: usize| WAYS[at % WAYS.len()];
    let mut opened = 0;
    let mut held: Vec<Option<TcpStream>> = (0..count).map(|_| None).collect();
    while !stop.is_set() {
        for (at, place) in held.iter_mut().enumerate() {
            let is_over = match (&mut *place, way(at)) {
                (None, _) => true,
                (Some(stream), Way::Head) => stream.write_all(b"x").is_err(),
                (Some(_), Way::Unread) => false,
                (Some(stream), _) => {
                    // The server has closed it, or says that it will.
                    let _ = stream.set_read_timeout(Some(Duration::from_millis(1)));
                    stream.read(&mut [0; 64]).is_ok()
                }
            };
            if is_over {
                *place = connect(address, way(at)).ok();
                opened += usize::from(place.is_some());
            }
        }
        thread::sleep(Duration::from_millis(200));
    }
    opened
}

fn beside_slow_connections(time: Duration, _seed: &mut Seed) -> String {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), &[]);
    let address = server.address();
    write_small(&mut server.client());
    let queries = |time: Duration| -> Times {
        let stop = Stop::default();
        thread::scope(|scope| {
            let ends = stop.guard();
            let small = scope.spawn(|| small_queries(address, &stop));
            thread::sleep(time);
            drop(ends);
            small.join().unwrap().unwrap()
        })
    };
    let alone = queries(Duration::from_secs(2));
    let stop = Stop::default();
    let (beside, opened) = thread::scope(|scope| {
        let ends = stop.guard();
        let holders: Vec<_> =
            (0..HOLDERS).map(|_| scope.spawn(|| hold(address, SLOW / HOLDERS, &stop))).collect();
        thread::sleep(Duration::from_secs(2));
        let beside = queries(time);
        let mut client = server.client();
        let written = client.post("/write?db=small", b"cpu,host=normal v=1 1").unwrap();
        assert_eq!(written.status, 204, "a normal client writes");
        drop(ends);
        (beside, holders.into_iter().map(|holder| holder.join().unwrap()).sum::<usize>())
    });
    let p99 = beside.percentile(99);
    assert!(opened >= SLOW, "only {opened} slow connections were opened");
    assert!(p99 < SMALL_QUERY_P99_MAX, "beside {SLOW} slow connections: {beside}; alone: {alone}");
    format!(
        "{SLOW} slow connections ({opened} opened): small queries p99 {p99:.1?}, alone {:.1?}",
        alone.percentile(99)
    )
}

fn stops_under_load(seed: &mut Seed) -> String {
    let dir = tempfile::tempdir().unwrap();
    let shape = Shape { writers: 4, batches: 5, batch_series: 200, series_rows: 2 };
    let mut ledger = Ledger::new("load", shape);
    let mut longest = Duration::ZERO;
    for stops in 0..STOPS {
        let server = Server::start(dir.path(), &[]);
        let mut client = server.client();
        client.query("", "CREATE DATABASE load");
        let metrics = Metrics::of(&mut client).unwrap();
        let replayed = metrics.get("tsdb_storage_rows_replayed_total");
        assert!(replayed == 0.0, "stop {stops} left {replayed} rows in the log");
        let (address, stop) = (server.address(), Stop::default());
        let pause = Duration::from_millis(20);
        let pace = Pace { stop: &stop, rounds_max: u64::MAX, pause, ends_when_broken: true };
        let outcomes = thread::scope(|scope| {
            let flood = scope.spawn(|| ledger.flood(address, pace));
            thread::sleep(Duration::from_millis(seed.within(20..400)));
            let begin = Instant::now();
            let (status, log) = server.terminate();
            longest = longest.max(begin.elapsed());
            assert_eq!(status.code(), Some(0), "{log}");
            flood.join().unwrap()
        });
        outcomes.assert_orderly();
        assert!(longest < STOP_TIME_MAX, "a stop took {longest:.1?}");
    }
    ledger.check(&mut Server::start(dir.path(), &[]).client());
    let rows = ledger.rows_acknowledged();
    format!("{STOPS} stops under load, {rows} rows, the longest stop {longest:.1?}")
}
