//! The TSBS use case cpu-only as line protocol: hosts with ten tags report ten integer-valued fields
//! that walk at random between 0 and 100. Facts from the public TSBS generator; the numbers differ.

use std::io::Write;

use crate::random::Random;

/// 2016-01-01T00:00:00Z, where TSBS data begins.
const START_S: u64 = 1_451_606_400;

const FIELDS: [&str; 10] = [
    "usage_user",
    "usage_system",
    "usage_idle",
    "usage_nice",
    "usage_iowait",
    "usage_irq",
    "usage_softirq",
    "usage_steal",
    "usage_guest",
    "usage_guest_nice",
];

const REGIONS: [(&str, &[&str]); 9] = [
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

struct Host {
    /// Measurement and tags.
    head: String,
    usage: [f64; 10],
}

/// The rows of all hosts, time by time.
pub struct CpuOnly {
    hosts: Vec<Host>,
    rows: u32,
    interval_s: u32,
    random: Random,
    row: u32,
    host: usize,
}

impl CpuOnly {
    /// `rows` rows of each host, one every `interval_s` seconds.
    pub fn new(hosts: u32, rows: u32, interval_s: u32, seed: u64) -> CpuOnly {
        let mut random = Random::new(seed);
        let hosts = (0..hosts).map(|number| Host::new(number, &mut random)).collect();
        CpuOnly { hosts, rows, interval_s, random, row: 0, host: 0 }
    }

    /// Appends the next line to `out`; false at the end.
    pub fn next_line(&mut self, out: &mut Vec<u8>) -> bool {
        if self.row == self.rows {
            return false;
        }
        let time_s = START_S + u64::from(self.row) * u64::from(self.interval_s);
        if let Some(host) = self.hosts.get_mut(self.host) {
            out.extend_from_slice(host.head.as_bytes());
            for (place, (name, value)) in FIELDS.iter().zip(&mut host.usage).enumerate() {
                *value = (*value + self.random.normal()).clamp(0.0, 100.0);
                let separator = if place == 0 { ' ' } else { ',' };
                // Writing to memory cannot fail.
                let _ = write!(out, "{separator}{name}={}i", value.trunc());
            }
            let _ = writeln!(out, " {time_s}000000000");
        }
        self.host += 1;
        if self.host >= self.hosts.len() {
            self.host = 0;
            self.row += 1;
        }
        true
    }

    /// Values in one line.
    pub fn samples_per_line(&self) -> u64 {
        FIELDS.len() as u64
    }
}

impl Host {
    fn new(number: u32, random: &mut Random) -> Host {
        let mut pick = |n: usize| usize::try_from(random.below(n as u64)).unwrap_or(0);
        let (region, zones) = REGIONS.get(pick(REGIONS.len())).copied().unwrap_or(("", &[""]));
        let zone = zones.get(pick(zones.len())).copied().unwrap_or("");
        let os = ["Ubuntu15.10", "Ubuntu16.10", "Ubuntu16.04LTS"];
        let os = os.get(pick(os.len())).copied().unwrap_or("");
        let arch = if pick(2) == 0 { "x64" } else { "x86" };
        let team = ["SF", "NYC", "LON", "CHI"];
        let team = team.get(pick(team.len())).copied().unwrap_or("");
        let environment = ["production", "staging", "test"];
        let environment = environment.get(pick(environment.len())).copied().unwrap_or("");
        let (rack, service, version) = (pick(100), pick(20), pick(2));
        let head = format!(
            "cpu,hostname=host_{number},region={region},datacenter={zone},rack={rack},os={os},arch={arch},team={team},service={service},service_version={version},service_environment={environment}"
        );
        Host { head, usage: std::array::from_fn(|_| (random.unit() * 100.0).trunc()) }
    }
}

/// Writes all lines to standard output.
///
/// # Errors
/// A closed or full output.
pub fn print(mut usecase: CpuOnly) -> Result<(), String> {
    let mut output = std::io::BufWriter::new(std::io::stdout().lock());
    let mut line = Vec::new();
    while usecase.next_line(&mut line) {
        output.write_all(&line).map_err(|error| format!("cannot write: {error}"))?;
        line.clear();
    }
    output.flush().map_err(|error| format!("cannot write: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(hosts: u32, rows: u32, seed: u64) -> String {
        let mut usecase = CpuOnly::new(hosts, rows, 10, seed);
        let mut out = Vec::new();
        while usecase.next_line(&mut out) {}
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn lines_go_time_by_time_and_depend_on_the_seed_alone() {
        let lines = text(3, 4, 7);
        assert_eq!(lines, text(3, 4, 7));
        assert_ne!(lines, text(3, 4, 8));
        assert_eq!(lines.lines().count(), 12);
        let fourth = lines.lines().nth(3).unwrap();
        assert!(fourth.starts_with("cpu,hostname=host_0,region="), "{fourth}");
        assert!(fourth.ends_with(" 1451606410000000000"), "{fourth}");
        assert_eq!(fourth.matches('=').count(), 20, "ten tags and ten fields");
        assert!(!lines.contains('.') || lines.contains("Ubuntu"), "fields are whole numbers");
    }
}
