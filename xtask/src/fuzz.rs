//! Fuzzing: builds the targets of the workspace in `fuzz` with sanitizer and coverage, and runs them on the
//! committed inputs. What a target judges lives in `tests/src/fuzz`.
//!
//! The stable toolchain does it, told by `RUSTC_BOOTSTRAP` to take the flags that `cargo fuzz` would pass to a
//! nightly one.

use crate::command::Cmd;
use crate::flags::Flags;
use crate::workspace::{TESTS_PACKAGE, Workspace};
use std::fs;
use std::path::Path;

/// Where the sanitizer is at home.
const TRIPLE: &str = "x86_64-unknown-linux-gnu";

/// Address sanitizer, and the counters by which libFuzzer sees what an input reaches.
const RUSTFLAGS: &str = "-Zsanitizer=address -Cpasses=sancov-module \
    -Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
    -Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares --cfg fuzzing";

/// The targets that need the feature `server`.
const OF_SERVER: &[&str] = &["content_decoder", "config"];

/// Targets with their longest inputs in bytes, as `TARGETS` in `tests/src/fuzz.rs` says them.
const TARGETS: &[(&str, u32)] = &[
    ("wal_reader", 6144),
    ("wal_structured", 512),
    ("wal_records", 6144),
    ("sst_reader", 8192),
    ("index_reader", 4096),
    ("manifest_reader", 4096),
    ("codecs", 4096),
    ("line_protocol", 4096),
    ("json_write", 4096),
    ("csv_write", 4096),
    ("prometheus_text", 4096),
    ("remote_write_v1", 2048),
    ("remote_write_v2", 2048),
    ("otlp_metrics", 2048),
    ("otlp_json", 4096),
    ("tql_parse", 4096),
    ("query_exec", 1024),
    ("tag_matcher", 1024),
    ("content_decoder", 8192),
    ("config", 2048),
];

/// What a command line asks for.
#[derive(Debug, PartialEq, Eq)]
struct Wish {
    target: Option<String>,
    seconds: u64,
}

fn wish(args: &[&str]) -> Result<Wish, String> {
    let mut flags = Flags::new("fuzz", args);
    let (target, seconds) = (flags.text("--target"), flags.number("--seconds", 60)?);
    flags.end()?;
    if let Some(name) = target.filter(|name| TARGETS.iter().all(|(known, _)| known != name)) {
        let known: Vec<&str> = TARGETS.iter().map(|(name, _)| *name).collect();
        return Err(format!("fuzz: there is no target `{name}`, choose {}", known.join(", ")));
    }
    Ok(Wish { target: target.map(str::to_owned), seconds })
}

/// Runs each target, or the one that `args` name, for some seconds (60); or writes the first inputs anew.
///
/// # Errors
/// A command line that was not understood, a build that fails, or a find, whose input is kept.
pub fn run(args: &[&str]) -> Result<(), String> {
    if args == ["--seeds"] {
        return write_seeds();
    }
    let wish = wish(args)?;
    let workspace = Workspace::load()?;
    if !Cmd::program("g++", &workspace.root).args(["--version"]).works() {
        println!("SKIPPED: libFuzzer is built by a C++ compiler: install g++ (apt install g++)");
        return Ok(());
    }
    let chosen: Vec<&(&str, u32)> = TARGETS
        .iter()
        .filter(|(name, _)| wish.target.as_ref().is_none_or(|target| target == name))
        .collect();
    let root = workspace.root.join("fuzz");
    for (target, bytes_max) in &chosen {
        build(&root, target)?;
        fuzz(&root, target, *bytes_max, wish.seconds)?;
    }
    println!("fuzz: ok: {} targets, {} s each, no find", chosen.len(), wish.seconds);
    Ok(())
}

fn build(root: &Path, target: &str) -> Result<(), String> {
    let args = ["build", "--release", "--target", TRIPLE, "--bin", target];
    let command = Cmd::cargo(root, args).env("RUSTC_BOOTSTRAP", "1").env("RUSTFLAGS", RUSTFLAGS);
    let features: &[&str] =
        if OF_SERVER.contains(&target) { &["--features", "server"] } else { &[] };
    command.args(features.iter().copied()).run()
}

/// New inputs go to a directory below `target`, so that nothing is committed by accident; what is worth it is
/// copied to the corpus by hand.
fn fuzz(root: &Path, target: &str, bytes_max: u32, seconds: u64) -> Result<(), String> {
    let (new, finds) = (format!("target/corpus/{target}"), format!("target/finds/{target}/"));
    for directory in [&new, &finds] {
        let directory = root.join(directory);
        fs::create_dir_all(&directory).map_err(|e| format!("{}: {e}", directory.display()))?;
    }
    let corpus = format!("corpus/{target}");
    let dictionary = format!("dictionaries/{target}.dict");
    let mut flags = vec![
        new,
        corpus,
        "-timeout=5".to_owned(),
        "-malloc_limit_mb=64".to_owned(),
        "-rss_limit_mb=1024".to_owned(),
        format!("-max_len={bytes_max}"),
        format!("-max_total_time={seconds}"),
        format!("-artifact_prefix={finds}"),
        "-print_final_stats=1".to_owned(),
    ];
    if root.join(&dictionary).is_file() {
        flags.push(format!("-dict={dictionary}"));
    }
    let program = root.join("target").join(TRIPLE).join("release").join(target);
    Cmd::program(program, root).args(flags).run().map_err(|error| {
        format!(
            "{error}\nfuzz: {target} has a find in fuzz/{finds}; commit it to fuzz/corpus/{target}"
        )
    })
}

/// Writes the inputs that a seed makes to the corpus. What stands beside them stays.
fn write_seeds() -> Result<(), String> {
    let workspace = Workspace::load()?;
    let run =
        ["run", "--package", TESTS_PACKAGE, "--features", "server", "--bin", "tsdb-fuzz-seeds"];
    Cmd::cargo(&workspace.root, run).args(["--", "fuzz/corpus"]).run()
}

#[cfg(test)]
mod tests {
    use super::{TARGETS, Wish, wish};
    use std::fs;
    use std::path::Path;

    #[test]
    fn wishes_are_read() {
        let all = Wish { target: None, seconds: 60 };
        assert_eq!(wish(&[]), Ok(all));
        let one = Wish { target: Some("codecs".to_owned()), seconds: 5 };
        assert_eq!(wish(&["--target", "codecs", "--seconds", "5"]), Ok(one));
        for bad in [&["--target"][..], &["--target", "none"], &["--seconds", "x"], &["x"]] {
            assert!(wish(bad).is_err(), "{bad:?}");
        }
    }

    /// The runner links nothing of the database, so it has its own list.
    #[test]
    fn targets_are_those_of_the_tests_package() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/src/fuzz.rs");
        let source = fs::read_to_string(path).unwrap();
        assert_eq!(source.matches("Target { name:").count(), TARGETS.len());
        for (name, bytes_max) in TARGETS {
            let line = format!("name: \"{name}\", run: {name}, bytes_max: {bytes_max} }}");
            assert!(source.contains(&line), "{line}");
        }
    }
}
