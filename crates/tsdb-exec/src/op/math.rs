//! The functions of numbers: what `abs(usage)` or `pow(usage, 2)` is of one row. Where a function has no
//! result, as the root of a negative number, it is NaN, which answers show as null.

use tsdb_ql::MathFunction;

/// Replaces each of `values` by what `function`, which takes one number, makes of it; a function of two leaves
/// them alone. One loop per function, so that the compiler sees it and vectorises what can be.
pub(crate) fn apply_one(function: MathFunction, values: &mut [f64]) {
    fn each(values: &mut [f64], f: impl Fn(f64) -> f64) {
        values.iter_mut().for_each(|value| *value = f(*value));
    }
    match function {
        MathFunction::Abs => each(values, f64::abs),
        MathFunction::Acos => each(values, f64::acos),
        MathFunction::Asin => each(values, f64::asin),
        MathFunction::Atan => each(values, f64::atan),
        MathFunction::Ceil => each(values, f64::ceil),
        MathFunction::Cos => each(values, f64::cos),
        MathFunction::Exp => each(values, f64::exp),
        MathFunction::Floor => each(values, f64::floor),
        MathFunction::Ln => each(values, f64::ln),
        MathFunction::Log2 => each(values, f64::log2),
        MathFunction::Log10 => each(values, f64::log10),
        MathFunction::Round => each(values, f64::round),
        MathFunction::Sin => each(values, f64::sin),
        MathFunction::Sqrt => each(values, f64::sqrt),
        MathFunction::Tan => each(values, f64::tan),
        _ => {}
    }
}

/// How `function` computes, if it takes two numbers.
pub(crate) fn of_two(function: MathFunction) -> Option<fn(f64, f64) -> f64> {
    match function {
        MathFunction::Atan2 => Some(f64::atan2),
        // In InfluxDB's order of operations, so that the last digits agree.
        MathFunction::Log => Some(|x, base| x.ln() / base.ln()),
        MathFunction::Pow => Some(f64::powf),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compute(function: MathFunction, x: f64, y: f64) -> f64 {
        let mut values = [x];
        apply_one(function, &mut values);
        of_two(function).map_or(values[0], |f| f(x, y))
    }

    #[test]
    fn every_function_takes_as_many_numbers_as_the_language_says() {
        for name in MathFunction::names() {
            let function = MathFunction::from_name(name).unwrap();
            assert_eq!(of_two(function).is_some(), function.arguments() == 2, "{name}");
            assert!(compute(function, -0.3, 0.7).to_bits() != (-0.3_f64).to_bits(), "{name}");
        }
    }

    #[test]
    fn functions_compute_what_their_names_say() {
        let check = |name: &str, x: f64, y: f64, expected: f64| {
            let got = compute(MathFunction::from_name(name).unwrap(), x, y);
            let same = (got - expected).abs() <= 1e-15 || (got.is_nan() && expected.is_nan());
            assert!(same, "{name}({x}, {y}): {got}");
        };
        use std::f64::consts::{E, FRAC_PI_4, PI};
        let none = 0.0;
        check("abs", -2.5, none, 2.5);
        check("acos", -1.0, none, PI);
        check("acos", 2.0, none, f64::NAN);
        check("asin", 1.0, none, PI / 2.0);
        check("atan", 1.0, none, FRAC_PI_4);
        check("atan2", -1.0, -1.0, -3.0 * FRAC_PI_4);
        check("ceil", -0.5, none, 0.0);
        check("ceil", 1.2, none, 2.0);
        check("cos", PI, none, -1.0);
        check("exp", 1.0, none, E);
        check("floor", -1.2, none, -2.0);
        check("ln", E, none, 1.0);
        check("ln", -1.0, none, f64::NAN);
        check("log", 8.0, 2.0, 3.0);
        check("log2", 8.0, none, 3.0);
        check("log10", 1000.0, none, 3.0);
        check("pow", 2.0, -2.0, 0.25);
        check("pow", -8.0, 1.0 / 3.0, f64::NAN);
        check("round", 2.5, none, 3.0);
        check("round", -2.5, none, -3.0);
        check("round", 2.4, none, 2.0);
        check("sin", PI / 2.0, none, 1.0);
        check("sqrt", 9.0, none, 3.0);
        check("sqrt", -9.0, none, f64::NAN);
        check("tan", FRAC_PI_4, none, 1.0);
    }
}
