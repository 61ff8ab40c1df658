//! Carries out a plan: asks the engine, drives the pipeline, keeps to the limits.

mod ends;
mod page;
mod pieces;
mod slices;

use std::sync::Arc;

use tsdb_agg::{Fill, WindowGrid};
use tsdb_core::storage::{Estimate, FieldSelection, Order, ScanRequest, Selection, Snapshot, Want};
use tsdb_core::{Block, Error as CoreError, Pool, TimeRange};

use crate::assemble::Assembler;
use crate::letgo::let_go;
use crate::limits::{Limit, PARTS_MAX, QueryLimits};
use crate::memory::{self, Charge, QueryMemory};
use crate::op::choose::Choose;
use crate::op::choose_many::ChooseMany;
use crate::op::fold::Fold;
use crate::op::rows::Rows;
use crate::op::scan::{Progress, Sink, collect};
use crate::op::streams::Streams;
use crate::plan::{Frame, ScanPlan, SelectPlan, Work};
use crate::result::{Series, StatementResult};
use crate::scope::View;
use crate::times::{Stage, Times};
use crate::{Error, Result};

/// What to do about values that do not fit into what one query may have.
const USE_APPROX_OR_RAISE: &str = "percentile() and median() keep every value, mode() and distinct() every different \
                                   one: use approx_percentile(), narrow the time range, or raise --query-memory";
/// What to do about values that do not fit into the memory of queries.
const USE_APPROX_OR_RAISE_POOL: &str = "percentile() and median() keep every value, mode() and distinct() every \
                                        different one: use approx_percentile(), narrow the time range, or raise \
                                        --memory-limit";

/// Runs SELECTs over one view of the store.
pub(crate) struct Runner<'r> {
    pub(crate) view: &'r View<'r>,
    pub(crate) limits: &'r QueryLimits,
    pub(crate) progress: Progress,
}

impl Drop for Runner<'_> {
    fn drop(&mut self) {
        if let Some(effort) = self.view.context.effort {
            let (values, rows, _) = self.progress.read();
            effort.series.add(self.progress.scans().series_matched);
            effort.rows.add(rows);
            effort.values.add(values);
        }
    }
}

impl<'r> Runner<'r> {
    pub(crate) fn new(view: &'r View<'r>, limits: &'r QueryLimits) -> Runner<'r> {
        let context = view.context;
        Runner { view, limits, progress: Progress::new(limits.samples_max, context.cancel.clone()) }
    }

    /// As it is, measuring how long each stage takes.
    pub(crate) fn with_times(mut self) -> Runner<'r> {
        let times = Times::new(self.view.context.clock.as_ref());
        self.progress.set_times(times);
        self
    }

    fn memory(&self) -> &QueryMemory {
        &self.view.context.memory
    }

    /// What a scan reads.
    pub(crate) fn snapshot<'s>(&'s self, scan: &'s ScanPlan) -> &'s dyn Snapshot {
        match &scan.derived {
            Some(derived) => &**derived,
            None => self.view.snapshot,
        }
    }

    /// The answer to `plan`.
    ///
    /// # Errors
    /// A limit, a cancelled token, what storage says.
    pub(crate) fn run(&self, plan: &SelectPlan) -> Result<StatementResult> {
        let mut result =
            StatementResult { time_zone: plan.time_zone.clone(), ..StatementResult::default() };
        let mut rows = 0;
        for scan in &plan.scans {
            let (mut tables, charge) = self.page_of_tables(plan, scan, &plan.frame_of(scan))?;
            rows += tables.iter().map(Series::rows).sum::<usize>();
            check_rows(rows, self.limits)?;
            if result.series.is_empty() {
                result.series = tables;
            } else {
                result.series.append(&mut tables);
            }
            if let Some(charge) = charge {
                result.pay(charge);
            }
        }
        // Newest first is the whole answer read backwards, as InfluxDB has it.
        if plan.frame.order == Order::Descending {
            result.series.reverse();
        }
        Ok(result)
    }

    /// The tables of one measurement that SLIMIT and SOFFSET leave.
    fn page_of_tables(&self, plan: &SelectPlan, scan: &ScanPlan, frame: &Frame) -> Result<Tables> {
        self.progress.check()?;
        let (mut tables, charge) = match self.windows_at_the_end(plan, scan)? {
            Some(found) => found,
            None => self.scan(plan, scan, frame)?,
        };
        let mut scratch = self.memory().charge();
        let cancel = self.progress.cancel();
        page::keep_page(&mut tables, &plan.frame.page, &mut scratch, cancel)?;
        Ok((tables, charge))
    }

    /// The tables of one measurement, in order of groups.
    fn scan(&self, plan: &SelectPlan, scan: &ScanPlan, frame: &Frame) -> Result<Tables> {
        let tables = self.tables(plan, scan, frame);
        if scan.keeps_values() { tables.map_err(advised) } else { tables }
    }

    /// As [`Runner::scan`], with errors that know nothing of functions.
    fn tables(&self, plan: &SelectPlan, scan: &ScanPlan, frame: &Frame) -> Result<Tables> {
        let times = self.progress.times();
        let selected = times.measure(Stage::Select, || self.select(plan, scan, frame))?;
        let Some((mut selection, grid)) = selected else {
            return Ok((Vec::new(), None));
        };
        let series = selection.series.len();
        let tables = self.tables_of(&mut selection, plan, scan, frame, grid);
        let_go(selection, series);
        tables
    }

    /// What a scan reads, and its windows; `None` where there is nothing.
    fn select(
        &self,
        plan: &SelectPlan,
        scan: &ScanPlan,
        frame: &Frame,
    ) -> Result<Option<(Selection, Option<WindowGrid>)>> {
        let mut request = self.request(plan, scan, frame);
        let estimate = self.snapshot(scan).estimate(&request)?;
        if estimate.rows == 0 {
            return Ok(None);
        }
        self.check_series(estimate.series)?;
        let samples = estimate.rows.saturating_mul(scan.fields.len() as u64);
        if samples > self.limits.estimate_max {
            return Err(Limit::Samples.exceeded(samples, self.limits.estimate_max));
        }
        let grid = self.grid(scan, frame, &request, &estimate)?;
        request.parts = usize::try_from(parts(scan, &estimate, self.limits)).unwrap_or(1);
        let selection = self.snapshot(scan).select(&request)?;
        self.check_series(selection.series.len() as u64)?;
        Ok(Some((selection, grid)))
    }

    /// The tables that a selection gives.
    fn tables_of(
        &self,
        selection: &mut Selection,
        plan: &SelectPlan,
        scan: &ScanPlan,
        frame: &Frame,
        grid: Option<WindowGrid>,
    ) -> Result<Tables> {
        let kept = self.keep(scan, frame, selection, grid)?;
        self.progress.count_scan(&selection.counters.read());
        let mut assembler = self.assembler(plan, scan, frame, selection, grid);
        let assemble = || assembled(&mut assembler, kept, scan);
        let tables = self.progress.times().measure(Stage::Assemble, assemble)?;
        Ok((tables, Some(assembler.charge)))
    }

    fn assembler<'a>(
        &'a self,
        plan: &'a SelectPlan,
        scan: &'a ScanPlan,
        frame: &'a Frame,
        selection: &'a Selection,
        grid: Option<WindowGrid>,
    ) -> Assembler<'a> {
        Assembler {
            plan,
            frame,
            place: &scan.place,
            selection,
            grid,
            memory: self.memory(),
            progress: &self.progress,
            charge: self.memory().charge(),
        }
    }

    /// Reads the selection and keeps of it what the work of the scan needs; `None` without any part.
    fn keep<'p>(
        &self,
        scan: &'p ScanPlan,
        frame: &Frame,
        selection: &mut Selection,
        grid: Option<WindowGrid>,
    ) -> Result<Option<Kept<'p>>> {
        let cancel = self.progress.cancel();
        Ok(match &scan.work {
            Work::Rows(plan) => {
                let new = || Rows::new(plan, self.memory().charge());
                self.collect(scan, selection, new, |a, b| a.merge(b, cancel))?.map(Kept::Rows)
            }
            Work::Fold { calls, .. } => {
                let ranges: Vec<TimeRange> = calls.iter().map(|c| frame.range(c.lead)).collect();
                let new = || Fold::new(calls, &ranges, grid, self.memory().charge());
                self.collect(scan, selection, new, |a, b| a.merge(&b, cancel))?.map(Kept::Fold)
            }
            Work::Streams(plan) => {
                let calls = &plan.calls;
                let ranges: Vec<TimeRange> = calls.iter().map(|c| frame.range(c.lead)).collect();
                let new = || {
                    let rows = Rows::new(&plan.rows, self.memory().charge());
                    Streams { rows, fold: Fold::new(calls, &ranges, grid, self.memory().charge()) }
                };
                let merge = |a: Streams<'p>, b: Streams<'p>| {
                    let rows = a.rows.merge(b.rows, cancel)?;
                    Ok(Streams { rows, fold: a.fold.merge(&b.fold, cancel)? })
                };
                self.collect(scan, selection, new, merge)?.map(Kept::Streams)
            }
            Work::ChooseMany { many, .. } => {
                let new = || ChooseMany::new(many, grid, self.memory().charge());
                let chosen = self.collect(scan, selection, new, |a, b| a.merge(b, cancel))?;
                let settle = |mut choose: ChooseMany<'p>| {
                    choose.settle(&selection.series, cancel)?;
                    Ok::<_, Error>(Kept::ChooseMany(choose))
                };
                chosen.map(settle).transpose()?
            }
            Work::Choose { call, .. } => {
                let new = || Choose::new(call.clone(), grid, self.memory().charge());
                let chosen = self.collect(scan, selection, new, |a, b| a.merge(b, cancel))?;
                let settle = |mut choose: Choose| {
                    choose.settle(cancel)?;
                    Ok::<_, Error>(Kept::Choose(choose))
                };
                chosen.map(settle).transpose()?
            }
        })
    }

    /// Reads the selection into one sink: those of the parts, merged in the order of series.
    fn collect<S: Sink>(
        &self,
        scan: &ScanPlan,
        selection: &mut Selection,
        new: impl Fn() -> S + Sync,
        merge: impl Fn(S, S) -> Result<S>,
    ) -> Result<Option<S>> {
        let sinks = collect(selection, scan.filter.as_ref(), &self.progress, new)?;
        let mut merged = None;
        for sink in sinks {
            self.progress.check()?;
            merged = Some(match merged {
                None => sink,
                Some(earlier) => {
                    self.progress.times().measure(Stage::Merge, || merge(earlier, sink))?
                }
            });
        }
        Ok(merged)
    }

    /// The request of a scan, in one part.
    pub(crate) fn request(&self, plan: &SelectPlan, scan: &ScanPlan, frame: &Frame) -> ScanRequest {
        let all = ScanRequest::all(scan.place.namespace, Arc::clone(&scan.place.measurement));
        ScanRequest {
            time: frame.scanned(),
            filter: scan.tags.clone(),
            fields: FieldSelection::Named(scan.fields.clone()),
            predicates: scan.predicates.clone(),
            group_by: plan.group_by(),
            windows: frame.windows,
            want: scan.want,
            order: scan.order,
            limit_per_series: scan.limit_per_series,
            budget: self.memory().budget().clone(),
            cancel: self.view.context.cancel.clone(),
            ..all
        }
    }

    fn check_series(&self, series: u64) -> Result<()> {
        if series <= self.limits.series_max {
            return Ok(());
        }
        Err(Limit::Series.exceeded(series, self.limits.series_max))
    }

    /// The windows of a scan. Without a lower bound they begin at the first row.
    fn grid(
        &self,
        scan: &ScanPlan,
        frame: &Frame,
        request: &ScanRequest,
        estimate: &Estimate,
    ) -> Result<Option<WindowGrid>> {
        let Some(windows) = frame.windows else { return Ok(None) };
        let mut all = frame.covered();
        if frame.fill == Fill::None && (frame.lead == 0 || !frame.has_start) {
            // Nothing is said of windows behind the last row, of which there may be many until now.
            all = TimeRange::new(all.start, all.end.min(estimate.t_max.saturating_add(1)));
        }
        let cover = |start: i64| {
            let range = TimeRange::new(start.max(all.start), all.end);
            WindowGrid::covering(windows, range, self.limits.buckets_max)
        };
        let covered = if frame.has_start {
            cover(all.start)
        } else {
            // The estimate may count rows that are deleted since: before refusing, look for the first one.
            cover(estimate.t_min).or_else(|refused| match self.first_time(scan, request) {
                Ok(Some(first)) => cover(first),
                _ => Err(refused),
            })
        };
        match covered {
            Ok(grid) => Ok(Some(grid)),
            Err(tsdb_agg::Error::TooManyWindows { wanted, allowed }) => {
                let wanted = u64::try_from(wanted).unwrap_or(u64::MAX);
                Err(Limit::Buckets.exceeded(wanted, allowed))
            }
            Err(other) => {
                Err(Error::Storage(tsdb_core::Error::Invalid { what: other.to_string() }))
            }
        }
    }

    /// Timestamp of the oldest row that `request` finds.
    fn first_time(&self, scan: &ScanPlan, request: &ScanRequest) -> Result<Option<i64>> {
        let oldest = ScanRequest {
            order: Order::Ascending,
            limit_per_series: Some(1),
            windows: None,
            want: Want::Rows,
            predicates: Vec::new(),
            ..request.clone()
        };
        let mut first: Option<i64> = None;
        let mut block = Block::new();
        for mut cursor in self.snapshot(scan).select(&oldest)?.cursors {
            while cursor.next(&mut block)? {
                self.progress.check()?;
                let time = block.times.get(0);
                first = first.into_iter().chain(time).min();
            }
        }
        Ok(first)
    }
}

/// The tables of what a scan kept.
fn assembled(
    assembler: &mut Assembler<'_>,
    kept: Option<Kept<'_>>,
    scan: &ScanPlan,
) -> Result<Vec<Series>> {
    match (kept, &scan.work) {
        (Some(Kept::Streams(streams)), Work::Streams(plan)) => assembler.streams(streams, plan),
        (Some(Kept::ChooseMany(choose)), Work::ChooseMany { outputs, .. }) => {
            assembler.chosen_many(&choose, outputs)
        }
        (Some(Kept::Rows(rows)), _) => assembler.rows(rows),
        (Some(Kept::Fold(mut fold)), Work::Fold { calls, outputs }) => {
            assembler.aggregates(&mut fold, calls, outputs)
        }
        (Some(Kept::Choose(choose)), Work::Choose { outputs, .. }) => {
            assembler.chosen(&choose, outputs)
        }
        _ => Ok(Vec::new()),
    }
}

/// The error of a scan that keeps all values, with what to do if it is about memory.
fn advised(error: Error) -> Error {
    match error {
        Error::Storage(CoreError::OverBudget { pool: Pool::Queries, wanted, used, limit }) => {
            let wanted = used.saturating_add(wanted) as u64;
            Error::limit(memory::LIMIT, wanted, limit as u64, USE_APPROX_OR_RAISE_POOL)
        }
        Error::Storage(CoreError::LimitExceeded {
            limit: memory::LIMIT,
            wanted,
            allowed,
            remedy,
        }) => {
            let has_flag = remedy == memory::REMEDY_OF_FLAG;
            let advice = if has_flag { USE_APPROX_OR_RAISE } else { USE_APPROX_OR_RAISE_POOL };
            Error::limit(memory::LIMIT, wanted, allowed, advice)
        }
        other => other,
    }
}

/// Refuses an answer of more than the most rows.
pub(crate) fn check_rows(rows: usize, limits: &QueryLimits) -> Result<()> {
    let rows = rows as u64;
    if rows <= limits.rows_max { Ok(()) } else { Err(Limit::Rows.exceeded(rows, limits.rows_max)) }
}

/// The tables of a scan, and what pays for them.
type Tables = (Vec<Series>, Option<Charge>);

/// What the sinks of a scan kept, as one.
enum Kept<'p> {
    Rows(Rows<'p>),
    Fold(Fold),
    Choose(Choose),
    ChooseMany(ChooseMany<'p>),
    Streams(Streams<'p>),
}

/// How many parts a scan is cut into: one unless it is worth several threads.
pub(crate) fn parts(scan: &ScanPlan, estimate: &Estimate, limits: &QueryLimits) -> u64 {
    let per_series = scan.limit_per_series.unwrap_or(u64::MAX);
    let rows = estimate.rows.min(estimate.series.saturating_mul(per_series));
    let samples = rows.saturating_mul(scan.fields.len() as u64);
    (samples / limits.parallel_samples_min.max(1)).clamp(1, PARTS_MAX)
}
