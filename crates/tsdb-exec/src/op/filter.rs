//! The part of a WHERE clause that must be asked row by row. Engines may have left out rows that do not
//! fulfil it; none of those that do.

use std::sync::Arc;

use tsdb_core::matcher::{CompiledFilter, MatchOp, TagFilter};
use tsdb_core::storage::{FieldPredicate, PredicateOp};
use tsdb_core::{Block, SeriesKey};
use tsdb_ql::{BinaryOp, Cast, Expr, Identifier, Literal, MathFunction};

use super::bits;
use super::expr::{Operand, ValueExpr};
use crate::Result;

/// A condition on rows, compiled for the columns of one scan.
#[derive(Debug)]
pub(crate) struct RowFilter {
    root: Node,
    tags: Vec<TagTest>,
    has_folded: bool,
}

#[derive(Debug)]
enum Node {
    Constant(bool),
    And(Vec<Node>),
    Or(Vec<Node>),
    Compare {
        op: BinaryOp,
        left: ValueExpr,
        right: ValueExpr,
    },
    /// A test of tags, by its number: the same for all rows of a series.
    Tags(usize),
}

#[derive(Debug)]
enum TagTest {
    Filter(CompiledFilter),
    Compare { left: Arc<str>, right: Arc<str>, negated: bool },
}

impl RowFilter {
    /// Compiles `residual`, in which names are resolved. `column_of` gives the number of a field's column in
    /// the scan.
    ///
    /// # Errors
    /// A regular expression that does not compile.
    pub(crate) fn new(
        residual: &Expr,
        column_of: &mut dyn FnMut(&str) -> usize,
    ) -> Result<RowFilter> {
        let mut tags = Vec::new();
        let root = Node::compile(residual, column_of, &mut tags)?;
        let mut has_folded = false;
        let root = root.folded(&mut has_folded);
        Ok(RowFilter { root, tags, has_folded })
    }

    /// Whether a part of the condition needed no rows.
    pub(crate) fn has_folded(&self) -> bool {
        self.has_folded
    }

    /// Whether every row fulfils it.
    pub(crate) fn holds_always(&self) -> bool {
        matches!(self.root, Node::Constant(true))
    }

    /// What an engine can use to skip chunks: the comparisons of a field with a number that all rows must fulfil.
    /// `columns` are the fields of the scan.
    pub(crate) fn predicates(&self, columns: &[Arc<str>]) -> Vec<FieldPredicate> {
        let parts = match &self.root {
            Node::And(parts) => parts.as_slice(),
            other => std::slice::from_ref(other),
        };
        parts.iter().filter_map(|part| part.predicate(columns)).collect()
    }

    /// What the tags of a series decide, to be passed to [`RowFilter::rows`] with each of its blocks.
    pub(crate) fn bind(&self, key: &SeriesKey, bound: &mut Vec<bool>) {
        bound.clear();
        bound.extend(self.tags.iter().map(|test| match test {
            TagTest::Filter(filter) => filter.matches(|tag| key.tag(tag).unwrap_or("")),
            TagTest::Compare { left, right, negated } => {
                let value = |tag| key.tag(tag).unwrap_or("");
                (value(left) == value(right)) != *negated
            }
        }));
    }

    /// The rows of `block` that fulfil the condition; `None` is all of them.
    pub(crate) fn rows(&self, block: &Block, bound: &[bool]) -> Option<Vec<u64>> {
        match self.root.evaluate(block, bound) {
            Decision::Constant(true) => None,
            Decision::Constant(false) => Some(vec![0; block.len().div_ceil(64)]),
            Decision::Rows(words) => Some(words),
        }
    }
}

/// Which rows of a block fulfil a condition.
enum Decision {
    Constant(bool),
    Rows(Vec<u64>),
}

impl Node {
    fn compile(
        expr: &Expr,
        column_of: &mut dyn FnMut(&str) -> usize,
        tags: &mut Vec<TagTest>,
    ) -> Result<Node> {
        let mut all = |parts: &[Expr], tags: &mut Vec<TagTest>| {
            parts
                .iter()
                .map(|part| Node::compile(part, column_of, tags))
                .collect::<Result<Vec<_>>>()
        };
        let mut test = |test: TagTest| {
            tags.push(test);
            Node::Tags(tags.len() - 1)
        };
        Ok(match expr {
            Expr::And(parts) => Node::And(all(parts, tags)?),
            Expr::Or(parts) => Node::Or(all(parts, tags)?),
            Expr::Literal { value: Literal::Boolean(holds), .. } => Node::Constant(*holds),
            Expr::RegexMatch { expr, negated, pattern, .. } => match &**expr {
                Expr::Identifier(name) if name.cast == Some(Cast::Tag) => {
                    let op = if *negated { MatchOp::Nre } else { MatchOp::Re };
                    let filter = TagFilter::tag(name.name.as_str(), op, pattern.as_str());
                    test(TagTest::Filter(CompiledFilter::new(&filter)?))
                }
                _ => Node::Constant(false),
            },
            Expr::Binary { op, left, right, .. } if op.is_comparison() => {
                match tag_test(*op, left, right)? {
                    Some(found) => test(found),
                    None => Node::Compare {
                        op: *op,
                        left: number(left, column_of),
                        right: number(right, column_of),
                    },
                }
            }
            _ => Node::Constant(false),
        })
    }

    /// The condition with what needs no rows worked out; sets `has_folded` if there was something.
    fn folded(self, has_folded: &mut bool) -> Node {
        match self {
            Node::And(parts) => folded_parts(parts, false, Node::And, has_folded),
            Node::Or(parts) => folded_parts(parts, true, Node::Or, has_folded),
            Node::Compare { op, left, right } => {
                let (left, right) = (left.folded(has_folded), right.folded(has_folded));
                let holds = match (&left, &right) {
                    (ValueExpr::Null, _) | (_, ValueExpr::Null) => false,
                    (ValueExpr::Constant(a), ValueExpr::Constant(b)) => comparison(op)(*a, *b),
                    _ => return Node::Compare { op, left, right },
                };
                *has_folded = true;
                Node::Constant(holds)
            }
            leaf => leaf,
        }
    }

    /// What an engine can use of a condition that all rows must fulfil. What is cut to whole numbers is not what
    /// chunks know the bounds of.
    fn predicate(&self, columns: &[Arc<str>]) -> Option<FieldPredicate> {
        let Node::Compare { op, left, right } = self else { return None };
        let (column, value, op) = match (left, right) {
            (ValueExpr::Input(column), ValueExpr::Constant(value)) => (column, *value, *op),
            (ValueExpr::Constant(value), ValueExpr::Input(column)) => (column, *value, op.flip()),
            _ => return None,
        };
        let op = match op {
            BinaryOp::Eq => PredicateOp::Eq,
            BinaryOp::Lt => PredicateOp::Lt,
            BinaryOp::Le => PredicateOp::Le,
            BinaryOp::Gt => PredicateOp::Gt,
            BinaryOp::Ge => PredicateOp::Ge,
            _ => return None,
        };
        let field = Arc::clone(columns.get(*column)?);
        (!value.is_nan()).then_some(FieldPredicate { field, op, value })
    }

    fn evaluate(&self, block: &Block, bound: &[bool]) -> Decision {
        match self {
            Node::Constant(holds) => Decision::Constant(*holds),
            Node::Tags(index) => Decision::Constant(bound.get(*index).copied().unwrap_or(false)),
            Node::And(parts) => join(parts, block, bound, false, bits::intersect),
            Node::Or(parts) => join(parts, block, bound, true, bits::unite),
            Node::Compare { op, left, right } => {
                let rows = block.len();
                let left = left.evaluate(&block.columns, rows);
                compare(*op, &left, &right.evaluate(&block.columns, rows), rows)
            }
        }
    }
}

/// AND or OR (which `joined` makes) of `parts` without those that are constants: `decisive` is the one that settles
/// the whole.
fn folded_parts(
    parts: Vec<Node>,
    decisive: bool,
    joined: fn(Vec<Node>) -> Node,
    has_folded: &mut bool,
) -> Node {
    let mut left = Vec::with_capacity(parts.len());
    for part in parts {
        match part.folded(has_folded) {
            Node::Constant(holds) => {
                *has_folded = true;
                if holds == decisive {
                    return Node::Constant(decisive);
                }
            }
            part => left.push(part),
        }
    }
    if left.is_empty() {
        return Node::Constant(!decisive);
    }
    if left.len() == 1
        && let Some(only) = left.pop()
    {
        return only;
    }
    joined(left)
}

/// AND or OR of `parts`: `decisive` is the constant that settles the whole.
fn join(
    parts: &[Node],
    block: &Block,
    bound: &[bool],
    decisive: bool,
    combine: fn(&mut [u64], &[u64]),
) -> Decision {
    let mut joined: Option<Vec<u64>> = None;
    for part in parts {
        match (part.evaluate(block, bound), &mut joined) {
            (Decision::Constant(holds), _) if holds == decisive => {
                return Decision::Constant(decisive);
            }
            (Decision::Constant(_), _) => {}
            (Decision::Rows(words), Some(joined)) => combine(joined, &words),
            (Decision::Rows(words), None) => joined = Some(words),
        }
    }
    joined.map_or(Decision::Constant(!decisive), Decision::Rows)
}

/// A comparison that tags alone decide, if it is one.
fn tag_test(op: BinaryOp, left: &Expr, right: &Expr) -> Result<Option<TagTest>> {
    let negated = op == BinaryOp::Ne;
    if !negated && op != BinaryOp::Eq {
        return Ok(None);
    }
    Ok(match (tag_name(left), tag_name(right)) {
        (Some(left), Some(right)) => {
            Some(TagTest::Compare { left: left.into(), right: right.into(), negated })
        }
        (Some(name), None) | (None, Some(name)) => {
            let other = if tag_name(left).is_some() { right } else { left };
            let Expr::Literal { value: Literal::String(text), .. } = other else { return Ok(None) };
            let op = if negated { MatchOp::Ne } else { MatchOp::Eq };
            let filter = TagFilter::tag(name, op, text.as_str());
            Some(TagTest::Filter(CompiledFilter::new(&filter)?))
        }
        (None, None) => None,
    })
}

fn tag_name(expr: &Expr) -> Option<&str> {
    match expr {
        Expr::Identifier(Identifier { name, cast: Some(Cast::Tag), .. }) => Some(name),
        _ => None,
    }
}

/// The numbers of an operand; tags and texts have none.
fn number(expr: &Expr, column_of: &mut dyn FnMut(&str) -> usize) -> ValueExpr {
    match expr {
        Expr::Identifier(name) if name.cast != Some(Cast::Tag) => {
            let input = ValueExpr::Input(column_of(&name.name));
            if cuts(name) { ValueExpr::Truncate(Box::new(input)) } else { input }
        }
        Expr::Literal { value, .. } => value.as_f64().map_or(ValueExpr::Null, ValueExpr::Constant),
        Expr::Negate { expr, .. } => ValueExpr::Negate(Box::new(number(expr, column_of))),
        Expr::Binary { op, left, right, .. } => ValueExpr::Binary {
            op: *op,
            left: Box::new(number(left, column_of)),
            right: Box::new(number(right, column_of)),
        },
        Expr::Call(call) => match MathFunction::from_name(&call.name) {
            Some(function) => {
                let args = call.args.iter().map(|argument| number(argument, column_of));
                ValueExpr::Math(function, args.collect())
            }
            None => ValueExpr::Null,
        },
        _ => ValueExpr::Null,
    }
}

/// Whether a name asks for the whole numbers of a field: `f::integer`.
pub(crate) fn cuts(name: &Identifier) -> bool {
    matches!(name.cast, Some(Cast::Integer | Cast::Unsigned))
}

/// Compares row by row. A comparison with nothing does not hold, whatever the operator.
fn compare(op: BinaryOp, left: &Operand<'_>, right: &Operand<'_>, rows: usize) -> Decision {
    let holds = comparison(op);
    let words = match (left, right) {
        (Operand::Constant(None), _) | (_, Operand::Constant(None)) => {
            return Decision::Constant(false);
        }
        (Operand::Constant(Some(a)), Operand::Constant(Some(b))) => {
            return Decision::Constant(holds(*a, *b));
        }
        (Operand::Column(column), Operand::Constant(Some(b))) => {
            let mut words = compare_slice(op, &column.values, *b);
            bits::intersect(&mut words, &bits::presence_words(&column.presence, rows));
            words
        }
        (Operand::Constant(Some(a)), Operand::Column(column)) => {
            let mut words = compare_slice(op.flip(), &column.values, *a);
            bits::intersect(&mut words, &bits::presence_words(&column.presence, rows));
            words
        }
        (Operand::Column(a), Operand::Column(b)) => bits::collect(
            rows,
            |row| matches!((a.get(row), b.get(row)), (Some(a), Some(b)) if holds(a, b)),
        ),
    };
    Decision::Rows(words)
}

fn comparison(op: BinaryOp) -> fn(f64, f64) -> bool {
    match op {
        BinaryOp::Eq => |a, b| a == b,
        BinaryOp::Ne => |a, b| a != b,
        BinaryOp::Lt => |a, b| a < b,
        BinaryOp::Le => |a, b| a <= b,
        BinaryOp::Gt => |a, b| a > b,
        BinaryOp::Ge => |a, b| a >= b,
        _ => |_, _| false,
    }
}

/// One loop per operator, so that the compiler sees the comparison and vectorises it.
fn compare_slice(op: BinaryOp, values: &[f64], with: f64) -> Vec<u64> {
    fn words(values: &[f64], holds: impl Fn(f64) -> bool) -> Vec<u64> {
        let of_chunk = |chunk: &[f64]| {
            let bits = chunk.iter().enumerate();
            bits.fold(0, |word, (bit, value)| word | u64::from(holds(*value)) << bit)
        };
        values.chunks(64).map(of_chunk).collect()
    }
    match op {
        BinaryOp::Eq => words(values, |v| v == with),
        BinaryOp::Ne => words(values, |v| v != with),
        BinaryOp::Lt => words(values, |v| v < with),
        BinaryOp::Le => words(values, |v| v <= with),
        BinaryOp::Gt => words(values, |v| v > with),
        BinaryOp::Ge => words(values, |v| v >= with),
        _ => words(values, |_| false),
    }
}
