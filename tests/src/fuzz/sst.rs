//! Runs: any bytes as the file of a run.

use std::path::Path;

use tsdb_core::env::{SimVfs, create_dir_durable};
use tsdb_core::planted::{Planted, plant};

/// Any bytes as a run that a manifest names.
///
/// # Panics
/// If a sound run cannot be read, two ways to read it differ, it cannot be written again, or a refusal names
/// no file.
pub fn sst_reader(data: &[u8]) {
    for planted in [None, Some(Planted::ChecksumsIgnored)] {
        let _planted = plant(planted);
        let disk = SimVfs::new(1);
        let env = disk.env();
        let directory = Path::new("/runs");
        create_dir_durable(&*env.vfs, directory).expect("the simulated disk has no faults");
        if let Err(error) = tsdb_lsm::fuzz_support::read_run(&env, directory, data) {
            let text = error.to_string();
            assert!(text.contains("any.run"), "no file is named: {text}");
        }
    }
}
