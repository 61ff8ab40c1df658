//! Query texts with the trees they give, shown in canonical form, and wrong texts with their
//! messages. Round trips of arbitrary trees are in `print`.

mod accounts;
mod continuous;

use proptest::prelude::*;

use super::*;
use crate::{
    ast::{Dimension, Expr, Fill, MeasurementName, Order, Source, WindowOffset},
    limits::DEPTH_MAX,
    parameter::Parameter,
};

/// The canonical text of the only statement of `text`.
fn canonical(text: &str) -> String {
    match parse(text) {
        Ok(statements) => {
            assert_eq!(statements.len(), 1, "{text}");
            statements[0].to_string()
        }
        Err(errors) => panic!("{text}\n{errors}"),
    }
}

fn select(text: &str) -> crate::ast::Select {
    match parse(text).unwrap().remove(0) {
        Statement::Select(select) => *select,
        other => panic!("{other}"),
    }
}

/// Parses `text` to the tree that prints as `expected`, where `=` stands for the text itself.
fn check_canonical(text: &str, expected: &str) {
    let expected = if expected == "=" { text } else { expected };
    assert_eq!(canonical(text), expected, "{text}");
    assert_eq!(canonical(expected), expected, "{text}");
}

#[test]
fn valid_query_parsing() {
    let check = check_canonical;
    check("select * from cpu", "SELECT * FROM cpu");
    check("SELECT a, \"b c\" AS d, e::field, f::tag FROM cpu", "=");
    check("SELECT *::tag, *::field, /^u/ FROM cpu", "=");
    check("SELECT a.b FROM cpu", "SELECT \"a.b\" FROM cpu");
    check("SELECT count(*), mean(/^u/), max(a) - min(a) AS spread FROM cpu", "=");
    check("SELECT MEAN(a) FROM cpu", "SELECT mean(a) FROM cpu");
    check("SELECT DISTINCT a FROM m", "SELECT distinct(a) FROM m");
    check("SELECT count(DISTINCT(a)) FROM m", "SELECT count(distinct(a)) FROM m");
    check("SELECT -a, +b, - 5, -(a + 1) FROM m", "SELECT -a, b, -5, -(a + 1) FROM m");
    check("SELECT a FROM db.rp.m, db..m, rp.m, \"m n\", /^x\\/y/, db.rp./z/", "=");
    check("SELECT a FROM (SELECT max(b) AS a FROM c GROUP BY time(1m)) WHERE a > 1", "=");
    check("SELECT a INTO b FROM c", "=");
    check("SELECT a AS x INTO db.rp.\"b c\" FROM c GROUP BY *", "=");
    check("SELECT a into rp.:measurement FROM /c/", "SELECT a INTO rp.:MEASUREMENT FROM /c/");
    check("SELECT a INTO db..:MEASUREMENT FROM c", "=");
    check("SELECT a INTO db.rp.:MEASUREMENT FROM c", "=");
    check(
        "SELECT a FROM m WHERE host = 'a' AND (b > 1.5 OR c <> -2)",
        "SELECT a FROM m WHERE host = 'a' AND (b > 1.5 OR c != -2)",
    );
    check("SELECT a FROM m WHERE host =~ /^a\\/b$/ AND dc !~ /x|y/", "=");
    check("SELECT a FROM m WHERE time >= '2016-01-01T00:00:00Z' AND time < now() - 1h", "=");
    check(
        "SELECT a FROM m WHERE time > 1451606400s AND time < 1451606400000000000",
        "SELECT a FROM m WHERE time > 16801d AND time < 1451606400000000000",
    );
    check(
        "SELECT a FROM m GROUP BY *, \"host\", /^d/, dc::tag",
        "SELECT a FROM m GROUP BY *, host, /^d/, dc::tag",
    );
    check(
        "SELECT max(a) FROM m GROUP BY time(90s, -15m) fill(0)",
        "SELECT max(a) FROM m GROUP BY time(90s, -15m) fill(0.0)",
    );
    check("SELECT max(a) FROM m GROUP BY time(1h, now()), host fill(previous)", "=");
    check("SELECT a FROM m ORDER BY time ASC", "SELECT a FROM m");
    check("SELECT a FROM m ORDER BY time DESC LIMIT 1 OFFSET 2 SLIMIT 3 SOFFSET 4", "=");
    check("SELECT a FROM m LIMIT 0", "SELECT a FROM m");
    check("SELECT a FROM m GROUP BY host tz('Europe/Berlin')", "=");
    check("EXPLAIN SELECT a FROM m", "=");
    check("EXPLAIN ANALYZE SELECT a FROM m", "=");
}

#[test]
fn valid_statements_about_databases_parse() {
    let check = check_canonical;
    check("show databases", "SHOW DATABASES");
    check("SHOW QUERIES", "=");
    check("show stats for 'httpd'", "SHOW STATS FOR 'httpd'");
    check("SHOW DIAGNOSTICS", "=");
    check("show rejects", "SHOW REJECTS");
    check("SHOW REJECTS ON d LIMIT 3", "=");
    check("SELECT rejects FROM rejects", "SELECT \"rejects\" FROM \"rejects\"");
    check("SHOW SHARDS", "=");
    check("SHOW SHARD GROUPS", "=");
    check("KILL QUERY 36 ON \"host:8088\"", "=");
    // There is no time in what these show.
    check(
        "SHOW MEASUREMENTS WHERE a = 'b' ORDER BY time DESC LIMIT 1",
        "SHOW MEASUREMENTS WHERE a = 'b' LIMIT 1",
    );
    check("SHOW TAG VALUES WITH KEY = a ORDER BY DESC", "SHOW TAG VALUES WITH KEY = a");
    check("kill query 36", "KILL QUERY 36");
    check("KILL QUERY 18446744073709551615", "=");
    check("SHOW RETENTION POLICIES ON \"db\"", "SHOW RETENTION POLICIES ON db");
    check("SHOW MEASUREMENTS ON db WITH MEASUREMENT =~ /(?i)x/ WHERE a = 'b' LIMIT 100", "=");
    check("SHOW MEASUREMENTS WITH MEASUREMENT = cpu OFFSET 3", "=");
    check("SHOW TAG KEYS ON db FROM rp.m WHERE a = 'b'", "=");
    check(
        "SHOW TAG VALUES FROM m WITH KEY = \"host\" WHERE \"dc\" = 'x'",
        "SHOW TAG VALUES FROM m WITH KEY = host WHERE dc = 'x'",
    );
    check("SHOW TAG VALUES WITH KEY IN (host, \"d c\") LIMIT 3", "=");
    check("SHOW TAG VALUES ON db WITH KEY !~ /x/", "=");
    check("SHOW TAG VALUES WITH KEY != 'a'", "SHOW TAG VALUES WITH KEY != a");
    check("SHOW FIELD KEYS FROM \"rp\".\"m\"", "SHOW FIELD KEYS FROM rp.m");
    check("SHOW SERIES FROM m WHERE host = 'a' LIMIT 1", "=");
    check("show series exact cardinality on d", "SHOW SERIES EXACT CARDINALITY ON d");
    check(
        "SHOW TAG VALUES CARDINALITY FROM m WITH KEY = k WHERE a = 'b' GROUP BY c, /d/ LIMIT 1",
        "=",
    );
    check("SELECT exact, cardinality FROM m", "SELECT \"exact\", \"cardinality\" FROM m");

    check("CREATE DATABASE benchmark WITH REPLICATION 1", "=");
    check(
        "CREATE DATABASE d WITH SHARD DURATION 1d DURATION INF REPLICATION 1 NAME x",
        "CREATE DATABASE d WITH DURATION INF REPLICATION 1 SHARD DURATION 1d NAME x",
    );
    check("drop database \"a-b\"", "DROP DATABASE \"a-b\"");
    check("CREATE RETENTION POLICY p ON d DURATION 30d REPLICATION 1 DEFAULT", "=");
    check("ALTER RETENTION POLICY p ON d SHARD DURATION 0s", "=");
    check("DROP RETENTION POLICY p ON d", "=");
    check("DROP MEASUREMENT \"from\"", "=");
    check("DROP SERIES FROM m WHERE host = 'a'", "=");
    check("DELETE FROM m WHERE time < '2016-01-01'", "=");
    check("DELETE WHERE host = 'a'", "=");
}

#[test]
fn queries_of_known_clients_parse_and_check() {
    let check = |text: &str| {
        for statement in parse(text).unwrap_or_else(|errors| panic!("{errors}")) {
            crate::check(&statement).unwrap_or_else(|errors| panic!("{}", errors.render(text)));
        }
    };
    // TSBS
    check(
        "SELECT max(usage_user) from cpu where (hostname = 'host_1' or hostname = 'host_79') and \
         time >= '2016-01-01T11:15:26Z' and time < '2016-01-01T12:15:26Z' group by time(1m)",
    );
    check(
        "SELECT mean(usage_user) from cpu where time < '2016-01-01T22:15:26Z' group by time(1h),hostname",
    );
    check(
        "SELECT * from cpu where usage_user > 90.0 and (hostname = 'host_1') and time >= '2016-01-01'",
    );
    check("SELECT * from cpu group by \"hostname\" order by time desc limit 1");
    check("SELECT max(usage_user) from cpu WHERE time < '2016-01-01' group by time(1m) limit 5");
    check("CREATE DATABASE benchmark WITH REPLICATION 1");
    // Grafana
    check("SHOW measurements");
    check("SHOW RETENTION POLICIES on \"db\"");
    check("SHOW TAG VALUES FROM \"m\" WITH KEY = \"host\" WHERE \"dc\" = 'x'");
    check(
        "SELECT mean(\"usage\") FROM \"rp\".\"cpu\" WHERE (\"host\"::tag =~ /^(a|b)$/) AND time >= \
         1700000000000ms and time <= 1700003600000ms GROUP BY time(10s), \"host\"::tag fill(null) \
         ORDER BY time ASC",
    );
    // influxdb-python, Telegraf
    check(
        "CREATE RETENTION POLICY \"p\" ON \"d\" DURATION 3d REPLICATION 1 SHARD DURATION 0s DEFAULT; \
         ALTER RETENTION POLICY \"p\" ON \"d\" DURATION 4d REPLICATION 1 SHARD DURATION 0s",
    );
    check("DROP SERIES FROM \"cpu\" WHERE \"host\"='a'; DROP MEASUREMENT \"cpu\"");
}

#[test]
fn keywords_can_be_names_where_no_keyword_is_due() {
    let check = |text: &str, expected: &str| assert_eq!(canonical(text), expected);
    check(
        "SELECT name, Key FROM field WHERE tag = 'x' GROUP BY series fill(none)",
        "SELECT \"name\", \"Key\" FROM \"field\" WHERE \"tag\" = 'x' GROUP BY \"series\" fill(none)",
    );
    check("SELECT \"select\" FROM \"from\"", "SELECT \"select\" FROM \"from\"");
    check("SELECT kill, query FROM m", "SELECT \"kill\", \"query\" FROM m");
    check("SHOW TAG VALUES WITH KEY = key", "SHOW TAG VALUES WITH KEY = \"key\"");
}

#[test]
fn the_tree_says_what_the_text_says() {
    let select = select(
        "SELECT mean(a) FROM db..m, /x/ WHERE b = 'c' GROUP BY time(5m, now()), host fill(linear) \
         ORDER BY time DESC LIMIT 7 tz('Asia/Tokyo')",
    );
    let Source::Measurement(measurement) = &select.sources[0] else { panic!() };
    assert_eq!(measurement.database.as_deref(), Some("db"));
    assert_eq!(measurement.policy, None);
    assert_eq!(measurement.name, MeasurementName::Name("m".to_owned()));
    let Source::Measurement(measurement) = &select.sources[1] else { panic!() };
    assert_eq!(measurement.name, MeasurementName::Regex("x".to_owned()));
    let window = select.window().unwrap();
    assert_eq!(window.every_ns, 300_000_000_000);
    assert_eq!(window.offset, WindowOffset::Now);
    assert_eq!(window.offset.resolve(17), 17);
    assert!(matches!(&select.dimensions[1], Dimension::Tag(tag) if tag.name == "host"));
    assert_eq!(select.fill, Fill::Linear);
    assert_eq!(select.order, Order::Descending);
    assert_eq!(select.page.limit, Some(7));
    assert_eq!(select.zone.unwrap().name, "Asia/Tokyo");
}

#[test]
fn operator_precedence() {
    // The same text with every pair of parentheses written out must give the same tree, and the
    // canonical text must have no more of them than needed.
    let check = |text: &str, explicit: &str| {
        let (left, right) =
            (select(&format!("{text} FROM m")), select(&format!("{explicit} FROM m")));
        assert_eq!(left, right, "{text}");
        assert_eq!(left.to_string(), format!("{text} FROM m"));
    };
    check("SELECT a + b * c", "SELECT a + (b * c)");
    check("SELECT a * b + c", "SELECT (a * b) + c");
    check("SELECT a - b - c", "SELECT (a - b) - c");
    check("SELECT a - (b - c)", "SELECT (a) - ((b - c))");
    check("SELECT a / b * c % d", "SELECT ((a / b) * c) % d");
    check("SELECT a | b & c ^ d", "SELECT (a | (b & c)) ^ d");
    check("SELECT -a * b", "SELECT (-a) * b");
    check("SELECT -(a * b)", "SELECT -((a * b))");
    check("SELECT a * -b", "SELECT a * (-b)");
    check("SELECT a * (b + c)", "SELECT (a * (b + c))");

    let check = |text: &str, explicit: &str| {
        let text = format!("SELECT x FROM m WHERE {text}");
        let (left, right) = (select(&text), select(&format!("SELECT x FROM m WHERE {explicit}")));
        assert_eq!(left, right, "{text}");
        assert_eq!(left.to_string(), text);
    };
    check("a = 1 OR b = 2 AND c = 3", "(a = 1) OR ((b = 2) AND (c = 3))");
    check("(a = 1 OR b = 2) AND c = 3", "((a = 1) OR (b = 2)) AND (c = 3)");
    check("a + 1 > b * 2 AND c =~ /x/", "((a + 1) > (b * 2)) AND (c =~ /x/)");
    check("a = 1 AND b = 2 AND c = 3", "a = 1 AND (b = 2 AND c = 3)");
    check("a - 1 >= -1", "(a - 1) >= (-1)");
}

#[test]
fn chains_of_and_and_or_are_flat() {
    let hosts: Vec<String> = (0..500).map(|n| format!("host = 'host_{n}'")).collect();
    let select = select(&format!("SELECT x FROM m WHERE ({}) AND time > 0", hosts.join(" OR ")));
    let Some(Expr::And(parts)) = &select.condition else { panic!() };
    assert_eq!(parts.len(), 2);
    assert!(matches!(&parts[0], Expr::Or(parts) if parts.len() == 500));
}

#[test]
fn several_statements_and_comments() {
    let statements = parse("SHOW DATABASES; /* two */ SELECT a FROM b -- end\n;;").unwrap();
    let printed: Vec<String> = statements.iter().map(ToString::to_string).collect();
    assert_eq!(printed, ["SHOW DATABASES", "SELECT a FROM b"]);
    assert_eq!(parse("").unwrap(), []);
    assert_eq!(parse(" ; -- nothing").unwrap(), []);
}

#[test]
fn parameters_stand_for_values() {
    let parameters = Parameters::from([
        ("host".to_owned(), Parameter::String("a' OR 'b".to_owned())),
        ("limit".to_owned(), Parameter::Integer(3)),
        ("low".to_owned(), Parameter::Number(-1.5)),
        ("every".to_owned(), Parameter::Duration(60_000_000_000)),
        ("m".to_owned(), Parameter::Identifier("the m".to_owned())),
        ("re".to_owned(), Parameter::Regex("a/b".to_owned())),
        ("yes".to_owned(), Parameter::Boolean(true)),
    ]);
    let statements = parse_with("KILL QUERY $limit", &parameters).unwrap();
    assert_eq!(statements[0].to_string(), "KILL QUERY 3");
    let text = "SELECT max(v) FROM $m WHERE host = $host AND x > $low AND y =~ $re AND z = $yes \
                GROUP BY time($every) LIMIT $limit";
    let statements = parse_with(text, &parameters).unwrap();
    assert_eq!(
        statements[0].to_string(),
        "SELECT max(v) FROM \"the m\" WHERE host = 'a\\' OR \\'b' AND x > -1.5 AND y =~ /a\\/b/ \
         AND z = true GROUP BY time(1m) LIMIT 3"
    );
}

/// The message about `text` begins with `first_line` and shows place and remedy below.
fn check_message(text: &str, first_line: &str) {
    let errors = parse(text).expect_err(text).to_string();
    let line = errors.lines().next().unwrap_or_default();
    assert_eq!(line, format!("error parsing query: {first_line}"), "{text}\n{errors}");
    assert!(errors.lines().count() >= 4, "{errors}");
}

#[test]
fn syntax_error_detection() {
    let check = check_message;
    check(
        "SELECT FROM cpu",
        "found FROM, expected identifier, string, number, bool at line 1, char 8",
    );
    check("SELECT a", "found EOF, expected FROM at line 1, char 9");
    check("SELECT a b FROM c", "found b, expected FROM at line 1, char 10");
    check(
        "SELECT a\nFROM b\nWHERE",
        "found EOF, expected identifier, string, number, bool at line 3, char 6",
    );
    check(
        "SELCT a FROM b",
        "found SELCT, expected SELECT, EXPLAIN, SHOW, CREATE, ALTER, DROP, DELETE, KILL, GRANT, REVOKE, SET at line 1, char 1",
    );
    check("SELECT a FROM b WHERE c =~ 'x'", "found 'x', expected regex at line 1, char 28");
    check("SELECT a FROM b LIMIT x", "found x, expected integer at line 1, char 23");
    check("SELECT a FROM b LIMIT -1", "found -, expected integer at line 1, char 23");
    check(
        "SELECT a FROM b junk",
        "found junk, expected WHERE, GROUP BY, ORDER BY, LIMIT, OFFSET, SLIMIT, SOFFSET, FILL, TZ, \
         ;, EOF at line 1, char 17",
    );
    check("SELECT mean(a FROM b", "found FROM, expected ) at line 1, char 15");
    check("SELECT 'a FROM b", "found unterminated string, expected ' at line 1, char 8");
    check("SELECT a # b FROM c", "found unexpected character '#' at line 1, char 10");
}

#[test]
fn clauses_that_cannot_be_are_detected() {
    let check = check_message;
    check(
        "SELECT a FROM b GROUP BY time(0s)",
        "time dimension must have duration argument at line 1, char 26",
    );
    check(
        "SELECT a FROM b GROUP BY time",
        "time() is a function and expects at least one argument at line 1, char 26",
    );
    check(
        "SELECT a FROM b GROUP BY time()",
        "time dimension expected 1 or 2 arguments at line 1, char 26",
    );
    check(
        "SELECT a FROM b GROUP BY max(x)",
        "only time() calls allowed in dimensions at line 1, char 26",
    );
    check(
        "SELECT a FROM b GROUP BY time(1m, x)",
        "time dimension offset must be duration or now() at line 1, char 26",
    );
    check(
        "SELECT a FROM b ORDER BY host",
        "only ORDER BY time supported at this time at line 1, char 26",
    );
    check(
        "SELECT a FROM b fill(zero)",
        "expected number, null, none, linear or previous in fill() at line 1, char 22",
    );
    check("SELECT a::text FROM b", "unknown type text in a cast at line 1, char 11");
    check("SELECT a FROM b tz('Mars')", "unable to find time zone Mars at line 1, char 20");
    check("CREATE RETENTION POLICY p ON d REPLICATION 1", "DURATION is missing at line 1, char 1");
    check(
        "CREATE DATABASE d WITH DURATION 1d DURATION 2d",
        "DURATION is given twice at line 1, char 36",
    );
    check("CREATE DATABASE d WITH DEFAULT", "DEFAULT cannot be given here at line 1, char 24");
    check("SELECT $x FROM y", "missing parameter: x at line 1, char 8");
    check("DELETE", "found EOF, expected FROM, WHERE at line 1, char 7");
    check(
        "SHOW",
        "found EOF, expected CONTINUOUS, DATABASES, DIAGNOSTICS, FIELD, MEASUREMENT, MEASUREMENTS, QUERIES, REJECTS, \
         RETENTION, SERIES, SHARD, SHARDS, STATS, TAG, GRANTS, TOKENS, USERS at line 1, char 5",
    );
    check("SELECT a FROM", "found EOF, expected identifier, regex at line 1, char 14");
    check(
        "DROP TABLE x",
        "found TABLE, expected CONTINUOUS, DATABASE, MEASUREMENT, RETENTION, SERIES, TOKEN, USER at line 1, char 6",
    );
    check(
        "SHOW TAG KEYS junk",
        "found junk, expected FROM, WHERE, ORDER BY, LIMIT, OFFSET, SLIMIT, SOFFSET, ON, ;, EOF at line 1, \
         char 15",
    );
    check("SELECT a FROM b WHERE (c = 1", "found EOF, expected ) at line 1, char 29");
    check(
        "SELECT a FROM b GROUP BY x y",
        "found y, expected ORDER BY, LIMIT, OFFSET, SLIMIT, SOFFSET, FILL, TZ, ;, EOF at line 1, \
         char 28",
    );
    check(
        "SHOW TAG VALUES",
        "found EOF, expected FROM, ON, WITH, CARDINALITY, EXACT at line 1, char 16",
    );
    check("SHOW TAG", "found EOF, expected KEY, KEYS, VALUES at line 1, char 9");
    check("KILL 36", "found 36, expected QUERY at line 1, char 6");
    check("KILL QUERY 36 ON", "found EOF, expected identifier at line 1, char 17");
    check("SHOW STATS FOR x", "found x, expected string at line 1, char 16");
    check("SELECT a INTO FROM b", "found FROM, expected identifier at line 1, char 15");
    check("SELECT a INTO b c FROM d", "found c, expected FROM at line 1, char 17");
    check(
        "SHOW SERIES ORDER BY host",
        "only ORDER BY time supported at this time at line 1, char 22",
    );
    check("KILL QUERY", "found EOF, expected integer at line 1, char 11");
    check("KILL QUERY x", "found x, expected integer at line 1, char 12");
    check("KILL QUERY -1", "found -, expected integer at line 1, char 12");
    check("KILL QUERY 1 2", "found 2, expected ON, ;, EOF at line 1, char 14");
    check("KILL QUERY 1.5", "found 1.5, expected integer at line 1, char 12");
}

#[test]
fn messages_end_with_a_remedy() {
    let check = |text: &str, remedy: &str| {
        let errors = parse(text).unwrap_err().to_string();
        assert_eq!(errors.lines().last(), Some(remedy), "{errors}");
    };
    check("SELCT a FROM b", "did you mean SELECT?");
    check("SELECT a FRON b", "did you mean FROM?");
    check("SELECT a FROM b WERE c = 1", "did you mean WHERE?");
    check("SELECT a FROM b WHERE time > 1.5h", "use a smaller unit, for instance 90m for 1.5h");
}

#[test]
fn all_errors_are_reported_where_the_parser_can_go_on() {
    let check = |text: &str, starts: &[usize]| {
        let errors = parse(text).unwrap_err();
        let found: Vec<usize> = errors.diagnostics().iter().map(|d| d.span.start).collect();
        assert_eq!(found, starts, "{text}\n{errors}");
    };
    check("SELECT a + , b * , c FROM cpu", &[11, 17]);
    check("SELECT a b FROM c; SELECT FROM d; SHOW DATABASES", &[9, 26]);
    check("SELECT a FROM b WHERE = 3 GROUP BY time(x), host LIMIT y", &[22, 35, 55]);
    check("SELECT a FROM b WHERE x = = 5 GROUP BY a, b LIMIT 5", &[26]);
    check("SELECT 'a FROM b", &[7]);
    check("SELECT a FROM b WHERE c = 'd", &[26]);
    check("SELECT 5y, 6z FROM b", &[7, 11]);
}

#[test]
fn long_and_deep_texts_are_refused() {
    let message = |text: String| parse(&text).unwrap_err().to_string();
    assert!(message("a".repeat(QUERY_BYTES_MAX + 1)).contains("query is too long: 16385 bytes"));
    let too_deep = [
        "(".repeat(QUERY_BYTES_MAX),
        format!("SELECT {}a{} FROM m", "(".repeat(DEPTH_MAX + 1), ")".repeat(DEPTH_MAX + 1)),
        format!("SELECT a{} FROM m", "+a".repeat(DEPTH_MAX + 1)),
        // Fewer parentheses than the limit, but a sum in each, on either side.
        format!(
            "SELECT {}a{} FROM m",
            "(a+".repeat(DEPTH_MAX / 2 + 1),
            ")".repeat(DEPTH_MAX / 2 + 1)
        ),
        format!(
            "SELECT {}a{} FROM m",
            "(".repeat(DEPTH_MAX / 2 + 1),
            "+a)".repeat(DEPTH_MAX / 2 + 1)
        ),
        format!("SELECT {}a FROM m", "- ".repeat(DEPTH_MAX + 1)),
        format!("SELECT {}a{} FROM m", "f(".repeat(DEPTH_MAX + 1), ")".repeat(DEPTH_MAX + 1)),
        format!(
            "SELECT a FROM {}m{}",
            "(SELECT a FROM ".repeat(DEPTH_MAX + 1),
            ")".repeat(DEPTH_MAX + 1)
        ),
    ];
    for text in too_deep {
        assert!(message(text.clone()).contains("nested too deeply"), "{text}");
    }
    let just_right = [
        format!("SELECT {}a{} FROM m", "(".repeat(DEPTH_MAX), ")".repeat(DEPTH_MAX)),
        format!("SELECT a{} FROM m", "+a".repeat(DEPTH_MAX)),
        format!("SELECT {}a{} FROM m", "f(".repeat(DEPTH_MAX), ")".repeat(DEPTH_MAX)),
        format!("SELECT a FROM {}m{}", "(SELECT a FROM ".repeat(DEPTH_MAX), ")".repeat(DEPTH_MAX)),
        format!("SELECT a FROM m WHERE b > 1{}", "+b".repeat(DEPTH_MAX - 1)),
        // Columns and conditions beside each other are not inside each other.
        format!("SELECT a{} FROM m WHERE b > 1", ", a+a".repeat(DEPTH_MAX + 1)),
    ];
    for text in just_right {
        // Whatever walks the tree must get along with the stack of a test's thread, 2 MiB.
        let statements = parse(&text).unwrap_or_else(|errors| panic!("{errors}"));
        assert!(crate::check(&statements[0]).is_ok() || text.contains("f("), "{text}");
        assert_eq!(parse(&statements[0].to_string()), Ok(statements), "{text}");
    }
}

#[test]
fn error_recovery_is_linear() {
    // Texts of nothing but errors, as long as a text may be. In a debug build each takes well
    // below a second; with quadratic recovery the worst would take hours.
    for piece in [",", "a ", "+ ", "= ", "( ", "/x/ ", "FROM ", "SELECT a FROM ;", "'a", "$x "] {
        let text = format!("SELECT {}", piece.repeat((QUERY_BYTES_MAX - 7) / piece.len()));
        let start = std::time::Instant::now();
        assert!(parse(&text).is_err(), "{piece}");
        assert!(start.elapsed() < std::time::Duration::from_secs(20), "{piece}");
    }
}

/// How many nodes lie inside each other at most.
fn depth(expr: &Expr) -> usize {
    1 + match expr {
        Expr::Negate { expr, .. } | Expr::RegexMatch { expr, .. } => depth(expr),
        Expr::Binary { left, right, .. } => depth(left).max(depth(right)),
        Expr::Call(call) => call.args.iter().map(depth).max().unwrap_or(0),
        Expr::And(parts) | Expr::Or(parts) => parts.iter().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

/// Pieces that queries are made of, so that random texts get past the first token.
fn any_piece() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "SELECT ",
        "FROM ",
        "WHERE ",
        "GROUP BY ",
        "ORDER BY ",
        "LIMIT ",
        "AND ",
        "OR ",
        "time",
        "fill",
        "tz",
        "(",
        ")",
        "(",
        ")",
        ",",
        ";",
        "*",
        "/",
        "+",
        "-",
        "=",
        "=~",
        "!~",
        "<",
        ">=",
        ".",
        "::",
        "a ",
        "\"b\" ",
        "'c' ",
        "/d/ ",
        "1",
        "2.5 ",
        "5m ",
        "$p ",
        "now() ",
        "mean(",
        "SHOW ",
        "TAG ",
        "KEYS ",
        "VALUES ",
        "WITH ",
        "KEY ",
        "MEASUREMENTS ",
        "CREATE ",
        "DROP ",
        "DATABASE ",
        "DELETE ",
        "KILL ",
        "QUERY ",
        "7 ",
        "ON ",
        "'",
        "\"",
        "\\",
        "--",
        "/*",
        "\n",
        "ä",
        "#",
        "%",
    ])
}

proptest! {
    #[test]
    fn no_text_panics(text in "\\PC{0,64}") {
        let _ = parse(&text).map_err(|errors| errors.to_string());
    }

    #[test]
    fn no_sequence_of_pieces_panics(pieces in prop::collection::vec(any_piece(), 0..40)) {
        let text = pieces.concat();
        match parse(&text) {
            Err(errors) => {
                let shown = errors.to_string();
                prop_assert!(shown.starts_with("error parsing query: "));
                prop_assert!(shown.lines().next().is_some_and(|line| line.contains(" at line ")));
            }
            Ok(statements) => {
                for statement in statements {
                    let _ = crate::check(&statement).map_err(|errors| errors.render(&text));
                    prop_assert_eq!(parse(&statement.to_string()), Ok(vec![statement]));
                }
            }
        }
    }

    /// The bound that the tokens give is one for the tree.
    #[test]
    fn the_tree_is_no_deeper_than_its_tokens_allow(
        pieces in prop::collection::vec(
            prop::sample::select(vec!["(", "(", ")", ")", "a", "+", "*", "-", "f(", ",", " AND ",
                " OR ", "="]),
            0..400,
        ),
    ) {
        // Complete the pieces to an expression: operands where one is due, all parentheses closed.
        let (mut text, mut open, mut due) = (String::new(), 0, true);
        for piece in pieces {
            match piece {
                "(" | "f(" | "a" if due => {
                    text.push_str(piece);
                    open += usize::from(piece != "a");
                    due = piece != "a";
                }
                "-" if due => text.push_str("- "),
                ")" if !due && open > 0 => {
                    text.push(')');
                    open -= 1;
                }
                "+" | "*" | "-" | "=" | " AND " | " OR " if !due => {
                    text.push_str(piece);
                    due = true;
                }
                _ => {}
            }
        }
        if due {
            text.push('a');
        }
        text.push_str(&")".repeat(open));
        if let Ok(statements) = parse(&format!("SELECT x FROM m WHERE {text}")) {
            let Statement::Select(select) = &statements[0] else { panic!() };
            // One for the operand itself, two for AND and OR around everything.
            prop_assert!(depth(select.condition.as_ref().unwrap()) <= DEPTH_MAX + 3);
        }
    }
}
