//! Writes statements about users and tokens. Passwords are left out, so that a printed tree may stand in any
//! log and any message; for the same reason such a text is no statement any more.

use std::fmt::{self, Display, Formatter};

use super::Name;
use crate::ast::{AccountStatement, Privilege, TokenScope};
use tsdb_core::time::format_duration;

impl Display for AccountStatement {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            AccountStatement::CreateUser { name, password, is_admin } => {
                write!(f, "CREATE USER {} WITH PASSWORD {password}", Name(name))?;
                if *is_admin { f.write_str(" WITH ALL PRIVILEGES") } else { Ok(()) }
            }
            AccountStatement::DropUser { name } => write!(f, "DROP USER {}", Name(name)),
            AccountStatement::SetPassword { name, password } => {
                write!(f, "SET PASSWORD FOR {} = {password}", Name(name))
            }
            AccountStatement::Grant { privilege, database, user } => {
                write!(f, "GRANT {privilege} ON {} TO {}", Name(database), Name(user))
            }
            AccountStatement::GrantAdmin { user } => {
                write!(f, "GRANT ALL PRIVILEGES TO {}", Name(user))
            }
            AccountStatement::Revoke { privilege, database, user } => {
                write!(f, "REVOKE {privilege} ON {} FROM {}", Name(database), Name(user))
            }
            AccountStatement::RevokeAdmin { user } => {
                write!(f, "REVOKE ALL PRIVILEGES FROM {}", Name(user))
            }
            AccountStatement::ShowUsers => f.write_str("SHOW USERS"),
            AccountStatement::ShowGrants { user } => write!(f, "SHOW GRANTS FOR {}", Name(user)),
            AccountStatement::CreateToken { name, scopes, expires_ns } => {
                write!(f, "CREATE TOKEN {} WITH ", Name(name))?;
                super::write_list(f, scopes)?;
                match expires_ns {
                    Some(ns) => write!(f, " EXPIRES IN {}", format_duration(*ns)),
                    None => Ok(()),
                }
            }
            AccountStatement::ShowTokens => f.write_str("SHOW TOKENS"),
            AccountStatement::DropToken { name } => write!(f, "DROP TOKEN {}", Name(name)),
        }
    }
}

impl Display for Privilege {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Privilege::Read => "READ",
            Privilege::Write => "WRITE",
            Privilege::All => "ALL PRIVILEGES",
        })
    }
}

impl Display for TokenScope {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            TokenScope::Database { privilege, database } => {
                write!(f, "{privilege} ON {}", Name(database))
            }
            TokenScope::Admin => f.write_str("ALL PRIVILEGES"),
        }
    }
}
