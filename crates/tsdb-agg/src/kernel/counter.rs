//! What a slice of a counter's readings says about its resets. The stretches that are made of it are in
//! `counter`.

use crate::Compensated;

/// Sum of the values that stand before a smaller one: what a counter had reached each time it began again. All
/// values count; one next to a NaN is no reset.
///
/// A counter falls rarely, so a first loop, which vectorises, only looks whether it does.
#[must_use]
pub fn resets(values: &[f64]) -> Compensated {
    let mut total = Compensated::default();
    let following = values.get(1..).unwrap_or_default();
    let falls = values.iter().zip(following).fold(false, |falls, (a, b)| falls | (b < a));
    if falls {
        for (before, after) in values.iter().zip(following) {
            if after < before {
                total.add(*before);
            }
        }
    }
    total
}

/// Whether one of the values is NaN.
#[must_use]
pub fn has_nan(values: &[f64]) -> bool {
    values.iter().fold(false, |found, value| found | value.is_nan())
}
