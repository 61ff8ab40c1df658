//! Conditions on tags: as data ([`TagFilter`]), which query languages build, the seam carries and
//! indexes take apart, and compiled ([`CompiledFilter`]), which gives the one answer that every
//! engine must agree with. No index and no query text.

use std::{fmt, sync::Arc};

use regex::RegexBuilder;
use thiserror::Error;

/// The most memory that one compiled regular expression may take, in bytes. A request can carry
/// many, and each is compiled per query.
pub const REGEX_BYTES_MAX: usize = 1 << 20;

/// How deep groups may nest inside a regular expression.
pub const REGEX_NEST_MAX: u32 = 50;

/// How deep a [`TagFilter`] may nest. Query texts stop at 100; walking a tree takes stack per
/// level, so trees that were built by other means are measured too.
pub const FILTER_DEPTH_MAX: usize = 256;

/// A condition on the tags of a series.
///
/// A tag that a series does not have counts as the empty string, for every operator; InfluxQL
/// and Prometheus agree on that.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum TagFilter {
    /// Holds for every series.
    True,
    /// Holds for no series.
    False,
    /// Compares one tag.
    Match(TagMatcher),
    /// Holds when all parts hold; for no parts it is true.
    And(Vec<TagFilter>),
    /// Holds when one part holds; for no parts it is false.
    Or(Vec<TagFilter>),
    /// Holds when the part does not.
    Not(Box<TagFilter>),
}

/// The comparison of one tag with a text.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TagMatcher {
    /// The name of the tag.
    pub key: Arc<str>,
    /// How to compare.
    pub op: MatchOp,
    /// The text or the regular expression to compare with.
    pub value: Arc<str>,
}

/// How a [`TagMatcher`] compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MatchOp {
    /// The tag is equal to the value.
    Eq,
    /// The tag is not equal to the value.
    Ne,
    /// The regular expression finds a match somewhere in the tag. Nothing anchors it, as in
    /// InfluxQL; who speaks PromQL writes `^(?:…)$` around it.
    Re,
    /// The regular expression finds no match in the tag.
    Nre,
}

impl MatchOp {
    /// Whether the value is a regular expression.
    #[must_use]
    pub const fn is_regex(self) -> bool {
        matches!(self, MatchOp::Re | MatchOp::Nre)
    }

    /// Whether this is the denial of its positive twin (`!=` or `!~`).
    #[must_use]
    pub const fn is_negated(self) -> bool {
        matches!(self, MatchOp::Ne | MatchOp::Nre)
    }

    /// The operator that holds exactly when this one does not.
    #[must_use]
    pub const fn negate(self) -> MatchOp {
        match self {
            MatchOp::Eq => MatchOp::Ne,
            MatchOp::Ne => MatchOp::Eq,
            MatchOp::Re => MatchOp::Nre,
            MatchOp::Nre => MatchOp::Re,
        }
    }
}

impl TagMatcher {
    /// Compares the tag `key` with `value`.
    pub fn new(key: impl Into<Arc<str>>, op: MatchOp, value: impl Into<Arc<str>>) -> Self {
        Self { key: key.into(), op, value: value.into() }
    }
}

impl From<TagMatcher> for TagFilter {
    fn from(matcher: TagMatcher) -> Self {
        TagFilter::Match(matcher)
    }
}

impl TagFilter {
    /// One comparison.
    pub fn tag(key: impl Into<Arc<str>>, op: MatchOp, value: impl Into<Arc<str>>) -> Self {
        TagFilter::Match(TagMatcher::new(key, op, value))
    }

    /// Whether it holds only for series with one of the values that it names, and no regular expression has to
    /// be tried for that: with an index such series are found at once, whatever others there are.
    #[must_use]
    pub fn names_values(&self) -> bool {
        match self {
            TagFilter::False => true,
            TagFilter::True | TagFilter::Not(_) => false,
            TagFilter::Match(matcher) => matcher.op == MatchOp::Eq && !matcher.value.is_empty(),
            TagFilter::And(parts) => {
                parts.iter().any(TagFilter::names_values) && !parts.iter().any(TagFilter::has_regex)
            }
            TagFilter::Or(parts) => parts.iter().all(TagFilter::names_values),
        }
    }

    fn has_regex(&self) -> bool {
        match self {
            TagFilter::True | TagFilter::False => false,
            TagFilter::Not(part) => part.has_regex(),
            TagFilter::Match(matcher) => matcher.op.is_regex(),
            TagFilter::And(parts) | TagFilter::Or(parts) => parts.iter().any(TagFilter::has_regex),
        }
    }

    /// The conjunction of `parts` in its shortest form: constants are folded, nested conjunctions
    /// flattened, and a single part stands for itself.
    #[must_use]
    pub fn and(parts: impl IntoIterator<Item = TagFilter>) -> Self {
        let mut kept = Vec::new();
        for part in parts {
            match part {
                TagFilter::True => {}
                TagFilter::False => return TagFilter::False,
                TagFilter::And(inner) => kept.extend(inner),
                other => kept.push(other),
            }
        }
        Self::shortest(kept, TagFilter::True, TagFilter::And)
    }

    /// The disjunction of `parts` in its shortest form, see [`TagFilter::and`].
    #[must_use]
    pub fn or(parts: impl IntoIterator<Item = TagFilter>) -> Self {
        let mut kept = Vec::new();
        for part in parts {
            match part {
                TagFilter::False => {}
                TagFilter::True => return TagFilter::True,
                TagFilter::Or(inner) => kept.extend(inner),
                other => kept.push(other),
            }
        }
        Self::shortest(kept, TagFilter::False, TagFilter::Or)
    }

    /// The denial of `part`, pushed into constants and comparisons.
    #[must_use]
    #[expect(
        clippy::should_implement_trait,
        reason = "stands beside `and` and `or`, which are not operators either"
    )]
    pub fn not(part: TagFilter) -> Self {
        match part {
            TagFilter::True => TagFilter::False,
            TagFilter::False => TagFilter::True,
            TagFilter::Not(inner) => *inner,
            TagFilter::Match(matcher) => {
                TagFilter::Match(TagMatcher { op: matcher.op.negate(), ..matcher })
            }
            other => TagFilter::Not(Box::new(other)),
        }
    }

    fn shortest(
        mut parts: Vec<TagFilter>,
        neutral: TagFilter,
        join: fn(Vec<TagFilter>) -> TagFilter,
    ) -> TagFilter {
        match (parts.pop(), parts.is_empty()) {
            (None, _) => neutral,
            (Some(only), true) => only,
            (Some(last), false) => {
                parts.push(last);
                join(parts)
            }
        }
    }
}

/// Writes the filter as TQL: `"host" = 'a' AND NOT ("dc" =~ /x/ OR …)`, with `TRUE` and `FALSE`
/// for the constants. For plans and messages; nothing reads it back.
impl fmt::Display for TagFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TagFilter::True => f.write_str("TRUE"),
            TagFilter::False => f.write_str("FALSE"),
            TagFilter::Match(matcher) => matcher.fmt(f),
            TagFilter::And(parts) => write_joined(f, parts, " AND ", "TRUE"),
            TagFilter::Or(parts) => write_joined(f, parts, " OR ", "FALSE"),
            TagFilter::Not(part) => write!(f, "NOT ({part})"),
        }
    }
}

fn write_joined(
    f: &mut fmt::Formatter<'_>,
    parts: &[TagFilter],
    separator: &str,
    neutral: &str,
) -> fmt::Result {
    if parts.is_empty() {
        return f.write_str(neutral);
    }
    for (index, part) in parts.iter().enumerate() {
        if index > 0 {
            f.write_str(separator)?;
        }
        match part {
            TagFilter::And(_) | TagFilter::Or(_) => write!(f, "({part})")?,
            _ => write!(f, "{part}")?,
        }
    }
    Ok(())
}

impl fmt::Display for TagMatcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (key, value) = (self.key.replace('"', "\\\""), &self.value);
        match self.op {
            MatchOp::Eq => write!(f, "\"{key}\" = '{}'", value.replace('\'', "\\'")),
            MatchOp::Ne => write!(f, "\"{key}\" != '{}'", value.replace('\'', "\\'")),
            MatchOp::Re => write!(f, "\"{key}\" =~ /{}/", value.replace('/', "\\/")),
            MatchOp::Nre => write!(f, "\"{key}\" !~ /{}/", value.replace('/', "\\/")),
        }
    }
}

/// Why a filter cannot be compiled.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum FilterError {
    /// The text is no regular expression.
    #[error("invalid regular expression /{pattern}/: {reason}; correct it or compare with =")]
    RegexInvalid {
        /// The text as given.
        pattern: String,
        /// What is wrong with it, in one line.
        reason: String,
    },
    /// The regular expression needs too much memory.
    #[error(
        "regular expression /{pattern}/ is too large: it needs more than {REGEX_BYTES_MAX} bytes \
         when compiled; use smaller repetition counts"
    )]
    RegexTooLarge {
        /// The text as given.
        pattern: String,
    },
    /// The tree of conditions is too deep.
    #[error(
        "the condition nests deeper than {FILTER_DEPTH_MAX} levels; flatten its AND and OR parts"
    )]
    TooDeep,
}

/// A regular expression within the limits of this module. Not anchored; matching is linear in the
/// text whatever the pattern.
#[derive(Debug, Clone)]
pub struct Pattern {
    regex: regex::Regex,
}

impl Pattern {
    /// Compiles `pattern` (the syntax of the `regex` crate, a superset of most of Go's).
    ///
    /// # Errors
    ///
    /// [`FilterError::RegexInvalid`] and [`FilterError::RegexTooLarge`].
    pub fn new(pattern: &str) -> Result<Self, FilterError> {
        RegexBuilder::new(pattern)
            .size_limit(REGEX_BYTES_MAX)
            .dfa_size_limit(REGEX_BYTES_MAX)
            .nest_limit(REGEX_NEST_MAX)
            .build()
            .map(|regex| Self { regex })
            .map_err(|error| regex_error(pattern, &error))
    }

    /// Whether the pattern matches somewhere in `text`.
    #[must_use]
    pub fn is_match(&self, text: &str) -> bool {
        self.regex.is_match(text)
    }
}

fn regex_error(pattern: &str, error: &regex::Error) -> FilterError {
    let pattern = pattern.to_owned();
    if matches!(error, regex::Error::CompiledTooBig(_)) {
        return FilterError::RegexTooLarge { pattern };
    }
    // The crate's message is a drawing over several lines; its last line says what is wrong.
    let text = error.to_string();
    let last = text.lines().last().unwrap_or_default();
    let reason = last.strip_prefix("error: ").unwrap_or(last).to_owned();
    FilterError::RegexInvalid { pattern, reason }
}

/// A [`TagFilter`] ready to be asked.
#[derive(Debug, Clone)]
pub struct CompiledFilter {
    root: Node,
}

#[derive(Debug, Clone)]
enum Node {
    Constant(bool),
    Equal { key: Arc<str>, value: Arc<str>, negated: bool },
    Regex { key: Arc<str>, pattern: Pattern, negated: bool },
    And(Vec<Node>),
    Or(Vec<Node>),
    Not(Box<Node>),
}

impl CompiledFilter {
    /// Compiles the regular expressions of `filter`.
    ///
    /// # Errors
    ///
    /// [`FilterError`] for the first expression that is wrong or too large, or for a tree deeper
    /// than [`FILTER_DEPTH_MAX`].
    pub fn new(filter: &TagFilter) -> Result<Self, FilterError> {
        Ok(Self { root: Node::compile(filter, FILTER_DEPTH_MAX)? })
    }

    /// Whether the filter holds for the series whose tags `value_of` gives: the value of a key,
    /// and the empty string when the series has no such tag. Allocates nothing.
    pub fn matches<'tags>(&self, mut value_of: impl FnMut(&str) -> &'tags str) -> bool {
        self.root.matches(&mut value_of)
    }
}

impl Node {
    fn compile(filter: &TagFilter, depth_left: usize) -> Result<Node, FilterError> {
        let depth_left = depth_left.checked_sub(1).ok_or(FilterError::TooDeep)?;
        let all = |parts: &[TagFilter]| {
            parts.iter().map(|part| Node::compile(part, depth_left)).collect::<Result<Vec<_>, _>>()
        };
        Ok(match filter {
            TagFilter::True => Node::Constant(true),
            TagFilter::False => Node::Constant(false),
            TagFilter::And(parts) => Node::And(all(parts)?),
            TagFilter::Or(parts) => Node::Or(all(parts)?),
            TagFilter::Not(part) => Node::Not(Box::new(Node::compile(part, depth_left)?)),
            TagFilter::Match(TagMatcher { key, op, value }) => {
                let (key, negated) = (key.clone(), op.is_negated());
                if op.is_regex() {
                    Node::Regex { key, pattern: Pattern::new(value)?, negated }
                } else {
                    Node::Equal { key, value: value.clone(), negated }
                }
            }
        })
    }

    fn matches<'tags>(&self, value_of: &mut impl FnMut(&str) -> &'tags str) -> bool {
        match self {
            Node::Constant(holds) => *holds,
            Node::Equal { key, value, negated } => (value_of(key) == value.as_ref()) != *negated,
            Node::Regex { key, pattern, negated } => pattern.is_match(value_of(key)) != *negated,
            Node::And(parts) => parts.iter().all(|part| part.matches(value_of)),
            Node::Or(parts) => parts.iter().any(|part| part.matches(value_of)),
            Node::Not(part) => !part.matches(value_of),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    const KEYS: [&str; 3] = ["dc", "host", "rack"];

    #[test]
    fn values_are_named_where_every_series_must_have_one_of_them() {
        let eq = |value: &str| TagFilter::tag("host", MatchOp::Eq, value);
        let regex = TagFilter::tag("dc", MatchOp::Re, "^a");
        let other = TagFilter::tag("dc", MatchOp::Ne, "b");
        for named in [
            eq("a"),
            TagFilter::or([eq("a"), eq("b")]),
            TagFilter::and([eq("a"), other.clone()]),
            TagFilter::or([TagFilter::and([eq("a"), other.clone()]), eq("b")]),
            TagFilter::False,
        ] {
            assert!(named.names_values(), "{named:?}");
        }
        for unnamed in [
            TagFilter::True,
            // Whoever has no such tag.
            eq(""),
            other.clone(),
            regex.clone(),
            TagFilter::or([eq("a"), other]),
            TagFilter::and([eq("a"), regex.clone()]),
            TagFilter::And(vec![eq("a"), TagFilter::Not(Box::new(regex))]),
            TagFilter::Not(Box::new(eq("a"))),
        ] {
            assert!(!unnamed.names_values(), "{unnamed:?}");
        }
    }

    /// A series with tags `dc`, `host`, `rack`; an empty value stands for a missing tag.
    type Series = [String; 3];

    fn holds(filter: &TagFilter, series: &Series) -> bool {
        CompiledFilter::new(filter).unwrap().matches(|key| value_of(key, series))
    }

    fn value_of<'s>(key: &str, series: &'s Series) -> &'s str {
        KEYS.iter().position(|k| *k == key).map_or("", |index| &series[index])
    }

    /// The definition of a filter, without folding and without compiling.
    fn meaning(filter: &TagFilter, series: &Series) -> bool {
        match filter {
            TagFilter::True => true,
            TagFilter::False => false,
            TagFilter::And(parts) => parts.iter().all(|part| meaning(part, series)),
            TagFilter::Or(parts) => parts.iter().any(|part| meaning(part, series)),
            TagFilter::Not(part) => !meaning(part, series),
            TagFilter::Match(TagMatcher { key, op, value }) => {
                let tag = value_of(key, series);
                match op {
                    MatchOp::Eq => tag == &**value,
                    MatchOp::Ne => tag != &**value,
                    MatchOp::Re => regex::Regex::new(value).unwrap().is_match(tag),
                    MatchOp::Nre => !regex::Regex::new(value).unwrap().is_match(tag),
                }
            }
        }
    }

    fn any_series() -> impl Strategy<Value = Series> {
        ["[ab]{0,2}", "[ab]{0,2}", "[ab]{0,2}"]
    }

    fn any_filter() -> impl Strategy<Value = TagFilter> {
        let op = prop::sample::select(vec![MatchOp::Eq, MatchOp::Ne, MatchOp::Re, MatchOp::Nre]);
        let key = prop::sample::select(vec!["dc", "host", "rack", "absent"]);
        let leaf = prop_oneof![
            Just(TagFilter::True),
            Just(TagFilter::False),
            (key, op, "\\^?[ab]{0,2}\\$?").prop_map(|(k, op, v)| TagFilter::tag(k, op, v)),
        ];
        leaf.prop_recursive(4, 24, 3, |inner| {
            prop_oneof![
                vec(inner.clone(), 0..4).prop_map(TagFilter::And),
                vec(inner.clone(), 0..4).prop_map(TagFilter::Or),
                inner.prop_map(|part| TagFilter::Not(Box::new(part))),
            ]
        })
    }

    proptest! {
        #[test]
        fn compiling_keeps_the_meaning(filter in any_filter(), series in any_series()) {
            prop_assert_eq!(holds(&filter, &series), meaning(&filter, &series));
        }

        #[test]
        fn folding_keeps_the_meaning(
            parts in vec(any_filter(), 0..4), series in any_series(),
        ) {
            let all = parts.iter().all(|part| meaning(part, &series));
            let any = parts.iter().any(|part| meaning(part, &series));
            prop_assert_eq!(meaning(&TagFilter::and(parts.clone()), &series), all);
            prop_assert_eq!(meaning(&TagFilter::or(parts), &series), any);
        }

        #[test]
        fn de_morgan(a in any_filter(), b in any_filter(), series in any_series()) {
            let not = TagFilter::not;
            let left = not(TagFilter::and([a.clone(), b.clone()]));
            let right = TagFilter::or([not(a.clone()), not(b.clone())]);
            prop_assert_eq!(holds(&left, &series), holds(&right, &series));
            prop_assert_eq!(holds(&not(not(a.clone())), &series), holds(&a, &series));
            prop_assert_ne!(holds(&not(b.clone()), &series), holds(&b, &series));
        }

        #[test]
        fn no_pattern_panics(pattern in "\\PC{0,20}") {
            let _ = Pattern::new(&pattern);
        }
    }

    #[test]
    fn a_missing_tag_is_the_empty_string() {
        let series: Series = Default::default();
        let check = |op, value: &str, expected| {
            assert_eq!(holds(&TagFilter::tag("host", op, value), &series), expected, "{value}");
        };
        check(MatchOp::Eq, "", true);
        check(MatchOp::Ne, "a", true);
        check(MatchOp::Re, ".*", true);
        check(MatchOp::Re, ".+", false);
        check(MatchOp::Nre, "a", true);
    }

    #[test]
    fn limits_are_errors_that_name_the_pattern() {
        let check = |pattern: &str, part: &str| {
            let message = Pattern::new(pattern).unwrap_err().to_string();
            assert!(message.contains(part), "{message}");
            assert!(!message.contains('\n'), "{message}");
        };
        check("a(b", "/a(b/: unclosed group");
        check("(\\w{100}){100}", "too large");
        check(&format!("{}a{}", "(".repeat(60), ")".repeat(60)), "nest");
    }

    #[test]
    fn a_tree_that_is_too_deep_is_refused() {
        let wrap =
            |levels| (0..levels).fold(TagFilter::True, |part, _| TagFilter::Not(Box::new(part)));
        assert!(CompiledFilter::new(&wrap(FILTER_DEPTH_MAX - 1)).is_ok());
        assert_eq!(CompiledFilter::new(&wrap(FILTER_DEPTH_MAX)).err(), Some(FilterError::TooDeep));
    }

    #[test]
    fn filters_print_as_conditions() {
        let host = TagFilter::tag("host", MatchOp::Eq, "it's");
        let dc = TagFilter::tag("dc", MatchOp::Nre, "a/b");
        let both = TagFilter::and([host.clone(), TagFilter::or([dc.clone(), host])]);
        assert_eq!(
            both.to_string(),
            r#""host" = 'it\'s' AND ("dc" !~ /a\/b/ OR "host" = 'it\'s')"#
        );
        assert_eq!(TagFilter::Not(Box::new(dc)).to_string(), r#"NOT ("dc" !~ /a\/b/)"#);
    }
}
