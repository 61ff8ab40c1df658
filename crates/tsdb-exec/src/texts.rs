//! [`TextColumn`]: a column of texts, each of which stands there once, with a number per row.
//!
//! The tags of a million rows of a thousand series are a thousand texts. Numbers take a quarter of the memory of
//! shared pointers, and sorting and copying rows counts no references.

use std::sync::Arc;

use tsdb_core::CancelToken;

use crate::Result;
use crate::pace::ROWS_PER_LOOK;

/// A column of texts, some of which may be absent.
#[derive(Debug, Clone, Default)]
pub struct TextColumn {
    /// Per row, the place of its text.
    numbers: Vec<u32>,
    /// The texts, of which equal ones may stand there several times. Shared by the columns that are picked from
    /// one.
    texts: Arc<Vec<Option<Arc<str>>>>,
}

impl TextColumn {
    /// Memory of a row in bytes, apart from the texts.
    pub(crate) const ROW_BYTES: usize = size_of::<u32>();

    /// A column of the texts at the places `numbers`, one per row.
    pub(crate) fn of(numbers: Vec<u32>, texts: Arc<Vec<Option<Arc<str>>>>) -> TextColumn {
        TextColumn { numbers, texts }
    }

    /// Number of rows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.numbers.len()
    }

    /// True without rows.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.numbers.is_empty()
    }

    /// The text of row `row`, if it has one.
    #[must_use]
    pub fn get(&self, row: usize) -> Option<&Arc<str>> {
        self.texts.get(*self.numbers.get(row)? as usize)?.as_ref()
    }

    /// The rows in order.
    pub fn iter(&self) -> impl Iterator<Item = Option<&Arc<str>>> {
        (0..self.len()).map(|row| self.get(row))
    }

    /// Appends `count` rows with one text.
    pub(crate) fn extend(&mut self, count: usize, text: Option<&Arc<str>>) {
        let same = |last: &Option<Arc<str>>| match (last, text) {
            (Some(last), Some(text)) => Arc::ptr_eq(last, text),
            (None, None) => true,
            _ => false,
        };
        if !self.texts.last().is_some_and(same) {
            Arc::make_mut(&mut self.texts).push(text.cloned());
        }
        // Four billion texts would have been too many for the memory of a query long before.
        let number = u32::try_from(self.texts.len() - 1).unwrap_or(u32::MAX);
        self.numbers.resize(self.numbers.len() + count, number);
    }

    /// Appends the rows of another column.
    pub(crate) fn append(&mut self, later: &mut TextColumn) {
        let before = u32::try_from(self.texts.len()).unwrap_or(u32::MAX);
        Arc::make_mut(&mut self.texts).extend(later.texts.iter().cloned());
        later.texts = Arc::default();
        self.numbers.extend(later.numbers.drain(..).map(|number| before.saturating_add(number)));
    }

    /// The rows `rows`, in that order.
    ///
    /// # Errors
    /// A token that was used.
    pub(crate) fn pick(&self, rows: &[usize], cancel: &CancelToken) -> Result<TextColumn> {
        let mut numbers = Vec::with_capacity(rows.len());
        for some in rows.chunks(ROWS_PER_LOOK) {
            cancel.check()?;
            numbers.extend(some.iter().filter_map(|row| self.numbers.get(*row)));
        }
        Ok(TextColumn { numbers, texts: Arc::clone(&self.texts) })
    }

    /// Gives back room that no row takes.
    pub(crate) fn shrink(&mut self) {
        self.numbers.shrink_to_fit();
    }

    /// Makes room for `rows` rows in all.
    pub(crate) fn make_room(&mut self, rows: usize) {
        self.numbers.reserve_exact(rows.saturating_sub(self.numbers.len()));
    }

    /// Gives each row without a text that of the row before it.
    pub(crate) fn fill_previous(&mut self) {
        let mut previous = None;
        for number in &mut self.numbers {
            let is_absent = self.texts.get(*number as usize).is_none_or(Option::is_none);
            match previous {
                Some(previous) if is_absent => *number = previous,
                _ if is_absent => {}
                _ => previous = Some(*number),
            }
        }
    }

    /// Memory of the column in bytes, apart from the texts themselves.
    #[cfg(test)]
    pub(crate) fn bytes(&self) -> usize {
        self.numbers.capacity() * size_of::<u32>()
            + self.texts.capacity() * size_of::<Option<Arc<str>>>()
    }
}

/// Equal rows are equal columns.
impl PartialEq for TextColumn {
    fn eq(&self, other: &TextColumn) -> bool {
        self.iter().eq(other.iter())
    }
}

impl From<Vec<Option<Arc<str>>>> for TextColumn {
    /// A row for each text, in their order.
    fn from(texts: Vec<Option<Arc<str>>>) -> TextColumn {
        TextColumn { numbers: (0..).take(texts.len()).collect(), texts: Arc::new(texts) }
    }
}

impl FromIterator<Option<Arc<str>>> for TextColumn {
    fn from_iter<I: IntoIterator<Item = Option<Arc<str>>>>(rows: I) -> TextColumn {
        let mut texts = TextColumn::default();
        rows.into_iter().for_each(|text| texts.extend(1, text.as_ref()));
        texts
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_rows() -> impl Strategy<Value = Vec<Option<Arc<str>>>> {
        prop::collection::vec(prop::option::of("[ab]{0,1}").prop_map(|t| t.map(Arc::from)), 0..40)
    }

    fn rows(texts: &TextColumn) -> Vec<Option<Arc<str>>> {
        texts.iter().map(|text| text.cloned()).collect()
    }

    proptest! {
        /// A list of shared texts is the model.
        #[test]
        fn a_column_is_a_list_of_texts(
            first in any_rows(),
            second in any_rows(),
            count in 0usize..4,
            places in prop::collection::vec(0usize..90, 0..30),
        ) {
            let mut model = first.clone();
            let mut texts: TextColumn = first.into_iter().collect();
            prop_assert_eq!(rows(&texts), model.clone());
            prop_assert_eq!(&texts, &TextColumn::from(model.clone()));
            texts.append(&mut second.iter().cloned().collect());
            model.extend(second);
            let last = model.last().cloned().flatten();
            texts.extend(count, last.as_ref());
            model.extend(std::iter::repeat_n(last, count));
            prop_assert_eq!(rows(&texts), model.clone());
            prop_assert_eq!(&texts, &model.iter().cloned().collect());

            let places: Vec<usize> = places.into_iter().filter(|at| *at < model.len()).collect();
            let picked = texts.pick(&places, &CancelToken::new()).unwrap();
            let expected: Vec<_> = places.iter().map(|at| model[*at].clone()).collect();
            prop_assert_eq!(rows(&picked), expected);

            texts.fill_previous();
            let mut previous = None;
            for text in &mut model {
                match text {
                    Some(text) => previous = Some(Arc::clone(text)),
                    None => text.clone_from(&previous),
                }
            }
            prop_assert_eq!(rows(&texts), model);
        }
    }
}
