//! Libraries reach the world through the seams of `tsdb_core::env` only.
//!
//! A clock, a file or a random number from elsewhere would make a simulation depend on more than its
//! seed. The server, the tools and the tests may use what they like. Crates whose threads are modelled take
//! locks, atomics and threads from `tsdb_core::sync`, or no model would see them.

use super::Report;
use super::lex::LineStarts;
use super::tree::Tree;

/// Crates whose code runs in simulations.
const SIMULATED: &[&str] = &[
    "crates/tsdb-core/src/",
    "crates/tsdb-wal/src/",
    "crates/tsdb-index/src/",
    "crates/tsdb-lsm/src/",
    "crates/tsdb-ingest/src/",
    "crates/tsdb-ql/src/",
    "crates/tsdb-agg/src/",
    "crates/tsdb-exec/src/",
];

/// The one place that may: it implements the seams on the operating system.
const REAL: &str = "crates/tsdb-core/src/env/real.rs";

/// What is forbidden, and what stands in its stead.
const FORBIDDEN: &[(&str, &str)] = &[
    ("SystemTime::now", "env.clock.wall_ns()"),
    ("Instant::now", "env.clock.mono_ns()"),
    ("std::fs", "env.vfs"),
    ("File::open", "env.vfs.open_read()"),
    ("File::create", "env.vfs.create_new()"),
    ("thread_rng", "env.rng"),
    ("getrandom", "env.rng"),
    ("std::env::", "an option of the crate"),
    ("std::net", "nothing: only the server has sockets"),
];

/// Crates whose threads are modelled, and what they take from `tsdb_core::sync` instead.
const MODELLED: &[&str] = &["crates/tsdb-wal/src/", "crates/tsdb-lsm/src/"];
const NOT_MODELLED: &[(&str, &str)] = &[
    ("parking_lot", "tsdb_core::sync"),
    ("std::sync::atomic", "tsdb_core::sync::atomic"),
    ("std::thread", "tsdb_core::sync::thread"),
];

/// Checks every source of a simulated crate, without its unit tests.
pub fn check(tree: &Tree) -> Report {
    let mut report = Report::default();
    let mut file_count = 0_usize;
    for (path, source) in tree.rust() {
        let simulated = SIMULATED.iter().any(|root| path.starts_with(root));
        let of_tests = ["/tests", "/models", "testing.rs"].iter().any(|part| path.contains(part));
        if !simulated || path == REAL || of_tests {
            continue;
        }
        file_count += 1;
        let code = without_tests(&source.code);
        let lines = LineStarts::of(&source.code);
        let modelled = MODELLED.iter().any(|root| path.starts_with(root));
        let not_modelled = if modelled { NOT_MODELLED } else { &[] };
        for (word, instead) in FORBIDDEN.iter().chain(not_modelled) {
            for (at, _) in code.match_indices(word) {
                // invariant: I8: what a simulation cannot steer is found here
                report.offences.push(format!(
                    "{path}:{}: {word} goes past the seams; use {instead}",
                    lines.line(at)
                ));
            }
        }
    }
    report.summary = format!("{file_count} files without a way around the seams");
    report
}

/// The code before the file's own test module, which stands last.
fn without_tests(code: &str) -> &str {
    let end = code.find("#[cfg(test)]\nmod ").unwrap_or(code.len());
    code.get(..end).unwrap_or(code)
}

#[cfg(test)]
mod tests {
    use super::check;
    use crate::tidy::tree::Tree;

    #[test]
    fn ways_around_the_seams_are_found_with_their_line() {
        let tree = Tree::of(&[
            ("crates/tsdb-lsm/src/a.rs", "//! x\nfn f() {\n    let t = Instant::now();\n}\n"),
            ("crates/tsdb-lsm/src/b.rs", "// Instant::now in a comment\nfn f() {}\n"),
            (
                "crates/tsdb-lsm/src/c.rs",
                "fn f() {}\n#[cfg(test)]\nmod tests {\n    use std::fs;\n}\n",
            ),
            ("crates/tsdb-server/src/d.rs", "use std::fs;\n"),
            ("crates/tsdb-wal/src/e.rs", "//! x\nuse std::thread;\n"),
            ("crates/tsdb-index/src/f.rs", "//! x\nuse std::thread;\n"),
            ("crates/tsdb-core/src/env/real.rs", "use std::fs;\n"),
        ]);
        let offences = check(&tree).offences;
        assert_eq!(offences.len(), 2, "{offences:?}");
        assert!(
            offences[0].starts_with("crates/tsdb-lsm/src/a.rs:3: Instant::now"),
            "{offences:?}"
        );
        assert!(offences[1].starts_with("crates/tsdb-wal/src/e.rs:2: std::thread"), "{offences:?}");
    }
}
