//! Packed bodies: any bytes as gzip and as snappy, and any bytes packed and unpacked.

use std::io::{Read, Write};

use axum::body::Body;
use axum::http::HeaderMap;
use flate2::{Compression, read::MultiGzDecoder, write::GzEncoder};
use tsdb_core::{MemoryBudget, Pool};
use tsdb_server::http::body::{Encoding, Room, receive};

/// Most bytes of a body in this target.
const BODY_BYTES_MAX: usize = 1 << 20;

/// Room for bodies of 8 MiB.
fn budget() -> MemoryBudget {
    MemoryBudget::with_limits([8 << 20, 8 << 20, 8 << 20, 8 << 20, 8 << 20])
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
    let mut due = Vec::new();
    // As far as the bounds of the server go, which are checked by what comes back.
    let read = MultiGzDecoder::new(data).take(12 << 20).read_to_end(&mut due);
    match unpack(data, Encoding::Gzip) {
        Ok(bytes) => {
            assert!(read.is_ok() && bytes == due, "another content");
        }
        Err(400) => assert!(read.is_err(), "sound data are said to be broken"),
        // How much comes out of broken data before they break is up to the reader.
        Err(413) => {
            assert!(read.is_err() || due.len() > 1 << 20, "{} bytes are too many", due.len());
        }
        Err(status) => panic!("status {status}"),
    }
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(data).expect("a vector takes all");
    let packed = encoder.finish().expect("a vector takes all");
    let unpacked = unpack(&packed, Encoding::Gzip);
    assert_eq!(unpacked.as_deref(), Ok(data), "what was packed does not come back");
    snappy(data);
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
