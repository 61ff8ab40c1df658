//! The statements about continuous queries: what stands in the catalogue behind them, and what is refused.

use std::sync::Arc;

use tsdb_core::{Append, MemoryStore};

use super::support::{answer_with, context, empty_store};
use crate::continuous::{CONTINUOUS_QUERY, continuous_query};
use crate::{QueryContext, QueryLimits};

fn ask_in(store: &Arc<MemoryStore>, database: Option<&str>, query: &str) -> String {
    let context = QueryContext { database, ..context() };
    answer_with(Arc::clone(store) as _, query, &context, QueryLimits::default())
}

/// The texts of the queries that there are.
fn texts(store: &MemoryStore) -> Vec<String> {
    let catalogue = store.catalogue();
    catalogue.entries.of_kind(CONTINUOUS_QUERY).map(|(_, text)| text.to_string()).collect()
}

#[test]
fn places_are_written_down_in_full() {
    let select = "SELECT mean(v) INTO a FROM m, other..n, (SELECT v FROM s.x) GROUP BY time(1m)";
    let create = format!("CREATE CONTINUOUS QUERY c ON d BEGIN {select} END");
    for (database, own) in [(Some("d"), "d"), (None, "d"), (Some("other"), "other")] {
        let store = empty_store();
        let made = "CREATE DATABASE other; CREATE RETENTION POLICY s ON d DURATION 1h; \
                    CREATE RETENTION POLICY s ON other DURATION 1h";
        assert_eq!(ask_in(&store, None, made), "");
        assert_eq!(ask_in(&store, database, &create), "");
        let due = format!(
            "CREATE CONTINUOUS QUERY c ON d BEGIN SELECT mean(v) INTO {own}.autogen.a FROM {own}.autogen.m, \
             other.autogen.n, (SELECT v FROM {own}.s.x) GROUP BY time(1m) END"
        );
        let [text] = &*texts(&store) else { panic!("{database:?}") };
        assert_eq!(*text, due);
        assert_eq!(continuous_query(text).unwrap().to_string(), due);
    }
}

#[test]
fn queries_that_cannot_be_are_refused_and_nothing_changes() {
    let store = empty_store();
    let create = |name: &str, rest: &str| {
        ask_in(
            &store,
            Some("d"),
            &format!("CREATE CONTINUOUS QUERY {name} {rest} GROUP BY time(1m) END"),
        )
    };
    assert_eq!(create("c", "ON d BEGIN SELECT max(v) INTO a FROM m"), "");
    assert_eq!(create("c", "ON d BEGIN SELECT MAX(v) INTO a FROM m"), "", "the same again");
    let cases = [
        ("c", "ON d BEGIN SELECT min(v) INTO a FROM m", "continuous query already exists"),
        ("x", "ON nope BEGIN SELECT max(v) INTO a FROM m", "database not found: nope"),
        ("x", "ON d BEGIN SELECT max(v) INTO nope..a FROM m", "database not found: nope"),
        ("x", "ON d BEGIN SELECT max(v) INTO a FROM nope.m", "retention policy not found: nope"),
        (
            "x",
            "ON d BEGIN SELECT v INTO a FROM m",
            "GROUP BY requires at least one aggregate function",
        ),
        (
            "x",
            "ON d BEGIN SELECT max(v, 1, 2) INTO a FROM m",
            "invalid number of arguments for max",
        ),
    ];
    for (name, rest, due) in cases {
        let answer = create(name, rest);
        assert!(answer.contains(due), "{rest}: {answer}");
    }
    assert_eq!(texts(&store).len(), 1);
    assert_eq!(ask_in(&store, None, "DROP CONTINUOUS QUERY nope ON d"), "");
    assert_eq!(ask_in(&store, None, "DROP CONTINUOUS QUERY c ON nope"), "");
    assert_eq!(texts(&store).len(), 1);
    let shown = ask_in(&store, None, "SHOW CONTINUOUS QUERIES");
    assert!(shown.contains("d") && shown.contains("SELECT max(v) INTO d.autogen.a"), "{shown}");
    assert_eq!(ask_in(&store, None, "DROP CONTINUOUS QUERY c ON d"), "");
    assert_eq!(texts(&store), [""; 0]);
}
