//! `/ping`, `/health` and `/metrics`: what load balancers, clients and monitoring ask first.

use std::sync::Arc;

use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use axum::http::header::{CONTENT_TYPE, HeaderValue};
use axum::response::Response;

use super::observe::INFLUXDB_VERSION;
use super::params::Params;
use super::reply::{empty_response, json_response};
use crate::app::App;
use crate::encode::json;

/// `GET|HEAD /ping`: 204 as soon as the server answers; clients wait for it.
pub async fn ping(RawQuery(query): RawQuery) -> Response {
    let params = Params::of_query(query.as_deref().unwrap_or_default());
    if params.flag("verbose") {
        let body = format!("{{\"version\":\"{INFLUXDB_VERSION}\"}}\n");
        json_response(StatusCode::OK, body)
    } else {
        empty_response(StatusCode::NO_CONTENT)
    }
}

/// `GET|HEAD /health`: 200, or 503 when the storage has failed or the server is stopping.
pub async fn health(State(app): State<Arc<App>>) -> Response {
    let failure = app.failure();
    let (status, word) = match failure {
        None => (StatusCode::OK, "pass"),
        Some(_) => (StatusCode::SERVICE_UNAVAILABLE, "fail"),
    };
    let mut body = b"{\"name\":\"influxdb\",\"message\":".to_vec();
    json::push_string(&mut body, failure.as_deref().unwrap_or("ready for queries and writes"));
    body.extend_from_slice(b",\"status\":");
    json::push_string(&mut body, word);
    body.extend_from_slice(b",\"checks\":[],\"version\":");
    json::push_string(&mut body, INFLUXDB_VERSION);
    body.extend_from_slice(b"}\n");
    json_response(status, body)
}

/// `GET /metrics`: the text format of Prometheus.
pub async fn metrics(State(app): State<Arc<App>>) -> Response {
    let mut response = Response::new(app.render_metrics().into());
    let format = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, format);
    response
}
