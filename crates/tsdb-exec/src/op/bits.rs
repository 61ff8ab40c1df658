//! Sets of rows as bits, 64 to a word from the lowest bit: the masks of filters and the presence of
//! columns.

use tsdb_core::Column;
use tsdb_core::storage::Presence;

/// Rows per word.
const WORD: usize = 64;

/// The words that hold exactly the rows below `rows`.
pub(crate) fn all(rows: usize) -> Vec<u64> {
    let mut words = vec![u64::MAX; rows.div_ceil(WORD)];
    if let (Some(last), used @ 1..) = (words.last_mut(), rows % WORD) {
        *last = !(u64::MAX << used);
    }
    words
}

/// Keeps in `words` what is in `other` too; words that `other` does not have are empty.
pub(crate) fn intersect(words: &mut [u64], other: &[u64]) {
    for (index, word) in words.iter_mut().enumerate() {
        *word &= other.get(index).copied().unwrap_or(0);
    }
}

/// Adds to `words` what is in `other`.
pub(crate) fn unite(words: &mut [u64], other: &[u64]) {
    for (word, more) in words.iter_mut().zip(other) {
        *word |= more;
    }
}

/// Number of rows in the set.
pub(crate) fn count(words: &[u64]) -> usize {
    words.iter().map(|word| word.count_ones() as usize).sum()
}

/// The rows in the set, in order.
pub(crate) fn iter(words: &[u64]) -> impl Iterator<Item = usize> {
    words.iter().enumerate().flat_map(|(index, word)| {
        let mut left = *word;
        std::iter::from_fn(move || {
            let bit = (left != 0).then(|| left.trailing_zeros() as usize)?;
            left &= left - 1;
            Some(index * WORD + bit)
        })
    })
}

/// The rows below `rows` for which `holds`.
pub(crate) fn collect(rows: usize, mut holds: impl FnMut(usize) -> bool) -> Vec<u64> {
    let mut words = vec![0; rows.div_ceil(WORD)];
    for (index, word) in words.iter_mut().enumerate() {
        for row in index * WORD..rows.min((index + 1) * WORD) {
            *word |= u64::from(holds(row)) << (row % WORD);
        }
    }
    words
}

/// The rows of a block of `rows` that have a value.
pub(crate) fn presence_words(presence: &Presence, rows: usize) -> Vec<u64> {
    match presence {
        Presence::None => vec![0; rows.div_ceil(WORD)],
        Presence::All => all(rows),
        Presence::Some(words) => words.clone(),
    }
}

/// The canonical form of the set `words` among `rows` rows.
pub(crate) fn into_presence(words: Vec<u64>, rows: usize) -> Presence {
    match count(&words) {
        0 => Presence::None,
        n if n == rows => Presence::All,
        _ => Presence::Some(words),
    }
}

/// Takes the value from each row of `column` that is not in `mask`.
pub(crate) fn restrict(column: &mut Column, mask: &[u64], rows: usize) {
    let words = match std::mem::take(&mut column.presence) {
        Presence::None => return,
        Presence::All => mask.to_vec(),
        Presence::Some(mut words) => {
            intersect(&mut words, mask);
            words
        }
    };
    column.presence = into_presence(words, rows);
    if column.presence == Presence::None {
        column.values.clear();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn words_are_sets(
            a in prop::collection::vec(any::<bool>(), 0..200), seed in any::<u64>(),
        ) {
            let rows = a.len();
            let b: Vec<bool> = (0..rows).map(|i| seed >> (i % 64) & 1 == 1).collect();
            let (set_a, set_b) = (collect(rows, |i| a[i]), collect(rows, |i| b[i]));
            let (mut both, mut either) = (set_a.clone(), set_a.clone());
            intersect(&mut both, &set_b);
            unite(&mut either, &set_b);
            let list = |holds: &dyn Fn(usize) -> bool| (0..rows).filter(|i| holds(*i)).collect::<Vec<_>>();
            prop_assert_eq!(iter(&both).collect::<Vec<_>>(), list(&|i| a[i] && b[i]));
            prop_assert_eq!(iter(&either).collect::<Vec<_>>(), list(&|i| a[i] || b[i]));
            prop_assert_eq!(iter(&all(rows)).count(), rows);
            let mut column = Column::default();
            column.fill(a.iter().map(|present| present.then_some(1.0)));
            restrict(&mut column, &set_b, rows);
            let mut expected = Column::default();
            expected.fill(a.iter().zip(&b).map(|(x, y)| (*x && *y).then_some(1.0)));
            prop_assert_eq!(column.presence, expected.presence);
        }
    }
}
