//! A shared pointer that readers load without a lock and writers replace as a whole.
//!
//! That is `arc_swap`, except under `--cfg shuttle` (see `tsdb_core::sync`): its atomics would be one step
//! that no schedule interrupts, and no other thread could come between two loads.

#[cfg(not(shuttle))]
pub(crate) use arc_swap::ArcSwap;
#[cfg(shuttle)]
pub(crate) use modelled::ArcSwap;

#[cfg(shuttle)]
mod modelled {
    use std::sync::Arc;
    use tsdb_core::sync::Mutex;

    /// The part of the interface of `arc_swap::ArcSwap` that the engine uses.
    #[derive(Debug)]
    pub(crate) struct ArcSwap<T>(Mutex<Arc<T>>);

    impl<T> ArcSwap<T> {
        pub(crate) fn from_pointee(value: T) -> ArcSwap<T> {
            ArcSwap(Mutex::new(Arc::new(value)))
        }

        pub(crate) fn load(&self) -> Arc<T> {
            Arc::clone(&self.0.lock())
        }

        pub(crate) fn load_full(&self) -> Arc<T> {
            self.load()
        }

        pub(crate) fn store(&self, value: Arc<T>) {
            // The old one goes after the lock: what its drop does may take steps of its own.
            let _old = std::mem::replace(&mut *self.0.lock(), value);
        }
    }
}
