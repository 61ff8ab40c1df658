//! What a crash keeps of what was not synced: the choice, the fate that it means for each pending
//! operation, and what a torn write leaves in a file.

use std::collections::BTreeMap;

use super::{
    disk::{Change, NameOp, NodeId},
    time::SimRng,
};
use crate::env::Rng as _;

/// Unit in which a torn write is kept or lost.
const SECTOR_BYTES: u64 = 512;

/// What a crash keeps of what was not synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CrashChoice {
    /// Nothing.
    KeepNone,
    /// Everything, except what a failed sync lost.
    KeepAll,
    /// The first `ops` pending operations of the whole disk in order, and of the next one, if it is a
    /// write, its first `sectors` sectors, while the rest of that write is as `tail` says.
    Prefix {
        /// Pending operations kept whole.
        ops: usize,
        /// Sectors kept of the next one.
        sectors: u64,
        /// What stands where its other sectors should be.
        tail: Tail,
    },
    /// Of every file and every directory some first operations, the next one torn, by the seed.
    PerFilePrefix {
        /// Decides.
        seed: u64,
    },
    /// Any subset of operations and of the sectors of writes, by the seed.
    Subset {
        /// Decides.
        seed: u64,
    },
    /// All names and lengths, but no pending byte of a file: where bytes should be, there are zeros,
    /// garbage, or what was there before, by the seed. A file renamed into place is empty or wrong.
    MetadataFirst {
        /// Decides.
        seed: u64,
    },
}

/// What stands in a sector of a write that did not reach the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tail {
    /// What was there before; a file does not grow over it.
    Old,
    /// Zeros, and the file has grown.
    Zeros,
    /// Random bytes, and the file has grown.
    Garbage,
}

/// What becomes of one pending change.
pub(super) enum Fate {
    Keep,
    Drop,
    /// Sector by sector; `kept` says which, `tail` what stands in the others.
    Torn {
        kept: Sectors,
        tail: Tail,
        seed: u64,
    },
}

pub(super) enum Sectors {
    First(u64),
    /// Each with one chance in two, by the fate's seed.
    Random,
}

/// Decides fates for one crash.
pub(super) struct Decider {
    choice: CrashChoice,
    rng: SimRng,
    /// For `PerFilePrefix`: how many more changes each file, and each directory, keeps.
    budget: BTreeMap<(bool, NodeId), usize>,
}

impl Decider {
    pub(super) fn new(choice: CrashChoice) -> Self {
        let seed = match choice {
            CrashChoice::KeepNone | CrashChoice::KeepAll | CrashChoice::Prefix { .. } => 0,
            CrashChoice::PerFilePrefix { seed }
            | CrashChoice::Subset { seed }
            | CrashChoice::MetadataFirst { seed } => seed,
        };
        Self { choice, rng: SimRng::new(seed), budget: BTreeMap::new() }
    }

    /// Whether a directory operation is kept.
    pub(super) fn name(&mut self, position: usize, op: &NameOp) -> bool {
        match self.choice {
            CrashChoice::KeepNone => false,
            CrashChoice::KeepAll | CrashChoice::MetadataFirst { .. } => true,
            CrashChoice::Prefix { ops, .. } => position < ops,
            CrashChoice::PerFilePrefix { .. } => {
                // How many operations a directory has pending is not known here: each further one is
                // kept with three chances in four, and none after the first that is lost.
                let left = self.budget.entry((true, op.dirs().1)).or_insert(usize::MAX);
                if *left > 0 && self.rng.below(4) == 0 {
                    *left = 0;
                }
                *left > 0
            }
            CrashChoice::Subset { .. } => self.rng.below(2) == 0,
        }
    }

    /// What becomes of a change to a file that has `left_in_file` pending ones from here on.
    pub(super) fn data(
        &mut self,
        position: usize,
        node: NodeId,
        lost: bool,
        left_in_file: usize,
    ) -> Fate {
        if lost {
            return self.lost();
        }
        match self.choice {
            CrashChoice::KeepNone => Fate::Drop,
            CrashChoice::KeepAll => Fate::Keep,
            CrashChoice::Prefix { ops, .. } if position < ops => Fate::Keep,
            CrashChoice::Prefix { ops, sectors, tail } if position == ops => {
                Fate::Torn { kept: Sectors::First(sectors), tail, seed: sectors }
            }
            CrashChoice::Prefix { .. } => Fate::Drop,
            CrashChoice::PerFilePrefix { .. } => {
                let rng = &self.rng;
                let left = self.budget.entry((false, node)).or_insert_with(|| {
                    usize::try_from(rng.below(left_in_file as u64 + 1)).unwrap_or(0)
                });
                match *left {
                    usize::MAX => Fate::Drop,
                    0 => {
                        *left = usize::MAX;
                        let kept = Sectors::First(self.rng.below(4));
                        Fate::Torn { kept, tail: self.tail(), seed: self.rng.next_u64() }
                    }
                    _ => {
                        *left -= 1;
                        Fate::Keep
                    }
                }
            }
            CrashChoice::Subset { .. } => match self.rng.below(3) {
                0 => Fate::Keep,
                1 => Fate::Drop,
                _ => {
                    let tail = self.tail();
                    Fate::Torn { kept: Sectors::Random, tail, seed: self.rng.next_u64() }
                }
            },
            CrashChoice::MetadataFirst { .. } => self.nothing_kept(),
        }
    }

    /// What a failed sync lost. Where chance decides, the disk may have got it all the same.
    fn lost(&self) -> Fate {
        match self.choice {
            CrashChoice::KeepNone | CrashChoice::KeepAll | CrashChoice::Prefix { .. } => Fate::Drop,
            CrashChoice::PerFilePrefix { .. }
            | CrashChoice::Subset { .. }
            | CrashChoice::MetadataFirst { .. } => match self.rng.below(3) {
                0 => Fate::Keep,
                1 => Fate::Drop,
                _ => self.nothing_kept(),
            },
        }
    }

    fn nothing_kept(&self) -> Fate {
        Fate::Torn { kept: Sectors::First(0), tail: self.tail(), seed: self.rng.next_u64() }
    }

    fn tail(&self) -> Tail {
        match self.rng.below(3) {
            0 => Tail::Old,
            1 => Tail::Zeros,
            _ => Tail::Garbage,
        }
    }
}

impl Change {
    pub(super) fn apply(&self, content: &mut Vec<u8>) {
        match self {
            Self::Write { offset, bytes } => put(content, *offset, bytes),
            Self::SetLen(bytes) => content.resize(usize::try_from(*bytes).unwrap_or(0), 0),
        }
    }

    pub(super) fn apply_fate(&self, content: &mut Vec<u8>, fate: &Fate) {
        match (fate, self) {
            (Fate::Drop, _) => {}
            (Fate::Keep, _) | (Fate::Torn { .. }, Self::SetLen(_)) => self.apply(content),
            (Fate::Torn { kept, tail, seed }, Self::Write { offset, bytes }) => {
                put_torn(content, *offset, bytes, kept, *tail, &SimRng::new(*seed));
            }
        }
    }
}

/// Writes `bytes` at `offset`, filling a gap before it with zeros.
fn put(content: &mut Vec<u8>, offset: u64, bytes: &[u8]) {
    let start = usize::try_from(offset).unwrap_or(usize::MAX);
    let end = start.saturating_add(bytes.len());
    if content.len() < end {
        content.resize(end, 0);
    }
    if let Some(place) = content.get_mut(start..end) {
        place.copy_from_slice(bytes);
    }
}

fn put_torn(
    content: &mut Vec<u8>,
    offset: u64,
    bytes: &[u8],
    kept: &Sectors,
    tail: Tail,
    rng: &SimRng,
) {
    let mut at = offset;
    let mut rest = bytes;
    let mut sector = 0;
    while !rest.is_empty() {
        let to_boundary = usize::try_from(SECTOR_BYTES - at % SECTOR_BYTES).unwrap_or(usize::MAX);
        let (part, after) = rest.split_at(to_boundary.min(rest.len()));
        let keep = match kept {
            Sectors::First(count) => sector < *count,
            Sectors::Random => rng.below(2) == 0,
        };
        match (keep, tail) {
            (true, _) => put(content, at, part),
            (false, Tail::Old) => {}
            (false, Tail::Zeros) => put(content, at, &vec![0; part.len()]),
            (false, Tail::Garbage) => {
                let mut garbage = vec![0; part.len()];
                rng.fill(&mut garbage);
                put(content, at, &garbage);
            }
        }
        at += part.len() as u64;
        rest = after;
        sector += 1;
    }
}
