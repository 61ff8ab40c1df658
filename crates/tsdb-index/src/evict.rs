//! Eviction: idle series leave memory, many at once and rarely, so that series that come and go do not make the process
//! grow for ever.
//!
//! It makes a new table of the series that stay, which takes a microsecond for each of them, beside the writers; only to
//! put it in the place of the old one they have to wait. What was written meanwhile stays, and what was registered
//! meanwhile is taken over; where nothing was, nothing is looked at again.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::registry::Registry;
use crate::series_slots::{Block, SeriesSlot, number};
use crate::table::SeriesTable;

/// Which series are idle, and when they leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IdleRule {
    /// A series is idle if it was written, or registered, in an older log generation than this one. All generations
    /// whose rows are not in runs yet must be at least this one.
    pub generations_from: u64,
    /// Idle series that there must be, and they must be more than half of all: an eviction costs as much as registering
    /// those that stay, so this way each series that leaves pays for at most one that stays.
    pub idle_min: usize,
}

impl IdleRule {
    fn is_idle(self, slot: &SeriesSlot) -> bool {
        slot.generation() < self.generations_from
    }

    /// Decides about a block; the series that stay are taken up by `new`. A full block of which nothing leaves is shared.
    fn judge(self, index: u32, block: &Arc<Block>, new: &SeriesTable) -> Verdict {
        // Before the slots are looked at: what changes from here on shows.
        let changes = block.changes();
        let (mut stays, mut leaves) = (Vec::new(), Vec::new());
        for (place, slot) in block.iter() {
            match slot.entry() {
                Some(entry) if !self.is_idle(slot) => {
                    stays.push(place);
                    new.adopt(number(index, place), entry, slot);
                }
                Some(_) => leaves.push(place),
                None => {}
            }
        }
        let stays = match stays.is_empty() {
            true => None,
            false if leaves.is_empty() && block.is_full() => Some(Arc::clone(block)),
            false => Some(Arc::new(Block::copy(block, &stays))),
        };
        let named = stays.as_ref().map_or(0, |stays| stays.named());
        Verdict { source: Arc::clone(block), changes, stays, leaves, named }
    }
}

/// What becomes of a block.
#[derive(Debug)]
struct Verdict {
    source: Arc<Block>,
    /// [`Block::changes`] of the source as of the verdict.
    changes: u64,
    /// What stays of it; `None` if nothing does.
    stays: Option<Arc<Block>>,
    /// Places of the slots whose series leave, unless they are written before.
    leaves: Vec<u16>,
    /// Series that stay and can be named.
    named: usize,
}

/// An eviction that is prepared: [`Eviction::finish`] carries it out.
#[derive(Debug)]
pub struct Eviction {
    old: Arc<SeriesTable>,
    new: SeriesTable,
    rule: IdleRule,
    verdicts: BTreeMap<u32, Verdict>,
}

/// An eviction that was carried out.
#[derive(Debug)]
pub struct Evicted {
    /// The table of those that stayed.
    pub series: Arc<SeriesTable>,
    /// The table that it replaces. Whoever drops the last reference frees the series that left, which takes a good
    /// tenth of a microsecond for each: to be done where nobody waits.
    pub retired: Arc<SeriesTable>,
    /// Series that left.
    pub left: usize,
}

impl Registry {
    /// Prepares an eviction if there are enough idle series. O(slots), and about a microsecond for each series that
    /// stays. One at a time: until it is finished or dropped nobody may prepare another.
    pub fn prepare_eviction(&self, rule: IdleRule) -> Option<Eviction> {
        let old = self.table();
        let (mut idle, mut all) = (0usize, 0usize);
        for (_, slot) in old.slots().iter().flat_map(|(_, block)| block.iter()) {
            if slot.entry().is_some() {
                all += 1;
                idle += usize::from(rule.is_idle(slot));
            }
        }
        if idle < rule.idle_min.max(1) || idle * 2 <= all {
            return None;
        }
        let new = SeriesTable::new(old.hash_key());
        let mut verdicts = BTreeMap::new();
        for (index, block) in old.slots().iter() {
            // Where registrations may be under way nothing is decided yet.
            if !block.is_full() {
                continue;
            }
            verdicts.insert(index, rule.judge(index, block, &new));
        }
        Some(Eviction { old, new, rule, verdicts })
    }
}

impl Eviction {
    /// Carries the eviction out. For use under the engine's append lock, so that no series is written meanwhile;
    /// `end_epoch` is called when nobody gets numbers of the old table any more, and before anybody gets one of the new
    /// table. O(slots / 1024), and a few nanoseconds for each neighbour of a series that was written, registered or
    /// dropped since the eviction was prepared.
    pub fn finish(mut self, registry: &Registry, end_epoch: impl FnOnce()) -> Evicted {
        // From here on no registration is under way.
        let mut current = registry.lock();
        let (mut left, mut named) = (0, 0);
        for (index, block) in self.old.slots().iter() {
            // A block that was not full cannot grow any more: the new table begins with a block of its own.
            let verdict = self.verdicts.remove(&index);
            let mut verdict = verdict.unwrap_or_else(|| self.rule.judge(index, block, &self.new));
            if block.changes() != verdict.changes {
                self.settle(index, &mut verdict);
            }
            left += verdict.leaves.len();
            named += verdict.named;
            if let Some(stays) = verdict.stays {
                self.new.slots().put(index, stays);
            }
        }
        self.new.follow(&self.old, named);
        let series = Arc::new(self.new);
        end_epoch();
        *current = Arc::clone(&series);
        Evicted { series, retired: self.old, left }
    }

    /// Has a verdict follow what happened to its block since.
    fn settle(&self, index: u32, verdict: &mut Verdict) {
        let source = &verdict.source;
        let is_back = |place: &u16| source.get(*place).is_some_and(|slot| !self.rule.is_idle(slot));
        let (back, leaves): (Vec<u16>, Vec<u16>) = verdict.leaves.iter().partition(|p| is_back(p));
        for place in &back {
            if let Some((slot, entry)) = source.get(*place).and_then(|s| Some((s, s.entry()?))) {
                self.new.adopt(number(index, *place), entry, slot);
            }
        }
        if back.is_empty() {
            let stays = verdict.stays.as_ref().filter(|stays| !Arc::ptr_eq(stays, source));
            stays.inspect(|stays| stays.follow(source));
        } else {
            let all = source.iter().map(|(place, _)| place);
            let places: Vec<u16> =
                all.filter(|place| leaves.binary_search(place).is_err()).collect();
            verdict.stays = Some(Arc::new(Block::copy(source, &places)));
        }
        verdict.leaves = leaves;
        verdict.named = verdict.stays.as_ref().map_or(0, |stays| stays.named());
    }
}

#[cfg(test)]
mod tests;
