//! What foresees the numbers of a column, and the bytes that a column begins with.

use super::{put_signed, read_signed};
use crate::bytes::{Malformed, Reader, put_varint};

/// How levels follow from residuals `y`, with the drift `c`. All sums wrap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Transform {
    /// The level is `y`: distances from a centre.
    Centre = 0,
    /// Each level is the one before plus `c + y`.
    Delta = 1,
    /// Each difference is the one before plus `y`; the one before the first is `c`.
    DeltaOfDelta = 2,
    /// The level at index `i` is `c * i + y`: a straight line and what departs from it.
    Line = 3,
}

impl Transform {
    pub(in super::super) const ALL: [Transform; 4] =
        [Transform::Centre, Transform::Delta, Transform::DeltaOfDelta, Transform::Line];
}

/// How residuals are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Kind {
    /// All are 0.
    Linear = 0,
    /// Those that are not 0, with their places.
    Sparse = 1,
    /// Bit-packed in groups, with exceptions.
    Packed = 2,
    /// High parts by a prefix code, low bits as they are.
    Huffman = 3,
    /// Lengths and levels of runs, each a column of its own.
    Runs = 4,
    /// Places in a dictionary, by a prefix code.
    Dictionary = 5,
}

impl Kind {
    pub(in super::super) const ALL: [Kind; 6] =
        [Kind::Linear, Kind::Sparse, Kind::Packed, Kind::Huffman, Kind::Runs, Kind::Dictionary];
}

/// Greatest unit, a power of two that is an `i64`.
pub(super) const UNIT_MAX: u64 = 1 << 62;

/// The numbers of a column are `base + unit * level`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Model {
    pub transform: Transform,
    /// Levels are computed with 32 bits.
    pub narrow: bool,
    pub base: i64,
    /// What all differences are multiples of; 1 to [`UNIT_MAX`].
    pub unit: i64,
    /// The constant of the transform.
    pub drift: i64,
}

/// The part of a model that the levels do not depend on.
#[derive(Debug, Clone, Copy)]
pub(in super::super) struct Scale {
    pub base: i64,
    pub unit: i64,
}

impl Scale {
    pub(super) fn of(model: &Model) -> Scale {
        Scale { base: model.base, unit: model.unit }
    }

    /// The number at a level.
    #[inline]
    pub(super) fn number(self, level: i64) -> i64 {
        self.base.wrapping_add(self.unit.wrapping_mul(level))
    }

    /// As [`Scale::number`], where it may not wrap.
    pub(super) fn exact(self, level: i64) -> i128 {
        i128::from(self.base) + i128::from(self.unit) * i128::from(level)
    }
}

/// What a column begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    pub kind: Kind,
    pub model: Model,
}

const TRANSFORM_SHIFT: u32 = 3;
const NARROW_SHIFT: u32 = 5;

impl Header {
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        let Model { transform, narrow, base, unit, drift } = self.model;
        let flags = (transform as u8) << TRANSFORM_SHIFT | u8::from(narrow) << NARROW_SHIFT;
        out.push(self.kind as u8 | flags);
        put_signed(out, base);
        put_varint(out, unit.cast_unsigned());
        put_signed(out, drift);
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Header, Malformed> {
        let byte = reader.u8()?;
        let kind = Kind::ALL.get(usize::from(byte & 7));
        let transform = Transform::ALL.get(usize::from(byte >> TRANSFORM_SHIFT & 3));
        let (Some(kind), Some(transform), 0) = (kind, transform, byte >> (NARROW_SHIFT + 1)) else {
            return Err(reader.malformed("an unknown encoding of integers"));
        };
        let base = read_signed(reader)?;
        let unit = reader.varint()?;
        if !(1..=UNIT_MAX).contains(&unit) {
            return Err(reader.malformed("a unit of 0 or above 2^62"));
        }
        let model = Model {
            transform: *transform,
            narrow: byte >> NARROW_SHIFT & 1 == 1,
            base,
            unit: unit.cast_signed(),
            drift: read_signed(reader)?,
        };
        if *kind == Kind::Runs && (model.transform != Transform::Delta || model.drift != 0) {
            return Err(reader.malformed("runs that are not of differences from 0"));
        }
        Ok(Header { kind: *kind, model })
    }
}
