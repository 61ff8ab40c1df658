//! Conditions on tags to postings: a [`TagFilter`] becomes a [`Plan`], a plan is evaluated over any
//! [`TagSource`]. The answer is exactly that of [`tsdb_core::matcher::CompiledFilter`] on every series;
//! nothing here knows where postings come from.
//!
//! Negation is not computed until the end: a part of the condition is a list of series, or a list of
//! series that it does *not* hold for. So `a = 'x' AND b != 'y'` costs two short lists, whatever the
//! number of series. A condition that a missing tag fulfils (a missing tag is the empty string) is
//! always such a complement, over the values that do not fulfil it.
//!
//! Regular expressions are asked once per distinct value, not per series. Two kinds are cheaper:
//! `^(a|b|c)$` becomes a comparison with each literal, and one that begins with `^abc` is asked only
//! about values with that prefix.

use std::borrow::Cow;
use std::sync::Arc;

use regex_syntax::hir::literal::Extractor;
use regex_syntax::hir::{Hir, HirKind, Look};
use tsdb_core::CancelToken;
use tsdb_core::matcher::{
    FILTER_DEPTH_MAX, FilterError, MatchOp, Pattern, REGEX_NEST_MAX, TagFilter, TagMatcher,
};

use crate::{Result, postings};

/// Series with their tags, as an index gives them. All lists are sorted and without repetitions.
pub trait TagSource {
    /// All series.
    fn all(&self) -> Cow<'_, [u32]>;

    /// Series whose tag `key` is `value`, which is not empty.
    ///
    /// # Errors
    /// Damaged postings.
    fn with_value(&self, key: &str, value: &str) -> Result<Cow<'_, [u32]>>;

    /// Series that have the tag `key`.
    ///
    /// # Errors
    /// Damaged postings.
    fn with_key(&self, key: &str) -> Result<Cow<'_, [u32]>>;

    /// Series whose tag `key` has a value that begins with `prefix` and that `accept` accepts.
    /// `accept` is asked once per distinct value.
    ///
    /// # Errors
    /// Damaged postings.
    fn with_values(
        &self,
        key: &str,
        prefix: &str,
        accept: &mut dyn FnMut(&str) -> bool,
    ) -> Result<Vec<u32>>;
}

/// A condition on tags, ready to be evaluated over any number of sources.
#[derive(Debug, Clone)]
pub struct Plan {
    root: Node,
}

#[derive(Debug, Clone)]
enum Node {
    Constant(bool),
    /// The tag is present.
    Present(Arc<str>),
    Equal {
        key: Arc<str>,
        value: Arc<str>,
    },
    /// The tag has a value with `prefix` for which `pattern` says `expected`.
    Regex {
        key: Arc<str>,
        prefix: String,
        pattern: Pattern,
        expected: bool,
    },
    And(Vec<Node>),
    Or(Vec<Node>),
    Not(Box<Node>),
}

/// Series that a condition holds for, or that it does not hold for.
enum Found<'a> {
    These(Cow<'a, [u32]>),
    AllBut(Cow<'a, [u32]>),
}

impl Plan {
    /// Compiles the regular expressions of `filter` and chooses how to answer each comparison.
    ///
    /// # Errors
    /// As [`tsdb_core::matcher::CompiledFilter::new`].
    pub fn new(filter: &TagFilter) -> Result<Plan> {
        Ok(Plan { root: Node::compile(filter, FILTER_DEPTH_MAX)? })
    }

    /// Whether the condition holds for every series, whatever its tags.
    pub fn is_true(&self) -> bool {
        matches!(self.root, Node::Constant(true))
    }

    /// What series must have to fulfil the condition.
    pub(crate) fn needs(&self) -> Needs {
        self.root.needs()
    }

    /// The series of `source` that fulfil the condition, sorted.
    ///
    /// # Errors
    /// Damaged postings, a token that was used.
    pub fn evaluate(&self, source: &impl TagSource, cancel: &CancelToken) -> Result<Vec<u32>> {
        let found = self.root.evaluate(source, cancel)?;
        // A search that was cut short found too little.
        cancel.check()?;
        Ok(match found {
            Found::These(list) => list.into_owned(),
            Found::AllBut(list) if list.is_empty() => source.all().into_owned(),
            Found::AllBut(list) => postings::and_not(&source.all(), &list),
        })
    }
}

/// The series of `source` that fulfil `filter`, sorted.
///
/// # Errors
/// As [`Plan::new`] and [`Plan::evaluate`].
pub fn evaluate(
    source: &impl TagSource,
    filter: &TagFilter,
    cancel: &CancelToken,
) -> Result<Vec<u32>> {
    Plan::new(filter)?.evaluate(source, cancel)
}

/// Tags that some series among many must have, or none of them fulfils the condition. Whatever is not as simple as
/// that counts as [`Needs::Anything`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Needs {
    /// Nothing that could be told.
    Anything,
    /// A tag with this key and, if there is one, this value.
    Tag(Arc<str>, Option<Arc<str>>),
    All(Vec<Needs>),
    Any(Vec<Needs>),
}

impl Needs {
    /// Whether `has`, which says whether some series has a tag, or has the key, leaves it possible.
    pub(crate) fn may_be_met(&self, has: &impl Fn(&str, Option<&str>) -> bool) -> bool {
        match self {
            Needs::Anything => true,
            Needs::Tag(key, value) => has(key, value.as_deref()),
            Needs::All(parts) => parts.iter().all(|part| part.may_be_met(has)),
            Needs::Any(parts) => parts.iter().any(|part| part.may_be_met(has)),
        }
    }
}

impl Node {
    fn needs(&self) -> Needs {
        match self {
            Node::Constant(true) | Node::Not(_) => Needs::Anything,
            Node::Constant(false) => Needs::Any(Vec::new()),
            Node::Present(key) | Node::Regex { key, .. } => Needs::Tag(Arc::clone(key), None),
            Node::Equal { key, value } => Needs::Tag(Arc::clone(key), Some(Arc::clone(value))),
            Node::And(parts) => Needs::All(parts.iter().map(Node::needs).collect()),
            Node::Or(parts) => Needs::Any(parts.iter().map(Node::needs).collect()),
        }
    }

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
            TagFilter::Not(part) => Node::compile(part, depth_left)?.negated(),
            TagFilter::Match(TagMatcher { key, op, value }) => match op {
                MatchOp::Eq => Node::equal(key, value),
                MatchOp::Ne => Node::equal(key, value).negated(),
                MatchOp::Re => Node::regex(key, value)?,
                MatchOp::Nre => Node::regex(key, value)?.negated(),
            },
        })
    }

    fn negated(self) -> Node {
        match self {
            Node::Constant(holds) => Node::Constant(!holds),
            Node::Not(inner) => *inner,
            other => Node::Not(Box::new(other)),
        }
    }

    fn equal(key: &Arc<str>, value: &str) -> Node {
        if value.is_empty() {
            return Node::Present(key.clone()).negated();
        }
        Node::Equal { key: key.clone(), value: value.into() }
    }

    fn regex(key: &Arc<str>, text: &str) -> Result<Node, FilterError> {
        let pattern = Pattern::new(text)?;
        let shape = Shape::of(text);
        Ok(match shape {
            Shape::Everything => Node::Constant(true),
            Shape::Literals(literals) => {
                let mut parts: Vec<Node> =
                    literals.iter().map(|literal| Node::equal(key, literal)).collect();
                match parts.pop() {
                    Some(only) if parts.is_empty() => only,
                    Some(last) => {
                        parts.push(last);
                        Node::Or(parts)
                    }
                    None => Node::Constant(false),
                }
            }
            // A missing tag matches, so ask for the values that do not; they have no common prefix.
            Shape::Prefix(_) if pattern.is_match("") => {
                let (key, prefix) = (key.clone(), String::new());
                Node::Regex { key, prefix, pattern, expected: false }.negated()
            }
            Shape::Prefix(prefix) => {
                Node::Regex { key: key.clone(), prefix, pattern, expected: true }
            }
        })
    }

    fn evaluate<'a>(&self, source: &'a impl TagSource, cancel: &CancelToken) -> Result<Found<'a>> {
        let none = Cow::Borrowed(&[] as &[u32]);
        Ok(match self {
            Node::Constant(false) => Found::These(none),
            Node::Constant(true) => Found::AllBut(none),
            Node::Present(key) => Found::These(source.with_key(key)?),
            Node::Equal { key, value } => Found::These(source.with_value(key, value)?),
            Node::Regex { key, prefix, pattern, expected } => {
                // Expressions are what takes long here: a million values take most of a second.
                let mut accept =
                    |value: &str| !cancel.is_ended() && pattern.is_match(value) == *expected;
                Found::These(source.with_values(key, prefix, &mut accept)?.into())
            }
            Node::Not(part) => part.evaluate(source, cancel)?.negated(),
            Node::And(parts) => {
                conjunction(parts.iter().map(|part| part.evaluate(source, cancel)))?
            }
            // By De Morgan, so that there is one place that combines.
            Node::Or(parts) => {
                conjunction(parts.iter().map(|part| Ok(part.evaluate(source, cancel)?.negated())))?
                    .negated()
            }
        })
    }
}

impl Found<'_> {
    fn negated(self) -> Self {
        match self {
            Found::These(list) => Found::AllBut(list),
            Found::AllBut(list) => Found::These(list),
        }
    }
}

/// Series that all parts hold for.
fn conjunction<'a>(parts: impl Iterator<Item = Result<Found<'a>>>) -> Result<Found<'a>> {
    let mut wanted: Vec<Cow<'a, [u32]>> = Vec::new();
    let mut unwanted: Vec<Cow<'a, [u32]>> = Vec::new();
    for part in parts {
        match part? {
            // Nothing can come back from an empty list.
            Found::These(list) if list.is_empty() => return Ok(Found::These(list)),
            Found::These(list) => wanted.push(list),
            Found::AllBut(list) => unwanted.push(list),
        }
    }
    if wanted.is_empty() {
        return Ok(Found::AllBut(union(unwanted)));
    }
    let mut found = match wanted.pop() {
        Some(only) if wanted.is_empty() => only,
        Some(last) => {
            wanted.push(last);
            postings::and_all(wanted.iter().map(|list| &**list).collect()).into()
        }
        None => Cow::default(),
    };
    for list in &unwanted {
        found = postings::and_not(&found, list).into();
    }
    Ok(Found::These(found))
}

fn union(mut lists: Vec<Cow<'_, [u32]>>) -> Cow<'_, [u32]> {
    match lists.pop() {
        None => Cow::default(),
        Some(only) if lists.is_empty() => only,
        Some(last) => {
            let mut joined = last.into_owned();
            lists.iter().for_each(|list| joined.extend_from_slice(list));
            postings::normalise(&mut joined);
            joined.into()
        }
    }
}

/// What can be told about a regular expression without asking it.
#[derive(Debug, PartialEq)]
enum Shape {
    /// It matches every text.
    Everything,
    /// It matches exactly these texts.
    Literals(Vec<String>),
    /// What it matches begins with this, which may be empty.
    Prefix(String),
}

impl Shape {
    /// The shape of a pattern that [`Pattern::new`] accepts.
    fn of(pattern: &str) -> Shape {
        let unknown = Shape::Prefix(String::new());
        let mut parser = regex_syntax::ParserBuilder::new().nest_limit(REGEX_NEST_MAX).build();
        let Ok(hir) = parser.parse(pattern) else { return unknown };
        let properties = hir.properties();
        if properties.look_set().is_empty() {
            // Without assertions, an empty match is possible in every text.
            let everything = properties.minimum_len() == Some(0);
            return if everything { Shape::Everything } else { unknown };
        }
        let Some(Anchored { body, at_end }) = Anchored::of(&hir) else { return unknown };
        let mut prefixes = Extractor::new().extract(&body);
        if at_end && prefixes.is_exact() {
            prefixes.dedup();
            let texts = prefixes.literals().unwrap_or_default().iter();
            let texts = texts.map(|literal| String::from_utf8(literal.as_bytes().to_vec()));
            if let Ok(texts) = texts.collect::<Result<Vec<_>, _>>() {
                return Shape::Literals(texts);
            }
        }
        // A prefix that ends inside of a character narrows nothing.
        let prefix = prefixes.longest_common_prefix().map(<[u8]>::to_vec).unwrap_or_default();
        Shape::Prefix(String::from_utf8(prefix).unwrap_or_default())
    }
}

/// A pattern of the form `^body` or `^body$` whose body holds no further assertions.
struct Anchored {
    body: Hir,
    at_end: bool,
}

impl Anchored {
    fn of(hir: &Hir) -> Option<Anchored> {
        // `^$` is parsed as one concatenation too; `^` alone is no concatenation and matches everywhere.
        let HirKind::Concat(parts) = hir.kind() else { return None };
        let (first, rest) = parts.split_first()?;
        if !matches!(first.kind(), HirKind::Look(Look::Start)) {
            return None;
        }
        let (at_end, rest) = match rest.split_last() {
            Some((last, rest)) if matches!(last.kind(), HirKind::Look(Look::End)) => (true, rest),
            _ => (false, rest),
        };
        let body = Hir::concat(rest.to_vec());
        body.properties().look_set().is_empty().then_some(Anchored { body, at_end })
    }
}

#[cfg(test)]
mod tests;
