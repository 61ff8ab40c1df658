//! Answers beside those of InfluxDB, where it is installed: random queries with every function over random data,
//! asked of both.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test reports by panicking, its helpers too"
)]

use serde_json::Value;
use tsdb_tests::http::{Client, escape};
use tsdb_tests::influxql::{
    KINDS, LISTED, LISTED_MAX, LISTED_ROWS, NOT_ASKED, Question, difference, kinds_of, lines,
    question, tables,
};
use tsdb_tests::peer::{influxdb, is_installed};
use tsdb_tests::seed::Seed;
use tsdb_tests::server::Server;

/// Data sets, unless `TSDB_INFLUXQL_ROUNDS` says how many, and queries of each kind over each.
const ROUNDS: usize = 12;
const QUERIES: usize = 30;

/// Where the differences are listed.
const LIST: &str = include_str!("../../docs/tql.md");

/// A search may end in another valley where the last digits differ; all else is the same arithmetic.
const TOLERANCE: f64 = 1e-9;
const TOLERANCE_OF_FORECASTS: f64 = 1e-3;

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
    let peer = influxdb(theirs_dir.path());
    let (mut ours, mut theirs) = (server.client(), Client::new(peer.address));
    let mut seed = Seed::from_environment();
    let (mut asked, mut unencoded, mut wrong) = ([0; KINDS.len()], 0, Vec::new());
    let rounds = std::env::var("TSDB_INFLUXQL_ROUNDS").map_or(ROUNDS, |n| n.parse().unwrap());
    for round in 0..rounds {
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
    println!("{} answers compared, {} differ", asked.iter().sum::<usize>(), wrong.len());
    assert!(
        wrong.is_empty(),
        "{} answers differ:\n{}",
        wrong.len(),
        wrong[..wrong.len().min(40)].join("\n")
    );
}

#[test]
fn what_is_listed_differs_and_is_at_most_twenty_kinds() {
    let listed: Vec<String> = kinds_of(LIST).iter().map(|number| format!("D{number}")).collect();
    let numbers: Vec<String> = (1..=listed.len()).map(|number| format!("D{number}")).collect();
    assert_eq!(listed, numbers, "the list of docs/tql.md is numbered");
    assert!((1..=LISTED_MAX).contains(&listed.len()), "{} kinds", listed.len());
    let shown = LISTED.iter().map(|(kind, _)| kind).chain(NOT_ASKED.iter().map(|(kind, _)| kind));
    let mut shown: Vec<&str> = shown.copied().collect();
    shown.sort_by_key(|kind| kind[1..].parse::<usize>().unwrap());
    shown.dedup();
    assert_eq!(shown, numbers, "each kind has a question, or a reason why it has none");
    if !is_installed("influxd") {
        return tsdb_tests::skip("listed differences: InfluxDB is not installed");
    }
    let (ours_dir, theirs_dir) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let server = Server::start(ours_dir.path(), &[]);
    let peer = influxdb(theirs_dir.path());
    let (mut ours, mut theirs) = (server.client(), Client::new(peer.address));
    for client in [&mut ours, &mut theirs] {
        client.query("", "CREATE DATABASE d");
        client.write("d", LISTED_ROWS);
    }
    let mut alike = Vec::new();
    for (kind, text) in LISTED {
        let question = Question::from(text.to_owned());
        let got = ask(&mut ours, "d", &question).unwrap();
        let Some(expected) = ask(&mut theirs, "d", &question) else { continue };
        let has_message = |answers: &[Value]| answers.iter().any(|a| a.get("messages").is_some());
        let is_told = has_message(&got) && !has_message(&expected);
        let what = differs(&got, &expected, TOLERANCE);
        if what.is_none() && !is_told {
            alike.push(format!("{kind}: {text}"));
        }
    }
    assert!(alike.is_empty(), "no differences any more:\n{}", alike.join("\n"));
}
