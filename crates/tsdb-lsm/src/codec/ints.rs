//! Columns of integers of any range.
//!
//! A column is a [`Model`], which foresees each number from those before it, and the residuals, which are
//! what the model did not foresee, in one of six kinds. All arithmetic wraps at 64 bits, so that every
//! column has every form, and the encoder merely picks a short one.

mod analysis;
mod choice;
mod dictionary;
mod entropy;
mod exceptions;
mod level;
mod model;
mod packed;
mod sink;
mod sparse;

pub(super) use analysis::Domain;
pub(super) use choice::{IntsMemo, encode_ints};
#[cfg(any(test, feature = "test-util"))]
pub(super) use choice::{Plan, encode_planned};
pub(super) use exceptions::{read_places, write_places};
pub(super) use level::Scan;
pub(super) use model::{Kind, Scale, Transform};
pub(super) use packed::{BLOCK, GROUP, LANES, STEPS};
pub(super) use sink::{DECIMAL_MAX, Decimals, IntSummary, Integers, OrderedBits, Sink, Tally};

use crate::bytes::{Malformed, Reader, put_varint};
use level::Level;
use model::Header;

/// Most numbers of a column. Far above the rows of a chunk; sums of levels rely on it.
pub(super) const COUNT_MAX: usize = 1 << 16;

/// Maps small numbers of either sign to small ones: 0, -1, 1, -2, ...
#[inline(always)]
fn zigzag(value: i64) -> u64 {
    (value << 1 ^ value >> 63).cast_unsigned()
}

fn unzigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -(value & 1).cast_signed()
}

fn put_signed(out: &mut Vec<u8>, value: i64) {
    put_varint(out, zigzag(value));
}

fn read_signed(reader: &mut Reader<'_>) -> Result<i64, Malformed> {
    reader.varint().map(unzigzag)
}

/// Residuals that are scanned and handed on at a time: they and what becomes of them stay in the first-level
/// cache.
const STRIP: usize = 1024;

/// Buffers that one thread decodes with.
#[derive(Debug, Default)]
struct Scratch {
    narrow: Vec<i32>,
    wide: Vec<i64>,
    symbols: Vec<i8>,
}

thread_local! {
    static SCRATCH: std::cell::Cell<Option<Box<Scratch>>> = const { std::cell::Cell::new(None) };
}

/// Calls `with` with the buffers of this thread, or with fresh ones inside such a call.
fn with_scratch<T>(with: impl FnOnce(&mut Scratch) -> T) -> T {
    let mut scratch = SCRATCH.take().unwrap_or_default();
    let result = with(&mut scratch);
    SCRATCH.set(Some(scratch));
    result
}

/// Reads a column of `count` numbers, which is the rest of `reader`, into `sink`.
pub(super) fn decode_ints(
    reader: &mut Reader<'_>,
    count: usize,
    sink: &mut impl Sink,
) -> Result<(), Malformed> {
    let header = Header::read(reader)?;
    if count > COUNT_MAX {
        return Err(reader.malformed("more numbers than a column can have"));
    }
    with_scratch(|scratch| {
        let Scratch { narrow, wide, symbols } = scratch;
        if header.model.narrow {
            decode_residuals(reader, &header, count, symbols, narrow, sink)
        } else {
            decode_residuals(reader, &header, count, symbols, wide, sink)
        }
    })?;
    reader.end()
}

/// As [`decode_ints`], for a column inside a column: it is none of runs, so that nothing nests deeper.
fn decode_nested(reader: &mut Reader<'_>, count: usize) -> Result<Vec<i64>, Malformed> {
    let bytes = reader.rest();
    if Header::read(&mut Reader::new(bytes))?.kind == Kind::Runs {
        return Err(reader.malformed("runs inside of runs"));
    }
    let mut numbers = vec![0; count];
    decode_ints(&mut Reader::new(bytes), count, &mut Integers::new(&mut numbers))?;
    Ok(numbers)
}

/// Decodes residuals as `L`, scans them to levels and hands those to the sink.
fn decode_residuals<L: Level, S: Sink>(
    reader: &mut Reader<'_>,
    header: &Header,
    count: usize,
    symbols: &mut Vec<i8>,
    buffer: &mut Vec<L>,
    sink: &mut S,
) -> Result<(), Malformed> {
    if buffer.len() < count {
        buffer.resize(count, L::default());
    }
    let mut scan = Scan::new(&header.model);
    let scale = Scale::of(&header.model);
    let residuals = buffer.get_mut(..count).unwrap_or_default();
    match header.kind {
        Kind::Huffman => entropy::decode(reader, symbols, residuals)?,
        Kind::Dictionary => dictionary::decode(reader, symbols, residuals)?,
        Kind::Sparse => sparse::decode(reader, residuals)?,
        Kind::Runs => sparse::decode_runs(reader, residuals)?,
        Kind::Packed => {
            // Nothing of it is needed twice: one strip takes all.
            let mut left = count;
            while let Some(strip) = residuals.get_mut(..left.min(STRIP)).filter(|s| !s.is_empty()) {
                packed::decode(reader, &mut scan, S::ORDERED, strip)?;
                L::send(sink, scale, strip);
                left -= strip.len();
            }
            return Ok(());
        }
        Kind::Linear => residuals.fill(L::default()),
    }
    for strip in residuals.chunks_mut(STRIP) {
        L::scan(&mut scan, strip);
        L::send(sink, scale, strip);
    }
    Ok(())
}
