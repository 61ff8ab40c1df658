//! Simulation by seeds: builds `tsdb-sim` optimised, with all debug assertions, and runs it.

use crate::command::Cmd;
use crate::workspace::{TESTS_PACKAGE, Workspace};

/// The program, a binary of the tests package.
const PROGRAM: &str = "tsdb-sim";

/// Runs the flags `args` of `tsdb-sim`, whose last line is the verdict.
///
/// # Errors
/// A build that fails, or a violation.
pub fn run(args: &[&str]) -> Result<(), String> {
    let workspace = Workspace::load()?;
    let build = ["build", "--profile", "sim", "--package", TESTS_PACKAGE, "--bin", PROGRAM];
    Cmd::cargo(&workspace.root, build).run()?;
    let program = workspace.target_dir.join("sim").join(PROGRAM);
    Cmd::program(program, &workspace.root).args(args.iter().copied()).run()
}
