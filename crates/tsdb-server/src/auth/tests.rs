//! The server with authentication, in this process: every route with every kind of credential, what somebody sees of
//! databases that are not theirs, the way in, and that no secret is shown.

mod failures;

use std::sync::Arc;

use axum::body::Body;
use axum::http::header::CONTENT_TYPE;
use axum::http::{Request, StatusCode};
use axum::response::Response;
use base64::Engine as _;
use http_body_util::BodyExt;
use prost::Message;
use serde_json::Value;
use tower::ServiceExt;
use tsdb_core::env::Env;
use tsdb_core::{MemoryBudget, MemoryStore};
use tsdb_ql::Secret;

use super::statements::Need;
use super::{Peer, Right};
use crate::app::App;
use crate::config::{Config, Settings};
use crate::exposition::Exposition;
use crate::grpc::{CALLS, proto};
use crate::http::{ROUTES, otlp_router, router};
use crate::query::{Canceller, Request as Listing};
use crate::wiring::Store;

const ROOT_TOKEN: &str = "0123456789abcdef0123456789abcdef";

/// Who asks in the tests: users, and tokens that may do the same.
const KINDS: [&str; 7] = ["none", "wrong", "expired", "other", "reader", "writer", "admin"];

struct Fixture {
    app: Arc<App>,
    tokens: Vec<(String, String)>,
}

impl Fixture {
    fn empty(root: Option<&str>) -> Fixture {
        let settings = Settings { auth: Some(true), ..Settings::default() };
        let admin_token = root.map(|token| Secret::new(token.to_owned()));
        let config = Config { admin_token, ..Config::from_settings(settings).unwrap() };
        let store = Store::new(Arc::new(MemoryStore::new()));
        let budget = MemoryBudget::default();
        let app = App::new(config, Env::real(), store, budget, Exposition::new().unwrap());
        Fixture { app, tokens: Vec::new() }
    }

    /// With databases d and e, a user and a token of each kind.
    async fn new() -> Fixture {
        let mut fixture = Fixture::empty(None);
        let first = "CREATE USER admin WITH PASSWORD 'pw-admin' WITH ALL PRIVILEGES";
        assert_eq!(fixture.query("none", "", first).await.0, 200);
        for statement in [
            "CREATE DATABASE d",
            "CREATE DATABASE e",
            "CREATE USER reader WITH PASSWORD 'pw-reader'",
            "CREATE USER writer WITH PASSWORD 'pw-writer'",
            "CREATE USER other WITH PASSWORD 'pw-other'",
            "GRANT READ ON d TO reader",
            "GRANT WRITE ON d TO writer",
            "GRANT ALL ON e TO other",
        ] {
            let (status, text) = fixture.query("admin", "", statement).await;
            assert!(status == 200 && !text.contains("error"), "{statement} {text}");
        }
        for (name, scope) in [
            ("reader", "READ ON d"),
            ("writer", "WRITE ON d"),
            ("other", "ALL ON e"),
            ("admin", "ALL PRIVILEGES"),
            ("expired", "ALL PRIVILEGES EXPIRES IN 1ns"),
        ] {
            let statement = format!("CREATE TOKEN {name} WITH {scope}");
            let (_, text) = fixture.query("admin", "", &statement).await;
            let answer: Value = serde_json::from_str(&text).unwrap();
            let token = answer["results"][0]["series"][0]["values"][0][1].as_str().unwrap();
            fixture.tokens.push((name.to_owned(), token.to_owned()));
        }
        fixture
    }

    /// The header that shows the credential of a kind, as a user or as a token.
    fn authorization(&self, kind: &str, by_token: bool) -> Option<String> {
        let basic = |user: &str, password: &str| {
            let pair = format!("{user}:{password}");
            format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(pair))
        };
        let token = self.tokens.iter().find(|(name, _)| name == kind);
        match (kind, token) {
            ("none", _) => None,
            ("wrong", _) if by_token => {
                let admin = &self.tokens.iter().find(|(name, _)| name == "admin").unwrap().1;
                let last = if admin.ends_with('0') { "1" } else { "0" };
                Some(format!("Bearer {}{last}", &admin[..admin.len() - 1]))
            }
            ("wrong", _) => Some(basic("admin", "pw-reader")),
            ("expired", Some((_, token))) => Some(format!("Token {token}")),
            (_, Some((_, token))) if by_token => Some(format!("Bearer {token}")),
            _ => Some(basic(kind, &format!("pw-{kind}"))),
        }
    }

    async fn send(&self, request: Request<Body>) -> Response {
        router(Arc::clone(&self.app)).oneshot(request).await.unwrap()
    }

    /// A statement by POST; the status and the answer.
    async fn query(&self, kind: &str, database: &str, statement: &str) -> (u16, String) {
        let mut request = Request::post(format!("/query?db={database}&q={}", encoded(statement)))
            .header("host", "localhost:8086");
        if let Some(authorization) = self.authorization(kind, false) {
            request = request.header("authorization", authorization);
        }
        told(self.send(request.body(Body::empty()).unwrap()).await).await
    }
}

fn encoded(text: &str) -> String {
    let encode = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(encode).collect()
}

async fn told(response: Response) -> (u16, String) {
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8_lossy(&body).into_owned())
}

/// A request that a route is asked with, and what becomes of it for each of [`KINDS`]: 401, 403, or 0 when it is let in.
struct Row {
    target: &'static str,
    media: &'static str,
    body: Vec<u8>,
    outcomes: [u16; 7],
}

const OPEN: [u16; 7] = [0; 7];
const KNOWN: [u16; 7] = [401, 401, 401, 0, 0, 0, 0];
const READ: [u16; 7] = [401, 401, 401, 403, 0, 403, 0];
const WRITE: [u16; 7] = [401, 401, 401, 403, 403, 0, 0];
const ADMIN: [u16; 7] = [401, 401, 401, 403, 403, 403, 0];

fn frame(message: &impl Message) -> Vec<u8> {
    let message = message.encode_to_vec();
    let mut frame = vec![0];
    frame.extend_from_slice(&u32::try_from(message.len()).unwrap().to_be_bytes());
    frame.extend_from_slice(&message);
    frame
}

/// The golden table: what each path is asked with. A new route has to find its place here.
fn rows(path: &str) -> Vec<Row> {
    let row = |target, media, body: &[u8], outcomes| {
        vec![Row { target, media, body: body.to_vec(), outcomes }]
    };
    let line = b"m v=1 1".as_slice();
    let (form, protobuf) = ("application/x-www-form-urlencoded", "application/x-protobuf");
    let database = || "d".to_owned();
    let written = || frame(&proto::WriteRequest { database: database(), ..Default::default() });
    match path {
        "/" => row("/", "", b"", KNOWN),
        "/ping" => row("/ping", "", b"", OPEN),
        "/health" => row("/health", "", b"", OPEN),
        "/metrics" => row("/metrics", "", b"", KNOWN),
        "/write" => row("/write?db=d", "", line, WRITE),
        "/api/v2/write" => row("/api/v2/write?bucket=d/autogen", "", line, WRITE),
        "/api/v3/write_lp" => row("/api/v3/write_lp?db=d", "", line, WRITE),
        "/query" => {
            let mut rows = row("/query?db=d&q=SELECT+v+FROM+m", "", b"", READ);
            rows.extend(row("/query?db=d&q=SHOW+USERS", "", b"", ADMIN));
            rows.extend(row("/query?q=SELECT+v+FROM+d..m", form, b"", READ));
            rows
        }
        "/api/v1/query" => {
            let mut rows = row("/api/v1/query?db=d", "text/plain", b"SELECT v FROM m", READ);
            rows.extend(row("/api/v1/query?db=d", form, b"q=SHOW+TOKENS", ADMIN));
            rows
        }
        "/api/v1/write" => {
            let mut rows = row("/api/v1/write?db=d&format=line", "", line, WRITE);
            rows.extend(row("/api/v1/write?db=d&stream=true", "text/plain", line, WRITE));
            rows.extend(row("/api/v1/write?db=d", protobuf, b"\x00", WRITE));
            rows
        }
        "/v1/metrics" => row("/v1/metrics?db=d", protobuf, b"", WRITE),
        "/api/v1/otlp/v1/metrics" => {
            row("/api/v1/otlp/v1/metrics?db=d", "application/json", b"{}", WRITE)
        }
        "/opentelemetry/v1/metrics" => row("/opentelemetry/v1/metrics?db=d", protobuf, b"", WRITE),
        "/api/v1/metadata" => row("/api/v1/metadata?db=d", "", b"", READ),
        "/api/v1/status/tsdb" => row("/api/v1/status/tsdb?db=d", "", b"", READ),
        "/api/v1/admin/flush" => row("/api/v1/admin/flush", "", b"", ADMIN),
        "/api/v1/admin/compact" => row("/api/v1/admin/compact", "", b"", ADMIN),
        "/api/v1/admin/snapshot" => row("/api/v1/admin/snapshot?name=x", "", b"", ADMIN),
        "/tsdb.v1.WriteService/Write" => {
            row("/tsdb.v1.WriteService/Write", "application/grpc", &written(), WRITE)
        }
        "/tsdb.v1.WriteService/WriteStream" => {
            row("/tsdb.v1.WriteService/WriteStream", "application/grpc", &written(), WRITE)
        }
        "/tsdb.v1.QueryService/Query" => {
            let query = "SELECT v FROM m".to_owned();
            let asked = proto::QueryRequest { database: database(), query, ..Default::default() };
            row("/tsdb.v1.QueryService/Query", "application/grpc", &frame(&asked), READ)
        }
        "/tsdb.v1.HealthService/Health" => {
            let asked = frame(&proto::HealthRequest {});
            row("/tsdb.v1.HealthService/Health", "application/grpc", &asked, OPEN)
        }
        crate::grpc::otlp::EXPORT => {
            let empty = frame(&crate::otlp::ExportResponse::default());
            row(crate::grpc::otlp::EXPORT, "application/grpc", &empty, WRITE)
        }
        other => panic!("{other} is not in the golden table: say who may have it answered"),
    }
}

/// 401, 403, or 0 for everything else, by the status of HTTP or gRPC.
async fn outcome(response: Response) -> u16 {
    let header = |headers: &axum::http::HeaderMap| {
        headers.get("grpc-status").map(|value| value.to_str().unwrap().to_owned())
    };
    let (status, in_head) = (response.status(), header(response.headers()));
    let has_challenge = response.headers().contains_key("www-authenticate");
    let collected = response.into_body().collect().await.unwrap();
    let in_tail = collected.trailers().and_then(header);
    match in_head.or(in_tail).as_deref() {
        Some("16") => 401,
        Some("7") => 403,
        Some(_) => 0,
        None if status == StatusCode::UNAUTHORIZED => {
            assert!(has_challenge, "clients look for the challenge");
            401
        }
        None if status == StatusCode::FORBIDDEN => 403,
        None => 0,
    }
}

#[tokio::test]
async fn every_route_asks_every_kind_of_credential() {
    let fixture = Fixture::new().await;
    let routes = ROUTES
        .iter()
        .flat_map(|route| route.methods.split(", ").map(move |method| (route.path, method)));
    let calls = CALLS.iter().map(|call| (call.path, "POST"));
    let mut requests = 0;
    for (path, method) in routes.chain(calls) {
        for Row { target, media, body, outcomes } in rows(path) {
            for (kind, expected) in KINDS.into_iter().zip(outcomes) {
                for by_token in [false, true] {
                    let mut request = Request::builder()
                        .method(method)
                        .uri(target)
                        .header("host", "localhost:8086")
                        .header("x-tsdb-db", "d");
                    if !media.is_empty() {
                        request = request.header(CONTENT_TYPE, media);
                    }
                    if let Some(authorization) = fixture.authorization(kind, by_token) {
                        request = request.header("authorization", authorization);
                    }
                    // From another address each, or those with wrong passwords would not be heard.
                    requests += 1;
                    let peer = Peer(std::net::Ipv4Addr::from_bits(requests).into());
                    let request = request.extension(peer).body(Body::from(body.clone())).unwrap();
                    let found = outcome(fixture.send(request).await).await;
                    assert_eq!(found, expected, "{method} {target} {kind} by token: {by_token}");
                }
            }
        }
    }
}

#[tokio::test]
async fn what_is_in_no_table_and_the_port_of_otlp_ask_too() {
    let fixture = Fixture::new().await;
    let reflection = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";
    for target in [reflection, "/nowhere", "/debug/vars"] {
        for (kind, expected) in [("none", 401), ("wrong", 401), ("reader", 0)] {
            let mut request = Request::post(target)
                .header("host", "localhost")
                .header(CONTENT_TYPE, "application/grpc");
            if let Some(authorization) = fixture.authorization(kind, false) {
                request = request.header("authorization", authorization);
            }
            let found = outcome(fixture.send(request.body(Body::empty()).unwrap()).await).await;
            assert_eq!(found, expected, "{target} {kind}");
        }
    }
    for (kind, expected) in [("none", 401), ("reader", 403), ("writer", 0)] {
        let mut request = Request::post("/v1/metrics?db=d").header("host", "localhost");
        if let Some(authorization) = fixture.authorization(kind, false) {
            request = request.header("authorization", authorization);
        }
        let router = otlp_router(Arc::clone(&fixture.app), true);
        let response = router.oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        assert_eq!(outcome(response).await, expected, "{kind}");
    }
}

#[tokio::test]
async fn refusals_have_the_form_that_clients_of_the_path_know() {
    let fixture = Fixture::new().await;
    for (target, media, body) in [
        ("/write?db=d", "", "{\"error\":\"unable to parse authentication credentials\"}\n"),
        (
            "/api/v2/write?bucket=d",
            "",
            "{\"code\":\"unauthorized\",\"message\":\"unable to parse authentication credentials\"}\n",
        ),
        (
            "/v1/metrics",
            "application/json",
            "{\"code\":16,\"message\":\"unable to parse authentication credentials\"}",
        ),
        ("/api/v1/write", "application/x-protobuf", "unable to parse authentication credentials\n"),
    ] {
        let request = Request::post(target).header("host", "localhost").header(CONTENT_TYPE, media);
        let response = fixture.send(request.body(Body::empty()).unwrap()).await;
        assert_eq!(told(response).await, (401, body.to_owned()), "{target}");
    }
    let (status, text) = fixture.query("reader", "e", "SELECT v FROM m").await;
    let refused = "{\"error\":\"error authorizing query: reader not authorized to execute statement \
                   'SELECT v FROM m', requires READ on e\"}\n";
    assert_eq!((status, text.as_str()), (403, refused));
    let mut request = Request::post("/write?db=d").header("host", "localhost");
    request = request.header("authorization", fixture.authorization("reader", false).unwrap());
    let refused = fixture.send(request.body(Body::from("m v=1")).unwrap()).await;
    let due =
        "{\"error\":\"\\\"reader\\\" user is not authorized to write to database \\\"d\\\"\"}\n";
    assert_eq!(told(refused).await, (403, due.to_owned()));
}

#[tokio::test]
async fn nobody_learns_of_databases_of_others() {
    let fixture = Fixture::new().await;
    let line = "/write?db=e&u=other&p=pw-other";
    let request = Request::post(line).header("host", "localhost");
    let refused = fixture.send(request.body(Body::from("secret-line v=x")).unwrap()).await;
    assert_eq!(refused.status(), 400);
    // A query of somebody else that waits, as SHOW QUERIES has it.
    let held = Arc::clone(&fixture.app);
    let needs = vec![Need::Database(Right::Read, "e".into())];
    let request = Listing { text: "SELECT hidden FROM m", database: "e", needs };
    let request = held.running().enter(request, Canceller::default(), 0);
    for (statement, seen, unseen) in [
        ("SHOW DATABASES", "[[\"d\"]]", "\"e\""),
        ("SHOW QUERIES", "SHOW QUERIES", "hidden"),
        ("SHOW REJECTS", "statement_id", "secret-line"),
    ] {
        let (status, text) = fixture.query("reader", "", statement).await;
        assert!(status == 200 && text.contains(seen) && !text.contains(unseen), "{text}");
        let (_, text) = fixture.query("admin", "", statement).await;
        assert!(text.contains(unseen), "{text}");
    }
    drop(request);
    for statement in
        ["SELECT v FROM DB..m", "SHOW TAG KEYS ON DB", "SHOW SERIES EXACT CARDINALITY ON DB"]
    {
        let mut answers = Vec::new();
        for database in ["e", "nowhere"] {
            let statement = statement.replace("DB", database);
            let (status, text) = fixture.query("reader", "d", &statement).await;
            let unnamed = text.replace(&format!("{database}..m"), "X..m");
            let unnamed = unnamed.replace(&format!("ON {database}"), "ON X");
            answers.push((status, unnamed.replace(&format!("on {database}"), "on X")));
        }
        assert_eq!(answers[0], answers[1], "what is there and what is not look alike");
        assert_eq!(answers[0].0, 403);
    }
    for path in ["/api/v1/metadata", "/api/v1/status/tsdb", "/write"] {
        let mut statuses = Vec::new();
        for database in ["e", "nowhere"] {
            let target = format!("{path}?db={database}&u=reader&p=pw-reader");
            let method = if path == "/write" { "POST" } else { "GET" };
            let request = Request::builder().method(method).uri(target).header("host", "localhost");
            let response = fixture.send(request.body(Body::from("m v=1")).unwrap()).await;
            statuses.push(response.status().as_u16());
        }
        assert_eq!(statuses, [403, 403], "{path}");
    }
}

#[tokio::test]
async fn what_is_revoked_ends_at_once() {
    let fixture = Fixture::new().await;
    let may = async |kind: &str| fixture.query(kind, "d", "SELECT v FROM m").await.0;
    assert_eq!(may("reader").await, 200);
    for (statement, status) in [
        ("REVOKE READ ON d FROM reader", 403),
        ("GRANT ALL ON d TO reader", 200),
        ("DROP DATABASE d", 403),
        ("CREATE DATABASE d", 403),
        ("GRANT ALL TO reader", 200),
        ("REVOKE ALL FROM reader", 403),
        ("SET PASSWORD FOR reader = 'new'", 401),
        ("SET PASSWORD FOR reader = 'pw-reader'", 403),
        ("DROP USER reader", 401),
    ] {
        let (_, text) = fixture.query("admin", "", statement).await;
        assert!(!text.contains("error"), "{statement} {text}");
        assert_eq!(may("reader").await, status, "{statement}");
    }
    let token = fixture.authorization("admin", true).unwrap();
    let asks = async || {
        let request = Request::get("/metrics").header("host", "x.localhost");
        let request = request.header("authorization", token.clone()).body(Body::empty()).unwrap();
        fixture.send(request).await.status().as_u16()
    };
    assert_eq!(asks().await, 200);
    fixture.query("admin", "", "DROP TOKEN admin").await;
    assert_eq!(asks().await, 401);
}

#[tokio::test]
async fn the_first_administrator_is_made_on_this_machine_and_once() {
    let fixture = Fixture::empty(None);
    let create = "CREATE USER a WITH PASSWORD 'p' WITH ALL PRIVILEGES";
    let first = "error authorizing query: create admin user first or disable authentication";
    for statement in
        ["SHOW DATABASES", "CREATE USER a WITH PASSWORD 'p'", &format!("{create}; SHOW USERS")]
    {
        let (status, text) = fixture.query("none", "", statement).await;
        assert!(status == 403 && text.contains(first), "{statement} {text}");
    }
    let request = Request::post("/write?db=d").header("host", "localhost");
    let refused = fixture.send(request.body(Body::from("m v=1")).unwrap()).await;
    assert_eq!(refused.status(), 401);
    // From another machine: a port that is not on loopback.
    let door = crate::http::observe::Door { app: Arc::clone(&fixture.app), is_on_loopback: false };
    let (mut head, ()) = Request::post("/query").body(()).map(Request::into_parts).unwrap();
    super::admit(&door, super::Access::Form, &mut head).await.unwrap();
    let who = head.extensions.get::<super::Who>().unwrap();
    let statements = tsdb_ql::parse(create).unwrap();
    let refused = super::statements::authorize(fixture.app.auth(), who, &statements, None);
    assert!(refused.unwrap_err().message().contains("--admin-token-file"));
    // Clients send their credential from the first request on.
    let (status, text) = fixture.query("reader", "", create).await;
    assert!(status == 200 && !text.contains("error"), "{text}");
    assert_eq!(fixture.query("none", "", create).await.0, 401);
    assert_eq!(fixture.query("none", "", "SHOW DATABASES").await.0, 401);
}

#[tokio::test]
async fn the_token_of_the_file_opens_everything_and_closes_the_first_way() {
    let fixture = Fixture::empty(Some(ROOT_TOKEN));
    let create = "CREATE USER a WITH PASSWORD 'p' WITH ALL PRIVILEGES";
    assert_eq!(fixture.query("none", "", create).await.0, 401);
    for (token, status) in [(ROOT_TOKEN, 200), ("0123456789abcdef0123456789abcdeF", 401)] {
        let request = Request::post(format!("/query?q={}", encoded(create)));
        let request =
            request.header("host", "localhost").header("authorization", format!("Token {token}"));
        let response = fixture.send(request.body(Body::empty()).unwrap()).await;
        assert_eq!(response.status().as_u16(), status);
    }
}

#[tokio::test]
async fn a_form_may_hold_the_credential() {
    let fixture = Fixture::new().await;
    for path in ["/query", "/api/v1/query"] {
        for (form, status) in [
            ("q=SHOW+USERS&u=admin&p=pw-admin", 200),
            ("q=SHOW+USERS&u=reader&p=pw-reader", 403),
            ("q=SHOW+USERS&u=admin&p=pw-reader", 401),
            ("q=SHOW+USERS", 401),
            ("q=NONSENSE", 401),
        ] {
            let request = Request::post(path)
                .header("host", "localhost")
                .header(CONTENT_TYPE, "application/x-www-form-urlencoded");
            let response = fixture.send(request.body(Body::from(form)).unwrap()).await;
            assert_eq!(response.status().as_u16(), status, "{path} {form}");
        }
    }
}

#[tokio::test]
async fn statements_about_accounts_answer_as_in_influxdb() {
    let fixture = Fixture::new().await;
    for (statement, answer) in [
        ("CREATE USER reader WITH PASSWORD 'pw-reader'", "{\"statement_id\":0}"),
        ("CREATE USER reader WITH PASSWORD 'x'", "\"error\":\"user already exists\""),
        ("CREATE USER \"\" WITH PASSWORD 'x'", "\"error\":\"username required\""),
        ("DROP USER nope", "\"error\":\"user not found\""),
        ("SET PASSWORD FOR nope = 'x'", "\"error\":\"user not found\""),
        ("GRANT READ ON nope TO reader", "\"error\":\"database not found: nope"),
        ("GRANT READ ON d TO nope", "\"error\":\"user not found\""),
        ("REVOKE ALL FROM nope", "\"error\":\"user not found\""),
        ("SHOW GRANTS FOR nope", "\"error\":\"user not found\""),
        ("REVOKE WRITE ON d FROM reader", "{\"statement_id\":0}"),
        (
            "SHOW GRANTS FOR reader",
            "{\"columns\":[\"database\",\"privilege\"],\"values\":[[\"d\",\"READ\"]]}",
        ),
        ("GRANT ALL ON d TO other", "{\"statement_id\":0}"),
        ("REVOKE READ ON d FROM other", "{\"statement_id\":0}"),
        ("SHOW GRANTS FOR other", "\"values\":[[\"d\",\"WRITE\"],[\"e\",\"ALL PRIVILEGES\"]]"),
        (
            "SHOW USERS",
            "{\"columns\":[\"user\",\"admin\"],\"values\":[[\"admin\",true],[\"other\",false],\
             [\"reader\",false],[\"writer\",false]]}",
        ),
        ("CREATE TOKEN reader WITH READ ON d", "already exists"),
        ("CREATE TOKEN t WITH READ ON nope", "database not found: nope"),
        ("CREATE TOKEN t WITH READ ON d EXPIRES IN 0s", "an end in the future"),
        ("DROP TOKEN nope", "not found"),
        ("SHOW TOKENS", "[\"admin\",\"ALL PRIVILEGES\",\"\"],[\"expired\",\"ALL PRIVILEGES\",\"20"),
        ("SHOW TOKENS", "[\"reader\",\"READ ON d\",\"\"],[\"writer\",\"WRITE ON d\",\"\"]"),
    ] {
        let (status, text) = fixture.query("admin", "", statement).await;
        assert!(status == 200 && text.contains(answer), "{statement}\n{text}");
    }
}

#[tokio::test]
async fn no_answer_shows_a_secret() {
    let fixture = Fixture::new().await;
    let hidden = "hidden-secret";
    let mut shown = String::new();
    for statement in [
        format!("CREATE USER x WITH PASSWORD '{hidden}'; SHOW QUERIES; SHOW USERS; SHOW NONSENSE"),
        format!("CREATE USER x WITH PASSWORD '{hidden}'; SHOW QUERIES; SHOW USERS"),
        format!("SET PASSWORD FOR x = '{hidden}'; SHOW TOKENS; EXPLAIN SELECT v FROM m"),
        format!("SET PASSWORD FOR nobody = '{hidden}'"),
        format!("CREATE USER x WITH PASSWORD '{hidden}' '{hidden}'"),
        format!("SELECT mean(v), v FROM m; SET PASSWORD FOR x = '{hidden}'"),
        "SHOW STATS; SHOW DIAGNOSTICS; SHOW REJECTS".to_owned(),
    ] {
        for kind in ["admin", "reader"] {
            for method in ["GET", "POST"] {
                let request = Request::builder()
                    .method(method)
                    .uri(format!("/query?db=d&q={}", encoded(&statement)))
                    .header("host", "localhost")
                    .header("authorization", fixture.authorization(kind, false).unwrap());
                let response = fixture.send(request.body(Body::empty()).unwrap()).await;
                shown.push_str(&format!("{:?}", response.headers()));
                shown.push_str(&told(response).await.1);
            }
        }
    }
    assert!(shown.contains("[REDACTED]") && shown.contains("SHOW QUERIES"), "{shown}");
    assert!(!shown.contains(hidden), "{shown}");
    for (_, token) in &fixture.tokens {
        assert!(!shown.contains(&token[22..]), "a token is shown once");
    }
    let stored = format!("{:?}", fixture.app.storage().catalogue().entries);
    assert!(stored.contains("writer") && !stored.contains("pw-writer"), "{stored}");
    assert!(fixture.tokens.iter().all(|(_, token)| !stored.contains(&token[22..])));
}
