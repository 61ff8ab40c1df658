//! Torture: builds the release server and `tsdb-torture`, and runs a stage.

use crate::command::Cmd;
use crate::workspace::{TESTS_PACKAGE, Workspace};

/// The program, a binary of the tests package.
const PROGRAM: &str = "tsdb-torture";

/// Runs the flags `args` of `tsdb-torture`, whose last line is the verdict.
///
/// # Errors
/// A build that fails, or a violation.
pub fn run(args: &[&str]) -> Result<(), String> {
    let workspace = Workspace::load()?;
    let build = |package, program| {
        let flags = ["build", "--release", "--package", package, "--bin", program];
        Cmd::cargo(&workspace.root, flags).run()
    };
    build("tsdb-server", "tsdb-server")?;
    build(TESTS_PACKAGE, PROGRAM)?;
    let release = workspace.target_dir.join("release");
    Cmd::program(release.join(PROGRAM), &workspace.root)
        .env("TSDB_SERVER_BIN", release.join("tsdb-server").to_string_lossy())
        .args(args.iter().copied())
        .run()
}
