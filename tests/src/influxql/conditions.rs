//! Questions about conditions: arithmetic of fields, tags, `AND` and `OR`.

use super::{TIMES, pick};
use crate::seed::Seed;

/// A field or a number, or an operation of two. No constant is 0, by which nothing is divided here (D1).
fn number(seed: &mut Seed, depth: u64) -> String {
    if depth == 0 || seed.within(0..5) < 2 {
        return pick(seed, &["f", "g", "f", "g", "1", "2.5", "-3"]).to_owned();
    }
    let operator = pick(seed, &["+", "-", "*", "/", "%"]);
    format!("({} {operator} {})", number(seed, depth - 1), number(seed, depth - 1))
}

fn condition(seed: &mut Seed, depth: u64) -> String {
    if depth > 0 && seed.within(0..5) < 3 {
        let operator = pick(seed, &["AND", "OR"]);
        return format!(
            "({} {operator} {})",
            condition(seed, depth - 1),
            condition(seed, depth - 1)
        );
    }
    match seed.within(0..9) {
        0..4 => {
            let operator = pick(seed, &["=", "!=", "<>", "<", "<=", ">", ">="]);
            format!("{} {operator} {}", number(seed, 1), number(seed, 1))
        }
        4..6 => {
            let (tag, operator) = (pick(seed, &["host", "dc", "none"]), pick(seed, &["=", "!="]));
            format!("{tag} {operator} '{}'", pick(seed, &["a", "b", "x", ""]))
        }
        6..8 => {
            let (tag, operator) = (pick(seed, &["host", "dc"]), pick(seed, &["=~", "!~"]));
            format!("{tag} {operator} /{}/", pick(seed, &["a", "[ab]", "^x$", "^$", "."]))
        }
        _ => pick(seed, &["f > 0", "g < 0", "f = g", "f != g"]).to_owned(),
    }
}

/// Rows that fulfil a condition, and what is made of them.
pub(super) fn conditions(seed: &mut Seed) -> String {
    let columns = pick(
        seed,
        &[
            "f",
            "f, host",
            "*",
            "count(f)",
            "sum(f), max(g)",
            "top(f, 2)",
            "difference(f)",
            "f + g",
            "-f",
            "f * g - 1",
            "f / g",
            "f % g",
            "max(f) - min(f)",
        ],
    );
    let condition = condition(seed, 2);
    let range = match seed.within(0..3) {
        0 => format!(" AND time >= {}", seed.within(TIMES)),
        _ => String::new(),
    };
    let by = pick(seed, &["", "", " GROUP BY host", " GROUP BY dc"]);
    format!("SELECT {columns} FROM m WHERE {condition}{range}{by}")
}
