//! The measuring stick as it is used: it starts the release server and the peers that are installed, and
//! believes no time of a wrong answer. The figures themselves are nothing to test.

use std::process::{Command, Output};

use serde_json::Value;
use tsdb_tests::server;

/// The fifteen kinds of TSBS.
const KINDS: [&str; 15] = [
    "single-groupby-1-1-1",
    "single-groupby-1-1-12",
    "single-groupby-1-8-1",
    "single-groupby-5-1-1",
    "single-groupby-5-1-12",
    "single-groupby-5-8-1",
    "cpu-max-all-1",
    "cpu-max-all-8",
    "double-groupby-1",
    "double-groupby-5",
    "double-groupby-all",
    "high-cpu-1",
    "high-cpu-all",
    "lastpoint",
    "groupby-orderby-limit",
];

fn bench(arguments: &[&str]) -> Output {
    let program = server::release_binary("tsdb-bench", "TSDB_BENCH_BIN");
    let mut command = Command::new(program);
    command.args(arguments).env("TSDB_SERVER_BIN", server::binary());
    command.output().unwrap_or_else(|error| panic!("tsdb-bench does not run: {error}"))
}

#[track_caller]
fn succeed(arguments: &[&str]) -> String {
    let output = bench(arguments);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}\n{text}\n{errors}", output.status);
    text
}

/// The peers of the comparison that are installed; those that are not are said to be missing.
fn peers() -> Vec<&'static str> {
    let influxd = tsdb_tests::peer::is_installed("influxd");
    let duckdb = Command::new("python3").args(["-c", "import duckdb, numpy"]).output();
    let duckdb = duckdb.is_ok_and(|output| output.status.success());
    let mut peers = Vec::new();
    for (name, there, get) in [
        ("influxdb", influxd, "apt-get install influxdb"),
        ("duckdb", duckdb, "pip install duckdb numpy"),
    ] {
        if there {
            peers.push(name);
        } else {
            tsdb_tests::skip(&format!("answers of {name}: not installed ({get})"));
        }
    }
    peers
}

#[test]
fn every_kind_of_query_has_the_answers_of_the_peers_and_a_time() {
    let dir = tempfile::tempdir().unwrap();
    let results = dir.path().join("results.json");
    let results = results.to_str().unwrap();
    let mut arguments = vec!["run", "--results", results, "--shrink", "20", "--repeats", "1"];
    arguments.extend(["--query-cpu", "0.01", "--query-instances", "3"]);
    arguments.extend(["--section", "queries-100"]);
    let peers = peers();
    for peer in &peers {
        arguments.extend(["--peer", peer]);
    }
    if peers.is_empty() {
        arguments.push("--alone");
    }
    succeed(&arguments);

    let text = std::fs::read_to_string(results).unwrap();
    assert!(!text.contains("answers differ"), "{text}");
    let measured: Value = serde_json::from_str(&text).unwrap();
    let rows = measured.pointer("/sections/queries-100/rows").unwrap().as_array().unwrap();
    let figure = |label: &str, server: &str, name: &str| {
        let is_it = |row: &&Value| row["label"] == label && row["server"] == server;
        let row =
            rows.iter().find(is_it).unwrap_or_else(|| panic!("no {label} of {server}: {text}"));
        row["figures"][name].as_f64().unwrap_or_else(|| panic!("no {name}: {row}"))
    };
    for server in ["tsdb"].into_iter().chain(peers.iter().copied()) {
        for kind in KINDS {
            assert!(figure(kind, server, "median_ms") > 0.0);
            assert!(figure(kind, server, "cpu_ms") >= 0.0);
        }
        assert!(figure("load", server, "cpu_s_per_m") > 0.0);
        assert!(figure("load", server, "bytes_per_sample") > 0.0);
    }
    // A row of ours and each peer that speaks of the same values.
    let notes = measured.pointer("/sections/queries-100/notes").unwrap().to_string();
    for peer in &peers {
        assert!(notes.contains(&format!("Answers of tsdb and {peer} compared")), "{notes}");
    }
    let report = succeed(&["report", "--results", results]);
    assert!(report.contains("| lastpoint | ") && report.contains("## Goals"), "{report}");
}

#[test]
fn load_generate_and_questions_work_by_hand() {
    let dir = tempfile::tempdir().unwrap();
    let server = server::Server::start(&dir.path().join("data"), &[]);
    let (address, pid) = (server.address().to_string(), server.id().to_string());
    let data = ["--scale", "5", "--duration", "10m"];
    let load = ["load", "--server", &address, "--pid", &pid, "--finish", "/api/v1/admin/flush"];
    let text = succeed(&[&load[..], &data[..]].concat());
    assert!(text.contains("300 rows, 0.00 M samples"), "{text}");
    assert!(text.contains("server CPU per M samples"), "{text}");
    let count = server.client().number("benchmark", "SELECT count(usage_user) FROM cpu");
    assert_eq!(count, Some(300.0));

    let lines = succeed(&[&["generate"], &data[..]].concat());
    assert_eq!(lines.lines().count(), 300);
    let bodies = dir.path().join("bodies");
    let out = ["--format", "remote-write", "--batch", "100", "--out", bodies.to_str().unwrap()];
    succeed(&[&["generate"], &data[..], &out[..]].concat());
    assert_eq!(std::fs::read_dir(&bodies).unwrap().count(), 3);

    let questions = succeed(&["questions", "--kind", "lastpoint"]);
    assert_eq!(
        questions,
        "lastpoint\tSELECT * FROM cpu GROUP BY hostname ORDER BY time DESC LIMIT 1\n"
    );
    let influx = server.client().query("benchmark", questions.split('\t').nth(1).unwrap());
    assert_eq!(influx.pointer("/0/series").unwrap().as_array().unwrap().len(), 5);
}

#[test]
fn wrong_arguments_are_answered_with_what_is_right() {
    for (arguments, expected) in [
        (&["run", "--alone", "--section", "nonsense"][..], "choose from ingest-cpu"),
        (
            &["load", "--server", "127.0.0.1:1", "--scale", "1", "--duration", "10s"],
            "cannot connect to 127.0.0.1:1",
        ),
        (&["generate", "--case", "scrapes"], "tsdb-bench record"),
        (&["generate", "--duration", "5"], "write 30s, 15m, 24h or 2d"),
        (&["generate", "--format", "remote-write"], "--out"),
    ] {
        let output = bench(arguments);
        assert!(!output.status.success(), "{arguments:?}");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(errors.contains(expected), "{arguments:?}: {errors}");
    }
}
