//! Changes from point to point, as in `SELECT derivative(usage) FROM cpu`: compares the rows of a group, which
//! `rows` has collected. Changes of windows are made where their results are, in `assemble`.

use tsdb_agg::Changes;

use super::rows::GroupRows;
use crate::plan::ChangePlan;
use crate::result::Values;

/// The changes of one group: per distinct time a row, per change a column.
#[derive(Debug, PartialEq)]
pub(crate) struct GroupChanges {
    /// In ns, ascending.
    pub(crate) times: Vec<i64>,
    pub(crate) columns: Vec<Vec<Option<f64>>>,
}

impl GroupChanges {
    /// The changes that `plans` ask for along `rows`, which are in ascending order of time. All series of the
    /// group are one sequence, and of several values with one time the first counts, as in InfluxQL.
    pub(crate) fn of(rows: &GroupRows, plans: &[ChangePlan]) -> GroupChanges {
        let mut times = rows.times.clone();
        times.dedup();
        let columns = plans.iter().map(|plan| column(rows, *plan, &times)).collect();
        GroupChanges { times, columns }
    }

    /// The rows in which a column has a value.
    pub(crate) fn rows(&self) -> Vec<usize> {
        let has_value = |row: &usize| {
            self.columns.iter().any(|column| column.get(*row).is_some_and(Option::is_some))
        };
        (0..self.times.len()).filter(has_value).collect()
    }
}

/// One change along `rows`; `times` are theirs, each once.
fn column(rows: &GroupRows, plan: ChangePlan, times: &[i64]) -> Vec<Option<f64>> {
    let mut column = vec![None; times.len()];
    let Some(Values::Floats(values, validity)) = rows.columns.get(plan.column) else {
        return column;
    };
    let mut changes = Changes::new(plan.change);
    let mut place = 0;
    for (row, (time, value)) in rows.times.iter().zip(values).enumerate() {
        while times.get(place).is_some_and(|known| known < time) {
            place += 1;
        }
        let change = if validity.get(row) { changes.step(*time, *value) } else { None };
        if let (Some(change), Some(slot)) = (change, column.get_mut(place)) {
            *slot = Some(change);
        }
    }
    column
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::Validity;
    use tsdb_agg::Change;

    #[test]
    fn series_of_a_group_are_one_sequence() {
        let cells = [Some(1.0), Some(5.0), None, Some(2.0), Some(9.0)];
        let mut validity = Validity::default();
        cells.iter().for_each(|cell| validity.push(cell.is_some()));
        let values =
            Values::Floats(cells.iter().map(|cell| cell.unwrap_or(0.0)).collect(), validity);
        let rows = GroupRows { times: vec![0, 0, 10, 10, 20], columns: vec![values] };
        let plan = |change| ChangePlan { change, column: 0 };
        let plans = [
            plan(Change::Difference),
            plan(Change::Derivative { unit_ns: 10 }),
            ChangePlan { change: Change::Difference, column: 7 },
        ];
        let found = GroupChanges::of(&rows, &plans);
        let expected = vec![None, Some(1.0), Some(7.0)];
        assert_eq!(found.times, [0, 10, 20]);
        assert_eq!(found.columns, [expected.clone(), expected, vec![None; 3]]);
        assert_eq!(found.rows(), [1, 2]);
    }
}
