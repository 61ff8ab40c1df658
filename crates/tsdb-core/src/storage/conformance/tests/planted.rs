//! A store with one planted error: the store in memory behind calls that get something wrong, each an
//! error that an engine may well have.

use std::collections::BTreeSet;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::storage::{
    Append, Block, Column, Cursor, DeleteRequest, Estimate, Maintain, Order, PredicateOp, Presence,
    Resolution, ScanRequest, Select, Selection, SeriesRequest, Snapshot, Statistics, Summary,
    TagCount, TagCountRequest, TimeColumn, Want, Windows,
};
use crate::time::window_start;
use crate::{
    CancelToken, Catalogue, CatalogueChange, Epoch, Error, FieldSet, MemoryStore, NamespaceId,
    Result, SeriesKey, Ticket, TimeRange, WriteBatch,
};

/// What is wrong with a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Planted {
    /// Nothing. As with all others summaries are answered where they are asked for.
    Nothing,
    FirstRowOfBatchWins,
    MinusZeroIsZero,
    NanLosesPayload,
    LastRowOfBatchLost,
    BatchInTwoParts,
    RangeEndInclusive,
    DeleteRangeEndInclusive,
    DeleteIgnoresFilter,
    SnapshotFollows,
    SnapshotLags,
    EpochNeverEnds,
    DescendingForgetsLimit,
    PredicateSkipsEqual,
    BlockTooLong,
    PresenceNotCanonical,
    BlockLeftAtTheEnd,
    EstimateTooLow,
    SummarySpansWindows,
    SummaryLosesLast,
    SummaryTakesNan,
    FieldsOfHiddenRows,
    TagValuesOfOthers,
    RetentionTakesOneMore,
    CancelIgnored,
    CloseForgotten,
    PartsOverlap,
    RowsNotCounted,
    EntryReplacedUnasked,
}

impl Planted {
    pub(super) const ALL: &[Planted] = &[
        Planted::FirstRowOfBatchWins,
        Planted::MinusZeroIsZero,
        Planted::NanLosesPayload,
        Planted::LastRowOfBatchLost,
        Planted::BatchInTwoParts,
        Planted::RangeEndInclusive,
        Planted::DeleteRangeEndInclusive,
        Planted::DeleteIgnoresFilter,
        Planted::SnapshotFollows,
        Planted::SnapshotLags,
        Planted::EpochNeverEnds,
        Planted::DescendingForgetsLimit,
        Planted::PredicateSkipsEqual,
        Planted::BlockTooLong,
        Planted::PresenceNotCanonical,
        Planted::BlockLeftAtTheEnd,
        Planted::EstimateTooLow,
        Planted::SummarySpansWindows,
        Planted::SummaryLosesLast,
        Planted::SummaryTakesNan,
        Planted::FieldsOfHiddenRows,
        Planted::TagValuesOfOthers,
        Planted::RetentionTakesOneMore,
        Planted::CancelIgnored,
        Planted::CloseForgotten,
        Planted::PartsOverlap,
        Planted::RowsNotCounted,
        Planted::EntryReplacedUnasked,
    ];

    /// Whether random scripts can meet it: not what needs threads, many rows or a refused call, nor what they do not ask.
    pub(super) fn shows_in_scripts(self) -> bool {
        !matches!(
            self,
            Planted::BatchInTwoParts
                | Planted::EpochNeverEnds
                | Planted::BlockTooLong
                | Planted::TagValuesOfOthers
                | Planted::CancelIgnored
                | Planted::CloseForgotten
                | Planted::EntryReplacedUnasked
        )
    }
}

pub(super) struct PlantedStore {
    inner: Arc<MemoryStore>,
    planted: Planted,
    /// All fields that were ever resolved.
    fields: Mutex<Vec<Arc<str>>>,
    /// The snapshot before the last write.
    before: Mutex<Option<Arc<dyn Snapshot>>>,
}

impl PlantedStore {
    pub(super) fn new(planted: Planted) -> PlantedStore {
        PlantedStore {
            inner: Arc::new(MemoryStore::new()),
            planted,
            fields: Mutex::new(Vec::new()),
            before: Mutex::new(None),
        }
    }

    fn is(&self, planted: Planted) -> bool {
        self.planted == planted
    }

    /// The batch as the error has it.
    fn spoil(&self, batch: &WriteBatch) -> WriteBatch {
        let mut rows: Vec<_> = batch.rows().collect();
        match self.planted {
            Planted::FirstRowOfBatchWins => rows.reverse(),
            Planted::LastRowOfBatchLost if rows.len() > 1 => rows.truncate(rows.len() - 1),
            _ => {}
        }
        let spoil_value = |value: &f64| match self.planted {
            Planted::MinusZeroIsZero if *value == 0.0 => 0.0,
            Planted::NanLosesPayload if value.is_nan() => f64::NAN,
            _ => *value,
        };
        let mut spoilt = WriteBatch::new(batch.namespace(), batch.epoch());
        for row in rows {
            let values: Vec<f64> = row.values.iter().map(spoil_value).collect();
            spoilt.push(row.series, row.time, row.field_set, &values).unwrap();
        }
        spoilt
    }

    fn remember(&self) {
        if self.is(Planted::SnapshotLags) {
            *self.before.lock() = self.inner.snapshot().ok();
        }
    }
}

fn one_longer(time: TimeRange) -> TimeRange {
    if time.is_empty() { time } else { TimeRange { end: time.end.saturating_add(1), ..time } }
}

impl Append for PlantedStore {
    fn resolve(
        &self,
        namespace: NamespaceId,
        series: &[SeriesKey],
        field_sets: &[FieldSet],
    ) -> Result<Resolution> {
        let names = field_sets.iter().flat_map(|set| set.names().iter().cloned());
        self.fields.lock().extend(names);
        self.inner.resolve(namespace, series, field_sets)
    }

    fn append(&self, batch: &WriteBatch) -> Result<Ticket> {
        self.remember();
        let mut batch = self.spoil(batch);
        if self.is(Planted::BatchInTwoParts) {
            let (mut first, half) = (batch.clone(), batch.len() / 2);
            first.retain(|row| row < half);
            batch.retain(|row| row >= half);
            self.inner.append(&first)?.wait()?;
            std::thread::yield_now();
        }
        match self.inner.append(&batch) {
            Err(Error::StaleEpoch { current, .. }) if self.is(Planted::EpochNeverEnds) => {
                batch.set_epoch(Epoch(current));
                self.inner.append(&batch)
            }
            outcome => outcome,
        }
    }

    fn delete(&self, request: &DeleteRequest) -> Result<Ticket> {
        self.remember();
        let mut request = request.clone();
        match self.planted {
            Planted::DeleteRangeEndInclusive => request.time = one_longer(request.time),
            Planted::DeleteIgnoresFilter => request.filter = crate::matcher::TagFilter::True,
            _ => {}
        }
        self.inner.delete(&request)
    }

    fn change_catalogue(&self, change: &CatalogueChange) -> Result<Ticket> {
        self.remember();
        let mut change = change.clone();
        if let CatalogueChange::SetEntry { replace, .. } = &mut change {
            *replace |= self.is(Planted::EntryReplacedUnasked);
        }
        self.inner.change_catalogue(&change)
    }

    fn catalogue(&self) -> Arc<Catalogue> {
        self.inner.catalogue()
    }
}

impl Select for PlantedStore {
    fn snapshot(&self) -> Result<Arc<dyn Snapshot>> {
        let now = self.inner.snapshot()?;
        let before = self.before.lock().clone();
        Ok(Arc::new(PlantedSnapshot {
            inner: before.filter(|_| self.is(Planted::SnapshotLags)).unwrap_or(now),
            store: Arc::clone(&self.inner),
            planted: self.planted,
            fields: self.fields.lock().clone(),
        }))
    }
}

impl Maintain for PlantedStore {
    fn flush(&self) -> Result<()> {
        self.inner.flush()
    }

    fn compact(&self) -> Result<()> {
        self.inner.compact()
    }

    fn retain(&self, now_ns: i64) -> Result<usize> {
        let more = i64::from(self.is(Planted::RetentionTakesOneMore));
        self.inner.retain(now_ns.saturating_add(more))
    }

    fn close(&self) -> Result<()> {
        if self.is(Planted::CloseForgotten) { Ok(()) } else { self.inner.close() }
    }
}

struct PlantedSnapshot {
    inner: Arc<dyn Snapshot>,
    store: Arc<MemoryStore>,
    planted: Planted,
    fields: Vec<Arc<str>>,
}

impl PlantedSnapshot {
    fn now(&self) -> Result<Arc<dyn Snapshot>> {
        if self.planted == Planted::SnapshotFollows {
            self.store.snapshot()
        } else {
            Ok(Arc::clone(&self.inner))
        }
    }
}

impl Snapshot for PlantedSnapshot {
    fn select(&self, request: &ScanRequest) -> Result<Selection> {
        let mut spoilt = request.clone();
        match self.planted {
            Planted::RangeEndInclusive => spoilt.time = one_longer(spoilt.time),
            Planted::CancelIgnored => spoilt.cancel = CancelToken::new(),
            Planted::DescendingForgetsLimit if spoilt.order == Order::Descending => {
                spoilt.limit_per_series = None;
            }
            _ => {}
        }
        let mut selection = self.now()?.select(&spoilt)?;
        let cursors = std::mem::take(&mut selection.cursors);
        let spoil = |inner| -> Box<dyn Cursor> {
            let (request, waiting) = (request.clone(), Vec::new());
            let columns = Arc::clone(&selection.columns);
            Box::new(PlantedCursor { inner, request, planted: self.planted, columns, waiting })
        };
        selection.cursors = cursors.into_iter().map(spoil).collect();
        if self.planted == Planted::PartsOverlap && selection.cursors.len() > 1 {
            selection.cursors.rotate_left(1);
        }
        if self.planted == Planted::RowsNotCounted {
            let matched = selection.counters.series_matched.get();
            selection.counters = Arc::default();
            selection.counters.series_matched.add(matched);
        }
        Ok(selection)
    }

    fn estimate(&self, request: &ScanRequest) -> Result<Estimate> {
        let estimate = self.now()?.estimate(request)?;
        let less = u64::from(self.planted == Planted::EstimateTooLow);
        Ok(Estimate { rows: estimate.rows.saturating_sub(less), ..estimate })
    }

    fn series(&self, request: &SeriesRequest) -> Result<Vec<SeriesKey>> {
        self.now()?.series(request)
    }

    fn fields(&self, request: &SeriesRequest) -> Result<Vec<Arc<str>>> {
        let mut names = self.now()?.fields(request)?;
        if self.planted == Planted::FieldsOfHiddenRows {
            names.extend(self.fields.iter().cloned());
            names.sort_unstable();
            names.dedup();
        }
        Ok(names)
    }

    fn estimate_tags(&self, request: &TagCountRequest<'_>) -> Result<Option<Vec<TagCount>>> {
        if self.planted != Planted::TagValuesOfOthers {
            return self.now()?.estimate_tags(request);
        }
        let (mut names, mut values) = (BTreeSet::new(), BTreeSet::new());
        for namespace in request.namespaces {
            for key in self.now()?.series(&SeriesRequest::all(*namespace))? {
                names.insert(Arc::<str>::from(key.measurement()));
                values.extend(key.tags().map(|(_, value)| value.to_owned()));
            }
        }
        let values = values.len() as u64;
        let count = |measurement| TagCount { measurement, keys: 1, values };
        Ok(Some(names.into_iter().map(count).collect()))
    }

    fn statistics(&self) -> Statistics {
        self.inner.statistics()
    }
}

struct PlantedCursor {
    inner: Box<dyn Cursor>,
    request: ScanRequest,
    planted: Planted,
    columns: Arc<[Arc<str>]>,
    /// Blocks that are made already, last one first.
    waiting: Vec<Block>,
}

impl Cursor for PlantedCursor {
    fn next(&mut self, block: &mut Block) -> Result<bool> {
        while self.waiting.is_empty() {
            if !self.inner.next(block)? {
                if self.planted == Planted::BlockLeftAtTheEnd {
                    block.times = TimeColumn::Stamps(vec![0]);
                }
                return Ok(false);
            }
            self.waiting = self.blocks_of(block)?;
            self.waiting.reverse();
        }
        *block = self.waiting.pop().unwrap_or_default();
        Ok(true)
    }
}

impl PlantedCursor {
    /// The blocks that the error makes of one.
    fn blocks_of(&mut self, block: &Block) -> Result<Vec<Block>> {
        let all: Vec<usize> = (0..block.len()).collect();
        let mut blocks = match self.planted {
            Planted::PredicateSkipsEqual => {
                vec![rows_of(block, all.into_iter().filter(|row| self.is_kept(block, *row)))]
            }
            Planted::BlockTooLong => {
                let mut next = Block::new();
                if self.inner.next(&mut next)? && next.series == block.series {
                    vec![joined(block, &next)]
                } else {
                    vec![block.clone(), next]
                }
            }
            _ => match (self.request.want, self.request.windows) {
                (Want::Summaries, Some(windows)) => self.summaries(block, windows),
                _ => vec![block.clone()],
            },
        };
        if self.planted == Planted::PresenceNotCanonical {
            for column in blocks.iter_mut().flat_map(|block| &mut block.columns) {
                if column.presence == Presence::All && column.summary.is_none() {
                    let count = column.values.len();
                    column.presence = Presence::Some(vec![u64::MAX; count.div_ceil(64)]);
                }
            }
        }
        blocks.retain(|block| !block.is_empty());
        Ok(blocks)
    }

    fn is_kept(&self, block: &Block, row: usize) -> bool {
        self.request.predicates.iter().all(|predicate| {
            let place = self.columns.iter().position(|name| *name == predicate.field);
            let value = place.and_then(|place| block.columns[place].get(row));
            let exact = matches!(predicate.op, PredicateOp::Ge | PredicateOp::Le);
            !(exact && value == Some(predicate.value))
        })
    }

    /// One block per window, with a summary in the place of each column that may have one.
    fn summaries(&self, block: &Block, windows: Windows) -> Vec<Block> {
        let mut parts: Vec<(i64, Vec<usize>)> = Vec::new();
        for (row, time) in block.times.iter().enumerate() {
            let start = window_start(time, windows.every, windows.offset);
            match parts.last_mut() {
                Some((last, rows))
                    if *last == start || self.planted == Planted::SummarySpansWindows =>
                {
                    rows.push(row);
                }
                _ => parts.push((start, vec![row])),
            }
        }
        let summarise = |(_, rows): (i64, Vec<usize>)| {
            let mut part = rows_of(block, rows.into_iter());
            let times = part.times.clone();
            for column in &mut part.columns {
                if let Some(summary) = self.summary(column, &times) {
                    column.values.clear();
                    column.summary = Some(summary);
                }
            }
            part
        };
        parts.into_iter().map(summarise).collect()
    }

    fn summary(&self, column: &Column, times: &TimeColumn) -> Option<Summary> {
        let nan = column.values.iter().any(|value| value.is_nan());
        if column.presence != Presence::All || (nan && self.planted != Planted::SummaryTakesNan) {
            return None;
        }
        let mut rows: Vec<(i64, f64)> = times.iter().zip(column.values.iter().copied()).collect();
        rows.sort_by_key(|(time, _)| *time);
        let values = || rows.iter().map(|(_, value)| *value).filter(|value| !value.is_nan());
        let (first, last) = (rows.first()?, rows.last()?);
        let lost = if self.planted == Planted::SummaryLosesLast { last.1 } else { 0.0 };
        Some(Summary {
            count: rows.len() as u64,
            sum: values().sum::<f64>() - lost,
            min: values().fold(f64::INFINITY, f64::min),
            max: values().fold(f64::NEG_INFINITY, f64::max),
            first: first.1,
            last: last.1,
            t_first: first.0,
            t_last: last.0,
        })
    }
}

/// Some rows of a block.
fn rows_of(block: &Block, rows: impl Iterator<Item = usize>) -> Block {
    let rows: Vec<usize> = rows.collect();
    let mut part = Block::new();
    part.reset(block.series, block.columns.len());
    for (to, from) in part.columns.iter_mut().zip(&block.columns) {
        to.fill(rows.iter().map(|row| from.get(*row)));
    }
    let stamps = rows.iter().filter_map(|row| block.times.get(*row));
    part.times = TimeColumn::Stamps(stamps.collect());
    part
}

/// Two blocks as one.
fn joined(left: &Block, right: &Block) -> Block {
    let mut all = Block::new();
    all.reset(left.series, left.columns.len());
    let columns = all.columns.iter_mut().zip(left.columns.iter().zip(&right.columns));
    for (to, (one, other)) in columns {
        let values = (0..left.len()).map(|row| one.get(row));
        to.fill(values.chain((0..right.len()).map(|row| other.get(row))));
    }
    all.times = TimeColumn::Stamps(left.times.iter().chain(right.times.iter()).collect());
    all
}
