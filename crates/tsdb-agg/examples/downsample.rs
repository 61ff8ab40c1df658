//! Aggregation alone: a day of readings to means by hour, in two parts that are merged.

use tsdb_agg::{Function, Segment, States, WindowGrid};
use tsdb_core::TimeRange;
use tsdb_core::storage::{Column, TimeColumn, Windows};

const SECOND: i64 = 1_000_000_000;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let day = TimeRange::new(0, 86_400 * SECOND);
    let grid = WindowGrid::covering(Windows { every: 3600 * SECOND, offset: 0 }, day, 100)?;

    // Two halves of the day, as two threads would take them in.
    let half = |first: i64| {
        let mut states = States::new(Function::Mean, grid.count());
        let times = TimeColumn::Regular { first: first * SECOND, step: 10 * SECOND, count: 4320 };
        let mut column = Column::default();
        column.fill((0..4320).map(|row| Some(f64::from(row % 360))));
        let mut segments: Vec<Segment> = Vec::new();
        grid.split(&times, &mut segments);
        states.accumulate(0, &segments, &times, &column);
        states
    };
    let (mut morning, afternoon) = (half(0), half(43_200));
    morning.merge(0, &afternoon, 0, grid.count());

    let mut means = Vec::new();
    morning.finalize(0, grid.count(), &mut means);
    for (window, mean) in means.iter().enumerate() {
        println!("{:>2}:00 {mean:?}", grid.start(window) / (3600 * SECOND));
    }
    assert_eq!(means, vec![Some(179.5); 24]);
    Ok(())
}
