//! Bytes of a run. Pinned to `docs/format/sstable.md`.

use tsdb_core::NamespaceId;
use tsdb_core::checksum::{self, crc32c};
use tsdb_core::hash::HashKey;

use super::{RunMeta, RunOptions, SliceMeta};
use crate::bytes::{Malformed, Reader, put_i64, put_varint};

pub(super) const MAGIC: &[u8; 8] = b"TSDBRUN1";
pub(super) const FOOTER_MAGIC: &[u8; 8] = b"1NURBDST";
pub(super) const VERSION: u32 = 1;

/// magic, version, database id, checksum of all that.
pub(super) const HEADER_BYTES: usize = 8 + 4 + 16 + 4;

/// footer length, footer checksum, magic.
pub(super) const TRAILER_BYTES: usize = 4 + 4 + 8;

/// Checksum behind each page.
pub(super) const PAGE_CHECKSUM_BYTES: usize = 4;

pub(super) fn header(options: &RunOptions) -> Vec<u8> {
    let mut out = Vec::with_capacity(HEADER_BYTES);
    out.extend_from_slice(MAGIC);
    out.extend_from_slice(&VERSION.to_le_bytes());
    out.extend_from_slice(&options.database_id);
    let checksum = crc32c(&out);
    out.extend_from_slice(&checksum.to_le_bytes());
    out
}

/// Version and database of a header; `None` if it is no intact header of a run.
pub(super) fn read_header(bytes: &[u8; HEADER_BYTES]) -> Option<(u32, [u8; 16])> {
    let (body, stored) = bytes.split_last_chunk::<4>()?;
    if body.first_chunk::<8>()? != MAGIC || !checksum::matches(body, u32::from_le_bytes(*stored)) {
        return None;
    }
    let mut reader = Reader::new(body.get(8..)?);
    Some((reader.u32().ok()?, reader.bytes16().ok()?))
}

/// Where a section stands, and its checksum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SectionPlace {
    pub offset: u64,
    pub bytes: u64,
    pub checksum: u32,
}

/// A slice as the footer describes it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct FooterSlice {
    pub meta: SliceMeta,
    pub index: SectionPlace,
    /// What the series are made of.
    pub cardinality: SectionPlace,
    pub root: SectionPlace,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Footer {
    pub hash_key: HashKey,
    /// Running checksum over the checksums of all data pages, in order.
    pub pages_checksum: u32,
    pub slices: Vec<FooterSlice>,
}

/// Fewest bytes of a slice in the footer: three places of sections more.
const FOOTER_SLICE_BYTES_MIN: usize = SLICE_META_BYTES_MIN + 3 * 6;

/// Fewest bytes of a slice as [`put_slice_meta`] writes it.
pub(crate) const SLICE_META_BYTES_MIN: usize = 29;

/// A slice's description, as the manifest stores it too.
pub(crate) fn put_slice_meta(out: &mut Vec<u8>, meta: &SliceMeta) {
    put_varint(out, u64::from(meta.namespace.0));
    put_i64(out, meta.partition_start);
    put_i64(out, meta.t_min);
    put_i64(out, meta.t_max);
    for number in [meta.seq_min, meta.seq_max, meta.rows, meta.series] {
        put_varint(out, number);
    }
}

pub(crate) fn read_slice_meta(reader: &mut Reader<'_>) -> Result<SliceMeta, Malformed> {
    Ok(SliceMeta {
        namespace: NamespaceId(reader.varint_u32()?),
        partition_start: reader.i64()?,
        t_min: reader.i64()?,
        t_max: reader.i64()?,
        seq_min: reader.varint()?,
        seq_max: reader.varint()?,
        rows: reader.varint()?,
        series: reader.varint()?,
    })
}

pub(super) fn encode_footer(footer: &Footer) -> Vec<u8> {
    let mut out = Vec::new();
    out.extend_from_slice(&footer.hash_key.0);
    out.extend_from_slice(&footer.pages_checksum.to_le_bytes());
    put_varint(&mut out, footer.slices.len() as u64);
    for slice in &footer.slices {
        put_slice_meta(&mut out, &slice.meta);
        for place in [slice.index, slice.cardinality, slice.root] {
            put_varint(&mut out, place.offset);
            put_varint(&mut out, place.bytes);
            out.extend_from_slice(&place.checksum.to_le_bytes());
        }
    }
    out
}

pub(super) fn decode_footer(bytes: &[u8]) -> Result<Footer, Malformed> {
    let mut reader = Reader::new(bytes);
    let hash_key = HashKey(reader.bytes16()?);
    let pages_checksum = reader.u32()?;
    let mut slices = Vec::new();
    for _ in 0..reader.count(FOOTER_SLICE_BYTES_MIN)? {
        let meta = read_slice_meta(&mut reader)?;
        let mut place = || {
            Ok::<_, Malformed>(SectionPlace {
                offset: reader.varint()?,
                bytes: reader.varint()?,
                checksum: reader.u32()?,
            })
        };
        slices.push(FooterSlice { meta, index: place()?, cardinality: place()?, root: place()? });
    }
    reader.end()?;
    Ok(Footer { hash_key, pages_checksum, slices })
}

/// The run as the manifest knows it.
pub(super) fn run_meta(footer: &Footer, footer_checksum: u32, bytes: u64) -> RunMeta {
    let slices = footer.slices.iter().map(|slice| slice.meta.clone()).collect();
    RunMeta { bytes, checksum: footer_checksum, slices }
}
