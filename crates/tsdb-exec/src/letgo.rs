//! Letting go of what is large. To free the keys of a million series, or the tables of as many groups, takes a
//! tenth of a second, which neither the client of an answer nor who ended a statement should wait for: another
//! thread does it.

use std::ops::{Deref, DerefMut};

/// From so many items on it is worth another thread: some milliseconds.
const ITEMS_MIN: usize = 50_000;

/// Drops `value`, which has so many items of which each is an allocation or more.
pub(crate) fn let_go<T: Send + 'static>(value: T, items: usize) {
    if items < ITEMS_MIN {
        drop(value);
    } else {
        rayon::spawn(move || drop(value));
    }
}

/// A list whose items are let go of when it is dropped.
#[derive(Debug)]
pub(crate) struct Long<T: Send + 'static>(Vec<T>);

impl<T: Send + 'static> Long<T> {
    /// An empty list.
    pub(crate) fn new() -> Long<T> {
        Long(Vec::new())
    }

    /// The list, to be kept.
    pub(crate) fn into_vec(mut self) -> Vec<T> {
        std::mem::take(&mut self.0)
    }
}

impl<T: Send + 'static> From<Vec<T>> for Long<T> {
    fn from(items: Vec<T>) -> Long<T> {
        Long(items)
    }
}

impl<T: Send + 'static> Deref for Long<T> {
    type Target = Vec<T>;

    fn deref(&self) -> &Vec<T> {
        &self.0
    }
}

impl<T: Send + 'static> DerefMut for Long<T> {
    fn deref_mut(&mut self) -> &mut Vec<T> {
        &mut self.0
    }
}

impl<T: Send + 'static> Drop for Long<T> {
    fn drop(&mut self) {
        let items = std::mem::take(&mut self.0);
        let count = items.len();
        let_go(items, count);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;
    use std::thread;

    /// Tells on which thread it was dropped.
    struct Spy(mpsc::Sender<thread::ThreadId>);

    impl Drop for Spy {
        fn drop(&mut self) {
            let _ = self.0.send(thread::current().id());
        }
    }

    #[test]
    fn long_lists_are_freed_elsewhere_and_short_ones_here() {
        for (count, is_here) in [(1, true), (ITEMS_MIN, false)] {
            let (sender, dropped) = mpsc::channel();
            let spies = || (0..count).map(|_| Spy(sender.clone())).collect::<Vec<Spy>>();
            drop(Long::from(spies()));
            let on: Vec<thread::ThreadId> = dropped.iter().take(count).collect();
            assert!(on.iter().all(|id| (*id == thread::current().id()) == is_here), "{count}");
            let mut kept = Long::new();
            kept.append(&mut spies());
            assert_eq!(kept.into_vec().len(), count);
        }
    }
}
