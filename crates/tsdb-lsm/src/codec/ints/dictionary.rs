//! Residuals that take few values: their ranks in a dictionary by a prefix code.

use super::super::huffman::{
    Code, SYMBOLS, TABLE_COUNT, TABLE_LENGTHS, ZERO, decode_streams, encode_streams,
};
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

/// The most frequent values of a sample in order of their frequency, if few cover nearly all of it.
fn frequent(residuals: &[i64]) -> Option<Vec<i64>> {
    let mut sample: Vec<i64> =
        residuals.iter().step_by((residuals.len() / SAMPLE).max(1)).copied().collect();
    sample.sort_unstable();
    let mut counts: Vec<(usize, i64)> = sample
        .chunk_by(|a, b| a == b)
        .filter_map(|equal| Some((equal.len(), *equal.first()?)))
        .collect();
    counts.sort_by_key(|(count, _)| std::cmp::Reverse(*count));
    counts.truncate(SYMBOLS);
    let covered: usize = counts.iter().map(|(count, _)| count).sum();
    if covered * 100 < sample.len() * 93 {
        return None;
    }
    // What occurred once by chance is cheaper as an exception.
    while sample.len() > 100 && counts.len() > 4 && counts.last().is_some_and(|last| last.0 == 1) {
        counts.pop();
    }
    Some(counts.into_iter().map(|(_, value)| value).collect())
}

/// Appends the residuals, and says whether it did: length of the dictionary, its values, table,
/// exceptions and streams.
#[expect(clippy::cast_possible_truncation, reason = "ranks, symbols and tables are below 256")]
pub(super) fn encode(residuals: &[i64], out: &mut Vec<u8>) -> bool {
    let Some(dictionary) = frequent(residuals) else { return false };
    let mut sorted: Vec<(i64, u8)> = dictionary
        .iter()
        .enumerate()
        .map(|(rank, value)| (*value, symbol_index(rank) as u8))
        .collect();
    sorted.sort_unstable();
    let mut places = Vec::new();
    let mut symbols = Vec::with_capacity(residuals.len());
    let mut histogram = [0u64; SYMBOLS];
    for (place, residual) in residuals.iter().enumerate() {
        let found = sorted.binary_search_by_key(residual, |(value, _)| *value).ok();
        let symbol = found.and_then(|at| sorted.get(at)).map(|(_, symbol)| *symbol);
        if symbol.is_none() {
            places.push(place);
            if places.len() * EXCEPTIONS_ONE_IN > residuals.len() {
                return false;
            }
        }
        let symbol = symbol.unwrap_or(ZERO as u8);
        symbols.push(symbol);
        if let Some(count) = histogram.get_mut(usize::from(symbol)) {
            *count += 1;
        }
    }
    let table = best_table(&histogram);
    let Some(code) = Code::of_table(table) else { return false };
    out.push(dictionary.len() as u8);
    dictionary.iter().for_each(|value| put_signed(out, *value));
    out.push(table as u8);
    exceptions::write(&places, residuals, out);
    encode_streams(code, &symbols, |_| {}, out);
    true
}

fn best_table(histogram: &[u64; SYMBOLS]) -> usize {
    let cost = |table: &usize| {
        let lengths = TABLE_LENGTHS.get(*table).into_iter().flatten();
        lengths.zip(histogram).map(|(length, count)| u64::from(*length) * count).sum::<u64>()
    };
    (0..TABLE_COUNT).min_by_key(cost).unwrap_or(0)
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
