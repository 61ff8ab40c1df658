//! Lives of the whole engine by seeds, and that they find planted mistakes. `cargo xtask sim --seeds N` lives as
//! many as one likes; the harness is `tsdb_tests::sim::live`.

use std::panic::{AssertUnwindSafe, catch_unwind};

use tsdb_core::planted::{Planted, plant};
use tsdb_core::storage::conformance::Violation;
use tsdb_tests::sim::{Deeds, Length, Setup, lies, live};

/// Seeds that the gate lives.
const SEEDS: std::ops::Range<u64> = 1_000_000..1_000_120;

/// Seeds within which a planted mistake must show.
const SEEDS_FOR_PLANTED: std::ops::Range<u64> = 1..250;

#[test]
fn lives_through_faults_rot_leaps_of_the_clock_and_crashes() {
    // proves: I1, I2, I7, I10
    let mut deeds = Deeds::default();
    for seed in SEEDS {
        let life = live(&Setup::HONEST, seed, Length::USUAL);
        deeds.add(life.unwrap_or_else(|violation| panic!("seed {seed}: {violation}")));
    }
    println!("sim: {deeds:?}, 0 violations");
    let happened =
        [deeds.crashes, deeds.during_recovery, deeds.stops, deeds.faults, deeds.flips_found];
    assert!(happened.iter().all(|count| *count > 10) && deeds.leaps > 10, "{deeds:?}");
    assert!(deeds.evicted > 1000, "{deeds:?}");
    assert!(deeds.steps >= 200 * SEEDS.count() as u64, "{deeds:?}");
    assert!(deeds.crashes + deeds.stops >= 3 * SEEDS.count() as u64, "{deeds:?}");
}

#[test]
fn one_seed_is_one_life() {
    // proves: I8
    for seed in 50..60 {
        let once = || live(&Setup::HONEST, seed, Length::USUAL).unwrap();
        assert_eq!(once(), once(), "seed {seed}");
    }
}

/// Lives until a violation or a panic; says which.
fn find(setup: &Setup) -> Option<(u64, String)> {
    SEEDS_FOR_PLANTED.into_iter().find_map(|seed| {
        let life = AssertUnwindSafe(|| live(setup, seed, Length::USUAL));
        let found = catch_unwind(life);
        let found = found.unwrap_or_else(|panic| {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
            Err(Violation::new(text.unwrap_or("a panic")))
        });
        found.err().map(|violation| (seed, violation.what))
    })
}

/// The canary: every mistake that can be planted is found, or the lives prove nothing.
#[test]
fn every_planted_mistake_is_found() {
    for planted in Planted::ALL {
        let _mistake = plant(Some(planted));
        let (seed, what) = find(&Setup::HONEST).unwrap_or_else(|| panic!("{planted:?}: not found"));
        println!("sim: {planted:?}: seed {seed}: {}", what.lines().next().unwrap_or_default());
    }
    for (what, setup) in [
        ("AcknowledgesEarly", lies::ACKNOWLEDGES_EARLY),
        ("SkipsFileSync", lies::SKIPS_FILE_SYNC),
        ("SkipsDirectorySync", lies::SKIPS_DIRECTORY_SYNC),
    ] {
        let (seed, found) = find(&setup).unwrap_or_else(|| panic!("{what}: not found"));
        println!("sim: {what}: seed {seed}: {}", found.lines().next().unwrap_or_default());
    }
}
