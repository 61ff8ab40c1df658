//! Sends batches over several kept-alive connections and measures both sides.

use std::fmt;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::process::{Usage, usage};
use crate::usecase::CpuOnly;

/// Where and how to send.
#[derive(Debug, clap::Args)]
pub struct LoadOptions {
    /// Server, as host:port.
    #[arg(long, default_value = "127.0.0.1:8086")]
    server: String,
    /// Database to write to.
    #[arg(long, default_value = "benchmark")]
    database: String,
    /// Do not create the database first, for servers without databases.
    #[arg(long)]
    no_create: bool,
    /// Lines per request.
    #[arg(long, default_value_t = 5000)]
    batch: usize,
    /// Connections, each with a thread of its own.
    #[arg(long, default_value_t = 2)]
    connections: usize,
    /// Process id of the server, to measure its CPU and memory.
    #[arg(long)]
    pid: Option<u32>,
    /// Path that makes the server flush, POSTed to at the end; its CPU counts.
    #[arg(long)]
    flush_path: Option<String>,
    /// Path that makes the server compact, POSTed to after the flush; its CPU counts.
    #[arg(long)]
    compact_path: Option<String>,
}

/// What a load cost.
#[derive(Debug)]
pub struct LoadReport {
    samples: u64,
    lines: usize,
    bytes: usize,
    elapsed: Duration,
    client_cpu_s: f64,
    /// Usage until the last acknowledgement, and until the finishing requests were answered.
    server: Option<(f64, f64, Usage)>,
    latency: [Duration; 3],
}

impl fmt::Display for LoadReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millions = self.samples as f64 / 1e6;
        let [median, p99, max] = self.latency;
        writeln!(f, "{} lines, {millions:.2} M samples, {} bytes", self.lines, self.bytes)?;
        writeln!(
            f,
            "wall {:.2} s, {:.2} M samples/s; request median {median:?}, p99 {p99:?}, max {max:?}",
            self.elapsed.as_secs_f64(),
            millions / self.elapsed.as_secs_f64(),
        )?;
        write!(f, "client CPU per M samples {:.4} s", self.client_cpu_s / millions)?;
        if let Some((written, finished, usage)) = &self.server {
            write!(
                f,
                "\nserver CPU per M samples {:.4} s until acknowledged, {:.4} s until finished; peak RSS {} MiB",
                written / millions,
                finished / millions,
                usage.rss_peak_bytes >> 20
            )?;
        }
        Ok(())
    }
}

/// Builds all batches, sends them, and finishes.
///
/// # Errors
/// A connection that fails, an answer other than 2xx, a server process that cannot be looked at.
pub fn load(mut usecase: CpuOnly, options: &LoadOptions) -> Result<LoadReport, String> {
    let samples_per_line = usecase.samples_per_line();
    let (batches, lines) = build(&mut usecase, options.batch.max(1));
    let bytes = batches.iter().map(Vec::len).sum();
    let write_path = format!("/write?db={}", options.database);
    let mut control = Connection::open(&options.server)?;
    if !options.no_create {
        control.post(&format!("/query?q=CREATE%20DATABASE%20{}", options.database), b"")?;
    }
    let read_usage = || options.pid.map(usage).transpose();
    let before = read_usage()?;
    let own_before = usage(std::process::id())?;
    let started = Instant::now();
    let next = AtomicUsize::new(0);
    let mut latencies = std::thread::scope(|scope| {
        let senders: Vec<_> = (0..options.connections.max(1))
            .map(|_| scope.spawn(|| send(&options.server, &write_path, &batches, &next)))
            .collect();
        let mut all = Vec::new();
        for sender in senders {
            all.extend(sender.join().map_err(|_| "a sender panicked".to_owned())??);
        }
        Ok::<Vec<Duration>, String>(all)
    })?;
    let elapsed = started.elapsed();
    let own_after = usage(std::process::id())?;
    let written = read_usage()?;
    for path in [&options.flush_path, &options.compact_path].into_iter().flatten() {
        control.post(path, b"")?;
    }
    let finished = read_usage()?;
    latencies.sort_unstable();
    let at = |per_thousand: usize| {
        let place = (latencies.len() * per_thousand / 1000).min(latencies.len().saturating_sub(1));
        latencies.get(place).copied().unwrap_or_default()
    };
    let server = before.zip(written).zip(finished).map(|((before, written), finished)| {
        (written.cpu_s - before.cpu_s, finished.cpu_s - before.cpu_s, finished)
    });
    Ok(LoadReport {
        samples: lines as u64 * samples_per_line,
        lines,
        bytes,
        elapsed,
        client_cpu_s: own_after.cpu_s - own_before.cpu_s,
        server,
        latency: [at(500), at(990), at(1000)],
    })
}

fn build(usecase: &mut CpuOnly, batch_lines: usize) -> (Vec<Vec<u8>>, usize) {
    let mut batches = Vec::new();
    let mut lines = 0;
    loop {
        let mut batch = Vec::new();
        let mut count = 0;
        while count < batch_lines && usecase.next_line(&mut batch) {
            count += 1;
        }
        if count == 0 {
            return (batches, lines);
        }
        lines += count;
        batches.push(batch);
    }
}

fn send(
    server: &str,
    path: &str,
    batches: &[Vec<u8>],
    next: &AtomicUsize,
) -> Result<Vec<Duration>, String> {
    let mut connection = Connection::open(server)?;
    let mut latencies = Vec::new();
    while let Some(batch) = batches.get(next.fetch_add(1, Ordering::Relaxed)) {
        let started = Instant::now();
        connection.post(path, batch)?;
        latencies.push(started.elapsed());
    }
    Ok(latencies)
}

/// A kept-alive HTTP/1.1 connection that knows as much of the protocol as the answers to writes need.
struct Connection {
    stream: BufReader<TcpStream>,
    host: String,
}

impl Connection {
    fn open(server: &str) -> Result<Connection, String> {
        let connected = TcpStream::connect(server);
        let stream = connected.map_err(|error| format!("cannot connect to {server}: {error}"))?;
        stream.set_nodelay(true).map_err(|error| format!("cannot set up the socket: {error}"))?;
        Ok(Connection { stream: BufReader::new(stream), host: server.to_owned() })
    }

    fn post(&mut self, path: &str, body: &[u8]) -> Result<(), String> {
        let io = |error: std::io::Error| format!("POST {path}: {error}");
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: {}\r\nContent-Length: {}\r\n\r\n",
            self.host,
            body.len()
        );
        let socket = self.stream.get_mut();
        socket.write_all(head.as_bytes()).and_then(|()| socket.write_all(body)).map_err(io)?;
        let mut line = String::new();
        self.stream.read_line(&mut line).map_err(io)?;
        let status: u32 = line.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0);
        let mut length = Some(0);
        loop {
            let mut header = String::new();
            self.stream.read_line(&mut header).map_err(io)?;
            if header.trim_end().is_empty() {
                break;
            }
            if let Some((name, value)) = header.split_once(':') {
                if name.eq_ignore_ascii_case("content-length") {
                    length = value.trim().parse().ok();
                }
                if name.eq_ignore_ascii_case("transfer-encoding") {
                    length = None;
                }
            }
        }
        let answer = match length {
            Some(length) => self.read_bytes(length),
            None => self.read_chunks(),
        }
        .map_err(io)?;
        if (200..300).contains(&status) {
            Ok(())
        } else {
            let text = String::from_utf8_lossy(&answer);
            Err(format!("POST {path}: status {status}: {}", text.trim()))
        }
    }

    fn read_bytes(&mut self, length: usize) -> std::io::Result<Vec<u8>> {
        let mut bytes = vec![0; length];
        self.stream.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    /// A body in chunks (RFC 9112, section 7.1), without trailers.
    fn read_chunks(&mut self) -> std::io::Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let mut size = String::new();
            self.stream.read_line(&mut size)?;
            let length = usize::from_str_radix(size.trim(), 16);
            let length = length.map_err(|_| std::io::ErrorKind::InvalidData)?;
            body.extend(self.read_bytes(length)?);
            self.stream.read_line(&mut String::new())?;
            if length == 0 {
                return Ok(body);
            }
        }
    }
}
