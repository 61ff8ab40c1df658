//! Line protocol to columns, through the pipeline into a store that numbers what it is asked for and keeps
//! nothing: the parser, the caches of series and shapes, validation. No engine, no network.

#![expect(clippy::unwrap_used, reason = "a bench reports by panicking")]

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use tsdb_core::env::SimRng;
use tsdb_core::storage::Resolution;
use tsdb_core::{
    Append, Catalogue, CatalogueChange, DeleteRequest, Epoch, Error, FieldSet, FieldSetRef,
    MemoryBudget, NamespaceId, Result, SeriesKey, SeriesRef, Ticket, WriteBatch,
};
use tsdb_ingest::{
    LineProtocol, ParseOptions, Pipeline, PipelineOptions, Precision, WriteReport, WriteRequest,
};

/// Lines of one request.
const LINES: u64 = 4000;

/// Series that these lines fall to, unless each is of its own.
const HOSTS: u64 = 100;

/// 2016-01-01T00:00:00Z in s, where TSBS data begins.
const START_S: u64 = 1_451_606_400;

/// Fields of a line of TSBS cpu-only.
const FIELDS: [&str; 10] = [
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

/// Numbers every key and field set anew, which is all that a parser needs, and drops batches.
#[derive(Default)]
struct Nowhere {
    catalogue: Mutex<Arc<Catalogue>>,
    given: AtomicU32,
}

impl Append for Nowhere {
    fn resolve(
        &self,
        _: NamespaceId,
        series: &[SeriesKey],
        field_sets: &[FieldSet],
    ) -> Result<Resolution> {
        let next = || self.given.fetch_add(1, Ordering::Relaxed);
        Ok(Resolution {
            epoch: Epoch(0),
            series: series.iter().map(|_| Ok(SeriesRef(next()))).collect(),
            field_sets: field_sets.iter().map(|_| Ok(FieldSetRef(next()))).collect(),
        })
    }

    fn append(&self, _: &WriteBatch) -> Result<Ticket> {
        Ok(Ticket::completed(1))
    }

    fn delete(&self, _: &DeleteRequest) -> Result<Ticket> {
        Err(Error::Closed)
    }

    fn change_catalogue(&self, change: &CatalogueChange) -> Result<Ticket> {
        let mut catalogue = self.catalogue.lock().unwrap();
        let mut changed = Catalogue::clone(&catalogue);
        changed.apply(change)?;
        *catalogue = Arc::new(changed);
        Ok(Ticket::completed(0))
    }

    fn catalogue(&self) -> Arc<Catalogue> {
        Arc::clone(&self.catalogue.lock().unwrap())
    }
}

/// [`LINES`] lines of TSBS cpu-only, time by time: ten tags, ten integers between 0 and 100.
fn cpu_lines(hosts: u64) -> String {
    let rng = SimRng::new(hosts);
    let mut text = String::new();
    for line in 0..LINES {
        let (host, rack) = (line % hosts, line % hosts % 100);
        write!(
            text,
            "cpu,hostname=host_{host},region=eu-central-1,datacenter=eu-central-1a,rack={rack},\
             os=Ubuntu16.04LTS,arch=x64,team=SF,service=19,service_version=1,\
             service_environment=production "
        )
        .unwrap();
        for (place, field) in FIELDS.iter().enumerate() {
            let separator = if place == 0 { "" } else { "," };
            write!(text, "{separator}{field}={}i", rng.below(101)).unwrap();
        }
        writeln!(text, " {}000000000", START_S + line / hosts * 10).unwrap();
    }
    text
}

/// [`LINES`] lines of one tag and one decimal fraction.
fn value_lines() -> String {
    let rng = SimRng::new(1);
    let mut text = String::new();
    for line in 0..LINES {
        let (sensor, time_s) = (line % HOSTS, START_S + line / HOSTS * 10);
        let (whole, hundredths) = (15 + rng.below(15), rng.below(100));
        writeln!(
            text,
            "temperature,sensor=s{sensor} value={whole}.{hundredths:02} {time_s}000000000"
        )
        .unwrap();
    }
    text
}

fn pipeline() -> Pipeline {
    let store = Arc::new(Nowhere::default());
    Pipeline::new(store, MemoryBudget::default(), PipelineOptions::default())
}

fn write(pipeline: &Pipeline, body: &str) -> WriteReport {
    let request = WriteRequest {
        database: "bench",
        policy: None,
        body: body.as_bytes(),
        options: ParseOptions::new(Precision::Nanoseconds, 0),
    };
    pipeline.write(&LineProtocol::default(), &request).unwrap()
}

fn line_protocol(c: &mut Criterion) {
    let mut group = c.benchmark_group("line_protocol");
    for (name, body) in [("cpu_known", cpu_lines(HOSTS)), ("value_known", value_lines())] {
        let pipeline = pipeline();
        // The first request makes the series known.
        assert_eq!(write(&pipeline, &body).rows, LINES);
        group.throughput(Throughput::Bytes(body.len() as u64));
        group.bench_function(name, |b| b.iter(|| write(&pipeline, &body)));
    }
    let body = cpu_lines(LINES);
    group.throughput(Throughput::Bytes(body.len() as u64));
    group.bench_function("cpu_new", |b| {
        b.iter_batched_ref(pipeline, |pipeline| write(pipeline, &body), BatchSize::PerIteration);
    });
    group.finish();
}

criterion_group!(benches, line_protocol);
criterion_main!(benches);
