//! The step that merges: chooses, checks that there is room, writes one run for merges of one or more partitions, and
//! puts it in their place.

use std::sync::Arc;
use tsdb_core::sync::atomic::Ordering;

use tsdb_core::{Pool, Reservation};

use super::Shared;
use crate::compaction::worker::{MergeInput, buffer_bytes, merge};
use crate::compaction::{Choice, due_bytes, pick, pick_all};
use crate::delete::LiveDelete;
use crate::error::Result;
use crate::manifest::{Manifest, SliceId};
use crate::pace::Writing;
use crate::view::{SliceRef, View};

impl Shared {
    pub(crate) fn compact_one(&self) -> Result<bool> {
        let _guard = self.compaction_lock.lock();
        let view = self.view.load_full();
        let manifest = &view.version.manifest;
        self.pace.set_due(due_bytes(manifest));
        let choices = pick(manifest);
        if choices.is_empty() {
            return Ok(false);
        }
        // The output stands beside the inputs until they go. Where there is no room for that, a merge
        // would only fill the disk and fail; what else frees space goes on.
        let inputs = choices.iter().flat_map(|choice| &choice.inputs);
        if !self.disk.has_room_for(inputs.map(|id| manifest.bytes_of(*id)).sum()) {
            self.counters.compactions_put_off.add(1);
            return Ok(false);
        }
        let Ok(memory) = self.options.budget.reserve(Pool::Compaction, buffers_of(&view, &choices))
        else {
            self.counters.compactions_put_off.add(1);
            return Ok(false);
        };
        drop(view);
        let pace = Writing::Merge(Arc::clone(&self.pace), Arc::clone(&self.counters));
        self.merge(&choices, memory, pace)?;
        Ok(true)
    }

    pub(super) fn compact_all(&self) -> Result<()> {
        let _guard = self.compaction_lock.lock();
        let groups = pick_all(&self.view.load().version.manifest);
        groups.iter().try_for_each(|choices| {
            let memory = buffers_of(&self.view.load(), choices);
            // Somebody asked for it and waits.
            let memory = self.options.budget.reserve_anyway(Pool::Compaction, memory);
            self.merge(choices, memory, Writing::Freely)
        })
    }

    fn merge(&self, choices: &[Choice], memory: Reservation, writing: Writing) -> Result<()> {
        let result = self.try_merge(choices, memory, writing);
        if result.is_err() {
            self.counters.compaction_errors.add(1);
        } else {
            self.counters.compactions.add(1);
        }
        result
    }

    fn try_merge(&self, choices: &[Choice], memory: Reservation, writing: Writing) -> Result<()> {
        let view = self.view.load_full();
        let inputs: Option<Vec<MergeInput<'_>>> =
            choices.iter().map(|choice| input_of(&view, choice)).collect();
        let Some(inputs) = inputs else { return Ok(()) };
        let mut context = self.context();
        context.writing = writing;
        let file = self.next_file.fetch_add(1, Ordering::Relaxed);
        let merged = merge(&context, file, &inputs, memory)?;
        let opened = self.open_runs(&context, merged.into_iter().collect())?;
        let still_live = |manifest: &Manifest, id: &SliceId| {
            manifest.files.get(&id.file).is_some_and(|file| !file.dead.contains(&id.slice))
        };
        let merged = || choices.iter().flat_map(|choice| &choice.inputs);
        self.edit(
            opened,
            |manifest, _| {
                // Retention or a DROP may have taken an input meanwhile; then the output is stale.
                if !merged().all(|id| still_live(manifest, id)) {
                    return false;
                }
                merged().for_each(|id| manifest.kill(*id));
                true
            },
            |_| {},
        )
        .map(|_| ())
    }
}

/// Memory of the buffers of merges that are carried out one after the other.
fn buffers_of(view: &View, choices: &[Choice]) -> usize {
    choices.iter().map(|choice| buffer_bytes(&slices_of(view, choice))).max().unwrap_or(0)
}

/// What a merge reads; `None` if some of it is gone.
fn input_of<'a>(view: &View, choice: &'a Choice) -> Option<MergeInput<'a>> {
    let manifest = &view.version.manifest;
    let slices = slices_of(view, choice);
    if slices.len() != choice.inputs.len() {
        return None;
    }
    let deletes: Vec<Arc<LiveDelete>> = view
        .deletes
        .iter()
        .filter(|d| d.request.namespace == choice.namespace)
        .filter(|d| d.seq <= manifest.flushed_through)
        .cloned()
        .collect();
    Some(MergeInput {
        choice,
        seq_max: merged_seq_max(manifest, choice, &deletes),
        slices,
        deletes,
        cutoff: manifest.catalogue.by_id(choice.namespace).map_or(i64::MIN, |n| n.cutoff),
        is_last: choice.is_last,
    })
}

/// The slices that are still there of those to be merged, newest first.
fn slices_of(view: &View, choice: &Choice) -> Vec<SliceRef> {
    choice.inputs.iter().rev().filter_map(|id| view.version.slice(*id)).collect()
}

/// Number up to which a merged slice stands for its partition. Raised to the deletes that the merge
/// applies, so that they need not be kept for it; never into the range of a younger slice.
fn merged_seq_max(manifest: &Manifest, choice: &Choice, deletes: &[Arc<LiveDelete>]) -> u64 {
    let metas = || manifest.slices().filter(|(id, _)| choice.inputs.contains(id));
    let own = metas().map(|(_, meta)| meta.seq_max).max().unwrap_or(0);
    let younger = manifest
        .slices()
        .filter(|(id, meta)| {
            meta.namespace == choice.namespace && !choice.inputs.contains(id) && meta.seq_min > own
        })
        .map(|(_, meta)| meta.seq_min - 1)
        .min();
    let applied = deletes.iter().map(|delete| delete.seq).max().unwrap_or(own);
    applied.min(younger.unwrap_or(u64::MAX)).max(own)
}
