//! Metrics of OpenTelemetry (OTLP): `opentelemetry.proto.collector.metrics.v1.ExportMetricsServiceRequest`, as
//! protocol buffers or as JSON. `docs/formats.md` describes what becomes of a request.
//!
//! The message is read as it lies, straight to columns; of JSON the message is made first. A data point is one
//! series or several: the key by which the cache of series knows them is made of the labels that resource and
//! scope give, the name of the metric, and the bytes of the point's attributes as they were sent, so the
//! attributes of a known series are checked and not converted.
//!
//! A message that is damaged anywhere is refused as a whole, as with remote write; what is wrong with a data point
//! costs that alone. Not here: compression, and the answers, which belong to the server.

mod attributes;
mod buckets;
mod json;
#[cfg(any(test, feature = "test-util"))]
pub mod messages;
mod metric;
mod naming;
mod point;
mod schema;
mod series;

#[cfg(test)]
mod tests;

use std::ops::Range;
use std::sync::Arc;

use tsdb_core::{DataPoint, TagCharset};

use self::attributes::{Label, fields, labels_of, pair, text_of};
use self::buckets::Below;
use self::naming::Naming;
#[cfg(any(test, feature = "test-util"))]
pub use self::schema::otlp_fields;
use self::series::TARGET_INFO;
use super::wire::{self, DEPTH_MAX, Reader, WireFault, WireType};
use super::{Format, Ingestion, ParseOptions, points_of};
use crate::metadata::MetadataStore;
use crate::rows::shapes::ShapeId;
use crate::{Error, Precision, Reason, Result, Rows, limits};

/// Name of the message.
const MESSAGE: &str = "opentelemetry.proto.collector.metrics.v1.ExportMetricsServiceRequest";

/// Parameter of a request: how names are translated.
pub const TRANSLATION_STRATEGY: &str = "translation_strategy";

/// Parameter of a request: attributes of the resource that become labels of every series, with commas between
/// them, or `*` for all.
pub const PROMOTE_RESOURCE_ATTRIBUTES: &str = "promote_resource_attributes";

/// How a request is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OtlpEncoding {
    /// Protocol buffers.
    Protobuf,
    /// JSON, as OTLP has it.
    Json,
}

/// The handler of metrics of OpenTelemetry. A data point becomes rows with the field `value` in series that are
/// named as Prometheus would name them.
///
/// It is told by what a request says and never by its first bytes, so no registry has it unless somebody
/// registers it.
#[derive(Debug, Clone)]
pub struct Otlp {
    encoding: OtlpEncoding,
    metadata: Option<Arc<MetadataStore>>,
}

impl Otlp {
    /// A handler of unpacked messages. What they say about metrics (type, description, unit) goes to `metadata`.
    pub fn new(encoding: OtlpEncoding, metadata: Option<Arc<MetadataStore>>) -> Otlp {
        Otlp { encoding, metadata }
    }
}

impl Ingestion for Otlp {
    fn parse(&self, input: &[u8]) -> Result<Vec<DataPoint>> {
        let options = ParseOptions::new(Precision::Nanoseconds, 0);
        points_of(self, input, &options, TagCharset::Utf8)
    }

    fn supported_formats(&self) -> Vec<&'static str> {
        match self.encoding {
            OtlpEncoding::Protobuf => vec!["application/x-protobuf", "otlp"],
            OtlpEncoding::Json => vec!["application/json", "otlp-json"],
        }
    }
}

impl Format for Otlp {
    fn charset(&self) -> TagCharset {
        TagCharset::Utf8
    }

    fn parse_rows(&self, input: &[u8], options: &ParseOptions<'_>, rows: &mut Rows) -> Result<()> {
        rows.input_is_binary();
        let settings = Settings::of(options)?;
        let damaged = |WireFault { at, what }| Error::Damaged { message: MESSAGE, at, what };
        let stopped = |stop: Stop| match stop {
            Stop::Damaged(fault) => damaged(fault),
            Stop::Request(error) => error.into(),
        };
        let written;
        let message = match self.encoding {
            OtlpEncoding::Protobuf => input,
            OtlpEncoding::Json => {
                written = json::to_message(input, &schema::REQUEST, rows).map_err(stopped)?;
                &written
            }
        };
        let metadata = self.metadata.as_deref();
        Parser::new(message, settings, metadata, options, rows).run().map_err(stopped)
    }
}

/// What ends a request.
enum Stop {
    /// Bytes that are no such message.
    Damaged(WireFault),
    /// Anything else.
    Request(tsdb_core::Error),
}

impl From<WireFault> for Stop {
    fn from(fault: WireFault) -> Stop {
        Stop::Damaged(fault)
    }
}

impl From<tsdb_core::Error> for Stop {
    fn from(error: tsdb_core::Error) -> Stop {
        Stop::Request(error)
    }
}

type Read<T> = std::result::Result<T, Stop>;

/// What a request says of how it is to be stored.
struct Settings<'a> {
    strategy: Naming,
    /// Attributes of resources that become labels.
    promoted: Vec<&'a str>,
}

impl<'a> Settings<'a> {
    fn of(options: &ParseOptions<'a>) -> Result<Settings<'a>> {
        let strategy = match options.parameter(TRANSLATION_STRATEGY) {
            None => Naming::default(),
            Some(name) => Naming::of_name(name).ok_or_else(|| Error::InvalidParameter {
                name: TRANSLATION_STRATEGY,
                value: crate::report::shown(name),
                remedy: "use UnderscoreEscapingWithSuffixes, UnderscoreEscapingWithoutSuffixes, \
                         NoUTF8EscapingWithSuffixes or NoTranslation",
            })?,
        };
        let list = options.parameter(PROMOTE_RESOURCE_ATTRIBUTES).unwrap_or_default();
        let promoted = list.split(',').map(str::trim).filter(|name| !name.is_empty()).collect();
        Ok(Settings { strategy, promoted })
    }

    fn promotes(&self, key: &str) -> bool {
        self.promoted.iter().any(|name| *name == "*" || *name == key)
    }
}

/// The state of one request.
struct Parser<'a> {
    input: &'a [u8],
    settings: Settings<'a>,
    metadata: Option<&'a MetadataStore>,
    /// Time of points that bring none, in ns.
    now_ns: i64,
    rows: &'a mut Rows,
    /// Number of the current data point, from 1.
    point: u64,
    /// The order of fields of all rows, once it was needed.
    shape: Option<ShapeId>,
    /// Labels that the resource gives all of its series, and those with what the scope adds.
    of_resource: Vec<Label>,
    of_scope: Vec<Label>,
    /// Why the attributes of the resource, or of the scope, are no labels; no series is stored without them.
    resource_fault: Option<Reason>,
    scope_fault: Option<Reason>,
    /// The latest time of the current resource's rows, in ns.
    latest_ns: Option<i64>,
    /// Where the attributes of the current point stand.
    attributes: Vec<Range<usize>>,
    /// Bytes of keys of series that the request may still have.
    key_bytes_left: usize,
    key_bytes_max: usize,
    /// Scratch: the key of a series.
    key: Vec<u8>,
    /// Scratch: counts of buckets, their bounds, and the counts below bounds.
    counts: Vec<u64>,
    counts_below_zero: Vec<u64>,
    bounds: Vec<f64>,
    below: Vec<Below>,
}

impl<'a> Parser<'a> {
    fn new(
        input: &'a [u8],
        settings: Settings<'a>,
        metadata: Option<&'a MetadataStore>,
        options: &ParseOptions<'_>,
        rows: &'a mut Rows,
    ) -> Parser<'a> {
        let key_bytes_max = limits::SERIES_KEY_BYTES_FREE
            .saturating_add(input.len().saturating_mul(limits::SERIES_KEY_BYTES_FACTOR));
        Parser {
            input,
            settings,
            metadata,
            now_ns: options.now_ns,
            rows,
            point: 0,
            shape: None,
            of_resource: Vec::new(),
            of_scope: Vec::new(),
            resource_fault: None,
            scope_fault: None,
            latest_ns: None,
            attributes: Vec::new(),
            key_bytes_left: key_bytes_max,
            key_bytes_max,
            key: Vec::new(),
            counts: Vec::new(),
            counts_below_zero: Vec::new(),
            bounds: Vec::new(),
            below: Vec::new(),
        }
    }

    fn run(&mut self) -> Read<()> {
        let mut message = Reader::new(self.input);
        while !message.is_at_end() {
            let (number, wire) = message.key()?;
            if number == 1 {
                message.expect(wire, WireType::Block)?;
                self.read_resource(message.block()?)?;
            } else {
                message.skip(number, wire, DEPTH_MAX)?;
            }
        }
        Ok(())
    }

    /// Metrics of a resource. The fields of a message come in any order, so who sends them is looked for first.
    fn read_resource(&mut self, message: Reader<'a>) -> Read<()> {
        read_outline(message, &schema::RESOURCE, DEPTH_MAX - 1)?;
        let attributes = || fields(message, 1).flat_map(|resource| fields(resource, 1));
        let has_identity = self.identify(attributes());
        self.latest_ns = None;
        for scope in fields(message, 2) {
            self.read_scope(scope)?;
        }
        match self.latest_ns {
            Some(time) if has_identity => self.push_target_info(attributes(), time),
            _ => Ok(()),
        }
    }

    /// Makes the labels of a resource; says whether `target_info` can bring the others, which it can where a job
    /// or an instance tells to whom they belong. Elsewhere all attributes are labels of each series: without them
    /// the series of two resources would be one.
    fn identify(&mut self, attributes: impl Iterator<Item = Reader<'a>> + Clone) -> bool {
        let (mut name, mut namespace, mut instance) = Default::default();
        for (key, value) in attributes.clone().map(pair) {
            let place = match key {
                "service.name" => &mut name,
                "service.namespace" => &mut namespace,
                "service.instance.id" => &mut instance,
                _ => continue,
            };
            *place = text_of(value);
        }
        self.of_resource.clear();
        let job = match (name, namespace) {
            (name, _) if name.is_empty() => name,
            (name, namespace) if namespace.is_empty() => name,
            (name, namespace) => format!("{namespace}/{name}"),
        };
        let identity = [("job", job), ("instance", instance)];
        let known = identity.into_iter().filter(|(_, text)| !text.is_empty());
        self.of_resource.extend(known.map(|(name, text)| (name.to_owned(), text)));
        let has_identity = !self.of_resource.is_empty();
        let settings = &self.settings;
        let is_label =
            |attribute: &Reader<'a>| !has_identity || settings.promotes(pair(*attribute).0);
        let taken = |name: &str| matches!(name, "job" | "instance") && has_identity;
        let promoted = labels_of(attributes.filter(is_label), settings.strategy, taken);
        self.resource_fault = promoted.map(|labels| self.of_resource.extend(labels)).err();
        has_identity
    }

    /// Metrics of a scope.
    fn read_scope(&mut self, message: Reader<'a>) -> Read<()> {
        let url = read_outline(message, &schema::SCOPE, DEPTH_MAX - 2)?;
        self.add_scope(message, url);
        for metric in fields(message, 2) {
            self.read_metric(metric)?;
        }
        Ok(())
    }

    /// Adds the labels of a scope to those of its resource.
    fn add_scope(&mut self, message: Reader<'a>, url: &str) {
        const PREFIX: &str = "otel_scope_";
        let (mut name, mut version) = ("", "");
        let scopes = || fields(message, 1);
        for scope in scopes() {
            for text in fields(scope, 1) {
                name = text_in(text);
            }
            for text in fields(scope, 2) {
                version = text_in(text);
            }
        }
        let attributes = scopes().flat_map(|scope| fields(scope, 3));
        let reserved = |name: &str| matches!(name, "name" | "version" | "schema_url");
        let others = labels_of(attributes, self.settings.strategy, reserved);
        self.scope_fault = others.as_ref().err().cloned();
        let own = [("name", name), ("version", version), ("schema_url", url)];
        let own = own.into_iter().filter(|(_, text)| !text.is_empty());
        let own = own.map(|(name, text)| (name.to_owned(), text.to_owned()));
        let scope = own
            .chain(others.unwrap_or_default())
            .map(|(name, text)| (format!("{PREFIX}{name}"), text));
        let scope: Vec<Label> = scope.collect();
        self.of_scope.clone_from(&self.of_resource);
        // A promoted attribute of the resource may be called so, too.
        self.of_scope.retain(|(name, _)| scope.iter().all(|(other, _)| other != name));
        self.of_scope.extend(scope);
    }

    /// Writes the attributes of a resource as labels of `target_info`.
    fn push_target_info(
        &mut self,
        attributes: impl Iterator<Item = Reader<'a>>,
        time: i64,
    ) -> Read<()> {
        let is_identity =
            |key| matches!(key, "service.name" | "service.namespace" | "service.instance.id");
        let others = attributes.filter(|attribute| !is_identity(pair(*attribute).0));
        let taken = |name: &str| matches!(name, "job" | "instance");
        let labels = labels_of(others, self.settings.strategy, taken);
        match labels {
            Ok(labels) if labels.is_empty() => Ok(()),
            labels => self.push_info(TARGET_INFO, labels, time),
        }
    }
}

/// Checks the fields of the metrics of a resource or a scope apart from those metrics, which are blocks: who
/// sends them, and the URL of the schema, which it returns.
fn read_outline<'a>(mut message: Reader<'a>, sender: &wire::Schema, depth: u32) -> Read<&'a str> {
    let mut url = "";
    while !message.is_at_end() {
        let (number, wire) = message.key()?;
        match number {
            1 => {
                message.expect(wire, WireType::Block)?;
                wire::check(message.block()?, sender, depth - 1)?;
            }
            2 => {
                message.expect(wire, WireType::Block)?;
                message.block()?;
            }
            3 => {
                message.expect(wire, WireType::Block)?;
                url = message.text()?;
            }
            _ => message.skip(number, wire, depth)?,
        }
    }
    Ok(url)
}

/// The text that a checked block holds.
fn text_in(block: Reader<'_>) -> &str {
    std::str::from_utf8(block.rest()).unwrap_or_default()
}
