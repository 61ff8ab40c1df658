//! Backslashes in names. Text of string fields has escapes of its own and is never unescaped, since it
//! is not stored.

use std::borrow::Cow;

/// Characters that a backslash escapes in measurements and field names.
pub(super) const NAME: &[u8] = b",\" =";

/// Characters that a backslash escapes in tag keys and values.
pub(super) const TAG: &[u8] = b", =";

/// `raw` without the backslashes before `special` characters; any other backslash stands for itself.
pub(super) fn unescape<'a>(raw: &'a str, special: &[u8]) -> Cow<'a, str> {
    let mut rest = raw;
    let mut plain = String::new();
    while let Some(at) = next_escape(rest.as_bytes(), special) {
        // Both bytes are ASCII, so the cuts lie between characters.
        let (front, behind) = rest.split_at(at);
        plain.push_str(front);
        let (special, behind) = behind.split_at(1).1.split_at(1);
        plain.push_str(special);
        rest = behind;
    }
    if rest.len() == raw.len() {
        return Cow::Borrowed(raw);
    }
    plain.push_str(rest);
    Cow::Owned(plain)
}

fn next_escape(text: &[u8], special: &[u8]) -> Option<usize> {
    memchr::memchr_iter(b'\\', text)
        .find(|at| text.get(at + 1).is_some_and(|next| special.contains(next)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_special_characters_lose_their_backslash() {
        for (raw, name, tag) in [
            ("cpu", "cpu", "cpu"),
            ("a\\,b\\ c\\=d", "a,b c=d", "a,b c=d"),
            ("a\\\"b", "a\"b", "a\\\"b"),
            ("a\\\\b\\n\\", "a\\\\b\\n\\", "a\\\\b\\n\\"),
            ("a\\\\,b", "a\\,b", "a\\,b"),
            ("ä\\ ö", "ä ö", "ä ö"),
            ("", "", ""),
        ] {
            assert_eq!(unescape(raw, NAME), name, "{raw}");
            assert_eq!(unescape(raw, TAG), tag, "{raw}");
        }
    }
}
