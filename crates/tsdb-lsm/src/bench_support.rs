//! Inner pieces by plain functions, for the benches of this crate: the codecs of columns and one
//! generation of the memtable. Nothing is decided here, and nothing but a bench may use it.

use tsdb_core::storage::TimeColumn;
use tsdb_core::{MemoryBudget, TimeRange, WriteBatch};

use crate::bytes::Reader;
use crate::codec;
use crate::memtable::{Generation, Wanted};
use crate::work::Work;

/// One open generation of rows, without log, checks and visibility.
#[derive(Debug)]
pub struct Memtable {
    generation: Generation,
    last_seq: u64,
}

impl Memtable {
    /// Without rows. Blocks are charged to `budget`, beyond its limit if need be.
    #[must_use]
    pub fn new(budget: MemoryBudget) -> Memtable {
        Memtable { generation: Generation::new(1, 0, budget), last_seq: 0 }
    }

    /// Copies the rows of a batch, as the engine does once the batch has its number. O(values).
    pub fn append(&mut self, batch: &WriteBatch) {
        self.last_seq += 1;
        self.generation.apply(self.last_seq, batch);
    }

    /// Sorts all rows by series and time, as a flush does first, and returns the number of series.
    #[must_use]
    pub fn sort(&self) -> usize {
        let mut work = Work::of_the_engine();
        let all = TimeRange::all();
        let index = self.generation.index(&Wanted::All, self.last_seq, all, &mut work);
        index.map_or(0, |index| index.series().count())
    }
}

/// Appends the encoding of `values`, at least one, to `out`.
pub fn encode_values(values: &[f64], out: &mut Vec<u8>) {
    codec::encode_values(values, out);
}

/// Appends the `count` values that `bytes` begin with to `out`.
///
/// # Errors
/// What is wrong with the bytes.
pub fn decode_values(bytes: &[u8], count: usize, out: &mut Vec<f64>) -> Result<(), &'static str> {
    codec::decode_values(&mut Reader::new(bytes), count, out).map_err(|malformed| malformed.what)
}

/// Appends the encoding of strictly increasing `times` in ns, at least one, to `out`.
pub fn encode_times(times: &[i64], out: &mut Vec<u8>) {
    codec::encode_times(times, out);
}

/// Puts the `count` timestamps that `bytes` begin with into `out`.
///
/// # Errors
/// What is wrong with the bytes.
pub fn decode_times(bytes: &[u8], count: usize, out: &mut TimeColumn) -> Result<(), &'static str> {
    codec::decode_times(&mut Reader::new(bytes), count, out).map_err(|malformed| malformed.what)
}
