//! Tests of the crate as its users see it: statements in, tables out. `answers` compares with files of
//! questions and answers, `oracle` with a naive evaluation, `pipeline` looks at what reaches the engine, `docs` asks
//! the examples of the documentation.

mod answers;
mod cancel;
mod decorated;
mod docs;
mod oracle;
mod pipeline;
mod streams;
mod support;
