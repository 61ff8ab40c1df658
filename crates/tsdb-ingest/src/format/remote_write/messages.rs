//! The messages of remote write as `prost` reads them: the oracle of tests, and what tests send. The product
//! does not use them, since they take an allocation for every label.

use prost::Message;

/// `prometheus.WriteRequest`.
#[derive(Clone, PartialEq, Message)]
pub struct WriteRequest {
    /// Series with samples.
    #[prost(message, repeated, tag = "1")]
    pub timeseries: Vec<TimeSeries>,
    /// What is said about metrics.
    #[prost(message, repeated, tag = "3")]
    pub metadata: Vec<MetricMetadata>,
}

/// What is said about a metric.
#[derive(Clone, PartialEq, Message)]
pub struct MetricMetadata {
    /// Number of its type.
    #[prost(int32, tag = "1")]
    pub r#type: i32,
    /// Name of the metric.
    #[prost(string, tag = "2")]
    pub metric_family_name: String,
    /// What it means.
    #[prost(string, tag = "4")]
    pub help: String,
    /// Its unit.
    #[prost(string, tag = "5")]
    pub unit: String,
}

/// A series of 1.0.
#[derive(Clone, PartialEq, Message)]
pub struct TimeSeries {
    /// Labels, its metric among them.
    #[prost(message, repeated, tag = "1")]
    pub labels: Vec<Label>,
    /// Samples.
    #[prost(message, repeated, tag = "2")]
    pub samples: Vec<Sample>,
    /// Examples of what was counted.
    #[prost(message, repeated, tag = "3")]
    pub exemplars: Vec<Exemplar>,
    /// Native histograms.
    #[prost(message, repeated, tag = "4")]
    pub histograms: Vec<Histogram>,
}

/// One label.
#[derive(Clone, PartialEq, Message)]
pub struct Label {
    /// Its name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Its value.
    #[prost(string, tag = "2")]
    pub value: String,
}

/// One sample of 1.0.
#[derive(Clone, Copy, PartialEq, Message)]
pub struct Sample {
    /// The value.
    #[prost(double, tag = "1")]
    pub value: f64,
    /// Milliseconds since 1970.
    #[prost(int64, tag = "2")]
    pub timestamp: i64,
}

/// An exemplar of 1.0.
#[derive(Clone, PartialEq, Message)]
pub struct Exemplar {
    /// Labels, a trace among them.
    #[prost(message, repeated, tag = "1")]
    pub labels: Vec<Label>,
    /// The value.
    #[prost(double, tag = "2")]
    pub value: f64,
    /// Milliseconds since 1970.
    #[prost(int64, tag = "3")]
    pub timestamp: i64,
}

/// A native histogram of 1.0, and of 2.0 without the time of its start.
#[derive(Clone, PartialEq, Message)]
pub struct Histogram {
    /// Count, as an integer or as a float.
    #[prost(oneof = "Count", tags = "1, 2")]
    pub count: Option<Count>,
    /// Sum of all that was observed.
    #[prost(double, tag = "3")]
    pub sum: f64,
    /// Resolution.
    #[prost(sint32, tag = "4")]
    pub schema: i32,
    /// Width of the bucket at zero.
    #[prost(double, tag = "5")]
    pub zero_threshold: f64,
    /// Count of that bucket.
    #[prost(oneof = "ZeroCount", tags = "6, 7")]
    pub zero_count: Option<ZeroCount>,
    /// Runs of buckets below zero.
    #[prost(message, repeated, tag = "8")]
    pub negative_spans: Vec<BucketSpan>,
    /// Their counts, each less the one before.
    #[prost(sint64, repeated, tag = "9")]
    pub negative_deltas: Vec<i64>,
    /// Their counts as floats.
    #[prost(double, repeated, tag = "10")]
    pub negative_counts: Vec<f64>,
    /// Runs of buckets above zero.
    #[prost(message, repeated, tag = "11")]
    pub positive_spans: Vec<BucketSpan>,
    /// Their counts, each less the one before.
    #[prost(sint64, repeated, tag = "12")]
    pub positive_deltas: Vec<i64>,
    /// Their counts as floats.
    #[prost(double, repeated, tag = "13")]
    pub positive_counts: Vec<f64>,
    /// Whether it began anew.
    #[prost(int32, tag = "14")]
    pub reset_hint: i32,
    /// Milliseconds since 1970.
    #[prost(int64, tag = "15")]
    pub timestamp: i64,
    /// Bounds of buckets of one's own.
    #[prost(double, repeated, tag = "16")]
    pub custom_values: Vec<f64>,
}

/// Count of a histogram.
#[derive(Clone, Copy, PartialEq, prost::Oneof)]
pub enum Count {
    /// An integer.
    #[prost(uint64, tag = "1")]
    Int(u64),
    /// A float.
    #[prost(double, tag = "2")]
    Float(f64),
}

/// Count of the bucket at zero.
#[derive(Clone, Copy, PartialEq, prost::Oneof)]
pub enum ZeroCount {
    /// An integer.
    #[prost(uint64, tag = "6")]
    Int(u64),
    /// A float.
    #[prost(double, tag = "7")]
    Float(f64),
}

/// A run of buckets.
#[derive(Clone, Copy, PartialEq, Message)]
pub struct BucketSpan {
    /// Gap before it.
    #[prost(sint32, tag = "1")]
    pub offset: i32,
    /// Its buckets.
    #[prost(uint32, tag = "2")]
    pub length: u32,
}

/// `io.prometheus.write.v2.Request`, and its parts.
pub mod v2 {
    use prost::Message;

    use super::{BucketSpan, Count, ZeroCount};

    /// A request of 2.0.
    #[derive(Clone, PartialEq, Message)]
    pub struct Request {
        /// All texts, the empty one first.
        #[prost(string, repeated, tag = "4")]
        pub symbols: Vec<String>,
        /// Series with samples.
        #[prost(message, repeated, tag = "5")]
        pub timeseries: Vec<TimeSeries>,
    }

    /// A series.
    #[derive(Clone, PartialEq, Message)]
    pub struct TimeSeries {
        /// Numbers of names and values of labels.
        #[prost(uint32, repeated, tag = "1")]
        pub labels_refs: Vec<u32>,
        /// Samples.
        #[prost(message, repeated, tag = "2")]
        pub samples: Vec<Sample>,
        /// Native histograms.
        #[prost(message, repeated, tag = "3")]
        pub histograms: Vec<Histogram>,
        /// Examples of what was counted.
        #[prost(message, repeated, tag = "4")]
        pub exemplars: Vec<Exemplar>,
        /// What is said about its metric.
        #[prost(message, optional, tag = "5")]
        pub metadata: Option<Metadata>,
    }

    /// One sample.
    #[derive(Clone, Copy, PartialEq, Message)]
    pub struct Sample {
        /// The value.
        #[prost(double, tag = "1")]
        pub value: f64,
        /// Milliseconds since 1970.
        #[prost(int64, tag = "2")]
        pub timestamp: i64,
        /// When what it counts began.
        #[prost(int64, tag = "3")]
        pub start_timestamp: i64,
    }

    /// An exemplar.
    #[derive(Clone, PartialEq, Message)]
    pub struct Exemplar {
        /// Numbers of names and values of labels.
        #[prost(uint32, repeated, tag = "1")]
        pub labels_refs: Vec<u32>,
        /// The value.
        #[prost(double, tag = "2")]
        pub value: f64,
        /// Milliseconds since 1970.
        #[prost(int64, tag = "3")]
        pub timestamp: i64,
    }

    /// What is said about a metric.
    #[derive(Clone, Copy, PartialEq, Message)]
    pub struct Metadata {
        /// Number of its type.
        #[prost(int32, tag = "1")]
        pub r#type: i32,
        /// Number of what it means.
        #[prost(uint32, tag = "3")]
        pub help_ref: u32,
        /// Number of its unit.
        #[prost(uint32, tag = "4")]
        pub unit_ref: u32,
    }

    /// A native histogram.
    #[derive(Clone, PartialEq, Message)]
    pub struct Histogram {
        /// Count, as an integer or as a float.
        #[prost(oneof = "Count", tags = "1, 2")]
        pub count: Option<Count>,
        /// Sum of all that was observed.
        #[prost(double, tag = "3")]
        pub sum: f64,
        /// Resolution.
        #[prost(sint32, tag = "4")]
        pub schema: i32,
        /// Width of the bucket at zero.
        #[prost(double, tag = "5")]
        pub zero_threshold: f64,
        /// Count of that bucket.
        #[prost(oneof = "ZeroCount", tags = "6, 7")]
        pub zero_count: Option<ZeroCount>,
        /// Runs of buckets below zero.
        #[prost(message, repeated, tag = "8")]
        pub negative_spans: Vec<BucketSpan>,
        /// Their counts, each less the one before.
        #[prost(sint64, repeated, tag = "9")]
        pub negative_deltas: Vec<i64>,
        /// Their counts as floats.
        #[prost(double, repeated, tag = "10")]
        pub negative_counts: Vec<f64>,
        /// Runs of buckets above zero.
        #[prost(message, repeated, tag = "11")]
        pub positive_spans: Vec<BucketSpan>,
        /// Their counts, each less the one before.
        #[prost(sint64, repeated, tag = "12")]
        pub positive_deltas: Vec<i64>,
        /// Their counts as floats.
        #[prost(double, repeated, tag = "13")]
        pub positive_counts: Vec<f64>,
        /// Whether it began anew.
        #[prost(int32, tag = "14")]
        pub reset_hint: i32,
        /// Milliseconds since 1970.
        #[prost(int64, tag = "15")]
        pub timestamp: i64,
        /// Bounds of buckets of one's own.
        #[prost(double, repeated, tag = "16")]
        pub custom_values: Vec<f64>,
        /// When it began.
        #[prost(int64, tag = "17")]
        pub start_timestamp: i64,
    }
}
