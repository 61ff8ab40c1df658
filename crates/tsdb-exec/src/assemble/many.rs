//! Tables of the best rows of each group and window. They have the times of their points, so `fill()` has no
//! windows to fill.

use tsdb_core::storage::Order;

use super::Assembler;
use crate::Result;
use crate::op::choose::Chosen;
use crate::op::choose_many::ChooseMany;
use crate::op::rows::Output;
use crate::result::Series;

impl Assembler<'_> {
    /// Tables of chosen rows, one per group that has one.
    pub(crate) fn chosen_many(
        &mut self,
        choose: &ChooseMany<'_>,
        outputs: &[Output],
    ) -> Result<Vec<Series>> {
        let cancel = self.progress.cancel();
        let mut tables = self.tables(choose.groups_count())?;
        let (offset, limit) = self.page();
        for (group, windows) in choose.groups() {
            cancel.check()?;
            let _listed = self.scratch(windows.iter().map(Vec::len).sum(), 0)?;
            let mut rows: Vec<&Chosen> = windows.iter().flatten().collect();
            if self.frame.order == Order::Descending {
                rows.reverse();
            }
            let page = offset.min(rows.len())..offset.saturating_add(limit).min(rows.len());
            let rows: Vec<Option<&Chosen>> =
                rows.get(page).unwrap_or_default().iter().map(|row| Some(*row)).collect();
            if rows.is_empty() {
                continue;
            }
            let times: Vec<i64> = rows.iter().flatten().map(|row| row.time).collect();
            self.charge_rows(times.len(), outputs.len())?;
            let width = rows.iter().flatten().map(|row| row.row.len()).max().unwrap_or(0);
            let _scratch = self.scratch(times.len(), width.saturating_add(2))?;
            let inputs = self.columns_of(&rows)?;
            let values = self.outputs(outputs, &inputs, &rows)?;
            tables.push(self.table(group, times, values, |_, _| false)?);
        }
        Ok(tables.into_vec())
    }
}
