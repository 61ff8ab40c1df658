//! Passwords in the text of queries: where they stand, and the text without them. The text need not be one that
//! parses: whoever misspells a statement has written a password, too.

use std::borrow::Cow;
use std::ops::Range;

/// What stands for a password.
const REDACTED: &str = "[REDACTED]";

/// Behind this word a statement has a password.
const KEYWORD: &[u8] = b"password";

/// `text` as it may be shown to others: in a statement that has the word PASSWORD, everything in quotes behind it
/// is `[REDACTED]`. O(length).
#[must_use]
pub fn redacted(text: &str) -> Cow<'_, str> {
    hidden(text, |_| REDACTED.into())
}

/// The same with a star for each character, so that what stands behind it keeps its column.
pub(crate) fn masked(text: &str) -> Cow<'_, str> {
    // As many bytes as there were: places in the text are told in bytes.
    hidden(text, |secret| "*".repeat(secret.len()))
}

/// `text` with what `instead` makes of each secret in its place.
fn hidden(text: &str, instead: impl Fn(&str) -> String) -> Cow<'_, str> {
    let places = secrets(text);
    if places.is_empty() {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len());
    let mut end = 0;
    for place in places {
        shown.push_str(text.get(end..place.start).unwrap_or_default());
        shown.push_str(&instead(text.get(place.clone()).unwrap_or_default()));
        end = place.end;
    }
    shown.push_str(text.get(end..).unwrap_or_default());
    Cow::Owned(shown)
}

/// What is in quotes, with them, behind the word PASSWORD and up to the end of that statement. Quotes that are not
/// closed hold all the rest.
fn secrets(text: &str) -> Vec<Range<usize>> {
    let bytes = text.as_bytes();
    let mut found = Vec::new();
    let mut is_behind_keyword = false;
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b';' => is_behind_keyword = false,
            b'\'' | b'"' => {
                let end = quotes_end(bytes, at);
                if is_behind_keyword {
                    found.push(at..end);
                }
                at = end;
                continue;
            }
            _ => {
                let word = bytes.get(at..at + KEYWORD.len());
                is_behind_keyword |= word.is_some_and(|word| word.eq_ignore_ascii_case(KEYWORD));
            }
        }
        at += 1;
    }
    found
}

/// One behind the quote that closes the one at `begin`.
fn quotes_end(bytes: &[u8], begin: usize) -> usize {
    let quote = bytes.get(begin).copied();
    let mut at = begin + 1;
    while let Some(&byte) = bytes.get(at) {
        if Some(byte) == quote {
            return at + 1;
        }
        at += if byte == b'\\' { 2 } else { 1 };
    }
    bytes.len()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn passwords_are_left_out_and_nothing_else() {
        for (text, shown) in [
            ("SHOW USERS", "SHOW USERS"),
            ("SELECT a FROM m WHERE b = 'x'", "SELECT a FROM m WHERE b = 'x'"),
            ("CREATE USER u WITH PASSWORD 'p'", "CREATE USER u WITH PASSWORD [REDACTED]"),
            (
                "create user \"u\" with password 'it\\'s' WITH ALL PRIVILEGES; SELECT 'a'",
                "create user \"u\" with password [REDACTED] WITH ALL PRIVILEGES; SELECT 'a'",
            ),
            ("SET PASSWORD FOR u = 'a;b'", "SET PASSWORD FOR u = [REDACTED]"),
            ("SET PASSWORD FOR u = \"ab\" 'c'", "SET PASSWORD FOR u = [REDACTED] [REDACTED]"),
            ("CREATE USER u WITH PASSWORD'never ends", "CREATE USER u WITH PASSWORD[REDACTED]"),
            ("CREATE USER u WITH PASSWORD '\\", "CREATE USER u WITH PASSWORD [REDACTED]"),
        ] {
            assert_eq!(redacted(text), shown);
            assert_eq!(masked(text).len(), text.len(), "{text}");
        }
        assert_eq!(masked("SET PASSWORD FOR u = 'ab' x"), "SET PASSWORD FOR u = **** x");
    }

    proptest! {
        #[test]
        fn no_password_is_left(before in "[a-z ;]{0,9}", password in "[0-9]{3,9}", after in any::<String>()) {
            let text = format!("{before}password = '{password}' {after}");
            prop_assume!(!after.contains(&password));
            prop_assert!(!redacted(&text).contains(&password));
            prop_assert!(!masked(&text).contains(&password));
        }

        #[test]
        fn any_text_has_a_form_without_passwords(text in any::<String>()) {
            let _ = redacted(&text);
            prop_assert_eq!(masked(&text).len(), text.len());
        }
    }
}
