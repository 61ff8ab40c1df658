//! Forecasts of what is known to go on.

use super::*;

fn forecast(points: usize, season: usize, with_fit: bool) -> Forecast {
    Forecast { points, season, with_fit }
}

fn series(values: &[f64]) -> Vec<(i64, f64)> {
    (0..).map(|n| 100 + 10 * n).zip(values.iter().copied()).filter(|(_, v)| !v.is_nan()).collect()
}

#[test]
fn what_does_not_change_goes_on() {
    let got = forecast(3, 0, false).of(&series(&[4.0; 6]), 10, &|| false);
    assert_eq!(got.iter().map(|(time, _)| *time).collect::<Vec<_>>(), [160, 170, 180]);
    assert!(got.iter().all(|(_, value)| (value - 4.0).abs() < 0.1), "{got:?}");
}

#[test]
fn seasons_come_again() {
    let values: Vec<f64> = (0..24).map(|n| [10.0, 20.0, 40.0, 20.0][n % 4]).collect();
    let got = forecast(4, 4, true).of(&series(&values), 10, &|| false);
    assert_eq!((got.len(), got[0], got[27].0), (28, (100, 10.0), 370));
    // The fit is of a sum of squares: it follows the seasons far better than their mean does.
    let miss = |by: &dyn Fn(usize) -> f64| -> f64 {
        values.iter().enumerate().map(|(n, value)| (by(n) - value).powi(2)).sum()
    };
    let (fitted, mean) = (miss(&|n| got[n].1), miss(&|_| 22.5));
    assert!(fitted < mean / 2.0, "{fitted} {mean}");
}

#[test]
fn gaps_are_no_values_and_too_few_values_have_no_forecast() {
    let gap = f64::NAN;
    let with_gaps = series(&[1.0, 1.0, gap, gap, 1.0, 1.0, 1.0]);
    let got = forecast(1, 0, true).of(&with_gaps, 10, &|| false);
    assert_eq!(got.len(), 8, "windows without values are fitted too");
    assert_eq!(evenly(&with_gaps, 10).len(), 7);
    let none = |forecast: Forecast, values: &[f64]| {
        assert_eq!(forecast.of(&series(values), 10, &|| false), [], "{forecast:?} {values:?}");
    };
    none(forecast(1, 0, true), &[]);
    none(forecast(1, 0, true), &[1.0]);
    none(forecast(1, 4, true), &[1.0, 2.0, 3.0]);
    assert_eq!(forecast(1, 0, true).of(&series(&[1.0; 9]), 10, &|| true), [], "it was stopped");
}

#[test]
fn the_first_steps_by_hand() {
    // Level 2, trend 1, all weights 1/2: what is expected is 2 + 1/2.
    let model = Model { values: &[4.0, 6.0, 8.0], season: 0 };
    let mut parameters = [0.5, 0.5, 0.5, 0.5, 2.0, 1.0];
    let got = model.run(&mut parameters, 1);
    let (level, trend) = (0.5 * 4.0 + 0.5 * 2.5, 0.5 * 1.25 + 0.25);
    let second = level + 0.5 * trend;
    let (level2, expected) = (0.5 * second + 0.5 * (level + 0.5 * trend), level + 0.5 * trend);
    let trend2 = 0.5 * (level2 - level) + 0.25 * trend;
    assert_eq!(expected, second);
    assert_eq!(got[..3], [4.0, second, level2 + 1.0 * trend2]);
    assert_eq!(got.len(), 4);
    assert!(
        (model.squares(&mut parameters) - ((second - 6.0).powi(2) + (got[2] - 8.0).powi(2))).abs()
            < 1e-12
    );
    assert_eq!([0, 1, 2, 5, 10].map(|n| power(0.5, n)), [1.0, 0.5, 0.25, 0.03125, 0.0009765625]);
    // Weights are brought into their range.
    let mut outside = [2.0, -1.0, 0.5, 0.5, 2.0, 1.0];
    model.run(&mut outside, 0);
    assert_eq!(outside[..2], [1.0, 0.0]);
}

#[test]
fn memory_is_known_before() {
    assert!(forecast(5, 0, false).bytes(100) < 20_000);
    assert!(forecast(1, 1000, false).bytes(2000) > 8_000_000, "a simplex of a thousand dimensions");
    assert!(forecast(usize::MAX, usize::MAX, false).bytes(usize::MAX) == usize::MAX);
}
