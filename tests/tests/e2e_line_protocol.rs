//! Line protocol beside InfluxDB, where it is installed: random bodies, valid and damaged, are accepted and refused by
//! both alike, and the same numbers are stored.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test reports by panicking, its helpers too"
)]

use std::net::SocketAddr;
use std::thread;

use tsdb_tests::http::Client;
use tsdb_tests::lines::{LISTED, PRECISIONS, Rows, body, is_listed, rows};
use tsdb_tests::peer::{influxdb, is_installed};
use tsdb_tests::seed::Seed;
use tsdb_tests::server::Server;

/// Bodies, unless `TSDB_LINES` says how many, and how many of them a database takes.
const BODIES: u64 = 10_000;
const ROUND: u64 = 200;
/// Connections at once.
const WRITERS: usize = 8;

/// The page whose table lists what differs.
const LIST: &str = include_str!("../../docs/line-protocol.md");

/// A directory in memory, where there is one: a sync for each of so many requests would take most of the time.
fn directory() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").unwrap_or_else(|_| tempfile::tempdir().unwrap())
}

/// Writes each body by a request of its own, and returns the statuses.
fn write(address: SocketAddr, target: &str, bodies: &[String]) -> Vec<u16> {
    thread::scope(|scope| {
        let pieces = bodies.chunks(bodies.len().div_ceil(WRITERS));
        let writers: Vec<_> = pieces
            .map(|piece| {
                scope.spawn(move || {
                    let mut client = Client::new(address);
                    let post = |body: &String| client.post(target, body.as_bytes()).unwrap().status;
                    piece.iter().map(post).collect::<Vec<u16>>()
                })
            })
            .collect();
        writers.into_iter().flat_map(|writer| writer.join().unwrap()).collect()
    })
}

fn stored(client: &mut Client, database: &str) -> Rows {
    let results = client.try_query(database, "SELECT * FROM /./ GROUP BY *").unwrap();
    assert!(results[0].get("error").is_none(), "{results}");
    rows(&results[0])
}

/// What the rows of one have and those of the other have not.
fn differences(ours: &Rows, theirs: &Rows) -> Vec<String> {
    let keys = ours.keys().chain(theirs.keys().filter(|key| !ours.contains_key(*key)));
    let different = keys.filter(|key| ours.get(*key) != theirs.get(*key));
    different
        .map(|key| format!("{key}: {:?}, theirs {:?}", ours.get(key), theirs.get(key)))
        .collect()
}

#[test]
fn lines_are_taken_as_influxdb_takes_them() {
    if !is_installed("influxd") {
        return tsdb_tests::skip("lines of InfluxDB: not installed (apt-get install influxdb)");
    }
    let (ours_dir, theirs_dir) = (directory(), directory());
    let server = Server::start(ours_dir.path(), &["--durability", "off"]);
    let peer = influxdb(theirs_dir.path());
    let mut seed = Seed::from_environment();
    let count = std::env::var("TSDB_LINES").map_or(BODIES, |n| n.parse().unwrap());
    let (mut accepted, mut refused, mut numbers, mut wrong) = (0, 0, 0, Vec::new());
    for round in 0..count.div_ceil(ROUND) {
        let database = format!("d{round}");
        // A connection that was idle for a round may have been closed.
        let (mut ours, mut theirs) = (server.client(), Client::new(peer.address));
        for client in [&mut ours, &mut theirs] {
            client.query("", &format!("CREATE DATABASE {database}"));
        }
        let (precision, unit_ns) = PRECISIONS[usize::try_from(round).unwrap() % PRECISIONS.len()];
        let mut next = |n| {
            let mut bodies = std::iter::repeat_with(|| body(n, unit_ns, &mut seed));
            bodies.find(|body| !is_listed(body)).unwrap()
        };
        let bodies: Vec<String> = (0..ROUND.min(count - round * ROUND)).map(&mut next).collect();
        let target = format!("/write?db={database}&precision={precision}");
        let got = write(server.address(), &target, &bodies);
        let expected = write(peer.address, &target, &bodies);
        for ((body, got), expected) in bodies.iter().zip(got).zip(expected) {
            // An empty body is answered with 200, as by InfluxDB 1.8.
            let [got, expected] = [got, expected].map(|status| status == 204 || status == 200);
            if got {
                accepted += 1
            } else {
                refused += 1
            }
            if got != expected {
                wrong.push(format!("{body:?} by {precision}: accepted {got}, theirs {expected}"));
            }
        }
        let (mut ours, mut theirs) = (server.client(), Client::new(peer.address));
        let (got, expected) = (stored(&mut ours, &database), stored(&mut theirs, &database));
        numbers += expected.values().map(|fields| fields.len()).sum::<usize>();
        wrong.extend(differences(&got, &expected));
        theirs.query("", &format!("DROP DATABASE {database}"));
    }
    println!(
        "{accepted} bodies accepted, {refused} refused, {numbers} numbers compared, {} differ",
        wrong.len()
    );
    assert!(accepted > count / 3 && refused > count / 10, "the bodies are of one kind");
    wrong.truncate(40);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_is_listed_is_treated_otherwise() {
    let table = LIST.split_once("## Differences from InfluxDB 1.8").unwrap().1;
    let rows: Vec<&str> =
        table.lines().skip_while(|line| !line.starts_with("|---")).skip(1).collect();
    let rows: Vec<&str> = rows.into_iter().take_while(|line| line.starts_with('|')).collect();
    let named = |row: &&str| LISTED.iter().any(|(name, _)| row.starts_with(&format!("| {name}")));
    let unnamed: Vec<&&str> = rows.iter().filter(|row| !named(row)).collect();
    assert!(unnamed.is_empty() && rows.len() == LISTED.len(), "no body shows {unnamed:?}");
    if !is_installed("influxd") {
        return tsdb_tests::skip("listed lines: InfluxDB is not installed");
    }
    let (ours_dir, theirs_dir) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let server = Server::start(ours_dir.path(), &[]);
    let peer = influxdb(theirs_dir.path());
    let mut alike = Vec::new();
    for (number, (name, body)) in LISTED.iter().enumerate() {
        let database = format!("d{number}");
        let outcome = |mut client: Client| {
            client.query("", &format!("CREATE DATABASE {database}"));
            let status = client.post(&format!("/write?db={database}"), &body()).unwrap().status;
            (
                status,
                client
                    .get(&format!("/query?epoch=ns&db={database}&q=SELECT%20*%20FROM%20/./"))
                    .unwrap()
                    .json()["results"][0]["series"]
                    .clone(),
            )
        };
        if outcome(server.client()) == outcome(Client::new(peer.address)) {
            alike.push(name);
        }
    }
    assert!(alike.is_empty(), "no differences any more: {alike:?}");
}
