//! Prefix codes for small signed numbers: 31 symbols, -15 to 15, with codes of at most eleven bits.
//!
//! The codes are constants of the format (`tables`): none is stored in a page, so that entropy coding pays
//! from a few dozen values on. A code is canonical, which means that its lengths define it: words are
//! given out in order of length, then of symbol. They are complete, so that any bits decode.

mod streams;
mod tables;

pub(super) use streams::{Position, decode_streams, encode_streams};
use tables::{TABLE_COUNT, TABLE_LENGTHS};

use std::sync::OnceLock;

use super::simd;

/// Number of symbols.
pub(super) const SYMBOLS: usize = 31;

/// The symbol 0 stands in the middle.
pub(super) const ZERO: i64 = 15;

/// Longest code. Look-up tables of eleven bits are 16 KiB, a third of the first-level cache. Ten bits were
/// measured beside them: as fast within the noise, and the bytes 0.2 % more where codes do most.
pub(super) const CODE_BITS_MAX: u32 = 11;

/// Entries of a look-up table.
const LOOKUP_LEN: usize = 1 << CODE_BITS_MAX;

/// Symbols that one look-up gives at most: what fits into a `u64` beside the two counts.
pub(super) const LOOKUP_SYMBOLS_MAX: usize = 6;

/// Words and look-up table of one code.
pub(super) struct Code {
    /// Per symbol index (symbol + 15) its word, first bit lowest, in the low half and its length above.
    words: [u32; SYMBOLS],
    lookup: Box<Lookup>,
}

/// Per value of the next eleven bits: bits 0 to 7 how many of them are used, bits 8 to 15 how many symbols
/// they give, then the symbols as `i8`.
pub(super) type Lookup = [u64; LOOKUP_LEN];

impl Code {
    /// The code of a table of the format; `None` if there is none of that number.
    pub(super) fn of_table(table: usize) -> Option<&'static Code> {
        static CODES: [OnceLock<Code>; TABLE_COUNT] = [const { OnceLock::new() }; TABLE_COUNT];
        let lengths = TABLE_LENGTHS.get(table)?;
        CODES.get(table).map(|code| code.get_or_init(|| Code::of_lengths(lengths)))
    }

    fn of_lengths(lengths: &[u8; SYMBOLS]) -> Code {
        let words = canonical_words(lengths);
        Code { words, lookup: lookup(&words) }
    }

    /// Word and length of a symbol by its index.
    #[inline]
    pub(super) fn word(&self, index: usize) -> (u64, u32) {
        let entry = self.words.get(index).copied().unwrap_or(0);
        (u64::from(entry & 0xffff), entry >> 16)
    }

    /// The table to decode with.
    pub(super) fn lookup(&self) -> &Lookup {
        &self.lookup
    }
}

/// Gives out words in order of length, then of symbol, and turns them so that the first bit is lowest.
fn canonical_words(lengths: &[u8; SYMBOLS]) -> [u32; SYMBOLS] {
    let mut words = [0; SYMBOLS];
    let mut next = 0u32;
    for length in 1..=CODE_BITS_MAX {
        next <<= 1;
        for (word, _) in words.iter_mut().zip(lengths).filter(|(_, l)| u32::from(**l) == length) {
            *word = next.reverse_bits() >> (u32::BITS - length) | length << 16;
            next += 1;
        }
    }
    words
}

fn lookup(words: &[u32; SYMBOLS]) -> Box<Lookup> {
    // First what each pattern begins with, then as many symbols as lie in it whole.
    let mut first = vec![(0u64, 0u32); LOOKUP_LEN];
    for (symbol, word) in (-ZERO..).zip(words) {
        let (word, length) = ((word & 0xffff) as usize, word >> 16);
        let symbol_byte = symbol.cast_unsigned() & 0xff;
        for entry in first.iter_mut().skip(word).step_by(1 << length) {
            *entry = (symbol_byte, length);
        }
    }
    let mut table = Box::new([0; LOOKUP_LEN]);
    for (pattern, entry) in table.iter_mut().enumerate() {
        let (mut bits, mut count, mut symbols) = (0, 0, 0);
        while count < LOOKUP_SYMBOLS_MAX {
            let (symbol, length) = first.get(pattern >> bits).copied().unwrap_or((0, 1));
            if bits + length > CODE_BITS_MAX {
                break;
            }
            symbols |= symbol << (16 + 8 * count);
            bits += length;
            count += 1;
        }
        *entry = u64::from(bits) | (count as u64) << 8 | symbols;
    }
    table
}

/// The table that codes symbols of these counts in the fewest bits, and their number.
pub(super) fn best_table(histogram: &[u32; SYMBOLS]) -> (u8, u64) {
    simd::vectorised(BestTable(histogram))
}

simd::hot_loop!(BestTable<'a>(&'a [u32; SYMBOLS]) -> (u8, u64), best_table_inlined);

#[inline(always)]
fn best_table_inlined(histogram: &[u32; SYMBOLS]) -> (u8, u64) {
    let (mut best, mut least) = (0, u32::MAX);
    for (table, lengths) in (0u8..).zip(&TABLE_LENGTHS) {
        let mut bits = 0u32;
        for (length, count) in lengths.iter().zip(histogram) {
            bits = bits.wrapping_add(u32::from(*length).wrapping_mul(*count));
        }
        if bits < least {
            (best, least) = (table, bits);
        }
    }
    (best, u64::from(least))
}

/// Number of streams that `count` symbols are coded in, and the symbols of each but the last. Four streams
/// can be decoded side by side; few symbols are not worth the bytes that their lengths take.
pub(super) fn segments(count: usize) -> (usize, usize) {
    const SPLIT_FROM: usize = 256;
    if count < SPLIT_FROM { (1, count) } else { (4, count.div_ceil(4).next_multiple_of(8)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_table_is_a_complete_prefix_code() {
        for (table, lengths) in TABLE_LENGTHS.iter().enumerate() {
            let space: u32 = lengths.iter().map(|l| 1 << (CODE_BITS_MAX - u32::from(*l))).sum();
            assert_eq!(space, 1 << CODE_BITS_MAX, "table {table} is not complete");
            let code = Code::of_table(table).unwrap();
            for (index, length) in lengths.iter().enumerate() {
                let (word, bits) = code.word(index);
                assert_eq!(bits, u32::from(*length));
                let entry = code.lookup()[usize::try_from(word).unwrap()];
                let symbol = entry.to_le_bytes()[2].cast_signed();
                assert_eq!(i64::from(symbol), index as i64 - ZERO, "table {table}");
            }
        }
        assert!(Code::of_table(TABLE_COUNT).is_none());
    }

    #[test]
    fn a_look_up_gives_as_many_symbols_as_fit() {
        for code in (0..TABLE_COUNT).filter_map(Code::of_table) {
            for entry in code.lookup() {
                let (bits, count) = (entry & 0xff, entry >> 8 & 0xff);
                assert!((1..=11).contains(&bits) && (1..=6).contains(&count));
            }
        }
    }

    #[test]
    fn segments_cover_all_symbols() {
        for count in 1..5000 {
            let (streams, each) = segments(count);
            assert!(streams * each >= count);
            assert!(streams == 1 || (each * 3 < count && each % 8 == 0), "{count}");
        }
    }
}
