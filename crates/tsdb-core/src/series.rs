//! Names of series: the key that identifies one, and the dense numbers that stand for it in memory.

use std::sync::Arc;

use crate::tags::{check_tag, check_text};
use crate::{Error, Result, TagCharset, limits};

/// Numeric id of one (database, retention policy). Never reused, never part of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NamespaceId(pub u32);

/// Dense number of a series within one engine while it is registered. Not stable across restarts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SeriesRef(pub u32);

/// A stretch of time during which no [`SeriesRef`] changes its meaning. An eviction or a DROP ends it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch(pub u64);

/// A measurement and its tags, in canonical form.
///
/// The text is `measurement NUL key NUL value NUL key NUL value NUL`, keys sorted. NUL is refused inside
/// the parts, so comparing the bytes compares the parts in turn: keys sort by measurement, then by tags.
/// Cloning shares the text.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SeriesKey(Arc<str>);

impl SeriesKey {
    /// Builds a key from a measurement and its tags in any order.
    ///
    /// # Errors
    /// What [`crate::Tags::with_charset`] refuses, an empty or overlong measurement.
    pub fn new(
        measurement: &str,
        tags: &mut [(&str, &str)],
        charset: TagCharset,
    ) -> Result<SeriesKey> {
        if measurement.is_empty() {
            return Err(Error::EmptySeriesName);
        }
        check_text("measurement", measurement, limits::NAME_BYTES_MAX, charset)?;
        if tags.len() > limits::TAGS_MAX {
            return Err(Error::TooMany {
                what: "tags",
                count: tags.len() as u64,
                count_max: limits::TAGS_MAX as u64,
                remedy: "drop tags that no query needs",
            });
        }
        tags.sort_unstable();
        let bytes: usize = tags.iter().map(|(k, v)| k.len() + v.len() + 2).sum();
        let mut text = String::with_capacity(measurement.len() + 1 + bytes);
        text.push_str(measurement);
        text.push('\0');
        let mut previous: Option<&str> = None;
        for (key, value) in tags.iter() {
            check_tag(key, value, charset)?;
            if previous == Some(key) {
                return Err(Error::Duplicate { what: "tag key", text: (*key).to_owned() });
            }
            previous = Some(key);
            text.push_str(key);
            text.push('\0');
            text.push_str(value);
            text.push('\0');
        }
        Ok(SeriesKey(text.into()))
    }

    /// Takes a key back from its canonical text, as it stands in logs and runs.
    ///
    /// # Errors
    /// [`Error::Invalid`] for text that [`SeriesKey::new`] cannot have made.
    pub fn from_canonical(text: &str) -> Result<SeriesKey> {
        let malformed = || Error::Invalid { what: format!("series key {text:?} is malformed") };
        let body = text.strip_suffix('\0').ok_or_else(malformed)?;
        let mut parts = body.split('\0');
        if parts.next().is_none_or(str::is_empty) {
            return Err(malformed());
        }
        let mut previous = "";
        while let Some(key) = parts.next() {
            let value = parts.next().ok_or_else(malformed)?;
            if key <= previous || value.is_empty() {
                return Err(malformed());
            }
            previous = key;
        }
        Ok(SeriesKey(text.into()))
    }

    /// A key from its parts in canonical order, as an index keeps them.
    ///
    /// # Errors
    /// As [`SeriesKey::from_canonical`].
    pub fn from_parts<'a>(
        measurement: &str,
        tags: impl Iterator<Item = (&'a str, &'a str)>,
    ) -> Result<SeriesKey> {
        /// Most keys are shorter.
        const KEY_BYTES: usize = 256;
        let malformed = || Error::Invalid { what: "series key of malformed parts".to_owned() };
        let is_part = |text: &str| !text.is_empty() && !text.as_bytes().contains(&0);
        if !is_part(measurement) {
            return Err(malformed());
        }
        let mut text = String::with_capacity(KEY_BYTES);
        text.push_str(measurement);
        text.push('\0');
        let mut previous = "";
        for (key, value) in tags {
            if key <= previous || !is_part(key) || !is_part(value) {
                return Err(malformed());
            }
            previous = key;
            for part in [key, value] {
                text.push_str(part);
                text.push('\0');
            }
        }
        Ok(SeriesKey(text.into()))
    }

    /// The canonical text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Measurement name.
    pub fn measurement(&self) -> &str {
        split_part(&self.0).map_or("", |(part, _)| part)
    }

    /// Tag pairs in order of keys.
    pub fn tags(&self) -> impl Iterator<Item = (&str, &str)> {
        let mut rest = split_part(&self.0).map_or("", |(_, rest)| rest);
        std::iter::from_fn(move || {
            let (key, behind) = split_part(rest)?;
            let (value, behind) = split_part(behind)?;
            rest = behind;
            Some((key, value))
        })
    }

    /// Value of one tag. O(length of the key).
    pub fn tag(&self, key: &str) -> Option<&str> {
        self.tags().find(|(k, _)| *k == key).map(|(_, value)| value)
    }
}

/// The part that begins a text, and what follows its NUL. Parts are so short that looking at one byte after the other
/// beats a search that must get going first.
#[inline]
fn split_part(text: &str) -> Option<(&str, &str)> {
    let end = text.bytes().position(|byte| byte == 0)?;
    Some((text.get(..end)?, text.get(end + 1..)?))
}

impl std::fmt::Display for SeriesKey {
    /// `measurement,key=value,...`, the form that SHOW SERIES prints, with line protocol's escapes.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        fn escaped(
            f: &mut std::fmt::Formatter<'_>,
            text: &str,
            special: &[char],
        ) -> std::fmt::Result {
            for c in text.chars() {
                if special.contains(&c) {
                    f.write_str("\\")?;
                }
                write!(f, "{c}")?;
            }
            Ok(())
        }
        escaped(f, self.measurement(), &[',', ' '])?;
        for (key, value) in self.tags() {
            f.write_str(",")?;
            escaped(f, key, &[',', ' ', '='])?;
            f.write_str("=")?;
            escaped(f, value, &[',', ' ', '='])?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn key(measurement: &str, tags: &[(&str, &str)]) -> SeriesKey {
        SeriesKey::new(measurement, &mut tags.to_vec(), TagCharset::Utf8).unwrap()
    }

    #[test]
    fn parts_come_back() {
        let k = key("cpu", &[("zone", "1"), ("host", "a b")]);
        assert_eq!(k.measurement(), "cpu");
        assert_eq!(k.tags().collect::<Vec<_>>(), [("host", "a b"), ("zone", "1")]);
        assert_eq!(k.tag("zone"), Some("1"));
        assert_eq!(k.to_string(), "cpu,host=a\\ b,zone=1");
        assert_eq!(SeriesKey::from_canonical(k.as_str()), Ok(k));
        assert_eq!(key("up", &[]).tags().count(), 0);
    }

    #[test]
    fn malformed_canonical_text_is_refused() {
        for text in
            ["", "\0", "cpu", "cpu\0host\0", "cpu\0\0a\0", "cpu\0b\0x\0a\0y\0", "cpu\0a\0\0"]
        {
            assert!(SeriesKey::from_canonical(text).is_err(), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn keys_sort_as_their_parts(
            a in ("[a-c]{1,3}", prop::collection::btree_map("[a-c]{1,2}", "[!-c]{1,2}", 0..3)),
            b in ("[a-c]{1,3}", prop::collection::btree_map("[a-c]{1,2}", "[!-c]{1,2}", 0..3)),
        ) {
            let make = |(m, tags): &(String, std::collections::BTreeMap<String, String>)| {
                let pairs: Vec<(&str, &str)> =
                    tags.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
                key(m, &pairs)
            };
            let parts = |x: &(String, std::collections::BTreeMap<String, String>)| {
                (x.0.clone(), x.1.clone().into_iter().flat_map(|(k, v)| [k, v]).collect::<Vec<_>>())
            };
            prop_assert_eq!(make(&a).cmp(&make(&b)), parts(&a).cmp(&parts(&b)));
        }
    }
}
