//! The types alone: points that are checked when they are made, a series that keeps its order, a store in
//! memory that takes points in any order.

use tsdb_core::{DataPoint, MemoryStore, Tags, TimeRange, TimeSeries};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let second = 1_000_000_000;
    let tags = Tags::new([("room", "kitchen")])?;

    // A series takes points in order of time, and refuses any other.
    let mut series = TimeSeries::new("temperature")?;
    series.push(DataPoint::new(1_700_000_000 * second, 21.5, tags.clone())?)?;
    series.push(DataPoint::new(1_700_000_010 * second, 21.6, tags.clone())?)?;
    let late = series.push(DataPoint::new(1_700_000_005 * second, 20.0, tags.clone())?);
    match late {
        Ok(()) => return Err("a point that comes late was taken".into()),
        Err(refusal) => println!("a point that comes late: {refusal}"),
    }

    // A store takes them as they come; the same time again replaces the value.
    let store = MemoryStore::new();
    for (offset, value) in [(10, 21.6), (0, 21.5), (10, 21.7)] {
        let point = DataPoint::new((1_700_000_000 + offset) * second, value, tags.clone())?;
        store.insert("temperature", point)?;
    }
    let points = store.points("temperature", TimeRange::all())?;
    for point in &points {
        println!("{} {} {:?}", point.timestamp, point.value, point.tags);
    }
    assert_eq!(points.iter().map(|point| point.value).collect::<Vec<_>>(), [21.5, 21.7]);
    Ok(())
}
