//! The names of result columns, which dashboards refer to: InfluxQL's rules.

use std::collections::HashMap;

use crate::ast::{Expr, Field};

impl Field {
    /// The name of the column: its alias, else the function, the name, or the names inside an
    /// expression joined by `_` (`mean_max` for `mean(a) - max(b)`). May be empty, for an
    /// expression without names.
    #[must_use]
    pub fn output_name(&self) -> String {
        if let Some(alias) = &self.alias {
            return alias.clone();
        }
        let mut names = Vec::new();
        collect_names(&self.expr, &mut names);
        names.join("_")
    }
}

fn collect_names<'e>(expr: &'e Expr, names: &mut Vec<&'e str>) {
    match expr {
        Expr::Identifier(identifier) => names.push(&identifier.name),
        Expr::Call(call) => names.push(&call.name),
        Expr::Negate { expr, .. } | Expr::RegexMatch { expr, .. } => collect_names(expr, names),
        Expr::Binary { left, right, .. } => {
            collect_names(left, names);
            collect_names(right, names);
        }
        Expr::And(parts) | Expr::Or(parts) => {
            parts.iter().for_each(|part| collect_names(part, names));
        }
        Expr::Literal { .. } | Expr::Wildcard { .. } | Expr::Regex { .. } => {}
    }
}

/// Makes the names of a result's columns distinct: `time` is taken by the first column, aliases
/// stay as they are, and of other equal names the later ones get `_1`, `_2` and so on.
///
/// `columns` holds a name and whether it is an alias; wildcards are expanded before. The result
/// has the same order and no `time` in front. Linear, but for names that collide with numbered
/// ones.
#[must_use]
pub fn distinct_column_names(columns: &[(String, bool)]) -> Vec<String> {
    let mut uses: HashMap<String, usize> = HashMap::from([("time".to_owned(), 1)]);
    for (name, is_alias) in columns {
        if *is_alias {
            uses.insert(name.clone(), 1);
        }
    }
    let mut names = Vec::with_capacity(columns.len());
    for (name, is_alias) in columns {
        if *is_alias {
            names.push(name.clone());
            continue;
        }
        let mut distinct = name.clone();
        if let Some(mut number) = uses.get(name).copied() {
            distinct = loop {
                let numbered = format!("{name}_{number}");
                number += 1;
                if !uses.contains_key(&numbered) {
                    break numbered;
                }
            };
            uses.insert(name.clone(), number);
        }
        uses.insert(distinct.clone(), 1);
        names.push(distinct);
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ast::Statement, parse};

    #[test]
    fn columns_are_named_as_influxql_names_them() {
        let check = |fields: &str, expected: &[&str]| {
            let statements = parse(&format!("SELECT {fields} FROM m")).unwrap();
            let [Statement::Select(select)] = statements.as_slice() else { panic!("{fields}") };
            let columns: Vec<(String, bool)> =
                select.fields.iter().map(|f| (f.output_name(), f.alias.is_some())).collect();
            assert_eq!(distinct_column_names(&columns), expected, "{fields}");
        };
        check("mean(a), mean(b), MEAN(c)", &["mean", "mean_1", "mean_2"]);
        check("a, b AS a, a", &["a_1", "a", "a_2"]);
        check("mean(a) - max(b), a * 2, a + b", &["mean_max", "a", "a_b"]);
        check("mean_1, mean(a), mean(b)", &["mean_1", "mean", "mean_2"]);
        check("b AS \"x y\", -a", &["x y", "a"]);
    }
}
