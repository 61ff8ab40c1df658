//! `/api/v3/write_lp`: what the clients of InfluxDB 3 write to. The body is that of `/write`; parameters and refusals
//! are InfluxDB 3's.
//!
//! Not here: the way from the body to the store, which is that of `write.rs`.

use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use tsdb_core::{Error, Ticket};
use tsdb_ingest::{LineError, LineProtocol, Precision, Reason, WriteReport, WriteRequest};

use super::body;
use super::params::Params;
use super::reply::{ApiError, empty_response, json_response, mark_refused};
use super::write::{Source, Target, announce_ignored, hand_in, visible};
use crate::app::App;
use crate::auth::Who;
use crate::encode::{json, number};

/// InfluxDB's words for a request of which some lines were not stored.
const PARTIAL: &str = "partial write of line protocol occurred";
/// Its words for one of which nothing was stored, because one line was wrong.
const REFUSED: &str = "parsing failed for write_lp endpoint";

/// What the URL says.
#[derive(Debug, PartialEq, Eq)]
struct Options {
    target: Target,
    /// Whether good lines are stored where others are refused.
    accepts_partial: bool,
    /// Whether the answer waits for the log.
    waits: bool,
}

impl Options {
    fn new(params: &Params) -> Result<Options, ApiError> {
        let database = params
            .filled("db")
            .ok_or_else(|| ApiError::bad_request("database is required: give db in the URL"))?;
        let precision = precision(params.get("precision").unwrap_or_default())?;
        Ok(Options {
            target: Target { database: database.to_owned(), policy: None, precision },
            accepts_partial: flag(params, "accept_partial", true)?,
            waits: !flag(params, "no_sync", false)?,
        })
    }
}

/// InfluxDB 3 has other names than its predecessors, and guesses the unit where none is given.
fn precision(text: &str) -> Result<Precision, ApiError> {
    match text {
        "" | "auto" => Ok(Precision::Auto),
        "n" | "ns" | "nanosecond" => Ok(Precision::Nanoseconds),
        "u" | "us" | "microsecond" => Ok(Precision::Microseconds),
        "ms" | "millisecond" => Ok(Precision::Milliseconds),
        "s" | "second" => Ok(Precision::Seconds),
        _ => {
            let shown: String = text.chars().take(64).collect();
            Err(ApiError::bad_request(format!(
                "invalid precision {shown:?} (use auto, nanosecond, microsecond, millisecond, second, or ns, us, \
                 ms, s)"
            )))
        }
    }
}

/// A typing error must not change what is promised, so nothing else passes for a flag.
fn flag(params: &Params, name: &str, absent: bool) -> Result<bool, ApiError> {
    match params.get(name) {
        None => Ok(absent),
        Some("true") => Ok(true),
        Some("false") => Ok(false),
        Some(other) => {
            let shown: String = other.chars().take(64).collect();
            Err(ApiError::bad_request(format!("invalid {name} {shown:?} (use true or false)")))
        }
    }
}

/// `POST /api/v3/write_lp`.
pub async fn write(
    State(app): State<Arc<App>>,
    Extension(who): Extension<Who>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let params = Params::of_query(query.as_deref().unwrap_or_default());
    let Options { target, accepts_partial, waits } = Options::new(&params)?;
    let target = target.permitted(&who)?;
    let read = move |app: &App, request: &WriteRequest<'_>| {
        let format = LineProtocol::default();
        if accepts_partial {
            app.pipeline().write(&format, request)
        } else {
            app.pipeline().write_whole(&format, request)
        }
    };
    let source = Source { headers: &headers, body, encoding: body::encoding(&headers)? };
    let report = hand_in(&app, source, target, Params::default(), read).await?;
    let Some(mut report) = report else { return Ok(empty_response(StatusCode::NO_CONTENT)) };
    match report.ticket.take() {
        Some(ticket) if waits => visible(ticket).await.map_err(|error| app.refuse(error))?,
        Some(ticket) => look_later(&app, ticket),
        None => {}
    }
    Ok(respond(&report, accepts_partial))
}

/// Nobody waits for the rows, but a disk that fails must show in `/health`.
fn look_later(app: &Arc<App>, ticket: Ticket) {
    let app = Arc::clone(app);
    ticket.on_done(move |outcome| {
        if let Err(error) = outcome {
            app.note(&error);
        }
    });
}

fn respond(report: &WriteReport, accepts_partial: bool) -> Response {
    let mut response = match report.errors.first() {
        None => empty_response(StatusCode::NO_CONTENT),
        Some(first) => {
            let mut body = Vec::with_capacity(256 + 128 * report.errors.len());
            let error = if accepts_partial { PARTIAL } else { REFUSED };
            body.extend_from_slice(b"{\"error\":");
            json::push_string(&mut body, error);
            body.extend_from_slice(b",\"data\":");
            if accepts_partial {
                json::push_list(&mut body, &report.errors, push_line);
            } else {
                push_line(&mut body, first);
            }
            body.extend_from_slice(b"}\n");
            let is_limit = report.errors.iter().any(is_limit_of_schema);
            let refused = StatusCode::BAD_REQUEST;
            let status = if is_limit { StatusCode::UNPROCESSABLE_ENTITY } else { refused };
            let mut response = json_response(status, body);
            let counts = (report.errors_total, report.rows);
            let summary = format!("{error}: {} refused, {} stored", counts.0, counts.1);
            mark_refused(&mut response, &summary);
            response
        }
    };
    announce_ignored(&mut response, report);
    response
}

/// Whether there is no room for a new series or field, which InfluxDB tells from a mistake.
fn is_limit_of_schema(error: &LineError) -> bool {
    matches!(error.reason, Reason::Store(Error::TooMany { .. }))
}

fn push_line(out: &mut Vec<u8>, error: &LineError) {
    out.extend_from_slice(b"{\"original_line\":");
    json::push_string(out, &error.text);
    out.extend_from_slice(b",\"line_number\":");
    number::push_i64(out, i64::try_from(error.line).unwrap_or(i64::MAX));
    out.extend_from_slice(b",\"error_message\":");
    json::push_string(out, &error.reason.explained());
    out.push(b'}');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(query: &str) -> Result<Options, String> {
        Options::new(&Params::of_query(query)).map_err(|error| error.message().to_owned())
    }

    #[test]
    fn parameters_are_those_of_influxdb_3() {
        let of = |precision, accepts_partial, waits| {
            let target = Target { database: "d".to_owned(), policy: None, precision };
            Ok(Options { target, accepts_partial, waits })
        };
        for (query, expected) in [
            ("db=d", of(Precision::Auto, true, true)),
            ("db=d&precision=auto&accept_partial=false", of(Precision::Auto, false, true)),
            ("db=d&precision=nanosecond&no_sync=true", of(Precision::Nanoseconds, true, false)),
            ("db=d&precision=us&accept_partial=true", of(Precision::Microseconds, true, true)),
            ("db=d&precision=millisecond&no_sync=false", of(Precision::Milliseconds, true, true)),
            ("db=d&precision=second", of(Precision::Seconds, true, true)),
            ("db=d&precision=s&rp=x", of(Precision::Seconds, true, true)),
        ] {
            assert_eq!(options(query), expected, "{query}");
        }
        for (query, part) in [
            ("", "database is required"),
            ("db=", "database is required"),
            ("db=d&precision=m", "invalid precision \"m\" (use auto"),
            ("db=d&precision=seconds", "invalid precision"),
            ("db=d&accept_partial=1", "invalid accept_partial \"1\" (use true or false)"),
            ("db=d&no_sync=yes", "invalid no_sync \"yes\" (use true or false)"),
        ] {
            assert!(options(query).unwrap_err().contains(part), "{query}");
        }
    }

    #[test]
    fn new_series_above_the_limit_are_told_from_mistakes() {
        let line = |reason| LineError { line: 1, column: 1, text: "m v=1".to_owned(), reason };
        let mistake = line(Reason::MissingFields);
        let full = line(Reason::Store(Error::TooMany {
            what: "series",
            count: 2,
            count_max: 1,
            remedy: "raise --series-max",
        }));
        for (errors, status) in [(vec![mistake.clone()], 400), (vec![mistake, full], 422)] {
            let errors_total = errors.len() as u64;
            let report = WriteReport { rows: 1, errors, errors_total, ..WriteReport::default() };
            assert_eq!(respond(&report, true).status(), status);
        }
    }
}
