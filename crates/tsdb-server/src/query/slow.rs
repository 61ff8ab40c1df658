//! What the log says about a statement that took long.
//!
//! Not here: when that is (`--slow-query-time`, looked at in `run.rs`), and the count of them (`exposition.rs`).

use std::time::Duration;

use tsdb_exec::{Effort, QueryMemory};
use tsdb_ql::{Statement, redacted};

use crate::telemetry::clean;

/// Logs a statement with what it read and the most memory that its request has held. Secrets are left out of the text.
pub(super) fn log(
    statement: &Statement,
    database: Option<&str>,
    elapsed: Duration,
    effort: &Effort,
    memory: &QueryMemory,
) {
    tracing::warn!(
        seconds = elapsed.as_secs_f64(),
        database = database.map(clean),
        series = effort.series.get(),
        rows = effort.rows.get(),
        values = effort.values.get(),
        memory_bytes = memory.used_max(),
        statement = clean(&redacted(&statement.to_string())),
        "slow statement"
    );
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use axum::body::Body;
    use axum::http::Request;
    use tower::ServiceExt;
    use tsdb_core::env::Env;
    use tsdb_core::{MemoryBudget, MemoryStore};

    use super::*;
    use crate::app::App;
    use crate::auth::Who;
    use crate::config::{Config, Settings};
    use crate::exposition::Exposition;
    use crate::http::router;
    use crate::query::{Query, Run};
    use crate::wiring::Store;

    /// A log in memory.
    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    /// What is logged of two rows with two fields each, where statements are slow that take longer than
    /// `slow_query_time`, and how many of them are counted.
    async fn logged(slow_query_time: Duration, text: &str) -> (String, String) {
        let config = Config::from_settings(Settings::default()).unwrap();
        let config = Config { slow_query_time, ..config };
        let store = Store::new(Arc::new(MemoryStore::new()));
        let exposition = Exposition::new().unwrap();
        let app = App::new(config, Env::real(), store, MemoryBudget::default(), exposition);
        let write = Request::post("/write?db=d").header("host", "localhost");
        let write = write.body(Body::from("m,t=a f=1,g=2 1\nm,t=b f=1,g=2 2")).unwrap();
        assert_eq!(router(Arc::clone(&app)).oneshot(write).await.unwrap().status(), 204);
        let query =
            Query { text: text.to_owned(), database: Some("d".to_owned()), ..Query::default() };
        let statements = query.parse().unwrap();
        let time_max = Duration::from_secs(60);
        let begun = Run::begin(Arc::clone(&app), Who::Everyone, query, statements, time_max).await;
        let (run, _watch) = begun.unwrap();
        let lines = Lines::default();
        let writer = lines.clone();
        // A log belongs to a thread, so all of it happens on one.
        let done = tokio::task::spawn_blocking(move || {
            let log =
                tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone());
            tracing::subscriber::with_default(log.finish(), || run.to_end());
        });
        done.await.unwrap();
        let metrics = app.render_metrics();
        let count =
            metrics.lines().find(|line| line.starts_with("tsdb_query_statements_slow_total"));
        let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        (text, count.unwrap_or_default().to_owned())
    }

    #[tokio::test]
    async fn slow_statements_are_logged_with_what_they_took_and_without_secrets() {
        let all = Duration::from_nanos(1);
        let text = "SELECT f, g FROM m; CREATE USER u WITH PASSWORD 'hidden'; SELECT x FROM m";
        let (log, count) = logged(all, text).await;
        assert_eq!(count, "tsdb_query_statements_slow_total 3", "{log}");
        let slow: Vec<&str> = log.lines().filter(|line| line.contains("slow statement")).collect();
        let [select, user, other] = slow[..] else { panic!("{log}") };
        for part in [" WARN ", "database=\"d\"", "series=2 rows=2 values=4", "SELECT f, g FROM m"] {
            assert!(select.contains(part), "{part}: {log}");
        }
        assert!(select.contains(" seconds=0.") && !select.contains("memory_bytes=0 "), "{log}");
        assert!(user.contains("CREATE USER u WITH PASSWORD [REDACTED]"), "{log}");
        assert!(!log.contains("hidden"), "{log}");
        assert!(other.contains("series=0 rows=0 values=0"), "each statement by itself: {log}");
        let (log, count) = logged(Duration::from_secs(600), "SELECT f FROM m").await;
        assert_eq!((log.as_str(), count.as_str()), ("", ""));
    }
}
