//! OTLP over HTTP: how a request is written, and its answers in the same encoding.
//!
//! Not here: what becomes of the points (`otlp.rs`), and gRPC (`grpc/otlp.rs`).

use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::http::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use prost::Message;
use tsdb_ingest::OtlpEncoding;

use super::body;
use super::reply::{ApiError, header};
use crate::app::App;
use crate::auth::Who;
use crate::encode::{json, number};
use crate::otlp::{self, ExportResponse, RpcStatus};
use crate::status;

/// Where points are taken: the path of OTLP, and those of Prometheus and VictoriaMetrics.
pub const PATHS: [&str; 3] =
    ["/v1/metrics", "/api/v1/otlp/v1/metrics", "/opentelemetry/v1/metrics"];

const PROTOBUF: &str = "application/x-protobuf";
const JSON: &str = "application/json";

/// `POST` to one of [`PATHS`].
pub async fn export(
    State(app): State<Arc<App>>,
    Extension(who): Extension<Who>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let written = match written(&headers) {
        Ok(written) => written,
        Err(refusal) => return refused(OtlpEncoding::Json, refusal),
    };
    let params = otlp::parameters(query.as_deref().unwrap_or_default(), &headers);
    let outcome = async {
        let packed = body::encoding(&headers)?;
        let bytes_max = app.config().body_bytes_max;
        let received = body::receive(app.bodies(), &headers, body, bytes_max).await?;
        otlp::store(&app, &who, received, packed, written, params).await
    };
    match outcome.await {
        Ok(report) => answered(written, &otlp::response(&report)),
        Err(refusal) => refused(written, refusal),
    }
}

/// How the media type says that a request is written; without one it is protocol buffers, which most are.
///
/// # Errors
/// 415 for any other.
fn written(headers: &HeaderMap) -> Result<OtlpEncoding, ApiError> {
    let Some(value) = headers.get(CONTENT_TYPE) else { return Ok(OtlpEncoding::Protobuf) };
    let media = value.to_str().unwrap_or_default().split(';').next().unwrap_or_default().trim();
    let is = |name: &str| media.eq_ignore_ascii_case(name);
    if is(PROTOBUF) || is("application/protobuf") {
        return Ok(OtlpEncoding::Protobuf);
    }
    if is(JSON) {
        return Ok(OtlpEncoding::Json);
    }
    let media: String = media.chars().take(64).collect();
    let message = format!("unsupported content type {media:?}: send {PROTOBUF} or {JSON}");
    Err(ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, message))
}

fn answered(written: OtlpEncoding, response: &ExportResponse) -> Response {
    let (content_type, bytes) = match written {
        OtlpEncoding::Protobuf => (PROTOBUF, response.encode_to_vec()),
        OtlpEncoding::Json => (JSON, document(response)),
    };
    let mut answer = Response::new(Body::from(bytes));
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    answer
}

/// The answer to a request that is not let in.
pub(super) fn not_admitted(headers: &HeaderMap, refusal: ApiError) -> Response {
    refused(written(headers).unwrap_or(OtlpEncoding::Json), refusal)
}

fn refused(written: OtlpEncoding, refusal: ApiError) -> Response {
    let refusal = refusal.with_status(otlp::http_status);
    let status = refusal.status();
    let told = otlp::refusal_status(status, &refusal.text());
    let (content_type, bytes) = match written {
        OtlpEncoding::Protobuf => (PROTOBUF, told.encode_to_vec()),
        OtlpEncoding::Json => (JSON, status_document(&told)),
    };
    let mut answer = refusal.into_typed_response(content_type, bytes);
    if otlp::is_retryable(status) && header(answer.headers(), RETRY_AFTER).is_none() {
        let seconds = HeaderValue::from(status::RETRY_AFTER_SECONDS);
        answer.headers_mut().insert(RETRY_AFTER, seconds);
    }
    answer
}

/// A response as JSON, whose integers of 64 bits are texts.
fn document(response: &ExportResponse) -> Vec<u8> {
    let Some(partial) = &response.partial_success else { return b"{}".to_vec() };
    let mut out = b"{\"partialSuccess\":{\"rejectedDataPoints\":\"".to_vec();
    number::push_i64(&mut out, partial.rejected_data_points);
    out.extend_from_slice(b"\",\"errorMessage\":");
    json::push_string(&mut out, &partial.error_message);
    out.extend_from_slice(b"}}");
    out
}

fn status_document(status: &RpcStatus) -> Vec<u8> {
    let mut out = b"{\"code\":".to_vec();
    number::push_i64(&mut out, i64::from(status.code));
    out.extend_from_slice(b",\"message\":");
    json::push_string(&mut out, &status.message);
    out.push(b'}');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_media_type_says_how_a_request_is_written() {
        for (media, expected) in [
            ("application/x-protobuf", Ok(OtlpEncoding::Protobuf)),
            ("Application/Protobuf", Ok(OtlpEncoding::Protobuf)),
            ("application/json; charset=utf-8", Ok(OtlpEncoding::Json)),
            ("text/plain", Err(415)),
            ("", Err(415)),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(media));
            let found = written(&headers).map_err(|refusal| refusal.status().as_u16());
            assert_eq!(found, expected, "{media}");
        }
        assert_eq!(written(&HeaderMap::new()).unwrap(), OtlpEncoding::Protobuf);
    }

    #[test]
    fn documents_are_those_of_the_specification() {
        let partial =
            otlp::PartialSuccess { rejected_data_points: 12, error_message: "a \"b\"".to_owned() };
        let response = ExportResponse { partial_success: Some(partial) };
        let text = r#"{"partialSuccess":{"rejectedDataPoints":"12","errorMessage":"a \"b\""}}"#;
        assert_eq!(document(&response), text.as_bytes());
        assert_eq!(document(&ExportResponse::default()), b"{}");
        let told = otlp::refusal_status(StatusCode::BAD_REQUEST, "x");
        assert_eq!(status_document(&told), br#"{"code":3,"message":"x"}"#);
    }
}
