//! Rows to bytes: one encoder for each wire format. What is in the rows is decided in `dataset`.

mod csv;
mod json;
mod line;
mod otlp;
mod remote_write;

use clap::ValueEnum;

use crate::dataset::{Row, Series, Source};

/// A wire format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// InfluxDB line protocol, times in ns
    Line,
    /// Prometheus remote write 1.0: protobuf, snappy block format
    RemoteWrite,
    /// comma separated values with a header; for data with a single measurement
    Csv,
    /// JSON of our own, a record on each line
    Json,
    /// metrics of OpenTelemetry in protocol buffers
    Otlp,
}

/// Collects rows into a body.
pub trait Encoder {
    /// Adds a row.
    fn push(&mut self, series: &[Series], row: &Row);

    /// The body of what was added since the last call.
    fn take(&mut self) -> Vec<u8>;
}

impl Format {
    /// An encoder of this format.
    pub fn encoder(self) -> Box<dyn Encoder> {
        match self {
            Format::Line => Box::<line::LineEncoder>::default(),
            Format::RemoteWrite => Box::<remote_write::RemoteWriteEncoder>::default(),
            Format::Csv => Box::<csv::CsvEncoder>::default(),
            Format::Json => Box::<json::JsonEncoder>::default(),
            Format::Otlp => Box::<otlp::OtlpEncoder>::default(),
        }
    }
}

/// What is sent in one request.
#[derive(Debug, Clone, Default)]
pub struct Body {
    /// The bytes.
    pub bytes: Vec<u8>,
    /// Rows in them.
    pub rows: u64,
    /// Values in them.
    pub samples: u64,
}

/// Draws all rows of `source` and encodes up to `rows_max` of them into each body.
pub fn build(source: &mut dyn Source, format: Format, rows_max: usize) -> Vec<Body> {
    let mut encoder = format.encoder();
    let mut bodies = Vec::new();
    let mut row = Row::default();
    loop {
        let mut body = Body::default();
        while body.rows < rows_max.max(1) as u64 && source.next_row(&mut row) {
            encoder.push(source.series(), &row);
            body.samples += row.values.len() as u64;
            body.rows += 1;
        }
        if body.rows == 0 {
            return bodies;
        }
        body.bytes = encoder.take();
        bodies.push(body);
    }
}

/// Values in all bodies.
pub fn samples_of(bodies: &[Body]) -> u64 {
    bodies.iter().map(|body| body.samples).sum()
}

/// Rows in all bodies.
pub fn rows_of(bodies: &[Body]) -> u64 {
    bodies.iter().map(|body| body.rows).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::options::{Case, DataOptions};

    #[test]
    fn bodies_hold_all_rows_once() {
        let mut source = DataOptions::plain(Case::CpuOnly, 3, 50, 10).source().unwrap();
        let bodies = build(&mut source, Format::Line, 4);
        let rows: Vec<u64> = bodies.iter().map(|body| body.rows).collect();
        assert_eq!(rows, [4, 4, 4, 3]);
        assert_eq!((rows_of(&bodies), samples_of(&bodies)), (15, 150));
        let bytes: Vec<u8> = bodies.into_iter().flat_map(|body| body.bytes).collect();
        assert_eq!(String::from_utf8(bytes).unwrap().lines().count(), 15);
    }
}
