//! Every bound of the data model, with its reason. Bounds of a single subsystem (segment sizes, cache
//! sizes, query limits) stand in that subsystem's own options.

/// Longest measurement name, tag key or field name in bytes. Longer names are almost always a client
/// that writes values into names, which grows the index without bound.
pub const NAME_BYTES_MAX: usize = 256;

/// Longest tag value in bytes. URLs and image digests fit, documents do not.
pub const TAG_VALUE_BYTES_MAX: usize = 4096;

/// Most tags of one series. Kubernetes targets reach about 40.
pub const TAGS_MAX: usize = 64;

/// Most fields in one row; also the most columns a block of the memtable is laid out for.
pub const FIELDS_MAX: usize = 1000;

/// Most rows in one batch: a row's place in its batch fits 20 bits, and a request of 25 MB of the
/// shortest lines stays below.
pub const BATCH_ROWS_MAX: usize = 1 << 20;

/// Most rows in one block that a cursor yields, and in one chunk of a run: two 4096-row columns of
/// `f64` fit the first-level cache, and an encoded column stays within a few pages of the disk.
pub const BLOCK_ROWS_MAX: usize = 4096;

/// Longest database or retention policy name in bytes.
pub const CATALOGUE_NAME_BYTES_MAX: usize = 64;

/// Most databases; each costs about 300 bytes in the manifest, which is rewritten at every flush.
pub const DATABASES_MAX: usize = 10_000;

/// Longest text of an entry of the catalogue in bytes: the definition of a user or a query is some hundred bytes, and one
/// that a program wrote fits too.
pub const ENTRY_TEXT_BYTES_MAX: usize = 64 << 10;

/// Most entries of the catalogue; each change copies the map of them.
pub const ENTRIES_MAX: usize = 10_000;

/// Most bytes of all entries of the catalogue, names included: they stand in the manifest, which is rewritten at every
/// flush.
pub const ENTRIES_BYTES_MAX: usize = 8 << 20;

/// Most distinct field sets of the process. Rows beyond it are split into rows of one field each by
/// the pipeline, so the bound costs speed and never data.
pub const FIELD_SETS_MAX: usize = 1 << 16;

/// Most distinct field names of the process. A client that writes ids into field names meets this
/// before it exhausts memory: 2^20 names of 40 bytes are about 100 MiB.
pub const FIELD_NAMES_MAX: usize = 1 << 20;

const _: () = assert!(NAME_BYTES_MAX <= u16::MAX as usize, "name lengths are stored in 16 bits");
const _: () =
    assert!(TAG_VALUE_BYTES_MAX <= u16::MAX as usize, "value lengths are stored in 16 bits");
const _: () = assert!(FIELDS_MAX <= u16::MAX as usize, "column counts are stored in 16 bits");
