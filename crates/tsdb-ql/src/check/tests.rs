//! Statements that mean something, and those that do not with their messages.

use super::*;
use crate::parse;

/// The messages about the only statement of `text`.
fn messages(text: &str) -> Vec<String> {
    let statements = parse(text).unwrap_or_else(|errors| panic!("{text}\n{errors}"));
    match check(&statements[0]) {
        Ok(()) => Vec::new(),
        Err(errors) => errors.diagnostics().iter().map(|d| d.headline(text)).collect(),
    }
}

#[test]
fn statements_that_mean_something_pass() {
    let check = |text: &str| assert_eq!(messages(text), Vec::<String>::new(), "{text}");
    check("SELECT * FROM cpu");
    check("SELECT time, a FROM cpu");
    check("SELECT a, b * 2 - c AS d FROM cpu WHERE time > now() - 1h AND host = 'a' AND b > 3");
    check("SELECT mean(*), count(/^u/) FROM cpu GROUP BY time(1m), host fill(none)");
    check("SELECT avg(a), max(b) / min(b) FROM cpu GROUP BY time(1m)");
    check("SELECT time, max(a), b, host FROM cpu");
    check("SELECT a FROM cpu WHERE a > b AND host = 'a'");
    check("SELECT a FROM cpu fill(previous)");
    check("SELECT mean(m) FROM (SELECT max(a) AS m FROM cpu GROUP BY host)");
    check("SHOW TAG VALUES FROM /^c/ WITH KEY =~ /h/ WHERE dc = 'x' AND time > 0");
    check("DELETE FROM cpu WHERE time < '2016-01-01' AND host =~ /a/");
    check("DROP SERIES WHERE host = 'a' OR dc = 'b'");
    check("CREATE DATABASE x");
}

fn check_message(text: &str, expected: &str) {
    assert_eq!(messages(text), [expected], "{text}");
}

#[test]
fn statements_without_a_meaning_are_explained() {
    let check = check_message;
    check("SELECT maen(a) FROM m", "undefined function maen() at line 1, char 8");
    check(
        "SELECT mean() FROM m",
        "invalid number of arguments for mean, expected 1, got 0 at line 1, char 8",
    );
    check(
        "SELECT max(a, b) FROM m",
        "invalid number of arguments for max, expected 1, got 2 at line 1, char 8",
    );
    check("SELECT mean(max(a)) FROM m", "expected field argument in mean() at line 1, char 13");
    check("SELECT mean(time) FROM m", "expected field argument in mean() at line 1, char 13");
    check("SELECT mean(a + b) FROM m", "expected field argument in mean() at line 1, char 13");
    check(
        "SELECT mean(a), b FROM m",
        "mixing aggregate and non-aggregate queries is not supported at line 1, char 17",
    );
    check(
        "SELECT mean(a) + b FROM m",
        "mixing aggregate and non-aggregate queries is not supported at line 1, char 18",
    );
    check(
        "SELECT max(a), min(a), b FROM m",
        "mixing multiple selector functions with tags or fields is not supported at line 1, char 24",
    );
    check(
        "SELECT a FROM m GROUP BY time(1m)",
        "GROUP BY requires at least one aggregate function at line 1, char 26",
    );
    check(
        "SELECT mean(a) FROM m GROUP BY time(1m), time(1h)",
        "multiple time dimensions not allowed at line 1, char 42",
    );
    check(
        "SELECT a, b FROM m fill(none)",
        "fill(none) must be used with a function at line 1, char 8",
    );
    check(
        "SELECT a FROM m fill(linear)",
        "fill(linear) must be used with a function at line 1, char 8",
    );
    check("SELECT time FROM m", "at least 1 non-time field must be queried at line 1, char 8");
    check("SELECT 5 FROM m", "field must contain at least one variable at line 1, char 8");
    check("SELECT a, 1 + 2 FROM m", "field must contain at least one variable at line 1, char 11");
    check(
        "SELECT a > 5 FROM m",
        "invalid operator > in SELECT clause; operator is intended for WHERE clause at line 1, \
         char 10",
    );
    check("SELECT * + 1 FROM m", "unsupported expression with wildcard: * + 1 at line 1, char 8");
    check(
        "SELECT max(*) - 1 FROM m",
        "unsupported expression with wildcard: max(*) - 1 at line 1, char 12",
    );
}

#[test]
fn conditions_and_patterns_without_a_meaning_are_explained() {
    let check = check_message;
    check(
        "SELECT a FROM /a(b/",
        "invalid regular expression /a(b/: unclosed group; correct it or compare with = at line 1, \
         char 15",
    );
    check(
        "SELECT a FROM m WHERE h =~ /*?/".replace("*?", "(?P<").as_str(),
        "invalid regular expression /(?P</: unclosed capture group name; correct it or compare with \
         = at line 1, char 28",
    );
    check(
        "SELECT a FROM m WHERE time > 0 OR b = 1",
        "time conditions cannot be combined with OR at line 1, char 23",
    );
    check(
        "SELECT a FROM m WHERE mean(b) > 1",
        "invalid function call in condition: mean() at line 1, char 23",
    );
    check("SELECT a FROM (SELECT foo(a) FROM m)", "undefined function foo() at line 1, char 23");
    check(
        "DELETE FROM m WHERE usage > 5",
        "fields not supported in WHERE clause during deletion at line 1, char 21",
    );
    check(
        "DROP SERIES FROM m WHERE host = 'a' AND time > 0",
        "DROP SERIES doesn't support time in WHERE clause at line 1, char 26",
    );
    check(
        "SHOW TAG VALUES WITH KEY =~ /(/",
        "invalid regular expression /(/: unclosed group; correct it or compare with = at line 1, \
         char 29",
    );
}

#[test]
fn every_column_is_judged() {
    let found = messages("SELECT maen(a), max(b, c), d > 1 FROM m WHERE time != 0");
    assert_eq!(found.len(), 4, "{found:?}");
}

#[test]
fn the_answer_shows_place_and_remedy() {
    let text = "SELECT maen(a) FROM m";
    let rendered = check(&parse(text).unwrap()[0]).unwrap_err().render(text);
    assert_eq!(
        rendered,
        "undefined function maen() at line 1, char 8\nSELECT maen(a) FROM m\n       ^^^^^^^\n\
         did you mean mean()?"
    );
    let text = "SELECT zzz(a) FROM m";
    let rendered = check(&parse(text).unwrap()[0]).unwrap_err().render(text);
    assert!(rendered.ends_with("the functions are count, sum, mean, avg, min, max, first, last"));
}
