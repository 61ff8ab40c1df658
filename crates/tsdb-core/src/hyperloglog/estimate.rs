//! From registers to a number of values.

use super::{DENSE_RANK_MAX, DENSE_REGISTERS, SPARSE_BITS};

/// Values that fill `filled` of the sparse registers: linear counting (Whang, Vander-Zanden, Taylor 1990).
pub(super) fn of_sparse(filled: usize) -> u64 {
    let registers = f64::from(1u32 << SPARSE_BITS);
    rounded(-registers * (-(filled as f64) / registers).ln_1p())
}

/// The estimate of Ertl 2017, algorithm 6: from how many registers have each rank.
pub(super) fn of_dense(registers: &[u8]) -> u64 {
    /// 1 / (2 ln 2), what the correction of Flajolet et al. is for many registers.
    const ALPHA: f64 = 0.721_347_520_444_481_7;
    let mut ranks = [0u32; DENSE_RANK_MAX as usize + 1];
    for rank in registers {
        if let Some(count) = ranks.get_mut(usize::from(*rank)) {
            *count += 1;
        }
    }
    let m = DENSE_REGISTERS as f64;
    let [empty, between @ .., full] = ranks;
    let mut z = m * tau(1.0 - f64::from(full) / m);
    for count in between.iter().rev() {
        z = 0.5 * (z + f64::from(*count));
    }
    z += m * sigma(f64::from(empty) / m);
    rounded(ALPHA * m * m / z)
}

/// x + sum of x^(2^k) 2^(k-1) for k = 1, 2, …: what registers that are still empty stand for.
fn sigma(share: f64) -> f64 {
    if share >= 1.0 {
        return f64::INFINITY;
    }
    let (mut x, mut y, mut z) = (share, 1.0, share);
    loop {
        x *= x;
        let before = z;
        z += x * y;
        y += y;
        if z <= before {
            return z;
        }
    }
}

/// (1 - x - sum of (1 - x^(2^-k))^2 2^-k for k = 1, 2, …) / 3: the same of registers that cannot rise any more.
fn tau(share: f64) -> f64 {
    if share <= 0.0 || share >= 1.0 {
        return 0.0;
    }
    let (mut x, mut y, mut z) = (share, 1.0, 1.0 - share);
    loop {
        x = x.sqrt();
        let before = z;
        y *= 0.5;
        z -= (1.0 - x) * (1.0 - x) * y;
        if z >= before {
            return z / 3.0;
        }
    }
}

/// An estimate as a number of things; from 2^64 on the largest.
pub fn rounded(estimate: f64) -> u64 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "not negative, and `as` saturates"
    )]
    let rounded = estimate.round() as u64;
    rounded
}
