//! Reading and writing of small binary records: integers, varints and strings in a growing buffer, and
//! their defensive counterpart, which turns any malformed input into a described refusal.

/// Where and why bytes do not decode.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Malformed {
    /// Offset in the record.
    pub at: usize,
    /// What does not fit.
    pub what: &'static str,
}

#[expect(clippy::cast_possible_truncation, reason = "the low seven bits are what is written")]
pub(crate) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value as u8 & 0x7f) | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

pub(crate) fn put_i64(out: &mut Vec<u8>, value: i64) {
    out.extend_from_slice(&value.to_le_bytes());
}

pub(crate) fn put_u64(out: &mut Vec<u8>, value: u64) {
    out.extend_from_slice(&value.to_le_bytes());
}

pub(crate) fn put_str(out: &mut Vec<u8>, text: &str) {
    put_varint(out, text.len() as u64);
    out.extend_from_slice(text.as_bytes());
}

pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader { bytes, at: 0 }
    }

    pub(crate) fn malformed(&self, what: &'static str) -> Malformed {
        Malformed { at: self.at, what }
    }

    /// Offset of what is read next.
    pub(crate) fn position(&self) -> usize {
        self.at
    }

    pub(crate) fn take(&mut self, count: usize) -> Result<&'a [u8], Malformed> {
        let end = self.at.checked_add(count);
        let taken = end.and_then(|end| self.bytes.get(self.at..end));
        let taken = taken.ok_or_else(|| self.malformed("the bytes end early"))?;
        self.at += count;
        Ok(taken)
    }

    fn fixed<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let mut raw = [0; N];
        raw.copy_from_slice(self.take(N)?);
        Ok(raw)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, Malformed> {
        Ok(u8::from_le_bytes(self.fixed()?))
    }

    pub(crate) fn u32(&mut self) -> Result<u32, Malformed> {
        Ok(u32::from_le_bytes(self.fixed()?))
    }

    pub(crate) fn u64(&mut self) -> Result<u64, Malformed> {
        Ok(u64::from_le_bytes(self.fixed()?))
    }

    pub(crate) fn i64(&mut self) -> Result<i64, Malformed> {
        Ok(i64::from_le_bytes(self.fixed()?))
    }

    pub(crate) fn bytes16(&mut self) -> Result<[u8; 16], Malformed> {
        self.fixed()
    }

    pub(crate) fn varint(&mut self) -> Result<u64, Malformed> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.u8()?;
            let low = u64::from(byte & 0x7f);
            if shift == 63 && low > 1 {
                return Err(self.malformed("a varint above 64 bits"));
            }
            value |= low << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(self.malformed("a varint of more than ten bytes"))
    }

    pub(crate) fn varint_u32(&mut self) -> Result<u32, Malformed> {
        let value = self.varint()?;
        u32::try_from(value).map_err(|_| self.malformed("a number above 32 bits"))
    }

    /// A number of records that follow, each of at least `bytes_min` bytes, so that nobody allocates for
    /// more records than the input can hold.
    pub(crate) fn count(&mut self, bytes_min: usize) -> Result<usize, Malformed> {
        let count = self.varint()?;
        let rest = self.bytes.len() - self.at;
        match usize::try_from(count) {
            Ok(count) if count.saturating_mul(bytes_min.max(1)) <= rest => Ok(count),
            _ => Err(self.malformed("a count that the bytes cannot hold")),
        }
    }

    pub(crate) fn str(&mut self) -> Result<&'a str, Malformed> {
        let length = self.count(1)?;
        let raw = self.take(length)?;
        std::str::from_utf8(raw).map_err(|_| self.malformed("text that is not UTF-8"))
    }

    /// The bytes that are still to be read.
    pub(crate) fn ahead(&self) -> &'a [u8] {
        self.bytes.get(self.at..).unwrap_or(&[])
    }

    /// Reads all bytes that are left.
    pub(crate) fn rest(&mut self) -> &'a [u8] {
        let rest = self.bytes.get(self.at..).unwrap_or(&[]);
        self.at = self.bytes.len();
        rest
    }

    pub(crate) fn end(&self) -> Result<(), Malformed> {
        if self.at == self.bytes.len() {
            Ok(())
        } else {
            Err(self.malformed("bytes behind the end"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn numbers_and_text_come_back(a in any::<u64>(), b in any::<i64>(), text in ".{0,40}") {
            let mut out = Vec::new();
            put_varint(&mut out, a);
            put_i64(&mut out, b);
            put_str(&mut out, &text);
            let mut reader = Reader::new(&out);
            prop_assert_eq!(reader.varint(), Ok(a));
            prop_assert_eq!(reader.i64(), Ok(b));
            prop_assert_eq!(reader.str(), Ok(text.as_str()));
            prop_assert_eq!(reader.end(), Ok(()));
            for cut in 0..out.len() {
                let mut reader = Reader::new(&out[..cut]);
                let all = reader.varint().and_then(|_| reader.i64()).and_then(|_| reader.str().map(|_| ()));
                prop_assert!(all.is_err());
            }
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..30)) {
            let mut reader = Reader::new(&bytes);
            while reader.varint().is_ok() {}
            let mut reader = Reader::new(&bytes);
            while reader.str().is_ok_and(|s| !s.is_empty()) {}
        }
    }
}
