//! Starting, stopping and starting again: what is kept, how long it takes, what the disk looks like, and
//! how settings reach the program.

#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test reports by panicking, its helpers too"
)]

use rustix::process::Signal;
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};
use tsdb_tests::http::Client;
use tsdb_tests::server::{Server, binary, contents};

const ROWS: u64 = 5000;

fn write_rows(client: &mut Client, database: &str, rows: std::ops::Range<u64>) {
    let lines: String = rows.map(|n| format!("m,h=h{} v={n} {n}\n", n % 7)).collect();
    client.write(database, &lines);
}

/// Count and sum of what [`write_rows`] wrote, by two ways through the data.
#[track_caller]
fn assert_rows(client: &mut Client, database: &str, count: u64) {
    let sum = (0..count).sum::<u64>() as f64;
    assert_eq!(client.number(database, "SELECT count(v) FROM m"), Some(count as f64));
    assert_eq!(client.number(database, "SELECT sum(v) FROM m"), Some(sum));
    let groups = client.query(database, "SELECT count(v) FROM m GROUP BY h");
    let counts = groups[0]["series"].as_array().unwrap().iter();
    let total: u64 = counts.map(|series| series["values"][0][1].as_u64().unwrap()).sum();
    assert_eq!(total, count);
}

fn wal_bytes(data_dir: &Path) -> u64 {
    contents(data_dir)
        .iter()
        .filter(|(path, _)| path.strip_prefix(data_dir).unwrap().to_string_lossy().contains("wal"))
        .map(|(path, _)| path.metadata().unwrap().len())
        .sum()
}

#[test]
fn sigterm_flushes_ends_with_success_and_keeps_everything() {
    let dir = tempfile::tempdir().unwrap();
    for round in 0..3 {
        let server = Server::start(dir.path(), &[]);
        let mut client = server.client();
        if round > 0 {
            assert_rows(&mut client, "d", ROWS * round);
        }
        write_rows(&mut client, "d", ROWS * round..ROWS * (round + 1));
        assert_rows(&mut client, "d", ROWS * (round + 1));
        let begin = Instant::now();
        let (status, log) = server.terminate();
        assert_eq!(status.code(), Some(0), "{log}");
        assert!(begin.elapsed() < Duration::from_secs(10), "{:?}", begin.elapsed());
        let left = wal_bytes(dir.path());
        assert!(left <= 4096, "{left} bytes of log are left after a clean stop");
    }
}

#[test]
fn sigint_ends_it_too_and_a_second_signal_ends_it_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), &[]);
    server.signal(Signal::INT);
    assert_eq!(server.wait().0.code(), Some(0));
    let server = Server::start(dir.path(), &[]);
    // A request whose body never ends keeps the server waiting.
    let mut stream = std::net::TcpStream::connect(server.address()).unwrap();
    stream
        .write_all(b"POST /write?db=d HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\nm")
        .unwrap();
    std::thread::sleep(Duration::from_millis(300));
    let begin = Instant::now();
    server.signal(Signal::TERM);
    std::thread::sleep(Duration::from_millis(300));
    server.signal(Signal::TERM);
    let (status, _) = server.wait();
    assert_eq!(status.code(), Some(128 + 15));
    assert!(begin.elapsed() < Duration::from_secs(3), "{:?}", begin.elapsed());
}

#[test]
fn requests_in_flight_are_finished() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), &[]);
    let mut client = server.client();
    write_rows(&mut client, "d", 0..1);
    let body: String = (1..200).map(|n| format!("m,h=h{} v={n} {n}\n", n % 7)).collect();
    let (first, rest) = body.split_at(body.len() / 2);
    let head = format!(
        "POST /write?db=d HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n{first}",
        body.len()
    );
    let mut stream = std::net::TcpStream::connect(server.address()).unwrap();
    stream.write_all(head.as_bytes()).unwrap();
    std::thread::sleep(Duration::from_millis(200));
    server.signal(Signal::TERM);
    std::thread::sleep(Duration::from_millis(200));
    stream.write_all(rest.as_bytes()).unwrap();
    let mut answer = String::new();
    std::io::Read::read_to_string(&mut stream, &mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 204"), "{answer}");
    assert_eq!(server.wait().0.code(), Some(0));
    let server = Server::start(dir.path(), &[]);
    assert_rows(&mut server.client(), "d", 200);
}

#[test]
fn a_killed_server_has_everything_it_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), &[]);
    write_rows(&mut server.client(), "d", 0..ROWS);
    server.kill();
    let server = Server::start(dir.path(), &[]);
    assert_rows(&mut server.client(), "d", ROWS);
}

#[test]
fn flush_empties_the_log_and_compaction_changes_no_answer() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), &[]);
    let mut client = server.client();
    for round in 0..4 {
        write_rows(&mut client, "d", ROWS * round..ROWS * (round + 1));
        let response = client.post("/api/v1/admin/flush", b"").unwrap();
        assert_eq!((response.status, response.body.len()), (204, 0));
        let left = wal_bytes(dir.path());
        assert!(left <= 4096, "{left} bytes of log are left after a flush");
        assert_rows(&mut client, "d", ROWS * (round + 1));
    }
    assert_eq!(client.post("/api/v1/admin/compact", b"").unwrap().status, 204);
    assert_rows(&mut client, "d", ROWS * 4);
    let metrics = client.get("/metrics").unwrap().text();
    assert!(metrics.lines().any(|line| line == "tsdb_storage_runs 1"), "{metrics}");
    server.kill();
    let server = Server::start(dir.path(), &[]);
    assert_rows(&mut server.client(), "d", ROWS * 4);
}

#[test]
fn deletes_and_drops_survive_a_kill() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), &[]);
    let mut client = server.client();
    write_rows(&mut client, "kept", 0..100);
    write_rows(&mut client, "dropped", 0..100);
    client.query("kept", "DELETE FROM m WHERE time >= 50");
    client.query("", "DROP DATABASE dropped");
    server.kill();
    let server = Server::start(dir.path(), &[]);
    let mut client = server.client();
    assert_rows(&mut client, "kept", 50);
    let results = client.try_query("dropped", "SELECT count(v) FROM m").unwrap();
    assert_eq!(results[0]["error"], "database not found: dropped");
}

#[test]
fn other_durabilities_survive_the_death_of_the_process() {
    for mode in ["interval:50", "off"] {
        let dir = tempfile::tempdir().unwrap();
        let server = Server::start(dir.path(), &["--durability", mode]);
        assert!(server.announcement()[1].contains(&format!("(durability {mode})")), "{mode}");
        write_rows(&mut server.client(), "d", 0..ROWS);
        server.kill();
        let server = Server::start(dir.path(), &["--durability", mode]);
        assert_rows(&mut server.client(), "d", ROWS);
    }
}

#[test]
fn flags_win_over_variables_over_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("tsdb.toml");
    let from_file = dir.path().join("from-file");
    std::fs::write(
        &file,
        format!(
            "data-dir = '{}'\nlisten = '127.0.0.1:0'\ndurability = 'off'\n",
            from_file.display()
        ),
    )
    .unwrap();
    let start = |variables: &[(&str, &str)], flags: &[&str]| {
        let mut command = Command::new(binary());
        command.env_clear().envs(variables.iter().copied()).arg("--config").arg(&file).args(flags);
        Server::launch(&mut command).unwrap()
    };
    let second_line = |server: &Server| server.announcement()[1].clone();
    let server = start(&[], &[]);
    assert!(second_line(&server).contains("from-file (durability off)"));
    drop(server);
    let server = start(&[("TSDB_DURABILITY", "interval:20")], &[]);
    assert!(second_line(&server).contains("from-file (durability interval:20)"));
    drop(server);
    let flags = ["--durability", "sync"];
    let server = start(&[("TSDB_DURABILITY", "interval:20")], &flags);
    assert!(second_line(&server).contains("from-file (durability sync)"));
}
