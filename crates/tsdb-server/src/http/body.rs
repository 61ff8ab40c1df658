//! Request bodies: received under a limit, under a deadline and under the memory budget, and unpacked
//! under limits of their own.
//!
//! Not here: what is in them.

use std::io::Read;
use std::time::Duration;

use axum::body::Body;
use axum::http::header::{CONTENT_ENCODING, CONTENT_LENGTH};
use axum::http::{HeaderMap, StatusCode};
use flate2::read::MultiGzDecoder;
use http_body_util::BodyExt;
use tokio::time::timeout;
use tsdb_core::{MemoryBudget, Pool, Reservation};

use super::reply::{ApiError, header};

/// Largest body after unpacking, 64 MiB (security checklist 1). Writers split their batches long before.
pub const DECODED_BYTES_MAX: usize = 64 << 20;

/// A body that unpacks to more than this many times its size is an attack, once it is past
/// [`RATIO_FREE_BYTES`]: text compresses some 3 to 30 times.
const RATIO_MAX: usize = 200;
/// Below this the ratio does not matter.
const RATIO_FREE_BYTES: usize = 1 << 20;

/// Longest silence inside a body.
const SILENCE_MAX: Duration = Duration::from_secs(30);

/// A refused body is read on and thrown away up to here, because a client that is still sending would
/// see a reset connection instead of the answer.
const DISCARD_BYTES_MAX: usize = 64 << 20;
/// And for at most so long.
const DISCARD_TIME_MAX: Duration = Duration::from_secs(5);

/// A body in memory, with the reservation that covers it.
#[derive(Debug)]
pub struct Received {
    /// The bytes, as sent or as unpacked.
    pub bytes: Vec<u8>,
    held: Reservation,
}

/// How a body is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// Not at all.
    Identity,
    /// gzip.
    Gzip,
}

/// The encoding that the headers announce.
///
/// # Errors
/// 415 for any other than gzip.
pub fn encoding(headers: &HeaderMap) -> Result<Encoding, ApiError> {
    match header(headers, CONTENT_ENCODING).map(str::trim) {
        None | Some("" | "identity") => Ok(Encoding::Identity),
        Some(name) if name.eq_ignore_ascii_case("gzip") || name.eq_ignore_ascii_case("x-gzip") => {
            Ok(Encoding::Gzip)
        }
        Some(other) => Err(ApiError::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            format!("unsupported content encoding {other:?}: use gzip or none"),
        )),
    }
}

/// Receives a body of at most `bytes_max` bytes.
///
/// # Errors
/// 413 for a longer one, 503 when the memory for bodies is taken, 408 for a client that falls silent,
/// 400 for one that breaks off.
pub async fn receive(
    budget: &MemoryBudget,
    headers: &HeaderMap,
    mut body: Body,
    bytes_max: usize,
) -> Result<Received, ApiError> {
    let announced = header(headers, CONTENT_LENGTH).and_then(|text| text.parse::<usize>().ok());
    let received = receive_within(budget, announced, &mut body, bytes_max).await;
    match received {
        Err(error) if error.status() != StatusCode::BAD_REQUEST => {
            // Whether the client read the answer matters to it alone.
            let _ = timeout(DISCARD_TIME_MAX, discard(&mut body)).await;
            Err(error.closing())
        }
        other => other,
    }
}

async fn receive_within(
    budget: &MemoryBudget,
    announced: Option<usize>,
    body: &mut Body,
    bytes_max: usize,
) -> Result<Received, ApiError> {
    if announced.is_some_and(|bytes| bytes > bytes_max) {
        return Err(ApiError::too_large());
    }
    let mut received = Received::empty(budget)?;
    received.reserve(budget, announced.unwrap_or(0))?;
    loop {
        let frame = timeout(SILENCE_MAX, body.frame()).await.map_err(|_| {
            ApiError::new(StatusCode::REQUEST_TIMEOUT, "the request body did not arrive in time")
        })?;
        let Some(frame) = frame else { return Ok(received) };
        let frame = frame
            .map_err(|cause| ApiError::bad_request(format!("request body broke off: {cause}")))?;
        let Ok(data) = frame.into_data() else { continue };
        if received.bytes.len() + data.len() > bytes_max {
            return Err(ApiError::too_large());
        }
        received.reserve(budget, data.len())?;
        received.bytes.extend_from_slice(&data);
    }
}

async fn discard(body: &mut Body) {
    let mut left = DISCARD_BYTES_MAX;
    while let Some(Ok(frame)) = body.frame().await {
        let bytes = frame.data_ref().map_or(0, |data| data.len());
        match left.checked_sub(bytes) {
            Some(rest) => left = rest,
            None => return,
        }
    }
}

impl Received {
    fn empty(budget: &MemoryBudget) -> Result<Received, ApiError> {
        Ok(Received { bytes: Vec::new(), held: budget.reserve(Pool::Bodies, 0)? })
    }

    /// Makes room for `more` bytes, in the budget first and in the buffer then.
    fn reserve(&mut self, budget: &MemoryBudget, more: usize) -> Result<(), ApiError> {
        let needed = self.bytes.len() + more;
        if needed <= self.bytes.capacity() {
            return Ok(());
        }
        if needed > budget.limit(Pool::Bodies) {
            // Waiting would not help: this body never fits.
            return Err(ApiError::too_large());
        }
        // Doubling keeps the copying linear; a length that was announced is taken at its word.
        let doubled = (self.bytes.capacity() * 2).min(budget.limit(Pool::Bodies));
        let capacity = needed.max(doubled).max(1024);
        self.held.grow(capacity - self.bytes.capacity())?;
        self.bytes.reserve_exact(capacity - self.bytes.len());
        Ok(())
    }

    /// Unpacks the body. Blocks for as long as that takes: not for an async thread.
    ///
    /// # Errors
    /// 400 for broken data, 413 for what unpacks to too much, 503 when the memory for bodies is taken.
    pub fn unpack(self, encoding: Encoding, budget: &MemoryBudget) -> Result<Received, ApiError> {
        match encoding {
            Encoding::Identity => Ok(self),
            Encoding::Gzip => self.unpack_gzip(budget),
        }
    }

    fn unpack_gzip(self, budget: &MemoryBudget) -> Result<Received, ApiError> {
        let mut decoder = MultiGzDecoder::new(self.bytes.as_slice());
        let mut unpacked = Received::empty(budget)?;
        let mut piece = vec![0_u8; 64 << 10];
        loop {
            let count = decoder.read(&mut piece).map_err(|cause| {
                ApiError::bad_request(format!("request body is not valid gzip: {cause}"))
            })?;
            let Some(data) = piece.get(..count).filter(|data| !data.is_empty()) else {
                return Ok(unpacked);
            };
            let total = unpacked.bytes.len() + count;
            let is_bomb = total > RATIO_FREE_BYTES && total / RATIO_MAX > self.bytes.len();
            if total > DECODED_BYTES_MAX || is_bomb {
                return Err(ApiError::too_large());
            }
            unpacked.reserve(budget, count)?;
            unpacked.bytes.extend_from_slice(data);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;
    use flate2::{Compression, write::GzEncoder};
    use std::io::Write;

    fn budget(bodies: usize) -> MemoryBudget {
        MemoryBudget::with_limits([1 << 20, 1 << 20, 1 << 20, 1 << 20, bodies])
    }

    fn gzip(data: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(data).unwrap();
        encoder.finish().unwrap()
    }

    async fn check(data: Vec<u8>, bodies: usize, bytes_max: usize, expected: Result<usize, u16>) {
        let budget = budget(bodies);
        let got = receive(&budget, &HeaderMap::new(), Body::from(data), bytes_max).await;
        match (got, expected) {
            (Ok(received), Ok(length)) => {
                assert_eq!(received.bytes.len(), length);
                assert!(budget.used(Pool::Bodies) >= received.bytes.capacity());
                drop(received);
            }
            (got, expected) => {
                assert_eq!(got.map(|_| ()).unwrap_err().status(), expected.unwrap_err())
            }
        }
        assert_eq!(budget.used(Pool::Bodies), 0, "everything is given back");
    }

    #[tokio::test]
    async fn bodies_stay_below_their_limit_and_the_budget() {
        check(vec![7; 1000], 1 << 20, 1000, Ok(1000)).await;
        check(Vec::new(), 1 << 20, 1000, Ok(0)).await;
        check(vec![7; 1001], 1 << 20, 1000, Err(413)).await;
        check(vec![7; 1000], 500, 10_000, Err(413)).await;
    }

    #[tokio::test]
    async fn memory_that_others_hold_is_worth_waiting_for() {
        let budget = budget(2000);
        let others = budget.reserve(Pool::Bodies, 1500).unwrap();
        let got = receive(&budget, &HeaderMap::new(), Body::from(vec![7; 1000]), 10_000).await;
        assert_eq!(got.unwrap_err().status(), 503);
        drop(others);
        let got = receive(&budget, &HeaderMap::new(), Body::from(vec![7; 1000]), 10_000).await;
        assert_eq!(got.unwrap().bytes.len(), 1000);
    }

    #[tokio::test]
    async fn a_length_that_is_too_large_is_refused_before_the_body_arrives() {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_LENGTH, HeaderValue::from(5000));
        let got = receive(&budget(1 << 20), &headers, Body::empty(), 1000).await;
        assert_eq!(got.unwrap_err().status(), 413);
    }

    #[test]
    fn gzip_is_unpacked_within_bounds() {
        let text: Vec<u8> =
            (0..40_000_u32).flat_map(|n| format!("m v={n}\n").into_bytes()).collect();
        let mut two_members = gzip(&text);
        two_members.extend(gzip(b"tail"));
        let mut cut = gzip(&text);
        cut.truncate(cut.len() / 2);
        for (packed, expected) in [
            (gzip(&text), Ok(text.len())),
            (gzip(b""), Ok(0)),
            (two_members, Ok(text.len() + 4)),
            (cut, Err(400)),
            (b"no gzip at all".to_vec(), Err(400)),
            (gzip(&vec![0; 8 << 20]), Err(413)),
        ] {
            let budget = budget(32 << 20);
            let mut received = Received::empty(&budget).unwrap();
            received.reserve(&budget, packed.len()).unwrap();
            received.bytes = packed;
            let got = received.unpack(Encoding::Gzip, &budget);
            assert_eq!(got.map(|r| r.bytes.len()).map_err(|e| e.status().as_u16()), expected);
            assert_eq!(budget.used(Pool::Bodies), 0);
        }
    }

    #[test]
    fn encodings() {
        for (text, expected) in [
            (None, Ok(Encoding::Identity)),
            (Some("identity"), Ok(Encoding::Identity)),
            (Some("gzip"), Ok(Encoding::Gzip)),
            (Some("GZIP"), Ok(Encoding::Gzip)),
            (Some("x-gzip"), Ok(Encoding::Gzip)),
            (Some("zstd"), Err(415)),
            (Some("gzip, gzip"), Err(415)),
        ] {
            let mut headers = HeaderMap::new();
            if let Some(text) = text {
                headers.insert(CONTENT_ENCODING, HeaderValue::from_static(text));
            }
            assert_eq!(encoding(&headers).map_err(|e| e.status().as_u16()), expected, "{text:?}");
        }
    }
}
