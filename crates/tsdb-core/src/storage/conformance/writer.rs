//! [`Writer`]: plays ingestion's part. It keeps references as a parser's cache does, for as long as their
//! epoch lasts, and resolves again when the store says so. No retries of anything else.

use std::collections::BTreeMap;

use super::script::RowSpec;
use super::{Violation, ensure};
use crate::storage::Append;
use crate::{
    Epoch, Error, FieldSet, FieldSetRef, NamespaceId, SeriesKey, SeriesRef, Ticket, WriteBatch,
};

/// How often references may turn out stale in a row.
const ATTEMPTS: usize = 16;

/// References and the epoch that they are from.
#[derive(Debug, Default)]
pub struct Writer {
    epoch: Option<Epoch>,
    series: BTreeMap<(NamespaceId, SeriesKey), SeriesRef>,
    field_sets: BTreeMap<FieldSet, FieldSetRef>,
}

impl Writer {
    /// A writer that knows no reference.
    pub fn new() -> Writer {
        Writer::default()
    }

    /// Forgets all references: what a new process does.
    pub fn forget(&mut self) {
        *self = Writer::default();
    }

    /// Appends `rows` as one batch. The outer error is a store that breaks its word, the inner one a
    /// refusal.
    ///
    /// # Errors
    /// References that stay stale, an answer that does not fit the question.
    pub fn append(
        &mut self,
        store: &dyn Append,
        namespace: NamespaceId,
        rows: &[RowSpec],
    ) -> Result<crate::Result<Ticket>, Violation> {
        for _ in 0..ATTEMPTS {
            let batch = match self.batch(store, namespace, rows)? {
                Ok(batch) => batch,
                Err(error) => return Ok(Err(error)),
            };
            match store.append(&batch) {
                Err(Error::StaleEpoch { batch, current }) => {
                    ensure(batch != current, || format!("epoch {batch} is stale and current"))?;
                    self.forget();
                }
                outcome => return Ok(outcome),
            }
        }
        Err(Violation::new(format!("references were stale {ATTEMPTS} times in a row")))
    }

    /// The batch of `rows`, resolved in one epoch. The inner error is a refusal of the store.
    ///
    /// # Errors
    /// An answer that does not fit the question.
    pub fn batch(
        &mut self,
        store: &dyn Append,
        namespace: NamespaceId,
        rows: &[RowSpec],
    ) -> Result<crate::Result<WriteBatch>, Violation> {
        for _ in 0..ATTEMPTS {
            let resolved = match self.resolve_missing(store, namespace, rows)? {
                Ok(resolved) => resolved,
                Err(error) => return Ok(Err(error)),
            };
            if resolved {
                return self.fill(namespace, rows).map(Ok);
            }
        }
        Err(Violation::new(format!("the epoch ended {ATTEMPTS} times in a row")))
    }

    /// Resolves what is not known; false when that found another epoch and all must be asked again.
    fn resolve_missing(
        &mut self,
        store: &dyn Append,
        namespace: NamespaceId,
        rows: &[RowSpec],
    ) -> Result<crate::Result<bool>, Violation> {
        let mut keys: Vec<SeriesKey> = rows.iter().map(|row| row.series.clone()).collect();
        keys.sort();
        keys.dedup();
        keys.retain(|key| !self.series.contains_key(&(namespace, key.clone())));
        let mut sets: Vec<FieldSet> =
            rows.iter().map(RowSpec::field_set).collect::<Result<_, _>>()?;
        sets.sort();
        sets.dedup();
        sets.retain(|set| !self.field_sets.contains_key(set));
        if keys.is_empty() && sets.is_empty() && self.epoch.is_some() {
            return Ok(Ok(true));
        }
        let resolution = match store.resolve(namespace, &keys, &sets) {
            Ok(resolution) => resolution,
            Err(error) => return Ok(Err(error)),
        };
        let counts = (resolution.series.len(), resolution.field_sets.len());
        ensure(counts == (keys.len(), sets.len()), || {
            format!("resolve gave {counts:?} answers for {} keys, {} sets", keys.len(), sets.len())
        })?;
        if self.epoch.is_some_and(|epoch| epoch != resolution.epoch) {
            self.forget();
            return Ok(Ok(false));
        }
        self.epoch = Some(resolution.epoch);
        for (key, found) in keys.into_iter().zip(resolution.series) {
            self.series.insert((namespace, key), found?);
        }
        for (set, found) in sets.into_iter().zip(resolution.field_sets) {
            self.field_sets.insert(set, found?);
        }
        Ok(Ok(true))
    }

    fn fill(&self, namespace: NamespaceId, rows: &[RowSpec]) -> Result<WriteBatch, Violation> {
        let unknown = || Violation::new("a key that was resolved is not known");
        let mut batch = WriteBatch::new(namespace, self.epoch.ok_or_else(unknown)?);
        for row in rows {
            let series = self.series.get(&(namespace, row.series.clone())).ok_or_else(unknown)?;
            let set = self.field_sets.get(&row.field_set()?).ok_or_else(unknown)?;
            let values: Vec<f64> =
                row.fields.iter().map(|(_, bits)| f64::from_bits(*bits)).collect();
            batch.push(*series, row.time, *set, &values)?;
        }
        Ok(batch)
    }
}
