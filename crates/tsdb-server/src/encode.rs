//! Encoders of responses. Each appends to a byte buffer and knows nothing of HTTP.

pub mod csv;
pub mod json;
pub mod lines;
pub mod number;
pub mod protobuf;
pub mod results;
