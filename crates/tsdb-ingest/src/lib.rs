//! Formats in, rows out: line protocol parsing, validation and the pipeline into a store.
