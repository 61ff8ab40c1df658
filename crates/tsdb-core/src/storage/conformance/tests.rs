//! The suite over the store in memory; and over stores with one planted error each, which it must find.

mod planted;

use std::sync::Arc;

use super::{Effort, Subject, check, history, run, threads};
use crate::MemoryStore;
use crate::storage::Storage;
use planted::{Planted, PlantedStore};

struct InMemory(Arc<MemoryStore>);

impl Subject for InMemory {
    fn store(&self) -> Arc<dyn Storage> {
        Arc::clone(&self.0) as Arc<dyn Storage>
    }
}

#[test]
fn memory_store_conforms() {
    // proves: I2
    run(&|| Box::new(InMemory(Arc::new(MemoryStore::new()))));
}

struct WithError(Arc<PlantedStore>);

impl Subject for WithError {
    fn store(&self) -> Arc<dyn Storage> {
        Arc::clone(&self.0) as Arc<dyn Storage>
    }
}

fn subject(planted: Planted) -> Box<dyn Subject> {
    Box::new(WithError(Arc::new(PlantedStore::new(planted))))
}

/// No engine answers with summaries yet, so the suite's judgement of them is tried on one that does.
#[test]
fn a_store_with_right_summaries_conforms() {
    let effort = Effort { scripts: 8, ..Effort::default() };
    check(&|| subject(Planted::Nothing), effort).unwrap();
}

#[test]
fn every_planted_error_is_found() {
    // Without random scripts: what the rules of the seam say has a case of its own.
    let effort = Effort { scripts: 0, batches_per_thread: 300, ..Effort::default() };
    for planted in Planted::ALL {
        let outcome = check(&|| subject(*planted), effort);
        assert!(outcome.is_err(), "{planted:?} was not found");
    }
}

/// What the scripts are for is found by them alone, too, and shown by a few operations.
#[test]
fn scripts_find_planted_errors() {
    for planted in Planted::ALL.iter().filter(|planted| planted.shows_in_scripts()) {
        let make = || subject(*planted);
        let found = (1..=40).find_map(|seed| history::check_script(&make, seed, 60).err());
        let violation = found.unwrap_or_else(|| panic!("no script finds {planted:?}"));
        let ops = violation.what.lines().count();
        assert!(ops < 30, "{planted:?}: the script was not cut down:\n{violation}");
    }
}

#[test]
fn threads_find_half_batches() {
    let make = || subject(Planted::BatchInTwoParts);
    let outcome = (1..=5).try_for_each(|seed| threads::check(&make, seed, 500));
    let violation = outcome.unwrap_err();
    assert!(violation.what.contains("half a batch"), "{violation}");
}
