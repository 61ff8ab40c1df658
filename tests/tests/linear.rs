//! Every format takes twice the time for twice the input, whatever is in it: hostile bodies of all formats, repeated to
//! two lengths, by the time that the thread has used.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test reports by panicking, its helpers too"
)]

use std::sync::Arc;
use std::time::Duration;

use prost::Message;
use rustix::time::{ClockId, clock_gettime};
use tsdb_core::{DataPoint, MemoryBudget, MemoryStore};
use tsdb_ingest::remote_write_messages::{Label, Sample, TimeSeries, WriteRequest as V1, v2};
use tsdb_ingest::{
    Csv, Format, Ingestion, Json, LineProtocol, Otlp, OtlpEncoding, ParseOptions, Pipeline,
    PipelineOptions, Precision, PrometheusText, RemoteWrite, RemoteWriteVersion, WriteRequest,
};

/// Length of the shorter body of each shape in bytes; the other has twice as many.
const BYTES: usize = 64 << 10;

/// What twice the input may cost at most: work that is the square of it costs four times as much.
const GROWTH_MAX: f64 = 3.0;

/// Each length is tried this often before its least time counts, and this often again if that is too much: a machine
/// that does something else meanwhile only ever adds to a time.
const TRIES: usize = 2;
const TRIES_MAX: usize = 20;

/// What stands in front of a body, and what is repeated behind it.
type Shape = (&'static str, &'static str);

const LINES: &[Shape] = &[
    ("", "m f=1 1\n"),
    ("", "m\n"),
    ("", "m f=\"x\n"),
    ("", "m f=x,g=\"\n"),
    ("", "m f=x\\=\"\n"),
    ("m ", "f=1,"),
    ("m,", "a=b,"),
    ("m", "\\ "),
    ("m", "\\"),
    ("m f=\"", "\\\""),
    ("m f=\"", "x\n"),
    ("m f=\"\"", "\"\""),
    ("", "#\n"),
    ("", " "),
    ("", "\r"),
    ("m f=", "1"),
    ("m f=0.", "0"),
    ("m f=1 ", "1"),
    ("m,a=", "\\=\\,"),
];

const DOCUMENTS: &[Shape] = &[
    ("[", "{\"measurement\":\"m\",\"value\":1},"),
    ("", "{\"measurement\":\"m\",\"value\":1}\n"),
    ("{\"measurement\":\"m\",\"time\":1,\"fields\":{", "\"f\":1,"),
    ("{\"measurement\":\"m\",\"tags\":{", "\"t\":\"\","),
    ("{\"measurement\":\"m\",\"fields\":{\"f\":[", "1,"),
    ("[", "{\"metric\":\"m\",\"timestamp\":1,\"value\":1},"),
    ("", "{\"metric\":{\"__name__\":\"m\"},\"values\":[1],\"timestamps\":[1]}\n"),
    ("{\"metric\":{\"__name__\":\"m\"},\"values\":[", "1,"),
    ("", "["),
    ("", "{\"a\":"),
    ("", "{\"a\":\n"),
    ("", "{\"\n"),
    ("", "x\n{\n"),
    ("[\"", "\\\""),
    ("[\"", "\\u0041"),
    ("[", "{[}]"),
    ("[{", "]"),
    ("", " "),
    ("", "1"),
];

const TABLES: &[Shape] = &[
    ("measurement,v\n", "m,1\n"),
    ("measurement,v\n", "m\n"),
    ("measurement,v\n", "\n"),
    ("measurement,v\n", "\""),
    ("measurement,v\n", "\"\"\n"),
    ("measurement,v\nm,\"", "\n"),
    ("measurement,v\nm,\"", "\"\""),
    ("measurement,v\nm", ","),
    ("measurement,v\nm,", "1"),
    ("measurement,v\n", "m,x\n"),
    ("", "v,"),
    ("", "\""),
];

const EXPOSITIONS: &[Shape] = &[
    ("", "m 1 1\n"),
    ("", "m{a=\"b\"} 1\n"),
    ("", "m\n"),
    ("", "m{\n"),
    ("m{", "a=\"b\","),
    ("m{", ","),
    ("m{a=\"", "\\\\"),
    ("m{a=\"", "\n"),
    ("m{a=\"", "\\\""),
    ("", "m{a=\"\n"),
    ("", "# HELP m x\n"),
    ("", "#"),
    ("m", " "),
    ("m ", "1"),
    ("m 1 ", "1"),
];

const OTLP_DOCUMENTS: &[Shape] = &[
    ("{\"resourceMetrics\":[", "{},"),
    ("{\"resourceMetrics\":", "["),
    ("{\"resourceMetrics\":[{\"resource\":{\"attributes\":[", "{\"key\":\"a\"},"),
    ("{\"resourceMetrics\":[{\"scopeMetrics\":[{\"metrics\":[", "{\"name\":\"m\"},"),
    ("{", "\"a\":1,"),
    ("{\"a\":", "{\"a\":"),
    ("{\"a\":\"", "\\\""),
    ("{\"a\":\"", "\\u00e4"),
    ("", " "),
    ("", "{\n"),
];

/// Messages of remote write and OTLP, in units of a few bytes.
const MESSAGES: &[Shape] = &[
    ("", "\x0a\x00"),
    ("", "\x1a\x00"),
    ("", "\x22\x00"),
    ("", "\x2a\x00"),
    ("", "\x3b"),
    ("", "\x3b\x3c"),
    ("", "\x78\x01"),
    ("", "\x0a\x02\x0a\x00"),
    ("", "\x0a\x02\x12\x00"),
    ("", "\x0a\x04\x12\x02\x12\x00"),
    ("", "\x0a\x06\x12\x04\x12\x02\x0a\x00"),
];

/// Time that this thread has used.
fn thread_time() -> Duration {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(now.tv_sec.unsigned_abs(), u32::try_from(now.tv_nsec).unwrap())
}

fn write_time(format: &dyn Format, body: &[u8]) -> Duration {
    let store = Arc::new(MemoryStore::new());
    let pipeline = Pipeline::new(store, MemoryBudget::default(), PipelineOptions::default());
    let options = ParseOptions::new(Precision::Nanoseconds, 0);
    let request = WriteRequest { database: "d", policy: None, body, options };
    let begin = thread_time();
    // Refused or not: it is the time that counts.
    let report = pipeline.write(format, &request);
    let time = thread_time() - begin;
    drop(report);
    time
}

/// How many times as long the body of twice the bytes takes.
fn growth(format: &dyn Format, body: impl Fn(usize) -> Vec<u8>) -> f64 {
    let (short, long) = (body(BYTES), body(2 * BYTES));
    let mut least = [Duration::MAX; 2];
    let mut ratio = f64::INFINITY;
    for number in 1..=TRIES_MAX {
        for (least, body) in least.iter_mut().zip([&short, &long]) {
            *least = write_time(format, body).min(*least);
        }
        let [once, twice] = least.map(|time| time.as_secs_f64());
        ratio = twice / once;
        if number >= TRIES && ratio < GROWTH_MAX {
            break;
        }
    }
    ratio
}

fn check(format: &dyn Format, shapes: &[Shape]) {
    for (front, unit) in shapes {
        let ratio = growth(format, |bytes| {
            format!("{front}{}", unit.repeat(bytes / unit.len())).into_bytes()
        });
        println!("{:?} {front:?} {unit:?}: {ratio:.2}", format.supported_formats());
        assert!(
            ratio < GROWTH_MAX,
            "{front:?} and {unit:?}: twice the input takes {ratio:.1} times as long"
        );
    }
}

/// A format that looks at all it has read, every so often.
struct Again;

impl Ingestion for Again {
    fn parse(&self, input: &[u8]) -> tsdb_ingest::Result<Vec<DataPoint>> {
        for end in (0..input.len()).step_by(1024) {
            let sum: u64 = input[..end].iter().map(|byte| u64::from(*byte)).sum();
            std::hint::black_box(sum);
        }
        Ok(Vec::new())
    }

    fn supported_formats(&self) -> Vec<&'static str> {
        vec!["again"]
    }
}

impl Format for Again {}

#[test]
fn what_is_not_linear_is_found() {
    let ratio = growth(&Again, |bytes| vec![b'x'; bytes]);
    assert!(ratio > GROWTH_MAX, "twice the input takes {ratio:.1} times as long");
}

#[test]
fn text_formats_are_linear() {
    check(&LineProtocol::default(), LINES);
    check(&Json::default(), DOCUMENTS);
    check(&Csv::default(), TABLES);
    check(&PrometheusText::default(), EXPOSITIONS);
}

#[test]
fn metrics_of_opentelemetry_are_linear() {
    check(&Otlp::new(OtlpEncoding::Protobuf, None), MESSAGES);
    check(&Otlp::new(OtlpEncoding::Json, None), OTLP_DOCUMENTS);
}

#[test]
fn remote_write_is_linear() {
    for version in [RemoteWriteVersion::V1, RemoteWriteVersion::V2] {
        check(&RemoteWrite::new(version, None), MESSAGES);
    }
    let label = |name: &str, value: &str| Label { name: name.to_owned(), value: value.to_owned() };
    let one = |labels: usize, samples: usize| {
        let mut series =
            TimeSeries { labels: vec![label("a", "b"); labels], ..TimeSeries::default() };
        series.labels.push(label("__name__", "m"));
        series.samples = vec![Sample { value: 1.0, timestamp: 1 }; samples];
        V1 { timeseries: vec![series], ..V1::default() }.encode_to_vec()
    };
    let v1 = RemoteWrite::new(RemoteWriteVersion::V1, None);
    for (what, ratio) in [
        ("labels", growth(&v1, |bytes| one(bytes / 8, 1))),
        ("samples", growth(&v1, |bytes| one(0, bytes / 13))),
    ] {
        assert!(ratio < GROWTH_MAX, "twice the {what} take {ratio:.1} times as long");
    }
    let v2 = RemoteWrite::new(RemoteWriteVersion::V2, None);
    let ratio = growth(&v2, |bytes| {
        let symbols = (0..bytes / 8).map(|n| if n == 0 { String::new() } else { format!("s{n}") });
        let references = (0..u32::try_from(bytes / 8).unwrap()).collect();
        let series = v2::TimeSeries { labels_refs: references, ..v2::TimeSeries::default() };
        v2::Request { symbols: symbols.collect(), timeseries: vec![series; 2] }.encode_to_vec()
    });
    assert!(ratio < GROWTH_MAX, "twice the symbols take {ratio:.1} times as long");
}
