//! Values that wander from row to row: the distributions that the public TSBS generator uses.

use crate::random::Random;

/// One value that moves by normally distributed steps.
#[derive(Debug, Clone)]
pub struct Walk {
    value: f64,
    step_mean: f64,
    step_deviation: f64,
    bounds: Bounds,
}

#[derive(Debug, Clone, Copy)]
enum Bounds {
    Free,
    /// Stays between the two.
    Clamped(f64, f64),
    /// Only grows: steps count by their size.
    Rising,
}

impl Walk {
    /// Steps of `mean` and `deviation`, kept between `low` and `high`.
    pub fn clamped((mean, deviation): (f64, f64), low: f64, high: f64, start: f64) -> Walk {
        Walk::new(start, mean, deviation, Bounds::Clamped(low, high))
    }

    /// A counter from 0 whose steps have `mean` and `deviation`.
    pub fn rising((mean, deviation): (f64, f64)) -> Walk {
        Walk::new(0.0, mean, deviation, Bounds::Rising)
    }

    /// Steps of `mean` and `deviation` without bounds, from 0.
    pub fn free((mean, deviation): (f64, f64)) -> Walk {
        Walk::new(0.0, mean, deviation, Bounds::Free)
    }

    /// A value that never changes.
    pub fn constant(value: f64) -> Walk {
        Walk::new(value, 0.0, 0.0, Bounds::Free)
    }

    fn new(value: f64, step_mean: f64, step_deviation: f64, bounds: Bounds) -> Walk {
        Walk { value, step_mean, step_deviation, bounds }
    }

    /// Makes a step and returns the new value. A constant draws no random number.
    pub fn step(&mut self, random: &mut Random) -> f64 {
        let step = match (self.step_mean, self.step_deviation) {
            (mean, 0.0) => mean,
            (mean, deviation) => mean + deviation * random.normal(),
        };
        self.value = match self.bounds {
            Bounds::Free => self.value + step,
            Bounds::Clamped(low, high) => (self.value + step).clamp(low, high),
            Bounds::Rising => self.value + step.abs(),
        };
        self.value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn walks_keep_their_bounds() {
        let mut random = Random::new(5);
        let mut clamped = Walk::clamped((0.0, 10.0), 0.0, 20.0, 10.0);
        let mut rising = Walk::rising((0.0, 1.0));
        let mut last = 0.0;
        let (mut low, mut high) = (f64::MAX, f64::MIN);
        for _ in 0..1000 {
            let value = clamped.step(&mut random);
            (low, high) = (low.min(value), high.max(value));
            let count = rising.step(&mut random);
            assert!(count > last);
            last = count;
        }
        assert_eq!((low, high), (0.0, 20.0));
        assert_eq!(Walk::constant(3.0).step(&mut random), 3.0);
    }
}
