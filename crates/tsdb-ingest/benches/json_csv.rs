//! JSON and CSV to columns, beside the same rows as line protocol: through the pipeline into a store that
//! numbers what it is asked for and keeps nothing. No engine, no network.

#![expect(clippy::unwrap_used, reason = "a bench reports by panicking")]

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use tsdb_core::env::SimRng;
use tsdb_core::storage::Resolution;
use tsdb_core::{
    Append, Catalogue, CatalogueChange, DeleteRequest, Epoch, Error, FieldSet, FieldSetRef,
    MemoryBudget, NamespaceId, Result, SeriesKey, SeriesRef, Ticket, WriteBatch,
};
use tsdb_ingest::{
    Csv, Format, Json, LineProtocol, ParseOptions, Pipeline, PipelineOptions, Precision,
    WriteRequest,
};

/// Rows of one request.
const ROWS: usize = 4000;

/// Series that these rows fall to.
const HOSTS: usize = 100;

/// 2016-01-01T00:00:00Z in s, where TSBS data begins.
const START_S: usize = 1_451_606_400;

/// Tags of a row, those of TSBS cpu-only that tell hosts apart.
const TAGS: [&str; 3] = ["hostname", "region", "rack"];

/// Fields of a row of TSBS cpu-only.
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

/// A row as data: values of its tags and fields, and its time in ns.
struct Row {
    tags: [String; TAGS.len()],
    fields: [u64; FIELDS.len()],
    time: String,
}

fn data() -> Vec<Row> {
    let rng = SimRng::new(1);
    let row = |place: usize| {
        let (host, round) = (place % HOSTS, place / HOSTS);
        Row {
            tags: [format!("host_{host}"), "eu-central-1".to_owned(), (host % 100).to_string()],
            fields: std::array::from_fn(|_| rng.below(101)),
            time: format!("{}000000000", START_S + round * 10),
        }
    };
    (0..ROWS).map(row).collect()
}

fn lines(rows: &[Row]) -> String {
    let mut text = String::new();
    for row in rows {
        text.push_str("cpu");
        for (name, value) in TAGS.iter().zip(&row.tags) {
            write!(text, ",{name}={value}").unwrap();
        }
        for (place, (name, value)) in FIELDS.iter().zip(row.fields).enumerate() {
            write!(text, "{}{name}={value}", if place == 0 { ' ' } else { ',' }).unwrap();
        }
        writeln!(text, " {}", row.time).unwrap();
    }
    text
}

fn members<V: std::fmt::Display>(names: &[&str], values: impl Iterator<Item = V>) -> String {
    let members: Vec<String> =
        names.iter().zip(values).map(|(name, value)| format!("\"{name}\":{value}")).collect();
    members.join(",")
}

fn record(row: &Row) -> String {
    let tags = members(&TAGS, row.tags.iter().map(|value| format!("\"{value}\"")));
    let fields = members(&FIELDS, row.fields.iter());
    let time = &row.time;
    format!(
        "{{\"measurement\":\"cpu\",\"tags\":{{{tags}}},\"fields\":{{{fields}}},\"time\":{time}}}"
    )
}

/// One columnar record for each host.
fn columns(rows: &[Row]) -> String {
    let mut records = Vec::new();
    for host in 0..HOSTS {
        let own: Vec<&Row> = rows.iter().skip(host).step_by(HOSTS).collect();
        let list = |values: Vec<String>| format!("[{}]", values.join(","));
        let field = |field: usize| {
            list(own.iter().filter_map(|row| row.fields.get(field)).map(u64::to_string).collect())
        };
        let tags =
            own.first().map(|row| members(&TAGS, row.tags.iter().map(|v| format!("\"{v}\""))));
        let tags = tags.unwrap();
        let fields = members(&FIELDS, (0..FIELDS.len()).map(field));
        let times = list(own.iter().map(|row| row.time.clone()).collect());
        records.push(format!(
            "{{\"measurement\":\"cpu\",\"tags\":{{{tags}}},\"time\":{times},\"fields\":{{{fields}}}}}"
        ));
    }
    records.join("\n")
}

fn table(rows: &[Row]) -> String {
    let mut text = String::from("measurement,time");
    for name in TAGS {
        write!(text, ",{name}:tag").unwrap();
    }
    for name in FIELDS {
        write!(text, ",{name}:field").unwrap();
    }
    text.push('\n');
    for row in rows {
        write!(text, "cpu,{},{}", row.time, row.tags.join(",")).unwrap();
        for value in row.fields {
            write!(text, ",{value}").unwrap();
        }
        text.push('\n');
    }
    text
}

fn json_csv(c: &mut Criterion) {
    let rows = data();
    let records: Vec<String> = rows.iter().map(record).collect();
    let cases: [(&str, &dyn Format, String); 5] = [
        ("line_protocol", &LineProtocol::default(), lines(&rows)),
        ("json_array", &Json::default(), format!("[{}]", records.join(","))),
        ("json_lines", &Json::default(), records.join("\n")),
        ("json_columns", &Json::default(), columns(&rows)),
        ("csv", &Csv::default(), table(&rows)),
    ];
    let mut group = c.benchmark_group("json_csv");
    for (name, format, body) in &cases {
        let store = Arc::new(Nowhere::default());
        let pipeline = Pipeline::new(store, MemoryBudget::default(), PipelineOptions::default());
        let write = || {
            let request = WriteRequest {
                database: "bench",
                policy: None,
                body: body.as_bytes(),
                options: ParseOptions::new(Precision::Nanoseconds, 0),
            };
            pipeline.write(*format, &request).unwrap()
        };
        // The first request makes the series known.
        assert_eq!(write().samples, (ROWS * FIELDS.len()) as u64);
        // By rows, not by bytes: the formats take different numbers of bytes for the same rows.
        group.throughput(Throughput::Elements((ROWS * FIELDS.len()) as u64));
        group.bench_function(*name, |b| b.iter(write));
    }
    group.finish();
}

criterion_group!(benches, json_csv);
criterion_main!(benches);
