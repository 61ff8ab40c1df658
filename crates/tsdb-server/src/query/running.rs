//! Which queries there are: what `SHOW QUERIES` answers and `KILL QUERY` ends, which only the server knows.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tsdb_core::Error;
use tsdb_core::time::format_go_duration;
use tsdb_exec::{ResultColumn, Series, StatementResult, Validity, Values};

use super::tables::count;
use super::watch::Canceller;
use crate::auth::Who;
use crate::auth::statements::Need;

/// The requests whose statements run, or wait for their turn.
#[derive(Debug, Clone, Default)]
pub struct Running(Arc<Mutex<Table>>);

#[derive(Debug, Default)]
struct Table {
    last_id: u64,
    queries: BTreeMap<u64, Entry>,
}

#[derive(Debug)]
struct Entry {
    text: Arc<str>,
    database: Arc<str>,
    needs: Vec<Need>,
    since_ns: u64,
    has_turn: bool,
    canceller: Canceller,
}

impl Entry {
    fn is_seen_by(&self, who: &Who) -> bool {
        let may_know = self.database.is_empty() || who.sees(&self.database);
        may_know && self.needs.iter().all(|need| need.is_met_by(who))
    }

    /// How far it is; "running" and "killed" in InfluxDB's words.
    fn status(&self) -> &'static str {
        match self.canceller.token().check() {
            Err(Error::Killed) => "killed",
            _ if self.has_turn => "running",
            _ => "waiting",
        }
    }
}

/// What the table shows of a request, and to whom.
#[derive(Debug, Clone)]
pub struct Request<'r> {
    /// Its statements, without passwords.
    pub text: &'r str,
    /// Its database, or nothing.
    pub database: &'r str,
    /// What its statements need.
    pub needs: Vec<Need>,
}

/// A number that no query has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no such query id: {0}: SHOW QUERIES lists those that there are")]
pub struct NoSuchQuery(u64);

/// Keeps a query in the table until it is dropped.
#[derive(Debug)]
pub struct Listed {
    running: Running,
    id: u64,
}

impl Running {
    /// Enters a query that arrives at `now_ns` of the monotonic clock, and that `canceller` ends.
    pub fn enter(&self, request: Request<'_>, canceller: Canceller, now_ns: u64) -> Listed {
        let mut table = self.0.lock();
        table.last_id += 1;
        let id = table.last_id;
        let Request { text, database, needs } = request;
        let (text, database) = (text.into(), database.into());
        let entry = Entry { text, database, needs, since_ns: now_ns, has_turn: false, canceller };
        table.queries.insert(id, entry);
        Listed { running: self.clone(), id }
    }

    /// Ends the query `id`, which stays in the table until its statements have noticed.
    ///
    /// # Errors
    /// There is none of that number.
    pub fn kill(&self, id: u64) -> Result<(), NoSuchQuery> {
        let canceller = self.0.lock().queries.get(&id).map(|entry| entry.canceller.clone());
        canceller.ok_or(NoSuchQuery(id))?.kill();
        Ok(())
    }

    /// How many run or wait, and how many there have been, in InfluxDB's words.
    pub(super) fn counts(&self) -> [(&'static str, Values); 2] {
        let table = self.0.lock();
        [
            ("queriesActive", count(table.queries.len() as u64)),
            ("queriesExecuted", count(table.last_id)),
        ]
    }

    /// The table, as InfluxDB shows it, of what `who` might run, too: texts tell of what is in a database.
    pub fn show(&self, now_ns: u64, who: &Who) -> StatementResult {
        let (mut ids, mut texts) = (Vec::new(), [Vec::new(), Vec::new(), Vec::new(), Vec::new()]);
        for (id, entry) in self.0.lock().queries.iter().filter(|(_, entry)| entry.is_seen_by(who)) {
            let elapsed_ns = now_ns.saturating_sub(entry.since_ns);
            // To the microsecond, which is what people read.
            let elapsed_ns = i64::try_from(elapsed_ns / 1000 * 1000).unwrap_or(i64::MAX);
            ids.push(i64::try_from(*id).unwrap_or(i64::MAX));
            let row: [Arc<str>; 4] = [
                Arc::clone(&entry.text),
                Arc::clone(&entry.database),
                format_go_duration(elapsed_ns).into(),
                entry.status().into(),
            ];
            for (column, text) in texts.iter_mut().zip(row) {
                column.push(Some(text));
            }
        }
        let count = ids.len();
        let ids = Values::Integers(ids, Validity::all(count));
        let mut columns = vec![ResultColumn { name: "qid".into(), values: ids }];
        for (name, texts) in ["query", "database", "duration", "status"].into_iter().zip(texts) {
            columns.push(ResultColumn { name: name.into(), values: Values::Strings(texts.into()) });
        }
        let mut result = StatementResult::default();
        result.series.push(Series { columns, ..Series::default() });
        result
    }
}

impl Listed {
    /// The query has its turn.
    pub fn begin(&self) {
        if let Some(entry) = self.running.0.lock().queries.get_mut(&self.id) {
            entry.has_turn = true;
        }
    }
}

impl Drop for Listed {
    fn drop(&mut self) {
        self.running.0.lock().queries.remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(running: &Running, column: usize) -> Vec<String> {
        match &running.show(3_500_999, &Who::Everyone).series[0].columns[column].values {
            Values::Strings(texts) => texts.iter().flatten().map(ToString::to_string).collect(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn queries_are_listed_while_they_are_there() {
        let running = Running::default();
        let enter = |text, database, now_ns| {
            let request = Request { text, database, needs: Vec::new() };
            running.enter(request, Canceller::default(), now_ns)
        };
        let first = enter("SELECT 1", "d", 1_000_000);
        let second = enter("SELECT 2", "", 2_000_000);
        second.begin();
        let shown = running.show(3_500_999, &Who::Everyone);
        let table = &shown.series[0];
        let names: Vec<_> = table.columns.iter().map(|column| &*column.name).collect();
        assert_eq!(names, ["qid", "query", "database", "duration", "status"]);
        assert_eq!(table.columns[0].values, Values::Integers(vec![1, 2], Validity::all(2)));
        assert_eq!(texts(&running, 3), ["2.5ms", "1.5ms"]);
        assert_eq!(texts(&running, 4), ["waiting", "running"]);
        drop(first);
        assert_eq!(running.show(0, &Who::Everyone).series[0].rows(), 1);
        drop(second);
        assert_eq!(running.show(0, &Who::Everyone).series[0].rows(), 0);
    }

    #[test]
    fn the_one_that_is_meant_is_killed_and_stays_until_it_has_ended() {
        let running = Running::default();
        let cancellers = [Canceller::default(), Canceller::default()];
        let enter = |canceller: &Canceller| {
            let request = Request { text: "q", database: "d", needs: Vec::new() };
            running.enter(request, canceller.clone(), 0)
        };
        let listed: Vec<Listed> = cancellers.iter().map(enter).collect();
        listed[0].begin();
        listed[1].begin();
        assert_eq!(running.kill(2), Ok(()));
        assert_eq!(cancellers.each_ref().map(|c| c.token().is_ended()), [false, true]);
        assert_eq!(cancellers[1].token().check(), Err(Error::Killed));
        assert_eq!(texts(&running, 4), ["running", "killed"]);
        assert_eq!(running.kill(2), Ok(()), "it is there still");
        drop(listed);
        let refused = running.kill(2).unwrap_err().to_string();
        assert!(refused.starts_with("no such query id: 2") && refused.contains("SHOW QUERIES"));
    }
}
