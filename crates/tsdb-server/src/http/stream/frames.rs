//! The frames of a body on their way from the runtime to a thread that reads them as one stream of bytes.
//!
//! A body that broke off must never pass for one that ended: the end is a message of its own, and who goes away
//! without it has broken off.

use std::io::{self, BufRead, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::body::Bytes;
use parking_lot::Mutex;
use tokio::sync::mpsc;

use crate::http::reply::ApiError;

/// Frames that wait to be read. Each has some hundred KiB at most, which is what a connection reads at once.
const FRAMES_MAX: usize = 4;

enum Message {
    Data(Bytes),
    End,
    Failed(ApiError),
}

/// A channel for one body.
pub(super) fn channel() -> (Sender, Frames) {
    let (sender, messages) = mpsc::channel(FRAMES_MAX);
    let watch = Watch::default();
    (Sender(sender), Frames { messages, current: Bytes::new(), has_ended: false, watch })
}

/// The side that receives from the client.
pub(super) struct Sender(mpsc::Sender<Message>);

impl Sender {
    /// Hands on a frame when there is room for it.
    ///
    /// # Errors
    /// Nobody reads any more.
    pub(super) async fn data(&self, data: Bytes) -> Result<(), ()> {
        self.0.send(Message::Data(data)).await.map_err(|_| ())
    }

    /// The body is whole.
    pub(super) async fn end(self) {
        // Whoever does not read any more does not need to know.
        let _ = self.0.send(Message::End).await;
    }

    /// The body cannot be received.
    pub(super) async fn failed(self, refusal: ApiError) {
        let _ = self.0.send(Message::Failed(refusal)).await;
    }
}

/// What is known of the frames beside their bytes.
#[derive(Clone, Default)]
pub(super) struct Watch {
    bytes: Arc<AtomicU64>,
    failure: Arc<Mutex<Option<ApiError>>>,
}

impl Watch {
    /// Bytes that have been read.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Why the body could not be received, once.
    pub(super) fn failure(&self) -> Option<ApiError> {
        self.failure.lock().take()
    }
}

/// The side that reads; it blocks.
pub(super) struct Frames {
    messages: mpsc::Receiver<Message>,
    current: Bytes,
    has_ended: bool,
    watch: Watch,
}

impl Frames {
    /// Sees what is read.
    pub(super) fn watch(&self) -> Watch {
        self.watch.clone()
    }

    fn fail(&self, refusal: ApiError) -> io::Error {
        let cause = io::Error::new(io::ErrorKind::UnexpectedEof, refusal.message().to_owned());
        *self.watch.failure.lock() = Some(refusal);
        cause
    }
}

impl BufRead for Frames {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        while self.current.is_empty() && !self.has_ended {
            match self.messages.blocking_recv() {
                Some(Message::Data(data)) => {
                    self.watch.bytes.fetch_add(data.len() as u64, Ordering::Relaxed);
                    self.current = data;
                }
                Some(Message::End) => self.has_ended = true,
                Some(Message::Failed(refusal)) => return Err(self.fail(refusal)),
                None => return Err(self.fail(ApiError::bad_request("the client went away"))),
            }
        }
        Ok(&self.current)
    }

    fn consume(&mut self, bytes: usize) {
        let bytes = bytes.min(self.current.len());
        self.current = self.current.slice(bytes..);
    }
}

impl Read for Frames {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let data = self.fill_buf()?;
        let count = data.len().min(out.len());
        if let (Some(from), Some(to)) = (data.get(..count), out.get_mut(..count)) {
            to.copy_from_slice(from);
        }
        self.consume(count);
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn frames_are_one_stream_that_ends_or_breaks_off() {
        let read = |mut frames: Frames| {
            tokio::task::spawn_blocking(move || {
                let watch = frames.watch();
                let mut all = Vec::new();
                let end = frames.read_to_end(&mut all).map_err(|_| watch.failure().unwrap());
                (String::from_utf8(all).unwrap(), end.map_err(|refusal| refusal.status().as_u16()))
            })
        };
        for (end, expected) in [("end", Ok(6)), ("fail", Err(408)), ("gone", Err(400))] {
            let (sender, frames) = channel();
            let reading = read(frames);
            for data in ["ab", "", "cdef"] {
                sender.data(Bytes::from(data)).await.unwrap();
            }
            match end {
                "end" => sender.end().await,
                "fail" => {
                    let timeout = axum::http::StatusCode::REQUEST_TIMEOUT;
                    sender.failed(ApiError::new(timeout, "silence")).await;
                }
                _ => drop(sender),
            }
            assert_eq!(reading.await.unwrap(), ("abcdef".to_owned(), expected), "{end}");
        }
        let (sender, frames) = channel();
        drop(frames);
        assert!(sender.data(Bytes::from("x")).await.is_err());
    }
}
