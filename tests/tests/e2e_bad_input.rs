//! Bad inputs in tables, over all formats, endpoints and calls: each is refused with its status and a message
//! that names the place and what to do, the good parts beside it are stored, its memory is bounded, and nothing
//! panics. The tables stand in `bad_input`.

#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test reports by panicking, its helpers too"
)]

mod bad_input;

use bad_input::{Bench, csv, grpc, http, json, line, otlp, query, remote_write, sockets, write};

#[test]
fn line_protocol_is_refused_line_by_line() {
    let mut bench = Bench::start();
    line::run(&mut bench);
    bench.finish(line::count());
}

#[test]
fn json_is_refused_record_by_record() {
    let mut bench = Bench::start();
    json::run(&mut bench);
    bench.finish(json::count());
}

#[test]
fn csv_is_refused_row_by_row() {
    let mut bench = Bench::start();
    csv::run(&mut bench);
    bench.finish(csv::count());
}

#[test]
fn requests_to_write_are_refused_whole() {
    let mut bench = Bench::start();
    write::run(&mut bench);
    bench.finish(write::count());
}

#[test]
fn remote_write_is_refused_series_by_series() {
    let mut bench = Bench::start();
    remote_write::run(&mut bench);
    bench.finish(remote_write::count());
}

#[test]
fn otlp_is_refused_point_by_point() {
    let mut bench = Bench::start();
    otlp::run(&mut bench);
    bench.finish(otlp::count());
}

#[test]
fn queries_are_refused_with_their_place() {
    let mut bench = Bench::start();
    query::run(&mut bench);
    bench.finish(query::count());
}

#[test]
fn requests_to_wrong_places_are_refused() {
    let mut bench = Bench::start();
    http::run(&mut bench);
    bench.finish(http::count());
}

#[test]
fn connections_survive_what_is_no_http() {
    let mut bench = Bench::start();
    sockets::run(&mut bench);
    bench.finish(sockets::count());
}

#[test]
fn calls_of_grpc_are_refused() {
    let mut bench = Bench::start();
    grpc::run(&mut bench);
    bench.finish(grpc::count());
}

#[test]
fn there_are_hundreds_of_bad_inputs() {
    let counts = [
        line::count(),
        json::count(),
        csv::count(),
        write::count(),
        remote_write::count(),
        otlp::count(),
        query::count(),
        http::count(),
        sockets::count(),
        grpc::count(),
    ];
    let total: usize = counts.iter().sum();
    println!("{total} bad inputs: {counts:?}");
    assert!(total >= 600, "{total} bad inputs are in the tables");
}
