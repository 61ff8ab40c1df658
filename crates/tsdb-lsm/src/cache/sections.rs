//! Index pages that were opened: looking for series reads the same few again and again, and opening one costs more
//! than looking into it.

use std::collections::VecDeque;
use std::sync::Arc;

use hashbrown::HashMap;
use tsdb_core::{MemoryBudget, Pool, Reservation};
use tsdb_index::Section;

use super::{ENTRY_BYTES, PageKey};

/// Opened index pages up to a limit; the least useful goes first (CLOCK).
#[derive(Debug, Default)]
pub(super) struct Sections {
    entries: HashMap<PageKey, Entry, foldhash::fast::RandomState>,
    /// The pages in the order in which the hand comes by.
    clock: VecDeque<PageKey>,
    held: Option<Reservation>,
    bytes: usize,
}

#[derive(Debug)]
struct Entry {
    section: Arc<Section>,
    bytes: usize,
    was_used: bool,
}

impl Sections {
    pub(super) fn get(&mut self, key: PageKey) -> Option<Arc<Section>> {
        let entry = self.entries.get_mut(&key)?;
        entry.was_used = true;
        Some(Arc::clone(&entry.section))
    }

    pub(super) fn keep(
        &mut self,
        key: PageKey,
        section: &Arc<Section>,
        limit: usize,
        budget: &MemoryBudget,
    ) {
        let bytes = section.memory_bytes() + ENTRY_BYTES;
        if bytes > limit || self.entries.contains_key(&key) {
            return;
        }
        while self.bytes + bytes > limit && self.evict() {}
        self.bytes += bytes;
        let held = self.held.get_or_insert_with(|| budget.reserve_anyway(Pool::Cache, 0));
        // Pages that are still encoded make room for it.
        held.cover_anyway(self.bytes);
        self.entries.insert(key, Entry { section: Arc::clone(section), bytes, was_used: false });
        self.clock.push_back(key);
    }

    /// Lets go of the next page that was not used since the hand came by; false if there is none left.
    fn evict(&mut self) -> bool {
        while let Some(key) = self.clock.pop_front() {
            match self.entries.get_mut(&key) {
                Some(entry) if entry.was_used => {
                    entry.was_used = false;
                    self.clock.push_back(key);
                }
                Some(entry) => {
                    self.bytes -= entry.bytes;
                    self.entries.remove(&key);
                    return true;
                }
                None => {}
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tsdb_core::{SeriesKey, TagCharset};
    use tsdb_index::SectionWriter;

    fn section(name: &str) -> Arc<Section> {
        let mut writer = SectionWriter::new();
        let key = SeriesKey::new(name, &mut Vec::new(), TagCharset::Utf8).unwrap();
        writer.add(&key, 1).unwrap();
        Arc::new(Section::open(&writer.finish().unwrap()).unwrap())
    }

    #[test]
    fn what_is_used_stays_below_the_limit() {
        let budget = MemoryBudget::with_limits([0, 0, 1 << 20, 0, 0]);
        let mut sections = Sections::default();
        let one = section("m");
        let limit = 10 * (one.memory_bytes() + ENTRY_BYTES);
        let key = |offset| PageKey { run: 1, offset };
        for offset in 0..100 {
            sections.keep(key(offset), &one, limit, &budget);
            assert!(sections.get(key(0)).is_some(), "{offset}");
            assert!(sections.bytes <= limit && budget.used(Pool::Cache) >= sections.bytes);
        }
        assert_eq!(sections.entries.len(), 10);
        sections.keep(key(1000), &one, 10, &budget);
        assert!(sections.get(key(1000)).is_none(), "larger than all that may be kept");
        drop(sections);
        assert_eq!(budget.used(Pool::Cache), 0);
    }
}
