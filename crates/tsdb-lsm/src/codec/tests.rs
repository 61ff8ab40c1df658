//! What holds of all encodings together: columns come back bit for bit, other bytes are refused or give as
//! many values as were asked for, and summaries are those of the values.

mod golden;
mod kernels;
mod sizes;

use super::ints::{Domain, Integers, Kind, Plan, Transform, decode_ints, encode_planned};
use super::values::{Mode, encode_mode};
use super::*;
use proptest::prelude::*;
use tsdb_core::env::SimRng;
use tsdb_core::{Column, TimeColumn};

/// Columns as they occur, and as they hardly do.
fn any_values() -> impl Strategy<Value = Vec<f64>> {
    let special = prop::sample::select(vec![
        f64::NAN,
        f64::from_bits(0x7ff0_0000_0000_0002), // Prometheus' stale marker
        f64::from_bits(0xfff8_dead_beef_0001),
        f64::INFINITY,
        f64::NEG_INFINITY,
        -0.0,
        f64::MIN_POSITIVE / 8.0,
        f64::MAX,
        9_007_199_254_740_993.0,
    ]);
    let decimal = (-1_000_000i64..1_000_000, 0i32..6).prop_map(|(k, e)| k as f64 / 10f64.powi(e));
    let value = prop_oneof![
        8 => (-100i32..100).prop_map(f64::from),
        8 => decimal,
        1 => special,
        1 => any::<u64>().prop_map(f64::from_bits),
    ];
    let walk =
        (any::<i32>(), prop::collection::vec(-3i64..3, 1..700)).prop_map(|(start, steps)| {
            let walk = steps.iter().scan(i64::from(start), |at, step| {
                *at += step;
                Some(*at as f64 / 100.0)
            });
            walk.collect()
        });
    prop_oneof![
        prop::collection::vec(value, 1..300),
        walk,
        (any::<u64>(), 1usize..5000).prop_map(|(bits, n)| vec![f64::from_bits(bits); n]),
        prop::collection::vec(any::<u64>().prop_map(f64::from_bits), 1..200),
    ]
}

fn bits(values: &[f64]) -> Vec<u64> {
    values.iter().map(|v| v.to_bits()).collect()
}

/// The low bits of wide residuals were taken for narrow ones, which cannot have so many.
#[test]
fn a_memo_of_wide_columns_serves_narrow_ones() {
    let rng = SimRng::new(5);
    let mut memo = Memo::default();
    for round in 0..12 {
        let width = if round < 4 { 48 } else { 18 };
        // Sums of four are denser in the middle, which suits a prefix code.
        let number = || (0..4).map(|_| rng.below(1 << width) as f64).sum();
        let values: Vec<f64> = (0..400).map(|_| number()).collect();
        let mut bytes = Vec::new();
        encode_values(&values, &mut memo, &mut bytes);
        let mut back = Vec::new();
        decode_values(&mut Reader::new(&bytes), values.len(), &mut back).unwrap();
        assert_eq!(bits(&back), bits(&values), "round {round}");
    }
}

proptest! {
    #[test]
    fn values_come_back_bit_for_bit(values in any_values()) {
        let mut bytes = Vec::new();
        encode_values(&values, &mut Memo::default(), &mut bytes);
        let mut reader = Reader::new(&bytes);
        let mut back = Vec::new();
        decode_values(&mut reader, values.len(), &mut back).unwrap();
        prop_assert_eq!(reader.end(), Ok(()));
        prop_assert_eq!(bits(&back), bits(&values));
    }

    #[test]
    fn times_come_back(start in any::<i64>(), steps in prop::collection::vec(prop_oneof![Just(0u64), 0u64..9, any::<u64>()], 0..300), unit in prop::sample::select(vec![1u64, 1_000_000, 10_000_000_000])) {
        let mut times = vec![start];
        for step in steps {
            let next = i128::from(*times.last().unwrap()) + i128::from(step % 1_000_000_000) * i128::from(unit) + 1;
            let Ok(next) = i64::try_from(next) else { break };
            times.push(next);
        }
        let mut bytes = Vec::new();
        encode_times(&times, &mut bytes);
        let mut reader = Reader::new(&bytes);
        let mut back = TimeColumn::default();
        decode_times(&mut reader, times.len(), &mut back).unwrap();
        prop_assert_eq!(reader.end(), Ok(()));
        prop_assert_eq!(back.iter().collect::<Vec<_>>(), times);
    }

    #[test]
    fn presence_comes_back(rows in prop::collection::vec(any::<bool>(), 1..200)) {
        let mut column = Column::default();
        column.fill(rows.iter().map(|present| present.then_some(1.0)));
        prop_assume!(column.presence != Presence::None);
        let mut bytes = Vec::new();
        encode_presence(&column.presence, rows.len(), &mut bytes);
        let (back, present) = decode_presence(&mut Reader::new(&bytes), rows.len()).unwrap();
        prop_assert_eq!(back, column.presence);
        prop_assert_eq!(present, rows.iter().filter(|p| **p).count());
    }

    /// Whatever the bytes are: refused, or exactly as many values as were announced. The bytes begin as those
    /// of a mode and of a kind of integers do, so that many get past the first checks.
    #[test]
    fn any_bytes_are_decoded_or_refused(rows in any::<u16>(), mode in 0u8..7, head in 0u8..64, bytes in prop::collection::vec(prop_oneof![0u8..4, any::<u8>()], 0..120)) {
        let [low, high] = (rows >> (mode % 3 * 4)).to_le_bytes();
        for start in [vec![mode], vec![mode, 0, 0, head], vec![mode, head]] {
            let start = [low, high].into_iter().chain(start);
            decode_anything(&start.chain(bytes.iter().copied()).collect::<Vec<_>>());
        }
    }

    #[test]
    fn damaged_integers_are_decoded_or_refused(numbers in any_integers(), kind in prop::sample::select(Kind::ALL.to_vec()), at in any::<prop::sample::Index>(), bit in 0u8..8) {
        let plan = Plan { kind: Some(kind), ..Plan::of(Domain::Numbers) };
        let rows = u16::try_from(numbers.len() - 1).unwrap().to_le_bytes();
        for mode in [&[2][..], &[1, 0, 0], &[1, 3, 0]] {
            let mut bytes = [&rows[..], mode].concat();
            if encode_planned(&numbers, plan, &mut bytes) {
                let at = at.index(bytes.len());
                bytes[at] ^= 1 << bit;
                decode_anything(&bytes);
            }
        }
    }

    #[test]
    fn damaged_columns_are_refused_or_give_as_many_values(values in any_values(), at in any::<prop::sample::Index>(), bit in 0u8..8) {
        let mut bytes = Vec::new();
        encode_values(&values, &mut Memo::default(), &mut bytes);
        let at = at.index(bytes.len());
        let mut back = Vec::new();
        prop_assert!(decode_values(&mut Reader::new(&bytes[..at]), values.len(), &mut back).is_err());
        bytes[at] ^= 1 << bit;
        back.clear();
        if decode_values(&mut Reader::new(&bytes), values.len(), &mut back).is_ok() {
            prop_assert_eq!(back.len(), values.len());
        }
    }
}

#[test]
fn sizes_of_common_columns() {
    let size = |values: &[f64]| {
        let mut bytes = Vec::new();
        encode_values(values, &mut Memo::default(), &mut bytes);
        bytes.len()
    };
    assert_eq!(size(&[1.5; 4096]), 9, "a constant is its one value");
    let counter: Vec<f64> = (0..4096).map(f64::from).collect();
    assert!(size(&counter) < 200, "a line has no differences: {}", size(&counter));
    let gauge: Vec<f64> = (0..4096).map(|i| f64::from(i * 7919 % 16) / 10.0).collect();
    assert!(size(&gauge) < 4096 * 6 / 8, "sixteen levels need few bits: {}", size(&gauge));
    let mut bytes = Vec::new();
    encode_times(&(0..4096).map(|i| i * 10_000_000_000).collect::<Vec<_>>(), &mut bytes);
    assert!(bytes.len() < 20, "regular times are their start and step");
}

/// Columns of integers, smooth and wild.
fn any_integers() -> impl Strategy<Value = Vec<i64>> {
    let number = prop_oneof![
        4 => -9i64..9,
        2 => (-40i64..40).prop_map(|k| k * 1_000_000),
        2 => any::<i32>().prop_map(i64::from),
        1 => any::<i64>(),
        1 => prop::sample::select(vec![i64::MIN, i64::MAX, 0, -1]),
    ];
    let walk = |steps: Vec<i64>| {
        let levels = steps.iter().scan(0i64, |at, step| {
            *at = at.wrapping_add(*step);
            Some(*at)
        });
        levels.collect()
    };
    let rare = prop_oneof![20 => Just(0i64), 1 => -5i64..5];
    prop_oneof![
        prop::collection::vec(number.clone(), 1..700),
        prop::collection::vec(number, 1..700).prop_map(walk),
        prop::collection::vec(-7i64..7, 1..700).prop_map(walk),
        prop::collection::vec(rare, 1..900).prop_map(walk),
        (any::<i64>(), any::<i64>(), 1..300usize).prop_map(move |(a, b, n)| {
            walk(std::iter::once(a).chain(std::iter::repeat_n(b, n)).collect())
        }),
    ]
}

const DOMAINS: [Domain; 3] = [Domain::Numbers, Domain::FloatBits, Domain::Times];

proptest! {
    #[test]
    fn integers_come_back_in_every_form(numbers in any_integers(), domain in prop::sample::select(DOMAINS.to_vec())) {
        let transforms = Transform::ALL.map(Some).into_iter().chain([None]);
        for transform in transforms {
            for kind in Kind::ALL.map(Some).into_iter().chain([None]) {
                let mut bytes = Vec::new();
                if !encode_planned(&numbers, Plan { domain, transform, kind }, &mut bytes) {
                    continue;
                }
                let mut back = vec![0; numbers.len()];
                let mut reader = Reader::new(&bytes);
                decode_ints(&mut reader, numbers.len(), &mut Integers::new(&mut back)).unwrap();
                prop_assert_eq!(&back, &numbers, "{:?} {:?}", transform, kind);
                for cut in [bytes.len() - 1, bytes.len() / 2, 0] {
                    let mut cut = Reader::new(&bytes[..cut]);
                    let mut sink = Integers::new(&mut back);
                    prop_assert!(decode_ints(&mut cut, numbers.len(), &mut sink).is_err());
                }
            }
        }
    }

    #[test]
    fn values_come_back_in_every_mode(values in any_values()) {
        for mode in Mode::ALL {
            let mut bytes = Vec::new();
            if encode_mode(&values, mode, &mut Memo::default(), &mut bytes) {
                prop_assert_eq!(bytes[0], mode as u8);
                prop_assert_eq!(bits(&decode(&bytes, values.len())), bits(&values), "{:?}", mode);
            }
        }
    }

    #[test]
    fn a_memo_changes_neither_values_nor_repeats(before in any_values(), values in any_values()) {
        let mut memo = Memo::default();
        encode_values(&before, &mut memo, &mut Vec::new());
        let (mut first, mut second) = (Vec::new(), Vec::new());
        let mut again = memo;
        encode_values(&values, &mut memo, &mut first);
        encode_values(&values, &mut again, &mut second);
        prop_assert_eq!((&first, memo), (&second, again));
        prop_assert_eq!(bits(&decode(&first, values.len())), bits(&values));
    }

    #[test]
    fn summaries_are_those_of_the_values(values in any_values()) {
        check_summary(&values);
    }
}

fn decode(bytes: &[u8], count: usize) -> Vec<f64> {
    let mut back = Vec::new();
    let mut reader = Reader::new(bytes);
    decode_values(&mut reader, count, &mut back).unwrap();
    assert_eq!(reader.end(), Ok(()));
    back
}

#[track_caller]
fn check_summary(values: &[f64]) {
    let mut bytes = Vec::new();
    encode_values(values, &mut Memo::default(), &mut bytes);
    let summary = summarise_values(&mut Reader::new(&bytes), values.len()).unwrap();
    let Some(summary) = summary else {
        assert!(values.iter().any(|v| v.is_nan()), "a summary is missing");
        return;
    };
    assert_eq!(summary.count, values.len());
    let least = values.iter().copied().min_by(f64::total_cmp).unwrap();
    let greatest = values.iter().copied().max_by(f64::total_cmp).unwrap();
    assert_eq!(
        (summary.min.to_bits(), summary.max.to_bits()),
        (least.to_bits(), greatest.to_bits())
    );
    let plain: f64 = values.iter().sum();
    let size: f64 = values.iter().map(|v| v.abs()).sum();
    if size.is_finite() {
        let error = (summary.sum - plain).abs();
        assert!(error <= size * 1e-12 + 1e-300, "{} for {plain}", summary.sum);
    }
    // Which of several partial sums overflows is a matter of order; that of infinities is not.
    let finite: f64 = values.iter().map(|v| v.abs()).filter(|v| v.is_finite()).sum();
    if finite.is_finite() && size.is_infinite() {
        assert!(summary.sum == plain || (summary.sum.is_nan() && plain.is_nan()));
    }
}

#[test]
fn sums_of_decimals_are_exact() {
    // Added one by one these give 0.1 * 10 = 0.9999999999999999.
    let values: Vec<f64> = (0..4096).map(|i| if i % 2 == 0 { 0.1 } else { 0.3 }).collect();
    let mut bytes = Vec::new();
    encode_values(&values, &mut Memo::default(), &mut bytes);
    let summary = summarise_values(&mut Reader::new(&bytes), values.len()).unwrap().unwrap();
    assert_eq!((summary.sum, summary.min, summary.max), (819.2, 0.1, 0.3));
}

#[test]
fn all_data_sets_come_back() {
    for set in datasets::value_sets(4096) {
        for values in &set.series {
            for count in [1, 2, 100, 1000, 4096] {
                let values = &values[..count];
                let mut bytes = Vec::new();
                encode_values(values, &mut Memo::default(), &mut bytes);
                assert_eq!(bits(&decode(&bytes, count)), bits(values), "{} {count}", set.name);
                check_summary(values);
            }
        }
    }
    for set in datasets::time_sets(4096) {
        for times in &set.series {
            for count in [1, 2, 100, 1000, 4096] {
                let mut bytes = Vec::new();
                encode_times(&times[..count], &mut bytes);
                let mut back = TimeColumn::default();
                decode_times(&mut Reader::new(&bytes), count, &mut back).unwrap();
                assert!(back.iter().eq(times[..count].iter().copied()), "{} {count}", set.name);
            }
        }
    }
}

/// A header that promises what the rest does not hold must not cost more than the rows announced.
#[test]
fn columns_above_the_limit_are_refused() {
    let mut bytes = Vec::new();
    encode_values(&[1.0, 2.0], &mut Memo::default(), &mut bytes);
    let count = super::ints::COUNT_MAX + 1;
    assert!(decode_values(&mut Reader::new(&bytes), count, &mut Vec::new()).is_err());
    let mut times = TimeColumn::default();
    bytes.clear();
    encode_times(&[1, 2, 5], &mut bytes);
    assert!(decode_times(&mut Reader::new(&bytes), count, &mut times).is_err());
}

/// Bytes that get as far as a certain check, and what it says.
#[test]
fn columns_that_contradict_themselves_are_refused() {
    // Header: kind | transform << 3 | narrow << 5, base 0, unit 1, drift 0.
    let refused: &[(&[u8], &str)] = &[
        (&[6, 0, 1, 0], "an unknown encoding of integers"),
        (&[0x40, 0, 1, 0], "an unknown encoding of integers"),
        (&[0, 0, 0, 0], "a unit of 0 or above 2^62"),
        (&[1, 0, 1, 0, 1, 4, 2], "places that do not increase, or beyond the end"),
        (&[1, 0, 1, 0, 2, 1, 0, 2, 2], "places that do not increase, or beyond the end"),
        (&[1, 0, 1, 0, 0, 9], "bytes behind the end"),
        (&[2, 0, 1, 0, 65, 0, 0], "a width above that of the numbers"),
        (&[0x22, 0, 1, 0, 33, 0, 0], "a width above that of the numbers"),
        (&[2, 0, 1, 0, 0, 1, 0, 4, 2], "an exception behind the end of its group"),
        (&[3, 0, 1, 0, 57, 0, 0], "more low bits than numbers have"),
        (&[0x23, 0, 1, 0, 32, 0, 0], "more low bits than numbers have"),
        (&[3, 0, 1, 0, 0, 39, 0], "an unknown table of codes"),
        (&[3, 0, 1, 0, 0, 0, 0], "a stream of another length"),
        (&[4, 0, 1, 0], "runs that are not of differences from 0"),
        (&[12, 0, 1, 2], "runs that are not of differences from 0"),
        (&[12, 0, 1, 0, 5], "more runs than numbers"),
        (&[12, 0, 1, 0, 1, 4, 12, 0, 1, 0, 0, 0, 1, 0], "runs inside of runs"),
        // The only run begins behind the end.
        (
            &[12, 0, 1, 0, 1, 4, 0, 8, 1, 0, 0, 2, 1, 0],
            "runs that do not increase, or beyond the end",
        ),
        (&[5, 0, 1, 0, 0], "a dictionary of no or more than 31 values"),
        (&[5, 0, 1, 0, 32], "a dictionary of no or more than 31 values"),
    ];
    for (bytes, expected) in refused {
        let mut numbers = [0; 4];
        let mut sink = Integers::new(&mut numbers);
        let error = decode_ints(&mut Reader::new(bytes), 4, &mut sink).unwrap_err();
        assert_eq!(error.what, *expected, "{bytes:?}");
    }
    let beyond =
        [&[1, 0, 0, 0][..], &[0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x08, 1, 0]].concat();
    let refused: &[(&[u8], &str)] = &[
        (&[6], "an unknown encoding of values"),
        (&[1, 16], "an exponent above 15"),
        (&[1, 0, 1, 0, 2], "an unknown form of exceptions"),
        (&beyond, "an integer of 2^51 or more in a column of decimals"),
    ];
    for (bytes, expected) in refused {
        let mut values = vec![7.0];
        let error = decode_values(&mut Reader::new(bytes), 4, &mut values).unwrap_err();
        assert_eq!((error.what, values.len()), (*expected, 0), "{bytes:?}");
    }
    assert!(summarise_values(&mut Reader::new(&beyond), 4).is_err());
}
