//! Latency of small queries while data comes in at half of what the server can take.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::ingest::{Batches, takes_part};
use super::{Setup, row_or_error};
use crate::ask::Asker;
use crate::dataset::options::DataOptions;
use crate::encode::{Body, Format};
use crate::latency::Latency;
use crate::load::{Destination, send};
use crate::peer::Kind;
use crate::question::{Extent, KINDS};
use crate::results::Row;
use crate::server::Server;

/// The query that is asked.
const QUERY: &str = "single-groupby-1-1-1";
/// One part in so many is loaded first, at full speed, and then asked about.
const FIRST_PART: usize = 5;
/// Longest time at half capacity; slow servers do not get through the rest of the data.
const PACED_S_MAX: f64 = 20.0;
/// Pause between two queries.
const PAUSE: Duration = Duration::from_millis(2);

/// Measures each server.
///
/// # Errors
/// Options that make no data.
pub fn run(setup: &Setup, data: &DataOptions) -> Result<Vec<Row>, String> {
    let kinds = setup.kinds.iter().filter(|kind| !kind.is_embedded());
    let kinds: Vec<Kind> =
        kinds.copied().filter(|kind| takes_part(*kind, data, Format::Line)).collect();
    let batches = Batches::build(data, Format::Line)?;
    let first_count = batches.bodies.len().div_ceil(FIRST_PART);
    let (first, rest) = batches.bodies.split_at(first_count);
    // Only what is there before the paced part is asked about.
    let duration = data.duration / u32::try_from(FIRST_PART).unwrap_or(1);
    let extent = Extent::of(&DataOptions { duration, ..data.clone() });
    let one = |kind: Kind| {
        eprintln!("loading {}", kind.name());
        one_server(kind, first, rest, extent, setup.seed)
    };
    Ok(kinds.into_iter().map(|kind| row_or_error("", kind, one(kind))).collect())
}

fn one_server(
    kind: Kind,
    first: &[Body],
    rest: &[Body],
    extent: Extent,
    seed: u64,
) -> Result<Row, String> {
    let mut server = Server::start(kind)?;
    let destination = server.destination(Format::Line);
    let capacity = send(first, &destination)?.rate();
    let pace = capacity / 2.0;
    let mut left = pace * PACED_S_MAX;
    let enough = rest.iter().position(|body| {
        left -= body.samples as f64;
        left < 0.0
    });
    let part = rest.get(..enough.unwrap_or(rest.len()).max(1)).unwrap_or(rest);
    let (alone, _) = ask_until(&mut server, extent, seed, |elapsed| elapsed.as_secs_f64() > 2.0)?;
    let done = AtomicBool::new(false);
    let paced = Destination { pace: Some(pace), ..destination };
    let (sent, asked) = std::thread::scope(|scope| {
        let sender = scope.spawn(|| {
            let sent = send(part, &paced);
            done.store(true, Ordering::Relaxed);
            sent
        });
        let asked = ask_until(&mut server, extent, !seed, |_| done.load(Ordering::Relaxed));
        let sent = sender.join().map_err(|_| "the sender panicked".to_owned());
        (sent.and_then(|sent| sent), asked)
    });
    let (sent, (busy, seconds)) = (sent?, asked?);
    Ok(Row::new("", kind.name())
        .with("capacity_m_per_s", capacity / 1e6)
        .with("paced_m_per_s", sent.rate() / 1e6)
        .with("seconds", seconds)
        .with("count", busy.count() as f64)
        .with("alone_p99_ms", alone.quantile_ms(0.99))
        .with("median_ms", busy.quantile_ms(0.5))
        .with("p99_ms", busy.quantile_ms(0.99))
        .with("max_ms", busy.quantile_ms(1.0)))
}

/// Asks until `done` says so about the time since the beginning.
fn ask_until(
    server: &mut Server,
    extent: Extent,
    seed: u64,
    done: impl Fn(Duration) -> bool,
) -> Result<(Latency, f64), String> {
    let kind = KINDS.iter().find(|kind| kind.name == QUERY).ok_or("no such query")?;
    let mut asker = Asker::new(server)?;
    let mut times = Vec::new();
    let begin = Instant::now();
    for question in kind.instances(extent, seed) {
        if done(begin.elapsed()) {
            break;
        }
        let asked = Instant::now();
        asker.ask(server, &question)?;
        times.push(asked.elapsed());
        std::thread::sleep(PAUSE);
    }
    Ok((Latency::new(times), begin.elapsed().as_secs_f64()))
}
