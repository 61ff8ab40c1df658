//! The binary `tsdb-server`: the allocator and the exit code. Everything else is in the library.

use std::process::ExitCode;

/// Parsing and encoding allocate many short-lived buffers on many threads, where mimalloc takes about
/// half the time of glibc's allocator and keeps less memory back.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    tsdb_server::main(std::env::args_os())
}
