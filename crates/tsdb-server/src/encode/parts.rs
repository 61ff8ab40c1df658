//! Parts of tables: rows of an answer as they are written at once, whatever slices they came in.

use std::ops::Range;

use tsdb_exec::{Series, Slice};

/// Some rows of a table.
#[derive(Debug, Clone)]
pub struct Part<'s> {
    /// The table, or what is there of it.
    pub table: &'s Series,
    /// Which of its rows.
    pub rows: Range<usize>,
    /// Rows of the same table came before.
    pub continues: bool,
    /// Rows of the same table follow in the next part.
    pub goes_on: bool,
    /// As [`Slice::time_zone`].
    pub time_zone: Option<&'s str>,
}

/// The parts of a slice, of at most `rows_max` rows each (at least 1). A table without rows is a part too.
pub fn parts(slice: Slice<'_>, rows_max: usize) -> impl Iterator<Item = Part<'_>> {
    let (count, step) = (slice.table.rows(), rows_max.max(1));
    (0..count.max(1)).step_by(step).map(move |start| {
        let end = count.min(start.saturating_add(step));
        Part {
            table: slice.table,
            rows: start..end,
            continues: slice.continues || start > 0,
            goes_on: slice.goes_on || end < count,
            time_zone: slice.time_zone,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use tsdb_exec::StatementResult;

    #[test]
    fn parts_cover_all_rows_once_and_say_what_stands_around_them() {
        for (count, rows_max) in [(0, 2), (1, 2), (2, 2), (5, 2), (5, 0), (5, usize::MAX)] {
            for (before, behind) in [(false, false), (true, false), (false, true)] {
                let table = &Series { times: Some((0..count).collect()), ..Series::default() };
                let slice = Slice { table, continues: before, goes_on: behind, time_zone: None };
                let parts: Vec<Part<'_>> = parts(slice, rows_max).collect();
                let count = table.rows();
                let mut seen = 0;
                for part in &parts {
                    assert_eq!(part.rows.start, seen, "in order and without gaps");
                    assert!(part.rows.len() <= rows_max.max(1));
                    assert_eq!(part.continues, before || seen > 0);
                    seen = part.rows.end;
                    assert_eq!(part.goes_on, behind || seen < count);
                }
                assert_eq!(seen, count);
                assert!(!parts.is_empty());
            }
        }
        assert_eq!(StatementResult::default().slices().count(), 0);
    }
}
