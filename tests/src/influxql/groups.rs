//! Questions about groups: several measurements, wildcards, pages of series.

use super::{field, of_all_rows, page as page_of_rows, pick, range};
use crate::seed::Seed;

/// Tags of a series of the measurement `p`, as they stand in a line. Some values sort before `|`, by which InfluxDB
/// joins them, and some behind; none contains it, since InfluxDB takes different tags for the same then (D5).
pub(super) fn tags(seed: &mut Seed) -> String {
    let mut tags = String::new();
    for key in ["a", "b", "c"] {
        let value = pick(seed, &["", "", "1", "1\\ 2", "1~", "2"]);
        if !value.is_empty() {
            tags.push_str(&format!(",{key}={value}"));
        }
    }
    tags
}

/// Several measurements and regular expressions.
pub(super) fn sources(seed: &mut Seed) -> String {
    let source = pick(seed, &["m, n", "/^[mn]$/", "/m/, n", "autogen.m", "m, nothing"]);
    let by =
        pick(seed, &["", " GROUP BY host", " GROUP BY /^[dh]/", " GROUP BY /^h/", " GROUP BY *"]);
    let page = page_of_rows(seed);
    let columns = match seed.within(0..3) {
        0 => "*".to_owned(),
        1 => format!("{}, host", field(seed)),
        _ => of_all_rows(seed),
    };
    format!("SELECT {columns} FROM {source}{}{by}{page}", range(seed))
}

/// Tags that `p` has.
fn by_some(seed: &mut Seed) -> &'static str {
    pick(
        seed,
        &["", "a", "b", "a, b", "c, a", "b, c", "a, b, c", "*", "/^[ab]$/", "/nothing/", "b, /^a/"],
    )
}

/// Which series are on a page. InfluxDB counts those that have no row in the range of time, too, and takes `SOFFSET`
/// without `SLIMIT` for nothing (D5): so all series have rows, and `SLIMIT` is always there.
pub(super) fn page(seed: &mut Seed) -> String {
    let columns = pick(
        seed,
        &[
            "f",
            "f, a",
            "count(f)",
            "max(f)",
            "mean(f), sum(g)",
            "cumulative_sum(f)",
            "first(f), b",
            "*",
        ],
    );
    let by = by_some(seed);
    let windows = match seed.within(0..4) {
        0 if columns == "count(f)" || columns == "max(f)" => "time(100ns)",
        _ => "",
    };
    let comma = if by.is_empty() || windows.is_empty() { "" } else { ", " };
    let group_by = if by.is_empty() && windows.is_empty() { "" } else { " GROUP BY " };
    let fill = if windows.is_empty() { "" } else { " fill(none)" };
    // (InfluxDB sorts rows of equal times by their values when it reads them backwards.)
    let order = if seed.within(0..4) == 0 { " ORDER BY time DESC" } else { "" };
    let rows = if seed.within(0..4) == 0 { " LIMIT 2" } else { "" };
    let source = pick(seed, &["p", "p", "p", "p, nothing"]);
    let (limit, offset) = (seed.within(1..8), seed.within(0..12));
    format!(
        "SELECT {columns} FROM {source}{group_by}{by}{comma}{windows}{fill}{order}{rows} SLIMIT {limit} SOFFSET {offset}"
    )
}

/// Wildcards among the columns and in `GROUP BY`.
pub(super) fn wildcards(seed: &mut Seed) -> String {
    let columns = pick(
        seed,
        &[
            "*",
            "*",
            "/./",
            "/^[abf]$/",
            "*::tag, f",
            "*::field",
            "*, a",
            "count(*)",
            "mean(/f/)",
            "first(f), *",
            "first(f), /^[bg]$/",
        ],
    );
    let by = by_some(seed);
    let group_by = if by.is_empty() { "" } else { " GROUP BY " };
    let page = page_of_rows(seed);
    // Not with ranges of two measurements whose names are different: `sources` does that.
    let range = if seed.within(0..2) == 0 { range(seed) } else { String::new() };
    if seed.within(0..4) == 0 {
        // A tag that is grouped by is never missing inside, which would be no text for us and an empty one there (D9).
        let inner = pick(
            seed,
            &["SELECT * FROM m", "SELECT f, host FROM m", "SELECT f FROM m GROUP BY host"],
        );
        let by = pick(seed, &["", " GROUP BY host", " GROUP BY *", " GROUP BY /^h/"]);
        return format!("SELECT * FROM ({inner}){range}{by}{page}");
    }
    format!("SELECT {columns} FROM p{range}{group_by}{by}{page}")
}
