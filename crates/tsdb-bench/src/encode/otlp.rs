//! Metrics of OpenTelemetry in protocol buffers
//! (<https://opentelemetry.io/docs/specs/otlp/>): each field is a gauge with a data point for each row, as an agent
//! sends it that has collected for a while. The tags are attributes of the points.

use std::collections::BTreeMap;

use prost::Message;
use prost::encoding::{WireType, encode_key, encode_varint};

use super::Encoder;
use crate::dataset::{Row, Series};

/// Tags of the one field that is used of each message around the metrics, from the outermost: `resource_metrics`,
/// `scope_metrics`.
const AROUND_TAGS: [u32; 2] = [1, 2];
const METRIC_TAG: u32 = 2;
const NAME_TAG: u32 = 1;
const GAUGE_TAG: u32 = 5;
const POINT_TAG: u32 = 1;

/// A data point, behind its attributes.
#[derive(Clone, PartialEq, Message)]
struct Point {
    /// Nanoseconds since 1970.
    #[prost(fixed64, tag = "3")]
    time_ns: u64,
    /// The value, which is written when it is 0, too.
    #[prost(double, optional, tag = "4")]
    value: Option<f64>,
}

/// The attributes of a data point.
#[derive(Clone, PartialEq, Message)]
struct Attributes {
    /// The pairs.
    #[prost(message, repeated, tag = "7")]
    pairs: Vec<Attribute>,
}

/// One of them.
#[derive(Clone, PartialEq, Message)]
struct Attribute {
    /// Name.
    #[prost(string, tag = "1")]
    key: String,
    /// Value.
    #[prost(message, optional, tag = "2")]
    value: Option<AnyValue>,
}

/// Text as the value of an attribute.
#[derive(Clone, PartialEq, Message)]
struct AnyValue {
    /// The text.
    #[prost(string, tag = "1")]
    text: String,
}

/// Builds requests; the attributes of a series are encoded once.
#[derive(Default)]
pub struct OtlpEncoder {
    /// For each series its attributes.
    attributes: Vec<Vec<u8>>,
    /// The points of the body by the name of their metric.
    metrics: BTreeMap<String, Vec<u8>>,
    point: Vec<u8>,
}

impl Encoder for OtlpEncoder {
    fn push(&mut self, series: &[Series], row: &Row) {
        let new = series.get(self.attributes.len()..).unwrap_or(&[]);
        self.attributes.extend(new.iter().map(attributes));
        let (Some(attributes), Some(series)) =
            (self.attributes.get(row.series), series.get(row.series))
        else {
            return;
        };
        let measurement = &series.schema.measurement;
        for ((field, _), value) in series.schema.fields.iter().zip(&row.values) {
            let name = match field.as_str() {
                "value" => measurement.clone(),
                field => format!("{measurement}_{field}"),
            };
            self.point.clear();
            // Encoding into a Vec cannot run out of room.
            let point = Point { time_ns: row.time_ns.unsigned_abs(), value: Some(*value) };
            let _ = point.encode(&mut self.point);
            self.point.extend_from_slice(attributes);
            put(POINT_TAG, &self.point, self.metrics.entry(name).or_default());
        }
    }

    fn take(&mut self) -> Vec<u8> {
        let mut metrics = Vec::new();
        for (name, points) in std::mem::take(&mut self.metrics) {
            let mut metric = Vec::new();
            put(NAME_TAG, name.as_bytes(), &mut metric);
            put(GAUGE_TAG, &points, &mut metric);
            put(METRIC_TAG, &metric, &mut metrics);
        }
        AROUND_TAGS.iter().rev().fold(metrics, |inner, tag| {
            let mut outer = Vec::new();
            put(*tag, &inner, &mut outer);
            outer
        })
    }
}

/// Puts a message, or text, with the tag of its field.
fn put(tag: u32, bytes: &[u8], out: &mut Vec<u8>) {
    encode_key(tag, WireType::LengthDelimited, out);
    encode_varint(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

fn attributes(series: &Series) -> Vec<u8> {
    let pair = |(key, value): &(String, String)| Attribute {
        key: key.clone(),
        value: Some(AnyValue { text: value.clone() }),
    };
    Attributes { pairs: series.tags.iter().map(pair).collect() }.encode_to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::options::{Case, DataOptions};
    use crate::encode::{Format, build};

    /// Fields of `bytes` that are messages or text, by their tags.
    fn parts(mut bytes: &[u8]) -> Vec<(u32, &[u8])> {
        let mut parts = Vec::new();
        while !bytes.is_empty() {
            let (tag, kind) = prost::encoding::decode_key(&mut bytes).unwrap();
            assert_eq!(kind, WireType::LengthDelimited);
            let length = prost::encoding::decode_varint(&mut bytes).unwrap();
            let (part, rest) = bytes.split_at(usize::try_from(length).unwrap());
            parts.push((tag, part));
            bytes = rest;
        }
        parts
    }

    #[test]
    fn every_field_is_a_metric_with_a_point_for_each_row() {
        let mut source = DataOptions::plain(Case::CpuOnly, 3, 50, 10).source().unwrap();
        let bodies = build(&mut source, Format::Otlp, 1000);
        let [body] = bodies.as_slice() else { panic!("{} bodies", bodies.len()) };
        let [(1, resource)] = parts(&body.bytes)[..] else { panic!("one resource") };
        let [(2, metrics)] = parts(resource)[..] else { panic!("one scope") };
        let metrics = parts(metrics);
        assert_eq!(metrics.len(), 10);
        let [(1, name), (5, gauge)] = parts(metrics[0].1)[..] else { panic!("a name and a gauge") };
        assert_eq!(name, b"cpu_usage_guest");
        let points = parts(gauge);
        assert_eq!((points.len(), body.rows, body.samples), (15, 15, 150));
        let point = Point::decode(points[0].1).unwrap();
        assert_eq!(point.time_ns, 1_451_606_400_000_000_000);
        assert!(point.value.is_some());
        let pairs = Attributes::decode(points[0].1).unwrap().pairs;
        let host = pairs.iter().find(|pair| pair.key == "hostname").unwrap();
        assert_eq!(host.value.as_ref().unwrap().text, "host_0");
    }
}
