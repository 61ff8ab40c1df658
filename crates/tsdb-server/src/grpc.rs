//! The gRPC surface: the services of `proto/tsdb/v1` and that of OTLP on the port of HTTP, and their description
//! by reflection.
//!
//! Not here: connections, and how many calls there may be on one (`listen.rs`), statements (`query`), the form
//! of results (`encode/protobuf.rs`).

mod charge;
pub mod codec;
mod health;
pub mod otlp;
mod query;
#[cfg(test)]
mod tests;
mod write;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use tonic::metadata::MetadataMap;
use tonic::{Code, Status};
use tsdb_ql::Parameter;

use crate::app::App;
use crate::auth::{Access, Who};
use crate::http::reply::{ApiError, header};
use crate::query::Query;
use crate::status;

/// The messages and services, compiled from the contract.
pub mod proto {
    #![allow(
        missing_docs,
        clippy::all,
        clippy::pedantic,
        clippy::allow_attributes_without_reason,
        reason = "generated from the contract, which has the documentation"
    )]
    tonic::include_proto!("tsdb.v1");

    /// The contract as descriptors, for reflection.
    pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
}

/// One call.
#[derive(Debug, Clone, Copy)]
pub struct Call {
    /// Its path.
    pub path: &'static str,
    /// What somebody needs to have it answered.
    pub access: Access,
}

/// All calls, as metrics name them: a client must not be able to invent new names.
pub const CALLS: [Call; 5] = [
    Call { path: "/tsdb.v1.WriteService/Write", access: Access::Write },
    Call { path: "/tsdb.v1.WriteService/WriteStream", access: Access::Write },
    Call { path: "/tsdb.v1.QueryService/Query", access: Access::Statements },
    Call { path: "/tsdb.v1.HealthService/Health", access: Access::Open },
    Call { path: otlp::EXPORT, access: Access::Write },
];

/// The call of `path`, if there is one.
pub fn find(path: &str) -> Option<&'static Call> {
    CALLS.iter().find(|call| call.path == path)
}

/// What the calls that write begin with.
const WRITES: &str = "/tsdb.v1.WriteService/";

/// Largest message of a query, or of anything but a write: 16 KiB of text (security checklist 2), with room
/// for parameters.
const QUERY_BYTES_MAX: usize = 128 << 10;

/// The services as routes.
pub fn router(app: &Arc<App>) -> Router {
    use proto::health_service_server::HealthServiceServer;
    use proto::query_service_server::QueryServiceServer;
    use proto::write_service_server::WriteServiceServer;

    let writes = WriteServiceServer::new(write::Writes::new(app))
        .max_decoding_message_size(app.config().body_bytes_max);
    let queries = QueryServiceServer::new(query::Queries::new(app))
        .max_decoding_message_size(QUERY_BYTES_MAX);
    let health = HealthServiceServer::new(health::Health::new(app))
        .max_decoding_message_size(QUERY_BYTES_MAX);
    let mut routes = tonic::service::Routes::new(writes).add_service(queries).add_service(health);
    let described = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(proto::DESCRIPTORS)
        .build_v1();
    if let Ok(reflection) = described {
        routes = routes.add_service(reflection.max_decoding_message_size(QUERY_BYTES_MAX));
    }
    let charged = middleware::map_request_with_state(Arc::clone(app), charge::charged);
    let checked = middleware::from_fn(check_frame);
    let routes = routes.into_axum_router().route_layer(charged).route_layer(checked);
    routes.merge(otlp::router(app))
}

/// What tonic leaves to others: refuses what does not claim to be gRPC, and calls a message that is too large
/// what the contract calls it.
async fn check_frame(request: Request, next: Next) -> Response {
    if !is_grpc(request.headers()) {
        let message = "unsupported content type: send application/grpc";
        return ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, message).into_response();
    }
    let mut response = next.run(request).await;
    if let Some(status) = Status::from_header_map(response.headers()) {
        // A status with a text that no header can hold stays as it is.
        let _ = as_promised(status).add_header(response.headers_mut());
    }
    response
}

/// Whether the content type is one of gRPC with messages of protobuf.
fn is_grpc(headers: &HeaderMap) -> bool {
    let media = header(headers, CONTENT_TYPE).unwrap_or_default();
    let media = media.split(';').next().unwrap_or_default().trim();
    ["application/grpc", "application/grpc+proto"]
        .iter()
        .any(|name| media.eq_ignore_ascii_case(name))
}

/// tonic calls a message over the limit OUT_OF_RANGE; nothing else here does.
fn as_promised(status: Status) -> Status {
    match status.code() {
        Code::OutOfRange => Status::new(Code::ResourceExhausted, status.message()),
        _ => status,
    }
}

/// The status for a refusal that was made for HTTP.
fn refused(error: &ApiError) -> Status {
    Status::new(status::code_of(error.status()), error.message())
}

/// Who calls; nobody if the call was not let in by the router.
fn caller<T>(request: &tonic::Request<T>) -> Who {
    request.extensions().get::<Who>().cloned().unwrap_or_else(Who::nobody)
}

/// What a message asks for.
pub fn query_of_message(message: proto::QueryRequest) -> Query {
    use proto::parameter::Value;
    let filled = |text: String| Some(text).filter(|text| !text.is_empty());
    let bind = |(name, parameter): (String, proto::Parameter)| {
        let value = match parameter.value? {
            Value::Number(number) => Parameter::Number(number),
            Value::Integer(integer) => Parameter::Integer(integer),
            Value::Text(text) => Parameter::String(text),
            Value::Flag(flag) => Parameter::Boolean(flag),
        };
        Some((name.trim_start_matches('$').to_owned(), value))
    };
    Query {
        text: message.query,
        database: filled(message.database),
        policy: filled(message.retention_policy),
        bindings: message.parameters.into_iter().filter_map(bind).collect(),
    }
}

/// How long the client waits, from the header `grpc-timeout` (up to eight digits and a unit); at most
/// `most`.
///
/// # Errors
/// INVALID_ARGUMENT for a header that is none.
fn timeout(metadata: &MetadataMap, most: Duration) -> Result<Duration, Status> {
    let Some(text) = metadata.get("grpc-timeout") else { return Ok(most) };
    let parsed = text.to_str().ok().and_then(parse_timeout);
    let wanted = parsed.ok_or_else(|| {
        let message = "invalid grpc-timeout: up to eight digits and one of H, M, S, m, u, n";
        Status::new(Code::InvalidArgument, message)
    })?;
    Ok(wanted.min(most))
}

fn parse_timeout(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let count: u64 = digits.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(count * 3600),
        "M" => Duration::from_secs(count * 60),
        "S" => Duration::from_secs(count),
        "m" => Duration::from_millis(count),
        "u" => Duration::from_micros(count),
        "n" => Duration::from_nanos(count),
        _ => return None,
    })
}

#[cfg(test)]
mod unit_tests {
    use super::*;

    #[test]
    fn timeouts_have_a_unit_and_a_bound() {
        let most = Duration::from_secs(30);
        let of = |text: &'static str| {
            let mut metadata = MetadataMap::new();
            metadata.insert("grpc-timeout", text.parse().unwrap());
            timeout(&metadata, most).map_err(|status| status.code())
        };
        assert_eq!(timeout(&MetadataMap::new(), most).unwrap(), most);
        for (text, time) in [
            ("1H", most),
            ("7S", Duration::from_secs(7)),
            ("150m", Duration::from_millis(150)),
            ("99999999n", Duration::from_nanos(99_999_999)),
        ] {
            assert_eq!(of(text), Ok(time), "{text}");
        }
        for text in ["", "S", "10", "-1S", "1.5S", "123456789S", "1x", "1µ"] {
            assert!(of(text).is_err(), "{text}");
        }
    }

    #[test]
    fn messages_become_queries() {
        let parameter = |value| proto::Parameter { value: Some(value) };
        let message = proto::QueryRequest {
            database: "d".to_owned(),
            retention_policy: String::new(),
            query: "SELECT $x".to_owned(),
            parameters: [
                ("$x".to_owned(), parameter(proto::parameter::Value::Integer(7))),
                ("none".to_owned(), proto::Parameter { value: None }),
            ]
            .into(),
        };
        let query = query_of_message(message);
        assert_eq!(query.database.as_deref(), Some("d"));
        assert_eq!(query.policy, None);
        assert_eq!(query.bindings.get("x"), Some(&Parameter::Integer(7)));
        assert_eq!(query.bindings.len(), 1);
    }
}
