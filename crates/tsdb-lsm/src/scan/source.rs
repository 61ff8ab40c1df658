//! Where rows of one series come from: a generation in memory or a slice of a run, each as a sequence of
//! stretches in the order of the scan.

use std::collections::VecDeque;
use std::sync::Arc;

use tsdb_core::limits::BLOCK_ROWS_MAX;
use tsdb_core::storage::{FieldPredicate, Order, Windows};
use tsdb_core::time::window_start;
use tsdb_core::{Block, Presence, Summary, TimeColumn, TimeRange};

use crate::error::Result;
use crate::memtable::{
    ColumnMap, Place, RowDelete, RowIndex, back_part, fill, front_part, reverse,
};
use crate::sst::{Chunk, Known, PagesRead, RawChunk, ReadBuffers, Through, Totals, WindowRows};
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
            Source::Run(source) => source.skip(),
        }
    }

    /// Fills `block`, which was reset, with the next stretch, in the order of the scan; perhaps with no
    /// rows at all.
    pub(crate) fn load(&mut self, block: &mut Block, buffers: &mut ReadBuffers) -> Result<Loaded> {
        match self {
            Source::Memory(source) => Ok(source.load(block)),
            Source::Run(source) => source.load(block, buffers),
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
    /// How often the values had been encoded.
    pub encodings: u32,
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
    /// Times that the next part has at most.
    pub times_max: usize,
}

/// Times of the first part that a scan backwards reads: often it is the last row alone that is wanted. The next parts are
/// larger, each [`PART_GROWTH`] times as large.
const LAST_TIMES: usize = 16;
const PART_GROWTH: usize = 4;

impl MemorySource {
    /// What [`MemorySource::times_max`] begins with.
    pub(crate) fn first_times(order: Order) -> usize {
        match order {
            Order::Ascending => BLOCK_ROWS_MAX,
            Order::Descending => LAST_TIMES,
        }
    }

    fn rest(&self) -> &[Place] {
        self.places.get(self.rest.clone()).unwrap_or(&[])
    }

    fn part(&self) -> Option<std::ops::Range<usize>> {
        let rest = self.rest();
        if rest.is_empty() {
            return None;
        }
        Some(match self.order {
            Order::Ascending => self.rest.start..self.rest.start + front_part(rest, self.times_max),
            Order::Descending => self.rest.end - back_part(rest, self.times_max)..self.rest.end,
        })
    }

    fn peek(&self) -> Option<Bounds> {
        let part = self.part()?;
        let places = self.places.get(part)?;
        let (first, last) = (places.first()?, places.last()?);
        Some(Bounds { min: first.time, max: last.time })
    }

    fn take_part(&mut self) -> Option<std::ops::Range<usize>> {
        let part = self.part()?;
        match self.order {
            Order::Ascending => self.rest.start = part.end,
            Order::Descending => self.rest.end = part.start,
        }
        self.times_max = (self.times_max * PART_GROWTH).min(BLOCK_ROWS_MAX);
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
    slice: SliceRef,
    wanted: RowsWanted,
    /// Chunks that are still to be read, in order of time.
    rest: VecDeque<Chunk>,
    /// Summaries of parts of a chunk that was taken, in the order of the scan.
    spans: VecDeque<Span>,
}

/// What is known of a part of a chunk.
struct Span {
    t_first: i64,
    t_last: i64,
    rows: usize,
    /// By column of the scan.
    summaries: Vec<Option<Summary>>,
}

/// Which rows of a slice are read.
pub(crate) struct RowsWanted {
    /// Where each column of the scan stands among the slice's fields.
    pub fields: Arc<[Option<usize>]>,
    /// Times of the scan.
    pub time: TimeRange,
    /// Times whose rows are deleted.
    pub hidden: Vec<TimeRange>,
    pub order: Order,
    pub through: Through,
}

impl RunSource {
    /// The rows of a series of a slice.
    ///
    /// # Errors
    /// A directory that cannot be read.
    pub(crate) fn open(
        slice: SliceRef,
        series: u32,
        wanted: RowsWanted,
        buffers: &mut ReadBuffers,
    ) -> Result<RunSource> {
        let chunks = slice.get().chunks(series, wanted.time, wanted.through, buffers)?;
        Ok(RunSource { slice, wanted, rest: chunks.into(), spans: VecDeque::new() })
    }

    fn chunk(&self) -> Option<&Chunk> {
        match self.wanted.order {
            Order::Ascending => self.rest.front(),
            Order::Descending => self.rest.back(),
        }
    }

    fn take_chunk(&mut self) -> Option<Chunk> {
        match self.wanted.order {
            Order::Ascending => self.rest.pop_front(),
            Order::Descending => self.rest.pop_back(),
        }
    }

    fn peek(&self) -> Option<Bounds> {
        if let Some(span) = self.spans.front() {
            return Some(Bounds { min: span.t_first, max: span.t_last });
        }
        let chunk = self.chunk()?;
        Some(Bounds {
            min: chunk.t_min.max(self.wanted.time.start),
            max: chunk.t_max.min(self.wanted.time.end - 1),
        })
    }

    /// Passes the next stretch by.
    fn skip(&mut self) {
        if self.spans.pop_front().is_none() {
            let _ = self.take_chunk();
        }
    }

    fn load(&mut self, block: &mut Block, buffers: &mut ReadBuffers) -> Result<Loaded> {
        let Some(chunk) = self.take_chunk() else { return Ok(Loaded::default()) };
        let (slice, wanted) = (self.slice.get(), &self.wanted);
        let has = |field: &Option<usize>| field.is_some_and(|f| slice.has_field(&chunk, f));
        if !wanted.fields.iter().any(has) {
            return Ok(Loaded::default());
        }
        slice.read_chunk(&chunk, &wanted.fields, wanted.through, buffers, block)?;
        let inside = chunk.t_min >= wanted.time.start && chunk.t_max < wanted.time.end;
        if !inside {
            let rows = block.times.rows_in(wanted.time);
            block.keep_rows(rows);
        }
        let sparse = block.columns.iter().all(|column| column.presence != Presence::All);
        if sparse || !wanted.hidden.is_empty() {
            self.keep_visible(block);
        }
        if wanted.order == Order::Descending {
            reverse(block);
        }
        let (rows, pages) = (u64::from(chunk.rows), buffers.take_read());
        Ok(Loaded { chunks: 1, rows, pages, encodings: chunk.encodings() })
    }

    /// The next chunk as it is encoded, if all of it is wanted and it is one of its series alone.
    ///
    /// # Errors
    /// A directory or a page that cannot be read.
    pub(crate) fn take_raw(&mut self, buffers: &mut ReadBuffers) -> Result<Option<RawChunk>> {
        let wanted = |chunk: &&Chunk| {
            let time = self.wanted.time;
            let inside = chunk.t_min >= time.start && chunk.t_max < time.end;
            let overlaps =
                |hidden: &TimeRange| chunk.t_min < hidden.end && chunk.t_max >= hidden.start;
            chunk.is_exact() && inside && !self.wanted.hidden.iter().any(overlaps)
        };
        let Some(chunk) = self.chunk().filter(wanted) else { return Ok(None) };
        let raw = self.slice.get().raw_chunk(chunk, buffers)?;
        let _ = self.take_chunk();
        Ok(Some(raw))
    }

    /// Leaves out deleted rows and those without any column.
    fn keep_visible(&self, block: &mut Block) {
        let times = std::mem::take(&mut block.times);
        let visible = |row: usize, time: i64| {
            !self.wanted.hidden.iter().any(|hidden| hidden.contains(time))
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
    ///
    /// # Errors
    /// A damaged directory.
    pub(crate) fn excludes(&self, predicates: &[(usize, FieldPredicate)]) -> Result<bool> {
        let Some(chunk) = self.chunk().filter(|_| self.spans.is_empty()) else { return Ok(false) };
        for (column, predicate) in predicates {
            let field = self.wanted.fields.get(*column).copied().flatten();
            let excluded =
                match field.map(|field| self.slice.get().known(chunk, field)).transpose()? {
                    // A row without the field does not fulfil a comparison with it.
                    None | Some(Known::Absent) => true,
                    Some(Known::Nothing) => false,
                    Some(Known::Windows(windows)) => {
                        windows.iter().all(|totals| !predicate.may_match(totals.min, totals.max))
                    }
                };
            if excluded {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Fills `block` with summaries of a part of the next chunk, and passes that part by, if the chunk lies inside
    /// the scan's times, nothing of it is hidden, its windows fit into those that are asked for, and every column
    /// in it has summaries. The chunk's other parts come next. Says how many chunks were passed by with this: one
    /// with its first part, none with the others; `None` where the chunk must be read.
    ///
    /// # Errors
    /// A damaged directory, timestamps that cannot be read.
    pub(crate) fn summarise(
        &mut self,
        windows: Option<Windows>,
        buffers: &mut ReadBuffers,
        block: &mut Block,
    ) -> Result<Option<u64>> {
        let mut chunks = 0;
        if self.spans.is_empty() {
            self.spans = self.spans_of_next(windows, buffers)?;
            if self.spans.is_empty() {
                return Ok(None);
            }
            chunks = self.take_chunk().map_or(0, |_| 1);
        }
        let Some(span) = self.spans.pop_front() else { return Ok(None) };
        let (first, last) = match self.wanted.order {
            Order::Ascending => (span.t_first, span.t_last),
            Order::Descending => (span.t_last, span.t_first),
        };
        block.times = TimeColumn::Span { first, last, count: span.rows };
        for (column, summary) in block.columns.iter_mut().zip(span.summaries) {
            column.presence = if summary.is_some() { Presence::All } else { Presence::None };
            column.summary = summary;
        }
        Ok(Some(chunks))
    }

    /// Summaries of the next chunk by window of the scan; none where it must be read.
    fn spans_of_next(
        &self,
        windows: Option<Windows>,
        buffers: &mut ReadBuffers,
    ) -> Result<VecDeque<Span>> {
        let none = Ok(VecDeque::new());
        let Some(chunk) = self.chunk().filter(|chunk| chunk.has_windows()) else { return none };
        let (slice, wanted) = (self.slice.get(), &self.wanted);
        let inside = chunk.t_min >= wanted.time.start && chunk.t_max < wanted.time.end;
        let overlaps = |hidden: &TimeRange| chunk.t_min < hidden.end && chunk.t_max >= hidden.start;
        if !inside || wanted.hidden.iter().any(overlaps) {
            return none;
        }
        let mut columns = Vec::with_capacity(wanted.fields.len());
        for field in wanted.fields.iter() {
            match field.map(|field| slice.known(chunk, field)).transpose()? {
                None | Some(Known::Absent) => columns.push(None),
                Some(Known::Windows(totals)) => columns.push(Some(totals)),
                Some(Known::Nothing) => return none,
            }
        }
        if columns.iter().all(Option::is_none) {
            return none;
        }
        let rows = slice.windows(chunk, wanted.through, buffers)?;
        let window = |time| windows.map_or(0, |w| window_start(time, w.every, w.offset));
        if rows.iter().any(|part| window(part.t_first) != window(part.t_last)) {
            return none;
        }
        let mut spans = VecDeque::new();
        let mut start = 0;
        for parts in rows.chunk_by(|a, b| window(a.t_first) == window(b.t_first)) {
            let span = span_of(parts, start, &columns);
            start += parts.len();
            match wanted.order {
                Order::Ascending => spans.extend(span),
                Order::Descending => span.into_iter().for_each(|span| spans.push_front(span)),
            }
        }
        Ok(spans)
    }
}

/// The summary of some windows of a chunk, which begin at the window `start`.
fn span_of(parts: &[WindowRows], start: usize, columns: &[Option<&[Totals]>]) -> Option<Span> {
    let (first, last) = (parts.first()?, parts.last()?);
    let together = |totals: &[Totals]| {
        let totals = totals.get(start..start + parts.len())?;
        let parts: Vec<_> = parts.iter().cloned().zip(totals.iter().copied()).collect();
        Totals::together(&parts)
    };
    Some(Span {
        t_first: first.t_first,
        t_last: last.t_last,
        rows: last.rows.end - first.rows.start,
        summaries: columns.iter().map(|totals| totals.and_then(together)).collect(),
    })
}
