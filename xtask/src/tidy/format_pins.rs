//! The description of every on-disk format is pinned to the source that writes it.
//!
//! Each `docs/format/*.md` carries `<!-- pinned: path fnv1a64:hash -->` for the files it describes.
//! A change of the code breaks the pin until somebody has looked at the description and pasted the
//! new line; there is no command that does it unseen. The hash is FNV-1a over the source without
//! comments, white space and its tests: small, no dependency, and an accident is all that it guards
//! against.

use super::Report;
use super::lex::{code_only, essence};
use super::tree::Tree;
use std::collections::BTreeSet;

/// Directory of the descriptions.
const FORMAT_DOCS: &str = "docs/format/";

/// Names of files that define bytes, wherever they stand in a crate.
const FORMAT_FILES: &[&str] = &["format.rs", "frame.rs"];

/// Files that define bytes under another name.
const MORE_FORMAT_FILES: &[&str] = &[
    "crates/tsdb-core/src/batch.rs",
    "crates/tsdb-core/src/hyperloglog.rs",
    "crates/tsdb-core/src/hyperloglog/bytes.rs",
    "crates/tsdb-lsm/src/record.rs",
    "crates/tsdb-lsm/src/codec.rs",
    "crates/tsdb-lsm/src/codec/bits.rs",
    "crates/tsdb-lsm/src/codec/decimal.rs",
    "crates/tsdb-lsm/src/codec/huffman.rs",
    "crates/tsdb-lsm/src/codec/huffman/streams.rs",
    "crates/tsdb-lsm/src/codec/huffman/tables.rs",
    "crates/tsdb-lsm/src/codec/ints.rs",
    "crates/tsdb-lsm/src/codec/ints/dictionary.rs",
    "crates/tsdb-lsm/src/codec/ints/entropy.rs",
    "crates/tsdb-lsm/src/codec/ints/exceptions.rs",
    "crates/tsdb-lsm/src/codec/ints/level.rs",
    "crates/tsdb-lsm/src/codec/ints/model.rs",
    "crates/tsdb-lsm/src/codec/ints/packed.rs",
    "crates/tsdb-lsm/src/codec/ints/sparse.rs",
    "crates/tsdb-lsm/src/codec/ordered.rs",
    "crates/tsdb-lsm/src/codec/scaled.rs",
    "crates/tsdb-lsm/src/codec/times.rs",
    "crates/tsdb-lsm/src/codec/totals.rs",
    "crates/tsdb-lsm/src/codec/values.rs",
];

/// Files of such a name that define no bytes on disk.
const NO_FORMAT_FILES: &[(&str, &str)] =
    &[("crates/tsdb-ingest/src/format.rs", "the trait of the input formats and their registry")];

/// Checks that every format has a description and every pin holds.
pub fn check(tree: &Tree) -> Report {
    check_with(tree, MORE_FORMAT_FILES)
}

fn check_with(tree: &Tree, more_files: &[&str]) -> Report {
    let mut report = Report::default();
    let mut pinned = BTreeSet::new();
    let mut doc_count = 0_usize;
    let docs =
        tree.sources().filter(|(path, _)| path.starts_with(FORMAT_DOCS) && path.ends_with(".md"));
    for (path, source) in docs {
        doc_count += 1;
        let mut pins_here = 0_usize;
        for (index, line) in source.text.lines().enumerate() {
            let Some(file) = pinned_file(line) else { continue };
            pins_here += 1;
            pinned.insert(file.to_owned());
            if let Some(problem) = pin_problem(tree, file, line) {
                report.offences.push(format!("{path}:{}: {problem}", index + 1));
            }
        }
        if pins_here == 0 {
            report.offences.push(format!(
                "{path}: has no pin; add a line `{}` for each file it describes",
                "<!-- pinned: crates/.../format.rs fnv1a64:... -->"
            ));
        }
    }
    let described = |path: &str| pinned.contains(path);
    for path in format_files(tree, more_files).filter(|path| !described(path)) {
        report.offences.push(format!(
            "{path}: defines bytes on disk but no {FORMAT_DOCS}*.md describes it; describe it \
             there and add `{}`",
            pin_line(tree, path).unwrap_or_default()
        ));
    }
    for path in more_files.iter().filter(|path| tree.source(path).is_none()) {
        report.offences.push(format!(
            "{path}: is listed in MORE_FORMAT_FILES (xtask/src/tidy/format_pins.rs) but does not \
             exist"
        ));
    }
    report.summary = format!("{doc_count} formats, {} pinned files", pinned.len());
    report
}

/// All files that define bytes on disk.
fn format_files<'a>(tree: &'a Tree, more_files: &'a [&str]) -> impl Iterator<Item = &'a str> {
    tree.rust().map(|(path, _)| path).filter(|path| {
        let name = path.rsplit('/').next().unwrap_or_default();
        let by_name = path.starts_with("crates/") && FORMAT_FILES.contains(&name);
        let exempt = NO_FORMAT_FILES.iter().any(|(exempt, _)| exempt == path);
        (by_name && !exempt) || more_files.contains(path)
    })
}

/// The file that a pin names.
fn pinned_file(line: &str) -> Option<&str> {
    line.trim().strip_prefix("<!-- pinned: ")?.split(' ').next()
}

fn pin_problem(tree: &Tree, file: &str, line: &str) -> Option<String> {
    let Some(expected) = pin_line(tree, file) else {
        return Some(format!("pins {file}, which is no Rust file of this repository"));
    };
    (line.trim() != expected).then(|| {
        format!(
            "{file} has changed since it was described: bring the description up to date, then \
             paste `{expected}`"
        )
    })
}

/// The pin that is true now.
fn pin_line(tree: &Tree, file: &str) -> Option<String> {
    let source = tree.source(file).filter(|_| file.ends_with(".rs"))?;
    let hash = fnv1a64(essence(without_tests(&source.text)).as_bytes());
    Some(format!("<!-- pinned: {file} fnv1a64:{hash:016x} -->"))
}

/// The source up to the test module, which by the house rules comes last.
fn without_tests(source: &str) -> &str {
    let end = code_only(source).find("#[cfg(test)]").unwrap_or(source.len());
    source.get(..end).unwrap_or(source)
}

/// FNV-1a with 64 bits; <http://www.isthe.com/chongo/tech/comp/fnv/>.
fn fnv1a64(bytes: &[u8]) -> u64 {
    const OFFSET_BASIS: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0000_0100_0000_01b3;
    bytes.iter().fold(OFFSET_BASIS, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(PRIME))
}

#[cfg(test)]
mod tests {
    use super::{Report, check_with, fnv1a64, pin_line};
    use crate::tidy::tree::Tree;

    const FILE: &str = "crates/tsdb-wal/src/frame.rs";
    const CODE: &str = "//! doc\npub const MAGIC: u32 = 7;\n#[cfg(test)]\nmod tests {}\n";

    fn check(tree: &Tree) -> Report {
        check_with(tree, &[])
    }

    fn pin(code: &str) -> String {
        pin_line(&Tree::of(&[(FILE, code)]), FILE).unwrap()
    }

    #[track_caller]
    fn offends(files: &[(&str, &str)], expected: &str) {
        let found = check(&Tree::of(files)).offences;
        assert!(found.len() == 1 && found[0].contains(expected), "{found:?}");
    }

    #[test]
    fn hash_is_fnv1a() {
        assert_eq!(fnv1a64(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv1a64(b"foobar"), 0x8594_4171_f739_67e8);
    }

    #[test]
    fn pin_holds_while_the_meaning_stays() {
        let changed = CODE.replace("doc", "other doc").replace("tests {}", "tests { fn f() {} }");
        assert_eq!(pin(CODE), pin(&changed.replace(" = ", "   =\n ")));
        let report = check(&Tree::of(&[(FILE, &changed), ("docs/format/wal.md", &pin(CODE))]));
        assert!(report.offences.is_empty(), "{:?}", report.offences);
        assert_eq!(report.summary, "1 formats, 1 pinned files");
    }

    #[test]
    fn changed_code_asks_for_the_new_line() {
        let changed = CODE.replace('7', "8");
        let doc = ("docs/format/wal.md", &*pin(CODE));
        offends(&[(FILE, &changed), doc], &format!("paste `{}`", pin(&changed)));
    }

    #[test]
    fn missing_pins_and_descriptions_are_found() {
        offends(&[("docs/format/wal.md", "# WAL\n")], "has no pin");
        offends(&[(FILE, CODE)], "no docs/format/*.md describes it");
        offends(&[("docs/format/wal.md", &pin(CODE))], "is no Rust file of this repository");
        let exempt = [("crates/tsdb-ingest/src/format.rs", CODE)];
        assert!(check(&Tree::of(&exempt)).offences.is_empty());
    }
}
