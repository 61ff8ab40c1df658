//! Where rows of one series come from: a generation in memory or a slice of a run, each as a sequence of
//! stretches in the order of the scan.

use std::sync::Arc;

use tsdb_core::storage::{FieldPredicate, Order, Windows};
use tsdb_core::{Block, Presence, Summary, TimeColumn, TimeRange};

use crate::error::Result;
use crate::memtable::{
    ColumnMap, Place, RowDelete, RowIndex, back_part, fill, front_part, reverse,
};
use crate::sst::{ChunkMeta, PagesRead, Through};
use crate::view::SliceRef;

/// First and last timestamp of a stretch, both inclusive; some rows of a run's stretch may be hidden.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bounds {
    pub min: i64,
    pub max: i64,
}

/// Rows of one series in one place.
pub(crate) enum Source {
    Memory(MemorySource),
    Run(RunSource),
}

impl Source {
    /// Bounds of the next stretch; `None` at the end.
    pub(crate) fn peek(&self) -> Option<Bounds> {
        match self {
            Source::Memory(source) => source.peek(),
            Source::Run(source) => source.peek(),
        }
    }

    /// Passes the next stretch by.
    pub(crate) fn skip(&mut self) {
        match self {
            Source::Memory(source) => source.take_part().map(|_| ()).unwrap_or(()),
            Source::Run(source) => source.take_chunk().map(|_| ()).unwrap_or(()),
        }
    }

    /// Fills `block`, which was reset, with the next stretch, in the order of the scan; perhaps with no
    /// rows at all.
    pub(crate) fn load(&mut self, block: &mut Block, scratch: &mut Vec<u8>) -> Result<Loaded> {
        match self {
            Source::Memory(source) => Ok(source.load(block)),
            Source::Run(source) => source.load(block, scratch),
        }
    }
}

/// What loading a stretch took.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Loaded {
    /// Chunks of runs.
    pub chunks: u64,
    /// Rows, also those that were left out of the block again.
    pub rows: u64,
    pub pages: PagesRead,
}

/// Rows of one series in one generation.
pub(crate) struct MemorySource {
    pub index: Arc<RowIndex>,
    pub places: Arc<[Place]>,
    pub map: Arc<ColumnMap>,
    pub deletes: Vec<RowDelete>,
    pub order: Order,
    /// Part of `places` that is still to be read.
    pub rest: std::ops::Range<usize>,
}

impl MemorySource {
    fn rest(&self) -> &[Place] {
        self.places.get(self.rest.clone()).unwrap_or(&[])
    }

    fn part(&self) -> Option<std::ops::Range<usize>> {
        let rest = self.rest();
        if rest.is_empty() {
            return None;
        }
        Some(match self.order {
            Order::Ascending => self.rest.start..self.rest.start + front_part(&self.index, rest),
            Order::Descending => self.rest.end - back_part(&self.index, rest)..self.rest.end,
        })
    }

    fn peek(&self) -> Option<Bounds> {
        let part = self.part()?;
        let places = self.places.get(part)?;
        let (first, last) = (places.first()?, places.last()?);
        Some(Bounds { min: self.index.time(*first), max: self.index.time(*last) })
    }

    fn take_part(&mut self) -> Option<std::ops::Range<usize>> {
        let part = self.part()?;
        match self.order {
            Order::Ascending => self.rest.start = part.end,
            Order::Descending => self.rest.end = part.start,
        }
        Some(part)
    }

    fn load(&mut self, block: &mut Block) -> Loaded {
        let Some(part) = self.take_part() else { return Loaded::default() };
        let places = self.places.get(part).unwrap_or(&[]);
        fill(&self.index, places, &self.map, &self.deletes, block);
        if self.order == Order::Descending {
            reverse(block);
        }
        Loaded { rows: places.len() as u64, ..Loaded::default() }
    }
}

/// Rows of one series in one slice.
pub(crate) struct RunSource {
    pub slice: SliceRef,
    pub series: u32,
    /// Where each column of the scan stands among the slice's fields.
    pub fields: Arc<[Option<usize>]>,
    /// Times of the scan.
    pub time: TimeRange,
    /// Times whose rows are deleted.
    pub hidden: Vec<TimeRange>,
    pub order: Order,
    pub through: Through,
    /// Chunks that are still to be read.
    pub rest: std::ops::Range<usize>,
}

impl RunSource {
    /// Restricts the chunks to those that overlap the scan's times.
    pub(crate) fn seek(&mut self) {
        let chunks = self.slice.get().chunks(self.series);
        let start = chunks.partition_point(|chunk| chunk.t_max < self.time.start);
        let end = chunks.partition_point(|chunk| chunk.t_min < self.time.end);
        self.rest = start..end.max(start);
    }

    fn next_place(&self) -> Option<usize> {
        if self.rest.is_empty() {
            return None;
        }
        Some(match self.order {
            Order::Ascending => self.rest.start,
            Order::Descending => self.rest.end - 1,
        })
    }

    fn chunk(&self) -> Option<&ChunkMeta> {
        self.slice.get().chunks(self.series).get(self.next_place()?)
    }

    fn take_chunk(&mut self) -> Option<ChunkMeta> {
        let chunk = self.chunk().cloned()?;
        match self.order {
            Order::Ascending => self.rest.start += 1,
            Order::Descending => self.rest.end -= 1,
        }
        Some(chunk)
    }

    fn peek(&self) -> Option<Bounds> {
        let chunk = self.chunk()?;
        Some(Bounds {
            min: chunk.t_min.max(self.time.start),
            max: chunk.t_max.min(self.time.end - 1),
        })
    }

    fn load(&mut self, block: &mut Block, scratch: &mut Vec<u8>) -> Result<Loaded> {
        let Some(chunk) = self.take_chunk() else { return Ok(Loaded::default()) };
        let slice = self.slice.get();
        let has = |field: &Option<usize>| field.is_some_and(|f| slice.column(&chunk, f).is_some());
        if !self.fields.iter().any(has) {
            return Ok(Loaded::default());
        }
        let read = slice.read_chunk(&chunk, &self.fields, self.through, scratch, block)?;
        let inside = chunk.t_min >= self.time.start && chunk.t_max < self.time.end;
        let sparse = block.columns.iter().all(|column| column.presence != Presence::All);
        if !inside || sparse || !self.hidden.is_empty() {
            self.keep_visible(block);
        }
        if self.order == Order::Descending {
            reverse(block);
        }
        let rows = u64::from(chunk.rows);
        Ok(Loaded { chunks: 1, rows, pages: read })
    }

    /// Leaves out rows outside of the scan's times, deleted ones, and those without any column.
    fn keep_visible(&self, block: &mut Block) {
        let times = std::mem::take(&mut block.times);
        let visible = |row: usize, time: i64| {
            self.time.contains(time)
                && !self.hidden.iter().any(|hidden| hidden.contains(time))
                && block.columns.iter().any(|column| column.is_present(row))
        };
        let kept: Vec<(usize, i64)> =
            times.iter().enumerate().filter(|(row, time)| visible(*row, *time)).collect();
        if kept.len() == times.len() {
            block.times = times;
            return;
        }
        for column in &mut block.columns {
            let old = std::mem::take(column);
            column.fill(kept.iter().map(|(row, _)| old.get(*row)));
        }
        block.times = TimeColumn::Stamps(kept.into_iter().map(|(_, time)| time).collect());
    }

    /// Whether the next chunk cannot hold a row that fulfils `predicates`.
    pub(crate) fn excludes(&self, predicates: &[(usize, FieldPredicate)]) -> bool {
        let Some(chunk) = self.chunk() else { return false };
        predicates.iter().any(|(column, predicate)| {
            let field = self.fields.get(*column).copied().flatten();
            match field.and_then(|field| self.slice.get().column(chunk, field)) {
                // A row without the field does not fulfil a comparison with it.
                None => true,
                Some(column) => {
                    let summary = self.slice.get().summary(column);
                    summary.is_some_and(|s| !predicate.may_match(s.min, s.max))
                }
            }
        })
    }

    /// Fills `block` with summaries of the next chunk and passes it by, if the chunk lies inside one
    /// window and the scan's times, nothing of it is hidden, and every column in it has one.
    pub(crate) fn summarise(&mut self, windows: Option<Windows>, block: &mut Block) -> bool {
        let Some(chunk) = self.chunk() else { return false };
        let inside = chunk.t_min >= self.time.start && chunk.t_max < self.time.end;
        let in_one_window = windows.is_none_or(|w| {
            tsdb_core::time::window_start(chunk.t_min, w.every, w.offset)
                == tsdb_core::time::window_start(chunk.t_max, w.every, w.offset)
        });
        let overlaps = |hidden: &TimeRange| chunk.t_min < hidden.end && chunk.t_max >= hidden.start;
        if !inside || !in_one_window || self.hidden.iter().any(overlaps) {
            return false;
        }
        let slice = self.slice.get();
        let mut summaries: Vec<Option<Summary>> = Vec::with_capacity(self.fields.len());
        for field in self.fields.iter() {
            match field.and_then(|field| slice.column(chunk, field)) {
                None => summaries.push(None),
                Some(column) => match slice.dense_summary(column) {
                    Some(summary) => summaries.push(Some(*summary)),
                    None => return false,
                },
            }
        }
        if summaries.iter().all(Option::is_none) {
            return false;
        }
        let (first, last) = match self.order {
            Order::Ascending => (chunk.t_min, chunk.t_max),
            Order::Descending => (chunk.t_max, chunk.t_min),
        };
        block.times = TimeColumn::Span { first, last, count: chunk.rows as usize };
        for (column, summary) in block.columns.iter_mut().zip(summaries) {
            column.presence = if summary.is_some() { Presence::All } else { Presence::None };
            column.summary = summary;
        }
        let _ = self.take_chunk();
        true
    }
}
