//! `/api/v1/write?stream=true` over sockets: a body beyond every limit of single requests in bounded memory, and clients
//! that go away in the middle.

#![expect(clippy::unwrap_used, reason = "a test reports by panicking, its helpers too")]

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use tsdb_tests::memory;
use tsdb_tests::server::Server;

/// Twelve times what a body may have otherwise.
const BODY_BYTES_MIN: usize = 300_000_000;

/// Most memory that a stream may take beyond what the server held before: the memtable fills meanwhile.
const GROWTH_BYTES_MAX: u64 = 192 << 20;

/// Begins a request without a length.
fn begin(server: &Server, query: &str) -> TcpStream {
    let mut socket = TcpStream::connect(server.address()).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(120))).unwrap();
    let head = format!(
        "POST /api/v1/write?stream=true&{query} HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/plain\r\n\
         Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    );
    socket.write_all(head.as_bytes()).unwrap();
    socket
}

fn chunk(data: &[u8]) -> Vec<u8> {
    [format!("{:x}\r\n", data.len()).as_bytes(), data, b"\r\n"].concat()
}

/// Lines for `series` series at one time: half a megabyte of text, so that a chunk brings few new series.
fn lines(time: usize) -> String {
    (0..10_000).map(|host| format!("cpu,host=h{host} usage={host},idle={time} {time}\n")).collect()
}

#[test]
fn a_body_beyond_all_limits_takes_bounded_memory() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), &[]);
    memory::forget_peak(server.id());
    let before = memory::peak_bytes(server.id()).unwrap();
    let mut socket = begin(&server, "db=d");
    let (mut bytes, mut times) = (0, 0);
    while bytes < BODY_BYTES_MIN {
        let text = lines(times);
        // Chunks end anywhere.
        for part in text.as_bytes().chunks(100_003) {
            socket.write_all(&chunk(part)).unwrap();
        }
        bytes += text.len();
        times += 1;
    }
    socket.write_all(b"0\r\n\r\n").unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    let stored = format!("{{\"stored\":{},\"refused\":0,", times * 10_000);
    assert!(body.contains(&stored), "{answer}");
    assert!(body.contains(&format!("\"bytes\":{bytes},")), "{answer}");
    let growth = memory::peak_bytes(server.id()).unwrap().saturating_sub(before);
    println!("{bytes} bytes took {} MiB", growth >> 20);
    assert!(growth <= GROWTH_BYTES_MAX, "{} MiB", growth >> 20);
    let count = server.client().number("d", "SELECT count(usage) FROM cpu");
    assert_eq!(count, Some(f64::from(u32::try_from(times * 10_000).unwrap())));
}

#[test]
fn of_a_client_that_goes_away_whole_lines_are_stored() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), &[]);
    let text: String = (0..).map(lines).take(20).collect();
    for (number, cut) in [10, 100_000, 5_000_011, text.len() - 3].into_iter().enumerate() {
        let database = format!("d{number}");
        let mut socket = begin(&server, &format!("db={database}"));
        for part in text.as_bytes()[..cut].chunks(70_001) {
            socket.write_all(&chunk(part)).unwrap();
        }
        drop(socket);
        // Nobody hears when the server has noticed; what is stored stops growing.
        let count = || {
            let rows =
                server.client().try_query(&database, "SELECT count(usage) FROM cpu").unwrap();
            let count = rows.pointer("/0/series/0/values/0/1").and_then(serde_json::Value::as_u64);
            usize::try_from(count.unwrap_or(0)).unwrap()
        };
        let begin = Instant::now();
        let mut rows = count();
        loop {
            std::thread::sleep(Duration::from_millis(500));
            let now = count();
            if now == rows && begin.elapsed() > Duration::from_secs(2) {
                break;
            }
            rows = now;
        }
        let whole = text[..cut].matches('\n').count();
        assert!(rows <= whole, "{rows} of {whole}");
        println!("of {cut} bytes {rows} lines are stored");
        if rows == 0 {
            // Nothing made the database.
            continue;
        }
        // Lines are stored in their order, so the last of them tells which they are.
        let kept: Vec<&str> = text.lines().take(rows).collect();
        let idle: usize =
            kept.iter().filter_map(|line| line.rsplit_once(' ')?.1.parse::<usize>().ok()).sum();
        let sum = server.client().number(&database, "SELECT sum(idle) FROM cpu").unwrap();
        assert!(
            (sum - idle as f64).abs() < 0.5,
            "{sum} is not {idle}: others than the first {rows}"
        );
    }
    let answer = server.client().get("/ping").unwrap();
    assert_eq!(answer.status, 204);
}
