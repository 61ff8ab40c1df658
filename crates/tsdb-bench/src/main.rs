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

use clap::{Parser, Subcommand};

use crate::load::{LoadOptions, load};
use crate::usecase::CpuOnly;

#[derive(Debug, Parser)]
#[command(name = "tsdb-bench", version, about)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Writes the TSBS use case cpu-only (10 tags, 10 integer fields as clamped random walks) to a
    /// server, and prints its CPU-seconds per million samples.
    Load {
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
        /// Lines per request.
        #[arg(long, default_value_t = 5000)]
        batch: usize,
        /// Connections, each with a thread of its own.
        #[arg(long, default_value_t = 2)]
        connections: usize,
        /// Server, as host:port.
        #[arg(long, default_value = "127.0.0.1:8086")]
        server: String,
        /// Database to write to.
        #[arg(long, default_value = "benchmark")]
        database: String,
        /// Do not create the database first, for servers without databases.
        #[arg(long)]
        no_create: bool,
        /// Process id of the server, to measure its CPU and memory.
        #[arg(long)]
        pid: Option<u32>,
        /// Path that makes the server flush, POSTed to at the end; its CPU counts.
        #[arg(long)]
        flush_path: Option<String>,
        /// Path that makes the server compact, POSTed to after the flush; its CPU counts.
        #[arg(long)]
        compact_path: Option<String>,
    },
    /// Prints the same lines to standard output instead.
    Generate {
        /// Hosts.
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
    },
}

fn main() -> std::process::ExitCode {
    let outcome = match Arguments::parse().command {
        Command::Load {
            hosts,
            rows,
            interval,
            seed,
            batch,
            connections,
            server,
            database,
            no_create,
            pid,
            flush_path,
            compact_path,
        } => {
            let usecase = CpuOnly::new(hosts, rows, interval, seed);
            let options = LoadOptions {
                server,
                database,
                create_database: !no_create,
                batch_lines: batch.max(1),
                connections: connections.max(1),
                pid,
                finish: [flush_path, compact_path].into_iter().flatten().collect(),
            };
            load(usecase, &options).map(|report| println!("{report}"))
        }
        Command::Generate { hosts, rows, interval, seed } => {
            usecase::print(CpuOnly::new(hosts, rows, interval, seed))
        }
    };
    match outcome {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("tsdb-bench: {error}");
            std::process::ExitCode::FAILURE
        }
    }
}
