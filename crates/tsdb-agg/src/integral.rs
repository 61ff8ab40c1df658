//! The area below a line through points, in windows.

/// Where a window begins and where it ends, in ns.
pub type Bounds = (i64, i64);

/// The area below the straight lines through a sequence of points, in ascending order of time. The area up to the
/// end of a window is that window's; where windows without points follow, the area over them goes to the window
/// of the next point, as in InfluxDB.
#[derive(Debug, Clone)]
pub struct Integral {
    unit_ns: i64,
    previous: Option<(i64, f64)>,
    window: Option<Bounds>,
    area: f64,
}

impl Integral {
    /// No point yet. Time is counted in `unit_ns` (ns, above 0).
    #[must_use]
    pub fn new(unit_ns: i64) -> Integral {
        Integral { unit_ns: unit_ns.max(1), previous: None, window: None, area: 0.0 }
    }

    /// Takes the next point, which lies in `window` if there are windows, and gives start and area of the window
    /// that ends before it, if one does. Of points with equal times the last counts. O(1).
    pub fn step(&mut self, time: i64, value: f64, window: Option<Bounds>) -> Option<(i64, f64)> {
        let Some((earlier, before)) = self.previous.replace((time, value)) else {
            self.window = window;
            return None;
        };
        if earlier == time {
            return None;
        }
        let (mut from, mut ended) = ((earlier, before), None);
        if let Some((start, end)) = self.window.filter(|(_, end)| time >= *end) {
            if earlier != end {
                let at_end = between((earlier, before), (time, value), end);
                self.area += self.trapezium((earlier, before), (end, at_end));
                from = (end, at_end);
            }
            ended = Some((start, std::mem::take(&mut self.area)));
            self.window = window;
        }
        self.area += self.trapezium(from, (time, value));
        ended
    }

    /// Start and area of the last window; the start is 0 without windows. None without a point, and for a window
    /// whose only point is at its start, which has no area.
    #[must_use]
    pub fn finish(self) -> Option<(i64, f64)> {
        let (last, _) = self.previous?;
        match self.window {
            Some((start, _)) => (last != start).then_some((start, self.area)),
            None => Some((0, self.area)),
        }
    }

    fn trapezium(&self, (t0, y0): (i64, f64), (t1, y1): (i64, f64)) -> f64 {
        0.5 * (y1 + y0) * (distance(t0, t1) / self.unit_ns as f64)
    }
}

fn distance(from: i64, to: i64) -> f64 {
    (i128::from(to) - i128::from(from)) as f64
}

/// The straight line through two points, at `t`.
fn between((t0, y0): (i64, f64), (t1, y1): (i64, f64), t: i64) -> f64 {
    (y1 - y0) / distance(t0, t1) * distance(t0, t) + y0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn areas(points: &[(i64, f64)], every: Option<i64>) -> Vec<(i64, f64)> {
        let mut integral = Integral::new(10);
        let window = |t: i64| every.map(|every| (t / every * every, t / every * every + every));
        let mut found: Vec<_> =
            points.iter().filter_map(|(t, v)| integral.step(*t, *v, window(*t))).collect();
        found.extend(integral.finish());
        found
    }

    #[test]
    fn areas_by_hand() {
        let points = [(0, 1.0), (10, 3.0), (30, 3.0), (40, 1.0)];
        assert_eq!(areas(&points, None), [(0, 2.0 + 6.0 + 2.0)]);
        assert_eq!(areas(&points, Some(20)), [(0, 2.0 + 3.0), (20, 3.0 + 2.0)]);
        // The last point stands where a window begins: no area there. A gap goes to the window behind it.
        assert_eq!(areas(&points[..2], Some(10)), [(0, 2.0)]);
        assert_eq!(areas(&[(5, 2.0), (35, 2.0)], Some(10)), [(0, 1.0), (30, 5.0)]);
        assert_eq!(areas(&[(5, 2.0)], Some(10)), [(0, 0.0)]);
        assert_eq!(areas(&[(5, 2.0)], None), [(0, 0.0)]);
        assert_eq!(areas(&[], None), []);
        // Of equal times the last counts.
        assert_eq!(areas(&[(0, 9.0), (0, 1.0), (10, 5.0), (10, 1.0), (20, 1.0)], None), [(0, 4.0)]);
    }

    #[test]
    fn windows_without_gaps_add_up_to_the_whole() {
        let points: Vec<(i64, f64)> =
            (0..100).map(|n| (n * 7, f64::from((n * 37 % 11) as i32))).collect();
        let whole: f64 = areas(&points, None).iter().map(|(_, area)| area).sum();
        for every in [10, 50, 693, 1000] {
            let parts: f64 = areas(&points, Some(every)).iter().map(|(_, area)| area).sum();
            assert!((whole - parts).abs() < 1e-9, "{every}: {whole} {parts}");
        }
    }
}
