//! From the texts of the kernel to rows: one sample of the machine.
//!
//! Fields of cores are percentages of the time since the sample before; disks, networks and CPU seconds
//! of the process are totals since boot or start, to be looked at with `derivative` or `rate`.

use std::collections::BTreeMap;

use super::proc::{self, CpuTimes, Disk, Interface, Load, Memory, Process};

/// The files that a sample is made of.
#[derive(Debug, Clone, Default)]
pub struct Texts {
    /// `/proc/stat`
    pub stat: String,
    /// `/proc/meminfo`
    pub meminfo: String,
    /// `/proc/loadavg`
    pub loadavg: String,
    /// `/proc/diskstats`
    pub diskstats: String,
    /// `/proc/net/dev`
    pub net_dev: String,
    /// `/proc/self/stat`
    pub self_stat: String,
    /// `/proc/self/status`
    pub self_status: String,
}

impl Texts {
    /// Reads them; a file that is not there counts as empty. With std and not through the Vfs: these are
    /// questions to the kernel, not files of data.
    pub fn read() -> Texts {
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        Texts {
            stat: read("/proc/stat"),
            meminfo: read("/proc/meminfo"),
            loadavg: read("/proc/loadavg"),
            diskstats: read("/proc/diskstats"),
            net_dev: read("/proc/net/dev"),
            self_stat: read("/proc/self/stat"),
            self_status: read("/proc/self/status"),
        }
    }
}

/// One row of a sample; the time is the same for all of them.
#[derive(Debug, Clone, PartialEq)]
pub struct SampleRow {
    /// The measurement.
    pub measurement: &'static str,
    /// A tag beside `host`, if the row is about a part of the machine.
    pub part: Option<(&'static str, String)>,
    /// Fields, sorted by name.
    pub fields: Vec<(&'static str, f64)>,
}

/// Makes samples, one after the other.
#[derive(Debug, Default)]
pub struct Sampler {
    before: BTreeMap<String, CpuTimes>,
}

impl Sampler {
    /// The rows of a sample. The first has none about cores, since there is nothing to compare with.
    pub fn sample(&mut self, texts: &Texts) -> Vec<SampleRow> {
        let mut rows = self.cpu_rows(proc::cpus(&texts.stat));
        rows.extend(proc::memory(&texts.meminfo).map(|memory| memory_row(&memory)));
        rows.extend(proc::load(&texts.loadavg).map(|load| load_row(&load)));
        rows.extend(proc::disks(&texts.diskstats).into_iter().map(disk_row));
        rows.extend(proc::interfaces(&texts.net_dev).into_iter().map(net_row));
        let process = proc::process(&texts.self_stat, &texts.self_status);
        rows.extend(process.map(|process| process_row(&process)));
        rows
    }

    fn cpu_rows(&mut self, cpus: Vec<CpuTimes>) -> Vec<SampleRow> {
        let mut rows = Vec::with_capacity(cpus.len());
        for now in cpus {
            if let Some(before) = self.before.get(&now.name) {
                rows.extend(cpu_row(before, &now));
            }
            self.before.insert(now.name.clone(), now);
        }
        rows
    }
}

/// Shares of the time between two samples, in percent. None when no tick has passed.
fn cpu_row(before: &CpuTimes, now: &CpuTimes) -> Option<SampleRow> {
    let total = now.total().checked_sub(before.total()).filter(|total| *total > 0)?;
    // Ticks of iowait can go back (proc(5)); such a share is none.
    let share = |now: u64, before: u64| float(now.saturating_sub(before)) * 100.0 / float(total);
    Some(SampleRow {
        measurement: "cpu",
        part: Some(("cpu", now.name.clone())),
        fields: vec![
            ("usage_idle", share(now.idle, before.idle)),
            ("usage_iowait", share(now.iowait, before.iowait)),
            ("usage_irq", share(now.irq, before.irq)),
            ("usage_nice", share(now.nice, before.nice)),
            ("usage_steal", share(now.steal, before.steal)),
            ("usage_system", share(now.system, before.system)),
            ("usage_user", share(now.user, before.user)),
        ],
    })
}

fn memory_row(memory: &Memory) -> SampleRow {
    let used = memory.total.saturating_sub(memory.available);
    SampleRow {
        measurement: "mem",
        part: None,
        fields: vec![
            ("available", float(memory.available)),
            ("buffered", float(memory.buffers)),
            ("cached", float(memory.cached)),
            ("free", float(memory.free)),
            ("swap_free", float(memory.swap_free)),
            ("swap_total", float(memory.swap_total)),
            ("total", float(memory.total)),
            ("used", float(used)),
            ("used_percent", float(used) * 100.0 / float(memory.total.max(1))),
        ],
    }
}

fn load_row(load: &Load) -> SampleRow {
    SampleRow {
        measurement: "load",
        part: None,
        fields: vec![
            ("load1", load.load1),
            ("load15", load.load15),
            ("load5", load.load5),
            ("runnable", load.runnable),
            ("threads", load.threads),
        ],
    }
}

fn disk_row(disk: Disk) -> SampleRow {
    SampleRow {
        measurement: "disk",
        part: Some(("device", disk.name)),
        fields: vec![
            ("busy_ms", float(disk.busy_ms)),
            ("read_bytes", float(disk.read_bytes)),
            ("reads", float(disk.reads)),
            ("write_bytes", float(disk.write_bytes)),
            ("writes", float(disk.writes)),
        ],
    }
}

fn net_row(interface: Interface) -> SampleRow {
    let Interface { name, received, sent } = interface;
    SampleRow {
        measurement: "net",
        part: Some(("device", name)),
        fields: vec![
            ("bytes_received", float(received.bytes)),
            ("bytes_sent", float(sent.bytes)),
            ("dropped_received", float(received.dropped)),
            ("dropped_sent", float(sent.dropped)),
            ("errors_received", float(received.errors)),
            ("errors_sent", float(sent.errors)),
            ("packets_received", float(received.packets)),
            ("packets_sent", float(sent.packets)),
        ],
    }
}

fn process_row(process: &Process) -> SampleRow {
    SampleRow {
        measurement: "process",
        part: None,
        fields: vec![
            ("resident_bytes", float(process.resident_bytes)),
            ("system_seconds", process.system_seconds),
            ("threads", float(process.threads)),
            ("user_seconds", process.user_seconds),
        ],
    }
}

/// Totals as the store keeps them; exact up to 2^53.
fn float(value: u64) -> f64 {
    value as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stat(user: u64, idle: u64) -> Texts {
        Texts { stat: format!("cpu0 {user} 0 0 {idle} 0 0 0 0"), ..Texts::default() }
    }

    #[test]
    fn cores_show_shares_of_the_time_between_samples() {
        let mut sampler = Sampler::default();
        assert_eq!(sampler.sample(&stat(100, 100)), []);
        let rows = sampler.sample(&stat(130, 170));
        assert_eq!(rows.len(), 1);
        assert_eq!(rows[0].part, Some(("cpu", "cpu0".to_owned())));
        let field = |name| rows[0].fields.iter().find(|(known, _)| *known == name).unwrap().1;
        assert_eq!(field("usage_user"), 30.0);
        assert_eq!(field("usage_idle"), 70.0);
        assert_eq!(sampler.sample(&stat(130, 170)), [], "no time has passed");
        assert_eq!(sampler.sample(&stat(1, 1)), [], "the counters began anew");
        assert_eq!(sampler.sample(&stat(2, 1)).len(), 1);
    }

    #[test]
    fn this_machine_has_all_measurements() {
        let mut sampler = Sampler::default();
        let texts = Texts::read();
        let rows = sampler.sample(&texts);
        for measurement in ["mem", "load", "process"] {
            assert!(rows.iter().any(|row| row.measurement == measurement), "{measurement}");
        }
    }

    #[test]
    fn fields_are_sorted_as_field_sets_want_them() {
        let cpu = CpuTimes { name: "cpu0".into(), user: 5, ..CpuTimes::default() };
        let rows = [
            cpu_row(&CpuTimes::default(), &cpu).unwrap(),
            memory_row(&Memory::default()),
            load_row(&Load::default()),
            disk_row(Disk::default()),
            net_row(Interface::default()),
            process_row(&Process::default()),
        ];
        for row in rows {
            assert!(row.fields.is_sorted_by(|a, b| a.0 < b.0), "{}", row.measurement);
            assert!(row.fields.iter().all(|(_, value)| value.is_finite()), "{}", row.measurement);
        }
    }
}
