//! `/query`: statements in, tables out.
//!
//! Parsing, running and encoding happen on one blocking thread per request. The async side waits, ends
//! the statements when the client goes away or their time is up, and sends what comes.
//!
//! Not here: parameters (`query/request.rs`), pieces of a chunked response (`query/chunks.rs`), the form
//! of results (`encode/results.rs`).

mod chunks;
mod request;
mod run;
mod running;

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{RawQuery, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use tokio::task::AbortHandle;
use tsdb_core::{CancelToken, MemoryBudget, Pool, Reservation};
use tsdb_ql::Statement;

use super::reply::{ApiError, empty_response, header, json_response, mark_refused};
use super::{body, guard, params::Params};
use crate::app::{App, blocking};
use crate::encode::{json, results};
use crate::status;
use request::QueryRequest;
use run::Run;
pub use running::Running;

/// Largest form of a query: 16 KiB of text (security checklist 2), percent-encoded, with room for the
/// other parameters.
const FORM_BYTES_MAX: usize = 128 << 10;

/// How a request came, which decides what it may change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Manner {
    /// By POST: anything.
    Post,
    /// By GET: anything, but changes come with a warning, as in InfluxDB.
    Get,
    /// By GET and from a web page: no changes.
    GetOfBrowser,
}

/// `GET|HEAD /query`.
pub async fn by_get(
    State(app): State<Arc<App>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let params = Params::of_query(query.as_deref().unwrap_or_default());
    let from_browser = guard::is_from_browser(&headers);
    let manner = if from_browser { Manner::GetOfBrowser } else { Manner::Get };
    answer(app, &params, manner).await
}

/// `POST /query`.
pub async fn by_post(
    State(app): State<Arc<App>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let mut params = Params::of_query(query.as_deref().unwrap_or_default());
    let received = body::receive(app.bodies(), &headers, body, FORM_BYTES_MAX).await?;
    if !received.bytes.is_empty() {
        check_form_type(&headers)?;
        params = params.after_form(&received.bytes);
    }
    answer(app, &params, Manner::Post).await
}

/// A body of another type would be taken for a form of nonsense and end in a confusing message.
fn check_form_type(headers: &HeaderMap) -> Result<(), ApiError> {
    let format = header(headers, CONTENT_TYPE).unwrap_or_default();
    let format = format.split(';').next().unwrap_or_default().trim();
    if format.is_empty() || format.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
        return Ok(());
    }
    Err(ApiError::new(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        format!("unsupported content type {format:?}: send application/x-www-form-urlencoded"),
    ))
}

async fn answer(app: Arc<App>, params: &Params, manner: Manner) -> Result<Response, ApiError> {
    let request = QueryRequest::new(params)?;
    let statements = tsdb_ql::parse_with(&request.text, &request.bindings)
        .map_err(|errors| ApiError::bad_request(errors.to_string()))?;
    if manner == Manner::GetOfBrowser && !statements.iter().all(Statement::is_read_only) {
        let message = "statements that change data are refused by GET from a web page: use POST";
        return Err(ApiError::new(StatusCode::FORBIDDEN, message));
    }
    let turn = app.query_turn().await?;
    let watch = Watch::new(app.config().query_timeout);
    let run = Run::new(app, request, statements, manner == Manner::Get, watch.token.clone());
    if run.request().run_async {
        tokio::spawn(async move {
            let _ = blocking(move || {
                let _held = (turn, watch);
                run.to_end();
            })
            .await;
        });
        return Ok(empty_response(StatusCode::NO_CONTENT));
    }
    match run.request().chunk_rows {
        Some(rows_max) => Ok(chunks::respond(run, rows_max, turn, watch)),
        None => {
            let response = blocking(move || {
                let _turn = turn;
                whole(&run)
            })
            .await?;
            drop(watch);
            response
        }
    }
}

/// Runs all statements and makes one document of their answers. Blocks.
fn whole(run: &Run) -> Result<Response, ApiError> {
    let mut document = Document::new(run.budget())?;
    let mut status = StatusCode::OK;
    let mut refusal = String::new();
    results::begin_document(&mut document.bytes);
    run.each(|answer, kind| {
        if answer.statement > 0 {
            document.bytes.push(b',');
        }
        let begin = document.bytes.len();
        results::push_answer(&mut document.bytes, answer, run.request().epoch);
        if let Err(error) = document.charge() {
            // The answer does not fit into the memory of queries: the error takes its place.
            document.bytes.truncate(begin);
            document.bytes.shrink_to_fit();
            let failed = run::failed(answer.statement, error.to_string());
            results::push_answer(&mut document.bytes, &failed, run.request().epoch);
        }
        if let (Some(kind), Err(error)) = (kind, &answer.outcome) {
            status = status::of_statement(kind);
            refusal.clone_from(error);
        }
        true
    });
    results::end_document(&mut document.bytes);
    if run.request().pretty {
        document.bytes = json::indent(&document.bytes);
    }
    let mut response = json_response(status, document.into_body());
    if status != StatusCode::OK {
        mark_refused(&mut response, &refusal);
    }
    Ok(response)
}

/// A response in the making, charged to the memory of queries until it is sent.
struct Document {
    bytes: Vec<u8>,
    held: Reservation,
}

impl Document {
    fn new(budget: &MemoryBudget) -> Result<Document, tsdb_core::Error> {
        Ok(Document { bytes: Vec::new(), held: budget.reserve(Pool::Queries, 0)? })
    }

    /// Takes as much of the budget as the bytes take of the memory.
    fn charge(&mut self) -> Result<(), tsdb_core::Error> {
        self.held.grow(self.bytes.capacity().saturating_sub(self.held.bytes()))
    }

    fn into_body(self) -> Body {
        Body::from(Bytes::from_owner(self))
    }
}

impl AsRef<[u8]> for Document {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// Ends the statements of a request when it is dropped, which happens when the client goes away, and
/// when their time is up.
struct Watch {
    token: CancelToken,
    alarm: AbortHandle,
}

impl Watch {
    fn new(time_max: Duration) -> Watch {
        let token = CancelToken::new();
        let late = token.clone();
        let alarm = tokio::spawn(async move {
            tokio::time::sleep(time_max).await;
            late.expire();
        });
        Watch { token, alarm: alarm.abort_handle() }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.alarm.abort();
        self.token.cancel();
    }
}
