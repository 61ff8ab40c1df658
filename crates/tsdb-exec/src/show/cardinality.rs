//! SHOW … CARDINALITY: how many series, measurements, tag keys, tag values and field keys there are.
//!
//! Series and measurements without EXACT and without a clause are what the engine says of itself, if they are so many that
//! it estimates them; so are tag keys and values without EXACT, WHERE and GROUP BY. Everything else is counted from the
//! series that match.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tsdb_core::matcher::Pattern;
use tsdb_core::storage::{Cardinality, CardinalityRequest, TagCount, TagCountRequest};
use tsdb_core::{NamespaceId, SeriesKey};
use tsdb_ql::{Counted, MeasurementName, Page, ShowCardinality, ShowScope};

use super::{KeyTest, each_measurement, fields_in, namespaces_of, page, series};
use crate::memory::Charge;
use crate::result::{ResultColumn, Series, StatementResult, Validity, Values};
use crate::scope::{NAME_BYTES, View, keys_of_dimensions};
use crate::{Error, Result};

/// The statement in messages.
const STATEMENT: &str = "SHOW CARDINALITY";

/// Memory of a table beside its texts, in bytes.
const TABLE_BYTES: usize = size_of::<Series>() + size_of::<ResultColumn>() + NAME_BYTES;

/// `SHOW … CARDINALITY`
pub(crate) fn cardinality(view: &View<'_>, statement: &ShowCardinality) -> Result<StatementResult> {
    let scope = &statement.scope;
    let is_plain = !statement.exact
        && scope.measurements.is_empty()
        && scope.condition.is_none()
        && scope.page == Page::default()
        && statement.dimensions.is_empty();
    let estimate = match statement.counted {
        Counted::Series if is_plain => estimated(view, statement, |report| report.series)?,
        Counted::Measurements if is_plain => {
            estimated(view, statement, |report| report.measurement_count)?
        }
        _ => match estimated_tags(view, statement)? {
            Some(estimate) => return Ok(estimate),
            None => return exact(view, statement),
        },
    };
    let column = count_column("cardinality estimation", estimate);
    Ok(StatementResult::of(Series::table(None, vec![column])))
}

/// A number of the engine's report, if it is estimated; else the exact one, which does not count what deletes hide. As in
/// InfluxDB a database that does not exist has none.
fn estimated(
    view: &View<'_>,
    statement: &ShowCardinality,
    number: impl Fn(&Cardinality) -> u64,
) -> Result<u64> {
    let namespaces = match namespaces_of(view, &statement.scope) {
        Err(Error::DatabaseNotFound { .. }) => return Ok(0),
        found => found?,
    };
    // Nobody knows how many series two policies share.
    if let [namespace] = *namespaces {
        let report = view.snapshot.cardinality(&request(view, namespace))?;
        if report.estimated {
            return Ok(number(&report));
        }
    }
    let (series, _held) = series(view, &statement.scope, STATEMENT)?;
    Ok(match statement.counted {
        Counted::Measurements => {
            view.measurement_names(&series, &mut view.context.memory.charge())?.len() as u64
        }
        _ => series.len() as u64,
    })
}

fn request(view: &View<'_>, namespace: NamespaceId) -> CardinalityRequest {
    CardinalityRequest {
        budget: view.context.memory.budget().clone(),
        cancel: view.context.cancel.clone(),
        ..CardinalityRequest::of(namespace, 0)
    }
}

/// Tag keys or values by measurement, if nothing is asked for that only the series can tell, and if they are so many that
/// the engine need not look at them.
fn estimated_tags(view: &View<'_>, statement: &ShowCardinality) -> Result<Option<StatementResult>> {
    type Number = fn(&TagCount) -> u64;
    let (keys, number): (Option<KeyTest<'_>>, Number) = match &statement.counted {
        Counted::TagKeys => (None, |count| count.keys),
        Counted::TagValues(keys) => (Some(KeyTest::new(keys)?), |count| count.values),
        _ => return Ok(None),
    };
    let scope = &statement.scope;
    if statement.exact || scope.condition.is_some() || !statement.dimensions.is_empty() {
        return Ok(None);
    }
    let sources = Sources::new(view, scope)?;
    let request = TagCountRequest {
        namespaces: &sources.namespaces,
        measurement: &|namespace, name| sources.has(namespace, name),
        key: &|key| keys.as_ref().is_none_or(|keys| keys.holds(key)),
        budget: view.context.memory.budget().clone(),
        cancel: view.context.cancel.clone(),
    };
    let Some(counts) = view.snapshot.estimate_tags(&request)? else { return Ok(None) };
    let (mut charge, mut pace) = (view.context.memory.charge(), view.pace());
    let mut tables = Vec::new();
    for count in counts {
        pace.step()?;
        charge.grow(TABLE_BYTES + count.measurement.len())?;
        let column = count_column("count", number(&count));
        tables.push(Series::table(Some(count.measurement), vec![column]));
    }
    Ok(Some(paged(scope, tables, charge)))
}

/// Where a statement looks.
struct Sources<'s> {
    /// Each once.
    namespaces: Vec<NamespaceId>,
    /// What FROM names in each of them; empty without FROM.
    named: Vec<(NamespaceId, KeyTest<'s>)>,
}

impl<'s> Sources<'s> {
    fn new(view: &View<'_>, scope: &'s ShowScope) -> Result<Sources<'s>> {
        let database = view.database(scope.database.as_deref())?;
        let mut named = Vec::new();
        for source in &scope.measurements {
            let policy = source.policy.as_deref().filter(|name| !name.is_empty());
            for namespace in view.namespaces(database, policy)? {
                let test = match &source.name {
                    MeasurementName::Name(name) => KeyTest::Names(std::slice::from_ref(name), true),
                    MeasurementName::Regex(pattern) => {
                        KeyTest::Pattern(Pattern::new(pattern)?, true)
                    }
                };
                named.push((namespace, test));
            }
        }
        let mut namespaces: Vec<NamespaceId> = named.iter().map(|(place, _)| *place).collect();
        if scope.measurements.is_empty() {
            namespaces = view.namespaces(database, None)?;
        }
        namespaces.sort_unstable();
        namespaces.dedup();
        Ok(Sources { namespaces, named })
    }

    /// Whether a measurement is named, or everything is meant.
    fn has(&self, namespace: NamespaceId, measurement: &str) -> bool {
        let mut of_namespace = self.named.iter().filter(|(place, _)| *place == namespace);
        self.named.is_empty() || of_namespace.any(|(_, test)| test.holds(measurement))
    }
}

/// Those of the tables that `scope` shows, which `charge` has paid for. Each has one row.
fn paged(scope: &ShowScope, tables: Vec<Series>, charge: Charge) -> StatementResult {
    if scope.page.offset.is_some() {
        return StatementResult::default();
    }
    let of_series = Page {
        limit: scope.page.series_limit,
        offset: scope.page.series_offset,
        ..Page::default()
    };
    let mut result = StatementResult { series: page(tables, &of_series), ..Default::default() };
    result.pay(charge);
    result
}

/// Counts from the series that match, one table per measurement and group; measurements are counted per group alone.
/// Groups that have none are left out.
fn exact(view: &View<'_>, statement: &ShowCardinality) -> Result<StatementResult> {
    let scope = &statement.scope;
    let (series, _held) = series(view, scope, STATEMENT)?;
    let mut charge = view.context.memory.charge();
    let tags = if statement.dimensions.is_empty() {
        Vec::new()
    } else {
        view.tag_keys_of(&series, &mut charge)?
    };
    let by = keys_of_dimensions(&statement.dimensions, &tags)?;
    let counter = Counter::new(view, statement, &by)?;
    let mut tables: Vec<Series> = Vec::new();
    let mut measurements: Groups<'_> = BTreeMap::new();
    let mut held = view.context.memory.charge();
    each_measurement(view, &series, |name, series| {
        let groups = counter.groups(name, series, &mut held)?;
        if matches!(statement.counted, Counted::Measurements) {
            for group in groups.into_keys() {
                measurements.entry(group).or_default().count += 1;
            }
            return Ok(());
        }
        tables.extend(counter.tables(Some(name), groups, &mut charge)?);
        Ok(())
    })?;
    tables.extend(counter.tables(None, measurements, &mut charge)?);
    Ok(paged(scope, tables, charge))
}

/// By the values of the tags that are grouped by.
type Groups<'s> = BTreeMap<Vec<&'s str>, Group<'s>>;

#[derive(Default)]
struct Group<'s> {
    count: u64,
    /// Tag keys, or values.
    distinct: BTreeSet<&'s str>,
}

/// Counts what a statement asks for.
struct Counter<'c> {
    view: &'c View<'c>,
    counted: &'c Counted,
    /// Which keys' values count.
    keys: Option<KeyTest<'c>>,
    by: &'c [Arc<str>],
    namespaces: Vec<NamespaceId>,
}

impl<'c> Counter<'c> {
    fn new(
        view: &'c View<'_>,
        statement: &'c ShowCardinality,
        by: &'c [Arc<str>],
    ) -> Result<Counter<'c>> {
        let counted = &statement.counted;
        let keys = match counted {
            Counted::TagValues(keys) => Some(KeyTest::new(keys)?),
            _ => None,
        };
        let namespaces = namespaces_of(view, &statement.scope)?;
        Ok(Counter { view, counted, keys, by, namespaces })
    }

    /// What the groups of a measurement have. `held` pays for it.
    fn groups<'s>(
        &self,
        measurement: &str,
        series: &'s [SeriesKey],
        held: &mut Charge,
    ) -> Result<Groups<'s>> {
        let fields = match self.counted {
            Counted::FieldKeys => fields_in(self.view, &self.namespaces, measurement)?.len() as u64,
            _ => 0,
        };
        let mut groups: Groups<'s> = BTreeMap::new();
        let mut place: Vec<&str> = Vec::new();
        let mut pace = self.view.pace();
        for key in series {
            pace.step()?;
            place.clear();
            place.extend(self.by.iter().map(|tag| key.tag(tag).unwrap_or("")));
            if !groups.contains_key(&place) {
                held.grow((place.len() + 2) * NAME_BYTES)?;
                groups.insert(place.clone(), Group::default());
            }
            let Some(group) = groups.get_mut(&place) else { continue };
            match self.counted {
                Counted::Series => group.count += 1,
                Counted::Measurements => {}
                Counted::FieldKeys => group.count = fields,
                Counted::TagKeys | Counted::TagValues(_) => self.note(key, group, held)?,
            }
        }
        Ok(groups)
    }

    /// Notes the tag keys of a series, or the values of those that are asked for.
    fn note<'s>(
        &self,
        series: &'s SeriesKey,
        group: &mut Group<'s>,
        held: &mut Charge,
    ) -> Result<()> {
        for (key, value) in series.tags() {
            let counts = match &self.keys {
                None => Some(key),
                Some(wanted) => wanted.holds(key).then_some(value),
            };
            if counts.is_some_and(|text| group.distinct.insert(text)) {
                group.count += 1;
                held.grow(NAME_BYTES)?;
            }
        }
        Ok(())
    }

    /// A table for each group that has something.
    fn tables(
        &self,
        name: Option<&str>,
        groups: Groups<'_>,
        charge: &mut Charge,
    ) -> Result<Vec<Series>> {
        let name: Option<Arc<str>> = name.map(Arc::from);
        let mut tables = Vec::new();
        let mut pace = self.view.pace();
        for (values, group) in groups.into_iter().filter(|(_, group)| group.count > 0) {
            pace.step()?;
            let texts: usize = values.iter().map(|value| NAME_BYTES + value.len()).sum();
            charge.grow(TABLE_BYTES + texts)?;
            let values = values.into_iter().map(Arc::from);
            let mut table = Series::table(name.clone(), vec![count_column("count", group.count)]);
            table.tags = self.by.iter().cloned().zip(values).collect();
            tables.push(table);
        }
        Ok(tables)
    }
}

fn count_column(name: &str, count: u64) -> ResultColumn {
    let count = i64::try_from(count).unwrap_or(i64::MAX);
    ResultColumn { name: name.into(), values: Values::Integers(vec![count], Validity::all(1)) }
}
