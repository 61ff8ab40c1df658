//! When to seal the open generation, so that it can be flushed: a pure function of how full things are.
//!
//! Large generations make large runs, which compress better and are merged less often; small ones give
//! their memory back sooner. So the size that is waited for shrinks as the pressure grows.

use tsdb_core::budget::Pressure;

/// What the decision depends on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fill {
    /// Rows of the open generation, in bytes.
    pub open_bytes: u64,
    /// No more rows fit in, whatever they take.
    pub is_at_capacity: bool,
    /// Whether the open generation holds anything, rows or changes of the catalogue.
    pub is_empty: bool,
    /// Generations that wait for a flush or are under way.
    pub waiting: usize,
    /// Pressure on the memtable.
    pub pressure: Pressure,
    /// Bytes of the log.
    pub wal_bytes: u64,
}

/// What the options say.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Targets {
    /// Size of a generation while nothing presses.
    pub generation_bytes: u64,
    /// Length of the log that bounds the time of a restart.
    pub wal_bytes_max: u64,
}

/// Why the open generation is to be sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Due {
    /// It has its size.
    Full,
    /// Memory is short.
    Pressed,
    /// The log would take too long to replay.
    LongLog,
}

/// Whether, and why, the open generation is to be sealed now.
pub(crate) fn due(fill: &Fill, targets: &Targets) -> Option<Due> {
    let full = fill.is_at_capacity || fill.open_bytes >= targets.generation_bytes;
    if full {
        return Some(Due::Full);
    }
    if fill.wal_bytes > targets.wal_bytes_max && !fill.is_empty {
        return Some(Due::LongLog);
    }
    // Behind another one it would only wait, and a tiny one frees nothing and leaves a tiny run.
    let worth_while = match fill.pressure {
        Pressure::Normal => return None,
        Pressure::Elevated => targets.generation_bytes / 2,
        Pressure::High => targets.generation_bytes / 8,
    };
    (fill.waiting == 0 && fill.open_bytes >= worth_while).then_some(Due::Pressed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adaptive_flushing() {
        use Pressure::{Elevated, High, Normal};
        let targets = Targets { generation_bytes: 800, wal_bytes_max: 10_000 };
        for (open_bytes, waiting, pressure, wal_bytes, expected) in [
            (0, 0, Normal, 0, None),
            (799, 0, Normal, 0, None),
            (800, 0, Normal, 0, Some(Due::Full)),
            (800, 3, High, 0, Some(Due::Full)),
            // The higher the pressure, the smaller the generation that is worth a flush.
            (399, 0, Elevated, 0, None),
            (400, 0, Elevated, 0, Some(Due::Pressed)),
            (99, 0, High, 0, None),
            (100, 0, High, 0, Some(Due::Pressed)),
            // The flush has enough to do.
            (400, 1, Elevated, 0, None),
            (799, 1, High, 0, None),
            // The log is bounded by itself.
            (1, 1, Normal, 10_001, Some(Due::LongLog)),
            (0, 0, Normal, 10_001, None),
        ] {
            let fill = Fill {
                open_bytes,
                is_at_capacity: false,
                is_empty: open_bytes == 0,
                waiting,
                pressure,
                wal_bytes,
            };
            assert_eq!(due(&fill, &targets), expected, "{fill:?}");
        }
        let many_rows = Fill {
            open_bytes: 1,
            is_at_capacity: true,
            is_empty: false,
            waiting: 0,
            pressure: Normal,
            wal_bytes: 0,
        };
        assert_eq!(due(&many_rows, &targets), Some(Due::Full));
    }
}
