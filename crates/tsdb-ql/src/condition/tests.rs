//! WHERE clauses in parts, and the law that the parts together mean the whole.

use std::collections::BTreeMap;

use proptest::{collection::vec, prelude::*};
use tsdb_core::{matcher::CompiledFilter, time::MAX_TIME};

use super::*;
use crate::{Statement, parse, time_zone};

const NOW: i64 = 1_000_000_000_000_000_000;
const HOUR: i64 = 3_600_000_000_000;

fn where_clause(text: &str) -> Expr {
    let statements = parse(&format!("DELETE WHERE {text}")).unwrap_or_else(|e| panic!("{e}"));
    match statements.into_iter().next() {
        Some(Statement::Delete { condition: Some(condition), .. }) => condition,
        other => panic!("{other:?}"),
    }
}

fn split(text: &str) -> Result<Condition, Diagnostic> {
    let is_field = |name: &str| matches!(name, "usage" | "idle" | "both");
    let context = ConditionContext { now_ns: NOW, zone: None, is_field: &is_field };
    split_condition(&where_clause(text), &context)
}

#[test]
fn time_conditions_become_a_range() {
    let check = |text: &str, start: i64, end: i64| {
        let condition = split(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(condition.time, TimeRange { start, end }, "{text}");
        assert_eq!((condition.tags, condition.residual), (None, None), "{text}");
    };
    let TimeRange { start: min, end: max } = TimeRange::all();
    check("time > 5", 6, max);
    check("time >= 5", 5, max);
    check("time < 5", min, 5);
    check("time <= 5", min, 6);
    check("time = 5", 5, 6);
    check("5 < time", 6, max);
    check("TIME >= 5 AND \"time\" < 9", 5, 9);
    check("time > 9 AND time < 5", 0, 0);
    check("time >= '1970-01-01T00:00:01Z'", 1_000_000_000, max);
    check("time >= '1970-01-01 00:00:01.5'", 1_500_000_000, max);
    check("time < '1970-01-02'", min, 24 * HOUR);
    check("time >= 1451606400s", 1_451_606_400_000_000_000, max);
    check("time >= 1.5", 1, max);
    check("time > now() - 1h", NOW - HOUR + 1, max);
    check("time > now() - 2 * 1h + 30m", NOW - 90 * 60_000_000_000 + 1, max);
    check("time < '1970-01-01' + 1h", min, HOUR);
    check("time < now()", min, NOW);
    check("time > -1h", -HOUR + 1, max);
    check("(time > 1) AND (time < 9 AND (time < 5))", 2, 5);
    // Bounds beyond the valid times are cut to them.
    check("time > -9223372036854775808", min, max);
    check("time <= 9223372036854775807", min, max);
    check("time >= 9223372036854775807", 0, 0);
    check("time < 18446744073709551615", min, max);
    check("time >= '9000-01-01'", 0, 0);
    check(&format!("time <= {MAX_TIME}"), min, max);
}

#[test]
fn times_without_offset_are_of_the_zone() {
    let berlin = time_zone("Europe/Berlin").unwrap();
    let no_fields = |_: &str| false;
    let context = ConditionContext { now_ns: NOW, zone: Some(&berlin), is_field: &no_fields };
    let start = |text| split_condition(&where_clause(text), &context).unwrap().time.start;
    assert_eq!(start("time >= '1970-01-01 01:00:00'"), 0);
    assert_eq!(start("time >= '1970-01-01 01:00:00' + 1h"), HOUR);
    assert_eq!(start("time >= '1970-01-01T01:00:00Z'"), HOUR);
}

#[test]
fn tags_go_to_the_index_and_the_rest_to_the_rows() {
    // Filter and residual as they print; `-` for none.
    let check = |text: &str, tags: &str, residual: &str| {
        let condition = split(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        let show = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
        let found = (
            show(condition.tags.map(|tags| tags.to_string())),
            show(condition.residual.map(|residual| residual.to_string())),
        );
        assert_eq!(found, (tags.to_owned(), residual.to_owned()), "{text}");
    };
    check("host = 'a'", "\"host\" = 'a'", "-");
    check("'a' != host", "\"host\" != 'a'", "-");
    check("host =~ /a/ AND dc !~ /b/", "\"host\" =~ /a/ AND \"dc\" !~ /b/", "-");
    check(
        "host = 'a' AND (dc = 'b' OR dc = 'c')",
        "\"host\" = 'a' AND (\"dc\" = 'b' OR \"dc\" = 'c')",
        "-",
    );
    check("usage > 5", "-", "usage::field > 5");
    check("5 < usage", "-", "usage::field > 5");
    check("unknown > 5", "-", "unknown::field > 5");
    check("usage + idle * 2 > 100 - 1", "-", "usage::field + idle::field * 2 > 99");
    check("-usage < -2", "-", "-usage::field < -2");
    check("usage > idle", "-", "usage::field > idle::field");
    check("up = true", "-", "up::field = 1");
    check("elapsed > 5m", "-", "elapsed::field > 300000000000");
    check("usage::float > 5", "-", "usage::float > 5");
    check("host = 'a' AND usage > 5", "\"host\" = 'a'", "usage::field > 5");
    // Under an OR the rows decide, and the index still knows which series can have any.
    check(
        "(host = 'a' AND usage > 5) OR (host = 'b' AND usage > 9)",
        "\"host\" = 'a' OR \"host\" = 'b'",
        "host::tag = 'a' AND usage::field > 5 OR host::tag = 'b' AND usage::field > 9",
    );
    check("host = 'a' OR usage > 5", "-", "host::tag = 'a' OR usage::field > 5");
    check("host =~ /a/ OR usage > 5", "-", "host::tag =~ /a/ OR usage::field > 5");
    // A name that is a field is no tag, and there are no fields of texts.
    check("usage = 'a'", "FALSE", "-");
    check("usage != 'a'", "FALSE", "-");
    check("usage =~ /a/", "FALSE", "-");
    check("both::tag = 'a'", "\"both\" = 'a'", "-");
    check("host::field = 'a'", "FALSE", "-");
    check("host::tag = 5", "FALSE", "-");
    check("host = dc", "-", "host::tag = dc::tag");
    check("usage = 'a' OR host = 'b'", "\"host\" = 'b'", "-");
    check("usage = 'a' OR idle > 5", "-", "idle::field > 5");
    // Constants.
    check("true", "-", "-");
    check("false", "FALSE", "-");
    check("1 + 1 = 2 AND host = 'a'", "\"host\" = 'a'", "-");
    check("1 > 2 AND usage > 5", "FALSE", "-");
    check("true OR usage > 5", "-", "-");
    check("'a' = 'a'", "-", "-");
    check("now() > '1970-01-01' + 1h", "-", "-");
    // Time stays out of the residual.
    check("time > 5 AND (usage > 5 OR host = 'a')", "-", "usage::field > 5 OR host::tag = 'a'");
}

#[test]
fn what_is_no_condition_is_refused() {
    let check = |text: &str, expected: &str| {
        assert_eq!(split(text).unwrap_err().to_string(), expected, "{text}");
    };
    check("time > 5 OR host = 'a'", "time conditions cannot be combined with OR");
    check("usage > 1 OR (host = 'a' AND time > 5)", "time conditions cannot be combined with OR");
    check("time != 5", "invalid time comparison operator: !=");
    check("time =~ /5/", "invalid time comparison operator: =~");
    check("time > 'yesterday'", "invalid timestamp string: 'yesterday'");
    check("time > true", "invalid operation: time and true are not compatible");
    check("time > usage", "invalid operation: time and usage are not compatible");
    check("time > time", "invalid operation: time and time are not compatible");
    check("time + 1h > 5", "time must stand alone on one side of a comparison");
    check("usage", "invalid condition expression: usage");
    check("usage + 1", "invalid condition expression: usage + 1");
    check("'a'", "invalid condition expression: 'a'");
    check("usage = 1 = 1", "invalid condition expression: usage = 1");
    check("host > 'a'", "invalid comparison of a tag or string: >");
    check("host < dc", "invalid comparison of a tag or string: <");
    check("usage + 1 =~ /a/", "invalid condition expression: usage + 1");
    check("usage + host::tag > 1", "invalid condition expression: host::tag");
    check("usage + 'a' > idle", "invalid condition expression: 'a'");
    check("max(usage) > 1", "invalid function call in condition: max()");
    check("max(usage)", "invalid function call in condition: max()");
    check("time > 1h / 0", "the value of 1h / 0 cannot be computed");
    check("time > now() + now()", "the value of now() + now() cannot be computed");
    check("time > 'x' + 1h", "the value of 'x' + 1h cannot be computed");
    check("time > 1h + 1", "the value of 1h + 1 cannot be computed");
    check("* > 1", "invalid condition expression: *");
    check("1 = 'a'", "invalid condition expression: 1 = 'a'");
}

/// A row to ask conditions of.
#[derive(Debug, Clone)]
struct Row {
    time: i64,
    tags: BTreeMap<&'static str, String>,
    fields: BTreeMap<&'static str, f64>,
}

/// The definition of a condition over names whose kinds are known: tags `host` and `dc`, fields
/// `usage` and `idle`; time only beside AND.
fn meaning(expr: &Expr, row: &Row) -> bool {
    match expr {
        Expr::And(parts) => parts.iter().all(|part| meaning(part, row)),
        Expr::Or(parts) => parts.iter().any(|part| meaning(part, row)),
        Expr::RegexMatch { expr, negated, pattern, .. } => {
            let Expr::Identifier(name) = expr.as_ref() else { panic!() };
            let tag = row.tags.get(name.name.as_str()).map_or("", String::as_str);
            tsdb_core::matcher::Pattern::new(pattern).unwrap().is_match(tag) != *negated
        }
        Expr::Binary { op, left, right, .. } => {
            let Expr::Identifier(name) = left.as_ref() else { panic!() };
            let Expr::Literal { value, .. } = right.as_ref() else { panic!() };
            let ordering = match value {
                Literal::String(text) => {
                    let tag = row.tags.get(name.name.as_str()).map_or("", String::as_str);
                    Some(tag.cmp(text.as_str()))
                }
                Literal::Integer(bound) if name.is_time() => Some(row.time.cmp(bound)),
                number => row
                    .fields
                    .get(name.name.as_str())
                    .and_then(|value| value.partial_cmp(&number.as_f64().unwrap())),
            };
            ordering.is_some_and(|ordering| match op {
                BinaryOp::Eq => ordering.is_eq(),
                BinaryOp::Ne => ordering.is_ne(),
                BinaryOp::Lt => ordering.is_lt(),
                BinaryOp::Ge => ordering.is_ge(),
                other => panic!("{other:?}"),
            })
        }
        other => panic!("{other}"),
    }
}

fn any_row() -> impl Strategy<Value = Row> {
    let tags = prop::collection::btree_map(prop::sample::select(vec!["host", "dc"]), "[ab]?", 0..3);
    let fields = prop::collection::btree_map(
        prop::sample::select(vec!["usage", "idle"]),
        (0..4).prop_map(f64::from),
        0..3,
    );
    (0_i64..6, tags, fields).prop_map(|(time, tags, fields)| Row { time, tags, fields })
}

fn any_condition() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        (prop::sample::select(vec!["host", "dc"]), prop::sample::select(vec!["=", "!="]), "[ab]?")
            .prop_map(|(tag, op, value)| format!("{tag} {op} '{value}'")),
        (prop::sample::select(vec!["host", "dc"]), prop::sample::select(vec!["=~", "!~"]))
            .prop_map(|(tag, op)| format!("{tag} {op} /^a?$/")),
        (
            prop::sample::select(vec!["usage", "idle"]),
            prop::sample::select(vec!["=", "!=", "<", ">="]),
            0..4
        )
            .prop_map(|(field, op, value)| format!("{field} {op} {value}")),
    ];
    let without_time = leaf.prop_recursive(4, 24, 3, |inner| {
        (vec(inner, 1..4), prop::sample::select(vec![" AND ", " OR "]))
            .prop_map(|(parts, op)| format!("({})", parts.join(op)))
    });
    let time = (prop::sample::select(vec!["<", ">="]), 0..6)
        .prop_map(|(op, value)| format!("time {op} {value}"));
    (vec(time, 0..3), without_time)
        .prop_map(|(times, rest)| [times, vec![rest]].concat().join(" AND "))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1024, ..ProptestConfig::default() })]

    #[test]
    fn the_parts_together_mean_the_whole(text in any_condition(), row in any_row()) {
        let condition = split(&text).unwrap();
        let tags_hold = condition.tags.as_ref().is_none_or(|tags| {
            CompiledFilter::new(tags)
                .unwrap()
                .matches(|key| row.tags.get(key).map_or("", String::as_str))
        });
        let rest_holds = condition.residual.as_ref().is_none_or(|rest| meaning(rest, &row));
        let parts = condition.time.contains(row.time) && tags_hold && rest_holds;
        prop_assert_eq!(parts, meaning(&where_clause(&text), &row), "{}: {:?}", text, condition);
    }
}
