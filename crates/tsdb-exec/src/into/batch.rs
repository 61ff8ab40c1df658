//! The rows that SELECT … INTO has made and not stored yet, and how they are stored: in batches of bounded size, each
//! whole or not at all, and what becomes of rows that the store refuses.

use std::collections::BTreeMap;
use std::sync::Arc;

use tsdb_core::catalogue::NamespaceInfo;
use tsdb_core::storage::Resolution;
use tsdb_core::{
    Append, Error as CoreError, FieldSet, NamespaceId, SeriesKey, Ticket, WriteBatch, time,
};

use crate::Result;
use crate::context::QueryContext;
use crate::memory::Charge;

/// Most rows of a batch; InfluxDB's number. A statement that is ended has written whole batches.
const ROWS_MAX: usize = 10_000;
/// Most values of a batch: rows of many fields are large.
const VALUES_MAX: usize = 1 << 17;
/// Times that a batch is resolved again before giving up; each end of an epoch is rare and quick.
const ATTEMPTS: usize = 8;

/// What became of the rows.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    /// Rows that are stored.
    pub(super) written: u64,
    /// Rows that were refused.
    pub(super) dropped: u64,
    /// Why the first of them was.
    pub(super) reason: Option<String>,
}

/// One row: places of its series and its fields, its time, and where its values end.
#[derive(Debug, Clone, Copy)]
struct Row {
    series: usize,
    set: usize,
    time: i64,
    values_end: usize,
    /// Whether it is the last part of a row of the answer.
    counts: bool,
}

/// Rows that wait to be stored.
pub(super) struct Batch<'b> {
    context: &'b QueryContext<'b>,
    store: &'b dyn Append,
    namespace: NamespaceId,
    /// Earlier rows would expire at once.
    cutoff: i64,
    series: Vec<SeriesKey>,
    sets: Vec<FieldSet>,
    /// Of the open table: sets by which columns have a value.
    shapes: BTreeMap<Vec<bool>, usize>,
    rows: Vec<Row>,
    values: Vec<f64>,
    charge: Charge,
    charged: usize,
    outcome: Outcome,
}

impl Outcome {
    /// Counts rows that are not stored.
    fn drop(&mut self, count: u64, reason: String) {
        self.dropped += count;
        self.reason.get_or_insert(reason);
    }
}

impl<'b> Batch<'b> {
    /// Nothing yet.
    pub(super) fn new(
        context: &'b QueryContext<'b>,
        namespace: &NamespaceInfo,
        store: &'b dyn Append,
    ) -> Batch<'b> {
        let expired = namespace
            .retention_ns
            .map_or(time::MIN_TIME, |retention_ns| context.now_ns.saturating_sub(retention_ns));
        Batch {
            context,
            store,
            namespace: namespace.id,
            cutoff: namespace.cutoff.max(expired),
            series: Vec::new(),
            sets: Vec::new(),
            shapes: BTreeMap::new(),
            rows: Vec::new(),
            values: Vec::new(),
            charge: context.memory.charge(),
            charged: 0,
            outcome: Outcome::default(),
        }
    }

    /// Takes a row of the series `key`, with one entry of `values` per name, of which at least one is there; `names` are
    /// sorted. Stores what has come so far when that is enough for a batch.
    ///
    /// # Errors
    /// As [`Batch::flush`]; no memory for the row.
    pub(super) fn push(
        &mut self,
        key: &tsdb_core::Result<SeriesKey>,
        at: i64,
        names: &[&Arc<str>],
        values: &[Option<f64>],
    ) -> Result<()> {
        let key = match self.storable(key, at) {
            Ok(key) => key,
            Err(reason) => {
                self.outcome.drop(1, reason);
                return Ok(());
            }
        };
        if self.rows.len() >= ROWS_MAX
            || self.values.len().saturating_add(values.len()) > VALUES_MAX
        {
            self.flush()?;
        }
        let set = self.set(names, values)?;
        if self.series.last() != Some(key) {
            self.pay(key.as_str().len() + size_of::<SeriesKey>())?;
            self.series.push(key.clone());
        }
        // What the batch that is made of it takes counts too.
        self.pay(2 * (size_of::<Row>() + size_of_val(values)))?;
        self.values.extend(values.iter().flatten());
        let series = self.series.len() - 1;
        self.rows.push(Row { series, set, time: at, values_end: self.values.len(), counts: true });
        Ok(())
    }

    /// Says that the next row has other columns.
    pub(super) fn end_of_table(&mut self) {
        self.shapes.clear();
    }

    /// Stores the rows that wait, and waits until they are visible.
    ///
    /// # Errors
    /// A token that was used, a store that takes no rows; none of these rows is stored then.
    pub(super) fn flush(&mut self) -> Result<()> {
        self.context.cancel.check()?;
        if !self.rows.is_empty() {
            self.store_rows()?;
        }
        self.series.clear();
        self.sets.clear();
        self.shapes.clear();
        self.rows.clear();
        self.values.clear();
        self.charge.give_back(std::mem::take(&mut self.charged));
        Ok(())
    }

    /// What became of the rows so far.
    pub(super) fn outcome(self) -> Outcome {
        self.outcome
    }

    /// The place of the field set of those columns that have a value.
    fn set(&mut self, names: &[&Arc<str>], values: &[Option<f64>]) -> Result<usize> {
        let shape: Vec<bool> = values.iter().map(Option::is_some).collect();
        if let Some(place) = self.shapes.get(&shape) {
            return Ok(*place);
        }
        let present = names.iter().zip(&shape).filter(|(_, is_there)| **is_there);
        let set = FieldSet::from_sorted(present.map(|(name, _)| Arc::clone(name)).collect())?;
        self.pay(shape.len() + set.len() * size_of::<Arc<str>>() + size_of::<FieldSet>())?;
        self.sets.push(set);
        let place = self.sets.len() - 1;
        self.shapes.insert(shape, place);
        Ok(place)
    }

    fn pay(&mut self, bytes: usize) -> Result<()> {
        self.charge.grow(bytes)?;
        self.charged += bytes;
        Ok(())
    }

    /// The key of a row, or why it cannot be stored.
    fn storable<'k>(
        &self,
        key: &'k tsdb_core::Result<SeriesKey>,
        at: i64,
    ) -> std::result::Result<&'k SeriesKey, String> {
        let key = key.as_ref().map_err(ToString::to_string)?;
        if time::check_time(at).is_err() {
            return Err(CoreError::TimestampOutOfRange { got: at }.to_string());
        }
        if at < self.cutoff {
            return Err("points beyond retention policy".to_owned());
        }
        Ok(key)
    }

    fn store_rows(&mut self) -> Result<()> {
        let mut last = CoreError::StaleEpoch { batch: 0, current: 0 };
        for _ in 0..ATTEMPTS {
            let resolution = self.resolve()?;
            let (batch, outcome) = self.batch(&resolution)?;
            let stored = if batch.is_empty() { None } else { Some(self.store.append(&batch)) };
            match stored.transpose() {
                Ok(ticket) => {
                    ticket.map(Ticket::wait).transpose()?;
                    self.outcome.written += outcome.written;
                    if let Some(reason) = outcome.reason {
                        self.outcome.drop(outcome.dropped, reason);
                    }
                    return Ok(());
                }
                Err(stale @ CoreError::StaleEpoch { .. }) => last = stale,
                Err(error) => return Err(error.into()),
            }
        }
        Err(last.into())
    }

    /// References for all series and field sets. A set that is one too many for the store is written as several rows of
    /// one field each.
    fn resolve(&mut self) -> Result<Resolution> {
        let resolution = self.store.resolve(self.namespace, &self.series, &self.sets)?;
        let is_refused =
            |(set, found): (&FieldSet, &tsdb_core::Result<_>)| set.len() > 1 && found.is_err();
        let refused: Vec<bool> =
            self.sets.iter().zip(&resolution.field_sets).map(is_refused).collect();
        if !refused.contains(&true) {
            return Ok(resolution);
        }
        self.split_rows(&refused)?;
        Ok(self.store.resolve(self.namespace, &self.series, &self.sets)?)
    }

    /// Takes the rows of the sets that are refused apart into rows of one field.
    fn split_rows(&mut self, refused: &[bool]) -> Result<()> {
        let mut singles: BTreeMap<Arc<str>, usize> = BTreeMap::new();
        let mut begin = 0;
        let mut rows = Vec::with_capacity(self.values.len());
        for row in std::mem::take(&mut self.rows) {
            let values = begin..row.values_end;
            begin = row.values_end;
            if refused.get(row.set) != Some(&true) {
                rows.push(row);
                continue;
            }
            let names = self.sets.get(row.set).map(FieldSet::names).unwrap_or_default().to_vec();
            for (name, place) in names.into_iter().zip(values) {
                let set = match singles.get(&name) {
                    Some(set) => *set,
                    None => {
                        self.sets.push(FieldSet::from_sorted(vec![Arc::clone(&name)])?);
                        singles.insert(name, self.sets.len() - 1);
                        self.sets.len() - 1
                    }
                };
                let values_end = place + 1;
                rows.push(Row { set, values_end, counts: values_end == row.values_end, ..row });
            }
        }
        self.rows = rows;
        Ok(())
    }

    /// The rows as the store takes them, and what will have become of all once it has.
    fn batch(&self, resolution: &Resolution) -> Result<(WriteBatch, Outcome)> {
        let mut batch = WriteBatch::new(self.namespace, resolution.epoch);
        let mut outcome = Outcome::default();
        let mut begin = 0;
        for row in &self.rows {
            let values = self.values.get(begin..row.values_end).unwrap_or_default();
            begin = row.values_end;
            let series = resolution.series.get(row.series);
            let set = resolution.field_sets.get(row.set);
            match (series, set) {
                (Some(Ok(series)), Some(Ok(set))) => {
                    batch.push(*series, row.time, *set, values)?;
                    outcome.written += u64::from(row.counts);
                }
                (Some(Err(error)), _) | (_, Some(Err(error))) => {
                    outcome.drop(u64::from(row.counts), error.to_string());
                }
                _ => {}
            }
        }
        Ok((batch, outcome))
    }
}
