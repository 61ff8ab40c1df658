//! Queries that cannot be answered, asked in every way that there is: `/query` by GET and by POST,
//! `/api/v1/query` as text and as JSON, and gRPC. `docs/tql.md` and `docs/api.md` are where the expectations
//! come from.

use serde_json::{Value, json};
use tonic::Code;
use tsdb_tests::http::{Response, escape};

use super::grpc::Caller;
use super::{Bench, Case, Headers, name};

/// A text, where its mistake is, the words, and what to do, in part. The place is `LINE:CHAR`, or empty where
/// the mistake is not in the text.
type Row = (&'static str, &'static str, &'static str, &'static str);

const QUOTES: &str = "need double quotes";
const WINDOW: &str = "write for instance GROUP BY time(5m) or time(1d, 6h)";

/// Texts that are no query. They are refused as a whole.
#[rustfmt::skip]
const UNREADABLE: &[Row] = &[
    ("SELCT v FROM m", "1:1", "found SELCT, expected SELECT", "did you mean SELECT?"),
    ("hello", "1:1", "found hello, expected SELECT, EXPLAIN, SHOW", QUOTES),
    ("42", "1:1", "found 42, expected SELECT", QUOTES),
    ("SELECT", "1:7", "found EOF, expected", QUOTES),
    ("SELECT v", "1:9", "found EOF, expected FROM", QUOTES),
    ("SELECT FROM m", "1:8", "found FROM, expected identifier", QUOTES),
    ("SELECT v FRON m", "1:10", "found FRON, expected FROM", "did you mean FROM?"),
    ("SELECT v FROM", "1:14", "found EOF, expected identifier", QUOTES),
    ("SELECT v FROM m WHERE", "1:22", "found EOF, expected identifier", QUOTES),
    ("SELECT v FROM m WERE a = 1", "1:17", "found WERE, expected WHERE", "did you mean WHERE?"),
    ("SELECT v FROM m WHERE (a = 1", "1:29", "found EOF, expected )", QUOTES),
    ("SELECT v FROM m WHERE a = 1)", "1:28", "found ), expected", QUOTES),
    ("SELECT v FROM m WHERE a =~ 'x'", "1:28", "found 'x', expected regex", QUOTES),
    ("SELECT v FROM m LIMIT x", "1:23", "found x, expected integer", QUOTES),
    ("SELECT v FROM m LIMIT -1", "1:23", "found -, expected integer", QUOTES),
    ("SELECT v FROM m LIMIT 1.5", "1:23", "found 1.5, expected integer", QUOTES),
    ("SELECT v FROM m LIMIT 99999999999999999999", "1:23", "99999999999999999999", "use a smaller number"),
    ("SELECT v FROM m LIMIT 1 LIMIT 2", "1:25", "found LIMIT, expected OFFSET, SLIMIT", "did you mean SLIMIT?"),
    ("SELECT mean(v FROM m", "1:15", "found FROM, expected )", QUOTES),
    ("SELECT v, FROM m", "1:11", "found FROM, expected identifier", QUOTES),
    ("SELECT v FROM m,", "1:17", "found EOF, expected identifier", QUOTES),
    ("SELECT v\nFROM m\nWHERE", "3:6", "found EOF, expected identifier", QUOTES),
    ("SELECT v FROM m; SELECT FROM m", "1:25", "found FROM, expected identifier", QUOTES),
    ("SELECT 'v FROM m", "1:8", "found unterminated string", "close it on the same line"),
    ("SELECT \"v FROM m", "1:8", "found unterminated identifier", "close it on the same line"),
    ("SELECT v FROM /m", "1:15", "found unterminated regular expression", "close it on the same line"),
    ("SELECT v FROM m /* end", "1:17", "found unterminated comment", "close it"),
    ("SELECT 'a\\x' FROM m", "1:8", "found bad escape \\x", "write \\\\ for a backslash"),
    ("SELECT v # w FROM m", "1:10", "found unexpected character '#'", "in double quotes"),
    ("SELECT v FROM k\u{f6}ln", "1:16", "found unexpected character '\u{f6}'", "in double quotes"),
    ("SELECT v\0 FROM m", "1:9", "found unexpected character '\\0'", "in double quotes"),
    ("SELECT v FROM m WHERE a > 1e999", "1:27", "number 1e999 is too large", "use a smaller number"),
    ("SELECT v FROM m WHERE time > 5y", "1:30", "5y", "write durations as 90s, 5m or 1h30m"),
    ("SELECT v FROM m WHERE time > 1.5h", "1:30", "found 1.5h, expected a duration of whole numbers", "use a smaller unit"),
    ("SELECT v FROM m WHERE time > now() - 99999999999999999999s", "1:38", "99999999999999999999s", "write durations as 90s, 5m or 1h30m"),
    ("SELECT v FROM m WHERE time > now() - 300000w", "1:38", "300000w", "write durations as 90s, 5m or 1h30m"),
    ("SELECT v FROM m WHERE h = $h", "1:27", "missing parameter: h", "give it in the params of the request"),
    ("SELECT v FROM m ORDER BY h", "1:26", "only ORDER BY time supported", "write ORDER BY time"),
    ("SELECT v FROM m fill(zero)", "1:22", "expected number, null, none, linear or previous in fill()", "write fill(null)"),
    ("SELECT v::text FROM m", "1:11", "unknown type text in a cast", "the types are tag, field"),
    ("SELECT v FROM m tz('Mars')", "1:20", "unable to find time zone Mars", "IANA"),
    ("SELECT mean(v) FROM m GROUP BY time(0s)", "1:32", "time dimension must have duration argument", WINDOW),
    ("SELECT mean(v) FROM m GROUP BY time(-1m)", "1:32", "time dimension must have duration argument", WINDOW),
    ("SELECT mean(v) FROM m GROUP BY time(5)", "1:32", "time dimension must have duration argument", WINDOW),
    ("SELECT mean(v) FROM m GROUP BY time()", "1:32", "time dimension expected 1 or 2 arguments", WINDOW),
    ("SELECT mean(v) FROM m GROUP BY time", "1:32", "time() is a function and expects at least one argument", WINDOW),
    ("SELECT mean(v) FROM m GROUP BY time(1m, x)", "1:32", "time dimension offset must be duration or now()", WINDOW),
    ("SELECT mean(v) FROM m GROUP BY time(1m, 1s, 2s)", "1:32", "time dimension expected 1 or 2 arguments", WINDOW),
    ("SELECT mean(v) FROM m GROUP BY max(v)", "1:32", "only time() calls allowed in dimensions", WINDOW),
    ("SELECT mean(v) FROM m GROUP BY", "1:31", "found EOF, expected", QUOTES),
    ("SHOW", "1:5", "found EOF, expected CONTINUOUS, DATABASES", QUOTES),
    ("SHOW TABLES", "1:6", "found TABLES, expected", QUOTES),
    ("SHOW TAG VALUES", "1:16", "found EOF, expected FROM, ON, WITH", QUOTES),
    ("SHOW TAG KEYS junk", "1:15", "found junk, expected", QUOTES),
    ("DROP TABLE m", "1:6", "found TABLE, expected CONTINUOUS, DATABASE, MEASUREMENT, RETENTION, SERIES", QUOTES),
    ("CREATE DATABASE", "1:16", "found EOF, expected identifier", QUOTES),
    ("CREATE DATABASE d WITH DURATION 1d DURATION 2d", "1:36", "DURATION is given twice", "give it once"),
    ("CREATE RETENTION POLICY p ON d REPLICATION 1", "1:1", "DURATION is missing", "add it, for instance DURATION 30d"),
    ("DELETE", "1:7", "found EOF, expected FROM, WHERE", QUOTES),
    ("INSERT m v=1", "1:1", "found INSERT, expected SELECT", QUOTES),
    ("KILL 36", "1:6", "found 36, expected QUERY", QUOTES),
    ("KILL QUERY", "1:11", "found EOF, expected integer", QUOTES),
    ("KILL QUERY x", "1:12", "found x, expected integer", QUOTES),
    ("KILL QUERY -1", "1:12", "found -, expected integer", QUOTES),
    ("KILL QUERY 18446744073709551616", "1:12", "18446744073709551616", "use a smaller number"),
];

/// Queries without a meaning, and such about things that do not exist.
#[rustfmt::skip]
const MEANINGLESS: &[Row] = &[
    ("SELECT maen(v) FROM m", "1:8", "undefined function maen()", "did you mean mean()?"),
    ("SELECT zzz(v) FROM m", "1:8", "undefined function zzz()", "the functions are count, sum, mean"),
    ("SELECT mean() FROM m", "1:8", "invalid number of arguments for mean, expected 1, got 0", "give it that many"),
    ("SELECT max(v, w) FROM m", "1:8", "invalid number of arguments for max, expected 1, got 2", "give it that many"),
    ("SELECT rate(v, 1s, 2s) FROM m", "1:8", "expected at least 1 but no more than 2, got 3", "give it that many"),
    ("SELECT percentile(v) FROM m", "1:8", "invalid number of arguments for percentile, expected 2, got 1", "give it that many"),
    ("SELECT percentile(v, 101) FROM m", "1:22", "expected a percentage from 0 to 100 in percentile(), got 101", "percentile(usage, 99.9)"),
    ("SELECT percentile(v, 'x') FROM m", "1:22", "expected float argument in percentile()", "percentile(usage, 99.9)"),
    ("SELECT derivative(v, 10) FROM m", "1:22", "second argument to derivative must be a duration, got 10", "derivative(usage, 1s)"),
    ("SELECT derivative(v, 0s) FROM m", "1:22", "duration argument must be positive, got 0s", "derivative(usage, 1s)"),
    ("SELECT derivative(mean(v)) FROM m", "1:8", "derivative aggregate requires a GROUP BY interval", "GROUP BY time(1m)"),
    ("SELECT mean(max(v)) FROM m", "1:13", "expected field argument in mean()", "give it the name of a field"),
    ("SELECT mean(v), w FROM m", "1:17", "mixing aggregate and non-aggregate queries is not supported", "put the plain columns into GROUP BY"),
    ("SELECT v FROM m GROUP BY time(1m)", "1:26", "GROUP BY requires at least one aggregate function", "or leave out GROUP BY time()"),
    ("SELECT mean(v) FROM m GROUP BY time(1m), time(1h)", "1:42", "multiple time dimensions not allowed", "keep one time()"),
    ("SELECT v FROM m fill(none)", "1:8", "fill(none) must be used with a function", "aggregate the columns or leave out fill()"),
    ("SELECT time FROM m", "1:8", "at least 1 non-time field must be queried", "add a field"),
    ("SELECT 5 FROM m", "1:8", "field must contain at least one variable", "add a field to the expression"),
    ("SELECT v > 5 FROM m", "1:10", "invalid operator > in SELECT clause", "move the condition behind WHERE"),
    ("SELECT * + 1 FROM m", "1:8", "unsupported expression with wildcard: * + 1", "name the fields one by one"),
    ("SELECT v FROM /a(b/", "1:15", "invalid regular expression /a(b/: unclosed group", "correct it"),
    ("SELECT v FROM m WHERE h =~ /?/", "1:28", "invalid regular expression /?/", "correct it"),
    ("SELECT v FROM m WHERE h =~ /(?=a)/", "1:28", "look-around", "lookaround does not exist"),
    ("SELECT v FROM m WHERE h =~ /(((a{1000}){1000}){1000})/", "1:28", "is too large: it needs more than 1048576 bytes when compiled", "use smaller repetition counts"),
    ("SELECT v FROM m WHERE h =~ /\\pL{1000}{100}/", "1:28", "is too large: it needs more than 1048576 bytes when compiled", "use smaller repetition counts"),
    ("SELECT v FROM m WHERE time > 0 OR v = 1", "1:23", "time conditions cannot be combined with OR", "join the time range with AND"),
    ("SELECT v FROM m WHERE time != 0", "1:28", "invalid time comparison operator: !=", "use =, <, <=, > or >="),
    ("SELECT v FROM m WHERE time > 'yesterday'", "1:30", "invalid timestamp string: 'yesterday'", "write '2026-01-31'"),
    ("SELECT v FROM m WHERE time > '2023-13-01'", "1:30", "invalid timestamp string: '2023-13-01'", "write '2026-01-31'"),
    ("SELECT v FROM m WHERE mean(v) > 1", "1:23", "invalid function call in condition: mean()", "aggregate in a subquery"),
    ("SELECT v FROM m WHERE h", "1:23", "invalid condition expression: h", "compare it with something"),
    ("SELECT v FROM m WHERE time > now() - 9223372036854775807 * 9223372036854775807 * 9223372036854775807 * 9h", "1:", "cannot be computed", "numbers that fit each other"),
    ("DELETE FROM m WHERE v > 5", "1:21", "fields not supported in WHERE clause during deletion", "delete by time and tags only"),
    ("DROP SERIES FROM m WHERE h = 'a' AND time > 0", "1:26", "DROP SERIES doesn't support time in WHERE clause", "use DELETE for a range of time"),
    ("SELECT v FROM (SELECT wombat(v) FROM m)", "1:23", "undefined function wombat()", "the functions are"),
    ("SELECT v FROM (SELECT foo(v) FROM m)", "1:23", "undefined function foo()", "did you mean floor()?"),
];

/// A text, the words, what to do, and the code of gRPC, by which the status of `/api/v1/query` is known.
#[rustfmt::skip]
const REFUSED: &[(&str, &str, &str, Code)] = &[
    ("SELECT v FROM nowhere..m", "database not found: nowhere", "", Code::NotFound),
    ("SELECT v FROM control.nope.m", "retention policy not found: nope", "", Code::NotFound),
    ("SHOW RETENTION POLICIES ON nowhere", "database not found: nowhere", "", Code::NotFound),
    ("ALTER RETENTION POLICY p ON nowhere DURATION 1d", "database not found: nowhere", "", Code::NotFound),
    ("CREATE RETENTION POLICY p ON nowhere DURATION 1d", "database not found: nowhere", "", Code::NotFound),
    ("KILL QUERY 999999", "no such query id: 999999", "SHOW QUERIES lists those that there are", Code::NotFound),
    ("CREATE DATABASE \"a/b\"", "database name \"a/b\" is not valid", "use 1 to 64 of", Code::InvalidArgument),
    ("CREATE DATABASE \"..\"", "database name \"..\" is not valid", "use 1 to 64 of", Code::InvalidArgument),
    ("CREATE DATABASE \"\"", "database name \"\" is not valid", "use 1 to 64 of", Code::InvalidArgument),
    ("CREATE RETENTION POLICY \"a b\" ON control DURATION 1d", "retention policy name \"a b\" is not valid", "use 1 to 64 of", Code::InvalidArgument),
    ("SELECT count(v) FROM control..control WHERE time >= '1700-01-01' AND time < '2200-01-01' GROUP BY time(1ns) fill(0)", "exceeded", "widen the windows", Code::ResourceExhausted),
];

/// Texts that are too large to write down: what they are, how they are made, what is said.
type Made = (&'static str, fn() -> String, &'static [&'static str]);

#[rustfmt::skip]
const MADE: &[Made] = &[
    ("a text too long", || format!("SELECT v FROM m -- {}", "x".repeat(17_000)), &["query is too long", "the limit is 16384", "split it"]),
    ("parentheses", || format!("SELECT {}v{} FROM m", "(".repeat(101), ")".repeat(101)), &["query is nested too deeply: the limit is 100 levels", "take out parentheses"]),
    ("open parentheses", || format!("SELECT {}", "(".repeat(16_000)), &["query is nested too deeply"]),
    ("a long sum", || format!("SELECT v{} FROM m", "+v".repeat(101)), &["query is nested too deeply", "split long sums"]),
    ("signs", || format!("SELECT {}v FROM m", "- ".repeat(200)), &["query is nested too deeply"]),
    ("calls", || format!("SELECT {}v{} FROM m", "f(".repeat(101), ")".repeat(101)), &["query is nested too deeply"]),
    ("subqueries", || format!("SELECT v FROM {}m{}", "(SELECT v FROM ".repeat(101), ")".repeat(101)), &["query is nested too deeply"]),
    ("commas", || format!("SELECT {}", ",".repeat(16_000)), &["found ,, expected", "line 1, char 8"]),
    ("semicolons and a mistake", || format!("{}SELECT", ";".repeat(16_000)), &["found EOF", "line 1, char 16007"]),
    ("a number of 10000 digits", || format!("SELECT v FROM m LIMIT {}", "9".repeat(10_000)), &["use a smaller number"]),
];

/// Requests whose parameters are wrong: method, target, headers, body, status, what is said.
type Request = (&'static str, &'static str, Headers, &'static [u8], u16, &'static [&'static str]);

const UNITS: &str = "(use n, u, ms, s, m or h)";
const EXAMPLE: &str = "write for instance params={\"host\":\"a\",\"limit\":10}";
const FORM: Headers = &[("Content-Type", "application/x-www-form-urlencoded")];
const JSON: Headers = &[("Content-Type", "application/json")];
const MISSING: &str = "missing required parameter \"q\"";
const FORMS: &[&str] =
    &["accept application/json, text/csv", "application/x-ndjson", "application/x-protobuf"];
const DOCUMENT: &str = "write for instance {\"database\":\"mydb\",\"query\":\"SHOW MEASUREMENTS\"}";

#[rustfmt::skip]
const REQUESTS: &[Request] = &[
    // `/query`.
    ("GET", "/query", &[], b"", 400, &[MISSING]),
    ("POST", "/query", &[], b"", 400, &[MISSING]),
    ("GET", "/query?q=", &[], b"", 400, &[MISSING]),
    ("GET", "/query?q=%20%09", &[], b"", 400, &[MISSING]),
    ("GET", "/query?query=SHOW+DATABASES", &[], b"", 400, &[MISSING]),
    ("POST", "/query", FORM, b"Q=SHOW+DATABASES", 400, &[MISSING]),
    ("GET", "/query?q=SHOW+DATABASES&epoch=d", &[], b"", 400, &["invalid epoch \"d\"", UNITS]),
    ("GET", "/query?q=SHOW+DATABASES&epoch=MS", &[], b"", 400, &["invalid epoch \"MS\"", UNITS]),
    ("POST", "/query", FORM, b"q=SHOW+DATABASES&epoch=-1", 400, &["invalid epoch \"-1\"", UNITS]),
    ("GET", "/query?q=SHOW+DATABASES&chunked=true&chunk_size=0", &[], b"", 400, &["invalid chunk_size \"0\"", "a whole number of rows above 0"]),
    ("GET", "/query?q=SHOW+DATABASES&chunked=true&chunk_size=-1", &[], b"", 400, &["invalid chunk_size \"-1\"", "a whole number of rows above 0"]),
    ("GET", "/query?q=SHOW+DATABASES&chunked=true&chunk_size=x", &[], b"", 400, &["invalid chunk_size \"x\"", "a whole number of rows above 0"]),
    ("GET", "/query?q=SHOW+DATABASES&chunked=true&chunk_size=99999999999999999999", &[], b"", 400, &["invalid chunk_size", "a whole number of rows above 0"]),
    ("GET", "/query?q=SHOW+DATABASES&params=%7B", &[], b"", 400, &["error parsing query parameters", "line 1 column 1", EXAMPLE]),
    ("GET", "/query?q=SHOW+DATABASES&params=1", &[], b"", 400, &["error parsing query parameters", EXAMPLE]),
    ("GET", "/query?q=SHOW+DATABASES&params=%5B1%5D", &[], b"", 400, &["error parsing query parameters", EXAMPLE]),
    ("GET", "/query?q=SHOW+DATABASES&params=%7B%22a%22:null%7D", &[], b"", 400, &["error parsing query parameters", "\"a\"", EXAMPLE]),
    ("GET", "/query?q=SHOW+DATABASES&params=%7B%22a%22:%5B1%5D%7D", &[], b"", 400, &["error parsing query parameters", "\"a\"", EXAMPLE]),
    ("GET", "/query?q=SHOW+DATABASES&params=%7B%22a%22:%7B%22date%22:1%7D%7D", &[], b"", 400, &["error parsing query parameters", "\"a\"", EXAMPLE]),
    ("GET", "/query?q=SHOW+DATABASES&params=%7B%22a%22:1e999%7D", &[], b"", 400, &["error parsing query parameters", EXAMPLE]),
    ("GET", "/query?q=SHOW+DATABASES&params=%7B%22a%22:%7B%22duration%22:%225x%22%7D%7D", &[], b"", 400, &["error parsing query parameters", "5x", EXAMPLE]),
    ("GET", "/query?q=SELECT+v+FROM+m+WHERE+h=~$r&db=$DB&params=%7B%22r%22:%22a%22%7D", &[], b"", 400, &["expected regex at line 1, char 26"]),
    ("GET", "/query?q=SELECT+v+FROM+m+LIMIT+$n&db=$DB&params=%7B%22n%22:-1%7D", &[], b"", 400, &["expected integer at line 1, char 23"]),
    ("GET", "/query?q=SELECT+v+FROM+m+LIMIT+$n&db=$DB&params=%7B%22n%22:1.5%7D", &[], b"", 400, &["expected integer at line 1, char 23"]),
    ("GET", "/query?q=SELECT+v+FROM+$m&db=$DB&params=%7B%22m%22:5%7D", &[], b"", 400, &["expected identifier", "at line 1, char 15"]),
    ("GET", "/query?q=SELECT+%ff+FROM+m", &[], b"", 400, &["found unexpected character", "at line 1, char 8"]),
    ("POST", "/query", JSON, b"{\"q\":\"SHOW DATABASES\"}", 415, &["unsupported content type \"application/json\"", "send application/x-www-form-urlencoded"]),
    ("POST", "/query", &[("Content-Type", "text/plain")], b"SHOW DATABASES", 415, &["unsupported content type", "send application/x-www-form-urlencoded"]),
    ("POST", "/query", &[("Content-Type", "multipart/form-data; boundary=x")], b"--x--", 400, &["missing required parameter"]),
    ("POST", "/query", &[("Content-Type", "multipart/form-data; boundary=x")], b"--x\r\nContent-Disposition: form-data", 400, &["multipart form"]),
    ("POST", "/query", &[("Content-Type", "multipart/form-data")], b"--x--", 400, &["boundary"]),
    ("POST", "/query", &[("Content-Type", "multipart/mixed; boundary=x")], b"--x--", 415, &["unsupported content type", "send application/x-www-form-urlencoded"]),
    ("POST", "/query", &[("Content-Type", "")], b"SHOW DATABASES", 400, &[MISSING]),
    ("POST", "/query?q=DROP+DATABASE+control&read_only=true", &[], b"", 403, &["refused with read_only=true"]),
    ("GET", "/query?q=DROP+DATABASE+control", &[("Origin", "http://localhost")], b"", 403, &["from a web page: use POST"]),
    // `/api/v1/query`.
    ("POST", "/api/v1/query", &[], b"", 400, &[MISSING]),
    ("POST", "/api/v1/query?q=", FORM, b"", 400, &[MISSING]),
    ("POST", "/api/v1/query", FORM, b"SHOW DATABASES", 400, &[MISSING]),
    ("POST", "/api/v1/query?epoch=d", &[], b"SHOW DATABASES", 400, &["invalid epoch \"d\"", UNITS]),
    ("POST", "/api/v1/query?params=%7B", &[], b"SHOW DATABASES", 400, &["error parsing query parameters", EXAMPLE]),
    ("POST", "/api/v1/query", &[], b"SHOW \xff", 400, &["the query is no UTF-8 at byte 5"]),
    ("POST", "/api/v1/query", JSON, b"", 400, &["error parsing the request", "line 1 column 0", DOCUMENT]),
    ("POST", "/api/v1/query", JSON, b"{", 400, &["error parsing the request", "line 1 column 1", DOCUMENT]),
    ("POST", "/api/v1/query", JSON, b"[]", 400, &["error parsing the request", DOCUMENT]),
    ("POST", "/api/v1/query", JSON, b"null", 400, &["error parsing the request", DOCUMENT]),
    ("POST", "/api/v1/query", JSON, b"\"SHOW DATABASES\"", 400, &["error parsing the request", DOCUMENT]),
    ("POST", "/api/v1/query", JSON, b"{}", 400, &["error parsing the request", "missing field `query`", DOCUMENT]),
    ("POST", "/api/v1/query", JSON, br#"{"query":1}"#, 400, &["error parsing the request", "line 1 column 10", DOCUMENT]),
    ("POST", "/api/v1/query", JSON, br#"{"query":"SHOW DATABASES","databse":"d"}"#, 400, &["unknown field `databse`", "`database`", DOCUMENT]),
    ("POST", "/api/v1/query", JSON, br#"{"query":"SHOW DATABASES","query":"SHOW DATABASES"}"#, 400, &["duplicate field `query`", DOCUMENT]),
    ("POST", "/api/v1/query", JSON, br#"{"query":"SHOW DATABASES"} x"#, 400, &["error parsing the request", "line 1 column 28", DOCUMENT]),
    ("POST", "/api/v1/query", JSON, br#"{"query":"SHOW DATABASES",}"#, 400, &["error parsing the request", "line 1 column 27", DOCUMENT]),
    ("POST", "/api/v1/query", JSON, b"{\"query\":\"\xff\"}", 400, &["error parsing the request", DOCUMENT]),
    ("POST", "/api/v1/query", JSON, br#"{"query":"\ud800"}"#, 400, &["error parsing the request", DOCUMENT]),
    ("POST", "/api/v1/query", JSON, br#"{"query":"SHOW DATABASES","epoch":"d"}"#, 400, &["invalid epoch \"d\"", UNITS]),
    ("POST", "/api/v1/query", JSON, br#"{"query":"SHOW DATABASES","params":[1]}"#, 400, &["error parsing query parameters", EXAMPLE]),
    ("POST", "/api/v1/query", JSON, br#"{"query":"SHOW DATABASES","params":{"a":[]}}"#, 400, &["error parsing query parameters", "\"a\"", EXAMPLE]),
    ("POST", "/api/v1/query", &[("Content-Type", "application/xml")], b"<q/>", 415, &["unsupported content type \"application/xml\"", "send application/json, text/plain"]),
    ("POST", "/api/v1/query", &[("Content-Type", "application/x-protobuf")], b"\xff\xff", 400, &["the body is no message tsdb.v1.QueryRequest"]),
    ("POST", "/api/v1/query", &[("Content-Type", "application/x-protobuf")], b"\x1a\x05SHOW", 400, &["the body is no message tsdb.v1.QueryRequest"]),
    ("POST", "/api/v1/query", &[("Content-Type", "application/x-protobuf")], b"\x1a\x01\xff", 400, &["the body is no message tsdb.v1.QueryRequest"]),
    ("POST", "/api/v1/query", &[("Accept", "text/html")], b"SHOW DATABASES", 406, FORMS),
    ("POST", "/api/v1/query", &[("Accept", "application/json;q=0")], b"SHOW DATABASES", 406, FORMS),
    ("POST", "/api/v1/query", &[("Accept", "application/msgpack, image/*")], b"SHOW DATABASES", 406, FORMS),
    ("POST", "/api/v1/query", &[("Accept", "json")], b"SHOW DATABASES", 406, FORMS),
];

/// How many bad inputs the tables hold.
pub fn count() -> usize {
    UNREADABLE.len() + MEANINGLESS.len() + REFUSED.len() + MADE.len() + REQUESTS.len()
}

/// Sends them all.
pub fn run(bench: &mut Bench) {
    let caller = Caller::new(bench.server());
    for (text, place, words, remedy) in UNREADABLE {
        bench.case(&name(text.as_bytes()), |case| {
            let says = [words, remedy, &placed(place)[..]];
            refused_as_a_whole(case, &caller, text, &says);
        });
    }
    for (text, place, words, remedy) in MEANINGLESS {
        bench.case(&name(text.as_bytes()), |case| {
            case.write_one_row();
            let says = [words, remedy, &placed(place)[..]];
            answered_with_an_error(case, &caller, text, Code::InvalidArgument, &says);
            case.stored(1);
        });
    }
    for (text, words, remedy, code) in REFUSED {
        bench.case(&name(text.as_bytes()), |case| {
            answered_with_an_error(case, &caller, text, *code, &[words, remedy]);
        });
    }
    for (what, make, says) in MADE {
        bench.case(what, |case| refused_as_a_whole(case, &caller, &make(), says));
    }
    for (method, target, headers, body, status, says) in REQUESTS {
        bench.case(&format!("{method} {target} {headers:?} {}", name(body)), |case| {
            let response = case.send(method, target, headers, body);
            case.refused(&response, *status, says);
        });
    }
    large_form(bench);
    inverted_range(bench);
}

/// A form is received up to 128 KiB.
fn large_form(bench: &mut Bench) {
    for target in ["/query", "/api/v1/query"] {
        bench.case(&format!("{target} with a large form"), |case| {
            let body = format!("q={}", "x".repeat(200_000));
            let response = case.send("POST", target, FORM, body.as_bytes());
            case.refused(&response, 413, &["Request Entity Too Large"]);
        });
    }
}

/// A range that ends before it begins is empty, and no mistake.
fn inverted_range(bench: &mut Bench) {
    bench.case("a range that ends before it begins", |case| {
        case.write_one_row();
        let text = "SELECT v FROM m WHERE time > 10 AND time < 5";
        let target = format!("/query?db=$DB&q={}", escape(text));
        let response = case.send("GET", &target, &[], b"");
        let empty = json!({"results": [{"statement_id": 0}]});
        case.expect(response.json() == empty, || response.text());
    });
}

/// `line 1, char 8` of `1:8`.
fn placed(place: &str) -> String {
    match place.split_once(':') {
        Some((line, char)) => format!("at line {line}, char {char}"),
        None => String::new(),
    }
}

/// The ways to ask over HTTP: method, target, content type, body.
fn ways(text: &str) -> [(&'static str, String, Headers, Vec<u8>); 4] {
    let form = format!("q={}&db=$DB", escape(text));
    let json = json!({"query": text, "database": "$DB"}).to_string();
    [
        ("GET", format!("/query?{form}"), &[], Vec::new()),
        ("POST", "/query?db=$DB".to_owned(), FORM, form.into_bytes()),
        ("POST", "/api/v1/query?db=$DB".to_owned(), &[], text.as_bytes().to_vec()),
        ("POST", "/api/v1/query?db=$DB".to_owned(), JSON, json.into_bytes()),
    ]
}

/// Asks in all ways; each refuses the request.
fn refused_as_a_whole(case: &mut Case, caller: &Caller, text: &str, says: &[&str]) {
    for (method, target, headers, body) in ways(text) {
        let body = String::from_utf8(body).unwrap().replace("$DB", case.database());
        let response = case.send(method, &target, headers, body.as_bytes());
        case.refused(&response, 400, says);
        case.refused(&response, 400, &["error parsing query: "]);
    }
    let answer = caller.query(case.database(), text);
    answer.expect(case, Code::InvalidArgument, says);
}

/// Asks in all ways; `/query` answers with an error inside, the others with its status and code.
fn answered_with_an_error(case: &mut Case, caller: &Caller, text: &str, code: Code, says: &[&str]) {
    for (method, target, headers, body) in ways(text) {
        let body = String::from_utf8(body).unwrap().replace("$DB", case.database());
        let response = case.send(method, &target, headers, body.as_bytes());
        let status = if target.starts_with("/query") { 200 } else { status_of(code) };
        case.expect(response.status == status, || {
            format!("{target}: {status} expected: {} {}", response.status, response.text())
        });
        let error = error_inside(&response);
        for part in says {
            case.expect(error.contains(part), || format!("{target}: {part:?} is not in {error:?}"));
        }
    }
    let answer = caller.query(case.database(), text);
    answer.expect(case, code, says);
}

fn error_inside(response: &Response) -> String {
    let document: Value = serde_json::from_slice(&response.body).unwrap_or_default();
    document["results"][0]["error"].as_str().unwrap_or_default().to_owned()
}

/// The table of `docs/api.md`.
fn status_of(code: Code) -> u16 {
    match code {
        Code::InvalidArgument => 400,
        Code::NotFound => 404,
        Code::ResourceExhausted => 422,
        other => panic!("{other:?} is not expected here"),
    }
}
