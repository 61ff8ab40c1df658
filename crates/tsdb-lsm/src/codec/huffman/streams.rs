//! Symbols to bit streams and back: one stream for few symbols, four for many, so that four look-ups are
//! under way at a time.

use super::super::simd;
use super::{CODE_BITS_MAX, Code, Lookup, segments};
use crate::bytes::{Malformed, Reader, put_varint};

/// Streams of a column with many symbols.
const STREAMS_MAX: usize = 4;

/// Appends the lengths of all streams but the last, what `between` writes, and the streams. `symbols` are
/// indices (symbol + 15).
pub(in super::super) fn encode_streams(
    code: &Code,
    symbols: &[u8],
    between: impl FnOnce(&mut Vec<u8>),
    out: &mut Vec<u8>,
) {
    let (streams, each) = segments(symbols.len());
    let mut bytes = Vec::with_capacity(symbols.len());
    for (index, segment) in symbols.chunks(each.max(1)).enumerate() {
        let start = bytes.len();
        simd::vectorised(Encode((code, segment, &mut bytes)));
        if index + 1 < streams {
            put_varint(out, (bytes.len() - start) as u64);
        }
    }
    between(out);
    out.extend_from_slice(&bytes);
}

simd::hot_loop!(Encode<'a>((&'a Code, &'a [u8], &'a mut Vec<u8>)) -> (), encode_stream);

#[expect(clippy::cast_possible_truncation, reason = "the low half is what is written")]
#[inline(always)]
fn encode_stream((code, symbols, out): (&Code, &[u8], &mut Vec<u8>)) {
    let (mut pending, mut pending_bits) = (0u64, 0u32);
    for symbol in symbols {
        let (word, bits) = code.word(usize::from(*symbol));
        pending |= word << pending_bits;
        pending_bits += bits;
        if pending_bits >= 32 {
            out.extend_from_slice(&(pending as u32).to_le_bytes());
            pending >>= 32;
            pending_bits -= 32;
        }
    }
    let rest = pending.to_le_bytes();
    out.extend(rest.iter().take(pending_bits.div_ceil(8) as usize));
}

/// How far the decoding of a stream has come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in super::super) struct Position {
    /// Bits read.
    pub bit: usize,
    /// Symbols written.
    pub symbol: usize,
}

/// Reads what [`encode_streams`] wrote for `symbols.len()` symbols, with `between_bytes` bytes between the
/// lengths and the streams, which are the rest of `reader`. Gives those bytes.
pub(in super::super) fn decode_streams<'a>(
    code: &Code,
    reader: &mut Reader<'a>,
    between_bytes: usize,
    symbols: &mut [i8],
) -> Result<&'a [u8], Malformed> {
    let (streams, each) = segments(symbols.len());
    let mut lengths = [0; STREAMS_MAX - 1];
    for length in lengths.iter_mut().take(streams - 1) {
        *length = reader.count(1)?;
    }
    let between = reader.take(between_bytes)?;
    let mut parts: [&[u8]; STREAMS_MAX] = [&[]; STREAMS_MAX];
    for (part, length) in parts.iter_mut().zip(lengths).take(streams - 1) {
        *part = reader.take(length)?;
    }
    if let Some(last) = parts.get_mut(streams - 1) {
        *last = reader.rest();
    }
    let mut positions = [Position::default(); STREAMS_MAX];
    if streams == STREAMS_MAX {
        positions = simd::decode_four(code.lookup(), parts, symbols, each);
    }
    let outs = symbols.chunks_mut(each.max(1));
    let complete = outs.zip(parts).zip(positions).all(|((out, bytes), position)| {
        finish_stream(code, bytes, position, out).div_ceil(8) == bytes.len()
    });
    complete.then_some(between).ok_or_else(|| reader.malformed("a stream of another length"))
}

/// Decodes from `position` on until `out` is full, and gives the number of bits that its symbols take.
fn finish_stream(code: &Code, bytes: &[u8], position: Position, out: &mut [i8]) -> usize {
    let Position { mut bit, mut symbol } = position;
    while let Some(room) = out.get_mut(symbol..).and_then(|room| room.first_chunk_mut()) {
        // All eight bytes are stored, and those behind the symbols once more by the next look-up.
        let [bits, count, found @ ..] = look_up(code.lookup(), peek(bytes, bit)).to_le_bytes();
        let [a, b, c, d, e, f] = found.map(u8::cast_signed);
        *room = [a, b, c, d, e, f, 0, 0];
        bit += usize::from(bits);
        symbol += usize::from(count);
    }
    while let Some(room) = out.get_mut(symbol..).filter(|room| !room.is_empty()) {
        let [bits, count, found @ ..] = look_up(code.lookup(), peek(bytes, bit)).to_le_bytes();
        let count = usize::from(count);
        let is_more = room.len() < count;
        for (to, from) in room.iter_mut().zip(found).take(count) {
            *to = from.cast_signed();
            symbol += 1;
            if is_more {
                // The last look-up found more than there is: only what is meant counts.
                let index = usize::try_from(i64::from(*to) + super::ZERO).unwrap_or(0);
                bit += code.word(index).1 as usize;
            }
        }
        if !is_more {
            bit += usize::from(bits);
        }
    }
    bit
}

#[inline(always)]
fn look_up(lookup: &Lookup, window: u64) -> u64 {
    let index = window & ((1 << CODE_BITS_MAX) - 1);
    lookup.get(index as usize).copied().unwrap_or(0)
}

/// At least 56 bits from `bit` on; those behind the end are zeros.
#[inline(always)]
fn peek(bytes: &[u8], bit: usize) -> u64 {
    let rest = bytes.get(bit / 8..).unwrap_or(&[]);
    let word = match rest.first_chunk() {
        Some(word) => *word,
        None => {
            let mut word = [0; 8];
            word.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
            word
        }
    };
    u64::from_le_bytes(word) >> (bit % 8)
}

#[cfg(test)]
mod tests {
    use super::super::TABLE_COUNT;
    use super::*;
    use proptest::prelude::*;

    fn symbols() -> impl Strategy<Value = Vec<u8>> {
        let symbol = prop_oneof![5 => 12u8..19, 1 => 0u8..31];
        prop::collection::vec(symbol, 1..900)
    }

    proptest! {
        #[test]
        fn symbols_come_back(table in 0..TABLE_COUNT, symbols in symbols()) {
            let code = Code::of_table(table).unwrap();
            let mut bytes = Vec::new();
            encode_streams(code, &symbols, |out| out.push(9), &mut bytes);
            let mut back = vec![0i8; symbols.len()];
            let between = decode_streams(code, &mut Reader::new(&bytes), 1, &mut back);
            prop_assert_eq!(between, Ok(&[9u8][..]));
            let expected: Vec<i8> = symbols.iter().map(|s| *s as i8 - 15).collect();
            prop_assert_eq!(back, expected);
        }

        #[test]
        fn streams_of_another_length_are_refused(table in 0..TABLE_COUNT, symbols in symbols(), more in any::<u8>()) {
            let code = Code::of_table(table).unwrap();
            let mut bytes = Vec::new();
            encode_streams(code, &symbols, |_| {}, &mut bytes);
            let mut back = vec![0i8; symbols.len()];
            for cut in 0..bytes.len() {
                let mut reader = Reader::new(&bytes[..cut]);
                prop_assert!(decode_streams(code, &mut reader, 0, &mut back).is_err());
            }
            bytes.push(more);
            prop_assert!(decode_streams(code, &mut Reader::new(&bytes), 0, &mut back).is_err());
        }
    }
}
