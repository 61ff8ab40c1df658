//! Answers beside those of InfluxDB, where it is installed: random queries with every function over random data,
//! asked of both.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test reports by panicking, its helpers too"
)]

use std::path::Path;
use std::process::Command;

use serde_json::Value;
use tsdb_tests::http::{Client, escape};
use tsdb_tests::influxql::{KINDS, Question, difference, lines, question, tables};
use tsdb_tests::peer::{Peer, free_address, is_installed};
use tsdb_tests::seed::Seed;
use tsdb_tests::server::Server;

/// Data sets, and queries of each kind over each.
const ROUNDS: usize = 12;
const QUERIES: usize = 30;

/// A search may end in another valley where the last digits differ; all else is the same arithmetic.
const TOLERANCE: f64 = 1e-9;
const TOLERANCE_OF_FORECASTS: f64 = 1e-3;

fn start_influxdb(dir: &Path) -> Peer {
    let (address, backup) = (free_address(), free_address());
    let path = |name: &str| dir.join(name).display().to_string();
    let config = format!(
        "reporting-disabled = true\nbind-address = \"{backup}\"\n\
         [meta]\ndir = \"{}\"\n[data]\ndir = \"{}\"\nwal-dir = \"{}\"\n\
         [http]\nbind-address = \"{address}\"\nlog-enabled = false\n\
         [monitor]\nstore-enabled = false\n",
        path("meta"),
        path("data"),
        path("wal")
    );
    std::fs::write(dir.join("influxdb.conf"), config).unwrap();
    let mut command = Command::new("influxd");
    Peer::start(command.args(["run", "-config", &path("influxdb.conf")]), address, "/ping")
}

/// The answers to the statements of a question; none for a number that InfluxDB does not encode.
fn ask(client: &mut Client, database: &str, question: &Question) -> Option<Vec<Value>> {
    let text = escape(&question.text);
    let mut target = format!("/query?epoch=ns&db={}&q={text}", escape(database));
    if !question.parameters.is_empty() {
        target.push_str(&format!("&params={}", escape(&question.parameters)));
    }
    // A connection that was idle while the machine was busy may have been closed.
    let response = client.get(&target).or_else(|_| client.get(&target)).unwrap();
    if response.text().contains("unsupported value") {
        return None;
    }
    let answer = response.json();
    Some(answer["results"].as_array().cloned().unwrap_or_else(|| vec![answer]))
}

/// The first difference between two answers, statement by statement.
fn differs(ours: &[Value], theirs: &[Value], tolerance: f64) -> Option<String> {
    if ours.len() != theirs.len() {
        return Some(format!("{ours:?}, theirs {theirs:?}"));
    }
    let mut pairs = ours.iter().zip(theirs);
    pairs.find_map(|(ours, theirs)| difference(&tables(ours), &tables(theirs), tolerance))
}

#[test]
fn every_function_answers_as_influxdb_does() {
    if !is_installed("influxd") {
        return tsdb_tests::skip("answers of InfluxDB: not installed (apt-get install influxdb)");
    }
    let (ours_dir, theirs_dir) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    // The data is of 1970, which a server keeps in a database for ever.
    let server = Server::start(ours_dir.path(), &[]);
    let peer = start_influxdb(theirs_dir.path());
    let (mut ours, mut theirs) = (server.client(), Client::new(peer.address));
    let mut seed = Seed::from_environment();
    let (mut asked, mut unencoded, mut wrong) = ([0; KINDS.len()], 0, Vec::new());
    for round in 0..ROUNDS {
        let database = format!("d{round}");
        let data = lines(&mut seed);
        for client in [&mut ours, &mut theirs] {
            client.query("", &format!("CREATE DATABASE {database}"));
            client.write(&database, &data);
        }
        for (kind, asked) in asked.iter_mut().enumerate() {
            for _ in 0..QUERIES {
                let question = question(kind, &mut seed);
                let expected = ask(&mut theirs, &database, &question);
                let got = ask(&mut ours, &database, &question).unwrap();
                let Some(expected) = expected else {
                    unencoded += 1;
                    continue;
                };
                *asked += 1;
                let Question { text, parameters } = question;
                let is_forecast = text.contains("holt_winters");
                let tolerance = if is_forecast { TOLERANCE_OF_FORECASTS } else { TOLERANCE };
                if let Some(what) = differs(&got, &expected, tolerance) {
                    wrong.push(format!(
                        "{text} {parameters}\n    {what}\n    over the data of round {round}"
                    ));
                }
            }
        }
    }
    for (kind, count) in KINDS.iter().zip(asked) {
        println!("{kind}: {count} answers compared");
    }
    println!("not encoded by InfluxDB: {unencoded}");
    assert!(
        wrong.is_empty(),
        "{} answers differ:\n{}",
        wrong.len(),
        wrong[..wrong.len().min(40)].join("\n")
    );
}
