//! SHOW: answers from the rows of a snapshot and from the catalogue. A series whose rows are all deleted is
//! not listed.

mod cardinality;
mod shards;

use std::sync::Arc;

use tsdb_core::matcher::{Pattern, TagFilter};
use tsdb_core::storage::SeriesRequest;
use tsdb_core::time::format_go_duration;
use tsdb_core::{NamespaceId, SeriesKey, TimeRange};
use tsdb_ql::{ConditionContext, KeyFilter, MeasurementName, Page, ShowScope, split_condition};

use crate::letgo::Long;
use crate::memory::Charge;
use crate::pace::Pace;
use crate::result::{Message, ResultColumn, Series, StatementResult, Validity, Values};
use crate::scope::{NAME_BYTES, View};
use crate::sort::{Distinct, merge_lists};
use crate::{Error, Result};

pub(crate) use cardinality::cardinality;
pub(crate) use shards::{shard_groups, shards};

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

/// `SHOW MEASUREMENTS`. As in InfluxDB a database that does not exist has none; a remark says that it does not exist.
pub(crate) fn measurements(view: &View<'_>, scope: &ShowScope) -> Result<StatementResult> {
    let mut result = StatementResult::default();
    let (series, _held) = match series(view, scope, "SHOW MEASUREMENTS") {
        Err(error @ Error::DatabaseNotFound { .. }) => {
            result.messages.push(Message { level: "warning", text: error.to_string() });
            return Ok(result);
        }
        found => found?,
    };
    let mut charge = view.context.memory.charge();
    let names = page(view.measurement_names(&series, &mut charge)?, &scope.page);
    if !names.is_empty() {
        let column = ResultColumn::texts("name", names);
        result.series.push(Series::table(Some("measurements".into()), vec![column]));
        result.pay(charge);
    }
    Ok(result)
}

/// `SHOW SERIES`
pub(crate) fn all_series(view: &View<'_>, scope: &ShowScope) -> Result<StatementResult> {
    let (series, _held) = series(view, scope, "SHOW SERIES")?;
    let mut keys = Texts::new(view);
    for key in paged(&series, &scope.page) {
        keys.push(&key.to_string())?;
    }
    let mut result = StatementResult::default();
    if !keys.texts.is_empty() {
        let column = keys.into_column("key", &mut result);
        result.series.push(Series::table(None, vec![column]));
    }
    Ok(result)
}

/// `SHOW TAG KEYS`
pub(crate) fn all_tag_keys(view: &View<'_>, scope: &ShowScope) -> Result<StatementResult> {
    per_measurement(view, scope, "SHOW TAG KEYS", |_, series, charge| {
        let keys = page(view.tag_keys_of(series, charge)?, &scope.page);
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
    per_measurement(view, scope, "SHOW TAG VALUES", |_, series, charge| {
        let mut held = view.context.memory.charge();
        let mut distinct = Distinct::new(&view.context.cancel);
        let mut before: Vec<(&str, &str)> = Vec::new();
        let mut pace = view.pace();
        for key in series {
            for (place, pair) in key.tags().enumerate() {
                pace.step()?;
                // Series in order of their keys often have the values of the one before.
                let last = before.get_mut(place).map(|last| std::mem::replace(last, pair));
                if last.is_none() {
                    before.push(pair);
                }
                if last != Some(pair) && wanted.holds(pair.0) {
                    distinct.add(pair, &mut held)?;
                }
            }
        }
        let pairs = page(distinct.into_sorted()?, &scope.page);
        let (mut keys, mut values) = (Texts::new(view), Texts::new(view));
        for (key, value) in pairs {
            keys.push_again(key)?;
            values.push(value)?;
        }
        charge.merge(keys.charge);
        charge.merge(values.charge);
        let (keys, values) = (keys.texts.into_vec(), values.texts.into_vec());
        Ok(vec![column("key", keys), column("value", values)])
    })
}

/// `SHOW FIELD KEYS`
pub(crate) fn field_keys(view: &View<'_>, scope: &ShowScope) -> Result<StatementResult> {
    let namespaces = namespaces_of(view, scope)?;
    per_measurement(view, scope, "SHOW FIELD KEYS", |measurement, _, charge| {
        let fields = page(fields_in(view, &namespaces, measurement)?, &scope.page);
        for field in &fields {
            charge.grow(2 * NAME_BYTES + field.len())?;
        }
        // Every field is a column of f64, whatever a client wrote.
        let types = vec![Arc::from("float"); fields.len()];
        Ok(vec![ResultColumn::texts("fieldKey", fields), ResultColumn::texts("fieldType", types)])
    })
}

/// The namespaces that `scope` speaks of, each once.
fn namespaces_of(view: &View<'_>, scope: &ShowScope) -> Result<Vec<NamespaceId>> {
    let database = view.database(scope.database.as_deref())?;
    let mut namespaces: Vec<NamespaceId> = Vec::new();
    if scope.measurements.is_empty() {
        namespaces = view.namespaces(database, None)?;
    }
    for measurement in &scope.measurements {
        namespaces.extend(view.namespaces(database, measurement.policy.as_deref())?);
    }
    namespaces.sort_unstable();
    namespaces.dedup();
    Ok(namespaces)
}

/// The fields of a measurement in any of the namespaces, sorted, each once.
fn fields_in(
    view: &View<'_>,
    namespaces: &[NamespaceId],
    measurement: &str,
) -> Result<Vec<Arc<str>>> {
    let mut fields: Vec<Arc<str>> = Vec::new();
    for namespace in namespaces {
        fields.extend(view.fields(*namespace, measurement)?);
    }
    fields.sort_unstable();
    fields.dedup();
    Ok(fields)
}

/// A column of texts that pays for itself as it grows.
struct Texts<'v> {
    texts: Long<Option<Arc<str>>>,
    charge: Charge,
    pace: Pace<'v>,
}

impl<'v> Texts<'v> {
    fn new(view: &View<'v>) -> Texts<'v> {
        let (memory, cancel) = (&view.context.memory, &view.context.cancel);
        Texts { texts: Long::new(), charge: memory.charge(), pace: Pace::new(cancel) }
    }

    fn push(&mut self, text: &str) -> Result<()> {
        self.pace.step()?;
        self.charge.grow(NAME_BYTES + text.len())?;
        self.texts.push(Some(Arc::from(text)));
        Ok(())
    }

    /// As [`Texts::push`]; the same text as before takes no memory once more.
    fn push_again(&mut self, text: &str) -> Result<()> {
        let last = self.texts.last().and_then(Option::as_ref);
        let Some(same) = last.filter(|last| ***last == *text).cloned() else {
            return self.push(text);
        };
        self.pace.step()?;
        self.charge.grow(NAME_BYTES)?;
        self.texts.push(Some(same));
        Ok(())
    }

    fn into_column(self, name: &str, result: &mut StatementResult) -> ResultColumn {
        result.pay(self.charge);
        column(name, self.texts.into_vec())
    }
}

fn column(name: &str, texts: Vec<Option<Arc<str>>>) -> ResultColumn {
    ResultColumn { name: name.into(), values: Values::Strings(texts.into()) }
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

/// One table per measurement that `scope` speaks of, in order of names; those without rows are left out.
/// `columns` makes one from the name and the series, and charges for it.
fn per_measurement(
    view: &View<'_>,
    scope: &ShowScope,
    statement: &'static str,
    mut columns: impl FnMut(&str, &[SeriesKey], &mut Charge) -> Result<Vec<ResultColumn>>,
) -> Result<StatementResult> {
    let (series, _held) = series(view, scope, statement)?;
    let mut result = StatementResult::default();
    let mut charge = view.context.memory.charge();
    each_measurement(view, &series, |name, same| {
        let columns = columns(name, same, &mut charge)?;
        if columns.iter().any(|column| !column.values.is_empty()) {
            let own = size_of::<Series>() + columns.len() * size_of::<ResultColumn>();
            charge.grow(own + NAME_BYTES + name.len())?;
            result.series.push(Series::table(Some(name.into()), columns));
        }
        Ok(())
    })?;
    let of_series = Page {
        limit: scope.page.series_limit,
        offset: scope.page.series_offset,
        ..Page::default()
    };
    result.series = page(result.series, &of_series);
    result.pay(charge);
    Ok(result)
}

/// Calls `visit` for each measurement of `series`, which are in key order, with its series.
fn each_measurement<'s>(
    view: &View<'_>,
    series: &'s [SeriesKey],
    mut visit: impl FnMut(&'s str, &'s [SeriesKey]) -> Result<()>,
) -> Result<()> {
    let mut rest = series;
    while let Some(name) = rest.first().map(SeriesKey::measurement) {
        view.context.cancel.check()?;
        let (same, others) = rest.split_at(rest.partition_point(|key| key.measurement() == name));
        rest = others;
        visit(name, same)?;
    }
    Ok(())
}

/// The items that `page` shows.
fn paged<'i, T>(items: &'i [T], page: &Page) -> impl Iterator<Item = &'i T> {
    let count = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
    let (offset, limit) = (page.offset.map_or(0, count), page.limit.map_or(usize::MAX, count));
    items.iter().skip(offset).take(limit)
}

/// Offset and limit of `page`, applied to `items`.
fn page<T>(mut items: Vec<T>, page: &Page) -> Vec<T> {
    let count = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
    items.drain(..count(page.offset.unwrap_or(0)).min(items.len()));
    items.truncate(page.limit.map_or(usize::MAX, count));
    items
}

/// The series that `scope` speaks of, in key order, each once, in whatever policies they are, and what pays
/// for them.
fn series(
    view: &View<'_>,
    scope: &ShowScope,
    statement: &'static str,
) -> Result<(Long<SeriesKey>, Charge)> {
    let database = view.database(scope.database.as_deref())?;
    let (time, filter) = condition(view, scope, statement)?;
    let mut charge = view.context.memory.charge();
    let mut lists: Vec<Long<SeriesKey>> = Vec::new();
    let mut ask = |namespace: NamespaceId, name: Option<&str>, pattern: Option<&Pattern>| {
        let all = view.series_request(namespace, name);
        let request = SeriesRequest { filter: filter.clone(), time, ..all };
        let (mut found, held) = view.series(&request)?;
        charge.merge(held);
        if let Some(pattern) = pattern {
            found = of_measurements(view, &found, pattern)?;
        }
        lists.push(found);
        Ok::<(), Error>(())
    };
    if scope.measurements.is_empty() {
        for namespace in view.namespaces(database, None)? {
            ask(namespace, None, None)?;
        }
    }
    for measurement in &scope.measurements {
        let policy = measurement.policy.as_deref().filter(|name| !name.is_empty());
        for namespace in view.namespaces(database, policy)? {
            match &measurement.name {
                MeasurementName::Name(name) => ask(namespace, Some(name), None)?,
                MeasurementName::Regex(pattern) => {
                    ask(namespace, None, Some(&Pattern::new(pattern)?))?;
                }
            }
        }
    }
    Ok((each_once(view, lists)?, charge))
}

/// Those of `series`, which are in key order, whose measurement matches.
fn of_measurements(
    view: &View<'_>,
    series: &[SeriesKey],
    pattern: &Pattern,
) -> Result<Long<SeriesKey>> {
    let mut pace = view.pace();
    let mut found = Long::new();
    let mut last: Option<(&SeriesKey, bool)> = None;
    for key in series {
        pace.step()?;
        let known = last.as_ref().filter(|(known, _)| known.measurement() == key.measurement());
        let matches = match known {
            Some((_, matches)) => *matches,
            None => pattern.is_match(key.measurement()),
        };
        last = Some((key, matches));
        if matches {
            found.push(key.clone());
        }
    }
    Ok(found)
}

/// One list of several in key order, each key once.
fn each_once(view: &View<'_>, lists: Vec<Long<SeriesKey>>) -> Result<Long<SeriesKey>> {
    let mut lists = lists;
    if lists.len() <= 1 {
        return Ok(lists.pop().unwrap_or_else(Long::new));
    }
    let count: usize = lists.iter().map(|list| list.len()).sum();
    let mut held = view.context.memory.charge();
    held.grow(count.saturating_mul(2 * size_of::<SeriesKey>()))?;
    let mut pace = view.pace();
    let mut found: Long<SeriesKey> = Long::new();
    let lists = lists.into_iter().map(Long::into_vec).collect();
    for key in merge_lists(lists, &view.context.cancel)? {
        pace.step()?;
        if found.last() != Some(&key) {
            found.push(key);
        }
    }
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
