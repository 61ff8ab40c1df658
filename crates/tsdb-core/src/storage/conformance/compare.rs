//! Compares a snapshot with what the model shows: single scans of any kind, and everything that a
//! namespace answers. The form of blocks is checked in `answer`, summaries in `summaries`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::answer::{self, Answer, AnswerRow};
use super::model::{Fields, Meaning, Model, NamespaceView};
use super::query::random_request;
use super::script::{FIELD_NEVER_WRITTEN, Universe, random_filter, random_range};
use super::{Verdict, Violation, ensure, summaries};
use crate::env::SimRng;
use crate::storage::{
    CardinalityRequest, FieldPredicate, FieldSelection, Order, PredicateOp, ScanRequest,
    SeriesRequest, Snapshot, Storage, Want,
};
use crate::time::{MAX_TIME, MIN_TIME};
use crate::{Error, NamespaceId, SeriesKey};

/// Random scans per namespace and comparison.
const SCANS: u64 = 12;

/// Compares a store, as it is now, with the model: its catalogue and a snapshot.
///
/// # Errors
/// The first difference.
pub fn compare_everything(store: &dyn Storage, model: &Model, seed: u64) -> Verdict {
    let catalogue = store.catalogue();
    ensure(*catalogue == *model.catalogue(), || {
        format!("the catalogue is {catalogue:?}, must be {:?}", model.catalogue())
    })?;
    let snapshot = store.snapshot()?;
    compare(&*snapshot, model, seed)
}

/// Compares a snapshot with the model: every namespace whole, and by random scans.
///
/// # Errors
/// The first difference.
pub fn compare(snapshot: &dyn Snapshot, model: &Model, seed: u64) -> Verdict {
    let universe = Universe::new()?;
    let rng = SimRng::new(seed);
    let known = model.catalogue().namespaces().map(|namespace| namespace.id);
    for id in known {
        let Some(view) = model.view(id)? else { continue };
        let context = |violation: Violation| violation.within(format!("namespace {}", id.0));
        compare_whole(snapshot, &view).map_err(context)?;
        compare_names(snapshot, &view, &rng).map_err(context)?;
        for _ in 0..SCANS {
            let request = random_request(&rng, &universe, &view);
            compare_scan(snapshot, &view, &request).map_err(context)?;
        }
    }
    let unknown = NamespaceId(model.catalogue().next_id);
    compare_unknown(snapshot, unknown)?;
    // Dropped ones are as unknown as those that never were.
    let gone = (0..unknown.0).map(NamespaceId).find(|id| model.catalogue().by_id(*id).is_none());
    gone.map_or(Ok(()), |id| compare_unknown(snapshot, id))
}

/// All rows of a namespace, in one ascending and one descending scan.
pub(super) fn compare_whole(snapshot: &dyn Snapshot, view: &NamespaceView) -> Verdict {
    for order in [Order::Ascending, Order::Descending] {
        let request = ScanRequest {
            measurements: view.measurements(),
            order,
            ..ScanRequest::all(view.id, "")
        };
        compare_scan(snapshot, view, &request)?;
    }
    Ok(())
}

/// Series and fields by name.
fn compare_names(snapshot: &dyn Snapshot, view: &NamespaceView, rng: &SimRng) -> Verdict {
    let names = |request: &SeriesRequest| -> Verdict {
        let matching = view.matching(request.measurements.as_deref(), &request.filter)?;
        let alive = matching
            .into_iter()
            .filter(|(_, rows)| rows.keys().any(|time| request.time.contains(*time)));
        let limit = request.limit.unwrap_or(usize::MAX);
        let expected: Vec<&SeriesKey> = alive.map(|(key, _)| key).take(limit).collect();
        let found = snapshot.series(request)?;
        ensure(found.iter().eq(expected.iter().copied()), || {
            format!("series are {}, must be {}; {request:?}", list(&found), list(&expected))
        })
    };
    names(&SeriesRequest::all(view.id))?;
    for _ in 0..4 {
        names(&SeriesRequest {
            measurements: (rng.below(2) == 0).then(|| vec!["cpu".into(), "absent".into()]),
            filter: random_filter(rng),
            time: random_range(rng),
            limit: usize::try_from(rng.below(12)).ok().filter(|limit| *limit < 6),
            ..SeriesRequest::all(view.id)
        })?;
    }
    for measurement in view.measurements().iter().map(|m| &**m).chain(["absent"]) {
        let found = snapshot.fields(&SeriesRequest::measurement(view.id, measurement))?;
        let expected = view.fields(measurement);
        ensure(found == expected, || {
            format!("fields of {measurement} are {found:?}, must be {expected:?}")
        })?;
    }
    Ok(())
}

fn list<T: std::fmt::Display>(items: &[T]) -> String {
    let items: Vec<String> = items.iter().map(ToString::to_string).collect();
    format!("[{}]", items.join(" | "))
}

/// A namespace that does not exist is refused by every call that names it.
fn compare_unknown(snapshot: &dyn Snapshot, id: NamespaceId) -> Verdict {
    let request = ScanRequest::all(id, "cpu");
    let outcomes = [
        snapshot.select(&request).err(),
        snapshot.estimate(&request).err(),
        snapshot.series(&SeriesRequest::all(id)).err(),
        snapshot.fields(&SeriesRequest::measurement(id, "cpu")).err(),
        snapshot.cardinality(&CardinalityRequest::of(id, 1)).err(),
    ];
    let expected = Some(Error::NamespaceNotFound { id: id.0 });
    ensure(outcomes.iter().all(|outcome| *outcome == expected), || {
        format!(
            "unknown namespace {}: select, estimate, series, fields, cardinality: {outcomes:?}",
            id.0
        )
    })
}

/// One scan and its estimate.
pub(super) fn compare_scan(
    snapshot: &dyn Snapshot,
    view: &NamespaceView,
    request: &ScanRequest,
) -> Verdict {
    let judge = || -> Verdict {
        let answer = answer::read(snapshot, request)?;
        compare_series(&answer, request)?;
        compare_columns(&answer, view, request)?;
        if request.want == Want::Summaries {
            summaries::compare(&answer, view, request)
        } else {
            compare_rows(&answer, &expected_rows(view, request, &answer.columns)?, request)
        }?;
        compare_estimate(snapshot, view, request)
    };
    judge().map_err(|violation| violation.within(describe(request)))
}

/// What a request asks for, in one line: without what each has alike.
fn describe(request: &ScanRequest) -> String {
    let ScanRequest { measurements, time, filter, fields, predicates, group_by, .. } = request;
    let ScanRequest { windows, want, order, limit_per_series, parts, .. } = request;
    format!(
        "scan of {measurements:?} in {time} where {filter}, {fields:?}, {predicates:?}, {group_by:?}, \
         {windows:?}, {want:?}, {order:?}, limit {limit_per_series:?}, {parts} parts"
    )
}

/// Only series that match are selected. That none is missing shows in the rows.
fn compare_series(answer: &Answer, request: &ScanRequest) -> Verdict {
    let meaning = Meaning::new(&request.filter)?;
    for key in &answer.series {
        let named = request.measurements.iter().any(|name| **name == *key.measurement());
        ensure(named && meaning.holds(key), || format!("{key} does not match"))?;
    }
    Ok(())
}

/// Columns of a scan of all fields: at least those with values in it, at most those ever written.
fn compare_columns(answer: &Answer, view: &NamespaceView, request: &ScanRequest) -> Verdict {
    if request.fields == FieldSelection::All {
        let written = request.measurements.iter().filter_map(|name| view.written.get(name));
        let written: BTreeSet<&Arc<str>> = written.flatten().collect();
        let found: BTreeSet<&Arc<str>> = answer.columns.iter().collect();
        let extra: Vec<_> = found.difference(&written).collect();
        ensure(extra.is_empty(), || format!("columns that no row ever had: {extra:?}"))?;
        for (key, rows) in view.matching(Some(&request.measurements), &request.filter)? {
            let inside = rows.iter().filter(|(time, _)| request.time.contains(**time));
            for field in inside.flat_map(|(_, fields)| fields.keys()) {
                ensure(found.contains(field), || format!("{field:?} of {key} is no column"))?;
            }
        }
    }
    Ok(())
}

type ExpectedRows = BTreeMap<SeriesKey, Vec<(AnswerRow, bool)>>;

/// Rows in the requested order, each with whether it fulfils all predicates.
fn expected_rows(
    view: &NamespaceView,
    request: &ScanRequest,
    columns: &[Arc<str>],
) -> Result<ExpectedRows, Violation> {
    let limit = usize::try_from(request.limit_per_series.unwrap_or(u64::MAX)).unwrap_or(usize::MAX);
    let mut expected = ExpectedRows::new();
    for (key, rows) in view.matching(Some(&request.measurements), &request.filter)? {
        let inside = rows.iter().filter(|(time, _)| request.time.contains(**time));
        let mut rows: Vec<(AnswerRow, bool)> = inside
            .map(|(time, fields)| {
                let values: Vec<Option<u64>> =
                    columns.iter().map(|name| fields.get(name).copied()).collect();
                ((*time, values), fulfils(fields, &request.predicates))
            })
            .filter(|((_, values), _)| values.iter().any(Option::is_some))
            .collect();
        if request.order == Order::Descending {
            rows.reverse();
        }
        rows.truncate(limit);
        if !rows.is_empty() {
            expected.insert(key.clone(), rows);
        }
    }
    Ok(expected)
}

fn fulfils(fields: &Fields, predicates: &[FieldPredicate]) -> bool {
    predicates.iter().all(|predicate| {
        fields.get(&predicate.field).is_some_and(|bits| {
            let (left, right) = (f64::from_bits(*bits), predicate.value);
            match predicate.op {
                PredicateOp::Eq => left == right,
                PredicateOp::Lt => left < right,
                PredicateOp::Le => left <= right,
                PredicateOp::Gt => left > right,
                PredicateOp::Ge => left >= right,
            }
        })
    })
}

/// Without predicates the rows are those expected; with them, rows that do not fulfil them may be missing.
fn compare_rows(answer: &Answer, expected: &ExpectedRows, request: &ScanRequest) -> Verdict {
    let keys: BTreeSet<&SeriesKey> = answer.rows.keys().chain(expected.keys()).collect();
    for key in keys {
        let found = answer.rows.get(key).map(Vec::as_slice).unwrap_or_default();
        let due = expected.get(key).map(Vec::as_slice).unwrap_or_default();
        compare_series_rows(found, due, request.predicates.is_empty())
            .map_err(|violation| violation.within(format!("{key} {:?}", answer.columns)))?;
    }
    Ok(())
}

fn compare_series_rows(found: &[AnswerRow], due: &[(AnswerRow, bool)], all: bool) -> Verdict {
    let mut found_rows = found.iter().peekable();
    for (row, fulfils) in due {
        match found_rows.peek() {
            Some(next) if *next == row => {
                found_rows.next();
            }
            next if *fulfils || all => {
                return Err(Violation::new(format!(
                    "{} of {} rows: found {}, must be {}",
                    found.len(),
                    due.len(),
                    next.map_or_else(|| "the end".to_owned(), |row| show(row)),
                    show(row)
                )));
            }
            _ => {}
        }
    }
    match found_rows.next() {
        None => Ok(()),
        Some(extra) => Err(Violation::new(format!(
            "{} of {} rows: found {} too many",
            found.len(),
            due.len(),
            show(extra)
        ))),
    }
}

fn show((time, values): &AnswerRow) -> String {
    let values = values.iter().map(|value| match value {
        Some(bits) => format!("{:?}/{bits:x}", f64::from_bits(*bits)),
        None => "-".to_owned(),
    });
    format!("@{time} [{}]", values.collect::<Vec<_>>().join(", "))
}

/// An estimate never promises less than there is.
fn compare_estimate(
    snapshot: &dyn Snapshot,
    view: &NamespaceView,
    request: &ScanRequest,
) -> Verdict {
    let estimate = snapshot.estimate(request)?;
    let (mut series, mut rows, mut t_min, mut t_max) = (0, 0, MAX_TIME, MIN_TIME);
    let columns: Vec<Arc<str>> = match &request.fields {
        FieldSelection::All => {
            view.written.values().flatten().cloned().chain([FIELD_NEVER_WRITTEN.into()]).collect()
        }
        FieldSelection::Named(names) => names.clone(),
    };
    let everything = ScanRequest { limit_per_series: None, ..request.clone() };
    for found in expected_rows(view, &everything, &columns)?.values() {
        series += 1;
        rows += found.len() as u64;
        t_min = found.iter().map(|((time, _), _)| *time).fold(t_min, i64::min);
        t_max = found.iter().map(|((time, _), _)| *time).fold(t_max, i64::max);
    }
    let enough = estimate.series >= series
        && (estimate.rows >= rows || request.limit_per_series.is_some())
        && (rows == 0 || estimate.runs > 0)
        && (rows == 0 || (estimate.t_min <= t_min && t_max <= estimate.t_max));
    ensure(enough, || {
        format!("{estimate:?} for {series} series, {rows} rows from {t_min} to {t_max}")
    })
}
