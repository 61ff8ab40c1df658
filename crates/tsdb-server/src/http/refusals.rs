//! How a request that is not let in is told so: in the form that the clients of its path expect.
//!
//! Not here: why it is refused (`auth.rs`), and refusals of handlers, which make their own.

use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use tonic::Status;

use super::params::Params;
use super::reply::{ApiError, header};
use super::{formats, otlp, remote_write, write_v2};
use crate::status;

/// The response to a request that is not let in.
pub fn refused(request: &Parts, refusal: ApiError) -> Response {
    let (path, headers) = (request.uri.path(), &request.headers);
    let media = header(headers, CONTENT_TYPE).unwrap_or_default();
    if media.starts_with("application/grpc") {
        return Status::new(status::code_of(refusal.status()), refusal.message()).into_http();
    }
    if path.starts_with(write_v2::PREFIX) {
        return refusal.with_code().into_response();
    }
    if otlp::PATHS.contains(&path) {
        return otlp::not_admitted(headers, refusal);
    }
    let params = Params::of_query(request.uri.query().unwrap_or_default());
    if path == formats::PATH && remote_write::is_meant(&params, headers) {
        return refusal.into_plain_response();
    }
    refusal.into_response()
}
