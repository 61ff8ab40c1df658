//! TLS: a certificate and its key from files, which are read again when they change.
//!
//! Not here: connections, see `listen.rs`.

use std::fs::Metadata;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

use crate::Error;
use crate::app::blocking;

/// How often the files are looked at: soon enough for whoever waits for a new certificate, and for nothing.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// What is offered, the best first (RFC 7301).
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// The certificate that connections are encrypted with.
#[derive(Debug)]
pub struct Tls {
    cert: PathBuf,
    key: PathBuf,
    current: ArcSwap<ServerConfig>,
    /// What the files looked like when they were read last.
    seen: Mutex<[Look; 2]>,
}

/// Time of the last change in seconds and ns, size and number of a file; nothing for one that is not there.
type Look = Option<(i64, i64, u64, u64)>;

impl Tls {
    /// Reads a chain of certificates, the server's own first, and its key, both in PEM.
    ///
    /// # Errors
    /// [`Error::Config`] that names the file and what is wrong with it.
    pub fn load(cert: PathBuf, key: PathBuf) -> Result<Tls, Error> {
        let seen = [look(&cert), look(&key)];
        let current = ArcSwap::from_pointee(server_config(&cert, &key)?);
        warn_if_readable(&key);
        Ok(Tls { cert, key, current, seen: Mutex::new(seen) })
    }

    /// What takes a new connection in.
    pub fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(self.current.load_full())
    }

    /// Reads the files again. Connections that are open go on with what they began with; after an error new ones do,
    /// too.
    ///
    /// # Errors
    /// As [`Tls::load`].
    pub fn reload(&self) -> Result<(), Error> {
        *self.seen() = [look(&self.cert), look(&self.key)];
        self.current.store(Arc::new(server_config(&self.cert, &self.key)?));
        Ok(())
    }

    /// Reads the files again if they have changed since; whether they had.
    ///
    /// # Errors
    /// As [`Tls::load`], once for each change.
    pub fn reload_if_changed(&self) -> Result<bool, Error> {
        let is_changed = *self.seen() != [look(&self.cert), look(&self.key)];
        if is_changed {
            self.reload()?;
        }
        Ok(is_changed)
    }

    fn seen(&self) -> std::sync::MutexGuard<'_, [Look; 2]> {
        // Nothing panics while it holds the lock.
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Looks at the files now and then, for as long as the runtime runs.
pub fn watch(tls: &Arc<Tls>) {
    let tls = Arc::clone(tls);
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let looked = Arc::clone(&tls);
            match blocking(move || looked.reload_if_changed()).await {
                Ok(Ok(true)) => tracing::info!("the certificate of TLS was read again"),
                Ok(Err(error)) => {
                    tracing::error!(%error, "the certificate of TLS stays what it was");
                }
                Ok(Ok(false)) => {}
                Err(_) => return,
            }
        }
    });
}

fn server_config(cert: &Path, key: &Path) -> Result<ServerConfig, Error> {
    let wrong = |setting: &str, path: &Path, what: String| Error::Config {
        message: format!("{setting} {}: {what}", path.display()),
    };
    let of_cert = |what: String| wrong("tls-cert", cert, what);
    let chain = CertificateDer::pem_file_iter(cert)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|cause| of_cert(format!("{cause}: give a file of certificates in PEM")))?;
    if chain.is_empty() {
        return Err(of_cert("has no certificate: give a file of certificates in PEM".to_owned()));
    }
    let secret = PrivateKeyDer::from_pem_file(key).map_err(|cause| {
        wrong("tls-key", key, format!("{cause}: give a file with one key in PEM"))
    })?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, secret))
        .map_err(|cause| {
            let remedy = format!("{cause}: it must belong to the key in {}", key.display());
            of_cert(remedy)
        })?;
    config.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).to_vec();
    Ok(config)
}

fn look(path: &Path) -> Look {
    let of = |file: Metadata| (file.mtime(), file.mtime_nsec(), file.len(), file.ino());
    std::fs::metadata(path).ok().map(of)
}

/// A key that everybody on the machine can read is no secret.
fn warn_if_readable(key: &Path) {
    if std::fs::metadata(key).is_ok_and(|file| file.permissions().mode() & 0o004 != 0) {
        tracing::warn!(
            key = %key.display(),
            "everybody on this machine can read the key of TLS: chmod o-r"
        );
    }
}

#[cfg(test)]
mod tests;
