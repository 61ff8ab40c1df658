//! The wire format of protocol buffers: a reader over bytes that borrows and never allocates, and a check of
//! messages of which nothing is kept.
//!
//! It accepts what `prost` accepts, field by field: unknown fields are passed over, groups among them as deep
//! as [`DEPTH_MAX`]; a known field of another wire type, text that is not UTF-8 and whatever does not end where
//! it says are errors. Not here: what messages mean.

/// Deepest nesting of messages and groups, which is that of `prost`.
pub(super) const DEPTH_MAX: u32 = 100;

/// What is wrong with a message, and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct WireFault {
    /// Offset in the input, from 0.
    pub(super) at: usize,
    pub(super) what: &'static str,
}

type Result<T> = std::result::Result<T, WireFault>;

/// How a field is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WireType {
    Varint,
    Fixed64,
    Block,
    GroupStart,
    GroupEnd,
    Fixed32,
}

/// Reads a message from the front. Places are those in the whole input, also inside of a message in a message.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reader<'a> {
    /// The input up to the end of the message.
    input: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    /// A message that is the whole of `input`.
    pub(super) fn new(input: &'a [u8]) -> Reader<'a> {
        Reader { input, at: 0 }
    }

    /// Where the next field begins.
    #[inline]
    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// Where the message ends.
    #[inline]
    pub(super) fn end(&self) -> usize {
        self.input.len()
    }

    #[inline]
    pub(super) fn is_at_end(&self) -> bool {
        self.at >= self.input.len()
    }

    /// What is left of the message.
    #[inline]
    pub(super) fn rest(&self) -> &'a [u8] {
        self.input.get(self.at..).unwrap_or_default()
    }

    /// Passes over bytes that the caller has looked at.
    #[inline]
    pub(super) fn advance(&mut self, bytes: usize) {
        self.at = self.at.saturating_add(bytes).min(self.input.len());
    }

    fn fault(&self, what: &'static str) -> WireFault {
        WireFault { at: self.at, what }
    }

    #[inline]
    pub(super) fn varint(&mut self) -> Result<u64> {
        match self.input.get(self.at) {
            Some(byte) if *byte < 0x80 => {
                self.at += 1;
                Ok(u64::from(*byte))
            }
            _ => self.long_varint(),
        }
    }

    fn long_varint(&mut self) -> Result<u64> {
        let mut value = 0_u64;
        for (place, byte) in (0_u32..10).zip(self.rest()) {
            value |= u64::from(byte & 0x7f) << (7 * place);
            if *byte < 0x80 {
                // The tenth byte holds the last of 64 bits.
                if place == 9 && *byte > 1 {
                    break;
                }
                self.at += place as usize + 1;
                return Ok(value);
            }
        }
        Err(self.fault("an integer that does not end"))
    }

    /// Number and wire type of the next field.
    #[inline]
    pub(super) fn key(&mut self) -> Result<(u32, WireType)> {
        let start = self.at;
        let fault = |what| WireFault { at: start, what };
        let key = self.varint()?;
        let key = u32::try_from(key).map_err(|_| fault("a field whose number is too large"))?;
        let wire = match key & 7 {
            0 => WireType::Varint,
            1 => WireType::Fixed64,
            2 => WireType::Block,
            3 => WireType::GroupStart,
            4 => WireType::GroupEnd,
            5 => WireType::Fixed32,
            _ => return Err(fault("a field of no known wire type")),
        };
        match key >> 3 {
            0 => Err(fault("a field with the number 0")),
            number => Ok((number, wire)),
        }
    }

    /// Refuses a known field that is written as something else.
    #[inline]
    pub(super) fn expect(&self, found: WireType, expected: WireType) -> Result<()> {
        if found == expected { Ok(()) } else { Err(self.fault("a field of the wrong wire type")) }
    }

    #[inline]
    pub(super) fn fixed64(&mut self) -> Result<u64> {
        match self.rest().first_chunk::<8>() {
            Some(bytes) => {
                self.at += 8;
                Ok(u64::from_le_bytes(*bytes))
            }
            None => Err(self.fault("a number that is cut off")),
        }
    }

    /// The message, text or list behind its length.
    #[inline]
    pub(super) fn block(&mut self) -> Result<Reader<'a>> {
        let start = self.at;
        let bytes = self.varint()?;
        let end = usize::try_from(bytes).ok().and_then(|bytes| self.at.checked_add(bytes));
        let inner = end.and_then(|end| self.input.get(..end));
        let Some(input) = inner else {
            return Err(WireFault { at: start, what: "a length beyond the end" });
        };
        let block = Reader { input, at: self.at };
        self.at = input.len();
        Ok(block)
    }

    pub(super) fn text(&mut self) -> Result<&'a str> {
        let block = self.block()?;
        std::str::from_utf8(block.rest()).map_err(|error| WireFault {
            at: block.at + error.valid_up_to(),
            what: "text that is not UTF-8",
        })
    }

    /// Passes over an unknown field. `depth` is how many levels may still follow.
    pub(super) fn skip(&mut self, number: u32, wire: WireType, depth: u32) -> Result<()> {
        if depth == 0 {
            return Err(self.fault("a group that is nested too deep"));
        }
        let bytes = match wire {
            WireType::Varint => return self.varint().map(drop),
            WireType::Block => return self.block().map(drop),
            WireType::Fixed64 => 8,
            WireType::Fixed32 => 4,
            WireType::GroupStart => return self.skip_group(number, depth - 1),
            WireType::GroupEnd => return Err(self.fault("the end of a group that never began")),
        };
        if self.rest().len() < bytes {
            return Err(self.fault("a number that is cut off"));
        }
        self.at += bytes;
        Ok(())
    }

    fn skip_group(&mut self, number: u32, depth: u32) -> Result<()> {
        loop {
            let start = self.at;
            match self.key()? {
                (inner, WireType::GroupEnd) if inner == number => return Ok(()),
                (_, WireType::GroupEnd) => {
                    return Err(WireFault { at: start, what: "the end of another group" });
                }
                (inner, wire) => self.skip(inner, wire, depth)?,
            }
        }
    }
}

/// What a field of a checked message holds. Several are the same on the wire and differ in JSON.
#[derive(Debug)]
pub(super) enum Kind {
    /// An integer of any width.
    Varint,
    Bool,
    /// An integer whose sign is its lowest bit.
    ZigZag,
    /// One of several names, numbered from 0.
    Choice(&'static [&'static str]),
    Fixed64,
    SignedFixed64,
    Double,
    Text,
    Bytes,
    /// Bytes that JSON writes as hexadecimal digits.
    Id,
    /// A list, packed or not.
    Varints,
    /// A list, packed or not.
    Fixed64s,
    /// A list, packed or not.
    Doubles,
    Message(&'static Schema),
    /// A list.
    Messages(&'static Schema),
}

/// The known fields of a message, by number.
#[derive(Debug)]
pub(super) struct Schema {
    pub(super) fields: &'static [(u32, Kind)],
    /// What the fields are called in JSON, in the same order; empty where a message has no such form.
    pub(super) names: &'static [&'static str],
}

impl Schema {
    /// A message without a form in JSON.
    pub(super) const fn unnamed(fields: &'static [(u32, Kind)]) -> Schema {
        Schema { fields, names: &[] }
    }

    fn kind(&self, number: u32) -> Option<&'static Kind> {
        let fields: &'static [(u32, Kind)] = self.fields;
        fields.iter().find(|(known, _)| *known == number).map(|(_, kind)| kind)
    }

    /// The field that JSON calls `name`.
    pub(super) fn named(&self, name: &[u8]) -> Option<(u32, &'static Kind)> {
        let fields: &'static [(u32, Kind)] = self.fields;
        let mut named = self.names.iter().zip(fields);
        let (_, (number, kind)) = named.find(|(known, _)| known.as_bytes() == name)?;
        Some((*number, kind))
    }
}

/// Reads a message to its end and keeps nothing. `depth` is how many levels may still follow.
///
/// # Errors
/// The first thing that is wrong with it.
pub(super) fn check(mut message: Reader<'_>, schema: &Schema, depth: u32) -> Result<()> {
    while !message.is_at_end() {
        let (number, wire) = message.key()?;
        match schema.kind(number) {
            Some(kind) => check_field(&mut message, wire, kind, depth)?,
            None => message.skip(number, wire, depth)?,
        }
    }
    Ok(())
}

/// Reads a known field behind its key.
fn check_field(message: &mut Reader<'_>, wire: WireType, kind: &Kind, depth: u32) -> Result<()> {
    match (kind, wire) {
        (Kind::Varints, WireType::Block) => {
            let mut list = message.block()?;
            while !list.is_at_end() {
                list.varint()?;
            }
        }
        (Kind::Fixed64s | Kind::Doubles, WireType::Block) => {
            let mut list = message.block()?;
            while !list.is_at_end() {
                list.fixed64()?;
            }
        }
        (Kind::Varint | Kind::Bool | Kind::ZigZag | Kind::Choice(_) | Kind::Varints, _) => {
            message.expect(wire, WireType::Varint)?;
            message.varint()?;
        }
        (
            Kind::Fixed64 | Kind::SignedFixed64 | Kind::Double | Kind::Fixed64s | Kind::Doubles,
            _,
        ) => {
            message.expect(wire, WireType::Fixed64)?;
            message.fixed64()?;
        }
        (Kind::Text, _) => {
            message.expect(wire, WireType::Block)?;
            message.text()?;
        }
        (Kind::Bytes | Kind::Id, _) => {
            message.expect(wire, WireType::Block)?;
            message.block()?;
        }
        (Kind::Message(inner) | Kind::Messages(inner), _) => {
            message.expect(wire, WireType::Block)?;
            let Some(depth) = depth.checked_sub(1) else {
                return Err(message.fault("a message that is nested too deep"));
            };
            check(message.block()?, inner, depth)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn varint(bytes: &[u8]) -> std::result::Result<(u64, usize), &'static str> {
        let mut reader = Reader::new(bytes);
        let value = reader.varint().map_err(|fault| fault.what)?;
        Ok((value, reader.at()))
    }

    #[test]
    fn integers_end_within_64_bits() {
        let endless = Err("an integer that does not end");
        for (bytes, expected) in [
            (&[0][..], Ok((0, 1))),
            (&[0x7f, 1], Ok((127, 1))),
            (&[0x80, 0], Ok((0, 2))),
            (&[0xac, 2], Ok((300, 2))),
            (&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1], Ok((u64::MAX, 10))),
            (&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2], endless),
            (&[0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0], endless),
            (&[], endless),
            (&[0x80], endless),
        ] {
            assert_eq!(varint(bytes), expected, "{bytes:?}");
        }
    }

    #[test]
    fn fields_that_no_message_has_are_named_with_their_place() {
        let skip = |bytes: &[u8]| {
            let mut reader = Reader::new(bytes);
            while !reader.is_at_end() {
                let (number, wire) = reader.key()?;
                reader.skip(number, wire, 3)?;
            }
            Ok(())
        };
        let fault = |at, what| Err(WireFault { at, what });
        for (bytes, expected) in [
            (&b"\x08\x01\x11abcdefgh\x1a\x02hi\x25abcd"[..], Ok(())),
            (b"\x0b\x08\x01\x13\x14\x0c", Ok(())),
            (b"\x0b\x0b\x0b\x0c\x0c\x0c", Ok(())),
            (b"\x0b\x0b\x0b\x0b\x0c\x0c", fault(4, "a group that is nested too deep")),
            (b"\x0b\x14", fault(1, "the end of another group")),
            (b"\x0c", fault(1, "the end of a group that never began")),
            (b"\x0b", fault(1, "an integer that does not end")),
            (b"\x08\x01\x00", fault(2, "a field with the number 0")),
            (b"\x0f", fault(0, "a field of no known wire type")),
            (b"\xff\xff\xff\xff\x7f", fault(0, "a field whose number is too large")),
            (b"\x1a\x03hi", fault(1, "a length beyond the end")),
            (b"\x11abcdefg", fault(1, "a number that is cut off")),
            (b"\x25abc", fault(1, "a number that is cut off")),
        ] {
            assert_eq!(skip(bytes), expected, "{bytes:?}");
        }
    }

    #[test]
    fn known_fields_are_what_the_schema_says() {
        const INNER: Schema = Schema::unnamed(&[(1, Kind::Varint), (2, Kind::Text)]);
        const OUTER: Schema =
            Schema::unnamed(&[(1, Kind::Message(&INNER)), (2, Kind::Varints), (3, Kind::Fixed64s)]);
        for (bytes, what) in [
            (
                &b"\x0a\x05\x08\x07\x12\x01x\x10\x01\x12\x02\x01\x02\x19abcdefgh\x1a\x08abcdefgh"[..],
                "",
            ),
            (b"\x0a\x02\x08\x80\x08", "an integer that does not end"),
            (b"\x0a\x03\x12\x01\xff", "text that is not UTF-8"),
            (b"\x0a\x02\x10\x01", "a field of the wrong wire type"),
            (b"\x08\x01", "a field of the wrong wire type"),
            (b"\x1a\x07abcdefg", "a number that is cut off"),
            (b"\x12\x01\x80", "an integer that does not end"),
            (b"\x15abcd", "a field of the wrong wire type"),
        ] {
            let outcome = check(Reader::new(bytes), &OUTER, DEPTH_MAX);
            assert_eq!(outcome.map_err(|fault| fault.what).err().unwrap_or(""), what, "{bytes:?}");
        }
    }
}
