//! An answer slice by slice, for who sends it on: of plain rows, however many, there are never more than the rows as
//! they came and one slice of them in order.

use tsdb_agg::Fill;
use tsdb_core::storage::Order;

use super::{Kept, Runner, check_rows};
use crate::Result;
use crate::letgo::let_go;
use crate::plan::{ScanPlan, SelectPlan, Work};
use crate::result::{Series, Slice, StatementResult};

impl Runner<'_> {
    /// Hands each table of the answer to `take`, in their order, a table of plain rows in slices.
    /// What it returns is the answer without its tables.
    ///
    /// # Errors
    /// As [`Runner::run`]; what `take` says. Slices may have been handed out before.
    pub(crate) fn run_in_slices(
        &self,
        plan: &SelectPlan,
        slice_rows: usize,
        take: &mut dyn FnMut(Slice<'_>) -> Result<()>,
    ) -> Result<StatementResult> {
        let time_zone = plan.time_zone.as_deref();
        // Newest first is the whole answer read backwards.
        if plan.frame.order == Order::Descending && plan.scans.len() > 1 {
            let result = self.run(plan)?;
            result.slices().try_for_each(&mut *take)?;
            return Ok(StatementResult::default());
        }
        let mut rows = 0;
        for scan in &plan.scans {
            if comes_in_slices(plan, scan) {
                self.slices(plan, scan, slice_rows, &mut rows, take)?;
                continue;
            }
            let (mut tables, _charge) = self.page_of_tables(plan, scan, &plan.frame_of(scan))?;
            if plan.frame.order == Order::Descending {
                tables.reverse();
            }
            rows += tables.iter().map(Series::rows).sum::<usize>();
            check_rows(rows, self.limits)?;
            tables.iter().try_for_each(|table| take(Slice::whole(table, time_zone)))?;
            let groups = tables.len();
            let_go(tables, groups);
        }
        Ok(StatementResult::default())
    }

    fn slices(
        &self,
        plan: &SelectPlan,
        scan: &ScanPlan,
        slice_rows: usize,
        rows: &mut usize,
        take: &mut dyn FnMut(Slice<'_>) -> Result<()>,
    ) -> Result<()> {
        self.progress.check()?;
        let frame = &plan.frame_of(scan);
        let Some((mut selection, grid)) = self.select(plan, scan, frame)? else { return Ok(()) };
        let kept = self.keep(scan, frame, &mut selection, grid)?;
        self.progress.count_scan(&selection.counters.read());
        if let Some(Kept::Rows(kept)) = kept {
            *rows += kept.shown(frame.page.offset, frame.page.limit);
            check_rows(*rows, self.limits)?;
            self.assembler(plan, scan, frame, &selection, grid)
                .row_slices(kept, slice_rows, take)?;
        }
        let series = selection.series.len();
        let_go(selection, series);
        Ok(())
    }
}

/// Whether a scan gives tables of rows that do not depend on each other, all of which are shown.
fn comes_in_slices(plan: &SelectPlan, scan: &ScanPlan) -> bool {
    let page = &plan.frame.page;
    matches!(scan.work, Work::Rows(_))
        && (page.series_limit, page.series_offset) == (None, None)
        && matches!(plan.frame.fill, Fill::Null | Fill::None)
}
