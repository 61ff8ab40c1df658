//! `/api/v2/write`: what the clients of InfluxDB 2 write to. The body is that of `/write`; parameters and refusals
//! are InfluxDB 2's.
//!
//! Not here: the way from the body to the store, which is that of `write.rs`.

use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use tsdb_ingest::{LineProtocol, Precision, WriteReport, WriteRequest};

use super::body;
use super::params::Params;
use super::reply::{ApiError, empty_response, header_text};
use super::write::{Source, Target, announce_ignored, take_in};
use crate::app::App;
use crate::auth::Who;

/// What the paths of InfluxDB 2 begin with: their refusals have its form.
pub(super) const PREFIX: &str = "/api/v2/";

/// Most characters of a parameter that a message repeats.
const SHOWN_CHARS_MAX: usize = 64;

/// `POST /api/v2/write`.
pub async fn write(
    State(app): State<Arc<App>>,
    Extension(who): Extension<Who>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let params = Params::of_query(query.as_deref().unwrap_or_default());
    let written = take_in_body(&app, &who, &params, &headers, body).await;
    let report = written.map_err(ApiError::with_code)?;
    Ok(report.map_or_else(|| empty_response(StatusCode::NO_CONTENT), |report| respond(&report)))
}

async fn take_in_body(
    app: &Arc<App>,
    who: &Who,
    params: &Params,
    headers: &HeaderMap,
    body: Body,
) -> Result<Option<WriteReport>, ApiError> {
    let target = target(params)?.permitted(who)?;
    let read = |app: &App, request: &WriteRequest<'_>| {
        app.pipeline().write(&LineProtocol::default(), request)
    };
    let source = Source { headers, body, encoding: body::encoding(headers)? };
    take_in(app, source, target, Params::default(), read).await
}

/// Where and how to write: `bucket` is a database, or a database and a retention policy with a slash between them.
/// `org` is not looked at: there is one.
fn target(params: &Params) -> Result<Target, ApiError> {
    let bucket = params.filled("bucket").ok_or_else(|| {
        ApiError::bad_request(
            "bucket is required: give bucket=DATABASE, or bucket=DATABASE/POLICY, in the URL",
        )
    })?;
    let (database, policy) = match bucket.split_once('/') {
        Some((database, policy)) => (database, Some(policy).filter(|policy| !policy.is_empty())),
        None => (bucket, None),
    };
    Ok(Target {
        database: database.to_owned(),
        policy: policy.map(str::to_owned),
        precision: precision(params.get("precision").unwrap_or_default())?,
    })
}

/// InfluxDB 2 knows fewer units and fewer names than its predecessor.
fn precision(text: &str) -> Result<Precision, ApiError> {
    match text {
        "" | "ns" => Ok(Precision::Nanoseconds),
        "us" => Ok(Precision::Microseconds),
        "ms" => Ok(Precision::Milliseconds),
        "s" => Ok(Precision::Seconds),
        _ => {
            let shown = header_text(text, SHOWN_CHARS_MAX);
            Err(ApiError::bad_request(format!(
                "invalid precision; valid precision units are ns, us, ms, and s, not {shown:?}"
            )))
        }
    }
}

/// 204; 400 for lines of which none could be read, 422 for a part of them that was not stored.
fn respond(report: &WriteReport) -> Response {
    let mut response = match report.error_text() {
        None => empty_response(StatusCode::NO_CONTENT),
        Some(text) if report.is_misread() => {
            ApiError::bad_request(text).with_code().into_response()
        }
        Some(text) => {
            let message = format!("failure writing points to database: {text}");
            ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, message).with_code().into_response()
        }
    };
    announce_ignored(&mut response, report);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_databases_and_policies() {
        let target = |query: &str| {
            target(&Params::of_query(query)).map_err(|error| error.message().to_owned())
        };
        let of = |database: &str, policy: Option<&str>, precision| {
            let (database, policy) = (database.to_owned(), policy.map(str::to_owned));
            Ok(Target { database, policy, precision })
        };
        let ns = Precision::Nanoseconds;
        for (query, expected) in [
            ("bucket=d&org=o", of("d", None, ns)),
            ("bucket=d/r&precision=ns", of("d", Some("r"), ns)),
            ("bucket=d%2Fr&precision=us", of("d", Some("r"), Precision::Microseconds)),
            ("bucket=d/&precision=ms", of("d", None, Precision::Milliseconds)),
            ("bucket=d/r/x&precision=s", of("d", Some("r/x"), Precision::Seconds)),
        ] {
            assert_eq!(target(query), expected, "{query}");
        }
        for (query, part) in [
            ("", "bucket is required"),
            ("bucket=&db=d", "bucket is required"),
            ("bucket=d&precision=n", "valid precision units are ns, us, ms, and s"),
            ("bucket=d&precision=m", "valid precision units are ns, us, ms, and s"),
            ("bucket=d&precision=auto", "not \"auto\""),
        ] {
            assert!(target(query).unwrap_err().contains(part), "{query}");
        }
    }
}
