//! SIGHUP: the settings are read again, and what can change in a running server does.
//!
//! Flags and environment stay what they were, so it is the file that has news, the files of TLS and that of the
//! administrator's token.

use std::sync::Arc;

use tokio::signal::unix::{SignalKind, signal};

use crate::app::{App, blocking};
use crate::config::{Args, Config};
use crate::tls::Tls;
use crate::{Error, telemetry};

/// Reads the settings of `args` again at each SIGHUP, for as long as the runtime runs.
///
/// # Errors
/// [`Error::System`] when the signal cannot be taken over.
pub(crate) fn spawn(app: &Arc<App>, args: Args, tls: Option<Arc<Tls>>) -> Result<(), Error> {
    let mut hangups = signal(SignalKind::hangup())
        .map_err(|cause| Error::System { what: "handle signals", cause })?;
    let app = Arc::clone(app);
    tokio::spawn(async move {
        while hangups.recv().await.is_some() {
            let (app, args, tls) = (Arc::clone(&app), args.clone(), tls.clone());
            match blocking(move || reload(&app, args, tls.as_deref())).await {
                Ok(Ok(left)) if left.is_empty() => tracing::info!("the settings were read again"),
                Ok(Ok(left)) => {
                    let settings = left.join(", ");
                    tracing::warn!(
                        settings,
                        "the settings were read again; these need a restart and stay what they were"
                    );
                }
                Ok(Err(error)) => tracing::error!(%error, "all settings stay what they were"),
                Err(_) => return,
            }
        }
    });
    Ok(())
}

/// Reads everything before anything changes. Gives the names of settings that have changed and need a restart.
fn reload(app: &App, args: Args, tls: Option<&Tls>) -> Result<Vec<&'static str>, Error> {
    let config = Config::load(args)?;
    telemetry::check(&config.log)?;
    if let Some(tls) = tls {
        tls.reload()?;
    }
    telemetry::change(&config.log)?;
    Ok(app.take_settings(&config))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use clap::Parser;
    use tsdb_core::env::Env;
    use tsdb_core::{MemoryBudget, MemoryStore};

    use super::*;
    use crate::exposition::Exposition;
    use crate::wiring::Store;

    #[test]
    fn what_can_change_does_and_a_bad_file_changes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tsdb.toml");
        let write = |text: &str| std::fs::write(&path, text).unwrap();
        write("query-timeout = '7s'\nquery-rows = 100");
        let words = ["tsdb-server", "--config", path.to_str().unwrap(), "--query-buckets", "50"];
        let args = Args::try_parse_from(words).unwrap();
        let config = Config::load(args.clone()).unwrap();
        let store = Store::new(Arc::new(MemoryStore::new()));
        let exposition = Exposition::new().unwrap();
        let app = App::new(config, Env::real(), store, MemoryBudget::default(), exposition);
        let read_again = || reload(&app, args.clone(), None);
        assert_eq!(read_again().unwrap(), [""; 0]);

        write(
            "query-timeout = '9s'\nquery-rows = 200\nquery-buckets = 60\nslow-query-time = '1s'\n\
             query-memory = '3MiB'\nlog = 'warn'\nconnections = 7\ndata-dir = '/elsewhere'",
        );
        assert_eq!(read_again().unwrap(), ["data-dir", "connections"]);
        let now = app.config();
        assert_eq!(now.query_timeout, Duration::from_secs(9));
        assert_eq!(now.slow_query_time, Duration::from_secs(1));
        assert_eq!(now.query_memory_max, Some(3 << 20));
        // The flag wins as it did at the start.
        assert_eq!((now.query_limits.rows_max, now.query_limits.buckets_max), (200, 50));
        assert_eq!(app.executor().limits().rows_max, 200);
        assert_eq!(now.connections_max, 4096);

        for bad in ["query-timeout = '5s'\nnonsense = 1", "query-timeout = '5s'\nlog = 'a=loud'"] {
            write(bad);
            assert!(read_again().is_err());
            assert_eq!(app.config().query_timeout, Duration::from_secs(9));
        }
    }
}
