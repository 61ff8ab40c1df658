//! Connections: accepting, serving HTTP/1.1 and HTTP/2 on one port, in clear text or by TLS, and ending them in
//! an orderly way.
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
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout};
use tokio_rustls::server::TlsStream;

use crate::Error;
use crate::auth::Peer;
use crate::tls::Tls;

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
/// A client that has not come to terms about encryption in this time is cut off.
const HANDSHAKE_TIME_MAX: Duration = Duration::from_secs(10);
/// First byte of a connection by TLS: the type of the record with its handshake (RFC 8446, section 5.1).
const HANDSHAKE: u8 = 22;
/// What a client is told that speaks HTTP where TLS is spoken.
const IN_CLEAR_TEXT: &str = "{\"error\":\"this port speaks TLS: use https:// in the URL\"}\n";
/// Bytes of its request that are read so that it sees the answer, and for how long.
const IN_CLEAR_TEXT_BYTES_MAX: u64 = 64 << 10;
const IN_CLEAR_TEXT_TIME_MAX: Duration = Duration::from_secs(1);
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
/// With `tls` all are encrypted.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    tls: Option<Arc<Tls>>,
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
        let (protocol, watcher, tls) = (protocol.clone(), open.watcher(), tls.clone());
        tokio::spawn(async move {
            let Some(tls) = tls else {
                return converse(stream, service, &protocol, watcher, turn).await;
            };
            match timeout(HANDSHAKE_TIME_MAX, encrypted(stream, &tls)).await {
                Ok(Ok(stream)) => converse(stream, service, &protocol, watcher, turn).await,
                Ok(Err(cause)) => tracing::debug!(%cause, "no connection by TLS"),
                Err(_) => tracing::debug!("a client took too long to come to terms by TLS"),
            }
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

/// The stream of a client that speaks TLS.
async fn encrypted(mut stream: TcpStream, tls: &Tls) -> std::io::Result<TlsStream<TcpStream>> {
    let mut first = [HANDSHAKE];
    stream.peek(&mut first).await?;
    if first == [HANDSHAKE] {
        return tls.acceptor().accept(stream).await;
    }
    let head = "HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\nconnection: close";
    let answer =
        format!("{head}\r\ncontent-length: {}\r\n\r\n{IN_CLEAR_TEXT}", IN_CLEAR_TEXT.len());
    stream.write_all(answer.as_bytes()).await?;
    stream.shutdown().await?;
    // Closed with bytes unread, the connection would be reset and the answer lost.
    let mut rest = stream.take(IN_CLEAR_TEXT_BYTES_MAX);
    let mut nowhere = tokio::io::sink();
    let _ = timeout(IN_CLEAR_TEXT_TIME_MAX, tokio::io::copy(&mut rest, &mut nowhere)).await;
    Err(std::io::Error::new(std::io::ErrorKind::InvalidData, "the client does not speak TLS"))
}

/// Answers the requests of a connection until it ends; it holds `turn` for so long.
async fn converse(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    service: FromPeer<TowerToHyperService<Router>>,
    protocol: &auto::Builder<TokioExecutor>,
    watcher: Watcher,
    turn: OwnedSemaphorePermit,
) {
    let connection = protocol.serve_connection(TokioIo::new(stream), service).into_owned();
    if let Err(cause) = watcher.watch(connection).await {
        tracing::debug!(%cause, "connection ended early");
    }
    drop(turn);
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
