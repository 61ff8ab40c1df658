//! Passwords: how they are stored, and how they are recognised without letting anybody use that to stop the server.
//!
//! A hash takes 19 MiB and some 30 ms on purpose, so at most two are made at once. Clients send their password with
//! every request: one that was right of late is remembered in memory by a hash under a key of this process, together
//! with the record that it was right for, so that a new password ends the old one at once.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use argon2::{Algorithm, Argon2, Params, Version};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;
use tsdb_core::Error;
use tsdb_core::env::Env;
use tsdb_ql::Secret;

use super::attempts::Attempts;
use super::token::{bytes_of_hex, hex, random};
use crate::app::blocking;
use crate::http::reply::ApiError;

/// What OWASP advises for argon2id, and the default of the crate.
const MEMORY_KIB: u32 = Params::DEFAULT_M_COST;
const PASSES: u32 = Params::DEFAULT_T_COST;

const SALT_BYTES: usize = 16;
const HASH_BYTES: usize = 32;

/// Most memory that a stored record can make a check take: what an earlier version wrote is below.
const MEMORY_KIB_MAX: u32 = 64 << 10;
const PASSES_MAX: u32 = 10;

/// Hashes at once. They take memory that nobody has reserved.
const HASHES_AT_ONCE: usize = 2;
/// How long a request waits for its turn to be checked.
const TURN_WAIT_MAX: Duration = Duration::from_secs(5);

/// Passwords that are remembered, and for how long.
const REMEMBERED_MAX: usize = 1024;
const REMEMBERED_NS: u64 = 10 * 60 * 1_000_000_000;

/// What a password is recognised by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct PasswordHash {
    memory_kib: u32,
    passes: u32,
    salt: String,
    hash: String,
}

impl PasswordHash {
    fn new(password: &str) -> Result<PasswordHash, Error> {
        let salt = random::<SALT_BYTES>().map_err(|cause| Error::Invalid {
            what: format!("the system gives no random bytes: {cause}"),
        })?;
        let hash = argon2id(password, &salt, MEMORY_KIB, PASSES).ok_or_else(no_memory)?;
        let (salt, hash) = (hex(&salt), hex(&hash));
        Ok(PasswordHash { memory_kib: MEMORY_KIB, passes: PASSES, salt, hash })
    }

    /// Of no password: whoever asks for a user that does not exist waits as long as for one that does.
    fn of_nobody() -> PasswordHash {
        let (salt, hash) = ("00".repeat(SALT_BYTES), String::new());
        PasswordHash { memory_kib: MEMORY_KIB, passes: PASSES, salt, hash }
    }

    /// Whether it is that of `password`. Takes 19 MiB and some 30 ms.
    fn is_of(&self, password: &str) -> bool {
        let memory_kib = self.memory_kib.min(MEMORY_KIB_MAX);
        let passes = self.passes.min(PASSES_MAX);
        let found = bytes_of_hex::<SALT_BYTES>(&self.salt)
            .and_then(|salt| argon2id(password, &salt, memory_kib, passes));
        let stored = bytes_of_hex::<HASH_BYTES>(&self.hash);
        found.zip(stored).is_some_and(|(found, stored)| found.ct_eq(&stored).into())
    }
}

fn argon2id(password: &str, salt: &[u8], memory_kib: u32, passes: u32) -> Option<[u8; HASH_BYTES]> {
    let params = Params::new(memory_kib, passes, 1, Some(HASH_BYTES)).ok()?;
    let mut hash = [0; HASH_BYTES];
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into(password.as_bytes(), salt, &mut hash)
        .ok()?;
    Some(hash)
}

fn no_memory() -> Error {
    Error::Invalid { what: "there is no memory to hash the password: retry later".to_owned() }
}

/// The checks of this process.
pub(super) struct Passwords {
    turns: Semaphore,
    attempts: Attempts,
    /// Under a key that nobody knows, what is remembered says nothing about passwords.
    key: [u8; 32],
    /// When each one that was right is forgotten, by the monotonic clock.
    remembered: Mutex<HashMap<[u8; 32], u64>>,
}

impl Passwords {
    pub(super) fn new(env: &Env) -> Passwords {
        let mut key = [0; 32];
        env.rng.fill(&mut key);
        Passwords {
            key,
            turns: Semaphore::new(HASHES_AT_ONCE),
            attempts: Attempts::default(),
            remembered: Mutex::default(),
        }
    }

    /// The hash of a new password. Blocks, inside of the runtime.
    ///
    /// # Errors
    /// There is no memory for that.
    pub(super) fn hash(&self, password: &Secret) -> Result<PasswordHash, Error> {
        let _turn = Handle::current().block_on(self.turns.acquire()).map_err(|_| Error::Closed)?;
        PasswordHash::new(password.reveal())
    }

    /// Whether a hash is that of a password. Blocks, inside of the runtime.
    ///
    /// # Errors
    /// The server stops.
    pub(super) fn is_same(&self, hash: &PasswordHash, password: &Secret) -> Result<bool, Error> {
        let _turn = Handle::current().block_on(self.turns.acquire()).map_err(|_| Error::Closed)?;
        Ok(hash.is_of(password.reveal()))
    }

    /// Whether `password` is that of a user with the hash `stored`; `None` is a user that does not exist.
    ///
    /// # Errors
    /// 503 if `peer` was wrong too often, or if too many wait.
    pub(super) async fn check(
        &self,
        user: &str,
        password: &Secret,
        stored: Option<PasswordHash>,
        peer: IpAddr,
        now_ns: u64,
    ) -> Result<bool, ApiError> {
        let memo = stored.as_ref().map(|stored| self.memo(user, password, stored));
        let is_remembered = || memo.is_some_and(|memo| self.remembers(&memo, now_ns));
        if is_remembered() {
            return Ok(true);
        }
        if !self.attempts.may_try(peer, now_ns) {
            let message = "too many wrong passwords from this address: retry later";
            return Err(ApiError::overloaded(message));
        }
        let _turn = self.turn().await?;
        // The same client may have sent several requests at once.
        if is_remembered() {
            return Ok(true);
        }
        let (stored, text) = (stored.unwrap_or_else(PasswordHash::of_nobody), password.clone());
        let is_right = blocking(move || stored.is_of(text.reveal())).await?;
        match memo.filter(|_| is_right) {
            Some(memo) => self.remember(memo, now_ns),
            None => self.attempts.failed(peer, now_ns),
        }
        Ok(is_right)
    }

    async fn turn(&self) -> Result<SemaphorePermit<'_>, ApiError> {
        let acquired = timeout(TURN_WAIT_MAX, self.turns.acquire()).await.ok();
        acquired.and_then(Result::ok).ok_or_else(|| {
            ApiError::overloaded("too many passwords are being checked: retry later")
        })
    }

    fn memo(&self, user: &str, password: &Secret, stored: &PasswordHash) -> [u8; 32] {
        let mut hasher = Sha256::new();
        hasher.update(self.key);
        for part in [user, &stored.salt, &stored.hash, password.reveal()] {
            hasher.update((part.len() as u64).to_le_bytes());
            hasher.update(part);
        }
        hasher.finalize().into()
    }

    fn remembers(&self, memo: &[u8; 32], now_ns: u64) -> bool {
        self.remembered.lock().get(memo).is_some_and(|end| now_ns < *end)
    }

    fn remember(&self, memo: [u8; 32], now_ns: u64) {
        let mut remembered = self.remembered.lock();
        if remembered.len() >= REMEMBERED_MAX {
            remembered.retain(|_, end| now_ns < *end);
        }
        if remembered.len() >= REMEMBERED_MAX {
            remembered.clear();
        }
        remembered.insert(memo, now_ns.saturating_add(REMEMBERED_NS));
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    const PEER: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));
    const MINUTE_NS: u64 = 60 * 1_000_000_000;

    fn secret(text: &str) -> Secret {
        Secret::new(text.to_owned())
    }

    #[test]
    fn a_hash_is_that_of_its_password_alone() {
        let hash = PasswordHash::new("it's").unwrap();
        assert!(hash.is_of("it's") && !hash.is_of("its") && !hash.is_of(""));
        assert_ne!(PasswordHash::new("it's").unwrap(), hash, "salted");
        assert!(!PasswordHash::of_nobody().is_of(""));
        assert!(!serde_json::to_string(&hash).unwrap().contains("it's"));
        // What a damaged or hostile record asks for is bounded.
        let greedy = PasswordHash { memory_kib: u32::MAX, passes: 1, ..PasswordHash::of_nobody() };
        assert!(!greedy.is_of("x"));
    }

    #[tokio::test]
    async fn what_was_right_is_remembered_until_it_is_not() {
        let passwords = Passwords::new(&Env::real());
        let hash = PasswordHash::new("right").unwrap();
        let check = async |user, text, hash: &PasswordHash, now_ns| {
            passwords.check(user, &secret(text), Some(hash.clone()), PEER, now_ns).await.unwrap()
        };
        assert!(check("u", "right", &hash, 0).await);
        let memo = passwords.memo("u", &secret("right"), &hash);
        assert!(
            passwords.remembers(&memo, 9 * MINUTE_NS)
                && !passwords.remembers(&memo, 10 * MINUTE_NS)
        );
        assert!(!check("u", "wrong", &hash, 1).await);
        // Another password of the same user is another record.
        assert!(!check("u", "right", &PasswordHash::new("new").unwrap(), 1).await);
        let twin = passwords.memo("v", &secret("right"), &hash);
        assert!(!passwords.remembers(&twin, 1));
        for number in 0..2 * REMEMBERED_MAX as u64 {
            let mut memo = [0; 32];
            memo[..8].copy_from_slice(&number.to_le_bytes());
            passwords.remember(memo, number);
        }
        assert!(passwords.remembered.lock().len() <= REMEMBERED_MAX);
    }

    #[tokio::test]
    async fn who_is_wrong_too_often_waits_and_who_was_right_does_not() {
        let passwords = Passwords::new(&Env::real());
        let hash = PasswordHash::new("right").unwrap();
        let check = async |text, peer, now_ns| {
            let (text, hash) = (secret(text), Some(hash.clone()));
            let outcome = passwords.check("u", &text, hash, peer, now_ns).await;
            outcome.map_err(|refused| refused.status().as_u16())
        };
        assert_eq!(check("right", PEER, 0).await, Ok(true));
        let mut wrong = 0;
        while check("wrong", PEER, 0).await == Ok(false) {
            wrong += 1;
        }
        assert_eq!(wrong, super::super::attempts::FAILURES_MAX);
        assert_eq!(check("wrong", PEER, 1).await, Err(503));
        assert_eq!(check("right", PEER, 1).await, Ok(true), "it is remembered");
        let other = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2));
        assert_eq!(check("wrong", other, 1).await, Ok(false), "others do not wait");
        assert_eq!(check("wrong", PEER, MINUTE_NS).await, Ok(false), "later they may try again");
    }
}
