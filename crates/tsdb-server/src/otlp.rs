//! Metrics of OpenTelemetry, whichever way they come: from a body to the store, and what their sender is told. The
//! messages of the answers are those of OTLP, and of `google.rpc`, which tells what went wrong.
//!
//! Not here: the message, see [`tsdb_ingest::Otlp`]; HTTP (`http/otlp.rs`) and gRPC (`grpc/otlp.rs`).

use std::fmt::Write as _;
use std::sync::Arc;

use axum::http::{HeaderMap, StatusCode};
use prost::Message;
use tsdb_ingest::{
    LineError, Otlp, OtlpEncoding, PROMOTE_RESOURCE_ATTRIBUTES, TRANSLATION_STRATEGY, WriteReport,
    WriteRequest,
};

use crate::app::App;
use crate::auth::Who;
use crate::exposition::OtlpRecord;
use crate::http::body::{Encoding, Received};
use crate::http::params::Params;
use crate::http::reply::{ApiError, header};
use crate::http::write::{Target, take_received};
use crate::status;

/// Where points go if a request names no database: that of remote write, so that both are found together.
pub use crate::http::remote_write::DATABASE;

/// Parameters of a request. Exporters that can set no URL send them as headers.
const PARAMETERS: [(&str, &str); 4] = [
    ("db", "x-tsdb-db"),
    ("rp", "x-tsdb-rp"),
    (TRANSLATION_STRATEGY, "x-tsdb-translation-strategy"),
    (PROMOTE_RESOURCE_ATTRIBUTES, "x-tsdb-promote-resource-attributes"),
];

/// Most bytes of texts in the account of what was refused.
const ACCOUNT_BYTES_MAX: usize = 16 << 10;

/// The parameters of a request, from its URL and its headers; the URL wins.
pub fn parameters(query: &str, headers: &HeaderMap) -> Params {
    let mut params = Params::of_query(query);
    for (name, header_name) in PARAMETERS {
        if params.get(name).is_none()
            && let Some(value) = header(headers, header_name)
        {
            params.push(name, value);
        }
    }
    params
}

/// Stores a message that was received, packed as `packed`. Returns when that is visible.
///
/// # Errors
/// The refusal of a message of which nothing is stored, and that is no use to be sent again unless its status
/// says so.
pub async fn store(
    app: &Arc<App>,
    who: &Who,
    received: Received,
    packed: Encoding,
    written: OtlpEncoding,
    params: Params,
) -> Result<WriteReport, ApiError> {
    let target = Target::in_database(params.filled("db").unwrap_or(DATABASE), &params)?;
    let target = target.permitted(who)?;
    let format = Otlp::new(written, Some(Arc::clone(app.metadata())));
    let read = move |app: &App, request: &WriteRequest<'_>| app.pipeline().write(&format, request);
    let report = take_received(app, received, packed, target, params, read).await?;
    app.exposition().otlp(OtlpRecord {
        points: report.brought.points,
        points_rejected: report.refused_records,
        exemplars: report.brought.exemplars,
    });
    if report.rows == 0 && report.refused_records > 0 {
        return Err(ApiError::bad_request(account(&report)));
    }
    Ok(report)
}

/// What is answered when something is stored.
pub fn response(report: &WriteReport) -> ExportResponse {
    let partial_success = (report.errors_total > 0).then(|| PartialSuccess {
        rejected_data_points: i64::try_from(report.refused_records).unwrap_or(i64::MAX),
        error_message: account(report),
    });
    ExportResponse { partial_success }
}

/// What is not stored, with the first reasons; one of each data point.
fn account(report: &WriteReport) -> String {
    let (points, refused) = (report.brought.points, report.refused_records);
    let mut text = format!("{refused} of {points} data points rejected");
    let mut last = None;
    for error in &report.errors {
        let LineError { line, text: series, reason, .. } = error;
        if last.replace(*line) == Some(*line) && *line > 0 {
            continue;
        }
        if text.len() > ACCOUNT_BYTES_MAX {
            text.push_str("; and more");
            break;
        }
        let _ = match line {
            // What the store refused comes without a text.
            0 if series.is_empty() => {
                write!(text, "; beside them target_info: {}", reason.explained())
            }
            0 => write!(text, "; beside them {series}: {}", reason.explained()),
            line if series.is_empty() => {
                write!(text, "; data point {line}: {}", reason.explained())
            }
            line => write!(text, "; data point {line} {series}: {}", reason.explained()),
        };
    }
    text
}

/// The status of OTLP over HTTP for a refusal: a client that was slow may try again, which 408 would forbid.
pub fn http_status(status: StatusCode) -> StatusCode {
    match status {
        StatusCode::REQUEST_TIMEOUT => StatusCode::SERVICE_UNAVAILABLE,
        other => other,
    }
}

/// Whether OTLP lets a client send the same again after this status.
pub fn is_retryable(status: StatusCode) -> bool {
    matches!(status.as_u16(), 429 | 502 | 503 | 504)
}

/// The refusal as `google.rpc` has it, for both ways; with when to come again, if that is any use.
pub fn refusal_status(status: StatusCode, message: &str) -> RpcStatus {
    let retry_delay = Some(Duration { seconds: i64::from(status::RETRY_AFTER_SECONDS), nanos: 0 });
    let details = is_retryable(status).then(|| Any {
        type_url: "type.googleapis.com/google.rpc.RetryInfo".to_owned(),
        value: RetryInfo { retry_delay }.encode_to_vec(),
    });
    RpcStatus {
        code: i32::from(status::code_of(status)),
        message: message.to_owned(),
        details: details.into_iter().collect(),
    }
}

/// `opentelemetry.proto.collector.metrics.v1.ExportMetricsServiceResponse`.
#[derive(Clone, PartialEq, Message)]
pub struct ExportResponse {
    /// What is not stored, if that is anything.
    #[prost(message, optional, tag = "1")]
    pub partial_success: Option<PartialSuccess>,
}

/// `opentelemetry.proto.collector.metrics.v1.ExportMetricsPartialSuccess`.
#[derive(Clone, PartialEq, Message)]
pub struct PartialSuccess {
    /// Data points that are not stored, or not whole.
    #[prost(int64, tag = "1")]
    pub rejected_data_points: i64,
    /// Why.
    #[prost(string, tag = "2")]
    pub error_message: String,
}

/// `google.rpc.Status`.
#[derive(Clone, PartialEq, Message)]
pub struct RpcStatus {
    /// Number of a status of gRPC.
    #[prost(int32, tag = "1")]
    pub code: i32,
    /// Why, and what to do.
    #[prost(string, tag = "2")]
    pub message: String,
    /// More about it.
    #[prost(message, repeated, tag = "3")]
    pub details: Vec<Any>,
}

/// `google.protobuf.Any`.
#[derive(Clone, PartialEq, Message)]
pub struct Any {
    /// Which message it is.
    #[prost(string, tag = "1")]
    pub type_url: String,
    /// The message.
    #[prost(bytes = "vec", tag = "2")]
    pub value: Vec<u8>,
}

/// `google.rpc.RetryInfo`.
#[derive(Clone, PartialEq, Message)]
pub struct RetryInfo {
    /// How long to wait.
    #[prost(message, optional, tag = "1")]
    pub retry_delay: Option<Duration>,
}

/// `google.protobuf.Duration`.
#[derive(Clone, Copy, PartialEq, Message)]
pub struct Duration {
    /// Whole seconds.
    #[prost(int64, tag = "1")]
    pub seconds: i64,
    /// What is beyond, in ns.
    #[prost(int32, tag = "2")]
    pub nanos: i32,
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;
    use tsdb_ingest::{Brought, Reason};

    fn report(rows: u64, lines: &[u64]) -> WriteReport {
        let error = |line: &u64| LineError {
            line: *line,
            column: 1,
            text: if *line == 7 { String::new() } else { format!("m{line}{{}}") },
            reason: Reason::TimeOutsideRange,
        };
        let mut known: Vec<u64> = lines.iter().copied().filter(|line| *line > 0).collect();
        known.dedup();
        WriteReport {
            rows,
            errors: lines.iter().map(error).collect(),
            errors_total: lines.len() as u64,
            refused_records: known.len() as u64,
            brought: Brought { points: 9, ..Brought::default() },
            ..WriteReport::default()
        }
    }

    #[test]
    fn what_is_not_stored_is_named_once() {
        assert_eq!(response(&report(3, &[])).encode_to_vec(), b"");
        let partial = response(&report(3, &[0, 2, 2, 2, 7])).partial_success.unwrap();
        assert_eq!(partial.rejected_data_points, 2);
        let why = "time outside range -9223372036854775806 - 9223372036854775806: check the time and its unit";
        assert_eq!(
            partial.error_message,
            format!(
                "2 of 9 data points rejected; beside them m0{{}}: {why}; data point 2 m2{{}}: {why}; \
                 data point 7: {why}"
            )
        );
        let mut nameless = report(3, &[0]);
        nameless.errors[0].text.clear();
        let text = account(&nameless);
        assert_eq!(text, format!("0 of 9 data points rejected; beside them target_info: {why}"));
        let lines: Vec<u64> = (1..=1000).collect();
        let text = account(&report(0, &lines));
        assert!(text.len() < ACCOUNT_BYTES_MAX + 300, "{}", text.len());
        assert!(text.ends_with("; and more"));
    }

    #[test]
    fn parameters_come_from_url_and_headers() {
        let mut headers = HeaderMap::new();
        headers.insert("x-tsdb-db", HeaderValue::from_static("h"));
        headers.insert("x-tsdb-translation-strategy", HeaderValue::from_static("NoTranslation"));
        let params = parameters("rp=r", &headers);
        let pairs: Vec<_> = params.pairs().collect();
        assert_eq!(pairs, [("rp", "r"), ("db", "h"), ("translation_strategy", "NoTranslation")]);
        assert_eq!(parameters("db=u", &headers).get("db"), Some("u"));
    }

    #[test]
    fn statuses_that_may_be_repeated_say_when() {
        for (status, code, is_retryable) in [
            (400, 3, false),
            (404, 5, false),
            (413, 8, false),
            (415, 3, false),
            (500, 13, false),
            (503, 14, true),
            (504, 4, true),
        ] {
            let status = StatusCode::from_u16(status).unwrap();
            let told = refusal_status(status, "why");
            assert_eq!((told.code, told.details.len()), (code, usize::from(is_retryable)));
            assert_eq!(http_status(status), status);
        }
        assert_eq!(http_status(StatusCode::REQUEST_TIMEOUT), 503);
        let told = refusal_status(StatusCode::SERVICE_UNAVAILABLE, "why");
        let info = RetryInfo::decode(told.details[0].value.as_slice()).unwrap();
        assert_eq!(info.retry_delay, Some(Duration { seconds: 1, nanos: 0 }));
    }
}
