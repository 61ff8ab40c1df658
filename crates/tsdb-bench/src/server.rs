//! A running server in a temporary directory: started, asked, settled, killed, started again.
//!
//! In-process databases run in a Python process and are spoken to through pipes; from here on both kinds
//! are the same.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::encode::Format;
use crate::http::Connection;
use crate::load::{Destination, headers};
use crate::peer::{DATABASE, Kind};
use crate::process::{Usage, length_of, usage};

/// Longest time to get ready, replay included.
const START_TIME_MAX: Duration = Duration::from_secs(120);
/// Longest time to end after SIGTERM.
const STOP_TIME_MAX: Duration = Duration::from_secs(60);
/// Longest time until background work has come to rest.
const SETTLE_TIME_MAX: Duration = Duration::from_secs(300);

/// A server or database with its directory. Dropped, it is killed and the directory removed.
pub struct Server {
    kind: Kind,
    dir: TempDir,
    port: u16,
    child: Child,
    pipes: Option<(ChildStdin, BufReader<ChildStdout>)>,
}

impl Server {
    /// Starts a server with no data, and waits until it is ready; where there are databases, one is made.
    ///
    /// # Errors
    /// It is not installed, or does not get ready; the message holds the end of its log.
    pub fn start(kind: Kind) -> Result<Server, String> {
        let dir = tempfile::Builder::new()
            .prefix("tsdb-bench-")
            .tempdir()
            .map_err(|error| format!("cannot create a temporary directory: {error}"))?;
        let port = free_port()?;
        let (child, pipes) = launch(kind, &dir, port)?;
        let mut server = Server { kind, dir, port, child, pipes };
        server.wait_until_ready()?;
        if matches!(kind, Kind::Tsdb | Kind::Influxdb) {
            let path = format!("/query?q=CREATE%20DATABASE%20{DATABASE}");
            server.connect()?.post(&path, &[])?.expect_success()?;
        }
        Ok(server)
    }

    /// Starts it again over the data that is there; the time from the start of the process until it is
    /// ready.
    ///
    /// # Errors
    /// As [`Server::start`].
    pub fn start_again(&mut self) -> Result<Duration, String> {
        let begin = Instant::now();
        (self.child, self.pipes) = launch(self.kind, &self.dir, self.port)?;
        self.wait_until_ready()?;
        Ok(begin.elapsed())
    }

    fn wait_until_ready(&mut self) -> Result<(), String> {
        if self.kind.is_embedded() {
            return self.tell(&json!({"do": "version"})).map(|_| ());
        }
        let begin = Instant::now();
        while begin.elapsed() < START_TIME_MAX {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Err(self.complain(&format!("ended with {status} before it was ready")));
            }
            let ready = self.connect().and_then(|mut c| c.get(self.kind.ready_path()));
            if ready.is_ok_and(|answer| answer.expect_success().is_ok()) {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        Err(self.complain("did not get ready"))
    }

    fn complain(&self, what: &str) -> String {
        let log = std::fs::read_to_string(self.log()).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        let last = lines.get(lines.len().saturating_sub(5)..).unwrap_or(&[]);
        format!("{} {what}; its log ends with: {}", self.kind.name(), last.join(" | "))
    }

    fn log(&self) -> PathBuf {
        self.dir.path().join("log")
    }

    /// What it is.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What its process has used so far.
    ///
    /// # Errors
    /// The process has ended.
    pub fn usage(&self) -> Result<Usage, String> {
        usage(self.pid()).map_err(|error| self.complain(&error))
    }

    /// Where it listens, as host:port.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// A new connection.
    ///
    /// # Errors
    /// Nobody listens.
    pub fn connect(&self) -> Result<Connection, String> {
        Connection::open(&self.address())
    }

    /// Where bodies of `format` are sent.
    pub fn destination(&self, format: Format) -> Destination {
        Destination {
            server: self.address(),
            path: self.kind.write_path(format),
            headers: headers(format),
            connections: self.kind.connections(),
            pace: None,
        }
    }

    /// Sends one command to an in-process database and reads its answer.
    ///
    /// # Errors
    /// What the database says is wrong, or a process that has ended.
    pub fn tell(&mut self, command: &Value) -> Result<Value, String> {
        let name = self.kind.name();
        let (input, output) =
            self.pipes.as_mut().ok_or_else(|| format!("{name} is not an in-process database"))?;
        let mut line = String::new();
        let told = writeln!(input, "{command}").and_then(|()| output.read_line(&mut line));
        if told.is_err() || line.is_empty() {
            return Err(self.complain("ended"));
        }
        let answer: Value = serde_json::from_str(&line)
            .map_err(|error| format!("{name} answered no JSON: {error}"))?;
        match answer.get("error").and_then(Value::as_str) {
            Some(error) => Err(format!("{name}: {error}")),
            None => Ok(answer),
        }
    }

    /// Has everything flushed and merged, and waits until the process is quiet and its files keep their
    /// length.
    ///
    /// # Errors
    /// A request that fails, or work that does not come to rest.
    pub fn settle(&mut self) -> Result<(), String> {
        if self.kind.is_embedded() {
            return self.tell(&json!({"do": "settle"})).map(|_| ());
        }
        for path in self.kind.settle_paths() {
            self.connect()?.post(path, &[])?.expect_success()?;
        }
        // InfluxDB begins to merge ten seconds after the last write.
        let quiet_wanted = match self.kind {
            Kind::Influxdb => Duration::from_secs(14),
            _ => Duration::from_secs(2),
        };
        self.wait_for_quiet(quiet_wanted)
    }

    fn wait_for_quiet(&self, quiet_wanted: Duration) -> Result<(), String> {
        let begin = Instant::now();
        let mut quiet_since = Instant::now();
        let mut last = (self.usage()?.cpu_s, length_of(&self.data_dir()));
        while begin.elapsed() < SETTLE_TIME_MAX {
            std::thread::sleep(Duration::from_millis(500));
            let now = (self.usage()?.cpu_s, length_of(&self.data_dir()));
            // Five percent of a core is what idle servers spend on themselves.
            if now.0 - last.0 > 0.025 || now.1 != last.1 {
                quiet_since = Instant::now();
            }
            last = now;
            if quiet_since.elapsed() >= quiet_wanted {
                return Ok(());
            }
        }
        Err(format!("{} did not come to rest in {SETTLE_TIME_MAX:?}", self.kind.name()))
    }

    fn data_dir(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// A file of its directory that is not its own, for data that is handed over as a file.
    pub fn exchange_file(&self) -> PathBuf {
        self.dir.path().join("exchange.csv")
    }

    /// Bytes of its files, by their length. Of Prometheus the blocks that a snapshot writes: its log of
    /// the newest hours is no measure of what it stores.
    ///
    /// # Errors
    /// A snapshot that cannot be made.
    pub fn disk_bytes(&self) -> Result<u64, String> {
        if self.kind == Kind::Prometheus {
            self.connect()?.post("/api/v1/admin/tsdb/snapshot", &[])?.expect_success()?;
            return Ok(length_of(&self.data_dir().join("snapshots")));
        }
        Ok(length_of(&self.data_dir()))
    }

    /// Ends it as kill -9 does.
    ///
    /// # Errors
    /// A process that cannot be killed.
    pub fn kill(&mut self) -> Result<(), String> {
        let killed = self.child.kill().and_then(|()| self.child.wait());
        killed.map(|_| ()).map_err(|error| format!("cannot kill {}: {error}", self.kind.name()))
    }

    /// Ends it as a supervisor does; the time until it has ended.
    ///
    /// # Errors
    /// It does not end.
    pub fn stop(&mut self) -> Result<Duration, String> {
        let begin = Instant::now();
        let pid = i32::try_from(self.pid()).ok().and_then(Pid::from_raw);
        let pid = pid.ok_or("the process has no id")?;
        kill_process(pid, Signal::TERM).map_err(|error| self.complain(&error.to_string()))?;
        while begin.elapsed() < STOP_TIME_MAX {
            if let Ok(Some(_)) = self.child.try_wait() {
                return Ok(begin.elapsed());
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        Err(self.complain("did not end after SIGTERM"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already, which is what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

type Pipes = Option<(ChildStdin, BufReader<ChildStdout>)>;

fn launch(kind: Kind, dir: &TempDir, port: u16) -> Result<(Child, Pipes), String> {
    let mut command = kind.command(dir.path(), port, free_port()?)?;
    let log = File::options().create(true).append(true).open(dir.path().join("log"));
    let log = log.map_err(|error| format!("cannot write a log: {error}"))?;
    let log_too = log.try_clone().map_err(|error| format!("cannot write a log: {error}"))?;
    command.stderr(log);
    if kind.is_embedded() {
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
    } else {
        command.stdin(Stdio::null()).stdout(log_too);
    }
    let spawned = command.spawn();
    let mut child = spawned.map_err(|error| format!("cannot start {}: {error}", kind.name()))?;
    let pipes = child.stdin.take().zip(child.stdout.take());
    Ok((child, pipes.map(|(input, output)| (input, BufReader::new(output)))))
}

/// A port that nobody uses just now.
fn free_port() -> Result<u16, String> {
    let listener = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    listener.map(|address| address.port()).map_err(|error| format!("no free port: {error}"))
}
