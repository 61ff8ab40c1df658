//! The files of flushed segments that wait to be written over by new ones. A sync behind bytes that replace
//! others has no length and no allocation to put into the file system's journal: it takes about half of the
//! processor and, on most disks, half of the time of one behind bytes that let a file grow.
//!
//! A file gets a name that no reader looks at before the first byte of it is replaced, and a segment's name
//! only when the header of that segment is durable in it: whatever a crash leaves under the name of a segment
//! is that segment.

use std::path::{Path, PathBuf};

use tsdb_core::env::Vfs;

/// The most files that are kept. One is written over while the flush of the generation before makes the next.
const FILES_MAX: usize = 2;

/// A file is worth keeping from this part of a segment's largest length on; making a small one costs little.
const SMALLEST_PART: u64 = 128;

/// A segment that used less than this part of the file that it was written over gives it back to the disk, so
/// that a burst does not hold space for as long as its database is used.
const USED_PART: u64 = 4;

const SUFFIX: &str = ".spare";

/// A file that is kept.
#[derive(Debug)]
pub(crate) struct Spare {
    pub(crate) path: PathBuf,
    pub(crate) bytes: u64,
}

/// The files that are kept.
#[derive(Debug, Default)]
pub(crate) struct Spares(Vec<Spare>);

impl Spares {
    /// Whether the file of `file_bytes` bytes, of which a segment used `used_bytes`, should be kept, where
    /// segments have at most `segment_bytes_max` bytes and `more` files are on their way here.
    pub(crate) fn want(
        &self,
        file_bytes: u64,
        used_bytes: u64,
        segment_bytes_max: u64,
        more: usize,
    ) -> bool {
        self.0.len() + more < FILES_MAX
            && used_bytes >= segment_bytes_max / SMALLEST_PART
            && used_bytes >= file_bytes / USED_PART
            // One with a frame of its own size may be any length.
            && file_bytes <= segment_bytes_max
    }

    /// Keeps files whose names are durable.
    pub(crate) fn keep(&mut self, spares: Vec<Spare>) {
        self.0.extend(spares);
    }

    /// The longest file, which is kept no more.
    pub(crate) fn take(&mut self) -> Option<Spare> {
        let longest = self.0.iter().enumerate().max_by_key(|(_, spare)| spare.bytes)?.0;
        Some(self.0.swap_remove(longest))
    }

    /// Removes all files. What cannot be removed is removed at the next opening.
    pub(crate) fn clear(&mut self, vfs: &dyn Vfs) {
        for spare in self.0.drain(..) {
            drop(vfs.unlink(&spare.path));
        }
    }
}

/// Where a segment's file waits.
pub(crate) fn path_of(segment: &Path) -> PathBuf {
    segment.with_extension(SUFFIX.trim_start_matches('.'))
}

/// Removes the files that an earlier process kept, as far as they can be removed: they are never read.
pub(crate) fn remove_leftovers(vfs: &dyn Vfs, dir: &Path) {
    for entry in vfs.list(dir).unwrap_or_default() {
        let is_ours = entry.name.strip_suffix(SUFFIX).is_some_and(|digits| {
            digits.len() == 20 && digits.bytes().all(|byte| byte.is_ascii_digit())
        });
        if is_ours && !entry.is_dir {
            drop(vfs.unlink(&dir.join(entry.name)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::segment::file_name;

    fn spare(bytes: u64) -> Spare {
        Spare { path: path_of(Path::new(&file_name(bytes))), bytes }
    }

    #[test]
    fn the_longest_goes_first() {
        let mut spares = Spares::default();
        spares.keep(vec![spare(3), spare(7), spare(5)]);
        let order: Vec<u64> = std::iter::from_fn(|| spares.take()).map(|s| s.bytes).collect();
        assert_eq!(order, [7, 5, 3]);
    }

    #[test]
    fn what_is_worth_keeping() {
        let mut spares = Spares::default();
        let mut want = |cases: &[(u64, u64, usize, bool)]| {
            for (file, used, more, expected) in cases {
                let got = spares.want(*file, *used, 1280, *more);
                assert_eq!(got, *expected, "{used} of {file} bytes, {more} more");
            }
            spares.keep(vec![spare(100)]);
        };
        want(&[
            (1000, 1000, 0, true),
            (1000, 1000, 1, true),
            (1000, 1000, 2, false),
            (9, 9, 0, false),
            (10, 10, 0, true),
            (1000, 250, 0, true),
            (1000, 249, 0, false),
            (1281, 1281, 0, false),
        ]);
        want(&[(1000, 1000, 0, true), (1000, 1000, 1, false)]);
        want(&[(1000, 1000, 0, false)]);
    }

    #[test]
    fn names_are_not_those_of_segments() {
        let path = path_of(&Path::new("/log").join(file_name(12)));
        assert_eq!(path, Path::new("/log/00000000000000000012.spare"));
    }
}
