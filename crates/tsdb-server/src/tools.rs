//! Subcommands that serve nothing: `verify` and `restore` work on a directory, `config` looks at the settings.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{ArgMatches, CommandFactory, FromArgMatches, Parser, Subcommand};
use serde_json::json;
use tsdb_core::env::Env;

use crate::config::{self, Args, Config};
use crate::{Error, telemetry, wiring};

/// What works on a directory.
#[derive(Debug, Parser)]
#[command(name = "tsdb-server", disable_version_flag = true)]
struct Tool {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Reads and checks everything in a data directory or snapshot that no server has open. Changes nothing.
    Verify {
        /// The directory.
        #[arg(long, value_name = "DIR")]
        data_dir: PathBuf,
        /// Prints the report as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Copies a snapshot to a data directory that is empty or does not exist, and checks all of it on the way.
    Restore {
        /// The snapshot.
        #[arg(long, value_name = "DIR")]
        from: PathBuf,
        /// The new data directory.
        #[arg(long, value_name = "DIR")]
        data_dir: PathBuf,
    },
    /// Looks at the settings as a start would, and starts nothing.
    Config {
        #[command(subcommand)]
        what: ConfigCommand,
    },
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Says whether a start would take the flags, the environment and the file.
    Check(Box<Args>),
    /// Prints the settings that a start would use, as TOML with where each comes from.
    Print(Box<Args>),
    /// Prints all settings as a table in Markdown.
    Reference,
}

/// Names of the subcommands; whatever else stands first is a flag of the server.
const NAMES: [&str; 3] = ["verify", "restore", "config"];

/// What a subcommand says, and whether it found damage.
pub(crate) struct Outcome {
    pub text: String,
    pub is_damaged: bool,
}

/// Runs the subcommand that the command line names; `None` if it names none.
pub(crate) fn run(args: &[OsString]) -> Option<Result<Outcome, Error>> {
    let first = args.get(1).and_then(|word| word.to_str())?;
    let parse = || {
        let matches = Tool::command().try_get_matches_from(args)?;
        carry_out(Tool::from_arg_matches(&matches)?.command, &matches)
    };
    NAMES.contains(&first).then(parse)
}

fn carry_out(command: Command, matches: &ArgMatches) -> Result<Outcome, Error> {
    let env = Env::real();
    match command {
        Command::Config { what } => {
            let text = settings(what, matches)?;
            Ok(Outcome { text, is_damaged: false })
        }
        Command::Verify { data_dir, json } => {
            let report = tsdb_lsm::verify(&env, &data_dir)
                .map_err(|error| wiring::refusal(&error, &data_dir))?;
            let text = if json { as_json(&report) } else { as_text(&report) };
            Ok(Outcome { text, is_damaged: !report.problems.is_empty() })
        }
        Command::Restore { from, data_dir } => {
            let report = tsdb_lsm::restore(&env, &from, &data_dir)
                .map_err(|error| wiring::refusal(&error, &data_dir))?;
            let text = format!(
                "restored {} run files, {} bytes, {} rows, as of sequence number {}\n",
                report.files, report.bytes, report.rows, report.sequence
            );
            Ok(Outcome { text, is_damaged: false })
        }
    }
}

fn settings(what: ConfigCommand, matches: &ArgMatches) -> Result<String, Error> {
    match what {
        ConfigCommand::Check(args) => {
            let config = Config::load(*args)?;
            telemetry::check(&config.log)?;
            if let Some((cert, key)) = config.tls {
                crate::tls::Tls::load(cert, key)?;
            }
            Ok("ok: a start would take these settings\n".to_owned())
        }
        ConfigCommand::Print(args) => {
            let of_config = matches.subcommand_matches("config");
            let own = of_config.and_then(|inner| inner.subcommand_matches("print"));
            config::print(*args, own.unwrap_or(matches))
        }
        ConfigCommand::Reference => Ok(config::reference()),
    }
}

fn as_text(report: &tsdb_lsm::VerifyReport) -> String {
    let mut text = format!(
        "{} run files, {} bytes, {} rows; {} records in the log",
        report.files, report.bytes, report.rows, report.records
    );
    if report.torn_bytes > 0 {
        text.push_str(&format!(", {} torn bytes, which a start cuts off", report.torn_bytes));
    }
    if report.orphans > 0 {
        text.push_str(&format!(
            "; {} files without a place, which a start removes",
            report.orphans
        ));
    }
    text.push_str(&format!("; {} problems\n", report.problems.len()));
    for problem in &report.problems {
        text.push_str(&format!("{}\n", problem.what));
    }
    text
}

fn as_json(report: &tsdb_lsm::VerifyReport) -> String {
    let problems = report
        .problems
        .iter()
        .map(|problem| json!({ "path": problem.path.to_string_lossy(), "what": problem.what }));
    let report = json!({
        "files": report.files,
        "bytes": report.bytes,
        "rows": report.rows,
        "records": report.records,
        "torn_bytes": report.torn_bytes,
        "orphans": report.orphans,
        "problems": problems.collect::<Vec<_>>(),
    });
    format!("{report}\n")
}
