//! `tsdb-torture`: a stage of torture of the release server that `TSDB_SERVER_BIN` names. `cargo xtask torture` builds
//! both and runs it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::time::Duration;

use tsdb_tests::seed::Seed;
use tsdb_tests::torture::{STAGES, Stage};

const USAGE: &str = "\
tsdb-torture --stage kill9|syscalls|enospc|overload|clients [--seconds N] [--seed S]

  --stage NAME   what to do to the server
  --seconds N    for how long at least [default: 60]
  --seed S       what chance begins with [default: the clock]

The last line is the verdict; the exit code is 0 without a violation or where the machine cannot run the stage, 1 with a
violation, 2 for a command line that was not understood.";

struct Arguments {
    name: &'static str,
    stage: Stage,
    time: Duration,
    seed: Seed,
}

fn arguments() -> Result<Arguments, String> {
    let (mut found, mut seconds, mut seed) = (None, 60, None);
    let mut words = std::env::args().skip(1);
    while let Some(flag) = words.next() {
        let value = words.next().ok_or_else(|| format!("{flag} needs a value"))?;
        let number = || value.parse::<u64>().map_err(|_| format!("{flag} {value}: not a number"));
        match flag.as_str() {
            "--stage" => {
                found = STAGES.into_iter().find(|(name, _)| *name == value);
                if found.is_none() {
                    return Err(format!(
                        "--stage {value}: choose one of {}",
                        STAGES.map(|s| s.0).join(", ")
                    ));
                }
            }
            "--seconds" => seconds = number()?,
            "--seed" => seed = Some(number()?),
            _ => return Err(format!("{flag} is no flag")),
        }
    }
    let (name, stage) = found.ok_or("--stage is missing")?;
    let seed = seed.map_or_else(Seed::from_environment, Seed::new);
    Ok(Arguments { name, stage, time: Duration::from_secs(seconds), seed })
}

fn main() -> ExitCode {
    let Arguments { name, stage, time, mut seed } = match arguments() {
        Ok(arguments) => arguments,
        Err(wrong) => {
            eprintln!("{wrong}\n\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    match catch_unwind(AssertUnwindSafe(|| stage(time, &mut seed))) {
        Ok(Ok(saw)) => {
            println!("torture {name}: ok: {saw}, 0 violations");
            ExitCode::SUCCESS
        }
        Ok(Err(why)) => {
            println!("torture {name}: SKIPPED: {why}");
            ExitCode::SUCCESS
        }
        Err(_) => {
            println!("torture {name}: VIOLATION: the panic above says which");
            ExitCode::FAILURE
        }
    }
}
