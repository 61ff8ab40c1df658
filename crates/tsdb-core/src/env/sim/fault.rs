//! Faults on schedule: which operation fails, when, how. What a fault does to the disk is the disk's
//! business.

use std::{io, path::Path};

use super::time::SimRng;

/// Kinds of operations that a fault can be set on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OpKind {
    /// `create_new`.
    Create,
    /// `open_read` and `open_rw`.
    Open,
    /// `read_at`.
    Read,
    /// `write_at`.
    Write,
    /// `sync_data` and `sync_all`.
    Sync,
    /// `sync_dir`.
    SyncDir,
    /// `set_len`.
    SetLen,
    /// `reserve`, also the one inside `create_new`.
    Reserve,
    /// `rename`.
    Rename,
    /// `unlink`.
    Unlink,
    /// `link`.
    Link,
    /// `list`.
    List,
    /// `create_dir`.
    CreateDir,
}

/// When a fault strikes, counting from when it was added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// At the nth matching operation, from 1.
    Nth(u64),
    /// At each matching operation with this many chances in a thousand.
    PerMille(u32),
}

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// The operation fails and, a sync excepted, changes nothing.
    Error(FaultError),
    /// A read or write moves fewer bytes than asked for. Other operations do not notice.
    Short(ShortLength),
}

/// Errors of the operating system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultError {
    /// Input/output error.
    Eio,
    /// No space left on device.
    Enospc,
    /// Interrupted by a signal. A sync never answers it (the real one goes on by itself), so there it
    /// counts as EIO.
    Eintr,
}

impl FaultError {
    pub(super) fn to_io(self) -> io::Error {
        // The numbers are the same on all Unix systems.
        match self {
            Self::Eio => io::Error::from_raw_os_error(5),
            Self::Enospc => io::Error::from_raw_os_error(28),
            Self::Eintr => io::Error::from_raw_os_error(4),
        }
    }
}

/// How many bytes a short read or write moves: at least one, so that whoever goes on gets done;
/// `Bytes(0)` moves none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShortLength {
    /// So many, or all that were asked for.
    Bytes(usize),
    /// Half, rounded up.
    Half,
    /// All but one; one of one.
    AllButOne,
}

impl ShortLength {
    pub(super) fn of(self, asked: usize) -> usize {
        match self {
            Self::Bytes(bytes) => bytes.min(asked),
            Self::Half => asked.div_ceil(2),
            Self::AllButOne => asked.saturating_sub(1).max(1).min(asked),
        }
    }
}

/// One entry of the schedule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Which operations match.
    pub on: OpKind,
    /// Only those on a path that contains this; empty for all.
    pub path_contains: String,
    /// When it strikes.
    pub when: When,
    /// Whether every matching operation after the first stroke is struck too.
    pub sticky: bool,
    /// What goes wrong.
    pub effect: Effect,
}

impl Fault {
    /// An error at the nth operation of a kind, on any path, once.
    #[must_use]
    pub fn nth(on: OpKind, nth: u64, error: FaultError) -> Self {
        Self {
            on,
            path_contains: String::new(),
            when: When::Nth(nth),
            sticky: false,
            effect: Effect::Error(error),
        }
    }

    /// The same with every later operation struck as well.
    #[must_use]
    pub fn sticky(mut self) -> Self {
        self.sticky = true;
        self
    }

    /// The same for paths that contain `part` only.
    #[must_use]
    pub fn on_path(mut self, part: &str) -> Self {
        part.clone_into(&mut self.path_contains);
        self
    }
}

/// The faults that are set, with how often each was asked.
#[derive(Debug)]
pub(super) struct Schedule {
    entries: Vec<Entry>,
    rng: SimRng,
    struck: u64,
}

#[derive(Debug)]
struct Entry {
    fault: Fault,
    seen: u64,
    stuck: bool,
}

impl Schedule {
    pub(super) fn new(seed: u64) -> Self {
        Self { entries: Vec::new(), rng: SimRng::new(seed), struck: 0 }
    }

    pub(super) fn add(&mut self, fault: Fault) {
        self.entries.push(Entry { fault, seen: 0, stuck: false });
    }

    pub(super) fn clear(&mut self) {
        self.entries.clear();
    }

    /// How many operations were struck so far.
    pub(super) fn struck(&self) -> u64 {
        self.struck
    }

    /// Whether this operation is struck. All matching entries count it; the first that strikes wins.
    pub(super) fn strike(&mut self, on: OpKind, path: &Path) -> Option<Effect> {
        let mut effect = None;
        for entry in &mut self.entries {
            let fault = &entry.fault;
            if fault.on != on || !path.to_string_lossy().contains(&fault.path_contains) {
                continue;
            }
            entry.seen += 1;
            let due = match fault.when {
                When::Nth(nth) => entry.seen == nth,
                When::PerMille(chances) => self.rng.below(1000) < u64::from(chances),
            };
            if due || entry.stuck {
                entry.stuck = fault.sticky;
                effect = effect.or(Some(fault.effect));
            }
        }
        self.struck += u64::from(effect.is_some());
        effect
    }
}
