//! A log of [`DataPoint`]s: durable memory for library users who keep their points in a structure of
//! their own, such as [`MemoryStore`]. The engine does not use it; its records are columnar.
//!
//! One frame holds points of one series. Its payload (all integers LEB128 varints unless said):
//!
//! ```text
//! 1 (u8) │ name: length, bytes │ count │ count × point
//! point = timestamp − timestamp of the point before (zigzag; the first minus 0)
//!       │ value (f64, little-endian bits)
//!       │ 0: tags of the point before (the first: none), or n + 1 and n × (key: length, bytes
//!       │    value: length, bytes), in order of keys
//! ```

use tsdb_core::{DataPoint, MemoryStore, TagCharset, Tags, TimeSeries, env::Env};

use crate::{
    error::{AppendError, Error, OpenError, Result},
    replay::Floor,
    wal::{Recovery, Wal, WalOptions},
};

/// First byte of every payload; other values are for later versions.
const POINTS: u8 = 1;

/// A write-ahead log of points by series.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use tsdb_core::{DataPoint, MemoryStore, Tags, TimeRange, env::Env};
/// use tsdb_wal::{Floor, PointLog, WalOptions};
///
/// # let dir = tempfile::tempdir()?;
/// let options = WalOptions::new(dir.path().join("wal"), *b"my-database-uuid");
/// let (log, _) = PointLog::open(&Env::real(), options.clone(), Floor::default(), |_, _| {})?;
/// log.append("cpu", &[DataPoint::new(1_000, 0.5, Tags::new([("host", "a")])?)?])?;
/// log.sync()?; // from here on, the point survives every crash
/// drop(log);
///
/// let store = MemoryStore::new();
/// let (_log, recovery) = PointLog::open_store(&Env::real(), options, Floor::default(), &store)?;
/// assert_eq!(recovery.frames, 1);
/// assert_eq!(store.points("cpu", TimeRange::all())?.len(), 1);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct PointLog {
    wal: Wal,
}

impl PointLog {
    /// Opens the log and hands all its points to `apply`, in the order in which they were appended;
    /// frames up to [`Floor::flushed_through`] are left out.
    ///
    /// # Errors
    /// As [`Wal::open`]; a frame that some other program appended.
    pub fn open(
        env: &Env,
        options: WalOptions,
        floor: Floor,
        mut apply: impl FnMut(&str, DataPoint),
    ) -> Result<(Self, Recovery)> {
        let mut apply = |name: &str, point| {
            apply(name, point);
            Ok(())
        };
        Self::open_with(env, options, floor, &mut apply)
    }

    /// As [`open`](Self::open), into a store.
    ///
    /// # Errors
    /// As [`open`](Self::open); what the store refuses.
    pub fn open_store(
        env: &Env,
        options: WalOptions,
        floor: Floor,
        store: &MemoryStore,
    ) -> Result<(Self, Recovery)> {
        let mut apply = |name: &str, point| Ok(store.insert(name, point)?);
        Self::open_with(env, options, floor, &mut apply)
    }

    fn open_with(
        env: &Env,
        options: WalOptions,
        floor: Floor,
        apply: &mut dyn FnMut(&str, DataPoint) -> Result<()>,
    ) -> Result<(Self, Recovery)> {
        let opened = Wal::open(env, options, floor, |frame| {
            if frame.seq <= floor.flushed_through {
                return Ok(());
            }
            let (name, points) =
                decode(frame.payload).ok_or(Error::ForeignPayload { seq: frame.seq })?;
            points.into_iter().try_for_each(|point| apply(name, point))
        });
        match opened {
            Ok((wal, recovery)) => Ok((Self { wal }, recovery)),
            Err(OpenError::Wal(error) | OpenError::Visit(error)) => Err(error),
        }
    }

    /// Appends points of one series in one frame: after a crash all of them are there or none. Returns
    /// the frame's number. They are safe after the next [`sync`](Self::sync).
    ///
    /// # Errors
    /// A name or timestamp that is not allowed; as [`Wal::append_with`]. Nothing was appended then.
    pub fn append(&self, series: &str, points: &[DataPoint]) -> Result<u64> {
        TimeSeries::new(series)?;
        for point in points {
            DataPoint::new(point.timestamp, point.value, Tags::empty())?;
        }
        let appended = self.wal.append_with(|_, out| {
            encode(out, series, points);
            Ok::<(), Error>(())
        });
        match appended {
            Ok(seq) => Ok(seq),
            Err(AppendError::Wal(error) | AppendError::Write(error)) => Err(error),
        }
    }

    /// Makes all that was appended before durable.
    ///
    /// # Errors
    /// As [`Wal::sync`].
    pub fn sync(&self) -> Result<u64> {
        self.wal.sync()
    }

    /// The log itself: for generations, which let points that are stored elsewhere go.
    pub fn wal(&self) -> &Wal {
        &self.wal
    }
}

fn encode(out: &mut Vec<u8>, series: &str, points: &[DataPoint]) {
    out.push(POINTS);
    put_text(out, series);
    put_varint(out, points.len() as u64);
    let (mut last_time, none) = (0_i64, Tags::empty());
    let mut last_tags = &none;
    for point in points {
        let delta = point.timestamp.wrapping_sub(last_time);
        put_varint(out, ((delta << 1) ^ (delta >> 63)).cast_unsigned());
        out.extend_from_slice(&point.value.to_bits().to_le_bytes());
        if point.tags == *last_tags {
            put_varint(out, 0);
        } else {
            put_varint(out, point.tags.len() as u64 + 1);
            for (key, value) in point.tags.iter() {
                put_text(out, key);
                put_text(out, value);
            }
        }
        (last_time, last_tags) = (point.timestamp, &point.tags);
    }
}

/// `None` for anything that `encode` does not write.
fn decode(payload: &[u8]) -> Option<(&str, Vec<DataPoint>)> {
    let mut input = Input(payload);
    if input.take(1)? != [POINTS] {
        return None;
    }
    let name = input.text()?;
    let count = input.varint()?;
    let mut points = Vec::new();
    let (mut time, mut tags) = (0_i64, Tags::empty());
    for _ in 0..count {
        let zigzag = input.varint()?;
        let delta = (zigzag >> 1).cast_signed() ^ -(zigzag & 1).cast_signed();
        time = time.wrapping_add(delta);
        let value = f64::from_bits(u64::from_le_bytes(input.take(8)?.try_into().ok()?));
        if let Some(pairs) = input.varint()?.checked_sub(1) {
            let pairs: Option<Vec<_>> =
                (0..pairs).map(|_| Some((input.text()?, input.text()?))).collect();
            tags = Tags::with_charset(pairs?, TagCharset::Utf8).ok()?;
        }
        points.push(DataPoint::new(time, value, tags.clone()).ok()?);
    }
    input.0.is_empty().then_some((name, points))
}

fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    loop {
        let [low, ..] = value.to_le_bytes();
        value >>= 7;
        if value == 0 {
            out.push(low);
            return;
        }
        out.push(low | 0x80);
    }
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    put_varint(out, text.len() as u64);
    out.extend_from_slice(text.as_bytes());
}

/// The bytes of a payload that are not decoded yet.
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn varint(&mut self) -> Option<u64> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let (byte, rest) = self.0.split_first()?;
            self.0 = rest;
            let bits = u64::from(byte & 0x7f);
            if bits.leading_zeros() < shift {
                return None;
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    fn text(&mut self) -> Option<&'a str> {
        let length = usize::try_from(self.varint()?).ok()?;
        std::str::from_utf8(self.take(length)?).ok()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use tsdb_core::{
        TimeRange,
        env::{CrashChoice, SimVfs},
        time::{MAX_TIME, MIN_TIME},
    };

    use super::*;

    fn tags() -> impl Strategy<Value = Tags> {
        prop::collection::btree_map("[a-c]{1,3}", "[ -~é]{1,12}", 0..4)
            .prop_map(|pairs| Tags::with_charset(pairs, TagCharset::Utf8).unwrap())
    }

    fn point() -> impl Strategy<Value = DataPoint> {
        let timestamp = prop_oneof![MIN_TIME..=MAX_TIME, -5_i64..5, Just(MIN_TIME), Just(MAX_TIME)];
        (timestamp, any::<u64>(), tags()).prop_map(|(timestamp, bits, tags)| {
            DataPoint::new(timestamp, f64::from_bits(bits), tags).unwrap()
        })
    }

    /// Equal with values bit for bit, NaN too.
    fn same(left: &[DataPoint], right: &[DataPoint]) -> bool {
        let parts = |p: &DataPoint| (p.timestamp, p.value.to_bits(), p.tags.clone());
        left.iter().map(parts).eq(right.iter().map(parts))
    }

    proptest! {
        #[test]
        fn points_come_back_bit_for_bit(
            name in "[ -~]{1,20}",
            points in prop::collection::vec(point(), 0..20),
            cut in any::<prop::sample::Index>(),
        ) {
            let mut bytes = Vec::new();
            encode(&mut bytes, &name, &points);
            let (read_name, read) = decode(&bytes).unwrap();
            prop_assert_eq!(read_name, &name);
            prop_assert!(same(&read, &points));
            prop_assert!(decode(&bytes[..cut.index(bytes.len())]).is_none(), "a part is not the whole");
            bytes.push(0);
            prop_assert!(decode(&bytes).is_none(), "nor is more");
        }

        #[test]
        fn any_bytes_are_decoded_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            let mut tagged = vec![POINTS];
            tagged.extend(bytes);
            drop(decode(&tagged));
        }

        #[test]
        fn varints_come_back(value in any::<u64>(), small in 0_u64..1000) {
            for value in [value, small, u64::MAX, 0] {
                let mut bytes = Vec::new();
                put_varint(&mut bytes, value);
                prop_assert_eq!(Input(&bytes).varint(), Some(value));
            }
        }
    }

    fn options() -> WalOptions {
        WalOptions { segment_bytes_max: 2000, ..WalOptions::new("/wal", [5; 16]) }
    }

    fn at(timestamp: i64, host: &str) -> DataPoint {
        let value = timestamp as f64 / 3.0;
        DataPoint::new(timestamp, value, Tags::new([("host", host)]).unwrap()).unwrap()
    }

    /// The blueprint's recovery: the in-memory state after a crash is that of all synced points.
    #[test]
    fn the_state_in_memory_is_rebuilt_after_a_crash() {
        let vfs = SimVfs::new(61);
        let (log, _) = PointLog::open(&vfs.env(), options(), Floor::default(), |_, _| {}).unwrap();
        let live = MemoryStore::new();
        for n in 0..200 {
            for (series, host) in [("cpu", "a"), ("cpu", "b"), ("mem", "a")] {
                log.append(series, &[at(n % 50, host), at(n, host)]).unwrap();
                live.insert(series, at(n % 50, host)).unwrap();
                live.insert(series, at(n, host)).unwrap();
            }
        }
        log.sync().unwrap();
        log.append("cpu", &[at(999, "lost")]).unwrap();
        let store = MemoryStore::new();
        let crashed = vfs.crash(CrashChoice::KeepNone);
        let (_, recovery) =
            PointLog::open_store(&crashed.env(), options(), Floor::default(), &store).unwrap();
        assert_eq!(recovery.frames, 600);
        assert!(recovery.segments > 3);
        for series in ["cpu", "mem"] {
            let points = live.points(series, TimeRange::all()).unwrap();
            assert_eq!(points.len(), if series == "cpu" { 400 } else { 200 });
            assert_eq!(store.points(series, TimeRange::all()).unwrap(), points);
        }
    }

    #[test]
    fn points_that_are_stored_elsewhere_are_let_go() {
        let vfs = SimVfs::new(62);
        let (log, _) = PointLog::open(&vfs.env(), options(), Floor::default(), |_, _| {}).unwrap();
        log.append("old", &[at(1, "a")]).unwrap();
        let sealed = log.wal().begin_generation(|sealed| sealed).unwrap();
        log.append("new", &[at(2, "a"), at(3, "a")]).unwrap();
        log.sync().unwrap();
        log.wal().remove_through(sealed.closed).unwrap();
        let floor = Floor {
            flushed_through: sealed.last_seq,
            synced_upto: 0,
            next_seq: sealed.last_seq + 1,
            oldest_generation: sealed.opened,
        };
        let mut seen: BTreeMap<String, Vec<DataPoint>> = BTreeMap::new();
        PointLog::open(&vfs.env(), options(), floor, |series, point| {
            seen.entry(series.to_owned()).or_default().push(point);
        })
        .unwrap();
        assert_eq!(seen, BTreeMap::from([("new".to_owned(), vec![at(2, "a"), at(3, "a")])]));
    }

    #[test]
    fn what_may_not_be_stored_is_not_logged() {
        let vfs = SimVfs::new(63);
        let (log, _) = PointLog::open(&vfs.env(), options(), Floor::default(), |_, _| {}).unwrap();
        assert!(matches!(log.append("", &[at(1, "a")]), Err(Error::InvalidPoint(_))));
        let late = DataPoint { timestamp: i64::MAX, ..at(1, "a") };
        assert!(matches!(log.append("cpu", &[at(1, "a"), late]), Err(Error::InvalidPoint(_))));
        assert_eq!(log.append("cpu", &[at(1, "a")]).unwrap(), 1, "no number was used up");
    }

    #[test]
    fn a_foreign_payload_is_refused() {
        let vfs = SimVfs::new(64);
        let none = Floor::default();
        let (wal, _) = Wal::open(&vfs.env(), options(), none, |_| Ok::<(), Error>(())).unwrap();
        wal.append(b"\x09something else").unwrap();
        wal.sync().unwrap();
        let error = PointLog::open(&vfs.env(), options(), none, |_, _| {}).unwrap_err();
        assert!(matches!(error, Error::ForeignPayload { seq: 1 }), "{error}");
    }
}
