//! The bridge from single points to batches: for library users and formats that deal in [`DataPoint`]s.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Append;
use crate::{
    DataPoint, Epoch, Error, FIELD_TAG, FieldSet, NAME_TAG, NamespaceId, Result, SeriesKey,
    TagCharset, Ticket, WriteBatch,
};

/// Times that a batch is resolved again before giving up; each end of an epoch is rare and quick.
const ATTEMPTS: usize = 8;

/// Writes `points` as one batch: each becomes a row with one field. The measurement is the point's
/// [`NAME_TAG`], or `measurement` where it has none.
///
/// # Errors
/// A point without a measurement, what [`SeriesKey::new`] and the store refuse. Nothing is stored then.
pub fn append_points(
    store: &dyn Append,
    namespace: NamespaceId,
    measurement: Option<&str>,
    points: &[DataPoint],
) -> Result<Ticket> {
    let mut keys: Vec<SeriesKey> = Vec::new();
    let mut key_index: BTreeMap<SeriesKey, usize> = BTreeMap::new();
    let mut sets: Vec<FieldSet> = Vec::new();
    let mut set_index: BTreeMap<Arc<str>, usize> = BTreeMap::new();
    let mut places: Vec<(usize, usize)> = Vec::with_capacity(points.len());
    for point in points {
        let name = point.measurement().or(measurement).ok_or(Error::EmptySeriesName)?;
        let mut tags: Vec<(&str, &str)> =
            point.tags.iter().filter(|(k, _)| *k != NAME_TAG && *k != FIELD_TAG).collect();
        let key = SeriesKey::new(name, &mut tags, TagCharset::Utf8)?;
        let key_place = *key_index.entry(key).or_insert_with_key(|key| {
            keys.push(key.clone());
            keys.len() - 1
        });
        let field: Arc<str> = point.field().into();
        let set_place = match set_index.get(&field) {
            Some(place) => *place,
            None => {
                sets.push(FieldSet::new([Arc::clone(&field)])?);
                set_index.insert(field, sets.len() - 1);
                sets.len() - 1
            }
        };
        places.push((key_place, set_place));
    }
    let mut result = Err(Error::StaleEpoch { batch: 0, current: 0 });
    for _ in 0..ATTEMPTS {
        let resolution = store.resolve(namespace, &keys, &sets)?;
        let series: Vec<_> = resolution.series.into_iter().collect::<Result<_>>()?;
        let field_sets: Vec<_> = resolution.field_sets.into_iter().collect::<Result<_>>()?;
        let mut batch = WriteBatch::new(namespace, Epoch(resolution.epoch.0));
        for (point, (key, set)) in points.iter().zip(&places) {
            let (Some(series), Some(field_set)) = (series.get(*key), field_sets.get(*set)) else {
                return Err(Error::Invalid { what: "the store resolved too few keys".to_owned() });
            };
            batch.push(*series, point.timestamp, *field_set, &[point.value])?;
        }
        result = store.append(&batch);
        if !matches!(result, Err(Error::StaleEpoch { .. })) {
            break;
        }
    }
    result
}
