//! Tests of the crate as its users see it: statements in, tables out. `answers` compares with files of
//! questions and answers, `oracle` with a naive evaluation, `pipeline` looks at what reaches the engine, `docs` asks
//! the examples of the documentation, `into` writes to a store that does not take everything.

mod answers;
mod cancel;
mod continuous;
mod decorated;
mod docs;
mod into;
mod oracle;
mod pipeline;
mod streams;
pub(crate) mod support;
