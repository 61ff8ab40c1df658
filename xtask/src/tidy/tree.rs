//! The files of the checkout, read once, as the checks see them.
//!
//! Every check is a function of this tree alone, so that its tests can plant a fault in a tree made
//! of strings.

use super::lex;
use std::collections::BTreeMap;
use std::path::Path;
use std::{fs, io};

/// Directories that hold nothing of ours, by name: build output, data of a server that was started
/// here, the version control's own files.
const SKIPPED_DIRS: &[&str] = &[".git", "target", "tsdb-data", "node_modules"];

/// Ends of the names of files that are read as text; others only count as existing.
const TEXT_ENDS: &[&str] = &[".rs", ".md", ".toml", ".proto", ".lalrpop", ".ci/run"];

/// All files by their path from the root, with `/`.
#[derive(Debug, Default)]
pub struct Tree {
    files: BTreeMap<String, Option<Source>>,
}

/// A text file.
#[derive(Debug)]
pub struct Source {
    /// The text as it stands in the file.
    pub text: String,
    /// For Rust files the text with comments and literals blanked, else empty.
    pub code: String,
}

impl Tree {
    /// Reads the checkout.
    ///
    /// # Errors
    /// A directory or a text file cannot be read; the message names it.
    pub fn read(root: &Path) -> Result<Self, String> {
        let mut tree = Self::default();
        tree.read_dir(root, "")?;
        Ok(tree)
    }

    fn read_dir(&mut self, dir: &Path, prefix: &str) -> Result<(), String> {
        let named = |error: io::Error| format!("tidy: {}: {error}", dir.display());
        for entry in fs::read_dir(dir).map_err(named)? {
            let entry = entry.map_err(named)?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let path = format!("{prefix}{name}");
            let kind = entry.file_type().map_err(named)?;
            if kind.is_dir() && !SKIPPED_DIRS.contains(&name.as_str()) {
                self.read_dir(&entry.path(), &format!("{path}/"))?;
            } else if kind.is_file() {
                let source = if TEXT_ENDS.iter().any(|end| path.ends_with(end)) {
                    let text = fs::read_to_string(entry.path());
                    Some(text.map_err(|error| format!("tidy: {path}: {error}"))?)
                } else {
                    None
                };
                self.insert(path, source);
            }
        }
        Ok(())
    }

    fn insert(&mut self, path: String, text: Option<String>) {
        let source = text.map(|text| {
            let code = if path.ends_with(".rs") { lex::code_only(&text) } else { String::new() };
            Source { text, code }
        });
        self.files.insert(path, source);
    }

    /// A tree made of strings.
    #[cfg(test)]
    pub fn of(files: &[(&str, &str)]) -> Self {
        let mut tree = Self::default();
        for (path, text) in files {
            tree.insert((*path).into(), Some((*text).into()));
        }
        tree
    }

    /// The text file at `path`.
    pub fn source(&self, path: &str) -> Option<&Source> {
        self.files.get(path)?.as_ref()
    }

    /// Whether a file of any kind, or a directory with at least one file, is at `path`.
    pub fn exists(&self, path: &str) -> bool {
        let path = path.trim_end_matches('/');
        let inside = format!("{path}/");
        let next = self.files.range(inside.clone()..).next();
        path.is_empty()
            || self.files.contains_key(path)
            || next.is_some_and(|(file, _)| file.starts_with(&inside))
    }

    /// All text files in order of their path.
    pub fn sources(&self) -> impl Iterator<Item = (&str, &Source)> {
        self.files.iter().filter_map(|(path, source)| Some((path.as_str(), source.as_ref()?)))
    }

    /// All Rust files in order of their path.
    pub fn rust(&self) -> impl Iterator<Item = (&str, &Source)> {
        self.sources().filter(|(path, _)| path.ends_with(".rs"))
    }
}

#[cfg(test)]
mod tests {
    use super::Tree;

    #[test]
    fn files_and_directories_exist() {
        let tree = Tree::of(&[("a/b.rs", "x // y"), ("a.md", "")]);
        for path in ["a/b.rs", "a", "a/", "a.md", ""] {
            assert!(tree.exists(path), "{path}");
        }
        for path in ["b.rs", "a/b", "a/b.rs/c"] {
            assert!(!tree.exists(path), "{path}");
        }
        assert_eq!(tree.source("a/b.rs").unwrap().code, "x     ");
        assert_eq!(tree.rust().count(), 1);
    }
}
