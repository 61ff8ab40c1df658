//! The rules of the seam, one deterministic case each: values and order, what is refused and how, what
//! ends an epoch, cancellation, closing. Random mixtures are in `script`, threads in `threads`.

use std::sync::Arc;

use super::compare::{compare_scan, compare_whole};
use super::history::Runner;
use super::script::{BASE, Op, RowSpec, STEP, Target};
use super::writer::Writer;
use super::{Subject, Verdict, Violation, ensure};
use crate::catalogue::{AUTOGEN, PolicySpec};
use crate::limits::BLOCK_ROWS_MAX;
use crate::matcher::{MatchOp, TagFilter};
use crate::storage::{
    Block, Cardinality, CardinalityRequest, DeleteRequest, FieldPredicate, FieldSelection, Order,
    PredicateOp, Ranked, ScanRequest, SeriesRequest, Storage, TagCount, TagCountRequest, Want,
    Windows,
};
use crate::time::{HOUR, MAX_TIME, MIN_TIME};
use crate::{
    CancelToken, CatalogueChange, EntryKey, Error, ErrorKind, FieldSet, FieldSetRef, MemoryBudget,
    NamespaceId, Pool, SeriesKey, SeriesRef, TagCharset, TimeRange, WriteBatch,
};

type Case = fn(&mut Runner) -> Verdict;

const CASES: &[(&str, Case)] = &[
    ("an empty store answers", empty_store),
    ("values survive bit for bit", values_survive),
    ("the later row wins", later_row_wins),
    ("fields of one time merge to one row", fields_merge),
    ("limits count from the requested end", limits_count),
    ("old values that were rewritten stay gone", rewritten_values),
    ("a delete hides what is older and nothing else", delete_hides_older),
    ("series and fields without visible rows are not listed", hidden_names),
    ("the cardinality report counts the series", cardinality),
    ("a batch is refused whole", refused_whole),
    ("an unknown namespace is refused", unknown_namespace),
    ("a filter that does not compile is refused", invalid_filter),
    ("a drop ends the epoch", drop_ends_epoch),
    ("entries of the catalogue are kept", entries_are_kept),
    ("a snapshot outlives what it shows", snapshot_survives),
    ("retention moves forward only", retention),
    ("a used-up budget is an error or no matter", small_budget),
    ("a closed store says so", closed_store),
    // Those with many rows come last: most errors show in less time.
    ("a cancelled scan ends", cancellation),
    ("long series come in blocks", long_series),
];

/// Runs all cases, each on a store of its own, and reports all that fail.
pub(super) fn check(make: &dyn Fn() -> Box<dyn Subject>) -> Verdict {
    let mut failed = Vec::new();
    for (name, case) in CASES {
        if let Err(violation) = case(&mut Runner::new(make())) {
            failed.push(format!("{name}: {violation}"));
        }
    }
    ensure(failed.is_empty(), || {
        let count = failed.len();
        format!("{count} of {} cases fail\n{}", CASES.len(), failed.join("\n"))
    })
}

/// What stands between two looks at the same data: nothing, then everything that moves rows about.
const MOVES: &[&[Op]] = &[
    &[],
    &[Op::Seal],
    &[Op::Seal, Op::Step(0)],
    &[Op::Flush],
    &[Op::Flush, Op::Compact],
    &[Op::Reopen],
    &[Op::Crash],
];

fn play_all<'a>(runner: &mut Runner, ops: impl IntoIterator<Item = &'a Op>) -> Verdict {
    ops.into_iter().try_for_each(|op| runner.play(op))
}

/// Looks at what there is before and after each of the moves.
fn through_moves(runner: &mut Runner, look: impl Fn(&mut Runner) -> Verdict) -> Verdict {
    MOVES.iter().try_for_each(|moves| {
        play_all(runner, *moves)?;
        look(runner).map_err(|violation| violation.within(format!("after {moves:?}")))
    })
}

/// Compares everything before and after each of the moves.
fn same_through_moves(runner: &mut Runner) -> Verdict {
    through_moves(runner, |runner| runner.play(&Op::Check(0)))
}

fn default_target() -> Target {
    Target { database: "db".into(), policy: None }
}

fn create(name: &str) -> Op {
    let (name, policy) = (name.into(), PolicySpec::default());
    Op::Change(CatalogueChange::CreateDatabase { name, policy })
}

/// Creates the database and gives its namespace.
fn created(runner: &mut Runner) -> Result<NamespaceId, Violation> {
    runner.play(&create("db"))?;
    let found = runner.namespace(&default_target());
    found.ok_or_else(|| Violation::new("the database that was created has no namespace"))
}

fn key(measurement: &str, host: &str) -> Result<SeriesKey, Violation> {
    Ok(SeriesKey::new(measurement, &mut [("host", host)], TagCharset::Ascii)?)
}

fn row(series: &SeriesKey, time: i64, fields: &[(&str, f64)]) -> RowSpec {
    let fields = fields.iter().map(|(name, value)| (Arc::from(*name), value.to_bits()));
    RowSpec { series: series.clone(), time, fields: fields.collect() }
}

fn write(rows: impl IntoIterator<Item = RowSpec>) -> Op {
    Op::Write(default_target(), rows.into_iter().collect())
}

fn delete(measurement: &str, filter: TagFilter, time: TimeRange) -> Op {
    let measurements = Some(vec![measurement.into()]);
    Op::Delete { target: default_target(), measurements, filter, time }
}

fn empty_store(runner: &mut Runner) -> Verdict {
    runner.play(&Op::Check(1))?;
    play_all(runner, [&Op::Flush, &Op::Compact, &Op::Seal, &Op::Step(1), &Op::Retain(BASE)])?;
    created(runner)?;
    let nothing = delete("m", TagFilter::True, TimeRange::all());
    play_all(runner, [&Op::Hold, &nothing, &Op::Flush, &Op::Check(2)])
}

/// Every kind of NaN, both zeros, infinities, denormals, at the edges of time and of partitions.
fn values_survive(runner: &mut Runner) -> Verdict {
    created(runner)?;
    let series = key("m", "a")?;
    let bits: Vec<u64> = [0u64, 1 << 63]
        .into_iter()
        .flat_map(|sign| {
            let edge = [0, 1, (1 << 52) - 1, 1 << 52, 0x7fef_ffff_ffff_ffff, 0x7ff0_0000_0000_0000];
            let nan = [1u64, 2, 1 << 50, 1 << 51, (1 << 51) | 1, (1 << 52) - 1];
            let nan = nan.map(|payload| 0x7ff0_0000_0000_0000 | payload);
            edge.into_iter().chain(nan).map(move |bits| sign | bits)
        })
        .collect();
    let times = [MIN_TIME, MIN_TIME + 1, -1, 0, 1, BASE - 1, BASE, MAX_TIME - 1, MAX_TIME];
    let fields = |shift: usize| {
        let names = ["f", "g"].into_iter().zip(bits.iter().cycle().skip(shift));
        names.map(|(name, bits)| (Arc::from(name), *bits)).collect::<Vec<_>>()
    };
    let rows = bits.iter().enumerate().flat_map(|(shift, _)| {
        let (series, fields) = (&series, fields(shift));
        let name = Arc::from(format!("h{shift}"));
        let fields: Vec<(Arc<str>, u64)> =
            fields.into_iter().chain([(name, bits.get(shift).copied().unwrap_or(0))]).collect();
        times.iter().map(move |time| RowSpec {
            series: series.clone(),
            time: *time,
            fields: fields.clone(),
        })
    });
    runner.play(&write(rows))?;
    same_through_moves(runner)
}

fn later_row_wins(runner: &mut Runner) -> Verdict {
    created(runner)?;
    let (a, b) = (key("m", "a")?, key("m", "b")?);
    // Inside one batch, then in later ones, some of which come to lie in other files.
    let batch =
        (0..40).map(|n| row(if n % 2 == 0 { &a } else { &b }, BASE, &[("x", f64::from(n))]));
    play_all(runner, [&write(batch), &Op::Check(1), &Op::Flush])?;
    for n in 0..6 {
        let value = f64::from(n);
        let rows = [
            row(&a, BASE + STEP, &[("x", value)]),
            row(&b, BASE, &[("x", -value)]),
            row(&b, BASE, &[("x", value)]),
        ];
        play_all(runner, [&write(rows), &Op::Check(2)])?;
        runner.play(if n % 2 == 0 { &Op::Seal } else { &Op::Flush })?;
    }
    same_through_moves(runner)
}

fn fields_merge(runner: &mut Runner) -> Verdict {
    created(runner)?;
    let series = key("m", "a")?;
    let batches: [&[(&str, f64)]; 5] = [
        &[("x", 1.0)],
        &[("y", 2.0)],
        &[("x", 3.0), ("z", f64::NAN)],
        &[("z", 4.0)],
        &[("w", 5.0)],
    ];
    for (n, fields) in batches.into_iter().enumerate() {
        let rows = [row(&series, BASE, fields), row(&series, BASE + STEP, &[("x", 0.0)])];
        play_all(runner, [&write(rows), &Op::Check(1)])?;
        runner.play(if n % 2 == 0 { &Op::Flush } else { &Op::Seal })?;
    }
    same_through_moves(runner)
}

/// More rows than a block may have: in regular steps, in irregular ones, and out of order.
fn long_series(runner: &mut Runner) -> Verdict {
    let namespace = created(runner)?;
    let count = i64::try_from(BLOCK_ROWS_MAX + 100).unwrap_or(i64::MAX);
    let (regular, irregular) = (key("m", "regular")?, key("m", "irregular")?);
    let value = |n: i64| f64::from(i32::try_from(n % 1000).unwrap_or(0));
    let rows = (0..count).flat_map(|n| {
        let odd: &[(&str, f64)] =
            if n % 3 == 0 { &[("x", 0.5), ("y", 1.5)] } else { &[("y", 2.5)] };
        // 7 is prime to the count of rows, so this is a permutation of them.
        let mixed = n * 7 % count;
        [
            row(&regular, BASE + n * STEP, &[("x", value(n))]),
            row(&irregular, BASE + mixed * STEP + mixed % 11, odd),
        ]
    });
    runner.play(&write(rows))?;
    through_moves(runner, |runner| {
        let Some(view) = runner.model().view(namespace)? else { return Ok(()) };
        let snapshot = runner.subject().store().snapshot()?;
        let all = ScanRequest::all(namespace, "m");
        let time = TimeRange::new(BASE + 50 * STEP, BASE + 4150 * STEP);
        let windows = Some(Windows { every: 100 * STEP, offset: 0 });
        let requests = [
            ScanRequest { order: Order::Descending, parts: 2, ..all.clone() },
            ScanRequest { limit_per_series: Some(4097), ..all.clone() },
            ScanRequest { time, windows, want: Want::Summaries, ..all },
        ];
        requests.iter().try_for_each(|request| compare_scan(&*snapshot, &view, request))
    })
}

fn limits_count(runner: &mut Runner) -> Verdict {
    let namespace = created(runner)?;
    let series = [key("m", "a")?, key("m", "b")?];
    for part in 0..4 {
        let rows = (0..10).flat_map(|n| {
            let time = BASE + (n * 4 + part) * STEP;
            let name = if n % 2 == 0 { "x" } else { "y" };
            series.iter().map(move |series| row(series, time, &[(name, 1.0)]))
        });
        play_all(runner, [&write(rows), &Op::Flush])?;
    }
    through_moves(runner, |runner| {
        runner.play(&Op::Check(1))?;
        let Some(view) = runner.model().view(namespace)? else { return Ok(()) };
        let snapshot = runner.subject().store().snapshot()?;
        for limit in [0, 1, 2, 15, 19, 20, 21, 39, 40, 41, u64::MAX] {
            for order in [Order::Ascending, Order::Descending] {
                for fields in [FieldSelection::All, FieldSelection::Named(vec!["y".into()])] {
                    let limit_per_series = Some(limit);
                    let all = ScanRequest::all(namespace, "m");
                    let request = ScanRequest { limit_per_series, order, fields, ..all };
                    compare_scan(&*snapshot, &view, &request)?;
                }
            }
        }
        Ok(())
    })
}

/// A value that is asked for by a predicate, or sits in a summary, and was rewritten since, must not come
/// back because the newer value was skipped.
fn rewritten_values(runner: &mut Runner) -> Verdict {
    let namespace = created(runner)?;
    let series = key("m", "a")?;
    let old = (0..100).map(|n| row(&series, BASE + n * STEP, &[("x", 95.0)]));
    let new = (0..100).map(|n| row(&series, BASE + n * STEP, &[("x", 10.0)]));
    play_all(runner, [&write(old), &Op::Flush, &write(new)])?;
    through_moves(runner, |runner| {
        runner.play(&Op::Check(1))?;
        let Some(view) = runner.model().view(namespace)? else { return Ok(()) };
        let snapshot = runner.subject().store().snapshot()?;
        let predicates = [
            (PredicateOp::Gt, 90.0),
            (PredicateOp::Ge, 95.0),
            (PredicateOp::Eq, 10.0),
            (PredicateOp::Le, 10.0),
            (PredicateOp::Lt, 0.0),
        ];
        for (op, value) in predicates {
            let predicates = vec![FieldPredicate { field: "x".into(), op, value }];
            let request = ScanRequest { predicates, ..ScanRequest::all(namespace, "m") };
            compare_scan(&*snapshot, &view, &request)?;
        }
        let windows = Some(Windows { every: 10 * STEP, offset: 0 });
        let all = ScanRequest::all(namespace, "m");
        compare_scan(&*snapshot, &view, &ScanRequest { windows, want: Want::Summaries, ..all })
    })
}

fn delete_hides_older(runner: &mut Runner) -> Verdict {
    created(runner)?;
    let (a, b, other) = (key("m", "a")?, key("m", "b")?, key("n", "a")?);
    let rows = |value: f64| {
        let all = [&a, &b, &other].map(|series| {
            (0..10).map(move |n| row(series, BASE + n * STEP, &[("x", value), ("y", value)]))
        });
        write(all.into_iter().flatten())
    };
    let only_a = TagFilter::tag("host", MatchOp::Eq, "a");
    let some = delete("m", only_a, TimeRange::new(BASE + 2 * STEP, BASE + 5 * STEP));
    let again = write([row(&a, BASE + 3 * STEP, &[("y", 7.0)])]);
    play_all(runner, [&rows(1.0), &Op::Hold, &some, &Op::Check(1), &again, &Op::Check(2)])?;
    same_through_moves(runner)?;
    // The other way round: rows in files, the delete in memory, later rows in memory too.
    let all = delete("m", TagFilter::True, TimeRange::all());
    play_all(
        runner,
        [&rows(2.0), &Op::Flush, &Op::Hold, &all, &Op::Check(3), &again, &Op::Check(4)],
    )?;
    same_through_moves(runner)?;
    let measurements = Some(Vec::new());
    let (target, filter, time) = (default_target(), TagFilter::True, TimeRange::all());
    runner.play(&Op::Delete { target, measurements, filter, time })?;
    runner.play(&Op::Check(5))
}

fn hidden_names(runner: &mut Runner) -> Verdict {
    let namespace = created(runner)?;
    let (a, b) = (key("m", "a")?, key("m", "b")?);
    let store = runner.subject().store();
    // Resolved and never written.
    store.resolve(namespace, std::slice::from_ref(&b), &[FieldSet::new(["never"])?])?;
    drop(store);
    let rows = [row(&a, BASE, &[("x", 1.0)]), row(&a, BASE + STEP, &[("y", 1.0)])];
    let first = delete("m", TagFilter::True, TimeRange::new(BASE, BASE + 1));
    let second = delete("m", TagFilter::True, TimeRange::new(BASE + STEP, BASE + STEP + 1));
    play_all(runner, [&write(rows), &Op::Check(1), &first])?;
    same_through_moves(runner)?;
    runner.play(&second)?;
    through_moves(runner, |runner| {
        let snapshot = runner.subject().store().snapshot()?;
        let series = snapshot.series(&SeriesRequest::all(namespace))?;
        let fields = snapshot.fields(&SeriesRequest::measurement(namespace, "m"))?;
        ensure(series.is_empty() && fields.is_empty(), || format!("{series:?} {fields:?}"))
    })
}

/// Each series once, wherever and however often it has rows.
fn cardinality(runner: &mut Runner) -> Verdict {
    let namespace = created(runner)?;
    let series = [key("m", "a")?, key("m", "b")?, key("n", "a")?];
    let [a, b, c] = &series;
    let first = [row(a, BASE, &[("x", 1.0)]), row(b, BASE, &[("x", 1.0)])];
    let second = [row(b, BASE + STEP, &[("x", 1.0)]), row(c, BASE, &[("y", 1.0)])];
    let other_partition = [row(a, BASE + 1000 * HOUR, &[("x", 1.0)])];
    let ops = [write(first), Op::Flush, write(second), Op::Seal, write(other_partition)];
    play_all(runner, &ops)?;
    let ranked = |name: &str, count| Ranked { name: name.to_owned(), count };
    through_moves(runner, |runner| {
        let snapshot = runner.subject().store().snapshot()?;
        let found = snapshot.cardinality(&CardinalityRequest::of(namespace, 2))?;
        let expected = Cardinality {
            series: 3,
            measurement_count: 2,
            pairs: 4,
            measurements: vec![ranked("m", 2), ranked("n", 1)],
            values: vec![ranked("__name__", 2), ranked("host", 2)],
            value_bytes: vec![ranked("__name__", 3), ranked("host", 3)],
            series_by_pair: vec![ranked("__name__=m", 2), ranked("host=a", 2)],
            uncounted_max: 0,
            estimated: false,
            sources: found.sources,
            time: found.time,
        };
        ensure(found == expected, || format!("{found:?}, must be {expected:?}"))?;
        let tags = snapshot.estimate_tags(&TagCountRequest {
            namespaces: &[namespace],
            measurement: &|_, _| true,
            key: &|_| true,
            budget: MemoryBudget::default(),
            cancel: CancelToken::new(),
        })?;
        let count = |name: &str, values| TagCount { measurement: name.into(), keys: 1, values };
        let due = [count("m", 2), count("n", 1)];
        ensure(tags.as_deref().is_none_or(|tags| tags == due), || format!("{tags:?}"))?;
        let all = (BASE, BASE + 1000 * HOUR);
        ensure(found.time.is_none_or(|(min, max)| min <= all.0 && max >= all.1), || {
            format!("rows lie in {all:?}, not in {:?}", found.time)
        })
    })
}

/// Nothing of a batch is stored when a part of it cannot be.
fn refused_whole(runner: &mut Runner) -> Verdict {
    let namespace = created(runner)?;
    let (series, mut writer) = (key("m", "a")?, Writer::new());
    let store = runner.subject().store();
    for time in [i64::MIN, MIN_TIME - 1, MAX_TIME + 1] {
        let rows = [row(&series, BASE, &[("x", 1.0)]), row(&series, time, &[("x", 1.0)])];
        let outcome = writer.append(&*store, namespace, &rows)?.map(|_| ());
        ensure(outcome == Err(Error::TimestampOutOfRange { got: time }), || {
            format!("a row at {time} gave {outcome:?}")
        })?;
    }
    let good = writer.batch(&*store, namespace, &[row(&series, BASE, &[("x", 1.0)])])??;
    let first = good.rows().next().map(|row| (row.series, row.field_set));
    let Some((known, set)) = first else { return Ok(()) };
    let bad: [(&str, SeriesRef, FieldSetRef, &[f64]); 4] = [
        ("a series that was never given", SeriesRef(u32::MAX), set, &[1.0]),
        ("a field set that was never given", known, FieldSetRef(u32::MAX), &[1.0]),
        ("too many values for its fields", known, set, &[1.0, 2.0]),
        ("no value for its field", known, set, &[]),
    ];
    for (what, series, set, values) in bad {
        let mut batch = good.clone();
        batch.push(series, BASE, set, values)?;
        let outcome = store.append(&batch).map(|_| ()).map_err(|error| error.kind());
        ensure(outcome == Err(ErrorKind::Invalid), || format!("{what} gave {outcome:?}"))?;
    }
    let unknown = WriteBatch::new(NamespaceId(u32::MAX), good.epoch());
    let mut unknown_with_row = unknown.clone();
    unknown_with_row.push(known, BASE, set, &[1.0])?;
    let outcome = store.append(&unknown_with_row).map(|_| ());
    ensure(outcome.is_err(), || "a batch for an unknown namespace was taken".to_owned())?;
    drop(store);
    same_through_moves(runner)
}

fn unknown_namespace(runner: &mut Runner) -> Verdict {
    created(runner)?;
    let store = runner.subject().store();
    let id = NamespaceId(runner.model().catalogue().next_id);
    let resolved = store.resolve(id, &[key("m", "a")?], &[]).map(|_| ());
    let request = DeleteRequest {
        namespace: id,
        measurements: None,
        filter: TagFilter::True,
        time: TimeRange::all(),
    };
    let deleted = store.delete(&request).map(|_| ());
    for outcome in [resolved, deleted] {
        ensure(outcome == Err(Error::NamespaceNotFound { id: id.0 }), || format!("{outcome:?}"))?;
    }
    runner.play(&Op::Check(1))
}

fn invalid_filter(runner: &mut Runner) -> Verdict {
    let namespace = created(runner)?;
    runner.play(&write([row(&key("m", "a")?, BASE, &[("x", 1.0)])]))?;
    let store = runner.subject().store();
    let snapshot = store.snapshot()?;
    let mut deep = TagFilter::True;
    for _ in 0..1000 {
        deep = TagFilter::Not(Box::new(deep));
    }
    for filter in [TagFilter::tag("host", MatchOp::Re, "("), deep] {
        let scan = ScanRequest { filter: filter.clone(), ..ScanRequest::all(namespace, "m") };
        let series = SeriesRequest { filter: filter.clone(), ..SeriesRequest::all(namespace) };
        let (measurements, time) = (None, TimeRange::all());
        let request = DeleteRequest { namespace, measurements, filter, time };
        let outcomes = [
            snapshot.select(&scan).err(),
            snapshot.estimate(&scan).err(),
            snapshot.series(&series).err(),
            store.delete(&request).err(),
        ];
        for outcome in outcomes {
            let kind = outcome.as_ref().map(Error::kind);
            ensure(kind == Some(ErrorKind::Invalid), || format!("{outcome:?}"))?;
        }
    }
    drop((snapshot, store));
    runner.play(&Op::Check(1))
}

/// After a drop no old reference is taken, for no namespace; resolving again tells which ones are gone.
fn drop_ends_epoch(runner: &mut Runner) -> Verdict {
    let gone = created(runner)?;
    runner.play(&create("other"))?;
    let target = Target { database: "other".into(), policy: None };
    let stays = runner.namespace(&target).unwrap_or(gone);
    let rows = [row(&key("m", "a")?, BASE, &[("x", 1.0)])];
    let mut writer = Writer::new();
    let store = runner.subject().store();
    let batches = [writer.batch(&*store, gone, &rows)??, writer.batch(&*store, stays, &rows)??];
    drop(store);
    let dropped = CatalogueChange::DropDatabase { name: "db".into() };
    play_all(runner, [&Op::Change(dropped), &create("db")])?;
    let store = runner.subject().store();
    for batch in batches {
        let outcome = store.append(&batch).map(|_| ());
        let stale = matches!(outcome, Err(Error::StaleEpoch { .. }));
        ensure(stale, || format!("a batch of an epoch that ended gave {outcome:?}"))?;
    }
    let outcome = writer.append(&*store, gone, &rows)?.map(|_| ());
    let refused =
        matches!(outcome, Err(Error::NamespaceNotFound { .. } | Error::StaleEpoch { .. }));
    ensure(refused, || format!("a dropped namespace gave {outcome:?}"))?;
    let resolved = store.resolve(gone, &[], &[]).map(|_| ());
    ensure(resolved == Err(Error::NamespaceNotFound { id: gone.0 }), || {
        format!("resolving for a dropped namespace gave {resolved:?}")
    })?;
    drop(store);
    play_all(runner, [&write(rows.clone()), &Op::Write(target, rows.to_vec())])?;
    same_through_moves(runner)
}

/// Entries are set, kept, replaced where that is asked for, and go by name or with their database.
fn entries_are_kept(runner: &mut Runner) -> Verdict {
    play_all(runner, [&create("db"), &create("other")])?;
    let key = |database| EntryKey::new("query", database, "n");
    let set = |database, text: &str, replace| {
        let (key, text) = (key(database), text.into());
        Op::Change(CatalogueChange::SetEntry { key, text, replace })
    };
    let changes = [
        set(Some("db"), "one", false),
        set(Some("other"), "one", false),
        set(None, "one", false),
        set(None, "refused, for there is another", false),
        set(None, "two", true),
        set(Some("missing"), "refused, for there is no database", false),
        Op::Change(CatalogueChange::DropDatabase { name: "db".into() }),
        Op::Change(CatalogueChange::RemoveEntry { key: key(Some("other")) }),
        create("db"),
    ];
    for change in &changes {
        runner.play(change)?;
        same_through_moves(runner)?;
    }
    let catalogue = runner.subject().store().catalogue();
    let left: Vec<_> = catalogue.entries.iter().map(|(key, text)| (key.clone(), &**text)).collect();
    ensure(left == [(key(None), "two")], || format!("entries that are left: {left:?}"))
}

fn snapshot_survives(runner: &mut Runner) -> Verdict {
    created(runner)?;
    let series = [key("m", "a")?, key("m", "b")?];
    let rows = |value: f64| {
        let all = (0..50).flat_map(|n| {
            series.iter().map(move |series| row(series, BASE + n * STEP, &[("x", value)]))
        });
        write(all.collect::<Vec<_>>())
    };
    let all = delete("m", TagFilter::True, TimeRange::all());
    let gone = Op::Change(CatalogueChange::DropDatabase { name: "db".into() });
    let ops = [
        &rows(1.0),
        &Op::Hold,
        &Op::Flush,
        &Op::Hold,
        &rows(2.0),
        &Op::Check(1),
        &Op::Seal,
        &Op::Hold,
        &Op::Compact,
        &all,
        &Op::Check(2),
        &Op::Flush,
        &Op::Compact,
        &Op::Hold,
        &rows(3.0),
        &Op::Check(3),
        &gone,
        &Op::Flush,
        &Op::Compact,
        &Op::Check(4),
    ];
    play_all(runner, ops)
}

fn retention(runner: &mut Runner) -> Verdict {
    created(runner)?;
    let short =
        PolicySpec { name: "short".into(), retention_ns: Some(HOUR), partition_ns: Some(HOUR) };
    runner.play(&Op::Change(CatalogueChange::CreatePolicy {
        database: "db".into(),
        policy: short,
        make_default: false,
    }))?;
    let target = Target { database: "db".into(), policy: Some("short".into()) };
    let series = key("m", "a")?;
    let rows: Vec<RowSpec> =
        (0..100).map(|n| row(&series, BASE + n * HOUR / 10, &[("x", 1.0)])).collect();
    let expired = vec![row(&series, BASE - HOUR, &[("x", 9.0)])];
    let late = Op::Write(target.clone(), expired);
    let keep_longer = Op::Change(CatalogueChange::AlterPolicy {
        database: "db".into(),
        name: "short".into(),
        retention_ns: Some(None),
        partition_ns: None,
        make_default: false,
    });
    let ops = [
        &Op::Write(target.clone(), rows.clone()),
        &write(rows),
        &Op::Hold,
        &Op::Flush,
        &Op::Check(1),
        &Op::Retain(BASE + 3 * HOUR + 1),
        &Op::Check(2),
        &late,
        &Op::Check(3),
        // Back in time: nothing moves, and nothing comes back.
        &Op::Retain(BASE),
        &Op::Check(4),
        &Op::Retain(i64::MIN),
        &Op::Check(5),
        &keep_longer,
        &Op::Retain(MAX_TIME),
        &Op::Check(6),
    ];
    play_all(runner, ops)?;
    through_moves(runner, |runner| {
        runner.play(&Op::Check(7))?;
        let autogen = runner.model().catalogue().namespace("db", Some(AUTOGEN))?;
        ensure(autogen.cutoff == MIN_TIME, || format!("{autogen:?} lost its rows"))
    })
}

fn small_budget(runner: &mut Runner) -> Verdict {
    let namespace = created(runner)?;
    let series = key("m", "a")?;
    let rows = (0..5000).map(|n| row(&series, BASE + n * STEP, &[("x", 1.0)]));
    play_all(runner, [&write(rows), &Op::Flush])?;
    let Some(view) = runner.model().view(namespace)? else { return Ok(()) };
    let store = runner.subject().store();
    let budget = MemoryBudget::with_limits([0; 5]);
    let request = ScanRequest { budget, ..ScanRequest::all(namespace, "m") };
    let snapshot = store.snapshot()?;
    let mut block = Block::new();
    let scan = || -> crate::Result<()> {
        for mut cursor in snapshot.select(&request)?.cursors {
            while cursor.next(&mut block)? {}
        }
        Ok(())
    };
    match { scan }() {
        Ok(()) | Err(Error::OverBudget { pool: Pool::Queries, .. }) => {}
        Err(error) => return Err(Violation::from(error)),
    }
    let used = request.budget.used(Pool::Queries);
    ensure(used == 0, || format!("{used} bytes stay taken"))?;
    compare_whole(&*snapshot, &view)
}

fn cancellation(runner: &mut Runner) -> Verdict {
    let namespace = created(runner)?;
    let series = key("m", "a")?;
    // One row more than a block, so that there is a second one to be asked for.
    let rows =
        (0..=BLOCK_ROWS_MAX).zip(0..).map(|(_, n)| row(&series, BASE + n * STEP, &[("x", 1.0)]));
    runner.play(&write(rows))?;
    through_moves(runner, |runner| {
        let snapshot = runner.subject().store().snapshot()?;
        for due in [Error::Cancelled, Error::DeadlineExceeded] {
            let request =
                ScanRequest { cancel: CancelToken::new(), ..ScanRequest::all(namespace, "m") };
            let mut selection = snapshot.select(&request)?;
            let mut block = Block::new();
            let cursor = selection.cursors.first_mut();
            let cursor = cursor.ok_or_else(|| Violation::new("no cursor"))?;
            ensure(cursor.next(&mut block)?, || "no first block".to_owned())?;
            if due == Error::Cancelled {
                request.cancel.cancel();
            } else {
                request.cancel.expire();
            }
            let outcomes =
                [cursor.next(&mut block).map(|_| ()), snapshot.select(&request).map(|_| ())];
            ensure(outcomes == [Err(due.clone()), Err(due.clone())], || {
                format!("{outcomes:?}, must be {due:?}")
            })?;
        }
        Ok(())
    })
}

fn closed_store(runner: &mut Runner) -> Verdict {
    let namespace = created(runner)?;
    let rows = [row(&key("m", "a")?, BASE, &[("x", 1.0)])];
    runner.play(&write(rows.clone()))?;
    let store: Arc<dyn Storage> = runner.subject().store();
    let batch = Writer::new().batch(&*store, namespace, &rows)??;
    store.close()?;
    store.close()?;
    let request = DeleteRequest {
        namespace,
        measurements: None,
        filter: TagFilter::True,
        time: TimeRange::all(),
    };
    let change = CatalogueChange::DropDatabase { name: "db".into() };
    let outcomes = [
        ("resolve", store.resolve(namespace, &[], &[]).err()),
        ("append", store.append(&batch).err()),
        ("delete", store.delete(&request).err()),
        ("change_catalogue", store.change_catalogue(&change).err()),
        ("snapshot", store.snapshot().err()),
        ("flush", store.flush().err()),
        ("compact", store.compact().err()),
        ("retain", store.retain(BASE).err()),
    ];
    for (call, outcome) in outcomes {
        ensure(outcome == Some(Error::Closed), || format!("{call} gave {outcome:?}"))?;
    }
    Ok(())
}
