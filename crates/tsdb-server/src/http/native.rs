//! `POST /api/v1/query`: our own query endpoint. The answer has the form that `Accept` asks for, and the
//! status of the first statement that failed.
//!
//! Not here: InfluxDB's `/query` (`http/query.rs`), running and sending (`http/answer.rs`), the forms (`encode`).

use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::http::header::{ACCEPT, CONTENT_TYPE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use prost::Message;
use serde::Deserialize;

use super::answer::{self, Manner};
use super::body;
use super::params::Params;
use super::query::FORM_BYTES_MAX;
use super::query::request::{QueryRequest, bindings, epoch};
use super::reply::{ApiError, header};
use crate::app::App;
use crate::auth::Who;
use crate::encode::document;
use crate::encode::results::Epoch;
use crate::grpc::{proto, query_of_message};
use crate::query::{Query, Run};
use crate::status;

const FORM: &str = "application/x-www-form-urlencoded";

/// The forms of an answer, by media type; the first is what a client gets that does not say.
const FORMS: [(&str, Form); 6] = [
    ("application/json", Form::Json),
    ("text/csv", Form::Csv),
    ("application/csv", Form::Csv),
    ("application/x-ndjson", Form::Lines),
    ("application/x-protobuf", Form::Protobuf),
    ("application/protobuf", Form::Protobuf),
];

/// A form of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// One document, as `/query` gives it.
    Json,
    /// A table for each run of series with the same columns.
    Csv,
    /// A JSON object a row.
    Lines,
    /// Messages `QueryResponse`, each behind its length as a varint.
    Protobuf,
}

impl Form {
    fn content_type(self) -> &'static str {
        match self {
            Form::Json => "application/json",
            Form::Csv => "text/csv; charset=utf-8; header=present",
            Form::Lines => "application/x-ndjson",
            Form::Protobuf => {
                "application/x-protobuf; messageType=\"tsdb.v1.QueryResponse\"; delimited=true"
            }
        }
    }

    fn manner(self, epoch: Epoch) -> Manner {
        let unit_ns = match epoch {
            Epoch::Every(unit_ns) => unit_ns,
            // Tables of numbers have no texts for times.
            Epoch::Rfc3339 => 1,
        };
        Manner {
            form: match self {
                Form::Json => document::Form::Json(epoch),
                Form::Csv => document::Form::Csv(unit_ns),
                Form::Lines => document::Form::Lines(unit_ns),
                Form::Protobuf => document::Form::Protobuf,
            },
            pretty: false,
            content_type: self.content_type(),
            status: |kind| status::of(kind).query,
        }
    }

    /// The best of what the client takes, by the weights of RFC 9110, section 12.5.1.
    ///
    /// # Errors
    /// 406 with the forms that there are.
    fn negotiate(headers: &HeaderMap) -> Result<Form, ApiError> {
        let accept = header(headers, ACCEPT).unwrap_or("*/*");
        let mut best: Option<(u32, Form)> = None;
        for range in accept.split(',') {
            let mut parts = range.split(';').map(str::trim);
            let media = parts.next().unwrap_or_default().to_ascii_lowercase();
            let weight = parts.find_map(|part| part.strip_prefix("q=")).map_or(1000, thousandths);
            let form = FORMS.iter().find(|(name, _)| is_in_range(name, &media)).map(|(_, f)| *f);
            let is_better = weight > best.map_or(0, |(weight, _)| weight);
            best = form.filter(|_| is_better).map(|form| (weight, form)).or(best);
        }
        best.map(|(_, form)| form).ok_or_else(|| {
            let names: Vec<&str> = FORMS.iter().map(|(name, _)| *name).collect();
            let message =
                format!("no answer in the form of {accept:?}: accept {}", names.join(", "));
            ApiError::new(StatusCode::NOT_ACCEPTABLE, message)
        })
    }
}

/// A weight of `Accept` in thousandths; nonsense counts as nothing.
fn thousandths(text: &str) -> u32 {
    let weight = text.parse::<f32>().ok().filter(|weight| (0.0..=1.0).contains(weight));
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "between 0 and 1000"
    )]
    weight.map_or(0, |weight| (weight * 1000.0) as u32)
}

/// Whether a media type is in a range such as `text/*`.
fn is_in_range(name: &str, range: &str) -> bool {
    range == "*/*"
        || name == range
        || range.strip_suffix('*').is_some_and(|kind| kind.len() > 1 && name.starts_with(kind))
}

/// The body of a request in JSON.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct JsonRequest {
    query: String,
    database: Option<String>,
    policy: Option<String>,
    epoch: Option<String>,
    params: Option<serde_json::Value>,
}

/// `POST /api/v1/query`.
pub async fn query(
    State(app): State<Arc<App>>,
    Extension(who): Extension<Who>,
    RawQuery(url): RawQuery,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let form = Form::negotiate(&headers)?;
    let received = body::receive(app.bodies(), &headers, body, FORM_BYTES_MAX).await?;
    let params = Params::of_query(url.as_deref().unwrap_or_default());
    let params = with_form(&headers, params, &received.bytes);
    let who = app.auth().settle(who, &params).await?;
    let (query, epoch) = asked(&headers, params, &received.bytes)?;
    drop(received);
    if query.text.trim().is_empty() {
        return Err(ApiError::bad_request("missing required field \"query\": give a statement"));
    }
    let statements = query.parse().map_err(|errors| ApiError::bad_request(errors.to_string()))?;
    let time_max = app.config().query_timeout;
    let (run, watch) = Run::begin(app, who, query, statements, time_max).await?;
    answer::respond(run, form.manner(epoch), watch).await
}

/// The parameters with those of the body, if it is a form.
fn with_form(headers: &HeaderMap, params: Params, body: &[u8]) -> Params {
    if media(headers) == FORM { params.after_form(body) } else { params }
}

/// The type of the body without its parameters.
fn media(headers: &HeaderMap) -> String {
    let media = header(headers, CONTENT_TYPE).unwrap_or_default();
    media.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// What is asked, by the type of the body; a body without a type is read as text of a query if there is
/// any.
fn asked(headers: &HeaderMap, params: Params, body: &[u8]) -> Result<(Query, Epoch), ApiError> {
    match media(headers).as_str() {
        "application/json" => of_json(body, &params),
        "application/x-protobuf" | "application/protobuf" => {
            let message = proto::QueryRequest::decode(body).map_err(|error| {
                ApiError::bad_request(format!(
                    "the body is no message tsdb.v1.QueryRequest: {error}"
                ))
            })?;
            Ok((query_of_message(message), Epoch::Every(1)))
        }
        FORM => of_params(&params),
        "" | "text/plain" | "application/tql" if !body.is_empty() => {
            let text = std::str::from_utf8(body).map_err(|error| {
                let at = error.valid_up_to();
                ApiError::bad_request(format!("the query is no UTF-8 at byte {at}"))
            })?;
            let epoch = epoch(params.get("epoch").unwrap_or("ns"))?;
            let bound = params.filled("params").map(bindings).transpose()?;
            let query = Query {
                text: text.to_owned(),
                database: params.filled("db").map(str::to_owned),
                policy: params.filled("rp").map(str::to_owned),
                bindings: bound.unwrap_or_default(),
            };
            Ok((query, epoch))
        }
        "" | "text/plain" | "application/tql" => of_params(&params),
        other => {
            let message = format!(
                "unsupported content type {other:?}: send application/json, text/plain, application/x-www-form-urlencoded or application/x-protobuf"
            );
            Err(ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, message))
        }
    }
}

fn of_params(params: &Params) -> Result<(Query, Epoch), ApiError> {
    let epoch = epoch(params.get("epoch").unwrap_or("ns"))?;
    Ok((QueryRequest::new(params)?.query, epoch))
}

fn of_json(body: &[u8], params: &Params) -> Result<(Query, Epoch), ApiError> {
    let request: JsonRequest = serde_json::from_slice(body).map_err(|error| {
        ApiError::bad_request(format!(
            "error parsing the request: {error}: write for instance {{\"database\":\"mydb\",\"query\":\"SHOW MEASUREMENTS\"}}"
        ))
    })?;
    let bound = request.params.map(|params| bindings(&params.to_string())).transpose()?;
    let query = Query {
        text: request.query,
        database: request.database.or_else(|| params.filled("db").map(str::to_owned)),
        policy: request.policy.or_else(|| params.filled("rp").map(str::to_owned)),
        bindings: bound.unwrap_or_default(),
    };
    Ok((query, epoch(request.epoch.as_deref().unwrap_or("ns"))?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::header::HeaderValue;

    fn negotiate(accept: Option<&'static str>) -> Result<Form, StatusCode> {
        let mut headers = HeaderMap::new();
        headers.extend(accept.map(|accept| (ACCEPT, HeaderValue::from_static(accept))));
        Form::negotiate(&headers).map_err(|error| error.status())
    }

    #[test]
    fn the_best_form_that_the_client_takes() {
        for (accept, form) in [
            (None, Form::Json),
            (Some("*/*"), Form::Json),
            (Some("text/html, */*;q=0.1"), Form::Json),
            (Some("text/csv"), Form::Csv),
            (Some("TEXT/CSV; charset=utf-8"), Form::Csv),
            (Some("text/*"), Form::Csv),
            (Some("application/json;q=0.5, application/x-ndjson"), Form::Lines),
            (Some("application/x-ndjson;q=0.2, application/json;q=0.9"), Form::Json),
            (Some("application/x-protobuf"), Form::Protobuf),
        ] {
            assert_eq!(negotiate(accept), Ok(form), "{accept:?}");
        }
        for accept in ["text/html", "application/json;q=0", "image/*", ""] {
            assert_eq!(negotiate(Some(accept)), Err(StatusCode::NOT_ACCEPTABLE), "{accept:?}");
        }
    }

    fn read(media: &'static str, url: &str, body: &str) -> Result<(Query, Epoch), String> {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(media));
        let params = with_form(&headers, Params::of_query(url), body.as_bytes());
        asked(&headers, params, body.as_bytes()).map_err(|error| error.message().to_owned())
    }

    #[test]
    fn requests_come_in_every_type() {
        let json = r#"{"query":"SELECT 1","database":"d","epoch":"ms","params":{"x":1}}"#;
        let (query, epoch) = read("application/json", "", json).unwrap();
        assert_eq!((query.text.as_str(), query.database.as_deref()), ("SELECT 1", Some("d")));
        assert_eq!((query.bindings.len(), epoch), (1, Epoch::Every(1_000_000)));
        let (query, epoch) =
            read("text/plain; charset=utf-8", "db=d&rp=p", "SHOW DATABASES").unwrap();
        assert_eq!((query.text.as_str(), query.policy.as_deref()), ("SHOW DATABASES", Some("p")));
        assert_eq!(epoch, Epoch::Every(1));
        let form = read("application/x-www-form-urlencoded", "", "q=SHOW+DATABASES&db=d").unwrap();
        assert_eq!(form.0.database.as_deref(), Some("d"));
        let url = read("", "q=SHOW+DATABASES", "").unwrap();
        assert_eq!(url.0.text, "SHOW DATABASES");
    }

    #[test]
    fn protocol_validation_tells_what_is_right() {
        for (media, body, part) in [
            ("application/json", "{", "error parsing the request"),
            ("application/json", "{\"query\":1}", "error parsing the request"),
            ("application/json", "{\"query\":\"x\",\"databse\":\"d\"}", "unknown field `databse`"),
            ("application/json", "{\"query\":\"x\",\"epoch\":\"d\"}", "invalid epoch"),
            (
                "application/json",
                "{\"query\":\"x\",\"params\":[1]}",
                "error parsing query parameters",
            ),
            ("application/xml", "<q/>", "send application/json"),
            ("application/x-protobuf", "\u{1}", "tsdb.v1.QueryRequest"),
            ("", "", "missing required parameter \"q\""),
        ] {
            let message = read(media, "", body).unwrap_err();
            assert!(message.contains(part), "{media} {body}: {message}");
        }
    }

    /// Status, content type and body of a query to a server that holds two points.
    async fn answer(query: &str, accept: &'static str) -> (u16, String, Vec<u8>) {
        use crate::config::{Config, Settings};
        use crate::exposition::Exposition;
        use crate::wiring::Store;
        use axum::http::Request;
        use http_body_util::BodyExt;
        use tower::ServiceExt;

        let config = Config::from_settings(Settings::default()).unwrap();
        let store = Store::new(Arc::new(tsdb_core::MemoryStore::new()));
        let budget = tsdb_core::MemoryBudget::default();
        let env = tsdb_core::env::Env::real();
        let app = App::new(config, env, store, budget, Exposition::new().unwrap());
        let router = crate::http::router(app);
        let post = |target: &str, body: &str| {
            Request::post(target)
                .header(ACCEPT, accept)
                .header(CONTENT_TYPE, "text/plain")
                .body(Body::from(body.to_owned()))
                .unwrap()
        };
        let lines = "cpu,host=a usage=0.5 1000000\ncpu,host=a usage=2 2000000";
        router.clone().oneshot(post("/write?db=d", lines)).await.unwrap();
        let response = router.oneshot(post("/api/v1/query?db=d&epoch=ms", query)).await.unwrap();
        let content_type = header(response.headers(), CONTENT_TYPE).unwrap_or_default().to_owned();
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.unwrap().to_bytes().to_vec();
        (status, content_type, body)
    }

    #[tokio::test]
    async fn end_to_end_queries_in_every_form() {
        let query = "SELECT usage FROM cpu GROUP BY host; SHOW DATABASES";
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        let (status, media, body) = answer(query, "*/*").await;
        assert_eq!((status, media.as_str()), (200, "application/json"));
        let json: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(json.pointer("/results/0/series/0/values/1/1").unwrap(), 2);
        let (_, media, body) = answer(query, "text/csv").await;
        assert!(media.starts_with("text/csv"), "{media}");
        let table = "name,tags,time,usage\ncpu,host=a,1,0.5\ncpu,host=a,2,2\n\nname,tags,name\ndatabases,,d\n";
        assert_eq!(text(body), table);
        let (_, media, body) = answer(query, "application/x-ndjson").await;
        assert_eq!(media, "application/x-ndjson");
        let lines = text(body);
        assert!(
            lines.starts_with(
                "{\"name\":\"cpu\",\"tags\":{\"host\":\"a\"},\"time\":1,\"usage\":0.5}\n"
            ),
            "{lines}"
        );
        let (_, media, body) = answer(query, "application/x-protobuf").await;
        assert!(media.contains("tsdb.v1.QueryResponse"), "{media}");
        let mut rest = body.as_slice();
        let mut statements = Vec::new();
        while !rest.is_empty() {
            let message = proto::QueryResponse::decode_length_delimited(&mut rest).unwrap();
            statements.push(message.statement);
        }
        assert_eq!(statements, [0, 0, 1, 1], "a part and an end for each statement");
    }

    #[tokio::test]
    async fn error_responses_have_their_status_in_every_form() {
        for (query, status, part) in [
            ("SELECT", 400, "line 1"),
            ("SELECT usage FROM nowhere.autogen.cpu", 404, "database not found"),
            ("SHOW DATABASES; SELECT usage FROM nowhere.autogen.cpu", 404, "database not found"),
            ("SELECT count(usage) FROM cpu WHERE time > 0 GROUP BY time(1u)", 422, "query-buckets"),
        ] {
            for accept in ["application/json", "text/csv", "application/x-ndjson"] {
                let (got, _, body) = answer(query, accept).await;
                let body = String::from_utf8(body).unwrap();
                assert_eq!(got, status, "{query} {accept}: {body}");
                assert!(body.contains(part), "{query} {accept}: {body}");
            }
        }
        assert_eq!(answer("SHOW DATABASES", "image/png").await.0, 406);
    }
}
