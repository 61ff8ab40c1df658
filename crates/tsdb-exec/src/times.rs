//! How long each stage of a query takes, measured for EXPLAIN ANALYZE alone: other queries never look at the clock.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tsdb_core::env::Clock;

/// A stage of a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Names and rules; subqueries are run here.
    Plan,
    /// The engine finds series, runs and chunks.
    Select,
    /// The engine gives blocks of rows and summaries.
    Scan,
    /// Rows are asked for what the index cannot know.
    Filter,
    /// Rows are kept or taken into aggregates.
    Fold,
    /// What several threads kept becomes one.
    Merge,
    /// Tables are made.
    Assemble,
}

impl Stage {
    const ALL: [Stage; 7] = [
        Stage::Plan,
        Stage::Select,
        Stage::Scan,
        Stage::Filter,
        Stage::Fold,
        Stage::Merge,
        Stage::Assemble,
    ];

    fn name(self) -> &'static str {
        match self {
            Stage::Plan => "plan",
            Stage::Select => "select",
            Stage::Scan => "scan",
            Stage::Filter => "filter",
            Stage::Fold => "fold",
            Stage::Merge => "merge",
            Stage::Assemble => "assemble",
        }
    }
}

/// The time of each stage, of all threads together; nothing unless it is measured.
#[derive(Debug, Default)]
pub(crate) struct Times(Option<Measured>);

#[derive(Debug)]
struct Measured {
    clock: Arc<dyn Clock>,
    begin_ns: u64,
    stages_ns: [AtomicU64; Stage::ALL.len()],
}

impl Times {
    /// Measures from now on, if there is a clock.
    pub(crate) fn new(clock: Option<&Arc<dyn Clock>>) -> Times {
        Times(clock.map(|clock| Measured {
            clock: Arc::clone(clock),
            begin_ns: clock.mono_ns(),
            stages_ns: Default::default(),
        }))
    }

    /// Does `work`, which is a part of `stage`. Only the plan has other stages inside of it: those of subqueries.
    #[inline]
    pub(crate) fn measure<T>(&self, stage: Stage, work: impl FnOnce() -> T) -> T {
        match &self.0 {
            None => work(),
            Some(measured) => measured.measure(stage, work),
        }
    }

    /// The times in words, in ms; none if nothing is measured.
    pub(crate) fn line(&self) -> Option<String> {
        let measured = self.0.as_ref()?;
        let ms = |ns: u64| ns as f64 / 1e6;
        let stages = Stage::ALL
            .iter()
            .zip(&measured.stages_ns)
            .map(|(stage, ns)| format!("{} {:.3}", stage.name(), ms(ns.load(Ordering::Relaxed))));
        let stages: Vec<String> = stages.collect();
        let all = ms(measured.clock.mono_ns().saturating_sub(measured.begin_ns));
        Some(format!("time in ms: {}; from begin to end {all:.3}", stages.join(", ")))
    }
}

impl Measured {
    fn measure<T>(&self, stage: Stage, work: impl FnOnce() -> T) -> T {
        let begin = self.clock.mono_ns();
        let result = work();
        let elapsed = self.clock.mono_ns().saturating_sub(begin);
        if let Some(total) = self.stages_ns.get(stage as usize) {
            total.fetch_add(elapsed, Ordering::Relaxed);
        }
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::support::{answer_with, context, store_of};
    use crate::{QueryContext, QueryLimits};

    /// Goes on by a millisecond whenever somebody looks.
    #[derive(Debug, Default)]
    struct Ticking(AtomicU64);

    impl Clock for Ticking {
        fn wall_ns(&self) -> i64 {
            0
        }

        fn mono_ns(&self) -> u64 {
            self.0.fetch_add(1_000_000, Ordering::Relaxed)
        }
    }

    #[test]
    fn stages_add_up_and_nothing_is_measured_without_a_clock() {
        let clock: Arc<dyn Clock> = Arc::new(Ticking::default());
        let times = Times::new(Some(&clock));
        assert_eq!(times.measure(Stage::Scan, || 7), 7);
        times.measure(Stage::Scan, || ());
        times.measure(Stage::Merge, || ());
        let line = times.line().unwrap();
        let stages = "plan 0.000, select 0.000, scan 2.000, filter 0.000, fold 0.000, merge 1.000, assemble 0.000";
        assert_eq!(line, format!("time in ms: {stages}; from begin to end 7.000"));
        assert_eq!(Times::new(None).line(), None);
        assert_eq!(Times::default().measure(Stage::Plan, || 7), 7);
    }

    #[test]
    fn only_explain_analyze_looks_at_the_clock() {
        let store = store_of("m,host=a f=1 0\nm,host=b f=2 10");
        let clock = Arc::new(Ticking::default());
        let context = QueryContext { clock: Some(Arc::clone(&clock) as _), ..context() };
        let ask = |query: &str| {
            answer_with(Arc::clone(&store) as _, query, &context, QueryLimits::default())
        };
        let select = "SELECT mean(f) FROM m WHERE f > 0 GROUP BY host";
        assert!(!ask(select).contains("time in ms"));
        assert!(!ask(&format!("EXPLAIN {select}")).contains("time in ms"));
        assert_eq!(clock.0.load(Ordering::Relaxed), 0);
        let analyzed = ask(&format!("EXPLAIN ANALYZE {select}"));
        // Two blocks and the end are scanned, and each block is filtered and taken in with its series.
        let stages = "time in ms: plan 1.000, select 1.000, scan 3.000, filter 2.000, fold 4.000, merge 0.000, assemble 1.000;";
        assert!(analyzed.contains(stages), "{analyzed}");
    }
}
