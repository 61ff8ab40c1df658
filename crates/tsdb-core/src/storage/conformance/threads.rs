//! Many threads at once: writers with equal keys, a deleter, maintenance and readers. What readers may
//! see is checked while it happens, what is left is checked against the model, which orders the writes by
//! the numbers that the store gave them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use super::compare::compare_everything;
use super::model::Model;
use super::script::{BASE, RowSpec, STEP};
use super::writer::Writer;
use super::{Subject, Verdict, Violation, ensure};
use crate::catalogue::PolicySpec;
use crate::env::{Rng as _, SimRng};
use crate::matcher::TagFilter;
use crate::storage::{Block, DeleteRequest, FieldSelection, Order, ScanRequest, Snapshot};
use crate::{CatalogueChange, NamespaceId, SeriesKey, TagCharset, TimeRange};

const WRITERS: usize = 3;

/// Timestamps that all writers share.
const SHARED_TIMES: u64 = 12;

/// Names of the fields that all writers share.
const FIELDS: [&str; 3] = ["x", "y", "z"];

/// What one thread wrote or deleted under which number.
enum Done {
    Write(u64, Vec<RowSpec>),
    Delete(u64, DeleteRequest),
}

struct World<'a> {
    subject: &'a dyn Subject,
    namespace: NamespaceId,
    pair: [SeriesKey; 2],
    /// Per writer the count of its acknowledged batches.
    acknowledged: [AtomicU64; WRITERS],
    finished: AtomicBool,
}

/// Runs the threads and checks what they see and leave.
pub(super) fn check(make: &dyn Fn() -> Box<dyn Subject>, seed: u64, batches: u64) -> Verdict {
    let mut subject = make();
    let mut model = Model::new();
    let create =
        CatalogueChange::CreateDatabase { name: "db".into(), policy: PolicySpec::default() };
    let ticket = subject.store().change_catalogue(&create)?;
    subject.settle();
    ticket.wait()?;
    model.change(&create)?;
    let namespace = model.catalogue().namespace("db", None)?.id;
    for done in run(&*subject, namespace, seed, batches)? {
        match done {
            Done::Write(seq, rows) => model.write(seq, namespace, &rows),
            Done::Delete(seq, request) => model.delete(seq, &request),
        }
    }
    let context = |violation: Violation| violation.within(format!("threads, seed {seed}"));
    compare_everything(&*subject.store(), &model, seed).map_err(context)?;
    for restart in [<dyn Subject>::reopen, <dyn Subject>::crash] {
        restart(&mut *subject);
        compare_everything(&*subject.store(), &model, seed).map_err(context)?;
    }
    Ok(())
}

fn run(
    subject: &dyn Subject,
    namespace: NamespaceId,
    seed: u64,
    batches: u64,
) -> Result<Vec<Done>, Violation> {
    let key = |host: &str| SeriesKey::new("pair", &mut [("host", host)], TagCharset::Ascii);
    let world = World {
        subject,
        namespace,
        pair: [key("a")?, key("b")?],
        acknowledged: [const { AtomicU64::new(0) }; WRITERS],
        finished: AtomicBool::new(false),
    };
    let world = &world;
    thread::scope(|scope| {
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| scope.spawn(move || write_batches(world, writer, seed, batches)))
            .collect();
        let deleter = scope.spawn(move || delete_stretches(world, seed, batches / 8));
        let observers: Vec<_> = [watch, watch, maintain]
            .into_iter()
            .map(|observer| scope.spawn(move || observer(world)))
            .collect();
        let ended = |_| Violation::new("a thread panicked");
        let mut outcome: Result<Vec<Done>, Violation> = Ok(Vec::new());
        for thread in writers.into_iter().chain([deleter]) {
            let found = thread.join().map_err(ended).and_then(|found| found);
            outcome = outcome.and_then(|mut all| {
                all.extend(found?);
                Ok(all)
            });
        }
        // Also after a violation, or the observers would never end.
        world.finished.store(true, Ordering::Release);
        for thread in observers {
            let found = thread.join().map_err(ended).and_then(|found| found);
            outcome = outcome.and_then(|all| found.map(|()| all));
        }
        outcome
    })
}

/// Each batch gives both series of the pair the same values at the same times, under fields that all
/// writers share, and counts itself in a series of its own.
fn write_batches(
    world: &World<'_>,
    writer: usize,
    seed: u64,
    batches: u64,
) -> Result<Vec<Done>, Violation> {
    let rng = SimRng::new(seed ^ (writer as u64 + 1) << 32);
    let counter =
        SeriesKey::new("count", &mut [("writer", &writer.to_string())], TagCharset::Ascii)?;
    let mut references = Writer::new();
    let mut done = Vec::new();
    for number in 1..=batches {
        let value = (number * WRITERS as u64 + writer as u64) as f64;
        let mut rows = vec![RowSpec {
            series: counter.clone(),
            time: BASE,
            fields: vec![("n".into(), (number as f64).to_bits())],
        }];
        for _ in 0..=rng.below(3) {
            let time = shared_time(&rng);
            let field = FIELDS.iter().filter(|_| rng.below(2) == 0);
            let mut fields: Vec<(Arc<str>, u64)> =
                field.map(|name| (Arc::from(*name), value.to_bits())).collect();
            if fields.is_empty() {
                fields.push(("x".into(), value.to_bits()));
            }
            let row = |series: &SeriesKey| RowSpec {
                series: series.clone(),
                time,
                fields: fields.clone(),
            };
            rows.extend(world.pair.iter().map(row));
        }
        let store = world.subject.store();
        let ticket = references.append(&*store, world.namespace, &rows)??;
        world.subject.settle();
        let seq = ticket.wait()?;
        if let Some(count) = world.acknowledged.get(writer) {
            count.store(number, Ordering::Release);
        }
        done.push(Done::Write(seq, rows));
    }
    Ok(done)
}

fn shared_time(rng: &SimRng) -> i64 {
    BASE + i64::try_from(rng.below(SHARED_TIMES)).unwrap_or(0) * STEP
}

/// Deletes stretches of both series of the pair.
fn delete_stretches(world: &World<'_>, seed: u64, count: u64) -> Result<Vec<Done>, Violation> {
    let rng = SimRng::new(!seed);
    let mut done = Vec::new();
    for _ in 0..count {
        let start = shared_time(&rng);
        let request = DeleteRequest {
            namespace: world.namespace,
            measurements: Some(vec!["pair".into()]),
            filter: TagFilter::True,
            time: TimeRange::new(start, start + 2 * STEP),
        };
        let ticket = world.subject.store().delete(&request)?;
        world.subject.settle();
        done.push(Done::Delete(ticket.wait()?, request));
        thread::yield_now();
    }
    Ok(done)
}

/// Reads until the writers are done.
fn watch(world: &World<'_>) -> Verdict {
    let mut held: Option<(Arc<dyn Snapshot>, Vec<CellText>)> = None;
    let mut round = 0u64;
    while !world.finished.load(Ordering::Acquire) {
        let acknowledged = world.acknowledged.each_ref().map(|n| n.load(Ordering::Acquire));
        let snapshot = world.subject.store().snapshot()?;
        check_counts(world, &*snapshot, acknowledged)?;
        let order = if round.is_multiple_of(2) { Order::Ascending } else { Order::Descending };
        let cells = pair_cells(world, &*snapshot, order)?;
        let (left, right): (Vec<_>, Vec<_>) = cells.iter().partition(|cell| cell.series == 0);
        let same = left.iter().map(|c| c.rest()).eq(right.iter().map(|c| c.rest()));
        ensure(same, || format!("half a batch is visible: {left:?} beside {right:?}"))?;
        if let Some((snapshot, before)) = &held {
            let mut again = pair_cells(world, &**snapshot, Order::Ascending)?;
            again.sort();
            ensure(again == *before, || format!("a snapshot was {before:?} and is {again:?}"))?;
        }
        if round.is_multiple_of(5) {
            let mut cells = cells;
            cells.sort();
            held = Some((snapshot, cells));
        }
        round += 1;
    }
    Ok(())
}

/// What was acknowledged before the snapshot was taken is in it.
fn check_counts(
    world: &World<'_>,
    snapshot: &dyn Snapshot,
    acknowledged: [u64; WRITERS],
) -> Verdict {
    let request = ScanRequest::all(world.namespace, "count");
    let selection = snapshot.select(&request)?;
    let mut seen = [0u64; WRITERS];
    let mut block = Block::new();
    for mut cursor in selection.cursors {
        while cursor.next(&mut block)? {
            let series = selection.series.get(block.series as usize);
            let writer = series.and_then(|s| s.key.tag("writer")).and_then(|w| w.parse().ok());
            let value = block.columns.first().and_then(|column| column.get(0));
            if let Some((count, value)) = writer.and_then(|w: usize| seen.get_mut(w)).zip(value) {
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "counts of batches are small whole numbers"
                )]
                let value = value as u64;
                *count = value;
            }
        }
    }
    let complete = seen.iter().zip(&acknowledged).all(|(seen, due)| seen >= due);
    ensure(complete, || format!("batches {acknowledged:?} are acknowledged, {seen:?} are visible"))
}

/// One value of the pair.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct CellText {
    series: u32,
    time: i64,
    field: Arc<str>,
    bits: u64,
}

impl CellText {
    fn rest(&self) -> (i64, &str, u64) {
        (self.time, &self.field, self.bits)
    }
}

fn pair_cells(
    world: &World<'_>,
    snapshot: &dyn Snapshot,
    order: Order,
) -> Result<Vec<CellText>, Violation> {
    let fields = FieldSelection::Named(FIELDS.map(Arc::from).to_vec());
    let request =
        ScanRequest { fields, order, parts: 2, ..ScanRequest::all(world.namespace, "pair") };
    let selection = snapshot.select(&request)?;
    let mut cells = Vec::new();
    let mut block = Block::new();
    for mut cursor in selection.cursors {
        while cursor.next(&mut block)? {
            for (row, time) in block.times.iter().enumerate() {
                for (name, column) in selection.columns.iter().zip(&block.columns) {
                    if let Some(value) = column.get(row) {
                        let (field, bits) = (Arc::clone(name), value.to_bits());
                        cells.push(CellText { series: block.series, time, field, bits });
                    }
                }
            }
        }
    }
    Ok(cells)
}

/// Moves rows about until the writers are done.
fn maintain(world: &World<'_>) -> Verdict {
    let rng = SimRng::new(99);
    while !world.finished.load(Ordering::Acquire) {
        match rng.below(8) {
            0 => world.subject.store().flush()?,
            1 => world.subject.store().compact()?,
            2..5 => world.subject.seal(),
            _ => world.subject.step(rng.next_u64()),
        }
        thread::yield_now();
    }
    Ok(())
}
