//! Types, the storage seam, and the seams to the world of the time series database.
//!
//! This crate is layer 0: every other crate may depend on it, it depends on none of them. It holds
//!
//! - the data model: [`DataPoint`], [`TimeSeries`], [`Tags`], [`SeriesKey`], [`FieldSet`],
//!   [`WriteBatch`], [`TimeRange`], matchers;
//! - the storage seam: [`Append`], [`Select`], [`Snapshot`], [`Cursor`], [`Maintain`], which an engine
//!   implements and the query layer and the ingestion pipeline consume, so that neither sees the other;
//! - [`MemoryStore`], the smallest implementation of that seam and the oracle of the tests;
//! - the seams to the world ([`mod@env`]: files, clock, randomness), so that an engine can be run on a
//!   simulated disk;
//! - what all layers count and bound: limits, memory budget, counters, checksums, errors.
//!
//! It knows nothing of files' contents, of query text, of network protocols.
//!
//! Feature `test-util` adds the simulated disk and clock, the conformance suite for engines, and mistakes to plant.

pub mod batch;
pub mod budget;
pub mod cancel;
pub mod catalogue;
pub mod checksum;
pub mod counters;
pub mod env;
mod error;
pub mod field_set;
pub mod hash;
pub mod hyperloglog;
pub mod limits;
pub mod matcher;
mod memory;
pub mod planted;
mod point;
mod series;
pub mod storage;
pub mod sync;
mod tags;
mod ticket;
pub mod time;

pub use batch::WriteBatch;
pub use budget::{MemoryBudget, Pool, Reservation};
pub use cancel::CancelToken;
pub use catalogue::{Catalogue, CatalogueChange, EntryKey, NamespaceInfo};
pub use error::{Error, ErrorKind, Result};
pub use field_set::{FieldSet, FieldSetRef};
pub use memory::MemoryStore;
pub use point::{DataPoint, TimeSeries};
pub use series::{Epoch, NamespaceId, SeriesKey, SeriesRef};
pub use storage::{
    Append, Block, Column, Cursor, DeleteRequest, Maintain, Presence, ScanRequest, Select,
    Selection, Snapshot, Storage, Summary, TimeColumn,
};
pub use tags::{FIELD_TAG, NAME_TAG, TagCharset, Tags};
pub use ticket::{Completer, Ticket};
pub use time::TimeRange;
