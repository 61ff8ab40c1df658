//! What stands in windows without a value: the modes of InfluxQL's `fill()`.

use crate::window::WindowGrid;

/// How windows without a value are filled.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum Fill {
    /// The window is there without a value.
    #[default]
    Null,
    /// The window is left out. A matter of whole rows, and so the caller's: [`Fill::apply`] does nothing.
    None,
    /// This number.
    Number(f64),
    /// The value of the nearest window before that has one; none before the first value.
    Previous,
    /// On the straight line between the nearest windows before and after that have values, by the starts
    /// of the windows; none before the first value and behind the last.
    Linear,
}

impl Fill {
    /// Fills `column`, one entry per window in increasing order of time. With `whole`, interpolated
    /// values are cut to whole numbers towards zero, as InfluxQL does for integer columns such as
    /// counts. O(windows).
    pub fn apply(self, column: &mut [Option<f64>], grid: &WindowGrid, whole: bool) {
        match self {
            Fill::Null | Fill::None => {}
            Fill::Number(number) => {
                for value in column.iter_mut().filter(|value| value.is_none()) {
                    *value = Some(number);
                }
            }
            Fill::Previous => {
                let mut previous = None;
                for value in column.iter_mut() {
                    match value {
                        Some(_) => previous = *value,
                        None => *value = previous,
                    }
                }
            }
            Fill::Linear => linear(column, grid, whole),
        }
    }
}

fn linear(column: &mut [Option<f64>], grid: &WindowGrid, whole: bool) {
    let mut left: Option<(usize, f64)> = None;
    for right in 0..column.len() {
        let Some(Some(value)) = column.get(right).copied() else { continue };
        if let Some((at, before)) = left {
            let (x0, x1) = (grid.start(at), grid.start(right));
            for index in at + 1..right {
                let y = between((x0, before), (x1, value), grid.start(index));
                if let Some(slot) = column.get_mut(index) {
                    *slot = Some(if whole { y.trunc() } else { y });
                }
            }
        }
        left = Some((right, value));
    }
}

/// The line through two points, in the order of operations of InfluxDB (slope first), so that the
/// last digits agree.
fn between((x0, y0): (i64, f64), (x1, y1): (i64, f64), x: i64) -> f64 {
    // Differences of window starts: exact in an i128, and in an f64 to 2^53 ns (104 days).
    let distance = |from: i64, to: i64| (i128::from(to) - i128::from(from)) as f64;
    (y1 - y0) / distance(x0, x1) * distance(x0, x) + y0
}

#[cfg(test)]
mod tests {
    use tsdb_core::TimeRange;
    use tsdb_core::storage::Windows;

    use super::*;

    #[test]
    fn gaps_are_filled_as_influxql_does() {
        let grid =
            WindowGrid::covering(Windows { every: 10, offset: 0 }, TimeRange::new(0, 70), 100);
        let grid = grid.unwrap();
        let column = [None, Some(1.0), None, None, Some(3.0), None, None];
        let check = |fill: Fill, whole: bool, expected: [Option<f64>; 7]| {
            let mut got = column;
            fill.apply(&mut got, &grid, whole);
            for (a, b) in got.iter().zip(expected) {
                let same = match (a, b) {
                    (Some(a), Some(b)) => (a - b).abs() < 1e-12,
                    (a, b) => a.is_none() && b.is_none(),
                };
                assert!(same, "{fill:?} {whole}: {got:?}");
            }
        };
        let (one, two, three) = (Some(1.0), Some(2.0), Some(3.0));
        check(Fill::Null, false, column);
        check(Fill::None, false, column);
        check(Fill::Number(2.0), false, [two, one, two, two, three, two, two]);
        check(Fill::Previous, false, [None, one, one, one, three, three, three]);
        let (a, b) = (Some(5.0 / 3.0), Some(7.0 / 3.0));
        check(Fill::Linear, false, [None, one, a, b, three, None, None]);
        check(Fill::Linear, true, [None, one, one, two, three, None, None]);
    }

    #[test]
    fn nothing_to_fill_from_stays_empty() {
        let grid =
            WindowGrid::covering(Windows { every: 10, offset: 0 }, TimeRange::new(0, 30), 100);
        let grid = grid.unwrap();
        for fill in [Fill::Null, Fill::Previous, Fill::Linear] {
            let mut column = [None; 3];
            fill.apply(&mut column, &grid, false);
            assert_eq!(column, [None; 3], "{fill:?}");
        }
    }
}
