//! A log of format version 1, byte for byte: later programs must read it as it is.

use std::path::Path;

use tsdb_core::env::{SimVfs, Vfs, write_all_at};

use crate::support::*;

/// Two frames, a marker of silence, and the marker of a clean stop, as version 1 wrote them.
const SEGMENT_1: &str = concat!(
    "5453444257414c0a010000000000000064617461626173652d6f662d74657374",
    "0100000000000000010000000000000001000000000000006840874e3bd8da5d",
    "0000000000000000000000000000000000000000000000000000000000000000",
    "000000000000000000000000000000000000000000000000000000001b25505c",
    "3100000097fb6b55010100000000000000000000000000000067ec8e65a18deb",
    "be5e5532fbeea293f80bc942ee9086c171b9b501d1d854bb711500000027a399",
    "670102000000000000000000000000000000421efc0b11000000231dbf780202",
    "000000000000000200000000000000110000007cc15b27030200000000000000",
    "0200000000000000",
);

#[test]
fn version_1_is_written_and_read() {
    let vfs = SimVfs::new(51);
    let wal = open(&vfs).wal;
    append(&wal, 2);
    wal.sync().unwrap();
    wal.mark_idle().unwrap();
    wal.mark_clean().unwrap();
    let bytes = contents(&vfs).pop().unwrap().1;
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hex, SEGMENT_1, "the format changed: it needs a new version number");

    let other = SimVfs::new(52);
    let dir = Path::new(DIR);
    other.create_dir(dir).unwrap();
    let file = other.create_new(&dir.join("00000000000000000001.wal"), 0).unwrap();
    let golden: Vec<u8> = (0..SEGMENT_1.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&SEGMENT_1[at..at + 2], 16).unwrap())
        .collect();
    write_all_at(&*file, &golden, 0).unwrap();
    let opened = open(&other);
    assert_eq!(opened.frames, [(1, 1), (1, 2)]);
    assert!(opened.recovery.clean);
}
