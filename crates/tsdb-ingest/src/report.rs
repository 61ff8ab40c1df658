//! What became of a request: refused lines with their reasons, and the counts of what was stored.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;

use tsdb_core::{Ticket, time};

use crate::limits;

/// Where in a request something stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Origin {
    /// Number of the line, from 1. Formats without lines count their records. It never falls within one
    /// request, but for what belongs to no record, which has the number 0.
    pub line: u64,
    /// First byte of the line in the input, behind leading blanks.
    pub start: usize,
    /// First byte behind the line.
    pub end: usize,
}

/// Why a line or another record was refused. The texts are InfluxDB's where it has one.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Reason {
    /// Nothing where the measurement should stand.
    #[error("missing measurement")]
    MissingMeasurement,
    /// A comma without a tag key behind it.
    #[error("missing tag key")]
    MissingTagKey,
    /// A tag key without a value.
    #[error("missing tag value")]
    MissingTagValue,
    /// An equals sign inside a tag value.
    #[error("invalid tag format")]
    InvalidTagFormat,
    /// The same tag key twice.
    #[error("duplicate tags")]
    DuplicateTags {
        /// The key.
        key: String,
    },
    /// A measurement and tags, and nothing else.
    #[error("missing fields")]
    MissingFields,
    /// Fields that are no list of `name=value`.
    #[error("invalid field format")]
    InvalidFieldFormat,
    /// An equals sign without a name before it.
    #[error("missing field key")]
    MissingFieldKey,
    /// An equals sign without a value behind it.
    #[error("missing field value")]
    MissingFieldValue,
    /// A string that never ends.
    #[error("unbalanced quotes")]
    UnbalancedQuotes,
    /// Something that begins like a number and is none; NaN among others.
    #[error("invalid number")]
    InvalidNumber,
    /// A number with an exponent that is malformed or larger than an `f64` holds.
    #[error("invalid float")]
    InvalidFloat,
    /// Something that is no number, no string and no boolean.
    #[error("invalid boolean")]
    InvalidBoolean,
    /// An integer outside of 64 bits.
    #[error("unable to parse integer {text}: value out of range")]
    IntegerOutOfRange {
        /// Its first digits.
        text: String,
    },
    /// A timestamp that is no integer.
    #[error("bad timestamp")]
    BadTimestamp,
    /// A timestamp that cannot be stored.
    #[error("time outside range {min} - {max}", min = time::MIN_TIME, max = time::MAX_TIME)]
    TimeOutsideRange,
    /// Something behind the timestamp.
    #[error("point is invalid")]
    TrailingText,
    /// A name that is not UTF-8.
    #[error("invalid UTF-8 at byte {at} of the line")]
    InvalidUtf8 {
        /// Offset of the first bad byte in the line, from 0.
        at: usize,
    },
    /// A line of more than [`limits::LINE_BYTES_MAX`] bytes.
    #[error(
        "line is longer than {max} bytes: split it into several",
        max = limits::LINE_BYTES_MAX
    )]
    LineTooLong,
    /// A tag whose name queries keep for the timestamp.
    #[error("invalid tag key: input tag \"time\" on measurement \"{measurement}\" is invalid")]
    TimeTag {
        /// Measurement of the line.
        measurement: String,
    },
    /// A line whose only field has the name that queries keep for the timestamp.
    #[error("invalid field name: input field \"time\" on measurement \"{measurement}\" is invalid")]
    TimeField {
        /// Measurement of the line.
        measurement: String,
    },
    /// A row that retention would remove at once.
    #[error("points beyond retention policy")]
    BeyondRetention,
    /// Text that is no JSON.
    #[error("invalid JSON at byte {at}: {what}")]
    InvalidJson {
        /// Offset of the trouble in the request, from 0.
        at: usize,
        /// What is wrong there.
        what: &'static str,
    },
    /// JSON that is nested deeper than any record.
    #[error("nested more than {max} levels deep: a record has three", max = limits::JSON_DEPTH_MAX)]
    NestedTooDeep,
    /// A JSON record of more than [`limits::JSON_RECORD_BYTES_MAX`] bytes.
    #[error(
        "record is longer than {max} bytes: split it into several",
        max = limits::JSON_RECORD_BYTES_MAX
    )]
    RecordTooLong,
    /// A part of a JSON record that is of another type than it must be.
    #[error("{key} is {found}: give {expected}")]
    WrongType {
        /// Where in the record: names with dots between them.
        key: String,
        /// What stands there.
        found: &'static str,
        /// What may stand there.
        expected: &'static str,
    },
    /// A key that no JSON record has.
    #[error("unknown key {key:?}: use measurement, tags, fields, value and time")]
    UnknownKey {
        /// The key.
        key: String,
    },
    /// A key that no record of another database's shape has.
    #[error("unknown key {key:?}: records with a metric have {known}")]
    ForeignKey {
        /// The key.
        key: String,
        /// The keys of that shape.
        known: &'static str,
    },
    /// A key of a JSON record that stands there twice.
    #[error("duplicate key {key:?}: keep one of them")]
    DuplicateKey {
        /// The key.
        key: String,
    },
    /// A column of a JSON record whose length is not that of its times.
    #[error(
        "{key} has {count} values for {times} times: give one for each, null where there is none"
    )]
    ColumnLength {
        /// Where in the record: names with dots between them.
        key: String,
        /// Its values.
        count: usize,
        /// Its times.
        times: usize,
    },
    /// A time that is neither an integer nor a date.
    #[error("time {text:?} is neither an integer nor RFC 3339 (2006-01-02T15:04:05Z)")]
    InvalidTime {
        /// What stands there, cut.
        text: String,
    },
    /// A header of CSV that cannot be used; all rows are refused with it.
    #[error("header: {0}")]
    Header(HeaderFault),
    /// A row of CSV that has not as many cells as the header.
    #[error(
        "{count} cells where the header has {columns}: give each row one cell for each column, an empty \
         one where there is no value"
    )]
    CellCount {
        /// Cells of the row.
        count: usize,
        /// Columns of the header.
        columns: usize,
    },
    /// A cell of CSV that is not UTF-8.
    #[error("column {column:?} holds bytes that are not UTF-8: send UTF-8")]
    CellNotUtf8 {
        /// Name of the column.
        column: String,
    },
    /// A cell in a column of fields that is no number and no boolean.
    #[error(
        "column {column:?} holds {text:?}, which is no number: make it a tag (with the header \
         {column}:tag, or the parameter tags={column}), or leave it out ({column}:ignore)"
    )]
    InvalidCell {
        /// Name of the column.
        column: String,
        /// The cell, cut.
        text: String,
    },
    /// A series of remote write that does not say of which metric it is.
    #[error("no label __name__: give every series the name of its metric")]
    MissingMetricName,
    /// A label without a name.
    #[error("a label has no name: name it, or leave it out")]
    EmptyLabelName,
    /// A label of remote write 2.0 that is longer than any that can be stored.
    #[error("a label has {bytes} bytes, the limit is {max}: shorten it", max = limits::LABEL_BYTES_MAX)]
    LongLabel {
        /// Its length.
        bytes: usize,
    },
    /// Labels of remote write 2.0 that are no pairs.
    #[error("labels_refs has {count} entries: send pairs of a name and a value")]
    OddReferences {
        /// Entries of the list.
        count: u64,
    },
    /// A label of remote write 2.0 that is not in the table of texts.
    #[error("labels_refs has a {number}, and the table has {symbols} symbols: number them from 0")]
    NoSuchSymbol {
        /// The number.
        number: u32,
        /// Texts in the table.
        symbols: usize,
    },
    /// Native histograms, for which the data model has no place.
    #[error(
        "{count} native histograms cannot be stored: scrape classic histograms, and set \
         send_native_histograms: false"
    )]
    NativeHistograms {
        /// How many of one series.
        count: u64,
    },
    /// Exemplars, for which the data model has no place.
    #[error("{count} exemplars cannot be stored: set send_exemplars: false")]
    Exemplars {
        /// How many of one series.
        count: u64,
    },
    /// What a format says that is not of this crate.
    #[error("{text}")]
    Other {
        /// Lower case, with the place and what to do.
        text: String,
    },
    /// A limit of the data model.
    #[error("{0}")]
    Limit(tsdb_core::Error),
    /// The store takes no such series or field.
    #[error("{0}")]
    Store(tsdb_core::Error),
}

/// What is wrong with a header of CSV, or with the parameters that speak of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HeaderFault {
    /// An empty cell.
    #[error("column {column} has no name: give it one, or cut the column off")]
    Unnamed {
        /// Number of the column, from 1.
        column: usize,
    },
    /// A name that is not UTF-8.
    #[error("column {column} holds bytes that are not UTF-8: send UTF-8")]
    NotUtf8 {
        /// Number of the column, from 1.
        column: usize,
    },
    /// A name of more than [`tsdb_core::limits::NAME_BYTES_MAX`] bytes.
    #[error("{name:?}... has {bytes} bytes, the limit for names is 256: shorten it")]
    LongName {
        /// Its beginning.
        name: String,
        /// Its length.
        bytes: usize,
    },
    /// A name that stands there twice.
    #[error("column {name:?} stands there twice: rename one of them")]
    Duplicate {
        /// The name.
        name: String,
    },
    /// Something behind a colon that is no role.
    #[error(
        "column {name:?} has the unknown role {role:?}: use tag, field, time, measurement, ignore, ns, \
         us, ms, s, m, h or rfc3339"
    )]
    UnknownRole {
        /// The name before the colon.
        name: String,
        /// What stands behind it.
        role: String,
    },
    /// A parameter that names a column which does not exist.
    #[error("parameter {parameter}={name}: there is no such column: name one of the header")]
    NoSuchColumn {
        /// The parameter.
        parameter: &'static str,
        /// The name that it gives.
        name: String,
    },
    /// A second column of a role that one column has.
    #[error("column {name:?} is a second one of role {role}: only one can be")]
    Second {
        /// Its name.
        name: String,
        /// Its role.
        role: &'static str,
    },
    /// No column for a value.
    #[error("no column holds a field: name one NAME:field, or in the parameter fields=NAME")]
    NoField,
    /// Nothing that names the measurement.
    #[error("no measurement: add a column called measurement, or the parameter measurement=NAME")]
    NoMeasurement,
    /// More columns than [`limits::COLUMNS_MAX`].
    #[error("more than {max} columns: split the table", max = limits::COLUMNS_MAX)]
    TooManyColumns,
}

/// Kinds of reasons, few enough to be counted each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum RejectKind {
    /// It cannot be read, or says something that makes no sense.
    Syntax,
    /// A value that is no number.
    Value,
    /// A time that is none, or cannot be stored.
    Time,
    /// It is not UTF-8.
    Encoding,
    /// It is longer or has more parts than is allowed, or a name that is not.
    Limit,
    /// Retention would remove it at once.
    Retention,
    /// The data model has no place for it.
    Unsupported,
    /// The store takes no such series or field.
    Store,
}

impl RejectKind {
    /// All kinds.
    pub const ALL: [RejectKind; 8] = [
        RejectKind::Syntax,
        RejectKind::Value,
        RejectKind::Time,
        RejectKind::Encoding,
        RejectKind::Limit,
        RejectKind::Retention,
        RejectKind::Unsupported,
        RejectKind::Store,
    ];

    /// Its name, as metrics have it.
    pub fn name(self) -> &'static str {
        match self {
            RejectKind::Syntax => "syntax",
            RejectKind::Value => "value",
            RejectKind::Time => "time",
            RejectKind::Encoding => "encoding",
            RejectKind::Limit => "limit",
            RejectKind::Retention => "retention",
            RejectKind::Unsupported => "unsupported",
            RejectKind::Store => "store",
        }
    }
}

/// Refused lines by kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RejectCounts([u64; RejectKind::ALL.len()]);

impl RejectCounts {
    /// Counts one.
    pub(crate) fn count(&mut self, kind: RejectKind) {
        if let Some(count) = self.0.get_mut(kind as usize) {
            *count += 1;
        }
    }

    /// How many of a kind.
    pub fn of(&self, kind: RejectKind) -> u64 {
        self.0.get(kind as usize).copied().unwrap_or(0)
    }
}

impl Reason {
    /// What kind of reason it is.
    pub fn kind(&self) -> RejectKind {
        match self {
            Reason::InvalidNumber
            | Reason::InvalidFloat
            | Reason::InvalidBoolean
            | Reason::IntegerOutOfRange { .. }
            | Reason::InvalidCell { .. }
            | Reason::WrongType { .. } => RejectKind::Value,
            Reason::BadTimestamp | Reason::TimeOutsideRange | Reason::InvalidTime { .. } => {
                RejectKind::Time
            }
            Reason::InvalidUtf8 { .. } | Reason::CellNotUtf8 { .. } => RejectKind::Encoding,
            Reason::LineTooLong
            | Reason::NestedTooDeep
            | Reason::RecordTooLong
            | Reason::LongLabel { .. }
            | Reason::Limit(_) => RejectKind::Limit,
            Reason::BeyondRetention => RejectKind::Retention,
            Reason::NativeHistograms { .. } | Reason::Exemplars { .. } => RejectKind::Unsupported,
            Reason::Store(_) => RejectKind::Store,
            _ => RejectKind::Syntax,
        }
    }

    /// True when the line was understood and its row refused all the same. InfluxDB counts such rows as
    /// dropped; lines that it cannot parse it does not count.
    pub fn drops_row(&self) -> bool {
        matches!(
            self,
            Reason::TimeTag { .. }
                | Reason::TimeField { .. }
                | Reason::BeyondRetention
                | Reason::Store(_)
        )
    }

    /// What to do about it, where the words of the reason do not say so: those that InfluxDB has too.
    pub fn remedy(&self) -> Option<Cow<'static, str>> {
        let remedy = match self {
            Reason::DuplicateTags { key } => {
                return Some(format!("{key:?} is given twice, keep one of them").into());
            }
            Reason::MissingMeasurement => "give it the name of a measurement",
            Reason::MissingTagKey => "put key=value behind the comma, or take the comma out",
            Reason::MissingTagValue => "put a value behind the equals sign, or leave the tag out",
            Reason::InvalidTagFormat => "write an equals sign inside of a tag as \\=",
            Reason::MissingFields => "give it at least one field with a value",
            Reason::InvalidFieldFormat => {
                "write fields as name=value, with a comma and no space between two of them"
            }
            Reason::MissingFieldKey => "put the name of the field before the equals sign",
            Reason::MissingFieldValue => {
                "put a value behind the equals sign, or leave the field out"
            }
            Reason::UnbalancedQuotes => {
                "close the text; what stands behind its quote was taken for a part of it"
            }
            Reason::InvalidNumber => {
                "write numbers as 1, -1.5, 1e5, 1i or 1u; there is no NaN and no infinity"
            }
            Reason::InvalidFloat => "write floats as 1.5 or 1.5e3, up to 1.7976931348623157e308",
            Reason::InvalidBoolean => {
                "write a number, t, f, true or false, and put text in double quotes"
            }
            Reason::IntegerOutOfRange { .. } => "write it without the suffix, as a float",
            Reason::BadTimestamp => "write an integer in the unit of precision",
            Reason::TimeOutsideRange => "check the time and its unit",
            Reason::TrailingText => "end the line behind the timestamp",
            Reason::InvalidUtf8 { .. } => "send UTF-8",
            Reason::TimeTag { .. } => "rename the tag",
            Reason::TimeField { .. } => "rename the field",
            Reason::BeyondRetention => "send newer rows, or lengthen the retention policy",
            _ => return None,
        };
        Some(remedy.into())
    }

    /// The reason, and what to do about it.
    pub fn explained(&self) -> String {
        match self.remedy() {
            Some(remedy) => format!("{self}: {remedy}"),
            None => self.to_string(),
        }
    }
}

/// One refused line, or another record of a format that has no lines.
#[derive(Debug, Clone, PartialEq)]
pub struct LineError {
    /// Number of the line in the request, from 1; of the record where there are no lines.
    pub line: u64,
    /// Where in the line or record the trouble begins, in bytes, from 1.
    pub column: usize,
    /// The line or record, at most [`limits::ERROR_TEXT_BYTES_MAX`] bytes of it; control characters and bytes
    /// that are not UTF-8 are escaped.
    pub text: String,
    /// Why it was refused.
    pub reason: Reason,
}

impl LineError {
    /// What it says for people who do not know InfluxDB's words by heart: where it is, and what to do.
    pub fn explained(&self) -> String {
        let LineError { line, column, text, reason } = self;
        format!("line {line}, column {column}: unable to parse '{text}': {}", reason.explained())
    }
}

/// InfluxDB's words.
impl std::fmt::Display for LineError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.reason.drops_row() {
            write!(f, "{}", self.reason)
        } else {
            write!(f, "unable to parse '{}': {}", self.text, self.reason)
        }
    }
}

/// The beginning of a name or a cell, for messages.
pub(crate) fn shown(text: &str) -> String {
    text.chars().take(limits::SHOWN_CHARS_MAX).collect()
}

/// The beginning of `line` in a form that fits a message.
pub(crate) fn excerpt(line: &[u8]) -> String {
    let cut = line.len() > limits::ERROR_TEXT_BYTES_MAX;
    let mut kept = line.get(..limits::ERROR_TEXT_BYTES_MAX).unwrap_or(line);
    if cut {
        // A character that the cut went through is dropped whole.
        let tail = kept.iter().rev().take(4).position(|byte| byte & 0xc0 != 0x80);
        if let Some(back) = tail
            && let Some((whole, last)) = kept.split_at_checked(kept.len() - back - 1)
            && std::str::from_utf8(last).is_err()
        {
            kept = whole;
        }
    }
    let mut text = String::with_capacity(kept.len());
    for chunk in kept.utf8_chunks() {
        for c in chunk.valid().chars() {
            if c.is_control() {
                text.extend(c.escape_default());
            } else {
                text.push(c);
            }
        }
        for byte in chunk.invalid() {
            text.push_str(&format!("\\x{byte:02x}"));
        }
    }
    if cut {
        text.push_str("...");
    }
    text
}

/// More records than any request has; those with higher numbers are not told apart.
const NUMBERS_MAX: u64 = 1 << 26;

/// Refused lines of a request, as they come up.
#[derive(Debug, Default)]
pub(crate) struct Rejects {
    pub(crate) described: Vec<LineError>,
    pub(crate) total: u64,
    pub(crate) dropped: u64,
    pub(crate) counts: RejectCounts,
    /// The input is no text, so no part of it is repeated.
    pub(crate) is_binary: bool,
    /// Numbers of the refused records of such an input, a bit for each: several refusals may be of one record.
    numbers: Vec<u64>,
}

impl Rejects {
    /// How many records there are of which something was refused.
    pub(crate) fn records(&self) -> u64 {
        self.numbers.iter().map(|bits| u64::from(bits.count_ones())).sum()
    }

    /// Takes note of the number of a record, which takes more bytes in the request than its bit here.
    fn number(&mut self, line: u64) {
        let place = line.checked_sub(1).filter(|place| *place < NUMBERS_MAX && self.is_binary);
        let Some(place) = place else { return };
        let word = usize::try_from(place / 64).unwrap_or_default();
        if self.numbers.len() <= word {
            self.numbers.resize(word + 1, 0);
        }
        if let Some(bits) = self.numbers.get_mut(word) {
            *bits |= 1 << (place % 64);
        }
    }

    /// Takes note of a refused line that somebody else has described.
    pub(crate) fn add_described(&mut self, error: LineError) {
        self.number(error.line);
        self.total += 1;
        self.dropped += u64::from(error.reason.drops_row());
        self.counts.count(error.reason.kind());
        if self.described.len() < limits::ERRORS_MAX {
            self.described.push(error);
        }
    }

    /// Takes note of a refused line. `at` is where in `input` the trouble begins.
    pub(crate) fn add(&mut self, input: &[u8], origin: Origin, at: usize, reason: Reason) {
        self.number(origin.line);
        self.total += 1;
        self.dropped += u64::from(reason.drops_row());
        self.counts.count(reason.kind());
        if self.described.len() >= limits::ERRORS_MAX {
            return;
        }
        let line = input.get(origin.start..origin.end).unwrap_or_default();
        let line = if self.is_binary { b"" } else { line };
        self.described.push(LineError {
            line: origin.line,
            column: at.saturating_sub(origin.start) + 1,
            text: excerpt(line),
            reason,
        });
    }
}

/// What a request brought, stored or not, in formats that bring more than rows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Brought {
    /// Samples.
    pub samples: u64,
    /// Native histograms, of which none is stored.
    pub histograms: u64,
    /// Exemplars, of which none is stored.
    pub exemplars: u64,
    /// Data points of OTLP.
    pub points: u64,
}

/// What became of a write request.
#[derive(Debug, Default)]
pub struct WriteReport {
    /// Rows that were handed to the store.
    pub rows: u64,
    /// Field values in these rows.
    pub samples: u64,
    /// Refused lines in the order of the request, at most [`limits::ERRORS_MAX`] of them.
    pub errors: Vec<LineError>,
    /// Number of all refused lines.
    pub errors_total: u64,
    /// Those of them that were understood and dropped all the same.
    pub dropped_total: u64,
    /// All refused lines by the kind of their reason.
    pub refused: RejectCounts,
    /// Names of fields that were not stored because they hold text (or are called `time`), sorted, at
    /// most [`limits::IGNORED_NAMES_MAX`].
    pub ignored_fields: BTreeSet<Arc<str>>,
    /// Number of values that were not stored.
    pub ignored_total: u64,
    /// Records of a binary format of which something was refused, each counted once: a data point of OTLP is
    /// several rows. What has no number of its own is left out.
    pub refused_records: u64,
    /// What the request brought; remote write and OTLP alone count it.
    pub brought: Brought,
    /// Short name of the format that the request was read in.
    pub format: &'static str,
    /// Completes when the rows are visible; `None` when there is no row.
    pub ticket: Option<Ticket>,
}

impl WriteReport {
    /// Whether nothing of the request made sense: everything was refused, and nothing of it only for
    /// what the store or its retention say.
    pub fn is_misread(&self) -> bool {
        self.rows == 0
            && self.errors_total > 0
            && self.dropped_total == 0
            && self.ignored_total == 0
    }

    /// The refusals in one text, as InfluxDB's `error` has it; `None` when nothing was refused.
    pub fn error_text(&self) -> Option<String> {
        if self.errors_total == 0 {
            return None;
        }
        let mut texts: Vec<String> = Vec::new();
        for error in &self.errors {
            let text = error.to_string();
            // A reason that drops a row names no line: once is enough.
            if !error.reason.drops_row() || !texts.contains(&text) {
                texts.push(text);
            }
        }
        let more = self.errors_total - self.errors.len() as u64;
        if more > 0 {
            texts.push(format!("and {more} more lines"));
        }
        let text = texts.join("\n");
        if self.rows == 0 && self.dropped_total == 0 && self.ignored_total == 0 {
            Some(text)
        } else {
            Some(format!("partial write: {text} dropped={}", self.dropped_total))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn excerpts_are_cut_between_characters_and_escaped() {
        assert_eq!(excerpt(b"cpu v=1"), "cpu v=1");
        assert_eq!(excerpt(b"a\tb\x1b\xff\0"), "a\\tb\\u{1b}\\xff\\u{0}");
        let long = "x".repeat(limits::ERROR_TEXT_BYTES_MAX - 1) + "ä";
        assert_eq!(excerpt(long.as_bytes()), "x".repeat(limits::ERROR_TEXT_BYTES_MAX - 1) + "...");
        let fits = "x".repeat(limits::ERROR_TEXT_BYTES_MAX - 2) + "äy";
        assert_eq!(excerpt(fits.as_bytes()), "x".repeat(limits::ERROR_TEXT_BYTES_MAX - 2) + "ä...");
    }

    fn error(reason: Reason) -> LineError {
        LineError { line: 1, column: 1, text: "cpu".to_owned(), reason }
    }

    #[test]
    fn kinds_are_counted_each() {
        let mut rejects = Rejects::default();
        for reason in [Reason::MissingFields, Reason::InvalidNumber, Reason::MissingTagKey] {
            rejects.add(b"x", Origin::default(), 0, reason);
        }
        rejects.add_described(error(Reason::BeyondRetention));
        let counts = RejectKind::ALL.map(|kind| (kind.name(), rejects.counts.of(kind)));
        let counted: Vec<_> = counts.into_iter().filter(|(_, count)| *count > 0).collect();
        assert_eq!(counted, [("syntax", 2), ("value", 1), ("retention", 1)]);
        for (place, kind) in RejectKind::ALL.into_iter().enumerate() {
            assert_eq!(kind as usize, place, "every kind has its place");
        }
    }

    #[test]
    fn texts_are_those_of_the_protocol() {
        let missing = error(Reason::MissingFields);
        let mut report =
            WriteReport { errors: vec![missing], errors_total: 1, ..WriteReport::default() };
        assert_eq!(report.error_text().unwrap(), "unable to parse 'cpu': missing fields");
        report.rows = 1;
        assert_eq!(
            report.error_text().unwrap(),
            "partial write: unable to parse 'cpu': missing fields dropped=0"
        );
        report.errors = vec![error(Reason::BeyondRetention), error(Reason::BeyondRetention)];
        report.errors_total = 2;
        report.dropped_total = 2;
        assert_eq!(
            report.error_text().unwrap(),
            "partial write: points beyond retention policy dropped=2"
        );
        report.errors_total = 5;
        assert!(report.error_text().unwrap().contains("and 3 more lines"));
        assert_eq!(WriteReport::default().error_text(), None);
    }
}
