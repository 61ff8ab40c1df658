//! Chunks as they are encoded: what a merge copies from one run to another without decoding it.

use std::path::PathBuf;
use std::sync::Arc;

use tsdb_core::{Block, TimeColumn};

use super::buffers::ReadBuffers;
use super::directory::Stamps;
use super::reader::Through;
use super::slice::{Chunk, Slice, decode_column, regular};
use super::windows::{Totals, Width};
use crate::bytes::Reader;
use crate::codec::decode_times;
use crate::error::{Error, Result};

/// A chunk of one series, encoded.
#[derive(Debug)]
pub(crate) struct RawChunk {
    pub rows: u32,
    pub t_min: i64,
    pub t_max: i64,
    /// How often its values were encoded.
    pub encodings: u32,
    pub(super) width: Width,
    pub(super) windows: u32,
    /// Payload of the page of timestamps, unless they are in equal steps.
    pub(super) stamps: Option<Vec<u8>>,
    pub(super) columns: Vec<RawColumn>,
    /// Where it came from: the file and its group's directory page.
    path: PathBuf,
    offset: u64,
}

/// A column of such a chunk.
#[derive(Debug)]
pub(super) struct RawColumn {
    pub name: Arc<str>,
    pub page: Vec<u8>,
    pub is_dense: bool,
    pub totals: Option<Vec<Totals>>,
}

impl RawChunk {
    fn damaged(&self, what: &str) -> Error {
        Error::Corrupt { path: self.path.clone(), offset: self.offset, what: what.to_owned() }
    }

    /// Number of values, counting those that are absent.
    pub(crate) fn cells(&self) -> u64 {
        u64::from(self.rows) * self.columns.len() as u64
    }

    /// Decodes into `block`, which is reset, the columns of `names`, which are sorted and have all of its own.
    pub(crate) fn decode(&self, names: &[Arc<str>], block: &mut Block) -> Result<()> {
        block.reset(0, names.len());
        let rows = self.rows as usize;
        match &self.stamps {
            None => {
                let times: Option<TimeColumn> = regular(self.t_min, self.t_max, rows);
                let what = "regular timestamps that their ends contradict";
                block.times = times.ok_or_else(|| self.damaged(what))?;
            }
            Some(page) => {
                let mut reader = Reader::new(page);
                let decoded = decode_times(&mut reader, rows, &mut block.times);
                decoded
                    .and_then(|()| reader.end())
                    .map_err(|malformed| self.damaged(malformed.what))?;
            }
        }
        for column in &self.columns {
            let place = names.binary_search(&column.name).ok();
            let Some(out) = place.and_then(|place| block.columns.get_mut(place)) else { continue };
            decode_column(&column.page, rows, out)
                .map_err(|malformed| self.damaged(malformed.what))?;
        }
        Ok(())
    }
}

impl Slice {
    /// The pages of a chunk of one series, each checked, with what the directory says of it.
    pub(crate) fn raw_chunk(&self, chunk: &Chunk, buffers: &mut ReadBuffers) -> Result<RawChunk> {
        let Some(entry) = chunk.entry().filter(|entry| !entry.is_shared()) else {
            return Err(self.damaged(chunk, "a chunk of several series where one is expected"));
        };
        let stamps = match entry.stamps {
            Stamps::Regular => None,
            Stamps::Vector(page) => {
                let place = chunk.directory().stamp_page(page);
                place.map(|place| self.page_bytes(place, Through::File, buffers)).transpose()?
            }
            Stamps::Apart(_) => {
                return Err(self.damaged(chunk, "timestamps of several series in a chunk of one"));
            }
        };
        let mut columns = Vec::new();
        for field in chunk.directory().fields_of(entry) {
            let at = chunk.place();
            let found = chunk.directory().page(*field, at);
            let found = found.map_err(|malformed| self.damaged(chunk, malformed.what))?;
            let totals = chunk.directory().totals(*field, at);
            let totals = totals.map_err(|malformed| self.damaged(chunk, malformed.what))?;
            let Some((page, name)) = found.zip(self.name_of(*field)) else { continue };
            columns.push(RawColumn {
                name: Arc::clone(name),
                page: self.page_bytes(page.place, Through::File, buffers)?,
                is_dense: page.is_dense,
                totals: totals.map(<[Totals]>::to_vec),
            });
        }
        Ok(RawChunk {
            rows: entry.rows,
            t_min: entry.t_min,
            t_max: entry.t_max,
            encodings: entry.encodings,
            width: entry.width,
            windows: entry.windows,
            stamps,
            columns,
            path: self.file.path().to_owned(),
            offset: self.offset_of(chunk),
        })
    }
}
