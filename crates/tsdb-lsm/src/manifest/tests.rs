//! Tests of the manifest's bytes and of its commit on a simulated disk.

use std::path::Path;
use std::sync::Arc;

use tsdb_core::catalogue::PolicySpec;
use tsdb_core::matcher::TagFilter;
use tsdb_core::{CatalogueChange, EntryKey, TimeRange};

use super::*;

pub(super) fn sample() -> Manifest {
    let mut manifest = Manifest::new([7; 16], HashKey([9; 16]));
    let create = CatalogueChange::CreateDatabase {
        name: "db".into(),
        policy: PolicySpec { name: "p".into(), retention_ns: Some(1 << 50), partition_ns: None },
    };
    manifest.catalogue.apply(&create).unwrap();
    manifest.flushed_through = 90;
    manifest.synced_upto = 95;
    manifest.oldest_generation = 4;
    for seq in [1u64, 21, 41] {
        let slice = |partition_start: i64| SliceMeta {
            namespace: NamespaceId(0),
            partition_start,
            t_min: partition_start + 5,
            t_max: partition_start + 50,
            seq_min: seq,
            seq_max: seq + 19,
            rows: 1000,
            series: 10,
        };
        let meta = RunMeta { bytes: 4096, checksum: 77, slices: vec![slice(0), slice(100)] };
        manifest.files.insert(manifest.next_file, FileEntry { meta, dead: BTreeSet::new() });
        manifest.next_file += 1;
    }
    manifest.kill(SliceId { file: 2, slice: 1 });
    manifest.deletes.push(DeleteEntry {
        seq: 70,
        request: DeleteRequest {
            namespace: NamespaceId(0),
            measurements: Some(vec![Arc::from("cpu")]),
            filter: TagFilter::True,
            time: TimeRange::new(0, 60),
        },
    });
    manifest
}

/// The same with entries in its catalogue, which version 1 cannot say.
fn sample_with_entries() -> Manifest {
    let mut manifest = sample();
    for (database, text) in [(Some("db"), "SELECT"), (None, "")] {
        let key = EntryKey::new("query", database, "a \u{e9}");
        let set = CatalogueChange::SetEntry { key, text: text.into(), replace: false };
        manifest.catalogue.apply(&set).unwrap();
    }
    manifest
}

#[test]
fn bytes_come_back() {
    for manifest in [sample(), sample_with_entries()] {
        let bytes = format::encode(&manifest);
        assert_eq!(format::decode(Path::new("MANIFEST"), &bytes).unwrap(), manifest);
    }
}

const VERSION_1: &str = concat!(
    "545344424d414e49010000003101000000000000070707070707070707070707",
    "0707070709090909090909090909090909090909045a5f040101026462017001",
    "017000000000000000040000004f91944e00000200000000000080030180204d",
    "00000002000000000000000000050000000000000032000000000000000114e8",
    "070a006400000000000000690000000000000096000000000000000114e8070a",
    "000280204d000000020000000000000000000500000000000000320000000000",
    "00001528e8070a00640000000000000069000000000000009600000000000000",
    "1528e8070a01010380204d000000020000000000000000000500000000000000",
    "3200000000000000293ce8070a00640000000000000069000000000000009600",
    "000000000000293ce8070a0001460000000000000000003c0000000000000002",
    "03637075009e060536",
);

const VERSION_2: &str = concat!(
    "545344424d414e49020000005401000000000000070707070707070707070707",
    "0707070709090909090909090909090909090909045a5f040101026462017001",
    "017000000000000000040000004f91944e00000200000000000080030180204d",
    "00000002000000000000000000050000000000000032000000000000000114e8",
    "070a006400000000000000690000000000000096000000000000000114e8070a",
    "000280204d000000020000000000000000000500000000000000320000000000",
    "00001528e8070a00640000000000000069000000000000009600000000000000",
    "1528e8070a01010380204d000000020000000000000000000500000000000000",
    "3200000000000000293ce8070a00640000000000000069000000000000009600",
    "000000000000293ce8070a0001460000000000000000003c0000000000000002",
    "03637075000205717565727900046120c3a900057175657279026462046120c3",
    "a90653454c454354f084ef62",
);

/// Bytes of both versions as they were first written: later programs must read them as they are.
#[test]
fn versions_1_and_2_are_written_and_read() {
    for (golden, manifest) in [(VERSION_1, sample()), (VERSION_2, sample_with_entries())] {
        let bytes = format::encode(&manifest);
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, golden, "the format changed: it needs a new version number");
        assert_eq!(format::decode(Path::new("MANIFEST"), &bytes).unwrap(), manifest);
    }
}

#[test]
fn every_flipped_bit_and_every_cut_is_refused() {
    let bytes = format::encode(&sample_with_entries());
    let path = Path::new("MANIFEST");
    for at in 0..bytes.len() {
        assert!(matches!(format::decode(path, &bytes[..at]), Err(Error::Corrupt { .. })), "{at}");
        for bit in 0..8 {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1 << bit;
            let result = format::decode(path, &damaged);
            assert!(matches!(result, Err(Error::Corrupt { .. })), "byte {at} bit {bit}");
        }
    }
}

#[test]
fn a_later_version_is_named() {
    let mut bytes = format::encode(&sample());
    bytes[8] = 9;
    let body = bytes.len() - 4;
    let checksum = tsdb_core::checksum::crc32c(&bytes[..body]);
    bytes[body..].copy_from_slice(&checksum.to_le_bytes());
    let result = format::decode(Path::new("MANIFEST"), &bytes);
    assert!(matches!(result, Err(Error::NewerFormat { version: 9, supported: 2, .. })));
}

/// What the checksum vouches for and no store can have written. A later write would trip over it.
#[test]
fn manifests_that_contradict_themselves_are_refused() {
    type Change = fn(&mut Manifest);
    let changes: [(Change, &str); 11] = [
        (|m| m.next_file = u64::MAX, "leaves no room"),
        (|m| m.synced_upto = u64::MAX, "leaves no room"),
        (|m| m.oldest_generation = u64::MAX, "leaves no room"),
        (|m| m.next_file = 2, "not given out"),
        (|m| m.flushed_through = 96, "more is flushed"),
        (|m| m.flushed_through = 50, "not flushed"),
        (|m| m.catalogue.next_id = 0, "not given out"),
        (
            |m| m.catalogue.entries.restore(EntryKey::new("k", Some("gone"), "n"), "".into()),
            "belongs to no database",
        ),
        (|m| m.deletes.push(m.deletes[0].clone()), "in order of their numbers"),
        (|m| m.files.get_mut(&1).unwrap().dead.extend([0, 1]), "without live slices"),
        (|m| m.files.get_mut(&1).unwrap().meta.slices[0].seq_max = 30, "overlap in sequence"),
    ];
    for (change, due) in changes {
        let mut manifest = sample();
        change(&mut manifest);
        let refused = format::decode(Path::new("MANIFEST"), &format::encode(&manifest));
        let error = refused.unwrap_err().to_string();
        assert!(error.contains(due), "{error}");
    }
    let mut manifest = sample();
    manifest.files.get_mut(&1).unwrap().meta.slices.iter_mut().for_each(|s| s.rows = u64::MAX);
    assert_eq!(manifest.bytes_of(SliceId { file: 1, slice: 0 }), 4096, "rows beyond all counting");
}

#[test]
fn a_file_goes_with_its_last_slice() {
    let mut manifest = sample();
    assert_eq!(manifest.slices().count(), 5);
    manifest.kill(SliceId { file: 2, slice: 0 });
    assert!(!manifest.files.contains_key(&2));
    assert_eq!(manifest.slices().count(), 4);
}

#[test]
fn tidy_drops_what_hides_nothing() {
    let mut manifest = sample();
    manifest.tidy();
    assert_eq!(manifest.deletes.len(), 1, "older slices overlap its time");
    for file in [1, 2, 3] {
        manifest.kill(SliceId { file, slice: 0 });
    }
    manifest.tidy();
    assert_eq!(manifest.deletes.len(), 0, "slices of other times are no reason to keep it");
    manifest.catalogue.apply(&CatalogueChange::DropDatabase { name: "db".into() }).unwrap();
    manifest.tidy();
    assert!(manifest.files.is_empty(), "slices of a namespace that is gone are dropped");
}

#[test]
fn run_names_are_strict() {
    assert_eq!(run_number("0000000012.run"), Some(12));
    assert_eq!(run_path(Path::new("d"), 12), Path::new("d/runs/0000000012.run"));
    for name in ["12.run", "0000000012.run.new", "0000000012", "x000000012.run", "+000000012.run"] {
        assert_eq!(run_number(name), None, "{name}");
    }
}

#[test]
fn steps_that_break_a_predicate_are_caught() {
    let old = sample();
    let caught = |change: &dyn Fn(&mut Manifest)| {
        let mut new = old.clone();
        change(&mut new);
        let check = std::panic::AssertUnwindSafe(|| check::assert_valid(Some(&old), &new));
        std::panic::catch_unwind(check).is_err()
    };
    assert!(!caught(&|_| {}));
    // proves: I3
    assert!(caught(&|m| m.flushed_through = 50), "a slice beyond what is flushed");
    assert!(caught(&|m| m.next_file = 3), "a number that was not given out");
    // proves: I12
    let overlap = |m: &mut Manifest| {
        if let Some(file) = m.files.get_mut(&3) {
            file.meta.slices[0].seq_min = 30;
        }
    };
    assert!(caught(&overlap), "slices that share numbers");
    assert!(caught(&|m| m.catalogue.namespaces_mut().for_each(|n| n.cutoff -= 1)), "a cutoff back");
    assert!(caught(&|m| m.database_id = [0; 16]), "another identity");
}
