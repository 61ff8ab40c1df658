//! `/write`: line protocol in, an acknowledgement out once the rows are visible (and, in durability
//! `sync`, on disk).
//!
//! Unpacking and parsing happen on a blocking thread, at most as many at once as there are cores, except for
//! bodies so small that the way to another thread would take longer than they do; the wait for the disk holds
//! no thread at all. Not here: parsing and storing, see [`tsdb_ingest`]; other
//! formats, see `formats.rs`, and the write paths of InfluxDB 2 and 3, see `write_v2.rs` and `write_v3.rs`, which
//! go the same way.

use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, HeaderName, StatusCode};
use axum::response::{IntoResponse, Response};
use tokio::sync::oneshot;
use tsdb_core::budget::Pressure;
use tsdb_core::{Error, Pool, Ticket};
use tsdb_ingest::{LineProtocol, ParseOptions, Precision, WriteReport, WriteRequest};

use super::body::{self, Encoding, Received};
use super::params::Params;
use super::reply::{ApiError, TOO_LARGE, empty_response, header_text};
use crate::app::{App, blocking};
use crate::auth::{Right, Who};

/// Names the text fields of accepted lines, which are not stored.
const X_TSDB_IGNORED_FIELDS: HeaderName = HeaderName::from_static("x-tsdb-ignored-fields");

/// Most bytes of names in that header.
const IGNORED_FIELDS_BYTES_MAX: usize = 1024;

/// Most bytes of a body, sent as they are, that a thread of the runtime parses and appends itself: some
/// microseconds, where handing them to another thread takes ten and more.
const SMALL_BODY_BYTES_MAX: usize = 4096;

/// Where and how to write, as the URL says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    pub(super) database: String,
    pub(super) policy: Option<String>,
    pub(super) precision: Precision,
}

impl Target {
    /// # Errors
    /// 400 with InfluxDB's words.
    pub(super) fn new(params: &Params) -> Result<Target, ApiError> {
        let database =
            params.filled("db").ok_or_else(|| ApiError::bad_request("database is required"))?;
        Target::in_database(database, params)
    }

    /// As [`Target::new`], for clients that need not name a database.
    pub(crate) fn in_database(database: &str, params: &Params) -> Result<Target, ApiError> {
        let precision = params.get("precision").unwrap_or_default();
        let precision = precision
            .parse()
            .map_err(|error: tsdb_ingest::Error| ApiError::bad_request(error.to_string()))?;
        check_consistency(params.get("consistency").unwrap_or_default())?;
        Ok(Target {
            database: database.to_owned(),
            policy: params.filled("rp").map(str::to_owned),
            precision,
        })
    }
}

/// One process has nobody to be consistent with, but a typing error should not pass for a promise.
fn check_consistency(text: &str) -> Result<(), ApiError> {
    match text {
        "" | "any" | "one" | "quorum" | "all" => Ok(()),
        _ => Err(ApiError::bad_request(format!(
            "invalid consistency {text:?} (use any, one, quorum or all)"
        ))),
    }
}

/// A target that the sender may write to.
pub(crate) struct Permitted {
    target: Target,
    who: Who,
}

impl Target {
    /// That somebody may write there.
    ///
    /// # Errors
    /// 401 or 403.
    pub(crate) fn permitted(self, who: &Who) -> Result<Permitted, ApiError> {
        who.demand(Right::Write, &self.database)?;
        Ok(Permitted { target: self, who: who.clone() })
    }
}

impl Permitted {
    /// The target, and who may write to it: whoever does so for long asks again.
    pub(super) fn into_parts(self) -> (Target, Who) {
        (self.target, self.who)
    }
}

/// `POST /write`.
pub async fn write(
    State(app): State<Arc<App>>,
    Extension(who): Extension<Who>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let target =
        Target::new(&Params::of_query(query.as_deref().unwrap_or_default()))?.permitted(&who)?;
    let read = |app: &App, request: &WriteRequest<'_>| {
        app.pipeline().write(&LineProtocol::default(), request)
    };
    let source = Source { headers: &headers, body, encoding: body::encoding(&headers)? };
    let report = take_in(&app, source, target, Params::default(), read)
        .await
        .map_err(ApiError::in_bare_words)?;
    Ok(report.map_or_else(|| empty_response(StatusCode::OK), |report| respond(&report)))
}

/// A body that is still to be received.
pub(super) struct Source<'a> {
    pub(super) headers: &'a HeaderMap,
    pub(super) body: Body,
    pub(super) encoding: Encoding,
}

/// Receives a body and stores what `read` finds in it. Returns when that is visible; `None` for an empty
/// body. `parameters` are for the format.
///
/// # Errors
/// The refusal of a request that was stored in no part.
pub(super) async fn take_in(
    app: &Arc<App>,
    source: Source<'_>,
    target: Permitted,
    parameters: Params,
    read: impl Fn(&App, &WriteRequest<'_>) -> tsdb_ingest::Result<WriteReport> + Send + 'static,
) -> Result<Option<WriteReport>, ApiError> {
    let Some(mut report) = hand_in(app, source, target, parameters, read).await? else {
        return Ok(None);
    };
    if let Some(ticket) = report.ticket.take() {
        visible(ticket).await.map_err(|error| app.refuse(error))?;
    }
    Ok(Some(report))
}

/// As [`take_in`], but returns as soon as the rows have their place in the log, with the ticket in the report.
///
/// # Errors
/// As [`take_in`].
pub(super) async fn hand_in(
    app: &Arc<App>,
    source: Source<'_>,
    target: Permitted,
    parameters: Params,
    read: impl Fn(&App, &WriteRequest<'_>) -> tsdb_ingest::Result<WriteReport> + Send + 'static,
) -> Result<Option<WriteReport>, ApiError> {
    let Source { headers, body, encoding } = source;
    let received = body::receive(app.bodies(), headers, body, app.config().body_bytes_max).await?;
    if received.bytes.is_empty() {
        return Ok(None);
    }
    hand_over(app, received, encoding, target, parameters, read).await.map(Some)
}

/// As [`take_in`], of a body that was received.
///
/// # Errors
/// The refusal of a request that was stored in no part.
pub(crate) async fn take_received(
    app: &Arc<App>,
    received: Received,
    encoding: Encoding,
    target: Permitted,
    parameters: Params,
    read: impl Fn(&App, &WriteRequest<'_>) -> tsdb_ingest::Result<WriteReport> + Send + 'static,
) -> Result<WriteReport, ApiError> {
    let mut report = hand_over(app, received, encoding, target, parameters, read).await?;
    if let Some(ticket) = report.ticket.take() {
        visible(ticket).await.map_err(|error| app.refuse(error))?;
    }
    Ok(report)
}

/// As [`hand_in`], of a body that was received.
async fn hand_over(
    app: &Arc<App>,
    received: Received,
    encoding: Encoding,
    target: Permitted,
    parameters: Params,
    read: impl Fn(&App, &WriteRequest<'_>) -> tsdb_ingest::Result<WriteReport> + Send + 'static,
) -> Result<WriteReport, ApiError> {
    let body_bytes = received.bytes.len() as u64;
    let (target, _) = target.into_parts();
    let database = target.database.clone();
    let work = Work { target, received, encoding, parameters };
    let report = store(app, work, read).await?;
    app.written(&database, body_bytes, &report);
    Ok(report)
}

/// A request that was received.
struct Work {
    target: Target,
    received: Received,
    encoding: Encoding,
    parameters: Params,
}

impl Work {
    /// Whether it is done within microseconds.
    fn is_small(&self) -> bool {
        self.encoding == Encoding::Identity && self.received.bytes.len() <= SMALL_BODY_BYTES_MAX
    }

    /// Unpacks, parses and appends.
    fn run(
        self,
        app: &App,
        read: impl Fn(&App, &WriteRequest<'_>) -> tsdb_ingest::Result<WriteReport>,
    ) -> Result<WriteReport, ApiError> {
        let Work { target, received, encoding, parameters } = self;
        let unpacked = received.unpack(encoding)?;
        let parameters: Vec<(&str, &str)> = parameters.pairs().collect();
        let request = WriteRequest {
            database: &target.database,
            policy: target.policy.as_deref(),
            body: &unpacked.bytes,
            options: ParseOptions {
                precision: target.precision,
                now_ns: app.env().clock.wall_ns(),
                parameters: &parameters,
            },
        };
        read(app, &request).map_err(|error| refuse(app, error))
    }
}

/// Does all of the work on one thread: on this one if it is small, cannot have to wait for memory, and another one
/// is left to the connections, else on a blocking one.
async fn store(
    app: &Arc<App>,
    work: Work,
    read: impl Fn(&App, &WriteRequest<'_>) -> tsdb_ingest::Result<WriteReport> + Send + 'static,
) -> Result<WriteReport, ApiError> {
    let turn = app.write_turn(&work.target.database).await?;
    if work.is_small()
        && app.budget().pressure(Pool::Memtable) == Pressure::Normal
        && let Some(_quick) = app.quick_turn()
    {
        return work.run(app, read);
    }
    let app = Arc::clone(app);
    blocking(move || {
        let _turn = turn;
        work.run(&app, read)
    })
    .await?
}

/// The refusal for a request that was stored in no part.
pub(super) fn refuse(app: &App, error: tsdb_ingest::Error) -> ApiError {
    match error {
        // Nobody else holds memory for bodies, so the same request would never find enough.
        tsdb_ingest::Error::Store(Error::OverBudget { pool: Pool::Bodies, .. })
            if app.bodies().holds_one() =>
        {
            let message = format!(
                "{TOO_LARGE}: its rows take more memory than one request may have; send smaller \
                 batches, or raise --memory-limit"
            );
            ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, message)
        }
        tsdb_ingest::Error::Store(error) => app.refuse(error),
        other @ (tsdb_ingest::Error::UnsupportedMediaType { .. }
        | tsdb_ingest::Error::UnrecognizedInput { .. }) => {
            ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, other.to_string())
        }
        other => ApiError::bad_request(other.to_string()),
    }
}

/// Waits for the rows of a batch without holding a thread.
///
/// # Errors
/// What keeps them from becoming visible.
pub async fn visible(ticket: Ticket) -> Result<(), Error> {
    let (sender, receiver) = oneshot::channel();
    // The receiver is gone when the client went away; nobody wants to know then.
    ticket.on_done(move |outcome| drop(sender.send(outcome)));
    receiver.await.unwrap_or(Err(Error::Closed)).map(|_| ())
}

fn respond(report: &WriteReport) -> Response {
    let mut response = match report.error_text() {
        None => empty_response(StatusCode::NO_CONTENT),
        Some(text) => ApiError::bad_request(text).into_response(),
    };
    announce_ignored(&mut response, report);
    response
}

/// Names the fields that were left out.
pub(super) fn announce_ignored(response: &mut Response, report: &WriteReport) {
    if !report.ignored_fields.is_empty() {
        let names: Vec<&str> = report.ignored_fields.iter().map(|name| &**name).collect();
        let names = header_text(&names.join(","), IGNORED_FIELDS_BYTES_MAX);
        response.headers_mut().insert(X_TSDB_IGNORED_FIELDS, names);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(query: &str) -> Result<Target, String> {
        Target::new(&Params::of_query(query)).map_err(|error| error.message().to_owned())
    }

    #[test]
    fn parameters_of_writes() {
        let expected = Target {
            database: "d".into(),
            policy: Some("r".into()),
            precision: Precision::Milliseconds,
        };
        assert_eq!(target("db=d&rp=r&precision=ms&consistency=all&u=x&p=y"), Ok(expected));
        assert_eq!(target("db=d&rp=").unwrap().policy, None);
        for (query, part) in [
            ("", "database is required"),
            ("db=", "database is required"),
            ("db=d&precision=x", "invalid precision \"x\" (use n, u, ms, s, m or h)"),
            ("db=d&consistency=most", "invalid consistency"),
        ] {
            assert!(target(query).unwrap_err().contains(part), "{query}");
        }
    }

    /// Whether the thread that took a body in also parses it.
    async fn is_parsed_here(app: &Arc<App>, lines: usize) -> bool {
        let (sender, receiver) = std::sync::mpsc::channel();
        let read = move |app: &App, request: &WriteRequest<'_>| {
            sender.send(std::thread::current().id()).unwrap();
            app.pipeline().write(&LineProtocol::default(), request)
        };
        let body = Body::from("m v=1 1\n".repeat(lines));
        let source = Source { headers: &HeaderMap::new(), body, encoding: Encoding::Identity };
        let target = Target::in_database("d", &Params::default()).unwrap();
        let target = target.permitted(&Who::Everyone).unwrap();
        let report = take_in(app, source, target, Params::default(), read).await.unwrap().unwrap();
        assert_eq!(report.rows, lines as u64);
        receiver.recv().unwrap() == std::thread::current().id()
    }

    #[tokio::test]
    async fn small_bodies_are_parsed_by_the_thread_that_takes_them_if_it_cannot_be_held_up() {
        let budget = tsdb_core::MemoryBudget::default();
        let config = crate::config::Config::from_settings(Default::default()).unwrap();
        let store = crate::wiring::Store::new(Arc::new(tsdb_core::MemoryStore::new()));
        let exposition = crate::exposition::Exposition::new().unwrap();
        let env = tsdb_core::env::Env::real();
        let app = App::new(config, env, store, budget.clone(), exposition);
        assert!(is_parsed_here(&app, 1).await);
        assert!(!is_parsed_here(&app, SMALL_BODY_BYTES_MAX).await);
        let turns: Vec<_> = std::iter::from_fn(|| app.quick_turn()).collect();
        assert!(!is_parsed_here(&app, 1).await);
        drop(turns);
        assert!(is_parsed_here(&app, 1).await);
        // Where the memtable is short of room, writers are made to wait.
        let room = budget.limit(Pool::Memtable) / 100 * 95;
        let held = budget.reserve(Pool::Memtable, room).unwrap();
        assert!(!is_parsed_here(&app, 1).await);
        drop(held);
    }

    #[test]
    fn fields_that_are_left_out_are_announced() {
        let mut report = WriteReport::default();
        let names = |report: &WriteReport| {
            let response = respond(report);
            assert_eq!(response.status(), 204);
            response.headers().get(&X_TSDB_IGNORED_FIELDS).map(|v| v.to_str().unwrap().to_owned())
        };
        assert_eq!(names(&report), None);
        report.ignored_fields.insert("message".into());
        report.ignored_fields.insert("a\nb".into());
        assert_eq!(names(&report).as_deref(), Some("a?b,message"));
    }
}
