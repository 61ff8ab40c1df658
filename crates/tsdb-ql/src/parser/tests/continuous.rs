//! Statements about continuous queries, with the messages of InfluxDB where they are wrong.

use super::*;

#[test]
fn continuous_queries_parse() {
    let check = check_canonical;
    check("show continuous queries", "SHOW CONTINUOUS QUERIES");
    check("drop continuous query \"c\" on d", "DROP CONTINUOUS QUERY c ON d");
    check(
        "CREATE CONTINUOUS QUERY c ON d BEGIN SELECT mean(v) INTO m1 FROM m GROUP BY time(1m) END",
        "=",
    );
    check(
        "create continuous query \"c 2\" on d resample every 10s for 2m begin select max(v) into \
         d.rp.:measurement from d.rp./.*/ where host = 'a' group by time(1m, 10s), * fill(previous) end",
        "CREATE CONTINUOUS QUERY \"c 2\" ON d RESAMPLE EVERY 10s FOR 2m BEGIN SELECT max(v) INTO \
         d.rp.:MEASUREMENT FROM d.rp./.*/ WHERE host = 'a' GROUP BY time(1m, 10s), * fill(previous) END",
    );
    for resample in ["RESAMPLE EVERY 30s", "RESAMPLE FOR 1m", "RESAMPLE EVERY 1h FOR 1h"] {
        let text = format!(
            "CREATE CONTINUOUS QUERY c ON d {resample} BEGIN SELECT max(v) INTO a FROM (SELECT v FROM m) \
             GROUP BY time(1m) LIMIT 3 tz('Europe/Berlin') END"
        );
        check(&text, "=");
    }
    // Names elsewhere, as all keywords that came late.
    let names = "begin, continuous, end, every, resample";
    let quoted = names.split(", ").map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(", ");
    check(&format!("SELECT {names} FROM begin"), &format!("SELECT {quoted} FROM \"begin\""));
}

#[test]
fn continuous_queries_that_cannot_be_are_refused() {
    let select = "SELECT max(v) INTO a FROM m GROUP BY time(1m)";
    let cases = [
        (
            "ON d BEGIN SELECT max(v) FROM m GROUP BY time(1m) END",
            "found FROM, expected INTO at line 1, char 52",
        ),
        (
            "ON d BEGIN SELECT max(v) INTO a FROM m END",
            "found END, expected GROUP BY time(...) at line 1, char 66",
        ),
        (
            "ON d BEGIN SELECT max(v) INTO a FROM m GROUP BY h END",
            "found END, expected GROUP BY time(...)",
        ),
        (
            &format!("ON d RESAMPLE BEGIN {select} END"),
            "found BEGIN, expected EVERY, FOR at line 1, char 41",
        ),
        (
            &format!("ON d RESAMPLE EVERY 5 BEGIN {select} END"),
            "found 5, expected duration at line 1, char 47",
        ),
        (
            &format!("ON d RESAMPLE EVERY 0s BEGIN {select} END"),
            "EVERY duration must be greater than 0",
        ),
        (
            &format!("ON d RESAMPLE FOR 0s BEGIN {select} END"),
            "FOR duration must be greater than 0",
        ),
        (
            &format!("ON d RESAMPLE FOR 30s BEGIN {select} END"),
            "FOR duration must be >= GROUP BY time duration: must be a minimum of 1m, got 30s",
        ),
        (
            &format!("ON d RESAMPLE EVERY 2m FOR 90s BEGIN {select} END"),
            "FOR duration must be >= GROUP BY time duration: must be a minimum of 2m, got 90s",
        ),
        (
            &format!("ON d RESAMPLE FOR 2m EVERY 90s BEGIN {select} END"),
            "found EVERY, expected BEGIN at line 1, char 48",
        ),
        (&format!("BEGIN {select} END"), "found BEGIN, expected ON at line 1, char 27"),
        (
            &format!("ON d {select} END"),
            "found SELECT, expected BEGIN, RESAMPLE at line 1, char 32",
        ),
        (&format!("ON d BEGIN {select}"), "SOFFSET, END, "),
        ("ON d BEGIN DROP MEASUREMENT x END", "found DROP, expected SELECT at line 1, char 38"),
    ];
    for (rest, due) in cases {
        let text = format!("CREATE CONTINUOUS QUERY x {rest}");
        let message = parse(&text).unwrap_err().to_string();
        assert!(message.contains(due), "{text}\n{message}");
    }
    for (text, due) in [
        ("DROP CONTINUOUS QUERY c", "found EOF, expected"),
        ("SHOW CONTINUOUS", "found EOF, expected QUERIES at line 1, char 16"),
        ("CREATE CONTINUOUS x", "found x, expected QUERY at line 1, char 19"),
    ] {
        let message = parse(text).unwrap_err().to_string();
        assert!(message.contains(due), "{text}\n{message}");
    }
}

#[test]
fn a_run_reads_its_own_range_and_no_other() {
    let cases = [
        ("", "time >= 5 AND time < 9"),
        ("WHERE time > now() - 1h", "time >= 5 AND time < 9"),
        (
            "WHERE h = 'a' AND time < now() AND (v > 1 OR v < 0)",
            "h = 'a' AND (v > 1 OR v < 0) AND time >= 5 AND time < 9",
        ),
        ("WHERE h = 'a' OR h = 'b'", "(h = 'a' OR h = 'b') AND time >= 5 AND time < 9"),
    ];
    for (condition, due) in cases {
        let text = format!(
            "CREATE CONTINUOUS QUERY c ON d BEGIN SELECT max(v) INTO a FROM m {condition} GROUP BY time(1m) END"
        );
        let Statement::CreateContinuousQuery(query) = parse(&text).unwrap().remove(0) else {
            panic!("{text}")
        };
        let run = query.select_between(5, 9).to_string();
        assert_eq!(run, format!("SELECT max(v) INTO a FROM m WHERE {due} GROUP BY time(1m)"));
    }
}
