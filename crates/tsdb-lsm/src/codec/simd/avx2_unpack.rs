//! Unpacking of bits.
//!
//! Eight numbers of `w` bits take `w` bytes, so all groups of eight look the same. A vector of them is made
//! of two loads of 16 bytes: a shuffle brings the bytes of each number to its place, a shift its bits.

use std::arch::x86_64::*;

use super::super::ints::{GROUP, LANES};
use super::avx2::{load4, load8, store4, store8};

/// Bytes that the last groups are unpacked from: less than a window is left, and the window of the last one
/// begins in it.
const COPY: usize = 2 * WINDOW;

/// Widest numbers of 32 bits: whichever bit they begin in, four bytes hold them.
const WIDTH_MAX_32: usize = 25;

/// Widest numbers of 64 bits: whichever bit they begin in, eight bytes hold them.
const WIDTH_MAX_64: usize = 57;

/// Where the bytes of the numbers of a vector are in its two loads, and how far each is shifted.
struct Spread<const LANES: usize, T> {
    bytes: [u8; 32],
    shifts: [T; LANES],
    /// Where the two loads begin.
    loads: [usize; 2],
}

/// Per width.
#[expect(clippy::indexing_slicing, reason = "at compile time a bad index is a compile error")]
#[expect(clippy::cast_possible_truncation, clippy::cast_possible_wrap, reason = "below 8")]
static SPREADS_32: [Spread<8, i32>; WIDTH_MAX_32 + 1] = {
    const NONE: Spread<8, i32> = Spread { bytes: [0; 32], shifts: [0; 8], loads: [0; 2] };
    let mut spreads = [NONE; WIDTH_MAX_32 + 1];
    let mut width = 0;
    while width <= WIDTH_MAX_32 {
        spreads[width].loads = [0, 4 * width / 8];
        let mut lane = 0;
        while lane < 8 {
            let bit = lane * width;
            spreads[width].shifts[lane] = (bit % 8) as i32;
            place::<4>(&mut spreads[width].bytes, lane, bit / 8 - spreads[width].loads[lane / 4]);
            lane += 1;
        }
        width += 1;
    }
    spreads
};

/// Per width, for the first and the second four of eight numbers.
#[expect(clippy::indexing_slicing, reason = "at compile time a bad index is a compile error")]
#[expect(clippy::cast_possible_wrap, reason = "below 8")]
static SPREADS_64: [[Spread<4, i64>; 2]; WIDTH_MAX_64 + 1] = {
    const NONE: Spread<4, i64> = Spread { bytes: [0; 32], shifts: [0; 4], loads: [0; 2] };
    const BOTH: [Spread<4, i64>; 2] = [NONE; 2];
    let mut spreads = [BOTH; WIDTH_MAX_64 + 1];
    let mut at = 0;
    while at < 2 * spreads.len() {
        let (width, half) = (at / 2, at % 2);
        let spread = &mut spreads[width][half];
        let first = half * 4 * width;
        spread.loads = [first / 8, (first + 2 * width) / 8];
        let mut lane = 0;
        while lane < 4 {
            let bit = first + lane * width;
            spread.shifts[lane] = (bit % 8) as i64;
            place::<8>(&mut spread.bytes, lane, bit / 8 - spread.loads[lane / 2]);
            lane += 1;
        }
        at += 1;
    }
    spreads
};

/// Says that the `BYTES` bytes of a lane come from `from` on.
#[expect(clippy::indexing_slicing, reason = "at compile time a bad index is a compile error")]
#[expect(clippy::cast_possible_truncation, reason = "places among 16 bytes")]
const fn place<const BYTES: usize>(bytes: &mut [u8; 32], lane: usize, from: usize) {
    let mut byte = 0;
    while byte < BYTES {
        bytes[lane * BYTES + byte] = (from + byte) as u8;
        byte += 1;
    }
}

/// The bytes from the start of a group on, as far as its loads reach.
const WINDOW: usize = 64;

/// The bytes of the numbers of a vector, each at its place.
///
/// # Safety
/// Both loads begin at most at byte 48.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn gather(window: &[u8; WINDOW], loads: [usize; 2], places: &[u8; 32]) -> __m256i {
    // SAFETY: 16 bytes from byte 48 or before are part of the window, and `places` has 32 bytes.
    let (low, high, places) = unsafe {
        let [low, high] = loads.map(|load| window.as_ptr().add(load).cast());
        let places = _mm256_loadu_si256(places.as_ptr().cast());
        (_mm_loadu_si128(low), _mm_loadu_si128(high), places)
    };
    let loaded = _mm256_inserti128_si256(_mm256_castsi128_si256(low), high, 1);
    _mm256_shuffle_epi8(loaded, places)
}

/// The window that begins at `at`, if it lies in `bytes` whole.
#[inline(always)]
fn window(bytes: &[u8], at: usize) -> Option<&[u8; WINDOW]> {
    bytes.get(at..)?.first_chunk()
}

/// The bytes from `at` on, at most those of one window, and zeros.
fn padded(bytes: &[u8], at: usize) -> [u8; COPY] {
    let mut copy = [0; COPY];
    let rest = bytes.get(at..).unwrap_or(&[]);
    let rest = rest.get(..WINDOW).unwrap_or(rest);
    if let Some(to) = copy.get_mut(..rest.len()) {
        to.copy_from_slice(rest);
    }
    copy
}

/// See [`super::unpack32`]. Needs no bytes behind the last number.
#[target_feature(enable = "avx2")]
pub(super) fn unpack32(bytes: &[u8], width: u32, base: i32, out: &mut [i32]) -> usize {
    let width = width as usize;
    if width == 0 {
        out.fill(base);
        return out.len();
    }
    let Some(spread) = SPREADS_32.get(width) else { return 0 };
    let (groups, _) = out.as_chunks_mut();
    let done = groups32(spread, bytes, width, base, groups);
    let left = groups.get_mut(done..).unwrap_or_default();
    if !left.is_empty() {
        groups32(spread, &padded(bytes, done * width), width, base, left);
    }
    groups.len() * 8
}

/// Unpacks the groups whose windows lie in `bytes` whole, and gives their number.
#[inline]
#[target_feature(enable = "avx2")]
fn groups32(
    spread: &Spread<8, i32>,
    bytes: &[u8],
    width: usize,
    base: i32,
    groups: &mut [[i32; 8]],
) -> usize {
    let shifts = load8(&spread.shifts);
    let mask = _mm256_set1_epi32((1 << width) - 1);
    let base = _mm256_set1_epi32(base);
    let (mut done, mut at) = (0, 0);
    for group in groups {
        let Some(window) = window(bytes, at) else { break };
        // SAFETY: the second load begins at byte 12 or before.
        let loaded = unsafe { gather(window, spread.loads, &spread.bytes) };
        let numbers = _mm256_and_si256(_mm256_srlv_epi32(loaded, shifts), mask);
        store8(group, _mm256_add_epi32(numbers, base));
        done += 1;
        at += width;
    }
    done
}

/// See [`super::unpack64`]. Needs no bytes behind the last number.
#[target_feature(enable = "avx2")]
pub(super) fn unpack64(bytes: &[u8], width: u32, base: i64, out: &mut [i64]) -> usize {
    let width = width as usize;
    if width == 0 {
        out.fill(base);
        return out.len();
    }
    let Some(spreads) = SPREADS_64.get(width) else { return 0 };
    let (groups, _) = out.as_chunks_mut();
    let done = groups64(spreads, bytes, width, base, groups);
    let left = groups.get_mut(done..).unwrap_or_default();
    if !left.is_empty() {
        groups64(spreads, &padded(bytes, done * width), width, base, left);
    }
    groups.len() * 8
}

/// Unpacks the groups whose windows lie in `bytes` whole, and gives their number.
#[inline]
#[target_feature(enable = "avx2")]
fn groups64(
    spreads: &[Spread<4, i64>; 2],
    bytes: &[u8],
    width: usize,
    base: i64,
    groups: &mut [[i64; 8]],
) -> usize {
    let mask = _mm256_set1_epi64x((1 << width) - 1);
    let base = _mm256_set1_epi64x(base);
    let (mut done, mut at) = (0, 0);
    for group in groups {
        let Some(window) = window(bytes, at) else { break };
        for (half, spread) in group.as_chunks_mut().0.iter_mut().zip(spreads) {
            // SAFETY: the last load begins at byte 6 * 57 / 8 = 42 or before.
            let loaded = unsafe { gather(window, spread.loads, &spread.bytes) };
            let shifted = _mm256_srlv_epi64(loaded, load4(&spread.shifts));
            store4(half, _mm256_add_epi64(_mm256_and_si256(shifted, mask), base));
        }
        done += 1;
        at += width;
    }
    done
}

/// Steps of both halves of a full group.
const VECTORS: usize = GROUP / LANES;

/// Widest numbers of which 16 bytes hold eight.
const WIDTH_MAX_HALF: usize = 16;

/// Where the bytes of each of eight numbers are in 16 bytes, per width up to [`WIDTH_MAX_HALF`].
#[expect(clippy::indexing_slicing, reason = "at compile time a bad index is a compile error")]
#[expect(clippy::cast_possible_truncation, reason = "places among 16 bytes")]
static PLACES_HALF: [[u8; 32]; WIDTH_MAX_HALF + 1] = {
    /// Makes a shuffle give a zero.
    const ZERO: u8 = 0x80;
    let mut places = [[ZERO; 32]; WIDTH_MAX_HALF + 1];
    let mut width = 0;
    while width <= WIDTH_MAX_HALF {
        let mut at = 0;
        while at < 32 {
            let from = (at / 4) * width / 8 + at % 4;
            if from < 16 {
                places[width][at] = from as u8;
            }
            at += 1;
        }
        width += 1;
    }
    places
};

/// The numbers of a full group in lanes.
#[derive(Clone, Copy)]
pub(super) struct Packed32<'a> {
    bytes: &'a [u8],
    width: usize,
    places: __m256i,
    shifts: __m256i,
    mask: __m256i,
}

impl<'a> Packed32<'a> {
    /// `None` if the numbers are too wide, or the bytes end before the 16 bytes from the last step on.
    #[inline]
    #[target_feature(enable = "avx2")]
    pub(super) fn new(bytes: &'a [u8], width: usize) -> Option<Packed32<'a>> {
        let places = PLACES_HALF.get(width)?;
        let bytes = bytes.get(..(VECTORS - 1) * width + 16)?;
        let mask = _mm256_set1_epi32((1 << width) - 1);
        // SAFETY: `places` has the 32 bytes of the vector; the load needs no alignment.
        let places = unsafe { _mm256_loadu_si256(places.as_ptr().cast()) };
        let shifts = load8(&SPREADS_32.get(width)?.shifts);
        Some(Packed32 { bytes, width, places, shifts, mask })
    }

    /// Those of a step, below [`VECTORS`]; of a later one, those of the last.
    #[inline]
    #[target_feature(enable = "avx2")]
    pub(super) fn numbers(&self, step: usize) -> __m256i {
        // Costs nothing where the loop over steps is unrolled.
        let at = step.min(VECTORS - 1) * self.width;
        // SAFETY: `bytes` has the 16 bytes from each of the steps on, see `new`.
        let half = unsafe { _mm_loadu_si128(self.bytes.as_ptr().add(at).cast()) };
        let placed = _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(half), self.places);
        _mm256_and_si256(_mm256_srlv_epi32(placed, self.shifts), self.mask)
    }
}

/// The numbers of a full group in lanes.
#[derive(Clone, Copy)]
pub(super) struct Packed64<'a> {
    bytes: &'a [u8],
    width: usize,
    spreads: &'static [Spread<4, i64>; 2],
    mask: __m256i,
}

impl<'a> Packed64<'a> {
    /// `None` if the numbers are too wide, or the bytes end before the window of the last step.
    #[inline]
    #[target_feature(enable = "avx2")]
    pub(super) fn new(bytes: &'a [u8], width: usize) -> Option<Packed64<'a>> {
        let spreads = SPREADS_64.get(width)?;
        let bytes = bytes.get(..(VECTORS - 1) * width + WINDOW)?;
        Some(Packed64 { bytes, width, spreads, mask: _mm256_set1_epi64x((1 << width) - 1) })
    }

    /// Those of a step, below [`VECTORS`].
    #[inline]
    #[target_feature(enable = "avx2")]
    pub(super) fn numbers(&self, step: usize) -> [__m256i; 2] {
        let window = window(self.bytes, step * self.width).unwrap_or(&[0; WINDOW]);
        self.spreads.each_ref().map(|spread| {
            // SAFETY: the last load begins at byte 6 * 57 / 8 = 42 or before.
            let loaded = unsafe { gather(window, spread.loads, &spread.bytes) };
            _mm256_and_si256(_mm256_srlv_epi64(loaded, load4(&spread.shifts)), self.mask)
        })
    }
}
