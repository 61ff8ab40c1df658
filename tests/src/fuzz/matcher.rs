//! Conditions on tags: any trees of comparisons over a few series, against a plain evaluation.

use std::sync::OnceLock;

use tsdb_core::matcher::{CompiledFilter, MatchOp, Pattern, TagFilter, TagMatcher};
use tsdb_core::{CancelToken, SeriesKey, TagCharset};
use tsdb_index::{Section, SectionWriter};

use super::take::Take;

/// Deepest tree that the input can ask for.
const DEPTH_MAX: usize = 12;

/// Keys that series have, but for the last.
const KEYS: [&str; 5] = ["host", "dc", "rack", "os", "absent"];

/// Values, some of which look like patterns.
const VALUES: [&str; 8] = ["a", "b", "ab", "", "a.b", "\u{e4}", "host-1", "x"];

/// A tree of conditions from any bytes.
///
/// # Panics
/// If the compiled filter or the index gives another answer than a plain evaluation, or a pattern that does
/// not compile has no reason.
pub fn tag_matcher(data: &[u8]) {
    let mut choices = Take(data);
    let filter = tree(&mut choices, DEPTH_MAX);
    let (keys, section) = series();
    let found = section.matching(None, &filter, &CancelToken::new());
    let compiled = match CompiledFilter::new(&filter) {
        Ok(compiled) => compiled,
        Err(error) => {
            assert!(!error.to_string().is_empty());
            assert!(found.is_err(), "the index takes a filter that does not compile");
            return;
        }
    };
    let found = found.expect("a filter that compiles");
    for (place, key) in (0u32..).zip(keys) {
        let value_of = |wanted: &str| {
            key.tags().find(|(tag, _)| *tag == wanted).map_or("", |(_, value)| value)
        };
        let due = holds(&filter, &value_of);
        assert_eq!(compiled.matches(value_of), due, "{filter:?} for {key}");
        assert_eq!(found.binary_search(&place).is_ok(), due, "the index: {filter:?} for {key}");
    }
}

fn tree(choices: &mut Take<'_>, depth: usize) -> TagFilter {
    let kind = choices.byte();
    let parts = |choices: &mut Take<'_>| -> Vec<TagFilter> {
        let count = choices.byte() % 4;
        (0..count).map(|_| tree(choices, depth - 1)).collect()
    };
    match kind % 8 {
        0 => TagFilter::True,
        1 => TagFilter::False,
        2 if depth > 0 => TagFilter::And(parts(choices)),
        3 if depth > 0 => TagFilter::Or(parts(choices)),
        4 if depth > 0 => TagFilter::Not(Box::new(tree(choices, depth - 1))),
        5 if depth > 0 => TagFilter::and(parts(choices)),
        6 if depth > 0 => TagFilter::or(parts(choices)),
        _ => {
            let ops = [MatchOp::Eq, MatchOp::Ne, MatchOp::Re, MatchOp::Nre];
            let op = ops[usize::from(kind / 8) % ops.len()];
            let key = KEYS[usize::from(choices.byte()) % KEYS.len()];
            let value = match choices.byte() {
                known @ 0..64 => VALUES[usize::from(known) % VALUES.len()],
                _ => choices.text(),
            };
            TagFilter::tag(key, op, value)
        }
    }
}

/// The meaning of a filter, said in the plainest way.
fn holds<'t>(filter: &TagFilter, value_of: &dyn Fn(&str) -> &'t str) -> bool {
    match filter {
        TagFilter::True => true,
        TagFilter::False => false,
        TagFilter::And(parts) => parts.iter().all(|part| holds(part, value_of)),
        TagFilter::Or(parts) => parts.iter().any(|part| holds(part, value_of)),
        TagFilter::Not(part) => !holds(part, value_of),
        TagFilter::Match(TagMatcher { key, op, value }) => {
            let own = value_of(key);
            let is_like = match op.is_regex() {
                true => Pattern::new(value).is_ok_and(|pattern| pattern.is_match(own)),
                false => own == &**value,
            };
            is_like != op.is_negated()
        }
    }
}

/// Series with all combinations of a few tags, and an index of them.
fn series() -> &'static (Vec<SeriesKey>, Section) {
    static SERIES: OnceLock<(Vec<SeriesKey>, Section)> = OnceLock::new();
    SERIES.get_or_init(|| {
        let mut keys = Vec::new();
        for number in 0..40usize {
            let tags = KEYS.iter().zip([1, 3, 5, 7]).filter_map(|(key, step)| {
                let value = VALUES[(number * step) % VALUES.len()];
                (!value.is_empty()).then_some((*key, value))
            });
            let mut tags: Vec<(&str, &str)> = tags.collect();
            let measurement = ["cpu", "mem"][number % 2];
            keys.push(SeriesKey::new(measurement, &mut tags, TagCharset::Utf8).expect("sound"));
        }
        keys.sort();
        keys.dedup();
        let mut writer = SectionWriter::new();
        for key in &keys {
            writer.add(key, 1).expect("keys ascend");
        }
        let bytes = writer.finish().expect("few series");
        (keys, Section::open(&bytes).expect("it was written right now"))
    })
}
