//! Sizes of the data sets: a change of the encoder that costs space is seen here.

use super::*;

/// Bytes per value in chunks of 4096, as measured when the format was designed.
const EXPECTED: &[(&str, f64)] = &[
    ("tsbs_cpu_int", 0.286),
    ("tsbs_cpu_f64raw", 6.383),
    ("tsbs_mem_bytes", 3.652),
    ("tsbs_mem_pct", 4.682),
    ("counter_events", 0.570),
    ("counter_bytes", 2.132),
    ("counter_cpusec", 0.538),
    ("const_gauge", 0.0022),
    ("rare_change", 0.021),
    ("mem_pages", 1.178),
    ("ratio4", 1.292),
    ("load2", 0.773),
    ("temp2", 0.583),
    ("temp1", 0.263),
    ("latency_f64", 6.538),
    ("gps5", 1.284),
    ("gps7_smooth", 0.813),
    ("flags01", 0.042),
    ("cpu_int_stale", 0.294),
    ("iot_velocity", 0.576),
    ("iot_fuel1", 0.869),
    ("weird", 8.001),
];

const EXPECTED_TIMES: &[(&str, f64)] = &[
    ("ts_regular10s", 0.0156),
    ("ts_drop1pct", 0.0398),
    ("ts_prom_ms", 0.2383),
    ("ts_jit5ms", 0.5786),
    ("ts_jit_ns", 2.2573),
    ("ts_poisson_ms", 1.6361),
    ("ts_poisson_ns", 4.1282),
];

const TOLERANCE: f64 = 1.02;

fn bytes_per_value<T>(series: &[Vec<T>], rows: usize, encode: impl Fn(&[T], &mut Vec<u8>)) -> f64 {
    let mut bytes = Vec::new();
    series.iter().flat_map(|s| s.chunks(rows)).for_each(|chunk| encode(chunk, &mut bytes));
    bytes.len() as f64 / series.iter().map(Vec::len).sum::<usize>() as f64
}

#[test]
fn sizes_of_the_data_sets() {
    let sets = datasets::value_sets(8192);
    for (name, expected) in EXPECTED {
        let set = sets.iter().find(|set| set.name == *name).unwrap();
        let size = bytes_per_value(&set.series, 4096, |values, out| {
            encode_values(values, &mut Memo::default(), out);
        });
        assert!(size <= expected * TOLERANCE, "{name}: {size:.4} bytes/value, not {expected}");
    }
}

#[test]
fn a_memo_costs_little_space() {
    for set in datasets::value_sets(8192) {
        let fresh = bytes_per_value(&set.series, 1024, |values, out| {
            encode_values(values, &mut Memo::default(), out);
        });
        let with_memo = bytes_per_value(&set.series, 8192, |values, out| {
            let mut memo = Memo::default();
            values.chunks(1024).for_each(|chunk| encode_values(chunk, &mut memo, out));
        });
        // Bursts come and go faster than everything is looked at again.
        let limit = fresh * 1.03;
        assert!(with_memo <= limit, "{}: {with_memo:.4}, not {fresh:.4}", set.name);
    }
}

#[test]
fn sizes_of_timestamps() {
    let sets = datasets::time_sets(8192);
    for (name, expected) in EXPECTED_TIMES {
        let set = sets.iter().find(|set| set.name == *name).unwrap();
        let size = bytes_per_value(&set.series, 1024, encode_times);
        // The byte for regular ones was not there then.
        let limit = expected * TOLERANCE + 1.0 / 1024.0;
        assert!(size <= limit, "{name}: {size:.4} bytes/value, not {expected}");
    }
}
