//! Statements about users and tokens, carried out. Columns and messages are InfluxDB's where it has them.

use std::sync::Arc;

use tsdb_core::{Error, ErrorKind};
use tsdb_exec::{ResultColumn, Series, StatementResult, Values};
use tsdb_ql::{AccountStatement, Privilege, Secret, TokenScope};

use super::accounts::{Holder, TokenRecord, UserRecord};
use super::{Auth, Who, token};
use crate::encode::number::push_rfc3339;
use crate::telemetry;

/// What a statement about accounts gave.
pub type Outcome = Result<StatementResult, AccountError>;

/// Why a statement about accounts was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum AccountError {
    /// It exists, with another password or other privileges.
    #[error("user already exists")]
    UserExists,
    /// There is none of that name.
    #[error("user not found")]
    UserNotFound,
    /// The name is empty.
    #[error("username required")]
    UserNameRequired,
    /// The name is taken.
    #[error("token {name:?} already exists: drop it first, or choose another name")]
    TokenExists {
        /// The name.
        name: String,
    },
    /// There is none of that name.
    #[error("token {name:?} not found: SHOW TOKENS lists those that there are")]
    TokenNotFound {
        /// The name.
        name: String,
    },
    /// It would be of no use.
    #[error("a token needs a name, and an end in the future: write for instance EXPIRES IN 30d")]
    TokenUseless,
    /// The system is out of random bytes.
    #[error("the system gives no random bytes: {cause}")]
    NoRandomBytes {
        /// What it says.
        cause: getrandom::Error,
    },
    /// There is none of that name.
    #[error("database not found: {name}")]
    DatabaseNotFound {
        /// The name.
        name: String,
    },
    /// The change cannot be stored.
    #[error(transparent)]
    Store(Error),
}

impl From<Error> for AccountError {
    /// In statements InfluxDB names a database without quotes.
    fn from(error: Error) -> AccountError {
        match error {
            Error::DatabaseNotFound { name } => AccountError::DatabaseNotFound { name },
            other => AccountError::Store(other),
        }
    }
}

impl AccountError {
    /// What the caller must do.
    pub fn kind(&self) -> ErrorKind {
        match self {
            AccountError::UserNotFound
            | AccountError::TokenNotFound { .. }
            | AccountError::DatabaseNotFound { .. } => ErrorKind::NotFound,
            AccountError::Store(error) => error.kind(),
            _ => ErrorKind::Invalid,
        }
    }
}

impl Auth {
    /// Carries a statement out, for somebody who may. Returns when its change is durable. Blocks, inside of the
    /// runtime.
    ///
    /// # Errors
    /// What is named does not exist, or exists already.
    pub fn carry_out(&self, statement: &AccountStatement, who: &Who) -> Outcome {
        let outcome = self.outcome(statement);
        if outcome.is_ok() && !statement.is_read_only() {
            // Without the password, which is never printed.
            let statement = telemetry::clean(&statement.to_string());
            tracing::info!(by = telemetry::clean(who.name()), statement, "accounts changed");
        }
        outcome
    }

    fn outcome(&self, statement: &AccountStatement) -> Outcome {
        let accounts = &self.accounts;
        let _alone = accounts.change();
        match statement {
            AccountStatement::CreateUser { name, password, is_admin } => {
                self.create_user(name, password, *is_admin)?;
            }
            AccountStatement::DropUser { name } => {
                self.known_user(name)?;
                accounts.remove(Holder::User(name))?;
            }
            AccountStatement::SetPassword { name, password } => {
                let user = self.known_user(name)?;
                let password = self.passwords.hash(password)?;
                accounts.set_user(name, &UserRecord { password, ..user })?;
            }
            AccountStatement::Grant { privilege, database, user } => {
                accounts.has_database(database)?;
                self.known_user(user)?;
                accounts.set_grant(Holder::User(user), database, Some(*privilege))?;
            }
            AccountStatement::Revoke { privilege, database, user } => {
                accounts.has_database(database)?;
                self.known_user(user)?;
                let held = accounts.user_grant(user, database);
                let left = held.and_then(|held| without(held, *privilege));
                accounts.set_grant(Holder::User(user), database, left)?;
            }
            AccountStatement::GrantAdmin { user } => self.set_admin(user, true)?,
            AccountStatement::RevokeAdmin { user } => self.set_admin(user, false)?,
            AccountStatement::ShowUsers => return Ok(self.show_users()),
            AccountStatement::ShowGrants { user } => return self.show_grants(user),
            AccountStatement::CreateToken { name, scopes, expires_ns } => {
                return self.create_token(name, scopes, *expires_ns);
            }
            AccountStatement::ShowTokens => return Ok(self.show_tokens()),
            AccountStatement::DropToken { name } => {
                let id = self.token_named(name).ok_or_else(|| {
                    let name = name.clone();
                    AccountError::TokenNotFound { name }
                })?;
                accounts.remove(Holder::Token(&id))?;
            }
        }
        Ok(StatementResult::default())
    }

    fn known_user(&self, name: &str) -> Result<UserRecord, AccountError> {
        self.accounts.user(name).ok_or(AccountError::UserNotFound)
    }

    /// Created again with the same password and privileges, a user stays as it is.
    fn create_user(
        &self,
        name: &str,
        password: &Secret,
        is_admin: bool,
    ) -> Result<(), AccountError> {
        if name.is_empty() {
            return Err(AccountError::UserNameRequired);
        }
        if let Some(user) = self.accounts.user(name) {
            let is_same = user.is_admin == is_admin;
            let is_same = is_same && self.passwords.is_same(&user.password, password)?;
            return if is_same { Ok(()) } else { Err(AccountError::UserExists) };
        }
        let password = self.passwords.hash(password)?;
        Ok(self.accounts.set_user(name, &UserRecord { is_admin, password })?)
    }

    fn set_admin(&self, name: &str, is_admin: bool) -> Result<(), AccountError> {
        let user = self.known_user(name)?;
        Ok(self.accounts.set_user(name, &UserRecord { is_admin, ..user })?)
    }

    fn show_users(&self) -> StatementResult {
        let users = self.accounts.users();
        let admins = users.iter().map(|(_, user)| user.is_admin).collect();
        let admins = ResultColumn { name: "admin".into(), values: Values::Booleans(admins) };
        let names = ResultColumn::texts("user", users.into_iter().map(|(name, _)| name));
        table(vec![names, admins])
    }

    fn show_grants(&self, user: &str) -> Outcome {
        self.known_user(user)?;
        let grants = self.accounts.grants(Holder::User(user));
        let privileges = grants.iter().map(|(_, privilege)| privilege.to_string().into());
        let privileges = ResultColumn::texts("privilege", privileges);
        let databases = ResultColumn::texts("database", grants.into_iter().map(|(name, _)| name));
        Ok(table(vec![databases, privileges]))
    }

    fn token_named(&self, name: &str) -> Option<Arc<str>> {
        let mut tokens = self.accounts.tokens().into_iter();
        tokens.find(|(_, token)| token.name == name).map(|(id, _)| id)
    }

    /// The answer is the only place where the token is ever shown.
    fn create_token(&self, name: &str, scopes: &[TokenScope], expires_ns: Option<i64>) -> Outcome {
        let accounts = &self.accounts;
        if name.is_empty() || expires_ns.is_some_and(|ns| ns <= 0) {
            return Err(AccountError::TokenUseless);
        }
        if self.token_named(name).is_some() {
            return Err(AccountError::TokenExists { name: name.to_owned() });
        }
        for scope in scopes {
            if let TokenScope::Database { database, .. } = scope {
                accounts.has_database(database)?;
            }
        }
        let (id, text) = token::new().map_err(|cause| AccountError::NoRandomBytes { cause })?;
        let now_ns = self.env.clock.wall_ns();
        let record = TokenRecord {
            name: name.to_owned(),
            sha256: token::hex(&token::hash(&text)),
            is_admin: scopes.contains(&TokenScope::Admin),
            expires_ns: expires_ns.map(|ns| now_ns.saturating_add(ns)),
        };
        accounts.set_token(&id, &record)?;
        for scope in scopes {
            if let TokenScope::Database { privilege, database } = scope {
                let held = accounts.token_grant(&id, database);
                let together = held.map_or(*privilege, |held| with(held, *privilege));
                accounts.set_grant(Holder::Token(&id), database, Some(together))?;
            }
        }
        let column = |name, text: &str| ResultColumn::texts(name, [Arc::from(text)]);
        Ok(table(vec![column("name", name), column("token", text.reveal())]))
    }

    fn show_tokens(&self) -> StatementResult {
        let mut tokens = self.accounts.tokens();
        tokens.sort_by(|(_, a), (_, b)| a.name.cmp(&b.name));
        let grants = tokens.iter().map(|(id, token)| {
            if token.is_admin {
                return Privilege::All.to_string().into();
            }
            let grants = self.accounts.grants(Holder::Token(id)).into_iter();
            let grants: Vec<String> = grants.map(|(name, p)| format!("{p} ON {name}")).collect();
            Arc::from(grants.join(", "))
        });
        let grants = ResultColumn::texts("grants", grants);
        let ends = tokens.iter().map(|(_, token)| {
            let mut text = Vec::new();
            if let Some(end) = token.expires_ns {
                push_rfc3339(&mut text, end, 0);
            }
            Arc::from(String::from_utf8_lossy(&text))
        });
        let ends = ResultColumn::texts("expires", ends);
        let names = ResultColumn::texts("name", tokens.iter().map(|(_, t)| t.name.as_str().into()));
        table(vec![names, grants, ends])
    }
}

/// A privilege and another one.
fn with(held: Privilege, other: Privilege) -> Privilege {
    if held == other { held } else { Privilege::All }
}

/// What is left of a privilege without another one.
fn without(held: Privilege, taken: Privilege) -> Option<Privilege> {
    match (held, taken) {
        (_, Privilege::All) => None,
        (Privilege::All, Privilege::Read) => Some(Privilege::Write),
        (Privilege::All, Privilege::Write) => Some(Privilege::Read),
        (held, taken) => (held != taken).then_some(held),
    }
}

fn table(columns: Vec<ResultColumn>) -> StatementResult {
    StatementResult::of(Series::table(None, columns))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn privileges_are_taken_apart_and_put_together() {
        use Privilege::{All, Read, Write};
        for (held, taken, left) in [
            (All, All, None),
            (All, Read, Some(Write)),
            (All, Write, Some(Read)),
            (Read, Read, None),
            (Read, Write, Some(Read)),
            (Write, All, None),
        ] {
            assert_eq!(without(held, taken), left, "{held} without {taken}");
        }
        assert_eq!(with(Read, Read), Read);
        assert_eq!(with(Read, Write), All);
        assert_eq!(with(Write, All), All);
    }
}
