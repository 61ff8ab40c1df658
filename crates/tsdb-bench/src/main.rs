//! `tsdb-bench`: generates TSBS-like line protocol, sends it to a server that speaks InfluxDB's write
//! protocol, and reports what the server spent on it.
//!
//! It knows no engine and no crate of the workspace: whatever it measures goes through a socket, so any
//! server with `/write` can stand at the other end. Batches are built before the clock starts, so that
//! the generator does not compete for the cores.

mod load;
mod process;
mod random;
mod usecase;

use clap::{Args, Parser, Subcommand};

use crate::load::{LoadOptions, load};
use crate::usecase::CpuOnly;

#[derive(Debug, Parser)]
#[command(name = "tsdb-bench", version, about)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

/// What is generated.
#[derive(Debug, Args)]
struct Shape {
    /// Hosts; each is one series of ten fields.
    #[arg(long, default_value_t = 100)]
    hosts: u32,
    /// Rows of each host.
    #[arg(long, default_value_t = 8640)]
    rows: u32,
    /// Seconds between two rows of a host.
    #[arg(long, default_value_t = 10)]
    interval: u32,
    /// Seed of the random walks.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

impl Shape {
    fn usecase(&self) -> CpuOnly {
        CpuOnly::new(self.hosts, self.rows, self.interval, self.seed)
    }
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Writes the TSBS use case cpu-only (10 tags, 10 integer fields as clamped random walks) to a
    /// server, and prints its CPU-seconds per million samples.
    Load {
        #[command(flatten)]
        shape: Shape,
        #[command(flatten)]
        options: LoadOptions,
    },
    /// Prints the same lines to standard output instead.
    Generate {
        #[command(flatten)]
        shape: Shape,
    },
}

fn main() -> std::process::ExitCode {
    let outcome = match Arguments::parse().command {
        Command::Load { shape, options } => {
            load(shape.usecase(), &options).map(|report| println!("{report}"))
        }
        Command::Generate { shape } => usecase::print(shape.usecase()),
    };
    match outcome {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("tsdb-bench: {error}");
            std::process::ExitCode::FAILURE
        }
    }
}
