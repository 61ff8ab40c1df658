//! How far approximate percentiles are from the exact ones: over several distributions, at once, in a stream
//! and merged, with outliers and special values.

use tsdb_core::env::SimRng;

use super::*;
use crate::kernel;
use crate::rank::nearest_rank;

const PERCENTS: [f64; 12] = [0.0, 0.1, 1.0, 5.0, 10.0, 25.0, 50.0, 75.0, 90.0, 99.0, 99.9, 100.0];

fn percent(percent: f64) -> Percent {
    Percent::new(percent).unwrap()
}

/// A number between 0 and 1, neither of them.
fn uniform(rng: &SimRng) -> f64 {
    (rng.below(1 << 32) as f64 + 0.5) / 4_294_967_296.0
}

/// A number of the standard normal distribution (Box and Muller 1958).
fn normal(rng: &SimRng) -> f64 {
    (-2.0 * uniform(rng).ln()).sqrt() * (std::f64::consts::TAU * uniform(rng)).cos()
}

/// `count` values of each distribution, in the order in which they come.
fn distributions(count: usize) -> Vec<(&'static str, Vec<f64>)> {
    let rng = SimRng::new(count as u64);
    let draw = |f: &dyn Fn(&SimRng) -> f64| (0..count).map(|_| f(&rng)).collect::<Vec<f64>>();
    let mut sorted = draw(&uniform);
    sorted.sort_unstable_by(f64::total_cmp);
    let reversed: Vec<f64> = sorted.iter().rev().copied().collect();
    vec![
        ("uniform", draw(&uniform)),
        ("normal", draw(&|rng| 1e6 + normal(rng))),
        ("lognormal", draw(&|rng| normal(rng).exp())),
        ("exponential", draw(&|rng| -uniform(rng).ln())),
        ("pareto, tail 1.1", draw(&|rng| uniform(rng).powf(-1.0 / 1.1))),
        (
            "two far peaks",
            draw(&|rng| {
                if rng.below(10) == 0 { 1e9 + normal(rng) } else { normal(rng) }
            }),
        ),
        ("whole numbers to 10", draw(&|rng| rng.below(10) as f64)),
        ("one value", draw(&|_| 42.0)),
        ("ascending", sorted),
        ("descending", reversed),
    ]
}

fn take_in(values: &[f64]) -> Sketches {
    let mut state = Sketches::new(percent(50.0));
    state.resize(1);
    let times: Vec<i64> = (0..values.len() as i64).collect();
    for (values, times) in values.chunks(4096).zip(times.chunks(4096)) {
        state.accumulate(0, &Run::dense(times, values));
    }
    state
}

fn answer(state: &Sketches, percent: Percent) -> Option<f64> {
    let mut state = Sketches { percent, slots: state.slots.clone() };
    state.finalize(0)
}

/// How far `share` is from the shares of the values that lie below `value` and not above it. Neighbours of a
/// rank are as good as the rank itself: what is between two values is called for by either.
fn rank_error(sorted: &[f64], value: f64, share: f64) -> f64 {
    let n = sorted.len() as f64;
    let below = sorted.partition_point(|v| *v < value) as f64 / n;
    let up_to = sorted.partition_point(|v| *v <= value) as f64 / n;
    if share < below { below - share } else { (share - up_to).max(0.0) }
}

/// What is promised in `docs/tql.md`: half a percent of the values at the median, less towards the ends. By
/// the scale function of the crate a centroid at the share q holds 4 / 500 * sqrt(min(q, 1 - q) / 2) of the
/// values; this is a quarter more.
fn bound(share: f64, count: usize) -> f64 {
    let to_end = share.min(1.0 - share);
    5.0 / 500.0 * (to_end / 2.0).sqrt() + 1.0 / count as f64
}

#[test]
fn error_bounds_verification() {
    for count in [1001, 20_000, 300_000] {
        for (name, values) in distributions(count) {
            let state = take_in(&values);
            assert_eq!(state.slots[0].digests.len(), 1, "more than the exact values");
            let mut sorted = values.clone();
            sorted.sort_unstable_by(f64::total_cmp);
            for p in PERCENTS.map(percent) {
                let got = answer(&state, p).unwrap();
                let (error, bound) = (rank_error(&sorted, got, p.share()), bound(p.share(), count));
                assert!(error <= bound, "{name}, {count}, {p} %: {got} is off by {error}, {bound}");
            }
            assert_eq!(answer(&state, percent(0.0)), sorted.first().copied(), "{name}");
            assert_eq!(answer(&state, percent(100.0)), sorted.last().copied(), "{name}");
        }
    }
}

#[test]
fn few_values_are_answered_exactly() {
    for count in [1, 2, 10, EXACT_MAX] {
        for (name, values) in distributions(count) {
            let state = take_in(&values);
            assert!(state.slots[0].digests.is_empty(), "{name}: as many values are kept");
            let mut sorted = values.clone();
            sorted.sort_unstable_by(f64::total_cmp);
            // What a digest that holds each value by itself says.
            let digest = TDigest::new_with_size(100_000).merge_sorted(sorted.clone());
            for p in PERCENTS.map(percent) {
                let got = answer(&state, p).unwrap();
                assert!(
                    rank_error(&sorted, got, p.share()) <= 0.5 / count as f64 + 1e-12,
                    "{name}"
                );
                let single = digest.estimate_quantile(p.share()).unwrap();
                let near = (got - single).abs() <= 1e-9 * single.abs().max(1.0);
                // Outside of the middles of the first and last value the two draw different lines.
                let inner = (0.5..count as f64 - 0.5).contains(&(p.share() * count as f64));
                assert!(near || !inner, "{name}, {count}, {p} %: {got} {single}");
            }
        }
    }
}

#[test]
fn streaming_accuracy() {
    // Asked again and again while values come in, and merged from many parts, the answer stays good.
    for (name, values) in distributions(60_000) {
        let mut state = Sketches::new(percent(50.0));
        state.resize(1);
        let mut parts = Sketches::new(percent(50.0));
        parts.resize(1);
        let mut seen = Vec::new();
        for (number, chunk) in values.chunks(1500).enumerate() {
            let times: Vec<i64> = (0..chunk.len() as i64).collect();
            state.accumulate(0, &Run::dense(&times, chunk));
            parts.merge(0, &take_in(chunk), 0);
            seen.extend_from_slice(chunk);
            if number % 8 != 7 {
                continue;
            }
            seen.sort_unstable_by(f64::total_cmp);
            for p in PERCENTS.map(percent) {
                // A centroid of centroids may be twice as wide.
                for (how, state, width) in
                    [("streamed", &mut state, 1.0), ("merged", &mut parts, 2.0)]
                {
                    state.percent = p;
                    let got = state.finalize(0).unwrap();
                    let error = rank_error(&seen, got, p.share());
                    let bound = bound(p.share(), seen.len()) * width;
                    assert!(
                        error <= bound,
                        "{name}, {how}, {} values, {p} %: {got} is off by {error}, {bound}",
                        seen.len()
                    );
                }
            }
        }
        assert!(parts.slots[0].digests.len() <= DIGESTS_MAX);
    }
}

#[test]
fn outlier_handling() {
    let (_, mut values) = distributions(50_000).swap_remove(1);
    let plain = take_in(&values);
    // A few values that are absurd, in the middle of the stream.
    for (place, outlier) in [(1, 1e300), (20_000, -1e300), (20_001, 1e307), (49_999, 1e18)] {
        values[place] = outlier;
    }
    let spoilt = take_in(&values);
    for p in [1.0, 25.0, 50.0, 75.0, 99.0].map(percent) {
        let (before, after) = (answer(&plain, p).unwrap(), answer(&spoilt, p).unwrap());
        assert!((before - after).abs() < 0.01, "{p} %: {before} {after}");
    }
    assert_eq!(answer(&spoilt, percent(100.0)), Some(1e307));
    assert_eq!(answer(&spoilt, percent(0.0)), Some(-1e300));
    // Mean and deviation show them, as they must.
    let moments = kernel::moments(&values, None);
    assert!(moments.mean.abs() > 1e290 && moments.squares == f64::INFINITY, "{moments:?}");
}

#[test]
fn infinities_keep_their_place_and_nan_has_none() {
    for filler in [10, 5000_u32] {
        let mut values: Vec<f64> = (0..filler * 8).map(f64::from).collect();
        let few = values.len() / 8;
        values.extend(std::iter::repeat_n(f64::INFINITY, few));
        values.extend(std::iter::repeat_n(f64::NEG_INFINITY, few));
        values.extend(std::iter::repeat_n(f64::NAN, few));
        let state = take_in(&values);
        let at = |p: f64| answer(&state, percent(p)).unwrap();
        assert_eq!((at(0.0), at(9.0)), (f64::NEG_INFINITY, f64::NEG_INFINITY));
        assert_eq!((at(91.0), at(100.0)), (f64::INFINITY, f64::INFINITY));
        let middle = (f64::from(filler * 8) - 1.0) / 2.0;
        assert!((at(50.0) - middle).abs() <= middle * 0.01, "{}", at(50.0));
        assert!(at(10.1) >= 0.0 && at(89.9) < f64::from(filler * 8));
    }
    let only = |values: &[f64], p: f64| answer(&take_in(values), percent(p));
    assert_eq!(only(&[], 50.0), None);
    assert!(only(&[f64::NAN; 3], 50.0).unwrap().is_nan());
    assert_eq!(only(&[f64::NAN, 1.0], 50.0), Some(1.0));
    assert_eq!(only(&[f64::NEG_INFINITY], 100.0), Some(f64::NEG_INFINITY));
    assert_eq!(only(&[f64::INFINITY], 0.0), Some(f64::INFINITY));
    assert_eq!(only(&[f64::NEG_INFINITY, f64::INFINITY], 75.0), Some(f64::INFINITY));
}

#[test]
fn percentiles_agree_with_the_exact_ones() {
    // The exact rule takes a value, the approximate one a place between two: they are neighbours.
    let (_, values) = distributions(EXACT_MAX).swap_remove(2);
    let state = take_in(&values);
    let mut sorted = values;
    sorted.sort_unstable_by(f64::total_cmp);
    for p in [5.0, 50.0, 95.0].map(percent) {
        let place = nearest_rank(sorted.len(), p).unwrap();
        let got = answer(&state, p).unwrap();
        assert!(sorted[place - 1] <= got && got <= sorted[place + 1], "{p}");
    }
}

#[test]
fn memory_is_bounded_and_known_before() {
    let mut state = Sketches::new(percent(50.0));
    state.resize(1);
    let (mut known, times) = (0, [0; 4096]);
    let mut taken = Vec::new();
    for rows in [1, 10, 500, 4096, 4096, 4096, 0, 3] {
        known += state.growth(0, rows);
        state.accumulate(0, &Run::dense(&times[..rows], &[1.0; 4096][..rows]));
        taken.push(known);
        let sketch = &state.slots[0];
        let held = sketch.recent.capacity() * 8 + sketch.digests.len() * DIGEST_BYTES;
        assert!(held <= known, "{rows} rows: {held} bytes are held, {known} were announced");
    }
    assert_eq!(taken.last(), Some(&(EXACT_MAX * 8 + DIGEST_BYTES)), "{taken:?}");
    let full = state.clone();
    for _ in 0..100 {
        assert!(state.merge_growth(0, &full, 0) >= DIGEST_BYTES);
        state.merge(0, &full, 0);
        assert!(state.slots[0].digests.len() <= DIGESTS_MAX + 1);
    }
}
