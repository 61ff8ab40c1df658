//! The promise, tested from outside: the server is killed with SIGKILL at random moments while four
//! writers send numbered batches and a reader looks on. Nothing acknowledged is missing afterwards,
//! nothing is there twice, and no batch is ever seen by half.
//!
//! It tests the death of the process, not of the machine: what the kernel has, it keeps. Power loss is
//! the subject of the suites on the simulated disk.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use crate::http::Client;
use crate::seed::Seed;
use crate::server::{Server, command};
use serde_json::Value;

/// Writers at once.
const WRITERS: usize = 4;
/// Rows of a batch, one per series.
const BATCH_ROWS: u64 = 10;

/// What a writer has sent. Batch `n` has one row per series, all with timestamp and value `n`.
#[derive(Debug, Default)]
struct Sent {
    /// The next number.
    next: u64,
    /// Numbers that were acknowledged.
    acknowledged: BTreeSet<u64>,
    /// Numbers that were sent and never acknowledged: each may be there, whole, or not.
    unknown: BTreeSet<u64>,
}

/// The lines of batch `n`. Fields and rows differ in nothing but what tells them apart.
fn batch(writer: usize, n: u64) -> String {
    (0..BATCH_ROWS)
        .map(|row| format!("batch,writer=w{writer},row=r{row} n={n},twice={} {n}\n", 2 * n))
        .collect()
}

/// Sends batches until the server is gone.
fn write_until_death(client: &mut Client, writer: usize, sent: &mut Sent, pace: &mut Seed) {
    loop {
        // Every now and then the oldest unknown batch again, as an agent does after an error.
        let repeat = sent.unknown.first().copied().filter(|_| pace.within(0..4) == 0);
        let n = repeat.unwrap_or(sent.next);
        sent.next = sent.next.max(n + 1);
        sent.unknown.insert(n);
        match client.post("/write?db=kill", batch(writer, n).as_bytes()) {
            Ok(response) => {
                assert_eq!(response.status, 204, "{}", response.text());
                sent.unknown.remove(&n);
                sent.acknowledged.insert(n);
            }
            Err(_) => return,
        }
    }
}

/// Looks at one writer's rows again and again, and must only ever see whole batches.
fn read_until_death(client: &mut Client, looks: &AtomicU64, seed: &mut Seed) {
    loop {
        let writer = seed.within(0..WRITERS as u64);
        let text = format!("SELECT count(n), count(twice) FROM batch WHERE writer = 'w{writer}'");
        let Ok(results) = client.try_query("kill", &text) else { return };
        if let Some(row) = results[0]["series"][0]["values"][0].as_array() {
            let counts = (row[1].as_u64().unwrap(), row[2].as_u64().unwrap());
            assert_eq!(counts.0 % BATCH_ROWS, 0, "half a batch is visible: {results}");
            assert_eq!(counts.0, counts.1, "half a row is visible: {results}");
        }
        looks.fetch_add(1, Ordering::Relaxed);
        thread::sleep(Duration::from_millis(3));
    }
}

/// Flushes and compacts at random, so that kills hit these too.
fn maintain_until(stop: &AtomicBool, client: &mut Client, seed: &mut Seed) {
    while !stop.load(Ordering::Relaxed) {
        thread::sleep(Duration::from_millis(seed.within(5..120)));
        let flush = seed.within(0..2) == 0;
        let target = if flush { "/api/v1/admin/flush" } else { "/api/v1/admin/compact" };
        if client.post(target, b"").is_err() {
            return;
        }
    }
}

/// All rows of one writer: per series the numbers it holds.
fn numbers(client: &mut Client, writer: usize) -> Vec<Vec<u64>> {
    let text = format!("SELECT n, twice FROM batch WHERE writer = 'w{writer}' GROUP BY row");
    let results = client.query("kill", &text);
    let Some(series) = results[0]["series"].as_array() else { return Vec::new() };
    let number = |value: &Value| value.as_u64().unwrap();
    let of_series = |series: &Value| {
        let rows = series["values"].as_array().unwrap().iter();
        rows.map(|row| {
            let n = number(&row[1]);
            assert_eq!(
                (number(&row[0]), number(&row[2])),
                (n, 2 * n),
                "a foreign value in {series}"
            );
            n
        })
        .collect()
    };
    series.iter().map(of_series).collect()
}

/// Compares what the server has with what was sent, by values and by counting.
fn check(client: &mut Client, writer: usize, sent: &mut Sent) {
    let series = numbers(client, writer);
    let found: BTreeSet<u64> = series.iter().flatten().copied().collect();
    if !found.is_empty() {
        assert_eq!(series.len() as u64, BATCH_ROWS, "writer {writer} has rows of all series");
    }
    for numbers in &series {
        let whole: Vec<u64> = found.iter().copied().collect();
        assert_eq!(*numbers, whole, "writer {writer}: each series has each batch once, in order");
    }
    let missing: Vec<_> = sent.acknowledged.difference(&found).collect();
    assert!(missing.is_empty(), "writer {writer}: acknowledged and missing: {missing:?}");
    let known: BTreeSet<u64> = sent.acknowledged.union(&sent.unknown).copied().collect();
    let foreign: Vec<_> = found.difference(&known).collect();
    assert!(foreign.is_empty(), "writer {writer}: never sent: {foreign:?}");
    let text = format!("SELECT count(n) FROM batch WHERE writer = 'w{writer}'");
    let counted = client.number("kill", &text).unwrap_or(0.0);
    assert_eq!(counted, (found.len() as u64 * BATCH_ROWS) as f64, "writer {writer}, by counting");
}

/// One life of the server: writers, a reader and maintenance until it is killed.
fn live(data_dir: &std::path::Path, sent: &mut [Sent], seed: &mut Seed, looks: &AtomicU64) {
    let server = Server::start(data_dir, &[]);
    let mut client = server.client();
    client.query("", "CREATE DATABASE kill");
    for (writer, sent) in sent.iter_mut().enumerate() {
        check(&mut client, writer, sent);
    }
    let stop = AtomicBool::new(false);
    let life = Duration::from_millis(seed.within(5..500));
    let seeds: Vec<Seed> = (0..WRITERS + 2).map(|_| Seed::new(seed.bits())).collect();
    thread::scope(|scope| {
        let mut seeds = seeds.into_iter();
        for (writer, sent) in sent.iter_mut().enumerate() {
            let (mut client, mut pace) = (server.client(), seeds.next().unwrap());
            scope.spawn(move || write_until_death(&mut client, writer, sent, &mut pace));
        }
        let (mut client, mut pace) = (server.client(), seeds.next().unwrap());
        scope.spawn(move || read_until_death(&mut client, looks, &mut pace));
        let (mut client, mut pace, stop) = (server.client(), seeds.next().unwrap(), &stop);
        scope.spawn(move || maintain_until(stop, &mut client, &mut pace));
        thread::sleep(life);
        server.kill();
        stop.store(true, Ordering::Relaxed);
    });
}

/// A kill while the server starts, replays and writes what it replayed.
fn die_young(data_dir: &std::path::Path, seed: &mut Seed) {
    let mut child = command(data_dir, &[])
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    thread::sleep(Duration::from_millis(seed.within(1..60)));
    child.kill().unwrap();
    child.wait().unwrap();
}

/// What the kills of a run met.
#[derive(Debug, Clone, Copy)]
pub struct Toll {
    /// Servers that were killed while they worked.
    pub kills: usize,
    /// Those that were killed while they started.
    pub young: usize,
    /// Batches that were acknowledged.
    pub batches: usize,
    /// Looks of the reader.
    pub looks: u64,
}

impl std::fmt::Display for Toll {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Toll { kills, young, batches, looks } = self;
        write!(
            f,
            "{kills} kills at work and {young} while starting, {batches} batches acknowledged, {looks} looks"
        )
    }
}

/// Kills servers of one directory for as long as `goes_on` says, which is told how many were, and compares at last.
pub fn run(seed: &mut Seed, goes_on: &mut dyn FnMut(usize) -> bool) -> Toll {
    let dir = tempfile::tempdir().unwrap();
    let mut sent: Vec<Sent> = (0..WRITERS).map(|_| Sent { next: 1, ..Sent::default() }).collect();
    let looks = AtomicU64::new(0);
    let (mut kills, mut young) = (0, 0);
    while goes_on(kills) {
        live(dir.path(), &mut sent, seed, &looks);
        kills += 1;
        if seed.within(0..3) == 0 {
            die_young(dir.path(), seed);
            young += 1;
        }
    }
    let server = Server::start(dir.path(), &[]);
    let mut client = server.client();
    for step in ["", "/api/v1/admin/flush", "/api/v1/admin/compact"] {
        if !step.is_empty() {
            assert_eq!(client.post(step, b"").unwrap().status, 204);
        }
        for (writer, sent) in sent.iter_mut().enumerate() {
            check(&mut client, writer, sent);
        }
    }
    let batches = sent.iter().map(|sent| sent.acknowledged.len()).sum();
    Toll { kills, young, batches, looks: looks.into_inner() }
}
