//! The nine measurements of the TSBS use case devops, as a table. Facts (names, steps, bounds) from the
//! public TSBS generator; the numbers themselves differ.

use super::FieldKind::{self, Float, Int};
use super::walk::Walk;
use crate::random::Random;

/// A measurement that every host reports.
pub struct Measurement {
    /// Its name.
    pub name: &'static str,
    /// Names and kinds of its fields.
    pub fields: &'static [(&'static str, FieldKind)],
    /// Tags beside those of the host.
    pub tags: fn(&mut Random) -> Vec<(&'static str, String)>,
    /// What moves from row to row.
    pub walks: fn(&mut Random) -> Vec<Walk>,
    /// The fields' values from the state of the walks.
    pub values: fn(&[f64], &mut Vec<f64>),
}

/// The use case cpu-only.
pub const CPU_ONLY: &[&Measurement] = &[&CPU];

/// The use case devops.
pub const DEVOPS: &[&Measurement] =
    &[&CPU, &DISKIO, &DISK, &KERNEL, &MEM, &NET, &NGINX, &POSTGRES, &REDIS];

/// Fields of the measurement `cpu`, in the order in which TSBS's queries take them.
pub const CPU_FIELDS: &[&str] = &[
    "usage_user",
    "usage_system",
    "usage_idle",
    "usage_nice",
    "usage_iowait",
    "usage_irq",
    "usage_softirq",
    "usage_steal",
    "usage_guest",
    "usage_guest_nice",
];

/// Tags of every host, in the order of TSBS.
pub const HOST_TAGS: &[&str] = &[
    "hostname",
    "region",
    "datacenter",
    "rack",
    "os",
    "arch",
    "team",
    "service",
    "service_version",
    "service_environment",
];

const CPU: Measurement = Measurement {
    name: "cpu",
    fields: &[
        ("usage_user", Int),
        ("usage_system", Int),
        ("usage_idle", Int),
        ("usage_nice", Int),
        ("usage_iowait", Int),
        ("usage_irq", Int),
        ("usage_softirq", Int),
        ("usage_steal", Int),
        ("usage_guest", Int),
        ("usage_guest_nice", Int),
    ],
    tags: no_tags,
    walks: |random| {
        let walk = |_| Walk::clamped((0.0, 1.0), 0.0, 100.0, random.unit() * 100.0);
        (0..CPU_FIELDS.len()).map(walk).collect()
    },
    values: whole,
};

const DISKIO: Measurement = Measurement {
    name: "diskio",
    fields: &[
        ("reads", Int),
        ("writes", Int),
        ("read_bytes", Int),
        ("write_bytes", Int),
        ("read_time", Int),
        ("write_time", Int),
        ("io_time", Int),
    ],
    tags: |random| {
        let mut part = || random.below(1000);
        vec![("serial", format!("{:03}-{:03}-{:03}", part(), part(), part()))]
    },
    walks: |_| {
        let means = [50.0, 50.0, 100.0, 100.0, 5.0, 5.0, 5.0];
        means.into_iter().map(|mean| Walk::rising((mean, 1.0))).collect()
    },
    values: whole,
};

const TERABYTE: f64 = (1u64 << 40) as f64;

const DISK: Measurement = Measurement {
    name: "disk",
    fields: &[
        ("total", Int),
        ("free", Int),
        ("used", Int),
        ("used_percent", Int),
        ("inodes_total", Int),
        ("inodes_free", Int),
        ("inodes_used", Int),
    ],
    tags: |random| {
        let path = format!("/dev/sda{}", random.below(10));
        vec![("path", path), ("fstype", (*random.choose(&["ext3", "ext4", "btrfs"])).to_owned())]
    },
    walks: |_| vec![Walk::clamped((50.0, 1.0), 0.0, TERABYTE, TERABYTE / 2.0)],
    values: |state, values| {
        let free = state.first().copied().unwrap_or(0.0).trunc();
        let used = TERABYTE - free;
        let (nodes, nodes_free) = (TERABYTE / 4096.0, (free / 4096.0).trunc());
        let percent = (100.0 * (used / TERABYTE)).trunc();
        values.extend([TERABYTE, free, used, percent, nodes, nodes_free, nodes - nodes_free]);
    },
};

const KERNEL: Measurement = Measurement {
    name: "kernel",
    fields: &[
        ("boot_time", Int),
        ("interrupts", Int),
        ("context_switches", Int),
        ("processes_forked", Int),
        ("disk_pages_in", Int),
        ("disk_pages_out", Int),
    ],
    tags: no_tags,
    walks: |random| {
        let boot_time = Walk::constant(random.below(240) as f64);
        [boot_time].into_iter().chain((0..5).map(|_| Walk::rising((5.0, 1.0)))).collect()
    },
    values: whole,
};

const MEM: Measurement = Measurement {
    name: "mem",
    fields: &[
        ("total", Int),
        ("available", Int),
        ("used", Int),
        ("free", Int),
        ("cached", Int),
        ("buffered", Int),
        ("used_percent", Float),
        ("available_percent", Float),
        ("buffered_percent", Float),
    ],
    tags: no_tags,
    walks: |random| {
        let total = *random.choose(&[8u64 << 30, 12 << 30, 16 << 30]) as f64;
        let mut part = || Walk::clamped((0.0, total / 64.0), 0.0, total, random.unit() * total);
        vec![Walk::constant(total), part(), part(), part()]
    },
    values: |state, values| {
        let [total, used, cached, buffered] = *state else { return };
        let [used, cached, buffered] = [used.trunc(), cached.trunc(), buffered.trunc()];
        let available = total - used;
        let percent = |part: f64| 100.0 * (part / total);
        values.extend([total, available, used, available, cached, buffered]);
        values.extend([percent(used), percent(available), 100.0 * buffered / total]);
    },
};

const NET: Measurement = Measurement {
    name: "net",
    fields: &[
        ("bytes_sent", Int),
        ("bytes_recv", Int),
        ("packets_sent", Int),
        ("packets_recv", Int),
        ("err_in", Int),
        ("err_out", Int),
        ("drop_in", Int),
        ("drop_out", Int),
    ],
    tags: |random| vec![("interface", format!("eth{}", random.below(4)))],
    walks: |_| {
        let means = [50.0, 50.0, 50.0, 50.0, 5.0, 5.0, 5.0, 5.0];
        means.into_iter().map(|mean| Walk::rising((mean, 1.0))).collect()
    },
    values: whole,
};

const NGINX: Measurement = Measurement {
    name: "nginx",
    fields: &[
        ("accepts", Int),
        ("active", Int),
        ("handled", Int),
        ("reading", Int),
        ("requests", Int),
        ("waiting", Int),
        ("writing", Int),
    ],
    tags: |random| server_tags("nginx", random),
    walks: |_| {
        let gauge = || Walk::clamped((5.0, 1.0), 0.0, 100.0, 0.0);
        let count = || Walk::rising((5.0, 1.0));
        vec![count(), gauge(), count(), gauge(), count(), gauge(), gauge()]
    },
    values: whole,
};

const POSTGRES: Measurement = Measurement {
    name: "postgresl", // the spelling of TSBS
    fields: &[
        ("numbackends", Int),
        ("xact_commit", Int),
        ("xact_rollback", Int),
        ("blks_read", Int),
        ("blks_hit", Int),
        ("tup_returned", Int),
        ("tup_fetched", Int),
        ("tup_inserted", Int),
        ("tup_updated", Int),
        ("tup_deleted", Int),
        ("conflicts", Int),
        ("temp_files", Int),
        ("temp_bytes", Int),
        ("deadlocks", Int),
        ("blk_read_time", Int),
        ("blk_write_time", Int),
    ],
    tags: no_tags,
    walks: |_| {
        let field = |place| match place {
            12 => Walk::clamped((1024.0, 1.0), 0.0, (1u64 << 30) as f64, 0.0),
            _ => Walk::clamped((5.0, 1.0), 0.0, 1000.0, 0.0),
        };
        (0..16).map(field).collect()
    },
    values: whole,
};

const SIXTEEN_GIB: f64 = (16u64 << 30) as f64;

const REDIS: Measurement = Measurement {
    name: "redis",
    fields: &[
        ("uptime_in_seconds", Int),
        ("total_connections_received", Int),
        ("expired_keys", Int),
        ("evicted_keys", Int),
        ("keyspace_hits", Int),
        ("keyspace_misses", Int),
        ("instantaneous_ops_per_sec", Int),
        ("instantaneous_input_kbps", Int),
        ("instantaneous_output_kbps", Int),
        ("connected_clients", Int),
        ("used_memory", Int),
        ("used_memory_rss", Int),
        ("used_memory_peak", Int),
        ("used_memory_lua", Int),
        ("rdb_changes_since_last_save", Int),
        ("sync_full", Int),
        ("sync_partial_ok", Int),
        ("sync_partial_err", Int),
        ("pubsub_channels", Int),
        ("pubsub_patterns", Int),
        ("latest_fork_usec", Int),
        ("connected_slaves", Int),
        ("master_repl_offset", Int),
        ("repl_backlog_active", Int),
        ("repl_backlog_size", Int),
        ("repl_backlog_histlen", Int),
        ("mem_fragmentation_ratio", Int),
        ("used_cpu_sys", Int),
        ("used_cpu_user", Int),
        ("used_cpu_sys_children", Int),
        ("used_cpu_user_children", Int),
    ],
    tags: |random| server_tags("redis", random),
    walks: |_| {
        let (low, high) = ((5.0, 1.0), (50.0, 1.0));
        let field = |place: usize| match place {
            // Seconds since the start, at the interval of TSBS.
            0 => Walk::free((10.0, 0.0)),
            1 => Walk::rising(low),
            2..=5 => Walk::rising(high),
            6..=8 => Walk::free((1.0, 1.0)),
            9 | 14 => Walk::clamped(high, 0.0, 10_000.0, 0.0),
            10..=13 => Walk::clamped(high, 0.0, SIXTEEN_GIB, SIXTEEN_GIB / 2.0),
            26 => Walk::clamped(low, 0.0, 100.0, 0.0),
            _ => Walk::clamped(low, 0.0, 1000.0, 0.0),
        };
        (0..31).map(field).collect()
    },
    values: whole,
};

fn no_tags(_: &mut Random) -> Vec<(&'static str, String)> {
    Vec::new()
}

fn server_tags(name: &str, random: &mut Random) -> Vec<(&'static str, String)> {
    let port = 1024 + random.below(20_000);
    vec![("port", port.to_string()), ("server", format!("{name}_{}", random.below(100_000)))]
}

/// Each walk is a field, cut to a whole number.
fn whole(state: &[f64], values: &mut Vec<f64>) {
    values.extend(state.iter().map(|value| value.trunc()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_measurement_has_a_value_for_each_field() {
        let mut random = Random::new(3);
        let field_count: usize = DEVOPS.iter().map(|measurement| measurement.fields.len()).sum();
        assert_eq!(field_count, 101, "101 metrics of a host, as TSBS counts them");
        for measurement in DEVOPS {
            let state: Vec<f64> =
                (measurement.walks)(&mut random).iter_mut().map(|w| w.step(&mut random)).collect();
            let mut values = Vec::new();
            (measurement.values)(&state, &mut values);
            assert_eq!(values.len(), measurement.fields.len(), "{}", measurement.name);
            for (value, (name, kind)) in values.iter().zip(measurement.fields) {
                assert!(value.is_finite());
                assert!(*kind == Float || value.fract() == 0.0, "{name} {value}");
            }
        }
        let names: Vec<&str> = CPU.fields.iter().map(|(name, _)| *name).collect();
        assert_eq!(names, CPU_FIELDS);
    }
}
