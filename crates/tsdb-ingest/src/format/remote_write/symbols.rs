//! The table of texts of remote write 2.0, and what is bounded because of it: a short request can name a long
//! text over and over.

use std::ops::Range;

use super::Stop;
use crate::format::wire::{self, Reader, WireFault, WireType};
use crate::metadata::MetricType;
use crate::{Rows, limits};

/// Texts by number, as places in the input.
#[derive(Debug, Default)]
pub(super) struct Symbols {
    places: Vec<Range<u32>>,
    /// Bytes of texts that series may still name.
    left_bytes: usize,
    bytes_max: usize,
}

/// What a series says of its metric, by numbers of symbols.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Described {
    pub(super) kind: MetricType,
    pub(super) help: u32,
    pub(super) unit: u32,
}

impl Symbols {
    /// The texts of a request, wherever they stand in it: twice over its fields, once to count them.
    ///
    /// # Errors
    /// A damaged message, a first text that is not empty, no memory for the table.
    pub(super) fn read(input: &[u8], number: u32, rows: &mut Rows) -> Result<Symbols, Stop> {
        let mut count = 0;
        each(input, number, |_| count += 1)?;
        rows.charge(count * size_of::<Range<u32>>())?;
        let mut places = Vec::with_capacity(count);
        let mut is_too_long = false;
        each(input, number, |text| match (u32::try_from(text.at()), u32::try_from(text.end())) {
            (Ok(start), Ok(end)) => places.push(start..end),
            _ => is_too_long = true,
        })?;
        if is_too_long {
            return Err(WireFault { at: input.len(), what: "more than 4 GiB" }.into());
        }
        if places.first().is_some_and(|first| !first.is_empty()) {
            let what = "a first symbol that is not empty";
            return Err(WireFault { at: 0, what }.into());
        }
        let bytes_max = limits::SYMBOL_BYTES_FREE
            .saturating_add(input.len().saturating_mul(limits::SYMBOL_BYTES_FACTOR));
        Ok(Symbols { places, left_bytes: bytes_max, bytes_max })
    }

    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    /// The bytes of the text with a number; none if there is no such text.
    #[inline]
    pub(super) fn bytes<'a>(&self, input: &'a [u8], number: u32) -> &'a [u8] {
        let place = self.places.get(number as usize);
        place
            .and_then(|place| input.get(place.start as usize..place.end as usize))
            .unwrap_or_default()
    }

    /// The text with a number.
    pub(super) fn get<'a>(&self, input: &'a [u8], number: u32) -> Option<&'a str> {
        self.places.get(number as usize)?;
        // What stands in the table was checked.
        std::str::from_utf8(self.bytes(input, number)).ok()
    }

    /// Takes note that `bytes` of texts are about to be looked at.
    ///
    /// # Errors
    /// They are more than [`limits::SYMBOL_BYTES_FACTOR`] times the request.
    #[inline]
    pub(super) fn use_up(&mut self, bytes: usize) -> tsdb_core::Result<()> {
        match self.left_bytes.checked_sub(bytes) {
            Some(left) => {
                self.left_bytes = left;
                Ok(())
            }
            None => Err(tsdb_core::Error::TooMany {
                what: "bytes of labels behind the references of one request",
                count: (self.bytes_max + 1) as u64,
                count_max: self.bytes_max as u64,
                remedy: "shorten the labels, or send fewer series at once",
            }),
        }
    }
}

/// Calls `f` with each text.
fn each<'a>(input: &'a [u8], symbols: u32, mut f: impl FnMut(Reader<'a>)) -> Result<(), WireFault> {
    let mut message = Reader::new(input);
    while !message.is_at_end() {
        let (number, wire) = message.key()?;
        if number == symbols {
            message.expect(wire, WireType::Block)?;
            let mut ahead = message;
            ahead.text()?;
            f(message.block()?);
        } else {
            message.skip(number, wire, wire::DEPTH_MAX)?;
        }
    }
    Ok(())
}
