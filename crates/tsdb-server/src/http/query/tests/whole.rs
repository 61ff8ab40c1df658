//! Long answers, which are sent while they are made, in every form.

use std::time::{Duration, Instant};

use axum::body::Bytes;
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http_body_util::BodyExt;
use prost::Message;
use serde_json::Value;

use super::{Fixture, GRACE};
use crate::config::Settings;
use crate::grpc::proto::QueryResponse;
use crate::grpc::proto::query_response::Outcome;
use crate::grpc::proto::result_column::Values;

const ROWS: &str = "SELECT+*+FROM+m";

/// The forms of our own endpoint beside JSON.
const FORMS: [&str; 3] = ["text/csv", "application/x-ndjson", "application/x-protobuf"];

/// Time, host and value of each row of a body.
fn rows_of(accept: &str, body: &Bytes) -> Vec<(i64, String, f64)> {
    let lines = || std::str::from_utf8(body).unwrap().lines();
    let number = |text: &str| text.parse::<i64>().unwrap();
    match accept {
        "text/csv" => {
            assert_eq!(lines().next(), Some("name,tags,time,host,v"));
            let cells = lines().skip(1).map(|line| line.split(',').collect::<Vec<_>>());
            cells.map(|row| (number(row[2]), row[3].to_owned(), row[4].parse().unwrap())).collect()
        }
        "application/x-ndjson" => {
            let rows = lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
            let int = |value: &Value| value.as_i64().unwrap();
            let text = |value: &Value| value.as_str().unwrap().to_owned();
            rows.map(|row| (int(&row["time"]), text(&row["host"]), row["v"].as_f64().unwrap()))
                .collect()
        }
        _ => rows_of_messages(body),
    }
}

fn rows_of_messages(mut body: &[u8]) -> Vec<(i64, String, f64)> {
    let (mut rows, mut ends) = (Vec::new(), Vec::new());
    while !body.is_empty() {
        let message = QueryResponse::decode_length_delimited(&mut body).unwrap();
        let Some(Outcome::Series(part)) = message.outcome else { continue };
        let columns: Vec<Values> = part.columns.into_iter().map(|c| c.values.unwrap()).collect();
        let [Values::Times(times), Values::Texts(hosts), Values::Numbers(values)] = &columns[..]
        else {
            panic!("{columns:?}")
        };
        let both = hosts.values.iter().zip(&values.values);
        rows.extend(times.values.iter().zip(both).map(|(t, (h, v))| (*t, h.clone(), *v)));
        ends.push(part.more_rows);
    }
    assert_eq!(ends.iter().position(|more| !more), Some(ends.len() - 1), "{ends:?}");
    rows
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_answer_comes_in_pieces_in_every_form() {
    let fixture = Fixture::new(Settings::default()).await;
    let expected: Vec<_> =
        (1..=20_000_i64).map(|n| (n, format!("h{}", n % 10), n as f64)).collect();
    for accept in FORMS {
        for order in ["ASC", "DESC"] {
            let target = format!("/api/v1/query?db=d&q={ROWS}+ORDER+BY+time+{order}");
            let response = fixture.ask(&target, accept).await;
            assert_eq!(response.status(), 200);
            assert!(response.headers()[CONTENT_TYPE].to_str().unwrap().starts_with(accept));
            let size = hyper::body::Body::size_hint(response.body()).exact();
            assert_eq!(size, None, "{accept}: it was made whole");
            let body = response.into_body().collect().await.unwrap().to_bytes();
            let mut rows = rows_of(accept, &body);
            if order == "DESC" {
                rows.reverse();
            }
            assert!(rows == expected, "{accept}");
            drop(body);
            fixture.assert_nothing_is_left();
        }
        let short = format!("/api/v1/query?db=d&q={ROWS}+LIMIT+9");
        let response = fixture.ask(&short, accept).await;
        assert!(hyper::body::Body::size_hint(response.body()).exact().is_some());
        let body = response.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(rows_of(accept, &body), expected[..9]);
    }
}

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
        ("SELECT+v+FROM+m+GROUP+BY+host+ORDER+BY+time+DESC+LIMIT+1900+OFFSET+7".to_owned(), true),
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
    let statements = format!("{ROWS};").repeat(20);
    let json = ("/query", "*/*");
    let own = FORMS.map(|accept| ("/api/v1/query", accept));
    let ways = [("", false), ("query-timeout = '1s'", false), ("", true)];
    let all = std::iter::once(json).chain(own).flat_map(|asked| ways.map(|way| (asked, way)));
    for ((path, accept), (settings, goes)) in all {
        let fixture = Fixture::new(toml::from_str(settings).unwrap()).await;
        let target = format!("{path}?db=d&q={statements}");
        let response = fixture.ask(&target, accept).await;
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
        // What the client reads at last does not look like the whole answer, or says that it is not.
        let says =
            |(_, end): &(usize, String)| end.contains("error") || end.contains("not executed");
        assert!(end.is_err() || end.as_ref().is_ok_and(says), "{end:?}");
        fixture.assert_nothing_is_left();
    }
}
