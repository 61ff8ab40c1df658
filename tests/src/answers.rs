//! The comparison of tables that two stores, or one store in two states, give.

use tsdb_exec::{Series, Values};

/// That two tables are equal, but for what other orders of additions change in the last digits.
#[track_caller]
pub fn assert_near(a: &Series, b: &Series, what: &str) {
    assert_eq!((&a.name, &a.tags, &a.times), (&b.name, &b.tags, &b.times), "{what}");
    assert_eq!(a.columns.len(), b.columns.len(), "{what}");
    for (a, b) in a.columns.iter().zip(&b.columns) {
        assert_eq!(a.name, b.name, "{what}");
        let (Values::Floats(x, valid_x), Values::Floats(y, valid_y)) = (&a.values, &b.values)
        else {
            assert_eq!(a.values, b.values, "{what}");
            continue;
        };
        assert_eq!(valid_x, valid_y, "{what}");
        let near = |(x, y): (&f64, &f64)| {
            x.to_bits() == y.to_bits() || (x - y).abs() <= 1e-9 * x.abs().max(1.0)
        };
        assert!(x.iter().zip(y).all(near), "{what}: {x:?} {y:?}");
    }
}
