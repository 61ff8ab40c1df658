//! What a series' last columns were encoded as.

use super::ints::IntsMemo;

/// Choices of the last column of a series, which the encoder tries first for the next one. The bytes depend
/// on the values and on the memo, and on nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Memo {
    /// Exponent of the last column of decimals.
    pub(super) exponent: Option<u8>,
    /// Of the column of integers; of multiples where there are two.
    pub(super) ints: IntsMemo,
}
