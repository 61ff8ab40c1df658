//! The code lengths of the format, frozen: a page names its table by number. Nothing here may change;
//! further tables go to the end. How they came about is in the tests, which prove them.

use super::SYMBOLS;

/// Number of tables.
pub(in super::super) const TABLE_COUNT: usize = 39;

/// Per table the length of each symbol's code, from -15 to 15.
#[rustfmt::skip]
pub(in super::super) const TABLE_LENGTHS: [[u8; SYMBOLS]; TABLE_COUNT] = [
    [8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 7, 3, 1, 2, 7, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 7, 7],
    [8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 7, 7, 3, 1, 2, 7, 7, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8],
    [9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 8, 8, 5, 3, 1, 2, 5, 8, 8, 9, 9, 9, 9, 9, 9, 9, 9, 9, 8, 8],
    [10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 9, 9, 9, 5, 3, 1, 2, 4, 9, 9, 9, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10],
    [11, 11, 11, 11, 11, 11, 11, 11, 11, 10, 10, 10, 7, 5, 3, 1, 2, 4, 7, 10, 10, 10, 11, 11, 11, 11, 11, 11, 11, 10, 10],
    [11, 11, 11, 11, 11, 11, 11, 11, 11, 11, 10, 9, 7, 5, 3, 1, 2, 4, 7, 9, 10, 11, 11, 11, 11, 11, 11, 11, 11, 11, 11],
    [11, 11, 11, 11, 11, 11, 11, 11, 11, 11, 10, 9, 6, 4, 2, 2, 2, 3, 5, 9, 10, 11, 11, 11, 11, 11, 11, 11, 11, 11, 11],
    [11, 11, 11, 11, 11, 11, 11, 11, 11, 11, 10, 9, 6, 4, 2, 2, 2, 3, 5, 9, 10, 11, 11, 11, 11, 11, 11, 11, 11, 11, 11],
    [11, 11, 11, 11, 11, 11, 11, 11, 10, 9, 7, 6, 5, 3, 3, 2, 2, 3, 5, 6, 7, 8, 10, 11, 11, 11, 11, 11, 11, 11, 11],
    [11, 11, 11, 11, 11, 11, 11, 11, 8, 7, 6, 5, 4, 3, 3, 2, 3, 3, 4, 5, 6, 7, 8, 11, 11, 11, 11, 11, 11, 11, 11],
    [11, 11, 11, 11, 11, 11, 10, 8, 7, 6, 5, 4, 4, 3, 3, 3, 3, 3, 4, 4, 5, 6, 7, 8, 10, 11, 11, 11, 11, 11, 11],
    [11, 11, 11, 11, 9, 8, 7, 6, 6, 5, 5, 4, 4, 4, 3, 3, 3, 4, 4, 4, 4, 5, 6, 6, 7, 8, 9, 11, 11, 11, 11],
    [10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 8, 5, 3, 1, 2, 4, 8, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10],
    [11, 11, 11, 11, 11, 11, 11, 11, 11, 11, 10, 9, 7, 5, 3, 1, 2, 4, 7, 9, 10, 11, 11, 11, 11, 11, 11, 11, 11, 11, 11],
    [11, 11, 11, 11, 11, 11, 11, 11, 11, 11, 10, 9, 7, 5, 3, 1, 2, 4, 7, 9, 10, 11, 11, 11, 11, 11, 11, 11, 11, 11, 11],
    [11, 11, 11, 11, 11, 11, 11, 11, 11, 11, 10, 9, 7, 5, 3, 1, 2, 4, 7, 9, 10, 11, 11, 11, 11, 11, 11, 11, 11, 11, 11],
    [11, 11, 11, 11, 11, 11, 11, 11, 11, 11, 10, 9, 7, 5, 3, 1, 2, 4, 7, 9, 10, 11, 11, 11, 11, 11, 11, 11, 11, 11, 11],
    [11, 11, 11, 11, 11, 11, 11, 11, 10, 9, 7, 6, 5, 4, 3, 1, 3, 4, 5, 6, 7, 8, 10, 11, 11, 11, 11, 11, 11, 11, 11],
    [11, 11, 11, 11, 11, 11, 11, 11, 10, 9, 7, 6, 5, 4, 3, 1, 3, 4, 5, 6, 7, 8, 10, 11, 11, 11, 11, 11, 11, 11, 11],
    [11, 11, 11, 11, 11, 11, 10, 9, 8, 8, 6, 5, 4, 3, 3, 2, 3, 3, 4, 5, 6, 7, 8, 9, 10, 11, 11, 11, 11, 11, 11],
    [11, 11, 11, 10, 10, 9, 8, 8, 7, 6, 6, 5, 4, 4, 3, 2, 3, 3, 4, 5, 5, 6, 7, 7, 8, 9, 9, 10, 11, 11, 11],
    [9, 9, 8, 8, 8, 7, 7, 6, 6, 5, 5, 4, 4, 4, 3, 3, 3, 4, 4, 4, 5, 5, 6, 6, 7, 7, 8, 8, 8, 9, 9],
    [8, 8, 7, 7, 7, 6, 6, 6, 5, 5, 5, 5, 4, 4, 4, 3, 3, 4, 4, 4, 5, 5, 5, 6, 6, 6, 7, 7, 7, 8, 8],
    [7, 7, 6, 6, 6, 6, 6, 5, 5, 5, 5, 4, 4, 4, 4, 4, 4, 4, 4, 4, 5, 5, 5, 5, 6, 6, 6, 6, 6, 7, 7],
    [1, 2, 3, 4, 5, 6, 9, 10, 10, 10, 10, 11, 11, 11, 11, 11, 11, 11, 11, 11, 11, 11, 11, 11, 11, 11, 11, 11, 11, 11, 11],
    [1, 2, 3, 4, 5, 6, 8, 11, 11, 11, 11, 11, 11, 11, 11, 11, 11, 11, 11, 11, 11, 11, 11, 11, 11, 11, 11, 11, 11, 11, 11],
    [1, 2, 3, 4, 5, 7, 7, 8, 10, 11, 11, 11, 11, 11, 11, 11, 11, 11, 11, 11, 11, 11, 11, 11, 11, 11, 11, 11, 11, 11, 11],
    [2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 9, 10, 10, 10, 11, 11, 11, 11, 11, 11, 11, 11, 11, 11, 11, 11, 11, 11],
    [2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 8, 8, 8, 9, 9, 10, 11, 11, 11, 11, 11, 11, 11, 11, 11, 11, 11, 11, 11, 11],
    [2, 3, 3, 3, 4, 4, 4, 5, 5, 5, 6, 6, 6, 7, 7, 7, 8, 8, 8, 9, 9, 9, 10, 10, 10, 11, 11, 11, 11, 11, 11],
    [3, 3, 3, 4, 4, 4, 4, 4, 4, 5, 5, 5, 5, 6, 6, 6, 6, 7, 7, 7, 7, 8, 8, 8, 8, 8, 8, 9, 9, 9, 9],
    [3, 4, 4, 4, 4, 4, 4, 4, 4, 5, 5, 5, 5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 6, 7, 7, 7, 7, 7, 7, 7, 7],
    [9, 9, 9, 9, 9, 9, 9, 5, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 9, 9, 9, 9, 9, 9, 9, 8],
    [5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 4],
    [10, 10, 10, 10, 10, 10, 6, 5, 5, 5, 5, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 5, 10, 10, 9, 9, 9, 9],
    [10, 10, 10, 10, 9, 6, 5, 5, 5, 5, 5, 5, 5, 5, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 5, 9, 9, 9, 9, 9],
    [9, 9, 9, 9, 6, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 4, 4, 4, 4, 4, 4, 4, 4, 4, 5, 9, 9, 9, 9],
    [8, 8, 8, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 4, 4, 4, 4, 4, 4, 8, 7, 7],
    [7, 6, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 4, 4, 4, 5, 7],
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::huffman::CODE_BITS_MAX;

    /// No symbol is so rare that its code would cost others much.
    const FLOOR: f64 = 2e-5;

    /// Weight of each symbol as a function of it.
    fn weights(of: impl Fn(f64) -> f64) -> [f64; SYMBOLS] {
        std::array::from_fn(|index| of(index as f64 - 15.0))
    }

    /// The error function by Abramowitz and Stegun 7.1.26.
    fn erf(x: f64) -> f64 {
        let t = 1.0 / (1.0 + 0.3275911 * x.abs());
        let series = [1.061405429, -1.453152027, 1.421413741, -0.284496736, 0.254829592];
        let polynomial = series.iter().fold(0.0, |sum, factor| sum * t + factor) * t;
        (1.0 - polynomial * (-x * x).exp()).copysign(x)
    }

    /// `ratio` to the power of a whole number.
    fn power(ratio: f64, exponent: f64) -> f64 {
        (0..).map(f64::from).take_while(|at| *at < exponent).fold(1.0, |all, _: f64| all * ratio)
    }

    /// Steps of a random walk: a normal distribution with deviation `sigma`, rounded.
    fn gaussian(sigma: f64) -> [f64; SYMBOLS] {
        let below = |x: f64| 0.5 * erf(x / sigma / std::f64::consts::SQRT_2);
        weights(|x| below(x + 0.5) - below(x - 0.5) + FLOOR)
    }

    /// Two-sided geometric: many zeros and long tails.
    fn laplace(ratio: f64) -> [f64; SYMBOLS] {
        weights(|x| power(ratio, x.abs()) * (1.0 - ratio) / (1.0 + ratio) + FLOOR)
    }

    /// One-sided geometric from -15 on: ranks of a dictionary, waiting times.
    fn geometric(ratio: f64) -> [f64; SYMBOLS] {
        weights(|x| power(ratio, x + 15.0) + FLOOR)
    }

    /// Numbers of a range of `width` with rounded ends.
    fn uniform(width: f64) -> [f64; SYMBOLS] {
        weights(|x| (width / 2.0 + 0.5 - x.abs()).clamp(0.0, 1.0) + 1e-3)
    }

    /// Code lengths of least total weight with a greatest length, by package-merge (Larmore and Hirschberg 1990).
    fn code_lengths(weights: &[f64; SYMBOLS]) -> [u8; SYMBOLS] {
        let by_weight = |a: &(f64, Vec<usize>), b: &(f64, Vec<usize>)| a.0.total_cmp(&b.0);
        let mut singles: Vec<(f64, Vec<usize>)> =
            weights.iter().enumerate().map(|(symbol, weight)| (*weight, vec![symbol])).collect();
        singles.sort_by(by_weight);
        let mut packages: Vec<(f64, Vec<usize>)> = Vec::new();
        for _ in 0..CODE_BITS_MAX {
            let pairs = packages.chunks_exact(2);
            let merged =
                pairs.map(|p| (p[0].0 + p[1].0, [p[0].1.clone(), p[1].1.clone()].concat()));
            packages = singles.iter().cloned().chain(merged).collect();
            packages.sort_by(by_weight);
        }
        let mut lengths = [0; SYMBOLS];
        for symbol in packages.iter().take(2 * SYMBOLS - 2).flat_map(|(_, symbols)| symbols) {
            lengths[*symbol] += 1;
        }
        lengths
    }

    fn generate() -> Vec<[u8; SYMBOLS]> {
        let sigmas = [0.28, 0.35, 0.45, 0.58, 0.72, 0.9, 1.15, 1.45, 1.85, 2.3, 3.0, 4.0];
        let two_sided = [0.03, 0.07, 0.13, 0.2, 0.28, 0.37, 0.46, 0.55, 0.64, 0.72, 0.8, 0.87];
        let one_sided = [0.2, 0.35, 0.5, 0.62, 0.72, 0.8, 0.86, 0.91];
        let eight = |x: f64| if (-8.0..8.0).contains(&x) { 1.0 } else { 1e-3 };
        let mut all: Vec<_> = sigmas.map(gaussian).to_vec();
        all.extend(two_sided.map(laplace));
        all.extend(one_sided.map(geometric));
        all.extend([weights(eight), weights(|_| 1.0)]);
        all.extend([18.0, 20.0, 22.0, 25.0, 28.0].map(uniform));
        all.iter().map(code_lengths).collect()
    }

    #[test]
    fn the_frozen_tables_are_those_of_their_distributions() {
        let generated = generate();
        let lines: Vec<String> =
            generated.iter().map(|lengths| format!("    {lengths:?},")).collect();
        assert!(generated == TABLE_LENGTHS, "tables:\n{}", lines.join("\n"));
    }
}
