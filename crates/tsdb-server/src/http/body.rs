//! Request bodies: received under a limit, under a deadline and under the memory budget, and unpacked
//! under limits of their own.
//!
//! Not here: what is in them.

use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::body::Body;
use axum::http::header::{CONTENT_ENCODING, CONTENT_LENGTH};
use axum::http::{HeaderMap, StatusCode};
use flate2::read::MultiGzDecoder;
use http_body_util::BodyExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use tsdb_core::{MemoryBudget, Pool, Reservation};

use super::reply::{ApiError, TOO_LARGE, header};

/// Largest body after unpacking, 64 MiB (security checklist 1). Writers split their batches long before.
pub const DECODED_BYTES_MAX: usize = 64 << 20;

/// A body that unpacks to more than this many times its size is an attack, once it is past
/// [`RATIO_FREE_BYTES`]: text compresses some 3 to 30 times.
const RATIO_MAX: usize = 200;
/// Below this the ratio does not matter.
const RATIO_FREE_BYTES: usize = 1 << 20;

/// Snappy packs at most 64 bytes in three, and this is above.
const SNAPPY_RATIO_MAX: usize = 22;

/// Longest silence inside a body.
const SILENCE_MAX: Duration = Duration::from_secs(30);
/// What is said of a longer one.
const SILENCE: &str =
    "the request body did not arrive in time: send it without pauses of 30 s and more";

/// An announced length is believed up to here; beyond, memory is taken as bytes arrive, so that an
/// announcement alone cannot take what others need.
const BELIEVED_BYTES_MAX: usize = 1 << 20;

/// A refused body is read on and thrown away up to here, because a client that is still sending would
/// see a reset connection instead of the answer.
const DISCARD_BYTES_MAX: usize = 64 << 20;
/// And for at most so long.
const DISCARD_TIME_MAX: Duration = Duration::from_secs(5);

/// Longest wait of a large body for its turn.
const LARGE_TURN_WAIT_MAX: Duration = Duration::from_secs(10);

/// The memory for bodies. The pool of the budget is made for the many and small; a body of more than a
/// quarter of it is charged for that quarter, and what it has beyond stands beside the pool. There is
/// never more than one such body, of at most a quarter of all managed memory, so the sum stays bounded
/// and the rows of a large body still find room in the pool.
#[derive(Debug, Clone)]
pub struct Room(Arc<RoomState>);

#[derive(Debug)]
struct RoomState {
    budget: MemoryBudget,
    /// Bodies in memory.
    open: AtomicUsize,
    /// The turn of the one large body.
    large: Arc<Semaphore>,
    /// Most bytes of one body that are charged.
    charged_max: usize,
    /// Most bytes of one body.
    bytes_max: usize,
}

impl Room {
    /// Room within `budget`.
    pub fn new(budget: &MemoryBudget) -> Room {
        let managed: usize = Pool::ALL.iter().map(|pool| budget.limit(*pool)).sum();
        Room(Arc::new(RoomState {
            budget: budget.clone(),
            open: AtomicUsize::new(0),
            large: Arc::new(Semaphore::new(1)),
            charged_max: budget.limit(Pool::Bodies) / 4,
            bytes_max: managed / 4,
        }))
    }

    /// Whether there is but one body in memory. If it finds no memory then, waiting would not help it.
    pub fn holds_one(&self) -> bool {
        self.0.open.load(Ordering::Relaxed) <= 1
    }
}

/// Counts a body while it lives.
#[derive(Debug)]
struct Counted(Room);

impl Counted {
    fn new(room: &Room) -> Counted {
        room.0.open.fetch_add(1, Ordering::Relaxed);
        Counted(room.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A body in memory, with what it holds of the [`Room`].
#[derive(Debug)]
pub struct Received {
    /// The bytes, as sent or as unpacked.
    pub bytes: Vec<u8>,
    /// Most that they may become.
    bytes_max: usize,
    held: Reservation,
    large: Option<OwnedSemaphorePermit>,
    counted: Counted,
}

/// Most characters of an unknown encoding that a message repeats.
const ENCODING_CHARS_MAX: usize = 64;

/// How a body is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// Not at all.
    Identity,
    /// gzip.
    Gzip,
    /// Snappy in its block format, without frames. Remote write alone uses it.
    SnappyBlock,
}

/// The encoding that the headers announce.
///
/// # Errors
/// 415 for any other than gzip, and for one on top of another.
pub fn encoding(headers: &HeaderMap) -> Result<Encoding, ApiError> {
    match encodings(headers).as_str() {
        "" | "identity" => Ok(Encoding::Identity),
        "gzip" | "x-gzip" => Ok(Encoding::Gzip),
        other => Err(unsupported(other, "gzip or none")),
    }
}

/// The encodings that the headers announce, in lower case and in one list (RFC 9110, section 5.3).
pub fn encodings(headers: &HeaderMap) -> String {
    let values = headers.get_all(CONTENT_ENCODING).iter();
    let list: Vec<&str> = values.map(|value| value.to_str().unwrap_or("?").trim()).collect();
    list.join(", ").to_ascii_lowercase()
}

/// The refusal of encodings that are none of `supported`.
pub fn unsupported(encodings: &str, supported: &str) -> ApiError {
    let list: String = encodings.chars().take(ENCODING_CHARS_MAX).collect();
    ApiError::new(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        format!("unsupported content encoding {list:?}: use {supported}"),
    )
}

/// Receives a body of at most `bytes_max` bytes.
///
/// # Errors
/// 413 for a longer one, 503 when the memory for bodies is taken, 408 for a client that falls silent,
/// 400 for one that breaks off.
pub async fn receive(
    room: &Room,
    headers: &HeaderMap,
    mut body: Body,
    bytes_max: usize,
) -> Result<Received, ApiError> {
    let announced = header(headers, CONTENT_LENGTH).and_then(|text| text.parse::<usize>().ok());
    let received = receive_within(room, announced.unwrap_or(0), &mut body, bytes_max).await;
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
    room: &Room,
    announced: usize,
    body: &mut Body,
    bytes_max: usize,
) -> Result<Received, ApiError> {
    let mut received = Received::empty(room, bytes_max)?;
    let bytes_max = received.bytes_max;
    let too_large = || {
        ApiError::too_large(format!("the body has more than {bytes_max} bytes; send smaller ones"))
    };
    if announced > bytes_max {
        return Err(too_large());
    }
    if announced > room.0.charged_max {
        received.wait_for_large_turn().await?;
    }
    received.reserve(announced.min(BELIEVED_BYTES_MAX))?;
    loop {
        let frame = timeout(SILENCE_MAX, body.frame())
            .await
            .map_err(|_| ApiError::new(StatusCode::REQUEST_TIMEOUT, SILENCE))?;
        let Some(frame) = frame else { return Ok(received) };
        let frame = frame
            .map_err(|cause| ApiError::bad_request(format!("request body broke off: {cause}")))?;
        let Ok(data) = frame.into_data() else { continue };
        let total = received.bytes.len() + data.len();
        if total > bytes_max {
            return Err(too_large());
        }
        if total > room.0.charged_max {
            received.wait_for_large_turn().await?;
        }
        received.reserve(data.len())?;
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
    /// Nothing yet, and at most `bytes_max` bytes later.
    fn empty(room: &Room, bytes_max: usize) -> Result<Received, ApiError> {
        let held = room.0.budget.reserve(Pool::Bodies, 0)?;
        let bytes_max = bytes_max.min(room.0.bytes_max);
        Ok(Received {
            bytes: Vec::new(),
            bytes_max,
            held,
            large: None,
            counted: Counted::new(room),
        })
    }

    /// Makes this the one large body.
    async fn wait_for_large_turn(&mut self) -> Result<(), ApiError> {
        if self.large.is_none() {
            let turns = Arc::clone(&self.counted.0.0.large);
            let turn = timeout(LARGE_TURN_WAIT_MAX, turns.acquire_owned()).await;
            let turn = turn.ok().and_then(Result::ok).ok_or_else(too_many_large_bodies)?;
            self.large = Some(turn);
        }
        Ok(())
    }

    /// Makes room for `more` bytes, of which the caller knows that they are not too many, in the budget first
    /// and in the buffer then. A body that has no turn to be large is refused where it would become so.
    fn reserve(&mut self, more: usize) -> Result<(), ApiError> {
        let room = &self.counted.0.0;
        let needed = self.bytes.len() + more;
        if needed <= self.bytes.capacity() {
            return Ok(());
        }
        // Doubling keeps the copying linear.
        let doubled = (self.bytes.capacity() * 2).max(1024);
        let capacity = doubled.min(self.bytes_max).max(needed);
        if capacity > room.charged_max && self.large.is_none() {
            let turns = Arc::clone(&room.large);
            self.large = Some(turns.try_acquire_owned().map_err(|_| too_many_large_bodies())?);
        }
        let charged = capacity.min(room.charged_max);
        self.held.grow(charged.saturating_sub(self.held.bytes()))?;
        self.bytes.reserve_exact(capacity - self.bytes.len());
        Ok(())
    }

    /// Unpacks the body. Blocks for as long as that takes: not for an async thread.
    ///
    /// # Errors
    /// 400 for broken data, 413 for what unpacks to too much, 503 when the memory for bodies is taken.
    pub fn unpack(self, encoding: Encoding) -> Result<Received, ApiError> {
        match encoding {
            Encoding::Identity => Ok(self),
            Encoding::Gzip => self.unpack_gzip(),
            Encoding::SnappyBlock => self.unpack_snappy(),
        }
    }

    /// A block says at its beginning how long it will be. That is believed only where it can be true.
    fn unpack_snappy(mut self) -> Result<Received, ApiError> {
        let invalid = |cause: &dyn std::fmt::Display| {
            ApiError::bad_request(format!(
                "request body is not valid snappy in its block format: {cause}; pack it again"
            ))
        };
        let length = snap::raw::decompress_len(&self.bytes).map_err(|cause| invalid(&cause))?;
        let mut unpacked = Received::empty(&self.counted.0, DECODED_BYTES_MAX)?;
        if length > unpacked.bytes_max {
            return Err(unpacks_to_too_much(format!("{} bytes", unpacked.bytes_max)));
        }
        if length / SNAPPY_RATIO_MAX > self.bytes.len() {
            return Err(invalid(&format_args!("{length} bytes cannot be in it")));
        }
        unpacked.large = self.large.take();
        unpacked.reserve(length)?;
        unpacked.bytes.resize(length, 0);
        let mut decoder = snap::raw::Decoder::new();
        let decoded = decoder.decompress(&self.bytes, &mut unpacked.bytes);
        decoded.map_err(|cause| invalid(&cause))?;
        Ok(unpacked)
    }

    fn unpack_gzip(mut self) -> Result<Received, ApiError> {
        let mut unpacked = Received::empty(&self.counted.0, DECODED_BYTES_MAX)?;
        unpacked.large = self.large.take();
        let mut decoder = MultiGzDecoder::new(self.bytes.as_slice());
        let mut piece = vec![0_u8; 64 << 10];
        loop {
            let count = decoder.read(&mut piece).map_err(|cause| {
                ApiError::bad_request(format!(
                    "request body is not valid gzip: {cause}; pack it again, or send it as it is and \
                     without Content-Encoding"
                ))
            })?;
            let Some(data) = piece.get(..count).filter(|data| !data.is_empty()) else {
                return Ok(unpacked);
            };
            let total = unpacked.bytes.len() + count;
            if total > unpacked.bytes_max {
                return Err(unpacks_to_too_much(format!("{} bytes", unpacked.bytes_max)));
            }
            if total > RATIO_FREE_BYTES && total / RATIO_MAX > self.bytes.len() {
                return Err(unpacks_to_too_much(format!("{RATIO_MAX} times its size")));
            }
            unpacked.reserve(count)?;
            unpacked.bytes.extend_from_slice(data);
        }
    }
}

fn unpacks_to_too_much(limit: String) -> ApiError {
    let message = format!(
        "{TOO_LARGE}: the body unpacks to more than {limit}; send smaller ones, or without \
         Content-Encoding"
    );
    ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, message)
}

fn too_many_large_bodies() -> ApiError {
    ApiError::overloaded(
        "another large request body is being taken in: retry later, or send smaller ones",
    )
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
        let room = Room::new(&budget);
        let got = receive(&room, &HeaderMap::new(), Body::from(data), bytes_max).await;
        match (got, expected) {
            (Ok(received), Ok(length)) => {
                assert_eq!(received.bytes.len(), length);
                let charged = received.bytes.capacity().min(bodies / 4);
                assert_eq!(budget.used(Pool::Bodies), charged);
                assert_eq!(received.large.is_some(), received.bytes.capacity() > bodies / 4);
            }
            (got, expected) => {
                assert_eq!(got.map(|_| ()).unwrap_err().status(), expected.unwrap_err());
            }
        }
        assert_eq!(budget.used(Pool::Bodies), 0, "everything is given back");
        assert_eq!(room.0.large.available_permits(), 1, "the turn too");
        assert_eq!(room.0.open.load(Ordering::Relaxed), 0);
    }

    #[tokio::test]
    async fn bodies_stay_below_their_limit_and_the_budget() {
        check(vec![7; 1000], 1 << 20, 1000, Ok(1000)).await;
        check(Vec::new(), 1 << 20, 1000, Ok(0)).await;
        check(vec![7; 1001], 1 << 20, 1000, Err(413)).await;
        check(vec![7; 300_000], 1 << 20, 1 << 20, Ok(300_000)).await;
        check(vec![7; 1_200_000], 1 << 20, 1 << 22, Ok(1_200_000)).await;
        check(vec![7; 1_400_000], 1 << 20, 1 << 22, Err(413)).await;
    }

    #[tokio::test]
    async fn memory_that_others_hold_is_worth_waiting_for() {
        let budget = budget(8000);
        let room = Room::new(&budget);
        let others = budget.reserve(Pool::Bodies, 7500).unwrap();
        let headers = HeaderMap::new();
        let get = || receive(&room, &headers, Body::from(vec![7; 1000]), 10_000);
        assert_eq!(get().await.unwrap_err().status(), 503);
        drop(others);
        let first = get().await.unwrap();
        assert!(room.holds_one());
        let second = get().await.unwrap();
        assert!(!room.holds_one());
        drop((first, second));
    }

    #[tokio::test]
    async fn large_bodies_take_turns() {
        let room = Room::new(&budget(4000));
        let headers = HeaderMap::new();
        let get = || receive(&room, &headers, Body::from(vec![7; 50_000]), 100_000);
        let first = get().await.unwrap();
        tokio::time::pause();
        assert_eq!(get().await.unwrap_err().status(), 503);
        tokio::time::resume();
        let (second, ()) = tokio::join!(get(), async { drop(first) });
        assert_eq!(second.unwrap().bytes.len(), 50_000);
    }

    #[tokio::test]
    async fn a_length_that_is_too_large_is_refused_before_the_body_arrives() {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_LENGTH, HeaderValue::from(5000));
        let got = receive(&Room::new(&budget(1 << 20)), &headers, Body::empty(), 1000).await;
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
            let mut received = Received::empty(&Room::new(&budget), usize::MAX).unwrap();
            received.reserve(packed.len()).unwrap();
            received.bytes.extend_from_slice(&packed);
            let got = received.unpack(Encoding::Gzip);
            assert_eq!(got.map(|r| r.bytes.len()).map_err(|e| e.status().as_u16()), expected);
            assert_eq!(budget.used(Pool::Bodies), 0);
        }
    }

    #[test]
    fn snappy_is_unpacked_within_bounds() {
        let pack = |data: &[u8]| snap::raw::Encoder::new().compress_vec(data).unwrap();
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
            let budget = budget(64 << 20);
            let mut received = Received::empty(&Room::new(&budget), usize::MAX).unwrap();
            received.reserve(packed.len()).unwrap();
            received.bytes.extend_from_slice(&packed);
            let got = received.unpack(Encoding::SnappyBlock);
            assert_eq!(got.map(|r| r.bytes.len()).map_err(|e| e.status().as_u16()), expected);
            assert_eq!(budget.used(Pool::Bodies), 0);
        }
    }

    #[test]
    fn encodings_of_text() {
        for (text, expected) in [
            (None, Ok(Encoding::Identity)),
            (Some("identity"), Ok(Encoding::Identity)),
            (Some("gzip"), Ok(Encoding::Gzip)),
            (Some("GZIP"), Ok(Encoding::Gzip)),
            (Some("x-gzip"), Ok(Encoding::Gzip)),
            (Some("zstd"), Err(415)),
            (Some("snappy"), Err(415)),
            (Some("gzip, gzip"), Err(415)),
        ] {
            let mut headers = HeaderMap::new();
            if let Some(text) = text {
                headers.insert(CONTENT_ENCODING, HeaderValue::from_static(text));
            }
            assert_eq!(encoding(&headers).map_err(|e| e.status().as_u16()), expected, "{text:?}");
        }
        let mut twice = HeaderMap::new();
        twice.append(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        twice.append(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        assert_eq!(
            encoding(&twice).map_err(|e| e.status().as_u16()),
            Err(415),
            "one inside another"
        );
    }
}
