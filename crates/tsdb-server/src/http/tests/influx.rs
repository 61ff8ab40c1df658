//! `/api/v2/write` and `/api/v3/write_lp` in this process: what clients of InfluxDB 2 and 3 send, and what they are
//! told.

use super::*;

/// A line that cannot be read, and what is said of it.
const BAD: &str = "m,h=a v= 5";
const REASON: &str =
    "missing field value: put a value behind the equals sign, or leave the field out";

impl Fixture {
    /// Status and body of a write.
    async fn answer(&self, target: &str, body: &str) -> (u16, Value) {
        let (response, text) = self.send("POST", target, body).await;
        let value =
            if text.is_empty() { Value::Null } else { serde_json::from_str(&text).unwrap() };
        (response.status().as_u16(), value)
    }

    /// Times and values of the field `v` of `m`.
    async fn rows(&self) -> Value {
        let (_, answer) = self.query("SELECT v FROM m").await;
        answer["results"][0]["series"][0]["values"].clone()
    }
}

#[tokio::test]
async fn clients_of_influxdb_2_write_lines_in_their_units() {
    for (precision, ns) in [("", 1), ("ns", 1), ("us", 1000), ("ms", 1_000_000)] {
        let fixture = Fixture::new();
        let target = format!("/api/v2/write?org=o&bucket=d&precision={precision}");
        assert_eq!(fixture.answer(&target, "m,h=a v=1.5 7").await, (204, Value::Null));
        assert_eq!(fixture.rows().await, json!([[7 * ns, 1.5]]), "{precision}");
    }
    let fixture = Fixture::new();
    assert_eq!(fixture.answer("/api/v2/write?bucket=d", "").await, (204, Value::Null));
    fixture.query("CREATE DATABASE d").await;
    fixture.query("CREATE RETENTION POLICY r ON d DURATION INF REPLICATION 1").await;
    let (status, _) = fixture.answer("/api/v2/write?bucket=d/r&precision=s", "m v=2 7").await;
    assert_eq!(status, 204);
    assert_eq!(fixture.rows().await, Value::Null, "it is in the other policy");
    let (_, answer) = fixture.query("SELECT v FROM d.r.m").await;
    let rows = &answer["results"][0]["series"][0]["values"];
    assert_eq!(*rows, json!([[7_000_000_000_u64, 2]]));
}

#[tokio::test]
async fn clients_of_influxdb_2_are_told_by_a_code_and_a_message() {
    let fixture = Fixture::new();
    let partial = format!("m v=1 1\n{BAD}\nm v=2 2");
    for (query, body, status, code, part) in [
        ("org=o", "m v=1", 400, "invalid", "bucket is required"),
        (
            "bucket=d&precision=h",
            "m v=1",
            400,
            "invalid",
            "valid precision units are ns, us, ms, and s",
        ),
        ("bucket=d", BAD, 400, "invalid", "unable to parse 'm,h=a v= 5': missing field value"),
        (
            "bucket=d",
            &partial,
            422,
            "unprocessable entity",
            "failure writing points to database: partial write: unable to parse 'm,h=a v= 5': missing field \
             value dropped=0",
        ),
        ("bucket=d/none", "m v=1", 404, "not found", "retention policy not found"),
        ("bucket=-a", "m v=1", 400, "invalid", "database name \"-a\" is not valid"),
    ] {
        let (response, text) = fixture.send("POST", &format!("/api/v2/write?{query}"), body).await;
        let answer: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(response.status(), status, "{query}: {text}");
        assert_eq!(answer["code"], code, "{query}: {text}");
        assert!(answer["message"].as_str().unwrap().contains(part), "{query}: {text}");
        assert_eq!(answer.as_object().unwrap().len(), 2, "{text}");
        assert!(response.headers().contains_key("x-influxdb-error"), "{query}");
    }
    assert_eq!(fixture.rows().await, json!([[1, 1], [2, 2]]), "the good lines are stored");
    let (response, text) = fixture.send("GET", "/api/v2/write", "").await;
    assert_eq!(response.status(), 405);
    assert!(text.starts_with("{\"code\":\"method not allowed\",\"message\":\""), "{text}");
    fixture.store.mode.store(FULL, Ordering::Relaxed);
    let (response, text) = fixture.send("POST", "/api/v2/write?bucket=d", "m v=1 1").await;
    assert_eq!(response.status(), 503);
    assert_eq!(reply::header(response.headers(), "retry-after"), Some("1"));
    assert!(text.starts_with("{\"code\":\"unavailable\",\"message\":\""), "{text}");
}

#[tokio::test]
async fn clients_of_influxdb_3_write_lines_in_any_unit() {
    let seconds = 1_700_000_000_i64;
    let at = json!([[seconds * 1_000_000_000, 1.5]]);
    for (precision, zeros) in [
        ("", 0),
        ("auto", 3),
        ("auto", 6),
        ("auto", 9),
        ("second", 0),
        ("ms", 3),
        ("microsecond", 6),
        ("nanosecond", 9),
    ] {
        let fixture = Fixture::new();
        let target = format!("/api/v3/write_lp?db=d&precision={precision}");
        let line = format!("m,h=a v=1.5 {seconds}{}", "0".repeat(zeros));
        assert_eq!(fixture.answer(&target, &line).await, (204, Value::Null), "{precision}");
        assert_eq!(fixture.rows().await, at, "{precision}");
    }
}

#[tokio::test]
async fn clients_of_influxdb_3_choose_what_becomes_of_good_lines() {
    let entry =
        |line: u64| json!({"original_line": BAD, "line_number": line, "error_message": REASON});
    let body = format!("m v=1 1\n{BAD}\nm v=2 2\n{BAD}");
    let fixture = Fixture::new();
    let target = "/api/v3/write_lp?db=d&precision=ns&accept_partial=false";
    let refused = json!({"error": "parsing failed for write_lp endpoint", "data": entry(2)});
    assert_eq!(fixture.answer(target, &body).await, (400, refused));
    let (_, names) = fixture.query("SHOW MEASUREMENTS ON d").await;
    assert_eq!(names["results"][0]["series"], Value::Null, "nothing is stored: {names}");
    assert_eq!(fixture.answer(target, "m v=1 1\nm v=3 3").await, (204, Value::Null));
    let partial =
        json!({"error": "partial write of line protocol occurred", "data": [entry(2), entry(4)]});
    let (_, metrics) = fixture.send("GET", "/metrics", "").await;
    assert!(metrics.contains("tsdb_write_rows_total 2\n"), "{metrics}");
    let target = "/api/v3/write_lp?db=d&precision=ns";
    assert_eq!(fixture.answer(target, &body).await, (400, partial));
    assert_eq!(fixture.rows().await, json!([[1, 1], [2, 2], [3, 3]]));
    let (status, answer) = fixture.answer("/api/v3/write_lp?db=d&precision=h", "m v=1").await;
    assert_eq!((status, answer.as_object().unwrap().len()), (400, 1));
    assert!(answer["error"].as_str().unwrap().contains("use auto, nanosecond"), "{answer}");
}

#[tokio::test]
async fn who_does_not_wait_for_the_log_is_answered_and_its_failure_shows() {
    let fixture = Fixture::new();
    fixture.query("CREATE DATABASE d").await;
    fixture.store.mode.store(SYNC_FAILS, Ordering::Relaxed);
    let target = "/api/v3/write_lp?db=d&no_sync=true";
    assert_eq!(fixture.answer(target, "m v=1 1").await, (204, Value::Null));
    assert_eq!(fixture.status("GET", "/health", "").await, 503);
    let (status, answer) = fixture.answer("/api/v3/write_lp?db=d&no_sync=false", "m v=1 1").await;
    assert_eq!(status, 503, "{answer}");
}
