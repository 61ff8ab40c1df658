//! The cardinality report: the series of all slices and of memory, merged in order of keys. No row is read.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;

use tsdb_core::matcher::TagFilter;
use tsdb_core::storage::{Cardinality, CardinalityCounter, CardinalityRequest};
use tsdb_core::{Result, SeriesKey, TimeRange};

use super::EngineSnapshot;
use crate::sst::{SliceSeries, Through};
use crate::view::SliceRef;

/// Memory of the page of the index that is open in each slice, in bytes, about: a thousand series.
const OPEN_PAGE_BYTES: usize = 96 << 10;

/// The series of one source, in order of keys.
enum Series<'s> {
    Memory(std::vec::IntoIter<SeriesKey>),
    Run { reader: SliceSeries<'s>, next: u32, end: u32 },
}

impl Series<'_> {
    fn next(&mut self) -> Result<Option<SeriesKey>> {
        match self {
            Series::Memory(keys) => Ok(keys.next()),
            Series::Run { next, end, .. } if next == end => Ok(None),
            Series::Run { reader, next, .. } => {
                let key = reader.key(*next)?;
                *next += 1;
                Ok(Some(key))
            }
        }
    }
}

impl EngineSnapshot {
    /// Counts each series once. O(series of all sources · log sources), about a quarter of a microsecond each.
    pub(super) fn count_series(&self, request: &CardinalityRequest) -> Result<Cardinality> {
        let time = self.alive(request.namespace, TimeRange::all())?;
        let mut counter = CardinalityCounter::new(request)?;
        let slices = self.view.version.slices(request.namespace, time);
        counter.hold(slices.len() * OPEN_PAGE_BYTES)?;
        let mut sources: Vec<Series<'_>> = slices.iter().map(of_slice).collect();
        let in_memory = self.keys_in_memory(request, &mut counter)?;
        if in_memory.len() > 0 {
            sources.push(Series::Memory(in_memory));
        }
        let mut fronts = BinaryHeap::with_capacity(sources.len());
        for (place, source) in sources.iter_mut().enumerate() {
            fronts.extend(source.next()?.map(|key| Reverse((key, place))));
        }
        let mut last: Option<SeriesKey> = None;
        while let Some(mut front) = fronts.peek_mut() {
            let Reverse((key, place)) = &mut *front;
            if last.as_ref() != Some(key) {
                counter.add(key)?;
                last = Some(key.clone());
            }
            match sources.get_mut(*place).map(Series::next).transpose()?.flatten() {
                Some(next) => *key = next,
                None => _ = PeekMut::pop(front),
            }
        }
        Ok(counter.finish(sources.len() as u64, self.time_of(&slices)))
    }

    /// Times of slices, and of memory, which does not know of namespaces.
    fn time_of(&self, slices: &[SliceRef]) -> Option<(i64, i64)> {
        let metas = slices.iter().map(|slice| slice.get().meta());
        let of_slices = metas.map(|meta| (meta.t_min, meta.t_max));
        let of_memory = self.view.generations().filter_map(|generation| generation.times());
        of_slices.chain(of_memory).reduce(|(a, b), (min, max)| (a.min(min), b.max(max)))
    }

    /// Keys of the registered series, sorted.
    fn keys_in_memory(
        &self,
        request: &CardinalityRequest,
        counter: &mut CardinalityCounter,
    ) -> Result<std::vec::IntoIter<SeriesKey>> {
        let Some(head) = self.view.heads.get(&request.namespace) else {
            return Ok(Vec::new().into_iter());
        };
        let numbers = head.matching(None, &TagFilter::True, &request.cancel)?;
        // The texts are the registry's.
        counter.hold(numbers.len() * (size_of::<SeriesKey>() + size_of::<u32>()))?;
        let keys = numbers.iter().filter_map(|number| self.view.series.key(*number));
        let mut keys: Vec<SeriesKey> = keys.map(|(_, key)| key).collect();
        request.cancel.check()?;
        keys.sort_unstable();
        Ok(keys.into_iter())
    }
}

fn of_slice(slice: &SliceRef) -> Series<'_> {
    let slice = slice.get();
    Series::Run { reader: slice.series(Through::Cache), next: 0, end: slice.index().len() }
}
