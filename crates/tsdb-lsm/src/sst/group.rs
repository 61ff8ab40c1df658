//! Writes a row group: collects the pages of its entries, field by field, and puts them behind each other with the
//! directory page at their end.

use std::collections::BTreeMap;

use foldhash::fast::RandomState;
use hashbrown::HashMap;
use tsdb_core::checksum::{crc32c, crc32c_append};
use tsdb_core::{Column, Presence, TimeColumn};

use super::directory::{
    ENTRIES_MAX, Entry, FieldRecord, GroupRecord, SERIES_MAX, Stamps, encode_directory,
};
use super::raw::{RawChunk, RawColumn};
use super::root::GroupPlace;
use super::windows::{Totals, windows_of};
use crate::codec::{Memo, encode_integers, encode_presence, encode_times, encode_values};

/// Bytes of pages from which a group is full.
const PAGES_BYTES: usize = 1 << 20;

/// Rows of an entry, which become its pages.
pub(super) struct EntryRows<'a> {
    /// Ordinal of its first series.
    pub first: u32,
    /// Rows of each of its series; one for a chunk.
    pub series_rows: &'a [u32],
    /// Timestamps of all series, one series behind the other.
    pub times: &'a [i64],
    /// The columns with a value, ascending by field; one series behind the other.
    pub columns: &'a [(u32, &'a Column)],
    /// How often the values are encoded with this.
    pub encodings: u32,
}

/// A group that is being written.
#[derive(Debug, Default)]
pub(super) struct GroupWriter {
    record: GroupRecord,
    series: usize,
    stamp_pages: Pages,
    stamp_places: HashMap<Vec<u8>, u32, RandomState>,
    fields: BTreeMap<u32, (FieldRecord, Pages)>,
    set_places: HashMap<Vec<u32>, u32, RandomState>,
}

/// Pages with their checksums, one behind the other.
#[derive(Debug, Default)]
struct Pages {
    bytes: Vec<u8>,
    checksums: Vec<[u8; 4]>,
}

impl Pages {
    /// Ends the page that begins at `start`; its bytes without the checksum.
    fn end_page(&mut self, start: usize) -> usize {
        let page = self.bytes.get(start..).unwrap_or(&[]);
        let (length, checksum) = (page.len(), crc32c(page).to_le_bytes());
        self.bytes.extend_from_slice(&checksum);
        self.checksums.push(checksum);
        length
    }

    /// Moves the pages to `out`, and their checksums into the running one.
    fn put(self, out: &mut Vec<u8>, running: &mut u32) {
        out.extend_from_slice(&self.bytes);
        self.checksums.iter().for_each(|checksum| *running = crc32c_append(*running, checksum));
    }
}

impl GroupWriter {
    pub(super) fn is_empty(&self) -> bool {
        self.record.entries.is_empty()
    }

    /// Whether no entry should be added any more.
    pub(super) fn is_full(&self) -> bool {
        self.record.entries.len() >= ENTRIES_MAX
            || self.series >= SERIES_MAX
            || self.page_bytes() >= PAGES_BYTES
    }

    fn page_bytes(&self) -> usize {
        let fields = self.fields.values().map(|(_, pages)| pages.bytes.len());
        self.stamp_pages.bytes.len() + fields.sum::<usize>()
    }

    /// Series that an entry can have now, at least one unless the group is full.
    pub(super) fn series_left(&self) -> usize {
        SERIES_MAX - self.series.min(SERIES_MAX)
    }

    /// Adds an entry; its columns are encoded with the memos of their fields.
    pub(super) fn push(&mut self, rows: &EntryRows<'_>, memos: &mut Vec<Memo>) {
        let bounds = rows.times.iter().min().copied().zip(rows.times.iter().max().copied());
        let Some(bounds) = bounds else { return };
        let count = length(rows.times.len());
        let stamps = self.put_stamps(rows, bounds);
        let mut entry = Entry::of_one(rows.first, count, bounds, stamps);
        entry.encodings = rows.encodings;
        entry.series = length(rows.series_rows.len());
        self.series += rows.series_rows.len();
        let is_long = !entry.is_shared() && count >= super::SHORT_ROWS;
        let windows = match is_long {
            true => windows_of(&TimeColumn::Stamps(rows.times.to_vec()), entry.width),
            false => Vec::new(),
        };
        entry.windows = length(windows.len());
        let set: Vec<u32> = rows.columns.iter().map(|(field, _)| *field).collect();
        entry.set = self.set(set);
        if entry.is_shared() {
            self.record.shared_rows.extend(rows.series_rows.iter().map(|rows| i64::from(*rows)));
        }
        for (field, column) in rows.columns {
            let place = *field as usize;
            if memos.len() <= place {
                memos.resize(place + 1, Memo::default());
            }
            let (record, pages) = self.fields.entry(*field).or_default();
            let start = pages.bytes.len();
            if let Some(memo) = memos.get_mut(place) {
                encode_column(column, rows.times.len(), memo, &mut pages.bytes);
            }
            let is_dense = column.presence == Presence::All;
            let totals: Option<Vec<Totals>> = windows
                .iter()
                .map(|window| Totals::of(column.values.get(window.rows.clone())?))
                .collect();
            let totals = totals.filter(|totals| is_dense && !totals.is_empty());
            record.add(pages.end_page(start), is_dense, totals.as_deref());
        }
        self.record.entries.push(entry);
    }

    /// Adds a chunk of the series `first` as it is encoded; `numbers` are those of its columns.
    pub(super) fn push_raw(&mut self, first: u32, chunk: &RawChunk, numbers: &[u32]) {
        let stamps = match &chunk.stamps {
            None => Stamps::Regular,
            Some(page) => Stamps::Vector(self.put_stamp_page(page.clone())),
        };
        let mut entry = Entry::of_one(first, chunk.rows, (chunk.t_min, chunk.t_max), stamps);
        (entry.width, entry.windows) = (chunk.width, chunk.windows);
        entry.encodings = chunk.encodings;
        self.series += 1;
        let mut columns: Vec<(u32, &RawColumn)> =
            numbers.iter().copied().zip(&chunk.columns).collect();
        columns.sort_unstable_by_key(|(number, _)| *number);
        entry.set = self.set(columns.iter().map(|(number, _)| *number).collect());
        for (number, column) in columns {
            let (record, pages) = self.fields.entry(number).or_default();
            let start = pages.bytes.len();
            pages.bytes.extend_from_slice(&column.page);
            record.add(pages.end_page(start), column.is_dense, column.totals.as_deref());
        }
        self.record.entries.push(entry);
    }

    /// Puts the timestamps of an entry on a page, unless none is needed or one has them already.
    fn put_stamps(&mut self, rows: &EntryRows<'_>, (t_min, t_max): (i64, i64)) -> Stamps {
        let Some(first) = rows.series_rows.first() else { return Stamps::Regular };
        let vector = rows.times.get(..*first as usize).unwrap_or(&[]);
        let vectors = rows.times.chunks(vector.len().max(1));
        let is_one = rows.series_rows.iter().all(|rows| rows == first)
            && vectors.into_iter().all(|other| other == vector);
        let mut page = Vec::new();
        if !is_one {
            encode_integers(rows.times, &mut page);
        } else if is_regular(vector)
            && (vector.first(), vector.last()) == (Some(&t_min), Some(&t_max))
        {
            return Stamps::Regular;
        } else {
            encode_times(vector, &mut page);
        }
        let number = self.put_stamp_page(page);
        if is_one { Stamps::Vector(number) } else { Stamps::Apart(number) }
    }

    /// Number of the page of timestamps with this payload.
    fn put_stamp_page(&mut self, page: Vec<u8>) -> u32 {
        if let Some(number) = self.stamp_places.get(&page) {
            return *number;
        }
        let number = length(self.record.stamp_sizes.len());
        let start = self.stamp_pages.bytes.len();
        self.stamp_pages.bytes.extend_from_slice(&page);
        let bytes = self.stamp_pages.end_page(start);
        self.record.stamp_sizes.push(i64::try_from(bytes).unwrap_or(i64::MAX));
        self.stamp_places.insert(page, number);
        number
    }

    /// Place of a set of fields among those of the group.
    fn set(&mut self, set: Vec<u32>) -> u32 {
        if let Some(place) = self.set_places.get(&set) {
            return *place;
        }
        let place = length(self.record.sets.len());
        self.record.sets.push(set.clone());
        self.set_places.insert(set, place);
        place
    }

    /// Appends the pages and the directory page to `out`; says where the group's parts are.
    pub(super) fn finish(mut self, out: &mut Vec<u8>, running: &mut u32) -> Option<GroupPlace> {
        let (first, last) = (self.record.entries.first()?, self.record.entries.last()?);
        let (first, last) = (first.first, last.first + last.series - 1);
        let t_min = self.record.entries.iter().map(|entry| entry.t_min).min()?;
        let t_max = self.record.entries.iter().map(|entry| entry.t_max).max()?;
        let start = out.len();
        self.stamp_pages.put(out, running);
        for (field, (record, pages)) in self.fields {
            pages.put(out, running);
            self.record.fields.push((field, record));
        }
        let pages_bytes = (out.len() - start) as u64;
        let mut directory =
            Pages { bytes: encode_directory(&self.record, first), checksums: Vec::new() };
        let directory_bytes = length(directory.end_page(0));
        directory.put(out, running);
        Some(GroupPlace { gap: 0, first, last, t_min, t_max, pages_bytes, directory_bytes })
    }
}

/// Whether the steps between neighbours are equal, so that the ends and the number say all.
fn is_regular(times: &[i64]) -> bool {
    let steps = || times.iter().zip(times.iter().skip(1)).map(|(a, b)| b.wrapping_sub(*a));
    let first = steps().next();
    steps().all(|step| Some(step) == first && step > 0)
}

/// Columns of 4096 rows and what counts them are far below 2^32.
fn length(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

/// Presence, then the values that are there.
fn encode_column(column: &Column, rows: usize, memo: &mut Memo, out: &mut Vec<u8>) {
    encode_presence(&column.presence, rows, out);
    match &column.presence {
        Presence::Some(_) => {
            let present: Vec<f64> = (0..rows).filter_map(|row| column.get(row)).collect();
            encode_values(&present, memo, out);
        }
        Presence::All | Presence::None => encode_values(&column.values, memo, out),
    }
}
