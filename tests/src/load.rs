//! Writing as fast as the server takes it, with a ledger of what it acknowledged: [`Ledger`] sends,
//! remembers, and compares with what a server has.
//!
//! A batch is a request that is sent again and again, each time one **round** later: the same series at
//! another time with another number. Its text is made once; a round only replaces digits, so that the
//! sender costs little beside the server. A batch is repeated until it is acknowledged before its next
//! round begins. What a server must have is then told by one number per batch, and what it may have by
//! one more.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::beside::Stop;
use crate::http::{Client, Response};
use crate::meter::Times;

/// Time of the first row of each series, and the time between two.
const TIME_FIRST_NS: u64 = 1_700_000_000_000_000_000;
const TIME_STEP_NS: u64 = 1_000_000_000;
/// Field `n` of the first row of each series; it grows by one from row to row. All that follow have seven digits too.
const NUMBER_FIRST: u64 = 1_000_000;
/// Rows of a series that keep the number of digits.
const ROWS_MAX: u64 = 8_000_000;

/// Fields of a row, `n` among them.
pub const FIELDS: u64 = 10;

/// What to write.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    /// Connections, each with series of its own.
    pub writers: usize,
    /// Batches of each writer.
    pub batches: usize,
    /// Series of each batch.
    pub batch_series: u64,
    /// Rows of each series in one batch.
    pub series_rows: u64,
}

impl Shape {
    /// Series of all writers.
    pub fn series(self) -> u64 {
        self.writers as u64 * self.batches as u64 * self.batch_series
    }
}

/// One request, and how often it was acknowledged.
#[derive(Debug)]
pub struct Batch {
    name: String,
    text: Vec<u8>,
    marks: Vec<Mark>,
    shape: Shape,
    /// Rounds that were acknowledged.
    acknowledged: u64,
    /// Whether the round after the acknowledged ones was sent, and may be there or not.
    is_open: bool,
}

/// Where digits of a line stand that change from round to round.
#[derive(Debug, Clone, Copy)]
struct Mark {
    number_at: usize,
    time_at: usize,
}

impl Batch {
    fn new(writer: usize, index: usize, shape: Shape) -> Batch {
        let name = format!("w{writer}b{index}");
        let (text, marks) = (Vec::new(), Vec::new());
        let mut batch = Batch { name, text, marks, shape, acknowledged: 0, is_open: false };
        // Row by row and not series by series: lines of one time stand together.
        for _ in 0..shape.series_rows {
            (0..shape.batch_series).for_each(|series| batch.push_line(series));
        }
        batch
    }

    /// One row. Each series has a host of its own, beside tags that many share.
    fn push_line(&mut self, series: u64) {
        let name = &self.name;
        let line = format!(
            "load,batch={name},dc=dc{},host={name}h{series},rack=r{} n=",
            series % 10,
            series % 1000,
        );
        self.text.extend_from_slice(line.as_bytes());
        let number_at = self.text.len();
        self.text.extend_from_slice(NUMBER_FIRST.to_string().as_bytes());
        for field in 1..FIELDS {
            let value = (series * 7919 + field * 104_729) % 10_000;
            self.text.extend_from_slice(format!(",f{field}={value}.25").as_bytes());
        }
        self.text.push(b' ');
        let time_at = self.text.len();
        self.text.extend_from_slice(format!("{TIME_FIRST_NS}\n").as_bytes());
        self.marks.push(Mark { number_at, time_at });
    }

    /// The text of a round.
    fn of_round(&mut self, round: u64) -> &[u8] {
        let first = round * self.shape.series_rows;
        assert!(first < ROWS_MAX, "more rows than digits");
        let lines = usize::try_from(self.shape.batch_series).unwrap();
        let mut marks = self.marks.iter();
        for row in first..first + self.shape.series_rows {
            let number = (NUMBER_FIRST + row).to_string();
            let time = (TIME_FIRST_NS + row * TIME_STEP_NS).to_string();
            for mark in marks.by_ref().take(lines) {
                replace(&mut self.text, mark.number_at, number.as_bytes());
                replace(&mut self.text, mark.time_at, time.as_bytes());
            }
        }
        &self.text
    }

    /// Rows of one round.
    fn rows(&self) -> u64 {
        self.shape.batch_series * self.shape.series_rows
    }

    /// What a server has of this batch after so many rounds: how many rows, and the sum of their numbers.
    fn after(&self, rounds: u64) -> (u64, f64) {
        let numbers: u64 = (0..rounds * self.shape.series_rows).map(|row| NUMBER_FIRST + row).sum();
        (rounds * self.rows(), (numbers * self.shape.batch_series) as f64)
    }
}

fn replace(text: &mut [u8], at: usize, digits: &[u8]) {
    if let Some(place) = text.get_mut(at..at + digits.len()) {
        place.copy_from_slice(digits);
    }
}

/// What became of the requests of a flood.
#[derive(Debug, Clone, Default)]
pub struct Outcomes {
    /// Times from sending to 204.
    pub acknowledged: Times,
    /// Refusals with 503 and `Retry-After`, by their message.
    pub held_back: BTreeMap<String, u64>,
    /// Everything else that was answered, and should not have been.
    pub wrong: Vec<String>,
    /// Connections that broke.
    pub broken: Vec<String>,
    /// Time that writers spent waiting after refusals, all of them together.
    pub waited: Duration,
    /// Time that writers had, all of them together.
    pub had: Duration,
}

impl Outcomes {
    /// Refusals with 503.
    pub fn held_back_total(&self) -> u64 {
        self.held_back.values().sum()
    }

    /// Fails if a write was answered with anything else than 204, or 503 with `Retry-After`.
    #[track_caller]
    pub fn assert_orderly(&self) {
        let count = self.wrong.len();
        assert!(count == 0, "{count} wrong answers, the first: {:?}", self.wrong.first());
    }

    /// Share of the requests that got 503, in percent.
    pub fn held_back_percent(&self) -> f64 {
        let held_back = self.held_back_total() as f64;
        100.0 * held_back / (self.acknowledged.count() as f64 + held_back).max(1.0)
    }

    fn merge(&mut self, other: Outcomes) {
        self.acknowledged.merge(other.acknowledged);
        for (text, count) in other.held_back {
            *self.held_back.entry(text).or_default() += count;
        }
        self.wrong.extend(other.wrong);
        self.broken.extend(other.broken);
        self.waited += other.waited;
        self.had += other.had;
    }
}

impl fmt::Display for Outcomes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (held_back, percent) = (self.held_back_total(), self.held_back_percent());
        let waited = 100.0 * self.waited.as_secs_f64() / self.had.as_secs_f64().max(1e-9);
        write!(f, "writes: 204 in {}; ", self.acknowledged)?;
        write!(f, "503 to {held_back} ({percent:.2} %), waiting for {waited:.1} % of the time")?;
        for (text, count) in &self.held_back {
            write!(f, "\n    {count} x {}", text.trim_end())?;
        }
        Ok(())
    }
}

/// The digits of a message changed to `#`, so that messages with figures can be counted.
pub fn without_figures(text: &str) -> String {
    let mut out = String::new();
    for character in text.chars() {
        if !character.is_ascii_digit() {
            out.push(character);
        } else if !out.ends_with('#') {
            out.push('#');
        }
    }
    out
}

/// When writers stop, and how they take a refusal.
#[derive(Debug, Clone, Copy)]
pub struct Pace<'a> {
    /// Ends the flood.
    pub stop: &'a Stop,
    /// Rounds of each batch, at most.
    pub rounds_max: u64,
    /// Pause after a refusal; less than `Retry-After` asks for is a client that does not care.
    pub pause: Duration,
    /// Whether a broken connection ends a writer; otherwise it connects anew.
    pub ends_when_broken: bool,
}

/// What was sent and what was acknowledged.
#[derive(Debug)]
pub struct Ledger {
    database: String,
    writers: Vec<Vec<Batch>>,
}

impl Ledger {
    /// Batches of which nothing has been sent.
    pub fn new(database: &str, shape: Shape) -> Ledger {
        let batches =
            |writer| (0..shape.batches).map(move |index| Batch::new(writer, index, shape));
        let writers = (0..shape.writers).map(|writer| batches(writer).collect()).collect();
        Ledger { database: database.to_owned(), writers }
    }

    /// Rows that were acknowledged.
    pub fn rows_acknowledged(&self) -> u64 {
        self.batches().map(|batch| batch.acknowledged * batch.rows()).sum()
    }

    fn batches(&self) -> impl Iterator<Item = &Batch> {
        self.writers.iter().flatten()
    }

    /// Writes from all connections at once until `pace` ends it.
    pub fn flood(&mut self, address: SocketAddr, pace: Pace<'_>) -> Outcomes {
        let target = format!("/write?db={}", self.database);
        let target = target.as_str();
        let mut outcomes = Outcomes::default();
        thread::scope(|scope| {
            let writers: Vec<_> = self
                .writers
                .iter_mut()
                .map(|batches| scope.spawn(move || write(address, target, batches, pace)))
                .collect();
            for writer in writers {
                outcomes.merge(writer.join().expect("a writer does not panic"));
            }
        });
        outcomes
    }

    /// Compares the rows of a server with this ledger: every acknowledged row is there, with its number;
    /// of a round that was sent and not acknowledged all rows or none; and nothing else.
    #[track_caller]
    pub fn check(&self, client: &mut Client) {
        let mut missing = Vec::new();
        for batch in self.batches() {
            let (count, sum) = found(client, &self.database, &batch.name);
            let expected = batch.after(batch.acknowledged);
            let or = batch.is_open.then(|| batch.after(batch.acknowledged + 1));
            if (count, sum) != expected && Some((count, sum)) != or {
                missing.push(format!(
                    "{}: {count} rows with sum {sum}, not {expected:?} nor {or:?}",
                    batch.name
                ));
            }
        }
        assert!(missing.is_empty(), "{} batches differ: {:#?}", missing.len(), missing);
    }
}

/// Count and sum of the rows of a batch. One batch at a time, which even a small server has memory for.
fn found(client: &mut Client, database: &str, name: &str) -> (u64, f64) {
    let text = format!("SELECT count(n), sum(n) FROM load WHERE batch = '{name}'");
    let results = client.query(database, &text);
    let number = |at: &str| results.pointer(&format!("/0/series/0/values/0/{at}"));
    let count = number("1").and_then(Value::as_u64);
    (count.unwrap_or(0), number("2").and_then(Value::as_f64).unwrap_or(0.0))
}

/// One writer: batch after batch, round after round.
fn write(address: SocketAddr, target: &str, batches: &mut [Batch], pace: Pace<'_>) -> Outcomes {
    let mut client = Client::new(address);
    let mut outcomes = Outcomes::default();
    let begin = Instant::now();
    let mut rounds = 0..pace.rounds_max;
    let mut goes_on = true;
    while let Some(round) = rounds.next().filter(|_| goes_on) {
        let mut due = batches.iter_mut().filter(|batch| batch.acknowledged == round);
        goes_on = due.all(|batch| write_batch(&mut client, target, batch, pace, &mut outcomes));
    }
    outcomes.had = begin.elapsed();
    outcomes
}

/// Sends a batch until it is acknowledged. False when the writer should end.
fn write_batch(
    client: &mut Client,
    target: &str,
    batch: &mut Batch,
    pace: Pace<'_>,
    outcomes: &mut Outcomes,
) -> bool {
    let round = batch.acknowledged;
    while !pace.stop.is_set() {
        let begin = Instant::now();
        batch.is_open = true;
        match client.post(target, batch.of_round(round)) {
            Ok(response) if response.status == 204 => {
                outcomes.acknowledged.push(begin.elapsed());
                batch.acknowledged += 1;
                batch.is_open = false;
                return true;
            }
            Ok(response) => {
                note_refusal(&response, outcomes);
                outcomes.waited += pace.pause;
            }
            Err(cause) => {
                outcomes.broken.push(cause.to_string());
                if pace.ends_when_broken {
                    return false;
                }
            }
        }
        thread::sleep(pace.pause);
    }
    false
}

fn note_refusal(response: &Response, outcomes: &mut Outcomes) {
    let text = response.text();
    if response.status == 503 && response.header("retry-after").is_some() {
        *outcomes.held_back.entry(without_figures(&text)).or_default() += 1;
    } else {
        outcomes.wrong.push(format!("{} {:?} {text}", response.status, response.headers));
    }
}
