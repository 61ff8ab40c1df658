//! Which slices to merge: a pure function from a manifest to a choice.
//!
//! Tiered by size: the youngest slices of a partition are merged once enough of similar size stand side
//! by side. Only neighbours in sequence are merged, so the order of writes survives.

mod joiner;
pub(crate) mod worker;

use tsdb_core::NamespaceId;
use tsdb_core::planted::{Planted, is_planted};

use crate::manifest::{Manifest, SliceId};
use crate::sst::SliceMeta;

/// Slices of similar size that make a merge worth while. Smaller writes values more often, larger makes
/// queries look at more runs.
const FAN_IN: usize = 4;

/// A slice belongs to the same tier as the younger ones beside it while it has at most this many times
/// the rows that they have together.
const TIER_FACTOR: u64 = 2;

/// Most slices of one partition before it is merged whatever the sizes are.
const SLICES_MAX: usize = 12;

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
    let mut best: Option<Choice> = None;
    for ((namespace, partition_start), slices) in manifest.partitions() {
        let inputs = due(&slices);
        if inputs.len() < 2 || best.as_ref().is_some_and(|b| b.inputs.len() >= inputs.len()) {
            continue;
        }
        if is_closed(manifest, namespace, inputs) {
            let mut inputs: Vec<SliceId> = inputs.iter().map(|(id, _)| *id).collect();
            if inputs.len() > 2 && is_planted(Planted::MergeSkipsNeighbour) {
                inputs.remove(1);
            }
            best = Some(Choice { namespace, partition_start, inputs, is_last: false });
        }
    }
    best
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

    #[test]
    fn picker_merges_tiers_of_neighbours() {
        check(&[], None);
        check(&[(0, 1, 1, 10), (0, 2, 2, 10), (0, 3, 3, 10)], None);
        check(&[(0, 1, 1, 10), (0, 2, 2, 10), (0, 3, 3, 10), (0, 4, 4, 10)], Some(&[1, 2, 3, 4]));
        // A large old slice stays out of the tier of its small neighbours.
        let tier = [(0, 1, 1, 1000), (0, 2, 2, 10), (0, 3, 3, 10), (0, 4, 4, 10), (0, 5, 5, 10)];
        check(&tier, Some(&[2, 3, 4, 5]));
        // Files are listed in the order of their numbers, sequence decides who is a neighbour.
        check(&[(0, 7, 8, 9), (0, 1, 2, 9), (0, 3, 4, 9), (0, 5, 6, 9)], Some(&[2, 3, 4, 1]));
        // Partitions do not mix.
        check(&[(0, 1, 1, 9), (0, 2, 2, 9), (100, 3, 3, 9), (100, 4, 4, 9)], None);
    }

    #[test]
    fn picker_bounds_the_number_of_slices() {
        // Each slice is larger than all younger ones together, so no tier forms.
        let steep: Vec<_> = (1..14u64)
            .zip((1..14).rev())
            .map(|(seq, power)| (0, seq, seq, 4u64.pow(power)))
            .collect();
        check(&steep[..12], None);
        assert_eq!(pick(&manifest(&steep)).unwrap().inputs.len(), 13);
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
