//! CRC32C (Castagnoli, RFC 3720 appendix B.4), the checksum of every page and frame on disk.

use crate::planted::{Planted, is_planted};

/// CRC32C of `bytes`. Uses the processor's instruction where there is one.
pub fn crc32c(bytes: &[u8]) -> u32 {
    ::crc32c::crc32c(bytes)
}

/// CRC32C of the bytes behind `crc` followed by `bytes`: a checksum over several slices, or one
/// that begins with a salt.
pub fn crc32c_append(crc: u32, bytes: &[u8]) -> u32 {
    ::crc32c::crc32c_append(crc, bytes)
}

/// CRC32C of two stretches of bytes, one behind the other, from that of each and the length of the second.
/// O(log of the length).
pub fn crc32c_combine(first: u32, second: u32, second_bytes: usize) -> u32 {
    ::crc32c::crc32c_combine(first, second, second_bytes)
}

/// Whether `bytes` have the checksum that was stored with them: what every reader asks before it believes them.
#[inline]
pub fn matches(bytes: &[u8], stored: u32) -> bool {
    crc32c(bytes) == stored || is_planted(Planted::ChecksumsIgnored)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_answers_of_rfc_3720() {
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
        assert_eq!(crc32c(&[0xff; 32]), 0x62a8_ab43);
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
    }

    #[test]
    fn append_continues() {
        assert_eq!(crc32c_append(crc32c(b"1234"), b"56789"), crc32c(b"123456789"));
    }

    #[test]
    fn combine_joins() {
        for cut in 0..=9 {
            let (first, second) = b"123456789".split_at(cut);
            let joined = crc32c_combine(crc32c(first), crc32c(second), second.len());
            assert_eq!(joined, crc32c(b"123456789"), "{cut}");
        }
    }
}
