//! Single-value metrics in the shape of what Prometheus' node_exporter gives: hundreds of series an
//! instance, most of them still, counters of several kinds, gauges of memory, timings.
//!
//! The table is a model; scrapes of the real exporter are read by `scrapes`.

use std::sync::Arc;

use super::fleet::Ticks;
use super::{FieldKind, Row, Schema, Series, Source};
use crate::random::Random;

/// Metrics that share labels and behaviour.
struct Family {
    /// Names of the metrics.
    names: &'static [&'static str],
    /// Labels beside `instance` and `job`; every combination of values is a series of each metric.
    labels: &'static [(&'static str, &'static [&'static str])],
    model: Model,
}

/// How a value moves from scrape to scrape.
#[derive(Clone, Copy)]
enum Model {
    /// Never moves; drawn once below the number, whole.
    Still(u64),
    /// Grows by steps around the mean, in units of the last number, in the given share of scrapes.
    Count { mean: f64, unit: f64, busy: f64 },
    /// Wanders around the start, in units of the last number.
    Gauge { start: f64, deviation: f64, unit: f64 },
    /// Independent each time, nine decimals: how long something took.
    Timing(f64),
    /// The running sum of timings, with all its digits.
    TimingSum(f64),
}

const CPUS: &[&str] =
    &["0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12", "13", "14", "15"];
const DISKS: &[&str] = &["nvme0n1", "nvme1n1", "sda"];
const DEVICES: &[&str] = &["lo", "eth0", "eth1", "docker0"];
const MOUNTS: &[&str] = &["/", "/boot", "/home", "/var", "/run"];
const COLLECTORS: &[&str] = &[
    "arp",
    "bcache",
    "bonding",
    "btrfs",
    "conntrack",
    "cpu",
    "cpufreq",
    "diskstats",
    "edac",
    "entropy",
    "filefd",
    "filesystem",
    "hwmon",
    "infiniband",
    "ipvs",
    "loadavg",
    "mdadm",
    "meminfo",
    "netclass",
    "netdev",
    "netstat",
    "nfs",
    "nvme",
    "os",
    "pressure",
    "rapl",
    "schedstat",
    "sockstat",
    "softnet",
    "stat",
    "tapestats",
    "textfile",
    "thermal_zone",
    "time",
    "timex",
    "udp_queues",
    "uname",
    "vmstat",
    "xfs",
    "zfs",
];

const FAMILIES: &[Family] = &[
    Family {
        names: &["node_cpu_seconds_total"],
        labels: &[
            ("cpu", CPUS),
            ("mode", &["idle", "iowait", "irq", "nice", "softirq", "steal", "system", "user"]),
        ],
        model: Model::Count { mean: 2.0, unit: 0.01, busy: 0.6 },
    },
    Family {
        names: &["node_schedstat_running_seconds_total", "node_schedstat_waiting_seconds_total"],
        labels: &[("cpu", CPUS)],
        model: Model::TimingSum(4.0),
    },
    Family {
        names: &["node_schedstat_timeslices_total"],
        labels: &[("cpu", CPUS)],
        model: Model::Count { mean: 9000.0, unit: 1.0, busy: 1.0 },
    },
    Family {
        names: &[
            "node_memory_MemFree_bytes",
            "node_memory_MemAvailable_bytes",
            "node_memory_Cached_bytes",
            "node_memory_Buffers_bytes",
            "node_memory_Active_bytes",
            "node_memory_Active_anon_bytes",
            "node_memory_Active_file_bytes",
            "node_memory_Inactive_bytes",
            "node_memory_Inactive_file_bytes",
            "node_memory_AnonPages_bytes",
            "node_memory_Dirty_bytes",
            "node_memory_Mapped_bytes",
            "node_memory_Slab_bytes",
            "node_memory_PageTables_bytes",
            "node_memory_Committed_AS_bytes",
            "node_memory_KernelStack_bytes",
        ],
        labels: &[],
        model: Model::Gauge { start: 4e9, deviation: 3e6, unit: 4096.0 },
    },
    Family {
        names: &[
            "node_memory_MemTotal_bytes",
            "node_memory_SwapTotal_bytes",
            "node_memory_SwapFree_bytes",
            "node_memory_HugePages_Total",
            "node_memory_HugePages_Free",
            "node_memory_Hugepagesize_bytes",
            "node_memory_VmallocTotal_bytes",
            "node_memory_VmallocChunk_bytes",
            "node_memory_DirectMap4k_bytes",
            "node_memory_DirectMap2M_bytes",
            "node_memory_CommitLimit_bytes",
            "node_memory_HardwareCorrupted_bytes",
            "node_memory_Bounce_bytes",
            "node_memory_NFS_Unstable_bytes",
        ],
        labels: &[],
        model: Model::Still(1 << 35),
    },
    Family {
        names: &["node_network_receive_bytes_total", "node_network_transmit_bytes_total"],
        labels: &[("device", DEVICES)],
        model: Model::Count { mean: 250_000.0, unit: 1.0, busy: 0.7 },
    },
    Family {
        names: &["node_network_receive_packets_total", "node_network_transmit_packets_total"],
        labels: &[("device", DEVICES)],
        model: Model::Count { mean: 400.0, unit: 1.0, busy: 0.7 },
    },
    Family {
        names: &[
            "node_network_receive_errs_total",
            "node_network_receive_drop_total",
            "node_network_receive_fifo_total",
            "node_network_receive_frame_total",
            "node_network_receive_compressed_total",
            "node_network_receive_multicast_total",
            "node_network_transmit_errs_total",
            "node_network_transmit_drop_total",
            "node_network_transmit_fifo_total",
            "node_network_transmit_colls_total",
            "node_network_transmit_carrier_total",
            "node_network_transmit_compressed_total",
            "node_network_mtu_bytes",
            "node_network_up",
            "node_network_flags",
            "node_network_speed_bytes",
            "node_network_carrier_changes_total",
            "node_network_iface_id",
        ],
        labels: &[("device", DEVICES)],
        model: Model::Still(2000),
    },
    Family {
        names: &[
            "node_disk_reads_completed_total",
            "node_disk_writes_completed_total",
            "node_disk_writes_merged_total",
        ],
        labels: &[("device", DISKS)],
        model: Model::Count { mean: 60.0, unit: 1.0, busy: 0.5 },
    },
    Family {
        names: &["node_disk_read_bytes_total", "node_disk_written_bytes_total"],
        labels: &[("device", DISKS)],
        model: Model::Count { mean: 300.0, unit: 4096.0, busy: 0.5 },
    },
    Family {
        names: &[
            "node_disk_read_time_seconds_total",
            "node_disk_write_time_seconds_total",
            "node_disk_io_time_seconds_total",
            "node_disk_io_time_weighted_seconds_total",
        ],
        labels: &[("device", DISKS)],
        model: Model::Count { mean: 90.0, unit: 0.001, busy: 0.5 },
    },
    Family {
        names: &[
            "node_filesystem_avail_bytes",
            "node_filesystem_free_bytes",
            "node_filesystem_files_free",
        ],
        labels: &[("mountpoint", MOUNTS)],
        model: Model::Gauge { start: 8e10, deviation: 4e4, unit: 4096.0 },
    },
    Family {
        names: &[
            "node_filesystem_size_bytes",
            "node_filesystem_files",
            "node_filesystem_readonly",
            "node_filesystem_device_error",
        ],
        labels: &[("mountpoint", MOUNTS)],
        model: Model::Still(1 << 37),
    },
    Family {
        names: &["node_load1", "node_load5", "node_load15"],
        labels: &[],
        model: Model::Gauge { start: 2.5, deviation: 0.08, unit: 0.01 },
    },
    Family {
        names: &["node_context_switches_total", "node_intr_total", "node_vmstat_pgfault"],
        labels: &[],
        model: Model::Count { mean: 120_000.0, unit: 1.0, busy: 1.0 },
    },
    Family {
        names: &[
            "node_forks_total",
            "node_vmstat_pgmajfault",
            "node_vmstat_pgpgin",
            "node_vmstat_pgpgout",
            "node_netstat_Tcp_ActiveOpens",
            "node_netstat_Tcp_PassiveOpens",
            "node_netstat_Tcp_InSegs",
            "node_netstat_Tcp_OutSegs",
            "node_netstat_Tcp_RetransSegs",
            "node_netstat_Udp_InDatagrams",
            "node_netstat_Udp_OutDatagrams",
            "node_netstat_IpExt_InOctets",
            "node_netstat_IpExt_OutOctets",
            "node_softnet_processed_total",
        ],
        labels: &[],
        model: Model::Count { mean: 900.0, unit: 1.0, busy: 0.9 },
    },
    Family {
        names: &[
            "node_procs_running",
            "node_procs_blocked",
            "node_sockstat_TCP_alloc",
            "node_filefd_allocated",
        ],
        labels: &[],
        model: Model::Gauge { start: 60.0, deviation: 2.0, unit: 1.0 },
    },
    Family {
        names: &[
            "node_netstat_Icmp_InErrors",
            "node_netstat_Ip_Forwarding",
            "node_netstat_TcpExt_ListenDrops",
            "node_netstat_TcpExt_ListenOverflows",
            "node_netstat_Udp_InErrors",
            "node_netstat_Udp_NoPorts",
            "node_vmstat_oom_kill",
            "node_vmstat_pswpin",
            "node_vmstat_pswpout",
            "node_boot_time_seconds",
            "node_filefd_maximum",
            "node_nf_conntrack_entries_limit",
            "node_os_info",
            "node_uname_info",
            "node_time_zone_offset_seconds",
            "node_timex_status",
            "node_timex_tick_seconds",
            "node_exporter_build_info",
            "go_info",
            "process_max_fds",
            "process_start_time_seconds",
        ],
        labels: &[],
        model: Model::Still(1 << 31),
    },
    Family {
        names: &["node_scrape_collector_duration_seconds"],
        labels: &[("collector", COLLECTORS)],
        model: Model::Timing(0.0008),
    },
    Family {
        names: &["node_scrape_collector_success"],
        labels: &[("collector", COLLECTORS)],
        model: Model::Still(2),
    },
    Family {
        names: &[
            "go_memstats_alloc_bytes",
            "go_memstats_heap_inuse_bytes",
            "go_memstats_heap_idle_bytes",
        ],
        labels: &[],
        model: Model::Gauge { start: 5e6, deviation: 5e5, unit: 8.0 },
    },
    Family {
        names: &["process_cpu_seconds_total", "go_gc_duration_seconds_sum"],
        labels: &[],
        model: Model::TimingSum(0.02),
    },
];

/// Where a series' value stands.
struct Metric {
    model: Model,
    value: f64,
}

/// The scrapes of all instances, tick by tick, each instance with its own offset of some milliseconds.
pub struct Exporter {
    ticks: Ticks,
    random: Random,
    series: Vec<Series>,
    metrics: Vec<Metric>,
    offsets_ms: Vec<i64>,
    per_instance: usize,
    tick: u32,
    place: usize,
}

impl Exporter {
    /// `instance_count` instances.
    pub fn new(instance_count: u32, ticks: Ticks, seed: u64) -> Exporter {
        let mut random = Random::new(seed);
        let (mut series, mut metrics) = (Vec::new(), Vec::new());
        for instance in 0..instance_count {
            for family in FAMILIES {
                add_family(family, instance, &mut series);
                let missing = series.len() - metrics.len();
                metrics.extend((0..missing).map(|_| Metric::new(family.model, &mut random)));
            }
        }
        let per_instance = series.len().checked_div(instance_count as usize).unwrap_or(0).max(1);
        let offset =
            |_| i64::try_from(random.below(u64::from(ticks.interval_s) * 1000)).unwrap_or(0);
        let offsets_ms = (0..instance_count).map(offset).collect();
        Exporter { ticks, random, series, metrics, offsets_ms, per_instance, tick: 0, place: 0 }
    }
}

/// Adds the series of one family of one instance: each metric with each combination of labels.
fn add_family(family: &Family, instance: u32, series: &mut Vec<Series>) {
    let mut combinations: Vec<Vec<(String, String)>> = vec![Vec::new()];
    for (key, values) in family.labels {
        let with = |tags: &Vec<(String, String)>| {
            let tags = tags.clone();
            values.iter().map(move |value| {
                let mut tags = tags.clone();
                tags.push(((*key).to_owned(), (*value).to_owned()));
                tags
            })
        };
        combinations = combinations.iter().flat_map(with).collect();
    }
    for name in family.names {
        let fields = vec![("value".to_owned(), FieldKind::Float)];
        let schema = Arc::new(Schema { measurement: (*name).to_owned(), fields });
        for tags in &combinations {
            let mut tags = tags.clone();
            tags.push(("instance".to_owned(), format!("node{instance}.example.net:9100")));
            tags.push(("job".to_owned(), "node".to_owned()));
            tags.sort();
            series.push(Series { schema: Arc::clone(&schema), tags });
        }
    }
}

impl Metric {
    fn new(model: Model, random: &mut Random) -> Metric {
        let value = match model {
            Model::Still(bound) => random.below(bound) as f64,
            // Counters have run for a while.
            Model::Count { mean, unit, .. } => (random.unit() * mean * 1e4).trunc() * unit,
            Model::Gauge { start, unit, .. } => to_unit(start * (0.5 + random.unit()), unit),
            Model::Timing(mean) => mean,
            Model::TimingSum(mean) => mean * 1e4 * random.unit(),
        };
        Metric { model, value }
    }

    fn step(&mut self, random: &mut Random) -> f64 {
        match self.model {
            Model::Still(_) => {}
            Model::Count { mean, unit, busy } => {
                if random.chance(busy) {
                    let steps = (mean * (1.0 + 0.5 * random.normal())).abs().round();
                    self.value = to_unit(self.value + steps * unit, unit);
                }
            }
            Model::Gauge { deviation, unit, .. } => {
                self.value = to_unit((self.value + deviation * random.normal()).abs(), unit);
            }
            Model::Timing(mean) => self.value = to_unit(mean * (0.2 - random.unit().ln()), 1e-9),
            Model::TimingSum(mean) => self.value += to_unit(mean * random.unit(), 1e-9),
        }
        self.value
    }
}

/// `value` as the closest multiple of `unit`, without the noise that a product with 0.01 leaves.
fn to_unit(value: f64, unit: f64) -> f64 {
    if unit < 1.0 {
        let scale = (1.0 / unit).round();
        (value * scale).round() / scale
    } else {
        (value / unit).round() * unit
    }
}

impl Source for Exporter {
    fn series(&self) -> &[Series] {
        &self.series
    }

    fn next_row(&mut self, row: &mut Row) -> bool {
        let instance = self.place / self.per_instance;
        let (Some(metric), Some(offset_ms)) =
            (self.metrics.get_mut(self.place), self.offsets_ms.get(instance))
        else {
            return false;
        };
        if self.tick >= self.ticks.count {
            return false;
        }
        row.series = self.place;
        row.time_ns = self.ticks.time_ns(self.tick) + offset_ms * 1_000_000;
        row.values.clear();
        row.values.push(metric.step(&mut self.random));
        self.place += 1;
        if self.place == self.metrics.len() {
            self.place = 0;
            self.tick += 1;
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::super::START_S;
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn instances_have_hundreds_of_series_and_most_values_are_plain_decimals() {
        let ticks = Ticks { start_s: START_S, interval_s: 15, count: 3 };
        let mut exporter = Exporter::new(2, ticks, 4);
        assert!((400..700).contains(&exporter.per_instance), "{}", exporter.per_instance);
        let keys: HashSet<_> = exporter
            .series()
            .iter()
            .map(|series| (series.schema.measurement.clone(), series.tags.clone()))
            .collect();
        assert_eq!(keys.len(), exporter.series().len(), "each series once");
        let (mut row, mut count, mut still) = (Row::default(), 0, 0);
        let mut last = vec![f64::NAN; exporter.series().len()];
        let mut long = 0;
        while exporter.next_row(&mut row) {
            count += 1;
            still += usize::from(last[row.series] == row.values[0]);
            last[row.series] = row.values[0];
            long += usize::from(row.values[0].to_string().len() > 14);
        }
        assert_eq!(count, 3 * exporter.series().len());
        assert!(still > count / 3, "{still} of {count} did not move");
        assert!(long < count / 10, "{long} of {count} have more than 14 digits");
    }
}
