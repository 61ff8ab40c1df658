//! Named predicates that every manifest, and every step from one to the next, fulfils. They are asserted
//! at the one place where manifests are written: a state that breaks one must never reach the disk. What is
//! read is refused if it breaks one: it would be what a later write trips over.

use super::Manifest;

/// Largest sequence number, generation and file number: a quarter of what fits, and half of what the log can
/// have, so that going on from one never overflows. A million a second reach it in 140 000 years.
pub(crate) const NUMBER_MAX: u64 = u64::MAX >> 2;

/// What holds for a manifest.
type Predicate = fn(&Manifest) -> bool;

/// The predicates of one manifest, each with what is wrong where it does not hold.
const PREDICATES: [(Predicate, &str); 9] = [
    (numbers_leave_room, "a number leaves no room for the next"),
    // Neighbours in a partition never share a sequence number.
    (slices_are_disjoint_in_sequence, "I12: slices of a partition overlap in sequence"),
    (files_are_numbered_below_the_next, "a file has a number that was not given out"),
    (every_file_has_a_live_slice, "a file without live slices is still listed"),
    (deletes_are_in_order, "deletes are listed in order of their numbers"),
    // What is flushed was synced; the engine syncs before it flushes, and no slice says more.
    (what_is_flushed_was_synced, "I3: more is flushed than was synced"),
    (slices_are_flushed, "I3: a slice holds numbers that are not flushed"),
    (namespaces_are_told_apart, "two namespaces have one id, or one that was not given out"),
    (entries_belong_to_databases, "an entry of the catalogue belongs to no database that is there"),
];

/// What is wrong with a manifest, if anything is. O(slices log slices).
pub(crate) fn fault(manifest: &Manifest) -> Option<&'static str> {
    PREDICATES.iter().find(|(holds, _)| !holds(manifest)).map(|(_, what)| *what)
}

/// Asserts all predicates.
pub(crate) fn assert_valid(old: Option<&Manifest>, new: &Manifest) {
    let fault = fault(new);
    // invariant: I3, I12: two of the predicates; the messages say which does not hold.
    assert!(fault.is_none(), "{}", fault.unwrap_or_default());
    if let Some(old) = old {
        assert!(numbers_never_go_back(old, new), "a number of the manifest went back");
        assert!(identity_is_kept(old, new), "the identity of the store changed");
        assert!(cutoffs_never_go_back(old, new), "a retention cutoff went back");
    }
}

fn numbers_leave_room(manifest: &Manifest) -> bool {
    let own = [manifest.next_file, manifest.synced_upto, manifest.oldest_generation];
    own.iter().all(|number| *number <= NUMBER_MAX)
}

fn namespaces_are_told_apart(manifest: &Manifest) -> bool {
    let mut ids: Vec<_> = manifest.catalogue.namespaces().map(|namespace| namespace.id).collect();
    ids.sort_unstable();
    ids.is_sorted_by(|a, b| a < b) && ids.last().is_none_or(|id| id.0 < manifest.catalogue.next_id)
}

fn entries_belong_to_databases(manifest: &Manifest) -> bool {
    let catalogue = &manifest.catalogue;
    let mut owners = catalogue.entries.iter().filter_map(|(key, _)| key.database.as_ref());
    owners.all(|name| catalogue.databases.contains_key(name))
}

fn slices_are_disjoint_in_sequence(manifest: &Manifest) -> bool {
    manifest.partitions().values().all(|slices| {
        let pairs = slices.iter().zip(slices.iter().skip(1));
        slices.iter().all(|(_, meta)| meta.seq_min <= meta.seq_max)
            && pairs.into_iter().all(|((_, left), (_, right))| left.seq_max < right.seq_min)
    })
}

fn files_are_numbered_below_the_next(manifest: &Manifest) -> bool {
    manifest.files.keys().all(|file| *file < manifest.next_file)
}

fn every_file_has_a_live_slice(manifest: &Manifest) -> bool {
    manifest.files.values().all(|file| file.live().next().is_some())
}

fn deletes_are_in_order(manifest: &Manifest) -> bool {
    manifest.deletes.is_sorted_by(|a, b| a.seq < b.seq)
}

fn slices_are_flushed(manifest: &Manifest) -> bool {
    manifest.slices().all(|(_, meta)| meta.seq_max <= manifest.flushed_through)
        && manifest.deletes.iter().all(|delete| delete.seq <= manifest.flushed_through)
}

fn what_is_flushed_was_synced(manifest: &Manifest) -> bool {
    manifest.flushed_through <= manifest.synced_upto
}

fn numbers_never_go_back(old: &Manifest, new: &Manifest) -> bool {
    new.next_file >= old.next_file
        && new.flushed_through >= old.flushed_through
        && new.synced_upto >= old.synced_upto
        && new.oldest_generation >= old.oldest_generation
        && new.catalogue.next_id >= old.catalogue.next_id
}

fn identity_is_kept(old: &Manifest, new: &Manifest) -> bool {
    old.database_id == new.database_id && old.hash_key == new.hash_key
}

fn cutoffs_never_go_back(old: &Manifest, new: &Manifest) -> bool {
    old.catalogue.namespaces().all(|before| {
        new.catalogue.by_id(before.id).is_none_or(|after| after.cutoff >= before.cutoff)
    })
}
