//! What happens around every request: an id, the headers that clients sniff, the checks of where it comes
//! from and of who sends it, a net under panics, and metrics.

use std::any::Any;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::extract::{Request, State};
use axum::http::header::{HeaderName, HeaderValue};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::reply::{ApiError, header, header_text};
use super::{guard, refusals};
use crate::app::App;
use crate::auth;
use crate::exposition::RequestRecord;
use crate::telemetry;

const REQUEST_ID: HeaderName = HeaderName::from_static("request-id");
const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const X_INFLUXDB_VERSION: HeaderName = HeaderName::from_static("x-influxdb-version");
const X_INFLUXDB_BUILD: HeaderName = HeaderName::from_static("x-influxdb-build");
const NOSNIFF: HeaderName = HeaderName::from_static("x-content-type-options");

/// The version that clients are told: they switch features by it, and these are the features of 1.8.
pub const INFLUXDB_VERSION: &str = "1.8.10";

/// Longest request id that is taken over from a client.
const REQUEST_ID_BYTES_MAX: usize = 128;

/// Where requests come in.
#[derive(Clone)]
pub struct Door {
    /// What answers them.
    pub app: Arc<App>,
    /// Whether only this machine can reach it.
    pub is_on_loopback: bool,
}

/// The outermost layer.
pub async fn observe(State(door): State<Door>, request: Request, next: Next) -> Response {
    let app = &door.app;
    let started = app.env().clock.mono_ns();
    let id = request_id(request.headers(), app);
    let method = method_label(request.method());
    let path = super::label(request.uri().path());
    let answered = CatchPanic(pin!(answer(&door, request, next))).await;
    let mut response = answered.unwrap_or_else(|panic| panicked(app, path, panic.as_ref()));
    let headers = response.headers_mut();
    headers.insert(REQUEST_ID, id.clone());
    headers.insert(X_REQUEST_ID, id);
    headers.insert(X_INFLUXDB_VERSION, HeaderValue::from_static(INFLUXDB_VERSION));
    headers.insert(X_INFLUXDB_BUILD, HeaderValue::from_static("OSS"));
    headers.insert(NOSNIFF, HeaderValue::from_static("nosniff"));
    let elapsed_ns = app.env().clock.mono_ns().saturating_sub(started);
    let status = response.status().as_u16();
    tracing::debug!(method, path, status, elapsed_ns, "request");
    let seconds = std::time::Duration::from_nanos(elapsed_ns).as_secs_f64();
    app.exposition().request(RequestRecord { method, path, status, seconds });
    response
}

/// Lets the request in, or tells why not.
async fn answer(door: &Door, request: Request, next: Next) -> Response {
    let (mut head, body) = request.into_parts();
    let checked = guard::check(&head.method, &head.uri, &head.headers, door.is_on_loopback);
    if let Err(refusal) = checked {
        return refusal.into_response();
    }
    let access = super::access(head.uri.path());
    match auth::admit(door, access, &mut head).await {
        Ok(()) => next.run(Request::from_parts(head, body)).await,
        Err(refusal) => refusals::refused(&head, refusal),
    }
}

fn panicked(app: &App, path: &str, panic: &(dyn Any + Send)) -> Response {
    let words = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message");
    tracing::error!(path, panic = telemetry::clean(words), "a request handler panicked");
    app.exposition().panicked();
    ApiError::new(
        StatusCode::INTERNAL_SERVER_ERROR,
        "internal error: the server met a bug and goes on; its log has the details",
    )
    .into_response()
}

/// The client's own id, so that it finds its request in the log, or a new one.
fn request_id(headers: &HeaderMap, app: &App) -> HeaderValue {
    header(headers, X_REQUEST_ID)
        .or_else(|| header(headers, REQUEST_ID))
        .filter(|id| !id.is_empty() && id.len() <= REQUEST_ID_BYTES_MAX)
        .map_or_else(
            || {
                let rng = &app.env().rng;
                header_text(&uuid(rng.next_u64(), rng.next_u64()), REQUEST_ID_BYTES_MAX)
            },
            |id| header_text(id, REQUEST_ID_BYTES_MAX),
        )
}

/// A version 4 UUID (RFC 9562) from 128 random bits, of which 6 are replaced.
fn uuid(high: u64, low: u64) -> String {
    let high = high & !0xf000 | 0x4000;
    let low = low >> 2 | 1 << 63;
    format!(
        "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
        high >> 32,
        high >> 16 & 0xffff,
        high & 0xffff,
        low >> 48,
        low & 0xffff_ffff_ffff
    )
}

/// Methods as labels: a client must not be able to invent new ones.
fn method_label(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "DELETE" => "DELETE",
        "OPTIONS" => "OPTIONS",
        "PATCH" => "PATCH",
        _ => "OTHER",
    }
}

/// A future whose panics become values. The state that a panicking handler leaves behind is its own:
/// shared state is behind locks and atomics that are correct at every step.
struct CatchPanic<'a, F>(Pin<&'a mut F>);

impl<F: Future> Future for CatchPanic<'_, F> {
    type Output = Result<F::Output, Box<dyn Any + Send>>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let inner = self.0.as_mut();
        match std::panic::catch_unwind(AssertUnwindSafe(|| inner.poll(context))) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(output)) => Poll::Ready(Ok(output)),
            Err(panic) => Poll::Ready(Err(panic)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_version_4_uuids() {
        assert_eq!(uuid(0, 0), "00000000-0000-4000-8000-000000000000");
        assert_eq!(uuid(u64::MAX, u64::MAX), "ffffffff-ffff-4fff-bfff-ffffffffffff");
        assert_eq!(uuid(0x0123_4567_89ab_cdef, 4), "01234567-89ab-4def-8000-000000000001");
    }

    #[tokio::test]
    async fn a_panic_becomes_a_value() {
        let caught = CatchPanic(pin!(async { panic!("on purpose") })).await;
        let panic: Box<dyn Any + Send> = caught.map(|(): ()| ()).unwrap_err();
        assert_eq!(panic.downcast_ref::<&str>(), Some(&"on purpose"));
        assert_eq!(CatchPanic(pin!(async { 7 })).await.unwrap(), 7);
    }
}
