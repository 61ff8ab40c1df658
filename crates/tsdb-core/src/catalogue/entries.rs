//! Entries of the catalogue: named texts of layers above, kept as durably as databases are. What a text means is known
//! to the layer that wrote it; here are their names, their bounds, and which of them go with a database.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Applied, check_name};
use crate::{Error, Result, limits};

/// What an entry is called.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntryKey {
    /// What the text is to the layer that reads it, for instance "continuous_query". Made of the letters that names
    /// of databases are made of.
    pub kind: Arc<str>,
    /// The database that it belongs to, and with which it goes.
    pub database: Option<Arc<str>>,
    /// Its name, different from all others of its kind and database. Any text without NUL bytes.
    pub name: Arc<str>,
}

impl EntryKey {
    /// The key of an entry that belongs to `database`, or to none.
    pub fn new(kind: &str, database: Option<&str>, name: &str) -> EntryKey {
        EntryKey { kind: kind.into(), database: database.map(Arc::from), name: name.into() }
    }

    /// Bytes of all its texts.
    fn bytes(&self) -> usize {
        self.kind.len() + self.database.as_ref().map_or(0, |name| name.len()) + self.name.len()
    }

    fn check(&self) -> Result<()> {
        check_name("entry kind", &self.kind)?;
        if self.name.is_empty() {
            return Err(Error::Empty { what: "entry name" });
        }
        if self.name.contains('\0') {
            return Err(Error::NulByte { what: "entry name", text: self.name.to_string() });
        }
        check_length("entry name", &self.name, limits::NAME_BYTES_MAX)
    }
}

/// Entries in order of kind, database and name.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Entries {
    texts: BTreeMap<EntryKey, Arc<str>>,
}

impl Entries {
    /// The text of an entry. O(log n).
    pub fn get(&self, key: &EntryKey) -> Option<&Arc<str>> {
        self.texts.get(key)
    }

    /// All of them with their texts, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&EntryKey, &Arc<str>)> {
        self.texts.iter()
    }

    /// Those of one kind, in order of database and name. O(log n) and those of the kind.
    pub fn of_kind<'a>(
        &'a self,
        kind: &'a str,
    ) -> impl Iterator<Item = (&'a EntryKey, &'a Arc<str>)> {
        let first = EntryKey::new(kind, None, "");
        self.texts.range(first..).take_while(move |(key, _)| &*key.kind == kind)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.texts.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.texts.is_empty()
    }

    /// Takes back what was stored, without the checks of a change.
    pub fn restore(&mut self, key: EntryKey, text: Arc<str>) {
        self.texts.insert(key, text);
    }

    /// Sets a text whose database is known to exist. O(n) for the sum of bytes.
    pub(super) fn set(
        &mut self,
        key: &EntryKey,
        text: &Arc<str>,
        replace: bool,
    ) -> Result<Applied> {
        key.check()?;
        check_length("entry text", text, limits::ENTRY_TEXT_BYTES_MAX)?;
        let old = self.texts.get(key);
        if old == Some(text) {
            return Ok(Applied::default());
        }
        if old.is_some() && !replace {
            return Err(Error::AlreadyExists { what: "entry", name: key.name.to_string() });
        }
        let count = self.texts.len() + usize::from(old.is_none());
        let others = self.texts.iter().filter(|(other, _)| *other != key);
        let others: usize = others.map(|(key, text)| key.bytes() + text.len()).sum();
        let bytes = others + key.bytes() + text.len();
        let bounds = [
            ("entries of the catalogue", count, limits::ENTRIES_MAX),
            ("bytes in entries of the catalogue", bytes, limits::ENTRIES_BYTES_MAX),
        ];
        for (what, count, count_max) in bounds {
            if count > count_max {
                return Err(Error::TooMany {
                    what,
                    count: count as u64,
                    count_max: count_max as u64,
                    remedy: "drop users, tokens or continuous queries that are not needed",
                });
            }
        }
        self.texts.insert(key.clone(), Arc::clone(text));
        Ok(Applied { changed: true, dropped: Vec::new() })
    }

    pub(super) fn remove(&mut self, key: &EntryKey) -> Applied {
        Applied { changed: self.texts.remove(key).is_some(), dropped: Vec::new() }
    }

    /// Removes those that belong to a database. O(n).
    pub(super) fn remove_database(&mut self, name: &str) {
        self.texts.retain(|key, _| key.database.as_deref() != Some(name));
    }
}

fn check_length(what: &'static str, text: &str, bytes_max: usize) -> Result<()> {
    if text.len() > bytes_max {
        return Err(Error::TooLong { what, bytes: text.len(), bytes_max });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::PolicySpec;
    use crate::{Catalogue, CatalogueChange};

    fn set(database: Option<&str>, name: &str, text: &str, replace: bool) -> CatalogueChange {
        let key = EntryKey::new("query", database, name);
        CatalogueChange::SetEntry { key, text: text.into(), replace }
    }

    fn catalogue() -> Catalogue {
        let mut catalogue = Catalogue::default();
        for name in ["a", "b"] {
            let policy = PolicySpec::default();
            let create = CatalogueChange::CreateDatabase { name: name.into(), policy };
            catalogue.apply(&create).unwrap();
        }
        catalogue
    }

    #[test]
    fn entries_are_set_replaced_and_removed() {
        let mut catalogue = catalogue();
        assert!(catalogue.apply(&set(Some("a"), "n", "1", false)).unwrap().changed);
        assert!(!catalogue.apply(&set(Some("a"), "n", "1", false)).unwrap().changed);
        let refused = catalogue.apply(&set(Some("a"), "n", "2", false));
        assert!(matches!(refused, Err(Error::AlreadyExists { what: "entry", .. })), "{refused:?}");
        let key = EntryKey::new("query", Some("a"), "n");
        assert_eq!(catalogue.entries.get(&key).map(|text| &**text), Some("1"));
        assert!(catalogue.apply(&set(Some("a"), "n", "2", true)).unwrap().changed);
        assert_eq!(catalogue.entries.get(&key).map(|text| &**text), Some("2"));
        let remove = CatalogueChange::RemoveEntry { key };
        assert!(catalogue.apply(&remove).unwrap().changed);
        assert!(!catalogue.apply(&remove).unwrap().changed);
        assert!(catalogue.entries.is_empty());
    }

    #[test]
    fn entries_go_with_their_database_alone() {
        let mut catalogue = catalogue();
        for database in [Some("a"), Some("b"), None] {
            catalogue.apply(&set(database, "n", "1", false)).unwrap();
        }
        let other = EntryKey::new("quer", None, "x");
        let change = CatalogueChange::SetEntry { key: other, text: "".into(), replace: false };
        catalogue.apply(&change).unwrap();
        assert_eq!(catalogue.entries.of_kind("query").count(), 3);
        catalogue.apply(&CatalogueChange::DropDatabase { name: "a".into() }).unwrap();
        let left: Vec<_> = catalogue.entries.of_kind("query").map(|(key, _)| key).collect();
        let due = [EntryKey::new("query", None, "n"), EntryKey::new("query", Some("b"), "n")];
        assert_eq!(left, due.iter().collect::<Vec<_>>());
        let missing = catalogue.apply(&set(Some("a"), "n", "1", false));
        assert_eq!(missing, Err(Error::DatabaseNotFound { name: "a".into() }));
    }

    #[test]
    fn entries_are_bounded() {
        let long = "x".repeat(limits::ENTRY_TEXT_BYTES_MAX + 1);
        let long_name = "x".repeat(limits::NAME_BYTES_MAX + 1);
        let refusals = [
            (set(None, "n", &long, true), "the limit is 65536"),
            (set(None, &long_name, "1", true), "the limit is 256"),
            (set(None, "", "1", true), "entry name is empty"),
            (set(None, "a\0", "1", true), "NUL byte"),
        ];
        for (change, due) in refusals {
            let refused = catalogue().apply(&change).unwrap_err().to_string();
            assert!(refused.contains(due), "{refused}");
        }
        let key = EntryKey::new("a kind", None, "n");
        let kind = CatalogueChange::SetEntry { key, text: "".into(), replace: true };
        assert!(matches!(catalogue().apply(&kind), Err(Error::InvalidName { .. })));

        let mut full = catalogue();
        let text: Arc<str> = "x".repeat(limits::ENTRY_TEXT_BYTES_MAX).into();
        let fitting = limits::ENTRIES_BYTES_MAX / (text.len() + 8);
        for number in 0..fitting {
            full.apply(&set(None, &number.to_string(), &text, false)).unwrap();
        }
        let refused = full.apply(&set(None, "one more", &text, false)).unwrap_err();
        assert!(matches!(refused, Error::TooMany { .. }), "{refused}");
        let shorter = set(None, "0", "", true);
        assert!(full.apply(&shorter).unwrap().changed, "what makes room is never refused");
        full.apply(&set(None, "one more", &text, false)).unwrap();

        let mut many = Catalogue::default();
        for number in 0..limits::ENTRIES_MAX {
            let key = EntryKey::new("query", None, &number.to_string());
            many.entries.restore(key, "".into());
        }
        let refused = many.apply(&set(None, "one more", "", false)).unwrap_err().to_string();
        assert!(refused.contains("10001 entries"), "{refused}");
        assert!(many.apply(&set(None, "0", "other", true)).unwrap().changed);
    }
}
