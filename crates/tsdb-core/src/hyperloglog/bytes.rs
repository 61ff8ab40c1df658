//! A sketch as bytes. Pinned to `docs/format/cardinality-section.md`.

use super::{
    DENSE_RANK_MAX, DENSE_REGISTERS, DistinctSketch, FINER_MASK, Form, RANK_BITS, SPARSE_BITS,
    SPARSE_MAX, SPARSE_RANK_MAX, place_of,
};

/// Stands where the number of a sparse sketch's registers would be, one above the most of them.
const DENSE: u64 = SPARSE_MAX as u64 + 1;

/// What half a byte of a dense sketch can say; a register that is higher says so and follows behind.
const HIGHER: u8 = 15;

/// Bytes that are no sketch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a sketch is damaged at byte {offset}: {what}")]
pub struct DamagedSketch {
    /// Where in the bytes.
    pub offset: usize,
    /// What was found.
    pub what: &'static str,
}

impl DistinctSketch {
    /// Puts the sketch behind `out`: a byte, and 2 to 4 bytes for each value, or 8 KiB and some bytes if there are more than
    /// 4096. O(bytes).
    pub fn encode(&self, out: &mut Vec<u8>) {
        match &self.0 {
            Form::Sparse(entries) => {
                put_varint(out, entries.len() as u64);
                let mut next = 0;
                for entry in entries {
                    let place = place_of(*entry);
                    put_varint(out, u64::from(place - next));
                    next = place + 1;
                    if place & FINER_MASK == 0 {
                        out.push(u8::try_from(entry & ((1 << RANK_BITS) - 1)).unwrap_or(0));
                    }
                }
            }
            Form::Dense(registers) => {
                put_varint(out, DENSE);
                let base = registers.iter().copied().min().unwrap_or(0);
                out.push(base);
                let half = |register: &u8| (register - base).min(HIGHER);
                let pairs = registers.chunks_exact(2);
                out.extend(pairs.map(|pair| {
                    pair.iter().rev().fold(0, |byte, register| byte << 4 | half(register))
                }));
                out.extend(registers.iter().filter(|register| half(register) == HIGHER));
            }
        }
    }

    /// Reads a sketch from the front of `bytes`, and says how many of them it took. Any bytes are read or refused, in memory
    /// of at most [`DistinctSketch::MEMORY_MAX`]; what is read is encoded as the same bytes. O(bytes).
    ///
    /// # Errors
    /// Bytes that no sketch begins with.
    pub fn decode(bytes: &[u8]) -> Result<(DistinctSketch, usize), DamagedSketch> {
        let mut reader = Reader { bytes, at: 0 };
        let form = match reader.varint()? {
            DENSE => Form::Dense(reader.dense()?),
            count => Form::Sparse(reader.sparse(count)?),
        };
        Ok((DistinctSketch(form), reader.at))
    }
}

fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while let Some(low) = u8::try_from(value & 0x7f).ok().filter(|_| value >= 0x80) {
        out.push(low | 0x80);
        value >>= 7;
    }
    out.push(u8::try_from(value).unwrap_or(0));
}

struct Reader<'b> {
    bytes: &'b [u8],
    at: usize,
}

impl<'b> Reader<'b> {
    fn damaged(&self, what: &'static str) -> DamagedSketch {
        DamagedSketch { offset: self.at, what }
    }

    fn take(&mut self, count: usize) -> Result<&'b [u8], DamagedSketch> {
        let taken = self.bytes.get(self.at..).and_then(|rest| rest.get(..count));
        let taken = taken.ok_or_else(|| self.damaged("the bytes end early"))?;
        self.at += count;
        Ok(taken)
    }

    fn u8(&mut self) -> Result<u8, DamagedSketch> {
        Ok(self.take(1)?.first().copied().unwrap_or(0))
    }

    /// A number below 2^28 in its shortest form: there are no higher ones in a sketch.
    fn varint(&mut self) -> Result<u64, DamagedSketch> {
        let mut value = 0;
        for shift in [0, 7, 14, 21] {
            let byte = self.u8()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                if byte == 0 && shift > 0 {
                    return Err(self.damaged("a number in too many bytes"));
                }
                return Ok(value);
            }
        }
        Err(self.damaged("a number above 28 bits"))
    }

    fn sparse(&mut self, count: u64) -> Result<Vec<u32>, DamagedSketch> {
        let count = usize::try_from(count).ok().filter(|count| *count <= SPARSE_MAX);
        let count = count.ok_or_else(|| self.damaged("too many registers"))?;
        if count > self.bytes.len() - self.at {
            return Err(self.damaged("a count that the bytes cannot hold"));
        }
        let mut entries = Vec::with_capacity(count);
        let mut next = 0;
        for _ in 0..count {
            let place = u32::try_from(next + self.varint()?).unwrap_or(u32::MAX);
            if place >> SPARSE_BITS != 0 {
                return Err(self.damaged("a register beyond the last"));
            }
            next = u64::from(place) + 1;
            let rank = if place & FINER_MASK == 0 { self.u8()? } else { 0 };
            if place & FINER_MASK == 0 && !(1..=SPARSE_RANK_MAX).contains(&rank) {
                return Err(self.damaged("a rank that no hash has"));
            }
            entries.push(place << RANK_BITS | u32::from(rank));
        }
        Ok(entries)
    }

    fn dense(&mut self) -> Result<Box<[u8]>, DamagedSketch> {
        let base = self.u8()?;
        let halves = self.take(DENSE_REGISTERS / 2)?;
        let halves = halves.iter().flat_map(|byte| [byte & 0xf, byte >> 4]);
        let mut registers: Box<[u8]> =
            halves.clone().map(|half| base.saturating_add(half)).collect();
        for register in registers.iter_mut().zip(halves).filter(|(_, half)| *half == HIGHER) {
            let rank = self.u8()?;
            if rank < *register.0 {
                return Err(self.damaged("a high register that is not high"));
            }
            *register.0 = rank;
        }
        if registers.iter().any(|rank| *rank > DENSE_RANK_MAX) {
            return Err(self.damaged("a rank that no hash has"));
        }
        if registers.iter().min() != Some(&base) {
            return Err(self.damaged("a base that no register has"));
        }
        Ok(registers)
    }
}
