//! Stores for the tests of this crate: one remembers rows as text, and can be told what to refuse; one
//! only counts, for requests of any size. No engines; `MemoryStore` is one.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};

use tsdb_core::storage::Resolution;
use tsdb_core::{
    Append, Catalogue, CatalogueChange, DeleteRequest, Epoch, Error, FieldSet, FieldSetRef,
    MemoryBudget, NamespaceId, Pool, Result, SeriesKey, SeriesRef, Ticket, WriteBatch,
};

/// What a [`Recorder`] does and has seen.
#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) catalogue: Arc<Catalogue>,
    pub(crate) epoch: u64,
    keys: HashMap<SeriesKey, u32>,
    sets: HashMap<FieldSet, u32>,
    /// Rows as `key field=value,... time`, in order.
    pub(crate) rows: Vec<String>,
    pub(crate) batches: usize,
    pub(crate) resolve_calls: usize,
    pub(crate) resolved_keys: usize,
    /// Field sets of more than one field are refused as one too many.
    pub(crate) refuses_wide_sets: bool,
    /// All field sets with this name are refused.
    pub(crate) refused_field: Option<&'static str>,
    /// Series of this measurement are refused.
    pub(crate) refused_measurement: Option<&'static str>,
    /// Calls of `append` before which the epoch ends.
    pub(crate) epochs_to_end: usize,
    /// Number of the call of `resolve` before which the epoch ends.
    pub(crate) epoch_ends_at_resolve: Option<usize>,
}

#[derive(Debug, Default)]
pub(crate) struct Recorder(Mutex<State>);

impl Recorder {
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    pub(crate) fn take_rows(&self) -> Vec<String> {
        std::mem::take(&mut self.state().rows)
    }
}

impl State {
    /// Ends the epoch: all series get other references.
    pub(crate) fn end_epoch(&mut self) {
        self.epoch += 1;
        // What was known gets other numbers, so that a stale one is noticed.
        let shift = u32::try_from(self.keys.len()).unwrap() + 1;
        self.keys.values_mut().for_each(|series| *series += shift);
    }

    fn render(&self, batch: &WriteBatch) -> Vec<String> {
        let keys: HashMap<u32, &SeriesKey> = self.keys.iter().map(|(k, n)| (*n, k)).collect();
        let sets: HashMap<u32, &FieldSet> = self.sets.iter().map(|(s, n)| (*n, s)).collect();
        let row = |row: tsdb_core::batch::Row<'_>| {
            let set = sets[&row.field_set.0];
            assert_eq!(set.len(), row.values.len(), "one value per field");
            let fields: Vec<String> =
                set.names().iter().zip(row.values).map(|(n, v)| format!("{n}={v:?}")).collect();
            format!("{} {} {}", keys[&row.series.0], fields.join(","), row.time)
        };
        batch.rows().map(row).collect()
    }
}

impl Append for Recorder {
    fn resolve(
        &self,
        _: NamespaceId,
        series: &[SeriesKey],
        field_sets: &[FieldSet],
    ) -> Result<Resolution> {
        let mut state = self.state();
        state.resolve_calls += 1;
        if state.epoch_ends_at_resolve == Some(state.resolve_calls) {
            state.end_epoch();
        }
        state.resolved_keys += series.len();
        let too_many = |what| Error::TooMany { what, count: 2, count_max: 1, remedy: "send fewer" };
        let mut given_series = Vec::new();
        let mut next = state.keys.values().max().map_or(0, |last| last + 1);
        for key in series {
            if state.refused_measurement == Some(key.measurement()) {
                given_series.push(Err(too_many("series")));
                continue;
            }
            let number = *state.keys.entry(key.clone()).or_insert(next);
            next = next.max(number + 1);
            given_series.push(Ok(SeriesRef(number)));
        }
        let mut given_sets = Vec::new();
        for set in field_sets {
            let is_refused = state.refused_field.is_some_and(|name| set.position(name).is_some());
            if is_refused || (state.refuses_wide_sets && set.len() > 1) {
                given_sets.push(Err(too_many("field sets")));
                continue;
            }
            let next = u32::try_from(state.sets.len()).unwrap();
            given_sets.push(Ok(FieldSetRef(*state.sets.entry(set.clone()).or_insert(next))));
        }
        Ok(Resolution { epoch: Epoch(state.epoch), series: given_series, field_sets: given_sets })
    }

    fn append(&self, batch: &WriteBatch) -> Result<Ticket> {
        let mut state = self.state();
        if state.epochs_to_end > 0 {
            state.epochs_to_end -= 1;
            state.end_epoch();
        }
        if batch.epoch().0 != state.epoch {
            return Err(Error::StaleEpoch { batch: batch.epoch().0, current: state.epoch });
        }
        let rows = state.render(batch);
        state.rows.extend(rows);
        state.batches += 1;
        Ok(Ticket::completed(state.batches as u64))
    }

    fn delete(&self, _: &DeleteRequest) -> Result<Ticket> {
        Err(Error::Closed)
    }

    fn change_catalogue(&self, change: &CatalogueChange) -> Result<Ticket> {
        let mut state = self.state();
        let mut catalogue = (*state.catalogue).clone();
        catalogue.apply(change)?;
        state.catalogue = Arc::new(catalogue);
        Ok(Ticket::completed(0))
    }

    fn catalogue(&self) -> Arc<Catalogue> {
        Arc::clone(&self.state().catalogue)
    }
}

/// Takes everything, counts it, and keeps nothing.
#[derive(Debug)]
pub(crate) struct Counter {
    budget: MemoryBudget,
    catalogue: Mutex<Arc<Catalogue>>,
    counts: Mutex<Counts>,
}

/// What a [`Counter`] has seen.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Counts {
    pub(crate) series: usize,
    pub(crate) rows: usize,
    pub(crate) resolve_calls: usize,
    /// Most keys of one call.
    pub(crate) keys_max: usize,
    /// Memory of the last batch, and what was taken of the pool of bodies meanwhile, in bytes.
    pub(crate) batch_bytes: usize,
    pub(crate) used_bytes: usize,
}

impl Counter {
    pub(crate) fn new(budget: &MemoryBudget) -> Counter {
        let budget = budget.clone();
        Counter { budget, catalogue: Mutex::default(), counts: Mutex::default() }
    }

    pub(crate) fn counts(&self) -> Counts {
        *self.counts.lock().unwrap()
    }
}

impl Append for Counter {
    fn resolve(
        &self,
        _: NamespaceId,
        series: &[SeriesKey],
        field_sets: &[FieldSet],
    ) -> Result<Resolution> {
        let mut counts = self.counts.lock().unwrap();
        let first = counts.series;
        counts.series += series.len();
        counts.resolve_calls += 1;
        counts.keys_max = counts.keys_max.max(series.len());
        let number = |n: usize| u32::try_from(n).unwrap();
        Ok(Resolution {
            epoch: Epoch(0),
            series: (first..counts.series).map(|n| Ok(SeriesRef(number(n)))).collect(),
            field_sets: (0..field_sets.len()).map(|n| Ok(FieldSetRef(number(n)))).collect(),
        })
    }

    fn append(&self, batch: &WriteBatch) -> Result<Ticket> {
        let mut counts = self.counts.lock().unwrap();
        assert!(batch.series().iter().all(|series| (series.0 as usize) < counts.series));
        counts.rows += batch.len();
        counts.batch_bytes = batch.bytes();
        counts.used_bytes = self.budget.used(Pool::Bodies);
        Ok(Ticket::completed(1))
    }

    fn delete(&self, _: &DeleteRequest) -> Result<Ticket> {
        Err(Error::Closed)
    }

    fn change_catalogue(&self, change: &CatalogueChange) -> Result<Ticket> {
        let mut catalogue = self.catalogue.lock().unwrap();
        let mut changed = (**catalogue).clone();
        changed.apply(change)?;
        *catalogue = Arc::new(changed);
        Ok(Ticket::completed(0))
    }

    fn catalogue(&self) -> Arc<Catalogue> {
        Arc::clone(&self.catalogue.lock().unwrap())
    }
}
