//! Continuous queries of the server as a process: they run by themselves, are there after a restart, and their
//! statements are answered as InfluxDB answers them.

#![expect(clippy::unwrap_used, reason = "a test reports by panicking, its helpers too")]

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use tsdb_tests::beside::time_until;
use tsdb_tests::http::{Client, escape};
use tsdb_tests::peer::{influxdb, is_installed};
use tsdb_tests::server::Server;

/// Longest time until a query with windows of a second has run, on a machine that does other things too.
const PATIENCE: Duration = Duration::from_secs(60);

const COUNTS: &str = "CREATE CONTINUOUS QUERY counts ON d RESAMPLE FOR 1m BEGIN \
                      SELECT count(v) INTO counted FROM m GROUP BY time(1s), host END";

fn now_ns() -> u128 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos()
}

/// Writes a row now and waits until so many rows have been counted.
fn write_and_wait(client: &mut Client, rows: f64) {
    client.write("d", &format!("m,host=a v=1 {}", now_ns()));
    time_until("the row is counted", PATIENCE, || {
        let all = "SELECT sum(count) FROM counted WHERE host = 'a'";
        client.number("d", all).is_some_and(|sum| sum >= rows)
    });
}

#[test]
fn queries_run_by_themselves_and_survive_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), &[]);
    let mut client = server.client();
    client.query("", "CREATE DATABASE d; CREATE DATABASE gone");
    client.query("d", COUNTS);
    client.query(
        "d",
        "CREATE CONTINUOUS QUERY broken ON d BEGIN SELECT max(v) INTO gone..x FROM m GROUP BY time(1s) END; \
         DROP DATABASE gone",
    );
    write_and_wait(&mut client, 1.0);
    time_until("the failure is counted", PATIENCE, || {
        let metrics = client.get("/metrics").unwrap().text();
        metrics.lines().any(|line| {
            let failures = line.strip_prefix("tsdb_continuous_query_failures_total ");
            failures.is_some_and(|failures| failures.parse::<f64>().unwrap() >= 1.0)
        })
    });
    let told = client.query("d", "SHOW DIAGNOSTICS FOR 'continuous_queries'").to_string();
    assert!(told.contains("database not found: gone"), "{told}");
    let shown = client.query("", "SHOW CONTINUOUS QUERIES");
    let log = server.log();
    assert_eq!(log.matches("a continuous query failed").count(), 1, "{log}");
    server.kill();

    let server = Server::start(dir.path(), &[]);
    let mut client = server.client();
    assert_eq!(client.query("", "SHOW CONTINUOUS QUERIES"), shown);
    write_and_wait(&mut client, 2.0);
    let (status, log) = server.terminate();
    assert!(status.success(), "{log}");

    let server = Server::start(dir.path(), &["--continuous-queries=false"]);
    let mut client = server.client();
    client.write("d", &format!("m,host=b v=1 {}", now_ns()));
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(client.number("d", "SELECT sum(count) FROM counted WHERE host = 'b'"), None);
    client.query("", "DROP DATABASE d");
    assert_eq!(client.query("", "SHOW CONTINUOUS QUERIES"), json!([{"statement_id": 0}]));
}

/// Statements, in the order in which both are asked.
const STATEMENTS: [&str; 24] = [
    "CREATE DATABASE d",
    "CREATE DATABASE other",
    "CREATE CONTINUOUS QUERY c ON d BEGIN SELECT mean(v) INTO a FROM m GROUP BY time(1m) END",
    "CREATE CONTINUOUS QUERY c ON d BEGIN SELECT mean(v) INTO a FROM m GROUP BY time(1m) END",
    "CREATE CONTINUOUS QUERY c ON d BEGIN SELECT max(v) INTO a FROM m GROUP BY time(1m) END",
    "create continuous query \"c 2\" on d resample every 10s for 2m begin select mean(v) as v, MAX(\"a b\") into \
     d.autogen.:MEASUREMENT from d.autogen./.*/ where host='a' group by time(1m,10s), * fill(previous) end",
    "CREATE CONTINUOUS QUERY sub ON d BEGIN SELECT max(v) INTO a FROM (SELECT mean(v) AS v FROM m GROUP BY time(10s)) \
     GROUP BY time(1m) END",
    "CREATE CONTINUOUS QUERY x ON d BEGIN SELECT max(v) FROM m GROUP BY time(1m) END",
    "CREATE CONTINUOUS QUERY x ON d RESAMPLE BEGIN SELECT max(v) INTO a FROM m GROUP BY time(1m) END",
    "CREATE CONTINUOUS QUERY x ON d RESAMPLE EVERY 5 BEGIN SELECT max(v) INTO a FROM m GROUP BY time(1m) END",
    "CREATE CONTINUOUS QUERY x ON d RESAMPLE FOR 30s BEGIN SELECT max(v) INTO a FROM m GROUP BY time(1m) END",
    "CREATE CONTINUOUS QUERY x ON d RESAMPLE EVERY 2m FOR 90s BEGIN SELECT max(v) INTO a FROM m GROUP BY time(1m) END",
    "CREATE CONTINUOUS QUERY x ON d RESAMPLE FOR 2m EVERY 90s BEGIN SELECT max(v) INTO a FROM m GROUP BY time(1m) END",
    "CREATE CONTINUOUS QUERY x BEGIN SELECT max(v) INTO a FROM m GROUP BY time(1m) END",
    "CREATE CONTINUOUS QUERY x ON d BEGIN DROP MEASUREMENT x END",
    "CREATE CONTINUOUS x",
    "CREATE CONTINUOUS QUERY x ON nope BEGIN SELECT max(v) INTO a FROM m GROUP BY time(1m) END",
    "CREATE CONTINUOUS QUERY x ON d BEGIN SELECT max(v) INTO nodb..a FROM m GROUP BY time(1m) END",
    "SHOW CONTINUOUS QUERIES",
    "DROP CONTINUOUS QUERY nope ON d",
    "DROP CONTINUOUS QUERY c ON nope",
    "DROP CONTINUOUS c",
    "DROP CONTINUOUS QUERY \"c 2\" ON d",
    "SHOW CONTINUOUS QUERIES",
];

/// The answer to a statement; of an error the first line, without the place where InfluxDB gives none.
fn answer(client: &mut Client, text: &str) -> Value {
    let response = client.post(&format!("/query?db=other&q={}", escape(text)), b"").unwrap();
    let mut answer = response.json();
    if let Some(Value::String(error)) = answer.get_mut("error") {
        let line = error.lines().next().unwrap_or_default();
        let place = if line.contains("FOR duration") { line.find(" at line") } else { None };
        *error = line[..place.unwrap_or(line.len())].to_owned();
    }
    answer
}

#[test]
fn statements_are_answered_as_influxdb_does() {
    if !is_installed("influxd") {
        return tsdb_tests::skip("answers of InfluxDB: not installed (apt-get install influxdb)");
    }
    let (ours_dir, theirs_dir) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let server = Server::start(ours_dir.path(), &[]);
    let peer = influxdb(theirs_dir.path());
    let (mut ours, mut theirs) = (server.client(), Client::new(peer.address));
    for text in STATEMENTS {
        assert_eq!(answer(&mut ours, text), answer(&mut theirs, text), "{text}");
    }
}
