//! The nth smallest of many items, found in steps between which the search can be given up.

use std::cmp::Ordering;

/// Items that are gone through between two questions whether to stop: some hundred microseconds.
const ITEMS_PER_STEP: usize = 1 << 16;

/// So few are left to the standard library, which asks nobody.
const ITEMS_LEFT: usize = 1 << 17;

/// Items of which the middle one divides the others. The more, the closer to halves; these leave some 60 %
/// at most in nearly all rounds.
const SAMPLE: usize = 63;

/// From so many divisions on the standard library does the rest: the samples have been picked to be bad.
const ROUNDS_MAX: usize = 64;

/// Moves the item that stands at `place` in ascending order there, smaller ones before and greater ones
/// behind it, as `select_nth_unstable_by` does, unless `stop` says to give up; then the items are in some
/// other order. False then, and without a `place` among the items. O(items) in nearly all cases.
pub fn select_nth<T>(
    items: &mut [T],
    place: usize,
    compare: impl Fn(&T, &T) -> Ordering,
    stop: &dyn Fn() -> bool,
) -> bool {
    let mut place = place;
    let mut rest = items;
    for _ in 0..ROUNDS_MAX {
        if place >= rest.len() || stop() {
            return false;
        }
        if rest.len() <= ITEMS_LEFT {
            break;
        }
        let Some(smaller) = divide(rest, &compare, stop) else { return false };
        if place < smaller {
            rest = rest.get_mut(..smaller).unwrap_or_default();
            continue;
        }
        // The item that divided them comes first, and those that are equal to it are put behind it.
        rest = rest.get_mut(smaller..).unwrap_or_default();
        place -= smaller;
        let Some((middle, others)) = rest.split_first_mut() else { return false };
        let is_equal = |item: &T| compare(middle, item) != Ordering::Less;
        let Some(equal) = partition(others, is_equal, stop) else { return false };
        if place <= equal {
            return true;
        }
        rest = rest.get_mut(equal + 1..).unwrap_or_default();
        place -= equal + 1;
    }
    rest.select_nth_unstable_by(place, compare);
    true
}

/// Picks an item, puts what is smaller before it, and says how much that is; nothing if it was stopped.
fn divide<T>(
    items: &mut [T],
    compare: &impl Fn(&T, &T) -> Ordering,
    stop: &dyn Fn() -> bool,
) -> Option<usize> {
    let stride = (items.len() / SAMPLE).max(1);
    // The middle of each stretch: data often has something special at its ends.
    let mut sample: Vec<usize> = (stride / 2..items.len()).step_by(stride).collect();
    sample.sort_unstable_by(|a, b| match (items.get(*a), items.get(*b)) {
        (Some(a), Some(b)) => compare(a, b),
        _ => Ordering::Equal,
    });
    items.swap(0, *sample.get(sample.len() / 2)?);
    let (middle, others) = items.split_first_mut()?;
    let smaller = partition(others, |item| compare(item, middle) == Ordering::Less, stop)?;
    // One place to the left of what is not smaller: the first item is the middle itself.
    items.swap(0, smaller);
    Some(smaller)
}

/// Puts the items that `belongs` holds for before the others, and says how many there are; nothing if it was
/// stopped.
fn partition<T>(
    items: &mut [T],
    belongs: impl Fn(&T) -> bool,
    stop: &dyn Fn() -> bool,
) -> Option<usize> {
    let (mut count, mut at) = (0, 0);
    while at < items.len() {
        if stop() {
            return None;
        }
        let end = items.len().min(at + ITEMS_PER_STEP);
        while at < end {
            if items.get(at).is_some_and(&belongs) {
                items.swap(count, at);
                count += 1;
            }
            at += 1;
        }
    }
    Some(count)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    const COUNT: usize = ITEMS_LEFT * 2 + 17;

    /// Different shapes of many numbers, some with most of them equal.
    fn shapes() -> Vec<Vec<u64>> {
        let shape = |f: &dyn Fn(u64) -> u64| (0..COUNT as u64).map(f).collect::<Vec<_>>();
        vec![
            shape(&|i| i),
            shape(&|i| COUNT as u64 - i),
            shape(&|i| i.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20),
            shape(&|i| i % 3),
            shape(&|_| 7),
            shape(&|i| if i % 1000 == 0 { i } else { 1 }),
            shape(&|i| if i < 1000 { 0 } else { i.wrapping_mul(0x9e37_79b9_7f4a_7c15) % 100 }),
        ]
    }

    #[test]
    fn the_item_at_its_place_is_found_and_divides_the_others() {
        for (number, shape) in shapes().into_iter().enumerate() {
            let mut sorted = shape.clone();
            sorted.sort_unstable();
            let total: u128 = shape.iter().map(|item| u128::from(*item)).sum();
            for place in [0, COUNT / 3, COUNT - 1] {
                let mut items = shape.clone();
                assert!(select_nth(&mut items, place, u64::cmp, &|| false), "{number} {place}");
                let item = items[place];
                assert_eq!(item, sorted[place], "{number} {place}");
                assert!(items[..place].iter().all(|before| *before <= item), "{number} {place}");
                assert!(items[place..].iter().all(|behind| *behind >= item), "{number} {place}");
                let left: u128 = items.iter().map(|item| u128::from(*item)).sum();
                assert_eq!(left, total, "nothing is lost");
            }
        }
        assert!(!select_nth(&mut [1, 2], 2, u64::cmp, &|| false));
        assert!(!select_nth(&mut [], 0, u64::cmp, &|| false));
    }

    #[test]
    fn a_search_asks_in_every_step_and_does_nothing_once_it_is_to_stop() {
        let (asked, compared) = (Cell::new(0), Cell::new(0_usize));
        let shape: Vec<u64> = (0..COUNT as u64).rev().collect();
        for patience in 0..5 {
            asked.set(0);
            let stop = || {
                asked.set(asked.get() + 1);
                let since = compared.replace(0);
                assert!(since <= ITEMS_PER_STEP + SAMPLE * SAMPLE, "{since} items in one step");
                asked.get() > patience
            };
            let compare = |a: &u64, b: &u64| {
                compared.set(compared.get() + 1);
                a.cmp(b)
            };
            assert!(!select_nth(&mut shape.clone(), COUNT / 2, compare, &stop));
            assert_eq!((asked.get(), compared.get()), (patience + 1, 0));
        }
    }
}
