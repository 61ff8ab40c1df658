//! Lives: one seed is one long life of a store, with steps, faults of the disk, rot, clocks that leap, and
//! crashes from which it recovers and goes on; judged against the model all the time.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tsdb_core::env::{
    Clock as _, CrashChoice, Effect, Fault, FaultError, OpKind, Recording, Rng as _, ShortLength,
    SimClock, SimRng, SimVfs, Vfs as _, When,
};
use tsdb_core::storage::conformance::{Op, Violation, dump, ensure, fingerprint, script};
use tsdb_core::time::{DAY, HOUR, SECOND};
use tsdb_core::{Catalogue, Maintain as _, Snapshot};
use tsdb_lsm::Engine;

use super::crash::choices;
use super::run::{DIRECTORY, Event, History, Run, Setup};

/// How long a life is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Length {
    /// Operations between two ends of the process.
    pub ops: usize,
    /// Ends of the process, all but the last of which are crashes, kills or stops.
    pub ends: usize,
}

impl Length {
    /// At least 200 operations and at least three crashes.
    pub const USUAL: Length = Length { ops: 60, ends: 5 };
}

/// What happened in a life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Deeds {
    /// Operations of scripts.
    pub steps: u64,
    /// Crashes of the machine, and of the process alone.
    pub crashes: u64,
    /// Of these, during recovery from another.
    pub during_recovery: u64,
    /// Orderly stops.
    pub stops: u64,
    /// Operations of the disk that a fault struck.
    pub faults: u64,
    /// Flipped bits, each on a copy of the disk.
    pub flips: u64,
    /// Of these, found when opening or reading; the others hit what nothing depends on.
    pub flips_found: u64,
    /// Leaps of the wall clock.
    pub leaps: u64,
    /// Series that left memory.
    pub evicted: u64,
    /// One number for all operations of all disks: the same for the same seed.
    pub hash: u64,
}

impl Deeds {
    /// Adds up.
    pub fn add(&mut self, other: Deeds) {
        self.steps += other.steps;
        self.crashes += other.crashes;
        self.during_recovery += other.during_recovery;
        self.stops += other.stops;
        self.faults += other.faults;
        self.flips += other.flips;
        self.flips_found += other.flips_found;
        self.leaps += other.leaps;
        self.evicted += other.evicted;
        self.hash = self.hash.rotate_left(1) ^ other.hash;
    }
}

/// Lives the life of a seed.
///
/// # Errors
/// The first thing that is not as the model says.
pub fn live(setup: &Setup, seed: u64, length: Length) -> Result<Deeds, Violation> {
    let mut life = Life::new(setup, seed);
    for end in 0..length.ends {
        let phase = |violation: Violation| violation.within(format!("process {end}"));
        let run = life.begin().map_err(phase)?;
        let run = life.play(run, length.ops).map_err(phase)?;
        life.end(run).map_err(phase)?;
    }
    let last = life.begin()?;
    last.check_visible()?;
    last.check_everything(seed)?;
    life.deeds.hash ^= last.end().disk.log_hash();
    Ok(life.deeds)
}

/// A snapshot that somebody holds, and what it showed when it was taken.
struct Held {
    snapshot: Arc<dyn Snapshot>,
    catalogue: Arc<Catalogue>,
    shown: String,
}

struct Life<'a> {
    setup: &'a Setup,
    rng: SimRng,
    disk: SimVfs,
    /// What the store holds when no process runs.
    base: Vec<Event>,
    clock: Arc<SimClock>,
    /// What the wall clock would show if nobody had set it.
    true_ns: i64,
    held: VecDeque<Held>,
    /// The disk failed or was full while this process ran.
    was_in_trouble: bool,
    deeds: Deeds,
}

/// When a life begins: a little after the rows that scripts write.
const BEGIN: i64 = 18_000 * DAY + 2 * HOUR;

impl<'a> Life<'a> {
    fn new(setup: &'a Setup, seed: u64) -> Life<'a> {
        Life {
            setup,
            rng: SimRng::new(seed),
            disk: SimVfs::new(seed),
            base: Vec::new(),
            clock: Arc::new(SimClock::new(BEGIN)),
            true_ns: BEGIN,
            held: VecDeque::new(),
            was_in_trouble: false,
            deeds: Deeds::default(),
        }
    }

    fn chance(&self, of_hundred: u64) -> bool {
        self.rng.below(100) < of_hundred
    }

    fn one_of<T: Copy>(&self, from: &[T]) -> Option<T> {
        let place = self.rng.below(from.len() as u64);
        from.get(usize::try_from(place).unwrap_or(0)).copied()
    }

    fn begin(&mut self) -> Result<Run, Violation> {
        self.clock.set_wall(self.true_ns);
        let run = Run::open_at(self.setup, &self.disk, &self.base, Some(&self.clock));
        let run = run.map_err(|error| Violation::new(format!("the disk is refused: {error}")))?;
        // As the thread of maintenance does when it starts.
        run.engine().retention_time();
        Ok(run)
    }

    /// Plays a script, with whatever else happens to a process.
    fn play(&mut self, mut run: Run, ops: usize) -> Result<Run, Violation> {
        let script = script(self.rng.next_u64(), ops)?;
        let trouble_at = self.rng.below(2 * script.len() as u64);
        self.was_in_trouble = false;
        for (place, op) in script.iter().enumerate() {
            if place as u64 == trouble_at {
                self.was_in_trouble = self.trouble();
            }
            self.deeds.steps += 1;
            let outcome = self
                .step(&mut run, op)
                .map_err(|violation| violation.within(format!("step {place}, {op}")))?;
            if let Err(error) = outcome
                && !self.was_in_trouble
            {
                return Err(Violation::new(format!(
                    "step {place}, {op}: {error}, without a fault"
                )));
            }
            if self.chance(4) {
                self.time_goes_on(&mut run)?;
            }
        }
        self.deeds.faults += self.disk.struck();
        self.disk.clear_faults();
        self.disk.set_capacity(None);
        Ok(run)
    }

    /// The inner error is a refusal or a failed step.
    fn step(&mut self, run: &mut Run, op: &Op) -> Result<tsdb_core::Result<()>, Violation> {
        match op {
            Op::Crash | Op::Reopen => {}
            Op::Hold => {
                let snapshot = run.store().snapshot()?;
                let catalogue = run.store().catalogue();
                // A disk that fails fails here too.
                if let Ok(shown) = dump(&*snapshot, &catalogue) {
                    self.held.push_back(Held { snapshot, catalogue, shown });
                }
            }
            Op::Release => {
                if let Some(held) = self.held.pop_front()
                    && let Ok(shown) = dump(&*held.snapshot, &held.catalogue)
                {
                    let same = shown == held.shown;
                    ensure(same, || "a snapshot shows something else than at first".to_owned())?;
                }
            }
            Op::Check(seed) => {
                if self.disk.struck() == 0 {
                    if let Err(error) = run.engine().sync() {
                        return Ok(Err(error.into()));
                    }
                    run.check_everything(*seed)?;
                }
            }
            other => return run.play(other),
        }
        Ok(Ok(()))
    }

    /// Something goes wrong with the disk from now on; whether it does.
    fn trouble(&mut self) -> bool {
        let kinds = [
            OpKind::Create,
            OpKind::Write,
            OpKind::Sync,
            OpKind::Sync,
            OpKind::SyncDir,
            OpKind::Rename,
            OpKind::Reserve,
            OpKind::Unlink,
        ];
        match self.rng.below(6) {
            0..3 => {
                let error = if self.chance(30) { FaultError::Enospc } else { FaultError::Eio };
                let on = self.one_of(&kinds).unwrap_or(OpKind::Write);
                let mut fault = Fault::nth(on, 1 + self.rng.below(8), error);
                if on == OpKind::Sync && self.chance(60) {
                    fault = fault.on_path("/wal/");
                }
                self.disk.add_fault(if self.chance(20) { fault.sticky() } else { fault });
            }
            3 => {
                let on = if self.chance(50) { OpKind::Write } else { OpKind::Read };
                self.disk.add_fault(Fault {
                    on,
                    path_contains: String::new(),
                    when: When::PerMille(300),
                    sticky: false,
                    effect: Effect::Short(ShortLength::Half),
                });
                return false;
            }
            4 => self.disk.set_capacity(Some((8 << 10) + self.rng.below(1 << 17))),
            _ => return false,
        }
        true
    }

    /// Time passes, the clock may leap, retention looks at it.
    fn time_goes_on(&mut self, run: &mut Run) -> Result<(), Violation> {
        let seconds = 1 + self.rng.below(600);
        self.clock.advance(seconds * SECOND.unsigned_abs());
        self.true_ns += i64::try_from(seconds).unwrap_or(0) * SECOND;
        match self.rng.below(4) {
            0 => {
                self.deeds.leaps += 1;
                let days = i64::try_from(self.rng.below(4_000)).unwrap_or(0) - 2_000;
                // What is nearer is no leap for sure.
                let days = if days >= 0 { days + 2 } else { days };
                self.clock.set_wall(self.true_ns + days * DAY);
            }
            1 => self.clock.set_wall(self.true_ns),
            _ => {}
        }
        let (now_ns, _) = run.engine().retention_time();
        // A policy that was changed hides up to two hours of where the clock was.
        ensure(now_ns <= self.true_ns + 3 * HOUR, || {
            let (wall, truth) = (self.clock.wall_ns(), self.true_ns);
            format!("rows expire by {now_ns}: it is {truth}, the wall clock shows {wall}")
        })?;
        // A disk may be failing, which is nothing that retention answers for.
        run.play(&Op::Retain(now_ns)).map(|_| ())
    }

    /// The process ends in some way, and what it leaves is judged.
    fn end(&mut self, run: Run) -> Result<(), Violation> {
        self.held.clear();
        self.deeds.evicted += run.engine().counters().series_evicted.get();
        let is_healthy = run.engine().failure().is_none();
        if is_healthy && self.chance(15) {
            return self.stop(run);
        }
        let history = run.end();
        self.deeds.hash ^= history.disk.log_hash();
        self.deeds.crashes += 1;
        let bounds = history.bounds_at(history.disk.op_count());
        let (mut how, mut disk) = self.crash(&history);
        // Until a recovery has ended nobody has seen what it found, so one that crashes is one crash with the
        // one before it.
        if self.chance(30) {
            let (again, crashed) = self.crash_recovery(&disk).map_err(|v| v.within(&how))?;
            how = format!("{how}, {again}");
            disk = crashed;
        }
        let crashed = |violation: Violation| violation.within(&how);
        let engine = self.open(&disk.fork()).map_err(crashed)?;
        let length = history.find_prefix(&*engine, bounds).map_err(crashed)?;
        drop(engine);
        self.base = history.events.get(..length).unwrap_or_default().to_vec();
        self.disk = disk;
        self.rot().map_err(crashed)
    }

    fn open(&self, disk: &SimVfs) -> Result<Arc<Engine>, Violation> {
        let engine = self.setup.open(disk);
        engine.map_err(|error| Violation::new(format!("the disk is refused: {error}")))
    }

    fn crash(&self, history: &History) -> (String, SimVfs) {
        if self.chance(25) {
            return ("killed".to_owned(), history.disk.kill());
        }
        let mut recording = history.disk.recording();
        while recording.advance() {}
        let choice = self.some_choice(&recording);
        (format!("crashed by {choice:?}"), recording.crash(choice))
    }

    fn stop(&mut self, run: Run) -> Result<(), Violation> {
        run.engine().close()?;
        let history = run.end();
        self.deeds.hash ^= history.disk.log_hash();
        self.deeds.stops += 1;
        let all = history.events.len();
        let disk = history.disk.crash(CrashChoice::KeepNone);
        let engine = self.open(&disk.fork()).map_err(|v| v.within("stopped"))?;
        // Behind a frame that could not be written whole there is no place for the mark of a stop.
        let is_known = engine.recovery().clean || self.was_in_trouble;
        ensure(is_known, || "an orderly stop is not known as one".to_owned())?;
        history.find_prefix(&*engine, (all, all)).map_err(|v| v.within("stopped"))?;
        self.base = history.events;
        self.disk = disk;
        Ok(())
    }

    /// Crashes a recovery of the disk at some operation.
    fn crash_recovery(&mut self, disk: &SimVfs) -> Result<(String, SimVfs), Violation> {
        let disk = disk.fork();
        disk.record();
        drop(self.open(&disk)?);
        let mut recording = disk.recording();
        let ops = self.rng.below(1 + recording.op_count() as u64);
        for _ in 0..ops {
            recording.advance();
        }
        let choice = self.some_choice(&recording);
        self.deeds.crashes += 1;
        self.deeds.during_recovery += 1;
        Ok((format!("recovery crashed behind {ops} by {choice:?}"), recording.crash(choice)))
    }

    fn some_choice(&self, recording: &Recording) -> CrashChoice {
        self.one_of(&choices(&self.rng, recording)).unwrap_or(CrashChoice::KeepNone)
    }

    /// A bit of a copy of the disk flips: an error, or the same answer. The last frames of the log, which
    /// nothing bears witness for, may be taken for torn.
    fn rot(&mut self) -> Result<(), Violation> {
        let sound = self.open(&self.disk.fork())?;
        let expected = fingerprint(&*sound)?;
        drop(sound);
        for _ in 0..self.rng.below(4) {
            let disk = self.disk.fork();
            let Some((path, offset)) = self.some_byte(&disk) else { return Ok(()) };
            let bit = u8::try_from(self.rng.below(8)).unwrap_or(0);
            if disk.flip_bit(&path, offset, bit).is_err() {
                continue;
            }
            self.deeds.flips += 1;
            let found = self.setup.open(&disk).map_err(|error| error.to_string());
            let found = found.and_then(|engine| fingerprint(&*engine).map_err(|v| v.what));
            let Ok(found) = found else {
                self.deeds.flips_found += 1;
                continue;
            };
            let is_log = path.to_string_lossy().contains("/wal/");
            let what = || format!("bit {bit} of byte {offset} of {} flipped", path.display());
            if found != expected && is_log {
                self.deeds.flips_found += 1;
                let events = self.base.clone();
                let history = History { disk: disk.clone(), events };
                let engine = self.open(&disk).map_err(|v| v.within(what()))?;
                history
                    .find_prefix(&*engine, (0, self.base.len()))
                    .map_err(|v| v.within(what()))?;
            } else {
                ensure(found == expected, || format!("{}, and the answer changes", what()))?;
            }
        }
        Ok(())
    }

    /// A byte of some file.
    fn some_byte(&self, disk: &SimVfs) -> Option<(PathBuf, u64)> {
        let mut files = Vec::new();
        for directory in ["", "runs", "wal"] {
            let directory = Path::new(DIRECTORY).join(directory);
            for entry in disk.list(&directory).ok()? {
                let path = directory.join(entry.name);
                let bytes = disk.content(&path).map(|content| content.len() as u64).unwrap_or(0);
                if bytes > 0 {
                    files.push((path, bytes));
                }
            }
        }
        let place = usize::try_from(self.rng.below(files.len() as u64)).ok()?;
        let (path, bytes) = files.into_iter().nth(place)?;
        Some((path, self.rng.below(bytes)))
    }
}
