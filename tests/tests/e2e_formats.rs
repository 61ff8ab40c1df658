//! `/api/v1/write` as clients see it: every format over a socket, read back, also after a restart, and
//! what they are told when something is refused.

#![expect(clippy::unwrap_used, reason = "a test reports by panicking, its helpers too")]

use serde_json::json;
use tsdb_tests::http::{Client, Response};
use tsdb_tests::server::Server;

const JSON: &str = r#"[{"measurement":"m","tags":{"h":"a"},"fields":{"v":1.5},"time":7},{"measurement":"m","value":2,"time":8}]"#;

/// A body in each format, with its media type, that says the same.
const BODIES: [(&str, &str, &str); 5] = [
    ("json", "application/json", JSON),
    (
        "ndjson",
        "application/x-ndjson",
        "{\"measurement\":\"m\",\"tags\":{\"h\":\"a\"},\"fields\":{\"v\":1.5},\"time\":7}\n\
         {\"measurement\":\"m\",\"value\":2,\"time\":8}\n",
    ),
    (
        "columns",
        "application/json",
        "[{\"measurement\":\"m\",\"tags\":{\"h\":\"a\"},\"time\":[7],\"fields\":{\"v\":[1.5]}},\
         {\"measurement\":\"m\",\"time\":[8],\"value\":[2]}]",
    ),
    ("csv", "text/csv", "measurement,h:tag,v,value,time\nm,a,1.5,,7\nm,,,2,8\n"),
    ("line", "text/plain", "m,h=a v=1.5 7\nm value=2 8\n"),
];

fn post(client: &mut Client, query: &str, content_type: Option<&str>, body: &[u8]) -> Response {
    let headers: Vec<(&str, &str)> =
        content_type.map(|value| ("Content-Type", value)).into_iter().collect();
    client.request("POST", &format!("/api/v1/write?{query}"), &headers, body).unwrap()
}

fn check(client: &mut Client, database: &str) {
    assert_eq!(client.number(database, "SELECT v FROM m WHERE h = 'a'"), Some(1.5), "{database}");
    assert_eq!(client.number(database, "SELECT value FROM m"), Some(2.0), "{database}");
    assert_eq!(client.number(database, "SELECT count(v) FROM m"), Some(1.0), "{database}");
}

#[test]
fn every_format_is_written_and_read_back() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), &[]);
    let mut client = server.client();
    for (name, content_type, body) in BODIES {
        let response =
            post(&mut client, &format!("db={name}"), Some(content_type), body.as_bytes());
        assert_eq!((response.status, response.text().as_str()), (204, ""), "{name}");
        check(&mut client, name);
        let response = post(&mut client, &format!("db={name}_detected"), None, body.as_bytes());
        assert_eq!(response.status, 204, "{name}: {}", response.text());
        check(&mut client, &format!("{name}_detected"));
    }
    server.kill();
    let server = Server::start(dir.path(), &[]);
    let mut client = server.client();
    for (name, _, _) in BODIES {
        check(&mut client, name);
    }
}

#[test]
fn what_is_refused_is_listed() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), &[]);
    let mut client = server.client();
    let table = "measurement,h:tag,v,time\nm,a,1.5,7\nm,a,x,8\nm,a\nm,b,2,9\n";
    let response = post(&mut client, "db=d", Some("text/csv"), table.as_bytes());
    assert_eq!(response.status, 400);
    let answer = response.json();
    assert_eq!((&answer["stored"], &answer["refused"]), (&json!(2), &json!(2)));
    assert_eq!(
        (&answer["errors"][0]["line"], &answer["errors"][1]["line"]),
        (&json!(3), &json!(4))
    );
    assert_eq!(answer["errors"][1]["text"], "m,a");
    assert_eq!(client.number("d", "SELECT count(v) FROM m"), Some(2.0));
    let grpc = [("Content-Type", "application/grpc")];
    let response = client.request("POST", "/api/v1/write?db=d", &grpc, b"\x03\x08abc").unwrap();
    assert_eq!(response.status, 415);
    let answer = response.json();
    let text = answer["error"].as_str().unwrap();
    for part in ["application/grpc", "application/json", "text/plain", "text/csv"] {
        assert!(text.contains(part), "{part} is missing in {text}");
    }
    check_still_works(&mut client);
}

fn check_still_works(client: &mut Client) {
    assert_eq!(post(client, "db=after", None, JSON.as_bytes()).status, 204);
    check(client, "after");
}
