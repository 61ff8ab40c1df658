//! The catalogue: which databases and retention policies exist, the namespace ids behind them, and the entries of
//! layers above.
//!
//! Pure data with a pure transition, [`Catalogue::apply`], so that the oracle, the engine's log replay
//! and the engine itself come to the same ids from the same changes. Where it is stored is the engine's
//! business.

mod entries;

use std::collections::BTreeMap;
use std::sync::Arc;

pub use entries::{Entries, EntryKey};

use crate::{Error, NamespaceId, Result, limits, time};

/// Name of the policy that every database begins with.
pub const AUTOGEN: &str = "autogen";

/// Width of a partition unless a policy says otherwise: one day, in ns.
pub const PARTITION_NS_DEFAULT: i64 = 86_400_000_000_000;

/// Narrowest partition in ns. Below an hour a backfill makes more files than a disk likes.
pub const PARTITION_NS_MIN: i64 = 3_600_000_000_000;

/// Shortest retention in ns, InfluxDB's own bound.
pub const RETENTION_NS_MIN: i64 = 3_600_000_000_000;

/// One (database, retention policy).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamespaceInfo {
    /// Its id, never reused.
    pub id: NamespaceId,
    /// How long rows are kept, in ns; `None` keeps them for ever.
    pub retention_ns: Option<i64>,
    /// Width of its partitions in ns.
    pub partition_ns: i64,
    /// Rows before this timestamp have expired and are not seen; only moves forward.
    pub cutoff: i64,
}

/// The policies of one database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Database {
    /// Policy that is meant where none is named.
    pub default_policy: Arc<str>,
    /// Policies by name, at least one.
    pub policies: BTreeMap<Arc<str>, NamespaceInfo>,
}

/// All databases by name. Cheap to clone for a few, so holders publish it behind an `Arc`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Catalogue {
    /// Id that the next namespace gets.
    pub next_id: u32,
    /// Databases by name.
    pub databases: BTreeMap<Arc<str>, Database>,
    /// Named texts of layers above.
    pub entries: Entries,
}

/// A policy to be created.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicySpec {
    /// Its name.
    pub name: Arc<str>,
    /// How long rows are kept, in ns; `None` keeps them for ever.
    pub retention_ns: Option<i64>,
    /// Width of a partition in ns; `None` is [`PARTITION_NS_DEFAULT`].
    pub partition_ns: Option<i64>,
}

impl Default for PolicySpec {
    fn default() -> Self {
        PolicySpec { name: AUTOGEN.into(), retention_ns: None, partition_ns: None }
    }
}

/// A change of the catalogue. Creating what exists in the same form, and dropping what does not exist,
/// succeed and change nothing, so that a retry is harmless.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CatalogueChange {
    /// A new database with its default policy.
    CreateDatabase {
        /// Its name.
        name: Arc<str>,
        /// Its default policy.
        policy: PolicySpec,
    },
    /// Removes a database with all its rows.
    DropDatabase {
        /// Its name.
        name: Arc<str>,
    },
    /// A further policy for a database.
    CreatePolicy {
        /// The database.
        database: Arc<str>,
        /// The policy.
        policy: PolicySpec,
        /// Whether it becomes the default one.
        make_default: bool,
    },
    /// Changes a policy; what is `None` stays.
    AlterPolicy {
        /// The database.
        database: Arc<str>,
        /// The policy.
        name: Arc<str>,
        /// New retention: `Some(None)` keeps rows for ever.
        retention_ns: Option<Option<i64>>,
        /// New width of partitions to come.
        partition_ns: Option<i64>,
        /// Whether it becomes the default one.
        make_default: bool,
    },
    /// Removes a policy with all its rows.
    DropPolicy {
        /// The database.
        database: Arc<str>,
        /// The policy.
        name: Arc<str>,
    },
    /// Sets the text of an entry.
    SetEntry {
        /// What it is called.
        key: EntryKey,
        /// Its text, at most [`limits::ENTRY_TEXT_BYTES_MAX`] bytes.
        text: Arc<str>,
        /// Whether another text that it has goes; otherwise the change is refused then.
        replace: bool,
    },
    /// Removes an entry.
    RemoveEntry {
        /// What it is called.
        key: EntryKey,
    },
}

/// What a change did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Applied {
    /// False when everything was so already.
    pub changed: bool,
    /// Namespaces that are gone.
    pub dropped: Vec<NamespaceId>,
}

impl Catalogue {
    /// Carries out `change`. On an error nothing has changed. O(size of the touched database + entries).
    ///
    /// # Errors
    /// A name that is not allowed, a database or policy that does not exist, a policy or entry that exists
    /// in another form, a width or retention below its minimum, too many databases, too many or too long
    /// entries.
    pub fn apply(&mut self, change: &CatalogueChange) -> Result<Applied> {
        match change {
            CatalogueChange::CreateDatabase { name, policy } => self.create_database(name, policy),
            CatalogueChange::DropDatabase { name } => {
                let dropped = self.databases.remove(name);
                self.entries.remove_database(name);
                let ids = dropped.iter().flat_map(|d| d.policies.values().map(|p| p.id));
                Ok(Applied { changed: dropped.is_some(), dropped: ids.collect() })
            }
            CatalogueChange::CreatePolicy { database, policy, make_default } => {
                self.create_policy(database, policy, *make_default)
            }
            CatalogueChange::AlterPolicy {
                database,
                name,
                retention_ns,
                partition_ns,
                make_default,
            } => self.alter_policy(database, name, *retention_ns, *partition_ns, *make_default),
            CatalogueChange::DropPolicy { database, name } => self.drop_policy(database, name),
            CatalogueChange::SetEntry { key, text, replace } => {
                if let Some(database) = &key.database {
                    self.database(database)?;
                }
                self.entries.set(key, text, *replace)
            }
            CatalogueChange::RemoveEntry { key } => Ok(self.entries.remove(key)),
        }
    }

    fn create_database(&mut self, name: &Arc<str>, policy: &PolicySpec) -> Result<Applied> {
        check_name("database", name)?;
        if self.databases.contains_key(name) {
            // InfluxDB answers a second CREATE DATABASE with success whatever the policy clause says.
            return Ok(Applied::default());
        }
        if self.databases.len() >= limits::DATABASES_MAX {
            return Err(Error::TooMany {
                what: "databases",
                count: self.databases.len() as u64 + 1,
                count_max: limits::DATABASES_MAX as u64,
                remedy: "drop databases, or tell tenants apart by a tag",
            });
        }
        let namespace = self.new_namespace(policy)?;
        let policies = BTreeMap::from([(Arc::clone(&policy.name), namespace)]);
        let database = Database { default_policy: Arc::clone(&policy.name), policies };
        self.databases.insert(Arc::clone(name), database);
        Ok(Applied { changed: true, dropped: Vec::new() })
    }

    fn create_policy(
        &mut self,
        database: &Arc<str>,
        policy: &PolicySpec,
        make_default: bool,
    ) -> Result<Applied> {
        let known = self.database(database)?;
        let changed = match known.policies.get(&policy.name) {
            None => true,
            Some(old) => {
                let width = policy.partition_ns.unwrap_or(PARTITION_NS_DEFAULT);
                if old.retention_ns != policy.retention_ns || old.partition_ns != width {
                    return Err(Error::AlreadyExists {
                        what: "retention policy",
                        name: policy.name.to_string(),
                    });
                }
                false
            }
        };
        let namespace = if changed { Some(self.new_namespace(policy)?) } else { None };
        let database = self.database_mut(database)?;
        if let Some(namespace) = namespace {
            database.policies.insert(Arc::clone(&policy.name), namespace);
        }
        let newly_default = make_default && database.default_policy != policy.name;
        if newly_default {
            database.default_policy = Arc::clone(&policy.name);
        }
        Ok(Applied { changed: changed || newly_default, dropped: Vec::new() })
    }

    fn alter_policy(
        &mut self,
        database: &Arc<str>,
        name: &Arc<str>,
        retention_ns: Option<Option<i64>>,
        partition_ns: Option<i64>,
        make_default: bool,
    ) -> Result<Applied> {
        check_durations(retention_ns.flatten(), partition_ns)?;
        let database = self.database_mut(database)?;
        let policy = database
            .policies
            .get_mut(name)
            .ok_or_else(|| Error::PolicyNotFound { name: name.to_string() })?;
        let before = policy.clone();
        policy.retention_ns = retention_ns.unwrap_or(policy.retention_ns);
        policy.partition_ns = partition_ns.unwrap_or(policy.partition_ns);
        let newly_default = make_default && database.default_policy != *name;
        let changed = *policy != before || newly_default;
        if newly_default {
            database.default_policy = Arc::clone(name);
        }
        Ok(Applied { changed, dropped: Vec::new() })
    }

    fn drop_policy(&mut self, database: &Arc<str>, name: &Arc<str>) -> Result<Applied> {
        let database = self.database_mut(database)?;
        if database.default_policy == *name && database.policies.contains_key(name) {
            return Err(Error::Invalid {
                what: format!(
                    "retention policy {name:?} is the default one: make another the default first"
                ),
            });
        }
        let dropped = database.policies.remove(name);
        Ok(Applied { changed: dropped.is_some(), dropped: dropped.iter().map(|p| p.id).collect() })
    }

    fn new_namespace(&mut self, policy: &PolicySpec) -> Result<NamespaceInfo> {
        check_name("retention policy", &policy.name)?;
        check_durations(policy.retention_ns, policy.partition_ns)?;
        let id = NamespaceId(self.next_id);
        self.next_id = self.next_id.checked_add(1).ok_or(Error::Invalid {
            what: "namespace ids are used up: start with a new data directory".to_owned(),
        })?;
        Ok(NamespaceInfo {
            id,
            retention_ns: policy.retention_ns,
            partition_ns: policy.partition_ns.unwrap_or(PARTITION_NS_DEFAULT),
            cutoff: time::MIN_TIME,
        })
    }

    /// The database `name`.
    ///
    /// # Errors
    /// [`Error::DatabaseNotFound`].
    pub fn database(&self, name: &str) -> Result<&Database> {
        self.databases.get(name).ok_or_else(|| Error::DatabaseNotFound { name: name.to_owned() })
    }

    fn database_mut(&mut self, name: &str) -> Result<&mut Database> {
        self.databases
            .get_mut(name)
            .ok_or_else(|| Error::DatabaseNotFound { name: name.to_owned() })
    }

    /// The namespace of a database and a policy; `None` is the default policy. O(log n).
    ///
    /// # Errors
    /// [`Error::DatabaseNotFound`], [`Error::PolicyNotFound`].
    pub fn namespace(&self, database: &str, policy: Option<&str>) -> Result<&NamespaceInfo> {
        let database = self.database(database)?;
        let policy = policy.unwrap_or(&database.default_policy);
        database
            .policies
            .get(policy)
            .ok_or_else(|| Error::PolicyNotFound { name: policy.to_owned() })
    }

    /// All namespaces, in order of database and policy.
    pub fn namespaces(&self) -> impl Iterator<Item = &NamespaceInfo> {
        self.databases.values().flat_map(|d| d.policies.values())
    }

    /// All namespaces, to move their cutoffs.
    pub fn namespaces_mut(&mut self) -> impl Iterator<Item = &mut NamespaceInfo> {
        self.databases.values_mut().flat_map(|d| d.policies.values_mut())
    }

    /// The namespace with `id`, if it still exists. O(number of namespaces).
    pub fn by_id(&self, id: NamespaceId) -> Option<&NamespaceInfo> {
        self.namespaces().find(|n| n.id == id)
    }
}

impl NamespaceInfo {
    /// Start of the partition that holds `timestamp`. Partitions are aligned to the Unix epoch; the
    /// first and the last are cut short by the range of time.
    pub fn partition_start(&self, timestamp: i64) -> i64 {
        time::window_start(timestamp, self.partition_ns, 0)
    }
}

fn check_name(what: &'static str, name: &str) -> Result<()> {
    let letter = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    let inner = |b: u8| letter(b) || b == b'.' || b == b'-';
    let mut bytes = name.bytes();
    let first = bytes.next().is_some_and(letter);
    if first && bytes.all(inner) && name.len() <= limits::CATALOGUE_NAME_BYTES_MAX {
        Ok(())
    } else {
        Err(Error::InvalidName { what, name: name.to_owned() })
    }
}

fn check_durations(retention_ns: Option<i64>, partition_ns: Option<i64>) -> Result<()> {
    if retention_ns.is_some_and(|r| r < RETENTION_NS_MIN) {
        return Err(Error::Invalid {
            what: "retention policy duration must be at least 1h".to_owned(),
        });
    }
    if partition_ns.is_some_and(|p| p < PARTITION_NS_MIN) {
        return Err(Error::Invalid { what: "shard duration must be at least 1h".to_owned() });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn create(name: &str) -> CatalogueChange {
        CatalogueChange::CreateDatabase { name: name.into(), policy: PolicySpec::default() }
    }

    #[test]
    fn ids_are_never_reused() {
        let mut catalogue = Catalogue::default();
        assert!(catalogue.apply(&create("a")).unwrap().changed);
        assert!(!catalogue.apply(&create("a")).unwrap().changed);
        let first = catalogue.namespace("a", None).unwrap().id;
        let gone = catalogue.apply(&CatalogueChange::DropDatabase { name: "a".into() }).unwrap();
        assert_eq!(gone.dropped, [first]);
        catalogue.apply(&create("a")).unwrap();
        assert_ne!(catalogue.namespace("a", Some(AUTOGEN)).unwrap().id, first);
        assert_eq!(catalogue.by_id(first), None);
    }

    #[test]
    fn names_that_could_be_paths_are_refused() {
        let long = "x".repeat(65);
        for name in ["", "../x", "a/b", ".hidden", "-x", "a\0", "a b", "ä", long.as_str(), "a∕b"]
        {
            let result = Catalogue::default().apply(&create(name));
            assert!(matches!(result, Err(Error::InvalidName { .. })), "{name:?}");
        }
        for name in ["_internal", "telegraf", "0", "a.b-c_D", &"x".repeat(64)] {
            assert!(Catalogue::default().apply(&create(name)).is_ok(), "{name:?}");
        }
    }

    #[test]
    fn policies_are_created_altered_and_dropped() {
        let mut catalogue = Catalogue::default();
        catalogue.apply(&create("a")).unwrap();
        let hour = RETENTION_NS_MIN;
        let spec =
            PolicySpec { name: "week".into(), retention_ns: Some(168 * hour), partition_ns: None };
        let add = CatalogueChange::CreatePolicy {
            database: "a".into(),
            policy: spec.clone(),
            make_default: true,
        };
        assert!(catalogue.apply(&add).unwrap().changed);
        assert!(!catalogue.apply(&add).unwrap().changed);
        assert_eq!(catalogue.namespace("a", None).unwrap().retention_ns, Some(168 * hour));
        let other = CatalogueChange::CreatePolicy {
            database: "a".into(),
            policy: PolicySpec { retention_ns: None, ..spec },
            make_default: false,
        };
        assert!(matches!(catalogue.apply(&other), Err(Error::AlreadyExists { .. })));
        let alter = |retention_ns, make_default, name: &str| CatalogueChange::AlterPolicy {
            database: "a".into(),
            name: name.into(),
            retention_ns,
            partition_ns: None,
            make_default,
        };
        assert!(catalogue.apply(&alter(Some(Some(hour - 1)), false, "week")).is_err());
        assert!(catalogue.apply(&alter(Some(None), false, "nope")).is_err());
        let drop =
            |name: &str| CatalogueChange::DropPolicy { database: "a".into(), name: name.into() };
        assert!(catalogue.apply(&drop("week")).is_err(), "the default policy stays");
        assert!(catalogue.apply(&alter(Some(None), true, AUTOGEN)).unwrap().changed);
        assert_eq!(catalogue.apply(&drop("week")).unwrap().dropped.len(), 1);
        assert!(!catalogue.apply(&drop("week")).unwrap().changed);
        assert!(matches!(catalogue.apply(&drop("x").clone()), Ok(a) if !a.changed));
    }

    #[test]
    fn partitions_are_aligned_and_never_wrap() {
        let mut catalogue = Catalogue::default();
        catalogue.apply(&create("a")).unwrap();
        let namespace = catalogue.namespace("a", None).unwrap();
        assert_eq!(namespace.partition_start(0), 0);
        assert_eq!(namespace.partition_start(-1), -PARTITION_NS_DEFAULT);
        assert_eq!(namespace.partition_start(PARTITION_NS_DEFAULT), PARTITION_NS_DEFAULT);
        assert!(namespace.partition_start(time::MIN_TIME) <= time::MIN_TIME);
    }
}
