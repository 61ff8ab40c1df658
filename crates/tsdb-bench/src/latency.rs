//! Latencies, summed up as order statistics.

use std::fmt;
use std::time::Duration;

/// Sorted latencies.
#[derive(Debug, Default)]
pub struct Latency {
    sorted: Vec<Duration>,
}

impl Latency {
    /// Takes latencies in any order.
    pub fn new(mut times: Vec<Duration>) -> Latency {
        times.sort_unstable();
        Latency { sorted: times }
    }

    /// The smallest latency that at least `share` (0 to 1) of all do not exceed, in milliseconds (nearest
    /// rank); 0 without any.
    pub fn quantile_ms(&self, share: f64) -> f64 {
        let count = self.sorted.len();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "between 0 and the count"
        )]
        let rank = (share * count as f64).ceil() as usize;
        let place = rank.saturating_sub(1).min(count.saturating_sub(1));
        self.sorted.get(place).map_or(0.0, |time| time.as_secs_f64() * 1e3)
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.sorted.len()
    }
}

impl fmt::Display for Latency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [median, p99, max] = [0.5, 0.99, 1.0].map(|share| self.quantile_ms(share));
        write!(f, "median {median:.2} ms, p99 {p99:.2} ms, max {max:.2} ms")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_nearest_ranks() {
        let latency = Latency::new((1..=200).rev().map(Duration::from_millis).collect());
        let quantiles = [0.0, 0.005, 0.5, 0.95, 0.99, 1.0].map(|share| latency.quantile_ms(share));
        assert_eq!(quantiles, [1.0, 1.0, 100.0, 190.0, 198.0, 200.0]);
        assert_eq!(Latency::default().quantile_ms(0.5), 0.0);
    }
}
