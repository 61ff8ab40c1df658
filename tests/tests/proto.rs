//! The published gRPC contract compiles, without a protoc binary, and has the calls that it promises.

use std::path::Path;

use prost_types::DescriptorProto;
use prost_types::field_descriptor_proto::Label;

/// The subset of the official messages that is read or written.
const OTLP: &str = "\
    AnyValue: 1 stringValue string, 2 boolValue bool, 3 intValue int64, 4 doubleValue double, 5 arrayValue message, 6 kvlistValue message, 7 bytesValue bytes
    ArrayValue: 1 values messages
    Buckets: 1 offset sint32, 2 bucketCounts uint64s
    ExponentialHistogram: 1 dataPoints messages, 2 aggregationTemporality enum
    ExponentialHistogramDataPoint: 1 attributes messages, 2 startTimeUnixNano fixed64, 3 timeUnixNano fixed64, 4 count fixed64, 5 sum double, 6 scale sint32, 7 zeroCount fixed64, 8 positive message, 9 negative message, 10 flags uint32, 11 exemplars messages, 12 min double, 13 max double, 14 zeroThreshold double
    Exemplar: 2 timeUnixNano fixed64, 3 asDouble double, 4 spanId bytes, 5 traceId bytes, 6 asInt sfixed64, 7 filteredAttributes messages
    ExportMetricsPartialSuccess: 1 rejectedDataPoints int64, 2 errorMessage string
    ExportMetricsServiceRequest: 1 resourceMetrics messages
    ExportMetricsServiceResponse: 1 partialSuccess message
    Gauge: 1 dataPoints messages
    Histogram: 1 dataPoints messages, 2 aggregationTemporality enum
    HistogramDataPoint: 2 startTimeUnixNano fixed64, 3 timeUnixNano fixed64, 4 count fixed64, 5 sum double, 6 bucketCounts fixed64s, 7 explicitBounds doubles, 8 exemplars messages, 9 attributes messages, 10 flags uint32, 11 min double, 12 max double
    InstrumentationScope: 1 name string, 2 version string, 3 attributes messages
    KeyValue: 1 key string, 2 value message
    KeyValueList: 1 values messages
    Metric: 1 name string, 2 description string, 3 unit string, 5 gauge message, 7 sum message, 9 histogram message, 10 exponentialHistogram message, 11 summary message
    NumberDataPoint: 2 startTimeUnixNano fixed64, 3 timeUnixNano fixed64, 4 asDouble double, 5 exemplars messages, 6 asInt sfixed64, 7 attributes messages, 8 flags uint32
    Resource: 1 attributes messages
    ResourceMetrics: 1 resource message, 2 scopeMetrics messages, 3 schemaUrl string
    ScopeMetrics: 1 scope message, 2 metrics messages, 3 schemaUrl string
    Sum: 1 dataPoints messages, 2 aggregationTemporality enum, 3 isMonotonic bool
    Summary: 1 dataPoints messages
    SummaryDataPoint: 2 startTimeUnixNano fixed64, 3 timeUnixNano fixed64, 4 count fixed64, 5 sum double, 6 quantileValues messages, 7 attributes messages, 8 flags uint32
    ValueAtQuantile: 1 quantile double, 2 value double";

/// The messages that tests send, field by field: the numbers, names and kinds of the official files.
#[test]
fn otlp_has_the_official_numbers_and_names() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../proto");
    let service = "opentelemetry/proto/collector/metrics/v1/metrics_service.proto";
    let files = protox::compile([service], [directory]).unwrap();
    let mut found = Vec::new();
    for file in &files.file {
        for message in &file.message_type {
            describe(message.name(), message, &mut found);
        }
    }
    found.sort();
    let mut expected: Vec<&str> = OTLP.lines().map(str::trim).collect();
    expected.sort_unstable();
    assert_eq!(found, expected);
    let mut known = tsdb_ingest::otlp_fields();
    // What is answered is written elsewhere.
    let read = |line: &&String| {
        !line.starts_with("ExportMetricsPartial")
            && !line.starts_with("ExportMetricsServiceResponse")
    };
    let mut of_files: Vec<String> =
        found.iter().filter(read).map(|line| fields_alone(line)).collect();
    known.sort();
    of_files.sort();
    assert_eq!(known, of_files, "the tables by which messages are read");
}

/// A message as `Name: number name type, …` in the order of its numbers.
fn describe(name: &str, message: &DescriptorProto, found: &mut Vec<String>) {
    let mut fields: Vec<(i32, String)> = message
        .field
        .iter()
        .map(|field| {
            let kind = format!("{:?}", field.r#type()).to_lowercase();
            let list = if field.label() == Label::Repeated { "s" } else { "" };
            (field.number(), format!("{} {} {kind}{list}", field.number(), field.json_name()))
        })
        .collect();
    fields.sort();
    let fields: Vec<String> = fields.into_iter().map(|(_, field)| field).collect();
    found.push(format!("{name}: {}", fields.join(", ")));
    for nested in &message.nested_type {
        describe(nested.name(), nested, found);
    }
}

/// The same without its name; integers of all widths are one kind on the wire.
fn fields_alone(line: &str) -> String {
    let fields = line.split_once(": ").map_or(line, |(_, fields)| fields);
    let fields = fields.split(", ").map(|field| match field.rsplit_once(' ') {
        Some((front, "int64" | "uint32")) => format!("{front} varint"),
        _ => field.to_owned(),
    });
    fields.collect::<Vec<_>>().join(", ")
}

#[test]
fn published_protos_compile_and_name_their_calls() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../proto");
    let files = protox::compile(["tsdb/v1/tsdb.proto"], [directory]).unwrap();
    let file = files.file.iter().find(|file| file.package() == "tsdb.v1").unwrap();
    let mut calls: Vec<String> = Vec::new();
    for service in &file.service {
        for method in &service.method {
            let stream = |on: bool| if on { "stream " } else { "" };
            calls.push(format!(
                "{}.{}({}) -> {}",
                service.name(),
                method.name(),
                stream(method.client_streaming()).trim(),
                stream(method.server_streaming()).trim()
            ));
        }
    }
    assert_eq!(
        calls,
        [
            "WriteService.Write() -> ",
            "WriteService.WriteStream(stream) -> stream",
            "QueryService.Query() -> stream",
            "HealthService.Health() -> ",
        ]
    );
}
