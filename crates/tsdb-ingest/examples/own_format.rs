//! A format of your own: the plain text of Graphite, with its tags, beside the formats that are there.
//!
//! ```text
//! disk.used;host=web01;mount=/var 42.5 1700000000
//! ```
//!
//! It is registered, recognised by its first bytes, and written through a pipeline into a store; one line
//! that is wrong costs no other.

use std::sync::Arc;

use tsdb_core::{
    Append, Block, DataPoint, MemoryBudget, MemoryStore, NAME_TAG, ScanRequest, Select, TagCharset,
    Tags,
};
use tsdb_ingest::{
    Error, Format, FormatRegistry, Ingestion, Likelihood, LineError, Origin, ParseOptions,
    Pipeline, PipelineOptions, Precision, Reason, Result, Rows, WriteRequest,
};

/// Graphite's plain text: a path, a value, and seconds since 1970.
struct Graphite;

/// One line, taken apart.
struct Reading<'a> {
    name: &'a str,
    tags: Vec<(&'a str, &'a str)>,
    value: f64,
    time_ns: i64,
}

fn read(line: &str) -> std::result::Result<Reading<'_>, Reason> {
    let other = |text: &str| Reason::Other { text: text.to_owned() };
    let mut parts = line.split_ascii_whitespace();
    let (Some(path), Some(value), Some(time), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(other("not of the form: path value timestamp"));
    };
    let mut names = path.split(';');
    let name = names.next().unwrap_or_default();
    let tags: Option<Vec<_>> = names.map(|tag| tag.split_once('=')).collect();
    let tags = tags.ok_or_else(|| other("a tag is not of the form key=value"))?;
    let value = value.parse().map_err(|_| Reason::InvalidNumber)?;
    let seconds: i64 = time.parse().map_err(|_| Reason::BadTimestamp)?;
    let time_ns = seconds.checked_mul(1_000_000_000).ok_or(Reason::TimeOutsideRange)?;
    Ok(Reading { name, tags, value, time_ns })
}

/// Lines with what a report says about where they stand.
fn lines(input: &[u8]) -> impl Iterator<Item = (Origin, &str)> {
    let mut start = 0;
    (1..).zip(input.split(|byte| *byte == b'\n')).map(move |(line, raw)| {
        let origin = Origin { line, start, end: start + raw.len() };
        start += raw.len() + 1;
        (origin, std::str::from_utf8(raw).unwrap_or("?").trim_end())
    })
}

impl Ingestion for Graphite {
    fn parse(&self, input: &[u8]) -> Result<Vec<DataPoint>> {
        let mut points = Vec::new();
        for (origin, line) in lines(input).filter(|(_, line)| !line.is_empty()) {
            let reading = read(line).map_err(|reason| Error::Line {
                error: LineError { line: origin.line, column: 1, text: line.to_owned(), reason },
            })?;
            let name = [(NAME_TAG, reading.name)];
            let tags = Tags::new(name.into_iter().chain(reading.tags))?;
            points.push(DataPoint::new(reading.time_ns, reading.value, tags)?);
        }
        Ok(points)
    }

    fn supported_formats(&self) -> Vec<&'static str> {
        vec!["text/x-graphite", "graphite"]
    }
}

// An empty block would do. Then the points of `parse` are stored, and its first bad line refuses the
// request; and no request is taken for Graphite that does not say so.
impl Format for Graphite {
    fn charset(&self) -> TagCharset {
        TagCharset::Utf8
    }

    fn looks_like(&self, head: &[u8]) -> Likelihood {
        let first = head.split(|byte| *byte == b'\n').next().unwrap_or_default();
        match std::str::from_utf8(first).map(read) {
            Ok(Ok(_)) => Likelihood::Likely,
            _ => Likelihood::No,
        }
    }

    fn parse_rows(&self, input: &[u8], _: &ParseOptions<'_>, rows: &mut Rows) -> Result<()> {
        for (origin, line) in lines(input).filter(|(_, line)| !line.is_empty()) {
            match read(line) {
                Ok(reading) => {
                    let mut row = rows.row(reading.name);
                    for (key, value) in reading.tags {
                        row.tag(key, value);
                    }
                    row.field("value", reading.value);
                    row.push(input, origin, reading.time_ns)?;
                }
                Err(reason) => rows.refuse(input, origin, origin.start, reason),
            }
        }
        Ok(())
    }
}

fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let mut registry = FormatRegistry::default();
    registry.register(Arc::new(Graphite))?;

    let store = Arc::new(MemoryStore::new());
    let pipeline =
        Pipeline::new(store.clone(), MemoryBudget::default(), PipelineOptions::default());
    let bodies = [
        // Nobody says what this is.
        "disk.used;host=web01;mount=/var 42.5 1700000000\ndisk.used nonsense\ndisk.used 7 1700000010\n",
        // The formats that were there still work.
        "disk.used,host=web02 value=1 1700000000000000000\n",
        "{\"measurement\": \"disk.used\", \"tags\": {\"host\": \"web03\"}, \"value\": 2, \
         \"time\": \"2023-11-14T22:13:20Z\"}",
        "measurement,host:tag,value,time:s\ndisk.used,web04,3,1700000000\n",
    ];
    for body in bodies {
        let choice = registry.choose(None, Some("application/octet-stream"))?;
        let formats = registry.candidates(&choice, body.as_bytes())?;
        let options = ParseOptions::new(Precision::Nanoseconds, 0);
        let request = WriteRequest { database: "db", policy: None, body: body.as_bytes(), options };
        let report = pipeline.write_first(&formats, &request)?;
        for error in &report.errors {
            println!("line {}: {error}", error.line);
        }
        if let Some(ticket) = report.ticket {
            ticket.wait()?;
        }
    }

    let namespace = store.catalogue().namespace("db", None)?.id;
    let mut selection = store.snapshot()?.select(&ScanRequest::all(namespace, "disk.used"))?;
    let mut block = Block::new();
    let mut rows = 0;
    for cursor in &mut selection.cursors {
        while cursor.next(&mut block)? {
            println!("{:?} {:?}", block.times, block.columns);
            rows += block.len();
        }
    }
    assert_eq!(rows, 5, "two lines of Graphite and one row of each other format");
    Ok(())
}
