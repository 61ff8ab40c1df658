//! `SLIMIT` and `SOFFSET`: which tables of a measurement are shown.

use std::cmp::Ordering;

use tsdb_core::CancelToken;
use tsdb_ql::Page;

use crate::Result;
use crate::memory::Charge;
use crate::result::Series;
use crate::sort::sort_by;

/// Bytes that a table takes while they are counted: its place, once more for sorting, and whether it stays.
const PLACE_BYTES: usize = 2 * size_of::<usize>() + size_of::<bool>();

/// Keeps those of `tables`, which are in order of their values, that are on the page. They are counted in InfluxDB's
/// order of tag sets and stay in theirs. Without `SLIMIT` and `SOFFSET` nothing is done.
///
/// # Errors
/// A token that was used, memory that is used up; `scratch` pays while it works.
pub(super) fn keep_page(
    tables: &mut Vec<Series>,
    page: &Page,
    scratch: &mut Charge,
    cancel: &CancelToken,
) -> Result<()> {
    let count = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
    let offset = page.series_offset.map_or(0, count);
    let limit = page.series_limit.map_or(usize::MAX, count);
    if offset == 0 && limit >= tables.len() {
        return Ok(());
    }
    // With one tag the orders are the same.
    if tables.first().is_none_or(|table| table.tags.len() <= 1) {
        tables.drain(..offset.min(tables.len()));
        tables.truncate(limit);
        return Ok(());
    }
    scratch.grow(tables.len().saturating_mul(PLACE_BYTES))?;
    let of_table = |place: &usize| tables.get(*place);
    let counted = sort_by((0..tables.len()).collect(), cancel, |a, b| {
        of_table(a).zip(of_table(b)).map_or(Ordering::Equal, |(a, b)| in_order_of_tag_sets(a, b))
    })?;
    let mut stays = vec![false; tables.len()];
    for place in counted.into_iter().skip(offset).take(limit) {
        if let Some(stays) = stays.get_mut(place) {
            *stays = true;
        }
    }
    let mut stays = stays.into_iter();
    tables.retain(|_| stays.next().unwrap_or(false));
    Ok(())
}

/// InfluxDB sorts the texts that it knows tag sets by: the names of the tags that are there, then their values, with
/// `|` between all of them. So those that lack a tag do not stand where an empty value would.
fn in_order_of_tag_sets(a: &Series, b: &Series) -> Ordering {
    fn text(table: &Series) -> impl Iterator<Item = u8> {
        let present = table.tags.iter().filter(|(_, value)| !value.is_empty());
        let names = present.clone().map(|(name, _)| name);
        let parts = names.chain(present.map(|(_, value)| value)).enumerate();
        parts.flat_map(|(number, part)| {
            let bar = (number > 0).then_some(b'|');
            bar.into_iter().chain(part.bytes())
        })
    }
    text(a).cmp(text(b))
}
