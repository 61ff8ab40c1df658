//! Tokens as texts: `tsdb_`, the id by which the record is found, and 256 random bits.

use std::fmt::Write as _;

use sha2::{Digest, Sha256};
use tsdb_ql::Secret;

const PREFIX: &str = "tsdb_";
const ID_BYTES: usize = 8;
const SECRET_BYTES: usize = 32;

/// A new token: its id, and the text that is shown once.
///
/// # Errors
/// The system gives no random bytes.
pub(super) fn new() -> Result<(String, Secret), getrandom::Error> {
    let id = hex(&random::<ID_BYTES>()?);
    let text = format!("{PREFIX}{id}_{}", hex(&random::<SECRET_BYTES>()?));
    Ok((id, Secret::new(text)))
}

/// The id in the text of a token, if it has the form of one.
pub(super) fn id_of(text: &str) -> Option<&str> {
    let (id, secret) = text.strip_prefix(PREFIX)?.split_once('_')?;
    let is_hex = |text: &str, bytes: usize| {
        text.len() == 2 * bytes && text.bytes().all(|byte| byte.is_ascii_hexdigit())
    };
    (is_hex(id, ID_BYTES) && is_hex(secret, SECRET_BYTES)).then_some(id)
}

/// What is stored of a token.
pub(super) fn hash(token: &Secret) -> [u8; 32] {
    Sha256::digest(token.reveal()).into()
}

/// Bytes that nobody can foresee. They come from the system and not from `Env`, whose numbers are for ids and seeds.
///
/// # Errors
/// The system gives none.
pub(super) fn random<const N: usize>() -> Result<[u8; N], getrandom::Error> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes)?;
    Ok(bytes)
}

/// Hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// The bytes behind as many hexadecimal digits as there must be.
pub(super) fn bytes_of_hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    if text.len() != 2 * N || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let mut bytes = [0; N];
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * at..2 * at + 2)?, 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_long_and_never_the_same() {
        let (id, token) = new().unwrap();
        let (other_id, other) = new().unwrap();
        assert_eq!(token.reveal().len(), PREFIX.len() + 16 + 1 + 64);
        assert_eq!(id_of(token.reveal()), Some(&*id));
        assert!(id != other_id && token != other);
        for text in ["", "tsdb_", "tsdb_00_11", "user:password", &token.reveal()[..84]] {
            assert_eq!(id_of(text), None, "{text}");
        }
    }

    #[test]
    fn digits_and_bytes_are_the_same() {
        let bytes = random::<7>().unwrap();
        assert_eq!(bytes_of_hex::<7>(&hex(&bytes)), Some(bytes));
        for text in ["", "0", "0g", "+1", "é"] {
            assert_eq!(bytes_of_hex::<1>(text), None, "{text}");
        }
    }
}
