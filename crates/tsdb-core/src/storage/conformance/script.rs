//! Random scripts: which operations a store is put through, drawn from a small universe of names, times
//! and values, so that equal keys, shared prefixes and neighbours in time are the rule. A script is data
//! and names everything by itself: any part of it is a script too. Queries are in `query`.

use std::fmt;
use std::sync::Arc;

use super::Violation;
use crate::catalogue::{AUTOGEN, PolicySpec};
use crate::env::{Rng as _, SimRng};
use crate::limits::ENTRY_TEXT_BYTES_MAX;
use crate::matcher::{MatchOp, TagFilter};
use crate::time::{DAY, HOUR, MAX_TIME, MIN_TIME, SECOND};
use crate::{CatalogueChange, EntryKey, FieldSet, SeriesKey, TagCharset, TimeRange};

/// Start of the stretch of time in which most rows lie; a partition of one day begins there.
pub(super) const BASE: i64 = 18_000 * DAY;

/// Distance of rows in regular series.
pub(super) const STEP: i64 = 10 * SECOND;

/// Rows that fit regularly into the stretch.
const STEPS: u64 = 300;

/// A field that queries ask for and no row has.
pub(super) const FIELD_NEVER_WRITTEN: &str = "never";

/// A namespace by its names, so that an operation means the same whatever ran before it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Target {
    /// The database.
    pub database: Arc<str>,
    /// The policy; `None` is the default one.
    pub policy: Option<Arc<str>>,
}

/// One row to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowSpec {
    /// Its series.
    pub series: SeriesKey,
    /// Its timestamp in ns.
    pub time: i64,
    /// Bits of its values, fields sorted by name, at least one.
    pub fields: Vec<(Arc<str>, u64)>,
}

impl RowSpec {
    /// The set of its fields.
    ///
    /// # Errors
    /// What [`FieldSet::from_sorted`] refuses.
    pub fn field_set(&self) -> Result<FieldSet, Violation> {
        Ok(FieldSet::from_sorted(self.fields.iter().map(|(name, _)| Arc::clone(name)).collect())?)
    }
}

/// One operation of a script.
#[derive(Debug, Clone, PartialEq)]
pub enum Op {
    /// A batch, acknowledged before the script goes on.
    Write(Target, Vec<RowSpec>),
    /// A delete, acknowledged before the script goes on.
    Delete {
        /// Where.
        target: Target,
        /// Measurements; `None` is all.
        measurements: Option<Vec<Arc<str>>>,
        /// Series.
        filter: TagFilter,
        /// Rows.
        time: TimeRange,
    },
    /// A change of the catalogue, which may be refused.
    Change(CatalogueChange),
    /// Retention as of a time.
    Retain(i64),
    /// Maintain::flush.
    Flush,
    /// Maintain::compact.
    Compact,
    /// [`super::Subject::seal`].
    Seal,
    /// [`super::Subject::step`].
    Step(u64),
    /// [`super::Subject::reopen`].
    Reopen,
    /// [`super::Subject::crash`].
    Crash,
    /// Takes a snapshot and keeps it.
    Hold,
    /// Drops the oldest snapshot that is kept.
    Release,
    /// Compares everything, with random scans by this seed.
    Check(u64),
}

/// Shows an operation on one line, values as bits.
impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Op::Write(target, rows) => {
                write!(f, "write {}", target.database)?;
                target.policy.iter().try_for_each(|policy| write!(f, ".{policy}"))?;
                for row in rows {
                    write!(f, "; {} @{}", row.series, row.time)?;
                    for (name, bits) in &row.fields {
                        write!(f, " {name}={:?}/{bits:x}", f64::from_bits(*bits))?;
                    }
                }
                Ok(())
            }
            Op::Delete { target, measurements, filter, time } => {
                write!(f, "delete {target:?} {measurements:?} where {filter} in {time}")
            }
            other => write!(f, "{other:?}"),
        }
    }
}

/// The names that scripts and queries draw from.
#[derive(Debug, Clone)]
pub struct Universe {
    /// Series, all different.
    pub series: Vec<SeriesKey>,
    /// Names of the fields that rows have.
    pub fields: Vec<Arc<str>>,
    /// Where writes go.
    pub targets: Vec<Target>,
}

impl Universe {
    /// Measurements that are prefixes of each other, tags that are missing, letters beyond ASCII.
    ///
    /// # Errors
    /// None, unless names have become invalid that the suite takes for valid.
    pub fn new() -> Result<Universe, Violation> {
        let mut series = Vec::new();
        for measurement in ["cp", "cpu", "cpu2"] {
            for host in ["", "a", "b", "b b", "z\u{e9}"] {
                for dc in ["", "1", "10"] {
                    let mut tags = vec![("host", host), ("dc", dc)];
                    tags.retain(|(_, value)| !value.is_empty());
                    series.push(SeriesKey::new(measurement, &mut tags, TagCharset::Utf8)?);
                }
            }
        }
        let fields = ["a", "usage", "value", "\u{3b2}"];
        let target = |database: &str, policy: Option<&str>| Target {
            database: database.into(),
            policy: policy.map(Arc::from),
        };
        Ok(Universe {
            series,
            fields: fields.map(Arc::from).to_vec(),
            targets: vec![target("db0", None), target("db1", None), target("db0", Some("short"))],
        })
    }
}

/// `ops` operations by `seed`, after the creation of one database and before a comparison.
///
/// # Errors
/// As [`Universe::new`].
pub fn script(seed: u64, ops: usize) -> Result<Vec<Op>, Violation> {
    let draw = Draw { rng: SimRng::new(seed), universe: Universe::new()? };
    let mut script = vec![Op::Change(CatalogueChange::CreateDatabase {
        name: "db0".into(),
        policy: PolicySpec::default(),
    })];
    script.extend((0..ops).map(|_| draw.op()));
    script.push(Op::Check(draw.rng.next_u64()));
    Ok(script)
}

/// Draws from a slice; `None` when it is empty.
pub(super) fn pick<'a, T>(rng: &SimRng, from: &'a [T]) -> Option<&'a T> {
    from.get(usize::try_from(rng.below(from.len() as u64)).unwrap_or(0))
}

struct Draw {
    rng: SimRng,
    universe: Universe,
}

impl Draw {
    fn chance(&self, of_hundred: u64) -> bool {
        self.rng.below(100) < of_hundred
    }

    fn op(&self) -> Op {
        match self.rng.below(100) {
            0..45 => Op::Write(self.target(), self.rows()),
            45..53 => self.delete(),
            53..58 => Op::Change(self.change()),
            58..60 => Op::Retain(BASE + HOUR + self.signed(STEPS) * STEP),
            60..65 => Op::Flush,
            65..68 => Op::Compact,
            68..73 => Op::Seal,
            73..82 => Op::Step(self.rng.next_u64()),
            82..85 => Op::Reopen,
            85..88 => Op::Crash,
            88..91 => Op::Hold,
            91..93 => Op::Release,
            _ => Op::Check(self.rng.next_u64()),
        }
    }

    fn signed(&self, bound: u64) -> i64 {
        i64::try_from(self.rng.below(bound)).unwrap_or(0)
    }

    fn target(&self) -> Target {
        let fallback = Target { database: "db0".into(), policy: None };
        if self.chance(60) {
            fallback
        } else {
            pick(&self.rng, &self.universe.targets).cloned().unwrap_or(fallback)
        }
    }

    /// One batch: stretches of one series, as an agent sends them after an outage, and single rows.
    fn rows(&self) -> Vec<RowSpec> {
        let mut rows = Vec::new();
        for _ in 0..=self.rng.below(5) {
            let Some(series) = pick(&self.rng, &self.universe.series).cloned() else { continue };
            let fields = self.field_names();
            // Long stretches of ordinary numbers are what engines keep summaries of.
            let is_long = self.chance(6);
            let count = match is_long {
                true => self.signed(120) + 64,
                false if self.chance(40) => self.signed(40) + 1,
                false => 1,
            };
            let start = random_time(&self.rng);
            for n in 0..count {
                let time = start.saturating_add(n * STEP).clamp(MIN_TIME, MAX_TIME);
                let bits = |_: &Arc<str>| match is_long {
                    true => f64::from(u32::try_from(self.rng.below(100)).unwrap_or(0)).to_bits(),
                    false => random_bits(&self.rng),
                };
                let values = fields.iter().map(|name| (Arc::clone(name), bits(name)));
                rows.push(RowSpec { series: series.clone(), time, fields: values.collect() });
            }
        }
        if self.chance(30) {
            // The same key twice in a batch, in whatever order chance gives.
            rows.extend(pick(&self.rng, &rows).cloned().map(|row| RowSpec {
                fields: row.fields.iter().map(|(n, bits)| (Arc::clone(n), bits ^ 1)).collect(),
                ..row
            }));
        }
        rows
    }

    fn field_names(&self) -> Vec<Arc<str>> {
        let names = &self.universe.fields;
        let mut chosen: Vec<Arc<str>> = names.iter().filter(|_| self.chance(40)).cloned().collect();
        if chosen.is_empty() {
            chosen.extend(pick(&self.rng, names).cloned());
        }
        chosen
    }

    fn delete(&self) -> Op {
        let measurements = self.chance(60).then(|| {
            let names = self.universe.series.iter().map(|key| Arc::from(key.measurement()));
            let names: Vec<Arc<str>> = names.filter(|_| self.chance(5)).collect();
            names
        });
        let time = if self.chance(15) { TimeRange::all() } else { random_range(&self.rng) };
        Op::Delete { target: self.target(), measurements, filter: random_filter(&self.rng), time }
    }

    fn change(&self) -> CatalogueChange {
        let database: Arc<str> = if self.chance(40) { "db1".into() } else { "db0".into() };
        let policy = PolicySpec {
            name: "short".into(),
            retention_ns: Some(HOUR),
            partition_ns: self.chance(50).then_some(HOUR),
        };
        let alter = |name: &str, retention_ns, make_default| CatalogueChange::AlterPolicy {
            database: Arc::clone(&database),
            name: name.into(),
            retention_ns,
            partition_ns: None,
            make_default,
        };
        match self.rng.below(14) {
            0..3 => {
                let policy = PolicySpec::default();
                CatalogueChange::CreateDatabase { name: database, policy }
            }
            3..6 => CatalogueChange::CreatePolicy { database, policy, make_default: false },
            6 => alter(AUTOGEN, Some(self.chance(50).then_some(2 * HOUR)), self.chance(50)),
            7 => alter("short", None, self.chance(50)),
            8 => CatalogueChange::DropPolicy { database, name: "short".into() },
            9 => CatalogueChange::DropDatabase { name: database },
            kind => self.entry(&database, kind < 13),
        }
    }

    /// Sets or removes one of few entries, so that the same one is met again.
    fn entry(&self, database: &str, is_set: bool) -> CatalogueChange {
        let kind = if self.chance(70) { "query" } else { "user" };
        let name = if self.chance(70) { "n" } else { "z\u{e9}" };
        let key = EntryKey::new(kind, self.chance(70).then_some(database), name);
        if !is_set {
            return CatalogueChange::RemoveEntry { key };
        }
        let text = match self.rng.below(10) {
            0 => "x".repeat(ENTRY_TEXT_BYTES_MAX + 1),
            1 => String::new(),
            number => format!("SELECT {}", number % 3),
        };
        CatalogueChange::SetEntry { key, text: text.into(), replace: self.chance(60) }
    }
}

/// A timestamp: on a regular grid, beside it, at the edges of partitions, at the edges of time.
pub(super) fn random_time(rng: &SimRng) -> i64 {
    let below = |bound: u64| i64::try_from(rng.below(bound)).unwrap_or(0);
    match rng.below(10) {
        0..6 => BASE + below(STEPS) * STEP,
        6..8 => BASE + below(STEPS * 10_000_000_000),
        8 => BASE + (below(5) - 2) * DAY + below(3) - 1,
        _ => {
            let edges = [MIN_TIME, MIN_TIME + 1, -1, 0, 1, MAX_TIME - 1, MAX_TIME];
            pick(rng, &edges).copied().unwrap_or(0)
        }
    }
}

/// A range of time; now and then empty or without bounds.
pub(super) fn random_range(rng: &SimRng) -> TimeRange {
    match rng.below(12) {
        0 => TimeRange::EMPTY,
        1 => TimeRange { start: i64::MIN, end: i64::MAX },
        // The wrong way round, which counts as empty.
        2 => TimeRange { start: BASE + STEP, end: BASE },
        3 => TimeRange::from_inclusive(random_time(rng), MAX_TIME),
        _ => {
            let (one, other) = (random_time(rng), random_time(rng));
            TimeRange { start: one.min(other), end: one.max(other) }
        }
    }
}

/// A condition on tags, of every kind.
pub(super) fn random_filter(rng: &SimRng) -> TagFilter {
    filter_of_depth(rng, 3)
}

fn filter_of_depth(rng: &SimRng, depth: u64) -> TagFilter {
    let parts = || -> Vec<TagFilter> {
        (0..rng.below(4)).map(|_| filter_of_depth(rng, depth.saturating_sub(1))).collect()
    };
    match rng.below(if depth == 0 { 8 } else { 12 }) {
        0..3 => TagFilter::True,
        3 => TagFilter::False,
        4..8 => random_match(rng),
        8 => TagFilter::And(parts()),
        9 => TagFilter::Or(parts()),
        10 => TagFilter::Not(Box::new(filter_of_depth(rng, depth.saturating_sub(1)))),
        _ => TagFilter::or([random_match(rng), random_match(rng)]),
    }
}

fn random_match(rng: &SimRng) -> TagFilter {
    let key = pick(rng, &["host", "dc", "absent"]).copied().unwrap_or("host");
    let op = pick(rng, &[MatchOp::Eq, MatchOp::Ne, MatchOp::Re, MatchOp::Nre]);
    let op = op.copied().unwrap_or(MatchOp::Eq);
    let texts: &[&str] = if op.is_regex() {
        &["", "a", "^b", "^(a|b)$", "b .*", "1", "^1$", "^$", ".+", "z\u{e9}?"]
    } else {
        &["", "a", "b", "b b", "z\u{e9}", "1", "10"]
    };
    TagFilter::tag(key, op, pick(rng, texts).copied().unwrap_or(""))
}

/// Bits of a value: small whole numbers for the most part, so that equal ones meet, and everything that
/// a careless copy, comparison or codec would change.
pub(super) fn random_bits(rng: &SimRng) -> u64 {
    const SPECIAL: [u64; 14] = [
        0x8000_0000_0000_0000, // -0.0
        0x7ff0_0000_0000_0000, // infinity
        0xfff0_0000_0000_0000, // -infinity
        0x7ff8_0000_0000_0000, // the usual NaN
        0xfff8_0000_0000_0000, // and with its sign set
        0x7ff0_0000_0000_0002, // Prometheus' stale marker, a signalling NaN
        0x7ff0_0000_0000_0001, // the smallest signalling NaN
        0xffff_ffff_ffff_ffff, // the largest payload
        0x7ff8_dead_beef_0001, // a NaN with a payload
        0x0000_0000_0000_0001, // the smallest denormal
        0x000f_ffff_ffff_ffff, // the largest denormal
        0x7fef_ffff_ffff_ffff, // the largest finite value
        0xffef_ffff_ffff_ffff, // the smallest finite value
        0x4340_0000_0000_0001, // above 2^53
    ];
    match rng.below(10) {
        0 => pick(rng, &SPECIAL).copied().unwrap_or(0),
        1 => rng.next_u64(),
        2..5 => (f64::from(u32::try_from(rng.below(1000)).unwrap_or(0)) / 10.0).to_bits(),
        _ => f64::from(u32::try_from(rng.below(100)).unwrap_or(0)).to_bits(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_seed_one_script() {
        let first = script(5, 50).unwrap();
        assert_eq!(first, script(5, 50).unwrap());
        assert_ne!(first, script(6, 50).unwrap());
        assert_eq!(first.len(), 52);
    }

    /// What scripts are for: over a few seeds every operation occurs, keys repeat, and values of every
    /// kind are written.
    #[test]
    fn scripts_reach_what_they_are_for() {
        let ops: Vec<Op> = (0..10).flat_map(|seed| script(seed, 60).unwrap()).collect();
        let kinds: std::collections::BTreeSet<String> = ops
            .iter()
            .map(|op| format!("{op:?}").chars().take_while(|c| c.is_alphabetic()).collect())
            .collect();
        assert_eq!(kinds.len(), 13, "{kinds:?}");
        let rows =
            ops.iter().filter_map(|op| if let Op::Write(_, r) = op { Some(r) } else { None });
        let rows: Vec<&RowSpec> = rows.flatten().collect();
        let keys: std::collections::BTreeSet<(&SeriesKey, i64)> =
            rows.iter().map(|row| (&row.series, row.time)).collect();
        assert!(keys.len() + 100 < rows.len(), "{} of {} rows differ", keys.len(), rows.len());
        let values = rows.iter().flat_map(|row| &row.fields).map(|(_, bits)| f64::from_bits(*bits));
        let nans = values.filter(|value| value.is_nan());
        let payloads: std::collections::BTreeSet<u64> = nans.map(f64::to_bits).collect();
        assert!(payloads.len() >= 6, "{payloads:x?}");
    }
}
