//! JSON, appended to a byte buffer: the pieces that handlers put together, and indentation.
//!
//! Responses have few shapes and many numbers, so they are written directly; a document tree in between
//! would cost an allocation per value. Not here: numbers and times (`number.rs`), the shape of query
//! results (`results.rs`).

use tsdb_exec::Result;

use super::output::Output;

/// Appends `{"error":"…"}` and a line feed, the body of every refusal.
pub fn push_error(out: &mut Vec<u8>, message: &str) {
    out.extend_from_slice(b"{\"error\":");
    push_string(out, message);
    out.extend_from_slice(b"}\n");
}

/// Appends a string with its quotes. Control characters, quotes and backslashes are escaped; everything
/// else stands as it is.
pub fn push_string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    let bytes = text.as_bytes();
    // Most have none, which a look at all of them without a branch tells soonest.
    let is_special = |byte: u8| byte < 0x20 || matches!(byte, b'"' | b'\\' | 0x7f);
    if !bytes.iter().fold(false, |found, byte| found | is_special(*byte)) {
        out.extend_from_slice(bytes);
        out.push(b'"');
        return;
    }
    let mut done = 0;
    for (at, byte) in bytes.iter().enumerate() {
        let escape: &[u8] = match byte {
            b'"' => b"\\\"",
            b'\\' => b"\\\\",
            b'\n' => b"\\n",
            b'\r' => b"\\r",
            b'\t' => b"\\t",
            0..0x20 | 0x7f => b"",
            _ => continue,
        };
        out.extend_from_slice(bytes.get(done..at).unwrap_or_default());
        done = at + 1;
        if escape.is_empty() {
            out.extend_from_slice(b"\\u00");
            out.push(hex_digit(byte >> 4));
            out.push(hex_digit(byte & 0xf));
        } else {
            out.extend_from_slice(escape);
        }
    }
    out.extend_from_slice(bytes.get(done..).unwrap_or_default());
    out.push(b'"');
}

fn hex_digit(value: u8) -> u8 {
    match value {
        0..10 => b'0' + value,
        _ => b'a' + value - 10,
    }
}

/// Appends `items` with commas between them, each written by `push`.
pub fn push_list<T>(
    out: &mut Vec<u8>,
    items: impl IntoIterator<Item = T>,
    mut push: impl FnMut(&mut Vec<u8>, T),
) {
    out.push(b'[');
    for (at, item) in items.into_iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        push(out, item);
    }
    out.push(b']');
}

/// Appends the document `compact`, which has no blanks outside of strings, laid out as Go's `MarshalIndent`
/// does with four blanks: every member and element on a line of its own, empty ones as `{}` and `[]`. O(n).
///
/// # Errors
/// See [`Output::room`].
pub fn indent(compact: &[u8], to: &mut Output) -> Result<()> {
    let mut depth = 0_usize;
    let mut bytes = compact.iter().copied().peekable();
    let mut in_string = false;
    while let Some(byte) = bytes.next() {
        to.room()?;
        let out = &mut to.bytes;
        if in_string {
            out.push(byte);
            match byte {
                b'\\' => out.extend(bytes.next()),
                b'"' => in_string = false,
                _ => {}
            }
            continue;
        }
        match byte {
            b'{' | b'[' => {
                out.push(byte);
                if let Some(close) = bytes.next_if(|next| matches!(next, b'}' | b']')) {
                    out.push(close);
                } else {
                    depth += 1;
                    break_line(out, depth);
                }
            }
            b'}' | b']' => {
                depth = depth.saturating_sub(1);
                break_line(out, depth);
                out.push(byte);
            }
            b',' => {
                out.push(byte);
                break_line(out, depth);
            }
            b':' => out.extend_from_slice(b": "),
            _ => {
                in_string = byte == b'"';
                out.push(byte);
            }
        }
    }
    Ok(())
}

fn break_line(out: &mut Vec<u8>, depth: usize) {
    out.push(b'\n');
    out.extend(std::iter::repeat_n(b' ', depth * 4));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encode::output::testing::written;
    use proptest::prelude::*;

    fn indented(compact: &[u8]) -> Vec<u8> {
        written(|out| indent(compact, out))
    }

    fn string(text: &str) -> String {
        let mut out = Vec::new();
        push_string(&mut out, text);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn strings_are_escaped() {
        for (text, expected) in [
            ("", r#""""#),
            ("plain", r#""plain""#),
            ("a\"b\\c", r#""a\"b\\c""#),
            ("line\nfeed\r\t", r#""line\nfeed\r\t""#),
            ("\u{0}\u{1f}\u{7f}", r#""\u0000\u001f\u007f""#),
            ("ä∕🙂", r#""ä∕🙂""#),
        ] {
            assert_eq!(string(text), expected, "{text:?}");
        }
    }

    #[test]
    fn documents_are_laid_out_as_go_does() {
        let compact = br#"{"a":[1,{"b":"x:,{\"y"},[]],"c":{},"d":null}"#;
        let expected = "{\n    \"a\": [\n        1,\n        {\n            \"b\": \"x:,{\\\"y\"\n        },\n        []\n    ],\n    \"c\": {},\n    \"d\": null\n}";
        assert_eq!(String::from_utf8(indented(compact)).unwrap(), expected);
    }

    #[test]
    fn lists() {
        let mut out = Vec::new();
        push_list(&mut out, ["a", "b"], push_string);
        push_list(&mut out, [], |_, item: u8| unreachable!("{item}"));
        assert_eq!(out, br#"["a","b"][]"#);
    }

    proptest! {
        #[test]
        fn strings_read_back(text in any::<String>()) {
            prop_assert_eq!(serde_json::from_str::<String>(&string(&text)).unwrap(), text);
        }

        #[test]
        fn indentation_changes_nothing_but_blanks(text in any::<String>(), n in any::<i32>()) {
            let value = serde_json::json!({ "k": [text, n, {}, [[]], {"x": null}] });
            let compact = serde_json::to_vec(&value).unwrap();
            let back: serde_json::Value = serde_json::from_slice(&indented(&compact)).unwrap();
            prop_assert_eq!(back, value);
        }
    }
}
