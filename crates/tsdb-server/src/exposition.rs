//! The metrics of the server: what requests record, and the text that `/metrics` answers.
//!
//! The registry belongs to an [`Exposition`] and is not global, so that several servers can live in one
//! process (tests do that). Names and labels are here and nowhere else, except for the storage counters,
//! which `tsdb_core::counters` names.

#[cfg(test)]
mod tests;

use metrics::{
    Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram,
};
use metrics_exporter_prometheus::{
    BuildError, PrometheusBuilder, PrometheusHandle, PrometheusRecorder,
};
use tsdb_core::budget::Pressure;
use tsdb_core::counters::StorageCounters;
use tsdb_core::storage::Statistics;
use tsdb_core::{MemoryBudget, Pool};
use tsdb_ingest::{RejectCounts, RejectKind};

use crate::memory_watch::ProcessMemory;

const REQUESTS: &str = "tsdb_http_requests_total";
const REQUEST_SECONDS: &str = "tsdb_http_request_duration_seconds";
const PANICS: &str = "tsdb_http_panics_total";
const BODY_BYTES: &str = "tsdb_http_request_body_bytes_total";
const ROWS_WRITTEN: &str = "tsdb_write_rows_total";
const LINES_REFUSED: &str = "tsdb_write_lines_refused_total";
const REFUSED: &str = "tsdb_write_refused_total";
const FIELDS_IGNORED: &str = "tsdb_write_fields_ignored_total";
const NOT_STORED: &str = "tsdb_remote_write_not_stored_total";
const OTLP_POINTS: &str = "tsdb_otlp_points_total";
const OTLP_REJECTED: &str = "tsdb_otlp_points_rejected_total";
const OTLP_EXEMPLARS: &str = "tsdb_otlp_exemplars_not_stored_total";
const STATEMENTS: &str = "tsdb_query_statements_total";
const STATEMENTS_FAILED: &str = "tsdb_query_statements_failed_total";
const STATEMENTS_SLOW: &str = "tsdb_query_statements_slow_total";
const CONTINUOUS_RUNS: &str = "tsdb_continuous_query_runs_total";
const CONTINUOUS_FAILURES: &str = "tsdb_continuous_query_failures_total";
const CONTINUOUS_ROWS: &str = "tsdb_continuous_query_rows_written_total";
const CONTINUOUS_LAST: &str = "tsdb_continuous_query_last_run_timestamp_seconds";
const CONTINUOUS_SECONDS: &str = "tsdb_continuous_query_duration_seconds";
const AUTH_FAILURES: &str = "tsdb_auth_failures_total";
const MEMORY_USED: &str = "tsdb_memory_used_bytes";
const MEMORY_LIMIT: &str = "tsdb_memory_limit_bytes";
const MEMORY_PRESSURE: &str = "tsdb_memory_pressure";
const PROCESS_PRESSURE: &str = "tsdb_process_memory_pressure";
const PROCESS_RESIDENT: &str = "tsdb_process_resident_bytes";
const BUILD_INFO: &str = "tsdb_build_info";

/// Bounds of the latency buckets in seconds: a cached query takes a tenth of a millisecond, a synced
/// write some milliseconds, and 30 s is the longest a query may run.
const LATENCY_BUCKETS: [f64; 14] =
    [0.0001, 0.0003, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 2.5, 10.0, 30.0];

/// A registry of metrics and its text form.
pub struct Exposition {
    recorder: PrometheusRecorder,
    handle: PrometheusHandle,
}

/// One answered request.
#[derive(Debug, Clone, Copy)]
pub struct RequestRecord {
    /// The method, or `OTHER`.
    pub method: &'static str,
    /// The route, or `other` for a path that does not exist.
    pub path: &'static str,
    /// Status of the response.
    pub status: u16,
    /// How long it took.
    pub seconds: f64,
}

/// What one write did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct WriteRecord {
    /// Bytes of the body as sent.
    pub body_bytes: u64,
    /// Rows that were stored.
    pub rows: u64,
    /// Lines that were refused.
    pub lines_refused: u64,
    /// Fields that were left out of accepted lines, being text.
    pub fields_ignored: u64,
    /// The refused lines by kind.
    pub refused: RejectCounts,
}

/// What requests of remote write brought and what is not stored of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct NotStoredRecord {
    /// Samples that were refused.
    pub samples: u64,
    /// Native histograms, for which the data model has no place.
    pub histograms: u64,
    /// Exemplars, for which it has none either.
    pub exemplars: u64,
}

/// What a request of OTLP brought.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct OtlpRecord {
    /// Data points, stored or not.
    pub points: u64,
    /// Those of them that are not stored, or not whole.
    pub points_rejected: u64,
    /// Exemplars, for which the data model has no place.
    pub exemplars: u64,
}

/// One run of a continuous query.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ContinuousRecord {
    /// It ended with an error.
    pub failed: bool,
    /// Rows that it wrote.
    pub rows: u64,
    /// How long it took, in ns.
    pub duration_ns: u64,
    /// When it ended, in ns since 1970.
    pub now_ns: i64,
}

impl Exposition {
    /// An empty registry.
    ///
    /// # Errors
    /// None with the constants of this file.
    pub fn new() -> Result<Exposition, BuildError> {
        let recorder = PrometheusBuilder::new().set_buckets(&LATENCY_BUCKETS)?.build_recorder();
        let handle = recorder.handle();
        let exposition = Exposition { recorder, handle };
        exposition.record(describe);
        Ok(exposition)
    }

    /// Runs `f` so that the macros of `metrics` reach this registry.
    fn record<T>(&self, f: impl FnOnce() -> T) -> T {
        metrics::with_local_recorder(&self.recorder, f)
    }

    /// Counts an answered request.
    pub fn request(&self, request: RequestRecord) {
        let RequestRecord { method, path, status, seconds } = request;
        self.record(|| {
            counter!(REQUESTS, "method" => method, "path" => path, "status" => status.to_string())
                .increment(1);
            histogram!(REQUEST_SECONDS, "path" => path).record(seconds);
        });
    }

    /// Counts a request whose handler panicked.
    pub fn panicked(&self) {
        self.record(|| counter!(PANICS).increment(1));
    }

    /// Counts a write.
    pub fn write(&self, write: WriteRecord) {
        self.record(|| {
            counter!(BODY_BYTES).increment(write.body_bytes);
            counter!(ROWS_WRITTEN).increment(write.rows);
            counter!(LINES_REFUSED).increment(write.lines_refused);
            counter!(FIELDS_IGNORED).increment(write.fields_ignored);
            for kind in RejectKind::ALL {
                let count = write.refused.of(kind);
                if count > 0 {
                    counter!(REFUSED, "reason" => kind.name()).increment(count);
                }
            }
        });
    }

    /// Counts what was not stored of a request of remote write, by its reason.
    pub fn not_stored(&self, record: NotStoredRecord) {
        let NotStoredRecord { samples, histograms, exemplars } = record;
        self.record(|| {
            counter!(NOT_STORED, "reason" => "refused_sample").increment(samples);
            counter!(NOT_STORED, "reason" => "native_histogram").increment(histograms);
            counter!(NOT_STORED, "reason" => "exemplar").increment(exemplars);
        });
    }

    /// Counts what a request of OTLP brought.
    pub fn otlp(&self, record: OtlpRecord) {
        let OtlpRecord { points, points_rejected, exemplars } = record;
        self.record(|| {
            counter!(OTLP_POINTS).increment(points);
            counter!(OTLP_REJECTED).increment(points_rejected);
            counter!(OTLP_EXEMPLARS).increment(exemplars);
        });
    }

    /// Counts a statement that ended.
    pub fn statement(&self, failed: bool) {
        self.record(|| {
            counter!(STATEMENTS).increment(1);
            counter!(STATEMENTS_FAILED).increment(u64::from(failed));
        });
    }

    /// Counts a statement that took longer than `--slow-query-time`.
    pub fn slow_statement(&self) {
        self.record(|| counter!(STATEMENTS_SLOW).increment(1));
    }

    /// Counts a run of a continuous query.
    pub fn continuous(&self, run: ContinuousRecord) {
        self.record(|| {
            counter!(CONTINUOUS_RUNS).increment(1);
            counter!(CONTINUOUS_FAILURES).increment(u64::from(run.failed));
            counter!(CONTINUOUS_ROWS).increment(run.rows);
            gauge!(CONTINUOUS_LAST).set(run.now_ns as f64 / 1e9);
            histogram!(CONTINUOUS_SECONDS).record(to_f64(run.duration_ns) / 1e9);
        });
    }

    /// Takes over how many requests got 401, by what was wrong with their credentials.
    pub fn auth_failures(&self, counts: [(&'static str, u64); 3]) {
        self.record(|| {
            for (kind, count) in counts {
                counter!(AUTH_FAILURES, "kind" => kind).absolute(count);
            }
        });
    }

    /// Drains what histograms have gathered; to be called every few seconds, else they grow.
    pub fn upkeep(&self) {
        self.handle.run_upkeep();
    }

    /// The text of `/metrics`, after copying the numbers that live elsewhere.
    pub fn render(
        &self,
        counters: &StorageCounters,
        statistics: Option<Statistics>,
        budget: &MemoryBudget,
    ) -> String {
        self.record(|| {
            counters.each(|name, help, value| {
                describe_counter!(name, help);
                counter!(name).absolute(value);
            });
            if let Some(statistics) = statistics {
                for (name, help, value) in sizes(&statistics) {
                    describe_gauge!(name, help);
                    gauge!(name).set(to_f64(value));
                }
            }
            for pool in Pool::ALL {
                let name = pool.name();
                gauge!(MEMORY_USED, "pool" => name).set(to_f64(budget.used(pool) as u64));
                gauge!(MEMORY_LIMIT, "pool" => name).set(to_f64(budget.limit(pool) as u64));
                gauge!(MEMORY_PRESSURE, "pool" => name).set(pressure_level(budget.pressure(pool)));
            }
            let level = pressure_level(budget.process_pressure());
            gauge!(PROCESS_PRESSURE).set(level);
            if let Some(memory) = ProcessMemory::read() {
                gauge!(PROCESS_RESIDENT).set(to_f64(memory.resident));
            }
            gauge!(BUILD_INFO, "version" => env!("CARGO_PKG_VERSION")).set(1.0);
        });
        self.handle.render()
    }
}

fn describe() {
    describe_counter!(REQUESTS, "HTTP requests that were answered.");
    describe_histogram!(
        REQUEST_SECONDS,
        Unit::Seconds,
        "Time from the head of a request to its response."
    );
    describe_counter!(PANICS, "Requests that ended in a panic and were answered with 500.");
    describe_counter!(BODY_BYTES, Unit::Bytes, "Bytes of request bodies of writes, as sent.");
    describe_counter!(ROWS_WRITTEN, "Rows that writes stored.");
    describe_counter!(LINES_REFUSED, "Lines that writes refused.");
    describe_counter!(REFUSED, "Lines that writes refused, by the kind of reason.");
    describe_counter!(FIELDS_IGNORED, "Text fields that writes left out.");
    describe_counter!(NOT_STORED, "Elements of remote write that are not stored, by reason.");
    describe_counter!(OTLP_POINTS, "Data points that OTLP brought.");
    describe_counter!(OTLP_REJECTED, "Data points of OTLP that were not stored, or not whole.");
    describe_counter!(OTLP_EXEMPLARS, "Exemplars of OTLP, which are not stored.");
    describe_counter!(STATEMENTS, "Query statements that ended.");
    describe_counter!(STATEMENTS_FAILED, "Query statements that ended with an error.");
    describe_counter!(STATEMENTS_SLOW, "Query statements that took longer than --slow-query-time.");
    describe_counter!(CONTINUOUS_RUNS, "Runs of continuous queries.");
    describe_counter!(CONTINUOUS_FAILURES, "Runs of continuous queries that failed.");
    describe_counter!(CONTINUOUS_ROWS, "Rows that continuous queries wrote.");
    describe_gauge!(CONTINUOUS_LAST, Unit::Seconds, "When a continuous query ran last, Unix time.");
    describe_histogram!(CONTINUOUS_SECONDS, Unit::Seconds, "Time of runs of continuous queries.");
    describe_counter!(
        AUTH_FAILURES,
        "Requests that got 401, by what was wrong with their credential."
    );
    describe_gauge!(MEMORY_USED, Unit::Bytes, "Managed memory in use.");
    describe_gauge!(MEMORY_LIMIT, Unit::Bytes, "Managed memory that may be used.");
    describe_gauge!(MEMORY_PRESSURE, "0 normal, 1 elevated, 2 high.");
    describe_gauge!(
        PROCESS_PRESSURE,
        "How near the process is to what the system lets it have: 0 normal, 1 elevated, 2 high."
    );
    describe_gauge!(PROCESS_RESIDENT, Unit::Bytes, "Resident memory that is the process's own.");
    describe_gauge!(BUILD_INFO, "Always 1; the label tells the version.");
}

fn sizes(statistics: &Statistics) -> [(&'static str, &'static str, u64); 11] {
    [
        ("tsdb_storage_series", "Series that are registered in memory.", statistics.series),
        ("tsdb_storage_memory_rows", "Rows in memory.", statistics.memory_rows),
        ("tsdb_storage_runs", "Run files.", statistics.runs),
        ("tsdb_storage_run_bytes", "Bytes of all run files.", statistics.run_bytes),
        ("tsdb_storage_run_rows", "Rows in run files.", statistics.run_rows),
        ("tsdb_storage_wal_bytes", "Bytes of the write-ahead log.", statistics.wal_bytes),
        ("tsdb_storage_live_deletes", "Deletes that still hide rows.", statistics.live_deletes),
        ("tsdb_storage_visible_sequence", "Highest visible sequence number.", statistics.visible),
        ("tsdb_disk_free_bytes", "Free space of the data's disk.", statistics.disk_free_bytes),
        (
            "tsdb_disk_reserve_bytes",
            "Free space below which rows are refused.",
            statistics.disk_reserve_bytes,
        ),
        (
            "tsdb_disk_short",
            "1 while rows are refused because the disk is short of room.",
            u64::from(statistics.is_read_only),
        ),
    ]
}

fn pressure_level(pressure: Pressure) -> f64 {
    match pressure {
        Pressure::Normal => 0.0,
        Pressure::Elevated => 1.0,
        Pressure::High => 2.0,
    }
}

/// Prometheus knows floats only; above 2^53 the last digits do not matter to a graph.
fn to_f64(value: u64) -> f64 {
    value as f64
}
