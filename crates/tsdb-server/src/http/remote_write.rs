//! Prometheus remote write 1.0 and 2.0 at `/api/v1/write`: how a request is told, its answers in plain text,
//! and the headers that count what was written.
//!
//! Not here: the messages, see [`tsdb_ingest::RemoteWrite`]; the way from the body to the store, which is that
//! of `write.rs`.

use std::fmt::Write as _;
use std::sync::Arc;

use axum::body::Body;
use axum::http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use tsdb_ingest::{LineError, RemoteWrite, RemoteWriteVersion, WriteReport, WriteRequest};

use super::body::{self, Encoding};
use super::params::Params;
use super::reply::{ApiError, empty_response, header, mark_refused, text_response};
use super::write::{Source, Target, take_in};
use crate::app::App;
use crate::auth::Who;
use crate::exposition::NotStoredRecord;

/// The media type of both messages.
const MEDIA_TYPE: &str = "application/x-protobuf";

/// Where samples go if the URL names no database: `remote_write` of Prometheus has a URL and nothing else.
pub const DATABASE: &str = "prometheus";

const SAMPLES_WRITTEN: HeaderName =
    HeaderName::from_static("x-prometheus-remote-write-samples-written");
const HISTOGRAMS_WRITTEN: HeaderName =
    HeaderName::from_static("x-prometheus-remote-write-histograms-written");
const EXEMPLARS_WRITTEN: HeaderName =
    HeaderName::from_static("x-prometheus-remote-write-exemplars-written");

/// Whether a request to `/api/v1/write` is remote write: by its media type, or, where it has none, by snappy,
/// in which nothing else is packed. A format that is named wins.
pub(super) fn is_meant(params: &Params, headers: &HeaderMap) -> bool {
    if params.filled("format").is_some() {
        return false;
    }
    match header(headers, CONTENT_TYPE) {
        Some(content_type) => split(content_type).0.eq_ignore_ascii_case(MEDIA_TYPE),
        None => !headers.contains_key(CONTENT_TYPE) && body::encodings(headers) == "snappy",
    }
}

/// Stores a request. The answer is always one of remote write.
pub(super) async fn write(
    app: &Arc<App>,
    who: &Who,
    params: &Params,
    headers: &HeaderMap,
    body: Body,
) -> Response {
    let version = match version(headers) {
        Ok(version) => version,
        Err(refusal) => return refusal.into_plain_response(),
    };
    let outcome = store(app, who, params, headers, body, version).await;
    let written = outcome.as_ref().map_or(0, |report| report.samples);
    let mut response = match outcome {
        Ok(report) => respond(&report),
        Err(refusal) => refusal.into_plain_response(),
    };
    if version == RemoteWriteVersion::V2 {
        // Without these headers a sender takes success for that of a receiver who knows 1.0 alone.
        let headers = response.headers_mut();
        headers.insert(SAMPLES_WRITTEN, HeaderValue::from(written));
        headers.insert(HISTOGRAMS_WRITTEN, HeaderValue::from(0));
        headers.insert(EXEMPLARS_WRITTEN, HeaderValue::from(0));
    }
    response
}

async fn store(
    app: &Arc<App>,
    who: &Who,
    params: &Params,
    headers: &HeaderMap,
    body: Body,
    version: RemoteWriteVersion,
) -> Result<WriteReport, ApiError> {
    let target = Target::in_database(params.filled("db").unwrap_or(DATABASE), params)?;
    let target = target.permitted(who)?;
    let encoding = match body::encodings(headers).as_str() {
        // A request without the header is packed all the same, as old senders do it.
        "" | "snappy" => Encoding::SnappyBlock,
        "zstd" => Encoding::Zstd,
        other => {
            return Err(body::unsupported(other, "snappy, in its block format, or zstd"));
        }
    };
    let format = RemoteWrite::new(version, Some(Arc::clone(app.metadata())));
    let read = move |app: &App, request: &WriteRequest<'_>| app.pipeline().write(&format, request);
    let source = Source { headers, body, encoding };
    let report = take_in(app, source, target, Params::default(), read).await?;
    let report = report.unwrap_or_default();
    app.exposition().not_stored(NotStoredRecord {
        samples: samples_refused(&report),
        histograms: report.brought.histograms,
        exemplars: report.brought.exemplars,
    });
    Ok(report)
}

/// Which message the media type announces.
///
/// # Errors
/// 415 for any other, so that the sender tries an older one.
fn version(headers: &HeaderMap) -> Result<RemoteWriteVersion, ApiError> {
    let proto = header(headers, CONTENT_TYPE).and_then(|content_type| split(content_type).1);
    let versions = [RemoteWriteVersion::V1, RemoteWriteVersion::V2];
    let Some(proto) = proto else { return Ok(RemoteWriteVersion::V1) };
    versions.into_iter().find(|version| version.message() == proto).ok_or_else(|| {
        let proto: String = proto.chars().take(64).collect();
        let [one, two] = versions.map(RemoteWriteVersion::message);
        ApiError::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            format!("unsupported message {proto:?}: send {one} or {two}"),
        )
    })
}

/// Media type of a `Content-Type`, and its parameter `proto`.
fn split(content_type: &str) -> (&str, Option<&str>) {
    let mut parts = content_type.split(';').map(str::trim);
    let media_type = parts.next().unwrap_or_default();
    let proto = parts.find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.trim().eq_ignore_ascii_case("proto").then_some(value.trim().trim_matches('"'))
    });
    (media_type, proto)
}

fn samples_refused(report: &WriteReport) -> u64 {
    report.brought.samples.saturating_sub(report.samples)
}

fn respond(report: &WriteReport) -> Response {
    if report.errors_total == 0 {
        return empty_response(StatusCode::NO_CONTENT);
    }
    let text = refusals(report);
    let first_line = text.lines().next().unwrap_or_default().to_owned();
    let mut response = text_response(StatusCode::BAD_REQUEST, text);
    mark_refused(&mut response, &first_line);
    response
}

/// What was not stored: the counts and the first reason in one line, since Prometheus logs no more, and behind
/// it each of those that are described.
fn refusals(report: &WriteReport) -> String {
    let mut text = format!(
        "{} samples stored; not stored: {} samples, {} native histograms, {} exemplars",
        report.samples,
        samples_refused(report),
        report.brought.histograms,
        report.brought.exemplars
    );
    let shown = |error: &LineError| {
        let LineError { line, text, reason, .. } = error;
        let space = if text.is_empty() { "" } else { " " };
        format!("time series {line}{space}{text}: {}", reason.explained())
    };
    if let Some(first) = report.errors.first() {
        let _ = write!(text, "; the first: {}", shown(first));
    }
    text.push('\n');
    for error in report.errors.iter().skip(1) {
        text.push_str(&shown(error));
        text.push('\n');
    }
    let more = report.errors_total.saturating_sub(report.errors.len() as u64);
    if more > 0 {
        let _ = writeln!(text, "and {more} more");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn a_request_says_that_it_is_remote_write() {
        let typed = "content-type";
        for (query, pairs, expected) in [
            ("", &[(typed, "application/x-protobuf")][..], true),
            ("", &[(typed, "Application/X-Protobuf; proto=x")], true),
            ("", &[("content-encoding", "Snappy")], true),
            ("", &[], false),
            ("", &[("content-encoding", "gzip")], false),
            ("", &[(typed, "text/plain"), ("content-encoding", "snappy")], false),
            ("", &[(typed, "application/protobuf")], false),
            ("format=csv", &[(typed, "application/x-protobuf")], false),
        ] {
            let found = is_meant(&Params::of_query(query), &headers(pairs));
            assert_eq!(found, expected, "{query} {pairs:?}");
        }
    }

    #[test]
    fn the_message_is_named_by_the_media_type() {
        let (one, two) = (RemoteWriteVersion::V1, RemoteWriteVersion::V2);
        for (content_type, expected) in [
            ("application/x-protobuf", Ok(one)),
            ("application/x-protobuf;proto=prometheus.WriteRequest", Ok(one)),
            ("application/x-protobuf;proto=io.prometheus.write.v2.Request", Ok(two)),
            (
                "application/x-protobuf; charset=x; Proto = \"io.prometheus.write.v2.Request\"",
                Ok(two),
            ),
            ("application/x-protobuf;proto=io.prometheus.write.v3.Request", Err(415)),
            ("application/x-protobuf;proto=", Err(415)),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
            let found = version(&headers).map_err(|refusal| refusal.status().as_u16());
            assert_eq!(found, expected, "{content_type}");
        }
        assert_eq!(version(&HeaderMap::new()).unwrap(), one);
    }
}
