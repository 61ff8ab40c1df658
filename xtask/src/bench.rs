//! Whole-process benchmarks: builds the server and the measuring stick, then has the stick measure.
//!
//! What is measured and how is decided in the package `tsdb-bench`; here is only where results go.

use crate::command::Cmd;
use crate::workspace::{BENCH_PACKAGE, SERVER_PACKAGE, Workspace};

/// Where results and the report stand, relative to the root.
const RESULTS: &str = "docs/benchmarks.json";
const REPORT: &str = "docs/benchmarks.md";

/// Measures what `args` say (flags of `tsdb-bench run`), without touching the results in the tree.
///
/// # Errors
/// A build that fails, or a measurement.
pub fn run(args: &[&str]) -> Result<(), String> {
    let workspace = build()?;
    let results = workspace.target_dir.join("benchmarks.json");
    let results = results.to_string_lossy();
    bench(&workspace, &[&["run", "--results", &results], args].concat())
}

/// Measures what `args` say, all sections without; then puts the results into the tree and writes the
/// report anew from all results that are there.
///
/// # Errors
/// As [`run`].
pub fn report(args: &[&str]) -> Result<(), String> {
    let workspace = build()?;
    bench(&workspace, &[&["run", "--results", RESULTS], args].concat())?;
    bench(&workspace, &["report", "--results", RESULTS, "--out", REPORT])
}

/// Records a running exporter, for `--scrapes`.
///
/// # Errors
/// A build that fails, or an exporter that does not answer.
pub fn record(args: &[&str]) -> Result<(), String> {
    bench(&build()?, &[&["record"], args].concat())
}

fn build() -> Result<Workspace, String> {
    let workspace = Workspace::load()?;
    let packages = ["--package", SERVER_PACKAGE, "--package", BENCH_PACKAGE];
    Cmd::cargo(&workspace.root, ["build", "--release"]).args(packages).run()?;
    Ok(workspace)
}

fn bench(workspace: &Workspace, args: &[&str]) -> Result<(), String> {
    let program = workspace.target_dir.join("release").join(BENCH_PACKAGE);
    Cmd::program(program, &workspace.root).args(args.iter().copied()).run()
}
