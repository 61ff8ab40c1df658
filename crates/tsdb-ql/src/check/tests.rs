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
    check("SELECT a FROM (SELECT a FROM m) ORDER BY time DESC");
    check("SELECT a FROM (SELECT a FROM m ORDER BY time DESC) ORDER BY time DESC");
    check("SELECT stddev(a), variance(a), var_pop(a), spread(a), median(a), increase(a) FROM cpu");
    check("SELECT percentile(a, 90), approx_percentile(b, 99.9) FROM cpu GROUP BY time(1m)");
    check("SELECT percentile(a, 0), percentile(a, 100) FROM cpu");
    check("SELECT percentile(a, 50), host FROM cpu");
    check("SELECT rate(a), rate(a, 1m), rate(*) FROM cpu GROUP BY time(1m), host");
    check("SELECT derivative(a), non_negative_derivative(b, 10s) * 8, difference(/x/) FROM cpu");
    check(
        "SELECT derivative(mean(a), 10s), non_negative_difference(max(b)) FROM cpu GROUP BY time(1m)",
    );
    check(
        "SELECT mean(a), derivative(mean(a)), difference(derivative(max(*))) FROM cpu GROUP BY time(1m)",
    );
    check("SELECT derivative(percentile(a, 90), 1s) FROM cpu GROUP BY time(1m), host fill(0)");
    check("SELECT difference(a) FROM cpu fill(none)");
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
    check(
        "SELECT a FROM (SELECT a INTO b FROM m)",
        "a subquery cannot have INTO at line 1, char 30",
    );
    check(
        "SELECT a FROM (SELECT a FROM m ORDER BY time DESC)",
        "subqueries must be ordered in the same direction as the query itself at line 1, char 23",
    );
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
fn basic_query_validation() {
    let check = check_message;
    check(
        "SELECT percentile(a) FROM m",
        "invalid number of arguments for percentile, expected 2, got 1 at line 1, char 8",
    );
    check(
        "SELECT stddev(a, 1) FROM m",
        "invalid number of arguments for stddev, expected 1, got 2 at line 1, char 8",
    );
    check(
        "SELECT rate(a, 1s, 2s) FROM m",
        "invalid number of arguments for rate, expected at least 1 but no more than 2, got 3 at \
         line 1, char 8",
    );
    check(
        "SELECT derivative() FROM m",
        "invalid number of arguments for derivative, expected at least 1 but no more than 2, got 0 \
         at line 1, char 8",
    );
    check(
        "SELECT percentile(a, 'x') FROM m",
        "expected float argument in percentile() at line 1, char 22",
    );
    check(
        "SELECT approx_percentile(a, 1s) FROM m",
        "expected float argument in approx_percentile() at line 1, char 29",
    );
    check(
        "SELECT percentile(a, 100.5) FROM m",
        "expected a percentage from 0 to 100 in percentile(), got 100.5 at line 1, char 22",
    );
    check(
        "SELECT approx_percentile(a, -1) FROM m",
        "expected a percentage from 0 to 100 in approx_percentile(), got -1 at line 1, char 29",
    );
    check(
        "SELECT rate(a, 10) FROM m",
        "second argument to rate must be a duration, got 10 at line 1, char 16",
    );
    check(
        "SELECT derivative(a, -1s) FROM m",
        "duration argument must be positive, got -1s at line 1, char 22",
    );
    check(
        "SELECT derivative(a, 0s) FROM m",
        "duration argument must be positive, got 0s at line 1, char 22",
    );
    check("SELECT stddev(1) FROM m", "expected field argument in stddev() at line 1, char 15");
}

#[test]
fn functions_stand_inside_each_other_where_that_means_something() {
    let check = check_message;
    check(
        "SELECT median(max(a)) FROM m GROUP BY time(1m)",
        "expected field argument in median() at line 1, char 15",
    );
    check("SELECT rate(mean(a)) FROM m", "expected field argument in rate() at line 1, char 13");
    check(
        "SELECT derivative(mean(a), 1s) FROM m",
        "derivative aggregate requires a GROUP BY interval at line 1, char 8",
    );
    check(
        "SELECT difference(a) FROM m GROUP BY time(1m)",
        "aggregate function required inside the call to difference at line 1, char 19",
    );
    check(
        "SELECT derivative(difference(a)) FROM m GROUP BY time(1m)",
        "aggregate function required inside the call to difference at line 1, char 30",
    );
    check(
        "SELECT derivative(meen(a)) FROM m GROUP BY time(1m)",
        "undefined function meen() at line 1, char 19",
    );
    check(
        "SELECT derivative(a + b) FROM m",
        "expected field argument in derivative() at line 1, char 19",
    );
}

#[test]
fn columns_stand_beside_each_other_where_that_means_something() {
    let check = check_message;
    check(
        "SELECT stddev(a), b FROM m",
        "mixing aggregate and non-aggregate queries is not supported at line 1, char 19",
    );
    check(
        "SELECT derivative(a), b FROM m",
        "mixing aggregate and non-aggregate queries is not supported at line 1, char 23",
    );
    check(
        "SELECT percentile(a, 5), max(a), b FROM m",
        "mixing multiple selector functions with tags or fields is not supported at line 1, char 34",
    );
    check(
        "SELECT derivative(max(*)) + 1 FROM m GROUP BY time(1m)",
        "unsupported expression with wildcard: derivative(max(*)) + 1 at line 1, char 23",
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
    assert!(
        rendered.contains("the functions are count, sum, mean, avg, min, max, first, last, median")
    );
    let text = "SELECT derivative(usage, 10) FROM m";
    let rendered = check(&parse(text).unwrap()[0]).unwrap_err().render(text);
    assert_eq!(
        rendered,
        "second argument to derivative must be a duration, got 10 at line 1, char 26\n\
         SELECT derivative(usage, 10) FROM m\n                         ^^\n\
         give it a duration as in derivative(usage, 1s), or leave it out"
    );
}

#[test]
fn functions_of_numbers_take_what_is_a_number() {
    let fine = |text: &str| assert_eq!(messages(text), Vec::<String>::new(), "{text}");
    fine(
        "SELECT abs(a), pow(a, 2) * log(b, a), abs(*), pow(/x/, 2) FROM m WHERE abs(a - b) > sqrt(a)",
    );
    fine("SELECT abs(mean(a)) + 1, pow(2, max(b)) FROM m GROUP BY time(1m)");
    fine("SELECT abs(max(a)), b FROM m WHERE log(a, 2) > 3 OR host = 'a'");
    let check = check_message;
    check(
        "SELECT pow(a) FROM m",
        "invalid number of arguments for pow, expected 2, got 1 at line 1, char 8",
    );
    check(
        "SELECT a FROM m WHERE abs(a, b) > 1",
        "invalid number of arguments for abs, expected 1, got 2 at line 1, char 23",
    );
    check(
        "SELECT a FROM m WHERE abs(a)",
        "invalid condition expression: abs(a) at line 1, char 23",
    );
    check(
        "SELECT a FROM m WHERE abs(max(a)) > 1",
        "invalid function call in condition: max() at line 1, char 27",
    );
    check(
        "SELECT a FROM m WHERE abs(time) > 1",
        "time must stand alone on one side of a comparison at line 1, char 27",
    );
    check("SELECT pow(a, 'x') FROM m", "expected number arguments in pow() at line 1, char 15");
    check("SELECT abs(1s) FROM m", "expected number arguments in abs() at line 1, char 12");
    check("SELECT max(abs(a)) FROM m", "expected field argument in max() at line 1, char 12");
    check("SELECT abs(2 * 3) FROM m", "field must contain at least one variable at line 1, char 8");
    check("SELECT abs(time) FROM m", "at least 1 non-time field must be queried at line 1, char 8");
    check(
        "SELECT abs(a), max(b), min(b) FROM m",
        "mixing multiple selector functions with tags or fields is not supported at line 1, char 12",
    );
    check(
        "SELECT abs(a) FROM m GROUP BY time(1m)",
        "GROUP BY requires at least one aggregate function at line 1, char 31",
    );
    check(
        "SELECT pow(2, *) FROM m",
        "unsupported expression with wildcard: pow(2, *) at line 1, char 15",
    );
    check(
        "SELECT 1 + abs(*) FROM m",
        "unsupported expression with wildcard: 1 + abs(*) at line 1, char 16",
    );
    check("SELECT sqr(a) FROM m", "undefined function sqr() at line 1, char 8");
}

#[test]
fn functions_along_points_and_of_several_points() {
    let fine = |text: &str| assert_eq!(messages(text), Vec::<String>::new(), "{text}");
    fine(
        "SELECT mean(a), derivative(a), cumulative_sum(b), elapsed(a, 1s), moving_average(a, 2) FROM m",
    );
    fine(
        "SELECT difference(cumulative_sum(mean(a))), moving_average(max(*), 3) FROM m GROUP BY time(1m)",
    );
    fine("SELECT distinct(a) FROM m GROUP BY time(1m)");
    fine("SELECT DISTINCT a FROM m");
    fine("SELECT count(distinct(a)), mode(b), integral(a, 1m) FROM m");
    fine("SELECT difference(distinct(a)), difference(sample(b, 3)) FROM m GROUP BY time(1m)");
    fine("SELECT top(a, 3), b FROM m GROUP BY time(1m), host LIMIT 3");
    fine("SELECT bottom(a, host, dc, 3), b FROM m");
    fine("SELECT sample(a, 3), b FROM m");
    fine("SELECT sample(a, 3), sample(b, 3), max(a) FROM m");
    fine(
        "SELECT exponential_moving_average(a, 3), relative_strength_index(a, 3, 0, 'simple') FROM m",
    );
    fine(
        "SELECT kaufmans_efficiency_ratio(a, 1, -1), chande_momentum_oscillator(a, 2, 0, 'none') FROM m",
    );
    fine(
        "SELECT holt_winters(mean(a), 1, 0), holt_winters_with_fit(max(*), 9, 4) FROM m GROUP BY time(1m)",
    );
}

#[test]
fn functions_along_points_and_of_several_points_that_cannot_be() {
    let check = check_message;
    let beside = "cannot be combined with other functions";
    let at = |message: &str, char: usize| format!("{message} at line 1, char {char}");
    check("SELECT top(a, 3), max(a) FROM m", &at(&format!("selector function top() {beside}"), 8));
    check(
        "SELECT max(a), bottom(a, 3) FROM m",
        &at(&format!("selector function bottom() {beside}"), 16),
    );
    check(
        "SELECT difference(top(a, 3)) FROM m GROUP BY time(1m)",
        &at(&format!("selector function top() {beside}"), 19),
    );
    check(
        "SELECT top(a, 5) FROM m LIMIT 3",
        &at(
            "limit (5) in top function can not be larger than the LIMIT (3) in the select statement",
            8,
        ),
    );
    check(
        "SELECT top(a) FROM m",
        &at("invalid number of arguments for top, expected at least 2, got 1", 8),
    );
    let count = "expected an integer of at least 1 as the number of points in";
    check("SELECT top(a, host) FROM m", &at(&format!("{count} top()"), 15));
    check("SELECT bottom(a, 0) FROM m", &at(&format!("{count} bottom()"), 18));
    check("SELECT sample(a, 1.5) FROM m", &at(&format!("{count} sample()"), 18));
    check(
        "SELECT top(*, 2) FROM m",
        &at("expected first argument to be a field in top(), found *", 12),
    );
    check(
        "SELECT top(a, max(a), 2) FROM m",
        &at("only fields or tags are allowed in top(), found max(a)", 15),
    );
    let alone = "aggregate function distinct() cannot be combined with other functions or fields";
    check("SELECT distinct(a), b FROM m", &at(alone, 8));
    check("SELECT distinct(a), mean(a) FROM m", &at(alone, 8));
    check("SELECT distinct(*) FROM m", &at("expected field argument in distinct()", 17));
    check("SELECT count(distinct(*)) FROM m", &at("expected field argument in distinct()", 23));
    check("SELECT sum(distinct(a)) FROM m", &at("expected field argument in sum()", 12));
    check("SELECT mode(max(a)) FROM m", &at("expected field argument in mode()", 13));
    check(
        "SELECT moving_average(a, 1) FROM m",
        &at("second argument for moving_average must be an integer greater than 1", 26),
    );
    check(
        "SELECT elapsed(a, 3) FROM m",
        &at("second argument to elapsed must be a duration, got 3", 19),
    );
    check("SELECT integral(a, 0s) FROM m", &at("duration argument must be positive, got 0s", 20));
    let average = "exponential_moving_average";
    check(
        "SELECT exponential_moving_average(a, 0) FROM m",
        &at(&format!("{average} period must be an integer greater than or equal to 1"), 38),
    );
    check(
        "SELECT exponential_moving_average(a, 2, -2) FROM m",
        &at(
            &format!("{average} hold period must be an integer greater than or equal to 0, or -1"),
            41,
        ),
    );
    check(
        "SELECT exponential_moving_average(a, 2, 0, 'x') FROM m",
        &at(&format!("{average} warmup type must be one of: 'exponential' 'simple'"), 44),
    );
    check(
        "SELECT chande_momentum_oscillator(a, 1) FROM m",
        &at("chande_momentum_oscillator period must be an integer greater than or equal to 2", 38),
    );
    check(
        "SELECT kaufmans_efficiency_ratio(a, 2, 0, 'simple') FROM m",
        &at(
            "invalid number of arguments for kaufmans_efficiency_ratio, expected at least 2 but no more \
             than 3, got 4",
            8,
        ),
    );
    check(
        "SELECT holt_winters(a, 2, 0) FROM m",
        &at("must use aggregate function with holt_winters", 21),
    );
    check(
        "SELECT holt_winters(mean(a), 2, 0) FROM m",
        &at("holt_winters aggregate requires a GROUP BY interval", 8),
    );
    check(
        "SELECT holt_winters(mean(a), 2, -1) FROM m GROUP BY time(1m)",
        &at("expected an integer of at least 0 as the third argument of holt_winters()", 33),
    );
    check(
        "SELECT derivative(abs(mean(a))) FROM m GROUP BY time(1m)",
        &at("unsupported call: abs() in derivative()", 19),
    );
    check(
        "SELECT cumulative_sum(a) FROM m GROUP BY time(1m)",
        &at("aggregate function required inside the call to cumulative_sum", 23),
    );
}
