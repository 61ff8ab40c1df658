//! What another process uses: CPU, memory and files from /proc, disk by the length of its files.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::time::{ClockId, clock_gettime};

/// CPU and memory of a process.
#[derive(Debug, Clone, Copy, Default)]
pub struct Usage {
    /// CPU time of all its threads, those that have ended included, in seconds.
    pub cpu_s: f64,
    /// Highest resident memory so far, in bytes.
    pub rss_peak_bytes: u64,
}

/// Reads the usage of process `pid`. Live threads count to the nanosecond (schedstat), ended ones in
/// clock ticks (the difference between the process's total and the sum over its threads).
///
/// # Errors
/// A process that does not exist or may not be looked at.
pub fn usage(pid: u32) -> Result<Usage, String> {
    let read = |name: &str| {
        let path = format!("/proc/{pid}/{name}");
        fs::read_to_string(&path).map_err(|error| format!("cannot read {path}: {error}"))
    };
    let mut live_ns = 0u64;
    let mut live_ticks = 0u64;
    let tasks = format!("/proc/{pid}/task");
    let entries = fs::read_dir(&tasks).map_err(|error| format!("cannot list {tasks}: {error}"))?;
    for entry in entries.flatten() {
        // A thread may end between the listing and here; its time is in the total then.
        let schedstat = fs::read_to_string(entry.path().join("schedstat")).unwrap_or_default();
        live_ns += schedstat.split(' ').next().and_then(|n| n.parse().ok()).unwrap_or(0);
        let stat = fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        live_ticks += ticks(&stat);
    }
    let ended_ticks = ticks(&read("stat")?).saturating_sub(live_ticks);
    let peak = read("status")?
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .and_then(|rest| rest.trim().strip_suffix("kB")?.trim().parse::<u64>().ok())
        .unwrap_or(0);
    Ok(Usage {
        cpu_s: live_ns as f64 / 1e9 + ended_ticks as f64 / TICKS_PER_SECOND,
        rss_peak_bytes: peak * 1024,
    })
}

/// CPU time of this process, in seconds, to the nanosecond also for threads that have ended.
pub fn own_cpu_s() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// Forgets the highest resident memory so far, so that [`usage`] tells that of what comes next.
///
/// # Errors
/// A kernel without this facility, or a process of somebody else.
pub fn reset_peak(pid: u32) -> Result<(), String> {
    let path = format!("/proc/{pid}/clear_refs");
    // 5 resets the peak alone; the other numbers clear bits of pages (proc_pid_clear_refs(5)).
    fs::write(&path, "5").map_err(|error| format!("cannot write {path}: {error}"))
}

/// How many files, sockets among them, process `pid` has open.
///
/// # Errors
/// A process that does not exist or may not be looked at.
pub fn open_files(pid: u32) -> Result<usize, String> {
    let path = format!("/proc/{pid}/fd");
    let entries = fs::read_dir(&path).map_err(|error| format!("cannot list {path}: {error}"))?;
    Ok(entries.count())
}

/// Bytes of all files below `dir`, by their length; of files with holes, which some servers make ahead of
/// their data, what is allocated. Files that vanish meanwhile do not count.
pub fn length_of(dir: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(dir) else { return 0 };
    let length = |entry: fs::DirEntry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => length_of(&entry.path()),
        // Blocks of stat(2) have 512 bytes on every file system.
        Ok(metadata) => metadata.len().min(metadata.blocks() * 512),
        Err(_) => 0,
    };
    entries.flatten().map(length).sum()
}

/// USER_HZ, fixed by the kernel's ABI on the architectures that we run on.
const TICKS_PER_SECOND: f64 = 100.0;

/// utime + stime of a stat line: the 14th and 15th field, counted behind the name in parentheses.
fn ticks(stat: &str) -> u64 {
    let behind_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    behind_name.split_whitespace().skip(11).take(2).filter_map(|n| n.parse::<u64>().ok()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_usage_grows() {
        let before = usage(std::process::id()).unwrap();
        let mut x = 1u64;
        for i in 0..20_000_000u64 {
            x = x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(i);
        }
        assert_ne!(x, 0);
        assert!(own_cpu_s() > 0.0);
        let after = usage(std::process::id()).unwrap();
        assert!(after.cpu_s > before.cpu_s);
        assert!(after.rss_peak_bytes > 0);
    }

    #[test]
    fn files_count_by_length_and_descriptors_by_number() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("sub")).unwrap();
        fs::write(dir.path().join("sub/a"), [0; 700]).unwrap();
        fs::write(dir.path().join("b"), [0; 11]).unwrap();
        let sparse = fs::File::create(dir.path().join("c")).unwrap();
        sparse.set_len(1 << 30).unwrap();
        assert_eq!(length_of(dir.path()), 711, "holes are not stored");
        let before = open_files(std::process::id()).unwrap();
        let files: Vec<_> =
            (0..20).map(|_| fs::File::open(dir.path().join("b")).unwrap()).collect();
        assert!(open_files(std::process::id()).unwrap() + 10 > before + files.len());
    }

    #[test]
    fn names_with_spaces_and_parentheses_do_not_shift_the_fields() {
        let stat = "7 (a ) (b) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14";
        assert_eq!(ticks(stat), 11 + 12);
    }
}
