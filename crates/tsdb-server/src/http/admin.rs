//! `/api/v1/admin/…`: what an operator asks of the storage. Each call answers when the work is done.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;

use super::reply::{ApiError, empty_response};
use crate::app::{App, blocking};

/// `POST /api/v1/admin/flush`: moves all acknowledged rows out of the write-ahead log.
pub async fn flush(State(app): State<Arc<App>>) -> Result<Response, ApiError> {
    let turn = app.admin_turn().await?;
    let storage = Arc::clone(app.storage());
    let work = move || {
        let _turn = turn;
        storage.flush()
    };
    blocking(work).await?.map_err(|error| app.refuse(error))?;
    Ok(empty_response(StatusCode::NO_CONTENT))
}

/// `POST /api/v1/admin/compact`: merges each partition into one run.
pub async fn compact(State(app): State<Arc<App>>) -> Result<Response, ApiError> {
    let turn = app.admin_turn().await?;
    let storage = Arc::clone(app.storage());
    let work = move || {
        let _turn = turn;
        storage.compact()
    };
    blocking(work).await?.map_err(|error| app.refuse(error))?;
    Ok(empty_response(StatusCode::NO_CONTENT))
}
