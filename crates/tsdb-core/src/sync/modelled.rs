//! The locks of shuttle behind the interface of `parking_lot`: no poison, a condition that takes the guard by
//! reference.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::PoisonError;
use std::time::Duration;

use shuttle::sync as inner;

/// As `parking_lot::Mutex`.
#[derive(Default)]
pub struct Mutex<T>(inner::Mutex<T>);

impl<T> Mutex<T> {
    /// An unlocked mutex.
    #[track_caller]
    pub const fn new(value: T) -> Mutex<T> {
        Mutex(inner::Mutex::new(value))
    }

    /// Waits for the lock.
    pub fn lock(&self) -> MutexGuard<'_, T> {
        MutexGuard(Some(self.0.lock().unwrap_or_else(PoisonError::into_inner)))
    }
}

impl<T> fmt::Debug for Mutex<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // To look inside would be a step of the model.
        f.write_str("Mutex")
    }
}

/// As `parking_lot::MutexGuard`. Empty only while [`Condvar::wait`] has what it held.
pub struct MutexGuard<'a, T>(Option<inner::MutexGuard<'a, T>>);

impl<T> Deref for MutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        let Some(guard) = &self.0 else { unreachable!("nobody looks during a wait") };
        guard
    }
}

impl<T> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        let Some(guard) = &mut self.0 else { unreachable!("nobody looks during a wait") };
        guard
    }
}

/// As `parking_lot::Condvar`.
#[derive(Default, Debug)]
pub struct Condvar(inner::Condvar);

impl Condvar {
    /// A condition that nobody waits for.
    #[track_caller]
    pub const fn new() -> Condvar {
        Condvar(inner::Condvar::new())
    }

    /// Waits until notified.
    pub fn wait<T>(&self, guard: &mut MutexGuard<'_, T>) {
        let held = guard.0.take();
        guard.0 = held.map(|held| self.0.wait(held).unwrap_or_else(PoisonError::into_inner));
    }

    /// Waits until notified: in the model no time passes.
    pub fn wait_for<T>(
        &self,
        guard: &mut MutexGuard<'_, T>,
        timeout: Duration,
    ) -> inner::WaitTimeoutResult {
        let Some(held) = guard.0.take() else { unreachable!("a guard waits once at a time") };
        let (held, outcome) =
            self.0.wait_timeout(held, timeout).unwrap_or_else(PoisonError::into_inner);
        guard.0 = Some(held);
        outcome
    }

    /// Wakes one who waits.
    pub fn notify_one(&self) {
        self.0.notify_one();
    }

    /// Wakes all who wait.
    pub fn notify_all(&self) {
        self.0.notify_all();
    }
}

/// As `parking_lot::RwLock`.
#[derive(Default)]
pub struct RwLock<T>(inner::RwLock<T>);

impl<T> RwLock<T> {
    /// An unlocked lock.
    #[track_caller]
    pub const fn new(value: T) -> RwLock<T> {
        RwLock(inner::RwLock::new(value))
    }

    /// Waits until nobody writes.
    pub fn read(&self) -> inner::RwLockReadGuard<'_, T> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until nobody reads or writes.
    pub fn write(&self) -> inner::RwLockWriteGuard<'_, T> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> fmt::Debug for RwLock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RwLock")
    }
}

/// As `std::sync::OnceLock`; whoever comes while another initialises it waits in the model instead of holding
/// up the one thread on which all of them run.
#[derive(Debug)]
pub struct OnceLock<T> {
    first: Mutex<()>,
    value: std::sync::OnceLock<T>,
}

impl<T> Default for OnceLock<T> {
    fn default() -> OnceLock<T> {
        OnceLock::new()
    }
}

impl<T> OnceLock<T> {
    /// Without a value.
    #[track_caller]
    pub const fn new() -> OnceLock<T> {
        OnceLock { first: Mutex::new(()), value: std::sync::OnceLock::new() }
    }

    /// The value, once it is there.
    pub fn get(&self) -> Option<&T> {
        let _first = self.first.lock();
        self.value.get()
    }

    /// Sets the value.
    ///
    /// # Errors
    /// There is one: then the new one comes back.
    pub fn set(&self, value: T) -> Result<(), T> {
        let _first = self.first.lock();
        self.value.set(value)
    }

    /// The value, which `make` makes if there is none.
    pub fn get_or_init(&self, make: impl FnOnce() -> T) -> &T {
        let _first = self.first.lock();
        self.value.get_or_init(make)
    }
}
