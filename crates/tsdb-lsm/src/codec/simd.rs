//! Kernels for processors with AVX2; the only module of this crate with `unsafe`.
//!
//! Every function here works on a prefix of its input and says how far it came; the callers do the rest
//! with plain code, which also defines the result.

use super::huffman::{Lookup, Position};
use super::ints::{IntSummary, Scale, Scan};

/// Unpacks a prefix of `out`, and gives its length.
pub(super) fn unpack32(_bytes: &[u8], _width: u32, _base: i32, _out: &mut [i32]) -> usize {
    0
}

/// Decodes four streams into the segments of `symbols`, each of `each` symbols, as far as it can.
pub(super) fn decode_four(
    _lookup: &Lookup,
    _streams: [&[u8]; 4],
    _symbols: &mut [i8],
    _each: usize,
) -> [Position; 4] {
    [Position::default(); 4]
}
pub(super) fn combine32(_symbols: &[i8], _low_bits: u32, _out: &mut [i32]) -> usize {
    0
}
pub(super) fn scan32(_scan: &mut Scan, _residuals: &mut [i32]) -> usize {
    0
}
pub(super) fn scan64(_scan: &mut Scan, _residuals: &mut [i64]) -> usize {
    0
}
pub(super) fn integers32(_scale: Scale, _levels: &[i32], _out: &mut [i64]) -> usize {
    0
}
pub(super) fn integers64(_scale: Scale, _levels: &[i64], _out: &mut [i64]) -> usize {
    0
}
pub(super) fn ordered64(_scale: Scale, _levels: &[i64], _out: &mut [f64]) -> usize {
    0
}
pub(super) fn decimals32(_scale: Scale, _levels: &[i32], _divisor: f64, _out: &mut [f64]) -> usize {
    0
}
pub(super) fn decimals64(
    _scale: Scale,
    _levels: &[i64],
    _divisor: f64,
    _out: &mut [f64],
    _beyond: &mut bool,
) -> usize {
    0
}
pub(super) fn tally32(_levels: &[i32]) -> (IntSummary, usize) {
    (IntSummary::NONE, 0)
}
pub(super) fn tally64(_scale: Scale, _levels: &[i64]) -> (IntSummary, usize) {
    (IntSummary::NONE, 0)
}
