//! Figures: distributions of times, and the numbers of `/metrics`.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use crate::http::Client;

/// Times that were measured.
#[derive(Debug, Clone, Default)]
pub struct Times(Vec<Duration>);

impl Times {
    /// Adds one.
    pub fn push(&mut self, time: Duration) {
        self.0.push(time);
    }

    /// Adds those of `other`.
    pub fn merge(&mut self, other: Times) {
        self.0.extend(other.0);
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// The longest.
    pub fn max(&self) -> Duration {
        self.0.iter().max().copied().unwrap_or_default()
    }

    /// The smallest that so many percent of the times do not exceed.
    pub fn percentile(&self, percent: usize) -> Duration {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        let rank = (sorted.len() * percent).div_ceil(100);
        sorted.get(rank.saturating_sub(1)).copied().unwrap_or_default()
    }
}

impl FromIterator<Duration> for Times {
    fn from_iter<I: IntoIterator<Item = Duration>>(times: I) -> Self {
        Times(times.into_iter().collect())
    }
}

impl fmt::Display for Times {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (p50, p99, max) = (self.percentile(50), self.percentile(99), self.max());
        write!(f, "{} times: p50 {p50:.1?}, p99 {p99:.1?}, max {max:.1?}", self.count())
    }
}

/// The samples of `/metrics` at one moment.
#[derive(Debug, Clone, Default)]
pub struct Metrics(BTreeMap<String, f64>);

impl Metrics {
    /// Asks for them. None when the server does not answer.
    pub fn of(client: &mut Client) -> Option<Metrics> {
        let response = client.get("/metrics").ok().filter(|response| response.status == 200)?;
        let text = response.text();
        let samples = text.lines().filter(|line| !line.starts_with('#'));
        let sample = |line: &str| {
            let (name, value) = line.rsplit_once(' ')?;
            Some((name.to_owned(), value.parse().ok()?))
        };
        Some(Metrics(samples.filter_map(sample).collect()))
    }

    /// A sample by its name and labels as they are printed.
    #[track_caller]
    pub fn get(&self, name: &str) -> f64 {
        match self.0.get(name) {
            Some(value) => *value,
            None => panic!("/metrics has no {name}"),
        }
    }

    /// The samples of one name, by their labels as they are printed.
    pub fn with_labels(&self, name: &str) -> Vec<(&str, f64)> {
        self.0
            .iter()
            .filter_map(|(sample, value)| {
                let labels = sample.strip_prefix(name)?.strip_prefix('{')?.strip_suffix('}')?;
                Some((labels, *value))
            })
            .collect()
    }
}
