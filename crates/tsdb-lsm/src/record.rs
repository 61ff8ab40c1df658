//! What the engine writes into the log: batches with the definitions that they need, deletes, and
//! catalogue changes, as bytes. `docs/format/wal-records.md` describes them; the log itself sees opaque
//! payloads.

use std::sync::Arc;

use tsdb_core::catalogue::PolicySpec;
use tsdb_core::matcher::{MatchOp, TagFilter, TagMatcher};
use tsdb_core::{
    CatalogueChange, DeleteRequest, EntryKey, FieldSet, FieldSetRef, NamespaceId, SeriesKey,
    SeriesRef, TimeRange,
};

use crate::bytes::{Malformed, Reader, put_i64, put_str, put_varint};

const BATCH: u8 = 1;
const DELETE: u8 = 2;
const CATALOGUE: u8 = 3;

/// Deepest tag filter in a delete; the parser of the query language allows less.
const FILTER_DEPTH_MAX: usize = 256;

/// Collects the definitions that a batch needs before its first use of a reference in a generation.
pub(crate) struct BatchWriter<'a> {
    out: &'a mut Vec<u8>,
    series_at: usize,
    series: u32,
    field_sets: u32,
}

impl<'a> BatchWriter<'a> {
    /// Begins a batch record at the end of `out`: series definitions come first.
    pub(crate) fn new(out: &'a mut Vec<u8>) -> BatchWriter<'a> {
        out.push(BATCH);
        let series_at = out.len();
        out.extend_from_slice(&[0; 8]);
        BatchWriter { out, series_at, series: 0, field_sets: 0 }
    }

    /// Defines a series. All series come before the first field set.
    pub(crate) fn series(&mut self, number: SeriesRef, namespace: NamespaceId, key: &SeriesKey) {
        debug_assert_eq!(self.field_sets, 0, "series are defined before field sets");
        self.series += 1;
        put_varint(self.out, u64::from(number.0));
        put_varint(self.out, u64::from(namespace.0));
        put_str(self.out, key.as_str());
    }

    /// Defines a field set.
    pub(crate) fn field_set(&mut self, number: FieldSetRef, set: &FieldSet) {
        self.field_sets += 1;
        put_varint(self.out, u64::from(number.0));
        put_varint(self.out, set.len() as u64);
        for name in set.names() {
            put_str(self.out, name);
        }
    }

    /// Ends the definitions and appends the rows.
    pub(crate) fn rows(self, batch: &tsdb_core::WriteBatch) {
        let counts = [self.series.to_le_bytes(), self.field_sets.to_le_bytes()].concat();
        if let Some(place) = self.out.get_mut(self.series_at..self.series_at + 8) {
            place.copy_from_slice(&counts);
        }
        batch.encode(self.out);
    }
}

pub(crate) fn put_delete(out: &mut Vec<u8>, delete: &DeleteRequest) {
    out.push(DELETE);
    put_delete_body(out, delete);
}

/// A delete without the record's kind byte, as the manifest stores it too.
pub(crate) fn put_delete_body(out: &mut Vec<u8>, delete: &DeleteRequest) {
    put_varint(out, u64::from(delete.namespace.0));
    put_i64(out, delete.time.start);
    put_i64(out, delete.time.end);
    match &delete.measurements {
        None => put_varint(out, 0),
        Some(names) => {
            put_varint(out, names.len() as u64 + 1);
            names.iter().for_each(|name| put_str(out, name));
        }
    }
    put_filter(out, &delete.filter);
}

fn put_filter(out: &mut Vec<u8>, filter: &TagFilter) {
    let mut list = |kind: u8, parts: &[TagFilter]| {
        out.push(kind);
        put_varint(out, parts.len() as u64);
        parts.iter().for_each(|part| put_filter(out, part));
    };
    match filter {
        TagFilter::True => out.push(0),
        TagFilter::False => out.push(1),
        TagFilter::And(parts) => list(2, parts),
        TagFilter::Or(parts) => list(3, parts),
        TagFilter::Not(part) => {
            out.push(4);
            put_filter(out, part);
        }
        TagFilter::Match(matcher) => {
            out.push(match matcher.op {
                MatchOp::Eq => 5,
                MatchOp::Ne => 6,
                MatchOp::Re => 7,
                MatchOp::Nre => 8,
            });
            put_str(out, &matcher.key);
            put_str(out, &matcher.value);
        }
    }
}

fn read_filter(reader: &mut Reader<'_>, depth: usize) -> Result<TagFilter, Malformed> {
    if depth > FILTER_DEPTH_MAX {
        return Err(reader.malformed("a filter that is nested too deeply"));
    }
    let kind = reader.u8()?;
    let matcher = |reader: &mut Reader<'_>, op| {
        let (key, value) = (reader.str()?, reader.str()?);
        Ok(TagFilter::Match(TagMatcher { key: key.into(), op, value: value.into() }))
    };
    Ok(match kind {
        0 => TagFilter::True,
        1 => TagFilter::False,
        2 | 3 => {
            let count = reader.count(1)?;
            let parts = (0..count)
                .map(|_| read_filter(reader, depth + 1))
                .collect::<Result<Vec<_>, _>>()?;
            if kind == 2 { TagFilter::And(parts) } else { TagFilter::Or(parts) }
        }
        4 => TagFilter::Not(Box::new(read_filter(reader, depth + 1)?)),
        5 => matcher(reader, MatchOp::Eq)?,
        6 => matcher(reader, MatchOp::Ne)?,
        7 => matcher(reader, MatchOp::Re)?,
        8 => matcher(reader, MatchOp::Nre)?,
        _ => return Err(reader.malformed("an unknown kind of filter")),
    })
}

pub(crate) fn read_delete_body(reader: &mut Reader<'_>) -> Result<DeleteRequest, Malformed> {
    let namespace = NamespaceId(reader.varint_u32()?);
    let time = TimeRange { start: reader.i64()?, end: reader.i64()? };
    let measurements = match reader.count(1)? {
        0 => None,
        n => Some((1..n).map(|_| reader.str().map(Arc::from)).collect::<Result<Vec<_>, _>>()?),
    };
    let filter = read_filter(reader, 0)?;
    Ok(DeleteRequest { namespace, measurements, filter, time })
}

pub(crate) fn put_catalogue_change(out: &mut Vec<u8>, change: &CatalogueChange) {
    out.push(CATALOGUE);
    match change {
        CatalogueChange::CreateDatabase { name, policy } => {
            out.push(0);
            put_str(out, name);
            put_policy(out, policy);
        }
        CatalogueChange::DropDatabase { name } => {
            out.push(1);
            put_str(out, name);
        }
        CatalogueChange::CreatePolicy { database, policy, make_default } => {
            out.push(2);
            put_str(out, database);
            put_policy(out, policy);
            out.push(u8::from(*make_default));
        }
        CatalogueChange::AlterPolicy {
            database,
            name,
            retention_ns,
            partition_ns,
            make_default,
        } => {
            out.push(3);
            put_str(out, database);
            put_str(out, name);
            out.push(u8::from(retention_ns.is_some()));
            put_i64(out, retention_ns.flatten().unwrap_or(0));
            put_i64(out, partition_ns.unwrap_or(0));
            out.push(u8::from(*make_default));
        }
        CatalogueChange::DropPolicy { database, name } => {
            out.push(4);
            put_str(out, database);
            put_str(out, name);
        }
        CatalogueChange::SetEntry { key, text, replace } => {
            out.push(5);
            put_entry_key(out, key);
            put_str(out, text);
            out.push(u8::from(*replace));
        }
        CatalogueChange::RemoveEntry { key } => {
            out.push(6);
            put_entry_key(out, key);
        }
    }
}

/// No database has an empty name, so that says that there is none.
pub(crate) fn put_entry_key(out: &mut Vec<u8>, key: &EntryKey) {
    put_str(out, &key.kind);
    put_str(out, key.database.as_deref().unwrap_or_default());
    put_str(out, &key.name);
}

pub(crate) fn read_entry_key(reader: &mut Reader<'_>) -> Result<EntryKey, Malformed> {
    let (kind, database) = (reader.str()?, reader.str()?);
    let database = Some(database).filter(|name| !name.is_empty());
    Ok(EntryKey::new(kind, database, reader.str()?))
}

/// Durations are at least an hour, so 0 says that there is none.
fn put_policy(out: &mut Vec<u8>, policy: &PolicySpec) {
    put_str(out, &policy.name);
    put_i64(out, policy.retention_ns.unwrap_or(0));
    put_i64(out, policy.partition_ns.unwrap_or(0));
}

fn read_duration(reader: &mut Reader<'_>) -> Result<Option<i64>, Malformed> {
    Ok(Some(reader.i64()?).filter(|ns| *ns != 0))
}

fn read_policy(reader: &mut Reader<'_>) -> Result<PolicySpec, Malformed> {
    Ok(PolicySpec {
        name: reader.str()?.into(),
        retention_ns: read_duration(reader)?,
        partition_ns: read_duration(reader)?,
    })
}

fn read_catalogue_change(reader: &mut Reader<'_>) -> Result<CatalogueChange, Malformed> {
    let change = match reader.u8()? {
        0 => CatalogueChange::CreateDatabase {
            name: reader.str()?.into(),
            policy: read_policy(reader)?,
        },
        1 => CatalogueChange::DropDatabase { name: reader.str()?.into() },
        2 => CatalogueChange::CreatePolicy {
            database: reader.str()?.into(),
            policy: read_policy(reader)?,
            make_default: reader.u8()? != 0,
        },
        3 => {
            let (database, name) = (reader.str()?.into(), reader.str()?.into());
            let given = reader.u8()? != 0;
            let retention = read_duration(reader)?;
            CatalogueChange::AlterPolicy {
                database,
                name,
                retention_ns: given.then_some(retention),
                partition_ns: read_duration(reader)?,
                make_default: reader.u8()? != 0,
            }
        }
        4 => CatalogueChange::DropPolicy {
            database: reader.str()?.into(),
            name: reader.str()?.into(),
        },
        5 => CatalogueChange::SetEntry {
            key: read_entry_key(reader)?,
            text: reader.str()?.into(),
            replace: reader.u8()? != 0,
        },
        6 => CatalogueChange::RemoveEntry { key: read_entry_key(reader)? },
        _ => return Err(reader.malformed("an unknown kind of catalogue change")),
    };
    reader.end()?;
    Ok(change)
}

/// A record taken back from the log.
#[derive(Debug, PartialEq)]
pub(crate) enum Record<'a> {
    /// Definitions, then the bytes of a [`tsdb_core::WriteBatch`].
    Batch(Definitions, &'a [u8]),
    /// A delete.
    Delete(DeleteRequest),
    /// A change of the catalogue.
    Catalogue(CatalogueChange),
}

/// What references mean from here on in a generation.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Definitions {
    pub series: Vec<(SeriesRef, NamespaceId, SeriesKey)>,
    pub field_sets: Vec<(FieldSetRef, FieldSet)>,
}

/// Decodes one payload.
pub(crate) fn decode(payload: &[u8]) -> Result<Record<'_>, Malformed> {
    let mut reader = Reader::new(payload);
    match reader.u8()? {
        BATCH => {
            let definitions = read_definitions(&mut reader)?;
            Ok(Record::Batch(definitions, reader.rest()))
        }
        DELETE => {
            let delete = read_delete_body(&mut reader)?;
            reader.end()?;
            Ok(Record::Delete(delete))
        }
        CATALOGUE => Ok(Record::Catalogue(read_catalogue_change(&mut reader)?)),
        _ => Err(Malformed { at: 0, what: "an unknown kind of record" }),
    }
}

fn read_definitions(reader: &mut Reader<'_>) -> Result<Definitions, Malformed> {
    let (series, field_sets) = (reader.u32()?, reader.u32()?);
    let mut definitions = Definitions::default();
    for _ in 0..series {
        let number = SeriesRef(reader.varint_u32()?);
        let namespace = NamespaceId(reader.varint_u32()?);
        let key = SeriesKey::from_canonical(reader.str()?)
            .map_err(|_| reader.malformed("a series key that is not canonical"))?;
        definitions.series.push((number, namespace, key));
    }
    for _ in 0..field_sets {
        let number = FieldSetRef(reader.varint_u32()?);
        let count = reader.count(1)?;
        let names: Vec<Arc<str>> =
            (0..count).map(|_| reader.str().map(Arc::from)).collect::<Result<_, _>>()?;
        let set = FieldSet::from_sorted(names)
            .map_err(|_| reader.malformed("a field set that is not canonical"))?;
        definitions.field_sets.push((number, set));
    }
    Ok(definitions)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tsdb_core::{Epoch, TagCharset, WriteBatch};

    fn samples() -> Vec<Vec<u8>> {
        let mut records = Vec::new();
        let name = |text: &str| -> Arc<str> { text.into() };
        let policy = PolicySpec { name: name("p"), retention_ns: Some(7), partition_ns: None };
        let changes = [
            CatalogueChange::CreateDatabase { name: name("db"), policy: policy.clone() },
            CatalogueChange::DropDatabase { name: name("db") },
            CatalogueChange::CreatePolicy { database: name("db"), policy, make_default: true },
            CatalogueChange::AlterPolicy {
                database: name("db"),
                name: name("p"),
                retention_ns: Some(None),
                partition_ns: Some(9),
                make_default: false,
            },
            CatalogueChange::DropPolicy { database: name("db"), name: name("p") },
            CatalogueChange::SetEntry {
                key: EntryKey::new("kind", Some("db"), "n \u{e9}"),
                text: name("text"),
                replace: true,
            },
            CatalogueChange::SetEntry {
                key: EntryKey::new("kind", None, "n"),
                text: name(""),
                replace: false,
            },
            CatalogueChange::RemoveEntry { key: EntryKey::new("kind", None, "n") },
        ];
        for change in &changes {
            let mut out = Vec::new();
            put_catalogue_change(&mut out, change);
            assert_eq!(decode(&out), Ok(Record::Catalogue(change.clone())));
            records.push(out);
        }
        let matcher = |op| TagFilter::tag("k", op, "v");
        let filter = TagFilter::And(vec![
            TagFilter::Or(vec![matcher(MatchOp::Eq), matcher(MatchOp::Nre)]),
            TagFilter::Not(Box::new(matcher(MatchOp::Re))),
            TagFilter::True,
        ]);
        for measurements in [None, Some(vec![]), Some(vec![name("a"), name("b")])] {
            let delete = DeleteRequest {
                namespace: NamespaceId(3),
                measurements,
                filter: filter.clone(),
                time: TimeRange::new(-5, 5),
            };
            let mut out = Vec::new();
            put_delete(&mut out, &delete);
            assert_eq!(decode(&out), Ok(Record::Delete(delete)));
            records.push(out);
        }
        records
    }

    #[test]
    fn records_come_back() {
        assert_eq!(samples().len(), 11);
    }

    #[test]
    fn a_batch_carries_its_definitions() {
        let key = SeriesKey::new("cpu", &mut [("host", "a")], TagCharset::Ascii).unwrap();
        let set = FieldSet::new(["x", "y"]).unwrap();
        let mut batch = WriteBatch::new(NamespaceId(4), Epoch(0));
        batch.push(SeriesRef(9), 1, FieldSetRef(2), &[1.0, 2.0]).unwrap();
        let mut out = Vec::new();
        let mut writer = BatchWriter::new(&mut out);
        writer.series(SeriesRef(9), NamespaceId(4), &key);
        writer.field_set(FieldSetRef(2), &set);
        writer.rows(&batch);
        let Ok(Record::Batch(definitions, rows)) = decode(&out) else { panic!("not a batch") };
        assert_eq!(definitions.series, [(SeriesRef(9), NamespaceId(4), key)]);
        assert_eq!(definitions.field_sets, [(FieldSetRef(2), set)]);
        assert_eq!(WriteBatch::decode(rows, Epoch(0)), Ok(batch));
    }

    #[test]
    fn damaged_records_are_refused_or_read() {
        for record in samples() {
            for cut in 0..record.len() {
                assert!(decode(&record[..cut]).is_err(), "cut at {cut} of {record:?}");
            }
            for at in 0..record.len() {
                for bit in 0..8 {
                    let mut damaged = record.clone();
                    damaged[at] ^= 1 << bit;
                    // Whatever it is now, it is read or refused; the log's checksum tells.
                    let _ = decode(&damaged);
                }
            }
        }
    }
}
