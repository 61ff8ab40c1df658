//! The bytes of a segment: its header and its frames, as `docs/format/wal.md` draws them. Nothing here
//! reads or writes files or knows what a payload means.
//!
//! A frame's checksum continues that of its segment's header, which holds a random salt: a frame is
//! sound in the one segment that it was written to, and stale bytes of any other never are.

use tsdb_core::checksum::{self, crc32c, crc32c_append, crc32c_combine};
use tsdb_core::planted::{Planted, is_planted};

/// First bytes of every segment.
pub(crate) const MAGIC: [u8; 8] = *b"TSDBWAL\n";

/// Format version that is written, and the highest that is read.
pub(crate) const VERSION: u32 = 1;

/// Largest number of a frame, a segment or a generation: half of what fits, so that going on from one never
/// overflows. A million a second reach it in 290 000 years.
pub(crate) const NUMBER_MAX: u64 = u64::MAX >> 1;

/// Length of a segment's header. It lies in one sector, and a segment takes frames only after it was
/// synced, so a bad header with bytes behind it is damage and never a crash.
pub(crate) const HEADER_BYTES: usize = 128;

/// Bytes of a frame before its payload.
pub(crate) const FRAME_HEADER_BYTES: usize = 25;

/// Bytes of a frame that its length does not count: the length itself and the checksum.
pub(crate) const UNCOUNTED_BYTES: usize = 8;

/// The smallest value of a frame's length: kind, number, `synced_upto`, no payload.
const COUNTED_BYTES_MIN: usize = FRAME_HEADER_BYTES - UNCOUNTED_BYTES;

/// Where a segment's predecessor ends. Bytes of it beyond `length` count for nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Predecessor {
    /// Its number; 0 for none.
    pub(crate) segment: u64,
    /// The length of it that counts.
    pub(crate) length: u64,
    /// Highest sequence number before the new segment.
    pub(crate) last_seq: u64,
}

/// The header of a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    pub(crate) database_id: [u8; 16],
    pub(crate) segment: u64,
    pub(crate) generation: u64,
    /// Number of its first data frame.
    pub(crate) first_seq: u64,
    pub(crate) salt: u64,
    /// Highest number known to be synced when the header was written: all before the segment.
    pub(crate) synced_upto: u64,
    pub(crate) continues_after: Predecessor,
    /// Length of the file that the segment is written over, 0 if its file is its own: what no frame has reached
    /// up to there are bytes of an earlier segment.
    pub(crate) stale_bytes: u64,
}

/// What the checksums of a segment's frames start from: the checksum of its header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FrameSeed(u32);

/// Why bytes are no header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HeaderError {
    /// Too short, other magic, wrong checksum, or impossible numbers.
    Bad,
    /// A sound header of a newer format version.
    Newer(u32),
}

impl SegmentHeader {
    pub(crate) fn encode(&self) -> ([u8; HEADER_BYTES], FrameSeed) {
        let mut bytes = Vec::with_capacity(HEADER_BYTES);
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        bytes.extend_from_slice(&[0; 4]);
        bytes.extend_from_slice(&self.database_id);
        let after = self.continues_after;
        for field in [
            self.segment,
            self.generation,
            self.first_seq,
            self.salt,
            self.synced_upto,
            after.segment,
            after.length,
            after.last_seq,
            self.stale_bytes,
        ] {
            bytes.extend_from_slice(&field.to_le_bytes());
        }
        bytes.resize(HEADER_BYTES - 4, 0);
        let checksum = crc32c(&bytes);
        bytes.extend_from_slice(&checksum.to_le_bytes());
        let mut header = [0; HEADER_BYTES];
        header.copy_from_slice(&bytes);
        (header, FrameSeed(checksum))
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<(Self, FrameSeed), HeaderError> {
        let header = bytes.first_chunk::<HEADER_BYTES>().ok_or(HeaderError::Bad)?;
        let (body, checksum) = header.split_last_chunk::<4>().ok_or(HeaderError::Bad)?;
        let seed = FrameSeed(u32::from_le_bytes(*checksum));
        if !body.starts_with(&MAGIC) || !checksum::matches(body, seed.0) {
            return Err(HeaderError::Bad);
        }
        let header = Self::decode_body(body).ok_or(HeaderError::Bad)?;
        match header {
            (VERSION, header) if !header.is_possible() => Err(HeaderError::Bad),
            (VERSION, header) => Ok((header, seed)),
            (version, _) => Err(HeaderError::Newer(version)),
        }
    }

    /// Whether the numbers of the header can have been given, and others can follow them.
    fn is_possible(&self) -> bool {
        let Self { segment, generation, first_seq, synced_upto, continues_after, .. } = self;
        let numbers = [*segment, *generation, *first_seq, *synced_upto, continues_after.last_seq];
        // Segments, generations and frames are counted from 1.
        let counted = [*segment, *generation, *first_seq];
        numbers.iter().all(|number| *number <= NUMBER_MAX) && !counted.contains(&0)
    }

    fn decode_body(body: &[u8]) -> Option<(u32, Self)> {
        let mut fields = Fields(body.get(MAGIC.len()..)?);
        let version = fields.u32()?;
        fields.u32()?;
        let header = Self {
            database_id: fields.take()?,
            segment: fields.u64()?,
            generation: fields.u64()?,
            first_seq: fields.u64()?,
            salt: fields.u64()?,
            synced_upto: fields.u64()?,
            continues_after: Predecessor {
                segment: fields.u64()?,
                length: fields.u64()?,
                last_seq: fields.u64()?,
            },
            stale_bytes: fields.u64()?,
        };
        Some((version, header))
    }
}

/// What a frame is. Other values in a sound frame are for newer programs.
pub(crate) mod kind {
    /// A payload with a number of its own.
    pub(crate) const DATA: u8 = 1;
    /// A later witness of the last sync. Bears the number of the last data frame.
    pub(crate) const IDLE: u8 = 2;
    /// As `IDLE`, and the process stopped in order.
    pub(crate) const CLEAN: u8 = 3;
}

/// The fixed part of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FrameHeader {
    /// Bytes of the whole frame.
    pub(crate) total_bytes: usize,
    checksum: u32,
    pub(crate) kind: u8,
    pub(crate) seq: u64,
    pub(crate) synced_upto: u64,
}

impl FrameHeader {
    /// Reads the fixed part; `None` if there are too few bytes or the length or a number is impossible. The
    /// checksum is not looked at: see [`is_sound`](Self::is_sound).
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut fields = Fields(bytes);
        let counted_bytes = usize::try_from(fields.u32()?).ok()?;
        if counted_bytes < COUNTED_BYTES_MIN {
            return None;
        }
        Some(Self {
            total_bytes: counted_bytes.checked_add(UNCOUNTED_BYTES)?,
            checksum: fields.u32()?,
            kind: fields.u8()?,
            seq: fields.u64().filter(|number| *number <= NUMBER_MAX)?,
            synced_upto: fields.u64().filter(|number| *number <= NUMBER_MAX)?,
        })
    }

    /// Whether `frame`, the bytes that this header was read from to the frame's end, has the checksum
    /// that it says.
    pub(crate) fn is_sound(&self, frame: &[u8], seed: FrameSeed) -> bool {
        frame.len() == self.total_bytes
            && (checksum_of(frame, seed) == Some(self.checksum)
                || is_planted(Planted::ChecksumsIgnored))
    }

    /// As [`is_sound`](Self::is_sound), from the CRC32C of all that follows the checksum's own place.
    pub(crate) fn is_sound_by(&self, rest: u32, seed: FrameSeed) -> bool {
        let counted_bytes = self.total_bytes - UNCOUNTED_BYTES;
        // It was read from four bytes.
        let length = u32::try_from(counted_bytes).unwrap_or(u32::MAX).to_le_bytes();
        let checksum = crc32c_combine(crc32c_append(seed.0, &length), rest, counted_bytes);
        checksum == self.checksum || is_planted(Planted::ChecksumsIgnored)
    }
}

/// Starts a frame at the end of `out`. Its length comes with [`end_frame`], its checksum and
/// `synced_upto` with [`seal_frame`], when it is known which segment takes it.
pub(crate) fn begin_frame(out: &mut Vec<u8>, kind: u8, seq: u64) {
    out.extend_from_slice(&[0; UNCOUNTED_BYTES]);
    out.push(kind);
    out.extend_from_slice(&seq.to_le_bytes());
    out.extend_from_slice(&[0; 8]);
}

/// Ends the frame that starts `frame`: enters its length. False if it is too long for the field.
pub(crate) fn end_frame(frame: &mut [u8]) -> bool {
    let counted = u32::try_from(frame.len().saturating_sub(UNCOUNTED_BYTES));
    match (counted, frame.first_chunk_mut::<4>()) {
        (Ok(counted), Some(place)) => {
            *place = counted.to_le_bytes();
            true
        }
        _ => false,
    }
}

/// Enters `synced_upto` and the checksum of a whole frame for the segment of `seed`.
pub(crate) fn seal_frame(frame: &mut [u8], seed: FrameSeed, synced_upto: u64) {
    if let Some(place) = frame.get_mut(FRAME_HEADER_BYTES - 8..FRAME_HEADER_BYTES) {
        place.copy_from_slice(&synced_upto.to_le_bytes());
    }
    if let (Some(checksum), Some(place)) = (checksum_of(frame, seed), frame.get_mut(4..8)) {
        place.copy_from_slice(&checksum.to_le_bytes());
    }
}

/// The payload of a whole frame.
pub(crate) fn payload(frame: &[u8]) -> &[u8] {
    frame.get(FRAME_HEADER_BYTES..).unwrap_or_default()
}

/// Checksum over the length and all that follows the checksum's own place.
fn checksum_of(frame: &[u8], seed: FrameSeed) -> Option<u32> {
    let length = frame.get(..4)?;
    let rest = frame.get(UNCOUNTED_BYTES..)?;
    Some(crc32c_append(crc32c_append(seed.0, length), rest))
}

/// Little-endian fields one after the other.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (field, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*field)
    }

    fn u8(&mut self) -> Option<u8> {
        self.take::<1>().map(|[byte]| byte)
    }

    fn u32(&mut self) -> Option<u32> {
        self.take().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.take().map(u64::from_le_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> SegmentHeader {
        SegmentHeader {
            database_id: *b"0123456789abcdef",
            segment: 7,
            generation: 3,
            first_seq: 42,
            salt: 0x1122_3344_5566_7788,
            synced_upto: 41,
            continues_after: Predecessor { segment: 6, length: 4096, last_seq: 41 },
            stale_bytes: 0,
        }
    }

    fn frame(seed: FrameSeed) -> Vec<u8> {
        let mut bytes = Vec::new();
        begin_frame(&mut bytes, kind::DATA, 42);
        bytes.extend_from_slice(b"payload");
        assert!(end_frame(&mut bytes));
        seal_frame(&mut bytes, seed, 41);
        bytes
    }

    /// The bytes on disk may not change under a version number; `docs/format/wal.md` shows the same.
    #[test]
    fn golden_bytes_of_version_1() {
        let (bytes, seed) = header().encode();
        let hex = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
        assert_eq!(
            hex(&bytes),
            concat!(
                "5453444257414c0a0100000000000000",
                "30313233343536373839616263646566",
                "07000000000000000300000000000000",
                "2a000000000000008877665544332211",
                "29000000000000000600000000000000",
                "00100000000000002900000000000000",
                "00000000000000000000000000000000",
                "000000000000000000000000e05ad155",
            )
        );
        assert_eq!(
            hex(&frame(seed)),
            concat!(
                "18000000",
                "326537e6",
                "01",
                "2a00000000000000",
                "2900000000000000",
                "7061796c6f6164",
            )
        );
    }

    #[test]
    fn headers_and_frames_come_back() {
        let (bytes, seed) = header().encode();
        assert_eq!(SegmentHeader::decode(&bytes), Ok((header(), seed)));
        let over = SegmentHeader { stale_bytes: 0x0102_0304, ..header() };
        let (bytes, over_seed) = over.encode();
        assert_eq!(bytes[96..104], [4, 3, 2, 1, 0, 0, 0, 0]);
        assert_eq!(SegmentHeader::decode(&bytes), Ok((over, over_seed)));
        let frame = frame(seed);
        let read = FrameHeader::decode(&frame).unwrap();
        assert!(read.is_sound(&frame, seed) && read.is_sound_by(crc32c(&frame[8..]), seed));
        assert!(!read.is_sound_by(crc32c(&frame[9..]), seed));
        assert_eq!((read.kind, read.seq, read.synced_upto), (kind::DATA, 42, 41));
        assert_eq!((read.total_bytes, payload(&frame)), (frame.len(), &b"payload"[..]));
    }

    #[test]
    fn every_flipped_bit_is_seen() {
        let (bytes, seed) = header().encode();
        for bit in 0..bytes.len() * 8 {
            let mut bad = bytes;
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(SegmentHeader::decode(&bad), Err(HeaderError::Bad), "bit {bit}");
        }
        let frame = frame(seed);
        for bit in 0..frame.len() * 8 {
            let mut bad = frame.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            let sound = FrameHeader::decode(&bad).is_some_and(|read| read.is_sound(&bad, seed));
            assert!(!sound, "bit {bit}");
        }
    }

    #[test]
    fn a_frame_is_sound_in_its_own_segment_only() {
        let (_, seed) = header().encode();
        let frame = frame(seed);
        let read = FrameHeader::decode(&frame).unwrap();
        let others = [
            SegmentHeader { salt: 1, ..header() },
            // The same salt again, which chance will not bring, is told apart by the rest.
            SegmentHeader { segment: 8, ..header() },
            SegmentHeader { database_id: [0; 16], ..header() },
        ];
        for other in others {
            assert!(!read.is_sound(&frame, other.encode().1), "{other:?}");
        }
    }

    #[test]
    fn numbers_that_are_never_given_or_that_none_can_follow_are_refused() {
        let beyond = NUMBER_MAX + 1;
        let after = Predecessor { last_seq: beyond, ..header().continues_after };
        for bad in [
            SegmentHeader { segment: 0, ..header() },
            SegmentHeader { segment: beyond, ..header() },
            // Its segment would be taken for one that counts for nothing, and be removed.
            SegmentHeader { generation: 0, ..header() },
            SegmentHeader { generation: u64::MAX, ..header() },
            SegmentHeader { first_seq: 0, ..header() },
            SegmentHeader { first_seq: u64::MAX, ..header() },
            SegmentHeader { synced_upto: beyond, ..header() },
            SegmentHeader { continues_after: after, ..header() },
        ] {
            assert_eq!(SegmentHeader::decode(&bad.encode().0), Err(HeaderError::Bad), "{bad:?}");
        }
        for (at, fits) in [(9, NUMBER_MAX), (9, beyond), (17, u64::MAX), (17, NUMBER_MAX)] {
            let mut frame = frame(header().encode().1);
            frame[at..at + 8].copy_from_slice(&fits.to_le_bytes());
            assert_eq!(FrameHeader::decode(&frame).is_some(), fits == NUMBER_MAX, "{at}");
        }
    }

    #[test]
    fn a_newer_version_is_told_from_damage() {
        let (mut bytes, _) = header().encode();
        bytes[8] = 2;
        assert_eq!(SegmentHeader::decode(&bytes), Err(HeaderError::Bad));
        let checksum = crc32c(&bytes[..HEADER_BYTES - 4]);
        bytes[HEADER_BYTES - 4..].copy_from_slice(&checksum.to_le_bytes());
        assert_eq!(SegmentHeader::decode(&bytes), Err(HeaderError::Newer(2)));
    }
}
