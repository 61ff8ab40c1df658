//! `/api/v1/status/tsdb`: what the series of a database are made of, in the form of Prometheus.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Value, json};
use tsdb_core::storage::{Cardinality, CardinalityRequest, Ranked};
use tsdb_exec::QueryMemory;

use super::params::Params;
use super::reply::{ApiError, json_response};
use crate::app::{App, blocking};
use crate::auth::{Right, Who};
use crate::query::{Canceller, Watch};

/// Entries of each list, as in Prometheus.
const LIMIT: usize = 10;
const LIMIT_MAX: usize = 10_000;

/// `GET …?db=NAME&rp=POLICY&limit=N`. It takes the turn of a query, and has its time and memory.
pub async fn report(
    State(app): State<Arc<App>>,
    Extension(who): Extension<Who>,
    RawQuery(query): RawQuery,
) -> Result<Response, ApiError> {
    let params = Params::of_query(query.as_deref().unwrap_or_default());
    let database = params
        .filled("db")
        .ok_or_else(|| ApiError::bad_request("database is required: give db"))?;
    let top = limit(params.filled("limit"))?;
    who.demand(Right::Read, database)?;
    let catalogue = app.storage().catalogue();
    let namespace = catalogue
        .namespace(database, params.filled("rp"))
        .map_err(|error| ApiError::new(StatusCode::NOT_FOUND, error.to_string()))?
        .id;
    let turn = app.query_turn().await?;
    let canceller = Canceller::default();
    let memory = QueryMemory::new(app.budget(), app.config().query_memory_max);
    let request = CardinalityRequest {
        namespace,
        top,
        budget: memory.budget().clone(),
        cancel: canceller.token().clone(),
    };
    // Ends the count when the time is up, or the client goes away.
    let watch = Watch::new(canceller, app.config().query_timeout);
    let storage = Arc::clone(app.storage());
    let work = move || {
        let _turn = turn;
        storage.snapshot()?.cardinality(&request)
    };
    let counted = blocking(work).await?;
    drop(watch);
    let report = counted.map_err(|error| app.refuse(error))?;
    Ok(json_response(StatusCode::OK, format!("{}\n", document(&report))))
}

fn limit(text: Option<&str>) -> Result<usize, ApiError> {
    let Some(text) = text else { return Ok(LIMIT) };
    let limit = text.parse().ok().filter(|limit| (1..=LIMIT_MAX).contains(limit));
    limit.ok_or_else(|| {
        let message = format!("invalid limit {text:?}: give a number from 1 to {LIMIT_MAX}");
        ApiError::bad_request(message)
    })
}

fn document(report: &Cardinality) -> Value {
    // Without rows Prometheus says this, too.
    let (min, max) = report.time.map_or((i64::MAX, i64::MIN), |(min, max)| {
        (min.div_euclid(1_000_000), max.div_euclid(1_000_000))
    });
    json!({
        "status": "success",
        "data": {
            "headStats": {
                "numSeries": report.series,
                "numLabelPairs": report.pairs,
                "chunkCount": report.sources,
                "minTime": min,
                "maxTime": max,
            },
            "seriesCountByMetricName": list(&report.measurements),
            "labelValueCountByLabelName": list(&report.values),
            "memoryInBytesByLabelName": list(&report.value_bytes),
            "seriesCountByLabelValuePair": list(&report.series_by_pair),
            "seriesCountByLabelValuePairErrorMax": report.uncounted_max,
            "estimated": report.estimated,
        },
    })
}

fn list(entries: &[Ranked]) -> Value {
    entries.iter().map(|entry| json!({ "name": entry.name, "value": entry.count })).collect()
}
