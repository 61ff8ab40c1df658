//! What a client asks of `/query`: its parameters, checked and in types.
//!
//! Not here: running statements (`crate::query`).

use std::collections::BTreeMap;

use serde::Deserialize;
use tsdb_core::time;
use tsdb_ql::{Parameter, Parameters};

use crate::encode::results::Epoch;
use crate::http::params::Params;
use crate::http::reply::ApiError;
use crate::query::Query;

/// Rows in one piece of a chunked response, unless the client says otherwise. InfluxDB's number.
const CHUNK_ROWS_DEFAULT: usize = 10_000;

/// A request to `/query`.
#[derive(Debug, Clone, PartialEq)]
pub struct QueryRequest {
    /// What is asked.
    pub query: Query,
    /// How times are written.
    pub epoch: Epoch,
    /// Whether the response is laid out for people.
    pub pretty: bool,
    /// Rows per piece, if the response comes in pieces.
    pub chunk_rows: Option<usize>,
    /// Whether the client does not wait for the results.
    pub run_async: bool,
}

impl QueryRequest {
    /// Reads the parameters.
    ///
    /// # Errors
    /// 400 with the name of the parameter and what would be right.
    pub fn new(params: &Params) -> Result<QueryRequest, ApiError> {
        let text = params
            .get("q")
            .filter(|q| !q.trim().is_empty())
            .ok_or_else(|| ApiError::bad_request("missing required parameter \"q\""))?;
        let query = Query {
            text: text.to_owned(),
            database: params.filled("db").map(str::to_owned),
            policy: params.filled("rp").map(str::to_owned),
            bindings: params.filled("params").map_or_else(|| Ok(Parameters::new()), bindings)?,
        };
        Ok(QueryRequest {
            query,
            epoch: epoch(params.get("epoch").unwrap_or_default())?,
            pretty: params.flag("pretty"),
            chunk_rows: chunk_rows(params)?,
            run_async: params.flag("async"),
        })
    }
}

/// How times are written, by InfluxDB's names of units.
///
/// # Errors
/// 400 with the names that there are.
pub fn epoch(text: &str) -> Result<Epoch, ApiError> {
    Ok(match text {
        "" | "rfc3339" => Epoch::Rfc3339,
        "n" | "ns" => Epoch::Every(1),
        "u" | "us" | "µ" => Epoch::Every(time::MICROSECOND),
        "ms" => Epoch::Every(time::MILLISECOND),
        "s" => Epoch::Every(time::SECOND),
        "m" => Epoch::Every(time::MINUTE),
        "h" => Epoch::Every(time::HOUR),
        _ => {
            return Err(ApiError::bad_request(format!(
                "invalid epoch {text:?} (use n, u, ms, s, m or h)"
            )));
        }
    })
}

fn chunk_rows(params: &Params) -> Result<Option<usize>, ApiError> {
    if !params.flag("chunked") {
        return Ok(None);
    }
    match params.filled("chunk_size") {
        None => Ok(Some(CHUNK_ROWS_DEFAULT)),
        Some(text) => match text.parse::<usize>() {
            Ok(rows) if rows > 0 => Ok(Some(rows)),
            _ => Err(ApiError::bad_request(format!(
                "invalid chunk_size {text:?} (use a whole number of rows above 0)"
            ))),
        },
    }
}

/// A value of `params`, as InfluxDB reads them: plain, or an object that names its type.
#[derive(Deserialize)]
#[serde(untagged)]
enum Binding {
    Boolean(bool),
    Integer(i64),
    Number(f64),
    String(String),
    Typed(Typed),
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Typed {
    Duration(DurationBinding),
    Regex(String),
    Identifier(String),
    String(String),
    Integer(i64),
    Float(f64),
    Boolean(bool),
}

#[derive(Deserialize)]
#[serde(untagged)]
enum DurationBinding {
    Ns(i64),
    Text(String),
}

/// Values of `$name`, from a JSON object.
///
/// # Errors
/// 400 with what is wrong and an example.
pub fn bindings(text: &str) -> Result<Parameters, ApiError> {
    let wrong = |cause: &dyn std::fmt::Display| {
        ApiError::bad_request(format!(
            "error parsing query parameters: {cause}: write for instance params={{\"host\":\"a\",\"limit\":10}}"
        ))
    };
    let parsed: BTreeMap<String, Binding> = serde_json::from_str(text).map_err(|e| wrong(&e))?;
    parsed
        .into_iter()
        .map(|(name, binding)| {
            let value = match binding {
                Binding::Boolean(value) | Binding::Typed(Typed::Boolean(value)) => {
                    Parameter::Boolean(value)
                }
                Binding::Integer(value) | Binding::Typed(Typed::Integer(value)) => {
                    Parameter::Integer(value)
                }
                Binding::Number(value) | Binding::Typed(Typed::Float(value)) => {
                    Parameter::Number(value)
                }
                Binding::String(value) | Binding::Typed(Typed::String(value)) => {
                    Parameter::String(value)
                }
                Binding::Typed(Typed::Identifier(name)) => Parameter::Identifier(name),
                Binding::Typed(Typed::Regex(pattern)) => Parameter::Regex(pattern),
                Binding::Typed(Typed::Duration(DurationBinding::Ns(ns))) => Parameter::Duration(ns),
                Binding::Typed(Typed::Duration(DurationBinding::Text(text))) => {
                    Parameter::Duration(time::parse_duration(&text).map_err(|e| wrong(&e))?)
                }
            };
            // Clients write names with and without the dollar sign.
            Ok((name.trim_start_matches('$').to_owned(), value))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(query: &str) -> Result<QueryRequest, String> {
        QueryRequest::new(&Params::of_query(query)).map_err(|error| error.message().to_owned())
    }

    #[test]
    fn absent_parameters_mean_what_influxdb_means() {
        let request = request("q=SHOW+DATABASES&db=&rp=").unwrap();
        assert_eq!(request.query.text, "SHOW DATABASES");
        assert_eq!(request.query.database, None);
        assert_eq!(request.query.policy, None);
        assert_eq!(request.epoch, Epoch::Rfc3339);
        assert!(!request.pretty && !request.run_async);
        assert_eq!(request.chunk_rows, None);
        assert!(request.query.bindings.is_empty());
    }

    #[test]
    fn given_parameters_are_read() {
        let request =
            request("q=x&db=d&rp=r&epoch=ms&pretty=true&chunked=true&chunk_size=5&async=true");
        let request = request.unwrap();
        assert_eq!(request.query.database.as_deref(), Some("d"));
        assert_eq!(request.query.policy.as_deref(), Some("r"));
        assert_eq!(request.epoch, Epoch::Every(1_000_000));
        assert!(request.pretty && request.run_async);
        assert_eq!(request.chunk_rows, Some(5));
        assert_eq!(super::chunk_rows(&Params::of_query("chunked=true")).unwrap(), Some(10_000));
    }

    #[test]
    fn wrong_parameters_are_named() {
        for (query, part) in [
            ("", "missing required parameter \"q\""),
            ("q=", "missing required parameter \"q\""),
            ("q=+", "missing required parameter \"q\""),
            ("q=x&epoch=d", "invalid epoch"),
            ("q=x&chunked=true&chunk_size=0", "invalid chunk_size"),
            ("q=x&chunked=true&chunk_size=-1", "invalid chunk_size"),
            ("q=x&params=1", "error parsing query parameters"),
            ("q=x&params={\"a\":{\"duration\":\"5x\"}}", "error parsing query parameters"),
            ("q=x&params={\"a\":[1]}", "error parsing query parameters"),
        ] {
            assert!(request(query).unwrap_err().contains(part), "{query}");
        }
    }

    #[test]
    fn bindings_have_their_types() {
        let text = r#"{"a":1,"$b":1.5,"c":"x","d":true,"e":{"duration":"5m"},"f":{"identifier":"cpu"},"g":{"regex":"^a"},"h":{"duration":7}}"#;
        let bound = bindings(text).unwrap();
        for (name, value) in [
            ("a", Parameter::Integer(1)),
            ("b", Parameter::Number(1.5)),
            ("c", Parameter::String("x".into())),
            ("d", Parameter::Boolean(true)),
            ("e", Parameter::Duration(300_000_000_000)),
            ("f", Parameter::Identifier("cpu".into())),
            ("g", Parameter::Regex("^a".into())),
            ("h", Parameter::Duration(7)),
        ] {
            assert_eq!(bound.get(name), Some(&value), "{name}");
        }
    }
}
