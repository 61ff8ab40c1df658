//! Encoders of responses. Each appends to a byte buffer and knows nothing of HTTP.

pub mod json;
pub mod number;
pub mod results;
