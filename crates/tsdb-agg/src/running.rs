//! What runs along a sequence of points and takes in more than the point before: the sum so far, the mean of
//! the last points, and the time between points.

use std::collections::VecDeque;

use crate::basic::Compensated;

/// The mean of the last so many points.
#[derive(Debug, Clone)]
pub(crate) struct MovingAverage {
    points: usize,
    last: VecDeque<f64>,
    sum: Compensated,
}

impl MovingAverage {
    /// No point yet; answers come once there are `points` of them.
    pub(crate) fn new(points: usize) -> MovingAverage {
        MovingAverage { points: points.max(1), last: VecDeque::new(), sum: Compensated::default() }
    }

    /// Takes the next value. The sum is carried along together with what its roundings lose, and made anew where
    /// it is no number, so that an infinity is forgotten with its point. O(1), but for points beside infinities.
    pub(crate) fn step(&mut self, value: f64) -> Option<f64> {
        if self.last.len() == self.points {
            self.sum.add(-self.last.pop_front().unwrap_or(0.0));
        }
        self.last.push_back(value);
        self.sum.add(value);
        if !(self.sum.sum.is_finite() && self.sum.error.is_finite()) {
            self.sum = Compensated { sum: self.last.iter().sum(), error: 0.0 };
        }
        (self.last.len() == self.points).then(|| self.sum.value() / self.points as f64)
    }
}

/// The time between points.
#[derive(Debug, Clone)]
pub(crate) struct Elapsed {
    unit_ns: i64,
    previous: Option<i64>,
}

impl Elapsed {
    /// No point yet; times are counted in whole `unit_ns` (in ns, above 0).
    pub(crate) fn new(unit_ns: i64) -> Elapsed {
        Elapsed { unit_ns: unit_ns.max(1), previous: None }
    }

    /// Takes the time of the next point in ns. Backwards in time the answer is negative; fractions of a unit
    /// are cut off towards zero.
    pub(crate) fn step(&mut self, time: i64) -> Option<f64> {
        let previous = self.previous.replace(time)?;
        let elapsed = i128::from(time) - i128::from(previous);
        Some((elapsed / i128::from(self.unit_ns)) as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moving_average_is_that_of_the_last_points() {
        let mut average = MovingAverage::new(3);
        let values = [1.0, 2.0, 6.0, 4.0, f64::INFINITY, 1.0, 1.0, 1.0, 4.0, 1e300, 0.0, 0.0, 3.0];
        for (at, value) in values.iter().enumerate() {
            let got = average.step(*value);
            let expected = (at >= 2).then(|| values[at - 2..=at].iter().sum::<f64>() / 3.0);
            let same = |got: f64| expected.is_some_and(|e| got == e || (got - e).abs() < 1e-12);
            assert!(got.map_or(expected.is_none(), same), "{at}: {got:?} {expected:?}");
        }
    }

    #[test]
    fn elapsed_times_are_whole_units() {
        let mut elapsed = Elapsed::new(10);
        let times = [5, 5, 24, 34, 15, i64::MIN + 2];
        let got: Vec<_> = times.iter().map(|time| elapsed.step(*time)).collect();
        let far = ((i128::from(i64::MIN) + 2 - 15) / 10) as f64;
        assert_eq!(got, [None, Some(0.0), Some(1.0), Some(1.0), Some(-1.0), Some(far)]);
    }
}
