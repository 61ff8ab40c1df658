//! Which series of a slice a condition matched: a slice never changes, and dashboards ask the same again and again.

use std::sync::Arc;

use hashbrown::HashMap;
use tsdb_core::{MemoryBudget, Pool, Reservation};

use super::{ENTRY_BYTES, PageKey};

/// Series by slice and condition, up to a limit; a full cache begins anew.
#[derive(Debug, Default)]
pub(super) struct Matches {
    entries: HashMap<(PageKey, String), Arc<[u32]>, foldhash::fast::RandomState>,
    held: Option<Reservation>,
    bytes: usize,
}

impl Matches {
    pub(super) fn get(&self, slice: PageKey, condition: &str) -> Option<Arc<[u32]>> {
        self.entries.get(&(slice, condition.to_owned())).cloned()
    }

    pub(super) fn keep(
        &mut self,
        slice: PageKey,
        condition: &str,
        series: &[u32],
        limit: usize,
        budget: &MemoryBudget,
    ) {
        let bytes = size_of_val(series) + condition.len() + ENTRY_BYTES;
        // One answer must not drive all others out.
        if bytes > limit / 8 {
            return;
        }
        if self.bytes + bytes > limit {
            self.entries.clear();
            self.bytes = 0;
        }
        if self.entries.insert((slice, condition.to_owned()), series.into()).is_none() {
            self.bytes += bytes;
        }
        let held = self.held.get_or_insert_with(|| budget.reserve_anyway(Pool::Cache, 0));
        held.cover_anyway(self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_told_apart_and_bounded() {
        let budget = MemoryBudget::with_limits([0, 0, 1 << 20, 0, 0]);
        let mut matches = Matches::default();
        let slice = |run| PageKey { run, offset: 5 };
        let limit = 16 << 10;
        matches.keep(slice(1), "a = 'x'", &[1, 2], limit, &budget);
        assert_eq!(matches.get(slice(1), "a = 'x'").as_deref(), Some(&[1, 2][..]));
        assert_eq!(matches.get(slice(2), "a = 'x'"), None, "another slice");
        assert_eq!(matches.get(slice(1), "a = 'y'"), None, "another condition");
        matches.keep(slice(1), "all", &[0; 4000], limit, &budget);
        assert_eq!(matches.get(slice(1), "all"), None, "too long to keep");
        for run in 0..1000 {
            matches.keep(slice(run), "b", &[7; 10], limit, &budget);
            assert!(matches.bytes <= limit && budget.used(Pool::Cache) >= matches.bytes);
            assert!(matches.get(slice(run), "b").is_some());
        }
    }
}
