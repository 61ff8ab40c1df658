//! Connections: accepting, serving HTTP/1.1 and cleartext HTTP/2 on one port, and ending them in an
//! orderly way.
//!
//! Not here: what requests are answered with.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::Request;
use hyper::service::Service;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout};

use crate::Error;
use crate::auth::Peer;

/// A client that sends no complete request head in this time is cut off; the time also bounds how long
/// an idle connection is kept.
const HEAD_TIME_MAX: Duration = Duration::from_secs(30);
/// Largest head of an HTTP/1.1 request; hyper's least is 8 KiB.
const HEAD_BYTES_MAX: usize = 64 << 10;
/// Largest header list of an HTTP/2 request (security checklist 12).
const HEADER_LIST_BYTES_MAX: u32 = 16 << 10;
/// Requests at once on one HTTP/2 connection (security checklist 12).
const STREAMS_MAX: u32 = 128;
/// HTTP/2 connections are asked after so much silence whether they are still there.
const KEEP_ALIVE_EVERY: Duration = Duration::from_secs(30);
/// Pause after a failed accept, which usually means that files have run out: trying at once would spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Opens the port.
///
/// # Errors
/// [`Error::Listen`].
pub async fn bind(address: SocketAddr) -> Result<TcpListener, Error> {
    TcpListener::bind(address).await.map_err(|cause| Error::Listen { address, cause })
}

/// Serves connections until `stop` ends, then lets open requests finish, for at most `grace`. Returns
/// whether all of them did. Each connection has one of `turns`, and one more is held by who waits for the next.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    turns: Arc<Semaphore>,
    stop: impl Future<Output = ()>,
    grace: Duration,
) -> bool {
    let open = GracefulShutdown::new();
    let protocol = protocol();
    tokio::pin!(stop);
    loop {
        let accepted = tokio::select! {
            biased;
            () = &mut stop => break,
            accepted = accept(&listener, &turns) => accepted,
        };
        let (stream, peer, turn) = match accepted {
            Ok(accepted) => accepted,
            Err(cause) => {
                tracing::warn!(%cause, "cannot accept a connection");
                sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let service = TowerToHyperService::new(router.clone());
        let service = FromPeer { peer, service };
        let connection = protocol.serve_connection(TokioIo::new(stream), service).into_owned();
        let connection = open.watch(connection);
        tokio::spawn(async move {
            if let Err(cause) = connection.await {
                tracing::debug!(%cause, "connection ended early");
            }
            drop(turn);
        });
    }
    drop(listener);
    timeout(grace, open.shutdown()).await.is_ok()
}

/// The next connection, once one more may be open. Until then it waits in the kernel's queue.
async fn accept(
    listener: &TcpListener,
    turns: &Arc<Semaphore>,
) -> std::io::Result<(TcpStream, Peer, OwnedSemaphorePermit)> {
    let turn = Arc::clone(turns).acquire_owned().await.map_err(std::io::Error::other)?;
    let (stream, address) = listener.accept().await?;
    // Responses are written whole; waiting for more of them would only add latency.
    stream.set_nodelay(true)?;
    Ok((stream, Peer(address.ip()), turn))
}

/// A service whose requests say which address they came from.
#[derive(Clone)]
struct FromPeer<S> {
    peer: Peer,
    service: S,
}

impl<S: Service<Request<B>>, B> Service<Request<B>> for FromPeer<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn call(&self, mut request: Request<B>) -> S::Future {
        request.extensions_mut().insert(self.peer);
        self.service.call(request)
    }
}

fn protocol() -> auto::Builder<TokioExecutor> {
    let mut protocol = auto::Builder::new(TokioExecutor::new());
    protocol
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME_MAX)
        .max_buf_size(HEAD_BYTES_MAX);
    protocol
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_MAX)
        .max_header_list_size(HEADER_LIST_BYTES_MAX)
        .keep_alive_interval(KEEP_ALIVE_EVERY);
    protocol
}
