//! The messages of OTLP metrics: numbers, kinds and names of their fields, as `proto/opentelemetry` has them. The
//! suite `proto` compares the two.

use crate::format::wire::{Kind, Schema};

/// The request.
pub(super) static REQUEST: Schema =
    Schema { fields: &[(1, Kind::Messages(&RESOURCE_METRICS))], names: &["resourceMetrics"] };

static RESOURCE_METRICS: Schema = Schema {
    fields: &[(1, Kind::Message(&RESOURCE)), (2, Kind::Messages(&SCOPE_METRICS)), (3, Kind::Text)],
    names: &["resource", "scopeMetrics", "schemaUrl"],
};

/// A resource.
pub(super) static RESOURCE: Schema =
    Schema { fields: &[(1, Kind::Messages(&KEY_VALUE))], names: &["attributes"] };

static SCOPE_METRICS: Schema = Schema {
    fields: &[(1, Kind::Message(&SCOPE)), (2, Kind::Messages(&METRIC)), (3, Kind::Text)],
    names: &["scope", "metrics", "schemaUrl"],
};

/// A scope.
pub(super) static SCOPE: Schema = Schema {
    fields: &[(1, Kind::Text), (2, Kind::Text), (3, Kind::Messages(&KEY_VALUE))],
    names: &["name", "version", "attributes"],
};

static METRIC: Schema = Schema {
    fields: &[
        (1, Kind::Text),
        (2, Kind::Text),
        (3, Kind::Text),
        (GAUGE, Kind::Message(&GAUGE_DATA)),
        (SUM, Kind::Message(&SUM_DATA)),
        (HISTOGRAM, Kind::Message(&HISTOGRAM_DATA)),
        (EXPONENTIAL, Kind::Message(&EXPONENTIAL_DATA)),
        (SUMMARY, Kind::Message(&SUMMARY_DATA)),
    ],
    names: &[
        "name",
        "description",
        "unit",
        "gauge",
        "sum",
        "histogram",
        "exponentialHistogram",
        "summary",
    ],
};

/// The numbers of what a metric can hold.
pub(super) const GAUGE: u32 = 5;
pub(super) const SUM: u32 = 7;
pub(super) const HISTOGRAM: u32 = 9;
pub(super) const EXPONENTIAL: u32 = 10;
pub(super) const SUMMARY: u32 = 11;

/// The message behind one of those numbers.
pub(super) fn data(number: u32) -> Option<&'static Schema> {
    Some(match number {
        GAUGE => &GAUGE_DATA,
        SUM => &SUM_DATA,
        HISTOGRAM => &HISTOGRAM_DATA,
        EXPONENTIAL => &EXPONENTIAL_DATA,
        SUMMARY => &SUMMARY_DATA,
        _ => return None,
    })
}

/// The names of temporalities, by number.
const TEMPORALITIES: Kind = Kind::Choice(&[
    "AGGREGATION_TEMPORALITY_UNSPECIFIED",
    "AGGREGATION_TEMPORALITY_DELTA",
    "AGGREGATION_TEMPORALITY_CUMULATIVE",
]);

static GAUGE_DATA: Schema =
    Schema { fields: &[(1, Kind::Messages(&NUMBER_POINT))], names: &["dataPoints"] };

static SUM_DATA: Schema = Schema {
    fields: &[(1, Kind::Messages(&NUMBER_POINT)), (2, TEMPORALITIES), (3, Kind::Bool)],
    names: &["dataPoints", "aggregationTemporality", "isMonotonic"],
};

static HISTOGRAM_DATA: Schema = Schema {
    fields: &[(1, Kind::Messages(&HISTOGRAM_POINT)), (2, TEMPORALITIES)],
    names: &["dataPoints", "aggregationTemporality"],
};

static EXPONENTIAL_DATA: Schema = Schema {
    fields: &[(1, Kind::Messages(&EXPONENTIAL_POINT)), (2, TEMPORALITIES)],
    names: &["dataPoints", "aggregationTemporality"],
};

static SUMMARY_DATA: Schema =
    Schema { fields: &[(1, Kind::Messages(&SUMMARY_POINT))], names: &["dataPoints"] };

static NUMBER_POINT: Schema = Schema {
    fields: &[
        (7, Kind::Messages(&KEY_VALUE)),
        (2, Kind::Fixed64),
        (3, Kind::Fixed64),
        (4, Kind::Double),
        (6, Kind::SignedFixed64),
        (5, Kind::Messages(&EXEMPLAR)),
        (8, Kind::Varint),
    ],
    names: &[
        "attributes",
        "startTimeUnixNano",
        "timeUnixNano",
        "asDouble",
        "asInt",
        "exemplars",
        "flags",
    ],
};

static HISTOGRAM_POINT: Schema = Schema {
    fields: &[
        (9, Kind::Messages(&KEY_VALUE)),
        (2, Kind::Fixed64),
        (3, Kind::Fixed64),
        (4, Kind::Fixed64),
        (5, Kind::Double),
        (6, Kind::Fixed64s),
        (7, Kind::Doubles),
        (8, Kind::Messages(&EXEMPLAR)),
        (10, Kind::Varint),
        (11, Kind::Double),
        (12, Kind::Double),
    ],
    names: &[
        "attributes",
        "startTimeUnixNano",
        "timeUnixNano",
        "count",
        "sum",
        "bucketCounts",
        "explicitBounds",
        "exemplars",
        "flags",
        "min",
        "max",
    ],
};

static EXPONENTIAL_POINT: Schema = Schema {
    fields: &[
        (1, Kind::Messages(&KEY_VALUE)),
        (2, Kind::Fixed64),
        (3, Kind::Fixed64),
        (4, Kind::Fixed64),
        (5, Kind::Double),
        (6, Kind::ZigZag),
        (7, Kind::Fixed64),
        (8, Kind::Message(&BUCKETS)),
        (9, Kind::Message(&BUCKETS)),
        (10, Kind::Varint),
        (11, Kind::Messages(&EXEMPLAR)),
        (12, Kind::Double),
        (13, Kind::Double),
        (14, Kind::Double),
    ],
    names: &[
        "attributes",
        "startTimeUnixNano",
        "timeUnixNano",
        "count",
        "sum",
        "scale",
        "zeroCount",
        "positive",
        "negative",
        "flags",
        "exemplars",
        "min",
        "max",
        "zeroThreshold",
    ],
};

static BUCKETS: Schema =
    Schema { fields: &[(1, Kind::ZigZag), (2, Kind::Varints)], names: &["offset", "bucketCounts"] };

static SUMMARY_POINT: Schema = Schema {
    fields: &[
        (7, Kind::Messages(&KEY_VALUE)),
        (2, Kind::Fixed64),
        (3, Kind::Fixed64),
        (4, Kind::Fixed64),
        (5, Kind::Double),
        (6, Kind::Messages(&QUANTILE)),
        (8, Kind::Varint),
    ],
    names: &[
        "attributes",
        "startTimeUnixNano",
        "timeUnixNano",
        "count",
        "sum",
        "quantileValues",
        "flags",
    ],
};

static QUANTILE: Schema =
    Schema { fields: &[(1, Kind::Double), (2, Kind::Double)], names: &["quantile", "value"] };

/// An exemplar.
pub(super) static EXEMPLAR: Schema = Schema {
    fields: &[
        (7, Kind::Messages(&KEY_VALUE)),
        (2, Kind::Fixed64),
        (3, Kind::Double),
        (6, Kind::SignedFixed64),
        (4, Kind::Id),
        (5, Kind::Id),
    ],
    names: &["filteredAttributes", "timeUnixNano", "asDouble", "asInt", "spanId", "traceId"],
};

/// An attribute.
pub(super) static KEY_VALUE: Schema =
    Schema { fields: &[(1, Kind::Text), (2, Kind::Message(&ANY_VALUE))], names: &["key", "value"] };

static ANY_VALUE: Schema = Schema {
    fields: &[
        (1, Kind::Text),
        (2, Kind::Bool),
        (3, Kind::Varint),
        (4, Kind::Double),
        (5, Kind::Message(&ARRAY)),
        (6, Kind::Message(&LIST)),
        (7, Kind::Bytes),
    ],
    names: &[
        "stringValue",
        "boolValue",
        "intValue",
        "doubleValue",
        "arrayValue",
        "kvlistValue",
        "bytesValue",
    ],
};

static ARRAY: Schema = Schema { fields: &[(1, Kind::Messages(&ANY_VALUE))], names: &["values"] };

static LIST: Schema = Schema { fields: &[(1, Kind::Messages(&KEY_VALUE))], names: &["values"] };

/// All messages, each as `number name kind, …` in the order of its numbers, for a comparison with the files that
/// describe them.
#[cfg(any(test, feature = "test-util"))]
pub fn otlp_fields() -> Vec<String> {
    let mut seen: Vec<&'static Schema> = vec![&REQUEST];
    let mut lines = Vec::new();
    let mut next = 0;
    while let Some(schema) = seen.get(next).copied() {
        next += 1;
        let mut fields = Vec::new();
        for ((number, kind), name) in schema.fields.iter().zip(schema.names) {
            fields.push((*number, format!("{number} {name} {}", kind_name(kind))));
            if let Kind::Message(inner) | Kind::Messages(inner) = kind
                && !seen.iter().any(|known| std::ptr::eq(*known, *inner))
            {
                seen.push(inner);
            }
        }
        fields.sort();
        let fields: Vec<String> = fields.into_iter().map(|(_, field)| field).collect();
        lines.push(fields.join(", "));
    }
    lines
}

/// What files call a kind.
#[cfg(any(test, feature = "test-util"))]
fn kind_name(kind: &Kind) -> &'static str {
    match kind {
        Kind::Varint => "varint",
        Kind::Bool => "bool",
        Kind::ZigZag => "sint32",
        Kind::Choice(_) => "enum",
        Kind::Fixed64 => "fixed64",
        Kind::SignedFixed64 => "sfixed64",
        Kind::Double => "double",
        Kind::Text => "string",
        Kind::Bytes | Kind::Id => "bytes",
        Kind::Varints => "uint64s",
        Kind::Fixed64s => "fixed64s",
        Kind::Doubles => "doubles",
        Kind::Message(_) => "message",
        Kind::Messages(_) => "messages",
    }
}
