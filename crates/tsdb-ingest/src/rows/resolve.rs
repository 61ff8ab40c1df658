//! The end of parsing a request: asks the store for what is not known yet, once, and corrects the rows.

use std::collections::BTreeSet;

use tsdb_core::{Append, Epoch, FieldSet, FieldSetRef, NamespaceId, SeriesRef, WriteBatch};

use super::shapes::Target;
use super::{Patch, Rows, store_row};
use crate::Reason;

/// Whether the rows can be appended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Settled {
    /// All references are of one epoch.
    Ready,
    /// Cached references are of an epoch that has ended: everything is forgotten, the request has to be
    /// parsed again.
    EpochEnded,
}

type Refusable<T> = tsdb_core::Result<T>;

impl Rows {
    /// Resolves the series and field sets that the store did not know, and corrects the rows. Rows that
    /// the store refuses become refused lines of `input`.
    ///
    /// # Errors
    /// What the store says about the request as a whole.
    pub(crate) fn resolve(&mut self, store: &dyn Append, input: &[u8]) -> Refusable<Settled> {
        if self.pending_keys.is_empty() && self.pending_shapes.is_empty() {
            return Ok(Settled::Ready);
        }
        let namespace = self.batch.namespace();
        let shapes = self.pending_shapes.iter().filter_map(|id| self.shapes.get(*id));
        let sets: Vec<FieldSet> = shapes.filter_map(|shape| shape.set.clone()).collect();
        let resolution = store.resolve(namespace, &self.pending_keys, &sets)?;
        if self.is_over(resolution.epoch) {
            return Ok(Settled::EpochEnded);
        }
        let settled = self.settle_shapes(store, namespace, sets, resolution.field_sets)?;
        if settled == Settled::EpochEnded {
            return Ok(settled);
        }
        let mut series = resolution.series;
        series.resize_with(self.pending_keys.len(), || Err(too_few()));
        for (entry, given) in self.pending_entries.drain(..).zip(&series) {
            if let Some(entry) = entry {
                self.series.settle(entry, given.as_ref().ok().copied());
            }
        }
        self.correct_rows(input, &series);
        Ok(Settled::Ready)
    }

    /// Adopts `epoch`, or, if cached references are of another one, forgets everything.
    fn is_over(&mut self, epoch: Epoch) -> bool {
        if self.epoch.is_some_and(|known| known != epoch) {
            self.forget();
            return true;
        }
        self.epoch = Some(epoch);
        self.batch.set_epoch(epoch);
        false
    }

    fn settle_shapes(
        &mut self,
        store: &dyn Append,
        namespace: NamespaceId,
        sets: Vec<FieldSet>,
        mut given: Vec<Refusable<FieldSetRef>>,
    ) -> Refusable<Settled> {
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
            if self.is_over(resolution.epoch) {
                return Ok(Settled::EpochEnded);
            }
            let open = targets.iter_mut().filter(|target| **target == Target::Unknown);
            for (target, set) in open.zip(&to_split) {
                *target = split_target(set, &singles, &resolution.field_sets);
            }
        }
        for (id, target) in self.pending_shapes.iter().zip(targets) {
            if let Some(shape) = self.shapes.get_mut(*id) {
                shape.target = target;
            }
        }
        Ok(Settled::Ready)
    }

    /// Puts the references that came into the rows that wait for them.
    fn correct_rows(&mut self, input: &[u8], series: &[Refusable<SeriesRef>]) {
        let patches = std::mem::take(&mut self.patches);
        let is_simple =
            patches.iter().all(|p| p.shape.is_none()) && series.iter().all(Result::is_ok);
        if is_simple {
            let rows = self.batch.series_mut();
            for patch in &patches {
                let given =
                    patch.series.and_then(|place| series.get(place as usize)?.as_ref().ok());
                if let (Some(row), Some(given)) = (rows.get_mut(patch.row), given) {
                    *row = *given;
                }
            }
        } else {
            self.rebuild(input, &patches, series);
        }
    }

    /// The slow way, for the first rows of a shape and for rows that the store refuses: copies all rows.
    fn rebuild(&mut self, input: &[u8], patches: &[Patch], series: &[Refusable<SeriesRef>]) {
        let empty = WriteBatch::new(self.batch.namespace(), self.batch.epoch());
        let old = std::mem::replace(&mut self.batch, empty);
        let mut patches = patches.iter().peekable();
        // A split row is several rows of one line; the line is refused once.
        let mut refused_line = None;
        for (index, row) in old.rows().enumerate() {
            let patch = patches.next_if(|patch| patch.row == index);
            let shape = patch.and_then(|p| p.shape).and_then(|id| self.shapes.get(id));
            let known = Target::Set(row.field_set);
            let target = shape.map_or(&known, |shape| &shape.target);
            let given = match patch.and_then(|p| p.series) {
                None => Ok(row.series),
                Some(place) => {
                    series.get(place as usize).cloned().unwrap_or_else(|| Err(too_few()))
                }
            };
            let stored = given
                .map_err(Reason::Store)
                .and_then(|key| store_row(&mut self.batch, key, row.time, target, row.values));
            if let (Err(reason), Some(patch)) = (stored, patch)
                && refused_line != Some(patch.origin.line)
            {
                refused_line = Some(patch.origin.line);
                self.row_count = self.row_count.saturating_sub(1);
                self.rejects.add(input, patch.origin, patch.origin.start, reason);
            }
        }
    }
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
