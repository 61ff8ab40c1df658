//! The encoder's first half: the unit of a column, the transform that leaves the fewest bits, and the
//! residuals.

use super::super::bits::bit_len;
use super::super::simd;
use super::model::{Model, Transform, UNIT_MAX};
use super::zigzag;

/// What a column's numbers are, which says what is worth looking for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Domain {
    /// Measured or counted.
    Numbers,
    /// Doubles as integers: no common divisor but a power of two.
    FloatBits,
    /// Timestamps: close to a line.
    Times,
}

/// A column, modelled.
pub(super) struct Modelled {
    pub model: Model,
    pub residuals: Vec<i64>,
    /// Number of residuals that are not 0.
    pub nonzero: usize,
}

/// Numbers that medians are taken from.
const MEDIAN_SAMPLE: usize = 129;

/// A column in units: the distance of each number from the first, and from the one before (0 for the
/// first).
struct Units {
    first: i64,
    unit: i64,
    levels: Vec<i64>,
    deltas: Vec<i64>,
}

/// Constants of the transforms that fit a column best; 0 for transforms that are not in question.
struct Constants {
    /// Median of the levels.
    centre: i64,
    /// Median of the differences.
    drift: i64,
    /// Slope of a line, and median of the distances from it; only of timestamps.
    line: Option<(i64, i64)>,
}

/// Models a column by the best transform, or by the one that `only` names.
pub(super) fn model(numbers: &[i64], domain: Domain, only: Option<Transform>) -> Modelled {
    simd::vectorised(Modelling((numbers, domain, only)))
}

simd::hot_loop!(Modelling<'a>((&'a [i64], Domain, Option<Transform>)) -> Modelled, model_inlined);

#[inline(always)]
fn model_inlined((numbers, domain, only): (&[i64], Domain, Option<Transform>)) -> Modelled {
    let units = Units::of(numbers, domain);
    let constants = units.constants(domain, only);
    let transform = only.unwrap_or_else(|| units.best_transform(&constants));
    units.apply(transform, &constants)
}

impl Units {
    #[inline(always)]
    fn of(numbers: &[i64], domain: Domain) -> Units {
        let first = numbers.first().copied().unwrap_or(0);
        let mut deltas = vec![0; numbers.len()];
        let mut any_bits = 0;
        let pairs = numbers.iter().zip(numbers.iter().skip(1));
        for (delta, (before, number)) in deltas.iter_mut().skip(1).zip(pairs) {
            *delta = number.wrapping_sub(*before);
            any_bits |= *delta;
        }
        let unit = common_unit(&deltas, any_bits, domain);
        divide(&mut deltas, unit);
        let mut level = 0i64;
        let mut levels = vec![0; deltas.len()];
        for (to, delta) in levels.iter_mut().zip(&deltas) {
            level = level.wrapping_add(*delta);
            *to = level;
        }
        Units { first, unit, levels, deltas }
    }

    #[inline(always)]
    fn constants(&self, domain: Domain, only: Option<Transform>) -> Constants {
        let is_wanted = |transform| only.is_none_or(|only| only == transform);
        let with_line = match only {
            None => domain == Domain::Times,
            Some(only) => only == Transform::Line,
        };
        let centre = match is_wanted(Transform::Centre) {
            true => median(self.levels.iter().copied()),
            false => 0,
        };
        let median_step = match is_wanted(Transform::Delta) || with_line {
            true => median(self.deltas.get(1..).unwrap_or_default().iter().copied()),
            false => 0,
        };
        let drift = match is_wanted(Transform::Delta) {
            true => self.prefer_no_drift(median_step),
            false => 0,
        };
        Constants { centre, drift, line: with_line.then(|| self.line(median_step)) }
    }

    /// 0 instead of a drift of 1 or -1 that saves next to nothing.
    #[inline(always)]
    fn prefer_no_drift(&self, drift: i64) -> i64 {
        if drift.unsigned_abs() != 1 {
            return drift;
        }
        let bits = |c: i64| -> u64 { self.deltas.iter().map(|d| cost(d.wrapping_sub(c))).sum() };
        if bits(0) <= bits(drift) + self.deltas.len() as u64 / 64 { 0 } else { drift }
    }

    /// Slope and height of a line: by the ends, or by the median step if that ends closer to the last.
    fn line(&self, drift: i64) -> (i64, i64) {
        let last = self.levels.last().copied().unwrap_or(0);
        let steps = i64::try_from(self.levels.len().saturating_sub(1)).unwrap_or(i64::MAX);
        let miss = |slope: i64| last.wrapping_sub(slope.wrapping_mul(steps)).unsigned_abs();
        let half = if last < 0 { -(steps / 2) } else { steps / 2 };
        let by_ends = last.saturating_add(half).checked_div(steps).unwrap_or(0);
        let slope = if miss(by_ends) < miss(drift) { by_ends } else { drift };
        (slope, median(self.distances_from(slope)))
    }

    fn distances_from(&self, slope: i64) -> impl ExactSizeIterator<Item = i64> + '_ {
        let mut point = 0i64.wrapping_sub(slope);
        self.levels.iter().map(move |level| {
            point = point.wrapping_add(slope);
            level.wrapping_sub(point)
        })
    }

    #[inline(always)]
    fn best_transform(&self, constants: &Constants) -> Transform {
        let Costs { centre, delta, delta_of_delta } = self.costs(constants);
        let line = constants.line.map_or(u64::MAX, |(slope, height)| {
            self.distances_from(slope).map(|distance| cost(distance.wrapping_sub(height))).sum()
        });
        let eighth = self.levels.len() as u64 / 8;
        let others = centre.min(delta).min(delta_of_delta);
        if line.saturating_add(eighth / 2) < others {
            Transform::Line
        } else if delta_of_delta + 4 * eighth < delta && delta_of_delta + eighth < centre {
            // It decodes slower and carries an error on, so it must be worth it.
            Transform::DeltaOfDelta
        } else if centre + eighth / 2 < delta {
            Transform::Centre
        } else {
            Transform::Delta
        }
    }

    #[inline(always)]
    fn costs(&self, constants: &Constants) -> Costs {
        let (mut centre, mut of_delta, mut of_deltas) = (0u64, 0u64, 0u64);
        let mut before = 0i64;
        for (level, delta) in self.levels.iter().zip(&self.deltas).skip(1) {
            centre = centre.wrapping_add(cost(level.wrapping_sub(constants.centre)));
            of_delta = of_delta.wrapping_add(cost(delta.wrapping_sub(constants.drift)));
            of_deltas = of_deltas.wrapping_add(cost(delta.wrapping_sub(before)));
            before = *delta;
        }
        Costs { centre, delta: of_delta, delta_of_delta: of_deltas }
    }

    #[inline(always)]
    fn apply(self, transform: Transform, constants: &Constants) -> Modelled {
        let Units { first, unit, levels, deltas } = &self;
        let mut residuals = Vec::with_capacity(levels.len());
        // Where the level of the first number stands, and the constant of the transform.
        let (origin, drift) = match transform {
            Transform::Centre => {
                let centre = constants.centre;
                residuals.extend(levels.iter().map(|level| level.wrapping_sub(centre)));
                (0i64.wrapping_sub(centre), 0)
            }
            Transform::Delta => {
                let drift = constants.drift;
                residuals.extend(deltas.iter().map(|delta| delta.wrapping_sub(drift)));
                (drift, drift)
            }
            Transform::DeltaOfDelta => {
                let drift = deltas.get(1).copied().unwrap_or(0);
                let mut before = drift;
                residuals.extend(deltas.iter().map(|delta| {
                    let residual = delta.wrapping_sub(before);
                    before = *delta;
                    residual
                }));
                (drift, drift)
            }
            Transform::Line => {
                let (slope, height) = constants.line.unwrap_or_default();
                let distances = self.distances_from(slope);
                residuals.extend(distances.map(|distance| distance.wrapping_sub(height)));
                (0i64.wrapping_sub(height), slope)
            }
        };
        // The first number follows from the base alone.
        match (transform, residuals.as_mut_slice()) {
            (Transform::Delta, [first, ..]) => *first = 0,
            (Transform::DeltaOfDelta, [first, second, ..]) => (*first, *second) = (0, 0),
            (Transform::DeltaOfDelta, [first]) => *first = 0,
            _ => {}
        }
        let base = first.wrapping_sub(unit.wrapping_mul(origin));
        let narrow = self.is_narrow(origin, drift, &residuals);
        let nonzero = residuals.iter().filter(|residual| **residual != 0).count();
        let model = Model { transform, narrow, base, unit: *unit, drift };
        Modelled { model, residuals, nonzero }
    }

    /// Whether 32 bits hold everything, with room to spare.
    #[inline(always)]
    fn is_narrow(&self, origin: i64, drift: i64, residuals: &[i64]) -> bool {
        const NARROW_BITS: u32 = 30;
        let levels = self.levels.iter().map(|level| zigzag(level.wrapping_add(origin)));
        let residuals = residuals.iter().map(|residual| zigzag(*residual));
        let bits = levels.chain(residuals).fold(zigzag(drift), |all, bits| all | bits);
        bit_len(bits) <= NARROW_BITS
    }
}

struct Costs {
    centre: u64,
    delta: u64,
    delta_of_delta: u64,
}

/// Bits that a residual takes about.
#[inline(always)]
fn cost(residual: i64) -> u64 {
    u64::from(bit_len(zigzag(residual)))
}

/// The greatest unit that is worth looking for: the power of two that all differences share, or their
/// greatest common divisor. `any_bits` is the disjunction of all differences.
#[inline(always)]
fn common_unit(deltas: &[i64], any_bits: i64, domain: Domain) -> i64 {
    if any_bits == 0 {
        return 1;
    }
    let power = (1u64 << any_bits.trailing_zeros()).min(UNIT_MAX);
    let sample = deltas.iter().skip(1).take(23);
    let spread = deltas.iter().step_by(deltas.len() / 16 + 1);
    let divisor = sample.chain(spread).fold(0, |divisor, d| gcd(divisor, d.unsigned_abs()));
    let worth_it = domain != Domain::FloatBits && divisor > power && divisor <= UNIT_MAX;
    let unit = divisor.cast_signed();
    if worth_it && deltas.iter().all(|delta| delta % unit == 0) {
        return unit;
    }
    power.cast_signed()
}

fn gcd(a: u64, b: u64) -> u64 {
    let (mut a, mut b) = (a, b);
    // Divisions are slow, and most columns are at 1 after a few numbers.
    if a == 1 {
        return 1;
    }
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

/// Divides by a divisor of all `deltas`.
#[inline(always)]
fn divide(deltas: &mut [i64], unit: i64) {
    if unit.count_ones() == 1 {
        let shift = unit.trailing_zeros();
        deltas.iter_mut().for_each(|delta| *delta >>= shift);
    } else {
        deltas.iter_mut().for_each(|delta| *delta /= unit);
    }
}

/// Median of a sample; 0 of nothing.
fn median(numbers: impl ExactSizeIterator<Item = i64>) -> i64 {
    let stride = (numbers.len() / MEDIAN_SAMPLE).max(1);
    let mut sample: Vec<i64> = numbers.step_by(stride).collect();
    if sample.is_empty() {
        return 0;
    }
    let middle = sample.len() / 2;
    *sample.select_nth_unstable(middle).1
}
