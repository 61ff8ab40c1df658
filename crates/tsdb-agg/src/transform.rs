//! Transformations by name: functions that go along a sequence of points, those of a series or a group or the
//! answers of windows, and make a point of each one and some before it. There is no state to merge, since the
//! order of the points is what counts.

use crate::basic::Compensated;
use crate::change::{Change, Changes};
use crate::indicator::{Indication, Indicator};
use crate::running::{Elapsed, MovingAverage};

/// A function along a sequence of points.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Transformation {
    /// How a point differs from the one before.
    Change(Change),
    /// The sum so far.
    CumulativeSum,
    /// The mean of the last so many points, at least 1; none before there are as many.
    MovingAverage {
        /// How many.
        points: usize,
    },
    /// The time since the point before in whole units.
    Elapsed {
        /// The unit in ns, above 0.
        unit_ns: i64,
    },
    /// A technical indicator.
    Indicator(Indicator),
}

impl Transformation {
    /// Name as in query text.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Transformation::Change(change) => change.name(),
            Transformation::CumulativeSum => "cumulative_sum",
            Transformation::MovingAverage { .. } => "moving_average",
            Transformation::Elapsed { .. } => "elapsed",
            Transformation::Indicator(indicator) => indicator.name(),
        }
    }

    /// The most telling argument behind the first one, as in query text; empty without any.
    #[must_use]
    pub fn argument(self) -> String {
        let duration = tsdb_core::time::format_duration;
        match self {
            Transformation::Change(change) => change.unit_ns().map(duration).unwrap_or_default(),
            Transformation::CumulativeSum => String::new(),
            Transformation::MovingAverage { points } => points.to_string(),
            Transformation::Elapsed { unit_ns } => duration(unit_ns),
            Transformation::Indicator(indicator) => indicator.period.to_string(),
        }
    }

    /// Whether a window before the first one that is shown is taken in, so that the first has something before
    /// it. As in InfluxQL that is one window, whatever the number of points that are looked back at.
    #[must_use]
    pub fn takes_window_before(self) -> bool {
        self != Transformation::CumulativeSum
    }

    /// Whether the results are whole numbers; `of_whole` says whether the points are.
    #[must_use]
    pub fn is_whole(self, of_whole: bool) -> bool {
        match self {
            Transformation::Change(change) => of_whole && change.unit_ns().is_none(),
            Transformation::CumulativeSum => of_whole,
            Transformation::Elapsed { .. } => true,
            Transformation::MovingAverage { .. } | Transformation::Indicator(_) => false,
        }
    }

    /// A transformer that has seen no point.
    #[must_use]
    pub fn transformer(self) -> Transformer {
        Transformer(match self {
            Transformation::Change(change) => State::Changes(Changes::new(change)),
            Transformation::CumulativeSum => State::Sum(Compensated::default()),
            Transformation::MovingAverage { points } => State::Average(MovingAverage::new(points)),
            Transformation::Elapsed { unit_ns } => State::Elapsed(Elapsed::new(unit_ns)),
            Transformation::Indicator(indicator) => State::Indication(indicator.state()),
        })
    }
}

/// A [`Transformation`] on its way along a sequence of points. What it remembers never takes more than the
/// points that it has seen.
#[derive(Debug, Clone)]
pub struct Transformer(State);

#[derive(Debug, Clone)]
enum State {
    Changes(Changes),
    Sum(Compensated),
    Average(MovingAverage),
    Elapsed(Elapsed),
    Indication(Indication),
}

impl Transformer {
    /// Takes the next point (`time` in ns) and gives what is made of it, if there is something. Points come in
    /// one order of time or the other; of equal times in the order of series. O(1).
    pub fn step(&mut self, time: i64, value: f64) -> Option<f64> {
        match &mut self.0 {
            State::Changes(changes) => changes.step(time, value),
            State::Sum(sum) => {
                sum.add(value);
                Some(sum.value())
            }
            State::Average(average) => average.step(value),
            State::Elapsed(elapsed) => elapsed.step(time),
            State::Indication(indication) => indication.step(value),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_transformation_makes_its_own_of_the_points() {
        let points = [(0, 1.0), (10, 3.0), (10, 4.0), (30, 2.0)];
        let check = |transformation: Transformation, expected: &[Option<f64>]| {
            let mut transformer = transformation.transformer();
            let got: Vec<_> = points.iter().map(|(t, v)| transformer.step(*t, *v)).collect();
            assert_eq!(got, expected, "{transformation:?}");
        };
        let difference = Transformation::Change(Change::Difference);
        check(difference, &[None, Some(2.0), None, Some(-1.0)]);
        check(Transformation::CumulativeSum, &[Some(1.0), Some(4.0), Some(8.0), Some(10.0)]);
        let average = Transformation::MovingAverage { points: 2 };
        check(average, &[None, Some(2.0), Some(3.5), Some(3.0)]);
        let elapsed = Transformation::Elapsed { unit_ns: 5 };
        check(elapsed, &[None, Some(2.0), Some(0.0), Some(4.0)]);
        assert!(elapsed.is_whole(false) && !average.is_whole(true) && difference.is_whole(true));
        assert_eq!((average.name(), average.argument().as_str()), ("moving_average", "2"));
        assert_eq!((elapsed.name(), elapsed.argument().as_str()), ("elapsed", "5ns"));
    }
}
