//! Columns as they occur, from fixed seeds: for the tests of sizes and for the benches.

use std::f64::consts::PI;

/// Series per set.
const SERIES: u64 = 12;

/// Columns of one kind.
#[derive(Debug, Clone)]
pub struct DataSet<T> {
    /// Short name.
    pub name: &'static str,
    /// Series of equal length.
    pub series: Vec<Vec<T>>,
}

/// SplitMix64 (Steele, Lea, Flood 2014), with the distributions that the sets need.
struct Random(u64);

impl Random {
    fn new(seed: u64) -> Random {
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0xd1b5_4a32_d192_ed03)
    }

    fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::indexing_slicing,
            reason = "a remainder"
        )]
        from[(self.bits() % from.len() as u64) as usize]
    }

    /// Uniform below 1.
    fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1u64 << 53) as f64
    }

    fn normal(&mut self) -> f64 {
        let (u, v) = (self.unit().max(1e-300), self.unit());
        (-2.0 * u.ln()).sqrt() * (2.0 * PI * v).cos()
    }

    fn exponential(&mut self) -> f64 {
        -self.unit().max(1e-300).ln()
    }

    fn poisson(&mut self, mean: f64) -> f64 {
        if mean > 50.0 {
            return (mean + mean.sqrt() * self.normal()).round().max(0.0);
        }
        let limit = (-mean).exp();
        let (mut count, mut product) = (0.0, self.unit());
        while product > limit {
            count += 1.0;
            product *= self.unit();
        }
        count
    }
}

fn rounded(value: f64, digits: i32) -> f64 {
    let power = 10f64.powi(digits);
    (value * power).round() / power
}

/// Makes a set; `start` gives the state of a series by its number, `next` each value from the state.
fn set<S>(
    name: &'static str,
    seed: u64,
    count: usize,
    start: impl Fn(&mut Random, u64) -> S,
    next: impl Fn(&mut Random, &mut S, usize) -> f64,
) -> DataSet<f64> {
    let series = (0..SERIES).map(|number| {
        let mut random = Random::new(seed * 1000 + number);
        let mut state = start(&mut random, number);
        (0..count).map(|index| next(&mut random, &mut state, index)).collect()
    });
    DataSet { name, series: series.collect() }
}

/// All sets of values, each of twelve series of `count` values.
#[must_use]
pub fn value_sets(count: usize) -> Vec<DataSet<f64>> {
    let mut sets = benchmark_sets(count);
    sets.extend(counter_sets(count));
    sets.extend(gauge_sets(count));
    sets.extend(measured_sets(count));
    sets.extend(odd_sets(count));
    sets
}

/// A step of a walk between 0 and 100.
fn percent_step(random: &mut Random, at: &mut f64) -> f64 {
    *at = (*at + random.normal()).clamp(0.0, 100.0);
    *at
}

const MEMORY: f64 = (8u64 << 30) as f64;

fn memory_step(random: &mut Random, at: &mut f64) -> f64 {
    *at = (*at + random.normal() * MEMORY / 64.0).clamp(0.0, MEMORY);
    at.trunc()
}

/// What the generators of the Time Series Benchmark Suite make.
fn benchmark_sets(count: usize) -> Vec<DataSet<f64>> {
    let percent = |r: &mut Random, _| r.unit() * 100.0;
    let memory = |r: &mut Random, _| r.unit() * MEMORY;
    vec![
        set("tsbs_cpu_int", 1, count, percent, |r, x, _| percent_step(r, x).trunc()),
        set("tsbs_cpu_f64raw", 2, count, percent, |r, x, _| percent_step(r, x)),
        set("tsbs_mem_bytes", 3, count, memory, |r, x, _| memory_step(r, x)),
        set("tsbs_mem_pct", 4, count, memory, |r, x, _| 100.0 * (memory_step(r, x) / MEMORY)),
        // Another memory size, which is no power of two.
        set("mem_pct_12g", 23, count, memory, |r, x, _| {
            100.0 * (memory_step(r, x) / (1.5 * MEMORY))
        }),
        set(
            "iot_velocity",
            20,
            count,
            |_, _| 0.0,
            |r, x, _| {
                *x = (*x + (r.unit() - 0.5) * 20.0).clamp(0.0, 100.0);
                x.trunc()
            },
        ),
        set(
            "iot_fuel1",
            21,
            count,
            |_, _| 25.0,
            |r, x, _| {
                *x = (*x + (r.unit() - 0.5) * 10.0).clamp(0.0, 50.0);
                (*x * 10.0).trunc() / 10.0
            },
        ),
        set(
            "gps5",
            16,
            count,
            |r, s| {
                let limit = if s % 2 == 0 { 90.0 } else { 180.0 };
                (limit, r.unit() * limit)
            },
            |r, (limit, x), _| {
                *x = (*x + (r.unit() - 0.5) * 0.01).clamp(-*limit, *limit);
                (*x * 1e5).trunc() / 1e5
            },
        ),
    ]
}

/// Counters: of events, of bytes (one of them restarts), of hundredths of seconds.
fn counter_sets(count: usize) -> Vec<DataSet<f64>> {
    vec![
        set(
            "counter_events",
            5,
            count,
            |r, s| {
                let rate = [0.3, 5.0, 60.0, 300.0].into_iter().nth((s % 4) as usize).unwrap_or(1.0);
                (rate, rate, (r.unit() * 1e6).trunc())
            },
            |r, (usual, rate, x), _| {
                if r.unit() < 0.004 {
                    *rate = *usual * r.pick(&[0.0, 1.0, 1.0, 3.0, 10.0]);
                }
                *x += r.poisson(*rate);
                *x
            },
        ),
        set(
            "counter_bytes",
            6,
            count,
            |r, s| {
                let rate = 10f64.powi(3 + i32::try_from(s % 4).unwrap_or(0));
                (s, rate, rate, (r.unit() * 1e11).trunc())
            },
            |r, (s, usual, rate, x), index| {
                if r.unit() < 0.003 {
                    *rate = *usual * r.pick(&[0.2, 1.0, 1.0, 5.0]);
                }
                if *s % 8 == 3 && index == count / 3 {
                    *x = 0.0;
                }
                *x += (*rate * (0.35 * r.normal()).exp()).trunc();
                *x
            },
        ),
        set(
            "counter_cpusec",
            7,
            count,
            |r, s| {
                let rate =
                    [0.2, 3.0, 40.0, 1400.0].into_iter().nth((s % 4) as usize).unwrap_or(1.0);
                (rate, (r.unit() * 1e7).trunc())
            },
            |r, (rate, x), _| {
                *x += (*rate * (1.0 + 0.2 * r.normal())).max(0.0).round();
                *x / 100.0
            },
        ),
        // An accumulated sum of durations: all digits, but close to few.
        set(
            "float_sum",
            24,
            count,
            |r, _| rounded(r.unit() * 1e3, 3),
            |r, x, _| {
                *x += (r.exponential() * 1e4).round() / 1e6;
                *x
            },
        ),
    ]
}

/// Gauges of whole numbers: constant ones, rarely changing ones, flags, bytes in pages.
fn gauge_sets(count: usize) -> Vec<DataSet<f64>> {
    vec![
        set(
            "const_gauge",
            8,
            count,
            |r, s| {
                if s % 3 == 0 { 1.0 } else { (r.unit() * 1e9).trunc() }
            },
            |_, x, _| *x,
        ),
        set(
            "rare_change",
            9,
            count,
            |r, _| (r.unit() * 1000.0).trunc(),
            |r, x, _| {
                if r.unit() < 0.01 {
                    *x = (*x + (r.normal() * 5.0).round()).max(0.0);
                }
                *x
            },
        ),
        set(
            "mem_pages",
            10,
            count,
            |r, _| 1e6 + r.unit() * 1e6,
            |r, x, _| {
                let step = if r.unit() < 0.01 { 20000.0 } else { 120.0 };
                *x = (*x + r.normal() * step).abs();
                x.trunc() * 4096.0
            },
        ),
        set(
            "flags01",
            18,
            count,
            |_, s| (0.0, [0.001, 0.01, 0.05, 0.1].into_iter().nth((s % 4) as usize).unwrap_or(0.1)),
            |r, (x, chance), _| {
                if r.unit() < *chance {
                    *x = 1.0 - *x;
                }
                *x
            },
        ),
    ]
}

/// Measurements, of few digits or of all.
fn measured_sets(count: usize) -> Vec<DataSet<f64>> {
    let wave = |r: &mut Random, _| (r.unit() * 6.3, 15.0 + 10.0 * r.unit());
    let at = |(phase, height): (f64, f64), index: usize| {
        height + 5.0 * (phase + index as f64 / 1400.0).sin()
    };
    vec![
        set(
            "ratio4",
            11,
            count,
            |r, _| 0.2 + 0.6 * r.unit(),
            |r, mean, _| {
                *mean = (*mean + 0.001 * r.normal()).clamp(0.05, 0.95);
                rounded((*mean + 0.02 * r.normal()).clamp(0.0, 1.0), 4)
            },
        ),
        set(
            "load2",
            12,
            count,
            |r, _| 1.0 + 3.0 * r.unit(),
            |r, x, _| {
                *x = (*x + 0.08 * (2.0 + 2.0 * r.normal() - *x)).max(0.0);
                rounded(*x, 2)
            },
        ),
        set("temp2", 13, count, wave, |r, w, i| rounded(at(*w, i) + 0.04 * r.normal(), 2)),
        set("temp1", 14, count, wave, |r, w, i| rounded(at(*w, i) + 0.06 * r.normal(), 1)),
        set(
            "latency_f64",
            15,
            count,
            |r, _| -6.0 + 2.0 * r.unit(),
            |r, mean, _| {
                let calls = (1.0 + r.poisson(30.0)).min(8.0);
                let mut sum = 0.0;
                let mut call = 0.0;
                while call < calls {
                    sum += (*mean + 0.5 * r.normal()).exp();
                    call += 1.0;
                }
                sum / calls
            },
        ),
        set(
            "gps7_smooth",
            17,
            count,
            |r, _| (r.unit() * 90.0, 0.0),
            |r, (x, speed), _| {
                *speed = 0.97 * *speed + 2e-6 * r.normal();
                *x += *speed + 1e-5;
                rounded(*x, 7)
            },
        ),
    ]
}

/// The marker of a series that ended, by Prometheus.
const STALE: u64 = 0x7ff0_0000_0000_0002;

/// Walks with markers in them, and doubles of every sort.
fn odd_sets(count: usize) -> Vec<DataSet<f64>> {
    let mut stale = set(
        "cpu_int_stale",
        19,
        count,
        |r, _| r.unit() * 100.0,
        |r, x, _| percent_step(r, x).trunc(),
    );
    for (number, series) in (0..).zip(&mut stale.series) {
        let mut random = Random::new(19_500 + number);
        let mut left = 0;
        for value in series {
            if left == 0 && random.unit() < 1.0 / 400.0 {
                left = 1 + random.bits() % 3;
            }
            if left > 0 {
                left -= 1;
                *value = f64::from_bits(STALE);
            }
        }
    }
    let weird = set(
        "weird",
        22,
        count,
        |_, _| (),
        |r, (), _| match r.bits() % 8 {
            0 => -0.0,
            1 => f64::INFINITY,
            2 => f64::NEG_INFINITY,
            3 => f64::from_bits(0x7ff8_0000_0000_0001 + r.bits() % 5),
            4 => f64::from_bits(r.bits()),
            5 => 5e-324,
            6 => 1e300,
            _ => r.unit(),
        },
    );
    vec![stale, weird]
}

/// All sets of timestamps in ns, each of twelve series of `count` timestamps.
#[must_use]
pub fn time_sets(count: usize) -> Vec<DataSet<i64>> {
    const MS: i64 = 1_000_000;
    const TEN_SECONDS: i64 = 10_000 * MS;
    const START: i64 = 1_700_000_000_000 * MS;
    #[expect(clippy::cast_possible_truncation, reason = "far below 2^63")]
    let whole = |value: f64| value as i64;
    let set = |name, seed: u64, next: &dyn Fn(&mut Random, &mut i64, i64) -> i64| {
        let series = (0..SERIES).map(|number| {
            let mut random = Random::new(seed * 7777 + number);
            let mut at = 0;
            (0..count as i64).map(|i| START + next(&mut random, &mut at, i)).collect()
        });
        DataSet { name, series: series.collect() }
    };
    vec![
        set("ts_regular10s", 1, &|_, _, i| i * TEN_SECONDS),
        set("ts_drop1pct", 2, &|r, at, _| {
            *at += 1;
            while r.unit() < 0.01 {
                *at += 1;
            }
            *at * TEN_SECONDS
        }),
        set("ts_prom_ms", 3, &|r, at, i| {
            if i == 0 {
                *at = whole(r.unit() * 15000.0);
            }
            let late = if r.unit() < 0.7 { 0 } else { whole((r.normal() * 2.0).round()) };
            (*at + i * 15000 + late) * MS
        }),
        set("ts_jit5ms", 4, &|r, _, i| (i * 15000 + whole((r.normal() * 5.0).round())) * MS),
        set("ts_jit_ns", 5, &|r, _, i| i * TEN_SECONDS + whole(r.normal() * 50_000.0)),
        set("ts_poisson_ms", 6, &|r, at, _| {
            *at += (1 + whole(r.exponential() * 2000.0)) * MS;
            *at
        }),
        set("ts_poisson_ns", 7, &|r, at, _| {
            *at += 1 + whole(r.exponential() * 2e9);
            *at
        }),
    ]
}
