//! The cardinality report: which measurements, tags and values the series of a namespace are made of. It is counted from
//! the keys of series alone, in one pass and in bounded memory; or estimated from what an engine keeps of them.

mod counter;
mod frequent;

use std::fmt;
use std::sync::Arc;

use crate::{CancelToken, MemoryBudget, NamespaceId};

pub use counter::CardinalityCounter;

/// Asks for a report.
#[derive(Debug, Clone)]
pub struct CardinalityRequest {
    /// Where.
    pub namespace: NamespaceId,
    /// Entries of each list.
    pub top: usize,
    /// Pays for what is counted.
    pub budget: MemoryBudget,
    /// Ends it early.
    pub cancel: CancelToken,
}

impl CardinalityRequest {
    /// A report on a namespace, without a limit.
    pub fn of(namespace: NamespaceId, top: usize) -> CardinalityRequest {
        let (budget, cancel) = (MemoryBudget::default(), CancelToken::new());
        CardinalityRequest { namespace, top, budget, cancel }
    }
}

/// A name and its count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ranked {
    /// A measurement, a tag key, or `key=value`.
    pub name: String,
    /// What the list counts.
    pub count: u64,
}

/// What the series of a namespace are made of. The lists are sorted by count, then by name, and have at most as many
/// entries as were asked for. A measurement counts as the value of the tag `__name__`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Cardinality {
    /// Distinct series. Exact, or [`Cardinality::estimated`].
    pub series: u64,
    /// Distinct measurements. Exact.
    pub measurement_count: u64,
    /// Distinct pairs of tag key and value: the sum of the numbers of values of all keys.
    pub pairs: u64,
    /// Series by measurement. As exact as their number.
    pub measurements: Vec<Ranked>,
    /// Distinct values by tag key, by a sketch ([`crate::hyperloglog`]): right but for accidents up to 4096, from there on
    /// an estimate with a standard error of 0.8 %.
    pub values: Vec<Ranked>,
    /// Bytes of the values of all series, by tag key. As exact as the number of series.
    pub value_bytes: Vec<Ranked>,
    /// Series by tag key and value. A count is at most [`Cardinality::uncounted_max`] too low, and never too high; as long
    /// as nothing is estimated.
    pub series_by_pair: Vec<Ranked>,
    /// Most series that any count of [`Cardinality::series_by_pair`] may lack, and that a pair may have that is not listed;
    /// 0 while there are fewer than 32768 pairs and nothing is estimated.
    pub uncounted_max: u64,
    /// Whether numbers of series are estimates, of about 1 %: an engine may count many series by sketches, which cannot
    /// always tell whether the same series is in two places.
    pub estimated: bool,
    /// Sources (runs, memory) that were looked at.
    pub sources: u64,
    /// No row lies before the first nor behind the second timestamp in ns, if the engine knows that without reading one.
    pub time: Option<(i64, i64)>,
}

/// Asks how many tag keys and values the series of some measurements have.
pub struct TagCountRequest<'r> {
    /// Where: each once. What stands in several counts once.
    pub namespaces: &'r [NamespaceId],
    /// Which measurements of a namespace count.
    pub measurement: &'r dyn Fn(NamespaceId, &str) -> bool,
    /// Which tag keys count, and whose values.
    pub key: &'r dyn Fn(&str) -> bool,
    /// Pays for what is counted.
    pub budget: MemoryBudget,
    /// Ends it early.
    pub cancel: CancelToken,
}

impl fmt::Debug for TagCountRequest<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TagCountRequest")
            .field("namespaces", &self.namespaces)
            .finish_non_exhaustive()
    }
}

/// How many tag keys and values the series of a measurement have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TagCount {
    /// Its name.
    pub measurement: Arc<str>,
    /// Distinct keys, at least one. Exact.
    pub keys: u64,
    /// Distinct values of these keys, one that several of them have counted once; by a sketch ([`crate::hyperloglog`]):
    /// right but for accidents up to 4096, from there on an estimate with a standard error of 0.8 %.
    pub values: u64,
}

#[cfg(test)]
mod tests;
