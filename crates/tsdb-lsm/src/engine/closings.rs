//! When generations were closed: which of them are so recent that their series are not idle, by the clock.

use std::collections::VecDeque;

/// Generations with the monotonic time of their end in ns, oldest first.
#[derive(Debug, Default)]
pub(super) struct Closings(VecDeque<(u64, u64)>);

impl Closings {
    /// Notes that `generation`, the newest so far, was closed at `now_ns`.
    pub(super) fn note(&mut self, generation: u64, now_ns: u64) {
        self.0.push_back((generation, now_ns));
    }

    /// The first generation that was still open less than `idle_ns` before `now_ns`; `open` is the one that is open now.
    /// Older ones are forgotten: the clock does not go back. O(forgotten).
    pub(super) fn first_recent(&mut self, open: u64, now_ns: u64, idle_ns: u64) -> u64 {
        while let Some((_, closed_ns)) = self.0.front() {
            if now_ns.saturating_sub(*closed_ns) < idle_ns {
                break;
            }
            self.0.pop_front();
        }
        self.0.front().map_or(open, |(generation, _)| *generation)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generations_are_recent_until_their_end_is_long_ago() {
        let mut closings = Closings::default();
        assert_eq!(closings.first_recent(7, 1000, 100), 7, "nothing was closed");
        for (generation, closed_ns) in [(7, 1000), (8, 1050), (9, 1500)] {
            closings.note(generation, closed_ns);
        }
        assert_eq!(closings.first_recent(10, 1099, 100), 7);
        assert_eq!(closings.first_recent(10, 1100, 100), 8);
        assert_eq!(closings.first_recent(10, 1150, 100), 9);
        assert_eq!(closings.first_recent(10, 1500, 0), 10, "without a time all are old at once");
        assert!(closings.0.is_empty());
    }
}
