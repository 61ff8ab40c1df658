//! Changes from point to point, as in `SELECT derivative(usage) FROM cpu`: compares the rows of a group, which
//! `rows` has collected. Changes of windows are made where their results are, in `assemble`.

use tsdb_agg::Changes;
use tsdb_core::CancelToken;

use super::rows::GroupRows;
use crate::Result;
use crate::pace::Pace;
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
    ///
    /// # Errors
    /// A token that was used.
    pub(crate) fn of(
        rows: &GroupRows,
        plans: &[ChangePlan],
        cancel: &CancelToken,
    ) -> Result<GroupChanges> {
        let mut times = rows.times.clone();
        times.dedup();
        let columns = plans.iter().map(|plan| column(rows, *plan, &times, cancel));
        let columns = columns.collect::<Result<_>>()?;
        Ok(GroupChanges { times, columns })
    }

    /// The rows in which a column has a value.
    ///
    /// # Errors
    /// A token that was used.
    pub(crate) fn rows(&self, cancel: &CancelToken) -> Result<Vec<usize>> {
        let mut pace = Pace::new(cancel);
        let mut found = Vec::new();
        for row in 0..self.times.len() {
            pace.step()?;
            let value = |column: &Vec<Option<f64>>| column.get(row).is_some_and(Option::is_some);
            if self.columns.iter().any(value) {
                found.push(row);
            }
        }
        Ok(found)
    }
}

/// One change along `rows`; `times` are theirs, each once.
fn column(
    rows: &GroupRows,
    plan: ChangePlan,
    times: &[i64],
    cancel: &CancelToken,
) -> Result<Vec<Option<f64>>> {
    let mut column = vec![None; times.len()];
    let Some(Values::Floats(values, validity)) = rows.columns.get(plan.column) else {
        return Ok(column);
    };
    let mut changes = Changes::new(plan.change);
    let mut pace = Pace::new(cancel);
    let mut place = 0;
    for (row, (time, value)) in rows.times.iter().zip(values).enumerate() {
        pace.step()?;
        while times.get(place).is_some_and(|known| known < time) {
            place += 1;
        }
        let change = if validity.get(row) { changes.step(*time, *value) } else { None };
        if let (Some(change), Some(slot)) = (change, column.get_mut(place)) {
            *slot = Some(change);
        }
    }
    Ok(column)
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
        let cancel = CancelToken::new();
        let found = GroupChanges::of(&rows, &plans, &cancel).unwrap();
        let expected = vec![None, Some(1.0), Some(7.0)];
        assert_eq!(found.times, [0, 10, 20]);
        assert_eq!(found.columns, [expected.clone(), expected, vec![None; 3]]);
        assert_eq!(found.rows(&cancel).unwrap(), [1, 2]);
    }
}
