//! Crashes: every operation of a recorded run, several choices of what the disk kept, recovery, judgement;
//! and on some of the recovered disks further runs that crash again.

use tsdb_core::env::{CrashChoice, Recording, Rng as _, SimRng, SimVfs, Tail};
use tsdb_core::storage::conformance::{Violation, script};

use super::run::{Event, History, Run, Setup};

/// What was tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally {
    /// Disks after a crash that were opened and compared.
    pub states: u64,
    /// Of these, disks whose crash hit a recovery or what came after one.
    pub nested: u64,
    /// Of all, disks on which unacknowledged writes had survived.
    pub beyond: u64,
}

impl Tally {
    /// Adds up.
    pub fn add(&mut self, other: Tally) {
        self.states += other.states;
        self.nested += other.nested;
        self.beyond += other.beyond;
    }
}

/// The crashes of one run.
pub struct Enumeration<'a> {
    /// Opens what a crash left.
    pub setup: &'a Setup,
    /// Decides what disks keep, and which are gone on with.
    pub rng: SimRng,
    /// How often a recovered disk is gone on with and crashed again.
    pub depth_max: u32,
    /// Of so many crashed disks one is gone on with.
    pub continued_one_of: u64,
    /// Operations of the script that goes on.
    pub continued_ops: usize,
}

impl Enumeration<'_> {
    /// Crashes `history` everywhere.
    ///
    /// # Errors
    /// The first disk that does not recover to an allowed prefix of the changes.
    pub fn check(&self, history: &History) -> Result<Tally, Violation> {
        let mut tally = Tally::default();
        self.check_at_depth(history, 0, &mut tally)?;
        Ok(tally)
    }

    fn check_at_depth(
        &self,
        history: &History,
        depth: u32,
        tally: &mut Tally,
    ) -> Result<(), Violation> {
        let fingerprints = history.fingerprints()?;
        let mut recording = history.disk.recording();
        loop {
            let at = recording.op_index();
            for choice in choices(&self.rng, &recording) {
                let disk = recording.crash(choice);
                let bounds = history.bounds_at(at);
                let context = |violation: Violation| {
                    violation.within(format!("depth {depth}, crash behind {at} by {choice:?}"))
                };
                let length =
                    self.recover(&disk.fork(), history, &fingerprints, bounds).map_err(context)?;
                tally.states += 1;
                tally.nested += u64::from(depth > 0);
                tally.beyond += u64::from(length > bounds.0);
                if depth < self.depth_max && self.rng.below(self.continued_one_of) == 0 {
                    let base = history.events.get(..length).unwrap_or_default();
                    self.go_on(&disk, base, depth, tally).map_err(context)?;
                }
            }
            if !recording.advance() {
                return Ok(());
            }
        }
    }

    /// Opens a crashed disk; says how many of the changes it shows. Opened again, and once more, after a
    /// process that did nothing, it shows the same.
    fn recover(
        &self,
        disk: &SimVfs,
        history: &History,
        fingerprints: &[u128],
        bounds: (usize, usize),
    ) -> Result<usize, Violation> {
        let refused = |error| Violation::new(format!("the disk is refused: {error}"));
        let engine = self.setup.open(disk).map_err(refused)?;
        let length = history.prefix_shown(&*engine, fingerprints, bounds)?;
        drop(engine);
        for opening in 0..self.rng.below(3) {
            let context = |violation: Violation| {
                violation.within(format!("opened {} times before", opening + 1))
            };
            let engine = self.setup.open(disk).map_err(refused).map_err(context)?;
            history.prefix_shown(&*engine, fingerprints, (length, length)).map_err(context)?;
        }
        Ok(length)
    }

    /// Recovers a crashed disk under record, writes more, and crashes all of that.
    fn go_on(
        &self,
        disk: &SimVfs,
        base: &[Event],
        depth: u32,
        tally: &mut Tally,
    ) -> Result<(), Violation> {
        let refused = |error| Violation::new(format!("the disk is refused: {error}"));
        let mut run = Run::open(self.setup, disk, base).map_err(refused)?;
        run.check_visible()?;
        for op in script(self.rng.next_u64(), self.continued_ops)? {
            run.play(&op)??;
        }
        run.check_visible()?;
        self.check_at_depth(&run.end(), depth + 1, tally)
    }
}

/// Ways to crash at the position of a recording: nothing and everything kept, a prefix torn at a sector,
/// and by chance. One is enough when nothing is pending.
pub fn choices(rng: &SimRng, recording: &Recording) -> Vec<CrashChoice> {
    let pending = recording.pending_count();
    if pending == 0 {
        return vec![CrashChoice::KeepNone];
    }
    let tail = match rng.below(3) {
        0 => Tail::Old,
        1 => Tail::Zeros,
        _ => Tail::Garbage,
    };
    let ops = usize::try_from(rng.below(pending as u64)).unwrap_or(0);
    vec![
        CrashChoice::KeepNone,
        CrashChoice::KeepAll,
        CrashChoice::Prefix { ops, sectors: rng.below(4), tail },
        CrashChoice::Prefix { ops: pending - 1, sectors: rng.below(3), tail: Tail::Old },
        CrashChoice::PerFilePrefix { seed: rng.next_u64() },
        CrashChoice::Subset { seed: rng.next_u64() },
        CrashChoice::Subset { seed: rng.next_u64() },
        CrashChoice::MetadataFirst { seed: rng.next_u64() },
    ]
}
