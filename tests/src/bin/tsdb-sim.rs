//! `tsdb-sim`: lives of the storage engine on a simulated disk, one per seed, until a seed shows a violation or
//! all are through. `cargo xtask sim` builds and runs it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use tsdb_core::planted::{Planted, plant};
use tsdb_core::storage::conformance::Violation;
use tsdb_tests::sim::{Deeds, Length, Setup, live};

const USAGE: &str = "\
tsdb-sim [--seeds N] [--from S] [--plant MISTAKE]

  --seeds N        number of seeds, one life each [default: 100]
  --from S         the first seed [default: 1]
  --plant MISTAKE  the engine makes this mistake, which must be found; the names are those of
                   tsdb_core::planted::Planted

Each life has 300 steps or more and at least three crashes or stops, from which the next process recovers. The
last line is the verdict; the exit code is 0 without a violation, 1 with one, 2 for a command line that was not
understood.";

/// Of so many seeds one is lived twice, to see that the same seed is the same life.
const TWICE_EVERY: u64 = 20;

struct Arguments {
    seeds: u64,
    from: u64,
    planted: Option<Planted>,
}

fn arguments() -> Result<Arguments, String> {
    let mut parsed = Arguments { seeds: 100, from: 1, planted: None };
    let mut words = std::env::args().skip(1);
    while let Some(flag) = words.next() {
        let value = words.next().ok_or_else(|| format!("{flag} needs a value"))?;
        let number = || {
            value.parse::<u64>().map_err(|_| format!("{flag} {value}: not a number of at least 0"))
        };
        match flag.as_str() {
            "--seeds" => parsed.seeds = number()?,
            "--from" => parsed.from = number()?,
            "--plant" => {
                let found = Planted::ALL.into_iter().find(|one| format!("{one:?}") == value);
                let known = Planted::ALL.map(|one| format!("{one:?}")).join(", ");
                parsed.planted =
                    Some(found.ok_or_else(|| format!("{value}: choose one of {known}"))?);
            }
            _ => return Err(format!("{flag} is no flag")),
        }
    }
    Ok(parsed)
}

fn main() -> ExitCode {
    let arguments = match arguments() {
        Ok(arguments) => arguments,
        Err(why) => {
            eprintln!("tsdb-sim: {why}\n\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    let start = Instant::now();
    let (deeds, violation) = live_all(&arguments);
    let lives = arguments.seeds;
    println!("{deeds:?}");
    match violation {
        None => {
            println!(
                "sim: ok: {lives} seeds from {}, {} steps, {} crashes, {} faults, {} flips, {} leaps of the \
                 clock, 0 violations, hash {:016x}, {:.0} s",
                arguments.from,
                deeds.steps,
                deeds.crashes,
                deeds.faults,
                deeds.flips,
                deeds.leaps,
                deeds.hash,
                start.elapsed().as_secs_f64()
            );
            ExitCode::SUCCESS
        }
        Some((seed, violation)) => {
            println!("{violation}");
            println!("sim: VIOLATION at seed {seed}: cargo xtask sim --seeds 1 --from {seed}");
            ExitCode::FAILURE
        }
    }
}

/// All lives on as many threads as there are cores, and the violation of the smallest seed that was found.
fn live_all(arguments: &Arguments) -> (Deeds, Option<(u64, Violation)>) {
    let next = AtomicU64::new(0);
    let stop = AtomicBool::new(false);
    let results: Mutex<Vec<(u64, Result<Deeds, Violation>)>> = Mutex::new(Vec::new());
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let _planted = plant(arguments.planted);
                while !stop.load(Ordering::Relaxed) {
                    let place = next.fetch_add(1, Ordering::Relaxed);
                    if place >= arguments.seeds {
                        return;
                    }
                    let seed = arguments.from.wrapping_add(place);
                    let result = live_once_or_twice(seed);
                    if result.is_err() {
                        stop.store(true, Ordering::Relaxed);
                    }
                    if let Ok(mut results) = results.lock() {
                        results.push((seed, result));
                    }
                }
            });
        }
    });
    let mut results = results.into_inner().unwrap_or_default();
    results.sort_unstable_by_key(|(seed, _)| *seed);
    let mut deeds = Deeds::default();
    for (seed, result) in results {
        match result {
            Ok(one) => deeds.add(one),
            Err(violation) => return (deeds, Some((seed, violation))),
        }
    }
    (deeds, None)
}

fn live_once_or_twice(seed: u64) -> Result<Deeds, Violation> {
    let once = || {
        let life = AssertUnwindSafe(|| live(&Setup::HONEST, seed, Length::USUAL));
        catch_unwind(life).unwrap_or_else(|panic| {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
            Err(Violation::new(format!("a panic: {}", text.unwrap_or("without words"))))
        })
    };
    let first = once()?;
    if seed.is_multiple_of(TWICE_EVERY) {
        let second = once()?;
        if first != second {
            return Err(Violation::new(format!("one seed, two lives: {first:?} and {second:?}")));
        }
    }
    Ok(first)
}
