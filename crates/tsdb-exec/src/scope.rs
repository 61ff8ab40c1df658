//! Names to places: which namespaces and measurements a statement speaks of.

use std::sync::Arc;

use tsdb_core::catalogue::NamespaceInfo;
use tsdb_core::matcher::Pattern;
use tsdb_core::storage::{SeriesRequest, Snapshot};
use tsdb_core::{Catalogue, NamespaceId, SeriesKey};
use tsdb_ql::{Dimension, MeasurementName, Source};

use crate::context::QueryContext;
use crate::letgo::Long;
use crate::memory::Charge;
use crate::pace::Pace;
use crate::{Error, Result};

/// Bytes that a name in a list takes beside its text: its pointer, its counters, its place.
pub(crate) const NAME_BYTES: usize = 48;

/// Memory of a series key in a list beside its text, at most.
const KEY_BYTES: usize = size_of::<SeriesKey>() + 2 * size_of::<usize>();

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

    /// The namespace of a source or the target of a SELECT, by what stands before its name.
    ///
    /// # Errors
    /// A database or policy that does not exist, no database at all.
    pub(crate) fn namespace(
        &self,
        database: Option<&'v str>,
        policy: Option<&str>,
    ) -> Result<&'v NamespaceInfo> {
        let of_request = if database.is_none() { self.context.policy } else { None };
        let policy = policy.or(of_request).filter(|name| !name.is_empty());
        Ok(self.catalogue.namespace(self.database(database)?, policy)?)
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

    /// The places that the sources of a SELECT name, sorted, each once. Exact names are not looked up, and subqueries
    /// have none.
    ///
    /// # Errors
    /// As [`View::namespace`].
    pub(crate) fn places(&self, sources: &'v [Source]) -> Result<Vec<Place>> {
        let mut places = Vec::new();
        for source in sources {
            let Source::Measurement(source) = source else { continue };
            let namespace =
                self.namespace(source.database.as_deref(), source.policy.as_deref())?.id;
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
                let (series, mut held) = self.series(&self.series_request(namespace, None))?;
                let mut names = self.measurement_names(&series, &mut held)?;
                names.retain(|name| pattern.is_match(name));
                Ok(names)
            }
        }
    }

    /// Keys of all tags that series of a place have, sorted. O(series of the measurement).
    pub(crate) fn tag_keys(&self, place: &Place) -> Result<Vec<Arc<str>>> {
        let request = self.series_request(place.namespace, Some(&place.measurement));
        let (series, mut held) = self.series(&request)?;
        self.tag_keys_of(&series, &mut held)
    }

    /// The series that `request` finds, in key order, and what pays for them.
    ///
    /// # Errors
    /// What storage says, a list that does not fit into the memory of queries.
    pub(crate) fn series(&self, request: &SeriesRequest) -> Result<(Long<SeriesKey>, Charge)> {
        let series = Long::from(self.snapshot.series(request)?);
        let mut charge = self.context.memory.charge();
        let mut pace = self.pace();
        for key in series.iter() {
            pace.step()?;
            charge.grow(key.as_str().len() + KEY_BYTES)?;
        }
        Ok((series, charge))
    }

    /// A loop of this statement.
    pub(crate) fn pace(&self) -> Pace<'_> {
        Pace::new(&self.context.cancel)
    }

    /// The distinct measurements of `series`, which are in key order.
    ///
    /// # Errors
    /// A token that was used, memory that is used up.
    pub(crate) fn measurement_names(
        &self,
        series: &[SeriesKey],
        charge: &mut Charge,
    ) -> Result<Vec<Arc<str>>> {
        let mut names: Vec<Arc<str>> = Vec::new();
        let mut pace = self.pace();
        for key in series {
            pace.step()?;
            let name = key.measurement();
            if names.last().is_none_or(|last| **last != *name) {
                charge.grow(NAME_BYTES + name.len())?;
                names.push(name.into());
            }
        }
        Ok(names)
    }

    /// The distinct tag keys of `series`, sorted.
    ///
    /// # Errors
    /// A token that was used, memory that is used up.
    pub(crate) fn tag_keys_of(
        &self,
        series: &[SeriesKey],
        charge: &mut Charge,
    ) -> Result<Vec<Arc<str>>> {
        let mut keys: Vec<Arc<str>> = Vec::new();
        let mut pace = self.pace();
        for (tag, _) in series.iter().flat_map(SeriesKey::tags) {
            pace.step()?;
            if let Err(place) = keys.binary_search_by(|key| (**key).cmp(tag)) {
                charge.grow(NAME_BYTES + tag.len())?;
                keys.insert(place, tag.into());
            }
        }
        Ok(keys)
    }

    /// Names of the fields that rows of a measurement have, sorted.
    pub(crate) fn fields(
        &self,
        namespace: NamespaceId,
        measurement: &str,
    ) -> Result<Vec<Arc<str>>> {
        Ok(self.snapshot.fields(&self.series_request(namespace, Some(measurement)))?)
    }

    /// A question for all series of a namespace or of one of its measurements, under this statement's
    /// budget and token.
    pub(crate) fn series_request(
        &self,
        namespace: NamespaceId,
        measurement: Option<&str>,
    ) -> SeriesRequest {
        SeriesRequest {
            measurements: measurement.map(|name| vec![name.into()]),
            budget: self.context.memory.budget().clone(),
            cancel: self.context.cancel.clone(),
            ..SeriesRequest::all(namespace)
        }
    }
}

/// The tags that GROUP BY names, sorted, each once; `tags` are all that there are.
///
/// # Errors
/// A regular expression that is wrong.
pub(crate) fn keys_of_dimensions(
    dimensions: &[Dimension],
    tags: &[Arc<str>],
) -> Result<Vec<Arc<str>>> {
    let mut keys: Vec<Arc<str>> = Vec::new();
    for dimension in dimensions {
        match dimension {
            Dimension::Time(_) => {}
            Dimension::Tag(name) => keys.push(name.name.as_str().into()),
            Dimension::Wildcard { .. } => keys.extend(tags.iter().cloned()),
            Dimension::Regex { pattern, .. } => {
                let pattern = Pattern::new(pattern)?;
                keys.extend(tags.iter().filter(|tag| pattern.is_match(tag)).cloned());
            }
        }
    }
    keys.sort_unstable();
    keys.dedup();
    Ok(keys)
}
