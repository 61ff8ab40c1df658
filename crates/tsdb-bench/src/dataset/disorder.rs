//! Rows that come late or twice, as retries and delayed agents make them.

use std::collections::VecDeque;

use super::{Row, Series, Source};
use crate::random::Random;

/// What is done to the order of a source.
#[derive(Debug, Clone, Copy)]
pub struct Disorder {
    /// Share of rows that come late, from 0 to 1.
    pub late_share: f64,
    /// Rows by which they come late.
    pub late_rows: usize,
    /// Share of rows that come a second time, from 0 to 1.
    pub repeat_share: f64,
    /// Whether the second time brings other values (a correction) or the same (a retry).
    pub repeat_changed: bool,
}

/// A source with some rows late and some repeated.
pub struct Disordered<S> {
    source: S,
    disorder: Disorder,
    random: Random,
    /// Rows held back, with the number of rows drawn after which each is due; ascending.
    held: VecDeque<(usize, Row)>,
    drawn: usize,
    ended: bool,
}

impl<S: Source> Disordered<S> {
    /// Disturbs `source`.
    pub fn new(source: S, disorder: Disorder, seed: u64) -> Disordered<S> {
        let random = Random::new(seed ^ 0x5eed_0f0d_d012_dee5);
        Disordered { source, disorder, random, held: VecDeque::new(), drawn: 0, ended: false }
    }

    fn hold(&mut self, row: Row) {
        self.held.push_back((self.drawn + self.disorder.late_rows, row));
    }
}

impl<S: Source> Source for Disordered<S> {
    fn series(&self) -> &[Series] {
        self.source.series()
    }

    fn next_row(&mut self, row: &mut Row) -> bool {
        loop {
            let due = |(at, _): &(usize, Row)| self.ended || *at <= self.drawn;
            if self.held.front().is_some_and(due) {
                if let Some((_, held)) = self.held.pop_front() {
                    *row = held;
                }
                return true;
            }
            if self.ended || !self.source.next_row(row) {
                self.ended = true;
                if self.held.is_empty() {
                    return false;
                }
                continue;
            }
            self.drawn += 1;
            if self.random.chance(self.disorder.late_share) {
                self.hold(row.clone());
                continue;
            }
            if self.random.chance(self.disorder.repeat_share) {
                let mut again = row.clone();
                if self.disorder.repeat_changed {
                    again.values.iter_mut().for_each(|value| *value += 1.0);
                }
                self.hold(again);
            }
            return true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::START_S;
    use super::super::devops::CPU_ONLY;
    use super::super::fleet::{Fleet, Ticks};
    use super::*;

    fn rows(disorder: Disorder) -> Vec<Row> {
        let ticks = Ticks { start_s: START_S, interval_s: 10, count: 200 };
        let mut source = Disordered::new(Fleet::new(CPU_ONLY, 5, ticks, 0, 1), disorder, 1);
        let (mut rows, mut row) = (Vec::new(), Row::default());
        while source.next_row(&mut row) {
            rows.push(row.clone());
        }
        rows
    }

    #[test]
    fn late_rows_come_late_and_none_is_lost() {
        let calm =
            Disorder { late_share: 0.0, late_rows: 50, repeat_share: 0.0, repeat_changed: false };
        let key = |row: &Row| (row.time_ns, row.series);
        let plain: Vec<_> = rows(calm).iter().map(key).collect();
        let mut late: Vec<_> = rows(Disorder { late_share: 0.2, ..calm }).iter().map(key).collect();
        let backwards = late.windows(2).filter(|pair| pair[0].0 > pair[1].0).count();
        assert!((100..=200).contains(&backwards), "{backwards} steps back of 1000 rows");
        late.sort_unstable();
        assert_eq!(late, plain);
    }

    #[test]
    fn repeated_rows_come_again_with_or_without_a_change() {
        let disorder =
            Disorder { late_share: 0.0, late_rows: 50, repeat_share: 0.5, repeat_changed: true };
        let all = rows(disorder);
        assert!((1400..1600).contains(&all.len()), "{}", all.len());
        let again = all.iter().rev().find(|row| row.series == 0).unwrap();
        let first = all.iter().find(|row| row.series == 0 && row.time_ns == again.time_ns).unwrap();
        assert_eq!(again.values[0], first.values[0] + 1.0);
        let same = rows(Disorder { repeat_changed: false, ..disorder });
        assert_eq!(same.len(), all.len());
    }
}
