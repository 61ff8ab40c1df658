//! Bytes of a section. Pinned to `docs/format/index-section.md`.

use crate::{Error, Result};

pub(crate) const VERSION: u8 = 1;

pub(crate) fn put_varint(out: &mut Vec<u8>, value: u64) {
    let mut rest = value;
    while rest >= 0x80 {
        out.push(u8::try_from(rest & 0x7f).unwrap_or(0) | 0x80);
        rest >>= 7;
    }
    out.push(u8::try_from(rest).unwrap_or(0));
}

/// Sorted texts, each as the length of what it shares with its predecessor, the length of the rest, the
/// rest.
pub(crate) fn put_texts<'a>(out: &mut Vec<u8>, texts: impl ExactSizeIterator<Item = &'a str>) {
    put_varint(out, texts.len() as u64);
    let mut previous = "";
    for text in texts {
        let shared = previous.bytes().zip(text.bytes()).take_while(|(a, b)| a == b).count();
        put_varint(out, shared as u64);
        put_varint(out, (text.len() - shared) as u64);
        out.extend_from_slice(text.as_bytes().get(shared..).unwrap_or(&[]));
        previous = text;
    }
}

/// Places in a list, ascending, as the distance of each from the one before; the first counts from 0.
pub(crate) fn put_ascending(out: &mut Vec<u8>, places: &[u32]) {
    put_varint(out, places.len() as u64);
    let mut previous = 0;
    for place in places {
        put_varint(out, u64::from(place - previous));
        previous = *place;
    }
}

/// Numbers below 2^32, all of one width in bytes: 1, 2 or 4.
pub(crate) fn put_column(out: &mut Vec<u8>, numbers: &[u32]) {
    let max = numbers.iter().copied().max().unwrap_or(0);
    let width = match max {
        0..=0xff => 1,
        0x100..=0xffff => 2,
        _ => 4,
    };
    out.push(width);
    for number in numbers {
        out.extend(number.to_le_bytes().iter().take(usize::from(width)));
    }
}

/// Reads what was written, and refuses everything else.
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader { bytes, at: 0 }
    }

    pub(crate) fn damaged(&self, what: &'static str) -> Error {
        Error::Damaged { offset: self.at as u64, what }
    }

    pub(crate) fn take(&mut self, count: usize) -> Result<&'a [u8]> {
        let end = self.at.checked_add(count);
        let taken = end.and_then(|end| self.bytes.get(self.at..end));
        let taken = taken.ok_or_else(|| self.damaged("the bytes end early"))?;
        self.at += count;
        Ok(taken)
    }

    /// What is still to come.
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.at..).unwrap_or(&[])
    }

    pub(crate) fn u8(&mut self) -> Result<u8> {
        Ok(self.take(1)?.first().copied().unwrap_or(0))
    }

    /// Reads the version, which must be `supported`; `unknown` says what an older one is.
    pub(crate) fn version(&mut self, supported: u8, unknown: &'static str) -> Result<()> {
        let version = self.u8()?;
        if version > supported {
            let (version, supported) = (u32::from(version), u32::from(supported));
            return Err(Error::NewerFormat { version, supported });
        }
        if version == supported { Ok(()) } else { Err(self.damaged(unknown)) }
    }

    pub(crate) fn varint(&mut self) -> Result<u64> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.u8()?;
            let low = u64::from(byte & 0x7f);
            if shift == 63 && low > 1 {
                break;
            }
            value |= low << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(self.damaged("a number above 64 bits"))
    }

    /// A number of records of at least `bytes_min` bytes each that are still to come.
    pub(crate) fn count(&mut self, bytes_min: usize) -> Result<usize> {
        let count = usize::try_from(self.varint()?).unwrap_or(usize::MAX);
        self.holds(count.saturating_mul(bytes_min.max(1)))?;
        Ok(count)
    }

    /// Refuses to go on unless `bytes` bytes are still to come: before memory is taken for them.
    pub(crate) fn holds(&self, bytes: usize) -> Result<()> {
        if bytes > self.bytes.len() - self.at {
            return Err(self.damaged("a count that the bytes cannot hold"));
        }
        Ok(())
    }

    /// Reads what [`put_ascending`] wrote: places below `end`, strictly ascending.
    pub(crate) fn ascending(&mut self, end: usize) -> Result<Vec<u32>> {
        let count = self.count(1)?;
        let mut places: Vec<u32> = Vec::with_capacity(count);
        for _ in 0..count {
            let step = u32::try_from(self.varint()?).unwrap_or(u32::MAX);
            let place = match places.last() {
                None => Some(step),
                Some(last) => last.checked_add(step).filter(|place| place > last),
            };
            let place = place.filter(|place| (*place as usize) < end);
            places.push(place.ok_or_else(|| self.damaged("places that are not sorted"))?);
        }
        Ok(places)
    }

    /// Reads what [`put_texts`] wrote: strictly ascending, without NUL.
    pub(crate) fn texts(&mut self) -> Result<Vec<Box<str>>> {
        let count = self.count(2)?;
        let mut texts: Vec<Box<str>> = Vec::with_capacity(count);
        let mut text: Vec<u8> = Vec::new();
        for _ in 0..count {
            let shared = usize::try_from(self.varint()?).unwrap_or(usize::MAX);
            if shared > text.len() {
                return Err(self.damaged("a text that shares more than there is"));
            }
            text.truncate(shared);
            let rest = self.count(1)?;
            text.extend_from_slice(self.take(rest)?);
            if text.len() > TEXT_BYTES_MAX || text.contains(&0) {
                return Err(self.damaged("a text that is too long or holds a NUL"));
            }
            let valid =
                std::str::from_utf8(&text).map_err(|_| self.damaged("text that is not UTF-8"))?;
            if texts.last().is_some_and(|last| **last >= *valid) {
                return Err(self.damaged("texts that are not sorted"));
            }
            texts.push(valid.into());
        }
        Ok(texts)
    }

    /// Reads what [`put_column`] wrote: `count` numbers below `end`.
    pub(crate) fn column(&mut self, count: usize, end: usize) -> Result<Vec<u32>> {
        let width = usize::from(self.u8()?);
        if !matches!(width, 1 | 2 | 4) {
            return Err(self.damaged("an unknown width of numbers"));
        }
        let bytes = self.take(count.saturating_mul(width))?;
        let number = |raw: &[u8]| raw.iter().rev().fold(0u32, |n, byte| n << 8 | u32::from(*byte));
        let numbers: Vec<u32> = bytes.chunks_exact(width).map(number).collect();
        if numbers.iter().any(|number| *number as usize >= end) {
            return Err(self.damaged("a number of something that does not exist"));
        }
        Ok(numbers)
    }

    pub(crate) fn end(&self) -> Result<()> {
        if self.at == self.bytes.len() { Ok(()) } else { Err(self.damaged("bytes behind the end")) }
    }
}

/// Shared prefixes could make few bytes claim long texts; no name or value is longer than this.
const TEXT_BYTES_MAX: usize = tsdb_core::limits::TAG_VALUE_BYTES_MAX;
