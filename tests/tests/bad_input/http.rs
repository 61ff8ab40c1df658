//! Requests to wrong places, by wrong methods, and from web pages. `docs/operations.md` and `docs/api.md` are
//! where the expectations come from.

use super::{Bench, Headers};

/// Method, target, headers, status, what is said.
type Request = (&'static str, &'static str, Headers, u16, &'static [&'static str]);

const CROSS_SITE: &[&str] = &["cross-site requests are refused", "without a browser"];
const HOST: &[&str] = &["is not served here", "use 127.0.0.1 or localhost in the URL"];
const READS: &[&str] = &["use GET, HEAD"];
const WRITES: &[&str] = &["use POST"];

#[rustfmt::skip]
const REQUESTS: &[Request] = &[
    // Paths that do not exist.
    ("GET", "/nowhere", &[], 404, &["path \"/nowhere\" not found", "there are /, /ping"]),
    ("POST", "/api/v2/query?org=o", &[], 404, &["path \"/api/v2/query\" not found", "/api/v1/query"]),
    ("POST", "/api/v3/query_sql?db=d", &[], 404, &["path \"/api/v3/query_sql\" not found"]),
    ("GET", "/api/v1/query_range", &[], 404, &["path \"/api/v1/query_range\" not found"]),
    ("GET", "/write/", &[], 404, &["path \"/write/\" not found"]),
    ("GET", "//write", &[], 404, &["path \"//write\" not found"]),
    ("GET", "/WRITE", &[], 404, &["path \"/WRITE\" not found"]),
    ("POST", "/write%2f", &[], 404, &["not found"]),
    ("GET", "/../../etc/passwd", &[], 404, &["not found"]),
    ("GET", "/%2e%2e/%2e%2e/etc/passwd", &[], 404, &["not found"]),
    ("GET", "/%00", &[], 404, &["not found"]),
    ("GET", "/%ff", &[], 404, &["not found"]),
    ("OPTIONS", "*", &[], 404, &["not found"]),
    // Methods that a path does not have.
    ("POST", "/", &[], 405, READS),
    ("POST", "/ping", &[], 405, READS),
    ("PUT", "/health", &[], 405, READS),
    ("POST", "/metrics", &[], 405, READS),
    ("DELETE", "/metrics", &[], 405, READS),
    ("GET", "/write?db=$DB", &[], 405, WRITES),
    ("PUT", "/write?db=$DB", &[], 405, WRITES),
    ("PATCH", "/api/v1/write?db=$DB", &[], 405, WRITES),
    ("GET", "/api/v2/write?bucket=$DB", &[], 405, WRITES),
    ("PUT", "/api/v3/write_lp?db=$DB", &[], 405, WRITES),
    ("GET", "/api/v1/write?db=$DB", &[], 405, WRITES),
    ("GET", "/api/v1/query?q=SHOW+DATABASES", &[], 405, WRITES),
    ("DELETE", "/query?q=SHOW+DATABASES", &[], 405, &["use GET, HEAD, POST"]),
    ("PUT", "/query?q=SHOW+DATABASES", &[], 405, &["use GET, HEAD, POST"]),
    ("OPTIONS", "/query?q=SHOW+DATABASES", &[], 405, &["use GET, HEAD, POST"]),
    ("POST", "/api/v1/status/tsdb?db=$DB", &[], 405, READS),
    ("GET", "/api/v1/status/tsdb", &[], 400, &["database is required"]),
    ("GET", "/api/v1/status/tsdb?db=nowhere", &[], 404, &["nowhere"]),
    ("GET", "/api/v1/status/tsdb?db=$DB&limit=-1", &[], 400, &["invalid limit \"-1\"", "from 1 to 10000"]),
    ("GET", "/api/v1/admin/flush", &[], 405, WRITES),
    ("PUT", "/api/v1/admin/flush", &[], 405, WRITES),
    ("GET", "/api/v1/admin/compact", &[], 405, WRITES),
    ("DELETE", "/api/v1/admin/compact", &[], 405, WRITES),
    ("BREW", "/write?db=$DB", &[], 405, WRITES),
    ("TRACE", "/ping", &[], 405, READS),
    ("get", "/ping", &[], 405, READS),
    // Names that a web page made point here.
    ("GET", "/query?q=SHOW+DATABASES", &[("Host", "evil.example:8086")], 403, HOST),
    ("POST", "/write?db=$DB", &[("Host", "evil.example")], 403, HOST),
    ("GET", "/metrics", &[("Host", "127.0.0.1.evil.example")], 403, HOST),
    ("GET", "/metrics", &[("Host", "localhost.evil.example")], 403, HOST),
    ("GET", "/api/v1/status/tsdb?db=$DB", &[("Host", "evil.example")], 403, HOST),
    ("GET", "/ping", &[("Host", "")], 403, HOST),
    ("GET", "/ping", &[("Host", "[evil")], 403, HOST),
    ("GET", "http://evil.example/ping", &[], 403, HOST),
    // Requests that a web page sent.
    ("POST", "/write?db=$DB", &[("Origin", "https://evil.example")], 403, CROSS_SITE),
    ("POST", "/write?db=$DB", &[("Origin", "null")], 403, CROSS_SITE),
    ("POST", "/write?db=$DB", &[("Origin", "")], 403, CROSS_SITE),
    ("POST", "/write?db=$DB", &[("Origin", "http://127.0.0.1:1")], 403, CROSS_SITE),
    ("POST", "/api/v1/write?db=$DB", &[("Origin", "https://evil.example")], 403, CROSS_SITE),
    ("POST", "/api/v2/write?bucket=$DB", &[("Origin", "https://evil.example")], 403, CROSS_SITE),
    ("POST", "/api/v3/write_lp?db=$DB", &[("Sec-Fetch-Site", "cross-site")], 403, CROSS_SITE),
    ("POST", "/api/v1/query?q=DROP+DATABASE+control", &[("Origin", "https://evil.example")], 403, CROSS_SITE),
    ("POST", "/query?q=DROP+DATABASE+control", &[("Origin", "https://evil.example")], 403, CROSS_SITE),
    ("POST", "/query?q=DROP+DATABASE+control", &[("Sec-Fetch-Site", "cross-site")], 403, CROSS_SITE),
    ("POST", "/query?q=DROP+DATABASE+control", &[("Sec-Fetch-Site", "same-site")], 403, CROSS_SITE),
    ("GET", "/query?q=DROP+DATABASE+control", &[("Origin", "https://evil.example")], 403, &["use POST"]),
    ("GET", "/query?q=DROP+DATABASE+control", &[("Sec-Fetch-Site", "cross-site")], 403, &["use POST"]),
    ("POST", "/api/v1/admin/flush", &[("Origin", "https://evil.example")], 403, CROSS_SITE),
    ("POST", "/api/v1/admin/compact", &[("Sec-Fetch-Site", "cross-site")], 403, CROSS_SITE),
    ("OPTIONS", "/write?db=$DB", &[("Origin", "https://evil.example")], 403, CROSS_SITE),
];

/// How many bad inputs the table holds.
pub fn count() -> usize {
    REQUESTS.len()
}

/// Sends them all, with a line as the body where the method has one.
pub fn run(bench: &mut Bench) {
    for (method, target, headers, status, says) in REQUESTS {
        bench.case(&format!("{method} {target} {headers:?}"), |case| {
            let body: &[u8] = if *method == "POST" { b"m v=1 1" } else { b"" };
            let response = case.send(method, target, headers, body);
            case.refused(&response, *status, says);
            let cors = response.header("access-control-allow-origin");
            case.expect(cors.is_none(), || format!("a page may read the answer: {cors:?}"));
            case.stored(0);
        });
    }
}
