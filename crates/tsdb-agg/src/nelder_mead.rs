//! The downhill simplex method: J. A. Nelder and R. Mead, A Simplex Method for Function Minimization, The
//! Computer Journal 7, 1965. Steps, their order and the end are those of InfluxDB's optimiser, so that both find
//! the same minimum of several.

/// Most iterations.
const ITERATIONS_MAX: usize = 1000;

/// How far an expansion goes, and a contraction.
const EXPANSION: f64 = 2.0;
const CONTRACTION: f64 = 0.5;

/// Bytes that [`minimise`] takes for `dimensions` parameters.
pub(crate) fn bytes(dimensions: usize) -> usize {
    let row = dimensions.saturating_mul(size_of::<f64>()).saturating_add(size_of::<Vec<f64>>());
    row.saturating_mul(dimensions.saturating_add(6))
}

/// A minimum of `cost` near `start`: its cost and where it is. `cost` may correct the parameters that it is asked
/// about, which then stand corrected in the simplex. The search ends once the costs of the corners deviate by less than
/// `tolerance`; nothing if `cost` gave up with nothing.
pub(crate) fn minimise(
    cost: &mut dyn FnMut(&mut [f64]) -> Option<f64>,
    start: &[f64],
    tolerance: f64,
) -> Option<(f64, Vec<f64>)> {
    let mut simplex = Simplex::around(start, cost)?;
    for _ in 0..ITERATIONS_MAX {
        simplex.improve(cost)?;
        if simplex.deviation() < tolerance {
            break;
        }
    }
    let best = simplex.corners.get_mut(lowest(&simplex.costs))?;
    let found = best.clone();
    Some((cost(best)?, found))
}

/// One corner more than there are dimensions.
struct Simplex {
    corners: Vec<Vec<f64>>,
    costs: Vec<f64>,
}

impl Simplex {
    /// A regular simplex with edges of length 1 and a corner at `start`.
    fn around(start: &[f64], cost: &mut dyn FnMut(&mut [f64]) -> Option<f64>) -> Option<Simplex> {
        let n = start.len() as f64;
        let (root, scale) = ((n + 1.0).sqrt(), n * std::f64::consts::SQRT_2);
        let (far, near) = ((root - 1.0 + n) / scale, (root - 1.0) / scale);
        let corner = |number: usize| -> Vec<f64> {
            let place = |(axis, at): (usize, &f64)| match number {
                0 => *at,
                _ if number - 1 == axis => far + at,
                _ => near + at,
            };
            start.iter().enumerate().map(place).collect()
        };
        let mut corners: Vec<Vec<f64>> = (0..=start.len()).map(corner).collect();
        let costs = corners.iter_mut().map(|corner| cost(corner)).collect::<Option<_>>()?;
        Some(Simplex { corners, costs })
    }

    /// Replaces the worst corner, or draws all corners nearer to the best.
    fn improve(&mut self, cost: &mut dyn FnMut(&mut [f64]) -> Option<f64>) -> Option<()> {
        let (worst, best) = (highest(&self.costs), lowest(&self.costs));
        let (worst_cost, best_cost) = (*self.costs.get(worst)?, *self.costs.get(best)?);
        let second = self.second(worst_cost, best);
        let second_cost = *self.costs.get(second)?;
        let middle = self.middle(worst);
        let along = |from: &[f64], to: &[f64], by: f64| -> Vec<f64> {
            from.iter().zip(to).map(|(from, to)| from + by * (to - from)).collect()
        };
        let bad = self.corners.get(worst)?;
        let mut reflected: Vec<f64> = middle.iter().zip(bad).map(|(m, b)| m + (m - b)).collect();
        let reflected_cost = cost(&mut reflected)?;
        if reflected_cost < best_cost {
            let mut expanded = along(&middle, &reflected, EXPANSION);
            let expanded_cost = cost(&mut expanded)?;
            if expanded_cost < reflected_cost {
                self.replace(worst, expanded, expanded_cost);
            } else {
                self.replace(worst, reflected.clone(), reflected_cost);
            }
        } else if reflected_cost < second_cost {
            self.replace(worst, reflected.clone(), reflected_cost);
        }
        // Where all costs are equal, what was replaced is also the second; costs that are no numbers are neither
        // below nor above others.
        if reflected_cost >= *self.costs.get(second)? {
            let mut contracted = if reflected_cost < *self.costs.get(worst)? {
                along(&middle, &reflected, CONTRACTION)
            } else {
                let bad = self.corners.get(worst)?;
                middle.iter().zip(bad).map(|(m, b)| m - CONTRACTION * (m - b)).collect()
            };
            let contracted_cost = cost(&mut contracted)?;
            if contracted_cost < *self.costs.get(worst)? {
                self.replace(worst, contracted, contracted_cost);
            } else {
                self.shrink(best)?;
                for corner in [worst, second] {
                    let renewed = cost(self.corners.get_mut(corner)?)?;
                    *self.costs.get_mut(corner)? = renewed;
                }
            }
        }
        Some(())
    }

    fn replace(&mut self, number: usize, corner: Vec<f64>, cost: f64) {
        if let (Some(old), Some(old_cost)) =
            (self.corners.get_mut(number), self.costs.get_mut(number))
        {
            (*old, *old_cost) = (corner, cost);
        }
    }

    /// The corner with the highest cost below that of the worst; the best without any.
    fn second(&self, worst_cost: f64, best: usize) -> usize {
        let mut second = best;
        for (number, cost) in self.costs.iter().enumerate() {
            let highest = self.costs.get(second).copied().unwrap_or(f64::NAN);
            if *cost > highest && *cost < worst_cost {
                second = number;
            }
        }
        second
    }

    /// The middle of all corners but the worst.
    fn middle(&self, worst: usize) -> Vec<f64> {
        let others = || self.corners.iter().enumerate().filter(|(number, _)| *number != worst);
        let axes = self.corners.first().map_or(0, Vec::len);
        let sum = |axis: usize| others().filter_map(|(_, corner)| corner.get(axis)).sum::<f64>();
        (0..axes).map(|axis| sum(axis) / axes as f64).collect()
    }

    /// Halves the distance of all corners from the best.
    fn shrink(&mut self, best: usize) -> Option<()> {
        let to = self.corners.get(best)?.clone();
        for (number, corner) in self.corners.iter_mut().enumerate() {
            if number != best {
                corner.iter_mut().zip(&to).for_each(|(at, to)| *at = to + (*at - to) / 2.0);
            }
        }
        Some(())
    }

    fn deviation(&self) -> f64 {
        let count = self.costs.len() as f64;
        let mean = self.costs.iter().sum::<f64>() / count;
        let squares: f64 =
            self.costs.iter().map(|cost| (cost - mean).powi(2) / (count - 1.0)).sum();
        squares.sqrt()
    }
}

fn highest(costs: &[f64]) -> usize {
    let mut found = 0;
    for (number, cost) in costs.iter().enumerate() {
        if costs.get(found).is_some_and(|highest| cost > highest) {
            found = number;
        }
    }
    found
}

fn lowest(costs: &[f64]) -> usize {
    let mut found = 0;
    for (number, cost) in costs.iter().enumerate() {
        if costs.get(found).is_some_and(|lowest| cost < lowest) {
            found = number;
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_valley_of_rosenbrock_is_found() {
        let mut cost =
            |at: &mut [f64]| Some(100.0 * (at[1] - at[0] * at[0]).powi(2) + (1.0 - at[0]).powi(2));
        let (least, at) = minimise(&mut cost, &[-1.2, 1.0], 1e-8).unwrap();
        assert!(least < 1e-6 && (at[0] - 1.0).abs() < 1e-2 && (at[1] - 1.0).abs() < 1e-2, "{at:?}");
    }

    #[test]
    fn corrections_stay_and_a_search_can_be_given_up() {
        // The minimum within the bounds is at one of them.
        let mut bounded = |at: &mut [f64]| {
            at[0] = at[0].clamp(0.0, 1.0);
            Some((at[0] - 3.0).powi(2))
        };
        let (least, at) = minimise(&mut bounded, &[0.2], 1e-9).unwrap();
        assert!((least - 4.0).abs() < 1e-9 && (at[0] - 1.0).abs() < 1e-9, "{least} {at:?}");
        let mut asked = 0;
        let mut patient = |_: &mut [f64]| {
            asked += 1;
            (asked < 10).then_some(f64::from(asked))
        };
        assert_eq!(minimise(&mut patient, &[0.0, 0.0], 0.0), None);
        assert_eq!(asked, 10);
    }
}
