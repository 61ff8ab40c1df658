//! Changes from point to point: derivatives and differences.

/// How a point is compared with the one before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Change {
    /// The difference per `unit_ns` (in ns, above 0).
    Derivative {
        /// Time that the change is related to.
        unit_ns: i64,
    },
    /// The same, where it is not negative.
    NonNegativeDerivative {
        /// Time that the change is related to.
        unit_ns: i64,
    },
    /// The difference.
    Difference,
    /// The same, where it is not negative.
    NonNegativeDifference,
}

impl Change {
    /// Name as in query text.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Change::Derivative { .. } => "derivative",
            Change::NonNegativeDerivative { .. } => "non_negative_derivative",
            Change::Difference => "difference",
            Change::NonNegativeDifference => "non_negative_difference",
        }
    }

    /// The time that the change is related to, in ns.
    #[must_use]
    pub fn unit_ns(self) -> Option<i64> {
        match self {
            Change::Derivative { unit_ns } | Change::NonNegativeDerivative { unit_ns } => {
                Some(unit_ns)
            }
            Change::Difference | Change::NonNegativeDifference => None,
        }
    }

    fn may_be_negative(self) -> bool {
        matches!(self, Change::Derivative { .. } | Change::Difference)
    }
}

/// The changes along a sequence of points.
#[derive(Debug, Clone)]
pub struct Changes {
    change: Change,
    previous: Option<(i64, f64)>,
}

impl Changes {
    /// No point yet.
    #[must_use]
    pub fn new(change: Change) -> Changes {
        Changes { change, previous: None }
    }

    /// Takes the next point (`time` in ns) and gives its change, if it has one: the first point has none, nor
    /// has one with the time of the point before, which several series in a group can give and which is passed
    /// over, as InfluxQL does. Of NaN and infinities the difference is that of IEEE 754; a NaN is not negative.
    pub fn step(&mut self, time: i64, value: f64) -> Option<f64> {
        let (earlier, before) = match self.previous {
            Some((earlier, _)) if earlier == time => return None,
            Some(point) => point,
            None => {
                self.previous = Some((time, value));
                return None;
            }
        };
        self.previous = Some((time, value));
        let difference = value - before;
        if difference < 0.0 && !self.change.may_be_negative() {
            return None;
        }
        let Some(unit_ns) = self.change.unit_ns() else { return Some(difference) };
        // In InfluxDB's order of operations, so that the last digits agree. Time has no sign here, so that
        // backwards in time the derivative has that of the difference.
        let elapsed = time.abs_diff(earlier);
        Some(difference / (elapsed as f64 / unit_ns as f64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POINTS: [(i64, f64); 6] =
        [(0, 1.0), (10, 3.0), (10, 100.0), (30, 2.0), (31, f64::NAN), (35, 2.0)];

    fn changes(change: Change) -> Vec<(i64, f64)> {
        let mut changes = Changes::new(change);
        POINTS.iter().filter_map(|(t, v)| Some((*t, changes.step(*t, *v)?))).collect()
    }

    #[test]
    fn changes_are_those_of_influxql() {
        let check = |change: Change, expected: &[(i64, f64)]| {
            let got = changes(change);
            let same = |a: &(i64, f64), b: &(i64, f64)| {
                a.0 == b.0 && (a.1 == b.1 || (a.1.is_nan() && b.1.is_nan()))
            };
            let all =
                got.len() == expected.len() && got.iter().zip(expected).all(|(a, b)| same(a, b));
            assert!(all, "{change:?}: {got:?}");
        };
        let nan = [(31, f64::NAN), (35, f64::NAN)];
        check(Change::Difference, &[(10, 2.0), (30, -1.0), nan[0], nan[1]]);
        check(Change::NonNegativeDifference, &[(10, 2.0), nan[0], nan[1]]);
        let (per_ten, per_one) = (Change::Derivative { unit_ns: 10 }, 1);
        check(per_ten, &[(10, 2.0), (30, -0.5), nan[0], nan[1]]);
        let positive = Change::NonNegativeDerivative { unit_ns: per_one };
        check(positive, &[(10, 0.2), nan[0], nan[1]]);
    }

    #[test]
    fn one_point_does_not_change() {
        let mut changes = Changes::new(Change::Difference);
        assert_eq!(changes.step(i64::MIN + 2, 5.0), None);
        let mut far = Changes::new(Change::Derivative { unit_ns: 1 });
        assert_eq!(far.step(i64::MIN + 2, 0.0), None);
        assert!(far.step(i64::MAX - 1, 1.0).is_some_and(|change| change > 0.0));
    }
}
