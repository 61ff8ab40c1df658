//! What is wrong with text that is no JSON (RFC 8259), and where: for messages. A record that simd-json
//! has refused is read again here, byte by byte, because it does not always say where the trouble is.

use crate::limits;

/// A mistake and where it is: an offset in the text.
#[derive(Debug, PartialEq)]
pub(in crate::format) struct Fault {
    pub(in crate::format) at: usize,
    pub(in crate::format) what: &'static str,
}

/// Said of a number that no `f64` holds.
const TOO_LARGE: &str = "this number is too large: numbers go up to 1.7976931348623157e308";

/// The first mistake in `text`, which should be one value; `None` where it is one.
#[cold]
pub(in crate::format) fn first(text: &[u8]) -> Option<Fault> {
    if let Err(error) = std::str::from_utf8(text) {
        return Some(Fault { at: error.valid_up_to(), what: "invalid UTF-8" });
    }
    Walk { text, at: 0, kinds: 0, depth: 0 }.document().err()
}

/// What may come next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    Value,
    ValueOrClose,
    Name,
    NameOrClose,
    CommaOrClose,
}

struct Walk<'a> {
    text: &'a [u8],
    at: usize,
    /// One bit per open bracket, the innermost lowest: set for an object.
    kinds: u64,
    depth: usize,
}

const _: () = assert!(limits::JSON_DEPTH_MAX <= 64, "each level has a bit");

impl Walk<'_> {
    fn document(&mut self) -> Result<(), Fault> {
        let mut next = Next::Value;
        loop {
            self.skip_blanks();
            let byte = self.byte();
            next = match (next, byte) {
                (Next::CommaOrClose, None) if self.depth == 0 => return Ok(()),
                (_, None) => return self.fail("it ends too early"),
                (Next::CommaOrClose, Some(_)) if self.depth == 0 => {
                    return self.fail("it should end here");
                }
                (Next::CommaOrClose, Some(b',')) => {
                    self.at += 1;
                    if self.is_in_object() { Next::Name } else { Next::Value }
                }
                (Next::NameOrClose | Next::CommaOrClose, Some(b'}')) if self.is_in_object() => {
                    self.close()
                }
                (Next::ValueOrClose | Next::CommaOrClose, Some(b']')) if !self.is_in_object() => {
                    self.close()
                }
                (Next::CommaOrClose, Some(_)) => {
                    return self.fail("a comma or a closing bracket should stand here");
                }
                (Next::Name | Next::NameOrClose, Some(_)) => self.name()?,
                (Next::Value | Next::ValueOrClose, Some(byte)) => self.value(byte)?,
            };
        }
    }

    fn fail<T>(&self, what: &'static str) -> Result<T, Fault> {
        Err(Fault { at: self.at, what })
    }

    fn byte(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn skip_blanks(&mut self) {
        while matches!(self.byte(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn is_in_object(&self) -> bool {
        self.kinds & 1 == 1
    }

    fn open(&mut self, is_object: bool) -> Result<Next, Fault> {
        if self.depth >= limits::JSON_DEPTH_MAX {
            return self.fail("nested too deep");
        }
        self.kinds = self.kinds << 1 | u64::from(is_object);
        self.depth += 1;
        self.at += 1;
        Ok(if is_object { Next::NameOrClose } else { Next::ValueOrClose })
    }

    fn close(&mut self) -> Next {
        self.kinds >>= 1;
        self.depth -= 1;
        self.at += 1;
        Next::CommaOrClose
    }

    fn name(&mut self) -> Result<Next, Fault> {
        if self.byte() != Some(b'"') {
            return self.fail("a name in double quotes should stand here");
        }
        self.string()?;
        self.skip_blanks();
        if self.byte() != Some(b':') {
            return self.fail("a colon should stand here");
        }
        self.at += 1;
        Ok(Next::Value)
    }

    fn value(&mut self, first: u8) -> Result<Next, Fault> {
        match first {
            b'{' => return self.open(true),
            b'[' => return self.open(false),
            b'"' => self.string()?,
            b'-' | b'0'..=b'9' => self.number()?,
            _ => self.literal()?,
        }
        Ok(Next::CommaOrClose)
    }

    fn literal(&mut self) -> Result<(), Fault> {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let word =
            [&b"true"[..], b"false", b"null"].into_iter().find(|word| rest.starts_with(word));
        match word {
            Some(word) => self.at += word.len(),
            None => return self.fail("a value should stand here"),
        }
        Ok(())
    }

    fn string(&mut self) -> Result<(), Fault> {
        let start = self.at;
        self.at += 1;
        loop {
            match self.byte() {
                None => return Err(Fault { at: start, what: "this text is not closed" }),
                Some(b'"') => break,
                Some(b'\\') => self.escape()?,
                Some(0..0x20) => return self.fail("a control character stands in a text"),
                Some(_) => self.at += 1,
            }
        }
        self.at += 1;
        Ok(())
    }

    fn escape(&mut self) -> Result<(), Fault> {
        const NO_ESCAPE: &str = "this escape does not exist";
        match self.text.get(self.at + 1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.at += 2,
            Some(b'u') => {
                let Some(code) = code_unit(self.text, self.at) else { return self.fail(NO_ESCAPE) };
                let is_high = (0xd800..0xdc00).contains(&code);
                let low = if is_high { code_unit(self.text, self.at + 6) } else { None };
                if is_high != low.is_some_and(|low| (0xdc00..0xe000).contains(&low))
                    || (0xdc00..0xe000).contains(&code)
                {
                    return self.fail("half of a pair of surrogates");
                }
                self.at += if is_high { 12 } else { 6 };
            }
            _ => return self.fail(NO_ESCAPE),
        }
        Ok(())
    }

    fn number(&mut self) -> Result<(), Fault> {
        let start = self.at;
        self.at += usize::from(self.byte() == Some(b'-'));
        let first = self.byte();
        let whole = self.digits()?;
        if first == Some(b'0') && whole > 1 {
            return Err(Fault { at: start, what: "a number may not begin with a zero" });
        }
        if self.byte() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.byte(), Some(b'e' | b'E')) {
            self.at += 1;
            self.at += usize::from(matches!(self.byte(), Some(b'+' | b'-')));
            self.digits()?;
        }
        let text = std::str::from_utf8(self.text.get(start..self.at).unwrap_or_default());
        let value = text.ok().and_then(|text| text.parse::<f64>().ok());
        if value.is_some_and(f64::is_finite) {
            return Ok(());
        }
        Err(Fault { at: start, what: TOO_LARGE })
    }

    fn digits(&mut self) -> Result<usize, Fault> {
        let start = self.at;
        while self.byte().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        if self.at == start { self.fail("a digit should stand here") } else { Ok(self.at - start) }
    }
}

/// The number in the escape at `at`: a backslash, `u`, and four hexadecimal digits.
pub(in crate::format) fn code_unit(text: &[u8], at: usize) -> Option<u32> {
    let digits = text.get(at..at + 6)?.strip_prefix(b"\\u")?;
    let is_hex = digits.iter().all(u8::is_ascii_hexdigit);
    let text = std::str::from_utf8(digits).ok().filter(|_| is_hex)?;
    u32::from_str_radix(text, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_has_no_fault() {
        for text in [
            "{}",
            "[]",
            " {\"a\" : [1, -2.5e+3, true, false, null, \"x\", {}], \"b\":{\"c\":0}} \n",
            "\"\\u00e4\\ud83d\\ude00\\\"\\\\\\/\\b\\f\\n\\r\\t\"",
            "0",
            "-0.0",
            "12345678901234567890123",
        ] {
            assert_eq!(first(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn faults_have_their_place() {
        for (text, at, part) in [
            ("", 0, "too early"),
            ("{", 1, "too early"),
            ("{\"a\"", 4, "a colon"),
            ("{\"a\":", 5, "too early"),
            ("{\"a\":1", 6, "too early"),
            ("{\"a\":1,", 7, "too early"),
            ("{\"a\":1,}", 7, "a name"),
            ("{a:1}", 1, "a name"),
            ("{\"a\" 1}", 5, "a colon"),
            ("{\"a\":}", 5, "a value"),
            ("{\"a\":NaN}", 5, "a value"),
            ("{\"a\":-Infinity}", 6, "a digit"),
            ("{\"a\":1 \"b\":2}", 7, "a comma"),
            ("{\"a\":[1}", 7, "a comma"),
            ("[1,]", 3, "a value"),
            ("{}}", 2, "should end"),
            ("{} {}", 3, "should end"),
            ("{\"a\":01}", 5, "begin with a zero"),
            ("{\"a\":1.}", 7, "a digit"),
            ("{\"a\":1e}", 7, "a digit"),
            ("{\"a\":+1}", 5, "a value"),
            ("{\"a\":.5}", 5, "a value"),
            ("{\"a\":1e400}", 5, "too large"),
            ("{\"a\":\"b", 5, "not closed"),
            ("{\"a\":\"b\nc\"}", 7, "control character"),
            ("{\"a\":\"\\x\"}", 6, "escape"),
            ("{\"a\":\"\\u12g4\"}", 6, "escape"),
            ("{\"a\":\"\\ud83d\"}", 6, "surrogates"),
            ("{\"a\":\"\\ude00\"}", 6, "surrogates"),
            ("{'a':1}", 1, "a name"),
            ("tru", 0, "a value"),
        ] {
            let fault = first(text.as_bytes()).unwrap_or_else(|| panic!("{text}"));
            assert!(fault.at == at && fault.what.contains(part), "{text}: {fault:?}");
        }
        let utf8 = first(b"{\"a\":\"\xff\"}");
        assert_eq!(utf8, Some(Fault { at: 6, what: "invalid UTF-8" }));
        let deep = first("[".repeat(100_000).as_bytes()).unwrap();
        assert_eq!((deep.at, deep.what), (limits::JSON_DEPTH_MAX, "nested too deep"));
    }
}
