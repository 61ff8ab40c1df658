//! The binary `tsdb-server`: the allocator and the exit code. Everything else is in the library.

use std::process::ExitCode;

/// Parsing and encoding allocate many short-lived buffers on many threads, where mimalloc takes about
/// half the time of glibc's allocator and keeps less memory back. Without transparent huge pages (feature
/// `no_thp`): with them a few used bytes keep two megabytes.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Freed memory goes back to the kernel after so long, in ms, and not after a second: a burst of queries
/// would stand beside the next one, in a process whose budget has long counted it as free. With 100 ms hostile
/// queries had up to 560 MiB resident on two fast cores where 170 are managed, with 25 ms 460. Less would take
/// the memory from under the next request: with 10 ms, a fifth of the time of ingestion went into pages that
/// the kernel had to clear again; with 25 ms, a tenth of that of rows of one value.
const PURGE_DELAY_MS: std::ffi::c_long = 25;

/// Number of the option in `mimalloc.h`; the bindings do not name it.
const PURGE_DELAY: libmimalloc_sys::mi_option_t = 15;

fn main() -> ExitCode {
    #[expect(unsafe_code, reason = "the option has no safe binding")]
    // SAFETY: sets a number in a table of the allocator, which checks the option's; no thread runs yet.
    unsafe {
        libmimalloc_sys::mi_option_set(PURGE_DELAY, PURGE_DELAY_MS);
    }
    tsdb_server::main(std::env::args_os())
}
