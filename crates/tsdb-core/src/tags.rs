//! Tags: the sorted, unique key-value pairs that tell series of one measurement apart.

use crate::{Error, Result, limits};

/// Reserved tag key of a [`crate::DataPoint`] that names its measurement.
pub const NAME_TAG: &str = "__name__";

/// Reserved tag key of a [`crate::DataPoint`] that names its field; without it the field is `value`.
pub const FIELD_TAG: &str = "__field__";

/// Which characters tags may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TagCharset {
    /// Bytes below 128 only: what every format of our own accepts.
    #[default]
    Ascii,
    /// Any UTF-8: protocols whose own specification says so.
    Utf8,
}

/// Key-value pairs, sorted by key, keys unique, neither keys nor values empty.
///
/// Lookup is O(log n). Equality and order are those of the pairs.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Tags(Vec<(Box<str>, Box<str>)>);

impl Tags {
    /// No tags.
    pub fn empty() -> Tags {
        Tags::default()
    }

    /// Sorts and checks `pairs`. Only ASCII is accepted; see [`Tags::with_charset`].
    ///
    /// # Errors
    /// An empty key or value, a repeated key, a character outside the charset, a NUL byte, more than
    /// [`limits::TAGS_MAX`] pairs, or a key or value longer than its limit.
    pub fn new<K: Into<Box<str>>, V: Into<Box<str>>>(
        pairs: impl IntoIterator<Item = (K, V)>,
    ) -> Result<Tags> {
        Tags::with_charset(pairs, TagCharset::Ascii)
    }

    /// As [`Tags::new`] with a choice of characters.
    ///
    /// # Errors
    /// As [`Tags::new`].
    pub fn with_charset<K: Into<Box<str>>, V: Into<Box<str>>>(
        pairs: impl IntoIterator<Item = (K, V)>,
        charset: TagCharset,
    ) -> Result<Tags> {
        let mut pairs: Vec<(Box<str>, Box<str>)> =
            pairs.into_iter().map(|(k, v)| (k.into(), v.into())).collect();
        if pairs.len() > limits::TAGS_MAX {
            return Err(Error::TooMany {
                what: "tags",
                count: pairs.len() as u64,
                count_max: limits::TAGS_MAX as u64,
                remedy: "drop tags that no query needs",
            });
        }
        pairs.sort();
        for (key, value) in &pairs {
            check_tag(key, value, charset)?;
        }
        for (left, right) in pairs.iter().zip(pairs.iter().skip(1)) {
            if left.0 == right.0 {
                return Err(Error::Duplicate { what: "tag key", text: left.0.to_string() });
            }
        }
        Ok(Tags(pairs))
    }

    /// Value of `key`, if there is one.
    pub fn get(&self, key: &str) -> Option<&str> {
        let at = self.0.binary_search_by(|(k, _)| (**k).cmp(key)).ok()?;
        self.0.get(at).map(|(_, value)| &**value)
    }

    /// Pairs in order of keys.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &str)> {
        self.0.iter().map(|(k, v)| (&**k, &**v))
    }

    /// Number of pairs.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// True without any pair.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Checks one pair as [`Tags::new`] does, without building anything.
///
/// # Errors
/// As [`Tags::new`], except for repeated keys, which one pair cannot have.
pub fn check_tag(key: &str, value: &str, charset: TagCharset) -> Result<()> {
    check_text("tag key", key, limits::NAME_BYTES_MAX, charset)?;
    check_text("tag value", value, limits::TAG_VALUE_BYTES_MAX, charset)
}

/// Checks one name or value: not empty, within `bytes_max`, no NUL, within `charset`.
pub(crate) fn check_text(
    what: &'static str,
    text: &str,
    bytes_max: usize,
    charset: TagCharset,
) -> Result<()> {
    if text.is_empty() {
        return Err(Error::Empty { what });
    }
    if text.len() > bytes_max {
        return Err(Error::TooLong { what, bytes: text.len(), bytes_max });
    }
    // NUL separates the parts of a series key, so that keys sort as their parts do.
    if text.as_bytes().contains(&0) {
        return Err(Error::NulByte { what, text: text.to_owned() });
    }
    if charset == TagCharset::Ascii && !text.is_ascii() {
        return Err(Error::NotAscii { what, text: text.to_owned() });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    #[test]
    fn tag_format_validation_accepts_only_ascii() {
        assert!(Tags::new([("host", "a")]).is_ok());
        for (key, value) in [("höst", "a"), ("host", "ä"), ("host", "日本")] {
            let error = Tags::new([(key, value)]).unwrap_err();
            assert!(matches!(error, Error::NotAscii { .. }), "{error}");
            assert!(Tags::with_charset([(key, value)], TagCharset::Utf8).is_ok());
        }
    }

    #[test]
    fn tag_format_validation_refuses_what_cannot_be_stored() {
        let long = "v".repeat(limits::TAG_VALUE_BYTES_MAX + 1);
        let cases: [(&str, &str); 5] =
            [("", "v"), ("k", ""), ("k\0", "v"), ("k", "a\0b"), ("k", long.as_str())];
        for (key, value) in cases {
            let error = Tags::new([(key, value)]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Invalid, "{key:?}={value:?}: {error}");
        }
        let many: Vec<(String, &str)> =
            (0..=limits::TAGS_MAX).map(|i| (format!("k{i}"), "v")).collect();
        assert!(matches!(Tags::new(many), Err(Error::TooMany { .. })));
        assert!(matches!(Tags::new([("k", "a"), ("k", "b")]), Err(Error::Duplicate { .. })));
    }

    #[test]
    fn pairs_are_sorted_and_found() {
        let tags = Tags::new([("zone", "1"), ("host", "a")]).unwrap();
        assert_eq!(tags.iter().collect::<Vec<_>>(), [("host", "a"), ("zone", "1")]);
        assert_eq!(tags.get("zone"), Some("1"));
        assert_eq!(tags.get("rack"), None);
    }
}
