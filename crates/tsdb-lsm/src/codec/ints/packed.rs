//! Kind P: bit packing in groups of 128 with a reference of their own, and exceptions.
//!
//! The halves of a full group are packed in [lanes](LANES): residuals 0, 8, 16, ... 56 come first, then 1, 9,
//! 17, ... So a vector of numbers that lie side by side has one of each lane, and running sums of all lanes are
//! one addition per vector (Afroozeh and Boncz, "The FastLanes Compression Layout", 2023).

use super::super::bits::{bit_len, mask, pack, packed_len};
use super::super::simd;
use super::level::{Level, Scan};
use super::{put_signed, read_signed, unzigzag, zigzag};
use crate::bytes::{Malformed, Reader};

/// Residuals that share a reference and a width. Smaller adapts better, larger costs fewer headers.
pub(in super::super) const GROUP: usize = 2 * BLOCK;

/// Stretches that are packed side by side.
pub(in super::super) const LANES: usize = 8;

/// Residuals of a lane.
pub(in super::super) const STEPS: usize = 8;

/// Residuals of all lanes: half a full group.
pub(in super::super) const BLOCK: usize = LANES * STEPS;

/// The residual of a full group that is packed at `place`.
pub(super) fn row_of(place: usize) -> usize {
    place / BLOCK * BLOCK + place % LANES * STEPS + place % BLOCK / LANES
}

/// How a group is packed: numbers from `reference` on that have `width` bits; all others are exceptions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Frame {
    reference: i64,
    width: u32,
}

impl Frame {
    /// The distance from the reference; above the mask of the width for an exception.
    fn distance(self, residual: i64) -> u64 {
        residual.wrapping_sub(self.reference).cast_unsigned()
    }
}

/// Appends the residuals, group by group: width, number of exceptions, reference, the packed distances,
/// and per exception its place in the packed group and the residual.
pub(super) fn encode(residuals: &[i64], out: &mut Vec<u8>) {
    let (full, rest) = residuals.as_chunks();
    for group in full {
        encode_group(&in_lanes(group), out);
    }
    if !rest.is_empty() {
        encode_group(rest, out);
    }
}

/// A full group in the order that it is packed in.
fn in_lanes(group: &[i64; GROUP]) -> [i64; GROUP] {
    std::array::from_fn(|place| group.get(row_of(place)).copied().unwrap_or(0))
}

#[expect(clippy::cast_possible_truncation, reason = "widths and places in a group are below 129")]
fn encode_group(group: &[i64], out: &mut Vec<u8>) {
    let frame = simd::vectorised(Choose(group));
    let limit = mask(frame.width);
    let exceptions: Vec<usize> = (0..)
        .zip(group)
        .filter(|(_, residual)| frame.distance(**residual) > limit)
        .map(|(place, _)| place)
        .collect();
    out.push(frame.width as u8);
    out.push(exceptions.len() as u8);
    put_signed(out, frame.reference);
    let distances = group.iter().map(|residual| match frame.distance(*residual) {
        distance if distance > limit => 0,
        distance => distance,
    });
    pack(distances, frame.width, out);
    for place in exceptions {
        out.push(place as u8);
        put_signed(out, group.get(place).copied().unwrap_or(0));
    }
}

simd::hot_loop!(Choose<'a>(&'a [i64]) -> Frame, choose_frame);

/// The shortest frame among those that begin at the smallest residual and those around 0.
#[inline(always)]
fn choose_frame(group: &[i64]) -> Frame {
    let min = group.iter().copied().min().unwrap_or(0);
    let max = group.iter().copied().max().unwrap_or(0);
    let width = bit_len(max.wrapping_sub(min).cast_unsigned());
    let mut best = Frame { reference: min, width };
    let mut best_bits = width as usize * group.len();
    if width <= 2 {
        return best;
    }
    let (mut from_min, mut around_zero) = ([0u8; 65], [0u8; 65]);
    let count = |counts: &mut [u8; 65], bits: u32| {
        if let Some(count) = counts.get_mut(bits as usize) {
            *count += 1;
        }
    };
    for residual in group {
        count(&mut from_min, bit_len(residual.wrapping_sub(min).cast_unsigned()));
        count(&mut around_zero, bit_len(zigzag(*residual)));
    }
    for (counts, centred) in [(from_min, false), (around_zero, true)] {
        // From the widest down, everything that needs more bits is an exception.
        let mut exceptions = 0usize;
        for (narrower, wider) in (0..64u32).zip(counts.iter().skip(1)).rev() {
            exceptions += usize::from(*wider);
            let exception_bits = 16 + 8 * (narrower as usize / 7 + 1);
            let bits = narrower as usize * group.len() + exceptions * exception_bits;
            if exceptions * 4 > group.len() {
                break;
            }
            if bits < best_bits {
                let reference = if centred { -((1i64 << narrower) >> 1) } else { min };
                (best, best_bits) = (Frame { reference, width: narrower }, bits);
            }
        }
    }
    best
}

/// Reads the next residuals of what [`encode`] wrote and turns them into levels. All but the last `levels` of
/// a column are whole groups. If not `ordered`, the levels of a group are in any order.
pub(super) fn decode<L: Level>(
    reader: &mut Reader<'_>,
    scan: &mut Scan,
    ordered: bool,
    levels: &mut [L],
) -> Result<(), Malformed> {
    let (full, rest) = levels.as_chunks_mut();
    for group in full {
        let packed = Packed::<L>::read(reader, GROUP)?;
        let Packed { bytes, width, reference, exceptions } = packed;
        if exceptions == 0 && L::unpack_lanes(bytes, width, reference, scan, ordered, group) {
            continue;
        }
        let mut residuals = [L::default(); GROUP];
        packed.unpack(reader, &mut residuals)?;
        L::scan_lanes(scan, ordered, &residuals, group);
    }
    if !rest.is_empty() {
        Packed::read(reader, rest.len())?.unpack(reader, rest)?;
        L::scan(scan, rest);
    }
    Ok(())
}

/// A packed group.
struct Packed<'a, L> {
    /// From the first packed number on. What follows the last is there for kernels that load more than they
    /// need.
    bytes: &'a [u8],
    width: u32,
    reference: L,
    exceptions: u8,
}

impl<'a, L: Level> Packed<'a, L> {
    /// Reads a group of `count` residuals but for its exceptions.
    #[inline]
    fn read(reader: &mut Reader<'a>, count: usize) -> Result<Packed<'a, L>, Malformed> {
        let (width, exceptions, reference) = match reader.ahead() {
            // A short reference: read at once what is usual.
            [width, exceptions, reference @ ..0x80, ..] => {
                reader.take(3)?;
                (*width, *exceptions, unzigzag(u64::from(*reference)))
            }
            _ => (reader.u8()?, reader.u8()?, read_signed(reader)?),
        };
        let (width, reference) = (u32::from(width), L::of(reference));
        if width > L::BITS {
            return Err(reader.malformed("a width above that of the numbers"));
        }
        let bytes = reader.ahead();
        reader.take(packed_len(width, count))?;
        Ok(Packed { bytes, width, reference, exceptions })
    }

    /// Fills `group` with the residuals in the order that they are packed in.
    fn unpack(self, reader: &mut Reader<'_>, group: &mut [L]) -> Result<(), Malformed> {
        L::unpack(self.bytes, self.width, self.reference, group);
        for _ in 0..self.exceptions {
            let (place, residual) = match reader.ahead() {
                [place, residual @ ..0x80, ..] => {
                    reader.take(2)?;
                    (usize::from(*place), unzigzag(u64::from(*residual)))
                }
                _ => (usize::from(reader.u8()?), read_signed(reader)?),
            };
            let beyond = reader.malformed("an exception behind the end of its group");
            *group.get_mut(place).ok_or(beyond)? = L::of(residual);
        }
        Ok(())
    }
}
