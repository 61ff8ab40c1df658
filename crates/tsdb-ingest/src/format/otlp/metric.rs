//! A metric of a request: what it is called and what it is, and its points one by one.

use super::attributes::fields;
use super::naming::{self, Kind};
use super::{Parser, Read, schema};
use crate::Reason;
use crate::format::wire::{self, DEPTH_MAX, Reader, WireType};
use crate::metadata::Metadata;

/// What all points of a metric share.
pub(super) struct Metric<'a> {
    /// Its name as it was sent.
    pub(super) sent_name: &'a str,
    /// Its name in the store, without what tells the series of a histogram apart.
    pub(super) name: String,
    pub(super) kind: Kind,
    /// Whether a point counts from the one before.
    pub(super) is_delta: bool,
    /// What the keys of its series begin with.
    pub(super) key: Vec<u8>,
    /// Number of the field of a point that holds its attributes.
    pub(super) attributes: u32,
    /// Why none of its points can be stored.
    pub(super) fault: Option<Reason>,
}

impl Metric<'_> {
    /// The label that series of the metric have of their own.
    pub(super) fn own_label(&self) -> Option<&'static str> {
        match self.kind {
            Kind::Histogram => Some("le"),
            Kind::Summary => Some("quantile"),
            Kind::Counter | Kind::Gauge | Kind::UpDown => None,
        }
    }
}

/// What a metric says of its points.
#[derive(Debug, Clone, Copy, Default)]
struct Traits {
    temporality: u64,
    is_monotonic: bool,
}

/// Numbers of temporalities.
const DELTA: u64 = 1;
const CUMULATIVE: u64 = 2;

impl<'a> Parser<'a> {
    /// Reads a metric. Of several things that one could hold the last one counts.
    pub(super) fn read_metric(&mut self, message: Reader<'a>) -> Read<()> {
        let depth = DEPTH_MAX - 3;
        let (mut name, mut description, mut unit) = ("", "", "");
        let mut held = None;
        let mut seen = 0_u32;
        let mut outline = message;
        while !outline.is_at_end() {
            let (number, wire) = outline.key()?;
            match number {
                1..=3 => {
                    outline.expect(wire, WireType::Block)?;
                    let text = outline.text()?;
                    *(match number {
                        1 => &mut name,
                        2 => &mut description,
                        _ => &mut unit,
                    }) = text;
                }
                number if schema::data(number).is_some() => {
                    outline.expect(wire, WireType::Block)?;
                    outline.block()?;
                    held = Some(number);
                    seen |= 1 << number;
                }
                _ => outline.skip(number, wire, depth)?,
            }
        }
        let Some(number) = held else { return Ok(()) };
        // Data of another kind before it are read and mean nothing.
        let mut others = (0..u32::BITS).filter(|other| seen >> other & 1 == 1 && *other != number);
        others.try_for_each(|other| check_all(message, other, depth - 1))?;
        let mut traits = Traits::default();
        for data in fields(message, number) {
            read_traits(data, number, &mut traits)?;
        }
        let metric = self.metric(name, unit, number, traits);
        if let Some(store) = self.metadata
            && metric.fault.is_none()
        {
            let kind = metric.kind.metric_type(metric.is_delta);
            let unit = naming::unit_text(unit);
            let metadata = Metadata { kind, help: description, unit: &unit };
            store.note(self.rows.namespace(), &metric.name, metadata);
        }
        for data in fields(message, number) {
            for point in fields(data, 1) {
                self.read_point(&metric, number, point)?;
            }
        }
        Ok(())
    }

    fn metric(&self, sent_name: &'a str, unit: &str, number: u32, traits: Traits) -> Metric<'a> {
        let kind = match number {
            schema::SUM if traits.is_monotonic => Kind::Counter,
            schema::SUM => Kind::UpDown,
            schema::HISTOGRAM | schema::EXPONENTIAL => Kind::Histogram,
            schema::SUMMARY => Kind::Summary,
            _ => Kind::Gauge,
        };
        let has_temporality =
            matches!(number, schema::SUM | schema::HISTOGRAM | schema::EXPONENTIAL);
        let is_delta = has_temporality && traits.temporality == DELTA;
        let name = self.settings.strategy.metric(sent_name, unit, kind);
        let fault = if name.is_empty() {
            let text = "the metric has no name of which a letter or digit is left: name it";
            Some(Reason::Other { text: text.to_owned() })
        } else if has_temporality && !matches!(traits.temporality, DELTA | CUMULATIVE) {
            let text = "the metric has no aggregation temporality: set 1 (delta) or 2 (cumulative)";
            Some(Reason::Other { text: text.to_owned() })
        } else {
            self.resource_fault.clone().or_else(|| self.scope_fault.clone())
        };
        let attributes = match number {
            schema::HISTOGRAM => 9,
            schema::EXPONENTIAL => 1,
            _ => 7,
        };
        let key = self.key_of(&name, kind, is_delta);
        Metric { sent_name, name, kind, is_delta, key, attributes, fault }
    }
}

/// Reads data that another one has replaced.
fn check_all(message: Reader<'_>, number: u32, depth: u32) -> Read<()> {
    for data in fields(message, number) {
        if let Some(schema) = schema::data(number) {
            wire::check(data, schema, depth)?;
        }
    }
    Ok(())
}

/// What stands in data beside points, which are passed over.
fn read_traits(mut data: Reader<'_>, number: u32, traits: &mut Traits) -> Read<()> {
    let depth = DEPTH_MAX - 4;
    let has_temporality = matches!(number, schema::SUM | schema::HISTOGRAM | schema::EXPONENTIAL);
    while !data.is_at_end() {
        let (field, wire) = data.key()?;
        match field {
            1 => {
                data.expect(wire, WireType::Block)?;
                data.block()?;
            }
            2 if has_temporality => {
                data.expect(wire, WireType::Varint)?;
                // Enumerations have 32 bits.
                traits.temporality = data.varint()? & u64::from(u32::MAX);
            }
            3 if number == schema::SUM => {
                data.expect(wire, WireType::Varint)?;
                traits.is_monotonic = data.varint()? != 0;
            }
            _ => data.skip(field, wire, depth)?,
        }
    }
    Ok(())
}
