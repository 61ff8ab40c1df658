//! Residuals that are mostly 0: the others with their places, or as runs of equal levels.

use super::exceptions;
use super::level::Level;
use super::{decode_nested, put_varint};
use crate::bytes::{Malformed, Reader};

/// Appends the residuals that are not 0.
pub(super) fn encode(residuals: &[i64], out: &mut Vec<u8>) {
    exceptions::write(&changes(residuals), residuals, out);
}

/// Places of the residuals that are not 0.
fn changes(residuals: &[i64]) -> Vec<usize> {
    residuals.iter().enumerate().filter(|(_, y)| **y != 0).map(|(place, _)| place).collect()
}

/// Reads what [`encode`] wrote.
pub(super) fn decode<L: Level>(reader: &mut Reader<'_>, out: &mut [L]) -> Result<(), Malformed> {
    out.fill(L::default());
    exceptions::read(reader, out.len())?.patch(out);
    Ok(())
}

/// Appends the changes of level: their count, the length of the column of their distances, that column,
/// and the column of the levels after them. `encode_nested` appends a column that is none of runs.
pub(super) fn encode_runs(
    residuals: &[i64],
    mut encode_nested: impl FnMut(&[i64], &mut Vec<u8>),
    out: &mut Vec<u8>,
) {
    let places = changes(residuals);
    let mut gaps = Vec::with_capacity(places.len());
    let mut levels = Vec::with_capacity(places.len());
    let (mut before, mut level) = (0, 0i64);
    for place in places {
        gaps.push(i64::try_from(place - before).unwrap_or(i64::MAX));
        before = place;
        level = level.wrapping_add(residuals.get(place).copied().unwrap_or(0));
        levels.push(level);
    }
    put_varint(out, levels.len() as u64);
    let mut column = Vec::new();
    encode_nested(&gaps, &mut column);
    put_varint(out, column.len() as u64);
    out.append(&mut column);
    encode_nested(&levels, out);
}

/// Reads what [`encode_runs`] wrote, back to residuals of differences.
pub(super) fn decode_runs<L: Level>(
    reader: &mut Reader<'_>,
    out: &mut [L],
) -> Result<(), Malformed> {
    let runs = usize::try_from(reader.varint()?).unwrap_or(usize::MAX);
    if runs > out.len() {
        return Err(reader.malformed("more runs than numbers"));
    }
    let gaps_len = reader.count(1)?;
    let gaps = decode_nested(&mut Reader::new(reader.take(gaps_len)?), runs)?;
    let levels = decode_nested(reader, runs)?;
    out.fill(L::default());
    let (mut place, mut before) = (0usize, 0i64);
    for (index, (gap, level)) in gaps.into_iter().zip(levels).enumerate() {
        let gap = usize::try_from(gap).ok().filter(|gap| index == 0 || *gap > 0);
        let next = gap.and_then(|gap| place.checked_add(gap));
        let Some((next, to)) = next.and_then(|next| Some((next, out.get_mut(next)?))) else {
            return Err(reader.malformed("runs that do not increase, or beyond the end"));
        };
        *to = L::of(level.wrapping_sub(before));
        (place, before) = (next, level);
    }
    Ok(())
}
