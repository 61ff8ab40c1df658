//! SELECT … INTO: the rows of an answer become rows of a measurement, batch by batch, while the query goes on.
//!
//! Each batch is stored whole or not at all; those before one that fails stay. What is read is one snapshot, so a
//! query may write to what it reads. Not here: reading ([`crate::run`]).

mod batch;

use std::collections::BTreeSet;
use std::sync::Arc;

use tsdb_core::catalogue::NamespaceInfo;
use tsdb_core::{Append, FieldSet, SeriesKey, TagCharset};
use tsdb_ql::{Target, TargetName};

use self::batch::{Batch, Outcome};
use crate::pace::Pace;
use crate::plan::SelectPlan;
use crate::result::{Message, ResultColumn, Series, StatementResult, Validity, Values};
use crate::run::Runner;
use crate::scope::View;
use crate::{Error, Result};

/// Name that queries keep for the timestamp: a field of that name could never be selected.
const TIME: &str = "time";

/// Runs `plan`, writes its rows to `target` and answers how many were written.
///
/// # Errors
/// A target that does not exist, columns that are no fields, what reading and storing say. Rows may have been
/// written then; the error says how many.
pub(crate) fn select_into(
    runner: &Runner<'_>,
    plan: &SelectPlan,
    target: &Target,
    store: &dyn Append,
) -> Result<StatementResult> {
    let namespace = runner.view.namespace(target.database.as_deref(), target.policy.as_deref())?;
    check_columns(&plan.columns)?;
    let mut writer = Writer::new(runner.view, target, namespace, store);
    let outcome =
        runner.each(plan, |table| writer.table(table)).and_then(|()| writer.batch.flush());
    let Writer { batch, texts, .. } = writer;
    let Outcome { written, dropped, reason } = batch.outcome();
    if let Err(cause) = outcome {
        return Err(if written == 0 { cause } else { Error::into_ended(written, cause) });
    }
    match reason {
        Some(reason) => Err(Error::PartialWrite { reason, dropped, written }),
        None => Ok(answer(written, texts)),
    }
}

/// As InfluxDB answers it, with a remark on each column that is no field.
fn answer(written: u64, texts: BTreeSet<Arc<str>>) -> StatementResult {
    let written =
        Values::Integers(vec![i64::try_from(written).unwrap_or(i64::MAX)], Validity::all(1));
    let column = ResultColumn { name: "written".into(), values: written };
    let table = Series::table(Some("result".into()), vec![column]);
    let mut answer = StatementResult::of(Series { times: Some(vec![0]), ..table });
    answer.messages = texts
        .into_iter()
        .map(|name| Message {
            level: "warning",
            text: format!(
                "{name} was not written: fields are numbers; GROUP BY a tag to write it as a tag"
            ),
        })
        .collect();
    answer
}

/// Whether rows of these columns can be stored at all.
fn check_columns(names: &[Arc<str>]) -> Result<()> {
    if names.iter().any(|name| &**name == TIME) {
        let what = "a field cannot be called time: give the column another name with AS".to_owned();
        return Err(tsdb_core::Error::Invalid { what }.into());
    }
    if !names.is_empty() {
        FieldSet::new(names.iter().map(Arc::clone))?;
    }
    Ok(())
}

/// Turns tables into rows of the target.
struct Writer<'w> {
    view: &'w View<'w>,
    target: &'w Target,
    batch: Batch<'w>,
    /// Columns of texts that had any.
    texts: BTreeSet<Arc<str>>,
}

impl<'w> Writer<'w> {
    fn new(
        view: &'w View<'w>,
        target: &'w Target,
        namespace: &NamespaceInfo,
        store: &'w dyn Append,
    ) -> Writer<'w> {
        Writer {
            view,
            target,
            batch: Batch::new(view.context, namespace, store),
            texts: BTreeSet::new(),
        }
    }

    /// Writes the rows of a table; those that do not fill a batch wait for the next one.
    fn table(&mut self, table: &Series) -> Result<()> {
        let mut columns: Vec<(&Arc<str>, &Values)> = Vec::with_capacity(table.columns.len());
        for ResultColumn { name, values } in &table.columns {
            match values {
                Values::Strings(texts) => {
                    if texts.iter().any(|text| text.is_some()) {
                        self.texts.insert(Arc::clone(name));
                    }
                }
                numbers => columns.push((name, numbers)),
            }
        }
        // In the order in which field sets have them.
        columns.sort_unstable_by_key(|(name, _)| *name);
        let names: Vec<&Arc<str>> = columns.iter().map(|(name, _)| *name).collect();
        let key = self.key(table);
        let mut row: Vec<Option<f64>> = Vec::with_capacity(columns.len());
        let mut pace = Pace::new(&self.view.context.cancel);
        for (place, time) in table.times.iter().flatten().enumerate() {
            pace.step()?;
            row.clear();
            // NaN, which stands for no result, is none.
            let number = |values: &Values| values.number(place).filter(|value| !value.is_nan());
            row.extend(columns.iter().map(|(_, values)| number(values)));
            if row.iter().any(Option::is_some) {
                self.batch.push(&key, *time, &names, &row)?;
            }
        }
        self.batch.end_of_table();
        Ok(())
    }

    /// The series that the rows of a table go to; tags that a group does not have are empty there.
    fn key(&self, table: &Series) -> tsdb_core::Result<SeriesKey> {
        let measurement = match &self.target.name {
            TargetName::Name(name) => name,
            TargetName::Source => table.name.as_deref().unwrap_or_default(),
        };
        let tags = table.tags.iter().filter(|(_, value)| !value.is_empty());
        let mut tags: Vec<(&str, &str)> = tags.map(|(key, value)| (&**key, &**value)).collect();
        SeriesKey::new(measurement, &mut tags, TagCharset::Utf8)
    }
}
