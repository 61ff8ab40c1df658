//! What a statement answers, column by column and free of any protocol.

use std::sync::Arc;

use tsdb_core::CancelToken;

use crate::Result;
use crate::letgo::let_go;
use crate::memory::Charge;
use crate::pace::ROWS_PER_LOOK;
use crate::texts::TextColumn;

/// The answer to one statement. Holds its share of the memory budget until it is dropped.
#[derive(Debug, Default)]
pub struct StatementResult {
    /// Tables, in the order in which they are shown.
    pub series: Vec<Series>,
    /// Things that the user should know.
    pub messages: Vec<Message>,
    /// IANA name of the zone that timestamps are to be shown in; UTC when absent.
    pub time_zone: Option<String>,
    /// Keeps the memory of the columns charged.
    pub(crate) charge: Option<Charge>,
}

/// One table of an answer.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Series {
    /// Its name, usually the measurement; some statements give none.
    pub name: Option<Arc<str>>,
    /// The tags that the statement groups by, sorted by key; a missing tag is the empty string.
    pub tags: Vec<(Arc<str>, Arc<str>)>,
    /// The timestamp of each row in ns: the column `time`, which stands before the others. Absent in
    /// answers of SHOW.
    pub times: Option<Vec<i64>>,
    /// The other columns, all of one length.
    pub columns: Vec<ResultColumn>,
}

/// A part of an answer: a table, or some of the rows of a long one.
#[derive(Debug, Clone, Copy)]
pub struct Slice<'s> {
    /// The rows, with the head of their table.
    pub table: &'s Series,
    /// Rows of the same table came before.
    pub continues: bool,
    /// Rows of the same table follow in the next slice.
    pub goes_on: bool,
    /// As [`StatementResult::time_zone`].
    pub time_zone: Option<&'s str>,
}

impl<'s> Slice<'s> {
    /// A table, all of it.
    #[must_use]
    pub fn whole(table: &'s Series, time_zone: Option<&'s str>) -> Slice<'s> {
        Slice { table, continues: false, goes_on: false, time_zone }
    }
}

/// A column of a [`Series`].
#[derive(Debug, Clone, PartialEq)]
pub struct ResultColumn {
    /// Its name.
    pub name: Arc<str>,
    /// Its values, one per row.
    pub values: Values,
}

/// Values of one type; null where there is none.
#[derive(Debug, Clone, PartialEq)]
pub enum Values {
    /// Fields and what is computed from them. NaN and infinities are values.
    Floats(Vec<f64>, Validity),
    /// Counts.
    Integers(Vec<i64>, Validity),
    /// Truth values.
    Booleans(Vec<bool>),
    /// Tags and names; absent ones are null.
    Strings(TextColumn),
}

/// Which rows of a column have a value. Takes no memory while all have one.
#[derive(Debug, Clone, Default)]
pub struct Validity {
    count: usize,
    /// Empty while all rows have a value.
    flags: Vec<bool>,
}

/// A remark beside the answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// How grave, in InfluxDB's words: "info" or "warning".
    pub level: &'static str,
    /// The remark.
    pub text: String,
}

impl StatementResult {
    /// An answer of one table.
    pub fn of(series: Series) -> StatementResult {
        StatementResult { series: vec![series], ..StatementResult::default() }
    }

    /// Its tables, each whole.
    pub fn slices(&self) -> impl Iterator<Item = Slice<'_>> {
        let time_zone = self.time_zone.as_deref();
        self.series.iter().map(move |table| Slice::whole(table, time_zone))
    }

    /// Drops it; a large one on another thread, since to free millions of texts and tables takes longer than
    /// anybody should wait for.
    pub fn let_go(self) {
        let items = self.series.len().max(self.rows());
        let_go(self, items);
    }

    /// Keeps `charge`, which pays for a part of the tables, as long as they are there.
    pub(crate) fn pay(&mut self, charge: Charge) {
        match &mut self.charge {
            Some(paid) => paid.merge(charge),
            none => *none = Some(charge),
        }
    }

    /// Number of rows in all tables.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.series.iter().map(Series::rows).sum()
    }
}

impl Series {
    /// Number of rows.
    #[must_use]
    pub fn rows(&self) -> usize {
        match (&self.times, self.columns.first()) {
            (Some(times), _) => times.len(),
            (None, Some(column)) => column.values.len(),
            (None, None) => 0,
        }
    }

    /// Leaves out the first `count` rows.
    ///
    /// # Errors
    /// A token that was used.
    pub(crate) fn skip(&mut self, count: usize, cancel: &CancelToken) -> Result<()> {
        if count == 0 {
            return Ok(());
        }
        let rows: Vec<usize> = (count..self.rows()).collect();
        for column in &mut self.columns {
            column.values = column.values.pick(&rows, cancel)?;
        }
        if let Some(times) = &mut self.times {
            times.drain(..count.min(times.len()));
        }
        Ok(())
    }

    /// A table without times.
    pub fn table(name: Option<Arc<str>>, columns: Vec<ResultColumn>) -> Series {
        Series { name, columns, ..Series::default() }
    }
}

impl ResultColumn {
    /// Whether every row has a value.
    pub(crate) fn is_full(&self) -> bool {
        match &self.values {
            Values::Floats(values, valid) => (0..values.len()).all(|row| valid.get(row)),
            Values::Integers(values, valid) => (0..values.len()).all(|row| valid.get(row)),
            Values::Booleans(_) => true,
            Values::Strings(values) => values.iter().all(|text| text.is_some()),
        }
    }

    /// A column of texts.
    pub fn texts(name: &str, texts: impl IntoIterator<Item = Arc<str>>) -> ResultColumn {
        let values = Values::Strings(texts.into_iter().map(Some).collect::<Vec<_>>().into());
        ResultColumn { name: name.into(), values }
    }
}

impl Values {
    /// Number of rows.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Values::Floats(values, _) => values.len(),
            Values::Integers(values, _) => values.len(),
            Values::Booleans(values) => values.len(),
            Values::Strings(values) => values.len(),
        }
    }

    /// True without rows.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The number in a row; a text is none.
    #[expect(clippy::cast_precision_loss, reason = "fields are floats; counts are below 2^53")]
    pub(crate) fn number(&self, row: usize) -> Option<f64> {
        match self {
            Values::Floats(values, valid) => values.get(row).copied().filter(|_| valid.get(row)),
            Values::Integers(values, valid) => {
                values.get(row).filter(|_| valid.get(row)).map(|value| *value as f64)
            }
            Values::Booleans(values) => values.get(row).map(|value| f64::from(u8::from(*value))),
            Values::Strings(_) => None,
        }
    }
}

impl Values {
    /// Appends a column of the same type.
    pub(crate) fn append(&mut self, mut later: Values) {
        match (self, &mut later) {
            (Values::Floats(to, valid), Values::Floats(from, more)) => {
                to.append(from);
                valid.append(more);
            }
            (Values::Integers(to, valid), Values::Integers(from, more)) => {
                to.append(from);
                valid.append(more);
            }
            (Values::Booleans(to), Values::Booleans(from)) => to.append(from),
            (Values::Strings(to), Values::Strings(from)) => to.append(from),
            _ => debug_assert!(false, "columns of different types"),
        }
    }

    /// The rows `rows`, in that order.
    ///
    /// # Errors
    /// A token that was used.
    pub(crate) fn pick(&self, rows: &[usize], cancel: &CancelToken) -> Result<Values> {
        fn each<T: Clone>(values: &[T], rows: &[usize], cancel: &CancelToken) -> Result<Vec<T>> {
            let mut picked = Vec::with_capacity(rows.len());
            for some in rows.chunks(ROWS_PER_LOOK) {
                cancel.check()?;
                picked.extend(some.iter().filter_map(|row| values.get(*row).cloned()));
            }
            Ok(picked)
        }
        Ok(match self {
            Values::Floats(values, valid) => {
                Values::Floats(each(values, rows, cancel)?, valid.pick(rows))
            }
            Values::Integers(values, valid) => {
                Values::Integers(each(values, rows, cancel)?, valid.pick(rows))
            }
            Values::Booleans(values) => Values::Booleans(each(values, rows, cancel)?),
            Values::Strings(values) => Values::Strings(values.pick(rows, cancel)?),
        })
    }

    /// Bytes of a row, which say of a text that it is shared.
    pub(crate) fn row_bytes(&self) -> usize {
        match self {
            Values::Floats(..) => size_of::<f64>() + 1,
            Values::Integers(..) => size_of::<i64>() + 1,
            Values::Booleans(_) => 1,
            Values::Strings(_) => TextColumn::ROW_BYTES,
        }
    }

    /// Gives back room that no row takes.
    pub(crate) fn shrink(&mut self) {
        match self {
            Values::Floats(values, validity) => {
                values.shrink_to_fit();
                validity.flags.shrink_to_fit();
            }
            Values::Integers(values, validity) => {
                values.shrink_to_fit();
                validity.flags.shrink_to_fit();
            }
            Values::Booleans(values) => values.shrink_to_fit(),
            Values::Strings(values) => values.shrink(),
        }
    }

    /// Makes room for `rows` rows in all.
    pub(crate) fn make_room(&mut self, rows: usize) {
        fn each<T>(values: &mut Vec<T>, rows: usize) {
            values.reserve_exact(rows.saturating_sub(values.len()));
        }
        match self {
            Values::Floats(values, validity) => {
                each(values, rows);
                validity.make_room(rows);
            }
            Values::Integers(values, validity) => {
                each(values, rows);
                validity.make_room(rows);
            }
            Values::Booleans(values) => each(values, rows),
            Values::Strings(values) => values.make_room(rows),
        }
    }
}

impl Validity {
    /// `count` rows that all have a value.
    #[must_use]
    pub fn all(count: usize) -> Validity {
        Validity { count, flags: Vec::new() }
    }

    /// Appends a row.
    pub fn push(&mut self, present: bool) {
        if !present && self.flags.is_empty() {
            self.flags.resize(self.count, true);
        }
        self.count += 1;
        if !present || !self.flags.is_empty() {
            self.flags.push(present);
        }
    }

    /// Appends `count` rows that have values.
    pub(crate) fn extend_present(&mut self, count: usize) {
        self.count += count;
        if !self.flags.is_empty() {
            self.flags.resize(self.count, true);
        }
    }

    /// Makes room for `rows` rows in all, where there are flags.
    fn make_room(&mut self, rows: usize) {
        if !self.flags.is_empty() {
            self.flags.reserve_exact(rows.saturating_sub(self.flags.len()));
        }
    }

    fn append(&mut self, later: &Validity) {
        if self.flags.is_empty() && later.flags.is_empty() {
            self.count += later.count;
        } else {
            (0..later.count).for_each(|row| self.push(later.get(row)));
        }
    }

    fn pick(&self, rows: &[usize]) -> Validity {
        if self.flags.is_empty() {
            return Validity::all(rows.len());
        }
        let mut picked = Validity::default();
        rows.iter().for_each(|row| picked.push(self.get(*row)));
        picked
    }

    /// Whether row `index` has a value.
    #[must_use]
    pub fn get(&self, index: usize) -> bool {
        if self.flags.is_empty() {
            index < self.count
        } else {
            self.flags.get(index).copied().unwrap_or(false)
        }
    }

    /// Number of rows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.count
    }

    /// True without rows.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }
}

impl PartialEq for Validity {
    fn eq(&self, other: &Validity) -> bool {
        self.count == other.count && (0..self.count).all(|row| self.get(row) == other.get(row))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn validity_counts_from_the_first_gap() {
        let rows = [true, true, false, true, false];
        let mut validity = Validity::default();
        rows.iter().for_each(|present| validity.push(*present));
        let got: Vec<bool> = (0..6).map(|row| validity.get(row)).collect();
        assert_eq!(got, [true, true, false, true, false, false]);
        let mut full = Validity::all(2);
        full.push(true);
        assert_eq!(full, Validity::all(3));
        assert!(!full.get(3) && full != validity);
    }
}
