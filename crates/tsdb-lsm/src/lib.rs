//! The storage engine: memtable, sorted runs, manifest, compaction, deletes, retention, scan.
