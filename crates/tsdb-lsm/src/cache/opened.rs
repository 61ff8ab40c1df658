//! Pages in the form that readers use: index pages and directories of row groups that were opened. Looking for series
//! reads the same few again and again, and opening one costs more than looking into it.

use std::any::Any;
use std::collections::VecDeque;
use std::sync::Arc;

use hashbrown::HashMap;
use tsdb_core::{MemoryBudget, Pool, Reservation};

use super::{ENTRY_BYTES, PageKey};

/// A page that was verified and opened.
pub(crate) trait OpenedPage: Any + Send + Sync {
    /// Memory in bytes. It may grow as more of the page is used.
    fn memory_bytes(&self) -> usize;
}

impl OpenedPage for tsdb_index::Section {
    fn memory_bytes(&self) -> usize {
        tsdb_index::Section::memory_bytes(self)
    }
}

impl OpenedPage for tsdb_index::SourceCardinality {
    fn memory_bytes(&self) -> usize {
        tsdb_index::SourceCardinality::memory_bytes(self)
    }
}

/// Opened pages up to a limit; the least useful goes first (CLOCK).
#[derive(Debug, Default)]
pub(super) struct OpenedPages {
    entries: HashMap<PageKey, Entry, foldhash::fast::RandomState>,
    /// The pages in the order in which the hand comes by.
    clock: VecDeque<PageKey>,
    held: Option<Reservation>,
    bytes: usize,
}

#[derive(Debug)]
struct Entry {
    page: Arc<dyn Any + Send + Sync>,
    bytes: usize,
    was_used: bool,
}

impl OpenedPages {
    /// The page, and its weight anew.
    pub(super) fn get<P: OpenedPage>(&mut self, key: PageKey) -> Option<Arc<P>> {
        let entry = self.entries.get_mut(&key)?;
        let page = Arc::clone(&entry.page).downcast::<P>().ok()?;
        entry.was_used = true;
        let bytes = page.memory_bytes() + ENTRY_BYTES;
        if bytes != entry.bytes {
            self.bytes = self.bytes - entry.bytes + bytes;
            entry.bytes = bytes;
            if let Some(held) = &mut self.held {
                held.cover_anyway(self.bytes);
            }
        }
        Some(page)
    }

    pub(super) fn keep<P: OpenedPage>(
        &mut self,
        key: PageKey,
        page: &Arc<P>,
        limit: usize,
        budget: &MemoryBudget,
    ) {
        let bytes = page.memory_bytes() + ENTRY_BYTES;
        if bytes > limit || self.entries.contains_key(&key) {
            return;
        }
        while self.bytes + bytes > limit && self.evict() {}
        self.bytes += bytes;
        let held = self.held.get_or_insert_with(|| budget.reserve_anyway(Pool::Cache, 0));
        // Pages that are still encoded make room for it.
        held.cover_anyway(self.bytes);
        let page: Arc<dyn Any + Send + Sync> = Arc::<P>::clone(page);
        self.entries.insert(key, Entry { page, bytes, was_used: false });
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
    use tsdb_index::{Section, SectionWriter};

    fn section(name: &str) -> Arc<Section> {
        let mut writer = SectionWriter::new();
        let key = SeriesKey::new(name, &mut Vec::new(), TagCharset::Utf8).unwrap();
        writer.add(&key, 1).unwrap();
        Arc::new(Section::open(&writer.finish().unwrap()).unwrap())
    }

    #[test]
    fn what_is_used_stays_below_the_limit() {
        let budget = MemoryBudget::with_limits([0, 0, 1 << 20, 0, 0]);
        let mut pages = OpenedPages::default();
        let one = section("m");
        let limit = 10 * (one.memory_bytes() + ENTRY_BYTES);
        let key = |offset| PageKey { run: 1, offset };
        for offset in 0..100 {
            pages.keep(key(offset), &one, limit, &budget);
            assert!(pages.get::<Section>(key(0)).is_some(), "{offset}");
            assert!(pages.bytes <= limit && budget.used(Pool::Cache) >= pages.bytes);
        }
        assert_eq!(pages.entries.len(), 10);
        pages.keep(key(1000), &one, 10, &budget);
        assert!(pages.get::<Section>(key(1000)).is_none(), "larger than all that may be kept");
        drop(pages);
        assert_eq!(budget.used(Pool::Cache), 0);
    }

    struct Growing(std::sync::atomic::AtomicUsize);

    impl OpenedPage for Growing {
        fn memory_bytes(&self) -> usize {
            self.0.load(std::sync::atomic::Ordering::Relaxed)
        }
    }

    #[test]
    fn a_page_that_grows_is_weighed_again() {
        let budget = MemoryBudget::with_limits([0, 0, 1 << 20, 0, 0]);
        let mut pages = OpenedPages::default();
        let page = Arc::new(Growing(100.into()));
        let key = |offset| PageKey { run: 1, offset };
        pages.keep(key(0), &page, 4000, &budget);
        page.0.store(3900, std::sync::atomic::Ordering::Relaxed);
        assert!(pages.get::<Growing>(key(0)).is_some());
        assert_eq!(pages.bytes, 3900 + ENTRY_BYTES);
        assert!(budget.used(Pool::Cache) >= pages.bytes);
        for offset in 1..3 {
            pages.keep(key(offset), &Arc::new(Growing(100.into())), 4000, &budget);
        }
        assert!(pages.get::<Growing>(key(0)).is_none(), "the large one made room");
        assert!(pages.bytes <= 4000);
        assert!(pages.get::<Section>(key(1)).is_none(), "a page of another kind");
    }
}
