//! Reading the frames of one segment: in order as long as they are sound, and, past the first that is
//! not, whatever sound frames and torn bytes there still are. What a bad frame means is decided in `replay`.

use std::io;

use tsdb_core::env::{VfsFile, read_exact_at};

use crate::frame::{FRAME_HEADER_BYTES, FrameHeader, FrameSeed};

/// Bytes read at once, unless a frame is longer.
const WINDOW_BYTES: usize = 256 * 1024;

/// What stands at the reader's place.
#[derive(Debug)]
pub(crate) enum Step<'a> {
    /// A sound frame: its fixed part and all its bytes.
    Frame(FrameHeader, &'a [u8]),
    /// No sound frame.
    Bad,
    /// The end.
    End,
}

/// Reads frames from a place on, in order.
#[derive(Debug)]
pub(crate) struct FrameReader<'f> {
    file: &'f dyn VfsFile,
    seed: FrameSeed,
    /// Where the next frame starts.
    offset: u64,
    end: u64,
    /// Bytes of the file from `offset - used` on.
    window: Vec<u8>,
    used: usize,
}

impl<'f> FrameReader<'f> {
    /// A reader of the frames between two offsets.
    pub(crate) fn new(file: &'f dyn VfsFile, seed: FrameSeed, offset: u64, end: u64) -> Self {
        Self { file, seed, offset, end, window: Vec::new(), used: 0 }
    }

    /// Where the next frame starts, or the bad one.
    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }

    /// Reads the frame at the reader's place and goes behind it; stays before a bad one.
    pub(crate) fn next(&mut self) -> io::Result<Step<'_>> {
        let left = self.end.saturating_sub(self.offset);
        if left == 0 {
            return Ok(Step::End);
        }
        let header = if left < FRAME_HEADER_BYTES as u64 {
            None
        } else {
            FrameHeader::decode(self.peek(FRAME_HEADER_BYTES)?)
        };
        let Some(header) = header.filter(|header| header.total_bytes as u64 <= left) else {
            return Ok(Step::Bad);
        };
        let seed = self.seed;
        if !header.is_sound(self.peek(header.total_bytes)?, seed) {
            return Ok(Step::Bad);
        }
        let start = self.used;
        self.used += header.total_bytes;
        self.offset += header.total_bytes as u64;
        Ok(Step::Frame(header, self.window.get(start..self.used).unwrap_or_default()))
    }

    /// The next `bytes` bytes, which the file must have.
    fn peek(&mut self, bytes: usize) -> io::Result<&[u8]> {
        if self.window.len() - self.used < bytes {
            self.window.drain(..self.used);
            self.used = 0;
            let had = self.window.len();
            let from = self.offset + had as u64;
            let left = usize::try_from(self.end - from).unwrap_or(usize::MAX);
            self.window.resize(had + bytes.max(WINDOW_BYTES).saturating_sub(had).min(left), 0);
            let new = self.window.get_mut(had..).unwrap_or_default();
            read_exact_at(self.file, new, from)?;
        }
        Ok(self.window.get(self.used..self.used + bytes).unwrap_or_default())
    }
}

/// What the sound frames behind a bad one say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Beyond {
    /// Highest number of any; 0 without any.
    pub(crate) last_seq: u64,
    /// Highest `synced_upto` of any.
    pub(crate) synced_upto: u64,
    /// Where the last one ends; 0 without any.
    pub(crate) end: u64,
}

/// Looks for sound frames between two offsets, at every byte, since the length of the bad frame before
/// them says nothing. `expected_seq` is the number that the bad frame should have.
///
/// A place is checked in full only if its number is one that a frame so far behind can have, which
/// random bytes hardly hit: O(n) for what crashes and rot leave.
pub(crate) fn scan_beyond(
    file: &dyn VfsFile,
    seed: FrameSeed,
    expected_seq: u64,
    start: u64,
    end: u64,
) -> io::Result<Beyond> {
    let seq_max = expected_seq.saturating_add((end - start) / FRAME_HEADER_BYTES as u64 + 1);
    let seqs = expected_seq.saturating_sub(1)..=seq_max;
    let mut beyond = Beyond::default();
    let mut window = Vec::new();
    let mut at = start;
    while end.saturating_sub(at) >= FRAME_HEADER_BYTES as u64 {
        let bytes = usize::try_from(end - at).unwrap_or(usize::MAX).min(WINDOW_BYTES);
        window.resize(bytes, 0);
        read_exact_at(file, &mut window, at)?;
        let mut step = bytes + 1 - FRAME_HEADER_BYTES;
        for (shift, place) in window.windows(FRAME_HEADER_BYTES).enumerate() {
            let Some(header) = FrameHeader::decode(place).filter(|h| seqs.contains(&h.seq)) else {
                continue;
            };
            let place = at + shift as u64;
            if let Step::Frame(..) = FrameReader::new(file, seed, place, end).next()? {
                beyond.last_seq = beyond.last_seq.max(header.seq);
                beyond.synced_upto = beyond.synced_upto.max(header.synced_upto);
                step = shift + header.total_bytes;
                beyond.end = place + header.total_bytes as u64;
                break;
            }
        }
        at += step as u64;
    }
    Ok(beyond)
}

/// What a file has behind its last sound frame.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tail {
    /// Where that frame ends.
    pub(crate) start: u64,
    /// The end of the file.
    pub(crate) end: u64,
    /// Length of the file that the segment was written over, 0 for none.
    pub(crate) stale_end: u64,
}

/// Bytes of a tail that were meant to be frames, the first with the number `next_seq`.
///
/// In a file that was written over, bytes of the earlier segment follow the last frame, torn or not: there only
/// those count that bear the number of the next frame, up to the end that they say, or have a sound frame behind
/// them.
pub(crate) fn torn_bytes(
    file: &dyn VfsFile,
    tail: Tail,
    next_seq: u64,
    beyond: Beyond,
) -> io::Result<u64> {
    let left = tail.end - tail.start;
    if tail.end > tail.stale_end {
        return Ok(left);
    }
    let mut head = [0; FRAME_HEADER_BYTES];
    let claimed = if left < FRAME_HEADER_BYTES as u64 {
        None
    } else {
        read_exact_at(file, &mut head, tail.start)?;
        FrameHeader::decode(&head).filter(|header| header.seq == next_seq)
    };
    let claimed = claimed.map_or(0, |header| header.total_bytes as u64).min(left);
    Ok(claimed.max(beyond.end.saturating_sub(tail.start)))
}

#[cfg(test)]
mod tests {
    use std::{path::Path, sync::Arc};

    use tsdb_core::env::{ShortLength, SimVfs, Vfs, When, write_all_at};

    use super::*;
    use crate::frame::{Predecessor, SegmentHeader, begin_frame, end_frame, kind, seal_frame};

    fn seed() -> FrameSeed {
        let continues_after = Predecessor::default();
        let header = SegmentHeader {
            database_id: [1; 16],
            segment: 1,
            generation: 1,
            first_seq: 1,
            salt: 9,
            synced_upto: 0,
            continues_after,
            stale_bytes: 0,
        };
        header.encode().1
    }

    /// Frames 1, 2, … with payloads of these lengths; `synced_upto` is one less than the number.
    fn frames(lengths: &[usize]) -> Vec<Vec<u8>> {
        let make = |(n, length): (usize, &usize)| {
            let mut frame = Vec::new();
            begin_frame(&mut frame, kind::DATA, n as u64 + 1);
            frame.resize(frame.len() + length, b'x');
            assert!(end_frame(&mut frame));
            seal_frame(&mut frame, seed(), n as u64);
            frame
        };
        lengths.iter().enumerate().map(make).collect()
    }

    fn file(bytes: &[u8]) -> (SimVfs, Arc<dyn VfsFile>) {
        let vfs = SimVfs::new(1);
        let file = vfs.create_new(Path::new("/file"), 0).unwrap();
        write_all_at(&*file, bytes, 0).unwrap();
        (vfs, file)
    }

    fn read_all(file: &dyn VfsFile, end: u64) -> (Vec<(u64, usize)>, u64, bool) {
        let mut reader = FrameReader::new(file, seed(), 0, end);
        let mut seen = Vec::new();
        loop {
            match reader.next().unwrap() {
                Step::Frame(header, bytes) => seen.push((header.seq, bytes.len())),
                Step::Bad => return (seen, reader.offset(), false),
                Step::End => return (seen, reader.offset(), true),
            }
        }
    }

    #[test]
    fn frames_of_all_lengths_come_through_the_window() {
        let lengths = [0, 1, WINDOW_BYTES - 25, WINDOW_BYTES, 3, 3 * WINDOW_BYTES, 7];
        let bytes = frames(&lengths).concat();
        let (vfs, file) = file(&bytes);
        let expected: Vec<_> =
            lengths.iter().enumerate().map(|(n, length)| (n as u64 + 1, length + 25)).collect();
        let end = bytes.len() as u64;
        assert_eq!(read_all(&*file, end), (expected.clone(), end, true));
        assert_eq!(read_all(&*file, end - 1).0, expected[..6], "the last is cut");
        vfs.add_fault(tsdb_core::env::Fault {
            on: tsdb_core::env::OpKind::Read,
            path_contains: String::new(),
            when: When::PerMille(500),
            sticky: false,
            effect: tsdb_core::env::Effect::Short(ShortLength::Half),
        });
        assert_eq!(read_all(&*file, end), (expected, end, true), "short reads are gone on with");
    }

    #[test]
    fn sound_frames_behind_a_bad_one_are_found() {
        let mut parts = frames(&[10, 20, WINDOW_BYTES, 5]);
        parts[1][30] ^= 1;
        let bytes = parts.concat();
        let (_vfs, file) = file(&bytes);
        let end = bytes.len() as u64;
        let (seen, offset, whole) = read_all(&*file, end);
        assert_eq!((seen, offset, whole), (vec![(1, 35)], 35, false));
        let beyond = scan_beyond(&*file, seed(), 2, offset + 1, end).unwrap();
        assert_eq!(beyond, Beyond { last_seq: 4, synced_upto: 3, end });
        let cut = scan_beyond(&*file, seed(), 2, offset + 1, end - 1).unwrap();
        assert_eq!(cut, Beyond { last_seq: 3, synced_upto: 2, end: end - 30 });
        let none = scan_beyond(&*file, seed(), 2, end - 24, end).unwrap();
        assert_eq!(none, Beyond::default());
    }
}
