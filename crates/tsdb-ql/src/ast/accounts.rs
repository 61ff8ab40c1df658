//! Statements about who may do what: users with passwords, as in InfluxQL, and tokens, which are ours.
//! How they are judged is the server's matter.

use std::fmt;

/// A statement about users or tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AccountStatement {
    /// `CREATE USER`
    CreateUser {
        /// Its name.
        name: String,
        /// What it proves itself with.
        password: Secret,
        /// `WITH ALL PRIVILEGES`: whether it may do everything.
        is_admin: bool,
    },
    /// `DROP USER`
    DropUser {
        /// Its name.
        name: String,
    },
    /// `SET PASSWORD FOR`
    SetPassword {
        /// The user's name.
        name: String,
        /// The new password.
        password: Secret,
    },
    /// `GRANT … ON … TO`
    Grant {
        /// What the user may do from now on, instead of what it could before.
        privilege: Privilege,
        /// In which database.
        database: String,
        /// Who.
        user: String,
    },
    /// `GRANT ALL PRIVILEGES TO`: the user may do everything.
    GrantAdmin {
        /// Who.
        user: String,
    },
    /// `REVOKE … ON … FROM`
    Revoke {
        /// What the user may not do any more.
        privilege: Privilege,
        /// In which database.
        database: String,
        /// Who.
        user: String,
    },
    /// `REVOKE ALL PRIVILEGES FROM`: the user has its grants on databases and no more.
    RevokeAdmin {
        /// Who.
        user: String,
    },
    /// `SHOW USERS`
    ShowUsers,
    /// `SHOW GRANTS FOR`
    ShowGrants {
        /// Whose.
        user: String,
    },
    /// `CREATE TOKEN`
    CreateToken {
        /// What it is called in SHOW TOKENS.
        name: String,
        /// What it opens, at least one.
        scopes: Vec<TokenScope>,
        /// `EXPIRES IN`, in ns from now; absent means never.
        expires_ns: Option<i64>,
    },
    /// `SHOW TOKENS`
    ShowTokens,
    /// `DROP TOKEN`
    DropToken {
        /// Which.
        name: String,
    },
}

impl AccountStatement {
    /// Whether the statement changes nothing.
    #[must_use]
    pub fn is_read_only(&self) -> bool {
        matches!(
            self,
            AccountStatement::ShowUsers
                | AccountStatement::ShowGrants { .. }
                | AccountStatement::ShowTokens
        )
    }
}

/// What somebody may do in a database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Privilege {
    /// Ask for data.
    Read,
    /// Bring data, and delete it.
    Write,
    /// Both.
    All,
}

/// A part of what a token opens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TokenScope {
    /// `READ ON …` and the like.
    Database {
        /// What may be done.
        privilege: Privilege,
        /// In which database.
        database: String,
    },
    /// `ALL PRIVILEGES`: everything.
    Admin,
}

/// A text that is never shown: what [`fmt::Debug`] and [`fmt::Display`] write says only that there is one.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Keeps `text`.
    #[must_use]
    pub fn new(text: String) -> Secret {
        Secret(text)
    }

    /// The text itself, for who compares or hashes it.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[REDACTED]")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[REDACTED]")
    }
}
