//! What the suites in this package share: a server process ([`server`]), a client that can also
//! misbehave ([`http`]), the memory that a process takes ([`memory`]), a server in narrow places ([`limits`]), load
//! and queries that ask too much of it ([`load`], [`hostile`]), what goes on beside ([`beside`]) and figures
//! ([`meter`]), lines for them too ([`lines`]), the comparison of answers ([`answers`]), other programs ([`peer`]) and a browser ([`browser`]), chance from a seed ([`seed`]), crash simulation of the engine
//! ([`sim`]), torture of the server ([`torture`]), and fuzz targets ([`fuzz`]).
//!
//! A step that cannot run on a machine says so through [`skip`] and never passes silently. This package
//! is test code throughout: a panic is its way to report.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "helpers of tests report by panicking; the caller's line stands in the message"
)]

pub mod answers;
pub mod beside;
pub mod browser;
pub mod fuzz;
pub mod hostile;
pub mod http;
pub mod influxql;
pub mod limits;
pub mod lines;
pub mod load;
pub mod memory;
pub mod meter;
pub mod peer;
pub mod seed;
pub mod server;
pub mod sim;
pub mod torture;

/// Says that a test did not run. `cargo xtask ci` shows the line.
#[track_caller]
pub fn skip(why: &str) {
    let place = std::panic::Location::caller();
    eprintln!("SKIPPED: {why} ({}:{})", place.file(), place.line());
}
