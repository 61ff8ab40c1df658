//! How prices move: ups against downs, and the way made against the way gone.

use std::collections::VecDeque;

use super::Warmup;
use super::average::Exponential;

/// Averages of the moves upwards and of those downwards. The first value is a move from 0.
#[derive(Debug, Clone)]
pub(super) struct UpsAndDowns {
    up: Exponential,
    down: Exponential,
    last: f64,
}

impl UpsAndDowns {
    /// No value yet; averages as Wilder has them, with the weight `1 / period`.
    pub(super) fn new(period: usize, warmup: Warmup) -> UpsAndDowns {
        let weight = 1.0 / period as f64;
        let average = Exponential::new(period.saturating_add(1), weight, warmup);
        UpsAndDowns { up: average.clone(), down: average, last: 0.0 }
    }

    /// Takes the next value and gives both averages.
    pub(super) fn step(&mut self, value: f64) -> (f64, f64) {
        let (mut up, mut down) = (0.0, 0.0);
        if value > self.last {
            up = value - self.last;
        } else if value < self.last {
            down = self.last - value;
        }
        self.last = value;
        (self.up.step(up), self.down.step(down))
    }
}

/// `100 - 100 / (1 + up / down)`.
#[derive(Debug, Clone)]
pub(super) struct Strength(pub(super) UpsAndDowns);

impl Strength {
    pub(super) fn step(&mut self, value: f64) -> f64 {
        let (up, down) = self.0.step(value);
        100.0 - 100.0 / (1.0 + up / down)
    }
}

/// A value and the move that led to it.
#[derive(Debug, Clone, Copy, Default)]
struct Move {
    value: f64,
    way: f64,
}

/// The last so many moves. What was before the first is 0.
#[derive(Debug, Clone)]
struct Moves {
    count: usize,
    last: VecDeque<Move>,
    /// Values that came in, up to one more than are kept.
    seen: usize,
}

impl Moves {
    fn new(count: usize) -> Moves {
        Moves { count: count.max(1), last: VecDeque::new(), seen: 0 }
    }

    fn newest(&self) -> Move {
        self.last.back().copied().unwrap_or_default()
    }

    /// The one that goes with the next that comes.
    fn oldest(&self) -> Move {
        if self.last.len() < self.count {
            return Move::default();
        }
        self.last.front().copied().unwrap_or_default()
    }

    fn push(&mut self, next: Move) {
        if self.last.len() >= self.count {
            self.last.pop_front();
        }
        self.last.push_back(next);
        self.seen = self.seen.saturating_add(1).min(self.count.saturating_add(1));
    }
}

/// The way made over a period divided by the way gone, from 0 to 1.
#[derive(Debug, Clone)]
pub(super) struct Efficiency {
    moves: Moves,
    gone: f64,
}

impl Efficiency {
    pub(super) fn new(period: usize) -> Efficiency {
        Efficiency { moves: Moves::new(period), gone: 0.0 }
    }

    /// Whether there was a value before the period.
    pub(super) fn is_warm(&self) -> bool {
        self.moves.seen > self.moves.count
    }

    /// The newest value; 0 before the first.
    pub(super) fn last(&self) -> f64 {
        self.moves.newest().value
    }

    pub(super) fn step(&mut self, value: f64) -> f64 {
        let oldest = self.moves.oldest();
        let made = (value - oldest.value).abs();
        let way = (value - self.last()).abs();
        self.gone -= oldest.way;
        self.gone += way;
        self.moves.push(Move { value, way });
        if !self.gone.is_finite() {
            // An infinite move is forgotten once it is out of the period.
            self.gone = self.moves.last.iter().map(|one| one.way).sum();
        }
        if made == 0.0 || self.gone == 0.0 { 0.0 } else { made / self.gone }
    }
}

/// `100 * (ups - downs) / (ups + downs)`, each the sum over a period.
#[derive(Debug, Clone)]
pub(super) struct Oscillator {
    moves: Moves,
    up: f64,
    down: f64,
}

impl Oscillator {
    pub(super) fn new(period: usize) -> Oscillator {
        Oscillator { moves: Moves::new(period.saturating_sub(1)), up: 0.0, down: 0.0 }
    }

    pub(super) fn step(&mut self, value: f64) -> f64 {
        let way = if self.moves.seen == 0 { 0.0 } else { value - self.moves.newest().value };
        self.add(way, 1.0);
        let answer = if self.up != 0.0 || self.down != 0.0 {
            100.0 * ((self.up - self.down) / (self.up + self.down))
        } else {
            0.0
        };
        let oldest = self.moves.oldest();
        self.moves.push(Move { value, way });
        self.add(oldest.way, -1.0);
        if !(self.up.is_finite() && self.down.is_finite()) {
            (self.up, self.down) = (0.0, 0.0);
            let ways: Vec<f64> = self.moves.last.iter().map(|one| one.way).collect();
            ways.into_iter().for_each(|way| self.add(way, 1.0));
        }
        answer
    }

    fn add(&mut self, way: f64, times: f64) {
        if way > 0.0 {
            self.up += times * way;
        } else if way < 0.0 {
            self.down -= times * way;
        }
    }
}
