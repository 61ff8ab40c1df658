//! The disk as data: what is durable, what is pending, and what a crash leaves of it. Pure: no faults,
//! no locks, no paths beyond one directory lookup at a time. Which pending operations a crash keeps,
//! and how it tears them, is decided in `crash`.
//!
//! All changes come as [`Op`]s, so that a recorded run can be replayed up to any operation.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::crash::{CrashChoice, Decider};

pub(super) type NodeId = u64;

/// The directory that is always there.
pub(super) const ROOT: NodeId = 0;

/// One change of the disk.
#[derive(Clone, Debug)]
pub(super) enum Op {
    Name(NameOp),
    Data { node: NodeId, change: Change },
    SyncFile { node: NodeId, failed: bool },
    SyncDir { dir: NodeId, failed: bool },
    DropCache { node: NodeId },
    Reserve { node: NodeId, bytes: u64 },
}

/// A change of directories; atomic.
#[derive(Clone, Debug)]
pub(super) enum NameOp {
    Create { dir: NodeId, name: String, node: NodeId, is_dir: bool },
    Link { dir: NodeId, name: String, node: NodeId },
    Remove { dir: NodeId, name: String },
    Move { from: (NodeId, String), to: (NodeId, String), node: NodeId },
}

impl NameOp {
    fn touches(&self, dirs: &[NodeId]) -> bool {
        let (first, second) = self.dirs();
        dirs.contains(&first) || dirs.contains(&second)
    }

    pub(super) fn dirs(&self) -> (NodeId, NodeId) {
        match self {
            Self::Create { dir, .. } | Self::Link { dir, .. } | Self::Remove { dir, .. } => {
                (*dir, *dir)
            }
            Self::Move { from, to, .. } => (from.0, to.0),
        }
    }
}

/// A change of a file's bytes.
#[derive(Clone, Debug)]
pub(super) enum Change {
    Write { offset: u64, bytes: Arc<[u8]> },
    SetLen(u64),
}

#[derive(Clone, Debug)]
struct Pending<T> {
    /// Position in the order of all operations.
    index: u64,
    op: T,
    /// A failed sync took it for clean: it can be read, and is gone after a crash.
    lost: bool,
}

#[derive(Clone, Debug, Default)]
struct DirNode {
    current: BTreeMap<String, NodeId>,
    durable: BTreeMap<String, NodeId>,
}

#[derive(Clone, Debug, Default)]
struct FileNode {
    /// What a read returns.
    current: Arc<Vec<u8>>,
    durable: Arc<Vec<u8>>,
    pending: Vec<Pending<Change>>,
    reserved: u64,
}

#[derive(Clone, Debug)]
enum Node {
    File(FileNode),
    Dir(DirNode),
}

/// The state of the disk.
#[derive(Clone, Debug)]
pub(super) struct Disk {
    nodes: BTreeMap<NodeId, Node>,
    names: Vec<Pending<NameOp>>,
    next_node: NodeId,
    applied: u64,
}

impl Disk {
    pub(super) fn new() -> Self {
        Self {
            nodes: BTreeMap::from([(ROOT, Node::Dir(DirNode::default()))]),
            names: Vec::new(),
            next_node: ROOT + 1,
            applied: 0,
        }
    }

    /// The number that the next created node must use.
    pub(super) fn next_node(&self) -> NodeId {
        self.next_node
    }

    pub(super) fn lookup(&self, dir: NodeId, name: &str) -> Option<NodeId> {
        self.entries(dir)?.get(name).copied()
    }

    /// The entries of a directory as readers see them; `None` for a file.
    pub(super) fn entries(&self, dir: NodeId) -> Option<&BTreeMap<String, NodeId>> {
        match self.nodes.get(&dir)? {
            Node::Dir(dir) => Some(&dir.current),
            Node::File(_) => None,
        }
    }

    /// The bytes of a file as readers see them; `None` for a directory.
    pub(super) fn bytes(&self, node: NodeId) -> Option<&[u8]> {
        match self.nodes.get(&node)? {
            Node::File(file) => Some(&file.current),
            Node::Dir(_) => None,
        }
    }

    /// Bytes that a file takes: its length, or what is reserved for it.
    pub(super) fn allocated(&self, node: NodeId) -> u64 {
        match self.nodes.get(&node) {
            Some(Node::File(file)) => file.reserved.max(file.current.len() as u64),
            _ => 0,
        }
    }

    /// Bytes that all named files take.
    pub(super) fn allocated_in_all(&self) -> u64 {
        self.reachable(|dir| vec![&dir.current]).iter().map(|node| self.allocated(*node)).sum()
    }

    /// Operations that a crash may still lose.
    pub(super) fn pending_count(&self) -> usize {
        self.pending_order().len()
    }

    /// Changes a file as rot or an operator does: what is durable and what is read.
    pub(super) fn edit(&mut self, node: NodeId, change: impl Fn(&mut Vec<u8>)) {
        if let Some(Node::File(file)) = self.nodes.get_mut(&node) {
            change(Arc::make_mut(&mut file.durable));
            change(Arc::make_mut(&mut file.current));
        }
    }

    /// Carries out one operation. Those that make no sense (a write to a directory) do nothing.
    pub(super) fn apply(&mut self, op: &Op) {
        self.applied += 1;
        match op {
            Op::Name(op) => self.apply_name(op),
            Op::Data { node, change } => {
                let index = self.applied;
                if let Some(file) = self.file_mut(*node) {
                    change.apply(Arc::make_mut(&mut file.current));
                    file.pending.push(Pending { index, op: change.clone(), lost: false });
                }
            }
            Op::SyncFile { node, failed } => {
                if let Some(file) = self.file_mut(*node) {
                    file.sync(*failed);
                }
            }
            // A failed directory sync leaves open what is durable: all of it stays pending.
            Op::SyncDir { failed: true, .. } => {}
            Op::SyncDir { dir, failed: false } => self.sync_dir(*dir),
            Op::DropCache { node } => {
                if let Some(file) = self.file_mut(*node) {
                    file.drop_cache();
                }
            }
            Op::Reserve { node, bytes } => {
                if let Some(file) = self.file_mut(*node) {
                    file.reserved = file.reserved.max(*bytes);
                }
            }
        }
    }

    fn file_mut(&mut self, node: NodeId) -> Option<&mut FileNode> {
        match self.nodes.get_mut(&node)? {
            Node::File(file) => Some(file),
            Node::Dir(_) => None,
        }
    }

    fn apply_name(&mut self, op: &NameOp) {
        if let NameOp::Create { node, is_dir, .. } = op {
            let empty = if *is_dir {
                Node::Dir(DirNode::default())
            } else {
                Node::File(FileNode::default())
            };
            self.nodes.insert(*node, empty);
            self.next_node = self.next_node.max(node + 1);
        }
        self.change_entries(op, |dir| &mut dir.current);
        self.names.push(Pending { index: self.applied, op: op.clone(), lost: false });
    }

    fn change_entries(
        &mut self,
        op: &NameOp,
        view: impl Fn(&mut DirNode) -> &mut BTreeMap<String, NodeId>,
    ) {
        let mut edit = |dir: NodeId, name: &str, node: Option<NodeId>| {
            if let Some(Node::Dir(dir)) = self.nodes.get_mut(&dir) {
                match node {
                    Some(node) => view(dir).insert(name.to_owned(), node),
                    None => view(dir).remove(name),
                };
            }
        };
        match op {
            NameOp::Create { dir, name, node, .. } | NameOp::Link { dir, name, node } => {
                edit(*dir, name, Some(*node));
            }
            NameOp::Remove { dir, name } => edit(*dir, name, None),
            NameOp::Move { from, to, node } => {
                edit(from.0, &from.1, None);
                edit(to.0, &to.1, Some(*node));
            }
        }
    }

    /// Makes the pending operations on a directory durable, with the earlier ones on directories that
    /// they share: a journal does not commit the later without the earlier.
    fn sync_dir(&mut self, dir: NodeId) {
        let mut dirs = vec![dir];
        let mut due = Vec::new();
        for at in (0..self.names.len()).rev() {
            if self.names.get(at).is_some_and(|name| name.op.touches(&dirs)) {
                let name = self.names.remove(at);
                let (first, second) = name.op.dirs();
                dirs.extend([first, second]);
                due.push(name);
            }
        }
        for name in due.iter().rev() {
            self.change_entries(&name.op, |dir| &mut dir.durable);
        }
    }

    /// Forgets files that no directory names, now or after any crash, and that nobody holds open.
    pub(super) fn collect_garbage(&mut self, is_open: impl Fn(NodeId) -> bool) {
        let mut live = self.reachable(|dir| vec![&dir.current, &dir.durable]);
        for name in &self.names {
            match &name.op {
                NameOp::Create { node, .. }
                | NameOp::Link { node, .. }
                | NameOp::Move { node, .. } => {
                    live.insert(*node);
                }
                NameOp::Remove { .. } => {}
            }
        }
        self.nodes.retain(|node, kind| {
            matches!(kind, Node::Dir(_)) || live.contains(node) || is_open(*node)
        });
    }

    /// The nodes that can be reached from the root through the given view of each directory.
    fn reachable<'a>(
        &'a self,
        views: impl Fn(&'a DirNode) -> Vec<&'a BTreeMap<String, NodeId>>,
    ) -> BTreeSet<NodeId> {
        let mut found = BTreeSet::from([ROOT]);
        let mut open = vec![ROOT];
        while let Some(node) = open.pop() {
            if let Some(Node::Dir(dir)) = self.nodes.get(&node) {
                for child in views(dir).into_iter().flat_map(BTreeMap::values) {
                    if found.insert(*child) {
                        open.push(*child);
                    }
                }
            }
        }
        found
    }

    /// The disk as it is found after a crash now.
    pub(super) fn crash(&self, choice: CrashChoice) -> Disk {
        let mut after = self.clone();
        for node in after.nodes.values_mut() {
            match node {
                Node::Dir(dir) => dir.current.clone_from(&dir.durable),
                Node::File(file) => {
                    file.pending.clear();
                    file.reserved = 0;
                }
            }
        }
        after.names.clear();
        let mut decide = Decider::new(choice);
        for (position, item) in self.pending_order().into_iter().enumerate() {
            match item {
                Item::Name(op) => {
                    if decide.name(position, op) {
                        after.change_entries(op, |dir| &mut dir.durable);
                    }
                }
                Item::Data { node, change, lost, left_in_file } => {
                    let fate = decide.data(position, node, lost, left_in_file);
                    if let Some(file) = after.file_mut(node) {
                        change.apply_fate(Arc::make_mut(&mut file.durable), &fate);
                    }
                }
            }
        }
        for node in after.nodes.values_mut() {
            match node {
                Node::Dir(dir) => dir.current.clone_from(&dir.durable),
                Node::File(file) => file.current = Arc::clone(&file.durable),
            }
        }
        let live = after.reachable(|dir| vec![&dir.current]);
        after.nodes.retain(|node, _| live.contains(node));
        after
    }

    /// All that is pending, in the order in which it was done.
    fn pending_order(&self) -> Vec<Item<'_>> {
        let mut items: Vec<(u64, Item<'_>)> =
            self.names.iter().map(|name| (name.index, Item::Name(&name.op))).collect();
        for (node, kind) in &self.nodes {
            let Node::File(file) = kind else { continue };
            for (at, pending) in file.pending.iter().enumerate() {
                let left_in_file = file.pending.len() - at;
                items.push((
                    pending.index,
                    Item::Data {
                        node: *node,
                        change: &pending.op,
                        lost: pending.lost,
                        left_in_file,
                    },
                ));
            }
        }
        items.sort_by_key(|(index, _)| *index);
        items.into_iter().map(|(_, item)| item).collect()
    }
}

impl FileNode {
    fn sync(&mut self, failed: bool) {
        if failed {
            for pending in &mut self.pending {
                pending.lost = true;
            }
            return;
        }
        let durable = Arc::make_mut(&mut self.durable);
        // What an earlier failure lost stays lost: nothing writes it any more.
        for pending in self.pending.drain(..).filter(|pending| !pending.lost) {
            pending.op.apply(durable);
        }
    }

    fn drop_cache(&mut self) {
        let length = self.current.len();
        let mut seen = Vec::clone(&self.durable);
        self.pending.retain(|pending| !pending.lost);
        for pending in &self.pending {
            pending.op.apply(&mut seen);
        }
        // The kernel keeps the length in memory; what it has no block for reads as zeros.
        if seen.len() < length {
            seen.resize(length, 0);
        }
        if seen != *self.current {
            self.current = Arc::new(seen);
        }
    }
}

enum Item<'a> {
    Name(&'a NameOp),
    Data { node: NodeId, change: &'a Change, lost: bool, left_in_file: usize },
}
