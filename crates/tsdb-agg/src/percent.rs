//! [`Percent`]: which share of the values lies below the one that is asked for.

use std::fmt;
use std::hash::{Hash, Hasher};

/// A number between 0 and 100, both included.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Percent(f64);

impl Percent {
    /// The percentage that is the median.
    pub const HALF: Percent = Percent(50.0);

    /// `percent`, if it is between 0 and 100.
    #[must_use]
    pub fn new(percent: f64) -> Option<Percent> {
        // The sum makes -0 a 0, so that equal percentages have equal bits.
        (0.0..=100.0).contains(&percent).then_some(Percent(percent + 0.0))
    }

    /// The number, 0 to 100.
    #[must_use]
    pub fn get(self) -> f64 {
        self.0
    }

    /// As a share, 0 to 1.
    #[must_use]
    pub fn share(self) -> f64 {
        self.0 / 100.0
    }
}

// Never NaN, so equality is one.
impl Eq for Percent {}

impl Hash for Percent {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.to_bits().hash(state);
    }
}

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
