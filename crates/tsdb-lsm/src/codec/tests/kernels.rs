//! Kernels and plain code give the same bits, for pages as they are written and for damaged ones.
//!
//! `TSDB_CODEC_PAGES` is the number of pages to try; the default is a quick one.

use super::super::ints::{Domain, Plan, encode_planned};
use super::*;
use crate::codec::simd::without_kernels;
use tsdb_core::env::{Rng as _, SimRng};

const PAGES_DEFAULT: u64 = 400;

fn pages() -> u64 {
    std::env::var("TSDB_CODEC_PAGES").map_or(PAGES_DEFAULT, |pages| pages.parse().unwrap())
}

fn pick(rng: &SimRng, below: u64) -> usize {
    usize::try_from(rng.below(below)).unwrap()
}

/// A random column of integers: walks and noise of any size, with outliers.
fn random_integers(rng: &SimRng) -> Vec<i64> {
    let count = 1 + rng.below(if rng.below(8) == 0 { 4200 } else { 700 });
    let (bits, unit) = (rng.below(40), [1, 1, 10, 4096, 1_000_000_007][pick(rng, 5)]);
    let outliers = [0, 0, 5, 100][pick(rng, 4)];
    let walk = rng.below(3);
    let (mut level, mut slope) = (rng.next_u64() as i64 >> rng.below(60), 0i64);
    (0..count)
        .map(|_| {
            let mut noise = (rng.next_u64() as i64 >> (63 - bits)).wrapping_mul(unit);
            if rng.below(1000) < outliers {
                noise = rng.next_u64() as i64 >> rng.below(63);
            }
            match walk {
                0 => return level.wrapping_add(noise),
                1 => slope = noise,
                _ => slope = slope.wrapping_add(noise),
            }
            level = level.wrapping_add(slope);
            level
        })
        .collect()
}

/// A page of values in one of the modes, made from random integers.
fn random_page(rng: &SimRng) -> (Vec<u8>, usize) {
    let integers = random_integers(rng);
    let mut bytes = Vec::new();
    let plan = Plan {
        domain: Domain::Numbers,
        transform: Transform::ALL.get(pick(rng, 6)).copied(),
        kind: Kind::ALL.get(pick(rng, 8)).copied(),
    };
    match rng.below(4) {
        0 => bytes.push(Mode::FloatBits as u8),
        1 => {
            let values: Vec<f64> = integers.iter().map(|k| *k as f64 / 1e3).collect();
            encode_values(&values, &mut Memo::default(), &mut bytes);
            return (bytes, values.len());
        }
        _ => {
            bytes.extend_from_slice(&[Mode::Decimal as u8, u8::try_from(pick(rng, 16)).unwrap(), 0])
        }
    }
    if !encode_planned(&integers, plan, &mut bytes) {
        encode_planned(&integers, Plan::of(Domain::Numbers), &mut bytes);
    }
    (bytes, integers.len())
}

type Decoded = (Result<Vec<u64>, Malformed>, String, Result<Vec<i64>, Malformed>);

/// Everything that a page can be decoded to.
fn decode_all(bytes: &[u8], count: usize) -> Decoded {
    let mut values = Vec::new();
    let decoded = decode_values(&mut Reader::new(bytes), count, &mut values);
    let summary = summarise_values(&mut Reader::new(bytes), count);
    let summary = summary.map(|s| {
        s.map(|s| (s.count, s.sum.to_bits(), s.min.to_bits(), s.max.to_bits(), s.sum.is_nan()))
            // Which of the NaNs is the sum of infinities does not matter.
            .map(|(n, sum, min, max, nan)| (n, if nan { 1 } else { sum }, min, max))
    });
    let mut integers = vec![0; count];
    let column = bytes.get(if bytes[0] == Mode::Decimal as u8 { 3.. } else { 1.. });
    let mut reader = Reader::new(column.unwrap_or_default());
    let as_integers = decode_ints(&mut reader, count, &mut Integers::new(&mut integers));
    (decoded.map(|()| bits(&values)), format!("{summary:?}"), as_integers.map(|()| integers))
}

#[test]
fn kernels_and_plain_code_agree() {
    let rng = SimRng::new(11);
    for page in 0..pages() {
        let (mut bytes, count) = random_page(&rng);
        let plain = without_kernels(|| decode_all(&bytes, count));
        assert_eq!(decode_all(&bytes, count), plain, "page {page}");
        // And the same of a damaged page, as long as it decodes at all.
        for _ in 0..2 {
            let at = pick(&rng, bytes.len().min(40) as u64);
            bytes[at] ^= 1 << rng.below(8);
            let plain = without_kernels(|| decode_all(&bytes, count));
            assert_eq!(decode_all(&bytes, count), plain, "damaged page {page}");
        }
    }
}

/// A memo is a hint: whatever the columns before were, what is written can be read.
#[test]
fn columns_of_any_kind_share_a_memo() {
    let rng = SimRng::new(12);
    let mut memo = Memo::default();
    for column in 0..4 * pages() {
        // Neighbours are mostly of one kind, as those of a field are.
        let scale = [1.0, 1.0, 1e3, 1e-3][pick(&rng, 4)];
        let numbers = random_integers(&rng);
        for part in numbers.chunks(1 + pick(&rng, 300)) {
            let values: Vec<f64> = part.iter().map(|k| *k as f64 / scale).collect();
            let mut bytes = Vec::new();
            encode_values(&values, &mut memo, &mut bytes);
            let mut back = Vec::new();
            decode_values(&mut Reader::new(&bytes), values.len(), &mut back).unwrap();
            assert_eq!(bits(&back), bits(&values), "column {column}");
        }
    }
}
