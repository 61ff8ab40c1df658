//! Bytes on a connection that are no HTTP, or not the HTTP that they claim to be. Answers to these come from
//! below the handlers, so only their status is looked at; a connection may also just be closed.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use super::{Bench, GROWTH_BYTES_MAX, LARGE_GROWTH_BYTES_MAX};

/// What is sent, how it is made, and the statuses of which one comes back; 0 is a connection that is closed
/// without one, or with the frames of HTTP/2. `$DB` is the database of the case, `$HOST` the server.
type Sent = (&'static str, fn() -> Vec<u8>, &'static [u16]);

/// The client of these has to see an end, one way or the other, before the server's own patience ends.
const SILENCE_MAX: Duration = Duration::from_secs(15);

/// `HTTP/1.1 400`.
const STATUS_LINE_BYTES: usize = 12;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

#[rustfmt::skip]
const GARBAGE: &[Sent] = &[
    ("nothing", || b"".to_vec(), &[0]),
    ("a line end", || b"\r\n\r\n".to_vec(), &[0]),
    ("zeros", || vec![0; 1000], &[400]),
    ("high bytes", || vec![0xff; 1000], &[400]),
    ("a TLS greeting", || b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec(), &[400]),
    ("an SSH greeting", || b"SSH-2.0-OpenSSH_9.6\r\n".to_vec(), &[400]),
    ("a line of data", || b"m v=1 1\n".to_vec(), &[400]),
    ("no version", || b"GET /ping\r\n\r\n".to_vec(), &[400]),
    ("HTTP/3.0", || b"GET /ping HTTP/3.0\r\nHost: $HOST\r\n\r\n".to_vec(), &[400]),
    ("no path", || b"GET  HTTP/1.1\r\nHost: $HOST\r\n\r\n".to_vec(), &[400]),
    ("a space in the path", || b"GET /pi ng HTTP/1.1\r\nHost: $HOST\r\n\r\n".to_vec(), &[400]),
    ("a method of signs", || b"G@T /ping HTTP/1.1\r\nHost: $HOST\r\n\r\n".to_vec(), &[400]),
    ("half a request line", || b"GET /pi".to_vec(), &[400, 0]),
    ("half a head", || b"GET /ping HTTP/1.1\r\nHost: $HO".to_vec(), &[400, 0]),
    ("a header without a colon", || b"GET /ping HTTP/1.1\r\nHost: $HOST\r\nnonsense\r\n\r\n".to_vec(), &[400]),
    ("a header without a name", || b"GET /ping HTTP/1.1\r\nHost: $HOST\r\n: x\r\n\r\n".to_vec(), &[400]),
    ("a header with a NUL", || b"GET /ping HTTP/1.1\r\nHost: $HOST\r\nA: \0\r\n\r\n".to_vec(), &[400]),
    ("a header with a space before its colon", || b"GET /ping HTTP/1.1\r\nHost : $HOST\r\n\r\n".to_vec(), &[400]),
    ("a folded header", || b"GET /ping HTTP/1.1\r\nHost: $HOST\r\nA: b\r\n c\r\n\r\n".to_vec(), &[400]),
    ("two hosts", || b"GET /ping HTTP/1.1\r\nHost: $HOST\r\nHost: evil.example\r\n\r\n".to_vec(), &[400]),
    ("two hosts, the other way round", || b"GET /ping HTTP/1.1\r\nHost: evil.example\r\nHost: $HOST\r\n\r\n".to_vec(), &[400]),
    ("5000 headers", || head("GET /ping", &"A: b\r\n".repeat(5000)), &[431]),
    ("200 headers", || head("GET /ping", &"A: b\r\n".repeat(200)), &[431]),
    ("a header of 100 kB", || head("GET /ping", &format!("A: {}\r\n", "b".repeat(100_000))), &[431]),
    ("a head of 10 MB", || head("GET /ping", &format!("A: {}\r\n", "b".repeat(10_000_000))), &[431, 0]),
    ("a path of 100 kB", || head(&format!("GET /{}", "a".repeat(100_000)), ""), &[414, 431]),
    ("a query of 70 kB", || head(&format!("GET /query?q={}", "a".repeat(70_000)), ""), &[414, 431]),
];

#[rustfmt::skip]
const BODIES: &[Sent] = &[
    ("no length", || write("", b"m v=1 1\n"), &[200]),
    ("a length that is no number", || write("Content-Length: many\r\n", b"m v=1 1\n"), &[400]),
    ("a negative length", || write("Content-Length: -8\r\n", b"m v=1 1\n"), &[400]),
    ("a length beyond 64 bits", || write("Content-Length: 99999999999999999999\r\n", b"m v=1 1\n"), &[400]),
    ("a petabyte that never comes", || write("Content-Length: 1000000000000000\r\n", b""), &[413]),
    ("two lengths", || write("Content-Length: 8\r\nContent-Length: 9\r\n", b"m v=1 1\nx"), &[400]),
    ("a length that is too long", || write("Content-Length: 100\r\n", b"m v=1 1\n"), &[400, 0]),
    ("a chunk size that is no number", || write("Transfer-Encoding: chunked\r\n", b"zz\r\nm v=1 1\n\r\n0\r\n\r\n"), &[400]),
    ("a chunk size beyond 64 bits", || write("Transfer-Encoding: chunked\r\n", b"fffffffffffffffff\r\nm v=1 1\n\r\n0\r\n\r\n"), &[400]),
    ("a negative chunk", || write("Transfer-Encoding: chunked\r\n", b"-8\r\nm v=1 1\n\r\n0\r\n\r\n"), &[400]),
    ("a chunk that is longer than it says", || write("Transfer-Encoding: chunked\r\n", b"4\r\nm v=1 1\n\r\n0\r\n\r\n"), &[400]),
    ("a chunk that breaks off", || write("Transfer-Encoding: chunked\r\n", b"64\r\nm v=1 1\n"), &[400, 0]),
    ("chunks without an end", || write("Transfer-Encoding: chunked\r\n", b"8\r\nm v=1 1\n\r\n"), &[400, 0]),
    ("a chunk with a long extension", || write("Transfer-Encoding: chunked\r\n", &[b"8;", &b"a".repeat(100_000)[..], b"\r\nm v=1 1\n\r\n0\r\n\r\n"].concat()), &[400]),
    ("an unknown transfer encoding", || write("Transfer-Encoding: gzip\r\n", b"m v=1 1\n"), &[400, 501]),
    ("a length and chunks", || write("Content-Length: 8\r\nTransfer-Encoding: chunked\r\n", b"zz\r\n"), &[400]),
    ("26 MB in chunks", || chunks(26), &[413]),
];

/// HTTP/2 that goes wrong behind its first bytes.
#[rustfmt::skip]
const FRAMES: &[Sent] = &[
    ("a preface alone", || PREFACE.to_vec(), &[0]),
    ("half a preface", || PREFACE[..16].to_vec(), &[400, 0]),
    ("a preface with a mistake", || b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n".to_vec(), &[400, 0]),
    ("garbage behind the preface", || [PREFACE, &[0xff; 1000]].concat(), &[0]),
    ("HTTP/1.1 behind the preface", || [PREFACE, b"GET /ping HTTP/1.1\r\nHost: $HOST\r\n\r\n"].concat(), &[0]),
    ("a frame of 16 MiB", || [PREFACE, b"\xff\xff\xff\x00\x00\x00\x00\x00\x01", &[0; 1000]].concat(), &[0]),
    ("settings with a wrong length", || [PREFACE, b"\x00\x00\x05\x04\x00\x00\x00\x00\x00", &[0; 5]].concat(), &[0]),
    ("headers on stream 0", || [PREFACE, SETTINGS, b"\x00\x00\x01\x01\x05\x00\x00\x00\x00\x82"].concat(), &[0]),
    ("headers that cannot be unpacked", || [PREFACE, SETTINGS, b"\x00\x00\x04\x01\x05\x00\x00\x00\x01\xff\xff\xff\xff"].concat(), &[0]),
    ("data without headers", || [PREFACE, SETTINGS, b"\x00\x00\x04\x00\x01\x00\x00\x00\x01data"].concat(), &[0]),
    ("a window beyond its limit", || [PREFACE, SETTINGS, b"\x00\x00\x04\x08\x00\x00\x00\x00\x00\x7f\xff\xff\xff"].concat(), &[0]),
    ("continuations without end", || [&[PREFACE, SETTINGS, b"\x00\x00\x00\x01\x00\x00\x00\x00\x01"].concat()[..], &b"\x00\x00\x05\x09\x00\x00\x00\x00\x01\x00\x01a\x01b".repeat(20_000)].concat(), &[0]),
    ("10000 streams that are reset at once", resets, &[0]),
];

/// An empty frame of settings.
const SETTINGS: &[u8] = b"\x00\x00\x00\x04\x00\x00\x00\x00\x00";

fn head(request: &str, headers: &str) -> Vec<u8> {
    format!("{request} HTTP/1.1\r\nHost: $HOST\r\n{headers}\r\n").into_bytes()
}

fn write(headers: &str, body: &[u8]) -> Vec<u8> {
    [&head("POST /write?db=$DB", headers)[..], body].concat()
}

/// So many chunks of a million bytes, all of them comments.
fn chunks(count: usize) -> Vec<u8> {
    let chunk = [b"f4240\r\n", &b"#".repeat(1_000_000)[..], b"\r\n"].concat();
    [write("Transfer-Encoding: chunked\r\n", b""), chunk.repeat(count), b"0\r\n\r\n".to_vec()]
        .concat()
}

/// Streams that are opened with a GET and reset in the next frame.
fn resets() -> Vec<u8> {
    let mut bytes = [PREFACE, SETTINGS].concat();
    for stream in (1..20_000_u32).step_by(2) {
        // `:method GET`, `:scheme http`, `:path /`, all from the static table.
        bytes.extend_from_slice(b"\x00\x00\x03\x01\x05");
        bytes.extend_from_slice(&stream.to_be_bytes());
        bytes.extend_from_slice(b"\x82\x86\x84\x00\x00\x04\x03\x00");
        bytes.extend_from_slice(&stream.to_be_bytes());
        bytes.extend_from_slice(b"\x00\x00\x00\x08");
    }
    bytes
}

/// How many bad inputs the tables hold.
pub fn count() -> usize {
    GARBAGE.len() + BODIES.len() + FRAMES.len()
}

/// Sends them all.
pub fn run(bench: &mut Bench) {
    let address = bench.server().address();
    for (what, make, statuses) in GARBAGE.iter().chain(BODIES).chain(FRAMES) {
        let bytes = make();
        let is_large = bytes.len() > 20 << 20;
        let growth_max = if is_large { LARGE_GROWTH_BYTES_MAX } else { GROWTH_BYTES_MAX };
        bench.case_within(growth_max, what, |case| {
            let host = address.to_string();
            let bytes = replace(&replace(&bytes, "$HOST", &host), "$DB", case.database());
            match exchange(address, &bytes, statuses.contains(&0)) {
                Ok(found) => {
                    case.expect(statuses.contains(&found), || format!("{found}, not {statuses:?}"));
                }
                Err(error) => case.expect(false, || format!("no answer and no end: {error}")),
            }
            case.stored(0);
        });
    }
}

/// Sends bytes, and the end of them if `ends`; returns the status of the response, or 0 for an end without
/// one.
fn exchange(address: SocketAddr, bytes: &[u8], ends: bool) -> io::Result<u16> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(SILENCE_MAX))?;
    stream.set_write_timeout(Some(SILENCE_MAX))?;
    // The server may have heard enough before all is sent, and be gone before the end is.
    let _ = stream.write_all(bytes);
    if ends {
        let _ = stream.shutdown(Shutdown::Write);
    }
    let (mut answer, mut piece) = (Vec::new(), [0; 1024]);
    while answer.len() < STATUS_LINE_BYTES {
        match stream.read(&mut piece) {
            Ok(0) => break,
            Ok(count) => answer.extend_from_slice(&piece[..count]),
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => break,
            Err(error) => return Err(error),
        }
    }
    Ok(status(&answer))
}

/// The status of a response of HTTP/1.1; 0 if it is none.
fn status(answer: &[u8]) -> u16 {
    let text =
        String::from_utf8_lossy(answer.get(..STATUS_LINE_BYTES).unwrap_or(answer)).into_owned();
    let status = text.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3));
    status.and_then(|status| status.parse().ok()).unwrap_or(0)
}

/// `bytes` with `to` for the first `from` in its first part.
fn replace(bytes: &[u8], from: &str, to: &str) -> Vec<u8> {
    let front = &bytes[..bytes.len().min(200_000)];
    match front.windows(from.len()).position(|part| part == from.as_bytes()) {
        Some(at) => [&bytes[..at], to.as_bytes(), &bytes[at + from.len()..]].concat(),
        None => bytes.to_vec(),
    }
}
