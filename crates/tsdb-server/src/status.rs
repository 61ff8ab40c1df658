//! What each kind of error is called by HTTP and by gRPC: one table, so that the two cannot drift apart.
//!
//! HTTP has three columns, because three kinds of clients expect three things: a refused write speaks
//! through its status; a failed statement of InfluxDB's `/query` comes inside of a 200, unless trying again
//! elsewhere or later would help; a failed statement of our own `/api/v1/query` speaks through its status.

use axum::http::StatusCode;
use tonic::Code;
use tsdb_core::{Error, ErrorKind};

/// Seconds that a client should wait before it repeats what was refused for now.
pub const RETRY_AFTER_SECONDS: u32 = 1;

/// How a kind of error is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Told {
    /// Status of a failed write or administrative request.
    pub write: StatusCode,
    /// Status of a failed statement of `/api/v1/query`.
    pub query: StatusCode,
    /// Status of a failed call of gRPC.
    pub grpc: Code,
}

/// The table.
pub fn of(kind: ErrorKind) -> Told {
    use StatusCode as S;
    let told = |write, query, grpc| Told { write, query, grpc };
    match kind {
        ErrorKind::Invalid => told(S::BAD_REQUEST, S::BAD_REQUEST, Code::InvalidArgument),
        ErrorKind::NotFound => told(S::NOT_FOUND, S::NOT_FOUND, Code::NotFound),
        // Never 429: Prometheus and Telegraf drop the batch on 429 and repeat it on 503.
        ErrorKind::Stale | ErrorKind::Overloaded => {
            told(S::SERVICE_UNAVAILABLE, S::SERVICE_UNAVAILABLE, Code::Unavailable)
        }
        // A write finds room again; a query has to ask for less.
        ErrorKind::LimitExceeded => {
            told(S::SERVICE_UNAVAILABLE, S::UNPROCESSABLE_ENTITY, Code::ResourceExhausted)
        }
        // Whoever killed a query does not want its client to repeat it.
        ErrorKind::Cancelled => told(S::SERVICE_UNAVAILABLE, cancelled(), Code::Cancelled),
        ErrorKind::Deadline => told(S::GATEWAY_TIMEOUT, S::GATEWAY_TIMEOUT, Code::DeadlineExceeded),
        // The writer must keep its data until the operator has acted.
        ErrorKind::StorageFailed => {
            told(S::SERVICE_UNAVAILABLE, S::SERVICE_UNAVAILABLE, Code::Unavailable)
        }
        ErrorKind::Corrupt => {
            told(S::INTERNAL_SERVER_ERROR, S::INTERNAL_SERVER_ERROR, Code::DataLoss)
        }
        // Kinds that do not exist yet.
        _ => told(S::INTERNAL_SERVER_ERROR, S::INTERNAL_SERVER_ERROR, Code::Internal),
    }
}

/// 499, by which nginx and Prometheus call a request that was ended before it was answered.
fn cancelled() -> StatusCode {
    StatusCode::from_u16(499).unwrap_or(StatusCode::BAD_REQUEST)
}

/// The status of a failed write or administrative request.
pub fn of_write(error: &Error) -> StatusCode {
    of(error.kind()).write
}

/// The status of a response of InfluxDB's `/query` with a failed statement: what the user can mend by
/// another query is a 200 with an error inside, as InfluxDB does it; the rest must not look like success to
/// a load balancer.
pub fn of_statement(kind: ErrorKind) -> StatusCode {
    match kind {
        ErrorKind::Overloaded | ErrorKind::StorageFailed | ErrorKind::Corrupt => of(kind).query,
        _ => StatusCode::OK,
    }
}

/// The gRPC code of a refusal that was made for HTTP.
pub fn code_of(status: StatusCode) -> Code {
    match status {
        StatusCode::NOT_FOUND => Code::NotFound,
        StatusCode::UNAUTHORIZED => Code::Unauthenticated,
        StatusCode::FORBIDDEN => Code::PermissionDenied,
        StatusCode::PAYLOAD_TOO_LARGE => Code::ResourceExhausted,
        StatusCode::SERVICE_UNAVAILABLE => Code::Unavailable,
        StatusCode::GATEWAY_TIMEOUT => Code::DeadlineExceeded,
        status if status.is_client_error() => Code::InvalidArgument,
        _ => Code::Internal,
    }
}

/// What InfluxDB 2 calls a refusal, in the `code` of its body.
pub fn code_of_influx2(status: StatusCode) -> &'static str {
    match status {
        StatusCode::UNAUTHORIZED => "unauthorized",
        StatusCode::FORBIDDEN => "forbidden",
        StatusCode::NOT_FOUND => "not found",
        StatusCode::METHOD_NOT_ALLOWED => "method not allowed",
        StatusCode::PAYLOAD_TOO_LARGE => "request too large",
        StatusCode::UNPROCESSABLE_ENTITY => "unprocessable entity",
        StatusCode::TOO_MANY_REQUESTS => "too many requests",
        StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT => "unavailable",
        status if status.is_client_error() => "invalid",
        _ => "internal error",
    }
}

/// Whether the same request may succeed later, so that the response carries `Retry-After`.
pub fn is_worth_repeating(status: StatusCode) -> bool {
    status == StatusCode::SERVICE_UNAVAILABLE
}

#[cfg(test)]
mod tests {
    use super::*;
    use tsdb_core::Pool;

    #[test]
    fn statuses_of_writes() {
        let over = |pool| Error::OverBudget { pool, wanted: 1, used: 1, limit: 1 };
        for (error, status) in [
            (Error::EmptySeriesName, 400),
            (Error::DatabaseNotFound { name: "x".into() }, 404),
            (Error::PolicyNotFound { name: "x".into() }, 404),
            (Error::StaleEpoch { batch: 1, current: 2 }, 503),
            (over(Pool::Memtable), 503),
            (over(Pool::Bodies), 503),
            (Error::ReadOnly { reason: "x".into() }, 503),
            (Error::Poisoned { cause: "x".into() }, 503),
            (Error::Closed, 503),
            (Error::Corrupt { path: "x".into(), offset: 0, what: "x".into() }, 500),
            (Error::DeadlineExceeded, 504),
        ] {
            assert_eq!(of_write(&error).as_u16(), status, "{error}");
        }
    }

    #[test]
    fn statuses_of_statements() {
        for (kind, influx, own, grpc) in [
            (ErrorKind::Invalid, 200, 400, Code::InvalidArgument),
            (ErrorKind::NotFound, 200, 404, Code::NotFound),
            (ErrorKind::LimitExceeded, 200, 422, Code::ResourceExhausted),
            (ErrorKind::Deadline, 200, 504, Code::DeadlineExceeded),
            (ErrorKind::Cancelled, 200, 499, Code::Cancelled),
            (ErrorKind::Overloaded, 503, 503, Code::Unavailable),
            (ErrorKind::StorageFailed, 503, 503, Code::Unavailable),
            (ErrorKind::Corrupt, 500, 500, Code::DataLoss),
        ] {
            assert_eq!(of_statement(kind).as_u16(), influx, "{kind:?}");
            assert_eq!(of(kind).query.as_u16(), own, "{kind:?}");
            assert_eq!(of(kind).grpc, grpc, "{kind:?}");
            assert_eq!(is_worth_repeating(of_statement(kind)), influx == 503);
        }
    }

    #[test]
    fn refusals_have_the_codes_of_influxdb_2() {
        for (status, code) in [
            (400, "invalid"),
            (401, "unauthorized"),
            (403, "forbidden"),
            (404, "not found"),
            (405, "method not allowed"),
            (413, "request too large"),
            (415, "invalid"),
            (422, "unprocessable entity"),
            (429, "too many requests"),
            (500, "internal error"),
            (503, "unavailable"),
        ] {
            assert_eq!(code_of_influx2(StatusCode::from_u16(status).unwrap()), code);
        }
    }

    #[test]
    fn refusals_of_http_have_a_code() {
        for (status, code) in [
            (400, Code::InvalidArgument),
            (401, Code::Unauthenticated),
            (403, Code::PermissionDenied),
            (404, Code::NotFound),
            (413, Code::ResourceExhausted),
            (503, Code::Unavailable),
            (500, Code::Internal),
        ] {
            assert_eq!(code_of(StatusCode::from_u16(status).unwrap()), code);
        }
    }
}
