//! Prometheus itself as a client: it scrapes two servers and writes to one of them what it finds, which is then
//! asked for here and there. With damaged and refused requests beside.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test reports by panicking, its helpers too"
)]

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;
use tsdb_tests::http::{Client, escape};
use tsdb_tests::peer::{Peer, free_address, is_installed};
use tsdb_tests::server::Server;

/// Longest wait for what Prometheus does every second.
const PATIENCE: Duration = Duration::from_secs(60);

/// Starts a Prometheus that scrapes `targets` and writes to `receiver`.
fn start_prometheus(dir: &Path, targets: &[SocketAddr], receiver: SocketAddr) -> Peer {
    let address = free_address();
    let targets: Vec<String> = targets.iter().map(|target| format!("'{target}'")).collect();
    let config = format!(
        "global: {{scrape_interval: 500ms, scrape_timeout: 400ms}}\n\
         scrape_configs:\n\
         - {{job_name: servers, static_configs: [{{targets: [{}]}}]}}\n\
         remote_write:\n\
         - url: http://{receiver}/api/v1/write\n  \
           metadata_config: {{send: true, send_interval: 1s}}\n  \
           queue_config: {{batch_send_deadline: 200ms}}\n",
        targets.join(", ")
    );
    let path = dir.join("prometheus.yml");
    std::fs::write(&path, config).unwrap();
    let mut command = Command::new("prometheus");
    command.arg(format!("--config.file={}", path.display()));
    command.arg(format!("--storage.tsdb.path={}", dir.join("data").display()));
    command.arg(format!("--web.listen-address={address}"));
    Peer::start(&mut command, address, "/-/ready")
}

/// Waits until `is_done`.
#[track_caller]
fn wait(what: &str, mut is_done: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !is_done() {
        assert!(begin.elapsed() < PATIENCE, "{what}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Samples of a metric by instance and time in ms.
type Samples = BTreeMap<(String, i64), f64>;

/// What our server has of a metric.
fn ours(client: &mut Client, metric: &str) -> Samples {
    let text = format!("SELECT value FROM \"{metric}\" GROUP BY instance");
    // Before the first write there is no database, and no series in the answer.
    let results = client.try_query("prometheus", &text).unwrap();
    let mut samples = Samples::new();
    for series in results[0]["series"].as_array().into_iter().flatten() {
        let instance = series["tags"]["instance"].as_str().unwrap();
        for row in series["values"].as_array().unwrap() {
            let time = row[0].as_i64().unwrap();
            assert_eq!(time % 1_000_000, 0, "milliseconds");
            // Stale markers are no numbers.
            if let Some(value) = row[1].as_f64() {
                samples.insert((instance.to_owned(), time / 1_000_000), value);
            }
        }
    }
    samples
}

/// What Prometheus has of it.
fn theirs(client: &mut Client, metric: &str) -> Samples {
    let target = format!("/api/v1/query?query={}", escape(&format!("{metric}[1h]")));
    let answer = client.get(&target).unwrap().json();
    let mut samples = Samples::new();
    for series in answer["data"]["result"].as_array().unwrap() {
        let instance = series["metric"]["instance"].as_str().unwrap();
        for pair in series["values"].as_array().unwrap() {
            let time = format!("{:.0}", pair[0].as_f64().unwrap() * 1000.0).parse().unwrap();
            let value = pair[1].as_str().unwrap().parse().unwrap();
            samples.insert((instance.to_owned(), time), value);
        }
    }
    samples
}

#[test]
fn prometheus_writes_what_it_scrapes() {
    if !is_installed("prometheus") {
        return tsdb_tests::skip("remote write: not installed (apt-get install prometheus)");
    }
    let dirs = [(); 3].map(|()| tempfile::tempdir().unwrap());
    let server = Server::start(dirs[0].path(), &[]);
    let other = Server::start(dirs[1].path(), &[]);
    let (address, other_address) = (server.address(), other.address());
    let prometheus = start_prometheus(dirs[2].path(), &[address, other_address], address);
    let mut client = server.client();
    wait("two targets with four samples each", || {
        let samples = ours(&mut client, "up");
        [address, other_address].iter().all(|target| {
            let of_target = samples.keys().filter(|(instance, _)| *instance == target.to_string());
            of_target.count() >= 4
        })
    });
    // A target that goes leaves stale markers in its series: no numbers, and values all the same.
    other.kill();
    let count =
        format!("SELECT count(value) FROM tsdb_storage_series WHERE instance = '{other_address}'");
    wait("a stale marker", || {
        let metric = ours(&mut client, "tsdb_storage_series");
        let is_of_other = |key: &&(String, i64)| key.0 == other_address.to_string();
        let numbers = metric.keys().filter(is_of_other).count();
        let rows = client.number("prometheus", &count).unwrap();
        rows == numbers as f64 + 1.0
    });
    for metric in ["up", "tsdb_storage_memory_rows", "scrape_samples_scraped"] {
        let (ours, theirs) =
            (ours(&mut client, metric), theirs(&mut Client::new(prometheus.address), metric));
        assert!(ours.len() >= 8, "{metric}: {} samples", ours.len());
        for (key, value) in &ours {
            let known = theirs.get(key).map(|value| value.to_bits());
            assert_eq!(known, Some(value.to_bits()), "{metric} {key:?}");
        }
    }
    let down = format!("SELECT last(value) FROM up WHERE instance = '{other_address}'");
    wait("the end of a target", || client.number("prometheus", &down) == Some(0.0));
    wait("metadata", || {
        let answer = client.get("/api/v1/metadata?metric=tsdb_write_rows_total").unwrap().json();
        answer["data"]["tsdb_write_rows_total"][0]["type"] == "counter"
    });
    drop(prometheus);
    let metrics = client.get("/metrics").unwrap().text();
    let refused = metrics.lines().filter(|line| line.starts_with("tsdb_remote_write_not_stored"));
    assert!(refused.clone().all(|line| line.ends_with(" 0")), "{:?}", refused.collect::<Vec<_>>());
    let before = ours(&mut client, "up");
    let (status, log) = server.terminate();
    assert!(status.success(), "{log}");
    let server = Server::start(dirs[0].path(), &[]);
    assert_eq!(ours(&mut server.client(), "up"), before, "after a restart");
}

/// What promtool of that Prometheus, and senders of either message, are told.
#[test]
fn senders_are_told_in_plain_text() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), &[]);
    let mut client = server.client();
    let typed = |proto: &str| format!("application/x-protobuf{proto}");
    for (proto, body, status, part) in [
        ("", &b"\x03\x08abc"[..], 400, "the body is no prometheus.WriteRequest"),
        ("", b"\x00", 204, ""),
        (";proto=io.prometheus.write.v2.Request", b"\x00", 204, ""),
        (";proto=io.prometheus.write.v9.Request", b"\x00", 415, "unsupported message"),
    ] {
        let content_type = typed(proto);
        let headers = [("Content-Type", content_type.as_str()), ("Content-Encoding", "snappy")];
        let response = client.request("POST", "/api/v1/write", &headers, body).unwrap();
        assert_eq!(response.status, status, "{proto}: {}", response.text());
        assert!(response.text().contains(part), "{proto}: {}", response.text());
        assert!(serde_json::from_slice::<Value>(&response.body).is_err(), "text, and no JSON");
    }
}
