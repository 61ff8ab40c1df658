//! Windows at the end of time where an answer begins, read alone where LIMIT asks for no more.

use tsdb_agg::Fill;
use tsdb_core::TimeRange;
use tsdb_core::storage::{Order, Windows};
use tsdb_core::time::window_start;
use tsdb_ql::Page;

use super::{Runner, Tables};
use crate::Result;
use crate::plan::{Frame, ScanPlan, SelectPlan, Work};
use crate::result::{ResultColumn, Series};

/// Most windows that are tried for alone before all are read: a try in vain must cost little.
const END_WINDOWS_MAX: u64 = 10_000;
/// The oldest windows are tried for alone if they are at most one of so many parts of the time that has rows.
const PART_OF_TIME_MAX: u64 = 8;

impl Runner<'_> {
    /// `GROUP BY time(…) LIMIT n` without other groups: tries to answer from the n windows alone at the end of time
    /// where the answer begins. That is the answer only if each of them has a value in every column; otherwise
    /// rows further on say where the answer begins and what fills the gaps, and all must be read.
    pub(super) fn windows_at_the_end(
        &self,
        plan: &SelectPlan,
        scan: &ScanPlan,
    ) -> Result<Option<Tables>> {
        let frame = &plan.frame;
        let Some((time, shown)) = self.end_to_try(plan, scan)? else { return Ok(None) };
        let page = Page { limit: Some(shown), offset: None, ..frame.page };
        let end = Frame { time, has_start: true, fill: Fill::None, page, ..frame.clone() };
        let (mut tables, charge) = self.scan(plan, scan, &end)?;
        let full = |table: &Series| {
            table.rows() as u64 == shown && table.columns.iter().all(ResultColumn::is_full)
        };
        if tables.len() != 1 || !tables.iter().all(full) {
            return Ok(None);
        }
        let offset = usize::try_from(frame.page.offset.unwrap_or(0)).unwrap_or(usize::MAX);
        for table in &mut tables {
            table.skip(offset, self.progress.cancel())?;
        }
        Ok(Some((tables, charge)))
    }

    /// The time of the windows that are tried for alone, and their number; `None` where all are read at once.
    pub(crate) fn end_to_try(
        &self,
        plan: &SelectPlan,
        scan: &ScanPlan,
    ) -> Result<Option<(TimeRange, u64)>> {
        let frame = &plan.frame;
        let (Some(windows), Some(limit)) = (frame.windows, frame.page.limit) else {
            return Ok(None);
        };
        // Rows of a subquery are there already, wherever they lie.
        if scan.derived.is_some() {
            return Ok(None);
        }
        // The first of the windows may need those before it, as an area does and a forecast.
        if frame.lead > 0 || matches!(scan.work, Work::Streams(_)) {
            return Ok(None);
        }
        let shown = limit.saturating_add(frame.page.offset.unwrap_or(0));
        if shown > END_WINDOWS_MAX || !plan.group_keys.is_empty() {
            return Ok(None);
        }
        let time = match frame.order {
            Order::Ascending => self.oldest(shown, windows, plan, scan)?,
            Order::Descending => newest(shown, windows, frame.time),
        };
        Ok(time.map(|time| (time, shown)))
    }

    /// The time of the first `shown` windows, if it is a small part of all.
    fn oldest(
        &self,
        shown: u64,
        windows: Windows,
        plan: &SelectPlan,
        scan: &ScanPlan,
    ) -> Result<Option<TimeRange>> {
        let frame = &plan.frame;
        let all = self.snapshot(scan).estimate(&self.request(plan, scan, frame))?;
        let first = if frame.has_start { frame.time.start } else { all.t_min };
        let width = i64::try_from(shown).ok().and_then(|n| n.checked_mul(windows.every));
        let end = width.and_then(|width| {
            window_start(first, windows.every, windows.offset).checked_add(width)
        });
        let Some(end) = end.filter(|end| all.rows > 0 && *end < frame.time.end) else {
            return Ok(None);
        };
        // In vain it is read twice.
        let part = all.t_max.abs_diff(first) / PART_OF_TIME_MAX;
        let tried = all.t_max > first && end.abs_diff(first) <= part;
        Ok(tried.then(|| TimeRange::new(first, end)))
    }
}

/// The time of the last `shown` windows, if something may be before them.
fn newest(shown: u64, windows: Windows, time: TimeRange) -> Option<TimeRange> {
    let back =
        i64::try_from(shown.saturating_sub(1)).ok().and_then(|n| n.checked_mul(windows.every));
    let last = window_start(time.last()?, windows.every, windows.offset);
    let start = last.checked_sub(back?).filter(|start| *start > time.start)?;
    Some(TimeRange::new(start, time.end))
}
