//! [`WriteBatch`]: the rows of one request as columns, and its byte encoding.
//!
//! Rows stand in the order in which they were written, since inside one batch the later row wins.
//! Series, times and values are three flat columns; which fields a row has is run-length coded in
//! segments, because agents send many rows of one shape in a row.
//!
//! The encoding is the payload of the write-ahead log's batch records; `docs/format/wal-records.md`
//! describes it. References are those of the engine; what they mean stands in other records.

mod short;

use crate::{Epoch, Error, FieldSetRef, NamespaceId, Result, SeriesRef, limits};

/// A run of consecutive rows with the same fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment {
    /// Fields of these rows.
    pub field_set: FieldSetRef,
    /// Number of fields, and so of values per row; at least 1.
    pub columns: u32,
    /// Number of rows.
    pub rows: u32,
}

/// Rows for one namespace, in order.
#[derive(Debug, Clone, PartialEq)]
pub struct WriteBatch {
    namespace: NamespaceId,
    epoch: Epoch,
    segments: Vec<Segment>,
    series: Vec<SeriesRef>,
    times: Vec<i64>,
    values: Vec<f64>,
}

/// One row of a batch, as [`WriteBatch::rows`] yields it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Row<'a> {
    /// Series of the row.
    pub series: SeriesRef,
    /// Timestamp in ns.
    pub time: i64,
    /// Fields of the row.
    pub field_set: FieldSetRef,
    /// One value per field, in the order of the field set's names.
    pub values: &'a [f64],
}

impl WriteBatch {
    /// A batch without rows, for references of `epoch`.
    pub fn new(namespace: NamespaceId, epoch: Epoch) -> WriteBatch {
        WriteBatch {
            namespace,
            epoch,
            segments: Vec::new(),
            series: Vec::new(),
            times: Vec::new(),
            values: Vec::new(),
        }
    }

    /// Empties the batch and keeps its buffers.
    pub fn reset(&mut self, namespace: NamespaceId, epoch: Epoch) {
        self.namespace = namespace;
        self.epoch = epoch;
        self.segments.clear();
        self.series.clear();
        self.times.clear();
        self.values.clear();
    }

    /// Appends a row. The caller guarantees that `values` has one entry per field of `field_set`;
    /// the engine checks it. O(number of values).
    ///
    /// # Errors
    /// [`Error::TooMany`] at [`limits::BATCH_ROWS_MAX`] rows; the batch is unchanged.
    #[inline]
    pub fn push(
        &mut self,
        series: SeriesRef,
        time: i64,
        field_set: FieldSetRef,
        values: &[f64],
    ) -> Result<()> {
        if self.series.len() >= limits::BATCH_ROWS_MAX {
            return Err(Error::TooMany {
                what: "rows in one batch",
                count: self.series.len() as u64 + 1,
                count_max: limits::BATCH_ROWS_MAX as u64,
                remedy: "send smaller batches",
            });
        }
        let columns = u32::try_from(values.len()).unwrap_or(u32::MAX);
        match self.segments.last_mut() {
            Some(last) if last.field_set == field_set && last.columns == columns => last.rows += 1,
            _ => self.segments.push(Segment { field_set, columns, rows: 1 }),
        }
        self.series.push(series);
        self.times.push(time);
        self.values.extend_from_slice(values);
        Ok(())
    }

    /// Namespace that all rows go to.
    pub fn namespace(&self) -> NamespaceId {
        self.namespace
    }

    /// Epoch in which the references were resolved.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Says that the references hold in `epoch`; for callers that resolved them again.
    pub fn set_epoch(&mut self, epoch: Epoch) {
        self.epoch = epoch;
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.series.len()
    }

    /// True without any row.
    pub fn is_empty(&self) -> bool {
        self.series.is_empty()
    }

    /// Number of values, which the field calls samples.
    pub fn samples(&self) -> usize {
        self.values.len()
    }

    /// Runs of rows with the same fields, in order.
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// Series of each row.
    pub fn series(&self) -> &[SeriesRef] {
        &self.series
    }

    /// Series of each row, for callers that parsed first and resolved afterwards.
    pub fn series_mut(&mut self) -> &mut [SeriesRef] {
        &mut self.series
    }

    /// Timestamp of each row in ns.
    pub fn times(&self) -> &[i64] {
        &self.times
    }

    /// Values of all rows, row by row.
    pub fn values(&self) -> &[f64] {
        &self.values
    }

    /// Rows in order.
    pub fn rows(&self) -> impl Iterator<Item = Row<'_>> {
        let shapes = self
            .segments
            .iter()
            .flat_map(|s| std::iter::repeat_n((s.field_set, s.columns as usize), s.rows as usize));
        let mut rest: &[f64] = &self.values;
        self.series.iter().zip(&self.times).zip(shapes).map(
            move |((series, time), (field_set, columns))| {
                let (values, behind) = rest.split_at(columns.min(rest.len()));
                rest = behind;
                Row { series: *series, time: *time, field_set, values }
            },
        )
    }

    /// Keeps the rows for which `keep` says so; `keep` sees each row's index once, in order.
    pub fn retain(&mut self, mut keep: impl FnMut(usize) -> bool) {
        let mut kept = WriteBatch::new(self.namespace, self.epoch);
        for (index, row) in self.rows().enumerate() {
            if keep(index) {
                let pushed = kept.push(row.series, row.time, row.field_set, row.values);
                debug_assert!(pushed.is_ok(), "a subset of a batch is no longer than the batch");
            }
        }
        *self = kept;
    }

    /// Gives every reference its present meaning, for a batch that comes from a log. False if one has
    /// none; the batch is of no use then.
    pub fn translate(
        &mut self,
        mut series: impl FnMut(SeriesRef) -> Option<SeriesRef>,
        mut field_set: impl FnMut(FieldSetRef) -> Option<FieldSetRef>,
    ) -> bool {
        let mut known = true;
        for number in &mut self.series {
            known &= series(*number).map(|now| *number = now).is_some();
        }
        for segment in &mut self.segments {
            known &= field_set(segment.field_set).map(|now| segment.field_set = now).is_some();
        }
        known
    }

    /// Memory that the batch holds, in bytes.
    pub fn bytes(&self) -> usize {
        self.segments.capacity() * size_of::<Segment>()
            + self.series.capacity() * size_of::<SeriesRef>()
            + self.times.capacity() * size_of::<i64>()
            + self.values.capacity() * size_of::<f64>()
    }

    /// Most bytes that [`WriteBatch::encode`] appends.
    pub fn encoded_len_max(&self) -> usize {
        HEADER_BYTES + self.segments.len() * 12 + self.series.len() * 12 + self.values.len() * 8
    }

    /// Appends the batch's bytes to `out`: header (namespace, segments, rows, values, bytes of the values:
    /// five `u32`), the segments (field set, columns, rows: three `u32` each), series (`u32`), times (`i64`),
    /// values (`f64` bits, or short where that saves something), all little-endian. The epoch is not part of
    /// it. O(number of values).
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.reserve(self.encoded_len_max());
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX).to_le_bytes();
        out.extend_from_slice(&self.namespace.0.to_le_bytes());
        out.extend_from_slice(&count(self.segments.len()));
        out.extend_from_slice(&count(self.series.len()));
        out.extend_from_slice(&count(self.values.len()));
        let value_bytes_at = out.len();
        out.extend_from_slice(&count(self.values.len() * 8));
        for segment in &self.segments {
            out.extend_from_slice(&segment.field_set.0.to_le_bytes());
            out.extend_from_slice(&segment.columns.to_le_bytes());
            out.extend_from_slice(&segment.rows.to_le_bytes());
        }
        for series in &self.series {
            out.extend_from_slice(&series.0.to_le_bytes());
        }
        for time in &self.times {
            out.extend_from_slice(&time.to_le_bytes());
        }
        let start = out.len();
        if short::pack(&self.values, out) {
            let value_bytes = count(out.len() - start);
            if let Some(to) = out.get_mut(value_bytes_at..).and_then(|rest| rest.first_chunk_mut())
            {
                *to = value_bytes;
            }
            return;
        }
        for value in &self.values {
            out.extend_from_slice(&value.to_bits().to_le_bytes());
        }
    }

    /// Takes a batch back from its bytes.
    ///
    /// # Errors
    /// [`Error::MalformedBatch`] for anything that [`WriteBatch::encode`] cannot have written. What is
    /// allocated is bounded by 16 times the length of `bytes`.
    pub fn decode(bytes: &[u8], epoch: Epoch) -> Result<WriteBatch> {
        let mut reader = Reader { bytes, at: 0 };
        let namespace = NamespaceId(reader.u32()?);
        let segment_count = reader.u32()? as usize;
        let row_count = reader.u32()? as usize;
        let value_count = reader.u32()? as usize;
        let value_bytes = reader.u32()? as usize;
        let mut batch = WriteBatch::new(namespace, epoch);
        let (mut rows, mut values) = (0u64, 0u64);
        for raw in reader.array::<12>(segment_count)? {
            let [field_set, columns, segment_rows] = split_u32(raw);
            if columns == 0 || segment_rows == 0 {
                return Err(Error::MalformedBatch { at: reader.at, what: "an empty segment" });
            }
            // Beyond all counting they contradict the counts in any case, which have 32 bits.
            rows = rows.saturating_add(u64::from(segment_rows));
            let cells = u64::from(segment_rows) * u64::from(columns);
            values = values.saturating_add(cells);
            batch.segments.push(Segment {
                field_set: FieldSetRef(field_set),
                columns,
                rows: segment_rows,
            });
        }
        if rows != row_count as u64 || values != value_count as u64 {
            return Err(Error::MalformedBatch { at: reader.at, what: "counts that contradict" });
        }
        let series = reader.array::<4>(row_count)?;
        batch.series.extend(series.map(|raw| SeriesRef(u32::from_le_bytes(*raw))));
        batch.times.extend(reader.array::<8>(row_count)?.map(|raw| i64::from_le_bytes(*raw)));
        batch.read_values(&mut reader, value_count, value_bytes)?;
        if reader.at != bytes.len() {
            return Err(Error::MalformedBatch { at: reader.at, what: "bytes behind the values" });
        }
        Ok(batch)
    }

    fn read_values(&mut self, reader: &mut Reader<'_>, count: usize, bytes: usize) -> Result<()> {
        if bytes == count * 8 {
            let bits = reader.array::<8>(count)?;
            self.values.extend(bits.map(|raw| f64::from_bits(u64::from_le_bytes(*raw))));
            return Ok(());
        }
        let at = reader.at;
        let packed = reader.take(bytes)?;
        let is_possible = count <= packed.len().saturating_mul(short::VALUES_PER_BYTE);
        let read = is_possible.then(|| short::unpack(packed, count, &mut self.values)).flatten();
        read.ok_or(Error::MalformedBatch { at, what: "values that are none" })
    }
}

const HEADER_BYTES: usize = 20;

fn split_u32(raw: &[u8; 12]) -> [u32; 3] {
    let [a0, a1, a2, a3, b0, b1, b2, b3, c0, c1, c2, c3] = *raw;
    [
        u32::from_le_bytes([a0, a1, a2, a3]),
        u32::from_le_bytes([b0, b1, b2, b3]),
        u32::from_le_bytes([c0, c1, c2, c3]),
    ]
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8]> {
        let end = self.at.checked_add(count);
        let taken = end.and_then(|end| self.bytes.get(self.at..end));
        let error = Error::MalformedBatch { at: self.at, what: "the bytes end early" };
        let taken = taken.ok_or(error)?;
        self.at += count;
        Ok(taken)
    }

    fn u32(&mut self) -> Result<u32> {
        let mut raw = [0; 4];
        raw.copy_from_slice(self.take(4)?);
        Ok(u32::from_le_bytes(raw))
    }

    /// `count` records of `N` bytes.
    fn array<const N: usize>(
        &mut self,
        count: usize,
    ) -> Result<impl ExactSizeIterator<Item = &'a [u8; N]> + use<'a, N>> {
        let bytes = count
            .checked_mul(N)
            .ok_or(Error::MalformedBatch { at: self.at, what: "a count that overflows" })?;
        let (records, _) = self.take(bytes)?.as_chunks::<N>();
        Ok(records.iter())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_batch() -> impl Strategy<Value = WriteBatch> {
        let row = (0u32..5, any::<i64>(), 0u32..3, any::<u64>());
        prop::collection::vec(row, 0..60).prop_map(|rows| {
            let mut batch = WriteBatch::new(NamespaceId(7), Epoch(1));
            for (series, time, fields, bits) in rows {
                let values: Vec<f64> =
                    (0..=u64::from(fields)).map(|i| f64::from_bits(bits.wrapping_add(i))).collect();
                batch.push(SeriesRef(series), time, FieldSetRef(fields), &values).unwrap();
            }
            batch
        })
    }

    fn same_bits(a: &WriteBatch, b: &WriteBatch) -> bool {
        let bits = |x: &WriteBatch| x.values().iter().map(|v| v.to_bits()).collect::<Vec<_>>();
        a.segments() == b.segments()
            && a.series() == b.series()
            && a.times() == b.times()
            && bits(a) == bits(b)
            && a.namespace() == b.namespace()
    }

    proptest! {
        #[test]
        fn bytes_come_back(batch in any_batch()) {
            let mut bytes = Vec::new();
            batch.encode(&mut bytes);
            prop_assert!(bytes.len() <= batch.encoded_len_max());
            prop_assert!(same_bits(&WriteBatch::decode(&bytes, Epoch(1)).unwrap(), &batch));
        }

        /// Cut anywhere, the bytes are refused; changed anywhere, they are refused or give a batch
        /// whose parts agree with each other.
        #[test]
        fn damage_is_refused_or_consistent(batch in any_batch(), at in any::<prop::sample::Index>(), bit in 0u8..8) {
            let mut bytes = Vec::new();
            batch.encode(&mut bytes);
            let at = at.index(bytes.len());
            prop_assert!(WriteBatch::decode(&bytes[..at], Epoch(1)).is_err());
            bytes[at] ^= 1 << bit;
            if let Ok(other) = WriteBatch::decode(&bytes, Epoch(1)) {
                prop_assert_eq!(other.rows().count(), other.len());
                prop_assert_eq!(other.rows().map(|r| r.values.len()).sum::<usize>(), other.samples());
            }
        }

        #[test]
        fn retain_keeps_rows_in_order(batch in any_batch(), keep in prop::collection::vec(any::<bool>(), 60)) {
            let expected: Vec<_> = batch.rows().enumerate().filter(|(i, _)| keep[*i])
                .map(|(_, r)| (r.series, r.time, r.field_set, r.values.iter().map(|v| v.to_bits()).collect::<Vec<_>>())).collect();
            let mut kept = batch.clone();
            kept.retain(|i| keep[i]);
            let found: Vec<_> = kept.rows()
                .map(|r| (r.series, r.time, r.field_set, r.values.iter().map(|v| v.to_bits()).collect::<Vec<_>>())).collect();
            prop_assert_eq!(found, expected);
        }
    }

    /// Segments that announce more values than can be counted. Found by fuzzing.
    #[test]
    fn counts_beyond_all_counting_are_refused() {
        let numbers = [7, 2, u32::MAX, u32::MAX, 0].into_iter();
        let segments = [0, u32::MAX, u32::MAX].repeat(2);
        let bytes: Vec<u8> = numbers.chain(segments).flat_map(u32::to_le_bytes).collect();
        let refused = WriteBatch::decode(&bytes, Epoch(1));
        let due = "counts that contradict";
        assert!(matches!(refused, Err(Error::MalformedBatch { what, .. }) if what == due));
    }

    #[test]
    fn rows_of_one_shape_share_a_segment() {
        let mut batch = WriteBatch::new(NamespaceId(1), Epoch(0));
        for i in 0..3 {
            batch.push(SeriesRef(i), 0, FieldSetRef(0), &[1.0, 2.0]).unwrap();
        }
        batch.push(SeriesRef(0), 0, FieldSetRef(1), &[1.0]).unwrap();
        assert_eq!(batch.segments().len(), 2);
        assert_eq!(batch.samples(), 7);
    }
}
