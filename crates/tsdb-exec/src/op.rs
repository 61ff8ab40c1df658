//! The operators of the pipeline: data collection ([`scan`]), filtering ([`filter`]), then either rows
//! ([`rows`]), aggregates ([`fold`]), chosen rows ([`choose`], [`choose_many`]) or what functions along the points
//! need ([`streams`]). All work on whole blocks.

pub(crate) mod bits;
pub(crate) mod choose;
pub(crate) mod choose_many;
pub(crate) mod expr;
pub(crate) mod filter;
pub(crate) mod fold;
pub(crate) mod math;
pub(crate) mod rows;
pub(crate) mod scan;
pub(crate) mod streams;
