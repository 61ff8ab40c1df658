//! Sorting many items, and telling the different ones, in steps between which the statement can end: pieces are
//! sorted by the standard library, then merged.

use std::cmp::Ordering;

use tsdb_core::CancelToken;

use crate::Result;
use crate::memory::Charge;
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
            let mut keep = |item| to.push(item);
            merge(left.iter().copied(), right.iter().copied(), cancel, &compare, &mut keep)?;
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
            let mut keep = |item| merged.push(item);
            merge(left.into_iter(), right.into_iter(), cancel, &T::cmp, &mut keep)?;
            lists.push(merged);
        }
    }
    Ok(lists.pop().unwrap_or_default())
}

/// Collects items of which many are the same. (A hash table does it in less time, but for tenths of a second it
/// cannot be interrupted where it grows.)
#[derive(Debug)]
pub(crate) struct Distinct<'t, T> {
    cancel: &'t CancelToken,
    /// The newest items, in any order.
    batch: Vec<T>,
    /// Sorted lists, each at most half as long as the one before, so that an item is merged as often as the
    /// logarithm of their number.
    lists: Vec<Vec<T>>,
}

/// Items of a batch: sorting it takes some milliseconds.
const BATCH_ITEMS: usize = 1 << 14;

impl<'t, T: Ord + Copy> Distinct<'t, T> {
    /// None yet.
    pub(crate) fn new(cancel: &'t CancelToken) -> Distinct<'t, T> {
        Distinct { cancel, batch: Vec::new(), lists: Vec::new() }
    }

    /// Adds an item; `charge` pays for the list that it is in and for merging it.
    ///
    /// # Errors
    /// A token that was used, memory that is used up.
    pub(crate) fn add(&mut self, item: T, charge: &mut Charge) -> Result<()> {
        if self.batch.len() >= BATCH_ITEMS {
            self.close_batch()?;
        }
        let items: usize = self.lists.iter().map(Vec::len).sum();
        charge.cover((items + BATCH_ITEMS).saturating_mul(2 * size_of::<T>()))?;
        self.batch.push(item);
        Ok(())
    }

    fn close_batch(&mut self) -> Result<()> {
        let mut list = std::mem::take(&mut self.batch);
        list.sort_unstable();
        list.dedup();
        while let Some(before) = self.lists.pop_if(|before| before.len() < 2 * list.len()) {
            list = self.united(&before, &list)?;
        }
        self.lists.push(list);
        Ok(())
    }

    fn united(&self, left: &[T], right: &[T]) -> Result<Vec<T>> {
        let mut all: Vec<T> = Vec::with_capacity(left.len() + right.len());
        let mut keep = |item| {
            if all.last() != Some(&item) {
                all.push(item);
            }
        };
        let (left, right) = (left.iter().copied(), right.iter().copied());
        merge(left, right, self.cancel, &T::cmp, &mut keep)?;
        Ok(all)
    }

    /// The different items, sorted.
    ///
    /// # Errors
    /// A token that was used.
    pub(crate) fn into_sorted(mut self) -> Result<Vec<T>> {
        self.close_batch()?;
        let mut all = Vec::new();
        while let Some(list) = self.lists.pop() {
            all = if all.is_empty() { list } else { self.united(&list, &all)? };
        }
        Ok(all)
    }
}

/// Hands the items of two sorted lists to `keep`, in order.
fn merge<T>(
    left: impl Iterator<Item = T>,
    right: impl Iterator<Item = T>,
    cancel: &CancelToken,
    compare: &impl Fn(&T, &T) -> Ordering,
    keep: &mut impl FnMut(T),
) -> Result<()> {
    let (mut left, mut right) = (left, right);
    let (mut first, mut second) = (left.next(), right.next());
    let mut pace = Pace::new(cancel);
    loop {
        pace.step()?;
        match (first.take(), second.take()) {
            (Some(a), Some(b)) => {
                if compare(&b, &a) == Ordering::Less {
                    keep(b);
                    (first, second) = (Some(a), right.next());
                } else {
                    keep(a);
                    (first, second) = (left.next(), Some(b));
                }
            }
            (Some(item), None) => {
                keep(item);
                first = left.next();
            }
            (None, Some(item)) => {
                keep(item);
                second = right.next();
            }
            (None, None) => return Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::QueryMemory;
    use std::cell::Cell;
    use std::collections::BTreeSet;
    use tsdb_core::{MemoryBudget, Pool};

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
    fn the_different_items_are_told_and_paid_for() {
        let cancel = CancelToken::new();
        let budget = MemoryBudget::default();
        let memory = QueryMemory::new(&budget, None);
        let batch = BATCH_ITEMS as u64;
        for (count, different) in [(0, 1), (5, 3), (batch, batch), (9 * batch + 7, 4 * batch + 3)] {
            let mut charge = memory.charge();
            let mut distinct = Distinct::new(&cancel);
            let items = (0..count).map(|i| i.wrapping_mul(0x9e37_79b9_7f4a_7c15) % different);
            items.clone().for_each(|item| distinct.add(item, &mut charge).unwrap());
            let lists: usize = distinct.lists.iter().map(Vec::capacity).sum();
            assert!(
                budget.used(Pool::Queries) >= (lists + distinct.batch.len()) * size_of::<u64>()
            );
            assert!(distinct.lists.len() <= 5, "{:?}", distinct.lists.len());
            let expected: BTreeSet<u64> = items.collect();
            let got = distinct.into_sorted().unwrap();
            assert!(got == expected.into_iter().collect::<Vec<u64>>(), "{count} {different}");
        }
        let small = QueryMemory::new(&budget, Some(1 << 20));
        let mut charge = small.charge();
        let mut distinct = Distinct::new(&cancel);
        let refused = (0..1 << 20).find_map(|item: u64| distinct.add(item, &mut charge).err());
        assert!(refused.unwrap().to_string().contains("query-memory"));
        let mut charge = memory.charge();
        let mut distinct = Distinct::new(&cancel);
        cancel.kill();
        assert!((0..4 * batch).any(|item| distinct.add(item, &mut charge).is_err()));
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
