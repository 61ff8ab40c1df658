//! Sorting many items in steps between which the statement can end: pieces are sorted by the standard
//! library, then merged.

use std::cmp::Ordering;

use tsdb_core::CancelToken;

use crate::Result;
use crate::pace::{Pace, ROWS_PER_LOOK};

/// Sorts stably. Takes the memory of the items once more while it works. O(n log n).
///
/// # Errors
/// A token that was used.
pub(crate) fn sort_by<T: Copy>(
    items: Vec<T>,
    cancel: &CancelToken,
    compare: impl Fn(&T, &T) -> Ordering,
) -> Result<Vec<T>> {
    let mut items = items;
    if items.len() <= ROWS_PER_LOOK {
        items.sort_by(compare);
        return Ok(items);
    }
    for piece in items.chunks_mut(ROWS_PER_LOOK) {
        cancel.check()?;
        piece.sort_by(&compare);
    }
    let (mut from, mut to) = (items, Vec::new());
    let mut sorted = ROWS_PER_LOOK;
    while sorted < from.len() {
        to.clear();
        to.reserve_exact(from.len());
        for pair in from.chunks(sorted.saturating_mul(2)) {
            let (left, right) = pair.split_at(sorted.min(pair.len()));
            merge(left.iter().copied(), right.iter().copied(), cancel, &compare, &mut to)?;
        }
        std::mem::swap(&mut from, &mut to);
        sorted = sorted.saturating_mul(2);
    }
    Ok(from)
}

/// One sorted list of several, of which each is sorted; equal items in the order of the lists.
///
/// # Errors
/// A token that was used.
pub(crate) fn merge_lists<T: Ord>(lists: Vec<Vec<T>>, cancel: &CancelToken) -> Result<Vec<T>> {
    let mut lists = lists;
    while lists.len() > 1 {
        let mut pairs = std::mem::take(&mut lists).into_iter();
        while let Some(left) = pairs.next() {
            let Some(right) = pairs.next() else {
                lists.push(left);
                break;
            };
            let mut merged = Vec::with_capacity(left.len() + right.len());
            merge(left.into_iter(), right.into_iter(), cancel, &T::cmp, &mut merged)?;
            lists.push(merged);
        }
    }
    Ok(lists.pop().unwrap_or_default())
}

/// Appends two sorted lists to `to` as one.
fn merge<T>(
    left: impl Iterator<Item = T>,
    right: impl Iterator<Item = T>,
    cancel: &CancelToken,
    compare: &impl Fn(&T, &T) -> Ordering,
    to: &mut Vec<T>,
) -> Result<()> {
    let (mut left, mut right) = (left, right);
    let (mut first, mut second) = (left.next(), right.next());
    let mut pace = Pace::new(cancel);
    loop {
        pace.step()?;
        match (first.take(), second.take()) {
            (Some(a), Some(b)) => {
                if compare(&b, &a) == Ordering::Less {
                    to.push(b);
                    (first, second) = (Some(a), right.next());
                } else {
                    to.push(a);
                    (first, second) = (left.next(), Some(b));
                }
            }
            (Some(item), None) => {
                to.push(item);
                first = left.next();
            }
            (None, Some(item)) => {
                to.push(item);
                second = right.next();
            }
            (None, None) => return Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    fn shuffled(count: u64) -> Vec<(u64, u64)> {
        // Few keys, so that stability shows.
        (0..count).map(|i| (i.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 52, i)).collect()
    }

    #[test]
    fn sorts_stably_at_every_length() {
        let cancel = CancelToken::new();
        let step = ROWS_PER_LOOK as u64;
        for count in [0, 1, 2, step, step + 1, 3 * step, 4 * step + 5] {
            let mut expected = shuffled(count);
            let got = sort_by(expected.clone(), &cancel, |a, b| a.0.cmp(&b.0)).unwrap();
            expected.sort_by_key(|item| item.0);
            assert!(got == expected, "{count}");
        }
    }

    #[test]
    fn lists_become_one() {
        let cancel = CancelToken::new();
        let lists = vec![vec![1, 4, 4, 9], vec![], vec![2, 4], vec![0], vec![10]];
        assert_eq!(merge_lists(lists, &cancel).unwrap(), [0, 1, 2, 4, 4, 4, 9, 10]);
        assert_eq!(merge_lists(Vec::<Vec<u8>>::new(), &cancel).unwrap(), []);
    }

    #[test]
    fn a_used_token_ends_a_sort_in_every_phase() {
        let items = shuffled(5 * ROWS_PER_LOOK as u64);
        let compared = Cell::new(0_u64);
        let sort = |kill_after: u64| {
            let cancel = CancelToken::new();
            compared.set(0);
            let sorted = sort_by(items.clone(), &cancel, |a, b| {
                compared.set(compared.get() + 1);
                if compared.get() == kill_after {
                    cancel.kill();
                }
                a.0.cmp(&b.0)
            });
            (sorted.is_ok(), compared.get())
        };
        let (_, all) = sort(u64::MAX);
        // A piece is sorted to its end, a merge is not.
        let one_piece = 20 * ROWS_PER_LOOK as u64;
        for part in 0..10 {
            let kill_after = all / 10 * part + 1;
            let (is_sorted, compared) = sort(kill_after);
            assert!(!is_sorted && compared < kill_after + one_piece, "{part}: {compared} of {all}");
        }
    }
}
