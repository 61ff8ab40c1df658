//! The table of functions: their names and what `check` must know of them. How they compute is
//! in the crate of aggregates.

use crate::math::MathFunction;

/// A function of TQL over several rows. ([`MathFunction`] has those of one row.)
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Function {
    /// `count(f)`: how many values there are.
    Count,
    /// `sum(f)`: their sum.
    Sum,
    /// `mean(f)`, also `avg(f)`: their arithmetic mean.
    Mean,
    /// `median(f)`: the value in the middle.
    Median,
    /// `spread(f)`: the greatest less the smallest.
    Spread,
    /// `stddev(f)`: the standard deviation of a sample.
    Stddev,
    /// `variance(f)`: the variance of a sample.
    Variance,
    /// `var_pop(f)`: the variance of a whole population.
    PopulationVariance,
    /// `rate(f [, unit])`: how fast counters grow.
    Rate,
    /// `increase(f)`: by how much counters grow.
    Increase,
    /// `approx_percentile(f, p)`: about the value that p percent of the values are at most.
    ApproxPercentile,
    /// `min(f)`: the smallest, the earliest of equals.
    Min,
    /// `max(f)`: the greatest, the earliest of equals.
    Max,
    /// `first(f)`: the one with the earliest time.
    First,
    /// `last(f)`: the one with the latest time.
    Last,
    /// `percentile(f, p)`: the value that p percent of the values are at most.
    Percentile,
    /// `derivative(f [, unit])`: the change from point to point in relation to time.
    Derivative,
    /// `non_negative_derivative(f [, unit])`: the same where it is not negative.
    NonNegativeDerivative,
    /// `difference(f)`: the change from point to point.
    Difference,
    /// `non_negative_difference(f)`: the same where it is not negative.
    NonNegativeDifference,
    /// `cumulative_sum(f)`: the sum so far.
    CumulativeSum,
    /// `moving_average(f, n)`: the mean of the last n points.
    MovingAverage,
    /// `elapsed(f [, unit])`: the time from point to point.
    Elapsed,
    /// `mode(f)`: the most frequent value.
    Mode,
    /// `distinct(f)`: the different values; inside `count()` their number.
    Distinct,
    /// `integral(f [, unit])`: the area below the line through the points.
    Integral,
    /// `top(f [, tag …], n)`: the n greatest, or the greatest of each tag value.
    Top,
    /// `bottom(f [, tag …], n)`: the n smallest.
    Bottom,
    /// `sample(f, n)`: n points by chance.
    Sample,
    /// `exponential_moving_average(f, n [, hold [, warmup]])`
    ExponentialMovingAverage,
    /// `double_exponential_moving_average(f, n [, hold [, warmup]])`
    DoubleExponentialMovingAverage,
    /// `triple_exponential_moving_average(f, n [, hold [, warmup]])`
    TripleExponentialMovingAverage,
    /// `triple_exponential_derivative(f, n [, hold [, warmup]])`
    TripleExponentialDerivative,
    /// `relative_strength_index(f, n [, hold [, warmup]])`
    RelativeStrengthIndex,
    /// `kaufmans_efficiency_ratio(f, n [, hold])`
    KaufmansEfficiencyRatio,
    /// `kaufmans_adaptive_moving_average(f, n [, hold])`
    KaufmansAdaptiveMovingAverage,
    /// `chande_momentum_oscillator(f, n [, hold [, warmup]])`
    ChandeMomentumOscillator,
    /// `holt_winters(call, n, season)`: a forecast.
    HoltWinters,
    /// `holt_winters_with_fit(call, n, season)`: a forecast with the points that it was made of.
    HoltWintersWithFit,
}

/// What a function does with the rows of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FunctionKind {
    /// Computes a value of all rows; its time is the start of the window or range.
    Aggregate,
    /// Picks a row. Alone and without windows it has that row's time, and other columns of the
    /// row may stand beside it.
    Selector,
    /// Makes a value of each point and some before. The points are those of a field, or with
    /// windows the results of another function, which is the first argument then.
    Transformation,
    /// Makes points that come after the results of another function in windows.
    Forecast,
    /// Gives each of several values a row.
    Several,
}

/// What a function takes beside its first argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MoreArguments {
    /// Nothing.
    None,
    /// A duration above 0, or nothing.
    Unit,
    /// A number from 0 to 100.
    Percent,
    /// A number of points above 1.
    Window,
    /// A number of points above 0.
    Count,
    /// Names, and a number of points above 0.
    TagsAndCount,
    /// A number of points from the least on; maybe how many get no answer, from the least on or -1; maybe one of the words
    /// that say how averages begin.
    Period {
        /// The least number of points.
        period_min: i64,
        /// The least number without an answer.
        hold_min: i64,
        /// The words; none where there is no such argument.
        warmups: &'static [&'static str],
    },
    /// A number of points above 0, and the number of points of a season, from 0 on.
    Horizon,
}

/// One line of the table.
struct Entry {
    name: &'static str,
    function: Function,
    kind: FunctionKind,
    more: MoreArguments,
}

const fn entry(name: &'static str, function: Function, kind: FunctionKind) -> Entry {
    entry_with(name, function, kind, MoreArguments::None)
}

const fn entry_with(
    name: &'static str,
    function: Function,
    kind: FunctionKind,
    more: MoreArguments,
) -> Entry {
    Entry { name, function, kind, more }
}

/// A transformation that looks back at a period.
const fn indicator(
    name: &'static str,
    function: Function,
    (period_min, hold_min): (i64, i64),
    warmups: &'static [&'static str],
) -> Entry {
    let more = MoreArguments::Period { period_min, hold_min, warmups };
    entry_with(name, function, FunctionKind::Transformation, more)
}

/// How averages begin.
const WARMUPS: &[&str] = &["exponential", "simple"];
/// The same for the oscillator, which has sums instead of averages unless it is told otherwise.
const OSCILLATOR_WARMUPS: &[&str] = &["none", "exponential", "simple"];

/// Every name, the canonical one of a function first.
static FUNCTIONS: [Entry; 40] = {
    use Function::{
        ChandeMomentumOscillator, DoubleExponentialMovingAverage, ExponentialMovingAverage,
        KaufmansAdaptiveMovingAverage, KaufmansEfficiencyRatio, NonNegativeDerivative,
        RelativeStrengthIndex, TripleExponentialDerivative, TripleExponentialMovingAverage,
    };
    use FunctionKind::{Aggregate, Forecast, Selector, Several, Transformation};
    use MoreArguments::{Count, Horizon, Percent, TagsAndCount, Unit, Window};
    [
        entry("count", Function::Count, Aggregate),
        entry("sum", Function::Sum, Aggregate),
        entry("mean", Function::Mean, Aggregate),
        entry("avg", Function::Mean, Aggregate),
        entry("min", Function::Min, Selector),
        entry("max", Function::Max, Selector),
        entry("first", Function::First, Selector),
        entry("last", Function::Last, Selector),
        entry("median", Function::Median, Aggregate),
        entry("mode", Function::Mode, Aggregate),
        entry_with("percentile", Function::Percentile, Selector, Percent),
        entry_with("approx_percentile", Function::ApproxPercentile, Aggregate, Percent),
        entry("stddev", Function::Stddev, Aggregate),
        entry("variance", Function::Variance, Aggregate),
        entry("var_pop", Function::PopulationVariance, Aggregate),
        entry("spread", Function::Spread, Aggregate),
        entry_with("integral", Function::Integral, Aggregate, Unit),
        entry_with("rate", Function::Rate, Aggregate, Unit),
        entry("increase", Function::Increase, Aggregate),
        entry("distinct", Function::Distinct, Several),
        entry_with("top", Function::Top, Selector, TagsAndCount),
        entry_with("bottom", Function::Bottom, Selector, TagsAndCount),
        entry_with("sample", Function::Sample, Selector, Count),
        entry_with("derivative", Function::Derivative, Transformation, Unit),
        entry_with("non_negative_derivative", NonNegativeDerivative, Transformation, Unit),
        entry("difference", Function::Difference, Transformation),
        entry("non_negative_difference", Function::NonNegativeDifference, Transformation),
        entry("cumulative_sum", Function::CumulativeSum, Transformation),
        entry_with("moving_average", Function::MovingAverage, Transformation, Window),
        entry_with("elapsed", Function::Elapsed, Transformation, Unit),
        indicator("exponential_moving_average", ExponentialMovingAverage, (1, 0), WARMUPS),
        indicator(
            "double_exponential_moving_average",
            DoubleExponentialMovingAverage,
            (1, 0),
            WARMUPS,
        ),
        indicator(
            "triple_exponential_moving_average",
            TripleExponentialMovingAverage,
            (1, 0),
            WARMUPS,
        ),
        indicator("triple_exponential_derivative", TripleExponentialDerivative, (1, 1), WARMUPS),
        indicator("relative_strength_index", RelativeStrengthIndex, (1, 0), WARMUPS),
        indicator("kaufmans_efficiency_ratio", KaufmansEfficiencyRatio, (1, 0), &[]),
        indicator("kaufmans_adaptive_moving_average", KaufmansAdaptiveMovingAverage, (1, 0), &[]),
        indicator(
            "chande_momentum_oscillator",
            ChandeMomentumOscillator,
            // Over one value there is no move.
            (2, 0),
            OSCILLATOR_WARMUPS,
        ),
        entry_with("holt_winters", Function::HoltWinters, Forecast, Horizon),
        entry_with("holt_winters_with_fit", Function::HoltWintersWithFit, Forecast, Horizon),
    ]
};

/// How alike two names must be, from 0 to 1, for one to be offered for the other. At 0.8
/// Jaro-Winkler offers `mean` for `maen` and `mena`, and nothing for `histogram`.
const SIMILARITY_MIN: f64 = 0.8;

impl Function {
    /// The function of that name (in lower case, as in the tree).
    #[must_use]
    pub fn from_name(name: &str) -> Option<Function> {
        FUNCTIONS.iter().find(|entry| entry.name == name).map(|entry| entry.function)
    }

    /// Its canonical name.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.entry().name
    }

    /// What it does with the rows of a group.
    #[must_use]
    pub fn kind(self) -> FunctionKind {
        self.entry().kind
    }

    /// What it takes beside its first argument.
    #[must_use]
    pub fn more_arguments(self) -> MoreArguments {
        self.entry().more
    }

    /// How many arguments it takes: at least, at most.
    #[must_use]
    pub fn arguments(self) -> (usize, usize) {
        match self.more_arguments() {
            MoreArguments::None => (1, 1),
            MoreArguments::Unit => (1, 2),
            MoreArguments::Percent | MoreArguments::Window | MoreArguments::Count => (2, 2),
            MoreArguments::TagsAndCount => (2, usize::MAX),
            MoreArguments::Period { warmups: [], .. } => (2, 3),
            MoreArguments::Period { .. } => (2, 4),
            MoreArguments::Horizon => (3, 3),
        }
    }

    /// All names, as messages list them.
    #[must_use]
    pub fn names() -> Vec<&'static str> {
        FUNCTIONS.iter().map(|entry| entry.name).collect()
    }

    /// The name that was probably meant by `name`.
    pub(crate) fn similar_name(name: &str) -> Option<&'static str> {
        most_similar(name, FUNCTIONS.iter().map(|entry| entry.name).chain(MathFunction::names()))
    }

    #[expect(clippy::expect_used, reason = "a test walks all functions through the table")]
    fn entry(self) -> &'static Entry {
        FUNCTIONS.iter().find(|entry| entry.function == self).expect("every function has an entry")
    }
}

/// The one of `candidates` that is most like `word` (by the similarity of Jaro and Winkler, 1990), if one is alike
/// enough to have been meant. O(bytes of all candidates).
pub fn most_similar<'c>(word: &str, candidates: impl Iterator<Item = &'c str>) -> Option<&'c str> {
    candidates
        .map(|candidate| (strsim::jaro_winkler(word, candidate), candidate))
        .filter(|(similarity, _)| *similarity >= SIMILARITY_MIN)
        .max_by(|(left, _), (right, _)| left.total_cmp(right))
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_to_functions_and_back() {
        for name in Function::names() {
            let function = Function::from_name(name).unwrap();
            assert_eq!(Function::from_name(function.name()), Some(function));
            let (least, most) = function.arguments();
            assert!(1 <= least && least <= most, "{name}");
        }
        assert_eq!(Function::from_name("avg"), Some(Function::Mean));
        assert_eq!(Function::Mean.name(), "mean");
        assert_eq!(Function::from_name("time"), None);
    }

    #[test]
    fn near_misses_find_what_was_meant() {
        let check = |name, expected| assert_eq!(Function::similar_name(name), expected, "{name}");
        check("maen", Some("mean"));
        check("meam", Some("mean"));
        check("av", Some("avg"));
        check("frist", Some("first"));
        check("counts", Some("count"));
        check("zzz", None);
        check("stdev", Some("stddev"));
        check("derivate", Some("derivative"));
        check("percentil", Some("percentile"));
        check("rates", Some("rate"));
        check("histogram", None);
    }
}
