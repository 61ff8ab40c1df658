//! Users and tokens of the real server: they outlive kill -9, a revoked right ends an open stream, and its log shows
//! no secret at any level.

#![expect(clippy::unwrap_used, reason = "helpers of tests report by panicking")]

use std::time::Duration;

use serde_json::Value;
use tsdb_tests::http::Client;
use tsdb_tests::server::Server;

const FLAGS: [&str; 3] = ["--auth", "--log", "trace"];

/// A statement, and the whole answer to it.
fn ask(client: &mut Client, authorization: &str, statement: &str) -> (u16, Value) {
    let form = format!("q={}", statement.replace('%', "%25").replace('+', "%2B"));
    let headers =
        [("Content-Type", "application/x-www-form-urlencoded"), ("Authorization", authorization)];
    let response = client.request("POST", "/query", &headers, form.as_bytes()).unwrap();
    (response.status, response.json())
}

#[track_caller]
fn expect_done(client: &mut Client, authorization: &str, statement: &str) -> Value {
    let (status, answer) = ask(client, authorization, statement);
    let failed = answer.pointer("/results/0/error");
    assert!(status == 200 && failed.is_none(), "{statement}: {status} {answer}");
    answer
}

fn write(client: &mut Client, authorization: &str, line: &str) -> u16 {
    let headers = [("Authorization", authorization)];
    client.request("POST", "/write?db=d", &headers, line.as_bytes()).unwrap().status
}

#[test]
fn accounts_outlive_a_kill_and_stay_secret() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), &FLAGS);
    let mut client = server.client();
    // admin:hidden-admin and agent:hidden-agent
    let admin = "Basic YWRtaW46aGlkZGVuLWFkbWlu";
    let agent = "Token agent:hidden-agent";
    let create = "CREATE USER admin WITH PASSWORD 'hidden-admin' WITH ALL PRIVILEGES";
    expect_done(&mut client, "", create);
    for statement in [
        "CREATE DATABASE d",
        "CREATE USER agent WITH PASSWORD 'hidden-agent'",
        "GRANT WRITE ON d TO agent",
    ] {
        expect_done(&mut client, admin, statement);
    }
    let made = expect_done(&mut client, admin, "CREATE TOKEN reader WITH READ ON d EXPIRES IN 1h");
    let token = made.pointer("/results/0/series/0/values/0/1").and_then(Value::as_str).unwrap();
    let reader = format!("Bearer {token}");
    assert_eq!(write(&mut client, agent, "m v=1 1"), 204);
    assert_eq!(write(&mut client, &reader, "m v=1 1"), 403);
    assert_eq!(write(&mut client, "Token agent:hidden-wrong", "m v=1 1"), 401);
    assert_eq!(client.get("/write?db=d&u=agent&p=hidden-url").unwrap().status, 401);
    ask(&mut client, admin, "CREATE USER x WITH PASSWORD 'hidden-error' 'hidden-error'");
    let log = server.log();
    server.kill();

    let server = Server::start(dir.path(), &FLAGS);
    let mut client = server.client();
    let rows = expect_done(&mut client, &reader, "SELECT v FROM d..m");
    assert_eq!(rows.pointer("/results/0/series/0/values/0/1"), Some(&Value::from(1)), "{rows}");
    assert_eq!(ask(&mut client, &reader, "SHOW USERS").0, 403);
    assert_eq!(ask(&mut client, "", "SHOW DATABASES").0, 401);
    assert_eq!(write(&mut client, agent, "m v=2 2"), 204);
    expect_done(&mut client, admin, "REVOKE ALL ON d FROM agent");
    assert_eq!(write(&mut client, agent, "m v=3 3"), 403);
    let (_, later) = server.terminate();
    let log = format!("{log}{later}");
    assert!(log.contains("accounts changed") && log.contains("[REDACTED]"), "{log}");
    for secret in ["hidden", token, "YWRtaW4"] {
        assert!(!log.contains(secret), "{secret} in the log: {log}");
    }
}

#[test]
fn many_wrong_passwords_are_not_heard_any_more() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), &["--auth"]);
    let mut client = server.client();
    let create = "CREATE USER admin WITH PASSWORD 'p' WITH ALL PRIVILEGES";
    expect_done(&mut client, "", create);
    let statuses: Vec<u16> =
        (0..12).map(|n| ask(&mut client, &format!("Token admin:{n}"), "SHOW USERS").0).collect();
    assert!(statuses.contains(&401) && statuses.ends_with(&[503]), "{statuses:?}");
    let response = client.request("GET", "/metrics", &[("Authorization", "Token admin:p")], b"");
    let response = response.unwrap();
    assert!(response.status == 503 && response.header("retry-after").is_some(), "not remembered");
    // One is forgotten after a while, and who was right is remembered.
    let mut tries = 0;
    while ask(&mut client, "Token admin:p", "SHOW USERS").0 != 200 {
        tries += 1;
        assert!(tries < 300, "never heard again");
        std::thread::sleep(Duration::from_millis(100));
    }
    for _ in 0..12 {
        ask(&mut client, "Token admin:wrong", "SHOW USERS");
    }
    assert_eq!(ask(&mut client, "Token admin:p", "SHOW USERS").0, 200);
}
