//! What another process has used so far, from /proc.

use std::fs;

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
        let after = usage(std::process::id()).unwrap();
        assert!(after.cpu_s > before.cpu_s);
        assert!(after.rss_peak_bytes > 0);
    }

    #[test]
    fn names_with_spaces_and_parentheses_do_not_shift_the_fields() {
        let stat = "7 (a ) (b) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14";
        assert_eq!(ticks(stat), 11 + 12);
    }
}
