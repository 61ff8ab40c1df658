//! Exponential moving averages, and averages of averages.

use super::Warmup;

/// The most averages in a row.
const AVERAGES_MAX: usize = 3;

/// An exponential moving average: `average += weight * (value - average)`. The first `period` values have larger
/// weights, so that the first of all does not count for more than the others.
#[derive(Debug, Clone)]
pub(super) struct Exponential {
    period: usize,
    weight: f64,
    warmup: Warmup,
    count: usize,
    last: f64,
}

impl Exponential {
    /// No value yet; from the value number `period` on the weight is `weight`.
    pub(super) fn new(period: usize, weight: f64, warmup: Warmup) -> Exponential {
        Exponential { period, weight, warmup, count: 0, last: 0.0 }
    }

    /// Whether as many values as the period has came in.
    fn is_warm(&self) -> bool {
        self.count >= self.period
    }

    /// Takes the next value and gives the average.
    pub(super) fn step(&mut self, value: f64) -> f64 {
        let (count, last) = (self.count as f64, self.last);
        self.last = if self.count == 0 {
            value
        } else if self.is_warm() {
            (value - last) * self.weight + last
        } else {
            match self.warmup {
                Warmup::Simple => (last * count + value) / (count + 1.0),
                Warmup::Exponential => (value - last) * (2.0 / (count + 2.0)) + last,
            }
        };
        self.count = self.count.saturating_add(1).min(self.period);
        self.last
    }
}

/// Averages of which each takes the results of the one before. With a simple warmup each begins once the one
/// before is warm.
#[derive(Debug, Clone)]
pub(super) struct Cascade {
    averages: Vec<Exponential>,
}

impl Cascade {
    /// As many averages over `period` values each, at most three.
    pub(super) fn new(averages: usize, period: usize, warmup: Warmup) -> Cascade {
        let average = Exponential::new(period, 2.0 / (period as f64 + 1.0), warmup);
        Cascade { averages: vec![average; averages.min(AVERAGES_MAX)] }
    }

    /// Takes the next value and gives all averages; one that has not begun is that before it.
    pub(super) fn step(&mut self, value: f64) -> [f64; AVERAGES_MAX] {
        let (mut results, mut result, mut begins) = ([value; AVERAGES_MAX], value, true);
        let averages = self.averages.iter_mut().map(Some).chain(std::iter::repeat_with(|| None));
        for (slot, average) in results.iter_mut().zip(averages) {
            if let Some(average) = average.filter(|_| begins) {
                result = average.step(result);
                begins = average.is_warm() || average.warmup == Warmup::Exponential;
            }
            *slot = result;
        }
        results
    }
}
