//! Damaged requests, in this process: of a sample of each format every beginning, and hundreds with a byte
//! changed, left out or put in. Nothing panics, the time is bounded, every line is stored, left out or
//! refused, and what was accepted can be read.

#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test reports by panicking, its helpers too"
)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use tsdb_core::storage::SeriesRequest;
use tsdb_core::{
    Append, Block, MemoryBudget, MemoryStore, NamespaceId, Pool, ScanRequest, Select, time,
};
use tsdb_ingest::{
    Csv, Error, Format, FormatRegistry, Json, LineProtocol, ParseOptions, Pipeline,
    PipelineOptions, Precision, WriteReport, WriteRequest, limits,
};

/// Bytes that mean something in one of the formats, beside those that mean nothing in any.
const SPECIAL: &[u8] = b"{}[],:;\"\\'=#.+-eEiutfnN019 \t\r\n\0\x1f\x7f\x80\xbf\xc3\xe2\xed\xf0\xff";

/// Changes of each sample.
const CHANGES: usize = 3000;

/// Longest time of one request of a few hundred bytes; they take microseconds.
const REQUEST_TIME_MAX: Duration = Duration::from_secs(2);

const LINE: &str = "# a comment\n\
    cpu,host=a,dc=eu\\ west usage=0.5,idle=99i,up=t,note=\"a \\\"text\\\", with\nlines\" 1700000000000000000\n\
    mem free=-1.5e3,used=12u\r\n\
    disk,path=/ k\u{f6}ln=1 5\n\n  net rx=18446744073709551615u,tx=.5 -7\n";

const JSON: &str = r#"[{"measurement": "cpu", "tags": {"host": "a", "dc": null}, "fields": {"usage": 0.5, "idle": 99, "up": true, "note": "\u00e4\ud83d\ude00\n"}, "time": 1700000000000000000},
 {"measurement": "mem", "value": -1.5e3, "time": "2023-11-14T22:13:20.5Z"}, {"value": 1, "measurement": "m\u0041x", "timestamp": -7}]"#;

const LINES_OF_JSON: &str = "{\"measurement\":\"cpu\",\"tags\":{\"host\":\"a\"},\"value\":1,\"time\":1}\n\
    \n{\"measurement\":\"cpu\",\"tags\":{\"host\":\"b\"},\"value\":2.5,\"time\":2}\r\n\
    {\"measurement\":\"mem\",\"fields\":{\"a\":1,\"b\":null}}\n";

const COLUMNS: &str = r#"{"measurement":"cpu","tags":{"host":"a"},"time":[1,2,"1970-01-01T00:00:01Z",null],"fields":{"usage":[0.5,null,0.7,1],"idle":[1,2,3,true],"note":["x",null,null,"y"]},"value":[1,2,3,4]}"#;

const TABLE: &str = "\u{feff}measurement,time:s,host:tag,usage,idle,note:ignore\r\n\
    cpu,1700000000,a,0.64,0.36,first\n\
    \"cpu\",1700000001,\"b,\"\"c\"\"\",.5,,\"two\nlines\"\n\n\
    mem,,,true,1e3,\n";

const TABS: &str = "host\tusage\tts:rfc3339\na\t0.64\t2023-11-14T22:13:20Z\nb\t1\t\n";

/// A sample, the format that it is in, and the parameters of its request.
type Sample = (&'static str, fn() -> Box<dyn Format>, &'static [(&'static str, &'static str)]);

fn samples() -> [Sample; 6] {
    [
        (LINE, || Box::new(LineProtocol::default()), &[]),
        (JSON, || Box::new(Json::default()), &[]),
        (LINES_OF_JSON, || Box::new(Json::default()), &[]),
        (COLUMNS, || Box::new(Json::default()), &[]),
        (TABLE, || Box::new(Csv::default()), &[]),
        (
            TABS,
            || Box::new(Csv::default()),
            &[("delimiter", "tab"), ("measurement", "m"), ("tags", "host")],
        ),
    ]
}

/// A small generator (SplitMix64): a failure is found again by the change that it prints.
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ mixed >> 31) % bound as u64).unwrap()
    }

    /// `sample` with one byte changed, left out, put in or said twice.
    fn damage(&mut self, sample: &[u8]) -> Vec<u8> {
        let mut bytes = sample.to_vec();
        let at = self.below(sample.len());
        let byte = match self.below(4) {
            0 => u8::try_from(self.below(256)).unwrap(),
            _ => SPECIAL[self.below(SPECIAL.len())],
        };
        match self.below(5) {
            0 | 1 => bytes[at] = byte,
            2 => drop(bytes.remove(at)),
            3 => bytes.insert(at, byte),
            _ => bytes.insert(at, sample[at]),
        }
        bytes
    }
}

/// A store with a pipeline into it.
struct Fixture {
    store: Arc<MemoryStore>,
    budget: MemoryBudget,
    pipeline: Pipeline,
}

impl Fixture {
    fn new() -> Fixture {
        let (store, budget) = (Arc::new(MemoryStore::new()), MemoryBudget::default());
        let pipeline = Pipeline::new(store.clone(), budget.clone(), PipelineOptions::default());
        Fixture { store, budget, pipeline }
    }

    /// Sends a body, checks what must hold whatever it was, and returns what became of it.
    fn send(
        &self,
        send: impl FnOnce(&Pipeline, &WriteRequest<'_>) -> tsdb_ingest::Result<WriteReport>,
        body: &[u8],
        parameters: &[(&str, &str)],
    ) -> Option<WriteReport> {
        let options = ParseOptions { parameters, ..ParseOptions::new(Precision::Nanoseconds, NOW) };
        let request = WriteRequest { database: "d", policy: None, body, options };
        let begin = Instant::now();
        let outcome = send(&self.pipeline, &request);
        assert!(begin.elapsed() < REQUEST_TIME_MAX, "{:?}", begin.elapsed());
        assert_eq!(self.budget.used(Pool::Bodies), 0, "memory is given back");
        let mut report = match outcome {
            Ok(report) => report,
            // A request that nobody can read is refused as a whole.
            Err(Error::UnrecognizedInput { .. }) => return None,
            Err(error) => panic!("{error}"),
        };
        if let Some(ticket) = report.ticket.take() {
            ticket.wait().unwrap();
        }
        check_refusals(&report, body);
        Some(report)
    }

    /// Rows that can be read, each by its series and time.
    fn rows(&self) -> usize {
        let namespace = match self.store.catalogue().namespace("d", None) {
            Ok(namespace) => namespace.id,
            Err(_) => return 0,
        };
        let snapshot = self.store.snapshot().unwrap();
        let series = snapshot.series(&SeriesRequest::all(namespace)).unwrap();
        let mut measurements: Vec<&str> = series.iter().map(|key| key.measurement()).collect();
        measurements.dedup();
        measurements.iter().map(|measurement| self.rows_of(namespace, measurement)).sum()
    }

    fn rows_of(&self, namespace: NamespaceId, measurement: &str) -> usize {
        let request = ScanRequest::all(namespace, measurement);
        let mut selection = self.store.snapshot().unwrap().select(&request).unwrap();
        let (mut block, mut rows) = (Block::new(), 0);
        for cursor in &mut selection.cursors {
            while cursor.next(&mut block).unwrap() {
                for (place, stamp) in block.times.iter().enumerate() {
                    assert!(time::check_time(stamp).is_ok(), "{stamp}");
                    assert!(block.columns.iter().any(|column| column.get(place).is_some()));
                    rows += 1;
                }
            }
        }
        rows
    }
}

const NOW: i64 = 1_700_000_000_123_456_789;

/// Each refusal names a place inside of the request, and says something.
fn check_refusals(report: &WriteReport, body: &[u8]) {
    assert!(report.errors.len() <= limits::ERRORS_MAX);
    let total = usize::try_from(report.errors_total).unwrap();
    assert!(report.errors.len() == total.min(limits::ERRORS_MAX));
    let lines = body.iter().filter(|byte| **byte == b'\n').count() + 1;
    let mut last_line = 0;
    for error in &report.errors {
        let line = usize::try_from(error.line).unwrap();
        // An array has its records on one line, and each but the last a comma.
        let commas = body.iter().filter(|byte| **byte == b',').count();
        assert!(line >= 1 && line <= lines + commas + 1, "{error:?}");
        assert!(line >= last_line, "refusals come in the order of the request: {error:?}");
        last_line = line;
        assert!(error.column >= 1 && error.column <= body.len() + 1, "{error:?}");
        assert!(!error.reason.explained().is_empty() && !error.text.contains('\n'), "{error:?}");
    }
}

/// Sends a body to a store of its own, and reads back what was accepted.
fn check(format: &dyn Format, body: &[u8], parameters: &[(&str, &str)]) -> WriteReport {
    let fixture = Fixture::new();
    let report =
        fixture.send(|pipeline, request| pipeline.write(format, request), body, parameters);
    let report = report.unwrap();
    // Two rows of one series and time are one.
    let (stored, readable) = (usize::try_from(report.rows).unwrap(), fixture.rows());
    assert!(readable <= stored && (readable > 0) == (stored > 0), "{readable} of {stored}");
    report
}

/// Runs `check` and shows the body where it fails.
fn shown(body: &[u8], check: impl FnOnce()) {
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(check));
    if let Err(panic) = outcome {
        eprintln!("the body was {:?}", String::from_utf8_lossy(body));
        std::panic::resume_unwind(panic);
    }
}

#[test]
fn samples_are_good() {
    for ((sample, format, parameters), rows) in samples().into_iter().zip([4, 3, 3, 4, 3, 2]) {
        let report = check(&*format(), sample.as_bytes(), parameters);
        assert_eq!((report.rows, report.errors_total), (rows, 0), "{sample} {:?}", report.errors);
    }
}

/// What came before the cut is stored as if nothing had been cut, but for the record that it goes through.
#[test]
fn every_beginning_is_read_or_refused() {
    for (sample, format, parameters) in samples() {
        let format = format();
        let mut rows_before = 0;
        for end in 0..=sample.len() {
            let body = &sample.as_bytes()[..end];
            shown(body, || {
                let report = check(&*format, body, parameters);
                // The record that the cut goes through, and an array that is not closed.
                assert!(report.errors_total <= 2, "{:?}", report.errors);
                // One row at most is there or not by where it was cut.
                assert!(report.rows + 1 >= rows_before, "{} after {rows_before}", report.rows);
                rows_before = rows_before.max(report.rows);
            });
        }
    }
}

#[test]
fn changed_bytes_are_read_or_refused() {
    for (place, (sample, format, parameters)) in samples().into_iter().enumerate() {
        let format = format();
        let mut chance = Chance(place as u64);
        let (mut clean, mut refused) = (0, 0);
        for _ in 0..CHANGES {
            let body = chance.damage(sample.as_bytes());
            shown(&body, || {
                let report = check(&*format, &body, parameters);
                clean += usize::from(report.errors_total == 0);
                refused += usize::from(report.errors_total > 0);
            });
        }
        // Both happen often, else the changes are not what they should be.
        assert!(clean > CHANGES / 20 && refused > CHANGES / 20, "{clean} and {refused}: {sample}");
    }
}

/// The same where the bytes have to tell the format, through one pipeline that remembers what came before.
#[test]
fn changed_bytes_are_told_apart_by_their_looks() {
    let (fixture, registry) = (Fixture::new(), FormatRegistry::default());
    let mut chance = Chance(99);
    let (mut stored, mut before) = (0, 0);
    for (sample, _, parameters) in samples() {
        for _ in 0..CHANGES {
            let body = chance.damage(sample.as_bytes());
            shown(&body, || {
                let choice = registry.choose(None, None).unwrap();
                let send = |pipeline: &Pipeline, request: &WriteRequest<'_>| {
                    let formats = registry.candidates(&choice, &body)?;
                    pipeline.write_first(&formats, request)
                };
                let report = fixture.send(send, &body, parameters).unwrap_or_default();
                stored += usize::try_from(report.rows).unwrap();
            });
        }
        let readable = fixture.rows();
        assert!(readable <= stored && readable >= before, "{readable} of {stored}");
        before = readable;
    }
    assert!(before > 100, "{before} rows can be read");
}

/// Several changes at once, which no single mistake explains.
#[test]
fn requests_that_are_damaged_throughout_are_read_or_refused() {
    for (place, (sample, format, parameters)) in samples().into_iter().enumerate() {
        let format = format();
        let mut chance = Chance(1000 + place as u64);
        for _ in 0..CHANGES {
            let mut body = sample.as_bytes().to_vec();
            for _ in 0..1 + chance.below(20) {
                body = chance.damage(&body);
            }
            shown(&body, || drop(check(&*format, &body, parameters)));
        }
    }
}
