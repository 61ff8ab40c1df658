//! Acknowledgement of single lines that many clients write at once, beside what one sync takes on the same disk.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use super::{Setup, row_or_error};
use crate::dataset::options::DataOptions;
use crate::encode::{Body, Format, build};
use crate::latency::Latency;
use crate::load::{Destination, send};
use crate::peer::Kind;
use crate::results::Row;
use crate::server::Server;

/// Clients, each with a connection and one line under way.
const WRITERS: usize = 64;
/// Samples a second of all clients together where they do not send as fast as they are answered: 20 lines of ten
/// samples a second each, which leaves the processor time to spare that agents leave.
const PACE: f64 = WRITERS as f64 * 20.0 * 10.0;
/// Lines that are sent at that pace, some seconds of them.
const PACED_LINES: usize = 8192;
/// What rows of that pace are called.
const PACED: &str = "20 lines/s each";
/// Syncs that are timed before the load, and as many after it.
const SYNCS: usize = 500;
/// What is written before each sync: about a group of lines in a log.
const SYNC_BYTES: usize = 4096;

/// Measures the servers that take line protocol.
///
/// # Errors
/// Options that make no data.
pub fn run(setup: &Setup, data: &DataOptions) -> Result<Vec<Row>, String> {
    let bodies = build(&mut data.source()?, Format::Line, 1);
    let takes = |kind: &&Kind| kind.formats().contains(&Format::Line);
    let mut rows = Vec::new();
    for _ in 0..setup.repeats.max(1) {
        for kind in setup.kinds.iter().filter(takes) {
            eprintln!("writing to {}", kind.name());
            rows.push(row_or_error("", *kind, one_server("", *kind, &bodies, None)));
            let bodies = bodies.get(..PACED_LINES).unwrap_or(&bodies);
            rows.push(row_or_error(PACED, *kind, one_server(PACED, *kind, bodies, Some(PACE))));
        }
    }
    Ok(rows)
}

fn one_server(label: &str, kind: Kind, bodies: &[Body], pace: Option<f64>) -> Result<Row, String> {
    let server = Server::start(kind)?;
    let file = server.exchange_file();
    let mut syncs = sync_times(&file)?;
    let destination =
        Destination { connections: WRITERS, pace, ..server.destination(Format::Line) };
    let sent = send(bodies, &destination)?;
    syncs.extend(sync_times(&file)?);
    let sync_p99_ms = Latency::new(syncs).quantile_ms(0.99);
    let p99_ms = sent.latency.quantile_ms(0.99);
    Ok(Row::new(label, kind.name())
        .with("writes", sent.latency.count() as f64)
        .with("writes_per_s", sent.rows as f64 / sent.elapsed.as_secs_f64())
        .with("retries", sent.retries as f64)
        .with("median_ms", sent.latency.quantile_ms(0.5))
        .with("p99_ms", p99_ms)
        .with("max_ms", sent.latency.quantile_ms(1.0))
        .with("sync_p99_ms", sync_p99_ms)
        .with("p99_in_syncs", p99_ms / sync_p99_ms.max(f64::MIN_POSITIVE)))
}

/// Times of fdatasync of a file that grows by a little before each, as a log does.
fn sync_times(path: &Path) -> Result<Vec<Duration>, String> {
    let failed = |error: std::io::Error| format!("cannot sync {}: {error}", path.display());
    let mut file = File::create(path).map_err(failed)?;
    // Space that is there already, so that a sync changes no length.
    file.write_all(&vec![0; SYNCS * SYNC_BYTES]).and_then(|()| file.sync_all()).map_err(failed)?;
    let mut file = File::options().write(true).open(path).map_err(failed)?;
    let mut times = Vec::with_capacity(SYNCS);
    for _ in 0..SYNCS {
        file.write_all(&[1; SYNC_BYTES]).map_err(failed)?;
        let begin = Instant::now();
        file.sync_data().map_err(failed)?;
        times.push(begin.elapsed());
    }
    std::fs::remove_file(path).map_err(failed)?;
    Ok(times)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn syncs_are_timed_and_leave_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sync");
        let times = sync_times(&path).unwrap();
        assert_eq!(times.len(), SYNCS);
        assert!(times.iter().all(|time| !time.is_zero()) && !path.exists());
        assert!(sync_times(&path.join("nowhere")).unwrap_err().contains("nowhere"));
    }
}
