//! The formats over the engine and over the log: what was parsed from any of them is there after a
//! restart.

#![expect(clippy::unwrap_used, reason = "a test reports by panicking, its helpers too")]

use std::collections::BTreeMap;

use tsdb_core::env::Env;
use tsdb_core::{
    Append, Block, DataPoint, Maintain, MemoryBudget, MemoryStore, ScanRequest, Select, TimeRange,
};
use tsdb_ingest::{
    Csv, Format, FormatRegistry, Json, LineProtocol, ParseOptions, Pipeline, PipelineOptions,
    Precision, WriteRequest,
};
use tsdb_lsm::{Engine, EngineOptions};
use tsdb_wal::{Floor, PointLog, WalOptions};

/// The same points in each format.
const LINE: &str =
    "cpu,host=a usage=0.5,value=1 10\ncpu,host=b usage=1.5 20\nmem,host=a value=7 30\n";
const JSON: &str = r#"[
    {"measurement": "cpu", "tags": {"host": "a"}, "fields": {"usage": 0.5, "value": 1}, "time": 10},
    {"measurement": "cpu", "tags": {"host": "b"}, "fields": {"usage": 1.5}, "time": 20},
    {"measurement": "mem", "tags": {"host": "a"}, "value": 7, "time": 30}
]"#;
const CSV: &str =
    "measurement,host:tag,usage,value,time\ncpu,a,0.5,1,10\ncpu,b,1.5,,20\nmem,a,,7,30\n";

fn formats() -> [(Box<dyn Format>, &'static str); 3] {
    [
        (Box::new(LineProtocol::default()), LINE),
        (Box::new(Json::default()), JSON),
        (Box::new(Csv::default()), CSV),
    ]
}

/// Measurements with their rows, as text.
fn rows(store: &dyn Select, namespace: tsdb_core::NamespaceId) -> Vec<String> {
    let mut rows = Vec::new();
    for measurement in ["cpu", "mem"] {
        let request = ScanRequest::all(namespace, measurement);
        let mut selection = store.snapshot().unwrap().select(&request).unwrap();
        let mut block = Block::new();
        for cursor in &mut selection.cursors {
            while cursor.next(&mut block).unwrap() {
                for (place, time) in block.times.iter().enumerate() {
                    let values: Vec<Option<f64>> =
                        block.columns.iter().map(|column| column.get(place)).collect();
                    rows.push(format!("{measurement} {time} {values:?}"));
                }
            }
        }
    }
    rows
}

#[test]
fn every_format_is_stored_by_the_engine_and_survives_a_restart() {
    let mut seen = Vec::new();
    for (_, body) in formats() {
        let dir = tempfile::tempdir().unwrap();
        let engine = Engine::open(EngineOptions::new(dir.path())).unwrap();
        let pipeline =
            Pipeline::new(engine.clone(), MemoryBudget::default(), PipelineOptions::default());
        let registry = FormatRegistry::default();
        let choice = registry.choose(None, None).unwrap();
        let candidates = registry.candidates(&choice, body.as_bytes()).unwrap();
        let options = ParseOptions::new(Precision::Nanoseconds, 0);
        let request = WriteRequest { database: "d", policy: None, body: body.as_bytes(), options };
        let report = pipeline.write_first(&candidates, &request).unwrap();
        assert_eq!((report.rows, report.samples, report.errors_total), (3, 4, 0), "{body}");
        report.ticket.unwrap().wait().unwrap();
        let namespace = engine.catalogue().namespace("d", None).unwrap().id;
        let written = rows(&*engine, namespace);
        engine.close().unwrap();
        drop((pipeline, engine));
        let engine = Engine::open(EngineOptions::new(dir.path())).unwrap();
        assert_eq!(rows(&*engine, namespace), written, "{body}");
        engine.close().unwrap();
        seen.push(written);
    }
    let expected =
        ["cpu 10 [Some(0.5), Some(1.0)]", "cpu 20 [Some(1.5), None]", "mem 30 [Some(7.0)]"];
    assert!(seen.iter().all(|rows| *rows == expected), "{seen:?}");
}

/// The blueprint's way: bytes to data points, these to the log, and back into memory.
#[test]
fn points_of_every_format_survive_in_the_log() {
    for (format, body) in formats() {
        let points = format.parse(body.as_bytes()).unwrap();
        assert_eq!(points.len(), 4, "{body}");
        let mut by_name: BTreeMap<String, Vec<DataPoint>> = BTreeMap::new();
        for point in points {
            by_name.entry(point.measurement().unwrap().to_owned()).or_default().push(point);
        }
        let dir = tempfile::tempdir().unwrap();
        let options = WalOptions::new(dir.path().join("wal"), *b"formats-and-logs");
        let (log, _) =
            PointLog::open(&Env::real(), options.clone(), Floor::default(), |_, _| {}).unwrap();
        for (name, points) in &by_name {
            log.append(name, points).unwrap();
        }
        log.sync().unwrap();
        drop(log);
        let mut recovered: BTreeMap<String, Vec<DataPoint>> = BTreeMap::new();
        let mut apply =
            |name: &str, point| recovered.entry(name.to_owned()).or_default().push(point);
        PointLog::open(&Env::real(), options.clone(), Floor::default(), &mut apply).unwrap();
        assert_eq!(recovered, by_name, "{body}");
        // And as what they mean, in a store.
        let store = MemoryStore::new();
        PointLog::open_store(&Env::real(), options, Floor::default(), &store).unwrap();
        let values = |name: &str| -> Vec<f64> {
            let found = store.points(name, TimeRange::all()).unwrap();
            found.iter().map(|point| point.value).collect()
        };
        assert_eq!((values("cpu"), values("mem")), (vec![1.0], vec![7.0]), "{body}");
    }
}
