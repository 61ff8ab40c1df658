//! What metrics and labels of OpenTelemetry are called: the rules of its specification for Prometheus, in four
//! strategies.

use crate::metadata::MetricType;

/// How names are translated, by the names that Prometheus gives the strategies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Naming {
    /// Characters that PromQL needs quotes for become underscores; names end with unit and type.
    #[default]
    UnderscoreEscapingWithSuffixes,
    UnderscoreEscapingWithoutSuffixes,
    NoUtf8EscapingWithSuffixes,
    NoTranslation,
}

impl Naming {
    /// All of them with their names.
    const ALL: [(&'static str, Naming); 4] = [
        ("UnderscoreEscapingWithSuffixes", Naming::UnderscoreEscapingWithSuffixes),
        ("UnderscoreEscapingWithoutSuffixes", Naming::UnderscoreEscapingWithoutSuffixes),
        ("NoUTF8EscapingWithSuffixes", Naming::NoUtf8EscapingWithSuffixes),
        ("NoTranslation", Naming::NoTranslation),
    ];

    /// The strategy with a name.
    pub(super) fn of_name(name: &str) -> Option<Naming> {
        Naming::ALL.iter().find(|(known, _)| *known == name).map(|(_, strategy)| *strategy)
    }

    fn escapes(self) -> bool {
        use Naming::{UnderscoreEscapingWithSuffixes, UnderscoreEscapingWithoutSuffixes};
        matches!(self, UnderscoreEscapingWithSuffixes | UnderscoreEscapingWithoutSuffixes)
    }

    fn adds_suffixes(self) -> bool {
        use Naming::{NoUtf8EscapingWithSuffixes, UnderscoreEscapingWithSuffixes};
        matches!(self, UnderscoreEscapingWithSuffixes | NoUtf8EscapingWithSuffixes)
    }

    /// A name by which caches tell the strategies apart.
    pub(super) fn mark(self) -> u8 {
        match self {
            Naming::UnderscoreEscapingWithSuffixes => 0,
            Naming::UnderscoreEscapingWithoutSuffixes => 1,
            Naming::NoUtf8EscapingWithSuffixes => 2,
            Naming::NoTranslation => 3,
        }
    }

    /// The name of a metric, without what tells the series of a histogram apart; empty if nothing of it is left.
    pub(super) fn metric(self, name: &str, unit: &str, kind: Kind) -> String {
        let (main, per) = unit_words(unit);
        let last = match kind {
            Kind::Counter => "total",
            Kind::Gauge if unit.trim() == "1" => "ratio",
            _ => "",
        };
        if !self.escapes() {
            let suffixes = [main, prefixed("per_", per), last.to_owned()];
            return if self.adds_suffixes() {
                with_suffixes(name, &suffixes)
            } else {
                name.to_owned()
            };
        }
        let is_kept = |c: char| c.is_ascii_alphanumeric() || c == ':';
        let mut words: Vec<&str> =
            name.split(|c| !is_kept(c)).filter(|word| !word.is_empty()).collect();
        let per_words = prefixed("per_", per.clone());
        if self.adds_suffixes() && !words.is_empty() {
            if !main.is_empty() && !words.contains(&main.as_str()) {
                words.push(&main);
            }
            if !per.is_empty() && !words.contains(&per.as_str()) {
                words.push(&per_words);
            }
            if !last.is_empty() {
                words.retain(|word| *word != last);
                words.push(last);
            }
        }
        let text = words.join("_");
        if text.starts_with(|c: char| c.is_ascii_digit()) { format!("_{text}") } else { text }
    }

    /// The name of a label. What is reserved, or begins as no label may, gets `key_` in front.
    pub(super) fn label(self, key: &str) -> String {
        if matches!(key, "time" | tsdb_core::NAME_TAG | tsdb_core::FIELD_TAG) {
            return format!("key_{}", key.trim_matches('_'));
        }
        if !self.escapes() {
            return key.to_owned();
        }
        let mut text = String::with_capacity(key.len());
        for c in key.chars() {
            if c.is_ascii_alphanumeric() {
                text.push(c);
            } else if !text.ends_with('_') {
                text.push('_');
            }
        }
        match text.chars().next() {
            Some('0'..='9') => format!("key_{text}"),
            Some('_') => format!("key{text}"),
            _ => text,
        }
    }
}

/// What a metric is, as far as its name depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A sum that only grows.
    Counter,
    /// A value.
    Gauge,
    /// A sum that can fall.
    UpDown,
    Histogram,
    Summary,
}

impl Kind {
    /// The type that metadata name.
    pub(super) fn metric_type(self, is_delta: bool) -> MetricType {
        match self {
            Kind::Gauge => MetricType::Gauge,
            // None of those that Prometheus knows counts from one point to the next.
            _ if is_delta => MetricType::Unknown,
            Kind::Counter => MetricType::Counter,
            Kind::UpDown => MetricType::Gauge,
            Kind::Histogram => MetricType::Histogram,
            Kind::Summary => MetricType::Summary,
        }
    }
}

/// A unit in words, as metadata have it: `m/s` is `meters_per_second`.
pub(super) fn unit_text(unit: &str) -> String {
    let (main, per) = unit_words(unit);
    let per = prefixed("per_", per);
    match (main.is_empty(), per.is_empty()) {
        (false, false) => format!("{main}_{per}"),
        _ => main + &per,
    }
}

/// A name with those suffixes behind it that it does not end with; the last one comes last in any case.
fn with_suffixes(name: &str, suffixes: &[String; 3]) -> String {
    let [main, per, last] = suffixes;
    let bare = |text: &str, suffix: &str| {
        let front = text.strip_suffix(suffix).filter(|_| !suffix.is_empty());
        front.and_then(|front| front.strip_suffix(['_', '.'])).map(str::to_owned)
    };
    let mut text = bare(name, last).unwrap_or_else(|| name.to_owned());
    let is_there = |text: &str, suffix: &String| bare(text, suffix).is_some();
    let wanted = [main, per].into_iter().filter(|suffix| !suffix.is_empty());
    let missing: Vec<&String> = wanted.filter(|suffix| !is_there(&text, suffix)).collect();
    let last = Some(last).filter(|last| !last.is_empty());
    for suffix in missing.into_iter().chain(last).filter(|_| !name.is_empty()) {
        text.push('_');
        text.push_str(suffix);
    }
    text
}

fn prefixed(prefix: &str, text: String) -> String {
    if text.is_empty() { text } else { format!("{prefix}{text}") }
}

/// The words for both sides of the slash in a unit; what stands in braces is a remark, and no unit.
fn unit_words(unit: &str) -> (String, String) {
    let mut depth = 0_u32;
    let mut bare = String::with_capacity(unit.len());
    for c in unit.chars() {
        match c {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            _ if depth == 0 => bare.push(c),
            _ => {}
        }
    }
    let (main, per) = bare.split_once('/').unwrap_or((&bare, ""));
    (word(main.trim(), &UNITS), word(per.trim(), &PER_UNITS))
}

fn word(unit: &str, table: &[(&str, &str)]) -> String {
    if let Some((_, word)) = table.iter().find(|(known, _)| *known == unit) {
        return (*word).to_owned();
    }
    let words = unit.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join("_")
}

/// Units of the Unified Code for Units of Measure, with some that are common and not in it.
const UNITS: [(&str, &str); 29] = [
    ("d", "days"),
    ("h", "hours"),
    ("min", "minutes"),
    ("s", "seconds"),
    ("ms", "milliseconds"),
    ("us", "microseconds"),
    ("ns", "nanoseconds"),
    ("By", "bytes"),
    ("KiBy", "kibibytes"),
    ("MiBy", "mebibytes"),
    ("GiBy", "gibibytes"),
    ("TiBy", "tibibytes"),
    ("KBy", "kilobytes"),
    ("kBy", "kilobytes"),
    ("MBy", "megabytes"),
    ("GBy", "gigabytes"),
    ("TBy", "terabytes"),
    ("bit", "bits"),
    ("m", "meters"),
    ("V", "volts"),
    ("A", "amperes"),
    ("J", "joules"),
    ("W", "watts"),
    ("g", "grams"),
    ("Cel", "celsius"),
    ("Hz", "hertz"),
    ("%", "percent"),
    ("1", ""),
    ("", ""),
];

/// The same behind a slash.
const PER_UNITS: [(&str, &str); 8] = [
    ("s", "second"),
    ("m", "minute"),
    ("min", "minute"),
    ("h", "hour"),
    ("d", "day"),
    ("w", "week"),
    ("mo", "month"),
    ("y", "year"),
];

#[cfg(test)]
mod tests {
    use super::*;
    use Kind::{Counter, Gauge, Histogram, UpDown};

    const DEFAULT: Naming = Naming::UnderscoreEscapingWithSuffixes;

    #[test]
    fn metrics_are_called_as_prometheus_calls_them() {
        for (name, unit, kind, expected) in [
            ("up", "", Gauge, "up"),
            ("system.cpu.time", "s", Counter, "system_cpu_time_seconds_total"),
            (
                "http.server.request.duration",
                "s",
                Histogram,
                "http_server_request_duration_seconds",
            ),
            ("system.filesystem.usage", "By", UpDown, "system_filesystem_usage_bytes"),
            ("system.filesystem.usage.bytes", "By", UpDown, "system_filesystem_usage_bytes"),
            ("(lambda).function.executions(#)", "", Gauge, "lambda_function_executions"),
            ("system.network.dropped", "{packets}", Counter, "system_network_dropped_total"),
            ("system.network.dropped", "packets", Gauge, "system_network_dropped_packets"),
            ("system.memory.utilization", "1", Gauge, "system_memory_utilization_ratio"),
            ("requests", "1", Counter, "requests_total"),
            ("queue.size", "1", UpDown, "queue_size"),
            ("speed", "m/s", Gauge, "speed_meters_per_second"),
            ("requests", "{request}/s", Gauge, "requests_per_second"),
            ("requests.per.second", "{request}/s", Gauge, "requests_per_second"),
            ("rate", "By/min", Gauge, "rate_bytes_per_minute"),
            ("a", "By{sent}", Gauge, "a_bytes"),
            ("total.things", "", Counter, "things_total"),
            ("ratio.of", "1", Gauge, "of_ratio"),
            ("a__b..c", "", Gauge, "a_b_c"),
            ("2xx", "", Gauge, "_2xx"),
            ("job:rate", "", Gauge, "job:rate"),
            ("größe", "Cel", Gauge, "gr_e_celsius"),
            ("x", "foo/bar baz", Gauge, "x_foo_per_bar_baz"),
            ("x", "{a/b}", Gauge, "x"),
            ("x", "%", Gauge, "x_percent"),
            ("...", "s", Counter, ""),
            ("", "s", Counter, ""),
        ] {
            assert_eq!(DEFAULT.metric(name, unit, kind), expected, "{name:?} in {unit:?}");
        }
    }

    #[test]
    fn strategies_escape_and_add_suffixes_or_not() {
        let names =
            |name, unit, kind| Naming::ALL.map(|(_, strategy)| strategy.metric(name, unit, kind));
        assert_eq!(
            names("http.time", "s", Counter),
            ["http_time_seconds_total", "http_time", "http.time_seconds_total", "http.time"]
        );
        assert_eq!(
            names("a.seconds_total", "s", Counter),
            ["a_seconds_total", "a_seconds_total", "a.seconds_total", "a.seconds_total"]
        );
        let labels = |key| Naming::ALL.map(|(_, strategy)| strategy.label(key));
        assert_eq!(labels("http.route"), ["http_route", "http_route", "http.route", "http.route"]);
        assert_eq!(labels("time"), ["key_time"; 4]);
        for (name, strategy) in Naming::ALL {
            assert_eq!(Naming::of_name(name), Some(strategy));
        }
        assert_eq!(Naming::of_name("None"), None);
        let marks: std::collections::BTreeSet<u8> =
            Naming::ALL.iter().map(|(_, strategy)| strategy.mark()).collect();
        assert_eq!(marks.len(), 4);
    }

    #[test]
    fn labels_are_what_promql_takes_and_never_reserved() {
        for (key, expected) in [
            ("method", "method"),
            ("http.status_code", "http_status_code"),
            ("a--b", "a_b"),
            ("a__b", "a_b"),
            ("_private", "key_private"),
            ("__name__", "key_name"),
            ("__field__", "key_field"),
            ("__x__", "key_x_"),
            ("2xx", "key_2xx"),
            ("ä", "key_"),
            ("a:b", "a_b"),
            ("time", "key_time"),
            ("", ""),
        ] {
            assert_eq!(DEFAULT.label(key), expected, "{key:?}");
        }
    }

    #[test]
    fn units_have_words() {
        for (unit, expected) in [
            ("s", "seconds"),
            ("m/s", "meters_per_second"),
            ("{packet}/s", "per_second"),
            ("{packet}", ""),
            ("1", ""),
            ("", ""),
            ("widgets", "widgets"),
            ("{{x}", ""),
            ("}s", "seconds"),
        ] {
            assert_eq!(unit_text(unit), expected, "{unit:?}");
        }
    }
}
