//! What a store must hold, in the plainest form: one map of cells with the number of the write that set
//! each, and the list of deletes with theirs. Nothing is ever removed, so that the order in which the
//! model is told of writes does not matter, only their numbers. No storage, no speed.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::Arc;

use regex::Regex;

use super::script::RowSpec;
use super::{Verdict, Violation};
use crate::hash::{HashKey, siphash128};
use crate::matcher::{MatchOp, TagFilter, TagMatcher};
use crate::storage::DeleteRequest;
use crate::time::MIN_TIME;
use crate::{Catalogue, CatalogueChange, NamespaceId, Result, SeriesKey};

/// Bits of each field of one row.
pub(super) type Fields = BTreeMap<Arc<str>, u64>;

/// Rows of one series.
pub(super) type Rows = BTreeMap<i64, Fields>;

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct CellKey {
    namespace: NamespaceId,
    series: SeriesKey,
    time: i64,
    field: Arc<str>,
}

#[derive(Debug, Clone, Copy)]
struct Cell {
    bits: u64,
    seq: u64,
}

/// All that was written, deleted and changed.
#[derive(Debug, Clone, Default)]
pub struct Model {
    catalogue: Catalogue,
    cells: BTreeMap<CellKey, Cell>,
    deletes: Vec<(u64, DeleteRequest)>,
}

impl Model {
    /// Nothing.
    pub fn new() -> Model {
        Model::default()
    }

    /// The catalogue as it must be.
    pub fn catalogue(&self) -> &Catalogue {
        &self.catalogue
    }

    /// A batch with number `seq`; of equal numbers the later call wins, and so the later row of a batch.
    pub fn write(&mut self, seq: u64, namespace: NamespaceId, rows: &[RowSpec]) {
        for row in rows {
            for (field, bits) in &row.fields {
                let (series, field) = (row.series.clone(), Arc::clone(field));
                let key = CellKey { namespace, series, time: row.time, field };
                let cell = Cell { bits: *bits, seq };
                self.cells
                    .entry(key)
                    .and_modify(|old| *old = if cell.seq >= old.seq { cell } else { *old })
                    .or_insert(cell);
            }
        }
    }

    /// A delete with number `seq`.
    pub fn delete(&mut self, seq: u64, request: &DeleteRequest) {
        self.deletes.push((seq, request.clone()));
    }

    /// A change of the catalogue; these must come in order. The outcome is what a store must answer.
    ///
    /// # Errors
    /// What [`Catalogue::apply`] refuses.
    pub fn change(&mut self, change: &CatalogueChange) -> Result<()> {
        self.catalogue.apply(change).map(|_| ())
    }

    /// Retention at `now_ns`: how many cutoffs must move.
    pub fn retain(&mut self, now_ns: i64) -> usize {
        let mut moved = 0;
        for namespace in self.catalogue.namespaces_mut() {
            let Some(retention_ns) = namespace.retention_ns else { continue };
            let cutoff = now_ns.saturating_sub(retention_ns).max(MIN_TIME);
            if cutoff > namespace.cutoff {
                namespace.cutoff = cutoff;
                moved += 1;
            }
        }
        moved
    }

    /// What a namespace must show; `None` when it does not exist.
    ///
    /// # Errors
    /// A delete whose filter does not compile, which no store must have taken.
    pub fn view(&self, id: NamespaceId) -> Result<Option<NamespaceView>, Violation> {
        let Some(namespace) = self.catalogue.by_id(id) else { return Ok(None) };
        let mut deletes = Vec::new();
        for (seq, request) in self.deletes.iter().filter(|(_, r)| r.namespace == id) {
            deletes.push((*seq, request, Meaning::new(&request.filter)?));
        }
        let hidden = |key: &CellKey, cell: &Cell| {
            deletes.iter().any(|(seq, request, filter)| {
                *seq > cell.seq
                    && request.time.contains(key.time)
                    && names_measurement(request.measurements.as_deref(), &key.series)
                    && filter.holds(&key.series)
            })
        };
        let mut view = NamespaceView { id, ..NamespaceView::default() };
        for (key, cell) in self.cells.iter().filter(|(key, _)| key.namespace == id) {
            let measurement: Arc<str> = key.series.measurement().into();
            view.written.entry(measurement).or_default().insert(Arc::clone(&key.field));
            if key.time >= namespace.cutoff && !hidden(key, cell) {
                let rows = view.series.entry(key.series.clone()).or_default();
                rows.entry(key.time).or_default().insert(Arc::clone(&key.field), cell.bits);
            }
        }
        Ok(Some(view))
    }

    /// One number for everything that the model shows: the catalogue, and each cell of each namespace.
    /// Equal contents have equal numbers, and by all odds only they.
    ///
    /// # Errors
    /// As [`Model::view`].
    pub fn fingerprint(&self) -> Result<u128, Violation> {
        Ok(fingerprint_of_text(&self.dump()?))
    }

    /// A line for each value that is shown, behind the catalogue.
    ///
    /// # Errors
    /// As [`Model::view`].
    pub fn dump(&self) -> Result<String, Violation> {
        let mut text = Model::describe(&self.catalogue);
        for namespace in self.catalogue.namespaces() {
            let Some(view) = self.view(namespace.id)? else { continue };
            for (key, rows) in &view.series {
                for (time, fields) in rows {
                    for (field, bits) in fields {
                        Model::describe_cell(&mut text, view.id, key, *time, field, *bits);
                    }
                }
            }
            // Writing to a String cannot fail.
            let _ = writeln!(text, "end of {}", namespace.id.0);
        }
        Ok(text)
    }

    pub(super) fn describe(catalogue: &Catalogue) -> String {
        format!("{catalogue:?}\n")
    }

    pub(super) fn describe_cell(
        text: &mut String,
        namespace: NamespaceId,
        key: &SeriesKey,
        time: i64,
        field: &str,
        bits: u64,
    ) {
        let _ = writeln!(text, "{} {key} {time} {field:?} {bits:016x}", namespace.0);
    }
}

/// Hash of a dump.
pub(super) fn fingerprint_of_text(text: &str) -> u128 {
    siphash128(HashKey([0x5c; 16]), text.as_bytes())
}

/// What one namespace must show.
#[derive(Debug, Clone)]
pub struct NamespaceView {
    /// The namespace.
    pub id: NamespaceId,
    /// Series with at least one row.
    pub(super) series: BTreeMap<SeriesKey, Rows>,
    /// Fields that each measurement ever had, hidden ones too.
    pub(super) written: BTreeMap<Arc<str>, BTreeSet<Arc<str>>>,
}

impl Default for NamespaceView {
    fn default() -> Self {
        NamespaceView { id: NamespaceId(0), series: BTreeMap::new(), written: BTreeMap::new() }
    }
}

impl NamespaceView {
    /// Number of rows that must be visible.
    pub fn row_count(&self) -> usize {
        self.series.values().map(BTreeMap::len).sum()
    }

    /// Names of all measurements that ever had a row.
    pub(super) fn measurements(&self) -> Vec<Arc<str>> {
        self.written.keys().cloned().collect()
    }

    /// Fields that visible rows of `measurement` have, sorted.
    pub(super) fn fields(&self, measurement: &str) -> Vec<Arc<str>> {
        let series = self.series.iter().filter(|(key, _)| key.measurement() == measurement);
        let names: BTreeSet<&Arc<str>> =
            series.flat_map(|(_, rows)| rows.values()).flat_map(BTreeMap::keys).collect();
        names.into_iter().cloned().collect()
    }

    /// Series of `measurements` (`None`: all) for which `filter` holds, with their rows.
    ///
    /// # Errors
    /// A filter that does not compile.
    pub(super) fn matching(
        &self,
        measurements: Option<&[Arc<str>]>,
        filter: &TagFilter,
    ) -> Result<Vec<(&SeriesKey, &Rows)>, Violation> {
        let meaning = Meaning::new(filter)?;
        let series = self.series.iter();
        Ok(series
            .filter(|(key, _)| names_measurement(measurements, key) && meaning.holds(key))
            .collect())
    }
}

fn names_measurement(measurements: Option<&[Arc<str>]>, key: &SeriesKey) -> bool {
    measurements.is_none_or(|names| names.iter().any(|name| **name == *key.measurement()))
}

/// A filter by its definition: no folding, and regular expressions straight from their crate.
pub(super) struct Meaning<'a> {
    filter: &'a TagFilter,
    patterns: BTreeMap<Arc<str>, Regex>,
}

impl<'a> Meaning<'a> {
    pub(super) fn new(filter: &'a TagFilter) -> Result<Meaning<'a>, Violation> {
        let mut patterns = BTreeMap::new();
        collect_patterns(filter, &mut patterns)?;
        Ok(Meaning { filter, patterns })
    }

    pub(super) fn holds(&self, key: &SeriesKey) -> bool {
        self.part_holds(self.filter, key)
    }

    fn part_holds(&self, part: &TagFilter, key: &SeriesKey) -> bool {
        match part {
            TagFilter::True => true,
            TagFilter::False => false,
            TagFilter::And(parts) => parts.iter().all(|part| self.part_holds(part, key)),
            TagFilter::Or(parts) => parts.iter().any(|part| self.part_holds(part, key)),
            TagFilter::Not(part) => !self.part_holds(part, key),
            TagFilter::Match(TagMatcher { key: tag, op, value }) => {
                let found = key.tag(tag).unwrap_or("");
                let finds = || self.patterns.get(value).is_some_and(|p| p.is_match(found));
                match op {
                    MatchOp::Eq => found == &**value,
                    MatchOp::Ne => found != &**value,
                    MatchOp::Re => finds(),
                    MatchOp::Nre => !finds(),
                }
            }
        }
    }
}

fn collect_patterns(filter: &TagFilter, patterns: &mut BTreeMap<Arc<str>, Regex>) -> Verdict {
    match filter {
        TagFilter::True | TagFilter::False => {}
        TagFilter::And(parts) | TagFilter::Or(parts) => {
            parts.iter().try_for_each(|part| collect_patterns(part, patterns))?;
        }
        TagFilter::Not(part) => collect_patterns(part, patterns)?,
        TagFilter::Match(matcher) if matcher.op.is_regex() => {
            let pattern =
                Regex::new(&matcher.value).map_err(|error| Violation::new(error.to_string()))?;
            patterns.insert(Arc::clone(&matcher.value), pattern);
        }
        TagFilter::Match(_) => {}
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::PolicySpec;
    use crate::{TagCharset, TimeRange};

    fn row(time: i64, fields: &[(&str, f64)]) -> RowSpec {
        let series = SeriesKey::new("m", &mut [("host", "a")], TagCharset::Ascii).unwrap();
        let fields = fields.iter().map(|(name, value)| (Arc::from(*name), value.to_bits()));
        RowSpec { series, time, fields: fields.collect() }
    }

    /// The order of the calls does not matter, the numbers do.
    #[test]
    fn numbers_decide() {
        let delete = DeleteRequest {
            namespace: NamespaceId(0),
            measurements: None,
            filter: TagFilter::tag("host", MatchOp::Re, "^a"),
            time: TimeRange::new(0, 5),
        };
        let first = [row(1, &[("x", 1.0), ("y", 1.0)]), row(5, &[("x", 5.0)])];
        let second = [row(1, &[("x", 2.0)])];
        let steps: [&dyn Fn(&mut Model); 3] =
            [&|m| m.write(1, NamespaceId(0), &first), &|m| m.delete(2, &delete), &|m| {
                m.write(3, NamespaceId(0), &second)
            }];
        for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
            let mut model = Model::new();
            let name = "db".into();
            let policy = PolicySpec::default();
            model.change(&CatalogueChange::CreateDatabase { name, policy }).unwrap();
            order.into_iter().for_each(|step: usize| steps[step](&mut model));
            let view = model.view(NamespaceId(0)).unwrap().unwrap();
            assert_eq!(view.fields("m").len(), 1, "{order:?}");
            let rows: Vec<(i64, u64)> =
                view.series.values().flatten().map(|(t, fields)| (*t, fields["x"])).collect();
            assert_eq!(rows, [(1, 2.0f64.to_bits()), (5, 5.0f64.to_bits())], "{order:?}");
            assert!(model.view(NamespaceId(1)).unwrap().is_none());
        }
    }
}
