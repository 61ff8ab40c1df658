//! Torture of the release server from outside, for as long as somebody has time: `tsdb-torture` runs these stages
//! (`cargo xtask torture`), the suites of the gate short versions of some.
//!
//! A stage panics at a violation; otherwise it says what it saw, or why this machine cannot run it.

pub mod clients;
pub mod enospc;
pub mod kill9;
pub mod overload;
pub mod syscalls;

use std::time::{Duration, Instant};

use crate::seed::Seed;

/// What a stage saw, or why it cannot run here and what would help.
pub type Outcome = Result<String, String>;

/// A stage: for how long it goes on at least, and chance.
pub type Stage = fn(Duration, &mut Seed) -> Outcome;

/// All stages by name.
pub const STAGES: [(&str, Stage); 5] = [
    ("kill9", kill9_for),
    ("syscalls", syscalls::run),
    ("enospc", enospc::run),
    ("overload", overload::run),
    ("clients", clients::run),
];

/// Kills for some time, and until a few kills have been survived.
fn kill9_for(time: Duration, seed: &mut Seed) -> Outcome {
    let begin = Instant::now();
    let toll = kill9::run(seed, &mut |kills| kills < 3 || begin.elapsed() < time);
    Ok(toll.to_string())
}
