//! By which time rows expire: the wall clock, as far as it can be believed.
//!
//! A wall clock may be set wrong by an operator, a time daemon or a virtual machine, and what retention has
//! removed does not come back when the clock does. So it is held against the monotonic clock, and a leap forward
//! moves the cutoffs slowly or not at all:
//!
//! - up to an hour between two looks is drift, and is believed;
//! - up to a day, or any distance that the clock had already gone when the process started, is believed in steps
//!   of a day, one every ten minutes, which leaves somebody the time to notice;
//! - more, or a clock that would expire every row when the process starts, is not believed until it comes back
//!   or an operator says that it is right. Until then time goes on as the monotonic clock does.
//!
//! A clock that goes back expires less, which needs no care.

use tsdb_core::time::{DAY, HOUR, MINUTE};

/// Leads and lags that clocks have without anybody having set them.
const DRIFT_NS: i64 = HOUR;

/// The longest step that is believed at once, and the longest leap of a running process that is believed at all.
const STEP_NS: i64 = DAY;

/// Time between two such steps.
const STEP_EVERY_NS: i64 = 10 * MINUTE;

/// Whether retention believes the wall clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClockTrust {
    /// It does.
    Believed,
    /// It follows in steps.
    Paced,
    /// It goes by the monotonic clock until somebody confirms the wall clock, or until that comes back.
    Suspended,
}

/// What both clocks show, in ns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reading {
    pub wall: i64,
    pub mono: u64,
}

/// Follows the clocks from look to look.
#[derive(Debug)]
pub(crate) struct RetentionClock {
    /// Up to where the wall clock is believed, and when that was; none before the first look.
    anchor: Option<Reading>,
    /// Latest time by which rows expired before the process started.
    known_ns: Option<i64>,
    /// Lead of the wall clock at the first look, as long as it has not been caught up with.
    lead_at_start: Option<i64>,
    /// When the last step of a leap was taken.
    stepped_at: Option<u64>,
}

impl RetentionClock {
    /// For a process that starts; rows expired by `known_ns` at the latest before.
    pub(crate) fn new(known_ns: Option<i64>) -> RetentionClock {
        RetentionClock { anchor: None, known_ns, lead_at_start: None, stepped_at: None }
    }

    /// Believes the wall clock from now on, whatever it did before.
    pub(crate) fn confirm(&mut self, now: Reading) {
        *self = RetentionClock { anchor: Some(now), ..RetentionClock::new(None) };
    }

    /// The time by which rows expire now. `empties` says whether every row would have expired at a time.
    pub(crate) fn look(
        &mut self,
        now: Reading,
        empties: impl Fn(i64) -> bool,
    ) -> (i64, ClockTrust) {
        let anchor = *self.anchor.get_or_insert_with(|| {
            let start = Reading { wall: self.known_ns.unwrap_or(now.wall), ..now };
            self.lead_at_start = Some(now.wall.saturating_sub(start.wall));
            start
        });
        let elapsed = i64::try_from(now.mono.saturating_sub(anchor.mono)).unwrap_or(i64::MAX);
        let expected = anchor.wall.saturating_add(elapsed);
        let lead = now.wall.saturating_sub(expected);
        if lead <= DRIFT_NS {
            // One that is back is followed, but what was believed once is not forgotten: it may leap there again.
            if lead >= -DRIFT_NS {
                self.anchor = Some(now);
                self.lead_at_start = None;
            }
            return (now.wall, ClockTrust::Believed);
        }
        let from_start = self.lead_at_start.is_some_and(|first| lead <= first + DRIFT_NS);
        if !from_start {
            self.lead_at_start = None;
        }
        if if from_start { empties(now.wall) } else { lead > STEP_NS } {
            return (expected, ClockTrust::Suspended);
        }
        let rested = self.stepped_at.is_none_or(|last| {
            i64::try_from(now.mono.saturating_sub(last)).unwrap_or(i64::MAX) >= STEP_EVERY_NS
        });
        if !rested {
            return (expected, ClockTrust::Paced);
        }
        let wall = expected.saturating_add(lead.min(STEP_NS));
        self.anchor = Some(Reading { wall, ..now });
        self.stepped_at = Some(now.mono);
        (wall, ClockTrust::Paced)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ClockTrust::{Believed, Paced, Suspended};

    const T: i64 = 20_000 * DAY;

    /// The wall clock and the minutes of the monotonic one, and what a look at them must say.
    type Look = ((i64, i64), (i64, ClockTrust));

    fn check(known: Option<i64>, empties: bool, looks: &[Look]) {
        let mut clock = RetentionClock::new(known);
        for (place, ((wall, minutes), expected)) in looks.iter().enumerate() {
            let mono = (minutes * MINUTE).cast_unsigned();
            let found = clock.look(Reading { wall: *wall, mono }, |_| empties);
            assert_eq!(found, *expected, "look {place}");
        }
    }

    #[test]
    fn a_clock_that_goes_on_is_believed() {
        let minute = |n: i64| T + n * MINUTE;
        check(
            None,
            true,
            &[
                ((T, 0), (T, Believed)),
                ((minute(1), 1), (minute(1), Believed)),
                ((minute(40), 2), (minute(40), Believed)),
                ((minute(5), 3), (minute(5), Believed)),
                ((minute(6), 4), (minute(6), Believed)),
            ],
        );
    }

    #[test]
    fn a_leap_of_a_running_process_is_not_believed() {
        let year = 365 * DAY;
        let leaps = [
            ((T, 0), (T, Believed)),
            ((T + year, 1), (T + MINUTE, Suspended)),
            ((T + year, 600), (T + 600 * MINUTE, Suspended)),
            // It comes back, and leaps again.
            ((T + 601 * MINUTE, 601), (T + 601 * MINUTE, Believed)),
            ((T + year, 602), (T + 602 * MINUTE, Suspended)),
            ((0, 603), (0, Believed)),
            ((T + year, 604), (T + 604 * MINUTE, Suspended)),
        ];
        check(None, false, &leaps);
        check(Some(T), false, &leaps);
    }

    #[test]
    fn a_sleep_of_some_hours_is_caught_up_with() {
        let slept = 8 * HOUR;
        check(
            None,
            false,
            &[
                ((T, 0), (T, Believed)),
                ((T + slept, 1), (T + slept, Paced)),
                ((T + slept + MINUTE, 2), (T + slept + MINUTE, Believed)),
                // A second one at once has to wait.
                ((T + 2 * slept, 3), (T + slept + 2 * MINUTE, Paced)),
                ((T + 2 * slept, 11), (T + 2 * slept, Paced)),
            ],
        );
    }

    #[test]
    fn days_before_the_start_are_caught_up_with_day_by_day() {
        let away = |minutes: i64| T + 3 * DAY + minutes * MINUTE;
        check(
            Some(T),
            false,
            &[
                ((away(0), 0), (T + DAY, Paced)),
                ((away(1), 1), (T + DAY + MINUTE, Paced)),
                ((away(10), 10), (T + 2 * DAY + 10 * MINUTE, Paced)),
                ((away(20), 20), (away(20), Paced)),
                ((away(30), 30), (away(30), Believed)),
            ],
        );
        // A leap on the way is one all the same.
        check(
            Some(T),
            false,
            &[
                ((away(0), 0), (T + DAY, Paced)),
                ((T + 900 * DAY, 20), (T + DAY + 20 * MINUTE, Suspended)),
            ],
        );
    }

    #[test]
    fn a_start_that_would_expire_everything_waits() {
        let looks =
            [((T + 30 * DAY, 0), (T, Suspended)), ((T + 30 * DAY, 5), (T + 5 * MINUTE, Suspended))];
        check(Some(T), true, &looks);
        // Without anything known the clock is all there is.
        check(None, true, &[((T, 0), (T, Believed))]);
    }

    #[test]
    fn an_operator_can_confirm_the_clock() {
        let mut clock = RetentionClock::new(None);
        clock.look(Reading { wall: T, mono: 0 }, |_| false);
        let leapt = Reading { wall: T + 100 * DAY, mono: 7 };
        assert_eq!(clock.look(leapt, |_| false), (T + 7, Suspended));
        clock.confirm(leapt);
        assert_eq!(clock.look(leapt, |_| false), (leapt.wall, Believed));
    }
}
