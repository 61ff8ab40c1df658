//! Remote write that is refused: bodies as a whole, and series and samples of good ones. `docs/formats.md` is
//! where the expectations come from.

use prost::Message;
use tsdb_ingest::remote_write_messages::{Histogram, Label, Sample, TimeSeries, WriteRequest, v2};
use tsdb_tests::http::Response;

use super::{Bench, Case};

/// What it is, the message before it is packed, and what is said; 400, and nothing is stored.
type Damaged = (&'static str, &'static [u8], &'static str);

#[rustfmt::skip]
const DAMAGED: &[Damaged] = &[
    ("text", b"up 1", "a number that is cut off"),
    ("a cut length", b"\x0a", "an integer that does not end at byte 1"),
    ("a length beyond the end", b"\x0a\x05abcd", "a length beyond the end at byte 1"),
    ("the largest length", b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", "a length beyond the end"),
    ("an endless integer", b"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", "wrong wire type"),
    ("an endless length", b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", "an integer that does not end"),
    ("the field 0", b"\x02\x00", "a field with the number 0"),
    ("no wire type", b"\x0f", "a field of no known wire type"),
    ("series as a number", b"\x08\x01", "a field of the wrong wire type"),
    ("a sample as a number", b"\x0a\x02\x10\x01", "a field of the wrong wire type"),
    ("a label as a number", b"\x0a\x02\x08\x01", "a field of the wrong wire type"),
    ("a value as an integer", b"\x0a\x04\x12\x02\x08\x01", "a field of the wrong wire type"),
    ("a time as a float", b"\x0a\x0b\x12\x09\x11\x00\x00\x00\x00\x00\x00\x00\x00", "wrong wire type"),
    ("a cut value", b"\x0a\x05\x12\x03\x09\x00\x00", "a number that is cut off"),
    ("a label that is not UTF-8", b"\x0a\x05\x0a\x03\x0a\x01\xff", "text that is not UTF-8 at byte 6"),
    ("help that is not UTF-8", b"\x1a\x03\x22\x01\xff", "text that is not UTF-8"),
    ("a group without end", b"\x3b", "an integer that does not end"),
    ("an end without group", b"\x3c", "the end of a group that never began"),
    ("the end of another group", b"\x3b\x44", "the end of another group"),
    ("a histogram of text", b"\x0a\x05\x22\x03\x1a\x01x", "a field of the wrong wire type"),
    ("an exemplar that is cut", b"\x0a\x03\x1a\x01\x11", "a number that is cut off"),
];

/// Labels of a series with one sample at a time, beside a good one, and what is said.
type Series = (&'static [(&'static str, &'static str)], i64, &'static str);

#[rustfmt::skip]
const SERIES: &[Series] = &[
    (&[], 1, "no label __name__: give every series the name of its metric"),
    (&[("job", "x")], 1, "{job=\"x\"}: no label __name__"),
    (&[("__name__", "")], 1, "no label __name__"),
    (&[("__name__", "m"), ("", "x")], 1, "a label has no name: name it, or leave it out"),
    (&[("__name__", "m"), ("a", "1"), ("a", "2")], 1, "\"a\" is given twice, keep one of them"),
    (&[("__name__", "m"), ("a", "1"), ("a", "")], 1, "\"a\" is given twice, keep one of them"),
    (&[("__name__", "m"), ("__name__", "n")], 1, "\"__name__\" is given twice"),
    (&[("__name__", "m"), ("__field__", "f")], 1, "__field__"),
    (&[("__name__", "m"), ("time", "f")], 1, "rename the tag"),
    (&[("__name__", "m\0")], 1, "NUL"),
    (&[("__name__", "m"), ("a", "x\0y")], 1, "NUL"),
    (&[("__name__", "m")], i64::MAX, "m{} 9223372036854775807: time outside range"),
    (&[("__name__", "m")], i64::MIN, "check the time and its unit"),
    (&[("__name__", "m")], 9_223_372_036_855, "time outside range"),
];

/// Numbers of labels of 2.0 beside a good series, and what is said.
const REFERENCES: &[(&[u32], &str)] = &[
    (&[1], "labels_refs has 1 entries: send pairs of a name and a value"),
    (&[1, 2, 1], "labels_refs has 3 entries"),
    (&[1, 3], "labels_refs has a 3, and the table has 3 symbols: number them from 0"),
    (&[u32::MAX, u32::MAX], "labels_refs has a 4294967295"),
    (&[], "no label __name__"),
    (&[2, 2], "no label __name__"),
    (&[0, 2, 1, 2], "a label has no name"),
    (&[1, 2, 1, 2], "\"__name__\" is given twice"),
    (&[1; 1000], "labels"),
];

/// How many bad inputs the tables hold.
pub fn count() -> usize {
    DAMAGED.len() + SERIES.len() + REFERENCES.len() + PACKED.len() + LARGE
}

/// Packed bodies: what they are, the bytes, status, and what is said.
type Packed = (&'static str, fn() -> Vec<u8>, u16, &'static str);

#[rustfmt::skip]
const PACKED: &[Packed] = &[
    ("no snappy", || b"\xff\xff\xff\xff\xff\xff\xff".to_vec(), 400, "not valid snappy"),
    ("2.7 GB in 47 bytes", || [&[0x97, 0xea, 0xb4, 0x89, 0x0a][..], &[0xfe; 42]].concat(), 413, "unpacks to more than"),
    ("60 MiB in 47 bytes", || [&[0x80, 0x80, 0x80, 0x1e][..], &[0xfe; 43]].concat(), 400, "cannot be in it"),
    ("framed", || b"\xff\x06\x00\x00sNaPpY".to_vec(), 400, "not valid snappy"),
    ("cut", || pack(&[0; 4000])[..20].to_vec(), 400, "not valid snappy"),
    ("not packed", || good().encode_to_vec(), 400, "not valid snappy"),
];

/// Cases with large bodies.
const LARGE: usize = 3;

fn pack(bytes: &[u8]) -> Vec<u8> {
    snap::raw::Encoder::new().compress_vec(bytes).unwrap()
}

fn series(labels: &[(&str, &str)], time: i64) -> TimeSeries {
    let label = |(name, value): &(&str, &str)| Label {
        name: (*name).to_owned(),
        value: (*value).to_owned(),
    };
    TimeSeries {
        labels: labels.iter().map(label).collect(),
        samples: vec![Sample { value: 1.0, timestamp: time }],
        ..TimeSeries::default()
    }
}

fn good() -> WriteRequest {
    let timeseries = vec![series(&[("__name__", "good"), ("job", "x")], 7)];
    WriteRequest { timeseries, ..WriteRequest::default() }
}

impl Case {
    fn remote_write(&mut self, proto: &str, body: &[u8]) -> Response {
        let content_type = format!("application/x-protobuf{proto}");
        let headers = [("Content-Type", content_type.as_str()), ("Content-Encoding", "snappy")];
        self.send("POST", "/api/v1/write?db=$DB", &headers, body)
    }

    /// Checks a refusal of remote write, which is text.
    fn told(&mut self, response: &Response, status: u16, says: &str) {
        let text = response.text();
        let shown = || text.chars().take(400).collect::<String>();
        let found = response.status;
        self.expect(found == status, || format!("{found}, not {status}: {}", shown()));
        self.expect(text.contains(says), || format!("{says:?} is not in {}", shown()));
        let plain = response.header("content-type") == Some("text/plain; charset=utf-8");
        self.expect(plain && text.ends_with('\n'), || format!("no plain text: {}", shown()));
        self.expect(text.len() < 128 << 10, || "a very long answer".to_owned());
    }
}

/// Sends them all.
pub fn run(bench: &mut Bench) {
    for (what, message, says) in DAMAGED {
        bench.case(&format!("remote write: {what}"), |case| {
            let response = case.remote_write("", &pack(message));
            case.told(&response, 400, says);
            case.stored(0);
        });
    }
    for (labels, time, says) in SERIES {
        bench.case(&format!("remote write: {labels:?} {time}"), |case| {
            let mut request = good();
            request.timeseries.insert(0, series(labels, *time));
            let response = case.remote_write("", &pack(&request.encode_to_vec()));
            case.told(&response, 400, says);
            case.told(&response, 400, "1 samples stored; not stored: 1 samples, 0 native");
            case.stored(1);
        });
    }
    for (references, says) in REFERENCES {
        bench.case(
            &format!("remote write 2.0: {:?}", &references[..references.len().min(4)]),
            |case| {
                let of = |references: &[u32]| v2::TimeSeries {
                    labels_refs: references.to_vec(),
                    samples: vec![v2::Sample { value: 1.0, timestamp: 1, start_timestamp: 0 }],
                    ..v2::TimeSeries::default()
                };
                let symbols = ["", "__name__", "good"].map(str::to_owned).to_vec();
                let request =
                    v2::Request { symbols, timeseries: vec![of(references), of(&[1, 2])] };
                let body = pack(&request.encode_to_vec());
                let response = case.remote_write(";proto=io.prometheus.write.v2.Request", &body);
                case.told(&response, 400, says);
                let written = response.header("x-prometheus-remote-write-samples-written");
                case.expect(written == Some("1"), || format!("{written:?} samples are counted"));
                case.stored(1);
            },
        );
    }
    for (what, make, status, says) in PACKED {
        bench.case(&format!("remote write: {what}"), |case| {
            let response = case.remote_write("", &make());
            case.told(&response, *status, says);
            case.stored(0);
        });
    }
    large(bench);
}

/// Bodies that are short when they are packed, and unpack to millions of one thing: kept one by one, they would take more
/// than a case may.
fn large(bench: &mut Bench) {
    let growth_max = super::LARGE_GROWTH_BYTES_MAX;
    let empty_series = pack(&b"\x0a\x00".repeat(2 << 20));
    bench.case("remote write: two million empty series", |case| {
        let response = case.remote_write("", &empty_series);
        case.told(&response, 400, "and 2097052 more");
        case.stored(0);
    });
    let empty_symbols = pack(&b"\x22\x00".repeat(4 << 20));
    bench.case("remote write 2.0: four million empty symbols", |case| {
        let proto = ";proto=io.prometheus.write.v2.Request";
        let response = case.remote_write(proto, &empty_symbols);
        let is_refused = response.status == 413 || response.status == 204;
        case.expect(is_refused, || format!("{}: {}", response.status, response.text()));
        case.stored(0);
    });
    let mut request = good();
    request.timeseries.push(TimeSeries {
        histograms: vec![Histogram::default(); 1 << 20],
        ..series(&[("__name__", "m")], 1)
    });
    let histograms = pack(&request.encode_to_vec());
    bench.case_within(growth_max, "remote write: a million histograms", |case| {
        let response = case.remote_write("", &histograms);
        case.told(
            &response,
            400,
            "2 samples stored; not stored: 0 samples, 1048576 native histograms",
        );
        case.stored(2);
    });
}
