//! A response body in the making, charged to the memory of queries until it is sent.

use axum::body::{Body, Bytes};
use tsdb_core::{Error, MemoryBudget, Pool, Reservation};

/// Bytes that are charged as they grow.
#[derive(Debug)]
pub struct Document {
    /// What there is so far.
    pub bytes: Vec<u8>,
    held: Reservation,
}

impl Document {
    /// An empty document.
    ///
    /// # Errors
    /// A budget without a pool for queries.
    pub fn new(budget: &MemoryBudget) -> Result<Document, Error> {
        Ok(Document { bytes: Vec::new(), held: budget.reserve(Pool::Queries, 0)? })
    }

    /// Takes as much of the budget as the bytes take of the memory.
    ///
    /// # Errors
    /// The memory of queries is taken.
    pub fn charge(&mut self) -> Result<(), Error> {
        self.held.grow(self.bytes.capacity().saturating_sub(self.held.bytes()))
    }

    /// The body, which gives its memory back when it has been sent.
    pub fn into_body(self) -> Body {
        Body::from(Bytes::from_owner(self))
    }
}

impl AsRef<[u8]> for Document {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}
