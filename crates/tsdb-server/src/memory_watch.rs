//! The memory of the process as the kernel sees it, against what the kernel lets it have. The budget counts
//! reservations; this sees what comes on top: the registry of series, code, and what the allocator keeps.

use std::sync::Arc;
use std::time::Duration;

use tsdb_core::budget::Pressure;

use crate::app::App;
use crate::config::{SystemLimits, kibibytes_of};

/// How often it is looked at: memory grows by some MiB in that time.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Where pressure begins, in percent of a limit.
#[derive(Debug, Clone, Copy)]
struct Levels {
    elevated: u64,
    high: u64,
}

/// Higher than in a pool, which refuses at 100 % where the kernel kills.
const RESIDENT: Levels = Levels { elevated: 75, high: 88 };

/// What an allocator has taken from the kernel it keeps and uses again, so much of it means little; but at
/// the limit the kernel gives no more.
const VIRTUAL: Levels = Levels { elevated: 92, high: 97 };

/// Memory of the process in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ProcessMemory {
    /// Resident and its own: what a cgroup cannot take back without swapping.
    pub resident: u64,
    /// Private and writable, resident or not.
    pub data: u64,
    /// Address space.
    pub address_space: u64,
}

impl ProcessMemory {
    /// That of this process; `None` where the system does not tell.
    pub fn read() -> Option<ProcessMemory> {
        ProcessMemory::parse(&std::fs::read_to_string("/proc/self/status").ok()?)
    }

    fn parse(status: &str) -> Option<ProcessMemory> {
        Some(ProcessMemory {
            resident: kibibytes_of(status, "RssAnon:")?,
            data: kibibytes_of(status, "VmData:")?,
            address_space: kibibytes_of(status, "VmSize:")?,
        })
    }

    /// How near it is to the nearest of `limits`.
    pub fn pressure(&self, limits: &SystemLimits) -> Pressure {
        [
            (self.resident, limits.resident, RESIDENT),
            (self.resident, limits.data, RESIDENT),
            (self.data, limits.data, VIRTUAL),
            (self.address_space, limits.address_space, VIRTUAL),
        ]
        .into_iter()
        .filter_map(|(used, limit, levels)| Some(levels.of(used, limit?)))
        .max()
        .unwrap_or_default()
    }
}

impl Levels {
    fn of(self, used: u64, limit: u64) -> Pressure {
        let percent = u128::from(used) * 100 / u128::from(limit.max(1));
        if percent >= u128::from(self.high) {
            Pressure::High
        } else if percent >= u128::from(self.elevated) {
            Pressure::Elevated
        } else {
            Pressure::Normal
        }
    }
}

/// Tells the budget of the pressure on the process from now on.
pub fn spawn(app: &Arc<App>) {
    let (app, limits) = (Arc::downgrade(app), SystemLimits::read());
    tokio::spawn(async move {
        let mut ticks = tokio::time::interval(LOOK_EVERY);
        loop {
            ticks.tick().await;
            let Some(app) = app.upgrade() else { return };
            // A read of /proc takes some microseconds and never waits for a disk.
            let Some(memory) = ProcessMemory::read() else { return };
            let pressure = memory.pressure(&limits);
            let before = app.budget().process_pressure();
            app.budget().set_process_pressure(pressure);
            if pressure == Pressure::High && before != Pressure::High {
                tracing::warn!(
                    resident = memory.resident,
                    data = memory.data,
                    "memory is nearly used up: writes are slowed down and new series wait; give the process \
                     more, lower --memory-limit, or write fewer series"
                );
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn memory_pressure_detection() {
        let limits = SystemLimits {
            resident: Some(1000 * MIB),
            data: Some(2000 * MIB),
            ..SystemLimits::default()
        };
        for (resident, data, expected) in [
            (0, 0, Pressure::Normal),
            (749, 1400, Pressure::Normal),
            (750, 0, Pressure::Elevated),
            (0, 1839, Pressure::Normal),
            (0, 1840, Pressure::Elevated),
            (880, 1500, Pressure::High),
            (10, 1940, Pressure::High),
            (5000, 0, Pressure::High),
        ] {
            let memory = ProcessMemory {
                resident: resident * MIB,
                data: data * MIB,
                // Without a limit it does not matter.
                address_space: u64::MAX,
            };
            assert_eq!(memory.pressure(&limits), expected, "{resident} {data}");
        }
        let unlimited = ProcessMemory { resident: u64::MAX, data: u64::MAX, address_space: 1 };
        assert_eq!(unlimited.pressure(&SystemLimits::default()), Pressure::Normal);
    }

    #[test]
    fn the_kernel_is_understood() {
        let status =
            "VmSize:\t    2048 kB\nVmRSS:\t 9 kB\nRssAnon:\t     3 kB\nVmData:\t    5 kB\n";
        let expected = ProcessMemory { resident: 3 << 10, data: 5 << 10, address_space: 2 * MIB };
        assert_eq!(ProcessMemory::parse(status), Some(expected));
        assert_eq!(ProcessMemory::parse(""), None);
        if cfg!(target_os = "linux") {
            let own = ProcessMemory::read().unwrap();
            assert!(own.resident > 0 && own.resident <= own.data && own.data <= own.address_space);
        }
    }
}
