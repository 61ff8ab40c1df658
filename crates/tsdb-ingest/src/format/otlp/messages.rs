//! The messages of OTLP metrics as `prost` reads them: the oracle of tests, and what tests send. The product does
//! not use them, since they take an allocation for every label.

use prost::Message;

/// `opentelemetry.proto.collector.metrics.v1.ExportMetricsServiceRequest`.
#[derive(Clone, PartialEq, Message)]
pub struct Request {
    /// Metrics by resource.
    #[prost(message, repeated, tag = "1")]
    pub resource_metrics: Vec<ResourceMetrics>,
}

/// Metrics of a resource.
#[derive(Clone, PartialEq, Message)]
pub struct ResourceMetrics {
    /// The resource.
    #[prost(message, optional, tag = "1")]
    pub resource: Option<Resource>,
    /// Metrics by scope.
    #[prost(message, repeated, tag = "2")]
    pub scope_metrics: Vec<ScopeMetrics>,
    /// Where its names are described.
    #[prost(string, tag = "3")]
    pub schema_url: String,
}

/// A resource.
#[derive(Clone, PartialEq, Message)]
pub struct Resource {
    /// Attributes.
    #[prost(message, repeated, tag = "1")]
    pub attributes: Vec<KeyValue>,
}

/// Metrics of a scope.
#[derive(Clone, PartialEq, Message)]
pub struct ScopeMetrics {
    /// The scope.
    #[prost(message, optional, tag = "1")]
    pub scope: Option<Scope>,
    /// Metrics.
    #[prost(message, repeated, tag = "2")]
    pub metrics: Vec<Metric>,
    /// Where its names are described.
    #[prost(string, tag = "3")]
    pub schema_url: String,
}

/// A scope.
#[derive(Clone, PartialEq, Message)]
pub struct Scope {
    /// Its name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Its version.
    #[prost(string, tag = "2")]
    pub version: String,
    /// Attributes.
    #[prost(message, repeated, tag = "3")]
    pub attributes: Vec<KeyValue>,
}

/// A metric.
#[derive(Clone, PartialEq, Message)]
pub struct Metric {
    /// Its name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// What it means.
    #[prost(string, tag = "2")]
    pub description: String,
    /// Its unit.
    #[prost(string, tag = "3")]
    pub unit: String,
    /// Its points.
    #[prost(oneof = "Data", tags = "5, 7, 9, 10, 11")]
    pub data: Option<Data>,
}

/// Points of a metric.
#[derive(Clone, PartialEq, prost::Oneof)]
pub enum Data {
    /// Values.
    #[prost(message, tag = "5")]
    Gauge(Gauge),
    /// Sums.
    #[prost(message, tag = "7")]
    Sum(Sum),
    /// Histograms.
    #[prost(message, tag = "9")]
    Histogram(Histogram),
    /// Exponential histograms.
    #[prost(message, tag = "10")]
    Exponential(Exponential),
    /// Summaries.
    #[prost(message, tag = "11")]
    Summary(Summary),
}

/// Values.
#[derive(Clone, PartialEq, Message)]
pub struct Gauge {
    /// Points.
    #[prost(message, repeated, tag = "1")]
    pub data_points: Vec<NumberPoint>,
}

/// Sums.
#[derive(Clone, PartialEq, Message)]
pub struct Sum {
    /// Points.
    #[prost(message, repeated, tag = "1")]
    pub data_points: Vec<NumberPoint>,
    /// 1 for delta, 2 for cumulative.
    #[prost(int32, tag = "2")]
    pub aggregation_temporality: i32,
    /// Whether it only grows.
    #[prost(bool, tag = "3")]
    pub is_monotonic: bool,
}

/// Histograms.
#[derive(Clone, PartialEq, Message)]
pub struct Histogram {
    /// Points.
    #[prost(message, repeated, tag = "1")]
    pub data_points: Vec<HistogramPoint>,
    /// 1 for delta, 2 for cumulative.
    #[prost(int32, tag = "2")]
    pub aggregation_temporality: i32,
}

/// Exponential histograms.
#[derive(Clone, PartialEq, Message)]
pub struct Exponential {
    /// Points.
    #[prost(message, repeated, tag = "1")]
    pub data_points: Vec<ExponentialPoint>,
    /// 1 for delta, 2 for cumulative.
    #[prost(int32, tag = "2")]
    pub aggregation_temporality: i32,
}

/// Summaries.
#[derive(Clone, PartialEq, Message)]
pub struct Summary {
    /// Points.
    #[prost(message, repeated, tag = "1")]
    pub data_points: Vec<SummaryPoint>,
}

/// A number.
#[derive(Clone, PartialEq, Message)]
pub struct NumberPoint {
    /// Attributes.
    #[prost(message, repeated, tag = "7")]
    pub attributes: Vec<KeyValue>,
    /// When what it counts began.
    #[prost(fixed64, tag = "2")]
    pub start_time_unix_nano: u64,
    /// Its time.
    #[prost(fixed64, tag = "3")]
    pub time_unix_nano: u64,
    /// Its value.
    #[prost(oneof = "number::Value", tags = "4, 6")]
    pub value: Option<number::Value>,
    /// Exemplars.
    #[prost(message, repeated, tag = "5")]
    pub exemplars: Vec<Exemplar>,
    /// Bit 0: no value any more.
    #[prost(uint32, tag = "8")]
    pub flags: u32,
}

/// What a number can be.
pub mod number {
    /// A value.
    #[derive(Clone, PartialEq, prost::Oneof)]
    pub enum Value {
        /// A double.
        #[prost(double, tag = "4")]
        Double(f64),
        /// An integer.
        #[prost(sfixed64, tag = "6")]
        Int(i64),
    }
}

/// A histogram.
#[derive(Clone, PartialEq, Message)]
pub struct HistogramPoint {
    /// Attributes.
    #[prost(message, repeated, tag = "9")]
    pub attributes: Vec<KeyValue>,
    /// When what it counts began.
    #[prost(fixed64, tag = "2")]
    pub start_time_unix_nano: u64,
    /// Its time.
    #[prost(fixed64, tag = "3")]
    pub time_unix_nano: u64,
    /// Number of values.
    #[prost(fixed64, tag = "4")]
    pub count: u64,
    /// Their sum.
    #[prost(double, optional, tag = "5")]
    pub sum: Option<f64>,
    /// Counts of buckets.
    #[prost(fixed64, repeated, tag = "6")]
    pub bucket_counts: Vec<u64>,
    /// Bounds of buckets.
    #[prost(double, repeated, tag = "7")]
    pub explicit_bounds: Vec<f64>,
    /// Exemplars.
    #[prost(message, repeated, tag = "8")]
    pub exemplars: Vec<Exemplar>,
    /// Bit 0: no value any more.
    #[prost(uint32, tag = "10")]
    pub flags: u32,
    /// The smallest value.
    #[prost(double, optional, tag = "11")]
    pub min: Option<f64>,
    /// The largest value.
    #[prost(double, optional, tag = "12")]
    pub max: Option<f64>,
}

/// An exponential histogram.
#[derive(Clone, PartialEq, Message)]
pub struct ExponentialPoint {
    /// Attributes.
    #[prost(message, repeated, tag = "1")]
    pub attributes: Vec<KeyValue>,
    /// When what it counts began.
    #[prost(fixed64, tag = "2")]
    pub start_time_unix_nano: u64,
    /// Its time.
    #[prost(fixed64, tag = "3")]
    pub time_unix_nano: u64,
    /// Number of values.
    #[prost(fixed64, tag = "4")]
    pub count: u64,
    /// Their sum.
    #[prost(double, optional, tag = "5")]
    pub sum: Option<f64>,
    /// How fine its buckets are.
    #[prost(sint32, tag = "6")]
    pub scale: i32,
    /// Values around zero.
    #[prost(fixed64, tag = "7")]
    pub zero_count: u64,
    /// Buckets above zero.
    #[prost(message, optional, tag = "8")]
    pub positive: Option<Buckets>,
    /// Buckets below zero.
    #[prost(message, optional, tag = "9")]
    pub negative: Option<Buckets>,
    /// Bit 0: no value any more.
    #[prost(uint32, tag = "10")]
    pub flags: u32,
    /// Exemplars.
    #[prost(message, repeated, tag = "11")]
    pub exemplars: Vec<Exemplar>,
    /// The smallest value.
    #[prost(double, optional, tag = "12")]
    pub min: Option<f64>,
    /// The largest value.
    #[prost(double, optional, tag = "13")]
    pub max: Option<f64>,
    /// How far from zero values are taken for zero.
    #[prost(double, tag = "14")]
    pub zero_threshold: f64,
}

/// Buckets of an exponential histogram.
#[derive(Clone, PartialEq, Message)]
pub struct Buckets {
    /// Number of the first one.
    #[prost(sint32, tag = "1")]
    pub offset: i32,
    /// Their counts.
    #[prost(uint64, repeated, tag = "2")]
    pub bucket_counts: Vec<u64>,
}

/// Quantiles.
#[derive(Clone, PartialEq, Message)]
pub struct SummaryPoint {
    /// Attributes.
    #[prost(message, repeated, tag = "7")]
    pub attributes: Vec<KeyValue>,
    /// When what it counts began.
    #[prost(fixed64, tag = "2")]
    pub start_time_unix_nano: u64,
    /// Its time.
    #[prost(fixed64, tag = "3")]
    pub time_unix_nano: u64,
    /// Number of values.
    #[prost(fixed64, tag = "4")]
    pub count: u64,
    /// Their sum.
    #[prost(double, tag = "5")]
    pub sum: f64,
    /// Quantiles.
    #[prost(message, repeated, tag = "6")]
    pub quantile_values: Vec<Quantile>,
    /// Bit 0: no value any more.
    #[prost(uint32, tag = "8")]
    pub flags: u32,
}

/// A quantile.
#[derive(Clone, PartialEq, Message)]
pub struct Quantile {
    /// The share of values.
    #[prost(double, tag = "1")]
    pub quantile: f64,
    /// Below what they lie.
    #[prost(double, tag = "2")]
    pub value: f64,
}

/// An example of what was measured.
#[derive(Clone, PartialEq, Message)]
pub struct Exemplar {
    /// Attributes that its point has not.
    #[prost(message, repeated, tag = "7")]
    pub filtered_attributes: Vec<KeyValue>,
    /// Its time.
    #[prost(fixed64, tag = "2")]
    pub time_unix_nano: u64,
    /// Its value.
    #[prost(oneof = "exemplar::Value", tags = "3, 6")]
    pub value: Option<exemplar::Value>,
    /// Its span.
    #[prost(bytes = "vec", tag = "4")]
    pub span_id: Vec<u8>,
    /// Its trace.
    #[prost(bytes = "vec", tag = "5")]
    pub trace_id: Vec<u8>,
}

/// What an exemplar can hold.
pub mod exemplar {
    /// A value.
    #[derive(Clone, PartialEq, prost::Oneof)]
    pub enum Value {
        /// A double.
        #[prost(double, tag = "3")]
        Double(f64),
        /// An integer.
        #[prost(sfixed64, tag = "6")]
        Int(i64),
    }
}

/// An attribute.
#[derive(Clone, PartialEq, Message)]
pub struct KeyValue {
    /// Its name.
    #[prost(string, tag = "1")]
    pub key: String,
    /// Its value.
    #[prost(message, optional, tag = "2")]
    pub value: Option<AnyValue>,
}

/// A value of an attribute.
#[derive(Clone, PartialEq, Message)]
pub struct AnyValue {
    /// The value.
    #[prost(oneof = "any::Value", tags = "1, 2, 3, 4, 5, 6, 7")]
    pub value: Option<any::Value>,
}

/// What an attribute can hold.
pub mod any {
    /// A value.
    #[derive(Clone, PartialEq, prost::Oneof)]
    pub enum Value {
        /// A text.
        #[prost(string, tag = "1")]
        String(String),
        /// A flag.
        #[prost(bool, tag = "2")]
        Bool(bool),
        /// An integer.
        #[prost(int64, tag = "3")]
        Int(i64),
        /// A double.
        #[prost(double, tag = "4")]
        Double(f64),
        /// A list.
        #[prost(message, tag = "5")]
        Array(super::ArrayValue),
        /// A map.
        #[prost(message, tag = "6")]
        List(super::KeyValueList),
        /// Bytes.
        #[prost(bytes = "vec", tag = "7")]
        Bytes(Vec<u8>),
    }
}

/// A list of values.
#[derive(Clone, PartialEq, Message)]
pub struct ArrayValue {
    /// The values.
    #[prost(message, repeated, tag = "1")]
    pub values: Vec<AnyValue>,
}

/// A map of values.
#[derive(Clone, PartialEq, Message)]
pub struct KeyValueList {
    /// The values.
    #[prost(message, repeated, tag = "1")]
    pub values: Vec<KeyValue>,
}
