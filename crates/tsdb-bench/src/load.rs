//! Sends bodies over several kept-alive connections, as fast as they are taken or at a given pace, and
//! measures both sides.
//!
//! Bodies are built before the clock starts, so that the generator does not compete for the cores.

use std::fmt;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::encode::{Body, Format, rows_of, samples_of};
use crate::http::Connection;
use crate::latency::Latency;
use crate::process::own_cpu_s;

/// Where bodies go.
#[derive(Debug, Clone)]
pub struct Destination {
    /// Server as host:port.
    pub server: String,
    /// Path with its query.
    pub path: String,
    /// Header lines of the wire format, each with its line end.
    pub headers: &'static str,
    /// Connections, each with a thread of its own.
    pub connections: usize,
    /// Samples per second over all connections; as fast as possible without.
    pub pace: Option<f64>,
}

/// Repetitions of one request before the server counts as broken.
const RETRIES_MAX: u64 = 60;

/// Header lines that say what a body is.
pub fn headers(format: Format) -> &'static str {
    match format {
        Format::Line | Format::Csv => "",
        Format::Json => "Content-Type: application/x-ndjson\r\n",
        Format::Otlp => "Content-Type: application/x-protobuf\r\n",
        Format::RemoteWrite => {
            "Content-Encoding: snappy\r\nContent-Type: application/x-protobuf\r\nX-Prometheus-Remote-Write-Version: 0.1.0\r\n"
        }
    }
}

/// What sending took.
#[derive(Debug)]
pub struct Sent {
    /// Values that were acknowledged.
    pub samples: u64,
    /// Rows that were acknowledged.
    pub rows: u64,
    /// Bytes of the bodies.
    pub bytes: u64,
    /// From the first byte to the last acknowledgement.
    pub elapsed: Duration,
    /// CPU time of this process in the meantime, in seconds.
    pub client_cpu_s: f64,
    /// Of the requests, repetitions included.
    pub latency: Latency,
    /// Requests that were repeated because the server was busy.
    pub retries: u64,
}

impl Sent {
    /// Millions of values.
    pub fn millions(&self) -> f64 {
        self.samples as f64 / 1e6
    }

    /// Values per second.
    pub fn rate(&self) -> f64 {
        self.samples as f64 / self.elapsed.as_secs_f64()
    }
}

impl fmt::Display for Sent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (rows, millions, bytes) = (self.rows, self.millions(), self.bytes);
        writeln!(f, "{rows} rows, {millions:.2} M samples, {bytes} bytes")?;
        let (seconds, rate) = (self.elapsed.as_secs_f64(), self.rate() / 1e6);
        let (latency, retries) = (&self.latency, self.retries);
        writeln!(
            f,
            "wall {seconds:.2} s, {rate:.2} M samples/s; request {latency}; {retries} repeated"
        )?;
        write!(f, "client CPU per M samples {:.4} s", self.client_cpu_s / millions)
    }
}

/// Sends all bodies; each goes to the connection that is free first.
///
/// # Errors
/// A connection that fails, an answer other than 2xx (but for 503 with `Retry-After`, which is waited for):
/// the first of them, and nothing more is sent.
pub fn send(bodies: &[Body], destination: &Destination) -> Result<Sent, String> {
    let client_before_s = own_cpu_s();
    let next = AtomicUsize::new(0);
    let retries = AtomicU64::new(0);
    let started = Instant::now();
    // When each body is due: once all before it have taken the time that the pace gives them.
    let mut samples_before = 0;
    let due: Vec<Duration> = bodies
        .iter()
        .map(|body| {
            let begin = destination.pace.map_or(0.0, |pace| samples_before as f64 / pace);
            samples_before += body.samples;
            Duration::from_secs_f64(begin)
        })
        .collect();
    let sender = || {
        let mut connection = Connection::open(&destination.server)?;
        let mut times = Vec::new();
        loop {
            let place = next.fetch_add(1, Ordering::Relaxed);
            let Some((body, due)) = bodies.get(place).zip(due.get(place)) else { return Ok(times) };
            std::thread::sleep(due.saturating_sub(started.elapsed()));
            let begin = Instant::now();
            match post(&mut connection, destination, body) {
                Ok(count) => retries.fetch_add(count, Ordering::Relaxed),
                Err(refusal) => {
                    next.store(bodies.len(), Ordering::Relaxed);
                    return Err(refusal);
                }
            };
            times.push(begin.elapsed());
        }
    };
    let times = std::thread::scope(|scope| {
        let senders: Vec<_> =
            (0..destination.connections.max(1)).map(|_| scope.spawn(sender)).collect();
        let mut all = Vec::new();
        for sender in senders {
            all.extend(sender.join().map_err(|_| "a sender panicked".to_owned())??);
        }
        Ok::<Vec<Duration>, String>(all)
    })?;
    let elapsed = started.elapsed();
    let client_cpu_s = own_cpu_s() - client_before_s;
    Ok(Sent {
        samples: samples_of(bodies),
        rows: rows_of(bodies),
        bytes: bodies.iter().map(|body| body.bytes.len() as u64).sum(),
        elapsed,
        client_cpu_s,
        latency: Latency::new(times),
        retries: retries.into_inner(),
    })
}

/// Sends one body until it is taken, as agents do: a 503 means to come again later, and `Retry-After` says
/// when. Gives back how often it was repeated.
fn post(
    connection: &mut Connection,
    destination: &Destination,
    body: &Body,
) -> Result<u64, String> {
    let mut retries = 0;
    loop {
        let answer =
            connection.request("POST", &destination.path, destination.headers, &body.bytes)?;
        match answer.retry_after_s {
            Some(seconds) if answer.status == 503 && retries < RETRIES_MAX => {
                retries += 1;
                std::thread::sleep(Duration::from_secs(seconds.clamp(1, 10)));
            }
            _ => return answer.expect_success().map(|_| retries),
        }
    }
}
