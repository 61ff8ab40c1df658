//! How series fall into groups: the part of a scan that is the same for every engine.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::scan::{GroupBy, SelectedSeries};
use crate::{Result, SeriesKey};

/// Per group the values of the keys that it was grouped by.
pub type Groups = Arc<[Vec<Arc<str>>]>;

/// Memory of an `Arc<str>` beside its text.
const ARC_BYTES: usize = 2 * size_of::<usize>();

/// Gives each of `keys`, which are in order, its group; groups are numbered in order of their values.
/// `charge` is told of memory before it is taken; the text of the keys is not part of it.
///
/// O(n log groups) in the number of series.
///
/// # Errors
/// What `charge` says.
pub fn group_series(
    keys: Vec<SeriesKey>,
    by: &GroupBy,
    charge: &mut dyn FnMut(usize) -> Result<()>,
) -> Result<(Arc<[SelectedSeries]>, Groups)> {
    let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    charge(keys.len() * size_of::<SelectedSeries>())?;
    match by {
        GroupBy::Nothing => {
            let groups = if keys.is_empty() { vec![] } else { vec![Vec::new()] };
            let series = keys.into_iter().map(|key| SelectedSeries { key, group: 0 });
            Ok((series.collect(), groups.into()))
        }
        GroupBy::Series => {
            charge(keys.len() * size_of::<Vec<Arc<str>>>())?;
            let groups = vec![Vec::new(); keys.len()];
            let series = keys.into_iter().enumerate();
            let series = series.map(|(n, key)| SelectedSeries { key, group: number(n) });
            Ok((series.collect(), groups.into()))
        }
        GroupBy::Tags(tags) => {
            // First in the order in which they come, then in the order of their values.
            let mut numbers: BTreeMap<Vec<Arc<str>>, u32> = BTreeMap::new();
            let mut series = Vec::with_capacity(keys.len());
            for key in keys {
                let values = tags.iter().map(|tag| Arc::from(key.tag(tag).unwrap_or("")));
                let values: Vec<Arc<str>> = values.collect();
                let group = match numbers.get(&values) {
                    Some(group) => *group,
                    None => {
                        charge(bytes_of_group(&values))?;
                        let group = number(numbers.len());
                        numbers.insert(values, group);
                        group
                    }
                };
                series.push(SelectedSeries { key, group });
            }
            let mut ranks = vec![0; numbers.len()];
            for (rank, came) in numbers.values().enumerate() {
                if let Some(place) = ranks.get_mut(*came as usize) {
                    *place = number(rank);
                }
            }
            for selected in &mut series {
                selected.group = ranks.get(selected.group as usize).copied().unwrap_or(0);
            }
            Ok((series.into(), numbers.into_keys().collect()))
        }
    }
}

/// Memory of a group: its values, its place in the map, in the list and in the order.
fn bytes_of_group(values: &[Arc<str>]) -> usize {
    let texts: usize = values.iter().map(|value| value.len() + ARC_BYTES).sum();
    texts + size_of_val(values) + 3 * size_of::<Vec<Arc<str>>>()
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
        let mut charged = 0;
        let mut group = |keys: Vec<SeriesKey>, by: &GroupBy| {
            charged = 0;
            let charge = &mut |bytes| {
                charged += bytes;
                Ok(())
            };
            group_series(keys, by, charge).unwrap()
        };
        let (series, groups) = group(keys.clone(), &GroupBy::Tags(vec!["b".into()]));
        let names: Vec<&str> = groups.iter().map(|g| &*g[0]).collect();
        assert_eq!(names, ["", "x", "y"]);
        assert_eq!(series.iter().map(|s| s.group).collect::<Vec<_>>(), [2, 1, 0, 1]);
        assert_eq!(group(keys.clone(), &GroupBy::Nothing).1.len(), 1);
        assert_eq!(group(keys, &GroupBy::Series).1.len(), 4);
        assert!(group(Vec::new(), &GroupBy::Nothing).1.is_empty());
        assert_eq!(charged, 0);
    }

    #[test]
    fn a_group_is_charged_before_it_is_kept() {
        let keys = keys(&[["1", "x"], ["2", "y"], ["3", "x"]]);
        let mut left = 3 * size_of::<SelectedSeries>() + 200;
        let mut charge = |bytes: usize| {
            let full = crate::Error::Overloaded { reason: "full" };
            left = left.checked_sub(bytes).ok_or(full)?;
            Ok(())
        };
        let by = GroupBy::Tags(vec!["b".into()]);
        // Room for one group of one short value, not for two.
        assert!(group_series(keys[..1].to_vec(), &by, &mut charge).is_ok());
        assert!(group_series(keys, &by, &mut charge).is_err());
    }
}
