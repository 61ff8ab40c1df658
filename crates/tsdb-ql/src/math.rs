//! The functions of numbers, which make one number of one or two in the same row: names and how many
//! arguments they take. How they compute is known where rows are.

/// A function of one or two numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum MathFunction {
    /// `abs(x)`: without its sign.
    Abs,
    /// `acos(x)`: the arc cosine in radians.
    Acos,
    /// `asin(x)`: the arc sine in radians.
    Asin,
    /// `atan(x)`: the arc tangent in radians.
    Atan,
    /// `atan2(y, x)`: the angle of the point (x, y) in radians.
    Atan2,
    /// `ceil(x)`: the next whole number upwards.
    Ceil,
    /// `cos(x)`: the cosine of an angle in radians.
    Cos,
    /// `exp(x)`: e to the power of x.
    Exp,
    /// `floor(x)`: the next whole number downwards.
    Floor,
    /// `ln(x)`: the natural logarithm.
    Ln,
    /// `log(x, b)`: the logarithm to the base b.
    Log,
    /// `log2(x)`: the logarithm to the base 2.
    Log2,
    /// `log10(x)`: the logarithm to the base 10.
    Log10,
    /// `pow(x, y)`: x to the power of y.
    Pow,
    /// `round(x)`: the nearest whole number, halves away from zero.
    Round,
    /// `sin(x)`: the sine of an angle in radians.
    Sin,
    /// `sqrt(x)`: the square root.
    Sqrt,
    /// `tan(x)`: the tangent of an angle in radians.
    Tan,
}

impl MathFunction {
    /// All of them with their names.
    const ALL: [(&'static str, MathFunction); 18] = [
        ("abs", MathFunction::Abs),
        ("acos", MathFunction::Acos),
        ("asin", MathFunction::Asin),
        ("atan", MathFunction::Atan),
        ("atan2", MathFunction::Atan2),
        ("ceil", MathFunction::Ceil),
        ("cos", MathFunction::Cos),
        ("exp", MathFunction::Exp),
        ("floor", MathFunction::Floor),
        ("ln", MathFunction::Ln),
        ("log", MathFunction::Log),
        ("log2", MathFunction::Log2),
        ("log10", MathFunction::Log10),
        ("pow", MathFunction::Pow),
        ("round", MathFunction::Round),
        ("sin", MathFunction::Sin),
        ("sqrt", MathFunction::Sqrt),
        ("tan", MathFunction::Tan),
    ];

    /// The function of that name (in lower case, as in the tree).
    #[must_use]
    pub fn from_name(name: &str) -> Option<MathFunction> {
        Self::ALL.iter().find(|(known, _)| *known == name).map(|(_, function)| *function)
    }

    /// How many numbers it takes: 1 or 2.
    #[must_use]
    pub const fn arguments(self) -> usize {
        match self {
            MathFunction::Atan2 | MathFunction::Log | MathFunction::Pow => 2,
            _ => 1,
        }
    }

    /// All names, as messages list them.
    pub fn names() -> impl Iterator<Item = &'static str> {
        Self::ALL.iter().map(|(name, _)| *name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_to_functions() {
        for name in MathFunction::names() {
            assert!(MathFunction::from_name(name).is_some(), "{name}");
            assert_eq!(crate::Function::from_name(name), None, "{name}");
        }
        assert_eq!(MathFunction::from_name("atan2").map(MathFunction::arguments), Some(2));
        assert_eq!(MathFunction::from_name("mean"), None);
    }
}
