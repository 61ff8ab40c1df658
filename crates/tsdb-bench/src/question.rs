//! What is asked: the fifteen query kinds of TSBS over the measurement `cpu`, scans over all data, and
//! the instances of each, drawn from a seed.
//!
//! A question says what is wanted. How each language says it is written in the modules below.

mod influxql;
mod prometheus;
mod sql;

pub use prometheus::Range;

use crate::dataset::START_S;
use crate::dataset::options::{CPU_FIELDS, DataOptions};
use crate::peer::Dialect;
use crate::random::Random;

/// What data there is to ask about.
#[derive(Debug, Clone, Copy)]
pub struct Extent {
    /// Hosts, `host_0` to `host_N`.
    pub hosts: u32,
    /// First second.
    pub start_s: i64,
    /// Second behind the last.
    pub end_s: i64,
}

impl Extent {
    /// The extent of generated data.
    pub fn of(data: &DataOptions) -> Extent {
        Extent { hosts: data.scale, start_s: START_S, end_s: START_S + i64::from(data.duration) }
    }
}

/// A function over the values of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Function {
    /// The greatest.
    Max,
    /// The arithmetic mean.
    Mean,
    /// The sum.
    Sum,
    /// The standard deviation of a sample.
    Stddev,
}

impl Function {
    /// Its name in InfluxQL.
    fn name(self) -> &'static str {
        match self {
            Function::Max => "max",
            Function::Mean => "mean",
            Function::Sum => "sum",
            Function::Stddev => "stddev",
        }
    }
}

/// What comes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// A function of each of the first so many fields.
    Aggregates(Function, usize),
    /// Whole rows.
    Rows,
    /// The newest row of each host.
    Newest,
}

/// One query.
#[derive(Debug, Clone, PartialEq)]
pub struct Question {
    /// What comes back.
    pub wanted: Wanted,
    /// Only these hosts; all without.
    pub hosts: Option<Vec<u32>>,
    /// First second; from the beginning without.
    pub start_s: Option<i64>,
    /// Second behind the last; to the end without.
    pub end_s: Option<i64>,
    /// Length of windows in seconds; one window over everything without.
    pub window_s: Option<u32>,
    /// One answer for each host.
    pub by_host: bool,
    /// Only rows whose `usage_user` is above this.
    pub above: Option<f64>,
    /// Only the first so many windows.
    pub limit: Option<u32>,
    /// Where all data ends, in seconds; what "until now" means for servers that need an end.
    pub data_end_s: i64,
}

impl Question {
    /// Names of the fields that are aggregated; all of them for whole rows.
    pub fn fields(&self) -> &'static [&'static str] {
        match self.wanted {
            Wanted::Aggregates(_, count) => CPU_FIELDS.get(..count).unwrap_or(CPU_FIELDS),
            Wanted::Rows | Wanted::Newest => CPU_FIELDS,
        }
    }

    /// The text in a language that takes all in the text.
    pub fn text(&self, dialect: Dialect) -> String {
        match dialect {
            Dialect::InfluxQl => influxql::text(self),
            Dialect::ClickHouse => sql::text(self, sql::Sql::ClickHouse),
            Dialect::DuckDb => sql::text(self, sql::Sql::DuckDb),
            Dialect::MetricsQl | Dialect::PromQl => self.range(dialect).text,
        }
    }

    /// The expression and the times in a language of the Prometheus family.
    pub fn range(&self, dialect: Dialect) -> Range {
        prometheus::range(self, dialect == Dialect::MetricsQl)
    }
}

/// A kind of query.
#[derive(Debug, Clone, Copy)]
pub struct QueryKind {
    /// Its name; the first fifteen are those of TSBS.
    pub name: &'static str,
    /// Whether it is one of TSBS.
    pub is_tsbs: bool,
    draw: fn(&mut Random, Extent) -> Question,
}

impl QueryKind {
    /// The instances of this kind, without end; the same seed gives the same ones.
    pub fn instances(&self, extent: Extent, seed: u64) -> impl Iterator<Item = Question> + use<> {
        let salt =
            self.name.bytes().fold(0u64, |salt, byte| salt.wrapping_mul(31) + u64::from(byte));
        let mut random = Random::new(seed ^ salt);
        let draw = self.draw;
        std::iter::repeat_with(move || draw(&mut random, extent))
    }
}

const MINUTE: u32 = 60;
const HOUR: u32 = 3600;
const ALL_FIELDS: usize = CPU_FIELDS.len();

/// All kinds.
pub const KINDS: &[QueryKind] = &[
    tsbs("single-groupby-1-1-1", |random, extent| max_by_minute(random, extent, 1, 1, HOUR)),
    tsbs("single-groupby-1-1-12", |random, extent| max_by_minute(random, extent, 1, 1, 12 * HOUR)),
    tsbs("single-groupby-1-8-1", |random, extent| max_by_minute(random, extent, 1, 8, HOUR)),
    tsbs("single-groupby-5-1-1", |random, extent| max_by_minute(random, extent, 5, 1, HOUR)),
    tsbs("single-groupby-5-1-12", |random, extent| max_by_minute(random, extent, 5, 1, 12 * HOUR)),
    tsbs("single-groupby-5-8-1", |random, extent| max_by_minute(random, extent, 5, 8, HOUR)),
    tsbs("cpu-max-all-1", |random, extent| max_of_all(random, extent, 1)),
    tsbs("cpu-max-all-8", |random, extent| max_of_all(random, extent, 8)),
    tsbs("double-groupby-1", |random, extent| mean_by_host(random, extent, 1)),
    tsbs("double-groupby-5", |random, extent| mean_by_host(random, extent, 5)),
    tsbs("double-groupby-all", |random, extent| mean_by_host(random, extent, ALL_FIELDS)),
    tsbs("high-cpu-1", |random, extent| high_cpu(random, extent, Some(1))),
    tsbs("high-cpu-all", |random, extent| high_cpu(random, extent, None)),
    tsbs("lastpoint", |_, extent| plain(extent, Wanted::Newest)),
    tsbs("groupby-orderby-limit", groupby_orderby_limit),
    scan("scan-mean-1-1h-host", |_, extent| by_hour_and_host(extent, Function::Mean, 1)),
    scan("scan-max-1-1h-host", |_, extent| by_hour_and_host(extent, Function::Max, 1)),
    scan("scan-mean-1-total", |_, extent| total(extent, Function::Mean, 1)),
    scan("scan-mean-all-1h-host", |_, extent| by_hour_and_host(extent, Function::Mean, ALL_FIELDS)),
    scan("scan-max-all-1h-host", |_, extent| by_hour_and_host(extent, Function::Max, ALL_FIELDS)),
    scan("scan-mean-all-total", |_, extent| total(extent, Function::Mean, ALL_FIELDS)),
    // These two have to look at every value: no summary answers them.
    scan("scan-stddev-1-total", |_, extent| total(extent, Function::Stddev, 1)),
    scan("scan-sum-1-above-50", |_, extent| Question {
        above: Some(50.0),
        ..total(extent, Function::Sum, 1)
    }),
];

const fn tsbs(name: &'static str, draw: fn(&mut Random, Extent) -> Question) -> QueryKind {
    QueryKind { name, is_tsbs: true, draw }
}

const fn scan(name: &'static str, draw: fn(&mut Random, Extent) -> Question) -> QueryKind {
    QueryKind { name, is_tsbs: false, draw }
}

fn plain(extent: Extent, wanted: Wanted) -> Question {
    Question {
        wanted,
        hosts: None,
        start_s: None,
        end_s: None,
        window_s: None,
        by_host: false,
        above: None,
        limit: None,
        data_end_s: extent.end_s,
    }
}

/// A stretch of `length_s` that begins at a random second; all data where there is less.
fn within(random: &mut Random, extent: Extent, length_s: u32, wanted: Wanted) -> Question {
    let slack = (extent.end_s - extent.start_s - i64::from(length_s)).max(0);
    let offset = random.below(slack.unsigned_abs() + 1);
    let start_s = extent.start_s + i64::try_from(offset).unwrap_or(0);
    let end_s = (start_s + i64::from(length_s)).min(extent.end_s);
    Question { start_s: Some(start_s), end_s: Some(end_s), ..plain(extent, wanted) }
}

fn max_by_minute(
    random: &mut Random,
    extent: Extent,
    fields: usize,
    hosts: usize,
    length_s: u32,
) -> Question {
    let question = within(random, extent, length_s, Wanted::Aggregates(Function::Max, fields));
    let hosts = Some(random.distinct(hosts, extent.hosts));
    Question { hosts, window_s: Some(MINUTE), ..question }
}

fn max_of_all(random: &mut Random, extent: Extent, hosts: usize) -> Question {
    let wanted = Wanted::Aggregates(Function::Max, ALL_FIELDS);
    let question = within(random, extent, 8 * HOUR, wanted);
    let hosts = Some(random.distinct(hosts, extent.hosts));
    Question { hosts, window_s: Some(HOUR), ..question }
}

fn mean_by_host(random: &mut Random, extent: Extent, fields: usize) -> Question {
    let wanted = Wanted::Aggregates(Function::Mean, fields);
    let question = within(random, extent, 12 * HOUR, wanted);
    Question { window_s: Some(HOUR), by_host: true, ..question }
}

fn high_cpu(random: &mut Random, extent: Extent, hosts: Option<usize>) -> Question {
    let question = within(random, extent, 12 * HOUR, Wanted::Rows);
    let hosts = hosts.map(|count| random.distinct(count, extent.hosts));
    Question { hosts, above: Some(90.0), ..question }
}

fn groupby_orderby_limit(random: &mut Random, extent: Extent) -> Question {
    let wanted = Wanted::Aggregates(Function::Max, 1);
    let end = within(random, extent, 12 * HOUR, wanted);
    Question { start_s: None, window_s: Some(MINUTE), limit: Some(5), ..end }
}

fn total(extent: Extent, function: Function, fields: usize) -> Question {
    Question {
        start_s: Some(extent.start_s),
        end_s: Some(extent.end_s),
        ..plain(extent, Wanted::Aggregates(function, fields))
    }
}

fn by_hour_and_host(extent: Extent, function: Function, fields: usize) -> Question {
    Question { window_s: Some(HOUR), by_host: true, ..total(extent, function, fields) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Extent = Extent { hosts: 100, start_s: START_S, end_s: START_S + 86_400 };

    fn kind(name: &str) -> &'static QueryKind {
        KINDS.iter().find(|kind| kind.name == name).unwrap()
    }

    #[test]
    fn instances_lie_in_the_data_and_depend_on_the_seed_alone() {
        assert_eq!(KINDS.iter().filter(|kind| kind.is_tsbs).count(), 15);
        for kind in KINDS {
            let draw = |seed| kind.instances(DAY, seed).take(200).collect::<Vec<_>>();
            let questions = draw(1);
            assert_eq!(questions, draw(1), "{}", kind.name);
            for question in &questions {
                assert!(question.start_s.is_none_or(|s| s >= DAY.start_s), "{question:?}");
                assert!(question.end_s.is_none_or(|s| s <= DAY.end_s), "{question:?}");
                assert!(question.hosts.iter().flatten().all(|host| *host < 100));
            }
            let varies = questions.windows(2).any(|pair| pair[0] != pair[1]);
            let fixed = !kind.is_tsbs || kind.name == "lastpoint";
            assert_eq!(varies, !fixed, "{}", kind.name);
        }
    }

    #[test]
    fn shorter_data_gives_shorter_questions() {
        let hour = Extent { end_s: START_S + 3600, ..DAY };
        let question = kind("double-groupby-1").instances(hour, 1).next().unwrap();
        assert_eq!((question.start_s, question.end_s), (Some(hour.start_s), Some(hour.end_s)));
    }

    /// The instance that the texts below are of.
    fn example(name: &str) -> Question {
        let mut question = kind(name).instances(DAY, 1).next().unwrap();
        let length = question.start_s.zip(question.end_s).map_or(0, |(start, end)| end - start);
        if kind(name).is_tsbs {
            question.start_s = question.start_s.map(|_| 1_451_643_326);
            question.end_s = question.end_s.map(|_| 1_451_643_326 + length.max(60));
        }
        let hosts = [1, 79, 33, 98, 63, 12, 81, 28];
        question.hosts = question.hosts.map(|list| hosts[..list.len()].to_vec());
        question
    }

    #[test]
    fn texts_are_those_of_tsbs() {
        let cases = include_str!("question/texts.txt");
        let mut checked = 0;
        for case in cases.split("\n\n") {
            let mut lines = case.lines();
            let name = lines.next().unwrap();
            let question = example(name);
            for line in lines {
                let (dialect, expected) = line.split_once(": ").unwrap();
                let actual = match dialect {
                    "influxql" => question.text(Dialect::InfluxQl),
                    "clickhouse" => question.text(Dialect::ClickHouse),
                    "duckdb" => question.text(Dialect::DuckDb),
                    "metricsql" => question.range(Dialect::MetricsQl).to_string(),
                    "promql" => question.range(Dialect::PromQl).to_string(),
                    other => panic!("{other}"),
                };
                assert_eq!(actual, expected, "{name} {dialect}");
                checked += 1;
            }
        }
        assert_eq!(checked, 24);
    }
}
