//! Field sets: which fields a row has, in a canonical order, and the dense number that stands for it.

use std::sync::Arc;

use crate::tags::check_text;
use crate::{Error, Result, TagCharset, limits};

/// Dense number of a field set within one engine. Not stable across restarts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FieldSetRef(pub u32);

/// The names of a row's fields, sorted and unique. The values of a row stand in the same order.
///
/// Sets do not belong to a measurement: a hundred thousand measurements with the one field `value`
/// share one set. Cloning shares the names.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FieldSet(Arc<[Arc<str>]>);

impl FieldSet {
    /// Sorts and checks `names`.
    ///
    /// # Errors
    /// No name at all, an empty, overlong or repeated one, a NUL byte, more than
    /// [`limits::FIELDS_MAX`].
    pub fn new<S: Into<Arc<str>>>(names: impl IntoIterator<Item = S>) -> Result<FieldSet> {
        let mut names: Vec<Arc<str>> = names.into_iter().map(Into::into).collect();
        names.sort_unstable();
        FieldSet::from_sorted(names)
    }

    /// As [`FieldSet::new`] for names that are sorted already.
    ///
    /// # Errors
    /// As [`FieldSet::new`]; unsorted names are refused as [`Error::Invalid`].
    pub fn from_sorted(names: Vec<Arc<str>>) -> Result<FieldSet> {
        if names.is_empty() {
            return Err(Error::Empty { what: "list of fields" });
        }
        if names.len() > limits::FIELDS_MAX {
            return Err(Error::TooMany {
                what: "fields in one row",
                count: names.len() as u64,
                count_max: limits::FIELDS_MAX as u64,
                remedy: "split the row into several measurements",
            });
        }
        for name in &names {
            check_text("field name", name, limits::NAME_BYTES_MAX, TagCharset::Utf8)?;
        }
        for (left, right) in names.iter().zip(names.iter().skip(1)) {
            match left.cmp(right) {
                std::cmp::Ordering::Less => {}
                std::cmp::Ordering::Equal => {
                    return Err(Error::Duplicate { what: "field name", text: left.to_string() });
                }
                std::cmp::Ordering::Greater => {
                    return Err(Error::Invalid {
                        what: format!("field {right:?} stands behind {left:?}: sort the names"),
                    });
                }
            }
        }
        Ok(FieldSet(names.into()))
    }

    /// Names in order.
    pub fn names(&self) -> &[Arc<str>] {
        &self.0
    }

    /// Number of fields, at least 1.
    #[expect(clippy::len_without_is_empty, reason = "a field set is never empty")]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Place of `name` among the sorted names.
    pub fn position(&self, name: &str) -> Option<usize> {
        self.0.binary_search_by(|n| (**n).cmp(name)).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_sorted_and_checked() {
        let set = FieldSet::new(["b", "a"]).unwrap();
        assert_eq!(set.names().iter().map(|n| &**n).collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(set.position("b"), Some(1));
        assert_eq!(set.position("c"), None);
        assert!(matches!(FieldSet::new(["a", "a"]), Err(Error::Duplicate { .. })));
        assert!(matches!(FieldSet::new(Vec::<&str>::new()), Err(Error::Empty { .. })));
        assert!(matches!(FieldSet::new([""]), Err(Error::Empty { .. })));
        assert!(FieldSet::from_sorted(vec!["b".into(), "a".into()]).is_err());
        let many: Vec<String> = (0..=limits::FIELDS_MAX).map(|i| format!("f{i}")).collect();
        assert!(matches!(FieldSet::new(many), Err(Error::TooMany { .. })));
    }
}
