//! Connections by TLS: what is spoken on them, who is turned away, and certificates that change.

use std::net::SocketAddr;
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, oneshot};
use tokio_rustls::TlsConnector;

use super::*;

/// A certificate for `localhost`, which signs itself, in two files.
struct Files {
    dir: TempDir,
}

impl Files {
    fn new() -> Files {
        let files = Files { dir: tempfile::tempdir().unwrap() };
        files.renew();
        files
    }

    fn cert(&self) -> PathBuf {
        self.dir.path().join("cert.pem")
    }

    fn key(&self) -> PathBuf {
        self.dir.path().join("key.pem")
    }

    /// Other files with the same names, as tools that renew certificates leave them.
    fn renew(&self) -> CertificateDer<'static> {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        for (path, text) in
            [(self.cert(), made.cert.pem()), (self.key(), made.signing_key.serialize_pem())]
        {
            let new = path.with_extension("new");
            std::fs::write(&new, text).unwrap();
            std::fs::rename(new, path).unwrap();
        }
        made.cert.der().clone()
    }

    fn load(&self) -> Result<Tls, Error> {
        Tls::load(self.cert(), self.key())
    }
}

/// A server that answers one path, with the certificate of some files.
struct Running {
    files: Files,
    tls: Arc<Tls>,
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    served: tokio::task::JoinHandle<bool>,
}

impl Running {
    async fn start() -> Running {
        let files = Files::new();
        let tls = Arc::new(files.load().unwrap());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = axum::Router::new().route("/hello", axum::routing::get(|| async { "by TLS" }));
        let (stop, stopped) = oneshot::channel::<()>();
        let stopped = async move {
            let _ = stopped.await;
        };
        let turns = Arc::new(Semaphore::new(4));
        let encryption = Some(Arc::clone(&tls));
        let grace = Duration::from_secs(5);
        let served =
            tokio::spawn(crate::listen::serve(listener, router, encryption, turns, stopped, grace));
        Running { files, tls, address, stop, served }
    }

    /// Connects as a client that trusts `root` alone and offers `protocol`.
    async fn connect(
        &self,
        root: &CertificateDer<'static>,
        protocol: &[u8],
    ) -> std::io::Result<tokio_rustls::client::TlsStream<TcpStream>> {
        let mut roots = RootCertStore::empty();
        roots.add(root.clone()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![protocol.to_vec()];
        let stream = TcpStream::connect(self.address).await?;
        let name = ServerName::try_from("localhost").unwrap();
        TlsConnector::from(Arc::new(config)).connect(name, stream).await
    }

    fn root(&self) -> CertificateDer<'static> {
        CertificateDer::from_pem_file(self.files.cert()).unwrap()
    }

    /// The answer to a request in HTTP/1.1.
    async fn hello(&self, root: &CertificateDer<'static>) -> std::io::Result<String> {
        let mut stream = self.connect(root, b"http/1.1").await?;
        let request = "GET /hello HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
        stream.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        Ok(answer)
    }

    async fn end(self) {
        self.stop.send(()).unwrap();
        assert!(self.served.await.unwrap(), "all connections have ended");
    }
}

#[tokio::test]
async fn http_1_and_http_2_are_spoken_and_who_trusts_another_certificate_is_not_answered() {
    let running = Running::start().await;
    let answer = running.hello(&running.root()).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("by TLS"), "{answer}");
    let mut stream = running.connect(&running.root(), b"h2").await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    // The preface of a client and empty settings (RFC 9113, section 3.4); the server's settings come back.
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.unwrap();
    let mut head = [0; 9];
    stream.read_exact(&mut head).await.unwrap();
    assert_eq!(head[3], 4, "the first frame has settings");
    drop(stream);
    let other = Files::new().renew();
    assert!(running.hello(&other).await.is_err());
    running.end().await;
}

#[tokio::test]
async fn plain_http_is_told_what_is_spoken_and_disturbs_nobody() {
    let running = Running::start().await;
    let silent = TcpStream::connect(running.address).await.unwrap();
    let mut plain = TcpStream::connect(running.address).await.unwrap();
    plain.write_all(b"GET /hello HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    plain.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains("https://"), "{answer}");
    assert!(running.hello(&running.root()).await.unwrap().ends_with("by TLS"));
    drop(silent);
    running.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_never_comes_to_terms_is_cut_off_and_gives_its_turn_back() {
    let running = Running::start().await;
    let mut silent = Vec::new();
    for _ in 0..4 {
        let mut stream = TcpStream::connect(running.address).await.unwrap();
        // The head of a record with a handshake that does not come.
        stream.write_all(&[22, 3, 1, 2, 0]).await.unwrap();
        silent.push(stream);
    }
    let mut first = silent.remove(0);
    let mut rest = Vec::new();
    let _ = first.read_to_end(&mut rest).await;
    drop((first, silent));
    assert!(running.hello(&running.root()).await.unwrap().ends_with("by TLS"));
    running.end().await;
}

#[tokio::test]
async fn a_new_certificate_is_taken_and_a_bad_one_leaves_the_old() {
    let running = Running::start().await;
    let old = running.root();
    assert!(!running.tls.reload_if_changed().unwrap());
    let new = running.files.renew();
    assert!(running.hello(&old).await.is_ok() && running.hello(&new).await.is_err());
    assert!(running.tls.reload_if_changed().unwrap());
    assert!(running.hello(&old).await.is_err() && running.hello(&new).await.is_ok());
    std::fs::write(running.files.cert(), "no certificate").unwrap();
    let error = running.tls.reload_if_changed().unwrap_err().to_string();
    assert!(error.contains("tls-cert") && error.contains("cert.pem"), "{error}");
    assert!(running.hello(&new).await.is_ok());
    // Told once.
    assert!(!running.tls.reload_if_changed().unwrap());
    running.end().await;
}

#[test]
fn files_that_do_not_fit_are_refused_by_name() {
    let (files, other) = (Files::new(), Files::new());
    let refused = |cert: PathBuf, key: PathBuf, parts: &[&str]| {
        let error = Tls::load(cert, key).unwrap_err().to_string();
        assert!(parts.iter().all(|part| error.contains(part)), "{error}");
    };
    refused(files.cert(), other.key(), &["tls-cert", "must belong to the key", "key.pem"]);
    refused(files.key(), files.key(), &["tls-cert", "key.pem", "certificate"]);
    refused(files.cert(), files.cert(), &["tls-key", "cert.pem", "one key in PEM"]);
    refused(files.dir.path().join("nowhere"), files.key(), &["tls-cert", "nowhere"]);
    refused(files.cert(), files.dir.path().join("nowhere"), &["tls-key", "nowhere"]);
    assert!(files.load().is_ok());
}
