//! What was refused of late, for `SHOW REJECTS`: a bounded memory of lines that writes could not store, by database.
//!
//! Each database keeps its latest ones, and none can push those of the others out: when all together are too many,
//! the database with the most gives way. What repeats (the same text refused for the same reason) is counted and not
//! kept again, since an agent sends the same mistake every ten seconds. Not here: how refusals are counted in metrics
//! (`exposition.rs`).

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use crate::auth::{Right, Who};
use parking_lot::Mutex;
use tsdb_core::{MemoryBudget, Pool, Reservation};
use tsdb_exec::{QueryMemory, ResultColumn, Series, StatementResult, Validity, Values};
use tsdb_ingest::WriteReport;

/// Most memory of all rejects, in bytes.
const BYTES_MAX: usize = 2 << 20;
/// Most memory of those of one database: some hundreds.
const DATABASE_BYTES_MAX: usize = 256 << 10;
/// Most bytes of a reason that are kept: it may repeat names that a client made up.
const REASON_BYTES_MAX: usize = 512;
/// How many of the latest are looked at for an equal one.
const REPEATS_LOOKED_AT: usize = 16;
/// Memory of an entry beside its texts: itself, the blocks of its texts, and its place in a queue that has just
/// doubled.
const ENTRY_BYTES: usize = 2 * size_of::<Reject>() + 64;
/// Memory of a database beside its entries and its name.
const DATABASE_BYTES: usize = 256;

/// What is said of a field that is left out.
const IGNORED: &str = "a field that holds text is not stored: send numbers, or make it a tag";

/// A line that was refused, or a field that was left out of accepted ones.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Reject {
    /// When it was last refused, in ns since 1970.
    time_ns: i64,
    protocol: &'static str,
    /// Number of the line in its request; none for a field.
    line: Option<u64>,
    /// Where in the line the trouble begins, in bytes from 1.
    column: Option<u64>,
    /// How often.
    count: u64,
    /// The line, cut and escaped; the name of a field.
    text: Arc<str>,
    reason: Arc<str>,
}

impl Reject {
    fn bytes(&self) -> usize {
        ENTRY_BYTES + self.text.len() + self.reason.len()
    }

    fn repeats(&self, other: &Reject) -> bool {
        self.protocol == other.protocol && self.text == other.text && self.reason == other.reason
    }
}

/// The rejects of the server.
#[derive(Debug)]
pub struct Rejects(Mutex<Kept>);

#[derive(Debug)]
struct Kept {
    databases: BTreeMap<Arc<str>, Queue>,
    bytes: usize,
    bytes_max: usize,
    /// Pays for them.
    held: Reservation,
}

/// The rejects of a database, the oldest first.
#[derive(Debug, Default)]
struct Queue {
    entries: VecDeque<Reject>,
    bytes: usize,
}

impl Rejects {
    /// None yet; `budget` is charged for what comes.
    pub fn new(budget: &MemoryBudget) -> Rejects {
        // Never more than a part of the memory that it is charged to.
        let bytes_max = BYTES_MAX.min(budget.limit(Pool::Cache) / 4);
        let held = budget.reserve_anyway(Pool::Cache, 0);
        Rejects(Mutex::new(Kept { databases: BTreeMap::new(), bytes: 0, bytes_max, held }))
    }

    /// Takes note of what a write to `database` at `time_ns` did not store.
    pub fn note(&self, database: &str, time_ns: i64, report: &WriteReport) {
        if report.errors.is_empty() && report.ignored_fields.is_empty() {
            return;
        }
        let protocol = report.format;
        let mut kept = self.0.lock();
        for name in &report.ignored_fields {
            let (text, reason) = (Arc::clone(name), Arc::from(IGNORED));
            let reject =
                Reject { time_ns, protocol, line: None, column: None, count: 1, text, reason };
            kept.add(database, reject);
        }
        for error in &report.errors {
            let reason = printable(&error.reason.explained());
            let reject = Reject {
                time_ns,
                protocol,
                line: Some(error.line),
                column: Some(error.column as u64),
                count: 1,
                text: error.text.as_str().into(),
                reason: reason.into(),
            };
            kept.add(database, reject);
        }
    }

    /// `SHOW REJECTS`: the latest first, at most `limit`, of one database or of all that `who` may read.
    ///
    /// # Errors
    /// No memory for the answer.
    pub fn show(
        &self,
        database: Option<&str>,
        limit: usize,
        who: &Who,
        memory: &QueryMemory,
    ) -> tsdb_core::Result<StatementResult> {
        let kept = self.0.lock();
        // Texts are shared; what is made is a row of references and numbers for each.
        let _paid = memory.budget().reserve(Pool::Queries, kept.bytes)?;
        let mut rows: Vec<(&Arc<str>, &Reject)> = kept
            .databases
            .iter()
            .filter(|(name, _)| database.is_none_or(|wanted| wanted == &***name))
            .filter(|(name, _)| who.may(Right::Read, name))
            .flat_map(|(name, queue)| queue.entries.iter().map(move |reject| (name, reject)))
            .collect();
        rows.sort_by_key(|(_, reject)| std::cmp::Reverse(reject.time_ns));
        rows.truncate(limit);
        let mut result = StatementResult::default();
        if !rows.is_empty() {
            result.series.push(table(&rows));
        }
        Ok(result)
    }
}

impl Kept {
    fn add(&mut self, database: &str, reject: Reject) {
        let queue = match self.databases.get_mut(database) {
            Some(queue) => queue,
            None => {
                let bytes = DATABASE_BYTES + database.len();
                self.bytes += bytes;
                self.databases.entry(database.into()).or_insert(Queue { bytes, ..Queue::default() })
            }
        };
        let repeats = |known: &Reject| known.repeats(&reject);
        let latest = queue.entries.iter().rev().take(REPEATS_LOOKED_AT).position(repeats);
        let repeated = latest.and_then(|back| queue.entries.remove(queue.entries.len() - 1 - back));
        let before = queue.bytes;
        queue.bytes -= repeated.as_ref().map_or(0, Reject::bytes);
        queue.bytes += reject.bytes();
        let count = reject.count + repeated.map_or(0, |repeated| repeated.count);
        queue.entries.push_back(Reject { count, ..reject });
        while queue.bytes > DATABASE_BYTES_MAX.min(self.bytes_max / 2) && queue.forget_oldest() {}
        self.bytes = self.bytes - before + queue.bytes;
        while self.bytes > self.bytes_max && self.forget_one() {}
        self.pay();
    }

    /// Drops the oldest reject of the database with the most; false if there is none.
    fn forget_one(&mut self) -> bool {
        let largest = self.databases.iter_mut().max_by_key(|(_, queue)| queue.bytes);
        let Some((name, queue)) = largest else { return false };
        let before = queue.bytes;
        let has_more = queue.forget_oldest() && !queue.entries.is_empty();
        self.bytes -= before - queue.bytes;
        if !has_more {
            let name = Arc::clone(name);
            self.bytes -= self.databases.remove(&name).map_or(0, |queue| queue.bytes);
        }
        true
    }

    /// Brings what is held to what is kept; without memory for it the oldest go.
    fn pay(&mut self) {
        loop {
            let held = self.held.bytes();
            if self.bytes <= held {
                self.held.shrink(held - self.bytes);
                return;
            }
            if self.held.grow(self.bytes - held).is_ok() || !self.forget_one() {
                return;
            }
        }
    }
}

impl Queue {
    fn forget_oldest(&mut self) -> bool {
        let Some(oldest) = self.entries.pop_front() else { return false };
        self.bytes -= oldest.bytes();
        true
    }
}

/// The beginning of `text` in a form that harms no terminal.
fn printable(text: &str) -> String {
    let mut kept = String::with_capacity(text.len().min(REASON_BYTES_MAX));
    for c in text.chars() {
        if kept.len() >= REASON_BYTES_MAX {
            kept.push_str("...");
            break;
        }
        if c.is_control() { kept.extend(c.escape_default()) } else { kept.push(c) }
    }
    kept
}

fn table(rows: &[(&Arc<str>, &Reject)]) -> Series {
    let each = |text: fn(&Reject) -> Arc<str>| rows.iter().map(move |(_, reject)| text(reject));
    let protocols: BTreeMap<&str, Arc<str>> =
        rows.iter().map(|(_, reject)| (reject.protocol, reject.protocol.into())).collect();
    let protocol = |(_, reject): &(_, &Reject)| protocols.get(reject.protocol).cloned();
    Series {
        name: Some("rejects".into()),
        times: Some(rows.iter().map(|(_, reject)| reject.time_ns).collect()),
        columns: vec![
            texts("database", rows.iter().map(|(name, _)| Arc::clone(name))),
            texts("protocol", rows.iter().filter_map(protocol)),
            numbers("line", rows, |reject| reject.line),
            numbers("column", rows, |reject| reject.column),
            numbers("count", rows, |reject| Some(reject.count)),
            texts("reason", each(|reject| Arc::clone(&reject.reason))),
            texts("text", each(|reject| Arc::clone(&reject.text))),
        ],
        ..Series::default()
    }
}

fn texts(name: &str, texts: impl Iterator<Item = Arc<str>>) -> ResultColumn {
    let texts: Vec<Option<Arc<str>>> = texts.map(Some).collect();
    ResultColumn { name: name.into(), values: Values::Strings(texts.into()) }
}

fn numbers(
    name: &str,
    rows: &[(&Arc<str>, &Reject)],
    number: fn(&Reject) -> Option<u64>,
) -> ResultColumn {
    let (mut values, mut validity) = (Vec::with_capacity(rows.len()), Validity::default());
    for (_, reject) in rows {
        let found = number(reject);
        values.push(found.map_or(0, |number| i64::try_from(number).unwrap_or(i64::MAX)));
        validity.push(found.is_some());
    }
    ResultColumn { name: name.into(), values: Values::Integers(values, validity) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tsdb_ingest::{LineError, Reason};

    fn report(texts: &[String]) -> WriteReport {
        let error = |(place, text): (usize, &String)| LineError {
            line: place as u64 + 1,
            column: 3,
            text: text.clone(),
            reason: Reason::MissingFields,
        };
        WriteReport {
            errors: texts.iter().enumerate().map(error).collect(),
            errors_total: texts.len() as u64,
            format: "csv",
            ..WriteReport::default()
        }
    }

    fn shown(rejects: &Rejects, database: Option<&str>, limit: usize) -> Vec<String> {
        let memory = QueryMemory::new(&MemoryBudget::default(), None);
        let result = rejects.show(database, limit, &Who::Everyone, &memory).unwrap();
        let Some(table) = result.series.first() else { return Vec::new() };
        let Some(Values::Strings(texts)) = table.columns.last().map(|column| &column.values) else {
            panic!("no texts");
        };
        texts.iter().map(|text| text.unwrap().to_string()).collect()
    }

    #[test]
    fn the_latest_come_first_and_what_repeats_is_counted() {
        let rejects = Rejects::new(&MemoryBudget::default());
        rejects.note("a", 1, &report(&["x".into(), "y".into()]));
        rejects.note("b", 2, &report(&["z".into()]));
        rejects.note("a", 3, &report(&["x".into()]));
        assert_eq!(shown(&rejects, None, 9), ["x", "z", "y"]);
        assert_eq!(shown(&rejects, None, 2), ["x", "z"]);
        assert_eq!(shown(&rejects, Some("a"), 9), ["x", "y"]);
        assert_eq!(shown(&rejects, Some("none"), 9), [""; 0]);
        let memory = QueryMemory::new(&MemoryBudget::default(), None);
        let table = rejects
            .show(Some("a"), 1, &Who::Everyone, &memory)
            .unwrap()
            .series
            .into_iter()
            .next()
            .unwrap();
        let names: Vec<&str> = table.columns.iter().map(|column| &*column.name).collect();
        assert_eq!(names, ["database", "protocol", "line", "column", "count", "reason", "text"]);
        assert_eq!(table.times, Some(vec![3]));
        let count = &table.columns.iter().find(|column| &*column.name == "count").unwrap().values;
        assert_eq!(*count, Values::Integers(vec![2], Validity::all(1)));
    }

    #[test]
    fn memory_is_bounded_and_paid_for_whatever_is_sent() {
        let budget = MemoryBudget::with_limits([1 << 20, 1 << 20, 4 << 20, 1 << 20, 1 << 20]);
        let rejects = Rejects::new(&budget);
        rejects.note("quiet", 0, &report(&["kept".into()]));
        for round in 0..300_i64 {
            let lines: Vec<String> =
                (0..100).map(|n| format!("{round} {n} {}", "x".repeat(n))).collect();
            rejects.note("loud", round, &report(&lines));
            // Names that nobody uses twice.
            rejects.note(&format!("d{round}"), round, &report(&lines[..9]));
            let kept = rejects.0.lock();
            assert!(kept.bytes <= 1 << 20, "{}", kept.bytes);
            assert_eq!(budget.used(Pool::Cache), kept.bytes);
            let sum: usize = kept.databases.values().map(|queue| queue.bytes).sum();
            assert_eq!(kept.bytes, sum);
            let loud = kept.databases.get("loud").unwrap();
            assert!(loud.bytes <= DATABASE_BYTES_MAX && !loud.entries.is_empty());
        }
        assert_eq!(shown(&rejects, Some("quiet"), 9), ["kept"], "others do not push it out");
        // Others need the memory: what is kept goes, and nothing fails.
        let free = budget.limit(Pool::Cache) - budget.used(Pool::Cache);
        let others = budget.reserve(Pool::Cache, free).unwrap();
        rejects.note("late", 999, &report(&["late".into()]));
        assert!(budget.used(Pool::Cache) <= budget.limit(Pool::Cache));
        assert_eq!(shown(&rejects, Some("late"), 9), ["late"]);
        drop((others, rejects));
        assert_eq!(budget.used(Pool::Cache), 0);
    }
}
