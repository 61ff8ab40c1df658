//! Spread: the distance between the extremes, which `select` finds.

use tsdb_core::Summary;

use crate::aggregate::{Aggregation, Run};
use crate::select::{Max, Min};

/// The greatest value less the smallest. Passes over NaN as they do.
#[derive(Debug, Clone)]
pub struct Spread {
    low: Min,
    high: Max,
}

impl Default for Spread {
    fn default() -> Self {
        Spread { low: Min::untimed(), high: Max::untimed() }
    }
}

impl Aggregation for Spread {
    fn slots(&self) -> usize {
        self.low.slots()
    }

    fn resize(&mut self, slots: usize) {
        self.low.resize(slots);
        self.high.resize(slots);
    }

    fn accumulate(&mut self, slot: usize, run: &Run<'_>) {
        self.low.accumulate(slot, run);
        self.high.accumulate(slot, run);
    }

    fn accumulate_summary(&mut self, slot: usize, summary: &Summary) {
        self.low.accumulate_summary(slot, summary);
        self.high.accumulate_summary(slot, summary);
    }

    fn merge(&mut self, slot: usize, from: &Self, from_slot: usize) {
        self.low.merge(slot, &from.low, from_slot);
        self.high.merge(slot, &from.high, from_slot);
    }

    fn finalize(&mut self, slot: usize) -> Option<f64> {
        Some(self.high.finalize(slot)? - self.low.finalize(slot)?)
    }
}
