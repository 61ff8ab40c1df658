//! What runs in threads beside a test until it is told to stop: small queries that must go on, and looks at
//! the memory of a server.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::http::{Client, escape};
use crate::limits::Footprint;
use crate::meter::{Metrics, Times};

/// Tells threads to end.
#[derive(Debug, Default)]
pub struct Stop(AtomicBool);

impl Stop {
    /// Whether it is time.
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Sets it when the guard is dropped, by a panic too: a scope waits for its threads, and for those that
    /// nobody tells to stop for ever.
    pub fn guard(&self) -> StopGuard<'_> {
        StopGuard(self)
    }
}

/// See [`Stop::guard`].
#[derive(Debug)]
pub struct StopGuard<'a>(&'a Stop);

impl Drop for StopGuard<'_> {
    fn drop(&mut self) {
        self.0.0.store(true, Ordering::Relaxed);
    }
}

/// How long it took until `is_so`, looking every few ms.
///
/// # Panics
/// If it takes longer than `time_max`; the message names `what`.
#[track_caller]
pub fn time_until(what: &str, time_max: Duration, mut is_so: impl FnMut() -> bool) -> Duration {
    let begin = Instant::now();
    while !is_so() {
        assert!(begin.elapsed() < time_max, "{what}: not within {time_max:?}");
        thread::sleep(Duration::from_millis(2));
    }
    begin.elapsed()
}

/// Whole minute at which the rows of [`write_small`] begin, in s.
const SMALL_BEGIN: u64 = 1_700_000_040;

/// Writes what [`small_queries`] asks for: an hour of ten hosts, 3600 rows in the database `small`.
pub fn write_small(client: &mut Client) {
    let line = |n| format!("cpu,host=h{} v={n} {}000000000\n", n % 10, SMALL_BEGIN + n);
    client.write("small", &(0..3600).map(line).collect::<String>());
}

/// Asks a small query again and again, and returns how long each took.
///
/// # Errors
/// The first answer that is not right.
pub fn small_queries(address: SocketAddr, stop: &Stop) -> Result<Times, String> {
    let text = format!(
        "SELECT mean(v) FROM cpu WHERE host = 'h3' AND time >= {SMALL_BEGIN}s AND time < {}s GROUP BY time(1m)",
        SMALL_BEGIN + 3600
    );
    let target = format!("/query?db=small&epoch=s&q={}", escape(&text));
    let mut client = Client::new(address);
    let mut times = Times::default();
    while !stop.is_set() {
        let begin = Instant::now();
        let response = client.get(&target).map_err(|cause| format!("after {times}: {cause}"))?;
        times.push(begin.elapsed());
        let answer = response.text();
        // The last minute: seconds 3540 to 3599, of which the host has every tenth.
        if response.status != 200 || !answer.contains("[1700003580,3568]]}") {
            return Err(format!("after {times}: {} {answer}", response.status));
        }
        thread::sleep(Duration::from_millis(10));
    }
    Ok(times)
}

/// The largest footprint of a process.
pub fn watch_footprint(id: u32, stop: &Stop) -> Footprint {
    let mut most = Footprint::default();
    while !stop.is_set() {
        if let Some(now) = Footprint::of(id) {
            most = most.max(now);
        }
        thread::sleep(Duration::from_millis(20));
    }
    most
}

/// What pools of memory held at most, by their labels.
#[derive(Debug, Default)]
pub struct Pools {
    most: BTreeMap<String, PoolUse>,
    looks: u64,
    looks_high: u64,
}

/// How much of a pool is in use, in bytes.
#[derive(Debug, Clone, Copy, Default)]
struct PoolUse {
    used: f64,
    limit: f64,
}

impl fmt::Display for PoolUse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const MIB: f64 = 1_048_576.0;
        write!(f, "{:.1} of {:.1} MiB", self.used / MIB, self.limit / MIB)
    }
}

impl fmt::Display for Pools {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pools: Vec<_> = self.most.iter().map(|(pool, most)| format!("{pool} {most}")).collect();
        f.write_str(&pools.join(", "))
    }
}

impl Pools {
    /// The pools that held more than their limits.
    pub fn beyond(&self) -> Vec<String> {
        let beyond = self.most.iter().filter(|(_, most)| most.used > most.limit);
        beyond.map(|(pool, most)| format!("{pool} {most}")).collect()
    }

    /// Share of the looks that found the memtable under high pressure, in percent.
    pub fn high_percent(&self) -> f64 {
        100.0 * self.looks_high as f64 / self.looks.max(1) as f64
    }

    fn look(&mut self, metrics: &Metrics) {
        for (labels, used) in metrics.with_labels("tsdb_memory_used_bytes") {
            let most = self.most.entry(labels.to_owned()).or_default();
            most.used = most.used.max(used);
            most.limit = metrics.get(&format!("tsdb_memory_limit_bytes{{{labels}}}"));
        }
        self.looks += 1;
        let is_high = metrics.get("tsdb_memory_pressure{pool=\"memtable\"}") >= 2.0;
        self.looks_high += u64::from(is_high);
    }
}

/// What pools of memory hold, from `/metrics`.
pub fn watch_pools(address: SocketAddr, stop: &Stop) -> Pools {
    let mut client = Client::new(address);
    let mut pools = Pools::default();
    while !stop.is_set() {
        if let Some(metrics) = Metrics::of(&mut client) {
            pools.look(&metrics);
        }
        thread::sleep(Duration::from_millis(10));
    }
    pools
}
