//! A disk that fills to the brim again and again while rows are written: refusals say so, reads go on, writes do once
//! there is space, and what was acknowledged survives a kill on the full disk.

use std::thread;
use std::time::{Duration, Instant};

use super::Outcome;
use crate::beside::{Stop, time_until};
use crate::limits::SmallDisk;
use crate::load::{Ledger, Pace, Shape};
use crate::seed::Seed;
use crate::server::Server;

/// Size of the disk.
const DISK_MIB: u64 = 96;
/// Time for the server to see that there is space again.
const SEEN_MAX: Duration = Duration::from_secs(20);

/// See the module.
pub fn run(time: Duration, seed: &mut Seed) -> Outcome {
    let dir = tempfile::tempdir().unwrap();
    let disk = SmallDisk::new(dir.path(), DISK_MIB)?;
    // Without a reserve the disk itself says no.
    let server = Server::launch(&mut disk.command(&["--disk-reserve", "0"])).unwrap();
    let address = server.address();
    server.client().query("", "CREATE DATABASE load");
    let shape = Shape { writers: 2, batches: 4, batch_series: 200, series_rows: 2 };
    let mut ledger = Ledger::new("load", shape);
    let (begin, mut fills, mut refused) = (Instant::now(), 0, 0);
    while fills < 2 || begin.elapsed() < time {
        let filler = disk.seen_through(server.id()).join("filler");
        let stop = Stop::default();
        let pause = Duration::from_millis(20);
        let pace = Pace { stop: &stop, rounds_max: u64::MAX, pause, ends_when_broken: false };
        let outcomes = thread::scope(|scope| {
            let ends = stop.guard();
            let flood = scope.spawn(|| ledger.flood(address, pace));
            thread::sleep(Duration::from_millis(seed.within(50..500)));
            fill_up(&filler);
            thread::sleep(Duration::from_millis(seed.within(200..1500)));
            let alive = server.client().get("/ping").unwrap().status;
            assert_eq!(alive, 204, "a full disk stops writes alone");
            drop(ends);
            flood.join().unwrap()
        });
        refused += outcomes.held_back_total() + outcomes.wrong.len() as u64;
        for answer in &outcomes.wrong {
            assert!(answer.contains("503") || answer.contains("500"), "{answer}");
        }
        std::fs::remove_file(&filler).unwrap();
        fills += 1;
        // What could not be synced is in doubt until the server starts again, so it may refuse to go on.
        let goes_on = server.client().get("/health").unwrap().status == 200;
        if !goes_on {
            break;
        }
        time_until("writes are taken once there is space", SEEN_MAX, || {
            server.client().post("/write?db=load", b"after v=1 1").unwrap().status == 204
        });
        ledger.check(&mut server.client());
    }
    // The disk goes with the process, so what it has is compared before.
    ledger.check(&mut server.client());
    let rows = ledger.rows_acknowledged();
    server.kill();
    Ok(format!("{fills} times full, {refused} writes refused, {rows} rows acknowledged and there"))
}

/// Takes all space that there is.
fn fill_up(path: &std::path::Path) {
    use std::io::Write;
    let mut file = std::fs::File::create(path).unwrap();
    for bytes in [1 << 20, 64 << 10, 4096] {
        let block = vec![1_u8; bytes];
        while file.write_all(&block).is_ok() {}
    }
}
