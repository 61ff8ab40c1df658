//! Reads the rows of chunks.

use std::ops::Range;
use std::sync::Arc;

use tsdb_core::{Block, Column, Presence, TimeColumn};

use super::{Chunk, Slice};
use crate::bytes::{Malformed, Reader};
use crate::codec::{decode_integers, decode_presence, decode_times, decode_values};
use crate::error::Result;
use crate::sst::buffers::{ReadBuffers, SharedRows};
use crate::sst::directory::{Entry, PagePlace, Stamps};
use crate::sst::reader::Through;

impl Slice {
    /// Reads the timestamps of a chunk and the columns of `fields` (places among [`Slice::fields`]) into
    /// `block`, which was reset; fields that the chunk does not have stay absent.
    pub(crate) fn read_chunk(
        &self,
        chunk: &Chunk,
        fields: &Arc<[Option<usize>]>,
        through: Through,
        buffers: &mut ReadBuffers,
        block: &mut Block,
    ) -> Result<()> {
        let Some(entry) = chunk.entry() else { return Ok(()) };
        if entry.is_shared() {
            return self.read_shared(chunk, entry, fields, through, buffers, block);
        }
        self.read_vector(chunk, entry, through, buffers, &mut block.times)?;
        self.read_columns(chunk, entry, fields, through, buffers, &mut block.columns)
    }

    /// Reads the one vector of timestamps that all series of an entry have.
    pub(super) fn read_vector(
        &self,
        chunk: &Chunk,
        entry: &Entry,
        through: Through,
        buffers: &mut ReadBuffers,
        out: &mut TimeColumn,
    ) -> Result<()> {
        let rows = chunk.rows as usize;
        match entry.stamps {
            Stamps::Regular => {
                let regular = regular(entry.t_min, entry.t_max, rows);
                *out = regular.ok_or_else(|| {
                    let what = "regular timestamps that their ends contradict";
                    self.damaged(chunk, what)
                })?;
            }
            Stamps::Vector(page) => {
                let Some(place) = chunk.directory.stamp_page(page) else { return Ok(()) };
                let key = (self.file.run, place.offset, rows);
                if let Some(times) = buffers.times(key) {
                    out.clone_from(times);
                    return Ok(());
                }
                self.with_page(place, through, buffers, |bytes| {
                    let mut reader = Reader::new(bytes);
                    decode_times(&mut reader, rows, out).and_then(|()| reader.end())
                })?;
                let ends = out.get(0).zip(out.get(rows - 1));
                if ends != Some((entry.t_min, entry.t_max)) {
                    let what = "a chunk's timestamps are not those of its directory";
                    return Err(self.file.corrupt(place.offset, what));
                }
                buffers.keep_times(key, out);
            }
            Stamps::Apart(_) => {
                let what = "one vector of timestamps where each series has its own";
                return Err(self.damaged(chunk, what));
            }
        }
        Ok(())
    }

    /// Reads the columns of `fields` of all rows of an entry.
    fn read_columns(
        &self,
        chunk: &Chunk,
        entry: &Entry,
        fields: &[Option<usize>],
        through: Through,
        buffers: &mut ReadBuffers,
        columns: &mut [Column],
    ) -> Result<()> {
        for (field, out) in fields.iter().zip(columns) {
            let number = field.and_then(|place| self.numbers.get(place));
            let Some(number) = number else { continue };
            let page = chunk.directory.page(*number, chunk.entry);
            let page =
                page.map_err(|malformed| self.file.malformed(self.offset_of(chunk))(malformed))?;
            let Some(page) = page else { continue };
            let rows = entry.rows as usize;
            buffers.lend_values(out);
            self.with_page(page.place, through, buffers, |bytes| decode_column(bytes, rows, out))?;
            if page.is_dense != (out.presence == Presence::All) {
                let what = "a column has other rows than its directory says";
                return Err(self.file.corrupt(page.place.offset, what));
            }
        }
        Ok(())
    }

    /// Reads the rows of one series of an entry that several share. The entry stays in the buffers, for the next
    /// series.
    fn read_shared(
        &self,
        chunk: &Chunk,
        entry: &Entry,
        fields: &Arc<[Option<usize>]>,
        through: Through,
        buffers: &mut ReadBuffers,
        block: &mut Block,
    ) -> Result<()> {
        let key = (self.file.run, self.index_key());
        let mut shared = buffers.take_shared(key);
        if !shared.is_of(&chunk.directory, chunk.entry, fields) {
            shared = SharedRows::new(&chunk.directory, chunk.entry, fields);
            shared.starts = starts_of(chunk.directory.rows_of_series(entry));
            self.read_stamps(chunk, entry, through, buffers, &mut shared)?;
            shared.columns.resize_with(fields.len(), Column::default);
            self.read_columns(chunk, entry, fields, through, buffers, &mut shared.columns)?;
        }
        let rows = shared.rows_of(chunk.part);
        let times = if shared.is_one_vector { 0..rows.len() } else { rows.clone() };
        let times = shared.times.get(times).unwrap_or(&[]);
        let increase = times.is_sorted_by(|a, b| a < b);
        let within =
            |time: Option<&i64>| time.is_some_and(|t| *t >= entry.t_min && *t <= entry.t_max);
        if !increase || !within(times.first()) || !within(times.last()) {
            let what = "timestamps of a short series that do not increase, or leave their entry";
            return Err(self.damaged(chunk, what));
        }
        block.times.stamps_mut().extend_from_slice(times);
        for (out, column) in block.columns.iter_mut().zip(&shared.columns) {
            copy_rows(column, rows.clone(), out);
        }
        buffers.keep_shared(key, shared);
        Ok(())
    }

    fn read_stamps(
        &self,
        chunk: &Chunk,
        entry: &Entry,
        through: Through,
        buffers: &mut ReadBuffers,
        shared: &mut SharedRows,
    ) -> Result<()> {
        let Stamps::Apart(page) = entry.stamps else {
            let mut times = TimeColumn::default();
            // Of one vector every series has the same number of rows.
            let same = chunk.directory.rows_of_series(entry).all(|rows| rows == chunk.rows);
            if !same {
                let what = "one vector of timestamps for series of different lengths";
                return Err(self.damaged(chunk, what));
            }
            self.read_vector(chunk, entry, through, buffers, &mut times)?;
            shared.is_one_vector = true;
            shared.times = times.iter().collect();
            return Ok(());
        };
        let Some(place) = chunk.directory.stamp_page(page) else { return Ok(()) };
        let rows = entry.rows as usize;
        self.with_page(place, through, buffers, |bytes| {
            let mut reader = Reader::new(bytes);
            shared.times = decode_integers(&mut reader, rows)?;
            reader.end()
        })
    }

    /// The payload of a page.
    pub(in crate::sst) fn page_bytes(
        &self,
        place: PagePlace,
        through: Through,
        buffers: &mut ReadBuffers,
    ) -> Result<Vec<u8>> {
        let (scratch, read) = (&mut buffers.page, &mut buffers.read);
        let page = self.file.page(place.offset, place.bytes as usize, through, scratch, read)?;
        Ok(page.to_vec())
    }

    /// Reads a page and hands it to `decode`.
    fn with_page(
        &self,
        place: PagePlace,
        through: Through,
        buffers: &mut ReadBuffers,
        decode: impl FnOnce(&[u8]) -> Result<(), Malformed>,
    ) -> Result<()> {
        let bytes = place.bytes as usize;
        let (scratch, read) = (&mut buffers.page, &mut buffers.read);
        let page = self.file.page(place.offset, bytes, through, scratch, read)?;
        decode(&page).map_err(self.file.malformed(place.offset))
    }
}

/// The timestamps that the ends and the number of rows say; `None` if they are not in equal steps.
pub(in crate::sst) fn regular(t_min: i64, t_max: i64, rows: usize) -> Option<TimeColumn> {
    let steps = i64::try_from(rows.checked_sub(1)?).ok()?;
    let length = t_max.checked_sub(t_min)?;
    let step = length.checked_div(steps).unwrap_or(0);
    let fits = step.checked_mul(steps) == Some(length) && (step > 0 || rows == 1);
    fits.then_some(TimeColumn::Regular { first: t_min, step, count: rows })
}

/// Where each series begins, and where the last ends.
fn starts_of(rows: impl Iterator<Item = u32>) -> Vec<usize> {
    let mut starts = vec![0];
    let mut end = 0usize;
    starts.extend(rows.map(|rows| {
        end += rows as usize;
        end
    }));
    starts
}

/// Fills `out` with some rows of `column`.
fn copy_rows(column: &Column, rows: Range<usize>, out: &mut Column) {
    match column.presence {
        Presence::None => {}
        Presence::All => {
            out.clear();
            out.values.extend_from_slice(column.values.get(rows).unwrap_or(&[]));
            out.presence = Presence::All;
        }
        Presence::Some(_) => out.fill(rows.map(|row| column.get(row))),
    }
}

pub(in crate::sst) fn decode_column(
    bytes: &[u8],
    rows: usize,
    out: &mut Column,
) -> Result<(), Malformed> {
    let mut reader = Reader::new(bytes);
    let (presence, present) = decode_presence(&mut reader, rows)?;
    out.presence = Presence::None;
    decode_values(&mut reader, present, &mut out.values)?;
    reader.end()?;
    if let Presence::Some(words) = &presence {
        let mut dense = std::mem::take(&mut out.values).into_iter();
        out.values.extend((0..rows).map(|row| {
            let set = words.get(row / 64).is_some_and(|word| word >> (row % 64) & 1 == 1);
            if set { dense.next().unwrap_or(0.0) } else { 0.0 }
        }));
    }
    out.presence = presence;
    Ok(())
}
