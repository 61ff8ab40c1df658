//! Which slices to merge: a pure function from a manifest to a choice.
//!
//! Tiered by size: the youngest slices of a partition are merged once enough of similar size stand side
//! by side. A partition that has gone quiet, since flushes have nothing for it any more, is merged to one slice, and its
//! short chunks are joined. Only neighbours in sequence are merged, so the order of writes survives.

mod joiner;
pub(crate) mod worker;

use std::collections::BTreeMap;

use tsdb_core::NamespaceId;
use tsdb_core::planted::{Planted, is_planted};

use crate::manifest::{Manifest, SliceId};
use crate::sst::SliceMeta;

/// Slices of similar size that make a merge worth while. Smaller writes values more often, larger makes
/// queries look at more runs.
const FAN_IN: usize = 8;

/// A slice belongs to the same tier as the younger ones beside it while it has at most this many times
/// the rows that they have together.
const TIER_FACTOR: u64 = 2;

/// Most slices of one partition before it is merged whatever the sizes are.
const SLICES_MAX: usize = 20;

/// A quiet partition is merged once its largest slice has at most so many times the rows of all others: late rows that
/// trickle in must not have everything written again and again.
const QUIET_FACTOR: u64 = 8;

/// Slices of one (namespace, partition) to be merged into one, neighbours in sequence, oldest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Choice {
    pub namespace: NamespaceId,
    pub partition_start: i64,
    pub inputs: Vec<SliceId>,
    /// Whether no later merge of the partition is expected.
    pub is_last: bool,
}

type Slices<'a> = &'a [(SliceId, &'a SliceMeta)];

/// The most useful merge, if one is due: that of the most slices.
pub(crate) fn pick(manifest: &Manifest) -> Option<Choice> {
    let partitions = manifest.partitions();
    let busy = newest_numbers(&partitions);
    let mut best: Option<Choice> = None;
    for ((namespace, partition_start), slices) in &partitions {
        let is_quiet = is_quiet(slices, *partition_start, busy.get(namespace).copied());
        let (inputs, is_last) = match is_quiet && is_worth_it(slices) {
            true => (slices.as_slice(), true),
            false => (due(slices), false),
        };
        if inputs.len() < 2 || best.as_ref().is_some_and(|b| b.inputs.len() >= inputs.len()) {
            continue;
        }
        if is_closed(manifest, *namespace, inputs) {
            let mut inputs: Vec<SliceId> = inputs.iter().map(|(id, _)| *id).collect();
            if inputs.len() > 2 && is_planted(Planted::MergeSkipsNeighbour) {
                inputs.remove(1);
            }
            let (namespace, partition_start) = (*namespace, *partition_start);
            best = Some(Choice { namespace, partition_start, inputs, is_last });
        }
    }
    best
}

/// Of each namespace the start of its latest partition and the highest number there.
fn newest_numbers(
    partitions: &BTreeMap<(NamespaceId, i64), Vec<(SliceId, &SliceMeta)>>,
) -> BTreeMap<NamespaceId, (i64, u64)> {
    let mut newest = BTreeMap::new();
    // In order of their starts, so the last one stays.
    for ((namespace, start), slices) in partitions {
        let number = slices.last().map_or(0, |(_, meta)| meta.seq_max);
        newest.insert(*namespace, (*start, number));
    }
    newest
}

/// Whether the namespace has gone on to a later partition without anything for this one.
fn is_quiet(slices: Slices<'_>, partition_start: i64, newest: Option<(i64, u64)>) -> bool {
    let last = slices.last().map_or(u64::MAX, |(_, meta)| meta.seq_max);
    newest.is_some_and(|(start, number)| partition_start < start && last < number)
}

/// Whether merging all of them writes no slice again that is nearly all there is.
fn is_worth_it(slices: Slices<'_>) -> bool {
    let total: u64 = slices.iter().map(|(_, meta)| meta.rows).sum();
    let largest = slices.iter().map(|(_, meta)| meta.rows).max().unwrap_or(0);
    largest <= (total - largest).saturating_mul(QUIET_FACTOR)
}

/// The longest tier at the young end, if it is long enough.
fn due<'a>(slices: Slices<'a>) -> Slices<'a> {
    if slices.len() > SLICES_MAX {
        return slices;
    }
    let mut start = slices.len();
    let mut rows = 0u64;
    for (place, (_, meta)) in slices.iter().enumerate().rev() {
        if start < slices.len() && meta.rows > rows.saturating_mul(TIER_FACTOR) {
            break;
        }
        rows += meta.rows;
        start = place;
    }
    let tier = slices.get(start..).unwrap_or(&[]);
    if tier.len() >= FAN_IN { tier } else { &[] }
}

/// Every merge that would leave each partition with one slice, and those with a slice that a delete
/// applies to.
pub(crate) fn pick_all(manifest: &Manifest) -> Vec<Choice> {
    let mut choices = Vec::new();
    for ((namespace, partition_start), slices) in manifest.partitions() {
        let deleted = |meta: &SliceMeta| {
            manifest.deletes.iter().any(|delete| {
                delete.request.namespace == namespace
                    && delete.seq > meta.seq_max
                    && meta.t_min < delete.request.time.end
                    && meta.t_max >= delete.request.time.start
            })
        };
        let due = slices.len() > 1 || slices.iter().any(|(_, meta)| deleted(meta));
        if due && is_closed(manifest, namespace, &slices) {
            let inputs = slices.iter().map(|(id, _)| *id).collect();
            choices.push(Choice { namespace, partition_start, inputs, is_last: true });
        }
    }
    choices
}

/// Whether no other slice of the namespace has rows in the same times with numbers in between. It can
/// only have some after the width of partitions was changed twice.
fn is_closed(manifest: &Manifest, namespace: NamespaceId, inputs: Slices<'_>) -> bool {
    let (Some((_, first)), Some((_, last))) = (inputs.first(), inputs.last()) else { return false };
    let t_min = inputs.iter().map(|(_, meta)| meta.t_min).min().unwrap_or(i64::MAX);
    let t_max = inputs.iter().map(|(_, meta)| meta.t_max).max().unwrap_or(i64::MIN);
    manifest.slices().all(|(id, meta)| {
        meta.namespace != namespace
            || inputs.iter().any(|(input, _)| *input == id)
            || meta.seq_max < first.seq_min
            || meta.seq_min > last.seq_max
            || meta.t_max < t_min
            || meta.t_min > t_max
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::manifest::FileEntry;
    use crate::sst::RunMeta;
    use tsdb_core::hash::HashKey;

    /// One file per (partition, sequence range, rows).
    fn manifest(slices: &[(i64, u64, u64, u64)]) -> Manifest {
        let mut manifest = Manifest::new([0; 16], HashKey([0; 16]));
        for (partition_start, seq_min, seq_max, rows) in slices {
            let meta = SliceMeta {
                namespace: NamespaceId(0),
                partition_start: *partition_start,
                t_min: *partition_start,
                t_max: *partition_start + 9,
                seq_min: *seq_min,
                seq_max: *seq_max,
                rows: *rows,
                series: 1,
            };
            let meta = RunMeta { bytes: 1, checksum: 0, slices: vec![meta] };
            manifest.files.insert(manifest.next_file, FileEntry { meta, dead: BTreeSet::new() });
            manifest.next_file += 1;
            manifest.flushed_through = manifest.flushed_through.max(*seq_max);
        }
        manifest
    }

    fn check(slices: &[(i64, u64, u64, u64)], expected: Option<&[u64]>) {
        let found = pick(&manifest(slices));
        let files = found.map(|choice| choice.inputs.iter().map(|id| id.file).collect::<Vec<_>>());
        assert_eq!(files.as_deref(), expected, "{slices:?}");
    }

    /// Slices of one row number each, one after the other in sequence.
    fn equal(count: u64, rows: u64) -> Vec<(i64, u64, u64, u64)> {
        (1..=count).map(|seq| (0, seq, seq, rows)).collect()
    }

    #[test]
    fn picker_merges_tiers_of_neighbours() {
        check(&[], None);
        check(&equal(7, 10), None);
        check(&equal(8, 10), Some(&[1, 2, 3, 4, 5, 6, 7, 8]));
        // A large old slice stays out of the tier of its small neighbours.
        let mut tier = equal(9, 10);
        tier[0].3 = 1000;
        check(&tier, Some(&[2, 3, 4, 5, 6, 7, 8, 9]));
        // Files are listed in the order of their numbers, sequence decides who is a neighbour.
        let mut mixed = equal(8, 9);
        mixed.rotate_left(3);
        check(&mixed, Some(&[6, 7, 8, 1, 2, 3, 4, 5]));
        // Partitions do not mix.
        let apart: Vec<_> = (1..=12).map(|seq| (i64::from(seq > 6) * 100, seq, seq, 9)).collect();
        check(&apart[..11], Some(&[1, 2, 3, 4, 5, 6]));
    }

    #[test]
    fn quiet_partitions_become_one_slice() {
        // The later partition has numbers that are above all of the earlier one.
        check(&[(0, 1, 1, 9), (0, 2, 2, 9), (100, 3, 3, 9)], Some(&[1, 2]));
        // The same flush had rows for both, or a later one has: it may go on.
        check(&[(0, 1, 1, 9), (0, 2, 3, 9), (100, 2, 3, 9)], None);
        check(&[(0, 1, 1, 9), (100, 2, 2, 9), (0, 3, 3, 9)], None);
        // One slice is what it should be, and the latest partition is never quiet.
        check(&[(0, 1, 1, 9), (100, 2, 2, 9), (100, 3, 3, 9)], None);
        // A few late rows wait until there are more.
        check(&[(0, 1, 1, 1000), (0, 2, 2, 9), (100, 3, 3, 9)], None);
        check(&[(0, 1, 1, 1000), (0, 2, 2, 125), (100, 3, 3, 9)], Some(&[1, 2]));
    }

    #[test]
    fn picker_bounds_the_number_of_slices() {
        // Each slice is larger than all younger ones together, so no tier forms.
        let steep: Vec<_> = (1..22u64)
            .zip((1..22).rev())
            .map(|(seq, power)| (0, seq, seq, 3u64.pow(power)))
            .collect();
        check(&steep[..20], None);
        assert_eq!(pick(&manifest(&steep)).unwrap().inputs.len(), 21);
    }

    #[test]
    fn merges_never_skip_a_slice_in_between() {
        // proves: I12
        // The same times in partitions of two widths: 2 lies between 1 and 3 in sequence.
        let mut crossing = manifest(&[(0, 1, 1, 9), (-5, 2, 2, 9), (0, 3, 3, 9)]);
        assert_eq!(pick_all(&crossing), Vec::new());
        crossing.kill(SliceId { file: 2, slice: 0 });
        let choices = pick_all(&crossing);
        assert_eq!(choices.len(), 1);
        assert_eq!(choices[0].inputs.len(), 2);
    }
}
