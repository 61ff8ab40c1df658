//! `/api/v1/write?stream=true` in this process: pieces, what is said of them, and streams that end early.

use std::convert::Infallible;
use std::io::Error as IoError;

use axum::body::Bytes;
use http_body_util::channel::Channel;

use super::*;
use crate::http::body::Encoding;

/// Memory for bodies with which a piece has 64 KiB.
const BODIES: usize = 512 << 10;
/// Lines of some 20 bytes: several pieces.
const LINES: u64 = 20_000;

fn small() -> Fixture {
    let mib = 1 << 20;
    Fixture::with_budget(MemoryBudget::with_limits([64 * mib, 8 * mib, 8 * mib, 32 * mib, BODIES]))
}

impl Fixture {
    /// Streams a body in frames of 1000 bytes; without its end if it breaks off.
    async fn stream(
        &self,
        query: &str,
        headers: &[(&str, &str)],
        body: &[u8],
        breaks_off: bool,
    ) -> (Response<()>, Value) {
        let (mut sender, channel) = Channel::<Bytes, IoError>::new(1);
        let mut request = Request::builder()
            .method(Method::POST)
            .uri(format!("/api/v1/write?stream=true&{query}"))
            .header("host", "localhost:8086");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Body::new(channel)).unwrap();
        let frames: Vec<Bytes> = body.chunks(1000).map(Bytes::copy_from_slice).collect();
        tokio::spawn(async move {
            for frame in frames {
                if sender.send_data(frame).await.is_err() {
                    return Ok::<(), Infallible>(());
                }
            }
            if breaks_off {
                sender.abort(IoError::other("the cable is out"));
            }
            Ok(())
        });
        let response = router(Arc::clone(&self.app)).oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        for pool in [Pool::Bodies, Pool::Queries] {
            assert_eq!(self.budget.used(pool), 0, "{pool} is given back");
        }
        (Response::from_parts(parts, ()), serde_json::from_slice(&bytes).unwrap())
    }

    /// How many rows there are.
    async fn count(&self) -> Value {
        let (_, answer) = self.query("SELECT count(v) FROM m").await;
        answer["results"][0]["series"][0]["values"][0][1].clone()
    }
}

fn lines(count: u64) -> String {
    (0..count).map(|n| format!("m,h=a v={n} {n}\n")).collect()
}

#[tokio::test]
async fn a_stream_is_stored_in_pieces_whatever_it_is_packed_with() {
    let text = lines(LINES);
    let json: String = (0..LINES)
        .map(|n| format!("{{\"measurement\":\"m\",\"fields\":{{\"v\":{n}}},\"time\":{n}}}\n"))
        .collect();
    let table: String = (0..LINES).map(|n| format!("{n},{n}\n")).collect();
    let table = format!("v,time\n{table}");
    for (query, headers, body, line_count) in [
        ("db=d", &[][..], text.as_bytes(), LINES),
        ("db=d", &[("content-type", "application/x-ndjson")], json.as_bytes(), LINES),
        ("db=d&format=csv&measurement=m", &[], table.as_bytes(), LINES + 1),
    ] {
        let fixture = small();
        let (response, answer) = fixture.stream(query, headers, body, false).await;
        assert_eq!(response.status(), 200, "{query}: {answer}");
        let batches = answer["batches"].as_u64().unwrap();
        assert!(batches > body.len() as u64 / (64 << 10), "{answer}");
        let expected = json!({
            "stored": LINES, "refused": 0, "batches": batches, "lines": line_count, "bytes": body.len(), "errors": [],
        });
        assert_eq!(answer, expected, "{query}");
        assert_eq!(fixture.count().await, LINES, "{query}");
        let (_, metrics) = fixture.send("GET", "/metrics", "").await;
        let sent = format!("tsdb_http_request_body_bytes_total {}\n", body.len());
        assert!(metrics.contains(&sent), "{metrics}");
    }
    for encoding in [Encoding::Gzip, Encoding::Deflate, Encoding::Zstd] {
        let fixture = Fixture::new();
        let packed = crate::http::body::pack(text.as_bytes(), encoding);
        let name = format!("{encoding:?}").to_lowercase();
        let headers = [("content-encoding", name.as_str())];
        let (response, answer) = fixture.stream("db=d", &headers, &packed, false).await;
        assert_eq!(response.status(), 200, "{answer}");
        assert_eq!((&answer["stored"], &answer["bytes"]), (&json!(LINES), &json!(text.len())));
    }
}

#[tokio::test]
async fn what_is_refused_of_a_stream_is_named_by_its_line() {
    let fixture = small();
    let mut body = String::new();
    for line in lines(LINES).lines() {
        body.push_str(line);
        body.push('\n');
        if line.ends_with(" 5") || line.ends_with(" 15000") {
            body.push_str("m v=\n");
        }
    }
    body.push_str("m v=1 99999");
    let (response, answer) = fixture.stream("db=d", &[], body.as_bytes(), false).await;
    assert_eq!(response.status(), 400);
    assert_eq!((&answer["stored"], &answer["refused"]), (&json!(LINES + 1), &json!(2)));
    assert_eq!((&answer["lines"], &answer["bytes"]), (&json!(LINES + 3), &json!(body.len())));
    let found = [0, 1].map(|place| answer["errors"][place]["line"].as_u64().unwrap());
    assert_eq!(found, [7, 15_003]);
    assert!(answer["error"].as_str().unwrap().starts_with("2 refused, 20001 stored"), "{answer}");
    // The header counts as a line once.
    let fixture = small();
    let rows: String = (0..LINES)
        .map(|n| if n == 15_000 { "x,y\n".into() } else { format!("{n},{n}\n") })
        .collect();
    let table = format!("v,time\n{rows}");
    let (_, answer) =
        fixture.stream("db=d&format=csv&measurement=m", &[], table.as_bytes(), false).await;
    assert_eq!(
        (&answer["errors"][0]["line"], &answer["refused"]),
        (&json!(15_002), &json!(1)),
        "{answer}"
    );
}

#[tokio::test]
async fn a_stream_that_ends_early_says_what_is_stored_of_it() {
    let body = lines(LINES);
    let unclosed = format!("{body}m s=\"{}", "x\n".repeat(80_000));
    let packed = crate::http::body::pack(body.as_bytes(), Encoding::Gzip);
    let gzip = [("content-encoding", "gzip")];
    for (headers, sent, breaks_off, part) in [
        (&[][..], body.as_bytes(), true, "request body broke off"),
        (&[], unclosed.as_bytes(), false, "are without the end of a record"),
        (&gzip, &packed[..packed.len() - 4], false, "request body is not valid gzip"),
    ] {
        let fixture = small();
        let (response, answer) = fixture.stream("db=d", headers, sent, breaks_off).await;
        assert_eq!(response.status(), 400, "{answer}");
        let error = answer["error"].as_str().unwrap();
        assert!(error.contains(part), "{answer}");
        let stored = answer["lines"].as_u64().unwrap();
        let bytes = usize::try_from(answer["bytes"].as_u64().unwrap()).unwrap();
        assert!(0 < stored && stored <= LINES, "{answer}");
        assert_eq!(lines(stored), body[..bytes], "whole lines, and those that are named");
        assert!(error.contains(&format!(
            "the first {stored} lines of the body ({bytes} bytes, unpacked) are stored"
        )));
        assert_eq!((&answer["stored"], fixture.count().await), (&json!(stored), json!(stored)));
    }
}

#[tokio::test]
async fn a_stream_is_refused_before_it_begins_or_with_its_first_piece() {
    let fixture = small();
    fixture.query("CREATE DATABASE d").await;
    let text = ("content-type", "text/plain");
    for (query, headers, body, status, part) in [
        ("", &[][..], "m v=1", 400, "database is required"),
        ("db=d&stream=x", &[], "m v=1", 400, "invalid stream \"x\" (use true or false)"),
        ("db=d&format=xml", &[], "m v=1", 400, "unknown format"),
        (
            "db=d",
            &[("content-type", "application/x-protobuf")],
            "m v=1",
            415,
            "unsupported content type",
        ),
        (
            "db=d",
            &[("content-encoding", "snappy"), text],
            "m v=1",
            415,
            "can only be unpacked whole",
        ),
        (
            "db=d",
            &[],
            "[{\"measurement\":\"m\",\"value\":1}]",
            400,
            "of format json cannot be taken in pieces",
        ),
        (
            "db=d",
            &[],
            "{\n\"measurement\":\"m\",\"value\":1}",
            400,
            "each record on a line of its own",
        ),
        ("db=d&format=csv", &[], "a,b\n1,2\n", 400, "the header cannot be used"),
        ("db=d&rp=none", &[], "m v=1\n", 404, "retention policy not found"),
    ] {
        // The first of equal parameters counts.
        let query = if query.contains("stream=") {
            query.to_owned()
        } else {
            format!("{query}&stream=true")
        };
        let (response, answer) = fixture.write(&query, headers, body.as_bytes()).await;
        assert_eq!(response.status(), status, "{query}: {answer}");
        assert!(answer["error"].as_str().unwrap().contains(part), "{query}: {answer}");
    }
    let (_, names) = fixture.query("SHOW MEASUREMENTS ON d").await;
    assert_eq!(names["results"][0]["series"], Value::Null, "nothing is stored");
    let (response, answer) = fixture.stream("db=d", &[], b"", false).await;
    assert_eq!((response.status().as_u16(), &answer["stored"]), (200, &json!(0)));
    fixture.store.mode.store(SYNC_FAILS, Ordering::Relaxed);
    let (response, answer) = fixture.stream("db=d", &[], lines(9).as_bytes(), false).await;
    assert_eq!(response.status(), 503);
    assert!(
        answer["error"].as_str().unwrap().contains("nothing of the body is stored"),
        "{answer}"
    );
    assert_eq!((&answer["stored"], &answer["bytes"]), (&json!(0), &json!(0)));
}

#[tokio::test]
async fn streams_at_once_are_bounded() {
    let fixture = Fixture::new();
    let turns: Vec<_> =
        (0..crate::app::STREAMS_MAX).map(|_| fixture.app.stream_turn().unwrap()).collect();
    let (response, _) = fixture.write("db=d&stream=true", &[], b"m v=1").await;
    assert_eq!(response.status(), 503);
    assert_eq!(reply::header(response.headers(), "retry-after"), Some("1"));
    drop(turns);
    let (response, _) = fixture.write("db=d&stream=true", &[], b"m v=1").await;
    assert_eq!(response.status(), 200);
}
