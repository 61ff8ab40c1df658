//! Attributes as labels: the texts of their values, and what becomes of names that meet.
//!
//! What is read here was checked before, so that a fault only ends the reading.

use std::fmt::Write as _;

use super::naming::Naming;
use crate::format::remote_write::labels;
use crate::format::wire::Reader;
use crate::{Reason, limits};

/// A label.
pub(super) type Label = (String, String);

/// Put before the name of a label that is taken, as Prometheus does it when it scrapes.
pub(super) const EXPORTED: &str = "exported_";

/// The blocks of the field `number`.
pub(super) fn fields<'a>(
    mut message: Reader<'a>,
    number: u32,
) -> impl Iterator<Item = Reader<'a>> + Clone {
    std::iter::from_fn(move || {
        while !message.is_at_end() {
            let (found, wire) = message.key().ok()?;
            if found == number {
                return message.block().ok();
            }
            message.skip(found, wire, crate::format::wire::DEPTH_MAX).ok()?;
        }
        None
    })
}

/// Key and value of an attribute.
pub(super) fn pair(mut message: Reader<'_>) -> (&str, Option<Reader<'_>>) {
    let (mut key, mut value) = ("", None);
    while !message.is_at_end() {
        let Ok((number, wire)) = message.key() else { break };
        let is_read = match number {
            1 => message.text().map(|text| key = text),
            2 => message.block().map(|block| value = Some(block)),
            _ => message.skip(number, wire, crate::format::wire::DEPTH_MAX),
        };
        if is_read.is_err() {
            break;
        }
    }
    (key, value)
}

/// What a value is.
enum Value<'a> {
    None,
    Text(&'a str),
    Bool(bool),
    Integer(i64),
    Double(f64),
    Array(Reader<'a>),
    List(Reader<'a>),
    Bytes(&'a [u8]),
}

/// The last value of those that stand in a message.
fn value(mut message: Reader<'_>) -> Value<'_> {
    let mut value = Value::None;
    while !message.is_at_end() {
        let Ok((number, wire)) = message.key() else { break };
        let next = match number {
            1 => message.text().map(Value::Text),
            2 => message.varint().map(|bits| Value::Bool(bits != 0)),
            3 => message.varint().map(|bits| Value::Integer(bits.cast_signed())),
            4 => message.fixed64().map(|bits| Value::Double(f64::from_bits(bits))),
            5 => message.block().map(Value::Array),
            6 => message.block().map(Value::List),
            7 => message.block().map(|block| Value::Bytes(block.rest())),
            _ => {
                if message.skip(number, wire, crate::format::wire::DEPTH_MAX).is_err() {
                    break;
                }
                continue;
            }
        };
        match next {
            Ok(next) => value = next,
            Err(_) => break,
        }
    }
    value
}

/// A value as the text of a label: texts as they are, lists as JSON.
pub(super) fn text_of(message: Option<Reader<'_>>) -> String {
    match message.map_or(Value::None, value) {
        Value::None => String::new(),
        Value::Text(text) => text.to_owned(),
        Value::Double(number) => number_text(number),
        Value::Bytes(bytes) => base64(bytes),
        other => {
            let mut out = String::new();
            put_json(&mut out, other);
            out
        }
    }
}

fn put_json(out: &mut String, found: Value<'_>) {
    match found {
        Value::None => out.push_str("null"),
        Value::Text(text) => put_json_text(out, text),
        Value::Bool(flag) => out.push_str(if flag { "true" } else { "false" }),
        Value::Integer(number) => {
            let _ = write!(out, "{number}");
        }
        Value::Double(number) if number.is_finite() => out.push_str(&number_text(number)),
        Value::Double(number) => put_json_text(out, &number_text(number)),
        Value::Bytes(bytes) => put_json_text(out, &base64(bytes)),
        Value::Array(array) => {
            out.push('[');
            for (place, inner) in fields(array, 1).enumerate() {
                out.push_str(if place > 0 { "," } else { "" });
                put_json(out, value(inner));
            }
            out.push(']');
        }
        Value::List(list) => {
            out.push('{');
            for (place, inner) in fields(list, 1).enumerate() {
                out.push_str(if place > 0 { "," } else { "" });
                let (key, inner) = pair(inner);
                put_json_text(out, key);
                out.push(':');
                put_json(out, inner.map_or(Value::None, value));
            }
            out.push('}');
        }
    }
}

fn put_json_text(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\0'..'\u{20}' => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

/// A number in its shortest form, without an exponent unless it would get long; infinities as PromQL writes
/// them.
pub(super) fn number_text(number: f64) -> String {
    const PLAIN_CHARS_MAX: usize = 24;
    if number.is_infinite() {
        return if number > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    let plain = format!("{number}");
    if plain.len() > PLAIN_CHARS_MAX { format!("{number:e}") } else { plain }
}

/// RFC 4648, with padding.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let bits = group.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte));
        let bits = bits << (8 * (3 - group.len()));
        for place in 0..4 {
            let digit = DIGITS.get((bits >> (18 - 6 * place) & 63) as usize);
            out.push(match digit {
                Some(digit) if place <= group.len() => char::from(*digit),
                _ => '=',
            });
        }
    }
    out
}

/// The labels for attributes. A name that is `taken` gets [`EXPORTED`] in front; attributes whose names become
/// one share a label, in the order of their keys, with a semicolon between the values. An empty value is no
/// label.
///
/// # Errors
/// An attribute without a key; more of them than a series can have.
pub(super) fn labels_of<'a>(
    attributes: impl Iterator<Item = Reader<'a>>,
    strategy: Naming,
    taken: impl Fn(&str) -> bool,
) -> Result<Vec<Label>, Reason> {
    let mut pairs: Vec<(&str, Option<Reader<'_>>)> = Vec::new();
    let mut count = 0_u64;
    for attribute in attributes {
        count += 1;
        if pairs.len() < limits::LABELS_MAX {
            pairs.push(pair(attribute));
        }
    }
    if count > pairs.len() as u64 {
        return Err(labels::too_many(count));
    }
    pairs.sort_by_key(|(key, _)| *key);
    if pairs.first().is_some_and(|(key, _)| key.is_empty()) {
        return Err(Reason::EmptyLabelName);
    }
    let mut found: Vec<Label> = Vec::with_capacity(pairs.len());
    for (key, value) in pairs {
        let text = text_of(value);
        if text.is_empty() {
            continue;
        }
        let mut name = strategy.label(key);
        while taken(&name) {
            name.insert_str(0, EXPORTED);
        }
        match found.iter_mut().find(|(known, _)| *known == name) {
            Some((_, texts)) => {
                texts.push(';');
                texts.push_str(&text);
            }
            None => found.push((name, text)),
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use prost::Message;

    use super::*;
    use crate::format::otlp::messages::{AnyValue, ArrayValue, KeyValue, KeyValueList, any};

    fn key_value(key: &str, value: any::Value) -> KeyValue {
        KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }) }
    }

    fn text(value: &str) -> any::Value {
        any::Value::String(value.to_owned())
    }

    fn shown(value: any::Value) -> String {
        let bytes = AnyValue { value: Some(value) }.encode_to_vec();
        text_of(Some(Reader::new(&bytes)))
    }

    #[test]
    fn values_have_texts() {
        let list = KeyValueList {
            values: vec![
                key_value("a\"\n", any::Value::Double(f64::NAN)),
                KeyValue { key: "b".to_owned(), value: None },
            ],
        };
        let array = ArrayValue {
            values: vec![
                AnyValue { value: Some(text("ä\\\u{1}")) },
                AnyValue { value: Some(any::Value::Int(-1)) },
                AnyValue { value: Some(any::Value::List(list)) },
                AnyValue { value: Some(any::Value::Bytes(b"ab".to_vec())) },
                AnyValue { value: Some(any::Value::Bool(false)) },
                AnyValue { value: Some(any::Value::Double(0.5)) },
            ],
        };
        for (value, expected) in [
            (text("x\ny"), "x\ny"),
            (any::Value::Bool(true), "true"),
            (any::Value::Int(i64::MIN), "-9223372036854775808"),
            (any::Value::Double(1.0), "1"),
            (any::Value::Double(0.25), "0.25"),
            (any::Value::Double(1e300), "1e300"),
            (any::Value::Double(-1e-30), "-1e-30"),
            (any::Value::Double(f64::NAN), "NaN"),
            (any::Value::Double(f64::INFINITY), "+Inf"),
            (any::Value::Double(f64::NEG_INFINITY), "-Inf"),
            (any::Value::Bytes(b"f".to_vec()), "Zg=="),
            (any::Value::Bytes(b"fo".to_vec()), "Zm8="),
            (any::Value::Bytes(b"foob\xff".to_vec()), "Zm9vYv8="),
            (any::Value::Bytes(b"foobar".to_vec()), "Zm9vYmFy"),
            (
                any::Value::Array(array),
                r#"["ä\\\u0001",-1,{"a\"\n":"NaN","b":null},"YWI=",false,0.5]"#,
            ),
        ] {
            assert_eq!(shown(value), expected);
        }
    }

    #[test]
    fn names_that_meet_share_a_label_and_taken_ones_step_aside() {
        let attributes = [
            key_value("a.b", text("2")),
            key_value("a-b", text("1")),
            key_value("job", text("mine")),
            key_value("exported_job", text("other")),
            key_value("empty", text("")),
            key_value("c", text("x")),
        ];
        let bytes: Vec<Vec<u8>> = attributes.iter().map(Message::encode_to_vec).collect();
        let readers = || bytes.iter().map(|bytes| Reader::new(bytes));
        let of = |strategy| labels_of(readers(), strategy, |name| name == "job").unwrap();
        let owned = |pairs: &[(&str, &str)]| -> Vec<Label> {
            pairs.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()
        };
        assert_eq!(
            of(Naming::default()),
            owned(&[("a_b", "1;2"), ("c", "x"), ("exported_job", "other;mine")])
        );
        assert_eq!(
            of(Naming::NoTranslation),
            owned(&[("a-b", "1"), ("a.b", "2"), ("c", "x"), ("exported_job", "other;mine")])
        );
        let nameless = key_value("", text("x")).encode_to_vec();
        let refused =
            labels_of(std::iter::once(Reader::new(&nameless)), Naming::default(), |_| false);
        assert_eq!(refused, Err(Reason::EmptyLabelName));
        let many = std::iter::repeat_n(Reader::new(&bytes[0]), limits::LABELS_MAX + 1);
        let refused = labels_of(many, Naming::default(), |_| false);
        assert_eq!(refused, Err(labels::too_many(limits::LABELS_MAX as u64 + 1)));
    }
}
