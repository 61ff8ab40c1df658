//! The HTTP surface as clients see it: what they rely on when all is well, and for every bad input the
//! status and the text they get.

#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test reports by panicking, its helpers too"
)]

use flate2::{Compression, write::GzEncoder};
use serde_json::{Value, json};
use std::io::Write;
use tsdb_tests::http::{Client, Response, escape};
use tsdb_tests::server::{Server, commands_of};

fn start() -> (tempfile::TempDir, Server) {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), &[]);
    (dir, server)
}

fn gzip(data: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(data).unwrap();
    encoder.finish().unwrap()
}

#[track_caller]
fn assert_common_headers(response: &Response) {
    assert_eq!(response.header("x-influxdb-version"), Some("1.8.10"));
    assert_eq!(response.header("x-influxdb-build"), Some("OSS"));
    let id = response.header("request-id").unwrap();
    assert!(!id.is_empty());
    assert_eq!(response.header("x-request-id"), Some(id));
    if !response.body.is_empty() && !response.text().starts_with('#') {
        assert_eq!(response.header("content-type"), Some("application/json"));
        assert!(response.text().ends_with('\n'), "{}", response.text());
        response.json();
    }
    if response.status >= 400 {
        let error = response.header("x-influxdb-error").unwrap();
        let body = response.json();
        let first_line = body["error"].as_str().unwrap().lines().next().unwrap().to_owned();
        assert_eq!(error.split("??").next().unwrap().len().min(20), first_line.len().min(20));
    }
}

#[test]
fn ping_health_and_metrics() {
    let (_dir, server) = start();
    let mut client = server.client();
    for method in ["GET", "HEAD"] {
        let response = client.request(method, "/ping", &[], &[]).unwrap();
        assert_eq!((response.status, response.body.len()), (204, 0));
        assert_common_headers(&response);
    }
    let response = client.get("/ping?verbose=true").unwrap();
    assert_eq!((response.status, response.json()), (200, json!({"version": "1.8.10"})));
    let response = client.get("/health").unwrap();
    assert_eq!(response.status, 200);
    assert_eq!(
        response.json(),
        json!({"name": "influxdb", "message": "ready for queries and writes", "status": "pass",
               "checks": [], "version": "1.8.10"})
    );
    client.write("m", "cpu v=1,w=2 1");
    client.query("m", "SELECT v FROM cpu");
    let response = client.get("/metrics").unwrap();
    assert_eq!(response.status, 200);
    assert!(response.header("content-type").unwrap().starts_with("text/plain; version=0.0.4"));
    let text = response.text();
    for line in [
        "tsdb_http_requests_total{method=\"POST\",path=\"/write\",status=\"204\"} 1",
        "tsdb_write_rows_total 1",
        "tsdb_query_statements_total 1",
        "tsdb_memory_limit_bytes{pool=\"memtable\"}",
        "tsdb_http_request_duration_seconds_bucket{path=\"/write\",le=\"+Inf\"} 1",
    ] {
        assert!(text.lines().any(|known| known.starts_with(line)), "{line} is missing in\n{text}");
    }
}

#[test]
fn a_client_finds_its_own_request_id() {
    let (_dir, server) = start();
    let mut client = server.client();
    let response = client.request("GET", "/ping", &[("X-Request-Id", "my-own.7")], &[]).unwrap();
    assert_eq!(response.header("request-id"), Some("my-own.7"));
    let ids: Vec<_> = (0..3)
        .map(|_| client.get("/ping").unwrap().header("request-id").unwrap().to_owned())
        .collect();
    assert!(ids[0] != ids[1] && ids[1] != ids[2], "{ids:?}");
}

#[test]
fn what_was_acknowledged_is_read_at_once() {
    let (_dir, server) = start();
    let mut client = server.client();
    client.write("db", "# a comment\n\ncpu,host=a,rack=r1 usage=0.5,temp=40i 1700000000000000000\ncpu,host=b usage=1.5 1700000000000000000\n");
    let results = client.query("db", "SELECT usage, temp FROM cpu GROUP BY host");
    assert_eq!(
        results,
        json!([{"statement_id": 0, "series": [
            {"name": "cpu", "tags": {"host": "a"}, "columns": ["time", "usage", "temp"],
             "values": [[1_700_000_000_000_000_000_u64, 0.5, 40]]},
            {"name": "cpu", "tags": {"host": "b"}, "columns": ["time", "usage", "temp"],
             "values": [[1_700_000_000_000_000_000_u64, 1.5, null]]},
        ]}])
    );
    assert_eq!(client.number("db", "SELECT mean(usage) FROM cpu"), Some(1.0));
    assert_eq!(client.number("db", "SELECT usage FROM nothing"), None);
    assert_eq!(client.query("db", "SELECT x FROM nothing"), json!([{"statement_id": 0}]));
}

#[test]
fn precisions_scale_timestamps_and_epochs_scale_them_back() {
    let (_dir, server) = start();
    let mut client = server.client();
    for (precision, stamp) in [
        ("n", "1699999200000000000"),
        ("ns", "1699999200000000000"),
        ("u", "1699999200000000"),
        ("ms", "1699999200000"),
        ("s", "1699999200"),
        ("m", "28333320"),
        ("h", "472222"),
    ] {
        let target = format!("/write?db=p_{precision}&precision={precision}");
        assert_eq!(client.post(&target, format!("m v=1 {stamp}").as_bytes()).unwrap().status, 204);
        let epoch = if precision == "n" { "ns" } else { precision };
        let target = format!("/query?db=p_{precision}&epoch={epoch}&q=SELECT+v+FROM+m");
        let time =
            client.get(&target).unwrap().json()["results"][0]["series"][0]["values"][0][0].clone();
        assert_eq!(time.to_string(), stamp, "{precision}");
        let target = format!("/query?db=p_{precision}&q=SELECT+v+FROM+m");
        let time =
            client.get(&target).unwrap().json()["results"][0]["series"][0]["values"][0][0].clone();
        assert_eq!(time, json!("2023-11-14T22:00:00Z"), "{precision}");
    }
}

#[test]
fn bodies_may_be_gzip_forms_or_come_in_chunks() {
    let (_dir, server) = start();
    let mut client = server.client();
    let packed = gzip(b"m v=1 1\nm v=2 2\n");
    let headers = [("Content-Encoding", "gzip")];
    assert_eq!(client.request("POST", "/write?db=db", &headers, &packed).unwrap().status, 204);
    let chunked = format!(
        "POST /write?db=db HTTP/1.1\r\nHost: {}\r\nTransfer-Encoding: chunked\r\n\r\n8\r\nm v=3 3\n\r\n7\r\nm v=4 4\r\n0\r\n\r\n",
        server.address()
    );
    assert_eq!(client.exchange(chunked.as_bytes(), false).unwrap().status, 204);
    assert_eq!(client.number("db", "SELECT count(v) FROM m"), Some(4.0));
    // TSBS posts an empty body and puts everything into the URL.
    let target = format!("/query?db=db&q={}", escape("SELECT sum(v) FROM m"));
    let response = client.post(&target, &[]).unwrap();
    assert_eq!(response.json()["results"][0]["series"][0]["values"][0][1], json!(10));
}

#[test]
fn databases_come_and_go_by_statements() {
    let (_dir, server) = start();
    let mut client = server.client();
    let names =
        |client: &mut Client| client.query("", "SHOW DATABASES")[0]["series"][0]["values"].clone();
    let response =
        client.get(&format!("/query?q={}", escape("CREATE DATABASE \"x\" WITH REPLICATION 1")));
    let response = response.unwrap();
    assert_eq!(response.status, 200);
    let message = &response.json()["results"][0]["messages"][0];
    assert_eq!(message["level"], json!("warning"));
    let text = message["text"].as_str().unwrap();
    assert!(text.starts_with("deprecated use of 'CREATE DATABASE "), "{text}");
    assert!(text.ends_with("in a read only context, please use a POST request instead"), "{text}");
    let response = client.post(&format!("/query?q={}", escape("CREATE DATABASE y")), &[]).unwrap();
    assert_eq!(response.json(), json!({"results": [{"statement_id": 0}]}));
    assert_eq!(names(&mut client), json!([["x"], ["y"]]));
    client.query("", "DROP DATABASE x; DROP DATABASE never_there");
    assert_eq!(names(&mut client), json!([["y"]]));
    client.write("z", "m v=1 1");
    assert_eq!(names(&mut client), json!([["y"], ["z"]]));
}

#[test]
fn several_statements_answer_in_order_until_one_fails() {
    let (_dir, server) = start();
    let mut client = server.client();
    client.write("db", "m v=1 1");
    let results = client
        .try_query("db", "SELECT v FROM m; SELECT v FROM nowhere.autogen.m; SELECT v FROM m")
        .unwrap();
    assert_eq!(results[0]["series"][0]["values"], json!([[1, 1]]));
    assert_eq!(results[1]["error"], json!("database not found: nowhere"));
    assert_eq!(results[2], json!({"statement_id": 2, "error": "not executed"}));
}

#[test]
fn chunked_responses_are_lines_of_documents() {
    let (_dir, server) = start();
    let mut client = server.client();
    let lines: String = (0..25).map(|n| format!("m,h={} v={n} {n}\n", n % 2)).collect();
    client.write("db", &lines);
    let query = escape("SELECT v FROM m GROUP BY h");
    let whole = client.get(&format!("/query?db=db&epoch=ns&q={query}")).unwrap().json();
    let target = format!("/query?db=db&epoch=ns&chunked=true&chunk_size=5&q={query}");
    let response = client.get(&target).unwrap();
    let documents: Vec<Value> =
        response.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(documents.len(), 6, "13 rows and 12 rows in fives");
    let mut rows = Vec::new();
    for (at, document) in documents.iter().enumerate() {
        let result = &document["results"][0];
        let is_last = at + 1 == documents.len();
        assert_eq!(result["partial"], if is_last { Value::Null } else { json!(true) });
        rows.extend(result["series"][0]["values"].as_array().unwrap().clone());
    }
    let expected: Vec<Value> = whole["results"][0]["series"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|series| series["values"].as_array().unwrap().clone())
        .collect();
    assert_eq!(rows, expected);
}

#[test]
fn parameters_bind_and_documents_can_be_pretty() {
    let (_dir, server) = start();
    let mut client = server.client();
    client.write("db", "m,h=a v=1 1\nm,h=b v=2 2");
    let target = format!(
        "/query?db=db&epoch=ns&pretty=true&q={}&params={}",
        escape("SELECT v FROM m WHERE h = $h"),
        escape("{\"h\":\"b\"}")
    );
    let response = client.get(&target).unwrap();
    assert!(
        response.text().starts_with("{\n    \"results\": [\n        {\n"),
        "{}",
        response.text()
    );
    assert_eq!(response.json()["results"][0]["series"][0]["values"], json!([[2, 2]]));
}

#[test]
fn numbers_survive_bit_for_bit() {
    let (_dir, server) = start();
    let mut client = server.client();
    let values = [
        "1",
        "-0.5",
        "1e21",
        "-1.25e-7",
        "0.1",
        "123456789.123456789",
        "5e-324",
        "1.7976931348623157e308",
    ];
    let lines: String =
        values.iter().enumerate().map(|(n, value)| format!("m v={value} {n}\n")).collect();
    client.write("db", &lines);
    let rows = client.query("db", "SELECT v FROM m")[0]["series"][0]["values"].clone();
    for (row, value) in rows.as_array().unwrap().iter().zip(values) {
        let expected: f64 = value.parse().unwrap();
        assert_eq!(row[1].as_f64().unwrap().to_bits(), expected.to_bits(), "{value}");
    }
    assert_eq!(rows.as_array().unwrap().len(), values.len());
}

/// One request that must be refused: method, target, body, status, and a part of the error.
type BadRow = (&'static str, &'static str, &'static str, u16, &'static str);

const BAD_REQUESTS: &[BadRow] = &[
    ("POST", "/write", "m v=1", 400, "database is required"),
    ("POST", "/write?db=", "m v=1", 400, "database is required"),
    ("POST", "/write?db=a/b", "m v=1", 400, "database name \"a/b\" is not valid"),
    ("POST", "/write?db=..", "m v=1", 400, "is not valid"),
    ("POST", "/write?db=%2e%2e%2fx", "m v=1", 400, "is not valid"),
    (
        "POST",
        "/write?db=d&precision=x",
        "m v=1",
        400,
        "invalid precision \"x\" (use n, u, ms, s, m or h)",
    ),
    ("POST", "/write?db=d&consistency=some", "m v=1", 400, "invalid consistency \"some\""),
    ("POST", "/write?db=d&rp=nope", "m v=1", 404, "retention policy not found: nope"),
    ("POST", "/write?db=d", "m", 400, "unable to parse 'm': missing fields"),
    ("POST", "/write?db=d", "m v=", 400, "missing field value"),
    ("POST", "/write?db=d", "m v=1 x", 400, "bad timestamp"),
    ("POST", "/write?db=d", ",t=1 v=1", 400, "missing measurement"),
    ("POST", "/write?db=d", "m,t= v=1", 400, "missing tag value"),
    ("POST", "/write?db=d", "m v=1 99999999999999999999", 400, "time outside range"),
    ("POST", "/write?db=d", "m v=1 9223372036854775807", 400, "time outside range"),
    ("POST", "/write?db=d", "m v=\"open", 400, "unbalanced quotes"),
    ("GET", "/query", "", 400, "missing required parameter \"q\""),
    ("POST", "/query", "", 400, "missing required parameter \"q\""),
    ("GET", "/query?q=", "", 400, "missing required parameter \"q\""),
    ("GET", "/query?q=SELEC", "", 400, "error parsing query: found SELEC, expected"),
    ("GET", "/query?q=SELECT+v+FROM+m+WHERE&db=d", "", 400, "at line 1, char"),
    ("GET", "/query?q=SELECT+%24x+FROM+m&db=d", "", 400, "missing parameter: x"),
    ("GET", "/query?q=SHOW+DATABASES&epoch=d", "", 400, "invalid epoch \"d\""),
    ("GET", "/query?q=SHOW+DATABASES&params=%7B", "", 400, "error parsing query parameters"),
    ("GET", "/query?q=SHOW+DATABASES&chunked=true&chunk_size=0", "", 400, "invalid chunk_size"),
    ("GET", "/nowhere", "", 404, "path \"/nowhere\" not found"),
    ("POST", "/", "", 405, "use GET, HEAD"),
    ("GET", "/write/", "", 404, "not found"),
    ("GET", "/WRITE", "", 404, "not found"),
    ("GET", "/write", "", 405, "use POST"),
    ("DELETE", "/query", "", 405, "use GET, HEAD, POST"),
    ("POST", "/ping", "", 405, "use GET, HEAD"),
    ("POST", "/metrics", "", 405, "use GET, HEAD"),
    ("PUT", "/health", "", 405, "use GET, HEAD"),
    ("POST", "/api/v1/status/tsdb", "", 405, "use GET, HEAD"),
    ("GET", "/api/v1/status/tsdb", "", 400, "database is required"),
    ("GET", "/api/v1/admin/flush", "", 405, "use POST"),
    ("GET", "/api/v1/admin/compact", "", 405, "use POST"),
    ("BREW", "/write", "", 405, "use POST"),
];

#[test]
fn every_bad_request_gets_its_status_and_says_why() {
    let (_dir, server) = start();
    let mut client = server.client();
    client.write("d", "m v=1 1");
    for (method, target, body, status, part) in BAD_REQUESTS {
        let response = client.request(method, target, &[], body.as_bytes()).unwrap();
        let case = format!("{method} {target} {body:?}: {} {}", response.status, response.text());
        assert_eq!(response.status, *status, "{case}");
        let error = response.json()["error"].as_str().unwrap().to_owned();
        assert!(error.contains(part), "{part:?} is not in {case}");
        assert_common_headers(&response);
        if *status == 405 {
            let allow = response.header("allow").unwrap();
            assert!(error.ends_with(allow), "{case}, Allow: {allow}");
        }
    }
    assert_eq!(client.number("d", "SELECT count(v) FROM m"), Some(1.0), "nothing of it was stored");
    assert_eq!(client.get("/health").unwrap().status, 200);
}

#[test]
fn good_lines_are_stored_and_bad_ones_are_named() {
    let (_dir, server) = start();
    let mut client = server.client();
    let response =
        client.post("/write?db=d", b"m v=1 1\nbroken\nm v=2 2\nm,t v=3 3\nm v=4 4").unwrap();
    assert_eq!(response.status, 400);
    let error = response.json()["error"].as_str().unwrap().to_owned();
    assert!(error.starts_with("partial write: "), "{error}");
    assert!(error.contains("unable to parse 'broken': missing fields"), "{error}");
    assert!(error.contains("unable to parse 'm,t v=3 3'"), "{error}");
    assert!(error.ends_with("dropped=0"), "{error}");
    assert_eq!(client.number("d", "SELECT count(v) FROM m"), Some(3.0));
    let response = client.post("/write?db=d", b"m s=\"text\",v=5 5").unwrap();
    assert_eq!(response.status, 204);
    assert_eq!(response.header("x-tsdb-ignored-fields"), Some("s"));
    assert_eq!(client.number("d", "SELECT count(v) FROM m"), Some(4.0));
    let response = client.post("/write?db=d", b"").unwrap();
    assert_eq!(response.status, 200, "an empty body");
}

#[test]
fn bodies_that_are_too_large_or_broken_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), &["--body-limit", "100KB"]);
    let mut client = server.client();
    let target = "/write?db=d";
    let large = "m v=1 1\n".repeat(20_000);
    let response = client.post(target, large.as_bytes()).unwrap();
    assert_eq!(response.status, 413);
    assert_eq!(response.json(), json!({"error": "Request Entity Too Large"}));
    let gzipped = [("Content-Encoding", "gzip")];
    let bomb = gzip(&vec![b'#'; 80 << 20]);
    assert!(bomb.len() < 100_000);
    let packed_well = gzip(large.as_bytes());
    for (headers, body, status, part) in [
        (&gzipped[..], b"this is no gzip".as_slice(), 400, "not valid gzip"),
        (&gzipped, &packed_well[..packed_well.len() / 2], 400, "not valid gzip"),
        (&gzipped, &bomb, 413, "Request Entity Too Large"),
        (&[("Content-Encoding", "zstd")], b"x", 400, "not valid zstd"),
        (&[("Content-Encoding", "br")], b"x", 415, "use gzip, deflate, zstd, snappy"),
    ] {
        let response = client.request("POST", target, headers, body).unwrap();
        assert_eq!(response.status, status, "{}", response.text());
        assert!(response.text().contains(part), "{}", response.text());
    }
    assert_eq!(client.request("POST", target, &gzipped, &packed_well).unwrap().status, 204);
    let json = [("Content-Type", "application/json")];
    let response = client.request("POST", "/query", &json, b"{\"q\":\"SHOW DATABASES\"}").unwrap();
    assert_eq!(response.status, 415, "{}", response.text());
}

/// About `bytes` bytes of lines for a hundred series, and their number.
fn many_lines(bytes: usize) -> (String, usize) {
    let mut lines = String::with_capacity(bytes + 200);
    let mut count = 0;
    while lines.len() < bytes {
        let host = count % 100;
        lines.push_str(&format!(
            "cpu,hostname=host_{host},region=eu-west-1,datacenter=eu-west-1a,rack=17 \
             usage_user={count},usage_system={host},usage_idle=12.5 {count}\n"
        ));
        count += 1;
    }
    (lines, count)
}

#[test]
fn large_bodies_are_taken_while_there_is_memory_for_them() {
    for (memory, bytes, status) in
        [("288MiB", 24_900_000, 204), ("1GiB", 24_900_000, 204), ("32MiB", 9_000_000, 413)]
    {
        let dir = tempfile::tempdir().unwrap();
        let server = Server::start(dir.path(), &["--memory-limit", memory]);
        let mut client = server.client();
        client.query("", "CREATE DATABASE d");
        let (lines, count) = many_lines(bytes);
        let response = client.post("/write?db=d", lines.as_bytes()).unwrap();
        assert_eq!(response.status, status, "{memory}: {}", response.text());
        let stored = client.number("d", "SELECT count(usage_user) FROM cpu");
        assert_eq!(stored, (status == 204).then_some(count as f64), "all or nothing");
    }
}

#[test]
fn running_queries_are_shown() {
    let (_dir, server) = start();
    let results = server.client().query("d", "SHOW QUERIES");
    let series = &results[0]["series"][0];
    assert_eq!(series["columns"], json!(["qid", "query", "database", "duration", "status"]));
    assert_eq!(series["values"][0][1], json!("SHOW QUERIES"));
    assert_eq!(series["values"][0][4], json!("running"));
}

#[test]
fn a_body_that_breaks_off_stores_nothing() {
    let (_dir, server) = start();
    let mut client = server.client();
    client.write("d", "other v=1 1");
    for cut in [1, 7, 8, 30] {
        let body = "m v=1 1\nm v=2 2\nm v=3 3\nm v=4 4\n";
        let head = format!(
            "POST /write?db=d HTTP/1.1\r\nHost: {}\r\nContent-Length: {}\r\n\r\n",
            server.address(),
            body.len()
        );
        let mut stream = std::net::TcpStream::connect(server.address()).unwrap();
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(&body.as_bytes()[..cut]).unwrap();
        drop(stream);
    }
    std::thread::sleep(std::time::Duration::from_millis(200));
    assert_eq!(client.number("d", "SELECT count(v) FROM m"), None);
    assert_eq!(client.get("/ping").unwrap().status, 204);
}

#[test]
fn web_pages_are_kept_out() {
    let (_dir, server) = start();
    let mut client = server.client();
    client.write("d", "m v=1 1");
    let origin = [("Origin", "https://evil.example")];
    let rebound = [("Host", "evil.example:8086")];
    let drop_it = format!("/query?q={}", escape("DROP DATABASE d"));
    for (method, target, headers) in [
        ("POST", "/write?db=d", &origin),
        ("POST", drop_it.as_str(), &origin),
        ("GET", drop_it.as_str(), &origin),
        ("POST", "/api/v1/admin/flush", &origin),
        ("GET", "/query?q=SHOW+DATABASES", &rebound),
    ] {
        let response = client.request(method, target, headers, b"").unwrap();
        assert_eq!(response.status, 403, "{method} {target} {headers:?}: {}", response.text());
    }
    assert_eq!(client.number("d", "SELECT count(v) FROM m"), Some(1.0));
}

#[test]
fn the_printed_commands_work_when_pasted() {
    let (_dir, server) = start();
    if std::process::Command::new("curl").arg("--version").output().is_err() {
        tsdb_tests::skip("curl is not installed");
        return;
    }
    let outputs: Vec<String> = commands_of(server.announcement())
        .iter()
        .map(|command| {
            let done = std::process::Command::new("sh").args(["-c", command]).output().unwrap();
            assert!(done.status.success(), "{command}");
            String::from_utf8(done.stdout).unwrap()
        })
        .collect();
    assert!(outputs[0].starts_with("HTTP/1.1 204"), "{}", outputs[0]);
    assert!(outputs[1].contains("0.64") && outputs[1].contains("\"usage\""), "{}", outputs[1]);
    assert!(outputs[2].contains("[\"cpu\"]"), "{}", outputs[2]);
}

#[test]
fn the_demo_fills_its_database() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), &["--demo"]);
    let mut client = server.client();
    let begin = std::time::Instant::now();
    let measurements = loop {
        let results = client.try_query("demo", "SHOW MEASUREMENTS").unwrap();
        let text = results.to_string();
        if text.contains("\"cpu\"") {
            break text;
        }
        assert!(begin.elapsed().as_secs() < 20, "no sample came: {text}");
        std::thread::sleep(std::time::Duration::from_millis(100));
    };
    for name in ["cpu", "mem", "load", "process"] {
        assert!(measurements.contains(&format!("\"{name}\"")), "{name}: {measurements}");
    }
    let used = client.number("demo", "SELECT last(used_percent) FROM mem").unwrap();
    assert!((0.0..=100.0).contains(&used), "{used}");
}
