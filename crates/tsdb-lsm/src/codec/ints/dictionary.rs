//! Residuals that take few values: their ranks in a dictionary by a prefix code.

use super::super::huffman::{Code, SYMBOLS, ZERO, best_table, decode_streams, encode_streams};
use super::level::Level;
use super::{exceptions, put_signed, read_signed};
use crate::bytes::{Malformed, Reader};

/// Residuals that the dictionary is made from.
const SAMPLE: usize = 256;

/// Not worth it with more exceptions than one in so many.
const EXCEPTIONS_ONE_IN: usize = 10;

/// Index of the symbol for a rank: 0, 1, -1, 2, -2, ... so that frequent ones stand in the middle.
fn symbol_index(rank: usize) -> usize {
    let way = rank.div_ceil(2);
    if rank % 2 == 1 { SYMBOLS / 2 + way } else { SYMBOLS / 2 - way }
}

/// The most frequent values of a sample with their frequencies, most frequent first, if few cover nearly all
/// of it.
fn frequent(residuals: &[i64]) -> Option<Vec<(u32, i64)>> {
    let mut sample: Vec<i64> =
        residuals.iter().step_by((residuals.len() / SAMPLE).max(1)).copied().collect();
    sample.sort_unstable();
    let mut counts: Vec<(u32, i64)> = sample
        .chunk_by(|a, b| a == b)
        .filter_map(|equal| Some((u32::try_from(equal.len()).ok()?, *equal.first()?)))
        .collect();
    counts.sort_by_key(|(count, _)| std::cmp::Reverse(*count));
    counts.truncate(SYMBOLS);
    let covered: u32 = counts.iter().map(|(count, _)| count).sum();
    if covered as usize * 100 < sample.len() * 93 {
        return None;
    }
    // What occurred once by chance is cheaper as an exception.
    while sample.len() > 100 && counts.len() > 4 && counts.last().is_some_and(|last| last.0 == 1) {
        counts.pop();
    }
    Some(counts)
}

/// Appends the residuals, unless more than `limit` bytes are to be expected, and says whether it did: length
/// of the dictionary, its values, table, exceptions and streams.
#[expect(clippy::cast_possible_truncation, reason = "a dictionary has at most 31 values")]
pub(super) fn encode(residuals: &[i64], limit: usize, out: &mut Vec<u8>) -> bool {
    let Some(dictionary) = frequent(residuals) else { return false };
    if expected_len(&dictionary, residuals.len()) > limit {
        return false;
    }
    let values = dictionary.iter().map(|(_, value)| *value);
    let index = Index::of(values.clone());
    let mut places = Vec::new();
    let mut histogram = [0u32; SYMBOLS];
    let symbols: Vec<u8> = residuals
        .iter()
        .enumerate()
        .map(|(place, residual)| {
            let symbol = index.symbol(*residual).unwrap_or_else(|| {
                places.push(place);
                ZERO as u8
            });
            if let Some(count) = histogram.get_mut(usize::from(symbol)) {
                *count += 1;
            }
            symbol
        })
        .collect();
    let (table, _) = best_table(&histogram);
    let code = Code::of_table(usize::from(table));
    let (Some(code), true) = (code, places.len() * EXCEPTIONS_ONE_IN <= residuals.len()) else {
        return false;
    };
    out.push(dictionary.len() as u8);
    values.for_each(|value| put_signed(out, value));
    out.push(table);
    exceptions::write(&places, residuals, out);
    encode_streams(code, &symbols, |_| {}, out);
    true
}

/// Bytes that the symbols of `count` residuals take if they are as frequent as in the sample.
fn expected_len(dictionary: &[(u32, i64)], count: usize) -> usize {
    let mut histogram = [0; SYMBOLS];
    for (rank, (frequency, _)) in dictionary.iter().enumerate() {
        if let Some(symbol) = histogram.get_mut(symbol_index(rank)) {
            *symbol = *frequency;
        }
    }
    let sampled = histogram.iter().sum::<u32>().max(1);
    let bits = best_table(&histogram).1 * count as u64 / u64::from(sampled);
    usize::try_from(bits / 8).unwrap_or(usize::MAX)
}

/// Finds symbols by value: a hash table with room to spare.
struct Index {
    slots: [Option<(i64, u8)>; Index::SLOTS],
}

impl Index {
    const SLOTS: usize = 128;

    #[expect(clippy::cast_possible_truncation, reason = "symbols are below 31")]
    fn of(values: impl Iterator<Item = i64>) -> Index {
        let mut index = Index { slots: [None; Index::SLOTS] };
        for (rank, value) in values.enumerate() {
            let free = index.probe(value).find(|slot| matches!(index.slots.get(*slot), Some(None)));
            if let Some(slot) = free.and_then(|slot| index.slots.get_mut(slot)) {
                *slot = Some((value, symbol_index(rank) as u8));
            }
        }
        index
    }

    /// The slots where a value may be, in order.
    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "the upper bits are meant")]
    fn probe(&self, value: i64) -> impl Iterator<Item = usize> + use<> {
        // Fibonacci hashing (Knuth, TAOCP 3, 6.4).
        let hash = value.cast_unsigned().wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let start = (hash >> (u64::BITS - Index::SLOTS.ilog2())) as usize;
        (start..start + Index::SLOTS).map(|slot| slot % Index::SLOTS)
    }

    #[inline]
    fn symbol(&self, value: i64) -> Option<u8> {
        for slot in self.probe(value) {
            match self.slots.get(slot).copied().flatten() {
                Some((found, symbol)) if found == value => return Some(symbol),
                Some(_) => {}
                None => return None,
            }
        }
        None
    }
}

/// Reads what [`encode`] wrote.
pub(super) fn decode<L: Level>(
    reader: &mut Reader<'_>,
    symbols: &mut Vec<i8>,
    out: &mut [L],
) -> Result<(), Malformed> {
    let length = usize::from(reader.u8()?);
    if !(1..=SYMBOLS).contains(&length) {
        return Err(reader.malformed("a dictionary of no or more than 31 values"));
    }
    // One entry per byte, so that symbols need no check.
    let mut values = [L::default(); 256];
    for rank in 0..length {
        let value = L::of(read_signed(reader)?);
        let symbol = symbol_index(rank) as i64 - ZERO;
        if let Some(entry) = values.get_mut((symbol & 0xff) as usize) {
            *entry = value;
        }
    }
    let code = Code::of_table(usize::from(reader.u8()?))
        .ok_or_else(|| reader.malformed("an unknown table of codes"))?;
    let exceptions = exceptions::read(reader, out.len())?;
    if symbols.len() < out.len() {
        symbols.resize(out.len(), 0);
    }
    let symbols = symbols.get_mut(..out.len()).unwrap_or_default();
    decode_streams(code, reader, 0, symbols)?;
    for (place, symbol) in out.iter_mut().zip(symbols.iter()) {
        if let Some(value) = values.get(usize::from(symbol.cast_unsigned())) {
            *place = *value;
        }
    }
    exceptions.patch(out);
    Ok(())
}
