//! Running a model under many schedules, and the search for one that breaks it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use shuttle::scheduler::{PctScheduler, RandomScheduler, Scheduler};
use shuttle::{Config, Runner};

/// Stack of a thread in a model, in bytes: the way from an append to a merge is deeper than shuttle expects.
const STACK_BYTES: usize = 512 << 10;

/// Changes of priority in a schedule of the second kind.
const DEPTH: usize = 3;

/// Schedules of one kind in a row.
const ROUND: usize = 100;

/// How many schedules of a model are tried, and which.
///
/// Half of them choose every step at random. The other half let one thread run until it is held up, and change
/// their mind at a few random steps (Burckhardt et al., "A randomized scheduler with probabilistic guarantees of
/// finding bugs", ASPLOS 2010), which finds what needs few changes at the right moments, far from each other.
#[derive(Debug, Clone, Copy)]
pub struct Schedules {
    /// The same seed gives the same schedules.
    pub seed: u64,
    /// Number of schedules, of both kinds together.
    pub count: usize,
}

/// A schedule that broke a model.
#[derive(Debug, Clone)]
pub struct Broken {
    /// What the panic said, with the schedule that repeats it.
    pub message: String,
    /// Schedules that were tried, this one included.
    pub tried: usize,
}

impl Schedules {
    /// Runs `model` under all schedules.
    ///
    /// # Panics
    /// As the model, with a schedule that `shuttle::replay` repeats; or when all its threads wait.
    pub fn run(self, model: fn()) {
        self.run_counting(model, &Arc::default());
    }

    /// The first schedule that breaks `model`, if one does.
    pub fn find(self, model: fn()) -> Option<Broken> {
        let tried = Arc::default();
        let panic = catch_unwind(AssertUnwindSafe(|| self.run_counting(model, &tried))).err()?;
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        let message = text.unwrap_or_default();
        Some(Broken { message, tried: tried.load(Ordering::Relaxed) })
    }

    fn run_counting(self, model: fn(), tried: &Arc<AtomicUsize>) {
        let (mut seed, mut left, mut at_random) = (self.seed, self.count, true);
        while left > 0 {
            let now = left.min(ROUND);
            if at_random {
                run(RandomScheduler::new_from_seed(seed, now), model, tried);
            } else {
                run(PctScheduler::new_from_seed(seed, DEPTH, now), model, tried);
            }
            left -= now;
            at_random = !at_random;
            // Any step that makes the rounds differ and leads to no neighbouring seed.
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        }
    }
}

fn run(scheduler: impl Scheduler + 'static, model: fn(), tried: &Arc<AtomicUsize>) {
    let mut config = Config::new();
    config.stack_size = STACK_BYTES;
    config.silence_warnings = true;
    let tried = Arc::clone(tried);
    Runner::new(scheduler, config).run(move || {
        tried.fetch_add(1, Ordering::Relaxed);
        model();
    });
}
