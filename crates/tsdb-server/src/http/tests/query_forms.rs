//! `/query` in the forms that clients of InfluxDB 1 use: answers in CSV and MessagePack, questions in forms of several
//! parts.

use axum::http::header::{ACCEPT, ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, VARY};

use super::*;

impl Fixture {
    /// The answer to a form: status, type and bytes.
    async fn asked(
        &self,
        target: &str,
        headers: &[(axum::http::HeaderName, &str)],
        body: &str,
    ) -> (u16, String, Vec<u8>) {
        let mut request =
            Request::builder().method(Method::POST).uri(target).header("host", "localhost");
        for (name, value) in headers {
            request = request.header(name, *value);
        }
        let request = request.body(Body::from(body.to_owned())).unwrap();
        let response = router(Arc::clone(&self.app)).oneshot(request).await.unwrap();
        let kind = reply::header(response.headers(), CONTENT_TYPE).unwrap_or_default().to_owned();
        let status = response.status().as_u16();
        (status, kind, response.into_body().collect().await.unwrap().to_bytes().to_vec())
    }

    async fn with_rows() -> Fixture {
        let fixture = Fixture::new();
        let lines = "m,host=a f=1.5,g=2 1000000001\nm,host=b f=3 2000000000";
        assert_eq!(fixture.status("POST", "/write?db=d", lines).await, 204);
        fixture
    }
}

/// A tree of MessagePack as one of JSON, which writes whole numbers without a point.
fn as_json(packed: &rmpv::Value) -> Value {
    match packed {
        rmpv::Value::Nil => Value::Null,
        rmpv::Value::F64(number) => serde_json::from_str(&number.to_string()).unwrap(),
        rmpv::Value::Integer(number) => json!(number.as_i64().unwrap()),
        rmpv::Value::String(text) => json!(text.as_str().unwrap()),
        rmpv::Value::Array(all) => all.iter().map(as_json).collect(),
        rmpv::Value::Map(pairs) => {
            let pairs = pairs.iter().map(|(key, value)| (key.as_str().unwrap(), as_json(value)));
            pairs.map(|(key, value)| (key.to_owned(), value)).collect()
        }
        other => panic!("{other:?}"),
    }
}

const SELECTS: &str = "/query?db=d&q=SELECT+*+FROM+m;SELECT+f+FROM+m+GROUP+BY+host;SELECT+f+FROM+x";

#[tokio::test]
async fn csv_is_what_influxdb_1_gives() {
    let fixture = Fixture::with_rows().await;
    let expected = "name,tags,time,f,g,host\nm,,1000000001,1.5,2,a\nm,,2000000000,3,,b\n\n\
                    name,tags,time,f\nm,host=a,1000000001,1.5\nm,host=b,2000000000,3\n";
    for accept in ["text/csv", "application/csv", "text/html, text/csv;q=0.9, */*"] {
        let (status, kind, body) = fixture.asked(SELECTS, &[(ACCEPT, accept)], "").await;
        assert_eq!((status, &*kind), (200, "text/csv"), "{accept}");
        assert_eq!(String::from_utf8(body).unwrap().trim_end(), expected.trim_end());
    }
    let units = "/query?db=d&epoch=ms&chunked=true&chunk_size=1&q=SELECT+f+FROM+m";
    let (_, _, body) = fixture.asked(units, &[(ACCEPT, "text/csv")], "").await;
    assert_eq!(String::from_utf8(body).unwrap(), "name,tags,time,f\nm,,1000,1.5\nm,,2000,3\n");
    for accept in ["text/html", "", "application/json, text/csv"] {
        let (_, kind, body) = fixture.asked(SELECTS, &[(ACCEPT, accept)], "").await;
        assert_eq!(kind, "application/json", "{accept}");
        assert!(body.starts_with(b"{\"results\":["));
    }
}

#[tokio::test]
async fn message_pack_is_the_tree_of_the_json() {
    let fixture = Fixture::with_rows().await;
    let target = SELECTS.replace("db=d", "db=d&epoch=ns&pretty=true");
    let msgpack = [(ACCEPT, "application/x-msgpack")];
    let (status, kind, body) = fixture.asked(&target, &msgpack, "").await;
    assert_eq!((status, &*kind), (200, "application/x-msgpack"));
    let packed = rmpv::decode::read_value(&mut &body[..]).unwrap();
    let (_, _, json) = fixture.asked(&target, &[], "").await;
    let mut json: Value = serde_json::from_slice(&json).unwrap();
    // InfluxDB names the series of an answer in MessagePack even if there are none.
    json["results"][2]["series"] = json!([]);
    assert_eq!(as_json(&packed), json);
    // What is no question is told in JSON, by its type.
    let bad = fixture.asked("/query?q=SELCT", &msgpack, "").await;
    assert_eq!((bad.0, &*bad.1), (400, "application/json"));
}

#[tokio::test]
async fn forms_of_several_parts_are_read() {
    let fixture = Fixture::with_rows().await;
    let form = "--xyz\r\nContent-Disposition: form-data; name=\"db\"\r\n\r\nd\r\n\
                --xyz\r\nContent-Disposition: form-data; name=\"q\"; filename=\"q.txt\"\r\n\
                Content-Type: text/plain\r\n\r\nSELECT count(f)\nFROM m\n\r\n--xyz--\r\n";
    let kind = "multipart/form-data; boundary=xyz";
    let (status, _, body) = fixture.asked("/query?db=e", &[(CONTENT_TYPE, kind)], form).await;
    let body = String::from_utf8(body).unwrap();
    assert!(status == 200 && body.contains("[\"1970-01-01T00:00:00Z\",2]"), "{status} {body}");
    for (kind, form, status, part) in [
        ("multipart/form-data", form, 400, "boundary"),
        (
            kind,
            "--xyz\r\nContent-Disposition: form-data; name=\"q\"\r\n\r\nSHOW",
            400,
            "multipart form",
        ),
        ("text/plain", form, 415, "multipart/form-data"),
    ] {
        let answer = fixture.asked("/query?db=d", &[(CONTENT_TYPE, kind)], form).await;
        let body = String::from_utf8(answer.2).unwrap();
        assert!(answer.0 == status && body.contains(part), "{kind}: {} {body}", answer.0);
    }
}

/// A body as the client sees it, and how it was packed.
async fn unpacked(response: Response) -> (String, Vec<u8>) {
    use std::io::Read;
    let encoding = reply::header(response.headers(), CONTENT_ENCODING).unwrap_or_default();
    let encoding = encoding.to_owned();
    let varies = reply::header(response.headers(), VARY)
        .is_some_and(|vary| vary.to_ascii_lowercase().contains("accept-encoding"));
    assert!(varies || encoding.is_empty(), "caches must not mix them up");
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    let mut plain = Vec::new();
    match &*encoding {
        "gzip" => {
            flate2::read::GzDecoder::new(&bytes[..]).read_to_end(&mut plain).unwrap();
        }
        "zstd" => plain = zstd::decode_all(&bytes[..]).unwrap(),
        _ => plain = bytes.to_vec(),
    }
    assert!(encoding.is_empty() || bytes.len() < plain.len() / 2);
    (encoding, plain)
}

#[tokio::test]
async fn long_answers_are_packed_for_those_who_take_them_so() {
    let fixture = Fixture::new();
    let lines: Vec<String> = (0..20_000).map(|n| format!("m,host=a f={} {n}", n % 7)).collect();
    assert_eq!(fixture.status("POST", "/write?db=d", &lines.join("\n")).await, 204);
    let ask = async |target: &str, accepted: Option<&str>| {
        let mut request = Request::builder().uri(target).header("host", "localhost");
        if let Some(accepted) = accepted {
            request = request.header(ACCEPT_ENCODING, accepted);
        }
        let request = request.body(Body::empty()).unwrap();
        unpacked(router(Arc::clone(&fixture.app)).oneshot(request).await.unwrap()).await
    };
    // In one piece, in slices, in chunks.
    for target in [
        "/query?db=d&epoch=ns&q=SELECT+f+FROM+m+LIMIT+500",
        "/query?db=d&epoch=ns&q=SELECT+f+FROM+m",
        "/query?db=d&epoch=ns&chunked=true&chunk_size=100&q=SELECT+f+FROM+m",
    ] {
        let (encoding, plain) = ask(target, None).await;
        assert_eq!(encoding, "");
        for (accepted, used) in [
            ("gzip", "gzip"),
            ("zstd", "zstd"),
            ("gzip;q=0, zstd;q=0.5", "zstd"),
            ("br", ""),
            ("identity", ""),
        ] {
            let packed = ask(target, Some(accepted)).await;
            assert_eq!(packed.0, used, "{target}: {accepted}");
            assert!(packed.1 == plain, "{target}: {accepted}");
        }
    }
    let short = ask("/query?db=d&q=SHOW+DATABASES", Some("gzip, zstd")).await;
    assert_eq!(short.0, "");
}
