//! How much memory to manage when nobody said: the default of the budget, or less on a small machine.

use tsdb_core::budget::DEFAULT_TOTAL_BYTES;

use super::ByteSize;

/// The default limit on this machine, cgroup included. A file that is missing or odd counts as no limit.
pub(super) fn default_limit() -> ByteSize {
    // Read with std and not through the Vfs: these are questions to the kernel, not files of data.
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let group = cgroup_limit(&read("/sys/fs/cgroup/memory.max"));
    let machine = memory_total(&read("/proc/meminfo"));
    choose(group, machine)
}

/// A third of the smaller of the two limits, at most the usual default: the other thirds are for the
/// series registry, the allocator, and the page cache that makes reads fast.
fn choose(group: Option<u64>, machine: Option<u64>) -> ByteSize {
    let available = group.unwrap_or(u64::MAX).min(machine.unwrap_or(u64::MAX));
    ByteSize((DEFAULT_TOTAL_BYTES as u64).min(available / 3).max(super::MEMORY_LIMIT_MIN))
}

/// The limit of a cgroup v2, from its `memory.max`: a number, or `max`.
fn cgroup_limit(text: &str) -> Option<u64> {
    text.trim().parse().ok()
}

/// The memory of the machine in bytes, from `/proc/meminfo`.
fn memory_total(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim_end().parse().ok()?;
    kib.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smaller_limit_counts() {
        const MIB: u64 = 1 << 20;
        for (group, machine, expected) in [
            (None, None, 288 * MIB),
            (None, Some(16_384 * MIB), 288 * MIB),
            (Some(300 * MIB), Some(16_384 * MIB), 100 * MIB),
            (Some(16_384 * MIB), Some(600 * MIB), 200 * MIB),
            (Some(10 * MIB), None, 32 * MIB),
        ] {
            assert_eq!(choose(group, machine), ByteSize(expected), "{group:?} {machine:?}");
        }
    }

    #[test]
    fn kernel_texts_are_read() {
        assert_eq!(cgroup_limit("max\n"), None);
        assert_eq!(cgroup_limit("536870912\n"), Some(512 << 20));
        assert_eq!(cgroup_limit(""), None);
        let text = "MemFree:  12 kB\nMemTotal:       24577532 kB\nMemAvailable:   1 kB\n";
        assert_eq!(memory_total(text), Some(24_577_532 * 1024));
        assert_eq!(memory_total("MemTotal: x kB"), None);
    }
}
