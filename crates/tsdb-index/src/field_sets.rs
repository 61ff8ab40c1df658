//! Field sets by dense number, and back.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use hashbrown::HashMap;
use parking_lot::RwLock;
use tsdb_core::limits::{FIELD_NAMES_MAX, FIELD_SETS_MAX};
use tsdb_core::{Error, FieldSet, FieldSetRef, Result};

use crate::slots::Slots;

#[derive(Debug, Default)]
struct Slot {
    set: OnceLock<FieldSet>,
    /// Log generation in which the set was last defined.
    logged: AtomicU64,
}

#[derive(Debug, Default)]
struct Known {
    numbers: HashMap<FieldSet, FieldSetRef, foldhash::fast::RandomState>,
    names: BTreeSet<Arc<str>>,
    /// Sets of more than one field: only they are limited, since any row can be split into the others.
    compound: usize,
}

/// All field sets of an engine. Numbers are dense and stay as long as the engine.
#[derive(Debug)]
pub struct FieldSets {
    known: RwLock<Known>,
    slots: Slots<Slot>,
}

impl Default for FieldSets {
    fn default() -> Self {
        FieldSets::new()
    }
}

impl FieldSets {
    /// No sets.
    pub fn new() -> FieldSets {
        FieldSets { known: RwLock::default(), slots: Slots::new() }
    }

    /// Numbers of `sets`, new ones where need be. Per set a refusal is [`Error::TooMany`]: at
    /// [`FIELD_SETS_MAX`] sets of several fields (those of one field are still taken), or at
    /// [`FIELD_NAMES_MAX`] names.
    pub fn resolve(&self, sets: &[FieldSet]) -> Vec<Result<FieldSetRef>> {
        sets.iter().map(|set| self.resolve_one(set, FIELD_SETS_MAX, FIELD_NAMES_MAX)).collect()
    }

    /// Number of a set from a log, which is taken even beyond the limits: it was accepted once.
    ///
    /// # Errors
    /// More than 2^32 sets.
    pub fn restore(&self, set: &FieldSet) -> Result<FieldSetRef> {
        self.resolve_one(set, usize::MAX, usize::MAX)
    }

    fn resolve_one(
        &self,
        set: &FieldSet,
        sets_max: usize,
        names_max: usize,
    ) -> Result<FieldSetRef> {
        if let Some(number) = self.known.read().numbers.get(set) {
            return Ok(*number);
        }
        let mut known = self.known.write();
        if let Some(number) = known.numbers.get(set) {
            return Ok(*number);
        }
        let too_many = |what, count: usize, count_max: usize| Error::TooMany {
            what,
            count: count as u64,
            count_max: count_max as u64,
            remedy: "write changing ids as tag values, not as field names",
        };
        let compound = usize::from(set.len() > 1);
        if known.compound + compound > sets_max {
            return Err(too_many("combinations of fields", known.compound + 1, sets_max));
        }
        let new_names = set.names().iter().filter(|name| !known.names.contains(*name)).count();
        if new_names > 0 && known.names.len() + new_names > names_max {
            return Err(too_many("field names", known.names.len() + new_names, names_max));
        }
        let number = u32::try_from(known.numbers.len()).map_err(|_| {
            too_many("combinations of fields", known.numbers.len(), u32::MAX as usize)
        })?;
        let slot = self.slots.make(number);
        let fresh = slot.is_some_and(|slot| slot.set.set(set.clone()).is_ok());
        assert!(fresh, "a number is given to one field set only");
        known.names.extend(set.names().iter().cloned());
        known.numbers.insert(set.clone(), FieldSetRef(number));
        known.compound += compound;
        Ok(FieldSetRef(number))
    }

    /// The set with a number. No lock.
    pub fn get(&self, number: FieldSetRef) -> Option<FieldSet> {
        self.slots.get(number.0)?.set.get().cloned()
    }

    /// Notes that the set is defined in log generation `generation`, which is above 0; true if it was not
    /// yet. For use under the engine's append lock.
    pub fn mark_logged(&self, number: FieldSetRef, generation: u64) -> bool {
        let slot = self.slots.get(number.0);
        slot.is_some_and(|slot| slot.logged.swap(generation, Ordering::Relaxed) != generation)
    }

    /// Takes a [`FieldSets::mark_logged`] back whose record was not logged after all.
    pub fn unmark_logged(&self, number: FieldSetRef) {
        if let Some(slot) = self.slots.get(number.0) {
            slot.logged.store(0, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(names: &[&str]) -> FieldSet {
        FieldSet::new(names.iter().copied()).unwrap()
    }

    #[test]
    fn numbers_are_dense_and_come_back() {
        let sets = FieldSets::new();
        let numbers = sets.resolve(&[set(&["a"]), set(&["a", "b"]), set(&["a"])]);
        assert_eq!(numbers, [Ok(FieldSetRef(0)), Ok(FieldSetRef(1)), Ok(FieldSetRef(0))]);
        assert_eq!(sets.get(FieldSetRef(1)), Some(set(&["a", "b"])));
        assert_eq!(sets.get(FieldSetRef(2)), None);
    }

    #[test]
    fn limits_leave_sets_of_one_known_field() {
        let sets = FieldSets::new();
        assert!(sets.resolve_one(&set(&["a", "b"]), 1, 3).is_ok());
        assert!(sets.resolve_one(&set(&["a", "c"]), 1, 3).is_err(), "one combination too many");
        assert!(sets.resolve_one(&set(&["a"]), 1, 3).is_ok(), "a row can always be split");
        assert!(sets.resolve_one(&set(&["c"]), 1, 3).is_ok());
        assert!(sets.resolve_one(&set(&["d"]), 1, 3).is_err(), "one name too many");
        assert!(sets.restore(&set(&["d", "e"])).is_ok(), "what a log holds was accepted once");
    }

    #[test]
    fn a_set_is_defined_once_per_generation() {
        let sets = FieldSets::new();
        let number = sets.resolve(&[set(&["a"])]).pop().unwrap().unwrap();
        assert!(sets.mark_logged(number, 1));
        assert!(!sets.mark_logged(number, 1));
        assert!(sets.mark_logged(number, 2));
        sets.unmark_logged(number);
        assert!(sets.mark_logged(number, 2));
    }
}
