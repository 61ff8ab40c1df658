//! Long answers of one document, which are sent while they are made.

use std::time::{Duration, Instant};

use axum::http::header::CONTENT_LENGTH;
use http_body_util::BodyExt;
use serde_json::Value;

use super::{Fixture, GRACE};
use crate::config::Settings;

const ROWS: &str = "SELECT+*+FROM+m";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_answer_is_sent_while_it_is_made_and_is_the_same() {
    let fixture = Fixture::new(Settings::default()).await;
    for (query, is_long) in [
        (ROWS.to_owned(), true),
        (format!("{ROWS}+ORDER+BY+time+DESC"), true),
        (
            format!("SHOW+DATABASES;{ROWS};SELECT+count(v)+FROM+m;SELECT+*+FROM+nodb..m;{ROWS}"),
            true,
        ),
        (format!("{ROWS}+LIMIT+1000+OFFSET+7"), false),
        ("SELECT+v+FROM+m+GROUP+BY+host".to_owned(), true),
        ("SELECT+count(v)+FROM+m".to_owned(), false),
    ] {
        // Laid out for people it is made as a whole.
        let (_, whole) = fixture.query("POST", &format!("/query?db=d&pretty=true&q={query}")).await;
        let response = fixture.send("POST", &format!("/query?db=d&q={query}"), "").await;
        assert_eq!(response.status(), 200);
        let sized = response.headers().get(CONTENT_LENGTH).is_some()
            || hyper::body::Body::size_hint(response.body()).exact().is_some();
        assert_eq!(sized, !is_long, "{query}");
        let body = response.into_body().collect().await.unwrap().to_bytes();
        assert!(body.ends_with(b"]}\n"));
        assert_eq!(serde_json::from_slice::<Value>(&body).unwrap(), whole, "{query}");
        // It holds the memory of a short one. Nothing else is held when the end is there: the next query of the
        // same client had half of the memory once, since the one before counted as another.
        drop(body);
        fixture.assert_nothing_is_left();
    }
}

/// However many rows a chunk may have: each but the last of a table has so many, and says what follows.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn chunks_have_the_rows_that_were_asked_for() {
    let fixture = Fixture::new(Settings::default()).await;
    let query = format!("{ROWS};SELECT+count(v)+FROM+m;SELECT+*+FROM+m+ORDER+BY+time+DESC");
    let (_, whole) = fixture.query("POST", &format!("/query?db=d&pretty=true&q={query}")).await;
    for size in [700, 4096, 8192, 10_000, 1_000_000] {
        let target = format!("/query?db=d&chunked=true&chunk_size={size}&q={query}");
        let response = fixture.send("POST", &target, "").await;
        let body = response.into_body().collect().await.unwrap().to_bytes();
        let text = String::from_utf8(body.to_vec()).unwrap();
        let mut joined: Vec<Vec<Value>> = vec![Vec::new(); 3];
        let lines: Vec<Value> = text.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
        for line in &lines {
            let result = &line["results"][0];
            let statement = usize::try_from(result["statement_id"].as_u64().unwrap()).unwrap();
            let rows = result["series"][0]["values"].as_array().unwrap();
            joined[statement].extend(rows.iter().cloned());
            let all = whole["results"][statement]["series"][0]["values"].as_array().unwrap().len();
            let more = joined[statement].len() < all;
            assert!(rows.len() == size || !more && rows.len() < size, "{size}: {}", rows.len());
            assert_eq!(result.get("partial").is_some(), more, "{size}");
            assert_eq!(result["series"][0].get("partial").is_some(), more, "{size}");
        }
        for (statement, rows) in joined.into_iter().enumerate() {
            assert_eq!(Value::from(rows), whole["results"][statement]["series"][0]["values"]);
        }
        drop(body);
        fixture.until(<[_]>::is_empty).await;
        fixture.assert_nothing_is_left();
    }
    // Tables one after the other.
    let target = "/query?db=d&chunked=true&chunk_size=900&q=SELECT+v+FROM+m+GROUP+BY+host";
    let response = fixture.send("POST", target, "").await;
    let body = response.into_body().collect().await.unwrap().to_bytes();
    let flags: Vec<(usize, bool, bool)> = String::from_utf8_lossy(&body)
        .lines()
        .map(|line| {
            let result = &serde_json::from_str::<Value>(line).unwrap()["results"][0];
            let table = &result["series"][0];
            let rows = table["values"].as_array().unwrap().len();
            (rows, table.get("partial").is_some(), result.get("partial").is_some())
        })
        .collect();
    let mut expected = [(900, true, true), (900, true, true), (200, false, true)].repeat(10);
    expected.last_mut().unwrap().2 = false;
    assert_eq!(flags, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_does_not_read_a_long_answer_holds_no_turn_for_ever() {
    let target = format!("/query?db=d&q={}", format!("{ROWS};").repeat(20));
    for (settings, goes) in [("", false), ("query-timeout = '200ms'", false), ("", true)] {
        let fixture = Fixture::new(toml::from_str(settings).unwrap()).await;
        let response = fixture.send("POST", &target, "").await;
        assert_eq!(response.status(), 200);
        fixture.until(|listed| listed.len() == 1).await;
        let id = fixture.listed()[0].0;
        let begin = Instant::now();
        if goes {
            drop(response);
            fixture.until(<[_]>::is_empty).await;
            assert!(begin.elapsed() < GRACE, "{:?}", begin.elapsed());
            fixture.assert_nothing_is_left();
            continue;
        }
        if settings.is_empty() {
            // The way is full.
            tokio::time::sleep(Duration::from_millis(300)).await;
            assert_eq!(fixture.error(&format!("KILL QUERY {id}")).await, "");
        }
        fixture.until(<[_]>::is_empty).await;
        assert!(begin.elapsed() < 2 * GRACE, "{:?}", begin.elapsed());
        let body = response.into_body().collect().await;
        let end = body.map(|body| {
            let bytes = body.to_bytes();
            let end = bytes.len().saturating_sub(200);
            (bytes.len(), String::from_utf8_lossy(&bytes[end..]).into_owned())
        });
        // What the client reads at last does not look like the whole answer, or says why it ended.
        assert!(
            end.as_ref().is_ok_and(|(_, end)| end.contains("error")) || end.is_err(),
            "{end:?}"
        );
        fixture.assert_nothing_is_left();
    }
}
