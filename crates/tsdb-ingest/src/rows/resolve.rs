//! The end of a portion, and of a request: asks the store for what is not known yet, and moves the rows
//! that waited to the batch.

use std::collections::BTreeSet;
use std::sync::Arc;

use tsdb_core::{Append, Epoch, FieldSet, FieldSetRef, NamespaceId, SeriesRef};

use super::shapes::Target;
use super::{Patch, Refusal, Rows};
use crate::Reason;

type Refusable<T> = tsdb_core::Result<T>;

impl Rows {
    /// Resolves the series and field sets that the store did not know, and moves the rows that waited for
    /// them to the batch. Rows that the store refuses become refused lines of `input`.
    ///
    /// # Errors
    /// [`tsdb_core::Error::StaleEpoch`] if references of the batch or the cache are of an epoch that has
    /// ended: the request has to be parsed again, after [`Rows::forget`]. No memory for the request, and
    /// what the store says about it as a whole.
    pub(crate) fn resolve(&mut self, input: &[u8]) -> Refusable<()> {
        let Some(store) = self.store.clone() else { return Ok(()) };
        if self.pending_keys.is_empty() && self.pending_shapes.is_empty() {
            debug_assert!(self.open.batch().is_empty(), "the first open row waits for something");
            return Ok(());
        }
        // What was pending has another handle from here on.
        self.draft_series = None;
        let namespace = self.batch().namespace();
        let shapes = self.pending_shapes.iter().filter_map(|id| self.shapes.get(*id));
        let sets: Vec<FieldSet> = shapes.filter_map(|shape| shape.set.clone()).collect();
        let resolution = store.resolve(namespace, &self.pending_keys, &sets)?;
        self.adopt(resolution.epoch)?;
        self.settle_shapes(&store, namespace, sets, resolution.field_sets)?;
        let mut series = resolution.series;
        series.resize_with(self.pending_keys.len(), || Err(too_few()));
        self.pending_keys.clear();
        for (entry, given) in self.pending_entries.drain(..).zip(&series) {
            if let Some(entry) = entry {
                self.series.settle(entry, given.as_ref().ok().copied());
            }
        }
        self.move_rows(input, &series)?;
        drop(series);
        self.memory.give(std::mem::take(&mut self.pending_bytes));
        Ok(())
    }

    /// Makes `epoch` that of the request, unless it has another one already.
    fn adopt(&mut self, epoch: Epoch) -> Refusable<()> {
        if let Some(known) = self.epoch.filter(|known| *known != epoch) {
            return Err(tsdb_core::Error::StaleEpoch { batch: known.0, current: epoch.0 });
        }
        self.epoch = Some(epoch);
        self.settled.set_epoch(epoch);
        self.open.set_epoch(epoch);
        Ok(())
    }

    fn settle_shapes(
        &mut self,
        store: &Arc<dyn Append>,
        namespace: NamespaceId,
        sets: Vec<FieldSet>,
        mut given: Vec<Refusable<FieldSetRef>>,
    ) -> Refusable<()> {
        given.resize_with(sets.len(), || Err(too_few()));
        let mut targets = Vec::with_capacity(sets.len());
        let mut to_split: Vec<FieldSet> = Vec::new();
        for (set, given) in sets.into_iter().zip(given) {
            targets.push(match given {
                Ok(set) => Target::Set(set),
                Err(tsdb_core::Error::TooMany { .. }) if set.len() > 1 => {
                    to_split.push(set);
                    Target::Unknown
                }
                Err(error) => Target::Refused(error),
            });
        }
        if !to_split.is_empty() {
            let singles = single_sets(&to_split)?;
            let resolution = store.resolve(namespace, &[], &singles)?;
            self.adopt(resolution.epoch)?;
            let open = targets.iter_mut().filter(|target| **target == Target::Unknown);
            for (target, set) in open.zip(&to_split) {
                *target = split_target(set, &singles, &resolution.field_sets);
            }
        }
        for (id, target) in self.pending_shapes.drain(..).zip(targets) {
            if matches!(target, Target::Refused(_)) {
                self.refused_shapes.push(id);
            }
            if let Some(shape) = self.shapes.get_mut(id) {
                shape.is_queued = false;
                shape.target = target;
            }
        }
        Ok(())
    }

    /// Moves the rows of the open portion to the batch, with the references that came.
    fn move_rows(&mut self, input: &[u8], series: &[Refusable<SeriesRef>]) -> Refusable<()> {
        let mut patches = self.patches.iter().peekable();
        // A split row is several rows of the portion; it is refused once.
        let mut is_refused = false;
        for (index, row) in (0u32..).zip(self.open.batch().rows()) {
            let patch = patches.next_if(|patch| patch.row == index);
            if patch.is_none_or(|patch| patch.part == 0) {
                is_refused = false;
            }
            let shape = patch.and_then(|p| p.shape).and_then(|id| self.shapes.get(id));
            let moved = given_series(row.series, patch, series).and_then(|key| {
                let memory = &mut self.memory;
                match shape {
                    None => {
                        self.settled.push_known(memory, key, row.time, row.field_set, row.values)
                    }
                    Some(shape) => {
                        self.settled.push(memory, key, row.time, &shape.target, row.values)
                    }
                }
            });
            let reason = match moved {
                Ok(()) => continue,
                Err(Refusal::Request(error)) => return Err(error),
                Err(Refusal::Row(reason)) => reason,
            };
            if let Some(patch) = patch
                && !is_refused
            {
                is_refused = true;
                self.row_count = self.row_count.saturating_sub(1);
                self.rejects.add(input, patch.origin, patch.origin.start, reason);
            }
        }
        let (namespace, epoch) = (self.open.batch().namespace(), self.open.batch().epoch());
        self.open.reset(namespace, epoch);
        self.open_bytes = 0;
        self.patches.clear();
        Ok(())
    }
}

/// The reference of a row: what the store gave for it, if it waited, or what it has.
fn given_series(
    known: SeriesRef,
    patch: Option<&Patch>,
    given: &[Refusable<SeriesRef>],
) -> Result<SeriesRef, Refusal> {
    let Some(place) = patch.and_then(|patch| patch.series) else { return Ok(known) };
    let given = given.get(place as usize).cloned().unwrap_or_else(|| Err(too_few()));
    given.map_err(|error| Refusal::Row(Reason::Store(error)))
}

/// The distinct sets of one field each that `sets` fall apart into, in order.
fn single_sets(sets: &[FieldSet]) -> Refusable<Vec<FieldSet>> {
    let names: BTreeSet<_> = sets.iter().flat_map(FieldSet::names).collect();
    names.into_iter().map(|name| FieldSet::from_sorted(vec![name.clone()])).collect()
}

/// The sets of one field each for `set`; `singles` and `given` belong together, sorted by name.
fn split_target(set: &FieldSet, singles: &[FieldSet], given: &[Refusable<FieldSetRef>]) -> Target {
    let mut parts = Vec::with_capacity(set.len());
    for name in set.names() {
        let place = singles.binary_search_by(|single| single.names().first().cmp(&Some(name)));
        match place.ok().and_then(|place| given.get(place)) {
            Some(Ok(part)) => parts.push(*part),
            Some(Err(error)) => return Target::Refused(error.clone()),
            None => return Target::Refused(too_few()),
        }
    }
    Target::Split(parts.into())
}

/// A store that answers fewer keys than it was asked for breaks its contract; the rows are refused.
fn too_few() -> tsdb_core::Error {
    tsdb_core::Error::Invalid {
        what: "the store resolved fewer keys than it was asked for: report this as a fault"
            .to_owned(),
    }
}
