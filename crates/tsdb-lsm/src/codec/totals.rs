//! Sum and extremes of doubles.

use super::ordered::{from_ordered, to_ordered};
use super::values::ValueSummary;

/// Sums that run side by side.
const LANES: usize = 4;

thread_local! {
    static BUFFER: std::cell::Cell<Vec<f64>> = const { std::cell::Cell::new(Vec::new()) };
}

/// Calls `with` with a buffer of this thread.
pub(super) fn with_buffer<T>(with: impl FnOnce(&mut Vec<f64>) -> T) -> T {
    let mut buffer = BUFFER.take();
    let result = with(&mut buffer);
    BUFFER.set(buffer);
    result
}

/// A sum and what its roundings lost.
#[derive(Debug, Clone, Copy, Default)]
struct Compensated {
    sum: f64,
    lost: f64,
}

impl Compensated {
    /// Adds without losing anything, by the two-sum of Knuth (TAOCP 2, 4.2.2).
    #[inline]
    fn add(&mut self, value: f64) {
        let next = self.sum + value;
        let kept = next - self.sum;
        self.lost += (self.sum - (next - kept)) + (value - kept);
        self.sum = next;
    }

    /// With infinities the compensation is NaN and the plain sum is right.
    fn total(&self) -> f64 {
        let total = self.sum + self.lost;
        if total.is_nan() { self.sum } else { total }
    }
}

/// Sum and extremes; `None` of nothing, or if a value is NaN.
///
/// The value at index `i` goes into lane `i % 4`, each lane is a compensated sum, and the lanes are added in
/// the same way: the result is rounded about once and the same on every machine.
pub(super) fn summarise(values: &[f64]) -> Option<ValueSummary> {
    let mut lanes = [Compensated::default(); LANES];
    let (mut min, mut max, mut nan) = (i64::MAX, i64::MIN, values.is_empty());
    for group in values.chunks(LANES) {
        for (lane, value) in lanes.iter_mut().zip(group) {
            lane.add(*value);
            nan |= value.is_nan();
            min = min.min(to_ordered(*value));
            max = max.max(to_ordered(*value));
        }
    }
    if nan {
        return None;
    }
    let mut all = Compensated::default();
    for lane in lanes {
        all.add(lane.sum);
        all.lost += lane.lost;
    }
    let (min, max) = (from_ordered(min), from_ordered(max));
    Some(ValueSummary { count: values.len(), sum: all.total(), min, max })
}
