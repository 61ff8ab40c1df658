//! The table of functions: their names and what `check` must know of them. How they compute is
//! in the crate of aggregates.

/// A function of TQL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Function {
    /// `count(f)`: how many values there are.
    Count,
    /// `sum(f)`: their sum.
    Sum,
    /// `mean(f)`, also `avg(f)`: their arithmetic mean.
    Mean,
    /// `min(f)`: the smallest, the earliest of equals.
    Min,
    /// `max(f)`: the greatest, the earliest of equals.
    Max,
    /// `first(f)`: the one with the earliest time.
    First,
    /// `last(f)`: the one with the latest time.
    Last,
}

/// What a function does with the rows of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FunctionKind {
    /// Computes a value of all rows; its time is the start of the window or range.
    Aggregate,
    /// Picks a row. Alone and without windows it has that row's time, and other columns of the
    /// row may stand beside it.
    Selector,
}

/// One line of the table.
struct Entry {
    name: &'static str,
    function: Function,
    kind: FunctionKind,
    arguments: usize,
}

const fn entry(name: &'static str, function: Function, kind: FunctionKind) -> Entry {
    Entry { name, function, kind, arguments: 1 }
}

/// Every name, the canonical one of a function first.
static FUNCTIONS: [Entry; 8] = [
    entry("count", Function::Count, FunctionKind::Aggregate),
    entry("sum", Function::Sum, FunctionKind::Aggregate),
    entry("mean", Function::Mean, FunctionKind::Aggregate),
    entry("avg", Function::Mean, FunctionKind::Aggregate),
    entry("min", Function::Min, FunctionKind::Selector),
    entry("max", Function::Max, FunctionKind::Selector),
    entry("first", Function::First, FunctionKind::Selector),
    entry("last", Function::Last, FunctionKind::Selector),
];

/// How alike two names must be, from 0 to 1, for one to be offered for the other. At 0.8
/// Jaro-Winkler offers `mean` for `maen` and `mena`, and nothing for `stddev`.
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

    /// How many arguments it takes.
    #[must_use]
    pub fn arguments(self) -> usize {
        self.entry().arguments
    }

    /// All names, as messages list them.
    #[must_use]
    pub fn names() -> Vec<&'static str> {
        FUNCTIONS.iter().map(|entry| entry.name).collect()
    }

    /// The name that was probably meant by `name`.
    pub(crate) fn similar_name(name: &str) -> Option<&'static str> {
        most_similar(name, FUNCTIONS.iter().map(|entry| entry.name))
    }

    #[expect(clippy::expect_used, reason = "a test walks all functions through the table")]
    fn entry(self) -> &'static Entry {
        FUNCTIONS.iter().find(|entry| entry.function == self).expect("every function has an entry")
    }
}

/// The one of `candidates` that is most like `word`, if one is alike enough.
pub(crate) fn most_similar<'c>(
    word: &str,
    candidates: impl Iterator<Item = &'c str>,
) -> Option<&'c str> {
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
        use Function::{Count, First, Last, Max, Mean, Min, Sum};
        for function in [Count, Sum, Mean, Min, Max, First, Last] {
            assert_eq!(Function::from_name(function.name()), Some(function));
            assert_eq!(function.arguments(), 1);
        }
        for name in Function::names() {
            assert!(Function::from_name(name).is_some());
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
        check("stddev", None);
    }
}
