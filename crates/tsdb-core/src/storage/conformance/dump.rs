//! Everything that a store shows, as one number: for suites that open thousands of stores and compare
//! each with many states of a model. [`super::compare`] says what differs; this only says whether.

use std::fmt::Write as _;

use super::answer;
use super::model::fingerprint_of_text;
use super::{Model, Violation, ensure};
use crate::storage::{ScanRequest, SeriesRequest, Snapshot, Storage};
use crate::{Catalogue, NamespaceId};

/// The number that [`Model::fingerprint`] gives for equal contents. Checks the form of all blocks on the
/// way. O(rows).
///
/// # Errors
/// An error of the store, a block that breaks a rule.
pub fn fingerprint(store: &dyn Storage) -> Result<u128, Violation> {
    Ok(fingerprint_of_text(&dump(&*store.snapshot()?, &store.catalogue())?))
}

/// A line for each value that a snapshot shows, behind the catalogue: what [`Model::dump`] gives for equal
/// contents.
///
/// # Errors
/// As [`fingerprint`].
pub fn dump(snapshot: &dyn Snapshot, catalogue: &Catalogue) -> Result<String, Violation> {
    let mut text = Model::describe(catalogue);
    for namespace in catalogue.namespaces() {
        dump_namespace(snapshot, namespace.id, &mut text)?;
    }
    Ok(text)
}

fn dump_namespace(
    snapshot: &dyn Snapshot,
    namespace: NamespaceId,
    text: &mut String,
) -> Result<(), Violation> {
    let listed = snapshot.series(&SeriesRequest::all(namespace))?;
    let mut measurements: Vec<&str> = listed.iter().map(|key| key.measurement()).collect();
    measurements.dedup();
    let request = ScanRequest {
        measurements: measurements.into_iter().map(Into::into).collect(),
        ..ScanRequest::all(namespace, "")
    };
    let answer = answer::read(snapshot, &request)?;
    ensure(answer.rows.keys().eq(listed.iter()), || {
        format!("{} series are listed, {} have rows", listed.len(), answer.rows.len())
    })?;
    for (key, rows) in &answer.rows {
        for (time, values) in rows {
            for (field, bits) in answer.columns.iter().zip(values) {
                if let Some(bits) = bits {
                    Model::describe_cell(text, namespace, key, *time, field, *bits);
                }
            }
        }
    }
    // A line of its own ends a namespace, so that cells cannot move from one to the next unseen.
    let _ = writeln!(text, "end of {}", namespace.0);
    Ok(())
}
