//! Parameters of a request: `name=value` pairs of the URL and of a form body, percent-decoded.
//!
//! Not here: what the parameters mean; each handler asks for its own.

/// Pairs in the order in which they came. The first of equal names counts, and those of the body come
/// before those of the URL, as in InfluxDB.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Params(Vec<(String, String)>);

impl Params {
    /// The parameters of the part of a URL behind `?`. Bytes that are no UTF-8 become replacement
    /// characters; a `%` without two hexadecimal digits stands for itself.
    pub fn of_query(query: &str) -> Params {
        let pairs = query.split('&').filter(|pair| !pair.is_empty());
        Params(
            pairs
                .map(|pair| {
                    let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
                    (decode(name), decode(value))
                })
                .collect(),
        )
    }

    /// The parameters of a form body, and these behind them.
    #[must_use]
    pub fn after_form(self, body: &[u8]) -> Params {
        Params::of_query(String::from_utf8_lossy(body).trim_end()).before(self)
    }

    /// These and `others` behind them.
    #[must_use]
    pub fn before(mut self, others: Params) -> Params {
        self.0.extend(others.0);
        self
    }

    /// Adds a parameter behind the others.
    pub fn push(&mut self, name: &str, value: &str) {
        self.0.push((name.to_owned(), value.to_owned()));
    }

    /// The value of `name`, if it was given.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// All pairs in order.
    pub fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// The value of `name`, if it was given and is not empty.
    pub fn filled(&self, name: &str) -> Option<&str> {
        self.get(name).filter(|value| !value.is_empty())
    }

    /// Whether `name` was given as `true`, or as `1`.
    pub fn flag(&self, name: &str) -> bool {
        matches!(self.get(name), Some("true" | "1" | "TRUE" | "True" | "t" | "T"))
    }
}

/// Decodes `%20` and `+`.
fn decode(text: &str) -> String {
    if !text.bytes().any(|byte| byte == b'%' || byte == b'+') {
        return text.to_owned();
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'+' => bytes.push(b' '),
            b'%' => {
                let mut ahead = rest.clone();
                let digits = [ahead.next(), ahead.next()].map(|digit| digit.and_then(hex_value));
                match digits {
                    [Some(high), Some(low)] => {
                        bytes.push(high << 4 | low);
                        rest = ahead;
                    }
                    _ => bytes.push(b'%'),
                }
            }
            other => bytes.push(other),
        }
    }
    String::from_utf8(bytes)
        .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

fn hex_value(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The opposite of `decode`.
    fn encode(text: &str) -> String {
        text.bytes().map(|byte| format!("%{byte:02X}")).collect()
    }

    #[test]
    fn pairs_are_decoded() {
        for (query, name, expected) in [
            ("db=a", "db", Some("a")),
            ("db=a&db=b", "db", Some("a")),
            ("q=SELECT+1%3B%20x&db=", "q", Some("SELECT 1; x")),
            ("q=SELECT+1&db=", "db", Some("")),
            ("pretty", "pretty", Some("")),
            ("a=b=c", "a", Some("b=c")),
            ("a=100%", "a", Some("100%")),
            ("a=%zz%4", "a", Some("%zz%4")),
            ("a=%ff", "a", Some("\u{fffd}")),
            ("a=%C3%A4", "a", Some("ä")),
            ("&&a=1&", "a", Some("1")),
            ("", "a", None),
        ] {
            assert_eq!(Params::of_query(query).get(name), expected, "{query:?}");
        }
    }

    #[test]
    fn the_form_comes_before_the_url() {
        let params = Params::of_query("q=url&db=d").after_form(b"q=form&epoch=ms\n");
        assert_eq!(params.get("q"), Some("form"));
        assert_eq!(params.get("db"), Some("d"));
        assert_eq!(params.get("epoch"), Some("ms"));
        assert_eq!(params.filled("none"), None);
    }

    proptest! {
        #[test]
        fn what_is_encoded_decodes_to_itself(name in "\\PC{1,8}", value in any::<String>()) {
            let query = format!("{}={}", encode(&name), encode(&value));
            let params = Params::of_query(&query);
            prop_assert_eq!(params.get(&name), Some(value.as_str()));
        }

        #[test]
        fn any_text_decodes(query in any::<String>()) {
            Params::of_query(&query);
        }
    }
}
