//! SHOW: answers from the rows of a snapshot and from the catalogue. A series whose rows are all deleted is
//! not listed.

use std::sync::Arc;

use tsdb_core::matcher::{Pattern, TagFilter};
use tsdb_core::storage::SeriesRequest;
use tsdb_core::time::format_go_duration;
use tsdb_core::{NamespaceId, SeriesKey, TimeRange};
use tsdb_ql::{ConditionContext, KeyFilter, MeasurementName, Page, ShowScope, split_condition};

use crate::context::Memory;
use crate::result::{ResultColumn, Series, StatementResult, Validity, Values};
use crate::scope::{View, measurement_names, tag_keys};
use crate::{Error, Result};

/// Bytes that a name in an answer takes beside its text: its pointer, its counters, its place.
const NAME_BYTES: usize = 48;

/// `SHOW DATABASES`
pub(crate) fn databases(view: &View<'_>) -> StatementResult {
    let names = ResultColumn::texts("name", view.catalogue.databases.keys().cloned());
    StatementResult::of(Series::table(Some("databases".into()), vec![names]))
}

/// `SHOW RETENTION POLICIES`
pub(crate) fn policies(view: &View<'_>, database: Option<&str>) -> Result<StatementResult> {
    let database = database.filter(|name| !name.is_empty());
    let name = database.or(view.context.database).ok_or(Error::DatabaseRequired)?;
    let database = view.catalogue.database(name)?;
    let policies = database.policies.values();
    let retention =
        policies.clone().map(|p| format_go_duration(p.retention_ns.unwrap_or(0)).into());
    let partitions = policies.clone().map(|p| format_go_duration(p.partition_ns).into());
    let default = database.policies.keys().map(|name| *name == database.default_policy).collect();
    let copies = Values::Integers(vec![1; policies.len()], Validity::all(policies.len()));
    let column = |name: &str, values| ResultColumn { name: name.into(), values };
    Ok(StatementResult::of(Series::table(
        None,
        vec![
            ResultColumn::texts("name", database.policies.keys().cloned()),
            ResultColumn::texts("duration", retention),
            ResultColumn::texts("shardGroupDuration", partitions),
            column("replicaN", copies),
            column("default", Values::Booleans(default)),
        ],
    )))
}

/// `SHOW MEASUREMENTS`. As in InfluxDB a database that does not exist has none.
pub(crate) fn measurements(view: &View<'_>, scope: &ShowScope) -> Result<StatementResult> {
    let series = match series(view, scope, "SHOW MEASUREMENTS") {
        Err(Error::DatabaseNotFound { .. }) => Vec::new(),
        other => other?,
    };
    let names = page(measurement_names(&series), &scope.page);
    let column = ResultColumn::texts("name", names);
    let mut result = StatementResult::default();
    if !column.values.is_empty() {
        charge(view, &mut result, std::slice::from_ref(&column))?;
        result.series.push(Series::table(Some("measurements".into()), vec![column]));
    }
    Ok(result)
}

/// `SHOW SERIES`
pub(crate) fn all_series(view: &View<'_>, scope: &ShowScope) -> Result<StatementResult> {
    let series = series(view, scope, "SHOW SERIES")?;
    let keys = page(series, &scope.page).into_iter().map(|key| Arc::from(key.to_string()));
    let column = ResultColumn::texts("key", keys);
    let mut result = StatementResult::default();
    if !column.values.is_empty() {
        charge(view, &mut result, std::slice::from_ref(&column))?;
        result.series.push(Series::table(None, vec![column]));
    }
    Ok(result)
}

/// `SHOW TAG KEYS`
pub(crate) fn all_tag_keys(view: &View<'_>, scope: &ShowScope) -> Result<StatementResult> {
    let series = series(view, scope, "SHOW TAG KEYS")?;
    per_measurement(view, scope, &series, |_, series| {
        let keys = page(tag_keys(series), &scope.page);
        Ok(vec![ResultColumn::texts("tagKey", keys)])
    })
}

/// `SHOW TAG VALUES`
pub(crate) fn tag_values(
    view: &View<'_>,
    scope: &ShowScope,
    keys: &KeyFilter,
) -> Result<StatementResult> {
    let wanted = KeyTest::new(keys)?;
    let series = series(view, scope, "SHOW TAG VALUES")?;
    per_measurement(view, scope, &series, |_, series| {
        let tags = series.iter().flat_map(SeriesKey::tags).filter(|(key, _)| wanted.holds(key));
        let mut pairs: Vec<(&str, &str)> = tags.collect();
        pairs.sort_unstable();
        pairs.dedup();
        let pairs = page(pairs, &scope.page);
        Ok(vec![
            ResultColumn::texts("key", pairs.iter().map(|(key, _)| Arc::from(*key))),
            ResultColumn::texts("value", pairs.iter().map(|(_, value)| Arc::from(*value))),
        ])
    })
}

/// `SHOW FIELD KEYS`
pub(crate) fn field_keys(view: &View<'_>, scope: &ShowScope) -> Result<StatementResult> {
    let database = view.database(scope.database.as_deref())?;
    let series = series(view, scope, "SHOW FIELD KEYS")?;
    let mut namespaces: Vec<NamespaceId> = Vec::new();
    if scope.measurements.is_empty() {
        namespaces = view.namespaces(database, None)?;
    }
    for measurement in &scope.measurements {
        namespaces.extend(view.namespaces(database, measurement.policy.as_deref())?);
    }
    namespaces.sort_unstable();
    namespaces.dedup();
    per_measurement(view, scope, &series, |measurement, _| {
        let mut fields: Vec<Arc<str>> = Vec::new();
        for namespace in &namespaces {
            fields.extend(view.snapshot.fields(*namespace, measurement)?);
        }
        fields.sort_unstable();
        fields.dedup();
        let fields = page(fields, &scope.page);
        // Every field is a column of f64, whatever a client wrote.
        let types = vec![Arc::from("float"); fields.len()];
        Ok(vec![ResultColumn::texts("fieldKey", fields), ResultColumn::texts("fieldType", types)])
    })
}

/// `WITH KEY …`, compiled.
enum KeyTest<'k> {
    Names(&'k [String], bool),
    Pattern(Pattern, bool),
}

impl<'k> KeyTest<'k> {
    fn new(filter: &'k KeyFilter) -> Result<KeyTest<'k>> {
        Ok(match filter {
            KeyFilter::Equal(key) => KeyTest::Names(std::slice::from_ref(key), true),
            KeyFilter::NotEqual(key) => KeyTest::Names(std::slice::from_ref(key), false),
            KeyFilter::In(keys) => KeyTest::Names(keys, true),
            KeyFilter::Matches { pattern, .. } => KeyTest::Pattern(Pattern::new(pattern)?, true),
            KeyFilter::NotMatches { pattern, .. } => {
                KeyTest::Pattern(Pattern::new(pattern)?, false)
            }
        })
    }

    fn holds(&self, key: &str) -> bool {
        match self {
            KeyTest::Names(names, expected) => names.iter().any(|name| name == key) == *expected,
            KeyTest::Pattern(pattern, expected) => pattern.is_match(key) == *expected,
        }
    }
}

/// One table per measurement of `series`, which is in key order; those without rows are left out.
fn per_measurement(
    view: &View<'_>,
    scope: &ShowScope,
    series: &[SeriesKey],
    mut columns: impl FnMut(&str, &[SeriesKey]) -> Result<Vec<ResultColumn>>,
) -> Result<StatementResult> {
    let mut result = StatementResult::default();
    for chunk in series.chunk_by(|a, b| a.measurement() == b.measurement()) {
        view.context.cancel.check()?;
        let Some(name) = chunk.first().map(SeriesKey::measurement) else { continue };
        let columns = columns(name, chunk)?;
        if columns.iter().any(|column| !column.values.is_empty()) {
            charge(view, &mut result, &columns)?;
            result.series.push(Series::table(Some(name.into()), columns));
        }
    }
    let of_series = Page {
        limit: scope.page.series_limit,
        offset: scope.page.series_offset,
        ..Page::default()
    };
    result.series = page(result.series, &of_series);
    Ok(result)
}

/// Makes `result` pay for `columns`.
fn charge(view: &View<'_>, result: &mut StatementResult, columns: &[ResultColumn]) -> Result<()> {
    let texts = columns.iter().filter_map(|column| match &column.values {
        Values::Strings(texts) => Some(texts),
        _ => None,
    });
    let bytes = texts.flatten().flatten().map(|text| text.len() + NAME_BYTES).sum();
    let mut charge = match result.charges.pop() {
        Some(charge) => charge,
        None => Memory::new(&view.context.budget).charge()?,
    };
    charge.grow(bytes)?;
    result.charges.push(charge);
    Ok(())
}

/// Offset and limit of `page`, applied to `items`.
fn page<T>(mut items: Vec<T>, page: &Page) -> Vec<T> {
    let count = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
    items.drain(..count(page.offset.unwrap_or(0)).min(items.len()));
    items.truncate(page.limit.map_or(usize::MAX, count));
    items
}

/// The series that `scope` speaks of, in key order, each once, in whatever policies they are.
fn series(view: &View<'_>, scope: &ShowScope, statement: &'static str) -> Result<Vec<SeriesKey>> {
    let database = view.database(scope.database.as_deref())?;
    let (time, filter) = condition(view, scope, statement)?;
    let ask = |namespace: NamespaceId, measurements: Option<Vec<Arc<str>>>| {
        let request = SeriesRequest {
            measurements,
            filter: filter.clone(),
            time,
            cancel: view.context.cancel.clone(),
            ..SeriesRequest::all(namespace)
        };
        view.snapshot.series(&request)
    };
    let mut found: Vec<SeriesKey> = Vec::new();
    if scope.measurements.is_empty() {
        for namespace in view.namespaces(database, None)? {
            found.extend(ask(namespace, None)?);
        }
    }
    for measurement in &scope.measurements {
        let policy = measurement.policy.as_deref().filter(|name| !name.is_empty());
        for namespace in view.namespaces(database, policy)? {
            match &measurement.name {
                MeasurementName::Name(name) => {
                    found.extend(ask(namespace, Some(vec![name.as_str().into()]))?);
                }
                MeasurementName::Regex(pattern) => {
                    let pattern = Pattern::new(pattern)?;
                    let all = ask(namespace, None)?.into_iter();
                    found.extend(all.filter(|key| pattern.is_match(key.measurement())));
                }
            }
        }
    }
    found.sort_unstable();
    found.dedup();
    Ok(found)
}

/// The range of time and the tags that a WHERE clause of SHOW asks for.
fn condition(
    view: &View<'_>,
    scope: &ShowScope,
    statement: &'static str,
) -> Result<(TimeRange, TagFilter)> {
    let Some(condition) = &scope.condition else { return Ok((TimeRange::all(), TagFilter::True)) };
    // Fields are not looked at: every name is a tag.
    let no_field = |_: &str| false;
    let context = ConditionContext { now_ns: view.context.now_ns, zone: None, is_field: &no_field };
    let condition = split_condition(condition, &context)?;
    if condition.residual.is_some() {
        return Err(Error::FieldInTagCondition { statement });
    }
    Ok((condition.time, condition.tags.unwrap_or(TagFilter::True)))
}
