//! Request bodies: received under a limit, under a deadline and under the memory budget, and unpacked
//! under limits of their own (`unpack`, and `encoding` for what they can be packed with).
//!
//! Not here: what is in them.

mod encoding;
mod unpack;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::header::CONTENT_LENGTH;
use axum::http::{HeaderMap, StatusCode};
use http_body_util::BodyExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use tsdb_core::{MemoryBudget, Pool, Reservation};

use super::reply::{ApiError, header};
pub use encoding::{Encoding, encoding, encodings, unsupported};
#[cfg(test)]
pub(super) use unpack::pack;
pub(super) use unpack::{broken, check_ratio};

/// Largest body after unpacking, 64 MiB (security checklist 1). Writers split their batches long before.
pub const DECODED_BYTES_MAX: usize = 64 << 20;

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
            discard_some(&mut body).await;
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
        let Some(data) = frame(body).await? else { return Ok(received) };
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

/// The next bytes of a body; `None` at its end.
///
/// # Errors
/// 408 for a client that falls silent, 400 for one that breaks off.
pub(super) async fn frame(body: &mut Body) -> Result<Option<Bytes>, ApiError> {
    loop {
        let frame = timeout(SILENCE_MAX, body.frame())
            .await
            .map_err(|_| ApiError::new(StatusCode::REQUEST_TIMEOUT, SILENCE))?;
        let Some(frame) = frame else { return Ok(None) };
        let frame = frame
            .map_err(|cause| ApiError::bad_request(format!("request body broke off: {cause}")))?;
        if let Ok(data) = frame.into_data() {
            return Ok(Some(data));
        }
    }
}

/// A reader of what `packed` unpacks to; `None` for what is unpacked whole.
///
/// # Errors
/// No memory.
pub(super) fn reader<'r>(
    encoding: Encoding,
    packed: impl std::io::BufRead + Send + 'r,
    budget: &MemoryBudget,
) -> tsdb_core::Result<Option<Box<dyn std::io::Read + Send + 'r>>> {
    encoding.reader(packed, budget)
}

/// Reads on for a while, and throws away what comes: see [`DISCARD_BYTES_MAX`].
pub(super) async fn discard_some(body: &mut Body) {
    // Whether the client read the answer matters to it alone.
    let _ = timeout(DISCARD_TIME_MAX, discard(body)).await;
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

    fn budget(bodies: usize) -> MemoryBudget {
        MemoryBudget::with_limits([1 << 20, 1 << 20, 1 << 20, 1 << 20, bodies])
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
}
