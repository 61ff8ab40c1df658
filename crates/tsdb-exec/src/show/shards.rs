//! SHOW SHARDS and SHOW SHARD GROUPS: the stretches of time whose rows are kept together, which here are partitions.
//! They are found by asking the engine where there are rows, so that any engine can tell.

use std::sync::Arc;

use jiff::Timestamp;
use tsdb_core::TimeRange;
use tsdb_core::catalogue::NamespaceInfo;
use tsdb_core::storage::SeriesRequest;
use tsdb_core::time::window_range;

use crate::Result;
use crate::memory::Charge;
use crate::result::{ResultColumn, Series, StatementResult, Validity, Values};
use crate::scope::View;

/// Memory of a partition in the answer: two texts of time, twice as long as they are, and the columns.
const PARTITION_BYTES: usize = 256;

/// A partition with rows.
struct Partition {
    /// Its number in the answer.
    id: i64,
    policy: Arc<str>,
    time: TimeRange,
    /// How long after the end its last row is kept.
    retention_ns: i64,
}

/// `SHOW SHARDS`: a table per database.
pub(crate) fn shards(view: &View<'_>) -> Result<StatementResult> {
    let mut charge = view.context.memory.charge();
    let mut result = StatementResult::default();
    let mut count = 0;
    for name in view.catalogue.databases.keys() {
        let partitions = partitions(view, name, count, &mut charge)?;
        count += partitions.len();
        let mut columns = columns(name, &partitions);
        let ids = columns.first().map_or_else(|| integers(Vec::new()), |ids| ids.values.clone());
        columns.insert(3, ResultColumn { name: "shard_group".into(), values: ids });
        let nobody = partitions.iter().map(|_| Arc::from(""));
        columns.push(ResultColumn::texts("owners", nobody));
        result.series.push(Series::table(Some(Arc::clone(name)), columns));
    }
    result.pay(charge);
    Ok(result)
}

/// `SHOW SHARD GROUPS`: one table.
pub(crate) fn shard_groups(view: &View<'_>) -> Result<StatementResult> {
    let mut charge = view.context.memory.charge();
    let mut all: Option<Vec<ResultColumn>> = None;
    let mut count = 0;
    for name in view.catalogue.databases.keys() {
        let partitions = partitions(view, name, count, &mut charge)?;
        count += partitions.len();
        let columns = columns(name, &partitions);
        match &mut all {
            None => all = Some(columns),
            Some(all) => {
                let pairs = all.iter_mut().zip(columns);
                pairs.for_each(|(column, more)| column.values.append(more.values));
            }
        }
    }
    let columns = all.unwrap_or_else(|| columns(&Arc::from(""), &[]));
    let mut result = StatementResult::of(Series::table(Some("shard groups".into()), columns));
    result.pay(charge);
    Ok(result)
}

/// The columns that both statements have.
fn columns(database: &Arc<str>, partitions: &[Partition]) -> Vec<ResultColumn> {
    let times = |time: fn(&Partition) -> i64| partitions.iter().map(move |p| rfc3339(time(p)));
    vec![
        ResultColumn {
            name: "id".into(),
            values: integers(partitions.iter().map(|p| p.id).collect()),
        },
        ResultColumn::texts("database", partitions.iter().map(|_| Arc::clone(database))),
        ResultColumn::texts("retention_policy", partitions.iter().map(|p| Arc::clone(&p.policy))),
        ResultColumn::texts("start_time", times(|p| p.time.start)),
        ResultColumn::texts("end_time", times(|p| p.time.end)),
        ResultColumn::texts("expiry_time", times(|p| p.time.end.saturating_add(p.retention_ns))),
    ]
}

fn integers(values: Vec<i64>) -> Values {
    let count = values.len();
    Values::Integers(values, Validity::all(count))
}

fn rfc3339(ns: i64) -> Arc<str> {
    // Every count of ns in 64 bits is a time.
    Timestamp::from_nanosecond(i128::from(ns)).unwrap_or_default().to_string().into()
}

/// The partitions of a database that have rows, policy after policy, in order of time. `count` have been numbered
/// before.
fn partitions(
    view: &View<'_>,
    database: &str,
    count: usize,
    charge: &mut Charge,
) -> Result<Vec<Partition>> {
    let mut found = Vec::new();
    for (policy, namespace) in &view.catalogue.database(database)?.policies {
        for time in partitions_with_rows(view, namespace)? {
            charge.grow(PARTITION_BYTES)?;
            let id = i64::try_from(count + found.len() + 1).unwrap_or(i64::MAX);
            let retention_ns = namespace.retention_ns.unwrap_or(0);
            found.push(Partition { id, policy: Arc::clone(policy), time, retention_ns });
        }
    }
    Ok(found)
}

/// Where a namespace has rows, in whole partitions, in order of time: a stretch with any is halved until it is one.
/// O(partitions with rows * log(partitions of all time)) questions for one series.
fn partitions_with_rows(view: &View<'_>, namespace: &NamespaceInfo) -> Result<Vec<TimeRange>> {
    let mut found = Vec::new();
    let mut stretches = vec![TimeRange::all()];
    while let Some(time) = stretches.pop() {
        view.context.cancel.check()?;
        let any = SeriesRequest { time, limit: Some(1), ..view.series_request(namespace.id, None) };
        if view.snapshot.series(&any)?.is_empty() {
            continue;
        }
        let first = partition_of(namespace, time.start);
        if first.end >= time.end {
            found.push(first);
            continue;
        }
        let middle = partition_of(namespace, time.start.midpoint(time.end)).start.max(first.end);
        stretches.push(TimeRange::new(middle, time.end));
        stretches.push(TimeRange::new(time.start, middle));
    }
    Ok(found)
}

/// The partition that a time lies in.
fn partition_of(namespace: &NamespaceInfo, at: i64) -> TimeRange {
    window_range(at, namespace.partition_ns, 0)
}
