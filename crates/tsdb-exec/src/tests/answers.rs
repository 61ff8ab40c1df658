//! Questions and answers. `influxdb-*.txt` were recorded from InfluxDB 1.6.7 and must be answered alike;
//! `ours-*.txt` are what we answer on purpose in another way, and what InfluxDB has no answer to.

use super::support::{check_file, check_file_within, context, store_of};

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

/// Fractions and negative numbers, one value at each time of a field.
const MATH_ROWS: &str = "
    m,host=a,dc=x f=1.5,g=-2.75 0
    m,host=a,dc=x f=-2.25 10
    m,host=a,dc=x g=30 20
    m,host=a,dc=x f=0.5,g=0.25 50
    m,host=b,dc=x f=4.5,g=3 5
    m,host=b,dc=x f=-0.75 12
    m,host=b,dc=x f=7 35
    m,host=c f=9.99,k=2 14
    n,host=a f=100.5 5
";

#[test]
fn functions_of_numbers_and_casts_are_answered_as_influxdb_does() {
    // The libraries of mathematics of two languages do not agree on the last digits.
    let file = include_str!("answers/influxdb-math.txt");
    check_file_within(2e-14, &store_of(MATH_ROWS), file, &context());
}

#[test]
fn selects_are_answered_as_influxdb_does() {
    check_file(&store_of(ROWS), include_str!("answers/influxdb-select.txt"), &context());
}

#[test]
fn subqueries_are_answered_as_influxdb_does() {
    let file = include_str!("answers/influxdb-subqueries.txt");
    check_file_within(2e-14, &store_of(ROWS), file, &context());
}

#[test]
fn rows_are_written_into_measurements_as_influxdb_does() {
    check_file(&store_of(ROWS), include_str!("answers/influxdb-into.txt"), &context());
}

#[test]
fn lists_of_names_are_answered_as_influxdb_does() {
    check_file(&store_of(ROWS), include_str!("answers/influxdb-show.txt"), &context());
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
fn functions_along_points_are_answered_as_influxdb_does() {
    // Sums are carried along in another way, so that more than the last digit may differ.
    let file = include_str!("answers/influxdb-streams.txt");
    check_file_within(2e-14, &store_of(ROWS), file, &context());
}

#[test]
fn functions_along_points_that_we_answer_in_our_own_way() {
    let file = include_str!("answers/ours-streams.txt");
    check_file_within(2e-14, &store_of(ROWS), file, &context());
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
