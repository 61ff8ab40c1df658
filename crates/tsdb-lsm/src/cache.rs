//! The page cache: pages of runs, still encoded, whose checksums were verified when they were read.
//!
//! It lives in the budget's pool of the cache, beside the directories of open runs, and takes what those
//! leave. A page is admitted when it is asked for the second time within a while, so that a scan over
//! everything, which asks for each page once, neither fills the cache nor pays for it. What has to go is
//! found by CLOCK: a hand goes round, and a page that was used since it last came by is spared. Index pages and
//! directories of row groups are kept opened as well (`opened`), and which series a condition matched (`matches`).

mod matches;
mod opened;

use std::collections::VecDeque;
use std::hash::BuildHasher;
use std::sync::Arc;
use tsdb_core::sync::atomic::{AtomicU64, Ordering};

use hashbrown::HashMap;
use tsdb_core::budget::Pressure;
use tsdb_core::counters::StorageCounters;
use tsdb_core::sync::Mutex;
use tsdb_core::{MemoryBudget, Pool, Reservation};

use matches::Matches;
pub(crate) use opened::OpenedPage;
use opened::OpenedPages;

/// Parts with a lock of their own, so that threads seldom wait for each other.
const SHARDS: usize = 16;

/// Pages that a shard remembers to have been asked for, in sets of [`WAYS`]. All shards together remember those of
/// a gigabyte.
const REMEMBERED: usize = 4096;

/// Pages of a set, of which the one that was asked for longest ago is forgotten. With sets of one, a scan that is
/// repeated over a third as many pages as are remembered would never find a quarter of them.
const WAYS: usize = 8;

/// Memory of a page beside its bytes: its key twice, its entry, and what `Arc` adds.
const ENTRY_BYTES: usize = 96;

/// A page: the number that its run got from [`PageCache::new_run`], and its offset there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct PageKey {
    pub run: u64,
    pub offset: u64,
}

#[derive(Debug)]
struct Entry {
    page: Arc<[u8]>,
    was_used: bool,
}

#[derive(Debug, Default)]
struct Shard {
    pages: HashMap<PageKey, Entry, foldhash::fast::RandomState>,
    /// The pages in the order in which the hand comes by.
    clock: VecDeque<PageKey>,
    /// By a part of the hash, other parts of the hashes of the pages that were asked for, the last one first, 0
    /// for none; allocated with the first one.
    asked: Vec<[u32; WAYS]>,
    held: Option<Reservation>,
}

/// Pages by run and offset.
#[derive(Debug)]
pub(crate) struct PageCache {
    shards: [Mutex<Shard>; SHARDS],
    opened: Mutex<OpenedPages>,
    matches: Mutex<Matches>,
    hasher: foldhash::fast::FixedState,
    budget: MemoryBudget,
    counters: Arc<StorageCounters>,
    runs: AtomicU64,
}

impl PageCache {
    /// An empty cache in the pool of `budget`.
    pub(crate) fn new(budget: &MemoryBudget, counters: &Arc<StorageCounters>) -> PageCache {
        PageCache {
            shards: Default::default(),
            // Fixed: which pages are found must not differ from run to run of a simulation.
            hasher: foldhash::fast::FixedState::default(),
            opened: Mutex::default(),
            matches: Mutex::default(),
            budget: budget.clone(),
            counters: Arc::clone(counters),
            runs: AtomicU64::new(0),
        }
    }

    /// A number for an open run that no other one has.
    pub(crate) fn new_run(&self) -> u64 {
        self.runs.fetch_add(1, Ordering::Relaxed)
    }

    /// Charges the directories of an open run, whatever is left: without them nothing can be read.
    pub(crate) fn hold_directories(&self, bytes: usize) -> Reservation {
        self.budget.reserve_anyway(Pool::Cache, bytes)
    }

    /// Shard of a page, and its hash.
    fn shard(&self, key: PageKey) -> (&Mutex<Shard>, u64) {
        let hash = self.hasher.hash_one(key);
        #[expect(clippy::cast_possible_truncation, reason = "a part of the hash is wanted")]
        let shard = hash as usize % SHARDS;
        #[expect(clippy::indexing_slicing, reason = "the remainder is below the number of shards")]
        (&self.shards[shard], hash)
    }

    /// The series of a slice that fulfil a condition, if that was asked before.
    pub(crate) fn matches(&self, slice: PageKey, condition: &str) -> Option<Arc<[u32]>> {
        self.matches.lock().get(slice, condition)
    }

    /// Keeps which series of a slice fulfil a condition. All answers may take a thirty-second part of the pool.
    pub(crate) fn keep_matches(&self, slice: PageKey, condition: &str, series: &[u32]) {
        let limit = self.budget.limit(Pool::Cache) / 32;
        self.matches.lock().keep(slice, condition, series, limit, &self.budget);
    }

    /// A page as it was opened before, if it is here.
    pub(crate) fn opened<P: OpenedPage>(&self, key: PageKey) -> Option<Arc<P>> {
        self.opened.lock().get(key)
    }

    /// Keeps a page that was verified and opened. All may take a quarter of the pool; what was not asked for lately
    /// makes room.
    pub(crate) fn keep_opened<P: OpenedPage>(&self, key: PageKey, page: &Arc<P>) {
        let limit = self.budget.limit(Pool::Cache) / 4;
        self.opened.lock().keep(key, page, limit, &self.budget);
    }

    /// The page, if it is here.
    pub(crate) fn get(&self, key: PageKey) -> Option<Arc<[u8]>> {
        let (shard, _) = self.shard(key);
        let found = shard.lock().pages.get_mut(&key).map(|entry| {
            entry.was_used = true;
            Arc::clone(&entry.page)
        });
        if found.is_some() {
            self.counters.pages_cached.add(1);
        }
        found
    }

    /// Offers a page that was read and verified. It is kept if it was asked for before, and if there is
    /// room or pages that were not used lately.
    pub(crate) fn offer(&self, key: PageKey, page: &[u8]) {
        let (shard, hash) = self.shard(key);
        let mut shard = shard.lock();
        if self.budget.process_pressure() == Pressure::High {
            // While the process is short of memory the cache only shrinks, page by page.
            shard.evict();
            return;
        }
        if !shard.was_asked_for(hash, &self.budget) {
            return;
        }
        let bytes = page.len() + ENTRY_BYTES;
        while !shard.hold(bytes, &self.budget) {
            if !shard.evict() {
                return;
            }
        }
        let entry = Entry { page: page.into(), was_used: false };
        match shard.pages.insert(key, entry) {
            // Two threads read the same page at once; the second put its copy in the place of the first.
            Some(_) => shard.give_back(bytes),
            None => shard.clock.push_back(key),
        }
    }
}

impl Shard {
    /// Remembers that the page with this hash is asked for; whether it was before.
    fn was_asked_for(&mut self, hash: u64, budget: &MemoryBudget) -> bool {
        if self.asked.is_empty() {
            if !self.hold(REMEMBERED * size_of::<u32>(), budget) {
                return false;
            }
            self.asked = vec![[0; WAYS]; REMEMBERED / WAYS];
        }
        let sets = self.asked.len();
        #[expect(clippy::cast_possible_truncation, reason = "parts of the hash are wanted")]
        let (set, part) = (hash as usize / SHARDS % sets, (hash >> 32) as u32 | 1);
        let Some(set) = self.asked.get_mut(set) else { return false };
        let found = set.iter().position(|asked| *asked == part);
        // The page comes first, and those before its place move down by one.
        if let Some(newer) = set.get_mut(..=found.unwrap_or(WAYS - 1)) {
            newer.rotate_right(1);
        }
        if let Some(first) = set.first_mut() {
            *first = part;
        }
        found.is_some()
    }

    fn hold(&mut self, bytes: usize, budget: &MemoryBudget) -> bool {
        match &mut self.held {
            Some(held) => held.grow(bytes).is_ok(),
            none => {
                *none = budget.reserve(Pool::Cache, bytes).ok();
                none.is_some()
            }
        }
    }

    fn give_back(&mut self, bytes: usize) {
        if let Some(held) = &mut self.held {
            held.shrink(bytes);
        }
    }

    /// Lets go of the next page that was not used since the hand came by; false if there is none left.
    fn evict(&mut self) -> bool {
        while let Some(key) = self.clock.pop_front() {
            match self.pages.get_mut(&key) {
                Some(entry) if entry.was_used => {
                    entry.was_used = false;
                    self.clock.push_back(key);
                }
                Some(entry) => {
                    let bytes = entry.page.len() + ENTRY_BYTES;
                    self.pages.remove(&key);
                    self.give_back(bytes);
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

    const PAGE: [u8; 1000] = [7; 1000];

    fn cache(bytes: usize) -> (PageCache, MemoryBudget) {
        let budget = MemoryBudget::with_limits([0, 0, bytes, 0, 0]);
        (PageCache::new(&budget, &Arc::default()), budget)
    }

    fn key(n: u64) -> PageKey {
        PageKey { run: n % 3, offset: n }
    }

    /// Reads as a scan does: what is not here is read from the disk and offered.
    fn read(cache: &PageCache, n: u64) -> bool {
        match cache.get(key(n)) {
            Some(page) => {
                assert_eq!(*page, PAGE);
                true
            }
            None => {
                cache.offer(key(n), &PAGE);
                false
            }
        }
    }

    fn read_thrice(cache: &PageCache, pages: std::ops::Range<u64>) {
        for n in pages {
            (0..3).for_each(|_| {
                read(cache, n);
            });
        }
    }

    #[test]
    fn a_page_stays_once_it_is_asked_for_twice() {
        let (cache, budget) = cache(16 << 20);
        assert!(!read(&cache, 1) && !read(&cache, 1), "the second reading admits it");
        assert!(read(&cache, 1));
        assert!(budget.used(Pool::Cache) >= PAGE.len());
        assert_eq!(cache.counters.pages_cached.get(), 1);
        drop(cache);
        assert_eq!(budget.used(Pool::Cache), 0);
    }

    #[test]
    fn a_scan_that_is_repeated_finds_its_pages() {
        let (cache, _) = cache(64 << 20);
        for _ in 0..2 {
            assert!((0..20_000).all(|n| !read(&cache, n)));
        }
        let found = (0..20_000).filter(|n| read(&cache, *n)).count();
        assert!(found > 19_800, "{found}: a few share their set with too many");
    }

    #[test]
    fn a_scan_over_everything_leaves_the_cache_as_it_was() {
        let (cache, budget) = cache(16 << 20);
        (0..10).for_each(|_| read_thrice(&cache, 0..50));
        let before = budget.used(Pool::Cache);
        for n in 1000..60_000 {
            assert!(!read(&cache, n), "each page is new");
        }
        // Some of the shards remembered nothing yet; pages are none among what came.
        let remembered = SHARDS * REMEMBERED * size_of::<u32>();
        assert!(budget.used(Pool::Cache) < before + remembered + 50 * PAGE.len());
        assert!((0..50).all(|n| read(&cache, n)), "what is used stays");
    }

    #[test]
    fn it_never_takes_more_than_its_pool_and_makes_room_for_what_is_used_now() {
        let remembered = SHARDS * REMEMBERED * size_of::<u32>();
        let (cache, budget) = cache(remembered + 200 * (PAGE.len() + ENTRY_BYTES));
        for n in 0..2000 {
            read_thrice(&cache, n..n + 1);
            assert!(budget.used(Pool::Cache) <= budget.limit(Pool::Cache));
        }
        let kept = (0..2000).filter(|n| cache.get(key(*n)).is_some()).count();
        assert!((100..=200).contains(&kept), "{kept}");
        let late = (1900..2000).filter(|n| cache.get(key(*n)).is_some()).count();
        assert!(late > 50, "{late} of the last hundred");
    }

    #[test]
    fn directories_come_first_and_pressure_shrinks_it() {
        let (cache, budget) = cache(16 << 20);
        read_thrice(&cache, 0..100);
        let full = budget.used(Pool::Cache);
        budget.set_process_pressure(Pressure::High);
        read_thrice(&cache, 1000..1200);
        assert!(budget.used(Pool::Cache) < full, "pages went, none came");
        budget.set_process_pressure(Pressure::Normal);
        let directories = cache.hold_directories(20 << 20);
        read_thrice(&cache, 2000..2100);
        assert!((2000..2100).all(|n| cache.get(key(n)).is_none()), "there is no room for pages");
        drop(directories);
        read_thrice(&cache, 3000..3001);
        assert!(cache.get(key(3000)).is_some());
    }
}
