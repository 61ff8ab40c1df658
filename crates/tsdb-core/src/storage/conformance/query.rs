//! Random scan requests over a namespace: every option of the seam, drawn from the universe of the
//! scripts. What the answers must be is the business of `compare`.

use std::sync::Arc;

use super::model::NamespaceView;
use super::script::{
    BASE, FIELD_NEVER_WRITTEN, STEP, Universe, pick, random_bits, random_filter, random_range,
};
use crate::env::SimRng;
use crate::storage::{
    FieldPredicate, FieldSelection, GroupBy, Order, PredicateOp, ScanRequest, Want, Windows,
};
use crate::time::{DAY, HOUR};
use crate::{CancelToken, MemoryBudget, TimeRange};

/// A request that `compare` can judge.
///
/// A limit never comes with predicates or summaries, because the seam does not say whether it counts
/// before or after them.
pub fn random_request(rng: &SimRng, universe: &Universe, view: &NamespaceView) -> ScanRequest {
    let mut request = ScanRequest {
        namespace: view.id,
        measurements: random_measurements(rng, view),
        time: if rng.below(3) == 0 { TimeRange::all() } else { random_range(rng) },
        filter: random_filter(rng),
        fields: random_fields(rng, universe),
        predicates: Vec::new(),
        group_by: random_groups(rng),
        windows: random_windows(rng),
        want: Want::Rows,
        order: if rng.below(2) == 0 { Order::Ascending } else { Order::Descending },
        limit_per_series: None,
        parts: usize::try_from(rng.below(4) + 1).unwrap_or(1),
        budget: MemoryBudget::default(),
        cancel: CancelToken::new(),
    };
    match rng.below(4) {
        0 => request.limit_per_series = Some(rng.below(12)),
        1 => request.predicates = random_predicates(rng, &request.fields, universe),
        2 => request.want = Want::Summaries,
        _ => {}
    }
    request
}

fn random_measurements(rng: &SimRng, view: &NamespaceView) -> Vec<Arc<str>> {
    let mut names = view.measurements();
    names.push("absent".into());
    if rng.below(3) > 0 {
        names.retain(|_| rng.below(2) == 0);
    }
    // A name that is given twice counts once.
    if rng.below(10) == 0 {
        names.extend(names.first().cloned());
    }
    names
}

fn random_fields(rng: &SimRng, universe: &Universe) -> FieldSelection {
    if rng.below(2) == 0 {
        return FieldSelection::All;
    }
    let mut names = universe.fields.clone();
    names.push(FIELD_NEVER_WRITTEN.into());
    names.retain(|_| rng.below(2) == 0);
    if rng.below(2) == 0 {
        names.reverse();
    }
    FieldSelection::Named(names)
}

fn random_groups(rng: &SimRng) -> GroupBy {
    match rng.below(5) {
        0 => GroupBy::Series,
        1 => GroupBy::Tags(vec!["dc".into()]),
        2 => GroupBy::Tags(vec!["host".into(), "dc".into()]),
        3 => GroupBy::Tags(vec!["absent".into()]),
        _ => GroupBy::Nothing,
    }
}

fn random_windows(rng: &SimRng) -> Option<Windows> {
    let widths = [1, 7, STEP, 25 * STEP, HOUR, DAY, i64::MAX];
    let offsets = [0, 1, -3 * STEP, BASE, i64::MIN];
    let every = pick(rng, &widths).copied()?;
    let offset = pick(rng, &offsets).copied()?;
    (rng.below(4) > 0).then_some(Windows { every, offset })
}

/// Predicates on fields that the scan selects, since its reader must apply them itself.
fn random_predicates(
    rng: &SimRng,
    fields: &FieldSelection,
    universe: &Universe,
) -> Vec<FieldPredicate> {
    let names = match fields {
        FieldSelection::All => &universe.fields,
        FieldSelection::Named(names) => names,
    };
    let ops = [PredicateOp::Eq, PredicateOp::Lt, PredicateOp::Le, PredicateOp::Gt, PredicateOp::Ge];
    let one = || {
        let value = f64::from_bits(random_bits(rng));
        let (field, op) = (pick(rng, names)?.clone(), pick(rng, &ops).copied()?);
        // Comparing with NaN never holds; queries cannot write one.
        let value = if value.is_nan() { 50.0 } else { value };
        Some(FieldPredicate { field, op, value })
    };
    (0..=rng.below(2)).filter_map(|_| one()).collect()
}
