//! Unpacking a body that was received, within bounds: how much may come out, and how much more than went in.

use std::io::Read;

use axum::http::StatusCode;

use super::encoding::Encoding;
use super::{DECODED_BYTES_MAX, Received};
use crate::http::reply::{ApiError, TOO_LARGE};

/// A body that unpacks to more than this many times its size is an attack, once it is past
/// [`RATIO_FREE_BYTES`]: text compresses some 3 to 30 times.
const RATIO_MAX: u64 = 200;
/// Below this the ratio does not matter.
const RATIO_FREE_BYTES: u64 = 1 << 20;

/// Snappy packs at most 64 bytes in three, and this is above.
const SNAPPY_RATIO_MAX: usize = 22;

/// Bytes that are unpacked at once.
const PIECE_BYTES: usize = 64 << 10;

impl Received {
    /// Unpacks the body. Blocks for as long as that takes: not for an async thread.
    ///
    /// # Errors
    /// 400 for broken data, 413 for what unpacks to too much, 503 when the memory for bodies is taken.
    pub fn unpack(mut self, encoding: Encoding) -> Result<Received, ApiError> {
        if encoding == Encoding::Identity {
            return Ok(self);
        }
        let budget = self.counted.0.0.budget.clone();
        let mut unpacked = Received::empty(&self.counted.0, DECODED_BYTES_MAX)?;
        unpacked.large = self.large.take();
        let Some(mut reader) = encoding.reader(self.bytes.as_slice(), &budget)? else {
            return self.unpack_snappy(unpacked);
        };
        let mut piece = vec![0_u8; PIECE_BYTES];
        loop {
            let count = reader.read(&mut piece).map_err(|cause| broken(encoding, &cause))?;
            let Some(data) = piece.get(..count).filter(|data| !data.is_empty()) else {
                return Ok(unpacked);
            };
            let total = unpacked.bytes.len() + count;
            if total > unpacked.bytes_max {
                return Err(unpacks_to_too_much(format!("{} bytes", unpacked.bytes_max)));
            }
            check_ratio(self.bytes.len() as u64, total as u64)?;
            unpacked.reserve(count)?;
            unpacked.bytes.extend_from_slice(data);
        }
    }

    /// A block says at its beginning how long it will be. That is believed only where it can be true.
    fn unpack_snappy(self, mut unpacked: Received) -> Result<Received, ApiError> {
        let invalid = |cause: &dyn std::fmt::Display| {
            ApiError::bad_request(format!(
                "request body is not valid snappy in its block format: {cause}; pack it again"
            ))
        };
        let length = snap::raw::decompress_len(&self.bytes).map_err(|cause| invalid(&cause))?;
        if length > unpacked.bytes_max {
            return Err(unpacks_to_too_much(format!("{} bytes", unpacked.bytes_max)));
        }
        if length / SNAPPY_RATIO_MAX > self.bytes.len() {
            return Err(invalid(&format_args!("{length} bytes cannot be in it")));
        }
        unpacked.reserve(length)?;
        unpacked.bytes.resize(length, 0);
        let mut decoder = snap::raw::Decoder::new();
        let decoded = decoder.decompress(&self.bytes, &mut unpacked.bytes);
        decoded.map_err(|cause| invalid(&cause))?;
        Ok(unpacked)
    }
}

/// Refuses what is a bomb.
///
/// # Errors
/// 413.
pub(in crate::http) fn check_ratio(packed_bytes: u64, unpacked_bytes: u64) -> Result<(), ApiError> {
    if unpacked_bytes > RATIO_FREE_BYTES && unpacked_bytes / RATIO_MAX > packed_bytes {
        return Err(unpacks_to_too_much(format!("{RATIO_MAX} times its size")));
    }
    Ok(())
}

/// The refusal of a body that does not unpack.
pub(in crate::http) fn broken(encoding: Encoding, cause: &std::io::Error) -> ApiError {
    let inner = cause.get_ref().and_then(|inner| inner.downcast_ref::<tsdb_core::Error>());
    match inner {
        Some(error) => error.clone().into(),
        None => ApiError::bad_request(format!(
            "request body is not valid {}: {cause}; pack it again, or send it as it is and without \
             Content-Encoding",
            encoding.name()
        )),
    }
}

fn unpacks_to_too_much(limit: String) -> ApiError {
    let message = format!(
        "{TOO_LARGE}: the body unpacks to more than {limit}; send smaller ones, or without \
         Content-Encoding"
    );
    ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, message)
}

/// `data` in an encoding, for tests.
#[cfg(test)]
pub(in crate::http) fn pack(data: &[u8], encoding: Encoding) -> Vec<u8> {
    use flate2::Compression;
    use flate2::write::{GzEncoder, ZlibEncoder};
    use std::io::Write;

    match encoding {
        Encoding::Identity => data.to_vec(),
        Encoding::Gzip => {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
            encoder.write_all(data).unwrap();
            encoder.finish().unwrap()
        }
        Encoding::Deflate => {
            let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
            encoder.write_all(data).unwrap();
            encoder.finish().unwrap()
        }
        Encoding::Zstd => zstd::encode_all(data, 3).unwrap(),
        Encoding::SnappyBlock => snap::raw::Encoder::new().compress_vec(data).unwrap(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Room;
    use super::*;
    use tsdb_core::{MemoryBudget, Pool};

    /// Length of what `packed` unpacks to, or the status of its refusal; all memory is given back.
    fn unpack(packed: &[u8], encoding: Encoding, bodies: usize) -> Result<usize, u16> {
        let budget = MemoryBudget::with_limits([1 << 20, 1 << 20, 1 << 20, 1 << 20, bodies]);
        let mut received = Received::empty(&Room::new(&budget), usize::MAX).unwrap();
        received.reserve(packed.len()).unwrap();
        received.bytes.extend_from_slice(packed);
        let got = received.unpack(encoding);
        let got = got.map(|r| r.bytes.len()).map_err(|e| e.status().as_u16());
        assert_eq!(budget.used(Pool::Bodies), 0);
        got
    }

    #[test]
    fn streams_are_unpacked_within_bounds() {
        let text: Vec<u8> =
            (0..40_000_u32).flat_map(|n| format!("m v={n}\n").into_bytes()).collect();
        for encoding in [Encoding::Gzip, Encoding::Deflate, Encoding::Zstd] {
            let pack = |data: &[u8]| pack(data, encoding);
            let has_parts = encoding != Encoding::Deflate;
            let mut two_parts = pack(&text);
            two_parts.extend(pack(b"tail"));
            let mut cut = pack(&text);
            cut.truncate(cut.len() / 2);
            let mut all_but_one = pack(&text);
            all_but_one.pop();
            let behind = [pack(&text), b"garbage".to_vec()].concat();
            for (what, packed, expected) in [
                ("text", pack(&text), Ok(text.len())),
                ("nothing", pack(b""), Ok(0)),
                ("parts", two_parts, if has_parts { Ok(text.len() + 4) } else { Err(400) }),
                ("half", cut, Err(400)),
                ("all but a byte", all_but_one, Err(400)),
                ("something behind it", behind, Err(400)),
                ("no packing at all", b"m v=1 1\nm v=2 2\n".to_vec(), Err(400)),
                ("a bomb", pack(&vec![0; 8 << 20]), Err(413)),
            ] {
                assert_eq!(unpack(&packed, encoding, 32 << 20), expected, "{encoding:?} {what}");
            }
        }
    }

    #[test]
    fn windows_of_zstd_are_bounded_and_paid_for() {
        let frame = |window_log: u8| {
            // Magic number, no content size and no checksum, the window, one raw block of three bytes.
            let window = (window_log - 10) << 3;
            [&[0x28, 0xb5, 0x2f, 0xfd, 0, window, 0x19, 0, 0][..], b"abc"].concat()
        };
        for (window_log, bodies, expected) in [
            (10, 32 << 20, Ok(3)),
            (23, 32 << 20, Ok(3)),
            (24, 32 << 20, Err(400)),
            (31, 32 << 20, Err(400)),
            (41, 32 << 20, Err(400)),
            // There is no room for the window.
            (23, 4 << 20, Err(503)),
        ] {
            let got = unpack(&frame(window_log), Encoding::Zstd, bodies);
            assert_eq!(got, expected, "2^{window_log} bytes");
        }
    }

    #[test]
    fn snappy_is_unpacked_within_bounds() {
        let pack = |data: &[u8]| pack(data, Encoding::SnappyBlock);
        let text = b"some text that repeats, some text that repeats".repeat(1000);
        let mut cut = pack(&text);
        cut.truncate(cut.len() / 2);
        let mut longer = pack(b"abc");
        longer.push(0);
        // It declares 2 704 094 487 bytes and has 47, as one that was sent to Prometheus.
        let mut liar = vec![0x97, 0xea, 0xb4, 0x89, 0x0a];
        liar.resize(47, 0xfe);
        // And this one 16 MiB, which would be few enough.
        let mut modest_liar = vec![0x80, 0x80, 0x80, 0x08];
        modest_liar.resize(47, 0xfe);
        for (packed, expected) in [
            (pack(&text), Ok(text.len())),
            (pack(b""), Ok(0)),
            (pack(&vec![0; 8 << 20]), Ok(8 << 20)),
            (cut, Err(400)),
            (longer, Err(400)),
            (Vec::new(), Err(400)),
            (b"\xff\xff\xff\xff\xff\xff".to_vec(), Err(400)),
            (liar, Err(413)),
            (modest_liar, Err(400)),
            (pack(&vec![0; DECODED_BYTES_MAX + 1]), Err(413)),
        ] {
            assert_eq!(unpack(&packed, Encoding::SnappyBlock, 64 << 20), expected);
        }
    }
}
