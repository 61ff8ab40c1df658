//! Inner pieces by plain functions, for the benches of this crate and for fuzzing: the codecs of columns and
//! one generation of the memtable. Nothing is decided here, and nothing else may use it.

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

pub use codec::datasets::{DataSet, time_sets, value_sets};

/// What a series' last columns were encoded as.
#[derive(Debug, Clone, Copy, Default)]
pub struct Memo(codec::Memo);

/// Appends the encoding of `values`, at least one, to `out`.
pub fn encode_values(values: &[f64], memo: &mut Memo, out: &mut Vec<u8>) {
    codec::encode_values(values, &mut memo.0, out);
}

/// Appends the encoding of whole numbers below 2^51 as decimals of kind P (bit packing), which the encoder
/// takes where it is hardly longer than kind H.
pub fn encode_packed(values: &[f64], out: &mut Vec<u8>) {
    codec::encode_packed(values, out);
}

/// Appends the `count` values that `bytes` are to `out`.
///
/// # Errors
/// What is wrong with the bytes.
pub fn decode_values(bytes: &[u8], count: usize, out: &mut Vec<f64>) -> Result<(), &'static str> {
    codec::decode_values(&mut Reader::new(bytes), count, out).map_err(|malformed| malformed.what)
}

/// Sum, smallest and largest of the `count` values that `bytes` are; `None` if one is NaN.
///
/// # Errors
/// What is wrong with the bytes.
pub fn summarise_values(
    bytes: &[u8],
    count: usize,
) -> Result<Option<(f64, f64, f64)>, &'static str> {
    match codec::summarise_values(&mut Reader::new(bytes), count) {
        Ok(summary) => Ok(summary.map(|summary| (summary.sum, summary.min, summary.max))),
        Err(malformed) => Err(malformed.what),
    }
}

/// Decodes any bytes as columns of all sorts.
///
/// # Panics
/// If what comes out is not what was asked for.
pub fn decode_anything(bytes: &[u8]) {
    codec::decode_anything(bytes);
}

/// Appends the encoding of strictly increasing `times` in ns, at least one, to `out`.
pub fn encode_times(times: &[i64], out: &mut Vec<u8>) {
    codec::encode_times(times, out);
}

/// Puts the `count` timestamps that `bytes` are into `out`.
///
/// # Errors
/// What is wrong with the bytes.
pub fn decode_times(bytes: &[u8], count: usize, out: &mut TimeColumn) -> Result<(), &'static str> {
    codec::decode_times(&mut Reader::new(bytes), count, out).map_err(|malformed| malformed.what)
}
