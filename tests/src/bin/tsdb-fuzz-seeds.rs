//! `tsdb-fuzz-seeds DIRECTORY`: writes the first inputs of all fuzz targets, one directory per target.
//! `cargo xtask fuzz --seeds` builds and runs it.

use std::path::PathBuf;
use std::process::ExitCode;
use std::{fs, io};

use tsdb_tests::fuzz::corpus;

fn write_all(root: &std::path::Path) -> io::Result<usize> {
    let mut count = 0;
    for (target, inputs) in corpus::seeds() {
        let directory = root.join(target);
        fs::create_dir_all(&directory)?;
        for (number, input) in inputs.iter().enumerate() {
            fs::write(directory.join(format!("seed-{number:02}")), input)?;
            count += 1;
        }
    }
    Ok(count)
}

fn main() -> ExitCode {
    let Some(root) = std::env::args_os().nth(1).map(PathBuf::from) else {
        eprintln!("tsdb-fuzz-seeds DIRECTORY");
        return ExitCode::from(2);
    };
    match write_all(&root) {
        Ok(count) => {
            println!("{count} inputs are in {}", root.display());
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{}: {error}", root.display());
            ExitCode::FAILURE
        }
    }
}
