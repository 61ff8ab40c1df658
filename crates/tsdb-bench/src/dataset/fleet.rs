//! A fleet of hosts that report measurements at a fixed interval, as in TSBS; with churn, hosts are
//! replaced by new ones, as pods are.

use std::sync::Arc;

use super::devops::{HOST_TAGS, Measurement};
use super::walk::Walk;
use super::{Row, Schema, Series, Source};
use crate::dataset::SECOND_NS;
use crate::random::Random;

const REGIONS: &[(&str, &[&str])] = &[
    ("us-east-1", &["us-east-1a", "us-east-1b", "us-east-1c", "us-east-1e"]),
    ("us-west-1", &["us-west-1a", "us-west-1b"]),
    ("us-west-2", &["us-west-2a", "us-west-2b", "us-west-2c"]),
    ("eu-west-1", &["eu-west-1a", "eu-west-1b", "eu-west-1c"]),
    ("eu-central-1", &["eu-central-1a", "eu-central-1b"]),
    ("ap-southeast-1", &["ap-southeast-1a", "ap-southeast-1b"]),
    ("ap-southeast-2", &["ap-southeast-2a", "ap-southeast-2b"]),
    ("ap-northeast-1", &["ap-northeast-1a", "ap-northeast-1c"]),
    ("sa-east-1", &["sa-east-1a", "sa-east-1b", "sa-east-1c"]),
];

/// Ticks of all sources: when rows begin, how far apart they are, how many there are.
#[derive(Debug, Clone, Copy)]
pub struct Ticks {
    /// Time of the first row, in seconds since 1970.
    pub start_s: i64,
    /// Seconds between two rows of a series.
    pub interval_s: u32,
    /// Rows of each series.
    pub count: u32,
}

impl Ticks {
    /// Nanoseconds since 1970 of tick `number`.
    pub fn time_ns(&self, number: u32) -> i64 {
        (self.start_s + i64::from(number) * i64::from(self.interval_s)) * SECOND_NS
    }
}

/// The rows of all hosts, tick by tick, and within a tick host by host.
pub struct Fleet {
    measurements: &'static [&'static Measurement],
    schemas: Vec<Arc<Schema>>,
    ticks: Ticks,
    /// Ticks after which a host is replaced; 0 keeps all.
    life_ticks: u32,
    random: Random,
    series: Vec<Series>,
    hosts: Vec<Host>,
    hosts_begun: u32,
    tick: u32,
    host: usize,
    part: usize,
    state: Vec<f64>,
}

struct Host {
    /// Index of its first series; its measurements follow one another.
    first_series: usize,
    walks: Vec<Vec<Walk>>,
}

impl Fleet {
    /// `host_count` hosts that report `measurements`. With `life_ticks`, each host is replaced by a new one
    /// after so many rows, not all at once.
    pub fn new(
        measurements: &'static [&'static Measurement],
        host_count: u32,
        ticks: Ticks,
        life_ticks: u32,
        seed: u64,
    ) -> Fleet {
        let schema = |measurement: &&Measurement| {
            let fields = measurement.fields.iter();
            Arc::new(Schema {
                measurement: measurement.name.to_owned(),
                fields: fields.map(|(name, kind)| ((*name).to_owned(), *kind)).collect(),
            })
        };
        let mut fleet = Fleet {
            measurements,
            schemas: measurements.iter().map(schema).collect(),
            ticks,
            life_ticks,
            random: Random::new(seed),
            series: Vec::new(),
            hosts: Vec::new(),
            hosts_begun: 0,
            tick: 0,
            host: 0,
            part: 0,
            state: Vec::new(),
        };
        fleet.hosts = (0..host_count).map(|_| fleet.begin_host()).collect();
        fleet
    }

    fn begin_host(&mut self) -> Host {
        let number = self.hosts_begun;
        self.hosts_begun += 1;
        let tags = host_tags(number, &mut self.random);
        let first_series = self.series.len();
        let mut walks = Vec::with_capacity(self.measurements.len());
        for (measurement, schema) in self.measurements.iter().zip(&self.schemas) {
            let own = (measurement.tags)(&mut self.random);
            let own = own.into_iter().map(|(key, value)| (key.to_owned(), value));
            let tags = tags.iter().cloned().chain(own).collect();
            self.series.push(Series { schema: Arc::clone(schema), tags });
            walks.push((measurement.walks)(&mut self.random));
        }
        Host { first_series, walks }
    }

    /// Replaces the host whose turn it is, if its life is over. Lives are staggered by host.
    fn replace_if_old(&mut self) {
        let Some(age) = self.tick.checked_rem(self.life_ticks) else { return };
        let stagger = u32::try_from(self.host).unwrap_or(0) % self.life_ticks;
        if self.tick > 0 && age == stagger {
            let host = self.begin_host();
            if let Some(place) = self.hosts.get_mut(self.host) {
                *place = host;
            }
        }
    }
}

impl Source for Fleet {
    fn series(&self) -> &[Series] {
        &self.series
    }

    fn next_row(&mut self, row: &mut Row) -> bool {
        if self.tick >= self.ticks.count || self.hosts.is_empty() {
            return false;
        }
        if self.part == 0 {
            self.replace_if_old();
        }
        row.values.clear();
        let parts = self.hosts.get_mut(self.host).zip(self.measurements.get(self.part));
        if let Some((host, measurement)) = parts {
            row.series = host.first_series + self.part;
            row.time_ns = self.ticks.time_ns(self.tick);
            self.state.clear();
            if let Some(walks) = host.walks.get_mut(self.part) {
                self.state.extend(walks.iter_mut().map(|walk| walk.step(&mut self.random)));
            }
            (measurement.values)(&self.state, &mut row.values);
        }
        self.part += 1;
        if self.part == self.measurements.len() {
            self.part = 0;
            self.host += 1;
        }
        if self.host == self.hosts.len() {
            self.host = 0;
            self.tick += 1;
        }
        true
    }
}

fn host_tags(number: u32, random: &mut Random) -> Vec<(String, String)> {
    let (region, zones) = *random.choose(REGIONS);
    let values = [
        format!("host_{number}"),
        region.to_owned(),
        (*random.choose(zones)).to_owned(),
        random.below(100).to_string(),
        (*random.choose(&["Ubuntu15.10", "Ubuntu16.10", "Ubuntu16.04LTS"])).to_owned(),
        (*random.choose(&["x64", "x86"])).to_owned(),
        (*random.choose(&["SF", "NYC", "LON", "CHI"])).to_owned(),
        random.below(20).to_string(),
        random.below(2).to_string(),
        (*random.choose(&["production", "staging", "test"])).to_owned(),
    ];
    HOST_TAGS.iter().map(|key| (*key).to_owned()).zip(values).collect()
}

#[cfg(test)]
mod tests {
    use super::super::devops::{CPU_ONLY, DEVOPS};
    use super::super::{SECOND_NS, START_S};
    use super::*;

    fn rows(mut fleet: Fleet) -> (Vec<Row>, Vec<Series>) {
        let (mut rows, mut row) = (Vec::new(), Row::default());
        while fleet.next_row(&mut row) {
            rows.push(row.clone());
        }
        (rows, fleet.series)
    }

    fn ticks(count: u32) -> Ticks {
        Ticks { start_s: START_S, interval_s: 10, count }
    }

    #[test]
    fn rows_go_tick_by_tick_and_depend_on_the_seed_alone() {
        let (first, series) = rows(Fleet::new(CPU_ONLY, 3, ticks(4), 0, 7));
        let (again, _) = rows(Fleet::new(CPU_ONLY, 3, ticks(4), 0, 7));
        let (other, _) = rows(Fleet::new(CPU_ONLY, 3, ticks(4), 0, 8));
        let values =
            |rows: &[Row]| rows.iter().flat_map(|row| row.values.clone()).collect::<Vec<_>>();
        assert_eq!(values(&first), values(&again));
        assert_ne!(values(&first), values(&other));
        assert_eq!(first.len(), 12);
        assert_eq!(first[3].time_ns, (START_S + 10) * SECOND_NS);
        assert_eq!((first[3].series, series.len()), (0, 3));
        assert_eq!(series[2].tags[0], ("hostname".to_owned(), "host_2".to_owned()));
        assert_eq!(series[0].tags.len(), 10);
    }

    #[test]
    fn devops_hosts_report_nine_measurements() {
        let (rows, series) = rows(Fleet::new(DEVOPS, 2, ticks(3), 0, 1));
        assert_eq!((rows.len(), series.len()), (2 * 9 * 3, 18));
        assert_eq!(rows[9].series, 9, "the second host follows the first");
    }

    #[test]
    fn churn_replaces_each_host_after_its_life() {
        let (rows, series) = rows(Fleet::new(CPU_ONLY, 4, ticks(12), 3, 1));
        assert_eq!(rows.len(), 48);
        // Hosts 0 and 3 begin anew at ticks 3, 6 and 9; host 1 at 1, 4, 7, 10; host 2 at 2, 5, 8, 11.
        assert_eq!(series.len(), 4 + 3 + 4 + 4 + 3);
        let names: std::collections::BTreeSet<_> = series.iter().map(|s| &s.tags[0].1).collect();
        assert_eq!(names.len(), series.len(), "a name is not used again");
    }
}
