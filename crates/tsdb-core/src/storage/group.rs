//! How series fall into groups: the part of a scan that is the same for every engine.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::scan::{GroupBy, SelectedSeries};
use crate::SeriesKey;

/// Per group the values of the keys that it was grouped by.
pub type Groups = Arc<[Vec<Arc<str>>]>;

/// Gives each of `keys`, which are in order, its group; groups are numbered in order of their values.
///
/// O(n log n) in the number of series.
pub fn group_series(keys: Vec<SeriesKey>, by: &GroupBy) -> (Arc<[SelectedSeries]>, Groups) {
    let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    match by {
        GroupBy::Nothing => {
            let groups = if keys.is_empty() { vec![] } else { vec![Vec::new()] };
            let series = keys.into_iter().map(|key| SelectedSeries { key, group: 0 });
            (series.collect(), groups.into())
        }
        GroupBy::Series => {
            let groups = vec![Vec::new(); keys.len()];
            let series = keys.into_iter().enumerate();
            let series = series.map(|(n, key)| SelectedSeries { key, group: number(n) });
            (series.collect(), groups.into())
        }
        GroupBy::Tags(tags) => {
            let values = |key: &SeriesKey| -> Vec<Arc<str>> {
                tags.iter().map(|tag| Arc::from(key.tag(tag).unwrap_or(""))).collect()
            };
            let mut numbers: BTreeMap<Vec<Arc<str>>, u32> =
                keys.iter().map(|key| (values(key), 0)).collect();
            numbers.values_mut().enumerate().for_each(|(n, place)| *place = number(n));
            let series = keys.into_iter().map(|key| {
                let group = numbers.get(&values(&key)).copied().unwrap_or(0);
                SelectedSeries { key, group }
            });
            (series.collect(), numbers.into_keys().collect())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::TagCharset;

    fn keys(tags: &[[&str; 2]]) -> Vec<SeriesKey> {
        let key = |[a, b]: &[&str; 2]| {
            let mut pairs: Vec<(&str, &str)> =
                [("a", *a), ("b", *b)].into_iter().filter(|(_, v)| !v.is_empty()).collect();
            SeriesKey::new("m", &mut pairs, TagCharset::Ascii).unwrap()
        };
        let mut keys: Vec<SeriesKey> = tags.iter().map(key).collect();
        keys.sort();
        keys
    }

    #[test]
    fn groups_are_in_order_of_their_values_and_a_missing_tag_is_empty() {
        let keys = keys(&[["1", "y"], ["2", "x"], ["3", ""], ["4", "x"]]);
        let (series, groups) = group_series(keys.clone(), &GroupBy::Tags(vec!["b".into()]));
        let names: Vec<&str> = groups.iter().map(|g| &*g[0]).collect();
        assert_eq!(names, ["", "x", "y"]);
        assert_eq!(series.iter().map(|s| s.group).collect::<Vec<_>>(), [2, 1, 0, 1]);
        assert_eq!(group_series(keys.clone(), &GroupBy::Nothing).1.len(), 1);
        assert_eq!(group_series(keys, &GroupBy::Series).1.len(), 4);
        assert!(group_series(Vec::new(), &GroupBy::Nothing).1.is_empty());
    }
}
