//! What the last segment has behind its last sound frame: sound frames further on, which tell damage from a torn
//! tail, and how much of it was meant to be frames. What follows from that is decided in `replay`.
//!
//! A file that was written over has megabytes there, with anything that was ever stored in them: every step is
//! linear in their length, whatever they say.

use std::io;

use tsdb_core::checksum::{crc32c, crc32c_append, crc32c_combine};
use tsdb_core::env::{VfsFile, read_exact_at};

use crate::{
    frame::{FRAME_HEADER_BYTES, FrameHeader, FrameSeed, UNCOUNTED_BYTES},
    reader::WINDOW_BYTES,
};

/// From the start of a frame to its number.
const SEQ_OFFSET: usize = 9;

/// Distance of the places up to which checksums are kept.
const MARK_BYTES: usize = 4096;

/// Longer frames are checked by kept checksums, so that each costs as much as a short one.
const DIRECT_BYTES: usize = 2 * MARK_BYTES;

/// The bytes behind the last sound frame of a segment.
#[derive(Debug)]
pub(crate) struct Tail<'f> {
    pub(crate) file: &'f dyn VfsFile,
    pub(crate) seed: FrameSeed,
    /// Where the first frame starts that is not sound.
    pub(crate) start: u64,
    /// The end of the file.
    pub(crate) end: u64,
    /// The number that this frame should have.
    pub(crate) next_seq: u64,
    /// `synced_upto` of the segment's header: no frame of it has a smaller one.
    pub(crate) synced_min: u64,
    /// Length of the file that the segment was written over, 0 for none.
    pub(crate) stale_end: u64,
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

impl Tail<'_> {
    /// Looks for sound frames, at every byte, since the length of the bad frame before them says nothing. A
    /// place is checked in full only if its numbers are such as a frame so far behind can have.
    pub(crate) fn sound_frames(&self) -> io::Result<Beyond> {
        let mut beyond = Beyond::default();
        let mut marks = None;
        let mut window = Vec::new();
        let mut at = self.start + 1;
        while self.end.saturating_sub(at) >= FRAME_HEADER_BYTES as u64 {
            let bytes = usize::try_from(self.end - at).unwrap_or(usize::MAX).min(WINDOW_BYTES);
            window.resize(bytes, 0);
            read_exact_at(self.file, &mut window, at)?;
            let mut step = bytes + 1 - FRAME_HEADER_BYTES;
            let mut from = 0;
            while let Some((shift, header)) = self.find(&window, from, at) {
                if self.is_sound(at + shift as u64, &header, &mut marks)? {
                    beyond.last_seq = beyond.last_seq.max(header.seq);
                    beyond.synced_upto = beyond.synced_upto.max(header.synced_upto);
                    step = shift + header.total_bytes;
                    beyond.end = at + step as u64;
                    break;
                }
                from = shift + 1;
            }
            at += step as u64;
        }
        Ok(beyond)
    }

    /// The first place from `from` on in a window, which begins at `at`, that looks like a frame of this segment.
    fn find(&self, window: &[u8], mut from: usize, at: u64) -> Option<(usize, FrameHeader)> {
        // A marker has the number of the frame before it.
        let first = self.next_seq.saturating_sub(1);
        let count = (self.end - self.start) / FRAME_HEADER_BYTES as u64 + 1;
        let behind_seq = FRAME_HEADER_BYTES - SEQ_OFFSET - size_of::<u64>();
        loop {
            let numbers = window.get(from + SEQ_OFFSET..window.len().checked_sub(behind_seq)?)?;
            let is_one =
                |number: &[u8; 8]| u64::from_le_bytes(*number).wrapping_sub(first) <= count;
            from += numbers.array_windows::<8>().position(is_one)?;
            let left = self.end - at - from as u64;
            let header = FrameHeader::decode(window.get(from..)?).filter(|header| {
                header.total_bytes as u64 <= left
                    && (self.synced_min..=header.seq).contains(&header.synced_upto)
            });
            if let Some(header) = header {
                return Some((from, header));
            }
            from += 1;
        }
    }

    fn is_sound(
        &self,
        place: u64,
        header: &FrameHeader,
        marks: &mut Option<Marks>,
    ) -> io::Result<bool> {
        if header.total_bytes <= DIRECT_BYTES {
            let mut frame = vec![0; header.total_bytes];
            read_exact_at(self.file, &mut frame, place)?;
            return Ok(header.is_sound(&frame, self.seed));
        }
        let marks = match marks {
            Some(marks) => marks,
            None => marks.insert(Marks::new(self.file, self.start, self.end)?),
        };
        let from = place + UNCOUNTED_BYTES as u64;
        let rest = marks.between(self.file, from, place + header.total_bytes as u64)?;
        Ok(header.is_sound_by(rest, self.seed))
    }

    /// Bytes of the tail that were meant to be frames.
    ///
    /// In a file that was written over, bytes of the earlier segment follow the last frame, torn or not: there
    /// only those count that bear the number of the next frame, up to the end that they say, or have a sound
    /// frame behind them.
    pub(crate) fn torn_bytes(&self, beyond: Beyond) -> io::Result<u64> {
        let left = self.end - self.start;
        if self.end > self.stale_end {
            return Ok(left);
        }
        let mut head = [0; FRAME_HEADER_BYTES];
        let claimed = if left < FRAME_HEADER_BYTES as u64 {
            None
        } else {
            read_exact_at(self.file, &mut head, self.start)?;
            FrameHeader::decode(&head).filter(|header| header.seq == self.next_seq)
        };
        let claimed = claimed.map_or(0, |header| header.total_bytes as u64).min(left);
        Ok(claimed.max(beyond.end.saturating_sub(self.start)))
    }
}

/// Checksums of a stretch of a file from its start to every [`MARK_BYTES`]th byte, from which that of any part of
/// it follows: what comes before the part is taken away again, as CRCs are linear.
#[derive(Debug)]
struct Marks {
    start: u64,
    sums: Vec<u32>,
}

impl Marks {
    fn new(file: &dyn VfsFile, start: u64, end: u64) -> io::Result<Self> {
        let mut sums = vec![0];
        let mut sum = 0;
        let mut window = Vec::new();
        let mut at = start;
        while at < end {
            let bytes = usize::try_from(end - at).unwrap_or(usize::MAX).min(WINDOW_BYTES);
            window.resize(bytes, 0);
            read_exact_at(file, &mut window, at)?;
            for block in window.chunks(MARK_BYTES) {
                sum = crc32c_append(sum, block);
                sums.push(sum);
            }
            at += bytes as u64;
        }
        Ok(Self { start, sums })
    }

    /// CRC32C of the bytes between two offsets of the stretch.
    fn between(&self, file: &dyn VfsFile, from: u64, to: u64) -> io::Result<u32> {
        let (before, all) = (self.up_to(file, from)?, self.up_to(file, to)?);
        let bytes = usize::try_from(to - from).unwrap_or(usize::MAX);
        Ok(all ^ crc32c_combine(before, 0, bytes))
    }

    /// CRC32C from the start to an offset.
    fn up_to(&self, file: &dyn VfsFile, offset: u64) -> io::Result<u32> {
        let distance = usize::try_from(offset - self.start).unwrap_or(usize::MAX);
        let sum = self.sums.get(distance / MARK_BYTES).copied().unwrap_or(0);
        let mut rest = [0; MARK_BYTES];
        let rest = rest.get_mut(..distance % MARK_BYTES).unwrap_or_default();
        read_exact_at(file, rest, offset - rest.len() as u64)?;
        Ok(crc32c_combine(sum, crc32c(rest), rest.len()))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::frame::{begin_frame, kind, seal_frame};
    use crate::reader::tests::{file, frames, seed};

    fn tail(file: &dyn VfsFile, next_seq: u64, start: u64, end: u64) -> Tail<'_> {
        Tail { file, seed: seed(), start, end, next_seq, synced_min: 0, stale_end: 0 }
    }

    #[test]
    fn sound_frames_behind_a_bad_one_are_found() {
        let mut parts = frames(&[10, 20, WINDOW_BYTES, 5]);
        parts[1][30] ^= 1;
        let bytes = parts.concat();
        let (_vfs, file) = file(&bytes);
        let end = bytes.len() as u64;
        let behind = |start, end| tail(&*file, 2, start, end).sound_frames().unwrap();
        assert_eq!(behind(35, end), Beyond { last_seq: 4, synced_upto: 3, end });
        assert_eq!(behind(35, end - 1), Beyond { last_seq: 3, synced_upto: 2, end: end - 30 });
        assert_eq!(behind(end - 25, end), Beyond::default());
    }

    #[test]
    fn marks_know_the_checksum_of_every_part() {
        let byte = |n: usize| u8::try_from(n * n % 251).unwrap();
        let bytes: Vec<u8> = (0..3 * MARK_BYTES + 77).map(byte).collect();
        let (_vfs, file) = file(&bytes);
        let end = bytes.len();
        for start in [0, 5, MARK_BYTES] {
            let marks = Marks::new(&*file, start as u64, end as u64).unwrap();
            for from in (start..=end).step_by(977).chain([start + MARK_BYTES]) {
                for to in (from..=end).step_by(1013).chain([from, end]) {
                    let sum = marks.between(&*file, from as u64, to as u64).unwrap();
                    assert_eq!(sum, crc32c(&bytes[from..to]), "{start}: {from} to {to}");
                }
            }
        }
    }

    /// Counts what is read of a file.
    #[derive(Debug)]
    struct Counted(std::sync::Arc<dyn VfsFile>, AtomicUsize);

    impl VfsFile for Counted {
        fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
            self.1.fetch_add(buffer.len(), Ordering::Relaxed);
            self.0.read_at(buffer, offset)
        }
        fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
            self.0.write_at(bytes, offset)
        }
        fn sync_data(&self) -> io::Result<()> {
            self.0.sync_data()
        }
        fn sync_all(&self) -> io::Result<()> {
            self.0.sync_all()
        }
        fn set_len(&self, bytes: u64) -> io::Result<()> {
            self.0.set_len(bytes)
        }
        fn len(&self) -> io::Result<u64> {
            self.0.len()
        }
        fn reserve(&self, bytes: u64) -> io::Result<()> {
            self.0.reserve(bytes)
        }
        fn drop_cache(&self) -> io::Result<()> {
            self.0.drop_cache()
        }
    }

    /// Stale bytes that look like a frame at every place where one fits, each as long as it can be.
    #[test]
    fn hostile_bytes_are_looked_through_in_linear_time() {
        let read = |count: usize| {
            let mut bytes = Vec::new();
            for at in 0..count {
                let mut head = Vec::new();
                begin_frame(&mut head, kind::DATA, 2 + at as u64);
                seal_frame(&mut head, seed(), 1);
                let counted = (count - at) * FRAME_HEADER_BYTES - UNCOUNTED_BYTES;
                head[..4].copy_from_slice(&u32::try_from(counted).unwrap().to_le_bytes());
                bytes.extend_from_slice(&head);
            }
            let (_vfs, file) = file(&bytes);
            let counted = Counted(file, AtomicUsize::new(0));
            let beyond = tail(&counted, 2, 0, bytes.len() as u64).sound_frames().unwrap();
            assert_eq!(beyond, Beyond::default());
            counted.1.into_inner()
        };
        let (some, more) = (read(20_000), read(40_000));
        assert!(more < some * 5 / 2, "{some} bytes are read, of twice as many {more}");
    }

    #[test]
    fn long_frames_are_found_by_marks() {
        let mut parts = frames(&[10, 20, 3 * DIRECT_BYTES, 2 * WINDOW_BYTES]);
        parts[1][30] ^= 1;
        let bytes = parts.concat();
        let (vfs, file) = file(&bytes);
        let end = bytes.len() as u64;
        let found = tail(&*file, 2, 35, end).sound_frames().unwrap();
        assert_eq!(found, Beyond { last_seq: 4, synced_upto: 3, end });
        let path = std::path::Path::new("/file");
        vfs.flip_bit(path, end - 1, 7).unwrap();
        let found = tail(&*file, 2, 35, end).sound_frames().unwrap();
        assert_eq!((found.last_seq, found.synced_upto), (3, 2));
    }
}
