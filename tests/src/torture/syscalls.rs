//! System calls that fail, by `strace -e inject`: whatever call fails whenever, the server stops or refuses, and the next
//! one on the same directory has what was acknowledged.

use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use super::Outcome;
use crate::beside::Stop;
use crate::load::{Ledger, Pace, Shape};
use crate::seed::Seed;
use crate::server::{Server, command};

/// Calls and the errors that they are given.
const FAULTS: [(&str, &str); 9] = [
    ("fdatasync", "EIO"),
    ("fsync", "EIO"),
    ("fdatasync", "ENOSPC"),
    ("pwrite64", "EIO"),
    ("write", "ENOSPC"),
    ("rename,renameat,renameat2", "EIO"),
    ("ftruncate,fallocate", "ENOSPC"),
    ("unlink,unlinkat", "EIO"),
    ("pread64", "EIO"),
];

/// See the module.
pub fn run(time: Duration, seed: &mut Seed) -> Outcome {
    let trial = Command::new("strace").args(["-e", "trace=none", "true"]).output();
    match trial {
        Ok(done) if done.status.success() => {}
        Ok(done) => {
            let said = String::from_utf8_lossy(&done.stderr).trim().to_owned();
            return Err(format!("strace may not trace here ({said}): allow ptrace"));
        }
        Err(cause) => return Err(format!("strace does not start ({cause}): install strace")),
    }
    let dir = tempfile::tempdir().unwrap();
    let shape = Shape { writers: 2, batches: 3, batch_series: 100, series_rows: 2 };
    let mut ledger = Ledger::new("load", shape);
    {
        let server = Server::start(dir.path(), &[]);
        server.client().query("", "CREATE DATABASE load");
        assert_eq!(server.terminate().0.code(), Some(0));
    }
    let (begin, mut lives, mut dead) = (Instant::now(), 0, 0);
    while lives < FAULTS.len() || begin.elapsed() < time {
        let (calls, error) = FAULTS[lives % FAULTS.len()];
        let when = seed.within(1..40);
        if !live(dir.path(), calls, error, when, &mut ledger, seed) {
            dead += 1;
        }
        lives += 1;
        // Whatever happened, the next server has it all.
        let server = Server::start(dir.path(), &[]);
        ledger.check(&mut server.client());
        if seed.within(0..2) == 0 {
            server.kill();
        } else {
            assert_eq!(server.terminate().0.code(), Some(0));
        }
    }
    let rows = ledger.rows_acknowledged();
    Ok(format!(
        "{lives} lives with failing calls, {dead} of them did not start, {rows} rows acknowledged and there"
    ))
}

/// A life of which a call fails from the time that it comes for the time `when` on, every third time; whether it
/// started.
fn live(
    dir: &Path,
    calls: &str,
    error: &str,
    when: u64,
    ledger: &mut Ledger,
    seed: &mut Seed,
) -> bool {
    let server = command(dir, &[]);
    let mut traced = Command::new("strace");
    traced.args(["-f", "-qq", "-o", "/dev/null", "-e", &format!("trace={calls}")]);
    traced.args(["-e", &format!("inject={calls}:error={error}:when={when}+3")]);
    traced.arg(server.get_program()).args(server.get_args()).stdin(Stdio::null());
    let Ok(server) = Server::launch(&mut traced) else { return false };
    let (address, stop) = (server.address(), Stop::default());
    let pause = Duration::from_millis(20);
    let pace = Pace { stop: &stop, rounds_max: u64::MAX, pause, ends_when_broken: true };
    thread::scope(|scope| {
        let ends = stop.guard();
        let flood = scope.spawn(|| ledger.flood(address, pace));
        thread::sleep(Duration::from_millis(seed.within(100..1500)));
        // It may be refused, and the server may be gone.
        let _ = crate::http::Client::new(address).post("/api/v1/admin/flush", b"");
        thread::sleep(Duration::from_millis(seed.within(10..300)));
        drop(ends);
        flood.join().unwrap();
    });
    // strace would let it go.
    let children = format!("/proc/{0}/task/{0}/children", server.id());
    let children = std::fs::read_to_string(children).unwrap_or_default();
    for child in children.split_whitespace().filter_map(|id| id.parse().ok()) {
        if let Some(id) = rustix::process::Pid::from_raw(child) {
            let _ = rustix::process::kill_process(id, rustix::process::Signal::KILL);
        }
    }
    // It ends when the server has.
    server.wait();
    true
}
