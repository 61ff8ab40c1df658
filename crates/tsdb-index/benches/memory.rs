//! Memory and time of a million registered series, in the shape of TSBS cpu-only, of a scraped exporter, and of one tag
//! that is ever new: resident memory before and after, and seconds of one thread. The memory of one shape may still be
//! resident when the next begins, so a name is given to measure one alone.

#![expect(clippy::unwrap_used, reason = "a bench reports by panicking")]

use std::time::Instant;

use tsdb_core::hash::HashKey;
use tsdb_core::{NamespaceId, SeriesKey, TagCharset};
use tsdb_index::Registry;

/// The server's allocator, whose size classes decide what a small object takes.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const SERIES: u32 = 1_000_000;

/// Where nothing is measured (`cargo test` instead of `cargo bench`).
const SERIES_OF_TEST: u32 = 5000;

/// Keys that are resolved at once.
const BATCH: u32 = 1000;

const NAMESPACE: NamespaceId = NamespaceId(1);

/// From a number to a key.
type Shape = fn(u32) -> SeriesKey;

/// Resident memory in bytes.
fn resident() -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap();
    text.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4096
}

/// Ten tags, one of them unique.
fn tsbs(number: u32) -> SeriesKey {
    let mixed = number.wrapping_mul(0x9e37_79b1) >> 8;
    let tag = |name: &str, of: u32| format!("{name}{}", mixed % of);
    let values = [
        format!("x{}", mixed % 3),
        tag("region-1-zone-", 27),
        format!("host_{number}"),
        tag("Ubuntu16.04LTS-", 3),
        (mixed % 100).to_string(),
        tag("eu-central-", 9),
        (mixed / 3 % 20).to_string(),
        tag("environment-", 3),
        (mixed % 2).to_string(),
        tag("team-", 4),
    ];
    let keys = [
        "arch",
        "datacenter",
        "hostname",
        "os",
        "rack",
        "region",
        "service",
        "service_environment",
        "service_version",
        "team",
    ];
    let mut tags: Vec<(&str, &str)> =
        keys.into_iter().zip(values.iter().map(String::as_str)).collect();
    SeriesKey::new("cpu", &mut tags, TagCharset::Utf8).unwrap()
}

/// A thousand metrics of a thousand targets.
fn exporter(number: u32) -> SeriesKey {
    let (target, metric) = (number / 1000, number % 1000);
    let name = format!("node_subsystem_{metric}_seconds_total");
    let instance = format!("10.0.{}.{}:9100", target / 250, target % 250);
    let device = format!("dev{}", metric % 16);
    let mut tags =
        [("instance", instance.as_str()), ("job", "node-exporter"), ("device", device.as_str())];
    SeriesKey::new(&name, &mut tags, TagCharset::Utf8).unwrap()
}

/// One tag, ever new.
fn session(number: u32) -> SeriesKey {
    let id = format!("{:08x}-{number:08x}", number.wrapping_mul(0x9e37_79b1));
    SeriesKey::new("sessions", &mut [("id", id.as_str())], TagCharset::Utf8).unwrap()
}

fn main() {
    let shapes: [(&str, Shape); 3] =
        [("TSBS cpu-only", tsbs), ("exporter", exporter), ("one new tag", session)];
    let is_bench = std::env::args().any(|argument| argument == "--bench");
    let count = if is_bench { SERIES } else { SERIES_OF_TEST };
    let wanted = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    for (name, key) in shapes {
        if wanted.as_ref().is_some_and(|wanted| !name.contains(wanted.as_str())) {
            continue;
        }
        let registry = Registry::new(HashKey([7; 16]), usize::MAX);
        let before = resident();
        let (mut text, mut seconds) = (0, 0.0);
        for batch in 0..count / BATCH {
            let keys: Vec<SeriesKey> = (batch * BATCH..(batch + 1) * BATCH).map(key).collect();
            text += keys.iter().map(|key| key.as_str().len()).sum::<usize>();
            let begun = Instant::now();
            let numbers = registry.resolve(NAMESPACE, &keys);
            seconds += begun.elapsed().as_secs_f64();
            assert!(numbers.iter().all(Result::is_ok));
        }
        assert_eq!(registry.len(), count as usize);
        let bytes = resident().saturating_sub(before);
        println!(
            "{name}: {} bytes per series, {} of them text of the key; {:.2} us per new series",
            bytes / u64::from(count),
            text / count as usize,
            seconds * 1e6 / f64::from(count)
        );
    }
}
