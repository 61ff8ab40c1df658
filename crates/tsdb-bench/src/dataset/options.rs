//! Which data: the choices of the command line, made into a source.

use std::path::PathBuf;

use clap::ValueEnum;

use super::devops::{CPU_ONLY, DEVOPS};
use super::disorder::{Disorder, Disordered};
use super::exporter::Exporter;
use super::fleet::{Fleet, Ticks};
use super::scrapes::Scrapes;
use super::{START_S, Source};

pub use super::devops::CPU_FIELDS;

/// What kind of data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Case {
    /// TSBS cpu-only: hosts with 10 tags and 10 whole-number fields that wander between 0 and 100
    CpuOnly,
    /// TSBS devops: nine measurements of each host, 101 fields, whole numbers and floats
    Devops,
    /// one value a row, hundreds of metrics an instance, in the shape of node_exporter
    Exporter,
    /// scrapes of a real exporter, recorded with `tsdb-bench record`
    Scrapes,
}

/// Which data, how much, and in what order.
#[derive(Debug, Clone, clap::Args)]
pub struct DataOptions {
    /// Kind of data
    #[arg(long, value_enum, default_value_t = Case::CpuOnly)]
    pub case: Case,
    /// Hosts or instances
    #[arg(long, default_value_t = 100)]
    pub scale: u32,
    /// Time between the first and the last row of a series, and one interval: s, m, h or d
    #[arg(long, default_value = "24h", value_parser = seconds)]
    pub duration: u32,
    /// Time between two rows of a series
    #[arg(long, default_value = "10s", value_parser = seconds)]
    pub interval: u32,
    /// Seed; the same seed gives the same bytes
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Replace each host by a new one after this time (cpu-only and devops)
    #[arg(long, value_parser = seconds)]
    pub life: Option<u32>,
    /// Share of rows that come late, from 0 to 1
    #[arg(long, default_value_t = 0.0)]
    pub late: f64,
    /// How many rows of the whole data late rows come late
    #[arg(long, default_value_t = 50_000)]
    pub late_rows: usize,
    /// Share of rows that are sent twice, from 0 to 1
    #[arg(long, default_value_t = 0.0)]
    pub repeat: f64,
    /// Rows that are sent twice have other values the second time
    #[arg(long)]
    pub repeat_changed: bool,
    /// Directory of the recording for the case scrapes
    #[arg(long)]
    pub scrapes: Option<PathBuf>,
}

impl DataOptions {
    /// `scale` hosts of `case` for `duration` seconds, one row every `interval` seconds, in order.
    pub fn plain(case: Case, scale: u32, duration: u32, interval: u32) -> DataOptions {
        DataOptions {
            case,
            scale,
            duration,
            interval,
            seed: 1,
            life: None,
            late: 0.0,
            late_rows: 50_000,
            repeat: 0.0,
            repeat_changed: false,
            scrapes: None,
        }
    }

    /// The rows.
    ///
    /// # Errors
    /// A share outside 0 to 1, an interval of 0, a recording that is missing or wrong.
    pub fn source(&self) -> Result<Box<dyn Source>, String> {
        for (name, share) in [("late", self.late), ("repeat", self.repeat)] {
            if !(0.0..=1.0).contains(&share) {
                return Err(format!("--{name} {share}: a share is between 0 and 1"));
            }
        }
        if self.interval == 0 {
            return Err("--interval 0s: rows of a series need some time between them".to_owned());
        }
        let count = self.duration.div_ceil(self.interval);
        let ticks = Ticks { start_s: START_S, interval_s: self.interval, count };
        let life_ticks = self.life.map_or(0, |life| life.div_ceil(self.interval));
        let fleet =
            |measurements| Fleet::new(measurements, self.scale, ticks, life_ticks, self.seed);
        let source: Box<dyn Source> = match self.case {
            Case::CpuOnly => Box::new(fleet(CPU_ONLY)),
            Case::Devops => Box::new(fleet(DEVOPS)),
            Case::Exporter => Box::new(Exporter::new(self.scale, ticks, self.seed)),
            Case::Scrapes => {
                let hint =
                    "--case scrapes needs --scrapes DIR; record one with `tsdb-bench record`";
                let dir = self.scrapes.as_ref().ok_or(hint)?;
                Box::new(Scrapes::read(dir, self.scale, ticks)?)
            }
        };
        if self.late == 0.0 && self.repeat == 0.0 {
            return Ok(source);
        }
        let disorder = Disorder {
            late_share: self.late,
            late_rows: self.late_rows,
            repeat_share: self.repeat,
            repeat_changed: self.repeat_changed,
        };
        Ok(Box::new(Disordered::new(source, disorder, self.seed)))
    }

    /// The flags that give this data again.
    pub fn flags(&self) -> String {
        let case = self.case.to_possible_value().map_or(String::new(), |v| v.get_name().to_owned());
        let (scale, duration, interval, seed) =
            (self.scale, self.duration, self.interval, self.seed);
        let mut flags = format!(
            "--case {case} --scale {scale} --duration {duration}s --interval {interval}s --seed {seed}"
        );
        if let Some(life) = self.life {
            flags.push_str(&format!(" --life {life}s"));
        }
        if self.late > 0.0 {
            flags.push_str(&format!(" --late {} --late-rows {}", self.late, self.late_rows));
        }
        if self.repeat > 0.0 {
            let changed = if self.repeat_changed { " --repeat-changed" } else { "" };
            flags.push_str(&format!(" --repeat {}{changed}", self.repeat));
        }
        if self.scrapes.is_some() {
            flags.push_str(" --scrapes DIR");
        }
        flags
    }
}

/// `90s`, `15m`, `24h`, `2d` as seconds.
pub fn seconds(text: &str) -> Result<u32, String> {
    let wrong = || format!("`{text}` is no time: write 30s, 15m, 24h or 2d");
    let (number, factor) = [("s", 1), ("m", 60), ("h", 3600), ("d", 86_400)]
        .into_iter()
        .find_map(|(unit, factor)| Some((text.strip_suffix(unit)?, factor)))
        .ok_or_else(wrong)?;
    number.parse::<u32>().ok().and_then(|number| number.checked_mul(factor)).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::Row;

    fn count(options: &DataOptions) -> usize {
        let mut source = options.source().unwrap();
        let mut row = Row::default();
        std::iter::from_fn(|| source.next_row(&mut row).then_some(())).count()
    }

    #[test]
    fn options_say_how_much_there_is() {
        let plain = DataOptions::plain(Case::CpuOnly, 3, 60, 10);
        assert_eq!(count(&plain), 18);
        assert_eq!(count(&DataOptions { case: Case::Devops, ..plain.clone() }), 9 * 18);
        assert_eq!(count(&DataOptions { late: 0.5, ..plain.clone() }), 18);
        assert_eq!(count(&DataOptions { repeat: 1.0, ..plain.clone() }), 36);
        let flags = DataOptions { life: Some(60), repeat: 0.5, ..plain }.flags();
        let expected = "--case cpu-only --scale 3 --duration 60s --interval 10s --seed 1 --life 60s --repeat 0.5";
        assert_eq!(flags, expected);
    }

    #[test]
    fn times_have_a_unit() {
        assert_eq!(seconds("15m"), Ok(900));
        for wrong in ["", "15", "m", "1.5h", "99999999999s", "200000d"] {
            assert!(seconds(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn wrong_options_are_named() {
        let plain = DataOptions::plain(Case::CpuOnly, 3, 60, 10);
        let message = |options: DataOptions| options.source().err().unwrap();
        assert!(message(DataOptions { late: 1.5, ..plain.clone() }).contains("--late 1.5"));
        assert!(message(DataOptions { interval: 0, ..plain.clone() }).contains("--interval"));
        assert!(message(DataOptions { case: Case::Scrapes, ..plain }).contains("--scrapes DIR"));
    }
}
