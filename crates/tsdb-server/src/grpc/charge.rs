//! What a call sends, before it is decoded: charged to the memory for bodies as it arrives, and handed on
//! message by message, once one is complete.
//!
//! The decoder makes room for a message as soon as it knows its length, and keeps what it has of it without
//! telling anybody. So it sees none before all of it is here and paid for. What paid for it then goes to who
//! works with the message ([`Receipts`]), so that it is paid for all the way and never twice.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use hyper::body::{Body as HttpBody, Frame};
use parking_lot::Mutex;
use tokio::time::{Sleep, sleep};
use tonic::{Code, Status};
use tsdb_core::{MemoryBudget, Pool, Reservation};

use super::{QUERY_BYTES_MAX, WRITES};
use crate::app::App;
use crate::status;

/// Longest silence inside a message.
const SILENCE_MAX: Duration = Duration::from_secs(30);
/// What is said of a longer one.
const SILENCE: &str = "no byte of the message came for 30 s: send messages without such pauses";

/// Bytes in front of a message: whether it is compressed, and its length.
const HEADER_BYTES: usize = 5;

/// A message is kept in pieces of at most so many bytes, which go one by one when it is handed on.
const PIECE_BYTES: usize = 64 << 10;

/// Charges what a call sends. A layer of all calls.
pub(super) async fn charged(State(app): State<Arc<App>>, request: Request) -> Request {
    let is_write = request.uri().path().starts_with(WRITES);
    let bytes_max = if is_write { app.config().body_bytes_max } else { QUERY_BYTES_MAX };
    let receipts = Receipts::default();
    let (mut parts, body) = request.into_parts();
    parts.extensions.insert(receipts.clone());
    let body = Charged::new(body, app.budget().clone(), bytes_max, receipts);
    Request::from_parts(parts, Body::new(body))
}

/// What pays for the messages of a call that have been handed on, the oldest first.
#[derive(Debug, Clone, Default)]
pub struct Receipts(Arc<Mutex<VecDeque<Reservation>>>);

impl Receipts {
    /// What paid for the oldest message that nobody has asked for yet.
    pub fn take(&self) -> Option<Reservation> {
        self.0.lock().pop_front()
    }

    /// The decoder wants to have more, so it has made messages of all that were handed on. Who works with
    /// one takes what paid for it at once, or, where there is but one, when the call has been sent whole.
    fn forget_all_but_one(&self) {
        self.0.lock().truncate(1);
    }
}

/// The body of a call.
struct Charged {
    inner: Body,
    budget: MemoryBudget,
    /// Longest message. The decoder refuses a longer one, by its header alone.
    bytes_max: usize,
    arriving: Message,
    /// Frames of complete messages.
    complete: VecDeque<Bytes>,
    receipts: Receipts,
    silence: Option<Pin<Box<Sleep>>>,
    /// Why nothing comes behind the frames of complete messages.
    refusal: Option<Status>,
    is_over: bool,
}

/// A message in parts.
struct Message {
    header: Vec<u8>,
    /// Bytes that are missing, once the header is there.
    missing: usize,
    pieces: Vec<Vec<u8>>,
    held: Reservation,
}

impl Message {
    fn new(budget: &MemoryBudget) -> Message {
        let held = budget.reserve_anyway(Pool::Bodies, 0);
        Message { header: Vec::with_capacity(HEADER_BYTES), missing: 0, pieces: Vec::new(), held }
    }

    fn has_header(&self) -> bool {
        self.header.len() == HEADER_BYTES
    }

    /// Takes what it needs of `data`, and gives back the rest.
    fn take<'d>(&mut self, data: &'d [u8]) -> Result<&'d [u8], tsdb_core::Error> {
        if !self.has_header() {
            let (head, rest) = data.split_at(data.len().min(HEADER_BYTES - self.header.len()));
            self.header.extend_from_slice(head);
            if let Some((_, [a, b, c, d])) = self.header.split_first() {
                self.missing = u32::from_be_bytes([*a, *b, *c, *d]) as usize;
            }
            return Ok(rest);
        }
        let (own, rest) = data.split_at(data.len().min(self.missing));
        self.missing -= own.len();
        let mut own = own;
        while !own.is_empty() {
            let room = self.pieces.last().map_or(0, |piece| PIECE_BYTES - piece.len());
            if room == 0 {
                self.pieces.push(Vec::new());
                continue;
            }
            let (some, others) = own.split_at(own.len().min(room));
            if let Some(piece) = self.pieces.last_mut() {
                let (length, capacity) = (piece.len(), piece.capacity());
                let wanted = (length + some.len()).next_power_of_two().min(PIECE_BYTES);
                if wanted > capacity {
                    self.held.grow(wanted - capacity)?;
                    piece.reserve_exact(wanted - length);
                }
                piece.extend_from_slice(some);
            }
            own = others;
        }
        Ok(rest)
    }
}

impl Charged {
    fn new(inner: Body, budget: MemoryBudget, bytes_max: usize, receipts: Receipts) -> Charged {
        Charged {
            arriving: Message::new(&budget),
            inner,
            budget,
            bytes_max,
            complete: VecDeque::new(),
            receipts,
            silence: None,
            refusal: None,
            is_over: false,
        }
    }

    fn take(&mut self, data: &[u8]) {
        let mut data = data;
        while !data.is_empty() && !self.is_over {
            data = match self.arriving.take(data) {
                Ok(rest) => rest,
                Err(error) => {
                    let code = status::of(error.kind()).grpc;
                    return self.refuse(Status::new(code, error.to_string()));
                }
            };
            if self.arriving.has_header() {
                if self.arriving.missing > self.bytes_max {
                    self.hand_on();
                    self.is_over = true;
                } else if self.arriving.missing == 0 {
                    self.hand_on();
                }
            }
        }
    }

    /// Ends the body with `status`, behind the messages that are complete, and gives back what paid for the
    /// one that arrives.
    fn refuse(&mut self, status: Status) {
        self.refusal = Some(status);
        self.is_over = true;
        self.arriving = Message::new(&self.budget);
    }

    /// Hands on what there is of the message that arrives.
    fn hand_on(&mut self) {
        let message = std::mem::replace(&mut self.arriving, Message::new(&self.budget));
        let Message { header, pieces, held, .. } = message;
        self.complete.extend([header].into_iter().chain(pieces).map(Bytes::from));
        self.receipts.0.lock().push_back(held);
    }

    /// Whether the client has begun a message and been silent for too long.
    fn poll_silence(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if self.arriving.header.is_empty() {
            return Poll::Pending;
        }
        let silence = self.silence.get_or_insert_with(|| Box::pin(sleep(SILENCE_MAX)));
        silence.as_mut().poll(context)
    }
}

impl HttpBody for Charged {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = self.get_mut();
        loop {
            if let Some(data) = this.complete.pop_front() {
                return Poll::Ready(Some(Ok(Frame::data(data))));
            }
            if this.is_over {
                return Poll::Ready(this.refusal.take().map(Err));
            }
            this.receipts.forget_all_but_one();
            let Poll::Ready(frame) = Pin::new(&mut this.inner).poll_frame(context) else {
                ready!(this.poll_silence(context));
                this.refuse(Status::new(Code::DeadlineExceeded, SILENCE));
                continue;
            };
            this.silence = None;
            match frame.map(|frame| frame.map(Frame::into_data)) {
                Some(Ok(Ok(data))) => this.take(&data),
                Some(Ok(Err(trailers))) => return Poll::Ready(Some(Ok(trailers))),
                Some(Err(cause)) => this.refuse(Status::from_error(Box::new(cause))),
                None => {
                    this.is_over = true;
                    // That something is missing the decoder will see.
                    if !this.arriving.header.is_empty() {
                        this.hand_on();
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt;
    use http_body_util::channel::{Channel, Sender};

    const BYTES_MAX: usize = 1 << 20;

    struct Fixture {
        budget: MemoryBudget,
        sender: Sender<Bytes>,
        receipts: Receipts,
        body: Charged,
    }

    impl Fixture {
        fn new(pool: usize) -> Fixture {
            let budget = MemoryBudget::with_limits([0, 0, 0, 0, pool]);
            let (sender, channel) = Channel::<Bytes>::new(64);
            let receipts = Receipts::default();
            let inner = Body::new(channel);
            let body = Charged::new(inner, budget.clone(), BYTES_MAX, receipts.clone());
            Fixture { budget, sender, receipts, body }
        }

        async fn send(&mut self, data: &[u8]) {
            self.sender.send_data(Bytes::copy_from_slice(data)).await.unwrap();
        }

        fn used(&self) -> usize {
            self.budget.used(Pool::Bodies)
        }

        /// The next frame, if there is one without waiting.
        async fn poll(&mut self) -> Option<Result<Vec<u8>, Status>> {
            let frame = tokio::time::timeout(Duration::ZERO, self.body.frame()).await.ok()??;
            Some(frame.map(|frame| frame.into_data().unwrap().to_vec()))
        }

        /// All that can be read without waiting.
        async fn drain(&mut self) -> Vec<u8> {
            let mut all = Vec::new();
            while let Some(frame) = self.poll().await {
                all.extend(frame.unwrap());
            }
            all
        }
    }

    fn message(body: &[u8]) -> Vec<u8> {
        let length = u32::try_from(body.len()).unwrap().to_be_bytes();
        [&[0], &length[..], body].concat()
    }

    fn noise(length: usize) -> Vec<u8> {
        (0..=250).cycle().step_by(7).take(length).collect()
    }

    #[tokio::test]
    async fn bytes_arrive_whole_however_they_were_cut() {
        let messages: Vec<Vec<u8>> =
            [0, 1, 100, 70_000, 200_000, 0, 3].map(|length| message(&noise(length))).into();
        let all = messages.concat();
        for cut in [1, 4, 5, 6, 1000, 65_536, all.len()] {
            // Small cuts of the small ones only: the channel has few places.
            let all = if cut < 1000 { messages[..3].concat() } else { all.clone() };
            let mut fixture = Fixture::new(1 << 20);
            let mut got = Vec::new();
            for piece in all.chunks(cut) {
                fixture.send(piece).await;
                got.extend(fixture.drain().await);
                while fixture.receipts.take().is_some() {}
            }
            assert!(got == all, "{cut}");
            assert_eq!(fixture.used(), 0, "{cut}");
        }
    }

    #[tokio::test]
    async fn a_message_is_charged_while_it_arrives_and_until_its_receipt_goes() {
        let mut fixture = Fixture::new(100_000);
        let whole = message(&noise(70_000));
        fixture.send(&whole[..40_000]).await;
        assert!(fixture.poll().await.is_none(), "nothing is handed on before it is complete");
        assert!((39_000..70_000).contains(&fixture.used()), "{}", fixture.used());
        fixture.send(&whole[40_000..]).await;
        assert_eq!(fixture.drain().await, whole);
        assert!((70_000..80_000).contains(&fixture.used()), "{}", fixture.used());
        let receipt = fixture.receipts.take().unwrap();
        assert_eq!(receipt.bytes(), fixture.used());
        drop(receipt);
        assert_eq!(fixture.used(), 0);
        // What nobody asks for does not pile up: one message at most is paid for.
        for _ in 0..10 {
            fixture.send(&message(&[7; 1000])).await;
            fixture.drain().await;
        }
        assert_eq!(fixture.used(), 1024);
        // A client that goes away in the middle gives all of it back.
        fixture.send(&whole[..40_000]).await;
        assert!(fixture.poll().await.is_none());
        assert!(fixture.used() > 40_000);
        let budget = fixture.budget.clone();
        drop(fixture);
        assert_eq!(budget.used(Pool::Bodies), 0);
    }

    #[tokio::test]
    async fn a_message_that_finds_no_memory_is_refused_while_it_arrives() {
        let mut fixture = Fixture::new(100_000);
        let whole = message(&noise(200_000));
        for piece in whole.chunks(10_000) {
            fixture.send(piece).await;
        }
        let status = fixture.poll().await.unwrap().unwrap_err();
        assert_eq!(status.code(), Code::Unavailable);
        assert!(status.message().contains("--memory-limit"), "{status:?}");
        assert!(fixture.body.frame().await.is_none(), "that was the end");
    }

    #[tokio::test]
    async fn a_message_before_one_that_is_refused_gets_through() {
        let mut fixture = Fixture::new(100_000);
        let (small, large) = (message(&[7; 20]), message(&noise(200_000)));
        fixture.send(&[small.as_slice(), &large].concat()).await;
        let frames = [fixture.poll().await, fixture.poll().await].map(Option::unwrap);
        assert_eq!(frames.map(Result::unwrap).concat(), small);
        assert_eq!(fixture.poll().await.unwrap().unwrap_err().code(), Code::Unavailable);
        assert!(fixture.body.frame().await.is_none());
        drop(fixture.receipts.take());
        assert_eq!(fixture.used(), 0);
    }

    #[tokio::test]
    async fn a_message_that_is_too_long_is_handed_on_as_its_header() {
        let mut fixture = Fixture::new(100_000);
        let length = u32::try_from(BYTES_MAX + 1).unwrap().to_be_bytes();
        fixture.send(&[&[0], &length[..], &[7; 1000]].concat()).await;
        assert_eq!(fixture.poll().await.unwrap().unwrap().len(), HEADER_BYTES);
        assert!(fixture.body.frame().await.is_none());
        assert_eq!(fixture.used(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_falls_silent_inside_a_message_is_ended() {
        for sent in [3, 10] {
            let mut fixture = Fixture::new(100_000);
            fixture.send(&message(&[7; 20])).await;
            assert_eq!(fixture.drain().await.len(), 25);
            // Between messages there is all the time of the world.
            let wait = tokio::time::timeout(Duration::from_secs(3600), fixture.body.frame());
            assert!(wait.await.is_err());
            for at in 0..sent {
                fixture.send(&message(&[7; 20])[at..=at]).await;
                let wait = tokio::time::timeout(
                    SILENCE_MAX - Duration::from_secs(1),
                    fixture.body.frame(),
                );
                assert!(wait.await.is_err(), "each byte gives it time again");
            }
            let begin = tokio::time::Instant::now();
            let status = fixture.body.frame().await.unwrap().unwrap_err();
            assert_eq!(status.code(), Code::DeadlineExceeded);
            assert!(begin.elapsed() <= SILENCE_MAX, "{:?}", begin.elapsed());
            assert!(fixture.body.frame().await.is_none());
        }
    }
}
