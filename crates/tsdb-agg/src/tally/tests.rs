//! Modes and different values against plain sorting.

use super::*;
use proptest::prelude::*;

fn tally(question: Question, series: &[&[(i64, f64)]]) -> Tally {
    let mut state = Tally::new(question);
    state.resize(1);
    for points in series {
        let times: Vec<i64> = points.iter().map(|p| p.0).collect();
        let values: Vec<f64> = points.iter().map(|p| p.1).collect();
        state.accumulate(0, &Run::dense(&times, &values));
    }
    state
}

fn mode(values: &[f64]) -> Option<f64> {
    let points: Vec<(i64, f64)> = (0..).zip(values.iter().copied()).collect();
    tally(Question::Mode, &[&points]).finalize(0)
}

#[test]
fn modes_are_those_of_influxdb() {
    let nan = f64::NAN;
    let check =
        |values: &[f64], expected: Option<f64>| assert_eq!(mode(values), expected, "{values:?}");
    check(&[], None);
    check(&[3.0], Some(3.0));
    check(&[3.0, 1.0, 2.0], Some(1.0));
    check(&[3.0, 1.0, 3.0], Some(3.0));
    // Equally frequent: 3 begins before the last 1.
    check(&[3.0, 1.0, 3.0, 1.0], Some(3.0));
    check(&[1.0, 1.0, 3.0, 3.0], Some(1.0));
    check(&[3.0, 3.0, 1.0, 1.0], Some(3.0));
    check(&[0.0, 5.0, -0.0], Some(0.0));
    check(&[nan, nan, 2.0], Some(2.0));
    assert!(mode(&[nan, nan]).unwrap().is_nan());
}

#[test]
fn different_values_come_in_the_order_of_their_times() {
    let points: [&[(i64, f64)]; 2] =
        [&[(10, 5.0), (20, 1.0), (30, 5.0), (40, -0.0)], &[(10, 3.0), (15, 1.0), (50, 0.0)]];
    let mut state = tally(Question::CountDistinct, &points);
    assert_eq!(state.finalize(0), Some(4.0));
    assert_eq!(state.distinct(0, false), [3.0, 5.0, 1.0, 0.0]);
    assert_eq!(state.distinct(0, true), [0.0, 5.0, 1.0, 3.0]);
    assert_eq!((state.distinct(7, false), state.finalize(7)), (vec![], None));
}

#[test]
fn growth_covers_what_is_taken() {
    let mut state = Tally::new(Question::Mode);
    state.resize(1);
    let (mut said, mut next) = (0, 0_i32);
    for rows in [1, 2, 3, 7, 8, 100, 1, 5000] {
        let values: Vec<f64> = (next..next + rows).map(f64::from).collect();
        let times: Vec<i64> = (0..i64::from(rows)).collect();
        said += state.growth(0, values.len());
        state.accumulate(0, &Run::dense(&times, &values));
        next += rows;
        assert!(state.heap_bytes() <= said, "{rows}");
        let needed = state.slots[0].len() * size_of::<(u64, Occurrences)>();
        assert!(state.heap_bytes() >= needed);
    }
    let before = state.heap_bytes();
    state.accumulate(0, &Run::dense(&[1, 2], &[1.0, 2.0]));
    assert_eq!(state.heap_bytes(), before, "known values take nothing");
}

proptest! {
    #[test]
    fn cut_or_whole_is_the_same(
        points in prop::collection::vec((0..50_i64, -3..4_i32), 0..60), cut in 0..60_usize,
    ) {
        let points: Vec<(i64, f64)> = points.into_iter().map(|(t, v)| (t, f64::from(v))).collect();
        let cut = cut.min(points.len());
        for question in [Question::Mode, Question::CountDistinct] {
            let mut whole = tally(question, &[&points]);
            let mut merged = tally(question, &[&points[..cut]]);
            merged.merge(0, &tally(question, &[&points[cut..]]), 0);
            prop_assert_eq!(whole.finalize(0), merged.finalize(0));
            if question == Question::CountDistinct {
                prop_assert_eq!(whole.distinct(0, false), merged.distinct(0, false));
                prop_assert_eq!(whole.distinct(0, true), merged.distinct(0, true));
            }
        }
        let mut counts: std::collections::BTreeMap<i64, usize> = std::collections::BTreeMap::new();
        #[expect(clippy::cast_possible_truncation, reason = "small whole numbers")]
        points.iter().for_each(|p| *counts.entry(p.1 as i64).or_default() += 1);
        let most = counts.values().max().copied();
        let mode = tally(Question::Mode, &[&points]).finalize(0);
        #[expect(clippy::cast_possible_truncation, reason = "small whole numbers")]
        let found = mode.and_then(|mode| counts.get(&(mode as i64)).copied());
        prop_assert_eq!(found, most);
    }
}
