//! Arithmetic on constants: times, durations, numbers. What holds a name is no constant and is
//! left to others. Nothing wraps: what leaves its type is an error.

use jiff::tz::TimeZone;

use crate::{
    ast::{BinaryOp, Expr, Literal},
    diagnostic::Diagnostic,
    error::Error,
    time_text::parse_time,
};

/// A value known without data.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Constant {
    /// A time in ns since 1970.
    Time(i128),
    /// A length of time in ns.
    Duration(i128),
    /// An integer; compared with time it counts ns since 1970.
    Integer(i128),
    /// A finite number.
    Number(f64),
    /// A text; in arithmetic with durations it must be a time.
    Text(String),
    /// A truth value.
    Boolean(bool),
}

/// The value of `expr`, or None when it holds a name, a call other than `now()`, or anything that
/// is no arithmetic.
pub(crate) fn fold(
    expr: &Expr,
    now_ns: i64,
    zone: Option<&TimeZone>,
) -> Result<Option<Constant>, Diagnostic> {
    let fold_inner = |inner: &Expr| fold(inner, now_ns, zone);
    let computed = match expr {
        Expr::Literal { value, .. } => Some(Constant::from_literal(value)),
        Expr::Call(call) if call.name == "now" && call.args.is_empty() => {
            Some(Constant::Time(i128::from(now_ns)))
        }
        Expr::Negate { expr: inner, .. } => match fold_inner(inner)? {
            None => return Ok(None),
            Some(value) => value.negate(),
        },
        Expr::Binary { op, left, right, .. } if !op.is_comparison() => {
            match (fold_inner(left)?, fold_inner(right)?) {
                (Some(left), Some(right)) => left.combine(*op, &right, zone),
                _ => return Ok(None),
            }
        }
        _ => return Ok(None),
    };
    let failed =
        || Diagnostic::new(Error::ConstantArithmetic { expr: expr.to_string() }, expr.span());
    computed.map(Some).ok_or_else(failed)
}

impl Constant {
    fn from_literal(literal: &Literal) -> Constant {
        match literal {
            Literal::Integer(value) => Constant::Integer(i128::from(*value)),
            Literal::Unsigned(value) => Constant::Integer(i128::from(*value)),
            Literal::Number(value) => Constant::Number(*value),
            Literal::String(text) => Constant::Text(text.clone()),
            Literal::Duration(ns) => Constant::Duration(i128::from(*ns)),
            Literal::Boolean(value) => Constant::Boolean(*value),
        }
    }

    /// The value as rows are compared with it: a text, an integer or a number. Times and durations
    /// count ns, truth values 0 and 1.
    pub(crate) fn into_literal(self) -> Literal {
        match self {
            Constant::Text(text) => Literal::String(text),
            Constant::Number(value) => Literal::Number(value),
            Constant::Boolean(value) => Literal::Integer(i64::from(value)),
            Constant::Time(value) | Constant::Duration(value) | Constant::Integer(value) => {
                match (i64::try_from(value), u64::try_from(value)) {
                    (Ok(value), _) => Literal::Integer(value),
                    (_, Ok(value)) => Literal::Unsigned(value),
                    _ => Literal::Number(to_f64(value)),
                }
            }
        }
    }

    /// The value as a time in ns since 1970, for all that is not a text (whose form the caller
    /// knows more about).
    pub(crate) fn as_time_ns(&self) -> Option<i128> {
        match self {
            Constant::Time(ns) | Constant::Duration(ns) | Constant::Integer(ns) => Some(*ns),
            Constant::Number(value) => Some(truncate(*value)),
            Constant::Text(_) | Constant::Boolean(_) => None,
        }
    }

    /// Whether `self op other` holds; None for values of different kinds.
    pub(crate) fn compare(&self, op: BinaryOp, other: &Constant) -> Option<bool> {
        use Constant::{Boolean, Duration, Integer, Text, Time};
        let ordering = match (self, other) {
            (Text(left), Text(right)) => left.cmp(right),
            (Boolean(left), Boolean(right)) => left.cmp(right),
            (Time(left), Time(right))
            | (Duration(left), Duration(right))
            | (Integer(left), Integer(right)) => left.cmp(right),
            _ => self.as_number()?.partial_cmp(&other.as_number()?)?,
        };
        match op {
            BinaryOp::Eq => Some(ordering.is_eq()),
            BinaryOp::Ne => Some(ordering.is_ne()),
            BinaryOp::Lt => Some(ordering.is_lt()),
            BinaryOp::Le => Some(ordering.is_le()),
            BinaryOp::Gt => Some(ordering.is_gt()),
            BinaryOp::Ge => Some(ordering.is_ge()),
            _ => None,
        }
    }

    fn as_number(&self) -> Option<f64> {
        match self {
            Constant::Integer(value) => Some(to_f64(*value)),
            Constant::Number(value) => Some(*value),
            _ => None,
        }
    }

    fn negate(self) -> Option<Constant> {
        match self {
            Constant::Duration(ns) => ns.checked_neg().map(Constant::Duration),
            Constant::Integer(value) => value.checked_neg().map(Constant::Integer),
            Constant::Number(value) => Some(Constant::Number(-value)),
            Constant::Time(_) | Constant::Text(_) | Constant::Boolean(_) => None,
        }
    }

    /// `self op other` for an arithmetic operator.
    fn combine(self, op: BinaryOp, other: &Constant, zone: Option<&TimeZone>) -> Option<Constant> {
        use BinaryOp::{Add, Div, Mul, Sub};
        use Constant::{Duration, Integer, Number, Text, Time};
        match (&self, op, other) {
            // A text beside a time or duration is a time.
            (Text(text), Add | Sub, Time(_) | Duration(_) | Integer(_)) => {
                Time(parse_time(text, zone)?).combine(op, other, zone)
            }
            (Time(_) | Duration(_) | Integer(_), Add | Sub, Text(text)) => {
                let time = Time(parse_time(text, zone)?);
                self.combine(op, &time, zone)
            }
            (Time(time), Add, Duration(ns) | Integer(ns)) => time.checked_add(*ns).map(Time),
            (Time(time), Sub, Duration(ns) | Integer(ns)) => time.checked_sub(*ns).map(Time),
            (Duration(ns) | Integer(ns), Add, Time(time)) => time.checked_add(*ns).map(Time),
            (Time(left), Sub, Time(right)) => left.checked_sub(*right).map(Duration),
            (Duration(left), Add, Duration(right)) => left.checked_add(*right).map(Duration),
            (Duration(left), Sub, Duration(right)) => left.checked_sub(*right).map(Duration),
            (Duration(left), Div, Duration(right)) => quotient(to_f64(*left), to_f64(*right)),
            (Duration(ns), Mul, Integer(by)) | (Integer(by), Mul, Duration(ns)) => {
                ns.checked_mul(*by).map(Duration)
            }
            (Duration(ns), Div, Integer(by)) => ns.checked_div(*by).map(Duration),
            (Duration(ns), Mul, Number(by)) | (Number(by), Mul, Duration(ns)) => {
                finite(to_f64(*ns) * by).map(|ns| Duration(truncate(ns)))
            }
            (Duration(ns), Div, Number(by)) => {
                finite(to_f64(*ns) / by).map(|ns| Duration(truncate(ns)))
            }
            (Integer(left), _, Integer(right)) => combine_integers(*left, op, *right),
            _ => combine_numbers(self.as_number()?, op, other.as_number()?),
        }
    }
}

fn combine_integers(left: i128, op: BinaryOp, right: i128) -> Option<Constant> {
    let value = match op {
        BinaryOp::Add => left.checked_add(right),
        BinaryOp::Sub => left.checked_sub(right),
        BinaryOp::Mul => left.checked_mul(right),
        BinaryOp::Mod => left.checked_rem(right),
        BinaryOp::BitAnd => Some(left & right),
        BinaryOp::BitOr => Some(left | right),
        BinaryOp::BitXor => Some(left ^ right),
        // As in InfluxQL, the quotient of two integers is a number.
        BinaryOp::Div => return quotient(to_f64(left), to_f64(right)),
        _ => None,
    };
    value.map(Constant::Integer)
}

fn combine_numbers(left: f64, op: BinaryOp, right: f64) -> Option<Constant> {
    let value = match op {
        BinaryOp::Add => left + right,
        BinaryOp::Sub => left - right,
        BinaryOp::Mul => left * right,
        BinaryOp::Div => left / right,
        BinaryOp::Mod => left % right,
        _ => return None,
    };
    finite(value).map(Constant::Number)
}

fn quotient(left: f64, right: f64) -> Option<Constant> {
    finite(left / right).map(Constant::Number)
}

fn finite(value: f64) -> Option<f64> {
    value.is_finite().then_some(value)
}

#[expect(clippy::cast_precision_loss, reason = "what is beside a number becomes one")]
fn to_f64(value: i128) -> f64 {
    value as f64
}

#[expect(clippy::cast_possible_truncation, reason = "cuts the fraction; saturates by definition")]
fn truncate(value: f64) -> i128 {
    value as i128
}
