//! Many small databases: flush, open files, start.

use std::time::Instant;

use super::{Setup, row_or_error};
use crate::peer::Kind;
use crate::process::open_files;
use crate::results::Row;
use crate::server::Server;

/// Measures the servers that have databases.
pub fn run(setup: &Setup, count: u32) -> Vec<Row> {
    let kinds = setup.kinds.iter().filter(|kind| matches!(kind, Kind::Tsdb | Kind::Influxdb));
    kinds.map(|kind| row_or_error("", *kind, one_server(*kind, count))).collect()
}

fn one_server(kind: Kind, count: u32) -> Result<Row, String> {
    eprintln!("loading {}", kind.name());
    let mut server = Server::start(kind)?;
    let mut connection = server.connect()?;
    let begin = Instant::now();
    for number in 0..count {
        if kind == Kind::Influxdb {
            let path = format!("/query?q=CREATE%20DATABASE%20d{number}");
            connection.post(&path, &[])?.expect_success()?;
        }
        let path = format!("/write?db=d{number}");
        connection.post(&path, b"m,host=a value=1 1451606400000000000\n")?.expect_success()?;
    }
    let mut row = Row::new("", kind.name()).with("write_s", begin.elapsed().as_secs_f64());
    if let Some(flush) = kind.settle_paths().first() {
        let begin = Instant::now();
        connection.post(flush, &[])?.expect_success()?;
        row = row.with("flush_s", begin.elapsed().as_secs_f64());
    }
    drop(connection);
    // Nobody has to come to rest: two thousand databases keep InfluxDB's own watch over them busy for ever.
    row = row.with("open_files", open_files(server.pid())? as f64);
    row = row.with("disk_mib", server.disk_bytes()? as f64 / f64::from(1 << 20));
    server.stop()?;
    Ok(row.with("open_s", server.start_again()?.as_secs_f64()))
}
