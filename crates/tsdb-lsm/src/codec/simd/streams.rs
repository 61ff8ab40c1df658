//! Four bit streams, decoded side by side.

use super::super::huffman::{CODE_BITS_MAX, LOOKUP_SYMBOLS_MAX, Lookup, Position};

/// Look-ups from one load of eight bytes: five take at most 55 of the 57 bits that are sure to be there.
const LOOKUPS: usize = 5;

/// Room that a stream needs for one round: all symbols before its last store, and that store.
const ROUND_SYMBOLS: usize = (LOOKUPS - 1) * LOOKUP_SYMBOLS_MAX + 8;

const _: () = assert!(LOOKUPS * CODE_BITS_MAX as usize <= 57 && LOOKUP_SYMBOLS_MAX <= 8);

/// A stream and its segment, while both are far from their ends.
struct Lane {
    bytes: *const u8,
    bit: usize,
    bit_end: usize,
    symbols: *mut i8,
    symbol: usize,
    symbol_end: usize,
}

impl Lane {
    fn new(bytes: &[u8], symbols: &mut [i8]) -> Lane {
        Lane {
            bytes: bytes.as_ptr(),
            bit: 0,
            // Below it eight bytes can be loaded.
            bit_end: bytes.len().saturating_sub(7).saturating_mul(8),
            symbols: symbols.as_mut_ptr(),
            symbol: 0,
            // Below it a round has room.
            symbol_end: (symbols.len() + 1).saturating_sub(ROUND_SYMBOLS),
        }
    }

    /// Whether a round can be decoded.
    #[inline(always)]
    fn is_ready(&self) -> bool {
        self.bit < self.bit_end && self.symbol < self.symbol_end
    }

    /// The next 57 or more bits.
    ///
    /// # Safety
    /// The lane is ready, and `bytes` is still there.
    #[inline(always)]
    unsafe fn load(&self) -> u64 {
        // SAFETY: `bit` is below `bit_end`, so eight bytes from its byte on are part of the stream.
        let word = unsafe { self.bytes.add(self.bit / 8).cast::<u64>().read_unaligned() };
        u64::from_le(word) >> (self.bit % 8)
    }

    /// Decodes one look-up from `window`.
    ///
    /// # Safety
    /// The lane was ready, at most [`LOOKUPS`] calls ago, and `symbols` is still there.
    #[inline(always)]
    unsafe fn step(&mut self, lookup: &Lookup, window: u64) -> u64 {
        let index = window & (lookup.len() as u64 - 1);
        #[expect(clippy::indexing_slicing, clippy::cast_possible_truncation, reason = "masked")]
        let entry = lookup[index as usize];
        // SAFETY: `symbol` was below `symbol_end` and has moved by at most LOOKUP_SYMBOLS_MAX in each of at
        // most LOOKUPS - 1 steps since, so eight bytes from it on are part of the segment.
        unsafe {
            self.symbols.add(self.symbol).cast::<u64>().write_unaligned((entry >> 16).to_le())
        };
        self.symbol = self.symbol.wrapping_add((entry >> 8 & 0xff) as usize);
        self.bit = self.bit.wrapping_add((entry & 0x3f) as usize);
        window >> (entry & 0x3f)
    }

    fn position(&self) -> Position {
        Position { bit: self.bit, symbol: self.symbol }
    }
}

/// See [`super::decode_four`].
#[target_feature(enable = "bmi2")]
pub(super) fn decode_four(
    lookup: &Lookup,
    streams: [&[u8]; 4],
    symbols: &mut [i8],
    each: usize,
) -> [Position; 4] {
    let mut segments = symbols.chunks_mut(each.max(1));
    let mut lane = |stream: &[u8]| Lane::new(stream, segments.next().unwrap_or_default());
    let [mut a, mut b, mut c, mut d] = streams.map(&mut lane);
    while a.is_ready() && b.is_ready() && c.is_ready() && d.is_ready() {
        // SAFETY: all lanes are ready, each is stepped LOOKUPS times, and the slices live as long as this
        // function runs; the segments do not overlap.
        unsafe {
            let (mut wa, mut wb, mut wc, mut wd) = (a.load(), b.load(), c.load(), d.load());
            for _ in 0..LOOKUPS {
                wa = a.step(lookup, wa);
                wb = b.step(lookup, wb);
                wc = c.step(lookup, wc);
                wd = d.step(lookup, wd);
            }
        }
    }
    // One of them is at its end; the others are not far from theirs.
    for lane in [&mut a, &mut b, &mut c, &mut d] {
        while lane.is_ready() {
            // SAFETY: the lane is ready, it is stepped LOOKUPS times, and its slices live as above.
            unsafe {
                let mut window = lane.load();
                for _ in 0..LOOKUPS {
                    window = lane.step(lookup, window);
                }
            }
        }
    }
    [a.position(), b.position(), c.position(), d.position()]
}
