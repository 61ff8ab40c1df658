//! Makes inputs of inputs by a seed: bit flips, cuts, splices and numbers that are often wrong.

use crate::seed::Seed;

/// Numbers at whose borders arithmetic breaks, as little-endian bytes of several widths.
const NUMBERS: [u64; 12] = [
    0,
    1,
    0x7f,
    0xff,
    0x7fff,
    0xffff,
    0x7fff_ffff,
    0xffff_fffe,
    0xffff_ffff,
    0x7fff_ffff_ffff_ffff,
    u64::MAX - 1,
    u64::MAX,
];

/// A place in `bytes` or at their end.
fn place(seed: &mut Seed, bytes: &[u8]) -> usize {
    usize::try_from(seed.within(0..bytes.len() as u64 + 1)).unwrap_or(0)
}

/// `base` with one to six changes, some of them with parts of `other`.
pub fn mutate(seed: &mut Seed, base: &[u8], other: &[u8], bytes_max: usize) -> Vec<u8> {
    let mut bytes = base.to_vec();
    for _ in 0..1 + seed.within(0..6) {
        let at = place(seed, &bytes);
        let end = (at + 1 + usize::from(seed.bits().to_le_bytes()[0] % 32)).min(bytes.len());
        match seed.within(0..8) {
            0 | 1 => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 1 << seed.within(0..8);
                }
            }
            2 => bytes.truncate(at),
            3 => drop(bytes.drain(at..end)),
            4 => {
                let again: Vec<u8> = bytes.get(at..end).unwrap_or_default().to_vec();
                bytes.splice(at..at, again);
            }
            5 => {
                let from = place(seed, other);
                let until = (from + 16).min(other.len());
                let part: Vec<u8> = other.get(from..until).unwrap_or_default().to_vec();
                bytes.splice(at..end.max(at), part);
            }
            6 => put_number(seed, &mut bytes, at),
            _ => {
                let byte = seed.bits().to_le_bytes()[0];
                bytes.insert(at, byte);
            }
        }
    }
    bytes.truncate(bytes_max);
    bytes
}

/// Overwrites the bytes at `at` by a number of [`NUMBERS`], of fixed width or as a varint.
fn put_number(seed: &mut Seed, bytes: &mut [u8], at: usize) {
    let choice = usize::try_from(seed.within(0..NUMBERS.len() as u64)).unwrap_or(0);
    let number = NUMBERS.get(choice).copied().unwrap_or(0);
    let mut varint = Vec::new();
    let mut rest = number;
    while rest >= 0x80 {
        varint.push(rest.to_le_bytes()[0] | 0x80);
        rest >>= 7;
    }
    varint.push(rest.to_le_bytes()[0]);
    let fixed = number.to_le_bytes();
    let new = match seed.within(0..4) {
        0 => varint.as_slice(),
        1 => fixed.get(..2).unwrap_or_default(),
        2 => fixed.get(..4).unwrap_or_default(),
        _ => &fixed,
    };
    for (byte, new) in bytes.iter_mut().skip(at).zip(new) {
        *byte = *new;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mutations_repeat_differ_and_keep_their_length() {
        let base: Vec<u8> = (0..100).collect();
        let all = |seed: u64| -> Vec<Vec<u8>> {
            let mut seed = Seed::new(seed);
            (0..200).map(|_| mutate(&mut seed, &base, &[9; 40], 120)).collect()
        };
        assert_eq!(all(1), all(1));
        assert_ne!(all(1), all(2));
        assert!(all(3).iter().all(|bytes| bytes.len() <= 120));
        assert!(all(4).iter().filter(|bytes| **bytes != base).count() > 190);
        assert!(!mutate(&mut Seed::new(5), &[], &[], 10).len() > 10);
    }
}
