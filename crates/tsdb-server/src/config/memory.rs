//! What memory the system lets this process have, and how much of it to manage when nobody said.

use tsdb_core::budget::DEFAULT_TOTAL_BYTES;

use super::ByteSize;

/// Limits that the system sets, in bytes; `None` is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SystemLimits {
    /// Resident memory: of the cgroup, or of the machine if that is less.
    pub resident: Option<u64>,
    /// Private writable memory, resident or not (`RLIMIT_DATA`).
    pub data: Option<u64>,
    /// Address space (`RLIMIT_AS`).
    pub address_space: Option<u64>,
}

impl SystemLimits {
    /// Those of this process. A file that is missing or odd counts as no limit.
    pub fn read() -> SystemLimits {
        // Read with std and not through the Vfs: these are questions to the kernel, not files of data.
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        // Version 2, and version 1, where "none" is a number larger than every machine.
        let groups = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"];
        let group = groups.iter().filter_map(|path| cgroup_limit(&read(path))).min();
        let machine = kibibytes_of(&read("/proc/meminfo"), "MemTotal:");
        let limits = read("/proc/self/limits");
        SystemLimits {
            resident: group.into_iter().chain(machine).min(),
            data: soft_limit(&limits, "Max data size"),
            address_space: soft_limit(&limits, "Max address space"),
        }
    }

    /// The narrowest of them.
    fn narrowest(&self) -> Option<u64> {
        [self.resident, self.data, self.address_space].into_iter().flatten().min()
    }
}

/// The memory to manage on this machine.
pub(super) fn default_limit() -> ByteSize {
    choose(SystemLimits::read().narrowest())
}

/// A third of what there is, at most the usual default: the other thirds are for the series registry, the
/// allocator, and the page cache that makes reads fast.
fn choose(available: Option<u64>) -> ByteSize {
    let third = available.unwrap_or(u64::MAX) / 3;
    ByteSize((DEFAULT_TOTAL_BYTES as u64).min(third).max(super::MEMORY_LIMIT_MIN))
}

/// Series in memory when nobody said how many, on a machine without tight limits.
const SERIES_MAX: usize = 5_000_000;

/// Memory of a series in bytes: its key, its places in the inverted index, in the directories of runs, and
/// while a generation with a row of each is flushed. Measured with a million series of one value.
const SERIES_BYTES: u64 = 1000;

/// How many series half of the memory beside the managed one holds; the other half is for bursts.
pub(super) fn default_series_max(managed: ByteSize) -> usize {
    choose_series_max(SystemLimits::read().narrowest(), managed)
}

fn choose_series_max(available: Option<u64>, managed: ByteSize) -> usize {
    let beside = available.unwrap_or(u64::MAX).saturating_sub(managed.0);
    let series = beside / 2 / SERIES_BYTES;
    usize::try_from(series).unwrap_or(SERIES_MAX).clamp(1000, SERIES_MAX)
}

/// The limit of a cgroup, from its `memory.max` or `memory.limit_in_bytes`: a number, or `max`.
fn cgroup_limit(text: &str) -> Option<u64> {
    text.trim().parse().ok()
}

/// The bytes of a line such as `MemTotal:  24577532 kB` of a file of `/proc`.
pub(crate) fn kibibytes_of(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim_end().parse().ok()?;
    kib.checked_mul(1024)
}

/// The soft limit in bytes of a line such as `Max data size   536870912  unlimited  bytes` of
/// `/proc/self/limits`.
pub(super) fn soft_limit(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_limit_counts() {
        const MIB: u64 = 1 << 20;
        for (resident, data, address_space, expected) in [
            (None, None, None, 288 * MIB),
            (Some(16_384 * MIB), None, None, 288 * MIB),
            (Some(300 * MIB), None, None, 100 * MIB),
            (Some(16_384 * MIB), Some(600 * MIB), None, 200 * MIB),
            (Some(16_384 * MIB), Some(600 * MIB), Some(510 * MIB), 170 * MIB),
            (Some(10 * MIB), None, None, 32 * MIB),
        ] {
            let limits = SystemLimits { resident, data, address_space };
            assert_eq!(choose(limits.narrowest()), ByteSize(expected), "{limits:?}");
        }
    }

    #[test]
    fn series_fit_into_what_is_not_managed() {
        const MIB: u64 = 1 << 20;
        for (available, managed, expected) in [
            (None, 288, SERIES_MAX),
            (Some(24_000 * MIB), 288, SERIES_MAX),
            (Some(512 * MIB), 170, 179_306),
            (Some(100 * MIB), 100, 1000),
        ] {
            assert_eq!(choose_series_max(available, ByteSize(managed * MIB)), expected);
        }
    }

    #[test]
    fn kernel_texts_are_read() {
        assert_eq!(cgroup_limit("max\n"), None);
        assert_eq!(cgroup_limit("536870912\n"), Some(512 << 20));
        assert_eq!(cgroup_limit("9223372036854771712\n"), Some(9_223_372_036_854_771_712));
        assert_eq!(cgroup_limit(""), None);
        let text = "MemFree:  12 kB\nMemTotal:       24577532 kB\nMemAvailable:   1 kB\n";
        assert_eq!(kibibytes_of(text, "MemTotal:"), Some(24_577_532 * 1024));
        assert_eq!(kibibytes_of("MemTotal: x kB", "MemTotal:"), None);
        let text = "Limit                     Soft Limit           Hard Limit           Units     \n\
                    Max data size             536870912            unlimited            bytes     \n\
                    Max address space         unlimited            unlimited            bytes     \n";
        assert_eq!(soft_limit(text, "Max data size"), Some(512 << 20));
        assert_eq!(soft_limit(text, "Max address space"), None);
        assert_eq!(soft_limit("", "Max data size"), None);
    }
}
