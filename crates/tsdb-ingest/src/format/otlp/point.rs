//! One data point: its fields, and the series that it has.

use super::attributes::fields;
use super::buckets::{self, Below, Exponential, Side};
use super::metric::Metric;
use super::series::Part;
use super::{Parser, Read, schema};
use crate::format::wire::{self, DEPTH_MAX, Reader, WireFault, WireType};
use crate::rows::Refusal;
use crate::{Reason, limits};

/// How many levels may still follow in a point.
const DEPTH: u32 = DEPTH_MAX - 5;

/// Flag of a point: there was a value, and there is none any more.
const NO_RECORDED_VALUE: u64 = 1;

/// What is written for it, as in remote write: a NaN that no computation gives.
const STALE_MARKER: f64 = f64::from_bits(0x7ff0_0000_0000_0002);

/// What points of all kinds have.
#[derive(Debug, Clone, Copy, Default)]
struct Common {
    stamp: u64,
    flags: u64,
}

impl Common {
    fn is_stale(self) -> bool {
        self.flags & NO_RECORDED_VALUE != 0
    }
}

/// Where the fields of a kind of point stand that all kinds have, beside the times, which are 2 and 3.
struct Places {
    exemplars: u32,
    flags: u32,
}

impl<'a> Parser<'a> {
    /// Reads a point of the data `number` of a metric, and appends its rows.
    pub(super) fn read_point(
        &mut self,
        metric: &Metric<'a>,
        number: u32,
        point: Reader<'a>,
    ) -> Read<()> {
        self.point += 1;
        self.rows.brought.points += 1;
        self.attributes.clear();
        let outcome = match number {
            schema::HISTOGRAM => self.read_histogram(metric, point)?,
            schema::EXPONENTIAL => self.read_exponential(metric, point)?,
            schema::SUMMARY => self.read_summary(metric, point)?,
            _ => self.read_number(metric, point)?,
        };
        self.finish(metric, outcome)
    }

    fn read_number(
        &mut self,
        metric: &Metric<'a>,
        mut point: Reader<'a>,
    ) -> Read<Result<(), Refusal>> {
        let (mut common, mut value) = (Common::default(), None);
        let places = Places { exemplars: 5, flags: 8 };
        while !point.is_at_end() {
            let start = point.at();
            let (number, wire) = point.key()?;
            match number {
                4 | 6 => {
                    let bits = fixed64(&mut point, wire)?;
                    value = Some(match number {
                        4 => f64::from_bits(bits),
                        _ => bits.cast_signed() as f64,
                    });
                }
                _ => self.read_common(
                    metric,
                    &mut point,
                    (start, number, wire),
                    &places,
                    &mut common,
                )?,
            }
        }
        Ok(self.put_number(metric, common, value))
    }

    fn put_number(
        &mut self,
        metric: &Metric<'a>,
        common: Common,
        value: Option<f64>,
    ) -> Result<(), Refusal> {
        let time = self.begin(metric, common)?;
        let value = if common.is_stale() { Some(STALE_MARKER) } else { value };
        let Some(value) = value else {
            let text = "the data point has no value: set asDouble or asInt, or the flag for none";
            return Err(Reason::Other { text: text.to_owned() }.into());
        };
        self.put(metric, time, Part::Whole, value)
    }

    fn read_histogram(
        &mut self,
        metric: &Metric<'a>,
        mut point: Reader<'a>,
    ) -> Read<Result<(), Refusal>> {
        let (mut common, mut count, mut sum) = (Common::default(), 0, None);
        let (mut count_total, mut bound_total) = (0, 0);
        self.counts.clear();
        self.bounds.clear();
        let places = Places { exemplars: 8, flags: 10 };
        while !point.is_at_end() {
            let start = point.at();
            let (number, wire) = point.key()?;
            match number {
                4 => count = fixed64(&mut point, wire)?,
                5 => sum = Some(f64::from_bits(fixed64(&mut point, wire)?)),
                6 => each_fixed64(&mut point, wire, |bits| {
                    keep(&mut self.counts, &mut count_total, bits);
                })?,
                7 => each_fixed64(&mut point, wire, |bits| {
                    keep(&mut self.bounds, &mut bound_total, f64::from_bits(bits));
                })?,
                11 | 12 => drop(fixed64(&mut point, wire)?),
                _ => self.read_common(
                    metric,
                    &mut point,
                    (start, number, wire),
                    &places,
                    &mut common,
                )?,
            }
        }
        let list_max = count_total.max(bound_total);
        Ok(self.begin(metric, common).and_then(|time| {
            check_length(list_max)?;
            let mut below = std::mem::take(&mut self.below);
            let outcome = buckets::explicit(&self.counts, &self.bounds, &mut below)
                .map_err(Refusal::Row)
                .and_then(|()| self.put_histogram(metric, time, common, &below, (count, sum)));
            self.below = below;
            outcome
        }))
    }

    fn read_exponential(
        &mut self,
        metric: &Metric<'a>,
        mut point: Reader<'a>,
    ) -> Read<Result<(), Refusal>> {
        let (mut common, mut count, mut sum) = (Common::default(), 0, None);
        let mut found = Exponential::default();
        let (mut above_total, mut below_total) = (0, 0);
        self.counts.clear();
        self.counts_below_zero.clear();
        let places = Places { exemplars: 11, flags: 10 };
        while !point.is_at_end() {
            let start = point.at();
            let (number, wire) = point.key()?;
            match number {
                4 => count = fixed64(&mut point, wire)?,
                5 => sum = Some(f64::from_bits(fixed64(&mut point, wire)?)),
                6 => found.scale = zigzag(&mut point, wire)?,
                7 => found.zero_count = fixed64(&mut point, wire)?,
                8 | 9 => {
                    point.expect(wire, WireType::Block)?;
                    let side = point.block()?;
                    let (offset, counts, total) = match number {
                        8 => (&mut found.positive.offset, &mut self.counts, &mut above_total),
                        _ => (
                            &mut found.negative.offset,
                            &mut self.counts_below_zero,
                            &mut below_total,
                        ),
                    };
                    read_side(side, offset, counts, total)?;
                }
                12 | 13 => drop(fixed64(&mut point, wire)?),
                14 => found.zero_threshold = f64::from_bits(fixed64(&mut point, wire)?),
                _ => self.read_common(
                    metric,
                    &mut point,
                    (start, number, wire),
                    &places,
                    &mut common,
                )?,
            }
        }
        let list_max = above_total.max(below_total);
        Ok(self.begin(metric, common).and_then(|time| {
            check_length(list_max)?;
            let mut below = std::mem::take(&mut self.below);
            let positive = Side { counts: &self.counts, ..found.positive };
            let negative = Side { counts: &self.counts_below_zero, ..found.negative };
            let whole = Exponential { positive, negative, ..found };
            // Of one that is stale no buckets are there whose series could end.
            let empty = Exponential::default();
            let told = if common.is_stale() { &empty } else { &whole };
            let told = buckets::exponential(told, &mut below);
            let outcome = told
                .map_err(Refusal::Row)
                .and_then(|()| self.put_histogram(metric, time, common, &below, (count, sum)));
            self.below = below;
            outcome
        }))
    }

    fn put_histogram(
        &mut self,
        metric: &Metric<'a>,
        time: i64,
        common: Common,
        below: &[Below],
        (count, sum): (u64, Option<f64>),
    ) -> Result<(), Refusal> {
        let or_stale = |value: f64| if common.is_stale() { STALE_MARKER } else { value };
        // Infinity counts all.
        let last = Below { bound: f64::INFINITY, count };
        for Below { bound, count } in below.iter().chain(std::iter::once(&last)) {
            self.put(metric, time, Part::Bucket(*bound), or_stale(*count as f64))?;
        }
        let sum = if common.is_stale() { Some(STALE_MARKER) } else { sum };
        if let Some(sum) = sum {
            self.put(metric, time, Part::Sum, sum)?;
        }
        self.put(metric, time, Part::Count, or_stale(count as f64))
    }

    fn read_summary(
        &mut self,
        metric: &Metric<'a>,
        point: Reader<'a>,
    ) -> Read<Result<(), Refusal>> {
        let (mut common, mut count, mut sum) = (Common::default(), 0, 0.0);
        let mut quantile_count = 0;
        let places = Places { exemplars: u32::MAX, flags: 8 };
        let mut outline = point;
        while !outline.is_at_end() {
            let start = outline.at();
            let (number, wire) = outline.key()?;
            match number {
                4 => count = fixed64(&mut outline, wire)?,
                5 => sum = f64::from_bits(fixed64(&mut outline, wire)?),
                6 => {
                    outline.expect(wire, WireType::Block)?;
                    read_quantile(outline.block()?)?;
                    quantile_count += 1;
                }
                _ => self.read_common(
                    metric,
                    &mut outline,
                    (start, number, wire),
                    &places,
                    &mut common,
                )?,
            }
        }
        Ok(self.begin(metric, common).and_then(|time| {
            check_length(quantile_count)?;
            let or_stale = |value: f64| if common.is_stale() { STALE_MARKER } else { value };
            for quantile in fields(point, 6) {
                // It was read before without a fault.
                let (share, value) = read_quantile(quantile).unwrap_or_default();
                self.put(metric, time, Part::Quantile(share), or_stale(value))?;
            }
            self.put(metric, time, Part::Sum, or_stale(sum))?;
            self.put(metric, time, Part::Count, or_stale(count as f64))
        }))
    }

    /// What holds for points of all kinds, once one has been read; its time in ns.
    fn begin(&self, metric: &Metric<'a>, common: Common) -> Result<i64, Refusal> {
        if let Some(fault) = &metric.fault {
            return Err(fault.clone().into());
        }
        Ok(self.time(common.stamp)?)
    }

    /// A field that points of all kinds have, or one that is unknown. `start` is where its key begins.
    fn read_common(
        &mut self,
        metric: &Metric<'a>,
        point: &mut Reader<'a>,
        (start, number, wire): (usize, u32, WireType),
        places: &Places,
        common: &mut Common,
    ) -> Result<(), WireFault> {
        match number {
            number if number == metric.attributes => {
                point.expect(wire, WireType::Block)?;
                wire::check(point.block()?, &schema::KEY_VALUE, DEPTH - 1)?;
                match self.attributes.last_mut() {
                    Some(last) if last.end == start => last.end = point.at(),
                    _ => self.attributes.push(start..point.at()),
                }
            }
            2 => drop(fixed64(point, wire)?),
            3 => common.stamp = fixed64(point, wire)?,
            number if number == places.flags => {
                point.expect(wire, WireType::Varint)?;
                common.flags = point.varint()?;
            }
            number if number == places.exemplars => {
                point.expect(wire, WireType::Block)?;
                wire::check(point.block()?, &schema::EXEMPLAR, DEPTH - 1)?;
                self.rows.brought.exemplars += 1;
            }
            _ => point.skip(number, wire, DEPTH)?,
        }
        Ok(())
    }
}

fn fixed64(message: &mut Reader<'_>, wire: WireType) -> Result<u64, WireFault> {
    message.expect(wire, WireType::Fixed64)?;
    message.fixed64()
}

/// An integer of 32 bits whose sign is its lowest bit.
fn zigzag(message: &mut Reader<'_>, wire: WireType) -> Result<i32, WireFault> {
    message.expect(wire, WireType::Varint)?;
    let bits = u32::try_from(message.varint()? & u64::from(u32::MAX)).unwrap_or_default();
    Ok((bits >> 1).cast_signed() ^ -((bits & 1).cast_signed()))
}

/// A list, packed or not.
fn each_fixed64(
    message: &mut Reader<'_>,
    wire: WireType,
    mut f: impl FnMut(u64),
) -> Result<(), WireFault> {
    if wire != WireType::Block {
        f(fixed64(message, wire)?);
        return Ok(());
    }
    let mut list = message.block()?;
    while !list.is_at_end() {
        f(list.fixed64()?);
    }
    Ok(())
}

/// Keeps as many as a point may have, and counts all.
fn keep<T>(list: &mut Vec<T>, total: &mut usize, item: T) {
    *total += 1;
    if list.len() < limits::BUCKETS_MAX {
        list.push(item);
    }
}

fn check_length(count: usize) -> Result<(), Reason> {
    if count <= limits::BUCKETS_MAX {
        return Ok(());
    }
    Err(Reason::Limit(tsdb_core::Error::TooMany {
        what: "buckets of a data point",
        count: count as u64,
        count_max: limits::BUCKETS_MAX as u64,
        remedy: "let the histogram have fewer",
    }))
}

/// Buckets on one side of zero.
fn read_side(
    mut side: Reader<'_>,
    offset: &mut i32,
    counts: &mut Vec<u64>,
    total: &mut usize,
) -> Result<(), WireFault> {
    while !side.is_at_end() {
        let (number, wire) = side.key()?;
        match number {
            1 => *offset = zigzag(&mut side, wire)?,
            2 if wire == WireType::Block => {
                let mut list = side.block()?;
                while !list.is_at_end() {
                    let count = list.varint()?;
                    keep(counts, total, count);
                }
            }
            2 => {
                side.expect(wire, WireType::Varint)?;
                let count = side.varint()?;
                keep(counts, total, count);
            }
            _ => side.skip(number, wire, DEPTH - 1)?,
        }
    }
    Ok(())
}

/// A share of all values, and the value below which it lies.
fn read_quantile(mut message: Reader<'_>) -> Result<(f64, f64), WireFault> {
    let (mut share, mut value) = (0.0, 0.0);
    while !message.is_at_end() {
        let (number, wire) = message.key()?;
        match number {
            1 => share = f64::from_bits(fixed64(&mut message, wire)?),
            2 => value = f64::from_bits(fixed64(&mut message, wire)?),
            _ => message.skip(number, wire, DEPTH - 1)?,
        }
    }
    Ok((share, value))
}
