//! Prometheus remote write 1.0 (<https://prometheus.io/docs/specs/prw/remote_write_spec/>): a protobuf
//! message in snappy's block format, every value a series with one sample, as Prometheus sends scrapes.

use prost::Message;
use prost::encoding::{WireType, encode_key, encode_varint};

use super::Encoder;
use crate::dataset::{Row, Series};

/// One label.
#[derive(Clone, PartialEq, Message)]
pub struct Label {
    /// Name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Value.
    #[prost(string, tag = "2")]
    pub value: String,
}

/// One value.
#[derive(Clone, PartialEq, Message)]
pub struct Sample {
    /// The value.
    #[prost(double, tag = "1")]
    pub value: f64,
    /// Milliseconds since 1970.
    #[prost(int64, tag = "2")]
    pub timestamp: i64,
}

/// A series with some samples.
#[derive(Clone, PartialEq, Message)]
pub struct TimeSeries {
    /// Labels, sorted by name, `__name__` among them.
    #[prost(message, repeated, tag = "1")]
    pub labels: Vec<Label>,
    /// Samples, in order of time.
    #[prost(message, repeated, tag = "2")]
    pub samples: Vec<Sample>,
}

/// Tag of the series in `WriteRequest`, the message of a request, which holds nothing else that is sent.
const TIMESERIES_TAG: u32 = 1;
/// Tag of the samples in [`TimeSeries`].
const SAMPLES_TAG: u32 = 2;

/// Builds requests; the labels of a column are encoded once.
#[derive(Default)]
pub struct RemoteWriteEncoder {
    /// For each series and each of its fields the bytes of a `TimeSeries` without samples.
    columns: Vec<Vec<Vec<u8>>>,
    message: Vec<u8>,
    sample: Vec<u8>,
}

impl Encoder for RemoteWriteEncoder {
    fn push(&mut self, series: &[Series], row: &Row) {
        let new = series.get(self.columns.len()..).unwrap_or(&[]);
        self.columns.extend(new.iter().map(columns));
        let Some(columns) = self.columns.get(row.series) else { return };
        for (labels, value) in columns.iter().zip(&row.values) {
            let timestamp = row.time_ns.div_euclid(1_000_000);
            self.sample.clear();
            // Encoding into a Vec cannot run out of room.
            let _ = Sample { value: *value, timestamp }.encode_length_delimited(&mut self.sample);
            encode_key(TIMESERIES_TAG, WireType::LengthDelimited, &mut self.message);
            // One byte for the key of the sample: its tag is below 16.
            encode_varint((labels.len() + 1 + self.sample.len()) as u64, &mut self.message);
            self.message.extend_from_slice(labels);
            encode_key(SAMPLES_TAG, WireType::LengthDelimited, &mut self.message);
            self.message.extend_from_slice(&self.sample);
        }
    }

    fn take(&mut self) -> Vec<u8> {
        let compressed = snap::raw::Encoder::new().compress_vec(&self.message);
        self.message.clear();
        // Fails only above 4 GiB, and a body has some thousand samples.
        compressed.unwrap_or_default()
    }
}

fn columns(series: &Series) -> Vec<Vec<u8>> {
    let measurement = &series.schema.measurement;
    let column = |field: &str| {
        let name =
            if field == "value" { measurement.clone() } else { format!("{measurement}_{field}") };
        let name = ("__name__".to_owned(), name);
        let mut labels: Vec<_> = series.tags.iter().cloned().chain([name]).collect();
        labels.sort();
        let labels = labels.into_iter().map(|(name, value)| Label { name, value }).collect();
        TimeSeries { labels, samples: Vec::new() }.encode_to_vec()
    };
    series.schema.fields.iter().map(|(field, _)| column(field)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::options::{Case, DataOptions};
    use crate::encode::{Body, Format, build};

    /// A request.
    #[derive(Clone, PartialEq, Message)]
    struct WriteRequest {
        /// The series.
        #[prost(message, repeated, tag = "1")]
        timeseries: Vec<TimeSeries>,
    }

    fn requests(case: Case, seconds: u32) -> Vec<WriteRequest> {
        let mut source = DataOptions::plain(case, 2, seconds, 10).source().unwrap();
        let built = build(&mut source, Format::RemoteWrite, 1000);
        let decode = |body: &Body| {
            let message = snap::raw::Decoder::new().decompress_vec(&body.bytes).unwrap();
            WriteRequest::decode(message.as_slice()).unwrap()
        };
        built.iter().map(decode).collect()
    }

    #[test]
    fn every_field_is_a_series_of_its_own() {
        let request = requests(Case::CpuOnly, 20).remove(0);
        assert_eq!(request.timeseries.len(), 2 * 2 * 10);
        let last = request.timeseries.last().unwrap();
        let names: Vec<&str> = last.labels.iter().map(|label| label.name.as_str()).collect();
        assert!(names.is_sorted() && names[0] == "__name__", "{names:?}");
        assert_eq!(last.labels[0].value, "cpu_usage_guest_nice");
        assert_eq!(last.samples.len(), 1);
        assert_eq!(last.samples[0].timestamp, 1_451_606_410_000);
    }

    #[test]
    fn a_field_called_value_gives_the_name_of_the_measurement() {
        let requests = requests(Case::Exporter, 10);
        let first = &requests[0].timeseries[0];
        assert_eq!(first.labels[0].value, "node_cpu_seconds_total");
    }
}
