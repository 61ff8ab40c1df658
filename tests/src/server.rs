//! The server as a process: start it on a free port, wait until it is ready, end it in every way.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::http::Client;

/// Longest time to get ready, replay included.
const START_TIME_MAX: Duration = Duration::from_secs(60);
/// Longest time to end after SIGTERM, as promised, with some slack for a busy machine.
const STOP_TIME_MAX: Duration = Duration::from_secs(15);

/// Path of the server binary.
///
/// # Panics
/// When `TSDB_SERVER_BIN` does not name it.
pub fn binary() -> PathBuf {
    release_binary("tsdb-server", "TSDB_SERVER_BIN")
}

/// Path of the release binary of a package, from the environment variable that names it.
///
/// # Panics
/// When it does not.
pub fn release_binary(package: &str, variable: &str) -> PathBuf {
    let path = std::env::var_os(variable).map(PathBuf::from).unwrap_or_else(|| {
        panic!("{variable} is not set: run `cargo build --release -p {package}` and set it to target/release/{package}")
    });
    assert!(path.is_file(), "{variable} {} does not exist", path.display());
    // Tests run in the directory of their package.
    path.canonicalize().unwrap()
}

/// A running server. Dropped, it is killed.
#[derive(Debug)]
pub struct Server {
    child: Child,
    address: SocketAddr,
    announcement: Vec<String>,
    log: Log,
}

/// A server that ended before it was ready.
#[derive(Debug)]
pub struct Refusal {
    /// How it ended.
    pub status: ExitStatus,
    /// What it wrote to standard error.
    pub log: String,
}

impl Server {
    /// Starts a server on `data_dir` and waits until it answers `/ping`.
    #[track_caller]
    pub fn start(data_dir: &Path, flags: &[&str]) -> Server {
        match Server::try_start(data_dir, flags) {
            Ok(server) => server,
            Err(refusal) => panic!("the server did not start: {refusal:?}"),
        }
    }

    /// As [`Server::start`].
    ///
    /// # Errors
    /// The server ended by itself.
    pub fn try_start(data_dir: &Path, flags: &[&str]) -> Result<Server, Refusal> {
        let mut command = command(data_dir, flags);
        Server::launch(&mut command)
    }

    /// Starts a prepared command and waits until the server answers `/ping`, or, where it speaks TLS, tells so.
    ///
    /// # Errors
    /// The server ended by itself.
    pub fn launch(command: &mut Command) -> Result<Server, Refusal> {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the server binary runs");
        let log = Log::of(child.stderr.take().unwrap());
        match announcement(&mut child) {
            Some(announcement) => {
                let address = address_of(&announcement);
                let server = Server { child, address, announcement, log };
                server.wait_until_ready();
                Ok(server)
            }
            None => {
                let status = child.wait().unwrap();
                Err(Refusal { status, log: log.whole() })
            }
        }
    }

    fn wait_until_ready(&self) {
        let begin = Instant::now();
        while begin.elapsed() < START_TIME_MAX {
            let is_fit = |status| status == 204 || status == 400 && self.speaks_tls();
            if self.client().get("/ping").is_ok_and(|response| is_fit(response.status)) {
                return;
            }
            thread::sleep(Duration::from_millis(5));
        }
        panic!("the server did not answer /ping within {START_TIME_MAX:?}");
    }

    fn speaks_tls(&self) -> bool {
        self.announcement.iter().any(|line| line.contains("listens on https://"))
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it printed when it was ready.
    pub fn announcement(&self) -> &[String] {
        &self.announcement
    }

    /// A new client.
    pub fn client(&self) -> Client {
        Client::new(self.address)
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it has logged so far.
    pub fn log(&self) -> String {
        self.log.so_far()
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        let id = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).unwrap();
        kill_process(id, signal).unwrap();
    }

    /// Ends it as `kill -9` does, and waits until it is gone.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Ends it as a supervisor does, and returns its exit status and its log.
    #[track_caller]
    pub fn terminate(self) -> (ExitStatus, String) {
        self.signal(Signal::TERM);
        self.wait()
    }

    /// Waits until it ends by itself.
    #[track_caller]
    pub fn wait(mut self) -> (ExitStatus, String) {
        let begin = Instant::now();
        while begin.elapsed() < STOP_TIME_MAX {
            if let Some(status) = self.child.try_wait().unwrap() {
                return (status, std::mem::take(&mut self.log).whole());
            }
            thread::sleep(Duration::from_millis(5));
        }
        panic!("the server did not end within {STOP_TIME_MAX:?}");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already, which is what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The command that starts a server on `data_dir` and a free port.
pub fn command(data_dir: &Path, flags: &[&str]) -> Command {
    let mut command = Command::new(binary());
    command.env_clear().arg("--data-dir").arg(data_dir);
    if !flags.contains(&"--listen") {
        command.args(["--listen", "127.0.0.1:0"]);
    }
    command.args(flags);
    command
}

/// What a process writes to standard error, read as it comes.
#[derive(Debug, Default)]
struct Log {
    bytes: Arc<Mutex<Vec<u8>>>,
    reader: Option<JoinHandle<()>>,
}

impl Log {
    /// Reads everything that comes, until the other end closes.
    fn of(mut stream: impl Read + Send + 'static) -> Log {
        let bytes = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&bytes);
        let reader = thread::spawn(move || {
            let mut piece = [0; 8192];
            while let Ok(count @ 1..) = stream.read(&mut piece) {
                let mut bytes = sink.lock().unwrap_or_else(PoisonError::into_inner);
                bytes.extend_from_slice(piece.get(..count).unwrap_or_default());
            }
        });
        Log { bytes, reader: Some(reader) }
    }

    fn so_far(&self) -> String {
        let bytes = self.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// All of it, once the process has ended.
    fn whole(mut self) -> String {
        if let Some(reader) = self.reader.take() {
            reader.join().unwrap();
        }
        self.so_far()
    }
}

/// The lines that a server prints when it is ready, up to the last of its three commands. None when it
/// ends without printing them.
fn announcement(child: &mut Child) -> Option<Vec<String>> {
    let stdout = BufReader::new(child.stdout.take().unwrap());
    let (sender, receiver) = mpsc::channel();
    // The thread goes on reading after the announcement, so that the pipe never fills.
    thread::spawn(move || {
        for line in stdout.lines().map_while(Result::ok) {
            let _ = sender.send(line);
        }
    });
    let mut lines: Vec<String> = Vec::new();
    let begin = Instant::now();
    loop {
        let left = START_TIME_MAX.saturating_sub(begin.elapsed());
        match receiver.recv_timeout(left) {
            Ok(line) => lines.push(line),
            Err(RecvTimeoutError::Disconnected) => return None,
            Err(RecvTimeoutError::Timeout) => {
                panic!("no announcement in {START_TIME_MAX:?}: {lines:?}")
            }
        }
        if commands_of(&lines).len() == 3 {
            return Some(lines);
        }
    }
}

/// The lines that are meant to be pasted.
pub fn commands_of(announcement: &[String]) -> Vec<&str> {
    announcement.iter().map(|line| line.trim()).filter(|line| line.starts_with("curl ")).collect()
}

fn address_of(announcement: &[String]) -> SocketAddr {
    let words = announcement.first().unwrap().split_whitespace();
    let (_, address) = words.last().unwrap().split_once("://").unwrap();
    address.parse().unwrap()
}

/// Every file below `dir` with its content, to see whether anything was touched.
pub fn contents(dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files = Vec::new();
    let mut left = vec![dir.to_owned()];
    while let Some(dir) = left.pop() {
        for entry in std::fs::read_dir(&dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                left.push(path);
            } else {
                let bytes = std::fs::read(&path).unwrap();
                files.push((path, bytes));
            }
        }
    }
    files.sort();
    files
}
