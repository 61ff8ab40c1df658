//! InfluxDB's `/query`: statements in, tables out.
//!
//! Running and encoding happen on one blocking thread per request, except for what is so quick that the way
//! there would take longer. The async side waits, ends the statements when the client goes away, their time is up
//! or somebody kills them, and sends what comes.
//!
//! Not here: parameters (`query/request.rs`), responses of one document (`http/answer.rs`) and of many
//! (`query/chunks.rs`), the form of results (`encode/results.rs`), and statements (`crate::query`).

mod chunks;
pub mod request;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::http::header::{ACCEPT, CONTENT_TYPE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use tsdb_ql::Statement;

use super::answer::{self, Manner};
use super::reply::{ApiError, empty_response, header};
use super::{body, guard, params::Params};
use crate::app::{App, blocking};
use crate::auth::Who;
use crate::encode::document;
use crate::encode::results::Epoch;
use crate::query::Run;
use crate::status;
use request::QueryRequest;

/// Largest form of a query: 16 KiB of text (security checklist 2), percent-encoded, with room for the
/// other parameters.
pub const FORM_BYTES_MAX: usize = 128 << 10;

/// How a request came, which decides what it may change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
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
    Extension(who): Extension<Who>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let params = Params::of_query(query.as_deref().unwrap_or_default());
    let from_browser = guard::is_from_browser(&headers);
    let way = if from_browser { Way::GetOfBrowser } else { Way::Get };
    run(app, who, &params, way, Wanted::of(&headers)).await
}

/// `POST /query`.
pub async fn by_post(
    State(app): State<Arc<App>>,
    Extension(who): Extension<Who>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let mut params = Params::of_query(query.as_deref().unwrap_or_default());
    let received = body::receive(app.bodies(), &headers, body, FORM_BYTES_MAX).await?;
    if !received.bytes.is_empty() {
        params = match boundary(&headers)? {
            Some(boundary) => multipart(&received.bytes, boundary, params).await?,
            None => params.after_form(&received.bytes),
        };
    }
    run(app, who, &params, Way::Post, Wanted::of(&headers)).await
}

/// What stands between the parts of a form of several, or nothing for one that is percent-encoded. A body of another
/// type would be taken for a form of nonsense and end in a confusing message.
///
/// # Errors
/// 415 for another type, 400 for parts with nothing between them.
fn boundary(headers: &HeaderMap) -> Result<Option<String>, ApiError> {
    let whole = header(headers, CONTENT_TYPE).unwrap_or_default();
    let format = whole.split(';').next().unwrap_or_default().trim();
    if format.is_empty() || format.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
        return Ok(None);
    }
    if format.eq_ignore_ascii_case("multipart/form-data") {
        let found = multer::parse_boundary(whole);
        return found.map(Some).map_err(|cause| {
            ApiError::bad_request(format!("content type {whole:?}: {cause}: name the boundary"))
        });
    }
    Err(ApiError::new(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        format!(
            "unsupported content type {format:?}: send application/x-www-form-urlencoded or multipart/form-data"
        ),
    ))
}

/// The parameters of a form of several parts (RFC 7578), of which files are some, and `params` behind them.
///
/// # Errors
/// 400 for what is no such form.
async fn multipart(body: &[u8], boundary: String, params: Params) -> Result<Params, ApiError> {
    let bad = |cause: multer::Error| ApiError::bad_request(format!("multipart form: {cause}"));
    let mut parts = multer::Multipart::with_reader(body, boundary);
    let mut form = Params::default();
    while let Some(part) = parts.next_field().await.map_err(bad)? {
        let name = part.name().unwrap_or_default().to_owned();
        form.push(&name, part.text().await.map_err(bad)?.trim_end());
    }
    Ok(form.before(params))
}

/// Whether the request may change something. One that came of opening a link says `read_only=true`, since
/// whoever made the link is not the one who opens it.
///
/// # Errors
/// 403 with the reason.
fn may_change(way: Way, params: &Params) -> Result<(), ApiError> {
    let message = if params.flag("read_only") {
        "statements that change something are refused with read_only=true"
    } else if way == Way::GetOfBrowser {
        "statements that change something are refused by GET from a web page: use POST"
    } else {
        return Ok(());
    };
    Err(ApiError::new(StatusCode::FORBIDDEN, message))
}

async fn run(
    app: Arc<App>,
    who: Who,
    params: &Params,
    way: Way,
    wanted: Wanted,
) -> Result<Response, ApiError> {
    let who = app.auth().settle(who, params).await?;
    let request = QueryRequest::new(params)?;
    let statements =
        request.query.parse().map_err(|errors| ApiError::bad_request(errors.to_string()))?;
    if !statements.iter().all(Statement::is_read_only) {
        may_change(way, params)?;
    }
    let time_max = app.config().query_timeout;
    let (run, watch) = Run::begin(app, who, request.query, statements, time_max).await?;
    let run = if way == Way::Get { run.with_warnings() } else { run };
    if request.run_async {
        tokio::spawn(async move {
            let _ = blocking(move || {
                let _held = watch;
                run.to_end();
            })
            .await;
        });
        return Ok(empty_response(StatusCode::NO_CONTENT));
    }
    let form = Form { epoch: request.epoch, pretty: request.pretty };
    match request.chunk_rows {
        Some(rows_max) if wanted == Wanted::Json => Ok(chunks::respond(run, form, rows_max, watch)),
        // The other forms have no chunks; a long table is sent while it is made all the same.
        _ => answer::respond(run, wanted.manner(form), watch).await,
    }
}

/// The form of the answer that a client asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wanted {
    Json,
    Csv,
    MessagePack,
}

impl Wanted {
    /// The first that `Accept` names of those that there are, as InfluxDB has it; JSON if it names none.
    fn of(headers: &HeaderMap) -> Wanted {
        let ranges = header(headers, ACCEPT).unwrap_or_default().split(',');
        let mut known = ranges.filter_map(|range| {
            let media = range.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
            match media.as_str() {
                "application/json" | "application/*" | "*/*" => Some(Wanted::Json),
                "application/csv" | "text/csv" => Some(Wanted::Csv),
                "application/x-msgpack" => Some(Wanted::MessagePack),
                _ => None,
            }
        });
        known.next().unwrap_or(Wanted::Json)
    }

    fn manner(self, Form { epoch, pretty }: Form) -> Manner {
        let unit_ns = match epoch {
            Epoch::Every(unit_ns) => unit_ns,
            Epoch::Rfc3339 => 1,
        };
        let (form, content_type) = match self {
            Wanted::Json => (document::Form::Json(epoch), "application/json"),
            Wanted::Csv => (document::Form::Csv(unit_ns), "text/csv"),
            Wanted::MessagePack => (document::Form::MessagePack(epoch), "application/x-msgpack"),
        };
        let pretty = pretty && self == Wanted::Json;
        Manner { form, pretty, content_type, status: status::of_statement }
    }
}

/// How answers are written.
#[derive(Debug, Clone, Copy)]
struct Form {
    epoch: Epoch,
    pretty: bool,
}
