//! Filters over the tags of pages (Bloom, Space/time trade-offs in hash coding with allowable errors, 1970; two
//! hashes for all bits: Kirsch and Mitzenmacher 2006). Pinned to `docs/format/index-section.md`.

use tsdb_core::hash::{HashKey, siphash128};

use crate::section::format::{Reader, put_varint};
use crate::{Error, Result};

/// Bits per tag: one page in 250 is read in vain.
const BITS_PER_TAG: usize = 12;

/// Bits that a tag sets.
const BITS_SET: u64 = 6;

/// Bytes of a tag: measurement, key and value with NUL between them; without a value for the key alone.
fn hash_of(measurement: &str, key: &str, value: Option<&str>) -> (u64, u64) {
    let mut text = Vec::with_capacity(measurement.len() + key.len() + 16);
    text.extend_from_slice(measurement.as_bytes());
    text.push(0);
    text.extend_from_slice(key.as_bytes());
    if let Some(value) = value {
        text.push(0);
        text.extend_from_slice(value.as_bytes());
    }
    let hash = siphash128(HashKey([0; 16]), &text);
    let [low, high] = [hash, hash >> 64].map(|half| u64::try_from(half & u128::from(u64::MAX)));
    (low.unwrap_or(0), high.unwrap_or(0) | 1)
}

/// The places of the bits of a tag among `bits`.
fn places(hash: (u64, u64), bits: u64) -> impl Iterator<Item = usize> {
    (0..BITS_SET).filter_map(move |n| {
        let place = hash.0.wrapping_add(n.wrapping_mul(hash.1)).checked_rem(bits)?;
        usize::try_from(place).ok()
    })
}

/// The tags of a page, while it is written.
#[derive(Debug, Default)]
pub(super) struct Tags(hashbrown::HashSet<(u64, u64), foldhash::fast::RandomState>);

impl Tags {
    /// Adds a tag; without a value, the key.
    pub(super) fn add(&mut self, measurement: &str, key: &str, value: Option<&str>) {
        self.0.insert(hash_of(measurement, key, value));
    }

    /// Bytes of the filter, and the filter.
    pub(super) fn put(self, out: &mut Vec<u8>) {
        let mut filter = vec![0u8; (self.0.len() * BITS_PER_TAG).div_ceil(8)];
        let bits = filter.len() as u64 * 8;
        for place in self.0.iter().flat_map(|hash| places(*hash, bits)) {
            if let Some(byte) = filter.get_mut(place / 8) {
                *byte |= 1 << (place % 8);
            }
        }
        put_varint(out, filter.len() as u64);
        out.extend_from_slice(&filter);
    }
}

/// The filter of one page.
pub(super) struct Bloom<'a>(&'a [u8]);

impl<'a> Bloom<'a> {
    /// The filter at `place` in a page of filters.
    pub(super) fn read(bytes: &'a [u8], place: usize) -> Result<Bloom<'a>, Error> {
        let mut reader = Reader::new(bytes);
        for _ in 0..place {
            let length = reader.count(1)?;
            reader.take(length)?;
        }
        let length = reader.count(1)?;
        reader.take(length).map(Bloom)
    }

    /// Whether a series of the page can have the tag; without a value, the key.
    pub(super) fn may_have(&self, measurement: &str, key: &str, value: Option<&str>) -> bool {
        let bits = self.0.len() as u64 * 8;
        let set =
            |place: usize| self.0.get(place / 8).is_some_and(|byte| byte >> (place % 8) & 1 == 1);
        // Without bits there are no tags.
        bits > 0 && places(hash_of(measurement, key, value), bits).all(set)
    }
}
