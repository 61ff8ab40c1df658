//! Who asks, and what they may do: the one place that decides.
//!
//! A request is let in by [`admit`], which looks at its credential and at what its route needs ([`Access`]), and hands
//! on [`Who`]. What depends on a database is asked of that: handlers of writes by `http::write::Permitted`,
//! statements by [`statements`]. Privileges are looked up when they are asked for, so that what is revoked ends at
//! once, in a stream that is open, too.
//!
//! Not here: how refusals look to each kind of client (`http/refusals.rs`).

mod accounts;
mod admit;
mod attempts;
mod credential;
mod failures;
mod manage;
mod password;
pub mod statements;
#[cfg(test)]
mod tests;
mod token;

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use parking_lot::RwLock;

use axum::http::StatusCode;
use subtle::ConstantTimeEq;
use tsdb_core::env::Env;
use tsdb_core::storage::Storage;
use tsdb_ql::{Privilege, Secret};

use crate::http::params::Params;
use crate::http::reply::ApiError;
use crate::telemetry;
use accounts::Accounts;
pub use admit::{Access, Peer, admit};
use credential::Credential;
use failures::{Failure, Failures};
pub use manage::{AccountError, Outcome};
use password::Passwords;

/// InfluxDB's words for a request without a credential.
const NO_CREDENTIAL: &str = "unable to parse authentication credentials";
/// And for one with a wrong one.
const WRONG_CREDENTIAL: &str = "authorization failed";

/// What may be done with the data of a database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Right {
    /// Ask for it.
    Read,
    /// Bring it, and delete it.
    Write,
}

impl Right {
    /// Whether somebody with `privilege` has it.
    fn is_in(self, privilege: Privilege) -> bool {
        match privilege {
            Privilege::All => true,
            Privilege::Read => self == Right::Read,
            Privilege::Write => self == Right::Write,
        }
    }
}

/// Who asks.
#[derive(Clone)]
pub enum Who {
    /// Anybody, since nobody is asked: authentication is off.
    Everyone,
    /// Somebody who has not said who they are. May do nothing but create the first administrator.
    Nobody {
        /// Where the request came from.
        peer: IpAddr,
        /// Whether only this machine can reach the port that it came to.
        is_local: bool,
    },
    /// A user or the bearer of a token.
    Known(Arc<Account>),
}

/// Somebody who has shown a credential.
pub struct Account {
    auth: Arc<Auth>,
    kind: Kind,
    /// What messages and logs call it.
    shown: String,
}

/// Which account it is.
enum Kind {
    User,
    Token {
        id: String,
    },
    /// The bearer of the token of `--admin-token-file`.
    Root,
}

impl Account {
    fn is_admin(&self) -> bool {
        let accounts = &self.auth.accounts;
        match &self.kind {
            Kind::User => accounts.user(&self.shown).is_some_and(|user| user.is_admin),
            Kind::Token { id } => self.auth.token(id).is_some_and(|token| token.is_admin),
            Kind::Root => true,
        }
    }

    /// The grant on a database, if there is one.
    fn grant(&self, database: &str) -> Option<Privilege> {
        let accounts = &self.auth.accounts;
        match &self.kind {
            Kind::User => accounts.user_grant(&self.shown, database),
            Kind::Token { id } => {
                self.auth.token(id)?;
                accounts.token_grant(id, database)
            }
            Kind::Root => Some(Privilege::All),
        }
    }
}

impl Who {
    /// Somebody of whom nothing is known.
    pub fn nobody() -> Who {
        Who::Nobody { peer: IpAddr::V4(Ipv4Addr::UNSPECIFIED), is_local: false }
    }

    /// Whether they may do everything.
    pub fn is_admin(&self) -> bool {
        match self {
            Who::Everyone => true,
            Who::Nobody { .. } => false,
            Who::Known(account) => account.is_admin(),
        }
    }

    /// Whether they have a right in a database. It need not exist: for those who may not know, that is the same.
    pub fn may(&self, right: Right, database: &str) -> bool {
        let Who::Known(account) = self else { return self.is_admin() };
        account.grant(database).is_some_and(|privilege| right.is_in(privilege))
            || account.is_admin()
    }

    /// Whether they may know that a database exists.
    pub fn sees(&self, database: &str) -> bool {
        let Who::Known(account) = self else { return self.is_admin() };
        account.grant(database).is_some() || account.is_admin()
    }

    /// That they may do something with a database.
    ///
    /// # Errors
    /// 401, or 403 in InfluxDB's words.
    pub fn demand(&self, right: Right, database: &str) -> Result<(), ApiError> {
        if self.may(right, database) {
            return Ok(());
        }
        let Who::Known(account) = self else { return Err(unauthorized(NO_CREDENTIAL)) };
        let what = match right {
            Right::Read => "read from",
            Right::Write => "write to",
        };
        let name = &account.shown;
        let message = format!("{name:?} user is not authorized to {what} database {database:?}");
        Err(ApiError::new(StatusCode::FORBIDDEN, message))
    }

    /// What messages and logs call them.
    pub fn name(&self) -> &str {
        match self {
            Who::Everyone | Who::Nobody { .. } => "",
            Who::Known(account) => &account.shown,
        }
    }
}

/// 401 with the reason.
fn unauthorized(message: &str) -> ApiError {
    ApiError::new(StatusCode::UNAUTHORIZED, message)
}

/// Users, tokens, and the means to tell who somebody is.
pub struct Auth {
    is_on: bool,
    env: Env,
    accounts: Accounts,
    passwords: Passwords,
    failures: Failures,
    /// SHA-256 of the token of `--admin-token-file`.
    root: RwLock<Option<[u8; 32]>>,
}

impl Auth {
    /// Over the accounts in the catalogue of `storage`. Without `is_on` everybody may do everything.
    pub fn new(is_on: bool, root: Option<&Secret>, storage: &Arc<dyn Storage>, env: &Env) -> Auth {
        Auth {
            is_on,
            env: env.clone(),
            accounts: Accounts::new(Arc::clone(storage)),
            passwords: Passwords::new(env),
            failures: Failures::default(),
            root: RwLock::new(root.map(token::hash)),
        }
    }

    /// Takes another token of `--admin-token-file`, or none.
    pub(crate) fn set_root(&self, root: Option<&Secret>) {
        *self.root.write() = root.map(token::hash);
    }

    /// Whether anybody is asked who they are.
    pub fn is_on(&self) -> bool {
        self.is_on
    }

    /// How many requests got 401 for their credential since the start, by the kind of what was wrong: `user`, `token`,
    /// or `missing` where there was none.
    pub fn failures(&self) -> [(&'static str, u64); 3] {
        self.failures.counts()
    }

    /// Counts `refusal` if it says that a credential is wrong or missing, and gives it back.
    fn refused(&self, failure: Failure, refusal: ApiError) -> ApiError {
        // Who is asked to try later, by 503, was not looked at.
        if refusal.status() == StatusCode::UNAUTHORIZED {
            self.failures.note(failure);
        }
        refusal
    }

    /// Whether there is somebody who can create users. Until then anybody on this machine may create the first.
    fn has_admin(&self) -> bool {
        self.root.read().is_some() || self.accounts.has_admin(self.env.clock.wall_ns())
    }

    /// A token that has not expired.
    fn token(&self, id: &str) -> Option<accounts::TokenRecord> {
        let token = self.accounts.token(id)?;
        let is_good = token.expires_ns.is_none_or(|end| self.env.clock.wall_ns() < end);
        is_good.then_some(token)
    }

    /// Who a credential belongs to.
    ///
    /// # Errors
    /// 401 if it is wrong; 503 when passwords are tried too often, or too many are being checked.
    async fn identify(
        self: &Arc<Auth>,
        credential: Credential,
        peer: IpAddr,
    ) -> Result<Who, ApiError> {
        let known =
            |kind, shown| Who::Known(Arc::new(Account { auth: Arc::clone(self), kind, shown }));
        match credential {
            Credential::Password { user, password } => {
                let record = self.accounts.user(&user);
                let now_ns = self.env.clock.mono_ns();
                let hash = record.map(|record| record.password);
                if self.passwords.check(&user, &password, hash, peer, now_ns).await? {
                    return Ok(known(Kind::User, user));
                }
                let user = telemetry::clean(&user);
                tracing::info!(%peer, user, "a wrong password, or a user that does not exist");
            }
            Credential::Token(token) => {
                let hash = token::hash(&token);
                if self.root.read().is_some_and(|root| root.ct_eq(&hash).into()) {
                    return Ok(known(Kind::Root, "the token of --admin-token-file".to_owned()));
                }
                if let Some(id) = token::id_of(token.reveal())
                    && let Some(record) = self.token(id)
                    && record.is_of(&hash)
                {
                    return Ok(known(Kind::Token { id: id.to_owned() }, record.name));
                }
                tracing::info!(%peer, "a wrong or expired token");
            }
        }
        Err(unauthorized(WRONG_CREDENTIAL))
    }

    /// `who`, or whom the parameters of a form say, if nothing else did.
    ///
    /// # Errors
    /// 401 without a credential or with a wrong one, unless there is no administrator yet.
    pub async fn settle(self: &Arc<Auth>, who: Who, params: &Params) -> Result<Who, ApiError> {
        let Who::Nobody { peer, .. } = who else { return Ok(who) };
        let credential = credential::of_params(params);
        let failure = credential.as_ref().map_or(Failure::Missing, Credential::failure);
        let identified = match credential {
            Some(credential) => self.identify(credential, peer).await,
            None => Err(unauthorized(NO_CREDENTIAL)),
        };
        if identified.is_err() && !self.has_admin() {
            return Ok(who);
        }
        identified.map_err(|refusal| self.refused(failure, refusal))
    }
}
