//! The different values and how often each occurs: `mode`, `count(distinct(…))` and `distinct`. Takes memory in
//! proportion to the number of different values, which the caller charges.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use foldhash::fast::FixedState;

use crate::aggregate::{Aggregation, Run};
use crate::function::Function;

/// What is asked about the values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Question {
    /// The most frequent one, as InfluxDB has it: without one that occurs twice the smallest; else, going through
    /// them in ascending order, one of equal frequency replaces the one before if its first point is not later
    /// than the other's last. Points are taken series after series.
    Mode,
    /// How many there are.
    CountDistinct,
}

/// How often a value occurs, and when.
#[derive(Debug, Clone, Copy)]
struct Occurrences {
    count: u64,
    /// Times in ns: of the first and the last that came in for a mode, else of the earliest and the latest.
    first: i64,
    last: i64,
}

/// By the bits of the value; zeros have no sign.
type Values = HashMap<u64, Occurrences, FixedState>;

/// The values of each slot. All NaN are one value; to a mode they are none unless there is nothing else.
#[derive(Debug, Clone)]
pub struct Tally {
    question: Question,
    slots: Vec<Values>,
    bytes: usize,
}

impl Tally {
    /// Bytes of a slot without values.
    pub(crate) const SLOT_BYTES: usize = size_of::<Values>();

    /// Empty states.
    #[must_use]
    pub fn new(question: Question) -> Tally {
        Tally { question, slots: Vec::new(), bytes: 0 }
    }

    /// Which function this is the state of.
    pub(crate) fn function(&self) -> Function {
        match self.question {
            Question::Mode => Function::Mode,
            Question::CountDistinct => Function::CountDistinct,
        }
    }

    /// Bytes that the values take beyond those of the slots. O(1).
    #[must_use]
    pub fn heap_bytes(&self) -> usize {
        self.bytes
    }

    /// The different values of a slot in the order in which they occur, oldest or newest first; those that occur
    /// first at one time in ascending order. O(n log n).
    #[must_use]
    pub fn distinct(&self, slot: usize, newest_first: bool) -> Vec<f64> {
        let values = self.slots.get(slot).into_iter().flatten();
        let mut timed: Vec<(i64, f64)> = values
            .map(|(bits, found)| {
                // Valid times have a negative counterpart.
                let time = if newest_first { found.last.wrapping_neg() } else { found.first };
                (time, f64::from_bits(*bits))
            })
            .collect();
        timed.sort_unstable_by(|a, b| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)));
        timed.into_iter().map(|(_, value)| value).collect()
    }

    fn add(question: Question, values: &mut Values, bits: u64, more: Occurrences) {
        match values.entry(bits) {
            Entry::Vacant(place) => {
                place.insert(more);
            }
            Entry::Occupied(mut place) => {
                let known = place.get_mut();
                known.count += more.count;
                match question {
                    Question::Mode => known.last = more.last,
                    Question::CountDistinct => {
                        known.first = known.first.min(more.first);
                        known.last = known.last.max(more.last);
                    }
                }
            }
        }
    }

    fn mode(&self, slot: usize) -> Option<f64> {
        let mut values: Vec<(f64, Occurrences)> = self
            .slots
            .get(slot)?
            .iter()
            .map(|(bits, found)| (f64::from_bits(*bits), *found))
            .collect();
        values.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
        if values.len() > 1 {
            values.retain(|(value, _)| !value.is_nan());
        }
        let mut values = values.into_iter();
        let mut best = values.next()?;
        for (value, found) in values.filter(|(_, found)| found.count > 1) {
            let known = best.1;
            if found.count > known.count
                || (found.count == known.count && found.first <= known.last)
            {
                best = (value, found);
            }
        }
        Some(best.0)
    }
}

/// Bytes of a table that has room for `capacity` values: a power of two of places, of which an eighth stays free.
fn table_bytes(capacity: usize) -> usize {
    match capacity {
        0 => 0,
        few if few < 8 => 8 * (size_of::<(u64, Occurrences)>() + 1),
        _ => {
            let places = capacity.saturating_mul(8).div_ceil(7).checked_next_power_of_two();
            places.unwrap_or(usize::MAX).saturating_mul(size_of::<(u64, Occurrences)>() + 1)
        }
    }
}

impl Aggregation for Tally {
    fn slots(&self) -> usize {
        self.slots.len()
    }

    fn resize(&mut self, slots: usize) {
        self.slots.resize_with(slots, Values::default);
    }

    fn accumulate(&mut self, slot: usize, run: &Run<'_>) {
        let question = self.question;
        let Some(values) = self.slots.get_mut(slot) else { return };
        let before = table_bytes(values.capacity());
        let mut take = |row: usize, value: f64| {
            let Some(time) = run.times.get(row) else { return };
            let bits = if value.is_nan() { f64::NAN } else { value + 0.0 }.to_bits();
            let once = Occurrences { count: 1, first: time, last: time };
            Tally::add(question, values, bits, once);
        };
        match &run.present {
            None => run.values.iter().enumerate().for_each(|(row, value)| take(row, *value)),
            Some(mask) => mask.rows(run.values).for_each(|(row, value)| take(row, value)),
        }
        self.bytes += table_bytes(values.capacity()) - before;
    }

    fn merge(&mut self, slot: usize, from: &Self, from_slot: usize) {
        let question = self.question;
        let (Some(values), Some(more)) = (self.slots.get_mut(slot), from.slots.get(from_slot))
        else {
            return;
        };
        let before = table_bytes(values.capacity());
        more.iter().for_each(|(bits, found)| Tally::add(question, values, *bits, *found));
        self.bytes += table_bytes(values.capacity()) - before;
    }

    fn growth(&self, slot: usize, rows: usize) -> usize {
        let Some(values) = self.slots.get(slot) else { return 0 };
        let wanted = values.len().saturating_add(rows);
        // While a table grows, the one before is there too.
        if wanted <= values.capacity() { 0 } else { table_bytes(wanted) }
    }

    fn merge_growth(&self, slot: usize, from: &Self, from_slot: usize) -> usize {
        self.growth(slot, from.slots.get(from_slot).map_or(0, HashMap::len))
    }

    fn finalize(&mut self, slot: usize) -> Option<f64> {
        match self.question {
            Question::Mode => self.mode(slot),
            Question::CountDistinct => {
                self.slots.get(slot).map(HashMap::len).filter(|len| *len > 0).map(|len| len as f64)
            }
        }
    }
}

#[cfg(test)]
mod tests;
