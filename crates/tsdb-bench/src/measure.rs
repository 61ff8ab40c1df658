//! Measures what kinds of queries cost on several servers, taking turns.
//!
//! The machine drifts, so the servers take short turns inside every kind: what slows one down slows all.

use std::time::{Duration, Instant};

use crate::ask::Asker;
use crate::latency::Latency;
use crate::question::{Extent, QueryKind, Question};
use crate::server::Server;

/// When a kind has been asked often enough: when both are reached.
#[derive(Debug, Clone, Copy)]
pub struct Effort {
    /// CPU time that the server has used, in seconds.
    pub cpu_s: f64,
    /// Instances that were asked.
    pub instances: u64,
}

/// CPU time of the server after which it is the next one's turn, in seconds.
const TURN_CPU_S: f64 = 0.2;
/// Instances after which it is the next one's turn at the latest.
const TURN_INSTANCES: usize = 100;
/// Instances that are asked before anything counts.
const WARM_UP: usize = 3;

/// What a kind of query cost on one server.
#[derive(Debug)]
pub struct Measured {
    /// Instances that were asked.
    pub count: u64,
    /// CPU time of the server for one, on average, in ms.
    pub cpu_ms: f64,
    /// Time until the whole answer was read.
    pub latency: Latency,
    /// Bytes of an answer, on average.
    pub bytes: f64,
}

/// One server in the round.
struct Turn<'a> {
    server: &'a mut Server,
    asker: Asker,
    /// The same for every server.
    questions: Box<dyn Iterator<Item = Question>>,
    count: u64,
    cpu_s: f64,
    bytes: u64,
    times: Vec<Duration>,
    failed: Option<String>,
}

/// Asks instances of `kind` until each server has had `effort`. A server that answers with an error gets
/// that error as its result.
pub fn measure(
    servers: &mut [Server],
    kind: &QueryKind,
    extent: Extent,
    seed: u64,
    effort: Effort,
) -> Vec<Result<Measured, String>> {
    let mut turns: Vec<Result<Turn<'_>, String>> =
        servers.iter_mut().map(|server| Turn::new(server, kind.instances(extent, seed))).collect();
    for turn in turns.iter_mut().flatten() {
        turn.take(WARM_UP);
        turn.forget();
    }
    while turns.iter().flatten().any(|turn| turn.wants(effort)) {
        for turn in turns.iter_mut().flatten() {
            if turn.wants(effort) {
                turn.take(TURN_INSTANCES);
            }
        }
    }
    turns.into_iter().map(|turn| turn.and_then(Turn::end)).collect()
}

impl<'a> Turn<'a> {
    fn new(
        server: &'a mut Server,
        questions: impl Iterator<Item = Question> + 'static,
    ) -> Result<Turn<'a>, String> {
        let asker = Asker::new(server)?;
        let (times, questions) = (Vec::new(), Box::new(questions));
        Ok(Turn { server, asker, questions, count: 0, cpu_s: 0.0, bytes: 0, times, failed: None })
    }

    fn wants(&self, effort: Effort) -> bool {
        self.failed.is_none() && (self.cpu_s < effort.cpu_s || self.count < effort.instances)
    }

    /// Forgets what was measured so far.
    fn forget(&mut self) {
        (self.count, self.cpu_s, self.bytes) = (0, 0.0, 0);
        self.times.clear();
    }

    /// Asks up to `instances_max` questions.
    fn take(&mut self, instances_max: usize) {
        if let Err(error) = self.try_take(instances_max) {
            self.failed = Some(error);
        }
    }

    fn try_take(&mut self, instances_max: usize) -> Result<(), String> {
        let before_s = self.server.usage()?.cpu_s;
        for _ in 0..instances_max {
            let Some(question) = self.questions.next() else { break };
            let begin = Instant::now();
            let asked = self.asker.ask(self.server, &question)?;
            let took = begin.elapsed();
            self.times.push(took);
            self.count += 1;
            self.bytes += asked.bytes as u64;
            // Looking at /proc takes longer than a small query, so it is done after slow ones alone.
            let is_slow = took > Duration::from_millis(10);
            if is_slow && self.server.usage()?.cpu_s - before_s > TURN_CPU_S {
                break;
            }
        }
        self.cpu_s += self.server.usage()?.cpu_s - before_s;
        Ok(())
    }

    fn end(self) -> Result<Measured, String> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        let count = self.count.max(1) as f64;
        Ok(Measured {
            count: self.count,
            cpu_ms: self.cpu_s * 1e3 / count,
            latency: Latency::new(self.times),
            bytes: self.bytes as f64 / count,
        })
    }
}
