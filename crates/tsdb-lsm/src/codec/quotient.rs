//! Looks for the quotient whose multiples a column of values holds: `100 * used / total` and its like.

use super::scaled::Scaling;

/// Values that a total is looked for with; all of them must fit it.
const SAMPLE: usize = 32;

/// Doubles that a value may be away from its multiple: the roundings of another order of operations.
const MISS_MAX: u64 = 2;

/// Multiples are below it, so that at least nine bits of a double tell a multiple from any other number.
const MULTIPLE_MAX: u64 = 1 << 44;

/// Largest total that two values of 53 bits tell for sure.
const TOTAL_MAX: f64 = (1u64 << 26) as f64;

/// Percentages and plain shares.
const FACTORS: [f64; 2] = [100.0, 1.0];

/// The scaling that all values of a sample are multiples of, if there is one.
pub(super) fn common_scaling(values: &[f64]) -> Option<Scaling> {
    let stride = (values.len() / SAMPLE).max(1);
    let mut sample: Vec<f64> = values.iter().step_by(stride).copied().collect();
    if sample.iter().any(|value| !value.is_finite()) {
        return None;
    }
    sample.retain(|value| *value != 0.0);
    sample.dedup();
    let fits = |scaling: &Scaling| sample.iter().all(|value| is_multiple(*scaling, *value));
    let binary = FACTORS.into_iter().flat_map(binary_totals);
    let found = FACTORS.into_iter().filter_map(|factor| small_total(&sample, factor));
    // Few values fit anything.
    if sample.len() < 4 { None } else { binary.chain(found).find(fits) }
}

fn is_multiple(scaling: Scaling, value: f64) -> bool {
    scaling.multiple(value).is_some_and(|multiple| {
        multiple.unsigned_abs() < MULTIPLE_MAX
            && scaling.miss(value, multiple).unsigned_abs() <= MISS_MAX
    })
}

/// Totals as memory and disks have them: a small odd number times a power of two. One power is enough,
/// because the multiples of a smaller one have zeros at their end.
fn binary_totals(factor: f64) -> impl Iterator<Item = Scaling> {
    const POWER: f64 = (1u64 << 40) as f64;
    [1.0, 3.0, 5.0, 7.0, 9.0, 11.0, 13.0, 15.0]
        .into_iter()
        .map(move |odd| Scaling { divisor: odd * POWER, factor })
}

/// Any other total, if it is small: the common multiple of the denominators of all values.
fn small_total(sample: &[f64], factor: f64) -> Option<Scaling> {
    let mut total = 1.0;
    for value in sample {
        let share = value / factor;
        // The denominator of what is left once the total so far is taken out.
        total *= denominator(share * total)?;
        if total > TOTAL_MAX {
            return None;
        }
    }
    Some(Scaling { divisor: total, factor })
}

/// The smallest denominator of a fraction that is `number` but for its last bits, by its continued
/// fraction; `None` above [`TOTAL_MAX`].
fn denominator(number: f64) -> Option<f64> {
    const ERROR_MAX: f64 = 3.0 * f64::EPSILON;
    let number = number.abs();
    let (mut above, mut below) = as_fraction(number)?;
    let (mut before, mut denominator) = (0.0, 1.0);
    while denominator <= TOTAL_MAX {
        let nearest = (number * denominator).round();
        if (nearest / denominator - number).abs() <= ERROR_MAX * number {
            return Some(denominator);
        }
        (above, below) = (below, above.checked_rem(below)?);
        let term = above.checked_div(below)? as f64;
        (before, denominator) = (denominator, term * denominator + before);
    }
    None
}

/// A double as the fraction that it is, unless it is very small.
fn as_fraction(number: f64) -> Option<(u128, u128)> {
    const MANTISSA_BITS: u64 = 52;
    const EXPONENT_BIAS: u64 = 1023;
    let (exponent, mantissa) = (number.to_bits() >> MANTISSA_BITS, number.to_bits() << 12 >> 12);
    let mantissa = u128::from(mantissa | 1 << MANTISSA_BITS);
    match (EXPONENT_BIAS + MANTISSA_BITS).checked_sub(exponent) {
        Some(shift @ 0..=120) => Some((mantissa, 1 << shift)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn denominators_are_found() {
        assert_eq!(denominator(0.25), Some(4.0));
        assert_eq!(denominator(-2.0 / 3.0), Some(3.0));
        assert_eq!(denominator(355.0 / 16_307_437.0), Some(16_307_437.0));
        assert_eq!(denominator(7.0), Some(1.0));
        assert_eq!(denominator(f64::INFINITY), None);
    }

    proptest! {
        #[test]
        fn totals_are_found(total in prop_oneof![3u32..1 << 25, Just(3 << 30), Just(1 << 31)], used in prop::collection::vec(any::<u32>(), 8..60), order in 0..3) {
            let total = f64::from(total);
            let values: Vec<f64> = used.iter().map(|used| {
                let used = (f64::from(*used) % total).round();
                match order {
                    0 => 100.0 * (used / total),
                    1 => 100.0 * used / total,
                    _ => used / total,
                }
            }).collect();
            prop_assume!(values.iter().filter(|v| **v != 0.0).count() > 4);
            let scaling = common_scaling(&values);
            // Values that repeat are too few to tell.
            prop_assume!(scaling.is_some() || values.windows(2).all(|v| v[0] != v[1]));
            let scaling = scaling.unwrap();
            prop_assert!(values.iter().all(|v| is_multiple(scaling, *v)));
        }

        #[test]
        fn noise_has_no_total(values in prop::collection::vec(0.0f64..100.0, 40..60)) {
            prop_assert_eq!(common_scaling(&values), None);
        }
    }
}
