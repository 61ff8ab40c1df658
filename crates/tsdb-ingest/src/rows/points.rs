//! Rows as single points, for library users who ask for [`DataPoint`]s.

use tsdb_core::{DataPoint, FIELD_TAG, NAME_TAG, Tags};

use super::Rows;

/// Field that a point without [`FIELD_TAG`] means.
const DEFAULT_FIELD: &str = "value";

impl Rows {
    /// One point per value, in order. The measurement stands in the tag [`NAME_TAG`], the field in
    /// [`FIELD_TAG`] unless it is `value`.
    ///
    /// Only for rows without a store and without cached references: all of them wait, with their names.
    ///
    /// # Errors
    /// Tags that are too many with the reserved ones.
    pub(crate) fn points(&self) -> tsdb_core::Result<Vec<DataPoint>> {
        let mut points = Vec::with_capacity(self.open.batch().samples());
        for (row, patch) in self.open.batch().rows().zip(&self.patches) {
            let key = patch.series.and_then(|place| self.pending_keys.get(place as usize));
            let set = patch.shape.and_then(|id| self.shapes.get(id)?.set.as_ref());
            let (Some(key), Some(set)) = (key, set) else { continue };
            for (name, value) in set.names().iter().zip(row.values) {
                let field = (&**name != DEFAULT_FIELD).then_some((FIELD_TAG, &**name));
                let pairs = [(NAME_TAG, key.measurement())].into_iter().chain(field);
                let tags = Tags::with_charset(pairs.chain(key.tags()), self.validation.charset)?;
                points.push(DataPoint::new(row.time, *value, tags)?);
            }
        }
        Ok(points)
    }
}
