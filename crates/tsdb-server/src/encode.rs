//! Encoders of responses. Each appends to a byte buffer and knows nothing of HTTP. Those of answers, which can
//! be large, append to an [`output::Output`].

pub mod csv;
pub mod document;
pub mod json;
pub mod lines;
mod msgpack;
pub mod number;
pub mod output;
pub mod parts;
pub mod protobuf;
pub mod results;
