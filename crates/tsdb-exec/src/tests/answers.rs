//! Questions and answers. `influxdb-*.txt` were recorded from InfluxDB 1.6.7 and must be answered alike;
//! `ours-*.txt` are what we answer on purpose in another way, and what InfluxDB has no answer to.

use super::support::{check_file, context, store_of};

/// Gaps, a tag that a series lacks, several series with equal times, two measurements.
const ROWS: &str = "
    m,host=a,dc=x f=1,g=10 0
    m,host=a,dc=x f=2 10
    m,host=a,dc=x g=30 20
    m,host=a,dc=x f=4,g=40 50
    m,host=b,dc=x f=5,g=5 0
    m,host=b,dc=x f=2 10
    m,host=b,dc=x f=7 35
    m,host=c f=9 12
    n,host=a f=100 5
    n,host=z h=1 15
";

#[test]
fn selects_are_answered_as_influxdb_does() {
    check_file(&store_of(ROWS), include_str!("answers/influxdb-select.txt"), &context());
}

#[test]
fn statements_about_the_data_are_answered_as_influxdb_does() {
    check_file(&store_of(ROWS), include_str!("answers/influxdb-manage.txt"), &context());
}

#[test]
fn cardinalities_are_answered_as_influxdb_does() {
    check_file(&store_of(ROWS), include_str!("answers/influxdb-cardinality.txt"), &context());
}

#[test]
fn functions_are_answered_as_influxdb_does() {
    check_file(&store_of(ROWS), include_str!("answers/influxdb-functions.txt"), &context());
}

#[test]
fn functions_that_we_answer_in_our_own_way() {
    check_file(&store_of(ROWS), include_str!("answers/ours-functions.txt"), &context());
}

#[test]
fn selects_that_we_answer_in_our_own_way() {
    check_file(&store_of(ROWS), include_str!("answers/ours-select.txt"), &context());
}

#[test]
fn statements_about_the_data_that_we_answer_in_our_own_way() {
    check_file(&store_of(ROWS), include_str!("answers/ours-manage.txt"), &context());
}
