//! The directory page of a row group: which entries the group has, where their pages are, and what is known of
//! their values. Pinned to `docs/format/sstable.md`.
//!
//! Everything stands column by column. The part of a field is decoded when somebody asks for the field, and what
//! is known of its values when somebody asks for that.

mod encode;

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use tsdb_core::limits::BLOCK_ROWS_MAX;

use super::format::PAGE_CHECKSUM_BYTES;
use super::windows::{Totals, Width};
use crate::bytes::{Malformed, Reader};
use crate::cache::OpenedPage;
use crate::codec::{decode_integers, decode_values};

pub(super) use encode::{FieldRecord, GroupRecord, encode_directory};

/// Most entries of a group.
pub(super) const ENTRIES_MAX: usize = 64;

/// Most series of a group.
pub(super) const SERIES_MAX: usize = 8192;

/// How the timestamps of an entry are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stamps {
    /// Every series has the same, as one vector: the entry's first and last one, in equal steps.
    Regular,
    /// Every series has the same, as one vector on this page.
    Vector(u32),
    /// Each series has its own, one behind the other on this page, as integers.
    Apart(u32),
}

/// An entry: a chunk of one series, or all rows of a few neighbouring short series.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    /// Ordinal of its first series.
    pub first: u32,
    pub series: u32,
    /// Of all its series.
    pub rows: u32,
    pub t_min: i64,
    pub t_max: i64,
    pub stamps: Stamps,
    pub width: Width,
    /// Windows that have rows, 0 without sub-summaries.
    pub windows: u32,
    /// Place among the sets of fields of the group.
    pub set: u32,
    /// How often its values were encoded since they were written.
    pub encodings: u32,
    /// Where its series begin among the rows of series of shared entries.
    shared_start: u32,
}

impl Entry {
    /// A chunk of one series.
    pub(super) fn of_one(
        first: u32,
        rows: u32,
        (t_min, t_max): (i64, i64),
        stamps: Stamps,
    ) -> Entry {
        Entry {
            first,
            series: 1,
            rows,
            t_min,
            t_max,
            stamps,
            width: Width::of(rows as usize, t_min, t_max),
            windows: 0,
            set: 0,
            encodings: 1,
            shared_start: 0,
        }
    }

    pub(super) fn is_shared(&self) -> bool {
        self.series > 1
    }
}

/// What is stored per entry of a field: whether all rows have a value, and whether there are sub-summaries.
const DENSE: i64 = 1;
const SUMMARISED: i64 = 2;

/// A page in the file, without its checksum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PagePlace {
    pub offset: u64,
    pub bytes: u32,
}

/// A directory page that was read.
#[derive(Debug)]
pub(crate) struct Directory {
    /// The page.
    bytes: Arc<[u8]>,
    pub(super) entries: Vec<Entry>,
    shared_rows: Vec<u32>,
    stamp_pages: Vec<PagePlace>,
    sets: Vec<Vec<u32>>,
    fields: Vec<FieldPlace>,
}

/// Where the part of a field stands in the directory page, and its pages in the file.
#[derive(Debug)]
struct FieldPlace {
    field: u32,
    part: Range<usize>,
    pages_offset: u64,
    pages_bytes: u64,
    decoded: OnceLock<FieldPart>,
}

/// The part of a field.
#[derive(Debug)]
pub(super) struct FieldPart {
    /// By entry.
    pages: Vec<Option<FieldPage>>,
    /// Where the totals begin in the directory page.
    totals_at: usize,
    windows: usize,
    totals: OnceLock<Vec<Totals>>,
}

/// A page of a field, and which of the field's totals are those of its windows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FieldPage {
    pub place: PagePlace,
    pub is_dense: bool,
    windows: Option<Range<usize>>,
}

impl Directory {
    /// Reads the directory of a group whose pages begin at `offset` and fill `pages_bytes`, and whose series are
    /// `first` to `last`.
    pub(super) fn decode(
        bytes: Arc<[u8]>,
        offset: u64,
        pages_bytes: u64,
        (first, last): (u32, u32),
    ) -> Result<Directory, Malformed> {
        let page = Arc::clone(&bytes);
        let mut reader = Reader::new(&page);
        let count = reader.count(1)?;
        if count == 0 || count > ENTRIES_MAX {
            return Err(reader.malformed("a group of no or too many entries"));
        }
        let entries = read_entries(&mut reader, count, first, last)?;
        let shared = entries.iter().filter(|entry| entry.is_shared()).map(|e| e.series as usize);
        let shared_rows = read_u32s(&mut reader, shared.sum())?;
        let stamp_count = reader.count(1)?;
        let stamp_sizes = read_u32s(&mut reader, stamp_count)?;
        let mut at = offset;
        let stamp_pages = stamp_sizes.into_iter().map(|bytes| {
            let place = PagePlace { offset: at, bytes };
            at = at.saturating_add(u64::from(bytes) + PAGE_CHECKSUM_BYTES as u64);
            place
        });
        let stamp_pages: Vec<PagePlace> = stamp_pages.collect();
        let mut sets = Vec::new();
        for _ in 0..reader.count(1)? {
            sets.push(read_set(&mut reader)?);
        }
        let fields = read_fields(&mut reader, &mut at)?;
        if offset.checked_add(pages_bytes) != Some(at) {
            return Err(reader.malformed("pages that do not fill their place"));
        }
        let directory = Directory { bytes, entries, shared_rows, stamp_pages, sets, fields };
        directory.check().map_err(|what| reader.malformed(what))?;
        Ok(directory)
    }

    /// What entries say of other parts must be there.
    fn check(&self) -> Result<(), &'static str> {
        let known = |field: &u32| self.fields.binary_search_by_key(field, |f| f.field).is_ok();
        if !self.sets.iter().flatten().all(known) {
            return Err("a field that does not exist");
        }
        for entry in &self.entries {
            let page = match entry.stamps {
                Stamps::Regular => None,
                Stamps::Vector(page) | Stamps::Apart(page) => Some(page as usize),
            };
            if page.is_some_and(|page| page >= self.stamp_pages.len()) {
                return Err("timestamps on a page that does not exist");
            }
            if entry.set as usize >= self.sets.len() {
                return Err("a set of fields that does not exist");
            }
            let rows = self
                .rows_of_series(entry)
                .try_fold(0u32, |sum, rows| sum.checked_add(rows).filter(|_| rows > 0));
            if rows != Some(entry.rows) {
                return Err("series whose rows are not those of their entry");
            }
        }
        Ok(())
    }

    /// Rows of each series of an entry.
    pub(super) fn rows_of_series(&self, entry: &Entry) -> impl Iterator<Item = u32> {
        let start = entry.shared_start as usize;
        let shared = match entry.is_shared() {
            true => self.shared_rows.get(start..start + entry.series as usize).unwrap_or(&[]),
            false => &[],
        };
        let own = (!entry.is_shared()).then_some(entry.rows);
        own.into_iter().chain(shared.iter().copied())
    }

    /// The page of timestamps of this number.
    pub(super) fn stamp_page(&self, number: u32) -> Option<PagePlace> {
        self.stamp_pages.get(number as usize).copied()
    }

    /// Length of the directory page.
    pub(super) fn page_bytes(&self) -> u32 {
        u32::try_from(self.bytes.len()).unwrap_or(u32::MAX)
    }

    /// All pages of timestamps.
    pub(super) fn stamp_pages(&self) -> &[PagePlace] {
        &self.stamp_pages
    }

    /// Fields that an entry has, ascending.
    pub(super) fn fields_of(&self, entry: &Entry) -> &[u32] {
        self.sets.get(entry.set as usize).map_or(&[], Vec::as_slice)
    }

    /// All fields of the group, ascending.
    pub(super) fn fields(&self) -> impl Iterator<Item = u32> {
        self.fields.iter().map(|place| place.field)
    }

    /// The part of a field; `None` if no entry has the field.
    pub(super) fn field(&self, field: u32) -> Result<Option<&FieldPart>, Malformed> {
        let found = self.fields.binary_search_by_key(&field, |place| place.field);
        let Some(place) = found.ok().and_then(|found| self.fields.get(found)) else {
            return Ok(None);
        };
        if let Some(part) = place.decoded.get() {
            return Ok(Some(part));
        }
        let part = self.read_part(place)?;
        Ok(Some(place.decoded.get_or_init(|| part)))
    }

    fn read_part(&self, place: &FieldPlace) -> Result<FieldPart, Malformed> {
        let bytes = self.bytes.get(place.part.clone()).unwrap_or(&[]);
        let moved =
            |malformed: Malformed| Malformed { at: malformed.at + place.part.start, ..malformed };
        let mut reader = Reader::new(bytes);
        let has = |entry: &Entry| self.fields_of(entry).binary_search(&place.field).is_ok();
        let count = self.entries.iter().filter(|entry| has(entry)).count();
        let sizes = read_u32s(&mut reader, count).map_err(moved)?;
        let flags = decode_integers(&mut reader, count).map_err(moved)?;
        let (mut offset, mut windows) = (place.pages_offset, 0usize);
        let mut stored = sizes.into_iter().zip(flags);
        let mut pages = Vec::with_capacity(self.entries.len());
        for entry in &self.entries {
            let Some((bytes, flags)) = has(entry).then(|| stored.next()).flatten() else {
                pages.push(None);
                continue;
            };
            let own = match flags {
                0 | DENSE => None,
                flags if flags == DENSE | SUMMARISED => {
                    let start = windows;
                    windows += entry.windows as usize;
                    Some(start..windows)
                }
                _ => return Err(moved(reader.malformed("unknown flags of a page"))),
            };
            let place = PagePlace { offset, bytes };
            offset = offset.saturating_add(u64::from(bytes) + PAGE_CHECKSUM_BYTES as u64);
            pages.push(Some(FieldPage { place, is_dense: flags & DENSE != 0, windows: own }));
        }
        if place.pages_offset.checked_add(place.pages_bytes) != Some(offset) {
            return Err(moved(reader.malformed("pages of a field that do not fill their place")));
        }
        let totals_at = place.part.start + reader.position();
        Ok(FieldPart { pages, totals_at, windows, totals: OnceLock::new() })
    }

    /// The page of a field for the entry at `entry`, if it has one.
    pub(super) fn page(&self, field: u32, entry: usize) -> Result<Option<&FieldPage>, Malformed> {
        let part = self.field(field)?;
        Ok(part.and_then(|part| part.pages.get(entry)).and_then(Option::as_ref))
    }

    /// What is known of the values of a field in each window of an entry, if it is.
    pub(super) fn totals(&self, field: u32, entry: usize) -> Result<Option<&[Totals]>, Malformed> {
        let Some(part) = self.field(field)? else { return Ok(None) };
        let page = part.pages.get(entry).and_then(Option::as_ref);
        let Some(windows) = page.and_then(|page| page.windows.clone()) else { return Ok(None) };
        let totals = match part.totals.get() {
            Some(totals) => totals,
            None => {
                let totals = self.read_totals(part)?;
                part.totals.get_or_init(|| totals)
            }
        };
        Ok(totals.get(windows))
    }

    fn read_totals(&self, part: &FieldPart) -> Result<Vec<Totals>, Malformed> {
        let moved =
            |malformed: Malformed| Malformed { at: malformed.at + part.totals_at, ..malformed };
        let mut reader = Reader::new(self.bytes.get(part.totals_at..).unwrap_or(&[]));
        let mut columns: [Vec<f64>; 5] = Default::default();
        for column in &mut columns {
            let bytes = reader.count(1).map_err(moved)?;
            let bytes = reader.take(bytes).map_err(moved)?;
            if part.windows > 0 {
                decode_values(&mut Reader::new(bytes), part.windows, column).map_err(moved)?;
            }
        }
        let [sums, mins, maxs, firsts, lasts] = &columns;
        let rows = sums.iter().zip(mins).zip(maxs).zip(firsts).zip(lasts);
        Ok(rows
            .map(|((((sum, min), max), first), last)| Totals {
                sum: *sum,
                min: *min,
                max: *max,
                first: *first,
                last: *last,
            })
            .collect())
    }
}

impl OpenedPage for Directory {
    fn memory_bytes(&self) -> usize {
        let of_field = |place: &FieldPlace| {
            place.decoded.get().map_or(0, |part| {
                let totals = part.totals.get().map_or(0, |totals| size_of_val(&**totals));
                size_of_val(&*part.pages) + totals
            })
        };
        self.bytes.len()
            + size_of_val(&*self.entries)
            + size_of_val(&*self.shared_rows)
            + size_of_val(&*self.stamp_pages)
            + self.sets.iter().map(|set| size_of_val(set) + size_of_val(&**set)).sum::<usize>()
            + size_of_val(&*self.fields)
            + self.fields.iter().map(of_field).sum::<usize>()
    }
}

fn read_u32s(reader: &mut Reader<'_>, count: usize) -> Result<Vec<u32>, Malformed> {
    let numbers = decode_integers(reader, count)?;
    let small = numbers.into_iter().map(u32::try_from).collect::<Result<_, _>>();
    small.map_err(|_| reader.malformed("a number that is negative or above 32 bits"))
}

fn read_entries(
    reader: &mut Reader<'_>,
    count: usize,
    first: u32,
    last: u32,
) -> Result<Vec<Entry>, Malformed> {
    let firsts = read_u32s(reader, count)?;
    let series = read_u32s(reader, count)?;
    let rows = read_u32s(reader, count)?;
    let t_mins = decode_integers(reader, count)?;
    let lengths = decode_integers(reader, count)?;
    let stamps = read_u32s(reader, count)?;
    let widths = decode_integers(reader, count)?;
    let windows = read_u32s(reader, count)?;
    let sets = read_u32s(reader, count)?;
    let encodings = read_u32s(reader, count)?;
    let numbers = firsts.into_iter().zip(series).zip(rows).zip(t_mins).zip(lengths);
    let rest = stamps.into_iter().zip(widths).zip(windows).zip(sets).zip(encodings);
    let mut entries: Vec<Entry> = Vec::with_capacity(count);
    let (mut shared_start, mut next) = (0u32, first);
    for (((((at, series), rows), t_min), length), ((((stamps, width), windows), set), encodings)) in
        numbers.zip(rest)
    {
        let malformed = |what| Err(reader.malformed(what));
        // Behind the last series there must be a number for the next.
        let bounds = first.checked_add(at).and_then(|own| Some((own, own.checked_add(series)?)));
        let Some((own_first, after)) = bounds else { return malformed("a series beyond all") };
        // Series follow each other without a gap; one that goes on begins where it ended.
        let goes_on =
            series == 1 && entries.last().is_some_and(|e| !e.is_shared() && e.first == own_first);
        if series == 0 || series as usize > SERIES_MAX || !(own_first == next || goes_on) {
            return malformed("series of a group that do not follow each other");
        }
        next = after;
        if rows == 0 || rows as usize > BLOCK_ROWS_MAX || windows as usize > BLOCK_ROWS_MAX {
            return malformed("an entry with too many rows or none");
        }
        let t_max = t_min.checked_add_unsigned(length.cast_unsigned());
        let Some(t_max) = t_max else { return malformed("an entry that ends before it begins") };
        let Some(width) = Width::from_code(width) else { return malformed("an unknown width") };
        let stamps = match stamps {
            0 => Stamps::Regular,
            odd if odd % 2 == 1 => Stamps::Vector(odd / 2),
            even => Stamps::Apart(even / 2 - 1),
        };
        let earlier = entries.last().filter(|_| goes_on).map(|entry| entry.t_max);
        if earlier.is_some_and(|end| t_min <= end) {
            return malformed("chunks that overlap in time");
        }
        entries.push(Entry {
            first: own_first,
            series,
            rows,
            t_min,
            t_max,
            stamps,
            width,
            windows,
            set,
            encodings,
            shared_start,
        });
        shared_start += if series > 1 { series } else { 0 };
    }
    if next.checked_sub(1) != Some(last) {
        return Err(reader.malformed("a group that has other series than it should"));
    }
    Ok(entries)
}

fn read_set(reader: &mut Reader<'_>) -> Result<Vec<u32>, Malformed> {
    let mut set = Vec::new();
    for _ in 0..reader.count(1)? {
        let field = reader.varint_u32()?;
        if set.last().is_some_and(|last| *last >= field) {
            return Err(reader.malformed("fields out of order"));
        }
        set.push(field);
    }
    Ok(set)
}

/// The fields of a group: their pages follow at `at` in the file, which moves to the end of the last.
fn read_fields(reader: &mut Reader<'_>, at: &mut u64) -> Result<Vec<FieldPlace>, Malformed> {
    let mut fields: Vec<FieldPlace> = Vec::new();
    let mut lengths = Vec::new();
    for _ in 0..reader.count(3)? {
        let field = reader.varint_u32()?;
        if fields.last().is_some_and(|last| last.field >= field) {
            return Err(reader.malformed("fields out of order"));
        }
        let (pages_offset, pages_bytes) = (*at, reader.varint()?);
        *at = at.saturating_add(pages_bytes);
        lengths.push(usize::try_from(reader.varint()?).unwrap_or(usize::MAX));
        let decoded = OnceLock::new();
        fields.push(FieldPlace { field, part: 0..0, pages_offset, pages_bytes, decoded });
    }
    for (place, length) in fields.iter_mut().zip(lengths) {
        let start = reader.position();
        reader.take(length)?;
        place.part = start..start + length;
    }
    reader.end()?;
    Ok(fields)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A forged group at the end of all numbers: its last series would have none.
    #[test]
    fn series_beyond_all_numbers_are_refused() {
        let first = u32::MAX - 1;
        for series in [1, 2, 3] {
            let mut entry = Entry::of_one(first, series, (0, 0), Stamps::Regular);
            entry.series = series;
            let shared_rows = if series > 1 { vec![1; series as usize] } else { Vec::new() };
            let record = GroupRecord {
                entries: vec![entry],
                shared_rows,
                sets: vec![Vec::new()],
                ..GroupRecord::default()
            };
            let bytes = encode_directory(&record, first);
            let decoded = Directory::decode(bytes.into(), 0, 0, (first, first));
            assert_eq!(decoded.is_ok(), series == 1, "{series}");
        }
    }
}
