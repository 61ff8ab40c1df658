//! A store around another one: remembers what it is asked, and can answer with summaries where the query
//! wants them, cut into the smallest pieces, or with rows that never end.

use std::sync::{Arc, Mutex};

use tsdb_core::storage::{
    Cardinality, CardinalityRequest, DeleteRequest, Estimate, Presence, Resolution, ScanRequest,
    Selection, SeriesRequest, Snapshot, Statistics, TagCount, TagCountRequest, Want, Windows,
};
use tsdb_core::time::window_start;
use tsdb_core::{
    Append, Block, Catalogue, CatalogueChange, Column, Cursor, FieldSet, Maintain, MemoryStore,
    NamespaceId, Result, Select, SeriesKey, Summary, Ticket, TimeColumn, WriteBatch,
};

/// The store.
pub(super) struct Decorated {
    pub(super) inner: Arc<MemoryStore>,
    /// Requests in order.
    pub(super) requests: Arc<Mutex<Vec<ScanRequest>>>,
    /// Whether to answer with summaries.
    pub(super) summarise: bool,
    /// Whether the rows that a cursor gives first are followed by the same ones for ever.
    is_endless: bool,
    /// Whether the number of series is estimated, by far too high.
    estimates: bool,
}

impl Decorated {
    pub(super) fn new(inner: Arc<MemoryStore>, summarise: bool) -> Arc<Decorated> {
        let (requests, is_endless, estimates) = (Arc::default(), false, false);
        Arc::new(Decorated { inner, requests, summarise, is_endless, estimates })
    }

    /// A store whose cursors have no end, as long as they have a row.
    pub(super) fn endless(inner: Arc<MemoryStore>) -> Arc<Decorated> {
        let requests = Arc::default();
        Arc::new(Decorated {
            inner,
            requests,
            summarise: false,
            is_endless: true,
            estimates: false,
        })
    }

    /// A store that says that it has a thousand times the series and measurements that it has, and of tags what shows what it
    /// was asked: of each of the measurements `a`, `b` and `c` as many keys as namespaces in which it counts, and ten values
    /// of each of the keys `h` and `i` that count.
    pub(super) fn estimating(inner: Arc<MemoryStore>) -> Arc<Decorated> {
        let (requests, summarise, is_endless) = (Arc::default(), false, false);
        Arc::new(Decorated { inner, requests, summarise, is_endless, estimates: true })
    }

    /// The one scan since the last call.
    pub(super) fn only_request(&self, query: &str) -> ScanRequest {
        let mut requests = self.requests.lock().unwrap();
        let [request] = requests.as_slice() else { panic!("{query}: {} requests", requests.len()) };
        let request = request.clone();
        requests.clear();
        request
    }
}

impl Append for Decorated {
    fn resolve(&self, n: NamespaceId, keys: &[SeriesKey], sets: &[FieldSet]) -> Result<Resolution> {
        self.inner.resolve(n, keys, sets)
    }
    fn append(&self, batch: &WriteBatch) -> Result<Ticket> {
        self.inner.append(batch)
    }
    fn delete(&self, request: &DeleteRequest) -> Result<Ticket> {
        self.inner.delete(request)
    }
    fn change_catalogue(&self, change: &CatalogueChange) -> Result<Ticket> {
        self.inner.change_catalogue(change)
    }
    fn catalogue(&self) -> Arc<Catalogue> {
        self.inner.catalogue()
    }
}

impl Maintain for Decorated {
    fn flush(&self) -> Result<()> {
        self.inner.flush()
    }
    fn compact(&self) -> Result<()> {
        self.inner.compact()
    }
    fn retain(&self, now_ns: i64) -> Result<usize> {
        self.inner.retain(now_ns)
    }
    fn close(&self) -> Result<()> {
        self.inner.close()
    }
}

impl Select for Decorated {
    fn snapshot(&self) -> Result<Arc<dyn Snapshot>> {
        Ok(Arc::new(View {
            inner: self.inner.snapshot()?,
            requests: Arc::clone(&self.requests),
            summarise: self.summarise,
            is_endless: self.is_endless,
            estimates: self.estimates,
        }))
    }
}

struct View {
    inner: Arc<dyn Snapshot>,
    requests: Arc<Mutex<Vec<ScanRequest>>>,
    summarise: bool,
    is_endless: bool,
    estimates: bool,
}

impl Snapshot for View {
    fn cardinality(&self, request: &CardinalityRequest) -> Result<Cardinality> {
        let counted = self.inner.cardinality(request)?;
        if !self.estimates {
            return Ok(counted);
        }
        let (series, measurement_count) = (counted.series * 1000, counted.measurement_count * 1000);
        Ok(Cardinality { series, measurement_count, estimated: true, ..counted })
    }
    fn estimate_tags(&self, request: &TagCountRequest<'_>) -> Result<Option<Vec<TagCount>>> {
        let count = |name: &str| {
            let places = request.namespaces.iter().filter(|id| (request.measurement)(**id, name));
            let values = ["h", "i"].iter().filter(|key| (request.key)(key)).count() as u64 * 10;
            TagCount { measurement: name.into(), keys: places.count() as u64, values }
        };
        let counts = ["a", "b", "c"].map(count).into_iter().filter(|count| count.keys > 0);
        Ok(self.estimates.then(|| counts.collect()))
    }
    fn select(&self, request: &ScanRequest) -> Result<Selection> {
        self.requests.lock().unwrap().push(request.clone());
        let mut selection = self.inner.select(request)?;
        if self.summarise && request.want == Want::Summaries {
            let windows = request.windows;
            let wrap = |inner| -> Box<dyn Cursor> {
                Box::new(Summarised { inner, windows, block: Block::new(), row: 0 })
            };
            selection.cursors = selection.cursors.into_iter().map(wrap).collect();
        }
        if self.is_endless {
            let wrap = |inner| -> Box<dyn Cursor> { Box::new(Endless { inner, first: None }) };
            selection.cursors = selection.cursors.into_iter().map(wrap).collect();
        }
        Ok(selection)
    }
    fn estimate(&self, request: &ScanRequest) -> Result<Estimate> {
        self.inner.estimate(request)
    }
    fn series(&self, request: &SeriesRequest) -> Result<Vec<SeriesKey>> {
        self.inner.series(request)
    }
    fn fields(&self, request: &SeriesRequest) -> Result<Vec<Arc<str>>> {
        self.inner.fields(request)
    }
    fn statistics(&self) -> Statistics {
        self.inner.statistics()
    }
}

/// Yields the rows of `inner` in pieces of at most three rows of one window, with a summary for each column
/// that is full and has no NaN.
struct Summarised {
    inner: Box<dyn Cursor>,
    windows: Option<Windows>,
    block: Block,
    row: usize,
}

impl Cursor for Summarised {
    fn next(&mut self, block: &mut Block) -> Result<bool> {
        if self.row >= self.block.len() {
            self.row = 0;
            if !self.inner.next(&mut self.block)? {
                block.reset(0, 0);
                return Ok(false);
            }
        }
        let window = |row: usize| {
            let time = self.block.times.get(row).unwrap();
            self.windows.map_or(0, |w| window_start(time, w.every, w.offset))
        };
        let (start, mut end) = (self.row, self.row + 1);
        while end < self.block.len() && end < start + 3 && window(end) == window(start) {
            end += 1;
        }
        self.row = end;
        block.reset(self.block.series, self.block.columns.len());
        let times: Vec<i64> = (start..end).map(|row| self.block.times.get(row).unwrap()).collect();
        for (to, from) in block.columns.iter_mut().zip(&self.block.columns) {
            to.fill((start..end).map(|row| from.get(row)));
            summarise(to, &times);
        }
        block.times = TimeColumn::Stamps(times);
        Ok(true)
    }
}

/// Yields the first block of `inner` for ever. It never looks at a token: who reads it does.
struct Endless {
    inner: Box<dyn Cursor>,
    first: Option<Block>,
}

impl Cursor for Endless {
    fn next(&mut self, block: &mut Block) -> Result<bool> {
        if let Some(first) = &self.first {
            *block = first.clone();
            return Ok(true);
        }
        let has_one = self.inner.next(block)?;
        self.first = has_one.then(|| block.clone());
        Ok(has_one)
    }
}

fn summarise(column: &mut Column, times: &[i64]) {
    if column.presence != Presence::All || column.values.iter().any(|value| value.is_nan()) {
        return;
    }
    let values = &column.values;
    column.summary = Some(Summary {
        count: values.len() as u64,
        sum: values.iter().sum(),
        min: values.iter().copied().fold(f64::INFINITY, f64::min),
        max: values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
        first: values[0],
        last: values[values.len() - 1],
        t_first: times[0],
        t_last: times[times.len() - 1],
    });
    column.values.clear();
}
