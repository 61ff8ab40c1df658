//! Technical indicators: averages that forget, and measures of how prices move. Definitions with their sources
//! are at each; how answers begin, before there are as many points as an indicator looks back at, is InfluxDB's.

mod average;
mod momentum;

use average::Cascade;
use momentum::{Efficiency, Oscillator, Strength, UpsAndDowns};

/// Which indicator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum IndicatorKind {
    /// Exponential moving average.
    ExponentialAverage,
    /// Double exponential moving average: P. Mulloy, Smoothing Data with Faster Moving Averages, 1994.
    DoubleAverage,
    /// Triple exponential moving average, from the same article.
    TripleAverage,
    /// TRIX, the change in percent of an average of averages of averages: J. Hutson, 1980s.
    TripleDerivative,
    /// Relative strength index: J. W. Wilder, New Concepts in Technical Trading Systems, 1978.
    RelativeStrength,
    /// Efficiency ratio: P. Kaufman, Smarter Trading, 1995.
    EfficiencyRatio,
    /// Adaptive moving average, from the same book.
    AdaptiveAverage,
    /// Chande momentum oscillator: T. Chande and S. Kroll, The New Technical Trader, 1994.
    MomentumOscillator,
}

/// How an average begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Warmup {
    /// With an exponential average over the points so far.
    Exponential,
    /// With their arithmetic mean.
    Simple,
}

/// An indicator with its parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Indicator {
    /// Which one.
    pub kind: IndicatorKind,
    /// Over how many points, at least 1; at least 2 for the oscillator.
    pub period: usize,
    /// How many points get no answer at the beginning; nothing stands for as many as the indicator looks back at.
    pub hold: Option<usize>,
    /// How averages begin; nothing where there is none, as in the oscillator of plain sums.
    pub warmup: Option<Warmup>,
}

impl Indicator {
    /// Name as in query text.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self.kind {
            IndicatorKind::ExponentialAverage => "exponential_moving_average",
            IndicatorKind::DoubleAverage => "double_exponential_moving_average",
            IndicatorKind::TripleAverage => "triple_exponential_moving_average",
            IndicatorKind::TripleDerivative => "triple_exponential_derivative",
            IndicatorKind::RelativeStrength => "relative_strength_index",
            IndicatorKind::EfficiencyRatio => "kaufmans_efficiency_ratio",
            IndicatorKind::AdaptiveAverage => "kaufmans_adaptive_moving_average",
            IndicatorKind::MomentumOscillator => "chande_momentum_oscillator",
        }
    }

    /// How many points get no answer at the beginning.
    #[must_use]
    pub fn held(self) -> usize {
        let (period, before) = (self.period, self.period.saturating_sub(1));
        let of_simple = |averages: usize| match self.warmup {
            Some(Warmup::Simple) => before.saturating_mul(averages),
            _ => before,
        };
        self.hold.unwrap_or_else(|| match (self.kind, self.warmup) {
            (IndicatorKind::ExponentialAverage, _) => before,
            (IndicatorKind::DoubleAverage, _) => of_simple(2),
            (IndicatorKind::TripleAverage, _) => of_simple(3),
            (IndicatorKind::TripleDerivative, _) => of_simple(3).saturating_add(1),
            (IndicatorKind::MomentumOscillator, None) => before,
            _ => period,
        })
    }

    pub(crate) fn state(self) -> Indication {
        let warmup = self.warmup.unwrap_or(Warmup::Exponential);
        let cascade = |averages| Cascade::new(averages, self.period, warmup);
        let moves = || UpsAndDowns::new(self.period, warmup);
        let state = match (self.kind, self.warmup) {
            (IndicatorKind::ExponentialAverage, _) => State::Single(cascade(1)),
            (IndicatorKind::DoubleAverage, _) => State::Double(cascade(2)),
            (IndicatorKind::TripleAverage, _) => State::Triple(cascade(3)),
            (IndicatorKind::TripleDerivative, _) => State::Derivative(cascade(3), 0.0),
            (IndicatorKind::RelativeStrength, _) => State::Strength(Strength(moves())),
            (IndicatorKind::EfficiencyRatio, _) => State::Efficiency(Efficiency::new(self.period)),
            (IndicatorKind::AdaptiveAverage, _) => {
                State::Adaptive(Efficiency::new(self.period), 0.0)
            }
            (IndicatorKind::MomentumOscillator, None) => {
                State::Oscillator(Oscillator::new(self.period))
            }
            (IndicatorKind::MomentumOscillator, Some(_)) => State::Smoothed(moves()),
        };
        Indication { state, held: self.held() }
    }
}

/// An [`Indicator`] on its way along a sequence of points.
#[derive(Debug, Clone)]
pub(crate) struct Indication {
    state: State,
    /// Points that get no answer yet.
    held: usize,
}

#[derive(Debug, Clone)]
enum State {
    Single(Cascade),
    Double(Cascade),
    Triple(Cascade),
    /// With the average before.
    Derivative(Cascade, f64),
    Strength(Strength),
    Efficiency(Efficiency),
    /// With the average before.
    Adaptive(Efficiency, f64),
    Oscillator(Oscillator),
    Smoothed(UpsAndDowns),
}

/// Fastest and slowest weight of the adaptive average: those of exponential averages over 2 and 30 points.
const FAST: f64 = 2.0 / (2.0 + 1.0);
const SLOW: f64 = 2.0 / (30.0 + 1.0);

impl Indication {
    /// Takes the next value. O(1).
    pub(crate) fn step(&mut self, value: f64) -> Option<f64> {
        let (answer, may_be_infinite) = match &mut self.state {
            State::Single(averages) => (averages.step(value)[0], true),
            State::Double(averages) => {
                let [first, second, _] = averages.step(value);
                (2.0 * first - second, true)
            }
            State::Triple(averages) => {
                let [first, second, third] = averages.step(value);
                (3.0 * first - 3.0 * second + third, true)
            }
            State::Derivative(averages, before) => {
                let [_, _, third] = averages.step(value);
                let rate = (third / *before - 1.0) * 100.0;
                *before = third;
                (rate, false)
            }
            State::Strength(strength) => (strength.step(value), true),
            State::Efficiency(efficiency) => (efficiency.step(value), false),
            State::Adaptive(efficiency, average) => {
                if !efficiency.is_warm() {
                    *average = efficiency.last();
                }
                let weight = (efficiency.step(value) * (FAST - SLOW) + SLOW).powi(2);
                *average += weight * (value - *average);
                (*average, false)
            }
            State::Oscillator(oscillator) => (oscillator.step(value), true),
            State::Smoothed(moves) => {
                let (up, down) = moves.step(value);
                (100.0 * ((up - down) / (up + down)), true)
            }
        };
        if self.held > 0 {
            self.held -= 1;
            return None;
        }
        (may_be_infinite || !answer.is_infinite()).then_some(answer)
    }
}

#[cfg(test)]
mod tests;
