//! Records in the shapes of two other databases, so that what they export, or what their agents send, can be taken as
//! it is: OpenTSDB's `{"metric": "m", "timestamp": 1, "value": 1, "tags": {…}}` and VictoriaMetrics'
//! `{"metric": {"__name__": "m", …}, "values": […], "timestamps": […]}`.
//!
//! A record is looked at here only when it has a key that ours do not have.

use simd_json::{Node, StaticNode};

use super::record::{Fault, Parts, Record};
use crate::report::shown;
use crate::{Precision, Reason};

/// The label that names a metric.
pub(super) const NAME_LABEL: &str = "__name__";

/// Whose shape a record has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Shape {
    /// Ours.
    #[default]
    Own,
    /// A point of OpenTSDB.
    OpenTsdb,
    /// A series of VictoriaMetrics, with the labels of Prometheus.
    VictoriaMetrics,
}

impl Shape {
    /// The unit of times where the request says `given`, which is ns if it says nothing. OpenTSDB counts seconds or
    /// milliseconds, and the size of a number tells which.
    pub(super) fn unit(self, given: Precision) -> Precision {
        match (self, given) {
            (Shape::OpenTsdb, Precision::Nanoseconds) => Precision::Auto,
            (Shape::VictoriaMetrics, Precision::Nanoseconds) => Precision::Milliseconds,
            _ => given,
        }
    }

    /// Its keys: measurement, tags, value and time, as far as they have one.
    fn keys(self) -> [Option<&'static str>; 4] {
        match self {
            Shape::Own => [Some("measurement"), Some("tags"), Some("value"), Some("time")],
            Shape::OpenTsdb => [Some("metric"), Some("tags"), Some("value"), Some("timestamp")],
            Shape::VictoriaMetrics => [Some("metric"), None, Some("values"), Some("timestamps")],
        }
    }

    /// What messages call the values.
    pub(super) fn value_key(self) -> &'static str {
        self.keys()[2].unwrap_or("value")
    }

    /// The number that a text stands for, where the shape has numbers in texts: infinities, and whatever OpenTSDB is
    /// sent.
    pub(super) fn number(self, text: &str) -> Option<f64> {
        if self == Shape::Own { None } else { text.parse().ok() }
    }
}

impl Record<'_, '_> {
    /// The parts of a record that has the key `name`, which ours do not have.
    #[cold]
    pub(super) fn imported_parts(&self, name: &str) -> Result<Parts, Fault> {
        let mut metric = None;
        for (key, at) in self.members(0, "the record")? {
            if key == "metric" {
                metric = Some(at);
            }
        }
        let unknown = |name: &str, known| {
            let reason = match known {
                None => Reason::UnknownKey { key: shown(name) },
                Some(known) => Reason::ForeignKey { key: shown(name), known },
            };
            Err(Fault { at: self.place_of(name), reason })
        };
        let (shape, known) = match metric.and_then(|at| self.node(at)) {
            Some(Node::String(_)) => (Shape::OpenTsdb, "metric, timestamp, value and tags"),
            Some(Node::Object { .. }) => (Shape::VictoriaMetrics, "metric, values and timestamps"),
            Some(other) => {
                return Err(self.wrong_type("metric", "", other, "a text or an object"));
            }
            None => return unknown(name, None),
        };
        let mut parts = Parts { shape, ..Parts::default() };
        let [measurement, tags, value, time] = shape.keys();
        for (key, at) in self.members(0, "the record")? {
            let slot = match Some(key) {
                found if found == measurement => &mut parts.measurement,
                found if found == tags => &mut parts.tags,
                found if found == value => &mut parts.value,
                found if found == time => &mut parts.time,
                _ => return unknown(key, Some(known)),
            };
            if slot.replace(at).is_some() {
                let reason = Reason::DuplicateKey { key: key.to_owned() };
                return Err(Fault { at: self.place_of(key), reason });
            }
        }
        if shape == Shape::VictoriaMetrics {
            self.name_of_labels(&mut parts)?;
        }
        Ok(parts)
    }

    /// Finds the name among the labels, which are the tags, and sees to it that there are columns.
    fn name_of_labels(&self, parts: &mut Parts) -> Result<(), Fault> {
        parts.tags = parts.measurement.take();
        if let Some(at) = parts.tags {
            let mut labels = self.members(at, "metric")?;
            parts.measurement = labels.find(|(name, _)| *name == NAME_LABEL).map(|(_, at)| at);
        }
        match parts.time.map(|at| self.node(at)) {
            Some(Some(Node::Array { .. })) => {}
            other => {
                let null = Node::Static(StaticNode::Null);
                let found = other.flatten().unwrap_or(null);
                return Err(self.wrong_type("timestamps", "", found, "an array of times"));
            }
        }
        match parts.measurement {
            Some(_) => Ok(()),
            None => Err(Fault { at: 0, reason: Reason::MissingMetricName }),
        }
    }
}
