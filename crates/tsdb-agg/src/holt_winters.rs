//! Forecasts: the multiplicative method of C. C. Holt and P. R. Winters (Forecasting Sales by Exponentially
//! Weighted Moving Averages, Management Science 6, 1960) with a damped trend (E. S. Gardner and E. McKenzie,
//! Management Science 31, 1985). Parameters are those of the least squares, found by `nelder_mead`. How the
//! search begins and what it starts from is InfluxDB's.

use crate::nelder_mead::{bytes as simplex_bytes, minimise};

/// A forecast that was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Forecast {
    /// How many points, at least 1.
    pub points: usize,
    /// Points of a season; below 2 there are no seasons.
    pub season: usize,
    /// Whether the points before them are given too, as the method has fitted them.
    pub with_fit: bool,
}

/// Where searches begin: each of the four weights at each of these.
const GUESSES: [f64; 2] = [0.3, 0.7];
/// What the first value counts for at the beginning.
const FIRST_WEIGHT: f64 = 0.5;
/// Deviation of costs at which a search ends.
const TOLERANCE: f64 = 1e-4;
/// Weights in front of the seasons among the parameters: of the level, the trend and the season, the damping,
/// and the first level and trend.
const FIXED: usize = 6;

impl Forecast {
    /// Name as in query text.
    #[must_use]
    pub fn name(self) -> &'static str {
        if self.with_fit { "holt_winters_with_fit" } else { "holt_winters" }
    }

    /// Bytes that a forecast from windows takes of which there are `windows` from the first to the last.
    #[must_use]
    pub fn bytes(self, windows: usize) -> usize {
        let season = if self.season < 2 { 0 } else { self.season.min(windows) };
        let values =
            windows.saturating_add(self.points).saturating_mul(4 * size_of::<(i64, f64)>());
        simplex_bytes(season.saturating_add(FIXED)).saturating_add(values)
    }

    /// The points that follow `points` (times in ns, ascending, and values) at distances of `every` ns, above 0;
    /// nothing for less than two points or less than a season of them. Gives up with nothing once `stop` says so.
    /// Time is that of up to some ten thousand forecasts over all windows and seasons.
    #[must_use]
    pub fn of(self, points: &[(i64, f64)], every: i64, stop: &dyn Fn() -> bool) -> Vec<(i64, f64)> {
        self.found(points, every.max(1), stop).unwrap_or_default()
    }

    fn found(
        self,
        points: &[(i64, f64)],
        every: i64,
        stop: &dyn Fn() -> bool,
    ) -> Option<Vec<(i64, f64)>> {
        let (first, last) = (points.first()?, points.last()?);
        let is_seasonal = self.season >= 2;
        if points.len() < 2 || (is_seasonal && points.len() < self.season) {
            return None;
        }
        let values = evenly(points, every);
        if values.len() < 2 {
            return None;
        }
        let season = if is_seasonal { self.season } else { 0 };
        let model = Model { values: &values, season };
        let mut parameters = model.fitted(stop)?;
        let all = model.run(&mut parameters, self.points);
        let shown = if self.with_fit { all.as_slice() } else { all.get(values.len()..)? };
        let begin = if self.with_fit {
            i128::from(first.0)
        } else {
            i128::from(last.0) + i128::from(every)
        };
        let timed = shown.iter().enumerate().filter(|(_, value)| !value.is_nan());
        let timed = timed.filter_map(|(number, value)| {
            let time = begin + i128::from(every) * i128::try_from(number).ok()?;
            Some((i64::try_from(time).ok()?, *value))
        });
        Some(timed.collect())
    }
}

/// The values at distances of `every`; NaN where there is none.
fn evenly(points: &[(i64, f64)], every: i64) -> Vec<f64> {
    let mut values: Vec<f64> = Vec::new();
    let mut expected: Option<i128> = None;
    for (time, value) in points {
        let (time, every) = (i128::from(*time), i128::from(every));
        let mut at = *expected.get_or_insert(time);
        // Of two points in one window the first counts.
        if time < at {
            continue;
        }
        while time >= at + every {
            values.push(f64::NAN);
            at += every;
        }
        values.push(*value);
        expected = Some(at + every);
    }
    values
}

/// `base` to the power of `exponent` by squaring, as InfluxDB has it: a search goes another way where the last digits
/// differ.
fn power(base: f64, exponent: usize) -> f64 {
    let (mut result, mut square, mut rest) = (1.0, base, exponent);
    while rest > 0 {
        if rest % 2 == 1 {
            result *= square;
        }
        square *= square;
        rest /= 2;
    }
    result
}

struct Model<'v> {
    values: &'v [f64],
    /// Points of a season, or 0.
    season: usize,
}

impl Model<'_> {
    fn value(&self, number: usize) -> f64 {
        self.values.get(number).copied().unwrap_or(f64::NAN)
    }

    /// What searches start from, with weights of 0: missing values are left out of the sums.
    fn first_guess(&self) -> Vec<f64> {
        let season = self.season as f64;
        let known = |number: usize| Some(self.value(number)).filter(|value| !value.is_nan());
        let (mut level, mut trend) = (0.0, 0.0);
        if self.season == 0 {
            level += FIRST_WEIGHT * self.value(0);
            trend = known(1).map_or(0.0, |next| FIRST_WEIGHT * (next - self.value(0)));
        }
        for number in 0..self.season {
            level += known(number).map_or(0.0, |value| 1.0 / season * value);
            if let (Some(value), Some(next)) = (known(number), known(self.season + number)) {
                trend += 1.0 / (season * season) * (next - value);
            }
        }
        let seasons = (0..self.season).map(|n| known(n).map_or(0.0, |value| value / level));
        [0.0, 0.0, 0.0, 0.0, level, trend].into_iter().chain(seasons).collect()
    }

    /// The parameters of the least squares.
    fn fitted(&self, stop: &dyn Fn() -> bool) -> Option<Vec<f64>> {
        let mut start = self.first_guess();
        let mut best: Option<(f64, Vec<f64>)> = None;
        let mut cost = |parameters: &mut [f64]| (!stop()).then(|| self.squares(parameters));
        for guess in 0..GUESSES.len().pow(4) {
            let mut rest = guess;
            for place in (0..4).rev() {
                let weight = GUESSES.get(rest % GUESSES.len())?;
                *start.get_mut(place)? = *weight;
                rest /= GUESSES.len();
            }
            let (squares, parameters) = minimise(&mut cost, &start, TOLERANCE)?;
            if best.as_ref().is_none_or(|(least, _)| squares < *least) {
                best = Some((squares, parameters));
            }
        }
        best.map(|(_, parameters)| parameters)
    }

    /// The sum of the squares of what a run misses the values by.
    fn squares(&self, parameters: &mut [f64]) -> f64 {
        let mut sum = 0.0;
        for (run, value) in self.run(parameters, 0).iter().zip(self.values) {
            if value.is_nan() {
                continue;
            }
            if run.is_nan() {
                return f64::INFINITY;
            }
            sum += (run - value).powi(2);
        }
        sum
    }

    /// Runs from the first value over all others and `ahead` points beyond. The weights are brought into
    /// `0..=1`, and the seasons become what they are at the end.
    fn run(&self, parameters: &mut [f64], ahead: usize) -> Vec<f64> {
        let count = self.values.len().saturating_add(ahead);
        let (fixed, seasons) = parameters.split_at_mut(FIXED.min(parameters.len()));
        let [alpha, beta, gamma, phi, level, trend] = fixed else { return Vec::new() };
        for weight in [&mut *alpha, &mut *beta, &mut *gamma, &mut *phi] {
            *weight = weight.clamp(0.0, 1.0);
        }
        let (alpha, beta, gamma, phi) = (*alpha, *beta, *gamma, *phi);
        let (mut level, mut trend, mut damped) = (*level, *trend, phi);
        let mut value = self.value(0);
        let mut results = Vec::with_capacity(count);
        results.push(value);
        let m = seasons.len();
        // Where the ring of seasons begins.
        let mut ring = m.saturating_sub(1);
        for t in 1..count {
            let season = |at: usize| seasons.get(at % m.max(1)).copied().unwrap_or(1.0);
            let (now, then) = match m {
                0 => (1.0, 1.0),
                // A season before, and where the season of the result is.
                _ => (season(t + ring), season(t + ring + t % m)),
            };
            let expected = level + phi * trend;
            let next_level = alpha * (value / now) + (1.0 - alpha) * expected;
            let next_trend = beta * (next_level - level) + (1.0 - beta) * phi * trend;
            let next_season = gamma * (value / expected) + (1.0 - gamma) * now;
            (level, trend) = (next_level, next_trend);
            value = (level + damped * trend) * then;
            damped += power(phi, t);
            if m > 0 {
                if let Some(slot) = seasons.get_mut((t + ring) % m) {
                    *slot = next_season;
                }
                ring += 1;
            }
            results.push(value);
        }
        results
    }
}

#[cfg(test)]
mod tests;
