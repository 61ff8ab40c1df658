//! Prometheus remote write, 1.0 (`prometheus.WriteRequest`) and 2.0 (`io.prometheus.write.v2.Request`):
//! `docs/formats.md` describes what becomes of a request.
//!
//! The messages are read as they lie, straight to columns. In 1.0 the bytes of a series' labels are the key by
//! which the cache of series knows it, so a known series costs one comparison of bytes, and its labels are not
//! looked at. In 2.0 labels are numbers of texts that another request numbers otherwise; the key is made of the
//! texts, and costs a copy.
//!
//! A message that is damaged anywhere is refused as a whole, as every reader of protocol buffers does: nothing
//! tells where it would go on. What is wrong with a series or a sample costs that alone. Not here: snappy, and
//! the answers, which belong to the server.

mod fields;
pub(in crate::format) mod labels;
mod layout;
#[cfg(any(test, feature = "test-util"))]
pub mod messages;
mod series;
mod symbols;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use tsdb_core::{DataPoint, TagCharset};

use self::layout::{Layout, V1, V2};
use self::symbols::{Described, Symbols};
use super::wire::{self, Reader, WireFault, WireType};
use super::{Format, Ingestion, ParseOptions, points_of};
use crate::metadata::{Metadata, MetadataStore, MetricType};
use crate::rows::shapes::ShapeId;
use crate::{Error, Precision, Result, Rows};

/// The field that a sample of Prometheus becomes.
const FIELD: &str = "value";

/// Which of the two messages a request holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RemoteWriteVersion {
    /// `prometheus.WriteRequest`.
    V1,
    /// `io.prometheus.write.v2.Request`.
    V2,
}

impl RemoteWriteVersion {
    /// Full name of the message.
    pub fn message(self) -> &'static str {
        match self {
            RemoteWriteVersion::V1 => "prometheus.WriteRequest",
            RemoteWriteVersion::V2 => "io.prometheus.write.v2.Request",
        }
    }

    fn layout(self) -> &'static Layout {
        match self {
            RemoteWriteVersion::V1 => &V1,
            RemoteWriteVersion::V2 => &V2,
        }
    }
}

/// The handler of remote write. A series with the label `__name__` is a measurement of that name, its other
/// labels are tags, and a sample is a row with the field `value`; every bit pattern of it is kept.
///
/// It is told by what a request says and never by its first bytes, so no registry has it unless somebody
/// registers it.
#[derive(Debug, Clone)]
pub struct RemoteWrite {
    version: RemoteWriteVersion,
    metadata: Option<Arc<MetadataStore>>,
}

impl RemoteWrite {
    /// A handler of unpacked messages. What they say about metrics (type, help, unit) goes to `metadata`.
    pub fn new(version: RemoteWriteVersion, metadata: Option<Arc<MetadataStore>>) -> RemoteWrite {
        RemoteWrite { version, metadata }
    }
}

impl Ingestion for RemoteWrite {
    fn parse(&self, input: &[u8]) -> Result<Vec<DataPoint>> {
        let options = ParseOptions::new(Precision::Milliseconds, 0);
        points_of(self, input, &options, TagCharset::Utf8)
    }

    fn supported_formats(&self) -> Vec<&'static str> {
        match self.version {
            RemoteWriteVersion::V1 => vec!["application/x-protobuf", "remote-write"],
            RemoteWriteVersion::V2 => {
                vec![
                    "application/x-protobuf;proto=io.prometheus.write.v2.Request",
                    "remote-write-2",
                ]
            }
        }
    }
}

impl Format for RemoteWrite {
    fn charset(&self) -> TagCharset {
        TagCharset::Utf8
    }

    fn parse_rows(&self, input: &[u8], _: &ParseOptions<'_>, rows: &mut Rows) -> Result<()> {
        rows.input_is_binary();
        let mut parser = Parser {
            input,
            layout: self.version.layout(),
            metadata: self.metadata.as_deref(),
            symbols: Symbols::default(),
            rows,
            series: 0,
            shape: None,
            key: Vec::new(),
            references: Vec::new(),
            last_described: None,
        };
        parser.run().map_err(|stop| match stop {
            Stop::Damaged(fault) => self.damaged(fault),
            Stop::Request(error) => error,
        })
    }
}

impl RemoteWrite {
    fn damaged(&self, fault: WireFault) -> Error {
        let WireFault { at, what } = fault;
        Error::Damaged { message: self.version.message(), at, what }
    }
}

/// What ends a request.
enum Stop {
    /// Bytes that are no such message.
    Damaged(WireFault),
    /// Anything else.
    Request(Error),
}

impl From<WireFault> for Stop {
    fn from(fault: WireFault) -> Stop {
        Stop::Damaged(fault)
    }
}

impl From<tsdb_core::Error> for Stop {
    fn from(error: tsdb_core::Error) -> Stop {
        Stop::Request(error.into())
    }
}

/// The state of one request.
struct Parser<'a> {
    input: &'a [u8],
    layout: &'static Layout,
    metadata: Option<&'a MetadataStore>,
    /// Texts of 2.0.
    symbols: Symbols,
    rows: &'a mut Rows,
    /// Number of the current series, from 1.
    series: u64,
    /// The order of fields of all samples, once it was needed.
    shape: Option<ShapeId>,
    /// Scratch: the texts of a series' labels.
    key: Vec<u8>,
    /// Scratch: the labels of a series of 2.0.
    references: Vec<u32>,
    /// The metric of which something was noted last, by the number of its name, and what: most series of a
    /// metric come together.
    last_described: Option<(u32, Described)>,
}

impl<'a> Parser<'a> {
    fn run(&mut self) -> std::result::Result<(), Stop> {
        if let Some(number) = self.layout.symbols {
            self.symbols = Symbols::read(self.input, number, self.rows)?;
        }
        let mut message = Reader::new(self.input);
        while !message.is_at_end() {
            let (number, wire) = message.key()?;
            if number == self.layout.series {
                message.expect(wire, WireType::Block)?;
                let series = message.block()?;
                self.rows.settle_portion(self.input)?;
                self.series += 1;
                self.read_series(series)?;
            } else if Some(number) == self.layout.metadata {
                message.expect(wire, WireType::Block)?;
                self.read_metadata(message.block()?)?;
            } else if Some(number) == self.layout.symbols {
                // Was read before.
                message.block()?;
            } else {
                message.skip(number, wire, wire::DEPTH_MAX)?;
            }
        }
        Ok(())
    }

    /// Metadata of a metric in a message of its own, as 1.0 has it.
    fn read_metadata(&mut self, mut message: Reader<'a>) -> std::result::Result<(), Stop> {
        let mut kind = 0;
        let (mut name, mut help, mut unit) = ("", "", "");
        while !message.is_at_end() {
            let (number, wire) = message.key()?;
            match number {
                1 => {
                    message.expect(wire, WireType::Varint)?;
                    kind = message.varint()?;
                }
                2 | 4 | 5 => {
                    message.expect(wire, WireType::Block)?;
                    let text = message.text()?;
                    match number {
                        2 => name = text,
                        4 => help = text,
                        _ => unit = text,
                    }
                }
                _ => message.skip(number, wire, wire::DEPTH_MAX - 1)?,
            }
        }
        if let Some(store) = self.metadata {
            let kind = MetricType::of_number(kind);
            store.note(self.rows.namespace(), name, Metadata { kind, help, unit });
        }
        Ok(())
    }
}
