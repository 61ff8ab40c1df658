//! Collects neighbouring short series until they fill an entry together.

use tsdb_core::limits::BLOCK_ROWS_MAX;
use tsdb_core::{Column, Presence};

use super::group::EntryRows;

/// A chunk with the numbers of its fields: all of a series, until its next chunk comes.
#[derive(Debug, Default)]
pub(super) struct HeldChunk {
    pub times: Vec<i64>,
    pub columns: Vec<(u32, Column)>,
    pub encodings: u32,
}

/// Short series with the same fields, one behind the other.
#[derive(Debug, Default)]
pub(super) struct ShortSeries {
    first: u32,
    rows: Vec<u32>,
    times: Vec<i64>,
    fields: Vec<u32>,
    /// By field, a value or none for each row.
    values: Vec<Vec<Option<f64>>>,
    /// The most of any series.
    encodings: u32,
}

impl ShortSeries {
    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Memory of the rows, about.
    pub(super) fn bytes(&self) -> usize {
        self.times.len() * (size_of::<i64>() + self.fields.len() * size_of::<Option<f64>>())
    }

    /// Whether `series` with this chunk can be the next one, in an entry of at most `series_max`.
    pub(super) fn takes(&self, series: u32, chunk: &HeldChunk, series_max: usize) -> bool {
        let count = u32::try_from(self.rows.len()).unwrap_or(u32::MAX);
        self.is_empty()
            || (self.first.checked_add(count) == Some(series)
                && self.rows.len() < series_max
                && self.times.len() + chunk.times.len() <= BLOCK_ROWS_MAX
                && self.fields.iter().eq(chunk.columns.iter().map(|(field, _)| field)))
    }

    /// Adds a series that [`ShortSeries::takes`].
    pub(super) fn push(&mut self, series: u32, chunk: &HeldChunk) {
        if self.is_empty() {
            self.first = series;
            self.fields = chunk.columns.iter().map(|(field, _)| *field).collect();
            self.values = vec![Vec::new(); self.fields.len()];
        }
        let rows = chunk.times.len();
        self.encodings = self.encodings.max(chunk.encodings);
        self.rows.push(u32::try_from(rows).unwrap_or(u32::MAX));
        self.times.extend_from_slice(&chunk.times);
        for (values, (_, column)) in self.values.iter_mut().zip(&chunk.columns) {
            match column.presence {
                Presence::All => values.extend(column.values.iter().copied().map(Some)),
                Presence::None | Presence::Some(_) => {
                    values.extend((0..rows).map(|row| column.get(row)));
                }
            }
        }
    }

    /// Hands the collected series over as one entry, and begins anew.
    pub(super) fn take(&mut self, give: impl FnOnce(&EntryRows<'_>)) {
        let short = std::mem::take(self);
        let columns: Vec<(u32, Column)> = short
            .fields
            .into_iter()
            .zip(short.values)
            .map(|(field, values)| {
                let mut column = Column::default();
                column.fill(values.into_iter());
                (field, column)
            })
            .collect();
        let columns: Vec<(u32, &Column)> = columns.iter().map(|(field, c)| (*field, c)).collect();
        give(&EntryRows {
            first: short.first,
            series_rows: &short.rows,
            times: &short.times,
            columns: &columns,
            encodings: short.encodings,
        });
    }
}
