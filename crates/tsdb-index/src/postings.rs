//! Set algebra on postings: lists of series numbers, strictly increasing.
//!
//! Plain vectors of `u32`. Every function takes sorted lists without repetitions and gives one back.
//! What the numbers mean is the caller's business.

/// From which ratio of lengths on the shorter list is looked up in the longer one instead of merging
/// both. A look-up by galloping costs about two comparisons per doubling of the distance, a merge one
/// per element, so the two meet somewhere between 8 and 32.
const GALLOP_RATIO: usize = 16;

/// Numbers in both lists. O(n + m), or O(n log m) for a short n.
pub fn and(a: &[u32], b: &[u32]) -> Vec<u32> {
    let (short, long) = if a.len() <= b.len() { (a, b) } else { (b, a) };
    let mut out = Vec::with_capacity(short.len());
    let mut long = Seeker::new(long, short.len());
    out.extend(short.iter().copied().filter(|number| long.contains(*number)));
    out
}

/// Numbers of `a` that are not in `b`. O(n + m), or O(n log m) for a short n.
pub fn and_not(a: &[u32], b: &[u32]) -> Vec<u32> {
    let mut out = Vec::with_capacity(a.len());
    let mut b = Seeker::new(b, a.len());
    out.extend(a.iter().copied().filter(|number| !b.contains(*number)));
    out
}

/// Numbers in one list or both. O(n + m).
pub fn or(a: &[u32], b: &[u32]) -> Vec<u32> {
    let mut out = Vec::with_capacity(a.len() + b.len());
    let (mut a, mut b) = (a.iter().copied().peekable(), b.iter().copied().peekable());
    while let (Some(x), Some(y)) = (a.peek().copied(), b.peek().copied()) {
        out.push(x.min(y));
        a.next_if(|_| x <= y);
        b.next_if(|_| y <= x);
    }
    out.extend(a);
    out.extend(b);
    out
}

/// Numbers that are in every list; none for no lists. Shortest lists first, so that the intermediate
/// results stay small.
pub fn and_all(mut lists: Vec<&[u32]>) -> Vec<u32> {
    lists.sort_unstable_by_key(|list| list.len());
    let mut lists = lists.into_iter();
    let mut found = lists.next().map(<[u32]>::to_vec).unwrap_or_default();
    for list in lists {
        if found.is_empty() {
            break;
        }
        found = and(&found, list);
    }
    found
}

/// Makes one sorted list of several that were put behind each other. O(n log k) for k lists: the
/// standard library's stable sort finds the runs and merges them.
pub fn normalise(concatenated: &mut Vec<u32>) {
    concatenated.sort();
    concatenated.dedup();
}

/// Adds a number. O(1) at the end, where new numbers belong, else O(n).
pub fn insert(list: &mut Vec<u32>, number: u32) {
    match list.last() {
        Some(last) if *last >= number => {
            if let Err(at) = list.binary_search(&number) {
                list.insert(at, number);
            }
        }
        _ => list.push(number),
    }
}

/// Looks up increasing numbers in a sorted list.
struct Seeker<'a> {
    rest: &'a [u32],
    gallop: bool,
}

impl<'a> Seeker<'a> {
    fn new(list: &'a [u32], lookups: usize) -> Seeker<'a> {
        Seeker { rest: list, gallop: list.len() / GALLOP_RATIO > lookups }
    }

    /// Whether `number`, which is greater than all before, is in the list.
    fn contains(&mut self, number: u32) -> bool {
        let skip = if self.gallop {
            gallop(self.rest, number)
        } else {
            self.rest.iter().take_while(|other| **other < number).count()
        };
        self.rest = self.rest.get(skip..).unwrap_or_default();
        self.rest.first() == Some(&number)
    }
}

/// How many numbers of `list` are below `number`: doubles the step until it is passed, then bisects.
fn gallop(list: &[u32], number: u32) -> usize {
    let mut step = 1;
    while list.get(step - 1).is_some_and(|other| *other < number) {
        step *= 2;
    }
    let (from, to) = (step / 2, step.min(list.len()));
    let window = list.get(from..to).unwrap_or_default();
    from + window.partition_point(|other| *other < number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn list() -> impl Strategy<Value = BTreeSet<u32>> {
        prop_oneof![
            prop::collection::btree_set(0u32..60, 0..40),
            prop::collection::btree_set(0u32..4000, 0..600),
            prop::collection::btree_set(any::<u32>(), 0..5),
        ]
    }

    fn vec(set: &BTreeSet<u32>) -> Vec<u32> {
        set.iter().copied().collect()
    }

    proptest! {
        #[test]
        fn algebra_is_that_of_sets(a in list(), b in list(), c in list()) {
            let (x, y, z) = (vec(&a), vec(&b), vec(&c));
            prop_assert_eq!(and(&x, &y), a.intersection(&b).copied().collect::<Vec<_>>());
            prop_assert_eq!(or(&x, &y), a.union(&b).copied().collect::<Vec<_>>());
            prop_assert_eq!(and_not(&x, &y), a.difference(&b).copied().collect::<Vec<_>>());
            let all: BTreeSet<u32> = &(&a & &b) & &c;
            prop_assert_eq!(and_all(vec![&x, &y, &z]), vec(&all));
            let mut any = [x, y, z].concat();
            normalise(&mut any);
            prop_assert_eq!(any, vec(&(&(&a | &b) | &c)));
        }

        #[test]
        fn numbers_are_kept_sorted(numbers in prop::collection::vec(0u32..50, 0..60)) {
            let mut list = Vec::new();
            numbers.iter().for_each(|number| insert(&mut list, *number));
            prop_assert_eq!(list, vec(&numbers.into_iter().collect()));
        }
    }
}
