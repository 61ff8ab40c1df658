//! The manifest: any bytes as the file that says what is live.

use std::path::Path;

use tsdb_core::catalogue::PolicySpec;
use tsdb_core::env::{SimVfs, create_dir_durable, write_all_at};
use tsdb_core::planted::{Planted, plant};
use tsdb_core::{Append, CatalogueChange, Maintain};
use tsdb_lsm::fuzz_support::manifest_again;

use super::records::{open_engine, shown};

/// Any bytes as a manifest.
///
/// # Panics
/// If what was understood is written and understood as something else, a refusal names no file, or a store
/// that opens with it cannot go on: take a database, flush, be closed and be opened again.
pub fn manifest_reader(data: &[u8]) {
    for planted in [None, Some(Planted::ChecksumsIgnored)] {
        let _planted = plant(planted);
        match manifest_again(data) {
            Ok(again) => {
                let third = manifest_again(&again).expect("what was written is understood");
                assert_eq!(third, again, "what was written is another manifest");
                assert!(again.len() <= data.len(), "a manifest that grows by being read");
            }
            Err(error) => {
                let text = error.to_string();
                assert!(text.contains("MANIFEST"), "no file is named: {text}");
                continue;
            }
        }
        live_with(data);
    }
}

/// Opens a store whose manifest this is, and whose runs are not there.
fn live_with(data: &[u8]) {
    let disk = SimVfs::new(4);
    let env = disk.env();
    let directory = Path::new("/db");
    create_dir_durable(&*env.vfs, &directory.join("runs")).expect("the disk has no faults");
    let file = env.vfs.create_new(&directory.join("MANIFEST"), 0).expect("the disk has no faults");
    write_all_at(&*file, data, 0).expect("the disk has no faults");
    let Ok(engine) = open_engine(&disk, directory) else { return };
    let change =
        CatalogueChange::CreateDatabase { name: "one_more".into(), policy: PolicySpec::default() };
    // It may be refused, for there may be too many.
    if let Ok(ticket) = engine.change_catalogue(&change) {
        engine.sync().expect("the disk has no faults");
        ticket.wait().expect("what was synced is there");
    }
    let first = shown(&engine);
    engine.close().expect("the disk has no faults");
    drop(engine);
    let again = open_engine(&disk, directory).expect("a closed store opens");
    assert_eq!(shown(&again), first, "opened again, the store shows something else");
}
