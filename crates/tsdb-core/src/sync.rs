//! Locks, conditions, atomics and threads: the seam at which the interleavings of threads are modelled.
//!
//! In a program these are those of `parking_lot` and the standard library. Under `--cfg shuttle`, which only
//! the stage `models` of the gate sets, they are those of the crate shuttle behind the same interface: every
//! operation on them becomes a point where a scheduler may go on with another thread, so that a test can try
//! many orders of one piece of real code, and repeat one. `tsdb-wal` and `tsdb-lsm` take them from here only,
//! as `cargo xtask tidy` checks; in this crate tickets do. What only counts (budget, counters) and what the
//! simulated disk locks for one operation stays outside, since no thread can be held up there.
//!
//! The model is sequentially consistent, so an ordering that is too weak is not found by it; and a wait with
//! a timeout never times out, so that a wakeup that is lost shows as a deadlock and not as a delay.

#[cfg(shuttle)]
mod modelled;
#[cfg(all(shuttle, feature = "test-util"))]
mod schedules;

#[cfg(not(shuttle))]
pub use parking_lot::{
    Condvar, Mutex, MutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard, WaitTimeoutResult,
};
#[cfg(not(shuttle))]
pub use std::sync::{OnceLock, atomic};
#[cfg(not(shuttle))]
pub use std::thread;

#[cfg(shuttle)]
pub use modelled::{Condvar, Mutex, MutexGuard, OnceLock, RwLock};
#[cfg(all(shuttle, feature = "test-util"))]
pub use schedules::{Broken, Schedules};
#[cfg(shuttle)]
pub use shuttle::sync::{RwLockReadGuard, RwLockWriteGuard, WaitTimeoutResult, atomic};
/// The threads of shuttle; how many cores there are is no point where another thread could go on.
#[cfg(shuttle)]
pub mod thread {
    pub use shuttle::thread::*;
    pub use std::thread::available_parallelism;
}
