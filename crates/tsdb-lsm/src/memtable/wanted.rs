//! Which series rows are looked for, and a quick way to see whether a row is of one of them.

use tsdb_core::SeriesRef;

use super::block::{RowBlock, mask_bit};
use super::shard::SHARDS;

/// Which series an index is wanted for.
pub(crate) enum Wanted<'a> {
    /// All of them.
    All,
    /// These, ascending.
    These(&'a [SeriesRef]),
}

/// More wanted series than this are looked up in a bitmap instead of by bisection.
pub(super) const FEW_SERIES: usize = 32;

/// A bitmap takes at most so many words per wanted series; where they lie further apart, which those do that stayed when
/// others were evicted, they are looked up by bisection after all.
const WORDS_PER_SERIES_MAX: usize = 4;

/// Decides quickly whether a series is wanted.
pub(super) enum Probe<'a> {
    All,
    Few { sorted: &'a [SeriesRef], mask: u64 },
    Many { first: usize, bits: Vec<u64> },
}

impl Probe<'_> {
    pub(super) fn new<'a>(wanted: &Wanted<'a>, shard: usize) -> Probe<'a> {
        let here = |series: &&SeriesRef| series.0 as usize % SHARDS == shard;
        match wanted {
            Wanted::All => Probe::All,
            Wanted::These(sorted) => {
                let word = |series: Option<&SeriesRef>| series.map_or(0, |s| s.0 as usize / 64);
                let first = word(sorted.first());
                let words = word(sorted.last()) - first + 1;
                if sorted.len() <= FEW_SERIES || words / WORDS_PER_SERIES_MAX > sorted.len() {
                    let mask = sorted.iter().filter(here).fold(0, |mask, s| mask | mask_bit(*s));
                    return Probe::Few { sorted, mask };
                }
                let mut bits = vec![0; words];
                for series in *sorted {
                    if let Some(word) = bits.get_mut(series.0 as usize / 64 - first) {
                        *word |= 1 << (series.0 % 64);
                    }
                }
                Probe::Many { first, bits }
            }
        }
    }

    pub(super) fn may_hold(&self, block: &RowBlock) -> bool {
        match self {
            Probe::Few { mask, .. } => block.may_hold(*mask),
            _ => true,
        }
    }

    pub(super) fn wants(&self, series: SeriesRef) -> bool {
        match self {
            Probe::All => true,
            Probe::Few { sorted, .. } => sorted.binary_search(&series).is_ok(),
            Probe::Many { first, bits } => (series.0 as usize / 64)
                .checked_sub(*first)
                .and_then(|word| bits.get(word))
                .is_some_and(|word| word >> (series.0 % 64) & 1 == 1),
        }
    }
}
