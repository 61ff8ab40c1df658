//! The columns of a SELECT over one measurement: names become numbers of columns, calls and streams, which are
//! collected, and what becomes of the rows follows from what there is.

use std::sync::Arc;

use tsdb_core::time;
use tsdb_ql::{Call, Cast, Expr, Function as Named, Identifier};

use super::Work;
use super::build::has;
use super::functions::{
    Innermost, aggregation, contains_call, contains_name, contains_stream, count, math, named,
    steps, unit,
};
use crate::op::choose_many::{ManyPlan, Rank};
use crate::op::expr::ValueExpr;
use crate::op::filter::cuts;
use crate::op::fold::CallPlan;
use crate::op::rows::{Output, RowsPlan};
use crate::op::streams::{Source, StreamPlan, StreamsPlan, Take};
use crate::{Error, Result};

/// What a name stands for in one measurement.
enum Meaning<'n> {
    Field(&'n str),
    Tag(&'n str),
    /// A cast to something that the name is not.
    Nothing,
}

/// Turns names into numbers of columns, calls and streams, which it collects.
pub(super) struct Compiler<'c> {
    known: &'c [Arc<str>],
    /// Width of the windows in ns.
    every: Option<i64>,
    /// What chance begins with.
    seed: u64,
    columns: Vec<Arc<str>>,
    /// Columns of the scan whose points are kept, and whether they are cut to whole numbers.
    points: Vec<(usize, bool)>,
    calls: Vec<CallPlan>,
    streams: Vec<StreamPlan>,
    /// Whether calls are the sources of streams.
    has_streams: bool,
    /// Whether a part of an expression was worked out.
    has_folded: bool,
}

impl<'c> Compiler<'c> {
    /// For a measurement with the fields `known`, sorted, in windows of `every` ns if there are any, at the time
    /// `now_ns`.
    pub(super) fn new(known: &'c [Arc<str>], every: Option<i64>, now_ns: i64) -> Compiler<'c> {
        Compiler {
            known,
            every,
            seed: now_ns.cast_unsigned(),
            columns: Vec::new(),
            points: Vec::new(),
            calls: Vec::new(),
            streams: Vec::new(),
            has_streams: false,
            has_folded: false,
        }
    }

    /// Whether one of the columns is a field.
    pub(super) fn has_a_field(&self) -> bool {
        self.columns.iter().any(|name| has(self.known, name))
    }

    /// Whether a part of an expression needed no rows.
    pub(super) fn has_folded(&self) -> bool {
        self.has_folded
    }

    /// The columns, in the order of their numbers.
    pub(super) fn into_columns(self) -> Vec<Arc<str>> {
        self.columns
    }

    /// What becomes of the rows, if `exprs` are the columns.
    pub(super) fn work(&mut self, exprs: &[Expr]) -> Result<Work> {
        let found: Vec<&Call> = exprs.iter().flat_map(Expr::calls_of_rows).collect();
        if !exprs.iter().any(contains_call) {
            let outputs = exprs.iter().map(|expr| self.output(expr, 0)).collect();
            let selected = self.columns.len();
            return Ok(Work::Rows(RowsPlan { outputs, selected, per_series: None }));
        }
        if let Some((first, rest)) = found.split_first()
            && rest.iter().all(|call| call == first)
            && let Some(many) = self.many(first)
        {
            let outputs = exprs.iter().map(|expr| self.output(expr, 1)).collect();
            return Ok(Work::ChooseMany { many, outputs });
        }
        if exprs.iter().any(contains_name) {
            // The calls come first, so that the selector's column has its number.
            found.iter().for_each(|call| {
                self.call(call);
            });
            let outputs = exprs.iter().map(|expr| self.output(expr, 1)).collect();
            return match self.calls.as_slice() {
                [call] => Ok(Work::Choose { call: call.clone(), outputs }),
                _ => Err(several_selectors()),
            };
        }
        if exprs.iter().any(contains_stream) {
            return Ok(Work::Streams(self.streams(exprs, &found)));
        }
        let outputs = exprs.iter().map(|expr| self.number(expr, 0)).collect();
        Ok(Work::Fold { calls: self.calls.clone(), outputs })
    }

    fn streams(&mut self, exprs: &[Expr], found: &[&Call]) -> StreamsPlan {
        self.has_streams = true;
        // Columns whose points are kept come first, so that a row counts if one of them has a value.
        found.iter().for_each(|call| {
            self.kept(call);
        });
        let selected = self.columns.len();
        let outputs = exprs.iter().map(|expr| self.number(expr, 0)).collect();
        let points = self.points.iter().map(|(column, cut)| {
            let input = ValueExpr::Input(*column);
            Output::Value(if *cut { ValueExpr::Truncate(Box::new(input)) } else { input })
        });
        StreamsPlan {
            rows: RowsPlan { outputs: points.collect(), selected, per_series: None },
            calls: std::mem::take(&mut self.calls),
            streams: std::mem::take(&mut self.streams),
            outputs,
        }
    }

    /// The rows that `top`, `bottom` or `sample` asks for; none for a call of another function.
    fn many(&mut self, call: &Call) -> Option<ManyPlan> {
        let rank = match named(call)? {
            Named::Top => Rank::Top,
            Named::Bottom => Rank::Bottom,
            Named::Sample => Rank::Sample(self.seed),
            _ => return None,
        };
        let last = call.args.len().checked_sub(1)?;
        let tags = call.args.get(1..last)?.iter().filter_map(|tag| match tag {
            Expr::Identifier(name) => Some(Arc::from(name.name.as_str())),
            _ => None,
        });
        Some(ManyPlan {
            rank,
            column: self.argument(call)?,
            cut: is_cut(call),
            count: count(call, last)?,
            tags: tags.collect(),
        })
    }

    fn meaning<'n>(&self, identifier: &'n Identifier) -> Meaning<'n> {
        let name = identifier.name.as_str();
        let is_field = has(self.known, name);
        match identifier.cast {
            Some(Cast::Tag) => Meaning::Tag(name),
            None if !is_field => Meaning::Tag(name),
            Some(Cast::String) => Meaning::Nothing,
            _ if is_field => Meaning::Field(name),
            _ => Meaning::Nothing,
        }
    }

    /// Number of a field's column in the scan.
    pub(super) fn column(&mut self, name: &str) -> usize {
        let found = self.columns.iter().position(|column| **column == *name);
        found.unwrap_or_else(|| {
            self.columns.push(name.into());
            self.columns.len() - 1
        })
    }

    /// Number of the column of a call's argument.
    fn argument(&mut self, call: &Call) -> Option<usize> {
        match call.args.first()? {
            Expr::Identifier(name) => Some(self.field(name)),
            // Of `count(distinct(f))`.
            Expr::Call(inner) => self.argument(inner),
            _ => None,
        }
    }

    /// Number of a field's column; of a tag or an unknown name it is a column that no row has.
    fn field(&mut self, name: &Identifier) -> usize {
        match self.meaning(name) {
            Meaning::Field(name) | Meaning::Tag(name) => self.column(name),
            Meaning::Nothing => self.column(&name.name),
        }
    }

    /// Number of a call among the distinct ones, or of a stream among those.
    fn call(&mut self, call: &Call) -> Option<usize> {
        if self.has_streams {
            let stream = self.stream(call)?;
            return Some(number_of(&mut self.streams, stream));
        }
        self.fold(call, 0)
    }

    /// Number of a call whose answers are folded, with windows beyond those that are shown.
    fn fold(&mut self, call: &Call, lead: usize) -> Option<usize> {
        let (function, column) = (aggregation(call)?, self.argument(call)?);
        let plan = CallPlan { function, column, cut: is_cut(call), lead };
        Some(number_of(&mut self.calls, plan))
    }

    /// The number of the column whose points a call goes along, among those that are kept; none if it is of
    /// another kind.
    fn kept(&mut self, call: &Call) -> Option<usize> {
        let name = match steps(call, self.every).0 {
            Innermost::Name(name) => name,
            Innermost::Call(inner) => match (named(inner)?, inner.args.first()?) {
                (Named::Integral | Named::Sample, Expr::Identifier(name)) => name,
                _ => return None,
            },
            Innermost::Nothing => return None,
        };
        let column = self.field(name);
        Some(number_of(&mut self.points, (column, cuts(name))))
    }

    fn stream(&mut self, call: &Call) -> Option<StreamPlan> {
        let (innermost, steps) = steps(call, self.every);
        let lead = steps.iter().filter(|step| step.takes_window_before()).count();
        let source = match innermost {
            Innermost::Name(_) => Source::Points(self.kept(call)?, Take::All),
            Innermost::Nothing => return None,
            Innermost::Call(inner) => match named(inner)? {
                Named::Integral => {
                    let unit_ns = unit(inner).unwrap_or(time::SECOND);
                    Source::Points(self.kept(call)?, Take::Integral { unit_ns })
                }
                Named::Sample => {
                    let take = Take::Sample { count: count(inner, 1)?, seed: self.seed };
                    Source::Points(self.kept(call)?, take)
                }
                Named::Distinct => Source::Distinct(self.fold(inner, lead)?),
                _ => Source::Call(self.fold(inner, lead)?),
            },
        };
        Some(StreamPlan { source, steps })
    }

    /// A column of the answer; columns of the scan are inputs from number `first` on.
    fn output(&mut self, expr: &Expr, first: usize) -> Output {
        if let Expr::Identifier(identifier) = expr
            && let Meaning::Tag(name) = self.meaning(identifier)
        {
            return Output::Tag(name.into());
        }
        Output::Value(self.number(expr, first))
    }

    /// The numbers of an expression. Calls are inputs by their number.
    fn number(&mut self, expr: &Expr, first: usize) -> ValueExpr {
        let unfolded = self.unfolded(expr, first);
        unfolded.folded(&mut self.has_folded)
    }

    /// As [`Compiler::number`], with nothing worked out.
    fn unfolded(&mut self, expr: &Expr, first: usize) -> ValueExpr {
        match expr {
            Expr::Identifier(identifier) => match self.meaning(identifier) {
                Meaning::Field(name) => {
                    let input = ValueExpr::Input(first + self.column(name));
                    if cuts(identifier) { ValueExpr::Truncate(Box::new(input)) } else { input }
                }
                Meaning::Tag(_) | Meaning::Nothing => ValueExpr::Null,
            },
            Expr::Call(call) => match math(call) {
                Some(function) => {
                    let args = call.args.iter().map(|argument| self.unfolded(argument, first));
                    ValueExpr::Math(function, args.collect())
                }
                // The one call beside columns is input 0.
                None if first > 0 => ValueExpr::Input(0),
                None => self.call(call).map_or(ValueExpr::Null, ValueExpr::Input),
            },
            Expr::Literal { value, .. } => {
                value.as_f64().map_or(ValueExpr::Null, ValueExpr::Constant)
            }
            Expr::Negate { expr, .. } => ValueExpr::Negate(Box::new(self.unfolded(expr, first))),
            Expr::Binary { op, left, right, .. } => ValueExpr::Binary {
                op: *op,
                left: Box::new(self.unfolded(left, first)),
                right: Box::new(self.unfolded(right, first)),
            },
            _ => ValueExpr::Null,
        }
    }
}

fn several_selectors() -> Error {
    Error::Unsupported {
        what: "more than one selector beside plain columns",
        remedy: "ask with one query for each selector",
    }
}

/// Whether the argument of a call is cut to whole numbers.
fn is_cut(call: &Call) -> bool {
    match call.args.first() {
        Some(Expr::Identifier(name)) => cuts(name),
        Some(Expr::Call(inner)) => is_cut(inner),
        _ => false,
    }
}

/// Number of `plan` in `plans`, at whose end it is put if it is not there.
fn number_of<T: PartialEq>(plans: &mut Vec<T>, plan: T) -> usize {
    let found = plans.iter().position(|known| *known == plan);
    found.unwrap_or_else(|| {
        plans.push(plan);
        plans.len() - 1
    })
}
