//! From residuals to levels, with 32 or with 64 bits.

use super::super::{bits, simd};
use super::model::{Model, Scale, Transform};
use super::packed::{GROUP, row_of};
use super::sink::Sink;

/// An integer that levels are computed with.
pub(super) trait Level: Copy + Default {
    /// Bits of the type.
    const BITS: u32;
    /// The low bits of `value`.
    fn of(value: i64) -> Self;
    /// The same number.
    fn wide(self) -> i64;
    /// The sum, which wraps.
    fn plus(self, other: Self) -> Self;
    /// Fills `out` with numbers of `width` bits, at most [`Level::BITS`], plus `base`.
    fn unpack(bytes: &[u8], width: u32, base: Self, out: &mut [Self]);
    /// Adds `symbol * 2^low_bits` to each place.
    fn combine(symbols: &[i8], low_bits: u32, out: &mut [Self]);
    /// Turns the next residuals into levels.
    fn scan(scan: &mut Scan, residuals: &mut [Self]);
    /// Unpacks a full group in lanes without exceptions and turns it into levels; says whether it did, as
    /// only some machines can. If not `ordered`, the levels are in any order.
    fn unpack_lanes(
        bytes: &[u8],
        width: u32,
        base: Self,
        scan: &mut Scan,
        ordered: bool,
        levels: &mut [Self; GROUP],
    ) -> bool;
    /// Turns the next residuals, a full packed group in lanes, into levels. If not `ordered`, these are in any
    /// order.
    fn scan_lanes(
        scan: &mut Scan,
        ordered: bool,
        residuals: &[Self; GROUP],
        levels: &mut [Self; GROUP],
    );
    /// Hands the next levels to `sink`.
    fn send(sink: &mut impl Sink, scale: Scale, levels: &[Self]);
}

/// State between two stretches of residuals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) struct Scan {
    pub transform: Transform,
    pub drift: i64,
    /// Of a delta or a delta of deltas: the last level. Of a line: the next point on it.
    pub level: i64,
    /// Of a delta of deltas: the last difference.
    pub slope: i64,
}

impl Scan {
    pub(super) fn new(model: &Model) -> Scan {
        let Model { transform, drift, .. } = *model;
        Scan { transform, drift, level: 0, slope: drift }
    }

    /// The definition of the transforms.
    fn apply<L: Level>(&mut self, residuals: &mut [L]) {
        let (mut level, mut slope, drift) =
            (L::of(self.level), L::of(self.slope), L::of(self.drift));
        match self.transform {
            Transform::Centre => {}
            Transform::Delta => {
                for residual in residuals {
                    level = level.plus(*residual).plus(drift);
                    *residual = level;
                }
            }
            Transform::DeltaOfDelta => {
                for residual in residuals {
                    slope = slope.plus(*residual);
                    level = level.plus(slope);
                    *residual = level;
                }
            }
            Transform::Line => {
                for residual in residuals {
                    *residual = residual.plus(level);
                    level = level.plus(drift);
                }
            }
        }
        (self.level, self.slope) = (level.wide(), slope.wide());
    }
}

/// The definition of [`Level::scan_lanes`].
fn scan_lanes<L: Level>(scan: &mut Scan, residuals: &[L; GROUP], levels: &mut [L; GROUP]) {
    for (place, residual) in residuals.iter().enumerate() {
        if let Some(level) = levels.get_mut(row_of(place)) {
            *level = *residual;
        }
    }
    scan.apply(levels);
}

/// The definition of [`Level::combine`].
fn combine<L: Level>(symbols: &[i8], low_bits: u32, out: &mut [L]) {
    for (place, symbol) in out.iter_mut().zip(symbols) {
        *place = place.plus(L::of(i64::from(*symbol) << low_bits));
    }
}

impl Level for i32 {
    const BITS: u32 = i32::BITS;

    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "narrow levels are computed modulo 2^32")]
    fn of(value: i64) -> i32 {
        value as i32
    }

    #[inline]
    fn wide(self) -> i64 {
        i64::from(self)
    }

    #[inline]
    fn plus(self, other: i32) -> i32 {
        self.wrapping_add(other)
    }

    fn unpack(bytes: &[u8], width: u32, base: i32, out: &mut [i32]) {
        bits::unpack32(bytes, width, base, out);
    }

    fn combine(symbols: &[i8], low_bits: u32, out: &mut [i32]) {
        let done = simd::combine32(symbols, low_bits, out);
        let symbols = symbols.get(done..).unwrap_or_default();
        combine(symbols, low_bits, out.get_mut(done..).unwrap_or_default());
    }

    fn scan(scan: &mut Scan, residuals: &mut [i32]) {
        let done = simd::scan32(scan, residuals);
        scan.apply(residuals.get_mut(done..).unwrap_or_default());
    }

    #[inline]
    fn unpack_lanes(
        bytes: &[u8],
        width: u32,
        base: i32,
        scan: &mut Scan,
        ordered: bool,
        levels: &mut [i32; GROUP],
    ) -> bool {
        simd::unpack_lanes32(bytes, width, base, scan, ordered, levels)
    }

    #[inline]
    fn scan_lanes(
        scan: &mut Scan,
        ordered: bool,
        residuals: &[i32; GROUP],
        levels: &mut [i32; GROUP],
    ) {
        if !simd::scan_lanes32(scan, ordered, residuals, levels) {
            scan_lanes(scan, residuals, levels);
        }
    }

    fn send(sink: &mut impl Sink, scale: Scale, levels: &[i32]) {
        sink.narrow(scale, levels);
    }
}

impl Level for i64 {
    const BITS: u32 = i64::BITS;

    #[inline]
    fn of(value: i64) -> i64 {
        value
    }

    #[inline]
    fn wide(self) -> i64 {
        self
    }

    #[inline]
    fn plus(self, other: i64) -> i64 {
        self.wrapping_add(other)
    }

    fn unpack(bytes: &[u8], width: u32, base: i64, out: &mut [i64]) {
        bits::unpack64(bytes, width, base, out);
    }

    fn combine(symbols: &[i8], low_bits: u32, out: &mut [i64]) {
        let done = simd::combine64(symbols, low_bits, out);
        let symbols = symbols.get(done..).unwrap_or_default();
        combine(symbols, low_bits, out.get_mut(done..).unwrap_or_default());
    }

    fn scan(scan: &mut Scan, residuals: &mut [i64]) {
        let done = simd::scan64(scan, residuals);
        scan.apply(residuals.get_mut(done..).unwrap_or_default());
    }

    #[inline]
    fn unpack_lanes(
        bytes: &[u8],
        width: u32,
        base: i64,
        scan: &mut Scan,
        ordered: bool,
        levels: &mut [i64; GROUP],
    ) -> bool {
        simd::unpack_lanes64(bytes, width, base, scan, ordered, levels)
    }

    #[inline]
    fn scan_lanes(
        scan: &mut Scan,
        ordered: bool,
        residuals: &[i64; GROUP],
        levels: &mut [i64; GROUP],
    ) {
        if !simd::scan_lanes64(scan, ordered, residuals, levels) {
            scan_lanes(scan, residuals, levels);
        }
    }

    fn send(sink: &mut impl Sink, scale: Scale, levels: &[i64]) {
        sink.wide(scale, levels);
    }
}
