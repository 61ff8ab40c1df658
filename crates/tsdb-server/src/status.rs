//! Which HTTP status an error gets, in one place.
//!
//! Two tables, because InfluxDB's clients expect two things: a refused write speaks through its status;
//! a failed statement comes inside of a 200, unless trying again elsewhere or later would help.

use axum::http::StatusCode;
use tsdb_core::{Error, ErrorKind};

/// Seconds that a client should wait before it repeats what was refused for now.
pub const RETRY_AFTER_SECONDS: u32 = 1;

/// The status of a failed write or administrative request.
pub fn of_write(error: &Error) -> StatusCode {
    match error.kind() {
        ErrorKind::Invalid => StatusCode::BAD_REQUEST,
        ErrorKind::NotFound => StatusCode::NOT_FOUND,
        // Never 429: Prometheus and Telegraf drop the batch on 429 and repeat it on 503.
        ErrorKind::Stale | ErrorKind::Overloaded | ErrorKind::LimitExceeded => {
            StatusCode::SERVICE_UNAVAILABLE
        }
        // The writer must keep its data until the operator has acted.
        ErrorKind::StorageFailed | ErrorKind::Cancelled => StatusCode::SERVICE_UNAVAILABLE,
        ErrorKind::Deadline => StatusCode::GATEWAY_TIMEOUT,
        // Damage, and kinds that do not exist yet.
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// The status of a response with a failed statement: what the user can mend by another query is a 200
/// with an error inside, as InfluxDB does it; the rest must not look like success to a load balancer.
pub fn of_statement(kind: ErrorKind) -> StatusCode {
    match kind {
        ErrorKind::Overloaded | ErrorKind::StorageFailed => StatusCode::SERVICE_UNAVAILABLE,
        ErrorKind::Corrupt => StatusCode::INTERNAL_SERVER_ERROR,
        _ => StatusCode::OK,
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
        for (kind, status) in [
            (ErrorKind::Invalid, 200),
            (ErrorKind::NotFound, 200),
            (ErrorKind::LimitExceeded, 200),
            (ErrorKind::Deadline, 200),
            (ErrorKind::Overloaded, 503),
            (ErrorKind::StorageFailed, 503),
            (ErrorKind::Corrupt, 500),
        ] {
            assert_eq!(of_statement(kind).as_u16(), status, "{kind:?}");
            assert_eq!(is_worth_repeating(of_statement(kind)), status == 503);
        }
    }
}
