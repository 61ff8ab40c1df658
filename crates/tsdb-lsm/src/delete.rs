//! Deletes that are in force: which rows of which source each one hides.

use std::sync::Arc;

use tsdb_core::matcher::CompiledFilter;
use tsdb_core::{DeleteRequest, Error, Result, SeriesKey, TimeRange};

use crate::memtable::{Generation, RowDelete};
use crate::sst::SliceMeta;

/// Most deletes in force in one namespace: each is looked at for every series of a scan.
pub(crate) const LIVE_DELETES_MAX: usize = 4096;

/// A delete with its filter compiled.
#[derive(Debug)]
pub(crate) struct LiveDelete {
    pub seq: u64,
    pub request: DeleteRequest,
    filter: CompiledFilter,
}

impl LiveDelete {
    pub(crate) fn new(seq: u64, request: DeleteRequest) -> Result<LiveDelete> {
        let filter = CompiledFilter::new(&request.filter)
            .map_err(|error| Error::Invalid { what: error.to_string() })?;
        Ok(LiveDelete { seq, request, filter })
    }

    fn matches(&self, key: &SeriesKey) -> bool {
        let named = |names: &Vec<Arc<str>>| names.iter().any(|name| **name == *key.measurement());
        self.request.measurements.as_ref().is_none_or(named)
            && self.filter.matches(|tag| key.tag(tag).unwrap_or(""))
    }
}

/// The deletes that concern one series of one namespace.
#[derive(Debug, Default, Clone)]
pub(crate) struct SeriesDeletes(Vec<(u64, TimeRange)>);

impl SeriesDeletes {
    /// Those of `deletes` (all of the series' namespace) that match `key`.
    pub(crate) fn of(key: &SeriesKey, deletes: &[Arc<LiveDelete>]) -> SeriesDeletes {
        let matching = deletes.iter().filter(|delete| delete.matches(key));
        SeriesDeletes(matching.map(|delete| (delete.seq, delete.request.time)).collect())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Times whose rows a slice does not show any more: a delete applies to a run whole or not at all,
    /// since the flush has left out what younger deletes of the same generation hide.
    pub(crate) fn for_slice(&self, slice: &SliceMeta) -> Vec<TimeRange> {
        let younger = self.0.iter().filter(|(seq, _)| *seq > slice.seq_max);
        let near = younger.filter(|(_, t)| slice.t_min < t.end && slice.t_max >= t.start);
        near.map(|(_, time)| *time).collect()
    }

    /// What hides rows of a generation, row by row.
    pub(crate) fn for_generation(&self, generation: &Generation) -> Vec<RowDelete> {
        let younger = self.0.iter().filter(|(seq, _)| *seq > generation.base_seq());
        younger
            .map(|(seq, time)| RowDelete { seq: generation.relative(*seq), time: *time })
            .collect()
    }
}
