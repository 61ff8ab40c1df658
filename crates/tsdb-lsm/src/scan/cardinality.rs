//! What the series of all slices and of memory are made of: the cardinality report, and the number of tag keys and values.
//! No row is read. Few series are merged in order of keys and counted one by one; of many not even the keys are read.

mod tags;
mod united;

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;

use tsdb_core::matcher::TagFilter;
use tsdb_core::storage::{
    Cardinality, CardinalityCounter, CardinalityRequest, TagCount, TagCountRequest,
};
use tsdb_core::{NamespaceId, Result, SeriesKey, TimeRange};
use tsdb_index::NamespaceHead;

use super::EngineSnapshot;
use crate::sst::{SliceSeries, Through};
use crate::view::SliceRef;
use tags::UnitedTags;
use united::United;

/// Series of all sources together up to which they are counted one by one: ten milliseconds, at most about.
const COUNTED_MAX: u64 = 1 << 14;

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
    /// Counts each series once: one by one if there are few, else from what the sources say of themselves. O(sources ·
    /// (measurements + tag keys)), however many series there are.
    pub(super) fn count_series(&self, request: &CardinalityRequest) -> Result<Cardinality> {
        request.cancel.check()?;
        let slices = self.slices_alive(request.namespace)?;
        let in_memory = self.head(request.namespace).map_or(0, |head| head.series());
        if in_memory.saturating_add(series_of(&slices)) <= COUNTED_MAX {
            self.count_one_by_one(request, &slices)
        } else {
            self.unite_sources(request, slices, in_memory)
        }
    }

    /// The tag keys and values of the measurements that `request` wants, if they have more series than are counted one by
    /// one.
    pub(super) fn count_tags(
        &self,
        request: &TagCountRequest<'_>,
    ) -> Result<Option<Vec<TagCount>>> {
        let mut places = Vec::with_capacity(request.namespaces.len());
        let mut series = 0u64;
        for namespace in request.namespaces {
            let (slices, head) = (self.slices_alive(*namespace)?, self.head(*namespace));
            series = series.saturating_add(head.map_or(0, |head| head.series()));
            series = series.saturating_add(series_of(&slices));
            places.push((*namespace, slices, head));
        }
        // Not even all series are many: what the sources say of them need not be read.
        if series <= COUNTED_MAX {
            return Ok(None);
        }
        let mut united = UnitedTags::new(request)?;
        for (namespace, slices, head) in places {
            for slice in &slices {
                request.cancel.check()?;
                united.add(namespace, &*slice.get().cardinality()?)?;
            }
            if let Some(head) = head {
                united.add(namespace, &head.cardinality(&request.cancel)?)?;
            }
        }
        Ok((united.series() > COUNTED_MAX).then(|| united.finish()))
    }

    /// The slices of a namespace that retention has not left behind.
    fn slices_alive(&self, namespace: NamespaceId) -> Result<Vec<SliceRef>> {
        let time = self.alive(namespace, TimeRange::all())?;
        Ok(self.view.version.slices(namespace, time))
    }

    /// The registered series of a namespace.
    fn head(&self, namespace: NamespaceId) -> Option<&NamespaceHead> {
        self.view.heads.get(&namespace).map(|head| &**head)
    }

    /// Unites what the sources say of their series. The largest comes first.
    fn unite_sources(
        &self,
        request: &CardinalityRequest,
        mut slices: Vec<SliceRef>,
        in_memory: u64,
    ) -> Result<Cardinality> {
        let mut united = United::new(request)?;
        let series = |slice: &SliceRef| u64::from(slice.get().index().len());
        slices.sort_by_key(|slice| Reverse(series(slice)));
        let mut head = self.head(request.namespace).filter(|_| in_memory > 0);
        let sources = slices.len() as u64 + u64::from(head.is_some());
        for slice in &slices {
            request.cancel.check()?;
            if let Some(head) = head.take_if(|_| in_memory >= series(slice)) {
                united.add(&head.cardinality(&request.cancel)?)?;
            }
            united.add(&*slice.get().cardinality()?)?;
        }
        if let Some(head) = head {
            united.add(&head.cardinality(&request.cancel)?)?;
        }
        Ok(united.finish(request.top, sources, self.time_of(&slices)))
    }

    /// O(series of all sources · log sources), about a quarter of a microsecond each.
    fn count_one_by_one(
        &self,
        request: &CardinalityRequest,
        slices: &[SliceRef],
    ) -> Result<Cardinality> {
        let mut counter = CardinalityCounter::new(request)?;
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
        Ok(counter.finish(sources.len() as u64, self.time_of(slices)))
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
        let Some(head) = self.head(request.namespace) else {
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

/// Series of all slices together.
fn series_of(slices: &[SliceRef]) -> u64 {
    slices.iter().map(|slice| u64::from(slice.get().index().len())).sum()
}

fn of_slice(slice: &SliceRef) -> Series<'_> {
    let slice = slice.get();
    Series::Run { reader: slice.series(Through::Cache), next: 0, end: slice.index().len() }
}
