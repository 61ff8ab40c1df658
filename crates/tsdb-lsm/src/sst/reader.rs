//! Opens a run: header, footer, indexes and roots are read and checked; what its slices read later is in `slice`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tsdb_core::checksum;
use tsdb_core::env::{Env, VfsFile, read_exact_at};
use tsdb_core::hash::HashKey;
use tsdb_core::{ErrorKind, Reservation};
use tsdb_index::SeriesIndex;

use super::RunMeta;
use super::format::{
    FOOTER_MAGIC, Footer, FooterSlice, HEADER_BYTES, PAGE_CHECKSUM_BYTES, SectionPlace,
    TRAILER_BYTES, VERSION, decode_footer, read_header, run_meta,
};
use super::root::Root;
use super::slice::Slice;
use crate::bytes::{Malformed, Reader};
use crate::cache::{OpenedPage, PageCache, PageKey};
use crate::error::{Error, Result};

/// An open run.
#[derive(Debug)]
pub(crate) struct Run {
    pub(super) slices: Vec<Slice>,
    pub(super) pages_checksum: u32,
    pub(super) file: Arc<RunFile>,
    /// Pays for the directories.
    _directories: Reservation,
}

/// The file of a run.
#[derive(Debug)]
pub(super) struct RunFile {
    path: PathBuf,
    file: Arc<dyn VfsFile>,
    cache: Arc<PageCache>,
    /// Number of the run in the cache.
    pub run: u64,
}

/// Whether pages are looked for in the cache and offered to it, or always read from the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Through {
    /// For queries.
    Cache,
    /// For merges, which read each page once, and for checks, which want what is on disk.
    File,
}

/// A page that was read.
pub(super) enum Page<'s> {
    Cached(Arc<[u8]>),
    Read(&'s [u8]),
}

impl Page<'_> {
    /// The page for keeps.
    pub(super) fn into_arc(self) -> Arc<[u8]> {
        match self {
            Page::Cached(page) => page,
            Page::Read(page) => page.into(),
        }
    }
}

impl std::ops::Deref for Page<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Page::Cached(page) => page,
            Page::Read(page) => page,
        }
    }
}

/// What was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct PagesRead {
    /// Pages from the file.
    pub pages: u64,
    /// Bytes of all pages, and of those that came from the cache.
    pub bytes: u64,
    pub cached: u64,
}

impl std::ops::AddAssign for PagesRead {
    fn add_assign(&mut self, more: PagesRead) {
        self.pages += more.pages;
        self.bytes += more.bytes;
        self.cached += more.cached;
    }
}

impl PagesRead {
    fn add(&mut self, bytes: u64) {
        self.pages += 1;
        self.bytes += bytes;
    }
}

impl RunFile {
    /// The series of a slice that fulfil a condition, if that was asked before.
    pub(super) fn cached_matches(&self, slice: u64, condition: &str) -> Option<Arc<[u32]>> {
        self.cache.matches(PageKey { run: self.run, offset: slice }, condition)
    }

    /// Keeps which series of a slice fulfil a condition, perhaps.
    pub(super) fn cache_matches(&self, slice: u64, condition: &str, series: &[u32]) {
        self.cache.keep_matches(PageKey { run: self.run, offset: slice }, condition, series);
    }

    /// The page at `offset` as it is used: kept from before, or opened by `open`, and then kept, perhaps, if pages go
    /// through the cache.
    pub(super) fn opened<P: OpenedPage>(
        &self,
        offset: u64,
        through: Through,
        open: impl FnOnce() -> Result<P>,
    ) -> Result<Arc<P>> {
        if through == Through::File {
            return open().map(Arc::new);
        }
        let key = PageKey { run: self.run, offset };
        if let Some(page) = self.cache.opened(key) {
            return Ok(page);
        }
        let page = open().map(Arc::new)?;
        self.cache.keep_opened(key, &page);
        Ok(page)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn corrupt(&self, offset: u64, what: impl Into<String>) -> Error {
        Error::Corrupt { path: self.path.clone(), offset, what: what.into() }
    }

    /// An error of an index that knows no file, as one of this file, whose index root is at `offset`.
    pub(super) fn of_index(&self, offset: u64, error: Error) -> Error {
        match error {
            Error::Core(error) if error.kind() == ErrorKind::Corrupt => {
                self.corrupt(offset, error.to_string())
            }
            other => other,
        }
    }

    pub(super) fn malformed(&self, offset: u64) -> impl FnOnce(Malformed) -> Error {
        move |Malformed { at, what }| self.corrupt(offset + at as u64, what)
    }

    pub(super) fn read(&self, offset: u64, bytes: usize, out: &mut Vec<u8>) -> Result<()> {
        out.clear();
        out.resize(bytes, 0);
        read_exact_at(&*self.file, out, offset).map_err(Error::io("read", &self.path))
    }

    /// A page of `bytes` bytes: from the cache, or read with the checksum behind it, which is checked.
    pub(super) fn page<'s>(
        &self,
        offset: u64,
        bytes: usize,
        through: Through,
        scratch: &'s mut Vec<u8>,
        read: &mut PagesRead,
    ) -> Result<Page<'s>> {
        let key = PageKey { run: self.run, offset };
        if through == Through::Cache
            && let Some(page) = self.cache.get(key)
        {
            read.bytes += (bytes + PAGE_CHECKSUM_BYTES) as u64;
            read.cached += (bytes + PAGE_CHECKSUM_BYTES) as u64;
            return Ok(Page::Cached(page));
        }
        self.read(offset, bytes + PAGE_CHECKSUM_BYTES, scratch)?;
        self.check_page(offset, scratch)?;
        read.add((bytes + PAGE_CHECKSUM_BYTES) as u64);
        scratch.truncate(bytes);
        if through == Through::Cache {
            self.cache.offer(key, scratch);
        }
        Ok(Page::Read(scratch))
    }

    fn check_page(&self, offset: u64, page: &[u8]) -> Result<()> {
        match page.split_last_chunk::<PAGE_CHECKSUM_BYTES>() {
            Some((body, stored)) if checksum::matches(body, u32::from_le_bytes(*stored)) => Ok(()),
            _ => Err(self.corrupt(offset, "the checksum of a page does not match")),
        }
    }

    /// A section that ends at `limit` at most; its checksum is checked.
    pub(super) fn read_section(&self, place: SectionPlace, limit: u64) -> Result<Vec<u8>> {
        let fits = place.offset.checked_add(place.bytes).is_some_and(|end| end <= limit);
        let bytes = usize::try_from(place.bytes).ok().filter(|_| fits);
        let bytes = bytes.ok_or_else(|| self.corrupt(place.offset, "a section beyond the file"))?;
        let mut section = Vec::new();
        self.read(place.offset, bytes, &mut section)?;
        if !checksum::matches(&section, place.checksum) {
            return Err(self.corrupt(place.offset, "the checksum of a section does not match"));
        }
        Ok(section)
    }
}

impl Run {
    /// Opens a run that the manifest describes as `expected`. Everything but the data pages is checked.
    pub(crate) fn open(
        env: &Env,
        path: &Path,
        expected: &RunMeta,
        database_id: [u8; 16],
        cache: &Arc<PageCache>,
    ) -> Result<Run> {
        let file = env.vfs.open_read(path).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => Error::MissingFile { path: path.to_owned() },
            _ => Error::io("open", path)(error),
        })?;
        let (cache, run) = (Arc::clone(cache), cache.new_run());
        let file = Arc::new(RunFile { path: path.to_owned(), file, cache, run });
        let bytes = file.file.len().map_err(Error::io("measure", path))?;
        if bytes != expected.bytes {
            let what = format!("it has {bytes} bytes, the manifest says {}", expected.bytes);
            return Err(file.corrupt(0, what));
        }
        check_header(&file, database_id)?;
        let (footer, footer_checksum) = read_footer(&file, bytes)?;
        if run_meta(&footer, footer_checksum, bytes) != *expected {
            return Err(file.corrupt(bytes, "the footer is not the one that the manifest names"));
        }
        let slices =
            footer.slices.iter().map(|slice| open_slice(&file, footer.hash_key, slice, bytes));
        let slices = slices.collect::<Result<Vec<_>>>()?;
        let directories = slices.iter().map(Slice::memory_bytes).sum();
        Ok(Run {
            slices,
            pages_checksum: footer.pages_checksum,
            _directories: file.cache.hold_directories(directories),
            file,
        })
    }

    pub(crate) fn slices(&self) -> &[Slice] {
        &self.slices
    }

    /// Slice by its place; callers hold places that they got from this run.
    pub(crate) fn slice(&self, place: usize) -> &Slice {
        #[expect(clippy::indexing_slicing, reason = "places come from this run's own list")]
        &self.slices[place]
    }
}

fn check_header(file: &RunFile, database_id: [u8; 16]) -> Result<()> {
    let mut header = [0; HEADER_BYTES];
    read_exact_at(&*file.file, &mut header, 0).map_err(Error::io("read", &file.path))?;
    let (version, id) =
        read_header(&header).ok_or_else(|| file.corrupt(0, "the header is damaged"))?;
    if version > VERSION {
        let path = file.path.clone();
        return Err(Error::NewerFormat { path, version, supported: VERSION });
    }
    if id != database_id {
        return Err(file.corrupt(12, "it belongs to another data directory"));
    }
    Ok(())
}

fn read_footer(file: &RunFile, file_bytes: u64) -> Result<(Footer, u32)> {
    let trailer_offset = file_bytes.checked_sub(TRAILER_BYTES as u64);
    let trailer_offset = trailer_offset.ok_or_else(|| file.corrupt(0, "it is too short"))?;
    let mut trailer = Vec::new();
    file.read(trailer_offset, TRAILER_BYTES, &mut trailer)?;
    let damaged = || file.corrupt(trailer_offset, "the end of the file is damaged");
    let mut reader = Reader::new(&trailer);
    let (Ok(length), Ok(checksum), Ok(magic)) = (reader.u32(), reader.u32(), reader.take(8)) else {
        return Err(damaged());
    };
    let offset = trailer_offset.checked_sub(u64::from(length));
    let (true, Some(offset)) = (magic == FOOTER_MAGIC, offset) else { return Err(damaged()) };
    let place = SectionPlace { offset, bytes: u64::from(length), checksum };
    let bytes = file.read_section(place, file_bytes)?;
    let footer = decode_footer(&bytes).map_err(file.malformed(offset))?;
    Ok((footer, checksum))
}

fn open_slice(
    file: &Arc<RunFile>,
    hash_key: HashKey,
    slice: &FooterSlice,
    file_bytes: u64,
) -> Result<Slice> {
    let index_bytes = file.read_section(slice.index, file_bytes)?;
    let index = SeriesIndex::open(&index_bytes)
        .map_err(|error| file.corrupt(slice.index.offset, error.to_string()))?;
    if u64::from(index.len()) != slice.meta.series {
        return Err(file.corrupt(slice.index.offset, "the index has another number of series"));
    }
    let bytes = file.read_section(slice.root, file_bytes)?;
    let root =
        Root::decode(&bytes, slice.meta.series).map_err(file.malformed(slice.root.offset))?;
    Slice::new(file, hash_key, slice, index, root)
}
