//! `/api/v1/metadata`: what clients have said about the metrics of a database, in the form of Prometheus.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Map, Value, json};

use super::params::Params;
use super::remote_write::DATABASE;
use super::reply::{ApiError, json_response};
use crate::app::App;
use crate::auth::{Right, Who};

/// `GET …?db=NAME&rp=POLICY&metric=NAME&limit=N&limit_per_metric=N`. A database that does not exist yet has no
/// metrics. One thing is known of each metric at most.
pub async fn list(
    State(app): State<Arc<App>>,
    Extension(who): Extension<Who>,
    RawQuery(query): RawQuery,
) -> Result<Response, ApiError> {
    let params = Params::of_query(query.as_deref().unwrap_or_default());
    let limits = [limit(&params, "limit")?, limit(&params, "limit_per_metric")?];
    let database = params.filled("db").unwrap_or(DATABASE);
    who.demand(Right::Read, database)?;
    let catalogue = app.storage().catalogue();
    let known = match catalogue.namespace(database, params.filled("rp")) {
        Ok(namespace) => app.metadata().list(namespace.id, params.filled("metric")),
        Err(error) if params.filled("db").is_some() => {
            return Err(ApiError::new(StatusCode::NOT_FOUND, error.to_string()));
        }
        Err(_) => Vec::new(),
    };
    let [count_max, count_per_metric_max] = limits;
    let mut data = Map::new();
    for known in known.into_iter().take(count_max) {
        let entry = json!({"type": known.kind.name(), "help": known.help, "unit": known.unit});
        let entries: Vec<Value> = [entry].into_iter().take(count_per_metric_max).collect();
        data.insert(known.metric.into(), entries.into());
    }
    let document = json!({"status": "success", "data": data});
    Ok(json_response(StatusCode::OK, format!("{document}\n")))
}

/// A limit; Prometheus takes none, and negative ones, for no limit.
fn limit(params: &Params, name: &str) -> Result<usize, ApiError> {
    let Some(text) = params.filled(name) else { return Ok(usize::MAX) };
    let number: i64 = text.parse().map_err(|_| {
        let text: String = text.chars().take(64).collect();
        ApiError::bad_request(format!("invalid {name} {text:?}: give a whole number"))
    })?;
    Ok(usize::try_from(number).unwrap_or(usize::MAX))
}
