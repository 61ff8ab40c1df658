//! Values that a user types, as types that carry the proof of their form: sizes, durations, listen
//! addresses, durability. Each reads from a flag, an environment variable or a TOML value alike.
//!
//! Not here: which settings exist and what they default to, see `config.rs`.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::str::FromStr;
use std::time::Duration;

use serde::de::{Error as _, Unexpected};
use serde::{Deserialize, Deserializer};

/// Why a value was refused: the value and what would be right.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not {expected}")]
pub struct ValueError {
    text: String,
    expected: &'static str,
}

fn refuse(text: &str, expected: &'static str) -> ValueError {
    ValueError { text: text.to_owned(), expected }
}

/// A number of bytes: `64MiB`, `25MB`, `1GiB`, or plain bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(pub u64);

const SIZE_EXPECTED: &str = "a size: write for instance 512MiB, 25MB, 1GiB, or a number of bytes";

/// Units, the longer suffix before the shorter one that it ends in.
const SIZE_UNITS: [(&str, u64); 10] = [
    ("kib", 1 << 10),
    ("mib", 1 << 20),
    ("gib", 1 << 30),
    ("kb", 1_000),
    ("mb", 1_000_000),
    ("gb", 1_000_000_000),
    ("k", 1 << 10),
    ("m", 1 << 20),
    ("g", 1 << 30),
    ("b", 1),
];

impl FromStr for ByteSize {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let lower = text.trim().to_ascii_lowercase();
        let (number, unit) = SIZE_UNITS
            .iter()
            .find_map(|(suffix, unit)| lower.strip_suffix(suffix).map(|number| (number, *unit)))
            .unwrap_or((&lower, 1));
        let number: u64 = number.trim_end().parse().map_err(|_| refuse(text, SIZE_EXPECTED))?;
        number.checked_mul(unit).map(ByteSize).ok_or_else(|| refuse(text, SIZE_EXPECTED))
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [("GiB", 1_u64 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
        match units.iter().find(|(_, unit)| self.0 >= *unit && self.0.is_multiple_of(*unit)) {
            Some((name, unit)) => write!(f, "{}{name}", self.0 / unit),
            None => write!(f, "{}", self.0),
        }
    }
}

impl<'de> Deserialize<'de> for ByteSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match TextOrNumber::deserialize(deserializer)? {
            TextOrNumber::Text(text) => text.parse().map_err(D::Error::custom),
            TextOrNumber::Number(number) => u64::try_from(number)
                .map(ByteSize)
                .map_err(|_| D::Error::invalid_value(Unexpected::Signed(number), &SIZE_EXPECTED)),
        }
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum TextOrNumber {
    Text(String),
    Number(i64),
}

/// A length of time of at least a nanosecond, as InfluxQL writes it: `30s`, `500ms`, `1h30m`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeSpan(pub Duration);

impl FromStr for TimeSpan {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        tsdb_core::time::parse_duration(text.trim())
            .ok()
            .and_then(|ns| u64::try_from(ns).ok())
            .filter(|ns| *ns > 0)
            .map(|ns| TimeSpan(Duration::from_nanos(ns)))
            .ok_or_else(|| refuse(text, "a length of time: write for instance 30s, 500ms or 5m"))
    }
}

impl<'de> Deserialize<'de> for TimeSpan {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

/// When an acknowledged write is safe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// Before the acknowledgement.
    Sync,
    /// At most this long after the acknowledgement; a crash of the machine loses what is younger.
    Interval(Duration),
    /// When the operating system writes it, or the memtable is flushed.
    Off,
}

const DURABILITY_EXPECTED: &str =
    "a durability: write sync, off, or interval:MS with 1 to 60000 milliseconds";

impl FromStr for Durability {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let refused = || refuse(text, DURABILITY_EXPECTED);
        match text.trim() {
            "sync" => Ok(Durability::Sync),
            "off" => Ok(Durability::Off),
            other => {
                let ms = other.strip_prefix("interval:").ok_or_else(refused)?;
                let ms: u64 = ms.strip_suffix("ms").unwrap_or(ms).parse().map_err(|_| refused())?;
                if !(1..=60_000).contains(&ms) {
                    return Err(refused());
                }
                Ok(Durability::Interval(Duration::from_millis(ms)))
            }
        }
    }
}

impl fmt::Display for Durability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Durability::Sync => f.write_str("sync"),
            Durability::Interval(every) => write!(f, "interval:{}", every.as_millis()),
            Durability::Off => f.write_str("off"),
        }
    }
}

impl<'de> Deserialize<'de> for Durability {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

/// Where to listen: an IP address and a port. `localhost:PORT` and `:PORT` mean 127.0.0.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListenAddress(pub SocketAddr);

impl FromStr for ListenAddress {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let text = text.trim();
        let local = text.strip_prefix("localhost:").or_else(|| text.strip_prefix(':'));
        let address = match local {
            Some(port) => {
                port.parse().ok().map(|port| SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port))
            }
            None => text.parse().ok(),
        };
        address
            .map(ListenAddress)
            .ok_or_else(|| refuse(text, "an address and a port: write for instance 127.0.0.1:8086"))
    }
}

impl<'de> Deserialize<'de> for ListenAddress {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

/// Which characters tags of line protocol may have. Formats that we define ourselves are ASCII anyway.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CharsetChoice {
    /// ASCII alone.
    Ascii,
    /// Any Unicode text, as existing clients send it.
    Utf8,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check<T: FromStr<Err = ValueError> + PartialEq + fmt::Debug>(
        text: &str,
        expected: Option<T>,
    ) {
        let got = text.parse::<T>();
        match expected {
            Some(value) => assert_eq!(got.as_ref(), Ok(&value), "{text:?}"),
            None => assert!(got.unwrap_err().to_string().contains("write"), "{text:?}"),
        }
    }

    #[test]
    fn sizes() {
        for (text, bytes) in [
            ("0", Some(0)),
            ("25000000", Some(25_000_000)),
            ("25MB", Some(25_000_000)),
            ("512 MiB", Some(512 << 20)),
            ("1gib", Some(1 << 30)),
            ("4k", Some(4096)),
            ("7B", Some(7)),
            ("-1", None),
            ("", None),
            ("MiB", None),
            ("1.5G", None),
            ("99999999999999999999", None),
            ("99999999999GiB", None),
        ] {
            check(text, bytes.map(ByteSize));
        }
    }

    #[test]
    fn sizes_print_as_they_are_read() {
        for bytes in [0, 1, 1023, 1024, 25_000_000, 288 << 20, 3 << 30, u64::MAX] {
            assert_eq!(ByteSize(bytes).to_string().parse(), Ok(ByteSize(bytes)));
        }
    }

    #[test]
    fn durabilities() {
        let interval = |ms| Some(Durability::Interval(Duration::from_millis(ms)));
        for (text, expected) in [
            ("sync", Some(Durability::Sync)),
            ("off", Some(Durability::Off)),
            ("interval:1", interval(1)),
            ("interval:250ms", interval(250)),
            ("interval:60000", interval(60_000)),
            ("interval:0", None),
            ("interval:60001", None),
            ("interval", None),
            ("interval:-5", None),
            ("SYNC", None),
            ("", None),
        ] {
            check(text, expected);
        }
        for text in ["sync", "off", "interval:20"] {
            assert_eq!(text.parse::<Durability>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn addresses() {
        let address = |text: &str| Some(ListenAddress(text.parse().unwrap()));
        for (text, expected) in [
            ("127.0.0.1:8086", address("127.0.0.1:8086")),
            ("localhost:80", address("127.0.0.1:80")),
            (":9", address("127.0.0.1:9")),
            ("[::1]:8086", address("[::1]:8086")),
            ("0.0.0.0:0", address("0.0.0.0:0")),
            ("8086", None),
            ("example.org:8086", None),
            ("127.0.0.1:70000", None),
        ] {
            check(text, expected);
        }
    }

    #[test]
    fn spans() {
        for (text, ms) in [
            ("30s", Some(30_000)),
            ("1m30s", Some(90_000)),
            ("5ms", Some(5)),
            ("0s", None),
            ("-1s", None),
            ("30", None),
            ("", None),
        ] {
            check(text, ms.map(|ms| TimeSpan(Duration::from_millis(ms))));
        }
    }
}
