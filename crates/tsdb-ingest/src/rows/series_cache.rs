//! From the raw bytes of `measurement,tags` to the series reference, without parsing them again.
//!
//! Each parser has a cache of its own, so that no lock and no shared cache line lies on the hot path.
//! References hold within one epoch of the store; whoever learns of another one calls
//! [`SeriesCache::clear`].
//!
//! Agents send their series in the same order again and again. So each entry remembers which one came
//! after it, and that guess is confirmed by one comparison of bytes; neither the end of the key is
//! searched for nor a hash computed.
//!
//! The bytes are bounded. A full cache takes nothing new, so that a working set that is larger by half
//! still hits for two thirds of its lines, where evicting the oldest would miss all of them; when the
//! misses since then outnumber the entries four to one, the working set has changed, and the cache
//! starts anew.

use std::hash::BuildHasher;

use foldhash::fast::FixedState;
use hashbrown::HashTable;
use tsdb_core::{NamespaceId, SeriesRef, TagCharset};

use super::shapes::ShapeId;

/// No entry.
const NONE: u32 = u32::MAX;

/// Misses of a full cache, as a multiple of its entries, after which it starts anew.
const STALE_MISS_FACTOR: usize = 4;

/// Memory of an entry beside its bytes: the entry and its place in the table, which is at most 7/8
/// full and doubles.
const ENTRY_BYTES: usize = size_of::<Entry>() + 10;

/// A series as a row names it while a request is parsed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SeriesHandle {
    /// Known to the store.
    Known(SeriesRef),
    /// To be resolved at the end of the portion: its place among those.
    Pending(u32),
}

/// Where the bytes of a key mean one series: a namespace, and the characters that names may hold, since
/// what was accepted under one charset may not be under the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Scope {
    pub(crate) namespace: NamespaceId,
    pub(crate) charset: TagCharset,
}

/// Place of a series in the cache. Valid until the end of the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct EntryId(u32);

/// What the cache knows of a series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cached {
    pub(crate) entry: EntryId,
    pub(crate) series: SeriesHandle,
    /// Order of fields that came with it, the last time.
    pub(crate) shape: ShapeId,
}

#[derive(Debug, Clone)]
struct Entry {
    hash: u64,
    start: u32,
    bytes: u32,
    scope: Scope,
    /// Entry of the line that came next, the last time.
    next: u32,
    /// Order of fields that came with it, the last time; a guess as well.
    shape: ShapeId,
    /// `None` after a request that failed before it was resolved.
    handle: Option<SeriesHandle>,
}

#[derive(Debug)]
pub(crate) struct SeriesCache {
    index: HashTable<u32>,
    entries: Vec<Entry>,
    arena: Vec<u8>,
    hasher: FixedState,
    scope: Scope,
    last: u32,
    misses_when_full: usize,
    bytes_max: usize,
}

impl SeriesCache {
    /// An empty cache for at most `bytes_max` bytes. `seed` must not be known to clients, who could
    /// choose colliding keys otherwise.
    pub(crate) fn new(bytes_max: usize, seed: u64) -> SeriesCache {
        SeriesCache {
            index: HashTable::new(),
            entries: Vec::new(),
            arena: Vec::new(),
            hasher: FixedState::with_seed(seed),
            scope: Scope { namespace: NamespaceId(0), charset: TagCharset::Utf8 },
            last: NONE,
            misses_when_full: 0,
            bytes_max: bytes_max.min(u32::MAX as usize),
        }
    }

    /// Begins a request for `scope`.
    pub(crate) fn begin(&mut self, scope: Scope) {
        self.scope = scope;
        if self.misses_when_full > STALE_MISS_FACTOR * self.entries.len() {
            self.clear();
        }
    }

    /// Forgets all series and gives their memory back.
    pub(crate) fn clear(&mut self) {
        self.index = HashTable::new();
        self.entries = Vec::new();
        self.arena = Vec::new();
        self.last = NONE;
        self.misses_when_full = 0;
    }

    /// The series whose raw bytes, and a space, `rest` begins with, if it is the expected one. Returns
    /// it with the length of its bytes.
    #[inline]
    pub(crate) fn predict(&mut self, rest: &[u8]) -> Option<(Cached, usize)> {
        self.predict_before(rest, |next| next == Some(b' '))
    }

    /// The series whose raw bytes `rest` begins with, if it is the expected one and the byte behind them, if
    /// there is one, `is_end`. Returns it with the length of its bytes.
    #[inline]
    pub(crate) fn predict_before(
        &mut self,
        rest: &[u8],
        is_end: impl FnOnce(Option<u8>) -> bool,
    ) -> Option<(Cached, usize)> {
        let next = self.entries.get(self.last as usize)?.next;
        let entry = self.entries.get(next as usize)?;
        let raw = self.arena.get(entry.start as usize..(entry.start + entry.bytes) as usize)?;
        let (front, behind) = rest.split_at_checked(raw.len())?;
        if !is_end(behind.first().copied()) || front != raw || entry.scope != self.scope {
            return None;
        }
        let cached = Cached { entry: EntryId(next), series: entry.handle?, shape: entry.shape };
        self.last = next;
        Some((cached, raw.len()))
    }

    /// The series with these raw bytes, the expected one first.
    pub(crate) fn recall(&mut self, raw: &[u8]) -> Option<Cached> {
        self.expected(raw).or_else(|| self.find(raw))
    }

    fn expected(&mut self, raw: &[u8]) -> Option<Cached> {
        let next = self.entries.get(self.last as usize)?.next;
        let entry = self.entries.get(next as usize)?;
        let known = self.arena.get(entry.start as usize..(entry.start + entry.bytes) as usize)?;
        if known != raw || entry.scope != self.scope {
            return None;
        }
        let cached = Cached { entry: EntryId(next), series: entry.handle?, shape: entry.shape };
        self.last = next;
        Some(cached)
    }

    /// The series with these raw bytes.
    pub(crate) fn find(&mut self, raw: &[u8]) -> Option<Cached> {
        let found = self.lookup(self.hasher.hash_one(raw), raw)?;
        let entry = self.entries.get(found as usize)?;
        let cached = Cached { entry: EntryId(found), series: entry.handle?, shape: entry.shape };
        self.follow(found);
        Some(cached)
    }

    fn lookup(&self, hash: u64, raw: &[u8]) -> Option<u32> {
        let same = |id: &u32| {
            self.entries.get(*id as usize).is_some_and(|entry| {
                entry.hash == hash
                    && entry.scope == self.scope
                    && self.arena.get(entry.start as usize..(entry.start + entry.bytes) as usize)
                        == Some(raw)
            })
        };
        self.index.find(hash, same).copied()
    }

    /// Notes that the line after the last one was of `id`.
    fn follow(&mut self, id: u32) {
        if let Some(last) = self.entries.get_mut(self.last as usize) {
            last.next = id;
        }
        self.last = id;
    }

    /// Notes the shape to expect the next time.
    #[inline]
    pub(crate) fn set_shape(&mut self, id: EntryId, shape: ShapeId) {
        if let Some(entry) = self.entries.get_mut(id.0 as usize) {
            entry.shape = shape;
        }
    }

    /// Takes up a series that [`SeriesCache::find`] did not find; `None` when the cache is full.
    pub(crate) fn define(&mut self, raw: &[u8], handle: SeriesHandle) -> Option<EntryId> {
        let hash = self.hasher.hash_one(raw);
        if let Some(known) = self.lookup(hash, raw) {
            self.entries.get_mut(known as usize)?.handle = Some(handle);
            self.follow(known);
            return Some(EntryId(known));
        }
        let bytes_after = self.bytes() + raw.len() + ENTRY_BYTES;
        if bytes_after > self.bytes_max {
            self.misses_when_full += 1;
            return None;
        }
        let id = u32::try_from(self.entries.len()).ok()?;
        let entry = Entry {
            hash,
            start: u32::try_from(self.arena.len()).ok()?,
            bytes: u32::try_from(raw.len()).ok()?,
            scope: self.scope,
            // Until the entry has been followed, the one that will be defined next is the best guess.
            next: id + 1,
            shape: ShapeId(NONE),
            handle: Some(handle),
        };
        self.arena.extend_from_slice(raw);
        self.entries.push(entry);
        let entries = &self.entries;
        self.index
            .insert_unique(hash, id, |id| entries.get(*id as usize).map_or(0, |entry| entry.hash));
        self.follow(id);
        Some(EntryId(id))
    }

    /// Gives an entry its reference; `None` if the store refused it, so that it is asked again.
    pub(crate) fn settle(&mut self, id: EntryId, series: Option<SeriesRef>) {
        if let Some(entry) = self.entries.get_mut(id.0 as usize) {
            entry.handle = series.map(SeriesHandle::Known);
        }
    }

    /// Memory in use, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.arena.len() + self.entries.len() * ENTRY_BYTES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scope(namespace: u32) -> Scope {
        Scope { namespace: NamespaceId(namespace), charset: TagCharset::Utf8 }
    }

    fn known(n: u32) -> SeriesHandle {
        SeriesHandle::Known(SeriesRef(n))
    }

    #[test]
    fn series_of_two_namespaces_are_told_apart() {
        let mut cache = SeriesCache::new(1 << 20, 1);
        cache.begin(scope(1));
        cache.define(b"cpu,host=a", known(1)).unwrap();
        cache.begin(scope(2));
        assert_eq!(cache.find(b"cpu,host=a"), None);
        assert_eq!(cache.predict(b"cpu,host=a v=1"), None);
        cache.define(b"cpu,host=a", known(2)).unwrap();
        assert_eq!(cache.find(b"cpu,host=a").unwrap().series, known(2));
        cache.begin(scope(1));
        assert_eq!(cache.find(b"cpu,host=a").unwrap().series, known(1));
        // The expected series is one of this namespace too.
        cache.define(b"cpu,host=b", known(3)).unwrap();
        cache.find(b"cpu,host=a").unwrap();
        cache.begin(scope(2));
        assert_eq!(cache.predict(b"cpu,host=b v=1"), None);
        cache.begin(scope(1));
        assert_eq!(cache.predict(b"cpu,host=b v=1").unwrap().0.series, known(3));
    }

    #[test]
    fn names_that_one_charset_allows_are_unknown_to_the_other() {
        let mut cache = SeriesCache::new(1 << 20, 1);
        cache.begin(scope(1));
        cache.define(b"m,a=a", known(0)).unwrap();
        cache.define("m,a=ä".as_bytes(), known(1)).unwrap();
        let expects_umlaut = |cache: &mut SeriesCache| {
            cache.begin(scope(1));
            cache.find(b"m,a=a").unwrap();
        };
        let ascii = Scope { charset: TagCharset::Ascii, ..scope(1) };
        for find in [SeriesCache::find, SeriesCache::recall] {
            expects_umlaut(&mut cache);
            cache.begin(ascii);
            assert_eq!(find(&mut cache, "m,a=ä".as_bytes()), None);
            cache.begin(scope(1));
            assert_eq!(find(&mut cache, "m,a=ä".as_bytes()).unwrap().series, known(1));
        }
        expects_umlaut(&mut cache);
        cache.begin(ascii);
        assert_eq!(cache.predict("m,a=ä f=1".as_bytes()), None);
        cache.begin(scope(1));
        assert!(cache.predict("m,a=ä f=1".as_bytes()).is_some());
    }

    #[test]
    fn the_next_series_is_expected_once_it_was_seen() {
        let mut cache = SeriesCache::new(1 << 20, 1);
        cache.begin(scope(1));
        for (i, raw) in [b"m,h=a", b"m,h=b", b"m,h=c"].iter().enumerate() {
            cache.define(*raw, known(u32::try_from(i).unwrap())).unwrap();
        }
        let a = cache.find(b"m,h=a").unwrap();
        assert_eq!(cache.predict(b"m,h=b v=1").unwrap().1, 5);
        assert_eq!(cache.predict(b"m,h=a v=1"), None, "c comes after b");
        assert!(cache.predict(b"m,h=c v=1").is_some());
        assert_eq!(cache.predict(b"m,h=a v=1"), Some((a, 5)), "as it was the last time");
        for other in [&b"m,h=bb v=1"[..], b"m,h=b", b"m,h=b,x=y v=1", b"", b"m"] {
            assert_eq!(cache.predict(other), None);
        }
        assert_eq!(cache.expected(b"m,h=b").unwrap().series, known(1));
        assert_eq!(cache.expected(b"m,h=a"), None);
        assert_eq!(cache.recall(b"m,h=a"), Some(a), "found all the same");
    }

    #[test]
    fn a_refused_series_is_asked_for_again() {
        let mut cache = SeriesCache::new(1 << 20, 1);
        let id = cache.define(b"m", SeriesHandle::Pending(0)).unwrap();
        cache.settle(id, None);
        assert_eq!(cache.find(b"m"), None);
        assert_eq!(cache.define(b"m", SeriesHandle::Pending(7)), Some(id));
        cache.settle(id, Some(SeriesRef(3)));
        let found = cache.find(b"m").unwrap();
        assert_eq!((found.entry, found.series), (id, known(3)));
    }

    #[test]
    fn bytes_are_bounded_and_a_new_working_set_gets_in() {
        let mut cache = SeriesCache::new(10 * (ENTRY_BYTES + 3), 1);
        cache.begin(scope(1));
        let name = |n: u32| format!("{n:03}").into_bytes();
        for n in 0..20 {
            assert_eq!(cache.define(&name(n), known(n)).is_some(), n < 10, "{n}");
        }
        assert!(cache.bytes() <= 10 * (ENTRY_BYTES + 3));
        assert!(cache.find(&name(3)).is_some(), "what is there stays");
        for n in 100..140 {
            cache.define(&name(n), known(n));
        }
        cache.begin(scope(1));
        assert!(cache.define(&name(200), known(200)).is_some(), "started anew");
        assert_eq!(cache.find(&name(3)), None);
    }
}
