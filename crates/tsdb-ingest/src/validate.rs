//! The validation middleware: the checks between any format and the rows. A format brings names and
//! numbers, this decides whether they can be stored; no rule here knows a format.
//!
//! Limits that the data model itself enforces (lengths, NUL, charset of tags) are those of
//! [`tsdb_core::SeriesKey`] and [`tsdb_core::FieldSet`]; here they get the reasons that clients see.

use tsdb_core::{FIELD_TAG, FieldSet, NAME_TAG, SeriesKey, TagCharset, time};

use crate::{Precision, Reason};

/// Name that queries keep for the timestamp: a tag or field of that name could never be selected.
const TIME: &str = "time";

/// The checks of one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validation {
    /// Characters that names and tag values may hold.
    pub charset: TagCharset,
    /// Rows before this time, in ns, have expired already.
    pub cutoff: i64,
}

impl Default for Validation {
    /// UTF-8, and nothing has expired.
    fn default() -> Self {
        Validation { charset: TagCharset::Utf8, cutoff: time::MIN_TIME }
    }
}

impl Validation {
    /// The key of a series from its unescaped parts. Sorts `tags`.
    ///
    /// # Errors
    /// No measurement, a reserved, repeated, empty or overlong tag, too many tags, characters outside
    /// of the charset.
    pub fn series_key(
        &self,
        measurement: &str,
        tags: &mut [(&str, &str)],
    ) -> Result<SeriesKey, Reason> {
        for (key, _) in tags.iter() {
            if *key == NAME_TAG || *key == FIELD_TAG {
                let error = tsdb_core::Error::ReservedTag { key: (*key).to_owned() };
                return Err(Reason::Limit(error));
            }
            if *key == TIME {
                return Err(Reason::TimeTag { measurement: measurement.to_owned() });
            }
        }
        SeriesKey::new(measurement, tags, self.charset).map_err(|error| match error {
            tsdb_core::Error::EmptySeriesName => Reason::MissingMeasurement,
            tsdb_core::Error::Duplicate { text, .. } => Reason::DuplicateTags { key: text },
            other => Reason::Limit(other),
        })
    }

    /// Whether a field of this name is stored.
    pub fn is_field_stored(&self, name: &str) -> bool {
        name != TIME
    }

    /// The field set of a row from the distinct names of its fields.
    ///
    /// # Errors
    /// An empty or overlong name, too many of them, characters outside of the charset.
    pub fn field_set(&self, names: Vec<String>) -> Result<FieldSet, Reason> {
        if self.charset == TagCharset::Ascii
            && let Some(text) = names.iter().find(|name| !name.is_ascii())
        {
            let text = text.clone();
            return Err(Reason::Limit(tsdb_core::Error::NotAscii { what: "field name", text }));
        }
        FieldSet::new(names).map_err(Reason::Limit)
    }

    /// A timestamp in units of `precision` as ns.
    ///
    /// # Errors
    /// [`Reason::TimeOutsideRange`], also when the product leaves 64 bits.
    #[inline]
    pub fn time(&self, stamp: i64, precision: Precision) -> Result<i64, Reason> {
        let time = stamp.checked_mul(precision.ns_of(stamp)).ok_or(Reason::TimeOutsideRange)?;
        time::check_time(time).map_err(|_| Reason::TimeOutsideRange)?;
        Ok(time)
    }

    /// Refuses a row that has expired.
    ///
    /// # Errors
    /// [`Reason::BeyondRetention`].
    #[inline]
    pub fn retained(&self, time_ns: i64) -> Result<(), Reason> {
        if time_ns < self.cutoff { Err(Reason::BeyondRetention) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tsdb_core::limits;

    #[test]
    fn reserved_names_are_refused() {
        let check = |key: &str| Validation::default().series_key("m", &mut [(key, "v")]);
        assert!(check("host").is_ok());
        for key in [NAME_TAG, FIELD_TAG] {
            assert!(matches!(check(key), Err(Reason::Limit(_))), "{key}");
        }
        assert_eq!(check("time"), Err(Reason::TimeTag { measurement: "m".to_owned() }));
    }

    #[test]
    fn charset_holds_for_all_names() {
        let ascii = Validation { charset: TagCharset::Ascii, ..Validation::default() };
        let utf8 = Validation::default();
        for (measurement, key, value) in [("ä", "k", "v"), ("m", "ä", "v"), ("m", "k", "ä")] {
            assert!(ascii.series_key(measurement, &mut [(key, value)]).is_err());
            assert!(utf8.series_key(measurement, &mut [(key, value)]).is_ok());
        }
        assert!(ascii.field_set(vec!["ä".to_owned()]).is_err());
        assert!(utf8.field_set(vec!["ä".to_owned()]).is_ok());
    }

    #[test]
    fn times_are_scaled_and_bounded() {
        let v = Validation { cutoff: 5, ..Validation::default() };
        assert_eq!(v.time(-3, Precision::Seconds), Ok(-3_000_000_000));
        assert_eq!(v.time(time::MAX_TIME, Precision::Nanoseconds), Ok(time::MAX_TIME));
        for (stamp, precision) in [
            (i64::MAX, Precision::Nanoseconds),
            (i64::MIN + 1, Precision::Nanoseconds),
            (i64::MAX / 1000 + 1, Precision::Microseconds),
            (2_562_048, Precision::Hours),
        ] {
            assert_eq!(v.time(stamp, precision), Err(Reason::TimeOutsideRange), "{stamp}");
        }
        assert_eq!(v.retained(5), Ok(()));
        assert_eq!(v.retained(4), Err(Reason::BeyondRetention));
    }

    #[test]
    fn limits_of_the_data_model_become_reasons() {
        let v = Validation::default();
        let long = "x".repeat(limits::NAME_BYTES_MAX + 1);
        assert!(matches!(v.series_key(&long, &mut []), Err(Reason::Limit(_))));
        assert!(matches!(v.series_key("m", &mut [("a\0", "b")]), Err(Reason::Limit(_))));
        assert_eq!(v.series_key("", &mut []), Err(Reason::MissingMeasurement));
        let twice = v.series_key("m", &mut [("a", "1"), ("b", "1"), ("a", "2")]);
        assert_eq!(twice, Err(Reason::DuplicateTags { key: "a".to_owned() }));
        assert!(matches!(v.field_set(vec![long]), Err(Reason::Limit(_))));
    }
}
