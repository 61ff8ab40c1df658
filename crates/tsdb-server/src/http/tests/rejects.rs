//! `SHOW REJECTS` in this process: what writes could not store, as a client asks for it.

use super::*;

const TQL: &str = include_str!("../../../../../docs/tql.md");

impl Fixture {
    /// The tables of a statement.
    async fn rejects(&self, target: &str) -> Value {
        let (response, body) = self.send("POST", target, "").await;
        let answer: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(response.status(), 200, "{target}: {body}");
        assert_eq!(answer["results"][0]["error"], Value::Null, "{target}: {body}");
        answer["results"][0]["series"].clone()
    }
}

/// The cells of a table without times.
fn rows(table: &Value) -> Vec<Value> {
    let rows = table[0]["values"].as_array().unwrap();
    rows.iter().map(|row| json!(row.as_array().unwrap()[1..])).collect()
}

#[tokio::test]
async fn what_was_refused_is_listed_with_its_place_and_reason() {
    let fixture = Fixture::new();
    assert_eq!(fixture.rejects("/query?q=SHOW+REJECTS").await, Value::Null);
    let missing = "missing fields: give it at least one field with a value";
    for _ in 0..3 {
        assert_eq!(fixture.status("POST", "/write?db=d", "m v=1 1\nm,h=a\n").await, 400);
    }
    let csv = "/api/v1/write?db=e&format=csv&measurement=m";
    assert_eq!(fixture.status("POST", csv, "v\nx\u{1b}[1m\n2\n").await, 400);
    let v2 = "/api/v2/write?bucket=f";
    assert_eq!(fixture.status("POST", v2, "m v=1,note=\"secret\" 1").await, 204);
    let table = fixture.rejects("/query?q=SHOW+REJECTS").await;
    let columns =
        json!(["time", "database", "protocol", "line", "column", "count", "reason", "text"]);
    assert_eq!((&table[0]["name"], &table[0]["columns"]), (&json!("rejects"), &columns));
    let text = "a field that holds text is not stored: send numbers, or make it a tag";
    let cell = "column \"v\" holds \"x\u{1b}[1m\", which is no number";
    let all = rows(&table);
    assert_eq!(all.len(), 3, "{table}");
    assert_eq!(all[0], json!(["f", "line-protocol", null, null, 1, text, "note"]));
    assert_eq!(json!(all[1].as_array().unwrap()[..5]), json!(["e", "csv", 2, 1, 1]));
    let reason = all[1][5].as_str().unwrap();
    assert!(reason.starts_with(&cell.replace('\u{1b}', "\\u{1b}")), "{reason}");
    assert_eq!(all[1][6], "x\\u{1b}[1m", "nothing reaches a terminal");
    assert_eq!(all[2], json!(["d", "line-protocol", 2, 6, 3, missing, "m,h=a"]));
    for (target, databases) in [
        ("/query?q=SHOW+REJECTS+LIMIT+1", &["f"][..]),
        ("/query?q=SHOW+REJECTS+ON+d", &["d"]),
        ("/query?db=e&q=SHOW+REJECTS", &["e"]),
        ("/query?db=e&q=SHOW+REJECTS+ON+d+LIMIT+9", &["d"]),
    ] {
        let table = fixture.rejects(target).await;
        let found: Vec<Value> = rows(&table).iter().map(|row| row[0].clone()).collect();
        assert_eq!(json!(found), json!(databases), "{target}");
    }
    assert_eq!(fixture.rejects("/query?q=SHOW+REJECTS+ON+none").await, Value::Null);
    assert_eq!(fixture.rejects("/query?q=SHOW+REJECTS+LIMIT+0").await, Value::Null);
    let times = fixture.rejects("/query?epoch=s&q=SHOW+REJECTS").await;
    assert!(times[0]["values"][0][0].as_i64().unwrap() > 1_700_000_000, "{times}");
    let (_, metrics) = fixture.send("GET", "/metrics", "").await;
    for line in [
        "tsdb_write_refused_total{reason=\"syntax\"} 3",
        "tsdb_write_refused_total{reason=\"value\"} 1",
    ] {
        assert!(metrics.lines().any(|known| known == line), "{line} is missing in\n{metrics}");
    }
    assert!(fixture.budget.used(Pool::Cache) > 0, "they are paid for");
    assert_eq!(fixture.budget.used(Pool::Queries), 0);
}

#[tokio::test]
async fn examples_of_the_documentation_that_need_a_server_have_answers() {
    let fixture = Fixture::new();
    assert_eq!(fixture.status("POST", "/write?db=mydb", "m v=\n").await, 400);
    let blocks =
        TQL.split("```sql server\n").skip(1).map(|block| block.split("```").next().unwrap());
    let mut count = 0;
    for statement in blocks.flat_map(|block| block.split_terminator(";\n")) {
        let target = format!("/query?db=mydb&q={}", statement.trim().replace(' ', "+"));
        let table = fixture.rejects(&target).await;
        assert_eq!(table[0]["name"], "rejects", "{statement}");
        count += 1;
    }
    assert!(count >= 2, "{count} examples");
}
