//! What handlers answer with: JSON bodies, and [`ApiError`], the form of every refusal.
//!
//! Not here: which status an error of the storage gets (`status.rs`), and the headers that every
//! response carries (`http/observe.rs`).

use std::borrow::Cow;

use axum::body::Body;
use axum::http::header::{
    ALLOW, CONNECTION, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE,
};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};

use crate::encode::json;
use crate::status;

/// Carries the text of the error, for clients that do not read bodies.
const X_INFLUXDB_ERROR: HeaderName = HeaderName::from_static("x-influxdb-error");

/// InfluxDB cuts the header off there.
const ERROR_HEADER_BYTES_MAX: usize = 1024;

/// InfluxDB's words for a body that is larger than allowed.
pub const TOO_LARGE: &str = "Request Entity Too Large";

/// A request that failed: its status and the one line that says why.
#[derive(Debug)]
pub struct ApiError {
    status: StatusCode,
    message: String,
    advice: Option<String>,
    allow: Option<&'static str>,
    close: bool,
    form: Form,
}

/// What the body of a refusal looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// `{"error":"…"}`: InfluxDB 1 and 3, and ours.
    Error,
    /// `{"code":"…","message":"…"}`: InfluxDB 2.
    CodeAndMessage,
}

impl ApiError {
    /// A refusal with any status.
    pub fn new(status: StatusCode, message: impl Into<String>) -> ApiError {
        let (message, form) = (message.into(), Form::Error);
        ApiError { status, message, advice: None, allow: None, close: false, form }
    }

    /// 400: the request is wrong.
    pub fn bad_request(message: impl Into<String>) -> ApiError {
        ApiError::new(StatusCode::BAD_REQUEST, message)
    }

    /// 413: the body is larger than allowed. The words are InfluxDB's, the advice is not.
    pub fn too_large(advice: impl Into<String>) -> ApiError {
        let error = ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, TOO_LARGE);
        ApiError { advice: Some(advice.into()), ..error }
    }

    /// The same without advice, for clients that know nothing but InfluxDB's words.
    #[must_use]
    pub fn in_bare_words(self) -> ApiError {
        ApiError { advice: None, ..self }
    }

    /// 503: the same request may succeed later.
    pub fn overloaded(message: impl Into<String>) -> ApiError {
        ApiError::new(StatusCode::SERVICE_UNAVAILABLE, message)
    }

    /// 405 with the methods that the path has.
    pub fn method_not_allowed(allow: &'static str) -> ApiError {
        let message = format!("method not allowed: use {allow}");
        ApiError { allow: Some(allow), ..ApiError::new(StatusCode::METHOD_NOT_ALLOWED, message) }
    }

    /// Ends the connection after the response: its body was not read to the end.
    #[must_use]
    pub fn closing(self) -> ApiError {
        ApiError { close: true, ..self }
    }

    /// With a body as InfluxDB 2 has it, for its clients.
    #[must_use]
    pub fn with_code(self) -> ApiError {
        ApiError { form: Form::CodeAndMessage, ..self }
    }

    /// The same with another status.
    #[must_use]
    pub fn with_status(self, of: impl FnOnce(StatusCode) -> StatusCode) -> ApiError {
        ApiError { status: of(self.status), ..self }
    }

    /// Its status.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// Its text, without advice.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The response as a line of plain text.
    pub fn into_plain_response(self) -> Response {
        let text = self.text();
        let mut response = text_response(self.status, format!("{text}\n"));
        self.mark(&mut response, &text);
        response
    }

    /// The response with a body that the caller has made of [`ApiError::text`].
    pub fn into_typed_response(self, content_type: &'static str, body: Vec<u8>) -> Response {
        let mut response = typed_response(self.status, Body::from(body), content_type);
        self.mark(&mut response, &self.text());
        response
    }

    /// Adds the headers of the refusal.
    fn mark(&self, response: &mut Response, text: &str) {
        if self.status == StatusCode::UNAUTHORIZED {
            // InfluxDB's clients look for this alone; browsers ask for a user and a password.
            let challenge = HeaderValue::from_static("Basic realm=\"InfluxDB\"");
            response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
        } else {
            mark_refused(response, text);
        }
        let headers = response.headers_mut();
        if let Some(allow) = self.allow {
            headers.insert(ALLOW, HeaderValue::from_static(allow));
        }
        if self.close {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
    }

    /// Its text, with advice if there is some.
    pub fn text(&self) -> Cow<'_, str> {
        match &self.advice {
            Some(advice) => format!("{}: {advice}", self.message).into(),
            None => self.message.as_str().into(),
        }
    }
}

impl From<tsdb_core::Error> for ApiError {
    fn from(error: tsdb_core::Error) -> ApiError {
        ApiError::new(status::of_write(&error), error.to_string())
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let text = self.text();
        let mut body = Vec::with_capacity(text.len() + 48);
        match self.form {
            Form::Error => json::push_error(&mut body, &text),
            Form::CodeAndMessage => {
                body.extend_from_slice(b"{\"code\":");
                json::push_string(&mut body, status::code_of_influx2(self.status));
                body.extend_from_slice(b",\"message\":");
                json::push_string(&mut body, &text);
                body.extend_from_slice(b"}\n");
            }
        }
        let mut response = json_response(self.status, body);
        self.mark(&mut response, &text);
        response
    }
}

/// Adds the headers that every refusal carries, by its status and with its text.
pub fn mark_refused(response: &mut Response, message: &str) {
    let worth_repeating = status::is_worth_repeating(response.status());
    let headers = response.headers_mut();
    headers.insert(X_INFLUXDB_ERROR, header_text(message, ERROR_HEADER_BYTES_MAX));
    if worth_repeating {
        headers.insert(RETRY_AFTER, HeaderValue::from(status::RETRY_AFTER_SECONDS));
    }
}

/// A response with a JSON body.
pub fn json_response(status: StatusCode, body: impl Into<Body>) -> Response {
    typed_response(status, body.into(), "application/json")
}

/// A response with a body of plain text.
pub fn text_response(status: StatusCode, body: impl Into<Body>) -> Response {
    typed_response(status, body.into(), "text/plain; charset=utf-8")
}

/// A response with a body of a type.
pub fn typed_response(status: StatusCode, body: Body, content_type: &'static str) -> Response {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// An answer without a body.
pub fn empty_response(status: StatusCode) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

/// `text` as the value of a header: at most `bytes_max` bytes, everything but printable ASCII replaced,
/// so that no input of a client can end the header or reach a terminal.
pub fn header_text(text: &str, bytes_max: usize) -> HeaderValue {
    let printable = |byte: u8| if (b' '..=b'~').contains(&byte) { byte } else { b'?' };
    let bytes: Vec<u8> = text.bytes().take(bytes_max).map(printable).collect();
    HeaderValue::from_bytes(&bytes).unwrap_or_else(|_| HeaderValue::from_static("?"))
}

/// A header as text, if it is there and readable.
pub fn header(headers: &HeaderMap, name: impl axum::http::header::AsHeaderName) -> Option<&str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_texts_hold_nothing_but_printable_ascii() {
        for (text, expected) in [
            ("plain", "plain"),
            ("a\r\nSet-Cookie: x", "a??Set-Cookie: x"),
            ("é\u{1b}[1m", "???[1m"),
            ("", ""),
        ] {
            assert_eq!(header_text(text, 100), expected, "{text:?}");
        }
        assert_eq!(header_text("abcdef", 3), "abc");
    }

    #[test]
    fn a_refusal_says_so_in_body_and_headers() {
        let response = ApiError::overloaded("wait").into_response();
        assert_eq!(response.status(), 503);
        assert_eq!(header(response.headers(), "retry-after"), Some("1"));
        assert_eq!(header(response.headers(), "x-influxdb-error"), Some("wait"));
        assert_eq!(header(response.headers(), "content-type"), Some("application/json"));
        let large = || ApiError::too_large("send less");
        for (error, text) in [
            (large(), "Request Entity Too Large: send less"),
            (large().in_bare_words(), "Request Entity Too Large"),
        ] {
            let response = error.into_response();
            assert_eq!(header(response.headers(), "x-influxdb-error"), Some(text));
        }
        let response = ApiError::method_not_allowed("GET, POST").into_response();
        assert_eq!(header(response.headers(), "allow"), Some("GET, POST"));
        assert_eq!(header(response.headers(), "retry-after"), None);
    }
}
