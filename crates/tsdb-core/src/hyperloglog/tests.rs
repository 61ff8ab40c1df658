//! Sketches against sets.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::env::{Rng, SimRng};

fn sketch(hashes: &[u64]) -> DistinctSketch {
    let mut sketch = DistinctSketch::new();
    hashes.iter().for_each(|hash| sketch.add(*hash));
    sketch
}

/// Sets from none to many hashes: random ones, and those that share registers and have long ranks.
fn hashes() -> impl Strategy<Value = Vec<u64>> {
    let close = (any::<u64>(), 0u32..64, 0u64..4)
        .prop_map(|(hash, cut, low)| hash.checked_shr(cut).unwrap_or(0) << 40 | low);
    let few = prop::collection::vec(prop_oneof![any::<u64>(), close, Just(0)], 0..60);
    let many = (any::<u64>(), 0u32..9000).prop_map(|(seed, count)| {
        let rng = SimRng::new(seed);
        (0..count).map(|_| rng.next_u64()).collect::<Vec<u64>>()
    });
    (few, prop_oneof![2 => Just(Vec::new()), 1 => many])
        .prop_map(|(few, many)| [few, many].concat())
}

fn united(a: &DistinctSketch, b: &DistinctSketch) -> DistinctSketch {
    let mut sum = a.clone();
    sum.unite(b);
    sum
}

proptest! {
    #[test]
    fn a_union_is_the_sketch_of_both_sets(a in hashes(), b in hashes(), c in hashes()) {
        let both = sketch(&[&*a, &*b].concat());
        let (a, b, c) = (sketch(&a), sketch(&b), sketch(&c));
        let sum = united(&a, &b);
        prop_assert_eq!(&sum, &both);
        prop_assert_eq!(&sum, &united(&b, &a), "commutative");
        prop_assert_eq!(&united(&sum, &c), &united(&a, &united(&b, &c)), "associative");
        prop_assert_eq!(&united(&sum, &b), &sum, "idempotent");
        prop_assert_eq!(&united(&DistinctSketch::new(), &a), &a, "nothing is neutral");
    }

    #[test]
    fn order_and_repetition_do_not_matter(hashes in hashes(), seed in any::<u64>()) {
        let mut shuffled: Vec<u64> = [&*hashes, &hashes[..hashes.len() / 2]].concat();
        let rng = SimRng::new(seed);
        shuffled.sort_by_cached_key(|_| rng.next_u64());
        prop_assert_eq!(sketch(&shuffled), sketch(&hashes));
    }

    #[test]
    fn sketches_come_back_from_their_bytes(hashes in hashes(), behind in prop::collection::vec(any::<u8>(), 0..3)) {
        let sketch = sketch(&hashes);
        let mut bytes = Vec::new();
        sketch.encode(&mut bytes);
        let own = bytes.len();
        bytes.extend(behind);
        prop_assert_eq!(DistinctSketch::decode(&bytes), Ok((sketch.clone(), own)));
        prop_assert!(sketch.memory_bytes() <= 2 * DistinctSketch::MEMORY_MAX);
        for cut in [0, own / 3, own.saturating_sub(1)] {
            prop_assert!(DistinctSketch::decode(&bytes[..cut]).is_err(), "{} of {}", cut, own);
        }
    }

    #[test]
    fn any_bytes_are_read_or_refused(mut bytes in prop::collection::vec(any::<u8>(), 0..40), dense in any::<bool>()) {
        if dense {
            bytes.splice(0..0, [0x81, 0x20]);
            bytes.resize(bytes.len().max(3) + 8192, 0x10);
        }
        if let Ok((sketch, taken)) = DistinctSketch::decode(&bytes) {
            let mut again = Vec::new();
            sketch.encode(&mut again);
            prop_assert_eq!(&again[..], &bytes[..taken]);
            prop_assert!(sketch.memory_bytes() <= DistinctSketch::MEMORY_MAX);
            let _ = sketch.count();
        }
    }

    #[test]
    fn damaged_sketches_are_other_sketches_or_refused(hashes in hashes(), at in any::<prop::sample::Index>(), bit in 0u8..8) {
        let mut bytes = Vec::new();
        sketch(&hashes).encode(&mut bytes);
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        if let Ok((sketch, taken)) = DistinctSketch::decode(&bytes) {
            let mut again = Vec::new();
            sketch.encode(&mut again);
            prop_assert_eq!(&again[..], &bytes[..taken]);
        }
    }
}

/// Few are counted exactly, many within five standard errors; over many sets the errors are those of the theory.
#[test]
fn counts_are_as_near_as_promised() {
    let rng = SimRng::new(7);
    for count in [0, 1, 2, 100, 1024, 4096, 4200, 16_384, 40_000, 200_000, 1_000_000] {
        let sets = if count > 50_000 { 4 } else { 16 };
        let mut squares = 0.0;
        for _ in 0..sets {
            let mut sketch = DistinctSketch::new();
            let mut known = BTreeSet::new();
            while known.len() < count {
                let hash = rng.next_u64();
                known.insert(hash);
                sketch.add(hash);
            }
            let error = sketch.count() as f64 - count as f64;
            let bound = if count <= 4096 {
                2.0
            } else {
                count as f64 * 5.0 * DistinctSketch::STANDARD_ERROR
            };
            assert!(error.abs() <= bound, "{} of {count}", sketch.count());
            squares += (error / (count as f64).max(1.0)).powi(2);
        }
        let mean = (squares / f64::from(sets)).sqrt();
        assert!(mean <= 2.0 * DistinctSketch::STANDARD_ERROR, "{mean} at {count}");
    }
}

/// All registers as high as they can be, and hashes of nothing but zeros.
#[test]
fn the_ends_of_the_scale() {
    let full = DistinctSketch(Form::Dense(vec![DENSE_RANK_MAX; DENSE_REGISTERS].into()));
    let mut bytes = Vec::new();
    full.encode(&mut bytes);
    assert_eq!(DistinctSketch::decode(&bytes), Ok((full.clone(), bytes.len())));
    assert!(full.count() > 1 << 60);
    let zero = sketch(&[0]);
    assert_eq!(zero.count(), 1);
    let Form::Sparse(entries) = &zero.0 else { panic!("one value is sparse") };
    assert_eq!(entries[..], [u32::from(SPARSE_RANK_MAX)]);
    let mut dense = DistinctSketch(Form::Dense(vec![0; DENSE_REGISTERS].into()));
    dense.add(0);
    let mut sparse = DistinctSketch(Form::Dense(vec![0; DENSE_REGISTERS].into()));
    sparse.unite(&zero);
    assert_eq!(dense, sparse);
    let Form::Dense(registers) = &dense.0 else { panic!("it was made dense") };
    assert_eq!(registers[0], DENSE_RANK_MAX);
}

/// A small set costs few bytes.
#[test]
fn bytes_of_sketches() {
    let rng = SimRng::new(1);
    let mut sketch = DistinctSketch::new();
    let mut added = 0;
    for (count, bytes_max) in [(0, 1), (1, 6), (100, 330), (4096, 10_500), (100_000, 8250)] {
        while added < count {
            sketch.add(rng.next_u64());
            added += 1;
        }
        let mut bytes = Vec::new();
        sketch.encode(&mut bytes);
        assert!(bytes.len() <= bytes_max, "{} bytes for {count}", bytes.len());
    }
}

/// The bytes of two sketches, which must never change (`docs/format/cardinality-section.md`).
#[test]
fn golden_sketches() {
    let few = sketch(&[0, 1 << 38, u64::MAX, 0x0123_4567_89ab_cdef]);
    let mut bytes = Vec::new();
    few.encode(&mut bytes);
    let expected = "04002700939a12e9e5ed1f";
    assert_eq!(hex(&bytes), expected);
    let many: Vec<u64> = (1..=5000u64).map(|n| n.wrapping_mul(0x9e37_79b9_7f4a_7c15)).collect();
    let mut bytes = Vec::new();
    sketch(&many).encode(&mut bytes);
    assert_eq!((bytes.len(), crate::checksum::crc32c(&bytes)), (8195, 0x6b12_54a0));
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
