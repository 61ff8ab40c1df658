//! A server in a narrow place: with a limit on its memory or its open files, on a small disk of its own;
//! and what the kernel says about its memory.
//!
//! The limits are those of the shell (`ulimit`), set before the server's first instruction. Memory is
//! limited by `ulimit -d` (`RLIMIT_DATA`), which counts every private writable mapping: heap, stacks of
//! threads, and what the allocator has mapped and does not use. A server that meets it is not killed; its
//! next allocation fails, which ends it. `ulimit -v` counts reserved addresses too, of which an allocator
//! takes gigabytes. What is resident, [`Footprint`] tells.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::server::{binary, command};

/// What a server may have.
#[derive(Debug, Clone, Copy, Default)]
pub struct Limits {
    /// Private writable memory in bytes.
    pub data_bytes: Option<u64>,
    /// Open files.
    pub files: Option<u64>,
}

impl Limits {
    /// The command that starts a server on `data_dir` and a free port within these limits.
    pub fn command(self, data_dir: &Path, flags: &[&str]) -> Command {
        let mut script = String::new();
        if let Some(bytes) = self.data_bytes {
            script.push_str(&format!("ulimit -d {} && ", bytes >> 10));
        }
        if let Some(files) = self.files {
            script.push_str(&format!("ulimit -n {files} && "));
        }
        script.push_str("exec \"$0\" \"$@\"");
        let mut shell = Command::new("sh");
        shell.env_clear().args(["-c", &script]);
        with_server(shell, data_dir, flags)
    }
}

/// `prefix` with the program and the arguments of a server behind its own.
fn with_server(mut prefix: Command, data_dir: &Path, flags: &[&str]) -> Command {
    let server = command(data_dir, flags);
    prefix.arg(server.get_program()).args(server.get_args());
    prefix
}

/// A disk of a few MiB that only the server sees: a tmpfs in a mount namespace of its own.
#[derive(Debug)]
pub struct SmallDisk {
    mount_point: PathBuf,
    mib: u64,
}

impl SmallDisk {
    /// A disk of `mib` MiB at `mount_point`, an empty directory. It comes to life with the server, and
    /// goes with it.
    ///
    /// # Errors
    /// Why this machine does not allow it, and what would.
    pub fn new(mount_point: &Path, mib: u64) -> Result<SmallDisk, String> {
        let disk = SmallDisk { mount_point: mount_point.to_owned(), mib };
        let mut trial = disk.shell("true");
        match trial.arg(binary()).output() {
            Ok(done) if done.status.success() => Ok(disk),
            Ok(done) => Err(format!(
                "unshare cannot mount a tmpfs ({}): run as root, or allow user namespaces \
                 (sysctl kernel.unprivileged_userns_clone=1, kernel.apparmor_restrict_unprivileged_userns=0)",
                String::from_utf8_lossy(&done.stderr).trim()
            )),
            Err(cause) => Err(format!("unshare does not start ({cause}): install util-linux")),
        }
    }

    fn shell(&self, then: &str) -> Command {
        let mut shell = Command::new("unshare");
        shell.env_clear().args(["--user", "--map-root-user", "--mount", "sh", "-c"]);
        let mount_point = self.mount_point.display();
        shell.arg(format!("mount -t tmpfs -o size={}m none '{mount_point}' && {then}", self.mib));
        shell
    }

    /// The command that starts a server whose data lies on this disk.
    pub fn command(&self, flags: &[&str]) -> Command {
        with_server(self.shell("exec \"$0\" \"$@\""), &self.mount_point.join("data"), flags)
    }

    /// The disk as seen from outside, while process `id` lives on it.
    pub fn seen_through(&self, id: u32) -> PathBuf {
        let inside = self.mount_point.strip_prefix("/").unwrap_or(&self.mount_point);
        Path::new("/proc").join(id.to_string()).join("root").join(inside)
    }
}

/// Memory of a process in bytes, in the kernel's words.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Footprint {
    /// Resident now (`VmRSS`).
    pub resident: u64,
    /// Resident at most, ever (`VmHWM`).
    pub resident_peak: u64,
    /// Private writable mappings (`VmData`): what `RLIMIT_DATA` bounds.
    pub data: u64,
    /// Threads.
    pub threads: u64,
}

impl Footprint {
    /// Of a process that lives.
    pub fn of(id: u32) -> Option<Footprint> {
        let status = fs::read_to_string(format!("/proc/{id}/status")).ok()?;
        let number = |name: &str| {
            let line = status.lines().find(|line| line.starts_with(name))?;
            line.split_whitespace().nth(1)?.parse::<u64>().ok()
        };
        Some(Footprint {
            resident: number("VmRSS:")? << 10,
            resident_peak: number("VmHWM:")? << 10,
            data: number("VmData:")? << 10,
            threads: number("Threads:")?,
        })
    }

    /// The larger of each figure.
    #[must_use]
    pub fn max(self, other: Footprint) -> Footprint {
        Footprint {
            resident: self.resident.max(other.resident),
            resident_peak: self.resident_peak.max(other.resident_peak),
            data: self.data.max(other.data),
            threads: self.threads.max(other.threads),
        }
    }
}

impl fmt::Display for Footprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Footprint { resident_peak, data, threads, .. } = self;
        let (peak, data) = (resident_peak >> 20, data >> 20);
        write!(f, "{peak} MiB resident at most, {data} MiB of private mappings, {threads} threads")
    }
}

/// Open files of a process.
pub fn open_files(id: u32) -> usize {
    fs::read_dir(format!("/proc/{id}/fd")).map_or(0, Iterator::count)
}
