//! The single-field view of the data: one value at one time, and a named run of such values.
//!
//! The engine itself stores rows of several fields ([`crate::WriteBatch`]); a [`DataPoint`] is the row
//! with one field, and what library users and simple formats deal in.

use crate::tags::check_text;
use crate::time::check_time;
use crate::{Error, FIELD_TAG, NAME_TAG, Result, TagCharset, Tags, limits};

/// One value of one series at one time.
#[derive(Debug, Clone, PartialEq)]
pub struct DataPoint {
    /// Nanoseconds since 1970-01-01T00:00:00Z, within [`crate::time::MIN_TIME`] and
    /// [`crate::time::MAX_TIME`].
    pub timestamp: i64,
    /// Any `f64`; NaN payloads, infinities and -0.0 are values like all others and are kept bit for bit.
    pub value: f64,
    /// Tags of the series. The reserved keys [`NAME_TAG`] and [`FIELD_TAG`] name measurement and field
    /// where a point must carry them.
    pub tags: Tags,
}

impl DataPoint {
    /// A point, checked.
    ///
    /// # Errors
    /// A timestamp outside of the valid range.
    pub fn new(timestamp: i64, value: f64, tags: Tags) -> Result<DataPoint> {
        check_time(timestamp).map_err(|_| Error::TimestampOutOfRange { got: timestamp })?;
        Ok(DataPoint { timestamp, value, tags })
    }

    /// Measurement that the reserved tag names, if it does.
    pub fn measurement(&self) -> Option<&str> {
        self.tags.get(NAME_TAG)
    }

    /// Field that the reserved tag names, else `value`.
    pub fn field(&self) -> &str {
        self.tags.get(FIELD_TAG).unwrap_or("value")
    }
}

/// A named series of points with strictly increasing timestamps.
#[derive(Debug, Clone, PartialEq)]
pub struct TimeSeries {
    name: String,
    points: Vec<DataPoint>,
}

impl TimeSeries {
    /// An empty series.
    ///
    /// # Errors
    /// An empty, overlong or non-ASCII name.
    pub fn new(name: impl Into<String>) -> Result<TimeSeries> {
        let name = name.into();
        if name.is_empty() {
            return Err(Error::EmptySeriesName);
        }
        check_text("series name", &name, limits::NAME_BYTES_MAX, TagCharset::Ascii)?;
        Ok(TimeSeries { name, points: Vec::new() })
    }

    /// Appends a point. O(1) amortised.
    ///
    /// # Errors
    /// A timestamp that is not greater than the last one, or out of range; the series is unchanged.
    pub fn push(&mut self, point: DataPoint) -> Result<()> {
        check_time(point.timestamp)
            .map_err(|_| Error::TimestampOutOfRange { got: point.timestamp })?;
        if let Some(last) = self.points.last()
            && point.timestamp <= last.timestamp
        {
            return Err(Error::TimestampNotIncreasing {
                last: last.timestamp,
                got: point.timestamp,
            });
        }
        self.points.push(point);
        Ok(())
    }

    /// Name of the series, never empty.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Points in order of time.
    pub fn points(&self) -> &[DataPoint] {
        &self.points
    }

    /// Ends the series and gives its points away.
    pub fn into_points(self) -> Vec<DataPoint> {
        self.points
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn point(timestamp: i64) -> DataPoint {
        DataPoint::new(timestamp, 1.0, Tags::empty()).unwrap()
    }

    #[test]
    fn empty_series_name_is_prevented() {
        assert_eq!(TimeSeries::new(""), Err(Error::EmptySeriesName));
        assert!(TimeSeries::new("cpu").is_ok());
        assert!(TimeSeries::new("n".repeat(limits::NAME_BYTES_MAX + 1)).is_err());
    }

    #[test]
    fn timestamps_at_the_edges() {
        use crate::time::{MAX_TIME, MIN_TIME};
        for good in [MIN_TIME, -1, 0, MAX_TIME] {
            assert!(DataPoint::new(good, 0.0, Tags::empty()).is_ok(), "{good}");
        }
        for bad in [i64::MIN, i64::MIN + 1, i64::MAX] {
            assert_eq!(
                DataPoint::new(bad, 0.0, Tags::empty()),
                Err(Error::TimestampOutOfRange { got: bad })
            );
        }
    }

    proptest! {
        /// A series holds exactly the points that were greater than all before them, and a refused
        /// point changes nothing.
        #[test]
        fn data_point_ordering_validation(times in prop::collection::vec(-20i64..20, 0..40)) {
            let mut series = TimeSeries::new("s").unwrap();
            let mut kept: Vec<i64> = Vec::new();
            for t in times {
                let expected = kept.last().is_none_or(|last| t > *last);
                let result = series.push(point(t));
                prop_assert_eq!(result.is_ok(), expected);
                if expected {
                    kept.push(t);
                } else {
                    prop_assert_eq!(
                        result,
                        Err(Error::TimestampNotIncreasing { last: *kept.last().unwrap(), got: t })
                    );
                }
            }
            let stored: Vec<i64> = series.points().iter().map(|p| p.timestamp).collect();
            prop_assert_eq!(stored, kept);
        }
    }
}
