//! Merging the sources of one series: the newest value of each (timestamp, field) wins, and whatever
//! does not overlap is passed on whole.

use tsdb_core::limits::BLOCK_ROWS_MAX;
use tsdb_core::planted::{Planted, is_planted};
use tsdb_core::storage::{FieldPredicate, Order, Want, Windows};
use tsdb_core::{Block, Presence, TimeColumn};

use super::source::{Bounds, Loaded, Source};
use crate::error::Result;
use crate::memtable::BlockBuilder;
use crate::sst::{PagesRead, RawChunk, ReadBuffers};

/// What a merge may do instead of reading rows.
#[derive(Debug, Clone)]
pub(crate) struct MergeOptions {
    pub order: Order,
    pub want: Want,
    pub windows: Option<Windows>,
    /// By column.
    pub predicates: Vec<(usize, FieldPredicate)>,
    /// Whether chunks that overlap nothing are handed on as they are encoded.
    pub copies: bool,
}

impl MergeOptions {
    /// All rows, oldest first.
    pub(crate) fn rows() -> MergeOptions {
        MergeOptions {
            order: Order::Ascending,
            want: Want::Rows,
            windows: None,
            predicates: Vec::new(),
            copies: false,
        }
    }
}

impl MergeOptions {
    /// All rows, oldest first; what overlaps nothing as it is encoded.
    pub(crate) fn copying() -> MergeOptions {
        MergeOptions { copies: true, ..MergeOptions::rows() }
    }
}

/// What comes next of a series.
pub(crate) enum Piece {
    /// The block was filled with rows or summaries.
    Block,
    /// A chunk, if [`MergeOptions::copies`] says so.
    Raw(RawChunk),
}

/// What a merge did, for counters and EXPLAIN.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct MergeCounts {
    /// Chunks that their summaries answered for.
    pub summarised: u64,
    /// Chunks that were read.
    pub decoded: u64,
    /// Chunks that a predicate excluded.
    pub pruned: u64,
    /// Rows taken from chunks and from memory.
    pub rows: u64,
    pub pages: PagesRead,
    /// How often the values of the chunks that were read had been encoded, at most.
    pub encodings: u32,
}

impl MergeCounts {
    fn add(&mut self, loaded: Loaded) {
        self.decoded += loaded.chunks;
        self.rows += loaded.rows;
        self.pages += loaded.pages;
        self.encodings = self.encodings.max(loaded.encodings);
    }
}

/// A source, and the stretch of it that is being merged row by row.
struct Head {
    source: Source,
    block: Block,
    /// Next row of `block`; beyond its end when nothing is loaded.
    row: usize,
}

impl Head {
    fn is_loaded(&self) -> bool {
        self.row < self.block.len()
    }

    fn time(&self) -> Option<i64> {
        self.block.times.get(self.row)
    }

    /// Bounds of what comes next: the rest of the loaded block, else the source's next stretch.
    fn bounds(&self) -> Option<Bounds> {
        match self.time() {
            Some(near) => {
                let far = self.block.times.get(self.block.len() - 1).unwrap_or(near);
                Some(Bounds { min: near.min(far), max: near.max(far) })
            }
            None => self.source.peek(),
        }
    }
}

/// Rows of one series from all its sources, block by block.
pub(crate) struct SeriesMerge {
    /// Newest first.
    heads: Vec<Head>,
    options: MergeOptions,
    pub counts: MergeCounts,
}

/// `a` comes before `b` in the order of the scan.
fn before(order: Order, a: i64, b: i64) -> bool {
    match order {
        Order::Ascending => a < b,
        Order::Descending => a > b,
    }
}

fn near(order: Order, bounds: Bounds) -> i64 {
    if order == Order::Ascending { bounds.min } else { bounds.max }
}

fn far(order: Order, bounds: Bounds) -> i64 {
    if order == Order::Ascending { bounds.max } else { bounds.min }
}

impl SeriesMerge {
    /// `sources` are in order of age, newest first.
    pub(crate) fn new(sources: Vec<Source>, options: MergeOptions) -> SeriesMerge {
        let head = |source| Head { source, block: Block::new(), row: 0 };
        SeriesMerge {
            heads: sources.into_iter().map(head).collect(),
            options,
            counts: MergeCounts::default(),
        }
    }

    /// Fills `out`, which is reset first, with the next rows or summaries; false at the end.
    pub(crate) fn next(
        &mut self,
        series: u32,
        columns: usize,
        out: &mut Block,
        buffers: &mut ReadBuffers,
    ) -> Result<bool> {
        Ok(self.next_piece(series, columns, out, buffers)?.is_some())
    }

    /// As [`SeriesMerge::next`], for merges that copy what they can; `None` at the end.
    pub(crate) fn next_piece(
        &mut self,
        series: u32,
        columns: usize,
        out: &mut Block,
        buffers: &mut ReadBuffers,
    ) -> Result<Option<Piece>> {
        loop {
            buffers.keep_values(&mut out.columns);
            out.reset(series, columns);
            let Some((first, alone)) = self.pick() else { return Ok(None) };
            if alone {
                if let Some(chunk) = self.pass_on(first, out, buffers)? {
                    return Ok(Some(Piece::Raw(chunk)));
                }
            } else {
                self.merge(first, columns, out, buffers)?;
            }
            if !out.is_empty() {
                return Ok(Some(Piece::Block));
            }
        }
    }

    /// The source whose next stretch begins first, and whether nothing overlaps that stretch.
    fn pick(&self) -> Option<(usize, bool)> {
        let order = self.options.order;
        let bounds: Vec<Option<Bounds>> = self.heads.iter().map(Head::bounds).collect();
        let mut first: Option<(usize, Bounds)> = None;
        for (place, bounds) in bounds.iter().enumerate() {
            if let Some(bounds) = bounds
                && first
                    .is_none_or(|(_, best)| before(order, near(order, *bounds), near(order, best)))
            {
                first = Some((place, *bounds));
            }
        }
        let (place, best) = first?;
        let others = bounds.iter().enumerate().filter(|(other, _)| *other != place);
        let alone =
            others.flat_map(|(_, b)| b).all(|b| before(order, far(order, best), near(order, *b)));
        let believed =
            self.options.want == Want::Summaries && is_planted(Planted::SummariesDespiteOverlap);
        Some((place, alone || believed))
    }

    /// Whether no other source has rows inside the next stretch of the source at `place`.
    fn stands_alone(&self, place: usize) -> bool {
        let Some(own) = self.heads.get(place).and_then(Head::bounds) else { return false };
        let others = self.heads.iter().enumerate().filter(|(other, _)| *other != place);
        others.filter_map(|(_, head)| head.bounds()).all(|b| b.max < own.min || b.min > own.max)
    }

    /// The stretch at `place` overlaps no other source, so it goes out as it is, and only here may a
    /// summary answer for it or a predicate exclude it.
    fn pass_on(
        &mut self,
        place: usize,
        out: &mut Block,
        buffers: &mut ReadBuffers,
    ) -> Result<Option<RawChunk>> {
        // invariant: I11: only a stretch that no other source shares is answered or skipped unread.
        debug_assert!(
            self.stands_alone(place) || is_planted(Planted::SummariesDespiteOverlap),
            "I11: a stretch is passed on that two sources share"
        );
        let Some(head) = self.heads.get_mut(place) else { return Ok(None) };
        if head.is_loaded() {
            take_rest(head, out);
            return Ok(None);
        }
        if let Source::Run(source) = &mut head.source {
            if source.excludes(&self.options.predicates)? {
                head.source.skip();
                self.counts.pruned += 1;
                return Ok(None);
            }
            if self.options.want == Want::Summaries
                && let Some(chunks) = source.summarise(self.options.windows, buffers, out)?
            {
                self.counts.summarised += chunks;
                self.counts.pages += buffers.take_read();
                return Ok(None);
            }
        }
        if self.options.copies
            && let Source::Run(source) = &mut head.source
            && let Some(chunk) = source.take_raw(buffers)?
        {
            self.counts.pages += buffers.take_read();
            return Ok(Some(chunk));
        }
        self.counts.add(head.source.load(out, buffers)?);
        Ok(None)
    }

    /// Merges row by row from the source at `first` and all that overlap it, as far as it is known that
    /// no other rows lie between.
    fn merge(
        &mut self,
        first: usize,
        columns: usize,
        out: &mut Block,
        buffers: &mut ReadBuffers,
    ) -> Result<()> {
        let order = self.options.order;
        let Some(stretch) = self.heads.get(first).and_then(Head::bounds) else { return Ok(()) };
        let mut limit: Option<i64> = None;
        for head in &mut self.heads {
            let Some(bounds) = head.bounds() else { continue };
            let begins = near(order, bounds);
            if head.is_loaded() {
                continue;
            }
            if before(order, far(order, stretch), begins) {
                limit = Some(
                    limit.map_or(begins, |l| if before(order, l, begins) { l } else { begins }),
                );
                continue;
            }
            head.block.reset(0, columns);
            head.row = 0;
            self.counts.add(head.source.load(&mut head.block, buffers)?);
            if head.block.is_empty() {
                // Its bounds promised rows that were hidden; look again at what comes next.
                return Ok(());
            }
        }
        let mut builder = BlockBuilder::new(out);
        while builder.rows() < BLOCK_ROWS_MAX {
            let times = self.heads.iter().filter_map(Head::time);
            let next = times.reduce(|a, b| if before(order, b, a) { b } else { a });
            let Some(time) = next.filter(|time| limit.is_none_or(|l| before(order, *time, l)))
            else {
                break;
            };
            let mut exhausted = false;
            for head in self.heads.iter_mut().filter(|head| head.time() == Some(time)) {
                for (number, column) in head.block.columns.iter().enumerate() {
                    if let Some(value) = column.get(head.row) {
                        builder.offer(number, || value);
                    }
                }
                head.row += 1;
                exhausted |= !head.is_loaded();
            }
            builder.end_row(time);
            if exhausted {
                break;
            }
        }
        builder.finish();
        Ok(())
    }
}

/// Moves the rest of a loaded block to `out`.
fn take_rest(head: &mut Head, out: &mut Block) {
    if head.row == 0 {
        std::mem::swap(&mut out.times, &mut head.block.times);
        std::mem::swap(&mut out.columns, &mut head.block.columns);
        head.block.reset(0, 0);
        return;
    }
    let from = head.row;
    let stamps: Vec<i64> = head.block.times.iter().skip(from).collect();
    for (to, column) in out.columns.iter_mut().zip(&head.block.columns) {
        if column.presence != Presence::None {
            to.fill((from..head.block.len()).map(|row| column.get(row)));
        }
    }
    out.times = TimeColumn::Stamps(stamps);
    head.row = head.block.len();
}
