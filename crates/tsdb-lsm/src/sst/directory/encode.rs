//! The directory page of a row group, while the group is written. Pinned to `docs/format/sstable.md`.

use super::{DENSE, Entry, SUMMARISED, Stamps};
use crate::bytes::put_varint;
use crate::codec::{Memo, encode_integers, encode_values};
use crate::sst::format::PAGE_CHECKSUM_BYTES;
use crate::sst::windows::Totals;

/// Pages and sub-summaries of one field, while its group is written.
#[derive(Debug, Default)]
pub(in crate::sst) struct FieldRecord {
    sizes: Vec<i64>,
    flags: Vec<i64>,
    totals: [Vec<f64>; 5],
}

impl FieldRecord {
    /// Adds the page of the next entry that has the field.
    pub(in crate::sst) fn add(
        &mut self,
        page_bytes: usize,
        is_dense: bool,
        windows: Option<&[Totals]>,
    ) {
        self.sizes.push(i64::try_from(page_bytes).unwrap_or(i64::MAX));
        let summarised = if windows.is_some() { SUMMARISED } else { 0 };
        self.flags.push(if is_dense { DENSE } else { 0 } | summarised);
        for Totals { sum, min, max, first, last } in windows.unwrap_or(&[]) {
            for (column, value) in self.totals.iter_mut().zip([*sum, *min, *max, *first, *last]) {
                column.push(value);
            }
        }
    }

    /// Bytes of all its pages, checksums included.
    fn stored_bytes(&self) -> u64 {
        let payloads: i64 = self.sizes.iter().sum();
        payloads.unsigned_abs() + (self.sizes.len() * PAGE_CHECKSUM_BYTES) as u64
    }

    fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        encode_integers(&self.sizes, &mut out);
        encode_integers(&self.flags, &mut out);
        for column in self.totals.iter().filter(|column| !column.is_empty()) {
            let mut bytes = Vec::new();
            encode_values(column, &mut Memo::default(), &mut bytes);
            put_varint(&mut out, bytes.len() as u64);
            out.append(&mut bytes);
        }
        out
    }
}

/// What a group consists of, while it is written.
#[derive(Debug, Default)]
pub(in crate::sst) struct GroupRecord {
    pub entries: Vec<Entry>,
    /// Rows of each series of the shared entries.
    pub shared_rows: Vec<i64>,
    /// Payload bytes of the pages of timestamps.
    pub stamp_sizes: Vec<i64>,
    /// Sets of fields, each ascending.
    pub sets: Vec<Vec<u32>>,
    /// Ascending by field.
    pub fields: Vec<(u32, FieldRecord)>,
}

/// The directory page of a group whose first series is `first`.
pub(in crate::sst) fn encode_directory(group: &GroupRecord, first: u32) -> Vec<u8> {
    let mut out = Vec::new();
    put_varint(&mut out, group.entries.len() as u64);
    let mut column = |of: &dyn Fn(&Entry) -> i64| {
        encode_integers(&group.entries.iter().map(of).collect::<Vec<i64>>(), &mut out);
    };
    column(&|entry| i64::from(entry.first - first));
    column(&|entry| i64::from(entry.series));
    column(&|entry| i64::from(entry.rows));
    column(&|entry| entry.t_min);
    column(&|entry| entry.t_max.wrapping_sub(entry.t_min));
    column(&|entry| match entry.stamps {
        Stamps::Regular => 0,
        Stamps::Vector(page) => 1 + 2 * i64::from(page),
        Stamps::Apart(page) => 2 + 2 * i64::from(page),
    });
    column(&|entry| i64::from(entry.width.code()));
    column(&|entry| i64::from(entry.windows));
    column(&|entry| i64::from(entry.set));
    column(&|entry| i64::from(entry.encodings));
    encode_integers(&group.shared_rows, &mut out);
    put_varint(&mut out, group.stamp_sizes.len() as u64);
    encode_integers(&group.stamp_sizes, &mut out);
    put_varint(&mut out, group.sets.len() as u64);
    for set in &group.sets {
        put_varint(&mut out, set.len() as u64);
        set.iter().for_each(|field| put_varint(&mut out, u64::from(*field)));
    }
    put_varint(&mut out, group.fields.len() as u64);
    let parts: Vec<Vec<u8>> = group.fields.iter().map(|(_, record)| record.encode()).collect();
    for ((field, record), part) in group.fields.iter().zip(&parts) {
        put_varint(&mut out, u64::from(*field));
        put_varint(&mut out, record.stored_bytes());
        put_varint(&mut out, part.len() as u64);
    }
    parts.iter().for_each(|part| out.extend_from_slice(part));
    out
}
