//! `/api/v1/write`: rows in any of the registered formats. Which one a body is in say the parameter
//! `format`, the header `Content-Type`, or its first bytes. Prometheus remote write comes to the same path
//! and is handed on to `remote_write.rs`; so is a stream, to `stream.rs`.
//!
//! Not here: the formats, see [`tsdb_ingest`]; the way from the body to the store, which is that of
//! `write.rs`.

use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use tsdb_ingest::{LineError, WriteReport, WriteRequest};

use super::body;
use super::params::Params;
use super::remote_write;
use super::reply::{ApiError, empty_response, header, json_response, mark_refused};
use super::stream;
use super::write::{Source, Target, announce_ignored, refuse, take_in};
use crate::app::App;
use crate::auth::Who;
use crate::encode::{json, number};

/// Where rows in any format are taken.
pub(super) const PATH: &str = "/api/v1/write";

/// `POST /api/v1/write`.
pub async fn write(
    State(app): State<Arc<App>>,
    Extension(who): Extension<Who>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let params = Params::of_query(query.as_deref().unwrap_or_default());
    if stream::is_meant(&params)? {
        return stream::write(&app, &who, params, &headers, body).await;
    }
    if remote_write::is_meant(&params, &headers) {
        return Ok(remote_write::write(&app, &who, &params, &headers, body).await);
    }
    let target = Target::new(&params)?.permitted(&who)?;
    let choice = app
        .formats()
        .choose(params.filled("format"), header(&headers, CONTENT_TYPE))
        .map_err(|error| refuse(&app, error))?;
    let read = move |app: &App, request: &WriteRequest<'_>| {
        let formats = app.formats().candidates(&choice, request.body)?;
        app.pipeline().write_first(&formats, request)
    };
    let source = Source { headers: &headers, body, encoding: body::encoding(&headers)? };
    let report = take_in(&app, source, target, params, read).await?;
    Ok(report.map_or_else(|| empty_response(StatusCode::NO_CONTENT), |report| respond(&report)))
}

fn respond(report: &WriteReport) -> Response {
    let mut response = if report.errors_total == 0 {
        empty_response(StatusCode::NO_CONTENT)
    } else {
        let message = summary(report);
        let mut body = Vec::with_capacity(256 + 128 * report.errors.len());
        push_refusals(&mut body, &message, report);
        let mut response = json_response(StatusCode::BAD_REQUEST, body);
        mark_refused(&mut response, &message);
        response
    };
    announce_ignored(&mut response, report);
    response
}

/// What happened in one line: the counts, and the first refusal.
pub(super) fn summary(report: &WriteReport) -> String {
    let (stored, refused) = (report.rows, report.errors_total);
    let first = report.errors.first().map(|error| {
        let LineError { line, column, reason, .. } = error;
        format!("; the first: line {line}, column {column}: {}", reason.explained())
    });
    format!("{refused} refused, {stored} stored{}", first.unwrap_or_default())
}

fn push_refusals(out: &mut Vec<u8>, message: &str, report: &WriteReport) {
    out.extend_from_slice(b"{\"error\":");
    json::push_string(out, message);
    out.extend_from_slice(b",\"stored\":");
    push_count(out, report.rows);
    out.extend_from_slice(b",\"refused\":");
    push_count(out, report.errors_total);
    out.push(b',');
    push_errors(out, report);
    out.extend_from_slice(b"}\n");
}

/// Appends the list of refusals and its name.
pub(super) fn push_errors(out: &mut Vec<u8>, report: &WriteReport) {
    out.extend_from_slice(b"\"errors\":");
    json::push_list(out, &report.errors, |out, error| {
        out.extend_from_slice(b"{\"line\":");
        push_count(out, error.line);
        out.extend_from_slice(b",\"column\":");
        push_count(out, error.column as u64);
        out.extend_from_slice(b",\"text\":");
        json::push_string(out, &error.text);
        out.extend_from_slice(b",\"reason\":");
        json::push_string(out, &error.reason.explained());
        out.push(b'}');
    });
}

/// Counts of one request are far below 2^63.
pub(super) fn push_count(out: &mut Vec<u8>, count: u64) {
    number::push_i64(out, i64::try_from(count).unwrap_or(i64::MAX));
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};
    use tsdb_ingest::Reason;

    fn report(rows: u64, lines: &[u64]) -> WriteReport {
        let error = |line: &u64| LineError {
            line: *line,
            column: 3,
            text: "a\"b".to_owned(),
            reason: Reason::MissingFields,
        };
        WriteReport {
            rows,
            errors: lines.iter().map(error).collect(),
            errors_total: lines.len() as u64,
            ..WriteReport::default()
        }
    }

    #[test]
    fn refusals_are_listed() {
        let mut body = Vec::new();
        let report = report(7, &[2, 9]);
        let message = summary(&report);
        let reason = "missing fields: give it at least one field with a value";
        assert_eq!(message, format!("2 refused, 7 stored; the first: line 2, column 3: {reason}"));
        push_refusals(&mut body, &message, &report);
        let entry =
            |line: u64| json!({"line": line, "column": 3, "text": "a\"b", "reason": reason});
        assert_eq!(
            serde_json::from_slice::<Value>(&body).unwrap(),
            json!({"error": message, "stored": 7, "refused": 2, "errors": [entry(2), entry(9)]})
        );
        assert!(body.ends_with(b"}\n"));
    }

    #[test]
    fn answers_tell_whether_something_was_refused() {
        assert_eq!(respond(&report(3, &[])).status(), 204);
        let response = respond(&report(3, &[1]));
        assert_eq!(response.status(), 400);
        let text = header(response.headers(), "x-influxdb-error").unwrap();
        assert!(text.starts_with("1 refused, 3 stored"), "{text}");
        let mut announced = report(1, &[1]);
        announced.ignored_fields.insert("note".into());
        assert_eq!(header(respond(&announced).headers(), "x-tsdb-ignored-fields"), Some("note"));
    }
}
