//! Statements that change something: databases, retention policies, deletes. Each waits until its change is
//! visible.

use std::sync::Arc;

use tsdb_core::catalogue::{AUTOGEN, PolicySpec};
use tsdb_core::matcher::TagFilter;
use tsdb_core::storage::DeleteRequest;
use tsdb_core::{Append, CatalogueChange, Error as CoreError, NamespaceId, TimeRange};
use tsdb_ql::{
    ConditionContext, Expr, Measurement, PolicyOptions, RetentionDuration, Statement,
    split_condition,
};

use crate::scope::View;
use crate::{Error, Result, continuous};

/// Executes a statement that changes something; the others do nothing here.
///
/// # Errors
/// What is named does not exist or cannot be made so, a store that takes no changes.
pub(crate) fn execute(statement: &Statement, store: &dyn Append, view: &View<'_>) -> Result<()> {
    match statement {
        Statement::CreateDatabase { name, policy } => create_database(store, name, policy.as_ref()),
        Statement::DropDatabase { name } => {
            change(store, CatalogueChange::DropDatabase { name: name.as_str().into() })
        }
        Statement::CreateRetentionPolicy { name, database, options } => {
            let (database, policy) = (database.as_str().into(), spec(name, options));
            let make_default = options.default;
            change(store, CatalogueChange::CreatePolicy { database, policy, make_default })
        }
        Statement::AlterRetentionPolicy { name, database, options } => {
            alter_policy(store, database, name, options)
        }
        Statement::DropRetentionPolicy { name, database } => {
            let (database, name) = (database.as_str().into(), name.as_str().into());
            change(store, CatalogueChange::DropPolicy { database, name })
        }
        Statement::CreateContinuousQuery(query) => continuous::create(store, view, query),
        Statement::DropContinuousQuery { name, database } => {
            continuous::drop_query(store, name, database)
        }
        Statement::DropMeasurement { name } => drop_measurement(store, view, name),
        Statement::DropSeries { measurements, condition }
        | Statement::Delete { measurements, condition } => {
            delete_rows(store, view, measurements, condition.as_ref())
        }
        _ => Ok(()),
    }
}

/// `CREATE DATABASE`
fn create_database(store: &dyn Append, name: &str, policy: Option<&PolicyOptions>) -> Result<()> {
    let policy = match policy {
        Some(options) => spec(options.name.as_deref().unwrap_or(AUTOGEN), options),
        None => PolicySpec::default(),
    };
    change(store, CatalogueChange::CreateDatabase { name: name.into(), policy })
}

/// `ALTER RETENTION POLICY`
fn alter_policy(
    store: &dyn Append,
    database: &str,
    name: &str,
    options: &PolicyOptions,
) -> Result<()> {
    let retention_ns = options.duration.map(retention);
    change(
        store,
        CatalogueChange::AlterPolicy {
            database: database.into(),
            name: name.into(),
            retention_ns,
            partition_ns: options.shard_duration_ns.filter(|ns| *ns != 0),
            make_default: options.default,
        },
    )
}

fn change(store: &dyn Append, change: CatalogueChange) -> Result<()> {
    store.change_catalogue(&change)?.wait()?;
    Ok(())
}

fn spec(name: &str, options: &PolicyOptions) -> PolicySpec {
    PolicySpec {
        name: name.into(),
        retention_ns: options.duration.and_then(retention),
        partition_ns: options.shard_duration_ns.filter(|ns| *ns != 0),
    }
}

fn retention(duration: RetentionDuration) -> Option<i64> {
    match duration {
        RetentionDuration::Forever => None,
        RetentionDuration::Ns(ns) => Some(ns),
    }
}

/// `DROP MEASUREMENT`: its rows in all policies of the database.
fn drop_measurement(store: &dyn Append, view: &View<'_>, name: &str) -> Result<()> {
    let database = view.context.database.unwrap_or("");
    for namespace in view.namespaces(database, None)? {
        delete(store, namespace, Some(vec![name.into()]), TagFilter::True, TimeRange::all())?;
    }
    Ok(())
}

/// `DELETE` and `DROP SERIES`, which is a DELETE over all time: the rows of the named measurements (or all)
/// that fulfil the condition, in all policies of the database unless one is named.
fn delete_rows<'v>(
    store: &dyn Append,
    view: &View<'v>,
    measurements: &'v [Measurement],
    condition: Option<&Expr>,
) -> Result<()> {
    let (time, filter) = match condition {
        Some(condition) => delete_condition(view, condition)?,
        None => (TimeRange::all(), TagFilter::True),
    };
    let of_request = view.context.database.unwrap_or("");
    if measurements.is_empty() {
        for namespace in view.namespaces(of_request, None)? {
            delete(store, namespace, None, filter.clone(), time)?;
        }
    }
    for measurement in measurements {
        let database = measurement.database.as_deref().unwrap_or(of_request);
        let policy = measurement.policy.as_deref().filter(|name| !name.is_empty());
        for namespace in view.namespaces(database, policy)? {
            let names = view.measurements(namespace, &measurement.name)?;
            delete(store, namespace, Some(names), filter.clone(), time)?;
        }
    }
    Ok(())
}

fn delete_condition(view: &View<'_>, condition: &Expr) -> Result<(TimeRange, TagFilter)> {
    let no_field = |_: &str| false;
    let context = ConditionContext { now_ns: view.context.now_ns, zone: None, is_field: &no_field };
    let condition = split_condition(condition, &context)?;
    if condition.residual.is_some() {
        return Err(Error::FieldInTagCondition { statement: "DELETE" });
    }
    Ok((condition.time, condition.tags.unwrap_or(TagFilter::True)))
}

fn delete(
    store: &dyn Append,
    namespace: NamespaceId,
    measurements: Option<Vec<Arc<str>>>,
    filter: TagFilter,
    time: TimeRange,
) -> Result<()> {
    let nothing = measurements.as_ref().is_some_and(Vec::is_empty);
    if nothing || time.is_empty() || filter == TagFilter::False {
        return Ok(());
    }
    let request = DeleteRequest { namespace, measurements, filter, time };
    match store.delete(&request).and_then(tsdb_core::Ticket::wait) {
        // Dropped meanwhile: the rows are gone.
        Ok(_) | Err(CoreError::NamespaceNotFound { .. }) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
