//! Reading the frames of one segment in order, as long as they are sound. What stands behind the first that
//! is not is looked at in `tail`; what that means is decided in `replay`.

use std::io;

use tsdb_core::env::{VfsFile, read_exact_at};

use crate::frame::{FRAME_HEADER_BYTES, FrameHeader, FrameSeed};

/// Bytes read at once, unless a frame is longer.
pub(crate) const WINDOW_BYTES: usize = 256 * 1024;

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

#[cfg(test)]
pub(crate) mod tests {
    use std::{path::Path, sync::Arc};

    use tsdb_core::env::{ShortLength, SimVfs, Vfs, When, write_all_at};

    use super::*;
    use crate::frame::{Predecessor, SegmentHeader, begin_frame, end_frame, kind, seal_frame};

    pub(crate) fn seed() -> FrameSeed {
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
    pub(crate) fn frames(lengths: &[usize]) -> Vec<Vec<u8>> {
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

    pub(crate) fn file(bytes: &[u8]) -> (SimVfs, Arc<dyn VfsFile>) {
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
}
