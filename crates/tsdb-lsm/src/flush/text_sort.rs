//! Sorts by texts that have long beginnings in common, as the keys of series have: caching multikey quicksort (Ng and
//! Kakehi, "Cache Efficient Radix Sort for String Sorting", 2007).
//!
//! A comparison of two keys reads both texts, somewhere in memory, from their beginning. Here eight bytes of each text
//! stand beside its place in the order; only among texts that have these in common the next eight are fetched.

/// From so few texts on they are compared as a whole.
const FEW: usize = 12;

/// Bytes that are compared at once.
const STEP: usize = size_of::<u64>();

/// A text by its place, with the bytes that are compared now, big-endian, zeros behind its end.
type Cached = (u64, u32);

/// Sorts by the bytes that `text` gives, of which none is another with zeros behind it.
/// O(n log n) comparisons of numbers, and each text is read about once for every eight bytes that tell it from its
/// neighbours.
pub(super) fn sort_by_text<T>(items: &mut Vec<T>, text: impl Fn(&T) -> &[u8]) {
    let mut order: Vec<Cached> = (0u32..).zip(&*items).map(|(place, _)| (0, place)).collect();
    if order.len() < items.len() {
        // More than 2^32.
        items.sort_unstable_by(|a, b| text(a).cmp(text(b)));
        return;
    }
    let text_at = |place: u32| items.get(place as usize).map_or(&[][..], &text);
    sort_from(&mut order, 0, &text_at);
    let mut taken: Vec<Option<T>> = std::mem::take(items).into_iter().map(Some).collect();
    items.extend(order.iter().filter_map(|(_, place)| taken.get_mut(*place as usize)?.take()));
}

/// Sorts texts that have the first `depth` bytes in common.
fn sort_from<'t>(order: &mut [Cached], depth: usize, text: &impl Fn(u32) -> &'t [u8]) {
    let rest = |place: u32| text(place).get(depth..).unwrap_or(&[]);
    if order.len() <= FEW {
        order.sort_unstable_by(|(_, a), (_, b)| rest(*a).cmp(rest(*b)));
        return;
    }
    let Some((_, first)) = order.first() else { return };
    let mut common = rest(*first);
    for (_, place) in order.iter() {
        let same = common.iter().zip(rest(*place)).take_while(|(a, b)| a == b).count();
        common = common.get(..same).unwrap_or(&[]);
    }
    let depth = depth + common.len();
    for (cached, place) in order.iter_mut() {
        let mut bytes = [0; STEP];
        let next = text(*place).get(depth..).unwrap_or(&[]);
        bytes.iter_mut().zip(next).for_each(|(to, byte)| *to = *byte);
        *cached = u64::from_be_bytes(bytes);
    }
    order.sort_unstable_by_key(|(cached, _)| *cached);
    for same in order.chunk_by_mut(|(a, _), (b, _)| a == b) {
        let goes_on = |(_, place): &Cached| text(*place).len() > depth + STEP;
        if same.len() > 1 && same.iter().any(goes_on) {
            sort_from(same, depth + STEP, text);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn texts_are_sorted(
            texts in prop::collection::hash_set(("[ab]{0,20}", "[a-c]{0,9}"), 0..400),
            begin in "[xy]{0,30}",
        ) {
            let text = |(a, b): (String, String)| format!("{begin}{a}\u{e9}{b}.");
            let mut texts: Vec<String> = texts.into_iter().map(text).collect();
            let mut expected = texts.clone();
            expected.sort_unstable();
            sort_by_text(&mut texts, |text| text.as_bytes());
            prop_assert_eq!(texts, expected);
        }
    }
}
