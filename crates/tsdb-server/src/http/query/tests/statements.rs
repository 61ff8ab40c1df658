//! Statements of which the server knows more than who executes them: what it says of itself, and how one that writes
//! is received.

use serde_json::{Value, json};

use super::{ENDLESS, Fixture, GRACE};
use crate::config::Settings;

/// The tables of the first statement of an answer.
fn tables(answer: &Value) -> &[Value] {
    answer["results"][0]["series"].as_array().map_or(&[], Vec::as_slice)
}

/// The first value of a column of a table.
fn cell<'t>(table: &'t Value, column: &str) -> &'t Value {
    let columns = table["columns"].as_array().unwrap();
    let place = columns.iter().position(|name| name == column);
    &table["values"][0][place.unwrap_or_else(|| panic!("{column} in {table}"))]
}

#[tokio::test]
async fn statistics_are_tables_of_the_parts_of_the_server() {
    let fixture = Fixture::new(Settings::default()).await;
    let (_, answer) = fixture.query("POST", "/query?q=SHOW STATS").await;
    let named =
        |name: &'static str| tables(&answer).iter().filter(move |table| table["name"] == name);
    assert_eq!(cell(named("write").next().unwrap(), "rows_total"), 20_001, "{answer}");
    assert_eq!(cell(named("queryExecutor").next().unwrap(), "queriesActive"), 1);
    let pools: Vec<&Value> = named("memory").map(|table| &table["tags"]["pool"]).collect();
    assert!(pools.contains(&&json!("queries")), "{pools:?}");
    // One of them alone, in InfluxDB's form.
    let (_, answer) = fixture.query("POST", "/query?q=SHOW STATS FOR 'database'").await;
    let table = json!({
        "name": "database", "tags": {"database": "d"},
        "columns": ["numMeasurements", "numSeries"], "values": [[2, 11]],
    });
    assert_eq!(tables(&answer), [table]);
    let (_, answer) = fixture.query("POST", "/query?q=SHOW STATS FOR 'nothing'").await;
    assert_eq!(answer, json!({"results": [{"statement_id": 0}]}));
    fixture.assert_nothing_is_left();
}

#[tokio::test]
async fn diagnostics_tell_version_settings_and_age() {
    let fixture = Fixture::new(Settings::default()).await;
    let (_, answer) = fixture.query("POST", "/query?q=SHOW DIAGNOSTICS").await;
    let names: Vec<&Value> = tables(&answer).iter().map(|table| &table["name"]).collect();
    assert_eq!(
        names,
        [
            "build",
            "config",
            "config-coordinator",
            "config-cqs",
            "config-data",
            "continuous_queries",
            "runtime",
            "system"
        ]
    );
    let (_, answer) = fixture.query("POST", "/query?q=SHOW DIAGNOSTICS FOR 'system'").await;
    let [table] = tables(&answer) else { panic!("{answer}") };
    assert_eq!(cell(table, "PID"), std::process::id());
    let [started, now] =
        ["started", "currentTime"].map(|column| cell(table, column).as_str().unwrap().to_owned());
    assert!(started < now, "{answer}");
}

#[tokio::test]
async fn to_write_rows_is_a_change() {
    let fixture = Fixture::new(Settings::default()).await;
    let into = "db=d&q=SELECT mean(v) INTO copy FROM m GROUP BY host";
    let (status, answer) = fixture.query("GET", &format!("/query?read_only=true&{into}")).await;
    assert_eq!(status, 403, "{answer}");
    let (_, answer) = fixture.query("GET", &format!("/query?epoch=ns&{into}")).await;
    let warning = answer["results"][0]["messages"][0]["text"].as_str().unwrap();
    assert!(warning.starts_with("deprecated use of 'SELECT mean(v) INTO copy"), "{answer}");
    let written = json!([{"name": "result", "columns": ["time", "written"], "values": [[0, 10]]}]);
    assert_eq!(answer["results"][0]["series"], written);
    let (_, answer) = fixture.query("POST", "/query?db=d&q=SHOW SERIES FROM copy LIMIT 1").await;
    assert_eq!(tables(&answer)[0]["values"], json!([["copy,host=h0"]]));
    fixture.assert_nothing_is_left();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_query_inside_of_another_and_one_that_writes_are_killed_as_any() {
    let fixture = Fixture::new(Settings::default()).await;
    for query in [
        format!("SELECT max(mean) FROM ({ENDLESS})"),
        "SELECT v INTO copy FROM endless GROUP BY *".to_owned(),
    ] {
        let target = format!("/query?db=d&q={query}");
        let killer = async {
            fixture.until(|listed| listed.iter().any(|(_, state)| state == "running")).await;
            let id = fixture.listed()[0].0;
            assert_eq!(fixture.error(&format!("KILL QUERY {id} ON somewhere")).await, "");
            std::time::Instant::now()
        };
        let ((_, answer), killed) = tokio::join!(fixture.query("POST", &target), killer);
        let late = killed.elapsed();
        let error = answer["results"][0]["error"].as_str().unwrap();
        assert!(error.starts_with("query was killed by KILL QUERY"), "{answer}");
        assert!(late < GRACE, "it went on for {late:?}");
        fixture.assert_nothing_is_left();
    }
}
