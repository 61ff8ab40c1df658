//! The log alone: append points, sync, lose the process, and find them again.

use tsdb_core::env::Env;
use tsdb_core::{DataPoint, MemoryStore, Tags, TimeRange};
use tsdb_wal::{Floor, PointLog, WalOptions};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let dir = tempfile::tempdir()?;
    let options = WalOptions::new(dir.path().join("wal"), *b"an-id-for-my-log");

    let (log, _) = PointLog::open(&Env::real(), options.clone(), Floor::default(), |_, _| {})?;
    let tags = Tags::new([("host", "a")])?;
    for second in 0..1000 {
        log.append("cpu", &[DataPoint::new(second * 1_000_000_000, 0.5, tags.clone())?])?;
    }
    let synced = log.sync()?;
    println!("synced up to frame {synced}");
    // Nothing is closed in order: as if the process had been killed here.
    drop(log);

    let store = MemoryStore::new();
    let (_log, recovery) = PointLog::open_store(&Env::real(), options, Floor::default(), &store)?;
    let points = store.points("cpu", TimeRange::all())?;
    println!("{} frames came back, {} points", recovery.frames, points.len());
    assert_eq!(points.len(), 1000);
    Ok(())
}
