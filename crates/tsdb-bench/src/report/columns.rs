//! The columns of plain tables: what a figure is called and how it is written.

/// A column.
pub struct Column {
    /// Name in the results.
    pub name: &'static str,
    /// Heading.
    pub title: &'static str,
    /// Word for it in the heading of the ratio.
    pub short: &'static str,
    /// Digits behind the point.
    pub decimals: usize,
    /// Whether it is what servers are compared by, where it occurs.
    pub is_main: bool,
}

/// All columns, in the order in which they stand.
pub const COLUMNS: &[Column] = &[
    column("cpu_s_per_m_acknowledged", "CPU-s per M samples, acknowledged", 3),
    main("cpu_s_per_m", "CPU-s per M samples, settled", "CPU", 3),
    column("m_samples_per_s", "M samples/s", 2),
    column("rss_peak_mib", "peak memory MiB", 0),
    column("bytes_per_sample", "bytes/sample", 3),
    column("write_amplification", "bytes to runs / bytes of runs", 2),
    column("retries", "requests repeated after 503", 0),
    column("client_cpu_s_per_m", "client CPU-s per M samples", 3),
    column("capacity_m_per_s", "capacity, M samples/s", 2),
    column("paced_m_per_s", "paced, M samples/s", 2),
    column("seconds", "for s", 1),
    column("count", "queries", 0),
    column("writes", "writes", 0),
    column("writes_per_s", "writes/s", 0),
    column("alone_p99_ms", "p99 alone, ms", 2),
    column("median_ms", "median, ms", 2),
    main("p99_ms", "p99, ms", "p99", 2),
    column("max_ms", "max, ms", 1),
    column("sync_p99_ms", "p99 of fdatasync, ms", 2),
    column("p99_in_syncs", "p99 / p99 of fdatasync", 2),
    column("rows", "rows", 0),
    column("m_samples_in_log", "M samples in the log", 2),
    main("after_kill_s", "ready after kill -9, s", "restart", 3),
    column("lost_rows", "rows lost", 0),
    column("stop_s", "stop, s", 3),
    column("after_stop_s", "ready after a stop, s", 3),
    column("lost_rows_after_stop", "rows lost by the stop", 0),
    column("write_s", "write, s", 2),
    column("flush_s", "flush, s", 3),
    column("open_files", "open files", 0),
    column("disk_mib", "disk MiB", 2),
    main("open_s", "start, s", "start", 3),
];

const fn column(name: &'static str, title: &'static str, decimals: usize) -> Column {
    Column { name, title, short: title, decimals, is_main: false }
}

const fn main(
    name: &'static str,
    title: &'static str,
    short: &'static str,
    decimals: usize,
) -> Column {
    Column { name, title, short, decimals, is_main: true }
}
