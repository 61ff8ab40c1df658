//! A store that makes its rows up while it is read, so that what is timed is the query and not an engine:
//! hosts that report a few fields at regular times. It takes no writes.

use std::ops::Range;
use std::sync::Arc;

use tsdb_core::env::SimRng;
use tsdb_core::limits::BLOCK_ROWS_MAX;
use tsdb_core::matcher::{CompiledFilter, TagFilter};
use tsdb_core::storage::{
    Estimate, FieldSelection, Resolution, SeriesRequest, Statistics, TimeColumn, group_series,
};
use tsdb_core::{
    Append, Block, Catalogue, CatalogueChange, Cursor, DeleteRequest, Error, FieldSet, Maintain,
    NamespaceId, Presence, Result, ScanRequest, Select, Selection, SeriesKey, Snapshot, TagCharset,
    Ticket, WriteBatch,
};

/// Fields of each row.
pub const FIELDS: [&str; 5] = ["idle", "iowait", "nice", "system", "user"];

/// Distance of a host's rows in ns; the first is at time 0.
pub const STEP: i64 = 10_000_000_000;

/// The store, and each snapshot of it.
#[derive(Clone)]
pub struct Synthetic {
    catalogue: Arc<Catalogue>,
    keys: Arc<[SeriesKey]>,
    rows: usize,
    /// Values between 0 and 100 that every column is copied from.
    values: Arc<[f64]>,
}

impl Synthetic {
    /// `hosts` hosts of `rows` rows each, in the database `bench`.
    pub fn new(hosts: usize, rows: usize) -> Synthetic {
        let mut catalogue = Catalogue::default();
        let change =
            CatalogueChange::CreateDatabase { name: "bench".into(), policy: Default::default() };
        catalogue.apply(&change).unwrap();
        let key = |host: usize| {
            let host = format!("host_{host}");
            SeriesKey::new("cpu", &mut [("hostname", &host)], TagCharset::Utf8).unwrap()
        };
        let mut keys: Vec<SeriesKey> = (0..hosts).map(key).collect();
        keys.sort_unstable();
        let rng = SimRng::new(1);
        let value = |_| f64::from(u32::try_from(rng.below(10_001)).unwrap()) / 100.0;
        let values = (0..2 * BLOCK_ROWS_MAX).map(value).collect();
        Synthetic { catalogue: Arc::new(catalogue), keys: keys.into(), rows, values }
    }

    fn matching(&self, filter: &TagFilter) -> Vec<SeriesKey> {
        let filter = CompiledFilter::new(filter).unwrap();
        let matches = |key: &&SeriesKey| filter.matches(|tag| key.tag(tag).unwrap_or(""));
        self.keys.iter().filter(matches).cloned().collect()
    }

    /// Numbers of a host's rows in the time range of a request.
    fn range(&self, request: &ScanRequest) -> Range<usize> {
        let below = |time: i64| {
            let steps = time.max(0).unsigned_abs().div_ceil(STEP.unsigned_abs());
            usize::try_from(steps).unwrap().min(self.rows)
        };
        below(request.time.start)..below(request.time.end)
    }
}

impl Snapshot for Synthetic {
    fn select(&self, request: &ScanRequest) -> Result<Selection> {
        let columns: Arc<[Arc<str>]> = match &request.fields {
            FieldSelection::All => FIELDS.iter().map(|name| Arc::from(*name)).collect(),
            FieldSelection::Named(names) => names.as_slice().into(),
        };
        let (series, groups) =
            group_series(self.matching(&request.filter), &request.group_by, &mut |_| Ok(()))?;
        let per_cursor = series.len().div_ceil(request.parts).max(1);
        let cursor = |first| -> Box<dyn Cursor> {
            Box::new(Rows {
                store: self.clone(),
                series: first..series.len().min(first + per_cursor),
                rows: self.range(request),
                next: 0,
                columns: columns.len(),
            })
        };
        let cursors = (0..series.len()).step_by(per_cursor).map(cursor).collect();
        Ok(Selection {
            columns: Arc::clone(&columns),
            series: Arc::clone(&series),
            groups,
            cursors,
            counters: Arc::default(),
            held: Vec::new(),
        })
    }

    fn estimate(&self, request: &ScanRequest) -> Result<Estimate> {
        let (series, rows) = (self.matching(&request.filter).len(), self.range(request));
        let time = |row: usize| i64::try_from(row).unwrap() * STEP;
        Ok(Estimate {
            runs: 1,
            series: series as u64,
            chunks: series as u64,
            rows: (series * rows.len()) as u64,
            t_min: time(rows.start),
            t_max: time(rows.end.saturating_sub(1)),
        })
    }

    fn series(&self, request: &SeriesRequest) -> Result<Vec<SeriesKey>> {
        Ok(self.matching(&request.filter))
    }

    fn fields(&self, _: &SeriesRequest) -> Result<Vec<Arc<str>>> {
        Ok(FIELDS.iter().map(|name| Arc::from(*name)).collect())
    }

    fn statistics(&self) -> Statistics {
        Statistics::default()
    }
}

/// Rows of some series, oldest first, in the largest blocks.
struct Rows {
    store: Synthetic,
    series: Range<usize>,
    rows: Range<usize>,
    /// The next row of the first series, counted from the first row.
    next: usize,
    columns: usize,
}

impl Cursor for Rows {
    fn next(&mut self, block: &mut Block) -> Result<bool> {
        block.reset(0, self.columns);
        if self.series.is_empty() || self.rows.is_empty() {
            return Ok(false);
        }
        let first = self.rows.start + self.next;
        let count = (self.rows.end - first).min(BLOCK_ROWS_MAX);
        block.series = u32::try_from(self.series.start).unwrap();
        let time = i64::try_from(first).unwrap() * STEP;
        block.times = TimeColumn::Regular { first: time, step: STEP, count };
        for (place, column) in block.columns.iter_mut().enumerate() {
            // Another stretch for each column and series, or all answers would be the same.
            let from = (self.series.start * 31 + place * 101) % BLOCK_ROWS_MAX;
            column.presence = Presence::All;
            column.values.extend_from_slice(self.store.values.get(from..from + count).unwrap());
        }
        self.next += count;
        if first + count == self.rows.end {
            self.next = 0;
            self.series.start += 1;
        }
        Ok(true)
    }
}

impl Select for Synthetic {
    fn snapshot(&self) -> Result<Arc<dyn Snapshot>> {
        Ok(Arc::new(self.clone()))
    }
}

impl Append for Synthetic {
    fn resolve(&self, _: NamespaceId, _: &[SeriesKey], _: &[FieldSet]) -> Result<Resolution> {
        Err(Error::Closed)
    }
    fn append(&self, _: &WriteBatch) -> Result<Ticket> {
        Err(Error::Closed)
    }
    fn delete(&self, _: &DeleteRequest) -> Result<Ticket> {
        Err(Error::Closed)
    }
    fn change_catalogue(&self, _: &CatalogueChange) -> Result<Ticket> {
        Err(Error::Closed)
    }
    fn catalogue(&self) -> Arc<Catalogue> {
        Arc::clone(&self.catalogue)
    }
}

impl Maintain for Synthetic {
    fn flush(&self) -> Result<()> {
        Err(Error::Closed)
    }
    fn compact(&self) -> Result<()> {
        Err(Error::Closed)
    }
    fn retain(&self, _: i64) -> Result<usize> {
        Err(Error::Closed)
    }
    fn close(&self) -> Result<()> {
        Err(Error::Closed)
    }
}
