//! The way of a response's pieces from the thread that makes them to the client, which it waits for.

use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes};
use http_body_util::channel::{Channel, Sender};
use hyper::body::{Body as HttpBody, Frame};
use tokio::runtime::Handle;
use tsdb_exec::{Error, Result};

use crate::query::{Canceller, Watch};

/// Pieces that are still to be sent.
pub(in crate::http) type Coming = Channel<Bytes, Error>;

/// The near end of the way.
pub(in crate::http) struct Pieces {
    /// `None` once the response is over.
    sender: Option<Sender<Bytes, Error>>,
    runtime: Handle,
}

impl Pieces {
    /// A way on which `ahead` pieces may wait for the client.
    pub(in crate::http) fn new(ahead: usize, runtime: Handle) -> (Pieces, Coming) {
        let (sender, coming) = Channel::new(ahead);
        (Pieces { sender: Some(sender), runtime }, coming)
    }

    /// Waits until there is room and sends a piece. False when the client is gone.
    ///
    /// # Errors
    /// The statements were ended meanwhile.
    pub(in crate::http) fn send(&mut self, piece: Bytes, canceller: &Canceller) -> Result<bool> {
        let Some(sender) = &mut self.sender else { return Ok(false) };
        self.runtime.block_on(async {
            tokio::select! {
                biased;
                sent = sender.send_data(piece) => Ok(sent.is_ok()),
                reason = canceller.cancelled() => Err(reason.into()),
            }
        })
    }

    /// Ends the response with what says why; if the client has no room for that, in a way that looks like no end.
    pub(in crate::http) fn end(&mut self, last: Vec<u8>, error: Error) {
        let Some(mut sender) = self.sender.take() else { return };
        if sender.try_send(Frame::data(Bytes::from(last))).is_err() {
            sender.abort(error);
        }
    }

    /// Ends the response in a way that looks like no end.
    pub(in crate::http) fn abort(&mut self, error: Error) {
        if let Some(sender) = self.sender.take() {
            sender.abort(error);
        }
    }
}

/// The body of pieces that come. It is dropped when it has been sent, or when the client went away: the watch
/// ends statements that still run then.
pub(in crate::http) fn body(coming: Coming, watch: Watch) -> Body {
    Body::new(Watched { coming, has_ended: false, _watch: watch })
}

struct Watched {
    coming: Coming,
    /// Who packs a body asks for more behind its end, where the way must not be asked.
    has_ended: bool,
    _watch: Watch,
}

impl HttpBody for Watched {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<std::result::Result<Frame<Bytes>, Self::Error>>> {
        if self.has_ended {
            return Poll::Ready(None);
        }
        let polled = Pin::new(&mut self.coming).poll_frame(context);
        self.has_ended = matches!(polled, Poll::Ready(None | Some(Err(_))));
        polled
    }
}
