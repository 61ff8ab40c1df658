//! Task runner of the workspace: reads the command line and calls the command.
//!
//! What the commands do lives in the modules; nothing of the database is linked here, the runner
//! only spawns `cargo` and reads files.

mod bench;
mod ci;
mod command;
mod dist;
mod flags;
mod fuzz;
mod kernels;
mod models;
mod sim;
mod tidy;
mod torture;
mod workspace;

use std::process::ExitCode;

/// Exit code for a command line that was not understood, as shells use it.
const EXIT_USAGE: u8 = 2;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    let outcome = match words.as_slice() {
        ["ci"] => ci::run(None),
        ["ci", "--stage", stage] => ci::run(Some(stage)),
        ["dist"] => dist::run(),
        ["tidy"] => tidy::run(),
        ["sim", rest @ ..] => sim::run(rest),
        ["torture", rest @ ..] => torture::run(rest),
        ["models", rest @ ..] => models::run(rest),
        ["kernels", rest @ ..] => kernels::run(rest),
        ["fuzz", rest @ ..] => fuzz::run(rest),
        ["bench", "report", rest @ ..] => bench::report(rest),
        ["bench", "record", rest @ ..] => bench::record(rest),
        ["bench", rest @ ..] => bench::run(rest),
        [] | ["help" | "--help" | "-h"] => {
            print!("{}", help());
            return ExitCode::SUCCESS;
        }
        _ => {
            eprintln!("xtask: `{}` is not a command\n\n{}", words.join(" "), help());
            return ExitCode::from(EXIT_USAGE);
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    }
}

/// The text of `cargo xtask help`; the stage names come from the table that `ci` runs.
fn help() -> String {
    format!(
        "\
cargo xtask COMMAND

  ci                  the gate: every stage in order, stops at the first failure
  ci --stage NAME     one stage of it: {stages}
  tidy                checks of the source tree: layers, formats, invariants, blueprint, text
  sim [FLAGS]         lives of the storage engine on a simulated disk: --seeds N, --from S; the last
                      line is the verdict, --help for all flags
  torture [FLAGS]     the release server under kill -9, failing system calls, a full disk, overload, bad
                      clients: --stage NAME, --seconds N; the last line is the verdict
  models [FLAGS]      models of threads: --schedules N of each, --from S as seed
  kernels [FLAGS]     compares the codec's kernels with its plain code: --pages N, --asan for the address
                      sanitizer
  fuzz [FLAGS]        fuzz targets under libFuzzer, which needs g++: --target T, --seconds N for each (60)
  fuzz --seeds        writes the first inputs of all targets to fuzz/corpus
  bench [FLAGS]       measures ours and the peers that are installed, in one run; --section NAME
                      for a part of it, --help for all flags
  bench report        the same, and writes docs/benchmarks.md and docs/benchmarks.json
  bench record        records a running node_exporter for the section ingest-scrapes
  dist                an archive and a Debian package of the release server in target/dist
  help                this text
",
        stages = ci::stage_names().join(", ")
    )
}

#[cfg(test)]
mod tests {
    use super::help;

    #[test]
    fn help_names_every_stage() {
        for stage in crate::ci::stage_names() {
            assert!(help().contains(stage), "{stage} is missing from the help text");
        }
    }
}
