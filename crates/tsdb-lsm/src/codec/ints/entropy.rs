//! Kind H: the high part of each residual by a prefix code, its low bits as they are.
//!
//! With `r` low bits the high part is `(y + 2^r / 2) >> r`, so that 0 stands in the middle of its range, and
//! one of the format's codes for -15 to 15 fits it. Residuals beyond are exceptions.

use super::super::bits::{mask, pack, packed_len};
use super::super::huffman::{Code, ZERO, decode_streams, encode_streams};
use super::super::simd;
use super::exceptions;
use super::level::Level;
use crate::bytes::{Malformed, Reader};

/// What the encoder picks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Parameters {
    pub low_bits: u32,
    pub table: u8,
}

/// Most low bits; far more would leave the code nothing to do.
pub(super) const LOW_BITS_MAX: u32 = 56;

/// Index of the high part among the symbols; beyond them for an exception.
#[inline(always)]
pub(super) fn symbol_index(residual: i64, low_bits: u32) -> u64 {
    let half = (1i64 << low_bits) >> 1;
    (residual.wrapping_add(half) >> low_bits).wrapping_add(ZERO).cast_unsigned()
}

/// Appends the residuals: low bits, table, exceptions, and the streams with the low bits before them.
#[expect(clippy::cast_possible_truncation, reason = "low bits and symbols are far below 256")]
pub(super) fn encode(residuals: &[i64], parameters: Parameters, out: &mut Vec<u8>) {
    let Parameters { low_bits, table } = parameters;
    let Some(code) = Code::of_table(usize::from(table)) else { return };
    let (symbols, places) = simd::vectorised(Symbols((residuals, low_bits)));
    out.push(low_bits as u8);
    out.push(table);
    exceptions::write(&places, residuals, out);
    let half = (1i64 << low_bits) >> 1;
    let low = residuals.iter().map(|y| y.wrapping_add(half).cast_unsigned() & mask(low_bits));
    encode_streams(code, &symbols, |out| pack(low, low_bits, out), out);
}

simd::hot_loop!(Symbols<'a>((&'a [i64], u32)) -> (Vec<u8>, Vec<usize>), symbols);

/// The symbol of each residual, and the places of exceptions.
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "symbols are below 31")]
fn symbols((residuals, low_bits): (&[i64], u32)) -> (Vec<u8>, Vec<usize>) {
    let mut places = Vec::new();
    let mut symbols = vec![ZERO as u8; residuals.len()];
    for (place, (residual, symbol)) in residuals.iter().zip(&mut symbols).enumerate() {
        let index = symbol_index(*residual, low_bits);
        if index > 2 * ZERO.cast_unsigned() {
            places.push(place);
        } else {
            *symbol = index as u8;
        }
    }
    (symbols, places)
}

/// Reads what [`encode`] wrote.
pub(super) fn decode<L: Level>(
    reader: &mut Reader<'_>,
    symbols: &mut Vec<i8>,
    out: &mut [L],
) -> Result<(), Malformed> {
    let low_bits = u32::from(reader.u8()?);
    if low_bits > LOW_BITS_MAX || low_bits >= L::BITS {
        return Err(reader.malformed("more low bits than numbers have"));
    }
    let code = Code::of_table(usize::from(reader.u8()?))
        .ok_or_else(|| reader.malformed("an unknown table of codes"))?;
    let exceptions = exceptions::read(reader, out.len())?;
    if symbols.len() < out.len() {
        symbols.resize(out.len(), 0);
    }
    let symbols = symbols.get_mut(..out.len()).unwrap_or_default();
    let low = decode_streams(code, reader, packed_len(low_bits, out.len()), symbols)?;
    if low_bits == 0 {
        simd::vectorised(Widen((symbols, out)));
    } else {
        let half = (1i64 << low_bits) >> 1;
        L::unpack(low, low_bits, L::of(half.wrapping_neg()), out);
        L::combine(symbols, low_bits, out);
    }
    exceptions.patch(out);
    Ok(())
}

/// Residuals without low bits: the symbols as they are.
struct Widen<'a, L>((&'a [i8], &'a mut [L]));

impl<L: Level> simd::HotLoop for Widen<'_, L> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Widen((symbols, out)) = self;
        for (place, symbol) in out.iter_mut().zip(symbols) {
            *place = L::of(i64::from(*symbol));
        }
    }
}
