//! An allocator that counts what each thread holds, on top of the system's.
//!
//! The one module of this package with unsafe code: the trait of allocators is unsafe. Every call is handed to
//! [`System`] unchanged, so its contract is kept by whoever calls; counting touches two plain cells of the thread,
//! which neither allocate nor need to be dropped.

#![expect(unsafe_code, reason = "GlobalAlloc is an unsafe trait; all calls go to System unchanged")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    /// Bytes that this thread allocated less those that it freed. Negative where it frees what others allocated.
    static HELD: Cell<isize> = const { Cell::new(0) };
    /// The most that it held since [`peak_of`] began.
    static PEAK: Cell<isize> = const { Cell::new(0) };
}

/// The most bytes that this thread held at once during `work`, beyond what it held before.
pub fn peak_of(work: impl FnOnce()) -> usize {
    let before = HELD.get();
    PEAK.set(before);
    work();
    usize::try_from(PEAK.get() - before).unwrap_or(0)
}

fn count(more: usize, less: usize) {
    // A thread that ends may have no cells any more.
    let _ = HELD.try_with(|held| {
        held.set(held.get().wrapping_add_unsigned(more).wrapping_sub_unsigned(less));
        let _ = PEAK.try_with(|peak| peak.set(peak.get().max(held.get())));
    });
}

/// Counts for each thread.
#[derive(Debug)]
pub struct Counting;

// SAFETY: all methods pass their arguments to `System`, which keeps the contract, and return what it returns.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size(), 0);
        // SAFETY: the caller keeps the contract of `alloc`, which is that of `System`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size(), 0);
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        count(0, layout.size());
        // SAFETY: as above; `block` came from `System`, as all blocks do.
        unsafe { System.dealloc(block, layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size, layout.size());
        // SAFETY: as above.
        unsafe { System.realloc(block, layout, size) }
    }
}
