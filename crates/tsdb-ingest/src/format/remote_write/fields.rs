//! The smallest messages: a label, a sample, and what a series says of its metric.

use super::layout::Layout;
use super::symbols::Described;
use crate::format::wire::{self, Reader, WireFault, WireType};
use crate::metadata::MetricType;

/// Key of the value of a sample, and of its time: number and wire type.
const VALUE_KEY: u8 = 0x09;
const TIME_KEY: u8 = 0x10;

/// One sample.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Sample {
    pub(super) value: f64,
    pub(super) time_ms: i64,
}

/// Name and value of a label of 1.0.
pub(super) fn label(mut label: Reader<'_>) -> Result<(&str, &str), WireFault> {
    let (mut name, mut value) = ("", "");
    while !label.is_at_end() {
        let (number, wire) = label.key()?;
        match number {
            1 | 2 => {
                label.expect(wire, WireType::Block)?;
                let text = label.text()?;
                *(if number == 1 { &mut name } else { &mut value }) = text;
            }
            _ => label.skip(number, wire, wire::DEPTH_MAX - 2)?,
        }
    }
    Ok((name, value))
}

/// A sample. Most are a value with a time behind it.
#[inline]
pub(super) fn sample(mut message: Reader<'_>, layout: &Layout) -> Result<Sample, WireFault> {
    if let Some((front, _)) = message.rest().split_first_chunk::<10>()
        && let [VALUE_KEY, value @ .., TIME_KEY] = front
    {
        let mut behind = message;
        behind.advance(front.len());
        let time_ms = behind.varint()?.cast_signed();
        if behind.is_at_end() {
            let value = f64::from_bits(u64::from_le_bytes(*value));
            return Ok(Sample { value, time_ms });
        }
    }
    let mut sample = Sample::default();
    while !message.is_at_end() {
        let (number, wire) = message.key()?;
        match number {
            1 => {
                message.expect(wire, WireType::Fixed64)?;
                sample.value = f64::from_bits(message.fixed64()?);
            }
            2 => {
                message.expect(wire, WireType::Varint)?;
                sample.time_ms = message.varint()?.cast_signed();
            }
            number if Some(number) == layout.start_time => {
                message.expect(wire, WireType::Varint)?;
                message.varint()?;
            }
            _ => message.skip(number, wire, wire::DEPTH_MAX - 2)?,
        }
    }
    Ok(sample)
}

/// Metadata of a series of 2.0.
pub(super) fn describe(
    mut message: Reader<'_>,
    described: &mut Described,
) -> Result<(), WireFault> {
    while !message.is_at_end() {
        let (number, wire) = message.key()?;
        match number {
            1 | 3 | 4 => {
                message.expect(wire, WireType::Varint)?;
                let value = message.varint()?;
                match number {
                    1 => described.kind = MetricType::of_number(value),
                    3 => described.help = low_half(value),
                    _ => described.unit = low_half(value),
                }
            }
            _ => message.skip(number, wire, wire::DEPTH_MAX - 2)?,
        }
    }
    Ok(())
}

/// The 32 bits that a field of that width takes of an integer.
pub(super) fn low_half(value: u64) -> u32 {
    u32::try_from(value & u64::from(u32::MAX)).unwrap_or(u32::MAX)
}
