//! Continuous queries: how they stand in the catalogue, and the statements that put them there. When they run is in
//! `schedule`; who runs them then is above this crate.

mod schedule;

use tsdb_core::{Append, Catalogue, CatalogueChange, EntryKey, Error as CoreError};
use tsdb_ql::{ContinuousQuery, Measurement, Select, Source, Statement};

pub use schedule::{Due, due};

use crate::result::{ResultColumn, Series, StatementResult};
use crate::scope::View;
use crate::{Error, Result};

/// Kind of their entries in the catalogue; the text of an entry is the statement that creates it.
pub const CONTINUOUS_QUERY: &str = "continuous_query";

/// The query of an entry's text; `None` for a text that this version does not understand.
#[must_use]
pub fn continuous_query(text: &str) -> Option<ContinuousQuery> {
    match tsdb_ql::parse(text).ok()?.pop()? {
        Statement::CreateContinuousQuery(query) => Some(*query),
        _ => None,
    }
}

/// `CREATE CONTINUOUS QUERY`. As in InfluxDB the places that the query names are those of the request, and are
/// written down in full, so that it means the same whatever becomes a default later.
///
/// # Errors
/// A database or policy that does not exist, another query of that name, a store that takes no changes.
pub(crate) fn create(store: &dyn Append, view: &View<'_>, query: &ContinuousQuery) -> Result<()> {
    view.catalogue.database(&query.database)?;
    let mut query = query.clone();
    Places { view, fallback: query.database.clone() }.fill_in(&mut query.select)?;
    let key = EntryKey::new(CONTINUOUS_QUERY, Some(&query.database), &query.name);
    let text = query.to_string();
    let before = view.catalogue.entries.get(&key);
    if before.is_some_and(|before| before.eq_ignore_ascii_case(&text)) {
        return Ok(());
    }
    let change = CatalogueChange::SetEntry { key, text: text.into(), replace: false };
    match store.change_catalogue(&change).and_then(tsdb_core::Ticket::wait) {
        Ok(_) => Ok(()),
        Err(CoreError::AlreadyExists { .. }) => Err(Error::ContinuousQueryExists),
        Err(error) => Err(error.into()),
    }
}

/// `DROP CONTINUOUS QUERY`; one that does not exist is no error in InfluxDB.
///
/// # Errors
/// A store that takes no changes.
pub(crate) fn drop_query(store: &dyn Append, name: &str, database: &str) -> Result<()> {
    let key = EntryKey::new(CONTINUOUS_QUERY, Some(database), name);
    store.change_catalogue(&CatalogueChange::RemoveEntry { key })?.wait()?;
    Ok(())
}

/// `SHOW CONTINUOUS QUERIES`: a table for each database, also for those that have none.
pub(crate) fn show(catalogue: &Catalogue) -> StatementResult {
    let mut result = StatementResult::default();
    for database in catalogue.databases.keys() {
        let of_database = || {
            let entries = catalogue.entries.of_kind(CONTINUOUS_QUERY);
            entries.filter(|(key, _)| key.database.as_ref() == Some(database))
        };
        let columns = vec![
            ResultColumn::texts("name", of_database().map(|(key, _)| key.name.clone())),
            ResultColumn::texts("query", of_database().map(|(_, text)| text.clone())),
        ];
        result.series.push(Series::table(Some(database.clone()), columns));
    }
    result
}

/// Which places are meant where a query names none.
struct Places<'v> {
    view: &'v View<'v>,
    /// The database where the request names none either.
    fallback: String,
}

impl Places<'_> {
    fn fill_in(&self, select: &mut Select) -> Result<()> {
        if let Some(target) = &mut select.target {
            self.place(&mut target.database, &mut target.policy)?;
        }
        for source in &mut select.sources {
            match source {
                Source::Measurement(Measurement { database, policy, .. }) => {
                    self.place(database, policy)?;
                }
                Source::Subquery(inner) => self.fill_in(inner)?,
            }
        }
        Ok(())
    }

    fn place(&self, database: &mut Option<String>, policy: &mut Option<String>) -> Result<()> {
        let context = self.view.context;
        let given = |name: &&str| !name.is_empty();
        let of_request = context.policy.filter(|_| database.is_none());
        let name = database.as_deref().or(context.database).filter(given);
        let name = name.unwrap_or(&self.fallback).to_owned();
        let known = self.view.catalogue.database(&name)?;
        let wanted = policy.as_deref().or(of_request).filter(given);
        let wanted = wanted.unwrap_or(&known.default_policy).to_owned();
        self.view.catalogue.namespace(&name, Some(&wanted))?;
        (*database, *policy) = (Some(name), Some(wanted));
        Ok(())
    }
}
