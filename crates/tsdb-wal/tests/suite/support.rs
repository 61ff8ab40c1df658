//! What the tests share: small logs, payloads that tell what they should be, and one way to recover.

use std::path::{Path, PathBuf};

use tsdb_core::env::{DirEntry, Env, Rng, SimRng, SimVfs, Vfs};
use tsdb_wal::{Error, Floor, OpenError, Recovery, Wal, WalOptions};

pub const DIR: &str = "/data/wal";
pub const DATABASE: [u8; 16] = *b"database-of-test";
pub const HEADER_BYTES: u64 = 128;
pub const FRAME_BYTES: u64 = 25;

/// Small enough that a few frames rotate.
pub fn options() -> WalOptions {
    WalOptions {
        segment_bytes_max: 700,
        reserve_bytes: 256,
        frame_bytes_max: 1 << 16,
        buffer_bytes_max: 1 << 20,
        ..WalOptions::new(DIR, DATABASE)
    }
}

/// The payload that the tests append under a number: up to 80 random bytes.
pub fn payload(seq: u64) -> Vec<u8> {
    let rng = SimRng::new(seq);
    let mut bytes = vec![0; usize::try_from(rng.below(81)).unwrap()];
    rng.fill(&mut bytes);
    bytes
}

/// What a log shows when it is opened.
pub struct Opened {
    pub wal: Wal,
    pub recovery: Recovery,
    /// Generation and number of each frame.
    pub frames: Vec<(u64, u64)>,
}

impl Opened {
    pub fn seqs(&self) -> Vec<u64> {
        self.frames.iter().map(|(_, seq)| *seq).collect()
    }
}

/// Opens the log; every frame must hold the payload of its number.
pub fn try_open(env: &Env, options: WalOptions, floor: Floor) -> Result<Opened, Error> {
    let mut frames = Vec::new();
    let opened = Wal::open(env, options, floor, |frame| {
        assert_eq!(frame.payload, payload(frame.seq), "payload of frame {}", frame.seq);
        frames.push((frame.generation, frame.seq));
        Ok::<(), std::convert::Infallible>(())
    });
    match opened {
        Ok((wal, recovery)) => {
            assert_eq!(recovery.frames, frames.len() as u64);
            assert!(frames.is_sorted());
            assert!(frames.iter().all(|(_, seq)| *seq < recovery.next_seq));
            assert!(frames.iter().all(|(generation, _)| *generation < recovery.next_generation));
            assert_eq!(wal.last_seq(), recovery.next_seq - 1);
            Ok(Opened { wal, recovery, frames })
        }
        Err(OpenError::Wal(error)) => Err(error),
        Err(OpenError::Visit(never)) => match never {},
    }
}

pub fn open(vfs: &SimVfs) -> Opened {
    try_open(&vfs.env(), options(), Floor::default()).unwrap()
}

/// Appends frames with the right payloads; returns the last number.
pub fn append(wal: &Wal, count: u64) -> u64 {
    for _ in 0..count {
        try_append(wal).unwrap();
    }
    wal.last_seq()
}

pub fn try_append(wal: &Wal) -> Result<u64, Error> {
    let written = wal.append_with(|at, out| {
        out.extend_from_slice(&payload(at.seq));
        Ok::<(), std::convert::Infallible>(())
    });
    written.map_err(|error| match error {
        tsdb_wal::AppendError::Wal(error) => error,
        tsdb_wal::AppendError::Write(never) => match never {},
    })
}

/// The segments of the log.
pub fn segments(vfs: &SimVfs) -> Vec<DirEntry> {
    files(vfs, ".wal")
}

/// The files that wait to be written over.
pub fn spares(vfs: &SimVfs) -> Vec<DirEntry> {
    files(vfs, ".spare")
}

fn files(vfs: &SimVfs, suffix: &str) -> Vec<DirEntry> {
    let mut files = vfs.list(Path::new(DIR)).unwrap();
    files.retain(|file| file.name.ends_with(suffix));
    files
}

pub fn segment_path(entry: &DirEntry) -> PathBuf {
    Path::new(DIR).join(&entry.name)
}

/// Names and contents of all segments.
pub fn contents(vfs: &SimVfs) -> Vec<(String, Vec<u8>)> {
    let read = |entry: DirEntry| {
        let bytes = vfs.content(&segment_path(&entry)).unwrap();
        (entry.name, bytes)
    };
    segments(vfs).into_iter().map(read).collect()
}

/// 1, 2, … n.
pub fn through(n: u64) -> Vec<u64> {
    (1..=n).collect()
}
