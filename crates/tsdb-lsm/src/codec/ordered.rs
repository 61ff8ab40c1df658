//! Doubles as integers of the same order (IEEE 754 total order: -NaN, -inf, ..., -0, +0, ..., inf, NaN), so
//! that neighbours are close to each other as integers too.

/// The integer of a double.
#[inline(always)]
pub(super) fn to_ordered(value: f64) -> i64 {
    flip(value.to_bits().cast_signed())
}

/// The double of an integer.
#[inline(always)]
pub(super) fn from_ordered(order: i64) -> f64 {
    f64::from_bits(flip(order).cast_unsigned())
}

/// Turns the magnitude of negative numbers around; its own inverse.
#[inline(always)]
fn flip(bits: i64) -> i64 {
    bits ^ (bits >> 63 & i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_order_is_that_of_the_doubles(a in any::<u64>(), b in any::<u64>()) {
            let (a, b) = (f64::from_bits(a), f64::from_bits(b));
            prop_assert_eq!(from_ordered(to_ordered(a)).to_bits(), a.to_bits());
            prop_assert_eq!(to_ordered(a).cmp(&to_ordered(b)), a.total_cmp(&b));
        }
    }
}
