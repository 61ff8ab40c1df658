//! Names to places: which namespaces and measurements a statement speaks of.

use std::sync::Arc;

use tsdb_core::matcher::Pattern;
use tsdb_core::storage::{SeriesRequest, Snapshot};
use tsdb_core::{CancelToken, Catalogue, NamespaceId, SeriesKey};
use tsdb_ql::{Measurement, MeasurementName, Source};

use crate::context::QueryContext;
use crate::{Error, Result};

/// One measurement of one namespace.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    // First, so that places sort by it: answers come in order of names.
    pub(crate) measurement: Arc<str>,
    pub(crate) namespace: NamespaceId,
}

/// What a statement sees: one catalogue and one snapshot.
pub(crate) struct View<'v> {
    pub(crate) catalogue: &'v Catalogue,
    pub(crate) snapshot: &'v dyn Snapshot,
    pub(crate) context: &'v QueryContext<'v>,
}

impl<'v> View<'v> {
    /// The database that is meant: the one that is named, else that of the request.
    ///
    /// # Errors
    /// [`Error::DatabaseRequired`].
    pub(crate) fn database(&self, named: Option<&'v str>) -> Result<&'v str> {
        let given = |name: &&str| !name.is_empty();
        named.filter(given).or(self.context.database.filter(given)).ok_or(Error::DatabaseRequired)
    }

    /// The namespace of a source of a SELECT.
    ///
    /// # Errors
    /// A database or policy that does not exist, no database at all.
    fn namespace(&self, source: &'v Measurement) -> Result<NamespaceId> {
        let database = self.database(source.database.as_deref())?;
        let of_request = if source.database.is_none() { self.context.policy } else { None };
        let policy = source.policy.as_deref().or(of_request).filter(|name| !name.is_empty());
        Ok(self.catalogue.namespace(database, policy)?.id)
    }

    /// All namespaces of a database, or the one of `policy`.
    ///
    /// # Errors
    /// A database or policy that does not exist.
    pub(crate) fn namespaces(
        &self,
        database: &str,
        policy: Option<&str>,
    ) -> Result<Vec<NamespaceId>> {
        match policy {
            Some(policy) => Ok(vec![self.catalogue.namespace(database, Some(policy))?.id]),
            None => {
                Ok(self.catalogue.database(database)?.policies.values().map(|p| p.id).collect())
            }
        }
    }

    /// The places that the sources of a SELECT name, sorted, each once. Exact names are not looked up.
    ///
    /// # Errors
    /// As [`View::namespace`]; a subquery.
    pub(crate) fn places(&self, sources: &'v [Source]) -> Result<Vec<Place>> {
        let mut places = Vec::new();
        for source in sources {
            let Source::Measurement(source) = source else {
                return Err(Error::Unsupported {
                    what: "a subquery",
                    remedy: "run the inner query first, or write it as one SELECT",
                });
            };
            let namespace = self.namespace(source)?;
            let names = self.measurements(namespace, &source.name)?;
            places.extend(names.into_iter().map(|measurement| Place { measurement, namespace }));
        }
        places.sort();
        places.dedup();
        Ok(places)
    }

    /// The measurements of `namespace` that are meant by `name`.
    pub(crate) fn measurements(
        &self,
        namespace: NamespaceId,
        name: &MeasurementName,
    ) -> Result<Vec<Arc<str>>> {
        match name {
            MeasurementName::Name(name) => Ok(vec![name.as_str().into()]),
            MeasurementName::Regex(pattern) => {
                let pattern = Pattern::new(pattern)?;
                let request = SeriesRequest {
                    cancel: self.context.cancel.clone(),
                    ..SeriesRequest::all(namespace)
                };
                let series = self.snapshot.series(&request)?;
                let mut names = measurement_names(&series);
                names.retain(|name| pattern.is_match(name));
                Ok(names)
            }
        }
    }

    /// Keys of all tags that series of a place have, sorted. O(series of the measurement).
    pub(crate) fn tag_keys(&self, place: &Place) -> Result<Vec<Arc<str>>> {
        let request = SeriesRequest {
            measurements: Some(vec![Arc::clone(&place.measurement)]),
            cancel: CancelToken::clone(&self.context.cancel),
            ..SeriesRequest::all(place.namespace)
        };
        Ok(tag_keys(&self.snapshot.series(&request)?))
    }
}

/// The distinct measurements of `series`, which are in key order.
pub(crate) fn measurement_names(series: &[SeriesKey]) -> Vec<Arc<str>> {
    let mut names: Vec<Arc<str>> = Vec::new();
    for key in series {
        if names.last().is_none_or(|last| **last != *key.measurement()) {
            names.push(key.measurement().into());
        }
    }
    names
}

/// The distinct tag keys of `series`, sorted.
pub(crate) fn tag_keys(series: &[SeriesKey]) -> Vec<Arc<str>> {
    let mut keys: Vec<Arc<str>> = Vec::new();
    for (tag, _) in series.iter().flat_map(SeriesKey::tags) {
        if let Err(place) = keys.binary_search_by(|key| (**key).cmp(tag)) {
            keys.insert(place, tag.into());
        }
    }
    keys
}
