//! Postings of the registry as they are kept: short or scattered ones as a vector, dense ones as a compressed bitmap
//! (Chambi, Lemire, Kaser, Godin 2016, "Better bitmap performance with Roaring bitmaps").

use std::borrow::Cow;

use roaring::RoaringBitmap;

use crate::postings;

/// Bytes of a bitmap's container beside its numbers, about: what a stretch of 65536 numbers costs.
const CONTAINER_BYTES: usize = 64;

/// Shortest list that may become a bitmap.
const BITMAP_FROM: usize = 64;

/// Numbers, ascending. A number takes 4 bytes in a vector, at most 2 in a bitmap, and an eighth of one where they follow
/// each other.
#[derive(Debug, Clone)]
pub(crate) enum PostingList {
    Few(Vec<u32>),
    Many(RoaringBitmap),
}

impl Default for PostingList {
    fn default() -> Self {
        PostingList::Few(Vec::new())
    }
}

impl PostingList {
    /// A list of two numbers.
    pub(crate) fn of_two(a: u32, b: u32) -> PostingList {
        PostingList::Few(vec![a.min(b), a.max(b)])
    }

    /// Adds a number. O(1) at the end, where new ones belong, else O(n), amortised.
    pub(crate) fn insert(&mut self, number: u32) {
        match self {
            PostingList::Few(list) if list.len() < list.capacity() => {
                postings::insert(list, number);
            }
            PostingList::Few(list) if bitmap_is_smaller(list) => {
                let mut bitmap: RoaringBitmap = list.iter().copied().collect();
                bitmap.insert(number);
                *self = PostingList::Many(bitmap);
            }
            PostingList::Few(list) => {
                list.reserve_exact((list.len() / 2).max(2));
                postings::insert(list, number);
            }
            PostingList::Many(bitmap) => {
                bitmap.insert(number);
            }
        }
    }

    /// How many there are. O(1), or O(n / 65536) for a bitmap.
    pub(crate) fn len(&self) -> u64 {
        match self {
            PostingList::Few(list) => list.len() as u64,
            PostingList::Many(bitmap) => bitmap.len(),
        }
    }

    /// The numbers. O(1), or O(n) for a bitmap.
    pub(crate) fn numbers(&self) -> Cow<'_, [u32]> {
        match self {
            PostingList::Few(list) => Cow::Borrowed(list),
            PostingList::Many(bitmap) => Cow::Owned(bitmap.iter().collect()),
        }
    }

    /// Puts the numbers behind those of `out`.
    pub(crate) fn append_to(&self, out: &mut Vec<u32>) {
        match self {
            PostingList::Few(list) => out.extend_from_slice(list),
            PostingList::Many(bitmap) => out.extend(bitmap),
        }
    }
}

/// Whether a bitmap of `list`, which is ascending, takes less than half of its memory: then it is worth the conversion.
fn bitmap_is_smaller(list: &[u32]) -> bool {
    let (Some(first), Some(last)) = (list.first(), list.last()) else { return false };
    let containers = (last / 65536 - first / 65536 + 1) as usize;
    list.len() >= BITMAP_FROM && containers.saturating_mul(CONTAINER_BYTES) < list.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn a_list_is_the_set_of_its_numbers(
            numbers in prop::collection::vec(
                prop_oneof![0u32..500, 65_000u32..70_000, any::<u32>()], 0..2000),
            dense in 0u32..4000,
        ) {
            let mut list = PostingList::default();
            let numbers: Vec<u32> = (0..dense).chain(numbers).collect();
            numbers.iter().for_each(|number| list.insert(*number));
            let expected: Vec<u32> = numbers.into_iter().collect::<BTreeSet<_>>().into_iter().collect();
            let mut appended = vec![7];
            list.append_to(&mut appended);
            prop_assert_eq!(&appended[1..], &*expected);
            prop_assert_eq!(&*list.numbers(), &*expected);
            prop_assert_eq!(list.len(), expected.len() as u64);
        }
    }

    #[test]
    fn dense_lists_become_bitmaps_and_scattered_ones_do_not() {
        let (mut dense, mut scattered) = (PostingList::of_two(1, 0), PostingList::default());
        for number in 0..1000 {
            dense.insert(number);
            scattered.insert(number * 100_000 % 4_000_000_000);
        }
        assert!(matches!(dense, PostingList::Many(_)));
        assert!(matches!(scattered, PostingList::Few(_)));
    }
}
