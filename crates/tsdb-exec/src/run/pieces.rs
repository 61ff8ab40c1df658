//! An answer table by table, for who needs no more than one at once. Plain rows come in pieces of time.

use tsdb_agg::Fill;
use tsdb_core::TimeRange;
use tsdb_ql::Page;

use super::{Runner, check_rows};
use crate::Result;
use crate::plan::{Frame, ScanPlan, SelectPlan, Work};
use crate::result::Series;

/// Rows of a piece, about: some megabytes.
const PIECE_ROWS_MAX: u64 = 100_000;
/// Times that a stretch is halved although that leaves it as many rows: an engine that estimates by whole chunks says
/// the same of any part of one, and rows that stand close to each other need some halvings to be told apart.
const VAIN_HALVINGS_MAX: u32 = 6;

/// A stretch of time that is still to be read.
struct Piece {
    time: TimeRange,
    /// Rows of the stretch that it is a half of, as estimated.
    rows_before: u64,
    vain_halvings: u32,
}

impl Runner<'_> {
    /// Hands each table of the answer to `take`, one measurement after the other, and drops it then. A group of plain rows
    /// comes in several tables if it is long.
    ///
    /// # Errors
    /// As [`Runner::run`]; what `take` says.
    pub(crate) fn each(
        &self,
        plan: &SelectPlan,
        mut take: impl FnMut(&Series) -> Result<()>,
    ) -> Result<()> {
        for scan in &plan.scans {
            // Elsewhere a row depends on what comes before it.
            let is_plain = matches!(scan.work, Work::Rows(_))
                && plan.frame.page == Page::default()
                && matches!(plan.frame.fill, Fill::Null | Fill::None);
            let whole = plan.frame_of(scan);
            let time = whole.span.unwrap_or(whole.time);
            let mut pieces = vec![Piece { time, rows_before: u64::MAX, vain_halvings: 0 }];
            while let Some(piece) = pieces.pop() {
                self.progress.check()?;
                let frame = if is_plain { whole.at(piece.time) } else { whole.clone() };
                if is_plain && let Some(halves) = self.halves(plan, scan, &frame, &piece)? {
                    pieces.extend(halves);
                    continue;
                }
                let (tables, _charge) = self.page_of_tables(plan, scan, &frame)?;
                check_rows(tables.iter().map(Series::rows).sum(), self.limits)?;
                tables.iter().try_for_each(&mut take)?;
            }
        }
        Ok(())
    }

    /// The halves of a piece with many rows, the later one first.
    fn halves(
        &self,
        plan: &SelectPlan,
        scan: &ScanPlan,
        frame: &Frame,
        piece: &Piece,
    ) -> Result<Option<[Piece; 2]>> {
        let estimate = self.snapshot(scan).estimate(&self.request(plan, scan, frame))?;
        let TimeRange { start, end } = piece.time;
        let (first, last) = (start.max(estimate.t_min), estimate.t_max.min(end.saturating_sub(1)));
        let rows_before = estimate.rows;
        let is_vain = rows_before > piece.rows_before / 4 * 3;
        let vain_halvings = if is_vain { piece.vain_halvings + 1 } else { 0 };
        if rows_before <= PIECE_ROWS_MAX || last <= first || vain_halvings > VAIN_HALVINGS_MAX {
            return Ok(None);
        }
        // Rounded up, so that either half is shorter than the whole.
        let middle = first.midpoint(last).max(first + 1);
        let half = |start, end| {
            let time = TimeRange::new(start, end);
            Piece { time, rows_before, vain_halvings }
        };
        Ok(Some([half(middle, end), half(start, middle)]))
    }
}
