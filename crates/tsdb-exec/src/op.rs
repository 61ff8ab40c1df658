//! The operators of the pipeline: data collection ([`scan`]), filtering ([`filter`]), then either rows
//! ([`rows`], which may then be compared with each other, [`changes`]), aggregates ([`fold`]) or chosen rows
//! ([`choose`]). All work on whole blocks.

pub(crate) mod bits;
pub(crate) mod changes;
pub(crate) mod choose;
pub(crate) mod expr;
pub(crate) mod filter;
pub(crate) mod fold;
pub(crate) mod math;
pub(crate) mod rows;
pub(crate) mod scan;
