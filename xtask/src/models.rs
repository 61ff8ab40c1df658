//! Models of threads: builds the crates that have some with the locks of shuttle, and tries many schedules.

use crate::command::Cmd;
use crate::flags::Flags;
use crate::workspace::Workspace;

/// Schedules of each model that the gate tries.
pub const SCHEDULES: u64 = 10_000;

/// Seed of the gate's schedules.
pub const SEED: u64 = 1;

/// Tries the schedules that the flags `args` ask for: `--schedules N` of each model, `--from S` as seed.
///
/// # Errors
/// A flag that is not known, a build that fails, a schedule that breaks a model, a planted mistake that is not
/// found.
pub fn run(args: &[&str]) -> Result<(), String> {
    let mut flags = Flags::new("models", args);
    let schedules = flags.number("--schedules", SCHEDULES)?;
    let seed = flags.number("--from", SEED)?;
    flags.end()?;
    let workspace = Workspace::load()?;
    try_schedules(&workspace, schedules, seed)
}

/// Checks what only the models compile: clippy with its warnings denied.
///
/// # Errors
/// A warning.
pub fn clippy(workspace: &Workspace) -> Result<(), String> {
    let packages = ["--package", "tsdb-core", "--package", "tsdb-wal", "--package", "tsdb-lsm"];
    cargo(workspace, "clippy")
        .args(packages)
        .args(["--all-targets", "--all-features", "--", "-D", "warnings"])
        .run()
}

/// `cargo COMMAND` with the locks of shuttle.
fn cargo(workspace: &Workspace, command: &str) -> Cmd {
    // Other flags mean other objects: a directory of their own keeps the usual build as it is.
    let target_dir = workspace.target_dir.join("models");
    Cmd::cargo(&workspace.root, [command, "--target-dir", &*target_dir.to_string_lossy()])
        .env("RUSTFLAGS", "--cfg shuttle")
}

/// Tries so many schedules of each model.
///
/// # Errors
/// As [`run`].
pub fn try_schedules(workspace: &Workspace, schedules: u64, seed: u64) -> Result<(), String> {
    let models = |words: [&str; 5]| {
        cargo(workspace, "test")
            .args(["--profile", "sim"])
            .args(words)
            .env("TSDB_MODEL_SCHEDULES", schedules.to_string())
            .env("TSDB_MODEL_SEED", seed.to_string())
    };
    models(["--package", "tsdb-wal", "--test", "models", "--"]).run()?;
    models(["--package", "tsdb-lsm", "--lib", "--", "models::"]).run()
}
