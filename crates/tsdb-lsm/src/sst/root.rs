//! The root of a slice: its fields, which measurement has which, and where its row groups are. Pinned to
//! `docs/format/sstable.md`.

use std::sync::Arc;

use crate::bytes::{Malformed, Reader, put_i64, put_str, put_varint};

/// Where the parts of a row group are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct GroupPlace {
    /// Bytes between it and the group before, or the beginning of the slice.
    pub gap: u64,
    /// Ordinals of its first and last series; a series may go on in the next group.
    pub first: u32,
    pub last: u32,
    pub t_min: i64,
    pub t_max: i64,
    /// Bytes of its pages, checksums included.
    pub pages_bytes: u64,
    /// Bytes of the directory page behind them, without the checksum.
    pub directory_bytes: u32,
}

/// A measurement, from its first series to that of the next one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct MeasurementFields {
    pub first: u32,
    /// Fields that its series have, ascending.
    pub fields: Vec<u32>,
}

/// The root of a slice.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Root {
    /// Where the pages of the first group begin.
    pub data_offset: u64,
    /// Names of the fields by number.
    pub fields: Vec<Arc<str>>,
    pub measurements: Vec<MeasurementFields>,
    pub groups: Vec<GroupPlace>,
}

impl Root {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        put_varint(&mut out, self.data_offset);
        put_varint(&mut out, self.fields.len() as u64);
        self.fields.iter().for_each(|name| put_str(&mut out, name));
        put_varint(&mut out, self.measurements.len() as u64);
        for measurement in &self.measurements {
            put_varint(&mut out, u64::from(measurement.first));
            put_varint(&mut out, measurement.fields.len() as u64);
            measurement.fields.iter().for_each(|field| put_varint(&mut out, u64::from(*field)));
        }
        put_varint(&mut out, self.groups.len() as u64);
        for group in &self.groups {
            put_varint(&mut out, group.gap);
            put_varint(&mut out, u64::from(group.first));
            put_varint(&mut out, u64::from(group.last - group.first));
            put_i64(&mut out, group.t_min);
            put_varint(&mut out, group.t_max.wrapping_sub(group.t_min).cast_unsigned());
            put_varint(&mut out, group.pages_bytes);
            put_varint(&mut out, u64::from(group.directory_bytes));
        }
        out
    }

    /// Reads the root of a slice of `series` series.
    pub(super) fn decode(bytes: &[u8], series: u64) -> Result<Root, Malformed> {
        let mut reader = Reader::new(bytes);
        let mut root = Root { data_offset: reader.varint()?, ..Root::default() };
        for _ in 0..reader.count(1)? {
            root.fields.push(reader.str()?.into());
        }
        for _ in 0..reader.count(2)? {
            let measurement = read_measurement(&mut reader, root.fields.len())?;
            let before = root.measurements.last().map(|last| last.first);
            let follows = before.map_or(measurement.first == 0, |last| last < measurement.first);
            if !follows || u64::from(measurement.first) >= series {
                return Err(reader.malformed("measurements out of order"));
            }
            root.measurements.push(measurement);
        }
        for _ in 0..reader.count(14)? {
            let group = read_group(&mut reader)?;
            let follows = match root.groups.last() {
                None => group.first == 0,
                Some(last) => {
                    group.first == last.last || group.first.checked_sub(1) == Some(last.last)
                }
            };
            if !follows {
                return Err(reader.malformed("groups out of order"));
            }
            root.groups.push(group);
        }
        if root.groups.last().map_or(0, |last| u64::from(last.last) + 1) != series {
            return Err(reader.malformed("groups that have not all series"));
        }
        reader.end()?;
        Ok(root)
    }
}

fn read_measurement(reader: &mut Reader<'_>, names: usize) -> Result<MeasurementFields, Malformed> {
    let first = reader.varint_u32()?;
    let mut fields: Vec<u32> = Vec::new();
    for _ in 0..reader.count(1)? {
        let field = reader.varint_u32()?;
        if fields.last().is_some_and(|last| *last >= field) || field as usize >= names {
            return Err(reader.malformed("fields of a measurement out of order"));
        }
        fields.push(field);
    }
    Ok(MeasurementFields { first, fields })
}

fn read_group(reader: &mut Reader<'_>) -> Result<GroupPlace, Malformed> {
    let gap = reader.varint()?;
    let first = reader.varint_u32()?;
    let last = first.checked_add(reader.varint_u32()?);
    let last = last.ok_or_else(|| reader.malformed("a group of too many series"))?;
    let t_min = reader.i64()?;
    let t_max = t_min.checked_add_unsigned(reader.varint()?);
    let t_max = t_max.ok_or_else(|| reader.malformed("a group that ends after all time"))?;
    let (pages_bytes, directory_bytes) = (reader.varint()?, reader.varint_u32()?);
    Ok(GroupPlace { gap, first, last, t_min, t_max, pages_bytes, directory_bytes })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Root {
        let group = |first, last| GroupPlace {
            gap: u64::from(last) * 1000,
            first,
            last,
            t_min: -5,
            t_max: i64::MAX - 9,
            pages_bytes: 1 << 20,
            directory_bytes: 300,
        };
        Root {
            data_offset: 32,
            fields: vec!["usage".into(), "idle".into()],
            measurements: vec![
                MeasurementFields { first: 0, fields: vec![0, 1] },
                MeasurementFields { first: 7, fields: vec![1] },
            ],
            groups: vec![group(0, 3), group(3, 3), group(4, 9)],
        }
    }

    #[test]
    fn roots_come_back_and_damaged_ones_are_refused() {
        let root = sample();
        let bytes = root.encode();
        assert_eq!(Root::decode(&bytes, 10), Ok(root.clone()));
        assert!(Root::decode(&bytes, 11).is_err(), "another number of series");
        for cut in 0..bytes.len() {
            assert!(Root::decode(&bytes[..cut], 10).is_err(), "{cut}");
        }
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1 << (at % 8);
            // Another number may be as good as the right one; no panic, and nothing out of order.
            if let Ok(other) = Root::decode(&damaged, 10) {
                assert_ne!(other, root);
            }
        }
    }
}
