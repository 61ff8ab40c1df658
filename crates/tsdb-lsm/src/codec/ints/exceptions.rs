//! Numbers that stand apart from the rest of their column, with their places.

use super::level::Level;
use super::{put_signed, read_signed};
use crate::bytes::{Malformed, Reader, put_varint};

/// Appends the count, the distance of each place from the one before, and the residuals. `places` increase.
pub(super) fn write(places: &[usize], residuals: &[i64], out: &mut Vec<u8>) {
    write_places(places, out);
    for place in places {
        put_signed(out, residuals.get(*place).copied().unwrap_or(0));
    }
}

/// Appends the count of `places` and the distance of each from the one before, the first from 0.
pub(in super::super) fn write_places(places: &[usize], out: &mut Vec<u8>) {
    put_varint(out, places.len() as u64);
    let mut before = 0;
    for place in places {
        put_varint(out, (place - before) as u64);
        before = *place;
    }
}

/// Reads what [`write_places`] wrote for a column of `count` numbers, each with at least `bytes_min` bytes
/// that follow later.
pub(in super::super) fn read_places(
    reader: &mut Reader<'_>,
    count: usize,
    bytes_min: usize,
) -> Result<Vec<usize>, Malformed> {
    let number = reader.count(1 + bytes_min)?;
    let mut places = Vec::with_capacity(number.min(count));
    for _ in 0..number {
        let gap = usize::try_from(reader.varint()?).unwrap_or(usize::MAX);
        let place = match places.last() {
            None => Some(gap),
            Some(before) if gap > 0 => gap.checked_add(*before),
            Some(_) => None,
        };
        match place.filter(|place| *place < count) {
            Some(place) => places.push(place),
            None => return Err(reader.malformed("places that do not increase, or beyond the end")),
        }
    }
    Ok(places)
}

/// Reads what [`write`] wrote; what comes after it can be read then, and after that [`Exceptions::patch`]
/// puts the residuals where they belong.
pub(super) fn read(reader: &mut Reader<'_>, count: usize) -> Result<Exceptions, Malformed> {
    let places = read_places(reader, count, 1)?;
    let residuals = places.iter().map(|_| read_signed(reader)).collect::<Result<_, _>>()?;
    Ok(Exceptions { places, residuals })
}

/// Exceptions of a column.
pub(super) struct Exceptions {
    places: Vec<usize>,
    residuals: Vec<i64>,
}

impl Exceptions {
    pub(super) fn patch<L: Level>(&self, out: &mut [L]) {
        for (place, residual) in self.places.iter().zip(&self.residuals) {
            if let Some(to) = out.get_mut(*place) {
                *to = L::of(*residual);
            }
        }
    }
}
