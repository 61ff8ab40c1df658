//! Which queries run: what `SHOW QUERIES` answers, which only the server knows.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tsdb_core::time::format_go_duration;
use tsdb_exec::{ResultColumn, Series, StatementResult, Validity, Values};

/// The requests whose statements run.
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
    since_ns: u64,
}

/// Keeps a query in the table until it is dropped.
#[derive(Debug)]
pub struct Listed {
    running: Running,
    id: u64,
}

impl Running {
    /// Enters a query that begins at `now_ns` of the monotonic clock.
    pub fn enter(&self, text: &str, database: &str, now_ns: u64) -> Listed {
        let mut table = self.0.lock();
        table.last_id += 1;
        let id = table.last_id;
        let entry = Entry { text: text.into(), database: database.into(), since_ns: now_ns };
        table.queries.insert(id, entry);
        Listed { running: self.clone(), id }
    }

    /// The table, as InfluxDB shows it.
    pub fn show(&self, now_ns: u64) -> StatementResult {
        let (mut ids, mut texts) = (Vec::new(), [Vec::new(), Vec::new(), Vec::new(), Vec::new()]);
        for (id, entry) in &self.0.lock().queries {
            let elapsed_ns = now_ns.saturating_sub(entry.since_ns);
            // To the microsecond, which is what people read.
            let elapsed_ns = i64::try_from(elapsed_ns / 1000 * 1000).unwrap_or(i64::MAX);
            ids.push(i64::try_from(*id).unwrap_or(i64::MAX));
            let row: [Arc<str>; 4] = [
                Arc::clone(&entry.text),
                Arc::clone(&entry.database),
                format_go_duration(elapsed_ns).into(),
                "running".into(),
            ];
            for (column, text) in texts.iter_mut().zip(row) {
                column.push(Some(text));
            }
        }
        let count = ids.len();
        let ids = Values::Integers(ids, Validity::all(count));
        let mut columns = vec![ResultColumn { name: "qid".into(), values: ids }];
        for (name, texts) in ["query", "database", "duration", "status"].into_iter().zip(texts) {
            columns.push(ResultColumn { name: name.into(), values: Values::Strings(texts) });
        }
        let mut result = StatementResult::default();
        result.series.push(Series { columns, ..Series::default() });
        result
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

    #[test]
    fn queries_are_listed_while_they_run() {
        let running = Running::default();
        let first = running.enter("SELECT 1", "d", 1_000_000);
        let second = running.enter("SELECT 2", "", 2_000_000);
        let shown = running.show(3_500_999);
        let table = &shown.series[0];
        let names: Vec<_> = table.columns.iter().map(|column| &*column.name).collect();
        assert_eq!(names, ["qid", "query", "database", "duration", "status"]);
        assert_eq!(table.columns[0].values, Values::Integers(vec![1, 2], Validity::all(2)));
        let durations = Values::Strings(vec![Some("2.5ms".into()), Some("1.5ms".into())]);
        assert_eq!(table.columns[3].values, durations);
        drop(first);
        assert_eq!(running.show(0).series[0].rows(), 1);
        drop(second);
        assert_eq!(running.show(0).series[0].rows(), 0);
    }
}
