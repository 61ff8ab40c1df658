//! The messages of remote write: numbers and kinds of their fields, from `prompb/remote.proto`,
//! `prompb/types.proto` and `prompb/io/prometheus/write/v2/types.proto` of Prometheus.

use crate::format::wire::{Kind, Schema};
use crate::limits;

/// Where the two messages differ.
#[derive(Debug)]
pub(super) struct Layout {
    /// Of the request: texts that are referred to by number.
    pub(super) symbols: Option<u32>,
    /// Of the request.
    pub(super) series: u32,
    /// Of the request: metadata of metrics.
    pub(super) metadata: Option<u32>,
    /// Of a series. Labels are 1 and samples 2 in both.
    pub(super) histograms: u32,
    /// Of a series.
    pub(super) exemplars: u32,
    /// Of a series: metadata of its metric.
    pub(super) series_metadata: Option<u32>,
    pub(super) exemplar: &'static Schema,
    pub(super) histogram: &'static Schema,
    /// Of a sample: when what it counts began.
    pub(super) start_time: Option<u32>,
    /// Whether what is not stored may not be answered with success.
    pub(super) refuses_exemplars: bool,
}

impl Layout {
    /// Most entries in the list of labels.
    pub(super) fn entries_of_labels_max(&self) -> u64 {
        let factor = if self.symbols.is_some() { 2 } else { 1 };
        (factor * limits::LABELS_MAX) as u64
    }
}

pub(super) const LABELS: u32 = 1;
pub(super) const SAMPLES: u32 = 2;

pub(super) const V1: Layout = Layout {
    symbols: None,
    series: 1,
    metadata: Some(3),
    histograms: 4,
    exemplars: 3,
    series_metadata: None,
    exemplar: &Schema::unnamed(&[
        (1, Kind::Message(&LABEL)),
        (2, Kind::Fixed64),
        (3, Kind::Varint),
    ]),
    histogram: &Schema::unnamed(&HISTOGRAM),
    start_time: None,
    refuses_exemplars: false,
};

pub(super) const V2: Layout = Layout {
    symbols: Some(4),
    series: 5,
    metadata: None,
    histograms: 3,
    exemplars: 4,
    series_metadata: Some(5),
    exemplar: &Schema::unnamed(&[(1, Kind::Varints), (2, Kind::Fixed64), (3, Kind::Varint)]),
    histogram: &Schema::unnamed(&HISTOGRAM_2),
    start_time: Some(3),
    refuses_exemplars: true,
};

const LABEL: Schema = Schema::unnamed(&[(1, Kind::Text), (2, Kind::Text)]);

const SPAN: Schema = Schema::unnamed(&[(1, Kind::Varint), (2, Kind::Varint)]);

/// Counts, sum, schema, thresholds, spans and buckets of a native histogram.
const HISTOGRAM: [(u32, Kind); 16] = [
    (1, Kind::Varint),
    (2, Kind::Fixed64),
    (3, Kind::Fixed64),
    (4, Kind::Varint),
    (5, Kind::Fixed64),
    (6, Kind::Varint),
    (7, Kind::Fixed64),
    (8, Kind::Message(&SPAN)),
    (9, Kind::Varints),
    (10, Kind::Fixed64s),
    (11, Kind::Message(&SPAN)),
    (12, Kind::Varints),
    (13, Kind::Fixed64s),
    (14, Kind::Varint),
    (15, Kind::Varint),
    (16, Kind::Fixed64s),
];

/// The same with the time at which it began.
const HISTOGRAM_2: [(u32, Kind); 17] = {
    let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = HISTOGRAM;
    [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, (17, Kind::Varint)]
};
