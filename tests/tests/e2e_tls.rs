//! TLS as clients use it: curl over HTTP/1.1 and HTTP/2 against a certificate that it trusts, and a new one that the
//! running server takes at SIGHUP.

#![expect(clippy::unwrap_used, reason = "a test reports by panicking, its helpers too")]

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;
use tsdb_tests::beside::time_until;
use tsdb_tests::peer::is_installed;
use tsdb_tests::server::Server;

/// Makes a certificate for `localhost` that signs itself; the files are there at once or not at all.
fn make_certificate(dir: &Path) {
    let made = Command::new("openssl")
        .current_dir(dir)
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"])
        .args(["-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"])
        .args(["-keyout", "new.key", "-out", "new.cert"])
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    std::fs::rename(dir.join("new.key"), dir.join("key.pem")).unwrap();
    std::fs::rename(dir.join("new.cert"), dir.join("cert.pem")).unwrap();
}

/// What curl prints that trusts the certificate of `dir` alone; nothing if it makes no connection.
fn curl(dir: &Path, arguments: &[&str]) -> Option<String> {
    let done = Command::new("curl")
        .current_dir(dir)
        .args(["--silent", "--show-error", "--max-time", "20", "--cacert", "trusted.pem"])
        .args(arguments)
        .output()
        .unwrap();
    done.status.success().then(|| String::from_utf8(done.stdout).unwrap())
}

#[test]
fn curl_writes_and_reads_by_tls_and_a_new_certificate_is_taken_at_sighup() {
    for program in ["openssl", "curl"] {
        if !is_installed(program) {
            return tsdb_tests::skip(&format!(
                "{program} is not installed (apt-get install {program})"
            ));
        }
    }
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    make_certificate(dir.path());
    std::fs::copy(at("cert.pem"), at("trusted.pem")).unwrap();
    let (cert, key) = (at("cert.pem").display().to_string(), at("key.pem").display().to_string());
    let flags = ["--tls-cert", &cert, "--tls-key", &key];
    let server = Server::start(&at("data"), &flags);
    let url = format!("https://localhost:{}", server.address().port());
    let ask = |more: &[&str]| {
        let query = format!("{url}/query?db=d&epoch=ns&q=SELECT+v+FROM+m");
        curl(dir.path(), &[&[query.as_str()], more].concat())
    };
    let write = format!("{url}/write?db=d");
    assert_eq!(curl(dir.path(), &[&write, "--data-binary", "m v=1 7"]).as_deref(), Some(""));
    let version = ["--output", "/dev/null", "--write-out", "%{http_version}"];
    assert!(ask(&["--http1.1"]).unwrap().contains("[[7,1]]"));
    assert_eq!(ask(&[&["--http1.1"], &version[..]].concat()).as_deref(), Some("1.1"));
    // Not every curl speaks HTTP/2; ours does where it can.
    let second = ask(&[&["--http2"], &version[..]].concat()).unwrap();
    assert!(second == "2" || second == "1.1", "{second}");
    // The port in clear text.
    assert_eq!(server.client().get("/ping").unwrap().status, 400);

    make_certificate(dir.path());
    server.signal(Signal::HUP);
    time_until("new connections get the new certificate", Duration::from_secs(5), || {
        ask(&[]).is_none()
    });
    std::fs::copy(at("cert.pem"), at("trusted.pem")).unwrap();
    assert!(ask(&[]).unwrap().contains("[[7,1]]"));
    let (status, log) = server.terminate();
    assert_eq!(status.code(), Some(0), "{log}");
}
