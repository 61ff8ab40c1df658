//! `tsdb-bench`: the measuring stick. Generates data, loads and queries servers side by side, and reports
//! what each spent on it.
//!
//! It knows no engine and no crate of the workspace: whatever it measures goes through a socket or a pipe,
//! so that any server can stand at the other end. Bodies are built before the clock starts, so that the
//! generator does not compete for the cores.

mod answer;
mod ask;
mod clock;
mod dataset;
mod encode;
mod http;
mod latency;
mod load;
mod measure;
mod peer;
mod process;
mod question;
mod random;
mod report;
mod results;
mod section;
mod server;

mod command;

use clap::Parser;

fn main() -> std::process::ExitCode {
    match command::Arguments::parse().run() {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("tsdb-bench: {error}");
            std::process::ExitCode::FAILURE
        }
    }
}
