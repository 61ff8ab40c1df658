//! The examples in `docs/tql.md`: each is a query, and has an answer.

use std::sync::Arc;

use super::support::{DATABASE, NOW_NS, answer_with, context, store_of};
use crate::{QueryContext, QueryLimits};
use tsdb_core::time::MINUTE;

const TEXT: &str = include_str!("../../../../docs/tql.md");

const ROWS: &str = "
    cpu,host=web-1 usage_user=91,usage=1 0
    cpu,host=web-1 usage_user=93,usage=2 60000000000
    cpu,host=web-2 usage_user=50,usage=3 120000000000
    cpu,host=web-2 usage_user=52,usage=3 180000000000
    net,host=web-1 bytes_recv=100 0
    net,host=web-1 bytes_recv=160 60000000000
    net,host=web-1 bytes_recv=20 120000000000
";

/// The blocks of the page that are marked as queries.
fn examples() -> impl Iterator<Item = &'static str> {
    blocks("```sql\n")
}

/// The blocks of the page that begin so.
fn blocks(fence: &str) -> impl Iterator<Item = &'static str> {
    TEXT.split(fence).skip(1).map(|block| block.split("```").next().unwrap())
}

#[test]
fn examples_that_change_something_are_carried_out() {
    let store = store_of(ROWS);
    let mut count = 0;
    for block in blocks("```sql changes\n") {
        let query = block.replace("mydb", DATABASE);
        let answer =
            answer_with(Arc::clone(&store) as _, &query, &context(), QueryLimits::default());
        assert!(!answer.contains("error") && answer.contains("cpu_hours"), "{query}\n{answer}");
        count += 1;
    }
    assert_eq!(count, 1, "examples of continuous queries");
}

#[test]
fn examples_that_alter_the_store_are_carried_out_one_after_the_other() {
    let store = store_of(ROWS);
    let mut count = 0;
    for statement in blocks("```sql alters\n").flat_map(|block| block.split_inclusive(';')) {
        if statement.trim().is_empty() {
            continue;
        }
        let limits = QueryLimits::default();
        let answer = answer_with(Arc::clone(&store) as _, statement, &context(), limits);
        assert!(!answer.contains("error"), "{statement}\n{answer}");
        count += 1;
    }
    assert_eq!(count, 8, "examples of databases, policies and deletions");
    let left = answer_with(store as _, "SHOW MEASUREMENTS", &context(), QueryLimits::default());
    assert!(left.contains("cpu") && !left.contains("net"), "{left}");
}

#[test]
fn examples_for_the_server_are_understood() {
    let mut count = 0;
    for block in blocks("```sql parsed\n") {
        count += tsdb_ql::parse(block).unwrap_or_else(|error| panic!("{block}\n{error}")).len();
    }
    assert_eq!(count, 15, "examples of what the server answers by itself");
}

#[test]
fn examples_of_the_documentation_have_answers() {
    let store = store_of(ROWS);
    let context = QueryContext { now_ns: NOW_NS + 10 * MINUTE, ..context() };
    let mut count = 0;
    for query in examples().flat_map(|block| block.split_inclusive(';')) {
        if query.trim().is_empty() {
            continue;
        }
        let answer = answer_with(Arc::clone(&store) as _, query, &context, QueryLimits::default());
        assert!(answer.starts_with('#'), "{query}\n{answer}");
        count += 1;
    }
    assert!(count >= 12, "{count} examples");
}

#[test]
fn the_table_of_functions_is_complete() {
    let math = tsdb_ql::MathFunction::names();
    for name in tsdb_ql::Function::names().into_iter().chain(math) {
        let is_explained = |argument| TEXT.contains(&format!("`{name}({argument}"));
        assert!(["f", "x", "y"].into_iter().any(is_explained), "docs/tql.md: {name}()");
    }
}
