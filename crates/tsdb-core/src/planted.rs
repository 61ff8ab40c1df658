//! Errors that can be planted in a store, to see whether its tests find them.
//!
//! A suite that finds nothing proves nothing until it has found something. Each variant of [`Planted`] is a
//! mistake that a store could plausibly contain; the place where it would stand asks [`is_planted`]. Without the
//! feature `test-util` the answer is always no, and the compiler leaves the question out. With it, a test turns
//! one on for its own thread by [`plant`].

/// A mistake in a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Planted {
    /// Segments of the log go before the manifest names the runs that hold their rows.
    LogGoesBeforeManifest,
    /// Checksums of what is read are not compared.
    ChecksumsIgnored,
    /// The log goes on with a file whose sync has failed.
    FailedSyncTriedAgain,
    /// Retention believes whatever the wall clock says.
    RetentionByWallClock,
    /// A merge leaves out a slice between two that it takes.
    MergeSkipsNeighbour,
    /// Summaries answer for stretches of time that another source shares.
    SummariesDespiteOverlap,
    /// Series leave memory while rows of theirs are there.
    EvictsSeriesWithRows,
    /// A sync of the log answers for frames that came after it began.
    SyncCoversLaterFrames,
    /// A thread that is told of work just before it begins to wait waits all the same.
    WaitMissesSignal,
    /// Nobody is told that a write is applied.
    AppliedInSilence,
    /// A writer picks its generation before it has its number.
    GenerationBeforeNumber,
    /// A flush does not wait for writers that are copying rows.
    FlushWaitsForNobody,
    /// A snapshot takes the view before the number up to which it reads.
    ViewBeforeNumber,
    /// Files of runs are emptied when no manifest names them, whoever may be reading them.
    RemovedRunsAreEmptied,
}

impl Planted {
    /// Those that show in one thread: the lives of `tsdb_tests::sim` find them.
    pub const ALL: [Planted; 7] = [
        Planted::LogGoesBeforeManifest,
        Planted::ChecksumsIgnored,
        Planted::FailedSyncTriedAgain,
        Planted::RetentionByWallClock,
        Planted::MergeSkipsNeighbour,
        Planted::SummariesDespiteOverlap,
        Planted::EvictsSeriesWithRows,
    ];

    /// Those that show only when threads meet at the wrong moment: the models on [`crate::sync`] find them.
    pub const RACES: [Planted; 7] = [
        Planted::SyncCoversLaterFrames,
        Planted::WaitMissesSignal,
        Planted::AppliedInSilence,
        Planted::GenerationBeforeNumber,
        Planted::FlushWaitsForNobody,
        Planted::ViewBeforeNumber,
        Planted::RemovedRunsAreEmptied,
    ];
}

#[cfg(feature = "test-util")]
mod by_thread {
    use super::Planted;
    use std::cell::Cell;

    thread_local! {
        static PLANTED: Cell<Option<Planted>> = const { Cell::new(None) };
    }

    /// Whether this thread runs with the mistake.
    #[inline]
    pub fn is_planted(what: Planted) -> bool {
        PLANTED.get() == Some(what)
    }

    /// Takes the mistake out again when it is dropped.
    #[derive(Debug)]
    pub struct Plant(Option<Planted>);

    impl Drop for Plant {
        fn drop(&mut self) {
            PLANTED.set(self.0);
        }
    }

    /// Turns a mistake on for this thread; `None` for none.
    #[must_use]
    pub fn plant(what: Option<Planted>) -> Plant {
        Plant(PLANTED.replace(what))
    }
}

#[cfg(feature = "test-util")]
pub use by_thread::{Plant, is_planted, plant};

/// Whether this thread runs with the mistake: never, in a program.
#[cfg(not(feature = "test-util"))]
#[inline]
pub const fn is_planted(_: Planted) -> bool {
    false
}
