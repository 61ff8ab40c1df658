//! Requests to write that are wrong as a whole: parameters, types, packing, size. Nothing of them is stored.

use std::io::Write;

use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};
use tsdb_tests::seed::Seed;

use super::{Bench, GROWTH_BYTES_MAX, Headers, LARGE_GROWTH_BYTES_MAX, name};

/// What is behind `?`, headers, status, and what is said. The body is a good line.
type Request = (&'static str, Headers, u16, &'static [&'static str]);

const NAMES: &str = "use 1 to 64 of A-Z a-z 0-9 _ . - and begin with a letter, a digit or _";
const UNITS: &str = "(use n, u, ms, s, m or h)";
const ENCODINGS: &str =
    "use gzip, deflate, zstd, snappy (in its block format) or none, and one alone";
const MEDIA_TYPES: &[&str] = &["application/json", "text/plain", "text/csv"];

/// Requests that `/write` and `/api/v1/write` refuse alike.
#[rustfmt::skip]
const BOTH: &[Request] = &[
    ("", &[], 400, &["database is required"]),
    ("db=", &[], 400, &["database is required"]),
    ("bucket=d", &[], 400, &["database is required"]),
    ("db=a/b", &[], 400, &["database name \"a/b\" is not valid", NAMES]),
    ("db=..", &[], 400, &["database name \"..\" is not valid", NAMES]),
    ("db=%2e%2e%2fx", &[], 400, &["database name \"../x\" is not valid", NAMES]),
    ("db=a%00b", &[], 400, &["is not valid", NAMES]),
    ("db=a+b", &[], 400, &["database name \"a b\" is not valid", NAMES]),
    ("db=%ff", &[], 400, &["is not valid", NAMES]),
    ("db=-a", &[], 400, &["database name \"-a\" is not valid", NAMES]),
    ("db=%C3%A4", &[], 400, &["database name \"\u{e4}\" is not valid", NAMES]),
    ("db=aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffffggggg", &[], 400, &["is not valid", NAMES]),
    ("db=$DB&rp=nope", &[], 404, &["retention policy not found: nope"]),
    ("db=$DB&rp=../x", &[], 404, &["retention policy not found: ../x"]),
    ("db=$DB&precision=x", &[], 400, &["invalid precision \"x\"", UNITS]),
    ("db=$DB&precision=S", &[], 400, &["invalid precision \"S\"", UNITS]),
    ("db=$DB&precision=d", &[], 400, &["invalid precision \"d\"", UNITS]),
    ("db=$DB&precision=1s", &[], 400, &["invalid precision \"1s\"", UNITS]),
    ("db=$DB&precision=%00", &[], 400, &["invalid precision", UNITS]),
    ("db=$DB&consistency=some", &[], 400, &["invalid consistency \"some\"", "(use any, one, quorum or all)"]),
    ("db=$DB", &[("Content-Encoding", "br")], 415, &["unsupported content encoding \"br\"", ENCODINGS]),
    ("db=$DB", &[("Content-Encoding", "zstd")], 400, &["request body is not valid zstd"]),
    ("db=$DB", &[("Content-Encoding", "deflate")], 400, &["request body is not valid deflate (in the format of zlib)"]),
    ("db=$DB", &[("Content-Type", "text/plain"), ("Content-Encoding", "snappy")], 400, &["request body is not valid snappy"]),
    ("db=$DB", &[("Content-Encoding", "deflate, gzip")], 415, &["unsupported content encoding \"deflate, gzip\"", ENCODINGS]),
    ("db=$DB", &[("Content-Encoding", "zstd"), ("Content-Encoding", "snappy")], 415, &["content encoding", ENCODINGS]),
    ("db=$DB", &[("Content-Encoding", "gzip, gzip")], 415, &["unsupported content encoding \"gzip, gzip\"", ENCODINGS]),
    ("db=$DB", &[("Content-Encoding", "gzip"), ("Content-Encoding", "gzip")], 415, &["content encoding", ENCODINGS]),
    ("db=$DB", &[("Content-Encoding", "gzip")], 400, &["request body is not valid gzip"]),
];

/// Requests that `/api/v1/write` alone refuses.
#[rustfmt::skip]
const OWN: &[Request] = &[
    ("db=$DB&format=xml", &[], 400, &["unknown format \"xml\"", "use json, line-protocol, csv"]),
    ("db=$DB&format=text/csv", &[], 400, &["unknown format \"text/csv\"", "use json, line-protocol, csv"]),
    ("db=$DB&format=json", &[], 400, &["line 1, column 1: invalid JSON"]),
    ("db=$DB&format=csv", &[("Content-Type", "text/plain")], 400, &["line 1, column 1: header"]),
    ("db=$DB", &[("Content-Type", "application/json")], 400, &["line 1, column 1: invalid JSON"]),
    ("db=$DB", &[("Content-Type", "text/csv; charset=utf-8")], 400, &["line 1, column 1: header"]),
    ("db=$DB", &[("Content-Type", "application/vnd.google.protobuf")], 415, MEDIA_TYPES),
    ("db=$DB", &[("Content-Type", "application/protobuf")], 415, MEDIA_TYPES),
    ("db=$DB", &[("Content-Type", "application/grpc")], 415, MEDIA_TYPES),
];

/// Requests that the paths of InfluxDB 2 and 3 refuse.
#[rustfmt::skip]
const OTHERS: &[Request] = &[
    ("/api/v2/write", &[], 400, &["bucket is required"]),
    ("/api/v2/write?bucket=&db=d", &[], 400, &["bucket is required"]),
    ("/api/v2/write?bucket=..", &[], 400, &["database name \"..\" is not valid", NAMES]),
    ("/api/v2/write?bucket=/x", &[], 400, &["database name \"\" is not valid", NAMES]),
    ("/api/v2/write?bucket=$DB/nope", &[], 404, &["retention policy not found: nope"]),
    ("/api/v2/write?bucket=$DB/../x", &[], 404, &["retention policy not found: ../x"]),
    ("/api/v2/write?bucket=$DB&precision=n", &[], 400, &["valid precision units are ns, us, ms, and s"]),
    ("/api/v2/write?bucket=$DB&precision=%00%ff", &[], 400, &["valid precision units are ns, us, ms, and s"]),
    ("/api/v2/write?bucket=$DB", &[("Content-Encoding", "br")], 415, &["unsupported content encoding \"br\""]),
    ("/api/v2/write?bucket=$DB", &[("Content-Encoding", "gzip")], 400, BROKEN),
    ("/api/v3/write_lp", &[], 400, &["database is required"]),
    ("/api/v3/write_lp?bucket=$DB", &[], 400, &["database is required"]),
    ("/api/v3/write_lp?db=a/b", &[], 400, &["database name \"a/b\" is not valid", NAMES]),
    ("/api/v3/write_lp?db=$DB&precision=m", &[], 400, &["invalid precision \"m\"", "use auto, nanosecond"]),
    ("/api/v3/write_lp?db=$DB&accept_partial=no", &[], 400, &["invalid accept_partial \"no\"", "use true or false"]),
    ("/api/v3/write_lp?db=$DB&no_sync=", &[], 400, &["invalid no_sync \"\"", "use true or false"]),
    ("/api/v3/write_lp?db=$DB", &[("Content-Encoding", "gzip")], 400, BROKEN),
];

/// Bodies whose format nobody names, which look like none.
#[rustfmt::skip]
const UNRECOGNISED: &[(&[u8], u16, &[&str])] = &[
    (b"\x00\x01\x02\x03", 415, MEDIA_TYPES),
    (b"\xff\xff\xff\xff", 415, MEDIA_TYPES),
    (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", 415, MEDIA_TYPES),
    (b"\x1f\x8b\x08\0\0\0\0\0\0\x03", 415, MEDIA_TYPES),
    (b"%PDF-1.7\n%\xe2\xe3\xcf\xd3", 415, MEDIA_TYPES),
    (b"hello", 400, &["line 1, column 6: missing fields"]),
    (b"<xml/>", 400, &["line 1, column 7: missing fields"]),
    (b"{}", 400, &["line 1, column 1: missing measurement"]),
    (b"a,b,c\n1,2,3\n", 400, &["line 1, column 1: header: no measurement"]),
];

/// A packed body: what it is, how it is made, status, and what is said.
type Packed = (&'static str, fn() -> Vec<u8>, u16, &'static [&'static str]);

const BROKEN: &[&str] = &["request body is not valid gzip"];
const RATIO: &[&str] = &["Request Entity Too Large", "200 times", "send smaller"];

#[rustfmt::skip]
const PACKED: &[Packed] = &[
    ("text", || LINES.to_vec(), 400, BROKEN),
    ("a magic number alone", || b"\x1f\x8b".to_vec(), 400, BROKEN),
    ("a head alone", || gzip(LINES)[..10].to_vec(), 400, BROKEN),
    ("half of it", || front(&gzip(LINES), 2), 400, BROKEN),
    ("all but a byte", || front(&gzip(LINES), 1), 400, BROKEN),
    ("a wrong checksum", || flip(&gzip(LINES), 8), 400, BROKEN),
    ("a wrong length", || flip(&gzip(LINES), 1), 400, BROKEN),
    ("a wrong method", || [b"\x1f\x8b\x07", &gzip(LINES)[3..]].concat(), 400, BROKEN),
    ("reserved flags", || [b"\x1f\x8b\x08\xe0", &gzip(LINES)[4..]].concat(), 400, BROKEN),
    ("a name without end", || [b"\x1f\x8b\x08\x08\0\0\0\0\0\x03", &b"x".repeat(100_000)[..]].concat(), 400, BROKEN),
    ("something behind it", || [gzip(LINES), b"garbage".to_vec()].concat(), 400, BROKEN),
    ("half a second member", || [gzip(LINES), front(&gzip(LINES), 2)].concat(), 400, BROKEN),
    ("zlib", || b"\x78\x9c\xcb\x55\x28\xb3\x35\x54\x30\x04\x00\x0a\x2a\x02\x5b".to_vec(), 400, BROKEN),
    ("a bomb of zeros", || gzip(&vec![0; 80 << 20]), 413, RATIO),
    ("a bomb of lines", || gzip(&b"m v=1 1\n".repeat(1 << 20)), 413, RATIO),
    ("a bomb of comments", || gzip(&vec![b'#'; 80 << 20]), 413, RATIO),
    ("a bomb of members", || gzip(&vec![b'\n'; 1 << 20]).repeat(100), 413, RATIO),
    ("gzip in gzip", || gzip(&gzip(LINES)), 400, &["invalid UTF-8", "unable to parse"]),
    ("a bomb in gzip", || gzip(&gzip(&vec![0; 80 << 20])), 400, &["unable to parse"]),
];

/// Bodies in the other encodings, which are named first.
#[rustfmt::skip]
const OTHERWISE_PACKED: &[(&str, Packed)] = &[
    ("deflate", ("text", || LINES.to_vec(), 400, &["request body is not valid deflate"])),
    ("deflate", ("gzip", || gzip(LINES), 400, &["request body is not valid deflate"])),
    ("deflate", ("half of it", || front(&zlib(LINES), 2), 400, &["request body is not valid deflate", "cut off"])),
    ("deflate", ("all but a byte", || front(&zlib(LINES), 1), 400, &["cut off"])),
    ("deflate", ("a wrong checksum", || flip(&zlib(LINES), 1), 400, &["request body is not valid deflate"])),
    ("deflate", ("something behind it", || [zlib(LINES), b"garbage".to_vec()].concat(), 400, &["behind its end"])),
    ("deflate", ("a bomb of zeros", || zlib(&vec![0; 80 << 20]), 413, RATIO)),
    ("zstd", ("text", || LINES.to_vec(), 400, &["request body is not valid zstd"])),
    ("zstd", ("half of it", || front(&zstd(LINES), 2), 400, &["request body is not valid zstd", "cut off"])),
    ("zstd", ("all but a byte", || front(&zstd(LINES), 1), 400, &["cut off"])),
    ("zstd", ("a wrong checksum", || flip(&zstd(LINES), 1), 400, &["request body is not valid zstd"])),
    ("zstd", ("something behind it", || [zstd(LINES), b"garbage".to_vec()].concat(), 400, &["request body is not valid zstd"])),
    ("zstd", ("a window of 2 GiB", || window(31), 400, &["a window of at most 8 MiB"])),
    ("zstd", ("a window of 16 MiB", || window(24), 400, &["a window of at most 8 MiB"])),
    ("zstd", ("a bomb of zeros", || zstd(&vec![0; 80 << 20]), 413, RATIO)),
    ("zstd", ("a bomb in zstd", || zstd(&zstd(&vec![0; 80 << 20])), 400, &["unable to parse"])),
    ("snappy", ("text", || LINES.to_vec(), 400, &["request body is not valid snappy"])),
    ("snappy", ("half of it", || front(&snappy(LINES), 2), 400, &["request body is not valid snappy"])),
    ("snappy", ("2.7 GB that are declared", || [&[0x97, 0xea, 0xb4, 0x89, 0x0a], &[0xfe; 42][..]].concat(), 413, &["67108864 bytes"])),
];

/// Bodies that have to be received, or unpacked, to tens of megabytes before they are found wrong.
#[rustfmt::skip]
const LARGE: &[Packed] = &[
    ("64 MiB and a byte, not packed well enough for a bomb", || gzip(&noisy((64 << 20) + 1)), 413, &["Request Entity Too Large", "67108864 bytes", "send smaller"]),
    ("60 MiB that are one line", || gzip(&noisy(60 << 20)), 400, &["unable to parse"]),
];

/// Bodies beyond a limit: what they are, how they are made, status, what both endpoints say, what our own
/// adds, and rows that are stored. All rows have one time, so they are one.
type Size = (&'static str, fn() -> Vec<u8>, u16, &'static str, &'static str, usize);

#[rustfmt::skip]
const SIZES: &[Size] = &[
    ("25000001 bytes", || vec![b'#'; 25_000_001], 413, "Request Entity Too Large", "more than 25000000 bytes; send smaller ones", 0),
    ("40 MB", || vec![b'#'; 40_000_000], 413, "Request Entity Too Large", "more than 25000000 bytes; send smaller ones", 0),
    ("2^20 rows and one", || b"m v=1 1\n".repeat((1 << 20) + 1), 400, "1048577 rows in one batch, the limit is 1048576: send smaller batches", "line 1048577", 1),
];

const LINES: &[u8] = b"m v=1 1\nm v=2 2\nm v=3 3\nm v=4 4\n";

fn gzip(data: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(data).unwrap();
    encoder.finish().unwrap()
}

fn zlib(data: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(data).unwrap();
    encoder.finish().unwrap()
}

/// With a checksum.
fn zstd(data: &[u8]) -> Vec<u8> {
    let mut encoder = zstd::Encoder::new(Vec::new(), 3).unwrap();
    encoder.include_checksum(true).unwrap();
    encoder.write_all(data).unwrap();
    encoder.finish().unwrap()
}

/// A frame of zstd with one raw block, which asks for a window of 2^`log` bytes.
fn window(log: u8) -> Vec<u8> {
    [&[0x28, 0xb5, 0x2f, 0xfd, 0, (log - 10) << 3, 0x41, 0, 0], &b"m v=1 1\n"[..]].concat()
}

fn snappy(data: &[u8]) -> Vec<u8> {
    snap::raw::Encoder::new().compress_vec(data).unwrap()
}

/// `data` without its last bytes, of which there are one part in `parts` of it, or one byte.
fn front(data: &[u8], parts: usize) -> Vec<u8> {
    let cut = if parts == 1 { 1 } else { data.len() / parts };
    data[..data.len() - cut].to_vec()
}

/// `data` with another byte, counted from its end.
fn flip(data: &[u8], from_end: usize) -> Vec<u8> {
    let mut flipped = data.to_vec();
    let at = data.len() - from_end;
    flipped[at] ^= 0x55;
    flipped
}

/// `bytes` bytes, of which one in a hundred cannot be packed: some 60 times smaller with gzip.
fn noisy(bytes: usize) -> Vec<u8> {
    let mut seed = Seed::new(7);
    let noise = |place: usize, seed: &mut Seed| match place % 100 {
        0 => b'a' + (seed.bits() % 26) as u8,
        _ => b'x',
    };
    (0..bytes).map(|place| noise(place, &mut seed)).collect()
}

/// How many bad inputs the tables hold.
pub fn count() -> usize {
    2 * BOTH.len()
        + OWN.len()
        + OTHERS.len()
        + UNRECOGNISED.len()
        + PACKED.len()
        + LARGE.len()
        + 2 * SIZES.len()
}

/// Sends them all.
pub fn run(bench: &mut Bench) {
    for endpoint in ["/write", "/api/v1/write"] {
        for (query, headers, status, says) in BOTH {
            bench.case(&format!("{endpoint}?{query} {headers:?}"), |case| {
                let response = case.send("POST", &format!("{endpoint}?{query}"), headers, LINES);
                case.refused(&response, *status, says);
                case.stored(0);
            });
        }
    }
    for (query, headers, status, says) in OWN {
        bench.case(&format!("{query} {headers:?}"), |case| {
            let response = case.send("POST", &format!("/api/v1/write?{query}"), headers, LINES);
            case.refused(&response, *status, says);
            case.stored(0);
        });
    }
    for (target, headers, status, says) in OTHERS {
        bench.case(&format!("{target} {headers:?}"), |case| {
            let response = case.send("POST", target, headers, LINES);
            case.refused(&response, *status, says);
            case.stored(0);
        });
    }
    for (body, status, says) in UNRECOGNISED {
        bench.case(&name(body), |case| {
            let response = case.send("POST", "/api/v1/write?db=$DB", &[], body);
            case.refused(&response, *status, says);
            case.stored(0);
        });
    }
    let gzipped: Headers = &[("Content-Encoding", "gzip")];
    packed(bench, PACKED, gzipped, GROWTH_BYTES_MAX);
    for (encoding, (what, make, status, says)) in OTHERWISE_PACKED {
        let body = make();
        bench.case(&format!("{encoding}: {what}"), |case| {
            let headers = [("Content-Encoding", *encoding)];
            let response = case.send("POST", "/write?db=$DB", &headers, &body);
            case.refused(&response, *status, says);
            case.stored(0);
        });
    }
    packed(bench, LARGE, gzipped, LARGE_GROWTH_BYTES_MAX);
    for (what, make, status, words, more, stored) in SIZES {
        let body = make();
        for endpoint in ["/write", "/api/v1/write"] {
            bench.case_within(LARGE_GROWTH_BYTES_MAX, &format!("{endpoint} {what}"), |case| {
                let target = format!("{endpoint}?db=$DB");
                let response = case.send("POST", &target, &[("Content-Type", "text/plain")], &body);
                let is_own = endpoint != "/write";
                case.refused(&response, *status, &[words, if is_own { more } else { "" }]);
                // InfluxDB's clients know the bare words.
                let is_bare = response.text() == format!("{{\"error\":\"{words}\"}}\n");
                case.expect(is_bare || is_own || *status != 413, || response.text());
                case.stored(*stored);
            });
        }
    }
}

fn packed(bench: &mut Bench, table: &[Packed], headers: Headers, growth_max: u64) {
    for (what, make, status, says) in table {
        // Made before the case begins: it takes longer than the case.
        let body = make();
        bench.case_within(growth_max, what, |case| {
            let response = case.send("POST", "/write?db=$DB", headers, &body);
            case.refused(&response, *status, says);
            case.stored(0);
        });
    }
}
