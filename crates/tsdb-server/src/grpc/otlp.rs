//! OTLP over gRPC. The call is answered here and not by tonic, so that its message goes the way of a body over
//! HTTP: under the same bounds, charged to the same memory, unpacked with the same care (exporters pack with gzip),
//! and read where it lies.
//!
//! Not here: what becomes of the points (`otlp.rs`).

use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware;
use axum::response::Response;
use axum::routing::post;
use axum::{Extension, Router};
use http_body_util::{BodyExt, Full};
use prost::Message;
use tonic::{Code, Status};
use tsdb_ingest::OtlpEncoding;

use super::check_frame;
use crate::app::App;
use crate::auth::Who;
use crate::http::body::{self, Encoding, Received};
use crate::http::reply::{ApiError, header};
use crate::otlp::{self, ExportResponse};

/// The call.
pub const EXPORT: &str = "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export";

/// Bytes in front of a message: whether it is packed, and its length.
const HEADER_BYTES: usize = 5;

const GRPC_ENCODING: HeaderName = HeaderName::from_static("grpc-encoding");
const GRPC_ACCEPT_ENCODING: HeaderName = HeaderName::from_static("grpc-accept-encoding");
const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");

/// The call as a route.
pub fn router(app: &Arc<App>) -> Router {
    let route = Router::new().route(EXPORT, post(export)).with_state(Arc::clone(app));
    route.route_layer(middleware::from_fn(check_frame))
}

async fn export(
    State(app): State<Arc<App>>,
    Extension(who): Extension<Who>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let outcome = async {
        let bytes_max = app.config().body_bytes_max.saturating_add(HEADER_BYTES);
        let mut received = body::receive(app.bodies(), &headers, body, bytes_max)
            .await
            .map_err(|refusal| refused(&refusal))?;
        let packed = unframe(&mut received, &headers)?;
        let params = otlp::parameters("", &headers);
        otlp::store(&app, &who, received, packed, OtlpEncoding::Protobuf, params)
            .await
            .map_err(|refusal| refused(&refusal))
    };
    let mut response = match outcome.await {
        Ok(report) => answered(&otlp::response(&report)),
        Err(status) => status.into_http(),
    };
    let encodings = HeaderValue::from_static("identity,gzip");
    response.headers_mut().insert(GRPC_ACCEPT_ENCODING, encodings);
    response
}

/// Takes the front of the one message off, and says how the rest is packed.
fn unframe(received: &mut Received, headers: &HeaderMap) -> Result<Encoding, Status> {
    let wrong = |text: &str| Err(Status::invalid_argument(text));
    let Some((front, rest)) = received.bytes.split_first_chunk::<HEADER_BYTES>() else {
        return wrong("the call brought no message: send one ExportMetricsServiceRequest");
    };
    let [flag, length @ ..] = *front;
    if u32::from_be_bytes(length) as usize != rest.len() {
        return wrong("the message is not as long as it says: send one, and all of it");
    }
    let encoding = header(headers, GRPC_ENCODING).unwrap_or("identity");
    let packed = match (flag, encoding) {
        (0, _) => Encoding::Identity,
        (1, "gzip") => Encoding::Gzip,
        (1, "identity") => {
            return wrong("the message says that it is packed, and the call not how");
        }
        (1, _) => {
            let text = "the message is packed in a way that is unknown here: use gzip or none";
            return Err(Status::unimplemented(text));
        }
        _ => return wrong("the first byte of the message is neither 0 nor 1"),
    };
    received.bytes.drain(..HEADER_BYTES);
    Ok(packed)
}

/// The status for a refusal, with when to come again if that is any use.
fn refused(refusal: &ApiError) -> Status {
    let told = otlp::refusal_status(otlp::http_status(refusal.status()), &refusal.text());
    let code = Code::from_i32(told.code);
    if told.details.is_empty() {
        return Status::new(code, told.message);
    }
    Status::with_details(code, told.message.clone(), told.encode_to_vec().into())
}

/// A message and the trailers that say that all went well.
fn answered(response: &ExportResponse) -> Response {
    let message = response.encode_to_vec();
    let length = u32::try_from(message.len()).unwrap_or(u32::MAX);
    let mut frame = vec![0];
    frame.extend_from_slice(&length.to_be_bytes());
    frame.extend_from_slice(&message);
    let mut trailers = HeaderMap::new();
    trailers.insert(GRPC_STATUS, HeaderValue::from_static("0"));
    let body = Full::new(Bytes::from(frame)).with_trailers(async move { Some(Ok(trailers)) });
    let mut response = Response::new(Body::new(body));
    *response.status_mut() = StatusCode::OK;
    let content_type = HeaderValue::from_static("application/grpc");
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response
}
