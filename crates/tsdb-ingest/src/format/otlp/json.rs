//! OTLP in JSON: a document is rewritten as the message that it stands for, which is then read like any other.
//!
//! The text is checked whole first, so what is left to go wrong is a value of another kind than its field has. As
//! the specification of OTLP says, names are in lower camel case, an unknown one is passed over, integers of 64
//! bits are numbers or texts, enumerations are numbers (their names are taken too), and ids are hexadecimal.

mod text;

use self::text::{base64, hexadecimal, of_exponent, unescaped};
use crate::Rows;
use crate::format::json::fault;
use crate::format::wire::{Kind, Schema, WireFault};

use super::Stop;

/// Bytes of a length that is written before what it counts is there: up to 2^35.
const LENGTH_BYTES: usize = 5;

/// Bytes that are made room for at once, at least.
const ROOM_BYTES_MIN: usize = 4096;

type Result<T> = std::result::Result<T, Stop>;

/// The message of `schema` that `text` stands for. Its memory is charged to `rows`.
///
/// # Errors
/// Text that is no JSON or another document; no memory for the request.
pub(super) fn to_message(text: &[u8], schema: &Schema, rows: &mut Rows) -> Result<Vec<u8>> {
    let start = super::super::after_byte_order_mark(text);
    let document = text.get(start..).unwrap_or_default();
    if let Some(fault::Fault { at, what }) = fault::first(document) {
        return Err(WireFault { at: start + at, what }.into());
    }
    let out = Out { bytes: Vec::new(), rows };
    let mut rewriter = Rewriter { text, at: start, out };
    rewriter.skip_blanks();
    rewriter.object(schema)?;
    Ok(rewriter.out.bytes)
}

/// The message so far.
struct Out<'r> {
    bytes: Vec<u8>,
    rows: &'r mut Rows,
}

impl Out<'_> {
    fn put(&mut self, bytes: &[u8]) -> Result<()> {
        let needed = self.bytes.len() + bytes.len();
        if needed > self.bytes.capacity() {
            let capacity = needed.max(self.bytes.capacity() * 2).max(ROOM_BYTES_MIN);
            self.rows.charge(capacity - self.bytes.capacity())?;
            self.bytes.reserve_exact(capacity - self.bytes.len());
        }
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    fn varint(&mut self, mut value: u64) -> Result<()> {
        let mut digits = [0_u8; 10];
        let mut count = 0;
        for digit in &mut digits {
            count += 1;
            let low = u8::try_from(value & 0x7f).unwrap_or_default();
            value >>= 7;
            *digit = if value > 0 { low | 0x80 } else { low };
            if value == 0 {
                break;
            }
        }
        self.put(digits.get(..count).unwrap_or_default())
    }

    fn key(&mut self, number: u32, wire: u32) -> Result<()> {
        self.varint(u64::from(number << 3 | wire))
    }

    /// Begins what stands behind its length; gives the place that [`Out::end`] needs.
    fn begin(&mut self, number: u32) -> Result<usize> {
        self.key(number, 2)?;
        self.put(&[0; LENGTH_BYTES])?;
        Ok(self.bytes.len())
    }

    fn end(&mut self, start: usize) {
        let mut length = self.bytes.len() - start;
        let place = self.bytes.get_mut(start - LENGTH_BYTES..start).unwrap_or_default();
        let last = place.len().saturating_sub(1);
        for (number, digit) in place.iter_mut().enumerate() {
            let low = u8::try_from(length & 0x7f).unwrap_or_default();
            length >>= 7;
            *digit = if number < last { low | 0x80 } else { low };
        }
    }
}

/// Reads a checked document from the front.
struct Rewriter<'a, 'r> {
    text: &'a [u8],
    at: usize,
    out: Out<'r>,
}

impl<'a> Rewriter<'a, '_> {
    fn byte(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn skip_blanks(&mut self) {
        while matches!(self.byte(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn wrong<T>(&self, what: &'static str) -> Result<T> {
        Err(WireFault { at: self.at, what }.into())
    }

    /// Whether `byte` comes next, which is passed over then with the blanks behind it.
    fn takes(&mut self, byte: u8) -> bool {
        let is_next = self.byte() == Some(byte);
        if is_next {
            self.at += 1;
            self.skip_blanks();
        }
        is_next
    }

    /// An object as the fields of a message, whose end is not marked.
    fn object(&mut self, schema: &Schema) -> Result<()> {
        if !self.takes(b'{') {
            return self.wrong("an object should stand here");
        }
        while !self.takes(b'}') {
            let name = self.raw_string()?;
            self.skip_blanks();
            self.takes(b':');
            let field = if name.contains(&b'\\') {
                schema.named(&unescaped(name))
            } else {
                schema.named(name)
            };
            match field {
                _ if self.text.get(self.at..).is_some_and(|rest| rest.starts_with(b"null")) => {
                    self.skip_value();
                }
                Some((number, kind)) => self.field(number, kind)?,
                None => self.skip_value(),
            }
            self.skip_blanks();
            self.takes(b',');
        }
        Ok(())
    }

    fn field(&mut self, number: u32, kind: &Kind) -> Result<()> {
        match kind {
            Kind::Messages(schema) => self.each(|this| this.message(number, schema)),
            Kind::Varints | Kind::Fixed64s | Kind::Doubles => {
                let start = self.out.begin(number)?;
                self.each(|this| match kind {
                    Kind::Varints => {
                        let value = this.integer()?;
                        this.out.varint(value)
                    }
                    Kind::Fixed64s => {
                        let value = this.integer()?;
                        this.out.put(&value.to_le_bytes())
                    }
                    _ => {
                        let value = this.double()?;
                        this.out.put(&value.to_le_bytes())
                    }
                })?;
                self.out.end(start);
                Ok(())
            }
            Kind::Message(schema) => self.message(number, schema),
            Kind::Text | Kind::Bytes | Kind::Id => {
                let raw = self.raw_string()?;
                let bytes = match kind {
                    Kind::Text if !raw.contains(&b'\\') => None,
                    Kind::Text => Some(unescaped(raw)),
                    Kind::Bytes => Some(self.decoded(base64(&unescaped(raw)), "base64")?),
                    _ => Some(self.decoded(hexadecimal(raw), "hexadecimal")?),
                };
                let bytes = bytes.as_deref().unwrap_or(raw);
                let start = self.out.begin(number)?;
                self.out.put(bytes)?;
                self.out.end(start);
                Ok(())
            }
            _ => self.number(number, kind),
        }
    }

    fn number(&mut self, number: u32, kind: &Kind) -> Result<()> {
        match kind {
            Kind::Double => {
                let value = self.double()?;
                self.out.key(number, 1)?;
                self.out.put(&value.to_le_bytes())
            }
            Kind::Fixed64 | Kind::SignedFixed64 => {
                let value = self.integer()?;
                self.out.key(number, 1)?;
                self.out.put(&value.to_le_bytes())
            }
            _ => {
                let value = match kind {
                    Kind::Bool => self.flag()?,
                    Kind::Choice(names) => self.choice(names)?,
                    Kind::ZigZag => {
                        let value = self.integer()?;
                        value << 1 ^ (value.cast_signed() >> 63).cast_unsigned()
                    }
                    _ => self.integer()?,
                };
                self.out.key(number, 0)?;
                self.out.varint(value)
            }
        }
    }

    fn message(&mut self, number: u32, schema: &Schema) -> Result<()> {
        let start = self.out.begin(number)?;
        self.object(schema)?;
        self.out.end(start);
        Ok(())
    }

    /// Calls `f` before each element of an array.
    fn each(&mut self, mut f: impl FnMut(&mut Self) -> Result<()>) -> Result<()> {
        if !self.takes(b'[') {
            return self.wrong("an array should stand here");
        }
        while !self.takes(b']') {
            f(self)?;
            self.skip_blanks();
            self.takes(b',');
        }
        Ok(())
    }

    /// What stands between the quotes of a text.
    fn raw_string(&mut self) -> Result<&'a [u8]> {
        if self.byte() != Some(b'"') {
            return self.wrong("a text should stand here");
        }
        let start = self.at + 1;
        let mut end = start;
        loop {
            let rest = self.text.get(end..).unwrap_or_default();
            match memchr::memchr2(b'"', b'\\', rest).map(|at| (end + at, rest.get(at))) {
                Some((at, Some(b'"'))) => {
                    self.at = at + 1;
                    return Ok(self.text.get(start..at).unwrap_or_default());
                }
                // With what it escapes.
                Some((at, _)) => end = at + 2,
                None => return self.wrong("this text is not closed"),
            }
        }
    }

    /// A number, or a text in which one stands.
    fn number_text(&mut self) -> Result<&'a str> {
        let start = self.at;
        let bytes = match self.byte() {
            Some(b'"') => self.raw_string()?,
            Some(b'-' | b'0'..=b'9') => {
                self.skip_value();
                self.text.get(start..self.at).unwrap_or_default()
            }
            _ => return self.wrong("a number should stand here"),
        };
        Ok(std::str::from_utf8(bytes).unwrap_or_default())
    }

    fn double(&mut self) -> Result<f64> {
        let start = self.at;
        let value = match self.number_text()? {
            "NaN" => Some(f64::NAN),
            "Infinity" => Some(f64::INFINITY),
            "-Infinity" => Some(f64::NEG_INFINITY),
            text => text.parse().ok().filter(|value: &f64| value.is_finite()),
        };
        self.found(
            start,
            value,
            "a number, \"NaN\", \"Infinity\" or \"-Infinity\" should stand here",
        )
    }

    /// An integer of 64 bits with or without a sign.
    fn integer(&mut self) -> Result<u64> {
        let start = self.at;
        let text = self.number_text()?;
        let whole = text.parse::<u64>().ok();
        let signed = || text.parse::<i64>().ok().map(i64::cast_unsigned);
        let value = whole.or_else(signed).or_else(|| of_exponent(text));
        self.found(start, value, "an integer of 64 bits should stand here")
    }

    fn flag(&mut self) -> Result<u64> {
        let start = self.at;
        self.skip_value();
        let value = match self.text.get(start..self.at).unwrap_or_default() {
            b"true" => Some(1),
            b"false" => Some(0),
            _ => None,
        };
        self.found(start, value, "true or false should stand here")
    }

    fn choice(&mut self, names: &[&str]) -> Result<u64> {
        let start = self.at;
        if self.byte() != Some(b'"') {
            return self.integer();
        }
        let name = self.raw_string()?;
        let place = names.iter().position(|known| known.as_bytes() == name);
        let value = place.and_then(|place| u64::try_from(place).ok());
        match value {
            Some(value) => Ok(value),
            None => {
                self.at = start;
                self.integer()
            }
        }
    }

    fn found<T>(&self, at: usize, value: Option<T>, what: &'static str) -> Result<T> {
        value.ok_or_else(|| WireFault { at, what }.into())
    }

    fn decoded(&self, bytes: Option<Vec<u8>>, form: &'static str) -> Result<Vec<u8>> {
        let what = match form {
            "base64" => "this text is no base64",
            _ => "this text is no hexadecimal number of whole bytes",
        };
        self.found(self.at, bytes, what)
    }

    /// Passes over a value of any kind.
    fn skip_value(&mut self) {
        let mut depth = 0_usize;
        loop {
            match self.byte() {
                Some(b'"') => {
                    if self.raw_string().is_err() {
                        self.at = self.text.len();
                    }
                }
                Some(b'{' | b'[') => {
                    depth += 1;
                    self.at += 1;
                }
                Some(b'}' | b']') => {
                    depth = depth.saturating_sub(1);
                    self.at += 1;
                }
                Some(b',' | b':' | b' ' | b'\t' | b'\n' | b'\r') => self.at += 1,
                Some(_) => {
                    let is_part = |byte: &u8| {
                        byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'+' | b'.')
                    };
                    let rest = self.text.get(self.at..).unwrap_or_default();
                    let length = rest.iter().take_while(|byte| is_part(byte)).count();
                    self.at += length.max(1);
                }
                None => return,
            }
            if depth == 0 {
                return;
            }
        }
    }
}
