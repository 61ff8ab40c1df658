//! Arithmetic on columns: `SELECT a * 2 - b`, `WHERE a + b > 10`. No names: inputs are numbered.

use std::borrow::Cow;

use tsdb_core::Column;
use tsdb_core::storage::Presence;
use tsdb_ql::{BinaryOp, MathFunction};

use super::bits;
use super::math::{apply_one, of_two};

/// An expression of numbers over numbered input columns.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum ValueExpr {
    /// The input of that number.
    Input(usize),
    /// The same number in every row.
    Constant(f64),
    /// Nothing in any row: a name that has no numbers.
    Null,
    /// The operand with the other sign.
    Negate(Box<ValueExpr>),
    /// The operand without what is behind its decimal point: `f::integer`.
    Truncate(Box<ValueExpr>),
    /// A function of as many numbers as it takes; nothing where one is missing.
    Math(MathFunction, Box<[ValueExpr]>),
    /// `left op right`; nothing where an operand is missing.
    Binary {
        /// An arithmetic operator.
        op: BinaryOp,
        left: Box<ValueExpr>,
        right: Box<ValueExpr>,
    },
}

/// The value of an expression in every row of a block.
#[derive(Debug, Clone)]
pub(crate) enum Operand<'i> {
    /// The same everywhere; `None` is nothing.
    Constant(Option<f64>),
    /// A column, borrowed if it is an input as it stands.
    Column(Cow<'i, Column>),
}

impl ValueExpr {
    /// Whether one of the inputs of the expression is one that `holds` for.
    pub(crate) fn has_input(&self, holds: &dyn Fn(usize) -> bool) -> bool {
        match self {
            ValueExpr::Input(index) => holds(*index),
            ValueExpr::Constant(_) | ValueExpr::Null => false,
            ValueExpr::Negate(inner) | ValueExpr::Truncate(inner) => inner.has_input(holds),
            ValueExpr::Math(_, inner) => inner.iter().any(|inner| inner.has_input(holds)),
            ValueExpr::Binary { left, right, .. } => {
                left.has_input(holds) || right.has_input(holds)
            }
        }
    }

    /// The expression with what needs no input worked out; sets `has_folded` if there was something.
    pub(crate) fn folded(self, has_folded: &mut bool) -> ValueExpr {
        let mut fold = |inner: ValueExpr| inner.folded(has_folded);
        let with_folded_operands = match self {
            ValueExpr::Input(_) | ValueExpr::Constant(_) | ValueExpr::Null => return self,
            ValueExpr::Negate(inner) => ValueExpr::Negate(Box::new(fold(*inner))),
            ValueExpr::Truncate(inner) => ValueExpr::Truncate(Box::new(fold(*inner))),
            ValueExpr::Math(function, operands) => {
                ValueExpr::Math(function, operands.into_iter().map(fold).collect())
            }
            ValueExpr::Binary { op, left, right } => {
                let (left, right) = (Box::new(fold(*left)), Box::new(fold(*right)));
                ValueExpr::Binary { op, left, right }
            }
        };
        if with_folded_operands.has_input(&|_| true) {
            return with_folded_operands;
        }
        match with_folded_operands.evaluate(&[], 0) {
            Operand::Constant(value) => {
                // A number with a sign is no more than a number.
                *has_folded |= !matches!(with_folded_operands, ValueExpr::Negate(_));
                value.map_or(ValueExpr::Null, ValueExpr::Constant)
            }
            Operand::Column(_) => with_folded_operands,
        }
    }

    /// Evaluates over `rows` rows of `inputs`. An input that is not there has no values.
    pub(crate) fn evaluate<'i>(&self, inputs: &'i [Column], rows: usize) -> Operand<'i> {
        match self {
            ValueExpr::Constant(value) => Operand::Constant(Some(*value)),
            ValueExpr::Null => Operand::Constant(None),
            ValueExpr::Input(index) => match inputs.get(*index) {
                None | Some(Column { presence: Presence::None, .. }) => Operand::Constant(None),
                Some(column) => Operand::Column(Cow::Borrowed(column)),
            },
            ValueExpr::Negate(inner) => each(inner.evaluate(inputs, rows), |values| {
                values.iter_mut().for_each(|value| *value = -*value);
            }),
            ValueExpr::Truncate(inner) => each(inner.evaluate(inputs, rows), truncate),
            ValueExpr::Math(function, operands) => {
                let operand = |place: usize| match operands.get(place) {
                    Some(operand) => operand.evaluate(inputs, rows),
                    None => Operand::Constant(None),
                };
                match of_two(*function) {
                    Some(f) => combine(Operation::Function(f), operand(0), operand(1), rows),
                    None => each(operand(0), |values| apply_one(*function, values)),
                }
            }
            ValueExpr::Binary { op, left, right } => {
                let (left, right) = (left.evaluate(inputs, rows), right.evaluate(inputs, rows));
                combine(Operation::Operator(*op), left, right, rows)
            }
        }
    }
}

/// What is made of two numbers.
#[derive(Clone, Copy)]
enum Operation {
    Operator(BinaryOp),
    Function(fn(f64, f64) -> f64),
}

/// What `f` makes of the values, whether their rows have them or not.
fn each(operand: Operand<'_>, f: impl Fn(&mut [f64])) -> Operand<'_> {
    match operand {
        Operand::Constant(value) => Operand::Constant(value.map(|value| {
            let mut values = [value];
            f(&mut values);
            let [value] = values;
            value
        })),
        Operand::Column(mut column) => {
            f(&mut column.to_mut().values);
            Operand::Column(column)
        }
    }
}

/// Cuts off what is behind the decimal points. A zero has no sign then: it is a whole number.
pub(crate) fn truncate(values: &mut [f64]) {
    values.iter_mut().for_each(|value| *value = value.trunc() + 0.0);
}

fn combine<'i>(op: Operation, left: Operand<'i>, right: Operand<'i>, rows: usize) -> Operand<'i> {
    match (left, right) {
        (Operand::Constant(None), _) | (_, Operand::Constant(None)) => Operand::Constant(None),
        (Operand::Constant(Some(a)), Operand::Constant(Some(b))) => Operand::Constant(match op {
            Operation::Operator(op) => apply(op, a, b),
            Operation::Function(f) => Some(f(a, b)),
        }),
        (Operand::Column(mut column), Operand::Constant(Some(b))) => {
            update(op, column.to_mut(), rows, |a, _| (a, b));
            Operand::Column(column)
        }
        (Operand::Constant(Some(a)), Operand::Column(mut column)) => {
            update(op, column.to_mut(), rows, |b, _| (a, b));
            Operand::Column(column)
        }
        (Operand::Column(mut left), Operand::Column(right)) => {
            let mut words = bits::presence_words(&left.presence, rows);
            bits::intersect(&mut words, &bits::presence_words(&right.presence, rows));
            let column = left.to_mut();
            column.presence = bits::into_presence(words, rows);
            if column.presence == Presence::None {
                return Operand::Constant(None);
            }
            update(op, column, rows, |a, row| (a, right.values.get(row).copied().unwrap_or(0.0)));
            Operand::Column(left)
        }
    }
}

/// Replaces each value by `op` of what `operands` makes of it. What always has a result runs over the whole
/// slice, whether a row has a value or not.
fn update(
    op: Operation,
    column: &mut Column,
    rows: usize,
    operands: impl Fn(f64, usize) -> (f64, f64),
) {
    let each = |column: &mut Column, f: fn(f64, f64) -> f64| {
        for (row, value) in column.values.iter_mut().enumerate() {
            let (a, b) = operands(*value, row);
            *value = f(a, b);
        }
    };
    match op {
        Operation::Operator(BinaryOp::Add) => each(column, |a, b| a + b),
        Operation::Operator(BinaryOp::Sub) => each(column, |a, b| a - b),
        Operation::Operator(BinaryOp::Mul) => each(column, |a, b| a * b),
        Operation::Function(f) => each(column, f),
        Operation::Operator(other) => {
            let values: Vec<Option<f64>> = (0..rows)
                .map(|row| {
                    let (a, b) = operands(column.get(row)?, row);
                    apply(other, a, b)
                })
                .collect();
            column.fill(values.into_iter());
        }
    }
}

/// One operation. Division by zero gives 0, as InfluxQL has it, and the remainder of it no number; operators on bits
/// have a result for whole numbers only, comparisons never.
fn apply(op: BinaryOp, a: f64, b: f64) -> Option<f64> {
    let on_bits = |f: fn(i64, i64) -> i64| Some(f(whole(a)?, whole(b)?) as f64);
    match op {
        BinaryOp::Add => Some(a + b),
        BinaryOp::Sub => Some(a - b),
        BinaryOp::Mul => Some(a * b),
        BinaryOp::Div => Some(if b == 0.0 { 0.0 } else { a / b }),
        BinaryOp::Mod => Some(a % b),
        BinaryOp::BitAnd => on_bits(|a, b| a & b),
        BinaryOp::BitOr => on_bits(|a, b| a | b),
        BinaryOp::BitXor => on_bits(|a, b| a ^ b),
        BinaryOp::Eq | BinaryOp::Ne | BinaryOp::Lt | BinaryOp::Le | BinaryOp::Gt | BinaryOp::Ge => {
            None
        }
    }
}

/// The integer that `value` stands for, if it is one that an f64 holds exactly.
#[expect(clippy::cast_possible_truncation, reason = "in range and without a fraction")]
fn whole(value: f64) -> Option<i64> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    (value.abs() <= EXACT && value.fract() == 0.0).then_some(value as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(values: &[Option<f64>]) -> Column {
        let mut column = Column::default();
        column.fill(values.iter().copied());
        column
    }

    fn binary(op: BinaryOp, left: ValueExpr, right: ValueExpr) -> ValueExpr {
        ValueExpr::Binary { op, left: Box::new(left), right: Box::new(right) }
    }

    #[test]
    fn arithmetic_is_influxqls() {
        use BinaryOp::{Add, BitAnd, BitXor, Div, Mod, Mul, Sub};
        use ValueExpr::{Constant, Input, Negate, Null};
        let inputs = [
            column(&[Some(6.0), None, Some(-7.0), Some(2.5)]),
            column(&[Some(4.0), Some(1.0), Some(0.0), None]),
            Column::default(),
        ];
        let check = |expr: ValueExpr, expected: [Option<f64>; 4]| {
            let got: Vec<Option<f64>> = match expr.evaluate(&inputs, 4) {
                Operand::Constant(value) => vec![value; 4],
                Operand::Column(column) => (0..4).map(|row| column.get(row)).collect(),
            };
            assert_eq!(got, expected, "{expr:?}");
        };
        check(binary(Add, Input(0), Input(1)), [Some(10.0), None, Some(-7.0), None]);
        check(binary(Sub, Constant(1.0), Input(1)), [Some(-3.0), Some(0.0), Some(1.0), None]);
        check(binary(Mul, Input(0), Constant(2.0)), [Some(12.0), None, Some(-14.0), Some(5.0)]);
        check(binary(Div, Input(0), Input(1)), [Some(1.5), None, Some(0.0), None]);
        check(binary(Mod, Input(0), Constant(4.0)), [Some(2.0), None, Some(-3.0), Some(2.5)]);
        check(binary(BitAnd, Input(0), Constant(3.0)), [Some(2.0), None, Some(1.0), None]);
        check(binary(BitXor, Constant(5.0), Constant(1.0)), [Some(4.0); 4]);
        check(Negate(Box::new(Input(1))), [Some(-4.0), Some(-1.0), Some(-0.0), None]);
        check(binary(Add, Input(0), Null), [None; 4]);
        check(binary(Add, Input(0), Input(2)), [None; 4]);
        check(Input(9), [None; 4]);
        let of = |function, inner| ValueExpr::Math(function, Box::new([inner]));
        let of_two = |function, x, y| ValueExpr::Math(function, Box::new([x, y]));
        check(of(MathFunction::Abs, Input(0)), [Some(6.0), None, Some(7.0), Some(2.5)]);
        check(of(MathFunction::Abs, Constant(-1.0)), [Some(1.0); 4]);
        check(of(MathFunction::Abs, Null), [None; 4]);
        let square = of_two(MathFunction::Pow, Input(0), Constant(2.0));
        check(square, [Some(36.0), None, Some(49.0), Some(6.25)]);
        let power = of_two(MathFunction::Pow, Input(0), Input(1));
        check(power, [Some(1296.0), None, Some(1.0), None]);
        let base = of_two(MathFunction::Pow, Constant(2.0), Input(1));
        check(base, [Some(16.0), Some(2.0), Some(1.0), None]);
        let truncated = ValueExpr::Truncate(Box::new(binary(Div, Input(0), Constant(4.0))));
        check(truncated, [Some(1.0), None, Some(-1.0), Some(0.0)]);
    }
}
