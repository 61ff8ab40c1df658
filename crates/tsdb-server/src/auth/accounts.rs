//! Users, tokens and their grants as entries of the catalogue, which keeps them as durably as databases. A grant
//! belongs to its database and goes with it, so a new database of the same name is open to nobody.
//!
//! Not here: what the privileges are good for (`auth.rs`), and the statements (`auth/manage.rs`).

use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;
use tsdb_core::storage::Storage;
use tsdb_core::{CatalogueChange, EntryKey, Result};
use tsdb_ql::Privilege;

use super::password::PasswordHash;

/// Kinds of entries. The first two have the name of the user, the others the id of the token.
const USER: &str = "user";
const USER_GRANT: &str = "user_grant";
const TOKEN: &str = "token";
const TOKEN_GRANT: &str = "token_grant";

/// What is stored of a user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct UserRecord {
    /// Whether it may do everything.
    pub(super) is_admin: bool,
    /// What its password is recognised by.
    pub(super) password: PasswordHash,
}

/// What is stored of a token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct TokenRecord {
    /// What it is called.
    pub(super) name: String,
    /// SHA-256 of the token, in hexadecimal digits. It has 256 random bits, so nobody finds it by trying.
    pub(super) sha256: String,
    /// Whether it opens everything.
    pub(super) is_admin: bool,
    /// From when on it opens nothing, in ns since 1970.
    pub(super) expires_ns: Option<i64>,
}

impl TokenRecord {
    /// Whether it is the token with this hash. Takes as long whatever the answer.
    pub(super) fn is_of(&self, hash: &[u8; 32]) -> bool {
        let stored = super::token::bytes_of_hex::<32>(&self.sha256);
        stored.is_some_and(|stored| stored.ct_eq(hash).into())
    }
}

/// Whose grants are meant.
#[derive(Debug, Clone, Copy)]
pub(super) enum Holder<'a> {
    /// Of a user, by name.
    User(&'a str),
    /// Of a token, by id.
    Token(&'a str),
}

impl Holder<'_> {
    fn grant_kind(&self) -> &'static str {
        match self {
            Holder::User(_) => USER_GRANT,
            Holder::Token(_) => TOKEN_GRANT,
        }
    }

    fn name(&self) -> &str {
        match self {
            Holder::User(name) => name,
            Holder::Token(id) => id,
        }
    }
}

/// The accounts of a store.
pub(super) struct Accounts {
    storage: Arc<dyn Storage>,
    changes: Mutex<()>,
}

impl Accounts {
    pub(super) fn new(storage: Arc<dyn Storage>) -> Accounts {
        Accounts { storage, changes: Mutex::new(()) }
    }

    /// Held by who reads accounts in order to change them.
    pub(super) fn change(&self) -> MutexGuard<'_, ()> {
        self.changes.lock()
    }

    /// The user of a name.
    pub(super) fn user(&self, name: &str) -> Option<UserRecord> {
        self.read(&EntryKey::new(USER, None, name))
    }

    /// The token of an id.
    pub(super) fn token(&self, id: &str) -> Option<TokenRecord> {
        self.read(&EntryKey::new(TOKEN, None, id))
    }

    pub(super) fn user_grant(&self, user: &str, database: &str) -> Option<Privilege> {
        self.grant(Holder::User(user), database)
    }

    pub(super) fn token_grant(&self, id: &str, database: &str) -> Option<Privilege> {
        self.grant(Holder::Token(id), database)
    }

    /// What a user or token may do in a database.
    pub(super) fn grant(&self, holder: Holder<'_>, database: &str) -> Option<Privilege> {
        let key = EntryKey::new(holder.grant_kind(), Some(database), holder.name());
        privilege_of(self.storage.catalogue().entries.get(&key)?)
    }

    /// All grants of a user or token, in order of the databases. O(grants of all).
    pub(super) fn grants(&self, holder: Holder<'_>) -> Vec<(Arc<str>, Privilege)> {
        let catalogue = self.storage.catalogue();
        let own = catalogue.entries.of_kind(holder.grant_kind());
        let own = own.filter(|(key, _)| &*key.name == holder.name());
        own.filter_map(|(key, text)| Some((key.database.clone()?, privilege_of(text)?))).collect()
    }

    /// All users, in order of their names.
    pub(super) fn users(&self) -> Vec<(Arc<str>, UserRecord)> {
        self.all(USER)
    }

    /// All tokens with their ids.
    pub(super) fn tokens(&self) -> Vec<(Arc<str>, TokenRecord)> {
        self.all(TOKEN)
    }

    /// Whether a user or a token that is good at `now_ns` may do everything.
    pub(super) fn has_admin(&self, now_ns: i64) -> bool {
        let is_good = |end: Option<i64>| end.is_none_or(|end| now_ns < end);
        self.users().iter().any(|(_, user)| user.is_admin)
            || self.tokens().iter().any(|(_, token)| token.is_admin && is_good(token.expires_ns))
    }

    pub(super) fn has_database(&self, name: &str) -> Result<()> {
        self.storage.catalogue().database(name).map(|_| ())
    }

    pub(super) fn set_user(&self, name: &str, record: &UserRecord) -> Result<()> {
        self.write(EntryKey::new(USER, None, name), record)
    }

    pub(super) fn set_token(&self, id: &str, record: &TokenRecord) -> Result<()> {
        self.write(EntryKey::new(TOKEN, None, id), record)
    }

    /// Sets a grant; `None` takes it away.
    pub(super) fn set_grant(
        &self,
        holder: Holder<'_>,
        database: &str,
        privilege: Option<Privilege>,
    ) -> Result<()> {
        let key = EntryKey::new(holder.grant_kind(), Some(database), holder.name());
        match privilege {
            Some(privilege) => self.set(key, name_of(privilege).into()),
            None => self.apply(&CatalogueChange::RemoveEntry { key }),
        }
    }

    /// Removes a user or token with its grants. They go first: a crash in between leaves one that may do less, and
    /// never grants that a new one of the same name would find.
    pub(super) fn remove(&self, holder: Holder<'_>) -> Result<()> {
        for (database, _) in self.grants(holder) {
            self.set_grant(holder, &database, None)?;
        }
        let kind = match holder {
            Holder::User(_) => USER,
            Holder::Token(_) => TOKEN,
        };
        let key = EntryKey::new(kind, None, holder.name());
        self.apply(&CatalogueChange::RemoveEntry { key })
    }

    fn read<T: for<'t> Deserialize<'t>>(&self, key: &EntryKey) -> Option<T> {
        parse(key, self.storage.catalogue().entries.get(key)?)
    }

    fn all<T: for<'t> Deserialize<'t>>(&self, kind: &str) -> Vec<(Arc<str>, T)> {
        let catalogue = self.storage.catalogue();
        let all = catalogue.entries.of_kind(kind);
        all.filter_map(|(key, text)| Some((Arc::clone(&key.name), parse(key, text)?))).collect()
    }

    fn write(&self, key: EntryKey, record: &impl Serialize) -> Result<()> {
        let text = serde_json::to_string(record);
        let text = text.map_err(|cause| tsdb_core::Error::Invalid { what: cause.to_string() })?;
        self.set(key, text.into())
    }

    fn set(&self, key: EntryKey, text: Arc<str>) -> Result<()> {
        self.apply(&CatalogueChange::SetEntry { key, text, replace: true })
    }

    /// Returns when the change is durable.
    fn apply(&self, change: &CatalogueChange) -> Result<()> {
        self.storage.change_catalogue(change)?.wait().map(|_| ())
    }
}

/// A record; one that cannot be read opens nothing.
fn parse<T: for<'t> Deserialize<'t>>(key: &EntryKey, text: &str) -> Option<T> {
    let parsed = serde_json::from_str(text);
    if parsed.is_err() {
        tracing::error!(kind = &*key.kind, name = &*key.name, "an account cannot be read: drop it");
    }
    parsed.ok()
}

fn name_of(privilege: Privilege) -> &'static str {
    match privilege {
        Privilege::Read => "READ",
        Privilege::Write => "WRITE",
        Privilege::All => "ALL",
    }
}

fn privilege_of(text: &str) -> Option<Privilege> {
    let all = [Privilege::Read, Privilege::Write, Privilege::All];
    all.into_iter().find(|privilege| name_of(*privilege) == text)
}
