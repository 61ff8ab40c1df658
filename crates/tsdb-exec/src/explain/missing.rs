//! Why a query reads nothing: names that no measurement or field has, and what was probably meant by them.

use std::cell::RefCell;
use std::sync::Arc;

use tsdb_ql::{Expr, Select, most_similar};

use crate::Result;
use crate::plan::any;
use crate::run::Runner;
use crate::scope::Place;

/// A line for each name of `select`, whose sources are all measurements, that is not in the store.
///
/// # Errors
/// What storage says.
pub(super) fn missing_names(runner: &Runner<'_>, select: &Select) -> Result<Vec<String>> {
    let view = runner.view;
    let mut lines = Vec::new();
    for place in view.places(&select.sources)? {
        let fields = view.fields(place.namespace, &place.measurement)?;
        if fields.is_empty() {
            lines.push(missing_measurement(runner, &place)?);
            continue;
        }
        let unknown = names(select).into_iter().filter(|name| {
            !fields.iter().any(|field| **field == **name) && !name.eq_ignore_ascii_case("time")
        });
        lines.extend(unknown.map(|name| {
            let meant = most_similar(&name, fields.iter().map(|field| &**field));
            let what = format!("measurement {} has no field {name}", place.measurement);
            with_hint(what, meant)
        }));
    }
    Ok(lines)
}

fn missing_measurement(runner: &Runner<'_>, place: &Place) -> Result<String> {
    let view = runner.view;
    let (series, mut held) = view.series(&view.series_request(place.namespace, None))?;
    let known = view.measurement_names(&series, &mut held)?;
    let name = &*place.measurement;
    let meant = most_similar(name, known.iter().map(|known| &**known));
    Ok(with_hint(format!("there is no measurement {name}"), meant))
}

fn with_hint(what: String, meant: Option<&str>) -> String {
    match meant {
        Some(meant) => format!("  {what}: did you mean {meant}?"),
        None => format!("  {what}"),
    }
}

/// The names in the columns of `select`, each once.
fn names(select: &Select) -> Vec<Arc<str>> {
    let names = RefCell::new(Vec::<Arc<str>>::new());
    let note = |expr: &Expr| {
        if let Expr::Identifier(identifier) = expr {
            let name: Arc<str> = identifier.name.as_str().into();
            let mut names = names.borrow_mut();
            if !names.contains(&name) {
                names.push(name);
            }
        }
        false
    };
    for field in &select.fields {
        any(&field.expr, &note);
    }
    names.into_inner()
}
