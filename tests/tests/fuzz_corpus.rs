//! Replays `fuzz/corpus` through the fuzz targets: every input as it is, and with mutations by a seed, each
//! within a bound of memory. What fuzzing once found stays found here, without a fuzzer.

#![expect(clippy::unwrap_used, reason = "a test reports by panicking, its helpers too")]

mod allocator;

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tsdb_tests::fuzz::mutate::mutate;
use tsdb_tests::fuzz::{MEMORY_BYTES_MAX, TARGETS, Target};
use tsdb_tests::seed::Seed;

#[global_allocator]
static ALLOCATOR: allocator::Counting = allocator::Counting;

/// Mutations of each input; `TSDB_FUZZ_VARIANTS` sets another number.
const VARIANTS: u64 = 200;

/// When the mutations of a target end, whatever is left: all suites together have a budget.
const TIME_MAX: Duration = Duration::from_secs(20);

/// Longest time of one input, as `-timeout` says it to libFuzzer. The slowest takes some ten milliseconds
/// unoptimised; a machine that stands still for a second is no failure.
const INPUT_TIME_MAX: Duration = Duration::from_secs(5);

/// All inputs together stay small enough for a repository.
const CORPUS_BYTES_MAX: usize = 1 << 20;

fn corpus(target: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(target);
    let entries = fs::read_dir(&root).unwrap_or_else(|error| panic!("{}: {error}", root.display()));
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.into_iter().map(|path| (path.clone(), fs::read(path).unwrap())).collect()
}

/// Runs one input. `what` says in a failure where it comes from.
fn run(target: &Target, input: &[u8], what: &dyn Fn() -> String) -> usize {
    let begin = Instant::now();
    let mut outcome = Ok(());
    let peak = allocator::peak_of(|| {
        outcome = catch_unwind(AssertUnwindSafe(|| (target.run)(input)));
    });
    if let Err(panic) = outcome {
        eprintln!("{}: {}: the input is {input:?}", target.name, what());
        resume_unwind(panic);
    }
    let took = begin.elapsed();
    assert!(took < INPUT_TIME_MAX, "{}: {} took {took:?}: {input:?}", target.name, what());
    let fits = peak < MEMORY_BYTES_MAX;
    assert!(fits, "{}: {} took {peak} bytes: {input:?}", target.name, what());
    peak
}

/// Replays the inputs of one target and their mutations.
fn replay(name: &str) {
    let Some(target) = TARGETS.iter().find(|target| target.name == name) else {
        println!("SKIPPED: {name}: needs the feature server of tsdb-tests");
        return;
    };
    let inputs = corpus(name);
    assert!(!inputs.is_empty(), "{name} has no inputs");
    let variants = std::env::var("TSDB_FUZZ_VARIANTS").ok().and_then(|text| text.parse().ok());
    let (begin, mut peak, mut count) = (Instant::now(), 0, 0u64);
    for (path, input) in &inputs {
        peak = peak.max(run(target, input, &|| path.display().to_string()));
    }
    'all: for round in 0..variants.unwrap_or(VARIANTS) {
        for (place, (path, input)) in inputs.iter().enumerate() {
            if variants.is_none() && begin.elapsed() > TIME_MAX {
                println!("{name}: stopped in round {round}");
                break 'all;
            }
            let mut seed = Seed::new(round << 16 | place as u64);
            let other = usize::try_from(seed.within(0..inputs.len() as u64)).unwrap();
            let (_, other) = inputs.get(other).unwrap();
            let changed = mutate(&mut seed, input, other, target.bytes_max);
            let what = || format!("{}, variant {round}", path.display());
            peak = peak.max(run(target, &changed, &what));
            count += 1;
        }
    }
    println!(
        "{name}: {} inputs, {count} mutations, {:.1} s, peak {peak} bytes",
        inputs.len(),
        begin.elapsed().as_secs_f64()
    );
}

macro_rules! targets {
    ($($name:ident)*) => {
        $(#[test]
        fn $name() {
            replay(stringify!($name));
        })*

        const REPLAYED: &[&str] = &[$(stringify!($name)),*];
    };
}

targets! {
    wal_reader
    wal_structured
    wal_records
    sst_reader
    index_reader
    manifest_reader
    codecs
    line_protocol
    json_write
    csv_write
    prometheus_text
    remote_write_v1
    remote_write_v2
    otlp_metrics
    otlp_json
    tql_parse
    query_exec
    tag_matcher
    content_decoder
    config
}

#[test]
fn every_target_is_replayed_and_has_a_program() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz");
    let manifest = fs::read_to_string(root.join("Cargo.toml")).unwrap();
    for target in TARGETS {
        assert!(REPLAYED.contains(&target.name), "{} is not replayed", target.name);
        let program =
            fs::read_to_string(root.join(format!("fuzz_targets/{}.rs", target.name))).unwrap();
        assert!(program.contains(&format!("fuzz::{}(data)", target.name)), "{}", target.name);
        assert!(manifest.contains(&format!("name = \"{}\"", target.name)), "{}", target.name);
    }
    let directories = fs::read_dir(root.join("corpus")).unwrap();
    for directory in directories {
        let name = directory.unwrap().file_name().into_string().unwrap();
        assert!(REPLAYED.contains(&&*name), "{name} has inputs and no target");
    }
    let bytes: usize =
        REPLAYED.iter().flat_map(|name| corpus(name)).map(|(_, input)| input.len()).sum();
    assert!(bytes < CORPUS_BYTES_MAX, "the inputs have {bytes} bytes");
}

#[test]
fn memory_is_counted() {
    let peak = allocator::peak_of(|| {
        let large = vec![1_u8; 3 << 20];
        drop(std::hint::black_box(large));
        drop(std::hint::black_box(vec![1_u8; 1 << 20]));
    });
    assert!((3 << 20..4 << 20).contains(&peak), "{peak}");
}
