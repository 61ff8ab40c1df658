//! Continuous queries: a SELECT … INTO that a server runs again and again, each time for the windows that have ended
//! meanwhile. When that is, is the business of who runs it.

use super::{BinaryOp, Expr, Identifier, Literal, Select, Span, Window};

/// `CREATE CONTINUOUS QUERY`
#[derive(Debug, Clone, PartialEq)]
pub struct ContinuousQuery {
    /// Its name, one of a kind in its database.
    pub name: String,
    /// The database that it belongs to.
    pub database: String,
    /// `RESAMPLE EVERY`: how often it runs, in ns; absent means once per window.
    pub every_ns: Option<i64>,
    /// `RESAMPLE FOR`: how far each run looks back, in ns; absent means the window that has ended.
    pub for_ns: Option<i64>,
    /// What it runs, with INTO and GROUP BY time(…).
    pub select: Box<Select>,
}

impl ContinuousQuery {
    /// The window of its GROUP BY. (The grammar takes none without one.)
    #[must_use]
    pub fn window(&self) -> Option<&Window> {
        self.select.window()
    }

    /// Its SELECT for the rows from `start_ns` to before `end_ns`, in ns since 1970, whatever its WHERE says of time.
    #[must_use]
    pub fn select_between(&self, start_ns: i64, end_ns: i64) -> Select {
        let bound = |op, ns| {
            let time = Identifier { name: "time".to_owned(), cast: None, span: Span::default() };
            let ns = Expr::Literal { value: Literal::Integer(ns), span: Span::default() };
            Expr::binary(Expr::Identifier(time), op, ns, Span::default())
        };
        let mut condition = Expr::and(bound(BinaryOp::Ge, start_ns), bound(BinaryOp::Lt, end_ns));
        if let Some(own) = self.select.condition.clone().and_then(without_time) {
            condition = Expr::and(own, condition);
        }
        Select { condition: Some(condition), ..Select::clone(&self.select) }
    }
}

/// What is left of a condition without its bounds of time, which stand in an AND or alone.
fn without_time(condition: Expr) -> Option<Expr> {
    match condition {
        Expr::And(parts) => parts.into_iter().filter_map(without_time).reduce(Expr::and),
        Expr::Binary { ref left, ref right, .. } if is_time(left) || is_time(right) => None,
        other => Some(other),
    }
}

fn is_time(expr: &Expr) -> bool {
    matches!(expr, Expr::Identifier(name) if name.is_time())
}
