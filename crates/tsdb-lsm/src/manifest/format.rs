//! Bytes of the manifest. Pinned to `docs/format/manifest.md`.
//!
//! ```text
//! magic "TSDBMANI" | version u32 | body length u64 | body | crc32c u32 over all before it
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use tsdb_core::catalogue::{Database, Entries};
use tsdb_core::checksum::{self, crc32c};
use tsdb_core::hash::HashKey;
use tsdb_core::{Catalogue, NamespaceId, NamespaceInfo};

use super::{DeleteEntry, FileEntry, Manifest, check};
use crate::bytes::{Malformed, Reader, put_i64, put_str, put_u64, put_varint};
use crate::error::{Error, Result};
use crate::record::{put_delete_body, put_entry_key, read_delete_body, read_entry_key};
use crate::sst::{RunMeta, SLICE_META_BYTES_MIN, put_slice_meta, read_slice_meta};

const MAGIC: &[u8; 8] = b"TSDBMANI";
/// The latest version: with entries of the catalogue.
const VERSION: u32 = 2;
const HEADER_BYTES: usize = 8 + 4 + 8;
const CHECKSUM_BYTES: usize = 4;

pub(super) fn encode(manifest: &Manifest) -> Vec<u8> {
    let mut body = Vec::new();
    body.extend_from_slice(&manifest.database_id);
    body.extend_from_slice(&manifest.hash_key.0);
    put_varint(&mut body, manifest.next_file);
    put_varint(&mut body, manifest.flushed_through);
    put_varint(&mut body, manifest.synced_upto);
    put_varint(&mut body, manifest.oldest_generation);
    put_catalogue(&mut body, &manifest.catalogue);
    put_varint(&mut body, manifest.files.len() as u64);
    for (number, file) in &manifest.files {
        put_varint(&mut body, *number);
        put_file(&mut body, file);
    }
    put_varint(&mut body, manifest.deletes.len() as u64);
    for delete in &manifest.deletes {
        put_varint(&mut body, delete.seq);
        put_delete_body(&mut body, &delete.request);
    }
    // Without entries the earlier version says all, and the earlier program can have its store back.
    let version = if manifest.catalogue.entries.is_empty() { 1 } else { VERSION };
    if version > 1 {
        put_entries(&mut body, &manifest.catalogue.entries);
    }
    let mut bytes = Vec::with_capacity(HEADER_BYTES + body.len() + CHECKSUM_BYTES);
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&version.to_le_bytes());
    put_u64(&mut bytes, body.len() as u64);
    bytes.extend_from_slice(&body);
    let checksum = crc32c(&bytes);
    bytes.extend_from_slice(&checksum.to_le_bytes());
    bytes
}

pub(super) fn decode(path: &Path, bytes: &[u8]) -> Result<Manifest> {
    let corrupt = |offset: usize, what: &str| Error::Corrupt {
        path: path.to_owned(),
        offset: offset as u64,
        what: what.to_owned(),
    };
    let (Some(magic), Some(version)) = (bytes.first_chunk::<8>(), bytes.get(8..12)) else {
        return Err(corrupt(bytes.len(), "the file ends inside its header"));
    };
    if magic != MAGIC {
        return Err(corrupt(0, "this is not a manifest"));
    }
    let version = version.iter().rev().fold(0, |n, byte| n << 8 | u32::from(*byte));
    // Every version ends with the checksum, so a flipped bit never passes for a later version.
    let (body, stored) = bytes
        .split_last_chunk::<CHECKSUM_BYTES>()
        .filter(|(body, _)| body.len() >= HEADER_BYTES)
        .ok_or_else(|| corrupt(bytes.len(), "the file ends inside its header"))?;
    if !checksum::matches(body, u32::from_le_bytes(*stored)) {
        return Err(corrupt(0, "the checksum does not match"));
    }
    if version > VERSION {
        return Err(Error::NewerFormat { path: path.to_owned(), version, supported: VERSION });
    }
    let mut reader = Reader::new(body.get(12..).unwrap_or(&[]));
    let manifest = reader
        .u64()
        .and_then(|length| {
            if length == (body.len() - HEADER_BYTES) as u64 {
                read_body(&mut reader, version)
            } else {
                Err(reader.malformed("a body length that contradicts the file's"))
            }
        })
        .map_err(|Malformed { at, what }| corrupt(12 + at, what))?;
    match check::fault(&manifest) {
        None => Ok(manifest),
        Some(what) => Err(corrupt(HEADER_BYTES, what)),
    }
}

fn put_catalogue(out: &mut Vec<u8>, catalogue: &Catalogue) {
    put_varint(out, u64::from(catalogue.next_id));
    put_varint(out, catalogue.databases.len() as u64);
    for (name, database) in &catalogue.databases {
        put_str(out, name);
        put_str(out, &database.default_policy);
        put_varint(out, database.policies.len() as u64);
        for (name, namespace) in &database.policies {
            put_str(out, name);
            put_varint(out, u64::from(namespace.id.0));
            put_i64(out, namespace.retention_ns.unwrap_or(0));
            put_i64(out, namespace.partition_ns);
            put_i64(out, namespace.cutoff);
        }
    }
}

fn put_entries(out: &mut Vec<u8>, entries: &Entries) {
    put_varint(out, entries.len() as u64);
    for (key, text) in entries.iter() {
        put_entry_key(out, key);
        put_str(out, text);
    }
}

fn put_file(out: &mut Vec<u8>, file: &FileEntry) {
    put_varint(out, file.meta.bytes);
    out.extend_from_slice(&file.meta.checksum.to_le_bytes());
    put_varint(out, file.meta.slices.len() as u64);
    file.meta.slices.iter().for_each(|slice| put_slice_meta(out, slice));
    put_varint(out, file.dead.len() as u64);
    file.dead.iter().for_each(|place| put_varint(out, u64::from(*place)));
}

fn read_body(reader: &mut Reader<'_>, version: u32) -> std::result::Result<Manifest, Malformed> {
    let mut manifest = Manifest::new(reader.bytes16()?, HashKey(reader.bytes16()?));
    manifest.next_file = reader.varint()?;
    manifest.flushed_through = reader.varint()?;
    manifest.synced_upto = reader.varint()?;
    manifest.oldest_generation = reader.varint()?;
    manifest.catalogue = read_catalogue(reader)?;
    for _ in 0..reader.count(8)? {
        let number = reader.varint()?;
        manifest.files.insert(number, read_file(reader)?);
    }
    for _ in 0..reader.count(8)? {
        let seq = reader.varint()?;
        manifest.deletes.push(DeleteEntry { seq, request: read_delete_body(reader)? });
    }
    if version > 1 {
        for _ in 0..reader.count(4)? {
            let key = read_entry_key(reader)?;
            manifest.catalogue.entries.restore(key, reader.str()?.into());
        }
    }
    reader.end()?;
    Ok(manifest)
}

fn read_catalogue(reader: &mut Reader<'_>) -> std::result::Result<Catalogue, Malformed> {
    let mut catalogue = Catalogue { next_id: reader.varint_u32()?, ..Catalogue::default() };
    for _ in 0..reader.count(4)? {
        let name: Arc<str> = reader.str()?.into();
        let default_policy = reader.str()?.into();
        let mut policies = BTreeMap::new();
        for _ in 0..reader.count(26)? {
            let policy: Arc<str> = reader.str()?.into();
            let id = NamespaceId(reader.varint_u32()?);
            let retention_ns = Some(reader.i64()?).filter(|ns| *ns != 0);
            let (partition_ns, cutoff) = (reader.i64()?, reader.i64()?);
            if partition_ns <= 0 {
                return Err(reader.malformed("a partition without width"));
            }
            policies.insert(policy, NamespaceInfo { id, retention_ns, partition_ns, cutoff });
        }
        catalogue.databases.insert(name, Database { default_policy, policies });
    }
    Ok(catalogue)
}

fn read_file(reader: &mut Reader<'_>) -> std::result::Result<FileEntry, Malformed> {
    let bytes = reader.varint()?;
    let checksum = reader.u32()?;
    let mut slices = Vec::new();
    for _ in 0..reader.count(SLICE_META_BYTES_MIN)? {
        slices.push(read_slice_meta(reader)?);
    }
    let mut dead = BTreeSet::new();
    for _ in 0..reader.count(1)? {
        dead.insert(reader.varint_u32()?);
    }
    Ok(FileEntry { meta: RunMeta { bytes, checksum, slices }, dead })
}
