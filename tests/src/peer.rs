//! Other programs that suites start beside the server: whether they are installed, an address for them, and
//! their end.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::http::Client;

/// Longest time until a program answers.
const START_TIME_MAX: Duration = Duration::from_secs(60);

/// Whether a program is found where commands are.
pub fn is_installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|dir| dir.join(program).is_file())
}

/// An address on loopback that nobody listens on.
pub fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// A program that answers HTTP. Dropped, it is killed.
#[derive(Debug)]
pub struct Peer {
    child: Child,
    /// Where it listens.
    pub address: SocketAddr,
}

impl Peer {
    /// Starts a program without its output, and waits until `GET ready` at `address` is answered with success.
    #[track_caller]
    pub fn start(command: &mut Command, address: SocketAddr, ready: &str) -> Peer {
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let peer = Peer { child, address };
        let begin = Instant::now();
        let is_ready = || {
            let response = Client::new(address).get(ready);
            response.is_ok_and(|response| (200..300).contains(&response.status))
        };
        while !is_ready() {
            assert!(begin.elapsed() < START_TIME_MAX, "{command:?} does not start");
            std::thread::sleep(Duration::from_millis(50));
        }
        peer
    }
}

/// InfluxDB with its data in `dir`.
#[track_caller]
pub fn influxdb(dir: &Path) -> Peer {
    let (address, backup) = (free_address(), free_address());
    let path = |name: &str| dir.join(name).display().to_string();
    let config = format!(
        "reporting-disabled = true\nbind-address = \"{backup}\"\n\
         [meta]\ndir = \"{}\"\n[data]\ndir = \"{}\"\nwal-dir = \"{}\"\n\
         [http]\nbind-address = \"{address}\"\nlog-enabled = false\n\
         [monitor]\nstore-enabled = false\n",
        path("meta"),
        path("data"),
        path("wal")
    );
    std::fs::write(dir.join("influxdb.conf"), config).unwrap();
    let mut command = Command::new("influxd");
    Peer::start(command.args(["run", "-config", &path("influxdb.conf")]), address, "/ping")
}

impl Drop for Peer {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
