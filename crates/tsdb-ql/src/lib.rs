//! TQL, the query language: a superset of InfluxQL's SELECT and SHOW, with the statements that
//! manage databases. From text to a checked tree, and from a WHERE clause to what an engine can
//! use.
//!
//! ```
//! use tsdb_ql::{Statement, check, parse};
//!
//! let query = "SELECT mean(usage) FROM cpu WHERE host = 'a' GROUP BY time(1m)";
//! for statement in parse(query)? {
//!     check(&statement)?;
//!     assert!(matches!(statement, Statement::Select(_)));
//! }
//! let errors = parse("SELECT FROM cpu").unwrap_err().to_string();
//! assert!(errors.starts_with(
//!     "error parsing query: found FROM, expected identifier, string, number, bool at line 1, char 8"
//! ));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The way of a query: [`parse`] (bounds, tokens, grammar) gives [`Statement`]s; [`check`] judges
//! one of them without data; [`split_condition`] takes its WHERE apart when the data says what is
//! a field. `now()` stays in the tree until then, so a tree means the same whenever it runs.
//!
//! Invariants: any text gives a tree or errors and never a panic; the stack that a tree takes is
//! bounded ([`DEPTH_MAX`]); a printed tree parses to the same tree, unless it holds a [`Secret`], which is
//! never printed. The crate knows nothing of
//! data, reads no clock and no file.

mod actions;
mod ast;
mod check;
mod column;
mod condition;
mod constant;
mod continuous;
mod depth;
mod diagnostic;
mod error;
mod expected;
mod function;
mod lexer;
mod limits;
mod math;
mod parameter;
mod parser;
mod print;
mod secret;
mod time_text;
mod token;

pub use ast::{
    AccountStatement, BinaryOp, Call, Cast, ContinuousQuery, Counted, Dimension, Expr, Field, Fill,
    Identifier, KeyFilter, Literal, Measurement, MeasurementName, Order, Page, PolicyOptions,
    Privilege, RetentionDuration, Secret, Select, ShowCardinality, ShowScope, Source, Span,
    Statement, Target, TargetName, TokenScope, Window, WindowOffset, Zone,
};
pub use check::check;
pub use column::distinct_column_names;
pub use condition::{Condition, ConditionContext, split_condition};
pub use diagnostic::{CheckErrors, Diagnostic, ParseErrors, Position};
pub use error::Error;
pub use function::{Function, FunctionKind, MoreArguments, most_similar};
pub use limits::{DEPTH_MAX, QUERY_BYTES_MAX};
pub use math::MathFunction;
pub use parameter::{Parameter, Parameters};
pub use parser::{parse, parse_with};
pub use secret::redacted;
pub use time_text::time_zone;
