//! Sum and extremes of doubles.

use super::ordered::{from_ordered, to_ordered};
use super::simd;
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

/// Sum and extremes of the values so far, in lanes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Total {
    pub sums: [f64; LANES],
    /// What the roundings of each sum lost.
    pub lost: [f64; LANES],
    /// Extremes in order, see [`super::ordered`].
    pub min: [i64; LANES],
    pub max: [i64; LANES],
    pub nan: bool,
}

impl Total {
    const NONE: Total = Total {
        sums: [0.0; LANES],
        lost: [0.0; LANES],
        min: [i64::MAX; LANES],
        max: [i64::MIN; LANES],
        nan: false,
    };

    fn add(&mut self, values: &[f64]) {
        let sums = self.sums.iter_mut().zip(&mut self.lost);
        let extremes = self.min.iter_mut().zip(&mut self.max);
        for (value, ((sum, lost), (min, max))) in values.iter().zip(sums.zip(extremes)) {
            add_two(sum, lost, *value);
            *min = (*min).min(to_ordered(*value));
            *max = (*max).max(to_ordered(*value));
            self.nan |= value.is_nan();
        }
    }
}

/// Adds without losing anything, by the two-sum of Knuth (TAOCP 2, 4.2.2).
#[inline]
fn add_two(sum: &mut f64, lost: &mut f64, value: f64) {
    let next = *sum + value;
    let kept = next - *sum;
    *lost += (*sum - (next - kept)) + (value - kept);
    *sum = next;
}

/// Sum and extremes; `None` of nothing, or if a value is NaN.
///
/// The value at index `i` goes into lane `i % 4`, each lane is a compensated sum, and the lanes are added in
/// the same way: the result is rounded about once and the same on every machine.
pub(super) fn summarise(values: &[f64]) -> Option<ValueSummary> {
    let mut total = Total::NONE;
    let done = simd::add_groups(&mut total, values);
    values.get(done..)?.chunks(LANES).for_each(|group| total.add(group));
    let min = total.min.into_iter().min().map(from_ordered)?;
    let max = total.max.into_iter().max().map(from_ordered)?;
    let (mut sum, mut lost) = (0.0, 0.0);
    for (lane, lane_lost) in total.sums.into_iter().zip(total.lost) {
        add_two(&mut sum, &mut lost, lane);
        lost += lane_lost;
    }
    // With infinities the compensation is NaN and the plain sum is right.
    let compensated = sum + lost;
    let sum = if compensated.is_nan() { sum } else { compensated };
    let summary = ValueSummary { count: values.len(), sum, min, max };
    (!total.nan && !values.is_empty()).then_some(summary)
}
