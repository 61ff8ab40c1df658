//! `/api/v1/admin/snapshot`: makes, lists and removes snapshots below the data directory.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::json;

use super::params::Params;
use super::reply::{ApiError, empty_response, json_response};
use crate::app::{App, blocking};

/// Longest name of a snapshot in bytes.
const NAME_BYTES_MAX: usize = 64;

/// What makes a directory a snapshot.
const MANIFEST: &str = "MANIFEST";

/// `POST …?name=NAME`: everything that was acknowledged, as of one sequence number.
pub async fn make(
    State(app): State<Arc<App>>,
    RawQuery(query): RawQuery,
) -> Result<Response, ApiError> {
    let (name, path) = named(&app, query.as_deref())?;
    let turn = app.admin_turn().await?;
    let (store, target) = (Arc::clone(&app), path.clone());
    let work = move || {
        let _turn = turn;
        if target.join(MANIFEST).exists() { None } else { Some(store.store().snapshot_to(&target)) }
    };
    let Some(made) = blocking(work).await? else {
        let message = format!("snapshot {name} exists: remove it first, or choose another name");
        return Err(ApiError::new(StatusCode::CONFLICT, message));
    };
    let made = made.map_err(|error| app.refuse(error))?;
    let body = json!({
        "name": name,
        "path": path.to_string_lossy(),
        "sequence": made.sequence,
        "files": made.files,
        "bytes": made.bytes,
    });
    Ok(json_response(StatusCode::OK, format!("{body}\n")))
}

/// `GET …`: names of the snapshots.
pub async fn list(State(app): State<Arc<App>>) -> Result<Response, ApiError> {
    let directory = directory(&app)?.to_owned();
    let names =
        blocking(move || names_in(&directory)).await?.map_err(|error| failed("list", &error))?;
    Ok(json_response(StatusCode::OK, format!("{}\n", json!({ "snapshots": names }))))
}

/// `DELETE …?name=NAME`.
pub async fn remove(
    State(app): State<Arc<App>>,
    RawQuery(query): RawQuery,
) -> Result<Response, ApiError> {
    let (name, path) = named(&app, query.as_deref())?;
    let turn = app.admin_turn().await?;
    let work = move || {
        let _turn = turn;
        remove_directory(&path)
    };
    match blocking(work).await? {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let message = format!("snapshot {name} not found: GET lists those that there are");
            Err(ApiError::new(StatusCode::NOT_FOUND, message))
        }
        removed => {
            removed.map_err(|error| failed("remove", &error))?;
            Ok(empty_response(StatusCode::NO_CONTENT))
        }
    }
}

fn failed(what: &str, error: &io::Error) -> ApiError {
    let message = format!("cannot {what} snapshots: {error}");
    ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, message)
}

fn directory(app: &App) -> Result<&Path, ApiError> {
    let missing = || ApiError::new(StatusCode::NOT_IMPLEMENTED, "this store makes no snapshots");
    app.store().snapshot_directory().ok_or_else(missing)
}

/// The parameter `name`, and the directory of that snapshot.
fn named(app: &App, query: Option<&str>) -> Result<(String, PathBuf), ApiError> {
    let params = Params::of_query(query.unwrap_or_default());
    let name = params.filled("name").unwrap_or_default();
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    if name.is_empty() || name.len() > NAME_BYTES_MAX || !name.bytes().all(allowed) {
        let what = "parameter name: give the snapshot a name of 1 to 64 letters, digits, - and _";
        return Err(ApiError::bad_request(what));
    }
    Ok((name.to_owned(), directory(app)?.join(name)))
}

fn names_in(directory: &Path) -> io::Result<Vec<String>> {
    let entries = match std::fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry?;
        if entry.path().join(MANIFEST).exists() {
            names.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    names.sort_unstable();
    Ok(names)
}

/// The manifest goes first: what is left of a removal that a crash ends is no snapshot.
fn remove_directory(path: &Path) -> io::Result<()> {
    std::fs::remove_file(path.join(MANIFEST))?;
    std::fs::remove_dir_all(path)
}
