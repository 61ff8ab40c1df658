//! What the grammar cannot say of CREATE CONTINUOUS QUERY: that there is a window, and which durations fit it.

use crate::{
    ast::{ContinuousQuery, Select, Span},
    diagnostic::Diagnostic,
    error::Error,
};

/// The durations of RESAMPLE, in ns, with the place of each.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Resample {
    pub every: Option<(i64, Span)>,
    pub look_back: Option<(i64, Span)>,
}

/// The query of its parts; `end` is where END stands.
pub(crate) fn continuous_query(
    (name, database): (String, String),
    resample: Option<Resample>,
    select: Select,
    end: Span,
    errors: &mut Vec<Diagnostic>,
) -> ContinuousQuery {
    let resample = resample.unwrap_or_default();
    let mut report = |error, span| errors.push(Diagnostic::new(error, span));
    match select.window() {
        Some(window) => {
            for (option, given) in [("EVERY", resample.every), ("FOR", resample.look_back)] {
                if let Some((_, span)) = given.filter(|(ns, _)| *ns <= 0) {
                    report(Error::ResampleNotPositive { option }, span);
                }
            }
            let least_ns =
                resample.every.map_or(window.every_ns, |(ns, _)| ns.max(window.every_ns));
            if let Some((ns, span)) =
                resample.look_back.filter(|(ns, _)| (1..least_ns).contains(ns))
            {
                report(Error::ResampleForTooShort { least_ns, got_ns: ns }, span);
            }
        }
        None => report(
            Error::Unexpected {
                found: "END".to_owned(),
                expected: vec!["GROUP BY time(...)".to_owned()],
                suggestion: None,
            },
            end,
        ),
    }
    let (every_ns, for_ns) =
        (resample.every.map(|(ns, _)| ns), resample.look_back.map(|(ns, _)| ns));
    ContinuousQuery { name, database, every_ns, for_ns, select: Box::new(select) }
}
