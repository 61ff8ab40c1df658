//! Reads all of a run and checks what its parts say of each other.

use std::sync::Arc;

use tsdb_core::checksum::crc32c_append;
use tsdb_core::{Block, Presence, TimeRange};

use super::buffers::ReadBuffers;
use super::directory::{Directory, PagePlace};
use super::reader::{Run, Through};
use super::slice::{Chunk, Known, Slice};
use super::windows::Totals;
use crate::error::Result;

impl Run {
    /// Reads and decodes every page, and works every sub-summary out again.
    pub(crate) fn verify(&self) -> Result<()> {
        let mut buffers = ReadBuffers::default();
        let mut checksum = 0;
        for slice in &self.slices {
            for group in 0..slice.groups() {
                let directory = slice.directory(group, Through::File, &mut buffers)?;
                let Some((directory, (_, at))) = directory.zip(slice.group_offsets(group)) else {
                    continue;
                };
                for place in slice.pages(&directory, at)? {
                    let crc = slice.stored_checksum(place)?;
                    checksum = crc32c_append(checksum, &crc);
                }
            }
            slice.verify_index()?;
            slice.verify_rows(&mut buffers)?;
        }
        if checksum != self.pages_checksum {
            return Err(self.file.corrupt(0, "the pages are not those that the footer names"));
        }
        Ok(())
    }
}

impl Slice {
    /// All pages of a group in the order of the file, its directory, which is at `at`, last.
    fn pages(&self, directory: &Directory, at: u64) -> Result<Vec<PagePlace>> {
        let mut pages = directory.stamp_pages().to_vec();
        for field in directory.fields() {
            for entry in 0..directory.entries.len() {
                let page = directory.page(field, entry).map_err(self.file.malformed(at))?;
                pages.extend(page.map(|page| page.place));
            }
        }
        pages.push(PagePlace { offset: at, bytes: directory.page_bytes() });
        Ok(pages)
    }

    /// The checksum behind a page.
    fn stored_checksum(&self, place: PagePlace) -> Result<[u8; 4]> {
        let mut bytes = Vec::new();
        self.file.read(place.offset.saturating_add(u64::from(place.bytes)), 4, &mut bytes)?;
        Ok(bytes.first_chunk().copied().unwrap_or_default())
    }

    /// Reads the rows of every series.
    fn verify_rows(&self, buffers: &mut ReadBuffers) -> Result<()> {
        let all: Arc<[Option<usize>]> = (0..self.fields().len()).map(Some).collect();
        let mut block = Block::new();
        let mut rows = 0;
        for series in 0..self.index().len() {
            let mut last: Option<i64> = None;
            for chunk in self.chunks(series, TimeRange::all(), Through::File, buffers)? {
                block.reset(0, all.len());
                self.read_chunk(&chunk, &all, Through::File, buffers, &mut block)?;
                rows += block.len() as u64;
                let first = block.times.get(0);
                if first.is_none() || last.is_some_and(|last| first <= Some(last)) {
                    return Err(self.damaged(&chunk, "a series whose chunks are not in order"));
                }
                last = block.times.get(block.len() - 1);
                self.verify_windows(&chunk, &block, buffers)?;
            }
        }
        if rows != self.meta().rows {
            return Err(self.file.corrupt(0, "a slice has another number of rows than it should"));
        }
        Ok(())
    }

    fn verify_windows(
        &self,
        chunk: &Chunk,
        block: &Block,
        buffers: &mut ReadBuffers,
    ) -> Result<()> {
        if !chunk.has_windows() {
            return Ok(());
        }
        let windows = self.windows(chunk, Through::File, buffers)?;
        for (place, column) in block.columns.iter().enumerate() {
            let Known::Windows(stored) = self.known(chunk, place)? else { continue };
            let same = |known: &Totals, due: Option<Totals>| {
                let bits = |t: &Totals| [t.sum, t.min, t.max, t.first, t.last].map(f64::to_bits);
                due.is_some_and(|due| bits(known) == bits(&due))
            };
            let due =
                windows.iter().map(|window| Totals::of(column.values.get(window.rows.clone())?));
            let agree = stored.len() == windows.len()
                && column.presence == Presence::All
                && stored.iter().zip(due).all(|(known, due)| same(known, due));
            if !agree {
                return Err(self.damaged(chunk, "a summary that the values contradict"));
            }
        }
        Ok(())
    }
}
