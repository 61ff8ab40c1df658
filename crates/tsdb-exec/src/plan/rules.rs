//! The rules of the optimiser by their names, with what each of them does, as EXPLAIN shows them.

use std::fmt::{self, Display};

/// A way to read or to work less for the same answer. A plan lists those that take effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rule {
    /// The condition bounds the time.
    TimeBounds,
    /// The condition names tags.
    TagPredicates,
    /// The condition compares fields with numbers.
    ValuePredicates,
    /// The measurement has fields that nobody asks for.
    Projection,
    /// A part of an expression has no name in it.
    ConstantFolding,
    /// The aggregates can be made of summaries.
    Summaries,
    /// One row of each series decides.
    LastRow,
    /// Rows are wanted newest first.
    Order,
    /// `LIMIT` rows.
    Limit,
    /// `top`, `bottom`, `sample`.
    TopK,
    /// `GROUP BY time(…) LIMIT`.
    EndWindows,
}

impl Rule {
    /// All rules, in the order in which a plan lists them.
    #[cfg(test)]
    const ALL: [Rule; 11] = [
        Rule::TimeBounds,
        Rule::TagPredicates,
        Rule::ValuePredicates,
        Rule::Projection,
        Rule::ConstantFolding,
        Rule::Summaries,
        Rule::LastRow,
        Rule::Order,
        Rule::Limit,
        Rule::TopK,
        Rule::EndWindows,
    ];

    /// What it is called.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Rule::TimeBounds => "time-bounds",
            Rule::TagPredicates => "tag-predicates",
            Rule::ValuePredicates => "value-predicates",
            Rule::Projection => "projection",
            Rule::ConstantFolding => "constant-folding",
            Rule::Summaries => "summaries",
            Rule::LastRow => "last-row",
            Rule::Order => "order",
            Rule::Limit => "limit",
            Rule::TopK => "top-k",
            Rule::EndWindows => "end-windows",
        }
    }

    /// What it does.
    pub(crate) fn effect(self) -> &'static str {
        match self {
            Rule::TimeBounds => "runs and chunks outside of the time range are not read",
            Rule::TagPredicates => "the index finds the series that the tags leave",
            Rule::ValuePredicates => "chunks whose minimum and maximum leave no match are not read",
            Rule::Projection => "other fields of the measurement are not read",
            Rule::ConstantFolding => "what is the same in every row is worked out before",
            Rule::Summaries => "summaries answer for chunks inside one window",
            Rule::LastRow => "the row at the end of each series is enough",
            Rule::Order => "series are read newest first, so their rows need no sorting",
            Rule::Limit => "LIMIT rows of each series are enough",
            Rule::TopK => "no more rows than asked for are kept of each group and window",
            Rule::EndWindows => "the windows at the end are tried first",
        }
    }
}

impl Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name(), self.effect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_manual_lists_all_rules_as_they_are() {
        let manual = include_str!("../../../../docs/tql.md");
        let rows: Vec<String> = Rule::ALL
            .iter()
            .map(|rule| format!("| `{}` | {} |", rule.name(), rule.effect()))
            .collect();
        assert!(manual.contains(&rows.join("\n")), "docs/tql.md must have\n{}", rows.join("\n"));
    }
}
