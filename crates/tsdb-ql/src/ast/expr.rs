//! Expressions: columns and conditions.
//!
//! Shape rules that the constructors keep and everything else relies on: [`Expr::And`] and
//! [`Expr::Or`] hold at least two parts and no part of their own kind, a negated number is a
//! literal, and function names are lower case. So a tree printed and parsed is the same tree, and
//! a condition of a thousand ORs is one level deep.

use super::Span;
use crate::MathFunction;

/// An expression: a column, or a condition.
#[derive(Debug, Clone, PartialEq)]
pub enum Expr {
    /// A field, a tag or `time`.
    Identifier(Identifier),
    /// A constant.
    Literal {
        /// Its value.
        value: Literal,
        /// Where it stands.
        span: Span,
    },
    /// `*`: all fields (and tags, where tags can stand).
    Wildcard {
        /// `*::tag` or `*::field`.
        cast: Option<Cast>,
        /// Where it stands.
        span: Span,
    },
    /// `/…/`: all fields (and tags) whose names match.
    Regex {
        /// The regular expression.
        pattern: String,
        /// Where it stands.
        span: Span,
    },
    /// `name(args)`
    Call(Call),
    /// `-expr`; never around a number, whose sign it would be.
    Negate {
        /// The operand.
        expr: Box<Expr>,
        /// The minus and its operand.
        span: Span,
    },
    /// `left op right`
    Binary {
        /// The operator.
        op: BinaryOp,
        /// The left operand.
        left: Box<Expr>,
        /// The right operand.
        right: Box<Expr>,
        /// Where the operator stands.
        op_span: Span,
    },
    /// `expr =~ /…/` or `expr !~ /…/`
    RegexMatch {
        /// What is matched.
        expr: Box<Expr>,
        /// Whether the operator is `!~`.
        negated: bool,
        /// The regular expression.
        pattern: String,
        /// Where the regular expression stands.
        span: Span,
    },
    /// All hold. At least two parts, none of them an `And`.
    And(Vec<Expr>),
    /// One holds. At least two parts, none of them an `Or`.
    Or(Vec<Expr>),
}

impl Expr {
    /// The calls that rows are asked with: those outside of the arguments of others, where functions of numbers
    /// count as arithmetic. O(nodes).
    #[must_use]
    pub fn calls_of_rows(&self) -> Vec<&Call> {
        let mut found = Vec::new();
        self.collect_calls_of_rows(&mut found);
        found
    }

    fn collect_calls_of_rows<'e>(&'e self, found: &mut Vec<&'e Call>) {
        match self {
            Expr::Call(call) if MathFunction::from_name(&call.name).is_some() => {
                call.args.iter().for_each(|argument| argument.collect_calls_of_rows(found));
            }
            Expr::Call(call) => found.push(call),
            Expr::Negate { expr, .. } => expr.collect_calls_of_rows(found),
            Expr::Binary { left, right, .. } => {
                left.collect_calls_of_rows(found);
                right.collect_calls_of_rows(found);
            }
            _ => {}
        }
    }

    /// `left AND right`, flattened.
    #[must_use]
    pub fn and(left: Expr, right: Expr) -> Expr {
        let mut parts = match left {
            Expr::And(parts) => parts,
            other => vec![other],
        };
        match right {
            Expr::And(more) => parts.extend(more),
            other => parts.push(other),
        }
        Expr::And(parts)
    }

    /// `left OR right`, flattened.
    #[must_use]
    pub fn or(left: Expr, right: Expr) -> Expr {
        let mut parts = match left {
            Expr::Or(parts) => parts,
            other => vec![other],
        };
        match right {
            Expr::Or(more) => parts.extend(more),
            other => parts.push(other),
        }
        Expr::Or(parts)
    }

    /// `-expr`; `minus` is where the sign stands.
    #[must_use]
    pub fn negate(expr: Expr, minus: Span) -> Expr {
        match expr {
            Expr::Literal { value, span } => match value.negate() {
                Ok(value) => Expr::Literal { value, span: minus.to(span) },
                Err(value) => Self::negate_node(Expr::Literal { value, span }, minus),
            },
            other => Self::negate_node(other, minus),
        }
    }

    fn negate_node(expr: Expr, minus: Span) -> Expr {
        let span = minus.to(expr.span());
        Expr::Negate { expr: Box::new(expr), span }
    }

    /// `left op right`.
    #[must_use]
    pub fn binary(left: Expr, op: BinaryOp, right: Expr, op_span: Span) -> Expr {
        Expr::Binary { op, left: Box::new(left), right: Box::new(right), op_span }
    }

    /// Where the expression stands, without parentheses around it.
    #[must_use]
    pub fn span(&self) -> Span {
        match self {
            Expr::Identifier(identifier) => identifier.span,
            Expr::Call(call) => call.span,
            Expr::Literal { span, .. }
            | Expr::Wildcard { span, .. }
            | Expr::Regex { span, .. }
            | Expr::Negate { span, .. } => *span,
            Expr::Binary { left, right, .. } => left.span().to(right.span()),
            Expr::RegexMatch { expr, span, .. } => expr.span().to(*span),
            Expr::And(parts) | Expr::Or(parts) => match (parts.first(), parts.last()) {
                (Some(first), Some(last)) => first.span().to(last.span()),
                _ => Span::default(),
            },
        }
    }
}

/// A name in an expression.
#[derive(Debug, Clone, PartialEq)]
pub struct Identifier {
    /// The name, without quotes.
    pub name: String,
    /// `::tag`, `::field` and the like.
    pub cast: Option<Cast>,
    /// Where it stands.
    pub span: Span,
}

impl Identifier {
    /// Whether this is the time column. As in InfluxQL in any case of letters, also in quotes.
    #[must_use]
    pub fn is_time(&self) -> bool {
        self.cast.is_none() && self.name.eq_ignore_ascii_case("time")
    }
}

/// What a name is taken for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cast {
    /// `::tag`
    Tag,
    /// `::field`: a field of any type.
    Field,
    /// `::float`
    Float,
    /// `::integer`
    Integer,
    /// `::unsigned`
    Unsigned,
    /// `::string`: a field of strings. There are none, see the data model.
    String,
    /// `::boolean`
    Boolean,
}

impl Cast {
    /// All casts with their names.
    pub const ALL: [(&'static str, Cast); 7] = [
        ("tag", Cast::Tag),
        ("field", Cast::Field),
        ("float", Cast::Float),
        ("integer", Cast::Integer),
        ("unsigned", Cast::Unsigned),
        ("string", Cast::String),
        ("boolean", Cast::Boolean),
    ];

    /// The cast of that name, in any case of letters.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Cast> {
        Self::ALL.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, cast)| *cast)
    }
}

/// A constant.
#[derive(Debug, Clone, PartialEq)]
pub enum Literal {
    /// An integer.
    Integer(i64),
    /// An integer above `i64::MAX`.
    Unsigned(u64),
    /// A number with a decimal point or an exponent, or beyond 64 bits. Finite.
    Number(f64),
    /// A text, without quotes.
    String(String),
    /// A length of time in ns.
    Duration(i64),
    /// `true` or `false`
    Boolean(bool),
}

impl Literal {
    /// The value as a stored number: durations count ns, booleans 0 and 1; a text has none.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "fields are f64; so are the constants")]
    pub fn as_f64(&self) -> Option<f64> {
        match self {
            Literal::Integer(value) | Literal::Duration(value) => Some(*value as f64),
            Literal::Unsigned(value) => Some(*value as f64),
            Literal::Number(value) => Some(*value),
            Literal::Boolean(value) => Some(f64::from(u8::from(*value))),
            Literal::String(_) => None,
        }
    }

    /// The integer that was written; above `i64::MAX` unsigned, beyond 64 bits a number.
    #[must_use]
    pub fn from_unsigned(value: u64) -> Literal {
        match i64::try_from(value) {
            Ok(value) => Literal::Integer(value),
            Err(_) => Literal::Unsigned(value),
        }
    }

    /// The literal with the other sign; given back unchanged when it has no sign.
    #[expect(clippy::cast_precision_loss, reason = "an integer below i64::MIN becomes a number")]
    fn negate(self) -> Result<Literal, Literal> {
        const MIN_MAGNITUDE: u64 = i64::MIN.unsigned_abs();
        match self {
            Literal::Integer(i64::MIN) => Ok(Literal::Unsigned(MIN_MAGNITUDE)),
            Literal::Integer(value) => Ok(Literal::Integer(-value)),
            Literal::Unsigned(MIN_MAGNITUDE) => Ok(Literal::Integer(i64::MIN)),
            Literal::Unsigned(value) => Ok(Literal::Number(-(value as f64))),
            Literal::Number(value) => Ok(Literal::Number(-value)),
            Literal::Duration(i64::MIN) => Err(self),
            Literal::Duration(value) => Ok(Literal::Duration(-value)),
            Literal::String(_) | Literal::Boolean(_) => Err(self),
        }
    }
}

/// A function call.
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    /// The name in lower case.
    pub name: String,
    /// The arguments.
    pub args: Vec<Expr>,
    /// Name and parentheses.
    pub span: Span,
}

/// An operator between two operands, other than AND, OR and the regular expressions'.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BinaryOp {
    /// `=`
    Eq,
    /// `!=`, also written `<>`
    Ne,
    /// `<`
    Lt,
    /// `<=`
    Le,
    /// `>`
    Gt,
    /// `>=`
    Ge,
    /// `+`
    Add,
    /// `-`
    Sub,
    /// `|`, on integers
    BitOr,
    /// `^`, on integers: exclusive or
    BitXor,
    /// `*`
    Mul,
    /// `/`
    Div,
    /// `%`
    Mod,
    /// `&`, on integers
    BitAnd,
}

impl BinaryOp {
    /// The operator as it is written.
    #[must_use]
    pub const fn symbol(self) -> &'static str {
        match self {
            BinaryOp::Eq => "=",
            BinaryOp::Ne => "!=",
            BinaryOp::Lt => "<",
            BinaryOp::Le => "<=",
            BinaryOp::Gt => ">",
            BinaryOp::Ge => ">=",
            BinaryOp::Add => "+",
            BinaryOp::Sub => "-",
            BinaryOp::BitOr => "|",
            BinaryOp::BitXor => "^",
            BinaryOp::Mul => "*",
            BinaryOp::Div => "/",
            BinaryOp::Mod => "%",
            BinaryOp::BitAnd => "&",
        }
    }

    /// Whether the result is a truth value.
    #[must_use]
    pub const fn is_comparison(self) -> bool {
        matches!(
            self,
            BinaryOp::Eq | BinaryOp::Ne | BinaryOp::Lt | BinaryOp::Le | BinaryOp::Gt | BinaryOp::Ge
        )
    }

    /// The comparison that holds with its operands exchanged when this one holds; itself for an
    /// operator that is no comparison.
    #[must_use]
    pub const fn flip(self) -> BinaryOp {
        match self {
            BinaryOp::Lt => BinaryOp::Gt,
            BinaryOp::Le => BinaryOp::Ge,
            BinaryOp::Gt => BinaryOp::Lt,
            BinaryOp::Ge => BinaryOp::Le,
            other => other,
        }
    }
}
