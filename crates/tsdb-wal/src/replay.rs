//! Reading a log back: which segments belong to it, which of their frames count, and whether what does
//! not can be a torn tail or must be damage. Changes nothing on disk; what is to be cut and removed is
//! part of the answer.
//!
//! Segments form a chain by `continues_after`. A segment starts only when all before it is synced, so
//! a bad frame inside the part that its successor vouches for is damage. In the last segment a bad
//! frame `g` is damage if anything later says that `g` was synced: a sound frame behind it, or the
//! manifest. Else it is a torn tail. What cannot be told apart: rot in the last synced group, before
//! any later frame, marker or header was written.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use tsdb_core::env::Vfs;

use crate::{
    committer::Closed,
    error::{Damage, Error, FileOperation, OpenError, Result},
    frame::{
        FrameHeader, FrameSeed, HEADER_BYTES, HeaderError, Predecessor, SegmentHeader, VERSION,
        kind, payload,
    },
    reader::{FrameReader, Step},
    segment::parse_file_name,
    tail::Tail,
};

/// What the manifest knows about the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Floor {
    /// All frames up to this number are in run files; never more than what was synced (I3).
    pub flushed_through: u64,
    /// All frames up to this number were synced when the manifest was written: the newest of them may not be
    /// taken for a torn tail. 0 says nothing; [`Floor::flushed_through`] says as much in any case.
    pub synced_upto: u64,
    /// No frame gets a number below this.
    pub next_seq: u64,
    /// Generations before this are flushed whole; their segments count for nothing.
    pub oldest_generation: u64,
}

/// A frame as recovery shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplayedFrame<'a> {
    /// The generation that it was appended to.
    pub generation: u64,
    /// Its number.
    pub seq: u64,
    /// What was appended.
    pub payload: &'a [u8],
}

/// What the segments of a directory amount to.
#[derive(Debug)]
pub(crate) struct Replayed {
    pub(crate) frames: u64,
    pub(crate) bytes: u64,
    pub(crate) segments: u64,
    /// Highest number of a frame shown, or in the manifest.
    pub(crate) last_seq: u64,
    /// Highest number that was ever given, as far as anything tells.
    pub(crate) seq_max: u64,
    pub(crate) generation_max: u64,
    pub(crate) segment_max: u64,
    /// The last frame is the marker of a clean stop, or there is nothing in the log at all.
    pub(crate) clean: bool,
    pub(crate) torn: Option<Torn>,
    pub(crate) predecessor: Predecessor,
    /// All files, those that count for nothing first, under generation 0.
    pub(crate) files: Vec<Closed>,
}

/// What stands behind the last sound frame of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Torn {
    pub(crate) path: PathBuf,
    /// What is sound of the file.
    pub(crate) length: u64,
    /// Bytes that were written and never synced; the rest are of the file that the segment was written over.
    pub(crate) torn_bytes: u64,
}

/// A segment's file with what its header says.
#[derive(Debug)]
struct Found {
    path: PathBuf,
    bytes: u64,
    /// `None` if there is no sound header.
    header: Option<(SegmentHeader, FrameSeed)>,
}

/// A segment that counts.
#[derive(Debug)]
struct Link {
    path: PathBuf,
    bytes: u64,
    header: SegmentHeader,
    seed: FrameSeed,
}

/// Reads the log in `dir` and shows its frames to `visit`, in order.
pub(crate) fn replay<E>(
    vfs: &dyn Vfs,
    dir: &Path,
    database_id: [u8; 16],
    floor: Floor,
    mut visit: impl FnMut(ReplayedFrame<'_>) -> Result<(), E>,
) -> Result<Replayed, OpenError<E>> {
    let mut found = find_segments(vfs, dir, database_id)?;
    let mut replayed = Replayed {
        frames: 0,
        bytes: 0,
        segments: 0,
        last_seq: floor.flushed_through,
        // What is known as synced was given, even where its owner accepts that it is lost.
        seq_max: floor.flushed_through.max(floor.synced_upto).max(floor.next_seq.saturating_sub(1)),
        generation_max: floor.oldest_generation.saturating_sub(1),
        segment_max: found.keys().next_back().copied().unwrap_or(0),
        clean: false,
        torn: None,
        predecessor: Predecessor { last_seq: floor.flushed_through, ..Predecessor::default() },
        files: Vec::new(),
    };
    for (header, _) in found.values().filter_map(|segment| segment.header.as_ref()) {
        replayed.note_header(header);
    }
    let chain = chain(dir, &mut found, floor)?;
    // What is left belongs to no chain: flushed, abandoned, or never begun.
    replayed.files = found
        .into_values()
        .map(|segment| Closed {
            path: segment.path,
            generation: 0,
            bytes: segment.bytes,
            file_bytes: 0,
        })
        .collect();
    for (at, link) in chain.iter().enumerate() {
        match chain.get(at + 1) {
            Some(next) => replayed.read_vouched(vfs, link, &next.header, &mut visit)?,
            None => replayed.read_last(vfs, link, floor, &mut visit)?,
        }
        replayed.files.push(Closed {
            path: link.path.clone(),
            generation: link.header.generation,
            bytes: link.bytes,
            file_bytes: 0,
        });
    }
    if replayed.last_seq < floor.synced_upto && !accepts_loss(vfs, dir)? {
        return Err(Error::EndMissing {
            dir: dir.to_path_buf(),
            last_seq: replayed.last_seq,
            synced_upto: floor.synced_upto,
        }
        .into());
    }
    // A stop whose flush left no row in the log, and so no segment for the marker.
    replayed.clean |= replayed.files.is_empty();
    Ok(replayed)
}

/// A file of this name in the directory of the log says that its owner knows that the newest frames are lost.
pub(crate) const ACCEPTS_LOSS: &str = "accept-loss";

fn accepts_loss(vfs: &dyn Vfs, dir: &Path) -> Result<bool> {
    let failed =
        |source| Error::Io { operation: FileOperation::List, path: dir.to_path_buf(), source };
    Ok(vfs.list(dir).map_err(failed)?.iter().any(|entry| entry.name == ACCEPTS_LOSS))
}

/// All segments of the directory by number, read from the disk and not from a cache that an earlier
/// failed sync left behind (ATC'20).
fn find_segments(vfs: &dyn Vfs, dir: &Path, database_id: [u8; 16]) -> Result<BTreeMap<u64, Found>> {
    let failed = |operation, path: &Path| {
        let path = path.to_path_buf();
        move |source| Error::Io { operation, path, source }
    };
    let entries = vfs.list(dir).map_err(failed(FileOperation::List, dir))?;
    let mut found = BTreeMap::new();
    for entry in entries.into_iter().filter(|entry| !entry.is_dir) {
        let Some(id) = parse_file_name(&entry.name) else { continue };
        let path = dir.join(&entry.name);
        let file = vfs.open_read(&path).map_err(failed(FileOperation::Open, &path))?;
        file.sync_all().map_err(failed(FileOperation::Sync, &path))?;
        file.drop_cache().map_err(failed(FileOperation::Read, &path))?;
        let bytes = file.len().map_err(failed(FileOperation::Read, &path))?;
        let mut head = vec![0; HEADER_BYTES.min(usize::try_from(bytes).unwrap_or(HEADER_BYTES))];
        tsdb_core::env::read_exact_at(&*file, &mut head, 0)
            .map_err(failed(FileOperation::Read, &path))?;
        let header = match SegmentHeader::decode(&head) {
            Ok((header, _)) if header.database_id != database_id => {
                return Err(Error::ForeignSegment { path });
            }
            Ok((header, _)) if header.segment != id => {
                return Err(Error::MisnamedSegment { path, found: header.segment });
            }
            Ok(header) => Some(header),
            Err(HeaderError::Newer(version)) => {
                return Err(Error::NewerFormat { path, version, supported: VERSION });
            }
            Err(HeaderError::Bad) => None,
        };
        found.insert(id, Found { path, bytes, header });
    }
    vfs.sync_dir(dir).map_err(failed(FileOperation::SyncDir, dir))?;
    Ok(found)
}

/// Takes the segments that count out of `found`, oldest first.
fn chain(dir: &Path, found: &mut BTreeMap<u64, Found>, floor: Floor) -> Result<Vec<Link>> {
    let mut chain = Vec::new();
    let mut wanted = last_segment(found, floor)?;
    while let Some(segment) = wanted.take().and_then(|id| found.remove_entry(&id)) {
        let (id, Found { path, bytes, header }) = segment;
        let Some((header, seed)) = header else {
            // Whoever called for this segment could not do without it, and it has no sound header.
            let seq = chain.last().map_or(0, |next: &Link| next.header.continues_after.last_seq);
            return Err(Error::Corrupt {
                path,
                offset: 0,
                seq,
                synced_upto: chain.last().map_or(seq, |next| next.header.synced_upto),
                damage: Damage::Header,
            });
        };
        if header.generation < floor.oldest_generation {
            found.insert(id, Found { path, bytes, header: Some((header, seed)) });
            break;
        }
        let before = header.continues_after;
        if before.last_seq > floor.flushed_through {
            if !found.contains_key(&before.segment) || before.segment >= id {
                return Err(Error::MissingSegment {
                    dir: dir.to_path_buf(),
                    segment: before.segment,
                    needed_by: path,
                    last_seq: floor.flushed_through,
                });
            }
            wanted = Some(before.segment);
        } else if found.get(&before.segment).is_some_and(|found| found.header.is_some()) {
            // Its rows are flushed, but the generation may define what later frames use.
            wanted = Some(before.segment).filter(|segment| *segment < id);
        }
        chain.push(Link { path, bytes, header, seed });
    }
    chain.reverse();
    Ok(chain)
}

/// Number of the segment that was created last. Files behind it that ended before their header did
/// never took a frame.
fn last_segment(found: &BTreeMap<u64, Found>, floor: Floor) -> Result<Option<u64>> {
    for (id, segment) in found.iter().rev() {
        if segment.header.is_some() {
            return Ok(Some(*id));
        }
        if segment.bytes > HEADER_BYTES as u64 {
            // Frames follow only a synced header.
            return Err(Error::Corrupt {
                path: segment.path.clone(),
                offset: 0,
                seq: floor.flushed_through + 1,
                synced_upto: floor.flushed_through,
                damage: Damage::Header,
            });
        }
    }
    Ok(None)
}

impl Replayed {
    fn note_header(&mut self, header: &SegmentHeader) {
        self.generation_max = self.generation_max.max(header.generation);
        self.seq_max = self
            .seq_max
            .max(header.first_seq.saturating_sub(1))
            .max(header.synced_upto)
            .max(header.continues_after.last_seq);
    }

    /// Reads a segment that `next` continues: all that `next` vouches for must be there.
    fn read_vouched<E>(
        &mut self,
        vfs: &dyn Vfs,
        link: &Link,
        next: &SegmentHeader,
        visit: &mut impl FnMut(ReplayedFrame<'_>) -> Result<(), E>,
    ) -> Result<(), OpenError<E>> {
        let vouched = next.continues_after;
        let damaged = |offset: u64, seq: u64, damage: Damage| Error::Corrupt {
            path: link.path.clone(),
            offset,
            seq,
            synced_upto: next.synced_upto,
            damage,
        };
        let end = vouched.length.min(link.bytes);
        let (offset, next_seq, sound) = self.read(vfs, link, end, visit)?;
        if !sound {
            return Err(damaged(offset, next_seq, Damage::Frame).into());
        }
        if link.bytes < vouched.length {
            return Err(damaged(offset, next_seq, Damage::Short).into());
        }
        if next_seq != vouched.last_seq.saturating_add(1) || next.first_seq < next_seq {
            return Err(damaged(offset, next_seq, Damage::Order).into());
        }
        Ok(())
    }

    /// Reads the last segment, which may have a torn tail.
    fn read_last<E>(
        &mut self,
        vfs: &dyn Vfs,
        link: &Link,
        floor: Floor,
        visit: &mut impl FnMut(ReplayedFrame<'_>) -> Result<(), E>,
    ) -> Result<(), OpenError<E>> {
        let (offset, next_seq, sound) = self.read(vfs, link, link.bytes, visit)?;
        if !sound {
            let file = open(vfs, &link.path)?;
            let tail = Tail {
                file: &*file,
                seed: link.seed,
                start: offset,
                end: link.bytes,
                next_seq,
                synced_min: link.header.synced_upto,
                stale_end: link.header.stale_bytes,
            };
            let beyond = tail.sound_frames().map_err(|error| read_failed(&link.path, error))?;
            let witnesses = [beyond.synced_upto, floor.flushed_through, floor.synced_upto];
            let synced_upto = witnesses.into_iter().max().unwrap_or(0);
            if synced_upto >= next_seq {
                let path = link.path.clone();
                let damage = Damage::Frame;
                return Err(
                    Error::Corrupt { path, offset, seq: next_seq, synced_upto, damage }.into()
                );
            }
            let torn_bytes =
                tail.torn_bytes(beyond).map_err(|error| read_failed(&link.path, error))?;
            self.clean &= torn_bytes == 0;
            self.seq_max = self.seq_max.max(beyond.last_seq);
            self.torn = Some(Torn { path: link.path.clone(), length: offset, torn_bytes });
        }
        self.predecessor = Predecessor {
            segment: link.header.segment,
            length: offset,
            last_seq: next_seq.saturating_sub(1),
        };
        Ok(())
    }

    /// Shows the sound frames up to `end`. Returns where they end, the number that the next would
    /// have, and whether they fill the whole.
    fn read<E>(
        &mut self,
        vfs: &dyn Vfs,
        link: &Link,
        end: u64,
        visit: &mut impl FnMut(ReplayedFrame<'_>) -> Result<(), E>,
    ) -> Result<(u64, u64, bool), OpenError<E>> {
        let file = open(vfs, &link.path)?;
        let mut next_seq = link.header.first_seq;
        let mut reader = FrameReader::new(&*file, link.seed, HEADER_BYTES as u64, end);
        self.segments += 1;
        // A segment behind the marker: the log was opened again since.
        self.clean = false;
        let sound = loop {
            let offset = reader.offset();
            match reader.next().map_err(|error| read_failed(&link.path, error))? {
                Step::End => break true,
                Step::Bad => break false,
                Step::Frame(header, frame) => {
                    next_seq = check_frame(link, offset, &header, next_seq)?;
                    self.clean = header.kind == kind::CLEAN;
                    if header.kind == kind::DATA {
                        self.frames += 1;
                        self.bytes += header.total_bytes as u64;
                        self.last_seq = self.last_seq.max(header.seq);
                        let generation = link.header.generation;
                        let payload = payload(frame);
                        visit(ReplayedFrame { generation, seq: header.seq, payload })
                            .map_err(OpenError::Visit)?;
                    }
                }
            }
        };
        self.seq_max = self.seq_max.max(self.last_seq);
        Ok((reader.offset(), next_seq, sound))
    }
}

/// Checks that a sound frame belongs where it stands; returns the number after it.
fn check_frame(link: &Link, offset: u64, frame: &FrameHeader, next_seq: u64) -> Result<u64> {
    let (wanted, after) = match frame.kind {
        kind::DATA => (next_seq, next_seq + 1),
        kind::IDLE | kind::CLEAN => (next_seq.saturating_sub(1), next_seq),
        kind => {
            return Err(Error::UnknownFrameKind { path: link.path.clone(), offset, kind });
        }
    };
    if frame.seq != wanted || frame.synced_upto > frame.seq {
        return Err(Error::Corrupt {
            path: link.path.clone(),
            offset,
            seq: next_seq,
            synced_upto: frame.synced_upto,
            damage: Damage::Order,
        });
    }
    Ok(after)
}

fn open(vfs: &dyn Vfs, path: &Path) -> Result<std::sync::Arc<dyn tsdb_core::env::VfsFile>> {
    vfs.open_read(path).map_err(|source| Error::Io {
        operation: FileOperation::Open,
        path: path.to_path_buf(),
        source,
    })
}

fn read_failed(path: &Path, source: std::io::Error) -> Error {
    Error::Io { operation: FileOperation::Read, path: path.to_path_buf(), source }
}
