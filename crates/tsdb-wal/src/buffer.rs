//! Frames that are appended and not yet written: numbers are given here, under the append lock, and
//! nothing here touches a file. Frames are whole but not sealed: checksum and `synced_upto` come when
//! it is known which segment takes them.

use std::collections::VecDeque;

use crate::{
    error::{AppendError, Error},
    frame::{FrameHeader, FrameSeed, begin_frame, end_frame, kind, seal_frame},
};

/// Where a frame stands: what the writer of its payload may need to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// The generation that takes the frame.
    pub generation: u64,
    /// The frame's number.
    pub seq: u64,
}

/// The appending side of a log.
#[derive(Debug)]
pub(crate) struct AppendBuffer {
    generation: u64,
    next_seq: u64,
    /// Frames of the open generation.
    open: Vec<u8>,
    /// Bytes of `open` that are whole frames; more is left behind only by a panic in a payload writer.
    open_bytes: usize,
    /// Frames of generations that were closed in the meantime.
    closed: VecDeque<Chunk>,
}

impl AppendBuffer {
    pub(crate) fn new(generation: u64, next_seq: u64) -> Self {
        Self { generation, next_seq, open: Vec::new(), open_bytes: 0, closed: VecDeque::new() }
    }

    pub(crate) fn generation(&self) -> u64 {
        self.generation
    }

    /// Highest number given.
    pub(crate) fn last_seq(&self) -> u64 {
        self.next_seq.saturating_sub(1)
    }

    /// Whether frames of a generation up to this one may still come, or wait here.
    pub(crate) fn uses_through(&self, generation: u64) -> bool {
        self.generation <= generation
            || self.closed.iter().any(|chunk| chunk.generation <= generation)
    }

    /// Appends a frame whose payload `write` puts. Returns its number and length. When `write` fails or
    /// the frame is too long, its number is not used and nothing is kept.
    pub(crate) fn append<E>(
        &mut self,
        frame_bytes_max: usize,
        write: impl FnOnce(Position, &mut Vec<u8>) -> Result<(), E>,
    ) -> Result<(u64, usize), AppendError<E>> {
        let start = self.open_bytes;
        self.open.truncate(start);
        let seq = self.next_seq;
        begin_frame(&mut self.open, kind::DATA, seq);
        let position = Position { generation: self.generation, seq };
        if let Err(error) = write(position, &mut self.open) {
            self.open.truncate(start);
            return Err(AppendError::Write(error));
        }
        let frame = self.open.get_mut(start..).unwrap_or_default();
        let bytes = frame.len();
        if bytes > frame_bytes_max || !end_frame(frame) {
            self.open.truncate(start);
            return Err(Error::FrameTooLarge { bytes, bytes_max: frame_bytes_max }.into());
        }
        self.open_bytes = self.open.len();
        self.next_seq += 1;
        Ok((seq, bytes))
    }

    /// Closes the open generation and opens the next.
    pub(crate) fn begin_generation(&mut self) {
        if let Some(chunk) = self.take_open(Vec::new()) {
            self.closed.push_back(chunk);
        }
        self.generation += 1;
    }

    /// Moves all frames to `queue`, oldest first; goes on with `spare` as buffer.
    pub(crate) fn take(&mut self, queue: &mut VecDeque<Chunk>, spare: Vec<u8>) {
        queue.append(&mut self.closed);
        queue.extend(self.take_open(spare));
    }

    fn take_open(&mut self, spare: Vec<u8>) -> Option<Chunk> {
        if self.open_bytes == 0 {
            if self.open.capacity() < spare.capacity() {
                self.open = spare;
            }
            return None;
        }
        let mut bytes = std::mem::replace(&mut self.open, spare);
        bytes.truncate(self.open_bytes);
        self.open.clear();
        self.open_bytes = 0;
        Some(Chunk { generation: self.generation, bytes, done_bytes: 0 })
    }
}

/// Frames of one generation on their way to the files.
#[derive(Debug)]
pub(crate) struct Chunk {
    pub(crate) generation: u64,
    bytes: Vec<u8>,
    done_bytes: usize,
}

/// Some whole frames at the front of a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) bytes: usize,
    /// Number of the last of them.
    pub(crate) last_seq: u64,
}

impl Chunk {
    /// The first frame that is not done.
    pub(crate) fn first(&self) -> Option<FrameHeader> {
        FrameHeader::decode(self.rest())
    }

    /// Seals frames for the segment of `seed`, as many as fit `room` bytes, but at least one.
    pub(crate) fn seal(&mut self, room: u64, seed: FrameSeed, synced_upto: u64) -> Run {
        let run = self.front(|end| end as u64 <= room);
        let mut frames = self.bytes.get_mut(self.done_bytes..).unwrap_or_default();
        frames = frames.get_mut(..run.bytes).unwrap_or_default();
        while let Some(header) = FrameHeader::decode(frames) {
            let Some((frame, rest)) = frames.split_at_mut_checked(header.total_bytes) else {
                break;
            };
            seal_frame(frame, seed, synced_upto);
            frames = rest;
        }
        run
    }

    /// The whole frames in the first `bytes` bytes; `None` if not even one.
    pub(crate) fn whole_frames(&self, bytes: usize) -> Option<Run> {
        let run = self.front(|end| end <= bytes);
        (run.bytes <= bytes && run.bytes > 0).then_some(run)
    }

    /// The bytes of a run.
    pub(crate) fn frames(&self, run: Run) -> &[u8] {
        self.rest().get(..run.bytes).unwrap_or_default()
    }

    /// Counts a run as done.
    pub(crate) fn advance(&mut self, run: Run) {
        self.done_bytes += run.bytes;
    }

    /// Ends the chunk; its memory can serve again.
    pub(crate) fn into_spare(mut self) -> Vec<u8> {
        self.bytes.clear();
        self.bytes
    }

    /// The first frame, and the following ones while `fits` agrees with where they end.
    fn front(&self, fits: impl Fn(usize) -> bool) -> Run {
        let mut run = Run { bytes: 0, last_seq: 0 };
        while let Some(frame) = self.rest().get(run.bytes..).and_then(FrameHeader::decode) {
            let end = run.bytes + frame.total_bytes;
            if run.bytes > 0 && !fits(end) {
                break;
            }
            run = Run { bytes: end, last_seq: frame.seq };
        }
        run
    }

    fn rest(&self) -> &[u8] {
        self.bytes.get(self.done_bytes..).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(buffer: &mut AppendBuffer, payload: &[u8]) -> u64 {
        let write = |_: Position, out: &mut Vec<u8>| {
            out.extend_from_slice(payload);
            Ok::<(), ()>(())
        };
        buffer.append(100, write).unwrap().0
    }

    #[test]
    fn a_number_is_used_only_for_a_whole_frame() {
        let mut buffer = AppendBuffer::new(1, 5);
        assert_eq!(put(&mut buffer, b"one"), 5);
        let failed = buffer.append(100, |at, out| {
            out.extend_from_slice(b"half");
            Err(at)
        });
        let at = Position { generation: 1, seq: 6 };
        assert!(matches!(failed, Err(AppendError::Write(position)) if position == at));
        let long = buffer.append(100, |_, out| {
            out.resize(out.len() + 76, 0);
            Ok::<(), ()>(())
        });
        assert!(matches!(
            long,
            Err(AppendError::Wal(Error::FrameTooLarge { bytes: 101, bytes_max: 100 }))
        ));
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            buffer.append(100, |_, out| -> Result<(), ()> {
                out.extend_from_slice(b"half");
                panic!("a payload writer fails")
            })
        }));
        assert!(panicked.is_err());
        assert_eq!(put(&mut buffer, b"two"), 6);
        let mut queue = VecDeque::new();
        buffer.take(&mut queue, Vec::new());
        let chunk = queue.pop_front().unwrap();
        assert_eq!(chunk.whole_frames(usize::MAX), Some(Run { bytes: 56, last_seq: 6 }));
        assert!(queue.is_empty());
    }

    #[test]
    fn chunks_keep_generations_apart_and_in_order() {
        let mut buffer = AppendBuffer::new(1, 1);
        put(&mut buffer, b"a");
        buffer.begin_generation();
        buffer.begin_generation();
        put(&mut buffer, b"b");
        assert!(buffer.uses_through(1) && buffer.uses_through(3));
        let mut queue = VecDeque::new();
        buffer.take(&mut queue, Vec::new());
        let seen: Vec<_> = queue.iter().map(|c| (c.generation, c.first().unwrap().seq)).collect();
        assert_eq!(seen, [(1, 1), (3, 2)]);
        assert!(!buffer.uses_through(2) && buffer.uses_through(3));
        buffer.take(&mut queue, Vec::new());
        assert_eq!(queue.len(), 2, "nothing is taken twice");
    }

    #[test]
    fn runs_are_whole_frames() {
        let mut buffer = AppendBuffer::new(1, 1);
        for _ in 0..3 {
            put(&mut buffer, b"12345");
        }
        let mut queue = VecDeque::new();
        buffer.take(&mut queue, Vec::new());
        let mut chunk = queue.pop_front().unwrap();
        let whole =
            [0, 29, 30, 59, 60, 89, 90, 91].map(|n| chunk.whole_frames(n).map(|r| r.last_seq));
        assert_eq!(whole, [None, None, Some(1), Some(1), Some(2), Some(2), Some(3), Some(3)]);
        let seed = test_seed();
        let run = chunk.seal(10, seed, 0);
        assert_eq!(run, Run { bytes: 30, last_seq: 1 }, "one frame however little room");
        chunk.advance(run);
        let run = chunk.seal(60, seed, 1);
        assert_eq!(run, Run { bytes: 60, last_seq: 3 });
        let second = chunk.first().unwrap();
        assert!(second.is_sound(&chunk.frames(run)[..30], seed));
        assert_eq!((second.seq, second.synced_upto), (2, 1));
        chunk.advance(run);
        assert_eq!(chunk.first(), None);
    }

    fn test_seed() -> FrameSeed {
        let header = crate::frame::SegmentHeader {
            database_id: [1; 16],
            segment: 1,
            generation: 1,
            first_seq: 1,
            salt: 9,
            synced_upto: 0,
            continues_after: crate::frame::Predecessor::default(),
            stale_bytes: 0,
        };
        header.encode().1
    }
}
