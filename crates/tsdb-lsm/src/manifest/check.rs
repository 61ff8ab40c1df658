//! Named predicates that every manifest, and every step from one to the next, fulfils. They are asserted
//! at the one place where manifests are written: a state that breaks one must never reach the disk.

use super::Manifest;

/// Asserts all predicates.
pub(crate) fn assert_valid(old: Option<&Manifest>, new: &Manifest) {
    // invariant: I12: neighbours in a partition never share a sequence number.
    assert!(slices_are_disjoint_in_sequence(new), "I12: slices of a partition overlap in sequence");
    assert!(files_are_numbered_below_the_next(new), "a file has a number that was not given out");
    assert!(every_file_has_a_live_slice(new), "a file without live slices is still listed");
    assert!(deletes_are_in_order(new), "deletes are listed in order of their numbers");
    // invariant: I3: what is flushed was synced; the engine syncs before it flushes, and no slice says more.
    assert!(what_is_flushed_was_synced(new), "I3: more is flushed than was synced");
    assert!(slices_are_flushed(new), "I3: a slice holds numbers that are not flushed");
    if let Some(old) = old {
        assert!(numbers_never_go_back(old, new), "a number of the manifest went back");
        assert!(identity_is_kept(old, new), "the identity of the store changed");
        assert!(cutoffs_never_go_back(old, new), "a retention cutoff went back");
    }
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
