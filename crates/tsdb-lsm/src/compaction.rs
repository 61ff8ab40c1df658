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

/// Bytes of the inputs of merges that are written to one run together, at most.
const TOGETHER_BYTES: u64 = 8 << 20;

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

/// The most useful merge that is due, that of the most slices, and with it those of neighbouring partitions that can be
/// written to the same run; nothing if none is due.
pub(crate) fn pick(manifest: &Manifest) -> Vec<Choice> {
    let partitions = manifest.partitions();
    let busy = newest_numbers(&partitions);
    let mut choices = Vec::new();
    for ((namespace, partition_start), slices) in &partitions {
        let is_quiet = is_quiet(slices, *partition_start, busy.get(namespace).copied());
        let (inputs, is_last) = inputs_of(slices, is_quiet);
        if !inputs.is_empty() {
            let inputs: Vec<SliceId> = inputs.iter().map(|(id, _)| *id).collect();
            let (namespace, partition_start) = (*namespace, *partition_start);
            choices.push(Choice { namespace, partition_start, inputs, is_last });
        }
    }
    let mut groups = together(manifest, choices);
    groups.sort_by_key(|group| std::cmp::Reverse(group.iter().map(|c| c.inputs.len()).max()));
    let closed = |mut group: Vec<Choice>| {
        group.retain(|choice| is_closed(manifest, choice));
        if is_planted(Planted::MergeSkipsNeighbour) {
            let long = group.iter_mut().filter(|choice| choice.inputs.len() > 2);
            long.for_each(|choice| _ = choice.inputs.remove(1));
        }
        (!group.is_empty()).then_some(group)
    };
    groups.into_iter().find_map(closed).unwrap_or_default()
}

/// Puts merges of neighbouring partitions together that have few bytes each: the run that each would make costs a file,
/// two syncs and an edit of the manifest whatever is in it, and a backfill over ten years has thousands. Neighbours in time
/// expire together.
fn together(manifest: &Manifest, choices: Vec<Choice>) -> Vec<Vec<Choice>> {
    let sizes = FileSizes::of(manifest);
    let mut groups: Vec<Vec<Choice>> = Vec::new();
    let mut group_bytes = 0u64;
    for choice in choices {
        let bytes: u64 = choice.inputs.iter().map(|id| sizes.bytes_of(*id)).sum();
        match groups.last_mut().filter(|_| group_bytes + bytes <= TOGETHER_BYTES) {
            Some(group) => {
                group_bytes += bytes;
                group.push(choice);
            }
            None => {
                group_bytes = bytes;
                groups.push(vec![choice]);
            }
        }
    }
    groups
}

/// How many bytes slices have, about, for many of them: files may have thousands.
struct FileSizes<'a> {
    manifest: &'a Manifest,
    /// By file the rows of all its slices.
    rows: BTreeMap<u64, u64>,
}

impl FileSizes<'_> {
    fn of(manifest: &Manifest) -> FileSizes<'_> {
        let rows = manifest.files.iter().map(|(file, entry)| (*file, entry.rows()));
        FileSizes { manifest, rows: rows.collect() }
    }

    /// As [`Manifest::bytes_of`], in O(log files).
    fn bytes_of(&self, id: SliceId) -> u64 {
        let rows = self.rows.get(&id.file).copied().unwrap_or(0);
        self.manifest.files.get(&id.file).map_or(0, |entry| entry.bytes_of(id.slice, rows))
    }
}

/// Bytes of all slices that are to be merged now, one merge after the other.
pub(crate) fn due_bytes(manifest: &Manifest) -> u64 {
    let partitions = manifest.partitions();
    let busy = newest_numbers(&partitions);
    let inputs = partitions.iter().flat_map(|((namespace, start), slices)| {
        inputs_of(slices, is_quiet(slices, *start, busy.get(namespace).copied())).0
    });
    let sizes = FileSizes::of(manifest);
    inputs.map(|(id, _)| sizes.bytes_of(*id)).sum()
}

/// The slices of a partition that are to be merged, if they are more than one, and whether that is its last merge.
fn inputs_of<'a>(slices: &'a [(SliceId, &'a SliceMeta)], is_quiet: bool) -> (Slices<'a>, bool) {
    let (inputs, is_last) = match is_quiet && is_worth_it(slices) {
        true => (slices, true),
        false => (due(slices), false),
    };
    if inputs.len() < 2 { (&[], is_last) } else { (inputs, is_last) }
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
/// applies to; those that can be written to one run together.
pub(crate) fn pick_all(manifest: &Manifest) -> Vec<Vec<Choice>> {
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
        if due {
            let inputs = slices.iter().map(|(id, _)| *id).collect();
            choices.push(Choice { namespace, partition_start, inputs, is_last: true });
        }
    }
    choices.retain(|choice| is_closed(manifest, choice));
    together(manifest, choices)
}

/// Whether no other slice of the namespace has rows in the same times with numbers in between. It can
/// only have some after the width of partitions was changed twice.
fn is_closed(manifest: &Manifest, choice: &Choice) -> bool {
    let meta = |id: &SliceId| manifest.files.get(&id.file)?.meta.slices.get(id.slice as usize);
    let metas = || choice.inputs.iter().filter_map(meta);
    let (Some(first), Some(last)) = (metas().next(), metas().next_back()) else { return false };
    let t_min = metas().map(|meta| meta.t_min).min().unwrap_or(i64::MAX);
    let t_max = metas().map(|meta| meta.t_max).max().unwrap_or(i64::MIN);
    manifest.slices().all(|(id, meta)| {
        meta.namespace != choice.namespace
            || meta.seq_max < first.seq_min
            || meta.seq_min > last.seq_max
            || meta.t_max < t_min
            || meta.t_min > t_max
            || choice.inputs.contains(&id)
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
        let best = found.first().map(|choice| choice.inputs.iter().map(|id| id.file));
        assert_eq!(best.map(Iterator::collect::<Vec<_>>).as_deref(), expected, "{slices:?}");
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
        assert_eq!(pick(&manifest(&steep))[0].inputs.len(), 21);
    }

    #[test]
    fn merges_never_skip_a_slice_in_between() {
        // proves: I12
        // The same times in partitions of two widths: 2 lies between 1 and 3 in sequence.
        let mut crossing = manifest(&[(0, 1, 1, 9), (-5, 2, 2, 9), (0, 3, 3, 9)]);
        assert_eq!(pick_all(&crossing), Vec::<Vec<Choice>>::new());
        crossing.kill(SliceId { file: 2, slice: 0 });
        let choices = pick_all(&crossing).concat();
        assert_eq!(choices.len(), 1);
        assert_eq!(choices[0].inputs.len(), 2);
    }

    #[test]
    fn small_merges_of_neighbouring_partitions_make_one_run() {
        // A hundred days with eight slices of a MiB each, one of them with more than goes together with others.
        let day = |day: i64| (1..=8).map(move |seq| (day * 100, seq, seq, 9));
        let slices: Vec<_> = (0..100).flat_map(day).collect();
        let mut all = manifest(&slices);
        for (place, file) in all.files.values_mut().enumerate() {
            file.meta.bytes = if place / 8 == 50 { 20 << 20 } else { 100 << 10 };
        }
        let choices = pick_all(&all);
        assert_eq!(choices.concat().len(), 100, "each day once");
        for group in &choices {
            let bytes: u64 = group.iter().flat_map(|c| &c.inputs).map(|id| all.bytes_of(*id)).sum();
            assert!(group.len() == 1 || bytes <= TOGETHER_BYTES);
            assert!(group.is_sorted_by_key(|choice| choice.partition_start));
        }
        assert_eq!(choices.len(), 5 + 1 + 5, "ten days each, and the large one");
        let inputs = |group: &[Choice]| group.iter().map(|c| c.inputs.clone()).collect::<Vec<_>>();
        assert_eq!(inputs(&pick(&all)), inputs(&choices[0]));
        // The merge of the most slices comes first, with its neighbours.
        let mut more = slices;
        more.extend((9..12).map(|seq| (7000, seq, seq, 9)));
        let mut more = manifest(&more);
        more.files.values_mut().for_each(|file| file.meta.bytes = 100 << 10);
        assert!(pick(&more).iter().any(|choice| choice.partition_start == 7000));
    }
}
