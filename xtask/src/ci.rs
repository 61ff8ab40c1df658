//! The gate: its stages as a table, run in order, with a summary at the end.
//!
//! The flags of every tool live here and are printed before it runs, so that a failure can be
//! repeated by pasting one line. What `tidy` checks lives in `tidy`.

use crate::command::Cmd;
use crate::tidy;
use crate::workspace::{BENCH_PACKAGE, SERVER_PACKAGE, TESTS_PACKAGE, Target, Workspace};
use crate::{kernels, models};
use std::fs;
use std::time::{Duration, Instant};

/// One step of the gate.
struct Stage {
    name: &'static str,
    run: fn(&Workspace) -> Result<Passed, String>,
}

/// How a stage ended that did not fail.
enum Passed {
    /// Everything ran.
    Ran,
    /// It could not run here; the reason is printed again in the summary.
    Skipped(String),
}

/// In this order: what is quick and fails often comes first.
const STAGES: &[Stage] = &[
    Stage { name: "fmt", run: fmt },
    Stage { name: "tidy", run: |_| tidy::run().map(|()| Passed::Ran) },
    Stage { name: "clippy", run: clippy },
    Stage { name: "deny", run: deny },
    Stage { name: "test", run: test },
    Stage { name: "doctest", run: doctest },
    Stage { name: "rustdoc", run: rustdoc },
    Stage { name: "examples", run: examples },
    Stage { name: "benches", run: benches },
    Stage { name: "e2e", run: end_to_end },
    Stage { name: "sim", run: simulation },
    Stage { name: "kernels", run: kernels },
    Stage { name: "models", run: models },
];

/// Features of the tests package that bring suites with a stage of their own, by the first
/// letters of the suite's file name.
pub const SUITE_FEATURES: &[&str] = &["e2e", "sim"];

/// The release binaries that end-to-end suites start, each with the environment variable that tells
/// where it lies.
const E2E_PROGRAMS: &[(&str, &str)] =
    &[(SERVER_PACKAGE, "TSDB_SERVER_BIN"), (BENCH_PACKAGE, "TSDB_BENCH_BIN")];

/// Names of all stages, in the order in which they run.
pub fn stage_names() -> Vec<&'static str> {
    STAGES.iter().map(|stage| stage.name).collect()
}

/// Runs the whole gate, or the one stage `only`.
///
/// # Errors
/// The name of the first stage that failed and why, as one closing line.
pub fn run(only: Option<&str>) -> Result<(), String> {
    let chosen: Vec<&Stage> =
        STAGES.iter().filter(|stage| only.is_none_or(|name| name == stage.name)).collect();
    if chosen.is_empty() {
        let names = stage_names().join(", ");
        return Err(format!("ci: there is no such stage, choose one of {names}"));
    }
    let workspace = Workspace::load()?;
    let mut ended = Vec::new();
    for stage in &chosen {
        println!("\n=== {} ===", stage.name);
        let start = Instant::now();
        let outcome = (stage.run)(&workspace);
        let took = start.elapsed();
        if let Ok(Passed::Skipped(reason)) = &outcome {
            println!("SKIPPED: {reason}");
        }
        println!("=== {}: {} in {} ===", stage.name, word(&outcome), seconds(took));
        let stop = outcome.is_err();
        ended.push(Ended { name: stage.name, outcome, took });
        if stop {
            break;
        }
    }
    println!("\n{}", table(&ended));
    closing_line(&ended, chosen.len()).map(|line| println!("{line}"))
}

/// A stage that has run, with how it ended and how long it took.
struct Ended {
    name: &'static str,
    outcome: Result<Passed, String>,
    took: Duration,
}

fn word(outcome: &Result<Passed, String>) -> &'static str {
    match outcome {
        Ok(Passed::Ran) => "passed",
        Ok(Passed::Skipped(_)) => "SKIPPED",
        Err(_) => "FAILED",
    }
}

fn seconds(took: Duration) -> String {
    format!("{:.1} s", took.as_secs_f64())
}

/// The summary: one line for each stage that ran.
fn table(ended: &[Ended]) -> String {
    let total: Duration = ended.iter().map(|stage| stage.took).sum();
    let mut lines = vec![format!("{:<10}{:<9}{:>10}", "stage", "result", "time")];
    for stage in ended {
        let reason = match &stage.outcome {
            Ok(Passed::Skipped(reason)) => format!("  {reason}"),
            _ => String::new(),
        };
        let (name, word, took) = (stage.name, word(&stage.outcome), seconds(stage.took));
        lines.push(format!("{name:<10}{word:<9}{took:>10}{reason}"));
    }
    lines.push(format!("{:<10}{:<9}{:>10}", "total", "", seconds(total)));
    lines.join("\n")
}

/// The last line: the counts, and for a failure the stage and its reason.
fn closing_line(ended: &[Ended], chosen_count: usize) -> Result<String, String> {
    let count = |wanted| ended.iter().filter(|stage| word(&stage.outcome) == wanted).count();
    let (passed, failed, skipped) = (count("passed"), count("FAILED"), count("SKIPPED"));
    let counts = format!("{passed} passed, {failed} failed, {skipped} skipped");
    let reason = ended.iter().find_map(|stage| Some((stage.name, stage.outcome.as_ref().err()?)));
    match reason {
        None => Ok(format!("ci: ok: {counts}")),
        Some((name, reason)) => {
            let left = chosen_count.saturating_sub(ended.len());
            Err(format!("{reason}\nci: FAILED at stage {name}: {counts}, {left} not run"))
        }
    }
}

fn fmt(workspace: &Workspace) -> Result<Passed, String> {
    ran(&Cmd::cargo(&workspace.root, ["fmt", "--all", "--check"]))
}

fn clippy(workspace: &Workspace) -> Result<Passed, String> {
    let args = ["clippy", "--workspace", "--all-targets", "--all-features", "--", "-D", "warnings"];
    Cmd::cargo(&workspace.root, args).run()?;
    models::clippy(workspace).map(|()| Passed::Ran)
}

fn deny(workspace: &Workspace) -> Result<Passed, String> {
    if !Cmd::cargo(&workspace.root, ["deny", "--version"]).works() {
        let install = "cargo install --locked cargo-deny";
        return skipped(format!("cargo-deny is not installed ({install})"));
    }
    // Advisories need the RustSec database from the network, so they are not part of the gate.
    ran(&Cmd::cargo(&workspace.root, ["deny", "check", "bans", "licenses", "sources"]))
}

fn test(workspace: &Workspace) -> Result<Passed, String> {
    let command = if has_nextest(workspace) {
        Cmd::cargo(&workspace.root, ["nextest", "run", "--workspace"])
    } else {
        Cmd::cargo(&workspace.root, ["test", "--workspace", "--lib", "--bins", "--tests"])
    };
    ran(&command.args(features(workspace, None)))
}

fn doctest(workspace: &Workspace) -> Result<Passed, String> {
    let command = Cmd::cargo(&workspace.root, ["test", "--doc", "--workspace"]);
    ran(&command.args(features(workspace, None)))
}

fn rustdoc(workspace: &Workspace) -> Result<Passed, String> {
    let command = Cmd::cargo(&workspace.root, ["doc", "--workspace", "--no-deps"]);
    ran(&command.args(features(workspace, None)).env("RUSTDOCFLAGS", "-D warnings"))
}

/// Builds all examples in one go, then runs each in an empty directory of its own.
fn examples(workspace: &Workspace) -> Result<Passed, String> {
    let names: Vec<&str> = targets(workspace, "example").map(|(_, target)| &*target.name).collect();
    if names.is_empty() {
        return skipped("no package has an example".into());
    }
    let build = Cmd::cargo(&workspace.root, ["build", "--workspace", "--examples"]);
    build.args(features(workspace, None)).run()?;
    for name in names {
        let dir = workspace.target_dir.join("examples-run").join(name);
        // The directory of an earlier run; that there is none is the usual case.
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir_all(&dir).map_err(|error| format!("{}: {error}", dir.display()))?;
        Cmd::program(workspace.target_dir.join("debug/examples").join(name), &dir).run()?;
    }
    Ok(Passed::Ran)
}

/// Runs the body of every bench once, unoptimised: that it still works, not how fast it is.
fn benches(workspace: &Workspace) -> Result<Passed, String> {
    if targets(workspace, "bench").next().is_none() {
        return skipped("no package has a bench".into());
    }
    // Plain cargo even where nextest is installed, which would start a process for each function.
    let command = Cmd::cargo(&workspace.root, ["test", "--workspace", "--bench", "*"]);
    ran(&command.args(features(workspace, None)))
}

/// Builds the release binaries, then runs the suites that start them as a user would.
fn end_to_end(workspace: &Workspace) -> Result<Passed, String> {
    if !has_suite(workspace, "e2e") {
        return skipped(format!("{TESTS_PACKAGE} has no suite whose name begins with e2e_"));
    }
    let packages = E2E_PROGRAMS.iter().flat_map(|(package, _)| ["--package", package]);
    Cmd::cargo(&workspace.root, ["build", "--release"]).args(packages).run()?;
    let command = if has_nextest(workspace) {
        Cmd::cargo(&workspace.root, ["nextest", "run", "--workspace", "--test", "e2e_*"])
            // What a suite skips, and why, is said by tests that pass.
            .args(["--success-output", "final"])
    } else {
        Cmd::cargo(&workspace.root, ["test", "--workspace", "--test", "e2e_*"])
    };
    let command = command.args(features(workspace, Some("e2e")));
    ran(&E2E_PROGRAMS.iter().fold(command, |command, (package, variable)| {
        let binary = workspace.target_dir.join("release").join(package);
        command.env(variable, binary.to_string_lossy())
    }))
}

/// Runs the long crash suites in the profile `sim`: optimised, with all debug assertions.
fn simulation(workspace: &Workspace) -> Result<Passed, String> {
    if !has_suite(workspace, "sim") {
        return skipped(format!("{TESTS_PACKAGE} has no suite whose name begins with sim_"));
    }
    let command = if has_nextest(workspace) {
        Cmd::cargo(&workspace.root, ["nextest", "run", "--cargo-profile", "sim"])
    } else {
        Cmd::cargo(&workspace.root, ["test", "--profile", "sim"])
    };
    ran(&command.args(["--package", TESTS_PACKAGE, "--features", "sim", "--test", "sim_*"]))
}

/// Compares the codec's kernels with its plain code on more pages than the unit test does.
fn kernels(workspace: &Workspace) -> Result<Passed, String> {
    kernels::compare(workspace, kernels::PAGES_OF_THE_GATE).map(|()| Passed::Ran)
}

/// Tries schedules of the models of threads.
fn models(workspace: &Workspace) -> Result<Passed, String> {
    models::try_schedules(workspace, models::SCHEDULES, models::SEED).map(|()| Passed::Ran)
}

fn ran(command: &Cmd) -> Result<Passed, String> {
    command.run().map(|()| Passed::Ran)
}

fn skipped(reason: String) -> Result<Passed, String> {
    Ok(Passed::Skipped(reason))
}

fn has_nextest(workspace: &Workspace) -> bool {
    Cmd::cargo(&workspace.root, ["nextest", "--version"]).works()
}

/// All targets of one kind, with their packages.
fn targets<'a>(
    workspace: &'a Workspace,
    kind: &'a str,
) -> impl Iterator<Item = (&'a str, &'a Target)> {
    let all = workspace
        .packages
        .iter()
        .flat_map(|package| package.targets.iter().map(|target| (package.name.as_str(), target)));
    all.filter(move |(_, target)| target.is(kind))
}

/// Whether the tests package has a suite `PREFIX_*`: cargo refuses a pattern that matches nothing.
fn has_suite(workspace: &Workspace, prefix: &str) -> bool {
    targets(workspace, "test").any(|(package, target)| {
        let rest = target.name.strip_prefix(prefix);
        package == TESTS_PACKAGE && rest.is_some_and(|rest| rest.starts_with('_'))
    })
}

/// `--features` with every feature of every package, so that `test-util` suites run; of the
/// features that bring suites with a stage of their own, only `suite`.
///
/// `--all-features` would turn those on as well. Every stage in the `dev` profile passes the same
/// list, or cargo would build the dependencies again for another set of features.
fn features(workspace: &Workspace, suite: Option<&str>) -> Vec<String> {
    let mut names = Vec::new();
    for package in &workspace.packages {
        for feature in &package.features {
            let own_stage =
                package.name == TESTS_PACKAGE && SUITE_FEATURES.contains(&feature.as_str());
            if feature != "default" && (!own_stage || suite == Some(feature)) {
                names.push(format!("{}/{feature}", package.name));
            }
        }
    }
    if names.is_empty() { Vec::new() } else { vec!["--features".into(), names.join(",")] }
}

#[cfg(test)]
mod tests {
    use super::{Ended, Passed, closing_line, features, has_suite, stage_names, table};
    use crate::workspace::{Package, TESTS_PACKAGE, Target, Workspace};
    use std::time::Duration;

    fn workspace() -> Workspace {
        let package = |name: &str, features: &[&str], tests: &[&str]| Package {
            name: name.into(),
            features: features.iter().map(|feature| (*feature).into()).collect(),
            targets: tests
                .iter()
                .map(|test| Target {
                    name: (*test).into(),
                    kinds: vec!["test".into()],
                    ..Target::default()
                })
                .collect(),
            ..Package::default()
        };
        Workspace {
            root: ".".into(),
            target_dir: "target".into(),
            packages: vec![
                package("tsdb-core", &["default", "test-util"], &["sim_elsewhere"]),
                package(TESTS_PACKAGE, &["e2e", "sim", "more"], &["e2e_http", "e2extra"]),
            ],
        }
    }

    fn ended(name: &'static str, outcome: Result<Passed, String>) -> Ended {
        Ended { name, outcome, took: Duration::from_millis(1500) }
    }

    #[test]
    fn features_leave_out_the_suites_of_other_stages() {
        let workspace = workspace();
        let all = ["--features", "tsdb-core/test-util,tsdb-tests/more"];
        assert_eq!(features(&workspace, None), all);
        let with_e2e = ["--features", "tsdb-core/test-util,tsdb-tests/e2e,tsdb-tests/more"];
        assert_eq!(features(&workspace, Some("e2e")), with_e2e);
    }

    #[test]
    fn suites_are_found_by_name_in_the_tests_package() {
        let workspace = workspace();
        assert!(has_suite(&workspace, "e2e"));
        assert!(!has_suite(&workspace, "sim"));
    }

    #[test]
    fn closing_line_counts_and_names_the_failure() {
        let mut stages = vec![
            ended("fmt", Ok(Passed::Ran)),
            ended("deny", Ok(Passed::Skipped("no deny".into()))),
        ];
        assert_eq!(closing_line(&stages, 2).unwrap(), "ci: ok: 1 passed, 0 failed, 1 skipped");
        stages.push(ended("test", Err("`cargo test` ended with exit status: 101".into())));
        let line = closing_line(&stages, 5).unwrap_err();
        let last = "ci: FAILED at stage test: 1 passed, 1 failed, 1 skipped, 2 not run";
        assert_eq!(line, format!("`cargo test` ended with exit status: 101\n{last}"));
    }

    #[test]
    fn table_repeats_why_a_stage_was_skipped() {
        let text = table(&[ended("deny", Ok(Passed::Skipped("no deny".into())))]);
        assert!(text.contains("deny      SKIPPED       1.5 s  no deny"), "{text}");
        assert!(text.ends_with(&format!("total{}1.5 s", " ".repeat(19))), "{text}");
    }

    #[test]
    fn unknown_stage_is_refused_with_the_names() {
        let message = super::run(Some("nonsense")).unwrap_err();
        assert!(stage_names().iter().all(|name| message.contains(name)), "{message}");
    }
}
