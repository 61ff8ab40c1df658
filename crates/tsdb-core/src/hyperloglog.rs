//! How many distinct values there are, in bounded memory: HyperLogLog (Flajolet, Fusy, Gandouet, Meunier 2007,
//! "HyperLogLog: the analysis of a near-optimal cardinality estimation algorithm") with the sparse form of HLL++ (Heule,
//! Nunkesser, Hall 2013, "HyperLogLog in practice") and the estimator of Ertl 2017 ("New cardinality estimation algorithms
//! for HyperLogLog sketches"), which needs no table of corrections.
//!
//! A sketch depends on the set of its hashes alone, not on their order or on how often each came, in its bytes too: two
//! that were united in another order are equal. Which hash is taken is up to whoever keeps sketches; only those of the same
//! hash can be united.

mod bytes;
mod estimate;

pub use bytes::DamagedSketch;
pub use estimate::rounded;

/// Registers of the dense form, 2^14: a standard error of 0.8 %.
const DENSE_BITS: u32 = 14;
const DENSE_REGISTERS: usize = 1 << DENSE_BITS;

/// Registers of the sparse form, 2^26, of which only those are kept that are not empty.
const SPARSE_BITS: u32 = 26;

/// The bits of the place of a sparse register beyond those of a dense one.
const FINER_BITS: u32 = SPARSE_BITS - DENSE_BITS;
const FINER_MASK: u32 = (1 << FINER_BITS) - 1;

/// Registers up to which a sketch is sparse: then a dense one takes no more memory.
const SPARSE_MAX: usize = 4096;

/// Highest rank in a sparse register, and in a dense one: zeros before the first one in what follows the place in a hash,
/// and one more.
const SPARSE_RANK_MAX: u8 = 64 - 26 + 1;
const DENSE_RANK_MAX: u8 = 64 - 14 + 1;

/// Bits of a rank beside the place of a sparse register.
const RANK_BITS: u32 = 6;

/// Counts distinct values by their hashes. Up to 4096 values it is right but for accidents (one value in 30 000 shares its
/// register with another one), from there on the standard error is 0.81 %.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DistinctSketch(Form);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Form {
    /// Places of registers with their ranks, ascending, each place once. A rank that the place tells by itself, once the
    /// sketch is dense, is 0.
    Sparse(Vec<u32>),
    /// Rank of each register, 0 for an empty one.
    Dense(Box<[u8]>),
}

impl Default for DistinctSketch {
    fn default() -> DistinctSketch {
        DistinctSketch(Form::Sparse(Vec::new()))
    }
}

impl DistinctSketch {
    /// Standard error of an estimate above 4096, as a share of it: sqrt(3 ln 2 - 1) / 2^7 (Ertl 2017).
    pub const STANDARD_ERROR: f64 = 0.008_12;

    /// Most memory of a sketch, in bytes, about.
    pub const MEMORY_MAX: usize = DENSE_REGISTERS + size_of::<DistinctSketch>();

    /// Nothing counted yet.
    #[must_use]
    pub fn new() -> DistinctSketch {
        DistinctSketch::default()
    }

    /// Notes a value by its hash, each bit of which must be as good as random. O(1), and O(values) up to 4096 of them,
    /// which is a copy of 8 KiB on average.
    pub fn add(&mut self, hash: u64) {
        match &mut self.0 {
            Form::Sparse(entries) => {
                put_sparse(entries, entry_of(hash));
                self.settle();
            }
            Form::Dense(registers) => {
                let rest = hash << DENSE_BITS | 1 << (DENSE_BITS - 1);
                raise(registers, hash >> (64 - DENSE_BITS), rank(rest));
            }
        }
    }

    /// Notes all values of another sketch. O(registers of both).
    pub fn unite(&mut self, other: &DistinctSketch) {
        match (&mut self.0, &other.0) {
            (Form::Sparse(mine), Form::Sparse(theirs)) => {
                *mine = merge_sparse(mine, theirs);
                self.settle();
            }
            (Form::Sparse(mine), Form::Dense(theirs)) => {
                let mut registers = theirs.clone();
                mine.iter().for_each(|entry| raise_by(&mut registers, *entry));
                self.0 = Form::Dense(registers);
            }
            (Form::Dense(mine), Form::Sparse(theirs)) => {
                theirs.iter().for_each(|entry| raise_by(mine, *entry));
            }
            (Form::Dense(mine), Form::Dense(theirs)) => {
                for (mine, theirs) in mine.iter_mut().zip(theirs) {
                    *mine = (*mine).max(*theirs);
                }
            }
        }
    }

    /// The number of distinct values. O(1), O(16384) above 4096.
    #[must_use]
    pub fn count(&self) -> u64 {
        match &self.0 {
            Form::Sparse(entries) => estimate::of_sparse(entries.len()),
            Form::Dense(registers) => estimate::of_dense(registers),
        }
    }

    /// Whether nothing was counted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        matches!(&self.0, Form::Sparse(entries) if entries.is_empty())
    }

    /// Memory in bytes.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        let own = match &self.0 {
            Form::Sparse(entries) => entries.capacity() * size_of::<u32>(),
            Form::Dense(registers) => registers.len(),
        };
        own + size_of::<DistinctSketch>()
    }

    /// Makes a sparse sketch with too many registers dense.
    fn settle(&mut self) {
        let Form::Sparse(entries) = &self.0 else { return };
        if entries.len() <= SPARSE_MAX {
            return;
        }
        let mut registers = vec![0; DENSE_REGISTERS].into_boxed_slice();
        entries.iter().for_each(|entry| raise_by(&mut registers, *entry));
        self.0 = Form::Dense(registers);
    }
}

/// Zeros before the first one, and one more.
fn rank(bits: u64) -> u8 {
    u8::try_from(bits.leading_zeros() + 1).unwrap_or(u8::MAX)
}

/// The sparse register of a hash: its place, and the rank unless the finer bits of the place tell it.
fn entry_of(hash: u64) -> u32 {
    let place = u32::try_from(hash >> (64 - SPARSE_BITS)).unwrap_or(0);
    // The bit behind the rest ends the zeros of a hash that has nothing else.
    let rest = hash << SPARSE_BITS | 1 << (SPARSE_BITS - 1);
    let rank = if place & FINER_MASK == 0 { rank(rest) } else { 0 };
    place << RANK_BITS | u32::from(rank)
}

fn place_of(entry: u32) -> u32 {
    entry >> RANK_BITS
}

/// Notes an entry among others. Of two with the same place the higher rank stays.
fn put_sparse(entries: &mut Vec<u32>, entry: u32) {
    let at = entries.partition_point(|known| place_of(*known) < place_of(entry));
    match entries.get_mut(at).filter(|known| place_of(**known) == place_of(entry)) {
        Some(known) => *known = entry.max(*known),
        None => entries.insert(at, entry),
    }
}

/// Two lists of entries as one.
fn merge_sparse(a: &[u32], b: &[u32]) -> Vec<u32> {
    let mut merged: Vec<u32> = Vec::with_capacity(a.len() + b.len());
    let (mut a, mut b) = (a.iter().peekable(), b.iter().peekable());
    let mut next = || match (a.peek(), b.peek()) {
        (Some(x), Some(y)) if x <= y => a.next(),
        (_, Some(_)) => b.next(),
        (_, None) => a.next(),
    };
    while let Some(entry) = next() {
        match merged.last_mut().filter(|last| place_of(**last) == place_of(*entry)) {
            Some(last) => *last = *entry,
            None => merged.push(*entry),
        }
    }
    merged
}

/// Raises the dense register that a sparse one belongs to.
fn raise_by(registers: &mut [u8], entry: u32) {
    let finer = place_of(entry) & FINER_MASK;
    let rank = if finer == 0 {
        let own = u8::try_from(entry & ((1 << RANK_BITS) - 1)).unwrap_or(0);
        // The finer bits are zeros, too.
        own + u8::try_from(FINER_BITS).unwrap_or(0)
    } else {
        rank(u64::from(finer) << (64 - FINER_BITS))
    };
    raise(registers, u64::from(place_of(entry) >> FINER_BITS), rank);
}

fn raise(registers: &mut [u8], place: u64, rank: u8) {
    let known = usize::try_from(place).ok().and_then(|place| registers.get_mut(place));
    if let Some(known) = known {
        *known = rank.max(*known);
    }
}

#[cfg(test)]
mod tests;
