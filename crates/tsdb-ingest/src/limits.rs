//! Every bound of ingestion, with its reason. Bounds of the data model (names, tags, fields, rows in a
//! batch) stand in [`tsdb_core::limits`].

/// Longest line in bytes. A row of the widest kind, 1000 fields with names of 200 bytes, fits.
pub const LINE_BYTES_MAX: usize = 256 << 10;

/// Most refused lines of one request that are described; further ones are only counted. A client that
/// sends a wrong format has every line refused, and needs to see a few.
pub const ERRORS_MAX: usize = 100;

/// Most bytes of a refused line that are repeated in its description.
pub const ERROR_TEXT_BYTES_MAX: usize = 256;

/// Most characters of a name or a cell that a message repeats.
pub const SHOWN_CHARS_MAX: usize = 64;

/// Bytes of a request that formats may look at to say whether it is theirs. A header of CSV and the first
/// lines of everything else fit.
pub const HEAD_BYTES_MAX: usize = 4096;

/// Deepest nesting of JSON. A record needs three levels; who sends more sends something else.
pub const JSON_DEPTH_MAX: usize = 32;

/// Longest JSON record. Records of one row each stay far below; a columnar object of this size has some
/// 400 000 values. While it is read, its tape takes six or eight times as much memory, which by default
/// finds room in the pool of bodies.
pub const JSON_RECORD_BYTES_MAX: usize = 4 << 20;

/// Longest JSON record whose buffers are kept for the next one of the request; those of longer records
/// are given back at once.
pub const JSON_KEPT_BYTES_MAX: usize = 4096;

/// Most columns of CSV, and of a columnar JSON record: those of the widest row, its tags among them, and as
/// many again that are ignored or empty in a row.
pub const COLUMNS_MAX: usize = 4096;

/// Most labels of a series of remote write: the name of its metric, as many tags as a series can have, and as
/// many again that are empty.
pub const LABELS_MAX: usize = 2 * tsdb_core::limits::TAGS_MAX + 1;

/// Longest name or value of a label in the table of remote write 2.0; longer ones have no place in a series.
pub const LABEL_BYTES_MAX: usize = tsdb_core::limits::TAG_VALUE_BYTES_MAX;

/// The labels of all series of a request of remote write 2.0 together have at most so many times the bytes of
/// the request, and [`SYMBOL_BYTES_FREE`]: a reference of one byte stands for a text of any length, and work
/// has to be linear in what a client sends. Scrapes stay below 20.
pub const SYMBOL_BYTES_FACTOR: usize = 64;

/// What small requests may have in any case, in bytes.
pub const SYMBOL_BYTES_FREE: usize = 1 << 20;

/// Most buckets of a histogram of OTLP, and most quantiles of a summary. Those of its own libraries have 160.
pub const BUCKETS_MAX: usize = 16 << 10;

/// The keys of all series of a request of OTLP together have at most so many times the bytes of the request, and
/// [`SERIES_KEY_BYTES_FREE`]: each bucket of a histogram, which may be one byte, is a series with all labels of
/// the point. Histograms of common libraries stay below 40.
pub const SERIES_KEY_BYTES_FACTOR: usize = 128;

/// What small requests may have in any case, in bytes.
pub const SERIES_KEY_BYTES_FREE: usize = 4 << 20;

/// Memory for what is known of metrics (type, help, unit), in bytes: some 20 000 metrics.
pub const METADATA_BYTES_MAX: usize = 4 << 20;

/// Longest help of a metric that is kept, in bytes; what is beyond is cut off.
pub const METADATA_TEXT_BYTES_MAX: usize = 1024;

/// Most names of fields that were not stored in one report; the values are counted in any case.
pub const IGNORED_NAMES_MAX: usize = 64;

/// Most distinct orders of fields that one request may bring: the store keeps no more field sets.
pub const SHAPES_MAX: usize = tsdb_core::limits::FIELD_SETS_MAX;

/// Orders of fields that a parser keeps from one request to the next. Above, it starts anew; real
/// agents send a few hundred.
pub const SHAPES_KEPT_MAX: usize = 4096;

/// Memory of all series caches together, in bytes, unless the pipeline's options say otherwise: about
/// 60 000 series of 200 bytes, twice.
pub const CACHE_BYTES_DEFAULT: usize = 32 << 20;

/// Parsers that a pipeline keeps for the next request, unless its options say otherwise.
pub const PARSERS_KEPT_DEFAULT: usize = 2;

/// Largest batch buffer that a parser keeps for the next request, in bytes. Ten thousand rows of ten
/// fields take one.
pub const BUFFER_KEPT_BYTES_MAX: usize = 2 << 20;

/// Most memory of the rows of a request that wait for the store to resolve something, in bytes: some five
/// thousand rows of new series. Enough to spread the costs of a call, and little beside a large batch.
pub const PORTION_BYTES_MAX: usize = 1 << 20;

/// Waiting rows have at most one of so many parts of the memory for bodies, if that is less.
pub const PORTION_PARTS: usize = 32;

/// What one request at a time may take beside the memory for bodies, as a multiple of it. With the default
/// budget every body of 25 MB fits then, the worst (`a=1,` over and over) among them: four bytes of text
/// become eight of columns, and vectors that have just doubled hold twice that. What such a vector does
/// not use yet is charged and not touched.
pub const OVERDRAFT_FACTOR: usize = 3;

/// Times that a request is parsed again because the epoch of its references ended; each end is rare
/// and quick.
pub const EPOCH_ATTEMPTS: usize = 8;

const _: () = assert!(SHAPES_KEPT_MAX <= SHAPES_MAX, "what is kept was accepted before");
const _: () = assert!(LINE_BYTES_MAX <= u32::MAX as usize, "lengths of lines are kept in 32 bits");
const _: () = assert!(
    COLUMNS_MAX >= 2 * (tsdb_core::limits::FIELDS_MAX + tsdb_core::limits::TAGS_MAX),
    "the widest row fits"
);
