//! The comparison of the codec's kernels with its plain code, on as many random pages as one likes.

use crate::command::Cmd;
use crate::flags::Flags;
use crate::workspace::Workspace;

/// Pages without a flag.
const PAGES: u64 = 1_000_000;

/// Pages without a flag under the address sanitizer, which takes several times as long.
const PAGES_ASAN: u64 = 50_000;

/// Pages that the gate tries.
pub const PAGES_OF_THE_GATE: u64 = 50_000;

/// The target of the sanitizer: with one named, build scripts are built without it.
const ASAN_TARGET: &str = "x86_64-unknown-linux-gnu";

/// Compares `--pages N` pages; with `--asan` under the address sanitizer, which sees every read and write that
/// a kernel makes outside of its buffers.
///
/// # Errors
/// A flag that is not known, a build that fails, a page that two ways decode differently.
pub fn run(args: &[&str]) -> Result<(), String> {
    let mut flags = Flags::new("kernels", args);
    let asan = flags.switch("--asan");
    let pages = flags.number("--pages", if asan { PAGES_ASAN } else { PAGES })?;
    flags.end()?;
    let workspace = Workspace::load()?;
    if asan { compare_under_asan(&workspace, pages) } else { compare(&workspace, pages) }
}

/// Compares so many pages, in the profile `sim`: optimised, with all debug assertions.
///
/// # Errors
/// As [`run`].
pub fn compare(workspace: &Workspace, pages: u64) -> Result<(), String> {
    test(workspace, pages).args(FILTER).run()
}

fn compare_under_asan(workspace: &Workspace, pages: u64) -> Result<(), String> {
    let target_dir = workspace.target_dir.join("asan");
    test(workspace, pages)
        .args(["--target", ASAN_TARGET, "--target-dir", &*target_dir.to_string_lossy()])
        .args(FILTER)
        // The flag is not stable; the compiler that runs everything else takes it like this.
        .env("RUSTC_BOOTSTRAP", "1")
        .env("RUSTFLAGS", "-Zsanitizer=address")
        .run()
}

/// The one test.
const FILTER: [&str; 3] = ["--", "--exact", "codec::tests::kernels::kernels_and_plain_code_agree"];

fn test(workspace: &Workspace, pages: u64) -> Cmd {
    let args = ["test", "--profile", "sim", "--package", "tsdb-lsm", "--lib"];
    Cmd::cargo(&workspace.root, args).env("TSDB_CODEC_PAGES", pages.to_string())
}
