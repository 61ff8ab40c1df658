//! Where the numbers of a column go: integers, doubles, or no further than their sum and extremes.

use super::super::ordered::from_ordered;
use super::super::simd;
use super::Scale;

/// Takes the levels of a column, stretch by stretch.
pub(in super::super) trait Sink {
    /// Whether it matters which level is which.
    const ORDERED: bool = true;
    /// Takes the next levels of a narrow column.
    fn narrow(&mut self, scale: Scale, levels: &[i32]);
    /// Takes the next levels of any other column.
    fn wide(&mut self, scale: Scale, levels: &[i64]);
}

/// The first `count` places of what is left to fill, which are filled next.
fn next<'a, T>(rest: &mut &'a mut [T], count: usize) -> &'a mut [T] {
    let all = std::mem::take(rest);
    let (now, later) = all.split_at_mut(count.min(all.len()));
    *rest = later;
    now
}

/// Writes the numbers.
pub(in super::super) struct Integers<'a> {
    rest: &'a mut [i64],
}

impl<'a> Integers<'a> {
    pub(in super::super) fn new(out: &'a mut [i64]) -> Integers<'a> {
        Integers { rest: out }
    }
}

impl Sink for Integers<'_> {
    fn narrow(&mut self, scale: Scale, levels: &[i32]) {
        let out = next(&mut self.rest, levels.len());
        let done = simd::integers32(scale, levels, out);
        for (to, level) in out.iter_mut().zip(levels).skip(done) {
            *to = scale.number(i64::from(*level));
        }
    }

    fn wide(&mut self, scale: Scale, levels: &[i64]) {
        let out = next(&mut self.rest, levels.len());
        let done = simd::integers64(scale, levels, out);
        for (to, level) in out.iter_mut().zip(levels).skip(done) {
            *to = scale.number(*level);
        }
    }
}

/// Writes the doubles whose order the numbers are, see [`super::super::ordered`].
pub(in super::super) struct OrderedBits<'a> {
    rest: &'a mut [f64],
}

impl<'a> OrderedBits<'a> {
    pub(in super::super) fn new(out: &'a mut [f64]) -> OrderedBits<'a> {
        OrderedBits { rest: out }
    }
}

impl Sink for OrderedBits<'_> {
    fn narrow(&mut self, scale: Scale, levels: &[i32]) {
        for (to, level) in next(&mut self.rest, levels.len()).iter_mut().zip(levels) {
            *to = from_ordered(scale.number(i64::from(*level)));
        }
    }

    fn wide(&mut self, scale: Scale, levels: &[i64]) {
        let out = next(&mut self.rest, levels.len());
        let done = simd::ordered64(scale, levels, out);
        for (to, level) in out.iter_mut().zip(levels).skip(done) {
            *to = from_ordered(scale.number(*level));
        }
    }
}

/// All numbers of a decimal column are closer to 0 than this: they are doubles, and so are their quotients
/// by every route.
pub(in super::super) const DECIMAL_MAX: i64 = 1 << 51;

fn is_decimal(number: i128) -> bool {
    number.abs() < i128::from(DECIMAL_MAX)
}

/// Whether every narrow level gives a number below [`DECIMAL_MAX`].
fn all_decimal(scale: Scale) -> bool {
    is_decimal(scale.exact(i64::from(i32::MIN))) && is_decimal(scale.exact(i64::from(i32::MAX)))
}

/// Writes the quotients of the numbers by a power of ten.
pub(in super::super) struct Decimals<'a> {
    rest: &'a mut [f64],
    divisor: f64,
    beyond: bool,
}

impl<'a> Decimals<'a> {
    /// `divisor` is 10^0 to 10^15.
    pub(in super::super) fn new(out: &'a mut [f64], divisor: f64) -> Decimals<'a> {
        Decimals { rest: out, divisor, beyond: false }
    }

    /// Number of values to write.
    pub(in super::super) fn len(&self) -> usize {
        self.rest.len()
    }

    /// Whether a number was not below [`DECIMAL_MAX`]; what was written for it is of no use.
    pub(in super::super) fn is_beyond(&self) -> bool {
        self.beyond
    }
}

impl Sink for Decimals<'_> {
    fn narrow(&mut self, scale: Scale, levels: &[i32]) {
        let out = next(&mut self.rest, levels.len());
        let (divisor, bounded) = (self.divisor, all_decimal(scale));
        let done = if bounded { simd::decimals32(scale, levels, divisor, out) } else { 0 };
        for (to, level) in out.iter_mut().zip(levels).skip(done) {
            let level = i64::from(*level);
            *to = scale.number(level) as f64 / divisor;
            self.beyond |= !bounded && !is_decimal(scale.exact(level));
        }
    }

    fn wide(&mut self, scale: Scale, levels: &[i64]) {
        let out = next(&mut self.rest, levels.len());
        let divisor = self.divisor;
        let done = simd::decimals64(scale, levels, divisor, out, &mut self.beyond);
        for (to, level) in out.iter_mut().zip(levels).skip(done) {
            let number = scale.number(*level);
            *to = number as f64 / divisor;
            self.beyond |= !is_decimal(i128::from(number));
        }
    }
}

/// Sum and extremes of integers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) struct IntSummary {
    pub sum: i128,
    pub min: i64,
    pub max: i64,
}

impl IntSummary {
    /// Of no number.
    pub(in super::super) const NONE: IntSummary =
        IntSummary { sum: 0, min: i64::MAX, max: i64::MIN };

    /// Takes one more number.
    #[inline]
    pub(in super::super) fn add(&mut self, number: i64) {
        self.sum += i128::from(number);
        self.min = self.min.min(number);
        self.max = self.max.max(number);
    }

    /// Takes the numbers of another summary.
    pub(in super::super) fn merge(&mut self, other: &IntSummary) {
        self.sum += other.sum;
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
    }
}

/// Sums the numbers of a decimal column.
pub(in super::super) struct Tally {
    summary: IntSummary,
    beyond: bool,
}

impl Tally {
    pub(in super::super) fn new() -> Tally {
        Tally { summary: IntSummary::NONE, beyond: false }
    }

    /// Sum and extremes; `None` if a number was not below [`DECIMAL_MAX`].
    pub(in super::super) fn summary(&self) -> Option<IntSummary> {
        let IntSummary { min, max, .. } = self.summary;
        let decimal = is_decimal(i128::from(min)) && is_decimal(i128::from(max));
        (decimal && !self.beyond).then_some(self.summary)
    }
}

impl Sink for Tally {
    const ORDERED: bool = false;

    fn narrow(&mut self, scale: Scale, levels: &[i32]) {
        let (mut of_levels, done) = simd::tally32(levels);
        for level in levels.iter().skip(done) {
            of_levels.add(i64::from(*level));
        }
        if levels.is_empty() {
            return;
        }
        let (min, max) = (scale.exact(of_levels.min), scale.exact(of_levels.max));
        let bases = i128::from(scale.base) * levels.len() as i128;
        let summary = IntSummary {
            sum: bases + i128::from(scale.unit) * of_levels.sum,
            min: scale.number(of_levels.min),
            max: scale.number(of_levels.max),
        };
        self.beyond |= !is_decimal(min) || !is_decimal(max);
        self.summary.merge(&summary);
    }

    fn wide(&mut self, scale: Scale, levels: &[i64]) {
        let (summary, done) = simd::tally64(scale, levels);
        self.summary.merge(&summary);
        for level in levels.iter().skip(done) {
            self.summary.add(scale.number(*level));
        }
    }
}
