//! Answers worked by hand from the formulas, and what holds for any points.

use super::*;
use proptest::prelude::*;

fn run(indicator: Indicator, values: &[f64]) -> Vec<Option<f64>> {
    let mut state = indicator.state();
    values.iter().map(|value| state.step(*value)).collect()
}

fn indicator(kind: IndicatorKind, period: usize) -> Indicator {
    let warmup = (kind != IndicatorKind::MomentumOscillator).then_some(Warmup::Exponential);
    Indicator { kind, period, hold: Some(0), warmup }
}

fn check(indicator: Indicator, values: &[f64], expected: &[Option<f64>]) {
    let got = run(indicator, values);
    let same = |(got, expected): (&Option<f64>, &Option<f64>)| match (got, expected) {
        (Some(got), Some(expected)) => (got - expected).abs() < 1e-9,
        (got, expected) => got.is_none() && expected.is_none(),
    };
    let all = got.len() == expected.len() && got.iter().zip(expected).all(same);
    assert!(all, "{indicator:?}: {got:?}, not {expected:?}");
}

#[test]
fn averages_by_hand() {
    use IndicatorKind::{DoubleAverage, ExponentialAverage, TripleAverage, TripleDerivative};
    let simple = |kind| Indicator { warmup: Some(Warmup::Simple), ..indicator(kind, 3) };
    let held = |kind| Indicator { hold: None, ..simple(kind) };
    let values = [2.0, 4.0, 6.0, 8.0, 4.0];
    // Mean 2, 3, 4 of the first three; then the weight is 2 / (3 + 1).
    let averages = [Some(2.0), Some(3.0), Some(4.0), Some(6.0), Some(5.0)];
    check(simple(ExponentialAverage), &values, &averages);
    check(held(ExponentialAverage), &values, &[None, None, averages[2], averages[3], averages[4]]);
    // The second average begins with the third of the first: 4, then (4 + 6) / 2, then (4 + 6 + 5) / 3.
    let twice = [Some(2.0), Some(3.0), Some(4.0), Some(7.0), Some(5.0)];
    check(simple(DoubleAverage), &values, &twice);
    check(held(DoubleAverage), &values, &[None, None, None, None, twice[4]]);
    check(simple(TripleAverage), &values, &[Some(2.0), Some(3.0), Some(4.0), Some(8.0), Some(5.0)]);
    // With a period of 1 an average is the value.
    for kind in [ExponentialAverage, DoubleAverage, TripleAverage] {
        check(indicator(kind, 1), &values, &values.map(Some));
    }
    let percent = [None, Some(100.0), Some(50.0), Some(100.0 / 3.0), Some(-50.0)];
    check(indicator(TripleDerivative, 1), &values, &percent);
    // Weights 1, 2/3, 1/2 while it warms up.
    check(indicator(ExponentialAverage, 3), &[3.0, 6.0, 9.0, 7.0], &[3.0, 5.0, 7.0, 7.0].map(Some));
}

#[test]
fn moves_by_hand() {
    use IndicatorKind::{AdaptiveAverage, EfficiencyRatio, MomentumOscillator, RelativeStrength};
    let values = [10.0, 12.0, 11.0, 15.0];
    // Up to three moves are looked at: up 2; up 2, down 1; up 2, down 1, up 4.
    let oscillator = [Some(0.0), Some(100.0), Some(100.0 / 3.0), Some(500.0 / 7.0)];
    check(indicator(MomentumOscillator, 3), &values, &oscillator);
    let held = Indicator { hold: None, ..indicator(MomentumOscillator, 3) };
    check(held, &values, &[None, None, oscillator[2], oscillator[3]]);
    // From 10 over 12 to 11 it is a way of 3 and 1 is made; from 12 over 11 to 15 a way of 5 and 3 are made.
    let held = Indicator { hold: None, ..indicator(EfficiencyRatio, 2) };
    check(held, &values, &[None, None, Some(1.0 / 3.0), Some(0.6)]);
    check(indicator(EfficiencyRatio, 2), &[5.0, 5.0, 5.0, 5.0], &[1.0, 1.0, 0.0, 0.0].map(Some));
    // The weight is the square of the efficiency between that of 30 points and that of 2.
    let weight = |efficiency: f64| (efficiency * (2.0 / 3.0 - 2.0 / 31.0) + 2.0 / 31.0).powi(2);
    let first = 12.0 - weight(1.0 / 3.0);
    let second = first + weight(0.6) * (15.0 - first);
    let held = Indicator { hold: None, ..indicator(AdaptiveAverage, 2) };
    check(held, &values, &[None, None, Some(first), Some(second)]);
    // Ups 10, 2, 0, 4 and downs 0, 0, 1, 0 have the means 4 and 1/3 over the first three, then weights of 1/2.
    let held =
        Indicator { hold: None, warmup: Some(Warmup::Simple), ..indicator(RelativeStrength, 2) };
    let strength = |up: f64, down: f64| Some(100.0 * up / (up + down));
    check(held, &values, &[None, None, strength(4.0, 1.0 / 3.0), strength(4.0, 1.0 / 6.0)]);
    let smoothed = Indicator { kind: MomentumOscillator, ..held };
    let oscillation = |up: f64, down: f64| Some(100.0 * (up - down) / (up + down));
    let expected = [None, None, oscillation(4.0, 1.0 / 3.0), oscillation(4.0, 1.0 / 6.0)];
    check(smoothed, &values, &expected);
}

#[test]
fn what_is_infinite_is_left_out_or_forgotten() {
    let rates = run(indicator(IndicatorKind::TripleDerivative, 1), &[1.0, 0.0, 2.0, 4.0]);
    assert_eq!(rates, [None, Some(-100.0), None, Some(100.0)]);
    for kind in [IndicatorKind::EfficiencyRatio, IndicatorKind::MomentumOscillator] {
        let values = [1.0, f64::INFINITY, 2.0, 3.0, 4.0, 5.0, 6.0];
        let last = run(indicator(kind, 2), &values).pop().flatten();
        assert!(last.is_some_and(f64::is_finite), "{kind:?}: {last:?}");
    }
}

proptest! {
    #[test]
    fn ranges_are_kept_whatever_the_period(
        values in prop::collection::vec(-1e3..1e3_f64, 0..50), period in 2..40_usize, far in any::<bool>(),
    ) {
        // A period beyond all points takes no memory for them.
        let period = if far { usize::MAX } else { period };
        let all = |kind| run(indicator(kind, period), &values).into_iter().flatten();
        prop_assert!(all(IndicatorKind::RelativeStrength).all(|v| v.is_nan() || (-1e-6..=100.0 + 1e-6).contains(&v)));
        prop_assert!(all(IndicatorKind::MomentumOscillator).all(|v| (-100.0 - 1e-6..=100.0 + 1e-6).contains(&v)));
        prop_assert!(all(IndicatorKind::EfficiencyRatio).all(|v| (-1e-6..=1.0 + 1e-6).contains(&v)));
        let (low, high) = values.iter().fold((0.0_f64, 0.0_f64), |(l, h), v| (l.min(*v), h.max(*v)));
        for kind in [IndicatorKind::ExponentialAverage, IndicatorKind::AdaptiveAverage] {
            prop_assert!(all(kind).all(|v| (low - 1e-6..=high + 1e-6).contains(&v)));
        }
    }
}
