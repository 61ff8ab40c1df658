//! Kernels for processors with AVX2, FMA and BMI; the only module of this crate with `unsafe`.
//!
//! The contract of all of them: a kernel is safe to call with any arguments. It works on a prefix of its
//! input and says how long that is, which may be 0, and most of all is 0 where the processor lacks what it
//! needs; the caller does the rest with plain code, which also defines the result. What a kernel did is bit
//! for bit what the plain code does.
//!
//! Inside, `unsafe` is of three kinds. Calls of functions with target features come after [`enabled`].
//! Vectors are loaded from and stored to arrays of their size. The loops that read at computed places,
//! in `avx2_unpack` and `streams`, check before each read or write that it lies in its
//! slice, or once that the last one does.

#[cfg(target_arch = "x86_64")]
use std::sync::LazyLock;

use super::huffman::{Lookup, Position};
use super::ints::{GROUP, IntSummary, Scale, Scan};
use super::totals::Total;

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx2_lanes;
#[cfg(target_arch = "x86_64")]
mod avx2_sink;
#[cfg(target_arch = "x86_64")]
mod avx2_totals;
#[cfg(target_arch = "x86_64")]
mod avx2_unpack;
#[cfg(target_arch = "x86_64")]
mod streams;

#[cfg(test)]
thread_local! {
    /// Whether this thread does without kernels.
    static PLAIN: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
}

/// Calls `with` as a machine without kernels would.
#[cfg(test)]
pub(super) fn without_kernels<T>(with: impl FnOnce() -> T) -> T {
    PLAIN.set(true);
    let result = with();
    PLAIN.set(false);
    result
}

/// Whether the processor has what the kernels need.
#[cfg(target_arch = "x86_64")]
#[inline]
fn enabled() -> bool {
    #[cfg(test)]
    if PLAIN.get() {
        return false;
    }
    static ENABLED: LazyLock<bool> = LazyLock::new(|| {
        is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("fma")
            && is_x86_feature_detected!("bmi1")
            && is_x86_feature_detected!("bmi2")
            && is_x86_feature_detected!("lzcnt")
    });
    *ENABLED
}

/// A loop in plain code, with its arguments.
pub(super) trait HotLoop {
    /// What it gives.
    type Output;
    /// Runs it. Only what is inlined is translated as [`vectorised`] promises, so this is
    /// `#[inline(always)]`, as is all that it calls.
    fn run(self) -> Self::Output;
}

/// Runs a loop translated for the processor's vectors and bit instructions where it has them. The result is
/// the same.
#[inline]
pub(super) fn vectorised<L: HotLoop>(hot_loop: L) -> L::Output {
    #[cfg(target_arch = "x86_64")]
    if enabled() {
        // SAFETY: the processor has the target features.
        return unsafe { with_features(hot_loop) };
    }
    hot_loop.run()
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,bmi1,bmi2,lzcnt")]
fn with_features<L: HotLoop>(hot_loop: L) -> L::Output {
    hot_loop.run()
}

/// Declares the type `$name` of arguments of `$function`, as a [`HotLoop`].
macro_rules! hot_loop {
    ($name:ident<$life:lifetime>($arguments:ty) -> $output:ty, $function:path) => {
        struct $name<$life>($arguments);

        impl<$life> $crate::codec::simd::HotLoop for $name<$life> {
            type Output = $output;

            #[inline(always)]
            fn run(self) -> $output {
                $function(self.0)
            }
        }
    };
}
pub(super) use hot_loop;

/// Declares functions that call the kernel of the same name, or give `$otherwise` without kernels.
macro_rules! kernels {
    ($($(#[$doc:meta])* fn $module:ident::$name:ident($($arg:ident: $kind:ty),* $(,)?) -> $result:ty, else $otherwise:expr;)*) => {$(
        $(#[$doc])*
        pub(super) fn $name($($arg: $kind),*) -> $result {
            #[cfg(target_arch = "x86_64")]
            if enabled() {
                // SAFETY: the processor has the target features, and the kernels need nothing else.
                return unsafe { $module::$name($($arg),*) };
            }
            $(let _ = $arg;)*
            $otherwise
        }
    )*};
}

kernels! {
    /// Unpacks numbers of `width` bits, plus `base`.
    fn avx2_unpack::unpack32(bytes: &[u8], width: u32, base: i32, out: &mut [i32]) -> usize, else 0;

    /// Unpacks numbers of `width` bits, plus `base`.
    fn avx2_unpack::unpack64(bytes: &[u8], width: u32, base: i64, out: &mut [i64]) -> usize, else 0;

    /// Decodes four streams into the segments of `symbols`, each of `each` symbols, as far as it can.
    fn streams::decode_four(lookup: &Lookup, streams: [&[u8]; 4], symbols: &mut [i8], each: usize) -> [Position; 4],
        else [Position::default(); 4];

    /// Adds `symbol * 2^low_bits` to each place.
    fn avx2::combine32(symbols: &[i8], low_bits: u32, out: &mut [i32]) -> usize, else 0;

    /// Adds `symbol * 2^low_bits` to each place.
    fn avx2::combine64(symbols: &[i8], low_bits: u32, out: &mut [i64]) -> usize, else 0;

    /// Turns residuals into levels.
    fn avx2::scan32(scan: &mut Scan, residuals: &mut [i32]) -> usize, else 0;

    /// Turns residuals into levels.
    fn avx2::scan64(scan: &mut Scan, residuals: &mut [i64]) -> usize, else 0;

    /// Unpacks numbers of `width` bits in lanes, plus `base`, and turns them into levels, all or none.
    fn avx2_lanes::unpack_lanes32(bytes: &[u8], width: u32, base: i32, scan: &mut Scan, ordered: bool, levels: &mut [i32; GROUP]) -> bool,
        else false;

    /// Unpacks numbers of `width` bits in lanes, plus `base`, and turns them into levels, all or none.
    fn avx2_lanes::unpack_lanes64(bytes: &[u8], width: u32, base: i64, scan: &mut Scan, ordered: bool, levels: &mut [i64; GROUP]) -> bool,
        else false;

    /// Turns residuals in lanes into levels, all or none.
    fn avx2_lanes::scan_lanes32(scan: &mut Scan, ordered: bool, residuals: &[i32; GROUP], levels: &mut [i32; GROUP]) -> bool,
        else false;

    /// Turns residuals in lanes into levels, all or none.
    fn avx2_lanes::scan_lanes64(scan: &mut Scan, ordered: bool, residuals: &[i64; GROUP], levels: &mut [i64; GROUP]) -> bool,
        else false;

    /// Writes the numbers at levels.
    fn avx2_sink::integers32(scale: Scale, levels: &[i32], out: &mut [i64]) -> usize, else 0;

    /// Writes the numbers at levels.
    fn avx2_sink::integers64(scale: Scale, levels: &[i64], out: &mut [i64]) -> usize, else 0;

    /// Writes the doubles whose order the numbers are.
    fn avx2_sink::ordered64(scale: Scale, levels: &[i64], out: &mut [f64]) -> usize, else 0;

    /// Writes quotients of numbers, all of them below 2^51, by a power of ten of at most 10^15.
    fn avx2_sink::decimals32(scale: Scale, levels: &[i32], divisor: f64, out: &mut [f64]) -> usize, else 0;

    /// Writes quotients of numbers by a power of ten of at most 10^15; sets `beyond` if one of the numbers
    /// is not below 2^51.
    fn avx2_sink::decimals64(scale: Scale, levels: &[i64], divisor: f64, out: &mut [f64], beyond: &mut bool) -> usize,
        else 0;

    /// Sum and extremes of at most 2^16 levels.
    fn avx2_sink::tally32(levels: &[i32]) -> (IntSummary, usize), else (IntSummary::NONE, 0);

    /// Sum and extremes of the numbers at no more than 2^16 levels.
    fn avx2_sink::tally64(scale: Scale, levels: &[i64]) -> (IntSummary, usize), else (IntSummary::NONE, 0);

    /// Adds groups of four values to a total.
    fn avx2_totals::add_groups(total: &mut Total, values: &[f64]) -> usize, else 0;
}
