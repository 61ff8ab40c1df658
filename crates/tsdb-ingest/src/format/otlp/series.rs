//! From a data point to series: which there are, their keys and labels, and their rows.

use tsdb_core::NAME_TAG;

use super::attributes::{EXPORTED, Label, fields, labels_of, number_text};
use super::metric::Metric;
use super::naming::Kind;
use super::{Parser, Read, Stop};
use crate::format::remote_write::labels;
use crate::format::wire::Reader;
use crate::report::{LineError, Origin};
use crate::rows::Refusal;
use crate::rows::series_cache::SeriesHandle;
use crate::{Precision, Reason, limits};

/// The metric whose labels are the attributes of a resource.
pub(super) const TARGET_INFO: &str = "target_info";

/// The field that a value becomes, as in remote write.
const FIELD: &str = "value";

/// First byte of keys. No UTF-8 begins with it, and no key of another format.
const KEY_MARK: u8 = 0xfe;

/// Says that a series counts from one point to the next. The name is that of a proposal of Prometheus.
const TEMPORALITY: &str = "__temporality__";

/// One of the series that a point has.
#[derive(Debug, Clone, Copy)]
pub(super) enum Part {
    /// The value itself.
    Whole,
    /// How many values are at most so large.
    Bucket(f64),
    /// The value at a share of all.
    Quantile(f64),
    Sum,
    Count,
}

impl Part {
    fn suffix(self) -> &'static str {
        match self {
            Part::Whole | Part::Quantile(_) => "",
            Part::Bucket(_) => "_bucket",
            Part::Sum => "_sum",
            Part::Count => "_count",
        }
    }

    fn label(self) -> Option<(&'static str, f64)> {
        match self {
            Part::Bucket(bound) => Some(("le", bound)),
            Part::Quantile(share) => Some(("quantile", share)),
            Part::Whole | Part::Sum | Part::Count => None,
        }
    }

    fn put(self, key: &mut Vec<u8>) {
        let (mark, number) = match self {
            Part::Whole => (0, 0.0),
            Part::Bucket(bound) => (1, bound),
            Part::Quantile(share) => (2, share),
            Part::Sum => (3, 0.0),
            Part::Count => (4, 0.0),
        };
        key.push(mark);
        key.extend_from_slice(&number.to_bits().to_le_bytes());
    }
}

impl<'a> Parser<'a> {
    /// What the keys of all series of a metric begin with.
    pub(super) fn key_of(&self, name: &str, kind: Kind, is_delta: bool) -> Vec<u8> {
        let kind = match kind {
            Kind::Counter | Kind::Gauge | Kind::UpDown => 0,
            Kind::Histogram => 1,
            Kind::Summary => 2,
        };
        let mut key = vec![KEY_MARK, self.settings.strategy.mark(), kind, u8::from(is_delta)];
        put_text(&mut key, name);
        let count = u32::try_from(self.of_scope.len()).unwrap_or(u32::MAX);
        key.extend_from_slice(&count.to_le_bytes());
        for (name, text) in &self.of_scope {
            put_text(&mut key, name);
            put_text(&mut key, text);
        }
        key
    }

    /// Appends a row of one series of the current point.
    pub(super) fn put(
        &mut self,
        metric: &Metric<'_>,
        time_ns: i64,
        part: Part,
        value: f64,
    ) -> Result<(), Refusal> {
        self.rows.settle_portion(self.input).map_err(Refusal::Request)?;
        let mut key = std::mem::take(&mut self.key);
        key.clear();
        key.extend_from_slice(&metric.key);
        part.put(&mut key);
        for place in &self.attributes {
            key.extend_from_slice(self.input.get(place.clone()).unwrap_or_default());
        }
        let series = self.series(metric, part, &key);
        self.key = key;
        let origin = Origin { line: self.point, ..Origin::default() };
        self.push(series?, time_ns, value, origin)?;
        self.latest_ns = self.latest_ns.max(Some(time_ns));
        Ok(())
    }

    fn push(
        &mut self,
        series: SeriesHandle,
        time_ns: i64,
        value: f64,
        origin: Origin,
    ) -> Result<(), Refusal> {
        let shape = match self.shape {
            Some(shape) => shape,
            None => *self.shape.insert(self.rows.shape_of_field(FIELD)?),
        };
        self.rows.push(series, shape, time_ns, &[value], origin)
    }

    /// The time of a point in ns.
    pub(super) fn time(&self, stamp: u64) -> Result<i64, Reason> {
        let time = match stamp {
            0 => self.now_ns,
            stamp => i64::try_from(stamp).map_err(|_| Reason::TimeOutsideRange)?,
        };
        self.rows.validation().time(time, Precision::Nanoseconds)
    }

    fn series(
        &mut self,
        metric: &Metric<'_>,
        part: Part,
        key: &[u8],
    ) -> Result<SeriesHandle, Refusal> {
        self.use_up(key.len())?;
        match self.rows.series.recall(key) {
            Some(cached) => Ok(cached.series),
            None => self.define(metric, part, key),
        }
    }

    /// Takes note of the bytes of a key.
    fn use_up(&mut self, bytes: usize) -> Result<(), Reason> {
        match self.key_bytes_left.checked_sub(bytes) {
            Some(left) => {
                self.key_bytes_left = left;
                Ok(())
            }
            None => Err(Reason::Limit(tsdb_core::Error::TooMany {
                what: "bytes of labels of the series of one request",
                count: (self.key_bytes_max + 1) as u64,
                count_max: self.key_bytes_max as u64,
                remedy: "send fewer attributes, buckets or data points at once",
            })),
        }
    }

    #[cold]
    fn define(
        &mut self,
        metric: &Metric<'_>,
        part: Part,
        raw: &[u8],
    ) -> Result<SeriesHandle, Refusal> {
        let labels = self.labels(metric)?;
        let bound = part.label().map(|(name, number)| (name, number_text(number)));
        let mut pairs: Vec<(&str, &str)> =
            labels.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
        pairs.extend(bound.as_ref().map(|(name, text)| (*name, text.as_str())));
        let name = format!("{}{}", metric.name, part.suffix());
        let key = self.rows.validation().series_key(&name, &mut pairs)?;
        let (handle, _) = self.rows.define_series(raw, key).map_err(Refusal::Request)?;
        Ok(handle)
    }

    /// The labels that all series of the current point have.
    fn labels(&self, metric: &Metric<'_>) -> Result<Vec<Label>, Reason> {
        let input = self.input;
        let attributes = self.attributes.iter().flat_map(|place| {
            let mut field = Reader::new(input.get(..place.end).unwrap_or_default());
            field.advance(place.start);
            fields(field, metric.attributes)
        });
        let own = metric.own_label();
        let is_common = |name: &str| self.of_scope.iter().any(|(known, _)| known == name);
        let mut common = self.of_scope.clone();
        // An attribute of the resource may be called as the label that tells buckets apart.
        if let Some((name, _)) = common.iter_mut().find(|(name, _)| Some(&**name) == own) {
            while Some(&**name) == own || is_common(name) {
                name.insert_str(0, EXPORTED);
            }
        }
        let taken = |name: &str| Some(name) == own || common.iter().any(|(known, _)| known == name);
        let mut labels = labels_of(attributes, self.settings.strategy, taken)?;
        labels.extend(common);
        if metric.is_delta {
            labels.push((TEMPORALITY.to_owned(), "delta".to_owned()));
        }
        Ok(labels)
    }

    /// Takes note of how the current point was stored.
    pub(super) fn finish(&mut self, metric: &Metric<'_>, outcome: Result<(), Refusal>) -> Read<()> {
        match outcome {
            Ok(()) => Ok(()),
            Err(Refusal::Request(error)) => Err(Stop::Request(error)),
            Err(Refusal::Row(reason)) => {
                self.refuse(metric, reason);
                Ok(())
            }
        }
    }

    #[cold]
    fn refuse(&mut self, metric: &Metric<'_>, reason: Reason) {
        let text = if self.rows.describes_refusals() { self.shown(metric) } else { String::new() };
        self.rows.refuse_described(LineError { line: self.point, column: 1, text, reason });
    }

    /// The current point as Prometheus would write it.
    fn shown(&self, metric: &Metric<'_>) -> String {
        let bytes: usize = self.attributes.iter().map(ExactSizeIterator::len).sum();
        // Long ones are cut off in any case.
        let is_short = bytes <= limits::LINE_BYTES_MAX;
        let found = if is_short { self.labels(metric) } else { Ok(Vec::new()) };
        let name = if metric.name.is_empty() { metric.sent_name } else { &metric.name };
        shown(name, &found.unwrap_or_default())
    }

    /// Writes a row of value 1 with `labels` and those of the resource, or takes note of why not: it is no data
    /// point, so it is refused as number 0.
    pub(super) fn push_info(
        &mut self,
        name: &str,
        labels: Result<Vec<Label>, Reason>,
        time_ns: i64,
    ) -> Read<()> {
        self.rows.settle_portion(self.input)?;
        let mut found = Vec::new();
        let identity = self.of_resource.iter();
        found.extend(identity.filter(|(name, _)| matches!(&**name, "job" | "instance")).cloned());
        let outcome = labels.map_err(Refusal::Row).and_then(|labels| {
            found.extend(labels);
            self.try_push_info(name, &found, time_ns)
        });
        match outcome {
            Ok(()) => Ok(()),
            Err(Refusal::Request(error)) => Err(Stop::Request(error)),
            Err(Refusal::Row(reason)) => {
                let text = shown(name, &found);
                self.rows.refuse_described(LineError { line: 0, column: 1, text, reason });
                Ok(())
            }
        }
    }

    fn try_push_info(&mut self, name: &str, labels: &[Label], time_ns: i64) -> Result<(), Refusal> {
        let mut key = vec![KEY_MARK, u8::MAX];
        for (name, text) in labels {
            put_text(&mut key, name);
            put_text(&mut key, text);
        }
        self.use_up(key.len())?;
        let series = match self.rows.series.recall(&key) {
            Some(cached) => cached.series,
            None => {
                let mut pairs: Vec<(&str, &str)> =
                    labels.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
                let series_key = self.rows.validation().series_key(name, &mut pairs)?;
                self.rows.define_series(&key, series_key).map_err(Refusal::Request)?.0
            }
        };
        self.push(series, time_ns, 1.0, Origin::default())
    }
}

/// A series as Prometheus writes it.
fn shown(name: &str, labels: &[Label]) -> String {
    let pairs = labels.iter().map(|(name, text)| (name.as_str(), text.as_str()));
    let named: Vec<(&str, &str)> = std::iter::once((NAME_TAG, name)).chain(pairs).collect();
    labels::shown(&named)
}

/// Appends a text behind its length: no two lists of texts have the same bytes.
fn put_text(key: &mut Vec<u8>, text: &str) {
    let bytes = u32::try_from(text.len()).unwrap_or(u32::MAX);
    key.extend_from_slice(&bytes.to_le_bytes());
    key.extend_from_slice(text.as_bytes());
}
