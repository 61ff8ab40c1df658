//! `--demo`: samples the own machine every second into the database `demo`, so that there is real data
//! to query without an agent.
//!
//! It writes through the same seam as the protocols. Not here: what the kernel's files look like
//! (`demo/proc.rs`) and which rows come of them (`demo/sampler.rs`).

pub mod proc;
pub mod sampler;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{MissedTickBehavior, interval};
use tsdb_core::catalogue::PolicySpec;
use tsdb_core::storage::Storage;
use tsdb_core::{
    CatalogueChange, Error, FieldSet, NamespaceId, Result, SeriesKey, TagCharset, Ticket,
    WriteBatch,
};

use crate::app::{App, blocking};
use sampler::{SampleRow, Sampler, Texts};

/// The database that samples go to.
pub const DATABASE: &str = "demo";

/// Time between two samples.
const EVERY: Duration = Duration::from_secs(1);

/// Times that a sample is resolved again before it is given up; ends of an epoch are rare and quick.
const ATTEMPTS: usize = 8;

/// Starts sampling, until the server stops.
pub fn spawn(app: &Arc<App>) {
    let app = Arc::clone(app);
    tokio::spawn(async move {
        let mut sampler = Sampler::default();
        let mut last_failure: Option<String> = None;
        let mut ticks = interval(EVERY);
        // A sample that is late tells nothing that the next one does not.
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            ticks.tick().await;
            let (returned, outcome) = store_one(&app, sampler).await;
            sampler = returned;
            if outcome == Err(Error::Closed) {
                return;
            }
            let failure = outcome.err().map(|error| error.to_string());
            // Once per kind of failure: a full disk must not fill the log too.
            if let Some(cause) = failure.as_ref().filter(|_| failure != last_failure) {
                tracing::warn!(cause, "cannot store a sample of this machine");
            }
            last_failure = failure;
        }
    });
}

/// Takes one sample and waits until it is visible. The sampler comes back for the next one.
async fn store_one(app: &Arc<App>, mut sampler: Sampler) -> (Sampler, Result<()>) {
    let storage = Arc::clone(app.storage());
    let time = app.env().clock.wall_ns();
    let begun = blocking(move || {
        let rows = sampler.sample(&Texts::read());
        let ticket = namespace(storage.as_ref())
            .and_then(|namespace| append(storage.as_ref(), namespace, &host(), time, &rows));
        (sampler, ticket)
    })
    .await;
    match begun {
        Ok((sampler, Ok(ticket))) => (sampler, visible(ticket).await),
        Ok((sampler, Err(error))) => (sampler, Err(error)),
        Err(_) => (Sampler::default(), Err(Error::Closed)),
    }
}

/// Waits for a ticket without holding a thread.
async fn visible(ticket: Ticket) -> Result<()> {
    let (sender, receiver) = oneshot::channel();
    // The receiver is gone only when the server stops, and then nobody asks.
    ticket.on_done(move |outcome| drop(sender.send(outcome)));
    receiver.await.unwrap_or(Err(Error::Closed)).map(|_| ())
}

/// The namespace of the samples; creates the database when it is not, or no longer, there. Blocks.
fn namespace(storage: &dyn Storage) -> Result<NamespaceId> {
    let catalogue = storage.catalogue();
    if let Ok(known) = catalogue.namespace(DATABASE, None) {
        return Ok(known.id);
    }
    let create =
        CatalogueChange::CreateDatabase { name: DATABASE.into(), policy: PolicySpec::default() };
    storage.change_catalogue(&create)?.wait()?;
    storage.catalogue().namespace(DATABASE, None).map(|created| created.id)
}

fn host() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = name.trim();
    if name.is_empty() { "localhost".to_owned() } else { name.to_owned() }
}

/// Appends the rows of one sample as one batch.
fn append(
    storage: &dyn Storage,
    namespace: NamespaceId,
    host: &str,
    time: i64,
    rows: &[SampleRow],
) -> Result<Ticket> {
    let keys = rows.iter().map(|row| key(row, host)).collect::<Result<Vec<_>>>()?;
    let sets = rows
        .iter()
        .map(|row| FieldSet::new(row.fields.iter().map(|(name, _)| *name)))
        .collect::<Result<Vec<_>>>()?;
    let mut outcome = Err(Error::StaleEpoch { batch: 0, current: 0 });
    for _ in 0..ATTEMPTS {
        let resolution = storage.resolve(namespace, &keys, &sets)?;
        let mut batch = WriteBatch::new(namespace, resolution.epoch);
        for ((row, series), set) in rows.iter().zip(resolution.series).zip(resolution.field_sets) {
            let values: Vec<f64> = row.fields.iter().map(|(_, value)| *value).collect();
            batch.push(series?, time, set?, &values)?;
        }
        outcome = storage.append(&batch);
        if !matches!(outcome, Err(Error::StaleEpoch { .. })) {
            break;
        }
    }
    outcome
}

fn key(row: &SampleRow, host: &str) -> Result<SeriesKey> {
    let mut tags = vec![("host", host)];
    tags.extend(row.part.as_ref().map(|(name, value)| (*name, value.as_str())));
    SeriesKey::new(row.measurement, &mut tags, TagCharset::Utf8)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tsdb_core::storage::SeriesRequest;
    use tsdb_core::{MemoryStore, Select as _};

    #[test]
    fn a_sample_becomes_rows_of_the_demo_database() {
        let store = MemoryStore::new();
        let rows = Sampler::default().sample(&Texts::read());
        for time in [1, 2] {
            let namespace = namespace(&store).unwrap();
            append(&store, namespace, "h", time, &rows).unwrap().wait().unwrap();
        }
        let namespace = namespace(&store).unwrap();
        let snapshot = store.snapshot().unwrap();
        let series = snapshot.series(&SeriesRequest::all(namespace)).unwrap();
        assert_eq!(series.len(), rows.len());
        assert!(series.iter().all(|key| key.tag("host") == Some("h")));
        let fields = snapshot.fields(&SeriesRequest::measurement(namespace, "mem")).unwrap();
        assert!(fields.iter().any(|name| &**name == "used_percent"));
    }
}
