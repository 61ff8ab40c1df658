//! Packed bodies: any bytes as gzip, zlib, zstd and snappy, and any bytes packed and unpacked.

use std::io::{Read, Write};

use axum::body::Body;
use axum::http::HeaderMap;
use flate2::Compression;
use flate2::read::{MultiGzDecoder, ZlibDecoder};
use flate2::write::{GzEncoder, ZlibEncoder};
use tsdb_core::{MemoryBudget, Pool};
use tsdb_server::http::body::{Encoding, Room, receive};

/// Most bytes of a body in this target.
const BODY_BYTES_MAX: usize = 1 << 20;

/// Room for bodies of 10 MiB, a quarter of all, and for the largest window of zstd beside what is charged for
/// them.
fn budget() -> MemoryBudget {
    MemoryBudget::with_limits([4 << 20, 4 << 20, 4 << 20, 4 << 20, 24 << 20])
}

/// Unpacks a body as the server does; `Err` is the status.
fn unpack(packed: &[u8], encoding: Encoding) -> Result<Vec<u8>, u16> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    let runtime = runtime.expect("a runtime without threads");
    let budget = budget();
    let room = Room::new(&budget);
    let unpacked = runtime.block_on(async {
        let body = Body::from(packed.to_vec());
        let received = receive(&room, &HeaderMap::new(), body, BODY_BYTES_MAX).await?;
        received.unpack(encoding)
    });
    let unpacked = unpacked.map(|received| received.bytes.clone());
    assert_eq!(budget.used(Pool::Bodies), 0, "memory is kept");
    unpacked.map_err(|error| error.status().as_u16())
}

/// Any bytes as a packed body.
///
/// # Panics
/// If what is unpacked is not what another reader finds, a refusal has the wrong status, memory is kept, or
/// what was packed does not come back.
pub fn content_decoder(data: &[u8]) {
    stream(data, Encoding::Gzip, MultiGzDecoder::new(data), |encoder| {
        let mut encoder = GzEncoder::new(encoder, Compression::fast());
        encoder.write_all(data).and_then(|()| encoder.finish())
    });
    let mut frames = zstd::Decoder::with_buffer(data).expect("it has no dictionary");
    frames.window_log_max(23).expect("zstd knows the parameter");
    stream(data, Encoding::Zstd, frames, |encoder| {
        let mut encoder = zstd::Encoder::new(encoder, 1)?;
        encoder.write_all(data).and_then(|()| encoder.finish())
    });
    zlib(data);
    snappy(data);
}

/// `reader` unpacks the same, in another way; `pack` packs it into a vector.
fn stream(
    data: &[u8],
    encoding: Encoding,
    reader: impl Read,
    pack: impl FnOnce(Vec<u8>) -> std::io::Result<Vec<u8>>,
) {
    let mut due = Vec::new();
    // As far as the bounds of the server go, which are checked by what comes back.
    let read = reader.take(12 << 20).read_to_end(&mut due);
    match unpack(data, encoding) {
        Ok(bytes) => {
            // Nothing is nothing, however it is packed.
            assert!(data.is_empty() || (read.is_ok() && bytes == due), "another content");
        }
        Err(400) => assert!(read.is_err(), "sound data are said to be broken"),
        // How much comes out of broken data before they break is up to the reader.
        Err(413) => {
            assert!(read.is_err() || due.len() > 1 << 20, "{} bytes are too many", due.len());
        }
        Err(status) => panic!("status {status}"),
    }
    let packed = pack(Vec::new()).expect("a vector takes all");
    let unpacked = unpack(&packed, encoding);
    assert_eq!(unpacked.as_deref(), Ok(data), "what was packed does not come back");
}

/// The same with zlib, of which another reader says what it unpacks to and not whether it is whole.
fn zlib(data: &[u8]) {
    let mut due = Vec::new();
    let read = ZlibDecoder::new(data).take(12 << 20).read_to_end(&mut due);
    match unpack(data, Encoding::Deflate) {
        Ok(bytes) => assert!(data.is_empty() || (read.is_ok() && bytes == due), "another content"),
        Err(400) => {}
        Err(413) => {
            assert!(read.is_err() || due.len() > 1 << 20, "{} bytes are too many", due.len());
        }
        Err(status) => panic!("status {status}"),
    }
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(data).expect("a vector takes all");
    let packed = encoder.finish().expect("a vector takes all");
    let unpacked = unpack(&packed, Encoding::Deflate);
    assert_eq!(unpacked.as_deref(), Ok(data), "what was packed does not come back");
    if let Some((_, cut)) = packed.split_last() {
        assert_eq!(unpack(cut, Encoding::Deflate), Err(400), "what is cut off is taken for whole");
    }
}

/// The same with snappy.
fn snappy(data: &[u8]) {
    let due = match snap::raw::decompress_len(data) {
        // As far as the bounds of the server go.
        Ok(length) if length > 12 << 20 => None,
        _ => snap::raw::Decoder::new().decompress_vec(data).ok(),
    };
    match (unpack(data, Encoding::SnappyBlock), due) {
        (Ok(bytes), due) => assert_eq!(Some(bytes), due, "another content"),
        (Err(400 | 413), None) => {}
        // A block may unpack to more than a body may have.
        (Err(413), Some(due)) => assert!(due.len() > 1 << 20, "{} bytes are too many", due.len()),
        (Err(status), due) => panic!("status {status} for {:?} bytes", due.map(|due| due.len())),
    }
    let packed = snap::raw::Encoder::new().compress_vec(data).expect("it is short");
    let unpacked = unpack(&packed, Encoding::SnappyBlock);
    assert_eq!(unpacked.as_deref(), Ok(data), "what was packed does not come back");
}
