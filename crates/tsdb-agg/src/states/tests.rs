//! Rules that all aggregations follow, each asked through [`States`].

use proptest::prelude::*;
use tsdb_core::TimeRange;
use tsdb_core::storage::Windows;

use super::*;
use crate::{Percent, WindowGrid};

/// Rows of one series: increasing times, some without a value.
fn any_series() -> impl Strategy<Value = Vec<(i64, Option<f64>)>> {
    let value = prop::option::weighted(0.8, (-20..20_i32).prop_map(f64::from));
    prop::collection::btree_map(0..1000_i64, value, 0..80)
        .prop_map(|rows| rows.into_iter().collect())
}

fn grid() -> WindowGrid {
    WindowGrid::covering(Windows { every: 70, offset: 3 }, TimeRange::new(0, 1000), 100).unwrap()
}

/// Takes the `rows` of one series in as blocks of at most `block` rows.
fn take_in(states: &mut States, rows: &[(i64, Option<f64>)], block: usize) {
    let mut segments = Vec::new();
    for rows in rows.chunks(block) {
        let times = TimeColumn::Stamps(rows.iter().map(|(t, _)| *t).collect());
        let mut column = Column::default();
        column.fill(rows.iter().map(|(_, value)| *value));
        segments.clear();
        grid().split(&times, &mut segments);
        states.accumulate(0, &segments, &times, &column);
    }
    states.end_series();
}

fn answers(states: &mut States) -> Vec<(Option<f64>, Option<i64>)> {
    let mut values = Vec::new();
    states.finalize(0, states.slots(), &mut values);
    values.into_iter().enumerate().map(|(slot, value)| (value, states.time(slot))).collect()
}

/// The most frequent value: of equally frequent ones in ascending order the last that begins, along the points, before
/// the one before it is over.
fn mode(points: &[(i64, f64)]) -> f64 {
    let mut values: Vec<f64> = points.iter().map(|point| point.1).collect();
    values.sort_by(f64::total_cmp);
    values.dedup();
    let times = |value: f64| -> Vec<i64> {
        points.iter().filter(|point| point.1 == value).map(|point| point.0).collect()
    };
    values
        .into_iter()
        .reduce(|best, value| {
            let (known, found) = (times(best), times(value));
            let replaces = found.len() > known.len()
                || (found.len() == known.len() && found[0] <= known[known.len() - 1]);
            if found.len() > 1 && replaces { value } else { best }
        })
        .unwrap()
}

/// What the function means, point by point; the points of each series in order of time.
fn naive(function: Function, series: &[Vec<(i64, f64)>]) -> Option<(f64, i64)> {
    let points: Vec<(i64, f64)> = series.iter().flatten().copied().collect();
    let n = points.len() as f64;
    let sum = || points.iter().map(|(_, v)| v).sum::<f64>();
    let pick = |less: fn(&(i64, f64), &(i64, f64)) -> bool| {
        points.iter().copied().reduce(|a, b| if less(&b, &a) { b } else { a })
    };
    let mut sorted = points.clone();
    sorted.sort_by(|a, b| a.1.total_cmp(&b.1).then(a.0.cmp(&b.0)));
    let squares = || points.iter().map(|(_, v)| (v - sum() / n).powi(2)).sum::<f64>();
    let growth = |per: Option<i64>| {
        let of_series = |points: &Vec<(i64, f64)>| {
            let ends = points.first().zip(points.last()).filter(|_| points.len() > 1)?;
            let steps = points.windows(2).map(|w| (w[0].1, w[1].1));
            let grown: f64 = steps.map(|(a, b)| if b < a { b } else { b - a }).sum();
            let elapsed = (ends.1.0 - ends.0.0) as f64;
            Some(per.map_or(grown, |unit| grown / (elapsed / unit as f64)))
        };
        series.iter().filter_map(of_series).reduce(|a, b| a + b)
    };
    let at = |place: f64| {
        #[expect(clippy::cast_possible_truncation, reason = "places of a test's few points")]
        sorted.get(place as usize).map(|point| point.1)
    };
    let chosen = match function {
        _ if points.is_empty() => return None,
        Function::Count => return Some((n, 0)),
        Function::Mode => return Some((mode(&points), 0)),
        Function::CountDistinct => {
            sorted.dedup_by_key(|point| point.1);
            return Some((sorted.len() as f64, 0));
        }
        Function::Sum => return Some((sum(), 0)),
        Function::Mean => return Some((sum() / n, 0)),
        Function::Spread => return Some((sorted[sorted.len() - 1].1 - sorted[0].1, 0)),
        Function::Stddev if points.len() < 2 => return None,
        Function::Stddev => return Some(((squares() / (n - 1.0)).sqrt(), 0)),
        Function::Variance if points.len() < 2 => return None,
        Function::Variance => return Some((squares() / (n - 1.0), 0)),
        Function::PopulationVariance => return Some((squares() / n, 0)),
        Function::Rate { unit_ns } => return Some((growth(Some(unit_ns))?, 0)),
        Function::Increase => return Some((growth(None)?, 0)),
        // Up to a thousand values, half of them: both are between the two values in the middle.
        Function::Median | Function::ApproxPercentile(_) => {
            let (low, high) = (at(((n - 1.0) / 2.0).floor())?, at(((n - 1.0) / 2.0).ceil())?);
            return Some((f64::midpoint(low, high), 0));
        }
        Function::Min => pick(|a, b| a.1 < b.1 || (a.1 == b.1 && a.0 < b.0)),
        Function::Max => pick(|a, b| a.1 > b.1 || (a.1 == b.1 && a.0 < b.0)),
        Function::First => pick(|a, b| a.0 < b.0 || (a.0 == b.0 && a.1 > b.1)),
        Function::Last => pick(|a, b| a.0 > b.0 || (a.0 == b.0 && a.1 > b.1)),
        Function::Percentile(percent) => {
            let place = (n * percent.get() / 100.0 + 0.5).floor() - 1.0;
            #[expect(clippy::cast_possible_truncation, reason = "places of a test's few points")]
            let found = (place >= 0.0).then(|| sorted.get(place as usize)).flatten();
            found.copied()
        }
    };
    chosen.map(|(t, v)| (v, t))
}

/// Equal but for what other orders of additions lose: nothing for functions that do not divide, since the
/// values are small whole numbers.
fn same(function: Function, a: Option<f64>, b: Option<f64>) -> bool {
    let exact = matches!(
        function,
        Function::Count
            | Function::Sum
            | Function::Mean
            | Function::Spread
            | Function::Increase
            | Function::Median
            | Function::ApproxPercentile(_)
    );
    match (a, b) {
        (Some(a), Some(b)) if exact || function.is_selector() => a == b,
        (Some(a), Some(b)) => (a - b).abs() <= 1e-9 * a.abs().max(1e-3),
        (a, b) => a.is_none() && b.is_none(),
    }
}

proptest! {
    /// In one state, in blocks of any size, in partial states that are merged in any grouping: the
    /// answer is that of the naive evaluation. Values are small integers, so that sums are exact.
    #[test]
    fn partial_aggregation(
        series in prop::collection::vec(any_series(), 0..5), block in 1..90_usize,
        cut in 0..5_usize,
    ) {
        let slots = grid().count();
        for function in Function::ALL {
            let mut whole = States::new(function, slots);
            let (mut left, mut right) = (States::new(function, slots), States::new(function, slots));
            for (index, rows) in series.iter().enumerate() {
                take_in(&mut whole, rows, 4096);
                take_in(if index < cut { &mut left } else { &mut right }, rows, block);
            }
            left.merge(0, &right, 0, slots);
            let (whole, merged) = (answers(&mut whole), answers(&mut left));
            for (slot, (answer, merged)) in whole.into_iter().zip(merged).enumerate() {
                let in_window = |rows: &Vec<(i64, Option<f64>)>| -> Vec<(i64, f64)> {
                    let rows = rows.iter().filter(|(t, _)| grid().index_of(*t) == Some(slot));
                    rows.filter_map(|(t, value)| Some((*t, (*value)?))).collect()
                };
                let points: Vec<Vec<(i64, f64)>> = series.iter().map(in_window).collect();
                let expected = naive(function, &points);
                for got in [answer, merged] {
                    let value = expected.map(|e| e.0);
                    prop_assert!(
                        same(function, got.0, value),
                        "{:?} slot {}: {:?} {:?}", function, slot, got, expected
                    );
                    if function.is_selector() {
                        prop_assert_eq!(got.1, expected.map(|e| e.1), "{:?} slot {}", function, slot);
                    }
                }
                let has_points = points.iter().any(|points| !points.is_empty());
                prop_assert_eq!(
                    left.is_null(slot),
                    has_points && expected.is_none() && function.may_be_null(),
                    "{:?} slot {}", function, slot
                );
            }
        }
    }

    /// A summary stands for the values that it summarises.
    #[test]
    fn summaries_answer_like_values(
        values in prop::collection::vec(-100.0..100.0_f64, 1..50), more in any_series(),
    ) {
        let summary = Summary {
            count: values.len() as u64,
            sum: values.iter().sum(),
            min: values.iter().copied().fold(f64::INFINITY, f64::min),
            max: values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
            first: values[0],
            last: values[values.len() - 1],
            t_first: 0,
            t_last: values.len() as i64 - 1,
        };
        let segment = [Segment { window: 1, start: 0, end: values.len() }];
        let times = TimeColumn::Stamps((0..values.len() as i64).collect());
        let mut column = Column::default();
        column.fill(values.iter().map(|value| Some(*value)));
        for function in Function::ALL.into_iter().filter(|f| f.takes_summaries(false)) {
            let answer = |summarised: bool| {
                let mut states = States::new(function, grid().count());
                take_in(&mut states, &more, 7);
                if summarised {
                    states.accumulate_summary(1, &summary);
                } else {
                    states.accumulate(0, &segment, &times, &column);
                }
                answers(&mut states)[1]
            };
            let (from_values, from_summary) = (answer(false), answer(true));
            let (a, b) = (from_values.0.unwrap(), from_summary.0.unwrap());
            prop_assert!((a - b).abs() <= 1e-9, "{:?}: {} {}", function, a, b);
            if function.takes_summaries(true) && function.is_selector() {
                prop_assert_eq!(from_values.1, from_summary.1);
            }
        }
    }
}

#[test]
fn empty_dataset_handling() {
    let absent = Column::default();
    let times = TimeColumn::Regular { first: 0, step: 10, count: 20 };
    let mut segments = Vec::new();
    grid().split(&times, &mut segments);
    for function in Function::ALL {
        let mut states = States::new(function, grid().count());
        let nothing = vec![(None, None); grid().count()];
        assert_eq!(answers(&mut states), nothing, "{function:?}: nothing came in");
        assert_eq!(states.growth(0, &segments, &times, &absent), 0, "{function:?}");
        states.accumulate(0, &segments, &times, &absent);
        assert_eq!(answers(&mut states), nothing, "{function:?}: the field is absent");
        take_in(&mut states, &[(5, None), (6, None)], 10);
        assert_eq!(answers(&mut states), nothing, "{function:?}: rows without a value");
        states.accumulate(0, &[], &TimeColumn::default(), &absent);
        let empty = States::new(function, 100);
        assert_eq!(states.merge_growth(0, &empty, 0, grid().count()), 0, "{function:?}");
        states.merge(0, &empty, 0, grid().count());
        assert_eq!(answers(&mut states), nothing, "{function:?}: merged with nothing");
        assert!((0..100).all(|slot| !states.is_null(slot)), "{function:?}");
        // One value is enough, or it is known that one came in.
        take_in(&mut states, &[(5, Some(2.0))], 10);
        states.merge(0, &States::new(function, 100), 0, grid().count());
        let is_null = states.is_null(1);
        assert_ne!(answers(&mut states)[1].0.is_some(), is_null, "{function:?}");
        assert_eq!(is_null, function.may_be_null(), "{function:?}");
        take_in(&mut states, &[(5, Some(2.0)), (6, Some(2.0))], 10);
        assert!(answers(&mut states)[1].0.is_some(), "{function:?}: two values");
        assert_eq!(States::new(function, 0).slots(), 0);
        assert_eq!(answers(&mut States::new(function, 0)), []);
    }
}

#[test]
fn functions_lead_to_their_states_and_back() {
    let percent = Percent::new(99.9).unwrap();
    let more = [
        Function::Percentile(percent),
        Function::ApproxPercentile(percent),
        Function::Rate { unit_ns: 7 },
    ];
    for function in Function::ALL.into_iter().chain(more) {
        assert_eq!(States::new(function, 3).function(), function);
        assert_eq!(States::untimed(function, 3).function(), function);
        assert_eq!(States::untimed(function, 3).slots(), 3);
    }
}
