//! What has become of a stream so far, and the answer that says so.

use axum::http::StatusCode;
use axum::http::header::{CONNECTION, HeaderValue};
use axum::response::Response;
use tsdb_ingest::{WriteReport, limits};

use crate::encode::json;
use crate::http::formats::{push_count, push_errors, summary};
use crate::http::reply::{ApiError, json_response, mark_refused};
use crate::http::write::announce_ignored;

/// Sums over the pieces that are stored.
#[derive(Debug, Default)]
pub(super) struct Totals {
    /// Batches that are stored.
    pub(super) batches: u64,
    /// Lines of the body that they were made of, those that were refused among them.
    pub(super) lines: u64,
    /// Bytes of the body, unpacked, that they were made of.
    pub(super) bytes: u64,
    /// Lines before the current piece, without those of a header, which stands at its beginning again.
    pub(super) lines_before: u64,
    report: WriteReport,
}

impl Totals {
    /// Adds what became of a piece that was made of `text`, with errors that count lines from the beginning of the body: the lines of its header are counted once, in the first
    /// piece, and stand at the beginning of each.
    pub(super) fn add(&mut self, piece: WriteReport, text: Option<&[u8]>, header_lines: u64) {
        let text = text.unwrap_or_default();
        let newlines = memchr::memchr_iter(b'\n', text).count() as u64;
        let has_tail = text.last().is_some_and(|byte| *byte != b'\n');
        for error in piece.errors {
            if self.report.errors.len() < limits::ERRORS_MAX {
                self.report.errors.push(error);
            }
        }
        self.report.rows += piece.rows;
        self.report.errors_total += piece.errors_total;
        self.report.ignored_total += piece.ignored_total;
        for name in piece.ignored_fields {
            if self.report.ignored_fields.len() < limits::IGNORED_NAMES_MAX {
                self.report.ignored_fields.insert(name);
            }
        }
        let is_first = self.batches == 0;
        self.batches += 1;
        self.lines += newlines + u64::from(has_tail);
        self.lines_before += newlines - if is_first { header_lines.min(newlines) } else { 0 };
        self.bytes += text.len() as u64;
    }

    /// The answer at the end, or where the stream failed.
    pub(super) fn respond(self, outcome: Result<(), ApiError>) -> Response {
        let report = &self.report;
        let refused = (report.errors_total > 0).then(|| summary(report));
        let (status, message) = match &outcome {
            Ok(()) if refused.is_none() => (StatusCode::OK, None),
            Ok(()) => (StatusCode::BAD_REQUEST, refused),
            Err(refusal) => {
                let (lines, bytes) = (self.lines, self.bytes);
                let stored = match lines {
                    0 => "nothing of the body is stored".to_owned(),
                    _ => format!(
                        "the first {lines} lines of the body ({bytes} bytes, unpacked) are stored, go on behind them"
                    ),
                };
                let refused = refused.map(|refused| format!("; {refused}")).unwrap_or_default();
                (refusal.status(), Some(format!("{}; {stored}{refused}", refusal.message())))
            }
        };
        let mut body = Vec::with_capacity(256 + 128 * report.errors.len());
        body.push(b'{');
        if let Some(message) = &message {
            body.extend_from_slice(b"\"error\":");
            json::push_string(&mut body, message);
            body.push(b',');
        }
        let counts = [
            ("stored", report.rows),
            ("refused", report.errors_total),
            ("batches", self.batches),
            ("lines", self.lines),
            ("bytes", self.bytes),
        ];
        for (name, count) in counts {
            json::push_string(&mut body, name);
            body.push(b':');
            push_count(&mut body, count);
            body.push(b',');
        }
        push_errors(&mut body, report);
        body.extend_from_slice(b"}\n");
        let mut response = json_response(status, body);
        if let Some(message) = message {
            mark_refused(&mut response, &message);
        }
        announce_ignored(&mut response, report);
        response
    }
}

/// Ends the connection after an answer: the body was not read to its end.
pub(super) fn closing(mut response: Response) -> Response {
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    response
}
