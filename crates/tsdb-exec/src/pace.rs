//! Looking at the token in loops of many small steps. Per step that would cost more than the step; without it
//! a statement over millions of series or rows would not end when it should.

use tsdb_core::CancelToken;

use crate::Result;

/// Steps between two looks. A step takes some tens of nanoseconds, a few hundred where it allocates, so that
/// looks are well under a millisecond apart.
const STEPS_PER_LOOK: u32 = 1024;

/// Rows of a column that are gone through between two looks where a loop is over a slice.
pub(crate) const ROWS_PER_LOOK: usize = 1 << 16;

/// Counts the steps of a loop.
#[derive(Debug)]
pub(crate) struct Pace<'t> {
    cancel: &'t CancelToken,
    steps: u32,
}

impl<'t> Pace<'t> {
    /// A loop that `cancel` ends.
    pub(crate) fn new(cancel: &'t CancelToken) -> Pace<'t> {
        Pace { cancel, steps: 0 }
    }

    /// Counts one step; looks at the token now and then.
    ///
    /// # Errors
    /// Why the statement is to end.
    #[inline]
    pub(crate) fn step(&mut self) -> Result<()> {
        self.steps = self.steps.wrapping_add(1);
        if self.steps.is_multiple_of(STEPS_PER_LOOK) {
            self.cancel.check()?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Error;
    use tsdb_core::Error as CoreError;

    #[test]
    fn a_loop_ends_soon_after_its_token() {
        let cancel = CancelToken::new();
        let mut pace = Pace::new(&cancel);
        assert!((0..3 * STEPS_PER_LOOK).all(|_| pace.step().is_ok()));
        cancel.kill();
        let ended = (0..STEPS_PER_LOOK).find_map(|_| pace.step().err());
        assert_eq!(ended, Some(Error::Storage(CoreError::Killed)));
    }
}
