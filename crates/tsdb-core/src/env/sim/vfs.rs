//! The simulated disk behind the [`Vfs`] seam: paths, handles, locks, faults. What a crash keeps is
//! decided in `crash`, what is logged and recorded stands in `record`.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt, io,
    path::{Component, Path},
    sync::Arc,
};

use parking_lot::Mutex;

use super::{
    crash::CrashChoice,
    disk::{Change, Disk, NameOp, NodeId, Op, ROOT},
    fault::{Effect, Fault, FaultError, OpKind, Schedule},
    record::{HASH_SEED, Recording, hash_op},
    time::{SimClock, SimRng},
};
use crate::env::{DirEntry, Env, FreeSpace, LockGuard, Vfs, VfsFile};

/// Size of the simulated file system when no capacity is set.
const TOTAL_BYTES: u64 = 1 << 40;

/// A simulated disk. Clones are handles of the same disk; [`fork`](Self::fork), [`kill`](Self::kill)
/// and [`crash`](Self::crash) make disks of their own.
#[derive(Clone)]
pub struct SimVfs {
    state: Arc<Mutex<State>>,
}

struct State {
    disk: Disk,
    schedule: Schedule,
    seed: u64,
    /// Operations done so far; the position in the log.
    op_count: u64,
    log_hash: u64,
    recording: Option<(Disk, u64, Vec<Op>)>,
    /// Handles per file, so that an unlinked file stays while it is open.
    open: BTreeMap<NodeId, u64>,
    locked: BTreeSet<NodeId>,
    capacity: Option<u64>,
    /// Whether `reserve` does anything.
    reserves: bool,
    free_space: Option<FreeSpace>,
}

impl SimVfs {
    /// An empty disk. The seed decides faults by chance and seeds [`env`](Self::env).
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self::with_disk(Disk::new(), seed)
    }

    pub(super) fn with_disk(disk: Disk, seed: u64) -> Self {
        let state = State {
            disk,
            schedule: Schedule::new(seed),
            seed,
            op_count: 0,
            log_hash: HASH_SEED,
            recording: None,
            open: BTreeMap::new(),
            locked: BTreeSet::new(),
            capacity: None,
            reserves: true,
            free_space: None,
        };
        Self { state: Arc::new(Mutex::new(state)) }
    }

    /// This disk with a clock that stands at 2020-09-13 12:26:40 UTC and randomness by the disk's seed.
    #[must_use]
    pub fn env(&self) -> Env {
        let seed = self.state.lock().seed;
        Env {
            vfs: Arc::new(self.clone()),
            clock: Arc::new(SimClock::new(1_600_000_000_000_000_000)),
            rng: Arc::new(SimRng::new(seed)),
        }
    }

    /// A disk of its own with the same content, durable and not; no faults, no locks, no handles.
    #[must_use]
    pub fn fork(&self) -> Self {
        let state = self.state.lock();
        Self::with_disk(state.disk.clone(), state.seed)
    }

    /// The disk as a new process finds it after the old one was killed: everything written is there,
    /// in the cache at least, and nothing more is durable than before.
    #[must_use]
    pub fn kill(&self) -> Self {
        self.fork()
    }

    /// The disk as it is found after the machine crashed now.
    #[must_use]
    pub fn crash(&self, choice: CrashChoice) -> Self {
        let state = self.state.lock();
        Self::with_disk(state.disk.crash(choice), state.seed)
    }

    /// Operations that a crash now could lose.
    #[must_use]
    pub fn pending_count(&self) -> usize {
        self.state.lock().disk.pending_count()
    }

    /// Operations done so far, each change, sync and dropped cache counting one.
    #[must_use]
    pub fn op_count(&self) -> u64 {
        self.state.lock().op_count
    }

    /// Hash of all operations so far, contents included: equal runs have equal hashes.
    #[must_use]
    pub fn log_hash(&self) -> u64 {
        self.state.lock().log_hash
    }

    /// Starts a recording here; an earlier one ends.
    pub fn record(&self) {
        let mut state = self.state.lock();
        state.recording = Some((state.disk.clone(), state.op_count, Vec::new()));
    }

    /// What happened since [`record`](Self::record); nothing if that was not called.
    #[must_use]
    pub fn recording(&self) -> Recording {
        let state = self.state.lock();
        match &state.recording {
            Some((base, first, ops)) => Recording::new(base, *first, ops.clone(), state.seed),
            None => Recording::new(&state.disk, state.op_count, Vec::new(), state.seed),
        }
    }

    /// Adds a fault to the schedule.
    pub fn add_fault(&self, fault: Fault) {
        self.state.lock().schedule.add(fault);
    }

    /// Removes all faults and the capacity.
    pub fn clear_faults(&self) {
        let mut state = self.state.lock();
        state.schedule.clear();
        state.capacity = None;
    }

    /// How many operations were struck by a fault so far.
    #[must_use]
    pub fn struck(&self) -> u64 {
        self.state.lock().schedule.struck()
    }

    /// Sets the size of the file system; writes and reservations past it fail with ENOSPC, a write
    /// after as many bytes as fit.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.state.lock().capacity = bytes;
    }

    /// Whether space can be reserved; without, `reserve` succeeds and does nothing, as on a file system
    /// that has no such call.
    pub fn set_reserves(&self, reserves: bool) {
        self.state.lock().reserves = reserves;
    }

    /// Makes `free_space` answer this, whatever is stored.
    pub fn set_free_space(&self, answer: Option<FreeSpace>) {
        self.state.lock().free_space = answer;
    }

    /// Flips one bit of a file at rest.
    ///
    /// # Errors
    /// When there is no such file or the offset is past its end.
    pub fn flip_bit(&self, path: &Path, offset: u64, bit: u8) -> io::Result<()> {
        let at = usize::try_from(offset).unwrap_or(usize::MAX);
        if at >= self.content(path)?.len() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.edit(path, |bytes| {
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= 1_u8.rotate_left(u32::from(bit));
            }
        })
    }

    /// Changes a file at rest, durably, outside of all that is logged and recorded.
    ///
    /// # Errors
    /// When there is no such file.
    pub fn edit(&self, path: &Path, change: impl Fn(&mut Vec<u8>)) -> io::Result<()> {
        let mut state = self.state.lock();
        let node = state.find_file(path)?;
        state.disk.edit(node, change);
        Ok(())
    }

    /// The bytes of a file as a reader sees them, past all faults.
    ///
    /// # Errors
    /// When there is no such file.
    pub fn content(&self, path: &Path) -> io::Result<Vec<u8>> {
        let state = self.state.lock();
        let node = state.find_file(path)?;
        Ok(state.disk.bytes(node).unwrap_or_default().to_vec())
    }

    fn open_node(&self, node: NodeId, path: &Path) -> Arc<dyn VfsFile> {
        *self.state.lock().open.entry(node).or_insert(0) += 1;
        Arc::new(SimFile { vfs: self.clone(), node, path: path.into() })
    }
}

impl fmt::Debug for SimVfs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state.lock();
        f.debug_struct("SimVfs")
            .field("seed", &state.seed)
            .field("op_count", &state.op_count)
            .finish_non_exhaustive()
    }
}

impl State {
    fn act(&mut self, op: Op) {
        self.op_count += 1;
        self.log_hash = hash_op(self.log_hash, &op);
        self.disk.apply(&op);
        if let Some((_, _, ops)) = &mut self.recording {
            ops.push(op);
        }
    }

    /// Fails when the schedule says so. Short transfers are the business of reads and writes.
    fn strike(&mut self, on: OpKind, path: &Path) -> io::Result<Option<usize>> {
        self.strike_transfer(on, path, 0)
    }

    /// As `strike`; says how many of `asked` bytes a short transfer moves.
    fn strike_transfer(
        &mut self,
        on: OpKind,
        path: &Path,
        asked: usize,
    ) -> io::Result<Option<usize>> {
        match self.schedule.strike(on, path) {
            None => Ok(None),
            Some(Effect::Short(length)) => Ok(Some(length.of(asked))),
            Some(Effect::Error(error)) => Err(error.to_io()),
        }
    }

    fn find(&self, path: &Path) -> io::Result<NodeId> {
        let mut node = ROOT;
        for name in names(path)? {
            node = self.disk.lookup(node, name).ok_or(io::ErrorKind::NotFound)?;
        }
        Ok(node)
    }

    fn find_file(&self, path: &Path) -> io::Result<NodeId> {
        let node = self.find(path)?;
        match self.disk.bytes(node) {
            Some(_) => Ok(node),
            None => Err(io::ErrorKind::IsADirectory.into()),
        }
    }

    fn find_dir(&self, path: &Path) -> io::Result<NodeId> {
        let node = self.find(path)?;
        match self.disk.entries(node) {
            Some(_) => Ok(node),
            None => Err(io::ErrorKind::NotADirectory.into()),
        }
    }

    /// The directory that holds the last component of a path, and that component.
    fn find_parent(&self, path: &Path) -> io::Result<(NodeId, String)> {
        let mut names = names(path)?;
        let name = names.pop().ok_or(io::ErrorKind::InvalidInput)?.to_owned();
        let mut node = ROOT;
        for part in names {
            node = self.disk.lookup(node, part).ok_or(io::ErrorKind::NotFound)?;
        }
        match self.disk.entries(node) {
            Some(_) => Ok((node, name)),
            None => Err(io::ErrorKind::NotADirectory.into()),
        }
    }

    /// Bytes that the file may still grow to under the capacity.
    fn room(&self, node: NodeId) -> u64 {
        match self.capacity {
            None => u64::MAX,
            Some(capacity) => {
                let others = self.disk.allocated_in_all() - self.disk.allocated(node);
                capacity.saturating_sub(others).max(self.disk.allocated(node))
            }
        }
    }

    fn reserve(&mut self, node: NodeId, path: &Path, bytes: u64) -> io::Result<()> {
        self.strike(OpKind::Reserve, path)?;
        if !self.reserves {
            return Ok(());
        }
        if bytes > self.room(node) {
            return Err(FaultError::Enospc.to_io());
        }
        self.act(Op::Reserve { node, bytes });
        Ok(())
    }
}

/// The components of a path below the root.
fn names(path: &Path) -> io::Result<Vec<&str>> {
    let mut names = Vec::new();
    for component in path.components() {
        match component {
            Component::RootDir | Component::CurDir => {}
            Component::Normal(name) => {
                names.push(name.to_str().ok_or(io::ErrorKind::InvalidInput)?)
            }
            Component::ParentDir | Component::Prefix(_) => {
                return Err(io::ErrorKind::InvalidInput.into());
            }
        }
    }
    Ok(names)
}

impl Vfs for SimVfs {
    fn create_new(&self, path: &Path, reserve_bytes: u64) -> io::Result<Arc<dyn VfsFile>> {
        let node = {
            let mut state = self.state.lock();
            state.strike(OpKind::Create, path)?;
            let (dir, name) = state.find_parent(path)?;
            if state.disk.lookup(dir, &name).is_some() {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            let node = state.disk.next_node();
            state.act(Op::Name(NameOp::Create { dir, name: name.clone(), node, is_dir: false }));
            if reserve_bytes > 0
                && let Err(error) = state.reserve(node, path, reserve_bytes)
            {
                state.act(Op::Name(NameOp::Remove { dir, name }));
                return Err(error);
            }
            node
        };
        Ok(self.open_node(node, path))
    }

    fn open_read(&self, path: &Path) -> io::Result<Arc<dyn VfsFile>> {
        let node = {
            let mut state = self.state.lock();
            state.strike(OpKind::Open, path)?;
            state.find_file(path)?
        };
        Ok(self.open_node(node, path))
    }

    fn open_rw(&self, path: &Path) -> io::Result<Arc<dyn VfsFile>> {
        self.open_read(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.state.lock();
        state.strike(OpKind::Rename, from)?;
        let node = state.find(from)?;
        let from = state.find_parent(from)?;
        let to = state.find_parent(to)?;
        if let Some(replaced) = state.disk.lookup(to.0, &to.1)
            && state.disk.entries(replaced).is_some()
        {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        state.act(Op::Name(NameOp::Move { from, to, node }));
        Ok(())
    }

    fn unlink(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state.lock();
        state.strike(OpKind::Unlink, path)?;
        state.find_file(path)?;
        let (dir, name) = state.find_parent(path)?;
        state.act(Op::Name(NameOp::Remove { dir, name }));
        Ok(())
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.state.lock();
        state.strike(OpKind::Link, from)?;
        let node = state.find_file(from)?;
        let (dir, name) = state.find_parent(to)?;
        if state.disk.lookup(dir, &name).is_some() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        state.act(Op::Name(NameOp::Link { dir, name, node }));
        Ok(())
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<DirEntry>> {
        let mut state = self.state.lock();
        state.strike(OpKind::List, dir)?;
        let dir = state.find_dir(dir)?;
        let entries = state.disk.entries(dir).into_iter().flatten();
        Ok(entries
            .map(|(name, node)| {
                let bytes = state.disk.bytes(*node);
                DirEntry {
                    name: name.clone(),
                    bytes: bytes.map_or(0, |bytes| bytes.len() as u64),
                    is_dir: bytes.is_none(),
                }
            })
            .collect())
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        match self.state.lock().find(path) {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.state.lock();
        state.strike(OpKind::CreateDir, dir)?;
        let mut at = ROOT;
        for name in names(dir)? {
            if state.disk.entries(at).is_none() {
                return Err(io::ErrorKind::NotADirectory.into());
            }
            at = match state.disk.lookup(at, name) {
                Some(node) => node,
                None => {
                    let node = state.disk.next_node();
                    let name = name.to_owned();
                    state.act(Op::Name(NameOp::Create { dir: at, name, node, is_dir: true }));
                    node
                }
            };
        }
        match state.disk.entries(at) {
            Some(_) => Ok(()),
            None => Err(io::ErrorKind::AlreadyExists.into()),
        }
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.state.lock();
        let node = state.find_dir(dir)?;
        let struck = state.strike(OpKind::SyncDir, dir);
        state.act(Op::SyncDir { dir: node, failed: struck.is_err() });
        let State { disk, open, .. } = &mut *state;
        disk.collect_garbage(|node| open.contains_key(&node));
        struck.map(|_| ())
    }

    fn free_space(&self, _dir: &Path) -> io::Result<FreeSpace> {
        let state = self.state.lock();
        if let Some(answer) = state.free_space {
            return Ok(answer);
        }
        let total = state.capacity.unwrap_or(TOTAL_BYTES);
        Ok(FreeSpace { free: total.saturating_sub(state.disk.allocated_in_all()), total })
    }

    fn lock(&self, dir: &Path) -> io::Result<LockGuard> {
        let mut state = self.state.lock();
        let dir = state.find_dir(dir)?;
        let node = match state.disk.lookup(dir, "LOCK") {
            Some(node) => node,
            None => {
                let node = state.disk.next_node();
                let name = "LOCK".to_owned();
                state.act(Op::Name(NameOp::Create { dir, name, node, is_dir: false }));
                node
            }
        };
        if !state.locked.insert(node) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(Box::new(SimLock { vfs: self.clone(), node }))
    }
}

/// Holds the lock on a simulated directory.
struct SimLock {
    vfs: SimVfs,
    node: NodeId,
}

impl Drop for SimLock {
    fn drop(&mut self) {
        self.vfs.state.lock().locked.remove(&self.node);
    }
}

/// An open file of a simulated disk.
#[derive(Debug)]
struct SimFile {
    vfs: SimVfs,
    node: NodeId,
    path: Box<Path>,
}

impl Drop for SimFile {
    fn drop(&mut self) {
        let mut state = self.vfs.state.lock();
        if let Some(count) = state.open.get_mut(&self.node) {
            *count -= 1;
            if *count == 0 {
                state.open.remove(&self.node);
            }
        }
    }
}

impl SimFile {
    fn sync(&self) -> io::Result<()> {
        let mut state = self.vfs.state.lock();
        let struck = state.strike(OpKind::Sync, &self.path);
        state.act(Op::SyncFile { node: self.node, failed: struck.is_err() });
        match struck {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                Err(FaultError::Eio.to_io())
            }
            other => other.map(|_| ()),
        }
    }
}

impl VfsFile for SimFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut state = self.vfs.state.lock();
        let struck = state.strike_transfer(OpKind::Read, &self.path, buffer.len())?;
        let count_max = struck.unwrap_or(buffer.len());
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        let bytes = state.disk.bytes(self.node).and_then(|bytes| bytes.get(start..));
        let bytes = bytes.unwrap_or_default();
        let count = bytes.len().min(buffer.len()).min(count_max);
        if let (Some(to), Some(from)) = (buffer.get_mut(..count), bytes.get(..count)) {
            to.copy_from_slice(from);
        }
        Ok(count)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        let mut state = self.vfs.state.lock();
        let struck = state.strike_transfer(OpKind::Write, &self.path, bytes.len())?;
        let room = state.room(self.node).saturating_sub(offset);
        let count = struck.unwrap_or(bytes.len()).min(usize::try_from(room).unwrap_or(usize::MAX));
        if room == 0 && !bytes.is_empty() {
            return Err(FaultError::Enospc.to_io());
        }
        let bytes = bytes.get(..count).unwrap_or_default();
        if !bytes.is_empty() {
            let change = Change::Write { offset, bytes: bytes.into() };
            state.act(Op::Data { node: self.node, change });
        }
        Ok(count)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.sync()
    }

    fn sync_all(&self) -> io::Result<()> {
        self.sync()
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        let mut state = self.vfs.state.lock();
        state.strike(OpKind::SetLen, &self.path)?;
        state.act(Op::Data { node: self.node, change: Change::SetLen(bytes) });
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        let state = self.vfs.state.lock();
        Ok(state.disk.bytes(self.node).map_or(0, |bytes| bytes.len() as u64))
    }

    fn reserve(&self, bytes: u64) -> io::Result<()> {
        self.vfs.state.lock().reserve(self.node, &self.path, bytes)
    }

    fn drop_cache(&self) -> io::Result<()> {
        self.vfs.state.lock().act(Op::DropCache { node: self.node });
        Ok(())
    }
}
