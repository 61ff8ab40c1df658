//! Rows by names: how every format but line protocol hands them over.
//!
//! A row is written down as bytes while its names come in, and these bytes are what the caches of series
//! and shapes are asked for; only where they do not know them are the names looked at. So a row of a known
//! series costs two comparisons of bytes, and nothing is allocated for it.
//!
//! The bytes are unlike those of line protocol, with which they share the caches: a line begins neither
//! its key with a comma nor its fields with an equals sign.

use tsdb_core::{DataPoint, FIELD_TAG, NAME_TAG, SeriesKey, time};

use super::series_cache::{EntryId, SeriesHandle};
use super::shapes::{Field, FieldKind, ShapeId};
use super::{Refusal, Rows};
use crate::report::Origin;
use crate::{Reason, Result, Validation, limits};

/// First byte of every key.
const KEY_MARK: u8 = b',';
/// First byte of every list of fields.
const FIELDS_MARK: u8 = b'=';

/// Behind the name of a number.
const NUMBER_MARK: u8 = b'n';
/// Behind the name of a text.
const TEXT_MARK: u8 = b't';

#[cfg(test)]
thread_local! {
    static WRITTEN_BYTES: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

/// Counts the bytes that were written down, in tests: they have to be linear in the input.
#[inline(always)]
fn written(bytes: usize) {
    #[cfg(test)]
    WRITTEN_BYTES.with(|count| count.set(count.get() + bytes));
    #[cfg(not(test))]
    let _ = bytes;
}

/// Bytes written down on this thread since the last call.
#[cfg(test)]
pub(crate) fn take_written() -> usize {
    WRITTEN_BYTES.with(|count| count.replace(0))
}

/// One row on its way into [`Rows`]; what is not pushed is forgotten.
///
/// Names come in any order; tags that come in the same order as the last time are found faster. Tags come
/// before [`Rows::next_row`]; a further row has those of the row before.
#[derive(Debug)]
pub struct RowBuilder<'a> {
    rows: &'a mut Rows,
}

impl<'a> RowBuilder<'a> {
    pub(super) fn new(rows: &'a mut Rows) -> RowBuilder<'a> {
        RowBuilder { rows }
    }

    /// A tag of its series.
    pub fn tag(&mut self, key: &str, value: &str) {
        self.rows.draft_series = None;
        self.rows.draft.tag(key, value);
    }

    /// A field. Of a name that comes twice the last value counts.
    pub fn field(&mut self, name: &str, value: f64) {
        self.rows.draft.field(name, NUMBER_MARK, Some(value));
    }

    /// A field that is text: it is not stored, and announced.
    pub fn text(&mut self, name: &str) {
        self.rows.draft.field(name, TEXT_MARK, None);
    }

    /// Appends the row, at `time_ns` since 1970, or takes note of why it is refused: where in `input` it
    /// stands is `origin`. `input` is that of the whole request, the same with every row.
    ///
    /// # Errors
    /// Only what ends the whole request, as with [`crate::Format::parse_rows`].
    pub fn push(self, input: &[u8], origin: Origin, time_ns: i64) -> Result<()> {
        let RowBuilder { rows } = self;
        rows.settle_portion(input)?;
        match rows.push_draft(origin, time_ns) {
            Ok(()) => Ok(()),
            Err(Refusal::Request(error)) => Err(error.into()),
            Err(Refusal::Row(reason)) => {
                rows.refuse(input, origin, origin.start, reason);
                Ok(())
            }
        }
    }

    /// Appends the row; the caller has let the rows settle, and takes note of refusals.
    pub(crate) fn try_push(self, origin: Origin, time_ns: i64) -> Result<(), Refusal> {
        self.rows.push_draft(origin, time_ns)
    }
}

/// What is known of the series of a draft.
#[derive(Debug, Clone, Copy)]
pub(super) struct DraftSeries {
    series: SeriesHandle,
    /// Its place in the cache, if that has room.
    entry: Option<EntryId>,
    /// Order of fields that came with it, the last time; a guess.
    shape: ShapeId,
}

/// The bytes of a row. Every name and value stands behind its length, so no two rows have the same bytes.
#[derive(Debug, Default)]
pub(super) struct Draft {
    /// Measurement and tags.
    key: Vec<u8>,
    /// Names of fields with marks of their kinds.
    fields: Vec<u8>,
    /// Numbers, in the order of the fields.
    values: Vec<f64>,
    /// It is longer than a line may be, its series alone or with its fields; its bytes are incomplete.
    is_key_overlong: bool,
    is_overlong: bool,
}

impl Draft {
    pub(super) fn begin(&mut self, measurement: &str) {
        self.key.clear();
        self.key.push(KEY_MARK);
        self.is_key_overlong = false;
        self.begin_fields();
        if self.has_room_for_key(measurement.len()) {
            put(&mut self.key, measurement);
        }
    }

    pub(super) fn begin_fields(&mut self) {
        self.fields.clear();
        self.fields.push(FIELDS_MARK);
        self.values.clear();
        self.is_overlong = false;
    }

    fn tag(&mut self, key: &str, value: &str) {
        if self.has_room_for_key(key.len().saturating_add(value.len())) {
            put(&mut self.key, key);
            put(&mut self.key, value);
        }
    }

    fn field(&mut self, name: &str, mark: u8, value: Option<f64>) {
        if self.has_room(name.len()) {
            put(&mut self.fields, name);
            self.fields.push(mark);
            self.values.extend(value);
        }
    }

    /// Whether so many bytes more still make a row.
    fn has_room(&mut self, bytes: usize) -> bool {
        let used = self.key.len() + self.fields.len();
        self.is_overlong |= used.saturating_add(bytes) > limits::LINE_BYTES_MAX;
        !self.is_overlong
    }

    fn has_room_for_key(&mut self, bytes: usize) -> bool {
        self.is_key_overlong |= !self.has_room(bytes);
        !self.is_key_overlong
    }

    fn measurement(&self) -> &str {
        texts(&self.key).next().unwrap_or_default()
    }

    #[cold]
    fn series_key(&self, validation: &Validation) -> Result<SeriesKey, Reason> {
        let mut texts = texts(&self.key).skip(1);
        let mut tags = Vec::new();
        while let (Some(key), Some(value)) = (texts.next(), texts.next()) {
            tags.push((key, value));
        }
        validation.series_key(self.measurement(), &mut tags)
    }

    #[cold]
    fn field_list(&self) -> Vec<Field> {
        let mut list = Vec::new();
        let mut at = 1;
        while let Some(name) = text_at(&self.fields, at) {
            let end = at + LENGTH_BYTES + name.len();
            let mark = self.fields.get(end);
            let kind = if mark == Some(&TEXT_MARK) { FieldKind::Text } else { FieldKind::Number };
            list.push(Field { raw: at..end + 1, name: name.to_owned(), kind });
            at = end + 1;
        }
        list
    }
}

/// Bytes of a length before a text.
const LENGTH_BYTES: usize = size_of::<u32>();

/// Appends a text behind its length, which is far below 2^32: rows are shorter.
fn put(out: &mut Vec<u8>, text: &str) {
    let bytes = u32::try_from(text.len()).unwrap_or(u32::MAX);
    out.extend_from_slice(&bytes.to_le_bytes());
    out.extend_from_slice(text.as_bytes());
    written(LENGTH_BYTES + text.len());
}

/// The text whose length stands at `at`.
fn text_at(bytes: &[u8], at: usize) -> Option<&str> {
    let (length, behind) = bytes.get(at..)?.split_first_chunk::<LENGTH_BYTES>()?;
    let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
    std::str::from_utf8(behind.get(..length)?).ok()
}

/// The texts of a key.
fn texts(key: &[u8]) -> impl Iterator<Item = &str> {
    let mut at = 1;
    std::iter::from_fn(move || {
        let text = text_at(key, at)?;
        at += LENGTH_BYTES + text.len();
        Some(text)
    })
}

impl Rows {
    /// Appends the row of the draft.
    ///
    /// # Errors
    /// A row without fields or too long, what [`Validation`] refuses, what [`Rows::push`] does.
    pub(super) fn push_draft(&mut self, origin: Origin, time_ns: i64) -> Result<(), Refusal> {
        let draft = std::mem::take(&mut self.draft);
        let outcome = self.push_taken(&draft, origin, time_ns);
        self.draft = draft;
        outcome
    }

    fn push_taken(&mut self, draft: &Draft, origin: Origin, time_ns: i64) -> Result<(), Refusal> {
        if draft.is_overlong || draft.is_key_overlong {
            return Err(Reason::LineTooLong.into());
        }
        time::check_time(time_ns).map_err(|_| Reason::TimeOutsideRange)?;
        let known = self.known_series(draft);
        // Taken up only when the whole row is right.
        let new_key = match known {
            Some(_) => None,
            None => Some(draft.series_key(&self.validation)?),
        };
        let shape = self.draft_shape(draft, known.map(|known| known.shape))?;
        let series = match (known, new_key) {
            (Some(known), _) => DraftSeries { shape, ..known },
            (None, Some(key)) => {
                let defined = self.define_series(&draft.key, key).map_err(Refusal::Request)?;
                DraftSeries { series: defined.0, entry: defined.1, shape }
            }
            (None, None) => return Err(Reason::MissingMeasurement.into()),
        };
        if let Some(entry) = series.entry
            && known.is_none_or(|known| known.shape != shape)
        {
            self.series.set_shape(entry, shape);
        }
        self.draft_series = Some(series);
        self.push(series.series, shape, time_ns, &draft.values, origin)
    }

    fn known_series(&mut self, draft: &Draft) -> Option<DraftSeries> {
        self.draft_series.or_else(|| {
            let cached = self.series.recall(&draft.key)?;
            let entry = Some(cached.entry);
            Some(DraftSeries { series: cached.series, entry, shape: cached.shape })
        })
    }

    /// Whether rows of the draft's series can be stored; for those who have many of them.
    ///
    /// # Errors
    /// A series that is too long or that [`Validation`] refuses.
    pub(crate) fn check_draft_series(&mut self) -> Result<(), Reason> {
        let draft = std::mem::take(&mut self.draft);
        let outcome = match self.known_series(&draft) {
            _ if draft.is_key_overlong => Err(Reason::LineTooLong),
            Some(known) => {
                self.draft_series = Some(known);
                Ok(())
            }
            None => draft.series_key(&self.validation).map(drop),
        };
        self.draft = draft;
        outcome
    }

    fn draft_shape(&mut self, draft: &Draft, expected: Option<ShapeId>) -> Result<ShapeId, Reason> {
        if let Some(expected) = expected
            && self.shapes.has_signature(expected, &draft.fields)
        {
            return Ok(expected);
        }
        if let Some(known) = self.shapes.find(&draft.fields) {
            return Ok(known);
        }
        if draft.fields.len() <= 1 {
            return Err(Reason::MissingFields);
        }
        self.define_shape(&draft.fields, draft.field_list(), || draft.measurement().to_owned())
    }

    /// The shape of rows of one field.
    ///
    /// # Errors
    /// As [`Rows::define_shape`].
    pub(crate) fn shape_of_field(&mut self, name: &str) -> Result<ShapeId, Reason> {
        let mut draft = std::mem::take(&mut self.draft);
        draft.begin_fields();
        draft.field(name, NUMBER_MARK, None);
        let shape = self.draft_shape(&draft, None);
        self.draft = draft;
        shape
    }

    /// Appends points as rows of one field, numbered from 1.
    ///
    /// # Errors
    /// What ends the whole request.
    pub(crate) fn add_points(&mut self, input: &[u8], points: &[DataPoint]) -> Result<()> {
        // They are in memory already; from here on they count.
        self.charge(size_of_val(points))?;
        for (line, point) in (1..).zip(points) {
            let mut row = self.row(point.measurement().unwrap_or_default());
            for (key, value) in point.tags.iter() {
                if key != NAME_TAG && key != FIELD_TAG {
                    row.tag(key, value);
                }
            }
            row.field(point.field(), point.value);
            row.push(input, Origin { line, start: 0, end: 0 }, point.timestamp)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tsdb_core::{MemoryBudget, NamespaceId, TagCharset};

    use super::*;
    use crate::rows::Overdraft;
    use crate::testing::Recorder;

    struct Fixture {
        store: Arc<Recorder>,
        rows: Rows,
    }

    impl Fixture {
        fn new() -> Fixture {
            let store = Arc::new(Recorder::default());
            let budget = MemoryBudget::default();
            let rows = Rows::new(Some(store.clone()), &budget, Overdraft::new(0), 1 << 20, 1);
            Fixture { store, rows }
        }

        /// Writes rows of one request, and shows what became of them.
        fn write(&mut self, charset: TagCharset, write: impl Fn(&mut Rows)) -> Vec<String> {
            self.rows.begin(NamespaceId(0), Validation { charset, ..Validation::default() });
            write(&mut self.rows);
            self.rows.resolve(b"").unwrap();
            let mut shown: Vec<String> = {
                use tsdb_core::Append;
                if !self.rows.batch().is_empty() {
                    self.store.append(self.rows.batch()).unwrap().wait().unwrap();
                }
                self.store.take_rows()
            };
            let report = self.rows.report();
            shown.extend(report.ignored_fields.iter().map(|name| format!("~{name}")));
            shown.extend(report.errors.iter().map(|e| format!("!{} {}", e.line, e.reason)));
            shown
        }
    }

    fn origin(line: u64) -> Origin {
        Origin { line, ..Origin::default() }
    }

    #[test]
    fn rows_are_stored_by_their_names() {
        let mut fixture = Fixture::new();
        for _ in 0..3 {
            let shown = fixture.write(TagCharset::Ascii, |rows| {
                let mut row = rows.row("cpu");
                row.tag("host", "a");
                row.tag("dc", "x");
                row.field("user", 1.0);
                row.text("note");
                row.field("idle", 2.0);
                row.push(b"", origin(1), 5).unwrap();
                let mut row = rows.row("cpu");
                row.field("user", f64::INFINITY);
                row.field("user", -0.0);
                row.push(b"", origin(2), 6).unwrap();
            });
            assert_eq!(shown, ["cpu,dc=x,host=a idle=2.0,user=1.0 5", "cpu user=-0.0 6", "~note"]);
        }
    }

    #[test]
    fn further_rows_have_the_series_of_the_last_one() {
        let mut fixture = Fixture::new();
        // Small portions, so that what is pending gets another handle in between.
        fixture.rows.portion_bytes_max = 200;
        for _ in 0..2 {
            let shown = fixture.write(TagCharset::Ascii, |rows| {
                for host in ["a", "b"] {
                    let mut row = rows.row("m");
                    row.tag("h", host);
                    for (line, time) in (1..).zip(0..20) {
                        let mut row = rows.next_row();
                        row.field(if time % 5 == 0 { "f" } else { "g" }, 1.0);
                        row.push(b"", origin(line), time).unwrap();
                    }
                }
            });
            let row = |host: &str, time: i32| {
                format!("m,h={host} {}=1.0 {time}", if time % 5 == 0 { "f" } else { "g" })
            };
            let expected: Vec<String> = ["a", "b"]
                .into_iter()
                .flat_map(|host| (0..20).map(move |time| row(host, time)))
                .collect();
            assert_eq!(shown, expected);
        }
        let shown = fixture.write(TagCharset::Ascii, |rows| {
            for tag in [None, Some("x"), None, Some("y")] {
                let mut row = if tag.is_none() { rows.row("m") } else { rows.next_row() };
                if let Some(tag) = tag {
                    row.tag("t", tag);
                }
                row.field("f", 1.0);
                row.push(b"", origin(1), 1).unwrap();
            }
        });
        assert_eq!(shown, ["m f=1.0 1", "m,t=x f=1.0 1", "m f=1.0 1", "m,t=y f=1.0 1"]);

        take_written();
        let long = "x".repeat(4000);
        fixture.write(TagCharset::Ascii, |rows| {
            let mut row = rows.row("m");
            row.tag("h", &long);
            for time in 0..100 {
                let mut row = rows.next_row();
                row.field("f", 1.0);
                row.push(b"", origin(1), time).unwrap();
            }
        });
        assert!(take_written() < 6000, "the tag is written down once");
    }

    #[test]
    fn refused_rows_leave_nothing() {
        let mut fixture = Fixture::new();
        let long = "x".repeat(limits::LINE_BYTES_MAX);
        for _ in 0..2 {
            let shown = fixture.write(TagCharset::Ascii, |rows| {
                let mut line = 0;
                let mut push = |rows: &mut Rows, parts: [&str; 4], time| {
                    line += 1;
                    let [measurement, key, value, field] = parts;
                    let mut row = rows.row(measurement);
                    if !key.is_empty() {
                        row.tag(key, value);
                    }
                    if !field.is_empty() {
                        row.field(field, 1.0);
                    }
                    row.push(b"", origin(line), time).unwrap();
                };
                push(rows, ["m", "a", "b", "f"], 1);
                push(rows, ["", "a", "b", "f"], 1);
                push(rows, ["m", "a", "", "f"], 1);
                push(rows, ["m", "ä", "b", "f"], 1);
                push(rows, ["m", "a", "b", "ä"], 1);
                push(rows, ["m", "a", "b", ""], 1);
                push(rows, ["m", "a", "b", "time"], 1);
                push(rows, ["m", "a", "b", "f"], i64::MAX);
                push(rows, ["m", "a", &long, "f"], 1);
                push(rows, ["m", "time", "b", "f"], 1);
            });
            let reasons: Vec<&str> = shown.iter().skip(1).map(String::as_str).collect();
            assert_eq!(shown[0], "m,a=b f=1.0 1");
            for (shown, part) in reasons.iter().zip([
                "!2 missing measurement",
                "!3 tag value is empty",
                "!4 tag key \"ä\" is not ASCII",
                "!5 field name \"ä\" is not ASCII",
                "!6 missing fields",
                "!7 invalid field name: input field \"time\"",
                "!8 time outside range",
                "!9 line is longer than",
                "!10 invalid tag key: input tag \"time\"",
            ]) {
                assert!(shown.starts_with(part), "{shown}: {part}");
            }
            assert_eq!(reasons.len(), 9);
        }
    }

    /// Names whose texts, put one behind the other, would be the same.
    #[test]
    fn rows_are_told_apart_by_where_their_names_end() {
        let mut fixture = Fixture::new();
        let shown = fixture.write(TagCharset::Ascii, |rows| {
            for (line, parts) in
                (1..).zip([["m", "ab", "c", "f"], ["m", "a", "bc", "f"], ["ma", "b", "c", "f"]])
            {
                let [measurement, key, value, field] = parts;
                let mut row = rows.row(measurement);
                row.tag(key, value);
                row.field(field, 1.0);
                row.push(b"", origin(line), 1).unwrap();
            }
            let mut row = rows.row("m\0\x01\0\0\0a");
            row.field("f", 1.0);
            row.push(b"", origin(4), 1).unwrap();
        });
        assert_eq!(shown[..3], ["m,ab=c f=1.0 1", "m,a=bc f=1.0 1", "ma,b=c f=1.0 1"]);
        assert!(shown[3].contains("NUL"), "{}", shown[3]);
    }

    #[test]
    fn what_one_charset_allows_the_other_still_refuses() {
        let mut fixture = Fixture::new();
        let write = |rows: &mut Rows| {
            let mut row = rows.row("m");
            row.tag("ort", "köln");
            row.field("höhe", 1.0);
            row.push(b"", origin(1), 1).unwrap();
            let mut row = rows.row("m");
            row.field("höhe", 1.0);
            row.push(b"", origin(2), 1).unwrap();
        };
        for _ in 0..2 {
            let shown = fixture.write(TagCharset::Utf8, write);
            assert_eq!(shown, ["m,ort=köln höhe=1.0 1", "m höhe=1.0 1"]);
            let shown = fixture.write(TagCharset::Ascii, write);
            assert_eq!(shown.len(), 2, "{shown:?}");
            assert!(shown.iter().all(|line| line.starts_with('!')), "{shown:?}");
        }
    }
}
